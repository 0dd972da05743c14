"""How generated portraits are judged: distances, neighbours, names of clusters, a table of two models."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from helpers import made_up_catalog, stored

import lefs
from data.portraits.recipe.measure import compare, distances, judge, label, tune
from data.portraits.recipe.measure.distances import nearest, precision_recall, sample_distances
from data.portraits.recipe.measure.neighbours import (
    Looks,
    compare_neighbours,
    find_neighbours,
    neighbour_sheet,
)
from lefs.evaluation import agreement_table, load_settings, locality, name_by_truth, seed_pairs
from lefs.files import save_generator
from lefs.segmenters import PartSegmenter

DATA = Path(__file__).resolve().parents[1] / "data"


def gaussian(count: int, width: int, *, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, width)) + shift


# ------------------------------------------------------------------------------------ Fréchet distance


def sample_with(mean: np.ndarray, covariance: np.ndarray, count: int = 400) -> np.ndarray:
    """A sample whose mean and covariance are exactly the given ones."""
    raw = np.random.default_rng(0).standard_normal((count, len(mean)))
    raw -= raw.mean(0)
    white = raw @ np.linalg.inv(scipy.linalg.sqrtm(np.cov(raw, rowvar=False)))
    return white @ scipy.linalg.sqrtm(covariance) + mean


def test_frechet_distance_equals_its_closed_form():
    mean, deviations = np.array([1.0, -2, 0.5]), (np.array([1.0, 2, 3]), np.array([2.0, 2, 0.5]))
    first = sample_with(np.zeros(3), np.diag(deviations[0] ** 2))
    second = sample_with(mean, np.diag(deviations[1] ** 2))
    expected = mean @ mean + ((deviations[0] - deviations[1]) ** 2).sum()
    assert sample_distances(first, second)[0] == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_agrees_with_the_matrix_root():
    stream = np.random.default_rng(1)
    a, b = (f @ f.T + np.eye(6) for f in stream.standard_normal((2, 6, 6)))
    expected = np.trace(a + b - 2 * scipy.linalg.sqrtm(a @ b).real)
    found = sample_distances(sample_with(np.zeros(6), a), sample_with(np.zeros(6), b))[0]
    assert found == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_of_a_sample_to_itself_is_zero():
    sample = np.random.default_rng(0).standard_normal((50, 4))
    assert sample_distances(sample, sample)[0] == pytest.approx(0, abs=1e-9)


def test_distances_refuse_samples_that_are_too_small():
    with pytest.raises(ValueError, match="give more images"):
        sample_distances(np.zeros((4, 4)), np.zeros((4, 4)))
    with pytest.raises(ValueError, match=r"expected shapes \(N, D\) and \(M, D\)"):
        sample_distances(np.zeros((9, 3)), np.zeros((9, 4)))


# ------------------------------------------------------------------------------------ kernel distance


def brute_force_mmd(first: np.ndarray, second: np.ndarray) -> float:
    """Unbiased squared MMD, a pair at a time."""

    def kernel(a, b):
        return (float(np.dot(a, b)) / len(a) + 1) ** 3

    n, m = len(first), len(second)
    own = sum(kernel(a, b) for i, a in enumerate(first) for j, b in enumerate(first) if i != j)
    other = sum(kernel(a, b) for i, a in enumerate(second) for j, b in enumerate(second) if i != j)
    between = sum(kernel(a, b) for a in first for b in second)
    return own / (n * (n - 1)) + other / (m * (m - 1)) - 2 * between / (n * m)


def test_kernel_distance_equals_its_definition():
    first, second = gaussian(31, 5, seed=0), gaussian(31, 5, seed=1, shift=0.4)
    found = [brute_force_mmd(first[i : i + 15], second[i : i + 15]) for i in (0, 15)]
    mean, error = sample_distances(first, second)[1]
    assert mean == pytest.approx(np.mean(found), rel=1e-12)
    assert error == pytest.approx(np.std(found, ddof=1) / np.sqrt(2), rel=1e-12)


def test_kernel_distance_is_unbiased_and_sees_a_shift():
    same = [sample_distances(gaussian(100, 4, seed=s), gaussian(100, 4, seed=s + 50))[1] for s in range(40)]
    means = np.array([mean for mean, _ in same])
    assert abs(means.mean()) < 3 * means.std(ddof=1) / np.sqrt(len(means))
    mean, _ = sample_distances(gaussian(100, 4, seed=1), gaussian(100, 4, seed=2, shift=1))[1]
    assert mean > 5 * means.std()


# ------------------------------------------------------------------------------- precision and recall


def brute_force_share(points: np.ndarray, manifold: np.ndarray, k: int) -> float:
    """Share of points inside some ball around a point of the manifold, a pair at a time."""
    inside = 0
    for point in points:
        for centre in manifold:
            radius = sorted(float(np.linalg.norm(centre - other)) for other in manifold)[k]
            if np.linalg.norm(point - centre) <= radius:
                inside += 1
                break
    return inside / len(points)


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_equal_their_definition(k):
    real, made = gaussian(40, 3, seed=0), gaussian(35, 3, seed=1, shift=1.2)
    expected = brute_force_share(made, real, k), brute_force_share(real, made, k)
    assert precision_recall(real, made, neighbours=k) == pytest.approx(expected)
    assert 0 < min(expected) < max(expected) < 1


def test_precision_and_recall_do_not_depend_on_chunks(monkeypatch):
    real, made = gaussian(60, 3, seed=0), gaussian(60, 3, seed=1)
    whole = precision_recall(real, made), nearest(made, real)
    monkeypatch.setattr(distances, "CHUNK", 7)
    pieces = precision_recall(real, made), nearest(made, real)
    assert whole[0] == pieces[0]
    for one, two in zip(whole[1], pieces[1], strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_generator_of_one_mode_has_precision_and_no_recall():
    real = np.concatenate([gaussian(100, 2, seed=0), gaussian(100, 2, seed=1, shift=100)])
    precision, recall = precision_recall(real, gaussian(200, 2, seed=2))
    assert precision > 0.9
    assert 0.3 < recall < 0.55


def test_precision_and_recall_refuse_too_few_images():
    with pytest.raises(ValueError, match="expected 1 to 2, got 3"):
        precision_recall(np.zeros((3, 2)), np.zeros((9, 2)))
    with pytest.raises(ValueError, match="expected shapes"):
        precision_recall(np.zeros((9, 3)), np.zeros((9, 2)))


# ------------------------------------------------------------------------------------------ duplicates


def test_nearest_is_the_nearest_and_exact_for_copies():
    references = gaussian(80, 6, seed=0, shift=1e4)  # far from the origin, where products lose digits
    queries = np.concatenate([gaussian(20, 6, seed=1, shift=1e4), references[[5, 70]]])
    distances, indices = nearest(queries, references)
    table = np.array([[np.linalg.norm(q - r) for r in references] for q in queries])
    np.testing.assert_array_equal(indices, table.argmin(1))
    np.testing.assert_allclose(distances, table.min(1))
    assert distances[-2:].tolist() == [0, 0]


def looks_of(images: np.ndarray) -> Looks:
    flat = images.reshape(len(images), -1)
    return Looks(flat, flat)


def test_a_copy_is_found_also_when_it_was_mirrored():
    images = gaussian(50, 4 * 4, seed=0).reshape(50, 4, 4)
    made = np.concatenate([images[[7]], images[[9], :, ::-1], gaussian(1, 16, seed=3).reshape(1, 4, 4)])
    found = find_neighbours([looks_of(made), looks_of(made[:, :, ::-1])], looks_of(images))["pixels"]
    assert found.indices[:2].tolist() == [7, 9]
    assert found.mirrored[:2].tolist() == [False, True]
    assert found.distances[:2].tolist() == [0, 0]
    assert found.distances[2] > 1
    pictures = np.repeat((images * 20 + 128).astype(np.uint8)[..., None], 3, axis=3)
    shown = found.among(pictures, np.array([1, 0]))
    np.testing.assert_array_equal(shown, [pictures[9, :, ::-1], pictures[7]])


def test_a_generator_that_copies_is_told_from_one_that_does_not():
    training, held_out = gaussian(2000, 4, seed=0), gaussian(1000, 4, seed=1)
    reference = nearest(held_out, training)[0]
    honest = compare_neighbours(nearest(gaussian(1000, 4, seed=2), training)[0], reference)
    copies = training[:1000] + 0.01 * gaussian(1000, 4, seed=3)
    copied = compare_neighbours(nearest(copies, training)[0], reference)
    assert honest["ratio_of_medians"] == pytest.approx(1, abs=0.1)
    assert honest["share_below_1_percent"] < 0.03
    assert copied["ratio_of_medians"] < 0.2
    assert copied["share_below_1_percent"] > 0.9
    with pytest.raises(ValueError, match="held_out"):
        compare_neighbours(reference, np.zeros(10))


def test_the_sheet_of_neighbours_shows_every_pixel_as_it_is():
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    figure = neighbour_sheet({"one": images, "two": images[::-1]}, np.array([0.5, 0.75]), title="few")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = np.asarray(canvas.buffer_rgba())[..., :3]
    places = np.lib.stride_tricks.sliding_window_view(drawn, (16, 16, 3)).reshape(-1, 16, 16, 3)
    for image in images:
        assert (places == image).all((1, 2, 3)).sum() == 2
    assert {"one", "two", "few", "0.50", "0.75"} <= {text.get_text() for text in figure.texts}


# ----------------------------------------------------------------------------------------------- judge


@pytest.fixture(scope="module")
def random_judge() -> PartSegmenter:
    """A segmenter with random weights and random statistics of its batches."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = PartSegmenter(("background", "hair", "skin"), width=2).eval()
        for name, tensor in network.state_dict().items():
            if "running_var" in name:
                tensor.uniform_(0.1, 0.3)
            elif "running_mean" in name:
                tensor.normal_(0, 0.1)
    return network


