import json
import resource
import shutil
import stat
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from benchmark.datasets import cache
from benchmark.presets import PRESETS
from benchmark.report.leaderboard import write_tables
from benchmark.scoring.pictures import save_picture
from benchmark.spec import RunSpec, name_run
from benchmark.storage.store import RunFolder, find_copies, run_folder, stored_runs, tables_lock, write_atomically
from benchmark.training.checkpoint import Checkpoint

GOLDEN = Path(__file__).parents[2] / "data" / "golden"


def test_write_replaces_whole_files(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    for content in (b"one", b"another"):
        write_atomically(path, content)
        assert path.read_bytes() == content
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


CHECKPOINT = Checkpoint(3, {"w": torch.arange(1000.0)}, [], 0, 1.0)
WRITERS = {
    "bytes": lambda folder: write_atomically(folder / "file.txt", b"word" * 1000),
    "json": lambda folder: RunFolder(folder).write_json("scores.json", {"a": list(range(1000))}),
    "arrays": lambda folder: RunFolder(folder).write_arrays("probe.npz", {"a": np.random.default_rng(0).random(999)}),
    "training": lambda folder: RunFolder(folder).write_training(
        nn.ModuleDict({"a": nn.Linear(30, 30)}), [{"step": step} for step in range(500)], {"pack": 1, "a": "b" * 3000}
    ),
    "checkpoint": lambda folder: RunFolder(folder).write_checkpoint(CHECKPOINT),
    "picture": lambda folder: save_picture(Image.effect_noise((64, 64), 50), folder / "scores.png"),
    "tables": lambda folder: write_tables(folder),
    "cache": lambda folder: cache._write(folder / "a.bits", [np.zeros((9, 500), np.uint8)]),
}


def _fail_to_open(patch):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    patch.setattr("tempfile.mkstemp", fail)
    patch.setattr(Path, "open", fail)


def _fail_in_mid_write(patch):
    """The system itself refuses more than so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    patch.callback(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))


def _fail_before_the_rename(patch):
    def fail(*_):
        raise OSError(5, "Input/output error")

    patch.setattr(Path, "replace", fail)


class _Patch(ExitStack):
    def setattr(self, target, *rest):
        patch = pytest.MonkeyPatch()
        self.callback(patch.undo)
        patch.setattr(target, *rest)


def _contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("fail", [_fail_to_open, _fail_in_mid_write, _fail_before_the_rename])
@pytest.mark.parametrize("writer", WRITERS)
def test_a_failed_write_keeps_what_was_there(tmp_path, writer, fail):
    if writer == "tables":
        shutil.copytree(Path(__file__).parents[2] / "data" / "golden" / "runs", tmp_path / "runs")
    for _ in range(2):  # a checkpoint fills two slots in turn
        WRITERS[writer](tmp_path)
    before = _contents(tmp_path)
    for path in before:
        if "runs" not in path.parts and not path.name.startswith("checkpoint"):
            path.write_bytes(b"old")
    old = _contents(tmp_path)
    with _Patch() as patch, pytest.raises(OSError, match=r"Errno (5|27|28)\]"):
        fail(patch)
        WRITERS[writer](tmp_path)
    assert _contents(tmp_path) == old
    WRITERS[writer](tmp_path)
    assert _contents(tmp_path).keys() == before.keys()
    assert b"old" not in _contents(tmp_path).values()


def test_progress_that_cannot_be_written_is_no_matter(tmp_path):
    RunFolder(tmp_path / "absent").write_progress({"phase": "training"})
    assert not list(tmp_path.iterdir())


def test_what_a_killed_aggregation_left_is_removed_and_nothing_else(tmp_path):
    left = [".runs.csv.a1.tmp", "plots/dsprites-quick/.scores.png.b2.tmp", "runs/vae/.agreement.json.c3.tmp"]
    others = ["runs.csv", "plots/dsprites-quick/scores.png", "runs/vae/.model.safetensors.d4.tmp", "runs/vae/spec.json"]
    for name in [*left, *others]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    with tables_lock(tmp_path):
        assert not [name for name in left if (tmp_path / name).exists()]
        assert all((tmp_path / name).exists() for name in others)


def test_states(tmp_path):
    folder = RunFolder(tmp_path)
    assert not folder.trained
    assert not folder.finished
    folder.write_json("environment.json", {})
    folder.write_json("status.json", {"state": "failed"})
    assert folder.trained
    assert not folder.finished
    folder.write_json("status.json", {"state": "finished"})
    assert folder.finished


@pytest.mark.parametrize("content", ["", "{", "[]", "\xff"])
def test_damaged_json_reads_as_nothing(tmp_path, content):
    (tmp_path / "status.json").write_bytes(content.encode("latin-1"))
    assert RunFolder(tmp_path).read_json("status.json") == {}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_specification_of_any_preset_is_read_again(tmp_path, preset):
    told = RunSpec("vae", preset=preset).to_dict()
    RunFolder(tmp_path).write_json("spec.json", told)
    assert name_run(RunFolder(tmp_path).read_json("spec.json")) == name_run(told)


def test_nan_is_not_stored(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        RunFolder(tmp_path).write_json("scores.json", {"score": float("nan")})
    assert not list(tmp_path.iterdir())


def test_pictures_round_trip_without_pickle(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.read_arrays("pictures.npz") == {}
    folder.write_arrays("pictures.npz", {"originals": np.arange(8, dtype=np.uint8).reshape(2, 1, 2, 2)})
    assert folder.read_arrays("pictures.npz")["originals"].shape == (2, 1, 2, 2)
    with (tmp_path / "pictures.npz").open("wb") as file:
        np.savez(file, originals=np.array([_Trap()], dtype=object))
    assert folder.read_arrays("pictures.npz") == {}
    (tmp_path / "pictures.npz").write_bytes(b"torn")
    assert folder.read_arrays("pictures.npz") == {}


class _Trap:
    """Unpickling it fails the test."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was executed",))


