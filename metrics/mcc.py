"""The mean correlation coefficient of nonlinear ICA and causal representation learning."""

import numpy as np

from metrics import register
from metrics.base import Table, Values
from metrics.prediction import regress_linearly, standardise

ORDINAL = (
    "correlations take the order of a factor's values for real, so that a code that holds a nominal factor (a shape) "
    "scores by how its values happen to be numbered, and a cyclic one (an angle) held as sine and cosine loses"
)
COLLINEAR = 1e-10  # share of the greatest variance below which a direction holds rounding alone


@register(
    version=1,
    chance="0 (a little above with few test rows)",
    at_chance=0,
    ceiling="1",
    widest=1_000,
    reference="Hyvarinen and Morioka 2016; weak: Khemakhem et al. 2020; held out as by Joshi et al. 2026",
    names=("score", "pearson", "in_sample", "in_sample_pearson", "weak", "matched_<factor>"),
    columns=("score", "pearson", "weak"),
    breaks={
        "relabelling factors": ORDINAL,
        "relabelling factors (pearson)": ORDINAL,
        "relabelling factors (weak)": ORDINAL,
        "noticing a rotation": "most factors still go with some code: 0.7 on average for random rotations of five",
    },
)
def mcc(table: Table, rng: np.random.Generator) -> Values:
    """How well each factor goes up and down with a code of its own.

    Factors, by the ranks of their values, are matched one to one with codes so that the sum of |correlation| over the
    training rows is greatest. With r_k of factor k and its code over the training rows and r'_k over the test rows,
    the score is 1 / K sum_k max(0, sign(r_k) r'_k): a factor without a code, where there are fewer codes than
    factors, counts as 0, and so does a column that never varies. Papers mostly report it over the rows it was matched
    on, which flatters noise (0.11 for 1,000 codes of noise on 1,000 rows), and some divide by the number of codes
    where these are fewer, which hides missing factors. A rotation of the factors still gets about 0.7 of five, as
    each factor has a code that is mostly it.

    Returns:
        score: the mean over all K factors of Spearman's correlation, in [0, 1].
        pearson: the same of Pearson's.
        in_sample, in_sample_pearson: of |correlation| over the training rows, as most papers have it.
        weak: the score of the canonical variates, min(D, K) pairs of them, in place of codes and factors, their
            directions found on the training rows: what is left where codes count up to a linear map.
        matched_<factor>: each factor's term of the score.

    Example:
        >>> factors = np.random.default_rng(0).integers(4, size=(3000, 2))
        >>> round(mcc(Table(-(factors.astype(float) ** 3), factors), np.random.default_rng(0))["score"], 2)
        1.0
    """
    train, test = standardise(table)
    ranked = _ranks(train, table.factors), _ranks(test, table.factors_test)
    in_sample, held_out = _match(*ranked)
    pearson = _match((train, table.factors), (test, table.factors_test))
    values = {
        "score": held_out.mean(),
        "pearson": pearson[1].mean(),
        "in_sample": in_sample.mean(),
        "in_sample_pearson": pearson[0].mean(),
        "weak": _weak(table, train, test),
    }
    values |= {f"matched_{name}": value for name, value in zip(table.factor_names, held_out, strict=True)}
    return {name: float(value) for name, value in values.items()}


Pair = tuple[np.ndarray, np.ndarray]  # codes (N, D) and factors (N, K) of the same rows


def _ranks(*arrays: np.ndarray) -> Pair:
    """Each column's ranks, of ties their average."""
    from scipy.stats import rankdata

    codes, factors = (rankdata(array, axis=0) for array in arrays)
    return codes, factors


def _match(train: Pair, test: Pair) -> tuple[np.ndarray, np.ndarray]:
    """Of each factor |correlation| with its code over the training rows, and over the test rows that of equal sign."""
    from scipy.optimize import linear_sum_assignment

    known = _correlations(*train)
    codes, factors = linear_sum_assignment(np.abs(known), maximize=True)
    in_sample, held_out = np.zeros((2, known.shape[1]))
    in_sample[factors] = np.abs(known[codes, factors])
    matched = _correlations(test[0][:, codes], test[1])[np.arange(len(codes)), factors]
    held_out[factors] = np.maximum(np.sign(known[codes, factors]) * matched, 0)
    return in_sample, held_out


def _correlations(codes: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Pearson's correlation of each code (N, D) with each factor (N, K): (D, K); 0 of what never varies."""
    return np.clip(_unit(codes).T @ _unit(factors), -1, 1)


def _unit(columns: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and length 1; those that never vary, or too little for a length, are 0."""
    centred = columns - columns.mean(0)
    length = np.linalg.norm(centred, axis=0)
    varies = (np.ptp(columns, axis=0) > 0) & (length > 0)
    return np.where(varies, centred / np.where(varies, length, 1), 0)


def _weak(table: Table, train: np.ndarray, test: np.ndarray) -> float:
    """The score of canonical variates.

    Canonical correlation of codes and factors is that of the factors' linear predictions and factors, so that only
    these K columns are whitened, however many codes there are.
    """
    factors, factors_test = table.factors.astype(float), table.factors_test.astype(float)
    predictions = np.split(regress_linearly(train, factors, np.concatenate([train, test])), [len(train)])
    left, right = _whitener(predictions[0]), _whitener(factors)
    centred = (predictions[0] - predictions[0].mean(0)) @ left, (factors - factors.mean(0)) @ right
    turn_left, _, turn_right = np.linalg.svd(centred[0].T @ centred[1], full_matrices=False)
    if not turn_left.size:
        return 0.0
    left, right = left @ turn_left, right @ turn_right.T
    seen, unseen = _ranks(predictions[0] @ left, factors @ right), _ranks(predictions[1] @ left, factors_test @ right)
    return float(_match(seen, unseen)[1].sum() / factors.shape[1])


def _whitener(columns: np.ndarray) -> np.ndarray:
    """Directions (K, rank) along which centred columns (N, K) have length 1 and are uncorrelated."""
    deviation = columns.std(0)
    scale = np.where(deviation > 0, 1 / np.where(deviation > 0, deviation, 1), 0)
    variances, directions = np.linalg.eigh(np.cov((columns * scale).T, bias=True).reshape(len(scale), -1))
    kept = variances > COLLINEAR * max(variances.max(), 1)
    return scale[:, None] * directions[:, kept] / np.sqrt(len(columns) * variances[kept])
