"""The page of a training run: the numbers of a made-up run, counted by hand, and what a reader must be told."""

import dataclasses
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from html_page import check

from segmetry.errors import ReadError
from segmetry.evaluate.combining import combine
from segmetry.evaluate.judgement import Rules, judge
from segmetry.evaluate.ranking import ScoreHistogram, count_scores
from segmetry.evaluate.reliability import diagram
from segmetry.io.card import Card
from segmetry.io.json_file import write_json
from segmetry.io.model_folder import write_model_folder
from segmetry.report.text import format_estimate
from segmetry.report.training import write_training_report
from segmetry.train.augment import IGNORED
from segmetry.train.class_recipe import ClassRecipe
from segmetry.train.log import LOG
from segmetry.train.looks import begin_looks, keep_look
from segmetry.train.options import FitOptions
from segmetry.train.rate import RATE, RATES, RateSearch
from segmetry.train.run_folder import MODEL, RECIPE, SCORES, SPLIT
from segmetry.train.samples import Labelled
from segmetry.train.verdict import Verdict

AREAS = ("air", "grain", "<b>rim</b>")
TRUTH = np.repeat(np.array([0, 0, 0, 1, 1, 2], np.uint8), 4).reshape(6, 4)  # 12, 8 and 4 pixels
FIT = FitOptions(steps=200, batch=10, check_every=100)
LAST = {"tp[air]": 9, "fp[air]": 1, "tn[air]": 11, "fn[air]": 3}
LINES = [
    {"step": 0, "device": "cpu, 2 threads"},
    {"step": 100, "loss": 1.5, "dice": 1.0, "focal": 0.5, "rate": 1e-3, "samples_per_s": 50.0, "memory": 512},
    {"step": 100, "check": {"loss": 1.2, "mean_iou": 0.75, "iou[air]": 0.5, "score": 0.75}, "seconds": 2.0},
    {"step": 200, "loss": 0.5, "dice": 0.3, "focal": 0.2, "rate": 1e-4, "samples_per_s": 100.0, "memory": 700},
    {
        "step": 200,
        "check": {"loss": 0.8, "mean_iou": 0.7, "iou[air]": 0.6, "mae": 0.125, "score": 0.7} | LAST,
        "seconds": 4.0,
    },
]


def found(k):
    """Return the truth with k pixels of class 0 given to class 1."""
    wrong = TRUTH.copy()
    wrong.ravel()[:k] = 1
    return wrong


def verdict(part="check", names=AREAS, n=8):
    """Return the verdict on n images, of which image k has k wrong pixels; all were sure by 0.9."""
    rules = Rules("semantic", classes=dict(enumerate(names)), ignore=IGNORED)
    truth = TRUTH if len(names) > 2 else np.minimum(TRUTH, 1)
    seen = [found(k) if len(names) > 2 else np.minimum(found(k), 1) for k in range(n)]
    sure = [count_scores(one == truth, np.full(truth.shape, 0.9)) for one in seen]
    images = [judge(truth, one, rules, name=f"held-{k}") for k, one in enumerate(seen)]
    surer = [count_scores(one == truth, np.full(truth.shape, 0.99)) for one in seen]
    after, before = (diagram(ScoreHistogram.stack(counts)) for counts in (sure, surer))
    return Verdict(part, images, [f"group-{k}" for k in range(n)], after, before)


def make_run(folder, *, judged=None, fit=FIT, names=AREAS, lines=LINES, split="80/20"):
    recipe = ClassRecipe(fit=fit, loss={"dice": 1.0, "focal": 1.0}, split=split)
    (folder / RECIPE).write_text(recipe.to_yaml(), encoding="utf-8")
    images = {f"seen-{k}": {"group": "a" if k < 2 else "b", "part": "train"} for k in range(3)}
    if judged is not None:
        images |= {f"held-{k}": {"group": f"group-{k}", "part": judged.part} for k in range(len(judged.images))}
        write_json(folder / SCORES, judged.as_dict())
        held_out = [Labelled(f"held-{k}", str(k), 50.0 * TRUTH[None].astype(np.float32), TRUTH) for k in range(2)]
        begin_looks(folder, held_out)
        for step, one in ((100, np.zeros_like(TRUTH)), (200, TRUTH)):
            keep_look(folder, step, {image.name: one for image in held_out})
    write_json(folder / SPLIT, {"data_sha256": "ab" * 32, "images": images})
    (folder / LOG).write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    post = {"temperature": 1.5, "calibrated_on": {"images": 8, "groups": 8}} if judged else {}
    about = {"machine": "x86_64, torch 2", "data_sha256": "cd" * 32}
    card = Card(
        "unet", "1", "classes", names, 1, 16, 107, architecture="unet", classes=names, post=post, training=about
    )
    write_model_folder(folder / MODEL, card, b"a network")
    return folder


