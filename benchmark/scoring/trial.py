"""A metric tried out: for `run_benchmark.py check-metric` and for plugin authors' own tests.

import metrics
from benchmark.scoring.trial import try_metric

def test_my_metric():
    assert [result for result in try_metric(metrics.find("my_metric")) if result.state == "failed"] == []

A metric that lacks a property declares it under `breaks` with the reason; where another column than the score lacks
it the declaration names the column, as in "doubling codes (active)". What is declared and not seen on the codes
tried here is told. A check that does not apply is skipped, as all that score codes are where none of these suit it.
"""

import random
import re
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np

from benchmark.attempts import Result, Skip, attempt
from benchmark.errors import BROKEN, describe, unknown
from metrics import Metric, Table, Values
from metrics.base import ROUNDING

SIZES = (3, 4, 6)
NAMES = ("shape", "scale", "angle")
TRAIN, TEST = 1200, 600
TIMED = (10_000, 5_000)  # rows that train and test, as sweeps score
OF_DSPRITES = (3, 6, 40, 32, 32)  # values of factors
# Another order of rows or columns is another draw or fit for some metrics.
TOLERANCE = 0.04  # of the greatest score, or of a value where there is no greatest
WIDER = {("downstream", "trees_efficiency"): 0.1, ("downstream", "logistic_efficiency"): 0.1}  # ratios of few rows
UNSEEN = "not seen here, though declared"
ONE = re.compile(r"1(?![\d./])")  # as a ceiling begins in words
JUDGING, RANKING, NOTICING = "judging factors", "ranking noise last", "noticing a rotation"  # of better and worse codes
Arrays = Mapping[str, Any]  # codes, factors and names, those that are not the plain ones


# --- what is scored ------------------------------------------------------------------------------------------


def _factors() -> np.ndarray:
    rng = np.random.default_rng(3)
    return np.stack([rng.integers(size, size=TRAIN + TEST) for size in SIZES], axis=1)


FACTORS = _factors()
IDEAL = (FACTORS - FACTORS.mean(0)) / FACTORS.std(0)


def _partly_mixed(factors: np.ndarray = FACTORS, spread: float = 0.3) -> np.ndarray:
    """Five codes: two that each know one factor, two mixtures, one that is noise."""
    rng = np.random.default_rng(4)
    unit = (factors - factors.mean(0)) / factors.std(0)
    noise = rng.normal(size=(TRAIN + TEST, 5)) * [*[spread] * 4, 1]
    mixtures = unit @ rng.normal(size=(3, 2))
    return np.concatenate([unit[:, :2] + noise[:, :2], mixtures + noise[:, 2:4], noise[:, 4:]], axis=1)


CODES = _partly_mixed()
NOISE = np.random.default_rng(9).normal(size=CODES.shape)


def _reorder(array: np.ndarray, order: Callable[[int], np.ndarray]) -> np.ndarray:
    """Training rows and test rows, each in another order."""
    return np.concatenate([array[:TRAIN][order(TRAIN)], array[TRAIN:][order(TEST)]])


def _rows_in_another_order() -> Arrays:
    arrays = {"codes": CODES, "factors": FACTORS}
    return {name: _reorder(array, np.random.default_rng(8).permutation) for name, array in arrays.items()}


def _rows_in_order_of_values() -> Arrays:
    order = {rows: np.lexsort(part.T[::-1]) for rows, part in ((TRAIN, FACTORS[:TRAIN]), (TEST, FACTORS[TRAIN:]))}
    arrays = {"codes": CODES, "factors": FACTORS}
    return {name: _reorder(array, order.__getitem__) for name, array in arrays.items()}


def _many_values() -> dict[str, Any]:
    """The first factor, which a code knows, takes forty values."""
    many = np.random.default_rng(5).integers(40, size=TRAIN + TEST)
    factors = np.column_stack([many, FACTORS[:, 1:]])
    return {"codes": _partly_mixed(factors, 0.02), "factors": factors}


def _relabelled(numbered: Callable[[int, np.random.Generator], np.ndarray]) -> dict[str, Any]:
    """Values under other names: those of the second factor with a gap, of the others negative or large."""
    rng = np.random.default_rng(6)
    names = [numbered(40, rng) * 7 - 100, np.array([1, 0, 1000, 2])[numbered(4, rng)], numbered(6, rng) * 2**50]
    arrays = _many_values()
    columns = zip(names, arrays["factors"].T, strict=True)
    return arrays | {"factors": np.stack([named[column] for named, column in columns], axis=1)}


