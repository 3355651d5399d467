"""Each check fails a metric that is broken in its way, and nothing else of it; the command tells what was found."""

import re
import warnings
from dataclasses import replace

import numpy as np
import pytest

import metrics
from benchmark.attempts import Result
from benchmark.cli import main
from benchmark.scoring import trial
from benchmark.scoring.trial import CHECKS, try_metric


def followed(table, rng, *, least: float = 0.5):
    """How closely a code follows each factor, by |Pearson correlation|: the mean, and the share above `least`."""
    if not table.codes.std(0).any():
        return {"score": 0.0, "least": 0.0}
    codes = table.codes[:, table.codes.std(0) > 0]
    best = np.abs(np.corrcoef(codes.T, table.factors.T)[: codes.shape[1], codes.shape[1] :]).max(0)
    return {"score": float(best.mean()), "least": float((best > least).mean())}


SOUND = metrics.Metric(
    name="followed",
    function=followed,
    version=1,
    range=(0, 1),
    higher_is_better=True,
    chance="near 0",
    ceiling="1",
    reference="none",
    names=("score", "least"),
    breaks={
        "relabelling factors": "values stand for their ranks",
        "noticing a rotation": "a code of two thirds of a factor still follows it",
    },
    least_codes=2,
)


@pytest.fixture(autouse=True)
def few_rows(monkeypatch):
    monkeypatch.setattr(trial, "TIMED", (200, 100))


def _failed(metric):
    return {result.check: result.reason for result in try_metric(metric) if result.state == "failed"}


def _changed(change):
    """The sound metric, its values changed by that function of them, the table and the generator."""

    def function(table, rng, *, least: float = 0.5):
        values = followed(table, rng, least=least)
        return change(values, table, rng) or values

    return replace(SOUND, function=function)


def test_a_sound_metric_passes_and_is_told_of():
    results = {result.check: result for result in try_metric(SOUND)}
    assert [result for result in results.values() if result.state != "passed"] == []
    assert [*results] == [*CHECKS]
    assert results["options"].reason == "least"
    told = results["noticing a rotation"].reason
    assert re.fullmatch(
        r"the true factors score 1\.000, their rotation 0\.\d+, noise 0\.0\d+, as declared: .*", told
    ), told
    assert results["degenerate tables"].reason == "left out: one code"
    assert re.fullmatch(r"\d+\.\d\d s for 200 \+ 100 rows .*; it declares 'under a second'", results["speed"].reason)


def _draw_globally(values, table, rng):
    np.random.random()  # noqa: NPY002


BROKEN = {
    "values": (_changed(lambda values, *_: values | {"other": 1.0}), "it gives 'other', which `names` does not hold"),
    "declared": (replace(SOUND, breaks={**SOUND.breaks, "doubling code": "x"}), "did you mean 'doubling codes'?"),
    "repeated": (_changed(_draw_globally), "it draws from the global random state"),
    "shifting": (
        _changed(lambda values, table, _: {"score": values["score"] * (table.codes[:, 0].mean() < 2)}),
        r"score 0\.\d+ becomes 0\.000; if that is meant, declare 'shifting' under breaks, with the reason",
    ),
    "adding dead codes": (
        _changed(lambda values, table, _: {"score": values["score"] ** (table.codes.shape[1] / 5)}),
        "declare 'adding dead codes'",
    ),
    "doubling codes": (
        replace(
            _changed(lambda values, table, _: {"score": values["score"]} if table.codes.shape[1] == 10 else None),
            columns=SOUND.names,
        ),
        r"least 1\.000 is not given any more",
    ),
    "ranking noise last": (_changed(lambda values, *_: {"score": 1 - values["score"]}), "noise 0.9"),
    "reaching its ceiling": (_changed(lambda values, *_: {"score": values["score"] / 2}), "its ceiling is 1"),
    "degenerate tables": (
        _changed(lambda values, table, _: values | {"least": 1 / (len(table.codes) > 8)}),
        "on few rows it raises ZeroDivisionError",
    ),
}
ALSO = {  # what else such a metric must fail, or what it is made of depends on
    "adding dead codes": {"doubling codes", "noticing a rotation"},
    "doubling codes": {"relabelling factors"},
    "ranking noise last": {"reaching its ceiling", "noticing a rotation"},
}


