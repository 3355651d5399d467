"""Trains runs on one device: the loop that every method shares."""

import ctypes
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmark.datasets.base import FactorDataset
from benchmark.datasets.contract import OUT_OF_MEMORY
from benchmark.datasets.populations import population_of
from benchmark.errors import DamagedError, UsageError, blaming, one_line
from benchmark.spec import RunSpec
from benchmark.training.capture import Captured
from benchmark.training.checkpoint import Checkpoint
from benchmark.training.draws import Draws, objection
from benchmark.training.layers import Products
from benchmark.training.optimisers import Descent, make_optimiser
from benchmark.training.pack import Alone, Stacked, state_dtype
from methods.base import Method, Optimiser, Player, Terms, structure_of

HISTORY_ROWS = 100  # about as many, however long the training
REPORT_STEPS = 20  # between looks at the loss, each of which waits for the device
BAD = "bad from"  # among the running sums of a checkpoint
RECORDED = frozenset(("cuda",))  # kinds of devices on which a step is recorded and replayed

Report = Callable[[int, float], None]  # step, loss
PackReport = Callable[[int, list[float]], None]  # step, each run's loss
Save = Callable[[int, Callable[[], list[Checkpoint]]], None]  # step, what makes the runs' checkpoints


class DivergenceError(RuntimeError):
    """A loss became infinite or nan."""


@dataclass
class Training:
    """A trained model and how it came about.

    Attributes:
        history: rows of step, loss and the losses' other terms, each the mean since the row before;
            none where the method is fitted in closed form.
        seconds: that the pack's training took, first steps included.
        pack: the number of runs that were trained together.
        note: what is worth knowing of how it was trained, in one line.
    """

    method: Method
    networks: nn.ModuleDict
    history: list[dict[str, float]]
    seconds: float
    precision: str
    pack: int = 1
    note: str = ""


def stream(seed: int, purpose: str) -> int:
    """The 63-bit seed of the random stream for one purpose: a function of the run's seed alone."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def make_method(spec: RunSpec, dataset: FactorDataset) -> Method:
    """The run's method, for images and factors as the data set's."""
    protocol, images = spec.protocol, len(dataset)
    with blaming_method(spec):
        return spec.method_class(
            image_shape=dataset.image_shape,
            latents=protocol.latents,
            architecture=protocol.architecture,
            factor_sizes=dataset.factor_sizes,
            images=images,
            likelihood=protocol.likelihood,
            steps=protocol.steps,
            structure=structure_of(spec.resolve_hyperparameters()),
        )


@contextmanager
def blaming_method(spec: RunSpec) -> Iterator[None]:
    """Tell in one sentence whatever the run's method raises in the block."""
    where = f"{spec.method} on {spec.dataset}"
    try:
        with blaming(f"{where}: it breaks", ValueError, *OUT_OF_MEMORY):
            yield
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(one_line(f"{where}: {str(error).rstrip('.')}.")) from error


def build(spec: RunSpec, dataset: FactorDataset) -> tuple[Method, nn.ModuleDict]:
    """The run's method and its untrained networks, on the CPU; global random state is left as it was.

    Raises:
        UsageError: the networks do not take such images.
    """
    method = make_method(spec, dataset)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(stream(spec.seed, "init"))
        with blaming_method(spec):
            networks = nn.ModuleDict(method.build())
    for network in networks.values():
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return method, networks


def find_objection(spec: RunSpec, dataset: FactorDataset) -> str:
    """Why the method does not apply to the data set, in one sentence; empty where it does. Nothing is trained.

    Raises:
        UsageError: its networks do not take such images, or there is no optimiser as its players ask for.
    """
    method, networks = build(spec, dataset)
    with blaming_method(spec):
        for player in method.players().values():
            parameters = [value for name in player.networks for value in networks[name].parameters()]
            make_optimiser(player.optimiser or spec.protocol.optimiser, parameters)
        return objection_to(method, dataset)


def objection_to(method: Method, dataset: FactorDataset) -> str:
    """Why the method does not apply to the data set, in one sentence; empty where it does."""
    return method.objection() or objection(method.batches(), dataset)


