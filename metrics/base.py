"""What a metric is: a pure function of codes and factors, and what is declared about it."""

import hashlib
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import nan
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from threadpoolctl import ThreadpoolController

from metrics.grouping import Groups, describe_groups, reduce_groups
from metrics.information import bin_codes
from metrics.options import Option, nearest, read_options, write_name

MANY_CLASSES = "The number of unique classes"  # scikit-learn's warning of few rows of many values begins so
GREATEST_CODE = 1e100  # far from where squares and their sums overflow
GREATEST_VALUE = 2**53  # of a factor: beyond it float64 does not tell neighbours apart
ROUNDING = 1e-6  # by which a score may pass the range that is declared
MOST_BINS = 1000
ADVISED_BINS = 10
ADVICE = f"bin_factors={ADVISED_BINS} (on the command line --bin-factors {ADVISED_BINS})"
WIDE = 100  # codes: more are the images rather than a representation of them
KINDS: Mapping[type, tuple[str, ...]] = {  # what kind each attribute of a metric is
    str: ("chance", "ceiling", "reference", "cost"),
    int: ("version", "widest", "least_factors", "least_codes", "least_rows"),
    bool: ("higher_is_better", "ranked"),
    tuple: ("range", "names", "columns"),
    Mapping: ("breaks",),
}
Values = dict[str, float]  # the headline number under "score", others by stable names


def load_libraries() -> None:
    """Import what metrics fit with, before its threads are limited: only those of a library that is there are.

    Metrics import it within their functions, so that a list of them, or a mistake in a name, need not wait for it.
    """
    import scipy.stats  # noqa: F401
    import sklearn.ensemble
    import sklearn.linear_model
    import sklearn.model_selection
    import sklearn.preprocessing
    import sklearn.svm  # noqa: F401


@lru_cache(maxsize=1)
def _pools(imported: int) -> ThreadpoolController:
    """The libraries' pools of threads, looked for anew, which takes milliseconds, once more modules are imported."""
    return ThreadpoolController()


