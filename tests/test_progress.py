"""Bars: what they show while a loop runs, and that nothing is left of them."""

from __future__ import annotations

import re

import pytest

from lefs.workers import progress
from lefs.workers.progress import told_by, track


class Shown:
    """Stands in for the output of a cell: what `display` and its handle were given."""

    def __init__(self) -> None:
        self.pictures: list[object] = []

    def display(self, picture: object, **_: object) -> Shown:
        self.pictures.append(picture)
        return self

    def update(self, picture: object, **_: object) -> None:
        self.pictures.append(picture)

    def texts(self) -> list[str]:
        return [re.sub("<.*?>", "", p.data).strip() for p in self.pictures[:-1]]  # type: ignore[attr-defined]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    found = Shown()
    monkeypatch.delenv("LEFS_HEADLESS", raising=False)
    monkeypatch.setattr(progress, "_in_notebook", lambda: True)
    monkeypatch.setattr(progress, "_EVERY", 0.0)
    monkeypatch.setattr("IPython.display.display", found.display)
    return found


def test_a_bar_in_a_notebook_counts_and_leaves_nothing(shown: Shown) -> None:
    assert list(track("abc", total=3, description="<letters>", show=True)) == [*"abc"]
    assert [re.search(r"(\d) of 3", text)[1] for text in shown.texts()] == [*"0123"]  # type: ignore[index]
    assert all("&lt;letters&gt;" in text for text in shown.texts())
    assert shown.pictures[-1] == {}, "an output without content is not shown, live or saved"


def test_a_loop_that_fails_or_stops_leaves_no_bar_either(shown: Shown) -> None:
    bar = iter(track("abc", total=3, description="letters", show=True))
    next(bar)
    bar.close()  # type: ignore[attr-defined]
    assert shown.pictures[-1] == {}

    def failing():
        yield 1
        raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        list(track(failing(), total=3, description="letters", show=True))
    assert shown.pictures[-1] == {}


def test_a_panel_is_told_its_own_bars_and_no_others(shown: Shown) -> None:
    told: list[str] = []
    with told_by(told.append):
        assert list(track("abc", total=3, description="letters", show=True)) == [*"abc"]
    assert [re.search(r"(\d) of 3", text)[1] for text in told[:-1]] == [*"0123"]  # type: ignore[index]
    assert told[-1] == ""
    assert not shown.pictures
    list(track("abc", total=3, description="letters", show=True))
    assert len(told) == 5
    assert shown.pictures[-1] == {}


def test_a_single_step_is_not_counted(shown: Shown) -> None:
    assert list(track("a", total=1, description="letters", show=True)) == ["a"]
    assert not any("0 of 1" in text for text in shown.texts())
    assert "value=" not in shown.pictures[0].data  # type: ignore[attr-defined]


def test_in_a_terminal_nothing_is_left(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.delenv("LEFS_HEADLESS", raising=False)
    assert list(track("abc", total=3, description="letters", show=True)) == [*"abc"]
    written = capsys.readouterr().err
    assert "letters" in written
    assert written.rpartition("\r")[0].rpartition("\r")[2].strip() == ""
    assert list(track("a", total=1, description="letters", show=True)) == ["a"]
    assert capsys.readouterr().err == ""


def test_nobody_watches_nothing(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("LEFS_HEADLESS", "1")
    assert list(track("abc", total=3, description="letters", show=True)) == [*"abc"]
    assert list(track("abc", total=3, description="letters", show=False)) == [*"abc"]
    assert capsys.readouterr().err == ""
