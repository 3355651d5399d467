"""Vectors of codes: against scikit-learn's principal components, and what is refused."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

import metrics
from metrics.grouping import reduce_groups
from tests.metrics.representations import make

RNG = np.random.default_rng(0)
CODES = RNG.normal(size=(500, 6)) @ RNG.normal(size=(6, 6)) + 3
GROUPS = [[0, 1, 2], [5], [3, 4]]


def test_groups_are_their_first_principal_components():
    train, test, kept = reduce_groups(CODES[:300], CODES[300:], GROUPS)
    for place, columns in enumerate(GROUPS):
        if len(columns) == 1:
            assert np.array_equal(test[:, place], CODES[300:, columns[0]])
            assert kept[place] == 1
            continue
        fitted = PCA(1).fit(CODES[:300, columns])
        for own, given in ((train, CODES[:300]), (test, CODES[300:])):
            expected = fitted.transform(given[:, columns])[:, 0]
            sign = np.sign(expected @ own[:, place])
            np.testing.assert_allclose(own[:, place], sign * expected, atol=1e-9)
        assert kept[place] == pytest.approx(fitted.explained_variance_ratio_[0])


def test_the_sign_is_that_of_the_greatest_weight():
    line = np.linspace(-1, 1, 50)[:, None]
    for direction in ([1.0, 3.0], [-1.0, -3.0]):
        train, _, kept = reduce_groups(line * direction, line * direction, [[0, 1]])
        assert np.sign(train[-1, 0]) == np.sign(direction[1])
        assert kept == [pytest.approx(1)]


@pytest.mark.parametrize("scale", [1e-300, 1e90])
def test_sizes_do_not_matter(scale):
    plain, _, kept = reduce_groups(CODES, CODES, GROUPS)
    scaled, _, of_scaled = reduce_groups(CODES * scale, CODES, GROUPS)
    np.testing.assert_allclose(scaled / scale, plain, rtol=1e-6, atol=1e-9)
    assert of_scaled == pytest.approx(kept)


def test_a_group_that_never_varies_is_constant():
    train, test, kept = reduce_groups(np.ones((9, 2)), np.ones((4, 2)), [[0, 1]])
    assert (train == 0).all()
    assert (test == 0).all()
    assert kept == [1.0]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([], "an empty one"),
        ([[0, 1], []], "an empty one"),
        ([[0, 1, 2, 3, 4]], "column 5 of 6 is in no group"),
        ([[0, 1, 2, 3, 4, 5, 6]], "groups name column 6, and the codes' columns are 0 to 5"),
        ([[-1, 0]], "groups name column -1"),
        ([[0.0, 1]], "groups name column 0.0"),
        ([[0, 1], [1, 2]], "groups name column 1 twice"),
    ],
)
def test_odd_groups_are_refused(groups, message):
    with pytest.raises(ValueError, match=message):
        reduce_groups(CODES, CODES, groups)


def test_score_takes_groups_and_fits_them_on_training_rows_alone():
    codes, factors, codes_test, factors_test = make("rotated", 600, 300)
    groups = [[0, 1], [2], [3, 4]]
    train, test, _ = reduce_groups(codes, codes_test, groups)
    expected = metrics.score(train, factors, test, factors_test, metrics=["mig", "sap"])
    assert metrics.score(codes, factors, codes_test, factors_test, groups=groups, metrics=["mig", "sap"]) == expected
    table = metrics.Table(codes, factors, seed=1, groups=groups)  # a random third tests
    plain = metrics.Table(codes, factors, seed=1)
    assert np.array_equal(table.codes, reduce_groups(plain.codes, plain.codes_test, groups)[0])
    assert "3 groups of columns" in table.tell_groups()
    assert plain.tell_groups() == ""
