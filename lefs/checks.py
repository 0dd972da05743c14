"""Argument checks: each names the argument, what was expected, what came, and the remedy."""

from __future__ import annotations

import difflib
import math
import operator
from collections.abc import Collection, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any, TypeVar

__all__ = [
    "MAX_SEED", "check_choice", "check_clusters", "check_counts", "check_device", "check_filled",
    "check_integer", "check_label", "check_name", "check_number", "check_seed", "check_seeds",
    "check_tensor", "check_text", "needs",
]  # fmt: skip

Item = TypeVar("Item")
Seeds = int | Iterable[int]
#: A class, or a number for each: classes mixed, or the attributes that a network was trained with.
Label = int | tuple[float, ...]
#: The largest seed that `numpy.random.RandomState` takes.
MAX_SEED = 2**32 - 1


def check_number(
    name: str, value: Any, *, minimum: float = -math.inf, maximum: float = math.inf, finite: bool = True
) -> float:
    """Return ``value`` as a float within ``[minimum, maximum]``.

    Raises
    ------
    TypeError
        If it is not a real number.
    ValueError
        If it is NaN, outside the interval, or infinite where `finite` is asked for.
    """
    try:  # (float() would also read "0.5" and take True for 1)
        number = float(None if isinstance(value, str | bytes | bool) else value)  # type: ignore[arg-type]
    except (RuntimeError, TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {value!r} ({type(value).__name__})") from None
    if math.isnan(number) or (finite and math.isinf(number)) or not minimum <= number <= maximum:
        bounds = f"[{minimum:g}, {maximum:g}]"
        raise ValueError(f"{name} must be a {'finite ' if finite else ''}number in {bounds}, got {value!r}")
    return number


def check_integer(name: str, value: Any, *, minimum: int = 0, maximum: int | None = None) -> int:
    """Return ``value`` as an int within ``[minimum, maximum]``; floats and bools are refused."""
    try:
        number = operator.index(None if isinstance(value, bool) else value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r} ({type(value).__name__})") from None
    if number < minimum or (maximum is not None and number > maximum):
        limit = f"at least {minimum}" if maximum is None else f"between {minimum} and {maximum}"
        raise ValueError(f"{name} must be {limit}, got {number}")
    return number


def check_label(name: str, value: Any, count: int | None = None) -> Any:
    """Return ``value`` as a class, or as a tuple of numbers, one for each of `count` classes.

    Where the count is not known, as in a record, None is a label too: that of no class.
    """
    if value is None and count is None:
        return None
    if not isinstance(value, Iterable) or isinstance(value, str) or not getattr(value, "ndim", 1):
        return check_integer(name, value, maximum=None if count is None else count - 1)
    values = value.tolist() if hasattr(value, "tolist") else value
    numbers = [check_number(f"{name}[{i}]", v, minimum=-1e6, maximum=1e6) for i, v in enumerate(values)]
    if count is not None and len(numbers) != count:
        given = f"{count} numbers, got {len(numbers)} numbers"
        raise ValueError(f"{name} must be an integer from 0 to {count - 1}, or {given}")
    return tuple(numbers)


def check_seed(name: str, value: Any) -> int:
    """Return ``value`` as an int in [0, 2**32 - 1], one of which makes one image.

    Parameters
    ----------
    name : str
        Of the argument, for the message.
    value : object

    Raises
    ------
    TypeError
        If it is not an integer: ``3.7`` and ``"abc"`` are not.
    ValueError
        If it is outside.
    """
    return check_integer(name, value, maximum=MAX_SEED)


def check_seeds(seeds: Seeds, *, name: str = "seeds") -> list[int]:
    """Return `seeds` as a non-empty list of ints in [0, 2**32 - 1], what `numpy.random.RandomState` takes."""
    # (an array without axes is a number)
    given = seeds if isinstance(seeds, Iterable) and getattr(seeds, "ndim", True) else [seeds]
    checked = [check_seed(f"{name}[{i}]", s) for i, s in enumerate(given)]
    return check_filled(name, checked, "at least one seed, for example range(64)")


def check_filled(name: str, items: Iterable[Item], wanted: str) -> list[Item]:
    """Return `items` as a list; a ValueError tells what to give if there are none."""
    found = list(items)
    if not found:
        raise ValueError(f"{name} is empty; give {wanted}")
    return found


def check_counts(**values: Sized) -> None:
    """Raise a ValueError unless all of these hold as many items, or a single one."""
    counts = [len(v) for v in values.values()]
    if len({*counts, 1}) > 2:
        told = f"as many images as each other, or a single one; got {' and '.join(map(str, counts))}"
        raise ValueError(f"{' and '.join(values)} must hold {told}")


def check_choice(name: str, value: Any, choices: Collection[Any]) -> Any:
    """Return `value` if it is one of `choices`; a ValueError lists them otherwise."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}")
    return next(choice for choice in choices if choice == value)  # (32 also where 32.0 is given)


def check_clusters(clusters: Iterable[Any]) -> tuple[int, ...]:
    """Return the numbers of a part's clusters, in order; what is not an integer is refused."""
    return tuple(sorted(check_integer("parts", k) for k in clusters))


def check_tensor(
    name: str, tensor: Any, shape: tuple[int, ...], *, whole: bool = False, least: float = -math.inf
) -> None:
    """Raise a ValueError unless `tensor` has this shape, and finite real or whole numbers from `least` on."""
    known = ("int32", "int64") if whole else ("float16", "bfloat16", "float32", "float64")
    kind, found = str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)
    if found != shape or kind not in known or not bool((tensor.isfinite() & (tensor >= least)).all()):
        what = f"{'whole' if whole else 'finite real'} numbers{f' from {least:g} on' if least == 0 else ''}"
        raise ValueError(f"{name} must have shape {shape} and {what}, got shape {found} of {kind}")


def check_text(name: str, text: Any) -> str:
    """Return ``text`` if it is 1 to 100 printable characters that are not all blank."""
    if not isinstance(text, str) or not text.strip() or len(text) > 100 or not text.isprintable():
        raise ValueError(f"{name} must be printable text of 1 to 100 characters, got {text!r:.200}")
    return text


def check_name(name: str, value: str, choices: Collection[str], *, what: str) -> str:
    """Return `value` if it names one of `choices`; a ValueError lists them, nearest first, otherwise."""
    if isinstance(value, str) and value in choices:
        return value
    near = difflib.get_close_matches(str(value), list(choices), 1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise ValueError(f"{name}: no {what} named {value!r}{hint} Choose from: {', '.join(choices)}")


def check_device(device: Any) -> Any:
    """Return ``torch.device(device)`` if this machine has it; a ValueError lists those there are."""
    import torch

    try:
        if torch.empty(0, device=device).is_meta:
            raise TypeError("it holds no numbers")
        return torch.device(device)
    except (AssertionError, NotImplementedError, RuntimeError, TypeError) as error:
        there = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        there += ["mps"] * torch.backends.mps.is_available()
        got = f"{str(device)!r} ({str(error).splitlines()[0]})"
        raise ValueError(f"device must be one that is there: {', '.join(there)}; got {got}") from None


@contextmanager
def needs(extra: str, what: str) -> Iterator[None]:
    """Import what not every installation has: a ModuleNotFoundError says which extra brings it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "lefs").split(".")[0] == "lefs":
            raise
        remedy = f"{what} needs {error.name}, which is not installed: pip install 'lefs[{extra}]'"
        raise ModuleNotFoundError(remedy, name=error.name) from error
