"""CelebA: 202,599 faces, read from the published pictures; their 40 attributes are the factors where they are told.

Reference: Liu, Luo, Wang and Tang, "Deep Learning Face Attributes in the Wild", 2015. Papers crop the pictures, of
178 x 218 pixels, in different ways: `celeba` stretches the whole picture, as most do; `celeba_crop` takes the
128 x 128 pixels about the face.
"""

import zipfile
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

from benchmark.datasets import About, register
from benchmark.datasets.cache import cached_rows
from benchmark.datasets.files import (
    digest_of,
    find,
    listing,
    listing_digest,
    reading,
    remembered,
    warn_of_other_content,
)
from benchmark.datasets.packed import ByteDataset
from benchmark.datasets.pictures import PIXELS, Manner, decode_all
from benchmark.errors import UsageError

IMAGES, ATTRIBUTES = 202_599, 40
FOLDER, ARCHIVE, LABELS = "img_align_celeba", "img_align_celeba.zip", "list_attr_celeba.txt"
ARCHIVE_SHA256 = "46fb89443c578308acf364d7d379fe1b9efb793042c0af734b6112e4fd3a8c74"
WHOLE = Manner("RGB", "lanczos", formats=("JPEG",))
FACE = Manner("RGB", "lanczos", (25, 57, 153, 185), ("JPEG",))  # rows 57 to 184, columns 25 to 152
ABOUT = About(
    "real faces; factors only as far as 40 attributes are",
    "research only, not commercial",
    f"{ARCHIVE} or its folder {FOLDER}, and {LABELS} beside it for the attributes",
    "the Multimedia Laboratory of the Chinese University of Hong Kong, 1.4 GB",
)
REMARK = "The attributes are people's yes or no and no grid, and little of a face follows from them."


@lru_cache(4)
def _read_attributes(path: Path, changed: int) -> tuple[dict[str, int], np.ndarray]:
    """Names, each with 2 values, and the values (N, 40), uint8: 1 where -1 or 1 was 1; `changed` is the file's time."""
    from pandas import read_csv

    with reading(path, "the published attributes of CelebA"):
        with path.open(encoding="ascii") as file:
            count, names = int(file.readline()), file.readline().split()
        if count != IMAGES or len({*names}) != ATTRIBUTES:
            raise ValueError(f"it tells of {count:,} pictures and {len({*names})} attributes")
        columns = ["file", *names]
        told = read_csv(
            path, sep=r"\s+", skiprows=2, names=columns, index_col=False, dtype=dict.fromkeys(names, "int8")
        )
        if told["file"].tolist() != _names():
            raise ValueError("its rows are not the pictures' numbers in order")
        values = told[names].to_numpy()
        if not (np.abs(values) == 1).all():
            raise ValueError("it holds values other than -1 and 1")
    return dict.fromkeys(names, 2), (values > 0).astype(np.uint8)


def read_attributes(data_dir: Path | None) -> tuple[dict[str, int], np.ndarray]:
    """The factors' names and sizes, and the table (N, 40); no factors where the file is not there.

    Raises:
        UsageError: it is damaged or another file.
    """
    path = None if data_dir is None else data_dir / LABELS
    if path is None or not path.is_file():
        return {}, np.zeros((IMAGES, 0), np.uint8)
    return _read_attributes(path, path.stat().st_mtime_ns)


def _names() -> list[str]:
    return [f"{number:06d}.jpg" for number in range(1, IMAGES + 1)]


def _folder(place: Path) -> Path:
    """The folder that holds the pictures, which some archives have twice, one within the other."""
    return place / FOLDER if (place / FOLDER).is_dir() else place


def _digest(place: Path) -> str:
    if place.is_file():
        return digest_of(place)
    folder = _folder(place)
    with reading(folder, "a folder of pictures"):
        return remembered(folder, "names and sizes", lambda: listing_digest(listing(folder, (".jpg",))))


def read_faces(place: Path, manner: Manner, progress: bool = False) -> Iterator[np.ndarray]:
    """All images in the order of their numbers, in blocks uint8 (B, 64, 64, 3).

    Args:
        place: the folder or the archive.

    Raises:
        UsageError: pictures are missing or damaged.
    """
    if place.is_dir():
        folder = _folder(place)
        sizes = listing(folder, (".jpg",))
        yield from _decode(folder, sizes, lambda name: (folder / name).read_bytes(), manner, progress)
        return
    warn_of_other_content(place, ARCHIVE_SHA256)
    with reading(place, "the archive of CelebA"), zipfile.ZipFile(place) as archive:
        entries = {entry.filename.rpartition("/")[2]: entry for entry in archive.infolist()}
        sizes = {name: entry.file_size for name, entry in entries.items()}
        yield from _decode(place, sizes, lambda name: archive.read(entries[name]), manner, progress)


def _decode(
    place: Path, sizes: dict[str, int], read: Callable[[str], bytes], manner: Manner, progress: bool
) -> Iterator[np.ndarray]:
    names = _names()
    missing = [name for name in names if name not in sizes]
    if missing:
        raise UsageError(f"{place} lacks {len(missing):,} of {len(names):,} pictures, the first {missing[0]}.")
    yield from decode_all({name: sizes[name] for name in names}, read, manner, "Reading CelebA (once)", progress)


def _load(name: str, manner: Manner, filter_told: str, device: str, data_dir: Path | None) -> ByteDataset:
    def open_rows(progress: bool) -> np.ndarray:
        place = find(name, ABOUT, data_dir, FOLDER, ARCHIVE)
        key = f"{name}-published-v1-{_digest(place)[:16]}"
        return cached_rows(key, (IMAGES, PIXELS, PIXELS, 3), lambda: read_faces(place, manner, progress))

    factors, table = read_attributes(data_dir)
    # Runs with and without factors are scored by other metrics, so that they are told apart.
    source = "published" if factors else "published-unlabelled"
    remarks = (filter_told, REMARK)
    return ByteDataset(open_rows, name, source, factors, (3, PIXELS, PIXELS), device, remarks, table=table)


@register("celeba", 1, ABOUT)
def celeba(device: str = "cpu", data_dir: Path | None = None) -> ByteDataset:
    """202,599 faces, the whole pictures stretched to 64 x 64 pixels in colour, with 40 attributes or no factors."""
    told = "The whole picture, 178 x 218 pixels, is stretched to a square by Lanczos."
    return _load("celeba", WHOLE, told, device, data_dir)


@register("celeba_crop", 1, ABOUT)
def celeba_crop(device: str = "cpu", data_dir: Path | None = None) -> ByteDataset:
    """202,599 faces, the 128 x 128 pixels about each shrunk to 64 x 64 in colour, with 40 attributes or no factors."""
    told = (
        "Rows 57 to 184 and columns 25 to 152 of the picture, as DisDiff and EncDiff train on, are shrunk by Lanczos."
    )
    return _load("celeba_crop", FACE, told, device, data_dir)
