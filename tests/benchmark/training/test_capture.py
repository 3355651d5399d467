"""Steps recorded as a CUDA graph, by a pretended `torch.cuda`: what becomes of them where recording fails."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch

from benchmark.spec import RunSpec
from benchmark.training import capture, harness
from benchmark.training.capture import WARM_UP, Captured


class Cuda:
    """What `capture` uses of `torch.cuda`. Inside a recording functions are noted and not done, by `work`.

    Args:
        fails: "begin" or "within", where a recording raises; then ending it raises too and leaves the stream.
    """

    def __init__(self, fails="", error=None):
        self.fails, self.error = fails, error or RuntimeError("operation not permitted when stream is capturing")
        self.stream_now, self.capturing, self.attempts, self.sides = "main", False, 0, 0

    def current_stream(self):
        return SimpleNamespace(name=self.stream_now, device_index=0, wait_stream=lambda other: None)

    def set_stream(self, stream):
        self.stream_now = stream.name

    def Stream(self):  # noqa: N802 -- torch's name
        self.sides += 1
        return SimpleNamespace(name="side", wait_stream=lambda other: None)

    def stream(self, stream):
        cuda, before = self, self.stream_now

        class On:
            def __enter__(self):
                cuda.stream_now = stream.name

            def __exit__(self, *_):
                cuda.stream_now = before

        return On()

    def CUDAGraph(self):  # noqa: N802
        program = []
        return SimpleNamespace(program=program, replay=lambda: [step() for step in program], pool=lambda: (0, 1))

    def graph(self, graph):
        cuda = self

        class Recording:
            def __enter__(self):
                cuda.attempts += 1
                cuda.stream_now = "capturing"
                if cuda.fails == "begin":
                    raise cuda.error
                cuda.capturing, cuda.program = True, graph.program

            def __exit__(self, kind, error, trace):
                cuda.capturing = False
                if kind:  # as torch 2.13, which ends the recording first, and stays where it is if that raises
                    raise RuntimeError("the recording was invalidated by an earlier error")
                cuda.stream_now = "main"

        return Recording()

    def work(self, function):
        """The function as a device does it: at once, or only when what is recorded is replayed."""

        def worked(*inputs):
            if self.capturing and self.fails == "within":
                raise self.error
            if self.capturing:
                self.program.append(lambda: function(*inputs))
            else:
                function(*inputs)

        return worked


@pytest.fixture(autouse=True)
def anew(monkeypatch):
    monkeypatch.setattr(capture, "_failed", [])


def _pretend(monkeypatch, cuda):
    monkeypatch.setattr(capture.torch, "cuda", cuda)
    return cuda


def _added(cuda, calls):
    total = torch.zeros(())
    captured = Captured(cuda.work(lambda number: total.add_(number)))
    for call in range(calls):
        captured(torch.tensor(float(call)))
    return total.item(), captured


def test_as_many_calls_take_effect_as_are_made(monkeypatch):
    cuda = _pretend(monkeypatch, Cuda())
    total, captured = _added(cuda, 10)
    assert total == sum(range(10))
    assert (cuda.attempts, cuda.sides, cuda.stream_now, captured.note) == (1, 1, "main", "")


@pytest.mark.parametrize("where", ["begin", "within"])
def test_a_recording_that_fails_leaves_the_process_working(monkeypatch, where):
    cuda = _pretend(monkeypatch, Cuda(where))
    total, captured = _added(cuda, 10)
    assert total == sum(range(10))
    assert cuda.stream_now == "main"
    assert captured.note == (
        "its steps were not recorded as a CUDA graph: RuntimeError: operation not permitted when stream is capturing"
    )
    later, other = _added(cuda, 10)
    assert later == sum(range(10))
    assert cuda.attempts == 1  # no later one is tried
    assert other.note == captured.note


def test_want_of_memory_is_told_as_such(monkeypatch):
    cuda = _pretend(monkeypatch, Cuda("within", torch.OutOfMemoryError("no memory left")))
    with pytest.raises(torch.OutOfMemoryError, match="no memory left"):
        _added(cuda, WARM_UP + 1)
    assert cuda.stream_now == "main"


@pytest.fixture(scope="module")
def plain(mini):
    """Two runs, each with its training without recordings."""
    specs = [RunSpec(method, {}, "dsprites_mini", "small", steps=WARM_UP + 3) for method in ("vae", "factorvae")]
    return [(spec, harness.train(spec, mini, "fp64")) for spec in specs]


@pytest.mark.parametrize("where", ["begin", "within"])
def test_a_training_whose_recording_fails_is_one_without(monkeypatch, mini, plain, where):
    """At the first method and at a later one, of one process."""
    cuda = _pretend(monkeypatch, Cuda(where))
    monkeypatch.setattr(harness, "RECORDED", {"cpu"})
    advance = harness._Loop.advance
    monkeypatch.setattr(harness._Loop, "advance", lambda loop, *drawn: cuda.work(partial(advance, loop))(*drawn))
    for spec, expected in plain:
        trained = harness.train(spec, mini, "fp64")
        assert trained.history == expected.history
        for name, value in trained.networks.state_dict().items():
            assert torch.equal(value, expected.networks.state_dict()[name])
        assert "not recorded" in trained.note
        assert expected.note == ""
    assert cuda.attempts == 1
