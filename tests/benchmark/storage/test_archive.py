"""A copy of finished runs without their models: the same tables and figures, and new metrics without training."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import metrics
from benchmark.cli import main
from benchmark.errors import UsageError
from benchmark.running import execution
from benchmark.storage.store import RunFolder, run_folder, stored_runs

pytestmark = pytest.mark.whole

GOLDEN = Path(__file__).parents[2] / "data" / "golden"
SWEEP = ["--methods", "betavae", "--betas", "1,4", "--seeds", "0-2", "--steps", "3", "--datasets", "dsprites_mini"]
SWEEP += ["--metrics", "beta_vae_score,mig", "--jobs", "1", "--device", "cpu"]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    out = tmp_path_factory.mktemp("sweep")
    assert main([*SWEEP, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def archive(sweep, tmp_path_factory):
    to = tmp_path_factory.mktemp("reference")
    assert main(["archive", "--out", str(sweep), "--to", str(to), "--codes", "2"]) == 0
    return to


@pytest.fixture
def archived(archive, tmp_path):
    """A copy of the archive, to do with as a test likes."""
    return Path(shutil.copytree(archive, tmp_path / "reference"))


def _products(out):
    """Tables and figures by name; the locks beside them and the runs apart."""
    paths = [*out.glob("*.csv"), *out.glob("plots/*/*.png")]
    return {str(path.relative_to(out)): path.read_bytes() for path in paths}


def test_tables_and_figures_are_the_same_byte_for_byte(sweep, archived):
    assert len(_products(sweep)) > 6
    assert _products(archived) == _products(sweep)


def test_they_are_made_again_from_the_copy_alone(archived):
    before = _products(archived)
    for path in [*archived.glob("*.csv"), archived / "plots"]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert main(["leaderboard", "--out", str(archived)]) == 0
    assert _products(archived) == before


def test_what_is_kept(sweep, archived):
    kept = {folder.path.name: {path.name for path in folder.path.iterdir()} for folder in stored_runs(archived)}
    assert set(kept) == {folder.path.name for folder in stored_runs(sweep)}
    each = {"spec.json", "scores.json", "environment.json", "agreement.json", "status.json"}
    for name, files in kept.items():
        seed = int(name.split("-s")[1][0])
        assert files == each | ({"pictures.npz", "history.csv"} if seed == 0 else set()) | (
            {"codes.npz"} if seed < 2 else set()
        ), name


def test_codes_are_those_that_were_scored_but_for_rounding(sweep, archived):
    for folder in stored_runs(archived):
        if folder.keeps_codes:
            encoded = execution.read_encoded(folder, None)
            scored = folder.read_json("scores.json")
            assert encoded.measures == scored["measures"]
            assert len(encoded.table.codes) == scored["rows"]["train"]
            assert metrics.find("mig").score(encoded.table, encoded.seed)["score"] == pytest.approx(
                scored["metrics"]["mig"]["values"]["score"], abs=0.03
            )


def test_a_new_metric_is_scored_without_training(archived, monkeypatch, capsys):
    monkeypatch.setattr("benchmark.training.harness.train_pack", None)  # nothing can be trained
    before = {name: content for name, content in _products(archived).items() if name == "runs.csv"}
    assert main(["score-stored", str(archived), "--metrics", "mig,irs"]) == 0
    printed = capsys.readouterr()
    assert "4 runs to score" in printed.err
    assert "runs that stay as they are: 2 (no codes are kept)" in printed.err
    scored = {folder.path.name: set(folder.read_json("scores.json")["metrics"]) for folder in stored_runs(archived)}
    assert sum("irs" in own for own in scored.values()) == 4
    assert all({"mig", "beta_vae_score"} <= own for own in scored.values())
    rows = (archived / "runs.csv").read_text().splitlines()
    old = [row for row in rows if ",irs" not in row]
    assert "\n".join(old) + "\n" == before["runs.csv"].decode()  # what was there is as it was
    assert main(["score-stored", str(archived), "--metrics", "irs"]) == 0  # and is not scored twice
    assert "0 runs to score" in capsys.readouterr().err


def test_a_method_that_is_no_longer_there_is_scored_too(archived):
    folder = next(stored_runs(archived))
    folder.write_json("spec.json", folder.read_json("spec.json") | {"method": "forgotten", "preset": "forgotten"})
    assert main(["score-stored", str(archived), "--metrics", "irs"]) == 0
    assert "irs" in folder.read_json("scores.json")["metrics"]


@pytest.mark.parametrize(
    ("arrays", "kept"),
    [
        ({"codes": np.ones((384, 2), np.float16), "rows": np.arange(384)}, True),
        ({"codes": np.ones((384, 2), np.float16)}, False),
        ({"codes": np.ones((384, 2), np.float16), "rows": np.arange(383)}, False),
        ({"codes": np.ones((384, 2), np.float16), "rows": np.arange(384) - 1}, False),
        ({"codes": np.ones((384, 2), np.float16), "rows": np.arange(384) + 10**7}, False),
        ({"codes": np.full((384, 2), np.inf, np.float16), "rows": np.arange(384)}, False),
        ({"codes": np.ones((100, 2), np.float16), "rows": np.arange(100)}, False),
    ],
)
def test_damaged_codes_are_none(tmp_path, arrays, kept):
    finished = next(folder for folder in stored_runs(GOLDEN) if folder.finished)
    folder = RunFolder(Path(shutil.copytree(finished.path, tmp_path / finished.path.name)))
    folder.write_arrays("codes.npz", arrays)
    if kept:
        assert execution.read_encoded(folder, None).table.codes.shape[1] == 2
    else:
        with pytest.raises(UsageError, match=r"codes\.npz is"):
            execution.read_encoded(folder, None)


def test_codes_of_any_size_are_kept(tmp_path):
    for size, kind in ((1.0, np.float16), (1e6, np.float32)):
        folder = RunFolder(tmp_path / f"{size}")
        codes = size * np.random.default_rng(0).normal(size=(10, 3))
        folder.write_codes(codes, np.arange(10))
        stored = folder.read_arrays("codes.npz")["codes"]
        assert stored.dtype == kind
        np.testing.assert_allclose(stored, codes, rtol=1e-3)


@pytest.mark.parametrize(("deviation", "kind"), [(1.0, np.float16), (0.0, np.float16), (1e-3, np.float32)])
def test_codes_that_hardly_move_do_not_seem_quantised(tmp_path, deviation, kind):
    codes = np.random.default_rng(0).normal(size=(2000, 3)) * [1, 1, deviation] + [0, 0, 0.7]
    folder = RunFolder(tmp_path)
    folder.write_codes(codes, np.arange(len(codes)))
    stored = folder.read_arrays("codes.npz")["codes"]
    assert stored.dtype == kind
    assert deviation == 0 or len(np.unique(stored[:, 2])) > 1000


@pytest.mark.parametrize(("sharpness", "kind"), [(1, np.float16), (6, np.float32)])
def test_probabilities_near_0_do_not_become_ties(tmp_path, sharpness, kind):
    logits = sharpness * np.random.default_rng(0).normal(size=(2000, 4))
    codes = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    folder = RunFolder(tmp_path)
    folder.write_codes(codes, np.arange(len(codes)))
    stored = folder.read_arrays("codes.npz")["codes"]
    assert stored.dtype == kind
    assert (stored == 0).mean() < 0.01
    folder.write_codes(codes.round(), np.arange(len(codes)))  # ties that are there already
    assert folder.read_arrays("codes.npz")["codes"].dtype == np.float16


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["archive", "--to", "{new}"], "holds no runs"),
        (["archive", "--out", "{out}"], "--to"),
        (["archive", "--out", "{out}", "--to", "{out}"], "name another folder"),
        (["archive", "--out", "{out}", "--to", "{out}/runs"], "where the runs already are"),
        (["archive", "--out", "{out}", "--to", "{out}/runs/deeper"], "where the runs already are"),
        (["archive", "--out", "{out}", "--to", ""], "to is ''"),
        (["archive", "--out", "{out}", "--to", "{new}", "--codes", "-1"], "codes is '-1'"),
        (["archive", "--out", "{out}", "--to", "{new}", "--pictures", "x"], "pictures is 'x'"),
        (["score-stored", "{new}"], "holds no runs"),
        (["score-stored", "{out}", "--metrics", "mgi"], "mgi"),
        (["score-stored", "{out}", "--jobs", "0"], "jobs is '0'"),
    ],
)
def test_bad_usage(given, message, sweep, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert main([part.format(out=sweep, new=tmp_path / "new") for part in given]) == 2
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_runs_go_into_a_folder_around_their_own(sweep, tmp_path):
    out = Path(shutil.copytree(sweep, tmp_path / "results" / "big"))
    assert main(["archive", "--out", str(out), "--to", str(tmp_path / "results")]) == 0
    assert len([*stored_runs(tmp_path / "results")]) == 6


def test_a_run_that_does_not_say_what_it_is_is_not_copied(sweep, tmp_path):
    out = Path(shutil.copytree(sweep, tmp_path / "out"))
    (next(stored_runs(out)).path / "spec.json").write_text("{")
    assert main(["archive", "--out", str(out), "--to", str(tmp_path / "to")]) == 0
    assert len([*stored_runs(tmp_path / "to")]) == 5


def test_a_run_whose_files_say_too_little_stops_no_other(archived, capsys):
    first, *others = stored_runs(archived)
    first.write_json("scores.json", {"rows": {"train": 256, "test": 128}, "codes": 10})
    assert main(["score-stored", str(archived), "--metrics", "irs"]) == 0
    assert "runs that stay as they are: 1 (its files do not say 'measures')" in capsys.readouterr().err
    assert "irs" in others[0].read_json("scores.json")["metrics"]


def test_a_run_that_is_not_finished_is_not_copied(sweep, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(sweep, out)
    folder = run_folder(out, next(stored_runs(out)).path.name)
    (folder.path / "status.json").unlink()
    assert main(["archive", "--out", str(out), "--to", str(tmp_path / "to")]) == 0
    assert len([*stored_runs(tmp_path / "to")]) == 5
