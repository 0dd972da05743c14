"""Readers of the older publishers' files, given trees in which anything may be anything."""

from __future__ import annotations

import random
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lefs.files import formats
from lefs.files.publishers import genforce, lernapparat, rosinality_stylegan, tensorflow
from lefs.files.reading import Global, Instance, read_tree
from lefs.records import ArtifactError

FIXTURES = Path(__file__).parent / "fixtures"
FOLDERS = {
    "tensorflow": tensorflow,
    "genforce": genforce,
    "rosinality_stylegan": rosinality_stylegan,
    "lernapparat": lernapparat,
}
NAMES = [
    "synthesis.layer99.weight",
    "mapping.dense99.weight",
    "999x999/Conv",
    "Dense7/weight",
    "new",
    5,
    None,
]


def oddity(draw: random.Random) -> Any:
    """Something that a file may hold, and that hardly ever fits."""
    plain = [None, 0, -1, 1e30, float("nan"), "x", "", b"", (), [], {}, True, 2**70]
    records = [Instance("a", "B"), Global("a", "b")]
    shapes = [(), (0,), (3,), (2, 3), (1, 1, 4, 4), (2, 2, 3, 3), (2, 3, 4, 5, 6)]
    tensors = [torch.ones(shape) for shape in shapes] + [torch.full((3,), torch.nan)]
    return draw.choice([*plain, *records, *tensors, torch.ones(2, dtype=torch.int64)])


def mutated_tensor(value: Tensor, draw: random.Random) -> Any:
    changes = [
        lambda v: v[:-1] if v.ndim else v,
        lambda v: v[..., :-1] if v.ndim else v,
        lambda v: v.unsqueeze(0),
        lambda v: v * torch.inf,
        lambda v: v.to(torch.int32),
        lambda v: v.double(),
        lambda _: oddity(draw),
    ]
    return draw.choice(changes)(value)


def mutated(value: Any, draw: random.Random) -> Any:
    """`value` with a change somewhere inside; what is not changed is shared with it."""
    if draw.random() < 0.05:
        return oddity(draw)
    if isinstance(value, Instance):
        return replace(value, state=mutated(value.state, draw))
    if isinstance(value, Tensor):
        return mutated_tensor(value, draw)
    if isinstance(value, dict) and value:
        changed, key, chance = dict(value), draw.choice(list(value)), draw.random()
        if chance < 0.1:
            del changed[key]
        elif chance < 0.2:
            changed[draw.choice(NAMES)] = oddity(draw)
        else:
            changed[key] = mutated(value[key], draw)
        return changed
    if isinstance(value, (list, tuple)) and value:
        items, index = list(value), draw.randrange(len(value))
        items[index : index + 1] = [] if draw.random() < 0.1 else [mutated(value[index], draw)]
        return type(value)(items)
    return oddity(draw)


@pytest.mark.parametrize("folder", FOLDERS)
def test_mutated_trees_load_or_are_refused(folder: str) -> None:
    reader, draw, outcomes = FOLDERS[folder], random.Random(folder), Counter[str]()
    names = sorted(p for p in (FIXTURES / folder).iterdir() if p.suffix in (".pkl", ".pt", ".pth", ".model"))
    trees = [read_tree(path) for path in names]
    for _ in range(250):
        tree = draw.choice(trees)
        for _ in range(draw.choice([1, 1, 2, 5])):
            tree = mutated(tree, draw)
        try:
            if not reader.matches(tree):
                outcomes["not theirs"] += 1
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                parsed = reader.read(tree, Path("file"))
                generator = formats.build(parsed, parsed.tensors, Path("file"))
            outcomes["loaded"] += 1
            assert all(bool(torch.isfinite(t).all()) for t in generator.state_dict().values())
        except ArtifactError:
            outcomes["refused"] += 1
    assert min(outcomes["loaded"], outcomes["refused"]) > 10
