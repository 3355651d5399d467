"""The command line: parses it to plain values and prints what comes of them."""

import argparse
import json
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from rich.console import Console
from rich.table import Table as TextTable

import methods
from benchmark import datasets, display
from benchmark.errors import UsageError, one_line, unknown
from benchmark.plugins import load_plugins
from benchmark.presets import PRESETS
from benchmark.spec import RunSpec, Setting, expand, find_method, protocol_digest
from methods.base import hyperparameter_fields

COMMANDS = ("run", "list", "score", "leaderboard", "check")
LISTS = ("methods", "metrics", "datasets", "presets")
BACKENDS = ("local", "dask")
DEVICES = ("auto", "cpu", "cuda")
INTERRUPTED = 130
MOST_SEEDS, GREATEST = 100_000, 10**9  # the latter of seeds and all other whole numbers
MOST_DIGITS = 30  # that are read at all
LONGEST_NAME = 200  # characters, about, of what is stored under the output folder
PLAIN_WIDTH = 240  # columns, where the output is no terminal


class Parser(argparse.ArgumentParser):
    """A parser whose every error is one sentence."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message[:1].lower() + message[1:])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 done, 1 a run failed, 2 bad usage, 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if given and not given[0].startswith("-") and given[0] not in COMMANDS:
            raise unknown("command", given[0], COMMANDS)
        command = given.pop(0) if given and given[0] in COMMANDS else "run"
        commands = {"run": _run, "list": _list, "score": _score, "leaderboard": _leaderboard, "check": _check}
        return commands[command](given)
    except UsageError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return 2
    except OSError as error:
        told = one_line(f"{error.strerror or error}: {error.filename or 'the disk'}")
        print(f"error: {told}; what was stored is kept.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "interrupted; the same command goes on: finished runs are kept, others go on from their checkpoints.",
            file=sys.stderr,
        )
        return INTERRUPTED


# --- run -------------------------------------------------------------------------------------------


def _run_parser() -> Parser:
    parser = Parser(
        prog="run_benchmark.py",
        usage="run_benchmark.py [run] [options]\n       run_benchmark.py list [methods|metrics|datasets|presets]\n"
        "       run_benchmark.py score FILE.npz [--metrics A,B] [--seed N] [--json]\n"
        "       run_benchmark.py leaderboard [--out DIR]\n"
        "       run_benchmark.py check METHOD [--plugin FILE.py]",
        description="Train methods over their hyperparameters, score every model, write tables and plots.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--methods", metavar="A,B", help="methods to compare, or all (default: vae,betavae)")
    add("--betas", metavar="1,4,16", help="values of beta for every chosen method that has one; grid: the paper's")
    add("--set", metavar="METHOD.NAME=V,V", action="append", help="values of one hyperparameter; may be repeated")
    add("--datasets", metavar="A,B", help="data sets (default: dsprites)")
    add("--seeds", metavar="0-4", help="seeds, as 0,1,2 or 0-4 (default: 0)")
    add("--preset", help="training protocol (default: quick)")
    add("--steps", help="optimiser steps, in place of the preset's")
    add("--metrics", metavar="A,B", help="metrics to score with, or all (default: all but the preset's slow ones)")
    add("--device", help="auto, cpu or cuda (default: auto)")
    add("--jobs", help="runs side by side (default: the number of cores, or 1 on a GPU)")
    add("--pack", metavar="auto|N", help="runs trained together as one program (default: auto: 1 on a CPU)")
    add("--backend", help="local or dask (default: local)")
    add("--dask-scheduler", metavar="ADDRESS", help="of a running Dask cluster (default: one on this machine)")
    add("--threads", help="threads of each run (default: 1)")
    add("--timeout", metavar="SECONDS", help="end a run that takes longer (default: never)")
    add("--checkpoint", metavar="SECONDS", help="between checkpoints of a run that trains (default: 60)")
    add("--data-dir", metavar="DIR", help="folder of published data files, used in place of renderings")
    _add_plugin(parser)
    add("--out", metavar="DIR", help="output folder (default: results)")
    add("--config", metavar="SWEEP.toml", help="a file of these options; the command line goes first")
    add("--dry-run", action="store_true", default=None, help="print the runs and do nothing")
    return parser


def _add_plugin(parser: Parser) -> None:
    told = "a Python file with methods, metrics or data sets of your own; may be repeated"
    parser.add_argument("--plugin", metavar="FILE.py", action="append", help=told)


def _load_plugins(options: Mapping[str, Any]) -> tuple[Path, ...]:
    """Load the plugins that are asked for, and those that are installed; what breaks is one warning."""
    files = tuple(_path("plugin", file).absolute() for file in options.get("plugin") or ())
    for warning in load_plugins(files):
        print(f"warning: {one_line(warning)}", file=sys.stderr)
    return files


DEFAULTS: dict[str, Any] = {
    "methods": "vae,betavae",
    "datasets": "dsprites",
    "seeds": "0",
    "preset": "quick",
    "metrics": None,
    "device": "auto",
    "threads": "1",
    "pack": "auto",
    "checkpoint": "60",
    "backend": "local",
    "out": "results",
    "set": [],
    "dry_run": False,
}


def _run(given: Sequence[str]) -> int:
    # Imported late: `list` and error messages need not wait for them.
    from benchmark.progress import SweepProgress
    from benchmark.scheduler import is_done, run_all
    from benchmark.store import RUNS

    options = _options(_run_parser(), given)
    plugins = _load_plugins(options)
    specs = _specs(options)
    workplace = replace(_workplace(options), plugins=plugins)
    todo = [spec for spec in specs if not is_done(spec, workplace)]
    if options["dry_run"]:
        waiting = {spec.run_id for spec in todo}
        for spec in specs:
            print(f"{spec.run_id}  {'to do' if spec.run_id in waiting else 'done'}")
        print(f"{len(specs)} runs, {len(todo)} to do")
        return 0

    console = _console(stderr=True)
    _check_writable(workplace.out / RUNS)
    for name in sorted({spec.dataset for spec in todo}):
        datasets.load(name, "cpu", workplace.data_dir).prepare(progress=True)
    console.print(f"{len(specs)} runs, {len(todo)} to do", highlight=False)
    with SweepProgress(console, workplace.out, [spec.run_id for spec in todo]) as progress:
        outcomes = progress.follow(run_all(todo, workplace)) if todo else []
    _write_and_print(workplace.out, {_block_of(spec) for spec in specs})
    failed = [outcome for outcome in outcomes if not outcome.finished]
    if failed:
        print(f"{len(failed)} of {len(outcomes)} runs failed; the same command tries them again.", file=sys.stderr)
    return 1 if failed else 0


def _options(parser: Parser, given: Sequence[str]) -> dict[str, Any]:
    """The options by name: those of the command line, else of the --config file, else the defaults."""
    spoken, rest = parser.parse_known_args(list(given))
    flags = sorted(flag for action in parser._actions for flag in action.option_strings)
    if rest:
        raise unknown("option", rest[0].partition("=")[0] or rest[0], flags)
    values = {name: value for name, value in vars(spoken).items() if value is not None}
    config = values.pop("config", None)
    stored = {} if config is None else _read_config(_path("config", config), set(vars(spoken)) - {"config"})
    return DEFAULTS | stored | values


def _read_config(path: Path, known: set[str]) -> dict[str, Any]:
    """Options from a TOML file: `methods = ["vae", "betavae"]`, `betas = [1, 4]`, `set = {"betavae.beta" = [1, 4]}`."""
    try:
        return _options_of_config(tomllib.loads(path.read_text(encoding="utf-8")), path, known)
    except UsageError:
        raise
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:  # what is no text, no TOML, too deep, or a number too long to write
        raise UsageError(f"{path} is no TOML file: {error}.") from error


def _options_of_config(content: Mapping[str, Any], path: Path, known: set[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for key, value in content.items():
        name = key.replace("-", "_")
        if name not in known:
            raise unknown(f"option in {path}", key, known)
        options[name] = _option_of_config(name, key, value, path)
    return options


def _option_of_config(name: str, key: str, value: Any, path: Path) -> Any:
    """What the command line would have given for that key."""
    if name == "set":
        if not isinstance(value, dict):
            raise UsageError(f"set in {path} is {value!r}; write [set] and lines such as betavae.beta = [1, 4].")
        return [f"{target}={_as_text(target, values, path)}" for target, values in _flat(value).items()]
    if name == "plugin":
        files = value if isinstance(value, list) else [value]
        if not all(isinstance(file, str) for file in files):
            raise UsageError(f"{key} in {path} is {value!r}; it takes a file's name or a list of them.")
        return files
    if name == "dry_run":
        if not isinstance(value, bool):
            raise UsageError(f"{key} in {path} is {value!r}; it takes true or false.")
        return value
    return _as_text(key, value, path)


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A TOML table of tables with dotted names: `betavae.beta = 1` is the same as `"betavae.beta" = 1`."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if value and isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _as_text(key: str, value: Any, path: Path) -> str:
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str | int | float) and not isinstance(item, bool) for item in items):
        raise UsageError(f"{key} in {path} is {value!r}; it takes a text, a number or a list of them.")
    return ",".join(str(item) for item in items)


def _specs(options: Mapping[str, Any]) -> list[RunSpec]:
    names = _items("methods", options["methods"])
    names = sorted(methods.REGISTRY) if names == ["all"] else names
    for name in names:
        find_method(name)
    data_dir = _data_dir(options)
    sources = {name: datasets.load(name, "cpu", data_dir).source for name in _items("datasets", options["datasets"])}
    steps = _whole("steps", options["steps"], 1) if "steps" in options else None
    preset = options["preset"]
    return expand(names, _grids(options, names), sources, _seeds(options["seeds"]), preset, steps)


def _grids(options: Mapping[str, Any], names: Sequence[str]) -> dict[tuple[str, str], list[Setting]]:
    grids: dict[tuple[str, str], list[Setting]] = {}
    if "betas" in options:
        takers = [name for name in names if "beta" in hyperparameter_fields(find_method(name))]
        if not takers:
            raise UsageError(f"--betas is given, but none of {', '.join(names)} has a beta; add betavae.")
        grids |= {(name, "beta"): _values(f"{name}.beta", options["betas"]) for name in takers}
    for setting in options["set"]:
        target, equals, values = setting.partition("=")
        method, dot, name = target.partition(".")
        if not (equals and dot and method and name):
            raise UsageError(f"--set takes METHOD.NAME=VALUE,VALUE, such as betavae.beta=1,4, not {setting!r}.")
        grids[method, name] = _values(target, values)
    return grids


def _values(target: str, text: str) -> list[Setting]:
    """The values of one hyperparameter: numbers or words, or the word grid for the literature's."""
    method, _, name = target.partition(".")
    known = hyperparameter_fields(find_method(method))
    told = known[name].metadata if name in known else {}
    if text == "grid":
        if not told.get("grid"):
            raise UsageError(f"{target} has no grid; give its values.")
        return list(told["grid"])
    if "choices" in told:
        return [*_items(target, text)]
    try:
        return [_number(item) for item in _items(target, text)]
    except ValueError as error:
        raise UsageError(f"{target} is {text!r}; it takes numbers such as 1,4,16, or grid.") from error


def _number(text: str) -> float:
    """As `float`, which also takes 1_000 and digits of other scripts."""
    if not text.isascii() or "_" in text:
        raise ValueError(f"{text!r} is no number")
    return float(text)


def _is_whole(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS


def _seeds(text: str) -> list[int]:
    seeds: dict[int, None] = {}
    for item in _items("seeds", text):
        first, dash, last = item.partition("-")
        if not _is_whole(first) or (dash and not _is_whole(last)):
            raise UsageError(f"seeds is {text!r}; it takes whole numbers such as 0,1,2 or a range such as 0-4.")
        low, high = int(first), int(last or first)
        if not low <= high < low + MOST_SEEDS or high > GREATEST:
            raise UsageError(
                f"seeds {item!r} is no range of seeds; write the lower one first, such as 0-4, "
                f"{MOST_SEEDS:,} at most and none above {GREATEST:,}."
            )
        seeds |= dict.fromkeys(range(low, high + 1))
    return list(seeds)


def _items(name: str, text: str) -> list[str]:
    """The comma-separated items, none of them empty."""
    items = [item.strip() for item in text.split(",")]
    if not all(items):
        raise UsageError(f"{name} is {text!r}; it takes one or more values with commas between.")
    return items


def _whole(name: str, text: str, least: int) -> int:
    if not _is_whole(text) or not least <= int(text) <= GREATEST:
        raise UsageError(f"{name} is {text!r}; it takes a whole number from {least} to {GREATEST:,}.")
    return int(text)


def _path(name: str, text: str) -> Path:
    """A path that the system can take, whether anything is there or not."""
    try:
        if not text:
            raise ValueError("it is empty")
        Path(text).stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        raise UsageError(f"{name} is {text!r}, which is no path ({_reason(error)}).") from error
    return Path(text)


def _out(text: str) -> Path:
    """The output folder, where it stands or can be made, with room for the names of what is stored in it."""
    folder = _path("out", text)
    try:
        (folder / ("x" * LONGEST_NAME) / ("x" * LONGEST_NAME)).stat()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise UsageError(f"cannot write to {folder} ({error.strerror}); name another folder with --out.") from error
    return folder


def _data_dir(options: Mapping[str, Any]) -> Path | None:
    return _path("data-dir", options["data_dir"]) if "data_dir" in options else None


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__


def _workplace(options: Mapping[str, Any]) -> Any:
    import torch
    from joblib import cpu_count

    from benchmark.scheduler import Workplace, default_jobs
    from benchmark.scoring import chosen_metrics

    device = options["device"]
    if device not in DEVICES:
        raise UsageError(f"device is {device!r}; choose from {', '.join(DEVICES)}.")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device is 'cuda', but torch finds no CUDA GPU here; use auto or cpu.")
    jobs = _whole("jobs", options["jobs"], 1) if "jobs" in options else default_jobs(device)
    threads = _whole("threads", options["threads"], 1)
    if threads > cpu_count():
        raise UsageError(f"threads is {threads}; this machine has {cpu_count()} cores.")
    if options["backend"] not in BACKENDS:
        raise unknown("backend", options["backend"], BACKENDS)
    if "dask_scheduler" in options and options["backend"] != "dask":
        raise UsageError("--dask-scheduler is given, but the backend is local; add --backend dask.")
    if options.get("dask_scheduler") == "":
        raise UsageError("dask-scheduler is ''; it takes an address such as tcp://127.0.0.1:8786.")
    preset = PRESETS[options["preset"]]
    names = chosen_metrics(_items("metrics", "all" if options["metrics"] is None else options["metrics"]))
    if options["metrics"] is None:
        names = {name: metric for name, metric in names.items() if name not in preset.left_out}
    pack = None if options["pack"] == "auto" else _whole("pack", options["pack"], 1)
    return Workplace(
        out=_out(options["out"]),
        device=device,
        jobs=jobs,
        threads=threads,
        data_dir=_data_dir(options),
        metrics=tuple(names),
        pack=pack,
        checkpoint_seconds=_whole("checkpoint", options["checkpoint"], 0),
        timeout=_whole("timeout", options["timeout"], 1) if "timeout" in options else None,
        backend=options["backend"],
        dask_scheduler=options.get("dask_scheduler"),
    )


def _check_writable(folder: Path) -> None:
    """Refuse, before any work is done, a folder that cannot be made or written; leaves nothing behind."""
    standing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=standing):
            pass
    except OSError as error:
        raise UsageError(f"cannot write to {folder} ({error.strerror}); name another folder with --out.") from error


