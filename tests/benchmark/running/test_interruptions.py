"""A sweep that is broken off anywhere goes on with the same command, and ends as one that was not."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmark import plugins
from benchmark.cli import main
from benchmark.plugins import load_plugins
from benchmark.running.execution import Workplace, execute
from benchmark.running.isolation import call_isolated
from benchmark.running.scheduler import run_all
from benchmark.spec import RunSpec
from benchmark.storage.store import stored_runs

pytestmark = pytest.mark.whole

ROOT = Path(__file__).parents[3]
SWEEP = ["--methods", "held", "--datasets", "dsprites_mini", "--seeds", "0-1", "--steps", "8", "--metrics", "mig"]
SWEEP += ["--jobs", "2", "--device", "cpu", "--checkpoint", "0"]
HELD = '''
import os
import time

from benchmark.running import isolation
from methods import register
from methods.vae import VAE

@register("held")
class Held(VAE):
    """Where the environment says so it stands still after some steps until it is interrupted. Reference: none."""

    def loss(self, networks, batch, noise, hyperparameters, step):
        while "HELD" in os.environ and step >= 4 and not isolation.interrupted():
            time.sleep(0.01)
        return super().loss(networks, batch, noise, hyperparameters, step)
'''
RESULTS = ("spec.json", "history.csv", "model.safetensors", "pictures.npz", "probe.npz", "scores.json", "status.json")


def _start(out, arguments, **environment):
    command = [sys.executable, str(ROOT / "run_benchmark.py"), *arguments, "--out", str(out)]
    pipes = {"stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | environment, **pipes)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """The options of a sweep that can be made to stand still; what it registers in this process goes with it."""
    plugin = tmp_path_factory.mktemp("plugin") / "held.py"
    plugin.write_text(HELD)
    before = [dict(registry) for registry in plugins.REGISTRIES]
    yield [*SWEEP, "--plugin", str(plugin)]
    for registry, entries in zip(plugins.REGISTRIES, before, strict=True):
        registry.clear()
        registry.update(entries)
    plugins._loaded.discard(str(plugin.resolve()))


def _finish(out, sweep):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmark.report.regenerate.draw_all", lambda *_: [])
        assert main([*sweep, "--out", str(out)]) == 0


def _contents(out):
    """Every file of every run by name, apart from those that tell of times."""
    return {
        (folder.path.name, name): (folder.path / name).read_bytes() for folder in stored_runs(out) for name in RESULTS
    }


def _tables(out):
    lines = (out / "leaderboard.csv").read_text(), (out / "runs.csv").read_text()
    header = lines[1].splitlines()[0].split(",")
    times = header.index("train_seconds")
    return lines[0], [line.split(",")[:times] + line.split(",")[times + 1 :] for line in lines[1].splitlines()]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, sweep):
    out = tmp_path_factory.mktemp("unbroken")
    _finish(out, sweep)
    return out


def _wait_for(out, pattern, process):
    deadline = time.monotonic() + 120
    while not list(out.glob(pattern)):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _assert_as_unbroken(out, unbroken):
    assert _contents(out) == _contents(unbroken)
    assert _tables(out) == _tables(unbroken)
    assert not [path for path in out.rglob("*") if path.suffix == ".tmp" or path.name.startswith("checkpoint")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_an_interrupt_keeps_checkpoints_and_says_how_to_go_on(tmp_path, unbroken, sweep, number):
    """From the keyboard, from a batch system whose time is up, or from a terminal that is gone."""
    process = _start(tmp_path, sweep, HELD="yes")
    _wait_for(tmp_path, "runs/*/checkpoint-1.bin", process)
    os.kill(process.pid, number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.splitlines()[-1].startswith("interrupted; the same command goes on")
    assert "Traceback" not in told
    assert list(tmp_path.glob("runs/*/checkpoint-*.bin"))
    _finish(tmp_path, sweep)
    _assert_as_unbroken(tmp_path, unbroken)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="processes are not told of in /proc")
@pytest.mark.parametrize("children", [1, 2])
def test_an_interrupt_while_processes_start_prints_no_stack_trace(tmp_path, sweep, children):
    """From the keyboard it reaches them all, those too that have only begun to import."""
    process = _start(tmp_path, sweep, HELD="1")
    while process.poll() is None and len(_children_of(process.pid)) < children:
        time.sleep(0.001)
    time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=100)
    assert process.returncode == 130
    assert "Traceback" not in told
    assert "interrupted; " in told


def _children_of(number):
    tasks = Path(f"/proc/{number}/task").glob("*/children")
    return [child for task in tasks for child in task.read_text().split()]


def test_a_sweep_that_is_killed_goes_on(tmp_path, unbroken, sweep):
    process = _start(tmp_path, sweep, HELD="yes")
    _wait_for(tmp_path, "runs/*/checkpoint-0.bin", process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    _finish(tmp_path, sweep)
    _assert_as_unbroken(tmp_path, unbroken)


COUNTED = '''
import os, time
from methods import register
from methods.vae import VAE

COUNT = {count!r}

@register("counted")
class Counted(VAE):
    """Counts how often it is fitted. Reference: none."""

    def players(self):
        return {{}}

    def fit(self, networks, images, seed):
        with open(COUNT, "a") as file:
            file.write(str(os.getpid()) + "\\n")
        time.sleep(0.3)
'''


@pytest.fixture
def counted(tmp_path, plugins_anew):
    """A plugin, and the file that counts how often its method was fitted."""
    (tmp_path / "counted.py").write_text(COUNTED.format(count=str(tmp_path / "count")))
    return tmp_path / "counted.py", tmp_path / "count"


def test_two_sweeps_on_one_folder_train_each_run_once(tmp_path, counted):
    plugin, count = counted
    assert load_plugins([plugin]) == []
    out = tmp_path / "out"
    place = Workplace(out, "cpu", jobs=2, metrics=["mig"], plugins=(plugin,))
    specs = [RunSpec("counted", dataset="dsprites_mini", seed=seed) for seed in range(4)]
    with ThreadPoolExecutor(2) as sweeps:
        told = list(sweeps.map(lambda _: list(run_all(specs, place)), range(2)))
    assert [sorted(outcome.run_id for outcome in own) for own in told] == [sorted(spec.run_id for spec in specs)] * 2
    assert all(outcome.finished for own in told for outcome in own)
    assert len(count.read_text().split()) == 4
    assert len(list(stored_runs(out))) == 4
    for folder in stored_runs(out):
        assert folder.finished
        assert folder.sound


def _carry_out(plugin, out):
    load_plugins([plugin])
    spec = RunSpec("counted", dataset="dsprites_mini")
    yield from execute([spec], Workplace(out, "cpu", metrics=["mig"], plugins=[plugin], wait=True))


def test_eight_processes_on_one_run_train_it_once(tmp_path, counted):
    out, logs = tmp_path / "out", [tmp_path / f"log{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        endings = list(pool.map(lambda log: call_isolated(_carry_out, (counted[0], out), log), logs))
    assert [ending.reason for ending in endings] == [""] * 8
    assert all(outcome.finished for ending in endings for outcome in ending.told)
    assert len(counted[1].read_text().split()) == 1
    (folder,) = stored_runs(out)
    assert folder.finished
    assert folder.sound
