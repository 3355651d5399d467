"""A user's own file is a method, a metric or a data set like any other."""

import csv
import os
import re
from dataclasses import replace
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import numpy as np
import pytest

import methods
import metrics
from benchmark import datasets, plugins
from benchmark.checks import check_method
from benchmark.cli import main
from benchmark.errors import UsageError
from benchmark.plugins import load_plugins
from benchmark.running.execution import Workplace, execute
from benchmark.spec import RunSpec
from benchmark.storage.store import run_folder
from benchmark.training.harness import train_pack
from metrics import Table

pytestmark = [pytest.mark.whole, pytest.mark.usefixtures("plugins_anew")]
ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
METHOD = '''
from dataclasses import dataclass
from methods import register
from methods.base import hyperparameter
from methods.vae import VAE

@register("{name}")
class Mine(VAE):
    """Mine. Reference: none."""

    @dataclass(frozen=True)
    class Hyperparameters:
        gamma: float = hyperparameter(1.0, "a weight", grid=(1, 2))

    def regulariser(self, networks, latents, hyperparameters, step):
        return hyperparameters.gamma * latents.kl
'''
METRIC = '''
from metrics import register

@register(version=1, chance="0", ceiling="1", reference="none")
def rows_seen(table, rng):
    """How many rows there are, in thousands."""
    return {"score": len(table.codes) / 1000}
'''
DATASET = """
from benchmark.datasets import register
from benchmark.datasets.dsprites import dsprites_mini

@register("again")
def load_again(device, data_dir):
    data = dsprites_mini(device, data_dir)
    data.name = "again"
    return data
"""


def _write(folder, text, name="mine.py"):
    path = folder / name
    path.write_text(text)
    return path


def test_a_file_registers_once(tmp_path):
    path = _write(tmp_path, METHOD.format(name="mine"))
    assert load_plugins([path]) == []
    cls = methods.REGISTRY["mine"]
    assert load_plugins([path, tmp_path / "." / "mine.py"]) == []
    assert methods.REGISTRY["mine"] is cls


def test_metrics_and_data_sets(tmp_path):
    assert load_plugins([_write(tmp_path, METRIC, "a.py"), _write(tmp_path, DATASET, "b.py")]) == []
    assert metrics.score([[0.0], [1.0], [2.0]] * 4, [[0], [1], [2]] * 4, metrics=["rows_seen"]) == {
        "rows_seen": {"score": 0.008}
    }
    assert datasets.load("again").name == "again"


@pytest.mark.parametrize(
    ("text", "taken", "home"),
    [
        (METHOD.format(name="vae"), "method 'vae'", "vae.py"),
        (METRIC.replace("rows_seen", "mig"), "metric 'mig'", "mig.py"),
        (DATASET.replace('"again"', '"dsprites"'), "data set 'dsprites'", "dsprites.py"),
    ],
)
def test_a_name_clash_is_an_error_that_says_where_the_other_stands(tmp_path, text, taken, home, capsys):
    path = _write(tmp_path, text)
    for _ in range(2):
        with pytest.raises(UsageError, match=f"{taken} is registered already, by .*{home}"):
            load_plugins([path])
    assert main(["list", "methods", "--plugin", str(path)]) == 2
    assert capsys.readouterr().err.startswith("error: plugin")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("def", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        (METHOD.format(name="half") + "\n1 / 0", "ZeroDivisionError: division by zero"),
        (METHOD.format(name="../etc"), "small letters, digits and underscores, not '../etc'"),
    ],
)
def test_a_plugin_that_breaks_is_one_warning_and_leaves_nothing(tmp_path, text, reason, capsys):
    before = dict(methods.REGISTRY)
    broken, sound = _write(tmp_path, text, "broken.py"), _write(tmp_path, METHOD.format(name="mine"))
    (warning,) = load_plugins([broken, sound])
    assert "broken.py is left out" in warning
    assert reason in warning
    assert "\n" not in warning
    assert methods.REGISTRY.keys() - before.keys() == {"mine"}
    assert load_plugins([broken]) == []  # once is enough


def test_the_rest_goes_on(tmp_path, capsys):
    broken = _write(tmp_path, "1 / 0", "broken.py")
    assert main(["list", "presets", "--plugin", str(broken)]) == 0
    told = capsys.readouterr()
    assert told.err.count("warning: plugin") == 1
    assert "quick" in told.out


