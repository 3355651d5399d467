"""Whatever a user's own method, metric or data set does: one sentence that names it, and the rest goes on."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

import methods
from benchmark.cli import main
from benchmark.plugins import load_plugins

pytestmark = [pytest.mark.whole, pytest.mark.usefixtures("plugins_anew", "without_figures")]
ROOT = Path(__file__).parents[2]
SWEEP = ["--datasets", "dsprites_mini", "--steps", "2", "--device", "cpu", "--jobs", "1", "--seeds", "0"]
METHOD = '''
import sys
from dataclasses import dataclass
from methods import register
from methods.base import choice, hyperparameter
from methods.vae import VAE

@register("mine")
class Mine(VAE):
    """Mine. Reference: none."""

    {body}
'''
METRIC = '''
import sys
import numpy as np
from metrics import register

@register(version=1, chance="0", ceiling="1", reference="none")
def found(table, rng):
    """What is found."""
    {body}
'''


REPORT = "def report(self, networks, hyperparameters):\n        return "


def _plugin(folder, text):
    path = folder / "mine.py"
    path.write_text(text)
    return f"--plugin={path}"


def _rows(path):
    with path.open() as file:
        return [*csv.DictReader(file)]


def _told(capsys):
    """What was said of errors: one sentence a line."""
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return err


# --- methods -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("from methods import register\n@register('mine')\nclass Mine:\n    pass", "builds on methods.base.Method"),
        ("from methods import register\n@register('mine')\ndef mine():\n    pass", "builds on methods.base.Method"),
        (METHOD.format(body="Hyperparameters = dict"), "Hyperparameters of mine is no dataclass"),
        (METHOD.format(body="cost = 'dear'"), "cost of mine is 'dear'"),
        (
            METHOD.format(body="@dataclass(frozen=True)\n    class Hyperparameters:\n        gamma: float"),
            "mine.gamma has no default",
        ),
        (
            METHOD.format(
                body="@dataclass(frozen=True)\n    class Hyperparameters:\n"
                "        gamma: float = hyperparameter(1.0, 'a weight', grid=('many',))"
            ),
            "mine.gamma is 'many'; it takes a number",
        ),
        (
            METHOD.format(
                body="@dataclass(frozen=True)\n    class Hyperparameters:\n"
                "        kind: str = choice('a', 'which', choices=('b', 'c'))"
            ),
            "mine.kind is 'a'; choose from b, c",
        ),
    ],
)
def test_what_is_no_method_is_left_out(tmp_path, text, reason):
    (warning,) = load_plugins([Path(_plugin(tmp_path, text).partition("=")[2])])
    assert reason in warning
    assert "mine" not in methods.REGISTRY


@pytest.mark.parametrize(
    "body",
    [
        "def __init__(self, **given):\n        raise RuntimeError('not today')",
        "def build(self):\n        raise RuntimeError('not today')",
        "def players(self):\n        raise RuntimeError('not today')",
        "def batches(self):\n        raise RuntimeError('not today')",
        "def objection(self):\n        sys.exit('not today')",
    ],
)
def test_a_method_that_breaks_is_refused_before_anything_is_trained(tmp_path, body, capsys):
    plugin, out = _plugin(tmp_path, METHOD.format(body=body)), tmp_path / "out"
    assert main([*SWEEP, "--methods", "mine,vae", "--metrics", "mig", plugin, "--out", str(out)]) == 2
    told = _told(capsys)
    assert "mine on dsprites_mini: it breaks" in told
    assert "not today" in told
    assert not (out / "runs").exists()
    assert main(["check", "mine", plugin]) == 1
    assert "not today" in capsys.readouterr().out


MEASURED = {
    "{'mig': 0.5}": "measures 'mig', which is a metric's name or a table's; choose another.",
    "{'udr': 0.5}": "measures 'udr', which is a metric's name or a table's",
    "{'mig_rank': 1}": "measures 'mig_rank', which is a metric's name or a table's",
    "{'my beta': 1}": "measures 'my beta', which is no name",
    "{'price': 1j}": "measures 1j for 'price'",
    "{'price': float('inf')}": "measures inf for 'price', where a finite number",
    "sys.exit(0)": "SystemExit: 0",
}


def test_what_a_method_measures_stands_under_its_own_names(tmp_path, capsys):
    """A plugin of as many methods, each of which costs its own run."""
    methods_of = {f"mine{number}": given for number, given in enumerate(MEASURED)}
    text = "\n".join(
        METHOD.format(body=f"{REPORT}{given}").replace('"mine"', f'"{name}"') for name, given in methods_of.items()
    )
    plugin, out = _plugin(tmp_path, text), tmp_path / "out"
    names = ",".join([*methods_of, "vae"])
    assert main([*SWEEP, "--methods", names, "--metrics", "mig", plugin, "--out", str(out)]) == 1
    assert f"{len(methods_of)} of {len(methods_of) + 1} runs failed" in _told(capsys)
    found = {row["method"]: (row["state"], row["reason"]) for row in _rows(out / "runs.csv")}
    assert found.pop("vae") == ("finished", "none")
    for name, given in methods_of.items():
        assert found[name][0] == "failed"
        assert MEASURED[given] in found[name][1]
    assert main(["check", "mine0", plugin]) == 1
    assert MEASURED[methods_of["mine0"]] in " ".join(capsys.readouterr().out.split())


# --- metrics -----------------------------------------------------------------------------------------


SCORED = {
    "return {'score': 1j}": "gave 1j for 'score'",
    "return {'total': 1.0}": "gave None for 'score'",
    "raise KeyError('key')": "KeyError: 'key'",
    "sys.exit(0)": "SystemExit: 0",
    "table.codes[:] = 0\n    return {'score': 0.5}": "read-only",
}


def test_a_metric_that_breaks_costs_its_own_score(tmp_path, capsys):
    """A plugin of as many metrics, each of which costs its own score, in a sweep and by `score`."""
    bodies = {f"found{number}": body for number, body in enumerate(SCORED)}
    text = "\n".join(METRIC.format(body=body).replace("def found", f"def {name}") for name, body in bodies.items())
    plugin, out, names = _plugin(tmp_path, text), tmp_path / "out", ",".join([*bodies, "mig"])
    assert main([*SWEEP, "--methods", "vae", "--metrics", names, plugin, "--out", str(out)]) == 1
    capsys.readouterr()
    rows = _rows(out / "runs.csv")
    (reason,) = {row["reason"] for row in rows}
    assert {row["state"] for row in rows} == {"finished"}
    assert {row["metric"] for row in rows} & {*bodies, "mig"} == {"mig"}
    table = tmp_path / "rows.csv"
    table.write_text("z0,size\n" + "".join(f"{k % 3 + k / 100},{k % 3}\n" for k in range(60)))
    assert main(["score", str(table), "--metrics", names, plugin]) == 1
    told = capsys.readouterr()
    assert "mig" in told.out
    for name, body in bodies.items():
        assert f"{name}: " in reason
        assert SCORED[body] in reason
        assert SCORED[body] in told.err


def test_a_metric_that_needs_what_breaks_costs_its_own_score(tmp_path, capsys):
    text = METRIC.format(body="return {'score': 0.5}").replace('reference="none"', 'reference="none", needs=len')
    plugin, out = _plugin(tmp_path, text), tmp_path / "out"
    assert main([*SWEEP, "--methods", "vae", "--metrics", "found,mig", plugin, "--out", str(out)]) == 1
    assert "found: TypeError" in _told(capsys)
    assert "mig" in (out / "runs.csv").read_text()


def test_a_metric_called_like_a_measure_is_told(tmp_path, capsys):
    text = METRIC.format(body="return {'score': 0.5}").replace("def found", "def reconstruction")
    plugin, out = _plugin(tmp_path, text), tmp_path / "out"
    assert main([*SWEEP, "--methods", "vae", "--metrics", "reconstruction,mig", plugin, "--out", str(out)]) == 0
    assert "reconstruction left out: its method measures something of that name" in _told(capsys)
    assert (out / "runs.csv").read_text().count(",reconstruction,") == 1
    # One that measures nothing is scored, and stands in the same table.
    assert main([*SWEEP, "--methods", "vae,pca", "--metrics", "reconstruction", plugin, "--out", str(out)]) == 0
    found = {row["method"]: row["reconstruction_mean"] for row in _rows(out / "leaderboard.csv")}
    assert found == {"vae": "", "pca": "0.5"}


# --- data sets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", ["raise KeyError('no')", "import sys; sys.exit(0)", "1 / 0"])
def test_a_data_set_that_cannot_be_made_ready(tmp_path, body, capsys):
    text = f"""
