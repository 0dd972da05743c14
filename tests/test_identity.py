"""Who a generator is: fingerprints that stay what they were, whatever is added, moved or placed."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import tamper

import lefs
import lefs.generator
from lefs.models import ProGANConfig, StyleGAN2Config, StyleGAN3Config, StyleGANConfig
from lefs.models.configs import LayerPlan
from lefs.models.settings import settings_of

FIXTURES = Path(__file__).parent / "fixtures"
# of an earlier version, which catalogs are signed with
FINGERPRINTS: dict[str, str] = json.loads((FIXTURES / "fingerprints.json").read_text())


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_fingerprints_stay(name: str) -> None:
    path = FIXTURES / name
    assert lefs.load(path if path.exists() else name).fingerprint == FINGERPRINTS[name]


def test_what_an_earlier_version_converted_loads_without_its_discriminator() -> None:
    generator = lefs.load(FIXTURES / "lefs_1")
    theirs = lefs.load(FIXTURES / "genforce/stylegan2.pth")
    styles = theirs.sample_styles([3])
    assert torch.equal(generator.synthesize(styles), theirs.synthesize(styles))
    assert (generator.name, generator.origin) == (theirs.name, theirs.origin)


@pytest.mark.parametrize("version", [0, 1, 99, "2", None])
def test_other_versions_are_refused(version: Any, tmp_path: Path) -> None:
    lefs.save_generator(lefs.load(FIXTURES / "lefs_1"), tmp_path, name="old")
    tamper(tmp_path / "generator.safetensors", version=version)
    with pytest.raises(lefs.ArtifactError, match=rf"version {version!r}, this lefs reads 1 and 2"):
        lefs.load(tmp_path)


@pytest.mark.parametrize("known", [True, False], ids=["hashed before", "hashed after"])
def test_placing_images_does_not_change_who_makes_them(known: bool, tmp_path: Path) -> None:
    name = "stylegan3/t.pkl"
    generator: Any = lefs.load(FIXTURES / name)
    styles = generator.sample_styles([1])
    plain = generator.synthesize(styles)
    if known:
        assert generator.fingerprint == FINGERPRINTS[name]
    generator.place(rotation=30, shift=(0.1, 0))
    assert not torch.equal(generator.synthesize(styles), plain)
    assert generator.fingerprint == FINGERPRINTS[name]
    lefs.save_generator(generator, tmp_path, name="placed")
    again = lefs.load(tmp_path)
    assert again.fingerprint == FINGERPRINTS[name]
    assert torch.equal(again.synthesize(styles), plain)
    assert generator.double().synthesize(styles.double()).dtype == torch.float64
    generator.place()
    torch.testing.assert_close(generator.float().synthesize(styles), plain)


def test_weights_are_hashed_once_for_all_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    name, hashed = "stylegan3/r_conditional.pkl", list[str]()
    generator = lefs.load(FIXTURES / name)
    plain = lefs.generator.fingerprint_of
    monkeypatch.setattr(lefs.generator, "fingerprint_of", lambda *a: hashed.append(a[0]) or plain(*a))
    copies = [generator.with_label(c) for c in range(3)]
    assert {g.fingerprint for g in (*copies, generator, copies[0].with_label(1))} == {FINGERPRINTS[name]}
    assert hashed == ["stylegan3"]


def test_weights_are_hashed_once_whatever_becomes_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    generator, hashed = lefs.load(FIXTURES / "lefs_1"), list[str]()
    catalog = lefs.dissect(generator, range(2), clusters=2, progress=False)
    plain = lefs.generator.fingerprint_of
    monkeypatch.setattr(lefs.generator, "fingerprint_of", lambda *a: hashed.append(a[0]) or plain(*a))
    catalog.check_generator(generator)
    for network in (copy.copy(generator), copy.deepcopy(generator), generator.to(torch.float64).to("cpu")):
        catalog.check_generator(network)
    assert hashed == []
    again = lefs.load(FIXTURES / "lefs_1")
    for network in (copy.copy(again), again, again.bfloat16(), copy.deepcopy(again)):
        catalog.check_generator(network)
    assert hashed == ["stylegan2"]


def later(kind: type) -> type:
    """The configuration of a later version, with a setting more."""

    @dataclass(frozen=True)
    class Later(kind):
        novelty: int = 3

    return Later


PLAN = {
    "name": "L0_16_3", "rgb": True, "inputs": 2, "outputs": 3, "in_size": 16, "out_size": 16, "in_rate": 16.0,
    "out_rate": 16.0, "in_cutoff": 4.0, "out_cutoff": 4.0, "in_half_width": 2.0, "out_half_width": 2.0,
    "kernel": 1, "up": 1, "down": 1, "up_taps": 1, "down_taps": 1, "radial": False, "padding": (0, 0),
    "clamp": None,
}  # fmt: skip
WAVES = {"channels": 2, "size": 16, "sampling_rate": 16.0, "bandwidth": 2.0}
CONFIGS: list[tuple[type, dict[str, Any]]] = [
    (StyleGANConfig, {"resolution": 8, "z_dim": 4, "w_dim": 4, "channels": {4: 3, 8: 2}}),
    (StyleGAN2Config, {"resolution": 8, "z_dim": 4, "w_dim": 4, "channels": {4: 3, 8: 2}}),
    (ProGANConfig, {"resolution": 8, "z_dim": 4, "channels": {4: 3, 8: 2}}),
    (StyleGAN3Config, {"resolution": 16, "z_dim": 4, "w_dim": 4, "input": WAVES, "layers": (PLAN,)}),
    (LayerPlan, PLAN),
]


@pytest.mark.parametrize(("kind", "values"), CONFIGS, ids=[k.__name__ for k, _ in CONFIGS])
def test_a_later_setting_orphans_no_catalog(kind: type, values: dict[str, Any]) -> None:
    """Fingerprints are made from the settings: one that is at its default is not among them."""
    now = settings_of(kind(**values))
    assert settings_of(later(kind)(**values)) == now
    assert settings_of(later(kind)(**values, novelty=4)) == {**now, "novelty": 4}


# -- two networks in one -------------------------------------------------------------------------------------


def relative(path: Path) -> lefs.Generator:
    """The generator of a file, trained on."""
    found = lefs.load(path)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for parameter in found.parameters():
            parameter.mul_(1 + 0.3 * torch.rand_like(parameter))
    found.name = "tuned"
    return found.freeze()


@pytest.mark.parametrize(
    ("name", "resolution"),
    [("stylegan3/t.pkl", 32), ("genforce/stylegan.pth", 32), ("tensorflow/stylegan2.pkl", 8)],
)
def test_a_swapped_network_is_the_first_up_to_a_resolution_and_then_the_second(
    name: str, resolution: int, tmp_path: Path
) -> None:
    first, second = lefs.load(FIXTURES / name), relative(FIXTURES / name)
    made = lefs.swap(first, second, from_resolution=resolution)
    w = first.map(first.latents([1, 2]), 0.7)
    assert torch.equal(made.map(made.latents([1, 2]), 0.7), w), "the mapping network is the first's"
    # w index i feeds the same layers in all three; each layer's styles are made by its own affine map
    changed = (made.styles(w) != first.styles(w)).any(dim=0)
    begin = next(i for i, la in enumerate(made.layers) if bool(changed[la.span].all()))
    theirs = {la.name for la in made.layers[begin:]}
    for layer in made.layers:
        expected = (second if layer.name in theirs else first).styles(w)[:, layer.span]
        assert torch.equal(made.styles(w)[:, layer.span], expected)
    styles = made.styles(w)
    last = made.layers[begin - 1].name
    assert torch.equal(made.record(styles, last)[last], first.record(styles, last)[last])
    halfway = first.state(styles, made.layers[begin].name)
    expected = second.synthesize(styles, cache=halfway)
    torch.testing.assert_close(made.synthesize(styles), expected, rtol=1e-4, atol=1e-5)
    assert len({g.fingerprint for g in (first, second, made)}) == 3
    again = lefs.load(lefs.save_generator(made, tmp_path, name=made.name))
    assert (again.fingerprint, again.origin) == (made.fingerprint, made.origin)
    assert again.origin["from"]["fingerprint"] == second.fingerprint


def test_catalogs_of_the_parents_do_not_belong_to_their_child() -> None:
    path = FIXTURES / "lefs_1"
    first, second = lefs.load(path), relative(path)
    made = lefs.swap(first, second, from_resolution=8)
    for parent in (first, second):
        catalog = lefs.dissect(parent, range(2), clusters=2, progress=False)
        with pytest.raises(lefs.ArtifactError, match=r"belongs to generator .* and not to .* below 8"):
            lefs.Editor(made, catalog)


def test_networks_that_are_not_alike_are_not_swapped() -> None:
    first, other = lefs.load(FIXTURES / "lefs_1"), lefs.load("portraits-64")
    with pytest.raises(ValueError, match=r"alike in all but their weights, got resolution: \d+ and 64; "):
        lefs.swap(first, other, from_resolution=8)
    with pytest.raises(ValueError, match="of one architecture, got a StyleGAN2 and a ProGAN"):
        lefs.swap(first, lefs.load(FIXTURES / "genforce/progan.pth"), from_resolution=8)
    for wrong in (0, 12, 10**6, None):
        with pytest.raises(ValueError, match="from_resolution must be one of 4, 8"):
            lefs.swap(first, first, from_resolution=wrong)
