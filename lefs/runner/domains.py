"""What the notebooks' parameters may be: one table, asked before a kernel starts and in each first cell."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import lefs
from lefs.activations import Hypercolumns
from lefs.catalog import Catalog
from lefs.checks import MAX_SEED, check_integer, check_name, check_number
from lefs.generator import Generator
from lefs.records import load_record
from lefs.runner.parameters import ParameterError
from lefs.runner.timing import estimate_notebook, seconds_per_image
from lefs.segmenters import segmenter_of

__all__ = ["DOMAINS", "check_values", "choose", "find_catalog", "open_catalog", "prepare"]

_MAX_VECTORS = 65_536  # what `dissect` clusters at most
_NAMING = "2_catalog"  # names the clusters itself, after the truth where there is one
_PLAIN = (str, int, float, list, tuple, type(None))


@dataclass(frozen=True)
class _Known:
    """What values are held against: the notebook's others, its generator, and what parameters may name."""

    values: Mapping[str, Any]
    generator: Generator
    names: Mapping[str, Sequence[str]]


Domain = Callable[[str, Any, _Known], object]  # complains of a value that is outside


def _whole(least: int, most: int | None = None) -> Domain:
    return lambda name, value, known: check_integer(name, value, minimum=least, maximum=most)


def _number(least: float, most: float = math.inf) -> Domain:
    return lambda name, value, known: check_number(name, value, minimum=least, maximum=most)


def _each(domain: Domain, *, empty: bool = False) -> Domain:
    """A list of values of one domain; `empty` where that stands for a choice of the notebook's own."""

    def check(name: str, values: Any, known: _Known) -> None:
        if not isinstance(values, list | tuple):
            raise ValueError(f"{name} must be a list, got {values!r}")
        if not values and not empty:
            raise ValueError(f"{name} is empty; give at least one")
        for place, value in enumerate(values):
            domain(f"{name}[{place}]", value, known)

    return check


def _choice(*choices: str) -> Domain:
    return lambda name, value, known: check_name(name, value, choices, what=name)


def _named(what: str, *, empty: bool = False) -> Domain:
    """One of the names that there are; `empty` text where that stands for a suitable one."""

    def check(name: str, value: Any, known: _Known) -> None:
        if value != "" or not empty:
            check_name(name, value, known.names[name.partition("[")[0]], what=what)

    return check


def _text(name: str, value: Any, known: _Known) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text, got {value!r}")


def _source(name: str, value: Any, known: _Known) -> None:
    if not isinstance(value, str):
        check_integer(name, value, maximum=MAX_SEED)
    elif not Path(value).expanduser().is_file():
        raise ValueError(
            f"{name} must be a seed or the file of an inversion, a w or styles; {value!r} is not there"
        )


def _tuned(name: str, value: Any, known: _Known) -> None:
    if value != -1:
        check_number(f"{name} (-1: tuned)", value, minimum=0)


def _label(name: str, value: Any, known: _Known) -> None:
    classes = known.generator.label_dim
    if not classes and value != -1:
        raise ValueError(f"{name} must be -1, got {value!r}: this generator is not conditional")
    if classes:
        check_integer(f"this generator is conditional: {name}", value, maximum=classes - 1)


def _clusters(name: str, value: Any, known: _Known) -> None:
    images = known.values.get("images", 1)
    images = min(images, 64) if "[" in name else images  # (what is compared is made from fewer)
    layer = known.values.get("layer") or known.generator.default_layer
    vectors = min(images * Hypercolumns.of(layer, known.generator.layers).positions, _MAX_VECTORS)
    if check_integer(name, value, minimum=2) > vectors:
        raise ValueError(
            f"{name} must be at most {vectors:,}, got {value}: {images} images have no more vectors"
        )


def _layer(name: str, value: Any, known: _Known) -> None:
    if value != "":
        Hypercolumns.of(value, known.generator.layers)


_SEED = _whole(0, MAX_SEED)
_PARTS = _each(_named("part"), empty=True)