from benchmark.datasets import register
from benchmark.datasets.dsprites import dsprites_mini

@register("again")
def load_again(device, data_dir):
    data = dsprites_mini(device, data_dir)
    data.name = "again"
    def prepare(progress=False):
        {body}
    data.prepare = prepare
    return data
"""
    plugin = _plugin(tmp_path, text)
    for command in ([*SWEEP, "--datasets=again", "--out", str(tmp_path / "out")], ["check-data", "again"]):
        given = [word for word in command if word not in ("--datasets", "dsprites_mini")]
        assert main([*given, plugin]) == 2
        assert "error: data set 'again' cannot be made ready" in _told(capsys)


# --- the process -------------------------------------------------------------------------------------


def test_code_that_ends_the_process_is_no_success(tmp_path, monkeypatch, capsys):
    def leave(*given):
        sys.exit("enough")

    monkeypatch.setattr("benchmark.report.display.presets_table", leave)
    assert main(["list", "presets"]) == 1
    assert _told(capsys) == "error: code from outside called sys.exit('enough'); what was stored is kept.\n"


@pytest.mark.parametrize("command", ["list presets", "list --help", "--methods all --dry-run"])
def test_a_reader_that_has_seen_enough_is_no_error(command, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    line = f"set -o pipefail; {sys.executable} {ROOT / 'run_benchmark.py'} {command} | true"
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=99
    )
    assert (done.stderr, done.returncode in (0, 1)) == ("", True)


def test_hyperparameters_that_do_not_go_together_are_one_sentence(tmp_path, capsys):
    body = """@dataclass(frozen=True)
    class Hyperparameters:
        low: float = hyperparameter(1.0, "the least")
        high: float = hyperparameter(2.0, "the most")

        def __post_init__(self):
            assert self.low < self.high, "low is not below high"
