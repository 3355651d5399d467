"""InfoMEC: modularity, explicitness and compactness in terms of information."""

import warnings
from typing import Any, Literal, NamedTuple

import numpy as np

from metrics import register
from metrics.base import Table, Values
from metrics.information import entropy, mutual_information
from metrics.prediction import standardise


class _Version(NamedTuple):
    """Where published versions disagree: neighbours, and when a latent is active, if continuous and if quantised."""

    neighbours: int
    continuous: float  # the share of the widest spread that it exceeds
    quantised: float
    quartiles: bool = False  # the spread is that between quartiles, and of the quantised counts itself, not a share


VERSIONS = {
    "latent_quantization": _Version(10, 1 / 20, 0),
    "first": _Version(3, 1 / 8, 1 / 8),
    "tripod": _Version(10, 1 / 10, 0.1, quartiles=True),
}
JITTER = 1e-10  # in standard deviations: equal codes have no nearest neighbour
STEPS = 2**60  # of a code's range: distances between integers are exact, and ties seen as such
NO_PENALTY = 1e9
# A code is quantised whose values are at most so many, with so many training rows each on average: then
# its rows' neighbours are rows of the same value.
MOST_VALUES, LEAST_SHARING = 100, 10


@register(
    version=2,  # 2: quantised codes are counted; test rows of unseen values are in infoe
    chance="infoe 0; not 0 for infom and infoc, which ask how the little that is known is shared out "
    "(for ten codes of pure noise and dSprites' factors infom is 0.4 to 0.8 by the draw if continuous, more than many "
    "trained models have, and 0.15 if quantised to ten values: read it beside infoe)",
    ceiling="1 (a little below with few rows)",
    reference="Hsu et al. 2023, section 4, as in their repository latent_quantization at 4ba4c9d; "
    "estimator of Ross 2014; cross-entropies on test rows",
    names=("score", "infom", "infoe", "infoc", "active"),
    columns=("score", "infoe", "infoc"),
    cost="seconds",
    breaks={"doubling codes (infoc)": "a factor that two codes hold is spread over both, which is what it measures"},
)
def infomec(
    table: Table,
    rng: np.random.Generator,
    *,
    version: Literal["latent_quantization", "first", "tripod"] = "latent_quantization",
    estimator: Literal["auto", "neighbours", "exact"] = "auto",
) -> Values:
    """How far latents know one factor each, factors are easily read, and factors sit in one latent each.

    n_ij is the mutual information of latent i and factor j over the entropy of the factor, on the
    training rows; active latents are those whose range is more than a share of the widest one's, by the version.

    Args:
        version: "latent_quantization" (ten neighbours, 1/20 of the range, any range if quantised), as in the
            repository's present state; "first" (three, 1/8), as in its commit e6236d2; "tripod" (ten, 1/10 of the
            widest distance between quartiles, a distance above 0.1 if quantised, of codes in [-1, 1]), as in the
            repository tripod at d794dc4 (Hsu et al. 2024).
        estimator: "neighbours" takes codes for continuous, and standardises them for the regression; "exact" takes
            them for quantised: their values are counted, and coded one-hot for the regression. "auto" decides for
            each code: quantised is one of at most 100 values with ten training rows each or more on average.

    Returns:
        score, infom: the mean over active latents of (max_j n_ij / sum_j n_ij - 1/K) / (1 - 1/K).
        infoc: the same over active latents for each factor, averaged over factors.
        infoe: the mean over factors of 1 - the cross-entropy of a logistic regression on all codes over
            that of the constant; of rows to test, not, as published, of those to train. Neither has a
            penalty, and both weigh classes equally, so that the constant is uniform; below 0 counts as 0. Rows of
            a value that no training row has are as badly told as by the constant.
        active: the number of active latents.
        All but the last in [0, 1]; with none active 0. One factor, or one active latent, shares with none: 1.
        A latent or factor without any information shares out nothing and counts as 0.

    Raises:
        ValueError: an option is unknown, or codes are not quantised where values are to be counted.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> factors = rng.integers(4, size=(3000, 2))
        >>> infomec(Table(factors, factors), rng)["infoe"] > 0.99
        True
    """
    if version not in VERSIONS or estimator not in ("auto", "neighbours", "exact"):
        raise ValueError(
            f"infomec has no version {version!r} with estimator {estimator!r}; the versions are "
            f"{' and '.join(map(repr, VERSIONS))}, the estimators 'auto', 'neighbours' and 'exact'."
        )
    counted = (
        _find_quantised(table.codes) if estimator == "auto" else np.full(table.codes.shape[1], estimator == "exact")
    )
    published = VERSIONS[version]
    active = _find_active(table.codes, counted, published)
    information = np.empty((len(active), table.factors.shape[1]))
    near, exact = active & ~counted, active & counted
    information[near] = _information_by_neighbours(table.codes[:, near], table.factors, published.neighbours, rng)
    if exact.any():
        information[exact] = mutual_information(table.codes[:, exact], table.factors)
    normalised = information[active] / [entropy(column) for column in table.factors.T]
    infom = _concentration(normalised)
    infoe = _explicitness(_regressors(table, counted), table)
    values = {"infom": infom, "infoe": infoe, "infoc": _concentration(normalised.T)}
    return {"score": infom, **values, "active": float(active.sum())}