# --- list ------------------------------------------------------------------------------------------


def _list(given: Sequence[str]) -> int:
    parser = Parser(prog="run_benchmark.py list", description="Show what there is.", allow_abbrev=False)
    parser.add_argument("names", metavar="|".join(LISTS), nargs="*", help="what to show (default: all)")
    _add_plugin(parser)
    options = _options(parser, given)
    for name in options["names"]:
        if name not in LISTS:
            raise unknown("list", name, LISTS)
    _load_plugins(options)
    tables: dict[str, Callable[[], TextTable]] = {
        "methods": display.methods_table,
        "metrics": display.metrics_table,
        "datasets": display.datasets_table,
        "presets": display.presets_table,
    }
    for name in options["names"] or LISTS:
        _console().print(tables[name]())
    return 0


# --- score -----------------------------------------------------------------------------------------

ARRAYS = ("codes", "factors", "codes_test", "factors_test", "factor_names")


def _score(given: Sequence[str]) -> int:
    from benchmark.scoring import chosen_metrics
    from metrics import Table

    parser = Parser(prog="run_benchmark.py score", description="Score a representation.", allow_abbrev=False)
    parser.add_argument("file", metavar="FILE.npz", help=f"arrays: {', '.join(ARRAYS)} (the last three optional)")
    parser.add_argument("--metrics", metavar="A,B", default="all", help="metrics to score with (default: all)")
    parser.add_argument("--seed", default="0", help="seed of every metric's random stream (default: 0)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    _add_plugin(parser)
    options = _options(parser, given)
    _load_plugins(options)
    chosen = chosen_metrics(_items("metrics", options["metrics"]))
    seed = _whole("seed", options["seed"], 0)
    try:
        table = Table(**_read_arrays(_path("file", options["file"])))
    except ValueError as error:
        raise UsageError(f"{options['file']}: {error}") from error
    values: dict[str, dict[str, float]] = {}
    refused: dict[str, str] = {}
    for name, metric in chosen.items():
        try:
            values[name] = metric.score(table, seed)
        except ValueError as error:
            refused[name] = str(error)
    if options["json"]:
        print(json.dumps(values, indent=1))
    else:
        _console().print(display.score_table(values))
    for name, reason in refused.items():
        print(f"{name} could not score this: {one_line(reason)}", file=sys.stderr)
    return 1 if refused else 0


def _read_arrays(path: Path) -> dict[str, Any]:
    """The arrays of an npz file that `Table` takes, nothing executed from it."""
    try:
        if path.is_file() and not zipfile.is_zipfile(path):
            raise ValueError("no archive")
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            missing = {"codes", "factors"} - set(stored)
            if missing:
                raise UsageError(f"{path} holds no array {min(missing)!r}; codes and factors are needed.")
            return {name: stored[name] for name in ARRAYS if name in stored}
    except UsageError:
        raise
    except Exception as error:  # a file from elsewhere breaks its reader in any way, memory included
        raise UsageError(f"cannot read {path} as an npz file of plain arrays ({_reason(error)}).") from error


# --- leaderboard -----------------------------------------------------------------------------------


def _leaderboard(given: Sequence[str]) -> int:
    parser = Parser(prog="run_benchmark.py leaderboard", allow_abbrev=False)
    parser.add_argument("--out", metavar="DIR", default="results", help="output folder (default: results)")
    out = _out(_options(parser, given)["out"])
    from benchmark.store import RUNS, stored_runs

    if not any(stored_runs(out)):
        raise UsageError(f"{out / RUNS} holds no runs; name the --out of a run, or run first.")
    _check_writable(out)
    _write_and_print(out, None)
    return 0


# --- check -----------------------------------------------------------------------------------------


def _check(given: Sequence[str]) -> int:
    parser = Parser(prog="run_benchmark.py check", description="Try what every method must do.", allow_abbrev=False)
    parser.add_argument("method", metavar="METHOD", help="a method's name, or all")
    _add_plugin(parser)
    options = _options(parser, given)
    _load_plugins(options)
    from benchmark.checks import check_method

    names = sorted(methods.REGISTRY) if options["method"] == "all" else [options["method"]]
    failed = 0
    for cls in [find_method(name) for name in names]:
        results = check_method(cls)
        _console().print(display.checks_table(cls.name, results))
        failed += sum(result.state == "failed" for result in results)
    return 1 if failed else 0


def _write_and_print(out: Path, blocks: set[tuple[Any, ...]] | None) -> None:
    """Make tables and plots again, and print the leaderboards of those blocks (None: of all)."""
    from benchmark.agreement import compare_models
    from benchmark.leaderboard import BLOCK, write_tables
    from benchmark.plots import draw_all
    from benchmark.store import tables_lock

    with tables_lock(out):
        compare_models(out)
        runs, board = write_tables(out)
        draw_all(out, runs, board)
    for keys, rows in board.groupby(BLOCK):
        if blocks is None or keys in blocks:
            console = _console()
            console.print(display.board_table(keys, rows, console.width))
    print(one_line(f"tables: {out / 'leaderboard.csv'}, {out / 'runs.csv'}; plots: {out / 'plots'}"))


def _block_of(spec: RunSpec) -> tuple[Any, ...]:
    return (spec.dataset, spec.source, spec.preset, spec.steps, protocol_digest(spec.to_dict()))


def _console(stderr: bool = False) -> Console:
    """A console as wide as the terminal, or wide enough for every table where there is none; text is what it says."""
    width = None if Console(stderr=stderr).is_terminal else PLAIN_WIDTH
    return Console(stderr=stderr, width=width, markup=False, emoji=False)
