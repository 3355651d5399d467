"""MED: DCI's disentanglement and completeness of mutual information in place of fitted importances."""

import numpy as np

from metrics import register
from metrics.base import Table, Values
from metrics.dci import BREAKS, concentration
from metrics.information import SHARED_BINS, bin_codes, mutual_information


@register(
    version=1,
    chance="0 (a little above with few rows)",
    at_chance=0,
    ceiling="a little below 1, by what few rows seem to share: what the true factors reach, reported as `ceiling`",
    widest=10_000,
    reference="Cao et al. 2022; 20 bins as in their configuration",
    names=("score", "completeness", "top_disentanglement", "top_completeness", "ceiling"),
    columns=("score", "completeness"),
    breaks=BREAKS | {"relabelling factors (ceiling)": SHARED_BINS},
)
def med(table: Table, rng: np.random.Generator, *, bins: int = 20, top_k: int = 1) -> Values:
    """How far each code knows one factor only, and each factor is known by one code only, without fitting anything.

    R (D, K) is the mutual information of codes and factors, each factor's divided by its sum over codes.
    Disentanglement is the mean over codes of 1 - the entropy of a row of R to base K, weighted by the rows' sums;
    completeness that over factors of the columns, to base D. Codes fall into `bins` bins of equal width; those that
    never vary are left out. It takes the training rows. As a factor's shares sum to 1 however little is known of it,
    a factor that no code holds counts as much as the others: four perfect codes of five factors score 0.64.

    Of representations of many codes the top ones alone: each code is given to the factor that it has the
    greatest share of, and of each factor's the `top_k` that are most disentangled stay.

    Returns:
        score: disentanglement, in [0, 1]. One factor has no other: 1.
        completeness: in [0, 1]; 0 for a factor of which no code knows anything. One code has no other: 1.
        top_disentanglement, top_completeness: of the top codes.
        ceiling: the score of the true factors as codes on these rows.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> factors = rng.integers(4, size=(30000, 2))
        >>> round(med(Table(factors, factors), rng)["score"], 2)
        1.0
    """
    shares = _shares(table.codes, table.factors, bins)
    score, completeness = _summarise(shares)
    top = _summarise(shares[_find_top(shares, top_k)])
    return {
        "score": score,
        "completeness": completeness,
        "top_disentanglement": top[0],
        "top_completeness": top[1],
        "ceiling": _summarise(_shares(table.factors, table.factors, bins))[0],
    }


def _shares(codes: np.ndarray, factors: np.ndarray, bins: int) -> np.ndarray:
    """R: of what codes that vary know of a factor, the share of each of them (D, K); 0 where nothing is known."""
    alive = codes[:, np.ptp(codes, axis=0) > 0]
    information = mutual_information(bin_codes(alive, bins), factors) if alive.size else np.zeros((1, factors.shape[1]))
    totals = information.sum(0)
    return np.where(totals > 0, information / np.where(totals > 0, totals, 1), 0)


def _summarise(shares: np.ndarray) -> tuple[float, float]:
    """Disentanglement and completeness of shares (D, K)."""
    total = shares.sum()
    if not total:
        return 0.0, 0.0
    known = shares.sum(0) > 0
    completeness = np.where(known, concentration(shares.T), 0)
    return float(concentration(shares) @ shares.sum(1) / total), float(completeness.mean())


def _find_top(shares: np.ndarray, most: int) -> np.ndarray:
    """Numbers of the codes that are most disentangled, at most so many of those that have most of the same factor."""
    order = np.argsort(-concentration(shares), kind="stable")
    best = shares[order].argmax(1)
    return np.sort(np.concatenate([order[best == k][:most] for k in range(shares.shape[1])]))
