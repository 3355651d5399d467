"""Cars3D: 17,568 views of 183 car models, read from the published files.

Reference: Reed, Zhang, Zhang and Lee, "Deep Visual Analogy-Making", 2015. The factor `object_type` counts the models in
the order of the publication's `list.txt`; the study took the order of its system's folder, so that the numbers of its
models are others.
"""

import io
import tarfile
from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np
from rich.progress import track

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
from benchmark.datasets.pictures import PIXELS, resize_all
from benchmark.errors import UsageError

ARCHIVE = "nips2015-analogy-data.tar.gz"
ARCHIVE_MD5 = "4e866a7919c1beedf53964e6f7a23686"
FOLDERS = ("nips2015-analogy-data/data/cars", "data/cars", "cars")
LIST = "list.txt"
FACTORS = {"elevation": 4, "azimuth": 24, "object_type": 183}
SIDE = 128  # pixels, as published
MOST_BYTES = 2**26  # of a model's file, which has 6.3 million elements
ABOUT = About(
    "many values of a factor without order: 183 car models seen from around",
    "none stated",
    ARCHIVE,
    "Scott Reed's page of Deep Visual Analogy-Making; the archive, or its folder data/cars",
)
REMARK = (
    "The 183 values of object_type have no order, and the cars fill little of the image: scores that fit a line or a "
    "few bins to a factor are low here. Shrunk from 128 x 128 pixels by Lanczos, as in the study."
)


def read_model(name: str, content: bytes) -> np.ndarray:
    """All views of a model: uint8 (elevation, azimuth, 64, 64, 3), from `im` (height, width, RGB, azimuth, elevation).

    Raises:
        UsageError: it is no such file.
    """
    from scipy.io import loadmat, whosmat

    shape = (SIDE, SIDE, 3, FACTORS["azimuth"], FACTORS["elevation"])
    with reading(name, "a model of Cars3D"):
        held = {variable: (sizes, kind) for variable, sizes, kind in whosmat(io.BytesIO(content))}
        if held.get("im") != (shape, "uint8"):
            raise ValueError(f"im is {held.get('im')}, where uint8 {shape} is needed")
        views = loadmat(io.BytesIO(content), variable_names=["im"])["im"].transpose(4, 3, 0, 1, 2)
        small = resize_all(np.ascontiguousarray(views).reshape(-1, SIDE, SIDE, 3), "lanczos")
    return small.reshape(*views.shape[:2], PIXELS, PIXELS, 3)


def read_cars(place: Path, progress: bool = False) -> Iterator[np.ndarray]:
    """All images, in blocks of rows in the order of the index.

    Args:
        place: the folder `data/cars`, or the archive.

    Raises:
        UsageError: files are missing, or not the published ones.
    """
    files = _files_in_folder(place) if place.is_dir() else _files_in_archive(place)
    models: dict[str, np.ndarray] = {}
    listed: list[str] = []
    for name, content in track(files, "Reading Cars3D (once)", FACTORS["object_type"] + 1, disable=not progress):
        if name == LIST:
            listed = _read_list(f"{place}: {name}", content)
        else:
            models[name.removesuffix(".mat")] = read_model(f"{place}: {name}", content)
    _refuse_missing(place, listed, models)
    for elevation in range(FACTORS["elevation"]):
        for azimuth in range(FACTORS["azimuth"]):
            yield np.stack([models[name][elevation, azimuth] for name in listed])


def _refuse_missing(place: Path, listed: list[str], models: dict[str, np.ndarray]) -> None:
    if not listed:
        raise UsageError(f"{place} holds no data/cars/{LIST}, which has the order of the models of Cars3D.")
    missing = [name for name in listed if name not in models]
    if missing:
        raise UsageError(f"{place} lacks {len(missing)} of {len(listed)} models of Cars3D, the first {missing[0]}.mat.")


def _read_list(where: str, content: bytes) -> list[str]:
    """The models' names in order.

    Raises:
        UsageError: they are not as many as published, or no such names.
    """
    with reading(where, "the list of Cars3D's models"):
        names = content.decode("ascii").split()
        if len({*names}) != FACTORS["object_type"] or len(names) != FACTORS["object_type"]:
            raise ValueError(
                f"it has {len(names)} names, {len({*names})} of them different, not {FACTORS['object_type']}"
            )
    return names


def _files_in_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    for name in listing(folder, (".mat", LIST)):
        path = folder / name
        with reading(path, "a file of Cars3D"):
            if path.stat().st_size > MOST_BYTES:
                raise ValueError(f"it has {path.stat().st_size:,} bytes")
            yield name, path.read_bytes()


def _files_in_archive(path: Path) -> Iterator[tuple[str, bytes]]:
    """The list and the models, as they come in the archive, which holds much else."""
    warn_of_other_content(path, ARCHIVE_MD5, "md5")
    with reading(path, "the archive of Cars3D"), tarfile.open(path, "r:gz") as archive:
        for member in archive:
            folder, _, name = member.name.rpartition("/")
            wanted = name == LIST or name.endswith(".mat")
            if not (wanted and member.isfile() and f"/{folder}".endswith("/data/cars")):
                continue
            content = archive.extractfile(member)
            if content is None or member.size > MOST_BYTES:
                raise ValueError(f"{name} has {member.size:,} bytes")
            yield name, content.read()


def _digest(place: Path) -> str:
    """Of the archive, or of the names and sizes in the folder and what its list says."""
    if place.is_file():
        return digest_of(place)
    with reading(place, "the folder of Cars3D"):
        sizes = remembered(place, "names and sizes", lambda: listing_digest(listing(place, (".mat", LIST))))
    return f"{sizes[:16]}-{digest_of(place / LIST)[:16]}" if (place / LIST).is_file() else sizes


@register("cars3d", 1, ABOUT)
def cars3d(device: str = "cpu", data_dir: Path | None = None) -> ByteDataset:
    """17,568 images: 4 elevations, 24 azimuths, 183 car models, at 64 x 64 pixels in colour."""
    shape = (prod(FACTORS.values()), PIXELS, PIXELS, 3)

    def open_rows(progress: bool) -> np.ndarray:
        place = find("cars3d", ABOUT, data_dir, *FOLDERS, ARCHIVE)
        key = f"cars3d-published-v1-{_digest(place)[:40]}"
        return cached_rows(key, shape, lambda: read_cars(place, progress))

    return ByteDataset(open_rows, "cars3d", "published", FACTORS, (3, PIXELS, PIXELS), device, (REMARK,))
