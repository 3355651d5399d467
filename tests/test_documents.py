"""What the documents say is true: commands parse, examples train, links lead somewhere."""

import re
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import methods
import metrics
from benchmark import datasets
from benchmark.cli import main
from benchmark.datasets.trial import try_dataset
from benchmark.scoring.trial import try_metric
from benchmark.spec import RunSpec
from benchmark.training.harness import train
from tests.benchmarks.readme_board import rank

ROOT = Path(__file__).parents[1]
DOCUMENTS = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/metrics.md", "docs/methods.md"]


def _blocks(document, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / document).read_text(), re.DOTALL | re.MULTILINE)


def _benchmark_commands():
    text = "".join((ROOT / document).read_text() for document in DOCUMENTS)
    found = re.findall(r"python run_benchmark\.py([^`\n&#]*)", text)
    return sorted({command.strip() for command in found})


@pytest.mark.parametrize("command", _benchmark_commands())
def test_commands_are_understood(command, tmp_path, monkeypatch, example, plugins_anew, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = shlex.split(command)
    if arguments[:1] == ["score"]:
        codes = np.random.default_rng(0).integers(3, size=(300, 5))
        np.savez("codes.npz", codes=codes, factors=codes[:, :2])
        header = "z0,z1,z2,z3,z4,factor_a,factor_b"
        np.savetxt("table.csv", np.hstack([codes, codes[:, :2]]), fmt="%d", delimiter=",", header=header, comments="")
        assert main(arguments) == 0
    elif arguments[:1] == ["rows"]:
        monkeypatch.setattr("benchmark.scoring.fixed_rows.write_rows", lambda dataset, *_: dataset.name)
        assert main([word.replace("dsprites", "dsprites_mini") for word in arguments]) == 0
    elif arguments[:1] == ["submit"]:
        assert main(arguments) == 2
        assert "DIR is no folder" in capsys.readouterr().err
    elif "--plugin" in arguments and arguments[:1] != ["check"]:
        arguments[arguments.index("--plugin") + 1] = str(ROOT / arguments[arguments.index("--plugin") + 1])
        assert main([*arguments, "--dry-run"]) == 0
    elif arguments[:1] == ["check"]:
        arguments = [str(ROOT / word) if word.endswith(".py") else word for word in arguments]
        # What the checks find of each is for other tests.
        monkeypatch.setattr("benchmark.checks.check_method", lambda cls, device: [])
        assert main(arguments) == 0
    elif arguments[:1] == ["check-metric"]:
        monkeypatch.setattr("benchmark.scoring.trial.try_metric", lambda metric: [])
        assert main(arguments) == 0
    elif arguments[:1] == ["check-data"]:
        monkeypatch.setattr("benchmark.datasets.trial.try_dataset", lambda dataset: ([], []))
        assert main(arguments) == 0
    elif arguments[:1] in (["leaderboard"], ["archive"], ["paper"], ["score-stored"]):
        assert main(arguments) == 2
        assert "holds no runs" in capsys.readouterr().err  # understood, and nothing is stored there
    else:
        assert main(arguments if arguments[:1] == ["list"] else [*arguments, "--dry-run"]) == 0


@pytest.fixture
def example(monkeypatch):
    """The method, metric and data set of CONTRIBUTING.md, registered for one test."""
    for house in (methods, metrics, datasets):
        monkeypatch.setattr(house, "REGISTRY", dict(house.REGISTRY))
    monkeypatch.setattr(datasets, "VERSIONS", dict(datasets.VERSIONS))
    monkeypatch.setattr(datasets, "_versions", dict(datasets.VERSIONS))
    for code in _blocks("CONTRIBUTING.md", "python"):
        exec(code, {"__name__": "example"})


def test_the_citation_is_of_this_version():
    told = dict(line.split(": ", 1) for line in (ROOT / "CITATION.cff").read_text().splitlines() if ": " in line)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (told["version"], told["license"]) == (project["version"], project["license"])


def test_the_readme_shows_the_first_example():
    shown = _blocks("README.md", "python")
    assert (ROOT / "examples" / "sparsevae.py").read_text() in shown


def test_the_example_method_trains(example, mini):
    training = train(RunSpec("targetvae", {"target": 5}, "dsprites_mini", steps=30), mini)
    assert training.history[-1]["loss"] < training.history[0]["loss"]
    assert training.history[-1]["loss"] == pytest.approx(
        training.history[-1]["reconstruction"] + 100 * abs(training.history[-1]["kl"] - 5), rel=0.02
    )


def test_the_example_metric_scores(example):
    codes, factors = np.eye(3)[np.arange(60) % 3] * [1, 1, 0], np.arange(60)[:, None] % 3
    assert metrics.score(codes, factors, metrics=["used_codes"])["used_codes"] == {"score": pytest.approx(2 / 3)}


def test_the_example_metric_is_as_it_must_be(example):
    results = try_metric(metrics.find("used_codes"))
    assert [(result.check, result.reason) for result in results if result.state == "failed"] == []


def test_the_example_data_set_is_as_it_must_be(example):
    results, moved = try_dataset(datasets.load("bars"))
    assert [(result.check, result.reason) for result in results if result.state == "failed"] == []
    assert len(moved) == 2


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / document).read_text()):
        if not target.startswith("http"):
            assert ((ROOT / document).parent / target).exists(), target


