"""What each run draws from its own seed: the batches that its method asks for, and noise.

All is drawn on the CPU, so that a run is one and the same on every device. On a GPU a thread draws the next steps while
these are trained on.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from math import log

import torch
from torch import Generator, Tensor

from benchmark.datasets.base import FactorDataset
from benchmark.datasets.populations import Population, Weighted, population_of
from methods.base import Batches, Groups, Independent, Labelled, Method, Pairs, Transitions, name_of

LABELLED = 1 << 40  # what the seed of the stream that draws labelled images differs in from that of batches
CHUNK = 64  # steps drawn at once; the numbers that follow from a seed depend on it
Draw = tuple[Tensor, dict[str, dict[str, Tensor]]]  # places (runs, images), noise (runs, ...) by player and name


@dataclass(frozen=True)
class Chunk:
    """Some steps' draws: places (CHUNK, runs, images), noise (CHUNK, runs, ...) by player and name.

    Attributes:
        before, after: each run's random streams around it.
    """

    places: Tensor
    noise: dict[str, dict[str, Tensor]]
    before: list[dict[str, Tensor]]
    after: list[dict[str, Tensor]]


class Draws:
    """Batches and noise of several runs, each from its own generators, some steps at a time.

    Args:
        batches, noises: a generator on the CPU for each run.
        device: where the steps want what is drawn; None: on the CPU.
    """

    def __init__(
        self,
        method: Method,
        batches: Sequence[Generator],
        noises: Sequence[Generator],
        dataset: FactorDataset,
        batch: int,
        dtype: torch.dtype,
        device: torch.device | None = None,
    ) -> None:
        self.method, self.batches, self.noises = method, batches, noises
        self.dataset, self.batch, self.dtype = dataset, batch, dtype
        self.device = device or torch.device("cpu")
        self.chunk: Chunk | None = None
        self.ahead: Future[Chunk] | None = None
        self.thread = None if self.device.type == "cpu" else ThreadPoolExecutor(1)

    def of_step(self, step: int) -> Draw:
        """What the runs draw in that step; steps are asked for in order."""
        if step % CHUNK == 0:
            self._go_on()
        assert self.chunk is not None
        at = step % CHUNK
        return self.chunk.places[at], {
            player: {name: drawn[at] for name, drawn in names.items()} for player, names in self.chunk.noise.items()
        }

    def states(self, step: int) -> list[dict[str, Tensor]]:
        """Each run's random streams, as `restore` takes them to go on after so many steps."""
        if self.chunk is None:
            return self._states()
        return self.chunk.before if step % CHUNK else self.chunk.after

    def restore(self, step: int, states: Sequence[Mapping[str, Tensor]]) -> None:
        """Go on after so many steps."""
        for batches, noises, state in zip(self.batches, self.noises, states, strict=True):
            batches.set_state(state["batches"])
            noises.set_state(state["noises"])
        if step % CHUNK:
            self._go_on()

    def _states(self) -> list[dict[str, Tensor]]:
        pairs = zip(self.batches, self.noises, strict=True)
        return [{"batches": batches.get_state(), "noises": noises.get_state()} for batches, noises in pairs]

    def _go_on(self) -> None:
        """Take the next chunk to the device, and where a thread draws let it begin with the one after."""
        drawn = self.ahead.result() if self.ahead else self._draw()
        self.chunk = Chunk(
            self._take(drawn.places),
            {player: {name: self._take(each) for name, each in names.items()} for player, names in drawn.noise.items()},
            drawn.before,
            drawn.after,
        )
        self.ahead = self.thread.submit(self._draw) if self.thread else None

    def _take(self, drawn: Tensor) -> Tensor:
        """The same on the device: from pinned memory, so that nothing waits for it."""
        if self.device.type != "cuda":
            return drawn.to(self.device)
        return drawn.pin_memory().to(self.device, non_blocking=True)

    def _draw(self) -> Chunk:
        before = self._states()
        kind = self.method.batches()
        drawn = [draw_batches(kind, self.dataset, self.batch, generator) for generator in self.batches]
        places = torch.stack([places for places, _ in drawn], 1)
        shared = {name: torch.stack([told[name] for _, told in drawn], 1) for name in drawn[0][1]}
        shapes = self.method.noise_shapes(self.batch)
        noise = {
            player: {name: self._normal(size) for name, size in shapes.items()} | shared
            for player in self.method.players()
        }
        return Chunk(places, noise, before, self._states())

    def _normal(self, shape: tuple[int, ...]) -> Tensor:
        drawn = [torch.randn((CHUNK, *shape), generator=own) for own in self.noises]
        return torch.stack(drawn, 1).to(self.dtype)


