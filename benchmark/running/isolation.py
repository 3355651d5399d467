"""Calls a function in a process of its own, so that whatever becomes of that process costs the call alone."""

import math
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")
PRELOADED = ["benchmark.running.preloaded"]
MOST_OUTPUT = 1 << 20  # bytes of a call's output that are kept
GRACE_SECONDS = 30.0  # that an interrupted call has to keep what it has
KILLED_SECONDS = 10.0  # that a killed process has to vanish
INTERRUPTED = 130
OUT_OF_MEMORY = 12  # as the system numbers that error

stopping = threading.Event()  # set when the user wants everything to stop
_at_work: set[int] = set()  # the calls of this process that have not ended
_ended = threading.Condition()


@dataclass(frozen=True)
class Ending:
    """How an isolated call ended.

    Attributes:
        told: what the function yielded, in order, as far as it came.
        reason: one sentence if the process did not end by itself and well, else empty.
    """

    told: list[Any]
    reason: str


def call_isolated(
    function: Callable[..., Any], arguments: Sequence[Any], log: Path, timeout: float | None = None
) -> Ending:
    """Go through what the function yields, in a process of its own.

    Args:
        function: a generator function; it and what it yields are pickled.
        log: where the process's output goes, the first megabyte of it; no file where there is none.
        timeout: seconds after which the process is killed, without those in which it waits (see `waiting`).
    """
    CONTEXT.set_forkserver_preload(PRELOADED)
    results, sent = CONTEXT.Pipe(duplex=False)
    output, written = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_main, args=(function, arguments, sent, written))
    if multiprocessing.current_process().daemon:  # as a distributed engine's worker may be
        multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]
    with _ended:
        with _interrupts_held():
            process.start()
        _at_work.add(id(process))
    try:
        sent.close()
        written.close()
        with _Log(log) as kept:
            told, reason = _follow(process, results, output, kept, timeout)
        results.close()
        output.close()
        return Ending(told, reason)
    finally:
        with _ended:
            _at_work.remove(id(process))
            _ended.notify_all()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Start what is started in the block deaf to the keyboard, until `_main` listens: it would print where it was."""
    resource_tracker.ensure_running()  # whose start, later, would let interrupts through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def stop_all() -> None:
    """Interrupt every call that other threads wait for, and wait until they have kept what they have."""
    stopping.set()
    with _ended:
        _ended.wait_for(lambda: not _at_work, timeout=GRACE_SECONDS + KILLED_SECONDS)


def _follow(
    process: Any, results: Connection, output: Connection, log: "_Log", timeout: float | None
) -> tuple[list[Any], str]:
    """Take what the process tells and writes until it ends, or is ended."""
    told: list[Any] = []
    reason = ""
    clock = _Clock(timeout)

    def take() -> None:
        result = results.recv()
        if not isinstance(result, _Waits):
            told.append(result)
        elif not reason:
            clock.stop() if result.begins else clock.go_on()

    open_ends: dict[Connection, Callable[[], None]] = {results: take, output: lambda: log.write(_read(output))}
    while open_ends or process.is_alive():
        _listen(open_ends, process)
        if not process.is_alive() and not wait([*open_ends], timeout=0):
            break  # whoever still holds the other ends is not the process
        if stopping.is_set() and reason == "":
            process.terminate()
            reason, clock = "it was interrupted", _Clock(GRACE_SECONDS)
        if clock.is_due:
            reason = reason or f"it took longer than {timeout:g} seconds"
            process.kill()
            clock = _Clock(KILLED_SECONDS)
    process.join()
    return told, reason or _describe(process.exitcode)


def _listen(open_ends: dict[Connection, Callable[[], None]], process: Any) -> None:
    """Take what there is within a moment, and leave out the ends that are closed."""
    for ready in wait([*open_ends, process.sentinel] if process.is_alive() else [*open_ends], timeout=0.2):
        if isinstance(ready, Connection):
            try:
                open_ends[ready]()
            except (EOFError, OSError):
                del open_ends[ready]


class _Clock:
    """So many seconds (None: for ever), without those for which it is stopped."""

    def __init__(self, seconds: float | None) -> None:
        self.left, self.due = seconds, math.inf
        self.go_on()

    @property
    def is_due(self) -> bool:
        return time.monotonic() > self.due

    def stop(self) -> None:
        if self.left is not None:
            self.left, self.due = self.due - time.monotonic(), math.inf

    def go_on(self) -> None:
        if self.left is not None:
            self.due = time.monotonic() + self.left


@dataclass(frozen=True)
class _Waits:
    """What a process tells when it begins to wait for others, and when it has waited."""

    begins: bool


def _read(output: Connection) -> bytes:
    content = os.read(output.fileno(), 1 << 16)
    if not content:
        raise EOFError
    return content


def _describe(code: int | None) -> str:
    if not code:
        return ""
    if code == OUT_OF_MEMORY:
        return "its process ran out of memory"
    if code < 0:
        name = signal.Signals(-code).name
        return f"its process was killed ({name})" + (", perhaps for memory" if name == "SIGKILL" else "")
    return f"it ended its process with exit code {code}"


class _Log:
    """A file that is made when first written to and holds a megabyte at most."""

    def __init__(self, path: Path) -> None:
        self.path, self.left = path, MOST_OUTPUT
        self.file: Any = None

    def __enter__(self) -> "_Log":
        self.path.unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self.file:
            self.file.close()

    def write(self, content: bytes) -> None:
        try:
            if self.file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.file = self.path.open("wb")
            self.file.write(content[: max(0, self.left)])
            if self.left > 0 >= self.left - len(content):
                self.file.write(b"\n... what follows is left out\n")
            self.left -= len(content)
            self.file.flush()
        except OSError:  # a full disk: the log is the least of what is lost
            self.left = 0


# --- in the process -------------------------------------------------------------------------------

_interrupted = threading.Event()
_results: Connection | None = None  # where the process tells what it yields


def interrupted() -> bool:
    """Whether the process has been told to stop."""
    return _interrupted.is_set()


@contextmanager
def waiting() -> Iterator[None]:
    """Within it, time is that of others, for whom the process waits: it does not count towards the call's timeout."""
    _tell(_Waits(True))
    try:
        yield
    finally:
        _tell(_Waits(False))


def _tell(waits: _Waits) -> None:
    if _results:
        _results.send(waits)


def _main(function: Callable[..., Any], arguments: Sequence[Any], results: Connection, output: Connection) -> None:
    global _results
    _results = results
    os.dup2(output.fileno(), sys.stdout.fileno() if sys.stdout else 1)
    os.dup2(output.fileno(), 2)
    output.close()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: _interrupted.set())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        for told in function(*arguments):
            results.send(told)
            if interrupted():
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except MemoryError:
        traceback.print_exc()
        sys.exit(OUT_OF_MEMORY)
    except SystemExit as error:  # of another's code, which is no good end whatever it says
        traceback.print_exc()
        sys.exit(error.code or 1)


def _end_with_parent() -> None:
    """A process whose parent is gone has nobody to work for."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
