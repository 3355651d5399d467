"""Figures of the same tables: pure functions of what is stored."""

import hashlib
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator
from matplotlib.transforms import Bbox
from PIL import Image

from benchmark import datasets
from benchmark.presets import PRESETS
from benchmark.report import story
from benchmark.report.leaderboard import BLOCK, CONFIGURATION, CONFIGURED, short_labels
from benchmark.report.statistics import SPREAD, edge_of_bulk, on_frontier
from benchmark.scoring.agreement import KL_PER_LATENT
from benchmark.scoring.pictures import KINDS, draw_sheet, drawn_from, save_picture
from benchmark.spec import RunSpec, digest, file_name, protocol_digest
from benchmark.storage.store import RunFolder, run_folder

PANELS_A_ROW = 4
PANEL_WIDTH, PANEL_HEIGHT = 3.7, 3.1  # inches, of the axes alone
TOP, BOTTOM, LEFT, RIGHT = 0.95, 0.85, 0.85, 0.3  # inches around the panels
BETWEEN_ROWS = 1.0  # inches
LETTER = 0.095  # inches that a letter of a label takes
TITLE_POINTS = 12  # of a title of two lines, at which a letter takes `LETTER`
DPI = 110
MOST_ROWS = 20  # configurations whose scores are drawn: the best
COMPARED = 20  # configurations whose traversals and latents are drawn
MOST_TICKS = 5
FAR = 4.0  # times what most have, from where on a curve leaves its panel
FEW = 10  # things that the standard palette tells apart
WORLD_LETTERS = 100  # of a world, in a folder's name
GRID = ".8"
# Scores that are drawn where not every one is asked for; of the first the unsaturated kind, as it is at its ceiling.
FIRST = ("beta_vae_score.at_5_pairs", "factor_vae_score", "mig", "dci_fast", "dci")
ALL = "_all"  # ends the names of figures of every score
MEANS, FRONTIER = ".35", "#c44e52"
SMALL_LETTER, APART = 0.075, 0.06  # inches: of a label among points, and from its point
WIDE_PANEL = 6.2, 3.6  # inches
RECONSTRUCTION = "reconstruction loss (nats an image; lower is better)"


def draw_all(out: Path, runs: pd.DataFrame, board: pd.DataFrame, every: bool = False) -> list[Path]:
    """Draw every figure of the stored runs into `<out>/plots`; returns the paths.

    For each block (data set, source, preset, steps) a folder with `what_beta_does.png`, `scores.png`,
    `score_against_beta.png`, `trade_off.png`, `kl_per_latent.png`, `traversals.png` and `reconstructions.png`, as
    far as its runs have what they show. Each carries a digest of what it was drawn from, and is left as it is
    while that stays. Figures of scores are of a few; `every` draws `scores_all.png` and so on beside them.
    """
    paths = []
    finished = runs[runs["state"] == "finished"]
    for keys, block in finished.groupby(BLOCK, observed=True):
        rows = board.merge(pd.DataFrame([keys], columns=BLOCK), on=BLOCK)
        pictured = story.first_pictured(out, block)
        compared = _first_runs(out, pictured, rows)
        pictures: dict[str, Callable[[], Figure | Image.Image | None]] = {
            "what_beta_does.png": partial(story.draw_story, out, block, rows),
            **{f"{name}.png": partial(draw, block, rows) for name, draw in OF_SCORES.items()},
            "kl_per_latent.png": partial(draw_kl_per_latent, compared),
            **{f"{kind}.png": partial(draw_sheet, compared.values(), kind) for kind in KINDS},
        }
        folder, source = out / "plots" / block_name(block), _digest(block, rows, pictured)
        for kind, draw_kind in OF_SCORES.items():
            if every or (folder / f"{kind}{ALL}.png").exists():
                pictures[f"{kind}{ALL}.png"] = partial(draw_kind, block, rows, every=True)
        for name, draw in pictures.items():
            if drawn_from(folder / name) == source or _save(draw(), folder / name, source):
                paths.append(folder / name)
    return paths


def _digest(block: pd.DataFrame, board: pd.DataFrame, pictured: pd.DataFrame) -> str:
    """Tells whether the same runs, with the same ranks and the same of them pictured, were drawn by the same code."""
    told = (block, board, pictured["run"])
    rows = np.concatenate([pd.util.hash_pandas_object(table, index=False) for table in told])
    code = b"".join(Path(module).read_bytes() for module in (__file__, story.__file__))
    return hashlib.sha256(rows.tobytes() + code).hexdigest()


