"""
Make the labelled catalog that is shipped: dissect the generator, name its clusters by the truth, and measure
what each channel does to each cluster.

    python -m data.portraits.recipe.measure.label              catalog and agreement.json, into its folder
    python -m data.portraits.recipe.measure.label --survey     what other layers and numbers of clusters give
    python -m data.portraits.recipe.measure.label --measure    agreement.json of the catalog that is there

Clusters are named so that the parts they make agree best with the true ones, and as many as possible have
recall 0.7 and purity 0.5, on images outside the catalog's sample; the agreement is stated on others again.
Contributions are by energy (the paper's M); the effects are kept beside them, so that ``catalog.by_effect()``
and the query for one pair cost nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import lefs
from lefs.effects import measure_effects
from lefs.evaluation import confusion
from lefs.records import locate, write_json
from lefs.tables import Table

FORMAT = "lefs-agreement"
NAMING, STATING = 100_000, 104_000  # first seeds of the images that clusters are named and judged on
LEAST = 0.5  # no part is claimed that agrees less; an edit of it would be an edit of something else
WANTED = {"recall": 0.7, "purity": 0.5}
MARGIN = 0.03  # asked for beyond that when naming, as other images give a little less
LAYER, CLUSTERS, COUNTS = "b64.conv0+b128.conv0", 768, (128, 256, 448)


def overlaps(table: NDArray[Any], names: Sequence[int]) -> NDArray[Any]:
    """
    Measure parts made of clusters against the true ones.

    Parameters
    ----------
    table : ndarray of shape (K, P)
        Pixels of each cluster in each true part.
    names : sequence of K int
        The part of each cluster; -1 for none of them.

    Returns
    -------
    ndarray of shape (P, 3)
        Recall, purity, and intersection over union; 0 where no cluster bears the name.
    """
    made = np.equal.outer(np.arange(table.shape[1]), np.asarray(names)) @ table
    hit, own, truth = made.diagonal(), made.sum(1), table.sum(0)
    shares = [hit / np.maximum(whole, 1e-9) for whole in (truth, own, own + truth - hit)]
    return np.stack(shares, axis=1)


def balance(table: NDArray[Any], names: Sequence[int]) -> NDArray[Any]:
    """Harmonic mean of recall and purity of each part, (P,): F1."""
    recall, purity, _ = overlaps(table, names).T
    return 2 * recall * purity / np.maximum(recall + purity, 1e-9)


def worth(table: NDArray[Any], names: Sequence[int]) -> float:
    """
    What a choice of names is worth: in the mean over all parts, F1 and how near both of its shares come to
    `WANTED` and a `MARGIN`, beyond which they count no more.

    Parameters
    ----------
    table, names
        As for `overlaps`.

    Returns
    -------
    float
        From 0 to 2.
    """
    shares = overlaps(table, names)[:, :2]
    near = np.minimum(shares / (np.array(list(WANTED.values())) + MARGIN), 1).prod(axis=1)
    return float((balance(table, names) + near).mean())


def name_clusters(table: NDArray[Any], *, least: float = LEAST) -> list[int]:
    """
    Choose a part for each cluster, for the largest `worth`.

    A part counts for as much as any other, however few pixels it has, and a cluster goes where the united
    part gains more by it than the others lose.

    Parameters
    ----------
    table : ndarray of shape (K, P)
        Pixels of each cluster in each true part.
    least : float
        Parts of a worse balance are given up, the worst first, and their clusters shared by the others.

    Returns
    -------
    list of K int
        Places of the parts.
    """
    allowed = list(range(table.shape[1]))
    while True:
        names = _climb(table, allowed)
        found = balance(table, names)
        worst = min(allowed, key=lambda part: found[part])
        if found[worst] >= least or len(allowed) == 1:
            return names
        allowed.remove(worst)


def _climb(table: NDArray[Any], allowed: list[int]) -> list[int]:
    """Rename single clusters as long as that is worth more, from two beginnings."""
    only = np.full(table.shape[1], -1.0)
    only[allowed] = 1
    sizes = table.sum(0).clip(1e-9)
    starts = [np.where(only > 0, table / sizes**power, -1).argmax(1) for power in (0, 0.5)]
    found = [_climb_from(table, list(start), allowed) for start in starts]
    return max(found, key=lambda names: worth(table, names))


def _climb_from(table: NDArray[Any], names: list[int], allowed: list[int]) -> list[int]:
    best, before = worth(table, names), -1.0
    while best > before:
        before = best
        for cluster in range(len(names)):
            tried = [[*names[:cluster], part, *names[cluster + 1 :]] for part in allowed]
            scores = [worth(table, other) for other in tried]
            if max(scores) > best + 1e-9:
                best, names = max(scores), tried[int(np.argmax(scores))]
    return [int(name) for name in names]


def agreement(
    catalog: lefs.Catalog, table: NDArray[Any], names: Sequence[str], images: int
) -> dict[str, Any]:
    """State how well each part of a catalog agrees with the true part of its name; plain JSON values.

    Parameters
    ----------
    table : ndarray of shape (K, P)
        Of the images from seed `STATING` on.
    names : sequence of P str
        The true parts.
    images : int
        How many they were.
    """
    # (a part that was named by hand need not be a true one)
    given = [names.index(name) if name in names else -1 for name in catalog.cluster_names]
    recall, purity, both = overlaps(table, given).T
    parts = {
        name: {
            "clusters": given.count(p),
            "share": round(float(table[:, p].sum() / table.sum()), 4),
            "recall": round(float(recall[p]), 3),
            "purity": round(float(purity[p]), 3),
            "iou": round(float(both[p]), 3),
        }
        for p, name in enumerate(names)
    }
    about = {"layer": catalog.layer, "clusters": catalog.num_clusters, "first_seed": STATING}
    return {
        "format": FORMAT,
        "version": 1,
        "generator": asdict(catalog.generator),
        **about,
        "images": images,
        "parts": parts,
    }


def agreement_of(model: lefs.Generator, catalog: lefs.Catalog, segmenter: Any, images: int) -> dict[str, Any]:
    """The same, measured now."""
    table = confusion(model, catalog, range(STATING, STATING + images), segmenter=segmenter)
    return agreement(catalog, table, segmenter.names, images)


def card(found: dict[str, Any]) -> str:
    """The table of the model card, in Markdown, of what `agreement` states."""
    lines = [
        "| true part | clusters | share of pixels | recall | purity | IoU |",
        "|---|---|---|---|---|---|",
    ]
    for name, part in found["parts"].items():
        numbers = " | ".join(f"{part[key]:.2f}" for key in ("recall", "purity", "iou"))
        lines.append(f"| {name} | {part['clusters']} | {part['share']:.1%} | {numbers} |")
    return "\n".join(lines)


def survey(
    model: lefs.Generator, segmenter: Any, *, layers: Sequence[str], counts: Sequence[int], images: int
) -> Table:
    """
    Recall / purity of every part for every layer and number of clusters, with the mean of their balance and
    the number of parts that reach what is wanted.
    """
    rows: list[list[str | float]] = []
    for layer in layers:
        for count in counts:
            catalog = lefs.dissect(model, range(images), clusters=count, layer=layer, n_init=3)
            table = confusion(model, catalog, range(NAMING, NAMING + images), segmenter=segmenter)
            rows.append([layer, str(count), *survey_row(table)])
    return Table(("layer", "K", "mean F1", "reached", *segmenter.names), rows)


def survey_row(table: NDArray[Any]) -> list[str | float]:
    """Mean balance, how many parts reach what is wanted, and "recall / purity" of each."""
    names = name_clusters(table)
    found = overlaps(table, names)[:, :2]
    reached = (found >= list(WANTED.values())).all(1).sum()
    cells = [f"{recall:.2f} / {purity:.2f}" for recall, purity in found]
    return [float(balance(table, names).mean()), f"{reached} of {len(found)}", *cells]


def fine_layers(model: lefs.Generator) -> list[str]:
    """The default layer, the convolutions of the next higher resolution (parts are lost on small maps), and
    the default layer joined to each of them.
    """
    side = model.layer(model.default_layer).size[0]
    finer = [x.name for x in model.layers if x.size[0] == 2 * side and x.kind == "conv"]
    return [model.default_layer, *finer, *[f"{model.default_layer}+{name}" for name in finer]]


def label(model: lefs.Generator, segmenter: Any, options: argparse.Namespace) -> lefs.Catalog:
    """Dissect, name, measure effects."""
    catalog = lefs.dissect(
        model,
        range(options.images),
        clusters=options.clusters,
        layer=options.layer,
        n_init=4,
    )
    table = confusion(model, catalog, range(NAMING, NAMING + options.judged), segmenter=segmenter)
    catalog = catalog.named([segmenter.names[p] for p in name_clusters(table, least=options.least)])
    catalog = measure_effects(catalog, model, range(options.effect_images))
    assert catalog.effects is not None
    # (half the file: what random probes measure is good to a few per cent, far from float32's last digit)
    return replace(catalog, effects=catalog.effects.float().double())


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="portraits", help="name of an embedded model, or its folder")
    parser.add_argument("--images", type=int, default=768, help="size of the sample")
    parser.add_argument("--clusters", type=int, default=CLUSTERS, help="number of clusters, K")
    parser.add_argument("--layer", default=LAYER, help="layer to cluster, or several joined by +")
    parser.add_argument(
        "--judged", type=int, default=1024, help="images to name on, and as many others to state on"
    )
    parser.add_argument("--effect-images", type=int, default=128, help="images to measure effects on")
    parser.add_argument(
        "--least", type=float, default=LEAST, help="balance (F1) below which no part is claimed"
    )
    parser.add_argument("--survey", action="store_true", help="compare layers and numbers of clusters")
    parser.add_argument(
        "--layers", nargs="+", help="for --survey; default: those of two resolutions, and joined"
    )
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS, help="for --survey: the K to try")
    parser.add_argument("--measure", action="store_true", help="only state the agreement of what is there")
    options = parser.parse_args(arguments)
    model, segmenter = lefs.load(options.model), lefs.load_segmenter(options.model)
    folder = locate(options.model)
    if options.survey:
        layers = options.layers or fine_layers(model)
        print(survey(model, segmenter, layers=layers, counts=options.counts, images=min(128, options.images)))
        return
    if options.measure:
        catalog = lefs.Catalog.load(folder)
    else:
        catalog = label(model, segmenter, options)
        catalog.save(folder)
    found = agreement_of(model, catalog, segmenter, options.judged)
    write_json(folder / "agreement.json", found)
    print(catalog, card(found), sep="\n")


if __name__ == "__main__":
    main()
