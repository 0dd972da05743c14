"""Files that an older lefs wrote still mean the same; a version that nobody knows is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import stored

import lefs
from lefs.directions import Directions
from lefs.evaluation import load_settings
from lefs.evaluation.reports import Report
from lefs.units import UnitDissection

OLD = Path(__file__).parent / "fixtures" / "records"
DATA = Path(__file__).parent.parent / "data"


def test_an_older_generator_catalog_and_recipe_make_the_same_edit() -> None:
    expected = np.load(OLD / "expected.npz")
    generator, catalog = lefs.load(OLD), lefs.Catalog.load(OLD)
    assert generator.fingerprint == (OLD / "fingerprint.txt").read_text().strip()
    np.testing.assert_array_equal(catalog.contributions.numpy(), expected["contributions"])
    edit = lefs.Editor(generator, catalog).render(lefs.Recipe.load(OLD / "recipe.json"))
    np.testing.assert_array_equal(edit.queries.numpy(), expected["query"])
    np.testing.assert_allclose(edit.image.numpy(), expected["image"], rtol=0, atol=1e-5)


def test_what_older_catalogs_do_not_tell_is_not_made_up() -> None:
    catalog = lefs.Catalog.load(OLD)
    assert catalog.effects is not None
    assert catalog.effects_sampling is None
    own = catalog.sampling
    assert (own.n_init, own.max_vectors, own.sample_size) == (None, None, None)


def test_older_directions_and_units_belong_to_their_generator() -> None:
    generator = lefs.load(OLD)
    Directions.load(OLD).check_generator(generator)
    UnitDissection.load(OLD).check_generator(generator)


def test_a_catalog_is_written_as_it_was(tmp_path: Path) -> None:
    """The same keys and values, in one file, but for what says that two files belong together."""
    lefs.Catalog.load(OLD).save(tmp_path)
    old, new = (json.loads((OLD / "catalog.json").read_text()), stored(tmp_path / "catalog.safetensors"))
    assert (old.pop("version"), new.pop("version")) == (1, 2)
    assert len(old.pop("tensors_sha256")) == 64
    assert isinstance(new.pop("tensors_crc32"), int)
    assert old == new


SHIPPED = DATA / "portraits-64"
LOADERS: dict[str, tuple[Path, Callable[[Path], Any]]] = {
    "generator.json": (OLD, lambda path: lefs.load(path.parent)),
    "catalog.json": (OLD, lambda path: lefs.Catalog.load(path.parent)),
    "recipe.json": (OLD, lefs.Recipe.load),
    "directions.json": (OLD, lambda path: Directions.load(path.parent)),
    "units.json": (OLD, lambda path: UnitDissection.load(path.parent)),
    "settings.json": (
        DATA / "portraits-64",
        lambda path: load_settings(path.parent, lefs.Catalog.load("portraits-64")),
    ),
    "segmenter.json": (SHIPPED, lambda path: lefs.load_segmenter(path.parent)),
    "comparison.json": (DATA / "figures", Report.load),
}


@pytest.mark.parametrize("name", LOADERS)
def test_an_unknown_version_is_refused(name: str, tmp_path: Path) -> None:
    folder, load = LOADERS[name]
    for file in folder.glob(f"{Path(name).stem}.*"):
        shutil.copy(file, tmp_path)
    load(tmp_path / name)
    content = json.loads((tmp_path / name).read_text())
    (tmp_path / name).write_text(json.dumps({**content, "version": 99}))
    with pytest.raises(lefs.ArtifactError, match="has version 99, this lefs reads 1"):
        load(tmp_path / name)
