"""What becomes of one pack in its process: trained and encoded on the device, scored on the CPU, stored, told."""

import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

import metrics
from benchmark import datasets
from benchmark.datasets.base import FactorDataset
from benchmark.datasets.contract import check_dataset
from benchmark.errors import BROKEN, DamagedError, UsageError, describe
from benchmark.plugins import differing, load_plugins, present_code, scored_by, trained_by
from benchmark.running import isolation
from benchmark.running.environment import code_of_run, describe_environment, package_versions
from benchmark.scoring.applying import apply_metric, chosen_metrics
from benchmark.scoring.encoding import encode_probe, encode_table, measure, read_table, rows_of_run
from benchmark.scoring.parts import (
    encode_parts,
    measure_parts,
    parts_of_run,
    read_tables,
    scored_on_parts,
    tables_of,
)
from benchmark.scoring.pictures import draw_pictures, picture_run
from benchmark.spec import RunSpec
from benchmark.storage.store import RunFolder, run_folder
from benchmark.training.checkpoint import Checkpoint
from benchmark.training.harness import DivergenceError, Save, Training, build, choose_device, train_pack
from metrics import Metric, Table
from metrics.base import WIDE
from metrics.grouping import describe_groups

PROGRESS_SECONDS = 1.0
CHECKPOINT_SHARE = 0.02  # of a training's time, that checkpoints take at most
GRACE_SHARE = 0.7  # of an interrupt's grace, after which no checkpoint is begun

Pack = Sequence[RunSpec]  # that train together


@dataclass(frozen=True)
class Workplace:
    """Where and how runs are carried out; nothing here changes a result beyond rounding.

    Attributes:
        jobs: runs side by side.
        shared: a few more than `jobs` may share the cores when the last ones wait.
        threads: of each run; the order of additions, and so the last digits, depend on it.
        pack: the most runs that are trained together; None lets the device decide.
        plugins: files to load in every process that carries out runs.
        checkpoint_seconds: between checkpoints of a training; 0 keeps one after every step.
        timeout: seconds after which a pack that is still at work is ended; None lets it work.
        wait: for runs that another sweep is at; without it they are told as busy.
        again: runs that other code of a plugin made are made anew; without it they stay as they are.
        backend: "local" for processes of this machine, "dask" for the workers of a cluster.
        dask_scheduler: a Dask scheduler's address; None starts a cluster on this machine.
        note: what is worth knowing of every run carried out here, in one line.
    """

    out: Path
    device: str = "auto"
    jobs: int = 1
    shared: bool = False
    threads: int = 1
    data_dir: Path | None = None
    metrics: Sequence[str] = ("all",)
    pack: int | None = None
    plugins: tuple[Path, ...] = ()
    checkpoint_seconds: float = 60.0
    timeout: float | None = None
    wait: bool = False
    again: bool = False
    backend: str = "local"
    dask_scheduler: str | None = None
    note: str = ""


class PackTooLargeError(MemoryError):
    """The device's memory does not hold a pack; a process that has failed for it is fit for no other."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        reason: one line, empty where it finished with every metric.
        busy: another sweep is at it.
        note: what else is worth knowing, in one line.
    """

    run_id: str
    finished: bool
    reason: str = ""
    busy: bool = False
    note: str = ""


@dataclass(frozen=True)
class Encoded:
    """A trained run's codes and measures: what is left to do needs no device.

    Attributes:
        tables: of a world's parts, by their names.
        grouped: how vectors of codes were brought to numbers; empty where codes are scored as they are.
    """

    run_id: str
    seed: int
    table: Table
    measures: dict[str, float]
    note: str = ""
    tables: Mapping[str, Table] = field(default_factory=dict)
    grouped: str = ""


def is_done(spec: RunSpec, workplace: Workplace) -> bool:
    """Whether the run has finished with every metric of this workplace at its present version."""
    folder = run_folder(workplace.out, spec.run_id)
    if not (folder.finished and folder.holds_its_own and folder.whole) or missing_metrics(folder, workplace):
        return False
    return not (workplace.again and _trained_otherwise(spec, folder))


def made_by_other_code(spec: RunSpec, workplace: Workplace) -> list[str]:
    """What of a stored run was made by other code of a plugin than its present one, such as "method mine"."""
    folder = run_folder(workplace.out, spec.run_id)
    scored = differing(scored_by(folder.read_json("scores.json")))
    return [*_trained_otherwise(spec, folder), *(f"metric {name}" for name in scored)]


