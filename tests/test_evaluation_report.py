"""Comparisons against the long way round; distances against NumPy; tuning against its own grid."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import reference
import torch
from generator_of_quarters import NAMES, QuarterGenerator, Quarters, quarter_catalog
from scipy.linalg import sqrtm
from torch import Tensor, nn

from lefs import ArtifactError, Catalog, QuerySettings, StyleGAN2, dissect, transfer
from lefs.evaluation import (
    AsBytes,
    Comparison,
    Estimate,
    Method,
    Outcome,
    RealismMeter,
    Report,
    Row,
    compare,
    load_settings,
    pair_batches,
    part_settings,
    pooled,
    report,
    save_settings,
    seed_pairs,
    stability_of_halves,
    standard_methods,
    tune,
)
from lefs.evaluation.realism import in_mask
from lefs.evaluation.reports import effect_within

PAIRS = seed_pairs(5)
OPEN = QuerySettings(rho=0.0, epsilon=2.0, coarse=1.0, rgb=1.0)


@pytest.fixture(scope="module")
def catalog(lively: StyleGAN2) -> Catalog:
    return dissect(lively, range(20), clusters=4, progress=False).named(["left", "right", "left", "middle"])


def features(images: Tensor) -> list[Tensor]:
    """Maps of two sizes."""
    return [images, torch.nn.functional.avg_pool2d(images, 4).square()]


def few(lively: StyleGAN2, catalog: Catalog) -> list[Method]:
    kept = ("sequential", "feature blending", "pixel compositing", "global")
    return [m.only(m.values[0], m.usual) for m in standard_methods(lively, catalog) if m.name in kept]


@pytest.fixture(scope="module")
def compared(lively: StyleGAN2, catalog: Catalog) -> Comparison:
    return compare(lively, catalog, PAIRS, methods=few(lively, catalog), features=features, progress=False)


# -- comparisons ---------------------------------------------------------------------------------------------


def test_a_comparison_equals_the_long_way_round(
    lively: StyleGAN2, catalog: Catalog, compared: Comparison
) -> None:
    settings = QuerySettings(rho=0.02, epsilon=16)
    (batch,) = pair_batches(lively, catalog, PAIRS, truncation=0.7, segmenter=None, progress=False)
    found = [o for o in compared.outcomes if (o.method, o.value) == ("sequential", 16)]
    assert {o.part for o in found} == set(catalog.parts)
    for o in found:
        for row, n in enumerate(o.index):
            styles = [lively.sample_styles(s, truncation=0.7) for s in PAIRS[n]]
            before, wanted = (lively.synthesize(s) for s in styles)
            edit = lively.synthesize(transfer(*styles, settings.query(catalog, o.part)))
            mask = batch.masks[o.part][n].numpy()
            change, rest, most = (
                reference.colour_difference(a, b)[0] ** 2
                for a, b in ((before, edit), (edit, wanted), (before, wanted))
            )
            close = {"rtol": 2e-2, "atol": 0.02}
            np.testing.assert_allclose(o.effect[row], change[mask].mean(), **close)
            np.testing.assert_allclose(o.leak[row], change[~mask].mean(), **close)
            np.testing.assert_allclose(o.remaining[row], rest[mask].mean(), **close)
            np.testing.assert_allclose(o.most_effect[row], most[mask].mean(), **close)
            np.testing.assert_allclose(o.most_leak[row], most[~mask].mean(), **close)
            expected = [feature_distance(x, wanted, mask) for x in (edit, before)]
            np.testing.assert_allclose([o.farther[row], o.farthest[row]], expected, rtol=1e-2, atol=1e-6)


def feature_distance(image: Tensor, other: Tensor, mask: np.ndarray) -> float:
    """Squared distance of mean features inside a mask, by loops."""
    total = 0.0
    for a, b in zip(features(image), features(other), strict=True):
        size = mask.shape[-1] // a.shape[-1]
        weights = np.zeros(a.shape[-2:])
        for y, x in np.ndindex(*weights.shape):
            weights[y, x] = mask[y * size : (y + 1) * size, x * size : (x + 1) * size].mean()
        difference = (a - b)[0].double().numpy()
        total += float((((difference * weights).sum(axis=(1, 2)) / weights.sum()) ** 2).sum())
    return total


def test_streaming_in_small_batches_changes_nothing(
    lively: StyleGAN2, catalog: Catalog, compared: Comparison
) -> None:
    again = compare(
        lively,
        catalog,
        PAIRS,
        methods=few(lively, catalog),
        features=features,
        batch_size=2,
        progress=False,
    )
    for one, two in zip(compared.outcomes, again.outcomes, strict=True):
        assert (one.part, one.method, one.value) == (two.part, two.method, two.value)
        np.testing.assert_array_equal(one.index, two.index)
        for name in ("effect", "leak", "localisation", "remaining", "most_effect", "most_leak", "farther"):
            np.testing.assert_allclose(getattr(one, name), getattr(two, name), rtol=2e-3, atol=1e-3)
    for a, b in zip(compared.realism, again.realism, strict=True):
        assert (a.part, a.method, a.images) == (b.part, b.method, b.images)
        assert a.frechet == pytest.approx(b.frechet, rel=1e-3, abs=1e-4)
        np.testing.assert_allclose(a.kernel, b.kernel, rtol=1e-3, atol=1e-6)


def test_curves_may_take_fewer_pairs(lively: StyleGAN2, catalog: Catalog, compared: Comparison) -> None:
    methods = few(lively, catalog)
    found = compare(lively, catalog, PAIRS, methods=methods, curve_pairs=3, batch_size=2, progress=False)
    usual = {m.name: m.usual for m in methods}
    whole = {(o.part, o.method, o.value): o for o in compared.outcomes}
    assert found.curve_pairs == 3
    assert not found.realism  # (no features were given)
    for o in found.outcomes:
        same = whole[o.part, o.method, o.value]
        kept = same.index < (5 if o.value == usual[o.method] else 3)
        np.testing.assert_array_equal(o.index, same.index[kept])
        np.testing.assert_allclose(o.effect, same.effect[kept], rtol=2e-3, atol=1e-3)
        assert np.isnan(o.farther).all()


def test_a_comparison_refuses_what_it_cannot_do(lively: StyleGAN2, catalog: Catalog) -> None:
    with pytest.raises(ValueError, match="no part named 'nose'"):
        compare(lively, catalog, PAIRS, parts=["nose"], progress=False)
    with pytest.raises(ValueError, match="pairs must be a non-empty list"):
        compare(lively, catalog, [], progress=False)
    with pytest.raises(ValueError, match="unedited must hold as many seeds as there are pairs, 5; got 2"):
        compare(lively, catalog, PAIRS, unedited=[1, 2], progress=False)
    with pytest.raises(ValueError, match="curve_pairs must be at least 1"):
        compare(lively, catalog, PAIRS, curve_pairs=0, progress=False)
    with pytest.raises(ValueError, match="usual must be one of values"):
        Method("mine", "k", (1.0, 2.0), 3.0, lambda batch, part, value: batch.targets)


# -- reports -------------------------------------------------------------------------------------------------


def outcome(
    effect: list[float], leak: list[float], *, value: float, index: list[int] | None = None
) -> Outcome:
    n, e, k = len(effect), np.array(effect), np.array(leak)
    ones, nothing = np.ones(n), np.full(n, np.nan)
    places = np.arange(n) if index is None else np.array(index)
    return Outcome("p", "m", e, k, e / (e + k), value, places, ones - e, ones, ones, nothing, nothing)


def test_effect_within_a_leak_is_read_off_the_curve() -> None:
    points = [outcome([0.2] * 4, [0.02] * 4, value=1), outcome([0.6] * 4, [0.10] * 4, value=2)]
    for leak, expected in ((0.01, 0.1), (0.02, 0.2), (0.05, 0.35), (0.1, 0.6), (0.5, 0.6), (0.0, 0.0)):
        found = effect_within(points, leak=leak, pairs=4)
        assert found.shape == (2001,)
        np.testing.assert_allclose(found, expected, atol=1e-12)
    # a setting that makes things worse is not turned further; one that leaks nothing is worth all it does
    worse = [*points, outcome([0.3] * 4, [0.04] * 4, value=3)]
    np.testing.assert_allclose(effect_within(worse, leak=0.05, pairs=4)[0], 0.35)
    clean = [outcome([0.9] * 4, [0.0] * 4, value=1)]
    np.testing.assert_allclose(effect_within(clean, leak=0.0, pairs=4), 0.9)


def test_a_report_is_kept_by_its_file(compared: Comparison, tmp_path: Path) -> None:
    found = report(compared, leak=0.1, note="noise")
    again = Report.load(found.save(tmp_path / "numbers.json"))
    assert (again.pairs, again.curve_pairs, again.leak, again.note) == (5, 5, 0.1, "noise")
    assert again.methods == ["sequential", "feature blending", "pixel compositing", "global"]
    assert len(again.rows) == len(found.rows) == len(compared.outcomes)
    for one, two in zip(found.rows, again.rows, strict=True):
        assert (one.part, one.method, one.value, one.usual, one.pairs) == (
            two.part, two.method, two.value, two.usual, two.pairs,
        )  # fmt: skip
        np.testing.assert_allclose(one.effect, two.effect, rtol=1e-4)
        np.testing.assert_allclose(one.efficacy, two.efficacy, rtol=1e-4, atol=1e-4)
    twice = Report.load(again.save(tmp_path / "again.json"))
    assert twice.rows == again.rows
    assert str(twice.table()) == str(again.table())
    assert str(again.within_table()) == str(found.within_table())
    content = json.loads((tmp_path / "numbers.json").read_text())
    content["rows"][0] = content["rows"][0].rpartition(" | ")[0]
    (tmp_path / "numbers.json").write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match="is not a whole comparison"):
        Report.load(tmp_path / "numbers.json")


@pytest.mark.parametrize("name", ["a | b", 'the "left" part', '"', "|", "one\ntwo", "a, b; c"])
def test_any_name_of_a_part_is_kept(name: str, tmp_path: Path) -> None:
    one = Estimate(1.0, 0.5, 1.5)
    rows = [Row(part, f"{name}!", "ε", 2.0, one, one, one, one) for part in (name, "")]
    again = Report.load(Report(3, 2, 0.1, (rows[0],), (rows[1],)).save(tmp_path / "numbers.json"))
    assert (again.rows, again.summaries) == ((rows[0],), (rows[1],))


def test_a_report_written_before_still_loads(root: Path, tmp_path: Path) -> None:
    found = Report.load(root / "tests" / "fixtures" / "comparison_2026.json")
    assert (found.parts, found.methods) == (["background", "hair"], ["sequential", "global"])
    assert found.pairs == 6
    row, whole = found.curve("hair", "sequential")[2], found.summary("sequential")
    assert (row.setting, row.value, row.usual, row.pairs) == ("ε", 16, True, 6)
    assert row.effect == Estimate(583.1, 279.31, 911.72)
    assert whole.within is not None
    assert Report.load(found.save(tmp_path / "again.json")) == found


def test_another_version_is_refused(compared: Comparison, catalog: Catalog, tmp_path: Path) -> None:
    path = report(compared).save(tmp_path / "numbers.json")
    path.write_text(path.read_text().replace('"version": 1', '"version": 99'))
    with pytest.raises(ArtifactError, match="has version 99, this lefs reads 1"):
        Report.load(path)
    settings = save_settings(tmp_path, catalog, [])
    settings.write_text(settings.read_text().replace('"version": 1', '"version": 99'))
    with pytest.raises(ArtifactError, match="has version 99, this lefs reads 1"):
        load_settings(tmp_path, catalog)


def test_a_summary_is_the_mean_over_parts(compared: Comparison, catalog: Catalog) -> None:
    found = report(compared)
    for method in found.methods:
        whole, parts = found.summary(method), [found.summary(method, p) for p in found.parts]
        for name in ("effect_share", "leak_share", "localisation", "efficacy", "within"):
            mean = np.mean([getattr(p, name)[0] for p in parts])
            assert getattr(whole, name)[0] == pytest.approx(mean, nan_ok=True)
        assert whole.frechet == pytest.approx(np.mean([p.frechet for p in parts]))
        usual = [r for r in found.rows if r.method == method and r.usual]
        assert whole.effect_share[0] == pytest.approx(np.mean([r.effect_share[0] for r in usual]))
    text = str(found.table())
    assert "effect at 5% leak" in text


# -- realism -------------------------------------------------------------------------------------------------


def two_samples(count: int = 240, width: int = 6) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    mix = random.normal(size=(width, width))
    return random.normal(size=(count, width)), random.normal(size=(count, width)) @ mix * 0.3 + 0.2


def test_distances_equal_their_formulas() -> None:
    first, second = two_samples()
    meter = RealismMeter(block=80)
    for start in range(0, 240, 37):  # batches that fit no block
        pieces = [torch.from_numpy(s[start : start + 37]).float() for s in (first, second)]
        meter.update(*pieces)
    found = meter.result("hair", "mine")
    a, b = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    shift = first.mean(0) - second.mean(0)
    expected = shift @ shift + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert found.frechet == pytest.approx(expected, rel=1e-4)
    assert found.images == 240
    blocks = [_mmd(first[i : i + 80], second[i : i + 80]) for i in (0, 80, 160)]
    np.testing.assert_allclose(found.kernel, blocks, rtol=1e-4)
    assert found.kernel_distance[0] == pytest.approx(np.mean(blocks), rel=1e-4)


def _mmd(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy, by loops over pairs."""

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / len(a) + 1) ** 3)

    n = len(x)
    same = [[kernel(s[i], s[j]) for i in range(n) for j in range(n) if i != j] for s in (x, y)]
    across = [kernel(a, b) for a in x for b in y]
    return float(np.mean(same[0]) + np.mean(same[1]) - 2 * np.mean(across))


