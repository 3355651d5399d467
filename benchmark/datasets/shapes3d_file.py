"""The published file of Shapes3D, `3dshapes.h5`.

Reference: Burgess and Kim, "3D Shapes Dataset", 2018. Its pixels are stored in compressed chunks of 15,000 images by
a few pixels each, so that it is read in blocks of as many images and never at random.
"""

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from benchmark.datasets.files import reading, warn_of_other_content
from benchmark.datasets.pictures import PIXELS
from benchmark.errors import UsageError

SHA256 = "0a0f6ed98baff276a50f3a081a7434d788da63cb135a98189b2a5b5769be1785"
# Each factor's values, as the file's labels have them: hues, scale, number of the shape, degrees.
VALUES = {
    "floor_hue": np.arange(10) / 10,
    "wall_hue": np.arange(10) / 10,
    "object_hue": np.arange(10) / 10,
    "scale": np.linspace(0.75, 1.25, 8),
    "shape": np.arange(4),
    "orientation": np.linspace(-30, 30, 15),
}
BLOCK = 15_000  # images of a chunk
TOLERANCE = 1e-3


def read_shapes3d(path: Path, progress: bool = False) -> Iterator[np.ndarray]:
    """All images in the order of the file, the last factor fastest, in blocks uint8 (15,000, 64, 64, 3).

    Raises:
        UsageError: h5py is missing, or the file is damaged or not the published one.
    """
    try:
        import h5py
    except ImportError as error:
        raise UsageError(f'{path} is an HDF5 file, which h5py reads; pip install ".[data]".') from error
    warn_of_other_content(path, SHA256)
    with reading(path, "the published Shapes3D"), h5py.File(path, "r") as file:
        count = prod(map(len, VALUES.values()))
        _check_labels(_member(file, "labels", (count, len(VALUES)), "f")[:])
        images = _member(file, "images", (count, PIXELS, PIXELS, 3), "u")
        for start in track(range(0, count, BLOCK), "Reading Shapes3D (once)", disable=not progress):
            yield images[start : start + BLOCK]


def _member(file: Any, name: str, shape: tuple[int, ...], kind: str) -> Any:
    """The array of that name, which lies in the file itself."""
    member = file[name]
    if member.file != file or member.external or member.is_virtual:
        raise ValueError(f"{name} lies in another file")
    if member.shape != shape or member.dtype.kind != kind or (kind == "u" and member.dtype.itemsize > 1):
        raise ValueError(f"{name} is {member.dtype} {member.shape}, where {shape} is needed")
    return member


def _check_labels(labels: np.ndarray) -> None:
    """Whether the labels (N, 6) count through the factors' values, the last one fastest."""
    grids = np.meshgrid(*VALUES.values(), indexing="ij")
    for name, found, expected in zip(VALUES, labels.T, grids, strict=True):
        apart = np.abs(found - expected.ravel())
        if not (apart <= TOLERANCE).all():  # also where something is nan
            row = int(np.argmax(~(apart <= TOLERANCE)))
            raise ValueError(f"image {row} has the {name} {found[row]:g}, where {expected.ravel()[row]:g} is needed")
