"""The tables of the page, and what their numbers mean: rows and columns as texts, with what they are sorted by."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite, isinf, isnan, nan
from typing import Any

import pandas as pd

from benchmark.report.display import declared_metrics, first_line
from benchmark.report.leaderboard import BLOCK, CONFIGURED, contends, short_labels
from benchmark.report.reported import Reported, reported_numbers, reported_of
from benchmark.spec import MEASURED, is_doubted
from metrics import Metric

FIRST = (  # of the columns, shown from the start
    "reconstruction",
    "beta_vae_score",
    "beta_vae_score.at_5_pairs",
    "factor_vae_score",
    "mig",
    "dci_fast",
    "udr",
)
BESIDE = ("kl", "active_latents")  # first of those by choice
LOWER_IS_BETTER = ("reconstruction", "kl")  # of what is no metric
NAMED = 6  # configurations that a sentence names
ALONE = "nothing to compare it with"
REPORTED = "what papers report, by protocols of their own: never ranked"
FACTS = 2  # of papers, in a row
MISSING = "-"
DOUBTED = " (!)"  # after the label of a row whose codes are no encoder's
PARTS = {  # of a world, in which a metric is measured
    "correlated": "of what training draws, whose factors are correlated",
    "seen": "of what training draws",
    "unseen": "of combinations that training never draws, over the factors that vary there",
}


@dataclass(frozen=True)
class Column:
    """A column of a table: what it is called, what that means, whether it is shown from the start."""

    name: str
    note: str = ""
    first: bool = True
    numeric: bool = True


@dataclass(frozen=True)
class Cell:
    """A cell: its text, what it is sorted by, its interval, whether it ties with the best, and where it leads."""

    text: str = ""
    value: float | str | None = None
    beside: str = ""
    tied: bool = False
    target: str = ""
    links: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Row:
    """A row of a table, with its method, by which it is chosen."""

    cells: Sequence[Cell]
    method: str = ""


@dataclass(frozen=True)
class Table:
    """A table that can be sorted."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Row]


@dataclass(frozen=True)
class Leader:
    """Who is best by one measure, and from whom the seeds do not tell it.

    Attributes:
        tied: labels and targets of the first of those; `more`: how many others there are.
        shared: how many of them have the very same rank, who stand first.
        untied: what is said where there is nobody.
    """

    measure: str
    note: str
    name: str
    target: str
    value: str
    interval: str
    rank: str
    tied: Sequence[tuple[str, str]]
    more: int
    shared: int
    untied: str


@dataclass(frozen=True)
class Declared:
    """What a metric declares of itself."""

    name: str
    about: str
    span: str
    better: str
    chance: str
    ceiling: str
    reference: str
    breaks: Sequence[tuple[str, str]]
    holds: Sequence[str]


# --- numbers as texts --------------------------------------------------------------------------------


def rows_of(table: pd.DataFrame) -> list[Mapping[str, Any]]:
    """A table's rows by the names of its columns."""
    names = [str(name) for name in table]
    return [dict(zip(names, row, strict=True)) for row in zip(*(table[name].tolist() for name in table), strict=True)]


def number_of(value: Any) -> float:
    """A number, nan where there is none."""
    return nan if value is None or pd.isna(value) else float(value)


def show(value: float) -> str:
    """A number to three or four digits; a dash where there is none."""
    if isnan(value):
        return MISSING
    if isinf(value):
        return "∞" if value > 0 else "-∞"
    digits = 3 if abs(value) < 1 else 2 if abs(value) < 10 else 1 if abs(value) < 1000 else 0
    return f"{value:,.{digits}f}"


def _show_interval(low: float, high: float) -> str:
    return "" if isnan(low) or isnan(high) else f"[{show(low)}, {show(high)}]"


