"""
Measure which pictures are found by one of their parts, against the truth.

    python -m data.portraits.recipe.measure.retrieve
    python -m data.portraits.recipe.measure.retrieve --cleanest --images 64

Relevant to a picture with a hat (glasses, a beard) are others with one; to hair, those whose mean colour in
the true mask is within 12 ΔE. True is what the judge sees, a segmenter that neither catalog nor retrieval has
seen. Mean average precision over all pictures as queries of `lefs.retrieve`, beside what chance gives, the
likeness of whole pictures (16 x 16 pixels, the judge's features), the styles weighted by contributions as in
Retrieve in Style, and the colour and size of the part in per-image masks, those of the segmenter.

With --cleanest: what edits in place from the 8 cleanest pictures change visibly outside the part, in the
segmenter's masks, and how far they arrive, beside the same from all pictures; of 8 targets.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, normalize, one_hot
from tqdm.auto import tqdm

import lefs
from lefs.evaluation import estimate, measure, pair_batches
from lefs.evaluation.methods import edited
from lefs.evaluation.realism import pooled
from lefs.images import to_lab
from lefs.segmenters import PartSegmenter
from lefs.tables import Table

from .. import MODEL
from .subject import Subject

PARTS = ("hair", "glasses", "hat", "beard")
NEAR = 12.0  # ΔE of hair that is called alike
VISIBLE = 12 / 64**2  # share of the picture
BATCH = 8
EDITED = ("hair", "eyes", "nose", "mouth", "clothes")
TARGETS, FIRST = 8, 8


def average_precision(order: list[int], relevant: set[int]) -> float:
    """Of a ranking: the mean, over what is relevant, of the precision down to it (Buckley, Voorhees 2000)."""
    hits = np.array([i in relevant for i in order])
    return float((hits.cumsum() / np.arange(1, len(hits) + 1))[hits].mean())


@torch.no_grad()
def looked_at(subject: Subject, judge: PartSegmenter, count: int, truncation: float) -> dict[str, Tensor]:
    """Whole pictures and the colours and sizes of their parts, in the judge's and the segmenter's masks."""
    found: dict[str, list[Tensor]] = {}

    def keep(**values: Tensor) -> None:
        for name, value in values.items():
            found.setdefault(name, []).append(value)

    for start in tqdm(range(0, count, BATCH), desc="looking", unit="batch"):
        styles = subject.model.sample(range(start, min(start + BATCH, count)), truncation=truncation)
        images = subject.model.synthesize(styles)
        keep(styles=styles, pixels=adaptive_avg_pool2d(images, 16).flatten(1))
        keep(features=pooled(judge.features(images)))
        for name, segmenter in (("truth", judge), ("masks", subject.segmenter)):
            masks = one_hot(segmenter(images), len(segmenter.names)).movedim(-1, 1).float()
            area = masks.mean(dim=(2, 3))
            colors = (
                torch.einsum("nchw,nphw->npc", to_lab(images), masks)
                / masks.sum((2, 3)).clamp_min(1)[..., None]
            )
            keep(**{f"{name}_area": area, f"{name}_colors": colors})
    return {name: torch.cat(rows) for name, rows in found.items()}


def truth(seen: dict[str, Tensor], part: str, where: int) -> list[set[int]]:
    """The pictures that are relevant to each; none where the part does not show."""
    there = seen["truth_area"][:, where] >= VISIBLE
    alike = there[:, None] & there[None]
    if part == "hair":
        colors = seen["truth_colors"][:, where]
        alike &= torch.cdist(colors, colors) < NEAR
    return [set(row.nonzero()[:, 0].tolist()) - {i} for i, row in enumerate(alike)]


def rivals(subject: Subject, seen: dict[str, Tensor], part: str) -> Iterator[tuple[str, Tensor]]:
    """Names and distances (N, N) of what retrieval is compared with."""
    spread = seen["features"].std(dim=0).clamp_min(1e-6)
    for name, rows in (("pixels", seen["pixels"]), ("features", seen["features"] / spread)):
        yield f"whole pictures, {name}", torch.cdist(rows, rows)
    weighted = normalize(seen["styles"] * subject.catalog.contribution(part).float(), dim=1)
    yield "styles × contributions", -weighted @ weighted.T
    where = subject.segmenter.names.index(part)
    area = seen["masks_area"][:, where].sqrt()[:, None]
    colors = seen["masks_colors"][:, where] * (area > 0)
    mask = torch.cat([colors / colors.std(), area / area.std().clamp_min(1e-6)], dim=1)
    yield "masks' colour and size", torch.cdist(mask, mask)


def scores(
    subject: Subject, bank: lefs.PartBank, seen: dict[str, Tensor], part: str, where: int
) -> dict[str, float]:
    """Mean average precision of each way to find a part."""
    relevant = truth(seen, part, where)
    queries = [i for i, others in enumerate(relevant) if others]
    found = {"chance": float(np.mean([len(relevant[i]) / (len(relevant) - 1) for i in queries]))}
    for name, distances in rivals(subject, seen, part):
        orders = (distances[i].argsort(stable=True).tolist() for i in queries)
        precisions = [
            average_precision([j for j in order if j != i], relevant[i])
            for i, order in zip(queries, orders, strict=True)
        ]
        found[name] = float(np.mean(precisions))
    options: dict[str, Any] = {"bank": bank, "truncation": bank.truncation}
    ranked = (
        [m.seed for m in lefs.retrieve(subject.model, subject.catalog, i, part, **options)] for i in queries
    )
    pairs = zip(queries, ranked, strict=True)
    return {**found, "lefs.retrieve": float(np.mean([average_precision(o, relevant[i]) for i, o in pairs]))}


def cleanest(subject: Subject, bank: lefs.PartBank, part: str) -> tuple[str, ...]:
    """A row: visible outside and arrival from the cleanest pictures, and from all of the bank."""
    model, catalog, segmenter = subject.model, subject.catalog, subject.segmenter
    options: dict[str, Any] = {"bank": bank, "truncation": bank.truncation, "progress": False}
    seen: dict[str, list[dict[str, np.ndarray]]] = {"cleanest": [], "all": []}
    for seed in range(10_000, 10_000 + TARGETS):
        ranked = lefs.retrieve(model, catalog, seed, part, by="cleanest", **options)
        pairs = [(seed, match.seed) for match in ranked]
        batches = pair_batches(model, catalog, pairs, segmenter=segmenter, batch_size=FIRST, progress=False)
        for i, batch in enumerate(batches):
            at = batch.shown(part)
            if bool(at.any()):
                images = edited(batch, catalog, part, lefs.QuerySettings(where="part"))
                own, theirs, mask = batch.targets[at], batch.references[at], batch.masks[part][at]
                found = measure(own, images[at], theirs, mask)
                seen["all"].append(found)
                if i == 0:
                    seen["cleanest"].append(found)
    cells = []
    for rows in seen.values():
        every = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
        arrival = estimate(every["distance"] - every["missing"], every["distance"])
        cells += [f"{every['visible'].mean():.2%}", f"{arrival.value:.2f}"]
    return (part, *cells)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Measure what is found by its parts against the truth.")
    parser.add_argument("--model", default="portraits", help="an embedded generator, or a folder")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--truncation", type=float, default=0.7)
    parser.add_argument("--cleanest", action="store_true", help="what edits from the cleanest change")
    chosen = parser.parse_args(arguments)
    subject, judge = Subject.load(chosen.model), lefs.load_segmenter(MODEL / "judge.safetensors")
    bank = lefs.PartBank.of(
        subject.model, subject.catalog, range(chosen.images), truncation=chosen.truncation
    )
    if chosen.cleanest:
        columns = ["cleanest: visible outside", "arrival", "all: visible outside", "arrival"]
        print(Table(("part", *columns), [cleanest(subject, bank, part) for part in EDITED]))
        return
    seen = looked_at(subject, judge, chosen.images, chosen.truncation)
    rows = {part: scores(subject, bank, seen, part, judge.names.index(part)) for part in PARTS}
    columns = list(rows[PARTS[0]])
    table = [(part, *(f"{found[name]:.3f}" for name in columns)) for part, found in rows.items()]
    print(Table(("part", *columns), table))


if __name__ == "__main__":
    main()
