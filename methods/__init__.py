"""Methods by name. To add one, put a file in this folder whose class wears `@register("name")`.

The files, and torch with them, are imported when `REGISTRY` is first asked for; `names` does not wait for it.
"""

import inspect
import re
from collections.abc import Callable
from typing import TypeVar

from methods.base import Method, refuse_no_method
from methods.folder import Folder

FOLDER = Folder(__name__)
REGISTRY: dict[str, type[Method]]
_registered: dict[str, type[Method]] = {}
AnyMethod = TypeVar("AnyMethod", bound=type[Method])


class NameTakenError(ValueError):
    """Another method is registered under that name."""


def register(name: str) -> Callable[[AnyMethod], AnyMethod]:
    """Register a method's class under a name.

    Raises:
        ValueError: it is no name of small letters, digits and underscores, or what wears it is no method.
        NameTakenError: the name is taken; the message says where.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"a method's name is of small letters, digits and underscores, not {name!r}")

    def add(cls: AnyMethod) -> AnyMethod:
        if not cls.__module__.startswith(f"{__name__}."):
            FOLDER.load()  # this folder's come first
        if name in _entries():
            taken = _entries()[name]
            where = f"{taken.__module__}.{taken.__qualname__} in {inspect.getsourcefile(taken)}"
            raise NameTakenError(f"method {name!r} is registered already, by {where}")
        refuse_no_method(cls, name)
        cls.name = name
        _entries()[name] = cls
        return cls

    return add


def names() -> set[str]:
    """The names of all methods, those of this folder as they stand in its files."""
    return {*FOLDER.names, *_entries()}


def _entries() -> dict[str, type[Method]]:
    """What is registered so far: in `REGISTRY`, where somebody has put another there."""
    return globals().get("REGISTRY", _registered)


def __getattr__(name: str) -> dict[str, type[Method]]:
    if name != "REGISTRY":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    FOLDER.load()
    return _registered
