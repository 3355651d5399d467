"""MPI3D: a robot arm that holds an object, drawn, rendered and photographed; read from the published files.

Reference: Gondal et al., "On the Transfer of Inductive Bias from Simulation to the Real World: a New Disentanglement
Dataset", 2019. The files hold images alone, row after row in the order of the factors. They are mapped where they
lie, 12.7 GB each, if their bytes are stored as they are.
"""

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from rich.progress import track

from benchmark.datasets import About, register
from benchmark.datasets.cache import cached_rows
from benchmark.datasets.files import (
    Member,
    digest_of,
    find,
    find_member,
    reading,
    remembered,
    stream_rows,
    warn_of_other_content,
)
from benchmark.datasets.packed import ByteDataset
from benchmark.datasets.pictures import PIXELS
from benchmark.errors import UsageError

FACTORS = {
    "object_color": 6,
    "object_shape": 6,
    "object_size": 2,
    "camera_height": 3,
    "background_color": 3,
    "horizontal_axis": 40,
    "vertical_axis": 40,
}
COMPLEX = FACTORS | {"object_color": 4, "object_shape": 4}
CHUNK = 2**24  # bytes that are looked at at a time
# MD5 of the files, as copies of them have it that are older than today's.
MD5 = {
    "mpi3d_toy": "55889cb7c7dfc655d6e0277beee88868",
    "mpi3d_real": "0f33f609918fb5c97996692f91129802",
}
# SHA-256 of the array in today's file.
SHA256 = {"mpi3d_realistic": "f6124f358e02846695cb3795acf8714f990c84cf02d495796898c133cf1ae866"}
REMARK = "The background fills most of an image: the factors of the object change few of its pixels."


def _about(purpose: str, file: str, publisher: str) -> About:
    return About(purpose, "CC BY 4.0", file, publisher)


HOME = "rr-learning/disentanglement_dataset"
ABOUTS = {
    "mpi3d_toy": _about("seven factors, simply drawn", "mpi3d_toy.npz", f"{HOME}, 12.7 GB"),
    "mpi3d_realistic": _about("seven factors, rendered as if real", "mpi3d_realistic.npz", f"{HOME}, 12.7 GB"),
    "mpi3d_real": _about("seven factors, photographed", "mpi3d_real.npz", f"{HOME}, 12.7 GB"),
    "mpi3d_complex": _about(
        "everyday objects, photographed", "real3d_complicated_shapes_ordered.npz", f"{HOME}, 5.7 GB"
    ),
}


@dataclass(frozen=True)
class Digests:
    """MD5 of a file; SHA-256, in hexadecimal too, and CRC-32 of the array that it holds."""

    md5: str
    sha256: str
    checksum: int


def find_images(path: Path, factors: dict[str, int]) -> Member:
    """The array `images` of a published file.

    Raises:
        UsageError: the file is damaged, or of another release.
    """
    with reading(path, "a published file of MPI3D"):
        member = find_member(path, "images")
        shape = (prod(factors.values()), PIXELS, PIXELS, 3)
        if member.shape[:1] == (prod(COMPLEX.values()),) and factors != COMPLEX:
            raise UsageError(
                f"{path} holds {member.shape[0]:,} images, as the first release did (4 colours and 4 shapes) and the "
                f"complex one; {shape[0]:,} are needed: download today's file."
            )
        if member.shape != shape or member.dtype != np.uint8:
            raise ValueError(f"images is {member.dtype} {member.shape}, where uint8 {shape} is needed")
    return member


