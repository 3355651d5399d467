"""Modularity: how far each code knows one factor only."""

import numpy as np

from metrics import register
from metrics.base import Table, Values
from metrics.information import bin_codes, mutual_information


@register(
    version=1,
    chance="not 0: what a code of pure noise seems to know is spread over factors by chance (0.67 for dSprites')",
    ceiling="1 (a little below with few rows)",
    widest=10_000,
    least_factors=2,
    reference="Ridgeway and Mozer 2018, section 3; 20 bins and all codes as in Locatello et al. 2019",
    names=("score", "without_dead", "active"),
    columns=("score", "without_dead"),
    breaks={
        "adding dead codes": "a code that never varies counts as one that is not modular; see `without_dead`",
        "shrinking all codes (without_dead)": "a code of a standard deviation below 0.05 counts as dead",
    },
)
def modularity(table: Table, rng: np.random.Generator, *, bins: int = 20, threshold: float = 0.05) -> Values:
    """How far each code is from knowing anything of factors other than its best.

    A code's modularity is 1 - sum of the squared mutual information with all factors but its best,
    over (K - 1) times the square of that with its best; 0 where it knows nothing. Codes fall into
    `bins` bins of equal width. It says nothing of how much is known, and nearly dead codes,
    stretched over all bins, are noise that scores high: hence the score without them.
    It takes the training rows.

    Returns:
        score: the mean over all codes, in [0, 1].
        without_dead: the mean over codes whose standard deviation is at least `threshold`; 0 with none.
        active: their number.

    Raises:
        ValueError: there is one factor only.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> factors = rng.integers(4, size=(30000, 2))
        >>> round(modularity(Table(factors, factors), rng)["score"], 2)
        1.0
    """
    if len(table.factor_names) < 2:
        raise ValueError("modularity tells factors apart; it needs at least two.")
    squared = mutual_information(bin_codes(table.codes, bins), table.factors) ** 2
    best = squared.max(1)
    others = (squared.sum(1) - best) / (squared.shape[1] - 1)
    own = np.where(best > 0, 1 - others / np.where(best > 0, best, 1), 0)
    active = table.codes.std(0) >= threshold
    return {
        "score": float(own.mean()),
        "without_dead": float(own[active].mean()) if active.any() else 0.0,
        "active": float(active.sum()),
    }