def _save(drawn: Figure | Image.Image | None, path: Path, source: str) -> bool:
    """Write what is drawn, if anything is."""
    if drawn is not None:
        save_picture(as_picture(drawn) if isinstance(drawn, Figure) else drawn, path, source)
    return drawn is not None


def as_picture(figure: Figure) -> Image.Image:
    """The figure's pixels."""
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # names are the users' own
        canvas.draw()  # type: ignore[no-untyped-call]
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")  # type: ignore[no-untyped-call]


def block_name(block: pd.DataFrame) -> str:
    """A folder name for runs that compare: `dsprites-quick`, with what departs from the ordinary."""
    dataset, source, preset, steps, protocol = block[BLOCK].iloc[0]
    dataset, _, world = dataset.partition(" ")
    # A world's text may be long, and what a file's name cannot hold tells some from others.
    told = [world[:WORLD_LETTERS], digest(world)[:6]] if world else []
    parts = [dataset, *told, *([] if source == "rendered" else [source]), preset]
    if preset not in PRESETS or dataset not in datasets.REGISTRY:
        return file_name([*parts, f"{steps}steps", protocol])
    spec = RunSpec("vae", dataset=dataset, preset=preset, steps=int(steps), source=source)
    present = protocol_digest(spec.to_dict()) == protocol
    usual = PRESETS[preset].steps == steps
    return file_name([*parts, *([] if usual else [f"{steps}steps"]), *([] if present else [protocol])])


def draw_scores(block: pd.DataFrame, board: pd.DataFrame, every: bool = False) -> Figure | None:
    """Each metric's scores, a row a configuration from the best down: a point a run, the mean and its 95% interval."""
    names = _score_labels(block, every)
    if not names:
        return None
    wide, rows = _wide(block), board.sort_values(["rank", "method", "hyperparameters"])
    title = "Scores" if len(rows) <= MOST_ROWS else f"Scores, the best {MOST_ROWS} of {len(rows)} configurations"
    rows = rows.head(MOST_ROWS)
    labels = short_labels(rows)
    # The runs of a configuration that stands in several rows, of several versions, are beside the first.
    places = {tuple(own): place for place, own in reversed([*enumerate(rows[CONFIGURED].to_numpy())])}
    own = block.drop_duplicates("run").set_index("run")[CONFIGURED].astype("str")
    heights = wide["run"].map(
        {run: places.get(tuple(each)) for run, each in zip(own.index, own.to_numpy(), strict=True)}
    )
    left = 0.3 + LETTER * max(map(len, labels))
    figure, axes = _panels(
        len(names), title, block, share_x=False, left=left, between=0.3, height=0.4 + 0.3 * len(labels)
    )
    for name, axis in zip(names, axes, strict=True):
        axis.scatter(wide[name], heights, s=14, color="grey", alpha=0.6)
        mean = rows[f"{name}_mean"]
        low, high = (rows[f"{name}_{end}"].fillna(mean) for end in ("low", "high"))
        axis.errorbar(mean, range(len(rows)), xerr=[mean - low, high - mean], fmt="o", capsize=3, markersize=5)
        for level, style in (("chance", ":"), ("ceiling", "--")):
            if f"{name}.{level}" in wide:
                axis.axvline(wide[f"{name}.{level}"].mean(), color="grey", linestyle=style, linewidth=1)
        axis.set(xlabel=names[name], xlim=_score_limits(wide[name]), ylim=(len(labels) - 0.5, -0.5))
        axis.set_title(name, y=1)
        # A tick takes longer than all that is drawn at its height.
        axis.hlines(range(len(labels)), *axis.get_xlim(), color=GRID, linewidth=1, zorder=0)
        axis.set_yticks([])
    for axis in axes[::PANELS_A_ROW]:
        axis.set_yticks(range(len(labels)), labels=labels)
    return figure


