"""The suite on other machines, as far as this one can stand for them: `python -m tests.settings [NAME ...]`.

Each setting (plain, avx2, default, core, busy) runs all tests and prints how it ended and how long it took.
"""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Without the vector units and the bf16 of newer processors, in torch's own kernels and in oneDNN's.
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "DNNL_MAX_CPU_ISA": "AVX2", "DISENTANGLEMENT_PRECISION": "fp32"}
SETTINGS: dict[str, dict[str, str]] = {
    "plain": {},
    "avx2": AVX2,
    "default": AVX2 | {"ATEN_CPU_CAPABILITY": "default"},
    "core": {},  # one of this machine's
    "busy": {},  # beside a process that takes a core for itself
}


@contextlib.contextmanager
def _burden(busy: bool) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
    try:
        yield
    finally:
        if process:
            process.kill()
            process.wait()


def run_suite(name: str) -> bool:
    """Run all tests under that setting; whether they passed."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "not slow", "-p", "no:cacheprovider"]
    cores = sorted(os.sched_getaffinity(0))
    began = time.monotonic()
    with _burden(name == "busy"):
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | SETTINGS[name],
            capture_output=True,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores[:1] if name == "core" else cores),
        )
    lines = done.stdout.splitlines() or ["nothing was printed"]
    failed = [line for line in lines if re.match("FAILED|ERROR", line)]
    print(f"{name}: {lines[-1]}, {time.monotonic() - began:.0f} s in all", *failed, sep="\n  ", flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    chosen = sys.argv[1:] or [*SETTINGS]
    if strange := set(chosen) - set(SETTINGS):
        sys.exit(f"unknown setting {min(strange)!r}; choose from {', '.join(SETTINGS)}.")
    passed = [run_suite(name) for name in chosen]
    sys.exit(0 if all(passed) else 1)
