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
for command in sys.argv[1:]:
    try:
        code = main(command.split())
    except SystemExit as end:
        code = end.code
    print("answered", code, *sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""
# Commands and their exit codes, by what an answer may import.
ALLOWED = {
    "": {
        "--help": 0,
        "score --help": 0,
        "nope": 2,
        "--nope": 2,
        "--steps 1.5": 2,
        "--seeds 4-2": 2,
        "--preset quik": 2,
        "--device gpu": 2,
        "--set beta": 2,
        "list nope": 2,
        "score x.npz --bin-factors 1": 2,
        "score x.csv --groups 3-1": 2,
        "rows --help": 0,
        "submit --help": 0,
        "submit x --name betavae": 2,
        "submit x --name mine": 2,
        "check-data --help": 0,
        "check-metric --help": 0,
    },
    "numpy": {
        "rows dsprite --to x.npz": 2,
        "--methods betavea": 2,
        "--methods vae,betavea": 2,
        "--datasets dsprite": 2,
        "--metrics migg": 2,
        "--set betavea.beta=1": 2,
        "check betavea": 2,
        "check-data dsprite": 2,
        "check-metric migg": 2,
        "score x.npz --metrics migg": 2,
        "score x.npz --metrics mig": 2,
        "list metrics": 0,
        "list presets": 0,
    },
    "numpy torch joblib": {
        "--set betavae.betta=1": 2,
        "list": 0,
    },
    "numpy torch": {
        "list methods": 0,
    },
}


@pytest.mark.parametrize("allowed", ALLOWED)
def test_an_answer_waits_for_what_it_needs(allowed):
    """One after the other in one process, as what one has imported stays for the next."""
    commands = ALLOWED[allowed]
    done = subprocess.run([sys.executable, "-c", ASK, *commands], capture_output=True, text=True, cwd=ROOT, timeout=300)
    answers = [line.split()[1:] for line in done.stderr.splitlines() if line.startswith("answered ")]
    for (command, code), (ended, *imported) in zip(commands.items(), answers, strict=True):
        assert int(ended) == code, command
        assert HEAVY & set(imported) <= set(allowed.split()), command


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
