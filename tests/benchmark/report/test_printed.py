"""What a terminal shows of a leaderboard."""

import pandas as pd
import pytest
from rich.console import Console

from benchmark.report.comparisons import tell_reliability
from benchmark.report.leaderboard import BLOCK, build_leaderboard
from benchmark.report.printed import print_board
from benchmark.spec import AS_LABELS
from tests.benchmark.report.test_comparisons import _scores
from tests.benchmark.report.test_summary import _runs

MEANS = {
    ("ground_truth", ""): 1.0,
    ("betavae", "beta=16 latents=10"): 0.6,
    ("betavae", "beta=4 latents=10"): 0.599,
    ("a_method_of_a_long_name", "first=1 second=2.5"): 0.2,
}
METRICS = ("mig", "beta_vae_score", "dci_fast", "factor_vae_score", "modularity", "explicitness", "udr", "irs")


def _printed(width, seeds=4, means=MEANS, price=True, capsys=None):
    tables = [_runs(_scores(means, seed=each, seeds=seeds), metric) for each, metric in enumerate(METRICS)]
    costs = {own: 90.0 + place for place, own in enumerate(means) if own[0] != "ground_truth"}
    if price:
        tables.append(_runs(_scores(costs, 0.1, seeds=seeds), "reconstruction").assign(direction=0))
    return _print(width, pd.concat(tables, ignore_index=True))


def _print(width, runs):
    board = build_leaderboard(runs)
    console = Console(width=width, record=True, markup=False, emoji=False)
    with console.capture() as captured:
        print_board(
            console, next(iter(board[BLOCK].itertuples(index=False, name=None))), board, tell_reliability(runs, board)
        )
    return captured.get()


@pytest.mark.parametrize("width", [80, 100, 120, 240])
def test_a_table_fits_and_no_word_is_cut(width):
    lines = _printed(width).splitlines()
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    for word in ("a_method_of_a_long_name", "beta=16", "beta=4", "recon", "bVAE", "MIG", "ground_truth", "reliability"):
        assert word in words, word
    assert not any("\N{HORIZONTAL ELLIPSIS}" in word for word in words)
    assert "latents=10" not in words  # in which no two rows of the method differ


def test_more_room_shows_more():
    assert "columns more" in _printed(60)
    assert "irs" in _printed(140)
    assert "[95% intervals]" in _printed(300)
    assert "[95% intervals]" not in _printed(100)


def test_a_rank_has_its_interval_and_a_mark_where_it_is_tied():
    lines = [line for line in _printed(100).splitlines() if "betavae beta" in line and "Leads" not in line]
    assert all("[2-3] *" in line for line in lines[:2])
    assert "[4-4] " in next(line for line in _printed(100).splitlines() if "a_method" in line)


def test_three_lines_say_who_leads_at_what_price_and_how_sure_that_is():
    told = " ".join(_printed(240).split("\n"))
    first, second = (("16", "4"), ("4", "16"))[("Leads: betavae beta=4" in told)]
    assert f"Leads: betavae beta={first}, not told from betavae beta={second}." in told
    assert "Its price: " in told
    assert "ranks of reliability 0.9 take 1 seeds by bVAE, 1 seeds by MIG, 1 seeds by DCIfast; here 4" in told
    assert "; of 3 neighbours in rank 2 are told apart." in told


def test_why_none_leads():
    """Of no run that finished, no rank, or none that contends, in place of a leader's price and certainty."""
    runs = _runs(_scores({("a", ""): 0.9, ("b", ""): 0.1}), "mig")
    doubted = runs.assign(remarks=f"x {AS_LABELS} y")
    unranked = runs.assign(direction=0)
    failed = runs.assign(state="failed", metric="", value=None)
    told = {"is doubted (see remarks)": doubted, "no row has a rank": unranked, "no run finished": failed}
    for why, table in told.items():
        printed = _print(100, table)
        assert why in printed
        assert "Its price" not in printed
        assert "To know" not in printed


def test_what_is_not_known_is_not_said():
    alone = _printed(100, seeds=1)
    assert "so few seeds tell nothing apart" in alone
    assert "To know: 1 seeds of so few rows do not say" in alone
    assert "[" not in alone.split("n: seeds")[0]
    one = {("betavae", "beta=1"): 0.5}
    assert "Leads: betavae, alone." in _printed(100, means=one)
    assert "nothing here reconstructs" in _printed(100, price=False)
    apart = {("a", ""): 0.9, ("b", ""): 0.1}
    assert "Leads: a, told apart from all others." in _printed(100, means=apart)
    assert "Its price: none, at 90." in _printed(100, means=apart)


def test_odd_rows_are_marked_and_labels_lead_nothing(monkeypatch):
    plain = build_leaderboard

    def with_remarks(runs):
        return plain(runs.assign(remarks=runs["method"].map({"betavae": AS_LABELS}).fillna("").astype(str)))

    monkeypatch.setattr("tests.benchmark.report.test_printed.build_leaderboard", with_remarks)
    told = _printed(240)
    assert "Leads: a_method_of_a_long_name, alone." in told
    assert "betavae beta=16 (!)" in told
    assert "(!): see remarks" in told
