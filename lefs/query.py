"""Which channels to move: contributions of a part → query q in [0, 1] (Editing in Style, §3.2).

`QuerySettings` are all that can be chosen about the rules of `lefs.rules`, and apply them to every layer of a
catalog: ``settings.query(catalog, part)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from lefs.catalog import CONTRIBUTIONS, Catalog, Contributions
from lefs.checks import check_choice, check_integer, check_name, check_number
from lefs.fitting import fit_query
from lefs.generator import Generator
from lefs.rules import pair_query, predicted_change, released_query, sequential_query, simultaneous_query
from lefs.showing import Shown
from lefs.stylespace import StyleLayer, check_styles_shape, ranges
from lefs.synthesis import Noise

__all__ = ["METHODS", "Method", "PartEffects", "QuerySettings"]

Method = Literal["sequential", "simultaneous", "released", "global", "pair", "fit"]
METHODS: tuple[Method, ...] = ("sequential", "simultaneous", "released", "global", "pair", "fit")
#: A number for all layers; one for each; or (layer, number) pairs, 0 for layers that are not named.
ByLayer = Any

_LEVELS = 127.5  # 8-bit levels in one unit of an image in [-1, 1]


@dataclass(frozen=True)
class QuerySettings:
    """How the channels of an edit are chosen; the one home of every setting.

    Attributes
    ----------
    method : {"sequential", "simultaneous", "released", "global", "pair", "fit"}, optional
        Most relevant channels first, up to a budget in each layer (`sequential_query`); all in proportion to
        their contribution (`simultaneous_query`); as the paper's code does it (`released_query`); every
        channel wholly, whatever the part; or, for given pairs of images, by effect and difference, over all
        layers together (`pair_query`), or by steps through the generator (`lefs.fitting`, which an `Editor`
        takes). Unless told, ``"sequential"``; of edits in place ``"global"``.
    rho : float, at least 0, or one for each layer
        Price of change outside the part; of ``"sequential"``, ``"released"`` and ``"pair"``.
    epsilon : float, at least 0, may be infinite, or one for each layer
        Budget of each layer, in channels; of ``"sequential"`` and ``"released"``. Both take a number, a list
        of as many as the catalog has layers, or a table {layer: number}, in which others have 0.
    slope : float, at least 0
        Of ``"simultaneous"``.
    coarse, rgb : float in [0, 1]
        Gates of the coarse layers, which carry pose and layout (`lefs.stylespace.ranges`), and of the toRGB
        layers; a coarse toRGB layer has both. They multiply a layer's budget or slope, or what its channels
        are worth (``"pair"``).
    shifts : bool
        Whether the shift of a channel moves as its scale does, in an architecture that has shifts
        (StyleGAN), for ``"pair"`` as a channel of its own; else only ``"global"`` moves shifts.
    leak : float, at least 0, may be infinite
        How much the image may change outside the part: the mean squared change of a pixel there, in squared
        8-bit levels, as `PartEffects` predicts it; of ``"pair"``.
    contributions : {"energy", "effect", "standardized", None}
        Choose by where a channel is active or by where it acts (`lefs.dissect`); None: by what the catalog
        holds.
    where : {"everywhere", "part"}
        Everywhere: the paper's edit, which moves channels and trusts that they act on the part. In place,
        inside the part's own mask: `lefs.blending`. What follows is of edits in place; in brackets the
        arrival and the pixels outside that change visibly, means over the twelve parts of the embedded
        portraits (``python -m data.figures.evaluate --ways --pairs 40 --part-pairs 16``; by default .87 and
        2.0 %, at strength 0.5 .32 and 1.7 %).
    tone : bool
        Move what the reference shows beside the part to the target's tones there, so that no skin or
        background comes along; with the catalog's masks alone (.69, 1.6 %: what arrives less is mostly the
        reference's surroundings).
    align : {False, "apart", True}
        Move the reference's maps over the target's part first: never, where the two masks lie apart
        (intersection over union below 0.2) and would not then, or always. Outlines of parts 7 pixels or more
        apart then agree better with the reference's (of noses by −.03, never moved −1.27; brows .32, −.30;
        ``python -m data.figures.shapes``), and look more real; less arrives where the reference's own part
        lies (24 pairs: ``"apart"`` .78, 1.7 %; True .59, 1.8 %).
    transplant : bool
        Where only the target shows the part, take the channel edit of budget ε = 48, not the reference, which
        shows there what lies behind (.68, 1.6 %). Not for taking a part off: a hat's area goes by .22 instead
        of .97.
    refine : int, at least 0, or None
        How many pixels of the masks around the part stay the edit's at a second blend, before a finer layer
        (0: .73, 0.9 %); None leaves it out (.95, 8.3 %).

    Examples
    --------
    >>> import lefs
    >>> catalog = lefs.Catalog.load("portraits-64")
    >>> q = lefs.QuerySettings(rho=0.1, epsilon=8).query(catalog, "hair")
    >>> q.shape == catalog.contribution("hair").shape
    True
    """

    method: Method = ""  # type: ignore[assignment]  # (what stands for it depends on `where`)
    rho: ByLayer = 0.1
    epsilon: ByLayer = 16.0
    slope: float = 2.0
    coarse: float = 0.5
    rgb: float = 0.5
    shifts: bool = False
    leak: float = 50.0
    contributions: Contributions | None = None
    where: Literal["everywhere", "part"] = "everywhere"
    align: bool | Literal["apart"] = False
    tone: bool = False
    transplant: bool = False
    refine: int | None = 1

    def __post_init__(self) -> None:
        check_choice("where", self.where, ("everywhere", "part"))
        if str(self.method) in ("", "None"):
            object.__setattr__(self, "method", "global" if self.where == "part" else "sequential")
        check_choice("method", self.method, METHODS)
        check_choice("align", self.align, (False, "apart", True))
        check_choice("contributions", self.contributions, (None, *CONTRIBUTIONS))
        # (as Python's own numbers, which go through JSON)
        most: dict[str, dict[str, Any]] = {"slope": {}, "coarse": {"maximum": 1}, "rgb": {"maximum": 1}}
        for name, bounds in {**most, "leak": {"finite": False}}.items():
            object.__setattr__(self, name, check_number(name, getattr(self, name), minimum=0, **bounds))
        for name in ("shifts", "tone", "transplant"):
            object.__setattr__(self, name, bool(check_choice(name, getattr(self, name), (False, True))))
        for name in ("rho", "epsilon"):
            object.__setattr__(self, name, _by_layer(name, getattr(self, name), finite=name == "rho"))
        if self.method == "pair" and isinstance(self.rho, tuple):
            raise ValueError('rho must be one number for method="pair", which looks at all layers together')
        if self.refine is not None:
            object.__setattr__(self, "refine", check_integer("refine", self.refine, maximum=64))

    def contribution(self, catalog: Catalog, part: str) -> Tensor:
        """Contribution of every channel to a part, of the kind that is chosen by: (S,), float64 in [0, 1]."""
        return catalog.measured_by(self.contributions).contribution(part)

    def query(
        self,
        catalog: Catalog,
        part: str,
        target_styles: Tensor | None = None,
        reference_styles: Tensor | None = None,
        *,
        generator: Generator | None = None,
        noise: Noise = "const",
    ) -> Tensor:
        """Which channels to move, and how far, to edit one part.

        Parameters
        ----------
        catalog : Catalog
        part : str
            Name of a part.
        target_styles, reference_styles : Tensor of shape (N, S), or (1, S) for one against many
            Needed by the methods ``"pair"`` and ``"fit"`` alone.
        generator, noise : Generator, and {"const", "none"} or int
            Needed by the method ``"fit"`` alone.

        Returns
        -------
        Tensor of shape (S,), or (N, S) for the methods ``"pair"`` and ``"fit"``, float32 in [0, 1]

        Raises
        ------
        ValueError
            For a part that does not exist; for ``"pair"`` and ``"fit"`` without what they need.
        """
        if self.method == "global":
            if self.where == "everywhere":  # (in place a mask of one's own may have a name of its own)
                catalog.clusters(part)
            # (ProGAN's latents, which edits in place exchange, are no channels)
            return torch.ones(
                catalog.contributions.shape[1] if target_styles is None else target_styles.shape[1]
            )
        if self.method == "fit":
            if generator is None or target_styles is None or reference_styles is None:
                raise ValueError('method="fit" needs the generator and the styles of the pair, or an Editor')
            return fit_query(generator, catalog, part, target_styles, reference_styles, noise=noise)
        contribution, gates = self.contribution(catalog, part), self.gates(catalog)
        if self.method == "pair":
            if target_styles is None or reference_styles is None:
                raise ValueError('method="pair" needs the styles of targets and references as well')
            acts = PartEffects.of(catalog, part)
            difference = acts.difference(target_styles, reference_styles)
            bounds = {"epsilon": acts.budget(self.leak), "rho": self.rho}
            return pair_query(
                difference, acts.inside, acts.outside, **bounds, gate=self._by_channel(catalog, gates)
            )
        # What belongs to no layer (where an input lies) stays the target's.
        q = torch.zeros_like(contribution)
        prices, budgets = self._numbers("rho", catalog), self.budgets(catalog)
        for layer, gate, rho, epsilon in zip(catalog.layers, gates, prices, budgets, strict=True):
            for span in self._spans(layer) if gate else ():
                q[span] = self._of_layer(contribution[layer.span], gate, rho, epsilon)
        return q.float()

    def _spans(self, layer: StyleLayer) -> tuple[slice, ...]:
        """Where the styles of a layer that may move lie."""
        return layer.spans if self.shifts else (layer.span,)

    def _of_layer(self, m: Tensor, gate: float, rho: float, epsilon: float) -> Tensor:
        if self.method == "simultaneous":
            return simultaneous_query(m, slope=self.slope * gate)
        rule = released_query if self.method == "released" else sequential_query
        return rule(m, rho=rho, epsilon=epsilon)

    def _numbers(self, name: str, catalog: Catalog) -> list[float]:
        """What ρ or ε is in each layer: L numbers."""
        chosen, names = getattr(self, name), [layer.name for layer in catalog.layers]
        if not isinstance(chosen, tuple):
            return [chosen] * len(names)
        if not any(isinstance(one, tuple) for one in chosen):
            if len(chosen) != len(names):
                raise ValueError(
                    f"{name} must be one number, or {len(names)}, one for each layer; got {len(chosen)}"
                )
            return list(chosen)
        table = {check_name(name, layer, names, what="layer"): value for layer, value in chosen}
        return [table.get(layer, 0.0) for layer in names]

    def _by_channel(self, catalog: Catalog, gates: list[float]) -> Tensor:
        """A layer's gate at each of its channels: (S,) float64, 0 for what belongs to no layer."""
        found = torch.zeros(catalog.contributions.shape[1], dtype=torch.float64)
        for layer, gate in zip(catalog.layers, gates, strict=True):
            for span in self._spans(layer):
                found[span] = gate
        return found

    def gates(self, catalog: Catalog) -> list[float]:
        """What multiplies the budget, slope or worth of each layer: L numbers in [0, 1]."""
        coarse = ranges(catalog.layers)["coarse"]
        return [
            (self.rgb if layer.kind == "rgb" else 1.0) * (self.coarse if layer.name in coarse else 1.0)
            for layer in catalog.layers
        ]

    def budgets(self, catalog: Catalog) -> list[float]:
        """The budget ε of each layer after its gate: L numbers, in channels."""
        return [e * g for e, g in zip(self._numbers("epsilon", catalog), self.gates(catalog), strict=True)]


