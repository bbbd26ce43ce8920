"""A run for classes: from labelled images to a model that `segmetry segment` uses, with scores and a temperature."""

import dataclasses
import json

import numpy as np
import pytest
from labelled_images import bands

pytest.importorskip("torch")
from segmetry.errors import LabelError, OptionError
from segmetry.evaluate.judgement import Rules, judge
from segmetry.io.card import Card
from segmetry.io.model_folder import read_card
from segmetry.report.training import write_training_report
from segmetry.segment import segment
from segmetry.segment.engine import load_model
from segmetry.segment.network import Network
from segmetry.train.augment import IGNORED, AugmentOptions
from segmetry.train.class_recipe import ClassRecipe
from segmetry.train.class_run import (
    hash_labelled,
    judge_logits,
    make_class_task,
    pixel_sizes,
    run_over,
    temperature,
    train_classes,
)
from segmetry.train.looks import read_looks
from segmetry.train.options import FitOptions
from segmetry.train.run_folder import SCORES, SPLIT
from segmetry.train.running import Running
from segmetry.train.samples import Labelled, SampleOptions
from segmetry.types import Image

pytestmark = pytest.mark.torch

AREAS = ("air", "grain", "rim")
SMALL = ClassRecipe(
    options={"width": 4, "depth": 2},
    split="fold 0 of 3",
    samples=SampleOptions(side=32),
    augment=AugmentOptions(zoom=(0.9, 1.1)),
    fit=FitOptions(steps=60, batch=4, learning_rate=1e-2, warmup=5, precision="32-true", average=0.9),
)


