"""What outsiders send: codes of fixed rows, recomputed; weights that give them again, verified; numbers alone, claimed.

A submission is a folder. `spec.json` says whose it is and of what; `codes.npz`, or `codes-0.npz` and so on, one a seed,
holds codes; `encoder.safetensors`, or `encoder-0.safetensors` and so on, weights for a method and an architecture of
ours. These are data: nothing in them is executed.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from benchmark import datasets
from benchmark.arrays import read_groups, read_npz
from benchmark.datasets.base import FactorDataset
from benchmark.errors import UsageError, one_line, reason_of, unknown
from benchmark.running import isolation
from benchmark.running.execution import Encoded, Workplace
from benchmark.scoring.encoding import PROBED_IMAGES, Rows, as_table
from benchmark.scoring.fixed_rows import fixed_images, fixed_rows, rows_digest, version_of
from benchmark.scoring.scrutiny import ALIKE, LIMITS, Finding, scrutinise
from benchmark.spec import CLAIMED, EVIDENCE, RECOMPUTED, SUBMITTED, VERIFIED, chosen_metrics, find_method, name_run
from benchmark.storage.store import RunFolder, run_folder, stored_runs
from benchmark.training.pack import callable_networks
from methods.base import hyperparameters_of, structure_of
from methods.networks import ARCHITECTURES
from metrics import Table
from metrics.base import WIDE

LONGEST = 300  # characters of a text
GREATEST = 10**9  # of a whole number
MOST_LATENTS = 4096
NEAR = ALIKE**2 / 2  # that the correlation of two codes lacks of 1, so far apart
COMPARED = 1_000  # rows, of two seeds
STRAYED = 1e-3  # of all codes, that may differ by more than `ALIKE` where weights give them again
SEED = r"(?:-(0|[1-9][0-9]{0,8}))?"  # in a file's name
FILES = {"codes": re.compile(rf"codes{SEED}\.npz"), "encoder": re.compile(rf"encoder{SEED}\.safetensors")}
SAME = ("method", "dataset", "source", "preset", "hyperparameters")  # of a submission's seeds
NAMED = "hyperparameters.groups is where `groups` of spec.json stands in the tables; call it otherwise"


@dataclass(frozen=True)
class Received:
    """One run of a submission, which nothing was found to refuse.

    Attributes:
        spec: what `spec.json` of its folder is to hold.
        evidence: how its scores are known.
        digests: of the files that it came of, by their names.
        scores: of a claim, by metric.
        rows, table: the fixed rows and their codes, as they are scored; None of a claim.
        findings: what was found of the codes as they were sent.
        notes: what else is worth knowing, a sentence each.
        dropped: runs that stand in the output folder, of seeds that are not sent any more.
    """

    spec: Mapping[str, Any]
    evidence: str
    digests: Mapping[str, str]
    scores: Mapping[str, float] | None = None
    rows: Rows | None = None
    table: Table | None = None
    findings: Sequence[Finding] = ()
    notes: Sequence[str] = ()
    dropped: Sequence[str] = ()

    @property
    def run_id(self) -> str:
        return name_run(self.spec)

    @property
    def remarks(self) -> list[str]:
        """What is odd about its codes, a sentence each."""
        return [finding.remark for finding in self.findings if finding.remark]


# --- what spec.json says -----------------------------------------------------------------------------


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST and value.isprintable() and value == value.strip()


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= GREATEST


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e30


def _are_settings(value: Any) -> bool:
    pairs = value.items() if isinstance(value, dict) else [("", None)]
    return all(_is_text(name) and (_is_number(each) or _is_text(each)) for name, each in pairs)


def _are_scores(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(map(_is_number, value.values()))


TEXT = "a printable text of at most 300 characters, without blanks around it"
WHOLE = "a whole number of at least 0"
SETTINGS = 'an object of numbers and texts, such as {"beta": 4}'
KEYS: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("who", "method", "paper", "dataset", "source", "rows", "groups"), (_is_text, TEXT)),
    **dict.fromkeys(("dataset_version", "seed"), (_is_whole, WHOLE)),
    "hyperparameters": (_are_settings, SETTINGS),
    "weights": (
        lambda value: isinstance(value, dict),
        'an object such as {"method": "vae", "architecture": ..., "latents": 10}',
    ),
    "scores": (_are_scores, 'an object of metrics and numbers, such as {"mig": 0.3}'),
}
NEEDED = ("who", "method", "paper", "dataset", "dataset_version")
OF_WEIGHTS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "method": (_is_text, TEXT),
    "architecture": (lambda value: _is_text(value) and value in ARCHITECTURES, f"one of {', '.join(ARCHITECTURES)}"),
    "latents": (
        lambda value: _is_whole(value) and 1 <= value <= MOST_LATENTS,
        f"a whole number from 1 to {MOST_LATENTS:,}",
    ),
    "hyperparameters": (_are_settings, SETTINGS),
}


def _read_spec(path: Path) -> dict[str, Any]:
    """What spec.json says, each key as it must be."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(one_line(f"cannot read {path} as JSON ({reason_of(error)}).")) from error
    _refuse_odd(str(path), told, KEYS, NEEDED)
    if "weights" in told:
        _refuse_odd(f"{path}: weights", told["weights"], OF_WEIGHTS, ("method", "architecture", "latents"))
    if "groups" in told.get("hyperparameters", {}):
        raise UsageError(f"{path}: {NAMED}.")
    return told


