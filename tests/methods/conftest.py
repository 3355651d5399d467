"""Small networks and images, with which a method learns in seconds."""

from math import prod

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d

from benchmark.datasets.base import FactorDataset
from methods.networks import ARCHITECTURES, Architecture

WIDTH = 128


@pytest.fixture
def small_networks(monkeypatch):
    """The networks of the quick preset, and those that methods have by default, are perceptrons of one hidden layer."""

    def encoder(image_shape, outputs):
        return nn.Sequential(nn.Flatten(), nn.Linear(prod(image_shape), WIDTH), nn.ReLU(), nn.Linear(WIDTH, outputs))

    def decoder(latents, image_shape):
        layers = nn.Linear(latents, WIDTH), nn.ReLU(), nn.Linear(WIDTH, prod(image_shape))
        return nn.Sequential(*layers, nn.Unflatten(1, image_shape))

    for name in ("small_fc", "locatello2019"):
        monkeypatch.setitem(ARCHITECTURES, name, Architecture(encoder, decoder))


class _Small(FactorDataset):
    """The small data set in 16 x 16 pixels."""

    def __init__(self, whole):
        factors = dict(zip(whole.factor_names, whole.factor_sizes, strict=True))
        super().__init__(whole.name, whole.source, factors, (1, 16, 16))
        self.all = avg_pool2d(whole.images(torch.arange(len(whole))), 4)

    def images(self, indices):
        return self.all[self._on_device(indices)]


@pytest.fixture(scope="session")
def small(mini):
    return _Small(mini)