def _renumbered() -> Arrays:
    """Values under other numbers in the same order."""
    renumbered = _relabelled(lambda size, _: np.arange(size))
    renumbered["factors"][:, 1] = np.array([0, 1, 2, 1000])[FACTORS[:, 1]]
    return renumbered


CHANGES: Mapping[str, Callable[[], Arrays]] = {  # what should leave every column as it is
    "permuting latents": lambda: {"codes": CODES[:, [3, 1, 4, 0, 2]]},
    "flipping signs": lambda: {"codes": CODES * [1, -1, 1, -1, -1]},
    "scaling all codes": lambda: {"codes": 3 * CODES},
    "shrinking all codes": lambda: {"codes": 0.01 * CODES},
    "scaling one code": lambda: {"codes": CODES * [1, 1, 10, 1, 1]},
    "shifting": lambda: {"codes": CODES + np.array([5, 0, -3, 1, 0])},
    "shuffling rows": _rows_in_another_order,
    "sorting rows": _rows_in_order_of_values,
    "permuting factors": lambda: {"factors": FACTORS[:, [2, 0, 1]], "names": [NAMES[k] for k in (2, 0, 1)]},
    "relabelling factors": lambda: _relabelled(lambda size, rng: rng.permutation(size)),
    "adding dead codes": lambda: {"codes": np.concatenate([CODES, np.zeros((TRAIN + TEST, 46))], axis=1)},
    "doubling codes": lambda: {"codes": np.concatenate([CODES, CODES], axis=1)},
    "float32": lambda: {"codes": CODES.astype(np.float32)},
}
DEGENERATE: Mapping[str, Callable[[], tuple[np.ndarray, np.ndarray]]] = {
    "constant codes": lambda: (np.zeros((90, 3)), FACTORS[:90]),
    "one code": lambda: (CODES[:90, :1], FACTORS[:90]),
    "one factor": lambda: (CODES[:90], FACTORS[:90, :1]),
    "two codes alike": lambda: (CODES[:90, [0, 0]], FACTORS[:90]),
    "few rows": lambda: (CODES[:6], np.array([[0, 0], [0, 1], [1, 0], [1, 1], [0, 1], [1, 0]])),
    "a dozen rows": lambda: (CODES[:12], FACTORS[:12]),
    "huge codes": lambda: (CODES[:90] * 1e30, FACTORS[:90]),
    "tiny codes": lambda: (CODES[:90] * 1e-30, FACTORS[:90]),
}


def _table(codes: Any, factors: Any, names: Sequence[str]) -> Table:
    return Table(codes[:TRAIN], factors[:TRAIN], codes[TRAIN:], factors[TRAIN:], names)


class Subject:
    """A metric, and its values on the codes that several checks look at."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric

    def score(self, codes: Any = CODES, factors: Any = FACTORS, names: Sequence[str] = NAMES) -> Values:
        """Its values; skips where a sweep would leave it out."""
        table = _table(codes, factors, names)
        self.refuse_unsuited(table)
        return self.metric(table, np.random.default_rng(0))

    def refuse_unsuited(self, table: Table) -> None:
        """Skip where the metric is not for the table."""
        width, widest = table.codes.shape[1], self.metric.widest
        wide = f"it is for {widest} codes at most, and the table has {width}" if width > widest else ""
        if reason := self.metric.unsuited(table) or wide:
            raise Skip(reason)

    @cached_property
    def mixed(self) -> Values:
        return self.score()

    @cached_property
    def of_many_values(self) -> Values:
        return self.score(**_many_values())

    @cached_property
    def of_three(self) -> tuple[Values, Values, Values]:
        """Of the ideal, the partly mixed and the noise; skips where it judges no factors."""
        if reason := self.metric.breaks.get(JUDGING):
            raise Skip(f"it declares under breaks {JUDGING!r}: {reason}")
        return self.score(IDEAL), self.mixed, self.score(NOISE)

    def hold(self, name: str, holds: bool, told: str) -> str:
        """Fail where a property is lacked and not declared so; what to tell of one that is declared lacking."""
        reason = self.metric.breaks.get(name)
        assert holds or reason, f"{told}; if that is meant, declare {name!r} under breaks, with the reason"
        return f"{told}, {UNSEEN if holds else 'as declared'}: {reason}" if reason else ""

    def tolerance(self, column: str, value: float) -> float:
        """By how much a column's value may differ and count as the same."""
        greatest = max(map(abs, self.metric.range)) if column == "score" else np.inf
        scale = greatest if np.isfinite(greatest) else max(1.0, abs(value))
        return WIDER.get((self.metric.base, column), TOLERANCE) * scale


