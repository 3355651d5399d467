"""Data sets by name. To add one, put a file in this folder whose loader wears `@register("name")`.

The files, and torch with them, are imported when `REGISTRY` or `VERSIONS` is first asked for, as those of methods are.
"""

import inspect
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark.errors import UsageError, blaming, unknown
from methods.folder import Folder

if TYPE_CHECKING:
    from benchmark.datasets.base import FactorDataset

Loader = Callable[..., "FactorDataset"]


@dataclass(frozen=True)
class About:
    """What a reader of `list datasets` is told beside what the data set says of itself.

    Attributes:
        purpose: what it is for.
        licence: of the data; "ours" where they are rendered here from scratch.
        file: name of the published file or folder that is looked for, empty where there is none.
        publisher: who publishes it, and how large it is.
    """

    purpose: str = ""
    licence: str = ""
    file: str = ""
    publisher: str = ""


NAME = re.compile(r"[a-z][a-z0-9_]*")
FOLDER = Folder(__name__)
REGISTRY: dict[str, Loader]
VERSIONS: dict[str, int]
ABOUT: dict[str, About] = {}
_registered: dict[str, Loader] = {}
_versions: dict[str, int] = {}


class NameTakenError(ValueError):
    """Another data set is registered under that name."""


def register(name: str, version: int = 1, about: About | None = None) -> Callable[[Loader], Loader]:
    """Register a function `(device, data_dir) -> FactorDataset` under a name.

    `version` is raised whenever a change alters images or factors; it is part of a run's identity.

    Raises:
        ValueError: it is no name of small letters, digits and underscores, or what else is said is of the wrong kind.
        NameTakenError: the name is taken; the message says where.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"a data set's name is of small letters, digits and underscores, not {name!r}")
    if not (isinstance(version, int) and version >= 1):
        raise ValueError(f"version of {name} is {version!r}; a whole number from 1 is needed")
    if not isinstance(about, About | None):
        raise ValueError(f"about of {name} is {about!r}; benchmark.datasets.About is needed")

    def add(loader: Loader) -> Loader:
        if not loader.__module__.startswith(f"{__name__}."):
            FOLDER.load()  # this folder's come first
        if name in _entries():
            where = f"{_entries()[name].__module__} in {inspect.getsourcefile(_entries()[name])}"
            raise NameTakenError(f"data set {name!r} is registered already, by {where}")
        _entries()[name], _versions[name], ABOUT[name] = loader, version, about or About()
        return loader

    return add


def load(name: str, device: str = "cpu", data_dir: Path | str | None = None, world: str = "") -> "FactorDataset":
    """The data set of that name; its images are made, or read, when first asked for.

    Args:
        device: where images are gathered, for example "cpu" or "cuda".
        data_dir: a folder that holds published files, used in place of a rendering, and data of one's own:
            NAME.npz or a folder NAME of pictures (see `benchmark.datasets.own`); by default $DISENTANGLEMENT_DATA.
        world: what training images are drawn from (see `benchmark.datasets.worlds`); empty: all images alike.

    Raises:
        UsageError: no such data set, its loader breaks or gives something else, or `data_dir` lacks the published file.
    """
    folder = data_folder(data_dir)
    refuse_unknown(name, folder)
    FOLDER.load()
    from benchmark.datasets.base import FactorDataset
    from benchmark.datasets.contract import OUT_OF_MEMORY
    from benchmark.datasets.own import load_own
    from benchmark.datasets.worlds import enter

    with blaming(f"data set {name!r} cannot be loaded", *OUT_OF_MEMORY):
        if name in _entries():
            _refuse_hidden(name, folder)
            dataset: object = _entries()[name](device=device, data_dir=folder)
        else:
            dataset = load_own(name, device, folder)
    if not isinstance(dataset, FactorDataset):
        given = type(dataset).__name__
        raise UsageError(f"data set {name!r} is given as {given}, where a FactorDataset is needed.")
    with blaming(f"data set {name!r} cannot be used", *OUT_OF_MEMORY):
        for attribute in ("name", "source", "factor_names", "factor_sizes", "image_shape", "table", "world", "device"):
            getattr(dataset, attribute)  # of a class that forgets to call its base's
        len(dataset)
    return enter(dataset, world) if world else dataset


def prepare(dataset: "FactorDataset") -> None:
    """Make the images of a data set ready, and show how far that is.

    Raises:
        UsageError: they cannot be made.
    """
    from benchmark.datasets.contract import OUT_OF_MEMORY

    with blaming(f"data set {dataset.name!r} cannot be made ready", *OUT_OF_MEMORY):
        dataset.prepare(progress=True)


def _refuse_hidden(name: str, folder: Path | None) -> None:
    """Refuse data of one's own that nobody would look at, as their name is that of a set which is read from no file."""
    file = f"{name}.npz"
    if folder is not None and not ABOUT[name].file and (folder / file).is_file():
        raise UsageError(f"{folder} holds {file}, but {name} is the name of a registered data set; rename the file.")


def data_folder(data_dir: Path | str | None) -> Path | None:
    """The folder of data files that is named, else the environment's, else None."""
    named = data_dir or os.environ.get("DISENTANGLEMENT_DATA")
    return Path(named) if named else None


def is_known(name: str, data_dir: Path | str | None = None) -> bool:
    """Whether a data set of that name is registered, or lies in the folder of data; waits for no import."""
    return name in FOLDER.names or name in _entries() or name in _own(data_folder(data_dir))


def refuse_unknown(name: str, data_dir: Path | None = None) -> None:
    """Raise UsageError, with the nearest one, if there is no data set of that name; waits for no import."""
    if not is_known(name, data_dir):
        if data_dir and not NAME.fullmatch(name) and name == Path(name).name and _lies_in(data_dir, name):
            takes = "small letters, digits and underscores, a letter first"
            raise UsageError(f"{data_dir} holds {name!r}, and a data set's name is of {takes}; rename it.")
        raise unknown("data set", name, {*FOLDER.names, *_entries(), *_own(data_folder(data_dir))})


def _lies_in(folder: Path, name: str) -> bool:
    return (folder / name).is_dir() or (folder / f"{name}.npz").is_file()


def _own(folder: Path | None) -> set[str]:
    """The names of what may be data of one's own in the folder."""
    if folder is None or not folder.is_dir():
        return set()
    found = [path for path in folder.iterdir() if path.is_dir() or path.suffix == ".npz"]
    return {path.stem for path in found if NAME.fullmatch(path.stem)}


def _entries() -> dict[str, Loader]:
    """What is registered so far: in `REGISTRY`, where somebody has put another there."""
    return globals().get("REGISTRY", _registered)


def __getattr__(name: str) -> dict[str, Any]:
    if name not in ("REGISTRY", "VERSIONS"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    FOLDER.load()
    return _registered if name == "REGISTRY" else _versions
