"""Prints the README's leaderboard: each method of the reference run at the configuration that half of its seeds chose.

python -m tests.benchmarks.readme_board [results/reference/quick]
"""

import sys
from pathlib import Path

import pandas as pd

COLUMNS = {
    "beta_vae_score": None,
    "beta_vae_score.at_5_pairs": 3,
    "factor_vae_score": None,
    "mig": 3,
    "dci_fast": 3,
    "udr": 3,
    "reconstruction": 1,
    "kl": None,
    "active_latents": None,
}  # and their decimal places; None: three digits
SHORT = {"beta_vae_score.at_5_pairs": "at 5 pairs"}


def cell(row: pd.Series, name: str, places: int | None) -> str:
    """A mean, with its interval where there is one."""
    mean, low, high = (row[f"{name}_{part}"] for part in ("mean", "low", "high"))
    if pd.isna(mean):
        return ""
    if places is None:
        places = 3 if mean < 1 else 2 if mean < 10 else 1
    interval = "" if pd.isna(low) else f" [{low:.{places}f}, {high:.{places}f}]"
    return f"{mean:.{places}f}{interval}"


def rank(row: pd.Series) -> str:
    """The rank with its interval, of a row that has one."""
    return "" if pd.isna(row["rank"]) else f"{row['rank']:.0f} [{row['rank_low']:.0f}-{row['rank_high']:.0f}]"


def lines(board: pd.DataFrame) -> list[str]:
    """The table in Markdown."""
    head = ["rank", "method", "seeds", *(SHORT.get(name, name) for name in COLUMNS)]
    shown = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for _, row in board.iterrows():
        settings = "" if row["hyperparameters"] == "none" else row["hyperparameters"]
        cells = [rank(row), f"{row['method']} {settings}".strip(), str(row["seeds"])]
        shown.append(f"| {' | '.join([*cells, *(cell(row, *column) for column in COLUMNS.items())])} |")
    return shown


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "results/reference/quick")
    print("\n".join(lines(pd.read_csv(folder / "chosen.csv"))))
