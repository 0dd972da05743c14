"""Slow, plain float64 versions of what lefs computes, written from the papers and sharing no code with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.optimize import linprog
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, pad

FIR = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64)


# -- StyleGAN2: every image's own modulated weights, grouped convolutions, zero insertion --------------


def fir_filter(x: Tensor, *, before: int, after: int, gain: float) -> Tensor:
    """Pad with zeros, then convolve each channel with the outer product of [1, 3, 3, 1] / 8."""
    kernel = torch.outer(FIR, FIR) / 64 * gain
    padded = pad(x, (before, after, before, after))
    kernel = kernel[None, None].to(x).expand(x.shape[1], 1, 4, 4)
    return conv2d(padded, kernel, groups=x.shape[1])


def zero_inserted(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    wide = x.new_zeros(n, c, 2 * h, 2 * w)
    wide[:, :, ::2, ::2] = x
    return wide


def upsampled(x: Tensor) -> Tensor:
    return fir_filter(zero_inserted(x), before=2, after=1, gain=4)


def modulated_convolution(x: Tensor, weight: Tensor, styles: Tensor, *, up: bool, demodulate: bool) -> Tensor:
    """StyleGAN2, Eq. 1 to 3: scale, demodulate and apply a separate set of weights for each image."""
    n, outputs, inputs = len(x), *weight.shape[:2]
    own = weight[None] * styles[:, None, :, None, None]
    if demodulate:
        own = own / (own.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).sqrt()
    groups_in = x.reshape(1, n * inputs, *x.shape[2:])
    if up:
        transposed = own.transpose(1, 2).reshape(n * inputs, outputs, *weight.shape[2:])
        y = fir_filter(conv_transpose2d(groups_in, transposed, stride=2, groups=n), before=1, after=1, gain=4)
    else:
        y = conv2d(groups_in, own.flatten(0, 1), padding=weight.shape[-1] // 2, groups=n)
    return y.reshape(n, outputs, *y.shape[2:])


def dense(state: dict[str, Tensor], name: str, x: Tensor, *, lr: float = 1.0, act: bool = False) -> Tensor:
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    y = x @ weight.T * (lr / math.sqrt(weight.shape[1])) + bias * lr
    return math.sqrt(2) * torch.where(y < 0, 0.2 * y, y) if act else y


def second_moment(x: Tensor) -> Tensor:
    return x / (x.square().mean(dim=1, keepdim=True) + 1e-8).sqrt()


def doubled(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().double() for name, tensor in state.items()}


def map_latents(state: dict[str, Tensor], z: Tensor, *, psi: float, labels: Sequence[int] | None) -> Tensor:
    state, x = doubled(state), second_moment(z.double())
    if labels is not None:
        rows = [state["mapping.embed.weight"][:, c] for c in labels]
        embedded = torch.stack(rows) / math.sqrt(state["mapping.embed.weight"].shape[1])
        x = torch.cat([x, second_moment(embedded + state["mapping.embed.bias"])], dim=1)
    for i in range(sum(name.startswith("mapping.fc") for name in state) // 2):
        x = dense(state, f"mapping.fc{i}", x, lr=0.01, act=True)
    return psi * x + (1 - psi) * state["mapping.w_avg"]


def layer_names(resolution: int) -> list[str]:
    names = ["b4.conv1", "b4.torgb"]
    for k in range(3, int(math.log2(resolution)) + 1):
        names += [f"b{2**k}.{part}" for part in ("conv0", "conv1", "torgb")]
    return names


def stylegan2(state: dict[str, Tensor], styles: dict[str, Tensor], *, noise: bool) -> tuple[Tensor, dict]:
    """Images, and the tensor that each layer scales, from styles by layer; all in float64."""
    state, seen, image = doubled(state), {}, None
    n = len(next(iter(styles.values())))
    x = state["synthesis.b4.const"][None].repeat(n, 1, 1, 1)
    for name, scales in styles.items():
        seen[name], of = x, f"synthesis.{name}."
        weight, bias = state[of + "weight"], state[of + "bias"][:, None, None]
        if name.endswith("torgb"):
            scales = scales.double() / math.sqrt(weight.shape[1])
            rgb = modulated_convolution(x, weight, scales, up=False, demodulate=False) + bias
            image = rgb if image is None else upsampled(image) + rgb
            continue
        x = modulated_convolution(x, weight, scales.double(), up=name.endswith("conv0"), demodulate=True)
        if noise:
            x = x + state[of + "noise_const"] * state[of + "noise_strength"]
        x = x + bias
        x = math.sqrt(2) * torch.where(x < 0, 0.2 * x, x)
    assert image is not None
    return image, seen


# -- spherical k-means, one vector at a time ---------------------------------------------------------------


def lloyd(data: np.ndarray, centers: np.ndarray, *, iterations: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Centres, labels and inertia after so many iterations; no cluster may run empty."""
    unit = [row / math.sqrt(sum(v * v for v in row)) for row in data.astype(np.float64) if row.any()]
    centers = centers.astype(np.float64)
    for _ in range(iterations):
        labels = [max(range(len(centers)), key=lambda k: float(row @ centers[k])) for row in unit]
        for k in range(len(centers)):
            total = sum(row for row, label in zip(unit, labels, strict=True) if label == k)
            centers[k] = total / np.sqrt((total**2).sum())
    scores = np.array([[row @ c for c in centers] for row in unit])
    return centers, scores.argmax(axis=1), float((1 - scores.max(axis=1)).sum())


