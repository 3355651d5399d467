import numpy as np
import pytest
import torch

import methods
from benchmark.spec import RunSpec
from benchmark.training.harness import train
from methods.base import Labelled, hyperparameters_of
from methods.few_labels import FewLabels
from methods.s2_betavae import S2BetaVAE
from methods.supervised import Supervised

SHAPE, SIZES = (1, 4, 4), (3, 4)
WITH_LABELS = {"s2_betavae": "betavae", "s2_betatcvae": "betatcvae", "s2_dipvae_i": "dipvae_i"}
WITH_LABELS["s2_factorvae"] = "factorvae"


def _setup(name, batch=6, **settings):
    """Both methods, networks that serve both, images without labels and with them, and noise."""
    torch.manual_seed(0)
    cls, plain = methods.REGISTRY[name], methods.REGISTRY[WITH_LABELS[name]]
    method = cls(SHAPE, 5, "small_fc", SIZES)
    networks = {name: network.double() for name, network in method.build().items()}
    number = method.batches().number
    images, labelled = ((torch.rand(n * batch, *SHAPE) > 0.5).double() for n in (number, 1))
    noise = {key: torch.randn(shape, dtype=torch.float64) for key, shape in method.noise_shapes(batch).items()}
    noise["labels"] = torch.stack([torch.randint(size, (batch,)) for size in SIZES], 1)
    return method, plain(SHAPE, 5, "small_fc", SIZES), networks, images, labelled, noise


@pytest.mark.parametrize("name", WITH_LABELS)
def test_the_loss_is_the_methods_own_and_the_labels(name, small_networks):
    """In numpy, image by image and factor by factor, at the study's weight: the sum over a batch of 64."""
    method, plain, networks, images, labelled, noise = _setup(name)
    given = hyperparameters_of(type(method), {"gamma_sup": 2})
    terms = method.loss(networks, torch.cat([images, labelled]), noise, given, torch.tensor(0))
    own = plain.loss(networks, images, noise, hyperparameters_of(type(plain), {}), torch.tensor(0))
    means = networks["encoder"](labelled).chunk(2, 1)[0].detach().numpy()
    surprise = 0.0
    for row, values in zip(means, noise["labels"].numpy(), strict=True):
        for k, size in enumerate(SIZES):
            told, wanted = 1 / (1 + np.exp(-row[k])), values[k] / size
            surprise -= wanted * np.log(told) + (1 - wanted) * np.log(1 - told)
    assert terms["loss"].item() == pytest.approx(own["loss"].item() + 2 * 64 * surprise / len(labelled))
    assert terms["reconstruction"].item() == pytest.approx(own["reconstruction"].item())


def test_the_studys_value_of_the_labels_loss():
    """Its code's own test: codes of 0 and labels of 0, 64 images, five factors: 221.807 summed over the batch."""
    surprise = Supervised(SHAPE, 10, "small_fc", (1,) * 5).surprise_of_labels(torch.zeros(64, 10), torch.zeros(64, 5))
    assert 64 * surprise.item() == pytest.approx(221.807, abs=1e-3)
    ones = Supervised(SHAPE, 10, "small_fc", (1,) * 10).surprise_of_labels(torch.ones(64, 10), torch.zeros(64, 10))
    assert 64 * ones.item() == pytest.approx(840.48, abs=1e-2)


def test_the_discriminator_sees_no_labelled_images(small_networks):
    method, plain, networks, images, labelled, noise = _setup("s2_factorvae")
    given = hyperparameters_of(type(method), {})
    with_labels = method.discriminator_loss(networks, torch.cat([images, labelled]), noise, given, torch.tensor(0))
    own = plain.discriminator_loss(networks, images, noise, given, torch.tensor(0))
    assert torch.equal(with_labels["loss"], own["loss"])


@pytest.mark.parametrize("name", [*WITH_LABELS, "supervised"])
def test_what_they_ask_for(name):
    method = methods.REGISTRY[name](SHAPE, 5, "small_fc", SIZES, structure={"labels": 7, "sampling": "stratified"})
    assert isinstance(method, FewLabels)
    assert method.batches() == Labelled(7, 2 if name == "s2_factorvae" else 1)
    assert method.objection() == ""


@pytest.mark.parametrize("name", ["s2_betavae", "supervised", "groupvae", "mlvae"])
def test_more_factors_than_latents_are_refused(name):
    method = methods.REGISTRY[name](SHAPE, 2, "small_fc", (2, 2, 2))
    assert method.objection() == (
        f"{name} gives each factor a latent of its own, and there are 2 latents for 3 factors."
    )


def test_no_factors_are_refused():
    assert S2BetaVAE(SHAPE, 2, "small_fc", ()).objection() == (
        "s2_betavae trains on labelled images, which here take at least 1 factors; the data have 0."
    )


def test_the_decoder_of_the_supervised_encoder_leaves_it_as_it_is(small_networks):
    method = Supervised(SHAPE, 5, "small_fc", SIZES)
    networks = method.build()
    noise = {"labels": torch.zeros(2, 2)}
    loss = method.reconstruct(networks, torch.rand(4, *SHAPE), noise, hyperparameters_of(Supervised, {}), 0)["loss"]
    loss.backward()
    assert all(value.grad is None for value in networks["encoder"].parameters())
    assert all(value.grad is not None for value in networks["decoder"].parameters())


@pytest.mark.parametrize(("name", "labels", "share"), [("supervised", 0, 0.9), ("s2_betavae", 20, 0.25)])
def test_learns_the_factors_in_their_order(bars, small_networks, name, labels, share):
    training = train(RunSpec(name, {"labels": labels}, "dsprites_mini", steps=300), bars, "fp32")
    moved = bars.moved_by_each(training)
    assert moved.argmax(1).tolist() == [0, 1, 2]
    assert (moved.amax(1) / moved.sum(1)).min() > share
