"""Optimisers of `torch.optim`: found by name, stepped for one run or a stack of runs, kept in checkpoints."""

import inspect
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from benchmark.errors import UsageError, unknown
from methods.base import Optimiser

REFUSED = {
    "LBFGS": "it computes the loss several times a step",
    "SparseAdam": "it takes sparse gradients, and a network's are dense",
}
# Those that move each element by its own gradients alone: to them a stack of runs is one parameter.
ELEMENTWISE = frozenset(
    ("ASGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD")
)
FUSED = {"Adagrad", "Adam", "AdamW"}  # of the same results, in one kernel, where the device has it
STEADY = {"Adagrad", "Muon", "SGD"}  # without a counter that decides a step, but for Adagrad's decay of the rate
HARNESS_OWN = {"params", "lr", "capturable", "differentiable", "foreach", "fused"}  # arguments that are no options


def find_optimiser(chosen: Optimiser) -> type[torch.optim.Optimizer]:
    """torch's class of that name, which takes those options; UsageError where there is none or it cannot be used."""
    kinds = {
        name: kind
        for name, kind in vars(torch.optim).items()
        if inspect.isclass(kind) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer
    }
    if chosen.name in REFUSED:
        raise UsageError(f"the optimiser {chosen.name} cannot be used: {REFUSED[chosen.name]}.")
    if chosen.name not in kinds:
        raise unknown("optimiser", chosen.name, kinds.keys() - REFUSED)
    options = inspect.signature(kinds[chosen.name]).parameters.keys() - HARNESS_OWN
    for name in chosen.options:
        if name not in options:
            raise unknown(f"option of {chosen.name}", name, options)
    return kinds[chosen.name]


def make_optimiser(chosen: Optimiser, parameters: Sequence[Tensor]) -> torch.optim.Optimizer:
    """torch's optimiser over the parameters; UsageError where it does not take them or its options."""
    kind = find_optimiser(chosen)
    fused = {"fused": True} if _has_fused(chosen.name, parameters[0].device) else {}
    given = dict(chosen.options) | {"lr": chosen.lr} | fused
    if parameters[0].is_cuda and "capturable" in inspect.signature(kind).parameters:
        given["capturable"] = True
    try:
        return kind(parameters, **given)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the optimiser {chosen.name} cannot be used: {error}.") from error


def _has_fused(name: str, device: torch.device) -> bool:
    keys = ("CompositeExplicitAutograd", torch._C._dispatch_key_for_device(device.type))
    operation = f"aten::_fused_{name.lower()}_"
    return name in FUSED and any(torch._C._dispatch_has_kernel_for_dispatch_key(operation, key) for key in keys)


class Descent:
    """One player's descent over its parameters, which in a stack have a leading axis of runs.

    One optimiser moves a whole stack where each element goes its own way; else, as where the rows and
    columns of a matrix share a state, each run has its own, over its slices of the stack.

    Raises:
        UsageError: there is no such optimiser, or it does not take its options or the parameters.
    """

    def __init__(self, chosen: Optimiser, parameters: Sequence[Tensor], stacked: bool) -> None:
        self.chosen, self.parameters = chosen, parameters
        self.apart = stacked and chosen.name not in ELEMENTWISE
        self.shared = stacked and not self.apart
        runs = range(len(parameters[0]) if self.apart else 0)
        # A slice's memory is the stack's, so that what moves the one moves the other.
        self.parts = [[value.detach()[run] for value in parameters] for run in runs] or [list(parameters)]
        self.optimisers = [make_optimiser(chosen, part) for part in self.parts]

    @property
    def replayable(self) -> bool:
        """Whether a step that is recorded on a GPU is every step: not where a counter that is on the CPU decides."""
        options = self.optimisers[0].param_groups[0]
        one_kernel = "capturable" in options or bool(options.get("fused"))
        return one_kernel or (self.chosen.name in STEADY and not options.get("lr_decay"))

    def step(self, gradients: Sequence[Tensor]) -> None:
        """One step along these gradients of the parameters."""
        for run, (part, optimiser) in enumerate(zip(self.parts, self.optimisers, strict=True)):
            for parameter, whole in zip(part, gradients, strict=True):
                gradient = whole[run] if self.apart else whole
                # A fused optimiser walks through both memories side by side, whatever their strides.
                alike = gradient.stride() == parameter.stride() and gradient.dtype == parameter.dtype
                parameter.grad = gradient if alike else torch.empty_like(parameter).copy_(gradient)
            optimiser.step()

    def tensors(self, run: int) -> dict[str, Tensor]:
        """One run's state as `<parameter>.<name>`; what has no axes in a stack, such as a counter, is every run's."""
        states = self._states(run if self.apart else 0)
        return {name: value[run] if self.shared and value.ndim else value for name, value in states.items()}

    def restore(self, runs: Sequence[Mapping[str, Tensor]]) -> None:
        """Put what `tensors` gave of each run in place; parameters are moved, and are to be restored after it.

        A step along gradients of 0 first lays the states out as the optimiser itself does: their
        shapes, types, devices and strides.
        """
        self.step([torch.zeros_like(value) for value in self.parameters])
        for part in range(len(self.parts)):
            given = runs[part : part + 1] if self.apart else runs
            for name, value in self._states(part).items():
                own = [run[name] for run in given]
                value.copy_(torch.stack(own) if self.shared and value.ndim else own[0])

    def _states(self, part: int) -> dict[str, Tensor]:
        state = self.optimisers[part].state
        return {
            f"{number}.{name}": value
            for number, parameter in enumerate(self.parts[part])
            for name, value in state[parameter].items()
            if isinstance(value, Tensor)
        }