def page_of(folder):
    return check(write_training_report(folder).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = make_run(tmp_path_factory.mktemp("run"), judged=verdict())
    losses = 1 / (1 + (RATES / 1e-3) ** 2) + (RATES / 0.1) ** 2
    RateSearch(RATES.tolist(), losses.tolist(), 12.0).save(folder / RATE)
    return page_of(folder)


def test_scores_are_those_counted_by_hand(page):
    # 28 of the 8 x 12 pixels of class 0 were given to class 1, which has 8 x 8 of its own; class 2 is right.
    of = combine(verdict().images, groups=[str(k) for k in range(8)])["semantic_pooled"]
    assert of["iou[air]"].value == pytest.approx(68 / 96)
    assert of["iou[grain]"].value == pytest.approx(64 / 92)
    mean = (68 / 96 + 64 / 92 + 1) / 3
    assert of["mean_iou"].value == pytest.approx(mean)
    e = of["mean_iou"]
    assert e.low < mean < e.high
    assert f"Mean IoU {format_estimate(e.value, e.low, e.high)} on 8 images of 8 groups" in page.text
    rows = {row[0]: row for row in reversed(page.rows()) if row}  # the first table of classes
    for name, share in (("air", "50 %"), ("grain", "33 %"), ("<b>rim</b>", "17 %")):
        iou = of[f"iou[{name}]"]
        assert rows[name][1] == share
        assert rows[name][2] == format_estimate(iou.value, iou.low, iou.high)
    assert rows["accuracy"][1].startswith("0.85")  # 164 of 192


def test_the_table_of_confusion_and_the_diagram_are_drawn(page):
    for words in ("71 %", "29 %", "68", "28", "64", "32"):  # shares of class 0, and pixels
        assert re.search(rf"(?<!\d){words}(?!\d)", page.text), words
    # 164 of 192 pixels were right, all with a probability of 0.9: off by 0.046.
    assert "with it: ECE 0.046" in page.text
    assert "before the temperature: ECE 0.14" in page.text
    assert "temperature of 1.50, fitted on 8 images of 8 groups" in page.text


def test_cost_is_that_of_the_log(page):
    # 1000 samples at 50 and 1000 at 100 a second; checks of 2 and 4 s.
    assert "36.0 s: 30.0 s of steps, 6.00 s of checks" in page.text
    assert "66.7 samples/s, 0.15 s a step" in page.text
    assert "100 steps in 15.0 s, then 3.00 s for the check" in page.text
    assert "700 MiB" in page.text
    assert "cpu, 2 threads" in page.text


def test_data_and_course_are_told(page):
    rows = {row[0]: row[1:] for row in page.rows() if row}
    assert rows["train"][1:] == ["3", "2"]
    assert rows["check"][1:] == ["8", "8"]
    assert (
        "The best check was that of step 100 (mean IoU 0.750); the model has the weights of the last step." in page.text
    )
    assert "check_every: 100" in page.text
    figures = {name for name in page.ids if name.startswith("figure-")}
    drawn = ("confusion", "reliability", "loss", "scores", "classes", "rate", "search")
    assert figures == {f"figure-{name}" for name in drawn}
    assert "The learning rate is 9.33 × 10⁻⁴, found in 100 steps at rising rates, which took 12.0 s." in page.text


def test_checks_are_told_in_numbers(page):
    rows = {row[0]: row[1:] for row in page.rows() if row}
    assert rows["step"] == ["loss", "mean IoU", "MAE"]
    assert (rows["100"], rows["200"]) == (["1.20", "0.750", ""], ["0.800", "0.700", "0.125"])
    assert ["air", "0.600", "9", "1", "11", "3"] in page.rows()


def test_examples_show_what_was_found_over_time(page):
    assert page.text.count("Found at step 100 50 % of these pixels right") == 2
    assert page.text.count("Found at step 200 100 % of these pixels right") == 2
    assert sum(load.startswith("data:image/") for load in page.loads) == 2 * 4


@pytest.mark.parametrize(
    ("part", "change", "told", "untold"),
    [
        ("check", {}, ["rest on the same images", "Only 8 groups"], ["so they flatter"]),
        ("check", {"keep": "best"}, ["chose the best weights, so they flatter", "its weights are the model"], []),
        ("check", {"patience": 1, "steps": 900}, ["chose when to stop, so they flatter", "before step 900"], []),
        ("test", {"keep": "best"}, ["kept for the end"], ["flatter", "rest on the same images"]),
    ],
)
def test_what_makes_scores_flatter_is_said(tmp_path, part, change, told, untold):
    text = page_of(make_run(tmp_path, judged=verdict(part), fit=dataclasses.replace(FIT, **change))).text
    assert all(words in text for words in told)
    assert not any(words in text for words in untold)


def test_of_two_classes_the_second_is_told(tmp_path):
    names = ("rest", "grain")
    rows = page_of(make_run(tmp_path, judged=verdict(names=names), names=names)).rows()
    (grain,) = [row for row in rows if row[:1] == ["grain"]]
    # 8 x 12 pixels of its own and 28 that are not.
    assert grain[1] == "50 %"
    assert grain[2].startswith("0.77")  # 96 / 124
    assert not [row for row in rows if row[:1] == ["rest"]]


def test_a_run_that_held_nothing_out_says_so(tmp_path):
    lines = [{k: v for k, v in line.items() if k != "check"} for line in LINES if "check" not in line]
    page = page_of(make_run(tmp_path, lines=lines, split="all"))
    assert "No image was held out" in page.text
    assert "36.0 s" not in page.text
    assert "30.0 s of steps" in page.text


def test_a_run_that_was_stopped_counts_each_step_once(tmp_path):
    lines = [*LINES[:4], {"step": 100, "device": "NVIDIA H200"}, *LINES[3:]]
    text = page_of(make_run(tmp_path, judged=verdict(), lines=lines)).text
    assert "36.0 s: 30.0 s of steps" in text
    assert "cpu, 2 threads; NVIDIA H200" in text
    assert "2: it was stopped and went on" in text


@pytest.mark.parametrize("name", [RECIPE, SPLIT, LOG, MODEL])
def test_a_folder_that_holds_no_finished_run_is_refused(tmp_path, name):
    folder = make_run(tmp_path, judged=verdict())
    (folder / name).rename(folder / "elsewhere")
    with pytest.raises(ReadError, match=rf"no finished training run for classes, as {re.escape(name)} is missing"):
        write_training_report(folder)


@pytest.mark.slow
def test_it_needs_no_torch():
    code = "import sys, segmetry.report.training; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", timeout=120)
    assert done.stdout.strip() == "False", done.stderr
