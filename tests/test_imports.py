"""Imports run one way: run_benchmark -> benchmark -> methods, metrics; and downward inside benchmark/.

`python tests/test_imports.py` prints which room leans on which.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOUSES = {"run_benchmark", "benchmark", "methods", "metrics"}
MAY_IMPORT = {
    "run_benchmark": {"benchmark"},
    "benchmark": {"benchmark", "methods", "metrics"},
    "methods": {"methods"},
    "metrics": {"metrics"},
}
# All rooms by storey: each may import those of the storeys below it, and none of its own.
STOREYS = [
    {"run_benchmark"},
    {"cli"},
    {"options"},
    {"running", "report", "checks"},
    {"scoring"},
    {"storage"},
    {"training"},
    {"spec", "plugins"},
    {"datasets", "presets", "arrays"},
    {"attempts"},
    {"errors", "methods", "metrics"},
]
ROOMS = {room: height for height, storey in enumerate(reversed(STOREYS)) for room in storey}


def _imported(path: Path) -> Iterator[str]:
    """Every module that the file imports, by its full name, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            # What is imported from benchmark itself is a room.
            names = [f"benchmark.{alias.name}" for alias in node.names] if node.module == "benchmark" else [node.module]
            yield from filter(None, names)


def _files(house: str) -> list[Path]:
    return [ROOT / "run_benchmark.py"] if house == "run_benchmark" else sorted((ROOT / house).rglob("*.py"))


def _room_of(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    return parts[1 if parts[0] == "benchmark" else 0].removesuffix(".py")


def _room_of_module(name: str) -> str:
    """The room that a module of ours is in: `benchmark.storage.store` is in storage, `metrics.base` in metrics."""
    parts = name.split(".")
    return parts[1] if parts[0] == "benchmark" and len(parts) > 1 else parts[0]


def _imports_between_rooms() -> list[tuple[str, str]]:
    """Each import of one room by another, once an import."""
    ours = [(_room_of(path), name) for house in HOUSES for path in _files(house) for name in _imported(path)]
    pairs = [(room, _room_of_module(name)) for room, name in ours if name.partition(".")[0] in HOUSES]
    return [(room, other) for room, other in pairs if room != other]


@pytest.mark.parametrize("house", sorted(HOUSES))
def test_a_house_knows_only_those_below(house):
    files = _files(house)
    assert files
    for path in files:
        assert {name.partition(".")[0] for name in _imported(path)} & HOUSES <= MAY_IMPORT[house], path


def test_every_room_has_a_storey():
    rooms = {_room_of(path) for house in HOUSES for path in _files(house)} - {"__init__"}
    assert rooms == set(ROOMS)


def test_no_import_runs_up():
    imports = _imports_between_rooms()
    assert imports
    assert [pair for pair in imports if ROOMS[pair[1]] >= ROOMS[pair[0]]] == []


def test_a_packages_front_imports_its_own_room_alone():
    for path in _files("benchmark"):
        if path.name == "__init__.py" and _room_of(path) not in ("__init__", "datasets"):
            own = f"benchmark.{_room_of(path)}."
            assert all(name.startswith(own) for name in _imported(path)), path


def test_metrics_know_no_torch():
    for path in _files("metrics"):
        assert not any(name.partition(".")[0] == "torch" for name in _imported(path)), path


def test_front_door_is_short():
    assert len((ROOT / "run_benchmark.py").read_text().splitlines()) < 20


if __name__ == "__main__":
    between = _imports_between_rooms()
    print(f"{len(ROOMS)} rooms; {len(set(between))} lean on another, in {len(between)} imports")
    for room in reversed(ROOMS):
        print(f"{room:>13} -> {', '.join(sorted({other for own, other in between if own == room})) or 'none'}")
