"""Packs carried out in this process, and spread over several: nothing that is stored depends on which."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import methods
import metrics
from benchmark.plugins import load_plugins
from benchmark.report.leaderboard import build_leaderboard, collect_runs
from benchmark.running import execution
from benchmark.running.execution import Workplace, execute, is_done, read_encoded, score
from benchmark.running.scheduler import carry_out, run_all, score_beside_training
from benchmark.spec import RunSpec
from benchmark.storage.store import run_folder
from benchmark.training import harness
from benchmark.training.checkpoint import Checkpoint
from benchmark.training.harness import DivergenceError
from methods.vae import VAE
from metrics import Metric

pytestmark = pytest.mark.whole

METRICS = ["beta_vae_score", "irs", "mig", "modularity"]
SPECS = [RunSpec("betavae", {"beta": beta}, "dsprites_mini", steps=4, seed=s) for beta in (1, 4) for s in (0, 1)]
FILES = {
    "spec.json",
    "history.csv",
    "model.safetensors",
    "environment.json",
    "scores.json",
    "pictures.npz",
    "traversals.png",
    "reconstructions.png",
    "probe.npz",
    "codes.npz",
    "status.json",
}


def _execute(workplace):
    (outcome,) = execute(SPECS[:1], workplace)
    return outcome


def _all(specs, workplace):
    return list(execute(specs, workplace))


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
    monkeypatch.setattr(execution, "train_pack", None)
    workplace = Workplace(finished, device="cpu", metrics=METRICS)
    assert all(is_done(spec, workplace) for spec in SPECS)
    assert _execute(workplace).finished


@pytest.mark.parametrize("name", ["spec.json", "scores.json", "status.json", "codes.npz", "probe.npz", "pictures.npz"])
def test_a_run_whose_files_are_damaged_is_made_whole_without_training(finished, tmp_path, monkeypatch, name):
    folder = Path(shutil.copytree(finished, tmp_path / "out")) / "runs" / SPECS[0].run_id
    sound = (folder / name).read_bytes()
    (folder / name).write_bytes(sound[:20])
    monkeypatch.setattr(execution, "train_pack", None)
    workplace = Workplace(tmp_path / "out", device="cpu", metrics=METRICS)
    assert not is_done(SPECS[0], workplace)
    assert _execute(workplace).finished
    assert (folder / name).read_bytes() == sound


def test_a_folder_that_holds_another_run_is_made_anew(finished, tmp_path):
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    first, second = (run_folder(out, spec.run_id) for spec in SPECS[:2])
    shutil.rmtree(first.path)
    shutil.copytree(second.path, first.path)
    workplace = Workplace(out, device="cpu", metrics=METRICS)
    assert not is_done(SPECS[0], workplace)
    assert _execute(workplace).finished
    assert _contents(out)[SPECS[0].run_id] == _contents(finished)[SPECS[0].run_id]


def test_a_new_metric_scores_without_training(finished, tmp_path, monkeypatch):
    assert _execute(Workplace(tmp_path, device="cpu", metrics=["mig"])).finished
    folder = run_folder(tmp_path, SPECS[0].run_id)
    assert set(folder.read_json("scores.json")["metrics"]) == {"mig"}
    everything = Workplace(tmp_path, device="cpu", metrics=METRICS)
    assert not is_done(SPECS[0], everything)
    monkeypatch.setattr(execution, "train_pack", None)
    assert _execute(everything).finished
    assert (folder.path / "scores.json").read_bytes() == _contents(finished)[SPECS[0].run_id][0]


def test_a_new_version_of_a_metric_is_scored_again(tmp_path, monkeypatch):
    workplace = Workplace(tmp_path, device="cpu", metrics=["probe"])
    for version in (1, 2):
        probe = Metric("probe", lambda *_, v=version: {"score": v}, version, (0, 2), True, "", "", "", ("score",))
        monkeypatch.setitem(metrics.REGISTRY, "probe", probe)
        assert not is_done(SPECS[0], workplace)
        _execute(workplace)
        assert is_done(SPECS[0], workplace)
    stored = run_folder(tmp_path, SPECS[0].run_id).read_json("scores.json")["metrics"]["probe"]
    assert (stored["version"], stored["values"]) == (2, {"score": 2})


def _break_down(*_, **__):
    raise RuntimeError("no luck\nsecond line")


def test_a_failure_costs_one_run_and_is_tried_again(tmp_path, monkeypatch):
    workplace = Workplace(tmp_path, device="cpu", metrics=["mig"])
    with monkeypatch.context() as patch:
        patch.setattr(execution, "train_pack", _break_down)
        outcome = _execute(workplace)
    assert not outcome.finished
    assert outcome.reason == "RuntimeError: no luck"
    folder = run_folder(tmp_path, SPECS[0].run_id)
    assert folder.read_json("status.json")["state"] == "failed"
    assert "_break_down" in folder.read_json("status.json")["traceback"]
    assert not (folder.path / "progress.json").exists()
    assert not is_done(SPECS[0], workplace)
    assert _execute(workplace).finished


def test_a_metric_that_raises_costs_its_cell(tmp_path, monkeypatch):
    broken = Metric("probe", _break_down, 1, (0, 1), True, "", "", "", ("score",))
    monkeypatch.setitem(metrics.REGISTRY, "probe", broken)
    workplace = Workplace(tmp_path, device="cpu", metrics=["mig", "probe"])
    for _ in range(2):
        outcome = _execute(workplace)
        assert not outcome.finished
        assert outcome.reason == "probe: RuntimeError: no luck"
        assert not is_done(SPECS[0], workplace)
    folder = run_folder(tmp_path, SPECS[0].run_id)
    assert set(folder.read_json("scores.json")["metrics"]) == {"mig"}
    assert folder.read_json("status.json") == {"state": "finished", "reason": outcome.reason}
    assert is_done(SPECS[0], Workplace(tmp_path, device="cpu", metrics=["mig"]))


def test_a_damaged_model_is_trained_again(finished, tmp_path):
    workplace = Workplace(tmp_path, device="cpu", metrics=["mig"])
    _execute(workplace)
    folder = run_folder(tmp_path, SPECS[0].run_id)
    (folder.path / "model.safetensors").write_bytes(b"torn")
    (folder.path / "scores.json").unlink()
    assert _execute(workplace).finished
    stored = (folder.path / "model.safetensors").read_bytes()
    assert stored == _contents(finished)[SPECS[0].run_id][1]


def _losses(out):
    return {spec.run_id: run_folder(out, spec.run_id).read_history()["loss"].tolist() for spec in SPECS}


def test_packs_are_the_runs_one_by_one(finished, tmp_path):
    outcomes = list(run_all(SPECS, Workplace(tmp_path, device="cpu", metrics=["mig"], pack=3)))
    assert all(outcome.finished for outcome in outcomes)
    for run_id, losses in _losses(finished).items():
        assert _losses(tmp_path)[run_id] == pytest.approx(losses, rel=1e-2)
        assert run_folder(tmp_path, run_id).read_json("environment.json")["pack"] == 2  # four in equal packs


SHORT_OF_MEMORY = """
import torch
from benchmark.running import execution

