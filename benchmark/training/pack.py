"""Runs computed together: their losses as one program.

A method's loss is written for one model. `Alone` calls it on one; `Stacked` maps it over models of
one shape whose parameters, hyperparameters, batches and noise are stacked along a leading axis,
with one kernel launch for all. Every other result here has that axis too: (runs, ...).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from benchmark.training.layers import Products, multiplied, use_products
from methods.base import Networks, Player, Terms, structure_of


def callable_networks(networks: nn.ModuleDict, precision: str) -> dict[str, Callable[[Tensor], Tensor]]:
    """The networks as methods see them: products in `precision`, results in float32 (float64 in fp64)."""
    return {name: _in_precision(module, _precision_of(module, precision)) for name, module in networks.items()}


def _precision_of(network: nn.Module, precision: str) -> str:
    """That in which the network's products are: not half where it says that it wants `full_precision`."""
    return "fp32" if precision == "bf16" and getattr(network, "full_precision", False) else precision


def _in_precision(call: Callable[[Tensor], Tensor], precision: str) -> Callable[[Tensor], Tensor]:
    result = state_dtype(precision)

    def called(inputs: Tensor) -> Tensor:
        kind = inputs.device.type
        cast = precision == "bf16" and torch.amp.is_autocast_available(kind)
        with torch.autocast(kind, torch.bfloat16) if cast else nullcontext():
            return call(inputs).to(result)

    return called


def _product_dtype(precision: str) -> torch.dtype:
    """What layers multiply in."""
    return torch.bfloat16 if precision == "bf16" else state_dtype(precision)


def state_dtype(precision: str) -> torch.dtype:
    """What parameters, optimiser states and losses are kept in."""
    return torch.float64 if precision == "fp64" else torch.float32


class Alone:
    """One model, its networks called as they are."""

    def __init__(self, networks: nn.ModuleDict, hyperparameters: Any, precision: str) -> None:
        self.networks, self.hyperparameters = networks, hyperparameters
        self.called = callable_networks(networks, precision)
        if next(networks.parameters()).device.type == "cpu":
            for network in networks.values():
                use_products(network, "alone")

    def parameters(self, names: Iterable[str]) -> list[Tensor]:
        return [parameter for name in names for parameter in self.networks[name].parameters()]

    def losses(self, player: Player, images: Tensor, noise: Mapping[str, Tensor], step: Tensor) -> Terms:
        own = {name: drawn[0] for name, drawn in noise.items()}
        terms = player.loss(self.called, images[0], own, self.hyperparameters, step)
        return {name: term[None] for name, term in terms.items()}

    def gradients(self, loss: Tensor, names: Sequence[str]) -> Sequence[Tensor]:
        return torch.autograd.grad(loss, self.parameters(names))

    def end_step(self) -> None:
        """Nothing outlives a step."""

    def models(self) -> list[nn.ModuleDict]:
        for network in self.networks.values():
            use_products(network, None)
        return [self.networks]

    def tensors(self, run: int) -> dict[str, Tensor]:
        return self.networks.state_dict()

    def restore(self, runs: Sequence[Mapping[str, Tensor]]) -> None:
        self.networks.load_state_dict(dict(runs[0]))


