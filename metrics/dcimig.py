"""DCIMIG: the gap of the latents that know a factor best."""

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
    reference="Sepliarskaia et al. 2019",
    names=("score", "ceiling", "gap_<factor>"),
    breaks={"relabelling factors (ceiling)": SHARED_BINS},
)
def dcimig(table: Table, rng: np.random.Generator, *, bins: int = 20) -> Values:
    """How much of the factors is held by latents that know one factor better than any other.

    Each latent goes to the factor that it has most mutual information with, with the gap to its
    second factor; each factor takes the largest gap of its latents, 0 with none. The score is
    the sum of these over the sum of the factors' entropies. Codes fall into `bins` bins of equal
    width. It takes the training rows.

    Returns:
        score: in [0, 1]. With one factor nothing rivals it.
        gap_<factor>: each factor's gap over its entropy.
        ceiling: the score of the true factors as codes on these rows.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> factors = rng.integers(4, size=(30000, 2))
        >>> round(dcimig(Table(factors, factors), rng)["score"], 2)
        1.0
    """
    entropies = np.array([entropy(column) for column in table.factors.T])
    gaps = _gaps(table.codes, table.factors, bins)
    ceiling = _gaps(table.factors, table.factors, bins).sum() / entropies.sum()
    values = {"score": float(gaps.sum() / entropies.sum()), "ceiling": float(ceiling)}
    shares = gaps / entropies
    return values | {f"gap_{name}": float(share) for name, share in zip(table.factor_names, shares, strict=True)}


def _gaps(codes: np.ndarray, factors: np.ndarray, bins: int) -> np.ndarray:
    """The largest gap of the latents that go to each factor, in nats: (K,)."""
    information = mutual_information(bin_codes(codes, bins), factors)
    ordered = np.sort(information, axis=1)
    own = ordered[:, -1] - (ordered[:, -2] if ordered.shape[1] > 1 else 0.0)
    gaps = np.zeros(factors.shape[1])
    np.maximum.at(gaps, information.argmax(1), own)
    return gaps
