"""Sweeps that are killed, shared, broken and large, held to their figures: `python -m tests.soak [NAME ...]`.

Minutes each; the everyday tests try the same in small. Prints what was measured; exits with 1 if a figure is missed.
"""

import argparse
import collections
import csv
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from benchmark.storage.store import stored_runs
from tests.benchmark.stored_runs import CONFIGURATIONS, store_runs

ROOT = Path(__file__).parents[1]
STEPS, RUNS = 15, 4
COUNTED = '''
import os

from methods import register
from methods.vae import VAE


@register("counted")
class Counted(VAE):
    """A VAE that writes down each of its steps. Reference: none."""

    def loss(self, networks, batch, noise, hyperparameters, step):
        with open(os.environ["STEPS_TAKEN"], "ab") as file:
            file.write(b".")
        return super().loss(networks, batch, noise, hyperparameters, step)
'''
SAME = ("spec.json", "history.csv", "model.safetensors", "pictures.npz", "probe.npz", "scores.json", "status.json")
MOST_OF_A_PAGE = 20e6  # bytes
PHASES = ("training", "checkpointing", "scoring", "aggregation")


# --- a sweep of runs that count their steps ----------------------------------------------------------


class Sweep:
    """A command on a folder of its own, whose runs' steps are counted."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.out, self.count = folder / "out", folder / "steps"
        folder.mkdir(parents=True)
        plugin = folder / "counted.py"
        plugin.write_text(COUNTED)
        given = ["--methods", "counted,vae", "--datasets", "dsprites_mini", "--steps", str(STEPS), "--device", "cpu"]
        given += [
            "--seeds",
            "0,1",
            "--metrics",
            "mig,beta_vae_score",
            "--jobs",
            "2",
            "--checkpoint",
            "0",
            "--plugin",
            str(plugin),
        ]
        self.command = [sys.executable, str(ROOT / "run_benchmark.py"), *given, *options, "--out", str(self.out)]

    def start(self) -> subprocess.Popen[str]:
        environment = os.environ | {"STEPS_TAKEN": str(self.count)}
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(self.command, cwd=ROOT, env=environment, **pipes)

    def finish(self) -> None:
        """Go on to the end."""
        process = self.start()
        _, told = process.communicate()
        assert process.returncode == 0, told

    @property
    def steps(self) -> int:
        return self.count.stat().st_size if self.count.exists() else 0

    def phases(self) -> set[str]:
        """What goes on in the folder, by what lies there."""
        runs = list(stored_runs(self.out))
        found = {"training"} if list(self.out.glob("runs/*/checkpoint-*.bin")) else set()
        found |= {"checkpointing"} if list(self.out.glob("runs/*/.checkpoint*.tmp")) else set()
        found |= {run.read_json("progress.json").get("phase", "") for run in runs} & {"scoring"}
        return found | ({"aggregation"} if len(runs) == RUNS and all(run.finished for run in runs) else set())


def leftovers(out: Path) -> list[Path]:
    """What no finished sweep leaves behind."""
    files = [path for path in out.rglob("*") if path.is_file()]
    return [path for path in files if path.name.startswith((".", "checkpoint", "progress"))]


def results(out: Path) -> dict[tuple[str, str], bytes]:
    """Every file of every run, and the tables, apart from the times in them."""
    found = {(run.path.name, name): (run.path / name).read_bytes() for run in stored_runs(out) for name in SAME}
    for name in ("runs.csv", "leaderboard.csv"):
        with (out / name).open(newline="") as file:
            rows = [{key: text for key, text in row.items() if key != "train_seconds"} for row in csv.DictReader(file)]
        found["", name] = repr(rows).encode()
    return found


# --- experiments -------------------------------------------------------------------------------------


def kill_at_random_moments(folder: Path, rng: random.Random, kills: int = 20, each_phase: int = 2) -> str:
    """Kill a sweep, the command itself or a process of its own, and go on: all is as if nothing had been.

    Kills so many times at random moments, then aims at the phases that were not hit so often.
    """
    unbroken = Sweep(folder / "unbroken")
    process = unbroken.start()
    _wait_for_work(process)
    began = time.monotonic()
    process.communicate()
    duration, expected = time.monotonic() - began, results(unbroken.out)
    fell: collections.Counter[str] = collections.Counter()
    number = sweeps = repeated = 0
    while number < kills or min(fell[phase] for phase in PHASES) < each_phase:
        sweep, suffered = Sweep(folder / str(sweeps)), 0
        for _ in range(rng.choice((1, 1, 3))):
            missed = [phase for phase in PHASES if fell[phase] < each_phase] if number >= kills else []
            phases = _kill(sweep, rng, duration, missed[:1])
            suffered += phases is not None
            fell.update(phases or ())
        sweep.finish()
        assert results(sweep.out) == expected, f"results differ after {suffered} kills"
        assert not leftovers(sweep.out), f"there is left {leftovers(sweep.out)}"
        # Half of the runs count their steps. Two runs are at work at once; one step is a checkpoint's interval.
        extra = sweep.steps - STEPS * RUNS // 2
        assert 0 <= extra <= 2 * suffered, f"{extra} steps repeated after {suffered} kills"
        number, sweeps, repeated = number + suffered, sweeps + 1, repeated + extra
        print(f"  {number} kills of {sweeps} sweeps: {dict(fell)}", file=sys.stderr, flush=True)
    phases = ", ".join(f"{fell[phase]} in {phase}" for phase in PHASES)
    return f"{number} kills of {sweeps} sweeps ({phases}): {repeated} steps repeated, results byte-equal, nothing left"


def _kill(sweep: Sweep, rng: random.Random, duration: float, aim: Sequence[str]) -> set[str] | None:
    """Start, and kill at a random moment, or in that phase; what was going on, None where nothing did any more."""
    process = sweep.start()
    _wait_for_work(process)
    deadline = time.monotonic() + duration * rng.random()
    while process.poll() is None and (time.monotonic() < deadline or not {*aim} <= sweep.phases()):
        time.sleep(0.005)
    phases = sweep.phases() if process.poll() is None else None
    with suppress(psutil.NoSuchProcess):
        command = psutil.Process(process.pid)
        rng.choice([command, command, *command.children(recursive=True)]).kill()
    process.communicate()
    return phases


def _wait_for_work(process: subprocess.Popen[str]) -> None:
    """Wait until the command has said what there is to do."""
    assert process.stderr is not None
    while "to do" not in process.stderr.readline() and process.poll() is None:
        pass


def share_one_folder(folder: Path, rng: random.Random) -> str:
    """Eight processes at one run, and two at twelve runs: each run is trained once."""
    steps = []
    for processes, seeds in ((8, "0"), (2, "0-11")):
        sweep = Sweep(folder / str(processes), "--methods", "counted", "--seeds", seeds)
        started = [sweep.start() for _ in range(processes)]
        for process in started:
            _, told = process.communicate()
            assert process.returncode == 0, told
        assert not leftovers(sweep.out)
        runs = list(stored_runs(sweep.out))
        assert all(run.finished and run.sound for run in runs)
        assert sweep.steps == STEPS * len(runs), f"{sweep.steps} steps"
        steps.append(f"{processes} processes, {len(runs)} runs: {sweep.steps // STEPS} trainings")
    return "; ".join(steps)


def fail_in_eight_ways(folder: Path, rng: random.Random) -> str:
    """Sixteen runs, of which those that are healthy complete."""
    return _pytest("tests/benchmark/running/test_isolation.py", "eight_kinds")


def kill_a_dask_worker(folder: Path, rng: random.Random) -> str:
    """Twelve runs on a real scheduler with two workers, one of which is killed, are those of one machine."""
    return _pytest("tests/benchmark/running/test_cluster.py", "killed_worker", "SOAK_RUNS=12")


def _pytest(file: str, name: str, *settings: str) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "-m", "whole", "-n0", "--no-cov", file, "-k", name]
    environment = os.environ | dict(setting.split("=") for setting in settings)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout.strip().splitlines()[-1]


def aggregate_thousands(folder: Path, rng: random.Random) -> str:
    """A finished sweep again, a thousand runs into tables and plots, ten thousand into tables; time and memory."""
    out = folder / "template"
    given = ["--datasets", "dsprites_mini", "--steps", "20"]
    _timed(["run_benchmark.py", "--methods", "betavae", *given, "--out", str(out)])
    (template,) = stored_runs(out)
    told = []
    for name, count, most, command in _large_sweeps(folder, given):
        specs = store_runs(folder / str(count), template, count)
        assert len({spec.run_id for spec in specs}) == count
        if "run_benchmark.py" in command:
            _timed(["run_benchmark.py", "leaderboard", "--out", str(folder / str(count))])  # how seeds agree, once
        page = folder / str(count) / "index.html"
        if "leaderboard" in command:
            _forget_tables(folder / str(count))
        seconds, memory, printed = _timed(command)
        assert "100 runs, 0 to do" in printed or count != 100, printed
        told.append(f"{name}: {seconds:.1f} s of {most}, {memory:.2f} GB")
        assert seconds < most, told[-1]
        assert memory < 1, told[-1]
        assert not page.exists() or page.stat().st_size < MOST_OF_A_PAGE, f"a page of {page.stat().st_size:,} bytes"
    return "; ".join(told)


def _large_sweeps(folder: Path, given: list[str]) -> Iterator[tuple[str, int, float, list[str]]]:
    grids: dict[str, list[str]] = collections.defaultdict(list)
    for method, name, value in CONFIGURATIONS:
        grids[f"{method}.{name}"].append(str(value))
    settings = [word for target, values in grids.items() for word in ("--set", f"{target}={','.join(values)}")]
    methods = ",".join({target.partition(".")[0]: None for target in grids})
    again = ["run_benchmark.py", "--methods", methods, *settings, *given, "--out", str(folder / "100")]
    yield "100 finished runs again", 100, 5, again
    plots = ["run_benchmark.py", "leaderboard", "--out", str(folder / "1000")]
    yield "1,000 runs into tables, plots and a page", 1_000, 20, plots
    code = "from pathlib import Path; from benchmark.report.leaderboard import write_tables; "
    code += f"write_tables(Path({str(folder / '10000')!r}))"
    yield "10,000 runs into tables", 10_000, 30, ["-c", code]


def _forget_tables(out: Path) -> None:
    for path in [*out.glob("*.csv"), *out.glob("plots/*/*")]:
        path.unlink()


def _timed(arguments: list[str]) -> tuple[float, float, str]:
    """Seconds, gigabytes at most, and what a Python process told."""
    began = time.monotonic()
    with tempfile.TemporaryFile("w+") as told:
        process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=told)
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        told.seek(0)
        printed = told.read()
    assert status == 0, printed
    return seconds, used.ru_maxrss / 1e6, printed


EXPERIMENTS: dict[str, Callable[[Path, random.Random], str]] = {
    "kills": kill_at_random_moments,
    "writers": share_one_folder,
    "failures": fail_in_eight_ways,
    "dask": kill_a_dask_worker,
    "scale": aggregate_thousands,
}


def main() -> int:
    """Make the experiments that are named, or all; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("names", metavar="NAME", nargs="*", choices=[[], *EXPERIMENTS], help=", ".join(EXPERIMENTS))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    failed = 0
    for name in given.names or EXPERIMENTS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                told = f"ok      {EXPERIMENTS[name](Path(folder), random.Random(given.seed))}"
            except AssertionError as error:
                told, failed = f"FAILED  {error}", failed + 1
        print(f"{name:9} {told}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
