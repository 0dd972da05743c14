"""Make the labelled catalog that is shipped: dissect the generator, name its clusters by the truth, and
measure what each channel does to each cluster.

    python data/portraits/label.py

Clusters are named by the part with the best balance of purity and recall on images outside the
catalog's sample. Contributions are by energy (the paper's M); the effects are kept beside them, so that
``catalog.by_effect()`` and the query for one pair cost nothing.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import lefs
from lefs.effects import measure_effects
from lefs.evaluation import agreement_table, confusion, name_by_truth

HERE = Path(__file__).parent


def main() -> None:
    """Write catalog.safetensors and catalog.json beside this file and print how well its parts agree."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=512, help="size of the sample")
    parser.add_argument("--clusters", type=int, default=32, help="number of clusters, K")
    parser.add_argument("--layer", default=None, help="layer to cluster; the generator's default if left out")
    args = parser.parse_args()
    model, segmenter = lefs.load(HERE), lefs.load_segmenter(HERE)
    options = {"layer": args.layer, "n_init": 10, "sample_size": None}
    catalog = lefs.dissect(model, range(args.images), clusters=args.clusters, **options)
    table = confusion(model, catalog, range(100_000, 100_256), segmenter=segmenter)
    catalog = catalog.named(name_by_truth(table, segmenter.names))
    replace(catalog, effects=measure_effects(catalog, model)).save(HERE)
    print(catalog)
    print(agreement_table(table, catalog.cluster_names, segmenter.names))


if __name__ == "__main__":
    main()
