"""The plots of the page: scores against beta, the trade-off, ranks, metrics that agree, who beats whom, shares."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log10
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from benchmark.report.page_figures import (
    COLOURS,
    MARKS,
    Axis,
    Cell,
    Line,
    Matrix,
    Point,
    Series,
    Stack,
    beta_axis,
    beta_places,
    draw_intervals,
    draw_matrix,
    draw_plot,
    draw_stacks,
    linear_axis,
    logarithmic_axis,
    show_share,
)
from benchmark.report.page_tables import DOUBTED, marked_labels, number_of, rows_of
from benchmark.report.statistics import SPREAD, edge_of_bulk, on_frontier
from benchmark.report.story import IN_USE, count_factors
from benchmark.spec import is_doubted

SEVERAL = 6  # headlines that are drawn, of all that there are
MOST_RANKED = 25  # rows whose rank intervals are drawn
MOST_COMPARED = 20  # methods in a matrix
PALE = 7  # the tone of what is many, a grey
SHARES = {"method_share": "method", "hyperparameters_share": "hyperparameters", "seed_share": "seed"}


@dataclass(frozen=True)
class Plot:
    """Figures under a heading, with a word on how to read them and what their colours are."""

    title: str
    note: str
    figures: Sequence[tuple[str, Markup]]
    legend: Sequence[tuple[str, str, str]] = ()  # a name, the class of its colour, and the outline of its mark
    folded: bool = False


def draw_plots(
    scored: pd.DataFrame, rows: pd.DataFrame, headlines: Mapping[str, int], tables: Mapping[str, pd.DataFrame]
) -> list[Plot]:
    """All plots of a block that its runs have something for."""
    found = [
        _against_beta(scored, rows, headlines),
        _trade_off(scored, rows, headlines),
        _agreement(tables.get("agreement", pd.DataFrame())),
        _beats(_mark_doubted(tables.get("beats", pd.DataFrame()), rows), headlines),
        _variance(tables.get("variance", pd.DataFrame())),
    ]
    return [plot for plot in found if plot is not None and plot.figures]


# --- beta --------------------------------------------------------------------------------------------


def draw_sweep(
    scored: pd.DataFrame, rows: pd.DataFrame, name: str, label: str, tone: int, least: float | None = None
) -> Markup:
    """One measure of one method against beta: a dot a run, the mean and its 95% interval a beta."""
    places = beta_places(rows["beta_mean"])
    series = _sweep_series(scored, rows, name, places, tone)
    values = [value for point in (*series.means, *series.dots) for value in (point.y, point.low, point.high)]
    means = [f"{beta:g}: {mean:.3g}" for beta, mean in zip(rows["beta_mean"], rows[f"{name}_mean"], strict=True)]
    description = f"{label} by beta, means: {', '.join(means)}."
    return draw_plot(f"{label} against beta", description, [series], beta_axis(places), linear_axis("", values, least))


def _sweep_series(
    scored: pd.DataFrame, rows: pd.DataFrame, name: str, places: Mapping[float, float], tone: int
) -> Series:
    betas = dict(zip(rows["hyperparameters"], rows["beta_mean"], strict=True))
    told = [f"{name}_{part}" for part in ("mean", "low", "high", "n")]
    points = rows_of(rows[["method", "hyperparameters", "beta_mean", *told]])
    means = [_mean_point(row, name, places[row["beta_mean"]]) for row in points]
    own = scored[(scored["metric"] == name) & scored["hyperparameters"].isin(list(betas))]
    dots = [
        Point(places[betas[settings]], value, f"{settings}, seed {seed}: {value:.3g}")
        for settings, seed, value in zip(own["hyperparameters"], own["seed"], own["value"], strict=True)
    ]
    return Series(tone, means, dots)


def _mean_point(row: Mapping[str, Any], name: str, place: float) -> Point:
    """A configuration's mean with its interval."""
    mean, low, high = (number_of(row[f"{name}_{part}"]) for part in ("mean", "low", "high"))
    between = "" if np.isnan(low) else f" [{low:.3g}, {high:.3g}]"
    told = f"{row['method']} {row['hyperparameters']}: {mean:.3g}{between}, {row[f'{name}_n']} runs"
    return Point(place, mean, told, low, high)


