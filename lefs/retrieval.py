"""Which of many pictures has the part that is wanted: the most alike, most different, cleanest to take.

As in Retrieve in Style (Chong et al., ICCV 2021), a picture is described part by part, weighted by what the
catalog says that each channel contributes. There the weighted numbers are styles. Here they are activations,
averaged inside the part's own mask, with the part's size beside them, because these find much more of what
looks alike. Mean average precision on 512 pictures of the portraits, each of them once the query
(``python -m data.portraits.recipe.measure.retrieve``; true is what a segmenter sees that nothing here uses;
hair is alike within 12 ΔE of its mean colour):

================================  =====  =======  =====  =====
found by                          hair   glasses  hat    beard
================================  =====  =======  =====  =====
chance                            .116   .290     .114   .082
whole pictures, pixels            .239   .312     .240   .111
whole pictures, features          .221   .364     .546   .164
styles × contributions            .216   .551     .378   .169
colour and size in masks *        .625   .887     .823   .668
`retrieve`, no segmenter          .706   .937     .732   .628
================================  =====  =======  =====  =====

(*) in the masks of a trained segmenter; `retrieve` has no more than the catalog's. How the description weighs
size and contributions was chosen on these same pictures, so others will agree a little less.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from lefs.blending import in_place
from lefs.catalog import Catalog
from lefs.checks import Label, check_choice, check_label, check_number, check_seeds, check_tensor
from lefs.editing import transfer
from lefs.factorization import memberships
from lefs.generator import Generator, GeneratorId
from lefs.images import color_difference
from lefs.positions import grown
from lefs.query import QuerySettings
from lefs.records import ArtifactError, PathLike, save_record, whole_record
from lefs.showing import Shown
from lefs.sources import Source, check_source, source_styles
from lefs.workers import Sample
from lefs.workers.samples import Batch

__all__ = ["Match", "PartBank", "retrieve"]

_FORMAT, _IN_PLACE = "lefs-bank", QuerySettings(where="part")
_PREVIEW, _VISIBLE = 64, 5.0  # side of the pictures in which edits are tried; ΔE that is seen
_AREA = 0.3  # what a part's size weighs beside its look, each in its own spread over the bank


class Match(NamedTuple):
    """A seed of the bank with its score.

    Examples
    --------
    >>> import lefs
    >>> lefs.retrieval.Match(2017, 0.5).seed
    2017
    """

    seed: int
    score: float


@dataclass(frozen=True, eq=False, repr=False)
class PartBank(Shown):
    """Many pictures, each described part by part; made once, kept beside the catalog.

    Attributes
    ----------
    seeds : tuple of int
        Of the N pictures.
    truncation : float
        Their ψ.
    label : int, tuple of float or None
        Their class, for a conditional generator.
    vectors : Tensor of shape (N, P, C)
        The mean activation vector of each part, of the clustered layers; 0 where it is absent.
    areas : Tensor of shape (N, P), in [0, 1]
        The share of each picture that it takes.
    parts : dict of str to str
        Name and digest of the catalog's P parts, in order.
    generator : GeneratorId

    Examples
    --------
    >>> import lefs, tempfile
    >>> generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> bank = lefs.PartBank.of(generator, catalog, range(4), progress=False)
    >>> len(lefs.PartBank.load(bank.save(tempfile.mkdtemp())).seeds)
    4
    """

    seeds: tuple[int, ...]
    truncation: float
    label: Label | None
    vectors: Tensor
    areas: Tensor
    parts: dict[str, str]
    generator: GeneratorId

    def __post_init__(self) -> None:
        shape = (len(self.seeds), len(self.parts))
        check_tensor("vectors", self.vectors, (*shape, *self.vectors.shape[-1:]))
        check_tensor("areas", self.areas, shape)

    @classmethod
    def of(
        cls, generator: Generator, catalog: Catalog, seeds: Iterable[int], *, truncation: float = 0.7,
        **options: Any,
    ) -> PartBank:  # fmt: skip
        """Describe the pictures of some seeds, a batch at a time.

        `options` are ``batch_size``, ``executor``, ``checkpoint`` and ``progress`` of `lefs.dissect`.
        """
        catalog.check_generator(generator)
        sample = Sample(generator, seeds, truncation=truncation, **options)
        found = zip(*sample.each(partial(_describe, catalog=catalog), "describing"), strict=True)
        vectors, areas = (torch.cat(rows) for rows in found)
        parts = {name: catalog.part_digest(name) for name in catalog.parts}
        label = generator.default_label
        return cls(tuple(sample.seeds), sample.truncation, label, vectors, areas, parts, catalog.generator)

    def check(self, catalog: Catalog) -> None:
        """Raise an `ArtifactError` unless it was made with this catalog."""
        if list(self.parts.items()) != [(name, catalog.part_digest(name)) for name in catalog.parts]:
            raise ArtifactError(
                f"this bank was made with another catalog of {self.generator}, which has other parts; make "
                "one with lefs.PartBank.of(generator, catalog, seeds)"
            )

    def save(self, path: PathLike) -> Path:
        """Write ``bank.safetensors`` into a folder, such as the catalog's, and return that."""
        content = {name: getattr(self, name) for name in ("seeds", "truncation", "label")}
        content |= {"generator": self.generator.to_json(), "parts": list(self.parts.items())}
        return save_record(path, _FORMAT, content, {"vectors": self.vectors, "areas": self.areas})

    @classmethod
    def load(cls, path: PathLike) -> PartBank:
        """Read what `save` wrote; an `ArtifactError` says what is wrong with the file."""
        with whole_record(path, expect=_FORMAT) as (meta, tensors, _):
            owner = GeneratorId.from_json(meta["generator"])
            parts = {str(name): str(digest) for name, digest in meta["parts"]}
            how = check_number("truncation", meta["truncation"]), check_label("label", meta["label"])
            found = *how, tensors["vectors"], tensors["areas"]
            return cls(tuple(check_seeds(meta["seeds"])), *found, parts, owner)


