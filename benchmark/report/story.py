"""One figure that says what beta buys and what it costs: traversals beside the scores, and the price below them."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark import datasets
from benchmark.errors import UsageError
from benchmark.report.leaderboard import CONFIGURATION
from benchmark.scoring.agreement import KL_PER_LATENT
from benchmark.scoring.pictures import TRAVERSED, in_colours
from benchmark.storage.store import RunFolder, run_folder

TOLD = "betavae"  # of whom it is told, where it is there
WIDTH, HEIGHT = 15.5, 6.6  # inches
DPI = 110
SCORES = {  # that are drawn, where they are there
    "beta_vae_score.at_5_pairs_without_shape": "beta-VAE score (5 pairs, without shape)",
    "dci_fast": "DCI disentanglement",
    "mig": "MIG",
}
IN_USE = 0.1  # nats from the prior, from which on a latent is told of
MOST_LATENTS = 8  # whose traversals are drawn
GAP = 3  # pixels between images
BLANK = np.full((64, 64, 3), 255, np.uint8)


def draw_story(out: Path, block: pd.DataFrame, board: pd.DataFrame) -> Figure | None:
    """Traversals at the least, the best and the greatest beta; scores, reconstruction and latents in use against beta.

    The best beta is that of the highest mean of the scores that are drawn. None where no method has runs at two betas.
    """
    summary, names = scored_by_beta(board, SCORES)
    if len(summary) < 2:
        return None
    best = int(np.argmax(summary[[f"{name}_mean" for name in names]].mean(axis=1)))
    shown = sorted({0, best, len(summary) - 1})
    method = summary["method"].iloc[0]
    texts = dict.fromkeys(CONFIGURATION, "str")
    summary = summary.astype(texts)
    runs = block[block["metric"] != ""].astype(texts).merge(summary[CONFIGURATION])
    pictured = first_pictured(out, runs)
    sns.set_theme(style="whitegrid", context="notebook", rc={"text.parse_math": False})
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI)
    grid = figure.add_gridspec(1, 2, width_ratios=(len(shown), 1.5), left=0.045, right=0.945, wspace=0.16)
    panels = grid[0].subgridspec(1, len(shown), wspace=0.12)
    for place, row in enumerate(shown):
        axis = figure.add_subplot(panels[place])
        _draw_traversals(axis, out, pictured, summary.iloc[row], best=row == best)
    halves = grid[1].subgridspec(2, 1, hspace=0.12)
    above = figure.add_subplot(halves[0])
    _draw_scores(above, runs, summary, names)
    _draw_price(figure.add_subplot(halves[1], sharex=above), runs, summary, count_factors(block))
    above.tick_params(labelbottom=False)
    dataset, source, preset, steps = (block[name].iloc[0] for name in ("dataset", "source", "preset", "steps"))
    dataset, _, world = dataset.partition(" ")
    told = f"{dataset} ({source}), {preset}: {steps:,} steps, {how_many(summary['seeds'])}"
    figure.suptitle(f"What beta buys and what it costs — {method} on {told}", y=0.975)
    figure.text(0.5, 0.925, world, ha="center", va="center", size=11)
    figure.subplots_adjust(top=0.82 if world else 0.86, bottom=0.09)
    return figure


def rows_by_beta(board: pd.DataFrame) -> pd.DataFrame:
    """The rows of one method whose betas are constants, ascending, one a beta; none where it has no two of them."""
    rows = board[board["rank"].notna() & board.get("beta_mean", pd.Series(np.nan, board.index)).notna()]
    if rows.empty:
        return rows
    rows = rows[(rows["beta_std"].fillna(0) == 0) & (rows["beta_mean"] > 0)]
    counts = rows.groupby("method")["beta_mean"].nunique()
    counts = counts[counts > 1]
    if counts.empty:
        return rows.iloc[:0]
    method = TOLD if TOLD in counts else counts.idxmax()
    return rows[rows["method"] == method].sort_values(["beta_mean", "rank"]).drop_duplicates("beta_mean")


def scored_by_beta(board: pd.DataFrame, scores: Iterable[str]) -> tuple[pd.DataFrame, list[str]]:
    """Those of `rows_by_beta` that have a reconstruction and all of the scores that any has, and the scores' names."""
    rows = rows_by_beta(board)
    names = [name for name in scores if f"{name}_mean" in rows and rows[f"{name}_n"].any()]
    if not names or "reconstruction_mean" not in rows:
        return rows.iloc[:0], names
    return rows.dropna(subset=[f"{name}_mean" for name in ("reconstruction", *names)]), names


