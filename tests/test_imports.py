"""Imports run one way: run_benchmark -> benchmark -> methods, metrics."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = {"run_benchmark", "benchmark", "methods", "metrics"}
MAY_IMPORT = {
    "run_benchmark": {"benchmark"},
    "benchmark": {"benchmark", "methods", "metrics"},
    "methods": {"methods"},
    "metrics": {"metrics"},
}


def _imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


def _files(room: str) -> list[Path]:
    return [ROOT / "run_benchmark.py"] if room == "run_benchmark" else sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_knows_only_the_rooms_below(room):
    files = _files(room)
    assert files
    for path in files:
        assert _imported(path) & ROOMS <= MAY_IMPORT[room], path


def test_metrics_know_no_torch():
    for path in _files("metrics"):
        assert "torch" not in _imported(path), path


def test_front_door_is_short():
    assert len((ROOT / "run_benchmark.py").read_text().splitlines()) < 20
