"""Single-neuron classification, and what is lost when the neuron is knocked out."""

from typing import Literal

import numpy as np

from metrics import register
from metrics.base import Table, Values
from metrics.information import mutual_information
from metrics.prediction import classify_by_regression, classify_by_trees, draw_seed, standardise


@register(
    version=1,
    chance="about the share of a factor's commonest value; nk 0",
    ceiling="1; nk 1 less that share",
    cost="seconds",
    reference="Mahon et al. 2024; nk by boosted trees or logistic regression in place of their network",
    names=("score", "nk", "snc_<factor>", "nk_<factor>"),
    columns=("score", "nk"),
    breaks={"doubling codes (nk)": "what is knocked out is told by its double"},
)
def snc(table: Table, rng: np.random.Generator, *, predictor: Literal["trees", "logistic"] = "trees") -> Values:
    """How well one code alone names the value of each factor, and how much all others miss it.

    For a factor of n values each code falls into n bins of equal counts, and factors are matched one to one with
    codes so that the sum of mutual information is greatest, on the training rows. There the bins of the matched code
    are given values, each another, so that most rows are right: single-neuron classification is the share of test
    rows that are. Neuron knockout is how much better a predictor tells the factor from all codes than from all but
    the matched one.

    Rows of equal code share a bin, the one in which the middle of them lies, and a code of no more than n values has
    a bin for each; in published code ties are cut in two, so that the true factors themselves score 0.85. A
    factor without a code, where these are fewer or never vary, has one bin.

    Args:
        predictor: "trees", 10 steps of LightGBM's of depth 3, or "logistic", a logistic regression on standardised
            codes, both fitted on the training rows; published is a network of 256 units.

    Returns:
        score: the mean accuracy of single codes over factors, in [0, 1].
        nk: the mean over factors of what knocking out costs, which counts as 0 where it is below, in [0, 1].
        snc_<factor>, nk_<factor>: each factor's, the latter of any sign.

    Raises:
        ValueError: there is no such predictor.

    Example:
        >>> factors = np.random.default_rng(0).integers(4, size=(3000, 2))
        >>> values = snc(Table(factors, factors), np.random.default_rng(0))
        >>> values["score"], values["nk"] > 0.7
        (1.0, True)
    """
    if predictor not in (predictors := {"trees": classify_by_trees, "logistic": classify_by_regression}):
        raise ValueError(f"snc has no predictor {predictor!r}; it has 'trees' and 'logistic'.")
    predict, seed = predictors[predictor], draw_seed(rng)
    matched, single = _classify_singly(table)
    knocked = np.zeros(len(matched))
    train, test = standardise(table)
    for k, (code, known, wanted) in enumerate(zip(matched, table.factors.T, table.factors_test.T, strict=True)):
        if code >= 0 and np.ptp(train[:, code]) > 0:
            guesses = [predict(train[:, kept], known, test[:, kept], seed) for kept in _with_and_without(train, code)]
            knocked[k] = np.subtract(*[(guess == wanted).mean() for guess in guesses])
    values = {"score": float(single.mean()), "nk": float(np.maximum(knocked, 0).mean())}
    for prefix, numbers in (("snc", single), ("nk", knocked)):
        values |= {f"{prefix}_{name}": float(each) for name, each in zip(table.factor_names, numbers, strict=True)}
    return values


def _classify_singly(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """The code of each factor, -1 where there is none, and how often it alone is right on the test rows: (K,) each."""
    from scipy.optimize import linear_sum_assignment

    sizes = [len(np.unique(factor)) for factor in table.factors.T]
    binned = {size: _bin_equally(table.codes, table.codes_test, size) for size in set(sizes)}
    information = [
        mutual_information(binned[size][0], factor[:, None])[:, 0]
        for size, factor in zip(sizes, table.factors.T, strict=True)
    ]
    factors, codes = linear_sum_assignment(np.array(information), maximize=True)
    matched = np.full(len(sizes), -1)
    matched[factors] = codes
    right = []
    for code, size, known, wanted in zip(matched, sizes, table.factors.T, table.factors_test.T, strict=True):
        nothing = (np.zeros(len(known), int), np.zeros(len(wanted), int))
        bins = (binned[size][0][:, code], binned[size][1][:, code]) if code >= 0 else nothing
        right.append((_name_bins(bins[0], known)[bins[1]] == wanted).mean())
    return matched, np.array(right)


def _bin_equally(train: np.ndarray, test: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """The bins of codes of training and of test rows, cut where the training rows of each code fill them equally."""
    both = []
    for code, code_test in zip(train.T, test.T, strict=True):
        values, counts = np.unique(code, return_counts=True)
        middle = (np.cumsum(counts) - counts / 2) / len(code)
        wanted = np.arange(len(values)) if len(values) <= bins else (middle * bins).astype(int)
        lowest = values[np.flatnonzero(np.diff(wanted, prepend=-1))]
        both.append([np.maximum(np.searchsorted(lowest, each, side="right") - 1, 0) for each in (code, code_test)])
    of_train, of_test = zip(*both, strict=True)
    return np.stack(of_train, axis=1), np.stack(of_test, axis=1)


def _name_bins(bins: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """The value that each bin stands for, each another, so that most rows are right."""
    from scipy.optimize import linear_sum_assignment

    values, which = np.unique(factor, return_inverse=True)
    counts = np.zeros((bins.max() + 1, len(values)))
    np.add.at(counts, (bins, which), 1)
    return values[linear_sum_assignment(counts, maximize=True)[1]]


def _with_and_without(codes: np.ndarray, code: int) -> list[np.ndarray]:
    """Which codes a predictor sees: all, and all but one."""
    return [np.ones(codes.shape[1], bool), np.arange(codes.shape[1]) != code]
