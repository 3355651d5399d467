"""Codes as many as pixels: metrics that would take hours leave the cell blank, and the run is finished."""

from dataclasses import replace

import pytest

import metrics
from benchmark.cli import main
from benchmark.report.leaderboard import write_tables
from benchmark.running import execution
from benchmark.running.execution import Workplace, execute, is_done
from benchmark.scoring.agreement import compare_models
from benchmark.spec import RunSpec
from benchmark.storage.store import run_folder

SPECS = [RunSpec(name, dataset="dsprites_mini", seed=seed) for name in ("pixels", "ground_truth") for seed in (0, 1)]


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    out = tmp_path_factory.mktemp("wide")
    workplace = Workplace(out, device="cpu", metrics=["mig", "sap"])
    outcomes = [outcome for spec in SPECS for outcome in execute([spec], workplace)]
    assert [(outcome.finished, outcome.reason) for outcome in outcomes] == [(True, "")] * 4
    compare_models(out)
    return out, workplace, *write_tables(out)


def test_metrics_that_are_too_slow_are_left_out(scored, monkeypatch):
    out, workplace, runs, _ = scored
    for spec in SPECS:
        scores = run_folder(out, spec.run_id).read_json("scores.json")
        wide = spec.method == "pixels"
        assert scores["codes"] == (4096 if wide else 5)
        assert set(scores["metrics"]) == ({"mig"} if wide else {"mig", "sap"})
        assert is_done(spec, workplace)
    monkeypatch.setattr(execution, "_encode", None)
    assert next(execute(SPECS[:1], workplace)).finished
    assert set(runs["codes"]) == {4096, 5}


def test_a_run_that_does_not_tell_its_codes_is_still_to_do(scored):
    out, workplace, *_ = scored
    folder = run_folder(out, SPECS[0].run_id)
    before = folder.read_json("scores.json")
    folder.write_json("scores.json", {name: told for name, told in before.items() if name != "codes"})
    assert not is_done(SPECS[0], workplace)
    assert next(execute(SPECS[:1], workplace)).finished
    assert is_done(SPECS[0], workplace)
    assert folder.read_json("scores.json") == before


def test_a_metric_that_takes_more_codes_now_is_still_to_do(scored, monkeypatch):
    _, workplace, *_ = scored
    monkeypatch.setitem(metrics.REGISTRY, "sap", replace(metrics.REGISTRY["sap"], widest=5000))
    assert [is_done(spec, workplace) for spec in SPECS] == [False, False, True, True]


def test_wide_codes_take_no_overall_rank_and_leave_the_others_theirs(scored):
    *_, board = scored
    ranks = board.set_index("method")["rank"]
    assert ranks["ground_truth"] == 1
    assert ranks.isna()["pixels"]
    assert board.set_index("method").loc["pixels", "mig_n"] == 2
    assert board.set_index("method").loc["pixels", "sap_n"] == 0


def test_models_of_wide_codes_are_not_compared(scored):
    out, *_ = scored
    assert run_folder(out, SPECS[0].run_id).read_json("agreement.json")["values"] == {}
    assert run_folder(out, SPECS[2].run_id).read_json("agreement.json")["values"]


def test_the_limit_is_told(capsys):
    assert main(["list", "metrics"]) == 0
    assert "left out of sweeps beyond 100 codes" in capsys.readouterr().out
