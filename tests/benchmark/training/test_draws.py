import copy
from itertools import combinations, product
from math import comb, exp, log

import pytest
import torch
from scipy.stats import chisquare

import methods
from benchmark.datasets.populations import Weighted
from benchmark.datasets.worlds import enter
from benchmark.training.draws import CHUNK, Draws, draw_batches, draw_groups, draw_pairs, objection
from methods.base import Groups, Independent, Labelled, Method, Pairs, Player, Transitions

FACTORS = 5  # of the small data set


class _Method(Method):
    """Two players, and two kinds of noise for each."""

    kind = Independent()

    def players(self):
        return {name: Player((), lambda *_: {}) for name in ("one", "two")}

    def batches(self):
        return self.kind

    def noise_shapes(self, batch):
        return {"a": (batch, 3), "b": (2,)}


def _generator(seed):
    return torch.Generator().manual_seed(seed)


def _draws(mini, kind=None, seeds=(0,), batch=8, steps=1):
    method = _Method((1, 64, 64), steps=steps)
    method.kind = kind or Independent()
    batches, noises = ([_generator(100 * use + seed) for seed in seeds] for use in (1, 2))
    return Draws(method, batches, noises, mini, batch, torch.float32)


def _pairs(mini, differing, batch=500):
    """Factors (pairs, K) of the first and of the second images."""
    indices, told = draw_pairs(Pairs(differing), mini, batch, _generator(0))
    assert indices.shape == (CHUNK, 2 * batch)
    one, other = (mini.factors(part.flatten()) for part in indices.chunk(2, 1))
    moved = told["changed"].flatten(0, 1)
    assert not ((one != other) & ~moved).any()  # what changed was told
    return [mini.factors(part.flatten()) for part in indices.chunk(2, 1)]


def _expected_counts(sizes, differing):
    """Probability that so many factors differ, by counting every choice of factors that are drawn anew."""
    numbers = [differing] if differing else range(1, len(sizes))
    expected = [0.0] * (len(sizes) + 1)
    for number in numbers:
        for chosen in combinations(sizes, number):
            for differ in product([False, True], repeat=number):
                chance = 1.0
                for size, other in zip(chosen, differ, strict=True):
                    chance *= (size - 1) / size if other else 1 / size
                expected[sum(differ)] += chance / comb(len(sizes), number) / len(numbers)
    return torch.tensor(expected, dtype=torch.float64)


@pytest.mark.parametrize("differing", [0, 1, 2, 4, 5])
def test_as_many_factors_differ_as_should(mini, differing):
    first, second = _pairs(mini, differing)
    differ = (first != second).sum(1)
    assert differ.max() <= (differing or FACTORS - 1)
    seen = torch.bincount(differ, minlength=FACTORS + 1)
    expected = _expected_counts(mini.factor_sizes, differing) * len(first)
    possible = expected > 0
    assert not seen[~possible].any()
    assert chisquare(seen[possible], expected[possible]).pvalue > 1e-3


@pytest.mark.parametrize("differing", [0, 1, 3])
def test_every_factor_is_drawn_anew_alike(mini, differing):
    first, second = _pairs(mini, differing)
    drawn = (differing or FACTORS / 2) / FACTORS  # 1 .. K - 1 average to K / 2
    for k, size in enumerate(mini.factor_sizes):
        differs = (first[:, k] != second[:, k]).double().mean().item()
        assert differs == pytest.approx(drawn * (1 - 1 / size), abs=0.012)  # over four standard errors


def test_first_and_second_images_are_uniform_over_the_grid(mini):
    for factors in _pairs(mini, 1):
        seen = torch.bincount(mini.indices(factors), minlength=len(mini))
        assert chisquare(seen).pvalue > 1e-3


def test_a_factor_drawn_anew_is_independent_of_its_old_value(mini):
    first, second = _pairs(mini, FACTORS)
    for k, size in enumerate(mini.factor_sizes):
        assert chisquare(torch.bincount(first[:, k] * size + second[:, k])).pvalue > 1e-3


def _groups(mini, chunks, batch=16):
    generator = _generator(3)
    drawn = [draw_groups(Groups(), mini, batch, generator) for _ in range(chunks)]
    indices = torch.cat([indices for indices, _ in drawn])
    return mini.factors(indices.flatten()).view(*indices.shape, FACTORS), torch.cat(
        [told["factor"] for _, told in drawn]
    )


def test_a_group_varies_in_the_factor_that_is_told_alone(mini):
    factors, told = _groups(mini, 2)
    varies = (factors != factors[:, :1]).any(1)
    assert (varies.sum(1) <= 1).all()
    # Sixteen draws of a factor of two values are alike once in 32,768 groups.
    assert torch.equal(varies.int().argmax(1), told)


def test_every_factor_varies_equally_often_over_all_its_values(mini):
    factors, told = _groups(mini, 30)
    assert chisquare(torch.bincount(told, minlength=FACTORS)).pvalue > 1e-3
    for k, size in enumerate(mini.factor_sizes):
        own = factors[told == k][:, :, k].flatten()
        assert chisquare(torch.bincount(own, minlength=size)).pvalue > 1e-3


