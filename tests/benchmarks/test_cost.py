"""What methods say that a step costs is what it costs, about."""

import pytest

import methods
from tests.benchmarks.cost import cost_of
from tests.benchmarks.steps import trained_methods

DEAR = {  # more than six times a VAE's, and why
    "factorvae": "a discriminator of six layers of 1,000 beside small networks",
    "factorqvae": "the same discriminator, over all probabilities",
    "s2_factorvae": "the same, beside labelled images",
}


def test_every_method_tells_its_cost_and_the_dear_ones_why():
    told = {name: vars(methods.REGISTRY[name]).get("cost") for name in trained_methods()}
    assert all(told.values()), told
    assert {name for name, cost in told.items() if cost >= 6} == set(DEAR)


@pytest.mark.slow
@pytest.mark.parametrize("method", trained_methods())
def test_costs_are_about_what_is_told(method):
    assert cost_of(method, turns=3) == pytest.approx(methods.REGISTRY[method].cost, rel=0.35)
