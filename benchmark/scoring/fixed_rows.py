"""The rows of a data set that outsiders encode: the same for everyone, whatever a run's seed."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmark import datasets
from benchmark.datasets.base import FactorDataset
from benchmark.datasets.contract import OUT_OF_MEMORY
from benchmark.datasets.drawn import keys_of
from benchmark.errors import blaming
from benchmark.scoring.encoding import ENCODE_BATCH, Rows, share_rows
from benchmark.storage.store import open_atomically

TRAIN, TEST = 10_000, 5_000  # rows, as the presets have them
PURPOSE = 0x5B3C19  # of the numbers by which images are put in order, beside their indices


def fixed_rows(dataset: FactorDataset) -> Rows:
    """The first images of the data set, in an order that mixes their indices by arithmetic on integers.

    As many as the presets encode, of a small set all: 10,000 to train on and 5,000 to test on, or two thirds and one.
    """
    train, test = share_rows(len(dataset), TRAIN, TEST)
    keys = keys_of(torch.arange(len(dataset)) + (PURPOSE << 32))  # no two of them alike
    order = torch.argsort(keys)[: train + test].numpy()
    return Rows(order[:train], order[train:])


def rows_digest(dataset: FactorDataset, rows: Rows) -> str:
    """Tells which rows of which data set, by its name and version: "r" and ten hexadecimal digits."""
    told = f"{dataset.name} {version_of(dataset)} {len(rows.train)} ".encode()
    return f"r{hashlib.sha256(told + rows.all.astype('<i8').tobytes()).hexdigest()[:10]}"


def version_of(dataset: FactorDataset) -> int:
    """The data set's version; of data of one's own 1, as their source tells them."""
    return datasets.VERSIONS.get(dataset.name, 1)


def fixed_images(dataset: FactorDataset, indices: np.ndarray) -> Iterator[np.ndarray]:
    """The images at the indices as bytes (B, C, H, W), some at a time; what is drawn of them follows from the index.

    Raises:
        UsageError: the data set breaks over them, which is then told of it and not of what is done with them.
    """
    for some in torch.split(torch.from_numpy(indices), ENCODE_BATCH):
        with blaming(f"data set {dataset.name!r} cannot be read", *OUT_OF_MEMORY):
            images = (dataset.images(some) * 255).round().to(torch.uint8).cpu().numpy()
        yield images


def write_rows(dataset: FactorDataset, path: Path, factors: bool = False, images: bool = False) -> str:
    """Write the fixed rows of the data set as an npz file; returns their digest.

    `rows_train` and `rows_test` are indices, and `dataset`, `dataset_version`, `source`, `rows` (the digest) and
    `factor_names` say of what; `factors_train`, `images_train` (uint8, (N, C, H, W)) and those of test, if asked for.
    """
    rows = fixed_rows(dataset)
    told: dict[str, Any] = {"dataset": dataset.name, "dataset_version": version_of(dataset), "source": dataset.source}
    told |= {"rows": rows_digest(dataset, rows), "factor_names": np.array(dataset.factor_names, str)}
    for part, indices in (("train", rows.train), ("test", rows.test)):
        told[f"rows_{part}"] = indices
        if factors:
            told[f"factors_{part}"] = dataset.factors(indices).cpu().numpy()
        if images:
            told[f"images_{part}"] = np.concatenate([*fixed_images(dataset, indices)])
    with open_atomically(path) as file:
        np.savez_compressed(file, **told)
    return str(told["rows"])
