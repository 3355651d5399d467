"""The beta that tables and figures tell of a run is the weight of its KL."""

import pytest
import torch

from methods import REGISTRY
from methods.base import hyperparameters_of

SHAPE = (1, 4, 4)
# What the loss has besides, on the same batch; a total correlation has a weight of its own.
OTHERS = {
    "wae_mmd": lambda terms: 10 * terms["mmd"],
    "slowvae": lambda terms: 5 * terms["slowness"],
}
SETTINGS = {"wae_mmd": {"kl": 0.5}, "slowvae": {"beta": 3}, "betavae": {"beta": 4}}


@pytest.mark.parametrize("name", ["vae", "betavae", "wae_mmd", "slowvae"])
def test_the_beta_that_is_told_is_the_weight_of_the_kl(small_networks, name):
    torch.manual_seed(0)
    kind = REGISTRY[name]
    method = kind(SHAPE, 3, factor_sizes=(3, 2))
    networks = {key: network.double() for key, network in method.build().items()}
    shapes = method.noise_shapes(3 if name == "slowvae" else 6)
    noise = {key: torch.randn(shape, dtype=torch.float64) for key, shape in shapes.items()}
    h = hyperparameters_of(kind, SETTINGS.get(name, {}))
    terms = method.loss(networks, torch.rand(6, *SHAPE, dtype=torch.float64), noise, h, torch.tensor(0))
    besides = OTHERS.get(name, lambda terms: 0)(terms)
    weight = (terms["loss"] - terms["reconstruction"] - besides) / terms["kl"]
    told = method.report(networks, h)
    assert told["beta"] == pytest.approx(weight.item())
    assert told["normalised_beta"] == pytest.approx(weight.item() * 3 / 16)


def test_no_beta_is_told_where_no_kl_is_weighed():
    kind = REGISTRY["supervised"]
    assert kind(SHAPE, 3, factor_sizes=(3, 2)).report({}, hyperparameters_of(kind, {})) == {}


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_a_report_is_made_of_networks_on_another_device(small_networks, name):
    """On "meta", which no number can be read from, a report fails there at the earliest, and not as devices differ."""
    kind = REGISTRY[name]
    method = kind(SHAPE, 3, factor_sizes=(3, 2))
    networks = {key: network.to("meta") for key, network in method.build().items()}
    try:
        method.report(networks, hyperparameters_of(kind, {}))
    except (RuntimeError, NotImplementedError) as error:
        assert "item()" in str(error)