def _refuse_odd(
    where: str, told: Any, keys: Mapping[str, tuple[Callable[[Any], bool], str]], needed: Sequence[str]
) -> None:
    """Raise UsageError where the object lacks a key, or one of its values is not as it must be."""
    if not isinstance(told, dict):
        raise UsageError(f"{where} holds {type(told).__name__}, where an object is needed.")
    for key in told:
        if key not in keys:
            raise UsageError(one_line(f"{where}: {unknown('key', key, keys)}"))
    for key in needed:
        if key not in told:
            raise UsageError(f"{where} does not say {key!r}; {', '.join(needed)} are needed.")
    for key, value in told.items():
        sound, takes = keys[key]
        if not sound(value):
            raise UsageError(one_line(f"{where}: {key} is {value!r}; it takes {takes}."))


# --- what is received --------------------------------------------------------------------------------


def receive(folder: Path, name: str, out: Path, data_dir: Path | None) -> list[Received]:
    """The runs of a submission, all of them looked at; nothing is written.

    Args:
        name: under which they are to stand in the tables.
        out: the output folder, in which nobody else's runs may have that name.

    Raises:
        UsageError: something is missing or not as it must be.
    """
    told = _read_spec(folder / "spec.json")
    codes, weights = _find_files(folder)
    _refuse_odd_files(folder, told, codes, weights)
    dataset = datasets.load(told["dataset"], "cpu", data_dir)
    _refuse_other_data(folder, told, dataset)
    _refuse_taken(out, name, _identity(told))
    _refuse_marked(name)
    if not codes:
        return _drop_others([_receive_claim(folder, name, told, dataset)], out)
    runs = [
        _receive_codes(folder, name, told | {"seed": seed}, dataset, path, weights.get(seed))
        for seed, path in codes.items()
    ]
    _refuse_alike(runs, [*codes.values()])
    return _drop_others(runs, out)


@contextmanager
def _blaming(path: Path) -> Iterator[None]:
    """Name the file in what is raised of what it holds."""
    try:
        yield
    except ValueError as error:
        raise UsageError(one_line(f"{path}: {error}")) from error


def _identity(told: Mapping[str, Any]) -> dict[str, str]:
    """Whose a submission is."""
    return {key: told[key] for key in ("who", "method", "paper")}


def _find_files(folder: Path) -> tuple[dict[int, Path], dict[int, Path]]:
    """The files of codes and of weights by seed; -1 where a file's name tells none."""
    paths = [*folder.iterdir()]
    codes, weights = (
        dict(sorted((int(told[1] or -1), path) for path in paths if (told := name.fullmatch(path.name))))
        for name in FILES.values()
    )
    suffixes = (".npz", ".safetensors")
    alike = [path.name for path in paths if path.name.lower().startswith((*FILES,)) and path.suffix.lower() in suffixes]
    if odd := {*alike} - {path.name for path in (*codes.values(), *weights.values())}:
        takes = "codes.npz, codes-0.npz, codes-1.npz and so on, and encoder.safetensors likewise"
        raise UsageError(one_line(f"{folder} holds {min(odd)!r}, which is not looked at; call files {takes}."))
    return codes, weights


