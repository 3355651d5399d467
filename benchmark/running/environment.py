"""What a result was made with: the device, the processor, the versions."""

import importlib.metadata
import platform
from functools import cache
from pathlib import Path
from typing import Any

import torch

import methods
from benchmark import datasets
from benchmark.plugins import present_code
from benchmark.spec import RunSpec
from benchmark.training.harness import Training

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn")


def describe_environment(training: Training, spec: RunSpec, device: torch.device, threads: int) -> dict[str, Any]:
    """What made a training, and how fast: what `environment.json` holds."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "threads": threads,
        "precision": training.precision,
        "pack": training.pack,
        "peak_memory": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,  # bytes, of the pack
        "seconds": training.seconds,  # of the pack
        "steps_per_second": spec.protocol.steps / training.seconds if training.history else None,  # of each of its runs
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": package_versions(),
        "code": code_of_run(spec),
    }


def code_of_run(spec: RunSpec) -> dict[str, str]:
    """What tells the code of plugins that train the run; empty texts where it is the project's own."""
    return {
        "method": present_code(methods.REGISTRY, spec.method) or "",
        "dataset": present_code(datasets.REGISTRY, spec.dataset) or "",
    }


@cache
def package_versions() -> dict[str, str]:
    """Of the packages that decide numbers."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def _processor() -> str:
    """The processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
