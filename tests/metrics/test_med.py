"""med: a second computation in loops, and the codes that it has been seen to fall over."""

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from metrics import REGISTRY, Table
from metrics.information import bin_codes
from tests.metrics.representations import draw_factors, make


def _med(codes, factors, **options):
    table = Table(codes, factors, codes[:10], factors[:10])
    return REGISTRY["med"].with_options(**options).score(table, 0)


def _shares(codes, factors):
    binned = bin_codes(codes, 20)
    information = np.array([[mutual_info_score(code, factor) for factor in factors.T] for code in binned.T])
    return information / information.sum(0)


def _entropy(numbers, base):
    shares = numbers / numbers.sum()
    return -sum(share * np.log(share) / np.log(base) for share in shares if share > 0)


def _disentanglement(shares):
    of_codes = [1 - _entropy(row, shares.shape[1]) for row in shares]
    return sum(own * row.sum() for own, row in zip(of_codes, shares, strict=True)) / shares.sum()


def _completeness(shares):
    return np.mean([1 - _entropy(column, len(shares)) for column in shares.T])


@pytest.mark.parametrize("representation", ["aligned", "rotated", "split", "mixed"])
@pytest.mark.parametrize("top_k", [1, 2])
def test_against_loops(representation, top_k):
    codes, factors, *_ = make(representation, 1500, 10)
    shares = _shares(codes, factors)
    values = _med(codes, factors, top_k=top_k)
    assert values["score"] == pytest.approx(_disentanglement(shares), abs=1e-6)
    assert values["completeness"] == pytest.approx(_completeness(shares), abs=1e-6)
    own = [1 - _entropy(row, 5) for row in shares]
    kept = []
    for k in range(5):
        its_own = [j for j in range(len(shares)) if shares[j].argmax() == k]
        kept += sorted(its_own, key=lambda j: -own[j])[:top_k]
    assert values["top_disentanglement"] == pytest.approx(_disentanglement(shares[kept]), abs=1e-6)
    if len(kept) > 1:
        assert values["top_completeness"] == pytest.approx(_completeness(shares[kept]), abs=0.02)


def test_the_true_factors_reach_the_ceiling():
    factors = draw_factors(5000)
    values = _med(factors, factors)
    assert values["score"] == values["ceiling"]
    assert values["ceiling"] < 0.95, "few rows seem to share something"


def test_codes_that_never_vary_are_left_out():
    factors = draw_factors(1000)
    assert _med(np.zeros((1000, 3)), factors)["score"] == 0
    padded = np.column_stack([factors, np.full((1000, 40), 7)])
    assert _med(padded, factors) == pytest.approx(_med(factors, factors))


def test_one_code_and_one_factor_have_no_other():
    factors = draw_factors(1000)
    assert _med(factors[:, :1], factors)["completeness"] == 1
    assert _med(factors[:, :3], factors[:, :1])["score"] == 1
    assert _med(factors[:, [0, 0]], factors[:, :1])["top_completeness"] == 1


def test_the_top_codes_of_many_stay_while_all_are_diluted():
    factors = draw_factors(3000)
    rng = np.random.default_rng(0)
    units = (factors - factors.mean(0)) / factors.std(0)
    mixtures = units @ rng.normal(size=(5, 200))
    values = _med(np.column_stack([units, mixtures]), factors)
    assert values["score"] < 0.4
    assert values["top_disentanglement"] > 0.8
