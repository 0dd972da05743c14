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
from torch import Tensor

from lefs import ArtifactError, Catalog, QuerySettings, StyleGAN2, dissect, transfer
from lefs.evaluation import (
    Comparison,
    Estimate,
    Method,
    Outcome,
    Realism,
    Report,
    Row,
    bootstrap,
    compare,
    estimate,
    frechet_distance,
    kernel_terms,
    load_settings,
    pair_batches,
    part_settings,
    pooled,
    report,
    save_settings,
    seed_pairs,
    stability,
    standard_methods,
    tune,
)
from lefs.evaluation.masks import grow
from lefs.evaluation.realism import off_diagonal
from lefs.evaluation.reports import reached
from lefs.plotting import tradeoff_curves

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
                reference.color_difference(a, b)[0] ** 2
                for a, b in ((before, edit), (edit, wanted), (before, wanted))
            )
            close = {"rtol": 2e-2, "atol": 0.02}
            np.testing.assert_allclose(o.effect[row], change[mask].mean(), **close)
            np.testing.assert_allclose(o.leak[row], change[~mask].mean(), **close)
            np.testing.assert_allclose(o.missing[row], rest[mask].sum(), **close)
            np.testing.assert_allclose(o.distance[row], most[mask].sum(), **close)
            np.testing.assert_allclose(o.most_leak[row], most[~mask].mean(), **close)
            np.testing.assert_allclose(o.visible[row], (change[~mask] > 25).mean(), atol=0.01)
        whole, expected = estimate(*o.shares["arrival"])[0], 1 - o.missing.sum() / o.distance.sum()
        assert whole == pytest.approx(expected)


def test_realism_is_measured_on_the_features_of_each_edit(
    lively: StyleGAN2, catalog: Catalog, compared: Comparison
) -> None:
    (batch,) = pair_batches(lively, catalog, PAIRS, truncation=0.7, segmenter=None, progress=False)
    (found,) = [r for r in compared.realism if (r.part, r.method) == ("left", "pixel compositing")]
    (method,) = [m for m in compared.methods if m.name == "pixel compositing"]
    edited = method.edit(batch, "left", 1.0)
    for row, n in enumerate(found.index):
        window = grow(batch.masks["left"][n : n + 1], 5)[0].numpy()
        for images, own in ((edited, found.around), (batch.targets, found.before)):
            expected = _features_inside(images[n : n + 1], window)
            np.testing.assert_allclose(own[row], expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.edited, pooled(features(edited))[found.index], rtol=1e-3, atol=1e-5)
    first = max(max(pair) for pair in PAIRS) + 1
    others = lively.synthesize(lively.sample_styles(range(first, first + 5), truncation=0.7))
    np.testing.assert_allclose(found.others, pooled(features(others))[found.index], rtol=1e-3, atol=1e-5)


def _features_inside(image: Tensor, mask: np.ndarray) -> np.ndarray:
    """Mean features inside a mask, by loops."""
    rows = []
    for maps in features(image):
        size = mask.shape[-1] // maps.shape[-1]
        weights = np.zeros(maps.shape[-2:])
        for y, x in np.ndindex(*weights.shape):
            weights[y, x] = mask[y * size : (y + 1) * size, x * size : (x + 1) * size].mean()
        rows.append((maps[0].double().numpy() * weights).sum(axis=(1, 2)) / weights.sum())
    return np.concatenate(rows)


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
        for name in (
            "effect",
            "leak",
            "localisation",
            "missing",
            "distance",
            "most_leak",
            "halo",
            "most_halo",
        ):
            np.testing.assert_allclose(getattr(one, name), getattr(two, name), rtol=2e-3, atol=1e-3)
    for a, b in zip(compared.realism, again.realism, strict=True):
        assert (a.part, a.method, a.index.tolist()) == (b.part, b.method, b.index.tolist())
        for name in ("edited", "others", "around", "before"):
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-3, atol=1e-4)


def test_parts_and_curves_may_take_fewer_pairs(
    lively: StyleGAN2, catalog: Catalog, compared: Comparison
) -> None:
    methods, usual = few(lively, catalog), {m.name: m.usual for m in compared.methods}
    limits = {"part_pairs": 4, "curve_pairs": 3}
    found = compare(lively, catalog, PAIRS, methods=methods, batch_size=2, progress=False, **limits)
    whole = {(o.part, o.method, o.value): o for o in compared.outcomes}
    assert found.curve_pairs == 3
    assert not found.realism  # (no features were given)
    for o in found.outcomes:
        same, most = whole[o.part, o.method, o.value], 4 if o.value == usual[o.method] else 3
        np.testing.assert_array_equal(o.index, same.index[:most])  # the first that show the part
        np.testing.assert_allclose(o.effect, same.effect[:most], rtol=2e-3, atol=1e-3)