def draw_score_against_beta(block: pd.DataFrame, board: pd.DataFrame, every: bool = False) -> Figure | None:
    """Each metric's score against beta: a point a run, the mean and its 95% interval a configuration."""
    wide, names = _wide(block), _score_labels(block, every)
    if "beta" not in wide or not names:
        return None
    wide, summary = wide.dropna(subset=["beta"]), board.dropna(subset=["beta_mean"]).sort_values("beta_mean")
    fixed = summary.loc[summary["beta_std"].fillna(0) == 0, "beta_mean"]  # not found by the training
    colours = _colours(wide)
    of_method = {method: [table[table["method"] == method] for table in (wide, summary)] for method in colours}
    figure, axes = _panels(len(names), "Score against beta", block, right=_legend_width(colours))
    for name, axis in zip(names, axes, strict=True):
        for method, (runs, rows) in of_method.items():
            colour = colours[method]
            axis.scatter(runs["beta"], runs[name], color=colour, alpha=0.5, s=16)
            mean = rows[f"{name}_mean"]
            low, high = (rows[f"{name}_{end}"].fillna(mean) for end in ("low", "high"))
            bars = [mean - low, high - mean]
            axis.errorbar(rows["beta_mean"], mean, bars, color=colour, capsize=4, marker="o", label=method)
        for level, style in (("chance", ":"), ("ceiling", "--")):
            _mark_level(axis, wide, name, level, style)
        axis.set_title(name, y=1)
        _scale_by_beta(axis, sorted(fixed.unique()) or [1.0], wide["beta"].max())
        axis.set(xlabel="", ylabel=names[name], ylim=_score_limits(wide[name]))
    _label_below(figure, "beta (weight of the KL term)")
    _add_legend(figure, axes, "method")
    return figure


def draw_trade_off(block: pd.DataFrame, board: pd.DataFrame, every: bool = False) -> Figure | None:
    """Each metric's score against the reconstruction: a dot a run, a point a configuration, and the frontier.

    On the frontier stands what no other configuration both reconstructs and scores better than. The axis serves the
    bulk of the runs; what lies beyond stands at its edge, and is told. Points are named as far as names have room,
    those of the frontier first, and of many configurations these alone.
    """
    wide, names = _wide(block), _score_labels(block, every)
    if "reconstruction" not in wide or not names:
        return None
    edge = edge_of_bulk(wide["reconstruction"].dropna().to_numpy())
    beyond = sorted(wide.loc[wide["reconstruction"] > edge, "method"].unique())
    shown = wide["reconstruction"].clip(upper=edge)
    rows = board.assign(label=short_labels(board), place=board["reconstruction_mean"].clip(upper=edge))
    rows = rows.dropna(subset=["place"]).sort_values("place")
    width, height = WIDE_PANEL
    figure, axes = _panels(len(names), "The price of disentanglement", block, width=width, height=height, a_row=2)
    for name, axis in zip(names, axes, strict=True):
        axis.scatter(shown, wide[name], s=12, color="grey", alpha=0.4)
        points = rows.assign(score=rows[f"{name}_mean"]).dropna(subset=["score"])
        first = on_frontier(points["score"].to_numpy() * (1 if _is_better_high(block, name) else -1))
        frontier = points[first]
        axis.scatter(points["place"], points["score"], s=30, color=MEANS, zorder=3)
        axis.step(frontier["place"], frontier["score"], where="post", color=FRONTIER, zorder=2)
        axis.scatter(frontier["place"], frontier["score"], s=36, color=FRONTIER, zorder=4)
        axis.set(ylabel=names[name])
        axis.set_title(name, y=1)
        if shown.max() > SPREAD * shown.min() > 0:
            axis.set_xscale("log")
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_major_formatter("{x:g}")
            axis.minorticks_off()
        axis.margins(0.12)
        others = points[~first] if len(points) <= FEW else points[:0]
        _name_points(axis, pd.concat([frontier[::-1], others]))
    told = f"; at the edge, beyond it: {', '.join(beyond)}" if beyond else ""
    _label_below(figure, f"{RECONSTRUCTION}{told}")
    return figure


def _name_points(axis: Axes, points: pd.DataFrame) -> None:
    """Write each point's label beside it, at the first of its corners where it covers no other label."""
    to_inches = axis.transData + axis.figure.dpi_scale_trans.inverted()
    frame = axis.bbox.transformed(axis.figure.dpi_scale_trans.inverted())
    taken: list[Bbox] = []
    for label, place, score in points[["label", "place", "score"]].itertuples(index=False, name=None):
        x, y = to_inches.transform((place, score))
        wide, tall = SMALL_LETTER * len(label), 2 * SMALL_LETTER
        for right, above in ((1, 0), (1, 1), (0, 1), (0, 0)):
            left, low = (x + APART if right else x - APART - wide), (y if above else y - tall)
            box = Bbox.from_bounds(left, low, wide, tall)
            if frame.x0 < box.x0 and box.x1 < frame.x1 and not any(box.overlaps(other) for other in taken):
                aligned: dict[str, Any] = {"ha": "left" if right else "right", "va": "bottom" if above else "top"}
                beside = (72 * APART if right else -72 * APART, 0)
                halo = [withStroke(linewidth=2.5, foreground="white")]
                axis.annotate(
                    label,
                    (place, score),
                    beside,
                    textcoords="offset points",
                    size=8,
                    path_effects=halo,
                    zorder=5,
                    **aligned,
                )
                taken.append(box)
                break


