"""Every method of the project does what every method must do."""

import pytest

import methods
from benchmark.checks import check_method

pytestmark = pytest.mark.whole

# What a check does not apply to, by its reason; anything else is to pass.
REASONS = {"it has no players", "it does not decode", "it has none", "it does not encode images alone"}
# Checked by the networks that a user checks with; others by small ones, which tell as much of what is a method's own.
# The first two learn too little by these in the steps of a check.
BY_CONVOLUTIONS = {"annealedvae", "qlae", "vae"}


@pytest.mark.parametrize("name", sorted(methods.REGISTRY))
def test_every_method_passes_every_check(name, request):
    if name not in BY_CONVOLUTIONS:
        request.getfixturevalue("small_networks")
    results = check_method(methods.REGISTRY[name])
    assert [result for result in results if result.state == "failed"] == []
    assert {result.reason for result in results if result.state == "skipped"} <= REASONS
