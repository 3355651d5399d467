"""Runs on a real Dask cluster of two worker processes, one of which is killed, are those of one machine."""

import logging
import os
import signal
import sys

import pytest

from benchmark.cli import main
from benchmark.errors import UsageError
from benchmark.running.execution import Workplace, execute
from benchmark.running.scheduler import run_all
from benchmark.spec import RunSpec
from benchmark.storage.store import run_folder

distributed = pytest.importorskip("distributed")
RUNS = int(os.environ.get("SOAK_RUNS", "3"))  # tests/soak.py asks for twelve
SPECS = [RunSpec("vae", dataset="dsprites_mini", seed=seed, steps=4) for seed in range(RUNS)]
SAME = ("spec.json", "history.csv", "model.safetensors", "pictures.npz", "scores.json")
pytestmark = [pytest.mark.whole, pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")]


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL
    ) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    out = tmp_path_factory.mktemp("local")
    workplace = Workplace(out, device="cpu", metrics=["mig"])
    assert all(outcome.finished for spec in SPECS for outcome in execute([spec], workplace))
    return out


def test_a_killed_worker_has_its_runs_done_elsewhere(cluster, local, tmp_path):
    workplace = Workplace(
        tmp_path,
        device="cpu",
        metrics=["mig"],
        backend="dask",
        dask_scheduler=cluster.scheduler_address,
        checkpoint_seconds=0,
    )
    outcomes = []
    killed = False
    for outcome in run_all(SPECS, workplace):
        outcomes.append(outcome)
        if not killed:  # the other worker is in the middle of a run
            os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)
            killed = True
    assert sorted(outcome.run_id for outcome in outcomes) == sorted(spec.run_id for spec in SPECS)
    assert all(outcome.finished for outcome in outcomes), outcomes
    for spec in SPECS:
        ours, theirs = (run_folder(out, spec.run_id).path for out in (tmp_path, local))
        for name in SAME:
            assert (ours / name).read_bytes() == (theirs / name).read_bytes(), name


def test_without_dask_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"pip install \"\.\[distributed\]\""):
        list(run_all(SPECS, Workplace(tmp_path, device="cpu", backend="dask")))


def test_a_scheduler_that_does_not_answer_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("benchmark.running.cluster.CONNECT_SECONDS", 0.5)
    given = ["--methods", "vae", "--datasets", "dsprites_mini", "--steps", "1", "--out", str(tmp_path), "--backend"]
    assert main([*given, "dask", "--dask-scheduler", "tcp://127.0.0.1:1"]) == 2
    assert "no Dask scheduler answers at 'tcp://127.0.0.1:1'" in capsys.readouterr().err
    assert main([*given, "mpi"]) == 2
    assert "unknown backend 'mpi'" in capsys.readouterr().err
    assert main([*given, "local", "--dask-scheduler", "tcp://127.0.0.1:1"]) == 2
    assert "add --backend dask" in capsys.readouterr().err
