"""Mask R-CNN as an opponent: targets and read-out by hand; the network itself where torchvision is installed."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from segmetry.errors import OptionError

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

from segmetry.nets.mask_rcnn import build_mask_rcnn, find_particles, make_targets, paint  # noqa: E402
from segmetry.train.data import Example  # noqa: E402
from segmetry.train.mask_rcnn_task import MaskRcnnTask  # noqa: E402
from segmetry.train.running import Running  # noqa: E402


def test_targets_counted_on_paper():
    labels = torch.tensor([[0, 7, 7, 0, 2], [0, 7, 0, 0, 0], [0, 0, 0, 0, 0]])
    targets = make_targets(labels)
    # Left, top, right, bottom; a single pixel has a box of side 1. Numbers rise: 2, then 7.
    assert targets["boxes"].tolist() == [[4, 0, 5, 1], [1, 0, 3, 2]]
    assert targets["labels"].tolist() == [1, 1]
    assert targets["masks"].dtype == torch.uint8
    assert targets["masks"].sum((1, 2)).tolist() == [1, 3]


def test_an_image_without_particles_has_empty_targets():
    targets = make_targets(torch.zeros(4, 6, dtype=torch.int32))
    assert [targets[k].shape for k in ("boxes", "labels", "masks")] == [(0, 4), (0,), (0, 4, 6)]


@pytest.mark.parametrize("seed", range(5))
def test_boxes_are_those_of_the_pixels(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 6, (9, 13)) * (rng.random((9, 13)) < 0.4)
    boxes = make_targets(torch.from_numpy(labels))["boxes"].numpy()
    for box, number in zip(boxes, np.unique(labels)[1:], strict=True):
        rows, cols = np.nonzero(labels == number)
        assert box.tolist() == [cols.min(), rows.min(), cols.max() + 1, rows.max() + 1]


def test_a_pixel_goes_to_the_better_detection():
    masks = np.zeros((4, 2, 5))
    masks[0, 0, :3] = 0.6  # score .7
    masks[1, 0, 2:] = 0.9  # score .9, wins the pixel they share
    masks[2, 1, :] = 0.9  # score .2: too low
    masks[3, 0, 1:3] = 0.51  # score .6: hidden altogether
    labels, scores = paint(np.array([0.7, 0.9, 0.2, 0.6]), masks)
    np.testing.assert_array_equal(labels, [[2, 2, 1, 1, 1], [0, 0, 0, 0, 0]])
    assert scores.tolist() == [0.9, 0.7]


def test_labels_are_stretched_back_to_the_image():
    class Half(torch.nn.Module):
        """One detection: the left half of the square."""

        def forward(self, images):
            assert images.shape == (1, 1, 512, 512)
            mask = torch.zeros(1, 1, 512, 512)
            mask[..., :256] = 1
            return [{"scores": torch.tensor([0.8]), "masks": mask}]

    found = find_particles(Half(), np.full((30, 50), 99, np.uint8))
    expected = np.zeros((30, 50), np.int32)
    expected[:, :25] = 1
    np.testing.assert_array_equal(found.labels, expected)
    assert found.scores == pytest.approx([0.8])


def test_a_missing_torchvision_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision.models.detection", None)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(OptionError, match=r"needs the torchvision .*pip install torchvision"):
        build_mask_rcnn()


def disks(seed):
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:512, :512]
    labels = np.zeros((512, 512), np.int32)
    for k in range(1, 7):
        row, col = 90 + 165 * ((k - 1) // 3), 90 + 165 * ((k - 1) % 3)
        labels[np.hypot(rows - row - rng.uniform(-20, 20), cols - col - rng.uniform(-20, 20)) < rng.uniform(30, 60)] = k
    grey = np.where(labels > 0, 200, 60) + rng.normal(0, 5, labels.shape)
    return Example(f"disks {seed}", str(seed), grey.clip(0, 255).astype(np.uint8), labels.astype(np.uint16))


@pytest.fixture(scope="module")
def task():
    try:
        build_mask_rcnn()
    except OptionError as error:
        pytest.skip(str(error))
    return MaskRcnnTask([disks(0)], [disks(1)])


@pytest.mark.slow
def test_the_number_of_parameters_is_the_published_one(task):
    # torchvision's documentation: 44,401,393 for 91 classes and fixed batch norm. 89 classes fewer: class and box rows
    # of 1024 + 1 weights (1 and 4 of them), mask rows of 256 + 1. Batch norm that learns: 2 x 26,560 in a ResNet-50.
    n = sum(p.numel() for p in task.build().parameters() if p.requires_grad)
    assert n == 44_401_393 - 89 * (5 * 1025 + 257) + 2 * 26_560


@pytest.mark.slow
def test_the_loss_reaches_every_parameter_and_falls_along_its_gradient(task):
    torch.manual_seed(0)
    network = task.build()
    network.train()
    batch = {k: torch.from_numpy(v)[None] for k, v in task.sample(0).items()}

    def loss():
        torch.manual_seed(1)  # the network draws the proposals that it learns from
        return task.loss(network, batch)

    before, parts = loss()
    assert len(parts) == 5
    assert before.item() == pytest.approx(sum(v.item() for v in parts.values()), rel=1e-5)
    before.backward()
    gradients = [p.grad for p in network.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients)
    square = sum(float(g.double().square().sum()) for g in gradients)
    with torch.no_grad():
        for p, g in zip(network.parameters(), gradients, strict=True):
            p -= 0.02 * before.item() / square * g  # to first order the loss falls by 2 %
        after, _ = loss()
    assert after.item() < before.item()


@pytest.mark.slow
def test_boxes_are_not_rounded_in_mixed_precision(task):
    network = task.build()
    network.network.rpn.anchor_generator.register_forward_hook(lambda _module, _given, made: places.append(made[0]))
    places: list[torch.Tensor] = []
    labels = torch.zeros(1, 512, 512, dtype=torch.int32)
    labels[:, 300:433, 301:434] = 1
    with torch.autocast("cpu", torch.bfloat16):
        losses = network(torch.rand(1, 1, 512, 512).bfloat16(), labels)
    assert {places[0].dtype, *(v.dtype for v in losses.values())} == {torch.float32}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers")
def test_a_stopped_run_goes_on_exactly(task, tmp_path):
    from segmetry.train.checkpoint import load_arrays
    from segmetry.train.loop import LAST, fit
    from segmetry.train.options import FitOptions

    short = MaskRcnnTask([disks(0)])  # nothing held out: a check would only cost time
    options = FitOptions(steps=2, batch=1, warmup=1, average=0.5, learning_rate=1e-4)
    fit(short, options, tmp_path / "whole", Running(0))
    fit(short, options, tmp_path / "parts", Running(0), stop_after=1)
    torch.rand(7)  # whatever the process has drawn meanwhile
    fit(short, options, tmp_path / "parts", Running(0))
    whole, parts = (load_arrays(tmp_path / run / LAST) for run in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert [name for name in whole if not torch.equal(whole[name], parts[name])] == []
