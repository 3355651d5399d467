"""Data sets by name. To add one, put a file in this folder that registers its loader."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable
from pathlib import Path

from benchmark.datasets.base import FactorDataset
from benchmark.datasets.contract import OUT_OF_MEMORY
from benchmark.errors import UsageError, one_line, unknown

Loader = Callable[..., FactorDataset]
REGISTRY: dict[str, Loader] = {}
VERSIONS: dict[str, int] = {}


class NameTakenError(ValueError):
    """Another data set is registered under that name."""


def register(name: str, version: int = 1) -> Callable[[Loader], Loader]:
    """Register a function `(device, data_dir) -> FactorDataset` under a name.

    `version` is raised whenever a change alters images or factors; it is part of a run's identity.

    Raises:
        ValueError: it is no name of small letters, digits and underscores.
        NameTakenError: the name is taken; the message says where.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"a data set's name is of small letters, digits and underscores, not {name!r}")

    def add(loader: Loader) -> Loader:
        if name in REGISTRY:
            where = f"{REGISTRY[name].__module__} in {inspect.getsourcefile(REGISTRY[name])}"
            raise NameTakenError(f"data set {name!r} is registered already, by {where}")
        REGISTRY[name], VERSIONS[name] = loader, version
        return loader

    return add


def load(name: str, device: str = "cpu", data_dir: Path | str | None = None) -> FactorDataset:
    """The data set of that name; its images are made when first asked for.

    Args:
        device: where images are gathered, for example "cpu" or "cuda".
        data_dir: a folder that holds published files, used in place of a rendering.

    Raises:
        UsageError: no such data set, its loader breaks or gives something else, or `data_dir` lacks the published file.
    """
    if name not in REGISTRY:
        raise unknown("data set", name, REGISTRY)
    try:
        dataset: object = REGISTRY[name](device=device, data_dir=Path(data_dir) if data_dir else None)
    except (UsageError, *OUT_OF_MEMORY):
        raise
    except Exception as error:  # a loader of one's own breaks in any way
        raise UsageError(one_line(f"data set {name!r} cannot be loaded ({type(error).__name__}: {error}).")) from error
    if not isinstance(dataset, FactorDataset):
        given = type(dataset).__name__
        raise UsageError(f"data set {name!r} is given as {given}, where a FactorDataset is needed.")
    return dataset


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