class Stacked:
    """Models of one shape, their parameters and numeric hyperparameters stacked: (runs, ...)."""

    def __init__(
        self,
        networks: Sequence[nn.ModuleDict],
        hyperparameters: Sequence[Any],
        precision: str,
        products: Products = "grouped",
    ) -> None:
        self.networks, self.precision = networks, precision
        self.state = {name: _stack([own[name] for own in networks]) for name in networks[0]}
        device = next(networks[0].parameters()).device
        each = [asdict(own) for own in hyperparameters]
        self.kind, self.structure = type(hyperparameters[0]), structure_of(hyperparameters[0])
        self.hyperparameters = {
            name: torch.tensor([own[name] for own in each], dtype=state_dtype(precision), device=device)
            for name in each[0].keys() - self.structure.keys()
        }
        for network in networks[0].values():
            use_products(network, products)
        self.product_types = {
            name: dict.fromkeys(multiplied(own), _product_dtype(_precision_of(own, precision)))
            for name, own in networks[0].items()
        }
        self.leaves: dict[str, dict[str, Tensor]] = {}  # weights in the type that they are multiplied in, by network

    def parameters(self, names: Iterable[str]) -> list[Tensor]:
        return [value for name in names for value in self.state[name].values() if value.requires_grad]

    def losses(self, player: Player, images: Tensor, noise: Mapping[str, Tensor], step: Tensor) -> Terms:
        def of_one(
            state: dict[str, dict[str, Tensor]], images: Tensor, noise: dict[str, Tensor], values: dict[str, Tensor]
        ) -> Terms:
            return player.loss(self._call_with(state), images, noise, self.kind(**values, **self.structure), step)

        # Gradients of others' networks, through which the loss may pass, are nobody's.
        state = {
            name: own if name in player.networks else {key: value.detach() for key, value in own.items()}
            for name, own in ((name, self._leaves_of(name)) for name in self.state)
        }
        return vmap(of_one)(state, images, dict(noise), self.hyperparameters)

    def gradients(self, loss: Tensor, names: Sequence[str]) -> Sequence[Tensor]:
        """Of the loss by these networks' parameters, which are about to move."""
        leaves = [value for name in names for value in self._leaves_of(name).values() if value.requires_grad]
        for name in names:
            del self.leaves[name]
        return torch.autograd.grad(loss, leaves)

    def end_step(self) -> None:
        """Cast anew in the next step: what a recorded one reads must be made in it, or be a parameter itself."""
        self.leaves.clear()

    def _leaves_of(self, name: str) -> dict[str, Tensor]:
        """A network's weights as its layers multiply them, cast once until they move."""
        if name not in self.leaves:
            types = self.product_types[name]
            self.leaves[name] = {
                key: value.detach().to(types.get(key, value.dtype)).requires_grad_(value.requires_grad)
                for key, value in self.state[name].items()
            }
        return self.leaves[name]

    def _call_with(self, state: dict[str, dict[str, Tensor]]) -> Networks:
        def bind(name: str) -> Callable[[Tensor], Tensor]:
            module = self.networks[0][name]
            precision = _precision_of(module, self.precision)
            return _in_precision(lambda inputs: functional_call(module, state[name], (inputs,)), precision)

        return {name: bind(name) for name in state}

    def models(self) -> list[nn.ModuleDict]:
        """The models one by one, with what the stack has learned."""
        for network in self.networks[0].values():
            use_products(network, None)
        with torch.no_grad():
            for run, own in enumerate(self.networks):
                for name, network in own.items():
                    network.load_state_dict({key: value[run] for key, value in self.state[name].items()})
        return list(self.networks)

    def tensors(self, run: int) -> dict[str, Tensor]:
        """One run's weights, as its networks' own names have them."""
        return {f"{name}.{key}": value[run] for name, own in self.state.items() for key, value in own.items()}

    @torch.no_grad()
    def restore(self, runs: Sequence[Mapping[str, Tensor]]) -> None:
        """Put the weights that `tensors` gave of each run in place."""
        for name, own in self.state.items():
            for key, value in own.items():
                value.copy_(torch.stack([run[f"{name}.{key}"] for run in runs]))


def _stack(modules: Sequence[nn.Module]) -> dict[str, Tensor]:
    """Parameters and buffers of modules of one shape by name, each (modules, ...)."""
    learned = {name for name, _ in modules[0].named_parameters()}
    states = [module.state_dict() for module in modules]
    return {
        name: torch.stack([state[name] for state in states]).contiguous().requires_grad_(name in learned)
        for name in states[0]
    }