def retrieve(
    generator: Generator, catalog: Catalog, target: Source, part: str, *,
    bank: PartBank | Iterable[int] = range(256), by: Literal["similar", "different", "cleanest"] = "similar",
    truncation: float = 0.7, settings: QuerySettings | None = None, progress: bool = True,
) -> list[Match]:  # fmt: skip
    """Rank pictures by one of their parts.

    Parameters
    ----------
    generator, catalog : Generator, Catalog
        Must belong together.
    target : int, or any other source
        A seed, styles, a file of them, or an inversion (`lefs.source_styles`).
    part : str
    bank : PartBank or iterable of int
        The pictures, or seeds to make one of; `PartBank` keeps it for the next question.
    by : {"similar", "different", "cleanest"}
        The distance from the target's part in look and size, small or large first; or, once each picture's
        part is taken over with `settings`, of the pixels that change by more than 5 ΔE the share inside the
        part (by the catalog's masks, in a preview), large first.
    truncation : float
        ψ of a target that is a seed, and of a new bank.
    settings : QuerySettings, optional
        Of ``"cleanest"``; None: an edit in place.
    progress : bool
        Show a bar.

    Returns
    -------
    list of Match
        All pictures of the bank but the target itself, the best first, with these distances or shares.

    Raises
    ------
    ValueError
        If the part is in none of the bank's pictures, or does not exist.
    ArtifactError
        If generator, catalog and bank do not belong together.

    Examples
    --------
    >>> import lefs
    >>> generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> found = lefs.retrieve(generator, catalog, 1, "hair", bank=range(1, 9), progress=False)
    >>> len(found), found[0].score <= found[-1].score
    (7, True)
    """
    check_choice("by", by, ("similar", "different", "cleanest"))
    catalog.check_generator(generator)
    catalog.clusters(part)  # (an unknown part is told before anything is made)
    if not isinstance(bank, PartBank):
        bank = PartBank.of(generator, catalog, bank, truncation=truncation, progress=progress)
    bank.check(catalog)
    target = check_source("target", target)
    known = isinstance(target, int) and truncation == bank.truncation
    others = {i for i, seed in enumerate(bank.seeds) if not (known and seed == target)}
    if not others or (by != "cleanest" and len({*bank.seeds}) < 2):
        needed = "other pictures than the target, and two at least, in whose spread distances are told"
        raise ValueError(f"bank must hold {needed}; got seeds {bank.seeds}: give more")
    if bank.label is not None:
        generator = generator.with_label(bank.label)
    styles = source_styles(generator, target, truncation=truncation)
    if by == "cleanest":
        job = partial(_share_inside, catalog=catalog, part=part, target=styles, settings=settings)
        sample = Sample(generator, bank.seeds, truncation=bank.truncation, progress=progress)
        scores = torch.cat([share for (share,) in sample.each(job, f"taking over {part}")])
    else:
        scores = _distance(catalog, part, bank, _describe(generator, styles, (), catalog=catalog))
    order = scores.argsort(descending=by != "similar", stable=True).tolist()
    return [Match(bank.seeds[i], float(scores[i])) for i in order if i in others]