def draw_latents(used: pd.DataFrame, rows: pd.DataFrame) -> list[tuple[str, Markup]]:
    """How many latents are in use, against beta."""
    places = beta_places(rows["beta_mean"])
    betas = dict(zip(rows["hyperparameters"], rows["beta_mean"], strict=True))
    used = used[used["hyperparameters"].isin(list(betas))]
    if used.empty:
        return []
    means = {betas[str(settings)]: float(own.mean()) for settings, own in used.groupby("hyperparameters")["value"]}
    points = [Point(places[beta], mean, f"beta {beta:g}: {mean:.3g} latents") for beta, mean in sorted(means.items())]
    dots = [
        Point(places[betas[settings]], float(value), f"{run}: {value}")
        for run, settings, value in zip(used["run"], used["hyperparameters"], used["value"], strict=True)
    ]
    count = count_factors(rows)
    label = f"latents in use (at least {IN_USE:g} nats)"
    told = f"{label} by beta, means: {', '.join(f'{beta:g}: {mean:.3g}' for beta, mean in sorted(means.items()))}."
    y = linear_axis("", used["value"].astype(float), 0.0, count)
    levels = {f"{count} factors": float(count)} if count else {}
    plot = draw_plot(f"{label} against beta", told, [Series(1, points, dots)], beta_axis(places), y, levels)
    return [(label, plot)]


def _against_beta(scored: pd.DataFrame, rows: pd.DataFrame, headlines: Mapping[str, int]) -> Plot | None:
    fixed = rows.assign(beta_mean=_set_betas(rows))
    fixed = fixed[fixed["beta_mean"].notna() & fixed["rank"].notna()]
    fixed = fixed[fixed.groupby("method")["beta_mean"].transform("nunique") > 1].sort_values("beta_mean")
    names = [name for name in headlines if f"{name}_mean" in fixed][:SEVERAL]
    if fixed.empty:
        return None
    places = beta_places(fixed["beta_mean"])
    tones = _tones(fixed["method"])
    figures = []
    for name in names:
        present = fixed.dropna(subset=[f"{name}_mean"])
        of_method = {
            method: (scored[scored["method"] == method], present[present["method"] == method]) for method in tones
        }
        series = [_sweep_series(*own, name, places, tones[method]) for method, own in of_method.items()]
        values = [
            value for own in series for point in (*own.means, *own.dots) for value in (point.y, point.low, point.high)
        ]
        description = f"{name} of {', '.join(tones)} at each beta; the values stand in the table."
        y = linear_axis("", values, 0.0)
        figures.append(
            (name, draw_plot(f"{name} against beta", description, series, beta_axis(places), y, _levels(scored, name)))
        )
    note = "A dot a run, and the mean and its 95% interval a configuration, of methods with two values of beta or more."
    note += " Beta weighs the KL, in beta-TCVAE the total correlation alone."
    return Plot("Scores against beta", note, figures, _legend(tones))


def _set_betas(rows: pd.DataFrame) -> pd.Series:
    """Each row's beta, nan where it has none or its training found it."""
    told = rows["hyperparameters"].str.extract(r"(?:^| )beta=(\S+)", expand=False)
    usual = rows.get("beta_mean", pd.Series(np.nan, rows.index))
    fixed = usual.where(rows.get("beta_std", pd.Series(np.nan, rows.index)).fillna(0) == 0)
    return pd.to_numeric(told, errors="coerce").fillna(fixed)


def _levels(scored: pd.DataFrame, name: str) -> dict[str, float]:
    """The chance and ceiling that the runs tell of a metric."""
    found = {
        level: scored.loc[scored["metric"] == f"{name}.{level}", "value"].mean() for level in ("chance", "ceiling")
    }
    return {level: float(value) for level, value in found.items() if not np.isnan(value)}


# --- the trade-off -----------------------------------------------------------------------------------


def _trade_off(scored: pd.DataFrame, rows: pd.DataFrame, headlines: Mapping[str, int]) -> Plot | None:
    """Scores against the reconstruction: of few methods each in its colour, of many those on the frontier named."""
    prices = scored[scored["metric"] == "reconstruction"].set_index("run")["value"]
    prices = prices[np.isfinite(prices)]
    if prices.empty:
        return None
    edge = edge_of_bulk(prices.to_numpy())
    low, high = float(prices.min()), min(float(prices.max()), edge)
    logarithmic = high > SPREAD * low > 0

    def across(price: float) -> float:
        return log10(min(price, edge)) if logarithmic else min(price, edge)

    x = (logarithmic_axis if logarithmic else linear_axis)("reconstruction loss, nats (less is better)", [low, high])
    methods = sorted(scored.loc[scored["run"].isin(prices.index), "method"].unique())
    tones = _tones(methods) if len(methods) < COLOURS else dict.fromkeys(methods, PALE)
    figures = []
    for name, direction in list(headlines.items())[:SEVERAL]:
        own = scored[(scored["metric"] == name) & scored["run"].isin(prices.index)]
        series = [
            Series(tones[method], (), _trades(own[own["method"] == method], name, prices, across)) for method in methods
        ]
        frontier = _frontier(rows, name, direction, across)
        y = linear_axis("", own["value"], 0.0)
        told = f"{name} against the reconstruction loss of {len(own)} runs of {len(methods)} methods. On the frontier: "
        told += "; ".join(point.told for point in frontier)
        drawn = [*series, Series(len(tones) % COLOURS if len(methods) < COLOURS else 0, frontier)]
        figures.append((name, draw_plot(f"{name} against reconstruction", told, drawn, x, y)))
    beyond = sorted(scored.loc[scored["run"].isin(prices[prices > edge].index), "method"].unique())
    note = (
        "A dot a run: up is better disentangled, left is better reconstructed. The line joins the configurations that"
    )
    note += " no other both reconstructs and scores better than."
    note += f" At the right edge, beyond it: {', '.join(beyond)}." if beyond else ""
    return Plot("The trade-off", note, figures, _legend(tones) if len(methods) < COLOURS else ())


