import io
import time

from rich.console import Console

from benchmark.running import progress
from benchmark.running.execution import Outcome
from benchmark.running.progress import SweepProgress
from benchmark.storage.store import run_folder

TRAINING = {"phase": "training", "step": 50, "steps": 200, "loss": 123.45, "steps_per_second": 2.0}


def _follow(console, out, monkeypatch):
    monkeypatch.setattr(progress, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.02)
    folder = run_folder(out, "a")
    folder.path.mkdir(parents=True)

    def shown(text):
        deadline = time.monotonic() + 60
        while text not in console.file.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)

    def outcomes():
        folder.write_progress(TRAINING)
        shown("1:15 left")
        folder.write_progress({"phase": "scoring"})
        shown("scoring")
        folder.clear_progress()
        yield Outcome("a", finished=True, note="it went on from step 2")
        yield Outcome("b", finished=False, reason="ValueError: [bold]no")

    with SweepProgress(console, out, ["a", "b"]) as sweep:
        ended = sweep.follow(outcomes())
    assert [outcome.run_id for outcome in ended] == ["a", "b"]
    return console.file.getvalue()


def test_plain_lines(tmp_path, monkeypatch):
    printed = _follow(Console(file=io.StringIO(), width=200), tmp_path, monkeypatch)
    assert "0:00:00 a step 50 of 200, 2.0 steps/s, loss 123.5, 1:15 left\n" in printed
    assert "0:00:00 a scoring\n" in printed
    assert "0:00:00 [1/2] a finished (it went on from step 2)\n" in printed
    assert "[2/2] b FAILED (ValueError: [bold]no)\n" in printed


def test_bars_at_a_terminal(tmp_path, monkeypatch):
    console = Console(file=io.StringIO(), width=160, force_terminal=True)
    printed = _follow(console, tmp_path, monkeypatch)
    assert "step 50 of 200, 2.0 steps/s, loss 123.5, 1:15 left" in printed
    assert "2 of 2 runs" in printed