def _describe(generator: Generator, styles: Tensor, _: Batch, *, catalog: Catalog) -> tuple[Tensor, Tensor]:
    """Of each picture's parts the mean vector, (N, P, C), and the share of it, (N, P); on the CPU."""
    with torch.inference_mode():
        maps = catalog.columns.read(generator, styles)
        found = memberships(maps, catalog.centers, catalog.method, catalog.sides)
        shares = catalog.by_part(found).to(maps)
        count = shares.sum(dim=(2, 3))
        vectors = torch.einsum("nchw,nphw->npc", maps, shares) / count.clamp_min(1e-6)[..., None]
        areas = count / maps[0, 0].numel()
    # (a clone made outside of inference mode is an ordinary tensor)
    return vectors.float().cpu().clone(), areas.float().cpu().clone()


def _distance(catalog: Catalog, part: str, bank: PartBank, own: tuple[Tensor, Tensor]) -> Tensor:
    """From the target's part to that of each picture, (N,): look and size, in their spread over the bank."""
    column = list(catalog.parts).index(part)
    there = bank.areas[:, column] > 0
    if not bool(there.any()):
        raise ValueError(f"part: {part!r} is in none of the bank's {len(there)} pictures; give more seeds")
    layers = catalog.columns.layers
    weights = torch.cat([catalog.contribution(part)[layer.span] for layer in layers]).float()
    looks, sizes = bank.vectors[:, column] * weights, bank.areas[:, column].sqrt()
    spread = looks[there].var(dim=0, correction=0).sum().clamp_min(1e-12)
    look = (looks - own[0][:, column] * weights).square().sum(dim=1) / spread
    size = (sizes - own[1][:, column].sqrt()).square() / sizes.var(correction=0).clamp_min(1e-12)
    return (look + _AREA**2 * size).sqrt()


@torch.inference_mode()
def _share_inside(
    generator: Generator, references: Tensor, _: Batch, *, target: Tensor, part: str, **how: Any
) -> tuple[Tensor]:
    """Of the pixels that change visibly when each picture's part is taken over, the share inside it: (N,)."""
    catalog, settings = how["catalog"], how["settings"] or _IN_PLACE
    generator = generator.at(next((s for s in generator.preview_sizes if s >= _PREVIEW), generator.size[0]))
    before = generator.synthesize(target)
    masks = (catalog.part_masks(generator, styles)[part] for styles in (target, references))
    inside = grown(next(masks) | next(masks), 1)[:, 0] > 0
    images, at = before.repeat(len(references), 1, 1, 1), inside.flatten(1).any(dim=1)
    if settings.where == "everywhere":
        q = settings.query(catalog, part, target, references, generator=generator)
        images = generator.synthesize(transfer(target, references, q))
    elif bool(at.any()):
        images[at] = in_place(generator, catalog, part, target, references[at], settings=settings)
    seen = color_difference(before, images) > _VISIBLE
    return (((seen & inside).sum((1, 2)) / seen.sum((1, 2)).clamp_min(1)).cpu(),)
