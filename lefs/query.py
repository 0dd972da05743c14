"""Which channels to move: contributions of a part → query q in [0, 1] (Editing in Style, §3.2).

`QuerySettings` are all that can be chosen about the rules of `lefs.rules`, and apply them to every layer of a
catalog: ``settings.query(catalog, part)``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from lefs.catalog import CONTRIBUTIONS, Catalog, Contributions
from lefs.checks import check_choice, check_integer, check_name, check_number
from lefs.fitting import fit_query
from lefs.generator import Generator
from lefs.rules import pair_query, predicted_change, released_query, sequential_query, simultaneous_query
from lefs.showing import Shown
from lefs.stylespace import check_styles_shape, ranges
from lefs.synthesis import Noise

__all__ = ["METHODS", "Method", "PartEffects", "QuerySettings"]

Method = Literal["sequential", "simultaneous", "released", "global", "pair", "fit"]
METHODS: tuple[Method, ...] = ("sequential", "simultaneous", "released", "global", "pair", "fit")
#: A number for all layers; one for each; or (layer, number) pairs, 0 for layers that are not named.
ByLayer = Any

_LEVELS = 127.5  # 8-bit levels in one unit of an image in [-1, 1]
_CHOICES: dict[str, tuple[Any, ...]] = {"where": ("everywhere", "part"), "align": (False, "apart", True)}
_CHOICES |= dict.fromkeys(("shifts", "tone", "transplant"), (False, True))
_CHOICES["contributions"] = (None, *CONTRIBUTIONS)


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
        # (as Python's own numbers, which go through JSON)
        found = vars(self)
        for name, choices in _CHOICES.items():
            found[name] = check_choice(name, found[name], choices)
        usual = "global" if self.where == "part" else "sequential"
        found["method"] = check_choice("method", found["method"] or usual, METHODS)
        for name, most in {"slope": math.inf, "coarse": 1, "rgb": 1, "leak": math.inf}.items():
            found[name] = check_number(name, found[name], minimum=0, maximum=most, finite=name != "leak")
        for name in ("rho", "epsilon"):
            found[name] = _by_layer(name, found[name], finite=name == "rho")
        if self.method == "pair" and isinstance(self.rho, tuple):
            raise ValueError('rho must be one number for method="pair", which looks at all layers together')
        if self.refine is not None:
            found["refine"] = check_integer("refine", self.refine, maximum=64)

    def contribution(self, catalog: Catalog, part: str) -> Tensor:
        """Contribution of every channel to a part, of the kind that is chosen by: (S,), float64 in [0, 1]."""
        return catalog.measured_by(self.contributions).contribution(part)

    def query(
        self, catalog: Catalog, part: str, target_styles: Tensor | None = None,
        reference_styles: Tensor | None = None, *, generator: Generator | None = None, noise: Noise = "const",
    ) -> Tensor:  # fmt: skip
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
        if generator is not None and (self.where == "everywhere" or self.method != "global"):
            generator.check_styles()
        if self.method == "global":
            if self.where == "everywhere":  # (in place a mask of one's own may have a name of its own)
                catalog.clusters(part)
            # (ProGAN's latents, which edits in place exchange, are no channels)
            given = catalog.contributions if target_styles is None else target_styles
            return torch.ones(given.shape[1])
        gates = self.gates(catalog)
        if self.method not in ("fit", "pair"):
            m, prices = self.contribution(catalog, part), self._numbers("rho", catalog)
            layers = zip(catalog.layers, gates, prices, self.budgets(catalog), strict=True)
            return self._spread(catalog, (self._rule(m[la.span], *given) for la, *given in layers)).float()
        if target_styles is None or reference_styles is None or (self.method == "fit" and generator is None):
            needed = "the generator and " * (self.method == "fit") + "the styles of targets and references"
            raise ValueError(f'method="{self.method}" needs {needed}; an Editor has them')
        if generator is not None and self.method == "fit":
            return fit_query(generator, catalog, part, target_styles, reference_styles, noise=noise)
        acts, limits = PartEffects.of(catalog, part), {"rho": self.rho, "gate": self._spread(catalog, gates)}
        difference = acts.difference(target_styles, reference_styles)
        return pair_query(difference, acts.inside, acts.outside, epsilon=acts.budget(self.leak), **limits)

    def _rule(self, m: Tensor, gate: float, rho: float, epsilon: float) -> Tensor | float:
        """The query of one layer."""
        if self.method == "simultaneous":
            return simultaneous_query(m, slope=self.slope * gate)
        rule = released_query if self.method == "released" else sequential_query
        return rule(m, rho=rho, epsilon=epsilon) if gate else 0.0  # (some channels cost nothing)

    def _spread(self, catalog: Catalog, values: Iterable[Tensor | float]) -> Tensor:
        """What each layer has at those of its styles that may move, 0 at all others: (S,), float64."""
        found = torch.zeros(catalog.contributions.shape[1], dtype=torch.float64)
        for layer, value in zip(catalog.layers, values, strict=True):
            for span in layer.spans if self.shifts else (layer.span,):
                found[span] = value
        return found

    def _numbers(self, name: str, catalog: Catalog) -> list[float]:
        """What ρ or ε is in each layer: L numbers."""
        chosen, names = getattr(self, name), [layer.name for layer in catalog.layers]
        if not isinstance(chosen, tuple):
            return [chosen] * len(names)
        if any(isinstance(one, tuple) for one in chosen):
            table = {check_name(name, layer, names, what="layer"): value for layer, value in chosen}
            return [table.get(layer, 0.0) for layer in names]
        if len(chosen) != len(names):
            raise ValueError(f"{name} must be one number, or {len(names)}, one a layer; got {len(chosen)}")
        return list(chosen)

    def gates(self, catalog: Catalog) -> list[float]:
        """What multiplies the budget, slope or worth of each layer: L numbers in [0, 1]."""
        coarse = ranges(catalog.layers)["coarse"]
        return [self.rgb ** (la.kind == "rgb") * self.coarse ** (la.name in coarse) for la in catalog.layers]

    def budgets(self, catalog: Catalog) -> list[float]:
        """The budget ε of each layer after its gate: L numbers, in channels."""
        return [e * g for e, g in zip(self._numbers("epsilon", catalog), self.gates(catalog), strict=True)]


def _by_layer(name: str, value: Any, *, finite: bool) -> Any:
    """A number as it is; a list or table of them as tuples, which compare and go through JSON."""
    limits: dict[str, Any] = {"minimum": 0, "finite": finite}
    value = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(value, list | tuple | Mapping):
        return check_number(name, value, **limits)
    given = list(value.items()) if isinstance(value, Mapping) else value
    pairs = [one if isinstance(one, list | tuple) else (None, one) for one in given]
    if len({layer is None for layer, _ in pairs}) > 1:
        raise ValueError(f"{name} must name all of its layers or none, got {value!r}")
    checked = [(la, check_number(f"{name}[{la or i}]", x, **limits)) for i, (la, x) in enumerate(pairs)]
    return tuple(pair if pair[0] else pair[1] for pair in checked)


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
