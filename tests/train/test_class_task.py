"""A network for classes learns from samples, and is judged on whole images."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from labelled_images import bands  # noqa: E402

from segmetry.io.read import Channels  # noqa: E402
from segmetry.segment import engine  # noqa: E402
from segmetry.train.augment import AugmentOptions  # noqa: E402
from segmetry.train.class_task import ClassTask  # noqa: E402
from segmetry.train.loop import fit  # noqa: E402
from segmetry.train.losses import Loss  # noqa: E402
from segmetry.train.options import FitOptions  # noqa: E402
from segmetry.train.running import Running  # noqa: E402
from segmetry.train.samples import Labelled, Normalisation, SampleOptions, Samples  # noqa: E402

pytestmark = pytest.mark.torch
AREAS = ("air", "grain", "rim")


def task(classes=AREAS, images=None, held_out=None, **more):
    images = images or [bands(0), bands(1)]
    options = SampleOptions(side=32, coordinates=more.pop("coordinates", False))
    samples = Samples(
        images, Normalisation.measured(images), options=options, augment=AugmentOptions(zoom=(0.9, 1.1)), seed=3
    )
    chosen = {"network": "unet", "options": {"width": 4, "depth": 2}, "loss": Loss.from_dict({"cross-entropy": 1})}
    return ClassTask(samples, held_out or [bands(2)], classes, **(chosen | more))


def test_a_sample_is_what_the_loss_needs():
    made = task(
        loss=Loss.from_dict({"dice": 1, "distance": 1}),
        pixel_weight={"border": {"w0": 10.0, "sigma": 5.0}},
        options={"width": 4, "depth": 2, "rate": 0.2},
        coordinates=True,
    )
    sample = made.sample(5)
    assert sample["image"].shape == (3, 32, 32)
    assert sample["target"].dtype == np.int64
    assert set(np.unique(sample["target"])) <= {-1, 0, 1, 2}
    assert sample["weight"].shape == sample["distance"].shape == (32, 32)
    assert sample["weight"].min() > 0
    assert sample["keep"].size == made.card.n_keep > 0
    again = made.sample(5)
    assert all(np.array_equal(sample[k], again[k]) for k in sample)
    batch = {k: torch.from_numpy(v)[None] for k, v in sample.items()}
    total, parts = made.loss(made.build(), batch)
    assert total.requires_grad
    assert set(parts) == {"dice", "distance"}


def test_two_classes_have_one_map():
    image = bands(0)
    two = Labelled("two", "two", image.pixels, np.where(image.classes == 1, 1, 0).astype(np.uint8))
    made = task(("rest", "grain"), [two], [two])
    assert made.maps == ("grain",)
    found = made.check(made.build().eval(), torch.device("cpu"))
    assert {"loss", "tp", "fp", "tn", "fn", "auc", "mae", "iou[grain]", "boundary_f1", "score"} <= found.keys()
    assert found["tp"] + found["fn"] == np.count_nonzero(two.classes)


@pytest.mark.slow
def test_it_learns(tmp_path):
    made = task()
    before = made.check(made.build().eval(), torch.device("cpu"))
    options = FitOptions(steps=60, batch=4, learning_rate=1e-2, warmup=5, average=0.9, precision="32-true")
    network = fit(made, options, tmp_path, Running(0))
    after = made.check(network, torch.device("cpu"))
    assert after["score"] > 0.9 > before["score"]
    assert after["loss"] < before["loss"]


def test_whole_images_are_predicted_in_exact_tiles():
    made = task()
    network = made.build().eval()
    image = np.random.default_rng(0).standard_normal((1, 150, 90)).astype(np.float32)
    padded = np.zeros((1, 1, 152, 92), np.float32)
    norm = made.samples.normalisation
    padded[0, :, :150, :90] = norm.apply(image)
    with torch.no_grad():
        whole = network(torch.from_numpy(padded), torch.ones(1, made.card.n_keep)).numpy()[0, :, :150, :90]
    np.testing.assert_allclose(made.predict(network, torch.device("cpu"), image), whole, atol=1e-5)


class Disk(np.ndarray):
    """An array that remembers the largest part of it that was taken."""

    largest = 0

    def __array_finalize__(self, other):
        if other is not None:
            Disk.largest = max(Disk.largest, self.size)


@pytest.mark.parametrize("shape", [(150, 90), (8, 12, 64)])
def test_images_on_the_disk_are_predicted_tile_by_tile(shape, monkeypatch):
    classes = (np.indices(shape).sum(axis=0) // 15 % 3).astype(np.uint8)
    volume = Labelled("v", "v", classes[None].astype(np.float32), classes)
    name, depth = ("unet", 2) if len(shape) == 2 else ("unet3d", 1)
    coordinates = len(shape) == 2
    options = {"width": 2, "depth": depth}
    made = task(images=[volume], held_out=[volume], network=name, options=options, coordinates=coordinates)
    network = made.build().eval()
    whole = made.predict(network, torch.device("cpu"), volume.pixels)
    monkeypatch.setattr(engine, "tile_within", lambda card, sides, memory: (60, *sides[1:-1], 60))
    on_disk = Channels([volume.pixels[0].view(Disk)])
    Disk.largest = 0
    tiled = made.predict(network, torch.device("cpu"), on_disk)
    assert 0 < Disk.largest < volume.pixels.size
    np.testing.assert_allclose(tiled, whole, atol=1e-5 * np.abs(whole).max())  # other kernels for other sizes


def test_pixels_weigh_in_a_crop_what_they_weigh_in_the_image():
    """A root 200 px long that is thickest at its left end: a crop from its middle weighs it by the way from there."""
    from segmetry.train.weight_maps import branching_weight

    classes = np.zeros((40, 240), np.uint8)
    classes[18:21, 20:220] = 1
    classes[14:25, 20:31] = 1
    columns = np.broadcast_to(np.arange(240, dtype=np.float32), classes.shape)
    image = Labelled("root", "root", columns[None].copy(), classes)
    samples = Samples(
        [image], Normalisation((0.0,), (1.0,)), options=SampleOptions(side=32), augment=AugmentOptions.none()
    )
    made = ClassTask(
        samples,
        [],
        ("soil", "root"),
        network="unet",
        options={"width": 4, "depth": 2},
        loss=Loss.from_dict({"cross-entropy": 1}),
        pixel_weight={"branching": {"strength": 10.0}},
    )
    whole = branching_weight(classes.astype(np.int64))[19]
    seen = []
    for i in range(30):
        sample = made.sample(i)
        rows, at = np.nonzero(sample["target"] == 1)
        column = sample["image"][0][rows, at].astype(int)
        if column.size and column.min() > 40:
            np.testing.assert_allclose(sample["weight"][rows, at], whole[column], atol=0.12)  # one step of the way
            seen.append(sample["weight"][rows, at].min())
    assert max(seen) > 4


def test_a_network_starts_from_given_weights():
    first = task()
    given = first.build().state_dict()
    again = task(start=given).build().state_dict()
    assert all(torch.equal(given[k], again[k]) for k in given)
    encoder = {k: v for k, v in given.items() if k.startswith("encoder.")}
    once, again = (task(start=encoder).build().state_dict() for _ in range(2))
    assert all(torch.equal(given[k], once[k]) for k in encoder)
    assert not torch.equal(once["head.weight"], again["head.weight"])
