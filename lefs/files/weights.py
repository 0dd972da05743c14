"""Networks from a configuration and tensors, checked before memory is taken."""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lefs.files.reading import MappedFile, aligned
from lefs.models.layers import shapes_only
from lefs.records import ArtifactError

__all__ = ["build", "fill"]

_Network = TypeVar("_Network", bound=nn.Module)


def build(
    make: Callable[[], _Network],
    tensors: Mapping[str, Tensor],
    path: Path,
    *,
    what: str,
    mapped: bool = False,
    source: MappedFile | None = None,
) -> _Network:
    """Call `make` without memory for its tensors, check `tensors` against it, and put them in.

    Parameters
    ----------
    make : makes the network; what it raises says that the configuration is wrong
    tensors : {name: Tensor}, exactly the network's ``state_dict``
    path, what : the file and the network's name, for error messages
    mapped : whether tensors may stay views of a memory-mapped file, one only ever replaced as a whole;
        others are copied, as a view changes with its file, or ends with it
    source : the open file, if any; what `tensors` are views of it is then read, which is the quicker copy

    Raises
    ------
    ArtifactError
        If the configuration or the tensors do not describe such a network.
    """
    try:
        with shapes_only():
            network = make()
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError) as error:
        raise ArtifactError(f"{path}: its configuration does not describe a {what}: {error}") from error
    fill(network, tensors, path, mapped=mapped, source=source)
    return network


def fill(
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    path: Path,
    *,
    mapped: bool = False,
    source: MappedFile | None = None,
) -> None:
    """Put `tensors` into `network` as float32 if they have the right names and shapes and are finite.

    Raises
    ------
    ArtifactError
        If not; `network` is then as it was.
    """
    places = _places(network)
    _check_shapes(places, tensors, path)
    given = {name: tensor.detach() for name, tensor in tensors.items()}
    ready = {k: _view(v) for k, v in given.items()} if mapped else _allocated(given, path)
    for name, tensor in ready.items():
        if not (_finite(aligned(tensor)) if mapped else _copied(given[name], tensor, source)):
            raise ArtifactError(
                f"{path} has NaN or infinite values in {name!r}; it may come from a training that diverged"
            )
    for name, (table, key) in places.items():
        old = table[key]
        own = isinstance(old, nn.Parameter)
        table[key] = nn.Parameter(ready[name], old.requires_grad) if own else ready[name]


def _places(network: nn.Module) -> dict[str, tuple[dict[str, Any], str]]:
    """Where a network keeps each tensor of its ``state_dict``: a table, and the key there.

    Going through them costs a third of what ``state_dict`` and ``load_state_dict`` do.
    """
    places: dict[str, tuple[dict[str, Any], str]] = {}
    for prefix, module in network.named_modules():
        start = f"{prefix}." if prefix else ""
        for table in (module._parameters, module._buffers):
            for key, tensor in table.items():
                if tensor is not None and key not in module._non_persistent_buffers_set:
                    places[start + key] = (table, key)
    return places


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


def _view(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float32 else aligned(tensor).float()


_FEW, _PIECE = 2**13, 2**19  # numbers
_LINE = 64  # bytes; whole cache lines, which vector instructions like best


def _allocated(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Memory for `tensors` as contiguous float32, side by side where the system has large pages.

    Most of the time of a plain copy goes into handing out fresh memory, 4 KiB at a time; 2 MiB at a time it
    takes a seventh of that.
    """
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return {k: torch.empty(v.shape) for k, v in tensors.items()}
    starts = [0]
    for tensor in tensors.values():
        starts.append(starts[-1] + -(-4 * tensor.numel() // _LINE) * _LINE)
    try:
        memory = mmap.mmap(-1, max(starts[-1], 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError:
        raise ArtifactError(f"{path} needs {starts[-1]:,} bytes of memory, more than are free") from None
    with suppress(OSError):  # not every system has large pages
        memory.madvise(mmap.MADV_HUGEPAGE)
    return {
        k: torch.frombuffer(memory, dtype=torch.float32, count=v.numel(), offset=start).view(v.shape)
        if v.numel()
        else torch.empty(v.shape)
        for (k, v), start in zip(tensors.items(), starts, strict=False)
    }


def _copied(tensor: Tensor, target: Tensor, source: MappedFile | None) -> bool:
    """Copy `tensor` into `target`; whether it is finite."""
    if target.numel() <= _PIECE or not tensor.is_contiguous():
        _copy(tensor, target, source)
        return _finite(target)
    # What has just been copied is still near the processor.
    pieces = zip(tensor.view(-1).split(_PIECE), target.view(-1).split(_PIECE), strict=True)
    return all(_copied(piece, place, source) for piece, place in pieces)


def _copy(tensor: Tensor, target: Tensor, source: MappedFile | None) -> None:
    # (small ones are not views of the file)
    if source is not None and target.numel() > _FEW and source.read(tensor, target):
        return
    loose = tensor.data_ptr() % tensor.itemsize if tensor.device.type == "cpu" else 0
    if loose and tensor.dtype == target.dtype and tensor.is_contiguous():
        # Bytes may lie anywhere; numbers would first have to be moved to where arithmetic can take them.
        begin, size = tensor.storage_offset() * tensor.itemsize, (tensor.nbytes,)
        tensor = torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage(), begin, size, (1,))
        target = target.view(-1).view(torch.uint8)
    target.copy_(aligned(tensor))


def _finite(tensor: Tensor) -> bool:
    # Only finite numbers have a finite sum, which takes one quick pass. That of very large ones may not be
    # finite, which takes another look; neither needs memory of the tensor's size.
    if not tensor.numel() or math.isfinite(float(tensor.sum())):
        return True
    low, high = tensor.aminmax()
    return bool(torch.isfinite(low) & torch.isfinite(high))
