"""Dissection against float64 brute force; batches, executors and memory."""

from __future__ import annotations

import copy
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
import torch
from helpers import random_network

import lefs
from lefs import ArtifactError, Catalog, StyleGAN2, dissect, energies, save_generator
from lefs.dissection import Estimate, estimate
from lefs.evaluation import compare_partitions, layers_to_compare, sample_vectors
from lefs.generator import Generator
from lefs.images import resample_partition
from lefs.records import load_record
from lefs.workers import Sample, processes
from lefs.workers import samples as sample_module

SEEDS = range(10)


def quick(generator: Generator, seeds=SEEDS, **options) -> Catalog:  # type: ignore[no-untyped-def]
    return dissect(generator, seeds, **{"clusters": 4, "progress": False, **options})


def brute_force(generator: Generator, catalog: Catalog) -> tuple[np.ndarray, np.ndarray]:
    """M and sizes in float64, from the same centres."""
    precise = copy.deepcopy(generator).double()
    styles = precise.sample_styles(catalog.sampling.seeds, truncation=catalog.sampling.truncation)
    maps = {la.name: precise.record(styles, la.name)[la.name] for la in precise.layers}
    return reference.contributions(maps, catalog.centers, maps[catalog.layer])


def same(one: Catalog, two: Catalog) -> bool:
    tensors = all(
        torch.equal(getattr(one, f), getattr(two, f)) for f in ("centers", "contributions", "sizes")
    )
    return tensors and one.parts == two.parts and one.sampling == two.sampling


@pytest.mark.parametrize("layer", ["b4.conv1", "b8.conv1", "b16.conv0", "b16.conv1", "b16.torgb"])
def test_contributions_equal_brute_force(lively: StyleGAN2, layer: str) -> None:
    catalog = quick(lively, layer=layer, truncation=0.8)
    expected, sizes = brute_force(lively, catalog)
    np.testing.assert_array_equal(catalog.sizes, sizes)
    np.testing.assert_allclose(catalog.contributions, expected, atol=1e-6)


@pytest.mark.parametrize("layer", ["b8.conv1", "b8.conv0+b16.conv0"])
def test_standardized_contributions_are_those_of_standardized_maps(lively: StyleGAN2, layer: str) -> None:
    """Eq. 1 word for word: maps of zero mean and unit variance over the sample, in float64."""
    catalog = dissect(
        lively, range(10), clusters=3, layer=layer, contributions="standardized", progress=False
    )
    assert catalog.measure == "standardized"
    styles = lively.sample(range(10))
    membership = catalog.membership(lively, styles)
    maps = lively.record(styles, [la.name for la in lively.layers])
    for la in lively.layers:
        a = maps[la.name].double()
        spread = a.std(dim=(0, 2, 3), unbiased=False, keepdim=True)
        a = (a - a.mean(dim=(0, 2, 3), keepdim=True)) / spread.clamp_min(1e-12)
        u = resample_partition(membership, a.shape[-1]).double()
        expected = torch.einsum("nchw,nkhw->kc", a.square(), u) / (a.shape[0] * a.shape[2] * a.shape[3])
        alive = spread.flatten() > 1e-6
        torch.testing.assert_close(
            catalog.contributions[:, la.span][:, alive], expected[:, alive], rtol=1e-4, atol=1e-6
        )


def test_contributions_of_the_embedded_generator_equal_brute_force(portraits: Generator) -> None:
    catalog = quick(portraits, range(4), clusters=6)
    expected, sizes = brute_force(portraits, catalog)
    # In float32 a position between two clusters may fall to either.
    assert np.abs(catalog.sizes.numpy() - sizes).sum() <= 4
    np.testing.assert_allclose(catalog.contributions, expected, atol=1e-3)
    assert np.abs(catalog.contributions.numpy() - expected).mean() < 1e-5


