"""What every method must do, tried on one: for `run_benchmark.py check` and for plugin authors' own tests.

from benchmark.checks import check_method

def test_conformance():
    assert [result for result in check_method(MyMethod) if result.state == "failed"] == []
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import FrozenInstanceError, asdict, fields, replace
from functools import partial
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

import methods
from benchmark import presets
from benchmark.attempts import Result, Skip, attempt
from benchmark.datasets.base import FactorDataset, Indices
from benchmark.errors import UsageError
from benchmark.scoring.encoding import with_report
from benchmark.spec import RunSpec
from benchmark.training.capture import has_failed
from benchmark.training.checkpoint import Checkpoint
from benchmark.training.draws import Draws
from benchmark.training.harness import Training, build, choose_device, find_objection, fit, flatten_terms, train_pack
from benchmark.training.pack import callable_networks
from methods.base import Method, Networks, Player, Terms
from metrics.grouping import refuse_odd_groups

BATCH = 8
PROTOCOL = "check"  # the name of the preset that stands while checks are made
OVERFITTING_STEPS = 60
READING = (  # what asks for a tensor's value
    Tensor.__bool__,
    Tensor.__float__,
    Tensor.__int__,
    Tensor.__index__,
    Tensor.item,
    Tensor.tolist,
    Tensor.numpy,
)
SAME = 1e-9  # relative difference in float64 that is rounding
RECORDED_STEPS = 10  # of which a GPU replays the last seven
# How far apart trainings of a run on two devices may be, as `distances` measures it. Rounding alone,
# as of stacked runs beside the same alone on a CPU, takes InfoGAN's 0.0008 and 0.4 apart in float32 and 1e-15 and 1e-11
# in float64, and others' less.
NEAR = {"fp32": (2e-3, 0.7), "fp64": (SAME, 1e3 * SAME)}


class Squares(FactorDataset):
    """32 images of a white square: two sizes, four by four places."""

    place = torch.device("cpu")  # where they are, while checks are made

    def __init__(self, device: torch.device | str | None = None) -> None:
        super().__init__("squares", "drawn", {"size": 2, "x": 4, "y": 4}, (1, 64, 64), device or self.place)

    def images(self, indices: Indices, generator: torch.Generator | None = None) -> Tensor:
        size, x, y = self.factors(self._on_device(indices)).T[:, :, None, None]
        at = torch.arange(64, device=self.device)
        width = 10 + 10 * size
        across, down = at - 8 - 9 * x, at[:, None] - 8 - 9 * y
        inside = (across >= 0) & (across < width) & (down >= 0) & (down < width)
        return inside[:, None].float()


class Subject:
    """A method with its networks and a batch, made anew for each check, in float64."""

    def __init__(self, cls: type[Method], seed: int = 0, batch: int = BATCH, **settings: Any) -> None:
        self.dataset = Squares()
        self.spec = specify(cls, seed, **settings)
        self.method, self.networks = build(self.spec, self.dataset)
        self.networks.to(self.dataset.device, torch.float64)
        self.hyperparameters = self.spec.resolve_hyperparameters()
        generators = [torch.Generator().manual_seed(seed)]
        device = self.dataset.device
        self.draws = Draws(self.method, generators, generators, self.dataset, batch, torch.float64, device)
        if not self.players:
            fit(self.spec, self.method, self.networks.float(), self.dataset)
            self.networks.double()

    @contextmanager
    def trained(self) -> Iterator[Networks]:
        """The networks as those of a trained run, which neither drop out nor look at their batch."""
        self.networks.eval()
        with torch.no_grad():
            yield callable_networks(self.networks, "fp64")
        self.networks.train()

    @property
    def players(self) -> dict[str, Player]:
        return self.method.players()

    def batch(self, step: int = 0) -> tuple[Tensor, dict[str, dict[str, Tensor]]]:
        """Images and each player's noise for a step."""
        places, noises = self.draws.of_step(step)
        own = {name: {key: drawn[0] for key, drawn in noise.items()} for name, noise in noises.items()}
        return self.dataset.at(places[0]).double(), own

    def losses(self, step: int = 0) -> dict[str, Terms]:
        """Each player's terms on one batch."""
        images, noise = self.batch(step)
        return {name: self.loss(player, images, noise[name], step) for name, player in self.players.items()}

    def loss(self, player: Player, images: Tensor, noise: Mapping[str, Tensor], step: int = 0) -> Terms:
        called = callable_networks(self.networks, "fp64")
        return player.loss(called, images, noise, self.hyperparameters, torch.tensor(step, device=images.device))

    def encode(self, images: Tensor) -> Tensor:
        try:
            with self.trained() as networks:
                return self.method.encode(networks, images)
        except NotImplementedError as error:
            raise Skip("it does not encode images alone") from error


