"""Worlds that are not ideal: training images of which some combinations of factors are rare, or missing.

A world is a text of one or two parts with a space between, each without any:

- `correlated=floor_hue:wall_hue:0.1,shape:scale:0.2:inverse`: a combination is drawn in proportion to the product, over
  the pairs of factors (a, b), of exp(-(a - b)^2 / (2 sigma^2)), where value k of n is k / (n - 1); by the inverse a
  great a goes with a small b. `shape:all:0.2` pairs a factor with every other. Reference: Roth et al. 2023, section 4.
- `held_out=shape=3,object_hue=5..9`: a combination that meets all of these conditions, on the numbers of the values
  from 0, is never drawn.

`read_world` takes what users write, names of papers' worlds (`benchmark.datasets.protocols`) included, and gives the
one text that stands for it; `enter` takes that.
"""

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, prod

import torch
from torch import Tensor

from benchmark.datasets.base import FactorDataset
from benchmark.datasets.populations import Weighted
from benchmark.datasets.protocols import CORRELATED, HELD_OUT, SIZES
from benchmark.errors import UsageError, unknown

CORRELATED_PART, HELD_OUT_PART = "correlated=", "held_out="
ALL, INVERSE = "all", "inverse"
PARTS = ("correlated", "seen", "unseen")  # what training draws, or draws and never draws where some is held out
NARROWEST, WIDEST = 1e-3, 1e3  # sigmas: one value alone beside each other value, and no correlation to speak of
LEAST_HELD_OUT = 12  # combinations, some to train a metric on and some to test it
CONDITION = re.compile(r"(?P<factor>.+?)(?P<relation>>=|<=|=|>|<)(?P<value>.*)")

Width = tuple[float, bool]  # sigma, and whether it is the inverse
Ranges = Mapping[int, tuple[int, int]]  # by a factor's number its first and last value


@dataclass(frozen=True)
class World:
    """What a data set's training images are drawn from.

    Attributes:
        pairs: the correlated factors' numbers, the lower first, and how they are.
        held_out: the conditions on factors that are met together by what is left out; none where nothing is.
    """

    pairs: Mapping[tuple[int, int], Width]
    held_out: Ranges

    def weights(self, sizes: Sequence[int]) -> dict[tuple[int, ...], Tensor]:
        """How combinations weigh, as `Weighted` takes it."""
        weights: dict[tuple[int, ...], Tensor] = {
            pair: _correlate(sizes[pair[0]], sizes[pair[1]], *width) for pair, width in self.pairs.items()
        }
        if self.held_out:
            own = tuple(sorted(self.held_out))
            left = torch.ones([sizes[k] for k in own], dtype=torch.float64)
            left[tuple(slice(low, high + 1) for low, high in (self.held_out[k] for k in own))] = 0
            weights[own] = weights[own] * left if own in weights else left
        return weights

    def text(self, dataset: FactorDataset) -> str:
        """The one text for this world."""
        names = dataset.factor_names
        rule = ",".join(f"{names[k]}={_write_range(*self.held_out[k])}" for k in sorted(self.held_out))
        pairs = ",".join(_write_pairs(self.pairs, names))
        parts = ((CORRELATED_PART, pairs), (HELD_OUT_PART, rule))
        return " ".join(f"{part}{told}" for part, told in parts if told)


def read_world(dataset: FactorDataset, correlated: str = "", hold_out: str = "") -> str:
    """The world's one text: equal worlds give equal texts.

    Args:
        correlated: pairs such as `floor_hue:wall_hue:0.1` or names of protocols, with commas between.
        hold_out: conditions such as `shape=3,object_hue>=5`, or the name of a protocol.

    Raises:
        UsageError: a factor, number or name is wrong, or too little is left to train or to score on.
    """
    if not (correlated or hold_out):
        return ""
    _refuse_table(dataset)
    world = World(_read_pairs(dataset, correlated), _read_rule(dataset, hold_out))
    _draw_from(dataset, world)
    return world.text(dataset)


def enter(dataset: FactorDataset, world: str) -> FactorDataset:
    """The data set with its training images drawn as the world says; the one given is left as it is.

    Raises:
        UsageError: there is no such world of the data set.
    """
    _refuse_table(dataset)
    meant = _read_text(dataset, world)
    entered = copy.copy(dataset)
    entered.population, entered.world = _draw_from(dataset, meant), meant.text(dataset)
    return entered


def held_out_of(dataset: FactorDataset) -> Tensor | None:
    """The indices (N,), ascending, of what the data set's world holds out; None where it holds nothing out."""
    held_out = _read_text(dataset, dataset.world).held_out if dataset.world else {}
    if not held_out:
        return None
    whole = ((0, size - 1) for size in dataset.factor_sizes)
    spans = [held_out.get(k, span) for k, span in enumerate(whole)]
    return dataset.indices(torch.cartesian_prod(*(torch.arange(a, b + 1) for a, b in spans)).reshape(-1, len(spans)))


