"""A generator that is measured, with all that lies beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lefs
from lefs.evaluation import load_settings, part_settings
from lefs.query import QuerySettings
from lefs.records import load_record, locate, read_json
from lefs.segmenters import PartSegmenter

from .label import FORMAT, agreement_of

IMAGES = 256


@dataclass(frozen=True, eq=False)
class Subject:
    """A generator with what belongs to it."""

    name: str
    folder: Path
    model: lefs.Generator
    catalog: lefs.Catalog
    segmenter: PartSegmenter

    @classmethod
    def load(cls, name: str) -> Subject:
        """By the name of an embedded model, or a folder."""
        folder = locate(name)
        parts = lefs.load(folder), lefs.Catalog.load(folder), lefs.load_segmenter(folder)
        return cls(folder.name, folder, *parts)

    @property
    def quality(self) -> dict[str, Any]:
        """What judge.py measured; empty where it has not."""
        content = load_record(self.folder, expect="lefs-generator", tensors=False).content
        return dict(content.get("quality", {}))

    @property
    def settings(self) -> dict[str, QuerySettings]:
        """Tuned for each part, the usual ones for parts that were not."""
        return part_settings(self.catalog, load_settings(self.folder, self.catalog))

    def agreement(self, images: int = IMAGES) -> dict[str, Any]:
        """Of parts with the truth: as stored beside this very catalog, else measured."""
        path = self.folder / "agreement.json"
        if path.is_file() and self.is_of_catalog(stored := read_json(path, expect=FORMAT)):
            return stored
        return agreement_of(self.model, self.catalog, self.segmenter, images)

    def is_of_catalog(self, stored: dict[str, Any]) -> bool:
        """Whether an agreement was measured on this catalog, as far as can be told."""
        counts = {name: len(clusters) for name, clusters in self.catalog.parts.items()}
        return (
            stored["generator"]["fingerprint"] == self.catalog.generator.fingerprint
            and (stored["layer"], stored["clusters"]) == (self.catalog.layer, self.catalog.num_clusters)
            and all(part["clusters"] == counts.get(name, 0) for name, part in stored["parts"].items())
        )