def test_the_quick_judge_sees_the_same(random_judge):
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    fast = judge.quick(random_judge)
    with torch.inference_mode():
        torch.testing.assert_close(fast.logits(images), random_judge.logits(images), rtol=1e-4, atol=1e-5)
        assert fast(images).unique().numel() > 1
        maps = random_judge.features(images)
        expected = torch.cat([x.mean((2, 3)) for x in maps], 1)
    found = judge.look(fast, [images[:2], images[2:]])
    np.testing.assert_allclose(found.features, expected, rtol=1e-4, atol=1e-5)
    boxes = images.double().reshape(3, 3, 16, 2, 16, 2).mean((3, 5)).flatten(1)
    np.testing.assert_allclose(found.pixels, boxes, rtol=1e-5, atol=1e-6)


def test_areas_are_shares_of_the_image(random_judge):
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    labels = random_judge(images).numpy()
    found = judge.areas(random_judge, [images[:3], images[3:]])
    for part in range(3):
        np.testing.assert_allclose(found[:, part], (labels == part).mean((1, 2)))


def test_training_images_are_read_or_rendered(tmp_path):
    images = judge.training_images(None, 5, 16)
    np.save(tmp_path / "images.npy", images)
    np.testing.assert_array_equal(judge.training_images(tmp_path, 3, 16), images[:3])
    np.testing.assert_array_equal(judge.training_images(tmp_path / "missing", 5, 16), images)
    for count, side in ((6, 16), (5, 32)):
        with pytest.raises(ValueError, match="leave --data out"):
            judge.training_images(tmp_path, count, side)


