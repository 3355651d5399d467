import math

import numpy as np
import pytest
from scipy.linalg import sqrtm

from metrics import REGISTRY, Table
from metrics.gaussian import (
    active_latents,
    gaussian_total_correlation,
    gaussian_wasserstein_correlation,
    mean_pairwise_information,
)
from tests.metrics.representations import make

ALL = (gaussian_total_correlation, gaussian_wasserstein_correlation, mean_pairwise_information, active_latents)
DEAD = {"gaussian_total_correlation", "gaussian_wasserstein_correlation", "active_latents"}


def _values(metric, codes, **options):
    factors = np.arange(len(codes))[:, None] % 2
    return metric(Table(codes, factors, codes[:2], factors[:2]), np.random.default_rng(0), **options)


def _score(metric, codes, **options):
    return _values(metric, codes, **options)["score"]


def _codes(covariance, rows=400):
    """Codes whose sample covariance is the one given, exactly."""
    codes = np.random.default_rng(0).normal(size=(rows, len(covariance)))
    codes -= codes.mean(0)
    white = codes @ np.linalg.inv(np.linalg.cholesky(np.cov(codes, rowvar=False))).T
    return white @ np.linalg.cholesky(np.asarray(covariance)).T + 5


def _covariance(latents, seed=0):
    half = np.random.default_rng(seed).normal(size=(latents, latents + 2))
    return half @ half.T


@pytest.mark.parametrize(
    ("name", "correlation", "wasserstein", "normalised", "information"),
    [
        ("aligned", 0.00305394, 0.000302922, 0.0000606705, 0.0140759),
        ("rotated", 0.000303465, 0.000302627, 0.0000607252, 0.0396346),
        ("split", 2.297848, 1.374012, 0.195456, 0.141164),
        ("mixed", 2.316873, 0.943435, 0.213272, 0.0778698),
    ],
)
def test_the_studys_numbers(name, correlation, wasserstein, normalised, information):
    """disentanglement_lib 1.5 on the same rows, 20 bins."""
    codes = make(name)[0]
    assert _score(gaussian_total_correlation, codes) == pytest.approx(correlation, rel=1e-5)
    assert _values(gaussian_wasserstein_correlation, codes) == pytest.approx(
        {"score": wasserstein, "normalised": normalised}, rel=1e-5
    )
    assert _score(mean_pairwise_information, codes) == pytest.approx(information, rel=1e-5)


@pytest.mark.parametrize("rho", [-0.9, 0.3, 0.999])
def test_two_correlated_codes(rho):
    codes = _codes([[1, rho], [rho, 1]])
    assert _score(gaussian_total_correlation, codes) == pytest.approx(-0.5 * math.log(1 - rho**2))
    values = _values(gaussian_wasserstein_correlation, codes)
    assert values["score"] == pytest.approx(4 - 2 * (math.sqrt(1 + rho) + math.sqrt(1 - rho)))
    assert values["normalised"] == pytest.approx(values["score"] / 2)


def test_total_correlation_is_the_divergence_from_the_marginals():
    """By the formula for two normal distributions, with inverse and determinants."""
    covariance = _covariance(6)
    marginals = np.diag(np.diag(covariance))
    ratio = np.linalg.det(marginals) / np.linalg.det(covariance)
    expected = 0.5 * (np.trace(np.linalg.inv(marginals) @ covariance) - 6 + np.log(ratio))
    assert expected > 0.5
    assert _score(gaussian_total_correlation, _codes(covariance)) == pytest.approx(expected)


def test_wasserstein_distance_with_roots_in_the_other_order():
    """tr A + tr B - 2 tr (A^1/2 B A^1/2)^1/2 with A the covariance and B its diagonal, which is symmetric in them."""
    covariance = _covariance(6, 1)
    root = sqrtm(covariance)
    expected = 2 * np.trace(covariance) - 2 * np.trace(sqrtm(root @ np.diag(np.diag(covariance)) @ root)).real
    assert expected > 0.5
    assert _score(gaussian_wasserstein_correlation, _codes(covariance)) == pytest.approx(expected)


@pytest.mark.parametrize("metric", ALL[:3])
def test_independent_codes_score_zero(metric):
    grid = np.stack(np.meshgrid(*[np.arange(6.0)] * 3), axis=-1).reshape(-1, 3)
    assert _score(metric, grid) == pytest.approx(0, abs=1e-12)
    assert _score(metric, grid) >= 0


def test_noise_scores_what_is_declared():
    codes = np.random.default_rng(0).normal(size=(2000, 10))
    # Twice the score times N is chi squared with D (D - 1) / 2 degrees of freedom.
    assert _score(gaussian_total_correlation, codes) == pytest.approx(45 / 4000, abs=3 * math.sqrt(90) / 4000)
    assert 0 < _score(mean_pairwise_information, codes) < 19**2 / 4000
    assert _values(gaussian_wasserstein_correlation, codes)["normalised"] < 0.003
    assert _score(active_latents, codes) == 10