def _trades(runs: pd.DataFrame, name: str, prices: pd.Series, across: Callable[[float], float]) -> list[Point]:
    points = []
    for run, method, settings, seed, value in zip(
        runs["run"], runs["method"], runs["hyperparameters"], runs["seed"], runs["value"], strict=True
    ):
        price = float(prices[run])
        told = f"{method} {settings}, seed {seed}: {name} {value:.3g}, reconstruction {price:.4g}"
        points.append(Point(across(price), value, told))
    return points


def _frontier(rows: pd.DataFrame, name: str, direction: int, across: Callable[[float], float]) -> list[Point]:
    """The means of the configurations that no other both reconstructs and scores better than, the cheapest first."""
    means = [f"{name}_mean", "reconstruction_mean"]
    own = rows.assign(label=marked_labels(rows)).dropna(subset=means).sort_values("reconstruction_mean")
    own = own[on_frontier(own[means[0]].to_numpy() * direction)]
    points = zip(own["label"], own["reconstruction_mean"], own[means[0]], strict=True)
    return [
        Point(across(price), score, f"{label}: {name} {score:.3g}, reconstruction {price:.4g}", name=label)
        for label, price, score in points
    ]


# --- ranks -------------------------------------------------------------------------------------------


def draw_ranks(rows: pd.DataFrame) -> Markup:
    """The overall rank of each method's best row, with its interval; in colour what is not told from the best."""
    ranked = rows[rows["rank"].notna()].sort_values(["rank", "method", "hyperparameters"]).drop_duplicates("method")
    if ranked.empty or "rank_low" not in ranked:
        return Markup()
    lines = [
        _rank_line(row) for row in rows_of(ranked.head(MOST_RANKED)[["label", "rank", "rank_low", "rank_high", "tied"]])
    ]
    axis = linear_axis("overall rank", [value for line in lines for value in (line.value, line.low, line.high)], 1)
    tied = [line.label for line in lines if line.strong]
    told = f"From the best down: {', '.join(line.told for line in lines)}. Not told from the best: {', '.join(tied)}."
    return draw_intervals("Overall rank of each method at its best configuration", told, lines, _whole(axis))


def _whole(axis: Axis) -> Axis:
    return Axis(
        axis.label, axis.low, axis.high, [(1, "1"), *(tick for tick in axis.ticks if tick[0] % 1 == 0 and tick[0] > 1)]
    )


def _rank_line(row: Mapping[str, Any]) -> Line:
    rank, low, high = (number_of(row[name]) for name in ("rank", "rank_low", "rank_high"))
    label = str(row["label"])
    told = f"{label}: {rank:.0f}" + ("" if np.isnan(low) else f" [{low:.0f} to {high:.0f}]")
    return Line(label, rank, told, low, high, number_of(row["tied"]) == 1)


# --- matrices and shares -----------------------------------------------------------------------------


def _agreement(table: pd.DataFrame) -> Plot | None:
    if table.empty:
        return None
    names = list(dict.fromkeys(table["metric"].astype("str")))
    cells = {}
    for metric, other, tau in zip(table["metric"], table["other"], table["tau"], strict=True):
        if not np.isnan(tau) and metric != other:
            told = f"{metric} and {other}: tau = {tau:.2f}"
            cells[str(metric), str(other)] = Cell(abs(tau), show_share(tau), told, 0 if tau >= 0 else 1)
    pairs = sorted(
        (cell.told for (one, other), cell in cells.items() if one < other),
        key=lambda told: float(told[told.rindex("=") + 1 :]),
    )
    told = f"Least alike: {pairs[0]}. Most alike: {pairs[-1]}." if pairs else ""
    title = "Kendall's rank correlation of each two metrics over configurations"
    note = (
        "Kendall's tau of each two metrics over the configurations' means: 1 where they rank all alike, 0 where one "
        "tells nothing of the other, in the other colour where they rank the other way round. "
    )
    return Plot("Do metrics agree?", note + told, [("", draw_matrix(title, told, Matrix(names, names, cells)))])


