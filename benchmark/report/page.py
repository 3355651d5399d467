"""One page of all that is stored, a file that asks nobody for anything: tables, figures and pictures within it."""

import hashlib
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import nan
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

import methods
import metrics
from benchmark.report import page_plots
from benchmark.report.leaderboard import BLOCK, CONFIGURATION, tell_left_out
from benchmark.report.page_figures import METRIC_TOLD, draw_beta_vae_score
from benchmark.report.page_panels import Panel, Shared, panels_of
from benchmark.report.page_pictures import Look
from benchmark.report.page_plots import Plot
from benchmark.report.page_tables import (
    MISSING,
    PARTS,
    Leader,
    Table,
    board_table,
    declared_by,
    leaders_by,
    marked_labels,
    number_of,
    other_tables,
    plain_table,
    property_names,
    show,
    tell_leader,
)
from benchmark.report.reported import PAPERS, reported_numbers
from benchmark.report.story import IN_USE, latents_in_use, scored_by_beta
from benchmark.report.worth import ORACLE
from benchmark.spec import CLAIMED, is_doubted
from benchmark.storage.store import open_atomically

TEMPLATES = Path(__file__).parent / "templates"
FILE = "index.html"
COVERAGE = Path(__file__).parent / "coverage.csv"  # what `python -m tests.benchmarks.coverage` prints of our intervals
CARRIED = re.compile(rb'<meta name="source" content="([0-9a-f]{64})">')
HEAD = 4_096  # bytes of a page within which it stands
FIRST = ("reconstruction", "beta_vae_score", "factor_vae_score", "mig", "dci_fast")  # of what is drawn
GAINS = {
    "beta_vae_score.at_5_pairs_without_shape": "beta-VAE score (5 pairs, without shape)",
    "dci_fast": "DCI disentanglement",
    "mig": "MIG",
}
PRICES = {"reconstruction": "reconstruction loss, nats", "kl": "KL, nats"}


@dataclass(frozen=True)
class Beta:
    """A beta whose latents are shown: the least, the best, the greatest."""

    beta: str
    best: bool
    scores: str
    target: str
    look: Look


@dataclass(frozen=True)
class Story:
    """What beta buys and what it costs: in sentences, in figures by their titles, and seen."""

    method: str
    sentences: Sequence[str]
    gains: Sequence[tuple[str, Markup]]
    prices: Sequence[tuple[str, Markup]]
    betas: Sequence[Beta]


@dataclass(frozen=True)
class Block:
    """Runs that compare, on the same data by the same protocol, and all that is said of them."""

    id: str
    dataset: str
    world: str
    source: str
    preset: str
    steps: str
    facts: str
    sentence: str
    oracle: bool
    doubted: bool
    story: Story | None
    leaders: Sequence[Leader]
    ranks: Markup
    board: Table
    chosen: Table | None
    plots: Sequence[Plot]
    tables: Sequence[Table]
    panels: Sequence[Panel]
    failed: Sequence[tuple[str, str]]

    @property
    def data(self) -> str:
        """The data set, with its world where it has one."""
        return f"{self.dataset} {self.world}".strip()


