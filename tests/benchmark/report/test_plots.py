import shutil
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmark.report import plots, story
from benchmark.report.leaderboard import build_leaderboard, write_tables
from benchmark.report.plots import draw_all
from benchmark.running.execution import Workplace, execute
from benchmark.scoring.pictures import HEADER, MARGIN, draw_reconstructions
from benchmark.spec import RunSpec
from benchmark.storage.store import PICTURED, run_folder, stored_runs

pytestmark = pytest.mark.whole

FIGURES = (
    "what_beta_does",
    "scores",
    "score_against_beta",
    "trade_off",
    "kl_per_latent",
    "traversals",
    "reconstructions",
)
METRICS = ("beta_vae_score", "gaussian_wasserstein_correlation", "irs", "mig")


def _folder(out):
    return out / "plots" / "dsprites_mini-quick-3steps"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    out = tmp_path_factory.mktemp("plots")
    specs = [RunSpec("vae", dataset="dsprites_mini", steps=3)]
    specs += [
        RunSpec("betavae", {"beta": beta}, "dsprites_mini", steps=3, seed=seed) for beta in (4, 16) for seed in (0, 1)
    ]
    specs += [RunSpec(name, dataset="dsprites_mini", steps=3) for name in ("ground_truth", "dipvae_i")]
    workplace = Workplace(out, device="cpu", metrics=METRICS)
    assert all(outcome.finished for spec in specs for outcome in execute([spec], workplace))
    return out, draw_all(out, *write_tables(out))


def test_every_figure_is_drawn(drawn):
    out, paths = drawn
    assert set(paths) == {_folder(out) / f"{name}.png" for name in FIGURES}
    decoding = [run for run in (out / "runs").iterdir() if not run.name.startswith("ground_truth")]
    pictures = [run / f"{kind}.png" for kind in ("traversals", "reconstructions") for run in decoding]
    for path in [*paths, *pictures]:
        with Image.open(path) as picture:
            assert min(picture.size) > 100
            assert len(np.unique(np.asarray(picture.convert("L")))) > 5, f"{path} is blank"


def test_drawing_again_changes_no_byte(drawn):
    out, paths = drawn
    before = {path: path.read_bytes() for path in paths}
    for path in paths:
        path.unlink()
    draw_all(out, *write_tables(out))
    assert {path: path.read_bytes() for path in paths} == before


def test_what_changed_is_drawn_again_and_nothing_else(drawn):
    out, paths = drawn
    before = {path: path.stat().st_mtime_ns for path in paths}
    runs, board = write_tables(out)
    draw_all(out, runs, board)
    assert {path: path.stat().st_mtime_ns for path in paths} == before
    (_folder(out) / "scores.png").write_bytes(b"torn")
    draw_all(out, runs, board)
    assert [path.name for path in paths if path.stat().st_mtime_ns != before[path]] == ["scores.png"]
    runs.loc[runs["metric"] == "mig", "value"] = 0.5
    draw_all(out, runs, build_leaderboard(runs))
    assert all(path.stat().st_mtime_ns != before[path] for path in paths)


def test_names_are_drawn_as_they_are(drawn, tmp_path):
    out, _ = drawn
    shutil.copytree(out / "runs", tmp_path / "runs")
    for number, folder in enumerate(stored_runs(tmp_path)):
        names = ("$x_{", "<script>", "漢字", "=1+1", "../../x")
        folder.write_json("spec.json", folder.read_json("spec.json") | {"method": names[number % 5], "preset": "../p"})
    paths = draw_all(tmp_path, *write_tables(tmp_path))
    assert {path.parent.parent for path in paths} == {tmp_path / "plots"}
    assert len(paths) == len(FIGURES)


def test_of_many_configurations_some_are_drawn(drawn, monkeypatch):
    out, _ = drawn
    monkeypatch.setattr(plots, "MOST_ROWS", 2)
    monkeypatch.setattr(plots, "COMPARED", 3)
    runs, board = write_tables(out)
    figure = plots.draw_scores(runs, board)
    assert "the best 2 of 5 configurations" in figure.get_suptitle()
    assert len(figure.axes[0].get_yticklabels()) == 2
    chosen = list(plots._first_runs(out, story.first_pictured(out, runs), board))
    assert chosen[0] == "vae"  # of the least beta
    assert len(chosen) == 3


def test_runs_without_pictures_take_no_place_of_those_with_some(drawn, tmp_path, monkeypatch):
    out, _ = drawn
    shutil.copytree(out / "runs", tmp_path / "runs")
    pictured = {folder.name for folder in (tmp_path / "runs").glob("betavae-*-s0-*")}
    for folder in (tmp_path / "runs").iterdir():
        if folder.name not in pictured:
            for name in PICTURED:
                (folder / name).unlink(missing_ok=True)
    monkeypatch.setattr(plots, "COMPARED", len(pictured))
    runs, board = write_tables(tmp_path)
    chosen = plots._first_runs(tmp_path, story.first_pictured(tmp_path, runs), board)
    assert {folder.path.name for folder in chosen.values()} == pictured


def test_pictures_of_a_later_seed_stand_for_a_configuration_and_draw_its_sheets_anew(drawn, tmp_path):
    out, _ = drawn
    shutil.copytree(out / "runs", tmp_path / "runs")
    first = next((tmp_path / "runs").glob("betavae-beta16-*-s0-*"))
    for name in PICTURED:
        (first / name).unlink(missing_ok=True)
    tables = write_tables(tmp_path)
    draw_all(tmp_path, *tables)
    chosen = plots._first_runs(tmp_path, story.first_pictured(tmp_path, tables[0]), tables[1])
    assert "-s1-" in chosen["betavae beta=16"].path.name
    figures = [_folder(tmp_path) / f"{name}.png" for name in ("traversals", "what_beta_does")]
    before = [path.read_bytes() for path in figures]
    for name in PICTURED:
        shutil.copy(out / "runs" / first.name / name, first / name)
    draw_all(tmp_path, *tables)
    assert all(path.read_bytes() != old for path, old in zip(figures, before, strict=True))


def test_traversal_rows_are_ordered_by_kl(drawn):
    out, _ = drawn
    run = next((out / "runs").glob("vae-*")).name
    folder = run_folder(out, run)
    measures = folder.read_json("scores.json")["measures"]
    first = max(range(10), key=lambda j: measures[f"kl_per_latent_{j}"])
    with Image.open(folder.path / "traversals.png") as picture:
        shown = np.asarray(picture.convert("L"))[22:86, 96 : 96 + 64]
    assert np.array_equal(shown, folder.read_arrays("pictures.npz")["traversals"][first, 0, 0])


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_images_of_any_number_of_channels_are_drawn(channels):
    images = np.random.default_rng(0).integers(256, size=(2, channels, 16, 16), dtype=np.uint8)
    picture = draw_reconstructions(images, images, {}, "own")
    shown = np.asarray(picture)[HEADER : HEADER + 16, MARGIN : MARGIN + 16].transpose(2, 0, 1)
    expected = images[0].repeat(3, axis=0) if channels == 1 else images[0][:3]
    assert np.array_equal(shown[: len(expected)], expected)
    assert not shown[len(expected) :].any()


def test_runs_without_pictures_or_beta_do_not_stop_the_others(drawn, tmp_path):
    out, _ = drawn
    for run in (out / "runs").glob("vae-*"):
        source, folder = run_folder(out, run.name), run_folder(tmp_path, run.name)
        scores = source.read_json("scores.json")
        scores["measures"] = {"active_latents": 2}
        for name in ("spec.json", "status.json"):
            folder.write_json(name, source.read_json(name))
        folder.write_json("scores.json", scores)
        (folder.path / "history.csv").write_text("step,loss\n1,2\n")
    (path,) = draw_all(tmp_path, *write_tables(tmp_path))
    assert path.name == "scores.png"


