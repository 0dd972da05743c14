"""Choosing ρ and ε: what each setting does on held-out pairs, and what arrives unseen outside the part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Unpack

from torch import Tensor

from lefs.catalog import Catalog
from lefs.checks import check_choice, check_name, check_number
from lefs.evaluation.comparisons import compare
from lefs.evaluation.intervals import Estimate, estimate
from lefs.evaluation.methods import Method, edited
from lefs.evaluation.pairs import PairBatch, PairOptions, seed_pairs
from lefs.generator import Generator
from lefs.query import QuerySettings
from lefs.records import ArtifactError, PathLike, folder_of, read_json, whole, write_json
from lefs.showing import Shown
from lefs.tables import Table, Tabular

__all__ = ["Trial", "Tuning", "load_settings", "part_settings", "save_settings", "tune"]

_FORMAT = "lefs-settings"
_TABLES = {"energy": "parts", "effect": "parts by effect"}  # a table for each kind of contributions
# (at 0 any channel may move: of a part of few pixels none has a share that would be worth a price)
RHOS = (0.0, 0.02, 0.1, 0.3, 0.5)
EPSILONS = (0.0, 1.0, 2.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0)


@dataclass(frozen=True)
class Trial:
    """What one setting does.

    Attributes
    ----------
    settings : QuerySettings
        How channels were chosen.
    arrival : Estimate
        How much of the way to the reference the part has gone.
    visible : Estimate
        Share of the pixels outside the part that change visibly.

    Examples
    --------
    >>> import lefs
    >>> from lefs.evaluation import Estimate, Trial
    >>> Trial(lefs.QuerySettings(), Estimate(0.6, 0.5, 0.7), Estimate(0.04, 0.03, 0.05)).arrival.value
    0.6
    """

    settings: QuerySettings
    arrival: Estimate
    visible: Estimate


@dataclass(frozen=True, repr=False)
class Tuning(Shown, Tabular):
    """The outcome of `tune`.

    Attributes
    ----------
    part : str
    limit : float
        What was allowed to be visible outside the part.
    best : Trial
        The one that arrives furthest among those that keep to that.
    trials : tuple of Trial
        All, in the order of the grid.

    Examples
    --------
    >>> import lefs
    >>> from lefs.evaluation import Estimate, Trial, Tuning
    >>> trial = Trial(lefs.QuerySettings(rho=0.3), Estimate(0.6, 0.5, 0.7), Estimate(0.04, 0.03, 0.05))
    >>> Tuning("hair", 0.05, trial, (trial,)).settings.rho
    0.3
    """

    part: str
    limit: float
    best: Trial
    trials: tuple[Trial, ...]

    @property
    def settings(self) -> QuerySettings:
        """What was chosen."""
        return self.best.settings

    def numbers(self) -> Table:
        """A row for each trial: its settings, arrival and visibility."""
        return Table.of(self.trials)

    @property
    def frontier(self) -> list[Trial]:
        """The Pareto curve: trials than which no other arrives further with as little to be seen outside."""
        found: list[Trial] = []
        for trial in sorted(self.trials, key=lambda t: (t.visible[0], -t.arrival[0])):
            if not found or trial.arrival[0] > found[-1].arrival[0]:
                found.append(trial)
        return found


def tune(
    generator: Generator,
    catalog: Catalog,
    part: str,
    *,
    visible: float = 0.02,
    pairs: Sequence[tuple[int, int]] | None = None,
    settings: QuerySettings | None = None,
    rhos: Iterable[float] = RHOS,
    epsilons: Iterable[float] = EPSILONS,
    **options: Unpack[PairOptions],
) -> Tuning:
    """The settings by which a part arrives furthest with little to be seen outside it, and the whole sweep.

    Parameters
    ----------
    generator : Generator
    catalog : Catalog
    part : str
        Name of a part.
    visible : float in [0, 1]
        The share of the pixels outside the part that may change by more than 5 ΔE.
    pairs : sequence of (int, int), optional
        Seeds (target, reference) to try on, none that results are reported on; by default 64 of their own.
    settings : QuerySettings, optional
        What is not swept (method "sequential", gates).
    rhos, epsilons : iterable of float
        The grid.
    **options
        ``truncation``, ``segmenter``, ``batch_size``, ``progress``, ``executor``: of `map_pairs`.

    Returns
    -------
    Tuning

    Raises
    ------
    ValueError
        If no setting of the grid keeps to that, or no pair shows the part.

    Examples
    --------
    >>> import lefs
    >>> from lefs.evaluation import seed_pairs, tune
    >>> generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    >>> found = tune(
    ...     generator, catalog, "hair", visible=1, pairs=seed_pairs(2), rhos=[0.1], epsilons=[1, 16],
    ...     progress=False,
    ... )
    >>> len(found.trials), found.best in found.frontier
    (2, True)
    """
    check_number("visible", visible, minimum=0, maximum=1)
    check_name("part", part, list(catalog.parts), what="part")
    base = settings or QuerySettings()
    grid = [replace(base, rho=r, epsilon=e) for r in rhos for e in epsilons]
    if not grid:
        raise ValueError("rhos and epsilons must each hold a value")
    keys = [s.query(catalog, part).numpy().tobytes() for s in grid]
    # (settings that choose the same channels are rendered once, as one value of the method)
    values = {key: float(i) for i, key in enumerate(keys)}
    sweep = Method("sweep", "", tuple(values.values()), values[keys[0]], partial(_of_grid, catalog, grid))
    options.setdefault("description", f"tuning {part}")
    tried = seed_pairs(64, targets=30_000, references=40_000) if pairs is None else pairs
    outcomes = compare(generator, catalog, tried, parts=[part], methods=[sweep], **options).outcomes
    if not outcomes:
        raise ValueError(f"pairs: none shows {part!r} and something else; give others")
    found = {o.value: [estimate(*o.shares[name]) for name in ("arrival", "visible")] for o in outcomes}
    trials = tuple(Trial(s, *found[values[key]]) for s, key in zip(grid, keys, strict=True))
    return Tuning(part, visible, _best(trials, part, visible), trials)


def _of_grid(
    catalog: Catalog, grid: Sequence[QuerySettings], batch: PairBatch, part: str, value: float
) -> Tensor:
    return edited(batch, catalog, part, grid[int(value)])


def _best(trials: Sequence[Trial], part: str, visible: float) -> Trial:
    fitting, least = [t for t in trials if t.visible[0] <= visible], min(t.visible[0] for t in trials)
    if not fitting:
        raise ValueError(
            f"visible: no setting of the grid keeps {part!r} to {visible:g}, the least is {least:.3g}; allow "
            "that much, or add a smaller epsilon or a larger rho"
        )
    # (where the budget alone decides, prices choose the same channels: then the highest, which says most)
    return max(fitting, key=lambda t: (t.arrival[0], -t.visible[0], t.settings.rho))


# -- beside a catalog ----------------------------------------------------------------------------------------


def save_settings(folder: PathLike, catalog: Catalog, tunings: Iterable[Tuning], *, note: str = "") -> Path:
    """Write ``settings.json`` into a catalog's folder: the tuned settings of its parts, and what they do.

    There is a table for each kind of contributions; what the file holds of the other kind stays, if it was
    made for the same generator.

    Parameters
    ----------
    folder : path
        That the catalog lies in.
    catalog : Catalog
    tunings : iterable of Tuning
        One for each part.
    note : str
        What the numbers are about, in words.

    Returns
    -------
    Path

    Examples
    --------
    >>> import tempfile
    >>> import lefs
    >>> from lefs.evaluation import Estimate, Trial, Tuning, load_settings, save_settings
    >>> catalog, number = lefs.Catalog.load("portraits-64"), Estimate(0.5, 0.4, 0.6)
    >>> trial = Trial(lefs.QuerySettings(rho=0.3), number, number)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save_settings(folder, catalog, [Tuning("hair", 0.6, trial, (trial,))])
    ...     found = load_settings(folder, catalog)
    >>> found["hair"].rho
    0.3
    """
    path, kept = Path(folder) / "settings.json", {}
    if path.is_file():
        before = read_json(path, expect=_FORMAT)
        if before.get("generator") == catalog.generator.to_json():
            kept = {name: before[name] for name in _TABLES.values() if name in before}
    made: dict[str, dict[str, object]] = {}
    for t in tunings:
        made.setdefault(_TABLES[t.settings.contributions or catalog.measure], {})[t.part] = {
            "settings": _stated(t.settings),
            "arrival": round(t.best.arrival[0], 4),
            "visible": round(t.best.visible[0], 4),
            "limit": t.limit,
        }
    content = {"generator": catalog.generator.to_json(), "note": note, "parts": {}, **kept, **made}
    return write_json(path, {"format": _FORMAT, "version": 1, **content})


def _stated(settings: QuerySettings) -> dict[str, object]:
    """What was tuned, and what is not as usual."""
    own, usual = asdict(replace(settings, contributions=None)), asdict(QuerySettings())
    # (the table that it stands in says whose contributions they are)
    return {k: v for k, v in own.items() if k in ("rho", "epsilon") or v != usual[k]}


def load_settings(
    name_or_folder: PathLike,
    catalog: Catalog,
    generator: Generator | None = None,
    *,
    contributions: Literal["energy", "effect"] | None = None,
) -> dict[str, QuerySettings]:
    """The tuned settings that lie beside a catalog, by part; none where there is no such file.

    What was tuned for contributions of one kind does not fit the other, so that each has its own.

    Parameters
    ----------
    name_or_folder : str or path
        What `Catalog.load` took.
    catalog : Catalog
        What it gave.
    generator : Generator, optional
        Settings that lie beside its file stand in where the catalog has none: they were tuned for the parts
        of the same names.
    contributions : {"energy", "effect"}, optional
        The kind that channels are chosen by; the catalog's own by default.

    Returns
    -------
    dict of str to QuerySettings

    Raises
    ------
    ArtifactError
        If the file is damaged, of another version, or was made for another generator.

    Examples
    --------
    >>> import lefs
    >>> from lefs.evaluation import load_settings
    >>> load_settings("portraits", lefs.Catalog.load("portraits"))["mouth"].method
    'sequential'
    """
    kind = check_choice("contributions", contributions or catalog.measure, tuple(_TABLES))
    folders = [folder_of(name_or_folder)]
    if generator is not None and generator.source is not None:
        folders.append(generator.source.parent)
    path = next((p for f in folders if (p := f / "settings.json").is_file()), None)
    if path is None:
        return {}
    meta = read_json(path, expect=_FORMAT)
    with whole(path, "table of settings"):
        fingerprint = meta["generator"]["fingerprint"]
        table = meta["parts"] if kind == "energy" else meta.get(_TABLES[kind], {})
        found = {n: QuerySettings(**e["settings"], contributions=kind) for n, e in table.items()}
    if fingerprint != catalog.generator.fingerprint:
        raise ArtifactError(f"{path} was made for another generator than {catalog.generator}; tune anew")
    return {name: settings for name, settings in found.items() if name in catalog.parts}


def part_settings(
    catalog: Catalog, tuned: Mapping[str, QuerySettings], **given: float | str
) -> dict[str, QuerySettings]:
    """Settings of every part: tuned ones, or the usual ones, with what is given in their place.

    Parameters
    ----------
    catalog : Catalog
    tuned : mapping of str to QuerySettings
        Of some parts, from `load_settings`.
    **given : float or str
        Fields of `QuerySettings`; a negative number leaves the part's own.

    Returns
    -------
    dict of str to QuerySettings

    Examples
    --------
    >>> import lefs
    >>> from lefs.evaluation import part_settings
    >>> part_settings(lefs.Catalog.load("portraits-64"), {}, rho=0.2, epsilon=-1)["hair"].rho
    0.2
    """
    chosen: Any = {k: v for k, v in given.items() if isinstance(v, str) or v >= 0}
    return {p: replace(tuned.get(p, QuerySettings()), **chosen) for p in catalog.parts}
