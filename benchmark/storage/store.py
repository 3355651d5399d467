"""A run's folder: what it holds, written so that a reader sees a whole file or none."""

import csv
import io
import json
import os
import re
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from benchmark.errors import DamagedError
from benchmark.spec import DIGEST_LETTERS, name_run
from benchmark.storage.shapes import are_sound_arrays, is_sound_history, is_sound_object
from benchmark.training.checkpoint import Checkpoint

RUNS = "runs"
PICTURED = ("pictures.npz", "history.csv")  # what figures of a run are drawn from
LOCKS = "locks"
LOCK_SECONDS = 1.0  # between looks at whether waiting for a lock still makes sense
MOST_MERGED = 0.01  # of the rows, which float16 may bring to one value
MOST_ROUNDED = 0.01  # of a code's deviation, which float16 may take from its values or add to them
NAMED = re.compile(rf"-[0-9a-f]{{{DIGEST_LETTERS}}}$")  # as names of runs end
SLOTS = ("checkpoint-0.bin", "checkpoint-1.bin")  # written in turn
BEFORE_RESULTS = ("spec.json", *SLOTS, "progress.json", "log.txt")  # of a run that trains


def _most_alike(codes: np.ndarray) -> np.ndarray:
    """How many rows of the codes (N, D) have each code's most frequent value: (D,)."""
    return np.array([np.unique(code, return_counts=True)[1].max(initial=0) for code in codes.T])


def write_atomically(path: Path, content: bytes) -> None:
    """Put the content at the path: a reader sees what was there before or all of it."""
    with open_atomically(path) as file:
        file.write(content)