@pytest.mark.parametrize("check", BROKEN)
def test_a_broken_metric_fails_the_check(check):
    metric, told = BROKEN[check]
    failed = _failed(metric)
    assert re.search(told, failed[check]), failed
    assert {*failed} <= {check, *ALSO.get(check, ())}, failed


def test_what_breaks_at_once_is_one_failure():
    def broken(table, rng):
        return {"score": table.codes.sum() / 0}

    results = try_metric(replace(SOUND, function=broken, breaks={}))
    assert (results[0].check, results[0].state) == ("values", "failed")
    assert {(result.state, result.reason) for result in results[1:]} == {("skipped", "as values did not pass")}


@pytest.mark.filterwarnings("default")
def test_a_warning_is_told_once():
    def warning(table, rng):
        warnings.warn("few\nrows", stacklevel=1)
        return followed(table, rng)

    results = {result.check: result for result in try_metric(replace(SOUND, function=warning))}
    assert results["permuting latents"].reason == "it warns 'few'"
    assert {result.state for result in results.values()} == {"passed"}


def test_columns_that_so_few_rows_do_not_give_are_told():
    metric = replace(SOUND, names=(*SOUND.names, "of_many"), columns=("score", "of_many"))
    results = try_metric(metric)
    assert results[0].reason.endswith("; of 1,200 rows it does not give of_many")
    assert {result.state for result in results} == {"passed"}


def test_what_no_table_suits_is_told_and_no_success(monkeypatch, capsys):
    unsuited = replace(SOUND, least_codes=6, breaks={**SOUND.breaks, "nonsense": "x"})
    results = {result.check: result for result in try_metric(unsuited)}
    assert results["values"].reason == "followed needs at least 6 codes, and the table has 5."
    passed = {"options", "degenerate tables", "adding dead codes", "doubling codes", "speed"}
    assert {name for name, result in results.items() if result.state != "skipped"} <= {*passed, "declared"}
    assert "unknown property under breaks 'nonsense'" in results["declared"].reason
    monkeypatch.setattr(trial, "try_metric", lambda metric: [Result("values", "skipped", "none suits")])
    assert main(["check-metric", "mig"]) == 1
    assert capsys.readouterr().err == "error: mig could not be scored on any codes that are tried here.\n"


@pytest.mark.parametrize(
    ("limits", "skipped"),
    [
        ({"least_codes": 4}, {"ranking noise last", "noticing a rotation", "reaching its ceiling"}),
        ({"widest": 12}, {"adding dead codes"}),
        (
            {"needs": lambda table: "Few values are needed." * bool(table.factors.max() > 10)},
            {"numbers are names", "relabelling factors", "speed"},
        ),
    ],
)
def test_codes_that_do_not_suit_a_metric_are_no_fault_of_it(limits, skipped):
    results = try_metric(replace(SOUND, **limits))
    assert {result.check for result in results if result.state == "skipped"} == skipped
    assert [result for result in results if result.state == "failed"] == []


@pytest.mark.parametrize(
    ("scaled", "told"),
    [
        ({"range": (0, 100), "ceiling": "100"}, lambda values: {"score": 100 * values["score"]}),
        ({"range": (-3, 0), "ceiling": "0"}, lambda values: {"score": 3 * values["score"] - 3}),
        ({"ceiling": "1/3 of a factor"}, lambda values: {"score": values["score"] / 3}),
        ({}, lambda values: {"score": values["score"] * (1 + 2e-7)}),
    ],
)
def test_a_score_of_any_range_and_ceiling_is_tried_alike(scaled, told):
    assert _failed(replace(_changed(lambda values, *_: told(values)), **scaled)) == {}


def test_of_a_small_range_a_small_difference_counts():
    def function(table, rng):
        return {"score": table.codes[:, 0].std() / 100}

    failed = _failed(replace(SOUND, function=function, range=(0, 0.05), breaks={}))
    assert {"scaling all codes", "shrinking all codes"} <= {*failed}


