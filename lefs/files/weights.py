"""Tensors into a network, checked before memory is taken."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

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
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if wrong := sorted(k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k)):
        first = wrong[0]
        raise ArtifactError(
            f"{path} does not fit its architecture in {len(wrong)} tensors, first {first!r}: "
            f"expected shape {expected.get(first, 'absent')}, found {found.get(first, 'absent')}"
        )
    try:
        ready = {name: _copied(tensor.detach(), source) for name, tensor in tensors.items()}
    except (MemoryError, RuntimeError) as error:
        if not lacks_memory(error):
            raise
        raise not_enough_memory(path, sum(4 * tensor.numel() for tensor in tensors.values())) from None
    if bad := next((name for name, tensor in ready.items() if not _finite(tensor)), None):
        raise ArtifactError(f"{path} has NaN or infinite values in {bad!r}: its training may have diverged")
    network.load_state_dict(ready, assign=True)


def _copied(tensor: Tensor, source: MappedFile | None) -> Tensor:
    if source is not None:
        return source.copy(tensor)
    # (`to` alone leaves a transposed tensor as it lies, which is slower and rounds otherwise)
    return aligned(tensor).to(torch.float32).contiguous()


def _finite(tensor: Tensor) -> bool:
    # They show in the smallest or the largest number, without memory of the tensor's size.
    return not tensor.numel() or bool(torch.isfinite(torch.stack(tensor.aminmax())).all())