def test_every_score_is_drawn_where_it_is_asked_for(drawn):
    out, _ = drawn
    runs, board = write_tables(out)
    few, every = (plots.draw_scores(runs, board, every=asked) for asked in (False, True))
    assert [axis.get_title() for axis in few.axes] == ["beta_vae_score.at_5_pairs", "mig"]
    assert {"beta_vae_score", "irs", "mig"} <= {axis.get_title() for axis in every.axes}
    paths = draw_all(out, runs, board, every=True)
    assert {f"{name}_all.png" for name in ("scores", "trade_off", "score_against_beta")} <= {
        path.name for path in paths
    }


def test_names_of_points_lie_within_the_panel_and_cover_none():
    figure, (axis,) = plots._panels(1, "", None)
    axis.set(xlim=(0, 1), ylim=(0, 1))
    rng = np.random.default_rng(0)
    points = pd.DataFrame(
        {"label": [f"method{k}" for k in range(60)]} | dict(zip(("place", "score"), rng.random((2, 60)), strict=True))
    )
    plots._name_points(axis, points)
    plots.as_picture(figure)
    boxes = [text.get_window_extent() for text in axis.texts]
    assert 10 < len(boxes) < 60
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert all(axis.bbox.x0 <= box.x0 and box.x1 <= axis.bbox.x1 for box in boxes)


@pytest.mark.parametrize("least", [0.0, 1.0])
def test_a_beta_that_a_training_found_beyond_all_set_lies_on_the_axis(drawn, least):
    out, _ = drawn
    runs, _ = write_tables(out)
    beta = runs["metric"] == "beta"
    runs.loc[beta & (runs["method"] == "vae"), "value"] = least
    found = runs.index[beta & (runs["method"] == "betavae")]
    runs.loc[found, "value"] = np.geomspace(60, 80, len(found))
    for axis in plots.draw_score_against_beta(runs, build_leaderboard(runs)).axes:
        low, high = axis.get_xlim()
        assert low < least
        assert high > 80


def test_figures_of_every_score_do_not_stay_behind(drawn, tmp_path):
    out, _ = drawn
    shutil.copytree(out / "runs", tmp_path / "runs")
    runs, board = write_tables(tmp_path)
    draw_all(tmp_path, runs, board, every=True)
    before = (_folder(tmp_path) / "scores_all.png").read_bytes()
    runs.loc[runs["metric"] == "mig", "value"] = 0.5
    draw_all(tmp_path, runs, build_leaderboard(runs))
    assert (_folder(tmp_path) / "scores_all.png").read_bytes() != before


def test_a_configuration_of_two_versions_is_drawn(drawn):
    out, _ = drawn
    runs, _ = write_tables(out)
    one = runs["run"] == runs["run"].iloc[0]
    runs.loc[one, "method_version"] = 0
    figure = plots.draw_scores(runs, build_leaderboard(runs))
    assert len(figure.axes[0].get_yticklabels()) == 6


def test_losses_below_0_are_spread_over_their_axis(drawn):
    out, _ = drawn
    runs, _ = write_tables(out)
    price = runs["metric"] == "reconstruction"
    runs.loc[price, "value"] = -runs.loc[price, "value"]
    figure = plots.draw_trade_off(runs, build_leaderboard(runs))
    assert len(np.unique(figure.axes[0].collections[1].get_offsets()[:, 0].round(3))) > 2


def test_a_run_far_beyond_the_others_does_not_press_them_into_a_line():
    def history(*nats):
        return pd.DataFrame({"step": range(1, 101), "kl_per_latent_0": nats, "kl_per_latent_1": 0.5})

    settled = [history(*[50.0] * 10, *[3.0] * 90), history(*[2.0] * 98, 90.0, 2.0), history(*[2.5] * 100)]
    assert plots._settled_limit(settled) == pytest.approx(1.1 * 3)
    assert plots._settled_limit([*settled, history(*[400.0] * 100)]) == pytest.approx(1.1 * 4 * 2.75)
    assert plots._settled_limit([history(*[np.nan] * 100).drop(columns="kl_per_latent_1")]) == 1
    assert plots._settled_limit([]) == 1
