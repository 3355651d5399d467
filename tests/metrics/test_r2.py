"""r2: scikit-learn's regressions as a second computation, and as many codes as rows or more."""

import sys

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import r2_score

from metrics import REGISTRY, Table
from metrics.prediction import PENALTIES, regress_linearly, standardise
from tests.metrics.representations import draw_factors, make


def _r2(*arrays):
    return REGISTRY["r2"].score(Table(*arrays), 0)


@pytest.fixture
def no_trees(monkeypatch):
    """Trees on a thousand codes take seconds, and say nothing of the linear regression."""
    monkeypatch.setattr(
        sys.modules["metrics.r2"], "boosted", lambda table, seed: lambda factor: table.factors_test[:, 0]
    )


def _explained(model, codes, factors, codes_test, factors_test):
    told = model.fit(codes, factors).predict(codes_test)
    return np.maximum(r2_score(factors_test, told, multioutput="raw_values"), 0)


@pytest.mark.parametrize("representation", ["aligned", "rotated", "split", "mixed"])
def test_linear_is_least_squares_with_an_intercept(representation):
    arrays = make(representation, 2000, 1000)
    expected = _explained(LinearRegression(), *arrays)
    values = _r2(*arrays)
    assert [values[f"linear_factor_{k}"] for k in range(5)] == pytest.approx(expected, abs=2e-3)
    assert values["score"] == pytest.approx(expected.mean(), abs=1e-3)
    assert values["r"] == pytest.approx(np.sqrt(expected).mean(), abs=3e-3)


def test_nonlinear_against_scikit_learns_trees():
    arrays = make("split", 2000, 1000)
    expected = [
        _explained(HistGradientBoostingRegressor(max_depth=3, random_state=0), *parts)
        for parts in (
            (arrays[0], factor, arrays[2], wanted) for factor, wanted in zip(arrays[1].T, arrays[3].T, strict=True)
        )
    ]
    assert _r2(*arrays)["nonlinear"] == pytest.approx(np.mean(expected), abs=0.02)


def test_codes_far_from_zero_lose_nothing():
    """Without an intercept, as some published code fits, these would."""
    factors = draw_factors(1000)
    assert _r2(factors + 1000.0, factors)["score"] == pytest.approx(1, abs=1e-6)


def test_a_rotation_changes_nothing_linear():
    codes, factors, codes_test, factors_test = make("mixed", 2000, 1000)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(10, 10)))[0]
    rotated = _r2(codes @ rotation, factors, codes_test @ rotation, factors_test)
    assert rotated["score"] == pytest.approx(_r2(codes, factors, codes_test, factors_test)["score"], abs=1e-3)


@pytest.mark.parametrize("width", [3, 200])
def test_the_penalty_has_the_least_cross_validation_error(width):
    """Leaving rows out one by one, with scikit-learn's ridge, finds a penalty no worse than the next but one."""
    rng = np.random.default_rng(width)
    codes = rng.normal(size=(24, width))
    target = (codes[:, :3].sum(1) + rng.normal(size=24))[:, None]
    codes, wanted = standardise(
        Table(codes, (target > 0).astype(int), rng.normal(size=(9, width)), np.eye(9, 1, 0, int))
    )
    told = regress_linearly(codes, target, wanted)[:, 0]
    fits = [Ridge(alpha=penalty * 24).fit(codes, target[:, 0]) for penalty in PENALTIES]
    nearest = int(np.argmin([np.abs(fit.predict(wanted) - told).max() for fit in fits]))
    assert fits[nearest].predict(wanted) == pytest.approx(told, abs=1e-5)
    errors = []
    for penalty in PENALTIES:
        left_out = [
            Ridge(alpha=penalty * 24).fit(np.delete(codes, i, 0), np.delete(target[:, 0], i)).predict(codes[[i]])[0]
            for i in range(24)
        ]
        errors.append(np.square(left_out - target[:, 0]).mean())
    assert errors[nearest] < 1.1 * min(errors)


@pytest.mark.parametrize("noise", [5, 95, 290, 300, 900])
def test_codes_as_many_as_rows_are_no_catastrophe(noise, no_trees):
    """Least squares alone tells next to nothing of test rows from 300 codes on 300 rows."""
    factors = draw_factors(900)
    codes = np.column_stack([factors, 0.1 * np.random.default_rng(0).normal(size=(900, noise))])
    values = _r2(codes[:300], factors[:300], codes[300:], factors[300:])
    assert values["score"] > 0.01 if noise > 95 else values["score"] > 0.9


@pytest.mark.parametrize("codes", [10, 100, 1000])
def test_noise_is_at_chance(codes, no_trees):
    rng = np.random.default_rng(codes)
    rows = 1000 if codes > 100 else 3000
    values = _r2(
        rng.normal(size=(rows, codes)), draw_factors(rows), rng.normal(size=(500, codes)), draw_factors(500, 1)
    )
    assert values["score"] < 0.01


def test_trees_on_noise_are_at_chance():
    rng = np.random.default_rng(0)
    values = _r2(rng.normal(size=(2000, 10)), draw_factors(2000), rng.normal(size=(500, 10)), draw_factors(500, 1))
    assert values["nonlinear"] < 0.01


def test_a_factor_that_rests_in_the_test_rows_counts_as_nothing():
    factors = draw_factors(500)[:, :2]
    still = factors[factors[:, 0] == 1]
    values = _r2(factors, factors, still, still)
    assert (values["linear_factor_0"], values["linear_factor_1"]) == (0, pytest.approx(1))
