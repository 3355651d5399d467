import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from metrics.udr import udr
from tests.metrics.representations import REPRESENTATIONS, draw_factors


def _udr(codes, **options):
    return udr(codes, np.random.default_rng(0), **options)


def _white(rows=500, latents=4):
    """Codes that are exactly uncorrelated, with variance 1."""
    codes = np.random.default_rng(0).normal(size=(rows, latents))
    codes -= codes.mean(0)
    return codes @ np.linalg.inv(np.linalg.cholesky(np.cov(codes, rowvar=False, ddof=0))).T


def _ranks(latents=2, size=40):
    """Codes on a grid: ranks are exactly uncorrelated too."""
    return np.stack(np.meshgrid(*[np.arange(float(size))] * latents), axis=-1).reshape(-1, latents)


def _aligned(codes):
    """Copies that differ in order, signs and scale, as models that found the same factors do."""
    return [codes, 3 * codes[:, ::-1], codes * np.where(np.arange(codes.shape[1]) % 2, -1, 2)]


def test_aligned_copies_reach_the_ceiling():
    """The lasso takes its penalty, 0.1, off the weight of a perfect copy; a rank correlation is 1."""
    assert _udr(_aligned(_white())) == pytest.approx([0.9] * 3, abs=1e-6)
    assert _udr(_aligned(_ranks()), method="spearman") == pytest.approx([1] * 3)


def test_a_rotated_copy_scores_what_it_should():
    """At 45 degrees each latent is half of each other: weights 1 / sqrt(2) - 0.1, and of the two half counts."""
    codes = _white(latents=2)
    half = 1 / math.sqrt(2)
    rotated = codes @ np.array([[half, -half], [half, half]])
    scores = _udr([*_aligned(codes), rotated])
    assert scores == pytest.approx([0.9, 0.9, 0.9, (half - 0.1) / 2], abs=1e-6)


def test_a_rotated_copy_by_ranks():
    """Normal latents of correlation r have the rank correlation 6 / pi asin(r / 2)."""
    codes = _white(100_000, 2)
    half = 1 / math.sqrt(2)
    rotated = codes @ np.array([[half, -half], [half, half]])
    expected = 6 / math.pi * math.asin(half / 2) / 2
    assert _udr([codes, rotated], method="spearman") == pytest.approx([expected] * 2, abs=0.005)


def test_models_that_agree_rank_above_those_that_do_not():
    factors = draw_factors(1000)
    aligned = [REPRESENTATIONS["aligned"](factors, np.random.default_rng(seed)) for seed in range(3)]
    rng = np.random.default_rng(9)
    codes = aligned[0][:, aligned[0].var(0) > 0.5]
    turned = [codes @ np.linalg.qr(rng.normal(size=(5, 5)))[0] for _ in range(3)]
    noise = [rng.normal(size=(1000, 5)) for _ in range(3)]
    for method, floor in (("lasso", 0.85), ("spearman", 0.85)):
        best, middle, worst = (_udr(group, method=method) for group in (aligned, turned, noise))
        assert best.min() > floor
        assert best.min() - 0.2 > middle.max()
        assert middle.min() > worst.max()
        assert worst.max() < 0.05


def _penalised(columns, target):
    """A lasso by plain coordinate descent: one weight after the other, 2,000 times over."""
    weights = np.zeros(columns.shape[1])
    for _ in range(2000):
        for i, column in enumerate(columns.T):
            slope = column @ (target - columns @ weights + column * weights[i]) / len(target)
            weights[i] = math.copysign(max(abs(slope) - 0.1, 0), slope)
    return np.abs(weights)


@pytest.mark.parametrize("method", ["lasso", "spearman"])
def test_a_second_computation(method):
    """Correlated latents, models of different widths; the second of each pair is predicted from the first."""
    rng = np.random.default_rng(0)
    codes = [
        rng.normal(size=(60, 3)) @ rng.normal(size=(3, width)) + rng.normal(size=(60, width)) for width in (2, 3, 4)
    ]
    unit = [(each - each.mean(0)) / each.std(0) for each in codes]
    scores = []
    for b in range(3):
        found = []
        for a in range(3):
            if a == b:
                continue
            if method == "lasso":
                table = [_penalised(unit[a], target) for target in unit[b].T]
            else:
                table = [[abs(spearmanr(one, target).statistic) for one in unit[a].T] for target in unit[b].T]
            total = sum(max(row) ** 2 / sum(row) for row in table if sum(row))
            total += sum(max(column) ** 2 / sum(column) for column in zip(*table, strict=True) if sum(column))
            found.append(total / (len(table) + len(table[0])))
        scores.append(np.median(found))
    assert np.ptp(scores) > 0.001
    assert _udr(codes, method=method) == pytest.approx(scores, abs=1e-3)