@contextmanager
def open_atomically(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that takes the path's place, by a rename, when the block ends and no error ended it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # mkstemp makes it private
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run.

    spec.json: what the run is. history.csv, model.safetensors, environment.json (written last of
    these): its training. scores.json, pictures.npz, probe.npz, codes.npz: its scores, images, codes to
    compare it by, and those that were scored, rounded (codes-seen.npz and so on: those of a world's
    parts). status.json, written last of all: whether it
    finished or why it failed.
    checkpoint-0.bin and checkpoint-1.bin, while it trains: where it stands.
    submission.json: of one that somebody sent, what is known of it and what is odd.
    agreement.json: how well it agrees with the other runs of its configuration. progress.json
    stands there while it runs.
    """

    path: Path

    @property
    def trained(self) -> bool:
        """Whether training is over and stored, whatever became of the scoring."""
        return (self.path / "environment.json").is_file()

    @property
    def probed(self) -> bool:
        """Whether the codes are stored by which models of one configuration are compared."""
        return (self.path / "probe.npz").is_file()

    @property
    def keeps_codes(self) -> bool:
        """Whether the codes of its scored rows are stored."""
        return (self.path / "codes.npz").is_file()

    @property
    def is_pictured(self) -> bool:
        """Whether its pictures or its history are stored, which an archive has of few runs."""
        return any((self.path / name).is_file() for name in PICTURED)

    @property
    def identified(self) -> bool:
        """Whether the folder says what the run is."""
        return bool(self.read_json("spec.json"))

    @property
    def holds_its_own(self) -> bool:
        """Whether the run is that of the folder's name."""
        return self.path.name == _name_of(self.read_json("spec.json"))

    @property
    def whole(self) -> bool:
        """Whether its arrays have their ends, without which they cannot be read."""
        return all(zipfile.is_zipfile(path) for path in self.path.glob("*.npz"))

    @property
    def finished(self) -> bool:
        return self.read_json("status.json").get("state") == "finished"

    @property
    def configuration(self) -> str:
        """What the run is but for its seed, and of which code of plugins, if any."""
        specification = self.read_json("spec.json")
        specification.pop("seed", None)
        code = self.read_json("environment.json").get("code", {})
        return repr([*sorted(specification.items()), *sorted(each for each in code.items() if each[1])])

    def read_json(self, name: str) -> dict[str, Any]:
        """The JSON object in that file; empty where there is no such file or it is damaged."""
        try:
            content = json.loads((self.path / name).read_text())
        except (OSError, ValueError, RecursionError):
            return {}
        return content if is_sound_object(name, content) else {}

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        text = json.dumps(content, indent=1, allow_nan=False)
        if not is_sound_object(name, json.loads(text)):
            raise ValueError(f"{name} would not be read again, with {content!r}")
        write_atomically(self.path / name, f"{text}\n".encode())

    def write_training(
        self, networks: nn.ModuleDict, history: list[dict[str, float]], environment: dict[str, Any]
    ) -> None:
        table = io.StringIO()
        writer = csv.DictWriter(table, list(history[0]) if history else ["step"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
        write_atomically(self.path / "history.csv", table.getvalue().encode())
        # Plain memory order, so that the file does not depend on how the device lays weights out.
        state = {name: weights.cpu().contiguous() for name, weights in networks.state_dict().items()}
        write_atomically(self.path / "model.safetensors", save(state))
        self.write_json("environment.json", environment)

    @property
    def sound(self) -> bool:
        """Whether the stored model can be read."""
        try:
            load_file(self.path / "model.safetensors")
        except (OSError, SafetensorError):
            return False
        return True

    def load_networks(self, networks: nn.ModuleDict) -> None:
        """Put the stored weights into the networks; an error where they are absent, damaged or of others."""
        networks.load_state_dict(load_file(self.path / "model.safetensors"))

    def read_history(self) -> pd.DataFrame:
        """The rows of history.csv, none where the file is absent or damaged."""
        try:
            history = pd.read_csv(self.path / "history.csv")
        except (OSError, ValueError, OverflowError):
            return pd.DataFrame()
        return history if is_sound_history(history) else pd.DataFrame()

    def checkpoint_slots(self) -> Iterator[str]:
        """Where checkpoints go, in turn: the first to where the latest sound one is not."""
        slots = {slot: self._read_slot(slot) for slot in SLOTS}
        steps = {slot: held.step if isinstance(held, Checkpoint) else -1 for slot, held in slots.items()}
        return cycle(sorted(SLOTS, key=steps.__getitem__))

    def write_checkpoint(self, checkpoint: Checkpoint, slot: str = SLOTS[0]) -> None:
        """Keep where the training stands; the one before, in the other slot, stays until the next is written."""
        write_atomically(self.path / slot, checkpoint.to_bytes())

    def read_checkpoint(self) -> tuple[Checkpoint | None, list[str]]:
        """The latest sound checkpoint, if any, and a sentence for each that is damaged."""
        slots = {slot: self._read_slot(slot) for slot in SLOTS}
        sound = [held for held in slots.values() if isinstance(held, Checkpoint)]
        damaged = [f"{slot}: {held}" for slot, held in slots.items() if isinstance(held, DamagedError)]
        return max(sound, key=lambda held: held.step, default=None), damaged

    def clear_checkpoints(self) -> None:
        for slot in SLOTS:
            (self.path / slot).unlink(missing_ok=True)

    def _read_slot(self, slot: str) -> Checkpoint | DamagedError | None:
        try:
            return Checkpoint.from_bytes((self.path / slot).read_bytes())
        except FileNotFoundError:
            return None
        except DamagedError as error:
            return error

    def write_arrays(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        content = io.BytesIO()
        np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
        write_atomically(self.path / name, content.getvalue())

    def write_codes(self, codes: np.ndarray, rows: np.ndarray, part: str = "") -> None:
        """Keep the codes (N, D) of the data set's rows (N,), in float16 where it tells each of them, else in float32.

        It does not where a code hardly moves about a mean that is not 0, nor where many of its values lie near 0, as
        probabilities do: rounded to a few values it seems quantised.

        Args:
            part: of a world, of which the rows are; empty: of the uniform grid.
        """
        with np.errstate(over="ignore"):
            half = codes.astype(np.float16)
        spread = np.where(np.ptp(codes, axis=0) > 0, codes.std(0), 1)
        near = (np.abs(half - codes).max(0) <= MOST_ROUNDED * spread).all()
        apart = near and (_most_alike(half) <= _most_alike(codes) + MOST_MERGED * len(codes)).all()
        kept = half if apart else codes.astype(np.float32)
        self.write_arrays(codes_file(part), {"codes": kept, "rows": rows.astype(np.int32)})

    def read_arrays(self, name: str) -> dict[str, np.ndarray]:
        """The arrays in that file by name, none where there is no such file or it is damaged."""
        try:
            with (self.path / name).open("rb") as file, np.load(file, allow_pickle=False) as stored:
                arrays = dict(stored)
        except Exception:  # a damaged archive breaks its reader in any way, memory included
            return {}
        return arrays if are_sound_arrays(name, arrays) else {}

    def lock(self, stack: ExitStack, wait: bool, give_up: Callable[[], bool]) -> bool:
        """Keep others from this run until the stack ends; whether that could be done.

        The system takes the lock back from a process that dies. `wait`: until it is free, or `give_up` says so.
        """
        folder = self.path.parent.parent / LOCKS
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{self.path.name}.lock")
        while True:
            try:
                stack.enter_context(lock.acquire(timeout=LOCK_SECONDS if wait else 0))
                return True
            except Timeout:
                if not wait or give_up():
                    return False

    def clear(self) -> None:
        """Remove all that is stored of the run; only by who holds the lock."""
        for path in self.path.glob("*"):
            path.unlink(missing_ok=True)

    def clear_results(self) -> None:
        """Remove what follows from a model that was there before: scores, codes and pictures among it."""
        for path in self.path.iterdir():
            if path.is_file() and path.name not in BEFORE_RESULTS:
                path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what a killed process left half-written; only by who holds the lock."""
        for path in self.path.glob(".*.tmp"):
            path.unlink(missing_ok=True)
        self.clear_progress()

    def write_progress(self, content: dict[str, Any]) -> None:
        """Say how far the run is; a reader may see it late, and losing it loses nothing."""
        temporary = self.path / ".progress.json.tmp"
        with suppress(OSError):
            temporary.write_text(json.dumps(content))
            temporary.replace(self.path / "progress.json")

    def clear_progress(self) -> None:
        (self.path / "progress.json").unlink(missing_ok=True)


def codes_file(part: str) -> str:
    """The file of the codes of a part of a world, or, where there is none, of the uniform grid."""
    return f"codes-{part}.npz" if part else "codes.npz"


@contextmanager
def tables_lock(out: Path) -> Iterator[None]:
    """Keep others from the tables and figures, and remove what a killed process left half-written of them."""
    (out / LOCKS).mkdir(parents=True, exist_ok=True)
    with FileLock(out / LOCKS / "tables.lock"):
        for pattern in (".*.tmp", "plots/*/.*.tmp", f"{RUNS}/*/.agreement.json.*.tmp"):
            for path in out.glob(pattern):
                path.unlink(missing_ok=True)
        yield


def run_folder(out: Path, run_id: str) -> RunFolder:
    """The folder of the run of that id under the output folder, whether it exists or not."""
    return RunFolder(out / RUNS / run_id)


def stored_runs(out: Path) -> Iterator[RunFolder]:
    """The folders of all runs under the output folder, by name, each run once."""
    folders = [*_folders(out)]
    copies = _copies_among(folders)
    return (folder for folder in folders if folder.path.name not in copies)


def find_copies(out: Path) -> dict[str, str]:
    """The folders that hold a run which another folder holds, each with the one that counts: that of its own name."""
    return _copies_among([*_folders(out)])


def _copies_among(folders: Sequence[RunFolder]) -> dict[str, str]:
    """Folders are looked into only where their names do not end in digests of their own."""
    endings = Counter(folder.path.name[-DIGEST_LETTERS:] for folder in folders)
    odd = [
        folder
        for folder in folders
        if endings[folder.path.name[-DIGEST_LETTERS:]] > 1 or not NAMED.search(folder.path.name)
    ]
    names = {folder.path.name for folder in folders}
    kept: dict[str, str] = {}  # by what the run is
    copies = {}
    for folder in odd:
        spec = folder.read_json("spec.json")
        if not spec:
            continue
        own = _name_of(spec)
        first = kept.setdefault(json.dumps(spec, sort_keys=True), own if own in names else folder.path.name)
        if first != folder.path.name:
            copies[folder.path.name] = first
    return copies


def _name_of(spec: dict[str, Any]) -> str:
    """The name of a run of that specification; none where it does not say enough."""
    try:
        return name_run(spec)
    except (KeyError, TypeError, AttributeError, ValueError):
        return ""


def _folders(out: Path) -> Iterator[RunFolder]:
    folders = (out / RUNS).iterdir() if (out / RUNS).is_dir() else iter(())
    for path in sorted(folders):
        if path.name.isprintable() and any((path / name).is_file() for name in ("spec.json", "scores.json")):
            yield RunFolder(path)