def rank_of(row: Mapping[str, Any], name: str = "") -> tuple[str, str]:
    """A rank and its interval as texts."""
    rank, low, high = (number_of(row.get(f"{name}rank{end}")) for end in ("", "_low", "_high"))
    between = "" if isnan(low) or isnan(high) else f"{low:.0f} to {high:.0f}" if low < high else f"{low:.0f}"
    return (MISSING if isnan(rank) else f"{rank:.0f}"), between


def marks_of(row: Mapping[str, Any]) -> str:
    """What is to be known of a row before its scores: how they are known where we did not train it, odd, stale."""
    evidence = "" if row["evidence"] == MEASURED else row["evidence"]
    return "; ".join(filter(None, [evidence, row["remarks"], f"stale: {row['stale']}" if row["stale"] else ""]))


def marked_labels(rows: pd.DataFrame) -> list[str]:
    """Each row's short label, marked where its codes are no encoder's."""
    pairs = zip(short_labels(rows), rows["remarks"], strict=True)
    return [f"{label}{DOUBTED}" if is_doubted(remarks) else label for label, remarks in pairs]


# --- the leaderboard ---------------------------------------------------------------------------------


def board_table(caption: str, rows: pd.DataFrame, dataset: str) -> Table:
    """The leaderboard's rows: first the few columns that say most, the others by choice.

    Args:
        dataset: of whose images papers report numbers; empty for none.
    """
    names = [str(name).removesuffix("_mean") for name in rows if str(name).endswith("_mean")]
    names = [name for name in names if rows[f"{name}_n"].any()]
    first = [name for name in FIRST if name in names]
    rest = sorted({*names} - {*first}, key=lambda name: (name not in BESIDE, name))
    columns = [
        Column("rank", "by the mean of the metrics' ranks; in brackets its 95% interval, were the seeds drawn anew"),
        Column("method", numeric=False),
        Column("hyperparameters", numeric=False),
        Column("seeds", "finished runs, and those that failed"),
        *(Column(name, _note(name)) for name in first),
        *(
            [Column("iqm", "interquartile mean of the scores, 0 at chance and 1 at the ceiling")]
            if "iqm" in rows
            else []
        ),
        *([Column("reported", REPORTED, numeric=False)] if dataset else []),
        *(Column(name, _note(name), first=False) for name in rest),
    ]
    records = rows_of(rows)
    return Table(caption, columns, [_row(row, first, rest, dataset) for row in records])


def _row(row: Mapping[str, Any], first: Sequence[str], rest: Sequence[str], dataset: str) -> Row:
    rank, between = rank_of(row)
    failed, seeds = int(number_of(row["failed"])), int(number_of(row["seeds"]))
    settings = " ".join(filter(None, [row["hyperparameters"], row["versions"]]))
    cells = [
        Cell(rank, _sorted_by(row["rank"]), f"[{between}]" if between else "", _is_tied(row, "")),
        Cell(row["method"], row["method"], target=row["target"]),
        Cell(settings, settings, marks_of(row)),
        Cell(str(seeds), float(seeds), f"{failed} failed" if failed else ""),
        *(_score_cell(row, name) for name in first),
        *([Cell(show(number_of(row["iqm"])), _sorted_by(row["iqm"]))] if "iqm" in row else []),
        *([_reported_cell(dataset, row["method"], row["hyperparameters"])] if dataset else []),
        *(_score_cell(row, name) for name in rest),
    ]
    return Row(cells, row["method"])


def _score_cell(row: Mapping[str, Any], name: str) -> Cell:
    mean, low, high = (number_of(row[f"{name}_{part}"]) for part in ("mean", "low", "high"))
    return Cell(show(mean), _sorted_by(mean), _show_interval(low, high), _is_tied(row, f"{name}_"))


def _sorted_by(value: Any) -> float | None:
    number = number_of(value)
    return None if isnan(number) else round(number, 6)


def _is_tied(row: Mapping[str, Any], name: str) -> bool:
    return number_of(row.get(f"{name}tied")) == 1


