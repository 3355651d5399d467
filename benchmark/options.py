"""Texts of the command line and of a config file, turned into plain values: every error is one sentence."""

import argparse
import re
import tempfile
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import methods
from benchmark import datasets
from benchmark.arrays import ARRAYS, read_groups
from benchmark.errors import UsageError, reason_of, unknown
from benchmark.presets import PRESETS
from benchmark.spec import (
    RunSpec,
    Setting,
    chosen_metrics,
    expand,
    find_method,
    read_likelihood,
    refuse_unknown_method,
)
from methods.base import hyperparameter_fields

if TYPE_CHECKING:
    from benchmark.datasets.base import FactorDataset
    from benchmark.running.execution import Workplace  # which brings torch
    from metrics import Metric  # which brings numpy

BACKENDS = ("local", "dask")
DEVICES = ("auto", "cpu", "cuda")
MOST_SEEDS, GREATEST = 100_000, 10**9  # the latter of seeds and all other whole numbers
MOST_DIGITS = 30  # that are read at all
LONGEST_NAME = 200  # characters, about, of what is stored under the output folder
LONGEST_ROW = 80  # characters of an outsider's row's name
LEAST = {  # of the options that are whole numbers
    "steps": 1,
    "jobs": 1,
    "threads": 1,
    "timeout": 1,
    "checkpoint": 0,
    "seed": 0,
    "bin_factors": 2,
    "codes": 0,
    "pictures": 0,
}
MOST = {"bin_factors": 1000}  # of those that have another bound than `GREATEST`
# What a config file may give as a list, beside those that may be repeated.
LISTED = {"methods", "datasets", "metrics", "seeds", "betas", "correlated", "hold_out"}

DEFAULTS: dict[str, Any] = {
    "methods": "vae,betavae",
    "datasets": "dsprites",
    "seeds": "0-2",
    "preset": "quick",
    "metrics": None,
    "device": "auto",
    "threads": "1",
    "pack": "auto",
    "checkpoint": "60",
    "backend": "local",
    "out": "results",
    "set": [],
    "seed": "0",
    "json": False,
    "again": False,
    "dry_run": False,
    "codes": "3",
    "pictures": "1",
    "images": False,
    "with_factors": False,
}


SUBMISSION = """Score what somebody else's method makes of the rows that `rows` writes, and store it as a run.

DIR/spec.json says who, method, paper, dataset, dataset_version and, where they are known, seed, source, rows (the
digest that `rows` prints), hyperparameters and groups (of columns that are one vector, such as "0-3,4-7,8").
DIR/codes.npz holds codes_train and codes_test, or codes, in the order of the rows; codes-0.npz, codes-1.npz and so on
are several seeds. Their scores are recomputed here. With encoder.safetensors (encoder-0.safetensors, ...) beside them,
and in spec.json "weights": {"method": "vae", "architecture": "locatello2019", "latents": 10}, the images are encoded
anew by that method of ours, and codes that come out the same are verified. Without codes, "scores": {"mig": 0.3} are
claimed, and never ranked. What is odd about codes is told, and stands in the tables; it is no reason to refuse them."""


class HelpShown(Exception):  # noqa: N818 -- nothing went wrong
    """What the user asked for, help, is printed: the command ends."""


class Once(argparse.Action):
    """Keeps an option's value, and refuses a second one, which would silently take the place of the first."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        if self.option_strings and getattr(namespace, self.dest) is not self.default:
            parser.error(f"{option_string} is given twice; give it once.")
        setattr(namespace, self.dest, values)


class Parser(argparse.ArgumentParser):
    """A parser whose every error is one sentence."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register("action", None, Once)

    def error(self, message: str) -> NoReturn:
        raise UsageError(message[:1].lower() + message[1:])

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise HelpShown


def run_parser() -> Parser:
    """What `run` takes."""
    parser = Parser(
        prog="run_benchmark.py",
        usage="run_benchmark.py [run] [options]\n       run_benchmark.py list [methods|metrics|datasets|presets]\n"
        "       run_benchmark.py score FILE.npz|TABLE.csv|CODES.npy FACTORS.npy [--metrics A,B] [--json]\n"
        "       run_benchmark.py leaderboard [--out DIR]\n"
        "       run_benchmark.py check METHOD [--device cuda] [--plugin FILE.py]\n"
        "       run_benchmark.py check-data NAME [--plugin FILE.py] [--data-dir DIR]\n"
        "       run_benchmark.py check-metric NAME [--plugin FILE.py]\n"
        "       run_benchmark.py archive --to DIR [--out DIR] [--codes 3] [--pictures 1]\n"
        "       run_benchmark.py score-stored DIR [--metrics A,B]\n"
        "       run_benchmark.py paper DIR [DIR ...]\n"
        "       run_benchmark.py rows DATASET --to FILE.npz [--images] [--factors]\n"
        "       run_benchmark.py submit DIR --name NAME [--out DIR]",
        description="Train methods over their hyperparameters, score every model, write tables and plots.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--methods", metavar="A,B", help="methods to compare, or all (default: vae,betavae)")
    add("--betas", metavar="1,4,16", help="values of beta for every chosen method that has one; grid: the paper's")
    told = "values of one hyperparameter, or of one option of a metric; may be repeated"
    add("--set", metavar="METHOD.NAME=V,V", action="append", help=told)
    add("--datasets", metavar="A,B", help="data sets (default: dsprites)")
    told = "factors that go together in training: two and a width, or a paper's name (list datasets); may be repeated"
    add("--correlated", metavar="A:B:SIGMA", action="append", help=told)
    told = "combinations that training never shows: conditions on the numbers of values from 0, or a paper's name"
    add("--hold-out", metavar="A=3,B=5..9", help=told)
    add("--seeds", metavar="0-4", help="seeds, as 0,1,2 or 0-4 (default: 0-2)")
    add("--preset", help="training protocol (default: quick)")
    add("--steps", help="optimiser steps, in place of the preset's")
    add("--likelihood", help="bernoulli, or gaussian:V with a variance V (default: the preset's, bernoulli)")
    add("--metrics", metavar="A,B", help="metrics to score with, or all (default: all but the preset's slow ones)")
    add_device(parser)
    add("--jobs", help="runs side by side (default: the number of cores, or 1 on a GPU)")
    add("--pack", metavar="auto|N", help="runs trained together as one program (default: auto: 1 on a CPU)")
    add("--backend", help="local or dask (default: local)")
    add("--dask-scheduler", metavar="ADDRESS", help="of a running Dask cluster (default: one on this machine)")
    add("--threads", help="threads of each run (default: 1)")
    add("--timeout", metavar="SECONDS", help="end a run that takes longer (default: never)")
    add(
        "--checkpoint",
        metavar="SECONDS",
        help="between checkpoints of a run that trains, or more, to keep them under 2%% of its time (default: 60)",
    )
    add_data_dir(parser)
    add_plugin(parser)
    add("--out", metavar="DIR", help="output folder (default: results)")
    add("--config", metavar="SWEEP.toml", help="a file of these options; the command line goes first")
    add("--again", action="store_true", default=None, help="redo runs that other code of a plugin made")
    add("--dry-run", action="store_true", default=None, help="print the runs and do nothing")
    return parser


def score_parser() -> Parser:
    """What `score` takes."""
    parser = Parser(
        prog="run_benchmark.py score",
        usage="run_benchmark.py score FILE.npz [options]\n"
        "       run_benchmark.py score TABLE.csv [--factors A,B] [options]\n"
        "       run_benchmark.py score CODES.npy FACTORS.npy [CODES_TEST.npy FACTORS_TEST.npy] [options]",
        description="Score a representation.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    told = (
        f"an npz file of {', '.join(ARRAYS)} (the last three optional); npy files of the first two or four; or a csv "
    )
    told += "file, whose columns z0, z1, ... or code_0, code_1, ... are codes, `split` (train or test), if there, "
    add("files", metavar="FILE", nargs="+", help=f"{told}tells which rows test, and the others are factors")
    add("--factors", metavar="A,B", help="columns of a csv file that are factors (default: all but those of codes)")
    told = "columns that are one vector each, every column in one of them: the first principal component of each is "
    add("--groups", metavar="0-3,4-7,8", help=f"{told}scored, fitted on the training rows")
    add("--metrics", metavar="A,B", help="metrics to score with (default: all)")
    add("--set", metavar="METRIC.NAME=V,V", action="append", help="values of one option of a metric; may be repeated")
    add("--bin-factors", metavar="N", help="cut continuous factors, and those of more values, into so many bins")
    add("--seed", help="seed of every metric's random stream (default: 0)")
    add("--json", action="store_true", default=None, help="print one JSON object")
    add_plugin(parser)
    return parser


