"""Everything a training needs to go on exactly where it was, in one safetensors file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from lefs.records import ArtifactError, load_tensors, save_tensors

Tensors = Mapping[str, Tensor]


def save_checkpoint(
    path: Path,
    *,
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
    values: Tensors,
) -> None:
    """
    Write modules, optimisers and further tensors, atomically.

    Parameters
    ----------
    path : Path
        Replaced once the new file is whole: a kill at any moment leaves one that can be read.
    modules : mapping of str to Module
        Parameters and buffers are kept.
    optimizers : mapping of str to Optimizer
        Moments and step counts are kept, by the position of their parameter; rates are not.
    values : mapping of str to Tensor
        Counters and states of random streams.
    """
    tensors = {f"value/{name}": value for name, value in values.items()}
    for name, module in modules.items():
        tensors |= {f"module/{name}/{key}": tensor for key, tensor in module.state_dict().items()}
    for name, optimizer in optimizers.items():
        tensors |= {f"optimizer/{name}/{key}": tensor for key, tensor in _moments(optimizer).items()}
    save_tensors(path, tensors)


def load_checkpoint(
    path: Path,
    *,
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
) -> dict[str, Tensor]:
    """
    Fill modules and optimisers from a file of `save_checkpoint`.

    Returns
    -------
    dict of str to Tensor
        The further values.

    Raises
    ------
    ArtifactError
        If the file is missing, damaged, or belongs to networks of other sizes.
    """
    tensors = load_tensors(path)
    try:
        for name, module in modules.items():
            module.load_state_dict(_below(f"module/{name}/", tensors))
        for name, optimizer in optimizers.items():
            _restore_moments(optimizer, _below(f"optimizer/{name}/", tensors))
    except (RuntimeError, IndexError) as error:
        raise ArtifactError(
            f"{path} does not fit these networks: {error}; train with the options it was made with, "
            "or into another folder"
        ) from error
    return _below("value/", tensors)


def load_widened(path: Path, modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """
    Fill modules from the same ones of fewer channels, or of fewer layers, in a file of `save_checkpoint`.

    Parameters
    ----------
    path : Path
    modules : mapping of str to Module
        Freshly made: what the file lacks stays as it is. Layers at equalised learning rate compute what they
        did before, with further channels beside.

    Returns
    -------
    dict of str to Tensor
        The further values.

    Raises
    ------
    ArtifactError
        If the file is missing or damaged, or a layer in it is larger than the module's.
    """
    tensors = load_tensors(path)
    for name, module in modules.items():
        known = _below(f"module/{name}/", tensors)
        for key, own in module.state_dict().items():
            if key in known:
                widen(own, known[key], of=f"{path}: {name}.{key}")
    return _below("value/", tensors)


@torch.no_grad()
def widen(own: Tensor, known: Tensor, *, of: str) -> None:
    """
    Put a smaller weight, or an equal one, into the first channels of `own`, in place.

    Parameters
    ----------
    own : Tensor of shape (outputs, ...) or (outputs, inputs, ...)
        New outputs keep their random weights. Old outputs get nothing from new inputs.
    known : Tensor
        No side longer than that of `own`.
    of : str
        What it is, for the message.

    Raises
    ------
    ArtifactError
        If `known` is larger.
    """
    if own.ndim != known.ndim or any(a < b for a, b in zip(own.shape, known.shape, strict=True)):
        raise ArtifactError(
            f"{of} has shape {tuple(known.shape)}, more than {tuple(own.shape)} of this recipe; "
            "begin from a checkpoint of smaller networks"
        )
    if own.ndim > 1 and own.shape[1] != known.shape[1]:
        own[: known.shape[0]] = 0
        # the runtime gain is 1 / sqrt(inputs): old outputs stay what they were
        known = known * (own.shape[1] / known.shape[1]) ** 0.5
    own[tuple(slice(side) for side in known.shape)] = known


def _below(prefix: str, tensors: Tensors) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _moments(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{index}/{name}": tensor
        for index, parameter in enumerate(_parameters(optimizer))
        for name, tensor in optimizer.state.get(parameter, {}).items()
    }


def _restore_moments(optimizer: torch.optim.Optimizer, tensors: Tensors) -> None:
    optimizer.state.clear()
    parameters = _parameters(optimizer)
    for key, tensor in tensors.items():
        index, _, name = key.partition("/")
        parameter = parameters[int(index)]
        # like the parameter, so that device and order in memory are what the optimiser would have made
        own = tensor if name == "step" else torch.empty_like(parameter).copy_(tensor)
        optimizer.state[parameter][name] = own