def specify(cls: type[Method], seed: int = 0, steps: int = 3, **settings: Any) -> RunSpec:
    """A run of the method, of a few steps."""
    return RunSpec(cls.name, settings, "squares", PROTOCOL, seed, steps)


# --- the checks: each returns, raises Skip, or fails an assertion whose message is the reason -------


def documented(cls: type[Method]) -> None:
    """It has a docstring that names its paper."""
    assert cls.__doc__ and cls.__doc__ is not Method.__doc__, "the class has no docstring of its own"
    assert "Reference:" in cls.__doc__, "the docstring has no line 'Reference: author and year, title, equation'"


def hyperparameters(cls: type[Method]) -> None:
    """Its hyperparameters are a frozen dataclass whose defaults go to JSON and back."""
    default = cls.Hyperparameters()
    for field in fields(default):
        assert field.metadata.get("meaning"), (
            f"{field.name} says no meaning; declare it with methods.base.hyperparameter"
        )
        try:
            setattr(default, field.name, field.default)
        except FrozenInstanceError:
            continue
        raise AssertionError("Hyperparameters is not frozen; write @dataclass(frozen=True)")
    assert specify(cls, **json.loads(json.dumps(asdict(default)))).resolve_hyperparameters() == default, (
        "its defaults are not the same after JSON"
    )


def initial_weights(cls: type[Method]) -> None:
    """Equal seeds give equal networks."""
    first, second = (build(specify(cls), Squares())[1].state_dict() for _ in range(2))
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different, f"built twice with one seed, {different[0]} differs; draw from torch's global generator alone"


def players(cls: type[Method]) -> None:
    """Its players name networks that it builds, each with parameters some player's, and optimisers that there are."""
    subject = Subject(cls)
    named = {name for player in subject.players.values() for name in player.networks}
    assert named <= set(subject.networks), (
        f"a player names {min(named - set(subject.networks), default='')!r}, which is not built"
    )
    if subject.players:
        idle = [name for name, own in subject.networks.items() if name not in named and list(own.parameters())]
        assert not idle, f"no player moves the network {idle[0]!r}"
    try:
        objection = find_objection(subject.spec, subject.dataset)
    except UsageError as error:
        objection = str(error)
    assert not objection, objection


def loss(cls: type[Method]) -> None:
    """Each player's loss is a finite scalar, and what is logged beside it a scalar or a vector."""
    for name, terms in _subject_with_players(cls).losses().items():
        assert "loss" in terms, f"the terms of player {name!r} hold no 'loss'"
        for key, term in terms.items():
            assert term.ndim == 0 or (term.ndim == 1 and key != "loss"), f"{key!r} has shape {tuple(term.shape)}"
            assert term.isfinite().all(), f"{key!r} of player {name!r} is not finite"