def archive_parser() -> Parser:
    """What `archive` takes."""
    told = "Copy finished runs without their models: enough for tables, figures and new metrics."
    parser = Parser(prog="run_benchmark.py archive", description=told, allow_abbrev=False)
    add = parser.add_argument
    add("--to", metavar="DIR", required=True, help="output folder that takes them")
    add("--out", metavar="DIR", help="output folder of the runs (default: results)")
    add("--codes", metavar="N", help="seeds of each configuration that keep the codes of their rows (default: 3)")
    add("--pictures", metavar="N", help="seeds of each configuration that keep pictures and history (default: 1)")
    add_plugin(parser)
    return parser


def score_stored_parser() -> Parser:
    """What `score-stored` takes."""
    told = "Score the finished runs of a folder by the codes that they keep; nothing is trained."
    parser = Parser(prog="run_benchmark.py score-stored", description=told, allow_abbrev=False)
    add = parser.add_argument
    add("out", metavar="DIR", help="output folder of the runs")
    _add_scoring(parser)
    return parser


def paper_parser() -> Parser:
    """What `paper` takes."""
    told = "The beta-VAE paper's table, by its protocol, from the codes that stored runs keep."
    parser = Parser(prog="run_benchmark.py paper", description=told, allow_abbrev=False)
    add = parser.add_argument
    add("outs", metavar="DIR", nargs="+", help="output folders of runs, the first of which takes the page")
    add("--jobs", help="runs side by side (default: the number of cores)")
    add_data_dir(parser)
    return parser


def rows_parser() -> Parser:
    """What `rows` takes."""
    told = (
        "Write the rows of a data set that a submission encodes: the same for everyone, 10,000 to train on and 5,000 "
    )
    parser = Parser(prog="run_benchmark.py rows", description=f"{told}to test on at most.", allow_abbrev=False)
    add = parser.add_argument
    add("dataset", metavar="DATASET", help="a data set's name")
    add("--to", metavar="FILE.npz", required=True, help="file that takes rows_train and rows_test, indices of images")
    add("--images", action="store_true", default=None, help="with their images, uint8 (N, C, H, W)")
    told = "with their factors, for a look at them; codes are to be made of images alone"
    add("--factors", dest="with_factors", action="store_true", default=None, help=told)
    add_data_dir(parser)
    add_plugin(parser)
    return parser


