"""Metrics by name. To add one, put a file in this folder whose function wears `@register(...)`.

Each registered function is also an attribute of this package: `metrics.mig(table, rng)`.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from numpy.typing import ArrayLike

from metrics.base import WIDE, Metric, Table, Values

__all__ = ["REGISTRY", "Metric", "Table", "Values", "register", "score"]

REGISTRY: dict[str, Metric] = {}
Function = Callable[..., Values]


class NameTakenError(ValueError):
    """Another metric is registered under that name."""


def register(
    *,
    version: int,
    chance: str,
    ceiling: str,
    reference: str,
    names: tuple[str, ...] = ("score",),
    range: tuple[float, float] = (0, 1),  # noqa: A002 -- the declared name
    higher_is_better: bool = True,
    columns: tuple[str, ...] = ("score",),
    cost: str = "under a second",
    widest: int = WIDE,
    ranked: bool = True,
    breaks: Mapping[str, str] = MappingProxyType({}),
) -> Callable[[Function], Function]:
    """Register a function as the metric of its own name; `Metric` says what the arguments mean.

    Raises:
        NameTakenError: the name is taken; the message says where.
    """

    def add(function: Function) -> Function:
        name = function.__name__
        if name in REGISTRY:
            taken = REGISTRY[name].function
            where = f"{taken.__module__} in {inspect.getsourcefile(taken)}"
            raise NameTakenError(f"metric {name!r} is registered already, by {where}")
        REGISTRY[name] = Metric(
            name=name,
            function=function,
            version=version,
            range=range,
            higher_is_better=higher_is_better,
            chance=chance,
            ceiling=ceiling,
            reference=reference,
            names=names,
            columns=columns,
            cost=cost,
            widest=widest,
            ranked=ranked,
            breaks=breaks,
        )
        return function

    return add


def score(
    codes: ArrayLike,
    factors: ArrayLike,
    codes_test: ArrayLike | None = None,
    factors_test: ArrayLike | None = None,
    *,
    factor_names: Sequence[str] | None = None,
    metrics: Iterable[str] | None = None,
    seed: int = 0,
) -> dict[str, Values]:
    """Score any representation with the metrics of those names (None: with all).

    Args:
        codes, factors: (N, D) numbers and (N, K) integers; `Table` says the rest.
        codes_test, factors_test: without them the last third of the rows tests.

    Raises:
        ValueError: the arrays are no table, or a metric cannot score them.
        KeyError: there is no metric of that name.

    Example:
        >>> import numpy as np
        >>> factors = np.random.default_rng(0).integers(4, size=(3000, 2))
        >>> score(factors, factors, metrics=["beta_vae_score"])["beta_vae_score"]["score"]
        1.0
    """
    table = Table(codes, factors, codes_test, factors_test, factor_names)
    return {name: REGISTRY[name].score(table, seed) for name in (REGISTRY if metrics is None else metrics)}


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
# A metric's function takes the place of the module of the same name.
globals().update({name: metric.function for name, metric in REGISTRY.items()})
