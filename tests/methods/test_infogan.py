import numpy as np
import pytest
import torch
from scipy.stats import chisquare, kstest
from torch import nn
from torch.distributions import Categorical, Normal

from benchmark.spec import RunSpec
from benchmark.training.harness import train
from methods.base import hyperparameters_of
from methods.infogan import InfoGAN, Normalised

SHAPE = (1, 4, 4)
STRUCTURE = {"continuous": 2, "categories": 3, "noise": 4}


def _setup(batch=8):
    torch.manual_seed(0)
    method = InfoGAN(SHAPE, structure=STRUCTURE)
    networks = {name: network.double() for name, network in method.build().items()}
    noise = {name: torch.randn(shape, dtype=torch.float64) for name, shape in method.noise_shapes(batch).items()}
    return method, networks, torch.rand(batch, *SHAPE, dtype=torch.float64), noise


def _hyperparameters(information=1.0, category_information=5.0):
    weights = {"information": information, "category_information": category_information}
    return hyperparameters_of(InfoGAN, STRUCTURE | weights)


def test_codes_are_uniform_and_independent():
    method = InfoGAN(SHAPE)
    generator = torch.Generator().manual_seed(0)
    noise = {name: torch.randn(shape, generator=generator) for name, shape in method.noise_shapes(4000).items()}
    continuous, category = method.codes(noise)
    assert continuous.shape == (4000, 5)
    for code in continuous.T:
        assert kstest(code.numpy(), "uniform", args=(-1, 2)).pvalue > 1e-3
    assert chisquare(torch.bincount(category, minlength=3)).pvalue > 1e-3
    correlations = torch.corrcoef(continuous.T) - torch.eye(5)
    assert correlations.abs().max() < 0.06


def test_surprise_is_the_negative_log_likelihood_of_torch_distributions(small_networks):
    method, _, _, noise = _setup()
    told = torch.randn(8, 7, dtype=torch.float64)
    continuous, category = method.codes(noise)
    surprise = method.surprise(told, continuous, category)
    likelihood = Normal(told[:, :2], (told[:, 2:4] / 2).exp()).log_prob(continuous).sum(1)
    torch.testing.assert_close(surprise["continuous_surprise"], -likelihood.mean())
    likelihood = Categorical(logits=told[:, 4:]).log_prob(category)
    torch.testing.assert_close(surprise["category_surprise"], -likelihood.mean())


@pytest.mark.parametrize("weights", [(0.0, 0.0), (1.0, 5.0), (3.0, 0.5)])
def test_losses_by_hand(small_networks, weights):
    """Probabilities of torch's sigmoid in place of logits."""
    method, networks, images, noise = _setup()
    continuous, category = method.codes(noise)
    inputs = torch.cat([continuous, torch.eye(3, dtype=torch.float64)[category], noise["noise"]], 1)
    made = networks["generator"](inputs).sigmoid()
    features, real = (networks["trunk"](x) for x in (made, images))
    surprise = method.surprise(networks["q"](features), continuous, category)
    surprise = weights[0] * surprise["continuous_surprise"] + weights[1] * surprise["category_surprise"]
    of_made, of_real = (networks["discriminator"](f).sigmoid() for f in (features, real))
    expected = {
        method.generator_loss: -of_made.log().mean(),
        method.discriminator_loss: -of_real.log().mean() - (1 - of_made).log().mean(),
    }
    for loss, adversarial in expected.items():
        terms = loss(networks, images, noise, _hyperparameters(*weights), 0)
        torch.testing.assert_close(terms["loss"], adversarial + surprise)


def test_the_discriminators_loss_sends_no_gradient_to_the_generator(small_networks):
    method, networks, images, noise = _setup()
    loss = method.discriminator_loss(networks, images, noise, _hyperparameters(), 0)["loss"]
    weights = {name: list(network.parameters()) for name, network in networks.items()}
    assert all(
        gradient is None
        for gradient in torch.autograd.grad(loss, weights["generator"], retain_graph=True, allow_unused=True)
    )
    for name in ("trunk", "discriminator"):
        assert all(g.abs().sum() > 0 for g in torch.autograd.grad(loss, weights[name], retain_graph=True))
    loss = method.generator_loss(networks, images, noise, _hyperparameters(), 0)["loss"]
    for name in ("generator", "q"):
        assert all(g.abs().sum() > 0 for g in torch.autograd.grad(loss, weights[name], retain_graph=True))


def test_every_network_is_moved_by_one_player():
    players = InfoGAN(SHAPE).players()
    assert players["generator"].networks == ("generator", "q")
    assert players["discriminator"].networks == ("trunk", "discriminator")


def test_encodes_means_and_probabilities_and_decodes_codes(small_networks):
    method, networks, images, _ = _setup()
    codes = method.encode(networks, images)
    assert codes.shape == (8, 5)
    torch.testing.assert_close(codes[:, 2:].sum(1), torch.ones(8, dtype=torch.float64))
    told = networks["q"](networks["trunk"](images))
    torch.testing.assert_close(codes[:, :2], told[:, :2])
    torch.testing.assert_close(codes[:, 2:].log(), Categorical(logits=told[:, 4:]).logits)
    one_hot = torch.tensor([[0.3, -0.4, 0, 1, 0]], dtype=torch.float64)
    silent = torch.zeros(1, 4, dtype=torch.float64)
    expected = method.generate(networks, one_hot[:, :2], torch.tensor([1]), silent)
    torch.testing.assert_close(method.decode(networks, one_hot), expected)


def test_hidden_layers_are_normalised_over_the_reference_inputs():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(3, 8), nn.Unflatten(1, (2, 2, 2)), nn.ConvTranspose2d(2, 4, 2), nn.Flatten())
    network = Normalised(layers, torch.randn(50, 3)).double()
    inputs = torch.randn(6, 3, dtype=torch.float64)
    hidden = layers[0](network.reference).detach().numpy()
    normal = (layers[0](inputs).detach().numpy() - hidden.mean(0)) / np.sqrt(hidden.var(0) + 1e-5)
    expected = layers[2](torch.from_numpy(normal).view(6, 2, 2, 2)).flatten(1)
    torch.testing.assert_close(network(inputs), expected)


def test_an_image_does_not_depend_on_those_beside_it(small_networks):
    method, networks, _, noise = _setup()
    images = method.generate(networks, *method.codes(noise), noise["noise"])
    first = {name: values[:1] for name, values in noise.items()}
    torch.testing.assert_close(method.generate(networks, *method.codes(first), first["noise"]), images[:1])


def test_learns_images_that_tell_their_codes(small, small_networks):
    """Q knows the codes of images that it was not trained on, and the images vary as the real ones do."""
    training = train(RunSpec("infogan", {}, "dsprites_mini", steps=500), small, "fp32")
    method, networks = training.method, training.networks
    generator = torch.Generator().manual_seed(9)
    noise = {name: torch.randn(shape, generator=generator) for name, shape in method.noise_shapes(500).items()}
    continuous, category = method.codes(noise)
    with torch.no_grad():
        images = method.generate(networks, continuous, category, noise["noise"])
        codes = method.encode(networks, images)
    correlations = torch.corrcoef(torch.cat([continuous, codes[:, :5]], 1).T)[:5, 5:].diag()
    assert correlations.median() > 0.8
    assert (codes[:, 5:].argmax(1) == category).float().mean() > 0.8
    assert images.std(0).mean() > small.pixels.std(0).mean() / 3
    first, last = training.history[0], training.history[-1]
    for name in ("continuous_surprise", "category_surprise"):
        assert last[name] < first[name] / 2
