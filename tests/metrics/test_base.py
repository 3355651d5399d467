import numpy as np
import pytest

from metrics import Table, register
from metrics.matching import matched_groups, matched_pairs

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


def test_matched_groups_share_the_value_and_are_all_different_rows():
    values = np.random.default_rng(0).integers(5, size=300)
    rows = matched_groups(values, 2000, 30, np.random.default_rng(0))
    assert rows.shape == (2000, 30)
    assert (values[rows] == values[rows[:, :1]]).all()
    assert (np.diff(np.sort(rows, axis=1), axis=1) > 0).all()
    assert len(np.unique(rows)) == 300


def test_groups_are_uniform_subsets():
    """All subsets of three of five rows are as likely; a held value is as likely as its rows are many."""
    values = np.array([4, 1, 4, 4, 1, 4, 4, 1])
    rows = matched_groups(values, 60_000, 3, np.random.default_rng(0))
    fours = np.sort(rows[values[rows[:, 0]] == 4], axis=1)
    assert len(fours) / 60_000 == pytest.approx(5 / 8, abs=0.01)
    subsets, counts = np.unique(fours, axis=0, return_counts=True)
    assert len(subsets) == 10
    assert counts / len(fours) == pytest.approx(np.full(10, 0.1), abs=0.006)


def test_a_groups_variance_is_as_under_the_intervention():
    """Rows drawn more than once would widen its spread: 0.25 here, in place of 0.18 (standard error 0.004)."""
    rng = np.random.default_rng(0)
    variances = []
    for _ in range(1000):
        codes = rng.normal(size=100)
        variances.append(codes[matched_groups(np.zeros(100), 1, 64, rng)[0]].var(ddof=1))
    assert np.mean(variances) == pytest.approx(1, abs=0.02)
    assert np.std(variances) == pytest.approx(np.sqrt(2 / 63), abs=0.015)


def test_small_groups_repeat_rows_and_lone_rows_are_left_out():
    rows = matched_groups(np.array([3, 7, 3, 5, 3]), 400, 10, np.random.default_rng(0))
    assert np.bincount(rows.ravel(), minlength=5) / rows.size == pytest.approx([1 / 3, 0, 1 / 3, 0, 1 / 3], abs=0.03)


def test_groups_of_distinct_values_are_refused():
    with pytest.raises(ValueError, match="no two rows share"):
        matched_groups(np.arange(9), 5, 2, np.random.default_rng(0))
    assert matched_groups(np.zeros(9), 0, 2, np.random.default_rng(0)).shape == (0, 2)


def test_a_name_is_registered_once():
    def mig(table, rng):
        return {}

    with pytest.raises(ValueError, match=r"registered already, by metrics\.mig"):
        register(version=1, chance="0", ceiling="1", reference="none")(mig)
