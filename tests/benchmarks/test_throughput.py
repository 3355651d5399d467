"""Speed of the harness beside a bare loop, and of gathering beside a step.

`python -m pytest tests/benchmarks --benchmark-enable` prints the pairs side by side; the last two
tests hold the ratios to their bounds, on processor times taken in turn in one run. They are marked
slow: a machine that does two things at once measures nothing.
"""

import time

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from benchmark.spec import RunSpec
from benchmark.training.harness import build, choose_precision, keep_memory, train

BATCH, STEPS = 64, 24


def _bare_loop(dataset):
    """The same network, batch, precision and optimiser, on one batch held in memory; returns a step."""
    keep_memory()
    _, networks = build(RunSpec("vae"), dataset)
    optimiser = torch.optim.Adam(networks.parameters(), lr=1e-3, fused=True)
    images = dataset.images(range(BATCH))
    bf16 = choose_precision(torch.device("cpu")) == "bf16"

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            mean, log_variance = networks["encoder"](images).float().chunk(2, 1)
            codes = mean + torch.randn_like(mean) * (log_variance / 2).exp()
            logits = networks["decoder"](codes).float()
        reconstruction = binary_cross_entropy_with_logits(logits, images, reduction="sum") / BATCH
        loss = reconstruction + (0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)).sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def _train(dataset, steps=STEPS):
    return train(RunSpec("vae", steps=steps), dataset)


@pytest.mark.benchmark(group="24 steps of training")
def test_bare_loop(benchmark, mini):
    step = _bare_loop(mini)
    benchmark.pedantic(lambda: [step() for _ in range(STEPS)], rounds=5, warmup_rounds=1)


@pytest.mark.benchmark(group="24 steps of training")
def test_harness(benchmark, mini):
    benchmark.pedantic(_train, args=(mini,), rounds=5, warmup_rounds=1)


@pytest.mark.benchmark(group="a batch of 64")
def test_gather(benchmark, dsprites):
    indices = torch.randint(len(dsprites), (1000, BATCH))
    rows = iter(indices.repeat(100, 1))
    benchmark(lambda: dsprites.images(next(rows)))


def _processor_seconds(call):
    """Processor time, which other programs on the machine disturb less than they do the clock."""
    began = time.process_time()
    call()
    return time.process_time() - began


def _best_seconds(rounds, **work):
    """The shortest of several times of each piece of work, taken in turn."""
    times = [{name: _processor_seconds(call) for name, call in work.items()} for _ in range(rounds)]
    return {name: min(row[name] for row in times) for name in work}


@pytest.mark.slow
def test_harness_reaches_95_percent_of_the_bare_loop(mini):
    step = _bare_loop(mini)
    ratios = []
    # Other programs on the machine slow one or the other at random: an undisturbed measurement counts.
    while len(ratios) < 4 and max(ratios, default=0) < 0.95:
        best = _best_seconds(
            rounds=4,
            bare=lambda: [step() for _ in range(STEPS)],
            harness=lambda: _train(mini, STEPS + 4),
            start=lambda: _train(mini, 4),  # building networks and the first steps, which a run does once
        )
        ratios.append(best["bare"] / (best["harness"] - best["start"]))
    print(f"harness over bare loop: {[round(ratio, 3) for ratio in ratios]}")
    assert max(ratios) >= 0.95


@pytest.mark.slow
def test_gathering_takes_under_3_percent_of_a_step(dsprites):
    indices = torch.randint(len(dsprites), (STEPS, BATCH))
    best = _best_seconds(
        rounds=4,
        gather=lambda: [dsprites.images(row) for row in indices],
        train=lambda: _train(dsprites),
    )
    share = best["gather"] / best["train"]
    print(f"gathering's share of a step: {share:.4f}")
    assert share < 0.03
