"""What several rooms' tests share: the small data set, kept in a cache folder of the session's own."""

import os
from math import prod

import pytest
import torch
from hypothesis import settings
from threadpoolctl import threadpool_limits
from torch import nn

from benchmark import datasets, plugins
from benchmark.datasets.base import FactorDataset
from methods import networks
from methods.networks import ARCHITECTURES, Architecture

WIDTH = 128

settings.register_profile("whole")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """A cache of this session's, which tests that run side by side share, so that all is rendered once."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    os.environ["DISENTANGLEMENT_CACHE"] = str(shared / "cache")
    os.environ.pop("DISENTANGLEMENT_DATA", None)


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Tests run side by side; threads that wait for one another by spinning would take each other's cores."""
    os.environ["LOKY_MAX_CPU_COUNT"] = os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield


@pytest.fixture(autouse=True)
def _same_draws():
    """What a test draws from torch's own generator does not depend on the tests before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def mini() -> FactorDataset:
    return datasets.load("dsprites_mini")


@pytest.fixture(scope="session")
def dsprites() -> FactorDataset:
    """The whole grid, rendered once a session (seconds)."""
    return datasets.load("dsprites")


@pytest.fixture
def small_networks(monkeypatch):
    """The networks of the quick preset, and those that methods have by default, are perceptrons of one hidden layer.

    A discriminator's layers are as narrow.
    """
    monkeypatch.setattr(networks, "JUDGES", WIDTH)

    def encoder(image_shape, outputs):
        return nn.Sequential(nn.Flatten(), nn.Linear(prod(image_shape), WIDTH), nn.ReLU(), nn.Linear(WIDTH, outputs))

    def decoder(latents, image_shape):
        layers = nn.Linear(latents, WIDTH), nn.ReLU(), nn.Linear(WIDTH, prod(image_shape))
        return nn.Sequential(*layers, nn.Unflatten(1, image_shape))

    for name in ("small_fc", "locatello2019"):
        monkeypatch.setitem(ARCHITECTURES, name, Architecture(encoder, decoder))


@pytest.fixture
def without_figures(monkeypatch):
    """For tests that look at what is stored, told or in tables: most of the time of a small sweep goes into figures."""
    monkeypatch.setattr("benchmark.report.regenerate.draw_all", lambda *_: [])


@pytest.fixture
def plugins_anew(monkeypatch):
    """Every plugin is loaded anew, and afterwards the registries are as they were."""
    monkeypatch.setattr(plugins, "_loaded", set())
    before = [dict(registry) for registry in plugins.REGISTRIES]
    yield
    for registry, entries in zip(plugins.REGISTRIES, before, strict=True):
        registry.clear()
        registry.update(entries)