def _refuse_odd_files(folder: Path, told: Mapping[str, Any], codes: dict[int, Path], weights: dict[int, Path]) -> None:
    """Raise UsageError where files do not go together, nor with what spec.json says; else name the seeds."""
    if -1 in codes and len(codes) > 1:
        raise UsageError(f"{folder} holds both codes.npz and {codes[max(codes)].name}; number all of them or none.")
    if not codes and "scores" not in told:
        raise UsageError(
            f"{folder} holds no codes.npz, nor does its spec.json claim scores; `rows` says what to encode."
        )
    if codes and "scores" in told:
        raise UsageError(f"{folder} holds codes, of which scores are recomputed; leave scores out of its spec.json.")
    if max(codes, default=-1) >= 0 and "seed" in told:
        raise UsageError(f"{folder} holds {codes[max(codes)].name}, which tells its seed; leave seed out of spec.json.")
    if stray := [path for seed, path in weights.items() if seed not in codes]:
        raise UsageError(f"{folder} holds {stray[0].name}, but no codes of the same number.")
    if weights and "weights" not in told:
        raise UsageError(
            f"{folder} holds weights; say in spec.json what they are of, by weights: method, architecture, latents."
        )
    if "weights" in told and not weights:
        raise UsageError(f"{folder / 'spec.json'} tells of weights, but there is no encoder.safetensors.")
    for files in (codes, weights):
        if -1 in files:
            files[told.get("seed", 0)] = files.pop(-1)


def _refuse_other_data(folder: Path, told: Mapping[str, Any], dataset: FactorDataset) -> None:
    where, version = folder / "spec.json", version_of(dataset)
    if told["dataset_version"] != version:
        stated = told["dataset_version"]
        raise UsageError(
            f"{where} is of version {stated} of {dataset.name}, which is at version {version} here; encode it anew."
        )
    rows = rows_digest(dataset, fixed_rows(dataset))
    if told.get("rows", rows) != rows:
        raise UsageError(
            one_line(f"{where} is of rows {told['rows']!r}, and those of {dataset.name} are {rows}; encode them anew.")
        )
    source = told.get("source", dataset.source)
    if source == dataset.source:
        return
    if dataset.table is not None:
        raise UsageError(
            one_line(
                f"{where} is of source {source!r}, and {dataset.name} is of {dataset.source!r} here, other images."
            )
        )
    if "weights" in told:
        raise UsageError(
            one_line(
                f"{where} is of source {source!r}, and weights are tried on {dataset.source!r} here; name --data-dir."
            )
        )


def _refuse_taken(out: Path, name: str, identity: Mapping[str, str]) -> None:
    """Raise UsageError where another's runs stand under that name."""
    for folder in stored_runs(out):
        stored = folder.read_json("spec.json")
        own = stored.get("submission", {})
        if stored.get("method") == name and any(own.get(key) != identity[key] for key in ("who", "method")):
            told = f"by {own['who']}, {own.get('method')}" if own.get("who") else "by a method"
            remedy = f"choose another, or delete {folder.path} and its other runs"
            raise UsageError(one_line(f"name {name!r} is taken in {out}, {told}; {remedy}."))


def _refuse_marked(name: str) -> None:
    """Raise UsageError where a name says what tables say of a row."""
    marks = [mark for mark in (*(f"({evidence})" for evidence in EVIDENCE), "(!)", "(stale") if mark in name.lower()]
    if marks:
        raise UsageError(one_line(f"name is {name!r}; {marks[0]} is what tables say of a row, so choose another."))


def _drop_others(runs: list[Received], out: Path) -> list[Received]:
    """The runs, with the first those that stand there of the same name, data and hyperparameters and are not sent."""
    first, *rest = runs
    sent = {run.run_id for run in runs}
    stored = [(folder.path.name, folder.read_json("spec.json")) for folder in stored_runs(out)]
    alike = [run for run, spec in stored if all(spec.get(key) == first.spec[key] for key in SAME)]
    return [replace(first, dropped=[run for run in alike if run not in sent]), *rest]


def _stored_spec(
    name: str, told: Mapping[str, Any], dataset: FactorDataset, preset: str, protocol: dict[str, Any]
) -> dict[str, Any]:
    grouped = {"groups": told["groups"].replace(" ", "")} if "groups" in told else {}
    return {
        "method": name,
        "method_version": 1,
        "hyperparameters": told.get("hyperparameters", {}) | grouped,
        "dataset": dataset.name,
        "dataset_version": told["dataset_version"],
        "source": told.get("source", dataset.source),
        "preset": preset,
        "protocol": {"steps": 0} | protocol,
        "seed": told.get("seed", 0),
        "submission": _identity(told),
    }