def test_a_comparison_refuses_what_it_cannot_do(lively: StyleGAN2, catalog: Catalog) -> None:
    with pytest.raises(ValueError, match="no part named 'nose'"):
        compare(lively, catalog, PAIRS, parts=["nose"], progress=False)
    with pytest.raises(ValueError, match="pairs must be a non-empty list"):
        compare(lively, catalog, [], progress=False)
    with pytest.raises(ValueError, match="curve_pairs must be at least 1"):
        compare(lively, catalog, PAIRS, curve_pairs=0, progress=False)
    with pytest.raises(ValueError, match="usual must be one of values"):
        Method("mine", "k", (1.0, 2.0), 3.0, lambda batch, part, value: batch.targets)


# -- reports -------------------------------------------------------------------------------------------------


def outcome(
    arrival: list[float], visible: list[float], *, value: float, index: list[int] | None = None
) -> Outcome:
    n, a, v = len(arrival), np.array(arrival), np.array(visible)
    ones, places = np.ones(n), np.arange(n) if index is None else np.array(index)
    return Outcome("p", "m", a, a, a, value, places, ones, ones, ones - a, ones, v, ones, ones)


def test_arrival_within_what_is_visible_is_read_off_the_curve() -> None:
    points = [outcome([0.2] * 4, [0.02] * 4, value=1), outcome([0.6] * 4, [0.10] * 4, value=2)]
    for visible, expected in ((0.01, 0.1), (0.02, 0.2), (0.05, 0.35), (0.1, 0.6), (0.5, 0.6), (0.0, 0.0)):
        found = reached(points, visible=visible, pairs=4)
        assert found.shape == (2001,)
        np.testing.assert_allclose(found, expected, atol=1e-12)
    # a setting that makes things worse is not turned further; one that nobody sees is worth all it does
    worse = [*points, outcome([0.3] * 4, [0.04] * 4, value=3)]
    np.testing.assert_allclose(reached(worse, visible=0.05, pairs=4)[0], 0.35)
    clean = [outcome([0.9] * 4, [0.0] * 4, value=1)]
    np.testing.assert_allclose(reached(clean, visible=0.0, pairs=4), 0.9)
    # and what leads away from the reference is worth less than no edit
    assert not reached([outcome([-0.5] * 4, [0.0] * 4, value=1)], visible=0.1, pairs=4).any()


def test_a_report_is_kept_by_its_file(compared: Comparison, tmp_path: Path) -> None:
    found = report(compared, visible=0.1, note="noise")
    again = Report.load(found.save(tmp_path / "numbers.json"))
    assert (again.pairs, again.curve_pairs, again.visible, again.note) == (5, 5, 0.1, "noise")
    assert again.methods == ["sequential", "feature blending", "pixel compositing", "global"]
    assert len(again.rows) == len(found.rows) == len(compared.outcomes)
    for one, two in zip(found.rows, again.rows, strict=True):
        assert (one.part, one.method, one.value, one.usual, one.pairs) == (
            two.part, two.method, two.value, two.usual, two.pairs,
        )  # fmt: skip
        np.testing.assert_allclose(one.effect_share, two.effect_share, rtol=1e-4)
        np.testing.assert_allclose(one.arrival, two.arrival, rtol=1e-4, atol=1e-4)
    twice = Report.load(again.save(tmp_path / "again.json"))
    assert twice.rows == again.rows
    assert str(twice.table()) == str(again.table())
    assert str(again.reach_table()) == str(found.reach_table())
    content = json.loads((tmp_path / "numbers.json").read_text())
    short = [content["rows"][0].rpartition(" | ")[0], *content["rows"][1:]]
    for wrong in ({"rows": short}, {"unedited": [1]}, {"pairs": "six"}, {"visible": "much"}):
        (tmp_path / "numbers.json").write_text(json.dumps({**content, **wrong}))
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
    assert row.effect_share[0] > 0
    # (the arrival was not measured then, and neither its table nor its figure makes one up)
    assert row.arrival is whole.arrival is whole.reach is None
    assert "arrival" not in str(found.table())
    with pytest.raises(ValueError, match="report: holds no arrivals"):
        tradeoff_curves(found)
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
        for name in ("effect_share", "leak_share", "arrival", "visible", "halo", "local", "reach"):
            mean = np.mean([getattr(p, name)[0] for p in parts])
            assert getattr(whole, name)[0] == pytest.approx(mean, nan_ok=True)
        assert whole.frechet == pytest.approx(np.mean([p.frechet for p in parts]))
        usual = [r for r in found.rows if r.method == method and r.usual]
        assert whole.effect_share[0] == pytest.approx(np.mean([r.effect_share[0] for r in usual]))
    columns = list(found.table().columns)
    assert columns[2:6] == ["arrival", "visible outside", "halo", "local × 1000"]
    assert columns[-1] == "arrival at 2% visible"
    # exchanging everything arrives, and everything outside is seen
    everything = found.summary("global")
    assert everything.arrival == everything.halo == everything.leak_share == (1, 1, 1)


