"""Networks from a configuration and tensors, checked before memory is taken."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from lefs.artifacts import ArtifactError
from lefs.generators.unpickle import aligned

__all__ = ["build", "fill"]

_Network = TypeVar("_Network", bound=nn.Module)


def build(
    make: Callable[[], _Network],
    tensors: Mapping[str, Tensor],
    path: Path,
    *,
    what: str,
    mapped: bool = False,
) -> _Network:
    """Call `make` without memory for its tensors, check `tensors` against it, and put them in.

    Parameters
    ----------
    make : makes the network; what it raises says that the configuration is wrong
    tensors : {name: Tensor}, exactly the network's ``state_dict``
    path, what : the file and the network's name, for error messages
    mapped : whether tensors may stay views of a memory-mapped file, one only ever replaced as a whole;
        others are copied, as a view changes with its file, or ends with it

    Raises
    ------
    ArtifactError
        If the configuration or the tensors do not describe such a network.
    """
    try:
        with torch.device("meta"):
            network = make()
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError) as error:
        raise ArtifactError(f"{path}: its configuration does not describe a {what}: {error}") from error
    fill(network, tensors, path, mapped=mapped)
    return network


def fill(network: nn.Module, tensors: Mapping[str, Tensor], path: Path, *, mapped: bool = False) -> None:
    """Put `tensors` into `network` as float32 if they have the right names and shapes and are finite.

    Raises
    ------
    ArtifactError
        If not; `network` is then as it was.
    """
    expected = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    found = {k: tuple(v.shape) for k, v in tensors.items()}
    if expected != found:
        names = sorted(k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k))
        first = names[0]
        raise ArtifactError(
            f"{path} does not fit its architecture in {len(names)} tensors, first {first!r}: "
            f"expected shape {expected.get(first, 'absent')}, found {found.get(first, 'absent')}"
        )
    ready = {}
    for name, tensor in tensors.items():
        ready[name] = _view(tensor.detach()) if mapped else _owned(tensor.detach())
        if not _finite(aligned(ready[name])):
            raise ArtifactError(
                f"{path} has NaN or infinite values in {name!r}; it may come from a training that diverged"
            )
    network.load_state_dict(ready, assign=True)


def _view(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float32 else aligned(tensor).float()


def _owned(tensor: Tensor) -> Tensor:
    """`tensor` as contiguous float32 with memory of its own, copied once."""
    made = torch.empty(tensor.shape)
    source, target = tensor, made
    if tensor.dtype == made.dtype and tensor.is_contiguous() and tensor.device.type == "cpu":
        # Bytes may lie anywhere; numbers would first have to be moved to where arithmetic can take them.
        begin, size = tensor.storage_offset() * tensor.itemsize, (tensor.nbytes,)
        source = torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage(), begin, size, (1,))
        target = made.view(-1).view(torch.uint8)
    target.copy_(aligned(source))
    return made


def _finite(tensor: Tensor) -> bool:
    # Only finite numbers have a finite sum, which takes one quick pass. That of very large ones may not be
    # finite, which takes another look; neither needs memory of the tensor's size.
    if not tensor.numel() or math.isfinite(float(tensor.sum())):
        return True
    low, high = tensor.aminmax()
    return bool(torch.isfinite(low) & torch.isfinite(high))
