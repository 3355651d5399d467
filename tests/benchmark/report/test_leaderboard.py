import csv
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.report.leaderboard import build_leaderboard, collect_runs, write_tables
from benchmark.storage.store import run_folder, stored_runs
from tests.benchmark.stored_runs import store_runs

GOLDEN = Path(__file__).parents[2] / "data" / "golden"
REFERENCE = Path(__file__).parents[3] / "results" / "reference"


@pytest.fixture
def stored(tmp_path):
    """A copy of a dozen stored runs, one of them failed."""
    shutil.copytree(GOLDEN / "runs", tmp_path / "runs")
    return tmp_path


def test_stored_runs_give_byte_equal_tables(stored):
    write_tables(stored)
    for name in ("runs.csv", "leaderboard.csv"):
        assert (stored / name).read_bytes() == (GOLDEN / name).read_bytes(), name


def test_runs_are_tidy(stored):
    runs = collect_runs(stored)
    assert runs["run"].nunique() == 12
    assert not runs.duplicated(["run", "metric"]).any()
    one = runs[runs["run"] == runs["run"].iloc[-1]].set_index("metric")
    scores = run_folder(stored, runs["run"].iloc[-1]).read_json("scores.json")
    assert one.loc["mig", "value"] == scores["metrics"]["mig"]["values"]["score"]
    assert one.loc["mig.ceiling", "value"] == scores["metrics"]["mig"]["values"]["ceiling"]
    assert one.loc["reconstruction", "value"] == scores["measures"]["reconstruction"]


def test_a_failed_run_is_counted_and_told(stored):
    runs = collect_runs(stored)
    failed = runs[runs["state"] == "failed"]
    assert len(failed) == 1
    assert set(failed["metric"]) == {""}
    assert failed["reason"].str.contains("DivergenceError").all()
    board = build_leaderboard(runs)
    assert board["failed"].sum() == 1
    assert (board["seeds"] + board["failed"]).sum() == 12


def test_summaries_are_those_of_the_runs(stored):
    runs = collect_runs(stored)
    board = build_leaderboard(runs)
    row = board[board["hyperparameters"] == "beta=4"].iloc[0]
    values = runs[(runs["hyperparameters"] == "beta=4") & (runs["metric"] == "mig")]["value"]
    assert row["mig_n"] == len(values) == row["seeds"]
    assert row["mig_mean"] == pytest.approx(np.mean(values))
    assert row["mig_std"] == pytest.approx(np.std(values, ddof=1))
    assert row["mig_low"] <= row["mig_mean"] <= row["mig_high"]


def test_one_seed_has_no_interval(stored):
    for folder in stored_runs(stored):
        if folder.read_json("spec.json")["seed"] != 0:
            shutil.rmtree(folder.path)
    board = build_leaderboard(collect_runs(stored))
    assert (board["seeds"] <= 1).all()
    assert board[["mig_std", "mig_low", "mig_high"]].isna().all(axis=None)


def test_ranks_follow_the_mean_rank(stored):
    board = build_leaderboard(collect_runs(stored)).set_index("hyperparameters")
    scored = board[board["mig_n"] > 0]
    for metric in ("mig", "beta_vae_score"):
        assert (
            scored[f"{metric}_rank"].tolist() == scored[f"{metric}_mean"].rank(ascending=False, method="min").tolist()
        )
    mean = scored[["mig_rank", "beta_vae_score_rank"]].astype(float).mean(axis=1)
    assert scored["rank"].tolist() == mean.rank(method="min").tolist()
    assert board["rank"].is_monotonic_increasing


def _edit(folder, name, change):
    content = folder.read_json(name)
    change(content)
    folder.write_json(name, content)


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: spec.update(preset="standard"),
        lambda spec: spec["protocol"].update(steps=99),
        lambda spec: spec["protocol"]["optimiser"].update(lr=0.5),
        lambda spec: spec["hyperparameters"].update(beta=1.0000001),
        lambda spec: spec.update(dataset_version=2),
        lambda spec: spec.update(source="published"),
        lambda spec: spec.update(dataset="other"),
        lambda spec: spec.update(method_version=2),
    ],
)
def test_what_does_not_compare_stands_in_another_row(stored, change):
    rows = len(build_leaderboard(collect_runs(stored)))
    _edit(next(stored_runs(stored)), "spec.json", change)
    assert len(build_leaderboard(collect_runs(stored))) == rows + 1


def test_versions_of_a_metric_never_share_a_row(stored):
    folder = next(stored_runs(stored))
    _edit(folder, "scores.json", lambda scores: scores["metrics"]["mig"].update(version=7))
    board = build_leaderboard(collect_runs(stored))
    odd = board[board["versions"] == "mig=7"]
    assert odd["seeds"].tolist() == [1]
    assert set(board["versions"]) == {"mig=1", "mig=7"}
    assert board["failed"].sum() == 1
    assert len(board) == 5
    # Each version is ranked by itself, and all rows together not at all.
    assert odd["mig_rank"].tolist() == [1]
    assert board["rank"].isna().all()


