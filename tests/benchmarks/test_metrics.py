"""Speed of every metric on 10,000 + 5,000 rows of ten codes and dSprites' factors.

`python -m pytest tests/benchmarks/test_metrics.py --benchmark-enable` prints the times; without the
option each metric is called once on few rows. `compare_with_disentanglement_lib.py` prints ratios.
"""

import numpy as np
import pytest

from metrics import REGISTRY, Table
from metrics.udr import udr
from tests.metrics.representations import NAMES, make

MINUTES = ("dci", "downstream")  # once, not until the time is known well


def _table(benchmark):
    """The study's rows; where nothing is timed few, of factors with three values."""
    if benchmark.enabled:
        return Table(*make("mixed"), NAMES)
    codes, factors, codes_test, factors_test = make("mixed", 400, 200)
    return Table(codes, factors % 3, codes_test, factors_test % 3, NAMES)


@pytest.mark.benchmark(group="metrics, 10,000 + 5,000 rows")
@pytest.mark.parametrize(
    "metric", [pytest.param(name, marks=[pytest.mark.slow] * (name in MINUTES)) for name in sorted(REGISTRY)]
)
def test_metric(benchmark, metric):
    table = _table(benchmark)
    rounds = 1 if metric in MINUTES else 3
    values = benchmark.pedantic(REGISTRY[metric].score, args=(table, 0), rounds=rounds, warmup_rounds=rounds - 1)
    assert np.isfinite(list(values.values())).all()


@pytest.mark.benchmark(group="metrics, 10,000 + 5,000 rows")
@pytest.mark.parametrize("method", ["lasso", "spearman"])
def test_udr_of_five_models(benchmark, method):
    rng = np.random.default_rng(0)
    codes = [rng.normal(size=(1000, 10)) for _ in range(5)]
    assert len(benchmark(udr, codes, rng, method=method)) == 5
