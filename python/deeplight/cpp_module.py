"""Native modules as `torch.nn.Module`s.

A `CppModule` adopts a module written in C++: it registers the very same parameter and buffer
tensors, under the same names, in a tree of real `torch.nn.Module`s. Optimisers, state dicts, DDP,
`.to()`, deepcopy and pickle therefore work as for any other module; `forward` runs native code.

What cannot work raises instead of computing something else: hooks on submodules, replacing a
submodule or parameter, `torch.func.functional_call` and `torch.nn.DataParallel`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, cast

import torch

_HOOKS = (
    "register_forward_hook",
    "register_forward_pre_hook",
    "register_full_backward_hook",
    "register_full_backward_pre_hook",
    "register_backward_hook",
)


class AdoptedModule(torch.nn.Module):
    """One node of a native module tree: names, tensors and flags, but no Python `forward`."""

    _native_node: Any
    _adopted_tensors: dict[str, torch.Tensor]
    _adopted_children: dict[str, AdoptedModule]

    def __init__(self, native: Any):
        super().__init__()
        adopted: dict[str, torch.Tensor] = {}
        for name, parameter in native.parameters():
            # torch takes any tensor with this mark for a Parameter; a torch.nn.Parameter would be a
            # second tensor object, whose gradient the native code never sees.
            parameter._is_param = True
            self.register_parameter(name, parameter)
            adopted[name] = parameter
        for name, buffer in native.buffers():
            self.register_buffer(name, buffer)
            adopted[name] = buffer
        children = {name: AdoptedModule(child) for name, child in native.children()}
        for name, child in children.items():
            self.add_module(name, child)
        object.__setattr__(self, "_native_node", native)
        object.__setattr__(self, "_adopted_tensors", adopted)
        object.__setattr__(self, "_adopted_children", children)

    def _get_name(self) -> str:
        return self._native_node.type_name()

    def extra_repr(self) -> str:
        """Own tensors and their shapes."""
        return ", ".join(f"{name}={list(t.shape)}" for name, t in self._adopted_tensors.items())

    def __setattr__(self, name: str, value: Any) -> None:
        adopted = (
            self.__dict__.get("_adopted_tensors", {}),
            self.__dict__.get("_adopted_children", {}),
        )
        if any(name in known for known in adopted):
            raise RuntimeError(
                f"'{name}' belongs to native code and cannot be replaced; copy values into it "
                "instead (tensor.copy_, load_state_dict), or compose another network"
            )
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        if name in self._adopted_tensors or name in self._adopted_children:
            raise RuntimeError(f"'{name}' belongs to native code and cannot be removed")
        super().__delattr__(name)

    def forward(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises: a part of a network runs inside the native network only."""
        raise RuntimeError(
            f"{self._get_name()} runs inside its native network; call the network, or build the "
            "part alone from deeplight.nn"
        )

    def train(self, mode: bool = True) -> AdoptedModule:
        """Sets training or evaluation mode, here and in the native module."""
        super().train(mode)
        self._native_node.train(mode)
        return self

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *rest) -> None:
        if local_metadata.get("assign_to_params_buffers", False):
            raise RuntimeError("load_state_dict(assign=True) would part Python from native tensors")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True):
        if recurse:
            for child in self.children():
                child._apply(fn)
        with torch.no_grad():
            for name, tensor in self._adopted_tensors.items():
                _set_data(tensor, fn(tensor.data), name)
                if tensor.grad is not None:
                    _set_data(tensor.grad, fn(tensor.grad.data), f"{name}.grad")
        return self

    def _adopted_state(self) -> Iterator[tuple[AdoptedModule, str, torch.Tensor]]:
        for name, tensor in self._adopted_tensors.items():
            yield self, name, tensor
        for child in self._adopted_children.values():
            yield from child._adopted_state()

    def _check_untouched(self) -> None:
        for name, tensor in self._adopted_tensors.items():
            if self._parameters.get(name, self._buffers.get(name)) is not tensor:
                raise RuntimeError(
                    f"'{name}' is no longer the native tensor (functional_call, parametrization or "
                    "pruning?); the native forward would silently ignore the replacement"
                )
        for name, child in self._adopted_children.items():
            if self._modules.get(name) is not child:
                raise RuntimeError(f"submodule '{name}' was replaced; native code cannot follow")
            child._check_untouched()


