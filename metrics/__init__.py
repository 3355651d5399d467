"""Metrics by name. To add one, put a file in this folder whose function wears `@register(...)`.

Each registered function is also an attribute of this package: `metrics.mig(table, rng)`.
"""

import importlib
import pkgutil
from collections.abc import Callable

from metrics.base import Metric, Table, Values

__all__ = ["REGISTRY", "Metric", "Table", "Values", "register"]

REGISTRY: dict[str, Metric] = {}
Function = Callable[..., Values]


def register(
    *,
    version: int,
    chance: str,
    ceiling: str,
    reference: str,
    range: tuple[float, float] = (0, 1),  # noqa: A002 -- the declared name
    higher_is_better: bool = True,
    columns: tuple[str, ...] = ("score",),
) -> Callable[[Function], Function]:
    """Register a function as the metric of its own name; `Metric` says what the arguments mean.

    Raises:
        ValueError: the name is taken; the message says by which module.
    """

    def add(function: Function) -> Function:
        name = function.__name__
        if name in REGISTRY:
            raise ValueError(f"metric {name!r} is registered already, by {REGISTRY[name].function.__module__}")
        REGISTRY[name] = Metric(name, function, version, range, higher_is_better, chance, ceiling, reference, columns)
        return function

    return add


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
# A metric's function takes the place of the module of the same name.
globals().update({name: metric.function for name, metric in REGISTRY.items()})
