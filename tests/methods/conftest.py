"""Small images, with which a method learns in seconds, given small networks."""

import pytest
import torch
from torch.nn.functional import avg_pool2d, one_hot

from benchmark.datasets.base import FactorDataset


class _Coarse(FactorDataset):
    """The small data set in pixels `width` times as wide; `pixels` are all of its images."""

    def __init__(self, fine, width):
        factors = dict(zip(fine.factor_names, fine.factor_sizes, strict=True))
        self.pixels = avg_pool2d(fine.images(torch.arange(len(fine))), width)
        super().__init__(fine.name, fine.source, factors, tuple(self.pixels.shape[1:]))

    def images(self, indices):
        return self.pixels[self._on_device(indices)]


@pytest.fixture(scope="session")
def small(mini):
    """In 16 x 16 pixels."""
    return _Coarse(mini, 4)


@pytest.fixture(scope="session")
def halved(mini):
    """In 32 x 32 pixels."""
    return _Coarse(mini, 2)


class _Bars(FactorDataset):
    """Three rows of four tiles of 4 x 4 pixels, in each of which one is lit: three factors that are seen apart."""

    def __init__(self):
        super().__init__("bars", "drawn", {"top": 4, "middle": 4, "bottom": 4}, (1, 12, 16))

    def images(self, indices):
        tiles = one_hot(self.factors(indices), 4).float()[:, None]
        return tiles.repeat_interleave(4, 2).repeat_interleave(4, 3)

    def moved_by_each(self, training):
        """How far codes vary with each factor while the others stand: (factor, latent)."""
        with torch.no_grad():
            codes = training.method.encode(training.networks, self.images(torch.arange(64)))
        return torch.stack([codes.view(4, 4, 4, -1).var(k).mean((0, 1)) for k in range(3)])


@pytest.fixture(scope="session")
def bars():
    return _Bars()