def test_what_is_measured_is_kept_in_half_of_the_room(lively: StyleGAN2, tmp_path: Path) -> None:
    """Shares in steps that single precision holds still sum to one, and are those of float64 to a step."""
    exact = torch.rand(7, 50, dtype=torch.float64)
    exact[:, :3] = 0  # (dead channels)
    exact /= exact.sum(dim=0).clamp_min(1e-300)
    steps = energies._in_steps(exact)
    assert (steps - exact).abs().max() < 2**-24
    assert steps.sum(dim=0).equal((exact.sum(dim=0) > 0).double())
    catalog = quick(lively)
    file = catalog.save(tmp_path / "catalog.safetensors")
    tensors = load_record(file, expect="lefs-catalog").tensors
    assert (tensors["contributions"].dtype, tensors["errors"].dtype) == (torch.float32, torch.float16)
    again = Catalog.load(file)
    assert again.contributions.equal(catalog.contributions)
    assert again.errors is not None
    assert catalog.errors is not None
    assert again.errors.equal(catalog.errors)


def test_shares_sum_to_one_and_dead_channels_have_none(lively: StyleGAN2) -> None:
    catalog = quick(lively)
    dead = torch.zeros(lively.num_styles, dtype=torch.bool)
    dead[lively.layer("b4.conv1").span.start + 3] = True  # see the fixture
    total = catalog.contributions.sum(dim=0)
    assert torch.equal(total == 0, dead)
    assert float((total[~dead] - 1).abs().max()) < 1e-12
    assert float(catalog.contributions.min()) >= 0
    q = lefs.QuerySettings(rho=0, epsilon=float("inf"), coarse=1, rgb=1).query(catalog, "cluster 0")
    assert float(q[dead]) == 0


def test_clusters_are_those_of_the_vectors(lively: StyleGAN2) -> None:
    catalog = quick(lively, layer="b8.conv1", random_state=3)
    vectors = sample_vectors(lively, SEEDS, layer="b8.conv1", random_state=3)
    assert vectors.shape == (10 * 64, 8)
    kmeans = lefs.SphericalKMeans(4, random_state=3).fit(vectors)
    torch.testing.assert_close(catalog.centers, kmeans.cluster_centers_)
    assert int(catalog.sizes.sum()) == 640


def test_what_a_catalog_says_of_itself(lively: StyleGAN2) -> None:
    catalog = quick(lively, [4, 2, 9], truncation=0.5, random_state=7)
    assert catalog.sampling.seeds == (4, 2, 9)
    assert catalog.sampling.truncation == 0.5
    assert catalog.sampling.random_state == 7
    assert catalog.generator.fingerprint == lively.fingerprint
    assert catalog.layer == lively.default_layer
    assert list(catalog.parts) == [f"cluster {k}" for k in range(4)]
    assert catalog.contributions.dtype == torch.float64
    assert torch.allclose(catalog.centers.norm(dim=1), torch.ones(4))


def test_same_seed_same_catalog(lively: StyleGAN2) -> None:
    one, two = (quick(lively, random_state=5, max_vectors=200) for _ in range(2))
    assert same(one, two)
    assert not same(one, quick(lively, random_state=6, max_vectors=200))


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_batches_do_not_matter(lively: StyleGAN2, batch_size: int) -> None:
    one, two = quick(lively, max_vectors=300), quick(lively, max_vectors=300, batch_size=batch_size)
    assert float((one.contributions - two.contributions).abs().max()) < 1e-6
    assert torch.equal(one.sizes, two.sizes)


def test_batches_do_not_matter_on_real_images(portraits: Generator) -> None:
    one, two = (quick(portraits, range(12), clusters=8, batch_size=b) for b in (12, 5))
    assert float((one.contributions - two.contributions).abs().max()) < 1e-6