def test_stored_runs_are_those_with_a_specification_or_scores(tmp_path):
    assert list(stored_runs(tmp_path)) == []
    for name, file in (("b", "spec.json"), ("a", "scores.json"), ("c", "status.json")):
        run_folder(tmp_path, name).write_json(file, {})
    assert [folder.path.name for folder in stored_runs(tmp_path)] == ["a", "b"]


def test_a_run_is_stored_once_whatever_its_folder_is_called(tmp_path):
    spec = json.loads((next((GOLDEN / "runs").iterdir()) / "spec.json").read_text())
    own = name_run(spec)
    for name in (own, f"{own} (copy)", "a copy", f"a-backup-{own}", "another"):
        run_folder(tmp_path, name).write_json("spec.json", spec if name != "another" else spec | {"seed": 9})
    assert [folder.path.name for folder in stored_runs(tmp_path)] == ["another", own]
    assert find_copies(tmp_path) == {f"{own} (copy)": own, "a copy": own, f"a-backup-{own}": own}
    shutil.rmtree(tmp_path / "runs" / own)
    shutil.rmtree(tmp_path / "runs" / f"a-backup-{own}")
    assert find_copies(tmp_path) == {f"{own} (copy)": "a copy"}
    assert [folder.holds_its_own for folder in stored_runs(tmp_path)] == [False, False]


def test_folders_of_names_of_their_own_are_not_looked_into(tmp_path, monkeypatch):
    for name in ("vae-s0-0123456789", "vae-s1-abcdef0123"):
        run_folder(tmp_path, name).write_json("spec.json", {})
    monkeypatch.setattr(RunFolder, "read_json", None)
    assert len([*stored_runs(tmp_path)]) == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("scores.json", {"measures": {"converged": True}}),
        ("scores.json", {"metrics": {"mig": {"version": "2"}}}),
        ("status.json", {"state": "failed", "reason": "\udcff"}),
        ("spec.json", {"method_version": 1.5}),
    ],
)
def test_what_would_not_be_read_again_is_not_written(tmp_path, name, content):
    with pytest.raises(ValueError, match=f"{name} would not be read again"):
        RunFolder(tmp_path).write_json(name, content)
    assert [*tmp_path.iterdir()] == []


def test_progress_comes_and_goes(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_progress({"step": 1})
    assert json.loads((tmp_path / "progress.json").read_text()) == {"step": 1}
    folder.clear_progress()
    folder.clear_progress()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("spec.json", '{"method_version": "1"}'),
        ("spec.json", '{"hyperparameters": {"beta": NaN}}'),
        ("spec.json", '{"hyperparameters": {"beta": "two\\nlines"}}'),
        ("spec.json", '{"protocol": {"steps": 1e999}}'),
        ("spec.json", '{"protocol": ' + "[" * 50 + "]" * 50 + "}"),
        ("spec.json", '{"protocol": ' + "[" * 5000 + "]" * 5000 + "}"),
        ("scores.json", '{"measures": {"kl": null}}'),
        ("scores.json", '{"measures": {"kl": 1' + "0" * 400 + "}}"),
        ("scores.json", '{"metrics": {"[red]": {}}}'),
        ("scores.json", '{"metrics": {"mig": {"values": {"score": "0.5"}}}}'),
        ("environment.json", '{"seconds": 1, "pack": 0}'),
        ("status.json", '{"state": ["finished"]}'),
        ("status.json", '{"reason": "\\ud800"}'),
        ("agreement.json", '{"values": [1]}'),
    ],
)
def test_json_of_another_shape_reads_as_nothing(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    assert RunFolder(tmp_path).read_json(name) == {}


@pytest.mark.parametrize(
    ("name", "arrays"),
    [
        ("pictures.npz", {"traversals": np.zeros((2, 3), np.uint8)}),
        ("pictures.npz", {"originals": np.zeros((2, 1, 4, 4))}),
        ("pictures.npz", {"reconstructions": np.zeros((2, 1, 4, 4), np.uint8)}),
        ("pictures.npz", {"reconstructions_unseen": np.zeros((2, 1, 4, 4), np.uint8)}),
        ("codes-seen.npz", {"codes": np.zeros((4, 2))}),
        ("codes-unseen.npz", {"codes": np.zeros((4, 2)), "rows": np.zeros(3, np.int32)}),
        ("probe.npz", {"codes": np.full((4, 2), np.nan)}),
        ("probe.npz", {"codes": np.array(["a", "b"])}),
        ("probe.npz", {"others": np.zeros((4, 2))}),
    ],
)
def test_arrays_of_another_shape_read_as_nothing(tmp_path, name, arrays):
    RunFolder(tmp_path).write_arrays(name, arrays)
    assert RunFolder(tmp_path).read_arrays(name) == {}


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "step,loss\n1,x\n", "step,loss\n1,1e999\n"])
def test_a_history_of_another_shape_reads_as_nothing(tmp_path, content):
    (tmp_path / "history.csv").write_text(content)
    assert RunFolder(tmp_path).read_history().empty