IMAGES = [bands(seed) for seed in range(6)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classes")
    train_classes(SMALL, IMAGES, folder, classes=AREAS, running=Running(0))
    return folder


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
class TestRun:
    def test_the_model_segments_as_its_card_says(self, run):
        card = read_card(run / "model")
        split = json.loads((run / SPLIT).read_text())["images"]
        held_out = [i for i in IMAGES if split[i.name]["part"] == "check"]
        assert len(held_out) == 2
        assert card.training["images"] == 4
        assert card.training["data_sha256"] == hash_labelled([i for i in IMAGES if i not in held_out])
        total = 0
        for image in held_out:
            found = segment(Image(image.pixels[0], name=image.name), Network(model=str(run / "model")))
            assert found.classes == AREAS
            rules = Rules("semantic", classes=dict(enumerate(AREAS)), ignore=IGNORED)
            total = total + judge(image.classes, found.labels, rules).pixels.confusion
        tp = np.diag(total)
        mean_iou = np.mean(tp / (total.sum(0) + total.sum(1) - tp))
        assert card.scores["semantic_pooled.mean_iou"][0] == pytest.approx(mean_iou, abs=1e-5)
        assert mean_iou > 0.8  # greys lie six deviations apart

    def test_scores_and_reliability_are_kept(self, run):
        told = json.loads((run / SCORES).read_text())
        assert told["part"] == "check"
        assert len(told["images"]) == 2
        n = sum(np.count_nonzero(i.classes != IGNORED) for i in IMAGES[:2])
        assert sum(told["reliability"]["n"]) == sum(told["uncalibrated"]["n"]) == n
        assert {path.name for path in run.iterdir() if path.is_dir()} == {"looks", "model"}, "no logits are left"
        card = read_card(run / "model")
        assert card.post["calibrated_on"] == {"images": 2, "groups": 2}
        assert 0.05 <= card.post["temperature"] <= 20

    def test_the_report_tells_what_the_card_tells(self, run):
        page = write_training_report(run).read_text(encoding="utf-8")
        assert f"{read_card(run / 'model').scores['semantic_pooled.mean_iou'][0]:.3f}" in page
        looks = read_looks(run)
        assert list(looks.found) == [60]
        for image in IMAGES:
            if image.name in looks.truths:
                assert np.array_equal(looks.truths[image.name], image.classes)
                assert np.mean(looks.found[60][image.name] == image.classes) > 0.8

    def test_intervals_of_the_reliability_are_over_groups(self, run, tmp_path):
        of = [dataclasses.replace(image, group=group) for image, group in zip(IMAGES, "aabbcc", strict=True)]
        model = load_model(run / "model")
        found = judge_logits(run_over(model, of, tmp_path / "work"), of, model.card, "check").reliability
        assert found.note == "Wilson, from the differences between 3 groups"
        assert found.n.sum() == sum(np.count_nonzero(image.classes != IGNORED) for image in IMAGES)

    def test_a_run_that_is_done_comes_out_the_same(self, run):
        before = read_card(run / "model")
        train_classes(SMALL, IMAGES, run, classes=AREAS, running=Running(0))
        assert read_card(run / "model").sha256 == before.sha256

    def test_a_run_begins_where_a_model_ended(self, run, tmp_path):
        """Ten steps after the model know what ten steps from random weights do not."""
        short = SMALL.changed({"steps": 10, "learning_rate": 1e-4, "freeze": -1})
        begun = train_classes(short, IMAGES, tmp_path / "begun", classes=AREAS, running=Running(0), init=run / "model")
        told = read_card(begun).training["init"]
        assert told["sha256"] == read_card(run / "model").sha256
        assert set(told["kept"]) == {"encoder", "decoder", "head"}
        fresh = train_classes(short, IMAGES, tmp_path / "fresh", classes=AREAS, running=Running(0))
        assert "init" not in read_card(fresh).training
        score = "semantic_pooled.mean_iou"
        assert read_card(begun).scores[score][0] > 0.8 > 0.5 > read_card(fresh).scores[score][0]
        with pytest.raises(OptionError, match="or from another model"):
            train_classes(short, IMAGES, tmp_path / "begun", classes=AREAS, running=Running(0))

    def test_other_images_or_recipes_are_refused(self, run):
        with pytest.raises(OptionError, match="on other images"):
            train_classes(SMALL, [bands(9), *IMAGES[1:]], run, classes=AREAS, running=Running(0))
        with pytest.raises(OptionError, match="another recipe"):
            train_classes(ClassRecipe(split="all"), IMAGES, run, classes=AREAS, running=Running(0))


def test_pixel_sizes_of_what_trained():
    sized = [dataclasses.replace(IMAGES[0], spacing=spacing) for spacing in ((2.0, 8.0), (5.0, 5.0), ())]
    assert pixel_sizes(sized) == (4, 5)
    assert pixel_sizes(IMAGES) is None


def test_the_diagram_before_the_temperature_tells_what_it_mends():
    """Three images whose logits are three times the true log odds."""
    rng = np.random.default_rng(0)
    odds = rng.normal(0, 1, (3, 1, 200, 200))
    truth = (rng.random(odds.shape) < 1 / (1 + np.exp(-odds))).astype(np.uint8)
    images = [Labelled(str(k), str(k), odds[k], truth[k, 0]) for k in range(3)]
    logits = [3 * one.astype(np.float32) for one in odds]
    heat = temperature(logits, images)
    assert heat == pytest.approx(3, rel=0.02)
    card = Card("net", "1", "classes", ("b",), 1, 1, 0, classes=("a", "b"), post={"temperature": heat})
    verdict = judge_logits(logits, images, card, "check")
    assert verdict.reliability.scores["ece"] < 0.01
    # A pixel is given the likelier class; how far 3 x odds claims too much of it, on average.
    claim, share = (1 / (1 + np.exp(-k * np.abs(odds))) for k in (3, 1))
    assert verdict.uncalibrated.scores["ece"] == pytest.approx((claim - share).mean(), abs=0.005)


def test_a_class_that_never_occurs_is_said():
    with pytest.raises(LabelError, match="pore never occurs in the labels of the 2 training images"):
        make_class_task(SMALL, IMAGES[:2], [], (*AREAS, "pore"))


def test_sides_that_a_network_cannot_take_are_said():
    recipe = ClassRecipe(samples=SampleOptions(side=250))
    with pytest.raises(OptionError, match="multiples of 16, but side is 250; take 240 or 256"):
        make_class_task(recipe, IMAGES[:2], [], AREAS)


def test_volumes_want_a_network_for_volumes():
    classes = np.arange(256).reshape(4, 8, 8) % 3
    volume = Labelled("v", "v", np.zeros((1, 4, 8, 8), np.float32), classes.astype(np.uint8))
    with pytest.raises(OptionError, match="unet takes 2D images, these are 3D: take one of unet3d"):
        make_class_task(SMALL, [volume], [], AREAS)