def test_a_subset_of_vectors_depends_on_the_image_alone(lively: StyleGAN2) -> None:
    options = {"layer": "b16.conv1", "max_vectors": 50, "random_state": 1}
    some = sample_vectors(lively, SEEDS, **options)  # type: ignore[arg-type]
    assert some.shape == (50, 6)
    torch.testing.assert_close(sample_vectors(lively, SEEDS, batch_size=3, **options), some)  # type: ignore[arg-type]
    maps = lively.record(lively.sample_styles(SEEDS), "b16.conv1")["b16.conv1"].flatten(2).movedim(1, 2)
    for image, rows in zip(maps, some.split(5), strict=True):
        nearest = (rows[:, None] - image).abs().amax(dim=-1).min(dim=1)
        assert float(nearest.values.max()) < 1e-4
        assert len(set(nearest.indices.tolist())) == 5


@pytest.mark.parametrize("workers", [1, 3])
def test_threads_give_the_same_bits(lively: StyleGAN2, workers: int) -> None:
    with ThreadPoolExecutor(workers) as executor:
        assert same(quick(lively, batch_size=2), quick(lively, batch_size=2, executor=executor))


def test_threads_use_the_generator_they_are_given(lively: StyleGAN2, tmp_path: Path) -> None:
    """Not the file it came from, which may have changed since."""
    loaded = lefs.load(save_generator(lively, tmp_path, name="lively")).double()
    expected = quick(loaded)
    save_generator(random_network(seed=8), tmp_path, name="other")
    with ThreadPoolExecutor(2) as executor:
        assert same(expected, quick(loaded, executor=executor))


def test_processes_give_the_same_bits(lively: StyleGAN2, tmp_path: Path) -> None:
    loaded = lefs.load(save_generator(lively, tmp_path, name="lively"))
    serial = quick(loaded, batch_size=3)
    with processes(1) as executor:
        assert same(serial, quick(loaded, batch_size=3, executor=executor))
        assert loaded.source is not None
        unsaved = copy.deepcopy(loaded)
        unsaved.freeze()
        assert unsaved.source is None  # it travels by itself
        assert same(serial, quick(unsaved, batch_size=3, executor=executor))
        save_generator(random_network(seed=8), tmp_path, name="other")
        moved = copy.deepcopy(loaded).double()  # a key that the worker has not loaded yet
        with pytest.raises(ArtifactError, match="has changed since its generator was loaded"):
            quick(moved, batch_size=3, executor=executor)