def test_a_configuration_without_a_metric_is_not_ranked_by_the_others_it_has(stored):
    for folder in stored_runs(stored):
        if folder.read_json("spec.json")["hyperparameters"].get("beta") == 16 and folder.finished:
            _edit(folder, "scores.json", lambda scores: scores["metrics"].pop("beta_vae_score"))
    board = build_leaderboard(collect_runs(stored))
    assert board["rank"].tolist() == board["mig_rank"].tolist()
    assert board["beta_vae_score_rank"].isna().sum() == 1


@pytest.mark.parametrize("name", ["spec.json", "scores.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"metrics": 3, "rows": {}}'])
def test_a_damaged_run_is_told_and_costs_no_other(stored, name, content):
    folder = next(folder for folder in stored_runs(stored) if folder.finished)
    (folder.path / name).write_text(content)
    runs, board = write_tables(stored)
    damaged = runs[runs["state"] == "damaged"]
    assert damaged["run"].tolist() == [folder.path.name]
    assert (board["seeds"] + board["failed"]).sum() == 11


def test_a_run_with_fewer_metrics_stays_in_its_row(stored):
    rows = len(build_leaderboard(collect_runs(stored)))
    folder = next(stored_runs(stored))
    _edit(folder, "scores.json", lambda scores: scores["metrics"].pop("mig"))
    board = build_leaderboard(collect_runs(stored))
    assert len(board) == rows
    assert (board["mig_n"] == board["seeds"] - 1).sum() == 1


def test_no_runs_give_empty_tables(tmp_path):
    runs, board = write_tables(tmp_path)
    assert runs.empty
    assert board.empty
    assert pd.read_csv(tmp_path / "runs.csv").columns[0] == "run"


def test_what_an_older_version_made_is_told(stored):
    folders = list(stored_runs(stored))
    old = next(folder for folder in folders if folder.finished)
    _edit(old, "spec.json", lambda spec: spec.update(method_version=0))
    runs = collect_runs(stored).drop_duplicates("run").set_index("run")
    method = old.read_json("spec.json")["method"]
    assert f"method {method} was at version 0, now 1" in runs.loc[old.path.name, "stale"]
    assert "mig" not in runs.loc[old.path.name, "stale"]
    board = build_leaderboard(collect_runs(stored))
    stale = board[board["stale"].str.contains(f"method {method} was at version 0, now 1", regex=False)]
    assert stale["method_version"].tolist() == [0]
    # It stands in a row of its own, and takes no rank from those of the present version.
    assert stale["rank"].isna().all()
    assert stale["mig_rank"].isna().all()
    assert sorted(board["mig_rank"].dropna()) == sorted(board["mig_rank"].dropna().index + 1)


def test_metrics_data_and_methods_that_are_not_known_are_not_stale(stored):
    for folder in stored_runs(stored):
        _edit(folder, "spec.json", lambda spec: spec.update(method="own", dataset="own"))
        if folder.finished:
            _edit(folder, "scores.json", lambda scores: scores.update(metrics={"own": scores["metrics"]["mig"]}))
    assert set(collect_runs(stored)["stale"]) == {""}


def test_no_cell_is_a_formula(stored):
    for name, folder in zip(["=1+1", "@x", "-1", "+1", "<script>alert(1)</script>"], stored_runs(stored), strict=False):
        _edit(folder, "spec.json", lambda spec, name=name: spec.update(method=name))
        _edit(folder, "status.json", lambda status: status.update(state="failed", reason='=HYPERLINK("x")'))
    _, board = write_tables(stored)
    assert {"=1+1", "@x", "-1", "+1", "<script>alert(1)</script>"} <= set(board["method"])
    for table in ("runs.csv", "leaderboard.csv"):
        with (stored / table).open(newline="") as file:
            texts = [cell for row in csv.reader(file) for cell in row if not _is_number(cell)]
        assert not [text for text in texts if text.startswith(("=", "@", "+", "-"))]
        assert {"'=1+1", "'-1", "<script>alert(1)</script>"} <= set(texts)


def _is_number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True


TEXTS = {"run", "dataset", "source", "preset", "protocol", "method", "hyperparameters", "state", "reason", "stale"}
TEXTS |= {"metric", "versions", "evidence", "remarks"}
NO_WORDS = ("nan", "null", "none", "na", "None", "N/A", "<NA>", "true", "False", "inf", "1e5", "-inf")


def _reads_back(table, path):
    """What pandas makes of the file by itself has the table's types, values and groups."""
    read = pd.read_csv(path)
    assert list(read) == list(table)
    for name in table:
        if name in TEXTS:
            texts = table[name].astype(str).where(table[name] != "", "none")
            assert pd.api.types.is_string_dtype(read[name]), name
            assert read[name].str.removeprefix("'").tolist() == texts.tolist()
        elif name == "column":
            assert read[name].dtype == table[name].dtype == bool
            assert read[name].tolist() == table[name].tolist()
        else:
            assert pd.api.types.is_numeric_dtype(read[name]), name
            numbers = table[name].astype("Float64").to_numpy(float, na_value=np.nan)
            np.testing.assert_allclose(read[name], numbers, rtol=1e-5)  # six digits in the leaderboard
    for names in (sorted(TEXTS & {*table}), ["dataset", "preset", "protocol", "method", "hyperparameters"], ["stale"]):
        counts = (frame.groupby(names, observed=True).size().tolist() for frame in (read, table))
        assert sorted(next(counts)) == sorted(next(counts)), names


def _rename(folder, word):
    """Give all that a run names that word."""
    _edit(folder, "spec.json", lambda spec: spec.update(method=word, source=word, dataset=word, preset=word))
    _edit(folder, "status.json", lambda status: status.update(reason=word))
    if folder.finished and word.isidentifier():
        _edit(folder, "scores.json", lambda scores: scores["metrics"].update({word: scores["metrics"]["mig"]}))


def _name_a_factor(scores):
    scores["metrics"]["mig"]["values"]['gap_a, "b"'] = 0.5
    scores["metrics"]["mig"]["columns"].append('gap_a, "b"')


@pytest.mark.parametrize("odd", ["as they are", "words", "commas", "digits", "damaged", "unfinished"])
def test_tables_are_read_back_as_they_were_written(stored, odd, monkeypatch):
    folders = list(stored_runs(stored))
    if odd == "words":
        for word, folder in zip(NO_WORDS, folders, strict=True):
            _rename(folder, word)
    elif odd == "commas":
        for folder in filter(lambda folder: folder.finished, folders):
            _edit(folder, "scores.json", _name_a_factor)
    elif odd == "digits":
        monkeypatch.setattr("benchmark.spec.digest", lambda value: "20e3106086")
    elif odd == "damaged":
        (folders[0].path / "spec.json").write_text("{}")
    elif odd == "unfinished":
        for folder in folders:
            (folder.path / "status.json").unlink()
    runs, board = write_tables(stored)
    assert len(board) == (12 if odd == "words" else 4)
    assert (runs["state"] == "damaged").sum() == (odd == "damaged")
    _reads_back(runs, stored / "runs.csv")
    _reads_back(board, stored / "leaderboard.csv")
    assert ('mig.gap_a, "b"_mean' in board) == (odd == "commas")


@pytest.mark.parametrize("name", ["runs.csv", "leaderboard.csv", "chosen.csv"])
def test_reference_tables_are_read_as_written_today(name):
    for table in REFERENCE.glob(f"*/{name}"):
        read = pd.read_csv(table)
        assert all(pd.api.types.is_string_dtype(read[text]) for text in TEXTS & {*read})
        assert not read[sorted(TEXTS & {*read})].isna().any(axis=None)
        assert read["protocol"].str.fullmatch("p[0-9a-f]{10}").all()


def test_many_runs_take_little_time_and_memory(stored):
    """A small version of the `scale` of tests/soak.py: thrice as many runs take about thrice the time."""
    template = next(folder for folder in stored_runs(stored) if folder.finished)
    times = []
    for number in (100, 300):
        store_runs(stored, template, number)
        began = time.process_time()
        runs, board = write_tables(stored)
        times.append(time.process_time() - began)
    assert times[1] < 6 * times[0]
    assert runs["run"].nunique() == 312
    assert board.loc[board["method"] == "factorvae", "seeds"].tolist() == [3] * 20
    assert runs.memory_usage(deep=True).sum() < 200 * len(runs)  # bytes


def test_runs_of_other_code_stand_in_a_row_of_their_own(stored, monkeypatch):
    """A mean over seeds is of one code; the row of other code has no rank beside the present one's."""
    of_vae = [folder for folder in stored_runs(stored) if folder.read_json("spec.json")["method"] == "vae"]
    assert len(of_vae) > 1
    for folder, code in zip(of_vae, ["other", *["present"] * len(of_vae)], strict=False):
        _edit(folder, "environment.json", lambda made, code=code: made.update(code={"method": code}))
    monkeypatch.setattr("benchmark.plugins.present_code", lambda registry, name: "present")
    board = build_leaderboard(collect_runs(stored))
    rows = board[board["method"] == "vae"]
    other = rows["stale"].str.contains("method vae was of other code other")
    assert (rows.loc[other, "seeds"].tolist(), rows.loc[~other, "seeds"].tolist()) == ([1], [len(of_vae) - 1])
    assert rows.loc[~other, "rank"].notna().all()
    assert rows.loc[other, "rank"].isna().all()


def test_all_remarks_of_a_row_are_told_once(stored):
    folders = [each for each in stored_runs(stored) if "beta4" in each.path.name]
    for number, folder in enumerate(folders):
        folder.write_json("spec.json", folder.read_json("spec.json") | {"submission": {}})
        remarks = ["b is odd", f"{number} is odd"] if number else ["b is odd"]
        folder.write_json("submission.json", {"evidence": "recomputed", "remarks": remarks})
    expected = "; ".join(["b is odd", *(f"{number} is odd" for number in range(1, len(folders)))])
    assert expected in build_leaderboard(collect_runs(stored))["remarks"].tolist()
