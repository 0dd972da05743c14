"""Queries fitted to a pair: they lower what they are fitted to, and an editor keeps them."""

from __future__ import annotations

import pytest
import torch

from lefs import Catalog, Change, Editor, QuerySettings, Recipe, StyleGAN2, dissect, transfer
from lefs.fitting import fit_query
from lefs.images import to_lab
from lefs.positions import grown


@pytest.fixture(scope="module")
def catalog(lively: StyleGAN2) -> Catalog:
    return dissect(lively, range(16), clusters=4, layer="b16.conv0", progress=False)


def test_a_fitted_query_brings_the_part_nearer_and_leaves_more_alone(
    lively: StyleGAN2, catalog: Catalog
) -> None:
    target, other = lively.sample([1, 2]), lively.sample([3, 4])
    part = max(catalog.parts, key=lambda p: int(catalog.sizes[list(catalog.clusters(p))].sum()))
    before, wanted = (to_lab(lively.synthesize(s)) for s in (target, other))
    own, theirs = (catalog.part_masks(lively, s)[part] for s in (target, other))
    inside = grown(own | theirs, 1)

    def loss(q: torch.Tensor) -> float:
        edit = to_lab(lively.synthesize(transfer(target, other, q)))
        most = [((wanted - before).square() * m).sum((1, 2, 3)).clamp_min(1) for m in (inside, 1 - inside)]
        short = ((edit - wanted).square() * inside).sum((1, 2, 3)) / most[0]
        leak = ((edit - before).square() * (1 - inside)).sum((1, 2, 3)) / most[1]
        return float((short + 4 * leak).sum())

    q = fit_query(lively, catalog, part, target, other, steps=40, progress=False)
    assert q.shape == target.shape
    assert float(q.min()) >= 0
    assert float(q.max()) <= 1
    uniform = [loss(torch.full_like(target, x)) for x in (0.0, 0.1, 0.3, 1.0)]
    assert loss(q) < 0.9 * min(uniform)


def test_an_editor_fits_a_pair_once(
    lively: StyleGAN2, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def counted(*given: object, **options: object) -> torch.Tensor:
        calls.append(given[2])
        return fit_query(*given, **options, progress=False)  # type: ignore[arg-type]

    monkeypatch.setattr("lefs.query.fit_query", counted)
    editor, part = Editor(lively, catalog), next(iter(catalog.parts))
    for strength in (1.0, 0.5):
        edit = editor.render(Recipe(1, (Change(part, 2, strength, QuerySettings("fit")),), truncation=1.0))
    assert calls == [part]
    expected = transfer(lively.sample([1]), lively.sample([2]), edit.queries, strength=0.5)
    torch.testing.assert_close(edit.styles, expected)


def test_the_catalog_alone_cannot_fit(catalog: Catalog) -> None:
    with pytest.raises(ValueError, match="needs the generator"):
        QuerySettings("fit").query(catalog, next(iter(catalog.parts)))


def test_what_cannot_be_fitted_is_named(lively: StyleGAN2, catalog: Catalog) -> None:
    styles, part = lively.sample([1]), next(iter(catalog.parts))
    with pytest.raises(ValueError, match="no part named 'wing'"):
        fit_query(lively, catalog, "wing", styles, styles, progress=False)
    with pytest.raises(ValueError, match="reference_styles must have shape"):
        fit_query(lively, catalog, part, styles, styles[:, :3], progress=False)
    with pytest.raises(TypeError, match="target_styles must be a Tensor"):
        fit_query(lively, catalog, part, styles.numpy(), styles, progress=False)  # type: ignore[arg-type]


def test_lab_has_gradients_down_to_black() -> None:
    images = torch.tensor([-1.0, -0.99, 0.0, 1.0]).expand(3, 4)[:, :, None].clone().requires_grad_(True)
    to_lab(images).sum().backward()
    assert images.grad is not None
    assert bool(images.grad.isfinite().all())