def test_the_same_images_are_at_no_distance() -> None:
    first, _ = two_samples()
    meter = RealismMeter()
    meter.update(torch.from_numpy(first), torch.from_numpy(first))
    found = meter.result()
    assert found.frechet == pytest.approx(0, abs=1e-6)


def test_realism_refuses_samples_that_do_not_match() -> None:
    meter = RealismMeter()
    with pytest.raises(ValueError, match="realism needs two images on each side at least, got 0"):
        meter.result()
    with pytest.raises(ValueError, match="edited and unedited must have the same shape"):
        meter.update(torch.zeros(3, 4), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="block must be at least 2"):
        RealismMeter(block=1)


def test_features_are_pooled_over_the_picture_or_a_mask() -> None:
    maps = torch.arange(32.0).reshape(1, 2, 4, 4)
    mask = torch.zeros(1, 8, 8).bool()
    mask[0, :2, :2] = True  # one position of the map
    assert pooled([maps, maps[:, :1]]).tolist() == [[7.5, 23.5, 7.5]]
    assert in_mask(maps, mask).tolist() == [[0.0, 16.0]]  # type: ignore[union-attr]
    vectors = torch.ones(2, 5)
    assert torch.equal(pooled(vectors), vectors)
    assert in_mask(vectors, mask) is None


