"""Metrics by name. To add one, put a file in this folder whose function wears `@register(...)`.

Each registered function is also an attribute of this package: `metrics.mig(table, rng)`.
"""

import importlib
import inspect
import pkgutil
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from numpy.typing import ArrayLike

from metrics.base import WIDE, Metric, Table, Values
from metrics.grouping import Groups
from metrics.options import nearest, split_name

__all__ = ["REGISTRY", "Metric", "Table", "Values", "find", "register", "score"]

REGISTRY: dict[str, Metric] = {}
BESIDE = ("rank", "next")  # a metric's name, with which names of columns begin, as in mig_rank_low
UNASKED = ("udr", "generalisation")  # which tables have of themselves
COLUMNS = (*UNASKED, *BESIDE)  # what tables have beside the registered metrics
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
    at_chance: float | str | None = None,
    breaks: Mapping[str, str] = MappingProxyType({}),
    least_factors: int = 1,
    least_codes: int = 1,
    least_rows: int = 2,
    needs: Callable[[Table], str] | None = None,
) -> Callable[[Function], Function]:
    """Register a function as the metric of its own name; `Metric` says what the arguments mean.

    Raises:
        NameTakenError: the name is taken; the message says where.
        ValueError: it is a table's, or what is declared is not as it must be.
    """

    def add(function: Function) -> Function:
        name = function.__name__
        if not name.isidentifier():
            raise ValueError(f"a metric is a function with a name, written with def, not {name}")
        if is_a_columns(name):
            raise ValueError(f"metric {name!r} would be called like a column of the tables; give it another name")
        if name in REGISTRY:
            taken = REGISTRY[name].function
            where = f"{taken.__module__} in {inspect.getsourcefile(taken)}"
            raise NameTakenError(f"metric {name!r} is registered already, by {where}")
        metric = Metric(
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
            at_chance=at_chance,
            breaks=breaks,
            least_factors=least_factors,
            least_codes=least_codes,
            least_rows=least_rows,
            needs=needs,
        )
        metric.refuse_odd()
        REGISTRY[name] = metric
        return function

    return add


def is_a_columns(name: str) -> bool:
    """Whether tables call a column of their own so, or one beside a metric's."""
    return name in COLUMNS or any(name == f"{metric}_{part}" for metric in REGISTRY for part in BESIDE)


def find(name: str) -> Metric:
    """The metric of that name, with the options that stand in it, as in `infomec[estimator=exact]`.

    Raises:
        KeyError: there is no metric of that name.
        ValueError: an option is wrong; the message says which.
    """
    base, options = split_name(name)
    if base not in REGISTRY:
        raise KeyError(f"unknown metric {base!r}; {nearest(base, REGISTRY)}")
    return REGISTRY[base].with_options(**options)


def score(
    codes: ArrayLike,
    factors: ArrayLike,
    codes_test: ArrayLike | None = None,
    factors_test: ArrayLike | None = None,
    *,
    factor_names: Sequence[str] | None = None,
    metrics: str | Iterable[str] | None = None,
    seed: int = 0,
    bin_factors: int | None = None,
    groups: Groups | None = None,
    options: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> dict[str, Values]:
    """Score any representation with the metrics of those names, or of one (None: with all that suit it).

    Args:
        codes, factors: (N, D) numbers and (N, K) integers; `Table` says the rest.
        codes_test, factors_test: without them a random third of the rows tests, decided by the seed.
        bin_factors: cuts factors of more values, and continuous ones, into so many bins, 2 to 1,000.
        groups: the columns of each vector of codes, as [[0, 1, 2], [3]]: its first principal component is scored,
            fitted on the training rows.
        options: of each metric by its name, as in {"infomec": {"estimator": "exact"}}, whose values then
            stand under "infomec[estimator=exact]"; `Metric.options` says what there are.

    Warns:
        UserWarning: test rows have values that no training row has.

    Raises:
        ValueError: the arrays are no table, a factor takes nearly one value a row, an option is wrong, or a
            metric that is named cannot score the table.
        KeyError: there is no metric of that name.

    Example:
        >>> import numpy as np
        >>> factors = np.random.default_rng(0).integers(4, size=(3000, 2))
        >>> score(factors, factors, metrics=["beta_vae_score"])["beta_vae_score"]["score"]
        1.0
    """
    named = [metrics] if isinstance(metrics, str) else REGISTRY if metrics is None else metrics
    chosen = [find(name) for name in named]
    if strange := [name for name in options if name not in {metric.base for metric in chosen}]:
        raise ValueError(f"options are for {strange[0]!r}; {nearest(strange[0], [metric.base for metric in chosen])}")
    chosen = [metric.with_options(**options.get(metric.base, {})) for metric in chosen]
    table = Table(
        codes, factors, codes_test, factors_test, factor_names, seed=seed, bin_factors=bin_factors, groups=groups
    )
    looked_at = any(metric.least_factors for metric in chosen)
    if looked_at and (scarce := table.tell_scarce()):
        raise ValueError(scarce)
    reasons = [metric.unsuited(table) for metric in chosen]
    if metrics is not None and any(reasons):
        raise ValueError(next(filter(None, reasons)))
    if looked_at and (told := table.tell_unseen()):
        warnings.warn(told, stacklevel=2)
    return {metric.name: metric.score(table, seed) for metric, bad in zip(chosen, reasons, strict=True) if not bad}


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
# A metric's function takes the place of the module of the same name.
globals().update({name: metric.function for name, metric in REGISTRY.items()})