def _reported_cell(dataset: str, method: str, hyperparameters: str) -> Cell:
    found = reported_of(dataset, method, hyperparameters)
    links = [(f"{each.metric} {each.shown}", _reported_target(each)) for each in found[:FACTS]]
    links += [(f"and {len(found) - FACTS} more", "reported")] if len(found) > FACTS else []
    return Cell(value=found[0].value if found else None, links=links)


def _reported_target(each: Reported) -> str:
    return f"reported-{reported_numbers().index(each)}"


def _note(name: str) -> str:
    """What a column is, in a line, and which way is better."""
    plain, _, at = name.partition("@")
    part, _, of_part = at.partition(".")
    where = f", {PARTS[part]}" if part in PARTS else ""
    if plain in LOWER_IS_BETTER:
        return f"nats an image, {PARTS.get(part, 'on the rows that test')}; less is better"
    base, _, value = plain.partition(".")
    metric = declared_metrics().get(base.partition("[")[0])
    if metric is None:
        return ""
    better = "more is better" if metric.higher_is_better else "less is better"
    told = value or of_part
    return f"{first_line(metric.function.__doc__)}{f' ({told})' if told else ''} {better}{where}."


# --- who leads ---------------------------------------------------------------------------------------


def leaders_by(rows: pd.DataFrame, metric: str) -> Iterator[Leader]:
    """The best contender by a metric, or overall, if any has a rank by it."""
    name = f"{metric}_" if metric else ""
    if f"{name}rank" not in rows:
        return
    parts = [f"{name}{part}" for part in ("rank", "rank_low", "rank_high", "tied", "mean", "low", "high")]
    shown = [each for each in dict.fromkeys([*parts, "rank", *CONFIGURED, "label", "target"]) if each in rows]
    ranked = rows.loc[rows[f"{name}rank"].notna() & contends(rows), shown]
    ranked = ranked.sort_values([f"{name}rank", "rank", "method", "hyperparameters"])
    if ranked.empty:
        return
    (first,) = rows_of(ranked.head(1))
    others = ranked.iloc[1:]
    shared = others[f"{name}rank"] == first[f"{name}rank"]
    others = others[shared | (others.get(f"{name}tied", shared) == 1).fillna(False)]
    told = f"{name}rank_low" in ranked and ranked[f"{name}rank_low"].notna().any()
    untied = "nobody is known to tie" if told else "one seed a row tells nothing apart"
    tied = [*zip(others["label"], others["target"], strict=True)]
    mean, low, high = (number_of(first.get(f"{metric}_{part}")) if metric else nan for part in ("mean", "low", "high"))
    rank, between = rank_of(first, name)
    yield Leader(
        metric or "overall",
        _note(metric) if metric else "the mean of the metrics' ranks",
        first["label"],
        first["target"],
        "" if isnan(mean) else show(mean),
        _show_interval(low, high),
        f"{rank} ({between})" if between else rank,
        tied[:NAMED],
        max(0, len(tied) - NAMED),
        int(shared.sum()),
        untied if len(ranked) > 1 else ALONE,
    )


def tell_leader(leaders: Sequence[Leader], claimed: bool = False) -> str:
    """Who leads overall, in a sentence; `claimed`: nothing but claims is there to lead."""
    overall = next((leader for leader in leaders if leader.measure == "overall"), None)
    if overall is None and claimed:
        return "All scores here are claimed, numbers without codes, and so unranked."
    if overall is None:
        return (
            "No configuration here has a rank: either nothing finished, or scores of several versions do not compare."
        )
    count = len(overall.tied) + overall.more
    if overall.untied == ALONE:
        return f"{overall.name} is alone: there is {ALONE}."
    if overall.shared:
        named = [name for name, _ in overall.tied[: overall.shared]]
        named += [f"{overall.shared - len(named)} more"] * (overall.shared > len(named))
        rest = f"; the seeds there are do not tell them from {count - overall.shared} more"
        shares = f"{overall.name} shares its rank by the mean of the metrics' ranks with {', '.join(named)}"
        return f"{shares}{rest if count > overall.shared else ''}."
    if not count:
        return f"{overall.name} leads by the mean of the metrics' ranks."
    many = f"{count} other configurations" if count > 1 else "one other configuration"
    return (
        f"{overall.name} is first by the mean of the metrics' ranks, "
        f"but the seeds there are do not tell it from {many}."
    )