def test_an_extractor_of_bytes_is_given_bytes() -> None:
    class Mean(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            assert images.dtype == torch.uint8
            return images.float().mean(dim=(2, 3))

    found = AsBytes(Mean())(torch.tensor([-3.0, -1, 0, 1]).reshape(4, 1, 1, 1).expand(4, 3, 2, 2))
    assert found[:, 0].tolist() == [0, 0, 128, 255]


# -- tuning --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def blurred() -> tuple[QuarterGenerator, Catalog]:
    """Contributions that only lean toward the truth, so that more effect costs more leak."""
    generator = QuarterGenerator()
    random = torch.Generator().manual_seed(1)
    truth = quarter_catalog(generator).contributions
    mixed = truth * torch.rand(truth.shape, generator=random) + 0.4 * torch.rand(
        truth.shape, generator=random
    )
    return generator, quarter_catalog(generator, mixed / mixed.sum(dim=0))


def test_tuning_finds_the_best_of_its_grid(blurred: tuple[QuarterGenerator, Catalog]) -> None:
    generator, catalog = blurred
    rhos, epsilons, part = (0.05, 0.4), (0.5, 1.0, 2.0, 4.0), NAMES[1]
    base = QuerySettings(coarse=1.0, rgb=1.0)
    found = tune(
        generator, catalog, part, leak=0.1, pairs=PAIRS, settings=base, rhos=rhos, epsilons=epsilons,
        segmenter=Quarters(), progress=False, batch_size=2,
    )  # fmt: skip
    grid = [(r, e) for r in rhos for e in epsilons]
    assert [(t.settings.rho, t.settings.epsilon) for t in found.trials] == grid
    mask = one_batch(generator, catalog).masks[part]
    shares = {}
    for rho in rhos:
        for epsilon in epsilons:
            q = QuerySettings(rho=rho, epsilon=epsilon, coarse=1.0, rgb=1.0).query(catalog, part)
            inside = outside = most_inside = most_outside = 0.0
            for n, (s, r) in enumerate(PAIRS):
                styles = [generator.sample_styles(x, truncation=0.7) for x in (s, r)]
                images = [generator.synthesize(x) for x in (*styles, transfer(*styles, q))]
                change, most = (
                    reference.colour_difference(images[0], x)[0] ** 2 for x in (images[2], images[1])
                )
                at = mask[n].numpy()
                inside, most_inside = inside + change[at].mean(), most_inside + most[at].mean()
                outside, most_outside = outside + change[~at].mean(), most_outside + most[~at].mean()
            shares[rho, epsilon] = inside / most_inside, outside / most_outside
    for t in found.trials:
        expected = shares[t.settings.rho, t.settings.epsilon]
        np.testing.assert_allclose((t.effect[0], t.leak[0]), expected, rtol=1e-3)
    fitting = {k: v for k, v in shares.items() if v[1] <= 0.1}
    assert 0 < len(fitting) < len(shares)
    most = max(e for e, _ in fitting.values())
    assert found.best.effect[0] == pytest.approx(most, rel=1e-3)
    ties = [t for t in found.trials if t.effect == found.best.effect and t.leak == found.best.leak]
    assert found.settings.rho == max(t.settings.rho for t in ties)  # of equal ones that of the highest price
    for t in found.frontier:  # nothing beats a point of the Pareto curve in both
        assert not any(o.effect[0] > t.effect[0] and o.leak[0] <= t.leak[0] for o in found.trials)
    leaks = [t.leak[0] for t in found.frontier]
    assert leaks == sorted(leaks)


def one_batch(generator: QuarterGenerator, catalog: Catalog):  # type: ignore[no-untyped-def]
    options = {"truncation": 0.7, "segmenter": Quarters(), "progress": False}
    return next(iter(pair_batches(generator, catalog, PAIRS, **options)))  # type: ignore[arg-type]


def test_tuning_says_when_nothing_fits(blurred: tuple[QuarterGenerator, Catalog]) -> None:
    generator, catalog = blurred
    options = {"pairs": PAIRS, "rhos": [0.0], "segmenter": Quarters(), "progress": False}
    with pytest.raises(ValueError, match="no setting of the grid keeps 'north-west' to 0"):
        tune(generator, catalog, NAMES[0], leak=0.001, epsilons=[50.0], **options)
    with pytest.raises(ValueError, match="rhos and epsilons must each hold a value"):
        tune(generator, catalog, NAMES[0], epsilons=[], **options)
    with pytest.raises(ValueError, match="no part named 'nose'"):
        tune(generator, catalog, "nose")
    with pytest.raises(ValueError, match="leak must be"):
        tune(generator, catalog, NAMES[0], leak=-1)


def test_tuned_settings_lie_beside_a_catalog(
    blurred: tuple[QuarterGenerator, Catalog], tmp_path: Path
) -> None:
    generator, catalog = blurred
    catalog.save(tmp_path)
    assert load_settings(tmp_path, catalog) == {}
    options = {"rhos": [0.3], "epsilons": [0.5, 1.0], "segmenter": Quarters(), "progress": False}
    tuned = tune(generator, catalog, NAMES[0], leak=1, pairs=PAIRS, **options)  # type: ignore[arg-type]
    path = save_settings(tmp_path, catalog, [tuned], note="two tries")
    found = load_settings(tmp_path, catalog)
    assert found == {NAMES[0]: replace(tuned.settings, contributions="energy")}
    chosen = part_settings(catalog, found, method="sequential", rho=-1, epsilon=7.0)
    assert chosen[NAMES[0]] == replace(found[NAMES[0]], epsilon=7.0)
    assert chosen[NAMES[1]] == QuerySettings(epsilon=7.0)
    assert load_settings(tmp_path, catalog, contributions="effect") == {}
    by_effect = replace(tuned.best.settings, contributions="effect", rho=0.7)
    other = replace(tuned, best=replace(tuned.best, settings=by_effect))
    save_settings(tmp_path, catalog, [other])
    assert load_settings(tmp_path, catalog, contributions="effect") == {NAMES[0]: by_effect}
    assert load_settings(tmp_path, catalog) == found  # what the file held of the other kind stays
    stranger = replace(catalog, generator=replace(catalog.generator, fingerprint="0" * 64))
    with pytest.raises(ArtifactError, match="was made for another generator"):
        load_settings(tmp_path, stranger)
    path.write_text(path.read_text().replace('"rho"', '"row"'))
    with pytest.raises(ArtifactError, match="is not a whole table of settings"):
        load_settings(tmp_path, catalog)


# -- stability over halves -----------------------------------------------------------------------------------


def test_halves_of_a_planted_sample_agree() -> None:
    random = torch.Generator().manual_seed(0)
    directions = torch.eye(4).repeat(60, 1)
    vectors = directions + 0.05 * torch.randn(240, 4, generator=random)
    images = torch.arange(240) // 12
    assert (stability_of_halves(vectors, [4], images=images, n_init=4)[4] == 1).all()
    noise = torch.randn(240, 4, generator=random)
    assert stability_of_halves(noise, [6], repeats=3)[6].mean() < 0.9
    assert stability_of_halves(noise, [6], repeats=3)[6].shape == (3,)
    with pytest.raises(ValueError, match="images must name the image of each of the 240 vectors"):
        stability_of_halves(vectors, [4], images=torch.zeros(240))
