"""Applies metrics to codes."""

from typing import Any

from benchmark.spec import chosen_metrics
from metrics import Metric, Table

__all__ = ["apply_metric", "chosen_metrics"]


def apply_metric(metric: Metric, table: Table, seed: int) -> dict[str, Any]:
    """One metric's values and what the tables must know of it."""
    return {
        "version": metric.version,
        "columns": list(metric.columns),
        "direction": (1 if metric.higher_is_better else -1) if metric.ranked else 0,
        "values": metric.score(table, seed),
    }
