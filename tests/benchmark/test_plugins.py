"""A user's own file is a method, a metric or a data set like any other."""

import csv
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import methods
import metrics
from benchmark import datasets, plugins
from benchmark.checks import check_method
from benchmark.cli import main
from benchmark.errors import UsageError
from benchmark.plugins import load_plugins

pytestmark = pytest.mark.usefixtures("plugins_anew")
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
    groups = {
        "disentanglement_benchmark.methods": [
            EntryPoint("offered", "offering", "disentanglement_benchmark.methods"),
            EntryPoint("breaking", "breaking", "disentanglement_benchmark.methods"),
        ]
    }
    monkeypatch.setattr(plugins, "entry_points", lambda group: groups.get(group, []))
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
    assert lines["aae"] <= 45


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_run(path, tmp_path, capsys):
    given = [f"--plugin={path}", "--methods", path.stem, "--datasets", "dsprites_mini", "--steps", "3"]
    assert main([*given, "--metrics", "mig", "--jobs", "1", "--device", "cpu", "--out", str(tmp_path)]) == 0
    assert f"{path.stem}" in capsys.readouterr().out
