"""Entropies and mutual information of discrete columns, in nats."""

import numpy as np

# Why a ceiling, the score of the true factors as codes, breaks when values are renamed.
SHARED_BINS = "of a factor of more than 20 values those that lie side by side share a bin"
ROUNDING = 1e-12  # nats; what independent columns seem to share in floating point


def bin_codes(codes: np.ndarray, bins: int) -> np.ndarray:
    """Each code's bin number in 0 .. bins - 1, of equal width over that code's own range: (N, D).

    A code that never varies falls into one bin.
    """
    low, high = codes.min(0), codes.max(0)
    width = np.where(high > low, high - low, 1)
    return np.minimum((codes - low) / width * bins, bins - 1).astype(np.int64)


def entropy(column: np.ndarray) -> float:
    """The entropy of the column's values in nats."""
    share = np.unique(column, return_counts=True)[1] / len(column)
    return float(-(share * np.log(share)).sum())


def mutual_information(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Mutual information in nats of every column of `left` (N, D) with every one of `right` (N, K): (D, K)."""
    lefts = [np.unique(column, return_inverse=True)[1] for column in left.T]
    rights = [np.unique(column, return_inverse=True)[1] for column in right.T]
    return np.array([[_mutual_information(a, b) for b in rights] for a in lefts])


def _mutual_information(a: np.ndarray, b: np.ndarray) -> float:
    width = b.max() + 1
    joint = np.bincount(a * width + b, minlength=(a.max() + 1) * width).reshape(-1, width) / len(a)
    independent = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    seen = joint > 0
    information = (joint[seen] * np.log(joint[seen] / independent[seen])).sum()
    return float(information) if information > ROUNDING else 0.0
