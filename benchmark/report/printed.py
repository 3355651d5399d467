"""The leaderboard of one block as a terminal shows it: a table as wide as there is room, and three lines below."""

from collections.abc import Iterator, Mapping, Sequence
from math import inf, isnan
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table as TextTable

from benchmark.report.leaderboard import BLOCK, contends, short_labels
from benchmark.spec import MEASURED

SHORT = {  # names of the columns that are shown first, in this order
    "reconstruction": "recon",
    "beta_vae_score": "bVAE",
    "beta_vae_score.at_5_pairs": "bVAE@5",
    "factor_vae_score": "fVAE",
    "mig": "MIG",
    "dci": "DCI",
    "dci_fast": "DCIfast",
    "udr": "UDR",
    "kl": "KL",
    "active_latents": "active",
}
OF_PARTS = ("generalisation@", "reconstruction@")  # of a world, shown beside the reconstruction
TOLD = ("beta_vae_score", "mig", "dci", "dci_fast")  # metrics of which it is told how many seeds they need
MOST_ROWS = 40
MOST_NAMED = 5  # of a tie
TIED, ODD = "*", "(!)"
BETWEEN = 2  # spaces between columns
LABEL_WIDTH = 44  # beyond which a label takes another line
WITH_INTERVALS = 7  # columns of scores that are worth more than intervals beside fewer