def test_activations_are_not_kept(lively: StyleGAN2, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all maps of all batches, at most one batch's are alive when the next batch begins."""
    alive: list[weakref.ref[torch.Tensor]] = []
    counts: list[int] = []
    original = StyleGAN2.walk

    def counting(self, styles, hooks):  # type: ignore[no-untyped-def]
        def seen(maps, *, hook):  # type: ignore[no-untyped-def]
            alive.append(weakref.ref(maps))
            return hook(maps)

        counts.append(sum(ref() is not None for ref in alive))
        return original(self, styles, {name: partial(seen, hook=hook) for name, hook in hooks.items()})

    monkeypatch.setattr(StyleGAN2, "walk", counting)
    quick(lively, range(24), batch_size=2)
    assert len(counts) == 24  # 12 batches, looked at twice
    assert len(alive) == 12 * (1 + len(lively.layers))
    assert max(counts) <= len(lively.layers)
    assert sum(ref() is not None for ref in alive) == 0


def test_layers_that_see_the_same_maps_are_added_up_once(
    lively: StyleGAN2, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To colours, and on to the next size: the same input, the same energies."""
    calls: list[tuple[int, ...]] = []
    original = energies._energy_by_cluster
    monkeypatch.setattr(
        energies, "_energy_by_cluster", lambda a, *rest: calls.append(tuple(a.shape)) or original(a, *rest)
    )
    catalog = quick(lively, batch_size=10)
    shared = [("b4.torgb", "b8.conv0"), ("b8.torgb", "b16.conv0")]
    assert len(calls) == len(lively.layers) - len(shared)
    for one, other in shared:
        a, b = (catalog.contributions[:, lively.layer(n).span] for n in (one, other))
        assert torch.equal(a, b)


@pytest.mark.parametrize("strip", [1, 300, 10**9])
def test_strips_of_positions_do_not_matter(
    lively: StyleGAN2, monkeypatch: pytest.MonkeyPatch, strip: int
) -> None:
    whole = quick(lively)
    monkeypatch.setattr(energies, "_STRIP", strip)
    parts = quick(lively)
    assert float((whole.contributions - parts.contributions).abs().max()) < 1e-6
    assert torch.equal(whole.sizes, parts.sizes)


def test_vectors_come_from_so_many_images_and_no_more(
    lively: StyleGAN2, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_module, "_IMAGES", 4)
    options = {"layer": "b16.conv1", "max_vectors": 40, "random_state": 1}
    some = sample_vectors(lively, SEEDS, **options)  # type: ignore[arg-type]
    assert some.shape == (40, 6)
    maps = lively.record(lively.sample_styles(SEEDS), "b16.conv1")["b16.conv1"].flatten(2).movedim(1, 2)
    for image, rows in zip([0, 2, 5, 7], some.split(10), strict=True):  # evenly spread
        nearest = (rows[:, None] - maps[image]).abs().amax(dim=-1).min(dim=1)
        assert float(nearest.values.max()) < 1e-4
    torch.testing.assert_close(sample_vectors(lively, SEEDS, batch_size=3, **options), some)  # type: ignore[arg-type]
    # the contributions are those of all
    assert int(quick(lively, layer="b16.conv1", max_vectors=40).sizes.sum()) == 10 * 256


def test_a_batch_is_made_smaller_where_maps_are_large(lively: StyleGAN2, portraits: Generator) -> None:
    channels = {4: 8, 8: 8, 16: 8, 32: 8, 64: 8, 128: 8, 256: 32}
    large = StyleGAN2(lefs.StyleGAN2Config(256, 8, 8, channels))
    assert sample_module.default_batch(lively) == sample_module.default_batch(portraits) == 16
    assert 1 < sample_module.default_batch(large) < 16
    assert sample_module.default_batch(large) * sample_module.batch_bytes(large) <= 2**29
    assert sample_module.default_batch(large.bfloat16()) > sample_module.default_batch(large.float())


def test_an_estimate_grows_with_what_is_asked_for(lively: StyleGAN2) -> None:
    options = {"clusters": 4, "batch_size": 4, "max_vectors": 10}
    base = estimate(lively, 2000, **options)
    assert base.seconds > 0
    for more in ({"batch_size": 8}, {"clusters": 40}, {"max_vectors": 10**6}):
        assert estimate(lively, 2000, **(options | more)).peak_bytes > base.peak_bytes
    # the images pass by a batch at a time
    assert estimate(lively, 10**5, **options).peak_bytes == base.peak_bytes


def test_seconds_add_up_what_was_measured(lively: StyleGAN2, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a clock on which every step takes one second."""
    monkeypatch.setattr("lefs.dissection._once", lambda act: [act(), 1.0][1])
    monkeypatch.setattr("lefs.energies.timeit", lambda act, number: [act(), 1.0][1])
    few, many = (estimate(lively, n, clusters=4, batch_size=4, max_vectors=1).seconds for n in (400, 1000))
    assert 2 * 600 / 4 <= many - few < 1.2 * 2 * 600 / 4  # both passes, 150 batches more


def test_an_estimate_is_near_the_truth() -> None:
    """In a process of its own, whose highest memory is the system's to tell."""
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("no /proc to tell the highest memory")
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE], capture_output=True, text=True, check=True, timeout=120
    )
    expected, truth = (float(v) for v in done.stdout.split())
    assert expected / 2.5 < truth < expected * 2.5


