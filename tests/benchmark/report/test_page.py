import base64
import hashlib
import io
import json
import re
import shlex
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import methods
import metrics
from benchmark import datasets
from benchmark.datasets.worlds import read_world
from benchmark.options import parse, read_specs, run_parser
from benchmark.report import page_panels
from benchmark.report.comparisons import compare_all
from benchmark.report.leaderboard import build_leaderboard, collect_runs
from benchmark.report.page import _words, write_page
from benchmark.report.page_figures import Axis, logarithmic_axis
from benchmark.report.page_panels import command_of, write_seeds
from benchmark.report.page_pictures import look_at
from benchmark.report.page_tables import ALONE, Leader, _note, show, tell_leader
from benchmark.report.reported import PAPERS, reported_numbers, reported_of
from benchmark.spec import APART, AS_LABELS, RunSpec
from benchmark.storage.store import RunFolder, stored_runs
from tests.benchmark.report.pages import Element, copy_runs, read_page
from tests.benchmark.stored_runs import store_runs

pytestmark = pytest.mark.whole

GOLDEN = Path(__file__).parents[2] / "data" / "golden"
REFERENCE = Path(__file__).parents[3] / "results" / "reference"
HOSTILE = "<script>alert(1)</script>"
QUOTED = "\"><svg onload=alert(1)>' --></style></script>"


def tables_of(out: Path) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, pd.DataFrame]]:
    runs = collect_runs(out)
    board = build_leaderboard(runs)
    return runs, board, compare_all(runs, board)


def make_page(out: Path) -> Element:
    return read_page(write_page(out, *tables_of(out)).read_text())


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """Runs on Shapes3D as it is, some with pictures and most with codes."""
    folder = tmp_path_factory.mktemp("page")
    copy_runs(folder, worlds=False)
    return folder


@pytest.fixture(scope="module")
def tables(out):
    return tables_of(out)


@pytest.fixture(scope="module")
def runs(tables):
    return tables[0]


@pytest.fixture(scope="module")
def board(tables):
    return tables[1]


@pytest.fixture(scope="module")
def page(out, tables):
    return read_page(write_page(out, *tables).read_text())


@pytest.fixture
def golden(tmp_path):
    """A copy of a dozen stored runs, one of them failed, without pictures or codes."""
    shutil.copytree(GOLDEN / "runs", tmp_path / "runs")
    return tmp_path


def change(folder: RunFolder, name: str, **content) -> None:
    path = folder.path / name
    path.write_text(json.dumps(json.loads(path.read_text()) | content))


# --- a document --------------------------------------------------------------------------------------


def test_it_asks_nobody_for_anything(page):
    for element in page.all():
        for name in ("src", "href", "srcset", "action", "poster", "data", "xlink:href"):
            assert element.attributes.get(name, "#").startswith(("#", "data:image/webp;base64,")), element
        assert element.tag not in ("link", "iframe", "object", "embed", "base")
    (style,), (script,) = page.all("style"), page.all("script")
    assert not re.search(r"url\(|@import|@font-face|https?:", style.text)
    assert not re.search(r"https?:|fetch|XMLHttp|import\(", script.text)


