"""Spreads the packs of a sweep over processes of their own: on this machine's cores, beside a GPU, or on a cluster."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

from joblib import cpu_count

from benchmark import datasets
from benchmark.datasets.contract import check_dataset
from benchmark.errors import describe
from benchmark.running import isolation
from benchmark.running.cluster import map_on_cluster
from benchmark.running.execution import (
    Encoded,
    Outcome,
    Pack,
    Workplace,
    execute,
    fail,
    score_encoded,
    train_and_encode,
)
from benchmark.spec import RunSpec
from benchmark.storage.store import run_folder
from benchmark.training.harness import blaming_method, choose_device, find_objection, make_method, objection_to
from benchmark.training.planner import group_by_shape, plan_packs

LOG = "log.txt"
SCORING_LOG = "scoring-log.txt"

Work = Callable[[Any, Workplace], Iterator[Any]]  # on runs, done in a process of its own


class ProcessError(RuntimeError):
    """A run's process did not end by itself and well."""


def default_jobs(device: str) -> int:
    """As many runs side by side as there are cores, or one on a GPU."""
    return 1 if choose_device(device).type == "cuda" else cpu_count()


def leave_out(specs: Sequence[RunSpec], data_dir: Path | None) -> tuple[list[RunSpec], list[str]]:
    """The runs whose methods apply to their data sets, and a sentence for each reason why one does not."""
    worlds = {(spec.dataset, spec.world) for spec in specs}
    data = {(name, world): datasets.load(name, "cpu", data_dir, world) for name, world in worlds}
    found = [data[spec.dataset, spec.world] for spec in specs]
    reasons = []
    for spec, dataset in zip(specs, found, strict=True):
        with blaming_method(spec):
            reasons.append(objection_to(make_method(spec, dataset), dataset))
    told = {
        f"{spec.method} on {' '.join(filter(None, (spec.dataset, spec.world)))} left out: {reason}"
        for spec, reason in zip(specs, reasons, strict=True)
        if reason
    }
    return [spec for spec, reason in zip(specs, reasons, strict=True) if not reason], sorted(told)


def prepare(specs: Sequence[RunSpec], data_dir: Path | None) -> None:
    """Make data sets ready, and see that they and the methods are fit to be trained on one another.

    Raises:
        UsageError: they are not; nothing has been trained.
    """
    for name, world in sorted({(spec.dataset, spec.world) for spec in specs}):
        dataset = datasets.load(name, "cpu", data_dir, world)
        datasets.prepare(dataset)
        check_dataset(dataset)
        for first, *_ in group_by_shape([spec for spec in specs if (spec.dataset, spec.world) == (name, world)]):
            find_objection(first, dataset)


def run_all(specs: Sequence[RunSpec], workplace: Workplace) -> Iterator[Outcome]:
    """Carry out the runs, in packs and side by side; yields each one's outcome as it ends."""
    device = choose_device(workplace.device)
    if workplace.backend == "dask":
        carry_out_all = run_on_cluster
    else:
        carry_out_all = score_beside_training if device.type == "cuda" else run_side_by_side
    busy = set()
    for outcome in carry_out_all(plan_packs(specs, device, workplace.pack, workplace.data_dir), workplace):
        if outcome.busy:
            busy.add(outcome.run_id)
        else:
            yield outcome
    left = [spec for spec in specs if spec.run_id in busy]
    if left:
        yield from carry_out_all(
            plan_packs(left, device, workplace.pack, workplace.data_dir), replace(workplace, wait=True)
        )


def run_side_by_side(packs: Sequence[Pack], workplace: Workplace) -> Iterator[Outcome]:
    """Each pack trained and scored in a process of its own."""
    return _side_by_side(packs, lambda pack: carry_out(pack, workplace), workplace)


def score_again(runs: Sequence[Encoded], workplace: Workplace) -> Iterator[Outcome]:
    """Runs that are encoded already scored with what is missing, each in a process of its own."""
    return _side_by_side(runs, lambda run: _alone(score_encoded, [run], workplace, SCORING_LOG), workplace)


