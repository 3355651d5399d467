"""Tables for the terminal: what is registered, and the leaderboard."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field
from math import isnan
from typing import TYPE_CHECKING, Any

from rich.table import Table as TextTable

import methods
from benchmark import datasets
from benchmark.presets import PRESETS
from benchmark.spec import MEASURED, format_value
from methods.base import hyperparameter_fields

if TYPE_CHECKING:
    import pandas as pd

    from benchmark.datasets.base import FactorDataset
    from benchmark.datasets.trial import Moved, Result  # which bring torch

# Shown beside the ranked scores; all other columns are in leaderboard.csv.
SPACIOUS = 1_000  # codes that no encoder here gives: a limit beyond them is not worth a word
BESIDE = ("reconstruction", "beta_vae_score.at_5_pairs", "kl", "active_latents", "beta_vae_score.without_shape")
OF_PARTS = ("generalisation@", "reconstruction@")  # of a world, shown beside the reconstruction
MOST_ROWS = 40  # of a table that is printed
LABEL_WIDTH = 44  # characters that rank, method, hyperparameters and seeds take
MEAN_WIDTH = 9  # and a column with a mean alone
INTERVAL_WIDTH = 23  # characters that a column with a mean and its interval takes


def methods_table() -> TextTable:
    """The registered methods, a row each."""
    table = TextTable("method", "what it is", "hyperparameters (default; literature's grid)", title="methods")
    for name, cls in sorted(methods.REGISTRY.items()):
        settings = [_describe_hyperparameter(field) for field in hyperparameter_fields(cls).values()]
        table.add_row(name, _first_line(cls.__doc__), "\n".join(settings) or "none")
    return table


def _describe_hyperparameter(field: Field[Any]) -> str:
    grid = ", ".join(format_value(value) for value in field.metadata.get("grid", ()))
    default = format_value(field.default)  # type: ignore[arg-type]
    return f"{field.name}: {field.metadata.get('meaning', '')} ({default}{f'; {grid}' if grid else ''})"


def checks_table(name: str, results: "Sequence[Result]") -> TextTable:
    """What `check_method` found of a method, or `try_dataset` of a data set, a row each."""
    table = TextTable("check", "", "reason", title=f"check {name}")
    for result in results:
        table.add_row(result.check, result.state, result.reason)
    return table


def factors_table(name: str, moved: "Sequence[Moved]") -> TextTable:
    """What each factor of a data set moves, a row each."""
    headers = ("factor", "values", "pixels that change", "no change", "looked at, and no check")
    table = TextTable(*headers, title=f"{name}: a factor from a value to the next, the others held")
    for each in moved:
        still = ", ".join(f"{value} to {after}" for value, after in each.still)
        table.add_row(each.factor, str(each.size), f"{each.pixels:.2%}", still or "none", each.looked_at)
    return table


def metrics_table() -> TextTable:
    """The registered metrics, a row each."""
    import metrics
    from metrics import generalisation, udr

    headers = ("metric", "version", "range", "better", "chance", "ceiling", "cost", "values; what it is; what to know")
    table = TextTable(*headers, title="metrics", show_lines=True)
    beside = {"udr": udr.DECLARED, "generalisation": generalisation.DECLARED}
    for name, metric in sorted({**metrics.REGISTRY, **beside}.items()):
        low, high = metric.range
        better = "higher" if metric.higher_is_better else "lower"
        span = f"{low:g} to {high:g}"
        told = [", ".join(metric.names), f"{_first_line(metric.function.__doc__)} ({metric.reference})"]
        told += [f"not {what}: {why}" for what, why in metric.breaks.items()]
        defaults, options = metric.options, metric.describe_options()
        told += [f"option {name} ({defaults[name]}): {takes}" for name, takes in options.items()]
        told += [f"needs {metric.least_factors} factors" for _ in range(metric.least_factors > 1)]
        told += [f"left out of sweeps beyond {metric.widest:,} codes"] if metric.widest < SPACIOUS else []
        facts = (str(metric.version), span, better, metric.chance, metric.ceiling, metric.cost)
        table.add_row(name, *facts, "\n".join(told))
    return table


def datasets_table() -> TextTable:
    """The registered data sets, a row each."""
    headers = ("data set", "images", "shape", "memory", "factors", "what it is; what to know")
    table = TextTable(*headers, title="data sets", show_lines=True)
    for name in sorted(datasets.REGISTRY):
        data = datasets.load(name)
        factors = ", ".join(f"{factor} {n}" for factor, n in zip(data.factor_names, data.factor_sizes, strict=True))
        shape = " x ".join(map(str, data.image_shape))
        about = datasets.ABOUT[name]
        told = [_first_line(datasets.REGISTRY[name].__doc__), *data.remarks]
        told += [f"{what}: {text}" for what, text in (("for", about.purpose), ("licence", about.licence)) if text]
        told += [f"in --data-dir or $DISENTANGLEMENT_DATA: {about.file} ({about.publisher})" for _ in about.file[:1]]
        told += [f"{option}: {', '.join(names)}" for option, names in _worlds_by_option(data).items() if names]
        size = data.memory / 1e6
        table.add_row(name, f"{len(data):,}", shape, f"{size:,.0f} MB", factors or "none", "\n".join(told))
    return table


def _worlds_by_option(data: "FactorDataset") -> dict[str, list[str]]:
    """The names of papers' worlds that each option takes for the data set."""
    from benchmark.datasets.worlds import known_worlds

    return dict(zip(("--correlated", "--hold-out"), known_worlds(data), strict=True))