def test_ties_share_their_mean_rank():
    rng = np.random.default_rng(0)
    codes = [rng.integers(4, size=(200, 1)) for _ in range(2)]
    codes[1] += codes[0]
    expected = abs(spearmanr(codes[0][:, 0], codes[1][:, 0]).statistic)
    assert _udr(codes, method="spearman") == pytest.approx([expected] * 2)


def test_only_informative_latents_count():
    codes = _white()
    noise = np.random.default_rng(1).normal(size=(500, 2))
    wide = [np.concatenate([each, noise], axis=1) for each in _aligned(codes)]
    kl = [np.array([1, 2, 3, 4, 0.009, 0])] * 3
    assert _udr(wide, kl=kl) == pytest.approx([0.9] * 3, abs=1e-6)
    # Without divergences variance tells; collapsed latents of a tenth of the noise do not count.
    faint = [np.concatenate([each, 0.09 * noise], axis=1) for each in _aligned(codes)]
    assert _udr(faint) == pytest.approx([0.9] * 3, abs=1e-6)
    # Different noise that counts takes away from the score.
    other = [np.concatenate([codes, np.random.default_rng(s).normal(size=(500, 4))], axis=1) for s in range(1, 4)]
    assert _udr(other).max() < 0.6


@pytest.mark.parametrize("method", ["lasso", "spearman"])
def test_dead_models_score_zero_and_not_nan(method):
    codes = _white(latents=2)
    dead = np.full((500, 3), 0.1)
    assert _udr([codes, dead, dead], method=method).tolist() == [0, 0, 0]
    # Called informative, they are related to nothing.
    kl = [np.ones(2), np.ones(3), np.ones(3)]
    assert _udr([codes, dead, dead], kl=kl, method=method).tolist() == [0, 0, 0]
    assert _udr([codes[:, :1], codes[:, :1]], method=method)[0] > 0.89
    assert np.isfinite(_udr([np.tile(codes, 2), np.tile(codes, 2)], method=method)).all()


def test_a_score_is_the_median_over_partners():
    codes = _white()
    noise = [np.random.default_rng(seed).normal(size=(500, 4)) for seed in (1, 2)]
    # Two of three partners are copies, so that noise does not move the median.
    scores = _udr([*_aligned(codes), noise[0]])
    assert scores[:3] == pytest.approx([0.9] * 3, abs=1e-6)
    assert scores[3] < 0.2
    # One of three partners is a copy.
    assert _udr([codes, -codes, *noise]).max() < 0.2


def test_nearly_dependent_latents_converge():
    """Twenty latents that are nearly functions of two, and so are those that they predict: thousands of sweeps."""
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(70, 2)) @ rng.normal(size=(2, 20)) + 0.03 * rng.normal(size=(70, 20))
    assert np.isfinite(_udr([wide, wide @ rng.normal(size=(20, 20))])).all()


def test_it_draws_nothing():
    rng = np.random.default_rng(0)
    codes = [np.random.default_rng(seed).normal(size=(100, 3)) for seed in range(3)]
    before = [each.copy() for each in codes]
    assert np.array_equal(udr(codes, rng), udr(codes, rng))
    assert rng.random() == np.random.default_rng(0).random()
    assert all(map(np.array_equal, codes, before))


@pytest.mark.parametrize(
    ("codes", "options", "message"),
    [
        ([_white()], {}, "at least two"),
        ([_white(), _white()[:9]], {}, "codes have shapes"),
        ([_white()[0], _white()[0]], {}, "codes have shapes"),
        ([_white()[:1], _white()[:1]], {}, "codes have shapes"),
        ([_white()[:, :0], _white()], {}, "codes have shapes"),
        ([_white(), _white() * np.nan], {}, "codes hold nan"),
        ([_white()] * 2, {"kl": [np.ones(4)]}, "kl does not fit"),
        ([_white()] * 2, {"kl": [np.ones(4), np.ones(3)]}, "kl does not fit"),
        ([_white()] * 2, {"kl": [np.ones(4), np.full(4, np.nan)]}, "kl holds nan"),
        ([_white()] * 2, {"method": "pearson"}, "'pearson' is unknown"),
    ],
)
def test_what_is_refused(codes, options, message):
    with pytest.raises(ValueError, match=message):
        _udr(codes, **options)
