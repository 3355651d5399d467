"""The commands: options in, work done, results shown.

What takes long to import is imported by a command when its options are read: help and mistakes need not wait for it.
"""

import json
import os
import select
import signal
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.text import Text

import methods
from benchmark import datasets
from benchmark.arrays import read_files, read_npz
from benchmark.errors import BROKEN, UsageError, describe, one_line, unknown
from benchmark.options import (
    HelpShown,
    Parser,
    add_data_dir,
    add_device,
    add_plugin,
    archive_parser,
    check_writable,
    paper_parser,
    parse,
    read_device,
    read_metrics,
    read_out,
    read_path,
    read_specs,
    read_workplace,
    refuse_unknown_names,
    rows_parser,
    run_parser,
    score_parser,
    score_stored_parser,
    submit_parser,
)
from benchmark.spec import chosen_metrics, find_method, labels_of, refuse_unknown_method

if TYPE_CHECKING:
    from benchmark.running.execution import Outcome
    from metrics import Metric, Table

LISTS = ("methods", "metrics", "datasets", "presets")
INTERRUPTED = 130
KEPT = {  # by a command that is interrupted
    "run": "the same command goes on: finished runs are kept, others go on from their checkpoints",
    "list": "nothing was begun",
    "score": "nothing was scored",
    "leaderboard": "what was stored is kept; the same command makes the tables",
    "check": "what was checked is told above; nothing is stored",
    "check-data": "what was checked is told above; images that were made whole are kept",
    "check-metric": "what was checked is told above; nothing is stored",
    "archive": "what was copied is whole; the same command copies the rest",
    "score-stored": "what was scored is kept; the same command scores the rest",
    "paper": "nothing was written",
    "rows": "nothing was written",
    "submit": "what was stored is kept; the same command goes on",
}
COMMANDS = tuple(KEPT)
COSTS = ("under a second", "seconds", "minutes")  # as metrics declare them
MADE = {"page": "index.html", "leaderboard": "leaderboard.csv", "runs": "runs.csv", "plots": "plots"}
PLAIN_WIDTH = 240  # columns, where the output is no terminal
BOARD_WIDTH = 120  # of a leaderboard there
LEAST_WIDTH = 40  # that $COLUMNS is taken at its word


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 done, 1 a run failed, 2 bad usage, 130 interrupted."""
    with warnings.catch_warnings():
        warnings.showwarning = _tell_warning
        try:
            with _gentle_end():
                code = _answer(list(sys.argv[1:] if arguments is None else arguments))
            sys.stdout.flush()
        except BrokenPipeError as error:
            if not _has_no_reader(sys.stdout):
                return _tell_refused(error)
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is flushed at the end
            return 1
        return code


@contextmanager
def _gentle_end() -> Iterator[None]:
    """Take a demand to end, as batch systems send it before they kill, for an interrupt: trainings keep checkpoints."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    own = threading.current_thread() is threading.main_thread()
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if own and hasattr(signal, name)]
    # What is handled or ignored already, as by nohup, stays so.
    taken = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _has_no_reader(stream: TextIO) -> bool:
    """Whether the stream is a pipe whose reader has seen enough."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
    except (OSError, ValueError):  # no file at all
        return False
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _tell_refused(error: OSError) -> int:
    """Say what the system refused; returns the exit code."""
    told = one_line(f"{error.strerror or error}: {error.filename or 'the disk'}")
    print(f"error: {told}; what was stored is kept.", file=sys.stderr)
    return 1


def _tell_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"warning: {one_line(str(message))}", file=sys.stderr)


def _answer(given: list[str]) -> int:
    command = "run"
    try:
        if given and not given[0].startswith("-") and given[0] not in COMMANDS:
            raise unknown("command", given[0], COMMANDS)
        command = given.pop(0) if given and given[0] in COMMANDS else "run"
        commands = (
            _run,
            _list,
            _score,
            _leaderboard,
            _check,
            _check_data,
            _check_metric,
            _archive,
            _score_stored,
            _paper,
            _rows,
            _submit,
        )
        return dict(zip(COMMANDS, commands, strict=True))[command](given)
    except HelpShown:
        return 0
    except UsageError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return 2
    except SystemExit as error:
        print(f"error: code from outside called sys.exit({error.code!r}); what was stored is kept.", file=sys.stderr)
        return 1
    except BrokenPipeError:
        raise
    except OSError as error:
        return _tell_refused(error)
    except MemoryError as error:
        print(f"error: {one_line(f'out of memory ({error})')}; what was stored is kept.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"interrupted; {KEPT[command]}.", file=sys.stderr)
        return INTERRUPTED


# --- run -------------------------------------------------------------------------------------------


def _load_plugins(options: Mapping[str, Any]) -> tuple[Path, ...]:
    """Load the plugins that are asked for, and those that are installed; what breaks is one warning."""
    from benchmark.plugins import load_plugins

    files = tuple(read_path("plugin", file).absolute() for file in options.get("plugin") or ())
    for warning in load_plugins(files):
        print(f"warning: {one_line(warning)}", file=sys.stderr)
    return files


def _run(given: Sequence[str]) -> int:
    options = parse(run_parser(), given)
    plugins = _load_plugins(options)
    refuse_unknown_names(options)
    asked = read_specs(options)
    from benchmark.running.execution import is_done, made_by_other_code
    from benchmark.running.progress import SweepProgress
    from benchmark.running.scheduler import leave_out, prepare, run_all
    from benchmark.storage.store import RUNS

    workplace = replace(read_workplace(options), plugins=plugins)
    specs, left_out = leave_out(asked, workplace.data_dir)
    for reason in left_out:
        print(one_line(reason), file=sys.stderr)
    todo = [spec for spec in specs if not is_done(spec, workplace)]
    if not workplace.again:
        _warn_of_other_code(Counter(what for spec in specs for what in made_by_other_code(spec, workplace)))
    if options["dry_run"]:
        waiting = {spec.run_id for spec in todo}
        for spec in specs:
            print(f"{spec.run_id}  {'to do' if spec.run_id in waiting else 'done'}")
        print(f"{len(specs)} runs, {len(todo)} to do")
        return 0

    console = _console(stderr=True)
    check_writable(workplace.out / RUNS)
    prepare(todo, workplace.data_dir)
    console.print(f"{len(specs)} runs, {len(todo)} to do", highlight=False)
    with SweepProgress(console, workplace.out, [spec.run_id for spec in todo]) as progress:
        outcomes = progress.follow(run_all(todo, workplace)) if todo else []
    _write_and_print(workplace.out, {_block_of(spec.to_dict()) for spec in specs})
    return _tell_failed(outcomes)


def _tell_failed(outcomes: "Sequence[Outcome]") -> int:
    """Say how many runs failed; returns the exit code."""
    failed = [outcome for outcome in outcomes if not outcome.finished]
    if failed:
        print(f"{len(failed)} of {len(outcomes)} runs failed; the same command tries them again.", file=sys.stderr)
    return 1 if failed else 0


def _warn_of_other_code(made: Mapping[str, int]) -> None:
    for what, count in sorted(made.items()):
        told = f"{count} of the stored runs were made by other code of {what} than its present one"
        print(f"warning: {one_line(told)}; they stay, marked stale; --again redoes them.", file=sys.stderr)


# --- list ------------------------------------------------------------------------------------------


def _list(given: Sequence[str]) -> int:
    parser = Parser(prog="run_benchmark.py list", description="Show what there is.", allow_abbrev=False)
    parser.add_argument("names", metavar="|".join(LISTS), nargs="*", help="what to show (default: all)")
    add_plugin(parser)
    options = parse(parser, given)
    for name in options["names"]:
        if name not in LISTS:
            raise unknown("list", name, LISTS)
    _load_plugins(options)
    from benchmark.report import display

    tables = {
        "methods": display.methods_table,
        "metrics": display.metrics_table,
        "datasets": display.datasets_table,
        "presets": display.presets_table,
    }
    for name in options["names"] or LISTS:
        _console().print(tables[name]())
    return 0


# --- score -----------------------------------------------------------------------------------------


def _score(given: Sequence[str]) -> int:
    options = parse(score_parser(), given)
    _load_plugins(options)
    from metrics import Table

    # The quick ones first, whose values may be all that somebody waits for.
    chosen = sorted(read_metrics(options).values(), key=_slowness)
    arrays, left_out = read_files([read_path("file", file) for file in options["files"]], options.get("factors", ()))
    seed, groups = options["seed"], options.get("groups")
    try:
        table = Table(**arrays, seed=seed, bin_factors=options.get("bin_factors"), groups=groups)
        if scarce := table.tell_scarce():
            raise ValueError(scarce)
    except ValueError as error:
        raise UsageError(f"{', '.join(options['files'])}: {error}") from error
    for told in left_out:
        print(f"warning: {one_line(told)}", file=sys.stderr)
    if grouped := table.tell_groups():
        print(grouped, file=sys.stderr)
    if unseen := table.tell_unseen():
        print(f"warning: {one_line(unseen)}", file=sys.stderr)
    if wide := [metric.name for metric in chosen if metric.widest < table.codes.shape[1]]:
        told = f"{table.codes.shape[1]:,} codes, with which {', '.join(wide)} may take hours"
        print(f"warning: {one_line(told)}; --metrics leaves them out.", file=sys.stderr)
    return _score_each(chosen, table, seed, options["json"])


def _slowness(metric: "Metric") -> int:
    return COSTS.index(metric.cost) if metric.cost in COSTS else len(COSTS)


def _score_each(chosen: "Sequence[Metric]", table: "Table", seed: int, as_json: bool) -> int:
    """Score with one metric after the other, telling of each as it ends; an interrupt leaves what is done by then."""
    from benchmark.report import display

    values: dict[str, dict[str, float]] = {}
    console, failed, code = _console(stderr=True), 0, 0
    try:
        for number, metric in enumerate(chosen, start=1):
            with console.status(Text(f"[{number}/{len(chosen)}] {metric.name}")):
                began = time.monotonic()
                told, failed_here = _score_one(metric, table, seed, values)
            failed += failed_here
            line = f"[{number}/{len(chosen)}] {metric.name} {told} ({time.monotonic() - began:.1f} s)"
            console.print(one_line(line), markup=False, highlight=False, soft_wrap=True)
    except KeyboardInterrupt:
        left = [metric.name for metric in chosen if metric.name not in values]
        print(f"interrupted; --metrics {','.join(left)} scores the rest.", file=sys.stderr)
        code = INTERRUPTED
    if as_json:
        print(json.dumps(values, indent=1))
    else:
        _console().print(display.score_table(values))
    return code or (1 if failed else 0)


def _score_one(metric: "Metric", table: "Table", seed: int, values: dict[str, dict[str, float]]) -> tuple[str, bool]:
    """What came of one metric, in words, and whether it failed; adds its values to the others."""
    try:
        if reason := metric.unsuited(table):
            return f"left out: {reason}", False
        values[metric.name] = metric.score(table, seed)
    except BROKEN as error:
        told = str(error) if isinstance(error, ValueError) else describe(error)
        return f"could not score this: {told}", True
    return f"{values[metric.name]['score']:.4f}", False


# --- leaderboard -----------------------------------------------------------------------------------


def _leaderboard(given: Sequence[str]) -> int:
    parser = Parser(prog="run_benchmark.py leaderboard", allow_abbrev=False)
    parser.add_argument("--out", metavar="DIR", default="results", help="output folder (default: results)")
    parser.add_argument(
        "--all-scores", action="store_true", help="draw figures of every score beside those of the first few"
    )
    add_plugin(parser)
    options = parse(parser, given)
    _load_plugins(options)
    out = _with_runs(options["out"])
    check_writable(out)
    _write_and_print(out, None, options["all_scores"])
    return 0


def _with_runs(out: Path) -> Path:
    """The output folder, which holds runs."""
    from benchmark.storage.store import RUNS, stored_runs

    if not any(stored_runs(out)):
        raise UsageError(f"{out / RUNS} holds no runs; name the --out of a run, or run first.")
    return out


# --- archive, score-stored -------------------------------------------------------------------------


def _archive(given: Sequence[str]) -> int:
    options = parse(archive_parser(), given)
    _load_plugins(options)
    from benchmark.storage.archive import archive_runs
    from benchmark.storage.store import RUNS

    out, to = _with_runs(options["out"]), read_out(options["to"], "to")
    there = (out / RUNS).resolve()
    if (to / RUNS).resolve() == there or to.resolve().is_relative_to(there):
        raise UsageError(f"--to is {options['to']}, where the runs already are; name another folder.")
    check_writable(to / RUNS, "--to")
    runs, size = archive_runs(out, to, options["codes"], options["pictures"])
    _console().print(f"{runs} finished runs, {size / 1e6:.1f} MB", highlight=False)
    _write_and_print(to, None)
    return 0


def _score_stored(given: Sequence[str]) -> int:
    options = parse(score_stored_parser(), given)
    plugins = _load_plugins(options)
    refuse_unknown_names(options)
    from benchmark.running.execution import missing_metrics, read_encoded
    from benchmark.running.progress import SweepProgress
    from benchmark.running.scheduler import score_again
    from benchmark.storage.store import stored_runs

    out = _with_runs(options["out"])
    workplace = replace(read_workplace(options), plugins=plugins)
    todo = [folder for folder in stored_runs(out) if folder.finished and missing_metrics(folder, workplace)]
    runs, reasons = [], Counter[str]()
    for folder in todo:
        try:
            runs.append(read_encoded(folder, workplace.data_dir))
        except UsageError as error:
            reasons[str(error).rstrip(".")] += 1
    console = _console(stderr=True)
    console.print(f"{len(runs)} runs to score", highlight=False)
    for reason, count in reasons.items():
        print(one_line(f"runs that stay as they are: {count} ({reason})."), file=sys.stderr)
    check_writable(out, "")
    with SweepProgress(console, out, [run.run_id for run in runs]) as progress:
        outcomes = progress.follow(score_again(runs, workplace)) if runs else []
    _write_and_print(out, None)
    return _tell_failed(outcomes)


# --- check -----------------------------------------------------------------------------------------


def _check(given: Sequence[str]) -> int:
    parser = Parser(prog="run_benchmark.py check", description="Try what every method must do.", allow_abbrev=False)
    parser.add_argument("method", metavar="METHOD", help="a method's name, or all")
    add_device(parser)
    add_plugin(parser)
    options = parse(parser, given)
    _load_plugins(options)
    names = sorted(methods.names()) if options["method"] == "all" else [options["method"]]
    for name in names:
        refuse_unknown_method(name)
    device = read_device(options["device"])
    from benchmark.checks import check_method
    from benchmark.report import display

    failed = 0
    for cls in [find_method(name) for name in names]:
        results = check_method(cls, device)
        _console().print(display.checks_table(cls.name, results))
        failed += sum(result.state == "failed" for result in results)
    return 1 if failed else 0


# --- check-data ------------------------------------------------------------------------------------


def _check_data(given: Sequence[str]) -> int:
    told = "Try what every data set must do, and see what its factors move."
    parser = Parser(prog="run_benchmark.py check-data", description=told, allow_abbrev=False)
    parser.add_argument("dataset", metavar="NAME", help="a data set's name, or all")
    add_data_dir(parser)
    add_plugin(parser)
    options = parse(parser, given)
    _load_plugins(options)
    name, folder = options["dataset"], options.get("data_dir")
    if name != "all":
        datasets.refuse_unknown(name, datasets.data_folder(folder))
        return 1 if _try_data(name, folder) else 0
    failed = False
    for each in sorted(datasets.REGISTRY):
        try:
            failed |= _try_data(each, folder)
        except UsageError as error:  # such as one whose published file is not there
            print(f"left out: {one_line(str(error))}", file=sys.stderr)
    return 1 if failed else 0


def _try_data(name: str, folder: Path | None) -> bool:
    """Try a data set, and print what is found; whether anything failed."""
    from benchmark.datasets.trial import try_dataset
    from benchmark.report import display

    dataset = datasets.load(name, "cpu", folder)
    datasets.prepare(dataset)
    findings, moved = try_dataset(dataset)
    console = _console()
    console.print(display.checks_table(name, findings))
    if moved:
        console.print(display.factors_table(name, moved))
    for remark in dataset.remarks:
        print(one_line(f"{name}: {remark}"))
    return any(finding.state == "failed" for finding in findings)


# --- check-metric ----------------------------------------------------------------------------------


def _check_metric(given: Sequence[str]) -> int:
    told = "Try what one expects of every metric, but for what it declares to lack."
    parser = Parser(prog="run_benchmark.py check-metric", description=told, allow_abbrev=False)
    parser.add_argument("metric", metavar="NAME", help="a metric's name, such as mig or mig[bins=10], or all")
    add_plugin(parser)
    options = parse(parser, given)
    _load_plugins(options)
    chosen = chosen_metrics(options["metric"])
    from benchmark.report import display
    from benchmark.scoring.trial import try_metric

    failed = False
    for name, metric in sorted(chosen.items()):
        results = try_metric(metric)
        _console().print(display.checks_table(name, results))
        failed |= any(result.state == "failed" for result in results)
        if results and results[0].state == "skipped":
            failed = True
            print(f"error: {one_line(name)} could not be scored on any codes that are tried here.", file=sys.stderr)
    return 1 if failed else 0


# --- paper -----------------------------------------------------------------------------------------


def _paper(given: Sequence[str]) -> int:
    options = parse(paper_parser(), given)
    outs = [_with_runs(read_out(out)) for out in options["outs"]]
    from benchmark.report.paper import write_paper

    check_writable(outs[0], "")
    workplace = read_workplace(options)
    written = write_paper(outs, workplace.data_dir, workplace.jobs)
    print(one_line(f"the paper's table: {written / 'README.md'}, {written / 'settings.png'}"))
    return 0


# --- rows, submit ----------------------------------------------------------------------------------


def _rows(given: Sequence[str]) -> int:
    options = parse(rows_parser(), given)
    _load_plugins(options)
    name, folder, to = options["dataset"], options.get("data_dir"), read_path("to", options["to"])
    datasets.refuse_unknown(name, datasets.data_folder(folder))
    if to.is_dir():
        raise UsageError(f"--to is {options['to']}, which is a folder; name a file in it, such as {to / 'rows.npz'}.")
    if to.exists() and "rows_train" not in read_npz(to, ("rows_train",)):
        raise UsageError(f"--to is {options['to']}, which is there and holds no rows; name another file.")
    check_writable(to.parent, "--to")
    from benchmark.scoring.fixed_rows import fixed_rows, version_of, write_rows

    dataset = datasets.load(name, "cpu", folder)
    if options["images"]:
        datasets.prepare(dataset)
    digest, rows = write_rows(dataset, to, options["with_factors"], options["images"]), fixed_rows(dataset)
    told = f"{len(rows.train):,} + {len(rows.test):,} rows of {len(dataset):,}, {dataset.source}"
    said = {"dataset": name, "dataset_version": version_of(dataset), "source": dataset.source, "rows": digest}
    print(one_line(f"{to}: {told}; in spec.json: {json.dumps(said)[1:-1]}"))
    return 0


def _submit(given: Sequence[str]) -> int:
    options = parse(submit_parser(), given)
    folder = read_path("folder", options["folder"])
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; name one with spec.json and codes.npz.")
    plugins = _load_plugins(options)
    refuse_unknown_names(options)
    from benchmark.running.progress import SweepProgress
    from benchmark.running.scheduler import score_again
    from benchmark.running.submissions import receive, store
    from benchmark.storage.store import RUNS

    workplace = replace(read_workplace(options), plugins=plugins)
    runs = receive(folder, options["name"], workplace.out, workplace.data_dir)
    check_writable(workplace.out / RUNS)
    console = _console(stderr=True)
    for run in runs:
        told = [*run.notes, *(f"removed: {name}, which is not sent any more" for name in run.dropped)]
        told += [f"warning: {remark}" for remark in run.remarks]
        for line in (f"{run.run_id}: {run.evidence}", *told):
            print(one_line(line), file=sys.stderr)
    encoded = [run for run in (store(received, workplace) for received in runs) if run]
    with SweepProgress(console, workplace.out, [run.run_id for run in encoded]) as progress:
        outcomes = progress.follow(score_again(encoded, workplace)) if encoded else []
    _write_and_print(workplace.out, {_block_of(run.spec) for run in runs})
    return _tell_failed(outcomes)


def _write_and_print(out: Path, blocks: set[tuple[Any, ...]] | None, every: bool = False) -> None:
    """Make tables and plots again, `every` score's too, and print the leaderboards of those blocks (None: of all)."""
    from benchmark.report import display
    from benchmark.report.leaderboard import BLOCK, tell_left_out
    from benchmark.report.printed import print_board
    from benchmark.report.regenerate import regenerate

    runs, board, tables = regenerate(out, every)
    for keys, rows in board.groupby(BLOCK):
        if blocks is None or keys in blocks:
            print_board(_console(plain_width=_board_width()), keys, rows, tables["reliability"])
    for told in tell_left_out(runs):
        print(f"warning: {one_line(told)}.", file=sys.stderr)
    for remark in display.remarks_on(sorted({dataset for dataset, *_ in blocks or board[BLOCK].to_numpy().tolist()})):
        print(one_line(remark))
    named = [f"{what}: {out / name}" for what, name in MADE.items()]
    print(one_line("; ".join(named)))


def _block_of(stored: Mapping[str, Any]) -> tuple[Any, ...]:
    """The block of a stored specification."""
    dataset, preset, protocol = labels_of(stored)
    return (dataset, stored["source"], preset, stored["protocol"]["steps"], protocol)


def _board_width() -> int:
    """Columns of a leaderboard where the output is no terminal: as $COLUMNS says, where it is a width at all."""
    told = os.environ.get("COLUMNS", "")
    return int(told) if told.isdigit() and int(told) >= LEAST_WIDTH else BOARD_WIDTH


def _console(stderr: bool = False, plain_width: int = PLAIN_WIDTH) -> Console:
    """A console as wide as the terminal, or so wide where there is none; text is what it says."""
    width = None if Console(stderr=stderr).is_terminal else plain_width
    return _Console(stderr=stderr, width=width, markup=False, emoji=False)


class _Console(Console):
    """A console that does not end the process where nobody reads what it prints."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError
