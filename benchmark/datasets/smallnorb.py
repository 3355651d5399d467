"""SmallNORB: 48,600 photographs of toys, read from the published files.

Reference: LeCun, Huang and Bottou, "Learning Methods for Generic Object Recognition with Invariance to Pose and
Lighting", 2004. Of each pair of photographs the first camera's is taken, from both halves of the publication.
"""

import gzip
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from benchmark.datasets import About, register
from benchmark.datasets.cache import cached_rows
from benchmark.datasets.drawn import DrawnDataset, random_below
from benchmark.datasets.files import digest_of, find, reading, warn_of_other_content
from benchmark.datasets.packed import ByteDataset
from benchmark.datasets.pictures import PIXELS, resize_all

STEMS = ("smallnorb-5x46789x9x18x6x2x96x96-training-", "smallnorb-5x01235x9x18x6x2x96x96-testing-")
# SHA-256 of the published files, as they are compressed.
DIGESTS = {
    f"{STEMS[0]}dat.mat.gz": "5ffd6272a07d32695ee1082a26a41a93a37aab8c28da047f8c34ed348d214873",
    f"{STEMS[0]}cat.mat.gz": "2784e542c1922060691090952b6cd6278879a216c90f81476f0f00256d42cdaa",
    f"{STEMS[0]}info.mat.gz": "de7eb932ebe7a4ee16217fead60660d0eb3d23632c2f4d1c51f88c501c17bf32",
    f"{STEMS[1]}dat.mat.gz": "cf7104eed3e51174d2f65b66d1e5878b9da233b886f161b0d88f4510ba2c7474",
    f"{STEMS[1]}cat.mat.gz": "ecaf6d5bb8c3bc5eab9cf0258f6d2198dd474e016e374836fc097f2e5ff509ff",
    f"{STEMS[1]}info.mat.gz": "16adf314226327ee006d1a44db8cfef52773c06c829951d5653a9f6f310248a2",
}
FACTORS = {"category": 5, "instance": 10, "elevation": 9, "azimuth": 18, "lighting": 6}
CAMERAS, SIDE = 2, 96  # photographs of a pair, and their pixels along a side
BYTES, INTEGERS = 0x1E3D4C55, 0x1E3D4C54  # the first four bytes of a file: what it holds
LEAST_SIZES = 3  # that a header has room for
BLOCK = 512  # pairs that are read at a time
ABOUT = About(
    "photographs of toys in five categories, their pose and lighting told",
    "research use",
    f"{STEMS[0]}{{dat,cat,info}}.mat and {STEMS[1]}{{dat,cat,info}}.mat, or .mat.gz",
    "Y. LeCun's and F. J. Huang's pages at NYU, 263 MB compressed",
)
SHRUNK = (
    "Shrunk from 96 x 96 pixels by Lanczos, clipped to 0 .. 255, where the study kept what overshoots (-0.08 .. 1.01)."
)
HIDDEN = (
    "Which of a category's 10 toys is seen is no factor but drawn for every image, so that codes of images vary more "
    "than these factors tell."
)


def read_header(content: IO[bytes]) -> tuple[int, tuple[int, ...]]:
    """What the file holds, and its sizes, from little-endian whole numbers; three sizes are written at least."""
    kind, axes = np.frombuffer(content.read(8), "<i4").tolist()
    if not 0 < axes <= 4:
        raise ValueError(f"it has {axes} axes")
    sizes = np.frombuffer(content.read(4 * max(axes, LEAST_SIZES)), "<i4").tolist()
    if len(sizes) < axes:
        raise ValueError("its header ends early")
    return kind, tuple(sizes[:axes])


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _expect(content: IO[bytes], kind: int, sizes: tuple[int, ...]) -> None:
    found = read_header(content)
    if found != (kind, sizes):
        raise ValueError(f"it holds {found[0]:#x} {found[1]}, where {kind:#x} {sizes} is needed")


def read_integers(path: Path, sizes: tuple[int, ...]) -> np.ndarray:
    """The whole numbers of a file `cat` or `info`, of the expected sizes.

    Raises:
        UsageError: it is no such file.
    """
    with reading(path, "a file of SmallNORB"), _open(path) as content:
        _expect(content, INTEGERS, sizes)
        numbers = content.read(4 * prod(sizes) + 1)
        if len(numbers) != 4 * prod(sizes):
            raise ValueError("it ends early" if len(numbers) < 4 * prod(sizes) else "it is too long")
        return np.frombuffer(numbers, "<i4").reshape(sizes)


def read_photographs(path: Path, count: int) -> Iterator[np.ndarray]:
    """The first camera's photographs of a file `dat`, shrunk, in blocks uint8 (B, 64, 64, 1).

    Raises:
        UsageError: it is no such file.
    """
    with reading(path, "a file of SmallNORB"), _open(path) as content:
        _expect(content, BYTES, (count, CAMERAS, SIDE, SIDE))
        for start in range(0, count, BLOCK):
            rows = min(BLOCK, count - start)
            pixels = np.frombuffer(content.read(rows * CAMERAS * SIDE**2), np.uint8)
            if len(pixels) != rows * CAMERAS * SIDE**2:
                raise ValueError("it ends early")
            yield resize_all(pixels.reshape(rows, CAMERAS, SIDE, SIDE)[:, 0, :, :, None], "lanczos")
        if content.read(1):  # reading to the end also checks the checksum of what is compressed
            raise ValueError("it is too long")


