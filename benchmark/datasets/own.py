"""Data of one's own, in the folder of data: NAME.npz, or a folder NAME of pictures.

NAME.npz holds `images`, of any size: uint8, or floats in [0, 1], (N, H, W), (N, H, W, C) or (N, C, H, W); they are
stretched to 64 x 64 pixels. If factors are known it holds `factors` (N, K), whole numbers, and `factor_names` (K). A
folder holds pictures, at any depth, and, if factors are known, `factors.csv` with a column `file` and a column for each
factor.
"""

import csv
import hashlib
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from rich.progress import track

from benchmark.datasets.base import FactorDataset
from benchmark.datasets.cache import cached_rows
from benchmark.datasets.contract import CHANNELS, ROUNDING
from benchmark.datasets.files import (
    Member,
    digest_of,
    find_member,
    list_members,
    listing,
    listing_digest,
    reading,
    remembered,
    stream_rows,
)
from benchmark.datasets.packed import ByteDataset
from benchmark.datasets.pictures import MOST_PIXELS, PIXELS, Manner, decode_all, resize_all
from benchmark.errors import UsageError, one_line

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
FACTORS_FILE = "factors.csv"
GREY_MODES = ("1", "L", "LA", "La")
EIGHT_BITS = (*GREY_MODES, "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr")
OWN = "own-"  # so begins the source of such data, and a digest of them follows
DIGEST_LETTERS = 10  # of a digest that is part of a run's identity
MOST_FACTORS = 1_000
ARRAYS = ("images", "factors", "factor_names")
UNREAD = "It holds {} besides, which is not read: factors are told by {}."
ROUNDED = "Its images were floats and are kept as bytes: rounded to the nearest of 255 levels."
STRETCHED = "Pictures are stretched to 64 x 64 pixels by Lanczos; what is transparent lies on black."


def load_own(name: str, device: str, folder: Path | None) -> FactorDataset:
    """The data set that lies in the folder under that name; where nothing is known of factors, it has none.

    Raises:
        UsageError: there is none, or it is not as it must be.
    """
    if folder is None:
        raise UsageError(f"no folder is named that holds data set {name!r}.")
    archive, pictures = folder / f"{name}.npz", folder / name
    if archive.is_file() and pictures.is_dir():
        raise UsageError(f"{folder} holds both {name}.npz and a folder {name}; rename one.")
    if archive.is_file():
        return _load_archive(name, device, archive)
    if pictures.is_dir():
        return _load_pictures(name, device, pictures)
    raise UsageError(f"{folder} holds no data set {name!r}, neither {name}.npz nor a folder {name} of pictures.")


def unknown_factors(images: int) -> tuple[dict[str, int], np.ndarray]:
    """No names, and a table (N, 0): nothing is known of factors."""
    return {}, np.zeros((images, 0), np.int64)


# --- an archive of arrays ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Layout:
    """How images lie in an array: their shape (H, W, C), and whether the channels come before height and width."""

    shape: tuple[int, int, int]
    channels_first: bool

    def arranged(self, block: np.ndarray) -> np.ndarray:
        """Images (B, H, W, C), of a block as it is stored."""
        return block.transpose(0, 2, 3, 1) if self.channels_first else block.reshape(-1, *self.shape)


def layout_of(images: Member) -> Layout:
    """How the images of an archive lie.

    Raises:
        ValueError: they are no images.
    """
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        raise ValueError(f"images are {images.dtype}, where uint8 (0 .. 255) or floats (0 .. 1) are needed")
    if len(images.shape) in (3, 4) and all(images.shape):
        height, width, *channels = images.shape[1:]
        if not channels:
            return Layout((height, width, 1), False)
        if channels[0] <= CHANNELS:
            return Layout((height, width, channels[0]), False)
        if height <= CHANNELS:
            return Layout((width, channels[0], height), True)
    raise ValueError(f"images are {images.shape}, where (N, H, W), (N, H, W, C) or (N, C, H, W) is needed")


def read_archive(path: Path, layout: Layout, progress: bool = False) -> Iterator[np.ndarray]:
    """The images of an archive, stretched, in blocks uint8 (B, 64, 64, C).

    Raises:
        UsageError: values are out of range, or the archive is damaged.
    """
    greatest = 0
    with reading(path, "an archive of images"):
        blocks = stream_rows(path, "images")
        for block in track(blocks, f"Reading {path.name} (once)", disable=not progress):
            if block.dtype != np.uint8:
                yield resize_all(layout.arranged(_as_bytes(path, block)), "lanczos")
                greatest = 255
                continue
            greatest = max(greatest, int(block.max()))
            yield resize_all(layout.arranged(block), "lanczos")
    if greatest <= 1:
        raise UsageError(f"{path}: images are bytes of 0 and 1 only, where 0 .. 255 are needed; multiply them by 255.")


