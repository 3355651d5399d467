"""Figures of the same tables, and pictures of each run: pure functions of what is stored."""

import io
import re
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from PIL import Image, ImageDraw, ImageFont

from benchmark import datasets
from benchmark.leaderboard import BLOCK, CONFIGURATION
from benchmark.presets import PRESETS
from benchmark.scoring import TRAVERSED
from benchmark.spec import RunSpec, format_settings, protocol_digest
from benchmark.store import RunFolder, run_folder, write_atomically

PANELS_A_ROW = 4
GAP = 2  # pixels between images
MARGIN = 96  # pixels left of a row of images, for its label
HEADER = 22  # pixels above a grid of images, for its title
COMPARED, COMPARED_A_ROW = 24, 3  # configurations whose traversals stand on one sheet
FEW = 10  # methods that the standard palette tells apart
DECADE = 10  # ratio of reconstruction losses beyond which their axis is logarithmic
MARKERS = "osD^vP*X<>phd8H"
BETA_COLOURS = "viridis"
RECONSTRUCTION = "reconstruction loss (nats an image; lower is better)"


def draw_all(out: Path, runs: pd.DataFrame, board: pd.DataFrame) -> list[Path]:
    """Draw every figure of the stored runs into `<out>/plots`; returns the paths.

    For each block (data set, source, preset, steps) a folder with `scores.png`, `score_against_beta.png`,
    `trade_off.png`, `kl_per_latent.png` and `traversals.png`, and for each run
    `traversals/<run>.png` and `reconstructions/<run>.png`; the pictures of a run are drawn
    once, since a finished run does not change.
    """
    paths = []
    finished = runs[runs["state"] == "finished"]
    for keys, block in finished.groupby(BLOCK):
        folder = out / "plots" / block_name(block)
        rows = board.merge(pd.DataFrame([keys], columns=BLOCK), on=BLOCK)
        first_runs = _first_runs(block, rows)
        figures = {
            "scores.png": draw_scores(block, rows),
            "score_against_beta.png": draw_score_against_beta(block, rows),
            "trade_off.png": draw_trade_off(block),
            "kl_per_latent.png": draw_kl_per_latent(out, first_runs),
        }
        for name, figure in figures.items():
            if figure is not None:
                paths.append(_save(figure, folder / name))
        paths += _draw_run_pictures(out, folder, list(block["run"].unique()))
        paths += _compare_traversals(folder, first_runs)
    return paths


def block_name(block: pd.DataFrame) -> str:
    """A folder name for runs that compare: `dsprites-quick`, with what departs from the ordinary."""
    dataset, source, preset, steps, protocol = block[BLOCK].iloc[0]
    source = re.sub(r"[^\w.-]", "_", source)  # which a plugin or a stored file may call anything
    parts = [dataset, *([] if source == "rendered" else [source]), preset]
    if preset not in PRESETS or dataset not in datasets.REGISTRY:
        return "-".join([*parts, f"{steps}steps", protocol])
    spec = RunSpec("vae", dataset=dataset, preset=preset, steps=int(steps), source=source)
    present = protocol_digest(spec.to_dict()) == protocol
    usual = PRESETS[preset].steps == steps
    return "-".join([*parts, *([] if usual else [f"{steps}steps"]), *([] if present else [protocol])])


def draw_scores(block: pd.DataFrame, board: pd.DataFrame) -> Figure | None:
    """Each metric's scores, a row a configuration from the best down: a point a run, the mean and its 95% interval."""
    names = _score_names(block)
    if not names:
        return None
    wide, rows = _wide(block), board.sort_values(["rank", "method", "hyperparameters"])
    labels = _short_labels(rows)
    runs = block.drop_duplicates("run").set_index("run")
    places = {key: place for place, key in enumerate(zip(rows["method"], rows["hyperparameters"], strict=True))}
    of_run = dict(zip(runs.index, zip(runs["method"], runs["hyperparameters"], strict=True), strict=True))
    figure, axes = _panels(len(names), "Scores", block, share_y=True, height=0.9 + 0.3 * len(labels))
    figure.set_figwidth(figure.get_figwidth() + 0.1 * max(map(len, labels)))  # inches
    for name, axis in zip(names, axes, strict=True):
        axis.scatter(wide[name], wide["run"].map(of_run).map(places), s=14, color="grey", alpha=0.6)
        mean = rows[f"{name}_mean"]
        low, high = (rows[f"{name}_{end}"].fillna(mean) for end in ("low", "high"))
        axis.errorbar(mean, range(len(rows)), xerr=[mean - low, high - mean], fmt="o", capsize=3, markersize=5)
        for level, style in (("chance", ":"), ("ceiling", "--")):
            if f"{name}.{level}" in wide:
                axis.axvline(wide[f"{name}.{level}"].mean(), color="grey", linestyle=style, linewidth=1)
        axis.set(title=name, xlabel=_score_label(block, name), xlim=_score_limits(wide[name]))
        axis.set_yticks(range(len(labels)), labels=labels)
    axes[0].set_ylim(len(labels) - 0.5, -0.5)
    return figure


