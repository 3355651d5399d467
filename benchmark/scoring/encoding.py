"""Encodes images once: the codes that every metric is applied to, and what else a model says of the same rows."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.datasets.base import FactorDataset
from benchmark.scoring.applying import chosen_metrics
from benchmark.spec import RunSpec
from benchmark.training.harness import flatten_terms, stream
from benchmark.training.pack import callable_networks
from methods.base import Method
from metrics import Table, Values

ENCODE_BATCH = 256
PROBED_IMAGES = 1_000  # on which the models of one configuration are compared
Encode = Callable[[Tensor], Tensor]  # images (B, C, H, W) -> codes (B, D)


@dataclass(frozen=True)
class Rows:
    """The random images a run is scored on: indices of distinct training and test rows."""

    train: np.ndarray
    test: np.ndarray

    @property
    def all(self) -> np.ndarray:
        return np.concatenate([self.train, self.test])


def draw_rows(dataset: FactorDataset, train: int, test: int, seed: int) -> Rows:
    """Random rows of the data set, decided by the seed; of a small one all, two thirds to train on."""
    if train + test > len(dataset):
        train, test = len(dataset) - len(dataset) // 3, len(dataset) // 3
    rng = np.random.default_rng(stream(seed, "rows"))
    drawn = rng.choice(len(dataset), train + test, replace=False)
    return Rows(drawn[:train], drawn[train:])


def rows_of_run(spec: RunSpec, dataset: FactorDataset) -> Rows:
    """The rows that a run is scored on: decided by its seed, as many as its preset says."""
    return draw_rows(dataset, spec.protocol.train_rows, spec.protocol.test_rows, spec.seed)


def encode_rows(encode: Encode, dataset: FactorDataset, rows: Rows) -> Table:
    """Codes and factors of the rows; `encode` takes images (B, C, H, W) and gives codes (B, D)."""
    with torch.inference_mode():
        codes = torch.cat([encode(dataset.images(part)) for part in _batches(rows.all)])
    return _table(codes.float().cpu().numpy(), dataset, rows)


def _table(codes: np.ndarray, dataset: FactorDataset, rows: Rows) -> Table:
    factors = dataset.factors(rows.all).cpu().numpy()
    n = len(rows.train)
    return Table(codes[:n], factors[:n], codes[n:], factors[n:], dataset.factor_names)


def encode_table(method: Method, networks: nn.ModuleDict, dataset: FactorDataset, rows: Rows) -> Table:
    """Codes and factors of the rows, encoded by a trained method in float32."""
    return _table(_represent(method, networks, dataset, rows.all), dataset, rows)


def encode_probe(method: Method, networks: nn.ModuleDict, dataset: FactorDataset) -> np.ndarray:
    """Codes (N, D) by a trained method of images that are the same for every run on the data set."""
    probe = draw_rows(dataset, PROBED_IMAGES, 0, seed=0).all
    return _represent(method, networks, dataset, probe)


@torch.inference_mode()
def _represent(method: Method, networks: nn.ModuleDict, dataset: FactorDataset, indices: np.ndarray) -> np.ndarray:
    called = callable_networks(networks, "fp32")
    parts = [
        method.represent(called, dataset.images(part), dataset.factors(part)).float() for part in _batches(indices)
    ]
    return torch.cat(parts).cpu().numpy()


def score_encoder(
    encoder: nn.Module,
    dataset: FactorDataset,
    *,
    metrics: Iterable[str] = ("all",),
    train_rows: int = 10_000,
    test_rows: int = 5_000,
    seed: int = 0,
) -> dict[str, Values]:
    """Score a module of one's own, trained elsewhere, on a data set of ours.

    Args:
        encoder: takes images (B, C, H, W) in [0, 1] on the data set's device, gives codes (B, D).
        train_rows, test_rows: distinct random images to encode, as many as there are at most.
        seed: decides the rows and the metrics' random streams.

    Raises:
        UsageError: there is no metric of that name.
        ValueError: the codes are no finite (B, D), or a metric cannot score them.
    """
    chosen = chosen_metrics(metrics)
    training = encoder.training
    try:
        table = encode_rows(encoder.eval(), dataset, draw_rows(dataset, train_rows, test_rows, seed))
    finally:
        encoder.train(training)
    return {name: metric.score(table, seed) for name, metric in chosen.items()}


@torch.inference_mode()
def measure(
    method: Method, networks: nn.ModuleDict, dataset: FactorDataset, rows: Rows, spec: RunSpec
) -> dict[str, float]:
    """What the table says beside the metrics.

    Returns:
        What the method measures on the test rows (such as `reconstruction`, `kl` and `kl_per_latent_<j>`,
        in nats an image, one sample of the posterior each), and reports of itself (such as `beta`).
    """
    called = callable_networks(networks, "fp32")
    noises = torch.Generator(dataset.device).manual_seed(stream(spec.seed, "measured noise"))
    sums: dict[str, Tensor] = {}
    for part in _batches(rows.test):
        noise = {
            name: torch.randn(shape, generator=noises, device=dataset.device)
            for name, shape in method.noise_shapes(len(part)).items()
        }
        for name, term in method.measure(called, dataset.images(part), noise).items():
            sums[name] = sums.get(name, torch.zeros_like(term)) + term * len(part)
    means = flatten_terms({name: total[None] / len(rows.test) for name, total in sums.items()})
    return (means[0] if means else {}) | method.report(dict(networks), spec.resolve_hyperparameters())


def _batches(indices: np.ndarray) -> list[np.ndarray]:
    return [indices[start : start + ENCODE_BATCH] for start in range(0, len(indices), ENCODE_BATCH)]
