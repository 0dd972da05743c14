"""Does it do what it claims? Leak, effect, realism, rivals on the same pairs, and what parts really are."""

from lefs.evaluation.agreement import (
    agreement_table,
    confusion,
    name_by_truth,
    stability,
    stability_of_halves,
)
from lefs.evaluation.comparison import Comparison, Outcome, compare
from lefs.evaluation.contestants import Contestant, standard_contestants
from lefs.evaluation.interference import PartLeak, part_leak
from lefs.evaluation.intervals import DRAWS, Estimate, bootstrap, estimate, interval, ratio
from lefs.evaluation.masks import NamedSegmenter, Segmenter, read_masks, union
from lefs.evaluation.measures import Locality, locality, locality_table, measure, random_query
from lefs.evaluation.pairs import PairBatch, check_pairs, pair_batches, seed_pairs
from lefs.evaluation.realism import AsBytes, Realism, RealismMeter
from lefs.evaluation.report import Report, Row, Summary, effect_within, report
from lefs.evaluation.roads import Road, contrast, contrast_table, equal_effect
from lefs.evaluation.tuning import Trial, Tuning, load_settings, part_settings, save_settings, tune

__all__ = [
    "DRAWS",
    "AsBytes",
    "Comparison",
    "Contestant",
    "Estimate",
    "Locality",
    "NamedSegmenter",
    "Outcome",
    "PairBatch",
    "PartLeak",
    "Realism",
    "RealismMeter",
    "Report",
    "Road",
    "Row",
    "Segmenter",
    "Summary",
    "Trial",
    "Tuning",
    "agreement_table",
    "bootstrap",
    "check_pairs",
    "compare",
    "confusion",
    "contrast",
    "contrast_table",
    "effect_within",
    "equal_effect",
    "estimate",
    "interval",
    "load_settings",
    "locality",
    "locality_table",
    "measure",
    "name_by_truth",
    "pair_batches",
    "part_leak",
    "part_settings",
    "random_query",
    "ratio",
    "read_masks",
    "report",
    "save_settings",
    "seed_pairs",
    "stability",
    "stability_of_halves",
    "standard_contestants",
    "tune",
    "union",
]