def submit_parser() -> Parser:
    """What `submit` takes."""
    parser = Parser(
        prog="run_benchmark.py submit",
        description=SUBMISSION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("folder", metavar="DIR", help="folder of the submission")
    add("--name", metavar="NAME", required=True, help="under which it is to stand in the tables")
    add("--out", metavar="DIR", help="output folder of the runs (default: results)")
    _add_scoring(parser)
    return parser


def _add_scoring(parser: Parser) -> None:
    """The options of a command that scores codes of stored or sent runs."""
    add = parser.add_argument
    add("--metrics", metavar="A,B", help="metrics to score with, or all (default: all but quick's slow ones)")
    add("--set", metavar="METRIC.NAME=V,V", action="append", help="values of one option of a metric; may be repeated")
    add("--jobs", help="runs side by side (default: the number of cores)")
    add("--timeout", metavar="SECONDS", help="end a run that takes longer (default: never)")
    add_data_dir(parser)
    add_plugin(parser)


def add_data_dir(parser: Parser) -> None:
    """The option of every command that looks images up."""
    told = "folder of published data files, used in place of renderings, and of data of your own"
    parser.add_argument("--data-dir", metavar="DIR", help=told)


def add_device(parser: Parser) -> None:
    """The option of every command that trains."""
    parser.add_argument("--device", help="auto, cpu or cuda (default: auto)")


def add_plugin(parser: Parser) -> None:
    """The option of every command that may meet what is not our own."""
    told = "a Python file with methods, metrics or data sets of your own; may be repeated"
    parser.add_argument("--plugin", metavar="FILE.py", action="append", help=told)


def parse(parser: Parser, given: Sequence[str]) -> dict[str, Any]:
    """The options by name, as `READERS` read them: of the command line, else the --config file, else the defaults."""
    spoken, rest = parser.parse_known_args(list(given))
    flags = sorted(flag for action in parser._actions for flag in action.option_strings)
    if rest:
        raise unknown("option", rest[0].partition("=")[0] or rest[0], flags)
    values = {name: value for name, value in vars(spoken).items() if value is not None}
    config = values.pop("config", None)
    stored = {} if config is None else _read_config(read_path("config", config), set(vars(spoken)) - {"config"})
    options = DEFAULTS | stored | values
    options["trains"] = "methods" in vars(spoken)
    options |= {name: read(options[name]) for name, read in READERS.items() if options.get(name) is not None}
    if "dask_scheduler" in options and options["backend"] != "dask":
        raise UsageError("--dask-scheduler is given, but the backend is local; add --backend dask.")
    if options.get("dask_scheduler") == "":
        raise UsageError("dask-scheduler is ''; it takes an address such as tcp://127.0.0.1:8786.")
    return options


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
        if name in options:
            raise UsageError(f"{path} says {key} twice, with - and with _; say it once.")
        options[name] = _option_of_config(name, key, value, path)
    return options


def _option_of_config(name: str, key: str, value: Any, path: Path) -> Any:
    """What the command line would have given for that key."""
    if name == "set":
        if not isinstance(value, dict):
            raise UsageError(f"set in {path} is {value!r}; write [set] and lines such as betavae.beta = [1, 4].")
        return [f"{target}={_as_text(target, values, path)}" for target, values in _flat(value)]
    if name == "plugin":
        files = value if isinstance(value, list) else [value]
        if not all(isinstance(file, str) for file in files):
            raise UsageError(f"{key} in {path} is {value!r}; it takes a file's name or a list of them.")
        return files
    if name in ("again", "dry_run"):
        if not isinstance(value, bool):
            raise UsageError(f"{key} in {path} is {value!r}; it takes true or false.")
        return value
    if isinstance(value, list) and name not in LISTED:
        raise UsageError(f"{key} in {path} is {value!r}; it takes one value.")
    return _as_text(key, value, path)


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """A TOML table of tables with dotted names: `betavae.beta = 1` is the same as `"betavae.beta" = 1`."""
    for key, value in table.items():
        if value and isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _as_text(key: str, value: Any, path: Path) -> str:
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str | int | float) and not isinstance(item, bool) for item in items):
        raise UsageError(f"{key} in {path} is {value!r}; it takes a text, a number or a list of them.")
    return ",".join(str(item) for item in items)


def read_specs(options: Mapping[str, Any]) -> list[RunSpec]:
    """The runs that the options of `run` ask for."""
    names = _method_names(options)
    data = {name: datasets.load(name, "cpu", options.get("data_dir")) for name in options["datasets"]}
    sources = {name: dataset.source for name, dataset in data.items()}
    grids = _grids(options, names)
    protocol = (options["preset"], options.get("steps"), options.get("likelihood"))
    worlds = {name: _read_world(dataset, options) for name, dataset in data.items()}
    return expand(names, grids, sources, options["seeds"], *protocol, worlds)


def _read_world(dataset: "FactorDataset", options: Mapping[str, Any]) -> str:
    from benchmark.datasets.worlds import read_world

    return read_world(dataset, options.get("correlated", ""), options.get("hold_out", ""))


def refuse_unknown_names(options: Mapping[str, Any]) -> None:
    """Raise UsageError where `run` or `score-stored` names what there is not; does not wait for torch."""
    for name in _method_names(options):
        refuse_unknown_method(name)
    for name in options["datasets"]:
        datasets.refuse_unknown(name, options.get("data_dir"))
    _read_metrics_of_sweep(options)


def _method_names(options: Mapping[str, Any]) -> list[str]:
    return sorted(methods.names()) if "all" in options["methods"] else options["methods"]


def _read_metrics_of_sweep(options: Mapping[str, Any]) -> dict[str, "Metric"]:
    return read_metrics(options, PRESETS[options["preset"]].left_out)


