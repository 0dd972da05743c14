"""Fixtures that every test may ask for: the checkout, the embedded generator, a tiny random one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

# Read when torch is imported: waiting threads that sleep, instead of spinning on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
import torch

if TYPE_CHECKING:
    from lefs.catalog import Catalog
    from lefs.generator import Generator
    from lefs.models.stylegan2 import StyleGAN2

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Soak tests run when they are asked for; ``-m "not slow"`` does not ask for them."""
    if "soak" not in config.option.markexpr:
        left_out = [item for item in items if item.get_closest_marker("soak")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the checkout."""
    return ROOT


@pytest.fixture(autouse=True)
def processor_as_found() -> Iterator[None]:
    """Training makes the processor flush tiny numbers to zero; later tests are not to inherit that."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def portraits() -> Generator:
    """The small embedded generator, trained, of 64 x 64 portraits."""
    import lefs

    return lefs.load("portraits-64")


@pytest.fixture(scope="session")
def portraits_catalog() -> Catalog:
    """The labelled catalog that is shipped with it."""
    from lefs.catalog import Catalog

    return Catalog.load("portraits-64")


@pytest.fixture(scope="session")
def tiny() -> StyleGAN2:
    """A StyleGAN2 of 16 x 16 with random weights: any image it makes is noise, but every shape is real."""
    from lefs.models.stylegan2 import StyleGAN2, StyleGAN2Config

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = StyleGAN2Config(resolution=16, z_dim=12, w_dim=12, channels={4: 10, 8: 8, 16: 6})
        return StyleGAN2(config).eval()


@pytest.fixture(scope="session")
def lively() -> StyleGAN2:
    """A frozen StyleGAN2 of 16 x 16 in which noise, biases and the mean w are random too, and channel 3 of
    the constant input is dead.
    """
    from helpers import random_network

    return random_network(seed=1, dead=3)
