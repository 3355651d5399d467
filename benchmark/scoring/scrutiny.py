"""What is odd about codes that somebody else sends: told beside their scores, and no reason to refuse them.

No check proves that codes are what they are said to be, nor that they are not; each says what it can and cannot show.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from benchmark.datasets.base import FactorDataset
from benchmark.errors import UsageError
from benchmark.scoring.encoding import Rows
from benchmark.scoring.fixed_rows import fixed_images
from benchmark.spec import APART, AS_LABELS
from metrics import Table
from metrics.base import WIDE

ROUNDING = 1e-5  # of what two codes share, that they lack of all
EXACT = 1e-4  # of a code's variance, that factors leave: half precision leaves less, networks a hundredth or more
ALIKE = 1e-2  # standard deviations within which codes are equal
MOST_VALUES = 1_000  # of all factors together, of which a code's sum of functions is fitted
LEAST_VALUES = 4  # of a code; one of fewer, as of a quantiser, may well be a function of the factors
MOST_BINS, MOST_COLUMNS = 20, 400  # of codes, from which factors are told
GAP = 0.1  # of a factor told better on training rows than on test rows, beside what few rows make of it
CHANCE = 0.02  # of a factor, that codes of shuffled rows may be behind
FEW = 6  # that a sentence names

LIMITS = {
    "constant codes": "A code that never varies. Harmless in itself; metrics that count codes see it.",
    "copied codes": "Finds codes that are another, moved and scaled; metrics that compare the best two codes see them.",
    "equal rows": "Finds codes that were repeated; of quantised or collapsed ones it is no fault.",
    "labels": "Finds codes that are sums of functions of the factors, as true factors, in whatever units or mixed "
    "linearly, are and networks' codes are not. Codes that are labels and a little noise pass, and so do "
    "codes of fewer than four values; a measurement made by hand, such as an outline's middle, may not.",
    "equal images": "Finds codes that tell apart images that are equal pixel for pixel, as only labels or noise can. "
    "Looks at what few pairs of equal images the rows hold; where there are none it shows nothing.",
    "order of rows": "Finds codes that tell no more of their rows than of others: in another order, most likely.",
    "training and test rows": "Finds codes that fit the training rows' factors better than the test rows', as of a "
    "network that was told the factors of those. Of one that was told all of them it finds nothing.",
}


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: a key of `LIMITS`.
        found: what was measured, in words.
        remark: what is odd, in words; empty where nothing is.
    """

    check: str
    found: str
    remark: str = ""


def scrutinise(codes: np.ndarray, dataset: FactorDataset, rows: Rows, table: Table, here: bool = True) -> list[Finding]:
    """Look at codes (N, D) of the rows, as they were sent, and at their table.

    Args:
        table: of the same rows and codes.
        here: whether the codes are of the data set's images as they are here, and not from another source.
    """
    checks: dict[str, Callable[[], tuple[str, str]]] = {
        "constant codes": lambda: _find_constants(codes),
        "copied codes": lambda: _find_copies(codes),
        "equal rows": lambda: _find_equal_rows(codes),
        "labels": lambda: _find_labels(table),
        "equal images": lambda: _compare_equal_images(codes, dataset, rows, here),
        "order of rows": lambda: _compare_shuffled(table),
        "training and test rows": lambda: _compare_parts(table),
    }
    return [Finding(name, *check()) for name, check in checks.items()]


# --- of the codes alone ------------------------------------------------------------------------------


def _find_constants(codes: np.ndarray) -> tuple[str, str]:
    still = np.flatnonzero(np.ptp(codes, axis=0) == 0)
    return f"{len(still)} of {codes.shape[1]}", f"{_name_codes(still)} never varies" if len(still) else ""


def _find_copies(codes: np.ndarray) -> tuple[str, str]:
    if codes.shape[1] > WIDE:
        return f"not looked at: more than {WIDE} codes", ""
    varies = np.flatnonzero(np.ptp(codes, axis=0) > 0)
    scaled = _standardise(codes[:, varies])
    likeness = np.abs(scaled.T @ scaled) / len(codes)
    pairs = np.argwhere(np.triu(likeness > 1 - ROUNDING, 1))
    told = ", ".join(f"{varies[first]} and {varies[second]}" for first, second in pairs[:FEW])
    return f"{len(pairs)} pairs", f"codes {told} are the same but for their units" if len(pairs) else ""


def _find_equal_rows(codes: np.ndarray) -> tuple[str, str]:
    counts = Counter(row.tobytes() for row in codes)
    equal = sum(count for count in counts.values() if count > 1)
    found = f"{equal:,} of {len(codes):,} rows"
    return found, f"{found} have the codes of another row" if equal > len(codes) / 2 else ""


# --- of codes and factors ----------------------------------------------------------------------------


def _find_labels(table: Table) -> tuple[str, str]:
    """Whether codes are sums of functions of the factors, fitted on training rows and measured on test rows."""
    values = [int(column.max()) + 1 for column in np.concatenate([table.factors, table.factors_test]).T]
    if not values or not sum(values) < min(MOST_VALUES, len(table.codes) / 2):
        return "not looked at: no factors, or too many values of them for so many rows", ""
    inputs, inputs_test = (_one_hot(factors, values) for factors in (table.factors, table.factors_test))
    mean, spread = table.codes.mean(0), table.codes.std(0)
    varies = np.array([j for j, code in enumerate(table.codes.T) if len(np.unique(code)) >= LEAST_VALUES], int)
    targets, targets_test = (
        ((codes - mean) / np.where(spread > 0, spread, 1))[:, varies] for codes in (table.codes, table.codes_test)
    )
    weights = np.linalg.lstsq(inputs, targets, rcond=None)[0]
    left = ((targets_test - inputs_test @ weights) ** 2).mean(0)
    made = varies[left < EXACT]
    remark = f"{_name_codes(made)} follows from the factors {AS_LABELS}" if len(made) else ""
    return (
        f"{len(made)} of {table.codes.shape[1]}; of the nearest {left.min(initial=1.0):.2g} of the variance is left",
        remark,
    )


