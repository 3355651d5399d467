"""A data set tried out: for `run_benchmark.py check-data` and for plugin authors' own tests.

from benchmark.datasets.trial import try_dataset

def test_my_data():
    findings, _ = try_dataset(load_my_data())
    assert [finding for finding in findings if finding.state == "failed"] == []
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmark.attempts import Result, Skip, attempt
from benchmark.datasets.base import FactorDataset
from benchmark.datasets.contract import GREY, OUT_OF_MEMORY, ROUNDING, check_dataset
from benchmark.datasets.drawn import DrawnDataset, keys_of
from benchmark.errors import UsageError

IMAGES = 48  # looked at in each check
PLACES = 16  # of the other factors, at which each factor is moved
STEPS = 40  # of a factor, each from a value to the next, that are looked at
BLOCK = 64  # images compared at once
TIMED = 128  # images, a batch of the preset quick
FAINT = 0.1  # of a pixel's range: less is no part of an outline
CLEAR = 3.0  # times as far along the axis that is named as across it
KEPT = 0.9  # of an outline, where nothing but a colour changes


@dataclass(frozen=True)
class Moved:
    """What a factor moves when it goes from a value to the next, the others and what is drawn held.

    Attributes:
        factor, size: its name and number of values.
        pixels: the share of an image's pixels that change, over all steps and places that were looked at.
        still: pairs of values between which no image changed.
        looked_at: what was seen of what its name says, in words; empty where its name says nothing.
    """

    factor: str
    size: int
    pixels: float
    still: tuple[tuple[int, int], ...]
    looked_at: str = ""


# --- the checks: each returns what to tell, raises Skip, or fails an assertion whose message is the reason ---


def contract(dataset: FactorDataset) -> str:
    """It keeps to what is asked of every data set before a training."""
    try:
        check_dataset(dataset)
    except UsageError as error:
        raise AssertionError(str(error)) from error
    return f"{len(dataset):,} images {' x '.join(map(str, dataset.image_shape))}, {dataset.source}"


def outside(dataset: FactorDataset) -> str:
    """An index outside is an IndexError (on a CPU; a GPU would have to be waited for)."""
    if dataset.device.type != "cpu":
        raise Skip("indices are not looked at on a GPU")
    for index in (-1, len(dataset)):
        try:
            dataset.images(torch.tensor([index]))
        except IndexError:
            continue
        raise AssertionError(f"the index {index} is given an image, where an IndexError is needed")
    return ""


def repeated(dataset: FactorDataset) -> str:
    """An image is the same when it is asked for again, in another order and in batches of other sizes."""
    indices = _some(dataset)
    images = dataset.images(indices)
    orders = {
        "again": dataset.images(indices),
        "in another order": dataset.images(indices.flip(0)).flip(0),
        "one by one": torch.cat([dataset.images(index) for index in torch.split(indices, 1)]),
        "in batches of 7": torch.cat([dataset.images(some) for some in torch.split(indices, 7)]),
    }
    for how, others in orders.items():
        assert _alike(images, others), f"asked for {how}, an image is another"
    return ""


def drawn(dataset: FactorDataset) -> str:
    """What is drawn follows from the generator's seed, whatever the batch; where nothing is, indices are places."""
    indices = _some(dataset)
    places = dataset.draw(indices, _seeded(1))
    if not dataset.drawn:
        assert torch.equal(places, indices), "it says that nothing is drawn (`drawn`), but its draws are no indices"
        assert _alike(dataset.at(places), dataset.images(indices)), "at(places) are not the images at these indices"
        raise Skip("nothing of an image is drawn")
    images = dataset.images(indices, _seeded(1))
    assert _alike(images, dataset.images(indices, _seeded(1))), "with generators of one seed images differ"
    assert _alike(images, dataset.at(places)), "at(draw(indices, generator)) are not images(indices, generator)"
    split = torch.cat([dataset.at(some) for some in torch.split(places.flip(0), 7)]).flip(0)
    assert _alike(images, split), "asked for in another order, an image's drawn part is another"
    assert not _alike(images, dataset.images(indices, _seeded(2))), "with another seed images are the same"
    one = dataset.images(indices[:1].repeat(IMAGES), _seeded(1))
    assert not _alike(one, one[:1]), f"drawn {IMAGES} times by one generator, an image is always the same"
    return ""


def speed(dataset: FactorDataset) -> str:
    """How long a batch takes, the least of five."""
    places = dataset.draw(torch.randint(len(dataset), (TIMED,), generator=_seeded(0)), _seeded(0)).to(dataset.device)
    took = []
    for _ in range(5):
        began = time.perf_counter()
        dataset.at(places).sum().item()
        took.append(time.perf_counter() - began)
    return f"{1e3 * min(took):.1f} ms for {TIMED} images"


