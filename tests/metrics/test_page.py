"""docs/metrics.md is what metrics declare and what known codes score, and not what they once did."""

import re

import pytest

from benchmark.report.display import declared_metrics
from metrics import REGISTRY
from tests.benchmarks.metrics_page import IN_THE_WILD, PAGE, SCORES, SHOWN, page, read_scores, write_scores
from tests.metrics.oracles import ORACLES, oracle


def test_the_page_is_made_of_what_is_declared():
    told = "it is made anew by python -m tests.benchmarks.metrics_page"
    assert PAGE.read_text() == page(read_scores()), told


def test_scores_are_of_each_metric_at_its_version():
    expected = {
        (name, str(metric.version), value, codes)
        for name, metric in REGISTRY.items()
        for value in metric.columns
        for codes in SHOWN
    }
    assert read_scores().keys() == expected, "python -m tests.benchmarks.metrics_page NAME scores a metric"
    assert set(SHOWN) <= ORACLES.keys()


@pytest.mark.parametrize("metric", ["active_latents", "jemmig", "mcc", "med", "mig", "minimality_sufficiency", "omes"])
@pytest.mark.parametrize("codes", ["sin, cos", "noise"])
def test_scores_are_what_metrics_give(metric, codes):
    values = REGISTRY[metric].score(oracle(codes), 0)
    version = str(REGISTRY[metric].version)
    for value in REGISTRY[metric].columns:
        assert read_scores()[metric, version, value, codes] == pytest.approx(values[value], abs=2e-4)


def test_scores_are_written_as_they_are_read(tmp_path, monkeypatch):
    before, scores = SCORES.read_text(), read_scores()
    monkeypatch.setattr("tests.benchmarks.metrics_page.SCORES", tmp_path / "oracles.csv")
    write_scores(scores)
    assert (tmp_path / "oracles.csv").read_text() == before


def test_the_reader_is_sent_to_metrics_that_there_are():
    assert IN_THE_WILD.keys() <= declared_metrics().keys()
    anchors = set(re.findall(r"\]\(#([\w]+)\)", PAGE.read_text()))
    assert anchors == set(REGISTRY)
    assert anchors <= set(re.findall(r"^### (\w+)$", PAGE.read_text(), re.MULTILINE))
