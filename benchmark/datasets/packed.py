"""Binary images at one bit a pixel: the file they are kept in, and the data set that unpacks them."""

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from platformdirs import user_cache_path
from torch import Tensor

from benchmark.datasets.base import FactorDataset, Indices
from benchmark.errors import UsageError

DIGEST_BYTES = hashlib.sha256().digest_size


class PackedDataset(FactorDataset):
    """Binary images held packed, memory-mapped on the CPU or resident on a GPU.

    Args:
        open_bits: gives the packed images, uint8 (N, pixels / 8), first pixel in the highest
            bit, when they are first needed; its argument says whether to show progress.
    """

    def __init__(
        self,
        name: str,
        source: str,
        factors: dict[str, int],
        image_shape: tuple[int, int, int],
        open_bits: Callable[[bool], np.ndarray],
        device: torch.device | str = "cpu",
        remarks: tuple[str, ...] = (),
    ) -> None:
        super().__init__(name, source, factors, image_shape, device, remarks)
        self._open_bits = open_bits
        self._bits: Tensor | None = None
        # Row b holds the eight pixels that the byte b stands for.
        bytes_ = np.arange(256, dtype=np.uint8)[:, None]
        self._pixels_of_byte = torch.from_numpy(np.unpackbits(bytes_, axis=1)).float().to(self.device)

    def prepare(self, progress: bool = False) -> None:
        """Open (and the first time make) the packed images; UsageError where that fails."""
        if self._bits is None:
            self._bits = torch.from_numpy(self._open_bits(progress)).to(self.device)

    def images(self, indices: Indices) -> Tensor:
        """Images at the indices (B,): float tensor (B, C, H, W) of zeros and ones."""
        self.prepare()
        assert self._bits is not None
        rows = self._bits[self._on_device(indices)]
        pixels = torch.nn.functional.embedding(rows.int(), self._pixels_of_byte)
        return pixels.view(-1, *self.image_shape)


def cache_folder() -> Path:
    """The folder of rendered data: $DISENTANGLEMENT_CACHE, else the user's cache folder."""
    chosen = os.environ.get("DISENTANGLEMENT_CACHE")
    return Path(chosen) if chosen else user_cache_path("disentanglement-benchmark")


def cached_bits(key: str, shape: tuple[int, int], make: Callable[[], Iterable[np.ndarray]]) -> np.ndarray:
    """The uint8 array of that key from the cache; made, in blocks of rows, where absent or damaged.

    The file is the array's bytes and their SHA-256. It is written beside its place and
    renamed, so that a reader sees a whole file or none; one process makes it while others wait.

    Raises:
        UsageError: the cache folder cannot be written.
    """
    path = cache_folder() / f"{key}.bits"
    bits = _open_verified(path, shape)
    if bits is not None:
        return bits
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if _open_verified(path, shape) is None:
                _write(path, make())
    except OSError as error:
        raise UsageError(
            f"cannot keep rendered data in {path.parent} ({error.strerror or error}); "
            "name a writable folder with 400 MB to spare in DISENTANGLEMENT_CACHE."
        ) from error
    bits = _open_verified(path, shape)
    if bits is None:
        raise UsageError(f"{path} is damaged as soon as it is written; check that disk.")
    return bits


def _open_verified(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """The array in the file, mapped into memory; None where the file is absent or damaged."""
    size = shape[0] * shape[1]
    try:
        if path.stat().st_size != size + DIGEST_BYTES:
            return None
        # Mode "c" (copy on write) shares the pages between processes; torch takes only writable arrays.
        content = np.memmap(path, np.uint8, mode="c")
    except OSError:
        return None
    if hashlib.sha256(content[:size].data).digest() != content[size:].tobytes():
        return None
    return content[:size].reshape(shape)


def _write(path: Path, blocks: Iterable[np.ndarray]) -> None:
    unfinished = path.with_suffix(".tmp")
    digest = hashlib.sha256()
    try:
        with unfinished.open("wb") as file:
            for block in blocks:
                file.write(block.data)
                digest.update(block.data)
            file.write(digest.digest())
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
