import numpy as np
import pytest
import torch

from benchmark.spec import RunSpec
from benchmark.training.harness import train
from methods.base import hyperparameters_of
from methods.betavae import BetaVAE
from methods.constrained_vae import ConstrainedVAE, LogBeta, multiplier
from methods.vae import sampled

SHAPE = (1, 4, 4)
STEP = torch.tensor(0)


def _fixed(log_beta):
    """Networks of which only the logarithm of beta is called."""
    return {"log_beta": lambda values: values + log_beta}


def _with_kl(kl):
    """A posterior of one latent and variance 1 with that KL, by its mean."""
    return sampled(torch.full((4, 1), (2 * kl) ** 0.5), torch.zeros(4, 1), torch.zeros(4, 1))


@pytest.mark.parametrize(("price", "kl"), [(0.0, 3.0), (0.5, 3.0), (7.0, 3.0), (7.0, 20.0)])
def test_lagrangian_by_hand(price, kl):
    method, h = ConstrainedVAE(SHAPE, 1), hyperparameters_of(ConstrainedVAE, {"epsilon": 5})
    regulariser = method.regulariser(_fixed(np.log(1 + price)), _with_kl(kl), h, STEP)
    assert regulariser.item() == pytest.approx(kl + price * (kl - 5), rel=1e-5)


def test_gradients_of_the_networks_are_those_of_the_beta_vae(small_networks):
    torch.manual_seed(0)
    method = ConstrainedVAE(SHAPE, 3)
    networks = {name: network.double() for name, network in method.build().items()}
    networks["log_beta"].value.data.fill_(np.log(4))
    images, noise = torch.rand(5, *SHAPE, dtype=torch.float64), {"posterior": torch.randn(5, 3, dtype=torch.float64)}
    weights = [*networks["encoder"].parameters(), *networks["decoder"].parameters()]
    own = method.loss(networks, images, noise, hyperparameters_of(ConstrainedVAE, {}), STEP)["loss"]
    beta = BetaVAE(SHAPE, 3).loss(networks, images, noise, hyperparameters_of(BetaVAE, {"beta": 4}), STEP)["loss"]
    for pair in zip(torch.autograd.grad(own, weights), torch.autograd.grad(beta, weights), strict=True):
        torch.testing.assert_close(*pair)


def _ascend(kls, epsilon=5.0, log_beta=0.0):
    """Beta after each step of the multiplier's own player, where the KL is as told."""
    method, h = ConstrainedVAE(SHAPE, 1), hyperparameters_of(ConstrainedVAE, {"epsilon": epsilon})
    network, player = LogBeta(), method.players()["multiplier"]
    network.value.data.fill_(log_beta)
    optimiser = getattr(torch.optim, player.optimiser.name)(
        network.parameters(), lr=player.optimiser.lr, **player.optimiser.options
    )
    betas = []
    for kl in kls:
        mean = (2 * kl) ** 0.5
        networks = {"encoder": lambda images, mean=mean: torch.tensor([[mean, 0.0]]).repeat(len(images), 1)}
        loss = player.loss(
            networks | {"log_beta": network}, torch.zeros(4, *SHAPE), {"posterior": torch.zeros(4, 1)}, h, STEP
        )
        optimiser.zero_grad()
        loss["loss"].backward()
        optimiser.step()
        betas.append(method.report({"log_beta": network}, h)["beta"])
    return betas


def test_the_price_rises_with_the_excess_and_falls_where_the_constraint_is_slack():
    steady, above, far_above, below = (_ascend([kl] * 40, log_beta=1.0)[-1] for kl in (5, 6, 9, 4))
    assert steady == pytest.approx(np.e, rel=1e-4)
    assert below < steady < above < far_above


def test_the_price_moves_alike_at_any_price():
    low, high = (np.log(_ascend([6] * 40, log_beta=start)[-1]) - start for start in (0.5, 4.0))
    assert low == pytest.approx(high, rel=1e-3)


def test_the_excess_is_averaged():
    """One bad batch among good ones does at once only a small part of what it does in the end."""
    logs = np.log(_ascend([6] + [5] * 100, log_beta=1.0)) - 1
    assert 0 < logs[0] < 0.2 * logs[-1]
    assert (np.diff(logs) > -1e-6).all()


def test_lambda_is_never_negative_and_soon_back():
    """However long the constraint is slack, the multiplier is 0, and rises when it binds again."""
    slack, bound = 800, 150
    betas = _ascend([1.0] * slack + [7.0] * bound, log_beta=1.0)
    assert min(betas) == 1
    assert betas[slack - 1] == 1
    assert betas[-1] > 2


@pytest.mark.parametrize("epsilon", [1e-3, 1e3])
def test_extreme_excesses_give_finite_prices(epsilon):
    betas = _ascend([0.0] * 20 + [1e4] * 20 + [0.0] * 20, epsilon)
    assert np.isfinite(betas).all()
    assert max(betas) < 10


def test_the_price_does_not_reach_the_networks(small_networks):
    torch.manual_seed(0)
    method = ConstrainedVAE(SHAPE, 3)
    networks, h = method.build(), hyperparameters_of(ConstrainedVAE, {})
    loss = method.price_loss(networks, torch.rand(5, *SHAPE), {"posterior": torch.randn(5, 3)}, h, STEP)["loss"]
    parameters = {name: list(network.parameters()) for name, network in networks.items()}
    assert method.players()["multiplier"].networks == ("log_beta",)
    assert method.players()["model"].networks == ("encoder", "decoder")
    assert torch.autograd.grad(loss, parameters["log_beta"], retain_graph=True)[0] != 0
    others = parameters["encoder"] + parameters["decoder"]
    assert set(torch.autograd.grad(loss, others, allow_unused=True)) == {None}


def test_multiplier_is_beta_less_one():
    torch.testing.assert_close(
        multiplier(torch.tensor([-3.0, 0.0, 2.0]).log1p().nan_to_num(-1)), torch.tensor([0, 0, 2.0])
    )


def _trained(data, steps=450, **settings):
    """The training, its KL over the last tenth, and what the table tells."""
    spec = RunSpec("constrained_vae", settings, "dsprites_mini", steps=steps)
    training = train(spec, data, "fp32")
    kl = np.mean([row["kl"] for row in training.history[-len(training.history) // 10 :]])
    return training, kl, training.method.report(training.networks, spec.resolve_hyperparameters())


@pytest.mark.parametrize("epsilon", [5, 10])
def test_kl_ends_at_epsilon(halved, small_networks, epsilon):
    training, kl, told = _trained(halved, epsilon=epsilon)
    assert kl == pytest.approx(epsilon, rel=0.05)
    assert told["multiplier"] > 0.2
    assert told["beta"] == 1 + told["multiplier"]
    assert training.history[-1]["reconstruction"] < training.history[0]["reconstruction"] / 2


def test_a_constraint_that_does_not_bind_costs_nothing(halved, small_networks):
    _, kl, told = _trained(halved, steps=150, epsilon=1000)
    vae = train(RunSpec("vae", {}, "dsprites_mini", steps=150), halved, "fp32")
    assert told["multiplier"] == 0
    assert told["beta"] == 1
    assert kl == pytest.approx(np.mean([row["kl"] for row in vae.history[-10:]]), rel=0.1)
    assert vae.method.report(vae.networks, None) == {k: v for k, v in told.items() if k != "multiplier"}