DOMAINS: Mapping[str, Domain] = {
    "generator": _text,
    "label": _label,
    "catalog": _text,
    "output": _text,
    "images": _whole(1),
    "minutes": _number(0, 24 * 60),
    "truncation": _number(0, 2),
    # 1_dissection
    "clusters": _clusters,
    "layer": _layer,
    "random_state": _SEED,
    "factors": _clusters,
    "tried_clusters": _each(_clusters),
    # 2_catalog, 3_editing
    "first_seed": _whole(0, MAX_SEED - 2**20),
    "part": _named("part", empty=True),
    "target": _source,
    "reference": _source,
    "contributions": _choice("effect", "energy"),
    "method": _choice("sequential", "simultaneous"),
    "rho": _tuned,
    "epsilon": _tuned,
    "references": _each(_SEED),
    "pairs": _whole(1),
    # 4_units
    "quantile": _number(1e-6, 0.5),
    "concept": _named("concept", empty=True),
    "unit_layer": _named("layer", empty=True),
    "units": _whole(1),
    "doses": _each(_whole(1)),
    "tested": _whole(1),
    "search_steps": _whole(1),
    "moved": _each(_named("layer"), empty=True),
    "moved_images": _whole(1),
    # 5_evaluation, 6_directions
    "curve_pairs": _whole(1),
    "parts": _PARTS,
    "visible": _number(0, 1),
    "direction": _whole(0, 15),
    "layers": _choice("all", "coarse", "middle", "fine"),
    "steps": _each(_number(-math.inf)),
    "samples": _whole(2),
    "measured": _PARTS,
    "targets": _whole(1),
}


def check_values(
    notebook: str,
    values: Mapping[str, Any],
    generator: Generator,
    catalog: Catalog | None,
    *,
    clusters: int = 0,
    later: bool = False,
) -> Mapping[str, Sequence[str]]:
    """Hold the parameters of a notebook against what there is.

    Parameters
    ----------
    notebook : str
        Its name, such as ``"3_editing"``.
    values : mapping of str to Any
        All its parameters; those that `DOMAINS` lacks are let through.
    generator : Generator
    catalog : Catalog or None
        None where an earlier notebook is still to make it, of so many
    clusters : int
    later : bool
        Whether an earlier notebook may still name the clusters after the truth.

    Returns
    -------
    mapping of str to sequence of str
        What parameters may name: ``{"part": ("hair", ...), ...}``.

    Raises
    ------
    ParameterError
        For the first that is wrong; lists what there is, the nearest first.
    """
    known = _Known(values, generator, _names(generator, catalog, clusters, later or notebook == _NAMING))
    for name, value in values.items():
        try:
            if name in DOMAINS:
                DOMAINS[name](name, value, known)
        except (KeyError, TypeError, ValueError) as error:
            raise ParameterError(f"{notebook}: {error.args[0]}") from None
    return known.names


def _names(
    generator: Generator, catalog: Catalog | None, clusters: int, naming: bool
) -> dict[str, Sequence[str]]:
    truth = segmenter_of(generator)
    layers = [layer.name for layer in generator.layers]
    parts = [f"cluster {k}" for k in range(clusters)] if catalog is None else list(catalog.parts)
    concepts, judged = parts, layers
    if truth is not None:
        concepts = list(truth.names)
        parts = concepts if naming else parts
    elif catalog is not None:  # (the judge of concepts, which can say nothing of what comes after its layer)
        judged = layers[: layers.index(catalog.columns.names[-1]) + 1]
    of_parts = dict.fromkeys(("part", "parts", "measured"), parts)
    return {**of_parts, "concept": concepts, "unit_layer": judged, "moved": layers}


def open_catalog(name: str, generator: Generator) -> Catalog:
    """Load a catalog of this generator; of an empty name that which came with it.

    Raises
    ------
    ArtifactError
        If it cannot be read or belongs to another generator.
    ParameterError
        If the name is empty and none came with it.
    """
    catalog = Catalog.load(name or find_catalog(generator))
    catalog.check_generator(generator)
    return catalog


def find_catalog(generator: Generator, results: Path | None = None) -> Path:
    """Find the catalog to take where none is named.

    Parameters
    ----------
    generator : Generator
    results : Path, optional
        Folder of the notebooks' results; their catalogs are ``<notebook>/catalog``.

    Returns
    -------
    Path
        The folder of the generator's newest catalog there, or else of the one that came with it.

    Raises
    ------
    ParameterError
        If there is neither.
    """
    saved = [] if results is None else list(results.glob("*/catalog/catalog.safetensors"))
    saved.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    beside = [] if generator.source is None else [generator.source.parent / "catalog.safetensors"]
    for path in [*saved, *beside]:
        if path.is_file() and _owner(path) == generator.fingerprint:
            return path.parent
    place = "" if results is None else f" in {results.resolve()}, nor"
    raise ParameterError(
        f"catalog: there is none of the generator {generator.name!r}{place} beside its file; "
        "run 1_dissection first, or name one"
    )