def _is_better_high(block: pd.DataFrame, name: str) -> bool:
    return bool((block.loc[block["metric"] == name, "direction"] >= 0).all())


def draw_kl_per_latent(runs: dict[str, RunFolder]) -> Figure | None:
    """KL of each latent against steps, a panel a configuration."""
    histories = {label: folder.read_history() for label, folder in runs.items()}
    histories = {label: table for label, table in histories.items() if f"{KL_PER_LATENT}0" in table}
    if not histories:
        return None
    latents = max(len(history.filter(like=KL_PER_LATENT).columns) for history in histories.values())
    title = "KL of each latent while training (one seed)"
    figure, axes = _panels(len(histories), title, None, share_y=True, between=0.3, right=1.2)
    for (label, history), axis in zip(histories.items(), axes, strict=True):
        for latent, colour in enumerate(_palette(latents)):
            if f"{KL_PER_LATENT}{latent}" in history:
                axis.plot(history["step"], history[f"{KL_PER_LATENT}{latent}"], color=colour, label=f"z{latent}")
        axis.set_title(label, y=1)
    axes[0].set_ylim(0, _settled_limit(histories.values()))
    _label_below(figure, "step")
    figure.supylabel("KL (nats an image)", x=0.2 / figure.get_figwidth())
    _add_legend(figure, axes, "latent")
    return figure


def _settled_limit(histories: Iterable[pd.DataFrame]) -> float:
    """Room for the greatest latent of each run, but for what would press the others' into a line.

    That is the first tenth of the steps, a twentieth of the others, and runs whose latents are far beyond most runs'.
    """
    settled = [table[table["step"] > table["step"].max() / 10].filter(like=KL_PER_LATENT) for table in histories]
    greatest = [float(table.max(axis=1).quantile(0.95)) for table in settled if table.size]
    greatest = [nats for nats in greatest if 0 < nats < np.inf]
    return 1.1 * min(max(greatest), FAR * float(np.median(greatest))) if greatest else 1.0


def _first_runs(out: Path, pictured: pd.DataFrame, board: pd.DataFrame) -> dict[str, RunFolder]:
    """The runs that are pictured, by a label, beta and then name ascending.

    Of many some, evenly from the least beta to the greatest.
    """
    runs = pictured.astype(dict.fromkeys(["run", *CONFIGURATION], "str"))
    order = "beta_mean" if "beta_mean" in board else "rank"
    rows = board.drop_duplicates(CONFIGURATION)[[*CONFIGURATION, order]]
    runs = runs.merge(rows.astype(dict.fromkeys(CONFIGURATION, "str")), on=CONFIGURATION)
    runs = runs.sort_values([order, "method", "hyperparameters"])
    chosen = runs.iloc[_spread(len(runs), COMPARED)]
    return {label: run_folder(out, run) for label, run in zip(short_labels(chosen), chosen["run"], strict=True)}


