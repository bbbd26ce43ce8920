"""A whole training run, from two folders to a model that segments: small, on drawn disks."""

import dataclasses
import json

import cv2
import numpy as np
import pytest
from labelled_images import write_pairs

pytest.importorskip("torch")
from segmetry.errors import OptionError, RecipeError
from segmetry.evaluate.scored import ScoredImage
from segmetry.io import calibrate, read
from segmetry.io.model_folder import read_card
from segmetry.segment.engine import load_model, normalise
from segmetry.synth import scenes
from segmetry.train.calibrate import Scored
from segmetry.train.crops import CropOptions
from segmetry.train.data import Example, hash_examples, unpack
from segmetry.train.options import FitOptions
from segmetry.train.recipe import TrainRecipe
from segmetry.train.run import SCENES, _bytes, pixel_size_range, split, synthetic_examples, train
from segmetry.train.running import Running
from segmetry.training import load_examples
from segmetry.units import convert

pytestmark = pytest.mark.torch

SMALL = TrainRecipe(
    widths=(8, 16, 16),
    fit=FitOptions(steps=3, batch=2, warmup=1, precision="32-true"),
    scenes=2,
    folds=2,
    fold=0,
)


def draw(seed):
    rng = np.random.default_rng(seed)
    labels = np.zeros((80, 100), np.uint16)
    rows, cols = np.mgrid[:80, :100]
    for k, centre in enumerate(((20, 20), (30, 70), (60, 40)), 1):
        labels[(rows - centre[0]) ** 2 + (cols - centre[1]) ** 2 < 13**2] = k
    return np.clip(60 + 120 * (labels > 0) + rng.normal(0, 8, labels.shape), 0, 255).astype(np.uint8), labels