def _by_layer(name: str, value: Any, *, finite: bool) -> Any:
    """A number as it is; a list or table of them as tuples, which compare and go through JSON."""
    if isinstance(value, Mapping):
        value = list(value.items())
    value = value.tolist() if isinstance(value, Tensor | np.ndarray) else value
    if not isinstance(value, list | tuple):
        return check_number(name, value, minimum=0, finite=finite)
    pairs = [one if isinstance(one, list | tuple) else (None, one) for one in value]
    if len({layer is None for layer, _ in pairs}) > 1:
        raise ValueError(f"{name} must name all of its layers or none, got {value!r}")
    numbers = [
        check_number(f"{name}[{layer or i}]", x, minimum=0, finite=finite)
        for i, (layer, x) in enumerate(pairs)
    ]
    return tuple((layer, x) if layer else x for (layer, _), x in zip(pairs, numbers, strict=True))


@dataclass(frozen=True, eq=False, repr=False)
class PartEffects(Shown):
    """What every style channel does to a part and to the rest of the image.

    Image change is told in squared 8-bit levels: the mean over pixels and colours of the squared change of
    an image in 0 to 255, as in the PSNR. It is a prediction to first order in each channel, as if channels
    acted independently.

    Attributes
    ----------
    inside, outside : Tensor of shape (S,), float64
        E of `lefs.effects`, summed over the part's clusters and over the others.
    values_outside : float
        How many numbers (pixels × colours) of an image lie outside the part, on average.
    """

    inside: Tensor
    outside: Tensor
    values_outside: float

    @classmethod
    def of(cls, catalog: Catalog, part: str) -> PartEffects:
        """Those of one part; a ValueError if the catalog has no effects."""
        effects, clusters = catalog.measured_effects, catalog.clusters(part)
        rest = [k for k in range(catalog.num_clusters) if k not in clusters]
        share = float(catalog.sizes[rest].sum()) / max(1.0, float(catalog.sizes.sum()))
        values = share * 3 * max(layer.side * layer.width for layer in catalog.layers)
        return cls(effects[list(clusters)].sum(dim=0), effects[rest].sum(dim=0), values)

    def budget(self, leak: float) -> float:
        """The change outside that `leak` stands for, in the units of δ² E."""
        # (without anything outside, nothing can leak)
        return leak * self.values_outside / _LEVELS**2 if self.values_outside else 0.0

    def predicted_leak(self, q: Tensor, target_styles: Tensor, reference_styles: Tensor) -> Tensor:
        """The mean squared change outside the part that an edit is predicted to make: (N,), float64."""
        change = predicted_change(q, self.difference(target_styles, reference_styles), self.outside)
        return change * _LEVELS**2 / max(1.0, self.values_outside)

    def difference(self, target_styles: Tensor, reference_styles: Tensor) -> Tensor:
        """δ = σ_R − σ_S of each pair: (N, S), float32."""
        check_styles_shape(len(self.inside), target_styles=target_styles, reference_styles=reference_styles)
        return (reference_styles - target_styles).float()
