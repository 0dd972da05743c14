"""Spherical k-means against planted truth, a naive float64 Lloyd, and faiss."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import reference
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch.nn.functional import normalize

from lefs import SphericalKMeans
from lefs import clustering as module

# (of KMeans, too: what is drawn at the start depends on how many rows there are)
STARTS = {"check_sample_weight_equivalence_on_dense_data": "a weight of 2 draws other starts than two rows"}


@parametrize_with_checks(
    [SphericalKMeans(n_clusters=2, n_init=2, random_state=0)], expected_failed_checks=lambda _: STARTS
)
def test_scikit_learn_contract(estimator: SphericalKMeans, check) -> None:  # type: ignore[no-untyped-def]
    check(estimator)


def planted(seed: int, *, clusters: int = 6, each: int = 150, width: int = 16, spread: float = 0.1):
    """Vectors around known directions, of lengths over six decades."""
    random = np.random.default_rng(seed)
    directions = np.linalg.qr(random.standard_normal((width, width)))[0][:clusters]
    labels = np.repeat(np.arange(clusters), each)
    vectors = directions[labels] + spread * random.standard_normal((len(labels), width))
    return vectors * 10 ** random.uniform(-3, 3, (len(labels), 1)), labels, directions


def mixed(seed: int, *, count: int = 4000, width: int = 24) -> np.ndarray:
    """Overlapping clusters with an offset, as activations have: no clear optimum."""
    blobs = make_blobs(count, width, centers=15, cluster_std=3.0, random_state=seed)[0]
    return np.maximum(blobs, -1).astype(np.float32)


def mean_cosine(data: np.ndarray, centers: np.ndarray) -> float:
    unit = data / np.linalg.norm(data, axis=1, keepdims=True)
    return float((unit @ (centers / np.linalg.norm(centers, axis=1, keepdims=True)).T).max(axis=1).mean())


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_planted_directions_are_found(seed: int, dtype: type) -> None:
    vectors, labels, directions = planted(seed)
    found = SphericalKMeans(6, random_state=seed).fit(vectors.astype(dtype))
    assert adjusted_rand_score(labels, found.labels_) >= 0.99
    assert (directions @ found.cluster_centers_.T).max(axis=1).min() > 0.99
    assert found.cluster_centers_.dtype == dtype


def test_not_worse_than_faiss(tmp_path: Path) -> None:
    """In another process: faiss brings its own OpenMP, which need not live beside torch's."""
    script = (
        "import sys, numpy as np, faiss\n"
        "faiss.omp_set_num_threads(1)\n"
        "for path in sys.argv[1:]:\n"
        "    data = np.load(path)\n"
        "    data /= np.linalg.norm(data, axis=1, keepdims=True)\n"
        "    kmeans = faiss.Kmeans(data.shape[1], 12, spherical=True, niter=100, nredo=4, seed=1,\n"
        "                          max_points_per_centroid=10**9)\n"
        "    kmeans.train(data)\n"
        "    np.save(path + '.centers.npy', kmeans.centroids)\n"
    )
    paths = [tmp_path / f"{seed}.npy" for seed in range(4)]
    for seed, path in enumerate(paths):
        np.save(path, mixed(seed))
    subprocess.run([sys.executable, "-c", script, *map(str, paths)], check=True, timeout=120)
    for seed, path in enumerate(paths):
        theirs = mean_cosine(mixed(seed), np.load(f"{path}.centers.npy"))
        ours = SphericalKMeans(12, n_init=4, random_state=seed).fit(mixed(seed))
        assert mean_cosine(mixed(seed), ours.cluster_centers_) >= 0.999 * theirs


@pytest.mark.parametrize("iterations", [1, 2, 5])
def test_equals_a_naive_lloyd(iterations: int) -> None:
    data = torch.from_numpy(mixed(0, count=300, width=8)).double()
    start = normalize(data[:5], dim=1)
    kmeans = SphericalKMeans(5, max_iter=iterations, tol=0)
    centers, last, done = kmeans._run(module._Rows.of(data), start)
    expected, labels, inertia = reference.lloyd(data.numpy(), start.numpy(), iterations=iterations)
    assert done == iterations
    np.testing.assert_allclose(centers.numpy(), expected, atol=1e-12)
    np.testing.assert_array_equal(last.labels.numpy(), labels)
    assert last.inertia == pytest.approx(inertia, rel=1e-12)


