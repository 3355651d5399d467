"""Prints how long each metric takes here and in disentanglement_lib 1.5, on the same codes in one run.

Run by hand, from the project's root, in an environment of its own that has both. The peer's own
requirements, TensorFlow 1 among them, are not needed: its metrics touch gin only, which is stood in
for below, six and absl. The environment has what `metrics` imports, and the peer alone:

    python -m venv /tmp/peer
    /tmp/peer/bin/pip install numpy scipy scikit-learn six absl-py  # and what else `metrics` imports
    /tmp/peer/bin/pip install --no-deps disentanglement-lib==1.5
    /tmp/peer/bin/python -m tests.benchmarks.compare_with_disentanglement_lib

The peer's trees alone take many minutes at the study's 10,000 and 5,000 rows; `--rows 1000 500` is a
trial (with fewer, a value is missing from the test rows, which the peer cannot score). The peer's
interventional scores encode images as they go. Here that is a few operations on an array, no network,
and the time spent in it is taken off.
"""

import argparse
import sys
import time
import types
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from metrics import REGISTRY, Table
from tests.metrics.representations import REPRESENTATIONS, SIZES, make

BINS = 20
REPEATS = 3  # of which the quickest pair counts; the trees once
# The peer's name, and which of ours do its work; `dci` and `dci_fast` are told apart below.
PAIRS = {
    "beta_vae": ("beta_vae_score",),
    "factor_vae": ("factor_vae_score",),
    "mig": ("mig",),
    "sap": ("sap",),
    "modularity_explicitness": ("modularity", "explicitness"),
    "irs": ("irs",),
    "dci": ("dci_fast",),
}
INTERVENTIONAL = ("beta_vae", "factor_vae")


def stand_in_for_gin(bindings: dict[str, dict[str, Any]]) -> None:
    """Put modules `gin` and `gin.tf` in place whose `configurable` fills in arguments by the bindings."""

    def configurable(name: str, **_: Any) -> Callable[..., Any]:
        def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
            return lambda *args, **options: function(*args, **{**bindings.get(name, {}), **options})

        return decorate

    gin = types.ModuleType("gin")
    tf = types.ModuleType("gin.tf")
    vars(gin).update(configurable=configurable, REQUIRED=object(), tf=tf)
    sys.modules.update({"gin": gin, "gin.tf": tf})


class Rows:
    """The peer's ground-truth data: fixed rows in their order where it samples, new ones where it intervenes."""

    num_factors = len(SIZES)

    def __init__(self, arrays: tuple[np.ndarray, ...]) -> None:
        self.codes, self.factors = np.concatenate(arrays[::2]), np.concatenate(arrays[1::2])
        self.given = 0

    def sample(self, num, random_state):
        rows = slice(self.given, self.given + num)
        self.given += num
        return self.factors[rows], self.codes[rows]

    def sample_factors(self, num, random_state):
        return np.stack([random_state.randint(size, size=num) for size in SIZES], axis=1)

    def sample_observations_from_factors(self, factors, random_state):
        return factors

    def sample_observations(self, num, random_state):
        return self.sample_factors(num, random_state)


class Encoder:
    """A representation, and the seconds spent in it."""

    def __init__(self, name: str) -> None:
        self.encode, self.rng, self.seconds = REPRESENTATIONS[name], np.random.default_rng(0), 0.0

    def __call__(self, factors: np.ndarray) -> np.ndarray:
        began = time.perf_counter()
        codes = self.encode(factors, self.rng)
        self.seconds += time.perf_counter() - began
        return codes


def time_theirs(metric: str, arrays: tuple[np.ndarray, ...], encoder: Encoder) -> tuple[float, dict[str, float]]:
    """Seconds that the peer's metric takes on the arrays, without encoding, and its values."""
    from disentanglement_lib.evaluation.metrics import beta_vae, dci, factor_vae, irs, mig, sap_score
    from disentanglement_lib.evaluation.metrics import modularity_explicitness as modularity

    columns = [array.T for array in arrays]
    train, test = len(arrays[0]), len(arrays[2])
    rows, seed = Rows(arrays), np.random.RandomState(0)
    points = {"batch_size": 64, "num_train": 10_000, "num_eval": 5_000}
    calls = {
        "beta_vae": lambda: beta_vae.compute_beta_vae_sklearn(rows, encoder, seed, **points),
        "factor_vae": lambda: factor_vae.compute_factor_vae(
            rows, encoder, seed, **points, num_variance_estimate=10_000
        ),
        "mig": lambda: mig._compute_mig(*columns[:2]),
        "sap": lambda: sap_score._compute_sap(*columns, False),
        "modularity_explicitness": lambda: modularity.compute_modularity_explicitness(
            rows, np.asarray, seed, num_train=train, num_test=test, batch_size=train
        ),
        "irs": lambda: irs.compute_irs(rows, np.asarray, seed, num_train=train, batch_size=train),
        "dci": lambda: dci._compute_dci(*columns),
    }
    began, encoded = time.perf_counter(), encoder.seconds
    values = calls[metric]()
    return time.perf_counter() - began - (encoder.seconds - encoded), values