# --- other tables ------------------------------------------------------------------------------------

CAPTIONS = {
    "reliability": "What ranks are worth: how alike seeds rank configurations, and how many seeds would be needed",
    "unlabelled": "Choosing without labels: the configuration that UDR picks of each method, and what it loses",
}
HEADINGS = {
    "seed_agreement": "mean rank correlation of two seeds",
    "seeds_needed": "seeds for which ranks would be reliable (0.9); ∞ where no number would do",
    "told_apart": "pairs of neighbours in rank that the seeds tell apart",
    "same_seed_share": "share of the variance within configurations that goes with the seed's number",
    "regret": "what the best configuration has more than the one that was picked",
}


def other_tables(tables: Mapping[str, pd.DataFrame]) -> list[Table]:
    """What else is told of a block, as far as there is any."""
    present = [(name, tables[name]) for name in CAPTIONS if name in tables and len(tables[name])]
    return [plain_table(CAPTIONS[name], table.drop(columns=BLOCK)) for name, table in present]


def plain_table(caption: str, table: pd.DataFrame) -> Table:
    """A table as it is."""
    numeric = [pd.api.types.is_numeric_dtype(table[name]) for name in table]
    columns = [
        Column(str(name), HEADINGS.get(str(name), ""), numeric=own) for name, own in zip(table, numeric, strict=True)
    ]
    rows = []
    for values in table.itertuples(index=False, name=None):
        cells = [_plain_cell(value, own) for value, own in zip(values, numeric, strict=True)]
        method = str(values[list(table).index("method")]) if "method" in table else ""
        rows.append(Row(cells, method))
    return Table(caption, columns, rows)


def _plain_cell(value: Any, numeric: bool) -> Cell:
    if not numeric:
        return Cell(str(value), str(value))
    number = number_of(value)
    whole = isfinite(number) and number == int(number)
    text = f"{int(number):,}" if whole else show(number)
    return Cell(text, None if isnan(number) else min(number, 1e300) if number == inf else number)


# --- what numbers mean -------------------------------------------------------------------------------


def property_names() -> list[str]:
    """Every property that some metric declares that it does not hold to."""
    return sorted({_property(name) for metric in declared_metrics().values() for name in metric.breaks})


def _property(name: str) -> str:
    """Of a score or of a column, as in "doubling codes (active)"."""
    return name.partition(" (")[0]


def declared_by(runs: pd.DataFrame) -> list[Declared]:
    """What the metrics declare that the runs are scored with."""
    used = {str(name).partition(".")[0].partition("@")[0].partition("[")[0] for name in runs["metric"].unique()}
    found = []
    for name, metric in declared_metrics().items():
        if name not in used:
            continue
        low, high = (f"{end:.3g}".replace("inf", "∞") for end in metric.range)
        better = ("more" if metric.higher_is_better else "less") if metric.ranked else "not ranked"
        facts = (f"{low} to {high}", better, metric.chance, metric.ceiling, metric.reference)
        holds = [_holds(metric, each) for each in property_names()]
        about = first_line(metric.function.__doc__)
        found.append(Declared(name, about, *facts, list(metric.breaks.items()), holds))
    return found


def _holds(metric: Metric, name: str) -> str:
    """Whether the score, or else a value beside it alone, lacks a property."""
    lacking = {_property(each) for each in metric.breaks}
    return "no" if name in metric.breaks else "beside" if name in lacking else "yes"