def _find_quantised(codes: np.ndarray) -> np.ndarray:
    """Which codes (N, D) take few values, each in many rows: (D,)."""
    most = min(MOST_VALUES, len(codes) // LEAST_SHARING)
    return np.array([len(np.unique(code)) <= most for code in codes.T])


def _find_active(codes: np.ndarray, counted: np.ndarray, version: _Version) -> np.ndarray:
    """Which codes (N, D) are in use, by the version: (D,)."""
    low, high = np.quantile(codes, [0.25, 0.75], axis=0) if version.quartiles else (codes.min(0), codes.max(0))
    spreads = high - low
    of_quantised = version.quantised * (1 if version.quartiles else spreads.max())
    return spreads > np.where(counted, of_quantised, version.continuous * spreads.max())


def _concentration(shares: np.ndarray) -> float:
    """How far each row (N, M) lies in one column: 1 / M gives 0, all of it 1; the mean over rows."""
    columns = shares.shape[1]
    if not shares.size:
        return 0.0
    if columns == 1:
        return 1.0
    totals = shares.sum(1)
    greatest = np.where(totals > 0, shares.max(1) / np.where(totals > 0, totals, 1), 1 / columns)
    return float((greatest.mean() - 1 / columns) / (1 - 1 / columns))


def _information_by_neighbours(
    codes: np.ndarray, factors: np.ndarray, neighbours: int, rng: np.random.Generator
) -> np.ndarray:
    """Mutual information in nats of continuous codes (N, D) and discrete factors (N, K): (D, K)."""
    jittered = codes + JITTER * codes.std(0) * rng.standard_normal(codes.shape)
    whole = np.rint((jittered - jittered.min(0)) / np.ptp(jittered, axis=0) * STEPS).astype(np.int64)
    pairs = [[_information(code, factor, neighbours) for factor in factors.T] for code in whole.T]
    return np.array(pairs).reshape(codes.shape[1], factors.shape[1])


def _information(code: np.ndarray, factor: np.ndarray, neighbours: int) -> float:
    """By the distance to the k-th neighbour of the same value, and how many of any value are nearer (Ross 2014)."""
    from scipy.special import digamma

    groups = [np.sort(code[factor == value]) for value in np.unique(factor)]
    groups = [group for group in groups if len(group) > 1]  # one alone has no neighbour
    if not groups:
        return 0.0
    everyone = np.sort(np.concatenate(groups))
    within, known, counts = [], [], []
    for group in groups:
        k = min(neighbours, len(group) - 1)
        radius = np.maximum(_distance_to_neighbour(group, k) - 1, 0)
        last = np.searchsorted(everyone, group + radius, side="right")
        within.append(last - np.searchsorted(everyone, group - radius, side="left"))
        known.append(np.full(len(group), k))
        counts.append(np.full(len(group), len(group)))
    means = [digamma(np.concatenate(each)).mean() for each in (known, counts, within)]
    return max(0.0, float(digamma(len(everyone)) + means[0] - means[1] - means[2]))


def _distance_to_neighbour(ordered: np.ndarray, k: int) -> np.ndarray:
    """The distance of each of the ordered integers from 0 to `STEPS` to its k-th nearest other one."""
    padded = np.concatenate([np.full(k, -2 * STEPS), ordered, np.full(k, 3 * STEPS)])
    n = len(ordered)
    # Its k nearest and itself are k + 1 numbers in a row, of which j lie below it.
    spans = [
        np.maximum(ordered - padded[k - j : k - j + n], padded[2 * k - j : 2 * k - j + n] - ordered)
        for j in range(k + 1)
    ]
    return np.min(spans, axis=0)


def _regressors(table: Table, counted: np.ndarray) -> tuple[Any, Any]:
    """What the regression sees of training and test rows: codes standardised, those that are counted as indicators."""
    from scipy import sparse
    from sklearn.preprocessing import OneHotEncoder

    standard = standardise(table)
    counted = counted & (np.ptp(table.codes, axis=0) > 0)
    if not counted.any():
        return standard
    rows, most = len(table.codes), max(len(np.unique(code)) for code in table.codes[:, counted].T)
    if most > rows / 2:
        raise ValueError(
            f"a code takes {most} values in {rows} rows, too many for infomec's estimator 'exact' to count; "
            "'neighbours' is for continuous codes."
        )
    encoder = OneHotEncoder(handle_unknown="ignore").fit(table.codes[:, counted])  # a value only of test rows has none
    indicators = (encoder.transform(codes[:, counted]) for codes in (table.codes, table.codes_test))
    train, test = (sparse.hstack([a, b[:, ~counted]], "csr") for a, b in zip(indicators, standard, strict=True))
    return train, test


def _explicitness(inputs: tuple[Any, Any], table: Table) -> float:
    train, test = inputs
    shares = []
    for known, wanted in zip(table.factors.T, table.factors_test.T, strict=True):
        values = np.unique(known)
        seen = np.isin(wanted, values)  # no predictor knows a value that it never saw
        if not seen.any():
            shares.append(0.0)
            continue
        classes = np.searchsorted(values, wanted[seen])
        share = 1 - _cross_entropy(train, known, test[seen], classes) / np.log(len(values))
        shares.append(share * float(seen.mean()))
    return float(np.maximum(shares, 0).mean())


def _cross_entropy(codes: Any, factor: np.ndarray, codes_test: Any, classes: np.ndarray) -> float:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        # Without a penalty codes that separate the classes have no optimum; 100 iterations, as published.
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier = LogisticRegression(C=NO_PENALTY, class_weight="balanced", max_iter=100).fit(codes, factor)
    chances = classifier.predict_proba(codes_test)[np.arange(len(classes)), classes]
    return float(-np.log(np.maximum(chances, np.finfo(float).tiny)).mean())
