"""The page of a comparison as a browser sees it: whole, offline, safe, and with the numbers of the comparison."""

from __future__ import annotations

import base64
import io
import math

import numpy as np
import pandas as pd
import pytest
from comparison_scene import FAMILIES, METHODS, labels, outcomes, scene
from html_page import Page, check
from PIL import Image as Picture

from segmetry.evaluate.comparison import Rank
from segmetry.evaluate.paired import Difference
from segmetry.evaluate.scores import score_name
from segmetry.report.comparison import (
    WorstCase,
    comparison_figures,
    comparison_page,
    picture_uri,
    values_of,
    worst_case,
    worst_images,
)
from segmetry.report.comparison_words import headline
from segmetry.report.text import format_estimate
from segmetry.types import Estimate

EVIL = "<script>alert(1)</script> & \"quotes' $x$"


@pytest.fixture(scope="module")
def comparison():
    return scene()


@pytest.fixture(scope="module")
def drawn(comparison):
    return comparison_figures(comparison, families=FAMILIES)


@pytest.fixture(scope="module")
def cases(comparison):
    made = []
    for seed, (image, _) in enumerate(worst_images(comparison, families=FAMILIES, n=2)):
        pixels, truth, prediction = labels(seed)
        method = comparison.methods[0]
        made.append(
            worst_case(
                method, image, truth, prediction, pixels=pixels, outcomes=outcomes(), others=[truth], words="Low."
            )
        )
    return made


@pytest.fixture(scope="module")
def page(comparison, cases, drawn):
    provenance = [("Software", "segmetry 0.1.0"), ("Seed", "0"), ("SHA-256 of the images", "ab" * 32)]
    commands = ["segmetry compare otsu local --images a --truth b -o c"]
    text = comparison_page(comparison, cases, provenance, families=FAMILIES, commands=commands, drawn=drawn)
    return check(text)


def test_the_table_holds_every_methods_estimates(comparison, page):
    rows = {row[2]: row for row in page.rows() if len(row) == 7}
    for rank in comparison.ranking:
        own = comparison.estimates[rank.method]
        keys = ("instance.ap50", "instance.map", "instance.pq", "physical.d50_error")
        shown = [format_estimate(own[k].value, own[k].low, own[k].high) for k in keys]
        assert rows[rank.method] == [str(rank.place), str(rank.tier), rank.method, *shown]


def test_the_head_of_the_page_says_who_is_best_and_who_is_not_told_from_it(comparison, page):
    first, second, third = (r.method for r in comparison.ranking[:3])
    assert {first, second} == {"hybrid", "local"}
    assert f"{first} comes first: AP50 " in page.text
    assert f"These images cannot tell it from {second} (difference −" in page.text
    assert f"It is ahead of {third} by 0." in page.text
    assert "mean over images (30 images)" in page.text


def test_differences_come_with_both_p_values(comparison, page):
    rows = {row[0]: row for row in page.rows() if len(row) == 6}
    assert set(METHODS) - {comparison.methods[0]} <= set(rows)
    gap = comparison.ranking[1].to_best
    assert rows[comparison.methods[1]][5] == "not told apart"
    assert rows[comparison.methods[1]][2] == format_estimate(*_numbers(gap.estimate)).partition(" ")[2]
    assert rows[comparison.methods[-1]][3:] == ["< 0.001", "< 0.001", "worse"]


def test_the_page_shows_all_its_parts(comparison, page):
    for words in (
        "1 run failed and count as if nothing had been found",
        "the filter is larger than the image",
        "the images are made up.",
        comparison.trends["otsu"][0].sentence.replace("-", "\N{MINUS SIGN}"),
        "TP / (TP + FP + FN) where a hit overlaps by IoU >= .5 (instances, mean over images; higher is better)",
        "segmetry compare otsu local --images a --truth b -o c",
        "ab" * 32,
        "s per megapixel",
    ):
        assert " ".join(words.split()) in page.text
    assert {"figure-scores", "figure-differences", "figure-cost", "figure-trend-0"} <= set(page.ids)