def look_through(path: Path, member: Member, progress: bool = False) -> Digests:
    """Digests of a file whose array is stored as it is, read once from end to end."""
    assert member.start is not None
    first, end = member.start - member.header, member.start + member.size
    whole, inner, checksum, at = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0, 0
    chunks = -(-path.stat().st_size // CHUNK)
    with path.open("rb") as file:
        for _ in track(range(chunks), f"Checking {path.name} (once)", disable=not progress):
            chunk = file.read(CHUNK)
            array = memoryview(chunk)[max(0, first - at) : max(0, end - at)]
            whole.update(chunk)
            inner.update(array)
            checksum = zlib.crc32(array, checksum)
            at += len(chunk)
    return Digests(whole.hexdigest(), inner.hexdigest(), checksum)


def _refuse_damaged(name: str, path: Path, member: Member, progress: bool) -> str:
    """Look through a file that is to be mapped; its digest."""
    found = look_through(path, member, progress)
    if found.checksum != member.checksum:
        raise UsageError(f"{path} is damaged: its images are not those that were stored; download it again.")
    if name in MD5:
        warn_of_other_content(path, MD5[name], "md5", found.md5)
    if name in SHA256:
        warn_of_other_content(path, SHA256[name], "sha256 of images.npy", found.sha256)
    return found.md5


def _map_in_place(path: Path, member: Member) -> np.ndarray:
    """The images where they lie: uint8 (N, 64, 64, 3)."""
    # Mode "c" (copy on write) shares the pages between processes; torch takes only writable arrays.
    return np.memmap(path, np.uint8, mode="c", offset=member.start or 0, shape=member.shape)


def read_images(name: str, path: Path, progress: bool = False) -> Iterator[np.ndarray]:
    """The images of a compressed file, in blocks of rows.

    Raises:
        UsageError: it is damaged.
    """
    if name in MD5:
        warn_of_other_content(path, MD5[name], "md5")
    with reading(path, "a published file of MPI3D"):
        yield from track(stream_rows(path, "images"), f"Reading {name} (once)", disable=not progress)


def _load(name: str, factors: dict[str, int], device: str, data_dir: Path | None) -> ByteDataset:
    def open_rows(progress: bool) -> np.ndarray:
        path = find(name, ABOUTS[name], data_dir)
        member = find_images(path, factors)
        if member.start is None:
            key = f"{name}-published-v1-{digest_of(path)[:16]}"
            return cached_rows(key, member.shape, lambda: read_images(name, path, progress))
        with reading(path, "a published file of MPI3D"):
            remembered(path, f"{name} looked through", lambda: _refuse_damaged(name, path, member, progress))
            return _map_in_place(path, member)

    return ByteDataset(open_rows, name, "published", factors, (3, PIXELS, PIXELS), device, (REMARK,))


@register("mpi3d_toy", 1, ABOUTS["mpi3d_toy"])
def mpi3d_toy(device: str = "cpu", data_dir: Path | None = None) -> ByteDataset:
    """1,036,800 simply drawn images of a robot arm that holds an object, at 64 x 64 pixels in colour."""
    return _load("mpi3d_toy", FACTORS, device, data_dir)


@register("mpi3d_realistic", 1, ABOUTS["mpi3d_realistic"])
def mpi3d_realistic(device: str = "cpu", data_dir: Path | None = None) -> ByteDataset:
    """1,036,800 realistically rendered images of a robot arm that holds an object, at 64 x 64 pixels in colour."""
    return _load("mpi3d_realistic", FACTORS, device, data_dir)


@register("mpi3d_real", 1, ABOUTS["mpi3d_real"])
def mpi3d_real(device: str = "cpu", data_dir: Path | None = None) -> ByteDataset:
    """1,036,800 photographs of a robot arm that holds an object, at 64 x 64 pixels in colour."""
    return _load("mpi3d_real", FACTORS, device, data_dir)


@register("mpi3d_complex", 1, ABOUTS["mpi3d_complex"])
def mpi3d_complex(device: str = "cpu", data_dir: Path | None = None) -> ByteDataset:
    """460,800 photographs of a robot arm that holds a cup, ball, croissant or beer cup, at 64 x 64 pixels in colour."""
    return _load("mpi3d_complex", COMPLEX, device, data_dir)
