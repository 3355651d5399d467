"""What half an hour with a GPU can tell, in five parts, each line printed as it is found and kept in DIR/report.md.

Run by hand from the project's root:

    python -m tests.benchmarks.gpu [--device cuda] [--out results/gpu] [--minutes 30] [--parts 1,4] [--small]

1. Every trained method, ten steps of 2 and of 64 runs, which a GPU records and replays, beside the CPU's.
2. One step of 64 beta-VAEs, by its kernels.
3. The network's heaviest convolutions: grouped or unfolded, images by channels or by pixels, cuDNN's own search or not.
4. Images a second of packs of 1, 4, 16 and 64 runs, beside the device's floor.
5. For the time that is left the study's protocol on beta 1,2,4,6,8,16 with five seeds, into DIR/standard: broken off in
   time with its checkpoints kept. The same command goes on with it.

What breaks is told in a line and the rest goes on. `--small` rehearses all of it on any device.
"""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.profiler import ProfilerActivity, profile

from benchmark import datasets
from benchmark.checks import NEAR, RECORDED_STEPS, distances
from benchmark.datasets.base import FactorDataset
from benchmark.errors import UsageError, one_line
from benchmark.options import HelpShown, Parser, check_writable, read_device, read_items, read_out, read_whole
from benchmark.running.isolation import call_isolated
from benchmark.spec import RunSpec
from benchmark.training.harness import DivergenceError, _Loop, build, choose_device, choose_precision, train_pack
from benchmark.training.layers import use_products
from tests.benchmarks.packs import compare_packs, pack_of, seconds_a_step
from tests.benchmarks.steps import trained_methods

ROOT = Path(__file__).parents[2]
KERNELS = 25  # that are shown of a step
GRACE_SECONDS = 45  # before the time is up, for the sweep to keep its checkpoints
GRACE_SHARE = 0.1  # of the whole time, at most
COMPARED = "{:<16} {:>4} {:<5} {}"
TIMED = "{:<44} {:<9} {:<9} {:>10} {:>10}"


@dataclass(frozen=True)
class Scale:
    """How much of everything.

    Attributes:
        compared: precision and runs of the packs that are set beside the CPU's runs, for so many `steps`.
        runs: in the step that is followed and in the convolutions.
        batch, layers, calls: images a run, layers and calls of the convolutions.
        sizes, architectures: of the packs that are timed.
        sweep: the options of part 5 beside device and folder.
    """

    dataset: str
    methods: Sequence[str]
    compared: Sequence[tuple[str, int]]
    steps: int
    runs: int
    batch: int
    layers: int
    calls: int
    sizes: Sequence[int]
    architectures: Sequence[str]
    sweep: Sequence[str]


SWEEP = ("--methods", "betavae", "--preset", "standard")
FULL = Scale(
    dataset="dsprites",
    methods=(),
    compared=(("fp64", 2), ("fp32", 2), ("fp32", 64)),
    steps=RECORDED_STEPS,
    runs=64,
    batch=64,
    layers=4,
    calls=20,
    sizes=(1, 4, 16, 64),
    architectures=("locatello2019", "higgins2017"),
    sweep=(*SWEEP, "--betas", "1,2,4,6,8,16", "--seeds", "0-4"),
)
SMALL = Scale(
    dataset="dsprites_mini",
    methods=("vae",),
    compared=(("fp32", 2),),
    steps=2,
    runs=2,
    batch=4,
    layers=1,
    calls=1,
    sizes=(1,),
    architectures=("locatello2019",),
    sweep=(
        *(*SWEEP, "--datasets", "dsprites_mini", "--betas", "4", "--seeds", "0"),
        *("--steps", "4", "--metrics", "mig", "--checkpoint", "0"),
    ),
)


@dataclass(frozen=True)
class Visit:
    """One half hour: the device, how much is asked of it, and when it ends."""

    scale: Scale
    device: torch.device
    out: Path
    ends: float
    grace: float

    @property
    def left(self) -> float:
        """Seconds until all is to be stopped."""
        return self.ends - self.grace - time.monotonic()

    def dataset(self) -> FactorDataset:
        return datasets.load(self.scale.dataset, str(self.device))