def _as_bytes(path: Path, block: np.ndarray) -> np.ndarray:
    """Bytes of floats in [0, 1]."""
    if not np.isfinite(block).all():
        raise UsageError(f"{path}: images hold nan or infinity, where floats in [0, 1] are needed.")
    least, greatest = float(block.min()), float(block.max())
    if least < -ROUNDING or greatest > 1 + ROUNDING:
        raise UsageError(f"{path}: images run from {least:g} to {greatest:g}, where floats in [0, 1] are needed.")
    return np.rint(block.astype(np.float64).clip(0, 1) * 255).astype(np.uint8)


def read_factors(path: Path, images: int) -> tuple[dict[str, int], np.ndarray]:
    """Names and numbers of values of an archive's factors, and the table (N, K) of their values' ranks.

    Raises:
        UsageError: they are no whole numbers, or not as many as the images.
        KeyError: there are none.
        OSError, ValueError: the archive is damaged.
    """
    held = find_member(path, "factors")
    if held.dtype.kind not in "iu" or len(held.shape) not in (1, 2):
        raise UsageError(f"{path}: factors are {held.dtype} {held.shape}, where whole numbers (N, K) are needed.")
    if held.shape[0] != images or prod(held.shape[1:]) > MOST_FACTORS:
        raise UsageError(f"{path}: factors are {held.shape}, where (N, K) of the {images:,} images is needed.")
    if not prod(held.shape):
        return unknown_factors(images)
    values = np.concatenate([*stream_rows(path, "factors")]).reshape(images, -1)
    names = _read_names(path, values.shape[1])
    return _ranked(path, names, [*values.T])


def _read_names(path: Path, factors: int) -> list[str]:
    try:
        held = find_member(path, "factor_names")
    except KeyError:
        return [f"factor_{number}" for number in range(factors)]
    if held.dtype.kind != "U" or held.shape != (factors,):
        raise UsageError(f"{path}: factor_names are {held.dtype} {held.shape}, where {factors} texts are needed.")
    return [str(name) for block in stream_rows(path, "factor_names") for name in block]


def _ranked(path: Path, names: Sequence[str], columns: Sequence[np.ndarray]) -> tuple[dict[str, int], np.ndarray]:
    """Names and numbers of values of factors, and the table (N, K) of their values' ranks."""
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UsageError(one_line(f"{path}: two factors are called {twice[0]!r}, where each needs a name of its own."))
    ranks = [np.unique(column, return_inverse=True) for column in columns]
    sizes = {name: len(levels) for name, (levels, _) in zip(names, ranks, strict=True)}
    return sizes, np.stack([rank for _, rank in ranks], axis=1)


def _load_archive(name: str, device: str, path: Path) -> ByteDataset:
    with reading(path, "an archive of images"):
        held = list_members(path)
        if "images" not in held:
            there = f"the arrays {', '.join(held)}" if held else "no arrays"
            raise UsageError(one_line(f"{path} holds {there}; an array `images` is needed, and `factors` where known."))
        images = find_member(path, "images")
        layout = layout_of(images)
        factors, table = unknown_factors(images.shape[0])
        with suppress(KeyError):
            factors, table = read_factors(path, images.shape[0])
    digest, channels = digest_of(path), layout.shape[2]

    def open_rows(progress: bool) -> np.ndarray:
        shape = (images.shape[0], PIXELS, PIXELS, channels)
        return cached_rows(f"own-v1-{digest[:32]}", shape, lambda: read_archive(path, layout, progress))

    told = {ROUNDED: images.dtype != np.uint8, STRETCHED: layout.shape[:2] != (PIXELS, PIXELS)}
    unread = ", ".join(name for name in held if name not in ARRAYS)
    told[one_line(UNREAD.format(unread, "an array `factors` (N, K) of whole numbers"))] = not factors and bool(unread)
    remarks = tuple(remark for remark, holds in told.items() if holds)
    source, shape = f"{OWN}{digest[:DIGEST_LETTERS]}", (channels, PIXELS, PIXELS)
    return ByteDataset(open_rows, name, source, factors, shape, device, remarks, table=table)


# --- a folder of pictures ----------------------------------------------------------------------------


def read_mode(folder: Path, names: Sequence[str]) -> str:
    """What the pictures are together: "L" where all are grey, "RGB" otherwise.

    Raises:
        UsageError: one of them cannot be read, or is too large; it is named.
    """
    from PIL import Image

    grey = True
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for name in names:
            with reading(folder / name, "a picture"), Image.open(folder / name, formats=FORMATS) as picture:
                if picture.width * picture.height > MOST_PIXELS:
                    told = f"{picture.width:,} x {picture.height:,} pixels"
                    raise ValueError(f"it has {told}, where {MOST_PIXELS:,} at most are read")
                if picture.mode not in EIGHT_BITS:
                    raise ValueError(f"its pixels are of kind {picture.mode}, where 8 bits a channel are needed")
                grey = grey and picture.mode in GREY_MODES
    return "L" if grey else "RGB"