def draw_batches(
    kind: Batches, dataset: FactorDataset, batch: int, generator: Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Places (CHUNK, images) of a chunk of steps, and what else a loss is told of each step's batch."""
    match kind:
        case Labelled():
            return draw_labelled(kind, dataset, batch, generator)
        case Pairs():
            indices, told = draw_pairs(kind, dataset, batch, generator)
        case Transitions():
            indices, told = draw_transitions(kind, dataset, batch, generator)
        case Groups():
            indices, told = draw_groups(kind, dataset, batch, generator)
        case _:
            indices, told = draw_independent(kind, dataset, batch, generator), {}
    return dataset.draw(indices, generator), told


def draw_independent(kind: Independent | Labelled, dataset: FactorDataset, batch: int, generator: Generator) -> Tensor:
    """Indices (CHUNK, number * batch) of images that are independent of one another."""
    images = kind.number * batch
    return population_of(dataset).draw(CHUNK * images, generator).view(CHUNK, images)


def draw_pairs(
    kind: Pairs, dataset: FactorDataset, batch: int, generator: Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Pairs whose factors are equal but for some that are drawn anew (and may fall on the old value), and which.

    Reference: Locatello et al. 2020, "Weakly-supervised disentanglement without compromises", section 5.
    """
    population, count = population_of(dataset), len(dataset.factor_sizes)
    one, other = (population.draw(CHUNK * batch, generator) for _ in range(2))
    order = torch.rand((len(one), count), generator=generator).argsort(1).argsort(1)
    differing = torch.randint(1, count, (len(one), 1), generator=generator)
    if kind.differing:
        differing = torch.full_like(differing, kind.differing)
    changed = order < differing
    second = population.redraw(one, other, changed, generator)
    return _side_by_side(one, second, batch), {"changed": changed.view(CHUNK, batch, count)}


def draw_transitions(
    kind: Transitions, dataset: FactorDataset, batch: int, generator: Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Pairs of which the second is a small step along the factors away from the first, and which factors moved.

    Where combinations weigh differently the factors step one after another, each with chances that are weighed by
    what its values have beside the others', so that images that training does not have are never seen. An image from
    which no one factor can move there is seen twice.

    Reference: see `Transitions`.
    """
    population = population_of(dataset)
    one = population.draw(CHUNK * batch, generator)
    before, moving = dataset.factors(one), _moving(dataset)
    after = before.clone()
    for k in moving:
        after[:, k] = _pick(_chances(population, dataset, after, k, kind.rate), generator)
    still = (after == before).all(1)
    elsewhere = {k: _chances(population, dataset, before[still], k, kind.rate, elsewhere=True) for k in moving}
    can = torch.stack([chances.sum(1) > 0 for chances in elsewhere.values()], 1)
    first = (torch.rand(can.shape, generator=generator, dtype=torch.float64) * can).argmax(1)
    for place, (k, chances) in enumerate(elsewhere.items()):
        moves = (first == place) & can[:, place]
        after[still.nonzero()[moves, 0], k] = _pick(chances[moves], generator)
    told = {"changed": (after != before).view(CHUNK, batch, before.shape[1])}
    return _side_by_side(one, dataset.indices(after), batch), told


def _moving(dataset: FactorDataset) -> list[int]:
    """The numbers of the factors that move in time."""
    return [k for k, name in enumerate(dataset.factor_names) if name not in dataset.categorical]


def _chances(
    population: Population, dataset: FactorDataset, factors: Tensor, k: int, rate: float, elsewhere: bool = False
) -> Tensor:
    """Of factor k's next values, by Laplace steps: (N, values), float64; `elsewhere`: of other values than before."""
    size = dataset.factor_sizes[k]
    apart = (torch.arange(size) - torch.arange(size)[:, None]).abs()
    weights = torch.exp(-apart.double() * rate / log(size)).masked_fill(elsewhere & (apart == 0), 0)
    chances = weights[factors[:, k]]
    return chances * population.weights_along(factors, k) if isinstance(population, Weighted) else chances


def _pick(chances: Tensor, generator: Generator) -> Tensor:
    """One of the values (N,) by its chances (N, values), of which none need be normalised."""
    share = torch.rand(len(chances), 1, generator=generator, dtype=torch.float64)
    sums = chances.cumsum(1)
    return (sums <= share * sums[:, -1:]).sum(1)


def _side_by_side(one: Tensor, second: Tensor, batch: int) -> Tensor:
    """Each step's first images, then the second: (CHUNK, 2 * batch)."""
    return torch.cat([one.view(CHUNK, batch), second.view(CHUNK, batch)], 1)


def draw_labelled(
    kind: Labelled, dataset: FactorDataset, batch: int, generator: Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Places of independent images, then of labelled ones, and the factors' values of these.

    Which images are labelled follows from the generator's seed, however far it has come: they are the images that the
    stream begins with, as a generator looks at 32 bits of its seed, so that the first batches hold them unlabelled too.
    """
    places = dataset.draw(draw_independent(kind, dataset, batch, generator), generator)
    own = Generator().manual_seed(generator.initial_seed() ^ LABELLED) if kind.images else generator
    indices = population_of(dataset).draw(kind.images or CHUNK * batch, own)
    labelled = dataset.draw(indices, own)
    if kind.images:
        chosen = torch.randint(kind.images, (CHUNK * batch,), generator=generator)
        indices, labelled = indices[chosen], labelled[chosen]
    told = dataset.factors(indices).view(CHUNK, batch, len(dataset.factor_sizes))
    return torch.cat([places, labelled.view(CHUNK, batch)], 1), {"labels": told}


def draw_groups(
    kind: Groups, dataset: FactorDataset, batch: int, generator: Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Batches in which one factor, drawn evenly, varies and the others are those of the first image."""
    population, count = population_of(dataset), len(dataset.factor_sizes)
    drawn = population.draw(CHUNK * batch, generator).view(CHUNK, batch)
    varied = torch.randint(count, (CHUNK,), generator=generator)
    varies = (torch.arange(count) == varied[:, None, None]).expand(CHUNK, batch, count)
    first = drawn[:, :1].expand(CHUNK, batch)
    images = population.redraw(first.flatten(), drawn.flatten(), varies.flatten(0, 1), generator)
    return images.view(CHUNK, batch), {"factor": varied}


def objection(kind: Batches, dataset: FactorDataset) -> str:
    """Why such batches cannot be had of the data set; empty where they can."""
    if isinstance(kind, Transitions) and dataset.table is not None:
        return f"it trains on {name_of(kind)}, which take a grid of factors, and {dataset.name} has a table of them."
    if isinstance(kind, Transitions) and not _moving(dataset):
        return f"it trains on {name_of(kind)}, and no factor of {dataset.name} has values in an order."
    if dataset.table is None or isinstance(kind, Independent | Labelled | Transitions):
        return ""
    shared = 1 if isinstance(kind, Pairs) else dataset.table.shape[1] - 1
    names = combinations(range(dataset.table.shape[1]), shared)
    if any(len(torch.unique(dataset.table[:, list(columns)], dim=0)) < len(dataset.table) for columns in names):
        return ""
    told = "a factor" if isinstance(kind, Pairs) else "all factors but one"
    return f"it trains on {name_of(kind)}, and no two images of {dataset.name} share {told}."
