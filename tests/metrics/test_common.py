"""Properties that one expects of a measure of disentanglement, for every column of every registered metric.

A metric whose score lacks one declares it under `breaks` with the reason, which `list metrics` shows; where another
column lacks it the declaration names the column, as in "doubling codes (active)". The test is then expected
to fail, so that a declaration cannot outlive its cause. A new metric inherits all of these.
"""

import re
import sys
from functools import cache

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from metrics import REGISTRY, Table, boosting, prediction

SIZES = (3, 4, 6)
NAMES = ("shape", "scale", "angle")
TRAIN, TEST = 1200, 600
# Another order of rows or columns is another draw or fit for some metrics.
TOLERANCE = 0.04
WIDER = {"trees_efficiency": 0.1, "logistic_efficiency": 0.1}  # ratios of what a hundred drawn rows teach


def _factors():
    rng = np.random.default_rng(3)
    return np.stack([rng.integers(size, size=TRAIN + TEST) for size in SIZES], axis=1)


FACTORS = _factors()


def _partly_mixed(factors=FACTORS, spread=0.3):
    """Five codes: two that each know one factor, two mixtures, one that is noise."""
    rng = np.random.default_rng(4)
    unit = (factors - factors.mean(0)) / factors.std(0)
    noise = rng.normal(size=(TRAIN + TEST, 5)) * [*[spread] * 4, 1]
    mixtures = unit @ rng.normal(size=(3, 2))
    return np.concatenate([unit[:, :2] + noise[:, :2], mixtures + noise[:, 2:4], noise[:, 4:]], axis=1)


CODES = _partly_mixed()


# What takes minutes is tried with less of the same.
OPTIONS = {"downstream": {"rows": (10, 100)}}


@pytest.fixture(autouse=True)
def _less_of_the_same(monkeypatch):
    monkeypatch.setattr(boosting, "STEPS", 6)
    monkeypatch.setattr(sys.modules["metrics.downstream"], "PENALTIES", [1, 100])
    monkeypatch.setattr(sys.modules["metrics.downstream"], "FOLDS", 2)


def _values(metric, codes=CODES, factors=FACTORS, names=NAMES, seed=0):
    table = Table(codes[:TRAIN], factors[:TRAIN], codes[TRAIN:], factors[TRAIN:], names)
    return REGISTRY[metric](table, np.random.default_rng(seed), **OPTIONS.get(metric, {}))


def _score(metric, *arrays, **named):
    return _values(metric, *arrays, **named)["score"]


def _reorder(array, order):
    """Training rows and test rows, each in another order."""
    return np.concatenate([array[:TRAIN][order(TRAIN)], array[TRAIN:][order(TEST)]])


def _rows_in_another_order():
    return {name: _reorder(array, np.random.default_rng(8).permutation) for name, array in _unchanged_arrays().items()}


def _rows_in_order_of_values():
    order = {rows: np.lexsort(part.T[::-1]) for rows, part in ((TRAIN, FACTORS[:TRAIN]), (TEST, FACTORS[TRAIN:]))}
    return {name: _reorder(array, order.__getitem__) for name, array in _unchanged_arrays().items()}


def _unchanged_arrays():
    return {"codes": CODES, "factors": FACTORS}


def _many_values():
    """The first factor, which a code knows, takes forty values."""
    many = np.random.default_rng(5).integers(40, size=TRAIN + TEST)
    factors = np.column_stack([many, FACTORS[:, 1:]])
    return {"codes": _partly_mixed(factors, 0.02), "factors": factors}


def _relabelled(numbered):
    """Values under other names: those of the second factor with a gap, of the others negative or large."""
    rng = np.random.default_rng(6)
    names = [numbered(40, rng) * 7 - 100, np.array([1, 0, 1000, 2])[numbered(4, rng)], numbered(6, rng) * 2**50]
    arrays = _many_values()
    columns = zip(names, arrays["factors"].T, strict=True)
    return arrays | {"factors": np.stack([named[column] for named, column in columns], axis=1)}


