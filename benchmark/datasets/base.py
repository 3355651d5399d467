"""What a data set is: a function from an index to an image, on a grid of ground-truth factors."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

Indices = Tensor | np.ndarray | Sequence[int]


class FactorDataset(ABC):
    """Every combination of K ground-truth factors, one image each.

    The index is mixed radix over `factor_sizes`, last factor fastest. A factor of one
    value (such as dSprites' colour) is left out.

    Attributes:
        name: the name that `benchmark.datasets.load` knows.
        source: where the images come from, for example "rendered" or "published".
        factor_names: K names.
        factor_sizes: K numbers of values.
        image_shape: (channels, height, width).
        device: where images are gathered and returned.
        remarks: sentences to read scores by, such as what no code can tell from an image.
    """

    def __init__(
        self,
        name: str,
        source: str,
        factors: dict[str, int],
        image_shape: tuple[int, int, int],
        device: torch.device | str = "cpu",
        remarks: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.source = source
        self.factor_names = tuple(factors)
        self.factor_sizes = tuple(factors.values())
        self.image_shape = image_shape
        self.device = torch.device(device)
        self.remarks = remarks
        self._grid = torch.tensor([self.factor_sizes, [prod(self.factor_sizes[k + 1 :]) for k in range(len(factors))]])
        self._grid_on_device = self._grid.to(self.device)

    def __len__(self) -> int:
        return prod(self.factor_sizes)

    def prepare(self, progress: bool = False) -> None:  # noqa: B027 -- most data sets need none
        """Make the images ready, which may take a while the first time (`progress`: show it)."""

    @abstractmethod
    def images(self, indices: Indices) -> Tensor:
        """Images at the indices (B,): float tensor (B, C, H, W) in [0, 1]; IndexError outside."""

    def factors(self, indices: Indices) -> Tensor:
        """Factor values at the indices (B,): integers (B, K), each in 0 .. size - 1, where a tensor is."""
        sizes, strides = self._grid_for(indices)
        return self._checked(indices, sizes.device)[:, None] // strides % sizes

    def indices(self, factors: Tensor | np.ndarray | Sequence[Sequence[int]]) -> Tensor:
        """Indices (B,) of the factor values (B, K), where a tensor is.

        Raises:
            ValueError: a value is off the grid.
        """
        sizes, strides = self._grid_for(factors)
        values = _as_integers(factors, sizes.device)
        if values.ndim != 2 or values.shape[1] != len(self.factor_sizes):
            raise ValueError(
                f"factors have shape {tuple(values.shape)}; {self.name} takes (batch, {len(self.factor_sizes)})."
            )
        if ((values < 0) | (values >= sizes)).any():
            raise ValueError(f"factor values lie outside the sizes {self.factor_sizes} of {self.name}.")
        return (values * strides).sum(1)

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
