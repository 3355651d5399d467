"""Published files: where they are looked for, whether they are whole, arrays in them; nothing in one is executed."""

import hashlib
import os
import struct
import sys
import tokenize
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from benchmark.datasets import About
from benchmark.datasets.cache import cache_folder
from benchmark.errors import UsageError, one_line

BLOCK_BYTES = 2**25  # of an array that is read piece by piece
LOCAL_HEADER = 30  # bytes of a zip member's own header, before its name and extra field


def find(name: str, about: About, data_dir: Path | None, *places: str) -> Path:
    """The first of the places in the folder of data where something lies; by default the file that `about` names.

    Raises:
        UsageError: nothing does: where it was looked for, what it is, who publishes it, its size and licence.
    """
    places = places or (about.file,)
    wanted = f"data set {name} is read from {about.file} ({about.publisher}; licence: {about.licence})"
    if data_dir is None:
        raise UsageError(one_line(f"{wanted}; name the folder that holds it by --data-dir or $DISENTANGLEMENT_DATA."))
    for place in places:
        if (data_dir / place).exists():
            return data_dir / place
    raise UsageError(one_line(f"{wanted}; {data_dir} holds no {' or '.join(places)}."))


def find_or_render(file: str, data_dir: Path | None) -> Path | None:
    """The published file in the folder of data; None without a folder (so: render).

    $DISENTANGLEMENT_DATA may hold what it does; a folder that is named for a command is to hold the file.

    Raises:
        UsageError: it does not.
    """
    if data_dir is None:
        return None
    path = data_dir / file
    if path.is_file():
        return path
    if str(data_dir) == os.environ.get("DISENTANGLEMENT_DATA"):
        return None
    raise UsageError(
        f"{data_dir} holds no {file}; put it there, or name no folder to use the rendering "
        "($DISENTANGLEMENT_DATA may be one that lacks it)."
    )


def warn(text: str) -> None:
    """Tell on one line what does not keep from going on."""
    print(f"warning: {one_line(text)}", file=sys.stderr)


@contextmanager
def reading(path: Path | str, what: str) -> Iterator[None]:
    """Tell in one sentence whatever a damaged file, or another one, makes those who read it raise.

    Args:
        what: the file should be, for example "a published file of Cars3D".
    """
    try:
        yield
    except (UsageError, MemoryError):
        raise
    except Exception as error:  # decoders of damaged bytes raise anything
        told = str(error) or type(error).__name__
        raise UsageError(one_line(f"{path} is damaged or not {what} ({told}).")) from error


def remembered(path: Path, what: str, compute: Callable[[], str]) -> str:
    """What was computed of a file or folder; kept in the cache folder until its time or size changes."""
    status = path.stat()
    stamp = f"{path.resolve()} {status.st_mtime_ns} {status.st_size} {what}"
    note = cache_folder() / f"{hashlib.sha256(stamp.encode(errors='surrogateescape')).hexdigest()[:32]}.note"
    with suppress(OSError, ValueError):
        if noted := note.read_text(encoding="utf-8"):
            return noted
    answer = compute()
    with suppress(OSError):  # then it is computed again next time
        note.parent.mkdir(parents=True, exist_ok=True)
        unfinished = note.with_suffix(".tmp")
        unfinished.write_text(answer, encoding="utf-8")
        unfinished.replace(note)
    return answer


def digest_of(path: Path, algorithm: str = "sha256") -> str:
    """The file's digest, in hexadecimal.

    Raises:
        UsageError: it cannot be read.
    """

    def compute() -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest()

    with reading(path, "a file that can be read"):
        return remembered(path, algorithm, compute)


def warn_of_other_content(path: Path, expected: str, algorithm: str = "sha256", found: str = "") -> None:
    """Warn where a file's digest is not that of the published one, whose content may still be right."""
    found = found or digest_of(path, algorithm)
    if found != expected:
        warn(f"{path} has the {algorithm} {found}, the published file {expected}; it is read all the same.")


