"""Headline scores must fall for every way to spoil the truth; the published ones need not: that is their weakness."""

from __future__ import annotations

import numpy as np
import pytest

import corruption
import realdata

N_IMAGES = 20
HEADLINES = ("ours.ap50", "ours.ap75", "ours.map", "ours.pq")


@pytest.fixture(scope="module")
def spoiled(emps):
    names = sorted(realdata.emps_publications())
    return corruption.scores_of(names[:: len(names) // N_IMAGES][:N_IMAGES])


def test_perfect_truth_scores_one(spoiled):
    assert spoiled["none"]["ours.ap90"] == 1
    for name in (*HEADLINES, "published.ap", "published.mean_iou"):
        assert spoiled["none"][name] == pytest.approx(1)


@pytest.mark.parametrize("what", [name for name in corruption.CORRUPTIONS if name != "none"])
def test_every_headline_score_falls(spoiled, what):
    for name in ("ours.map", "ours.pq"):
        assert spoiled[what][name] < 0.99, name
    if what not in ("erode 1 px", "dilate 1 px"):  # a pixel may leave every particle above these overlaps
        for name in ("ours.ap50", "ours.ap75"):
            assert spoiled[what][name] < 1, name


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ("erode 1 px", "erode 2 px"),
        ("dilate 1 px", "dilate 2 px"),
        ("drop 30 %", "drop 30 %, erode 1 px"),
        ("drop 30 %", "biggest particle only"),
        ("biggest particle only", "one blob"),
    ],
)
def test_the_worse_the_lower(spoiled, less, more):
    for name in HEADLINES:
        assert spoiled[less][name] > spoiled[more][name], name


def test_the_published_figures_do_not_see_it(spoiled):
    """What docs/explanation/published-protocols.md says of them."""
    assert spoiled["one blob"]["published.ap"] == pytest.approx(1, abs=1e-9)
    assert spoiled["one blob"]["ours.map"] < 0.05
    for name in ("ap", "ap50", "ap75", "mean_iou"):
        assert spoiled["biggest particle only"][f"published.{name}"] == pytest.approx(1, abs=1e-9)
        assert spoiled["drop 30 %"][f"published.{name}"] > 0.9
    assert spoiled["erode 2 px"]["published.ap"] > spoiled["erode 1 px"]["published.ap"]


A = np.array([[1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 2], [1, 1, 1, 0, 0, 2]])


def test_what_is_done_by_hand():
    rng = np.random.default_rng(0)
    assert corruption.eroded(A).tolist() == [[1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 0, 0]]
    assert corruption.eroded(np.array([[1, 1, 1, 2, 2]])).tolist() == [[1, 1, 0, 0, 2]]
    assert corruption.dilated(A).tolist() == [[1, 1, 1, 1, 0, 2], [1, 1, 1, 1, 2, 2], [1, 1, 1, 1, 2, 2]]
    assert corruption.dilated(A, 2).tolist() == [[1, 1, 1, 1, 2, 2], [1, 1, 1, 1, 2, 2], [1, 1, 1, 1, 2, 2]]
    assert corruption.shifted(A).tolist() == [[0] * 6, [0] * 6, [0, 0, 1, 1, 1, 0]]
    assert corruption.without_small(A, 2).max() == 1
    assert corruption.biggest(A).max() == 1
    assert corruption.dropped(A, rng, 1.0).max() == 0
    assert (corruption.dropped(A, rng, 0.0) == A).all()


def test_false_discs_lie_on_background():
    truth = np.zeros((200, 200), int)
    for i in range(10):
        truth[20 * i : 20 * i + 11, 5:16] = 3 * i + 1
    found = corruption.with_false_discs(truth, np.random.default_rng(1))
    assert (found[truth > 0] == truth[truth > 0]).all()
    names, sizes = np.unique(found[truth == 0], return_counts=True)
    assert len(names) == 1 + 2  # a fifth of ten
    assert sizes[1:] == pytest.approx(121, rel=0.2)
    crowded = np.ones((9, 9), int)
    assert (corruption.with_false_discs(crowded, np.random.default_rng(1)) == crowded).all()