class Kept:
    """What is printed, on the screen and at the end of a file, each line as it comes."""

    def __init__(self, screen: TextIO, path: Path) -> None:
        self.screen, self.path = screen, path

    def write(self, text: str) -> int:
        self.screen.write(text)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text)
        return len(text)

    def flush(self) -> None:
        self.screen.flush()


# --- the parts: each prints ------------------------------------------------------------------------


def compare_methods(visit: Visit) -> None:
    """Part 1."""
    if visit.device.type == "cpu":
        print("On a CPU nothing is recorded: stacked runs beside the same alone.")
    print("Of the first and last run: losses as a part of their size, weights of the way that they went.")
    for name in visit.scale.methods or trained_methods():
        if visit.left < 0:
            print(f"time is up before {name}")
            return
        # In a process of its own, as a failed recording may leave one unfit for another.
        asked = (visit.scale, str(visit.device), name)
        ending = call_isolated(compare, asked, visit.out / f"{name}-log.txt", visit.left)
        for told in [*ending.told, *filter(None, [f"{name:<16} FAILS: {ending.reason}" * bool(ending.reason)])]:
            print(told, flush=True)


def compare(scale: Scale, device: str, method: str) -> Iterator[str]:
    """A line for each pack of the method on the device, beside its first and last run alone on the CPU."""
    torch.backends.cudnn.allow_tf32 = False
    for precision, runs in scale.compared:
        specs = [RunSpec(method, {}, scale.dataset, "standard", seed, scale.steps) for seed in range(runs)]
        told = attempt(partial(compare_pack, specs, device, precision))
        yield COMPARED.format(method, runs, precision, told)


def compare_pack(specs: Sequence[RunSpec], device: str, precision: str) -> str:
    """How far a pack's first and last run are from the same alone on the CPU."""
    data, there = (datasets.load(specs[0].dataset, place) for place in ("cpu", device))
    trained = train_pack(specs, there, precision, stacked=True)
    near, told, note = True, [], ""
    for spec, ours in ((specs[0], trained[0]), (specs[-1], trained[-1])):
        (alone,) = train_pack([spec], data, precision, stacked=False)
        if isinstance(ours, DivergenceError):
            raise ours
        if isinstance(alone, DivergenceError):
            raise alone
        note = ours.note
        apart = distances(ours, alone, build(spec, data)[1])
        near &= all(value <= most for value, most in zip(apart, NEAR[precision], strict=True))
        told.append("losses {:.1e}, weights {:.1e}".format(*apart))
    told[0] = f"{'agrees' if near else 'DIFFERS'}: {told[0]}"
    return "; ".join(filter(None, [*told, note]))


def profile_step(visit: Visit) -> None:
    """Part 2."""
    dataset, on_gpu = visit.dataset(), visit.device.type == "cuda"
    loop = loop_of_pack(visit, dataset)
    for step in range(3):
        loop.advance(*loop.draws.of_step(step))
    drawn = loop.draws.of_step(3)
    with profile(activities=[ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * on_gpu]) as profiled:
        loop.advance(*drawn)
        settle(visit.device)
    kind = visit.device.type.upper()
    times = [
        (event.self_device_time_total if on_gpu else event.self_cpu_time_total, event.count, event.key)
        for event in profiled.key_averages()
        if event.device_type.name == kind and not event.is_user_annotation
    ]
    total = sum(own for own, *_ in times)
    called = sum(count for _, count, _ in times)
    print(
        f"{visit.scale.runs} runs, {loop.precision}: {called} calls, {total / 1e3:.2f} ms of {visit.device.type} time"
    )
    for own, count, name in sorted(times, reverse=True)[:KERNELS]:
        print(f"{own / 1e3:9.3f} ms {own / total:6.1%} {count:5} x {name[:120]}")


def loop_of_pack(visit: Visit, dataset: FactorDataset) -> _Loop:
    """A pack of beta-VAEs, ready to step."""
    specs = pack_of(visit.scale.runs, "standard", RECORDED_STEPS, dataset)
    methods, networks = zip(*(build(spec, dataset) for spec in specs), strict=True)
    return _Loop(specs, methods, networks, dataset, choose_precision(dataset.device), "grouped")