def test_every_room_is_on_the_map():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for path in (ROOT / "benchmark").iterdir():
        name = f"{path.name}/" if path.is_dir() else path.name
        assert name in text or path.name.startswith("__"), path


def test_what_the_map_names_is_there():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for room, module in re.findall(r"`(report|running|scoring|storage|training)\.(\w+)", text):
        assert (ROOT / "benchmark" / room / f"{module}.py").is_file(), (room, module)
    for path in re.findall(r"`((?:tests|examples)/[\w/.]+)", text):
        assert (ROOT / path).exists(), path


def test_every_path_that_a_text_names_is_there():
    texts = [*ROOT.glob("*.md"), *(ROOT / "results" / "reference").rglob("*.md"), *ROOT.glob("examples/*.py")]
    texts += [path for room in ("benchmark", "methods", "metrics", "tests") for path in (ROOT / room).rglob("*.py")]
    named = {
        path
        for text in texts
        for path in re.findall(r"\b(?:tests|benchmark|methods|metrics|examples)/[\w/]+\.py\b", text.read_text())
    }
    assert len(named) > 10
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_the_leaderboard_is_that_of_the_reference_run():
    board = pd.read_csv(ROOT / "results" / "reference" / "quick" / "chosen.csv")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in _leaderboard_lines()]
    assert len(rows) == len(board)
    for row, (_, stored) in zip(rows, board.iterrows(), strict=True):
        settings = "" if stored["hyperparameters"] == "none" else stored["hyperparameters"]
        assert row[:3] == [rank(stored), f"{stored['method']} {settings}".strip(), str(stored["seeds"])]
        for cell, name in zip(row[3:], LEADERBOARD_COLUMNS, strict=True):
            parts = [stored[f"{name}_{part}"] for part in ("mean", "low", "high")]
            parts = [part for part in parts if not pd.isna(part)]  # no interval of one seed
            if not parts:
                assert cell == ""
                continue
            shown = [float(number) for number in re.findall(r"-?[\d.]+", cell)]
            digits = len(re.findall(r"\.(\d+)", cell)[0])
            assert shown == [round(part, digits) for part in parts], (name, cell)


LEADERBOARD_COLUMNS = [
    "beta_vae_score",
    "beta_vae_score.at_5_pairs",
    "factor_vae_score",
    "mig",
    "dci_fast",
    "udr",
    "reconstruction",
    "kl",
    "active_latents",
]


def _leaderboard_lines():
    text = (ROOT / "README.md").read_text().partition("## Leaderboard")[2].partition("\n## ")[0]
    return [line for line in text.splitlines() if re.match(r"\| *(\d+ \[\d+-\d+\])? *\| \w", line)]