def read_factor_file(path: Path, names: Sequence[str]) -> tuple[dict[str, int], np.ndarray]:
    """Names and numbers of values of factors, and the table (N, K) of their values' ranks, the pictures in order.

    Raises:
        UsageError: the file does not tell each factor of each picture once.
    """
    with reading(path, "a table with a column `file` and a column for each factor"):
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *rows = [row for row in csv.reader(file) if row] or [[]]
        if not header:
            raise ValueError("it is empty")
        if "file" not in header or len(header) < 2 or len(header) > MOST_FACTORS:
            raise ValueError(f"its columns are {', '.join(header)}")
        if odd := [row for row in rows if len(row) != len(header) or not all(row)]:
            raise ValueError(f"the row {','.join(odd[0])!r} has not one value for each of {len(header)} columns")
        at = header.index("file")
        told = {row[at]: [*row[:at], *row[at + 1 :]] for row in rows}
        if len(told) != len(rows):
            raise ValueError(f"{len(rows) - len(told)} rows are of a picture that has a row already")
        if unlike := sorted({*told} ^ {*names}):
            where = "is no picture in the folder" if unlike[0] in told else "has no row"
            raise ValueError(f"{unlike[0]} {where}")
        factors = [*header[:at], *header[at + 1 :]]
        columns = zip(factors, zip(*(told[name] for name in names), strict=True), strict=True)
        values = [_as_numbers(name, column) for name, column in columns]
    return _ranked(path, factors, values)


def _as_numbers(name: str, column: Sequence[str]) -> np.ndarray:
    """A factor's values (N,) as numbers, whose order is their ranks', or as texts if none is a number."""
    numbers = [_as_number(value) for value in column]
    if all(number is None for number in numbers):
        return np.array(column)
    if None in numbers:
        odd = column[numbers.index(None)]
        raise ValueError(f"{name} is {odd!r} in one row and a number in another; write numbers or names throughout")
    values = np.array(numbers, float)
    if not np.isfinite(values).all():
        raise ValueError("it holds nan or infinity")
    return values


def _as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _load_pictures(name: str, device: str, folder: Path) -> ByteDataset:
    with reading(folder, "a folder of pictures"):
        sizes = listing(folder, SUFFIXES)
    if not sizes:
        raise UsageError(f"{folder} holds no pictures ({', '.join(SUFFIXES)}).")
    told = folder / FACTORS_FILE
    changed = {f"{(folder / file).stat().st_mtime_ns} {file}": size for file, size in sizes.items()}
    digest = remembered(folder, f"contents {listing_digest(changed)}", lambda: _digest_contents(folder, sizes))
    factors, table = unknown_factors(len(sizes))
    remarks: tuple[str, ...] = (STRETCHED,)
    if told.is_file():
        digest = hashlib.sha256(f"{digest}{digest_of(told)}".encode()).hexdigest()
        factors, table = read_factor_file(told, [*sizes])
    elif unread := ", ".join(sorted(file.name for file in folder.glob("*.csv"))):
        remarks += (one_line(UNREAD.format(unread, f"a table {FACTORS_FILE} with a column `file` and one a factor")),)
    mode = remembered(folder, f"mode of {digest}", lambda: read_mode(folder, [*sizes]))
    shape = (1 if mode == "L" else 3, PIXELS, PIXELS)

    def open_rows(progress: bool) -> np.ndarray:
        key, rows = f"own-v1-{digest[:32]}", (len(sizes), PIXELS, PIXELS, shape[0])
        return cached_rows(key, rows, lambda: _read_pictures(folder, sizes, mode, progress))

    source = f"{OWN}{digest[:DIGEST_LETTERS]}"
    return ByteDataset(open_rows, name, source, factors, shape, device, remarks, table=table)


def _digest_contents(folder: Path, names: Iterable[str]) -> str:
    """A digest of files' names and contents, in hexadecimal."""
    digest = hashlib.sha256()
    for name in names:
        with reading(folder / name, "a picture"), (folder / name).open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{name}\0{content}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _read_pictures(folder: Path, sizes: dict[str, int], mode: str, progress: bool) -> Iterator[np.ndarray]:
    manner, title = Manner(mode, "lanczos", formats=FORMATS), f"Reading {folder.name} (once)"
    yield from decode_all(sizes, lambda name: (folder / name).read_bytes(), manner, title, progress)