def write_page(out: Path, runs: pd.DataFrame, board: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> Path:
    """Write `<out>/index.html`: tables, figures and pictures of the stored runs in one file that needs no other.

    The same stored runs give the same bytes. It carries a digest of what it was made from, and is left as it is while
    that stays.

    Args:
        board: of `build_leaderboard`.
        tables: what is compared, by name, each with the columns of a block first; any may be missing or empty.
    """
    shared, path, source = Shared(out), out / FILE, _digest(runs, board, *tables.values())
    if _made_from(path) == source:
        return path
    blocks = [
        _block(shared, f"b{number}", own, rows, _of_block(tables, own))
        for number, (own, rows) in enumerate(_blocks(runs, board), 1)
    ]
    names = sorted({block.dataset for block in blocks})
    across = tables.get("across", pd.DataFrame())
    content = _template().render(
        source=source,
        blocks=blocks,
        runs=runs.loc[runs["method"] != "", "run"].nunique(),
        damaged=tell_left_out(runs),
        methods=sorted({panel.method for block in blocks for panel in block.panels}),
        datasets=names,
        worlds=sorted({block.data for block in blocks}),
        parts=PARTS,
        presets=sorted({block.preset for block in blocks}),
        across=plain_table("Over data sets", across) if len(across) else None,
        coverage=plain_table("Share of intervals that hold, by seeds", pd.read_csv(COVERAGE)),
        declared=declared_by(runs),
        properties=property_names(),
        diagram=draw_beta_vae_score(),
        diagram_told=METRIC_TOLD,
        reported=[(number, each) for number, each in enumerate(reported_numbers()) if each.dataset in names],
        papers=PAPERS,
        in_use=IN_USE,
    )
    with open_atomically(path) as file:
        file.write(content.encode("utf-8", "backslashreplace"))
    return path


def _digest(*tables: pd.DataFrame) -> str:
    """Tells whether the same tables were shown by the same code, of the same methods and metrics."""
    rows = b"".join(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes() for table in tables)
    own = [*Path(__file__).parent.glob("*.py"), *Path(__file__).parent.glob("*.csv"), *TEMPLATES.iterdir()]
    told = [path for package in (methods, metrics) for path in Path(str(package.__file__)).parent.glob("*.py")]
    code = b"".join(path.read_bytes() for path in sorted([*own, *told]) if path.is_file())
    return hashlib.sha256(rows + code).hexdigest()


def _made_from(path: Path) -> str:
    """The digest that the page at the path carries; empty where there is none."""
    try:
        with path.open("rb") as file:
            found = CARRIED.search(file.read(HEAD))
    except OSError:
        return ""
    return found[1].decode() if found else ""


# --- the template ------------------------------------------------------------------------------------


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sources = {
        name: (TEMPLATES / f"page.{ending}").read_text() for name, ending in (("style", "css"), ("script", "js"))
    }
    environment.filters |= {"words": _words, "prose": _prose, "shown": show}
    environment.globals |= {name: Markup(text) for name, text in sources.items()}
    environment.globals["allowed"] = {name: _hash(text) for name, text in sources.items()}
    return environment.get_template("page.html")


def _hash(text: str) -> str:
    """What a browser's policy knows a script or a style by."""
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _words(name: str) -> Markup:
    """A name that a line may break after its underscores and points, but for those of numbers."""
    return Markup("<wbr>").join(re.split(r"(?<=[_@])|(?<=\.)(?!\d)", name))


def _prose(text: str) -> Markup:
    """A text in which what stands between backticks is code."""
    parts = [Markup("<code>{}</code>").format(part) if n % 2 else part for n, part in enumerate(text.split("`"))]
    return Markup().join(parts)


# --- blocks ------------------------------------------------------------------------------------------


def _blocks(runs: pd.DataFrame, board: pd.DataFrame) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """The runs of each block with its rows of the leaderboard, those with the most runs first."""
    texts = dict.fromkeys({*CONFIGURATION, "run", "metric"} - {"steps", "method_version"}, "str")
    own = [(keys, block.astype(texts)) for keys, block in runs.groupby(BLOCK, observed=True)]
    named = board[BLOCK].astype("str")
    for keys, block in sorted(own, key=lambda each: (-each[1]["run"].nunique(), tuple(map(str, each[0])))):
        yield block, board[(named == list(map(str, keys))).all(axis=1)].reset_index(drop=True)


def _of_block(tables: Mapping[str, pd.DataFrame], block: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of each table that are of the block."""
    keys = block[BLOCK].iloc[0].astype("str").tolist()
    own = {name: table for name, table in tables.items() if set(BLOCK) <= {*table}}
    return {name: table[(table[BLOCK].astype("str") == keys).all(axis=1)] for name, table in own.items()}


def _block(
    shared: Shared, name: str, runs: pd.DataFrame, rows: pd.DataFrame, tables: Mapping[str, pd.DataFrame]
) -> Block:
    dataset, source, preset, steps, _ = runs[BLOCK].iloc[0]
    dataset, _, world = dataset.partition(" ")
    reported = "" if world else dataset  # papers report nothing of a world
    one_each = runs.drop_duplicates("run")
    scored = runs[(runs["state"] == "finished") & (runs["metric"] != "")]
    rows = rows.copy().assign(label=marked_labels(rows), target=[f"{name}-c{number}" for number in range(len(rows))])
    panels = panels_of(shared, one_each, rows)
    headlines = _headlines(runs)
    seeds = one_each["seed"].nunique()
    leaders = [leader for metric in ("", *headlines) for leader in leaders_by(rows, metric)]
    failed = one_each[one_each["state"] == "failed"]
    return Block(
        id=name,
        dataset=dataset,
        world=world,
        source=source,
        preset=preset,
        steps=f"{steps:,}",
        facts=", ".join(map(_count, (len(one_each), len(rows), seeds), ("run", "configuration", "seed"))),
        sentence=tell_leader(leaders, len(rows) > 0 and bool((rows["evidence"] == CLAIMED).all())),
        oracle=ORACLE in {*rows["method"]},
        doubted=bool(rows["remarks"].map(is_doubted).any()),
        story=_story(scored, rows, {panel.id: panel for panel in panels}),
        leaders=leaders,
        ranks=page_plots.draw_ranks(rows),
        board=board_table("Every configuration", rows, reported),
        chosen=_chosen(tables.get("chosen", rows.iloc[:0]), rows, reported),
        plots=page_plots.draw_plots(scored, rows, headlines, tables),
        tables=other_tables(tables),
        panels=panels,
        failed=[(str(run), str(reason)) for run, reason in zip(failed["run"], failed["reason"], strict=True)],
    )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _headlines(runs: pd.DataFrame) -> dict[str, int]:
    """The headline metrics with their directions, those that are looked at first to begin with."""
    each = runs[runs["direction"] != 0].drop_duplicates("metric")
    known = {str(name): int(way) for name, way in zip(each["metric"], each["direction"], strict=True)}
    order = {name: place for place, name in enumerate(FIRST)}
    return dict(sorted(known.items(), key=lambda item: (order.get(item[0], len(order)), item[0])))


def _chosen(chosen: pd.DataFrame, rows: pd.DataFrame, dataset: str) -> Table | None:
    """The table of chosen configurations, each leading to its panel."""
    if chosen.empty:
        return None
    own = ["method", "hyperparameters"]
    targets = dict(zip(rows[own].itertuples(index=False, name=None), rows["target"], strict=True))
    found = [targets.get(row, "") for row in chosen[own].itertuples(index=False, name=None)]
    caption = "Each method at the configuration that half of the seeds chose, scored by the other half"
    return board_table(caption, chosen.copy().assign(target=found), dataset)


# --- what beta does ----------------------------------------------------------------------------------


def _story(scored: pd.DataFrame, board: pd.DataFrame, panels: Mapping[str, Panel]) -> Story | None:
    """What beta buys and costs, of the method that it is told of; None where no method has runs at two betas."""
    rows, names = scored_by_beta(board, GAINS)
    rows = rows.reset_index(drop=True)
    if len(rows) < 2:
        return None
    best = int(rows[[f"{name}_mean" for name in names]].mean(axis=1).to_numpy().argmax())
    method = str(rows["method"].iloc[0])
    own = scored[scored["method"] == method]
    used = latents_in_use(own)
    prices = {name: label for name, label in PRICES.items() if f"{name}_mean" in rows}
    return Story(
        method,
        _tell_story(rows, names, best, used),
        [(GAINS[name], page_plots.draw_sweep(own, rows, name, GAINS[name], tone=0, least=0.0)) for name in names],
        [(label, page_plots.draw_sweep(own, rows, name, label, tone=1)) for name, label in prices.items()]
        + page_plots.draw_latents(used, rows),
        [_beta(rows.iloc[place], place == best, names, panels) for place in sorted({0, best, len(rows) - 1})],
    )


def _beta(row: pd.Series, best: bool, names: Sequence[str], panels: Mapping[str, Panel]) -> Beta:
    scores = [f"{GAINS[name]} {show(number_of(row[f'{name}_mean']))}" for name in names]
    scores.append(f"reconstruction loss {show(number_of(row['reconstruction_mean']))} nats")
    return Beta(f"{row['beta_mean']:g}", best, ", ".join(scores), row["target"], panels[row["target"]].look)


def _tell_story(rows: pd.DataFrame, names: Sequence[str], best: int, used: pd.DataFrame) -> list[str]:
    """What changes from the least beta to the best, and from there to the greatest."""
    latents = used.groupby("hyperparameters")["value"].mean()
    told = []
    for start, end in pairwise(sorted({0, best, len(rows) - 1})):
        one, other = (rows.iloc[place] for place in (start, end))
        parts = [f"{GAINS[name]} {_tell_change(one[f'{name}_mean'], other[f'{name}_mean'])}" for name in names]
        price = _tell_change(one["reconstruction_mean"], other["reconstruction_mean"])
        kept = _tell_change(*(latents.get(row["hyperparameters"], nan) for row in (one, other)))
        betas = f"From beta = {one['beta_mean']:g} to {other['beta_mean']:g}"
        told.append(f"{betas}: {', '.join(parts)}; reconstruction loss {price} nats, latents in use {kept}.")
    if best == 0:
        told.append("The least beta that was tried scores best.")
    if best == len(rows) - 1:
        told.append("The greatest beta that was tried scores best: more may buy more.")
    return told


def _tell_change(one: float, other: float) -> str:
    texts = [show(number_of(value)) for value in (one, other)]
    if MISSING in texts:
        return "not known"
    if texts[0] == texts[1]:
        return f"still {texts[0]}"
    return f"{'up' if other > one else 'down'} from {texts[0]} to {texts[1]}"
