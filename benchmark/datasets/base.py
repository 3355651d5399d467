"""What a data set is: a function from an index to an image, on a grid of factors or with a table of them."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from benchmark.datasets.populations import Population

UNLABELLED = "It has no factors: only measures that take no labels are given."
Indices = Tensor | np.ndarray | Sequence[int]


class FactorDataset(ABC):
    """Every combination of K ground-truth factors, one image each; or images that a table tells the factors of.

    On a grid the index is mixed radix over `factor_sizes`, last factor fastest. A factor of one
    value (such as dSprites' colour) is left out. Images that are no grid come with a table (N, K) of
    their factors' values, which may have no columns where nothing is known of them.

    Attributes:
        name: the name that `benchmark.datasets.load` knows.
        source: where the images come from, for example "rendered" or "published".
        factor_names: K names.
        factor_sizes: K numbers of values.
        image_shape: (channels, height, width).
        device: where images are gathered and returned.
        remarks: sentences to read scores by, such as what no code can tell from an image.
        categorical: names whose factors, where a data set has them, have values without an order: what moves in time
            leaves them as they are.
        drawn: whether an image has a part that is no factor and drawn (see `DrawnDataset`).
        population: what training images are drawn from; None: all images alike.
        world: that population's name; empty where it is all images alike.
    """

    categorical: Collection[str] = frozenset({"shape", "object_shape", "object_type", "category", "instance"})
    drawn = False

    def __init__(
        self,
        name: str,
        source: str,
        factors: dict[str, int],
        image_shape: tuple[int, int, int],
        device: torch.device | str = "cpu",
        remarks: tuple[str, ...] = (),
        table: np.ndarray | None = None,
    ) -> None:
        self.name = name
        self.source = source
        self.factor_names = tuple(factors)
        self.factor_sizes = tuple(factors.values())
        self.image_shape = image_shape
        self.device = torch.device(device)
        self.remarks = remarks if factors else (*remarks, UNLABELLED)
        self.population: Population | None = None
        self.world = ""
        self.table = None if table is None else torch.from_numpy(np.asarray(table, np.int64).reshape(len(table), -1))
        strides = [prod(self.factor_sizes[k + 1 :]) if table is None else 0 for k in range(len(factors))]
        self._grid = torch.tensor([self.factor_sizes, strides])
        self._grid_on_device = self._grid.to(self.device)

    def __len__(self) -> int:
        return prod(self.factor_sizes) if self.table is None else len(self.table)

    @property
    def memory(self) -> int:
        """Bytes that the data take on the device: one a pixel and channel, unless a data set says otherwise."""
        return len(self) * prod(self.image_shape)

    def prepare(self, progress: bool = False) -> None:  # noqa: B027 -- most data sets need none
        """Make the images ready, which may take a while the first time (`progress`: show it)."""

    @abstractmethod
    def images(self, indices: Indices, generator: torch.Generator | None = None) -> Tensor:
        """Images at the indices (B,): float tensor (B, C, H, W) in [0, 1]; IndexError outside.

        Args:
            generator: of what is drawn, where something is; without it that follows from the index alone.
                A data set that draws nothing need not take it.
        """

    def draw(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """Places (B,) of images whose drawn part is drawn by the generator: where nothing is, the indices."""
        return indices

    def at(self, places: Tensor) -> Tensor:
        """Images at places that `draw` gave."""
        return self.images(places)

    def factors(self, indices: Indices) -> Tensor:
        """Factor values at the indices (B,): integers (B, K), each in 0 .. size - 1, where a tensor is."""
        if self.table is not None:
            checked = self._checked(indices, self._grid_for(indices).device)
            return self.table[checked.cpu()].to(checked.device)
        sizes, strides = self._grid_for(indices)
        return self._checked(indices, sizes.device)[:, None] // strides % sizes

    def indices(self, factors: Tensor | np.ndarray | Sequence[Sequence[int]]) -> Tensor:
        """Indices (B,) of the factor values (B, K), where a tensor is; by a table, of the first image that has them.

        Raises:
            ValueError: a value is off the grid, or no image of the table has them.
        """
        sizes, strides = self._grid_for(factors)
        values = _as_integers(factors, sizes.device)
        if values.ndim != 2 or values.shape[1] != len(self.factor_sizes):
            raise ValueError(
                f"factors have shape {tuple(values.shape)}; {self.name} takes (batch, {len(self.factor_sizes)})."
            )
        if ((values < 0) | (values >= sizes)).any():
            raise ValueError(f"factor values lie outside the sizes {self.factor_sizes} of {self.name}.")
        if self.table is not None:
            return self._find(values.cpu()).to(values.device)
        return (values * strides).sum(1)

    def _find(self, values: Tensor) -> Tensor:
        """The first rows (B,) of the table that hold the values (B, K)."""
        assert self.table is not None
        first = {tuple(row): at for at, row in reversed([*enumerate(self.table.tolist())])}
        rows = [first.get(tuple(row)) for row in values.tolist()]
        if None in rows:
            raise ValueError(f"no image of {self.name} has the factors {values[rows.index(None)].tolist()}.")
        return torch.tensor(rows)

    def _grid_for(self, values: Any) -> Tensor:
        """The factors' sizes and strides, where a tensor is; on the data set's device for what is none."""
        on_cpu = isinstance(values, Tensor) and values.device.type == "cpu"
        return self._grid if on_cpu else self._grid_on_device

    def _on_device(self, indices: Indices) -> Tensor:
        """Indices as a checked integer tensor (B,) on the data set's device."""
        return self._checked(indices, self.device)

    def _checked(self, indices: Indices, device: torch.device) -> Tensor:
        """Indices as a checked integer tensor (B,); the check costs no synchronisation on a GPU."""
        tensor = _as_integers(indices, device)
        if tensor.ndim != 1:
            raise ValueError(f"indices have shape {tuple(tensor.shape)}; {self.name} takes (batch,).")
        if tensor.device.type == "cpu" and len(tensor) and not 0 <= tensor.min() <= tensor.max() < len(self):
            raise IndexError(f"indices lie outside 0 .. {len(self) - 1}, the images of {self.name}.")
        return tensor


def _as_integers(values: Any, device: torch.device) -> Tensor:
    tensor = torch.as_tensor(values, device=device)
    if tensor.is_floating_point() and tensor.numel():
        raise ValueError(f"indices and factors are integers, not {tensor.dtype}.")
    return tensor.long()