train_pack = execution.train_pack

def short_of_memory(specs, *rest, **named):
    if len(specs) > 2:
        raise torch.OutOfMemoryError("no memory left")
    return train_pack(specs, *rest, **named)

execution.train_pack = short_of_memory
"""


def test_a_pack_without_memory_is_halved_in_new_processes(tmp_path):
    plugin = tmp_path / "short_of_memory.py"
    plugin.write_text(SHORT_OF_MEMORY)
    outcomes = carry_out(SPECS, Workplace(tmp_path, device="cpu", metrics=["mig"], plugins=(plugin,)))
    assert [outcome.finished for outcome in outcomes] == [True] * 4
    told = "its pack of 4 was halved: its process ran out of memory"
    assert [outcome.note for outcome in outcomes] == [told] * 4
    for spec in SPECS:
        environment = run_folder(tmp_path, spec.run_id).read_json("environment.json")
        assert (environment["note"], environment["pack"]) == (told, 2)


def test_a_run_that_raises_costs_its_pack_nothing(tmp_path, monkeypatch):
    train_pack = execution.train_pack

    def faulty(specs, *rest, **named):
        if SPECS[2] in specs:
            raise RuntimeError("bad luck")
        return train_pack(specs, *rest, **named)

    monkeypatch.setattr(execution, "train_pack", faulty)
    outcomes = _all(SPECS, Workplace(tmp_path, device="cpu", metrics=["mig"]))
    assert [outcome.finished for outcome in outcomes] == [True, True, False, True]
    assert outcomes[2].reason == "RuntimeError: bad luck"
    assert outcomes[0].note == "trained by itself, as its pack failed (RuntimeError: bad luck)"


class _Deciding(VAE):
    """A loss that looks at a value, which cannot be mapped over runs."""

    def regulariser(self, networks, latents, hyperparameters, step):
        return latents.kl if latents.kl > 0 else -latents.kl


def test_a_method_that_cannot_be_mapped_trains_run_by_run(tmp_path, monkeypatch):
    monkeypatch.setitem(methods.REGISTRY, "vae", _Deciding)
    specs = [RunSpec("vae", {}, "dsprites_mini", seed=seed, steps=4) for seed in (0, 1)]
    for outcome in _all(specs, Workplace(tmp_path, device="cpu", metrics=["mig"])):
        assert outcome.finished
        assert outcome.note.startswith("trained by itself, as its pack failed (RuntimeError: vmap: ")
        environment = run_folder(tmp_path, outcome.run_id).read_json("environment.json")
        assert (environment["note"], environment["pack"]) == (outcome.note, 1)


def test_a_run_that_diverges_is_marked_with_its_step(tmp_path, monkeypatch):
    def diverging(specs, *rest, **named):
        (run_folder(tmp_path, SPECS[0].run_id).path / "checkpoint-0.bin").touch()
        return [DivergenceError("the loss is infinite or nan from step 3 on"), *train_pack(specs[1:], *rest)]

    train_pack = execution.train_pack
    monkeypatch.setattr(execution, "train_pack", diverging)
    outcomes = _all(SPECS[:2], Workplace(tmp_path, device="cpu", metrics=["mig"]))
    assert [outcome.finished for outcome in outcomes] == [False, True]
    status = run_folder(tmp_path, SPECS[0].run_id).read_json("status.json")
    assert status["state"] == "failed"
    assert "step 3" in status["reason"]
    assert not [*tmp_path.rglob("checkpoint-*")]  # which would go on from what is no number


def test_scoring_beside_training_changes_nothing(finished, tmp_path):
    packs = [SPECS[:1], SPECS[1:2]]
    workplace = Workplace(tmp_path, device="cpu", metrics=["mig", "beta_vae_score"])
    outcomes = list(score_beside_training(packs, workplace))
    assert sorted(outcome.run_id for outcome in outcomes if outcome.finished) == sorted(s.run_id for s in SPECS[:2])
    for spec in SPECS[:2]:
        ours, theirs = (run_folder(out, spec.run_id).read_json("scores.json") for out in (tmp_path, finished))
        assert ours["metrics"]["mig"] == theirs["metrics"]["mig"]
        assert ours["measures"] == theirs["measures"]


class _BrokenOff(BaseException):
    """As when a process is told to end."""


def _break_off(workplace, steps, monkeypatch):
    """Train the first run for so many steps, keeping a checkpoint after each, and stop."""
    train_pack = execution.train_pack

    def breaking(specs, dataset, *, save, **named):
        def save_and_stop(step, checkpoints):
            save(step, checkpoints)
            if step == steps:
                raise _BrokenOff

        return train_pack(specs, dataset, save=save_and_stop, **named)

    with monkeypatch.context() as patch:
        patch.setattr(execution, "train_pack", breaking)
        with pytest.raises(_BrokenOff):
            _execute(workplace)
    return run_folder(workplace.out, SPECS[0].run_id)


def _workplace(tmp_path):
    return Workplace(tmp_path, device="cpu", metrics=["mig"], checkpoint_seconds=0)


def _steps_taken(monkeypatch):
    steps = []
    advance = harness._Loop.advance
    monkeypatch.setattr(harness._Loop, "advance", lambda loop, *given: (steps.append(1), advance(loop, *given)))
    return steps


def _assert_as_unbroken(folder, finished):
    expected = run_folder(finished, SPECS[0].run_id).path
    for name in ("model.safetensors", "history.csv"):
        assert (folder.path / name).read_bytes() == (expected / name).read_bytes()
    assert {path.name for path in folder.path.iterdir()} == FILES


def test_a_broken_training_goes_on(finished, tmp_path, monkeypatch):
    folder = _break_off(_workplace(tmp_path), 3, monkeypatch)
    assert {path.name for path in folder.path.glob("checkpoint*")} == {"checkpoint-0.bin", "checkpoint-1.bin"}
    steps = _steps_taken(monkeypatch)
    assert _execute(_workplace(tmp_path)).finished
    assert len(steps) == 1
    _assert_as_unbroken(folder, finished)


@pytest.mark.parametrize(("damaged", "steps_left"), [(1, 2), (2, 4)])
def test_damaged_checkpoints_are_told_and_older_ones_used(finished, tmp_path, monkeypatch, damaged, steps_left):
    folder = _break_off(_workplace(tmp_path), 3, monkeypatch)
    newest_first = sorted(folder.path.glob("checkpoint*"), key=lambda path: -path.stat().st_mtime_ns)
    for path in newest_first[:damaged]:
        path.write_bytes(path.read_bytes()[:-1])
    steps = _steps_taken(monkeypatch)
    outcome = _execute(_workplace(tmp_path))
    assert outcome.finished
    assert len(steps) == steps_left
    assert outcome.note.count("checksum does not match") == damaged
    assert outcome.note.endswith("it began anew" if damaged == 2 else "it went on from step 2")
    _assert_as_unbroken(folder, finished)


class _Clock:
    """Time that goes on as it is told to."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def kept(monkeypatch):
    """A clock on which a checkpoint takes 3 seconds, and when and where each was written."""
    clock, written = _Clock(), []

    def write(folder, checkpoint, slot):
        clock.now += 3
        written.append((clock.now, folder.path.name, slot))

    monkeypatch.setattr(execution, "time", clock)
    monkeypatch.setattr(execution.RunFolder, "write_checkpoint", write)
    return clock, written