def test_groups_first_images_are_uniform_over_the_grid(mini):
    factors, _ = _groups(mini, 120, batch=2)
    assert chisquare(torch.bincount(mini.indices(factors[:, 0]), minlength=len(mini))).pvalue > 1e-3


@pytest.mark.parametrize("number", [1, 2])
def test_independent_batches_and_noise_are_the_generators_own(mini, number):
    """To the bit, in chunks of 64 steps: stored results were trained on these."""
    draws = _draws(mini, Independent(number), batch=8)
    batches, noises = _generator(100), _generator(200)
    for chunk in range(2):
        indices = torch.randint(len(mini), (64, number * 8), generator=batches)
        noise = {
            player: {name: torch.randn((64, *shape), generator=noises) for name, shape in (("a", (8, 3)), ("b", (2,)))}
            for player in ("one", "two")
        }
        for step in range(64):
            drawn, drawn_noise = draws.of_step(64 * chunk + step)
            assert torch.equal(drawn, indices[None, step])
            for player, names in noise.items():
                for name, values in names.items():
                    assert torch.equal(drawn_noise[player][name], values[None, step])


def test_as_many_factors_are_told_to_be_drawn_anew_as_are(mini):
    _, told = draw_pairs(Pairs(2), mini, 50, _generator(0))
    assert (told["changed"].sum(2) == 2).all()


def _transitions(data, rate=1.0, batch=500):
    """Factors (pairs, K) of what is seen first and next, and which are told to have moved."""
    indices, told = draw_batches(Transitions(rate), data, batch, _generator(0))
    assert indices.shape == (CHUNK, 2 * batch)
    first, second = (data.factors(part.flatten()) for part in indices.chunk(2, 1))
    return first, second, told["changed"].flatten(0, 1)


def _laplace(size, rate=1.0):
    """The chances (values, next values) of a factor's steps."""
    weights = torch.tensor([[exp(-rate * abs(a - b) / log(size)) for b in range(size)] for a in range(size)])
    return weights.double() / weights.double().sum(1, keepdim=True)


def test_transitions_tell_what_moved_and_something_always_does(mini):
    first, second, moved = _transitions(mini, rate=30)
    assert torch.equal(first != second, moved)
    assert (moved.sum(1) == 1).all()  # at such a rate no second factor moves


def test_a_factors_steps_have_laplace_probabilities(mini):
    """By counting, given that two factors have moved of their own, which leaves a third free."""
    first, second, moved = _transitions(mini)
    for k, size in list(enumerate(mini.factor_sizes))[1:]:
        free = moved[:, [other for other in range(FACTORS) if other != k]].sum(1) > 1
        starts = torch.bincount(first[free, k], minlength=size)
        wanted = (_laplace(size) * starts[:, None]).flatten()
        seen = torch.bincount(first[free, k] * size + second[free, k], minlength=size**2)
        assert chisquare(seen, wanted * seen.sum() / wanted.sum()).pvalue > 1e-3


def test_what_has_no_order_stands_still(mini):
    first, second, moved = _transitions(mini)
    assert mini.factor_names[0] == "shape"
    assert torch.equal(first[:, 0], second[:, 0])
    assert moved[:, 1:].any(1).all()
    mini = copy.copy(mini)
    mini.categorical = mini.factor_names[1:]
    first, second, moved = _transitions(mini)
    assert (moved == torch.tensor([True] + [False] * 4)).all()
    mini.categorical = mini.factor_names
    assert objection(Transitions(), mini) == (
        f"it trains on transitions of images, and no factor of {mini.name} has values in an order."
    )


def test_steps_in_a_world_are_weighed_by_it(mini):
    """Two factors that hang together: exactly, from every pair of values, given that two others moved of their own."""
    world = enter(mini, "correlated=position_x:position_y:0.2")
    x, y = (world.factor_names.index(name) for name in ("position_x", "position_y"))
    first, second, moved = _transitions(world, rate=0.7)
    assert moved.any(1).all()
    weights = world.population.components[(x, y)]
    steps = _laplace(world.factor_sizes[x], 0.7)
    # x by its steps and weights beside the old y, then y beside the new x.
    along_x = steps[:, :, None] * weights[None]  # from x, to x, y
    along_x = along_x / along_x.sum(1, keepdim=True)
    along_y = steps[None] * weights[:, None]  # x, from y, to y
    along_y = along_y / along_y.sum(2, keepdim=True)
    wanted = torch.einsum("axy,xyb->ayxb", along_x, along_y)
    free = moved[:, [k for k in range(FACTORS) if k not in (x, y)]].sum(1) > 1
    sizes = (world.factor_sizes[x], world.factor_sizes[y]) * 2
    starts = torch.zeros(sizes[:2], dtype=torch.float64)
    starts.index_put_((first[free, x], first[free, y]), torch.ones(int(free.sum()), dtype=torch.float64), True)
    seen = torch.zeros(sizes, dtype=torch.float64)
    places = (first[free, x], first[free, y], second[free, x], second[free, y])
    seen.index_put_(places, torch.ones(int(free.sum()), dtype=torch.float64), True)
    expected = starts[:, :, None, None] * wanted
    frequent = expected > 5
    rest = torch.tensor([seen[~frequent].sum(), expected[~frequent].sum()])
    assert chisquare([*seen[frequent], rest[0]], [*expected[frequent], rest[1]]).pvalue > 1e-3


