"""Trains one run on one device: the loop that every method shares."""

import ctypes
import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.datasets.base import FactorDataset
from benchmark.spec import RunSpec
from methods.base import Method, Optimiser, Player, Terms

HISTORY_ROWS = 100  # about as many, however long the training
REPORT_STEPS = 20  # between looks at the loss, each of which waits for the device
FUSED = {"Adam", "AdamW"}  # optimisers whose fused step runs on every device

Report = Callable[[int, float], None]  # step, loss


class DivergenceError(RuntimeError):
    """A loss became infinite or nan."""


@dataclass
class Training:
    """A trained model and how it came about.

    Attributes:
        history: rows of step, loss and the losses' other terms, each the mean since the row before.
        steps_per_second: over the whole training, first steps included.
    """

    method: Method
    networks: nn.ModuleDict
    history: list[dict[str, float]]
    steps_per_second: float
    precision: str


def stream(seed: int, purpose: str) -> int:
    """The 63-bit seed of the random stream for one purpose: a function of the run's seed alone."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def build(spec: RunSpec, image_shape: tuple[int, int, int]) -> tuple[Method, nn.ModuleDict]:
    """The run's method and its untrained networks, on the CPU; global random state is left as it was."""
    protocol = spec.protocol
    method = spec.method_class(image_shape, protocol.latents, protocol.architecture)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(stream(spec.seed, "init"))
        networks = nn.ModuleDict(method.build())
    for network in networks.values():
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return method, networks


def choose_device(wanted: str = "auto") -> torch.device:
    """The device of that name; "auto" is CUDA where there is one."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted)


def choose_precision(device: torch.device) -> str:
    """Give "bf16" where the processor or GPU multiplies bf16 in hardware, which is faster there, else "fp32"."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return "bf16" if native() else "fp32"


def callable_networks(networks: nn.ModuleDict, precision: str) -> dict[str, Callable[[Tensor], Tensor]]:
    """The networks as methods see them: products in `precision`, results in float32."""
    return {name: _in_precision(module, precision) for name, module in networks.items()}


def _in_precision(module: nn.Module, precision: str) -> Callable[[Tensor], Tensor]:
    def call(inputs: Tensor) -> Tensor:
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=precision == "bf16"):
            return module(inputs).float()

    return call


def train(
    spec: RunSpec, dataset: FactorDataset, precision: str | None = None, report: Report | None = None
) -> Training:
    """Train the run's method on the data set's device.

    Args:
        precision: "bf16", "fp32", or None for `choose_precision`.
        report: called with the step and the loss every few steps.

    Raises:
        DivergenceError: a loss is infinite or nan.
    """
    keep_memory()
    device, protocol = dataset.device, spec.protocol
    precision = precision or choose_precision(device)
    method, networks = build(spec, dataset.image_shape)
    networks.to(device).train()
    called = callable_networks(networks, precision)
    hyperparameters = spec.resolve_hyperparameters()
    players = {name: _Turn(player, networks, protocol.optimiser) for name, player in method.players().items()}
    batches = torch.Generator(device).manual_seed(stream(spec.seed, "batches"))
    noises = torch.Generator(device).manual_seed(stream(spec.seed, "noise"))
    shapes = method.noise_shapes(protocol.batch)
    history = _History(max(1, protocol.steps // HISTORY_ROWS), report)

    began = time.perf_counter()
    for step in range(protocol.steps):
        indices = torch.randint(len(dataset), (protocol.batch,), generator=batches, device=device)
        images = dataset.images(indices)
        terms: Terms = {}
        for name, turn in players.items():
            noise = {key: torch.randn(shape, generator=noises, device=device) for key, shape in shapes.items()}
            outcome = turn.player.loss(called, images, noise, hyperparameters, step)
            turn.take(outcome["loss"])
            terms |= {f"{name}_{key}": term for key, term in outcome.items()} if terms else outcome
        history.add(step + 1, terms, last=step + 1 == protocol.steps)
    seconds = time.perf_counter() - began
    return Training(method, networks.eval(), history.rows, protocol.steps / seconds, precision)


class _Turn:
    """One player's part of a step: its gradients, its optimiser."""

    def __init__(self, player: Player, networks: nn.ModuleDict, protocol: Optimiser) -> None:
        self.player = player
        self.parameters = [p for name in player.networks for p in networks[name].parameters()]
        chosen = player.optimiser or protocol
        fused = {"fused": True} if chosen.name in FUSED else {}
        self.optimiser = getattr(torch.optim, chosen.name)(self.parameters, lr=chosen.lr, **chosen.options, **fused)

    def take(self, loss: Tensor) -> None:
        # Gradients of this player's networks alone: its loss may pass through others'.
        for parameter, gradient in zip(self.parameters, torch.autograd.grad(loss, self.parameters), strict=True):
            parameter.grad = gradient
        self.optimiser.step()


class _History:
    """Means of the logged terms over intervals, with few transfers from the device."""

    def __init__(self, interval: int, report: Report | None) -> None:
        self.rows: list[dict[str, float]] = []
        self.interval, self.report = interval, report
        self.sums: dict[str, Tensor] = {}
        self.count = 0

    def add(self, step: int, terms: Terms, last: bool) -> None:
        for name, term in terms.items():
            self.sums[name] = self.sums[name] + term.detach() if name in self.sums else term.detach()
        self.count += 1
        if last or step % REPORT_STEPS == 0:
            self._look(step)
        if last or step % self.interval == 0:
            means = flatten_terms({name: total / self.count for name, total in self.sums.items()})
            self.rows.append({"step": step} | means)
            self.sums, self.count = {}, 0

    def _look(self, step: int) -> None:
        loss = float(self.sums["loss"] / self.count)
        if not math.isfinite(loss):
            raise DivergenceError(f"the loss is {loss} by step {step}")
        if self.report:
            self.report(step, loss)


def flatten_terms(terms: dict[str, Any]) -> dict[str, float]:
    """Plain numbers by name; the entries of a vector are `<name>_0`, `<name>_1`, ..."""
    flat: dict[str, float] = {}
    for name, term in terms.items():
        values = term.tolist()
        flat |= {f"{name}_{j}": v for j, v in enumerate(values)} if isinstance(values, list) else {name: values}
    return flat


def keep_memory() -> None:
    """Ask glibc to keep freed memory: a step's large arrays otherwise cost a page fault a page, every step.

    Training is about a fifth faster on the CPU for it. Elsewhere than on glibc nothing happens.
    """
    mmap_threshold, trim_threshold = -3, -1  # names in malloc.h: M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(mmap_threshold, 32 << 20)
    mallopt(trim_threshold, 1 << 30)
