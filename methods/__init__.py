"""Methods by name. To add one, put a file in this folder whose class wears `@register("name")`."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable
from typing import TypeVar

from methods.base import Method

REGISTRY: dict[str, type[Method]] = {}
AnyMethod = TypeVar("AnyMethod", bound=type[Method])


class NameTakenError(ValueError):
    """Another method is registered under that name."""


def register(name: str) -> Callable[[AnyMethod], AnyMethod]:
    """Register a method's class under a name.

    Raises:
        ValueError: it is no name of small letters, digits and underscores.
        NameTakenError: the name is taken; the message says where.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"a method's name is of small letters, digits and underscores, not {name!r}")

    def add(cls: AnyMethod) -> AnyMethod:
        if name in REGISTRY:
            taken = REGISTRY[name]
            where = f"{taken.__module__}.{taken.__qualname__} in {inspect.getsourcefile(taken)}"
            raise NameTakenError(f"method {name!r} is registered already, by {where}")
        cls.name = name
        REGISTRY[name] = cls
        return cls

    return add


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