def gradients(cls: type[Method]) -> None:
    """Each player's loss reaches all its networks, and its step moves no other player's."""
    subject = _subject_with_players(cls)
    for name, player in subject.players.items():
        own = {
            f"{net}.{key}": value for net in player.networks for key, value in subject.networks[net].named_parameters()
        }
        found = torch.autograd.grad(subject.losses()[name]["loss"], list(own.values()), allow_unused=True)
        for key, gradient in zip(own, found, strict=True):
            assert gradient is not None, f"the loss of player {name!r} does not reach {key}"
            assert gradient.isfinite().all(), f"the gradient of player {name!r} for {key} is not finite"
        memory = {value.data_ptr() for value in own.values()}
        for net, module in subject.networks.items():
            shared = net not in player.networks and any(value.data_ptr() in memory for value in module.parameters())
            assert not shared, f"{net!r} shares parameters with a network of player {name!r}, whose steps move it"


def mean_over_batch(cls: type[Method]) -> None:
    """A loss is a mean over the batch: of batches twice as large it is not twice as large.

    Nor is what stands beside its reconstruction, which may be the greater part by far.
    """
    _subject_with_players(cls)
    small, large, larger = (_mean_losses(Subject(cls, batch=batch)) for batch in (BATCH, 2 * BATCH, 4 * BATCH))
    for name, (first, beside) in small.items():
        (second, second_beside), (_, third_beside) = large[name], larger[name]
        # What stands beside may be estimated from the batch, and change with its size, but does not double twice.
        sizes = (beside, second_beside, third_beside)
        doubles = all(abs(after - 2 * before) < 0.4 * abs(before) for before, after in pairwise(sizes))
        for what, one, other, grows in (
            ("", first, second, abs(second - first) > 0.4 * max(abs(first), 1e-3)),
            (" without its reconstruction", beside, second_beside, doubles),
        ):
            assert not grows, (
                f"the loss of player {name!r}{what} is {one:.4g} for batches of {BATCH} and {other:.4g} for twice as "
                "many; average over the batch"
            )


def _mean_losses(subject: Subject) -> dict[str, tuple[float, float]]:
    """Each player's loss, and that without the reconstruction: the same where there is none."""
    steps = [subject.losses(step) for step in range(4)]
    return {
        name: (
            float(np.mean([terms[name]["loss"].item() for terms in steps])),
            float(np.mean([(terms[name]["loss"] - terms[name].get("reconstruction", 0)).item() for terms in steps])),
        )
        for name in steps[0]
    }


def global_random_state(cls: type[Method]) -> None:
    """A loss neither draws from nor sets a global random generator."""
    subject = _subject_with_players(cls)
    torch.manual_seed(0)
    before = _random_states()
    subject.losses()
    moved = [name for name, state in _random_states().items() if state != before[name]]
    assert not moved, f"a loss uses the global random generator of {', '.join(moved)}; take noise from `noise_shapes`"


def _random_states() -> dict[str, str]:
    numpy_state = [np.asarray(part).tolist() for part in np.random.get_state()]  # noqa: NPY002
    states = {"torch": torch.get_rng_state().tolist(), "numpy": numpy_state, "random": random.getstate()}
    if Squares.place.type == "cuda":
        states["CUDA"] = torch.cuda.get_rng_state(Squares.place).tolist()
    return {name: str(state) for name, state in states.items()}


def pure(cls: type[Method]) -> None:
    """The same inputs give the same loss, however often it is called."""
    subject = _subject_with_players(cls)
    images, noise = subject.batch()
    for name, player in subject.players.items():
        values = []
        for _ in range(3):
            torch.manual_seed(0)
            values.append(subject.loss(player, images.clone(), _copied(noise[name]))["loss"].item())
        assert len(set(values)) == 1, f"called again, the loss of player {name!r} differs; keep nothing between calls"


class _Asked(Exception):  # noqa: N818 -- becomes an AssertionError
    """The step's value was asked for, as by `if` or `.item()`."""