def test_definitions_stand_in_the_order_of_their_tables_and_once(page):
    heads = ["TP / (TP + FP + FN)", "the same, mean over IoU", "panoptic quality: sq times rq", "relative error of D50"]
    places = [page.text.index(words, page.text.index("Pooled scores mean")) for words in heads]
    assert places == sorted(places)
    assert page.text.count("panoptic quality: sq times rq (") == 1


def test_classes_have_columns_of_their_own():
    made = scene(6)
    keys = {"semantic.mean_iou": 0.6, "semantic.iou": 0.6, "semantic.iou[pore]": 0.5, "semantic.iou[matrix]": 0.7}
    own = {m: {key: Estimate(key, value) for key, value in keys.items()} for m in made.methods}
    made = scene(6, kind="semantic", ranked_by="semantic.mean_iou", estimates=own)
    (head,) = [row for row in Page(comparison_page(made, families=FAMILIES, drawn={})).rows() if row[1:2] == ["tier"]]
    assert [cell.partition("higher")[0] for cell in head[3:]] == ["mean IoU", "IoU, pore", "IoU, matrix"]


def test_pixels_of_several_classes_are_said_to_be_lumped():
    truth = np.array([[0, 1], [2, 2]])
    captions = [panel.caption for panel in worst_case("m", "i", truth, truth).panels]
    assert captions == ["Pixel by pixel, background against all other classes"]
    assert [p.caption for p in worst_case("m", "i", truth > 0, truth > 0).panels] == ["Pixel by pixel"]


def test_the_worst_images_come_first_and_with_their_pictures(comparison, cases, page):
    ap50 = values_of(comparison, "instance.ap50")[comparison.methods[0]]
    assert [c.image for c in cases] == list(ap50.sort_values().index[:2])
    assert page.text.index(cases[0].image) < page.text.index(cases[1].image)
    named = [alt for alt in page.alts if alt]
    assert len(named) == 8
    assert named[0].startswith("Pixel by pixel: true positive")
    assert "found 4, missed 1" in named[1]
    assert "right in 2 of 2" in named[3]
    assert "Low." in page.text


def test_cost_is_the_median_of_the_images(comparison, page):
    seconds = values_of(comparison, "cost.seconds").median()
    rows = {row[0]: row for row in page.rows() if len(row) == 5 and row[0] in METHODS}
    for method in METHODS:
        assert float(rows[method][1]) == pytest.approx(seconds[method], rel=0.06)
        assert float(rows[method][3]) == pytest.approx(seconds[method] / 0.35, rel=0.06)


@pytest.mark.parametrize(
    "changes",
    [
        {"n_images": 0, "methods": {}},
        {"n_images": 1},
        {"n_images": 3, "methods": {"otsu": 0.5}},
        pytest.param({"methods": {f"method {i}": 0.5 for i in range(20)}, "n_images": 8}, marks=pytest.mark.slow),
        {"methods": {EVIL: 0.5, "$\\frac{1}{0}$": 0.7}, "n_images": 8},
        {"failures": (), "notes": (), "trends": {}, "n_images": 8},
        {"groups": "publication", "n_groups": 6, "n_images": 8},
    ],
    ids=["nothing", "one image", "one method", "twenty", "evil names", "no extras", "groups"],
)
def test_odd_comparisons_give_whole_pages(changes):
    made = scene(**changes)
    text = comparison_page(made, [WorstCase(EVIL, EVIL, [], EVIL)], [(EVIL, EVIL)], families=FAMILIES, commands=[EVIL])
    assert EVIL in check(text).text
    assert "<script>alert" not in text


def test_few_groups_are_said(comparison):
    text = check(comparison_page(scene(12, n_groups=4, groups="publication"), families=FAMILIES, drawn={})).text
    assert "Only 4 publications" in text
    assert "12 images of 4 publications" in text


def test_without_intervals_the_page_says_why_and_shows_no_empty_trends():
    made = scene(3)
    assert not any(math.isfinite(r.estimate.low) for r in made.ranking)
    text = check(comparison_page(made, families=FAMILIES)).text
    assert "too few for intervals" in text
    assert "may be too narrow" not in text
    assert "cannot be told" not in text