Check = Callable[[FactorDataset], str]
CHECKS: tuple[Check, ...] = (contract, outside, repeated, drawn, speed)


def try_dataset(dataset: FactorDataset) -> tuple[list[Result], list[Moved]]:
    """Try every check on a data set, and move each of its factors: seconds.

    Returns:
        A finding for each check, and what each factor moves; all others are skipped where the first check fails.
    """
    findings = [_try(contract, dataset)]
    if findings[0].state == "failed":
        names = [check.__name__ for check in (*CHECKS[1:], factors)]
        return findings + [Result(name, "skipped", "as contract failed") for name in names], []
    findings += [_try(check, dataset) for check in CHECKS[1:]]
    moved: list[Moved] = []
    findings.append(attempt("factors", partial(factors, dataset, moved), *OUT_OF_MEMORY))
    return findings, moved


def _try(check: Check, dataset: FactorDataset) -> Result:
    return attempt(check.__name__, partial(check, dataset), *OUT_OF_MEMORY)


def _some(dataset: FactorDataset) -> Tensor:
    """Indices (IMAGES,) from all over the data set, on the CPU."""
    return torch.linspace(0, len(dataset) - 1, IMAGES, dtype=torch.float64).long()


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _alike(images: Tensor, others: Tensor) -> bool:
    return bool((images - others).abs().max() <= ROUNDING)


# --- the factors ---------------------------------------------------------------------------------------------


def factors(dataset: FactorDataset, moved: list[Moved]) -> str:
    """Each factor changes images from each value to the next; adds what it moves to the others."""
    if dataset.drawn and not isinstance(dataset, DrawnDataset):
        raise Skip("what is drawn cannot be held, as it is no DrawnDataset")
    if not dataset.factor_sizes:
        raise Skip("it has no factors")
    alone = [name for k, name in enumerate(dataset.factor_names) if not _move(dataset, k, moved)]
    for each in moved:
        for value, after in each.still[:1]:
            raise AssertionError(f"from value {value} to {after} of {each.factor} no image changes")
    return f"no two images differ in {', '.join(alone)} alone" if alone else ""


def _move(dataset: FactorDataset, k: int, moved: list[Moved]) -> bool:
    """Note what factor k moves; False where no two images differ in it alone."""
    one, other = _steps(dataset, k) if dataset.table is None else _steps_of_table(dataset, k)
    if not len(one):
        return False
    blocks = zip(torch.split(one, BLOCK), torch.split(other, BLOCK), strict=True)
    look = _look_for(dataset.factor_names[k])
    found = [_compare(dataset, *block, look) for block in blocks]
    shares, seen = (torch.cat(parts).cpu() for parts in zip(*found, strict=True))
    values, after = (dataset.factors(indices)[:, k] for indices in (one, other))
    pairs = sorted({*zip(values.tolist(), after.tolist(), strict=True)})
    still = tuple(pair for pair in pairs if not shares[(values == pair[0]) & (after == pair[1])].any())
    told = look.tell(seen) if look else ""
    moved.append(Moved(dataset.factor_names[k], dataset.factor_sizes[k], shares.mean().item(), still, told))
    return True


def _steps(dataset: FactorDataset, k: int) -> tuple[Tensor, Tensor]:
    """Indices of images, and of those where factor k has its next value."""
    size, generator = dataset.factor_sizes[k], _seeded(k)
    others = [torch.randint(other, (PLACES,), generator=generator) for other in dataset.factor_sizes]
    values = torch.linspace(0, size - 2, min(size - 1, STEPS)).round().long()
    rows = torch.stack(others, 1).repeat(len(values), 1)
    rows[:, k] = values.repeat_interleave(PLACES)
    after = rows.clone()
    after[:, k] += 1
    return dataset.indices(rows), dataset.indices(after)


def _steps_of_table(dataset: FactorDataset, k: int) -> tuple[Tensor, Tensor]:
    """Indices of rows that differ in factor k alone, each with that of the next greater value that there is."""
    assert dataset.table is not None
    table = dataset.table.numpy()
    rest = np.delete(table, k, axis=1)
    order = np.lexsort((table[:, k], *rest.T))
    alike = (rest[order[1:]] == rest[order[:-1]]).all(1) & (table[order[1:], k] != table[order[:-1], k])
    found = np.flatnonzero(alike)
    found = found[np.linspace(0, len(found) - 1, min(len(found), PLACES * STEPS)).astype(int)]
    return torch.from_numpy(order[found]), torch.from_numpy(order[found + 1])