def test_information_is_the_mean_over_pairs_of_different_codes():
    """Of three pairs one shares log 4; dividing by 9 or summing the diagonal would give another number."""
    grid = np.stack(np.meshgrid(np.arange(4), np.arange(3)), axis=-1).reshape(-1, 2)
    codes = np.concatenate([grid, -grid[:, :1]], axis=1)
    assert _score(mean_pairwise_information, codes) == pytest.approx(math.log(4) / 3)
    # A dead code counts in the mean, as in the study: one pair of six.
    dead = np.concatenate([codes, np.full((12, 1), 0.1)], axis=1)
    assert _score(mean_pairwise_information, dead) == pytest.approx(math.log(4) / 6)


def test_information_is_of_binned_codes_in_nats():
    codes = np.repeat(np.arange(40.0)[:, None], 2, axis=1)
    assert _score(mean_pairwise_information, codes) == pytest.approx(math.log(20))
    assert _score(mean_pairwise_information, codes, bins=10) == pytest.approx(math.log(10))
    assert _score(mean_pairwise_information, codes, bins=50) == pytest.approx(math.log(40))
    assert REGISTRY["mean_pairwise_information"].with_options(bins=50).score(Table(codes, codes), 0)["score"] > 3


def test_duplicated_codes_have_a_finite_total_correlation():
    """Eigenvalues 2 and 0, which counts as 1e-12; float32's rounding makes no difference."""
    codes = np.random.default_rng(0).normal(size=(1000, 1))
    expected = -0.5 * (math.log(2) + math.log(1e-12))
    assert _score(gaussian_total_correlation, np.tile(codes, 2)) == pytest.approx(expected)
    rounded = np.concatenate([codes, codes.astype(np.float32)], axis=1)
    assert _score(gaussian_total_correlation, rounded) == pytest.approx(expected)
    values = _values(gaussian_wasserstein_correlation, np.tile(codes, 9))
    assert values["normalised"] == pytest.approx(2 - 2 / 3, abs=1e-6)


@pytest.mark.parametrize("metric", ALL)
def test_dead_codes_and_single_codes(metric):
    dead = np.full((100, 3), 0.1)
    assert set(_values(metric, dead).values()) == {0.0}
    code = np.random.default_rng(0).normal(size=(100, 1))
    assert _score(metric, code) == (1 if metric is active_latents else 0)
    if metric.__name__ in DEAD:
        codes = np.random.default_rng(0).normal(size=(100, 3)) @ _covariance(3)
        assert _values(metric, np.concatenate([dead, codes], axis=1)) == _values(metric, codes)


def test_one_code_of_a_far_greater_scale_leaves_the_others_their_digits():
    """A great independent code adds nothing to what hangs together among the others."""
    codes = np.random.default_rng(0).normal(size=(300, 2)) @ np.linalg.cholesky([[1, 0.8], [0.8, 1]]).T
    basis = np.linalg.qr(codes - codes.mean(0))[0]
    alone = np.random.default_rng(1).normal(size=300)
    alone = alone - alone.mean()
    alone = alone - basis @ (basis.T @ alone)
    beside = np.column_stack([codes, 1e6 * alone])
    own = _score(gaussian_wasserstein_correlation, codes)
    assert own > 0.1
    assert _score(gaussian_wasserstein_correlation, beside) == pytest.approx(own, rel=1e-3)


def test_scales():
    """Correlation and information know no scale, not even one whose square does not exist."""
    codes = np.random.default_rng(0).normal(size=(300, 3)) @ _covariance(3)
    for metric in (gaussian_total_correlation, mean_pairwise_information):
        expected = _score(metric, codes)
        assert _score(metric, codes * [1e-200, -3, 1e90]) == pytest.approx(expected)
    before, after = (_values(gaussian_wasserstein_correlation, each) for each in (codes, -10 * codes))
    assert after == pytest.approx({"score": 100 * before["score"], "normalised": before["normalised"]})


def test_fewer_rows_than_codes():
    codes = np.random.default_rng(0).normal(size=(5, 8))
    for metric in ALL:
        assert all(math.isfinite(value) for value in _values(metric, codes).values())


def test_active_latents_counts_variances_above_a_hundredth():
    codes = np.tile([[-1.0], [1.0]], (50, 1)) * np.sqrt([0.0099, 0.0101, 0, 1])
    assert _score(active_latents, codes) == 2
    assert _score(active_latents, codes, threshold=0.5) == 1


@pytest.mark.parametrize("metric", ALL)
def test_order_signs_and_precision(metric):
    codes = make("mixed", 1000, 10)[0]
    expected = _values(metric, codes)
    order = np.random.default_rng(1).permutation(1000)
    assert _values(metric, codes[order][:, ::-1]) == pytest.approx(expected)
    assert _values(metric, -codes) == pytest.approx(expected, rel=0.02)  # a bin holds its lower edge only
    assert _values(metric, codes.astype(np.float32)) == pytest.approx(expected, rel=1e-3)
    assert _values(metric, codes) == expected


def test_what_is_declared():
    for metric in ALL:
        declared = REGISTRY[metric.__name__]
        values = _values(metric, make("mixed", 100, 10)[0])
        assert set(values) == set(declared.names)
        assert declared.range[0] <= values["score"] <= declared.range[1]
        assert all(type(value) is float for value in values.values())
        assert declared.higher_is_better == (metric is active_latents)
