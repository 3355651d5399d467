import pytest
import torch

from benchmark.spec import RunSpec
from benchmark.training.harness import train
from methods.base import hyperparameters_of
from methods.qlae import QLAE, Codebook
from methods.vae import bernoulli_loss

SHAPE = (1, 4, 4)
PIXELS = 16


def _setup(batch=6, values=4):
    """A method of two factors and so four latents, its networks with codes as they are, images, and codes."""
    torch.manual_seed(0)
    method = QLAE(SHAPE, factor_sizes=(3, 2), structure={"values": values})
    networks = {name: network.double() for name, network in method.build().items()}
    codes = torch.randn(batch, 4, dtype=torch.float64, requires_grad=True)
    networks["encoder"] = lambda images: codes
    with torch.no_grad():
        networks["codebook"].values.add_(0.1 * torch.randn(4, values, dtype=torch.float64))
    return method, networks, torch.rand(batch, *SHAPE, dtype=torch.float64), codes


def _nearest(codes, values):
    """Which value is nearest to each code, one by one."""
    return [
        [min(range(len(own)), key=lambda v: abs(code - own[v])) for code, own in zip(row, values, strict=True)]
        for row, values in ((row, values.tolist()) for row in codes.tolist())
    ]


def test_codes_take_the_nearest_of_their_own_latents_values(small_networks):
    method, networks, images, codes = _setup()
    values = networks["codebook"].values
    expected = [[values[j, v].item() for j, v in enumerate(row)] for row in _nearest(codes, values)]
    assert torch.equal(method.encode(networks, images), torch.tensor(expected, dtype=torch.float64))


def test_values_start_evenly_from_minus_to_plus_one_half():
    assert Codebook(2, 5).values.tolist() == [[-0.5, -0.25, 0, 0.25, 0.5]] * 2


def test_the_reconstructions_gradient_passes_through_the_values(small_networks):
    """Straight through: the encoder's outputs get what the decoder's inputs get."""
    method, networks, images, codes = _setup()
    terms = method.loss(networks, images, {}, hyperparameters_of(QLAE, {"values": 4, "commitment": 0}), 0)
    values = method.encode(networks, images).detach().requires_grad_()
    reconstruction = bernoulli_loss(networks["decoder"](values), images)
    torch.testing.assert_close(terms["loss"], reconstruction)
    expected = torch.autograd.grad(reconstruction, values)[0]
    assert expected.abs().sum() > 0
    torch.testing.assert_close(torch.autograd.grad(terms["loss"], codes)[0], expected)


def test_commitment_draws_codes_to_values(small_networks):
    method, networks, images, codes = _setup()
    with_it, without = (
        method.loss(networks, images, {}, hyperparameters_of(QLAE, {"values": 4, "commitment": weight}), 0)["loss"]
        for weight in (0.25, 0)
    )
    difference = codes - method.encode(networks, images).detach()
    mean = difference.detach().square().sum().item() / 24
    assert (with_it - without).item() == pytest.approx(0.25 * PIXELS * mean)
    gradients = [torch.autograd.grad(each, codes, retain_graph=True)[0] for each in (with_it, without)]
    torch.testing.assert_close(gradients[0] - gradients[1], 0.25 * PIXELS * 2 * difference.detach() / 24)


def test_the_codebook_learns_from_its_own_loss_alone(small_networks):
    method, networks, images, codes = _setup()
    hyperparameters = hyperparameters_of(QLAE, {"values": 4, "quantisation": 0.5})
    values = networks["codebook"].values
    own = method.codebook_loss(networks, images, {}, hyperparameters, 0)["loss"]
    expected = torch.zeros_like(values)
    for row, chosen in zip(codes.tolist(), _nearest(codes, values), strict=True):
        for j, (code, v) in enumerate(zip(row, chosen, strict=True)):
            expected[j, v] += 0.5 * PIXELS * 2 * (values[j, v].item() - code) / 24
    gradients = torch.autograd.grad(own, [values, codes], allow_unused=True)
    torch.testing.assert_close(gradients[0], expected)
    assert gradients[1] is None
    model = method.loss(networks, images, {}, hyperparameters, 0)["loss"]
    assert torch.autograd.grad(model, values, allow_unused=True) == (None,)


def test_weights_decay_but_values_do_not():
    players = QLAE(SHAPE, factor_sizes=(3, 2)).players()
    assert players["model"].networks == ("encoder", "decoder")
    assert (players["model"].optimiser.name, players["model"].optimiser.options) == ("AdamW", {"weight_decay": 0.1})
    assert players["codebook"].networks == ("codebook",)
    assert "weight_decay" not in players["codebook"].optimiser.options


def test_learns_with_ten_values_a_latent(small, small_networks):
    training = train(RunSpec("qlae", {}, "dsprites_mini", steps=300), small, "fp32")
    with torch.no_grad():
        codes = training.method.encode(training.networks, small.images(torch.arange(len(small))))
    assert codes.shape == (384, 10)
    assert all(len(latent.unique()) <= 10 for latent in codes.T)
    assert len(codes.unique(dim=0)) > 100
    assert training.history[-1]["reconstruction"] < training.history[0]["reconstruction"] / 3
