"""Small images, with which a method learns in seconds, given small networks."""

import pytest
import torch
from torch.nn.functional import avg_pool2d

from benchmark.datasets.base import FactorDataset


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