def first_pictured(out: Path, block: pd.DataFrame) -> pd.DataFrame:
    """Of each configuration the run of the lowest seed that keeps its pictures or history, as an archive does."""
    runs = block.drop_duplicates("run").sort_values(["seed", "run"])
    return runs[[run_folder(out, run).is_pictured for run in runs["run"]]].drop_duplicates(CONFIGURATION)


def how_many(seeds: pd.Series) -> str:
    """The least and greatest of those numbers: "3 to 10 seeds"."""
    least, most = seeds.min(), seeds.max()
    return f"{least} to {most} seeds" if least < most else f"{most} seed{'s' if most > 1 else ''}"


def count_factors(block: pd.DataFrame) -> int | None:
    """How many factors of the data set vary, where it is registered."""
    name = str(block["dataset"].iloc[0]).partition(" ")[0]
    if name not in datasets.REGISTRY:
        return None
    try:
        return sum(size > 1 for size in datasets.load(name).factor_sizes)
    except UsageError:  # whose files lie elsewhere
        return None


def _draw_traversals(axis: Axes, out: Path, pictured: pd.DataFrame, row: pd.Series, best: bool) -> None:
    """A row a latent in use, by descending KL, of the model that is pictured, if one is: from -3 to 3."""
    own = pictured.loc[pictured["hyperparameters"] == row["hyperparameters"], "run"]
    drawn = next((_traversals(run_folder(out, run)) for run in own), None)
    image, kept, left_out = drawn or (BLANK, [], 0)
    axis.imshow(image, interpolation="antialiased")
    axis.set_anchor("N")
    axis.set_axis_off()
    side = image.shape[0] / max(len(kept), 1)
    for place, kl in enumerate(kept):
        axis.text(-6, (place + 0.5) * side, f"{kl:.1f}", ha="right", va="center", size=9, color="dimgrey")
    if left_out:
        axis.text(0, image.shape[0] + 6, f"and {left_out} more", va="top", size=9, color="dimgrey")
    title = f"beta = {row['beta_mean']:g}" + (" (best scores)" if best else "")
    axis.set_title(title, y=1, pad=24, weight="bold" if best else "normal")
    told = f"{len(kept) + left_out} latents in use (nats of each at its left)"
    told = told if drawn else "no pictures of it are kept"
    axis.text(0.5, 1.02, told, transform=axis.transAxes, ha="center", va="bottom", size=10, color="dimgrey")


def _traversals(folder: RunFolder) -> tuple[np.ndarray, list[float], int] | None:
    """One picture of the rows of the latents in use, the KL of each in nats, and how many more there are.

    None where no pictures are kept.
    """
    images = folder.read_arrays("pictures.npz").get("traversals")
    if images is None:
        return None
    measures = folder.read_json("scores.json").get("measures", {})
    kl = [measures.get(f"{KL_PER_LATENT}{j}", 0.0) for j in range(len(images))]
    used = [j for j in sorted(range(len(kl)), key=lambda j: -kl[j]) if kl[j] >= IN_USE]
    kept = used[:MOST_LATENTS]
    if not kept:
        return BLANK, [], len(used)
    columns = np.linspace(0, len(TRAVERSED) - 1, 7).round().astype(int)
    chosen = in_colours(images[kept][:, columns])
    framed = np.pad(chosen, ((0, 0), (0, 0), (0, 0), (0, GAP), (0, GAP)), constant_values=255)
    rows, wide, colours, height, width = framed.shape
    return (
        framed.transpose(0, 3, 1, 4, 2).reshape(rows * height, wide * width, colours),
        [kl[j] for j in kept],
        len(used) - len(kept),
    )


