"""Codes that are vectors: groups of columns, each brought to one number."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

Groups = Sequence[Sequence[int]]  # the columns of each representation vector, from 0


def reduce_groups(
    codes: np.ndarray, codes_test: np.ndarray, groups: Groups
) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Each group of columns as its first principal component, fitted on the training rows alone.

    The component's sign is that of its greatest weight; a group of one column stays as it is.

    Args:
        codes, codes_test: (N, D), finite.
        groups: each of the D columns in one of them.

    Returns:
        Codes of training and of test rows, (N, groups), and the share of each group's variance over the training rows
        that is kept, from 0 to 1; 1 where nothing varies.

    Raises:
        ValueError: a column is in no group, in two, or not there.

    Reference: as vector codes are scored since Yang et al. 2022, "Visual concepts tokenization" (there of all rows).
    """
    refuse_odd_groups(groups, codes.shape[1])
    parts = [_reduce(codes[:, [*columns]], codes_test[:, [*columns]]) for columns in groups]
    return (
        np.stack([part[0] for part in parts], 1),
        np.stack([part[1] for part in parts], 1),
        [part[2] for part in parts],
    )


def describe_groups(number: int) -> str:
    """How so many groups are scored, in words."""
    return f"{number} groups of columns, each scored by its first principal component over the training rows"


def refuse_odd_groups(groups: Groups, codes: int) -> None:
    """Raise ValueError where groups do not hold each of so many columns once."""
    told = Counter(column for columns in groups for column in columns)
    if not told or not all(len(columns) for columns in groups):
        raise ValueError("groups hold an empty one; each needs one column or more.")
    for column, times in told.items():
        if not isinstance(column, int | np.integer) or not 0 <= column < codes:
            raise ValueError(f"groups name column {column!r}, and the codes' columns are 0 to {codes - 1}.")
        if times > 1:
            raise ValueError(f"groups name column {column} twice; each column is in one group.")
    if left := sorted({*range(codes)} - {*told}):
        raise ValueError(f"column {left[0]} of {codes} is in no group; put it in one, of its own if need be.")


def _reduce(codes: np.ndarray, codes_test: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """One group's codes (N, columns) as numbers (N,), for training and test rows, and the share of variance kept."""
    if codes.shape[1] == 1:
        return codes[:, 0], codes_test[:, 0], 1.0
    mean = codes.mean(0)
    centred = codes - mean
    scale = float(np.abs(centred).max()) or 1.0  # squares of very small or large codes are none
    variances, directions = np.linalg.eigh((centred / scale).T @ (centred / scale))
    first = directions[:, -1]
    first = first * np.sign(first[np.abs(first).argmax()])
    total = variances.clip(min=0).sum()
    return centred @ first, (codes_test - mean) @ first, float(variances[-1] / total) if total else 1.0