def read_metrics(options: Mapping[str, Any], left_out: Collection[str] = ()) -> dict[str, "Metric"]:
    """The metrics to score with, those that --set says something of under names that say so.

    Args:
        left_out: what is not among them where the options name none.
    """
    from metrics.options import write_name

    named = ["all"] if options["metrics"] is None else options["metrics"]
    names = [name for name in chosen_metrics(named) if options["metrics"] is not None or name not in left_out]
    settings: dict[str, dict[str, list[str]]] = {}
    for owner, name, text in _settings(options):
        if owner not in methods.names():
            settings.setdefault(owner, {})[name] = read_items(f"{owner}.{name}", text)
        elif not options["trains"]:
            raise UsageError(f"--set says {owner}.{name}, and nothing is trained here; it takes a metric's options.")
    for owner in settings:
        if owner not in names:
            raise UsageError(f"{owner} has options set, but is not among the metrics; add --metrics {owner}.")
    variants = [
        write_name(name, dict(zip(own, values, strict=True)))
        for name in names
        for own in [settings.get(name, {})]
        for values in product(*own.values())
    ]
    return {metric.name: metric for metric in chosen_metrics(variants).values()}


def _read_settings(given: Sequence[str]) -> list[tuple[str, str, str]]:
    """What each --set says: a method or metric, the name of one of its settings, and its values."""
    settings: list[tuple[str, str, str]] = []
    for setting in given:
        target, equals, values = setting.partition("=")
        owner, dot, name = target.partition(".")
        if not (equals and dot and owner and name):
            raise UsageError(f"--set takes METHOD.NAME=VALUE,VALUE, such as betavae.beta=1,4, not {setting!r}.")
        if (owner, name) in {told[:2] for told in settings}:
            raise UsageError(f"{owner}.{name} is set twice; give its values once, with commas between.")
        settings.append((owner, name, values))
    return settings