def _trained_otherwise(spec: RunSpec, folder: RunFolder) -> list[str]:
    return differing(trained_by(spec.to_dict(), folder.read_json("environment.json")))


def execute(pack: Pack, workplace: Workplace) -> Iterator[Outcome]:
    """Train the runs (unless they are stored) and score them; failures are stored and told, not raised."""
    for trained in train_and_encode(pack, workplace):
        yield score(trained, workplace) if isinstance(trained, Encoded) else trained


def train_and_encode(pack: Pack, workplace: Workplace) -> Iterator[Encoded | Outcome]:
    """Train what is not stored of the pack, then encode run by run: all that needs the device.

    Each run is locked for as long as the pack takes; one that another sweep holds is told as busy, or waited for.
    """
    load_plugins(workplace.plugins)
    with ExitStack() as locks:
        held = []
        for spec in sorted(pack, key=attrgetter("run_id")):  # in one order everywhere, or sweeps wait for each other
            folder = run_folder(workplace.out, spec.run_id)
            with isolation.waiting():
                is_ours = folder.lock(locks, workplace.wait, isolation.interrupted)
            if not is_ours:
                yield Outcome(spec.run_id, finished=False, reason="another sweep is at it", busy=True)
            elif is_done(spec, workplace):
                yield Outcome(spec.run_id, finished=True)
            else:
                folder.sweep()
                if folder.identified and not folder.holds_its_own:  # another run's, somebody's copy
                    folder.clear()
                # What is finished stays until it is asked for again; what is half done would be of two codes.
                if (workplace.again or not folder.finished) and _trained_otherwise(spec, folder):
                    folder.clear()
                held.append(spec)
        if held:
            yield from _train_and_encode([spec for spec in pack if spec in held], workplace)


def _train_and_encode(pack: Pack, workplace: Workplace) -> Iterator[Encoded | Outcome]:
    # Where the products are said to be float32 they are, on every device.
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    notes = {spec.run_id: workplace.note for spec in pack}
    with _threads(workplace.threads):
        try:
            device = str(choose_device(workplace.device))
            dataset = datasets.load(pack[0].dataset, device, workplace.data_dir, pack[0].world)
            check_dataset(dataset)
            if dataset.source != pack[0].source:  # as where a folder of data is not that of who asked for the run
                told = f"the images of {dataset.name} are {dataset.source!r} here, and the run is of {pack[0].source!r}"
                raise UsageError(f"{told}; name the same data folder everywhere, and leave its files as they are.")
            errors = _train(_untrained(pack, workplace), dataset, workplace, notes)
        except PackTooLargeError:
            raise
        except BROKEN as error:
            errors = {spec.run_id: error for spec in pack}
    for spec in pack:
        with _threads(workplace.threads):
            try:
                if spec.run_id in errors:
                    raise errors[spec.run_id]
                trained: Encoded | Outcome = _encode(spec, dataset, workplace, notes.get(spec.run_id, ""))
            except BROKEN as error:
                trained = fail(spec.run_id, error, workplace)
        yield trained


def _untrained(pack: Pack, workplace: Workplace) -> list[RunSpec]:
    """The runs whose training is not stored, or whose model is damaged, with their folders begun."""
    untrained = []
    for spec in pack:
        folder = run_folder(workplace.out, spec.run_id)
        folder.write_json("spec.json", spec.to_dict())
        if not (folder.trained and folder.sound):
            untrained.append(spec)
    return untrained


def _train(
    specs: Pack, dataset: FactorDataset, workplace: Workplace, notes: dict[str, str]
) -> dict[str, BaseException]:
    """Train runs, from their checkpoints where there are any, and store each; returns why runs failed.

    Args:
        notes: takes what is worth knowing of a run.
    """
    standing = defaultdict(list)  # by the step from which they go on
    for spec in specs:
        folder = run_folder(workplace.out, spec.run_id)
        checkpoint, damaged = folder.read_checkpoint()
        if checkpoint and checkpoint.code != _code(spec):
            damaged = [*damaged, "its checkpoint was made by other code of a plugin"]
            folder.clear_checkpoints()
            checkpoint = None
        if damaged:
            standing_at = f"it went on from step {checkpoint.step}" if checkpoint else "it began anew"
            _note(notes, spec, f"{'; '.join(damaged)}; {standing_at}")
        standing[checkpoint.step if checkpoint else 0].append((spec, checkpoint))
    errors: dict[str, BaseException] = {}
    for runs in standing.values():
        specs, checkpoints = zip(*runs, strict=True)
        errors |= _train_together(specs, None if None in checkpoints else checkpoints, dataset, workplace, notes)
    return errors


