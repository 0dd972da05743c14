"""Tables as text, as HTML, as numbers for pandas and as CSV."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas
import pytest

import lefs
from lefs.evaluation import (
    Estimate,
    PartLeak,
    Row,
    Trial,
    Tuning,
    compare,
    global_transfer,
    report,
    seed_pairs,
)
from lefs.tables import Table, Tabular
from lefs.units import CausalEffect

MIXED = Table(("part", "images", "leak"), [("hair", 64, "4.2% [3.7%, 4.7%]"), ("hat", "1,024", "no leak")])


def test_numbers_are_read_and_words_stay() -> None:
    found = MIXED.numbers()
    assert list(found.columns) == ["part", "images", "leak", "leak low", "leak high"]
    assert [list(row) for row in found.rows] == [
        ["hair", 64, 0.042, 0.037, 0.047],
        ["hat", 1024.0, "no leak", None, None],
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [("−0.0", 0.0), ("1e-3", 0.001), ("12 %", 0.12), ("-1.5", -1.5), ("", None), ("v1", "v1")],
)
def test_a_cell_is_what_it_says(text: str, value: object) -> None:
    assert Table(("x",), [(text,)]).numbers().rows[0][0] == value


def test_an_empty_table_keeps_its_columns(tmp_path: Path) -> None:
    nothing = Table(("a", "b"), [])
    assert list(nothing.to_pandas().columns) == ["a", "b"]
    assert nothing.to_csv(tmp_path / "nothing.csv").read_text() == "a,b\n"


def test_records_are_rows_intervals_columns_and_arrays_go_down() -> None:
    trial = Trial(lefs.QuerySettings(rho=0.3), Estimate(0.5, 0.4, 0.6), Estimate(0.02, 0.01, 0.03))
    frame = Tuning("hair", 0.05, trial, (trial, trial)).to_pandas()
    assert len(frame) == 2
    assert frame.loc[1, ["rho", "arrival low", "visible"]].tolist() == [0.3, 0.4, 0.02]
    pixels = np.array([8.0, 9.0, 10.0])
    effects = [CausalEffect("hat", "b8", "IoU", k, pixels, pixels - k, pixels + k, pixels) for k in (1, 4)]
    frame = Table.of(effects).to_pandas()
    assert frame["units"].tolist() == [1, 1, 1, 4, 4, 4]
    assert frame["ablated"].tolist() == [7, 8, 9, 4, 5, 6]


def test_no_records_still_have_columns() -> None:
    assert "arrival high" in Table.of([], Row).columns
    assert Table.of([]).to_pandas().empty


@pytest.fixture(scope="module")
def compared() -> Tabular:
    generator, catalog = lefs.load("portraits-64"), lefs.Catalog.load("portraits-64")
    options = {"parts": ["hair"], "methods": [global_transfer((0.5, 1.0))], "progress": False}
    return compare(generator, catalog, seed_pairs(3), **options)


def test_comparisons_reports_and_leaks_are_frames_and_files(
    compared: lefs.evaluation.Comparison, tmp_path: Path
) -> None:
    leak = PartLeak(("hair", "skin"), np.array([[[8.0, 2.0], [0.0, 10.0]]]))
    for thing in (compared, report(compared, visible=1), leak):
        frame = thing.to_pandas()
        path = thing.to_csv(tmp_path / f"{type(thing).__name__}.csv")
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file))
        assert lines[0] == list(frame.columns)
        numbers = frame.select_dtypes("number")
        assert len(numbers.columns) > 1
        pandas.testing.assert_frame_equal(pandas.read_csv(path)[numbers.columns], numbers, check_dtype=False)


def test_a_frame_of_a_comparison_has_every_pair(compared: lefs.evaluation.Comparison) -> None:
    frame, outcome = compared.to_pandas(), compared.outcomes[-1]
    own = frame[frame["value"] == outcome.value]
    assert own["pair"].tolist() == outcome.index.tolist()
    assert own["leak"].mean() == pytest.approx(outcome.leak.mean())


def test_a_frame_of_a_report_has_every_interval(compared: lefs.evaluation.Comparison) -> None:
    found = report(compared, visible=1)
    frame = found.to_pandas()
    assert frame.loc[0, ["arrival", "arrival low", "arrival high"]].tolist() == list(
        found.summaries[0].arrival
    )
