"""Prints the speed of packs of runs beside a plain loop, the device's floor and, on a CPU, other trainers.

Run by hand from the project's root, on whatever device there is:

    python -m tests.benchmarks.packs [--runs 1,4,16,64] [--without-trainers]

Speeds are of steady steps: the time of a longer training less that of a shorter one. The floor is the
arithmetic of forward and backward passes over the device's rate on large matrix products, measured in
the same run and precision. On a CPU, beta-VAEs with the same convolutional network and batch are timed
in turn under pythae's and disent's own trainers where they are installed; in an environment of its own:

    python -m venv --system-site-packages peers   # made from the one that has this project
    peers/bin/pip install --no-deps pythae disent lightning pytorch-lightning torchmetrics lightning-utilities
    peers/bin/pip install pydantic imageio tqdm h5py requests torchvision   # the torchvision of your torch; disent 0.9
                                                                            # wants Python 3.12, 0.8 takes 3.11
    peers/bin/python -m tests.benchmarks.packs
"""

import argparse
import importlib.util
import logging
import multiprocessing
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmark import datasets
from benchmark.datasets.base import FactorDataset
from benchmark.spec import RunSpec
from benchmark.training.harness import build, choose_device, choose_precision, train_pack
from benchmark.training.pack import callable_networks
from benchmark.training.planner import memory_of_run

BATCH, LATENTS = 64, 10
FULL_TRAINING = 300_000  # steps
PRESETS = {"locatello2019": "standard", "higgins2017": "higgins2017"}
LINE = "{:<34} {:>12} {:>16} {:>12}"


def seconds_a_step(train: Callable[[int], object], short: int, long: int) -> float:
    """The time of a steady step: what a longer training takes beyond a shorter one, caches warm."""
    train(short)
    seconds = []
    for steps in (short, long):
        began = time.perf_counter()
        train(steps)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return (seconds[1] - seconds[0]) / (long - short)