CHANGES = {
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
UNCHANGED = {"relabelling factors": _many_values}  # what is changed, where it is not the plain table


@cache
def _before(metric, unchanged):
    return _values(metric, **(unchanged() if unchanged else {}))


@cache
def _after(metric, change):
    return _values(metric, **CHANGES[change]())


def _cases():
    for metric in sorted(REGISTRY):
        for value in REGISTRY[metric].columns:
            for change in CHANGES:
                reason = REGISTRY[metric].breaks.get(change if value == "score" else f"{change} ({value})")
                marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
                yield pytest.param(metric, value, change, marks=marks, id=f"{metric}-{value}-{change}")


@pytest.mark.parametrize(("metric", "value", "change"), list(_cases()))
def test_unchanged_by(metric, value, change):
    before = _before(metric, UNCHANGED.get(change))[value]
    assert _after(metric, change)[value] == pytest.approx(before, abs=WIDER.get(value, TOLERANCE))


@pytest.mark.parametrize("metric", sorted(REGISTRY))
def test_numbers_of_values_are_names(metric):
    """Gaps, signs and sizes of a factor's numbers change nothing at all as long as their order stays."""
    renumbered = _relabelled(lambda size, _: np.arange(size))
    renumbered["factors"][:, 1] = np.array([0, 1, 2, 1000])[FACTORS[:, 1]]
    assert _values(metric, **renumbered) == _before(metric, _many_values)


OF_SCORES = ("judging factors", "ranking noise last", "noticing a rotation")


def test_what_is_said_to_break_is_a_property():
    for metric in REGISTRY.values():
        of_columns = {f"{change} ({value})" for change in CHANGES for value in metric.names}
        assert set(metric.breaks) <= {*CHANGES, *of_columns, *OF_SCORES}, metric.name
        assert all(metric.breaks.values())


def _judges_factors(metric):
    return "judging factors" not in REGISTRY[metric].breaks


IDEAL = (FACTORS - FACTORS.mean(0)) / FACTORS.std(0)
NOISE = np.random.default_rng(9).normal(size=CODES.shape)


@cache
def _of_three(metric):
    return [_values(metric, codes) for codes in (IDEAL, CODES, NOISE)]


def _judges(what):
    """The metrics that judge factors, those expected to fail that declare so."""
    for metric in sorted(filter(_judges_factors, REGISTRY)):
        reason = REGISTRY[metric].breaks.get(what)
        yield pytest.param(metric, marks=[pytest.mark.xfail(reason=reason, strict=True)] if reason else [])


@pytest.mark.parametrize("metric", list(_judges("noticing a rotation")))
def test_a_rotation_that_mixes_all_factors_costs_more_than_half(metric):
    """Each code is two thirds of two factors each, less a third of the other one."""
    rotation = 2 / 3 * np.ones((3, 3)) - np.eye(3)
    ideal, _, noise = (values["score"] for values in _of_three(metric))
    rotated = _score(metric, IDEAL @ rotation)
    assert (rotated - noise) * np.sign(ideal - noise) < abs(ideal - noise) / 2 or ideal == noise


@pytest.mark.parametrize("metric", list(_judges("ranking noise last")))
def test_the_mixed_stand_between_the_ideal_and_the_noise(metric):
    scores = [values["score"] for values in _of_three(metric)]
    sign = 1 if REGISTRY[metric].higher_is_better else -1
    assert sign * scores[0] >= sign * scores[1] > sign * scores[2]


@pytest.mark.parametrize("metric", sorted(filter(_judges_factors, REGISTRY)))
def test_the_ideal_and_the_noise_are_within_what_is_declared(metric):
    declared = REGISTRY[metric]
    values = _of_three(metric)
    scores = [own["score"] for own in values]
    low, high = declared.range
    assert all(low - 1e-9 <= score <= high + 1e-9 for score in scores)
    if declared.ceiling.startswith("1"):
        assert scores[0] > 0.95
    if "ceiling" in values[0]:
        assert scores[0] > 0.95 * values[0]["ceiling"]


@pytest.mark.parametrize("metric", sorted(REGISTRY))
def test_equal_seeds_give_equal_values_each_time_with_any_number_of_threads(metric, monkeypatch):
    users = [module for module in sys.modules.values() if vars(module).get("spare_cores") is prediction.spare_cores]
    for threads in (1, 2, 3):
        with monkeypatch.context() as patch, threadpool_limits(threads):
            for module in users:
                patch.setattr(module, "spare_cores", lambda threads=threads: threads)
            assert _values(metric) == _before(metric, None)


@pytest.mark.parametrize("metric", sorted(REGISTRY))
def test_what_is_declared_is_given(metric):
    declared = REGISTRY[metric]
    values = _before(metric, None)
    names = {
        name.replace("<factor>", factor)
        for name in declared.names
        for factor in (NAMES if "<factor>" in name else [""])
    }
    assert set(values) <= names
    assert set(declared.columns) <= set(values)
    assert set(declared.columns) <= set(declared.names)
    assert "score" in values
    assert declared.columns[0] == "score"  # ranks and plots go by it
    assert all(type(value) is float for value in values.values()), values
    for text in (declared.chance, declared.ceiling, declared.reference, declared.cost):
        assert text


DEGENERATE = {
    "constant codes": lambda: (np.zeros((90, 3)), FACTORS[:90]),
    "one code": lambda: (CODES[:90, :1], FACTORS[:90]),
    "one factor": lambda: (CODES[:90], FACTORS[:90, :1]),
    "two codes alike": lambda: (CODES[:90, [0, 0]], FACTORS[:90]),
    "few rows": lambda: (CODES[:6], np.array([[0, 0], [0, 1], [1, 0], [1, 1], [0, 1], [1, 0]])),
    "a dozen rows": lambda: (CODES[:12], FACTORS[:12]),
    "huge codes": lambda: (CODES[:90] * 1e30, FACTORS[:90]),
    "tiny codes": lambda: (CODES[:90] * 1e-30, FACTORS[:90]),
}


@pytest.mark.parametrize("case", DEGENERATE)
@pytest.mark.parametrize("metric", sorted(REGISTRY))
def test_degenerate_tables_have_values_or_are_unsuited(metric, case):
    """What cannot be scored is known before: `unsuited` has one sentence, or all values are finite."""
    for seed in range(3 if case == "few rows" else 1):
        table = Table(*DEGENERATE[case](), seed=seed)
        reason = REGISTRY[metric].unsuited(table)
        if not reason:
            assert np.isfinite(list(REGISTRY[metric].score(table, 0).values())).all()
            continue
        assert len(reason) > 20
        assert "\n" not in reason
        assert reason.endswith(".")
        with pytest.raises(ValueError, match=re.escape(reason)):
            REGISTRY[metric].score(table, 0)


def test_what_looks_at_factors_needs_one():
    for metric in REGISTRY.values():
        assert (metric.least_factors == 0) == (not _judges_factors(metric.name)), metric.name


@pytest.mark.parametrize("metric", sorted(REGISTRY))
def test_every_option_at_its_default_is_the_plain_metric(metric):
    declared = REGISTRY[metric]
    assert declared.with_options(**declared.options) == declared
    written = {name: "+".join(map(str, v)) if isinstance(v, tuple) else str(v) for name, v in declared.options.items()}
    assert declared.with_options(**written) == declared
