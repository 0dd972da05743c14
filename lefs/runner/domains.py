"""What the notebooks' parameters may be: one table, asked before a kernel starts and in each first cell."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

import lefs
from lefs.activations import Hypercolumns
from lefs.catalog import Catalog
from lefs.checks import MAX_SEED, check_integer, check_label, check_name, check_number, check_seed
from lefs.generator import Generator
from lefs.records import load_record
from lefs.runner.costs import estimate_notebook, seconds_per_image
from lefs.runner.notebooks import ParameterError, complaints
from lefs.segmenters import segmenter_of
from lefs.sources import source_styles

__all__ = ["DOMAINS", "check_values", "choose", "find_catalog", "open_catalog", "prepare"]

_MAX_VECTORS = 65_536  # what `dissect` clusters at most
_NAMING = "2_catalog"  # names the clusters itself, after the truth where there is one
_PLAIN = (str, int, float, list, tuple, type(None))

# Each is told a value's name, the value, the notebook's other values, and its generator


def _source(name: str, value: Any, *_: Any) -> None:
    if not isinstance(value, str):
        check_seed(name, value)
    elif not Path(value).expanduser().is_file():
        wanted = "a seed or the file of an inversion, a w or styles"
        raise ValueError(f"{name} must be {wanted}; {value!r} is not there")


def _tuned(name: str, value: Any, *_: Any) -> None:
    if value != -1:
        check_number(f"{name} (-1: tuned)", value, minimum=0)


def _label(name: str, value: Any, _: object, generator: Generator) -> None:
    if generator.label_dim:
        check_label(f"this generator is conditional: {name}", value, generator.label_dim)
    elif value != -1:
        raise ValueError(f"{name} must be -1, got {value!r}: this generator is not conditional")


def _clusters(name: str, value: Any, others: Mapping[str, Any], generator: Generator) -> None:
    if name == "clusters" and value == 0:
        return  # (the notebook chooses)
    images = others.get("images", 1)
    images = min(images, 64) if "[" in name else images  # (what is compared is made from fewer)
    # (joined layers have no fewer positions than the one that is usual)
    layer = others.get("layer") or generator.default_layer
    vectors = min(images * Hypercolumns.of(layer, generator.layers).positions, _MAX_VECTORS)
    if check_integer(name, value, minimum=2) > vectors:
        what = f"{images} images have no more vectors"
        raise ValueError(f"{name} must be at most {vectors:,}, got {value}: {what}")


# What each may be: one of these words; one of the parts, ..., that there are; from the least to the most,
# whole where the least is; what a function lets pass. What files are called is seen when they are read.
_COUNTS = "images pairs curve_pairs targets units doses tested search_steps moved_images"
DOMAINS: Mapping[str, Any] = {
    **dict.fromkeys(("generator", "catalog", "output"), lambda *_: None),
    **dict.fromkeys(_COUNTS.split(), (1, None)),
    "samples": (2, None),
    **dict.fromkeys(("random_state", "references"), (0, MAX_SEED)),
    "first_seed": (0, MAX_SEED - 2**20),
    "direction": (0, 15),
    "minutes": (0.0, 24 * 60),
    "truncation": (0.0, 2.0),
    "visible": (0.0, 1.0),
    "quantile": (1e-6, 0.5),
    "steps": (-math.inf, math.inf),
    "label": _label,
    **dict.fromkeys(("clusters", "factors", "tried_clusters"), _clusters),
    "layer": lambda _, value, others, generator: Hypercolumns.of(value, generator.layers),
    **dict.fromkeys(("target", "reference"), _source),
    **dict.fromkeys(("rho", "epsilon"), _tuned),
    "contributions": ["effect", "energy"],
    "method": ["sequential", "simultaneous"],
    "layers": ["all", "coarse", "middle", "fine"],
    **dict.fromkeys(("part", "parts", "measured"), "part"),
    "concept": "concept",
    "unit_layer": "layer of units",
    "moved": "layer",
}
_LISTS = ("tried_clusters", "references", "doses", "moved", "parts", "steps", "measured")
# What may be empty: the notebook chooses
_OPEN = ("layer", "part", "concept", "unit_layer", "moved", "parts", "measured")


def _check(name: str, value: Any, domain: Any, names: Mapping[str, Sequence[str]], *others: Any) -> None:
    match domain:
        case str():
            check_name(name, value, names[domain], what=domain)
        case list():
            check_name(name, value, domain, what=name)
        case (int() as least, most):
            check_integer(name, value, minimum=least, maximum=most)
        case (least, most):
            check_number(name, value, minimum=least, maximum=most)
        case _:
            domain(name, value, *others)


def check_values(
    notebook: str,
    values: Mapping[str, Any],
    generator: Generator,
    catalog: Catalog | int,
    later: bool = False,
) -> dict[str, Sequence[str]]:
    """Hold the parameters of a notebook against what there is.

    Parameters
    ----------
    notebook : str
        Its name, such as ``"3_editing"``.
    values : mapping of str to Any
        All its parameters; those that `DOMAINS` lacks are let through.
    generator : Generator
    catalog : Catalog or int
        Where an earlier notebook is still to make it, of how many clusters.
    later : bool
        Whether an earlier notebook may still name the clusters after the truth.

    Returns
    -------
    dict of str to sequence of str
        What parameters may name, by its kind in `DOMAINS`: ``{"part": ("hair", ...), ...}``.

    Raises
    ------
    ParameterError
        For the first that is wrong; lists what there is, the nearest first.
    """
    names = _names(generator, catalog, later or notebook == _NAMING)
    with complaints(f"{notebook}: "):
        for name, value in ((name, value) for name, value in values.items() if name in DOMAINS):
            if (listed := name in _LISTS) and not isinstance(value, list | tuple):
                raise ValueError(f"{name} must be a list, got {value!r}")
            if listed and not value and name not in _OPEN:
                raise ValueError(f"{name} is empty; give at least one")
            single = [(name, value)] if value or name not in _OPEN else []
            for place, one in [(f"{name}[{n}]", x) for n, x in enumerate(value)] if listed else single:
                _check(place, one, DOMAINS[name], names, values, generator)
    return names


def _names(generator: Generator, catalog: Catalog | int, naming: bool) -> dict[str, Sequence[str]]:
    layers = judged = [layer.name for layer in generator.layers]
    if isinstance(catalog, int):
        parts = concepts = [f"cluster {k}" for k in range(catalog)]
    else:  # (the judge of concepts, which can say nothing of what comes after its layer)
        parts = concepts = [*catalog.parts]
        judged = layers[: layers.index(catalog.columns.names[-1]) + 1]
    if (truth := segmenter_of(generator)) is not None:
        concepts, judged = [*truth.names], layers
        parts = concepts if naming else parts
    return {"part": parts, "concept": concepts, "layer of units": judged, "layer": layers}


def open_catalog(name: str, generator: Generator) -> Catalog:
    """Load a catalog; an `ArtifactError` says so if it is not of this generator."""
    catalog = Catalog.load(name)
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
    saved = [] if results is None else results.glob("*/catalog/catalog.safetensors")
    newest = sorted(saved, key=lambda path: path.stat().st_mtime, reverse=True)
    beside = [] if generator.source is None else [generator.source.parent / "catalog.safetensors"]
    for path in (path for path in [*newest, *beside] if path.is_file()):
        # (others' catalogs may be damaged: nobody is going to read their numbers)
        owner = load_record(path, expect="lefs-catalog", tensors=False).content.get("generator")
        if isinstance(owner, dict) and owner.get("fingerprint") == generator.fingerprint:
            return path.parent
    place = "" if results is None else f" in {results.resolve()}, nor"
    raise ParameterError(
        f"catalog: there is none of the generator {generator.name!r}{place} beside its file; "
        "run 1_dissection first, or name one"
    )


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
        sys.stdout.write(f"{name}: {value}{missing}\n")
    with complaints():
        return check_name(name, value, list(choices), what=name)


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
    if "generator" not in values:
        raise ParameterError(f"{notebook}: its parameters lack generator, which says what to load")
    generator = lefs.load(values["generator"])
    if values.get("catalog") == "":
        values["catalog"] = namespace["catalog"] = _found(generator, Path(values["output"]).parent)
    catalog = open_catalog(values["catalog"], generator) if "catalog" in values else 0
    names = check_values(notebook, values, generator, catalog)
    if isinstance(catalog, Catalog):
        look = not namespace.get("part", ...) and wishes.get("part") not in names["part"]
        names["part"] = _largest_first(names["part"], catalog, generator, values if look else {})
    for name, wish in wishes.items():
        if not namespace[name]:
            namespace[name] = _suitable(name, wish, names[DOMAINS[name]])
    if not os.environ.get("LEFS_HEADLESS"):  # (lefs run has said it)
        one = seconds_per_image(generator)
        sys.stdout.write(f"time: {estimate_notebook(notebook, values, one)}\n")


def _largest_first(
    parts: Collection[str], catalog: Catalog, generator: Generator, values: Mapping[str, Any]
) -> list[str]:
    """Parts by their size, first that in the target or the reference: what neither shows cannot be edited."""
    sizes, shown = catalog.sizes.double(), torch.zeros(catalog.num_clusters)
    label = None if values.get("label", -1) == -1 else values["label"]
    for picture in (values[name] for name in ("target", "reference") if name in values):
        psi = values.get("truncation", 1.0)
        styles = source_styles(generator, picture, truncation=psi, label=label)
        shown += catalog.membership(generator, styles).cpu().float().sum(dim=(0, 2, 3))
    order = {
        part: [float(each[list(ks)].sum()) for each in (shown, sizes)] for part, ks in catalog.parts.items()
    }
    return sorted(parts, key=lambda part: order.get(part, [0.0, 0.0]), reverse=True)


def _found(generator: Generator, results: Path) -> str:
    folder = find_catalog(generator, results)
    own = generator.source is not None and folder == generator.source.parent
    saved = datetime.fromtimestamp((folder / "catalog.safetensors").stat().st_mtime)
    newest = f"{folder}, the newest, saved {saved:%Y-%m-%d %H:%M}"
    sys.stdout.write(f"catalog: {f'that of {generator.name}' if own else newest}\n")
    return str(folder)


def _suitable(name: str, wish: Any, choices: Sequence[str]) -> Any:
    """What stands in for an empty value: as much of the wish as there is, or as many others."""
    if name in ("concept", "unit_layer"):  # (else that of the best unit, once units are measured)
        return wish if wish in choices else ""
    if isinstance(wish, str):
        return choose(name, "", choices, wish)
    found = [one for one in wish if one in choices] or list(choices[:: -(-len(choices) // len(wish))])
    sys.stdout.write(f"{name}: {', '.join(found)}\n")
    return found