def test_the_end_is_a_fixed_point() -> None:
    data = mixed(1, count=500, width=8).astype(np.float64)
    found = SphericalKMeans(5, tol=0, max_iter=1000, random_state=0).fit(data)
    centers, labels, inertia = reference.lloyd(data, found.cluster_centers_, iterations=1)
    np.testing.assert_allclose(found.cluster_centers_, centers, atol=1e-10)
    np.testing.assert_array_equal(found.labels_, labels)
    assert found.inertia_ == pytest.approx(inertia, rel=1e-10)
    assert 1 < found.n_iter_ < 1000


def test_more_iterations_and_more_runs_never_hurt() -> None:
    data = torch.from_numpy(mixed(2)).double()
    start = normalize(data[:8], dim=1)
    runs = [
        SphericalKMeans(8, max_iter=n, tol=0)._run(module._Rows.of(data), start)[1].inertia
        for n in (1, 2, 4, 8, 16)
    ]
    assert runs == sorted(runs, reverse=True)
    assert runs[0] > runs[-1]
    best = [SphericalKMeans(8, n_init=n, random_state=3).fit(data).inertia_ for n in (1, 3, 9)]
    assert best == sorted(best, reverse=True)


def test_float32_agrees_with_float64() -> None:
    vectors = planted(0)[0]
    single, double = (SphericalKMeans(6, random_state=0).fit(vectors.astype(t)) for t in ("f4", "f8"))
    np.testing.assert_allclose(single.cluster_centers_, double.cluster_centers_, atol=1e-5)
    assert single.inertia_ == pytest.approx(double.inertia_, rel=1e-4)
    np.testing.assert_array_equal(single.labels_, double.labels_)


def test_tensors_and_arrays_give_the_same() -> None:
    data = mixed(3)
    from_array = SphericalKMeans(7, random_state=0).fit(data)
    from_tensor = SphericalKMeans(7, random_state=0).fit(torch.from_numpy(data))
    assert isinstance(from_array.labels_, np.ndarray)
    assert isinstance(from_tensor.labels_, torch.Tensor)
    np.testing.assert_array_equal(from_array.cluster_centers_, from_tensor.cluster_centers_.numpy())
    np.testing.assert_array_equal(from_array.labels_, from_tensor.labels_.numpy())


def test_half_precision_is_clustered_in_float32() -> None:
    vectors, labels, _ = planted(1)
    found = SphericalKMeans(6, random_state=0).fit(torch.from_numpy(vectors).bfloat16())
    assert found.cluster_centers_.dtype == torch.float32
    assert adjusted_rand_score(labels, found.labels_) >= 0.99


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_lengths_do_not_matter(seed: int) -> None:
    data = mixed(4, count=400, width=8)
    # powers of two are exact, so that not even a tie may change
    factors = 2.0 ** np.random.default_rng(seed).integers(-40, 40, (len(data), 1))
    plain, scaled = (SphericalKMeans(5, random_state=0, n_init=1).fit(x) for x in (data, (data * factors)))
    np.testing.assert_array_equal(plain.labels_, scaled.labels_)
    np.testing.assert_allclose(plain.cluster_centers_, scaled.cluster_centers_, atol=1e-5)
    np.testing.assert_array_equal(plain.predict(data), plain.predict((data * factors).astype(np.float32)))


def test_order_does_not_matter_to_a_clear_optimum() -> None:
    vectors = planted(2)[0]
    order = np.random.default_rng(0).permutation(len(vectors))
    plain, shuffled = (SphericalKMeans(6, random_state=0).fit(v) for v in (vectors, vectors[order]))
    assert plain.inertia_ == pytest.approx(shuffled.inertia_, rel=1e-10)
    assert adjusted_rand_score(plain.labels_[order], shuffled.labels_) == 1


