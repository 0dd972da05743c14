"""How fast images are made and edited, beside the official generator and beside what the machine can do.

    python tests/benchmarks/bench_editing.py --official CHECKOUT [--threads 1] [--quick]

CHECKOUT is one of stylegan2-ada-pytorch, or of stylegan3, which has both generations; its networks run with
their reference operators, as they do on a CPU, with the same random weights. Both sides take turns; the least
time of each counts (of the processor with one thread, of the clock with more). PSNR: the peak is the span of
the float32 image, which for trained networks is about that of [-1, 1]; grey levels are 255 over that span.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from harness import Options, Row, call, interleaved, machine, skip, table
from networks import stylegan3_config
from torch import Tensor
from torch.nn.functional import conv2d

import lefs
from lefs import StyleGAN2, StyleGAN2Config
from lefs.models.stylegan3 import StyleGAN3

OFFICIAL = "official, 1024²"


def random_stylegan2(resolution: int) -> StyleGAN2:
    """Configuration F with random weights, biases and noise."""
    channels = {2**k: min(32768 // 2**k, 512) for k in range(2, int(math.log2(resolution)) + 1)}
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        network = StyleGAN2(StyleGAN2Config(resolution, 512, 512, channels))
        for name, parameter in network.named_parameters():
            if name.startswith("synthesis") and name.endswith(("conv0.bias", "conv1.bias", "noise_strength")):
                parameter.normal_(0, 0.1)
    return network.freeze()  # type: ignore[return-value]


def official_network(checkout: Path, generation: int, ours: Any, **options: Any) -> Any:
    """The official generator with the weights of `ours`; None if the checkout has none of them."""
    names = {2: ("networks_stylegan2", "networks"), 3: ("networks_stylegan3",)}[generation]
    found = [name for name in names if (checkout / "training" / f"{name}.py").exists()]
    if not found:
        return None
    if str(checkout) not in sys.path:
        sys.path.insert(0, str(checkout))
    widths = {"synthesis_kwargs": options} if found[0] == "networks" else options
    made = importlib.import_module(f"training.{found[0]}").Generator(512, 0, 512, ours.size[0], 3, **widths)
    made.eval().requires_grad_(False)
    missing, unexpected = made.load_state_dict(ours.state_dict(), strict=False)
    assert not unexpected, unexpected
    assert all(name.endswith(("resample_filter", "_filter")) for name in missing), missing
    return made


def error(found: Tensor, expected: Tensor) -> str:
    """PSNR and error in grey levels, for a note."""
    span = float(expected.max() - expected.min())
    difference = (found - expected).double() / span
    psnr = -10 * math.log10(max(float(difference.square().mean()), 1e-30))
    levels = difference.abs() * 255
    return f"{psnr:.1f} dB; grey levels: mean {float(levels.mean()):.2g}, largest {float(levels.max()):.2g}"


# -- against the official generator ------------------------------------------------------------------------


@torch.inference_mode()
def bench_render(official: Path | None, quick: bool) -> Iterator[Row]:
    """A full render and previews, in float32 and bfloat16, against the official full render."""
    network = random_stylegan2(1024)
    baseline = official and official_network(official, 2, network, channel_base=32768)
    if not baseline:
        yield skip("render 1024²", "no --official checkout")
        return
    half, w = copy.deepcopy(network).to(torch.bfloat16), network.map(network.latents(0))
    styles = network.styles(w)
    yield from _renders(network, half, styles, lambda: baseline.synthesis(w, noise_mode="const"), quick)
    exact = float((network.synthesize(styles) - baseline.synthesis(w, noise_mode="const")).abs().max())
    span = float(network.synthesize(styles).abs().max())
    yield Row("largest difference, float32", exact / span, 1e-4, "1e-4 of the range", "", 1.0)


def _renders(
    network: Any, half: Any, styles: Tensor, baseline: Callable[[], Tensor], quick: bool
) -> Iterator[Row]:
    targets = {("float32", 1024): 2.5, ("bfloat16", 1024): 4.0}
    targets |= {(t, 256): 8.0 for t in ("float32", "bfloat16")} | {
        (t, 128): 16.0 for t in ("float32", "bfloat16")
    }
    ways: dict[tuple[str, int], Callable[[], Tensor]] = {
        (kind, size): lambda g=g, size=size: g.synthesize(styles, upto=size)  # type: ignore[misc]
        for kind, g in (("float32", network), ("bfloat16", half))
        for size in (1024, 256, 128)
    }
    theirs, *ours = interleaved(baseline, *ways.values(), repeats=2 if quick else 6)
    for (kind, size), seconds in zip(ways, ours, strict=True):
        note = "" if kind == "float32" else error(ways[kind, size](), ways["float32", size]())
        what = "render" if size == 1024 else "preview"
        yield Row(f"{what} {size}², {kind}", seconds, theirs, OFFICIAL, target=targets[kind, size], note=note)


@torch.inference_mode()
def bench_batches(official: Path | None, quick: bool) -> Iterator[Row]:
    """Many images at once, as dissection makes them: 256², configuration F."""
    network = random_stylegan2(256)
    baseline = official and official_network(official, 2, network, channel_base=32768)
    if not baseline:
        yield skip("batches 256²", "no --official checkout")
        return
    for count in (4,) if quick else (4, 16):
        w = network.map(network.latents(range(count)))
        styles = network.styles(w)
        ways = (lambda s=styles: network.synthesize(s), lambda w=w: baseline.synthesis(w, noise_mode="const"))
        ours, theirs = interleaved(*ways, repeats=2)
        yield Row(f"{count} images 256², float32", ours, theirs, "official, same batch")


@torch.inference_mode()
def bench_stylegan3(official: Path | None, quick: bool) -> Iterator[Row]:
    """StyleGAN3-T at 256²."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network: Any = StyleGAN3(stylegan3_config(256)).freeze()
    mapping = {"num_layers": network.config.mapping_layers}
    baseline = official and official_network(official, 3, network, mapping_kwargs=mapping)
    if not baseline:
        yield skip("StyleGAN3-T 256²", "--official is no checkout of stylegan3")
        return
    w = network.map(network.latents(0))
    styles = network.styles(w)
    ways = (lambda: network.synthesize(styles), lambda: baseline.synthesis(w))
    ours, theirs = interleaved(*ways, repeats=1 if quick else 2)
    yield Row("StyleGAN3-T 256², float32", ours, theirs, "official, 256²", target=3.0)