class _Step(Tensor):
    """A step whose value, or that of anything computed from it, cannot be asked for."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in READING:
            raise _Asked
        return super().__torch_function__(func, types, args, kwargs)  # type: ignore[no-untyped-call]


def step_unread(cls: type[Method]) -> None:
    """A loss decides nothing by the step: a recorded step is replayed and cannot look at it again."""
    subject = _subject_with_players(cls)
    images, noise = subject.batch()
    step = torch.tensor(0, device=images.device).as_subclass(_Step)
    for name, player in subject.players.items():
        try:
            player.loss(callable_networks(subject.networks, "fp64"), images, noise[name], subject.hyperparameters, step)
        except _Asked:
            told = f"the loss of player {name!r} asks for the step's value, as `if step < n` or step.item() do"
            raise AssertionError(f"{told}; compute with it, as by torch.where or clamp") from None


def inputs(cls: type[Method]) -> None:
    """Losses and `encode` leave the batch and the noise as they are."""
    subject = Subject(cls)
    images, noise = subject.batch() if subject.players else (subject.dataset.images(range(BATCH)).double(), {})
    before, noise_before = images.clone(), {name: _copied(own) for name, own in noise.items()}
    for name, player in subject.players.items():
        subject.loss(player, images, noise[name])
        assert torch.equal(images, before), f"the loss of player {name!r} writes into the batch"
        changed = [key for key, value in noise[name].items() if not torch.equal(value, noise_before[name][key])]
        assert not changed, f"the loss of player {name!r} writes into the noise {changed[0]!r}"
    subject.encode(images)
    assert torch.equal(images, before), "encode writes into the images"


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}


def encode(cls: type[Method]) -> None:
    """Codes are finite (B, D), with one D for every batch."""
    subject = Subject(cls)
    shapes = {len(codes): codes for codes in (subject.encode(_images(n)) for n in (3, 7))}
    assert sorted(shapes) == [3, 7], f"codes of 3 and 7 images have {sorted(shapes)} rows"
    for rows, codes in shapes.items():
        assert codes.ndim == 2, f"codes of {rows} images have shape {tuple(codes.shape)}; (B, D) is needed"
        assert codes.isfinite().all(), "codes are not finite"
    assert len({codes.shape[1] for codes in shapes.values()}) == 1, "the number of codes depends on the batch"
    if groups := subject.method.groups():
        try:
            refuse_odd_groups(groups, shapes[3].shape[1])
        except ValueError as error:
            raise AssertionError(f"its groups do not suit its codes: {error}") from error


def encode_deterministic(cls: type[Method]) -> None:
    """The same images have the same codes."""
    subject = Subject(cls)
    assert torch.equal(subject.encode(_images()), subject.encode(_images())), "encoded twice, images have other codes"


def encode_one_by_one(cls: type[Method]) -> None:
    """An image's codes do not depend on the other images of its batch."""
    subject = Subject(cls)
    together, alone = _seeded(lambda: subject.encode(_images()[:4])), _seeded(lambda: subject.encode(_images()[:1]))
    assert torch.allclose(together[:1], alone, rtol=1e-6, atol=1e-8), "an image's codes depend on its batch"


def decode(cls: type[Method]) -> None:
    """Codes decode to images (B, C, H, W) in [0, 1]."""
    subject = Subject(cls)
    codes = _seeded(lambda: subject.encode(_images(5)))
    try:
        with subject.trained() as networks:
            images = subject.method.decode(networks, codes)
    except NotImplementedError as error:
        raise Skip("it does not decode") from error
    assert images.shape == (5, 1, 64, 64), f"5 codes decode to shape {tuple(images.shape)}; (5, 1, 64, 64) is needed"
    assert images.min() >= 0 and images.max() <= 1, "decoded images leave [0, 1]"


