"""What one expects of a measure of disentanglement, for every column of every registered metric.

A metric whose score lacks a property declares it under `breaks` with the reason, which `list metrics` shows; it must
then be seen to lack it, so that a declaration cannot outlive its cause. A new metric inherits all of these.
"""

import sys
from functools import cache

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from benchmark.attempts import Skip
from benchmark.scoring.trial import CHECKS, UNSEEN, Subject
from metrics import REGISTRY, boosting, prediction

# What takes minutes is tried with less of the same.
OPTIONS = {"downstream": {"rows": (10, 100, 1000)}}


@pytest.fixture(autouse=True)
def _less_of_the_same(monkeypatch):
    monkeypatch.setattr(boosting, "STEPS", 6)
    monkeypatch.setattr(sys.modules["metrics.downstream"], "PENALTIES", [1, 1e4])
    monkeypatch.setattr(sys.modules["metrics.downstream"], "FOLDS", 2)


@cache
def _subject(metric):
    return Subject(REGISTRY[metric].with_options(**OPTIONS.get(metric, {})))


@pytest.mark.parametrize("check", [check for check in CHECKS if check != "speed"])
@pytest.mark.parametrize("metric", sorted(REGISTRY))
def test_holds_but_for_what_it_declares(metric, check):
    try:
        told = CHECKS[check](_subject(metric))
    except Skip:
        assert "judging factors" in REGISTRY[metric].breaks
    else:
        unseen = [each for each in told.split("; ") if UNSEEN in each]
        assert all(each.startswith("ceiling") for each in unseen)  # `test_information_gaps` has factors that show it


@pytest.mark.parametrize("metric", sorted(REGISTRY))
def test_equal_seeds_give_equal_values_with_any_number_of_threads(metric, monkeypatch):
    users = [module for module in sys.modules.values() if vars(module).get("spare_cores") is prediction.spare_cores]
    for threads in (1, 2, 3):
        with monkeypatch.context() as patch, threadpool_limits(threads):
            for module in users:
                patch.setattr(module, "spare_cores", lambda threads=threads: threads)
            assert _subject(metric).score() == _subject(metric).mixed


@pytest.mark.parametrize("metric", sorted(REGISTRY))
def test_values_are_plain_numbers_and_all_columns_are_among_them(metric):
    values = _subject(metric).mixed
    assert set(REGISTRY[metric].columns) <= set(values)
    assert all(type(value) is float for value in values.values()), values
    assert np.isfinite([*values.values()]).all()