def _receive_claim(folder: Path, name: str, told: Mapping[str, Any], dataset: FactorDataset) -> Received:
    for metric, value in told["scores"].items():
        with _blaming(folder / "spec.json"):
            chosen = chosen_metrics([metric])
        if [*chosen] != [metric]:
            raise UsageError(one_line(f"{folder / 'spec.json'}: {metric} is several metrics; name each."))
        low, high = chosen[metric].range
        if not low <= value <= high:
            raise UsageError(f"{folder / 'spec.json'}: {metric} is {value!r}; it runs from {low:g} to {high:g}.")
    spec = _stored_spec(name, told, dataset, CLAIMED, {})
    return Received(spec, CLAIMED, _digests(folder / "spec.json"), told["scores"])


def _receive_codes(
    folder: Path, name: str, told: Mapping[str, Any], dataset: FactorDataset, path: Path, weights: Path | None
) -> Received:
    rows = fixed_rows(dataset)
    sent = _read_codes(path, rows)
    codes = sent if weights is None else _encode_again(weights, told["weights"], sent, dataset, rows)
    with _blaming(path):
        whole = as_table(sent, dataset, rows)
    with _blaming(folder / "spec.json"):
        groups = read_groups(told["groups"]) if "groups" in told else None
        table = as_table(codes, dataset, rows, groups)
    counts = {"train_rows": len(rows.train), "test_rows": len(rows.test), "rows": rows_digest(dataset, rows)}
    spec = _stored_spec(name, told, dataset, SUBMITTED, counts)
    return Received(
        spec,
        VERIFIED if weights is not None else RECOMPUTED,
        _digests(folder / "spec.json", path, *filter(None, [weights])),
        rows=rows,
        table=table,
        findings=scrutinise(sent.astype(np.float64), dataset, rows, whole, here=spec["source"] == dataset.source),
        notes=[grouped] if (grouped := table.tell_groups()) else [],
    )


def _refuse_alike(runs: Sequence[Received], paths: Sequence[Path]) -> None:
    """Raise UsageError where codes of two seeds are the same, whatever their order, signs and units."""
    tables = [_some_rows(run.table) for run in runs if run.table is not None]
    for (first, one), (second, other) in combinations(zip(paths, tables, strict=True), 2):
        if one.shape == other.shape and (np.abs(one.T @ other).max(axis=1, initial=0) / len(one) > 1 - NEAR).all():
            raise UsageError(
                one_line(f"{first} and {second} hold the same codes, so that they are no seeds; send one of them.")
            )


