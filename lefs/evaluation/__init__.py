"""Does it do what it claims? Leak, effect, realism, rivals on the same pairs, and what parts really are."""

from lefs.evaluation.agreement import (
    agreement_table,
    confusion,
    name_by_truth,
    stability,
    stability_of_halves,
)
from lefs.evaluation.measures import Locality, locality, locality_table, measure, random_query
from lefs.evaluation.pairs import PairBatch, Segmenter, check_pairs, pair_batches, seed_pairs

__all__ = [
    "Locality",
    "PairBatch",
    "Segmenter",
    "agreement_table",
    "check_pairs",
    "confusion",
    "locality",
    "locality_table",
    "measure",
    "name_by_truth",
    "pair_batches",
    "random_query",
    "seed_pairs",
    "stability",
    "stability_of_halves",
]
