"""3D Chairs: views of 1,393 chair models, read from the published pictures; no factors.

Reference: Aubry, Maturana, Efros, Russell and Sivic, "Seeing 3D Chairs", 2014. The whole picture
is taken, in grey, as in the widely used code of Dubois and others.
"""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

from benchmark.datasets import About, register
from benchmark.datasets.cache import cached_rows
from benchmark.datasets.files import find, listing, listing_digest, reading, warn
from benchmark.datasets.packed import ByteDataset
from benchmark.datasets.pictures import PIXELS, Manner, decode_all
from benchmark.errors import UsageError

IMAGES = 86_366  # 1,393 models, 62 views each
MANNER = Manner("L", "lanczos", formats=("PNG",))
ABOUT = About(
    "traversals to look at: chairs seen from around, no factors",
    "not stated",
    "rendered_chairs",
    "Inria's Willow team, rendered_chairs.tar, unpacked: 86,366 pictures",
)
REMARK = (
    "The whole picture, 600 x 600 pixels, is made grey and shrunk by Lanczos; the order is that of the files' names."
)


@lru_cache(4)
def _list(folder: Path, changed: int) -> dict[str, int]:
    """Sizes of the pictures' files by their names; `changed` is the folder's time."""
    with reading(folder, "the folder of 3D Chairs"):
        return listing(folder, (".png",))


def list_chairs(folder: Path) -> dict[str, int]:
    """Sizes of the pictures' files, in bytes, by their sorted names within the folder."""
    return _list(folder, folder.stat().st_mtime_ns)


def read_chairs(folder: Path, progress: bool = False) -> Iterator[np.ndarray]:
    """All images in the order of their names, in blocks uint8 (B, 64, 64, 1).

    Raises:
        UsageError: there are no pictures, or one is damaged.
    """
    sizes = list_chairs(folder)
    if not sizes:
        raise UsageError(f"{folder} holds no pictures; unpack rendered_chairs.tar there.")
    if len(sizes) != IMAGES:
        warn(f"{folder} holds {len(sizes):,} pictures, where {IMAGES:,} are published; they are read all the same.")
    yield from decode_all(
        sizes, lambda name: (folder / name).read_bytes(), MANNER, "Reading 3D Chairs (once)", progress
    )


@register("chairs3d", 1, ABOUT)
def chairs3d(device: str = "cpu", data_dir: Path | None = None) -> ByteDataset:
    """86,366 rendered views of 1,393 chair models, at 64 x 64 pixels in grey, without factors."""
    count = IMAGES
    if data_dir is not None and (data_dir / ABOUT.file).is_dir():
        count = len(list_chairs(data_dir / ABOUT.file)) or IMAGES

    def open_rows(progress: bool) -> np.ndarray:
        folder = find("chairs3d", ABOUT, data_dir)
        key = f"chairs3d-published-v1-{listing_digest(list_chairs(folder))[:16]}"
        return cached_rows(key, (count, PIXELS, PIXELS, 1), lambda: read_chairs(folder, progress))

    table = np.zeros((count, 0), np.uint8)
    return ByteDataset(open_rows, "chairs3d", "published", {}, (1, PIXELS, PIXELS), device, (REMARK,), table=table)