def _owner(path: Path) -> str | None:
    owner = load_record(path, expect="lefs-catalog", tensors=False).content.get("generator")
    return owner.get("fingerprint") if isinstance(owner, dict) else None


def _say(text: str) -> None:
    """Show a line below a notebook's cell."""
    sys.stdout.write(f"{text}\n")


def choose(name: str, value: str, choices: Collection[str], wish: str = "") -> str:
    """Return `value` if there is such a thing, and something suitable, which is printed, if it is empty.

    Parameters
    ----------
    name : str
        Of the parameter.
    value : str
        What it was set to.
    choices : collection of str
        What there is.
    wish : str
        What to take for an empty value, if it is among them; else the first.

    Raises
    ------
    ParameterError
        If `value` is neither empty nor one of them; lists them, the nearest first.

    Examples
    --------
    >>> choose("part", "", ["eyes", "hair"], "hair")
    part: hair
    'hair'
    """
    if not value:
        value = wish if wish in choices else next(iter(choices))
        missing = f" (there is no {wish})" if wish and value != wish else ""
        _say(f"{name}: {value}{missing}")
    try:
        return check_name(name, value, list(choices), what=name)
    except (KeyError, ValueError) as error:
        raise ParameterError(str(error.args[0])) from None


def prepare(notebook: str, namespace: dict[str, Any], **wishes: Any) -> None:
    """Check a notebook's parameters, fill in those that were left empty, and say how long it will take.

    What is filled in is printed.

    Parameters
    ----------
    notebook : str
        Its name, such as ``"3_editing"``.
    namespace : dict of str to Any
        ``globals()`` of the notebook.
    **wishes : Any
        What to take for an empty name or list, as far as there is such a thing; else what there is.

    Raises
    ------
    ParameterError
        If a value is wrong; lists what there is, the nearest first.
    ArtifactError
        If the generator or the catalog cannot be read, or the two do not belong together.

    Examples
    --------
    >>> cells = {"generator": "portraits", "label": -1, "catalog": "portraits", "part": "", "images": 128}
    >>> prepare("2_catalog", cells, part="hair")  # doctest: +ELLIPSIS
    part: hair
    time: about ...
    >>> cells["part"]
    'hair'
    """
    # (what is no plain value by now was a parameter's name when another notebook was written)
    values = {n: namespace[n] for n in DOMAINS if isinstance(namespace.get(n, ...), _PLAIN)}
    generator = lefs.load(values["generator"])
    if values.get("catalog") == "":
        values["catalog"] = namespace["catalog"] = _found(generator, Path(values["output"]).parent)
    catalog = open_catalog(values["catalog"], generator) if "catalog" in values else None
    names = check_values(notebook, values, generator, catalog)
    for name, wish in wishes.items():
        if not namespace[name]:
            namespace[name] = _suitable(name, wish, names[name])
    if not os.environ.get("LEFS_HEADLESS"):  # (lefs run has said it)
        one = seconds_per_image(generator, values["label"])
        _say(f"time: {estimate_notebook(notebook, values, one)}")


def _found(generator: Generator, results: Path) -> str:
    folder = find_catalog(generator, results)
    if generator.source is not None and folder == generator.source.parent:
        text = f"that of {generator.name}"
    else:
        saved = datetime.fromtimestamp((folder / "catalog.safetensors").stat().st_mtime)
        text = f"{folder}, the newest, saved {saved:%Y-%m-%d %H:%M}"
    _say(f"catalog: {text}")
    return str(folder)


def _suitable(name: str, wish: Any, choices: Sequence[str]) -> Any:
    """What stands in for an empty value: as much of the wish as there is, or as many others."""
    if name in ("concept", "unit_layer"):  # (else that of the best unit, once units are measured)
        return wish if wish in choices else ""
    if isinstance(wish, str):
        return choose(name, "", choices, wish)
    found = [one for one in wish if one in choices] or list(choices[:: -(-len(choices) // len(wish))])
    _say(f"{name}: {', '.join(found)}")
    return found
