"""What metrics that fit predictors share."""

import multiprocessing
import warnings

import numpy as np

from metrics.base import Table

PENALTIES = np.logspace(-8, 2, 11)  # a training row, on standardised codes: from least squares to the mean alone
DEGENERATE = 1e-12  # share of the greatest eigenvalue below which one is rounding
STEPS = 10  # of few, long steps: what a code adds to others shows long before trees are perfect
FEW_TREES = {"max_depth": 3, "num_leaves": 8, "min_data_in_leaf": 1, "min_data_in_bin": 1, "learning_rate": 0.3}
ONE_THREAD = {"deterministic": True, "force_col_wise": True, "num_threads": 1, "verbosity": -1, "max_bin": 63}


def standardise(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """Codes of training and test rows with mean 0 and variance 1 over the training rows.

    A code that never varies in the training rows, or too little for a variance, becomes 0.
    """
    deviation = table.codes.std(0)
    varies = (np.ptp(table.codes, axis=0) > 0) & (deviation > 0)
    mean, deviation = table.codes.mean(0), np.where(varies, deviation, 1)
    train, test = ((codes - mean) / deviation for codes in (table.codes, table.codes_test))
    return np.where(varies, train, 0), np.where(varies, test, 0)


def drop_dead(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes of training and test rows without those that never vary in the training rows; one stays where none does."""
    varies = np.ptp(train, axis=0) > 0
    varies[0] |= not varies.any()
    return np.compress(varies, train, axis=1), np.compress(varies, test, axis=1)


def regress_linearly(train: np.ndarray, targets: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """What least squares with an intercept, fitted on training rows, tell of the rows wanted.

    With a ridge penalty, for each target that of eleven which has the least generalised cross-validation error (Golub,
    Heath and Wahba 1979): next to none where rows are many, and without it codes nearly as many as rows, or
    more, would fit the training rows exactly and tell the others wildly.

    Args:
        train, wanted: standardised codes (N, D) and (M, D).
        targets: (N, K).

    Returns:
        (M, K).
    """
    mean = targets.mean(0)
    eigenvalues, directions = _principal_directions(train)
    along = directions.T @ (train.T @ (targets - mean))
    left = np.square(targets - mean).sum(0) - (along**2 / eigenvalues[:, None]).sum(0)
    penalties = PENALTIES[:, None] * len(train)
    kept = eigenvalues / (eigenvalues + penalties)
    residual = np.maximum(left, 0) + ((1 - kept) ** 2 / eigenvalues) @ along**2
    errors = residual / (1 - (1 + kept.sum(1, keepdims=True)) / len(train)) ** 2
    chosen = penalties[errors.argmin(0), 0]
    return mean + (wanted @ directions) @ (along / (eigenvalues[:, None] + chosen))


def _principal_directions(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues above 0 (R,) and eigenvectors (D, R) of codes' sums of squares and products."""
    rows, width = codes.shape
    values, vectors = np.linalg.eigh(codes.T @ codes if width <= rows else codes @ codes.T)
    kept = values > DEGENERATE * max(values[-1], 0)
    values, vectors = values[kept], vectors[:, kept]
    return values, vectors if width <= rows else codes.T @ vectors / np.sqrt(values)


def classify_by_regression(train: np.ndarray, factor: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """The factor's values in test rows as guessed by a logistic regression on standardised codes (N, D)."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if not train.shape[1]:
        return _guess_commonest(factor, test)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # after 100 iterations guesses hardly change
        return np.asarray(LogisticRegression().fit(train, factor).predict(test))


def classify_by_trees(train: np.ndarray, factor: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """The factor's values in test rows as guessed by 10 steps of LightGBM's trees on standardised codes (N, D)."""
    import lightgbm  # takes a third of a second to import

    if not train.shape[1]:
        return _guess_commonest(factor, test)
    values, labels = np.unique(factor, return_inverse=True)
    parameters = {"objective": "multiclass", "num_class": len(values), "seed": seed} | FEW_TREES | ONE_THREAD
    trees = lightgbm.train(parameters, lightgbm.Dataset(train, labels, params=parameters), STEPS)
    return np.asarray(values[np.argmax(trees.predict(test), axis=1)])


def _guess_commonest(factor: np.ndarray, test: np.ndarray) -> np.ndarray:
    """What is guessed without any code."""
    return np.full(len(test), np.bincount(factor).argmax())


def draw_seed(rng: np.random.Generator) -> int:
    """A seed for what takes no generator."""
    return int(rng.integers(2**31))


def spare_cores() -> int:
    """How many threads may work here: one in a process that shares the cores with others of a sweep."""
    from joblib import cpu_count

    return 1 if multiprocessing.parent_process() else cpu_count()