def parts_of(world: str) -> tuple[str, ...]:
    """What runs of a world are scored on beside the uniform grid, by the text of the world alone."""
    if any(part.startswith(HELD_OUT_PART) for part in world.split()):
        return PARTS[1:]
    return PARTS[:1] if world else ()


def known_worlds(dataset: FactorDataset) -> tuple[list[str], list[str]]:
    """The names of papers' correlations, and of what papers hold out, that are for the data set."""
    return [*_protocols(dataset, CORRELATED)], [*_protocols(dataset, HELD_OUT)]


def _draw_from(dataset: FactorDataset, world: World) -> Weighted:
    """What the world draws from, with enough to train and to score on."""
    told = world.text(dataset)
    count = prod(high - low + 1 for low, high in world.held_out.values()) if world.held_out else 0
    held_out = count * prod(size for k, size in enumerate(dataset.factor_sizes) if k not in world.held_out)
    if world.held_out and held_out < LEAST_HELD_OUT:
        raise UsageError(f"{told} holds out {held_out} of {len(dataset):,} images, where {LEAST_HELD_OUT} are needed.")
    try:
        population = Weighted(dataset, world.weights(dataset.factor_sizes))
    except ValueError:
        raise UsageError(f"{told} leaves nothing of {dataset.name} to train on.") from None
    for own, table in population.components.items():
        for axis, k in enumerate(own):
            left = table.sum([a for a in range(len(own)) if a != axis]) if len(own) > 1 else table
            if int((left > 0).sum()) < 2:
                name = dataset.factor_names[k]
                raise UsageError(f"{told} leaves one value of {name} to train on, where two or more are needed.")
    return population


def _refuse_table(dataset: FactorDataset) -> None:
    if dataset.table is not None:
        raise UsageError(
            f"factors of {dataset.name} are told by a table; only of a grid can combinations be made rare."
        )


def _read_text(dataset: FactorDataset, text: str) -> World:
    told = {CORRELATED_PART: "", HELD_OUT_PART: ""}
    for part in text.split():
        kind = next((kind for kind in told if part.startswith(kind)), None)
        if kind is None:
            example = f"{CORRELATED_PART}{_pair_like(dataset)}"
            raise UsageError(f"the world {text!r} has a part {part!r}, where one such as {example} is needed.")
        told[kind] = part.removeprefix(kind)
    return World(_read_pairs(dataset, told[CORRELATED_PART]), _read_rule(dataset, told[HELD_OUT_PART]))


# --- correlated ------------------------------------------------------------------------------------


def _correlate(first: int, second: int, sigma: float, inverse: bool) -> Tensor:
    """Weights (first, second) of two factors' values: Roth et al. 2023, section 4."""
    a, b = (torch.arange(size, dtype=torch.float64) / max(size - 1, 1) for size in (first, second))
    b = 1 - b if inverse else b
    return torch.exp(-((a[:, None] - b) ** 2) / (2 * sigma**2))


def _read_pairs(dataset: FactorDataset, text: str) -> dict[tuple[int, int], Width]:
    items = [item.strip() for item in text.split(",")] if text.strip() else []
    known = _protocols(dataset, CORRELATED)
    items = [part for item in items for part in known.get(item, item).split(",")]
    pairs: dict[tuple[int, int], Width] = {}
    for item in items:
        found, width = _read_pair(dataset, item)
        for pair in found:
            if pair in pairs:
                names = " and ".join(dataset.factor_names[k] for k in pair)
                raise UsageError(f"correlated is {text!r}; {names} are correlated twice.")
            pairs[pair] = width
    return pairs


def _read_pair(dataset: FactorDataset, item: str) -> tuple[list[tuple[int, int]], Width]:
    """The pairs that an item stands for, as `shape:all:0.2` does for several."""
    first, *rest = item.split(":")
    if not rest:
        known = _protocols(dataset, CORRELATED)
        raise unknown(f"correlation of {dataset.name}", item, {*known, _pair_like(dataset)})
    if len(rest) not in (2, 3) or rest[2:] not in ([], [INVERSE]):
        raise UsageError(f"correlated is {item!r}; it takes {_pair_like(dataset)}, or :{INVERSE} after it.")
    one, second = _find_factor(dataset, first), rest[0]
    others = range(len(dataset.factor_sizes)) if second == ALL else [_find_factor(dataset, second, ALL)]
    pairs = [(min(one, other), max(one, other)) for other in others if other != one]
    if not pairs:
        raise UsageError(f"correlated is {item!r}; a factor is correlated with another one.")
    return pairs, (_read_sigma(item, rest[1]), len(rest) == 3)


def _read_sigma(item: str, text: str) -> float:
    try:
        sigma = float(text) if text.isascii() and "_" not in text else float("nan")
    except ValueError:
        sigma = float("nan")
    if not (isfinite(sigma) and NARROWEST <= sigma <= WIDEST):
        told = f"its width is {text!r}, where a number from {NARROWEST:g} to {WIDEST:g} is needed"
        raise UsageError(f"correlated is {item!r}; {told}.")
    return sigma


