"""
How the embedded generators are made: portraits are drawn, networks trained on them, and all of it measured.

`draw` knows nothing of networks, `train` learns from what it draws, `measure` looks at what came of it. Every
command is a module, run from the top of the checkout:

    python -m data.portraits.recipe.draw.dataset --help
    python -m data.portraits.recipe.train.segmenter --help
    python -m data.portraits.recipe.train.generator --help
    python -m data.portraits.recipe.measure.label --help      likewise judge, tune, compare
"""

from pathlib import Path

MODEL = Path(__file__).resolve().parents[1]
"""The folder of what is shipped: weights, catalog and numbers of the larger generator."""