"""
    plugin = _plugin(tmp_path, METHOD.format(body=body))
    assert main([*SWEEP, "--methods", "mine", "--set", "mine.low=3", plugin, "--out", str(tmp_path / "out")]) == 2
    assert "mine refuses its hyperparameters (AssertionError: low is not below high)" in _told(capsys)


def test_a_setting_of_a_plugins_method_is_refused_where_nothing_is_trained(tmp_path, capsys):
    plugin = _plugin(tmp_path, METHOD.format(body="version = 3"))
    assert main(["score", "x.npz", "--set", "mine.gamma=1", plugin]) == 2
    assert "--set says mine.gamma, and nothing is trained here" in _told(capsys)


def test_a_data_set_that_forgets_its_base(tmp_path, capsys):
    text = """
from benchmark.datasets import register
from benchmark.datasets.base import FactorDataset

class Mine(FactorDataset):
    def __init__(self):
        pass

    def images(self, indices, generator=None):
        return None

@register("again")
def load_again(device, data_dir):
    return Mine()
"""
    plugin = _plugin(tmp_path, text)
    given = [word for word in SWEEP if word not in ("--datasets", "dsprites_mini")]
    assert main([*given, "--datasets", "again", plugin, "--out", str(tmp_path / "out")]) == 2
    assert "error: data set 'again' cannot be used (AttributeError" in _told(capsys)
    assert main(["list", "datasets", plugin]) == 0
    assert "cannot be used" in capsys.readouterr().out
