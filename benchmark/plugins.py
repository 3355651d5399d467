"""Methods, metrics and data sets from outside the project: a user's files, and installed packages."""

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path

import methods
import metrics
from benchmark import datasets
from benchmark.errors import UsageError

GROUPS = tuple(f"disentanglement_benchmark.{kind}" for kind in ("methods", "metrics", "datasets"))
REGISTRIES: tuple[dict, ...] = (methods.REGISTRY, metrics.REGISTRY, datasets.REGISTRY, datasets.VERSIONS)  # type: ignore[type-arg]
TAKEN = (methods.NameTakenError, metrics.NameTakenError, datasets.NameTakenError)
_loaded: set[str] = set()  # what is loaded, or has failed, in this process


def load_plugins(files: Sequence[Path] = ()) -> list[str]:
    """Load what installed packages offer under `GROUPS`, then the files; what is loaded already stays.

    Returns:
        A warning, one sentence, for each plugin that breaks; nothing that it registered stays.

    Raises:
        UsageError: a file cannot be read, or a name is registered already.
    """
    warnings = []
    for group in GROUPS:
        for entry in entry_points(group=group):
            warnings += _load(f"{entry.name} ({entry.value})", f"{group} {entry.value}", entry.load)
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
    except (Exception, SystemExit) as error:
        reason = (f"{type(error).__name__}: {error}".splitlines() or [""])[0]
        return [f"plugin {label} is left out, as it breaks: {reason}"]
    return []


@contextmanager
def _all_or_nothing() -> Iterator[None]:
    """Take back what is registered where an error ends the block."""
    before = [dict(registry) for registry in REGISTRIES]
    try:
        yield
    except BaseException:
        for registry, entries in zip(REGISTRIES, before, strict=True):
            registry.clear()
            registry.update(entries)
        raise


def _execute(path: Path) -> None:
    """Import a file as a module of a name of its own."""
    name = f"plugin_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for it
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
