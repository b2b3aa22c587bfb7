"""What all neuron modules share: single-step and multi-step execution, and the state between calls."""

from __future__ import annotations

from typing import Any, Literal, TypeVar, get_args

import torch
from torch import Tensor, nn

from snncc.errors import BadInput
from snncc.nn.values import check_broadcast

StepMode = Literal["s", "m"]
State = tuple[Tensor, ...]
AnyModule = TypeVar("AnyModule", bound=nn.Module)


class Neuron(nn.Module):
    """Base of the neuron modules; a subclass defines `advance`, `initial` and `describe`.

    ``step_mode="s"``: the input is one timestep [B, ...]; the state is made by the first call and kept
    until `reset`. ``step_mode="m"``: the input is [T, B, ...], and every call starts from the initial
    state and leaves the kept one alone. Both compute the same numbers.

    The kept state is a set of buffers that no state_dict holds; copies and pickles of the module hold
    its values, detached from the graph. Between two backward passes in single-step mode, call
    `snncc.nn.reset(model)`, or `detach_` to go on with truncated back-propagation through time.
    """

    def __init__(self, *, states: tuple[str, ...], values: tuple[str, ...], step_mode: StepMode) -> None:
        super().__init__()
        _check_mode(self, step_mode)
        self.step_mode: StepMode = step_mode
        self._states = states
        self._values = values
        for name in states:
            self.register_buffer(name, None, persistent=False)

    def initial(self, x: Tensor) -> State:
        """The state before the first timestep, for inputs like *x* [B, ...]."""
        return tuple(torch.zeros_like(x) for _ in self._states)

    def advance(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One timestep as a pure function: the output and the new state."""
        raise NotImplementedError

    def describe(self) -> dict[str, object]:
        """The parameters in plain Python and float64, named as in the compiler's one neuron.

        theta, rho (under reset "subtract"), max_count and reset are always there, everything else only
        where it is not the default (`snncc.nn.values.DEFAULTS`). Two keys are beyond the one neuron:
        ``input_gain``, a factor on the input, and ``tie`` "even", a staircase that rounds half to even.
        """
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Outputs of the shape of *x*: [B, ...] in step mode "s", [T, B, ...] in "m"."""
        if torch.compiler.is_exporting():
            from snncc.nn.export import as_one_node  # which knows the subclasses

            self._check_input(x)
            return as_one_node(self, x)
        return self.compute(x)

    def compute(self, x: Tensor) -> Tensor:
        """`forward` by the equations, also under `torch.export`."""
        _check_mode(self, self.step_mode)
        self._check_input(x)
        if self.step_mode == "s":
            out, state = self.advance(x, self._kept(x))
            for name, value in zip(self._states, state, strict=True):
                setattr(self, name, value)
            return out
        check_broadcast(self, self._values, x[0])
        if not self._states:
            return self.advance(x, ())[0]
        state, outs = self.initial(x[0]), []
        for x_t in x.unbind(0):
            out, state = self.advance(x_t, state)
            outs.append(out)
        return torch.stack(outs)

    @property
    def has_state(self) -> bool:
        """Whether the output depends on earlier timesteps."""
        return bool(self._states)

    def reset(self) -> None:
        """Forget the kept state."""
        for name in self._states:
            setattr(self, name, None)

    def detach_(self) -> None:
        """Keep the values of the state, and cut it off from the graph that computed them."""
        for name in self._states:
            if (value := getattr(self, name)) is not None:
                setattr(self, name, value.detach())

    def extra_repr(self) -> str:
        values = {name: getattr(self, name) for name in self._values}
        shown = {
            k: f"tensor{tuple(v.shape)}" if isinstance(v, Tensor) else f"{v:g}" for k, v in values.items()
        }
        return ", ".join(
            [*(f"{name}={value}" for name, value in shown.items()), f"step_mode={self.step_mode!r}"]
        )

    def __getstate__(self) -> dict[str, Any]:
        # copy.deepcopy and pickle refuse, or drag along, tensors that belong to a graph
        attributes = self.__dict__.copy()
        attributes["_buffers"] = {
            name: value.detach() if name in self._states and value is not None else value
            for name, value in self._buffers.items()
        }
        return attributes

    def _kept(self, x: Tensor) -> State:
        kept = tuple(getattr(self, name) for name in self._states)
        if not kept or kept[0] is None:
            check_broadcast(self, self._values, x)
            return self.initial(x)
        if kept[0].shape != x.shape:
            raise BadInput(
                f"{type(self).__name__}: the input has shape {tuple(x.shape)}, but the state kept from the "
                f"calls before has shape {tuple(kept[0].shape)}",
                hint="call snncc.nn.reset(model) before a new batch",
            )
        return kept

    def _check_input(self, x: Tensor) -> None:
        name = type(self).__name__
        if not x.is_floating_point():
            raise BadInput(f"{name}: the input must be floating point, not {x.dtype}", hint="x.float()")
        axes = "[T, B, ...]" if self.step_mode == "m" else "[B, ...]"
        # x.shape[0], not len(x), which would make T a constant for torch.export
        if x.ndim < (2 if self.step_mode == "m" else 1) or (self.step_mode == "m" and x.shape[0] == 0):
            raise BadInput(
                f"{name}: step mode {self.step_mode!r} needs an input {axes}, not of shape {tuple(x.shape)}"
            )


def reset(model: nn.Module) -> None:
    """Forget the state of every neuron in *model*."""
    for module in _neurons(model):
        module.reset()


def detach_(model: nn.Module) -> None:
    """Cut the state of every neuron in *model* off from the graph that computed it."""
    for module in _neurons(model):
        module.detach_()


def set_step_mode(model: AnyModule, step_mode: StepMode) -> AnyModule:
    """Set the step mode of every neuron in *model*, forget their states, and return *model*."""
    for module in _neurons(model):
        _check_mode(module, step_mode)
        module.step_mode = step_mode
        module.reset()
    return model


def _neurons(model: nn.Module) -> list[Neuron]:
    return [module for module in model.modules() if isinstance(module, Neuron)]


def _check_mode(module: nn.Module, step_mode: str) -> None:
    known = get_args(StepMode)
    if step_mode not in known:
        raise BadInput(f"{type(module).__name__}: step_mode must be one of {known}, not {step_mode!r}")
