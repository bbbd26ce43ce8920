"""A start without labels: what is hidden, what the loss counts, and that the features serve afterwards."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from segmetry.errors import OptionError  # noqa: E402
from segmetry.io.model_folder import read_card  # noqa: E402
from segmetry.segment import method_from  # noqa: E402
from segmetry.train.augment import AugmentOptions  # noqa: E402
from segmetry.train.class_recipe import ClassRecipe  # noqa: E402
from segmetry.train.class_run import train_classes  # noqa: E402
from segmetry.train.options import FitOptions  # noqa: E402
from segmetry.train.reconstruct import HIDDEN, PATCH, ReconstructTask, hide, train_reconstruction  # noqa: E402
from segmetry.train.running import Running  # noqa: E402
from segmetry.train.samples import Labelled, Normalisation, SampleOptions, Samples  # noqa: E402

pytestmark = pytest.mark.torch

SMALL = ClassRecipe(
    options={"width": 4, "depth": 2},
    samples=SampleOptions(side=64),
    augment=AugmentOptions(zoom=(0.9, 1.1)),
    fit=FitOptions(steps=60, batch=4, learning_rate=1e-2, warmup=5, precision="32-true", average=0.9),
)


def stripes(seed, shape=(90, 90)):
    """Slanted stripes 30 px wide: what is hidden can be told from what is beside it."""
    rows, columns = np.indices(shape)
    pixels = 100 + 40 * np.sign(np.sin((rows + columns + 7 * seed) * np.pi / 30))
    pixels = pixels + np.random.default_rng(seed).normal(0, 2, shape)
    classes = (pixels > 100).astype(np.uint8)
    return Labelled(f"s{seed}", f"s{seed}", pixels[None].astype(np.float32), classes)


def task(network="unet", **more):
    images = [stripes(0)]
    samples = Samples(images, Normalisation.measured(images), options=SampleOptions(side=64, **more))
    return ReconstructTask(samples, network=network, options={"width": 4, "depth": 2})


def test_patches_are_hidden_by_hand():
    hidden = hide((40, 64), np.random.default_rng(0))
    assert hidden.shape == (40, 64)
    for row in range(0, 40, PATCH):
        for column in range(0, 64, PATCH):
            assert len(np.unique(hidden[row : row + PATCH, column : column + PATCH])) == 1
    assert hide((PATCH, PATCH), np.random.default_rng(1)).all(), "at least one patch"
    assert hide((8, 40, 64), np.random.default_rng(0)).shape == (8, 40, 64)
    shares = [hide((160, 160), np.random.default_rng(i)).mean() for i in range(100)]
    assert np.mean(shares) == pytest.approx(HIDDEN, abs=0.02)  # 10,000 patches: four standard errors


def test_a_sample_hides_the_image_and_not_the_place():
    sample = task(coordinates=True).sample(3)
    hidden = sample["hidden"][0]
    assert np.array_equal(sample["image"][0][~hidden], sample["target"][0][~hidden])
    assert not sample["image"][0][hidden].any()
    assert sample["image"][1][hidden].any()
    assert sample["target"].shape == (1, 64, 64)


@pytest.mark.parametrize("network", ["unet", "unet++"])
def test_the_loss_counts_what_is_hidden(network):
    """By hand: a network that says 0 everywhere is wrong by the mean square of the hidden pixels."""
    made = task(network)
    net = made.build().train()
    with torch.no_grad():
        for name, p in net.named_parameters():
            if name.startswith("head."):
                p.zero_()
    sample = made.sample(0)
    with torch.no_grad():
        found, _ = made.loss(net, {k: torch.from_numpy(v)[None] for k, v in sample.items()})
    assert float(found) == pytest.approx(np.square(sample["target"][sample["hidden"]]).mean(), rel=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_it_learned_is_a_start_for_classes(tmp_path):
    images = [stripes(i) for i in range(4)]
    blank = [Labelled(i.name, i.group, i.pixels, np.zeros_like(i.classes)) for i in images]
    start = train_reconstruction(SMALL, blank, tmp_path / "start", Running(0))
    card = read_card(start)
    assert (card.task, card.maps, card.training["images"]) == ("image", ("channel-0",), 4)
    log = [json.loads(line) for line in (tmp_path / "start/log.jsonl").read_text().splitlines()]
    assert [entry["loss"] for entry in log if "loss" in entry][-1] < 0.9, "the mean everywhere has 1"
    with pytest.raises(OptionError, match="a start for training"):
        method_from(str(start))
    short = SMALL.changed({"steps": 2, "split": "all"})
    model = train_classes(
        short, images, tmp_path / "classes", classes=("dark", "bright"), running=Running(0), init=start
    )
    init = read_card(model).training["init"]
    assert init["sha256"] == card.sha256
    assert set(init["kept"]) == {"encoder", "decoder"}


def test_sides_that_the_network_cannot_take(tmp_path):
    with pytest.raises(OptionError, match="multiples of 4, but side is 50"):
        train_reconstruction(SMALL.changed({"side": 50}), [stripes(0)], tmp_path / "run")
