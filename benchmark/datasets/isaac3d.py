"""Isaac3D and Falcor3D: rendered scenes with nine and seven factors, read from the published folders of pictures.

Reference: Nie et al., "Semi-Supervised StyleGAN for Disentanglement Learning", 2020. Isaac3D's own description names
its factors in an order that contradicts its sizes; here they have the order of its labels, which is looked at when the
pictures are read.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from benchmark.datasets import About, register
from benchmark.datasets.cache import cached_rows
from benchmark.datasets.files import digest_of, find, listing, listing_digest, open_array, reading, remembered
from benchmark.datasets.packed import ByteDataset
from benchmark.datasets.pictures import PIXELS, Manner, decode_all
from benchmark.errors import UsageError

ISAAC = {
    "object_shape": 3,
    "robot_x-move": 8,
    "robot_y-move": 5,
    "camera_height": 4,
    "object_scale": 4,
    "lighting_intensity": 4,
    "lighting_y-dir": 6,
    "object_color": 4,
    "wall_color": 4,
}
FALCOR = {
    "lighting_intensity": 5,
    "lighting_x-dir": 6,
    "lighting_y-dir": 6,
    "lighting_z-dir": 6,
    "camera_x-pos": 6,
    "camera_y-pos": 6,
    "camera_z-pos": 6,
}
MANNER = Manner("RGB", "bicubic", formats=("PNG",))
DECIMALS = 3  # of a label's value that tell it from others
REMARK = "Shrunk from 128 x 128 pixels, or as many as the pictures have, by a bicubic filter that does not alias."
HOME = "NVlabs/High-res-disentanglement-datasets"
ABOUT_ISAAC = About(
    "many factors, in a rendered kitchen", "CC BY 4.0", "Isaac3D_down128", f"{HOME}, 13 GB; or Isaac3D of 190 GB"
)
ABOUT_FALCOR = About(
    "light and camera, in a rendered living room",
    "CC BY 4.0",
    "Falcor3D_down128",
    f"{HOME}, 3.7 GB; or Falcor3D of 98 GB",
)


@dataclass(frozen=True)
class Folder:
    """A published folder.

    Attributes:
        path: holds `images`, numbered from 000000.png on, and the labels.
        labels: name of their file, an array (images, factors).
        factors: names and sizes.
    """

    path: Path
    labels: str
    factors: dict[str, int]

    @property
    def images(self) -> int:
        return prod(self.factors.values())

    def digest(self) -> str:
        """Of the labels, and of the pictures' names and sizes.

        Raises:
            UsageError: some are missing.
        """
        pictures = self.path / "images"
        for needed in (pictures, self.path / self.labels):
            if not needed.exists():
                raise UsageError(f"{self.path} holds no {needed.name}, which its publisher has there.")
        with reading(pictures, "a folder of pictures"):
            sizes = remembered(pictures, "names and sizes", lambda: listing_digest(listing(pictures, (".png",))))
        return f"{digest_of(self.path / self.labels)[:16]}-{sizes[:16]}"


def check_order(folder: Folder) -> None:
    """Whether the pictures' labels count through the factors, the last one fastest.

    Raises:
        UsageError: they do not, or are no labels of these factors.
    """
    path = folder.path / folder.labels
    with reading(path, "the labels of these pictures"):
        labels = open_array(path)
        if labels.shape != (folder.images, len(folder.factors)) or labels.dtype.kind not in "fiu":
            raise ValueError(f"{labels.dtype} {labels.shape}, where {(folder.images, len(folder.factors))} is needed")
        strides = [prod([*folder.factors.values()][k + 1 :]) for k in range(len(folder.factors))]
        for (name, size), stride, values in zip(folder.factors.items(), strides, labels.T, strict=True):
            levels, ranks = np.unique(values.round(DECIMALS), return_inverse=True)
            if len(levels) != size:
                raise ValueError(f"{name} has {len(levels)} values, where {size} are needed")
            if not np.array_equal(ranks, np.arange(folder.images) // stride % size):
                raise ValueError(f"{name} is in another order than the pictures' numbers")


def read_folder(folder: Folder, progress: bool = False) -> Iterator[np.ndarray]:
    """All images in the order of the index, in blocks uint8 (B, 64, 64, 3).

    Raises:
        UsageError: pictures are missing or damaged, or in another order.
    """
    check_order(folder)
    pictures = folder.path / "images"
    names = [f"{number:06d}.png" for number in range(folder.images)]
    found = listing(pictures, (".png",))
    missing = [name for name in names if name not in found]
    if missing or len(found) != len(names):
        told = f"; {missing[0]} is missing" if missing else ""
        raise UsageError(f"{pictures} holds {len(found):,} pictures, where {len(names):,} are published{told}.")

    title, sizes = f"Reading {folder.path.name} (once)", {name: found[name] for name in names}
    yield from decode_all(sizes, lambda name: (pictures / name).read_bytes(), MANNER, title, progress)


def _load(
    name: str, about: About, labels: str, factors: dict[str, int], device: str, data_dir: Path | None
) -> ByteDataset:
    def open_rows(progress: bool) -> np.ndarray:
        path = find(name, about, data_dir, about.file, about.file.removesuffix("_down128"))
        folder = Folder(path, labels, factors)
        key = f"{name}-published-v1-{folder.digest()}"
        return cached_rows(key, (folder.images, PIXELS, PIXELS, 3), lambda: read_folder(folder, progress))

    return ByteDataset(open_rows, name, "published", factors, (3, PIXELS, PIXELS), device, (REMARK,))


@register("isaac3d", 1, ABOUT_ISAAC)
def isaac3d(device: str = "cpu", data_dir: Path | None = None) -> ByteDataset:
    """737,280 rendered images of a robot arm in a kitchen: 9 factors, at 64 x 64 pixels in colour."""
    return _load("isaac3d", ABOUT_ISAAC, "labels.npy", ISAAC, device, data_dir)


@register("falcor3d", 1, ABOUT_FALCOR)
def falcor3d(device: str = "cpu", data_dir: Path | None = None) -> ByteDataset:
    """233,280 rendered images of a living room: 4 factors of its light, 3 of the camera, at 64 x 64 in colour."""
    return _load("falcor3d", ABOUT_FALCOR, "train-rec.labels", FALCOR, device, data_dir)
