"""Options of a metric: read from its function's signature, checked, and written into its name."""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin, get_type_hints

JOIN = "+"  # between the elements of an option that takes several


@dataclass(frozen=True)
class Option:
    """One keyword of a metric's function.

    Attributes:
        default: what the function takes without it.
        kind: its annotation: `int` (at least 1), `float` (finite, not negative), `bool`, `str`, a `Literal` or a
            `Sequence` of one of these.
    """

    default: Any
    kind: Any

    @property
    def takes(self) -> str:
        """The values that it takes, in words."""
        return _describe(self.kind)

    def read(self, value: Any) -> Any:
        """The value, or what a text says, as the kind has it.

        Raises:
            ValueError: it is no such value; the message is the nearest that is, or what is needed.
        """
        if get_origin(self.kind) is not Sequence:
            return _read(self.kind, value)
        parts = value.split(JOIN) if isinstance(value, str) else value
        if not isinstance(parts, Iterable):
            parts = [parts]
        return tuple(_read(get_args(self.kind)[0], part) for part in parts)


def read_options(function: Callable[..., Any]) -> dict[str, Option]:
    """The keyword-only arguments of a metric's function; one without an annotation is of its default's type."""
    hints = get_type_hints(function)
    keywords = inspect.signature(function).parameters.values()
    return {
        each.name: Option(each.default, hints.get(each.name, type(each.default)))
        for each in keywords
        if each.kind is each.KEYWORD_ONLY
    }


def base_of(name: str) -> str:
    """The name under which a metric is registered, from one with options, or with what it was scored on after an @."""
    return name.partition("[")[0].partition("@")[0]


def write_name(base: str, settings: Mapping[str, Any]) -> str:
    """The metric's name with its options, such as `infomec[estimator=exact]`; the plain name without any."""
    texts = [f"{name}={_write(value)}" for name, value in sorted(settings.items())]
    return f"{base}[{','.join(texts)}]" if texts else base


def split_name(name: str) -> tuple[str, dict[str, str]]:
    """The metric's plain name and its options as texts: the inverse of `write_name`."""
    base, bracket, rest = name.partition("[")
    if not bracket:
        return name, {}
    pairs = [part.partition("=") for part in rest.removesuffix("]").split(",")]
    if (
        not rest.endswith("]")
        or not all(key and sign for key, sign, _ in pairs)
        or len({key for key, _, _ in pairs}) < len(pairs)
    ):
        raise ValueError(f"metric {name!r} has no options that can be read; write them as in 'mig[bins=30]'.")
    return base, {key: value for key, _, value in pairs}


def nearest(word: str, known: Iterable[str]) -> str:
    """A half-sentence that names the nearest of the known words, or all of them."""
    names = list(known)
    found = get_close_matches(word, names, n=1, cutoff=0.5)
    return f"did you mean {found[0]!r}?" if found else f"choose from {', '.join(map(repr, names))}."


def _describe(kind: Any) -> str:
    if get_origin(kind) is Sequence:
        return f"several of: {_describe(get_args(kind)[0])}"
    if get_origin(kind) is Literal:
        return ", ".join(map(repr, get_args(kind)))
    named = {int: "a whole number of at least 1", float: "a number of at least 0", bool: "True or False", str: "a text"}
    return named.get(kind, str(kind))


def _read(kind: Any, value: Any) -> Any:
    if get_origin(kind) is Literal:
        for choice in get_args(kind):
            if value == choice or value == str(choice):
                return choice
        raise ValueError(nearest(str(value), map(str, get_args(kind))))
    read = {int: _read_whole, float: _read_number, bool: _read_truth}.get(kind)
    try:
        if read is not None:
            return read(value)
        if isinstance(value, kind):
            return value
    except (KeyError, TypeError, ValueError, OverflowError):
        pass
    raise ValueError(f"{_describe(kind)} is needed.")


def _read_number(value: Any) -> float:
    number = float(value)
    if isinstance(value, bool) or not 0 <= number < math.inf:
        raise ValueError
    return number


def _read_whole(value: Any) -> int:
    number = int(value)
    if isinstance(value, bool) or number < 1 or (not isinstance(value, str) and number != value):
        raise ValueError
    return number


def _read_truth(value: Any) -> bool:
    return {"True": True, "true": True, "False": False, "false": False}[str(value)]


def _write(value: Any) -> str:
    if isinstance(value, tuple):
        return JOIN.join(map(_write, value))
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return str(value)
