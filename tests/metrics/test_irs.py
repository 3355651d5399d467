import numpy as np
import pytest

from metrics import REGISTRY, Table
from metrics.irs import irs
from tests.metrics.representations import draw_factors, make


def _irs(codes, factors, **options):
    return irs(Table(codes, factors, codes[:5], factors[:5]), np.random.default_rng(0), **options)


def _grid(*sizes):
    """Every combination of values once."""
    return np.stack(np.meshgrid(*map(np.arange, sizes), indexing="ij"), axis=-1).reshape(-1, len(sizes))


@pytest.mark.parametrize(
    ("name", "study"),
    [("aligned", 0.891978), ("rotated", 0.470125), ("split", 0.758204), ("mixed", -0.001471)],
)
def test_the_studys_numbers(name, study):
    """disentanglement_lib 1.5 on the same rows."""
    codes, factors, _, _ = make(name)
    assert _irs(codes, factors)["score"] == pytest.approx(study, abs=1e-5)


def test_factors_with_a_bin_for_each_value_score_one():
    factors = _grid(3, 6, 20)
    assert _irs(factors, factors) == {"score": 1, "active": 3, "ceiling": 1}


def test_the_ceiling_lies_where_values_share_bins():
    """Forty values in twenty bins: two to a bin, half a step from their mean, of 19.5 steps at most."""
    factors = _grid(40, 2)
    values = _irs(factors[:, :1], factors)
    assert values["score"] == pytest.approx(1 - 0.5 / 19.5)
    # The two-valued factor's code is robust altogether, and its greatest deviation is 0.5.
    assert values["ceiling"] == pytest.approx((19.5 - 0.5 + 0.5) / 20)
    assert _irs(factors, factors)["score"] == values["ceiling"]


def test_factors_are_binned_and_codes_are_not():
    factors = _grid(40, 2)
    assert _irs(factors[:, :1], factors, bins=40)["score"] == 1
    assert _irs(factors[:, :1] + 0.001 * factors[:, 1:], factors, bins=40)["score"] == pytest.approx(
        1 - 0.0005 / 19.5005
    )


def test_quantile_of_deviations_of_a_code_that_knows_nothing():
    """Uniform on -100 .. 100 whatever the factor: the greatest deviation is 100, its 0.99 quantile 99."""
    grid = _grid(4, 201)
    values = _irs(grid[:, 1:] - 100.0, grid[:, :1])
    assert values["score"] == pytest.approx(0.01)
    assert _irs(grid[:, 1:], grid[:, :1], quantile=1)["score"] == pytest.approx(0)


def test_codes_are_weighed_by_their_greatest_deviation():
    grid = _grid(4, 201)
    codes = np.stack([200 * grid[:, 0] / 3 - 100, 3 * (grid[:, 1] - 100)], axis=1)
    assert _irs(codes, grid[:, :1])["score"] == pytest.approx((100 * 1 + 300 * 0.01) / 400)


def test_a_second_computation():
    """Value by value, code by code, sorting by hand."""
    factors = draw_factors(700, 3)[:, :3]
    codes = np.random.default_rng(0).gamma(2, size=(700, 4)) + factors[:, [0, 1, 2, 2]] * [3, 1, 0.1, 0]
    total = mass = 0
    for code in codes.T:
        greatest, best = np.abs(code - code.mean()).max(), -np.inf
        for factor in factors.T:
            edges = np.linspace(factor.min(), factor.max(), 21)
            binned = np.digitize(factor, edges[:-1])
            moved = []
            for value in set(binned):
                group = code[binned == value]
                away = np.sort(np.abs(group - group.mean()))
                place = 0.99 * (len(away) - 1)
                below = int(place)
                above = min(below + 1, len(away) - 1)
                moved.append(away[below] + (place - below) * (away[above] - away[below]))
            best = max(best, 1 - np.mean(moved) / greatest)
        total, mass = total + greatest * best, mass + greatest
    assert _irs(codes, factors)["score"] == pytest.approx(total / mass, abs=1e-12)


def test_noise_scores_what_is_declared():
    factors = draw_factors(10_000)
    rng = np.random.default_rng(0)
    assert _irs(rng.uniform(size=(10_000, 5)), factors)["score"] == pytest.approx(0.01, abs=0.01)
    assert _irs(rng.normal(size=(10_000, 5)), factors)["score"] == pytest.approx(0.37, abs=0.04)


def test_it_can_fall_below_zero():
    """Most rows of a value lie on one side and a few on the other, with the means of all rows in between."""
    factors = np.repeat([[0], [1]], 100, axis=0)
    codes = np.where(np.arange(200) % 100 < 3, -1.0, 1.0) * np.where(np.arange(200) < 100, 1, -1)
    assert _irs(codes[:, None], factors)["score"] == pytest.approx(1 - 1.94)
    assert REGISTRY["irs"].range == (-1, 1)


def test_dead_codes_are_left_out_and_active_is_a_count():
    factors = draw_factors(1000)[:, :2]
    codes = factors + np.random.default_rng(0).normal(size=(1000, 2))
    # The mean of a thousand times 0.1 is not 0.1: its variance is above 0.
    dead = np.concatenate([codes, np.full((1000, 3), 0.1)], axis=1)
    assert _irs(dead, factors) == _irs(codes, factors)
    assert _irs(dead, factors)["active"] == 2
    assert _irs(np.full((1000, 3), 0.1), factors)["score"] == 0
    assert _irs(np.full((1000, 3), 0.1), factors)["active"] == 0


def test_common_scale_signs_order_and_relabelling_change_nothing():
    codes, factors, _, _ = make("mixed", 1000, 10)
    expected = _irs(codes, factors)["score"]
    for changed in (codes * 1e6, codes * np.tile([-1, 1], 5), codes[:, ::-1]):
        assert _irs(changed, factors)["score"] == pytest.approx(expected)
    assert _irs(codes[::-1], factors[::-1])["score"] == pytest.approx(expected)
    assert _irs(codes, factors[:, ::-1] * 7 - 3)["score"] == pytest.approx(expected)
    assert _irs(codes.astype(np.float32), factors)["score"] == pytest.approx(expected, abs=1e-5)


def test_it_draws_nothing_and_leaves_test_rows_alone():
    codes, factors, codes_test, factors_test = make("rotated", 500, 200)
    rng = np.random.default_rng(0)
    values = irs(Table(codes, factors, codes_test, factors_test), rng)
    assert values == irs(Table(codes, factors, 0 * codes_test, factors_test), rng)
    assert rng.random() == np.random.default_rng(0).random()
    assert set(values) == set(REGISTRY["irs"].names)
    assert all(type(value) is float for value in values.values())