# -- realism -------------------------------------------------------------------------------------------------


def two_samples(count: int = 240, width: int = 6) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    mix = random.normal(size=(width, width))
    return random.normal(size=(count, width)), random.normal(size=(count, width)) @ mix * 0.3 + 0.2


def test_distances_equal_their_formulas() -> None:
    first, second = two_samples()
    a, b = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    shift = first.mean(0) - second.mean(0)
    expected = shift @ shift + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-6)
    few, other = first[:12], second[:12]
    own = bootstrap(off_diagonal, kernel_terms(few, other))
    assert own[0] == pytest.approx(_mmd(few, other), rel=1e-9)
    counts = bootstrap(lambda counts, _: counts, np.zeros(12)).astype(int)
    for r in (1, 2, 2000):  # a resample leaves out what an item has with its copies, as with itself
        held = np.repeat(np.arange(12), counts[r])
        assert own[r] == pytest.approx(_mmd(few[held], other[held], held), rel=1e-9)


def _mmd(x: np.ndarray, y: np.ndarray, items: np.ndarray | None = None) -> float:
    """Unbiased squared maximum mean discrepancy of pairs, by loops over two different ones."""

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / len(a) + 1) ** 3)

    names = np.arange(len(x)) if items is None else items
    two = [(i, j) for i in range(len(x)) for j in range(len(x)) if names[i] != names[j]]
    terms = [
        kernel(x[i], x[j]) + kernel(y[i], y[j]) - kernel(x[i], y[j]) - kernel(x[j], y[i]) for i, j in two
    ]
    return float(np.mean(terms))


def test_the_kernel_distance_is_unbiased_also_for_pairs_and_nothing_for_no_edit() -> None:
    """An edit is like its target: comparing the two with each other would count as likeness of samples."""
    random, distances = np.random.default_rng(0), []
    for _ in range(300):
        target, noise = random.normal(size=(2, 12, 3))
        x = (target + 0.5 * noise) / np.sqrt(1.25)  # of the same distribution, and near its target
        distances.append(bootstrap(off_diagonal, kernel_terms(x, target))[0])
    assert abs(np.mean(distances)) < 3 * np.std(distances) / np.sqrt(300)
    np.testing.assert_allclose(bootstrap(off_diagonal, kernel_terms(target, target)), 0, atol=1e-12)
    same = Realism("p", "m", np.arange(12), target, target, target + 2, target)
    assert same.local(12)[0] > 1
    assert same.kernel(12)[0] == pytest.approx(0, abs=1e-12)


def test_samples_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must have the same shape \(n, D\); got \(3, 4\) and \(2, 4\)"):
        kernel_terms(np.zeros((3, 4)), np.zeros((2, 4)))


