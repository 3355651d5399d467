"""What FactorVAE and beta-TCVAE are for: a lower total correlation than a VAE's at the same KL."""

from dataclasses import replace
from math import log

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from benchmark.spec import RunSpec
from benchmark.training.harness import train
from methods.factorvae import FactorVAE


def _train(method, settings, data):
    return train(RunSpec(method, settings, "dsprites_mini", steps=500), data, "fp32")


def _kl_and_total_correlation(training, data):
    """KL, and total correlation by the exact density of the mixture of all posteriors at samples of it."""
    with torch.no_grad():
        mean, log_variance = training.networks["encoder"](data.pixels).double().chunk(2, dim=1)
    posterior = Normal(mean, (log_variance / 2).exp())
    torch.manual_seed(0)
    samples, count = posterior.sample(), len(mean)
    each = posterior.log_prob(samples[:, None])
    joint, marginals = each.sum(2).logsumexp(1) - log(count), (each.logsumexp(1) - log(count)).sum(1)
    return kl_divergence(posterior, Normal(0.0, 1.0)).sum(1).mean().item(), (joint - marginals).mean().item()


@pytest.fixture
def with_a_quick_discriminator(monkeypatch):
    players = FactorVAE.players

    def quick(self):
        own = players(self)
        optimiser = replace(own["discriminator"].optimiser, lr=1e-3)
        return own | {"discriminator": replace(own["discriminator"], optimiser=optimiser)}

    monkeypatch.setattr(FactorVAE, "players", quick)


def test_they_lower_total_correlation_at_the_kl_of_a_vae(small, small_networks, with_a_quick_discriminator):
    """Which is taken between those of a light and a heavy weight on the KL."""
    vaes = [_kl_and_total_correlation(_train("betavae", {"beta": beta}, small), small) for beta in (2, 1)]
    for method, settings in (("betatcvae", {"beta": 6}), ("factorvae", {"gamma": 35})):
        own = _train(method, settings, small)
        kl, correlation = _kl_and_total_correlation(own, small)
        assert kl > vaes[0][0]
        # Beyond the lighter weight a VAE's total correlation is at least that weight's.
        assert correlation < 0.65 * np.interp(kl, *zip(*vaes, strict=True)), method
        first, last = own.history[0], own.history[-1]
        assert last["loss"] < first["loss"] / 2
        assert last["reconstruction"] < first["reconstruction"] / 2
        if method == "factorvae":
            assert np.mean([row["discriminator_loss"] for row in own.history]) < log(2)
