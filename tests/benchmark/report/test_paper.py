"""The beta-VAE paper's table from stored runs."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmark.cli import main
from benchmark.report import paper
from benchmark.report.paper import Setting, compare_settings, upper_half
from benchmark.running.execution import Workplace, execute
from benchmark.spec import RunSpec
from metrics import Table
from metrics.beta_vae_score import beta_vae_score

pytestmark = pytest.mark.whole

KINDS = [("betavae", {"beta": 4}), ("betavae", {"beta": 16}), ("vae", {}), ("ground_truth", {}), ("pixels", {})]
SPECS = [RunSpec(method, own, "dsprites_mini", steps=2, seed=seed) for method, own in KINDS for seed in (0, 1)]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    out = tmp_path_factory.mktemp("paper")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paper, "THRICE", (Setting(5, 200), Setting(64, 200)))
        patch.setattr(paper, "ONCE", (Setting(5, 100), Setting(64, 100), Setting(5, 200, steps=50)))
        patch.setattr(paper, "TEST_POINTS", 200)
        patch.setattr(paper, "WIDE_POINTS", 150)
        patch.setattr(paper, "Parallel", lambda n_jobs: list)  # in this process, where the above holds
        patch.setattr(paper, "delayed", lambda function: function)
        workplace = Workplace(out, "cpu", metrics=["active_latents"])
        assert all(outcome.finished for spec in SPECS for outcome in execute([spec], workplace))
        assert main(["paper", str(out)]) == 0
    return out / "paper"


def test_every_score_is_there(page):
    scores = pd.read_csv(page / "scores.csv")
    rows = {"Ground truth", "Raw pixels", "VAE", "beta-VAE", "beta-VAE, beta = 16"}
    assert set(scores["row"]) == rows
    narrow = scores[scores["row"] != "Raw pixels"]
    counts = narrow.groupby(["row", "seed"]).size()
    assert set(counts) == {2 * 3 + 3}  # two settings three times, three once
    assert set(scores.loc[scores["row"] == "Raw pixels", "points"]) == {150}
    assert (scores.loc[scores["row"] == "Ground truth", "accuracy"] > 0.99).any()
    repeated = narrow[(narrow["pairs"] == 5) & (narrow["points"] == 200) & narrow["steps"].isna()]
    assert repeated.groupby(["row", "seed"])["accuracy"].nunique().max() == 3  # another classifier each time


def test_the_page_has_the_papers_column_beside_ours(page):
    text = (page / "README.md").read_text()
    line = next(line for line in text.splitlines() if line.startswith("| VAE |"))
    assert "61.58 ± 0.5" in line
    assert line.endswith("| 2 x 3 |")
    scores = pd.read_csv(page / "scores.csv")
    own = scores[
        (scores["row"] == "VAE") & (scores["pairs"] == 64) & (scores["points"] == 200) & scores["steps"].isna()
    ]
    told = float(line.split("|")[3].split("[")[0])
    assert told == pytest.approx(100 * own["accuracy"].mean(), abs=0.06)  # a half is rounded either way
    assert f"| {100 * np.sort(own['accuracy'])[3:].mean():.1f} |" in line
    assert text.index("| Ground truth |") < text.index("| VAE |") < text.index("| beta-VAE |")


def test_the_figure_is_drawn(page):
    with Image.open(page / "settings.png") as picture:
        assert min(picture.size) > 300
        assert len(np.unique(np.asarray(picture.convert("L")))) > 20


def test_upper_half_of_thirty_and_of_an_odd_number():
    assert upper_half(np.arange(30.0)[::-1]).tolist() == list(range(15, 30))
    assert upper_half(np.array([3.0, 1.0, 2.0])).tolist() == [2.0, 3.0]


def test_settings_are_compared_with_the_paper():
    exact = {name: accuracy / 100 for name, accuracy, _ in paper.PAPER.values()}
    scores = pd.DataFrame(
        [
            {"preset": "p", "training": 1, "row": row, "seed": 0, "pairs": pairs, "points": 9, "steps": None}
            | {"repeat": 0, "accuracy": accuracy if pairs == 5 else 1 - accuracy}
            for row, accuracy in exact.items()
            for pairs in (5, 64)
        ]
    )
    few, many = compare_settings(scores).sort_values("pairs").to_dict("records")
    assert few["distance"] == pytest.approx(0)
    assert few["kendall"] == pytest.approx(1)
    assert many["kendall"] == pytest.approx(-1)
    assert few["rows"] == 8  # all but the pixels, which are fitted to fewer points
    assert few["VAE"] == pytest.approx(61.58)


def test_scores_are_the_metrics(page):
    """What is computed here is the registered metric's value without shape, but for its random stream."""
    rng = np.random.default_rng(0)
    factors = rng.integers(0, (3, 4, 5, 6), size=(3000, 4))
    codes = factors @ rng.normal(size=(4, 4)) + rng.normal(size=(3000, 4))
    table = Table(codes, factors, factor_names=("shape", "a", "b", "c"))
    expected = beta_vae_score(table, np.random.default_rng(1), pairs=5)["without_shape"]
    found, _ = paper.tell_factors(table, [1, 2, 3], np.random.default_rng(2), 5, 10_000, 5_000)
    assert found == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("given", [["paper", "{empty}"], ["paper"], ["paper", "{other}"]])
def test_without_runs_of_the_paper_one_sentence(given, tmp_path, capsys):
    other = tmp_path / "other"
    run = other / "runs" / "x"
    run.mkdir(parents=True)
    (run / "spec.json").write_text("{}")
    assert main([part.format(empty=tmp_path / "empty", other=other) for part in given]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert len(message.splitlines()) == 1
    assert not (other / "paper").exists()