def _side_by_side(
    items: Sequence[Any], work: Callable[[Any], list[Outcome]], workplace: Workplace
) -> Iterator[Outcome]:
    """What the work gives of each item, `jobs` at a time, as it ends.

    Where the cores may be shared and fewer items wait than there are jobs, they start at once: three runs on two cores
    take the time of one and a half, where one after the other the last would have one core and the other none.
    """
    isolation.stopping.clear()
    waiting = deque(items)
    running: set[Future[list[Outcome]]] = set()
    most = 2 * workplace.jobs - 1 if workplace.shared else workplace.jobs
    with ThreadPoolExecutor(most) as pool:
        try:
            while waiting or running:
                while waiting and len(running) < (most if len(waiting) < workplace.jobs else workplace.jobs):
                    running.add(pool.submit(work, waiting.popleft()))
                ended, running = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    yield from future.result()
        except BaseException:  # the user's interrupt, above all
            isolation.stop_all()
            raise


def run_on_cluster(packs: Sequence[Pack], workplace: Workplace) -> Iterator[Outcome]:
    """Each pack in a process of its own on some worker of a Dask cluster, which has its own device."""
    folder = workplace.data_dir and workplace.data_dir.absolute()
    shared = replace(workplace, out=workplace.out.absolute(), data_dir=folder)
    calls = ((pack, shared) for pack in packs)
    for outcomes in map_on_cluster(carry_out, calls, workplace.dask_scheduler, workplace.jobs):
        yield from outcomes


def carry_out(pack: Pack, workplace: Workplace) -> list[Outcome]:
    """Train and score the runs in a process of their own; what becomes of it costs the run at fault alone."""
    return _alone(execute, pack, workplace, LOG)


def score_beside_training(packs: Sequence[Pack], workplace: Workplace) -> Iterator[Outcome]:
    """One pack after the other trained and encoded, and scored on the cores while the next one trains."""
    isolation.stopping.clear()
    with ThreadPoolExecutor(1) as trainer, ThreadPoolExecutor(cpu_count()) as scorers:
        pending = {trainer.submit(_alone, train_and_encode, pack, workplace, LOG) for pack in packs}
        try:
            while pending:
                ended, pending = wait(pending, return_when=FIRST_COMPLETED)
                for run in chain.from_iterable(future.result() for future in ended):
                    if isinstance(run, Outcome):
                        yield run
                    else:
                        pending.add(scorers.submit(_alone, score_encoded, [run], workplace, SCORING_LOG))
        except BaseException:
            isolation.stop_all()
            raise


def _alone(work: Work, runs: Sequence[Any], workplace: Workplace, log: str) -> list[Any]:
    """What the work yields of each run, done in a process of its own; where it ends early, in halves of what is left.

    Args:
        runs: specifications, or runs as far as they have come.
        log: the file in the first run's folder that takes what the process prints.
    """
    if isolation.stopping.is_set():
        return []
    path = run_folder(workplace.out, runs[0].run_id).path / log
    ending = isolation.call_isolated(work, (runs, workplace), path, workplace.timeout)
    told = {run.run_id for run in ending.told}
    left = [run for run in runs if run.run_id not in told]
    if isolation.stopping.is_set() or not left:
        return ending.told
    if len(left) == 1:
        error = ProcessError(ending.reason or "its process ended early")
        return [*ending.told, _fail(left[0].run_id, error, workplace)]
    half = len(left) // 2
    smaller = replace(
        workplace, note=f"its pack of {len(runs)} was halved: {ending.reason or 'its process ended early'}"
    )
    return [*ending.told, *_alone(work, left[:half], smaller, log), *_alone(work, left[half:], smaller, log)]


def _fail(run_id: str, error: BaseException, workplace: Workplace) -> Outcome:
    """Store that the run failed, but for one that another sweep is at, as when the process ended in waiting for it."""
    with ExitStack() as locks:
        if run_folder(workplace.out, run_id).lock(locks, False, isolation.stopping.is_set):
            return fail(run_id, error, workplace)
    return Outcome(run_id, finished=False, reason=describe(error))
