from math import log

import pytest
import torch

from benchmark.spec import RunSpec
from benchmark.training.harness import train
from methods.base import Pairs, Transitions, hyperparameters_of
from methods.pcl import PCL, TellsTime

SHAPE = (1, 4, 4)


def _regression(codes=3):
    torch.manual_seed(0)
    regression = TellsTime(codes).double()
    for value in regression.parameters():
        value.data = torch.randn_like(value)
    return regression


def test_the_function_latent_by_latent():
    regression = _regression()
    codes = torch.randn(5, 6, dtype=torch.float64)
    for row, told in zip(codes, regression(codes)[:, 0], strict=True):
        expected = regression.bias.item()
        for j in range(3):
            before, after = row[j].item(), row[3 + j].item()
            a, b, c = (value[j].item() for value in (regression.after, regression.before, regression.apart))
            expected += (regression.scale[j].item() * after + regression.shift[j].item()) ** 2
            expected -= abs(a * after + b * before + c)
        assert told.item() == pytest.approx(expected)


def test_the_loss_is_the_cross_entropy_of_true_and_false_pairs():
    images = torch.randn(8, 3, dtype=torch.float64)
    networks = {"encoder": lambda batch: batch, "regression": _regression()}
    loss = PCL(SHAPE, 3).loss(networks, images, {}, hyperparameters_of(PCL, {}), 0)["loss"].item()
    surprise = 0.0
    for at in range(4):
        for other, label in ((at, 1), ((at - 1) % 4, 0)):
            logit = networks["regression"](torch.cat([images[other], images[4 + at]])[None])
            probability = torch.sigmoid(logit if label else -logit).item()
            surprise -= log(probability) / 8
    assert loss == pytest.approx(surprise)


def test_nobody_is_told_apart_from_itself():
    """False pairs are of two pairs: each first image stands beside another's second."""
    codes = torch.arange(8.0)[:, None]
    seen = []
    networks = {"encoder": lambda batch: codes, "regression": lambda pairs: seen.append(pairs) or pairs[:, :1]}
    PCL(SHAPE, 1).loss(networks, codes, {}, hyperparameters_of(PCL, {}), 0)
    true, false = seen[0].chunk(2)
    assert (true[:, 1] - true[:, 0] == 4).all()
    assert not (false[:, 1] - false[:, 0] == 4).any()


def test_what_it_asks_for():
    assert PCL(SHAPE).batches() == Transitions(1.0)
    assert PCL(SHAPE, structure={"transitions": "uniform"}).batches() == Pairs(0)


def test_learns_to_tell_time_by_latents_of_one_factor_each(bars, small_networks):
    training = train(RunSpec("pcl", {}, "dsprites_mini", steps=400), bars, "fp32")
    assert training.history[-1]["loss"] < 0.9 * log(2)
    moved = bars.moved_by_each(training)
    used = moved.sum(0) > 0.05
    assert used.sum() >= 3
    assert (moved.amax(0) / moved.sum(0))[used].min() > 0.8
    assert len(moved[:, used].argmax(0).unique()) == 3