def _train_together(
    specs: Pack,
    resume: Sequence[Checkpoint] | None,
    dataset: FactorDataset,
    workplace: Workplace,
    notes: dict[str, str],
    stacked: bool | None = None,
) -> dict[str, BaseException]:
    """Train runs that stand at one step as a pack.

    One that fails as a whole, by one run's fault or as its method cannot be mapped over runs, goes on as runs alone.

    Raises:
        PackTooLargeError: it does not fit into the device's memory.
    """
    errors: dict[str, BaseException] = {}
    try:
        report, save = _reporter(specs, workplace), _saver(specs, workplace)
        trainings = train_pack(specs, dataset, report=report, resume=resume, save=save, stacked=stacked)
        for spec, training in zip(specs, trainings, strict=True):
            if error := _keep(spec, training, dataset, workplace, notes):
                errors[spec.run_id] = error
        return errors
    except DamagedError as error:
        for spec in specs:
            _note(notes, spec, f"{error}; it began anew")
            run_folder(workplace.out, spec.run_id).clear_checkpoints()
        return _train(specs, dataset, workplace, notes)
    except torch.OutOfMemoryError as error:
        if len(specs) > 1:
            raise PackTooLargeError(f"{len(specs)} runs do not fit into the device's memory") from error
        return {specs[0].run_id: error}
    except BROKEN as error:
        was_stacked = stacked is not False and (len(specs) > 1 or dataset.device.type != "cpu")
        if not was_stacked:
            return {specs[0].run_id: error}
        reason = f"trained by itself, as its pack failed ({describe(error)})"
    # Here the error, and with it what its frames held on the device, is gone.
    for spec in specs:
        _note(notes, spec, reason)
        checkpoint, _ = run_folder(workplace.out, spec.run_id).read_checkpoint()
        own = [checkpoint] if checkpoint else None
        errors |= _train_together([spec], own, dataset, workplace, notes, stacked=False)
    return errors


def _keep(
    spec: RunSpec,
    training: Training | DivergenceError,
    dataset: FactorDataset,
    workplace: Workplace,
    notes: dict[str, str],
) -> BaseException | None:
    """Store a trained model, and how it came about; returns why there is none.

    A full disk costs the runs beside it nothing. Checkpoints of a run that ceased to be a number hold none either.
    """
    folder = run_folder(workplace.out, spec.run_id)
    if not isinstance(training, Training):
        folder.clear_checkpoints()
        return training
    _note(notes, spec, training.note)
    environment = describe_environment(training, spec, dataset.device, workplace.threads)
    try:
        folder.clear_results()
        folder.write_training(training.networks, training.history, environment | {"note": notes[spec.run_id]})
        folder.clear_checkpoints()
    except OSError as error:
        return error
    return None


def _note(notes: dict[str, str], spec: RunSpec, told: str) -> None:
    """Add to what is worth knowing of a run."""
    notes[spec.run_id] = "; ".join(filter(None, (notes.get(spec.run_id, ""), told)))


def _code(spec: RunSpec) -> str:
    """What tells the code of plugins that train the run, as a checkpoint holds it."""
    return "".join(code_of_run(spec).values())


def _saver(specs: Pack, workplace: Workplace) -> Save:
    """Keeps checkpoints of the runs every so many seconds (0: after every step), or as seldom as keeps them cheap.

    At an interrupt those are kept for which there is time; of the other runs the checkpoints before stay.
    """
    folders = [run_folder(workplace.out, spec.run_id) for spec in specs]
    codes = [_code(spec) for spec in specs]
    slots = [folder.checkpoint_slots() for folder in folders]
    started, spent = time.monotonic(), 0.0
    due = started + workplace.checkpoint_seconds

    def save(step: int, checkpoints: Callable[[], list[Checkpoint]]) -> None:
        nonlocal due, spent
        began = time.monotonic()
        if isolation.interrupted() or began >= due:
            for folder, checkpoint, code, slot in zip(folders, checkpoints(), codes, slots, strict=True):
                if isolation.interrupted() and time.monotonic() - began > GRACE_SHARE * isolation.GRACE_SECONDS:
                    break
                folder.write_checkpoint(replace(checkpoint, code=code), next(slot))
            ended, seconds = time.monotonic(), workplace.checkpoint_seconds
            took = ended - began
            spent += took
            due = max(ended + seconds, started + (spent + took) / CHECKPOINT_SHARE) if seconds else ended
        if isolation.interrupted():
            raise KeyboardInterrupt

    return save