def draw_score_against_beta(block: pd.DataFrame, board: pd.DataFrame) -> Figure | None:
    """Each metric's score against beta: a point a run, the mean and its 95% interval a configuration."""
    wide, names = _wide(block), _score_names(block)
    if "beta" not in wide or not names:
        return None
    wide, summary = wide.dropna(subset=["beta"]), board.dropna(subset=["beta_mean"]).sort_values("beta_mean")
    fixed = summary.loc[summary["beta_std"].fillna(0) == 0, "beta_mean"]  # not found by the training
    figure, axes = _panels(len(names), "Score against beta", block)
    for name, axis in zip(names, axes, strict=True):
        for method, colour in _colours(wide).items():
            runs, rows = (table[table["method"] == method] for table in (wide, summary))
            axis.scatter(runs["beta"], runs[name], color=colour, alpha=0.5, s=16)
            mean = rows[f"{name}_mean"]
            low, high = (rows[f"{name}_{end}"].fillna(mean) for end in ("low", "high"))
            bars = [mean - low, high - mean]
            axis.errorbar(rows["beta_mean"], mean, bars, color=colour, capsize=4, marker="o", label=method)
        for level, style in (("chance", ":"), ("ceiling", "--")):
            _mark_level(axis, wide, name, level, style)
        _scale_by_beta(axis, sorted(fixed.unique()) or [1.0])
        axis.set(title=name, xlabel="", ylabel=_score_label(block, name), ylim=_score_limits(wide[name]))
    figure.supxlabel("beta (weight of the KL term)")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, title="method", loc="outside right upper")
    return figure