# --- the checks: each returns what to tell, raises Skip, or fails an assertion whose message is the reason ---


def values(subject: Subject) -> str:
    """It gives what it declares, and nothing else."""
    metric, given = subject.metric, subject.mixed
    names = {name.replace("<factor>", factor) for name in metric.names for factor in NAMES}
    strange = sorted(set(given) - names)
    assert not strange, f"it gives {strange[0]!r}, which `names` does not hold"
    missing = [column for column in metric.columns if column not in given]
    told = f"; of {TRAIN:,} rows it does not give {', '.join(missing)}" if missing else ""
    return f"score {given['score']:.3f} on partly mixed codes{told}"


def declared(subject: Subject) -> str:
    """What it says of itself is said, in words that are known."""
    metric = subject.metric
    for what in ("chance", "ceiling", "reference", "cost"):
        assert getattr(metric, what), f"it declares no {what}"
    of_columns = [f"{change} ({name})" for change in CHANGES for name in metric.names if name != "score"]
    known = [*CHANGES, JUDGING, RANKING, NOTICING, *of_columns]
    for name, reason in metric.breaks.items():
        if name not in known:
            raise AssertionError(str(unknown("property under breaks", name, known)))
        assert reason, f"it declares under breaks {name!r}, and no reason"
    looks, judges = metric.least_factors > 0, JUDGING not in metric.breaks
    assert looks == judges, (
        f"it declares least_factors {metric.least_factors} and {'not ' * judges}{JUDGING!r} under breaks; "
        "what looks at no factors declares 0 and that"
    )
    return ""


def options(subject: Subject) -> str:
    """Every option at its default, as a value or a text, is the plain metric."""
    plain = subject.metric
    written = {name: "+".join(map(str, v)) if isinstance(v, tuple) else str(v) for name, v in plain.options.items()}
    for given in (plain.options, written):
        assert plain.with_options(**{**given, **plain.settings}) == plain, "an option at its default gives it a name"
    return ", ".join(plain.options)


def repeated(subject: Subject) -> str:
    """The same generator gives the same values whatever the global random state, which stays as it is."""
    numpy_state, state = np.random.get_state(), random.getstate()  # noqa: NPY002
    before = subject.mixed
    try:
        np.random.seed(1)  # noqa: NPY002
        random.seed(1)
        again = subject.score()
        drawn = np.random.randint(2**31), random.random()  # noqa: NPY002
        np.random.seed(1)  # noqa: NPY002
        random.seed(1)
        assert drawn == (np.random.randint(2**31), random.random()), (  # noqa: NPY002
            "it draws from the global random state; draw from the generator that it is given"
        )
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(state)
    assert again == before, f"of the same codes {_first_difference(before, again)}"
    return ""


def numbers_are_names(subject: Subject) -> str:
    """Gaps, signs and sizes of a factor's numbers change nothing at all as long as their order stays."""
    before, after = subject.of_many_values, subject.score(**_renumbered())
    assert after == before, _first_difference(before, after)
    return ""


def _first_difference(before: Values, after: Values) -> str:
    """The first value that is another one, as both have it."""
    name = next(name for name in [*before, *after] if before.get(name) != after.get(name))
    return f"{name} {before.get(name)!r} becomes {after.get(name)!r}"


def unchanged(subject: Subject, change: str) -> str:
    """What should leave every column as it is does so, but for those declared, and for other values that are."""
    before = subject.of_many_values if change == "relabelling factors" else subject.mixed
    after = subject.score(**CHANGES[change]())
    told = []
    for column in filter(before.__contains__, [*subject.metric.columns, *subject.metric.names]):
        name = change if column == "score" else f"{change} ({column})"
        if column not in subject.metric.columns and name not in subject.metric.breaks:
            continue
        assert column in after, f"{column} {before[column]:.3f} is not given any more"
        same = abs(after[column] - before[column]) <= subject.tolerance(column, before[column])
        told.append(subject.hold(name, same, f"{column} {before[column]:.3f} becomes {after[column]:.3f}"))
    return "; ".join(dict.fromkeys(filter(None, told)))