def _spread(count: int, most: int) -> np.ndarray:
    """So many of the numbers below `count` at most, evenly from the first to the last."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def _wide(block: pd.DataFrame) -> pd.DataFrame:
    """One row a run, one column a metric."""
    scored = block[block["metric"] != ""].astype({"run": "str", "method": "str", "metric": "str"})
    return scored.pivot_table(index=["run", "method"], columns="metric", values="value").reset_index()


def _scale_by_beta(axis: Axes, betas: Sequence[float], greatest: float) -> None:
    """A logarithmic axis with a tick at each of `betas`; linear below the least positive one where 0 is among them.

    It reaches as far as `greatest`, for a training can find a beta beyond all that were set.
    """
    if min(betas) > 0:
        axis.set_xscale("log", base=2)
    else:
        least = min((beta for beta in betas if beta > 0), default=1.0)
        axis.set_xscale("symlog", base=2, linthresh=least)
        axis.set_xlim(-least / 2, max(greatest, least) * 1.3)
    ticks = [betas[i] for i in _spread(len(betas), MOST_TICKS)]
    axis.set_xticks(ticks, labels=[f"{beta:.3g}" for beta in ticks])
    axis.minorticks_off()


def _score_labels(block: pd.DataFrame, every: bool) -> dict[str, str]:
    """The first few scores, or every one that is ranked, each with a label for its axis."""
    each = block.drop_duplicates("metric")[["metric", "direction"]].itertuples(index=False, name=None)
    better = {str(name): direction for name, direction in each if direction or name in FIRST}
    if not every:
        better = {name: better[name] for name in FIRST if name in better} or better
    return {
        name: f"score ({'lower' if direction < 0 else 'higher'} is better)"
        for name, direction in sorted(better.items())
    }


def _score_limits(scores: pd.Series) -> tuple[float, float]:
    """From 0 to 1, further where scores lie beyond."""
    return min(0.0, scores.min()) - 0.03, max(1.0, scores.max()) + 0.03


def _panels(
    count: int,
    title: str,
    block: pd.DataFrame | None,
    share_x: bool = True,
    share_y: bool = False,
    left: float = LEFT,
    right: float = RIGHT,
    between: float = LEFT,
    width: float = PANEL_WIDTH,
    height: float = PANEL_HEIGHT,
    a_row: int = PANELS_A_ROW,
) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels.

    Sizes are inches, since laying out by what is drawn takes most of the time. So do ticks: they are few, and where
    panels share an axis only the lowest have texts beside them.
    """
    columns = min(count, a_row)
    rows = -(-count // columns)
    sns.set_theme(style="whitegrid", context="notebook", rc={"text.parse_math": False})  # a $ in a name is a $
    across = left + columns * width + (columns - 1) * between + right
    tall = TOP + rows * height + (rows - 1) * BETWEEN_ROWS + BOTTOM
    figure = Figure(figsize=(across, tall), dpi=DPI)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=share_x, sharey=share_y)
    figure.subplots_adjust(
        left=left / across, right=1 - right / across, top=1 - TOP / tall, bottom=BOTTOM / tall,
        wspace=between / width, hspace=BETWEEN_ROWS / height,
    )  # fmt: skip
    for axis in grid.flat:
        axis.locator_params(nbins=MOST_TICKS - 1)
    for lowest in grid.flat[max(0, count - columns) : count]:
        lowest.tick_params(labelbottom=True)
    for empty in grid.flat[count:]:
        empty.set_axis_off()
    world = ""
    if block is not None:
        dataset, source, preset, steps, _ = block[BLOCK].iloc[0]
        seeds = story.how_many(block.groupby(CONFIGURED, observed=True)["seed"].nunique())
        dataset, _, world = dataset.partition(" ")
        title += f" — {dataset} ({source}), {preset}, {steps:,} steps, {seeds}"
    told = figure.suptitle("\n".join(filter(None, (title, world))), y=1 - 0.3 / tall, va="center")
    if world:  # whose text may be longer than the figure is wide
        told.set_fontsize(TITLE_POINTS * min(1.0, across / (LETTER * max(len(title), len(world)))))
    return figure, list(grid.flat[:count])


def _label_below(figure: Figure, text: str) -> None:
    """One label for the horizontal axes of all panels."""
    figure.supxlabel(text, y=0.2 / figure.get_figheight(), va="center")


def _legend_width(methods: dict[str, Any]) -> float:
    return 1.0 + LETTER * max(map(len, methods), default=0)  # inches


def _add_legend(figure: Figure, axes: Sequence[Axes], title: str) -> None:
    """A legend of all that is named in any panel, in the right upper corner."""
    width, height = figure.get_size_inches()
    named = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    corner = (1 - 0.1 / width, 1 - (TOP - 0.1) / height)
    figure.legend(named.values(), named, title=title, loc="upper right", bbox_to_anchor=corner)


def _colours(wide: pd.DataFrame) -> dict[str, tuple[float, float, float]]:
    """A colour for each method, by name."""
    methods = sorted(wide["method"].unique())
    return dict(zip(methods, _palette(len(methods)), strict=True))


def _palette(count: int) -> list[tuple[float, float, float]]:
    return sns.color_palette(n_colors=count) if count <= FEW else sns.color_palette("husl", count)


def _mark_level(axis: Axes, wide: pd.DataFrame, metric: str, level: str, style: str) -> None:
    """A horizontal line at the metric's mean chance level or ceiling, where its values tell one."""
    name = f"{metric}.{level}"
    if name in wide:
        height = wide[name].mean()
        axis.axhline(height, color="grey", linestyle=style, linewidth=1)
        axis.annotate(level, (0.01, height), xycoords=("axes fraction", "data"), color="grey", va="bottom", size=9)


OF_SCORES: dict[str, Callable[..., Figure | None]] = {
    "scores": draw_scores,
    "score_against_beta": draw_score_against_beta,
    "trade_off": draw_trade_off,
}
