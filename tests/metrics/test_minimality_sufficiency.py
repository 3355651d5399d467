"""minimality_sufficiency: closed forms, a second computation in loops, and factors that depend on one another."""

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from metrics import REGISTRY, Table
from metrics.information import bin_codes, entropy
from tests.metrics.representations import NAMES, draw_factors, make


def _values(codes, factors):
    return REGISTRY["minimality_sufficiency"].score(Table(codes, factors, codes[:20], factors[:20]), 0)


@pytest.mark.parametrize("representation", ["aligned", "rotated", "split", "mixed"])
def test_against_loops(representation):
    codes, factors, *_ = make(representation, 1500, 10)
    binned = bin_codes(codes, 15)
    information = np.array([[mutual_info_score(code, factor) for factor in factors.T] for code in binned.T])
    minimality = np.mean([row.max() / entropy(code) for row, code in zip(information, binned.T, strict=True)])
    sufficiency = [column.max() / entropy(factor) for column, factor in zip(information.T, factors.T, strict=True)]
    values = _values(codes, factors)
    assert values["minimality"] == pytest.approx(minimality)
    assert values["sufficiency"] == values["score"] == pytest.approx(np.mean(sufficiency))
    assert [values[f"sufficiency_factor_{k}"] for k in range(len(NAMES))] == pytest.approx(sufficiency)


def _bits(count, rows=4096):
    return np.stack([np.arange(rows) >> k & 1 for k in range(count)], axis=1)


def test_a_code_that_holds_more_is_less_minimal_and_as_sufficient():
    bits = _bits(2)
    both = bits[:, [0]] * 2 + bits[:, [1]]
    values = _values(np.hstack([both, bits[:, [0]]]), bits)
    assert values["minimality"] == pytest.approx(0.75)  # half of one code, all of the other
    assert values["sufficiency"] == pytest.approx(1)


def test_a_factor_that_is_missing_is_insufficient_and_as_minimal():
    bits = _bits(4)
    values = _values(bits[:, :3], bits)
    assert (values["minimality"], values["sufficiency"]) == pytest.approx((1, 0.75))


def test_factors_that_depend_on_one_another_cost_nothing():
    factors = draw_factors(4000)[:, :2]
    factors[:, 1] = (factors[:, 1] + factors[:, 0]) // 2
    values = _values(factors, factors)
    assert values["score"] == pytest.approx(1)
    assert values["minimality"] == pytest.approx(1)
    assert REGISTRY["mig"].score(Table(factors, factors), 0)["score"] < 0.9


def test_codes_that_never_vary_are_no_part_of_minimality():
    bits = _bits(3)
    values = _values(np.column_stack([bits, np.full((4096, 5), 3.0)]), bits)
    assert (values["minimality"], values["active"]) == (pytest.approx(1), 3)
    dead = _values(np.zeros((4096, 2)), bits)
    assert (dead["score"], dead["minimality"], dead["active"]) == (0, 0, 0)
