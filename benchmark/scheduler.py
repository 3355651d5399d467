"""Carries out many runs, each in a process of its own, through joblib."""

import importlib.metadata
import platform
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from joblib import Parallel, cpu_count, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError
from threadpoolctl import threadpool_limits
from torch import nn

from benchmark import datasets
from benchmark.datasets.base import FactorDataset
from benchmark.harness import Training, build, choose_device, train
from benchmark.scoring import (
    apply_metric,
    chosen_metrics,
    draw_pictures,
    encode_probe,
    encode_table,
    measure,
    rows_of_run,
)
from benchmark.spec import RunSpec
from benchmark.store import RunFolder, run_folder
from methods.base import Method

PROGRESS_SECONDS = 1.0
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn")


@dataclass(frozen=True)
class Workplace:
    """Where and how runs are carried out; nothing here changes a result beyond rounding.

    Attributes:
        threads: of each run; the order of additions, and so the last digits, depend on it.
    """

    out: Path
    device: str = "auto"
    jobs: int = 1
    threads: int = 1
    data_dir: Path | None = None
    metrics: Sequence[str] = ("all",)


@dataclass(frozen=True)
class Outcome:
    """How a run ended; `reason` is one line, empty where it finished with every metric."""

    run_id: str
    finished: bool
    reason: str = ""


def default_jobs(device: str) -> int:
    """As many runs side by side as there are cores, or one on a GPU."""
    return 1 if choose_device(device).type == "cuda" else cpu_count()


def is_done(spec: RunSpec, workplace: Workplace) -> bool:
    """Whether the run has finished with every metric of this workplace at its present version."""
    folder = run_folder(workplace.out, spec.run_id)
    return folder.finished and not _missing_metrics(folder, workplace)


def run_all(specs: Sequence[RunSpec], workplace: Workplace) -> Iterator[Outcome]:
    """Carry out the runs, side by side; yields each one's outcome as it ends."""
    for spec in specs:  # what a killed sweep left behind
        run_folder(workplace.out, spec.run_id).clear_progress()
    parallel = Parallel(n_jobs=min(workplace.jobs, len(specs)), return_as="generator_unordered", batch_size=1)
    waiting = [spec.run_id for spec in specs]
    try:
        for outcome in parallel(delayed(execute)(spec, workplace) for spec in specs):
            waiting.remove(outcome.run_id)
            yield outcome
    except TerminatedWorkerError:
        for run_id in waiting:
            yield Outcome(run_id, finished=False, reason="a process of this sweep was killed, perhaps for memory")


def execute(spec: RunSpec, workplace: Workplace) -> Outcome:
    """Train (unless that is stored) and score one run; a failure is stored and told, not raised."""
    folder = run_folder(workplace.out, spec.run_id)
    threads_before = torch.get_num_threads()
    try:
        torch.set_num_threads(workplace.threads)
        with threadpool_limits(workplace.threads):
            errors = _train_and_score(spec, workplace, folder)
        reason = "; ".join(f"{metric}: {error}" for metric, error in errors.items())
        folder.write_json("status.json", {"state": "finished", "reason": reason})
        return Outcome(spec.run_id, finished=not errors, reason=reason)
    except Exception as error:
        reason = _one_line(error)
        status = {"state": "failed", "reason": reason, "traceback": traceback.format_exc()}
        with suppress(OSError):  # a full disk may be the failure itself
            folder.write_json("status.json", status)
        return Outcome(spec.run_id, finished=False, reason=reason)
    finally:
        with suppress(OSError):
            folder.clear_progress()
        torch.set_num_threads(threads_before)


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _train_and_score(spec: RunSpec, workplace: Workplace, folder: RunFolder) -> dict[str, str]:
    """Bring the run's folder up to date; returns the metrics that failed and why."""
    # Where the products are said to be float32 they are, on every device.
    torch.backends.cudnn.allow_tf32 = False
    device = choose_device(workplace.device)
    dataset = datasets.load(spec.dataset, str(device), workplace.data_dir)
    folder.write_json("spec.json", spec.to_dict())
    method, networks = build(spec, dataset.image_shape)
    if not (folder.trained and folder.load_networks(networks)):
        training = train(spec, dataset, report=_reporter(folder, spec.protocol.steps))
        folder.write_training(training.networks, training.history, _environment(training, device, workplace))
        networks = training.networks
    folder.write_progress({"phase": "scoring"})
    return _score(spec, dataset, workplace, folder, method, networks.to(dataset.device).eval())


def _score(
    spec: RunSpec,
    dataset: FactorDataset,
    workplace: Workplace,
    folder: RunFolder,
    method: Method,
    networks: nn.ModuleDict,
) -> dict[str, str]:
    """Bring scores.json up to date, where values of present versions stay; returns what failed and why."""
    rows = rows_of_run(spec, dataset)
    table = encode_table(method, networks, dataset, rows)
    scores = folder.read_json("scores.json")
    stored = scores.get("metrics", {})
    errors: dict[str, str] = {}
    for name in _missing_metrics(folder, workplace):
        try:
            stored[name] = apply_metric(chosen_metrics([name])[name], table, spec.seed) | {"packages": _versions()}
        except Exception as error:
            stored.pop(name, None)
            errors[name] = _one_line(error)
    if not folder.probed:
        folder.write_arrays("probe.npz", {"codes": encode_probe(method, networks, dataset)})
    if "measures" not in scores:
        folder.write_arrays("pictures.npz", draw_pictures(method, networks, dataset, rows))
        scores["measures"] = measure(method, networks, dataset, rows, spec)
    scores |= {
        "rows": {"train": len(rows.train), "test": len(rows.test)},
        "metrics": {name: stored[name] for name in sorted(stored)},
    }
    folder.write_json("scores.json", scores)
    return errors


def _missing_metrics(folder: RunFolder, workplace: Workplace) -> list[str]:
    stored = folder.read_json("scores.json").get("metrics", {})
    wanted = chosen_metrics(workplace.metrics)
    return [name for name, metric in wanted.items() if stored.get(name, {}).get("version") != metric.version]


def _reporter(folder: RunFolder, steps: int) -> Callable[[int, float], None]:
    began = time.monotonic()
    written = -PROGRESS_SECONDS

    def report(step: int, loss: float) -> None:
        nonlocal written
        now = time.monotonic()
        if now - written >= PROGRESS_SECONDS:
            written = now
            rate = step / (now - began)
            content = {"phase": "training", "step": step, "steps": steps, "loss": loss, "steps_per_second": rate}
            folder.write_progress(content)

    return report


def _environment(training: Training, device: torch.device, workplace: Workplace) -> dict[str, Any]:
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "threads": workplace.threads,
        "precision": training.precision,
        "steps_per_second": training.steps_per_second,
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": _versions(),
    }


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def _processor() -> str:
    """The processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
