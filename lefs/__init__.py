"""lefs, local editing from style: see what a StyleGAN has learned, and edit one part of an image.

The road from weights to an edited image; each arrow is one function, and what lies between is a plain tensor
or one frozen dataclass::

    weights file ──load──▶ Generator
    seeds ──latents──▶ z ──map──▶ w ──styles──▶ σ (N, S) ──synthesize──▶ images (N, 3, H, W)
    σ ──record──▶ activations ──SphericalKMeans──▶ membership U ──▶ contributions M = Catalog (named parts)
    σ_target, σ_reference, Catalog, (part, ρ, ε | slope, strength) ──query──▶ q ──transfer──▶ σ_edit ──▶ image

To read the code, follow the data: `stylespace`, `synthesis`, `generator` → `activations` → `clustering` (or
`factorization`) → `dissection` → `catalog` → `rules`, `query` → `effects` → `editing`, `editor` →
`directions`. `checks`, `records`, `images`, `tables` and `progress` serve them all. Behind this core stand
`models` (architectures), `files`, `segmenters`, `evaluation`, `units`, `plotting`, `widgets` and `runner`.

Dimension key: N images · L style layers · C channels of a layer · S all style channels, flat · K clusters ·
P named parts · D latent size · H, W.
"""

import importlib
import logging
import os
import sys
from importlib.util import find_spec
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lefs.catalog import Catalog as Catalog
    from lefs.clustering import SphericalKMeans as SphericalKMeans
    from lefs.dissection import dissect as dissect
    from lefs.editing import Change as Change
    from lefs.editing import Recipe as Recipe
    from lefs.editing import transfer as transfer
    from lefs.editor import Edit as Edit
    from lefs.editor import Editor as Editor
    from lefs.effects import by_effect as by_effect
    from lefs.files import load as load
    from lefs.files import save_generator as save_generator
    from lefs.generator import Generator as Generator
    from lefs.inversion import Inversion as Inversion
    from lefs.inversion import invert as invert
    from lefs.models import StyleGAN2 as StyleGAN2
    from lefs.models import StyleGAN2Config as StyleGAN2Config
    from lefs.models import swap as swap
    from lefs.query import QuerySettings as QuerySettings
    from lefs.records import ArtifactError as ArtifactError
    from lefs.retrieval import PartBank as PartBank
    from lefs.retrieval import retrieve as retrieve
    from lefs.rules import pair_query as pair_query
    from lefs.rules import sequential_query as sequential_query
    from lefs.rules import simultaneous_query as simultaneous_query
    from lefs.segmenters import PartSegmenter as PartSegmenter
    from lefs.segmenters import load_segmenter as load_segmenter
    from lefs.sources import KeptMask as KeptMask
    from lefs.sources import KeptStyles as KeptStyles
    from lefs.sources import keep_source as keep_source
    from lefs.sources import source_styles as source_styles
    from lefs.stylespace import StyleLayer as StyleLayer
    from lefs.video import animate as animate

__version__ = "0.1.0"

# Where a name lives; imported when first asked for, so that `lefs info` does not wait for the rest
_HOMES = {
    "records": ("ArtifactError",),
    "catalog": ("Catalog",),
    "clustering": ("SphericalKMeans",),
    "dissection": ("dissect",),
    "editing": ("Change", "Recipe", "transfer"),
    "editor": ("Edit", "Editor"),
    "effects": ("by_effect",),
    "generator": ("Generator",),
    "files": ("load", "save_generator"),
    "inversion": ("Inversion", "invert"),
    "query": ("QuerySettings",),
    "retrieval": ("PartBank", "retrieve"),
    "rules": ("pair_query", "sequential_query", "simultaneous_query"),
    "sources": ("KeptMask", "KeptStyles", "keep_source", "source_styles"),
    "stylespace": ("StyleLayer",),
    "models": ("StyleGAN2", "StyleGAN2Config", "swap"),
    "segmenters": ("PartSegmenter", "load_segmenter"),
    "video": ("animate",),
}
__all__ = sorted(name for names in _HOMES.values() for name in names)
# What was called otherwise before; CHANGELOG.md has the rest
_RENAMED = {
    "StyledGenerator": "lefs.Generator",
    "StylelessGenerator": "lefs.Generator",
    "adapters": "lefs.segmenters",
    "artifacts": "lefs.records",
    "generators": "lefs.models (architectures), lefs.files (load, convert) and lefs.generator",
    "hypercolumns": "lefs.activations",
    "sample": "lefs.activations",
    "segmenter": "lefs.segmenters",
}


def _let_waiting_threads_sleep() -> None:
    """Choose how OpenMP waits, unless the user has: it reads that once, when torch is imported.

    By default its waiting threads spin, and take the processor from those that have work.
    """
    if "OMP_WAIT_POLICY" in os.environ:
        return
    if (torch := sys.modules.get("torch")) is None:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    elif torch.get_num_threads() > 1:
        logging.getLogger(__name__).warning(
            "torch was imported before lefs: its waiting threads spin, which is slow where the processor is "
            "busy. Import lefs first, or set OMP_WAIT_POLICY=PASSIVE in the environment."
        )


_let_waiting_threads_sleep()


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            value = getattr(importlib.import_module(f"lefs.{home}"), name)
            globals()[name] = value
            return value
    if not name.startswith("_") and find_spec(f"lefs.{name}"):
        return importlib.import_module(f"lefs.{name}")
    now = f"; it is {_RENAMED[name]} now" if name in _RENAMED else ""
    raise AttributeError(f"module 'lefs' has no attribute {name!r}{now}")


def __dir__() -> list[str]:
    rooms = (module.name for module in iter_modules(__path__) if not module.name.startswith("_"))
    return sorted({*__all__, *rooms, "__version__"} - {"data", "notebooks"})
