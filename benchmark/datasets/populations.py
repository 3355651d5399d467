"""What training images are drawn from: all alike, a grid whose combinations weigh differently, or a table's rows.

Each can also draw some factors anew given the others, which is what pairs and groups of images need.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Generator, Tensor

from benchmark.datasets.base import FactorDataset

KEPT = 64  # ways of splitting a table's factors whose rows in order are kept
KEPT_BYTES = 2**28  # of running sums


class Population(Protocol):
    """A distribution over a data set's images."""

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Indices (count,), independent of one another."""

    def redraw(self, one: Tensor, other: Tensor, varied: Tensor, generator: Generator) -> Tensor:
        """Indices (B,) of images like `one` in all but the varied factors (B, K), which are drawn given the others.

        Args:
            one, other: indices (B,) from `draw`, independent of one another.
        """


def population_of(dataset: FactorDataset) -> Population:
    """What the data set's training images are drawn from."""
    if dataset.population is not None:
        return dataset.population
    if dataset.table is None:
        return Grid(dataset)
    if dataset not in _of_tables:
        _of_tables[dataset] = Rows(dataset)
    return _of_tables[dataset]


class Grid:
    """All combinations alike."""

    def __init__(self, dataset: FactorDataset) -> None:
        self.dataset = dataset

    def draw(self, count: int, generator: Generator) -> Tensor:
        return torch.randint(len(self.dataset), (count,), generator=generator)

    def redraw(self, one: Tensor, other: Tensor, varied: Tensor, generator: Generator) -> Tensor:
        factors = torch.where(varied, self.dataset.factors(other), self.dataset.factors(one))
        return self.dataset.indices(factors)


