"""Properties that one expects of a measure of disentanglement, for every registered metric.

A metric that lacks one declares it under `breaks` with the reason, which `list metrics` shows. The
test is then expected to fail, so that a declaration cannot outlive its cause. A new metric inherits
all of these.
"""

import sys
from functools import cache

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from metrics import REGISTRY, Table, boosting, prediction

SIZES = (3, 4, 6)
TRAIN, TEST = 1200, 600
# Another order of rows or columns is another draw or fit for some metrics.
TOLERANCE = 0.04


def _factors():
    rng = np.random.default_rng(3)
    return np.stack([rng.integers(size, size=TRAIN + TEST) for size in SIZES], axis=1)


FACTORS = _factors()


def _partly_mixed():
    """Five codes: two that each know one factor, two mixtures, one that is noise."""
    rng = np.random.default_rng(4)
    unit = (FACTORS - FACTORS.mean(0)) / FACTORS.std(0)
    noise = rng.normal(size=(TRAIN + TEST, 5))
    mixtures = unit @ rng.normal(size=(3, 2))
    return np.concatenate([unit[:, :2] + 0.3 * noise[:, :2], mixtures + 0.3 * noise[:, 2:4], noise[:, 4:]], axis=1)


CODES = _partly_mixed()


# What takes minutes is tried with less of the same.
OPTIONS = {"downstream": {"rows": (10, 100), "estimators": ["logistic"]}}


@pytest.fixture(autouse=True)
def _less_of_the_same(monkeypatch):
    monkeypatch.setattr(boosting, "STEPS", 6)
    monkeypatch.setattr(sys.modules["metrics.downstream"], "PENALTIES", [1, 100])


def _values(metric, codes=CODES, factors=FACTORS, seed=0):
    table = Table(codes[:TRAIN], factors[:TRAIN], codes[TRAIN:], factors[TRAIN:])
    return REGISTRY[metric](table, np.random.default_rng(seed), **OPTIONS.get(metric, {}))


def _score(metric, *arrays, **named):
    return _values(metric, *arrays, **named)["score"]


@cache
def _unchanged(metric):
    return _score(metric)


def _shuffled(array, rng):
    return np.concatenate([array[:TRAIN][rng.permutation(TRAIN)], array[TRAIN:][rng.permutation(TEST)]])


def _relabelled():
    rng = np.random.default_rng(6)
    return np.stack([rng.permutation(size)[column] for size, column in zip(SIZES, FACTORS.T, strict=True)], axis=1)


def _rows_in_another_order():
    return {
        "codes": _shuffled(CODES, np.random.default_rng(8)),
        "factors": _shuffled(FACTORS, np.random.default_rng(8)),
    }


CHANGES = {
    "permuting latents": lambda: {"codes": CODES[:, [3, 1, 4, 0, 2]]},
    "flipping signs": lambda: {"codes": CODES * [1, -1, 1, -1, -1]},
    "scaling all codes": lambda: {"codes": 3 * CODES},
    "scaling one code": lambda: {"codes": CODES * [1, 1, 10, 1, 1]},
    "shifting": lambda: {"codes": CODES + np.array([5, 0, -3, 1, 0])},
    "shuffling rows": _rows_in_another_order,
    "permuting factors": lambda: {"factors": FACTORS[:, [2, 0, 1]]},
    "relabelling factors": lambda: {"factors": _relabelled()},
    "adding dead codes": lambda: {"codes": np.concatenate([CODES, np.zeros((TRAIN + TEST, 3))], axis=1)},
    "doubling codes": lambda: {"codes": np.concatenate([CODES, CODES], axis=1)},
    "float32": lambda: {"codes": CODES.astype(np.float32)},
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("metric", sorted(REGISTRY))
def test_unchanged_by(metric, change, request):
    if change in REGISTRY[metric].breaks:
        request.applymarker(pytest.mark.xfail(reason=REGISTRY[metric].breaks[change], strict=True))
    assert _score(metric, **CHANGES[change]()) == pytest.approx(_unchanged(metric), abs=TOLERANCE)


def test_what_is_said_to_break_is_a_property():
    for metric in REGISTRY.values():
        assert set(metric.breaks) <= {*CHANGES, "judging factors", "noise at chance"}, metric.name
        assert all(metric.breaks.values())


def _judges_factors(metric):
    return "judging factors" not in REGISTRY[metric].breaks


@pytest.mark.parametrize("metric", sorted(filter(_judges_factors, REGISTRY)))
def test_order_of_the_ideal_the_mixed_and_the_noise(metric):
    declared = REGISTRY[metric]
    ideal = (FACTORS - FACTORS.mean(0)) / FACTORS.std(0)
    noise = np.random.default_rng(9).normal(size=CODES.shape)
    values = [_values(metric, codes) for codes in (ideal, CODES, noise)]
    scores = [own["score"] for own in values]
    low, high = declared.range
    assert all(low - 1e-9 <= score <= high + 1e-9 for score in scores)
    sign = 1 if declared.higher_is_better else -1
    assert sign * scores[0] >= sign * scores[1] > sign * scores[2]
    if declared.ceiling.startswith("1"):
        assert scores[0] > 0.95
    if "ceiling" in values[0]:
        assert scores[0] > 0.95 * values[0]["ceiling"]


@pytest.mark.parametrize("metric", sorted(REGISTRY))
def test_equal_seeds_give_equal_values_ten_times(metric):
    assert len({_score(metric, seed=1) for _ in range(3 if metric in OPTIONS else 10)}) == 1


@pytest.mark.parametrize("metric", sorted(REGISTRY))
def test_the_number_of_threads_changes_no_value(metric, monkeypatch):
    users = [module for module in sys.modules.values() if vars(module).get("spare_cores") is prediction.spare_cores]
    found = []
    for threads in (1, 2, 3):
        with monkeypatch.context() as patch, threadpool_limits(threads):
            for module in users:
                patch.setattr(module, "spare_cores", lambda threads=threads: threads)
            found.append(_values(metric))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("metric", sorted(REGISTRY))
def test_what_is_declared_is_given(metric):
    declared = REGISTRY[metric]
    table = Table(CODES[:TRAIN], FACTORS[:TRAIN], CODES[TRAIN:], FACTORS[TRAIN:], ["shape", "scale", "angle"])
    values = declared(table, np.random.default_rng(0), **OPTIONS.get(metric, {}))
    names = {
        name.replace("<factor>", factor)
        for name in declared.names
        for factor in (table.factor_names if "<factor>" in name else [""])
    }
    assert set(values) <= names
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
    "few rows": lambda: (CODES[:6], FACTORS[:6] % 2),
    "huge codes": lambda: (CODES[:90] * 1e30, FACTORS[:90]),
    "tiny codes": lambda: (CODES[:90] * 1e-30, FACTORS[:90]),
}


@pytest.mark.parametrize("case", DEGENERATE)
@pytest.mark.parametrize("metric", sorted(REGISTRY))
def test_degenerate_tables_have_a_value_or_a_sentence(metric, case):
    try:
        values = REGISTRY[metric].score(Table(*DEGENERATE[case]()), 0)
    except ValueError as error:
        assert len(str(error)) > 20
        assert "\n" not in str(error)
        assert str(error).endswith(".")
        assert "sklearn" not in str(error)
    else:
        assert all(np.isfinite(value) for value in values.values())