def _checkpoints(number):
    return lambda: [Checkpoint(1, {}, [], 0, 1.0)] * number


def test_checkpoints_take_two_percent_of_the_time_at_most(tmp_path, kept):
    clock, written = kept
    save = execution._saver(SPECS, Workplace(tmp_path, checkpoint_seconds=60))
    for step in range(100_000):
        clock.now += 0.1
        save(step, _checkpoints(len(SPECS)))
    took = 3 * len(written)
    assert 0.01 * clock.now < took <= 0.02 * clock.now
    assert len({slot for _, name, slot in written if name == written[0][1]}) == 2


def test_cheap_checkpoints_are_as_often_as_is_asked(tmp_path, kept):
    clock, written = kept
    save = execution._saver(SPECS[:1], Workplace(tmp_path, checkpoint_seconds=200))
    for step in range(1000):
        clock.now += 1
        save(step, _checkpoints(1))
    assert [now for now, *_ in written] == [203, 406, 609, 812, 1015]


def test_an_interrupts_checkpoints_fit_into_its_grace(tmp_path, kept, monkeypatch):
    clock, written = kept
    save = execution._saver(SPECS * 16, Workplace(tmp_path, checkpoint_seconds=60))
    monkeypatch.setattr(execution.isolation, "interrupted", lambda: True)
    with pytest.raises(KeyboardInterrupt):
        save(1, _checkpoints(64))
    assert 20 < clock.now < execution.isolation.GRACE_SECONDS
    assert len(written) == clock.now / 3