def test_too_few_images_are_refused_before_any_is_drawn(tiny, random_judge):
    with pytest.raises(ValueError, match="expected 46 or more for 22 features, got 45"):
        judge.measure(random_judge, tiny, 45, np.zeros((1, 16, 16, 3), np.uint8))


def test_the_command_states_everything_and_keeps_the_rest(tmp_path, tiny, random_judge, capsys):
    save_generator(tiny, tmp_path, name="tiny", training={"images": 3})
    random_judge.save(tmp_path / "judge.safetensors")
    arguments = [
        f"--generator={tmp_path}",
        f"--judge={tmp_path / 'judge.safetensors'}",
        "--count=120",
        "--training=30",
    ]
    judge.main([*arguments, "--write"])
    kept = stored(tmp_path / "generator.safetensors")
    quality = kept["quality"]
    assert kept["training"] == {"images": 3}
    assert quality["frechet_to_rendered"] > 10 * quality["frechet_between_rendered_halves"] >= 0
    assert quality["kernel_to_rendered"][0] > abs(quality["kernel_between_rendered_halves"][0])
    assert quality["precision"] < quality["precision_between_rendered_halves"] <= 1
    assert quality["recall"] < quality["recall_between_rendered_halves"] <= 1
    assert [row["truncation"] for row in quality["truncation_sweep"]["rows"]] == [0.5, 0.7, 0.85, 1]
    assert quality["duplicates"]["training_images"] == 30
    assert quality["duplicates"]["features"]["ratio_of_medians"] > 1
    assert set(quality["parts"]) == {"background", "hair", "skin"}
    assert (tmp_path / "neighbours.png").read_bytes().startswith(b"\x89PNG")
    assert lefs.load(tmp_path).size == (16, 16)
    assert "two rendered halves" in capsys.readouterr().out