@pytest.mark.parametrize("name", ["absent.py", "."])
def test_no_such_file(tmp_path, name, capsys):
    assert main(["list", "--plugin", str(tmp_path / name)]) == 2
    assert "there is no plugin file" in capsys.readouterr().err


def test_installed_packages_offer_methods(tmp_path, monkeypatch):
    _write(tmp_path, METHOD.format(name="offered"), "offering.py")
    _write(tmp_path, "1 / 0", "breaking.py")
    monkeypatch.syspath_prepend(tmp_path)
    group = "disentanglement_benchmark.methods"
    offered = EntryPoints(EntryPoint(name, name, group) for name in ("offering", "breaking"))
    monkeypatch.setattr(plugins, "entry_points", lambda: offered)
    (warning,) = load_plugins()
    assert "offered" in methods.REGISTRY
    assert "breaking (breaking) is left out, as it breaks: ZeroDivisionError" in warning


def test_a_plugin_is_swept_trained_scored_and_tabled(tmp_path):
    """From the command line, runs in processes of their own, with a grid and a metric of the user's."""
    files = [_write(tmp_path, METHOD.format(name="mine")), _write(tmp_path, METRIC, "b.py")]
    out = tmp_path / "out"
    given = ["--methods", "mine", "--set", "mine.gamma=1,2", "--datasets", "dsprites_mini", "--steps", "3"]
    given += ["--metrics", "rows_seen", "--jobs", "2", "--out", str(out), "--device", "cpu"]
    assert main([*given, *(f"--plugin={file}" for file in files)]) == 0
    with (out / "leaderboard.csv").open() as file:
        rows = {(row["method"], row["hyperparameters"]): row for row in csv.DictReader(file)}
    assert set(rows) == {("mine", "gamma=1"), ("mine", "gamma=2")}
    assert {row["rows_seen_mean"] for row in rows.values()} == {"0.256"}
    # Tables follow from what is stored, with or without the plugin.
    before = (out / "leaderboard.csv").read_bytes()
    assert main(["leaderboard", "--out", str(out)]) == 0
    assert (out / "leaderboard.csv").read_bytes() == before


def test_check_on_the_command_line(tmp_path, capsys):
    path = _write(tmp_path, METHOD.format(name="mine").replace("hyperparameters.gamma * ", ""))
    assert main(["check", "mine", "--plugin", str(path)]) == 1
    assert "gamma changes nothing" in capsys.readouterr().out
    assert main(["check", "mime", "--plugin", str(path)]) == 2
    assert "did you mean 'mine'?" in capsys.readouterr().err


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_pass_every_check(path):
    assert load_plugins([path]) == []
    results = check_method(methods.REGISTRY[path.stem])
    assert [(result.check, result.reason) for result in results if result.state != "passed"] == []


def test_examples_are_short():
    lines = {path.stem: len(path.read_text().splitlines()) for path in EXAMPLES}
    assert lines["sparsevae"] <= 20
    assert lines["predvae"] <= 45


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run(path, tmp_path, capsys):
    given = [f"--plugin={path}", "--methods", path.stem, "--datasets", "dsprites_mini", "--steps", "3"]
    assert main([*given, "--metrics", "mig", "--jobs", "1", "--device", "cpu", "--out", str(tmp_path)]) == 0
    assert f"{path.stem}" in capsys.readouterr().out


SWEEP = ["--datasets", "dsprites_mini", "--steps", "2", "--device", "cpu", "--jobs", "1"]


class _Bench:
    """Sweeps with plugin files that are edited between them, each as in a process of its own."""

    def __init__(self, folder, capsys):
        self.folder, self.capsys = folder, capsys
        self.before = [dict(registry) for registry in plugins.REGISTRIES]

    def run(self, *arguments, files, seeds="0"):
        plugins._loaded.clear()
        for registry, entries in zip(plugins.REGISTRIES, self.before, strict=True):
            registry.clear()
            registry.update(entries)
        given = [part for file in files for part in ("--plugin", str(file))]
        sweep = SWEEP[2:] if "--datasets" in arguments else SWEEP
        assert main([*sweep, *arguments, *given, "--seeds", seeds, "--out", str(self.folder / "out")]) == 0
        return self.capsys.readouterr().err

    def rows(self):
        with (self.folder / "out" / "runs.csv").open() as file:
            return list(csv.DictReader(file))

    def value(self, metric):
        (value,) = (float(row["value"]) for row in self.rows() if row["metric"] == metric)
        return value

    def stale(self):
        (stale,) = {row["stale"] for row in self.rows()}
        return stale

    def trainings(self):
        return {path.stat().st_mtime_ns for path in (self.folder / "out").glob("runs/*/model.safetensors")}


