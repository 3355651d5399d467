"""Runs that look as if they had been trained: copies of one real run, with scores that differ."""

import json
import shutil
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np

from benchmark.spec import RunSpec
from benchmark.storage.store import RunFolder, run_folder

GRIDS = {
    "betavae": ("beta", 40),
    "betatcvae": ("beta", 20),
    "factorvae": ("gamma", 20),
    "dipvae_i": ("lambda_od", 20),
}
CONFIGURATIONS = [
    (method, name, float(value))
    for method, (name, count) in GRIDS.items()
    for value in np.geomspace(0.5, 64, count).round(3)
]
COPIED = ("history.csv", "environment.json", "pictures.npz", "probe.npz", "traversals.png", "reconstructions.png")


def specs_like(template: RunFolder, count: int) -> Iterator[RunSpec]:
    """So many runs on the template's data and protocol: a hundred configurations, one seed after the other."""
    stored = template.read_json("spec.json")
    fixed = {"dataset": stored["dataset"], "preset": stored["preset"], "steps": stored["protocol"]["steps"]}
    seeds = range(-(-count // len(CONFIGURATIONS)))
    for _, (seed, (method, name, value)) in zip(range(count), product(seeds, CONFIGURATIONS), strict=False):
        yield RunSpec(method, {name: value}, seed=seed, **fixed)


def store_runs(out: Path, template: RunFolder, count: int) -> list[RunSpec]:
    """Store so many finished runs under the output folder; the models alone are left out."""
    specs = list(specs_like(template, count))
    scores = template.read_json("scores.json")
    rng = np.random.default_rng(0)
    for spec in specs:
        folder = run_folder(out, spec.run_id)
        folder.path.mkdir(parents=True, exist_ok=True)
        jittered = scores | {"metrics": {name: _jitter(scored, rng) for name, scored in scores["metrics"].items()}}
        measures = {name: value for name, value in scores["measures"].items() if "beta" not in name}
        jittered["measures"] = {name: value * rng.uniform(0.9, 1.1) for name, value in measures.items()}
        if "beta" in spec.hyperparameters:
            jittered["measures"]["beta"] = spec.hyperparameters["beta"]
        for name, content in (
            ("spec.json", spec.to_dict()),
            ("scores.json", jittered),
            ("status.json", {"state": "finished", "reason": ""}),
        ):
            (folder.path / name).write_text(json.dumps(content))  # and not atomically, which takes its time
        for name in COPIED:
            if (template.path / name).exists():
                shutil.copy(template.path / name, folder.path / name)
    return specs


def _jitter(scored: dict, rng: np.random.Generator) -> dict:
    return scored | {"values": {name: value * rng.uniform(0.9, 1.1) for name, value in scored["values"].items()}}