def pack_of(runs: int, preset: str, steps: int, dataset: FactorDataset) -> list[RunSpec]:
    grid = (1.0, 2.0, 4.0, 6.0, 8.0, 16.0)
    return [
        RunSpec("betavae", {"beta": grid[i % len(grid)]}, dataset.name, preset, i // len(grid), steps)
        for i in range(runs)
    ]


def plain_loop(preset: str, dataset: FactorDataset, precision: str) -> Callable[[int], None]:
    """One model, one step after the other, as anybody writes it."""

    def train(steps: int) -> None:
        (spec,) = pack_of(1, preset, steps, dataset)
        method, networks = build(spec, dataset)
        networks.to(dataset.device)
        called = callable_networks(networks, precision)
        optimiser = torch.optim.Adam(networks.parameters(), lr=1e-4)
        hyperparameters = spec.resolve_hyperparameters()
        for step in range(steps):
            images = dataset.images(torch.randint(len(dataset), (BATCH,), device=dataset.device))
            noise = {"posterior": torch.randn(BATCH, LATENTS, device=dataset.device)}
            optimiser.zero_grad()
            terms = method.players()["model"].loss(called, images, noise, hyperparameters, torch.tensor(step))
            terms["loss"].backward()
            optimiser.step()

    return train


def arithmetic(preset: str, dataset: FactorDataset) -> float:
    """Floating-point operations of one step of one run, forward and backward."""
    (spec,) = pack_of(1, preset, 1, dataset)
    method, networks = build(spec, dataset)
    images, noise = torch.zeros(BATCH, *dataset.image_shape), {"posterior": torch.zeros(BATCH, LATENTS)}
    with FlopCounterMode(display=False) as counter:
        called = callable_networks(networks, "fp32")
        terms = method.players()["model"].loss(called, images, noise, spec.resolve_hyperparameters(), torch.tensor(0))
        terms["loss"].backward()
    return float(counter.get_total_flops())


def matrix_rate(device: torch.device, precision: str) -> float:
    """Floating-point operations a second on large matrix products, the best of several."""
    size = 8192 if device.type == "cuda" else 1536
    left, right = (torch.randn(size, size, device=device) for _ in range(2))
    if precision == "bf16":
        left, right = left.bfloat16(), right.bfloat16()
    best = min(seconds_a_step(lambda steps: [left @ right for _ in range(steps)], 2, 12) for _ in range(3))
    return 2 * size**3 / best


def memory_a_run(runs: int) -> str:
    return f"{torch.cuda.max_memory_allocated() / runs / 2**20:.0f} MiB a run" if torch.cuda.is_available() else ""


def show(name: str, images: float, runs: int, note: str = "") -> None:
    """Print a row: images a second, and the hours that a run's 300,000 steps then take, amortised."""
    minutes = FULL_TRAINING * BATCH / images / 60
    print(LINE.format(name, f"{images:,.0f}", f"{minutes:,.1f}", runs), note, flush=True)


def compare_packs(architecture: str, sizes: list[int], dataset: FactorDataset, precision: str) -> None:
    """Print the rows of one architecture."""
    preset, on_gpu = PRESETS[architecture], dataset.device.type == "cuda"
    plain = BATCH / seconds_a_step(plain_loop(preset, dataset, precision), *((100, 600) if on_gpu else (5, 35)))
    print(f"\n{architecture}, batches of {BATCH}, {precision}")
    memory = memory_of_run(pack_of(1, preset, 1, dataset)[0], dataset) / 2**20
    print(f"memory of a run, as the planner estimates it: {memory:.0f} MiB")
    print(LINE.format("", "images/s", "min. a training", "runs"))
    show("plain loop", plain, 1)
    for runs in sizes:
        for products in ("grouped", "unfolded") if runs > 1 and architecture == "locatello2019" else ("grouped",):
            steps = (40, 240) if on_gpu else (1, 3 if runs > 4 else 11)
            if on_gpu:
                torch.cuda.reset_peak_memory_stats()
            seconds = seconds_a_step(
                lambda steps, runs=runs, products=products: train_pack(
                    pack_of(runs, preset, steps, dataset), dataset, precision, products=products
                ),
                *steps,
            )
            rate = runs * BATCH / seconds
            name = f"pack, {products} convolutions" if runs > 1 and architecture == "locatello2019" else "pack"
            show(name, rate, runs, f"{rate / plain:.1f} x plain  {memory_a_run(runs)}")
    floor = matrix_rate(dataset.device, precision) / (arithmetic(preset, dataset) / BATCH)
    show("floor (matrix products)", floor, 1)


def compare_trainers(dataset: FactorDataset) -> None:
    """Print the rows of other libraries' trainers beside ours, each in processes of its own, taken in turn."""
    for name in PEERS:
        if not importlib.util.find_spec(name):
            print(f"{name} is not installed; this module's docstring says how.")
    names = ["ours, bf16", "ours, fp32", *filter(importlib.util.find_spec, PEERS)]
    print("\ntrainers, one beta-VAE, the best of three taken in turn")
    print(LINE.format("", "images/s", "min. a training", "runs"))
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(3):
        for name in names:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
                times[name].append(process.submit(seconds_of_trainer, name, dataset.name).result())
    fastest = min((min(times[name]) for name in names if name in PEERS), default=None)
    for name, own in times.items():
        show(name, BATCH / min(own), 1, f"{fastest / min(own):.2f} x the faster peer" if fastest else "")


def seconds_of_trainer(name: str, dataset_name: str) -> float:
    """The time of a step of that trainer on a CPU, on images held in memory."""
    torch.set_num_threads(1)
    dataset = datasets.load(dataset_name)
    if name in PEERS:
        return seconds_a_step(PEERS[name](dataset), 5, 65)
    precision = name.removeprefix("ours, ")
    return seconds_a_step(lambda steps: train_pack(pack_of(1, "standard", steps, dataset), dataset, precision), 5, 65)


def pythae_trainer(dataset: FactorDataset) -> Callable[[int], object]:
    from pythae.data.datasets import BaseDataset
    from pythae.models import BetaVAE, BetaVAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    logging.disable(logging.INFO)
    encoder, decoder = _networks(dataset)

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.network = encoder

        def forward(self, images: Any) -> Any:
            mean, log_variance = self.network(images).chunk(2, 1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.network = decoder

        def forward(self, codes: Any) -> Any:
            return ModelOutput(reconstruction=self.network(codes).sigmoid())

    def train(steps: int) -> None:
        images = dataset.images(torch.arange(steps * BATCH) % len(dataset))
        with tempfile.TemporaryDirectory() as folder:
            config = BaseTrainerConfig(
                output_dir=folder, per_device_train_batch_size=BATCH, num_epochs=1, learning_rate=1e-4, no_cuda=True
            )
            shape = {"input_dim": dataset.image_shape, "latent_dim": LATENTS}
            model = BetaVAE(BetaVAEConfig(**shape, beta=4.0, reconstruction_loss="bce"), Encoder(), Decoder())
            BaseTrainer(model, BaseDataset(images, torch.zeros(len(images))), training_config=config).train()

    return train


def disent_trainer(dataset: FactorDataset) -> Callable[[int], object]:
    import lightning
    from disent.frameworks.vae import BetaVae
    from disent.model import AutoEncoder
    from disent.model.ae import DecoderConv64, EncoderConv64

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")

    def train(steps: int) -> None:
        images = dataset.images(torch.arange(steps * BATCH) % len(dataset))
        batches = torch.utils.data.DataLoader([{"x_targ": (image,)} for image in images], BATCH, shuffle=True)
        model = AutoEncoder(
            encoder=EncoderConv64(x_shape=dataset.image_shape, z_size=LATENTS, z_multiplier=2),
            decoder=DecoderConv64(x_shape=dataset.image_shape, z_size=LATENTS),
        )
        config = BetaVae.cfg(optimizer="adam", optimizer_kwargs={"lr": 1e-4}, recon_loss="bce", beta=0.01)
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        trainer = lightning.Trainer(max_epochs=1, accelerator="cpu", enable_model_summary=False, **quiet)
        trainer.fit(BetaVae(model=model, cfg=config), batches)

    return train


PEERS = {"pythae": pythae_trainer, "disent": disent_trainer}


def _networks(dataset: FactorDataset) -> tuple[torch.nn.Module, torch.nn.Module]:
    _, networks = build(pack_of(1, PRESETS["locatello2019"], 1, dataset)[0], dataset)
    return networks["encoder"], networks["decoder"]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="The speed of packs.")
    parser.add_argument("--runs", default="1,4,16,64", help="sizes of packs")
    parser.add_argument("--architectures", default=",".join(PRESETS))
    parser.add_argument("--without-trainers", action="store_true", help="leave other libraries' trainers out")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dataset", default="dsprites")
    options = parser.parse_args()
    device = choose_device(options.device)
    torch.set_num_threads(1)
    os.environ["TQDM_DISABLE"] = "1"
    precision, dataset = choose_precision(device), datasets.load(options.dataset, str(device))
    dataset.prepare()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, one thread"
    print(f"{name}; torch {torch.__version__}; {dataset.name}")
    if device.type == "cpu" and not options.without_trainers:
        compare_trainers(dataset)
    for architecture in filter(None, options.architectures.split(",")):
        compare_packs(architecture, [int(runs) for runs in options.runs.split(",")], dataset, precision)


if __name__ == "__main__":
    main()
