"""What a metric is: a pure function of codes and factors, and what is declared about it."""

import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits

MANY_CLASSES = "The number of unique classes"  # scikit-learn's warning of few rows of many values begins so
GREATEST_CODE = 1e100  # far from where squares and their sums overflow
GREATEST_VALUE = 2**53  # of a factor: beyond it float64 does not tell neighbours apart
WIDE = 100  # codes: more are the images rather than a representation of them
Values = dict[str, float]  # the headline number under "score", others by stable names


class Table:
    """Codes and ground-truth factors of the rows that a metric trains and tests on.

    Args:
        codes: (N, D), finite, at most 1e100 in size.
        factors: (N, K), integers, at most 2^53 in size; each factor takes at least two values.
        codes_test, factors_test: rows for testing; without them the last third of the rows tests.
        factor_names: K names, "factor_0" and so on by default.

    Raises:
        ValueError: the arrays do not fit this description; the message says where.
    """

    def __init__(
        self,
        codes: ArrayLike,
        factors: ArrayLike,
        codes_test: ArrayLike | None = None,
        factors_test: ArrayLike | None = None,
        factor_names: Sequence[str] | None = None,
    ) -> None:
        if (codes_test is None) != (factors_test is None):
            raise ValueError("codes_test and factors_test go together; give both or neither.")
        self.codes, self.factors = _rows(codes, factors, "codes", "factors")
        if codes_test is None or factors_test is None:
            first = len(self.codes) - len(self.codes) // 3
            self.codes, self.codes_test = np.split(self.codes, [first])
            self.factors, self.factors_test = np.split(self.factors, [first])
        else:
            self.codes_test, self.factors_test = _rows(codes_test, factors_test, "codes_test", "factors_test")
        if min(len(self.codes), len(self.codes_test)) < 2:
            raise ValueError("there are too few rows; at least two to train and two to test on are needed.")
        if (self.codes.shape[1], self.factors.shape[1]) != (self.codes_test.shape[1], self.factors_test.shape[1]):
            raise ValueError("training and test rows have different numbers of columns.")
        numbered = [f"factor_{k}" for k in range(self.factors.shape[1])]
        self.factor_names = tuple(numbered if factor_names is None else _names(factor_names))
        if len(set(self.factor_names)) != self.factors.shape[1]:
            raise ValueError(
                f"factor_names are {self.factor_names}; one name for each factor is needed, all different."
            )
        for k, name in enumerate(self.factor_names):
            if (self.factors[:, k] == self.factors[0, k]).all():
                raise ValueError(f"factor {name!r} takes one value only in the training rows; leave it out.")


def _names(given: Sequence[str]) -> list[str]:
    names = np.atleast_1d(given)
    if names.dtype.kind != "U" or names.ndim > 1 or not all(name and name.isprintable() for name in names.tolist()):
        raise ValueError(f"factor_names are {names.dtype} of shape {names.shape}; a list of printable texts is needed.")
    return names.tolist()


def _rows(codes: ArrayLike, factors: ArrayLike, codes_name: str, factors_name: str) -> tuple[np.ndarray, np.ndarray]:
    arrays = []
    for name, given in ((codes_name, codes), (factors_name, factors)):
        array = np.asarray(given)
        if array.dtype.kind not in "biuf":
            raise ValueError(f"{name} holds {array.dtype}; numbers are needed.")
        if array.ndim != 2 or 0 in array.shape:
            raise ValueError(f"{name} has shape {array.shape}; (rows, columns) are needed.")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds nan or infinity.")
        greatest = max(-float(array.min()), float(array.max()))
        if greatest > (most := GREATEST_CODE if name == codes_name else GREATEST_VALUE):
            raise ValueError(f"{name} holds numbers as large as {greatest:.3g}; at most {most:.3g} is possible.")
        arrays.append(array)
    if len(arrays[0]) != len(arrays[1]):
        lengths = f"{codes_name} has {len(arrays[0])} rows and {factors_name} {len(arrays[1])}"
        raise ValueError(f"{lengths}; they must match.")
    if (arrays[1] != np.rint(arrays[1])).any():
        raise ValueError(f"{factors_name} holds fractions; number the values of each factor 0, 1, 2, ...")
    return arrays[0].astype(np.float64), arrays[1].astype(np.int64)


@dataclass(frozen=True)
class Metric:
    """A metric's function and what is declared about it.

    Attributes:
        function: `(table, rng, **options) -> Values`; the same `rng` state gives the same values.
        version: raised whenever a change here changes values.
        range: least and greatest score.
        higher_is_better: the score's direction.
        chance: the score of codes that know nothing, in words.
        ceiling: the greatest score that the true factors reach, in words.
        reference: the paper.
        names: all names of values, with <factor> where there is one for each factor.
        columns: which of the values stand in the leaderboard.
        cost: the time it takes at 10,000 training rows of dSprites' factors, in words.
        widest: the most codes for which it takes minutes at most; on wider ones, such as pixels, a
            sweep leaves it out.
        ranked: whether it takes part in the leaderboard's ranks: not where it does not look at factors.
        breaks: properties that one would expect and it lacks, each with the reason.
    """

    name: str
    function: Callable[..., Any]
    version: int
    range: tuple[float, float]
    higher_is_better: bool
    chance: str
    ceiling: str
    reference: str
    names: tuple[str, ...]
    columns: tuple[str, ...] = ("score",)
    cost: str = "under a second"
    widest: int = WIDE
    ranked: bool = True
    breaks: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, table: Table, rng: np.random.Generator, **options: Any) -> Values:
        """The function's values, none of them nan or infinite, the same with any number of threads.

        Raises:
            ValueError: a value is not finite, or the table does not suit the metric.
        """
        # The order of a sum, and so its last digits, depend on the number of threads.
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.filterwarnings("ignore", MANY_CLASSES, UserWarning)
            values = self.function(table, rng, **options)
        for name, value in values.items():
            if not np.isfinite(value):
                raise ValueError(f"{self.name} gave {value} for {name!r}.")
        return values

    def score(self, table: Table, seed: int) -> Values:
        """The values from a random stream that belongs to this metric and seed alone."""
        digest = hashlib.sha256(f"{seed}/metric {self.name}".encode()).digest()
        return self(table, np.random.default_rng(int.from_bytes(digest[:8], "big") >> 1))