def _beats(table: pd.DataFrame, headlines: Mapping[str, int]) -> Plot | None:
    if table.empty:
        return None
    figures = [
        (name, figure)
        for name in list(headlines)[:SEVERAL]
        for figure in _draw_beats(name, table[table["metric"].astype("str") == name])
    ]
    note = (
        "The share of pairs, of a run of the row's method and one of the column's, in which the first scores better, "
        "ties half; each method at its best configuration, which is so by the same runs and favours methods of many. "
        "Pointed at, a cell tells its 95% interval."
    )
    return Plot("Who beats whom", note, figures, folded=True)


def _mark_doubted(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The table of pairs, the methods marked whose codes are no encoder's."""
    own = rows[rows["remarks"].map(is_doubted).astype(bool)]
    doubted = {*zip(own["method"], own["hyperparameters"], strict=True)}
    if table.empty or not doubted:
        return table
    named = {}
    for name, settings in (("method", "hyperparameters"), ("other", "other_hyperparameters")):
        pairs = zip(table[name].astype("str"), table[settings].astype("str"), strict=True)
        named[name] = [f"{pair[0]}{DOUBTED}" if pair in doubted else pair[0] for pair in pairs]
    return table.assign(**named)


def _draw_beats(name: str, table: pd.DataFrame) -> Iterator[Markup]:
    if table.empty:
        return
    names = list(dict.fromkeys([*table["method"].astype("str"), *table["other"].astype("str")]))[:MOST_COMPARED]
    cells = {}
    for row in rows_of(table):
        one, other = str(row["method"]), str(row["other"])
        ours, theirs = f"{one} {row['hyperparameters']}".strip(), f"{other} {row['other_hyperparameters']}".strip()
        counts = row["runs"], row["other_runs"]
        cells[one, other] = _win(row["probability"], row["low"], row["high"], ours, theirs, *counts)
        cells[other, one] = _win(
            1 - row["probability"], 1 - row["high"], 1 - row["low"], theirs, ours, *reversed(counts)
        )
    kept = {pair: cell for pair, cell in cells.items() if {*pair} <= {*names}}
    ordered = sorted(
        names,
        key=lambda one: -float(np.mean([_share(kept[one, other]) for other in names if (one, other) in kept] or [0])),
    )
    told = f"From the one that wins most to the one that wins least: {', '.join(ordered)}."
    yield draw_matrix(f"P(row beats column) by {name}", told, Matrix(ordered, ordered, kept))


def _win(share: float, low: float, high: float, ours: str, theirs: str, runs: int, others: int) -> Cell:
    told = f"{ours} beats {theirs}: {share:.2f} [{low:.2f}, {high:.2f}], {runs} and {others} runs"
    return Cell(abs(2 * share - 1), show_share(share), told, 0 if share >= 0.5 else 1)


def _share(cell: Cell) -> float:
    """The share of wins that a cell stands for."""
    return 0.5 + cell.strength / 2 * (1 if cell.tone == 0 else -1)


def _variance(table: pd.DataFrame) -> Plot | None:
    if table.empty:
        return None
    stacks = []
    for row in rows_of(table.sort_values("seed_share")):
        parts = [
            (row[name], f"{row['metric']}: {label} {row[name]:.0%}", place)
            for place, (name, label) in enumerate(SHARES.items())
        ]
        stacks.append(Stack(str(row["metric"]), parts, f"seed {row['seed_share']:.0%}"))
    first = table.iloc[0]
    note = (
        f"How much of each score's variance over {first['runs']} runs of {first['configurations']} configurations is "
        f"of the method, of its hyperparameters and of the seed."
    )
    told = "; ".join(f"{stack.label}: {stack.beside}" for stack in stacks)
    legend = [(label, f"c{place}", MARKS[1]) for place, label in enumerate(SHARES.values())]
    return Plot("What scores vary with", note, [("", draw_stacks("Shares of variance", told, stacks, 1.0))], legend)


def _tones(methods: Sequence[str] | pd.Series) -> dict[str, int]:
    """A colour's number for each method, by name."""
    return {method: number for number, method in enumerate(sorted(set(methods)))}


def _legend(tones: Mapping[str, int]) -> list[tuple[str, str, str]]:
    return [(name, f"c{tone % COLOURS}", MARKS[tone // COLOURS % len(MARKS)]) for name, tone in tones.items()]
