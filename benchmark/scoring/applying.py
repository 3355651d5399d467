"""Applies metrics to codes."""

from collections.abc import Iterable
from typing import Any

import metrics
from benchmark.errors import UsageError, unknown
from metrics import Metric, Table


def chosen_metrics(names: Iterable[str]) -> dict[str, Metric]:
    """The metrics of those names, with options that stand in them, each once; "all" stands for all that are registered.

    Raises:
        UsageError: there is no such metric, or it has no such option.
    """
    chosen: dict[str, Metric] = {}
    for name in names:
        chosen |= metrics.REGISTRY if name == "all" else {name: _find(name)}
    return chosen


def _find(name: str) -> Metric:
    base = name.partition("[")[0]
    if base not in metrics.REGISTRY:
        raise unknown("metric", base, [*metrics.REGISTRY, "all"])
    try:
        return metrics.find(name)
    except ValueError as error:
        raise UsageError(str(error)) from error


def apply_metric(metric: Metric, table: Table, seed: int) -> dict[str, Any]:
    """One metric's values and what the tables must know of it."""
    return {
        "version": metric.version,
        "columns": list(metric.columns),
        "direction": (1 if metric.higher_is_better else -1) if metric.ranked else 0,
        "values": metric.score(table, seed),
    }
