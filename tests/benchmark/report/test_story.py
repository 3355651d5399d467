"""The figure that shows what beta buys and what it costs."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from benchmark.report.leaderboard import build_leaderboard, write_tables
from benchmark.report.story import IN_USE, draw_story
from benchmark.running.execution import Workplace, execute
from benchmark.spec import RunSpec
from benchmark.storage.store import run_folder

BETAS = (1, 4, 16)
MIG = {1: 0.1, 4: 0.5, 16: 0.2}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Three betas whose scores are put in place: the middle one is best."""
    out = tmp_path_factory.mktemp("story")
    specs = [RunSpec("betavae", {"beta": beta}, "dsprites_mini", steps=2, seed=0) for beta in BETAS]
    specs += [RunSpec("annealedvae", dataset="dsprites_mini", steps=2)]
    workplace = Workplace(out, "cpu", metrics=["mig", "active_latents"])
    assert all(outcome.finished for spec in specs for outcome in execute([spec], workplace))
    for spec in specs[:3]:
        folder = run_folder(out, spec.run_id)
        scores = folder.read_json("scores.json")
        beta = spec.hyperparameters["beta"]
        scores["metrics"]["mig"]["values"]["score"] = MIG[beta]
        scores["measures"]["reconstruction"] = 50.0 + beta
        used = {1: 5, 4: 3, 16: 0}[beta]
        scores["measures"] |= {f"kl_per_latent_{j}": 1.0 if j < used else IN_USE / 2 for j in range(10)}
        folder.write_json("scores.json", scores)
    return out


def _drawn(out, keep=lambda runs: runs):
    runs = keep(write_tables(out)[0])
    return draw_story(out, runs, build_leaderboard(runs))


def _points(axis):
    return [np.sort(each.get_offsets().data, axis=0).tolist() for each in axis.collections]


def _texts(figure):
    return [text.get_text() for axis in figure.axes for text in (*axis.texts, axis.title, axis.xaxis.label)]


def test_the_best_beta_stands_between_the_least_and_the_greatest(stored):
    figure = _drawn(stored)
    assert isinstance(figure, Figure)
    titles = [axis.get_title() for axis in figure.axes if axis.get_title()]
    assert titles == ["beta = 1", "beta = 4 (best scores)", "beta = 16"]
    assert [text for text in _texts(figure) if "in use" in text] == [
        f"{used} latents in use (nats of each at its left)" for used in (5, 3, 0)
    ]


def test_traversals_are_those_of_the_latents_in_use(stored):
    figure = _drawn(stored)
    pictures = [axis.images[0].get_array() for axis in figure.axes if axis.images]
    heights = [picture.shape[0] for picture in pictures]
    assert heights[0] * 3 == heights[1] * 5
    folder = run_folder(stored, RunSpec("betavae", {"beta": 4}, "dsprites_mini", steps=2).run_id)
    traversals = folder.read_arrays("pictures.npz")["traversals"]
    for colour in range(3):  # of a grey image all alike
        np.testing.assert_array_equal(pictures[1][:64, :64, colour], traversals[0, 0, 0])


def test_means_are_those_of_the_table(stored):
    figure = _drawn(stored)
    lines = {tuple(line.get_ydata()) for axis in figure.axes for line in axis.lines if len(line.get_ydata()) == 3}
    assert tuple(MIG.values()) in lines
    assert (51.0, 54.0, 66.0) in lines
    assert "factors" in _texts(figure)  # their number, a line


def test_an_older_version_of_the_same_betas_is_not_drawn(stored):
    runs, _ = write_tables(stored)
    older = runs.astype({"run": str}).assign(method_version=0, value=9.0, run="gone-" + runs["run"].astype(str))
    drawn, alone = (draw_story(stored, table, build_leaderboard(runs)) for table in (pd.concat([older, runs]), runs))
    assert [_points(axis) for axis in drawn.axes] == [_points(axis) for axis in alone.axes]
    assert _texts(drawn) == _texts(alone)


def test_without_two_betas_there_is_no_story(stored):
    def of_one_beta(runs):
        return runs[~runs["run"].str.contains("beta4|beta16")]

    assert _drawn(stored, of_one_beta) is None
    assert _drawn(stored, lambda runs: runs[runs["metric"] != "mig"]) is None
    assert _drawn(stored, lambda runs: runs[runs["metric"] != "reconstruction"]) is None


def test_missing_pictures_leave_a_blank(stored, tmp_path, monkeypatch):
    monkeypatch.setattr("benchmark.storage.store.RunFolder.read_arrays", lambda folder, name: {})
    assert isinstance(_drawn(stored), Figure)


def test_many_betas_and_seeds(stored):
    runs, _ = write_tables(stored)
    one = runs[runs["run"].str.contains("beta4")].astype({"run": str, "hyperparameters": str})
    parts = [
        one.assign(run=one["run"] + f"{beta}{seed}", hyperparameters=f"beta={beta}", seed=seed).assign(
            value=np.where(one["metric"] == "beta", beta, one["value"])
        )
        for beta in range(1, 31)
        for seed in range(4)
    ]
    many = pd.concat(parts, ignore_index=True)
    many = many[(many["hyperparameters"] != "beta=2") | (many["seed"] == 0)]
    figure = draw_story(stored, many, build_leaderboard(many))
    assert figure.get_suptitle().endswith("1 to 4 seeds")


def test_a_beta_without_a_score_has_no_place(stored):
    runs, _ = write_tables(stored)
    board = build_leaderboard(runs)
    board.loc[board["hyperparameters"] == "beta=16", "mig_mean"] = np.nan
    figure = draw_story(stored, runs, board)
    assert [axis.get_title() for axis in figure.axes if axis.get_title()] == ["beta = 1", "beta = 4 (best scores)"]
