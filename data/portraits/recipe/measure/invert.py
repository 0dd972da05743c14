"""
Invert portraits that the generator never saw, and edit what came of it.

    python -m data.portraits.recipe.measure.invert
    python -m data.portraits.recipe.measure.invert --pictures 64 --spaces w+ --features

The pictures are drawn from held-out seeds. For each space: how near its images come (PSNR, and the relative
squared distance in the features of the judge, which no fit has seen), what that takes, and how much of a part
arrives when the result is edited, beside targets that were generated: in place, and by channels everywhere.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

import lefs
from lefs.editing import Change, Recipe
from lefs.evaluation import measure
from lefs.evaluation.masks import shows, union
from lefs.fitting import Likeness
from lefs.sources import Source
from lefs.tables import Table

from .. import MODEL
from ..draw.dataset import HELD_OUT_SEED, render
from .subject import Subject

FIRST = HELD_OUT_SEED + 200_000  # of the pictures; no other measurement draws these
TARGETS, REFERENCES = 10_000, 20_000  # generated ones beside them
PARTS = ("hair", "skin", "eyes", "brows", "nose", "mouth", "clothes")
WAYS = {"in place": lefs.QuerySettings(where="part"), "channels": lefs.QuerySettings()}
COLUMNS = ("target", "pictures", "PSNR, dB", "feature distance", "processor s", "arrival", "visible outside")


@dataclass
class Row:
    """What is known of one kind of targets."""

    name: str
    pictures: int = 0
    fits: list[tuple[float, float, float]] = field(default_factory=list)
    edits: dict[str, list[dict[str, np.ndarray]]] = field(default_factory=dict)

    def cells(self, way: str) -> tuple[str | float, ...]:
        """A line of the table: means over the pictures; arrival is the ratio of sums."""
        edits = self.edits[way]
        missing, distance, visible = (
            np.concatenate([e[name] for e in edits]) for name in ("missing", "distance", "visible")
        )
        arrival, seen = 1 - missing.sum() / distance.sum(), visible.mean()
        found = np.mean(self.fits, axis=0) if self.fits else [np.nan] * 3
        fit = [
            f"{v:{form}}" if self.fits else "–" for v, form in zip(found, (".1f", ".3f", ".0f"), strict=True)
        ]
        return f"{self.name}, {way}", f"{self.pictures}", *fit, f"{arrival:.2f}", f"{100 * seen:.1f} %"


class Bench:
    """A generator, its catalog and judges; edits of any target are measured in one way."""

    def __init__(self, subject: Subject):
        self.subject, self.generator = subject, subject.model
        self.editor = lefs.Editor(subject.model, subject.catalog)
        self.judge = lefs.load_segmenter(MODEL / "judge.safetensors")

    def fit(self, picture: Tensor, **options: Any) -> tuple[lefs.Inversion, tuple[float, float, float]]:
        """An inversion; its PSNR, distance in the judge's features, and processor time."""
        start = time.process_time()
        found = lefs.invert(self.generator, picture, progress=False, **options)
        seconds = time.process_time() - start
        seen = Likeness(found.picture, found.kept, self.judge, 1.0, device=found.picture.device)
        pixels = Likeness(found.picture, found.kept, None, 0.0, device=found.picture.device)
        with torch.no_grad():
            image = found.image.clamp(-1, 1)[None]
            apart = float(seen.loss(image) - pixels.loss(image))
        return found, (found.psnr, apart, seconds)

    def edits(self, target: Source, reference: int) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        """What every way does to every part of the target that shows in one of the two."""
        for way, settings in WAYS.items():
            for part in PARTS:
                edit = self.editor.render(Recipe(target, (Change(part, reference, settings=settings),)))
                images = edit.target[None], edit.image[None], edit.references
                mask = self._mask(images[0], images[2], part)
                if bool(shows(mask)[0]):
                    yield way, measure(*images, mask)

    @torch.no_grad()
    def _mask(self, target: Tensor, reference: Tensor, part: str) -> Tensor:
        where = self.subject.segmenter.names.index(part)
        sides = [{part: self.subject.segmenter(image) == where} for image in (target, reference)]
        return union(*sides)[part]


def rows(bench: Bench, pictures: int, spaces: list[str], options: dict[str, Any]) -> Iterator[list[Row]]:
    """The rows so far, after each picture."""
    found = {name: Row(name) for name in ("generated", *spaces)}
    for i in range(pictures):
        image, reference = render([FIRST + i], bench.generator.size[0])[0][0], REFERENCES + i
        targets: dict[str, Source] = {"generated": TARGETS + i}
        for space in spaces:
            targets[space], fit = bench.fit(image, space=space, **options)
            found[space].fits.append(fit)
        for name, target in targets.items():
            found[name].pictures += 1
            for way, numbers in bench.edits(target, reference):
                found[name].edits.setdefault(way, []).append(numbers)
        yield list(found.values())


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Invert portraits that the generator never saw.")
    parser.add_argument("--model", default="portraits", help="an embedded generator, or a folder")
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--spaces", nargs="+", default=["w", "w+", "styles"])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--prior", type=float, default=0.002)
    parser.add_argument("--features", action="store_true", help="fit the segmenter's features, too")
    chosen = parser.parse_args(arguments)
    subject = Subject.load(chosen.model)
    options = {
        "steps": chosen.steps,
        "prior": chosen.prior,
        "loss": subject.segmenter if chosen.features else None,
    }
    for found in rows(Bench(subject), chosen.pictures, chosen.spaces, options):
        print(Table(COLUMNS, [row.cells(way) for way in WAYS for row in found]), flush=True)


if __name__ == "__main__":
    main()
