"""Choosing ρ and ε: what each setting does on held-out pairs, and the strongest edit within a stated leak."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from lefs.catalog import Catalog
from lefs.checks import check_choice, check_name, check_number
from lefs.evaluation.intervals import Estimate, estimate
from lefs.evaluation.masks import Segmenter
from lefs.evaluation.measures import split_change
from lefs.evaluation.pairs import PairBatch, pair_batches, seed_pairs
from lefs.generator import Generator
from lefs.images import to_lab
from lefs.query import QuerySettings
from lefs.records import ArtifactError, locate, read_json, write_json

__all__ = ["Trial", "Tuning", "load_settings", "part_settings", "save_settings", "tune"]

_FORMAT = "lefs-settings"
_TABLES = {"energy": "parts", "effect": "parts by effect"}  # a table for each kind of contributions
# (at 0 any channel may move: of a part of few pixels none has a share that would be worth a price)
RHOS = (0.0, 0.02, 0.1, 0.3, 0.5)
EPSILONS = (0.0, 1.0, 2.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0)


@dataclass(frozen=True)
class Trial:
    """What one setting does, as shares of what global transfer does on the same pairs.

    Attributes
    ----------
    settings : how channels were chosen
    effect : share of the change inside the part's mask, with its 95 % bootstrap interval
    leak : share of the change outside it
    """

    settings: QuerySettings
    effect: Estimate
    leak: Estimate


@dataclass(frozen=True)
class Tuning:
    """The outcome of `tune`.

    Attributes
    ----------
    part, limit : the part, and the leak that was allowed
    best : the trial of most effect among those whose leak is at most that
    trials : all, in the order of the grid
    """

    part: str
    limit: float
    best: Trial
    trials: tuple[Trial, ...]

    @property
    def settings(self) -> QuerySettings:
        """What was chosen."""
        return self.best.settings

    @property
    def frontier(self) -> list[Trial]:
        """The Pareto curve, by rising leak: trials than which no other has more effect at as little leak."""
        found: list[Trial] = []
        for trial in sorted(self.trials, key=lambda t: (t.leak[0], -t.effect[0])):
            if not found or trial.effect[0] > found[-1].effect[0]:
                found.append(trial)
        return found


def tune(
    generator: Generator,
    catalog: Catalog,
    part: str,
    *,
    leak: float = 0.05,
    pairs: Sequence[tuple[int, int]] | None = None,
    settings: QuerySettings | None = None,
    rhos: Iterable[float] = RHOS,
    epsilons: Iterable[float] = EPSILONS,
    truncation: float = 0.7,
    segmenter: Segmenter | None = None,
    batch_size: int = 16,
    progress: bool = True,
) -> Tuning:
    """The settings of most effect on a part within a stated leak, and the whole sweep.

    Parameters
    ----------
    leak : a share of what global transfer changes outside the part on the same pairs, in squared ΔE: 0.05
        allows an edit to disturb the rest of the picture by 5 % of what exchanging all of it would
    pairs : seeds (target, reference) to try on, none that results are reported on; None: 64 of their own
    settings : what is not swept (method "sequential", gates); `QuerySettings` as it is if None
    rhos, epsilons : the grid
    segmenter : tells where the part is; the catalog's own membership otherwise

    Raises
    ------
    ValueError
        If no setting of the grid keeps to that leak, or no pair shows the part.
    """
    check_name("part", part, list(catalog.parts), what="part")
    check_number("leak", leak, minimum=0)
    base = settings or QuerySettings()
    grid = [replace(base, rho=r, epsilon=e) for r in rhos for e in epsilons]
    if not grid:
        raise ValueError("rhos and epsilons must each hold a value")
    batches = pair_batches(
        generator,
        catalog,
        seed_pairs(64, targets=30_000, references=40_000) if pairs is None else pairs,
        truncation=truncation,
        segmenter=segmenter,
        batch_size=batch_size,
        description=f"tuning {part}",
        progress=progress,
    )
    numbers = _sweep(batches, part, [s.query(catalog, part) for s in grid])
    trials = tuple(Trial(s, *n) for s, n in zip(grid, numbers, strict=True))
    return Tuning(part, leak, _best(trials, part, leak), trials)


def _best(trials: Sequence[Trial], part: str, leak: float) -> Trial:
    fitting = [t for t in trials if t.leak[0] <= leak]
    if not fitting:
        least = min(t.leak[0] for t in trials)
        raise ValueError(
            f"leak: no setting of the grid keeps {part!r} to {leak:g}, the least is {least:.3g}; allow that "
            "much, or add a smaller epsilon or a larger rho"
        )
    # (where the budget alone decides, prices choose the same channels: then the highest, which says most)
    return max(fitting, key=lambda t: (t.effect[0], -t.leak[0], t.settings.rho))


def _sweep(
    batches: Iterable[PairBatch], part: str, queries: Sequence[Tensor]
) -> list[tuple[Estimate, Estimate]]:
    """Shares of effect and leak of each query; equal queries are rendered once."""
    keys = [q.numpy().tobytes() for q in queries]
    different = dict(zip(keys, queries, strict=True))
    found: dict[bytes, list[np.ndarray]] = {key: [] for key in different}
    for batch in batches:
        here = batch.shown(part)
        if not bool(here.any()):
            continue
        with torch.inference_mode():
            before, wanted = batch.labs
            most = split_change((wanted - before).square().sum(dim=1)[here], batch.masks[part][here])
            for key, q in different.items():
                changed = (to_lab(batch.transferred(q)) - before).square().sum(dim=1)
                own = split_change(changed[here], batch.masks[part][here])
                found[key].append(np.stack([*own[:2], *most[:2]]))
    if not all(found.values()):
        raise ValueError(f"pairs: none shows {part!r} and something else; give others")
    joined = {key: np.concatenate(pieces, axis=1) for key, pieces in found.items()}
    shares = {key: (estimate(n[0], n[2]), estimate(n[1], n[3])) for key, n in joined.items()}
    return [shares[key] for key in keys]


# -- beside a catalog ----------------------------------------------------------------------------------------


def save_settings(
    folder: str | os.PathLike[str], catalog: Catalog, tunings: Iterable[Tuning], *, note: str = ""
) -> Path:
    """Write ``settings.json`` into a catalog's folder: the tuned settings of its parts, and their shares.

    There is a table for each kind of contributions; what the file holds of the other kind stays, if it was
    made for the same generator.
    """
    path, kept = Path(folder) / "settings.json", {}
    if path.is_file():
        before = read_json(path, expect=_FORMAT)
        if before.get("generator") == asdict(catalog.generator):
            kept = {name: before[name] for name in _TABLES.values() if name in before}
    made: dict[str, dict[str, object]] = {}
    for t in tunings:
        made.setdefault(_TABLES[t.settings.contributions or catalog.measure], {})[t.part] = {
            "settings": _stated(t.settings),
            "effect": round(t.best.effect[0], 4),
            "leak": round(t.best.leak[0], 4),
            "limit": t.limit,
        }
    content = {"generator": asdict(catalog.generator), "note": note, "parts": {}, **kept, **made}
    return write_json(path, {"format": _FORMAT, "version": 1, **content})


def _stated(settings: QuerySettings) -> dict[str, object]:
    """What was tuned, and what is not as usual."""
    usual = asdict(QuerySettings())
    stated = {k: v for k, v in asdict(settings).items() if k in ("rho", "epsilon") or v != usual[k]}
    stated.pop("contributions", None)  # (the table that it stands in says that)
    return stated


def load_settings(
    name_or_folder: str | os.PathLike[str],
    catalog: Catalog,
    generator: Generator | None = None,
    *,
    contributions: Literal["energy", "effect"] | None = None,
) -> dict[str, QuerySettings]:
    """The tuned settings that lie beside a catalog, by part; none where there is no such file.

    What was tuned for contributions of one kind does not fit the other, so that each has its own.

    Parameters
    ----------
    name_or_folder : what `Catalog.load` took
    catalog : what it gave
    generator : if given, settings that lie beside its file stand in where the catalog has none: they were
        tuned for the parts of the same names
    contributions : the kind that channels are chosen by; None: the catalog's own

    Raises
    ------
    ArtifactError
        If the file is damaged or was made for another generator.
    """
    kind = check_choice("contributions", contributions or catalog.measure, tuple(_TABLES))
    folder = locate(name_or_folder)
    folders = [folder if folder.is_dir() else folder.parent]
    if generator is not None and generator.source is not None:
        folders.append(generator.source.parent)
    path = next((p for f in folders if (p := f / "settings.json").is_file()), None)
    if path is None:
        return {}
    meta = read_json(path, expect=_FORMAT)
    try:
        fingerprint = meta["generator"]["fingerprint"]
        table = meta["parts"] if kind == "energy" else meta.get(_TABLES[kind], {})
        found = {n: QuerySettings(**e["settings"], contributions=kind) for n, e in table.items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path} holds no whole settings: {error!r}") from error
    if fingerprint != catalog.generator.fingerprint:
        raise ArtifactError(f"{path} was made for another generator than {catalog.generator}; tune anew")
    return {name: settings for name, settings in found.items() if name in catalog.parts}


def part_settings(
    catalog: Catalog, tuned: Mapping[str, QuerySettings], **given: float | str
) -> dict[str, QuerySettings]:
    """Settings of every part: tuned ones, or the usual ones, with what is given in their place.

    Parameters
    ----------
    tuned : of some parts, from `load_settings`
    given : fields of `QuerySettings`; a negative number leaves the part's own
    """
    chosen: Any = {k: v for k, v in given.items() if isinstance(v, str) or v >= 0}
    return {p: replace(tuned.get(p, QuerySettings()), **chosen) for p in catalog.parts}