def remarks_on(names: Iterable[str]) -> list[str]:
    """What to know of those data sets, as far as they are registered, where their scores are read."""
    plain = dict.fromkeys(name.partition(" ")[0] for name in names)
    known = [name for name in plain if name in datasets.REGISTRY]
    return [f"{name}: {remark}" for name in known for remark in datasets.load(name).remarks]


def presets_table() -> TextTable:
    """The training protocols, a row each."""
    headers = ("preset", "steps", "batch", "latents", "networks", "optimiser", "rows encoded", "what it is")
    table = TextTable(*headers, title="presets")
    for name, preset in PRESETS.items():
        rows = f"{preset.train_rows:,} train, {preset.test_rows:,} test"
        optimiser = f"{preset.optimiser.name}, {preset.optimiser.lr:g}"
        numbers = (f"{preset.steps:,}", str(preset.batch), str(preset.latents))
        table.add_row(name, *numbers, preset.architecture, optimiser, rows, preset.summary)
    return table


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def score_table(values: Mapping[str, Mapping[str, float]]) -> TextTable:
    """The values of each metric for one representation, a row each."""
    table = TextTable("metric", "value", "", title="scores")
    for metric, own in values.items():
        for name, value in own.items():
            table.add_row(metric if name == "score" else "", name, f"{value:.4f}")
        table.add_section()
    return table


def board_table(keys: Any, board: "pd.DataFrame", width: int) -> TextTable:
    """The leaderboard of one block of equal data and protocol: a row a configuration, for so many columns."""
    import pandas as pd

    dataset, source, preset, steps, _ = keys
    rows = board[["train_rows", "test_rows"]].max()
    encoded = "" if rows.isna().any() else f"; scored on {rows['train_rows']:,} + {rows['test_rows']:,} rows"
    names = [str(column).removesuffix("_mean") for column in board if str(column).endswith("_mean")]
    ranked = [name for name in names if f"{name}_rank" in board]
    # The scores beside their price, then the rest, as far as the width goes.
    # Of a world's parts the headlines, first what is told of its parts alone.
    elsewhere = [name for name in names if "@" in name and "." not in name.rpartition("@")[2]]
    first = [name for name in elsewhere if name.startswith(OF_PARTS)]
    last = [name for name in elsewhere if name not in first]
    order = (BESIDE[0], *first, *ranked, *BESIDE[1:], *last)
    shown = [name for name in order if name in names and board[f"{name}_n"].any()]
    parts = ("mean", "low", "high") if width >= LABEL_WIDTH + INTERVAL_WIDTH * len(shown) else ("mean",)
    if len(parts) == 1:
        shown = shown[: max(2, (width - LABEL_WIDTH) // MEAN_WIDTH)]
    meaning = "mean [95% interval over seeds]" if len(parts) > 1 else "means (the rest: leaderboard.csv)"
    best = "" if len(board) <= MOST_ROWS else f"; the best {MOST_ROWS} of {len(board)} (the rest: leaderboard.csv)"
    table = TextTable(title=f"{dataset} ({source}), {preset}: {steps:,} steps{encoded}; {meaning}{best}")
    for header in ("rank", "method", "hyperparameters", "seeds"):
        table.add_column(header, no_wrap=header in ("method", "hyperparameters"), overflow="fold")
    for name in shown:
        table.add_column(name, overflow="fold", min_width=MEAN_WIDTH - 3)
    for _, row in board.head(MOST_ROWS).iterrows():
        failed = f" ({row['failed']} failed)" if row["failed"] else ""
        cells = [_interval(*(row[f"{name}_{part}"] for part in parts)) for name in shown]
        stale = f"(stale: {row['stale']})" if row["stale"] else ""
        known = "" if row["evidence"] == MEASURED else f"({row['evidence']})"
        settings = " ".join(filter(None, [row["hyperparameters"], row["versions"], known, stale]))
        rank = "" if pd.isna(row["rank"]) else str(row["rank"])
        table.add_row(rank, row["method"], settings, f"{row['seeds']}{failed}", *cells)
    return table


def _interval(*values: float) -> str:
    """A mean, with its interval where there is one."""
    digits = 3 if abs(values[0]) < 1 else 2 if abs(values[0]) < 10 else 1
    parts = [f"{value:.{digits}f}" for value in values if not isnan(value)]
    return f"{parts[0]} [{parts[1]}, {parts[2]}]" if len(parts) == 3 else "".join(parts[:1])