def _write_pairs(pairs: Mapping[tuple[int, int], Width], names: Sequence[str]) -> Iterable[str]:
    """Each pair, those of a factor with all others, alike, as one."""
    left = dict(pairs)
    for k, name in enumerate(names):
        own = [(min(k, other), max(k, other)) for other in range(len(names)) if other != k]
        widths = {left.get(pair) for pair in own}
        if len(own) > 1 and len(widths) == 1 and None not in widths:
            yield f"{name}:{ALL}:{_write_width(left[own[0]])}"
            left = {pair: width for pair, width in left.items() if pair not in own}
    for (one, other), width in sorted(left.items()):
        yield f"{names[one]}:{names[other]}:{_write_width(width)}"


def _write_width(width: Width) -> str:
    sigma, inverse = width
    return f"{int(sigma) if sigma.is_integer() else sigma}" + (f":{INVERSE}" if inverse else "")


# --- held out --------------------------------------------------------------------------------------


def _read_rule(dataset: FactorDataset, text: str) -> dict[int, tuple[int, int]]:
    """The conditions' factors with their first and last values, those on which there is no condition left out."""
    if not text.strip():
        return {}
    known = _protocols(dataset, HELD_OUT)
    found: dict[int, tuple[int, int]] = {}
    items = [item.strip() for item in text.split(",")]
    for item in ",".join(known.get(item, item) for item in items).split(","):
        factor, (low, high) = _read_condition(dataset, item.strip())
        before = found.get(factor, (low, high))
        found[factor] = max(low, before[0]), min(high, before[1])
    for factor, (low, high) in found.items():
        if low > high:
            name = dataset.factor_names[factor]
            raise UsageError(f"hold-out is {text!r}; no value of {name} meets that.")
    kept = {k: span for k, span in found.items() if span != (0, dataset.factor_sizes[k] - 1)}
    if not kept:
        raise UsageError(f"hold-out is {text!r}, which leaves nothing of {dataset.name} to train on.")
    return kept


def _read_condition(dataset: FactorDataset, item: str) -> tuple[int, tuple[int, int]]:
    told = CONDITION.fullmatch(item)
    if told is None:
        known = _protocols(dataset, HELD_OUT)
        raise unknown(f"hold-out of {dataset.name}", item, {*known, _rule_like(dataset)})
    factor = _find_factor(dataset, told["factor"].strip())
    relation, last = told["relation"], dataset.factor_sizes[factor] - 1
    first_text, dots, last_text = told["value"].strip().partition("..")
    numbers = [first_text, last_text] if dots else [first_text]
    fit = all(re.fullmatch(r"[0-9]{1,9}", number) and int(number) <= last for number in numbers)
    if not fit or (dots and relation != "="):
        name = dataset.factor_names[factor]
        raise UsageError(f"hold-out has {item!r}; {name} takes whole numbers from 0 to {last}, or a range as in =0..1.")
    low, high = int(numbers[0]), int(numbers[-1])
    spans = {"=": (low, high), ">=": (low, last), "<=": (0, low), ">": (low + 1, last), "<": (0, low - 1)}
    return factor, spans[relation]


def _write_range(low: int, high: int) -> str:
    return f"{low}" if low == high else f"{low}..{high}"


# --- names -----------------------------------------------------------------------------------------


def _find_factor(dataset: FactorDataset, name: str, *others: str) -> int:
    if name not in dataset.factor_names:
        raise unknown(f"factor of {dataset.name}", name, [*dataset.factor_names, *others])
    if re.search(r"\s", name):
        raise UsageError(f"factor {name!r} of {dataset.name} has a space in its name, which no world can name.")
    return dataset.factor_names.index(name)


def _protocols(dataset: FactorDataset, named: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Papers' worlds by name that are for this data set: of its family, with the factors that they speak of."""
    return {
        name: text
        for family, worlds in named.items()
        if dataset.name == family or dataset.name.startswith(f"{family}_")
        for name, text in worlds.items()
        if _speaks_of(dataset, text, SIZES.get(family, {}) if named is HELD_OUT else {})
    }


def _speaks_of(dataset: FactorDataset, text: str, sizes: Mapping[str, int]) -> bool:
    """Whether the data set has all factors that the text names, of these sizes where they are told."""
    own = dict(zip(dataset.factor_names, dataset.factor_sizes, strict=True))
    words = {word for word in re.findall(r"[a-z][a-z0-9_]*", text) if word not in (ALL, INVERSE)}
    return words <= {*own} and all(own[word] == sizes.get(word, own[word]) for word in words)


def _pair_like(dataset: FactorDataset) -> str:
    return "{}:{}:0.2".format(*[*dataset.factor_names, ALL][:2])


def _rule_like(dataset: FactorDataset) -> str:
    return f"{dataset.factor_names[0]}=0"
