import numpy as np
import pytest

from metrics import REGISTRY, Table
from metrics.generalisation import DECLARED, generalisation

RNG = np.random.default_rng(0)
GRID = np.stack(np.meshgrid(range(4), range(5), range(3), indexing="ij"), -1).reshape(-1, 3)
ROWS = GRID[RNG.integers(len(GRID), size=3000)]
UNSEEN = (ROWS[:, 0] == 3) & (ROWS[:, 1] >= 3)
SEEN, HELD = ROWS[~UNSEEN], ROWS[UNSEEN]


def _score(codes_of, seen=SEEN, held=HELD):
    table = Table(codes_of(seen), seen, codes_of(held), held)
    return DECLARED.score(table, 0)


def test_codes_that_are_the_factors_tell_all_and_noise_nothing():
    values = _score(lambda factors: factors * [2.0, -1, 5] + 3)
    assert values["score"] == pytest.approx(1)
    assert values["linear_accuracy"] == values["boosted_accuracy"] == 1
    assert values["boosted"] > 0.99
    rng = np.random.default_rng(1)
    noise = _score(lambda factors: rng.normal(size=(len(factors), 4)))
    assert noise["score"] < 0.05
    assert noise["boosted"] < 0.1


def test_a_factor_of_one_value_in_the_test_rows_has_an_accuracy_alone():
    values = _score(lambda factors: factors + 0.0)
    assert "linear_factor_0" not in values
    assert "boosted_factor_0" not in values
    assert values["linear_accuracy_factor_0"] == 1
    assert values["score"] == pytest.approx(np.mean([values["linear_factor_1"], values["linear_factor_2"]]))


def test_an_entangled_code_does_not_generalise():
    """Codes that name each combination: what is learned of those seen says nothing of the others."""
    names = np.random.default_rng(2).normal(size=(60, 8))
    values = _score(lambda factors: names[factors @ [15, 3, 1]])
    seen = _score(lambda factors: names[factors @ [15, 3, 1]], SEEN[:1500], SEEN[1500:])
    assert seen["boosted"] > 0.9
    assert values["boosted"] < 0.3


def test_the_linear_part_is_scikit_learns_least_squares():
    from sklearn.linear_model import LinearRegression
    from sklearn.metrics import r2_score

    rng = np.random.default_rng(3)
    mix = rng.normal(size=(3, 5))
    noisy = {id(part): part @ mix + rng.normal(size=(len(part), 5)) for part in (SEEN, HELD)}
    values = _score(lambda factors: noisy[id(factors)])
    for k in (1, 2):
        told = LinearRegression().fit(noisy[id(SEEN)], SEEN[:, k]).predict(noisy[id(HELD)])
        assert values[f"linear_factor_{k}"] == pytest.approx(r2_score(HELD[:, k], told))
        assert values[f"linear_accuracy_factor_{k}"] == pytest.approx(
            (told.round().clip(0, 4 - 2 * (k - 1)) == HELD[:, k]).mean()
        )


def test_a_factor_told_worse_than_by_its_mean_counts_as_nothing():
    held = HELD.copy()
    values = _score(lambda factors: np.where(factors is held, 4 - factors, factors) + 0.0, held=held)
    assert values["linear_factor_1"] < 0
    assert 0 <= values["score"] <= 1


@pytest.mark.parametrize("change", [lambda codes: codes[:, ::-1], lambda codes: codes * 7 - 3, lambda codes: -codes])
def test_orders_scales_and_signs_of_codes_do_not_matter(change):
    rng = np.random.default_rng(4)
    noise = rng.normal(size=(len(ROWS), 3))
    codes = {len(SEEN): SEEN + noise[: len(SEEN)], len(HELD): HELD + noise[len(SEEN) :]}
    before, after = (_score(lambda factors, c=c: c(codes[len(factors)])) for c in (lambda codes: codes, change))
    assert after["score"] == pytest.approx(before["score"])
    assert after["boosted"] == pytest.approx(before["boosted"], abs=0.03)


def test_it_is_beside_the_registered_metrics_and_declares_what_it_gives():
    assert DECLARED.name not in REGISTRY
    values = generalisation(Table(SEEN, SEEN, HELD, HELD), np.random.default_rng(0))
    names = {name.replace("<factor>", f"factor_{k}") for name in DECLARED.names for k in range(3)}
    assert {*values} <= names
    assert {*DECLARED.columns} <= {*values}
