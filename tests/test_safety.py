"""Nothing in a file that a user may be handed is executed, and nothing is written outside the output folder."""

import pickle
import re
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmark.cli import main
from benchmark.plugins import load_plugins
from benchmark.running.execution import Workplace, execute
from benchmark.spec import RunSpec, file_name
from benchmark.storage.store import run_folder

ROOT = Path(__file__).parents[1]
SOURCES = [path for room in ("benchmark", "methods", "metrics", "examples") for path in (ROOT / room).rglob("*.py")]
UNSAFE = re.compile(
    r"^\s*(import|from) (pickle|dill|cloudpickle|marshal|shelve|yaml)\b|torch\.load\(|joblib\.load|read_pickle"
    r"|allow_pickle=True|weights_only=False|\beval\((?!\))|\bexec\(|np\.load\((?!.*allow_pickle=False)",
    re.MULTILINE,
)
SWEEP = ["--methods", "vae", "--datasets", "dsprites_mini", "--steps", "2", "--metrics", "mig", "--device", "cpu"]


class _Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_the_trap_works(tmp_path):
    pickle.loads(pickle.dumps(_Trap(tmp_path / "sprung")))
    assert (tmp_path / "sprung").exists()


@pytest.mark.parametrize("text", ["import pickle", "x = np.load(path)", "torch.load(file)", "eval(text)"])
def test_the_search_finds(text):
    assert UNSAFE.search(text)


def test_no_code_loads_a_pickle():
    assert len(SOURCES) > 40
    for path in [*SOURCES, ROOT / "run_benchmark.py"]:
        assert not UNSAFE.search(path.read_text()), path


DATA = ("pictures.npz", "probe.npz", "agreement.json", "traversals.png", "history.csv")
REST = ("spec.json", "status.json", "scores.json", "environment.json", "model.safetensors", "checkpoint-0.bin")


def _set_traps(folder, trap, names):
    """Each of these files a pickle that would make a file, or an archive of such pickles."""
    for name in names:
        if name.endswith(".npz"):
            arrays = dict.fromkeys(("codes", "originals", "reconstructions", "traversals"), np.array([trap], object))
            np.savez(folder / name, **arrays)
        else:
            (folder / name).write_bytes(pickle.dumps(trap))


def test_nothing_in_a_runs_folder_is_executed(tmp_path, capsys):
    trap, out = _Trap(tmp_path / "sprung"), tmp_path / "out"
    folder = run_folder(out, RunSpec("vae", dataset="dsprites_mini", steps=2).run_id)
    folder.path.mkdir(parents=True)
    _set_traps(folder.path, trap, [*DATA, *REST])
    assert main(["leaderboard", "--out", str(out)]) == 0
    assert main([*SWEEP, "--out", str(out)]) == 0
    assert folder.finished
    _set_traps(folder.path, trap, DATA)  # in a run that counts as sound
    shutil.rmtree(out / "plots")
    assert main(["leaderboard", "--out", str(out)]) == 0
    assert not (tmp_path / "sprung").exists()


def test_malicious_data_and_arrays(tmp_path, capsys):
    trap = _Trap(tmp_path / "sprung")
    np.savez(tmp_path / "codes.npz", codes=np.array([trap], dtype=object), factors=np.array([trap], dtype=object))
    assert main(["score", str(tmp_path / "codes.npz")]) == 2
    published = tmp_path / "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
    np.savez(published, imgs=np.array([trap] * 3, dtype=object), latents_classes=np.array([trap] * 3, dtype=object))
    assert main(["--data-dir", str(tmp_path), "--dry-run"]) in (0, 2)
    assert main(["--data-dir", str(tmp_path), "--steps", "1", "--out", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "sprung").exists()


NAMES = [
    "../../escape",
    "/etc/passwd",
    "..",
    ".",
    "-rf",
    "a/b",
    "a\\b",
    "nul\0",
    "a\nb",
    "<script>",
    "~",
    "x" * 999,
    "",
]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_is_a_path(tmp_path, name):
    made = file_name([name, "vae"])
    assert re.fullmatch(r"[A-Za-z0-9_+][A-Za-z0-9._+-]*", made)
    (tmp_path / made).mkdir()
    assert (tmp_path / made).resolve().parent == tmp_path.resolve()
    assert len(made) <= 200


def test_a_choice_that_is_a_path_stays_in_the_output_folder(tmp_path, plugins_anew):
    plugin = tmp_path / "away.py"
    plugin.write_text(
        "from dataclasses import dataclass\nfrom methods import register\nfrom methods.base import choice\n"
        "from methods.vae import VAE\n\n@register('away')\nclass Away(VAE):\n    'Nowhere. Reference: none.'\n\n"
        "    @dataclass(frozen=True)\n    class Hyperparameters:\n"
        "        to: str = choice('../../../escape', 'where to', ('../../../escape', '/escape'))\n"
    )
    assert load_plugins([plugin]) == []
    for to in ("../../../escape", "/escape"):
        spec = RunSpec("away", {"to": to}, "dsprites_mini", steps=2)
        assert run_folder(tmp_path, spec.run_id).path.resolve().parent == (tmp_path / "runs").resolve()
    assert len({RunSpec("away", {"to": to}).run_id for to in ("../../../escape", "/escape")}) == 2


@pytest.mark.parametrize("line", ['methods = "../x"', 'datasets = "../x"', 'preset = "../x"', 'metrics = "/x"'])
def test_no_name_in_a_configuration_is_a_path(tmp_path, line, capsys):
    (tmp_path / "sweep.toml").write_text(f"{line}\nout = '{tmp_path / 'out'}'\n")
    assert main(["--config", str(tmp_path / "sweep.toml")]) == 2
    assert "x'" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.toml"]


def test_a_full_disk_in_mid_run_is_told_and_the_same_command_goes_on(tmp_path, monkeypatch):
    """The system refuses files as large as a model: the run fails with one line, and what was stored stays."""
    spec, workplace = RunSpec("vae", dataset="dsprites_mini", steps=2), Workplace(tmp_path, "cpu", metrics=["mig"])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        (outcome,) = execute([spec], workplace)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not outcome.finished
    assert outcome.reason == "OSError: [Errno 27] File too large"
    folder = run_folder(tmp_path, spec.run_id)
    assert folder.read_json("status.json")["reason"] == outcome.reason
    assert not list(folder.path.glob(".*"))
    (outcome,) = execute([spec], workplace)
    assert outcome.finished
