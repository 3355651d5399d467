"""The disentanglement metric of the FactorVAE paper."""

import numpy as np

from metrics import register
from metrics.base import Table, Values
from metrics.matching import matched_groups, tell_unmatched


@register(
    version=1,
    chance="1 / number of factors",
    at_chance="beta_vae_score.chance",
    ceiling="1",
    widest=10_000,
    reference="Kim and Mnih 2018, section 4; numbers of votes and pruning as in Locatello et al. 2019",
    names=("score", "active", "score_train"),
    columns=("score", "active"),
    least_factors=2,
    needs=tell_unmatched,
    breaks={
        "doubling codes (active)": "each copy is counted",
        "shrinking all codes": "a code of a standard deviation below 0.05 counts as dead, as in the study",
        "shrinking all codes (active)": "a code of a standard deviation below 0.05 counts as dead, as in the study",
    },
)
def factor_vae_score(
    table: Table,
    rng: np.random.Generator,
    *,
    rows: int = 64,
    train_votes: int = 10_000,
    test_votes: int = 5_000,
    threshold: float = 0.05,
) -> Values:
    """How well the latent that varies least tells which factor a group of rows shares.

    A vote draws `rows` rows that share the value of one factor, that factor uniformly, and goes
    to the latent with the least variance over them, relative to its variance over all training
    rows. Votes of the training rows give each latent the factor that it won most often; the
    score is how often that is right for votes of the test rows. Latents whose standard
    deviation over the training rows is below `threshold` take no part: nearly constant but for
    a few rows, one of them would win most votes.

    Returns:
        score: the share of the test votes that are told right, in [0, 1]; 0 with no active latent.
        active: the number of latents that take part.
        score_train: the same share of the votes that the factors were assigned by.

    Raises:
        ValueError: there is one factor only, no two rows share a factor's value, or a group has one row only.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> factors = rng.integers(4, size=(3000, 3))
        >>> factor_vae_score(Table(factors, factors), rng)
        {'score': 1.0, 'active': 3.0, 'score_train': 1.0}
    """
    if len(table.factor_names) < 2:
        raise ValueError("factor_vae_score tells factors apart; it needs at least two.")
    if rows < 2:
        raise ValueError(f"factor_vae_score's rows are {rows}; a variance takes two at least.")
    deviations = table.codes.std(0, ddof=1)
    active = (deviations >= threshold) & (np.ptp(table.codes, axis=0) > 0)
    if not active.any():
        return {"score": 0.0, "active": 0.0, "score_train": 0.0}
    scale = deviations[active]
    train = _count_votes(table.codes[:, active] / scale, table.factors, train_votes, rows, rng)
    test = _count_votes(table.codes_test[:, active] / scale, table.factors_test, test_votes, rows, rng)
    assigned = train.argmax(1)
    right, right_train = (votes[np.arange(len(votes)), assigned].sum() / votes.sum() for votes in (test, train))
    return {"score": float(right), "active": float(active.sum()), "score_train": float(right_train)}


def _count_votes(codes: np.ndarray, factors: np.ndarray, votes: int, rows: int, rng: np.random.Generator) -> np.ndarray:
    """How often each code varied least where each factor was held: (D, K)."""
    latents, held = codes.shape[1], factors.shape[1]
    counts = np.empty((latents, held), np.int64)
    columns = np.ascontiguousarray(codes.T)
    for k, times in enumerate(rng.multinomial(votes, np.full(held, 1 / held))):
        groups = matched_groups(factors[:, k], times, rows, rng)
        # One code at a time: the rows of all codes at once would not fit a cache, nor pixels the memory.
        variances = np.stack([column[groups].var(1, ddof=1) for column in columns])
        counts[:, k] = np.bincount(variances.argmin(0), minlength=latents)
    return counts
