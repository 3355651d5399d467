"""What the literature reports, beside what is measured here: never ranked, and each with how it differs."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FACTS = Path(__file__).parent / "reported.csv"


@dataclass(frozen=True)
class Paper:
    """Where numbers stand, and how they came about otherwise than here."""

    name: str
    where: str
    differs: str


PAPERS = {
    "higgins2017": Paper(
        "Higgins et al. 2017, beta-VAE: Learning basic visual concepts with a constrained variational framework",
        "table 1",
        "Four factors, without shape (chance 0.25); how many pairs make a point is not told; other networks and "
        "optimiser than the presets `quick` and `standard` (the preset `higgins2017` has them); not their code.",
    ),
    "lin2020": Paper(
        "Lin et al. 2020, InfoGAN-CR and ModelCentrality: Self-supervised model training and selection for "
        "disentangling GANs",
        "table 1",
        "The published dSprites; the authors' own metric code, training budgets and GANs; DCI by another predictor "
        "than `dci_fast`; the MIG of beta-TCVAE leaves shape out; InfoGAN is its InfoGAN (modified).",
    ),
    "fdae2024": Paper(
        "Wu and Zheng 2024, Factorized diffusion autoencoder for unsupervised disentangled representation learning "
        "(FDAE)",
        "table 2",
        "Mostly taken over from each method's own paper; published images; long training; codes that are vectors are "
        "reduced to one number each before scoring; DCI by another predictor than `dci_fast`.",
    ),
    "encdiff2024": Paper(
        "Yang et al. 2024, Diffusion model with cross attention as an inductive bias for disentanglement (EncDiff)",
        "table 1",
        "The protocol of DisCo, an earlier paper; published images; long training on GPUs; DCI by another predictor "
        "than `dci_fast`.",
    ),
}


@dataclass(frozen=True)
class Reported:
    """One number of a paper.

    Attributes:
        hyperparameters: empty where the paper's best or usual ones were taken, or none are told.
        spread: a standard deviation as the paper has it; empty where it has none.
    """

    dataset: str
    method: str
    hyperparameters: str
    metric: str
    value: float
    spread: str
    paper: str

    @property
    def shown(self) -> str:
        spread = f" ± {float(self.spread):.3g}".replace(" ", "\N{NO-BREAK SPACE}") if self.spread else ""
        return f"{self.value:.3g}{spread}"


@cache
def reported_numbers() -> tuple[Reported, ...]:
    """All numbers of papers that are kept."""
    with FACTS.open(newline="") as file:
        return tuple(Reported(**{**row, "value": float(row["value"])}) for row in csv.DictReader(file))  # type: ignore[arg-type]


def reported_of(dataset: str, method: str, hyperparameters: str) -> list[Reported]:
    """What papers report of the method on that data set; where they name hyperparameters, of those alone."""
    plain = dataset.partition(" ")[0]
    own = [each for each in reported_numbers() if (each.dataset, each.method) == (plain, method)]
    settings = set(hyperparameters.split())
    return [each for each in own if set(each.hyperparameters.split()) <= settings]
