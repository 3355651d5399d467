"""The folder that keeps images which were made or read once: each file verified, and written whole or not."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from math import prod
from pathlib import Path

import numpy as np
from filelock import FileLock
from platformdirs import user_cache_path

from benchmark.errors import UsageError

DIGEST_BYTES = hashlib.sha256().digest_size
SMALL_BYTES = 1_000_000_000  # that are verified whenever they are opened, in half a second; others when they change
SPARE_BYTES = 50_000_000  # to leave on the disk


def cache_folder() -> Path:
    """The folder of rendered data: $DISENTANGLEMENT_CACHE, else the user's cache folder."""
    chosen = os.environ.get("DISENTANGLEMENT_CACHE")
    return Path(chosen) if chosen else user_cache_path("disentanglement-benchmark")


def cached_rows(key: str, shape: tuple[int, ...], make: Callable[[], Iterable[np.ndarray]]) -> np.ndarray:
    """The uint8 array of that key from the cache; made, in blocks of rows, where absent or damaged.

    The file is the array's bytes and their SHA-256. It is written beside its place and
    renamed, so that a reader sees a whole file or none; one process makes it while others wait.

    Raises:
        UsageError: the cache folder cannot be written, or the disk has no room.
    """
    path = cache_folder() / f"{key}.bits"
    rows = _open_verified(path, shape)
    if rows is not None:
        return rows
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if _open_verified(path, shape) is None:
                _refuse_full_disk(path.parent, prod(shape))
                _write(path, make())
    except OSError as error:
        raise UsageError(
            f"cannot keep rendered data in {path.parent} ({error.strerror or error}); "
            f"name a writable folder with {_megabytes(prod(shape))} to spare in DISENTANGLEMENT_CACHE."
        ) from error
    rows = _open_verified(path, shape)
    if rows is None:
        raise UsageError(f"{path} is damaged as soon as it is written; check that disk.")
    return rows


def _megabytes(size: int) -> str:
    return f"{-(-size // 1_000_000):,} MB"


def _refuse_full_disk(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < size + SPARE_BYTES:
        raise UsageError(
            f"{folder} has {_megabytes(free)} to spare for data of {_megabytes(size)}; "
            "name another folder in DISENTANGLEMENT_CACHE."
        )


def _open_verified(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The array in the file, mapped into memory; None where the file is absent or damaged."""
    size = prod(shape)
    try:
        if path.stat().st_size != size + DIGEST_BYTES:
            return None
        # Mode "c" (copy on write) shares the pages between processes; torch takes only writable arrays.
        content = np.memmap(path, np.uint8, mode="c")
        if not _is_sound(path, content, size):
            return None
    except OSError:
        return None
    return content[:size].reshape(shape)


def _is_sound(path: Path, content: np.ndarray, size: int) -> bool:
    """Whether the file ends in its digest; of a large one, unless that was found since it was last changed."""
    noted, stamp = path.with_suffix(".verified"), f"{path.stat().st_mtime_ns} {size}"
    if size > SMALL_BYTES and noted.is_file() and noted.read_text() == stamp:
        return True
    sound = hashlib.sha256(content[:size].data).digest() == content[size:].tobytes()
    if sound and size > SMALL_BYTES:
        with suppress(OSError):  # then it is looked through again next time
            noted.write_text(stamp)
    return sound


def _write(path: Path, blocks: Iterable[np.ndarray]) -> None:
    unfinished = path.with_suffix(".tmp")
    digest = hashlib.sha256()
    try:
        with unfinished.open("wb") as file:
            for block in blocks:
                content = np.ascontiguousarray(block)
                file.write(content.data)
                digest.update(content.data)
            file.write(digest.digest())
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
