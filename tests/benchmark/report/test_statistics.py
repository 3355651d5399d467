"""What intervals hold, and of what they are made."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmark.report.page import COVERAGE
from benchmark.report.statistics import (
    REDRAWN,
    _moderate,
    adjust_by_holm,
    agreement_of_seeds,
    bootstrap_interval,
    critical_difference,
    edge_of_bulk,
    interquartile_mean,
    mean_intervals,
    on_frontier,
    rank_intervals,
    redraw_means,
    seeds_needed,
    share_of_seed,
    share_of_wins,
    told_apart,
    wins_interval,
)
from tests.benchmarks.coverage import (
    DIFFERING,
    HARDLY,
    bootstrapped,
    coverage,
    normal,
    one_in_five,
    rank_coverage,
    two_humps,
    whole,
    wins_coverage,
)

OF_RANKS = ("ranks", "ranks of near ones", "the best", "P(A beats B)", "P(A beats B) of equals")


@pytest.mark.parametrize("draw", [normal, two_humps, whole])
@pytest.mark.parametrize("seeds", [2, 3, 5, 10, 20])
def test_95_of_100_intervals_hold_the_mean(draw, seeds):
    # Of two seeds the means of two humps are -1, 0 or 1, nearly; equal whole numbers are taken for what hardly varies.
    most = {(two_humps, 2): 0.99, (whole, 2): 1.0, (whole, 3): 0.99}.get((draw, seeds), 0.97)
    assert 0.93 <= coverage(mean_intervals, draw, seeds, repeats=100) <= most


def test_what_intervals_hold_where_assumptions_do_not():
    assert coverage(mean_intervals, one_in_five, 3, repeats=100) > 0.92
    assert coverage(mean_intervals, normal, 3, repeats=100, spreads=DIFFERING) > 0.93
    assert coverage(mean_intervals, normal, 3, repeats=100, spreads=DIFFERING, most=4) > 0.78
    assert coverage(mean_intervals, normal, 3, repeats=100, spreads=HARDLY, most=3) > 0.93
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
    own = stats.t.interval(0.95, 2, 0, stats.sem(wild))
    assert own[1] > intervals[6, 1] > own[1] / 2  # as three seeds tell little of how great


def test_what_hardly_varies_narrows_no_others():
    rng = np.random.default_rng(0)
    samples = list(rng.normal(size=(6, 3)))
    constant = [np.full(3, 0.9), np.full(3, 0.8), 0.7 + 1e-4 * rng.normal(size=3)]
    wide = mean_intervals([*samples, *constant])
    assert (np.diff(wide[:6]) >= np.diff(mean_intervals(samples)) - 1e-12).all()
    assert (np.diff(wide[6:]) > 0.5).all()  # the others': small ones are not told from chance


def test_variances_are_moderated_as_smyth_has_it():
    """Recovered from variances that are drawn as the model has it; and as far as they are alike there is no other."""
    rng = np.random.default_rng(0)
    prior, scale, freedom = 6.0, 2.0, np.full(20_000, 3)
    squares = scale * prior / rng.chisquare(prior, len(freedom)) * rng.chisquare(freedom)
    variances, freedoms = _moderate(squares, freedom)
    assert freedoms == pytest.approx(prior + 3, rel=0.05)
    assert variances == pytest.approx((prior * scale + squares) / (prior + 3), rel=0.05)
    assert np.isnan(_moderate(np.full(5, 2.0), np.full(5, 2))).all()
    assert np.isnan(_moderate(np.zeros(5), np.full(5, 2))).all()


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


def _two_metrics(seeds=3, configurations=6):
    rng = np.random.default_rng(1)
    own = np.repeat(np.arange(configurations), seeds)
    return np.stack([own + rng.normal(size=len(own)), rng.normal(size=len(own))], axis=1), own


def test_means_drawn_anew_are_as_wide_as_students_t():
    scores, own = _two_metrics()
    means, errors = redraw_means(scores, own)
    assert errors.shape == (REDRAWN, 6, 2)
    for metric in range(2):
        samples = [scores[own == each, metric] for each in range(6)]
        assert means[:, metric] == pytest.approx([own.mean() for own in samples])
        low, high = (mean_intervals(samples).T - means[:, metric])[:, 0]
        ends = np.quantile(errors[:, :, metric], [0.025, 0.975], axis=0)
        assert ends.mean(axis=1) == pytest.approx([low, high], abs=0.15)
        assert ends == pytest.approx(np.array([[low] * 6, [high] * 6]), abs=0.3)
        assert errors[:, :, metric].mean(axis=0) == pytest.approx(0, abs=0.08)


def test_metrics_of_a_run_are_drawn_together():
    rng = np.random.default_rng(0)
    own = np.repeat(np.arange(10), 4)
    one = rng.normal(size=40)
    _, errors = redraw_means(np.stack([one, one, -one, rng.normal(size=40)], axis=1), own)
    assert np.corrcoef(errors[:, 3].T)[0] == pytest.approx([1, 1, -1, 0], abs=0.3)


def test_one_seed_among_others_is_drawn_with_their_spread_and_seeds_alone_with_none():
    scores, own = _two_metrics()
    kept = (own > 0) | (np.arange(len(own)) == 0)
    deviations = redraw_means(scores[kept], own[kept])[1][..., 0].std(axis=0)
    assert deviations[0] == pytest.approx(np.sqrt(3) * deviations[1:].mean(), rel=0.1)
    means, errors = redraw_means(scores[::3], own[::3])
    assert means == pytest.approx(scores[::3])
    assert np.isnan(errors).all()
    assert not told_apart(means[:, 0], errors[..., 0]).any()


def test_a_metric_that_some_runs_lack_keeps_its_spread():
    scores, own = _two_metrics(seeds=4, configurations=20)
    lacking = scores.copy()
    lacking[::2, 1] = np.nan
    half, whole = (redraw_means(table, own)[1][..., 1].std(axis=0) for table in (lacking, scores))
    assert half == pytest.approx(np.sqrt(2) * whole, rel=0.35)
    lacking[own == 3, 1] = np.nan
    _, errors = redraw_means(lacking, own)
    assert np.isnan(errors[:, 3, 1]).all()
    assert not np.isnan(errors[..., 0]).any()


@pytest.mark.parametrize("apart", [0.001, 0.5])
def test_rank_intervals_and_ties_hold_what_is_known(apart):
    """However near configurations are to each other, which ranks that are drawn anew do not see."""
    held, width, best = rank_coverage(3, apart, repeats=20)
    assert held > 0.95
    assert best >= 0.95
    assert width > 18 if apart < 0.1 else 2 < width < 12


def test_a_difference_of_many_errors_is_told_and_a_rank_is_between_what_is_told():
    errors, values = np.random.default_rng(0).normal(size=(REDRAWN, 4)), np.array([0.0, 1, 20, 20])
    apart = told_apart(values, errors)
    assert apart.astype(int).tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]]
    assert rank_intervals(values, apart).tolist() == [[1, 2], [1, 2], [3, 4], [3, 4]]
    constant = told_apart(np.array([0.0, 1e-17, 1]), np.zeros((REDRAWN, 3)))
    assert constant.astype(int).tolist() == [[0, 0, 1], [0, 0, 1], [1, 1, 0]]


def test_of_many_rows_some_are_asked(monkeypatch):
    rng = np.random.default_rng(0)
    values, errors = np.arange(30) / 3, rng.normal(size=(REDRAWN, 30)) * rng.uniform(0.5, 2, size=30)
    whole = told_apart(values, errors)
    monkeypatch.setattr("benchmark.report.statistics.ROWS_ASKED", 5)
    assert (told_apart(values, errors) == whole).mean() > 0.97


def test_two_are_told_apart_as_by_students_t():
    scores = np.array([0.0, 1, 2, 10, 11, 12])
    own = np.repeat([0, 1], 3)
    for apart, told in ((-0.2, False), (0.2, True)):  # around the difference that a t test of 5% takes
        least = stats.t.ppf(0.975, 4) * np.sqrt(2 / 3)
        moved = scores + np.where(own == 1, least + apart * least - 10, 0)
        means, errors = redraw_means(moved[:, None], own)
        assert told_apart(means[:, 0], errors[..., 0])[0, 1] == told


def test_wins_are_mann_and_whitneys():
    rng = np.random.default_rng(0)
    ours, theirs = rng.integers(5, size=7).astype(float), rng.integers(4, size=9).astype(float)
    statistic = stats.mannwhitneyu(ours, theirs).statistic
    assert share_of_wins(ours, theirs) == pytest.approx(statistic / 63)
    assert share_of_wins(ours, ours) == 0.5


def test_ends_of_the_interval_of_wins_solve_its_equation():
    shares, runs, others = np.array([0.0, 0.3, 0.5, 1.0]), np.array([3, 5, 10, 3]), np.array([3, 8, 10, 4])
    for share, m, n, (low, high) in zip(shares, runs, others, wins_interval(shares, runs, others), strict=True):
        assert 0 <= low <= share <= high <= 1
        for end in {low, high} - {0.0, 1.0, share}:
            star = (m + n) / 2 - 1
            variance = end * (1 - end) * (1 + star * (1 - end) / (2 - end) + star * end / (1 + end)) / (m * n)
            assert abs(end - share) == pytest.approx(1.959964 * np.sqrt(variance), rel=1e-5)
    mirrored = 1 - wins_interval(1 - shares, runs, others)[:, ::-1]
    assert wins_interval(shares, runs, others) == pytest.approx(mirrored)
    assert wins_interval(np.zeros(0), np.zeros(0, int), np.zeros(0, int)).shape == (0, 2)


def test_an_axis_ends_at_twice_what_nine_in_ten_do_not_pass():
    assert edge_of_bulk(np.array([*range(1, 11), 1e9])) == 20
    assert edge_of_bulk(np.array([-5.0, -1])) == np.inf


def test_on_the_frontier_stands_what_nothing_cheaper_scores_better_than():
    assert on_frontier(np.array([0.2, 0.1, 0.3, 0.3, 0.5])).tolist() == [True, False, True, False, True]
    assert on_frontier(np.zeros(0)).tolist() == []


@pytest.mark.parametrize(
    ("seeds", "shift", "least"), [(3, 1, 0.93), (5, 1, 0.93), (10, 1, 0.93), (3, 0, 0.88), (5, 0, 0.93)]
)
def test_intervals_of_wins_hold_the_probability(seeds, shift, least):
    assert wins_coverage(seeds, repeats=1_000, shift=shift) > least


def test_an_interquartile_mean_is_without_the_outer_quarters():
    assert interquartile_mean(np.array([9.0, 1, 2, 3])) == 2.5
    assert interquartile_mean(np.array([1.0, 2, 6])) == 3
    scores = np.random.default_rng(0).normal(size=21)
    assert interquartile_mean(scores) == pytest.approx(stats.trim_mean(scores, 0.25))


def test_seeds_agree_by_the_mean_of_spearmans():
    scores = np.random.default_rng(0).normal(size=(8, 3))
    known = np.mean([stats.spearmanr(scores[:, i], scores[:, j]).statistic for i, j in ((0, 1), (0, 2), (1, 2))])
    assert agreement_of_seeds(scores) == pytest.approx(known)
    scores[:5, 2] = np.nan  # which leaves three in common, and less than half
    assert agreement_of_seeds(scores) == pytest.approx(stats.spearmanr(scores[:, 0], scores[:, 1]).statistic)
    assert np.isnan(agreement_of_seeds(scores[:2]))
    assert np.isnan(agreement_of_seeds(np.ones((5, 2))))


@pytest.mark.parametrize(
    ("agreement", "seeds"), [(0.70, 4), (0.55, 8), (0.41, 13), (0.48, 10), (0.5, 9), (0.95, 1), (0, np.inf)]
)
def test_seeds_needed_are_spearmans_and_browns(agreement, seeds):
    assert seeds_needed(agreement) == seeds
    if 1 < seeds < np.inf:
        reliability = [n * agreement / (1 + (n - 1) * agreement) for n in (seeds - 1, seeds)]
        assert reliability[0] < 0.9 <= reliability[1] + 1e-9


def test_what_equal_seeds_share_is_told_from_chance():
    rng = np.random.default_rng(0)
    configurations, seeds = (labels.ravel() for labels in np.meshgrid(np.arange(30), np.arange(5), indexing="ij"))
    noise, of_seed = rng.normal(size=150), rng.normal(size=5)[seeds]
    assert share_of_seed(noise + configurations, configurations, seeds) < 0.1
    assert share_of_seed(of_seed + configurations, configurations, seeds) == pytest.approx(1)
    share = of_seed.var() / (of_seed.var() + 1)
    assert share_of_seed(of_seed + noise, configurations, seeds) == pytest.approx(share, abs=0.1)
    assert np.isnan(share_of_seed(np.arange(3.0), np.arange(3), np.zeros(3)))
    assert np.isnan(share_of_seed(np.full(30, 0.2), np.arange(30) // 3, np.arange(30) % 3))  # but for rounding


def test_holms_adjustment_is_that_of_a_worked_example():
    assert adjust_by_holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjust_by_holm(np.array([0.9, 0.8])).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("methods", "datasets", "known"),
    [(5, 30, 2.728 * np.sqrt(5 * 6 / 180)), (10, 7, 5.1), (19, 10, 8.9), (19, 3, 16.2)],
)
def test_critical_differences_are_nemenyis(methods, datasets, known):
    assert critical_difference(methods, datasets) == pytest.approx(known, abs=0.06)


def test_the_page_has_the_simulated_coverage():
    table = pd.read_csv(COVERAGE).set_index("seeds")
    document = (Path(__file__).parents[3] / "results" / "coverage.md").read_text()
    for seeds, row in table.iterrows():
        for kind in ("normal", "two humps", "one in five", "whole"):
            assert f"| {kind} | {seeds} | {row[f'means, {kind}']:.3f} |" in document
        others = " | ".join(f"{row[name]:.3f}" for name in OF_RANKS)
        assert f"| {seeds} | {others} |" in document
    assert coverage(mean_intervals, normal, 3) == pytest.approx(table.loc[3, "means, normal"], abs=0.005)
    assert wins_coverage(5) == pytest.approx(table.loc[5, "P(A beats B)"], abs=0.005)
