"""lefs, local editing from style: see what a StyleGAN has learned, and edit one part of an image.

The road from weights to an edited image; each arrow is one function, and what lies between is a plain tensor
or one frozen dataclass::

    weights file ──load──▶ Generator
    seeds ──latents──▶ z ──map──▶ w ──styles──▶ σ (N, S) ──synthesize──▶ images (N, 3, H, W)
    σ ──record──▶ activations ──SphericalKMeans──▶ membership U ──▶ contributions M = Catalog (named parts)
    σ_target, σ_reference, Catalog, (part, ρ, ε | slope, strength) ──query──▶ q ──transfer──▶ σ_edit ──▶ image

To read the code, follow the data: `stylespace`, `synthesis`, `generator` → `activations` → `clustering` (or
`factorization`) → `dissection` → `catalog`, `energies` → `rules`, `query` → `effects` → `editing`, `editor`
→ `directions`. `checks`, `records`, `images` and `tables` serve them all. Behind this core stand `workers`
(long work: batches, processes, what is kept, bars), `models` (architectures), `files`, `segmenters`,
`evaluation`, `units`, `plotting`, `widgets` and `runner`.

Dimension key: N images · L style layers · C channels of a layer · S all style channels, flat · K clusters ·
P named parts · D latent size · H, W.
"""

import importlib
import logging
import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

__version__ = "0.1.0"

# Where a name lives; imported when first asked for, so that `lefs info` does not wait for the rest
_STUB = Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")
_HOMES = {name: home for home, name in re.findall(r"^from (lefs\.\w+) import \w+ as (\w+)$", _STUB, re.M)}
__all__ = sorted(_HOMES)
# What was called otherwise before; CHANGELOG.md has the rest
_RENAMED = {
    "StyledGenerator": "lefs.Generator",
    "StylelessGenerator": "lefs.Generator",
    "adapters": "lefs.segmenters",
    "artifacts": "lefs.records",
    "checkpoints": "lefs.workers",
    "generators": "lefs.models (architectures), lefs.files (load, convert) and lefs.generator",
    "hypercolumns": "lefs.activations",
    "progress": "lefs.workers",
    "sample": "lefs.workers",
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
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    if not name.startswith("_") and find_spec(f"lefs.{name}"):
        return importlib.import_module(f"lefs.{name}")
    now = f"; it is {_RENAMED[name]} now" if name in _RENAMED else ""
    raise AttributeError(f"module 'lefs' has no attribute {name!r}{now}")


def __dir__() -> list[str]:
    rooms = (module.name for module in iter_modules(__path__) if not module.name.startswith("_"))
    return sorted({*__all__, *rooms, "__version__"} - {"data", "notebooks"})
