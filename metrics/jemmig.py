"""The joint entropy minus mutual information gap."""

import numpy as np

from metrics import register
from metrics.base import Table, Values
from metrics.information import SHARED_BINS, bin_codes, entropy, mutual_information


@register(
    version=1,
    chance="0 for uniform noise; codes of little entropy score more: 0.1 for normal noise, about 0.5 for a constant",
    ceiling="below 1 where a factor has other than 20 values: what the true factors reach, reported as `ceiling`",
    widest=10_000,
    reference="Do and Tran 2020",
    names=("score", "unnormalised", "ceiling", "gap_<factor>"),
    breaks={
        "doubling codes": "two latents that know a factor equally well leave no gap",
        "relabelling factors (ceiling)": SHARED_BINS,
    },
)
def jemmig(table: Table, rng: np.random.Generator, *, bins: int = 20) -> Values:
    """How far each factor is held by one latent alone that holds nothing else.

    Of a factor v with its best latent z and second best z', by mutual information, it is
    H(z, v) - I(z; v) + I(z'; v) in nats, less is better: what z holds beside v counts against
    it, as in MIG only a rival does. Normalised it is 1 less its share of H(v) + log `bins`.
    Codes fall into `bins` bins of equal width. It takes the training rows.

    Returns:
        score: the mean over factors, normalised, in [0, 1], more is better.
        unnormalised: the mean over factors in nats, less is better.
        gap_<factor>: each factor's, normalised.
        ceiling: the score of the true factors as codes on these rows.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> factors = rng.integers(20, size=(30000, 2))
        >>> round(jemmig(Table(factors, factors), rng)["score"], 2)
        1.0
    """
    nats, normalised = _gaps(table.codes, table.factors, bins)
    ceiling = _gaps(table.factors, table.factors, bins)[1].mean()
    values = {"score": float(normalised.mean()), "unnormalised": float(nats.mean()), "ceiling": float(ceiling)}
    return values | {f"gap_{name}": float(gap) for name, gap in zip(table.factor_names, normalised, strict=True)}


def _gaps(codes: np.ndarray, factors: np.ndarray, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Each factor's gap in nats, and normalised."""
    binned = bin_codes(codes, bins)
    information = mutual_information(binned, factors)
    of_codes, of_factors = (np.array([entropy(column) for column in array.T]) for array in (binned, factors))
    best, largest = information.argmax(0), information.max(0)
    second = np.sort(information, axis=0)[-2] if len(information) > 1 else 0.0
    joint = of_codes[best] + of_factors - largest
    nats = joint - largest + second
    return nats, np.clip(1 - nats / (of_factors + np.log(bins)), 0, 1)