class Rows:
    """All rows of a table alike; given some factors, those rows that share them."""

    def __init__(self, dataset: FactorDataset) -> None:
        assert dataset.table is not None
        self.table = dataset.table
        self._alike = lru_cache(KEPT)(self._sort)

    def draw(self, count: int, generator: Generator) -> Tensor:
        return torch.randint(len(self.table), (count,), generator=generator)

    def redraw(self, one: Tensor, other: Tensor, varied: Tensor, generator: Generator) -> Tensor:
        share = torch.rand(len(one), generator=generator)
        drawn = one.clone()
        for kind in torch.unique(varied, dim=0):
            own = (varied == kind).all(1)
            order, group, first, count = self._alike(tuple(kind.tolist()))
            alike = group[one[own]]
            drawn[own] = order[first[alike] + (share[own] * count[alike]).long().clamp(max=count[alike] - 1)]
        return drawn

    def _sort(self, varied: tuple[bool, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Rows in the order of the factors that are not varied; each row's group, each group's first place and size."""
        shared = self.table[:, ~torch.tensor(varied)]
        _, group, count = torch.unique(shared, dim=0, return_inverse=True, return_counts=True)
        return group.argsort(stable=True), group, count.cumsum(0) - count, count


_of_tables: WeakKeyDictionary[FactorDataset, Rows] = WeakKeyDictionary()  # so that each is sorted once


class Weighted:
    """Combinations of a grid by weights that are products, each of some of the factors'.

    Factors that weights tie together form a component; components are independent of one another, and within one
    probabilities are exact, from its whole table.

    Args:
        weights: by the numbers of the factors, ascending, a tensor of their sizes, not negative.

    Raises:
        ValueError: nothing has a weight.
    """

    def __init__(self, dataset: FactorDataset, weights: Mapping[tuple[int, ...], Tensor]) -> None:
        self.dataset = dataset
        sizes = dataset.factor_sizes
        self.components = {
            own: _joint([(axes, table) for axes, table in weights.items() if {*axes} <= {*own}], own, sizes)
            for own in _tie([*weights], len(sizes))
        }
        if not all(table.sum() > 0 for table in self.components.values()):
            raise ValueError("no combination of factors is left")
        largest = max(table.nbytes for table in self.components.values())
        self._sums = lru_cache(max(1, KEPT_BYTES // largest))(self._sum)

    def probabilities(self, indices: Tensor) -> Tensor:
        """The probability (B,) of each index's combination, float64."""
        factors = self.dataset.factors(indices.cpu())
        found = torch.ones(len(factors), dtype=torch.float64)
        for own, table in self.components.items():
            found *= table[tuple(factors[:, list(own)].T)] / table.sum()
        return found

    def draw(self, count: int, generator: Generator) -> Tensor:
        factors = torch.zeros(count, len(self.dataset.factor_sizes), dtype=torch.long)
        varied = torch.ones_like(factors, dtype=torch.bool)
        return self.dataset.indices(self._draw(factors, varied, generator))

    def redraw(self, one: Tensor, other: Tensor, varied: Tensor, generator: Generator) -> Tensor:
        return self.dataset.indices(self._draw(self.dataset.factors(one), varied, generator))

    def weights_along(self, factors: Tensor, k: int) -> Tensor:
        """The weights (B, values) that factor k's values have beside the others of the factors (B, K), float64."""
        own = next(own for own in self.components if k in own)
        others = [each for each in own if each != k]
        table = self.components[own].movedim(own.index(k), -1)
        return table[tuple(factors[:, others].T)].expand(len(factors), -1)

    def _draw(self, factors: Tensor, varied: Tensor, generator: Generator) -> Tensor:
        """The factors (B, K), those that are varied (B, K) drawn given the others."""
        factors = factors.clone()
        for own in self.components:
            share = torch.rand(len(factors), generator=generator, dtype=torch.float64)
            numbers = sum(varied[:, k].long() << place for place, k in enumerate(own))  # faster to sort than rows
            for number in torch.unique(torch.as_tensor(numbers)).tolist():
                kind = tuple(bool(number >> place & 1) for place in range(len(own)))
                rows = (numbers == number).nonzero()[:, 0]
                if any(kind):
                    self._draw_component(own, kind, factors, rows, share[rows])
        return factors

    def _draw_component(
        self, own: tuple[int, ...], kind: tuple[bool, ...], factors: Tensor, rows: Tensor, share: Tensor
    ) -> None:
        """Set the component's varied factors in the rows, whose kinds are the same, by shares (rows,) of [0, 1)."""
        moved = [k for k, varies in zip(own, kind, strict=True) if varies]
        kept = [k for k in own if k not in moved]
        sums = self._sums(own, kind)
        given = torch.zeros(len(rows), dtype=torch.long)
        for k in kept:
            given = given * self.dataset.factor_sizes[k] + factors[rows, k]
        found = _first_above(sums, given, share * sums[given, -1])
        for k in reversed(moved):
            size = self.dataset.factor_sizes[k]
            factors[rows, k] = found % size
            found = found // size

    def _sum(self, own: tuple[int, ...], kind: tuple[bool, ...]) -> Tensor:
        """Running sums (values that are kept, values that are drawn) of the component's table."""
        axes = [*range(len(own))]
        kept, moved = [a for a in axes if not kind[a]], [a for a in axes if kind[a]]
        table = self.components[own].permute(*kept, *moved)
        return table.reshape(prod(table.shape[: len(kept)]), -1).cumsum(1)


def _first_above(sums: Tensor, rows: Tensor, levels: Tensor) -> Tensor:
    """In each row (B,) of the running sums the first place whose sum lies above the level (B,)."""
    low = torch.zeros_like(rows)
    high = torch.full_like(rows, sums.shape[1] - 1)
    while (low < high).any():
        middle = (low + high) // 2
        above = sums[rows, middle] > levels
        high = torch.where(above, middle, high)
        low = torch.where(above, low, (middle + 1).clamp(max=high))
    return low


def _tie(weighted: Sequence[tuple[int, ...]], factors: int) -> list[tuple[int, ...]]:
    """The factors in components: those that a weight has in common are together."""
    parts = [{k} for k in range(factors)]
    for axes in weighted:
        met = [part for part in parts if part & {*axes}]
        parts = [part for part in parts if part not in met] + [set[int]().union(*met)]
    return sorted(tuple(sorted(part)) for part in parts)


def _joint(weights: Sequence[tuple[tuple[int, ...], Tensor]], own: tuple[int, ...], sizes: Sequence[int]) -> Tensor:
    """The product of the weights over a component's factors, float64, of their sizes."""
    table = torch.ones([sizes[k] for k in own], dtype=torch.float64)
    for axes, weight in weights:
        table *= weight.double().reshape([sizes[k] if k in axes else 1 for k in own])
    return table