# ----------------------------------------------------------------------------------- names of clusters


def random_table(clusters: int, parts: int, *, seed: int) -> np.ndarray:
    """Pixels of clusters in parts of very different size."""
    random = np.random.default_rng(seed)
    return random.gamma(0.3, size=(clusters, parts)) * 10.0 ** -np.arange(parts)


def brute_force_overlaps(table: np.ndarray, names: list[int]) -> np.ndarray:
    rows = []
    for part in range(table.shape[1]):
        own = sum(table[k].sum() for k, name in enumerate(names) if name == part)
        hit = sum(table[k, part] for k, name in enumerate(names) if name == part)
        truth = table[:, part].sum()
        rows.append([hit / truth, hit / own if own else 0, hit / (own + truth - hit)])
    return np.array(rows)


def test_overlaps_equal_their_definition():
    table, names = random_table(9, 4, seed=0), [0, 0, 2, -1, 1, 2, 0, -1, 1]
    expected = brute_force_overlaps(table, names)
    np.testing.assert_allclose(label.overlaps(table, names), expected)
    recall, purity, _ = expected.T
    harmonic = [2 / (1 / r + 1 / p) if r and p else 0 for r, p in zip(recall, purity, strict=True)]
    np.testing.assert_allclose(label.balance(table, names), harmonic)
    near = [min(r / 0.73, 1) * min(p / 0.53, 1) for r, p in zip(recall, purity, strict=True)]
    assert label.worth(table, names) == pytest.approx(np.mean(harmonic) + np.mean(near))


@pytest.mark.parametrize("seed", range(6))
def test_names_are_the_best_that_single_changes_lead_to(seed):
    table = random_table(6, 3, seed=seed)

    def worth(names):
        return label.worth(table, list(names))

    names = label.name_clusters(table, least=0)
    others = [[*names[:k], part, *names[k + 1 :]] for k in range(6) for part in range(3)]
    assert worth(names) >= max(map(worth, others)) - 1e-9
    alone = [int(part) for part in name_by_truth(table, "012")]
    assert worth(names) >= max(worth(alone), worth(table.argmax(1))) - 1e-9
    best = max(worth(any_names) for any_names in itertools.product(range(3), repeat=6))
    assert worth(names) > 0.97 * best


def test_a_part_that_cannot_be_told_apart_is_not_claimed():
    # most of the third part is in the third cluster, which is nearly all something else
    table = np.array([[900.0, 0, 0], [800, 10, 1], [0, 50, 4], [5, 700, 1]])
    assert label.name_clusters(table) == [0, 0, 1, 1]
    assert label.name_clusters(table, least=0) == [0, 0, 2, 1]
    assert label.name_clusters(table, least=1.1) in ([0] * 4, [1] * 4)


def test_agreement_states_what_the_library_finds(tiny):
    catalog = made_up_catalog(torch.rand(5, tiny.num_styles), tiny, ["hair", "skin", "hair", "halo", "eyes"])
    table, names = random_table(5, 4, seed=3) * 1e6, ("hair", "skin", "eyes", "ears")
    stated = label.agreement(catalog, table, names, 7)
    assert stated["parts"]["ears"] == {
        **stated["parts"]["ears"], "clusters": 0, "recall": 0, "purity": 0, "iou": 0,
    }  # fmt: skip
    for row in agreement_table(table, catalog.cluster_names, names).rows:
        part = stated["parts"][row[0]]
        assert str(part["clusters"]) == row[1]
        assert f"{part['share']:.1%}" == row[2]
        assert [part["recall"], part["purity"], part["iou"]] == pytest.approx(row[3:], abs=5e-4)
    lines = label.card(stated).splitlines()
    assert len(lines) == 6
    assert all(line.count("|") == 7 for line in lines)


# --------------------------------------------------------------------------------- the commands together


@pytest.fixture(scope="module")
def labelled(tmp_path_factory, lively, random_judge) -> Path:
    """A folder with a random generator, a random segmenter, and what label.py and tune.py make of them."""
    folder = tmp_path_factory.mktemp("models") / "random"
    save_generator(lively, folder, name="random")
    random_judge.save(folder)
    sizes = [
        "--images=6",
        "--clusters=5",
        "--judged=5",
        "--effect-images=2",
        "--least=0",
        "--layer=b16.conv0",
    ]
    label.main([f"--model={folder}", *sizes])
    tune.main([f"--model={folder}", "--pairs=3"])
    return folder