def print_board(console: Console, keys: Sequence[Any], board: pd.DataFrame, reliability: pd.DataFrame) -> None:
    """Print one block of a leaderboard, a row a configuration, and below it who leads, at what price, how sure that is.

    No word is cut in two as long as the longest word of a label leaves room for a score.

    Args:
        keys: the block's `BLOCK`.
        board: its rows.
        reliability: of `tell_reliability`.
    """
    rows = board.head(MOST_ROWS)
    texts = {"rank": [_rank(row) for row in _each(rows)], "method": _labels(board)[: len(rows)]}
    texts["n"] = [f"{row['seeds']}" + (f" ({row['failed']} failed)" if row["failed"] else "") for row in _each(rows)]
    longest = max(len(word) for label in ("method", *texts["method"]) for word in label.split())
    whole = max(map(len, texts["method"]), default=0)
    label = max(longest, min(whole, LABEL_WIDTH, console.width // 3))
    room = console.width - label - sum(BETWEEN + _width(name, texts[name]) for name in ("rank", "n"))
    names = _names(board)
    cells = _fitting(rows, names, ("mean", "low", "high"), room)
    if len(cells) < min(len(names), WITH_INTERVALS):
        cells = _fitting(rows, names, ("mean",), room)
    table = TextTable(box=box.SIMPLE_HEAD, padding=(0, BETWEEN - 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("rank", no_wrap=True)
    table.add_column("method", overflow="fold", width=label)
    for name in ("n", *map(_short, cells)):
        table.add_column(name, justify="right", no_wrap=True)
    for place in range(len(rows)):
        table.add_row(*(texts[name][place] for name in texts), *(own[place] for own in cells.values()))
    told = reliability[(reliability[BLOCK] == list(keys)).all(axis=1)].set_index("metric")
    _say(console, _title(keys, board))
    console.print(table)
    _say(console, _legend(cells, len(names), rows))
    nothing = _why_none_leads(board)
    for line in [nothing] if nothing else [_who_leads(board), _at_what_price(board), _how_sure(board, told)]:
        _say(console, line)


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False)


def _each(rows: pd.DataFrame) -> Iterator[pd.Series]:
    return (row for _, row in rows.iterrows())


def _labels(board: pd.DataFrame) -> list[str]:
    """Each row's method, what tells it from the method's other rows, how it is known, whether it is odd, or stale."""
    known = ["" if text == MEASURED else f"({text})" for text in board["evidence"]]
    stale = [f"(stale: {text})" if text else "" for text in board["stale"]]
    odd = [ODD if text else "" for text in board["remarks"]]
    told = zip(short_labels(board), board["versions"], known, odd, stale, strict=True)
    return [" ".join(filter(None, parts)) for parts in told]


def _rank(row: pd.Series) -> str:
    """The rank with its interval, and a mark where it is not told from the best."""
    if pd.isna(row["rank"]):
        return ""
    interval = "" if pd.isna(row["rank_low"]) else f" [{row['rank_low']}-{row['rank_high']}]"
    return f"{row['rank']}{interval}{f' {TIED}' if _is_tied(row) else ''}"


def _is_tied(row: pd.Series) -> bool:
    return bool(pd.notna(row["tied"]) and row["tied"])


def _names(board: pd.DataFrame) -> list[str]:
    """The columns that have scores: the price, what is told of a world's parts, the first scores, then the rest."""
    names = [str(column).removesuffix("_mean") for column in board if str(column).endswith("_mean")]
    # Of a world's parts the headlines.
    elsewhere = [name for name in names if "@" in name and "." not in name.rpartition("@")[2]]
    first = [name for name in elsewhere if name.startswith(OF_PARTS)]
    price, *scores = SHORT
    ranked = [name for name in names if f"{name}_rank" in board]
    order = dict.fromkeys([price, *first, *scores, *ranked, *elsewhere])
    return [name for name in order if name in names and board[f"{name}_n"].any()]


def _short(name: str) -> str:
    plain, at, part = name.rpartition("@")
    return SHORT.get(name) or (f"{SHORT.get(plain, plain)}@{part}" if at else name)


def _fitting(rows: pd.DataFrame, names: Sequence[str], parts: Sequence[str], room: int) -> dict[str, list[str]]:
    """The cells of the first of those columns that fit into so many characters, of one at least."""
    kept: dict[str, list[str]] = {}
    for name in names:
        cells = [_interval(*(row[f"{name}_{part}"] for part in parts)) for row in _each(rows)]
        room -= BETWEEN + _width(_short(name), cells)
        if room < 0 and kept:
            break
        kept[name] = cells
    return kept


def _width(name: str, cells: Sequence[str]) -> int:
    return max(map(len, (name, *cells)))


def _interval(*values: float) -> str:
    """A mean, with its interval where there is one."""
    digits = 3 if abs(values[0]) < 1 else 2 if abs(values[0]) < 10 else 1
    parts = [f"{value:.{digits}f}" for value in values if not isnan(value)]
    return f"{parts[0]} [{parts[1]}, {parts[2]}]" if len(parts) == 3 else "".join(parts[:1])


def _title(keys: Sequence[Any], board: pd.DataFrame) -> str:
    dataset, source, preset, steps, _ = keys
    rows = board[["train_rows", "test_rows"]].max()
    encoded = "" if rows.isna().any() else f"; scored on {rows['train_rows']:,} + {rows['test_rows']:,} rows"
    most = "" if len(board) <= MOST_ROWS else f"; the best {MOST_ROWS} of {len(board)}"
    return f"{dataset} ({source}), {preset}: {steps:,} steps{encoded}{most}"


def _legend(cells: Mapping[str, Sequence[str]], columns: int, rows: pd.DataFrame) -> str:
    """What the short names and marks of the table mean."""
    told = ["n: seeds"]
    if rows["rank_low"].notna().any():
        told.append("rank [its 95% interval]")
    if any("[" in cell for own in cells.values() for cell in own):
        told.append("means [95% intervals]")
    told += [f"{TIED}: not told from the best" for _ in range(any(_is_tied(row) for row in _each(rows)))]
    told += [f"{ODD}: see remarks" for _ in range(bool(rows["remarks"].ne("").any()))]
    told += [f"{_short(name)}: {name}" for name in cells if _short(name) != name]
    told += [f"{columns - len(cells)} columns more: leaderboard.csv" for _ in range(len(cells) < columns)]
    return "; ".join(told)


def _contenders(board: pd.DataFrame) -> pd.DataFrame:
    """The ranked rows that contend, in order."""
    return board[board["rank"].notna() & contends(board)].sort_values("rank", kind="stable")


def _why_none_leads(board: pd.DataFrame) -> str:
    """Why no row leads; empty where one does."""
    if not board["seeds"].any():
        return "Leads: none, as no run finished."
    if board["rank"].isna().all():
        return "Leads: none, as no row has a rank."
    return "" if len(_contenders(board)) else "Leads: none, as what has a rank is doubted (see remarks) or the truth."


def _who_leads(board: pd.DataFrame) -> str:
    """Who leads, and whom the seeds do not tell from it."""
    rows = _contenders(board)
    if len(rows) < 2:
        return f"Leads: {_labels(rows)[0]}, alone."
    leader, *others = zip(_labels(rows), _each(rows), strict=True)
    if rows["rank_low"].isna().all():
        return f"Leads: {leader[0]}; so few seeds tell nothing apart."
    tied = [label for label, row in others if _is_tied(row)]
    if not tied:
        return f"Leads: {leader[0]}, told apart from all others."
    more = f" and {len(tied) - MOST_NAMED} more" if len(tied) > MOST_NAMED else ""
    return f"Leads: {leader[0]}, not told from {', '.join(tied[:MOST_NAMED])}{more}."


def _at_what_price(board: pd.DataFrame) -> str:
    """What the leader reconstructs worse than the row that reconstructs best."""
    rows = _contenders(board)
    if "reconstruction_mean" not in rows or rows["reconstruction_mean"].isna().all():
        return "Its price: nothing here reconstructs."
    best = int(rows["reconstruction_mean"].argmin())
    own, least = rows["reconstruction_mean"].iloc[0], rows["reconstruction_mean"].iloc[best]
    if isnan(own):
        return f"Its price: it reconstructs nothing; {_labels(rows)[best]} loses {least:.1f} nats an image."
    if best == 0:
        return f"Its price: none, at {own:.1f} nats an image it reconstructs best."
    return f"Its price: {own - least:.1f} nats an image more than {_labels(rows)[best]}, {own:.1f} for {least:.1f}."


def _how_sure(board: pd.DataFrame, reliability: pd.DataFrame) -> str:
    """How many seeds ranks of reliability 0.9 take, of a few metrics, and what those here tell apart."""
    needed = {_short(name): reliability["seeds_needed"].get(name, float("nan")) for name in TOLD}
    told = [
        f"{'no number of seeds' if seeds == inf else f'{seeds:g} seeds'} by {name}"
        for name, seeds in needed.items()
        if not isnan(seeds)
    ]
    fewest, most = board["seeds"].min(), board["seeds"].max()
    here = f"{most}" if fewest == most else f"{fewest} to {most}"
    if not told:
        return f"To know: {here} seeds of so few rows do not say how many seeds a sure order takes."
    beside = board["next_tied"].dropna()
    apart = len(beside) - int(beside.sum())
    here += f"; of {len(beside)} neighbours in rank {apart} are told apart" if len(beside) else ""
    return f"To know: ranks of reliability 0.9 take {', '.join(told)}; here {here}."
