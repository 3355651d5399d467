"""snc: all matchings tried one by one, scikit-learn's classifiers, and ties, which published code cuts in two."""

from itertools import permutations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mutual_info_score
from sklearn.preprocessing import StandardScaler

from metrics import REGISTRY, Table
from metrics.snc import _bin_equally
from tests.metrics.representations import draw_factors

SIZES = (3, 4, 5)


def _arrays(rows, seed, width=4):
    rng = np.random.default_rng(seed)
    factors = np.stack([rng.integers(size, size=rows) for size in SIZES], axis=1)
    codes = factors @ np.random.default_rng(9).normal(size=(3, width)) + 0.3 * rng.normal(size=(rows, width))
    return codes, factors


def _snc(*arrays, **options):
    return REGISTRY["snc"].with_options(**options).score(Table(*arrays), 0)


def _one_by_one(codes, factors, codes_test, factors_test):
    """Accuracy of each factor's code, and which it is, by quantiles and the best of all permutations."""
    inner = {n: np.quantile(codes, np.arange(1, n) / n, axis=0, method="inverted_cdf") for n in SIZES}

    def binned(values, n):
        return np.stack([np.searchsorted(cuts, code) for cuts, code in zip(inner[n].T, values.T, strict=True)], axis=1)

    known = [
        [mutual_info_score(code, factor) for code in binned(codes, n).T]
        for n, factor in zip(SIZES, factors.T, strict=True)
    ]
    ways = permutations(range(codes.shape[1]), len(SIZES))
    matched = max(ways, key=lambda way: sum(known[k][j] for k, j in enumerate(way)))
    right = []
    for k, (n, j) in enumerate(zip(SIZES, matched, strict=True)):
        train, test = (binned(part, n)[:, j] for part in (codes, codes_test))
        named = max(permutations(range(n)), key=lambda names: (np.array(names)[train] == factors[:, k]).sum())
        right.append((np.array(named)[test] == factors_test[:, k]).mean())
    return right, matched


def test_single_codes_against_the_definition():
    arrays = (*_arrays(600, 0), *_arrays(400, 1))
    right, _ = _one_by_one(*arrays)
    values = _snc(*arrays)
    assert [values[f"snc_factor_{k}"] for k in range(3)] == pytest.approx(right, abs=0.01)
    assert values["score"] == pytest.approx(np.mean(right), abs=0.005)


def test_knockout_against_scikit_learn():
    codes, factors, codes_test, factors_test = arrays = (*_arrays(600, 0), *_arrays(400, 1))
    matched = _one_by_one(*arrays)[1]
    scaler = StandardScaler().fit(codes)
    train, test = scaler.transform(codes), scaler.transform(codes_test)
    values = _snc(*arrays, predictor="logistic")
    for k, j in enumerate(matched):
        full, less = (
            LogisticRegression().fit(part, factors[:, k]).score(other, factors_test[:, k])
            for part, other in ((train, test), (np.delete(train, j, 1), np.delete(test, j, 1)))
        )
        assert values[f"nk_factor_{k}"] == pytest.approx(full - less, abs=1e-9)


@pytest.mark.parametrize("predictor", ["logistic", "trees"])
def test_the_truth_and_its_double(predictor):
    """Each code alone names all values, tied as they are; what is knocked out is missed unless it is there twice."""
    _, factors = _arrays(2000, 0)
    values = _snc(factors, factors, predictor=predictor)
    assert values["score"] == 1
    assert values["nk"] == pytest.approx(1 - np.mean([1 / n for n in SIZES]), abs=0.05)
    doubled = _snc(np.tile(factors, 2), factors, predictor=predictor)
    assert (doubled["score"], doubled["nk"]) == (1, pytest.approx(0, abs=0.01))


def test_uneven_values_are_told_where_a_code_holds_them_exactly():
    factors = np.minimum(_arrays(2000, 0)[1], 2)
    assert _snc(-3.0 * factors, factors)["score"] == 1


def test_bins_of_equal_counts():
    train = np.arange(90)[:, None] ** 2
    test = np.array([[-5], [29**2], [30**2 - 0.5], [30**2], [1e9]])
    binned, tried = _bin_equally(train, test, 3)
    assert np.bincount(binned[:, 0]).tolist() == [30, 30, 30]
    assert tried[:, 0].tolist() == [0, 0, 0, 1, 2]
    tied = np.repeat([0, 1, 2, 3], [10, 50, 20, 20])[:, None]
    assert np.unique(_bin_equally(tied, tied, 3)[0]).tolist() == [0, 1, 2]


def test_codes_that_know_nothing_are_at_chance():
    factors, factors_test = draw_factors(1500), draw_factors(1500, 1)
    chance = np.mean([1 / n for n in (3, 6, 40, 32, 32)])
    rng = np.random.default_rng(0)
    for codes in (rng.normal(size=(3000, 10)), np.zeros((3000, 2))):
        values = _snc(codes[:1500], factors, codes[1500:], factors_test)
        assert values["score"] == pytest.approx(chance, abs=0.02)
        assert values["nk"] < 0.01


def test_there_is_no_other_predictor():
    with pytest.raises(ValueError, match=r"'trees'.*'logistic'"):
        REGISTRY["snc"].function(Table(*_arrays(90, 0)), np.random.default_rng(0), predictor="network")