def measures(cls: type[Method]) -> None:
    """What it measures and reports are finite numbers, under names that are no metric's."""
    subject = Subject(cls)
    images = _images()
    shapes = subject.method.noise_shapes(len(images))
    torch.manual_seed(0)
    noise = {name: torch.randn(shape, dtype=images.dtype, device=images.device) for name, shape in shapes.items()}
    with subject.trained() as networks:
        terms = subject.method.measure(networks, images, noise)
    told = flatten_terms({name: term[None] for name, term in terms.items()})
    try:
        with_report(told[0] if told else {}, subject.method, subject.networks, subject.hyperparameters)
    except ValueError as error:
        raise AssertionError(str(error)) from error


def state_round_trip(cls: type[Method]) -> None:
    """A trained model, stored and put into fresh networks, encodes the same to the bit."""
    (trained,) = _train(cls, [specify(cls, steps=1)])
    stored = save({name: value.contiguous() for name, value in trained.networks.state_dict().items()})
    method, fresh = build(specify(cls, seed=1), Squares())
    fresh.to(Squares.place, torch.float64).load_state_dict(load(stored))
    encoded = [
        _encoded(each, networks.eval()) for each, networks in ((trained.method, trained.networks), (method, fresh))
    ]
    assert torch.equal(*encoded), (
        "stored and loaded, it encodes otherwise; keep what is learned in parameters or buffers"
    )


def _encoded(method: Method, networks: nn.ModuleDict) -> Tensor:
    try:
        with torch.no_grad():
            return _seeded(lambda: method.encode(callable_networks(networks.double(), "fp64"), _images()))
    except NotImplementedError as error:
        raise Skip("it does not encode images alone") from error


def hyperparameters_matter(cls: type[Method]) -> None:
    """Every hyperparameter changes a loss, the networks or the batches."""
    declared = fields(cls.Hyperparameters())
    if not declared:
        raise Skip("it has none")
    usual = list(_effects(cls))
    for field in declared:
        others = [value for value in _other_values(field.metadata, field.default) if value != field.default]
        changed = any(
            effect != other
            for value in others
            for effect, other in zip(_effects(cls, **{field.name: value}), usual, strict=False)
        )
        assert changed, f"{field.name} changes nothing"


def _other_values(told: Mapping[str, Any], default: Any) -> list[Any]:
    return list(told["choices"]) if "choices" in told else [2 * default + 1, 3 * default + 2]


def _effects(cls: type[Method], **settings: Any) -> Iterator[str]:
    """What hyperparameters may change, as texts, what is soon found first: batches and networks, losses early, late.

    Last of all losses of networks drawn anew and widely, which are far from where a training begins: a controller that
    has something to do, a discriminator that is right.
    """
    subject = Subject(cls, steps=100, **settings)
    shapes = {name: tuple(value.shape) for name, value in subject.networks.state_dict().items()}
    yield f"{subject.method.batches()} {shapes}"
    if not subject.players:
        yield repr(subject.encode(_images()).sum().item())
    for step in (0, 99) if subject.players else ():
        yield _told_losses(subject, step)
    for seed in range(12) if subject.players else ():
        generator = torch.Generator().manual_seed(seed)
        for weights in subject.networks.parameters():
            drawn = torch.randn(weights.shape, generator=generator, dtype=torch.float64)
            spread = (2 / weights[0].numel()) ** 0.5 if weights.ndim > 1 else 0.3  # He et al. 2015, eq. 10
            weights.data = (spread * drawn).to(weights.device)
        yield _told_losses(subject, 99)


def _told_losses(subject: Subject, step: int) -> str:
    return repr({name: terms["loss"].item() for name, terms in subject.losses(step).items()})


def trains_in_a_pack(cls: type[Method]) -> None:
    """Two runs trained as one program are the runs alone, to rounding in float64."""
    _subject_with_players(cls)
    specs = [specify(cls), specify(cls, seed=1)]
    together, alone = _train(cls, specs), [_train(cls, [spec])[0] for spec in specs]
    for ours, theirs in zip(together, alone, strict=True):
        rows = zip(ours.history, theirs.history, strict=True)
        worst = max(abs(row[key] - expected[key]) / max(1, abs(expected[key])) for row, expected in rows for key in row)
        assert worst < 1e3 * SAME, f"in a pack, what is logged differs by {worst:.1g} from the run alone"


