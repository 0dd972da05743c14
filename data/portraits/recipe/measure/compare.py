"""
Compare embedded generators in one Markdown table: size, quality, parts, locality of edits, speed.

    python -m data.portraits.recipe.measure.compare
    python -m data.portraits.recipe.measure.compare --models portraits portraits-64 --pairs 64

Each is looked at with its own segmenter and catalog, and edited with its own tuned settings. Distances to
rendered and to training portraits are read from where judge.py wrote them; a Fréchet distance
is given in multiples of its floor, since the features of different judges do not compare.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from lefs.editing import Change, Recipe
from lefs.editor import Editor
from lefs.evaluation import Locality, locality, seed_pairs
from lefs.tables import Table

from .subject import Subject

MISSING = "–"


# ----------------------------------------------------------------------------------------------- rows


def size_rows(subjects: Sequence[Subject]) -> Iterator[list[str]]:
    """Resolution, parameters, and what the generator takes on disk."""
    yield ["resolution", *("{} × {}".format(*s.model.size) for s in subjects)]
    counts = [sum(p.numel() for p in s.model.parameters()) for s in subjects]
    yield ["parameters, millions", *(f"{count / 1e6:.2f}" for count in counts)]
    files = [s.folder / "generator.safetensors" for s in subjects]
    yield ["generator.safetensors, MB", *(f"{file.stat().st_size / 1e6:.1f}" for file in files)]


def quality_rows(subjects: Sequence[Subject]) -> Iterator[list[str]]:
    """Distances over their floors, precision and recall beside theirs, duplicates."""
    found = [s.quality for s in subjects]
    yield ["Fréchet distance ÷ its floor", *(_over_floor(q) for q in found)]
    for name in ("precision", "recall"):
        yield [f"{name} (floor)", *(_beside_floor(q, name) for q in found)]
    yield ["nearest training portrait ÷ held-out's, features, pixels", *(_ratios(q) for q in found)]


def _over_floor(quality: dict[str, Any]) -> str:
    if "frechet_to_rendered" not in quality:
        return MISSING
    found, floor = (quality[f"frechet_{name}"] for name in ("to_rendered", "between_rendered_halves"))
    return f"{found / floor:.1f} ({found:.4f} ÷ {floor:.4f})"


def _beside_floor(quality: dict[str, Any], name: str) -> str:
    if name not in quality:
        return MISSING
    return f"{quality[name]:.3f} ({quality[f'{name}_between_rendered_halves']:.3f})"


def _ratios(quality: dict[str, Any]) -> str:
    found = quality.get("duplicates")
    return (
        ", ".join(f"{found[k]['ratio_of_medians']:.2f}" for k in ("features", "pixels")) if found else MISSING
    )


def part_rows(subjects: Sequence[Subject], parts: Sequence[str]) -> Iterator[list[str]]:
    """Recall and purity of each part."""
    found = [s.agreement()["parts"] for s in subjects]
    for part in parts:
        yield [f"{part}: recall / purity", *(_agreement_cell(f.get(part)) for f in found)]


def _agreement_cell(part: dict[str, Any] | None) -> str:
    return f"{part['recall']:.2f} / {part['purity']:.2f}" if part and part["clusters"] else MISSING


def edit_rows(subjects: Sequence[Subject], parts: Sequence[str], pairs: int) -> Iterator[list[str]]:
    """Effect and leak of the edit of each part over the same number of held-out pairs."""
    found = [edits(s, parts, pairs) for s in subjects]
    for part in parts:
        if any(part in f for f in found):
            yield [f"{part}: effect / leak (÷ exchanging all)", *(_edit_cell(f.get(part)) for f in found)]


def edits(subject: Subject, parts: Sequence[str], pairs: int) -> dict[str, tuple[Locality, Locality]]:
    """The edit of each part, and the exchange of everything, on the same pairs; none of the background."""
    names = [part for part in parts if part in subject.catalog.parts and part != "background"]
    measured = locality(
        subject.model, subject.catalog, seed_pairs(pairs), parts=names, settings=subject.settings,
        segmenter=subject.segmenter,
    )  # fmt: skip
    found = {(m.part, m.method): m for m in measured}
    return {
        part: (found[part, subject.settings[part].method], found[part, "global"])
        for part in names
        if (part, "global") in found
    }


def _edit_cell(found: tuple[Locality, Locality] | None) -> str:
    if found is None:
        return MISSING
    edit, whole = found
    shares = (float(getattr(edit, x).mean() / getattr(whole, x).mean()) for x in ("effect", "leak"))
    return f"{edit.effect.mean():.1f} / {edit.leak.mean():.2f} ({' / '.join(f'{s:.1%}' for s in shares)})"


def speed_rows(subjects: Sequence[Subject], *, repeats: int = 30) -> Iterator[list[str]]:
    """Time in the model of one move of the slider of strength, the models in turns, the best of all moves."""
    moves = [slider(s) for s in subjects]
    best = [float("inf")] * len(moves)
    for repeat in range(repeats):
        for i, move in enumerate(moves):
            start = time.perf_counter()
            move(0.2 + 0.8 * repeat / repeats)
            best[i] = min(best[i], time.perf_counter() - start)
    threads = torch.get_num_threads()
    unit = f"model time of a slider move, ms ({threads} thread{'s' if threads > 1 else ''})"
    yield [unit, *(f"{1000 * seconds:.1f}" for seconds in best)]


def slider(subject: Subject) -> Any:
    """What turns the strength of an edit of hair, from its cache, as the studio does."""
    editor, part = Editor(subject.model, subject.catalog), "hair"
    part = part if part in subject.catalog.parts else next(iter(subject.catalog.parts))
    change = Change(part, 1, settings=subject.settings[part])

    def move(strength: float) -> None:
        editor.render(Recipe(0, (replace(change, strength=strength),)))

    move(0.1)
    return move


def compare(subjects: Sequence[Subject], *, pairs: int) -> Table:
    """The whole table, a column for each generator."""
    parts = list(dict.fromkeys(name for s in subjects for name in s.segmenter.names))
    rows = [
        *size_rows(subjects),
        *speed_rows(subjects),
        *quality_rows(subjects),
        *part_rows(subjects, parts),
        *edit_rows(subjects, parts, pairs),
    ]
    return Table(("", *(s.name for s in subjects)), rows)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Compare embedded generators in one Markdown table.")
    parser.add_argument("--models", nargs="+", default=["portraits", "portraits-64"], help="names or folders")
    parser.add_argument("--pairs", type=int, default=64, help="held-out pairs to measure edits on")
    options = parser.parse_args(arguments)
    print(compare([Subject.load(name) for name in options.models], pairs=options.pairs))


if __name__ == "__main__":
    main()