def test_a_checkpoint_that_does_not_fit_is_told_and_training_begins_anew(finished, tmp_path, monkeypatch):
    folder = _break_off(_workplace(tmp_path), 3, monkeypatch)
    checkpoint, _ = folder.read_checkpoint()
    folder.clear_checkpoints()
    tensors = {name: value for name, value in checkpoint.tensors.items() if "decoder" not in name}
    folder.write_checkpoint(replace(checkpoint, tensors=tensors))
    outcome = _execute(_workplace(tmp_path))
    assert outcome.finished
    assert "does not fit this method" in outcome.note
    _assert_as_unbroken(folder, finished)


ONE_FACTOR = """
import torch
from benchmark.datasets import register
from benchmark.datasets.base import FactorDataset

class Bars(FactorDataset):
    def images(self, indices):
        level = self.factors(indices)[:, 0, None, None]
        return (torch.arange(64)[:, None] < level + 1).float().expand(-1, 64, 64)[:, None].contiguous()

@register("bars")
def bars(device="cpu", data_dir=None):
    "60 images of one factor."
    return Bars("bars", "drawn", {"level": 60}, (1, 64, 64), device)
"""


def test_what_does_not_apply_is_left_out_once_and_is_no_failure(tmp_path, plugins_anew):
    """One factor: no metric of two applies, nor any to a factor of one value a row; nothing is left to do."""
    plugin = tmp_path / "bars.py"
    plugin.write_text(ONE_FACTOR)
    assert load_plugins([plugin]) == []
    place = Workplace(tmp_path, "cpu", metrics=["beta_vae_score", "mig"], plugins=(plugin,))
    spec = RunSpec("vae", dataset="bars", source="drawn", steps=2)
    (outcome,) = execute([spec], place)
    assert outcome.finished
    assert "beta_vae_score left out: beta_vae_score needs at least 2 factors" in outcome.note
    assert "mig left out: factor 'level' takes 40 values in 40 training rows" in outcome.note
    assert "of 20 test rows some have values that no training row has (20 of factor 'level')" in outcome.note
    assert is_done(spec, place)
    assert next(execute([spec], place)).note == ""


