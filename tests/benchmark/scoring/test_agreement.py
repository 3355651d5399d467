import json

import numpy as np
import pytest

from benchmark.report.leaderboard import build_leaderboard, collect_runs
from benchmark.scoring.agreement import compare_models
from benchmark.storage.store import run_folder
from metrics.udr import udr

KL = (2.0, 1.0, 0.001)
LATENTS = np.random.default_rng(0).normal(size=(500, 3))
# Seeds 0 and 1 agree but for order and sign, seed 2 mixes; the third latent is idle.
MODELS = [LATENTS, LATENTS[:, [1, 0, 2]] * [-1, 1, 1], LATENTS @ np.linalg.qr(np.ones((3, 3)) + np.eye(3))[0]]


def _store(out, seed, beta=4.0, codes=None, **changes):
    folder = run_folder(out, f"run-beta{beta:g}-s{seed}")
    spec = {
        "method": "betavae",
        "method_version": 1,
        "hyperparameters": {"beta": beta},
        "dataset": "dsprites",
        "dataset_version": 1,
        "source": "rendered",
        "preset": "quick",
        "protocol": {"steps": 10},
        "seed": seed,
    }
    measures = {"kl": 3.0} | {f"kl_per_latent_{j}": kl for j, kl in enumerate(KL)}
    folder.write_json("spec.json", spec | changes)
    folder.write_json("scores.json", {"metrics": {}, "measures": measures, "rows": {"train": 2, "test": 1}})
    folder.write_arrays("probe.npz", {"codes": MODELS[seed] if codes is None else codes})
    folder.write_json("status.json", {"state": "finished", "reason": ""})
    return folder


def test_runs_that_differ_in_their_seed_are_compared(tmp_path):
    folders = [_store(tmp_path, seed) for seed in range(3)]
    other = _store(tmp_path, 0, beta=1.0)
    compare_models(tmp_path)
    stored = [folder.read_json("agreement.json") for folder in folders]
    for name, method in (("score", "lasso"), ("spearman", "spearman")):
        expected = udr(MODELS, np.random.default_rng(0), kl=[KL] * 3, method=method)
        assert [each["values"][name] for each in stored] == pytest.approx(expected)
    assert stored[0]["values"]["spearman"] > stored[2]["values"]["spearman"]
    assert other.read_json("agreement.json")["values"] == {}  # a run alone has nobody to agree with


def test_runs_of_other_code_of_a_plugin_are_no_seeds_of_one_configuration(tmp_path):
    folders = [_store(tmp_path, seed) for seed in range(3)]
    for folder, code in zip(folders, ("old", "new", "new"), strict=True):
        folder.write_json("environment.json", {"code": {"method": code, "dataset": ""}})
    compare_models(tmp_path)
    compared = [folder.read_json("agreement.json")["models"] for folder in folders]
    names = [folder.path.name for folder in folders]
    assert compared == [names[:1], names[1:], names[1:]]


def test_it_stands_in_the_tables(tmp_path):
    folders = [_store(tmp_path, seed) for seed in range(2)]
    compare_models(tmp_path)
    runs = collect_runs(tmp_path)
    assert set(runs["metric"]) >= {"udr", "udr.spearman"}
    board = build_leaderboard(runs)
    values = [folder.read_json("agreement.json")["values"] for folder in folders]
    assert board.loc[0, "udr_mean"] == pytest.approx(np.mean([each["score"] for each in values]))
    assert "udr_rank" not in board


def test_it_is_done_again_only_where_runs_came_or_went(tmp_path):
    first = _store(tmp_path, 0)
    _store(tmp_path, 1)
    compare_models(tmp_path)
    path = first.path / "agreement.json"
    before = path.stat().st_mtime_ns
    compare_models(tmp_path)
    assert path.stat().st_mtime_ns == before
    _store(tmp_path, 2)
    compare_models(tmp_path)
    assert len(json.loads(path.read_text())["models"]) == 3


def test_damaged_codes_and_unfinished_runs_are_left_out(tmp_path):
    folders = [_store(tmp_path, seed) for seed in range(3)]
    (folders[2].path / "probe.npz").write_bytes(b"torn")
    unfinished = _store(tmp_path, 0, beta=2.0)
    unfinished.write_json("status.json", {"state": "failed"})
    compare_models(tmp_path)
    assert folders[2].read_json("agreement.json")["values"] == {}
    expected = udr(MODELS[:2], np.random.default_rng(0), kl=[KL] * 2)
    assert folders[0].read_json("agreement.json")["values"]["score"] == pytest.approx(expected[0])
    assert unfinished.read_json("agreement.json") == {}


def test_without_a_posterior_the_variance_says_which_latents_count(tmp_path):
    folders = [_store(tmp_path, seed) for seed in range(2)]
    for folder in folders:
        folder.write_json("scores.json", {"metrics": {}, "measures": {}, "rows": {"train": 2, "test": 1}})
    compare_models(tmp_path)
    expected = udr(MODELS[:2], np.random.default_rng(0))
    assert folders[0].read_json("agreement.json")["values"]["score"] == pytest.approx(expected[0])