@pytest.fixture
def bench(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("benchmark.report.regenerate.draw_all", lambda *_: [])  # it is the tables that matter
    return _Bench(tmp_path, capsys)


def test_an_edited_method_is_told_and_marked_and_made_again_when_asked(tmp_path, bench):
    method = ["--methods", "mine", "--metrics", "mig"]
    path = _write(tmp_path, METHOD.format(name="mine"))
    assert "other code" not in bench.run(*method, files=[path])
    loss, fresh = bench.value("reconstruction"), bench.stale()
    assert "0 to do" in bench.run(*method, files=[path])
    path.write_text(METHOD.format(name="mine").replace("* latents.kl", "* 1000 * latents.kl"))
    told = bench.run(*method, files=[path])
    assert "1 of the stored runs were made by other code of method mine" in told
    assert "--again" in told
    assert "0 to do" in told
    assert re.fullmatch(r"method mine was of other code [0-9a-f]{10}", bench.stale())
    assert bench.value("reconstruction") == loss
    assert "1 to do" in bench.run(*method, "--again", files=[path])
    assert bench.value("reconstruction") != loss
    assert bench.stale() == fresh
    assert "0 to do" in bench.run(*method, "--again", files=[path])


def test_an_edited_metric_is_scored_again_without_training(tmp_path, bench):
    given = ["--methods", "vae", "--metrics", "rows_seen"]
    path = _write(tmp_path, METRIC)
    bench.run(*given, files=[path])
    trainings = bench.trainings()
    path.write_text(METRIC.replace("/ 1000", "/ 500"))
    assert "other code of metric rows_seen" in bench.run(*given, files=[path])
    assert bench.value("rows_seen") == 0.256
    assert re.fullmatch(r"rows_seen was of other code [0-9a-f]{10}", bench.stale())
    bench.run(*given, "--again", files=[path])
    assert bench.value("rows_seen") == 0.512
    assert bench.trainings() == trainings


def test_tables_made_without_the_plugin_mix_no_codes(tmp_path, bench, capsys):
    """As nothing tells which code is the present one, neither has a rank; with the plugin named it is known."""
    given = ["--methods", "mine,vae", "--metrics", "mig"]
    path = _write(tmp_path, METHOD.format(name="mine"))
    bench.run(*given, files=[path], seeds="0-1")
    path.write_text(METHOD.format(name="mine").replace("* latents.kl", "* 1000 * latents.kl"))
    bench.run(*given, "--again", files=[path])
    out = tmp_path / "out"
    for command in (["leaderboard"], ["archive", "--to", str(tmp_path / "kept")]):
        made = tmp_path / "kept" if "--to" in command else out
        del methods.REGISTRY["mine"]
        assert main([*command, "--out", str(out)]) == 0
        rows = _rows_of(made, "mine")
        assert [row["seeds"] for row in rows] == ["1", "1"]
        assert all(row["stale"].startswith("method mine was of code ") for row in rows)
        assert len({row["stale"] for row in rows}) == 2
        assert {row["rank"] for row in rows} == {""}
        assert _rows_of(made, "vae")[0]["rank"] == "1"
        plugins._loaded.clear()
        assert main([*command, "--out", str(out), "--plugin", str(path)]) == 0
        present, other = sorted(_rows_of(made, "mine"), key=lambda row: row["stale"] != "none")
        assert (present["stale"], present["seeds"], other["seeds"]) == ("none", "1", "1")
        assert present["rank"]
        assert not other["rank"]


def test_an_edited_metric_costs_rows_its_own_scores_alone(tmp_path, bench):
    given = ["--methods", "vae", "--metrics", "mig,rows_seen"]
    path = _write(tmp_path, METRIC)
    bench.run(*given, files=[path], seeds="0-1")
    path.write_text(METRIC.replace("/ 1000", "/ 500"))
    bench.run(*given, "--again", files=[path])
    (row,) = _rows_of(tmp_path / "out", "vae")
    assert (row["rank"], row["seeds"], row["mig_n"]) == ("1", "2", "2")
    assert (row["rows_seen_n"], float(row["rows_seen_mean"])) == ("1", 0.512)
    assert row["stale"].startswith("rows_seen was of other code ")
    del metrics.REGISTRY["rows_seen"]
    assert main(["leaderboard", "--out", str(tmp_path / "out")]) == 0
    (row,) = _rows_of(tmp_path / "out", "vae")
    assert (row["rank"], row["mig_n"]) == ("1", "2")
    assert "rows_seen_n" not in row
    assert row["stale"].startswith("rows_seen was of code ")


def _rows_of(out, method):
    with (out / "leaderboard.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["method"] == method]


def test_an_edited_data_set_and_a_moved_file(tmp_path, bench):
    given = ["--methods", "vae", "--metrics", "mig", "--datasets", "again"]
    path = _write(tmp_path, DATASET)
    bench.run(*given, files=[path])
    trainings = bench.trainings()
    (tmp_path / "elsewhere").mkdir()
    moved = path.rename(tmp_path / "elsewhere" / "other.py")
    assert "other code" not in bench.run(*given, files=[moved])
    moved.write_text(DATASET + "\n# another line\n")
    assert "other code of data set again" in bench.run(*given, files=[moved])
    bench.run(*given, "--again", files=[moved])
    assert bench.trainings() != trainings


def test_code_of_one_size_and_time_is_not_taken_for_another(tmp_path):
    """As Python does that has compiled the one before."""
    path = _write(tmp_path, METRIC)
    for code in (METRIC, METRIC.replace("/ 1000", "/ 2000")):
        plugins._loaded.clear()
        metrics.REGISTRY.pop("rows_seen", None)
        path.write_text(code)
        os.utime(path, (1e9, 1e9))
        assert load_plugins([path]) == []
        codes = np.arange(500)[:, None] % 2.0
        table = Table(codes, codes.astype(int), codes, codes.astype(int))
        assert metrics.REGISTRY["rows_seen"].score(table, 0)["score"] == (0.5 if code == METRIC else 0.25)
    assert not list(tmp_path.rglob("__pycache__"))


DERIVED = """
import methods

@methods.register("derived")
class Derived(methods.REGISTRY["base"]):
    "Derived. Reference: none."
"""


def test_a_class_that_a_plugin_builds_on_is_part_of_its_code(tmp_path):
    base = _write(tmp_path, METHOD.format(name="base"), "base.py")
    derived = _write(tmp_path, DERIVED, "derived.py")
    assert load_plugins([base, derived]) == []
    before = {name: plugins.present_code(methods.REGISTRY, name) for name in ("base", "derived", "vae")}
    assert before["vae"] == ""
    base.write_text(base.read_text() + "\n# another line\n")
    plugins._loaded.clear()
    for name in ("base", "derived"):
        del methods.REGISTRY[name]
    assert load_plugins([base, derived]) == []
    for name in ("base", "derived"):
        assert plugins.present_code(methods.REGISTRY, name) != before[name]
    assert plugins.present_code(methods.REGISTRY, "nowhere") is None


def test_a_half_done_run_of_other_code_begins_anew(tmp_path):
    """Neither its checkpoint is gone on from, nor a model that was not yet scored taken for one of the present code."""
    path = _write(tmp_path, METHOD.format(name="mine"))
    assert load_plugins([path]) == []
    place = Workplace(tmp_path, "cpu", metrics=["mig"], checkpoint_seconds=0, plugins=(path,))
    spec = RunSpec("mine", dataset="dsprites_mini", steps=3)
    folder = run_folder(tmp_path, spec.run_id)
    _train_one_step(spec, folder, code="0123456789")
    (outcome,) = execute([spec], place)
    assert outcome.finished
    assert outcome.note == "its checkpoint was made by other code of a plugin; it began anew"
    unbroken = (folder.path / "model.safetensors").read_bytes()
    (folder.path / "status.json").unlink()
    folder.write_json("environment.json", folder.read_json("environment.json") | {"code": {"method": "0123456789"}})
    (folder.path / "model.safetensors").write_bytes(b"of other code")
    (outcome,) = execute([spec], place)
    assert outcome.finished
    assert (folder.path / "model.safetensors").read_bytes() == unbroken


def _train_one_step(spec, folder, code):
    """Leave the checkpoint that a training of one step by that code leaves."""
    kept = []
    train_pack([spec], datasets.load(spec.dataset), save=lambda step, checkpoints: kept.extend(checkpoints()))
    folder.write_checkpoint(replace(kept[0], code=code))
