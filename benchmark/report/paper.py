"""The beta-VAE paper's table from stored runs, by the paper's protocol, and what its score depends on."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
import torch
from joblib import Parallel, delayed
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import kendalltau

from benchmark import datasets
from benchmark.errors import UsageError
from benchmark.report.plots import as_picture
from benchmark.report.statistics import bootstrap_interval
from benchmark.scoring.encoding import as_table, draw_rows, read_table
from benchmark.scoring.pictures import save_picture
from benchmark.spec import RunSpec, format_settings
from benchmark.storage.store import RunFolder, stored_runs, write_atomically
from metrics import Table
from metrics.base import random_stream
from metrics.beta_vae_score import Classifier, tell_factors, without_shape

PAPER = {  # method: the row's name, and the accuracy in % and its spread in table 1 of Higgins et al. 2017
    "ground_truth": ("Ground truth", 100.0, 0.0),
    "pixels": ("Raw pixels", 45.75, 0.8),
    "pca": ("PCA", 84.9, 0.4),
    "ica": ("ICA", 42.03, 10.6),
    "dcign": ("DC-IGN", 99.3, 0.1),
    "infogan": ("InfoGAN", 73.5, 0.9),
    "vae_untrained": ("VAE untrained", 44.14, 2.5),
    "vae": ("VAE", 61.58, 0.5),
    "betavae": ("beta-VAE", 99.23, 0.1),
}
REPEATS = 3  # with another seed of the classifier, its points included
TEST_POINTS = 5_000
WIDE_POINTS = 2_000  # of codes as many as pixels, whose classifier takes minutes beyond
FOLDER = "paper"
SHOWN = 5  # settings of each protocol on the page
PIXELS = PAPER["pixels"][0]
PROTOCOL, SETTING = ["preset", "training"], ["pairs", "points", "steps"]
PAGE = """# The beta-VAE paper's table, by its protocol

Accuracy in % of a linear classifier that tells which of four factors (position x, position y, scale, rotation) two
groups of images share. The paper's column is table 1 of Higgins et al. 2017. Ours are means over models
[95% interval], each model scored with three classifiers of their own; "upper half" discards the lower half of all
models' scores and averages the rest, as others recorded of the paper. By 64 pairs a point, the study's number, and by
5; 10,000 points and the converged classifier. Raw pixels: 2,000 points, once.

![accuracy against pairs, points and steps](settings.png)
"""
NEAREST = (
    "All rows but the pixels, means of all scores in %. `kendall` is the rank correlation with the paper's order, "
    "`distance` the mean absolute difference from its column, nearest first; `steps` of Adagrad in batches of 10, or "
    "the converged classifier where there are none. The nearest five of each protocol; `settings.csv` has all."
)


@dataclass(frozen=True)
class Setting:
    """How a score is computed, where the paper and the study differ or say nothing.

    Attributes:
        pairs: that a point is averaged over.
        points: that the classifier is fitted to.
        steps: of Adagrad in batches of 10; None: the converged classifier.
    """

    pairs: int = 5
    points: int = 10_000
    steps: int | None = None

    @property
    def classifier(self) -> Classifier:
        return "converged" if self.steps is None else "adagrad"

    def describe(self) -> str:
        fitted = "converged" if self.steps is None else f"{self.steps:,} steps of Adagrad"
        return f"{self.pairs} pairs, {self.points:,} points, {fitted}"


PAIRS = (1, 2, 5, 10, 20, 64)
POINTS = (100, 300, 1_000, 3_000, 10_000)
STEPS = (100, 1_000, 10_000, 30_000)
THRICE = tuple(Setting(pairs) for pairs in PAIRS)  # scored as often as the paper does
ONCE = (
    *(Setting(pairs, points) for pairs in (5, 64) for points in POINTS[:-1]),
    *(Setting(pairs, steps=steps) for pairs in (1, 5, 64) for steps in STEPS),
)
STUDY, FEW = Setting(64), Setting(5)  # the study's, and one below its ceiling


def write_paper(outs: Sequence[Path], data_dir: Path | None, jobs: int) -> Path:
    """Score the paper's nine rows among the runs of those folders; write `paper/` into the first of them.

    `scores.csv` has every score, `settings.csv` how near each setting comes to the paper, `README.md` the table
    and `settings.png` the figure.

    Raises:
        UsageError: none of the folders holds runs of the paper's methods that keep their codes.
    """
    calls = [(folder, data_dir) for out in outs for folder in stored_runs(out) if _row(folder)]
    parts = Parallel(n_jobs=jobs)(delayed(_score_run)(*call) for call in calls)
    scores = pd.DataFrame([row for part in parts for row in part])
    if scores.empty:
        raise UsageError(f"{', '.join(map(str, outs))}: no finished runs of the paper's methods that keep their codes.")
    folder = outs[0] / FOLDER
    settings = compare_settings(scores)
    write_atomically(folder / "scores.csv", scores.to_csv(index=False).encode())
    write_atomically(folder / "settings.csv", settings.round(4).to_csv(index=False).encode())
    save_picture(as_picture(draw_settings(scores)), folder / "settings.png")
    write_atomically(folder / "README.md", _page(scores, settings).encode())
    return folder


def _row(folder: RunFolder) -> str:
    """The name of the row that a finished run belongs to; empty where it is none of the paper's."""
    spec = folder.read_json("spec.json")
    method = spec.get("method")
    if method not in PAPER or spec.get("world") or "submission" in spec or not folder.finished:
        return ""
    usual = dict(RunSpec(method).hyperparameters)
    if spec["hyperparameters"] == usual:
        return PAPER[method][0]
    return f"beta-VAE, {' '.join(format_settings(spec['hyperparameters'], ' = '))}" if method == "betavae" else ""