VECTORS = """
from methods import register
from methods.vae import VAE

@register("vectors")
class Vectors(VAE):
    "Reference: none."

    def groups(self):
        return ((0, 1, 2), (3,), tuple(range(4, 10)))
"""


def test_codes_that_are_vectors_are_scored_as_numbers_and_the_table_says_so(tmp_path, plugins_anew):
    """Scored anew from what is stored, too; the model and its pictures keep all columns."""
    plugin = tmp_path / "vectors.py"
    plugin.write_text(VECTORS)
    assert load_plugins([plugin]) == []
    spec = RunSpec("vectors", dataset="dsprites_mini", steps=2)
    assert next(execute([spec], Workplace(tmp_path, "cpu", metrics=["mig"], plugins=(plugin,)))).finished
    folder = run_folder(tmp_path, spec.run_id)
    for name in ("codes.npz", "probe.npz"):
        assert folder.read_arrays(name)["codes"].shape[1] == 3
    assert len(folder.read_arrays("pictures.npz")["traversals"]) == 10
    told = "3 groups of columns, each scored by its first principal component over the training rows"
    assert set(build_leaderboard(collect_runs(tmp_path))["remarks"]) == {told}
    encoded = read_encoded(folder, None)
    assert score(encoded, Workplace(tmp_path, "cpu", metrics=["mig", "sap"])).finished
    assert set(collect_runs(tmp_path)["remarks"]) == {told}


