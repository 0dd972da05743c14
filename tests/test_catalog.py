"""The catalog: laws of naming, masks, queries by layer, files, and whose it is."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import made_up_catalog, random_network, tamper
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import lefs
from lefs import ArtifactError, Catalog, StyleGAN2, sequential_query, simultaneous_query
from lefs.factorization import assign
from lefs.query import QuerySettings
from lefs.records import load_record, load_tensors, save_record
from lefs.stylespace import StyleLayer, ranges

NAMES = ["hair", "eyes", "hair", "skin", "mouth"]


def shares(width: int, *, clusters: int = 5, seed: int = 0) -> Tensor:
    random = (
        torch.rand(clusters, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) ** 3
    )
    return random / random.sum(dim=0)


@pytest.fixture
def catalog(lively: StyleGAN2) -> Catalog:
    return made_up_catalog(shares(lively.num_styles), lively, NAMES)


@pytest.fixture
def styles(lively: StyleGAN2) -> Tensor:
    return lively.sample_styles(range(3))


def clusters_of(catalog: Catalog) -> list[int]:
    return sorted(k for ks in catalog.parts.values() for k in ks)


# -- naming ------------------------------------------------------------------------------------------------


def test_named_joins_clusters_of_one_name(catalog: Catalog) -> None:
    assert dict(catalog.parts) == {"hair": (0, 2), "eyes": (1,), "skin": (3,), "mouth": (4,)}
    assert catalog.cluster_names == NAMES
    assert dict(catalog.named(["a"] * 5).parts) == {"a": (0, 1, 2, 3, 4)}


def test_changes_return_new_catalogs(catalog: Catalog) -> None:
    before = dict(catalog.parts)
    changed = (
        catalog.rename("hair", "fur"),
        catalog.merge(["eyes", "mouth"], "face"),
        catalog.split("hair"),
        catalog.named("abcde"),
    )
    assert dict(catalog.parts) == before
    for other in changed:
        assert other.parts != catalog.parts
        assert clusters_of(other) == [0, 1, 2, 3, 4]
        assert torch.equal(other.contributions, catalog.contributions)
    with pytest.raises(FrozenInstanceError):
        catalog.layer = "other"  # type: ignore[misc]
    with pytest.raises(TypeError, match="does not support item assignment"):
        catalog.parts["new"] = (0,)  # type: ignore[index]


def test_rename_keeps_order_and_clusters(catalog: Catalog) -> None:
    assert dict(catalog.rename("eyes", "  left eye ").parts) == {
        "hair": (0, 2), "left eye": (1,), "skin": (3,), "mouth": (4,)
    }  # fmt: skip
    assert catalog.rename("hair", "fur").rename("fur", "hair").parts == catalog.parts
    assert catalog.rename("hair", "hair").parts == catalog.parts


def test_merge_and_split_undo_each_other(catalog: Catalog) -> None:
    face = catalog.merge(["eyes", "mouth", "eyes"], "eyes")
    assert dict(face.parts) == {"hair": (0, 2), "skin": (3,), "eyes": (1, 4)}
    torch.testing.assert_close(
        face.contribution("eyes"), catalog.contribution("eyes") + catalog.contribution("mouth")
    )
    apart = face.split("eyes")
    assert apart.parts["cluster 1"] == (1,)
    assert apart.parts["cluster 4"] == (4,)
    assert "eyes" not in apart.parts


@settings(deadline=None, max_examples=50)
@given(steps=st.lists(st.tuples(st.sampled_from("rms"), st.integers(0, 9), st.integers(0, 9)), max_size=8))
def test_parts_stay_a_partition(lively: StyleGAN2, steps: list[tuple[str, int, int]]) -> None:
    catalog = made_up_catalog(shares(lively.num_styles), lively, NAMES)
    for kind, i, j in steps:
        names = list(catalog.parts)
        one, two = names[i % len(names)], names[j % len(names)]
        if kind == "r":
            catalog = catalog.rename(one, f"{one}'")
        elif kind == "m":
            catalog = catalog.merge([one, two], one)
        else:
            catalog = catalog.split(one)
        assert clusters_of(catalog) == [0, 1, 2, 3, 4]
        total = sum(catalog.contribution(name) for name in catalog.parts)
        torch.testing.assert_close(total, torch.ones(lively.num_styles, dtype=torch.float64))


@pytest.mark.parametrize("method", ["rename", "split", "contribution"])
def test_unknown_parts_list_the_parts(catalog: Catalog, method: str) -> None:
    arguments = ("haar", "x") if method == "rename" else ("haar",)
    with pytest.raises(ValueError, match="no part named 'haar'; did you mean 'hair'") as caught:
        getattr(catalog, method)(*arguments)
    assert "hair, eyes, skin, mouth" in caught.value.args[0]


def test_refused_names(catalog: Catalog) -> None:
    for taken in ("eyes", " eyes "):
        with pytest.raises(ValueError, match=r"there is a part 'eyes' already; use merge\("):
            catalog.rename("hair", taken)
        with pytest.raises(ValueError, match="not among those merged; add it to them"):
            catalog.merge(["hair", "skin"], taken)
    for blank in ("", "  ", None, 3):
        with pytest.raises(ValueError, match="text that is not blank"):
            catalog.rename("hair", blank)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="parts is empty"):
        catalog.merge([], "x")
    with pytest.raises(ValueError, match="no part named 'nobody'"):
        catalog.merge(["hair", "nobody"], "x")
    with pytest.raises(ValueError, match="names must hold 5 names, one for each cluster; got 2"):
        catalog.named(["a", "b"])
    clash = catalog.rename("eyes", "cluster 0")
    with pytest.raises(ValueError, match="another part is called 'cluster 0'; rename that first"):
        clash.split("hair")


@pytest.mark.parametrize("parts", [{"a": (0, 1)}, {"a": (0, 1, 2, 3, 4), "b": (4,)}, {"a": range(6)}, {}])
def test_parts_must_be_a_partition(catalog: Catalog, parts: dict) -> None:
    with pytest.raises(ValueError, match=r"parts must divide the clusters 0\.\.4"):
        replace(catalog, parts=parts)


def test_a_part_has_a_cluster(catalog: Catalog) -> None:
    with pytest.raises(ValueError, match="empty part"):
        replace(catalog, parts={**catalog.parts, "nothing": ()})


@pytest.mark.parametrize("field", ["centers", "contributions", "sizes"])
def test_shapes_must_agree(catalog: Catalog, field: str) -> None:
    with pytest.raises(ValueError, match=r"must have shape|without rest"):
        replace(catalog, **{field: getattr(catalog, field)[1:]})
    with pytest.raises(ValueError, match=r"no style layer named .b64\.conv9"):
        replace(catalog, layer="b64.conv9")


@pytest.mark.parametrize("rounded", [True, False])
def test_effects_are_kept_to_the_last_bit(catalog: Catalog, tmp_path: Path, rounded: bool) -> None:
    """In half the space where float32 holds them."""
    random = torch.Generator().manual_seed(0)
    effects = torch.rand(catalog.contributions.shape, generator=random, dtype=torch.float64)
    effects = effects.float().double() if rounded else effects
    replace(catalog, effects=effects).save(tmp_path)
    again = Catalog.load(tmp_path).effects
    assert again is not None
    assert again.dtype == torch.float64
    assert again.equal(effects)
    stored = load_tensors(tmp_path / "catalog.safetensors")["effects"]
    assert stored.dtype == (torch.float32 if rounded else torch.float64)


# -- membership --------------------------------------------------------------------------------------------


def test_membership_is_the_nearest_direction(lively: StyleGAN2, catalog: Catalog, styles: Tensor) -> None:
    found = catalog.membership(lively, styles)
    maps = lively.record(styles, catalog.layer)[catalog.layer].double()
    lengths = maps.norm(dim=1, keepdim=True)
    cosine = (
        torch.stack([(maps * c[:, None, None]).sum(dim=1) for c in catalog.centers.double()], dim=1) / lengths
    )
    assert torch.equal(found.argmax(dim=1), cosine.argmax(dim=1))
    assert torch.equal(found.sum(dim=1), torch.ones(3, *found.shape[2:]))
    assert found.unique().tolist() == [0, 1]


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
def test_membership_does_not_change_with_length(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    maps = torch.randn(2, 6, 5, 5, generator=random)
    centers = torch.nn.functional.normalize(torch.randn(4, 6, generator=random), dim=1)
    factors = 2.0 ** torch.randint(-20, 20, (2, 1, 5, 5), generator=random)
    assert torch.equal(assign(maps * factors, centers), assign(maps, centers))


def test_half_precision_maps_are_compared_in_float32() -> None:
    maps = torch.randn(2, 64, 16, 16, generator=torch.Generator().manual_seed(0)).bfloat16()
    centers = torch.nn.functional.normalize(torch.randn(8, 64), dim=1)
    assert torch.equal(assign(maps, centers), assign(maps.float(), centers))


@pytest.mark.parametrize("size", [None, 4, 8, 64])
def test_part_masks_are_a_partition(
    lively: StyleGAN2, catalog: Catalog, styles: Tensor, size: int | None
) -> None:
    masks = catalog.part_masks(lively, styles, size=size)
    assert list(masks) == list(catalog.parts)
    side = size or lively.size[0]
    assert all(m.shape == (3, side, side) and m.dtype == torch.bool for m in masks.values())
    assert torch.equal(sum(m.int() for m in masks.values()), torch.ones(3, side, side, dtype=torch.int32))
    own = catalog.membership(lively, styles)
    if side == own.shape[-1]:
        assert torch.equal(masks["hair"], (own[:, 0] + own[:, 2]) > 0)


def test_another_generator_is_refused_by_both_names(catalog: Catalog, styles: Tensor) -> None:
    stranger = random_network(seed=9)
    stranger.name = "stranger"
    for call in (catalog.membership, catalog.part_masks):
        with pytest.raises(ArtifactError, match=r"'lively'.*'stranger'") as caught:
            call(stranger, styles)
        assert stranger.fingerprint[:12] in str(caught.value)
        assert catalog.generator.fingerprint[:12] in str(caught.value)
    for call in (lambda g: catalog.membership(g, styles), lambda g: lefs.dissect(g, [1], clusters=2)):
        with pytest.raises(TypeError, match=r"must be a lefs\.Generator, got 'portraits'"):
            call("portraits")
    with pytest.raises(ValueError, match="size must be at least 1"):
        catalog.part_masks(stranger, styles, size=0)


def test_the_same_generator_elsewhere_is_welcome(lively: StyleGAN2, catalog: Catalog, styles: Tensor) -> None:
    moved = copy.deepcopy(lively).double()
    assert catalog.membership(moved, styles.double()).shape[0] == 3


# -- queries -----------------------------------------------------------------------------------------------


def test_contribution_is_the_sum_over_clusters(catalog: Catalog) -> None:
    found = catalog.contribution("hair")
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, catalog.contributions[0] + catalog.contributions[2])
    assert float(catalog.named(["all"] * 5).contribution("all").max()) <= 1


@pytest.mark.parametrize("method", ["sequential", "simultaneous"])
@pytest.mark.parametrize(("coarse", "rgb"), [(1.0, 1.0), (0.5, 0.25), (0.0, 0.0)])
def test_queries_are_made_layer_by_layer(catalog: Catalog, method: str, coarse: float, rgb: float) -> None:
    options: dict[str, Any] = {"method": method, "coarse": coarse, "rgb": rgb}
    q = QuerySettings(rho=0.2, epsilon=2.0, slope=1.5, **options).query(catalog, "hair")
    assert q.dtype == torch.float32
    m = catalog.contribution("hair")
    for layer in catalog.layers:
        gate = (rgb if layer.name.endswith("torgb") else 1) * (
            coarse if layer.name in ranges(catalog.layers)["coarse"] else 1
        )
        here = m[layer.span]
        expected = (
            sequential_query(here, rho=0.2, epsilon=2.0 * gate)
            if method == "sequential"
            else simultaneous_query(here, slope=1.5 * gate)
        )
        torch.testing.assert_close(q[layer.span], expected.float())
        assert gate > 0 or not q[layer.span].any()


def test_a_closed_gate_moves_nothing_even_what_is_free(lively: StyleGAN2) -> None:
    ones = torch.zeros(2, lively.num_styles)
    ones[0] = 1
    q = QuerySettings(coarse=0, rgb=0).query(made_up_catalog(ones, lively), "cluster 0")
    for layer in lively.layers:
        closed = layer.kind == "rgb" or layer.name in ranges(lively.layers)["coarse"]
        assert torch.equal(q[layer.span], torch.full((layer.channels,), float(not closed)))


def test_global_moves_everything(catalog: Catalog) -> None:
    assert torch.equal(
        QuerySettings(method="global", coarse=0, rgb=0).query(catalog, "eyes"),
        torch.ones(len(QuerySettings().query(catalog, "eyes"))),
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"rho": -0.1}, "rho must be"),
        ({"rho": float("nan")}, "rho must be"),
        ({"epsilon": -1.0}, "epsilon must be"),
        ({"epsilon": float("nan")}, "epsilon must be"),
        ({"slope": -1.0}, "slope must be"),
        ({"coarse": 1.5}, r"coarse must be a finite number in \[0, 1\], got 1.5"),
        ({"rgb": -0.5}, "rgb must be"),
        (
            {"method": "random"},
            "method must be one of 'sequential', 'simultaneous', .*, 'fit'; got 'random'",
        ),
    ],
)
def test_bad_settings_are_refused_before_anything_is_done(options: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        QuerySettings(**options)


# -- files -------------------------------------------------------------------------------------------------


def test_round_trip(catalog: Catalog, tmp_path: Path) -> None:
    merged = catalog.merge(["eyes", "mouth"], "Zoë's face")
    found = Catalog.load(merged.save(tmp_path / "a" / "b"))
    for field in ("centers", "contributions", "sizes"):
        one, two = getattr(found, field), getattr(merged, field)
        assert one.dtype == two.dtype
        assert torch.equal(one, two)
    for field in ("layer", "layers", "parts", "generator", "sampling"):
        assert getattr(found, field) == getattr(merged, field)
    assert list(found.parts) == list(merged.parts)  # the order too
    file = tmp_path / "a" / "b" / "catalog.safetensors"
    for path in (file, file.with_suffix(".json"), file.with_suffix("")):  # (as it was and may be called)
        assert Catalog.load(path).parts == merged.parts
    again = found.save(tmp_path / "again" / "mine.safetensors")
    assert again.read_bytes() == file.read_bytes()
    assert [f.name for f in file.parent.iterdir()] == ["catalog.safetensors"]


def test_can_be_sent_to_other_processes(catalog: Catalog) -> None:
    for found in (pickle.loads(pickle.dumps(catalog)), copy.deepcopy(catalog)):
        assert found.parts == catalog.parts
        assert torch.equal(found.contributions, catalog.contributions)


def test_the_embedded_catalog_fits_its_generator(portraits_catalog: Catalog, portraits: StyleGAN2) -> None:
    portraits_catalog.check_generator(portraits)
    total = portraits_catalog.contributions.sum(dim=0)
    assert bool(((total - 1).abs() < 1e-12).logical_or(total == 0).all())


def test_every_truncation_is_refused(catalog: Catalog, tmp_path: Path) -> None:
    catalog.save(tmp_path)
    path = tmp_path / "catalog.safetensors"
    whole = path.read_bytes()
    for length in range(0, len(whole), max(1, len(whole) // 50)):
        path.write_bytes(whole[:length])
        with pytest.raises(ArtifactError):
            Catalog.load(tmp_path)
    path.write_bytes(whole)
    assert Catalog.load(tmp_path).parts == catalog.parts


def test_a_bit_that_turned_is_told(catalog: Catalog, tmp_path: Path) -> None:
    path = catalog.save(tmp_path) / "catalog.safetensors"
    whole = path.read_bytes()
    for place in (-1, -len(whole) // 3):
        turned = bytearray(whole)
        turned[place] ^= 1
        path.write_bytes(turned)
        with pytest.raises(ArtifactError, match="damaged after it was saved"):
            Catalog.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": 99}, "has version 99, this lefs reads 1"),
        ({"parts": {"a": [0]}}, "not a whole catalog"),
        ({"parts": None}, "not a whole catalog"),
        ({"layers": []}, "not a whole catalog"),
        ({"layer": "b99.conv1"}, "not a whole catalog"),
        ({"generator": {}}, "not a whole catalog"),
        ({"sampling": {"seeds": None}}, "not a whole catalog"),
        ({"format": "lefs-recipe"}, "expected format 'lefs-catalog'"),
    ],
)
def test_damaged_descriptions(catalog: Catalog, tmp_path: Path, change: dict, told: str) -> None:
    tamper(catalog.save(tmp_path) / "catalog.safetensors", **change)
    with pytest.raises(ArtifactError, match=told):
        Catalog.load(tmp_path)


@pytest.mark.parametrize(("size", "told"), [((8, 8), 8), ((8, 12), [8, 12])])
@pytest.mark.parametrize("shift", [None, slice(20, 23)])
def test_a_layer_in_a_file(size: tuple[int, int], told: Any, shift: slice | None) -> None:
    """The keys are those of the first files; what is not square says both sides."""
    layer = StyleLayer("b8.conv1", "conv", size, 3, slice(4, 7), shift, margin=2, detail=3.5)
    entry = json.loads(json.dumps(layer.to_json()))
    assert entry == {
        **{"name": "b8.conv1", "kind": "conv", "resolution": told, "channels": 3, "slice": [4, 7]},
        **{"shift": shift and [20, 23], "margin": 2, "detail": 3.5},
    }
    assert StyleLayer.from_json(entry) == layer
    assert layer.inside(torch.zeros(1, 3, *size)).shape == (1, 3, size[0] - 4, size[1] - 4)


def test_missing_files(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"catalog\.safetensors does not exist"):
        Catalog.load(tmp_path)


def test_a_failed_save_leaves_the_old_names(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.save(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("safetensors.torch.save_file", full)
        with pytest.raises(ArtifactError, match="no space left"):
            catalog.rename("hair", "fur").save(tmp_path)
    assert Catalog.load(tmp_path).parts == catalog.parts


def test_tensors_of_another_shape_are_refused(catalog: Catalog, tmp_path: Path) -> None:
    content, tensors, path = load_record(catalog.save(tmp_path), expect="lefs-catalog")
    save_record(path, "lefs-catalog", content, {n: t[:4].clone() for n, t in tensors.items()})
    with pytest.raises(ArtifactError, match="not a whole catalog"):
        Catalog.load(tmp_path)


def test_it_tells_what_it_is(catalog: Catalog) -> None:
    for word in ("lively", "5 clusters", "2 images", "hair, eyes, skin, mouth"):
        assert word in repr(catalog)
    assert np.array_equal(catalog.sizes, [1, 2, 3, 4, 5])