def _some_rows(table: Table) -> np.ndarray:
    """The codes of a thousand rows, as many as tell codes from others, standardised; those that vary."""
    codes = np.concatenate([table.codes, table.codes_test])
    codes = codes[:: max(1, len(codes) // COMPARED)]
    spread = codes.std(0)
    return ((codes - codes.mean(0)) / np.where(spread > 0, spread, 1))[:, spread > 0]


def _read_codes(path: Path, rows: Rows) -> np.ndarray:
    """Codes (N, D) of all the rows, those of training first."""
    arrays = read_npz(path, ("codes", "codes_train", "codes_test"))
    parts = {"codes": rows.all} if "codes" in arrays else {"codes_train": rows.train, "codes_test": rows.test}
    if {*arrays} != {*parts}:
        raise UsageError(
            f"{path} holds {', '.join(arrays) or 'neither'}; codes_train and codes_test, or codes alone, are needed."
        )
    for name, indices in parts.items():
        if arrays[name].ndim != 2 or len(arrays[name]) != len(indices) or arrays[name].dtype.kind not in "biuf":
            kind = f"{arrays[name].dtype} of shape {arrays[name].shape}"
            raise UsageError(
                one_line(f"{path}: {name} is {kind}; numbers ({len(indices)}, D) are needed, in the order of `rows`.")
            )
    if len({arrays[name].shape[1] for name in parts}) > 1:
        raise UsageError(f"{path}: codes_train and codes_test have different numbers of columns.")
    return np.concatenate([arrays[name] for name in parts])


def _digests(*paths: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


# --- weights -----------------------------------------------------------------------------------------


def _encode_again(
    path: Path, told: Mapping[str, Any], codes: np.ndarray, dataset: FactorDataset, rows: Rows
) -> np.ndarray:
    """The codes (N, D) that the weights give of the rows' images here, which are scored in place of those sent.

    Raises:
        UsageError: they are others, beyond rounding in half precision and on another device.
    """
    given = _encode(path, told, dataset, rows)
    if not np.isfinite(given).all():
        raise UsageError(f"{path} gives codes that are not finite; send the weights of a trained encoder.")
    if given.shape != codes.shape:
        raise UsageError(f"{path} gives {given.shape[1]} codes, and there are {codes.shape[1]} in the file of codes.")
    # Half precision has eleven bits of a number however large it is; what varies little is told by the others' noise.
    rounding = np.abs(given) * 2**-10 + ALIKE / 10 * given.std(0).max()
    apart = np.abs(given - codes) > ALIKE * given.std(0) + rounding
    if apart.mean() > STRAYED:
        raise UsageError(
            f"{path} gives other codes: {apart.mean():.1%} of them differ by more than {ALIKE:.0%} of a standard "
            "deviation; send the weights that made them, or none."
        )
    return given


@torch.inference_mode()
def _encode(path: Path, told: Mapping[str, Any], dataset: FactorDataset, rows: Rows) -> np.ndarray:
    """Codes (N, D) of the rows' images by a method of ours with those weights."""
    cls = find_method(told["method"])
    try:
        structure = structure_of(hyperparameters_of(cls, told.get("hyperparameters", {})))
        method = cls(
            dataset.image_shape, told["latents"], told["architecture"], dataset.factor_sizes,
            structure=structure, images=len(dataset),
        )  # fmt: skip
        networks = _load_networks(path, method.build())
        called = callable_networks(networks, "fp32")
        images = (torch.from_numpy(some).float() / 255 for some in fixed_images(dataset, rows.all))
        return torch.cat([method.encode(called, some) for some in images]).double().numpy()
    except UsageError:
        raise
    except NotImplementedError as error:
        raise UsageError(f"{path}: {cls.name} encodes no images, and so verifies no codes.") from error
    except (OSError, SafetensorError, ValueError, KeyError, RuntimeError) as error:
        reason = f"no network or hyperparameter {error}" if isinstance(error, KeyError) else reason_of(error)
        raise UsageError(one_line(f"{path} holds no weights of {cls.name} ({' '.join(reason.split())}).")) from error


def _load_networks(path: Path, built: Mapping[str, nn.Module]) -> nn.ModuleDict:
    """The networks of which the file holds weights, all of each."""
    state = load(path.read_bytes())
    networks = nn.ModuleDict(
        {name: net for name, net in built.items() if any(key.startswith(f"{name}.") for key in state)}
    )
    networks.load_state_dict(state)
    return networks.eval()


# --- what is stored ----------------------------------------------------------------------------------


def store(received: Received, workplace: Workplace) -> Encoded | None:
    """Keep a run of a submission in a folder like any other's, in place of what was sent of it before.

    Runs of seeds that are not sent any more are removed.

    Returns:
        What is left to be scored; None of a claim, which is finished.
    """
    for dropped in received.dropped:
        old = run_folder(workplace.out, dropped)
        with ExitStack() as locks:
            if old.lock(locks, True, isolation.interrupted):
                old.clear()
                old.path.rmdir()
    folder = run_folder(workplace.out, received.run_id)
    with ExitStack() as locks:
        folder.lock(locks, True, isolation.interrupted)
        told = _describe(received)
        if not (folder.finished and folder.read_json("submission.json") == told):
            folder.clear()
            _write(folder, received, told)
    return None if received.table is None else Encoded(received.run_id, received.spec["seed"], received.table, {})


def _describe(received: Received) -> dict[str, Any]:
    """What `submission.json` holds."""
    checks = [asdict(finding) | {"limits": LIMITS[finding.check]} for finding in received.findings]
    told = {"evidence": received.evidence, "remarks": received.remarks, "notes": [*received.notes]}
    return told | {"files": dict(received.digests), "checks": checks}


def _write(folder: RunFolder, received: Received, told: dict[str, Any]) -> None:
    """Write spec.json last, without which there is no run."""
    folder.write_json("submission.json", told)
    if received.table is None or received.rows is None:
        folder.write_json("scores.json", {"metrics": dict(_claimed(received.scores or {})), "measures": {}})
        folder.write_json("status.json", {"state": "finished", "reason": ""})
    else:
        codes = np.concatenate([received.table.codes, received.table.codes_test])
        folder.write_arrays("probe.npz", {"codes": codes[:PROBED_IMAGES]})
        if codes.shape[1] <= WIDE:
            folder.write_codes(codes, received.rows.all)
    folder.write_json("spec.json", dict(received.spec))


def _claimed(scores: Mapping[str, float]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Claimed numbers as scores.json has scores, but for the version of a metric, of which nothing is known."""
    for name, value in sorted(scores.items()):
        metric = chosen_metrics([name])[name]
        direction = (1 if metric.higher_is_better else -1) if metric.ranked else 0
        yield name, {"columns": ["score"], "direction": direction, "values": {"score": float(value)}}
