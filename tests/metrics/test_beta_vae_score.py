import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from metrics import REGISTRY, Table
from metrics.beta_vae_score import _descend, _draw_points, beta_vae_score

SIZES = (3, 6, 40, 32, 32)
NAMES = ("shape", "scale", "orientation", "position_x", "position_y")


def _factors(rows, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(size, size=rows) for size in SIZES], axis=1)


def _table(encode, rows=15_000):
    factors = _factors(rows)
    codes = encode(factors)
    train = rows * 2 // 3
    return Table(codes[:train], factors[:train], codes[train:], factors[train:], NAMES)


def _standardised(factors):
    return (factors - factors.mean(0)) / factors.std(0)


def _rotated(factors):
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0]
    return _standardised(factors) @ rotation


def test_true_factors_score_one():
    values = beta_vae_score(_table(_standardised), np.random.default_rng(0))
    assert values["score"] == 1
    assert values["without_shape"] == 1
    assert all(values[f"recall_{name}"] == 1 for name in NAMES)


def test_noise_scores_chance():
    # The test points are 5,000 and share 5,000 rows, so their spread is found by repetition.
    rng = np.random.default_rng(0)
    scores = [
        beta_vae_score(_table(lambda f: rng.normal(size=(len(f), 10)), 3000), rng, train_points=1000, test_points=1000)
        for _ in range(12)
    ]
    chances = {"score": 0.2, "without_shape": 0.25, "at_5_pairs": 0.2, "at_5_pairs_without_shape": 0.25}
    for name, chance in chances.items():
        sample = np.array([values[name] for values in scores])
        assert abs(sample.mean() - chance) < 3 * sample.std(ddof=1) / np.sqrt(len(sample)), name
    assert scores[0]["chance"] == 0.2
    assert scores[0]["chance_without_shape"] == 0.25


def test_a_rotation_lies_in_between():
    score = beta_vae_score(_table(_rotated), np.random.default_rng(0))["score"]
    assert 0.3 < score < 0.99


def test_dead_codes_score_chance():
    values = beta_vae_score(_table(lambda f: np.zeros((len(f), 10))), np.random.default_rng(0))
    assert values["score"] == pytest.approx(0.2, abs=0.03)


def test_same_generator_same_values():
    table = _table(_rotated, 3000)
    first, second = (beta_vae_score(table, np.random.default_rng(3), train_points=500) for _ in range(2))
    assert first == second
    assert first != beta_vae_score(table, np.random.default_rng(4), train_points=500)


def test_against_the_papers_own_procedure():
    """Pairs drawn by intervention on the generative factors, as section 3 says, against row matching."""
    encode_rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0]
    scale = np.array(SIZES)

    def encode(factors):
        return factors / scale @ encode_rotation

    rng = np.random.default_rng(0)

    def points(count):
        shared = rng.integers(5, size=count)
        differences = np.empty((count, 5))
        for point, k in enumerate(shared):
            one, two = rng.integers(scale, size=(2, 64, 5))
            two[:, k] = one[:, k]
            differences[point] = np.abs(encode(one) - encode(two)).mean(0)
        return differences, shared

    classifier = LogisticRegression(max_iter=1000).fit(*points(10_000))
    expected = classifier.score(*points(5_000))
    assert beta_vae_score(_table(encode), np.random.default_rng(0))["score"] == pytest.approx(expected, abs=0.02)


def test_without_a_factor_named_shape_there_is_one_score():
    factors = _factors(600)[:, 1:3]
    values = beta_vae_score(Table(factors, factors), np.random.default_rng(0), train_points=200, test_points=200)
    assert set(values) == {"score", "chance", "recall_factor_0", "recall_factor_1", "at_5_pairs"}


def test_it_tests_on_the_test_rows():
    """Codes that are right in training and noise in test score chance."""
    factors = _factors(6000)
    codes = _standardised(factors)
    codes[4000:] = np.random.default_rng(0).normal(size=(2000, 5))
    table = Table(codes[:4000], factors[:4000], codes[4000:], factors[4000:], NAMES)
    assert beta_vae_score(table, np.random.default_rng(0))["score"] < 0.4


def test_one_factor_is_refused():
    factors = _factors(600)[:, :1]
    with pytest.raises(ValueError, match="at least two"):
        beta_vae_score(Table(factors, factors), np.random.default_rng(0))


def test_unmatched_rows_are_refused():
    factors = np.stack([np.arange(90), np.arange(90) % 3], axis=1)
    with pytest.raises(ValueError, match="no two rows share"):
        beta_vae_score(Table(factors, factors), np.random.default_rng(0))


def test_fewer_pairs_leave_room_above():
    """Over 64 pairs a rotation is nearly perfect, over 5 far from it; values at 5 do not depend on `pairs`."""
    table = _table(_rotated)
    few, many = (beta_vae_score(table, np.random.default_rng(0), pairs=pairs) for pairs in (5, 64))
    assert many["without_shape"] > 0.95
    for values in (few, many):
        assert values["at_5_pairs"] == pytest.approx(few["score"], abs=0.03)
        assert values["at_5_pairs_without_shape"] == pytest.approx(few["without_shape"], abs=0.03)
    assert few["without_shape"] < many["without_shape"] - 0.1


def test_values_at_five_pairs_are_drawn_after_the_others():
    """So that the headline is what it was before they were there."""
    table = _table(_rotated, 3000)
    points, shared = _draw_points(table.codes, table.factors, range(5), 64, 500, rng := np.random.default_rng(7))
    classifier = LogisticRegression(max_iter=1000).fit(points, shared)
    points, shared = _draw_points(table.codes_test, table.factors_test, range(5), 64, 400, rng)
    values = beta_vae_score(table, np.random.default_rng(7), train_points=500, test_points=400)
    assert values["score"] == classifier.score(points, shared)


def test_the_paper_kind_of_classifier_is_torchs_adagrad():
    rng = np.random.default_rng(0)
    shared = rng.choice([0, 2, 4], 300)
    points = rng.normal(size=(300, 6)) + 3 * np.eye(6)[shared]
    layer = torch.nn.Linear(6, 3, dtype=torch.float64)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimiser = torch.optim.Adagrad(layer.parameters(), lr=0.01, initial_accumulator_value=0.1, eps=0)
    for batch in np.random.default_rng(1).integers(300, size=(50, 10)):
        logits = layer(torch.from_numpy(points[batch]))
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(shared[batch] // 2))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    fresh = rng.normal(size=(1000, 6))
    expected = 2 * layer(torch.from_numpy(fresh)).argmax(1).numpy()
    predict = _descend(points, shared, 50, np.random.default_rng(1))
    np.testing.assert_array_equal(predict(fresh), expected)


def test_the_paper_kind_of_classifier_comes_near_the_converged_one():
    table = _table(_rotated)
    converged, few, many = (
        beta_vae_score(table, np.random.default_rng(0), pairs=5, **options)["score"]
        for options in ({}, {"classifier": "adagrad", "classifier_steps": 100}, {"classifier": "adagrad"})
    )
    assert few < many <= converged + 0.01


def test_what_is_declared():
    metric = REGISTRY["beta_vae_score"]
    assert metric.higher_is_better
    assert metric.range == (0, 1)
    assert metric.columns == ("score", "without_shape", "at_5_pairs", "at_5_pairs_without_shape")
    assert metric.version == 2
