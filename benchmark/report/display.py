"""Tables for the terminal: what is registered, and what was found of it."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import Field
from typing import TYPE_CHECKING, Any

from rich.table import Table as TextTable

import methods
from benchmark import datasets
from benchmark.errors import UsageError
from benchmark.presets import PRESETS
from benchmark.spec import format_value
from methods.base import hyperparameter_fields

if TYPE_CHECKING:
    from benchmark.attempts import Result
    from benchmark.datasets.base import FactorDataset
    from benchmark.datasets.trial import Moved  # which brings torch
    from metrics import Metric

SPACIOUS = 1_000  # codes that no encoder here gives: a limit beyond them is not worth a word


def methods_table() -> TextTable:
    """The registered methods, a row each."""
    headers = ("method", "what it is", "cost", "hyperparameters (default; literature's grid)")
    table = TextTable(*headers, title="methods, and what a step costs beside vae's in the preset quick")
    for name, cls in sorted(methods.REGISTRY.items()):
        settings = [_describe_hyperparameter(field) for field in hyperparameter_fields(cls).values()]
        cost = vars(cls).get("cost")
        told = "" if cost is None else f"{cost:.1f}"
        table.add_row(name, first_line(cls.__doc__), told, "\n".join(settings) or "none")
    return table


def _describe_hyperparameter(field: Field[Any]) -> str:
    grid = ", ".join(format_value(value) for value in field.metadata.get("grid", ()))
    default = format_value(field.default)  # type: ignore[arg-type]
    return f"{field.name}: {field.metadata.get('meaning', '')} ({default}{f'; {grid}' if grid else ''})"


def checks_table(name: str, results: "Sequence[Result]") -> TextTable:
    """What `check_method` found of a method, `try_dataset` of a data set or `try_metric` of a metric, a row each."""
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


def declared_metrics() -> "dict[str, Metric]":
    """The registered metrics, and what is measured beside them, by name."""
    import metrics
    from metrics import generalisation, udr

    beside = {"udr": udr.DECLARED, "generalisation": generalisation.DECLARED}
    return dict(sorted({**metrics.REGISTRY, **beside}.items()))


def metrics_table() -> TextTable:
    """The registered metrics, a row each."""
    headers = ("metric", "version", "range", "better", "chance", "ceiling", "cost", "values; what it is; what to know")
    table = TextTable(*headers, title="metrics", show_lines=True)
    for name, metric in declared_metrics().items():
        low, high = metric.range
        better = "higher" if metric.higher_is_better else "lower"
        span = f"{low:g} to {high:g}"
        told = [", ".join(metric.names), f"{first_line(metric.function.__doc__)} ({metric.reference})"]
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
        try:
            data = datasets.load(name)
        except UsageError as error:
            table.add_row(name, *("",) * 4, str(error))
            continue
        factors = ", ".join(f"{factor} {n}" for factor, n in zip(data.factor_names, data.factor_sizes, strict=True))
        shape = " x ".join(map(str, data.image_shape))
        about = datasets.ABOUT[name]
        told = [first_line(datasets.REGISTRY[name].__doc__), *data.remarks]
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
    told = []
    for name in (name for name in plain if name in datasets.REGISTRY):
        with suppress(UsageError):  # whose files lie elsewhere
            told += [f"{name}: {remark}" for remark in datasets.load(name).remarks]
    return told


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


def first_line(text: str | None) -> str:
    """The first line of a docstring, which says what its owner is."""
    return (text or "").strip().partition("\n")[0]


def score_table(values: Mapping[str, Mapping[str, float]]) -> TextTable:
    """The values of each metric for one representation, a row each."""
    table = TextTable("metric", "value", "", title="scores")
    for metric, own in values.items():
        for name, value in own.items():
            table.add_row(metric if name == "score" else "", name, f"{value:.4f}")
        table.add_section()
    return table
