"""How many packs are at work at once; their work is a wait for one another here."""

import threading

import pytest

from benchmark.running import scheduler
from benchmark.running.execution import Outcome, Workplace

MEETING = 30.0  # seconds after which those who wait for others give up


def _run(packs, workplace, work, monkeypatch):
    monkeypatch.setattr(scheduler, "carry_out", lambda pack, workplace: work(pack) or [Outcome(str(pack), True)])
    return sorted(int(outcome.run_id) for outcome in scheduler.run_side_by_side(packs, workplace))


@pytest.mark.parametrize(
    ("jobs", "rounds"),
    [(2, [[0, 1, 2]]), (2, [[0, 1], [2, 3, 4]]), (2, [[0, 1], [2, 3]]), (3, [[0, 1, 2, 3, 4]]), (1, [[0], [1]])],
)
def test_the_last_ones_share_the_cores(jobs, rounds, tmp_path, monkeypatch):
    """Each waits until all of its round are at work, which nobody survives who is started late."""
    meetings = [(together, threading.Barrier(len(together), timeout=MEETING)) for together in rounds]
    met = {pack: meeting for together, meeting in meetings for pack in together}
    shares = Workplace(tmp_path, jobs=jobs, shared=True)
    assert _run(sorted(met), shares, lambda pack: met[pack].wait() and None, monkeypatch) == sorted(met)


@pytest.mark.parametrize("shared", [False, True])
def test_never_more_than_asked_for(shared, tmp_path, monkeypatch):
    lock, counts, running = threading.Lock(), [], 0

    def work(pack):
        nonlocal running
        with lock:
            running += 1
            counts.append(running)
        threading.Event().wait(0.01)
        with lock:
            running -= 1

    assert _run(range(12), Workplace(tmp_path, jobs=3, shared=shared), work, monkeypatch) == list(range(12))
    assert max(counts) <= (5 if shared else 3)
    assert max(counts[:9]) <= 3


def test_what_fails_in_one_thread_stops_the_others(tmp_path, monkeypatch):
    stopped = []
    monkeypatch.setattr(scheduler.isolation, "stop_all", lambda: stopped.append(True))

    def work(pack):
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        _run([0], Workplace(tmp_path), work, monkeypatch)
    assert stopped
