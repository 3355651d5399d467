"""What each run draws from its own seed: the batches that its method asks for, and noise."""

from collections.abc import Mapping, Sequence
from math import prod

import torch
from torch import Generator, Tensor

from benchmark.datasets.base import FactorDataset
from methods.base import Batches, Groups, Independent, Method, Pairs

CHUNK = 64  # steps drawn at once; the numbers that follow from a seed depend on it
Draw = tuple[Tensor, dict[str, dict[str, Tensor]]]  # indices (runs, images), noise (runs, ...) by player and name


class Draws:
    """Batches and noise of several runs, each from its own generators, some steps at a time."""

    def __init__(
        self,
        method: Method,
        batches: Sequence[Generator],
        noises: Sequence[Generator],
        dataset: FactorDataset,
        batch: int,
        dtype: torch.dtype,
    ) -> None:
        self.method, self.batches, self.noises = method, batches, noises
        self.dataset, self.batch, self.dtype = dataset, batch, dtype
        self.indices = torch.empty(0)
        self.noise: dict[str, dict[str, Tensor]] = {}
        self.before: list[dict[str, Tensor]] = []  # the streams, before the present chunk was drawn

    def of_step(self, step: int) -> Draw:
        """What the runs draw in that step; steps are asked for in order."""
        if step % CHUNK == 0:
            self._draw()
        at = step % CHUNK
        return self.indices[at], {
            player: {name: drawn[at] for name, drawn in names.items()} for player, names in self.noise.items()
        }

    def states(self, step: int) -> list[dict[str, Tensor]]:
        """Each run's random streams, as `restore` takes them to go on after so many steps."""
        return self.before if step % CHUNK else self._states()

    def restore(self, step: int, states: Sequence[Mapping[str, Tensor]]) -> None:
        """Go on after so many steps."""
        for batches, noises, state in zip(self.batches, self.noises, states, strict=True):
            batches.set_state(state["batches"])
            noises.set_state(state["noises"])
        if step % CHUNK:
            self._draw()

    def _states(self) -> list[dict[str, Tensor]]:
        pairs = zip(self.batches, self.noises, strict=True)
        return [{"batches": batches.get_state(), "noises": noises.get_state()} for batches, noises in pairs]

    def _draw(self) -> None:
        self.before = self._states()
        kind = self.method.batches()
        drawn = [draw_batches(kind, self.dataset, self.batch, generator) for generator in self.batches]
        self.indices = torch.stack([indices for indices, _ in drawn], 1)
        shared = {name: torch.stack([told[name] for _, told in drawn], 1) for name in drawn[0][1]}
        shapes = self.method.noise_shapes(self.batch)
        self.noise = {
            player: {name: self._normal(size) for name, size in shapes.items()} | shared
            for player in self.method.players()
        }

    def _normal(self, shape: tuple[int, ...]) -> Tensor:
        drawn = [torch.randn((CHUNK, *shape), generator=own, device=own.device) for own in self.noises]
        return torch.stack(drawn, 1).to(self.dtype)


def draw_batches(
    kind: Batches, dataset: FactorDataset, batch: int, generator: Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Indices (CHUNK, images) of a chunk of steps, and what else a loss is told of each step's batch."""
    if isinstance(kind, Independent):
        shape = (CHUNK, kind.number * batch)
        return torch.randint(len(dataset), shape, generator=generator, device=generator.device), {}
    draw = draw_pairs if isinstance(kind, Pairs) else draw_groups
    return draw(kind, dataset, batch, generator)  # type: ignore[arg-type]


def draw_pairs(
    kind: Pairs, dataset: FactorDataset, batch: int, generator: Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Pairs whose factors are equal but for some that are drawn anew (and may fall on the old value).

    Reference: Locatello et al. 2020, "Weakly-supervised disentanglement without compromises", section 5.
    """
    count, device = len(dataset.factor_sizes), generator.device
    one, other = (_draw_factors(dataset, (CHUNK * batch,), generator) for _ in range(2))
    order = torch.rand(one.shape, generator=generator, device=device).argsort(1).argsort(1)
    differing = torch.randint(1, count, (len(one), 1), generator=generator, device=device)
    if kind.differing:
        differing = torch.full_like(differing, kind.differing)
    pair = [
        dataset.indices(factors).view(CHUNK, batch) for factors in (one, torch.where(order < differing, other, one))
    ]
    return torch.cat(pair, 1), {}


def draw_groups(
    kind: Groups, dataset: FactorDataset, batch: int, generator: Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    """Batches in which one factor, drawn evenly, varies and the others are those of the first image."""
    count, device = len(dataset.factor_sizes), generator.device
    factors = _draw_factors(dataset, (CHUNK, batch), generator)
    varied = torch.randint(count, (CHUNK,), generator=generator, device=device)
    varies = torch.arange(count, device=device) == varied[:, None, None]
    factors = torch.where(varies, factors, factors[:, :1])
    return dataset.indices(factors.flatten(0, 1)).view(CHUNK, batch), {"factor": varied}


def _draw_factors(dataset: FactorDataset, shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Random factor values (*shape, K), of every combination alike."""
    drawn = torch.randint(len(dataset), (prod(shape),), generator=generator, device=generator.device)
    return dataset.factors(drawn).view(*shape, -1)