def resumes(cls: type[Method]) -> None:
    """A training that goes on from a checkpoint ends, on a CPU to the bit, as one that was never broken off."""
    _subject_with_players(cls)
    stored: list[bytes] = []

    def keep(step: int, checkpoints: Callable[[], list[Checkpoint]]) -> None:
        stored.extend(each.to_bytes() for each in checkpoints())

    spec = [specify(cls, steps=2)]
    (unbroken,) = _train(cls, spec, "fp32", save=keep)
    (resumed,) = _train(cls, spec, "fp32", resume=[Checkpoint.from_bytes(content) for content in stored])
    learned = resumed.networks.state_dict()
    advice = "keep what steps leave behind in parameters or buffers"
    if Squares.place.type != "cpu":  # which may sum in another order each time
        far = tell_far(resumed, unbroken, spec[0])
        assert not far, f"gone on from a checkpoint, {far}; {advice}"
        return
    different = [name for name, value in unbroken.networks.state_dict().items() if not learned[name].equal(value)]
    assert not different, f"gone on from a checkpoint, {different[0]} ends otherwise; {advice}"
    assert resumed.history == unbroken.history, f"gone on from a checkpoint, what is logged differs; {advice}"


def overfits(cls: type[Method]) -> None:
    """Its first loss falls when it trains on 32 images."""
    _subject_with_players(cls)
    (trained,) = _train(cls, [specify(cls, steps=OVERFITTING_STEPS)], precision="fp32")
    losses = [row["loss"] for row in trained.history]
    first, last = np.mean(losses[:5]), np.mean(losses[-5:])
    assert last < first, f"in {OVERFITTING_STEPS} steps on 32 images its loss goes from {first:.4g} to {last:.4g}"


def recorded(cls: type[Method]) -> None:
    """Ten steps of two runs, which a GPU records and replays, are nearly those of the CPU."""
    _subject_with_players(cls)
    if has_failed():
        raise Skip("a recording has failed in this process, which tries no other; check this method by itself")
    specs = [specify(cls, seed, RECORDED_STEPS) for seed in range(2)]
    for precision in NEAR:
        for spec, ours in zip(specs, _train(cls, specs, precision), strict=True):
            assert not ours.note, ours.note
            (theirs,) = _train(cls, [spec], precision, Squares("cpu"))
            far = tell_far(ours, theirs, spec)
            assert not far, f"recorded, {far}"


def tell_far(ours: Training, theirs: Training, spec: RunSpec) -> str:
    """How much two trainings of one run differ, in words; empty where that may be rounding."""
    losses, weights = distances(ours, theirs, build(spec, Squares("cpu"))[1])
    if losses <= NEAR[ours.precision][0] and weights <= NEAR[ours.precision][1]:
        return ""
    told = f"losses differ by {losses:.1g} of their size and weights by {weights:.1g} of the way that they went"
    return f"{told}, in {ours.precision}"


def distances(ours: Training, theirs: Training, start: nn.ModuleDict) -> tuple[float, float]:
    """How far apart two trainings of one run are: losses as a part of their size, weights of the way that they went."""
    rows = zip(ours.history, theirs.history, strict=True)
    pairs = [(row[key], other[key]) for row, other in rows for key in row if key.endswith("loss")]
    losses = [abs(own - other) / max(abs(other), SAME) for own, other in pairs]
    ended, expected, began = (
        torch.cat([value.flatten().double().cpu() for value in networks.state_dict().values()])
        for networks in (ours.networks, theirs.networks, start)
    )
    return float(np.max(losses)), ((ended - expected).norm() / (expected - began).norm()).item()


