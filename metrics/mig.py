"""The mutual information gap."""

import numpy as np

from metrics import register
from metrics.base import Table, Values
from metrics.information import SHARED_BINS, bin_codes, entropy, mutual_information


@register(
    version=1,
    chance="0 (a little above with few rows)",
    at_chance=0,
    ceiling="below 1: what the true factors reach in as many bins, reported as `ceiling`",
    widest=10_000,
    reference="Chen et al. 2018, eq. 6; 20 bins as in Locatello et al. 2019",
    names=("score", "ceiling", "gap_<factor>"),
    breaks={
        "doubling codes": "two latents that know a factor equally well leave no gap",
        "relabelling factors (ceiling)": SHARED_BINS,
    },
)
def mig(table: Table, rng: np.random.Generator, *, bins: int = 20) -> Values:
    """How much better the best latent knows a factor than the second best does.

    The gap of a factor is (largest - second largest mutual information with any latent) over
    the factor's entropy; the score is the mean gap. Codes fall into `bins` bins of equal
    width, factors stay as they are. It has no fitting and takes the training rows.

    Returns:
        score: the mean gap, in [0, 1].
        gap_<factor>: each factor's gap.
        ceiling: the score of the true factors as codes on these rows, which is below 1
            where a factor takes more values than there are bins, or rows are few.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> factors = rng.integers(4, size=(30000, 2))
        >>> round(mig(Table(factors, factors), rng)["score"], 2)
        1.0
    """
    gaps = _gaps(table.codes, table.factors, bins)
    values = {"score": float(gaps.mean()), "ceiling": float(_gaps(table.factors, table.factors, bins).mean())}
    return values | {f"gap_{name}": float(gap) for name, gap in zip(table.factor_names, gaps, strict=True)}


def _gaps(codes: np.ndarray, factors: np.ndarray, bins: int) -> np.ndarray:
    information = np.sort(mutual_information(bin_codes(codes, bins), factors), axis=0)
    second = information[-2] if len(information) > 1 else 0.0  # one latent has no rival
    return (information[-1] - second) / np.array([entropy(column) for column in factors.T])