def _reporter(specs: Pack, workplace: Workplace) -> Callable[[int, list[float]], None]:
    folders = [run_folder(workplace.out, spec.run_id) for spec in specs]
    steps = specs[0].protocol.steps
    began = time.monotonic()
    written = -PROGRESS_SECONDS

    def report(step: int, losses: list[float]) -> None:
        nonlocal written
        now = time.monotonic()
        if now - written < PROGRESS_SECONDS:
            return
        written = now
        progress = {"phase": "training", "step": step, "steps": steps, "steps_per_second": step / (now - began)}
        for folder, loss in zip(folders, losses, strict=True):
            folder.write_progress(progress | {"loss": loss})

    return report


def _encode(spec: RunSpec, dataset: FactorDataset, workplace: Workplace, note: str) -> Encoded:
    """What the metrics need of a stored model, and its pictures, made on the device."""
    folder = run_folder(workplace.out, spec.run_id)
    folder.write_progress({"phase": "scoring"})
    method, networks = build(spec, dataset)
    folder.load_networks(networks)
    networks.to(dataset.device).eval()
    rows = rows_of_run(spec, dataset)
    measures = folder.read_json("scores.json").get("measures")
    if not folder.read_arrays("probe.npz"):
        folder.write_arrays("probe.npz", {"codes": encode_probe(method, networks, dataset)})
    table = encode_table(method, networks, dataset, rows)
    rows_of_parts = parts_of_run(spec, dataset)
    parts = encode_parts(method, networks, dataset, rows_of_parts)
    if not folder.read_arrays("codes.npz") and table.codes.shape[1] <= WIDE:
        for name, part in parts.items():
            folder.write_codes(part.codes, part.rows.all, name)
        folder.write_codes(np.concatenate([table.codes, table.codes_test]), rows.all)
    pictured = measures is not None and folder.read_arrays("pictures.npz")
    if measures is None:
        measures = measure(method, networks, dataset, rows, spec)
        measures |= measure_parts(method, networks, dataset, rows_of_parts, spec)
    if not pictured:
        pictures = draw_pictures(method, networks, dataset, rows, rows_of_parts.get("unseen"))
        folder.write_arrays("pictures.npz", pictures)
        picture_run(folder, measures)
    grouped = describe_groups(len(method.groups())) if method.groups() else ""
    return Encoded(spec.run_id, spec.seed, table, measures, note, tables_of(parts, dataset), grouped)


def read_encoded(folder: RunFolder, data_dir: Path | None) -> Encoded:
    """A finished run as its stored codes have it. Its method need not be there any more.

    Raises:
        UsageError: `read_table` says why.
    """
    try:
        table = read_table(folder, data_dir)
        scores, seed = folder.read_json("scores.json"), folder.read_json("spec.json")["seed"]
        told = {"tables": read_tables(folder, data_dir), "grouped": scores.get("grouped", "")}
        return Encoded(folder.path.name, seed, table, scores["measures"], **told)
    except KeyError as error:
        raise UsageError(f"its files do not say {error}") from error
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(f"its codes cannot be scored: {error}") from error


def score_encoded(runs: Sequence[Encoded], workplace: Workplace) -> Iterator[Outcome]:
    """Score runs that another process has encoded."""
    load_plugins(workplace.plugins)
    for encoded in runs:
        with ExitStack() as locks:
            folder = run_folder(workplace.out, encoded.run_id)
            with isolation.waiting():
                is_ours = folder.lock(locks, True, isolation.interrupted)
            if not is_ours:
                return
            if folder.finished and not missing_metrics(folder, workplace):  # another sweep's work
                yield Outcome(encoded.run_id, finished=True, note=encoded.note)
            else:
                yield score(encoded, workplace)


def score(encoded: Encoded, workplace: Workplace) -> Outcome:
    """Apply the metrics that are missing and store the run's end; a metric that fails costs its cell."""
    run_id, folder = encoded.run_id, run_folder(workplace.out, encoded.run_id)
    try:
        with _threads(workplace.threads):
            errors, left_out = _score(encoded, workplace, folder)
        reason = "; ".join(f"{metric}: {error}" for metric, error in errors.items())
        folder.write_json("status.json", {"state": "finished", "reason": reason})
        folder.clear_progress()
        notes = [encoded.note, encoded.table.tell_unseen()]
        if encoded.table.factor_names:
            notes += [f"{name} left out: {told['reason']}" for name, told in left_out.items()]
        else:
            notes += [f"{len(left_out)} metrics left out, as the data have no factors"]
        note = "; ".join(filter(None, notes))
        return Outcome(run_id, finished=not errors, reason=reason, note=note)
    except BROKEN as error:
        return fail(run_id, error, workplace)