def test_chunks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    data = mixed(5, count=1000).astype(np.float64)
    whole = SphericalKMeans(5, random_state=0).fit(data)
    monkeypatch.setattr(module, "_CHUNK", 7)
    pieces = SphericalKMeans(5, random_state=0).fit(data)
    np.testing.assert_allclose(pieces.cluster_centers_, whole.cluster_centers_, atol=1e-12)
    np.testing.assert_array_equal(pieces.labels_, whole.labels_)
    np.testing.assert_array_equal(pieces.predict(data), whole.labels_)


def test_zero_vectors_take_no_part() -> None:
    vectors = planted(3)[0]
    padded = np.concatenate([np.zeros((40, 16)), vectors, np.zeros((9, 16))])
    plain, found = (SphericalKMeans(6, random_state=0).fit(v) for v in (vectors, padded))
    # the same draws fall on the same non-zero vectors
    np.testing.assert_allclose(found.cluster_centers_, plain.cluster_centers_, atol=1e-12)
    assert found.inertia_ == pytest.approx(plain.inertia_, rel=1e-12)
    np.testing.assert_array_equal(found.labels_[40:-9], plain.labels_)


def test_only_zero_vectors_is_an_error() -> None:
    with pytest.raises(ValueError, match="n_clusters=1 is more than the 0 non-zero vectors"):
        SphericalKMeans(1).fit(np.zeros((5, 3)))


@pytest.mark.parametrize("zeros", [0, 3])
@pytest.mark.parametrize("seed", range(20))
def test_fewer_directions_than_clusters(seed: int, zeros: int) -> None:
    # by rounding, the cosine of a vector with itself may pass 1: then it fits "better" than a zero vector
    directions = np.random.default_rng(seed).standard_normal((2, 3)).astype(np.float32)
    data = np.concatenate([np.zeros((zeros, 3), np.float32), directions.repeat(4, axis=0)])
    found = SphericalKMeans(5, random_state=seed).fit(data)
    np.testing.assert_allclose(np.linalg.norm(found.cluster_centers_, axis=1), 1, rtol=1e-6)
    assert found.inertia_ == pytest.approx(0, abs=1e-5)
    assert adjusted_rand_score([0] * 4 + [1] * 4, found.labels_[zeros:]) == 1


def test_an_empty_cluster_is_seeded_again() -> None:
    vectors, labels, directions = planted(4, clusters=3)
    # the third centre looks away from everything, so that its cluster is empty at first
    start = torch.from_numpy(np.stack([directions[0], directions[1], -directions.sum(axis=0) / np.sqrt(3)]))
    centers, last, _ = SphericalKMeans(3)._run(module._Rows.of(torch.from_numpy(vectors)), start)
    assert adjusted_rand_score(labels, last.labels) == 1
    assert (centers.numpy() @ directions.T).max(axis=0).min() > 0.99


def test_opposite_vectors_of_one_cluster_keep_a_centre() -> None:
    found = SphericalKMeans(1, random_state=0).fit(np.array([[1.0, 0], [-1, 0]]))
    assert np.linalg.norm(found.cluster_centers_) == pytest.approx(1)
    assert found.inertia_ == pytest.approx(2)


