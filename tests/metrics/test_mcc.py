"""mcc: scipy's correlations matched by trying all permutations, scikit-learn's CCA, and the traps of published code."""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.cross_decomposition import CCA

from metrics import REGISTRY, Table
from tests.metrics.representations import draw_factors, make


def _mcc(*arrays):
    return REGISTRY["mcc"].score(Table(*arrays), 0)


def _one_by_one(correlate, codes, factors, codes_test, factors_test):
    """In sample and held out, by the definition: the best of all ways to give each factor another code."""
    known = np.array([[correlate(code, factor)[0] for code in codes.T] for factor in factors.T])
    ways = permutations(range(codes.shape[1]), factors.shape[1])
    best = max(ways, key=lambda way: sum(abs(known[k, j]) for k, j in enumerate(way)))
    in_sample = [known[k, j] for k, j in enumerate(best)]
    held_out = [correlate(codes_test[:, j], factors_test[:, k])[0] for k, j in enumerate(best)]
    return np.mean(np.abs(in_sample)), np.maximum(np.sign(in_sample) * held_out, 0)


@pytest.mark.parametrize("representation", ["rotated", "split", "mixed"])
def test_against_the_definition(representation):
    codes, factors, codes_test, factors_test = (part[:, :6] for part in make(representation, 400, 300))
    values = _mcc(codes, factors, codes_test, factors_test)
    in_sample, held_out = _one_by_one(spearmanr, codes, factors, codes_test, factors_test)
    assert values["in_sample"] == pytest.approx(in_sample, abs=1e-9)
    assert [values[f"matched_factor_{k}"] for k in range(5)] == pytest.approx(held_out, abs=1e-9)
    assert values["score"] == pytest.approx(held_out.mean(), abs=1e-9)
    in_sample, held_out = _one_by_one(pearsonr, codes, factors, codes_test, factors_test)
    assert values["in_sample_pearson"] == pytest.approx(in_sample, abs=1e-9)
    assert values["pearson"] == pytest.approx(held_out.mean(), abs=1e-9)


def test_weak_is_of_the_canonical_variates():
    codes, factors, codes_test, factors_test = make("mixed", 2000, 1000)
    variates = CCA(n_components=5, max_iter=5000, tol=1e-12).fit(codes, factors)
    projected = [*variates.transform(codes, factors), *variates.transform(codes_test, factors_test)]
    expected = _one_by_one(spearmanr, *projected)[1].mean()
    assert _mcc(codes, factors, codes_test, factors_test)["weak"] == pytest.approx(expected, abs=5e-3)


def test_weak_undoes_any_linear_map_and_score_does_not():
    factors = draw_factors(3000)
    codes = factors @ np.random.default_rng(1).normal(size=(5, 8)) + 3
    values = _mcc(codes, factors)
    assert values["weak"] == pytest.approx(1, abs=1e-6)
    assert values["score"] < 0.9


def test_it_is_divided_by_the_number_of_factors():
    """Two codes of five factors: not 1, as where it is divided by the number of codes."""
    factors = draw_factors(2000)
    values = _mcc(factors[:, [4, 1]], factors)
    for name in ("score", "pearson", "in_sample", "in_sample_pearson", "weak"):
        assert values[name] == pytest.approx(0.4, abs=0.02)
    assert [values[f"matched_factor_{k}"] for k in range(5)] == pytest.approx([0, 1, 0, 0, 1])


def test_a_sign_that_turns_counts_as_nothing():
    factors = draw_factors(2000)[:, :2]
    values = _mcc(factors * [1, -1], factors, factors[:900] * [-1, -1], factors[:900])
    assert (values["matched_factor_0"], values["matched_factor_1"]) == pytest.approx((0, 1))
    assert values["in_sample"] == pytest.approx(1)


@pytest.mark.parametrize("dead", [0, 1e-200, 1e50])
def test_codes_that_never_vary_count_as_nothing(dead):
    factors = draw_factors(500)
    codes = np.column_stack([factors[:, 0], np.full((500, 4), dead)])
    assert _mcc(codes, factors)["score"] == pytest.approx(0.2, abs=0.02)
    assert set(_mcc(codes[:, 1:], factors).values()) == {0}


@pytest.mark.parametrize("codes", [10, 100, 1000])
def test_noise_is_at_chance_held_out_and_above_it_in_sample(codes):
    factors, factors_test = draw_factors(1000), draw_factors(2000, seed=1)
    rng = np.random.default_rng(2)
    values = _mcc(rng.normal(size=(1000, codes)), factors, rng.normal(size=(2000, codes)), factors_test)
    assert max(values["score"], values["pearson"], values["weak"]) < 0.03
    assert values["in_sample"] == pytest.approx({10: 0.055, 100: 0.091, 1000: 0.111}[codes], abs=0.015)


def test_pearson_is_at_most_the_root_of_r2():
    for representation in ("aligned", "rotated", "split", "mixed"):
        table = Table(*make(representation, 2000, 1000))
        scored = REGISTRY["mcc"].score(table, 0), REGISTRY["r2"].score(table, 0)
        assert scored[0]["pearson"] <= scored[1]["r"] + 0.01


def test_more_codes_than_rows():
    factors = draw_factors(300)
    codes = np.column_stack([factors, np.random.default_rng(0).normal(size=(300, 600))])
    values = _mcc(codes, factors)
    assert values["score"] == pytest.approx(1)
    assert 0 < values["weak"] < 1