Check = Callable[[type[Method]], None]
CHECKS: tuple[Check, ...] = (
    documented,
    hyperparameters,
    initial_weights,
    players,
    loss,
    gradients,
    mean_over_batch,
    global_random_state,
    pure,
    step_unread,
    inputs,
    encode,
    encode_deterministic,
    encode_one_by_one,
    decode,
    measures,
    state_round_trip,
    hyperparameters_matter,
    trains_in_a_pack,
    resumes,
    overfits,
)
ON_GPU: tuple[Check, ...] = (*CHECKS, recorded)
# What a check takes for granted: where that fails, it is skipped.
NEEDS: dict[Check, tuple[Check, ...]] = {
    loss: (players,),
    hyperparameters_matter: (hyperparameters, loss),
    gradients: (loss,),
    mean_over_batch: (loss,),
    global_random_state: (loss,),
    pure: (loss,),
    step_unread: (loss,),
    inputs: (loss,),
    encode_deterministic: (encode,),
    encode_one_by_one: (encode,),
    decode: (encode,),
    state_round_trip: (encode, gradients),
    trains_in_a_pack: (gradients, global_random_state, pure, inputs, initial_weights, state_round_trip),
    resumes: (gradients, global_random_state, pure, inputs, initial_weights),
    overfits: (gradients, inputs),
    recorded: (trains_in_a_pack,),
}


def check_method(cls: type[Method], device: str = "cpu") -> list[Result]:
    """Try every check on a method, registered or not, on 32 small images: seconds.

    Args:
        device: as `choose_device` takes it; on a GPU recorded steps are tried besides.

    Returns:
        A result for each check; one whose ground is taken away by another's failure is skipped.
    """
    results: dict[Check, Result] = {}
    broken: dict[Check, str] = {}  # the check whose failure takes this one's ground away, or its own
    place = choose_device(device)
    with _standing(cls, place):
        for check in ON_GPU if place.type == "cuda" else CHECKS:
            culprit = next((broken[need] for need in NEEDS.get(check, ()) if need in broken), None)
            skipped = Result(check.__name__, "skipped", f"as {culprit} failed")
            results[check] = skipped if culprit else attempt(check.__name__, partial(check, cls))
            if culprit or results[check].state == "failed":
                broken[check] = culprit or check.__name__
    return list(results.values())


@contextmanager
def _standing(cls: type[Method], place: torch.device) -> Iterator[None]:
    """Register the method under its name, and a short protocol, while checks are made there; spare global state."""
    name = getattr(cls, "name", None) or cls.__name__.lower()
    protocol = replace(presets.PRESETS["study_quick"], summary="for checks", batch=BATCH)
    numpy_state, state = np.random.get_state(), random.getstate()  # noqa: NPY002
    threads, tf32 = torch.get_num_threads(), torch.backends.cudnn.allow_tf32
    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = False
    try:
        with (
            patch.object(cls, "name", name, create=True),
            patch.multiple(cls, **cls.checked_with),
            patch.dict(methods.REGISTRY, {name: cls}),
            patch.dict(presets.PRESETS, {PROTOCOL: protocol}),
            patch.object(Squares, "place", place),
            torch.random.fork_rng(devices=[place] if place.type == "cuda" else []),
        ):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.allow_tf32 = tf32
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(state)


def _subject_with_players(cls: type[Method]) -> Subject:
    subject = Subject(cls)
    if not subject.players:
        raise Skip("it has no players")
    return subject


def _train(
    cls: type[Method],
    specs: list[RunSpec],
    precision: str = "fp64",
    dataset: FactorDataset | None = None,
    **checkpoints: Any,
) -> list[Training]:
    outcomes = train_pack(specs, dataset or Squares(), precision, **checkpoints)
    for outcome in outcomes:
        assert isinstance(outcome, Training), f"training fails: {outcome}"
    return outcomes  # type: ignore[return-value]


def _images(number: int = BATCH) -> Tensor:
    return Squares().images(torch.arange(number) * 32 // number).double()


def _seeded(call: Callable[[], Tensor]) -> Tensor:
    torch.manual_seed(0)
    return call()
