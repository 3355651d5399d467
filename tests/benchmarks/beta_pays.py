"""Whether a beta beats beta = 1: means, their ratio, and the share of pairs of seeds that it wins.

Run:
    python -m tests.benchmarks.beta_pays results/reference/quick

prints a row a beta and score of the runs stored under that folder.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.report.leaderboard import collect_runs
from benchmark.report.paper import as_markdown

SCORES = ("mig", "dci_fast", "beta_vae_score.at_5_pairs_without_shape", "beta_vae_score.without_shape")
PRICE = ("reconstruction", "kl", "active_latents")


def share_won(scores: np.ndarray, others: np.ndarray) -> float:
    """The share of pairs, one of each, in which the first is greater; ties count half."""
    differences = np.sign(scores[:, None] - others[None])
    return float((differences + 1).mean() / 2)


def compare(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a score and beta of beta-VAE, beside its values at beta = 1."""
    own = runs[(runs["method"] == "betavae") & (runs["state"] == "finished")].astype({"run": str, "metric": str})
    wide = own.pivot_table(index="run", columns="metric", values="value")
    groups = {beta: rows for beta, rows in wide.groupby("beta") if len(rows) > 1}
    lines = []
    for beta, rows in groups.items():
        line: dict[str, object] = {"beta": f"{beta:g}", "seeds": len(rows)}
        for name in SCORES:
            first, here = groups[1.0][name].to_numpy(), rows[name].to_numpy()
            line[name] = f"{here.mean():.3f} ({here.mean() / first.mean():.2f} x, {share_won(here, first):.0%})"
        lines.append(line | {name: f"{rows[name].mean():.1f}" for name in PRICE})
    return pd.DataFrame(lines)


def main() -> None:
    """Print the table as Markdown."""
    print(as_markdown(compare(collect_runs(Path(sys.argv[1])))))


if __name__ == "__main__":
    main()
