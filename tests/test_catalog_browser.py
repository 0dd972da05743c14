"""The catalog browser: choosing by pointing, one name for many, merging, dividing, hiding, taking back."""

from __future__ import annotations

import itertools
import os
import signal
import time

import ipywidgets
import numpy as np
import pytest
import torch

import lefs
from lefs.widgets import CatalogBrowser, cluster_pictures
from lefs.widgets.cluster_pictures import likeness_tree


@pytest.fixture(scope="module")
def catalog(tiny):
    return lefs.dissect(tiny, range(12), clusters=4, progress=False)


class Halves:
    """Truth for tests: the left half is one part, the right half another."""

    names = ("left", "right")

    def __call__(self, images):
        n, _, h, w = images.shape
        return (torch.arange(w) >= w // 2).long().expand(n, h, w)


@pytest.fixture
def browser(tiny, catalog, tmp_path):
    return CatalogBrowser(tiny, catalog, range(30), folder=tmp_path / "catalog", segmenter=Halves())


def point(browser, *regions, panel=0, shift=False):
    """What the page sends."""
    number = browser.canvas.picked.get("number", 0) + 1
    browser.canvas.picked = {
        "number": number, "panel": panel, "at": [0.5, 0.5], "region": regions[0] if regions else -1,
        "regions": list(regions), "shift": shift,
    }  # fmt: skip
    assert browser.error == ""


def sent_regions(browser, index=0):
    regions = browser.canvas.frame["panels"][index]["regions"]
    return np.frombuffer(regions["of"], "<i2").reshape(regions["rows"], regions["columns"])


def wait_until_all_are_looked_at(browser):
    browser._worker.join(60)
    assert not browser._worker.is_alive()


def test_what_one_points_at_is_the_cluster_of_that_position(browser, tiny, catalog):
    styles = tiny.sample([0], truncation=catalog.sampling.truncation)
    expected = catalog.membership(tiny, styles)[0].argmax(dim=0).numpy()
    np.testing.assert_array_equal(sent_regions(browser), expected)
    names = browser.canvas.frame["names"]
    share = int(catalog.sizes[2]) / int(catalog.sizes.sum())
    assert names[2] == f"cluster 2 · {share:.1%}"


def test_a_click_chooses_a_cluster_everywhere_and_brings_its_images_first(browser, tiny, catalog):
    point(browser, 2)
    wait_until_all_are_looked_at(browser)
    assert browser.selected == (2,)
    assert browser.controls["cluster"].value == 2
    assert browser.canvas.frame["marked"] == [2]
    assert "lefs-selected" in browser._fields[2]._dom_classes
    assert "lefs-selected" not in browser._fields[1]._dom_classes
    styles = tiny.sample(range(30), truncation=catalog.sampling.truncation)
    areas = catalog.membership(tiny, styles)[:, 2].mean(dim=(1, 2))
    shown = [int(p["note"].split()[1]) for p in browser.canvas.frame["panels"][:12]]
    assert areas[shown].equal(areas.sort(descending=True).values[:12])
    point(browser)  # nothing: the pictures come in their own order again
    assert browser.selected == ()
    assert [p["note"] for p in browser.canvas.frame["panels"][:3]] == ["seed 0", "seed 1", "seed 2"]


def test_several_are_chosen_with_shift_or_by_going_over_them_and_named_once(browser, tmp_path):
    point(browser, 1)
    point(browser, 3, shift=True)
    assert browser.selected == (1, 3)
    assert browser.controls["cluster"].value == -1
    point(browser, 3, shift=True)
    assert browser.selected == (1,), "once more takes it out again"
    point(browser, 0, 1, 3)
    assert browser.selected == (0, 1, 3)
    browser.controls["name"].value = " hair "
    assert browser.catalog.parts == {"hair": (0, 1, 3), "cluster 2": (2,)}
    assert browser.controls["name"].value == ""
    assert lefs.Catalog.load(tmp_path / "catalog").parts == browser.catalog.parts


def test_contributions_follow_a_merge_at_once(browser, catalog):
    point(browser, 1, 3)
    browser.controls["name"].value = "hair"
    expected = catalog.contributions[[1, 3]].sum(dim=0)
    torch.testing.assert_close(browser.catalog.contribution("hair"), expected.clamp(max=1), rtol=0, atol=0)
    assert browser.catalog.contributions is catalog.contributions


def test_a_name_that_differs_in_case_or_spaces_is_asked_about(browser):
    browser.controls["name 0"].value = "left eye"
    browser.controls["name 1"].value = "Left  Eye"
    assert "cluster 1" in browser.catalog.parts, "not before the answer"
    assert "left eye" in browser._notice.value
    browser.controls["yes"].click()
    assert browser.catalog.parts["left eye"] == (0, 1)
    browser.controls["name 2"].value = "LEFT EYE"
    browser.controls["no"].click()
    assert browser.catalog.parts == {"left eye": (0, 1), "LEFT EYE": (2,), "cluster 3": (3,)}
    browser.controls["no"].click()
    assert browser.error == "", "a second click comes after the answer"


def test_everything_can_be_taken_back_to_the_first_names_and_done_again(browser, catalog, tmp_path):
    seen = [browser.catalog.parts]
    for k, name in enumerate(["a", "b", "a", "c"]):
        browser.controls[f"name {k}"].value = name
        seen.append(browser.catalog.parts)
    browser.controls["reset"].click()
    assert browser.catalog.parts == catalog.parts
    browser.controls["undo"].click()
    for parts in seen[::-1]:
        assert browser.catalog.parts == parts
        assert lefs.Catalog.load(tmp_path / "catalog").parts == parts
        browser.controls["undo"].click()
    assert browser.controls["undo"].disabled
    browser.controls["redo"].click()
    assert browser.catalog.parts == seen[1]
    browser.controls["name 3"].value = "d"
    assert browser.controls["redo"].disabled


def test_colours_stay_whatever_is_renamed_merged_or_opened_again(browser, tiny, catalog, tmp_path):
    before = browser._history.now.colors
    browser.controls["name 1"].value = "hair"
    browser.controls["name 0"].value = "hair"
    after = browser._history.now.colors
    np.testing.assert_array_equal(after[[1, 2, 3]], before[[1, 2, 3]])
    np.testing.assert_array_equal(after[0], before[1])
    again = CatalogBrowser(tiny, catalog, range(2), folder=tmp_path / "catalog")
    np.testing.assert_array_equal(again._history.now.colors, after)
    browser.controls["undo"].click()
    np.testing.assert_array_equal(browser._history.now.colors, before)


def test_what_is_hidden_has_no_colour_and_cannot_be_pointed_at(browser, tiny, catalog, tmp_path):
    browser.controls["opacity"].value = 1.0
    labels = sent_regions(browser).copy()
    point(browser, 2)
    browser.controls["hide"].click()
    point(browser)
    hidden = sent_regions(browser)
    np.testing.assert_array_equal(hidden, np.where(labels == 2, -1, labels))
    assert CatalogBrowser(tiny, catalog, range(2), folder=tmp_path / "catalog")._history.now.hidden == {2}
    browser.controls["cluster"].value = 2
    assert browser.controls["hide"].description == "Show"
    browser.controls["hide"].click()
    np.testing.assert_array_equal(sent_regions(browser), labels)


def test_parts_change_places(browser, tmp_path):
    point(browser, 2)
    browser.controls["earlier"].click()
    browser.controls["name 0"].value = "hair"
    expected = ["hair", "cluster 2", "cluster 1", "cluster 3"]
    assert list(browser.catalog.parts) == expected
    assert list(lefs.Catalog.load(tmp_path / "catalog").parts) == expected


@pytest.mark.parametrize("how", ["halves", "sides", "levels"])
def test_a_cluster_divides_and_the_half_can_be_named(browser, tiny, catalog, tmp_path, how):
    browser.controls["name 1"].value = "eyes"
    point(browser, 1)
    with browser._lock:  # (what is divided is shown no sooner, however soon it is)
        browser.controls[how].click()
        browser.controls["name 0"].value = "meanwhile"
    browser._worker.join()
    assert browser.error == ""
    assert browser.catalog.num_clusters == 5
    assert browser.selected == (4,)
    browser.controls["name"].value = "right eye"
    again = CatalogBrowser(tiny, catalog, range(3), folder=tmp_path / "catalog")
    assert again.catalog.parts == browser.catalog.parts
    assert again.catalog.parts["right eye"] == (4,)
    assert again.catalog.sides == browser.catalog.sides
    assert again.catalog.parts["meanwhile"] == (0,)
    half = browser.controls["name 4"]
    for _ in range(2):
        browser.controls["undo"].click()
    assert browser.catalog.num_clusters == 4
    assert half.comm is None  # (the field of the half is closed)
    assert lefs.Catalog.load(tmp_path / "catalog").parts == browser.catalog.parts
    assert browser.error == ""


def test_a_segmenter_names_all_and_says_how_sure_it_is(browser, tiny, catalog):
    browser.controls["judge"].click()
    browser._worker.join()
    assert browser.error == ""
    assert set(browser.catalog.parts) <= {"left", "right"}
    swatch = browser._fields[0].children[0].value
    table = lefs.evaluation.confusion(
        tiny, catalog, range(30), segmenter=Halves(), truncation=catalog.sampling.truncation, progress=False
    )
    assert f"✓ {table[0].max() / table[0].sum():.0%}" in swatch
    browser.controls["undo"].click()
    assert browser.catalog.parts == catalog.parts


def test_facts_of_what_is_chosen(browser, catalog):
    browser.controls["judge"].click()
    browser._worker.join()
    point(browser, 1)
    browser.controls["about"].click()
    browser._worker.join()
    assert browser.error == ""
    share = int(catalog.sizes[1]) / int(catalog.sizes.sum())
    assert f"covers <b>{share:.1%}</b>" in browser._facts.value
    assert "IoU" in browser._facts.value
    panels = browser._channels.frame["panels"]
    assert len(panels) == 7
    strongest = int(catalog.contributions[1].argmax())
    layer = next(la for la in catalog.layers if strongest < la.span.stop)
    assert panels[1]["title"] == f"{layer.name} · {strongest - layer.span.start}"


def listed(browser):
    return [k for k, box in browser._fields.items() if box in browser._names.children]


def test_fields_are_found_by_name_or_number_and_sorted(browser):
    browser.controls["name 2"].value = "Hair"
    browser.controls["find"].value = "hai"
    assert listed(browser) == [2]
    browser.controls["find"].value = ""
    browser.controls["unnamed"].value = True
    assert set(listed(browser)) == {0, 1, 3}
    browser.controls["unnamed"].value = False
    order = [k for box in browser._names.children for k, own in browser._fields.items() if own is box]
    assert order == likeness_tree(browser.catalog.centers)["order"]


def test_a_page_of_old_and_new_pictures_is_drawn_where_no_more_are_kept(tiny, catalog, monkeypatch):
    monkeypatch.setattr(cluster_pictures, "_KEPT", 24)
    browser = CatalogBrowser(tiny, catalog, range(40))
    browser.controls["next"].click()
    assert len(browser._pictures) == 24
    browser._look_at(browser._seeds)
    for k in range(catalog.num_clusters):
        point(browser, k)
        assert {*browser._shown} <= {*browser._pictures}
        assert len(browser._pictures) <= 24


def test_what_is_no_catalog_and_a_name_for_nothing_are_told(tiny, browser):
    with pytest.raises(TypeError, match=r"expected what lefs.Catalog.load.* got 'portraits-64'"):
        CatalogBrowser(tiny, "portraits-64", range(2))
    browser.controls["name"].value = "hair"
    assert "choose clusters first" in browser.error
    assert browser.controls["name"].value == "", "which would be one more error once somebody clears it"


def test_the_tree_joins_the_nearest_first():
    """Against a table of cosines by hand: 0 and 2 are nearest, then 1 and 3."""
    angles = torch.tensor([0.0, 1.2, 0.1, 1.5])
    tree = likeness_tree(torch.stack([angles.cos(), angles.sin()], dim=1))
    places = {k: tree["order"].index(k) for k in range(4)}
    first, second, third = tree["joins"]
    assert {*tree["order"][first[0] : first[1] + 1]} == {0, 2}
    assert {*tree["order"][second[0] : second[1] + 1]} == {1, 3}
    assert third[:3] == (0, 3, 1.0)
    near = np.array([[1 - np.cos(float(a - b)) for b in angles] for a in angles])
    assert first[2] == pytest.approx(near[0, 2] / near[[0, 0, 2, 2], [1, 3, 1, 3]].mean())
    assert third[5:] == (first[2], second[2]) or third[5:] == (second[2], first[2])
    assert abs(places[0] - places[2]) == abs(places[1] - places[3]) == 1
    assert likeness_tree(torch.eye(1))["joins"] == []


def test_a_factorisation_is_pointed_at_by_its_parts(tiny):
    soft = lefs.dissect(tiny, range(12), clusters=4, method="nmf", progress=False)
    browser = CatalogBrowser(tiny, soft.named(["a", "b", "a", "c"]), range(3))
    styles = tiny.sample(range(3), truncation=soft.sampling.truncation)
    owner = browser.catalog.by_part(browser.catalog.membership(tiny, styles)).argmax(dim=1)
    for i in range(3):
        parts = np.array([0, 1, 0, 2])[sent_regions(browser, i)]
        np.testing.assert_array_equal(parts, owner[i].numpy())


def test_two_panels_on_one_folder_lose_nothing(tiny, catalog, tmp_path):
    one, other = (CatalogBrowser(tiny, catalog, range(2), folder=tmp_path) for _ in range(2))
    one.controls["name 0"].value = "hair"
    other.controls["name 1"].value = "skin"
    assert other.catalog.cluster_names == ["hair", "skin", "cluster 2", "cluster 3"]
    assert "others have named" in other._status.value
    one.controls["name 2"].value = "hat"
    assert one.catalog.cluster_names == ["hair", "skin", "hat", "cluster 3"]
    assert lefs.Catalog.load(tmp_path).parts == one.catalog.parts
    one.controls["undo"].click()  # (what others have named is a step, too)


@pytest.mark.parametrize(("answer", "name"), [("yes", "mine"), ("no", "theirs")])
def test_two_panels_that_name_one_cluster_are_asked(tiny, catalog, tmp_path, answer, name):
    one, other = (CatalogBrowser(tiny, catalog, range(2), folder=tmp_path) for _ in range(2))
    one.controls["name 0"].value = "theirs"
    other.controls["name 0"].value = "mine"
    assert "'theirs'" in other._notice.value.replace("&#x27;", "'")
    assert lefs.Catalog.load(tmp_path).cluster_names[0] == "theirs"
    other.controls[answer].click()
    assert other.error == ""
    assert lefs.Catalog.load(tmp_path).cluster_names[0] == other.catalog.cluster_names[0] == name


def name_until_killed(generator, catalog, folder, start, random):
    """Name clusters one after the other in another process, and kill it; the last number that it told."""
    told, tells = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover
        torch.set_num_threads(
            1
        )  # (a fork keeps OpenMP's memory of its parent's threads, and not the threads)
        panel = CatalogBrowser(generator, catalog, 0, folder=folder)
        for i in itertools.count(start):
            panel.controls[f"name {i % 4}"].value = f"part {i}"
            os.write(tells, f"{i}\n".encode())
    os.close(tells)
    with os.fdopen(told) as lines:
        first = lines.readline()
        time.sleep(random.uniform(0, 0.1))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return int([first, *lines.read().split()][-1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked process")
@pytest.mark.parametrize("kills", [3, pytest.param(100, marks=pytest.mark.soak)])
def test_nothing_that_was_named_is_lost_when_the_kernel_is_killed(tiny, catalog, tmp_path, kills):
    start, random = 0, np.random.default_rng(kills)
    for _ in range(kills):
        last = name_until_killed(tiny, catalog, tmp_path, start, random)
        again = CatalogBrowser(tiny, catalog, 0, folder=tmp_path)
        assert again.error == ""
        for k, name in enumerate(again.catalog.cluster_names):
            newest = max((i for i in range(last + 1) if i % 4 == k), default=-1)
            assert int(name.split()[1]) >= newest, f"cluster {k} is {name}, and was named part {newest}"
        start = last + 1


def test_nothing_is_left_of_a_panel_that_is_closed(tiny, catalog):
    before = set(ipywidgets.widgets.widget._instances)
    panel = CatalogBrowser(tiny, catalog, 0)
    panel.controls["find"].value = "2"
    panel.close()
    assert set(ipywidgets.widgets.widget._instances) <= before


def test_a_heartbeat_is_answered(browser):
    sent = []
    browser.canvas.send = lambda content, buffers=None: sent.append(content)
    browser.canvas._handle_custom_msg({"kind": "ping"}, [])
    browser.canvas._handle_custom_msg("anything", [])
    assert sent == [{"kind": "pong"}]


def test_a_view_of_other_clusters_is_left_alone(tiny, catalog, tmp_path):
    (tmp_path / "view.json").write_text('{"format": "lefs-catalog-view", "tints": [3], "hidden": []}')
    assert CatalogBrowser(tiny, catalog, 0, folder=tmp_path)._history.now.tints == (0, 1, 2, 3)
    (tmp_path / "view.json").write_text('{"format": "lefs-catalog-view", "tints": ["x"] }')
    with pytest.raises(lefs.ArtifactError, match="view"):
        CatalogBrowser(tiny, catalog, 0, folder=tmp_path)
