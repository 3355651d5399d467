"""Methods by name. To add one, put a file in this folder whose class wears `@register("name")`."""

import importlib
import pkgutil
from collections.abc import Callable
from typing import TypeVar

from methods.base import Method

REGISTRY: dict[str, type[Method]] = {}
AnyMethod = TypeVar("AnyMethod", bound=type[Method])


def register(name: str) -> Callable[[AnyMethod], AnyMethod]:
    """Register a method's class under a name.

    Raises:
        ValueError: the name is taken; the message says by which class.
    """

    def add(cls: AnyMethod) -> AnyMethod:
        if name in REGISTRY:
            taken = REGISTRY[name]
            raise ValueError(f"method {name!r} is registered already, by {taken.__module__}.{taken.__qualname__}")
        cls.name = name
        REGISTRY[name] = cls
        return cls

    return add


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
