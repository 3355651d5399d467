"""The mutual information gap seen from the latents."""

import numpy as np

from metrics import register
from metrics.base import Table, Values
from metrics.information import SHARED_BINS, bin_codes, entropy, mutual_information


@register(
    version=1,
    chance="0 (a little above with few rows)",
    at_chance=0,
    ceiling="1 for factors of at most 20 values, else a little below, reported as `ceiling`",
    widest=10_000,
    reference="Li et al. 2020",
    names=("score", "active", "with_dead", "ceiling"),
    columns=("score", "active"),
    breaks={
        "doubling codes (active)": "each copy is counted",
        "relabelling factors (ceiling)": SHARED_BINS,
        "shrinking all codes": "a code of a standard deviation below 0.05 counts as dead",
        "shrinking all codes (active)": "a code of a standard deviation below 0.05 counts as dead",
    },
)
def mig_sup(table: Table, rng: np.random.Generator, *, bins: int = 20, threshold: float = 0.05) -> Values:
    """How much more of its best factor than of its second a latent knows.

    The gap of a latent is (largest - second largest mutual information with any factor, each over
    that factor's entropy); the score is the mean gap of the latents whose standard deviation is at
    least `threshold`. It sees the entangled latents that MIG overlooks, and overlooks factors
    that several latents hold. Codes fall into `bins` bins of equal width. It takes the training rows.

    Returns:
        score: in [0, 1]; 0 with no active latent. With one factor nothing rivals it.
        active: the number of latents that count.
        with_dead: the mean gap of all latents.
        ceiling: the score of the true factors as codes on these rows.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> factors = rng.integers(4, size=(30000, 2))
        >>> round(mig_sup(Table(factors, factors), rng)["score"], 2)
        1.0
    """
    gaps = _gaps(table.codes, table.factors, bins)
    active = table.codes.std(0) >= threshold
    return {
        "score": float(gaps[active].mean()) if active.any() else 0.0,
        "active": float(active.sum()),
        "with_dead": float(gaps.mean()),
        "ceiling": float(_gaps(table.factors, table.factors, bins).mean()),
    }


def _gaps(codes: np.ndarray, factors: np.ndarray, bins: int) -> np.ndarray:
    shares = mutual_information(bin_codes(codes, bins), factors) / [entropy(column) for column in factors.T]
    ordered = np.sort(shares, axis=1)
    second = ordered[:, -2] if ordered.shape[1] > 1 else 0.0
    return ordered[:, -1] - second