def time_convolutions(visit: Visit) -> None:
    """Part 3."""
    precision = choose_precision(visit.device)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    print(f"{visit.scale.runs} runs, batches of {visit.scale.batch}, {precision}, ms a call")
    print(TIMED.format("", "products", "images", "as it is", "searched"))
    for layer, shape in heaviest(visit.dataset(), visit.scale.layers):
        layer = layer.to(visit.device, dtype)
        for products, pixels in product(("grouped", "unfolded"), (False, True)):
            times = []
            for searched in (False, True):
                torch.backends.cudnn.benchmark = searched
                try:
                    call = call_of(visit, layer, products, shape, pixels)
                    times.append(attempt(partial(timed, visit, call)))
                finally:
                    torch.backends.cudnn.benchmark = False
            print(TIMED.format(told_of(layer, shape), products, "NHWC" if pixels else "NCHW", *times), flush=True)


Convolution = nn.Conv2d | nn.ConvTranspose2d


def heaviest(dataset: FactorDataset, number: int) -> list[tuple[Convolution, tuple[int, ...]]]:
    """The convolutions of most multiplications, with the shapes (C, H, W) that they take."""
    found: list[tuple[float, Convolution, tuple[int, ...]]] = []

    def look(layer: Any, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        places = (inputs[0] if isinstance(layer, nn.ConvTranspose2d) else outputs).shape[2:].numel()
        found.append((layer.weight.numel() * places, layer, tuple(inputs[0].shape[1:])))

    (spec,) = pack_of(1, "standard", 1, dataset)
    _, networks = build(spec, dataset)
    for layer in networks.modules():
        if isinstance(layer, Convolution):
            layer.register_forward_hook(look)
    codes = networks["encoder"](torch.zeros(1, *dataset.image_shape)).chunk(2, 1)[0]
    networks["decoder"](codes)
    for layer in networks.modules():
        layer._forward_hooks.clear()
    return [(layer, shape) for _, layer, shape in sorted(found, key=lambda each: -each[0])[:number]]


def call_of(
    visit: Visit, layer: Convolution, products: Any, shape: tuple[int, ...], pixels: bool
) -> Callable[[], object]:
    """Outputs and gradients of as many models of the layer as there are runs."""
    runs, batch, (channels, *sides) = visit.scale.runs, visit.scale.batch, shape
    given: dict[str, Any] = {"device": visit.device, "dtype": layer.weight.dtype}
    # As a pack's convolution finds them: its channels are those of all runs.
    if pixels:
        images = torch.randn(batch, *sides, runs, channels, **given).permute(3, 0, 4, 1, 2)
    else:
        images = torch.randn(batch, runs, channels, *sides, **given).transpose(0, 1)
    images.requires_grad_()
    state = {name: value.detach().expand(runs, *value.shape).clone() for name, value in layer.named_parameters()}
    weights = [value.requires_grad_() for value in state.values()]
    use_products(layer, products)

    def call() -> object:
        outputs = vmap(lambda own, seen: functional_call(layer, own, (seen,)))(state, images)
        return torch.autograd.grad(outputs, [images, *weights], outputs.detach())

    return call


def timed(visit: Visit, call: Callable[[], object]) -> str:
    """Milliseconds of a call, the first ones left out."""

    def repeat(times: int) -> None:
        for _ in range(times):
            call()
        settle(visit.device)

    return f"{1e3 * seconds_a_step(repeat, visit.scale.calls, 3 * visit.scale.calls):.3f}"


def told_of(layer: Convolution, shape: tuple[int, ...]) -> str:
    kind = "transposed" if isinstance(layer, nn.ConvTranspose2d) else "convolution"
    return f"{kind} {'x'.join(map(str, shape))} to {layer.out_channels}, {layer.kernel_size[0]} by {layer.stride[0]}"


def time_packs(visit: Visit) -> None:
    """Part 4."""
    for architecture in visit.scale.architectures:
        compare_packs(architecture, list(visit.scale.sizes), visit.dataset(), choose_precision(visit.device))


def sweep(visit: Visit) -> None:
    """Part 5."""
    command = [sys.executable, str(ROOT / "run_benchmark.py"), *visit.scale.sweep]
    command += ["--device", str(visit.device), "--out", str(visit.out / "standard")]
    print(f"python run_benchmark.py {' '.join(command[2:])}; {visit.left:.0f} s are left", flush=True)
    # In a session of its own, so that it is interrupted once, from here.
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=Path.cwd(), start_new_session=True, **pipes) as process:
        alarm = threading.Timer(max(0.0, visit.left), process.send_signal, [signal.SIGINT])
        alarm.start()
        try:
            for line in process.stdout or ():
                print(line, end="", flush=True)
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            raise
        finally:
            alarm.cancel()
    print(f"it ended with exit code {process.returncode}")


