"""From a picture to the styles that make it: fit a code to it; then, if wanted, the generator to both."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from lefs.catalog import Catalog
from lefs.checks import Label, check_choice, check_integer, check_number, check_tensor
from lefs.fitting import Features, Likeness
from lefs.generator import Generator, GeneratorId, check_generator
from lefs.images import Box, Picture, check_crop, crop_picture, opaque, read_mask, read_picture
from lefs.records import ArtifactError, PathLike, record_file, save_record, whole_record
from lefs.showing import Shown
from lefs.sources import INVERSION
from lefs.workers.progress import track

__all__ = ["Inversion", "catalog_for", "invert"]

_SPACES = ("w", "w+", "styles")
_TENSORS, _VALUES = ("styles", "image", "picture", "kept", "errors"), ("seconds", "space", "crop", "name")
_ENDINGS = (".safetensors", ".json")  # (the latter names a record, too)
_HISTORY = 20  # past steps that L-BFGS knows
_SCALE = 100.0  # of its loss, which its first step follows
_TUNING_RATE = 3e-4
_LOW = 16  # side at which samples are compared with the picture


@dataclass(frozen=True, eq=False, repr=False)
class Inversion(Shown):
    """A picture as styles; itself a source of edits.

    Attributes
    ----------
    styles : Tensor of shape (1, S)
    image : Tensor of shape (3, H, W), in [-1, 1]
        What they make.
    picture : Tensor of shape (3, H, W), in [-1, 1]
        What was wanted, cut out and resized.
    kept : bool Tensor of shape (H, W)
        Where the picture counted.
    errors : Tensor of shape (steps,)
        The loss and price of each trial; the styles are those of the least.
    seconds : float
    space : {"w", "w+", "styles"}
    crop : tuple of four int
        What was cut out: left, top, right, bottom in pixels of the original.
    generator : GeneratorId
    name : str
        For people.

    Examples
    --------
    >>> import lefs, tempfile
    >>> generator = lefs.load("portraits-64")
    >>> picture = generator.synthesize(generator.sample([1]))[0]
    >>> found = lefs.invert(generator, picture, steps=2, samples=4, progress=False)
    >>> again = lefs.Inversion.load(found.save(f"{tempfile.mkdtemp()}/me"))
    >>> list(again.pictures), bool((again.styles == found.styles).all())
    (['picture', 'inversion'], True)
    """

    styles: Tensor
    image: Tensor
    picture: Tensor
    kept: Tensor
    errors: Tensor
    seconds: float
    space: str
    crop: Box
    generator: GeneratorId
    name: str = "picture"

    def __post_init__(self) -> None:
        check_choice("space", self.space, _SPACES)
        check_number("seconds", self.seconds, minimum=0)
        size, kept = tuple(self.picture.shape[1:]), self.kept
        shapes = {"styles": (1, *self.styles.shape[1:2]), "errors": (len(self.errors),)}
        for name, shape in {**shapes, "image": (3, *size), "picture": (3, *size)}.items():
            check_tensor(name, getattr(self, name), shape)
        if (tuple(kept.shape), kept.dtype, len(self.crop)) != (size, torch.bool, 4):
            raise ValueError(f"kept must be bool of shape {size}, crop four numbers; got {kept}, {self.crop}")

    @property
    def psnr(self) -> float:
        """Peak signal-to-noise ratio where the picture counted, in dB, of values clipped to [-1, 1]."""
        squared = (self.image.clamp(-1, 1) - self.picture).square()[:, self.kept].mean()
        return float(10 * (4 / squared).log10())

    @property
    def pictures(self) -> dict[str, Tensor]:
        """What was wanted and what was made, each (3, H, W)."""
        return {"picture": self.picture, "inversion": self.image}

    def save(self, path: PathLike) -> Path:
        """Write ``<path>.safetensors``, and return its path, which is itself a source."""
        file = record_file(path, INVERSION) if Path(path).suffix in _ENDINGS else Path(f"{path}.safetensors")
        tensors, content = ({name: getattr(self, name) for name in names} for names in (_TENSORS, _VALUES))
        return save_record(file, INVERSION, {**content, "generator": self.generator.to_json()}, tensors)

    @classmethod
    def load(cls, path: PathLike) -> Inversion:
        """Read what `save` wrote; an `ArtifactError` says what is wrong with the file."""
        with whole_record(path, expect=INVERSION) as (meta, tensors, _):
            given = {name: tensors[name] for name in _TENSORS} | {name: meta[name] for name in _VALUES}
            given["crop"] = tuple(check_integer("crop", v) for v in meta["crop"])
            return cls(**given, generator=GeneratorId.from_json(meta["generator"]))

    def tune(
        self, generator: Generator, steps: int = 100, *, loss: Features | None = None, weight: float = 0.1,
        noise: int | Literal["const", "none"] = "const", progress: bool = True,
    ) -> Generator:  # fmt: skip
        """Fit the generator to the picture, the styles held fixed (pivotal tuning; Roich et al., 2021).

        All weights behind the styles move, so every other image changes too; seeds, w and styles keep their
        meaning, and the inversion is a source of edits there as well. (On one held-out render of the
        portraits, 60 steps took 25.3 to 29.5 dB in 7 s of processor time, and changed other pictures by 6 ΔE
        in the mean.)

        The result has a fingerprint of its own, and its ``origin["tuned_from"]`` is the
        generator whose catalogs fit it: `catalog_for` makes them its own.

        Parameters
        ----------
        generator : Generator
            The one of the inversion, which stays as it is.
        steps : int
            Of Adam.
        loss, weight, noise
            As `invert` takes them.
        progress : bool
            Show a bar.

        Returns
        -------
        Generator
        """
        self.generator.check(generator, what="inversion", remedy="tune that one")
        check_integer("steps", steps, minimum=1)
        wanted = Likeness(self.picture, self.kept, loss, weight, device=generator.device)
        styles = self.styles.to(generator.device)
        with torch.inference_mode(False), torch.enable_grad():
            tuned = copy.deepcopy(generator).requires_grad_(True)
            styles, moving = styles.clone(), [p for p in tuned.parameters() if p.is_floating_point()]
            adam = torch.optim.Adam(moving, lr=_TUNING_RATE)
            for _ in track(range(steps), total=steps, description="tuning", show=progress):
                adam.zero_grad()
                # (mapping and the layers that make styles are not on the way: they have no gradient)
                wanted.loss(tuned.synthesize(styles, noise)).sum().backward()
                adam.step()
        tuned.freeze()
        tuned.name = f"{generator.name} tuned to {self.name}"
        tuned.origin = {**(generator.origin or {}), "tuned_from": self.generator.to_json()}
        return tuned


def catalog_for(generator: Generator, catalog: Catalog) -> Catalog:
    """The catalog for a generator that was tuned from the catalog's own: the same clusters, parts, numbers.

    Raises
    ------
    ArtifactError
        If the generator was not tuned from that one.

    Examples
    --------
    >>> import lefs
    >>> generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> picture = generator.synthesize(generator.sample([1]))[0]
    >>> found = lefs.invert(generator, picture, steps=1, samples=2, progress=False)
    >>> tuned = found.tune(generator, steps=1, progress=False)
    >>> lefs.inversion.catalog_for(tuned, catalog).generator.name
    'portraits-64 tuned to picture'
    """
    parent = (generator.origin or {}).get("tuned_from")
    if not isinstance(parent, dict) or parent.get("fingerprint") != catalog.generator.fingerprint:
        told = (
            f"was not tuned from {catalog.generator}, whose catalog this is; dissect it to get one of its own"
        )
        raise ArtifactError(f"{GeneratorId.of(generator)} {told}")
    return replace(catalog, generator=GeneratorId.of(generator))


def invert(
    generator: Generator, picture: Picture, *, space: Literal["w", "w+", "styles"] = "w+", steps: int = 200,
    loss: Features | None = None, weight: float = 0.1, prior: float = 0.002, masked: Picture | None = None,
    crop: Sequence[int] | None = None, samples: int = 256, truncation: float = 0.7,
    label: Label | None = None, noise: int | Literal["const", "none"] = "const", progress: bool = True,
) -> Inversion:  # fmt: skip
    """Find the styles that make a picture: from the nearest of many samples on by L-BFGS, on any device.

    (Liu and Nocedal 1989, with a line search: on one render 150 trials in W+ came to 26.2 dB, as many steps
    of Adam to 22.6 to 24.5.) W and the usual W+ fit edit best, and of these W+ comes much nearer. Without its
    `prior`, and in the space of styles, fits come nearest, and less of an edit arrives. On 6 held-out renders
    (``python -m data.portraits.recipe.measure.invert --pictures 6``), 200 steps, one thread, a busy machine:

    ====================  ====  ================  ===========  =======
    space                 PSNR  feature distance  processor s  arrival
    ====================  ====  ================  ===========  =======
    w                     21.4  .367              18           .90
    w+                    25.0  .244              18           .90
    w+, ``prior=0``       25.8  .226              15           .82
    styles                26.8  .193              15           .83
    generated targets     –     –                 –            .92
    ====================  ====  ================  ===========  =======

    Feature distance is relative and squared, in a segmenter that no fit has seen; arrival is of edits in
    place. The usual `prior` was chosen on three of these renders.

    For networks of aligned faces (FFHQ and its kin) align the picture as their training set was, or give the
    box that such an alignment would cut out: faces elsewhere in the picture are found badly.

    Parameters
    ----------
    generator : Generator
    picture : path, PIL image, array or Tensor
        Of any size and mode (`lefs.images.read_picture`): turned as its camera says, where it is transparent
        over grey (over a chequerboard for a generator of images with alpha), the largest box in its middle of
        the generator's proportions resized to its images.
    space : {"w", "w+", "styles"}
        What is fitted: one w for all layers, one for each, or every style by itself.
    steps : int
        How many images are made, and led back through the network.
    loss : callable, optional
        What sees more than pixels: a segmenter, a model of torchvision (its ``features`` where it has them),
        or any function of images (N, 3, H, W) in [-1, 1] that gives maps or vectors. The squared differences
        of what it sees, relative to what it sees in the picture, are added to the mean square of the pixels'.
    weight : float
        Of what `loss` adds.
    prior : float
        Price of leaving the sample that the fit begins with: of the mean square of what each number moves by,
        in standard deviations. Without it images come nearer, and edits of them arrive less.
    masked : path, PIL image, array or Tensor, optional
        Of the picture's size: what is set (`lefs.images.read_mask`) is left out, and anything may come there.
    crop : (left, top, right, bottom), optional
        The box to cut out instead, in pixels of the turned picture; one that is not square is stretched.
    samples : int
        How many seeds, from 0 on, the fit may begin with.
    truncation, label : float, int or tuple of float
        ψ of these samples, and their class, or a number for each class.
    noise : {"const", "none"} or int
        As the edits will be made with.
    progress : bool
        Show a bar.

    Returns
    -------
    Inversion

    Raises
    ------
    ArtifactError
        If the file is not a picture.
    ValueError, TypeError
        For a mask that leaves nothing or is of another size, a generator without styles, and the like.

    Examples
    --------
    >>> import lefs
    >>> generator = lefs.load("portraits-64")
    >>> picture = generator.synthesize(generator.sample([1]))[0]
    >>> found = lefs.invert(generator, picture, space="w", steps=5, samples=4, progress=False)
    >>> bool(found.errors.min() < found.errors[0]), found.crop
    (True, (0, 0, 64, 64))
    """
    check_generator(generator)
    generator.check_styles()
    check_choice("space", space, _SPACES)
    check_integer("samples", samples, minimum=1)
    check_integer("steps", steps, minimum=1)
    prior = check_number("prior", prior, minimum=0)
    original = read_picture(picture, alpha=generator.channels == 4)
    box = check_crop(crop, original.size, generator.size)
    start = time.perf_counter()
    # (what is made in inference mode has no gradients for anybody)
    with torch.inference_mode(False):
        kept = _kept(masked, original.size, box, generator.size)
        cut = opaque(crop_picture(original, box, generator.size))
        wanted = Likeness(cut, kept, loss, weight, device=generator.device)
        with torch.no_grad():
            labels = None if label is None else [label] * samples
            w = generator.map(generator.latents(range(samples)), truncation, labels)
            styles = generator.styles(w)
            first = _nearest(generator, styles, wanted, noise, show=progress)
            codes = {"w": w[:, :1], "w+": w, "styles": styles}[space]
        # (in standard deviations, so that all directions are about as steep)
        begin, spread = codes[first : first + 1], codes.std(dim=0, correction=0).clamp_min(1e-3)

        def made(moved: Tensor) -> Tensor:
            code = begin + moved * spread
            return code if space == "styles" else generator.styles(code.expand(1, generator.num_ws, -1))

        def error(moved: Tensor) -> Tensor:
            far = wanted.loss(generator.synthesize(made(moved), noise)).sum()
            return far + prior * moved.square().mean()

        moved, errors = _least(error, torch.zeros_like(begin), steps, progress)
        with torch.no_grad():
            found = made(moved)
            image = opaque(generator.synthesize(found, noise)[0].float())
    name = Path(picture).stem if isinstance(picture, str | os.PathLike) else "picture"
    fitted = found, image, wanted.picture, wanted.kept, errors, time.perf_counter() - start
    return Inversion(*fitted, space, box, GeneratorId.of(generator), name)


def _kept(masked: Picture | None, size: Sequence[int], box: Box, shape: tuple[int, int]) -> Tensor:
    """Where a picture of (width, height) pixels counts, as it is cut out: of that shape, bool."""
    if masked is None:
        return torch.ones(shape, dtype=torch.bool)
    mask = read_picture(read_mask("masked", masked))
    if mask.size != size:
        raise ValueError(f"masked must be of the picture's size, {size[0]} x {size[1]}, got {mask.size}")
    kept = crop_picture(mask, box, shape).mean(dim=0) <= 0
    if not bool(kept.any()):
        raise ValueError("masked leaves nothing of the picture: what is set in it is left out")
    return kept


def _nearest(generator: Generator, styles: Tensor, wanted: Likeness, noise: Any, *, show: bool) -> int:
    """Which of these images is most alike in large: by colours of 16 x 16, made as small as that can be."""
    upto = next((s for s in generator.preview_sizes if s >= 2 * _LOW), generator.size[0])
    weights = adaptive_avg_pool2d(wanted.kept[None].float(), _LOW)
    low = adaptive_avg_pool2d(wanted.picture, _LOW)
    chunks, errors = styles.split(8), list[Tensor]()
    for chunk in track(chunks, total=len(chunks), description="nearest sample", show=show):
        apart = adaptive_avg_pool2d(opaque(generator.synthesize(chunk, noise, upto)), _LOW) - low
        errors.append((apart.square() * weights).mean(dim=(1, 2, 3)))
    return int(torch.cat(errors).argmin())


def _least(error: Callable[[Tensor], Tensor], at: Tensor, steps: int, show: bool) -> tuple[Tensor, Tensor]:
    """Where an error is least, of so many trials of L-BFGS from a place on; and the error of each."""
    trials = iter(track(range(steps), total=steps, description="inverting", show=show))
    errors, nearest, moved = list[float](), at.clone(), at.clone().requires_grad_(True)
    limits: dict[str, Any] = {"max_iter": steps, "tolerance_grad": 0, "tolerance_change": 0}
    search = torch.optim.LBFGS([moved], history_size=_HISTORY, line_search_fn="strong_wolfe", **limits)

    def look() -> Tensor:
        next(trials)
        with torch.enable_grad():
            found = _SCALE * error(moved)
            # (of nothing but the code: the weights of generator and loss are left alone)
            (moved.grad,) = torch.autograd.grad(found, moved)
        errors.append(float(found.detach()) / _SCALE)
        if errors[-1] <= min(errors):
            nearest.copy_(moved.detach())
        return found

    with suppress(StopIteration):  # (whatever the search is about to try)
        search.step(look)
    return nearest, torch.tensor(errors)