def _draw_scores(axis: Axes, runs: pd.DataFrame, summary: pd.DataFrame, names: list[str]) -> None:
    for name, colour in zip(names, sns.color_palette(n_colors=len(names)), strict=True):
        _draw_means(axis, runs, summary, name, colour, SCORES[name])
    axis.set(ylabel="score (higher is better)", ylim=(0, None))
    axis.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(names), borderaxespad=0.1,
        frameon=False, fontsize=9.5, columnspacing=1.2, handletextpad=0.5,
    )  # fmt: skip


def _draw_price(axis: Axes, runs: pd.DataFrame, summary: pd.DataFrame, factors: int | None) -> None:
    """The reconstruction on the left, the latents in use on the right."""
    colours = sns.color_palette(n_colors=5)[3:]
    _draw_means(axis, runs, summary, "reconstruction", colours[0], "")
    axis.set_ylabel("reconstruction loss (nats)", color=colours[0])
    if summary["reconstruction_mean"].min() < summary["reconstruction_mean"].max() / 2:
        axis.set_ylim(bottom=0)  # else of what colours cost whatever is learned, no difference would be seen
    beside = axis.twinx()
    beside.grid(False)
    used = latents_in_use(runs).merge(summary[["hyperparameters", "beta_mean"]], on="hyperparameters")
    if len(used):
        beside.scatter(used["beta_mean"], used["value"], color=colours[1], alpha=0.35, s=14)
        means = used.groupby("beta_mean")["value"].mean()
        beside.plot(means.index, means, color=colours[1], marker="s")
        beside.set_ylabel(f"latents in use (at least {IN_USE:g} nats)", color=colours[1])
        beside.set_ylim(0, max(factors or 0, used["value"].max()) + 0.6)
        if factors:
            beside.axhline(factors, color=colours[1], linestyle=":", linewidth=1)
            beside.annotate(
                "factors", (1, factors), xycoords=("axes fraction", "data"), ha="right", va="bottom", size=9
            )
    betas = summary["beta_mean"].tolist()
    axis.set_xscale("log", base=2)
    axis.set_xticks(betas, labels=[f"{beta:g}" for beta in betas])
    axis.minorticks_off()
    axis.set_xlabel("beta (weight of the KL term)")


def latents_in_use(runs: pd.DataFrame) -> pd.DataFrame:
    """How many latents of each run tell something of the image: rows of run, hyperparameters and value."""
    own = runs[runs["metric"].astype("str").str.startswith(KL_PER_LATENT)]
    counted = own.assign(value=own["value"] >= IN_USE).astype({"run": "str", "hyperparameters": "str"})
    return counted.groupby(["run", "hyperparameters"])["value"].sum().reset_index()


def _draw_means(
    axis: Axes, runs: pd.DataFrame, summary: pd.DataFrame, name: str, colour: tuple[float, float, float], label: str
) -> None:
    """A point a run, and the mean with its interval a beta."""
    values = runs[runs["metric"] == name].merge(summary[["hyperparameters", "beta_mean"]], on="hyperparameters")
    axis.scatter(values["beta_mean"], values["value"], color=colour, alpha=0.35, s=14)
    mean = summary[f"{name}_mean"]
    low, high = (summary[f"{name}_{end}"].fillna(mean) for end in ("low", "high"))
    bars = [mean - low, high - mean]
    axis.errorbar(summary["beta_mean"], mean, bars, color=colour, capsize=4, marker="o", label=label or None)
