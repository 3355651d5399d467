"""The interventional robustness score."""

import numpy as np

from metrics import register
from metrics.base import Table, Values
from metrics.information import bin_codes


@register(
    version=1,
    range=(-1, 1),
    chance="not 0, as a maximum exceeds a 0.99 quantile: about 0.01 for uniform noise, 0.37 for normal noise",
    ceiling="a little below 1 where a factor takes more values than there are bins, reported as `ceiling`",
    reference="Suter et al. 2019; 20 bins and the 0.99 quantile as in Locatello et al. 2019",
    names=("score", "active", "ceiling"),
)
def irs(table: Table, rng: np.random.Generator, *, bins: int = 20, quantile: float = 0.99) -> Values:
    """How little each code moves, at most, while one factor is held and the others vary.

    For a code and a factor: the `quantile` of the code's distances from its mean among rows that
    share the factor's value, averaged over values, relative to its greatest distance from its mean
    among all rows. A code's robustness is 1 less that, for its best factor; the score is the mean
    over codes weighted by their greatest distance. Factors fall into `bins` bins of equal width,
    codes stay as they are; codes that never vary are left out. It takes the training rows.

    Returns:
        score: in [-1, 1], below 0 only where most of a code's rows lie far from its few others;
            0 where no code varies.
        active: the number of codes that vary at all.
        ceiling: the score of the true factors as codes on these rows.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> factors = rng.integers(4, size=(3000, 2))
        >>> irs(Table(factors, factors), rng)
        {'score': 1.0, 'active': 2.0, 'ceiling': 1.0}
    """
    binned = bin_codes(table.factors, bins)
    varying = table.codes[:, np.ptp(table.codes, axis=0) > 0]
    return {
        "score": _robustness(varying, binned, quantile) if varying.size else 0.0,
        "active": float(varying.shape[1]),
        "ceiling": _robustness(table.factors.astype(np.float64), binned, quantile),
    }


def _robustness(codes: np.ndarray, factors: np.ndarray, quantile: float) -> float:
    """The weighted mean over codes (N, D), none of them constant, of their robustness for the best factor."""
    greatest = np.abs(codes - codes.mean(0)).max(0)
    moved = np.stack([_mean_deviation(codes, column, quantile) for column in factors.T])
    return float(np.average(1 - moved.min(0) / greatest, weights=greatest))


def _mean_deviation(codes: np.ndarray, values: np.ndarray, quantile: float) -> np.ndarray:
    """The quantile of each code's distances from its mean among rows of one value, averaged over values: (D,)."""
    groups = [codes[values == value] for value in np.unique(values)]
    return np.mean([np.quantile(np.abs(group - group.mean(0)), quantile, axis=0) for group in groups], axis=0)