_MEASURE = """
import torch, lefs
from lefs.dissection import estimate
def memory(key):
    lines = open('/proc/self/status').read().splitlines()
    return int(next(x for x in lines if x.startswith(key)).split()[1]) * 1024
torch.set_num_threads(1)
channels = {4: 32, 8: 32, 16: 32, 32: 32, 64: 32, 128: 16}
generator = lefs.StyleGAN2(lefs.StyleGAN2Config(128, 8, 8, channels)).eval()
generator.freeze()
lefs.dissect(generator, range(2), clusters=2, progress=False, batch_size=1)  # what is loaded on first use
before = memory('VmRSS')
lefs.dissect(generator, range(48), clusters=4, progress=False, n_init=1)
highest = memory('VmHWM')
print(estimate(generator, 48, clusters=4, n_init=1).peak_bytes, highest - before)
"""


@pytest.mark.parametrize(
    ("seconds", "size", "told"),
    [(12.4, 3 * 2**30, "about 12 s and 3.0 GiB"), (600.0, 1, "about 10 min and 0.1 GiB")],
)
def test_an_estimate_in_words(seconds: float, size: int, told: str) -> None:
    assert str(Estimate(seconds, size)) == told


@pytest.mark.parametrize(
    ("images", "options", "error", "told"),
    [
        (0, {}, ValueError, "images must be at least 1"),
        (2.5, {}, TypeError, "images must be an integer"),
        (4, {"clusters": 0}, ValueError, "clusters must be at least 1"),
        (4, {"n_init": 0}, ValueError, "n_init must be at least 1"),
        (4, {"max_vectors": 0}, ValueError, "max_vectors must be at least 1"),
        (4, {"layer": "b8.conv3"}, ValueError, "no style layer named"),
    ],
)
def test_no_estimate_of_nonsense(
    lively: StyleGAN2, images: int, options: dict, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        estimate(lively, images, **{"clusters": 4, **options})


@pytest.mark.parametrize("count", [8, 80])
def test_memory_does_not_grow_with_the_images(lively: StyleGAN2, count: int) -> None:
    assert len(sample_vectors(lively, range(count), layer="b16.conv1", max_vectors=1000)) <= 1000


def test_half_precision(lively: StyleGAN2) -> None:
    narrow = copy.deepcopy(lively).to(torch.bfloat16)
    catalog = quick(narrow)
    assert catalog.centers.dtype == torch.float32
    total = catalog.contributions.sum(dim=0)
    assert float((total[total > 0] - 1).abs().max()) < 1e-12
    # the same maps, rounded to bfloat16 but squared and added precisely
    styles = narrow.sample_styles(SEEDS)
    maps = {la.name: narrow.record(styles, la.name)[la.name] for la in narrow.layers}
    expected, _ = reference.contributions(maps, catalog.centers, maps[catalog.layer])
    np.testing.assert_allclose(catalog.contributions, expected, atol=2e-3)


def test_layers_are_compared_from_coarse_to_fine(lively: StyleGAN2) -> None:
    names = layers_to_compare(lively)
    fineness = [lively.layer(name).fineness for name in names]
    assert fineness == sorted(fineness)
    assert set(names) <= {la.name for la in lively.layers if la.kind == "conv"}


def test_the_table_of_partitions(lively: StyleGAN2) -> None:
    found = compare_partitions(
        lively, SEEDS, layers=["b8.conv1", "b16.conv1"], clusters=[2, 5], show=3, truncation=0.9
    )
    assert {key: tuple(m.shape) for key, m in found.items()} == {
        ("b8.conv1", 2): (3, 2, 8, 8),
        ("b8.conv1", 5): (3, 5, 8, 8),
        ("b16.conv1", 2): (3, 2, 16, 16),
        ("b16.conv1", 5): (3, 5, 16, 16),
    }
    assert all(torch.equal(m.sum(dim=1), torch.ones_like(m[:, 0])) for m in found.values())


def test_the_bar_is_optional(lively: StyleGAN2, capfd: pytest.CaptureFixture[str]) -> None:
    quick(lively)
    assert capfd.readouterr() == ("", "")
    quick(lively, progress=True, batch_size=1)
    out, err = capfd.readouterr()
    assert out == ""
    assert "contributions" in err


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"seeds": []}, ValueError, "seeds is empty; give at least one seed"),
        ({"seeds": [-1]}, ValueError, r"seeds\[0\] must be between 0"),
        ({"seeds": [0.5]}, TypeError, r"seeds\[0\] must be an integer"),
        ({"clusters": 0}, ValueError, "clusters must be at least 1"),
        (
            {"clusters": 641, "layer": "b8.conv1"},
            ValueError,
            "clusters=641 is more than the 640 activation vec",
        ),
        ({"clusters": 40, "max_vectors": 30}, ValueError, "ask for fewer clusters or give more seeds"),
        ({"layer": "b8.conv3"}, ValueError, "no style layer named 'b8.conv3'; did you mean 'b8.conv"),
        ({"truncation": float("nan")}, ValueError, "truncation must be a finite number"),
        ({"random_state": -1}, ValueError, "random_state must be between 0"),
        ({"random_state": 2**32}, ValueError, "random_state must be between 0"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"max_vectors": 0}, ValueError, "max_vectors must be at least 1"),
        ({"n_init": 0}, ValueError, "n_init must be at least 1"),
    ],
)
def test_bad_arguments_are_refused_before_any_work(
    lively: StyleGAN2, monkeypatch: pytest.MonkeyPatch, options: dict, error: type[Exception], told: str
) -> None:
    def no_work(*_: object) -> None:
        raise AssertionError("work was begun")

    monkeypatch.setattr(StyleGAN2, "walk", no_work)
    with pytest.raises(error, match=told):
        quick(lively, **{"seeds": SEEDS, **options})


