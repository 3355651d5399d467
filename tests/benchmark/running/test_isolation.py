"""Whatever becomes of one run costs that run alone."""

import hashlib
import os
import signal
import sys
import time
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest

from benchmark.plugins import load_plugins
from benchmark.running import execution, isolation, scheduler
from benchmark.running.execution import Outcome, Workplace, is_done
from benchmark.running.isolation import MOST_OUTPUT, call_isolated
from benchmark.running.scheduler import LOG, run_all, score_beside_training
from benchmark.spec import RunSpec
from benchmark.storage.store import RunFolder, run_folder

pytestmark = [pytest.mark.whole, pytest.mark.usefixtures("plugins_anew")]


def _tells():
    yield 1
    print("a word", flush=True)
    yield 2


def _raises():
    yield 1
    raise RuntimeError("no luck")


def _exits():
    yield 1
    sys.exit(3)


def _dies():
    yield 1
    os.kill(os.getpid(), signal.SIGKILL)


def _hangs():
    yield 1
    time.sleep(3600)


def _waits_and_tells():
    with isolation.waiting():
        time.sleep(0.5)
    yield 1


def _waits_and_hangs():
    with isolation.waiting():
        time.sleep(0.5)
    yield from _hangs()


def _floods():
    yield 1
    for _ in range(40):
        print("x" * 100_000, flush=True)
    yield 2


def _waits_for_an_interrupt():
    yield 1
    while not isolation.interrupted():
        time.sleep(0.01)
    yield 2


def test_what_is_told_and_written(tmp_path):
    ending = call_isolated(_tells, (), tmp_path / "log")
    assert (ending.told, ending.reason) == ([1, 2], "")
    assert (tmp_path / "log").read_text() == "a word\n"


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (_raises, "it ended its process with exit code 1"),
        (_exits, "it ended its process with exit code 3"),
        (_dies, "its process was killed (SIGKILL), perhaps for memory"),
        (_hangs, "it took longer than 1 seconds"),
        (_waits_and_hangs, "it took longer than 1 seconds"),
    ],
)
def test_how_it_ended(tmp_path, function, reason):
    if function in (_hangs, _waits_and_hangs):  # however long its process takes to begin
        assert call_isolated(function, (), tmp_path / "log", timeout=1).reason == reason
        return
    ending = call_isolated(function, (), tmp_path / "log")
    assert (ending.told, ending.reason) == ([1], reason)
    assert (tmp_path / "log").exists() == (function in (_raises, _exits))  # its stack trace


def test_waiting_for_others_takes_no_time(tmp_path, monkeypatch):
    stopped = []

    class Clock(isolation._Clock):
        def stop(self):
            began = self.due
            super().stop()
            assert not self.is_due
            stopped.append((began, time.monotonic()))

        def go_on(self):
            super().go_on()
            if stopped:
                began, at = stopped[-1]
                assert self.due - began == pytest.approx(time.monotonic() - at, abs=0.1)

    monkeypatch.setattr(isolation, "_Clock", Clock)
    ending = call_isolated(_waits_and_tells, (), tmp_path / "log", timeout=1000)
    assert (ending.told, ending.reason) == ([1], "")
    assert len(stopped) == 1


def test_what_fails_while_it_waits_leaves_the_others_run_alone(tmp_path):
    spec, place = RunSpec("vae", {}, "dsprites_mini", steps=2), Workplace(tmp_path, "cpu")
    folder = run_folder(tmp_path, spec.run_id)
    with ExitStack() as others:
        assert folder.lock(others, False, bool)
        told = scheduler._fail(spec.run_id, RuntimeError("no luck"), place)
        assert told == Outcome(spec.run_id, finished=False, reason="RuntimeError: no luck")
        assert not (folder.path / "status.json").exists()
    assert scheduler._fail(spec.run_id, RuntimeError("no luck"), place) == told
    assert folder.read_json("status.json")["state"] == "failed"


@pytest.mark.parametrize("order", [1, -1])
def test_runs_are_locked_in_one_order_and_trained_in_their_own(order, tmp_path, monkeypatch):
    """Two sweeps whose packs hold the same runs in other orders would wait for each other's for ever."""
    pack = [RunSpec("vae", {}, "dsprites_mini", steps=2, seed=seed) for seed in range(3)][::order]
    locked, trained = [], []
    monkeypatch.setattr(RunFolder, "lock", lambda folder, *_: locked.append(folder.path.name) or True)
    monkeypatch.setattr(execution, "_train_and_encode", lambda specs, _: trained.extend(specs) or iter(()))
    assert list(execution.train_and_encode(pack, Workplace(tmp_path, wait=True))) == []
    assert locked == sorted(spec.run_id for spec in pack)
    assert trained == pack


def test_a_flood_is_cut(tmp_path):
    assert call_isolated(_floods, (), tmp_path / "log").told == [1, 2]
    log = (tmp_path / "log").read_bytes()
    assert MOST_OUTPUT <= len(log) <= MOST_OUTPUT + 100
    assert log.endswith(b"left out\n")