def test_a_catalog_is_labelled_where_its_model_lies(labelled, lively):
    catalog, stated = lefs.Catalog.load(labelled), json.loads((labelled / "agreement.json").read_text())
    assert catalog.layer == stated["layer"] == "b16.conv0"
    assert catalog.num_clusters == stated["clusters"] == 5
    assert catalog.effects is not None
    assert set(catalog.parts) <= {"background", "hair", "skin"} == set(stated["parts"])
    segmenter = lefs.load_segmenter(labelled)
    assert stated == label.agreement_of(lively, catalog, segmenter, 5)
    tuned = set(load_settings(labelled, catalog))
    assert tuned <= set(catalog.parts) - {"background"}


def test_survey_has_a_row_for_every_layer_and_number(labelled, capsys):
    label.main([f"--model={labelled}", "--survey", "--images=4", "--counts", "2", "3"])
    rows = capsys.readouterr().out.strip().splitlines()[2:]
    layers = label.fine_layers(lefs.load(labelled))
    assert [row.split(" | ")[:2] for row in rows] == [[f"| {la}", k] for la in layers for k in "23"]


def test_measuring_again_leaves_the_catalog_alone(labelled, tmp_path):
    before = (labelled / "catalog.safetensors").read_bytes()
    stated = (labelled / "agreement.json").read_text()
    label.main([f"--model={labelled}", "--measure", "--judged=5"])
    assert (labelled / "catalog.safetensors").read_bytes() == before
    assert (labelled / "agreement.json").read_text() == stated


def test_the_table_of_two_models_holds_what_was_measured(labelled):
    subject = compare.Subject.load(str(labelled))
    table = compare.compare([subject, subject], pairs=3)
    assert table.columns == ("", "random", "random")
    cells = {str(row[0]): row[1] for row in table.rows}
    assert len(cells) == len(table.rows)
    assert cells["resolution"] == "16 × 16"
    assert cells["Fréchet distance ÷ its floor"] == cells["precision (floor)"] == compare.MISSING
    stated = json.loads((labelled / "agreement.json").read_text())["parts"]
    for name, part in stated.items():
        expected = f"{part['recall']:.2f} / {part['purity']:.2f}" if part["clusters"] else compare.MISSING
        assert cells[f"{name}: recall / purity"] == expected
    found = locality(
        subject.model, subject.catalog, seed_pairs(3), settings=subject.settings, segmenter=subject.segmenter
    )
    for m in found:
        if m.method == "sequential" and m.part != "background":
            cell = cells[f"{m.part}: effect / leak (÷ exchanging all)"]
            assert cell.startswith(f"{m.effect.mean():.1f} / {m.leak.mean():.2f} (")


def test_quality_is_told_with_its_floor():
    quality = {
        "frechet_to_rendered": 0.03,
        "frechet_between_rendered_halves": 0.01,
        "precision": 0.8,
        "precision_between_rendered_halves": 0.9,
        "duplicates": {"features": {"ratio_of_medians": 1.04}, "pixels": {"ratio_of_medians": 0.98}},
    }
    assert compare._over_floor(quality) == "3.0 (0.0300 ÷ 0.0100)"
    assert compare._beside_floor(quality, "precision") == "0.800 (0.900)"
    assert compare._ratios(quality) == "1.04, 0.98"


def test_an_agreement_of_another_catalog_is_measured_anew(labelled):
    subject = compare.Subject.load(str(labelled))
    stated = json.loads((labelled / "agreement.json").read_text())
    assert subject.is_of_catalog(stated)
    assert not subject.is_of_catalog({**stated, "clusters": 4})
    other = {name: {**part, "clusters": part["clusters"] + 1} for name, part in stated["parts"].items()}
    assert not subject.is_of_catalog({**stated, "parts": other})
    assert not subject.is_of_catalog({**stated, "generator": {"fingerprint": "0", "label": ""}})


@pytest.mark.parametrize("path", sorted(DATA.glob("*/agreement.json")), ids=lambda path: path.parent.name)
def test_a_model_card_states_the_agreement_of_its_catalog(path):
    stated = json.loads(path.read_text())
    assert compare.Subject.load(str(path.parent)).is_of_catalog(stated)
    assert label.card(stated) in (path.parent / "README.md").read_text()