# -- moving a slider ---------------------------------------------------------------------------------------


@torch.inference_mode()
def bench_slider(quick: bool) -> Iterator[Row]:
    """A change of one layer's styles, restarted there, against a render from the start."""
    small, large = lefs.load("portraits-64"), random_stylegan2(256 if quick else 1024)
    for generator, names in ((small, ("b8.conv0", "b32.conv0")), (large, ("b32.conv0", "b256.conv0"))):
        styles = generator.sample_styles(0)
        cache = generator.cache(styles)
        for name in names:
            moved = styles.clone()
            moved[:, generator.layer(name).span] *= 1.1
            ways = (
                lambda m=moved, t=cache, g=generator: g.synthesize(m, cache=t),
                lambda m=moved, g=generator: g.synthesize(m),
            )
            ours, whole = interleaved(*ways, repeats=20 if generator is small else 3)
            side = generator.size[0]
            yield Row(f"slider move from {name}, {side}²", ours, whole, "render from the start")
        del cache
    expected = small.synthesize(small.sample_styles(range(16)))
    found = copy.deepcopy(small).to(torch.bfloat16).synthesize(small.sample_styles(range(16)))
    levels = float((found.clamp(-1, 1) - expected.clamp(-1, 1)).abs().mean()) * 127.5
    yield Row(
        "bfloat16 error, portraits-64", levels, 1.0, "1 grey level", "levels", 1.0, error(found, expected)
    )


# -- against the machine -----------------------------------------------------------------------------------