# -- contributions, by loops over images, clusters and positions -------------------------------------------


def resampled(membership: np.ndarray, size: int) -> np.ndarray:
    """(K, h, w) → (K, size, size) for sizes that divide one another."""
    side = membership.shape[1]
    if size >= side:
        return membership.repeat(size // side, axis=1).repeat(size // side, axis=2)
    step = side // size
    return membership.reshape(len(membership), size, step, size, step).mean(axis=(2, 4))


def contributions(maps: dict[str, Tensor], centers: Tensor, vectors: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """M (K, S) and sizes (K,) from recorded maps of all layers: Σ A² ⊙ U / Σ A²; U of what is clustered."""
    centers_kc = centers.double().numpy()
    inside, total = 0.0, 0.0
    sizes = np.zeros(len(centers_kc), dtype=np.int64)
    for n in range(len(vectors)):
        here = vectors[n].double().numpy()
        label = np.einsum("kc,chw->khw", centers_kc, here).argmax(axis=0)
        membership = np.stack([label == k for k in range(len(centers_kc))]).astype(np.float64)
        sizes += membership.sum(axis=(1, 2)).astype(np.int64)
        squares = {name: a[n].double().numpy() ** 2 for name, a in maps.items()}
        rows = [np.einsum("chw,khw->kc", s, resampled(membership, s.shape[1])) for s in squares.values()]
        inside = inside + np.concatenate(rows, axis=1)
        total = total + np.concatenate([s.sum(axis=(1, 2)) for s in squares.values()])
    return np.divide(inside, total, out=np.zeros_like(inside), where=total > 0), sizes


# -- queries ---------------------------------------------------------------------------------------------


# (by default the solver leaves a gain of 1e-7 a unit on the table)
_EXACT = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}


def best_query(m: np.ndarray, rho: float, epsilon: float) -> tuple[np.ndarray, float]:
    """The linear programme of the sequential query, by SciPy's solver: q and its objective."""
    value, weight = m - rho * (1 - m), 1 - m
    found = linprog(-value, A_ub=weight[None], b_ub=[epsilon], bounds=(0, 1), method="highs", options=_EXACT)
    assert found.status == 0, found.message
    return found.x, -found.fun


def best_pair_query(value: np.ndarray, weight: np.ndarray, budget: float) -> tuple[np.ndarray, float]:
    """The linear programme in x = q² of the query for one pair, by SciPy's solver: x and its objective."""
    found = linprog(-value, A_ub=weight[None], b_ub=[budget], bounds=(0, 1), method="highs", options=_EXACT)
    assert found.status == 0, found.message
    return found.x, -found.fun


# -- effects -------------------------------------------------------------------------------------------


def effects(synthesize: Callable[[Tensor], Tensor], styles: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
    """Σ_pixels region · (∂I/∂σ)² from the whole Jacobian, and the variance of one random-sign probe of it.

    Parameters
    ----------
    styles : Tensor of shape (S,), float64
    regions : Tensor of shape (K, H, W)

    Returns
    -------
    two Tensors of shape (K, S)
    """
    jacobian = torch.autograd.functional.jacobian(lambda s: synthesize(s[None])[0], styles, vectorize=True)
    squared = regions[:, None, :, :, None] * jacobian.square()[None]  # (K, 3, H, W, S)
    total = squared.sum(dim=(1, 2, 3))
    # Var[(Σ v_p a_p)²] = 2 [(Σ a_p²)² − Σ a_p⁴] for independent signs v
    return total, 2 * (total.square() - squared.square().sum(dim=(1, 2, 3)))


# -- colour ----------------------------------------------------------------------------------------------


def lab(rgb: np.ndarray) -> np.ndarray:
    """Colours (..., 3) of sRGB in [0, 1] → CIELAB under D65 (CIE 15; IEC 61966-2-1)."""
    rgb = rgb.astype(np.float64)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrix = [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
    ratio = linear @ np.array(matrix).T / [0.95047, 1.0, 1.08883]
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def color_difference(a: Tensor, b: Tensor) -> np.ndarray:
    """CIE76 between images (N, 3, H, W) in [-1, 1], clamped: (N, H, W)."""
    sides = [(t.double().clamp(-1, 1) + 1).div(2).permute(0, 2, 3, 1).numpy() for t in (a, b)]
    return np.sqrt(((lab(sides[0]) - lab(sides[1])) ** 2).sum(axis=-1))