def _score(
    encoded: Encoded, workplace: Workplace, folder: RunFolder
) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
    """Bring scores.json up to date, where values of present versions stay.

    Returns:
        What failed, and why; and the metrics that do not apply to these codes or factors, as `scores.json` has them.
    """
    scores = folder.read_json("scores.json")
    stored, left_out = scores.get("metrics", {}), scores.get("left_out", {})
    errors: dict[str, str] = {}
    unsuited: dict[str, dict[str, Any]] = {}
    missing = missing_metrics(folder, workplace, encoded.table.codes.shape[1])
    for name, (metric, part) in missing.items():
        table = encoded.tables.get(part) if part else encoded.table
        if table is None:  # its codes are not kept: what is stored stays
            continue
        stored.pop(name, None)
        try:
            taken = "its method measures something of that name" if metric.base in encoded.measures else ""
            if reason := taken or metric.unsuited(table):
                unsuited[name] = {"version": metric.version, "reason": reason}
                continue
            scored = apply_metric(metric, table, encoded.seed) | ({"direction": 0} if part else {})
            code = present_code(metrics.REGISTRY, metric.base) or ""
            stored[name] = scored | {"packages": package_versions(), "code": code}
        except BROKEN as error:
            if part and isinstance(error, ValueError):  # a part may be small, or of one kind of image
                unsuited[name] = {"version": metric.version, "reason": describe(error)}
            else:
                errors[name] = describe(error)
    parts = scores.get("parts", {}) | _count_rows(encoded)
    scores = {
        "rows": {"train": len(encoded.table.codes), "test": len(encoded.table.codes_test)},
        "codes": encoded.table.codes.shape[1],
        "metrics": {name: stored[name] for name in sorted(stored)},
        "measures": encoded.measures,
        **({"parts": parts} if parts else {}),
        **({"grouped": encoded.grouped} if encoded.grouped else {}),
        "left_out": {name: told for name, told in sorted((left_out | unsuited).items()) if name not in stored},
    }
    folder.write_json("scores.json", scores)
    return errors, unsuited


def _count_rows(encoded: Encoded) -> dict[str, dict[str, int]]:
    """How many rows of each part train and test."""
    told = encoded.tables.items()
    return {part: {"train": len(table.codes), "test": len(table.codes_test)} for part, table in told}


def missing_metrics(folder: RunFolder, workplace: Workplace, codes: int | None = None) -> dict[str, tuple[Metric, str]]:
    """The metrics that are wanted, take so many codes and are not stored as they are at present.

    Returns:
        Each with the part of the run's world that it is to be applied to, empty for the uniform grid.
    """
    scores = folder.read_json("scores.json")
    codes, stored = codes or scores.get("codes", 0), scores.get("left_out", {}) | scores.get("metrics", {})
    chosen = chosen_metrics(workplace.metrics)
    wanted = {name: (metric, "") for name, metric in chosen.items()}
    wanted |= scored_on_parts(chosen, folder.read_json("spec.json").get("world", ""))
    other = differing(scored_by(scores)) if workplace.again else []
    return {
        name: (metric, part)
        for name, (metric, part) in wanted.items()
        if codes <= metric.widest and (name in other or stored.get(name, {}).get("version") != metric.version)
    }


def fail(run_id: str, error: BaseException, workplace: Workplace) -> Outcome:
    """Store and tell that the run failed; one that had finished, and keeps its scores, stays so and says why."""
    folder, reason = run_folder(workplace.out, run_id), describe(error)
    trace = "".join(traceback.format_exception(error))
    state = "finished" if folder.finished and folder.read_json("scores.json") else "failed"
    with suppress(OSError):  # a full disk may be the failure itself
        folder.write_json("status.json", {"state": state, "reason": reason, "traceback": trace})
    with suppress(OSError):
        folder.clear_progress()
    return Outcome(run_id, finished=False, reason=reason)


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Hold torch and the numerical libraries to so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        with threadpool_limits(number):
            yield
    finally:
        torch.set_num_threads(before)
