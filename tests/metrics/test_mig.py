import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

import metrics
from metrics import Table
from metrics.information import bin_codes, entropy, mutual_information
from metrics.mig import mig

SIZES = (3, 6, 40, 32, 32)


def _factors(rows, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(size, size=rows) for size in SIZES], axis=1)


def _mig(codes, factors):
    return mig(Table(codes, factors, codes[:10], factors[:10]), np.random.default_rng(0))


def test_ceiling_on_dsprites():
    """Known values of the true factors at 10,000 rows and 20 bins: below 1 for sizes above 20."""
    factors = _factors(10_000)
    values = _mig(factors, factors)
    gaps = [values[f"gap_factor_{k}"] for k in range(5)]
    assert gaps == pytest.approx([0.998, 0.997, 0.802, 0.841, 0.841], abs=0.005)
    assert values["score"] == pytest.approx(0.896, abs=0.003)
    assert values["ceiling"] == values["score"]
    assert _mig(factors[:1000], factors[:1000])["score"] == pytest.approx(0.826, abs=0.01)


def test_noise_scores_near_zero():
    factors = _factors(10_000)
    assert _mig(np.random.default_rng(1).normal(size=(10_000, 10)), factors)["score"] < 0.005


def test_a_factor_held_by_two_codes_has_no_gap():
    factors = _factors(10_000)
    assert _mig(np.repeat(factors, 2, axis=1), factors)["score"] == 0


def test_one_code_and_dead_codes():
    factors = _factors(3000)[:, :2]
    values = _mig(factors[:, :1], factors)
    assert values["gap_factor_0"] == pytest.approx(1)
    assert values["gap_factor_1"] < 0.01
    assert _mig(np.zeros((3000, 4)), factors)["score"] == 0


def test_the_divisor_is_the_factors_entropy():
    # The code tells only whether the factor is 0: one bit of two.
    factors = np.stack([np.arange(4000) % 4, np.arange(4000) // 4 % 2], axis=1)
    codes = np.stack([factors[:, 0] < 2, np.zeros(4000)], axis=1).astype(float)
    assert _mig(codes, factors)["gap_factor_0"] == pytest.approx(0.5)


def test_factors_are_not_binned():
    # Forty values, all told by the code: binned to twenty, the gap would be 1.
    factors = np.stack([np.arange(4000) % 40, np.arange(4000) // 40 % 2], axis=1)
    values = _mig(factors[:, :1].astype(float), factors)
    assert values["gap_factor_0"] == pytest.approx(np.log(20) / np.log(40), abs=1e-3)


def test_mutual_information_is_scikit_learns():
    rng = np.random.default_rng(0)
    left, right = rng.integers(7, size=(500, 3)), rng.integers(-2, 4, size=(500, 2))
    right[:, 0] += left[:, 1]
    expected = [[mutual_info_score(a, b) for b in right.T] for a in left.T]
    np.testing.assert_allclose(mutual_information(left, right), expected, atol=1e-12)
    assert entropy(left[:, 0]) == pytest.approx(mutual_info_score(left[:, 0], left[:, 0]))


def test_bins_are_of_equal_width_over_each_codes_range():
    codes = np.array([[0.0, 5.0], [0.24, 5.0], [0.26, 5.0], [1.0, 5.0]])
    assert bin_codes(codes, 4).tolist() == [[0, 0], [0, 0], [1, 0], [3, 0]]


def test_scaling_and_flipping_change_nothing():
    factors = _factors(2000)
    codes = factors + np.random.default_rng(0).normal(size=factors.shape)
    expected = _mig(codes, factors)["score"]
    for changed in (codes * [1e-6, 1e6, 3, 2, 1] + 7, codes[:, ::-1]):
        assert _mig(changed, factors)["score"] == pytest.approx(expected, abs=1e-3)


def test_functions_are_attributes_of_the_package():
    assert metrics.mig is mig
    assert set(metrics.REGISTRY) >= {"mig", "beta_vae_score"}