def _score_run(folder: RunFolder, data_dir: Path | None) -> list[dict[str, Any]]:
    """Every score of one run, a row each."""
    spec = folder.read_json("spec.json")
    table = _codes(folder, spec, data_dir)
    if table is None:
        return []
    among = without_shape(table.factor_names) or range(len(table.factor_names))
    told = {"preset": spec["preset"], "training": spec["protocol"]["steps"], "row": _row(folder), "seed": spec["seed"]}
    wide = table.codes.shape[1] > WIDE_POINTS
    rows = []
    for setting, repeat in _scored(wide):
        rng = random_stream(f"{spec['seed']}/paper {repeat} {setting.describe()}")
        accuracy, _ = tell_factors(
            table, among, rng, setting.pairs, setting.points, TEST_POINTS, setting.classifier, setting.steps or 1
        )
        rows.append(told | asdict(setting) | {"repeat": repeat, "accuracy": accuracy})
    return rows


def _scored(wide: bool) -> Iterator[tuple[Setting, int]]:
    """Every setting and repetition."""
    for setting in THRICE:
        points = WIDE_POINTS if wide else setting.points
        yield from ((Setting(setting.pairs, points), repeat) for repeat in range(1 if wide else REPEATS))
    if not wide:
        yield from ((setting, 0) for setting in ONCE)


def _codes(folder: RunFolder, spec: dict[str, Any], data_dir: Path | None) -> Table | None:
    if folder.keeps_codes or spec["method"] != "pixels":
        with suppress(UsageError):
            return read_table(folder, data_dir)
        return None
    # Too wide to be stored, and there to be looked at.
    dataset = datasets.load(spec["dataset"], "cpu", data_dir)
    rows = draw_rows(dataset, spec["protocol"]["train_rows"], spec["protocol"]["test_rows"], spec["seed"])
    return as_table(
        torch.cat([dataset.at(places).flatten(1) for _, places in rows.batches(dataset)]).numpy().astype(np.float32),
        dataset,
        rows,
    )