def test_its_policy_allows_its_own_style_and_script_alone(page):
    (policy,) = page.having("meta", **{"http-equiv": "Content-Security-Policy"})
    rules = dict(rule.split(" ", 1) for rule in policy.attributes["content"].split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    for tag in ("style", "script"):
        (element,) = page.all(tag)
        digest = base64.b64encode(hashlib.sha256("".join(element.texts).encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
    assert not [each for each in page.all() if "style" in each.attributes]  # which the policy would refuse


def test_ids_are_unique_and_links_lead_to_them(page):
    ids = [each.attributes["id"] for each in page.all() if "id" in each.attributes]
    assert len(ids) == len(set(ids)) > 10
    targets = {each.attributes["href"][1:] for each in page.all("a")}
    assert targets <= {*ids}


def test_headings_are_in_order(page):
    levels = [int(each.tag[1]) for each in page.all("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_everything_has_a_name_for_who_does_not_see_it(page):
    images = page.all("img")
    assert len([each for each in images if each.attributes["alt"]]) > 20
    assert all("alt" in each.attributes for each in images)
    drawings = [each for each in page.all("svg") if each.attributes.get("aria-hidden") != "true"]
    assert len(drawings) > 10
    for each in drawings:
        assert each.attributes["role"] == "img"
        assert [child.tag for child in each.children[:2]] == ["title", "desc"]
        assert each.children[0].text
        assert each.children[1].text
    for table in page.all("table"):
        assert table.all("caption")[0].text
        assert all(each.attributes.get("scope") in ("col", "row") for each in table.all("th"))
    for each in page.all("select", "input"):
        assert each.parent.tag == "label"
        assert each.parent.text


def test_rows_have_as_many_cells_as_the_head(page):
    for table in page.all("table"):
        rows = [sum(int(cell.attributes.get("colspan", 1)) for cell in row.all("td", "th")) for row in table.all("tr")]
        assert len(set(rows)) == 1, table.all("caption")[0].text


@pytest.mark.filterwarnings("error::pandas.errors.PerformanceWarning")
def test_many_columns_are_in_one_piece(golden):
    for folder in stored_runs(golden):
        if folder.finished:
            change(folder, "scores.json", measures={f"m{n}": float(n) for n in range(150)})
    make_page(golden)


def test_the_same_runs_give_the_same_bytes(out, tables, page):
    first = (out / "index.html").read_bytes()
    (out / "index.html").unlink()
    write_page(out, *tables)
    assert (out / "index.html").read_bytes() == first
    assert len(first) < 5e6
    assert not list(out.glob(".*.tmp"))


def test_it_is_left_as_it_is_while_its_runs_are_the_same(golden, monkeypatch):
    make_page(golden)
    path = golden / "index.html"
    path.write_bytes(path.read_bytes() + b"<!-- mine -->")
    make_page(golden)
    assert path.read_bytes().endswith(b"<!-- mine -->")
    change(next(iter(stored_runs(golden))), "status.json", state="failed", reason="another")
    make_page(golden)
    assert not path.read_bytes().endswith(b"<!-- mine -->")


# --- what it says ------------------------------------------------------------------------------------


def cells_of(page: Element, caption: str) -> dict[str, dict[str, Element]]:
    """The cells of a table by method and hyperparameters, and by column."""
    (table,) = [each for each in page.all("table") if each.all("caption")[0].text == caption]
    head, *rows = table.all("tr")
    names = [each.attributes["data-name"] for each in head.all("th")]
    read = [dict(zip(names, row.all("td", "th"), strict=True)) for row in rows]
    return {" ".join(row[name].attributes["data-value"] for name in ("method", "hyperparameters")): row for row in read}


def test_the_leaderboard_is_the_leaderboard(board, page):
    cells = cells_of(page, "Every configuration")
    assert len(cells) == len(board)
    for row in board.to_dict("records"):
        shown = cells[f"{row['method']} {row['hyperparameters']}"]
        for name in ("mig", "reconstruction", "dci_es", "kl"):
            assert shown[name].texts[0].strip() == show(row[f"{name}_mean"])
            assert float(shown[name].attributes["data-value"]) == pytest.approx(row[f"{name}_mean"], abs=1e-6)
        assert ("tied" in shown["mig"].attributes["class"].split()) == (row["mig_tied"] == 1)
        assert ("tied" in shown["rank"].attributes["class"].split()) == (row["tied"] == 1)
        assert shown["rank"].text.startswith(str(row["rank"]))
        assert f"[{row['rank_low']} to {row['rank_high']}]" in shown["rank"].text or row["rank_low"] == row["rank_high"]
    first = [
        name for name, cell in next(iter(cells.values())).items() if "more" not in cell.attributes["class"].split()
    ]
    assert first == [
        "rank", "method", "hyperparameters", "seeds", "reconstruction", "beta_vae_score",
        "beta_vae_score.at_5_pairs", "factor_vae_score", "mig", "dci_fast", "udr", "iqm", "reported",
    ]  # fmt: skip


def test_who_leads_and_with_whom_it_ties(board, page):
    (table,) = page.having("table", **{"class": "leaders"})
    rows = {row.all("th")[0].text: row for row in table.all("tbody")[0].all("tr")}
    best = board[board["mig_rank"] == 1].iloc[0]
    tied = board[(board["mig_tied"] == 1) & (board["mig_rank"] > 1)]
    _, *others = rows["mig"].all("a")
    assert rows["mig"].all("a")[0].text.split()[0] == best["method"]
    assert len(others) == min(len(tied), 6) > 1
    assert {each.text.split()[0] for each in others} <= {*tied["method"]}


def test_what_beta_buys_stands_first(page):
    (block,) = page.having("section", **{"class": "block"})
    assert [each.text for each in block.all("h3")][:2] == [
        "What beta buys and what it costs",
        "Who leads, and with whom it ties",
    ]
    shown = [each for each in page.all("figure") if each.attributes.get("class", "").startswith("beta")]
    assert [re.search(r"beta = (\d+)", each.text)[1] for each in shown] == ["1", "16"]
    assert ["best" in each.attributes["class"].split() for each in shown] == [False, True]
    assert all(each.all("img") for each in shown)


def test_every_run_of_a_sweep_is_a_dot(runs, page):
    expected = runs[(runs["method"] == "betavae") & (runs["metric"] == "mig")]["value"]
    (drawing, *_) = [each for each in page.all("svg") if each.text.startswith("MIG against beta")]
    dots = [each for each in drawing.all("path") if each.attributes["class"].startswith("dot")]
    told = sorted(each.all("title")[0].text.rpartition(" ")[2] for each in dots)
    assert told == sorted(f"{value:.3g}" for value in expected)


def test_published_numbers_stand_beside_and_are_not_ranked(page):
    cells = cells_of(page, "Every configuration")
    own = cells["factorvae gamma=35"]["reported"]
    assert "factor_vae_score 0.84 ± 0.066" in own.text.replace("_ ", "_").replace(". ", ".")
    assert all(each.attributes["href"].startswith("#reported") for each in own.all("a"))
    (section,) = page.having("section", id="reported")
    assert "Differs:" in section.text
    assert {row.attributes["data-method"] for row in section.all("tr") if "id" in row.attributes} >= {"EncDiff", "VCT"}


def test_metrics_say_what_they_lack(page):
    (table,) = page.having("table", **{"class": "declared"})
    rows = {row.all("th")[0].text.replace(" ", ""): row.text for row in table.all("tbody")[0].all("tr")}
    for name in ("mig", "beta_vae_score", "dci_es"):
        metric = metrics.REGISTRY[name]
        assert metric.reference in rows[name]
        assert all(what in rows[name] for what in metric.breaks)


def test_a_failed_run_is_told_with_its_reason(golden):
    page = make_page(golden)
    (failed,) = page.having("dl", **{"class": "failed"})
    assert "DivergenceError" in failed.text
    assert "1 failed" in page.text


def test_what_is_stale_is_marked(golden):
    folder = next(iter(stored_runs(golden)))
    scores = folder.read_json("scores.json")
    scores["metrics"]["beta_vae_score"]["version"] = 1
    change(folder, "scores.json", metrics=scores["metrics"])
    assert "stale: beta_vae_score was at version 1" in make_page(golden).text


def test_what_somebody_sent_says_how_it_is_known(golden):
    for folder in stored_runs(golden):
        if "beta4" in folder.path.name:
            sent = {"evidence": "recomputed", "remarks": ["its codes are odd"]}
            (folder.path / "submission.json").write_text(json.dumps(sent))
            change(folder, "spec.json", method="theirs", preset="submitted", submission={"who": HOSTILE})
    page = make_page(golden)
    row, *_ = [each for each in page.all("tr") if each.attributes.get("data-method") == "theirs"]
    assert "recomputed; its codes are odd" in row.text
    (panel,) = page.having("details", **{"class": "panel", "data-method": "theirs"})
    assert "recomputed; its codes are odd" in panel.text
    assert "run_benchmark.py" not in panel.text
    assert "run_benchmark.py" in page.having("details", **{"class": "panel", "data-method": "vae"})[0].text


def sent_in_place_of(out: Path, part: str, name: str, remarks: list[str], **told) -> None:
    """Make somebody's of the runs whose names hold the part."""
    for folder in stored_runs(out):
        if part in folder.path.name:
            sent = {"evidence": "recomputed", "remarks": remarks}
            (folder.path / "submission.json").write_text(json.dumps(sent))
            who = {"who": HOSTILE, "method": name, "paper": "Paper 1"}
            change(folder, "spec.json", **{"method": name, "submission": who} | told)


def test_remarks_wrap_in_the_cells_of_texts(page):
    (style,) = page.all("style")
    assert "td.text small { white-space: normal;" in style.text
    assert "max-width" in re.search(r"\.sortable tbody th \{.*?\}", style.text)[0]


def test_codes_that_are_labels_lead_nothing(golden):
    best = build_leaderboard(collect_runs(golden)).iloc[0]
    part = f"{best['method']}-{best['hyperparameters'].replace('=', '')}"
    sent_in_place_of(golden, part, "theirs", [f"code 0 follows {AS_LABELS}"])
    runs, board, tables = tables_of(golden)
    assert board.iloc[0]["method"] == "theirs"
    assert pd.isna(board.iloc[0]["tied"])  # as of the true factors
    page = read_page(write_page(golden, runs, board, tables).read_text())
    (leaders,) = page.having("table", **{"class": "leaders"})
    assert "theirs" not in leaders.all("tbody")[0].text
    assert "What bears (!) is none either" in leaders.text
    assert "The true factors are the ceiling" not in leaders.text
    figures = [each for each in page.all("svg") if each.attributes.get("role") == "img"]
    for title in ("Overall rank", "P(row beats column)"):
        assert any(
            re.search(r"theirs( beta=1)? \(!\)", each.text)
            for each in figures
            if each.children[0].text.startswith(title)
        )


def test_a_panel_of_what_somebody_sent_says_whose_it_is_and_nothing_untrue(golden):
    sent_in_place_of(golden, "beta4", "theirs", [APART])
    (panel,) = make_page(golden).having("details", **{"class": "panel", "data-method": "theirs"})
    assert f"by {HOSTILE}: Paper 1" in panel.text
    assert "no distributions" not in panel.text
    assert "cannot decode" not in panel.text


def test_claims_are_said_to_be_claimed(golden):
    sent_in_place_of(golden, "", "theirs", [], preset="claimed")
    for folder in stored_runs(golden):
        change(folder, "submission.json", evidence="claimed")
    page = make_page(golden)
    assert "All scores here are claimed" in page.text
    assert "codes were not kept" not in page.text


def test_a_beta_without_a_score_is_not_the_best(golden):
    for folder in stored_runs(golden):
        scores = folder.read_json("scores.json")
        if "beta16" in folder.path.name and folder.finished:
            change(folder, "scores.json", metrics={k: v for k, v in scores["metrics"].items() if k != "mig"})
    shown = [each for each in make_page(golden).all("figure") if each.attributes.get("class", "").startswith("beta")]
    assert not any("beta = 16" in each.text for each in shown)


def test_worlds_are_named_and_explained(golden):
    for folder in stored_runs(golden):
        if "-s0-" in folder.path.name:
            change(folder, "spec.json", world="correlated=x:y:0.2", dataset="dsprites")
    page = make_page(golden)
    worlds = [each for each in page.having("section", **{"class": "block"}) if "correlated" in each.all("h2")[0].text]
    assert len(worlds) == 1
    assert worlds[0].attributes["data-dataset"] == "dsprites correlated=x:y:0.2"
    assert worlds[0].attributes["data-dataset"] in [
        each.text for each in page.having("select", **{"data-by": "dataset"})[0].all("option")
    ]
    assert "reported" not in {each.attributes.get("data-name") for each in worlds[0].all("th")}
    (meaning,) = page.having("section", id="meaning")
    assert all(f"@{part}" in meaning.text for part in ("correlated", "seen", "unseen"))


def test_columns_say_of_what_part_of_a_world_they_are():
    assert "never draws" in _note("mig@unseen")
    assert "never draws; less is better" not in _note("mig@unseen")
    assert "correlated" in _note("reconstruction@correlated")
    assert _note("mig") in _note("mig@seen").replace(", of what training draws.", ".")


def leader(shared=0, untied="", tied=()):
    return Leader("overall", "", "a", "t", "", "", "1", tied, 0, shared, untied)


def test_who_leads_in_a_sentence():
    assert tell_leader([leader(untied=ALONE)]) == "a is alone: there is nothing to compare it with."
    assert tell_leader([leader(1, tied=[("b", "u"), ("c", "v")])]) == (
        "a shares its rank by the mean of the metrics' ranks with b; the seeds there are do not tell them from 1 more."
    )
    assert "leads by the mean" in tell_leader([leader()])


# --- what is hostile, missing or much ----------------------------------------------------------------


def test_hostile_names_are_text(golden):
    first, second, third, *_ = stored_runs(golden)
    change(first, "spec.json", method=HOSTILE, hyperparameters={QUOTED: 1.0})
    change(second, "spec.json", dataset="../../etc/passwd", preset=QUOTED)
    change(third, "status.json", state="failed", reason=QUOTED)
    change(third, "spec.json", source=HOSTILE)
    page = make_page(golden)
    assert len(page.all("script")) == len(page.all("style")) == 1
    assert not page.all("iframe", "object", "embed", "animate", "foreignobject")
    assert not [each for each in page.all() if any(name.startswith("on") for name in each.attributes)]
    assert HOSTILE in page.text
    assert QUOTED in page.text
    assert any(each.attributes.get("data-method") == HOSTILE for each in page.all("tr"))
    assert "../../etc/passwd" in page.text


def test_a_folder_without_runs_has_a_page(tmp_path):
    page = make_page(tmp_path)
    assert "No runs are stored here yet." in page.text


def test_one_run_and_no_comparisons_have_a_page(golden):
    kept, *others = stored_runs(golden)
    for folder in others:
        shutil.rmtree(folder.path)
    assert kept.finished
    runs = collect_runs(golden)
    page = read_page(write_page(golden, runs, build_leaderboard(runs), {}).read_text())
    assert "No method here has finished runs at two values of beta" in page.text
    assert len(cells_of(page, "Every configuration")) == 1
    assert "1 run, 1 configuration, 1 seed;" in page.text
    assert "nobody is known to tie" not in page.text


def test_runs_of_which_none_finished_have_a_page(golden):
    for folder in stored_runs(golden):
        change(folder, "status.json", state="failed", reason="out of memory")
    page = make_page(golden)
    assert "No configuration here has a rank" in page.text
    assert page.text.count("out of memory") >= 12


def test_each_protocol_has_a_section_and_the_one_of_most_runs_is_first(golden):
    for number, folder in enumerate(stored_runs(golden)):
        if number % 4 == 0:
            change(folder, "spec.json", preset="standard")
    page = make_page(golden)
    sections = page.having("section", **{"class": "block"})
    assert [each.attributes["data-preset"] for each in sections] == ["quick", "standard"]
    assert [each.all("h2")[0].text for each in sections] == ["dsprites_mini, quick", "dsprites_mini, standard"]
    assert len(cells_of(sections[1], "Every configuration")) < len(cells_of(sections[0], "Every configuration"))
    choices = page.having("select", **{"data-by": "preset"})[0].all("option")
    assert [each.text for each in choices] == ["all", "quick", "standard"]


def test_what_holds_over_data_sets_has_a_section(golden):
    runs = collect_runs(golden)
    rows = {"preset": ["quick"] * 2, "steps": [20] * 2, "method": ["vae", HOSTILE], "hyperparameters": ["", "a=1"]}
    across = pd.DataFrame(rows | {"datasets": [3, 3], "iqm": [0.5, np.nan], "mean_rank": [np.nan, np.inf]})
    page = read_page(write_page(golden, runs, build_leaderboard(runs), {"across": across}).read_text())
    (section,) = page.having("section", id="across")
    first, second = ([cell.text for cell in row.all("td", "th")] for row in section.all("tbody")[0].all("tr"))
    assert first == ["quick", "20", "vae", "", "3", "0.500", "-"]
    assert second[2:] == [HOSTILE, "a=1", "3", "-", "∞"]


def test_a_damaged_run_is_told(golden):
    folder = next(iter(stored_runs(golden)))
    (folder.path / "spec.json").write_text("{}")
    assert f"{folder.path.name} is damaged and does not count: its spec.json cannot be read." in make_page(golden).text


def test_of_many_configurations_the_first_have_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(page_panels, "MOST_PICTURED", 5)
    (template, *_) = [each for each in stored_runs(REFERENCE / "quick") if (each.path / "pictures.npz").exists()]
    store_runs(tmp_path, template, 12)
    runs = collect_runs(tmp_path)
    page = read_page(write_page(tmp_path, runs, build_leaderboard(runs), {}).read_text())
    panels = page.having("details", **{"class": "panel"})
    pictured = [each for each in panels if each.all("img")]
    assert len(panels) == 12
    assert len(pictured) == 5
    assert {each.attributes["data-method"] for each in pictured} >= {"betavae"}
    assert "Pictures are shown of some configurations only" in page.text


# --- a run seen --------------------------------------------------------------------------------------


@pytest.fixture
def known(golden, mini):
    """A run whose first two latents are factors 3 and 1 of its data, whose third is noise and whose fourth is off."""
    folder = next(iter(stored_runs(golden)))
    rng = np.random.default_rng(0)
    rows = np.arange(len(mini))
    factors = mini.factors(rows).numpy().astype(float)
    codes = np.stack([factors[:, 3], factors[:, 1], rng.integers(2, size=len(rows)), np.zeros(len(rows))], axis=1)
    folder.write_codes(codes, rows)
    images = rng.integers(0, 255, (4, 9, 1, 64, 64)).astype(np.uint8)
    folder.write_arrays(
        "pictures.npz", {"traversals": images, "originals": images[0, :8], "reconstructions": images[1, :8]}
    )
    scores = folder.read_json("scores.json")
    kept = {name: value for name, value in scores["measures"].items() if not name.startswith("kl_per_latent_")}
    change(
        folder, "scores.json", measures=kept | {f"kl_per_latent_{j}": kl for j, kl in enumerate((1.0, 2.0, 0.5, 0.0))}
    )
    return folder


def test_latents_are_named_by_the_factor_that_they_know_best(known, mini):
    look = look_at(known, 0, {}, pictured=True)
    assert [latent.name for latent in look.latents] == ["z1", "z0", "z2"]  # by their nats, but for what is off
    assert [latent.factor for latent in look.latents] == [mini.factor_names[1], mini.factor_names[3], ""]
    assert [latent.told for latent in look.latents[:2]] == [f"{mini.factor_names[k]} 1.00" for k in (1, 3)]
    assert look.left_out == 1
    assert not look.missing
    assert mini.factor_names[3] in look.latents[1].alternative


def test_a_latents_pictures_lie_side_by_side(known):
    latent = look_at(known, 0, {}, pictured=True).latents[0]
    head, _, content = latent.strip.partition(",")
    assert head == "data:image/webp;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
        assert picture.size == latent.size == (9 * 64, 64)
    assert latent.pictures == 9


def test_large_pictures_are_made_smaller(known):
    images = np.zeros((4, 9, 3, 100, 200), np.uint8)
    pictures = {"traversals": images, "originals": images[0, :8], "reconstructions": images[0, :8]}
    known.write_arrays("pictures.npz", pictures)
    look = look_at(known, 0, {}, pictured=True)
    for picture, size in ((look.latents[0].strip, (9 * 128, 64)), (look.compared[0][1], (512, 64))):
        with Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2]))) as image:
            assert image.size == size


def test_an_axis_of_logarithms():
    axis = logarithmic_axis("nats", [0.0, 1, 1000])
    assert (10.0 in [10**tick for tick, _ in axis.ticks]) and axis.ticks[0] == (0.0, "1")
    assert [axis(value, 0, 300) for value in (0, 1, 3, 99)] == [0, 100, 300, 300]
    assert Axis("", 1, 1, [])(1, 0, 10) == 5


def test_what_is_not_kept_is_told(known):
    (known.path / "codes.npz").unlink()
    look = look_at(known, 0, {}, pictured=True)
    assert look.information is None
    assert look.latents
    assert not any(latent.factor for latent in look.latents)
    (known.path / "pictures.npz").unlink()
    look = look_at(known, 0, {}, pictured=True)
    assert "codes were not kept" in " ".join(look.missing)
    assert "No pictures" in " ".join(look.missing)
    change(known, "spec.json", dataset="nobody_knows_it")
    known.write_codes(np.zeros((5, 3)), np.arange(5))
    assert "factors of its data are not known" in " ".join(look_at(known, 0, {}, pictured=True).missing)
    known.write_codes(np.zeros((5, 3000)), np.arange(5))
    assert "as many codes as pixels" in " ".join(look_at(known, 0, {}, pictured=True).missing)


# --- commands ----------------------------------------------------------------------------------------


def specs_of(command: str) -> dict[str, RunSpec]:
    words = shlex.split(command)
    assert words[:2] == ["python", "run_benchmark.py"]
    return {spec.run_id: spec for spec in read_specs(parse(run_parser(), words[2:]))}


def test_the_commands_make_the_runs_again(tmp_path):
    groups: dict[str, list[RunFolder]] = {}
    for reference in REFERENCE.glob("*/runs"):
        for folder in stored_runs(reference.parent):
            groups.setdefault(folder.configuration, []).append(folder)
    assert len(groups) > 50
    for folders in groups.values():
        seeds = sorted(folder.read_json("spec.json")["seed"] for folder in folders)
        made = specs_of(command_of(folders[0].read_json("spec.json"), seeds))
        assert {folder.path.name for folder in folders} == {*made}


@pytest.mark.parametrize(
    "unusual",
    [
        {"steps": 7},
        {"likelihood": "gaussian:0.1"},
        {"world": "correlated=scale:shape:0.2"},
        {"dataset": "shapes3d", "world": "held_out=shape=3,object_hue=5..9"},
        {"method": "betavae", "hyperparameters": {"beta": 4}, "preset": "standard", "seed": 3},
    ],
)
def test_the_command_tells_what_is_unusual(unusual):
    given = {"method": "vae", "dataset": "dsprites", **unusual}
    if world := given.get("world"):
        correlated, held_out = (world.partition(f"{name}=")[2] for name in ("correlated", "held_out"))
        given["world"] = read_world(datasets.load(given["dataset"]), correlated, held_out)
    spec = RunSpec(**given)
    assert {*specs_of(command_of(spec.to_dict(), [spec.seed]))} == {spec.run_id}


def test_a_command_that_needs_more_says_what():
    stored = RunSpec("vae").to_dict()
    assert "--data-dir DIR" in command_of(stored | {"source": "published"}, [0])
    assert "--plugin FILE.py" in command_of(stored | {"method": "mine"}, [0])
    assert command_of({}, [0]) == ""


@pytest.mark.parametrize(("seeds", "text"), [([0], "0"), ([0, 1, 2], "0-2"), ([0, 2, 3, 7], "0,2-3,7"), ([], "")])
def test_seeds_are_written_as_the_command_line_takes_them(seeds, text):
    assert write_seeds(seeds) == text


# --- papers ------------------------------------------------------------------------------------------


def test_published_numbers_are_of_known_papers_data_and_metrics():
    found = reported_numbers()
    assert len(found) == len(set(found)) > 100
    for each in found:
        assert each.paper in PAPERS
        assert each.dataset in datasets.REGISTRY
        base, _, value = each.metric.partition(".")
        assert not value or value in metrics.REGISTRY[base].columns
        assert 0 <= each.value <= 1
    assert {each.method for each in found} & {*methods.REGISTRY}


def test_a_line_breaks_within_names_and_never_within_numbers():
    assert _words("beta_vae_score.at_5_pairs 0.62") == "beta_<wbr>vae_<wbr>score.<wbr>at_<wbr>5_<wbr>pairs 0.62"


def test_published_numbers_are_of_their_hyperparameters():
    shown = {each.metric: each.shown for each in reported_of("dsprites", "betavae", "beta=4")}
    assert shown["beta_vae_score.without_shape"] == "0.992\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.001"
    assert "beta_vae_score.without_shape" not in {each.metric for each in reported_of("dsprites", "betavae", "beta=16")}
    assert not reported_of("dsprites", "nobody", "")


def test_numbers_are_shown_to_what_they_say():
    assert [show(value) for value in (0.12345, 1.2345, 123.45, 12345.6, float("nan"), float("inf"), -0.5)] == [
        "0.123", "1.23", "123.5", "12,346", "-", "∞", "-0.500",
    ]  # fmt: skip