def ranks_noise_last(subject: Subject) -> str:
    """The partly mixed stand between the ideal and the noise."""
    ideal, mixed, noise = (each["score"] for each in subject.of_three)
    sign = 1 if subject.metric.higher_is_better else -1
    told = f"the true factors score {ideal:.3f}, partly mixed codes {mixed:.3f}, noise {noise:.3f}"
    return subject.hold(RANKING, sign * ideal >= sign * mixed > sign * noise, told) or told


def notices_a_rotation(subject: Subject) -> str:
    """Codes of two thirds of two factors each, less a third of the other, cost more than half."""
    ideal, _, noise = (each["score"] for each in subject.of_three)
    rotated = subject.score(IDEAL @ (2 / 3 * np.ones((3, 3)) - np.eye(3)))["score"]
    costs = (rotated - noise) * np.sign(ideal - noise) < abs(ideal - noise) / 2 or ideal == noise
    told = f"the true factors score {ideal:.3f}, their rotation {rotated:.3f}, noise {noise:.3f}"
    return subject.hold(NOTICING, bool(costs), told) or told


def reaches_ceiling(subject: Subject) -> str:
    """The true factors reach the ceiling that is given among the values, or 1 where that is declared."""
    ideal, *_ = subject.of_three
    ceiling = ideal.get("ceiling", 1.0 if ONE.match(subject.metric.ceiling) else -np.inf)
    told = f"the true factors score {ideal['score']:.3f}"
    near = ideal["score"] >= ceiling - 0.05 * abs(ceiling) - ROUNDING
    assert near, f"{told}, and its ceiling is {ceiling:g}"
    return told


def degenerate(subject: Subject) -> str:
    """What cannot be scored is known before: `unsuited` has one sentence, or all values are finite."""
    told = []
    for case, arrays in DEGENERATE.items():
        for seed in range(3 if case == "few rows" else 1):
            table = Table(*arrays(), seed=seed)
            try:
                reason = subject.metric.unsuited(table)
                if not reason:
                    subject.metric.score(table, 0)
            except BROKEN as error:
                raise AssertionError(f"on {case} it raises {describe(error)}") from error
            if reason:
                plain = "\n" not in reason and reason.endswith(".")
                assert plain, f"of {case} it says {reason!r}, where a sentence on one line with its full stop is needed"
                told.append(case)
    return f"left out: {', '.join(dict.fromkeys(told))}" if told else ""


def speed(subject: Subject) -> str:
    """How long it takes as sweeps score, beside what it declares."""
    cost = subject.metric.cost
    if cost == "minutes":
        raise Skip("it declares minutes")
    rng, rows = np.random.default_rng(0), sum(TIMED)
    factors = np.stack([rng.integers(size, size=rows) for size in OF_DSPRITES], axis=1)
    codes = factors @ rng.normal(size=(5, 10)) + rng.normal(size=(rows, 10))
    table = Table(codes[: TIMED[0]], factors[: TIMED[0]], codes[TIMED[0] :], factors[TIMED[0] :])
    subject.refuse_unsuited(table)
    began = time.perf_counter()
    subject.metric.score(table, 0)
    took = time.perf_counter() - began
    return f"{took:.2f} s for {TIMED[0]:,} + {TIMED[1]:,} rows of ten codes and five factors; it declares {cost!r}"


Check = Callable[[Subject], str]
CHECKS: Mapping[str, Check] = {
    "values": values,
    "declared": declared,
    "options": options,
    "repeated": repeated,
    "numbers are names": numbers_are_names,
    **{change: partial(unchanged, change=change) for change in CHANGES},
    RANKING: ranks_noise_last,
    NOTICING: notices_a_rotation,
    "reaching its ceiling": reaches_ceiling,
    "degenerate tables": degenerate,
    "speed": speed,
}


def try_metric(metric: Metric) -> list[Result]:
    """Try every check on a metric, registered or not: as long as thirty of its scores of 1,200 rows.

    Returns:
        A result for each check; all others are skipped where the first one fails.
    """
    subject = Subject(metric)
    results: list[Result] = []
    for name, check in CHECKS.items():
        stands = not results or results[0].state != "failed"
        skipped = Result(name, "skipped", "as values did not pass")
        results.append(attempt(name, partial(_tell, check, subject)) if stands else skipped)
    return results


def _tell(check: Check, subject: Subject) -> str:
    """What the check tells, and of what the metric warns meanwhile."""
    with warnings.catch_warnings(record=True) as caught:
        told = [check(subject)]
    told += dict.fromkeys(f"it warns {str(each.message).partition(chr(10))[0]!r}" for each in caught)
    return "; ".join(filter(None, told))