def time_ours(metrics: Iterable[str], table: Table) -> tuple[float, dict[str, float]]:
    """Seconds that our metrics take on the table, and their headline numbers."""
    began = time.perf_counter()
    values = {name: REGISTRY[name].score(table, 0)["score"] for name in metrics}
    return time.perf_counter() - began, values


def warm_up(arrays: tuple[np.ndarray, ...], encoder: Encoder) -> None:
    """Let both load what they load late, on few rows and factors of two values."""
    few = tuple(array[:200] % 2 if array.dtype.kind == "i" else array[:200] for array in arrays)
    for peer in PAIRS.keys() - set(INTERVENTIONAL):
        time_theirs(peer, few, encoder)
    time_ours((*(name for names in PAIRS.values() for name in names), "dci"), Table(*few))


def main() -> None:
    """Time every pair and print the table of seconds, ratios and numbers."""
    parser = argparse.ArgumentParser(description="Times beside disentanglement_lib 1.5.")
    parser.add_argument("--rows", nargs=2, type=int, default=(10_000, 5_000), metavar=("TRAIN", "TEST"))
    parser.add_argument("--representation", choices=REPRESENTATIONS, default="aligned", help="two have ten codes")
    parser.add_argument("--without-trees", action="store_true", help="leave out dci, which takes minutes")
    options = parser.parse_args()
    bindings: dict[str, dict[str, Any]] = {"prune_dims": {"threshold": 0.05}}
    stand_in_for_gin(bindings)
    from disentanglement_lib.evaluation.metrics import utils

    bindings["discretizer"] = {"num_bins": BINS, "discretizer_fn": utils._histogram_discretize}
    arrays, encoder = make(options.representation, *options.rows), Encoder(options.representation)
    # Unnamed factors: with one called "shape" our beta_vae_score is computed a second time without it.
    table = Table(*arrays)
    warm_up(arrays, encoder)

    ours, theirs = {}, {}
    print(f"{options.representation}, {options.rows} rows, {table.codes.shape[1]} codes, factors of {SIZES} values")
    line = "{:<42} {:>10} {:>10} {:>8}   {}"
    print(line.format("metric", "theirs, s", "ours, s", "ratio", "their numbers; ours"))
    for peer, names in PAIRS.items():
        if peer == "dci" and options.without_trees:
            continue
        best = min(_time_both(peer, names, arrays, encoder, table) for _ in range(1 if peer == "dci" else REPEATS))
        theirs[peer], ours[peer] = best.theirs, best.ours
        _print(line, " and ".join(names), theirs[peer], ours[peer], best.values, best.headlines)
    together = [sum(times[peer] for peer in INTERVENTIONAL) for times in (theirs, ours)]
    _print(line, "the two interventional", *together)
    if not options.without_trees:
        _print(line, "all seven, with dci_fast", sum(theirs.values()), sum(ours.values()))
        exact, headlines = time_ours(("dci",), table)
        _print(line, "dci", theirs["dci"], exact, best.values, headlines)


class Timed(NamedTuple):
    """Both times of one metric, taken in turn, and what came out."""

    total: float
    theirs: float
    ours: float
    values: dict[str, float]
    headlines: dict[str, float]

    def __lt__(self, other: tuple[Any, ...]) -> bool:
        return self.total < other[0]


def _time_both(
    peer: str, names: Iterable[str], arrays: tuple[np.ndarray, ...], encoder: Encoder, table: Table
) -> Timed:
    theirs, values = time_theirs(peer, arrays, encoder)
    ours, headlines = time_ours(names, table)
    return Timed(theirs + ours, theirs, ours, values, headlines)


def _print(line: str, name: str, theirs: float, ours: float, *values: dict[str, float]) -> None:
    numbers = "; ".join(" ".join(f"{key} {value:.4f}" for key, value in each.items()) for each in values)
    print(line.format(name, f"{theirs:.3f}", f"{ours:.3f}", f"{theirs / ours:.1f}", numbers), flush=True)


if __name__ == "__main__":
    main()