def test_a_property_that_is_not_seen_lacking_is_told():
    breaks = {**SOUND.breaks, "permuting latents": "it may not", "doubling codes (other)": "it counts"}
    metric = replace(_changed(lambda values, *_: values | {"other": 1.0}), names=("score", "least", "other"))
    results = {result.check: result for result in try_metric(replace(metric, breaks=breaks))}
    assert results["permuting latents"].reason.endswith("not seen here, though declared: it may not")
    assert results["doubling codes"].reason.endswith("not seen here, though declared: it counts")
    failed = _failed(replace(metric, breaks={**SOUND.breaks, "doubling codes (score)": "x"}))
    assert "did you mean 'doubling codes'?" in failed["declared"] or "doubling codes (" in failed["declared"]


def test_what_differs_is_named():
    def other(values, table, rng):
        return values | {"least": float(np.random.random())}  # noqa: NPY002

    failed = _failed(_changed(other))
    assert "draws from the global random state" in failed["repeated"]
    assert re.match(r"least 0\.\d+ becomes 0\.\d+", failed["numbers are names"])


def test_an_assertion_without_words_is_told():
    def function(table, rng):
        raise AssertionError

    assert "AssertionError" in _failed(replace(SOUND, function=function))["values"]


def test_a_metric_that_looks_at_codes_alone_judges_nothing():
    def spread(table, rng):
        return {"score": float((table.codes.std(0) > 0).mean())}

    breaks = {"judging factors": "it looks at none", "adding dead codes": "they count"}
    metric = replace(SOUND, function=spread, breaks=breaks, least_factors=0, least_codes=1)
    states = {result.check: result.state for result in try_metric(metric)}
    assert [check for check, state in states.items() if state == "failed"] == []
    assert [check for check, state in states.items() if state == "skipped"] == [
        "ranking noise last",
        "noticing a rotation",
        "reaching its ceiling",
    ]
    failed = _failed(replace(metric, breaks={**breaks, "judging factors": ""}))
    assert failed["declared"] == "it declares under breaks 'judging factors', and no reason"
    assert "least_factors 1 and 'judging factors'" in _failed(replace(metric, least_factors=1))["declared"]


PLUGIN = """
from metrics import register


@register(version=1, chance="none", ceiling="none", reference="none", least_factors=0, breaks={breaks})
def used(table, rng):
    return {{"score": (table.codes.std(0) > 0).mean()}}
"""


@pytest.mark.parametrize("complete", [True, False])
def test_a_plugins_metric_is_tried(complete, tmp_path, plugins_anew, capsys):
    breaks = {"judging factors": "none is looked at"} | ({"adding dead codes": "they count"} if complete else {})
    path = tmp_path / "used.py"
    path.write_text(PLUGIN.format(breaks=breaks))
    assert main(["check-metric", "used", "--plugin", str(path)]) == (0 if complete else 1)
    told = capsys.readouterr().out
    assert "check used" in told
    shown = "as declared: they count" if complete else "if that is meant, declare 'adding dead codes' under breaks"
    assert shown in told


def test_a_metric_with_options_is_tried(capsys):
    assert main(["check-metric", "mig[bins=10]"]) == 0
    assert "check mig[bins=10]" in capsys.readouterr().out


def test_all_are_tried(monkeypatch, capsys):
    monkeypatch.setattr(trial, "try_metric", lambda metric: [Result("values", "passed", metric.name)])
    assert main(["check-metric", "all"]) == 0
    told = capsys.readouterr().out
    assert all(f"check {name}" in told for name in metrics.REGISTRY)


def test_bad_names_and_an_interrupt_are_one_sentence(monkeypatch, capsys):
    assert main(["check-metric", "migg"]) == 2
    assert capsys.readouterr() == ("", "error: unknown metric 'migg'; did you mean 'mig'?\n")
    assert main(["check-metric", "mig[bin=3]"]) == 2
    assert "mig has no option 'bin'" in capsys.readouterr().err
    assert main(["check-metric"]) == 2

    def interrupt(metric):
        raise KeyboardInterrupt

    monkeypatch.setattr(trial, "try_metric", interrupt)
    assert main(["check-metric", "mig"]) == 130
    assert "what was checked is told above" in capsys.readouterr().err
