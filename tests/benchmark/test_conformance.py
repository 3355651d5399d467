"""Every method of the project does what every method must do."""

import pytest

import methods
from benchmark.checks import check_method

# What a check does not apply to, by its reason; anything else is to pass.
REASONS = {"it has no players", "it does not decode", "it has none", "it does not encode images alone"}


def _passes(name):
    results = check_method(methods.REGISTRY[name])
    assert [result for result in results if result.state == "failed"] == []
    assert {result.reason for result in results if result.state == "skipped"} <= REASONS


@pytest.mark.parametrize("name", sorted(methods.REGISTRY))
def test_every_method_passes_every_check(name, small_networks):
    """By small networks, as what is a method's own calls them as it calls others."""
    _passes(name)


def test_one_passes_by_the_networks_that_a_user_checks_with():
    _passes("vae")
