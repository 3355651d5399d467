"""The interventional robustness score."""

import numpy as np

from metrics import register
from metrics.base import Table, Values
from metrics.information import SHARED_BINS, bin_codes


@register(
    version=1,
    range=(-1, 1),
    chance="not 0, as a maximum exceeds a 0.99 quantile: of 10,000 rows about 0.01 for uniform "
    "noise, 0.37 for normal noise and up to 1 for noise of long tails; of few rows more (0.4 for uniform noise of 100)",
    ceiling="a little below 1 where a factor takes more values than there are bins, reported as `ceiling`",
    widest=10_000,
    reference="Suter et al. 2019; 20 bins and the 0.99 quantile as in Locatello et al. 2019",
    names=("score", "active", "ceiling"),
    breaks={"relabelling factors": SHARED_BINS, "relabelling factors (ceiling)": SHARED_BINS},
)
def irs(table: Table, rng: np.random.Generator, *, bins: int = 20, quantile: float = 0.99) -> Values:
    """How little each code moves, at most, while one factor is held and the others vary.

    For a code and a factor: the `quantile` of the code's distances from its mean among rows that
    share the factor's value, averaged over values, relative to its greatest distance from its mean
    among all rows. A code's robustness is 1 less that, for its best factor; the score is the mean
    over codes weighted by their greatest distance. Factors fall into `bins` bins of equal width by the ranks of
    their values, so that the order of these counts where they are more than `bins`;
    codes stay as they are; codes that never vary are left out. It takes the training rows.

    Returns:
        score: in [-1, 1], below 0 only where most of a code's rows lie far from its few others;
            0 where no code varies.
        active: the number of codes that vary at all.
        ceiling: the score of the true factors as codes on these rows.

    Raises:
        ValueError: the quantile is not in [0, 1].

    Example:
        >>> rng = np.random.default_rng(0)
        >>> factors = rng.integers(4, size=(3000, 2))
        >>> irs(Table(factors, factors), rng)
        {'score': 1.0, 'active': 2.0, 'ceiling': 1.0}
    """
    if not 0 <= quantile <= 1:
        raise ValueError(f"irs's quantile is {quantile:g}; a number from 0 to 1 is needed.")
    # The true factors ride along as further codes, so that rows are sorted into groups once for both.
    columns = np.hstack([table.codes, table.factors]).T.copy()
    columns = columns[np.ptp(columns, axis=1) > 0]
    active = len(columns) - table.factors.shape[1]
    binned = bin_codes(table.factors, bins)
    greatest = np.abs(columns - columns.mean(1, keepdims=True)).max(1)
    moved = np.stack([_mean_deviation(columns, values, quantile) for values in binned.T])
    robust = 1 - moved.min(0) / greatest
    return {
        "score": float(np.average(robust[:active], weights=greatest[:active])) if active else 0.0,
        "active": float(active),
        "ceiling": float(np.average(robust[active:], weights=greatest[active:])),
    }


def _mean_deviation(columns: np.ndarray, values: np.ndarray, quantile: float) -> np.ndarray:
    """The quantile of the distances of each column (D, N) from its mean in a group, averaged over groups: (D,)."""
    order = np.argsort(values, kind="stable")
    begins = np.flatnonzero(np.diff(values[order])) + 1
    groups = np.split(columns.take(order, axis=1), begins, axis=1)
    return np.mean([_quantile(np.abs(group - group.mean(1, keepdims=True)), quantile) for group in groups], axis=0)


def _quantile(rows: np.ndarray, quantile: float) -> np.ndarray:
    """Each row's quantile (D,), interpolated as by `np.quantile`, in half its time; changes the order in `rows`."""
    place = quantile * (rows.shape[1] - 1)
    below = int(place)
    rows.partition(below, axis=1)
    low = rows[:, below]
    high = rows[:, below + 1 :].min(1) if place > below else low
    return low + (place - below) * (high - low)
