import json
import os
import signal

import pytest

import metrics
from benchmark import scheduler
from benchmark.scheduler import Workplace, execute, is_done, run_all
from benchmark.spec import RunSpec
from benchmark.store import run_folder
from metrics import Metric

# Those that take seconds at most.
METRICS = sorted(name for name, metric in metrics.REGISTRY.items() if metric.cost != "minutes")
SPECS = [RunSpec("betavae", {"beta": beta}, "dsprites_mini", steps=4, seed=s) for beta in (1, 4) for s in (0, 1)]
FILES = {
    "spec.json",
    "history.csv",
    "model.safetensors",
    "environment.json",
    "scores.json",
    "pictures.npz",
    "probe.npz",
    "status.json",
}


def _contents(out, names=("scores.json", "model.safetensors", "history.csv", "spec.json", "pictures.npz")):
    return {spec.run_id: [(run_folder(out, spec.run_id).path / name).read_bytes() for name in names] for spec in SPECS}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("finished")
    assert all(outcome.finished for outcome in run_all(SPECS, Workplace(out, device="cpu", jobs=1, metrics=METRICS)))
    return out


def test_a_runs_folder(finished):
    folder = run_folder(finished, SPECS[0].run_id)
    assert {path.name for path in folder.path.iterdir()} == FILES
    assert folder.read_json("spec.json") == json.loads(json.dumps(SPECS[0].to_dict()))
    environment = folder.read_json("environment.json")
    assert environment["threads"] == 1
    assert environment["precision"] in {"bf16", "fp32"}
    assert environment["steps_per_second"] > 0
    scores = folder.read_json("scores.json")
    assert scores["rows"] == {"train": 256, "test": 128}
    assert set(scores["metrics"]) == set(METRICS)
    assert scores["metrics"]["mig"]["packages"]["scikit-learn"]


def test_jobs_never_change_a_byte(finished, tmp_path):
    outcomes = list(run_all(SPECS, Workplace(tmp_path, device="cpu", jobs=2, metrics=METRICS)))
    assert {outcome.run_id for outcome in outcomes} == {spec.run_id for spec in SPECS}
    assert _contents(tmp_path) == _contents(finished)


def test_a_run_is_trained_once(finished, monkeypatch):
    monkeypatch.setattr(scheduler, "train", None)
    workplace = Workplace(finished, device="cpu", metrics=METRICS)
    assert all(is_done(spec, workplace) for spec in SPECS)
    assert execute(SPECS[0], workplace).finished


def test_a_new_metric_scores_without_training(finished, tmp_path, monkeypatch):
    assert execute(SPECS[0], Workplace(tmp_path, device="cpu", metrics=["mig"])).finished
    folder = run_folder(tmp_path, SPECS[0].run_id)
    assert set(folder.read_json("scores.json")["metrics"]) == {"mig"}
    everything = Workplace(tmp_path, device="cpu", metrics=METRICS)
    assert not is_done(SPECS[0], everything)
    monkeypatch.setattr(scheduler, "train", None)
    assert execute(SPECS[0], everything).finished
    assert (folder.path / "scores.json").read_bytes() == _contents(finished)[SPECS[0].run_id][0]


def test_a_new_version_of_a_metric_is_scored_again(tmp_path, monkeypatch):
    workplace = Workplace(tmp_path, device="cpu", metrics=["probe"])
    for version in (1, 2):
        probe = Metric("probe", lambda *_, v=version: {"score": v}, version, (0, 1), True, "", "", "", ("score",))
        monkeypatch.setitem(metrics.REGISTRY, "probe", probe)
        assert not is_done(SPECS[0], workplace)
        execute(SPECS[0], workplace)
        assert is_done(SPECS[0], workplace)
    stored = run_folder(tmp_path, SPECS[0].run_id).read_json("scores.json")["metrics"]["probe"]
    assert (stored["version"], stored["values"]) == (2, {"score": 2})


def _break_down(*_, **__):
    raise RuntimeError("no luck\nsecond line")


def test_a_failure_costs_one_run_and_is_tried_again(tmp_path, monkeypatch):
    workplace = Workplace(tmp_path, device="cpu", metrics=["mig"])
    with monkeypatch.context() as patch:
        patch.setattr(scheduler, "train", _break_down)
        outcome = execute(SPECS[0], workplace)
    assert not outcome.finished
    assert outcome.reason == "RuntimeError: no luck"
    folder = run_folder(tmp_path, SPECS[0].run_id)
    assert folder.read_json("status.json")["state"] == "failed"
    assert "_break_down" in folder.read_json("status.json")["traceback"]
    assert not (folder.path / "progress.json").exists()
    assert not is_done(SPECS[0], workplace)
    assert execute(SPECS[0], workplace).finished


def test_a_metric_that_raises_costs_its_cell(tmp_path, monkeypatch):
    broken = Metric("probe", _break_down, 1, (0, 1), True, "", "", "", ("score",))
    monkeypatch.setitem(metrics.REGISTRY, "probe", broken)
    workplace = Workplace(tmp_path, device="cpu", metrics=["mig", "probe"])
    for _ in range(2):
        outcome = execute(SPECS[0], workplace)
        assert not outcome.finished
        assert outcome.reason == "probe: RuntimeError: no luck"
        assert not is_done(SPECS[0], workplace)
    folder = run_folder(tmp_path, SPECS[0].run_id)
    assert set(folder.read_json("scores.json")["metrics"]) == {"mig"}
    assert folder.read_json("status.json") == {"state": "finished", "reason": outcome.reason}
    assert is_done(SPECS[0], Workplace(tmp_path, device="cpu", metrics=["mig"]))


def test_a_damaged_model_is_trained_again(finished, tmp_path):
    workplace = Workplace(tmp_path, device="cpu", metrics=["mig"])
    execute(SPECS[0], workplace)
    folder = run_folder(tmp_path, SPECS[0].run_id)
    (folder.path / "model.safetensors").write_bytes(b"torn")
    (folder.path / "scores.json").unlink()
    assert execute(SPECS[0], workplace).finished
    stored = (folder.path / "model.safetensors").read_bytes()
    assert stored == _contents(finished)[SPECS[0].run_id][1]


def _die(spec, workplace):
    if spec.seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return execute(spec, workplace)


def test_a_killed_process_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(scheduler, "execute", _die)
    outcomes = list(run_all(SPECS, Workplace(tmp_path, device="cpu", jobs=2, metrics=["mig"])))
    assert sorted(outcome.run_id for outcome in outcomes) == sorted(spec.run_id for spec in SPECS)
    assert any("was killed" in outcome.reason for outcome in outcomes)
