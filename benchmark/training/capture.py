"""Steps recorded once as a CUDA graph and replayed, so that their many small kernels cost one launch."""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils import _pytree as pytree

WARM_UP = 3  # ordinary calls, in which libraries choose kernels and allocate what they keep


class Captured:
    """A function of tensors that works by side effects on tensors it holds, recorded on its fourth call.

    It must neither wait for the device nor decide anything by a tensor's value. Calls before
    the fourth are ordinary ones, so that as many calls take effect as are made.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        self.function = function
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: Any = None

    def __call__(self, *inputs: Any) -> None:
        self.calls += 1
        if self.calls <= WARM_UP:
            self._warm_up(inputs)
            return
        if self.graph is None:
            self.inputs = pytree.tree_map(torch.clone, inputs)
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.function(*self.inputs)
        for held, given in zip(pytree.tree_leaves(self.inputs), pytree.tree_leaves(inputs), strict=True):
            held.copy_(given)
        self.graph.replay()

    def _warm_up(self, inputs: Any) -> None:
        """Call it on a side stream, where allocations do not mix with those of the graph."""
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            self.function(*inputs)
        torch.cuda.current_stream().wait_stream(side)
