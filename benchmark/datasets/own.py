"""Data of one's own, in the folder of data: NAME.npz, or a folder NAME of pictures."""

from pathlib import Path

from benchmark.datasets.base import FactorDataset
from benchmark.errors import UsageError


def load_own(name: str, device: str, folder: Path | None) -> FactorDataset:
    """The data set that lies in the folder under that name."""
    raise UsageError(f"{folder} holds no data set {name!r}.")