@pytest.fixture(scope="module")
def examples():
    return [Example(f"image-{i}", f"group-{i // 2}", *draw(i)) for i in range(6)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_run_leaves_a_model_that_runs_without_torch(tmp_path, examples):
    folder = train(SMALL, examples, tmp_path / "run", running=Running(0))
    model = load_model(folder)
    pixels = examples[0].pixels
    assert model.maps(normalise(model.card, pixels.astype(np.float32))).shape == (4, 40, 50)
    about = model.card.training
    assert about["images"] + about["held_out"] == 6
    assert about["samples"] == 6
    assert TrainRecipe.from_dict(about["recipe"]) == SMALL
    assert (tmp_path / "run" / "log.jsonl").exists()
    assert about["scenes_sha256"] == hash_examples(unpack(tmp_path / "run" / SCENES))
    # The same recipe goes on (and has nothing left to do); another one is refused.
    card = (folder / "card.json").read_text()
    assert train(SMALL, examples, tmp_path / "run", running=Running(0)) == folder
    assert (folder / "card.json").read_text() == card
    with pytest.raises(OptionError, match="another recipe"):
        train(TrainRecipe(widths=(8, 16)), examples, tmp_path / "run", running=Running(0))


def test_a_fold_keeps_groups_whole(examples):
    training, held_out = split(examples, SMALL)
    assert {e.group for e in training}.isdisjoint(e.group for e in held_out)
    assert len(training) + len(held_out) == 6
    everything, nothing = split(examples, TrainRecipe())
    assert (len(everything), len(nothing)) == (6, 0)
    with pytest.raises(OptionError, match="groups cannot be dealt"):
        split(examples[:1], SMALL)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_folds_calibrate_each_other_and_a_model_that_learned_from_all(tmp_path, examples, monkeypatch):
    """Each image is scored by the model that held it out; chances rest on the run's own fold where it has one."""
    folds = [tmp_path / f"fold-{k}" for k in (0, 1)]
    recipes = [dataclasses.replace(SMALL, fold=k) for k in (0, 1)]
    unseen = [{e.name for e in split(examples, recipe)[1]} for recipe in recipes]
    scored = []

    def score(model, held_out):
        sha = read_card(model).sha256
        scored.append((sha, {e.name for e in held_out}))
        rng = np.random.default_rng(len(held_out))
        right = rng.random((len(held_out), 20)) < 0.8
        return [
            Scored(ScoredImage(rng.random(20), r, 20, e.group), float(model.parent.name[-1] == "1"), sha)
            for r, e in zip(right, held_out, strict=True)
        ]

    monkeypatch.setattr("segmetry.train.run.score_examples", score)

    def run(recipe, folder, **more):
        scored.clear()
        return read_card(train(recipe, examples, folder, running=Running(0), **more))

    def origin(*cards):
        names = set().union(*(unseen[cards_of_folds.index(card)] for card in cards))
        groups = {e.group for e in examples if e.name in names}
        return {"images": len(names), "groups": len(groups), "models": [card.sha256 for card in cards]}

    first, other = cards_of_folds = [run(recipe, folder) for recipe, folder in zip(recipes, folds, strict=True)]
    assert other.post["calibrated_on"] == other.post["promised_on"] == origin(other)
    # A finished run is calibrated anew: its own fold says what it said, the promises rest on both.
    both = run(recipes[1], folds[1], calibrate_with=folds[:1])
    assert scored == [(other.sha256, unseen[1]), (first.sha256, unseen[0])]
    assert (both.post["calibrated_on"], both.post["promised_on"]) == (origin(other), origin(other, first))
    for name in ("passes", "border", "score_map", "threshold"):
        assert both.post[name] == other.post[name]
    assert {p["n_images"] for p in both.post["promises"]} == {6}
    # One that learned from all has no images of its own.
    everything = dataclasses.replace(SMALL, fold=None)
    card = run(everything, tmp_path / "all", calibrate_with=folds)
    assert card.training["images"] == 6
    assert [one for one in scored if one[1]] == [(first.sha256, unseen[0]), (other.sha256, unseen[1])]
    assert card.post["calibrated_on"] == card.post["promised_on"] == origin(first, other)

    def refuse(text, runs, recipe=everything, of=examples):
        with pytest.raises(OptionError, match=text):
            train(recipe, of, tmp_path / "new", running=Running(0), calibrate_with=runs)
        assert not (tmp_path / "new").exists(), "said before hours of training"

    refuse("held out fold 0", [folds[0], folds[0]])
    refuse("held out fold 0", folds, recipes[0])
    refuse("not calibrated", folds, TrainRecipe(network="bpartis"))
    refuse("differ in that only", folds, dataclasses.replace(everything, scenes=3))
    refuse("differ in that only", folds[1:], dataclasses.replace(recipes[0], scenes=3))
    refuse("differ in that only", [tmp_path / "all"])
    refuse("other images", folds, of=[*examples[:-1], dataclasses.replace(examples[-1], name="renamed")])


def test_the_range_of_pixel_sizes_is_no_misread_bar(examples):
    def sized(*sizes):
        return [dataclasses.replace(examples[0], pixel_size=size) for size in sizes]

    assert pixel_size_range(sized(*np.linspace(0.5, 2, 200), 4000.0, *[None] * 50)) == (0.515, 1.99)
    assert pixel_size_range(sized(*[0.5] * 19, *[None] * 50)) is None


def test_synthetic_examples_are_kept(tmp_path):
    first = synthetic_examples(2, 5, tmp_path / "scenes.npz")
    again = synthetic_examples(2, 5, tmp_path / "scenes.npz")
    assert all(e.pixels.dtype == np.uint8 for e in first)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.pixels, b.pixels)
        np.testing.assert_array_equal(a.labels, b.labels)
        assert a.labels.max() > 0