def choose_device(wanted: str = "auto") -> torch.device:
    """The device of that name; "auto" is CUDA where there is one."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted)


def choose_precision(device: torch.device) -> str:
    """Give "bf16" where the processor or GPU multiplies bf16 in hardware, which is faster there, else "fp32".

    The environment's DISENTANGLEMENT_PRECISION goes first, as two machines compare in the same one only.

    Raises:
        UsageError: the environment asks for anything else than the two.
    """
    wanted = os.environ.get("DISENTANGLEMENT_PRECISION")
    if wanted:
        if wanted not in ("bf16", "fp32"):
            raise UsageError(f"DISENTANGLEMENT_PRECISION is {wanted!r}; it takes bf16 or fp32.")
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return "bf16" if native() else "fp32"


def train(
    spec: RunSpec, dataset: FactorDataset, precision: str | None = None, report: Report | None = None
) -> Training:
    """Train one run on the data set's device.

    Args:
        precision: "bf16", "fp32", "fp64", or None for `choose_precision`.
        report: called with the step and the loss every few steps.

    Raises:
        DivergenceError: a loss is infinite or nan.
    """
    (outcome,) = train_pack([spec], dataset, precision, report and (lambda step, losses: report(step, losses[0])))
    if isinstance(outcome, DivergenceError):
        raise outcome
    return outcome


def train_pack(
    specs: Sequence[RunSpec],
    dataset: FactorDataset,
    precision: str | None = None,
    report: PackReport | None = None,
    products: Products = "grouped",
    resume: Sequence[Checkpoint] | None = None,
    save: Save | None = None,
    stacked: bool | None = None,
) -> list[Training | DivergenceError]:
    """Train runs that differ in seed and numeric hyperparameters together, on the data set's device.

    Each run's initial weights, batches and noise are those that it has alone. One that diverges
    goes on without disturbing the others, and its error stands in its place. What is fitted in
    closed form is fitted one after the other.

    Raises:
        UsageError: the method cannot be trained on the data set (see `find_objection`).
        DamagedError: what is to be resumed does not fit the method.

    Args:
        report: called with the step and each run's loss every few steps.
        products: how stacked convolutions are computed.
        resume: where each run stands, all after the same number of steps; without it they begin.
        stacked: whether the method is mapped over the runs, as several always are; None: also one on a GPU, for the
            sake of a recorded step.
        save: called after each step but the last with its number and a function that gives every run's
            checkpoint; a training that goes on from them ends, on a CPU, as one that never stopped.
    """
    methods, networks = zip(*(build(spec, dataset) for spec in specs), strict=True)
    if reason := objection_to(methods[0], dataset):
        raise UsageError(reason)
    if not methods[0].players():
        return [fit(*run, dataset) for run in zip(specs, methods, networks, strict=True)]
    keep_memory()
    if stacked is None:
        stacked = len(specs) > 1 or dataset.device.type != "cpu"
    with denormals_flushed():
        loop = _Loop(specs, methods, networks, dataset, precision, products if stacked else None)
        return loop.run(report, resume, save)


class _Loop:
    """A pack in training: what is moved by a step, and what a step draws on."""

    def __init__(
        self,
        specs: Sequence[RunSpec],
        methods: Sequence[Method],
        networks: Sequence[nn.ModuleDict],
        dataset: FactorDataset,
        precision: str | None,
        products: Products | None,
    ) -> None:
        device, protocol = dataset.device, specs[0].protocol
        self.methods, self.dataset, self.steps = methods, dataset, protocol.steps
        self.precision = precision or choose_precision(device)
        self.dtype = state_dtype(self.precision)
        for own in networks:
            own.to(device, self.dtype).train()
        hyperparameters = [spec.resolve_hyperparameters() for spec in specs]
        self.engine: Alone | Stacked
        if products is None:
            self.engine = Alone(networks[0], hyperparameters[0], self.precision)
        else:
            self.engine = Stacked(networks, hyperparameters, self.precision, products)
        batches, noises = (
            [torch.Generator().manual_seed(stream(spec.seed, use)) for spec in specs] for use in ("batches", "noise")
        )
        self.draws = Draws(methods[0], batches, noises, dataset, protocol.batch, self.dtype, device)
        players = methods[0].players().items()
        self.turns = {name: _Turn(player, self.engine, protocol.optimiser) for name, player in players}
        self.history = _History(len(specs), device, max(1, self.steps // HISTORY_ROWS))
        self.clock = torch.zeros((), dtype=torch.long, device=device)  # the step, which a captured step counts itself
        self.seconds = 0.0

    def run(
        self, report: PackReport | None, resume: Sequence[Checkpoint] | None, save: Save | None
    ) -> list[Training | DivergenceError]:
        if resume:
            try:
                self.restore(resume)
            except (KeyError, IndexError, RuntimeError) as error:
                raise DamagedError(f"the checkpoint does not fit this method: {error}") from error
        replayed = self.clock.device.type in RECORDED and all(turn.descent.replayable for turn in self.turns.values())
        take_step = Captured(self.advance) if replayed else self.advance
        began = time.perf_counter() - self.seconds
        for step in range(int(self.clock), self.steps):
            take_step(*self.draws.of_step(step))
            self.history.look(step + 1, last=step + 1 == self.steps, report=report)
            self.seconds = time.perf_counter() - began
            if self.history.all_diverged:
                break
            if save and step + 1 < self.steps:
                save(step + 1, self.checkpoints)
        runs, note = len(self.methods), take_step.note if isinstance(take_step, Captured) else ""
        trained = zip(self.methods, self.engine.models(), self.history.rows, strict=True)
        return [
            error or Training(method, model.eval(), rows, self.seconds, self.precision, runs, note)
            for error, (method, model, rows) in zip(self.history.errors, trained, strict=True)
        ]

    def advance(self, places: Tensor, noise: dict[str, dict[str, Tensor]]) -> None:
        """One step of every player."""
        images = self.dataset.at(places.flatten()).to(self.dtype)
        images = images.view(*places.shape, *self.dataset.image_shape)
        terms: Terms = {}
        for name, turn in self.turns.items():
            outcome = self.engine.losses(turn.player, images, noise[name], self.clock)
            # Runs do not share parameters, so that the sum of their losses has each one's own gradients.
            turn.descent.step(self.engine.gradients(outcome["loss"].sum(), turn.player.networks))
            terms |= {f"{name}_{key}": term for key, term in outcome.items()} if terms else outcome
        self.engine.end_step()
        self.history.add(self.clock, terms)
        self.clock.add_(1)

    def checkpoints(self) -> list[Checkpoint]:
        """Where each run stands."""
        step = int(self.clock)
        states = self.draws.states(step)
        return [
            Checkpoint(
                step,
                {f"network/{name}": value for name, value in self.engine.tensors(run).items()}
                | {
                    f"optimiser/{name}/{key}": value
                    for name, turn in self.turns.items()
                    for key, value in turn.descent.tensors(run).items()
                }
                | {f"stream/{name}": value for name, value in states[run].items()}
                | {f"sum/{name}": value for name, value in self.history.sums_of(run).items()},
                self.history.rows[run],
                self.history.count,
                self.seconds,
            )
            for run in range(len(self.methods))
        ]

    def restore(self, runs: Sequence[Checkpoint]) -> None:
        """Put every run where its checkpoint says; all are of one step."""
        first = runs[0]
        self.clock.fill_(first.step)
        self.seconds = first.seconds
        for name, turn in self.turns.items():
            turn.descent.restore([run.under(f"optimiser/{name}/") for run in runs])
        self.engine.restore([run.under("network/") for run in runs])
        self.draws.restore(first.step, [run.under("stream/") for run in runs])
        self.history.restore([run.under("sum/") for run in runs], [run.rows for run in runs], first.count)


def fit(spec: RunSpec, method: Method, networks: nn.ModuleDict, dataset: FactorDataset) -> Training:
    """Fit one run of a method in closed form, on random images; global random state is left as it was."""
    device = dataset.device
    generator = torch.Generator().manual_seed(stream(spec.seed, "batches"))
    places = dataset.draw(population_of(dataset).draw(method.fitted_images, generator), generator)
    began = time.perf_counter()
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
        method.fit(dict(networks.to(device)), dataset.at(places), stream(spec.seed, "fit"))
    return Training(method, networks.eval(), [], time.perf_counter() - began, "fp32")


class _Turn:
    """One player's part of a step: its loss, and the descent of its own networks' parameters along it."""

    def __init__(self, player: Player, engine: Alone | Stacked, protocol: Optimiser) -> None:
        self.player = player
        parameters = engine.parameters(player.networks)
        self.descent = Descent(player.optimiser or protocol, parameters, isinstance(engine, Stacked))


class _History:
    """Means of each run's logged terms over intervals, and where its loss ceased to be a number."""

    def __init__(self, runs: int, device: torch.device, interval: int) -> None:
        self.rows: list[list[dict[str, float]]] = [[] for _ in range(runs)]
        self.errors: list[DivergenceError | None] = [None] * runs
        self.interval = interval
        self.sums: dict[str, Tensor] = {}  # updated in place, as a captured step needs it
        self.bad = torch.zeros(runs, dtype=torch.long, device=device)  # the first step of a bad loss, from 1
        self.count = 0

    @property
    def all_diverged(self) -> bool:
        return all(self.errors)

    def add(self, step: Tensor, terms: Terms) -> None:
        for name, term in terms.items():
            if name not in self.sums:
                self.sums[name] = torch.zeros_like(term)
            self.sums[name] += term.detach()
        first = (self.bad == 0) & ~terms["loss"].detach().isfinite()
        self.bad += first * (step + 1)

    def look(self, step: int, last: bool, report: PackReport | None) -> None:
        """After a step: tell and keep what is due; only then is the device waited for."""
        self.count += 1
        if last or step % REPORT_STEPS == 0:
            self._tell(step, report)
        if last or step % self.interval == 0:
            means = flatten_terms({name: total / self.count for name, total in self.sums.items()})
            for rows, own in zip(self.rows, means, strict=True):
                rows.append({"step": step} | own)
            for total in self.sums.values():
                total.zero_()
            self.count = 0

    def _tell(self, step: int, report: PackReport | None) -> None:
        for run, bad in enumerate(self.bad.tolist()):
            if bad and not self.errors[run]:
                self.errors[run] = DivergenceError(f"the loss is infinite or nan from step {bad} on")
        if report:
            report(step, (self.sums["loss"] / self.count).tolist())

    def sums_of(self, run: int) -> dict[str, Tensor]:
        """One run's running sums, and where its loss went bad."""
        return {name: value[run] for name, value in (self.sums | {BAD: self.bad}).items()}

    def restore(
        self, sums: Sequence[Mapping[str, Tensor]], rows: Sequence[Sequence[Mapping[str, float]]], count: int
    ) -> None:
        stacked = {name: torch.stack([own[name] for own in sums]).to(self.bad.device) for name in sums[0]}
        self.bad.copy_(stacked.pop(BAD))
        self.sums = stacked
        self.rows = [[dict(row) for row in own] for own in rows]
        self.count = count


def flatten_terms(terms: Mapping[str, Tensor]) -> list[dict[str, float]]:
    """Each run's plain numbers from terms (runs,) or (runs, D), whose entries are `<name>_0`, `<name>_1`, ..."""
    flat: dict[str, list[float]] = {}
    for name, term in terms.items():
        columns = {name: term} if term.ndim == 1 else {f"{name}_{j}": term[:, j] for j in range(term.shape[1])}
        flat |= {key: column.tolist() for key, column in columns.items()}
    return [dict(zip(flat, own, strict=True)) for own in zip(*flat.values(), strict=True)]


@contextmanager
def denormals_flushed() -> Iterator[None]:
    """Within it, numbers too small to be normal, below 1e-38 in float32, are 0 to this thread and those it starts.

    An optimiser's means of gradients that have become 0, as those of pixels that are always black, decay to such
    numbers, with which some processors compute a hundred times as slowly: a step took twice its time by the end.
    """
    before = not torch.full((1,), 1e-40).mul(1.0).any()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


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
