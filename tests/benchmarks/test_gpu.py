"""The half hour with a GPU, rehearsed at a tiny size on a CPU."""

import re
import time

import pytest
import torch

from tests.benchmarks import gpu, packs
from tests.benchmarks.gpu import PARTS, main

pytestmark = pytest.mark.whole

LEFT = (
    r"vae +2 fp32  agrees: losses \S+, weights \S+; losses \S+, weights \S+\n",
    r"2 runs, \w+: \d+ calls, .+ ms of cpu time\n +[\d.]+ ms +[\d.]+% +\d+ x ",
    r"convolution 32x32x32 to 32, 4 by 2 +unfolded +NHWC +[\d.]+ +[\d.]+\n",
    r"\nfloor \(matrix products\) +[\d,]+ ",
    r"\[1/1\] betavae-beta4-\S+ finished\n(.*\n)+it ended with exit code 0\n",
)


def test_every_part_leaves_its_lines(tmp_path, capsys, monkeypatch):
    timed = packs.seconds_a_step
    monkeypatch.setattr(packs, "seconds_a_step", lambda train, short, long: timed(train, 1, 2))
    assert main(["--device", "cpu", "--small", "--out", str(tmp_path), "--minutes", "5"]) == 0
    report = (tmp_path / "report.md").read_text()
    assert report == capsys.readouterr().out
    told = re.split("^## ", report, flags=re.MULTILINE)[1:]
    for heading, text, left in zip(PARTS, told, LEFT, strict=True):
        assert heading in text
        assert re.search(left, text), text
        assert "FAILS" not in text


def test_what_breaks_is_told_and_the_rest_goes_on(tmp_path, monkeypatch):
    """Also a second visit, whose report follows the first."""

    def breaks(visit):
        raise RuntimeError("no luck\nat all")

    def goes_on(visit):
        print(f"{visit.left > 0}")

    monkeypatch.setattr(gpu, "PARTS", {"A part": breaks, "Another": goes_on})
    for chosen in ("1,2", "2"):
        assert main(["--device", "cpu", "--small", "--out", str(tmp_path), "--parts", chosen]) == 0
    report = (tmp_path / "report.md").read_text()
    assert re.findall(r"^## .+|^FAILS.+|^True", report, re.MULTILINE) == [
        "## 1. A part",
        "FAILS: RuntimeError: no luck",
        *("## 2. Another", "True") * 2,
    ]


def test_a_sweep_is_interrupted_once_when_time_is_up(tmp_path, monkeypatch, capsys):
    """By the signal that lets it keep its checkpoints."""
    waits = "import signal, time; signal.signal(signal.SIGINT, lambda *_: exit(130)); print('begun', flush=True); "
    monkeypatch.setattr(gpu, "ROOT", tmp_path)
    (tmp_path / "run_benchmark.py").write_text(waits + "time.sleep(60)")
    visit = gpu.Visit(gpu.SMALL, torch.device("cpu"), tmp_path, time.monotonic() + 3, 0.0)
    gpu.sweep(visit)
    assert capsys.readouterr().out.endswith("begun\nit ended with exit code 130\n")
    assert -20 < visit.left < 0


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("--parts 6", "parts is '6'; it takes numbers from 1 to 5 with commas between."),
        ("--parts one", "parts is 'one'; it takes numbers from 1 to 5 with commas between."),
        ("--minutes 0", "minutes is '0'; it takes a whole number from 1 to 1,000,000,000."),
        ("--device gpu", "device is 'gpu'; choose from auto, cpu, cuda."),
        ("--out /proc/none", "cannot write to /proc/none"),
        ("--quick", "unrecognized arguments: --quick"),
    ],
)
def test_bad_input_is_one_sentence(given, told, capsys):
    named = [] if "--device" in given else ["--device", "cpu"]
    assert main([*named, *given.split()]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {told}")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_it_wants_a_gpu_unless_told_otherwise(capsys):
    assert main([]) == 2
    assert "no CUDA GPU" in capsys.readouterr().err
