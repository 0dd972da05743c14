"""The methods that are compared: each edits one part of pairs, as far as the value of its setting says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lefs.blending import in_place
from lefs.catalog import Catalog
from lefs.checks import check_name
from lefs.directions import Direction
from lefs.evaluation import baselines
from lefs.evaluation.pairs import PairBatch
from lefs.generator import Generator
from lefs.positions import main_pieces
from lefs.query import QuerySettings
from lefs.showing import Shown

__all__ = [
    "Method", "Settings", "at_random", "by_query", "by_settings", "global_transfer", "path_methods",
    "settings_by_part", "standard_methods",
]  # fmt: skip

Edit = Callable[[PairBatch, str, float], Tensor]
Query = Callable[[str, float], Tensor]
Settings = QuerySettings | Mapping[str, QuerySettings]  # of all parts, or by part

BUDGETS = (1.0, 4.0, 16.0, 32.0, 64.0, 128.0)  # ε, channels in each layer
SLOPES = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
STRENGTHS = (0.1, 0.2, 0.4, 1.0)
THRESHOLDS = (0.99, 0.95, 0.8, 0.5, 0.3)
LEAKS = (2.0, 10.0, 50.0, 200.0, 800.0)  # squared 8-bit levels outside the part
# What is turned, a field of settings or the strength λ: what it is called, its values, the usual one.
TURNED = {
    "": ("", (0.0,), 0.0),
    "epsilon": ("ε", BUDGETS, 16.0),
    "slope": ("slope", SLOPES, 2.0),
    "leak": ("leak", LEAKS, 50.0),
    "λ": ("λ", STRENGTHS, 1.0),
}
#: How far `path_methods` go: standard deviations of w, twice; the strength λ of a transfer.
AMOUNTS = {
    "path": (0.5, 1.0, 2.0, 3.0),
    "path through q": (1.0, 2.0, 4.0, 8.0),
    "transfer": (0.25, 0.5, 0.75, 1.0),
}


@dataclass(frozen=True, eq=False, repr=False)
class Method(Shown):
    """A method of editing one part.

    Attributes
    ----------
    name : str
    setting : str
        What is turned to make the edit stronger, a symbol or a word.
    values : tuple of float
        From the weakest edit to the strongest.
    usual : float
        The one of `values` that tables show.
    make : callable
        (batch, part, value) → styles of the edited images, (n, S), or, of a method that does not move styles,
        the images themselves, (n, 3, H, W).
    whole : bool
        Whether the edit is the same whatever the part.

    Examples
    --------
    >>> from lefs.evaluation import Method
    >>> halfway = Method("half", "λ", (0.5,), 0.5, lambda batch, part, value: batch.target_styles * value)
    >>> halfway.name, halfway.usual
    ('half', 0.5)
    """

    name: str
    setting: str
    values: tuple[float, ...]
    usual: float
    make: Edit
    whole: bool = False

    def __post_init__(self) -> None:
        if self.usual not in self.values:
            raise ValueError(f"usual must be one of values {self.values}, got {self.usual!r}")

    def only(self, *values: float) -> Method:
        """The same with fewer values of its setting."""
        return replace(self, values=values, usual=values[-1] if self.usual not in values else self.usual)

    def edit(self, batch: PairBatch, part: str, value: float) -> Tensor:
        """The edited images: (n, 3, H, W), in [-1, 1]."""
        return self.render(batch, part, value, torch.ones(len(batch.index), dtype=torch.bool))[0]

    def render(self, batch: PairBatch, part: str, value: float, at: Tensor) -> tuple[Tensor, Tensor | None]:
        """Those of some of the pairs, and their styles if it is they that were moved; `at` is bool, (n,)."""
        made = self.make(batch, part, value)
        if made.ndim == 4:
            return made[at], None
        # (what is the reference is rendered already)
        if made is batch.reference_styles:
            return batch.references[at], made[at]
        return batch.generator.synthesize(made[at]), made[at]


def by_query(name: str, setting: str, values: Sequence[float], usual: float, query: Query) -> Method:
    """A method that moves styles through a query which is the same for all pairs.

    Parameters
    ----------
    name, setting, values, usual
        Of the `Method`.
    query : callable
        (part, value) → Tensor of shape (S,), asked for each batch. For an executor of processes it must be
        one that can be pickled: a function of a module, or `partial` of one.

    Returns
    -------
    Method

    Examples
    --------
    >>> import lefs
    >>> from lefs.evaluation import by_query
    >>> catalog = lefs.Catalog.load("portraits-64")
    >>> by_query("half", "λ", [0.5], 0.5, lambda part, value: value * catalog.contribution(part)).usual
    0.5
    """
    return Method(name, setting, tuple(values), usual, partial(_through, query))


# (functions of the module, here and below, since they travel to other processes)


def _through(query: Query, batch: PairBatch, part: str, value: float) -> Tensor:
    return batch.moved(query(part, value))


def by_settings(catalog: Catalog, settings: Settings, name: str = "settings", field: str = "") -> Method:
    """A method that chooses channels by settings, of which one field or λ, if named, takes the value."""
    return Method(name, *TURNED[field], partial(_by_settings, catalog, settings, field))


def _by_settings(
    catalog: Catalog, settings: Settings, field: str, batch: PairBatch, part: str, value: float
) -> Tensor:
    own, strength = _chosen(settings, field, part, value), value if field == "λ" else 1.0
    return edited(batch, catalog, part, own, strength=strength)


def at_random(catalog: Catalog, settings: Settings, name: str, field: str, random_state: int) -> Method:
    """A method that spends on channels drawn at random what such settings would spend."""
    return by_query(name, *TURNED[field], partial(_at_random, catalog, settings, field, random_state))


def _at_random(
    catalog: Catalog, settings: Settings, field: str, random_state: int, part: str, value: float
) -> Tensor:
    own = _chosen(settings, field, part, value)
    q, m = own.query(catalog, part), own.contribution(catalog, part)
    return baselines.random_query(q, m, catalog, random_state=random_state)


def _chosen(settings: Settings, field: str, part: str, value: float) -> QuerySettings:
    own: Any = settings if isinstance(settings, QuerySettings) else settings[part]
    return own if field in ("", "λ") else replace(own, **{field: value})


def edited(
    batch: PairBatch, catalog: Catalog, part: str, settings: QuerySettings, *, strength: float = 1.0
) -> Tensor:
    """Edits of one part of a batch by settings: styles, or images if they are made in place.

    A pair in neither picture of which the catalog finds the part stays its target.
    """
    if settings.where == "everywhere":
        return batch.moved(settings.query(catalog, part, *batch.sides), strength=strength)
    at, images = batch.place(part).flatten(1).any(dim=1), batch.targets.clone()
    if bool(at.any()):
        # (tones are those of the parts beside it, so that all masks are asked for)
        masks = None if settings.tone else [main_pieces(m[part][at]) for m in batch.own_masks]
        sides = (styles[at] for styles in batch.sides)
        given: dict[str, Any] = {"settings": settings, "strength": strength, "masks": masks}
        images[at] = in_place(batch.generator, catalog, part, *sides, **given)
    return images


def settings_by_part(settings: Settings, parts: Iterable[str]) -> dict[str, QuerySettings]:
    """The settings of each of these parts, from a table or the same for all."""
    if isinstance(settings, QuerySettings):
        return dict.fromkeys(parts, settings)
    return {p: settings[check_name("settings", p, list(settings), what="part")] for p in parts}


def standard_methods(
    generator: Generator,
    catalog: Catalog,
    *,
    effect: Catalog | None = None,
    settings: QuerySettings | None = None,
    random_state: int = 0,
) -> tuple[Method, ...]:
    """All methods that lefs knows, for one generator and catalog.

    Parameters
    ----------
    generator : Generator
    catalog : Catalog
    effect : Catalog, optional
        The same parts with contributions by effect (`lefs.effects.by_effect`); without it, the effect-based
        and the pair-aware method are left out.
    settings : QuerySettings, optional
        ρ and the gates of the methods that have them; by default ρ = 0.02, so that the budget decides.
    random_state : int
        Of the random channels.

    Returns
    -------
    tuple of Method
        Sequential, simultaneous, (effect-based, pair-aware,) released rule, per-image masks, random, coarse,
        middle and fine mixing (where there are such layers), in place, feature blending, pixel and soft
        compositing, global.

    Examples
    --------
    >>> import lefs
    >>> from lefs.evaluation import standard_methods
    >>> methods = standard_methods(lefs.load("portraits-64"), lefs.Catalog.load("portraits-64"))
    >>> [m.name for m in methods][:3]
    ['sequential', 'simultaneous', 'released rule']
    """
    base = settings or QuerySettings(rho=0.02)
    rules: Any = (
        ("sequential", catalog, base.method, "epsilon"),
        ("simultaneous", catalog, "simultaneous", "slope"),
        ("effect-based", effect, base.method, "epsilon"),
        ("pair-aware", effect, "pair", "leak"),
        ("released rule", catalog, "released", "epsilon"),
    )
    found = [
        by_settings(own, replace(base, method=rule), name, field) for name, own, rule, field in rules if own
    ]
    found.append(Method("per-image masks", "threshold", THRESHOLDS, 0.8, partial(_per_image, catalog)))
    found.append(at_random(catalog, base, "random channels", "epsilon", random_state))
    for level in ("coarse", "middle", "fine"):
        q = baselines.mixing_query(generator.layers, level, count=generator.num_styles)
        if q.any():
            found.append(Method(f"{level} mixing", *TURNED["λ"], partial(_mixed, q), whole=True))
    # (the first layer's input is the same in all images)
    names = [la.name for la in generator.layers[1:] if la.kind == "conv"]
    layer = generator.default_layer if generator.default_layer in names else next(iter(names), "")
    masked: dict[str, Edit] = {"feature blending": partial(_blended, layer)} if layer else {}
    masked |= {"pixel compositing": partial(_pasted, False), "soft compositing": partial(_pasted, True)}
    found.append(by_settings(catalog, QuerySettings(where="part"), "in place", "λ"))
    found += [Method(name, *TURNED["λ"], make) for name, make in masked.items()]
    return (*found, global_transfer(STRENGTHS))


def _per_image(catalog: Catalog, batch: PairBatch, part: str, value: float) -> Tensor:
    row, coarse = list(catalog.parts).index(part), "hair" in part.lower()
    # (the method's own parts; those of the pairs' catalog are measured once for all values)
    shares = (batch if catalog is batch.catalog else replace(batch, catalog=catalog)).image_shares
    own, wanted = (baselines.image_masks(x, threshold=value)[:, row] for x in shares)
    # (Retrieve in Style reserves the coarse layers for hair and pose)
    return batch.moved(baselines.image_query(own, wanted, catalog.layers, coarse=coarse))


def _mixed(q: Tensor, batch: PairBatch, part: str, value: float) -> Tensor:
    return batch.moved(q, strength=value)


def _blended(layer: str, batch: PairBatch, part: str, value: float) -> Tensor:
    given: dict[str, Any] = {"layer": layer, "strength": value}
    return baselines.blend_features(batch.generator, *batch.sides, batch.place(part), **given)


def _pasted(soft: bool, batch: PairBatch, part: str, value: float) -> Tensor:
    mask = baselines.softened(batch.place(part)) if soft else batch.place(part)
    return baselines.composite(batch.targets, batch.references, mask, strength=value)


def global_transfer(strengths: Sequence[float] = (1.0,)) -> Method:
    """The method that moves every channel, whatever the part; at full strength it gives the reference.

    Parameters
    ----------
    strengths : sequence of float in [0, 1]
        λ, the usual one last.

    Returns
    -------
    Method

    Examples
    --------
    >>> from lefs.evaluation import global_transfer
    >>> global_transfer().values
    (1.0,)
    """
    return Method("global", "λ", tuple(strengths), strengths[-1], _globally, whole=True)


def _globally(batch: PairBatch, part: str, value: float) -> Tensor:
    if value == 1:
        return batch.reference_styles
    return batch.moved(torch.ones_like(batch.target_styles[0]), strength=value)


def path_methods(
    directions: Sequence[Direction], catalog: Catalog, settings: QuerySettings
) -> tuple[Method, ...]:
    """A path through latent space, the path through a part's query, and a transfer of the part.

    Pair i goes along direction i mod n, forward and backward in turn.

    Parameters
    ----------
    directions : sequence of Direction
        The n directions.
    catalog : Catalog
    settings : QuerySettings
        How the channels of a part are chosen, for path and transfer alike.

    Returns
    -------
    tuple of Method
        ``"path"`` and ``"path through q"``, in standard deviations of w, and ``"transfer"``, of strength λ.

    Examples
    --------
    >>> import lefs
    >>> from lefs.directions import principal_directions
    >>> from lefs.evaluation.methods import path_methods
    >>> found = principal_directions(lefs.load("portraits-64"), range(99), count=2)
    >>> [m.name for m in path_methods(found, lefs.Catalog.load("portraits-64"), lefs.QuerySettings())]
    ['path', 'path through q', 'transfer']
    """
    # (a transfer in place has no styles, after which the part could be looked for)
    settings = replace(settings, where="everywhere")
    ways = {"path": None, "path through q": partial(settings.query, catalog)}
    paths = (
        Method(name, "σ", AMOUNTS[name], AMOUNTS[name][-1], partial(_path, directions, query), not query)
        for name, query in ways.items()
    )
    return (*paths, by_settings(catalog, settings, "transfer", "λ").only(*AMOUNTS["transfer"]))


def _path(directions: Sequence[Direction], query: Any, batch: PairBatch, part: str, value: float) -> Tensor:
    """So many standard deviations along the direction of each pair, through q: (n, S)."""
    count = len(directions)
    chosen = [(directions[i % count], 1 - 2 * (i // count % 2)) for i in batch.index.tolist()]
    steps = torch.stack([d.styles * d.deviation * sign for d, sign in chosen]).to(batch.target_styles)
    return batch.target_styles + value * (1.0 if query is None else query(part).to(steps)) * steps