def _compare_shuffled(table: Table) -> tuple[str, str]:
    """Whether rows in their order are told better than rows that are shuffled."""
    if reason := _too_much(table):
        return reason, ""
    rng = np.random.default_rng(0)
    train, test = (rng.permutation(len(part)) for part in (table.codes, table.codes_test))
    told = _tell_factors(table.codes, table.factors, table.codes_test, table.factors_test).max()
    by_chance = _tell_factors(table.codes[train], table.factors, table.codes_test[test], table.factors_test).max()
    remark = "codes tell no factor better than shuffled ones do; are they in the order of `rows`?"
    return (
        f"{told:.3f} of the factor told best, {by_chance:.3f} by shuffled codes",
        remark if told < by_chance + CHANCE else "",
    )


def _compare_parts(table: Table) -> tuple[str, str]:
    """Whether factors of training rows are told better than those of test rows, by what learned of the others."""
    if reason := _too_much(table):
        return reason, ""
    half = len(table.codes) // 2
    fitted = table.codes[:half], table.factors[:half]
    gaps = _tell_factors(*fitted, table.codes[half:], table.factors[half:]) - _tell_factors(
        *fitted, table.codes_test, table.factors_test
    )
    worst = int(gaps.argmax())
    found = f"{gaps[worst]:.3f} of {table.factor_names[worst]} more in training rows"
    few = 4 / np.sqrt(min(half, len(table.codes_test)))
    remark = f"the training rows' factors are told better than the test rows' ({found})"
    return found, remark if gaps[worst] > GAP + few else ""


def _too_much(table: Table) -> str:
    if not table.factor_names:
        return "not looked at: no factors"
    return f"not looked at: more than {WIDE} codes" if table.codes.shape[1] > WIDE else ""


def _tell_factors(
    codes: np.ndarray, factors: np.ndarray, codes_test: np.ndarray, factors_test: np.ndarray
) -> np.ndarray:
    """How much of each factor's variance, as of one column a value, is told on other rows: (K,), 1 at most.

    By a ridge regression on codes that are cut into bins of equal counts.
    """
    wide = codes.shape[1]
    bins = max(2, min(MOST_BINS, MOST_COLUMNS // wide, len(codes) // (4 * wide)))
    edges = np.quantile(codes, np.arange(1, bins) / bins, axis=0)
    binned, binned_test = (
        _one_hot(np.stack([np.searchsorted(edges[:, j], part[:, j]) for j in range(wide)], 1), [bins] * wide)
        for part in (codes, codes_test)
    )
    shares = []
    solved = np.linalg.inv(binned.T @ binned + np.eye(binned.shape[1])) @ binned.T
    for k in range(factors.shape[1]):
        values = [int(max(factors[:, k].max(), factors_test[:, k].max())) + 1]
        targets, targets_test = (_one_hot(part[:, [k]], values) for part in (factors, factors_test))
        mean = targets.mean(0)
        weights = solved @ (targets - mean)
        left = ((targets_test - mean - binned_test @ weights) ** 2).sum()
        shares.append(1 - left / ((targets_test - mean) ** 2).sum())
    return np.array(shares)


def _one_hot(columns: np.ndarray, values: list[int]) -> np.ndarray:
    """A column a value of each column (N, K): (N, sum of values)."""
    return np.concatenate([np.eye(size)[column] for column, size in zip(columns.T, values, strict=True)], 1)


# --- of codes and images -----------------------------------------------------------------------------


def _compare_equal_images(codes: np.ndarray, dataset: FactorDataset, rows: Rows, here: bool) -> tuple[str, str]:
    """Whether codes of images that are the same, pixel for pixel, are the same."""
    if not here:
        return f"not looked at: the images here are {dataset.source}", ""
    try:
        dataset.prepare()
    except UsageError:  # a published file that is not there
        return "not looked at: the images are not here", ""
    blocks = fixed_images(dataset, rows.all)
    first: dict[bytes, int] = {}
    images = (image for block in blocks for image in block)
    twins = [(first.setdefault(hashlib.sha256(image.tobytes()).digest(), row), row) for row, image in enumerate(images)]
    pairs = np.array([pair for pair in twins if pair[0] != pair[1]], int).reshape(-1, 2)
    apart = np.abs(codes[pairs[:, 0]] - codes[pairs[:, 1]]) > ALIKE * codes.std(0)
    differ = int(apart.any(1).sum())
    found = f"{differ} of {len(pairs)} pairs of equal images"
    return found, f"codes tell apart {found}, {APART}" if differ else ""


def _standardise(codes: np.ndarray) -> np.ndarray:
    return (codes - codes.mean(0)) / codes.std(0)


def _name_codes(places: Iterable[int]) -> str:
    numbers = [*map(str, places)]
    return (
        f"code {numbers[0]}"
        if len(numbers) == 1
        else f"each of codes {', '.join([*numbers[:FEW], *['...'] * (len(numbers) > FEW)])}"
    )
