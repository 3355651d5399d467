"""Shows a sweep going on: bars for a person at a terminal, plain lines elsewhere."""

import threading
import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from benchmark.running.execution import Outcome
from benchmark.storage.store import run_folder

POLL_SECONDS = 0.5
LINE_SECONDS = 15.0


class SweepProgress:
    """Follows the runs through the progress files in their folders, as a context manager."""

    def __init__(self, console: Console, out: Path, run_ids: Sequence[str]) -> None:
        self.console, self.out, self.run_ids = console, out, list(run_ids)
        self.ended = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}"))
        self._bars = Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal)
        self._overall = self._bars.add_task("all runs", total=len(run_ids), state=f"0 of {len(run_ids)} runs")
        self._tasks: dict[str, TaskID] = {}
        self._began = self._said = time.monotonic()
        self._notes = {""}

    def __enter__(self) -> "SweepProgress":
        self._bars.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._bars.stop()

    def follow(self, outcomes: Iterable[Outcome]) -> list[Outcome]:
        """Tell of each outcome as it comes; returns them all."""
        return [self._tell(outcome) for outcome in outcomes]

    def _tell(self, outcome: Outcome) -> Outcome:
        self.ended += 1
        state = "finished" if outcome.finished else f"FAILED ({outcome.reason})"
        note = "" if outcome.note in self._notes else f" ({outcome.note})"  # what holds for every run is told once
        self._notes.add(outcome.note)
        line = f"{self._clock()}[{self.ended}/{len(self.run_ids)}] {outcome.run_id} {state}{note}"
        self.console.print(line, markup=False, highlight=False)
        self._bars.update(self._overall, completed=self.ended, state=f"{self.ended} of {len(self.run_ids)} runs")
        return outcome

    def _follow(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            running = {run: run_folder(self.out, run).read_json("progress.json") for run in self.run_ids}
            running = {run: progress for run, progress in running.items() if progress}
            if self.console.is_terminal:
                self._update_bars(running)
            elif time.monotonic() - self._said > LINE_SECONDS:
                self._said = time.monotonic()
                for run, progress in running.items():
                    self.console.print(f"{self._clock()}{run} {_describe(progress)}", markup=False, highlight=False)

    def _clock(self) -> str:
        """The time since the sweep began; nothing at a terminal, whose bar shows it."""
        return "" if self.console.is_terminal else f"{timedelta(seconds=int(time.monotonic() - self._began))} "

    def _update_bars(self, running: dict[str, dict[str, Any]]) -> None:
        for run in [run for run in self._tasks if run not in running]:
            self._bars.remove_task(self._tasks.pop(run))
        for run, progress in running.items():
            if run not in self._tasks:
                self._tasks[run] = self._bars.add_task(run, state="")
            done, total = progress.get("step", 1), progress.get("steps", 1)
            self._bars.update(self._tasks[run], completed=done, total=total, state=_describe(progress))


def _describe(progress: dict[str, Any]) -> str:
    """Step, speed, loss and remaining time, as far as a run's progress tells them."""
    if progress.get("phase") != "training":
        return str(progress.get("phase", ""))
    step, steps, rate = progress["step"], progress["steps"], progress["steps_per_second"]
    minutes, seconds = divmod(round((steps - step) / rate), 60)
    return f"step {step:,} of {steps:,}, {rate:.1f} steps/s, loss {progress['loss']:.1f}, {minutes}:{seconds:02d} left"