def listing(folder: Path, suffixes: tuple[str, ...]) -> dict[str, int]:
    """Sizes in bytes of the folder's files with these suffixes, in folders within it too, by sorted relative name."""
    found = {}
    for inside, _, names in os.walk(folder):
        for name in names:
            if name.lower().endswith(suffixes):
                path = Path(inside, name)
                found[path.relative_to(folder).as_posix()] = path.stat().st_size
    return dict(sorted(found.items()))


def listing_digest(sizes: dict[str, int]) -> str:
    """A digest, in hexadecimal, of files' names and sizes."""
    told = "".join(f"{size} {name}\0" for name, size in sizes.items())
    return hashlib.sha256(told.encode(errors="surrogateescape")).hexdigest()


# --- arrays ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Member:
    """An array in an .npz archive.

    Attributes:
        start: where its first element lies in the archive's file; None where it is compressed.
        checksum: CRC-32 of the whole member, its header included.
        header: bytes before the first element.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    start: int | None
    checksum: int
    header: int

    @property
    def size(self) -> int:
        """Bytes of its elements."""
        return prod(self.shape) * self.dtype.itemsize


def find_member(path: Path, name: str) -> Member:
    """The array of that name in an .npz archive.

    Raises:
        ValueError: it is no array of numbers in rows, or its length is not what its header says.
        OSError, KeyError, zipfile.BadZipFile: the archive is damaged, or has none of that name.
    """
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as content:
        entry = archive.getinfo(f"{name}.npy")
        shape, dtype = read_array_header(content)
        header = content.tell()
    start = _content_start(path, entry) + header if entry.compress_type == zipfile.ZIP_STORED else None
    member = Member(shape, dtype, start, entry.CRC, header)
    if entry.file_size != header + member.size:
        raise ValueError(
            f"{name} takes {entry.file_size - header:,} bytes, where {dtype} {shape} takes {member.size:,}"
        )
    return member


def list_members(path: Path) -> list[str]:
    """The names of the arrays in an .npz archive."""
    with zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def _content_start(path: Path, entry: zipfile.ZipInfo) -> int:
    with path.open("rb") as file:
        file.seek(entry.header_offset)
        local = file.read(LOCAL_HEADER)
    name, extra = struct.unpack("<HH", local[26:])
    return entry.header_offset + LOCAL_HEADER + name + extra


def read_array_header(content: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and kind of the array in .npy format that begins here.

    Raises:
        ValueError: it is none, holds objects, or lies column after column.
    """
    read = npy.read_array_header_1_0 if npy.read_magic(content) == (1, 0) else npy.read_array_header_2_0
    try:
        shape, by_columns, dtype = read(content)
    except (SyntaxError, TypeError, tokenize.TokenError) as error:
        raise ValueError(f"its header cannot be read: {error}") from error
    if dtype.hasobject:
        raise ValueError("it holds objects, where numbers are needed")
    if by_columns and len(shape) > 1:
        raise ValueError("it lies column after column; save numpy.ascontiguousarray of it")
    return shape, dtype


def rows_of_block(each: int) -> int:
    """How many rows of so many bytes are read at once."""
    return max(1, BLOCK_BYTES // max(1, each))


def stream_rows(path: Path, name: str) -> Iterator[np.ndarray]:
    """The rows of an array in an .npz archive, in blocks; its checksum is looked at when all are read.

    Raises:
        ValueError: it ends early.
        OSError, zlib.error, zipfile.BadZipFile: the archive is damaged.
    """
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as content:
        shape, dtype = read_array_header(content)
        each = prod(shape[1:]) * dtype.itemsize
        rows = rows_of_block(each)
        for start in range(0, shape[0], rows):
            wanted = min(rows, shape[0] - start) * each
            block = content.read(wanted)
            if len(block) != wanted:
                raise ValueError(f"{name} ends early")
            yield np.frombuffer(block, dtype).reshape(-1, *shape[1:])
        if content.read(1):
            raise ValueError(f"{name} is too long")


def open_array(path: Path) -> np.ndarray:
    """The array of a .npy file, mapped into memory.

    Raises:
        ValueError: it is none, holds objects, or is shorter than its header says.
    """
    return npy.open_memmap(path, mode="r")