def _settings(options: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The settings, each of a method or metric that there is."""
    import metrics

    known = {*methods.names(), *metrics.REGISTRY}
    for owner, _, _ in options["set"]:
        if owner not in known:
            raise unknown("method or metric", owner, known)
    return options["set"]


def _grids(options: Mapping[str, Any], names: Sequence[str]) -> dict[tuple[str, str], list[Setting]]:
    grids: dict[tuple[str, str], list[Setting]] = {}
    if "betas" in options:
        takers = [name for name in names if "beta" in hyperparameter_fields(find_method(name))]
        if not takers:
            raise UsageError(f"--betas is given, but none of {', '.join(names)} has a beta; add betavae.")
        grids |= {(name, "beta"): _values(f"{name}.beta", options["betas"]) for name in takers}
    for owner, name, values in _settings(options):
        if owner in methods.names():
            if (owner, name) in grids:
                raise UsageError(f"{owner}.{name} is set twice, by betas and by set; give one of them.")
            grids[owner, name] = _values(f"{owner}.{name}", values)
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
        return [*read_items(target, text)]
    try:
        return [_number(item) for item in read_items(target, text)]
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
    for item in read_items("seeds", text):
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


def read_items(name: str, text: str) -> list[str]:
    """The comma-separated items, none of them empty; commas in brackets, as of a metric's options, separate nothing."""
    items = [item.strip() for item in re.split(r",(?![^\[]*\])", text)]
    if not all(items):
        raise UsageError(f"{name} is {text!r}; it takes one or more values with commas between.")
    return items


def read_whole(name: str, text: str, least: int, most: int = GREATEST) -> int:
    """A whole number of that range."""
    if not _is_whole(text) or not least <= int(text) <= most:
        raise UsageError(f"{name} is {text!r}; it takes a whole number from {least} to {most:,}.")
    return int(text)


def _read_whole_option(name: str, least: int, text: str) -> int:
    return read_whole(name.replace("_", "-"), text, least, MOST.get(name, GREATEST))


def read_path(name: str, text: str) -> Path:
    """A path that the system can take, whether anything is there or not."""
    try:
        if not text:
            raise ValueError("it is empty")
        Path(text).stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        raise UsageError(f"{name} is {text!r}, which is no path ({reason_of(error)}).") from error
    return Path(text)


def read_out(text: str, name: str = "out") -> Path:
    """The output folder, where it stands or can be made, with room for the names of what is stored in it."""
    folder = read_path(name, text)
    try:
        (folder / ("x" * LONGEST_NAME) / ("x" * LONGEST_NAME)).stat()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise UsageError(f"cannot write to {folder} ({error.strerror}); name another folder with --{name}.") from error
    return folder


def read_device(text: str) -> str:
    """A device's name, where there is such a device."""
    import torch

    if _read_device(text) == "cuda" and not torch.cuda.is_available():
        raise UsageError("device is 'cuda', but torch finds no CUDA GPU here; use auto or cpu.")
    return text


def read_workplace(options: Mapping[str, Any]) -> "Workplace":
    """Where and how the runs are to be carried out; plugins apart."""
    from joblib import cpu_count

    from benchmark.running.execution import Workplace
    from benchmark.running.scheduler import default_jobs

    device, threads = read_device(options["device"]), options["threads"]
    if threads > cpu_count():
        raise UsageError(f"threads is {threads}; this machine has {cpu_count()} cores.")
    return Workplace(
        out=options["out"],
        device=device,
        jobs=options["jobs"] if "jobs" in options else default_jobs(device),
        shared="jobs" not in options,
        threads=threads,
        data_dir=options.get("data_dir"),
        metrics=tuple(_read_metrics_of_sweep(options)),
        pack=options["pack"],
        checkpoint_seconds=options["checkpoint"],
        timeout=options.get("timeout"),
        backend=options["backend"],
        dask_scheduler=options.get("dask_scheduler"),
        again=options["again"],
    )


def _read_choice(name: str, known: Sequence[str], text: str) -> str:
    if text not in known:
        raise unknown(name, text, known)
    return text


def _read_world_part(name: str, given: str | Sequence[str]) -> str:
    """What is said of a world, once or several times, as one text."""
    text = given if isinstance(given, str) else ",".join(given)
    read_items(name, text)
    return text


def _read_data_dir(text: str) -> Path:
    folder = read_path("data-dir", text)
    if not folder.is_dir():
        raise UsageError(f"data-dir is {text!r}, where there is no folder; name the one that holds the files.")
    return folder


def _read_device(text: str) -> str:
    if text not in DEVICES:
        raise UsageError(f"device is {text!r}; choose from {', '.join(DEVICES)}.")
    return text


def _read_name(text: str) -> str:
    """A name for an outsider's row, which is no method's of ours."""
    if not (text.isprintable() and 0 < len(text) <= LONGEST_ROW and text == text.strip()):
        takes = f"a printable text of at most {LONGEST_ROW} characters, without blanks around it"
        raise UsageError(f"name is {text!r}; it takes {takes}.")
    if text in methods.names():
        raise UsageError(f"name {text!r} is that of a method here; choose another, such as '{text} of AUTHOR'.")
    return text


def _read_pack(text: str) -> int | None:
    return None if text == "auto" else read_whole("pack", text, 1)


# What turns an option's text into its value, before anything that takes long is imported.
READERS: dict[str, Callable[[Any], Any]] = {
    **{name: partial(read_items, name) for name in ("methods", "datasets", "metrics")},
    **{name: partial(_read_whole_option, name, least) for name, least in LEAST.items()},
    "backend": partial(_read_choice, "backend", BACKENDS),
    "correlated": partial(_read_world_part, "correlated"),
    "data_dir": _read_data_dir,
    "device": _read_device,
    "factors": partial(read_items, "factors"),
    "groups": read_groups,
    "hold_out": partial(_read_world_part, "hold-out"),
    "likelihood": read_likelihood,
    "name": _read_name,
    "out": read_out,
    "pack": _read_pack,
    "preset": partial(_read_choice, "preset", [*PRESETS]),
    "seeds": _seeds,
    "set": _read_settings,
}


def check_writable(folder: Path, option: str = "--out") -> None:
    """Refuse, before any work is done, a folder that cannot be made or written; leaves nothing behind.

    `option`: that named it; empty where none did.
    """
    standing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=standing):
            pass
    except OSError as error:
        named = f" with {option}" if option else ""
        raise UsageError(f"cannot write to {folder} ({error.strerror}); name another folder{named}.") from error
