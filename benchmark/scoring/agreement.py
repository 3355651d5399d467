"""How well the stored models of one configuration agree, for choosing hyperparameters without labels."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from benchmark.storage.store import RunFolder, stored_runs
from metrics.base import WIDE
from metrics.udr import DECLARED, udr

KL_PER_LATENT = "kl_per_latent_"
METHODS: tuple[Literal["lasso", "spearman"], ...] = ("lasso", "spearman")  # as udr's names have them


def compare_models(out: Path) -> None:
    """Bring `agreement.json` up to date in every finished run under the output folder.

    Runs that differ in their seed alone are compared, where there are at least two; it is done
    again where runs have come or gone since.
    """
    groups = defaultdict(list)
    for folder in stored_runs(out):
        if folder.finished and folder.probed and folder.identified:
            groups[folder.configuration].append(folder)
    for folders in groups.values():
        _compare(folders)


def _compare(folders: Sequence[RunFolder]) -> None:
    names = [folder.path.name for folder in folders]
    known = {"models": names, "version": DECLARED.version}
    if all(folder.read_json("agreement.json").items() >= known.items() for folder in folders):
        return
    codes = {folder: stored["codes"] for folder in folders if (stored := folder.read_arrays("probe.npz"))}
    narrow = all(each.shape[1] <= WIDE for each in codes.values())
    try:
        scores = _score(codes) if len(codes) > 1 and narrow else {}
    except ValueError:  # codes of different images, or of latents too faint to compare
        scores = {}
    for folder in folders:
        folder.write_json("agreement.json", known | {"values": scores.get(folder, {})})


def _score(codes: Mapping[RunFolder, np.ndarray]) -> dict[RunFolder, dict[str, float]]:
    measured = [_kl_per_latent(folder) for folder in codes]
    told = all(len(kl) == each.shape[1] for kl, each in zip(measured, codes.values(), strict=True))
    rng, kl = np.random.default_rng(0), measured if told else None
    lasso, spearman = (udr([*codes.values()], rng, kl=kl, method=method) for method in METHODS)
    scores = zip(lasso.tolist(), spearman.tolist(), strict=True)
    return {folder: dict(zip(DECLARED.names, own, strict=True)) for folder, own in zip(codes, scores, strict=True)}


def _kl_per_latent(folder: RunFolder) -> np.ndarray:
    """Each latent's KL in nats, as measured on the run's test rows; none where the method has no posterior."""
    measures = folder.read_json("scores.json").get("measures", {})
    named = {name.removeprefix(KL_PER_LATENT): kl for name, kl in measures.items() if name.startswith(KL_PER_LATENT)}
    latents = [str(j) for j in range(len(named))]
    return np.array([named[j] for j in latents if j in named])
