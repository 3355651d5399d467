"""Makes tables and figures again from what is stored."""

from pathlib import Path

import pandas as pd

from benchmark.report.leaderboard import write_table, write_tables
from benchmark.report.plots import draw_all
from benchmark.report.summary import choose_configurations, share_variance
from benchmark.scoring.agreement import compare_models
from benchmark.storage.store import tables_lock


def regenerate(out: Path) -> pd.DataFrame:
    """Bring everything under the output folder up to date with its runs; returns the leaderboard."""
    with tables_lock(out):
        compare_models(out)
        runs, board = write_tables(out)
        write_table(choose_configurations(runs), out / "chosen.csv", rounded=True)
        write_table(share_variance(runs), out / "variance.csv", rounded=True)
        draw_all(out, runs, board)
    return board
