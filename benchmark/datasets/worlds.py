"""Worlds that are not ideal: training images of which some combinations of factors are rare, or missing."""

from benchmark.datasets.base import FactorDataset
from benchmark.errors import UsageError


def enter(dataset: FactorDataset, world: str) -> FactorDataset:
    """The data set with its training images drawn as the world says."""
    raise UsageError(f"there is no world {world!r}.")