class Table:
    """Codes and ground-truth factors of the rows that a metric trains and tests on.

    The values of a factor are names: `factors` holds their ranks 0 .. n - 1 over all rows, so that
    gaps, signs and size of the numbers given do not matter.

    Without rows to test on, a random third of the rows tests, decided by the seed and not by the
    order of the rows; of each value that occurs twice or more the first row that is drawn trains, then that
    of each value that occurs once, as far as the other two thirds hold them.

    Test rows may have values that no training row has (`unseen`). What is predicted cannot be right
    there: they count as wrong (`sap`, `dci`, `dci_fast`, `downstream`), as if nothing were known
    (`infomec`), as the rest of every other value (`explicitness`). Where groups of equal rows are
    compared (`beta_vae_score`, `factor_vae_score`) or numbers are regressed (`dci_es`) they count as any row.

    Its arrays cannot be written to: every metric is given the same ones.

    Args:
        codes: (N, D), finite, at most 1e100 in size.
        factors: (N, K), integers, at most 2^53 in size; each factor takes at least two values. (N, 0) where
            nothing is known: metrics that look at factors are then unsuited.
        codes_test, factors_test: rows for testing.
        factor_names: K names, "factor_0" and so on by default.
        seed: decides which rows test where none are given for it.
        bin_factors: from 2 to 1,000; a factor that takes more values than this, fractions too, falls into so many
            bins of equal width over the range of all rows, those of training and of testing.
        groups: the columns of each vector of codes, of which its first principal component over the training rows is
            scored (`reduce_groups`); `kept` then has the share of variance that each keeps.

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
        *,
        seed: int = 0,
        bin_factors: int | None = None,
        groups: Groups | None = None,
    ) -> None:
        if (codes_test is None) != (factors_test is None):
            raise ValueError("codes_test and factors_test go together; give both or neither.")
        bins = _check_bins(bin_factors)
        self.codes, self.factors = _rows(codes, factors, "codes", "factors", bins)
        if codes_test is None or factors_test is None:
            train, test = _split(self.factors, seed)
            self.codes, self.codes_test = self.codes[train], self.codes[test]
            self.factors, self.factors_test = self.factors[train], self.factors[test]
        else:
            self.codes_test, self.factors_test = _rows(codes_test, factors_test, "codes_test", "factors_test", bins)
        if min(len(self.codes), len(self.codes_test)) < 2:
            raise ValueError("there are too few rows; at least two to train and two to test on are needed.")
        if (self.codes.shape[1], self.factors.shape[1]) != (self.codes_test.shape[1], self.factors_test.shape[1]):
            raise ValueError("training and test rows have different numbers of columns.")
        self.kept: tuple[float, ...] = ()
        if groups is not None:
            self.codes, self.codes_test, kept = reduce_groups(self.codes, self.codes_test, groups)
            self.kept = tuple(kept)
        ranks = _rank_values(np.concatenate([self.factors, self.factors_test]), bins)
        self.factors, self.factors_test = np.split(ranks, [len(self.factors)])
        numbered = [f"factor_{k}" for k in range(self.factors.shape[1])]
        self.factor_names = tuple(numbered if factor_names is None else _names(factor_names))
        if len(set(self.factor_names)) != self.factors.shape[1]:
            raise ValueError(
                f"factor_names are {self.factor_names}; one name for each factor is needed, all different."
            )
        for k, name in enumerate(self.factor_names):
            if (self.factors[:, k] == self.factors[0, k]).all():
                raise ValueError(f"factor {name!r} takes one value only in the training rows; leave it out.")
        self._freeze()

    def _freeze(self) -> None:
        """See that no metric changes what the next one is given."""
        for array in (self.codes, self.factors, self.codes_test, self.factors_test):
            array.flags.writeable = False

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._freeze()  # in another process, too

    @property
    def unseen(self) -> dict[str, int]:
        """How many test rows have a value that no training row has, for each factor with such rows."""
        columns = zip(self.factor_names, self.factors.T, self.factors_test.T, strict=True)
        counts = {name: int((~np.isin(test, train)).sum()) for name, train, test in columns}
        return {name: count for name, count in counts.items() if count}

    def tell_unseen(self) -> str:
        """One sentence on the test rows whose values no training row has; empty where there are none."""
        found = ", ".join(f"{count:,} of factor {name!r}" for name, count in self.unseen.items())
        rows = f"of {len(self.factors_test):,} test rows some have values that no training row has ({found})"
        return f"{rows}; no metric can predict these, and they count as wrong." if found else ""

    def tell_groups(self) -> str:
        """One sentence on how vectors of codes are scored; empty where codes are scored as they are."""
        kept = ", ".join(f"{share:.0%}" for share in self.kept)
        return f"{describe_groups(len(self.kept))}, which keeps of its variance {kept}" if self.kept else ""

    def tell_scarce(self) -> str:
        """One sentence on a factor with nearly one value a row, which nothing can be learned of; empty without one.

        Such a factor takes more than ten values, and so many that fewer than two training rows share one on average.
        """
        rows = len(self.factors)
        for name, column in zip(self.factor_names, self.factors.T, strict=True):
            values = len(np.unique(column))
            if values > max(ADVISED_BINS, rows / 2):
                taken = f"factor {name!r} takes {values:,} values in {rows:,} training rows, nearly one a row"
                return f"{taken}; cut it into bins with {ADVICE}."
        return ""


def _check_bins(bins: int | None) -> int | None:
    if bins is None:
        return None
    if isinstance(bins, bool) or not isinstance(bins, (int, np.integer)) or not 2 <= bins <= MOST_BINS:
        raise ValueError(f"bin_factors is {bins!r}; a whole number from 2 to {MOST_BINS:,} is needed.")
    return int(bins)


def _split(factors: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the rows that train and, a third, test, in random order; `Table` has the rule."""
    shuffled = random_stream(f"{seed}/rows").permutation(len(factors))
    turn = np.full(len(factors), 2)
    for column in factors[shuffled].T:
        _, first, count = np.unique(column, return_index=True, return_counts=True)
        turn[first] = np.minimum(turn[first], np.where(count > 1, 0, 1))
    trains = np.zeros(len(factors), bool)
    trains[np.argsort(turn, kind="stable")[: len(factors) - len(factors) // 3]] = True
    return shuffled[trains], shuffled[~trains]


def _rank_values(factors: np.ndarray, bins: int | None) -> np.ndarray:
    """Each factor's values, or those of its bins, numbered 0, 1, 2, ... in their order."""
    ranks = np.empty_like(factors, np.int64)  # in the same memory order, on which last digits of sums depend
    for k, column in enumerate(factors.T):
        values, ranks[:, k] = np.unique(column, return_inverse=True)
        if bins is not None and len(values) > bins:
            ranks[:, k] = np.unique(bin_codes(column[:, None], bins)[:, 0], return_inverse=True)[1]
    return ranks


def random_stream(name: str) -> np.random.Generator:
    """The random numbers that belong to that name alone."""
    digest = hashlib.sha256(name.encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big") >> 1)


def _names(given: Sequence[str]) -> list[str]:
    names = np.atleast_1d(given)
    if not names.size:
        return []
    if names.dtype.kind != "U" or names.ndim > 1 or not all(name and name.isprintable() for name in names.tolist()):
        raise ValueError(f"factor_names are {names.dtype} of shape {names.shape}; a list of printable texts is needed.")
    return names.tolist()


def _rows(
    codes: ArrayLike, factors: ArrayLike, codes_name: str, factors_name: str, bins: int | None
) -> tuple[np.ndarray, np.ndarray]:
    arrays = []
    for name, given in ((codes_name, codes), (factors_name, factors)):
        if any(map(np.ma.is_masked, [given, *(given if isinstance(given, list | tuple) else [])])):
            # numpy would take what lies under the mask
            raise ValueError(f"{name} holds masked values; numbers are needed.")
        array = np.asarray(given)
        if array.dtype.kind not in "biuf":
            raise ValueError(f"{name} holds {array.dtype}; numbers are needed.")
        if array.ndim != 2 or 0 in array.shape[: 2 if name == codes_name else 1]:
            raise ValueError(f"{name} has shape {array.shape}; (rows, columns) are needed.")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds nan or infinity.")
        greatest = max(-float(array.min()), float(array.max())) if array.size else 0.0
        if greatest > (most := GREATEST_CODE if name == codes_name else GREATEST_VALUE):
            raise ValueError(f"{name} holds numbers as large as {greatest:.3g}; at most {most:.3g} is possible.")
        arrays.append(array)
    if len(arrays[0]) != len(arrays[1]):
        lengths = f"{codes_name} has {len(arrays[0])} rows and {factors_name} {len(arrays[1])}"
        raise ValueError(f"{lengths}; they must match.")
    fractions = arrays[1][arrays[1] != np.rint(arrays[1])]
    if bins is None and fractions.size:
        raise ValueError(f"{factors_name} holds fractions such as {fractions[0]:g}; cut them into bins with {ADVICE}.")
    return arrays[0].astype(np.float64), arrays[1].astype(np.float64)


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
        at_chance: the same as `chance` where it is a number, or the value among those of a run that tells it, such as
            "beta_vae_score.chance"; None where it depends on codes or factors: no score is set in relation to it.
        breaks: properties that one would expect and the score lacks, each with the reason; where another column
            lacks one the property is followed by the column, as in "doubling codes (active)".
        least_factors, least_codes, least_rows: what a table must have, rows being those of training; 0
            factors where it does not look at them.
        needs: gives a sentence where a table lacks something else that it needs, and "" elsewhere.
        settings: options that are not at their defaults, by `with_options`.
        base: the name under which it is registered, whatever its options.
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
    at_chance: float | str | None = None
    breaks: Mapping[str, str] = field(default_factory=dict)
    least_factors: int = 1
    least_codes: int = 1
    least_rows: int = 2
    needs: Callable[[Table], str] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    base: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "base", self.base or self.name)

    def refuse_odd(self) -> None:
        """Raise ValueError where what is declared is not as it must be, or does not go together."""
        for kind, names in KINDS.items():
            for name in names:
                value = getattr(self, name)
                if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
                    raise ValueError(
                        f"metric {self.name!r} declares {name} {value!r}, where {kind.__name__} is needed."
                    )
        if not all(isinstance(end, int | float) for end in self.range):
            raise ValueError(f"metric {self.name!r} declares range {self.range}, where numbers are needed.")
        low, high = self.range if len(self.range) == 2 else (nan, nan)
        odd_columns = self.columns[:1] != ("score",) or not {*self.columns} <= {*self.names}
        if odd_columns or not low < high or self.version < 1:
            told = f"version {self.version}, names {self.names}, columns {self.columns} and range {self.range}"
            needed = "a version from 1, columns from 'score' on, names that hold them all, and a range from low to high"
            raise ValueError(f"metric {self.name!r} declares {told}, where {needed} are needed.")
        for name, reason in self.breaks.items():
            if not isinstance(name, str) or not isinstance(reason, str):
                raise ValueError(
                    f"metric {self.name!r} declares under breaks {name!r}: {reason!r}, where two texts are needed."
                )
        for name, option in read_options(self.function).items():
            try:
                option.read(option.default)
            except ValueError as error:
                raise ValueError(f"{self.name}'s option {name} is {option.default!r} by default; {error}") from error

    @property
    def is_ours(self) -> bool:
        """Whether it stands in this project, and in no plugin."""
        return str(self.function.__module__).partition(".")[0] == __name__.partition(".")[0]

    @property
    def options(self) -> dict[str, Any]:
        """The function's keyword options with their defaults."""
        return {name: option.default for name, option in read_options(self.function).items()}

    def describe_options(self) -> dict[str, str]:
        """The values that each option takes, in words."""
        return {name: option.takes for name, option in read_options(self.function).items()}

    def with_options(self, **options: Any) -> "Metric":
        """This metric with options set, given as values or as texts ("20"; several as "10+100").

        Its name says which of them are not at their defaults: `infomec[estimator=exact]`. Its random
        numbers are those of the plain metric.

        Raises:
            ValueError: there is no such option, or it does not take that value.
        """
        known = read_options(self.function)
        settings = dict(self.settings)
        for name, value in options.items():
            settings[name] = self._read_option(known, name, value)
        settings = {name: value for name, value in settings.items() if value != known[name].default}
        return replace(self, name=write_name(self.base, settings), settings=settings)

    def _read_option(self, known: Mapping[str, Option], name: str, value: Any) -> Any:
        if name not in known:
            advice = nearest(name, known) if known else "it has none."
            raise ValueError(f"{self.base} has no option {name!r}; {advice}")
        try:
            return known[name].read(value)
        except ValueError as error:
            raise ValueError(f"{self.base}'s {name} is {value!r}; {error}") from error

    def unsuited(self, table: Table) -> str:
        """One sentence that says why the metric cannot score the table; empty where it can."""
        has = {
            "factors": (len(table.factor_names), self.least_factors),
            "codes": (table.codes.shape[1], self.least_codes),
            "training rows": (len(table.codes), self.least_rows),
        }
        for what, (count, least) in has.items():
            if count < least:
                return f"{self.name} needs at least {least} {what}, and the table has {count}."
        scarce = self.least_factors and table.tell_scarce()
        told = scarce or (self.needs(table) if self.needs else "")
        if not isinstance(told, str):
            raise ValueError(f"{self.name}'s needs gave {told!r}, where a sentence or an empty text is needed.")
        return told

    def __call__(self, table: Table, rng: np.random.Generator, **options: Any) -> Values:
        """The function's values, plain numbers, the same with any number of threads.

        Raises:
            ValueError: the table does not suit the metric, or what the function gives is no `Values`: a "score" within
                the declared range, and others, each a finite number under a name.
        """
        if reason := self.unsuited(table):
            raise ValueError(reason)
        load_libraries()
        # The order of a sum, and so its last digits, depend on the number of threads.
        with _pools(len(sys.modules)).limit(limits=1), warnings.catch_warnings():
            warnings.filterwarnings("ignore", MANY_CLASSES, UserWarning)
            given = self.function(table, rng, **{**self.settings, **options})
        if not isinstance(given, Mapping) or not all(isinstance(name, str) and name.isprintable() for name in given):
            raise ValueError(f"{self.name} gave {type(given).__name__}, where numbers by their names are needed.")
        values = {name: self._read_value(name, value) for name, value in given.items()}
        least, greatest = self.range
        if not least - ROUNDING <= values.get("score", nan) <= greatest + ROUNDING:
            raise ValueError(
                f"{self.name} gave {values.get('score')} for 'score'; it declares {least:g} to {greatest:g}."
            )
        return values

    def _read_value(self, name: str, value: Any) -> float:
        """What a function gave under that name, as a plain number."""
        if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
            value = value.item()
        if not isinstance(value, int | float) or not -GREATEST_CODE <= value <= GREATEST_CODE:
            raise ValueError(f"{self.name} gave {value!r} for {name!r}, where a finite number is needed.")
        return float(value)

    def score(self, table: Table, seed: int) -> Values:
        """The values from a random stream that belongs to this metric, whatever its options, and seed alone."""
        return self(table, random_stream(f"{seed}/metric {self.base}"))
