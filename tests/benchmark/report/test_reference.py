"""The reference results that are committed: made again from what is kept of their runs, byte for byte."""

import shutil
from pathlib import Path

import pytest

from benchmark.report import plots
from benchmark.report.comparisons import COMPARISONS
from benchmark.report.regenerate import regenerate
from benchmark.storage.store import stored_runs
from metrics.base import WIDE

pytestmark = pytest.mark.whole

REFERENCE = Path(__file__).parents[3] / "results" / "reference"
TABLES = ("runs.csv", "leaderboard.csv", *(f"{name}.csv" for name in ("chosen", *COMPARISONS)))
PAGED = "quick"  # the largest
MOST_OF_A_PAGE = 5e6  # bytes
MOST_BYTES = 40e6  # of what a reference keeps beside its tables and figures


@pytest.fixture(scope="module")
def again(tmp_path_factory):
    """Copies of the reference folders without their tables and figures, which are then made, but for pixels.

    A page is made of one alone.
    """
    copies = {}

    def touch(drawn, path, source):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch() if drawn is not None else None
        return drawn is not None

    for folder in sorted(path.parent for path in REFERENCE.glob("*/runs")):
        copy = tmp_path_factory.mktemp(folder.name)
        shutil.copytree(folder / "runs", copy / "runs")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(plots, "_save", touch)
            if folder.name != PAGED:
                patch.setattr("benchmark.report.regenerate.write_page", lambda *_: None)
            regenerate(copy)
        copies[folder] = copy
    return copies


def test_tables_are_made_again_byte_for_byte(again):
    assert again
    for folder, copy in again.items():
        for name in TABLES:
            assert (copy / name).read_bytes() == (folder / name).read_bytes(), f"{folder.name}/{name}"


def test_figures_are_made_again_of_the_same_runs(again):
    """Their pixels depend on the fonts and versions of the machine; what they are drawn from does not."""
    for folder, copy in again.items():
        names = {str(path.relative_to(folder)) for path in folder.glob("plots/*/*.png")}
        assert names
        assert names == {str(path.relative_to(copy)) for path in copy.glob("plots/*/*.png")}


def test_pages_are_small(again):
    assert (again[REFERENCE / PAGED] / "index.html").stat().st_size < MOST_OF_A_PAGE


@pytest.mark.parametrize(
    "reference", sorted(path.parent for path in REFERENCE.glob("*/runs")), ids=lambda path: path.name
)
def test_what_is_kept_is_enough_for_a_new_metric_and_small(reference):
    kept = [*stored_runs(reference)]
    told = {folder.configuration: folder.read_json("scores.json")["codes"] for folder in kept}
    assert {name for name, codes in told.items() if codes <= WIDE} == {
        folder.configuration for folder in kept if folder.keeps_codes
    }
    size = sum(path.stat().st_size for folder in kept for path in folder.path.iterdir())
    assert size < MOST_BYTES
    assert not [folder for folder in kept if (folder.path / "model.safetensors").exists()]
