"""What intervals hold, and of what they are made."""

import numpy as np
import pytest
from scipy import stats

from benchmark.report.statistics import bootstrap_interval, mean_intervals
from tests.benchmarks.coverage import bootstrapped, coverage, normal, one_in_five, two_humps, whole


@pytest.mark.parametrize("draw", [normal, two_humps, whole])
@pytest.mark.parametrize("seeds", [2, 3, 5, 10, 20])
def test_95_of_100_intervals_hold_the_mean(draw, seeds):
    most = 0.99 if draw is two_humps and seeds == 2 else 0.97  # whose means are -1, 0 or 1, nearly
    assert 0.93 <= coverage(mean_intervals, draw, seeds, repeats=100) <= most


def test_what_intervals_hold_where_assumptions_do_not():
    assert coverage(mean_intervals, one_in_five, 3, repeats=100) > 0.92
    assert coverage(mean_intervals, normal, 3, repeats=100, spreads=np.geomspace(0.3, 2, 20)) > 0.89
    assert coverage(bootstrapped, normal, 3, repeats=20) < 0.8  # what tables had


def test_ten_seeds_have_students_interval():
    samples = list(np.random.default_rng(0).normal(size=(3, 10)))
    for own, interval in zip(samples, mean_intervals(samples), strict=True):
        known = stats.t.interval(0.95, 9, own.mean(), stats.sem(own))
        assert interval == pytest.approx(known)


def test_few_seeds_share_a_standard_deviation():
    rng = np.random.default_rng(0)
    samples = [rng.normal(k, size=seeds) for k, seeds in enumerate((2, 3, 5))]
    pooled = np.sqrt(sum(((own - own.mean()) ** 2).sum() for own in samples) / 7)
    for own, interval in zip(samples, mean_intervals(samples), strict=True):
        assert interval == pytest.approx(stats.t.interval(0.95, 7, own.mean(), pooled / np.sqrt(len(own))))


def test_a_great_spread_widens_no_others():
    rng = np.random.default_rng(0)
    samples = list(rng.normal(size=(6, 3)))
    wild = np.array([-30.0, 0, 30])
    intervals = mean_intervals([*samples, wild])
    assert intervals[:6] == pytest.approx(mean_intervals(samples))
    assert intervals[6] == pytest.approx(stats.t.interval(0.95, 2, 0, stats.sem(wild)))


def test_nothing_is_known_of_seeds_alone():
    assert np.isnan(mean_intervals([np.ones(1), np.zeros(1)])).all()
    intervals = mean_intervals([np.ones(1), np.arange(3.0)])
    assert np.isnan(intervals[0]).all()
    assert intervals[1] == pytest.approx(mean_intervals([np.arange(3.0)])[0])


def test_bootstrap_is_scipys_percentile_bootstrap():
    samples = np.random.default_rng(0).normal(size=(3, 8))
    ours = bootstrap_interval(samples)
    for sample, interval in zip(samples, ours, strict=True):
        theirs = stats.bootstrap((sample,), np.mean, method="percentile", n_resamples=20_000, rng=1).confidence_interval
        assert interval == pytest.approx([theirs.low, theirs.high], abs=0.03)
