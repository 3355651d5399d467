"""Grids of factors without images to speak of, for what looks at factors alone."""

import torch

from benchmark.datasets.base import FactorDataset


class Blank(FactorDataset):
    """A grid of those factors, every image grey."""

    def __init__(self, name="blank", table=None, **factors):
        super().__init__(name, "test", factors, (1, 2, 2), table=table)

    def images(self, indices, generator=None):
        return torch.full((len(self._on_device(indices)), *self.image_shape), 0.5)
