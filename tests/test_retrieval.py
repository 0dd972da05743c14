"""Pictures are ranked by one of their parts, from a bank that is made once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import tamper
from torch.nn.functional import max_pool2d

import lefs
from lefs.generator import Generator
from lefs.images import to_lab
from lefs.retrieval import PartBank, retrieve

SEEDS = range(40)


@pytest.fixture(scope="module")
def bank(portraits: Generator, portraits_catalog: lefs.Catalog) -> PartBank:
    return PartBank.of(portraits, portraits_catalog, SEEDS, progress=False)


def precision(found: list[lefs.retrieval.Match], relevant: set[int]) -> float:
    """Average precision of a ranking."""
    hits = np.array([match.seed in relevant for match in found])
    return float((hits.cumsum() / np.arange(1, len(hits) + 1))[hits].mean())


def test_what_is_found_agrees_with_the_truth_far_above_chance(
    portraits: Generator, portraits_catalog: lefs.Catalog, bank: PartBank
) -> None:
    segmenter = lefs.load_segmenter("portraits-64")
    with torch.no_grad():
        images = portraits.synthesize(portraits.sample(SEEDS, truncation=0.7))
        hair = (segmenter(images) == segmenter.names.index("hair"))[:, None]
        colors = (to_lab(images) * hair).sum(dim=(2, 3)) / hair.sum(dim=(2, 3))
    near = torch.cdist(colors, colors) < 15
    scores, chance = [], []
    for seed in SEEDS:
        relevant = {i for i in near[seed].nonzero()[:, 0].tolist() if i != seed}
        if relevant:
            scores.append(
                precision(retrieve(portraits, portraits_catalog, seed, "hair", bank=bank), relevant)
            )
            chance.append(len(relevant) / (len(SEEDS) - 1))
    assert len(scores) > 20
    assert np.mean(scores) > 2 * np.mean(chance)


def test_the_order_is_that_of_the_scores_and_the_target_is_left_out(
    portraits: Generator, portraits_catalog: lefs.Catalog, bank: PartBank
) -> None:
    near = retrieve(portraits, portraits_catalog, 3, "hair", bank=bank)
    far = retrieve(portraits, portraits_catalog, 3, "hair", bank=bank, by="different")
    assert near == far[::-1]
    assert [m.score for m in near] == sorted(m.score for m in near)
    assert retrieve(portraits, portraits_catalog, np.int64(3), "hair", bank=bank) == near
    twice = retrieve(portraits, portraits_catalog, 3, "hair", bank=[3, 4, 3], progress=False)
    assert [m.seed for m in twice] == [4]
    fitted = lefs.QuerySettings(method="fit")
    found = retrieve(portraits, portraits_catalog, 3, "hair", bank=[4], by="cleanest", settings=fitted)
    assert 0 < found[0].score <= 1
    assert {m.seed for m in near} == set(SEEDS) - {3}
    # the same picture by its styles is a stranger, found at once
    styles = portraits.sample([3], truncation=0.7)
    first = retrieve(portraits, portraits_catalog, styles, "hair", bank=bank)[0]
    assert first.seed == 3
    assert first.score < 1e-2 * near[0].score


@pytest.mark.parametrize("settings", [None, lefs.QuerySettings(rho=0.0, epsilon=20)])
def test_the_cleanest_are_those_whose_edits_are_seen_inside(
    portraits: Generator, portraits_catalog: lefs.Catalog, settings: lefs.QuerySettings | None
) -> None:
    options: dict[str, Any] = {"bank": SEEDS[:12], "by": "cleanest", "progress": False}
    found = retrieve(portraits, portraits_catalog, 3, "hair", settings=settings, **options)
    assert [m.score for m in found] == sorted((m.score for m in found), reverse=True)
    # the same by whole edits, one by one
    chosen = settings or lefs.QuerySettings(where="part")
    editor = lefs.Editor(portraits, portraits_catalog)
    for match in found[::5]:
        edit = editor.render(lefs.Recipe(3, (lefs.Change("hair", match.seed, settings=chosen),)), upto=64)
        sides = portraits.sample([3, match.seed], truncation=0.7)
        mask = portraits_catalog.part_masks(portraits, sides, size=64)["hair"].any(dim=0)
        inside = max_pool2d(mask[None].float(), 3, stride=1, padding=1)[0] > 0
        seen = edit.change > 5
        assert match.score == pytest.approx(float(seen[inside].sum() / seen.sum()), abs=0.01)


def test_a_bank_does_not_depend_on_its_batches_and_comes_back(
    portraits: Generator, portraits_catalog: lefs.Catalog, bank: PartBank, tmp_path: Path
) -> None:
    some = PartBank.of(portraits, portraits_catalog, range(5), batch_size=2, progress=False)
    torch.testing.assert_close(some.vectors, bank.vectors[:5], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(some.areas, bank.areas[:5], rtol=0, atol=2e-3)
    assert torch.allclose(some.areas.sum(dim=1), torch.ones(5), atol=1e-5)
    again = PartBank.load(some.save(tmp_path))
    assert again.vectors.equal(some.vectors)
    assert again.parts == some.parts
    found = (retrieve(portraits, portraits_catalog, 9, "eyes", bank=b) for b in (some, again))
    assert next(found) == next(found)


@pytest.mark.parametrize(
    ("seeds", "by"),
    [([3], "similar"), ([4], "similar"), ([4, 4], "different"), ([3, 3], "cleanest"), (3, "cleanest")],
)
def test_a_bank_of_one_picture_cannot_tell(
    portraits: Generator, portraits_catalog: lefs.Catalog, seeds: Any, by: Any
) -> None:
    with pytest.raises(ValueError, match=r"bank must hold other pictures than the target.*got seeds \([34]"):
        retrieve(portraits, portraits_catalog, 3, "hair", bank=seeds, by=by, progress=False)


def test_what_does_not_belong_together_is_told(
    portraits: Generator, portraits_catalog: lefs.Catalog, bank: PartBank, lively: Generator, tmp_path: Path
) -> None:
    def ask(catalog: lefs.Catalog, part: str = "hair", **options: Any) -> None:
        retrieve(portraits, catalog, 1, part, bank=bank, **options)

    with pytest.raises(lefs.ArtifactError, match="bank was made with another catalog"):
        ask(portraits_catalog.merge(["hair", "eyes"], "hair"))
    with pytest.raises(lefs.ArtifactError, match="belongs to generator"):
        retrieve(lively, portraits_catalog, 1, "hair", bank=bank)
    with pytest.raises(ValueError, match="part: no part named 'har'; did you mean 'hair'"):
        ask(portraits_catalog, "har")
    with pytest.raises(ValueError, match="by must be one of"):
        ask(portraits_catalog, by="nearest")
    folder = bank.save(tmp_path)
    whole = (folder / "bank.safetensors").read_bytes()
    for change in ({"seeds": [1]}, {"seeds": "none"}, {"parts": []}, {"truncation": None}):
        (folder / "bank.safetensors").write_bytes(whole)
        tamper(folder / "bank.safetensors", **change)
        with pytest.raises(lefs.ArtifactError, match="not a whole bank"):
            PartBank.load(folder)
