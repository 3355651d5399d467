"""Images held as bits or bytes: mapped into memory on a CPU, resident on a GPU, floats only where they are gathered."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.datasets.base import FactorDataset, Indices
from benchmark.errors import UsageError

OpenRows = Callable[[bool], np.ndarray]  # whether to show progress -> rows


class RowDataset(FactorDataset):
    """What an array of rows holds, opened when it is first needed; a data set says what images are made of them.

    Args:
        open_rows: gives the rows; its argument says whether to show progress.
        given: what `FactorDataset` takes.
    """

    def __init__(self, open_rows: OpenRows, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._open_rows = open_rows
        self._opened: Tensor | None = None

    def prepare(self, progress: bool = False) -> None:
        """Open (and the first time make or read) the rows; UsageError where that fails."""
        if self._opened is None:
            self._opened = resident(self, self._open_rows(progress))

    @property
    def rows(self) -> Tensor:
        """The rows, on the data set's device."""
        self.prepare()
        assert self._opened is not None
        return self._opened


class PackedDataset(RowDataset):
    """Binary images at one bit a pixel: rows uint8 (N, pixels / 8), first pixel in the highest bit."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        # Row b holds the eight pixels that the byte b stands for.
        bytes_ = np.arange(256, dtype=np.uint8)[:, None]
        self._pixels_of_byte = torch.from_numpy(np.unpackbits(bytes_, axis=1)).float().to(self.device)

    @property
    def memory(self) -> int:
        return super().memory // 8

    def images(self, indices: Indices, generator: torch.Generator | None = None) -> Tensor:
        """Images at the indices (B,): float tensor (B, C, H, W) of zeros and ones."""
        rows = self.rows[self._on_device(indices)]
        pixels = torch.nn.functional.embedding(rows.int(), self._pixels_of_byte)
        return pixels.view(-1, *self.image_shape)


class ByteDataset(RowDataset):
    """Grey or coloured images at a byte a pixel and channel: rows uint8 (N, H, W, C)."""

    def images(self, indices: Indices, generator: torch.Generator | None = None) -> Tensor:
        """Images at the indices (B,): float tensor (B, C, H, W), whole grey levels divided by 255."""
        rows = self.rows[self._on_device(indices)].permute(0, 3, 1, 2)
        return rows.to(torch.float32, memory_format=torch.contiguous_format).div_(255)


def resident(dataset: FactorDataset, rows: np.ndarray) -> Tensor:
    """The rows on the data set's device.

    Raises:
        UsageError: they do not fit into its memory.
    """
    if dataset.device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(dataset.device)
        if rows.nbytes > free:
            raise UsageError(
                f"{dataset.name} takes {rows.nbytes / 1e9:.1f} GB on {dataset.device}, which has {free / 1e9:.1f} GB "
                "to spare; use --device cpu, where images are read from the disk as they are needed."
            )
    return torch.from_numpy(rows).to(dataset.device)
