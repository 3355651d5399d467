import numpy as np
import pytest

from metrics import REGISTRY, Table
from metrics.factor_vae_score import _count_votes, factor_vae_score
from metrics.matching import matched_groups
from tests.metrics.representations import NAMES, SIZES, draw_factors, make


def _standardised(factors):
    return (factors - factors.mean(0)) / factors.std(0)


def _table(encode, rows=3000):
    factors = draw_factors(rows)
    codes = encode(factors)
    train = rows * 2 // 3
    return Table(codes[:train], factors[:train], codes[train:], factors[train:], NAMES)


def _noisy(factors):
    return _standardised(factors) + 0.1 * np.random.default_rng(1).normal(size=factors.shape)


def _score(table, seed=0, **options):
    return factor_vae_score(table, np.random.default_rng(seed), **{"train_votes": 1000, "test_votes": 1000} | options)


def test_true_factors_score_one():
    assert _score(_table(_standardised)) == {"score": 1, "active": 5, "score_train": 1}


def test_noise_scores_chance():
    # Votes share rows, so their spread is found by repetition.
    rng = np.random.default_rng(0)
    scores = [_score(_table(lambda f: rng.normal(size=(len(f), 10))), seed)["score"] for seed in range(12)]
    assert abs(np.mean(scores) - 0.2) < 3 * np.std(scores, ddof=1) / np.sqrt(len(scores))
    assert np.mean(scores) == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize(
    ("name", "study", "active"), [("aligned", 1.0, 5), ("rotated", 0.861, 5), ("split", 1.0, 8), ("mixed", 0.920, 10)]
)
def test_the_studys_numbers(name, study, active):
    """disentanglement_lib 1.5 on fresh draws of the same representation, mean of four seeds."""
    scores = [factor_vae_score(Table(*make(name)), np.random.default_rng(seed)) for seed in range(2)]
    assert np.mean([values["score"] for values in scores]) == pytest.approx(study, abs=0.02)
    assert scores[0]["active"] == active


def test_against_the_papers_own_procedure():
    """Groups drawn by intervention on the generative factors, one by one, against row matching."""
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(5, 5)))[0]
    sizes = np.array(SIZES)

    def encode(factors):
        return factors / sizes @ rotation

    rng = np.random.default_rng(0)
    spread = encode(rng.integers(sizes, size=(10_000, 5))).var(0, ddof=1)

    def count(votes):
        table = np.zeros((5, 5))
        for k in rng.integers(5, size=votes):
            factors = rng.integers(sizes, size=(64, 5))
            factors[:, k] = factors[0, k]
            table[np.argmin(encode(factors).var(0, ddof=1) / spread), k] += 1
        return table

    assigned = count(4000).argmax(1)
    expected = count(4000)[np.arange(5), assigned].sum() / 4000
    scores = [_score(_table(encode, 15_000), seed, train_votes=4000, test_votes=4000)["score"] for seed in range(2)]
    assert 0.3 < expected < 0.97
    assert np.mean(scores) == pytest.approx(expected, abs=0.03)


def test_votes_go_to_the_least_relative_variance():
    factors = draw_factors(500)
    codes = np.random.default_rng(0).normal(size=(500, 4))
    votes = _count_votes(codes, factors, 300, 8, np.random.default_rng(3))
    rng, expected = np.random.default_rng(3), np.zeros((4, 5))
    for k, times in enumerate(rng.multinomial(300, [0.2] * 5)):
        for rows in matched_groups(factors[:, k], times, 8, rng):
            group = codes[rows]
            expected[np.argmin(((group - group.mean(0)) ** 2).sum(0) / 7), k] += 1
    assert np.array_equal(votes, expected)
    assert votes.sum() == 300


def test_a_collapsed_latent_does_not_win():
    """Nearly constant but for a few rows: its variance over 64 rows is mostly far below that over all."""

    def encode(factors):
        collapsed = 1e-4 * np.random.default_rng(2).normal(size=(len(factors), 1))
        collapsed[::100] = 0.3
        return np.concatenate([collapsed, _noisy(factors)], axis=1)

    table = _table(encode)
    assert table.codes[:, 0].std() < 0.05
    assert _score(table, threshold=0)["score"] < 0.8
    assert _score(table) == {"score": 1, "active": 5, "score_train": 1}


def test_active_counts_latents():
    table = _table(lambda f: np.concatenate([np.full((len(f), 3), 0.1), _standardised(f)[:, :2], 0.04 * f[:, :1]], 1))
    values = _score(table)
    assert values["active"] == 2
    # Two of five factors are told; votes for the three others go to either latent and are wrong.
    assert 0.35 < values["score"] < 0.65


@pytest.mark.parametrize("threshold", [0, 0.05])
def test_no_active_latent_scores_zero(threshold):
    table = _table(lambda f: np.full((len(f), 4), 0.1))
    assert _score(table, threshold=threshold) == {"score": 0, "active": 0, "score_train": 0}


def test_the_threshold_is_in_the_codes_own_units():
    assert _score(_table(lambda f: 0.049 * _standardised(f)))["active"] == 0
    assert _score(_table(lambda f: 0.051 * _standardised(f)))["active"] == 5


def test_one_code_scores_chance():
    assert _score(_table(lambda f: _standardised(f)[:, :1]))["score"] == pytest.approx(0.2, abs=0.05)


def test_duplicates_flips_scales_and_order_change_nothing():
    table = _table(_noisy)
    expected = _score(table)
    order = [3, 0, 4, 1, 2]
    for changed in (
        lambda codes: codes[:, order],
        lambda codes: codes * [-1, 4, 8, -2, 1] + 3,
        lambda codes: codes.astype(np.float32),
    ):
        values = _score(Table(changed(table.codes), table.factors, changed(table.codes_test), table.factors_test))
        assert values == pytest.approx(expected)
    twice = Table(np.tile(table.codes, 2), table.factors, np.tile(table.codes_test, 2), table.factors_test)
    assert _score(twice) == expected | {"active": 10}


def test_values_that_only_test_rows_take():
    factors = draw_factors(600)[:, :2]
    assert _score(Table(factors, factors, factors + 100, factors + 100))["score"] == 1


def test_it_tests_on_the_test_rows():
    """Codes that are right in training and noise in test score chance."""
    table = _table(_noisy)
    noise = np.random.default_rng(0).normal(size=table.codes_test.shape)
    values = _score(Table(table.codes, table.factors, noise, table.factors_test))
    assert values["score_train"] == 1
    assert values["score"] < 0.3


def test_same_generator_same_values():
    table = Table(*make("mixed", 1000, 500))
    first, second = _score(table, 3), _score(table, 3)
    assert first == second
    assert first != _score(table, 4)
    assert all(type(value) is float for value in first.values())


def test_what_is_refused():
    factors = draw_factors(90)
    with pytest.raises(ValueError, match="at least two"):
        _score(Table(factors, factors[:, :1]))
    unmatched = np.stack([np.arange(90), np.arange(90) % 3], axis=1)
    with pytest.raises(ValueError, match="no two rows share"):
        _score(Table(unmatched, unmatched))


def test_what_is_declared():
    metric = REGISTRY["factor_vae_score"]
    assert metric.higher_is_better
    assert metric.range == (0, 1)
    assert set(_score(_table(_noisy))) == set(metric.names)