PARTS: dict[str, Callable[[Visit], None]] = {
    "Recorded steps beside the CPU's": compare_methods,
    "A step of beta-VAE by its kernels": profile_step,
    "Convolutions of the study's network, forward and backward": time_convolutions,
    "Images a second": time_packs,
    "The study's protocol, for the time that is left": sweep,
}


# --- the whole -------------------------------------------------------------------------------------


def attempt(work: Callable[[], str | None]) -> str | None:
    """What the work says, or in one line why it fails."""
    try:
        return work()
    except Exception as error:
        return one_line(f"FAILS: {type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}")


def settle(device: torch.device) -> None:
    """Wait for what a GPU still does."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def go(visit: Visit, chosen: Sequence[int]) -> None:
    """The chosen parts, each under its heading."""
    name = torch.cuda.get_device_name(visit.device) if visit.device.type == "cuda" else "CPU, one thread"
    print(f"\n# {name}, torch {torch.__version__}, {time.strftime('%Y-%m-%d %H:%M')}")
    visit.dataset().prepare()
    for number in chosen:
        heading, part = list(PARTS.items())[number - 1]
        print(f"\n## {number}. {heading}\n\n```", flush=True)
        if visit.left < 0:
            print("time is up; left out")
        elif told := attempt(partial(part, visit)):
            print(told)
        print("```", flush=True)


def read_parts(text: str) -> list[int]:
    """The numbers of parts, in order."""
    items = read_items("parts", text)
    known = {str(number): number for number in range(1, len(PARTS) + 1)}
    if not known.keys() >= set(items):
        raise UsageError(f"parts is {text!r}; it takes numbers from 1 to {len(PARTS)} with commas between.")
    return sorted({known[item] for item in items})


def main(arguments: Sequence[str] | None = None) -> int:
    """Print and keep the report; returns 0, 2 for bad usage, or 130 where it is interrupted."""
    parser = Parser(prog="python -m tests.benchmarks.gpu", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda", help="auto, cpu or cuda (default: cuda)")
    parser.add_argument("--out", default="results/gpu", help="folder of the report (default: results/gpu)")
    parser.add_argument("--minutes", default="30", help="after which all is stopped (default: 30)")
    parser.add_argument("--parts", default="1,2,3,4,5", help="which of the five (default: all)")
    parser.add_argument("--small", action="store_true", help="a rehearsal: the same at a tiny size")
    began = time.monotonic()
    try:
        options = parser.parse_args(arguments)
        device, out = choose_device(read_device(options.device)), read_out(options.out)
        seconds, chosen = 60 * read_whole("minutes", options.minutes, 1), read_parts(options.parts)
        check_writable(out)
    except HelpShown:
        return 0
    except UsageError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return 2
    out.mkdir(parents=True, exist_ok=True)
    grace = min(GRACE_SECONDS, GRACE_SHARE * seconds)
    visit = Visit(SMALL if options.small else FULL, device, out.absolute(), began + seconds, grace)
    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = False
    with redirect_stdout(Kept(sys.stdout, out / "report.md")):
        try:
            go(visit, chosen)
        except KeyboardInterrupt:
            print("interrupted; the report so far is kept, and the same command goes on with the sweep.")
            return 130
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