def test_scores_that_are_missing_are_dashes(comparison):
    gone = {m: {k: Estimate(k, math.nan, note="no image has this score") for k in own}
            for m, own in comparison.estimates.items()}  # fmt: skip
    ranking = tuple(Rank(m, i + 1, 1, gone[m]["instance.ap50"], None) for i, m in enumerate(comparison.methods))
    table = comparison.table.assign(value=np.nan)
    text = comparison_page(scene(estimates=gone, ranking=ranking, table=table, trends={}), families=FAMILIES)
    assert "No method could be scored on 30 images." in check(text).text


def rank(method, place, value, gap=None, tier=1):
    estimate = Estimate("ap50", value, value - 0.1, value + 0.1, method="mean over images; made up")
    to_best = gap and Difference("d", Estimate("d", *gap), 0.01, 30, 30)
    return Rank(method, place, tier, estimate, to_best)


def test_headline_by_hand():
    best, near, far = rank("a", 1, 0.8), rank("b", 2, 0.78, (-0.02, -0.05, 0.01)), rank("c", 3, 0.5, (-0.3, -0.4, -0.2))
    assert headline(scene(ranking=(best, near, far), n_images=30)) == [
        "a comes first: AP50 0.80 [0.70, 0.90], mean over images (30 images).",
        "These images cannot tell it from b (difference −0.020 [−0.050, 0.010]).",
        "It is ahead of c by 0.30 [0.20, 0.40], on the same images.",
    ]
    assert headline(scene(ranking=(best, far)))[0] == "a is best: AP50 0.80 [0.70, 0.90], mean over images (30 images)."
    assert headline(scene(ranking=(best, near)))[-1] == "No method is shown to be worse than it."
    assert "no other method to compare it with" in headline(scene(ranking=(best,)))[0]


def test_lower_is_better_where_the_score_says_so():
    table = pd.DataFrame(
        [("a", image, image, "physical", "d50_error", value) for image, value in (("x", 0.1), ("y", -0.5), ("z", 0.2))],
        columns=["method", "image", "group", "family", "score", "value"],
    )
    made = scene(3, {"a": 0.5}, table=table, ranked_by="physical.d50_error", ranking=())
    assert [image for image, _ in worst_images(made, families=FAMILIES)] == ["y", "z", "x"]


def test_images_without_a_score_are_not_the_worst():
    made = scene(5)
    table = made.table.copy()
    first = values_of(made, "instance.ap50").index[0]
    table.loc[(table["image"] == first) & (table["score"] == "ap50"), "value"] = np.nan
    order = [image for image, _ in worst_images(scene(5, table=table), families=FAMILIES)]
    assert order[-1] == first
    assert len(order) == 5


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("instance.ap50", "AP50"), ("instance_pooled.pq", "PQ (pooled)"),
        ("semantic.iou[iron carbide]", "IoU, iron carbide"),
        ("physical.d50_error", "D50 error"), ("semantic.boundary_f1", "boundary F1"),
        ("physical.density_error", "density error"),
    ],
)  # fmt: skip
def test_names_of_scores(key, words):
    assert score_name(key) == words


def test_pictures_in_the_page_are_exact_where_they_have_few_colours():
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (7, 3), dtype=np.uint8)
    picture = colours[rng.integers(0, 7, (40, 50))]
    kind, _, data = picture_uri(picture).partition(";base64,")
    assert kind == "data:image/png"
    back = np.array(Picture.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))
    assert (back == picture).all()
    photograph = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    assert picture_uri(photograph).startswith("data:image/jpeg")


def test_the_same_comparison_gives_the_same_page(drawn):
    pixels, truth, prediction = labels(3)
    pages = []
    for _ in range(2):
        case = worst_case("hybrid", "image-001", truth, prediction, pixels=pixels, outcomes=outcomes(), others=[truth])
        pages.append(comparison_page(scene(), [case], families=FAMILIES, drawn=drawn))
    assert pages[0] == pages[1]


def _numbers(e):
    return e.value, e.low, e.high, e.unit