def _compare(dataset: FactorDataset, one: Tensor, other: Tensor, look: "Look | None") -> tuple[Tensor, Tensor]:
    """The share (B,) of pixels that change between the images, and what the look measures of each pair (B, n)."""
    before, after = _held(dataset, one, one), _held(dataset, other, one)
    shares = ((after - before).abs().amax(1) > GREY).float().mean((1, 2))
    return shares, look.measure(before, after) if look else torch.zeros(len(one), 0)


def _held(dataset: FactorDataset, indices: Tensor, drawn_as: Tensor) -> Tensor:
    """Images at the indices, with the drawn part that those at other indices have."""
    if isinstance(dataset, DrawnDataset):
        return dataset.compose(indices.to(dataset.device), keys_of(drawn_as.to(dataset.device)))
    return dataset.images(indices)


# --- what a factor's name says -------------------------------------------------------------------------------


class Look:
    """What is seen of a factor whose name says what it moves: measured a pair of images, told of all."""

    def measure(self, before: Tensor, after: Tensor) -> Tensor:
        """Numbers (B, n) of pairs of images (B, C, H, W)."""
        raise NotImplementedError

    def tell(self, seen: Tensor) -> str:
        """What the numbers (pairs, n) say."""
        raise NotImplementedError


class Place(Look):
    """The centre moves along one axis and not across it."""

    def __init__(self, axis: int) -> None:
        self.axis = axis  # 0: x, 1: y

    def measure(self, before: Tensor, after: Tensor) -> Tensor:
        return _centres(after) - _centres(before)

    def tell(self, seen: Tensor) -> str:
        x, y = (round(moved, 2) + 0.0 for moved in seen.mean(0).tolist())  # with no -0.0
        along, across = (abs(x), abs(y)) if self.axis == 0 else (abs(y), abs(x))
        return _judged(f"the centre moves by {x:.2f} pixels in x, {y:.2f} in y", along > CLEAR * across)


class Area(Look):
    """The foreground grows."""

    def measure(self, before: Tensor, after: Tensor) -> Tensor:
        areas = [(_foreground(images) > FAINT).float().sum((1, 2)) for images in (before, after)]
        return torch.stack(areas, 1)

    def tell(self, seen: Tensor) -> str:
        first, second = seen.mean(0).tolist()
        growth = 100 * (second / max(first, 1) - 1)
        return _judged(f"the foreground grows by {growth:.0f}%", growth >= 1)


class Colour(Look):
    """Colours change and outlines stay."""

    def measure(self, before: Tensor, after: Tensor) -> Tensor:
        one, other = _outlines(before), _outlines(after)
        return torch.stack([(one & other).sum((1, 2)), (one | other).sum((1, 2))], 1).float()

    def tell(self, seen: Tensor) -> str:
        both, either = seen.sum(0).tolist()
        return _judged(f"{100 * both / max(either, 1):.0f}% of outlines stay", both > KEPT * either)


def _look_for(name: str) -> Look | None:
    """What to look for in a factor of that name."""
    words = re.split(r"[^a-z]+", name.lower())
    for axis, letter in enumerate("xy"):
        if letter in (words[0], words[-1]):
            return Place(axis)
    if words[-1] in ("scale", "size"):
        return Area()
    return Colour() if words[-1] in ("hue", "colour", "color") else None


def _judged(told: str, clear: bool) -> str:
    return f"{told}: {'as its name says' if clear else 'not clear'}"


def _foreground(images: Tensor) -> Tensor:
    """How far each pixel (B, H, W) is from its image's median colour."""
    median = images.flatten(2).median(2).values[..., None, None]
    return (images - median).abs().amax(1)


def _centres(images: Tensor) -> Tensor:
    """Centres (B, 2) of the foregrounds, in pixels: x, y."""
    weights = _foreground(images) + 1e-9  # so that an empty image has one too
    across, down = (torch.arange(length, device=images.device).float() for length in (images.shape[3], images.shape[2]))
    moments = torch.stack([(weights * across).sum((1, 2)), (weights * down[:, None]).sum((1, 2))], 1)
    return moments / weights.sum((1, 2))[:, None]


def _outlines(images: Tensor) -> Tensor:
    """Whether a pixel (B, H - 1, W - 1) differs from that below or to the right of it."""
    corner = images[..., :-1, :-1]
    steps = torch.stack([images[..., 1:, :-1] - corner, images[..., :-1, 1:] - corner])
    return (steps.abs() > FAINT).any(2).any(0)
