"""Training protocols by name: everything about a run but the method, the data and the seed."""

from dataclasses import dataclass, replace

from methods.base import Optimiser


@dataclass(frozen=True)
class Preset:
    """A training protocol.

    Attributes:
        summary: one line, with the source.
        architecture: a name in `methods.networks.ARCHITECTURES`.
        latents: number of latents, D.
        steps: optimiser steps of each player.
        batch: images a step.
        optimiser: for every player that names none of its own.
        train_rows, test_rows: distinct random images encoded for the metrics.
        left_out: metrics that are too slow for it and applied only when asked for by name.
        likelihood: how images are given their codes, a name in `methods.likelihoods`.
    """

    summary: str
    architecture: str
    latents: int
    steps: int
    batch: int
    optimiser: Optimiser
    train_rows: int = 10_000
    test_rows: int = 5_000
    left_out: tuple[str, ...] = ()
    likelihood: str = "bernoulli"


STANDARD = Preset(
    summary="the 12,600-model study, Locatello et al. 2019",
    architecture="locatello2019",
    latents=10,
    steps=300_000,
    batch=64,
    optimiser=Optimiser("Adam", lr=1e-4, options={"betas": (0.9, 0.999), "eps": 1e-8}),
)

PRESETS = {
    "quick": Preset(
        summary="small fully connected networks: what beta does, in minutes on a laptop (results/exploration)",
        architecture="small_fc",
        latents=10,
        steps=2_000,
        batch=128,
        optimiser=Optimiser("Adam", lr=1e-3),
        left_out=("dci", "downstream", "fairness", "snc"),
    ),
    "study_quick": Preset(
        summary="the study's networks on a small budget, at ten times its rate: to try its set-up, no more",
        architecture="locatello2019",
        latents=10,
        steps=1_500,
        batch=64,
        optimiser=Optimiser("Adam", lr=1e-3),
        left_out=("dci", "downstream", "fairness", "snc"),
    ),
    "standard": STANDARD,
    "higgins2017": Preset(
        summary="the beta-VAE paper on 2D shapes, Higgins et al. 2017, appendix A.1 (steps and batch are ours)",
        architecture="higgins2017",
        latents=10,
        steps=300_000,
        batch=64,
        # The paper names Adagrad and its rate alone. Its accumulator starts here as TensorFlow's does, at 0.1, and not
        # as torch's, at 0, with which the first step is the whole rate in each weight, however small its gradient.
        # Initial weights (Glorot uniform, biases 0) are also that library's; for log variances see the architecture.
        optimiser=Optimiser("Adagrad", lr=1e-2, options={"initial_accumulator_value": 0.1}),
    ),
    "standard_broadcast": replace(
        STANDARD,
        summary="the study's protocol with a spatial broadcast decoder, Watters et al. 2019",
        architecture="spatial_broadcast",
    ),
    "tripod2024": Preset(
        summary="the quantised line's protocol with residual networks, Hsu et al. 2024 (their layers are ours)",
        architecture="residual",
        latents=10,
        steps=250_000,
        batch=64,
        optimiser=Optimiser("Adam", lr=2e-4),
    ),
}