def test_features_are_pooled_over_the_picture_or_a_mask() -> None:
    maps = torch.arange(32.0).reshape(1, 2, 4, 4)
    mask = torch.zeros(1, 8, 8).bool()
    mask[0, :2, :2] = True  # one position of the map
    assert pooled([maps, maps[:, :1]]).tolist() == [[7.5, 23.5, 7.5]]
    assert pooled(maps, mask).tolist() == [[0.0, 16.0]]
    vectors = torch.ones(2, 5)
    assert torch.equal(pooled(vectors), vectors)
    assert torch.equal(pooled(vectors, mask), vectors)


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
        generator, catalog, part, visible=0.05, pairs=PAIRS, settings=base, rhos=rhos, epsilons=epsilons,
        segmenter=Quarters(), progress=False, batch_size=2,
    )  # fmt: skip
    grid = [(r, e) for r in rhos for e in epsilons]
    assert [(t.settings.rho, t.settings.epsilon) for t in found.trials] == grid
    mask = one_batch(generator, catalog).masks[part]
    shares = {}
    for rho in rhos:
        for epsilon in epsilons:
            q = QuerySettings(rho=rho, epsilon=epsilon, coarse=1.0, rgb=1.0).query(catalog, part)
            missing = distance = visible = 0.0
            for n, (s, r) in enumerate(PAIRS):
                styles = [generator.sample_styles(x, truncation=0.7) for x in (s, r)]
                images = [generator.synthesize(x) for x in (*styles, transfer(*styles, q))]
                change, rest, most = (
                    reference.color_difference(images[i], images[j])[0] ** 2
                    for i, j in ((0, 2), (1, 2), (0, 1))
                )
                at = mask[n].numpy()
                missing, distance = missing + rest[at].sum(), distance + most[at].sum()
                visible += (change[~at] > 25).mean() / len(PAIRS)
            shares[rho, epsilon] = 1 - missing / distance, visible
    for t in found.trials:
        expected = shares[t.settings.rho, t.settings.epsilon]
        np.testing.assert_allclose((t.arrival[0], t.visible[0]), expected, rtol=1e-3, atol=2e-3)
    fitting = {k: v for k, v in shares.items() if v[1] <= 0.05}
    assert 0 < len(fitting) < len(shares)
    most = max(a for a, _ in fitting.values())
    assert found.best.arrival[0] == pytest.approx(most, rel=1e-3)
    ties = [t for t in found.trials if (t.arrival, t.visible) == (found.best.arrival, found.best.visible)]
    assert found.settings.rho == max(t.settings.rho for t in ties)  # of equal ones that of the highest price
    for t in found.frontier:  # nothing beats a point of the Pareto curve in both
        assert not any(o.arrival[0] > t.arrival[0] and o.visible[0] <= t.visible[0] for o in found.trials)
    seen = [t.visible[0] for t in found.frontier]
    assert seen == sorted(seen)


def one_batch(generator: QuarterGenerator, catalog: Catalog):  # type: ignore[no-untyped-def]
    options = {"truncation": 0.7, "segmenter": Quarters(), "progress": False}
    return next(iter(pair_batches(generator, catalog, PAIRS, **options)))  # type: ignore[arg-type]


def test_tuning_says_when_nothing_fits(blurred: tuple[QuarterGenerator, Catalog]) -> None:
    generator, catalog = blurred
    options = {"pairs": PAIRS, "rhos": [0.0], "segmenter": Quarters(), "progress": False}
    with pytest.raises(ValueError, match="no setting of the grid keeps 'north-west' to 0"):
        tune(generator, catalog, NAMES[0], visible=0, epsilons=[50.0], **options)
    with pytest.raises(ValueError, match="rhos and epsilons must each hold a value"):
        tune(generator, catalog, NAMES[0], epsilons=[], **options)
    with pytest.raises(ValueError, match="no part named 'nose'"):
        tune(generator, catalog, "nose")
    with pytest.raises(ValueError, match="visible must be"):
        tune(generator, catalog, NAMES[0], visible=-1)


def test_tuned_settings_lie_beside_a_catalog(
    blurred: tuple[QuarterGenerator, Catalog], tmp_path: Path
) -> None:
    generator, catalog = blurred
    catalog.save(tmp_path)
    assert load_settings(tmp_path, catalog) == {}
    options = {"rhos": [0.3], "epsilons": [0.5, 1.0], "segmenter": Quarters(), "progress": False}
    tuned = tune(generator, catalog, NAMES[0], visible=1, pairs=PAIRS, **options)  # type: ignore[arg-type]
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
    assert (stability(vectors, [4], images=images, n_init=4)[4] == 1).all()
    noise = torch.randn(240, 4, generator=random)
    found = stability(noise, [6], images=range(240), seeds=range(3))[6]
    assert found.mean() < 0.9
    assert found.shape == (3,)
    with pytest.raises(ValueError, match="images must name the image of each of the 240 vectors"):
        stability(vectors, [4], images=torch.zeros(240))
