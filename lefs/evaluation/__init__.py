"""Does editing do what it claims? Every method on the same pairs; settings tuned; what parts really are."""

from lefs.evaluation.agreement import (
    agreement_table,
    agreements,
    compare_partitions,
    confusion,
    explained_share,
    layers_to_compare,
    name_by_truth,
    sample_vectors,
    stability,
)
from lefs.evaluation.baselines import random_query
from lefs.evaluation.comparisons import Comparison, compare
from lefs.evaluation.intervals import Estimate, bootstrap, estimate, interval, ratio
from lefs.evaluation.masks import NamedSegmenter, Segmenter, read_masks
from lefs.evaluation.methods import Method, by_query, global_transfer, standard_methods
from lefs.evaluation.outcomes import (
    Curve,
    Locality,
    Outcome,
    contrast_table,
    equal_effect,
    locality_table,
    measure,
)
from lefs.evaluation.pairs import PairBatch, pair_batches, seed_pairs
from lefs.evaluation.realism import Realism, frechet_distance, kernel_terms, pooled
from lefs.evaluation.reports import Report, Row, report
from lefs.evaluation.studies import PartLeak, contrast, locality, part_leak
from lefs.evaluation.tuning import Trial, Tuning, load_settings, part_settings, save_settings, tune

__all__ = [
    "Comparison", "Curve", "Estimate", "Locality", "Method", "NamedSegmenter", "Outcome", "PairBatch",
    "PartLeak", "Realism", "Report", "Row", "Segmenter", "Trial", "Tuning", "agreement_table",
    "agreements", "bootstrap", "by_query", "compare", "compare_partitions", "confusion", "contrast",
    "contrast_table", "equal_effect", "estimate", "explained_share", "frechet_distance",
    "global_transfer", "interval", "kernel_terms", "layers_to_compare", "load_settings", "locality",
    "locality_table", "measure", "name_by_truth", "pair_batches", "part_leak", "part_settings",
    "pooled", "random_query", "ratio", "read_masks", "report", "sample_vectors", "save_settings",
    "seed_pairs", "stability", "standard_methods", "tune",
]  # fmt: skip