FAULTY = '''
import os, signal, sys, time
from dataclasses import dataclass
from methods import register
from methods.base import hyperparameter
from methods.vae import VAE

@register("faulty")
class Faulty(VAE):
    """Fails in the way that its number says. Reference: none."""

    @dataclass(frozen=True)
    class Hyperparameters:
        kind: float = hyperparameter(0.0, "how it fails")

    def players(self):
        return super().players()

    def loss(self, networks, batch, noise, hyperparameters, step):
        terms = super().loss(networks, batch, noise, hyperparameters, step)
        kind = int(hyperparameters.kind)
        if kind == 1:
            raise RuntimeError("bad luck")
        if kind == 2:
            terms["loss"] = terms["loss"] * float("nan")
        if kind == 3:
            time.sleep(3600)
        if kind == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == 5:
            raise MemoryError("no memory left")
        if kind == 6:
            os._exit(5)
        if kind == 7:
            for _ in range(30):
                print("flood " * 20_000, flush=True)
        return terms
'''
METRIC = '''
from metrics import register

@register(version=1, chance="0", ceiling="1", reference="none")
def moody(table, rng):
    """Fails on the run whose stream begins so."""
    if rng.random() == FIRST:
        raise ValueError("not today")
    return {"score": 1.0}
'''
DEADLY = '''
import os
from metrics import register

@register(version=1, chance="0", ceiling="1", reference="none")
def deadly(table, rng):
    """Ends the process that scores the run whose stream begins so."""
    if rng.random() == FIRST:
        os._exit(7)
    return {"score": 1.0}
'''
REASONS = {
    1: "RuntimeError: bad luck",
    2: "DivergenceError: the loss is infinite or nan from step 1 on",
    3: "ProcessError: it took longer than 1 seconds",
    4: "ProcessError: its process was killed (SIGKILL), perhaps for memory",
    5: "MemoryError: no memory left",
    6: "ProcessError: it ended its process with exit code 5",
}


def _first_number(metric, seed):
    """What a metric's stream begins with in a run of that seed."""
    entropy = hashlib.sha256(f"{seed}/metric {metric}".encode()).digest()[:8]
    return repr(np.random.default_rng(int.from_bytes(entropy, "big") >> 1).random())


def test_training_in_one_process_and_scoring_in_others_is_as_isolated(tmp_path):
    """As on a GPU: a pack's process that dies costs the run at fault, and a scoring that dies its own."""
    plugins = tmp_path / "faulty.py", tmp_path / "deadly.py"
    plugins[0].write_text(FAULTY)
    plugins[1].write_text(DEADLY.replace("FIRST", _first_number("deadly", seed=8)))
    assert load_plugins(plugins) == []
    place = Workplace(tmp_path, "cpu", metrics=["mig", "deadly"], plugins=plugins)
    specs = [RunSpec("faulty", {"kind": kind}, "dsprites_mini", steps=2, seed=kind) for kind in (0, 6, 8)]
    outcomes = {outcome.run_id: outcome for outcome in score_beside_training([specs], place)}
    sound, exits, scored_badly = (outcomes[spec.run_id] for spec in specs)
    told = "its pack of 3 was halved: it ended its process with exit code 5"
    assert sound == Outcome(specs[0].run_id, finished=True, note=told)
    assert exits.reason == REASONS[6]
    assert scored_badly.reason == "ProcessError: it ended its process with exit code 7"
    # What was trained stays: the same command scores it alone.
    assert run_folder(tmp_path, specs[2].run_id).trained
    (again,) = score_beside_training([specs[2:]], replace(place, metrics=["mig"]))
    assert again.finished


def test_eight_kinds_of_failure_in_a_sweep_of_sixteen(tmp_path):
    """Raised, diverged, hung, killed, out of memory, exited, flooding, and a metric that raises."""
    plugins = tmp_path / "faulty.py", tmp_path / "moody.py"
    plugins[0].write_text(FAULTY)
    plugins[1].write_text(METRIC.replace("FIRST", _first_number("moody", seed=1)))
    place = Workplace(tmp_path, "cpu", jobs=4, metrics=["mig", "moody"], plugins=plugins, checkpoint_seconds=1000)
    load_plugins(plugins)
    specs = [
        RunSpec("faulty", {"kind": kind}, "dsprites_mini", seed=seed, steps=2) for kind in range(8) for seed in (0, 1)
    ]
    hung = [spec for spec in specs if spec.hyperparameters["kind"] == 3]
    others = [spec for spec in specs if spec not in hung]
    # Those that hang have a sweep of their own: how long the others take is the machine's business.
    told = [*run_all(hung, replace(place, timeout=1)), *run_all(others, place)]
    outcomes = {outcome.run_id: outcome for outcome in told}
    assert len(outcomes) == 16
    for spec in specs:
        kind, outcome = spec.hyperparameters["kind"], outcomes[spec.run_id]
        folder = run_folder(tmp_path, spec.run_id)
        if kind in REASONS:
            assert outcome.reason == REASONS[kind]
            assert folder.read_json("status.json")["reason"] == REASONS[kind]
            assert not is_done(spec, place)
        else:
            assert folder.finished
            assert outcome.reason == ("moody: ValueError: not today" if spec.seed == 1 else "")
            assert "mig" in folder.read_json("scores.json")["metrics"]
        assert not (folder.path / "progress.json").exists()
        log = folder.path / LOG
        assert (log.stat().st_size if log.exists() else 0) <= MOST_OUTPUT + 100
