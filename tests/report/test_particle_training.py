"""The page of a training run for particles: its numbers, its pictures, and what a reader must be told."""

import json
import shutil

import numpy as np
import pytest
from html_page import check

from segmetry.errors import ReadError
from segmetry.io.json_file import write_json
from segmetry.io.model_folder import resolve_model
from segmetry.report.particle_training import write_particle_report
from segmetry.synth import simulate
from segmetry.train.data import Example
from segmetry.train.log import LOG
from segmetry.train.particle_verdict import judge_particles
from segmetry.train.recipe import TrainRecipe
from segmetry.train.run_folder import MODEL, RECIPE, SCORES

pytestmark = pytest.mark.torch  # the folder of training

LINES = [
    {"step": 0, "device": "cpu, 2 threads, 32-true"},
    {"step": 50, "loss": 1.5, "instance": 1.0, "seed": 0.5, "rate": 1e-3, "samples_per_s": 12.0, "memory": 512},
    {"step": 50, "check": {"loss": 1.2}, "seconds": 2.0},
    {"step": 100, "loss": 0.5, "instance": 0.3, "seed": 0.2, "rate": 1e-4, "samples_per_s": 12.0, "memory": 700},
]


def make_run(folder, scored=()):
    """Write the folder of a run whose model is the one that comes along."""
    folder.mkdir()
    recipe = TrainRecipe.default("particles")
    (folder / RECIPE).write_text(recipe.to_yaml(), encoding="utf-8")
    (folder / LOG).write_text("\n".join(json.dumps(line) for line in LINES), encoding="utf-8")
    shutil.copytree(resolve_model("particles"), folder / MODEL)
    if scored:
        write_json(folder / SCORES, judge_particles([f"<b>{one.group}" for one in scored], scored).as_dict())
    return folder


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    from segmetry.evaluate.scored import ScoredImage

    def image(k):
        scores = np.repeat([0.9, 0.1], [6 + k, 3])
        return ScoredImage(scores, scores > 0.5, 12, f"g{k}")

    scene = simulate(n=12, frame_shape=(160, 200), seed=3)
    examples = [Example(f"<b>g{k}", f"g{k}", scene.image.pixels, scene.labels) for k in range(6)]
    folder = make_run(tmp_path_factory.mktemp("page") / "run", [image(k) for k in range(6)])
    return check(write_particle_report(folder, examples).read_text(encoding="utf-8"))


def test_scores_are_those_of_the_run(page):
    mean = np.mean([(6 + k) / 12 for k in range(6)])
    assert f"AP50 {mean:.2f}" in page.text
    assert "on 6 images of 6 groups that the network did not learn from" in page.text
    rows = page.rows()
    assert ["<b>g0", "g0", "12", "6", "6", "0.5"] in [[c.rstrip("0") if "." in c else c for c in r] for r in rows]


def test_the_worst_the_median_and_the_best_image_are_shown(page):
    for words in ("Worst: <b>g0", "Median: <b>g3", "Best: <b>g5"):
        assert words in page.text
    assert "12 true, 6 found, 6 of them right" in page.text
    assert page.text.count("What became of every object") == 3


def test_course_cost_and_promises_are_told(page):
    assert "100 steps of 12 samples" in page.text
    assert "cpu, 2 threads, 32-true" in page.text
    assert "700 MiB" in page.text
    assert "at most 5 % false particles" in page.text


def test_a_run_without_scores_says_so(tmp_path):
    folder = make_run(tmp_path / "run")
    page = check(write_particle_report(folder).read_text(encoding="utf-8"))
    assert "nothing here tells how good the network is" in page.text
    assert "Nothing that could be a particle was found" in page.text  # its card names images that were held out
    card = json.loads((folder / MODEL / "card.json").read_text())
    card["training"]["held_out"] = 0
    (folder / MODEL / "card.json").write_text(json.dumps(card))
    page = check(write_particle_report(folder).read_text(encoding="utf-8"))
    assert "--fold 0" in page.text


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(ReadError, match="holds no finished training run for particles"):
        write_particle_report(tmp_path)
