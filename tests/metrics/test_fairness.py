"""fairness: total variation in a table of pandas', guesses that lean on what they should not, and chance."""

import numpy as np
import pandas as pd
import pytest

from metrics import REGISTRY, Table
from metrics.fairness import _variation


def _factors(rows, seed):
    return np.random.default_rng(seed).integers([3, 4], size=(rows, 2))


def _fairness(codes, factors, codes_test, factors_test):
    return REGISTRY["fairness"].score(Table(codes, factors, codes_test, factors_test), 0)


def test_variation_is_that_of_a_contingency_table():
    rng = np.random.default_rng(0)
    guesses, sensitive = rng.integers(5, size=400), rng.integers(3, size=400)
    guesses[sensitive == 2] = 1
    rows = pd.crosstab(sensitive, guesses, normalize="index")
    whole = pd.Series(guesses).value_counts(normalize=True)
    of_values = (rows - whole).abs().sum(axis=1) / 2
    shares = pd.Series(sensitive).value_counts(normalize=True)
    assert _variation(guesses, sensitive) == pytest.approx((of_values * shares).sum())
    assert _variation(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1])) == 0.5
    assert _variation(np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])) == 0


def test_true_factors_and_noise_are_fair():
    factors, factors_test = _factors(2000, 0), _factors(1000, 1)
    rng = np.random.default_rng(2)
    for codes, codes_test in ((factors, factors_test), (rng.normal(size=(2000, 3)), rng.normal(size=(1000, 3)))):
        values = _fairness(codes, factors, codes_test, factors_test)
        assert values["score"] < 0.01
        assert values["uncorrected"] > 0.01, "few rows seem unfair"


def test_guesses_of_one_factor_by_another_are_unfair():
    """The code tells the sum alone, and each has a likeliest value: a guess of either leans on the other."""
    factors, factors_test = (part // [1, 3] for part in (_factors(2000, 0), _factors(1000, 1)))
    codes, codes_test = (part.sum(1, keepdims=True) for part in (factors, factors_test))
    values = _fairness(codes, factors, codes_test, factors_test)
    best = [
        pd.DataFrame({"sum": codes[:, 0], "factor": column}).groupby("sum")["factor"].agg(lambda x: x.mode()[0])
        for column in factors.T
    ]
    shown = [_variation(best[k].loc[codes_test[:, 0]].to_numpy(), factors_test[:, 1 - k]) for k in range(2)]
    assert values["uncorrected"] == pytest.approx(np.mean(shown), abs=0.02)
    assert values["score"] > 0.1
    assert values["worst"] >= values["score"]