def _set_data(tensor: torch.Tensor, data: torch.Tensor, name: str) -> None:
    if data.is_meta != tensor.is_meta or data.layout != tensor.layout:
        raise RuntimeError(
            f"native tensor '{name}' cannot become a {data.device} {data.layout} one"
        )
    tensor.data = data


def _forbid_hooks(name: str) -> Callable[..., NoReturn]:
    def register(self: AdoptedModule, *args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(
            f"{name} on {self._get_name()} would never be called: native code runs the parts of a "
            "network without Python; hooks on the network itself work"
        )

    register.__name__ = name
    register.__doc__ = "Raises: the hook would never be called."
    return register


for _name in _HOOKS:
    setattr(AdoptedModule, _name, _forbid_hooks(_name))


class CppModule(AdoptedModule):
    """The root of an adopted tree: the module that users hold.

    Args:
        native: an object of `deeplight._native` with `forward`.
        rebuild: `(function, arguments)` that creates an equal module; used by deepcopy and pickle.
    """

    _rebuild: tuple[Callable[..., CppModule], tuple]
    #: Properties that say how the module runs, not what it is: deepcopy and pickle keep them.
    _flags: tuple[str, ...] = ()

    def __init__(self, native: Any, rebuild: tuple[Callable[..., CppModule], tuple]):
        super().__init__(native)
        object.__setattr__(self, "_rebuild", rebuild)

    @property
    def native(self) -> Any:
        """The native object itself."""
        return self._native_node

    def _run(self, *arguments: Any) -> Any:
        self._check_untouched()
        return self._native_node.forward(*arguments)

    def _replicate_for_data_parallel(self) -> NoReturn:
        raise RuntimeError(
            "torch.nn.DataParallel replicates Python attributes, which native code cannot follow; "
            "use torch.nn.parallel.DistributedDataParallel"
        )

    def __deepcopy__(self, memo: dict) -> CppModule:
        function, arguments = self._rebuild
        other = function(*copy.deepcopy(arguments, memo))
        memo[id(self)] = other
        other._restore(_snapshot(self))
        return other

    def __reduce__(self) -> tuple:
        function, arguments = self._rebuild
        return _unpickle, (function, arguments, _snapshot(self))

    def _restore(self, snapshot: dict[str, Any]) -> None:
        with torch.no_grad():
            for (_, name, tensor), (data, requires_grad) in zip(
                self._adopted_state(), snapshot["tensors"], strict=True
            ):
                _set_data(tensor, data, name)
                if tensor.requires_grad != requires_grad:
                    tensor.requires_grad_(requires_grad)
        # Native train() recurses; modules() visits parents first, so children have the last word.
        for module, mode in zip(self.modules(), snapshot["training"], strict=True):
            module.training = mode
            cast(AdoptedModule, module)._native_node.train(mode)
        for name, value in snapshot["flags"].items():
            setattr(self, name, value)


for _name in _HOOKS:
    setattr(CppModule, _name, getattr(torch.nn.Module, _name))


def _snapshot(module: CppModule) -> dict[str, Any]:
    return {
        "tensors": [(t.detach().clone(), t.requires_grad) for _, _, t in module._adopted_state()],
        "training": [each.training for each in module.modules()],
        "flags": {name: getattr(module, name) for name in module._flags},
    }


def _unpickle(function: Callable[..., CppModule], arguments: tuple, snapshot: dict) -> CppModule:
    module = function(*arguments)
    module._restore(snapshot)
    return module