def test_one_cluster_is_the_mean_direction() -> None:
    data = mixed(6).astype(np.float64)
    found = SphericalKMeans(1, random_state=0).fit(data)
    mean = (data / np.linalg.norm(data, axis=1, keepdims=True)).mean(axis=0)
    np.testing.assert_allclose(found.cluster_centers_[0], mean / np.linalg.norm(mean), atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_partial_fit_adds_up_unit_vectors(seed: int) -> None:
    vectors, labels, _ = planted(seed)
    order = np.random.default_rng(seed).permutation(len(vectors))
    kmeans, batches = SphericalKMeans(6, random_state=0), np.array_split(order, 9)
    for batch in batches:
        kmeans.partial_fit(vectors[batch])
    assert adjusted_rand_score(labels, kmeans.predict(vectors)) >= 0.99
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    sums = np.stack([unit[kmeans.predict(vectors) == k].sum(axis=0) for k in range(6)])
    expected = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    np.testing.assert_allclose(kmeans.cluster_centers_, expected, atol=1e-9)


def test_partial_fit_goes_on_from_fit() -> None:
    vectors = planted(6)[0]
    kmeans = SphericalKMeans(6, random_state=0).fit(vectors)
    before = kmeans.cluster_centers_
    kmeans.partial_fit(vectors)  # the same once more changes no direction
    np.testing.assert_allclose(kmeans.cluster_centers_, before, atol=1e-9)
    again = SphericalKMeans(6, random_state=0).partial_fit(vectors[::-1]).fit(vectors)
    np.testing.assert_array_equal(again.cluster_centers_, before)


# -- many vectors: runs on a sample, the best finished on all ---------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_a_sample_loses_nothing_of_a_good_start(seed: int) -> None:
    data = mixed(seed, count=20_000)
    every = SphericalKMeans(10, n_init=1, sample_size=None, random_state=seed).fit(data)
    some = SphericalKMeans(10, init=every.cluster_centers_, sample_size=4000, random_state=seed).fit(data)
    assert some.inertia_ <= 1.001 * every.inertia_
    assert some.labels_.shape == (20_000,)
    cosine = mean_cosine(data, some.cluster_centers_)
    assert some.inertia_ == pytest.approx(len(data) * (1 - cosine), rel=1e-4)
    np.testing.assert_array_equal(some.predict(data), some.labels_)


def test_what_the_runs_found_is_finished_on_all() -> None:
    """The centres are one Lloyd iteration on from others, with which all vectors fit less well."""
    data = torch.from_numpy(mixed(3)).double()
    found = SphericalKMeans(8, sample_size=500, random_state=0).fit(data)
    rough = SphericalKMeans(8, init=found.cluster_centers_, max_iter=1, tol=0).fit(data)
    assert rough.inertia_ <= found.inertia_
    before = SphericalKMeans(8, sample_size=None, random_state=0).fit(data[::8])
    _, last, iterations = before._run(module._Rows.of(data), before.cluster_centers_, most=2)
    assert iterations <= 2
    assert last.inertia <= module._look(module._Rows.of(data), before.cluster_centers_).inertia


def test_a_sample_of_all_is_all() -> None:
    data = mixed(1, count=1000)
    plain, capped = (SphericalKMeans(5, random_state=0, sample_size=s).fit(data) for s in (None, 1000))
    np.testing.assert_array_equal(plain.cluster_centers_, capped.cluster_centers_)
    # up to 24,576 the default sees all, too
    np.testing.assert_array_equal(SphericalKMeans(5, random_state=0).fit(data).labels_, plain.labels_)


def test_the_automatic_sample_is_what_its_description_says(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(
        SphericalKMeans, "_best", lambda self, rows, random: seen.append(len(rows.data)) or 1 / 0
    )
    data = np.random.default_rng(0).standard_normal((40_000, 2))
    data[:100] = 0  # zero vectors are not drawn
    for clusters in (3, 110):
        with pytest.raises(ZeroDivisionError):
            SphericalKMeans(clusters, random_state=0).fit(data)
    assert seen == [24_576, 110 * 256]


def test_zero_vectors_are_not_in_the_sample() -> None:
    vectors, labels, _ = planted(3)
    padded = np.concatenate([np.zeros((5000, 16)), vectors])
    found = SphericalKMeans(6, sample_size=300, random_state=0).fit(padded)
    assert adjusted_rand_score(labels, found.labels_[5000:]) == 1


def test_given_centres_are_where_the_run_begins() -> None:
    data = mixed(2, count=300, width=8).astype(np.float64)
    start = 3 * data[:5]  # of any length
    found = SphericalKMeans(5, init=start, max_iter=4, tol=0, n_init=9).fit(data)
    unit = start / np.linalg.norm(start, axis=1, keepdims=True)
    expected, labels, _ = reference.lloyd(data, unit, iterations=4)
    np.testing.assert_allclose(found.cluster_centers_, expected, atol=1e-12)
    np.testing.assert_array_equal(found.labels_, labels)
    assert found.n_iter_ == 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("moved", [0.01, 1.0])
def test_a_pass_after_another_equals_a_pass_from_nothing(dtype: torch.dtype, moved: float) -> None:
    """Adding and taking away what changed sides (few, or nearly all) gives the sums of all."""
    data = torch.from_numpy(mixed(8)).to(dtype)
    data[5:9] = 0
    rows, start = module._Rows.of(data), normalize(data[20:32], dim=1)
    other = normalize(start + moved * start.flip(0), dim=1)
    before, fresh = module._look(rows, start), module._look(rows, other)
    after = module._look(rows, other, before)
    changed = int((before.labels != fresh.labels).sum())
    assert (0 < changed < 1000) if moved < 1 else changed > 1000
    assert torch.equal(after.labels, fresh.labels)
    assert torch.equal(after.counts, fresh.counts)
    torch.testing.assert_close(after.sums, fresh.sums, atol=1e-3 if dtype == torch.float32 else 1e-10, rtol=0)


def test_a_cluster_that_is_left_by_all_keeps_no_remainder() -> None:
    directions = torch.eye(8)[[0] * 360 + [1] * 40]  # few enough to be taken away, not added up anew
    rows = module._Rows.of(
        directions + 0.1 * torch.from_numpy(np.random.default_rng(0).random((400, 8))).float()
    )
    before = module._look(rows, torch.eye(8)[:2])
    assert before.counts.tolist() == [360, 40]
    after = module._look(rows, torch.eye(8)[:2] * torch.tensor([[1], [-1]]), before)
    assert after.counts.tolist() == [400, 0]
    assert float(after.sums[1].abs().sum()) == 0


def test_batches_in_any_number_come_near_to_all_at_once() -> None:
    data = mixed(9, count=12_000)
    every = SphericalKMeans(10, random_state=0).fit(data)
    batched = SphericalKMeans(10, random_state=0)
    for batch in np.array_split(np.random.default_rng(0).permutation(data), 12):
        batched.partial_fit(batch)
    assert mean_cosine(data, batched.cluster_centers_) >= mean_cosine(data, every.cluster_centers_) - 0.01


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"init": "random"}, "init must be one of"),
        (
            {"init": np.ones((3, 3))},
            r"init must be 'k-means\+\+' or 2 finite non-zero centres, an array of shape",
        ),
        ({"init": np.zeros((2, 3))}, "finite non-zero"),
        ({"init": None}, "init must be 'k-means.*got None"),
        ({"init": [["a", "b", "c"], [1, 2, 3]]}, "init must be 'k-means.*got "),
        ({"init": [[1.0, 2.0, 3.0], [1.0]]}, "init must be 'k-means.*got "),
        ({"init": np.full((2, 3), np.nan)}, "finite non-zero"),
        ({"sample_size": 0}, "sample_size must be at least 1"),
        ({"sample_size": 1}, "sample_size=1 is less than n_clusters=2"),
    ],
)
def test_starts_and_samples_out_of_range(options: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        SphericalKMeans(2, **options).fit(np.random.default_rng(0).random((10, 3)))


@pytest.mark.parametrize("size", ["all", 2.5])
def test_a_sample_size_is_a_number(size: object) -> None:
    with pytest.raises(TypeError, match="sample_size must be an integer"):
        SphericalKMeans(2, sample_size=size).fit(np.random.default_rng(0).random((10, 3)))  # type: ignore[arg-type]


def test_same_state_same_result() -> None:
    data = mixed(7)
    one, two, other = (SphericalKMeans(9, random_state=s, n_init=1).fit(data) for s in (5, 5, 6))
    np.testing.assert_array_equal(one.cluster_centers_, two.cluster_centers_)
    assert not np.array_equal(one.cluster_centers_, other.cluster_centers_)


def test_global_seeds_are_left_alone() -> None:
    def state() -> bytes:
        return pickle.dumps((np.random.mtrand._rand.__getstate__(), torch.get_rng_state().tolist()))

    before = state()
    SphericalKMeans(9, random_state=5).fit(mixed(7))
    assert state() == before


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"n_clusters": 0}, "n_clusters must be at least 1, got 0"),
        ({"n_clusters": 11}, r"n_clusters=11 is more than the 10 non-zero vectors \(n_samples=10\)"),
        ({"n_init": 0}, "n_init must be at least 1"),
        ({"max_iter": 0}, "max_iter must be at least 1"),
        ({"tol": -1.0}, "tol must be"),
        ({"tol": float("nan")}, "tol must be"),
    ],
)
def test_parameters_out_of_range(options: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        SphericalKMeans(**{"n_clusters": 2, **options}).fit(np.random.default_rng(0).random((10, 3)))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (torch.full((4, 2), torch.nan), "NaN or infinite"),
        (torch.full((4, 2), torch.inf), "NaN or infinite"),
        (torch.ones(4), "float tensor of shape"),
        (torch.ones(4, 2, dtype=torch.int64), "float tensor of shape"),
        (torch.ones(0, 2), "float tensor of shape"),
    ],
)
def test_bad_tensors(data: torch.Tensor, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        SphericalKMeans(2).fit(data)


def test_another_width_is_refused() -> None:
    kmeans = SphericalKMeans(2, random_state=0).fit(torch.rand(10, 3))
    with pytest.raises(ValueError, match="X has 4 features, but SphericalKMeans is expecting 3"):
        kmeans.predict(torch.rand(10, 4))
    with pytest.raises(ValueError, match="n_clusters=5 is more than the 3"):
        SphericalKMeans(5).partial_fit(torch.rand(3, 3))


@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy])
def test_weights_count_vectors_more_than_once_or_not_at_all(make) -> None:
    data = mixed(4, count=300, width=8).astype(np.float64)
    often = np.random.default_rng(0).integers(0, 4, len(data)).astype(np.float64)
    many, start = np.repeat(data, often.astype(int), axis=0), data[:5]
    kmeans = SphericalKMeans(5, init=start)
    expected, found = (clone(kmeans).fit(make(many)), kmeans.fit(make(data), sample_weight=make(often)))
    np.testing.assert_allclose(found.cluster_centers_, expected.cluster_centers_, atol=1e-12)
    assert found.inertia_ == pytest.approx(expected.inertia_, rel=1e-12)
    assert found.score(make(data), sample_weight=make(often)) == pytest.approx(-found.inertia_, rel=1e-9)
    both = found.partial_fit(make(data), sample_weight=make(often)).sums_
    torch.testing.assert_close(both, 2 * expected.sums_, rtol=0, atol=1e-9)
    drawn = SphericalKMeans(5, random_state=0).fit(make(data), sample_weight=make(often))
    without = SphericalKMeans(5, random_state=0).fit(
        make(data[often > 0]), sample_weight=make(often[often > 0])
    )
    np.testing.assert_allclose(drawn.cluster_centers_, without.cluster_centers_, atol=1e-12)
    with pytest.raises(ValueError, match="Negative values"):
        kmeans.fit(make(data), sample_weight=make(-often))


