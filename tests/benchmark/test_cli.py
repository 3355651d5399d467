import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from benchmark.cli import main

pytestmark = pytest.mark.whole

ROOT = Path(__file__).parents[2]
MINI = ["--datasets", "dsprites_mini", "--steps", "3", "--seeds", "0", "--jobs", "1"]
SOME = "beta_vae_score,mig"
GOLDEN = ROOT / "tests" / "data" / "golden"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def _everything_under(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_main_job_end_to_end(out, capsys):
    command = ["--methods", "betavae", "--betas", "1,4", *MINI[:4], "--seeds", "0-1", "--jobs", "1"]
    command += ["--metrics", SOME, "--out", str(out)]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert "4 runs, 4 to do" in printed.err
    assert "[4/4]" in printed.err
    assert "256 + 128 rows" in printed.out
    assert "beta=1" in printed.out
    assert "beta=4" in printed.out
    board = pd.read_csv(out / "leaderboard.csv")
    assert board["seeds"].tolist() == [2, 2]
    assert set(board["source"]) == {"rendered"}
    assert len(list((out / "plots").rglob("*.png"))) == 7

    before = _everything_under(out)
    assert main(command) == 0
    assert "4 runs, 0 to do" in capsys.readouterr().err
    assert _everything_under(out) == before

    for name in ("runs.csv", "leaderboard.csv"):
        (out / name).unlink()
    assert main(["leaderboard", "--out", str(out)]) == 0
    assert _everything_under(out) == before


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("--methods betvae", "unknown method 'betvae'; did you mean 'betavae'?"),
        ("--methods vae,", "methods is 'vae,'"),
        ("--betas -1", "betavae.beta is -1.0; it takes a number of at least 0."),
        ("--betas 1,,2", "betavae.beta is '1,,2'"),
        ("--betas one", "it takes numbers such as 1,4,16, or grid"),
        ("--betas inf", "betavae.beta is inf"),
        ("--methods vae --betas 2", "none of vae has a beta; add betavae"),
        ("--set betavae.bta=3", "unknown hyperparameter of betavae 'bta'; did you mean 'beta'?"),
        ("--set vae.beta=3", "vae has no hyperparameters"),
        ("--set vae.beta=grid", "vae.beta has no grid"),
        ("--set betavae", "--set takes METHOD.NAME=VALUE,VALUE"),
        ("--set betvae.beta=grid", "did you mean 'betavae'?"),
        ("--methods vae --set betavae.beta=3", "'betavae' is not among the methods"),
        ("--preset quik", "did you mean 'quick'?"),
        ("--datasets dsprite", "did you mean 'dsprites'?"),
        ("--metrics migg", "did you mean 'mig'?"),
        ("--metrics udr", "udr cannot be chosen: tables have it where their runs have what it takes; leave it out."),
        ("--metrics ,", "metrics is ','"),
        ("--seeds 4-2", "seeds '4-2' is no range"),
        ("--seeds x", "seeds is 'x'"),
        ("--seeds -1", "seeds is '-1'"),
        ("--seeds 0-99999999999999999999", "is no range of seeds"),
        ("--threads 100000", "threads is 100000; this machine has"),
        ("--steps 0", "steps is '0'; it takes a whole number from 1 to 1,000,000,000."),
        ("--steps 1.5", "steps is '1.5'"),
        ("--jobs 0", "jobs is '0'"),
        ("--threads no", "threads is 'no'"),
        ("--device gpu", "device is 'gpu'; choose from auto, cpu, cuda."),
        ("--stepz 3", "unknown option '--stepz'; did you mean '--steps'?"),
        ("--steps 1٣", "steps is '1٣'; it takes a whole number from 1 to 1,000,000,000."),
        (f"--steps {10**400}", "it takes a whole number from 1 to 1,000,000,000."),
        (f"--steps {'9' * 5000}", "it takes a whole number from 1 to 1,000,000,000."),
        ("--seeds ٣", "seeds is '٣'; it takes whole numbers"),
        (f"--seeds 0-{'9' * 5000}", "it takes whole numbers"),
        ("--betas 1_000", "betavae.beta is '1_000'; it takes numbers"),
        ("--betas ٣", "betavae.beta is '٣'; it takes numbers"),
        ("--betas 1e300", "betavae.beta is 1e+300; it takes a number of at least 0 and at most 1e+30."),
        ("--metrics=", "metrics is ''"),
        ("--data-dir=", "data-dir is '', which is no path (it is empty)."),
        ("--config=", "config is '', which is no path"),
        ("--plugin=", "plugin is '', which is no path"),
        ("--out= --dry-run", "out is '', which is no path"),
        ("--out a\x00b --dry-run", r"out is 'a\x00b', which is no path"),
        (f"--out {'a' * 300} --dry-run", "which is no path (File name too long)."),
        (f"--out {'a/' * 1900} --dry-run", "File name too long"),
        (f"--plugin {'a' * 300}", "which is no path (File name too long)."),
        ("--config a\x00b", r"config is 'a\x00b', which is no path"),
        ("--backend dask --dask-scheduler= --dry-run", "dask-scheduler is ''"),
        ("--dask-scheduler=", "add --backend dask"),
        ("=1+1", "unknown command '=1+1'"),
        ("--dry-run =1+1", "unknown option '=1+1'"),
        ("--config \x1b[31m.toml", r"cannot read \x1b[31m.toml: No such file or directory."),
        ("score a\x00b", r"file is 'a\x00b', which is no path"),
        (f"leaderboard --out {'a' * 300}", "which is no path (File name too long)."),
        ("--methods", "--methods"),
        ("rnu", "unknown command 'rnu'; did you mean 'run'?"),
        ("list method", "did you mean 'methods'?"),
        ("list methods metricz", "did you mean 'metrics'?"),
        ("--config none.toml", "cannot read none.toml"),
        ("--data-dir .", ". holds no dsprites_ndarray"),
        ("leaderboard --out /nowhere", "/nowhere/runs holds no runs"),
        ("leaderboard --steps 3", "unknown option '--steps'"),
        ("leaderboard --out a --out b", "--out is given twice; give it once."),
        ("--methods vae --methods betavae", "--methods is given twice"),
        ("--set betavae.beta=1 --set betavae.beta=4", "betavae.beta is set twice; give its values once"),
        ("--betas 1 --set betavae.beta=4", "betavae.beta is set twice, by betas and by set"),
        ("score x.npz --set vae.beta=1", "--set says vae.beta, and nothing is trained here"),
        ("score-stored x --set betavae.beta=1", "--set says betavae.beta, and nothing is trained here"),
        ("score x.npz --bin-factors 1001", "bin-factors is '1001'; it takes a whole number from 2 to 1,000"),
        ("list datasets --data-dir nowhere", "unknown option '--data-dir'"),
        ("--data-dir nowhere", "data-dir is 'nowhere', where there is no folder"),
        ("check-data dsprites_mini --data-dir nowhere", "data-dir is 'nowhere', where there is no folder"),
    ],
)
def test_bad_usage_is_one_sentence(command, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(command.split()) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert list(tmp_path.iterdir()) == []


def test_a_file_name_on_two_lines_stays_on_one(capsys):
    assert main(["--config", "two\nlines.toml"]) == 2
    assert capsys.readouterr().err == "error: cannot read two\\nlines.toml: No such file or directory.\n"


def test_a_folder_whose_name_is_no_text_is_told_of(tmp_path):
    """A process of its own, as its output is as strict as a terminal's."""
    out = tmp_path / os.fsdecode(b"\xff")
    shutil.copytree(ROOT / "tests" / "data" / "golden" / "runs", out / "runs")
    command = [sys.executable, str(ROOT / "run_benchmark.py"), "leaderboard", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=os.environ, timeout=300)
    assert done.returncode == 0, done.stderr
    assert r"\udcff/leaderboard.csv" in done.stdout


def test_many_seeds_are_listed_in_time(out, capsys):
    assert main(["--methods", "vae", "--seeds", "0-2999,0-2999", "--dry-run", "--out", str(out)]) == 0
    assert capsys.readouterr().out.endswith("3000 runs, 3000 to do\n")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("command", [[], ["check", "vae"]])
def test_cuda_without_a_gpu(command, capsys):
    assert main([*command, "--device", "cuda"]) == 2
    assert capsys.readouterr() == ("", "error: device is 'cuda', but torch finds no CUDA GPU here; use auto or cpu.\n")


def test_checks_are_made_on_the_device_that_is_named(capsys, monkeypatch):
    asked = []
    monkeypatch.setattr("benchmark.checks.check_method", lambda cls, device: asked.append((cls.name, device)) or [])
    assert main(["check", "vae", "--device", "cpu"]) == 0
    assert main(["check", "vae"]) == 0
    assert asked == [("vae", "cpu"), ("vae", "auto")]
    assert main(["check", "vae", "--device", "gpu"]) == 2
    assert "device is 'gpu'; choose from auto, cpu, cuda." in capsys.readouterr().err


@pytest.mark.usefixtures("without_figures")
def test_runs_that_are_damaged_or_copied_are_told(out, capsys):
    shutil.copytree(GOLDEN / "runs", out / "runs")
    first, second, third, *_ = sorted((out / "runs").iterdir())
    (first / "spec.json").write_text("{")
    (second / "status.json").write_text("")
    shutil.copytree(third, out / "runs" / "a copy")
    assert main(["leaderboard", "--out", str(out)]) == 0
    told = capsys.readouterr().err
    assert f"warning: {first.name} is damaged and does not count: its spec.json cannot be read.\n" in told
    assert f"warning: {second.name} is damaged and does not count: its status.json cannot be read.\n" in told
    assert f"warning: a copy is a copy of {third.name} and does not count.\n" in told
    assert told.count("\n") == 3


def test_unwritable_output(tmp_path, capsys):
    (tmp_path / "file").write_text("kept")
    assert main([*MINI, "--out", str(tmp_path / "file")]) == 2
    assert "cannot write to" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "kept"


def test_damaged_published_file_writes_nothing(out, tmp_path, capsys):
    data = tmp_path / "data"
    data.mkdir()
    (data / "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz").write_bytes(b"PK broken")
    assert main(["--data-dir", str(data), "--out", str(out)]) == 2
    assert "damaged or not the published dSprites" in capsys.readouterr().err
    assert not out.exists()


def test_all_methods_are_all_beside_others_too(out, capsys):
    assert main(["--methods", "all,betavae", "--seeds", "0", "--dry-run", "--out", str(out)]) == 0
    several = capsys.readouterr().out
    assert main(["--methods", "all", "--seeds", "0", "--dry-run", "--out", str(out)]) == 0
    assert capsys.readouterr().out == several


def test_dry_run_writes_nothing(out, capsys):
    assert (
        main(["--methods", "vae,betavae,factorvae", "--betas", "grid", "--seeds", "0", "--dry-run", "--out", str(out)])
        == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "8 runs, 8 to do"
    assert sum(line.endswith("  to do") for line in lines) == 8
    assert not out.exists()


PROBE = '''
from metrics import register

@register(version=1, chance="0", ceiling="1", reference="none")
def probe(table, rng):
    """Fails."""
    raise ValueError("not today")
'''


@pytest.mark.usefixtures("without_figures")
def test_a_failed_run_exits_with_one(out, capsys, tmp_path, plugins_anew):
    plugin = tmp_path / "probe.py"
    plugin.write_text(PROBE)
    given = ["--methods", "vae", *MINI, "--metrics", "probe", "--plugin", str(plugin)]
    assert main([*given, "--out", str(out)]) == 1
    printed = capsys.readouterr()
    assert "FAILED (probe: ValueError: not today)" in printed.err
    assert "1 of 1 runs failed" in printed.err
    assert set(pd.read_csv(out / "runs.csv")["reason"]) == {"probe: ValueError: not today"}


def test_interruption_says_how_to_go_on(out, capsys, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmark.running.scheduler.run_all", interrupt)
    assert main([*MINI, "--out", str(out)]) == 130
    assert "the same command goes on" in capsys.readouterr().err
    monkeypatch.setattr("benchmark.checks.check_method", interrupt)
    assert main(["check", "vae"]) == 130
    assert capsys.readouterr().err == "interrupted; what was checked is told above; nothing is stored.\n"
    shutil.copytree(GOLDEN / "runs", out / "runs", dirs_exist_ok=True)
    monkeypatch.setattr("benchmark.report.regenerate.write_tables", interrupt)
    assert main(["leaderboard", "--out", str(out)]) == 130
    assert "the same command makes the tables" in capsys.readouterr().err


def _config(tmp_path, text):
    path = tmp_path / "sweep.toml"
    path.write_text(text)
    return ["--config", str(path), "--dry-run"]


def test_config_file(tmp_path, capsys):
    text = 'methods = ["vae", "betavae"]\nseeds = "0-1"\nsteps = 7\ndatasets = "dsprites_mini"\n'
    dotted = _config(tmp_path, text + "[set]\nbetavae.beta = [1, 2.5]\n")
    assert main(dotted) == 0
    first = capsys.readouterr().out
    assert "6 runs" in first
    assert "betavae-beta2.5-dsprites_mini-quick-s1-" in first
    assert main([*dotted, "--seeds", "5"]) == 0
    assert "3 runs" in capsys.readouterr().out
    assert main(_config(tmp_path, text + '[set]\n"betavae.beta" = [1, 2.5]\n')) == 0
    assert capsys.readouterr().out == first


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps = [", "is no TOML file"),
        ("stepz = 3", "unknown option in"),
        ("steps = true", "steps in"),
        ("steps = -3", "steps is '-3'"),
        ("set = 3", "write [set]"),
        ("dry-run = 1", "it takes true or false"),
        ("methods = [[1]]", "methods in"),
        ("betas = []", "betavae.beta is ''"),
        ("config = 'a'", "unknown option in"),
        ("a = " + "[" * 5000, "is no TOML file"),
        (f"set{'.a' * 3000} = 1", "is no TOML file"),
        ("steps = " + "9" * 5000, "is no TOML file"),
        ("steps = 0x" + "f" * 5000, "is no TOML file"),
        ("[set]\nbetavae = {}", "betavae in"),
        ("[set]\nbetavae.beta = {}", "betavae.beta in"),
        ("metrics = []", "metrics is ''"),
        ("betas = 1e300", "at most 1e+30"),
        ("out = ['a', 'b']", "it takes one value"),
        ("steps = [3, 4]", "it takes one value"),
        ('hold-out = "size=1"\nhold_out = "size=2"', "says hold_out twice"),
        ('[set]\n"betavae.beta" = 1\nbetavae.beta = 4', "betavae.beta is set twice"),
    ],
)
def test_bad_config_files(tmp_path, capsys, text, message):
    assert main(_config(tmp_path, text)) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


def test_list(capsys):
    assert main(["list"]) == 0
    printed = capsys.readouterr().out
    for word in ("betavae", "beta_vae_score", "dsprites_mini", "higgins2017", "1, 2, 4, 6, 8, 16"):
        assert word in printed
    assert main(["list", "--help"]) == 0
    assert "usage" in capsys.readouterr().out
    assert main(["list", "presets"]) == 0
    assert "betavae" not in capsys.readouterr().out


def test_front_door_and_progress_lines(tmp_path, monkeypatch):
    """As a user would: a process of its own, two runs side by side, output that is no terminal."""
    command = [sys.executable, str(ROOT / "run_benchmark.py"), *MINI[:-1], "2", "--metrics", SOME]
    command += ["--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=os.environ, timeout=300)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\[2/2\] .* finished", done.stderr)
    assert "Traceback" not in done.stderr
    assert np.isfinite(pd.read_csv(tmp_path / "out" / "leaderboard.csv")["mig_mean"]).all()


def test_help(capsys):
    assert main(["--help"]) == 0
    assert "--betas" in capsys.readouterr().out


@pytest.mark.usefixtures("without_figures")
def test_a_terminal_of_80_columns_shows_every_row(out, capsys, monkeypatch):
    shutil.copytree(GOLDEN / "runs", out / "runs")
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["leaderboard", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    for word in ("betavae beta=1 ", "betavae beta=4 ", "betavae beta=16 ", "recon ", "To know: "):
        assert word in printed
    assert max(map(len, printed.splitlines()[:-3])) <= 80
    assert "\N{HORIZONTAL ELLIPSIS}" not in printed


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize("columns", ["0", "abc", "", "-3"])
def test_a_width_that_is_none_is_not_taken(out, capsys, monkeypatch, columns):
    shutil.copytree(GOLDEN / "runs", out / "runs")
    monkeypatch.setenv("COLUMNS", columns)
    assert main(["leaderboard", "--out", str(out)]) == 0
    assert "betavae beta=16 " in capsys.readouterr().out


def test_lines_that_are_no_leaderboard_are_not_wrapped(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    assert main(["list", "presets"]) == 0
    assert "the 12,600-model study, Locatello et al. 2019" in capsys.readouterr().out


def test_a_disk_that_fails_is_one_sentence(out, capsys, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr("benchmark.report.leaderboard.open_atomically", fail)
    assert main(["--methods", "vae", *MINI, "--metrics", "mig", "--out", str(out)]) == 1
    assert "error: No space left on device: somewhere; what was stored is kept." in capsys.readouterr().err


BARS = """
import torch
from benchmark.datasets import register
from benchmark.datasets.base import FactorDataset

class Bars(FactorDataset):
    def images(self, indices):
        level = self.factors(indices)[:, 0, None, None, None]
        return BRIGHT * (torch.arange(SIDE)[:, None] < level + 1).float().expand(-1, CHANNELS, SIDE, SIDE).contiguous()

@register("bars")
def bars(device="cpu", data_dir=None):
    "Twelve images of one factor."
    return Bars("bars", "drawn", {"level": 12}, (CHANNELS, SIDE, SIDE), device)
"""


BARS_SWEEP = ["--seeds", "0", "--preset", "study_quick", "--jobs", "1"]  # convolutions do not take small images


def _bars(tmp_path, side=32, channels=1, bright=1):
    path = tmp_path / "bars.py"
    path.write_text(f"SIDE, CHANNELS, BRIGHT = {side}, {channels}, {bright}\n{BARS}")
    return ["--plugin", str(path), "--datasets", "bars", "--steps", "1", "--metrics", "mig", *BARS_SWEEP]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"bright": 255}, "data set bars: its images run from 0 to 255, where values in [0, 1] are needed"),
        ({"bright": -1}, "its images run from -1 to"),
        ({"side": 12}, "vae on bars: "),
    ],
)
def test_images_are_looked_at_before_anything_is_trained(tmp_path, out, capsys, plugins_anew, data, message):
    assert main(["--methods", "vae", *_bars(tmp_path, **data), "--out", str(out)]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
    assert not out.exists()


@pytest.mark.usefixtures("without_figures")
def test_a_method_that_does_not_apply_is_left_out(tmp_path, out, capsys, plugins_anew):
    """Images in colour of 32 x 32, and of one factor: no pairs; the second time nothing is left to do."""
    given = ["--methods", "vae,adagvae", *_bars(tmp_path, channels=3), "--out", str(out)]
    for left in (1, 0):
        assert main(given) == 0
        printed = capsys.readouterr().err
        assert "adagvae on bars left out: adagvae trains on pairs of images, which here take at least 2" in printed
        assert f"1 runs, {left} to do" in printed
    assert set(pd.read_csv(out / "runs.csv")["method"]) == {"vae"}