def read_places(files: dict[str, Path]) -> list[np.ndarray]:
    """For each half, where in the order of the index its photographs belong, which come shuffled.

    Raises:
        UsageError: a file is no such file, or the two halves are not one photograph for each combination.
    """
    count = prod(FACTORS.values()) // len(STEMS)
    places = []
    for stem in STEMS:
        path = files[f"{stem}info"]
        category = read_integers(files[f"{stem}cat"], (count,))
        instance, elevation, azimuth, lighting = read_integers(path, (count, 4)).T
        with reading(path, "a file of SmallNORB"):  # azimuths are even: 0, 2 .. 34
            factors = (category, instance, elevation, azimuth // 2, lighting)
            places.append(np.ravel_multi_index(factors, tuple(FACTORS.values())))
    with reading(files[f"{STEMS[1]}info"], "the other half of the published SmallNORB"):
        if len(np.unique(np.concatenate(places))) != len(STEMS) * count:
            raise ValueError("the two halves do not hold each combination of factors once")
    return places


def read_norb(files: dict[str, Path], progress: bool = False) -> Iterator[np.ndarray]:
    """All images, in the order of the index, in one block uint8 (N, 64, 64, 1).

    Args:
        files: the six files, by their names without what follows the first full stop.

    Raises:
        UsageError: a file is damaged or not the published one.
    """
    for path in files.values():
        if path.name in DIGESTS:
            warn_of_other_content(path, DIGESTS[path.name])
    images = np.empty((prod(FACTORS.values()), PIXELS, PIXELS, 1), np.uint8)
    for stem, places in zip(STEMS, read_places(files), strict=True):
        blocks = read_photographs(files[f"{stem}dat"], len(places))
        steps = -(-len(places) // BLOCK)
        for number, block in enumerate(track(blocks, "Reading SmallNORB (once)", steps, disable=not progress)):
            images[places[number * BLOCK :][: len(block)]] = block
    yield images


def find_norb(name: str, data_dir: Path | None) -> dict[str, Path]:
    """The six files, compressed or not, by their names without endings."""
    wanted = [f"{stem}{part}" for stem in STEMS for part in ("dat", "cat", "info")]
    return {file: find(name, ABOUT, data_dir, f"{file}.mat", f"{file}.mat.gz") for file in wanted}


def _load(name: str, device: str, data_dir: Path | None) -> ByteDataset:
    shape = (prod(FACTORS.values()), PIXELS, PIXELS, 1)

    def open_rows(progress: bool) -> np.ndarray:
        files = find_norb(name, data_dir)
        key = "-".join(["smallnorb-published-v1", *(digest_of(path)[:8] for path in files.values())])
        return cached_rows(key, shape, lambda: read_norb(files, progress))

    return ByteDataset(open_rows, name, "published", FACTORS, (1, PIXELS, PIXELS), device, (SHRUNK,))


class HiddenInstance(DrawnDataset):
    """The grid without the factor `instance`, whose toy is drawn for every image.

    Args:
        whole: all photographs, with it.
    """

    def __init__(self, name: str, whole: ByteDataset) -> None:
        sizes = zip(whole.factor_names, whole.factor_sizes, strict=True)
        factors = {factor: size for factor, size in sizes if factor != "instance"}
        super().__init__(name, whole.source, factors, whole.image_shape, whole.device, (HIDDEN, *whole.remarks))
        self.whole = whole
        self.instances = len(whole) // len(self)

    @property
    def memory(self) -> int:
        return super().memory * self.instances

    def prepare(self, progress: bool = False) -> None:
        self.whole.prepare(progress)

    def compose(self, indices: Tensor, keys: Tensor) -> Tensor:
        views = prod(self.factor_sizes[1:])  # of a toy
        toys = indices // views * self.instances + random_below(keys, self.instances, 0)
        return self.whole.images(toys * views + torch.remainder(indices, views))


@register("smallnorb", 1, ABOUT)
def smallnorb(device: str = "cpu", data_dir: Path | None = None) -> ByteDataset:
    """48,600 grey photographs: 5 categories of 10 toys, 9 elevations, 18 azimuths, 6 lightings, at 64 x 64 pixels."""
    return _load("smallnorb", device, data_dir)


@register("smallnorb_study", 1, ABOUT)
def smallnorb_study(device: str = "cpu", data_dir: Path | None = None) -> HiddenInstance:
    """SmallNORB as the study has it: 4,860 combinations of category and view, one of 10 toys drawn for every image."""
    return HiddenInstance("smallnorb_study", _load("smallnorb_study", device, data_dir))