def test_options_of_a_metric_have_columns_of_their_own(finished, tmp_path):
    place = Workplace(tmp_path, "cpu", metrics=["mig", "mig[bins=5]"])
    assert next(execute(SPECS[:1], place)).finished
    scores = run_folder(tmp_path, SPECS[0].run_id).read_json("scores.json")["metrics"]
    assert scores["mig"]["values"] != scores["mig[bins=5]"]["values"]
    assert is_done(SPECS[0], place)
    assert not is_done(SPECS[0], replace(place, metrics=["mig[bins=6]"]))
    runs = collect_runs(tmp_path)
    assert {"mig", "mig[bins=5]", "mig[bins=5].ceiling"} <= set(runs["metric"])


def test_images_of_another_source_than_the_runs_are_refused(tmp_path):
    """As a worker of a cluster renders what it has no files of."""
    spec = replace(SPECS[0], source="published")
    (outcome,) = execute([spec], Workplace(tmp_path, device="cpu", metrics=METRICS))
    assert not outcome.finished
    assert "are 'rendered' here, and the run is of 'published'" in outcome.reason
    assert not run_folder(tmp_path, spec.run_id).trained


def test_a_model_that_is_made_anew_takes_with_it_what_followed_from_the_old_one(finished, tmp_path):
    folder = run_folder(tmp_path, SPECS[0].run_id)
    shutil.copytree(run_folder(finished, SPECS[0].run_id).path, folder.path)
    before = _contents_of(folder)
    scores = folder.read_json("scores.json")
    scores["metrics"]["mig"]["values"]["score"] = 0.5
    folder.write_json("scores.json", scores)
    folder.write_codes(read_encoded(folder, None).table.codes + 1, folder.read_arrays("codes.npz")["rows"][:256])
    (folder.path / "model.safetensors").unlink()
    workplace = Workplace(tmp_path, device="cpu", metrics=[*METRICS, "sap"])
    assert _execute(workplace).finished
    scores = folder.read_json("scores.json")
    assert "sap" in scores["metrics"]
    del scores["metrics"]["sap"]
    folder.write_json("scores.json", scores)
    assert _contents_of(folder) == before


def _contents_of(folder):
    names = ("scores.json", "model.safetensors", "history.csv", "pictures.npz", "codes.npz", "probe.npz")
    return [(folder.path / name).read_bytes() for name in names]


def test_what_had_finished_stays_so_when_a_later_metric_ends_its_process(finished, tmp_path):
    shutil.copytree(finished / "runs", tmp_path / "runs")
    execution.fail(SPECS[0].run_id, RuntimeError("it took longer than 3 seconds"), Workplace(tmp_path))
    folder = run_folder(tmp_path, SPECS[0].run_id)
    assert folder.finished
    assert "longer than 3 seconds" in folder.read_json("status.json")["reason"]
    assert build_leaderboard(collect_runs(tmp_path))["mig_n"].sum() == len(SPECS)
    (folder.path / "scores.json").unlink()
    execution.fail(SPECS[0].run_id, RuntimeError("again"), Workplace(tmp_path))
    assert folder.read_json("status.json")["state"] == "failed"


def test_a_full_disk_costs_the_run_that_it_hits(tmp_path, monkeypatch):
    write, stacked = execution.RunFolder.write_training, []

    def full(folder, *given):
        if folder.path.name == SPECS[1].run_id:
            raise OSError(28, "No space left on device")
        write(folder, *given)

    def train(specs, *given, **named):
        stacked.append(len(specs))
        return harness.train_pack(specs, *given, **named)

    monkeypatch.setattr(execution.RunFolder, "write_training", full)
    monkeypatch.setattr(execution, "train_pack", train)
    outcomes = _all(SPECS, Workplace(tmp_path, device="cpu", metrics=METRICS))
    assert [outcome.finished for outcome in outcomes] == [True, False, True, True]
    assert "No space left" in outcomes[1].reason
    assert stacked == [len(SPECS)]
