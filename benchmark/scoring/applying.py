"""Applies metrics to codes."""

from collections.abc import Iterable
from typing import Any

import metrics
from benchmark.errors import unknown
from metrics import Metric, Table


def chosen_metrics(names: Iterable[str]) -> dict[str, Metric]:
    """The registered metrics of those names, each once; "all" stands for all of them."""
    chosen: dict[str, Metric] = {}
    for name in names:
        if name != "all" and name not in metrics.REGISTRY:
            raise unknown("metric", name, [*metrics.REGISTRY, "all"])
        chosen |= metrics.REGISTRY if name == "all" else {name: metrics.REGISTRY[name]}
    return chosen


def apply_metric(metric: Metric, table: Table, seed: int) -> dict[str, Any]:
    """One metric's values and what the tables must know of it."""
    return {
        "version": metric.version,
        "columns": list(metric.columns),
        "direction": (1 if metric.higher_is_better else -1) if metric.ranked else 0,
        "values": metric.score(table, seed),
    }