def draw_trade_off(block: pd.DataFrame) -> Figure | None:
    """Each metric's score against the reconstruction, a point a run, coloured by beta."""
    wide = _wide(block)
    names = _score_names(block)
    if "reconstruction" not in wide or not names:
        return None
    figure, axes = _panels(len(names), "The price of disentanglement", block)
    betas = wide["beta"] if "beta" in wide else pd.Series(np.nan, index=wide.index)
    present = sorted(betas.dropna().unique())
    # A colour for each beta in order, not by size: grids are powers, and may hold 0.
    palette = ListedColormap(sns.color_palette(BETA_COLOURS, max(len(present), 1)))
    norm = BoundaryNorm(np.arange(len(present) + 1) - 0.5, palette.N) if len(present) > 1 else None
    orders = betas.map({beta: order for order, beta in enumerate(present)})
    styles = [
        (method, marker, colour)
        for (method, colour), marker in zip(_colours(wide).items(), cycle(MARKERS), strict=False)
    ]
    for name, axis in zip(names, axes, strict=True):
        for method, marker, colour in styles:
            rows = wide[wide["method"] == method].dropna(subset=["reconstruction"])
            by_beta = norm is not None and betas[rows.index].notna().all()
            colours = {"c": orders[rows.index], "cmap": palette, "norm": norm} if by_beta else {"color": colour}
            if len(rows):
                axis.scatter(
                    rows["reconstruction"], rows[name], marker=marker, edgecolor="grey", label=method, **colours
                )
        axis.set(title=name, ylabel=_score_label(block, name), ylim=_score_limits(wide[name]))
        if wide["reconstruction"].max() > DECADE * wide["reconstruction"].min() > 0:
            axis.set_xscale("log")
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_major_formatter("{x:g}")
            axis.minorticks_off()
    figure.supxlabel(RECONSTRUCTION)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, title="method", loc="outside right upper")
    if norm:
        height = 1 / -(-len(axes) // PANELS_A_ROW)  # that of one row of panels
        bar = figure.colorbar(ScalarMappable(norm, palette), ax=list(axes), label="beta", shrink=height, anchor=(0, 1))
        bar.set_ticks(range(len(present)), labels=[f"{beta:.3g}" for beta in present])
        bar.minorticks_off()
    return figure


def draw_kl_per_latent(out: Path, runs: dict[str, str]) -> Figure | None:
    """KL of each latent against steps, a panel a configuration, in the order of the final KL."""
    histories = {label: run_folder(out, run).read_history() for label, run in runs.items()}
    histories = {label: table for label, table in histories.items() if "kl_per_latent_0" in table}
    if not histories:
        return None
    figure, axes = _panels(len(histories), "KL of each latent while training (first seed)", None, share_y=True)
    for (label, history), axis in zip(histories.items(), axes, strict=True):
        columns = sorted(history.filter(like="kl_per_latent_"), key=lambda name: -history[name].iloc[-1])
        for colour, column in zip(sns.color_palette("rocket", len(columns)), columns, strict=True):
            axis.plot(history["step"], history[column], color=colour, label=str(column).removeprefix("kl_per_latent_"))
        axis.set(xlabel="step", ylabel="KL (nats an image)", title=label)
        axis.legend(title="latent", fontsize="small", loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def draw_traversals(folder: RunFolder) -> Image.Image | None:
    """A row a latent, in descending order of KL: its value from -3 to 3, the others held; None without pictures."""
    traversals = folder.read_arrays("pictures.npz").get("traversals")
    if traversals is None:
        return None
    measures = folder.read_json("scores.json").get("measures", {})
    kl = [measures.get(f"kl_per_latent_{j}") for j in range(len(traversals))]
    order = sorted(range(len(kl)), key=lambda j: -(kl[j] or 0.0))
    labels = [f"z{j}" if kl[j] is None else f"z{j}  {kl[j]:.2f} nats" for j in order]
    title = f"{_label(folder)}: latent from {TRAVERSED[0]:g} to {TRAVERSED[-1]:g}"
    return _image_grid(traversals[order], labels, title)


def draw_reconstructions(folder: RunFolder) -> Image.Image | None:
    """Originals over their reconstructions; None without pictures."""
    pictures = folder.read_arrays("pictures.npz")
    if "reconstructions" not in pictures:
        return None
    images = np.stack([pictures["originals"], pictures["reconstructions"]])
    loss = folder.read_json("scores.json").get("measures", {}).get("reconstruction")
    suffix = "" if loss is None else f": reconstruction loss {loss:.0f} nats an image"
    return _image_grid(images, ["original", "reconstructed"], _label(folder) + suffix)


def _draw_run_pictures(out: Path, folder: Path, runs: Sequence[str]) -> list[Path]:
    paths = []
    for run in runs:
        for kind, draw in (("traversals", draw_traversals), ("reconstructions", draw_reconstructions)):
            path = folder / kind / f"{run}.png"
            if not _is_newer(path, run_folder(out, run).path / "pictures.npz"):
                picture = draw(run_folder(out, run))
                if picture is None:
                    continue
                _save_picture(picture, path)
            paths.append(path)
    return paths


def _is_newer(path: Path, source: Path) -> bool:
    return path.exists() and source.exists() and path.stat().st_mtime_ns >= source.stat().st_mtime_ns


def _compare_traversals(folder: Path, runs: dict[str, str]) -> list[Path]:
    """Traversals of the first seed of each configuration, some to a row."""
    files = [folder / "traversals" / f"{run}.png" for run in runs.values()]
    pictures = [_open_picture(file) for file in files if file.exists()][:COMPARED]
    if len(pictures) < 2:
        return []
    rows = [pictures[i : i + COMPARED_A_ROW] for i in range(0, len(pictures), COMPARED_A_ROW)]
    width, heights = max(picture.width for picture in pictures), [max(p.height for p in row) for row in rows]
    sheet = Image.new("RGB", (width * max(map(len, rows)), sum(heights)), "white")
    for row, top in zip(rows, np.cumsum([0, *heights]), strict=False):
        for column, picture in enumerate(row):
            sheet.paste(picture, (column * width, int(top)))
    return [_save_picture(sheet, folder / "traversals.png")]


def _open_picture(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.copy()


def _short_labels(rows: pd.DataFrame) -> list[str]:
    """Each configuration's method, with its hyperparameters where the method stands there more than once."""
    several = rows["method"].duplicated(keep=False)
    full = (rows["method"] + " " + rows["hyperparameters"].fillna("")).str.strip()
    return rows["method"].where(~several, full).tolist()


def _first_runs(block: pd.DataFrame, board: pd.DataFrame) -> dict[str, str]:
    """The run of the lowest seed of each configuration, by a label, beta and then name ascending."""
    runs = block.drop_duplicates("run").sort_values("seed").drop_duplicates(CONFIGURATION)
    order = "beta_mean" if "beta_mean" in board else "rank"
    runs = runs.merge(board.drop_duplicates(CONFIGURATION)[[*CONFIGURATION, order]], on=CONFIGURATION)
    runs = runs.sort_values([order, "method", "hyperparameters"])
    return dict(zip(_short_labels(runs), runs["run"].astype(str), strict=True))


def _wide(block: pd.DataFrame) -> pd.DataFrame:
    """One row a run, one column a metric."""
    scored = block.dropna(subset=["metric"])
    return scored.pivot_table(index=["run", "method"], columns="metric", values="value").reset_index()


def _scale_by_beta(axis: Axes, betas: Sequence[float]) -> None:
    """A logarithmic axis with a tick at each beta; linear below the least positive one where 0 is among them."""
    if min(betas) > 0:
        axis.set_xscale("log", base=2)
    else:
        least = min((beta for beta in betas if beta > 0), default=1.0)
        axis.set_xscale("symlog", base=2, linthresh=least)
        axis.set_xlim(-least / 2, max(*betas, least) * 1.3)
    axis.set_xticks(betas, labels=[f"{beta:g}" for beta in betas])
    axis.minorticks_off()


def _score_names(block: pd.DataFrame) -> list[str]:
    """The headlines that are ranked."""
    return sorted(block.loc[block["direction"].fillna(0) != 0, "metric"].unique())


def _score_label(block: pd.DataFrame, name: str) -> str:
    direction = block.loc[block["metric"] == name, "direction"].iloc[0]
    return f"score ({'higher' if direction > 0 else 'lower'} is better)"


def _score_limits(scores: pd.Series) -> tuple[float, float]:
    """From 0 to 1, further where scores lie beyond."""
    return min(0.0, scores.min()) - 0.03, max(1.0, scores.max()) + 0.03


def _panels(
    count: int, title: str, block: pd.DataFrame | None, share_y: bool = False, height: float = 3.9
) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels, each of that height in inches."""
    columns = 2 if count == 4 else min(count, PANELS_A_ROW)
    rows = -(-count // columns)
    sns.set_theme(style="whitegrid", context="notebook", rc={"text.parse_math": False})  # a $ in a name is a $
    figure = Figure(figsize=(4.6 * columns + 0.6, height * rows + 0.5), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=share_y)
    for empty in grid.flat[count:]:
        empty.set_axis_off()
    if block is not None:
        dataset, source, preset, steps, _ = block[BLOCK].iloc[0]
        seeds = block["seed"].nunique()
        title += f" — {dataset} ({source}), {preset}, {steps:,} steps, {seeds} seed{'s' if seeds > 1 else ''}"
    figure.suptitle(title)
    return figure, list(grid.flat[:count])


def _colours(wide: pd.DataFrame) -> dict[str, tuple[float, float, float]]:
    """A colour for each method, by name."""
    methods = sorted(wide["method"].unique())
    palette = (
        sns.color_palette(n_colors=len(methods)) if len(methods) <= FEW else sns.color_palette("husl", len(methods))
    )
    return dict(zip(methods, palette, strict=True))


def _mark_level(axis: Axes, wide: pd.DataFrame, metric: str, level: str, style: str) -> None:
    """A horizontal line at the metric's mean chance level or ceiling, where its values tell one."""
    name = f"{metric}.{level}"
    if name in wide:
        height = wide[name].mean()
        axis.axhline(height, color="grey", linestyle=style, linewidth=1)
        axis.annotate(level, (0.01, height), xycoords=("axes fraction", "data"), color="grey", va="bottom", size=9)


def _label(folder: RunFolder) -> str:
    spec = folder.read_json("spec.json")
    return " ".join([spec["method"], *format_settings(spec["hyperparameters"]), f"seed {spec['seed']}"])


def _image_grid(images: np.ndarray, labels: Sequence[str], title: str) -> Image.Image:
    """Images (rows, columns, C, H, W) as one picture, a label left of each row and a title above."""
    rows, columns, channels, height, width = images.shape
    framed = np.pad(images, ((0, 0), (0, 0), (0, 0), (0, GAP), (0, GAP)), constant_values=255)
    flat = framed.transpose(0, 3, 1, 4, 2).reshape(rows * (height + GAP), columns * (width + GAP), channels)
    colour = flat.repeat(3, axis=2) if channels == 1 else flat
    picture = Image.new("RGB", (MARGIN + colour.shape[1], HEADER + colour.shape[0]), "white")
    picture.paste(Image.fromarray(colour), (MARGIN, HEADER))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    draw.text((MARGIN, 3), title, fill="black", font=font)
    for row, label in enumerate(labels):
        middle = HEADER + row * (height + GAP) + height // 2
        draw.text((MARGIN - 6, middle), label, fill="black", font=font, anchor="rm")
    return picture


def _save(figure: Figure, path: Path) -> Path:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110, metadata={"Software": None})
    write_atomically(path, content.getvalue())
    return path


def _save_picture(picture: Image.Image, path: Path) -> Path:
    content = io.BytesIO()
    picture.save(content, format="png")
    write_atomically(path, content.getvalue())
    return path