def test_it_works_in_pipelines_and_searches() -> None:
    vectors, labels, _ = planted(0, each=40)
    steps = make_pipeline(Normalizer(), SphericalKMeans(random_state=0))
    search = GridSearchCV(steps, {"sphericalkmeans__n_clusters": [2, 6]}, cv=3).fit(vectors)
    assert search.best_params_ == {"sphericalkmeans__n_clusters": 6}
    assert adjusted_rand_score(labels, search.predict(vectors)) >= 0.99
    names = [f"sphericalkmeans{k}" for k in range(6)]
    assert [*clone(steps).set_output(transform="pandas").fit(vectors).transform(vectors)][:6] == names


def test_transform_and_score_are_distances_to_the_centres() -> None:
    x = np.random.default_rng(0).normal(size=(60, 5))
    x[3] = 0
    kmeans = SphericalKMeans(4, random_state=0).fit(x)
    found = kmeans.transform(x)
    live = np.linalg.norm(x, axis=1) > 0
    cosines = x[live] / np.linalg.norm(x[live], axis=1, keepdims=True) @ kmeans.cluster_centers_.T
    np.testing.assert_allclose(found[live], 1 - cosines, atol=1e-12)
    assert (found[~live] == 1).all()
    np.testing.assert_array_equal(found[live].argmin(axis=1), kmeans.predict(x)[live])
    assert kmeans.score(x) == pytest.approx(-kmeans.inertia_)
    assert isinstance(kmeans.transform(torch.from_numpy(x)), torch.Tensor)
