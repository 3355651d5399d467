"""A metric tried out: for `run_benchmark.py check-metric` and for plugin authors' own tests.

import metrics
from benchmark.scoring.trial import try_metric

def test_my_metric():
    assert [result for result in try_metric(metrics.find("my_metric")) if result.state == "failed"] == []

A metric that lacks a property declares it under `breaks` with the reason; where another column than the score lacks
it the declaration names the column, as in "doubling codes (active)". What is declared must then be so, that a
declaration cannot outlive its cause.
"""

import random
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np

from benchmark.attempts import Result, Skip, attempt
from benchmark.errors import BROKEN, describe, unknown
from metrics import Metric, Table, Values

SIZES = (3, 4, 6)
NAMES = ("shape", "scale", "angle")
TRAIN, TEST = 1200, 600
TIMED = (10_000, 5_000)  # rows that train and test, as sweeps score
OF_DSPRITES = (3, 6, 40, 32, 32)  # values of factors
# Another order of rows or columns is another draw or fit for some metrics.
TOLERANCE = 0.04
WIDER = {"trees_efficiency": 0.1, "logistic_efficiency": 0.1}  # ratios of what a hundred drawn rows teach
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
        return self.metric(_table(codes, factors, names), np.random.default_rng(0))

    @cached_property
    def mixed(self) -> Values:
        if reason := self.metric.unsuited(_table(CODES, FACTORS, NAMES)):
            raise Skip(reason)
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
        """Fail where a property is lacked and not declared so, or the other way round; what to tell of it."""
        reason = self.metric.breaks.get(name)
        assert holds or reason, f"{told}; if that is meant, declare {name!r} under breaks, with the reason"
        assert not (holds and reason), f"{told}, though it declares {name!r} under breaks; leave that out"
        return f"{told}, as declared: {reason}" if reason else ""


# --- the checks: each returns what to tell, raises Skip, or fails an assertion whose message is the reason ---


def values(subject: Subject) -> str:
    """It gives what it declares, and nothing else."""
    metric, given = subject.metric, subject.mixed
    names = {name.replace("<factor>", factor) for name in metric.names for factor in NAMES}
    strange = sorted(set(given) - names)
    assert not strange, f"it gives {strange[0]!r}, which `names` does not hold"
    assert metric.columns[0] == "score", f"the first of its columns is {metric.columns[0]!r}; ranks go by 'score'"
    missing = [column for column in metric.columns if column not in given]
    told = f"; of {TRAIN:,} rows it does not give {', '.join(missing)}" if missing else ""
    return f"score {given['score']:.3f} on partly mixed codes{told}"


def declared(subject: Subject) -> str:
    """What it says of itself is said, in words that are known."""
    metric = subject.metric
    for what in ("chance", "ceiling", "reference", "cost"):
        assert getattr(metric, what), f"it declares no {what}"
    of_columns = [f"{change} ({column})" for change in CHANGES for column in metric.names]
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
    assert again == before, f"the same codes score {before['score']:.6g} and then {again['score']:.6g}"
    return ""


def numbers_are_names(subject: Subject) -> str:
    """Gaps, signs and sizes of a factor's numbers change nothing at all as long as their order stays."""
    before, after = subject.of_many_values, subject.score(**_renumbered())
    assert after == before, f"the score of {before['score']:.6g} becomes {after['score']:.6g}"
    return ""


def unchanged(subject: Subject, change: str) -> str:
    """What should leave every column as it is does so, but for those declared."""
    before = subject.of_many_values if change == "relabelling factors" else subject.mixed
    after = subject.score(**CHANGES[change]())
    told = []
    for column in filter(before.__contains__, subject.metric.columns):
        same = abs(after[column] - before[column]) <= WIDER.get(column, TOLERANCE)
        name = change if column == "score" else f"{change} ({column})"
        told.append(subject.hold(name, same, f"{column} {before[column]:.3f} becomes {after[column]:.3f}"))
    return "; ".join(filter(None, told))


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


def within(subject: Subject) -> str:
    """The true factors and noise score within the declared range, and the former reach the declared ceiling."""
    metric, (ideal, mixed, noise) = subject.metric, subject.of_three
    low, high = metric.range
    for each in (ideal, mixed, noise):
        assert low - 1e-9 <= each["score"] <= high + 1e-9, f"{each['score']:.6g} is outside {low:g} to {high:g}"
    ceiling = ideal.get("ceiling", 1.0 if metric.ceiling.startswith("1") else -np.inf)
    told = f"the true factors score {ideal['score']:.3f}"
    assert ideal["score"] > 0.95 * ceiling, f"{told}, and its ceiling is {ceiling:g}"
    return ""


def degenerate(subject: Subject) -> str:
    """What cannot be scored is known before: `unsuited` has one sentence, or all values are finite."""
    told = []
    for case, arrays in DEGENERATE.items():
        for seed in range(3 if case == "few rows" else 1):
            table = Table(*arrays(), seed=seed)
            if reason := subject.metric.unsuited(table):
                plain = len(reason) > 20 and "\n" not in reason and reason.endswith(".")
                assert plain, f"of {case} it says {reason!r}, where a sentence on one line is needed"
                told.append(case)
                continue
            try:
                subject.metric.score(table, 0)
            except BROKEN as error:
                raise AssertionError(f"on {case} it raises {describe(error)}") from error
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
    "within range and ceiling": within,
    "degenerate tables": degenerate,
    "speed": speed,
}


def try_metric(metric: Metric) -> list[Result]:
    """Try every check on a metric, registered or not: as long as thirty of its scores of 1,200 rows.

    Returns:
        A result for each check; all others are skipped where the first one fails or the tables do not suit the metric.
    """
    subject = Subject(metric)
    results: list[Result] = []
    for name, check in CHECKS.items():
        stands = not results or results[0].state == "passed"
        skipped = Result(name, "skipped", "as values did not pass")
        results.append(attempt(name, partial(_tell, check, subject)) if stands else skipped)
    return results


def _tell(check: Check, subject: Subject) -> str:
    """What the check tells, and of what the metric warns meanwhile."""
    with warnings.catch_warnings(record=True) as caught:
        told = [check(subject)]
    told += dict.fromkeys(f"it warns {str(each.message).partition(chr(10))[0]!r}" for each in caught)
    return "; ".join(filter(None, told))
