"""omes: images drawn anew on a whole grid as a second computation, and pairs of rows that stand in for them."""

import numpy as np
import pytest

from metrics import REGISTRY, Table
from metrics.omes import _count_pairs, _draw_pairs, _number_others

SIZES = (3, 4, 6)
GRID = np.stack(np.meshgrid(*map(np.arange, SIZES), indexing="ij"), axis=-1).reshape(-1, 3)
UNIT = (GRID - GRID.mean(0)) / GRID.std(0)
MIXED = np.column_stack([UNIT[:, 0], UNIT[:, 1] + UNIT[:, 2], UNIT[:, 0] * UNIT[:, 1], 0.01 * UNIT[:, 2]])


def _by_drawing(codes, alpha, rng, pairs=20_000):
    """The definition, in loops, by images of the grid whose factor is drawn anew."""
    codes = codes[:, codes.std(0) >= 0.05]
    latents, factors = codes.shape[1], len(SIZES)
    s = np.zeros((latents, factors))
    for k, size in enumerate(SIZES):
        first = GRID[rng.integers(len(GRID), size=pairs)]
        second = first.copy()
        second[:, k] = rng.integers(size, size=pairs)
        rows = [np.ravel_multi_index(each.T, SIZES) for each in (first, second)]
        for j in range(latents):
            s[j, k] = 1 - abs(np.corrcoef(codes[rows[0], j], codes[rows[1], j])[0, 1])
    score = []
    for k in range(factors):
        o = [1 - np.mean([abs((m == k) - s[j, m]) for m in range(factors)]) for j in range(latents)]
        c = [1 - np.mean([abs((i == j) - s[i, k]) for i in range(latents)]) for j in range(latents)]
        score.append(np.average((alpha * np.array(o) + (1 - alpha) * np.array(c)) * s[:, k], weights=s[:, k]))
    return np.mean(score)


@pytest.mark.parametrize("codes", [UNIT, MIXED, np.tile(UNIT, 2)], ids=["truth", "mixed", "doubled"])
@pytest.mark.parametrize("alpha", [0, 0.5, 1])
def test_against_images_drawn_anew(codes, alpha):
    """Whether rows are those of all images, each once, or drawn with repetition."""
    expected = _by_drawing(codes, alpha, np.random.default_rng(0))
    repeated = np.random.default_rng(1).integers(len(GRID), size=3000)
    for rows in (np.arange(len(GRID)), repeated):
        table = Table(codes[rows], GRID[rows], codes[:9], GRID[:9])
        values = REGISTRY["omes"].with_options(alpha=alpha).score(table, 0)
        assert values["score"] == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(
    "chances", [(0.1, 0.9), (0.5, 0.25, 0.125, 0.125), (0.02, 0.13, 0.35, 0.35, 0.13, 0.02)], ids=str
)
def test_true_factors_that_are_not_uniform_score_as_those_that_are(chances):
    rng = np.random.default_rng(0)
    factors = np.column_stack([rng.choice(len(chances), 10_000, p=chances), rng.integers(4, size=(10_000, 2))])
    codes = factors.astype(float)
    assert REGISTRY["omes"].score(Table(codes, factors, codes, factors), 0)["score"] > 0.98


def test_the_parts_are_the_score_at_either_end():
    values = [
        REGISTRY["omes"].with_options(alpha=alpha).score(Table(MIXED, GRID, MIXED, GRID), 0) for alpha in (0, 0.25, 1)
    ]
    assert values[0]["score"] == values[1]["compactness"]
    assert values[2]["score"] == values[1]["modularity"]
    assert values[1]["score"] == pytest.approx(0.75 * values[0]["score"] + 0.25 * values[2]["score"])
    assert values[1]["active"] == 3


def test_pairs_share_all_other_factors_and_draw_the_one_anew():
    first, second = _draw_pairs(GRID, 1, np.random.default_rng(0))
    assert (GRID[first][:, [0, 2]] == GRID[second][:, [0, 2]]).all()
    assert (first == second).mean() == pytest.approx(1 / SIZES[1], abs=0.01)
    together = np.bincount(GRID[first, 1] * 4 + GRID[second, 1], minlength=16) / len(first)
    assert together == pytest.approx(np.full(16, 1 / 16), abs=0.01)


def test_pairs_are_counted_as_by_comparing_all_rows():
    rows = GRID[np.random.default_rng(0).integers(len(GRID), size=60)]
    for k in range(3):
        others = np.delete(rows, k, axis=1)
        alike = (others[:, None] == others).all(-1) & (rows[:, None, k] != rows[:, k])
        assert _count_pairs(rows, k) == alike.sum() // 2
        assert len(np.unique(_number_others(rows, k))) == len(np.unique(others, axis=0))


def test_too_few_pairs_are_told():
    rng = np.random.default_rng(0)
    factors = rng.integers(100, size=(300, 4))
    told = REGISTRY["omes"].unsuited(Table(rng.normal(size=(300, 2)), factors))
    assert told == "omes needs 30 pairs of training rows that differ in factor 'factor_0' alone, and there are 0."


def test_alpha_is_a_share():
    with pytest.raises(ValueError, match=r"alpha is 1\.5"):
        REGISTRY["omes"].with_options(alpha=1.5).score(Table(UNIT, GRID, UNIT, GRID), 0)


def test_codes_that_are_all_faint_score_nothing():
    assert REGISTRY["omes"].score(Table(UNIT / 100, GRID, UNIT, GRID), 0)["score"] == 0
