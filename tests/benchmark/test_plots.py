import numpy as np
import pytest
from PIL import Image

from benchmark.leaderboard import write_tables
from benchmark.plots import draw_all
from benchmark.scheduler import Workplace, run_all
from benchmark.spec import RunSpec
from benchmark.store import run_folder

FIGURES = ("scores", "score_against_beta", "trade_off", "kl_per_latent", "traversals")
METRICS = ("beta_vae_score", "gaussian_wasserstein_correlation", "irs", "mig")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    out = tmp_path_factory.mktemp("plots")
    specs = [RunSpec("vae", dataset="dsprites_mini", steps=3)]
    specs += [RunSpec("betavae", {"beta": 4}, "dsprites_mini", steps=3, seed=seed) for seed in (0, 1)]
    specs += [RunSpec(name, dataset="dsprites_mini", steps=3) for name in ("ground_truth", "dipvae_i")]
    assert all(outcome.finished for outcome in run_all(specs, Workplace(out, device="cpu", metrics=METRICS)))
    return out, draw_all(out, *write_tables(out))


def test_every_figure_is_drawn(drawn):
    out, paths = drawn
    folder = out / "plots" / "dsprites_mini-quick-3steps"
    runs = sorted(path.name for path in (out / "runs").iterdir())
    expected = {folder / f"{name}.png" for name in FIGURES}
    pictured = [run for run in runs if not run.startswith("ground_truth")]  # which decodes nothing
    expected |= {folder / kind / f"{run}.png" for kind in ("traversals", "reconstructions") for run in pictured}
    assert set(paths) == expected
    for path in paths:
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


def test_traversal_rows_are_ordered_by_kl(drawn):
    out, _ = drawn
    run = next((out / "runs").glob("vae-*")).name
    folder = run_folder(out, run)
    measures = folder.read_json("scores.json")["measures"]
    first = max(range(10), key=lambda j: measures[f"kl_per_latent_{j}"])
    with Image.open(out / "plots" / "dsprites_mini-quick-3steps" / "traversals" / f"{run}.png") as picture:
        shown = np.asarray(picture.convert("L"))[22:86, 96 : 96 + 64]
    assert np.array_equal(shown, folder.read_arrays("pictures.npz")["traversals"][first, 0, 0])


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