def upper_half(scores: np.ndarray) -> np.ndarray:
    """The better half of the scores, the middle one of an odd number included: what the paper averages."""
    return np.sort(scores)[len(scores) // 2 :]


def compare_settings(scores: pd.DataFrame) -> pd.DataFrame:
    """How near each setting comes to the paper's column, over those of its rows that are there.

    Columns: `rows` compared; `kendall`, the rank correlation with the paper's order; `distance`, the mean absolute
    difference in points of accuracy; a column for each of those rows. Means are in %, over all models and repetitions.
    """
    known = scores[scores["row"].isin(_paper()) & (scores["row"] != PIXELS)]
    lines = []
    for keys, own in known.groupby([*PROTOCOL, *SETTING], dropna=False):
        means = 100 * own.groupby("row")["accuracy"].mean()
        paper = pd.Series(_paper())[means.index]
        line = dict(zip([*PROTOCOL, *SETTING], keys, strict=True)) | {"rows": len(means)}
        line["kendall"] = kendalltau(means, paper).statistic
        lines.append(line | {"distance": (means - paper).abs().mean()} | means.to_dict())
    return pd.DataFrame(lines)


def _paper() -> dict[str, float]:
    """The paper's accuracies in % by row."""
    return {name: accuracy for name, accuracy, _ in PAPER.values()}


def _page(scores: pd.DataFrame, settings: pd.DataFrame) -> str:
    """The paper's table beside ours, a table for each protocol, and how near each setting comes."""
    parts = [PAGE]
    for (preset, training), own in scores.groupby(PROTOCOL):
        parts += [f"## {preset}, {training:,} steps", "", as_markdown(_compare_rows(own)), ""]
    nearest = settings.sort_values("distance").groupby(PROTOCOL).head(SHOWN)
    shown = nearest.assign(steps=nearest["steps"].astype("Int64"))
    parts += ["## Which setting comes nearest to the paper", "", NEAREST, "", as_markdown(shown.round(2)), ""]
    return "\n".join(parts)


def _compare_rows(scores: pd.DataFrame) -> pd.DataFrame:
    """A row of the paper's table a row, with all of our scores and with their upper half."""
    lines = []
    for row in sorted(scores["row"].unique(), key=_order):
        own = scores[(scores["row"] == row) & scores["steps"].isna()]
        name, accuracy, spread = next((each for each in PAPER.values() if each[0] == row), (row, None, None))
        line = {"": name, "the paper": "" if accuracy is None else f"{accuracy:g} ± {spread:g}"}
        for pairs in (STUDY.pairs, FEW.pairs):
            here = own[(own["pairs"] == pairs) & (own["points"] == own["points"].max())]
            line |= {
                f"{pairs} pairs": _describe_models(here),
                f"{pairs} pairs, upper half": f"{100 * upper_half(here['accuracy'].to_numpy()).mean():.1f}",
            }
        lines.append(line | {"models x repetitions": f"{own['seed'].nunique()} x {own['repeat'].nunique()}"})
    return pd.DataFrame(lines)


def _describe_models(scores: pd.DataFrame) -> str:
    """The mean in % over models and its 95% interval; repetitions of one model are no further models."""
    models = 100 * scores.groupby("seed")["accuracy"].mean().to_numpy()
    if len(models) < 2:
        return f"{models.mean():.1f}"
    low, high = bootstrap_interval(models[None])[0]
    return f"{models.mean():.1f} [{low:.1f}, {high:.1f}]"


def _order(row: str) -> tuple[int, str]:
    names = [name for name, *_ in PAPER.values()]
    return (names.index(row) if row in names else len(names), row)


def as_markdown(table: pd.DataFrame) -> str:
    """The table in Markdown, without its index; what is missing is blank."""
    head = "| " + " | ".join(map(str, table.columns)) + " |"
    cells = table.astype(object).where(table.notna(), "").astype(str)
    lines = ["| " + " | ".join(row) + " |" for row in cells.itertuples(index=False, name=None)]
    return "\n".join([head, "|---" * len(table.columns) + "|", *lines])


def draw_settings(scores: pd.DataFrame) -> Figure:
    """Accuracy against the pairs, the points and the steps of the classifier: a line a row, a row of panels a protocol.

    Bands are 95% intervals of the mean over models; lines at the right of a panel are the paper's.
    """
    protocols = scores[PROTOCOL].drop_duplicates().to_numpy().tolist()
    sns.set_theme(style="whitegrid", context="notebook", rc={"text.parse_math": False})
    figure = Figure(figsize=(17, 1.2 + 4.4 * len(protocols)), dpi=110)
    axes = figure.subplots(len(protocols), 4, squeeze=False, sharey=True)
    rows = sorted(scores["row"].unique(), key=_order)
    colours = dict(zip(rows, sns.color_palette("husl", len(rows)), strict=True))
    for (preset, training), line in zip(protocols, axes, strict=True):
        own = scores[(scores["preset"] == preset) & (scores["training"] == training)]
        converged = own[own["steps"].isna()]
        most = converged["points"] == converged.groupby("row")["points"].transform("max")
        panels = (
            ("pairs a point is averaged over", "pairs", converged[most]),
            (f"points fitted to ({FEW.pairs} pairs)", "points", converged[converged["pairs"] == FEW.pairs]),
            (f"points fitted to ({STUDY.pairs} pairs)", "points", converged[converged["pairs"] == STUDY.pairs]),
            (f"steps of Adagrad ({FEW.pairs} pairs)", "steps", own[own["steps"].notna() & (own["pairs"] == FEW.pairs)]),
        )
        for axis, (label, name, part) in zip(line, panels, strict=True):
            for row in rows:
                _draw_line(axis, part[part["row"] == row], name, colours[row], row)
            axis.set(xscale="log", xlabel=label, ylim=(0, 102))
            ticks = sorted(part.loc[part["row"] != PIXELS, name].dropna().astype(int).unique())
            axis.set_xticks(ticks, labels=[f"{tick:,}" for tick in ticks])
            axis.minorticks_off()
        line[0].set_ylabel(f"{preset}, {training:,} steps\naccuracy (%)")
        for name, accuracy in _paper().items():
            line[0].axhline(accuracy, xmin=0.97, color=colours.get(name, "grey"), linewidth=3)
    handles = {label: handle for handle, label in zip(*axes[0, 0].get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles, loc="upper center", ncols=min(6, len(handles)), frameon=False)
    figure.subplots_adjust(left=0.055, right=0.99, bottom=0.6 / figure.get_figheight(), wspace=0.06, hspace=0.3)
    figure.subplots_adjust(top=1 - 0.9 / figure.get_figheight())
    return figure


def _draw_line(axis: Axes, scores: pd.DataFrame, name: str, colour: tuple[float, float, float], label: str) -> None:
    if scores.empty:
        return
    models = 100 * scores.pivot_table(index=name, columns="seed", values="accuracy")
    mean = models.mean(axis=1)
    axis.plot(models.index, mean, color=colour, marker="o", markersize=4, label=label)
    if models.shape[1] > 1:
        low, high = bootstrap_interval(models.to_numpy()).T
        axis.fill_between(models.index, low, high, color=colour, alpha=0.2, linewidth=0)
