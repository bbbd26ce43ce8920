"""`train`: networks for classes, from files to a model that other commands take."""

import json

import numpy as np
import pytest
import tifffile
from labelled_images import write_pairs

from segmetry.cli.trainer import read_recipe
from segmetry.io.model_folder import shipped_models

pytest.importorskip("torch")

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore::UserWarning")]

SMALL = ("width=4", "depth=2", "side=32", "steps=60", "batch=4", "learning_rate=1e-2", "warmup=5", "average=0.9")
QUICK = [word for text in SMALL for word in ("--set", text)]


def bands(seed, shape=(70, 90)):
    """Bands of two classes, 0 and 255, on greys that lie far apart."""
    rng = np.random.default_rng(seed)
    mask = np.add.outer(np.arange(shape[0]), np.arange(shape[1])) // 15 % 2 == 1
    return np.clip(90 + 60 * mask + rng.normal(0, 8, shape), 0, 255).astype(np.uint8), mask.astype(np.uint8) * 255


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_pairs(folder, map(bands, range(5)))
    return folder


@pytest.mark.slow
def test_a_network_for_classes_from_files_to_labels(cli, data, tmp_path):
    where = ("--images", data / "images", "--labels", data / "labels")
    ran = cli("train", *where, "--net", "unet", "-o", tmp_path / "run", "--workers", 0, *QUICK)
    assert ran.code == 0, ran.err
    assert "mean IoU" in ran.out
    assert f"-m {tmp_path / 'run/model'}" in ran.out
    assert "5 images, classes 0, 255" in ran.err
    assert f"report: {tmp_path / 'run/report.html'}" in ran.out
    model = tmp_path / "run/model"
    ran = cli("segment", data / "images/a0.png", "-m", model, "-o", tmp_path / "out", "--scale", "none")
    assert ran.code == 0, ran.err
    found = tifffile.imread(tmp_path / "out/a0.tif")
    assert np.mean(found == bands(0)[1] // 255) > 0.95
    again = cli("train", tmp_path / "run/recipe.yaml", *where, "-o", tmp_path / "again", "--workers", 0)
    assert again.code == 0, again.err
    cards = [json.loads((tmp_path / run / "model/card.json").read_text()) for run in ("run", "again")]
    assert cards[0]["sha256"] == cards[1]["sha256"], "the recipe and the data decide what comes out"


@pytest.mark.slow
def test_with_nothing_held_out_there_are_no_scores(cli, data, tmp_path):
    where = ("--images", data / "images", "--labels", data / "labels")
    quick = [*QUICK, "--set", "steps=12", "--set", "split=all"]
    ran = cli("train", *where, "--net", "unet", "-o", tmp_path / "run", "--workers", 0, *quick, "--json")
    assert ran.code == 0, ran.err
    card = json.loads(ran.out)
    assert (card["scores"], card["post"]) == ({}, {})
    assert (tmp_path / "run/report.html").exists()


@pytest.mark.slow
def test_minutes_plan_the_steps(cli, data, tmp_path):
    (tmp_path / "recipe.yaml").write_text(
        f"network: unet\nsplit: fold 1 of 5\nsamples: {{side: 32}}\noptions: {{width: 4, depth: 2}}\n"
        f"data: {{images: {data / 'images'}, labels: {data / 'labels'}}}\n"
    )
    quick = ("--set", "batch=2", "--workers", 0)
    ran = cli("train", tmp_path / "recipe.yaml", "-o", tmp_path / "run", "--minutes", 0.1, *quick)
    assert ran.code == 0, ran.err
    assert "steps in 0.1 minutes" in ran.err
    card = json.loads((tmp_path / "run/model/card.json").read_text())
    steps = card["training"]["recipe"]["fit"]["steps"]
    assert f"{steps} steps" in ran.err
    assert steps >= 10
    ran = cli("train", tmp_path / "recipe.yaml", "-o", tmp_path / "run", "--minutes", 0.2, *quick)
    assert ran.code == 0, ran.err
    assert f"goes on with the {steps} steps" in ran.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--net", "unett"), "did you mean 'unet'"),
        (("--net", "unet", "--set", "dept=3"), "did you mean 'depth'"),
        (("--net", "unet", "--set", "split=80/10"), "add up to 100"),
        (("--net", "unet", "--set", "side=50"), "take 48 or 64"),
        (("--net", "unet", "--find-rate", "--set", "learning_rate=1e-3"), "leave out one"),
        (("--net", "unet", "--device", "cuda:0"), "device: "),
        (("--net", "unet", "--calibrate-with", "x"), "leave out --calibrate-with"),
        (("--minutes", "5"), "minutes plan networks for classes"),
        (("--init", "particles"), "--init begins networks for classes"),
        (("--net", "unet", "--init", "nowhere"), "there is no model 'nowhere'"),
        (("--net", "unet", "--init", "particles"), "its encoder does not fit the one of unet"),
    ],
)
def test_what_cannot_be_is_one_line(cli, data, tmp_path, words, says):
    ran = cli("train", "--images", data / "images", "--labels", data / "labels", "-o", tmp_path / "run", *words)
    assert ran.code == 2
    assert says in ran.err.splitlines()[-1]


def test_data_must_be_named(cli, tmp_path):
    ran = cli("train", "--net", "unet", "-o", tmp_path / "run")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "--images FOLDER" in ran.err


def test_a_recipe_begins_with_a_model_that_comes_along(tmp_path):
    (tmp_path / "recipe.yaml").write_text("network: unet\ndata: {images: a, init: particles}\n")
    _, found = read_recipe(tmp_path / "recipe.yaml", None)
    assert (found.images, found.init) == (tmp_path / "a", shipped_models()["particles"])