def test_recipes_come_back_and_name_what_is_wrong(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(SMALL.to_yaml(), encoding="utf-8")
    assert TrainRecipe.load(path) == SMALL
    with pytest.raises(OptionError, match="scenes_share"):
        TrainRecipe.from_dict({"scene_share": 0.2})
    with pytest.raises(OptionError, match="learning_rate"):
        TrainRecipe.from_dict({"fit": {"learning_rte": 0.2}})
    with pytest.raises(OptionError, match="bpartis"):
        TrainRecipe(network="bpartes")
    # YAML reads 2e-3 as a word, and ends of a range come as a list.
    data = {"fit": {"learning_rate": "2e-3", "steps": 7}, "crops": {"zoom": [0.5, 1]}, "widths": [8, 16], "fold": None}
    recipe = TrainRecipe.from_dict(data)
    assert recipe.fit == FitOptions(steps=7, learning_rate=0.002)
    assert (recipe.widths, recipe.crops, recipe.fold) == ((8, 16), CropOptions(zoom=(0.5, 1)), None)
    for part, entry, says in (
        ("fit", {"steps": "many"}, "fit in recipe: steps is a number, got 'many'"),
        ("fit", {"steps": 2.5}, "steps is a whole number"),
        ("fit", 3, "fit in recipe: a recipe of training is a table"),
        ("crops", {"zoom": 3}, "zoom must be two"),
        ("crops", {"side": 65}, "multiple of stride"),
        ("crops", {"blur": 20}, "blur is a share"),
        ("fold", "a", "fold is a number"),
    ):
        with pytest.raises((OptionError, RecipeError), match=says):
            TrainRecipe.from_dict({part: entry})
    with pytest.raises(RecipeError, match="table"):
        TrainRecipe.from_dict([1])
    published = TrainRecipe.default("bpartis").fit
    assert (published.optimiser, published.learning_rate, published.batch) == ("adam", 3e-4, 5)


def test_folders_become_examples(tmp_path):
    write_pairs(tmp_path, map(draw, range(3)))
    (tmp_path / "groups.csv").write_text("image,paper\na0,x\na1,x\na2,y\n")
    examples = load_examples(tmp_path / "images", tmp_path / "labels", groups=tmp_path / "groups.csv")
    assert [(e.name, e.group) for e in examples] == [("a0", "x"), ("a1", "x"), ("a2", "y")]
    np.testing.assert_array_equal(examples[1].labels, draw(1)[1])
    np.testing.assert_array_equal(examples[1].pixels, draw(1)[0])
    assert [(e.ignore, e.pixel_size) for e in examples] == [(None, None)] * 3


def test_what_is_drawn_over_the_specimen_is_found(tmp_path):
    (scene,) = scenes(1, seed=1)
    pixels = _bytes(scene.image.pixels)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    cv2.imwrite(str(tmp_path / "b.png"), scene.labels.astype(np.uint16))
    seen = []
    (e,) = load_examples(
        tmp_path / "a.png", tmp_path / "b.png", track=lambda pairs: [seen.append(p) or p for p in pairs]
    )
    np.testing.assert_array_equal(e.pixels, pixels)
    image, _ = calibrate(read(tmp_path / "a.png"))  # as `segmetry measure` does
    np.testing.assert_array_equal(e.ignore, image.ignore)
    true = scene.image.calibration
    assert e.pixel_size == pytest.approx(convert(true.pixel_size, true.unit, "nm"), rel=0.01)
    assert len(seen) == 1


@pytest.mark.slow
def test_the_command(tmp_path, capfd):
    from segmetry.cli import main

    args = ["train", *write_pairs(tmp_path, map(draw, range(2)))]
    args += ["-o", str(tmp_path / "run"), "--workers", "0"]
    small = ["--set", "widths=[8, 16]", "--set", "steps=2", "--set", "batch=2", "--set", "scenes=0"]
    assert main([*args, *small, "--json"]) == 0
    card = json.loads(capfd.readouterr().out)
    assert card["task"] == "particles"
    assert card["training"]["images"] == 2
    assert card["post"] == {}, "no image is left to calibrate on"
    assert main([*args, *small, "--set", "stps=2"]) == 2
    assert "steps" in capfd.readouterr().err
