"""What metrics that fit predictors share."""

import multiprocessing

import numpy as np

from metrics.base import Table


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


def draw_seed(rng: np.random.Generator) -> int:
    """A seed for what takes no generator."""
    return int(rng.integers(2**31))


def spare_cores() -> int:
    """How many threads may work here: one in a process that shares the cores with others of a sweep."""
    from joblib import cpu_count

    return 1 if multiprocessing.parent_process() else cpu_count()