def operations(network: StyleGAN2, resolution: int) -> tuple[float, float]:
    """Arithmetic operations of one block, and the bytes of its maps in float32, written and read once."""
    total, numbers = 0.0, 0.0
    for layer in network.layers:
        name, _, part = layer.name.partition(".")
        if name != f"b{resolution}":
            continue
        weight = network.get_parameter(f"synthesis.{layer.name}.weight")
        # (a transposed convolution multiplies each of its inputs, then comes a filter of 4 x 4)
        total += 2 * weight.numel() * layer.size[0] ** 2
        total += 2 * 16 * len(weight) * resolution**2 if part == "conv0" else 0
        numbers += 2 * len(weight) * resolution**2
    return total, 4 * numbers


def convolution_peak(dtype: torch.dtype) -> Callable[[], Tensor]:
    """A convolution of a shape that suits the machine: 9.7 · 10⁹ multiplications and additions."""
    x = torch.ones(1, 256, 64, 64, dtype=dtype).to(memory_format=torch.channels_last)
    weight = torch.ones(512, 256, 3, 3, dtype=dtype).to(memory_format=torch.channels_last)
    return lambda: conv2d(x, weight, padding=1)


@torch.inference_mode()
def bench_roofline(quick: bool) -> Iterator[Row]:
    """Each block's time against its operations at the speed of a convolution that suits the machine."""
    network: Any = random_stylegan2(256 if quick else 1024)
    styles = network.sample_styles(0)
    sizes = [s for s in network.preview_sizes if s >= 32]
    for dtype in (torch.float32, torch.bfloat16):
        g = copy.deepcopy(network).to(dtype)
        peak, a = convolution_peak(dtype), torch.ones(1024, 1024, dtype=dtype)
        copied = torch.empty(2**25 // dtype.itemsize, dtype=dtype)
        source = torch.ones_like(copied)
        renders = [lambda s=s, g=g: g.synthesize(styles, upto=s) for s in sizes]
        ways = (peak, lambda a=a: a @ a, lambda c=copied, s=source: c.copy_(s), *renders)
        conv, product, moved, *times = interleaved(*ways, repeats=2 if quick else 6)
        fastest = max(2 * 9 * 64**2 * 256 * 512 / conv, 2 * 1024**3 / product)
        kind = str(dtype).removeprefix("torch.")
        ceilings = (
            f"convolution {2 * 9 * 64**2 * 256 * 512 / conv / 1e9:.0f}, matrix product "
            f"{2 * 1024**3 / product / 1e9:.0f} GFLOP/s, copy {2 * copied.nbytes / moved / 1e9:.0f} GB/s"
        )
        for size, seconds in zip(sizes, times, strict=True):
            if size in (128, 256, network.size[0]):
                work = sum(operations(network, s)[0] for s in network.preview_sizes if s <= size)
                # (aimed at where a target of `bench_render` asks for more than the machine has)
                target = 2 / 3 if dtype == torch.float32 and size <= 256 else None
                name = f"roofline, up to {size}², {kind}"
                yield Row(name, seconds, work / fastest, "arithmetic", target=target, note=ceilings)
        for size, before, after in zip(sizes[1:], times, times[1:], strict=False):
            work, maps = operations(network, size)
            note = (
                f"{work / 1e9:.1f} GFLOP, maps {maps * dtype.itemsize / 4e6:.0f} MB, "
                f"{work / (after - before) / 1e9:.0f} GFLOP/s"
            )
            yield Row(
                f"roofline, block {size}², {kind}", after - before, work / fastest, "arithmetic", note=note
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--official", type=Path, metavar="CHECKOUT")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="", help="names of benchmarks that contain this")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    asked = Options(given.official and given.official.resolve(), given.threads, given.quick)
    chosen = [f for name, f in list(vars().items()) if name.startswith("bench_") and given.only in name]
    rows = [row for function in chosen for row in call(function, asked)]
    sys.stdout.write(f"{machine()}\n\n{table(rows)}\n")
