"""What takes long to import is not waited for by answers that do not need it: told by what is imported, not by time."""

import subprocess
import sys
from pathlib import Path

import pytest

import methods
from benchmark import datasets

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "numpy", "pandas", "scipy", "sklearn", "lightgbm", "matplotlib", "seaborn", "joblib", "dask"}
ASK = """
import sys
from benchmark.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as end:
    code = end.code
print(code, *sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def _imported_for(command):
    """The exit code and what is imported of the heavy packages, once the command has been answered."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, *command.split()], capture_output=True, text=True, cwd=ROOT, timeout=300
    )
    code, *imported = done.stderr.splitlines()[-1].split()
    return int(code), HEAVY & set(imported)


@pytest.mark.parametrize(
    ("command", "code", "allowed"),
    [
        ("--help", 0, ""),
        ("score --help", 0, ""),
        ("nope", 2, ""),
        ("--nope", 2, ""),
        ("--steps 1.5", 2, ""),
        ("--seeds 4-2", 2, ""),
        ("--preset quik", 2, ""),
        ("--device gpu", 2, ""),
        ("--set beta", 2, ""),
        ("list nope", 2, ""),
        ("score x.npz --bin-factors 1", 2, ""),
        ("score x.csv --groups 3-1", 2, ""),
        ("rows --help", 0, ""),
        ("submit --help", 0, ""),
        ("submit x --name betavae", 2, ""),
        ("submit x --name mine", 2, ""),
        ("rows dsprite --to x.npz", 2, "numpy"),
        ("--methods betavea", 2, "numpy"),
        ("--methods vae,betavea", 2, "numpy"),
        ("--datasets dsprite", 2, "numpy"),
        ("--metrics migg", 2, "numpy"),
        ("--set betavea.beta=1", 2, "numpy"),
        ("check betavea", 2, "numpy"),
        ("check-data --help", 0, ""),
        ("check-data dsprite", 2, "numpy"),
        ("score x.npz --metrics migg", 2, "numpy"),
        ("score x.npz --metrics mig", 2, "numpy"),
        ("--set betavae.betta=1", 2, "numpy torch joblib"),
        ("list metrics", 0, "numpy"),
        ("list presets", 0, "numpy"),
        ("list methods", 0, "numpy torch"),
        ("list", 0, "numpy torch joblib"),
    ],
)
def test_an_answer_waits_for_what_it_needs(command, code, allowed):
    ended, imported = _imported_for(command)
    assert ended == code
    assert imported <= set(allowed.split())


def test_names_in_the_files_are_those_that_register():
    ours = {name for name, cls in methods.REGISTRY.items() if cls.__module__.startswith("methods.")}
    assert methods.FOLDER.names == ours
    ours = {name for name, load in datasets.REGISTRY.items() if load.__module__.startswith("benchmark.datasets.")}
    assert datasets.FOLDER.names == ours


@pytest.mark.parametrize("house", [methods, datasets])
def test_nothing_else_is_imported_when_asked_for(house):
    with pytest.raises(AttributeError, match="has no attribute 'REGISTRI'"):
        house.REGISTRI  # noqa: B018


TAKEN = """
from methods import register
from methods.base import Method

try:
    register("vae")(type("Mine", (Method,), {}))
except ValueError as error:
    print(error)
import methods
print(type(methods.REGISTRY) is dict, len(methods.REGISTRY) == len(methods.names()), "vae" in methods.REGISTRY)
"""


def test_a_name_of_ours_is_taken_before_ours_are_imported():
    done = subprocess.run([sys.executable, "-c", TAKEN], capture_output=True, text=True, cwd=ROOT, timeout=300)
    told, kept = done.stdout.splitlines()
    assert told.startswith("method 'vae' is registered already, by methods.vae.VAE in ")
    assert kept == "True True True"
