"""DCI-ES: explicitness as the capacity that reading a factor takes, and size."""

import numpy as np

from metrics import register
from metrics.base import Table, Values
from metrics.prediction import drop_dead, standardise

FEATURES = (0, 8, 32, 128, 512)  # random features beside the codes: capacities of the probes
RIDGE = 1e-3  # relative to the number of rows
KNOWN = 0.01  # least share of a factor's variance that is known at all


@register(
    version=2,  # 2: the probes' inputs are the codes that vary
    range=(-1, 1),
    chance="0 by definition: what no probe reads is not explicit",
    at_chance=0,
    ceiling="1",
    reference="Eastwood et al. 2023, section 4; probes of random Fourier features (Rahimi and Recht 2007)",
    names=("score", "size", "explicitness_<factor>", "error_<factor>"),
    columns=("score",),
    cost="seconds",
    breaks={
        "relabelling factors": "probes regress a factor's value, so that the order of values counts",
        "noticing a rotation": "a linear probe undoes it",
    },
)
def dci_es(table: Table, rng: np.random.Generator) -> Values:
    """How little capacity it takes to read a factor as well as it can be read.

    Probes are ridge regressions of a factor's value on the standardised codes that vary and 0 to 512 random
    Fourier features of them; a probe's capacity is the logarithm of its number of inputs, its loss
    the squared error on test rows over that of the factor's mean, 1 at most. Explicitness is 1 less
    the area between the curve of losses and the best loss, up to the capacity that reaches it,
    over that of the triangle from the baseline 1 at the least capacity to the best loss at the greatest.

    Returns:
        score: the mean over factors, in [-1, 1]: 1 where the linear probe is the best already, 0 where the
            loss falls linearly with capacity; 0 too for a factor of which no probe reads 1%.
        explicitness_<factor>: each factor's.
        error_<factor>: each factor's best loss.
        size: the number of factors over that of all codes.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> factors = rng.integers(4, size=(3000, 2))
        >>> round(dci_es(Table(factors, factors), rng)["score"], 3)
        1.0
    """
    codes = drop_dead(*standardise(table))
    losses = np.stack([_losses(codes, table, features, rng) for features in FEATURES])
    capacities = np.log(codes[0].shape[1] + np.array(FEATURES))
    scores = [_explicitness(column, capacities) for column in losses.T]
    values = {"score": float(np.mean(scores)), "size": table.factors.shape[1] / table.codes.shape[1]}
    for prefix, numbers in (("explicitness", scores), ("error", losses.min(0))):
        values |= {f"{prefix}_{name}": float(each) for name, each in zip(table.factor_names, numbers, strict=True)}
    return values


def _losses(codes: tuple[np.ndarray, np.ndarray], table: Table, features: int, rng: np.random.Generator) -> np.ndarray:
    """Test errors (K,) of the probe with so many random features, over those of the factors' means."""
    latents = codes[0].shape[1]
    frequencies = rng.normal(size=(latents, features)) / np.sqrt(latents)
    phases = rng.uniform(0, 2 * np.pi, features)
    train, test = (
        np.hstack([each, np.sqrt(2) * np.cos(each @ frequencies + phases), np.ones((len(each), 1))]) for each in codes
    )
    mean = table.factors.mean(0)
    ridge = RIDGE * len(train) * np.eye(train.shape[1])
    ridge[-1, -1] = 1e-9  # the constant goes free
    weights = np.linalg.solve(train.T @ train + ridge, train.T @ (table.factors - mean))
    errors = ((test @ weights + mean - table.factors_test) ** 2).mean(0)
    baseline = ((mean - table.factors_test) ** 2).mean(0)
    return np.minimum(errors / np.where(baseline > 0, baseline, 1), 1)


def _explicitness(losses: np.ndarray, capacities: np.ndarray) -> float:
    best = losses.argmin()
    if 1 - losses[best] < KNOWN:
        return 0.0
    area = np.trapezoid(losses[: best + 1] - losses[best], capacities[: best + 1])
    return float(1 - 2 * area / ((capacities[-1] - capacities[0]) * (1 - losses[best])))
