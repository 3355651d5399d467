"""What training images are drawn from, against every combination weighed one by one."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from benchmark.datasets.populations import Grid, Rows, Weighted, population_of
from tests.benchmark.grids import Blank

SIZES = {"a": 3, "b": 2, "c": 4, "d": 2}
DRAWN = 40_000


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def grid():
    return Blank(**SIZES)


def _weights(seed=0):
    """Two weights that meet in b, with combinations of weight 0, and one of d alone."""
    rng = np.random.default_rng(seed)
    one, two = rng.random((3, 2)), rng.random((2, 4))
    one[0, 1] = two[1, 2:] = 0
    return {(0, 1): torch.tensor(one), (1, 2): torch.tensor(two), (3,): torch.tensor([1.0, 3.0])}


def _by_brute_force(weights):
    """The probability of each combination, from each combination's product of weights."""
    found = np.array(
        [
            np.prod([table[tuple(values[k] for k in axes)] for axes, table in weights.items()])
            for values in product(*map(range, SIZES.values()))
        ]
    )
    return found / found.sum()


def _agrees(indices, expected):
    seen = np.bincount(indices.numpy(), minlength=len(expected))
    assert not seen[expected == 0].any()
    return (expected > 0).sum() == 1 or chisquare(
        seen[expected > 0], expected[expected > 0] * len(indices)
    ).pvalue > 1e-3


def test_probabilities_are_the_products_of_the_weights(grid):
    population = Weighted(grid, _weights())
    np.testing.assert_allclose(population.probabilities(torch.arange(len(grid))), _by_brute_force(_weights()))
    assert [*population.components] == [(0, 1, 2), (3,)]


def test_combinations_are_drawn_by_their_probabilities(grid):
    drawn = Weighted(grid, _weights()).draw(DRAWN, _generator())
    assert _agrees(drawn, _by_brute_force(_weights()))
    assert torch.equal(drawn, Weighted(grid, _weights()).draw(DRAWN, _generator()))


@pytest.mark.parametrize("varied", [*product([False, True], repeat=4)], ids=str)
def test_varied_factors_are_drawn_given_the_others(grid, varied):
    population, expected = Weighted(grid, _weights()), _by_brute_force(_weights())
    factors = grid.factors(torch.arange(len(grid)))
    one = grid.indices([[1, 0, 3, 1]])
    drawn = population.redraw(one.expand(DRAWN), one.expand(DRAWN), torch.tensor(varied).expand(DRAWN, 4), _generator())
    alike = (factors == factors[one])[:, ~torch.tensor(varied)].all(1).numpy()
    given = np.where(alike, expected, 0)
    assert _agrees(drawn, given / given.sum())


def test_rows_that_vary_in_different_factors_are_drawn_at_once(grid):
    population, generator = Weighted(grid, _weights()), _generator()
    one, other = (population.draw(DRAWN, generator) for _ in range(2))
    varied = torch.rand((DRAWN, 4), generator=generator) < 0.5
    drawn = population.redraw(one, other, varied, generator)
    kept = grid.factors(drawn) == grid.factors(one)
    assert kept[~varied].all()
    assert not kept[varied].all()
    # What is drawn given what is kept has the distribution of what both were drawn from.
    assert _agrees(drawn, _by_brute_force(_weights()))


def test_what_has_no_weight_is_refused(grid):
    with pytest.raises(ValueError, match="no combination"):
        Weighted(grid, {(0, 1): torch.ones(3, 2).tril(-2), (1, 2): torch.tensor([[0.0] * 4, [1.0] * 4])})


def test_a_uniform_grid_draws_as_it_always_did(grid):
    population = population_of(grid)
    assert isinstance(population, Grid)
    assert torch.equal(population.draw(99, _generator(1)), torch.randint(len(grid), (99,), generator=_generator(1)))
    one, other = torch.tensor([0, 47]), torch.tensor([47, 0])
    varied = torch.tensor([[True, False, False, True], [False] * 4])
    assert grid.factors(population.redraw(one, other, varied, _generator())).tolist() == [[2, 0, 0, 1], [2, 1, 3, 1]]


def test_no_weights_are_the_uniform_grid(grid):
    assert _agrees(Weighted(grid, {}).draw(DRAWN, _generator()), np.full(len(grid), 1 / len(grid)))


def test_rows_of_a_table_are_drawn_among_those_that_share_what_is_kept():
    table = np.array([[0, 0], [0, 1], [0, 1], [1, 0], [1, 1], [2, 1]])
    data = Blank(a=3, b=2, table=table)
    population = population_of(data)
    assert isinstance(population, Rows)
    assert _agrees(population.draw(DRAWN, _generator()), np.full(6, 1 / 6))
    one = torch.ones(DRAWN, dtype=torch.long)
    drawn = population.redraw(one, one, torch.tensor([False, True]).expand(DRAWN, 2), _generator())
    assert _agrees(drawn, np.array([1, 1, 1, 0, 0, 0]) / 3)
    drawn = population.redraw(one, one, torch.tensor([True, False]).expand(DRAWN, 2), _generator())
    assert _agrees(drawn, np.array([0, 1, 1, 0, 1, 1]) / 4)
    assert torch.equal(population.redraw(one, one, torch.zeros(DRAWN, 2, dtype=torch.bool), _generator()) > 2, one > 2)