def test_sample_size_reaches_k_means(tiny: StyleGAN2) -> None:
    few = dissect(tiny, range(8), clusters=3, sample_size=16, progress=False)
    whole = dissect(tiny, range(8), clusters=3, sample_size=None, progress=False)
    assert not torch.equal(few.centers, whole.centers)
    torch.testing.assert_close(
        dissect(tiny, range(8), clusters=3, progress=False).centers, whole.centers
    )  # so few are all seen
    with pytest.raises(ValueError, match="sample_size"):
        dissect(tiny, range(8), clusters=3, sample_size=-1, progress=False)


def test_a_catalog_can_be_made_again_from_its_record(lively: StyleGAN2, tmp_path: Path) -> None:
    options: dict[str, Any] = {"n_init": 2, "max_vectors": 60, "sample_size": None, "truncation": 0.8}
    made = dissect(lively, range(3, 9), clusters=4, random_state=5, progress=False, **options)
    own = lefs.Catalog.load(made.save(tmp_path)).sampling
    again = dissect(
        lively,
        own.seeds,
        clusters=made.num_clusters,
        layer=made.layer,
        truncation=own.truncation,
        random_state=own.random_state,
        n_init=own.n_init,
        max_vectors=own.max_vectors,
        sample_size=None if own.sample_size == "all" else own.sample_size,
        progress=False,
    )
    assert torch.equal(again.contributions, made.contributions)
    assert torch.equal(again.centers, made.centers)


# -- contributions as estimates ------------------------------------------------------------------------------


def energy_of_each(generator: Generator, catalog: Catalog) -> torch.Tensor:
    """Σ A² ⊙ U of each image of the sample: (N, K, S)."""
    sample = Sample(generator, catalog.sampling.seeds, batch_size=1, progress=False)
    options = {"layer": catalog.layer, "centers": catalog.centers, "method": "kmeans", "means": None}
    job = partial(energies._energy, **options, depth=len(generator.layers))
    return torch.stack([found[0] for found, _ in sample.each(job, "")])


