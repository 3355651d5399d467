import numpy as np
import pytest

from metrics import Table, register
from metrics.matching import matched_pairs

GOOD = np.arange(24).reshape(12, 2) % 5


def test_the_last_third_tests():
    table = Table(GOOD * 0.5, GOOD)
    assert len(table.codes) == len(table.factors) == 8
    assert np.array_equal(table.codes_test, GOOD[8:] * 0.5)
    assert table.factor_names == ("factor_0", "factor_1")


def test_given_test_rows_leave_all_others_for_training():
    assert len(Table(GOOD, GOOD, GOOD[:3], GOOD[:3]).codes) == 12


@pytest.mark.parametrize(
    ("codes", "factors", "message"),
    [
        (np.full((12, 2), np.nan), GOOD, "codes holds nan or infinity"),
        (GOOD, np.full((12, 2), np.inf), "factors holds nan or infinity"),
        (GOOD[:5], GOOD, "codes has 5 rows and factors 12"),
        (GOOD[:, 0], GOOD, "codes has shape"),
        (GOOD[:, :0], GOOD, "codes has shape"),
        (GOOD[:1], GOOD[:1], "too few rows"),
        (GOOD, GOOD + 0.5, "factors holds fractions"),
        (GOOD, GOOD * 0, "factor 'factor_0' takes one value only"),
        (GOOD.astype(object), GOOD, "codes holds object"),
        (GOOD, np.full((12, 2), "a"), "factors holds <U1"),
    ],
)
def test_bad_arrays(codes, factors, message):
    with pytest.raises(ValueError, match=message):
        Table(codes, factors)


def test_bad_test_rows_and_names():
    with pytest.raises(ValueError, match="go together"):
        Table(GOOD, GOOD, GOOD)
    with pytest.raises(ValueError, match="different numbers of columns"):
        Table(GOOD, GOOD, GOOD[:, :1], GOOD)
    with pytest.raises(ValueError, match="factor_names"):
        Table(GOOD, GOOD, factor_names=["a", "a"])


def test_whole_floats_are_integers():
    assert Table(GOOD, GOOD.astype(float)).factors.dtype == np.int64


def test_matched_pairs_share_the_value_and_are_different_rows():
    values = np.random.default_rng(0).integers(5, size=300)
    first, second = matched_pairs(values, 10_000, np.random.default_rng(0))
    assert (values[first] == values[second]).all()
    assert (first != second).all()
    assert len(np.unique(first)) == len(np.unique(second)) == 300


def test_partners_are_uniform():
    values = np.array([0, 1, 0, 0, 1, 0])
    first, second = matched_pairs(values, 60_000, np.random.default_rng(0))
    counts = np.bincount(second[first == 0], minlength=6) / (first == 0).sum()
    assert counts == pytest.approx([0, 0, 1 / 3, 1 / 3, 0, 1 / 3], abs=0.02)
    assert np.bincount(first) / 60_000 == pytest.approx(np.full(6, 1 / 6), abs=0.01)


def test_lone_rows_are_left_out():
    first, _ = matched_pairs(np.array([7, 3, 3]), 100, np.random.default_rng(0))
    assert set(first) == {1, 2}


def test_a_name_is_registered_once():
    def mig(table, rng):
        return {}

    with pytest.raises(ValueError, match=r"registered already, by metrics\.mig"):
        register(version=1, chance="0", ceiling="1", reference="none")(mig)