def test_an_image_that_nothing_can_follow_is_seen_twice(mini):
    """In a world where the one place follows from the other, and the rest has one value each."""
    world = copy.copy(mini)
    sizes = world.factor_sizes
    alone = {(k,): torch.eye(sizes[k])[0] for k in range(FACTORS - 2)}
    world.population = Weighted(world, alone | {(FACTORS - 2, FACTORS - 1): torch.eye(*sizes[-2:])})
    first, second, moved = _transitions(world)
    assert not moved.any()
    assert torch.equal(first, second)
    assert len(first.unique(dim=0)) == min(sizes[-2:])


def test_transitions_of_a_world_stay_in_it(mini):
    world = enter(mini, "held_out=shape=1,position_x=2..3")
    first, second, moved = _transitions(world)
    for factors in (first, second):
        assert not ((factors[:, 0] == 1) & (factors[:, 3] >= 2) & (factors[:, 3] <= 3)).any()
    assert torch.equal(first != second, moved)
    assert moved.any(1).all()


def _labelled(data, kind, chunks=2, seed=0):
    """Indices and labels of the labelled images, and indices of the others, of some chunks of steps."""
    generator = _generator(seed)
    drawn = [draw_batches(kind, data, 8, generator) for _ in range(chunks)]
    places = torch.cat([places for places, _ in drawn])
    assert places.shape == (chunks * CHUNK, 8 * kind.number + 8)
    return places[:, -8:].flatten(), torch.cat([told["labels"] for _, told in drawn]).flatten(0, 1), places[:, :-8]


@pytest.mark.parametrize("kind", [Labelled(20), Labelled(20, 2), Labelled()], ids=str)
def test_labels_are_the_labelled_images_factors(mini, kind):
    indices, labels, others = _labelled(mini, kind)
    assert torch.equal(mini.factors(indices), labels)
    assert len(others.unique()) > 200
    number = len(indices.unique())
    assert number > 200 if kind.images == 0 else 15 < number <= 20


def test_labelled_images_are_the_seeds_own_and_stay_the_same(mini):
    """However far the stream has come, as after a checkpoint."""
    first, *_ = _labelled(mini, Labelled(20))
    assert {*first.tolist()} != {*_labelled(mini, Labelled(20), seed=1)[0].tolist()}
    generator, state = _generator(3), _generator(0)
    torch.rand(100, generator=state)
    generator.set_state(state.get_state())
    later, _ = draw_batches(Labelled(20), mini, 8, generator)
    assert {*later[:, 8:].flatten().tolist()} == {*first.tolist()}


KINDS = [Independent(), Independent(2), Pairs(), Pairs(2), Groups(), Transitions(), Labelled(20), Labelled()]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_draws_depend_on_the_seed_alone(mini, kind):
    """Not on the runs beside it, torch's global generator or how long the training is."""
    torch.manual_seed(1)
    packed = _draws(mini, kind, seeds=(5, 7, 9), steps=1000)
    alone = _draws(mini, kind, seeds=(7,), steps=70)
    steps = []
    for step in range(70):
        indices, noise = packed.of_step(step)
        torch.manual_seed(step)
        own_indices, own_noise = alone.of_step(step)
        assert torch.equal(indices[1], own_indices[0])
        assert not torch.equal(indices[0], own_indices[0])
        for player, names in own_noise.items():
            for name, values in names.items():
                assert torch.equal(noise[player][name][1], values[0])
        steps.append(own_indices)
    assert len({tuple(indices.flatten().tolist()) for indices in steps}) == 70


def test_players_are_told_the_factor_but_have_noise_of_their_own(mini):
    draws = _draws(mini, Groups(), seeds=(1, 2))
    indices, noise = draws.of_step(0)
    assert indices.shape == (2, 8)
    assert noise["one"]["factor"].shape == (2,)
    assert torch.equal(noise["one"]["factor"], noise["two"]["factor"])
    assert not torch.equal(noise["one"]["a"], noise["two"]["a"])


def test_methods_get_batches_of_the_size_that_their_noise_has(mini):
    for name, images in (("vae", 8), ("adagvae", 16), ("dcign", 8), ("factorvae", 16), ("s2_factorvae", 24)):
        method = methods.REGISTRY[name](mini.image_shape, factor_sizes=mini.factor_sizes)
        draws = Draws(method, [_generator(0)], [_generator(1)], mini, 8, torch.float32)
        assert draws.of_step(0)[0].shape == (1, images)