def test_errors_are_what_images_differ_by(lively: StyleGAN2) -> None:
    """The jackknife, which leaves out one image after the other, finds the same standard errors."""
    catalog = quick(lively, range(24))
    energy = energy_of_each(lively, catalog)
    without = torch.stack([energies.shares(energy.sum(dim=0) - one) for one in energy])
    expected = (23 / 24 * (without - without.mean(dim=0)).square().sum(dim=0)).sqrt()
    assert catalog.errors is not None
    assert bool((catalog.errors > 0).any())
    np.testing.assert_allclose(catalog.errors, expected, rtol=0.3, atol=3e-3)


@pytest.fixture
def large_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """All maps count as large."""
    monkeypatch.setattr(energies, "_CHEAP", 0)


@pytest.mark.parametrize("kind", ["energy", "standardized"])
def test_estimates_are_as_near_to_the_full_measurement_as_they_say(large_maps: None, kind: Any) -> None:
    """In units of the stated error, over several networks: those of one share the images of its sample."""
    off = []
    for seed in (2, 3, 4):
        network, options = random_network(seed=seed), {"contributions": kind, "layer": "b4.conv1"}
        full = quick(copy.deepcopy(network).double(), range(192), precision=0, **options)
        found = quick(network, range(192), precision=0.03, **options)
        assert found.errors is not None
        assert full.errors is not None
        assert float(found.errors.mean()) > float(full.errors.mean())  # (images were spared)
        for la in network.layers:
            assert float(found.errors[:, la.span].square().mean().sqrt()) <= 0.03
        off.append((found.contributions - full.contributions) / found.errors.clamp_min(1e-4))
        again = quick(network, range(192), precision=0.03, batch_size=48, **options)
        torch.testing.assert_close(again.contributions, found.contributions, rtol=0, atol=1e-6)
    assert float(torch.stack(off).square().mean().sqrt()) < 1.5


def test_how_many_images_are_seen_follows_from_the_precision(lively: StyleGAN2, large_maps: None) -> None:
    """And from nothing else; the clustered layer and what comes before it always see all."""
    seen, step = dict.fromkeys((0.0, 0.03, 1.0), 0), type(lively)._enter
    for precision in seen:
        walked: list[int] = []

        class Watched(StyleGAN2):
            def _enter(self, layer: Any, state: Any, noise: Any, walked: list[int] = walked) -> Any:
                walked.append(len(state[0]) if layer is self.layers[-1] else 0)
                return step(self, layer, state, noise)

        network = copy.copy(lively)
        network.__class__ = Watched
        catalog = quick(network, range(100), precision=precision, layer="b4.conv1")
        seen[precision] = sum(walked)
        assert int(catalog.sizes.sum()) == 100 * 16
    assert seen[0.0] == 100
    assert seen[1.0] == 32
    assert seen[0.03] in (32, 64, 100)


def test_layers_of_small_maps_see_all_images(lively: StyleGAN2) -> None:
    one, two = quick(lively, range(48), precision=0), quick(lively, range(48))
    assert torch.equal(one.contributions, two.contributions)
    assert torch.equal(one.errors, two.errors)


def test_memberships_alone(lively: StyleGAN2) -> None:
    """The same clusters of the same sizes, no contributions; they can be measured later."""
    full, found = quick(lively), quick(lively, contributions="none")
    assert torch.equal(full.centers, found.centers)
    assert torch.equal(full.sizes, found.sizes)
    with pytest.raises(ValueError, match="memberships alone"):
        found.contribution("cluster 0")
    later = lefs.dissection.remeasure(found, lively, contributions="energy", progress=False)
    assert torch.equal(later.contributions, full.contributions)
    assert later.measure == "energy"


def test_errors_are_kept(lively: StyleGAN2, tmp_path: Path) -> None:
    catalog = quick(lively)
    again = Catalog.load(catalog.save(tmp_path / "catalog"))
    assert catalog.errors is not None
    assert again.errors is not None
    assert again.errors.equal(catalog.errors)
    assert again.sampling.precision == 0.025
