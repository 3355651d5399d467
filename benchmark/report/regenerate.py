"""Makes tables and figures again from what is stored."""

from pathlib import Path

import pandas as pd

from benchmark.report.comparisons import write_comparisons
from benchmark.report.leaderboard import write_tables
from benchmark.report.page import write_page
from benchmark.report.plots import draw_all
from benchmark.scoring.agreement import compare_models
from benchmark.storage.store import tables_lock


def regenerate(out: Path, every: bool = False) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, pd.DataFrame]]:
    """Bring everything under the output folder up to date with its runs; returns runs, leaderboard and comparisons.

    `every` draws figures of every score beside those of the first few.
    """
    with tables_lock(out):
        compare_models(out)
        runs, board = write_tables(out)
        tables = write_comparisons(out, runs, board)
        draw_all(out, runs, board, every)
        write_page(out, runs, board, tables)
    return runs, board, tables
