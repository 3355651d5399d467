"""Steps recorded once as a CUDA graph and replayed, so that their many small kernels cost one launch."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch.utils import _pytree as pytree

from benchmark.errors import one_line

WARM_UP = 3  # ordinary calls, in which libraries choose kernels and allocate what they keep

_failed: list[str] = []  # why a recording of this process failed; after one, no other is tried


def has_failed() -> bool:
    """Whether a recording of this process has failed, so that it tries no other."""
    return bool(_failed)


class Captured:
    """A function of tensors that works by side effects on tensors it holds, recorded on its fourth call.

    It must neither wait for the device nor decide anything by a tensor's value. Calls before the fourth are ordinary
    ones, so that as many calls take effect as are made. A recording that fails executes nothing: that call and all
    later ones are ordinary ones, as are all calls of later functions in this process, whose allocator such a failure
    may leave in an odd state.

    Raises:
        torch.OutOfMemoryError: the device's memory does not hold what the function needs.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        self.function = function
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: Any = None
        self.side: torch.cuda.Stream | None = None

    @property
    def note(self) -> str:
        """Why calls are not replayed, in one line; empty where they are."""
        return f"its steps were not recorded as a CUDA graph: {_failed[0]}" if has_failed() else ""

    def __call__(self, *inputs: Any) -> None:
        self.calls += 1
        if not _failed and self.calls > WARM_UP and self.graph is None:
            self._record(inputs)
        if self.graph is not None:
            for held, given in zip(pytree.tree_leaves(self.inputs), pytree.tree_leaves(inputs), strict=True):
                held.copy_(given)
            self.graph.replay()
        elif _failed:
            self.function(*inputs)
        else:
            self._warm_up(inputs)

    def _warm_up(self, inputs: Any) -> None:
        """Call it on a side stream, where allocations do not mix with those of the graph."""
        self.side = self.side or torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self.side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.side):
            self.function(*inputs)
        torch.cuda.current_stream().wait_stream(self.side)

    def _record(self, inputs: Any) -> None:
        stream, graph = torch.cuda.current_stream(), torch.cuda.CUDAGraph()
        self.inputs = pytree.tree_map(torch.clone, inputs)
        try:
            with torch.cuda.graph(graph):
                self.function(*self.inputs)
        except Exception as error:
            _leave(graph, stream)
            first = _first_of(error)
            if isinstance(first, torch.OutOfMemoryError):
                raise first from None
            _failed.append(one_line(f"{type(first).__name__}: {first}"))
            self.inputs = None
        else:
            self.graph = graph


def _leave(graph: torch.cuda.CUDAGraph, stream: torch.cuda.Stream) -> None:
    """Put back what a recording that failed has changed, where `torch.cuda.graph` has not come to it."""
    torch.cuda.set_stream(stream)
    with suppress(Exception):  # the allocator's: in vain where the recording has been ended
        torch._C._cuda_endAllocateToPool(stream.device_index, graph.pool())


def _first_of(error: BaseException) -> BaseException:
    """What was raised first, where ending the recording raised again."""
    while error.__context__ is not None:
        error = error.__context__
    return error
