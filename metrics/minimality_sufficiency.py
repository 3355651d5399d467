"""Minimality and sufficiency: measures that stay meaningful where factors depend on one another."""

import numpy as np

from metrics import register
from metrics.base import Table, Values
from metrics.information import SHARED_BINS, bin_codes, entropy, mutual_information


@register(
    version=1,
    chance="0 (a little above with few rows), of minimality too",
    at_chance=0,
    ceiling="below 1 where a factor takes more values than there are bins: what the true factors reach, reported as "
    "`ceiling`; 1 for minimality",
    widest=10_000,
    reference="Almudevar and Ortega 2024, each code as a part of its own; 15 bins as in their repository",
    names=("score", "minimality", "sufficiency", "ceiling", "active", "sufficiency_<factor>"),
    columns=("score", "minimality"),
    breaks={"relabelling factors (ceiling)": SHARED_BINS},
)
def minimality_sufficiency(table: Table, rng: np.random.Generator, *, bins: int = 15) -> Values:
    """How much of each factor its best code holds, and how much of each code is that factor.

    Sufficiency is the mean over factors of the greatest mutual information with any code, over the factor's
    entropy; minimality the mean over codes of the greatest with any factor, over the code's entropy. Neither asks what
    other codes or factors share, so that factors which depend on one another cost nothing. Codes fall into `bins`
    bins of equal width. It takes the training rows.

    The score is sufficiency: a representation that misses factors is no less minimal, so that minimality
    alone would prefer codes that died. Nearly dead codes are stretched over all bins and count as noise does.

    Returns:
        score, sufficiency: in [0, 1].
        minimality: in [0, 1], over codes that vary; 0 where none does.
        active: the number of codes that vary at all.
        ceiling: the score of the true factors as codes on these rows.
        sufficiency_<factor>: each factor's.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> factors = rng.integers(4, size=(30000, 2))
        >>> values = minimality_sufficiency(Table(factors[:, :1], factors), rng)
        >>> round(values["minimality"], 2), round(values["sufficiency"], 2)
        (1.0, 0.5)
    """
    binned = bin_codes(table.codes, bins)
    of_codes, of_factors = (np.array([entropy(column) for column in array.T]) for array in (binned, table.factors))
    information = mutual_information(binned, table.factors)
    sufficiency = information.max(0) / of_factors
    alive = of_codes > 0
    minimality = information[alive].max(1) / of_codes[alive]
    best = mutual_information(bin_codes(table.factors, bins), table.factors).max(0) / of_factors
    values = {
        "score": sufficiency.mean(),
        "sufficiency": sufficiency.mean(),
        "minimality": minimality.mean() if alive.any() else 0,
        "ceiling": best.mean(),
        "active": alive.sum(),
    }
    values |= {f"sufficiency_{name}": share for name, share in zip(table.factor_names, sufficiency, strict=True)}
    return {name: float(value) for name, value in values.items()}
