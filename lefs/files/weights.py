"""Tensors into a network, checked before memory is taken."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lefs.files.reading import MappedFile, aligned
from lefs.records import ArtifactError, lacks_memory, not_enough_memory

__all__ = ["fill"]


def fill(
    network: nn.Module, tensors: Mapping[str, Tensor], path: Path, source: MappedFile | None = None
) -> None:
    """Put `tensors` into `network` as float32 if they have the right names and shapes and are finite.

    Parameters
    ----------
    network : Module
        Its tensors may be of the meta device, and are replaced.
    tensors : mapping of str to Tensor
        Exactly the network's ``state_dict``, by name.
    path : Path
        Of the file, for error messages.
    source : MappedFile, optional
        The open file that `tensors` may be views of; they are read from it, and all copied, as a view would
        change with its file, or end with it. None: they are of no file any more, and are taken as they are.

    Raises
    ------
    ArtifactError
        If they do not fit; `network` is then as it was.
    """
    places = _places(network)
    _check_shapes(places, tensors, path)
    try:
        ready = {name: _copied(tensor.detach(), source) for name, tensor in tensors.items()}
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        raise not_enough_memory(path, sum(4 * tensor.numel() for tensor in tensors.values())) from None
    if bad := next((name for name, tensor in ready.items() if not _finite(tensor)), None):
        raise ArtifactError(
            f"{path} has NaN or infinite values in {bad!r}; it may come from a training that diverged"
        )
    for name, (table, key) in places.items():
        old = table[key]
        own = isinstance(old, nn.Parameter)
        table[key] = nn.Parameter(ready[name], old.requires_grad) if own else ready[name]


def _copied(tensor: Tensor, source: MappedFile | None) -> Tensor:
    if source is not None:
        return source.copy(tensor)
    # (`to` alone leaves a transposed tensor as it lies, which is slower and rounds otherwise)
    return aligned(tensor).to(torch.float32).contiguous()


def _places(network: nn.Module) -> dict[str, tuple[dict[str, Any], str]]:
    """Where a network keeps each tensor of its ``state_dict``: a table, and the key there."""
    return {
        f"{prefix}{'.' * bool(prefix)}{key}": (table, key)
        for prefix, module in network.named_modules()
        for table in (module._parameters, module._buffers)
        for key, tensor in table.items()
        if tensor is not None and key not in module._non_persistent_buffers_set
    }


def _check_shapes(
    places: Mapping[str, tuple[dict[str, Any], str]], tensors: Mapping[str, Tensor], path: Path
) -> None:
    expected = {k: tuple(table[key].shape) for k, (table, key) in places.items()}
    found = {k: tuple(v.shape) for k, v in tensors.items()}
    if expected != found:
        names = sorted(k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k))
        first = names[0]
        raise ArtifactError(
            f"{path} does not fit its architecture in {len(names)} tensors, first {first!r}: "
            f"expected shape {expected.get(first, 'absent')}, found {found.get(first, 'absent')}"
        )


def _finite(tensor: Tensor) -> bool:
    # They show in the smallest or the largest number, without memory of the tensor's size.
    return not tensor.numel() or bool(torch.isfinite(torch.stack(tensor.aminmax())).all())
