"""Methods, metrics and data sets from outside the project: a user's files, and installed packages."""

import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

import methods
import metrics
from benchmark import datasets
from benchmark.errors import BROKEN, UsageError, describe
from metrics.options import base_of

GROUPS = tuple(f"disentanglement_benchmark.{kind}" for kind in ("methods", "metrics", "datasets"))
TAKEN = (methods.NameTakenError, metrics.NameTakenError, datasets.NameTakenError)
_loaded: set[str] = set()  # what is loaded, or has failed, in this process
_digests: dict[str, str] = {}  # of the code of each plugin's module, as it was executed


def _registries() -> tuple[dict[str, Any], ...]:
    """What a plugin may add to."""
    return methods.REGISTRY, metrics.REGISTRY, datasets.REGISTRY, datasets.VERSIONS


def __getattr__(name: str) -> tuple[dict[str, Any], ...]:
    if name != "REGISTRIES":  # which are not imported before they are asked for
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _registries()


def load_plugins(files: Sequence[Path] = ()) -> list[str]:
    """Load what installed packages offer under `GROUPS`, then the files; what is loaded already stays.

    Returns:
        A warning, one sentence, for each plugin that breaks; nothing that it registered stays.

    Raises:
        UsageError: a file cannot be read, or a name is registered already.
    """
    warnings = []
    offered = entry_points()
    for group in GROUPS:
        for entry in offered.select(group=group):
            warnings += _load(f"{entry.name} ({entry.value})", f"{group} {entry.value}", partial(_import, entry))
    for file in files:
        if not file.is_file():
            raise UsageError(f"there is no plugin file {file}; name a Python file.")
        path = file.resolve()
        warnings += _load(str(file), str(path), partial(_execute, path))
    return warnings


def _load(label: str, identity: str, load: Callable[[], object]) -> list[str]:
    if identity in _loaded:
        return []
    _loaded.add(identity)
    try:
        with _all_or_nothing():
            load()
    except TAKEN as error:
        _loaded.discard(identity)
        raise UsageError(f"plugin {label}: {error}.") from error
    except BROKEN as error:
        return [f"plugin {label} is left out, as it breaks: {describe(error)}"]
    return []


@contextmanager
def _all_or_nothing() -> Iterator[None]:
    """Take back what is registered where an error ends the block."""
    registries = _registries()
    before = [dict(registry) for registry in registries]
    try:
        yield
    except BaseException:
        for registry, entries in zip(registries, before, strict=True):
            registry.clear()
            registry.update(entries)
        raise


def present_code(registry: Mapping[str, Any], name: str) -> str | None:
    """What tells the code that a registered name has now from what it had: a digest of its plugin's files.

    Empty for the project's own, whose code has versions; None where nothing of that name is registered.
    A file that a plugin imports is not looked at, but for one with a class that it builds on.
    """
    if name not in registry:
        return None
    entry = registry[name]
    function = getattr(entry, "function", entry)  # of a metric
    kinds = function.__mro__ if isinstance(function, type) else (function,)
    modules = {str(getattr(kind, "__module__", "")) for kind in kinds}
    return _digest(*sorted(_digests[module] for module in modules & _digests.keys()))


class Code(NamedTuple):
    """What tells the code that made something, and the one it has now: None where that is not known."""

    made: str | None
    present: str | None

    @property
    def differs(self) -> bool:
        """Whether both are known and are not one."""
        return None not in self and self.made != self.present


def differing(codes: Mapping[str, Code]) -> list[str]:
    """What was made by other code of a plugin than its present one."""
    return [what for what, code in codes.items() if code.differs]


def trained_by(spec: Mapping[str, Any], environment: Mapping[str, Any]) -> dict[str, Code]:
    """The code of a run's method and data set, as "method mine", by the content of its files of those names."""
    made = environment.get("code", {})
    method, dataset = spec["method"], spec["dataset"]
    return {
        f"method {method}": Code(made.get("method"), present_code(methods.REGISTRY, method)),
        f"data set {dataset}": Code(made.get("dataset"), present_code(datasets.REGISTRY, dataset)),
    }


def scored_by(scores: Mapping[str, Any]) -> dict[str, Code]:
    """The code of a run's metrics, by its scores.json."""
    scored = scores.get("metrics", {})
    return {name: Code(scored[name].get("code"), present_code(metrics.REGISTRY, base_of(name))) for name in scored}


def _digest(*contents: str | bytes) -> str:
    """Ten characters that tell the contents; none where there are none."""
    content = b"\0".join(each if isinstance(each, bytes) else each.encode() for each in contents)
    return hashlib.sha256(content).hexdigest()[:10] if contents else ""


def _import(entry: EntryPoint) -> None:
    """Import what an installed package offers, and note the code of those of its modules that are imported by then."""
    entry.load()
    package = entry.value.partition(":")[0].partition(".")[0]
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and (name == package or name.startswith(f"{package}.")):
            _digests[name] = _digest(Path(file).read_bytes())


class _AsRead(SourceFileLoader):
    """Runs the content that was read, and not what Python has compiled of a file of that size and time."""

    def __init__(self, name: str, path: Path) -> None:
        super().__init__(name, str(path))
        self.content = path.read_bytes()

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.content, self.path)


def _execute(path: Path) -> None:
    """Import a file as a module of a name of its own."""
    name = f"plugin_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if path.suffix != ".py":
        raise ImportError(f"{path.name} is no Python file")
    loader = _AsRead(name, path)
    module = module_from_spec(ModuleSpec(name, loader, origin=str(path)))
    module.__file__ = str(path)
    sys.modules[name] = module  # where dataclasses look for it
    _digests[name] = _digest(loader.content)
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[name], _digests[name]
        raise
