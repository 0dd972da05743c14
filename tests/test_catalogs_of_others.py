"""Catalogs that other people's code has pickled: their arrays are taken, nothing of them is run."""

from __future__ import annotations

import os
import pickle
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from lefs import ArtifactError, StyleGAN2
from lefs.factorization import assign
from lefs.files.catalogs import import_catalog


@pytest.fixture
def theirs() -> Iterator[Any]:
    """The two classes of the paper's code, by name only; gone again before anything is read."""
    module = types.ModuleType("factor_catalog")
    for name in ("FactorCatalog", "MiniBatchSphericalKMeans"):
        made = type(name, (), {"__module__": "factor_catalog"})
        setattr(module, name, made)
    sys.modules["factor_catalog"] = module
    yield module
    sys.modules.pop("factor_catalog", None)


def pickled(theirs: Any, path: Path, *, annotations: dict[str, Any] | None, centers: np.ndarray) -> Path:
    estimator = theirs.MiniBatchSphericalKMeans()
    estimator.n_clusters, estimator.cluster_centers_ = len(centers), centers
    whole = estimator
    if annotations is not None:
        whole = theirs.FactorCatalog()
        whole._factorization, whole.annotations, whole.M = estimator, annotations, [torch.rand(2, 3)]
    path.write_bytes(pickle.dumps(whole, protocol=3))
    del sys.modules["factor_catalog"]
    return path


@pytest.mark.parametrize("annotations", [None, {"eyes": [1, 3], "nose": [0]}])
def test_centres_and_names_are_taken_over(
    theirs: Any, annotations: dict[str, Any] | None, tiny: StyleGAN2, tmp_path: Path
) -> None:
    centers = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    path = pickled(theirs, tmp_path / "catalog.pkl", annotations=annotations, centers=centers)
    catalog = import_catalog(path, tiny, layer="b8.conv1", seeds=range(6), progress=False)
    torch.testing.assert_close(catalog.centers, normalize(torch.from_numpy(centers), dim=1))
    assert {n: list(ks) for n, ks in catalog.parts.items() if "cluster" not in n} == (annotations or {})
    with torch.inference_mode():
        maps = tiny.record(tiny.sample_styles(range(6)), "b8.conv1")["b8.conv1"].double()
    energy = torch.einsum("nchw,nkhw->kc", maps.square(), assign(maps, catalog.centers).double())
    expected = energy / energy.sum(dim=0)
    found = catalog.contributions[:, tiny.layer("b8.conv1").span]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)
    assert "factor_catalog" not in sys.modules


def test_the_layer_is_found_by_its_channels(theirs: Any, tiny: StyleGAN2, tmp_path: Path) -> None:
    path = pickled(theirs, tmp_path / "c.pkl", annotations=None, centers=np.eye(6, dtype=np.float32)[:4])
    assert tiny.layer(import_catalog(path, tiny, seeds=[0], progress=False).layer).channels == 6


@pytest.mark.parametrize(
    ("annotations", "centers", "message"),
    [
        (None, np.ones((3, 77), np.float32), "77 channels"),
        (None, np.zeros((3, 6), np.float32), "zero vectors"),
        (None, np.full((3, 6), np.nan, np.float32), "NaN"),
        (None, np.ones(6, np.float32), "not a pickled catalog"),
        ({"eyes": [9]}, np.eye(6, dtype=np.float32), "annotations"),
        ({"eyes": [True]}, np.eye(6, dtype=np.float32), "annotations"),
        ({" ": [1]}, np.eye(6, dtype=np.float32), "annotations: a part's name must be printable"),
        (None, np.zeros((0, 6), np.float32), "no vectors"),
        ({"eyes": [1], "nose": [1]}, np.eye(6, dtype=np.float32), "annotations"),
    ],
)
def test_what_does_not_fit_is_an_error(
    theirs: Any, annotations: Any, centers: np.ndarray, message: str, tiny: StyleGAN2, tmp_path: Path
) -> None:
    path = pickled(theirs, tmp_path / "c.pkl", annotations=annotations, centers=centers)
    with pytest.raises(ArtifactError, match=message):
        import_catalog(path, tiny, seeds=[0], progress=False)


class _Hostile:
    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.canary),)


def test_code_in_it_does_not_run(tiny: StyleGAN2, tmp_path: Path) -> None:
    path = tmp_path / "c.pkl"
    path.write_bytes(pickle.dumps({"cluster_centers_": _Hostile(tmp_path / "canary")}))
    with pytest.raises(ArtifactError, match="mkdir"):
        import_catalog(path, tiny, seeds=[0])
    assert not (tmp_path / "canary").exists()
