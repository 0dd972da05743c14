"""Dissection: what contributions cost beside synthesis, memory against images, and the whole beside what one
would write with the official generator, hooks and scikit-learn.
"""

from __future__ import annotations

import functools
import importlib
import pickle
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from harness import Row, clock, in_process, interleaved, skip
from torch.nn.functional import interpolate, normalize

import lefs
from lefs import Catalog, StyleGAN2, StyleGAN2Config, energies
from lefs.activations import collect
from lefs.factorization import assign
from lefs.generator import Generator
from lefs.workers import Sample

CLUSTERS, LAYER = 20, "b32.conv1"
WIDTHS = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128}  # configuration F
GiB = 2**30


@functools.cache
def generator(name: str) -> Generator:
    """The small embedded generator, or configuration F at 256 × 256 with random weights."""
    if name == "portraits-64":
        return lefs.load(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = StyleGAN2(StyleGAN2Config(256, 512, 512, WIDTHS)).eval()
    network.freeze()
    return network


BATCHES = {"portraits-64": 16, "configuration F, 256²": 2}


def bench_contributions() -> Iterator[Row]:
    """The sums of energy inside clusters, of all layers, beside the synthesis that they are taken from."""
    for name, size in BATCHES.items():
        network = generator(name)
        layer = network.layer(network.default_layer)
        centers = normalize(torch.randn(CLUSTERS, layer.channels, generator=torch.Generator().manual_seed(0)))
        with torch.inference_mode():
            styles = network.sample_styles(range(size))
            maps = [(la, network.record(styles, la.name)[la.name].clone()) for la in network.layers]
            # (as they come: the layers of one size see the same maps)
            shared = {la.name: maps[i - 1][1] for i, (la, _) in enumerate(maps) if same_input(maps, i)}
            maps = [(la, shared.get(la.name, a)) for la, a in maps]
            clustered = next(a for la, a in maps if la.name == layer.name)

            def contributions(maps: Any = maps, clustered: Any = clustered, centers: Any = centers) -> None:
                partition = energies._Partition(assign(clustered, centers))
                for la, a in maps:
                    partition.energy(la, a)

            synthesis = functools.partial(network.synthesize, styles)
            ours, theirs = (s / size for s in interleaved(contributions, synthesis, repeats=4))
        note = f"{ours / theirs:.0%} of synthesis; K = {CLUSTERS}, an image"
        yield Row(f"contributions, {name}", ours, theirs, "synthesis", target=1 / 0.15, note=note)


def same_input(maps: list[tuple[Any, Any]], i: int) -> bool:
    return i > 0 and maps[i - 1][1].shape == maps[i][1].shape and torch.equal(maps[i - 1][1], maps[i][1])


def bench_passes() -> Iterator[Row]:
    """What one pass over the images could save at most."""
    for name, size in BATCHES.items():
        network = generator(name)
        sample = Sample(network, range(size), batch_size=size, progress=False)
        layer = network.default_layer
        centers = normalize(torch.ones(CLUSTERS, network.layer(layer).channels))
        first, second = interleaved(
            functools.partial(collect, sample, layer, max_vectors=300 * size, random_state=0),
            functools.partial(energies.measured, sample, Catalog.of(sample, layer, centers)),
            repeats=3,
        )
        note = (
            f"the first pass ends at {layer}, and takes {first / second:.0%} of the second; of 10,000 images "
        )
        note += f"{first / second * 1024 / 10_000:.0%}, as it looks at 1,024"
        both = (first + second) / size
        yield Row(f"two passes, {name}", both, second / size, "the second alone", note=note)


# -- memory ------------------------------------------------------------------------------------------------


def bench_memory(quick: bool, full: bool) -> Iterator[Row]:
    """Peak memory of whole processes that dissect more and more portraits."""
    counts = [100, 400] if quick else [100, 1000, 10_000] if full else [100, 1000]
    found = {n: in_process("bench_dissection", "dissect_portraits", images=n) for n in counts}
    peaks = {n: f["peak"] / 2**20 for n, f in found.items()}
    for n in counts[1:]:
        beyond = (found[n]["peak"] - found[n]["start"]) / 2**20
        note = f"{beyond:.0f} MiB beyond what Python, torch and lefs take; {found[n]['seconds']:.0f} s"
        least = peaks[counts[0]]
        name = f"peak memory, dissection of {n:,} of portraits-64"
        yield Row(name, peaks[n], least, f"of {counts[0]} of them", "MiB", 1 / 1.1, note)


def dissect_portraits(images: int) -> dict[str, float]:
    start = clock()
    lefs.dissect(lefs.load("portraits-64"), range(images), clusters=CLUSTERS, progress=False)
    return {"seconds": clock() - start}


# -- end to end --------------------------------------------------------------------------------------------


def bench_end_to_end(official: Path | None, quick: bool) -> Iterator[Row]:
    """From a file of configuration F at 256 × 256 (random weights) to contributions, in processes."""
    images = 16 if quick else 200
    title = f"dissection end to end, configuration F, 256², {images} images"
    if official is None:
        yield skip(title, "no --official")
        return
    with tempfile.TemporaryDirectory() as folder:
        file = snapshot(Path(folder), official)
        paths = {"file": str(file), "official": str(official)}
        # The usual way keeps 31 million values an image: as many images as there is memory for.
        fits = max(2, min(images, int(0.7 * available() / (30.7e6 * 4 * 1.3))))
        usual = in_process("bench_dissection", "usual_way", images=fits, **paths)
        ours = in_process("bench_dissection", "our_way", images=images, **paths)
    name = "official generator, hooks, scikit-learn"
    measured = "" if fits == images else f"the baseline of {fits} images, the rest extrapolated"
    scale = images / fits
    yield Row(title, ours["seconds"], usual["seconds"] * scale, name, target=1.0, note=measured)
    grown = (usual["peak"] - usual["start"]) * scale + usual["start"]
    peaks = ours["peak"] / GiB, grown / GiB
    yield Row(f"peak memory, the same {images} images", *peaks, name, "GiB", 1.0, measured)


def available() -> float:
    """Bytes of memory that are free, on Linux."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024.0 for line in lines if line.startswith("MemAvailable"))


def snapshot(folder: Path, official: Path) -> Path:
    """A file as training leaves it, with random weights."""
    sys.path.insert(0, str(official))
    networks: Any = importlib.import_module("training.networks")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = networks.Generator(
            z_dim=512,
            c_dim=0,
            w_dim=512,
            img_resolution=256,
            img_channels=3,
            mapping_kwargs={"num_layers": 8},
            synthesis_kwargs={"channel_base": 32768, "channel_max": 512},
        )
        critic = networks.Discriminator(c_dim=0, img_resolution=256, img_channels=3, channel_base=2048)
    file, network = folder / "network-snapshot.pkl", network.eval().requires_grad_(False)
    with open(file, "wb") as f:
        content = {"G": network, "D": critic.eval(), "G_ema": network}
        pickle.dump(content | {"augment_pipe": None, "training_set_kwargs": {}}, f)
    return file


def our_way(file: str, official: str, images: int) -> dict[str, float]:
    start = clock()
    lefs.dissect(lefs.load(file), range(images), clusters=CLUSTERS, layer=LAYER, progress=False)
    return {"seconds": clock() - start}


def usual_way(file: str, official: str, images: int) -> dict[str, float]:
    """Hooks keep what every modulated layer gets; scikit-learn clusters; one product for each layer."""
    from sklearn.cluster import MiniBatchKMeans

    sys.path.insert(0, official)
    legacy: Any = importlib.import_module("legacy")
    start = clock()
    with open(file, "rb") as f:
        network = legacy.load_network_pkl(f)["G_ema"]
    kept: dict[str, list[torch.Tensor]] = {}
    for name, part in network.synthesis.named_modules():
        if hasattr(part, "affine"):
            part.register_forward_pre_hook(lambda _, given, n=name: kept.setdefault(n, []).append(given[0]))
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        for i in range(0, images, 4):
            z = torch.randn(min(4, images - i), 512, generator=generator)
            network(z, None, noise_mode="const", force_fp32=True)
        vectors = torch.cat([a.movedim(1, -1).flatten(0, -2) for a in kept[LAYER]])
        kmeans = MiniBatchKMeans(CLUSTERS, random_state=0).fit(normalize(vectors, dim=1).numpy())
        labels = torch.from_numpy(kmeans.labels_).long().reshape(images, 32, 32)
        masks = torch.nn.functional.one_hot(labels, CLUSTERS).movedim(-1, 1).float()
        for batches in kept.values():
            energy = torch.zeros(CLUSTERS, batches[0].shape[1])
            for a, mask in zip(batches, masks.split(4), strict=True):
                inside = interpolate(mask, size=a.shape[-1], mode="nearest")
                energy += torch.einsum("nkhw,nchw->kc", inside, a.square())
    return {"seconds": clock() - start}
