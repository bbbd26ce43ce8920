"""Random crops: reproducible, image and labels in step, nothing taken for known outside of the image."""

import dataclasses

import cv2
import numpy as np
import pytest

from segmetry.errors import ReadError, ShapeMismatchError
from segmetry.train.crops import CropOptions, Crops, _at_level, draw_crop, prepare
from segmetry.train.data import Example, hash_examples, pack, unpack

PLAIN = CropOptions(side=64, invert=0, blur=0, noise=0, shade=0, text=0)


@pytest.fixture(scope="module")
def example():
    """Squares of 20 px on a grid, each exactly as bright as its label says: grey = 10 x label."""
    labels = np.zeros((160, 200), np.uint16)
    for k, (r, c) in enumerate(((r, c) for r in range(10, 150, 40) for c in range(10, 190, 40)), 1):
        labels[r : r + 20, c : c + 20] = k
    return Example("squares", "one", (labels * 10).astype(np.uint8), labels)


def test_the_same_number_gives_the_same_crop(example):
    first, again = (Crops([example], seed=3, options=CropOptions(side=64)) for _ in range(2))
    for number in (0, 7, 123456):
        for a, b in zip(first.draw(number)[:2], again.draw(number)[:2], strict=True):
            np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.draw(0)[0], first.draw(1)[0])


def test_labels_lie_on_their_pixels(example, monkeypatch):
    monkeypatch.setattr("segmetry.train.crops.change_greys", lambda image, rng, options: image)
    ready = prepare(example)
    checked = 0
    for seed in range(40):
        image, labels = draw_crop(ready, np.random.default_rng(seed), PLAIN)
        assert image.shape == (64, 64)
        assert labels.shape == (32, 32)
        grey = image.reshape(32, 2, 32, 2).mean(axis=(1, 3)) * ready.sd + ready.mean
        inner = labels > 0
        for dr, dc in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            inner &= np.roll(labels, (dr, dc), (0, 1)) == labels
        inner[[0, -1]] = inner[:, [0, -1]] = False
        wrong = np.abs(grey[inner] - 10 * labels[inner]) > 5
        checked += inner.sum()
        assert wrong.mean() < 0.02 if inner.any() else True
    assert checked > 2000


def test_odd_sides_stay_in_step():
    """Halved twice, 163 x 203 px become 40 x 50: a factor of 4 would put the far edge off by 3 px."""
    rows, cols = np.mgrid[:163, :203].astype(np.float32)
    for pixels, axis in ((rows, 0), (cols, 1)):
        ready = prepare(Example("ramp", "one", pixels, np.zeros((163, 203), np.uint16)))
        matrix = np.array([[4.0, 0, 5.0], [0, 4.0, 3.0]])  # pixel (row, col) of the crop lies at (4 row + 3, 4 col + 5)
        seen = cv2.warpAffine(
            ready.levels[2],
            _at_level(matrix, ready.levels[0].shape, ready.levels[2].shape),
            (48, 38),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )
        expected = (4 * np.arange(38)[:, None] + 3) if axis == 0 else (4 * np.arange(48)[None] + 5)
        np.testing.assert_allclose(seen[2:-2, 2:-2], np.broadcast_to(expected, seen.shape)[2:-2, 2:-2], atol=0.15)


def test_outside_is_unknown_and_zero(example):
    ready = prepare(example)
    seen = 0
    for seed in range(30):
        image, labels = draw_crop(ready, np.random.default_rng(seed), CropOptions(side=64, zoom=(0.2, 0.25)))
        outside = np.kron(labels < 0, np.ones((2, 2), bool))
        assert (image[outside] == 0).all()
        seen += outside.sum()
    assert seen > 0


def test_normalised_crops_have_the_typical_size(example):
    options = CropOptions(normalised=1.0, spread=1.0000001, side=128)
    ready = prepare(example)
    assert ready.typical == 20
    areas = []
    for seed in range(30):
        _, labels = draw_crop(ready, np.random.default_rng(seed), options)
        area = np.bincount(labels[labels > 0])
        areas.append(area.max() * 4)
    # The zoom is held below 1.4: 20 px become 28.
    assert np.median(areas) == pytest.approx(28**2, rel=0.1)


def test_packed_examples_come_back(tmp_path, example):
    hidden = np.eye(5, 6, 1, dtype=bool)
    pixels = np.random.default_rng(0).normal(size=(5, 6))
    other = Example("floats", "two", pixels, np.eye(5, 6, dtype=np.uint16), hidden, 0.25)
    pack(tmp_path / "p.npz", [example, other])
    back = unpack(tmp_path / "p.npz")
    assert [(e.name, e.group) for e in back] == [("squares", "one"), ("floats", "two")]
    np.testing.assert_array_equal(back[1].pixels, other.pixels)
    np.testing.assert_array_equal(back[0].labels, example.labels)
    np.testing.assert_array_equal(back[1].ignore, hidden)
    assert back[0].ignore is None
    assert [e.pixel_size for e in back] == [None, 0.25]
    assert hash_examples(back) == hash_examples([other, example])
    # Masks and pixel sizes are not trained on.
    assert hash_examples(back) == hash_examples([dataclasses.replace(e, ignore=None, pixel_size=None) for e in back])
    with np.load(tmp_path / "p.npz") as data:
        before = {k: data[k] for k in data.files if not k.startswith(("ignore", "pixel_sizes"))}
    np.savez(tmp_path / "old.npz", **before)
    old = unpack(tmp_path / "old.npz")
    assert [(e.ignore, e.pixel_size) for e in old] == [(None, None)] * 2
    assert hash_examples(old) == hash_examples(back)
    whole = (tmp_path / "p.npz").read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:100] + bytes([whole[100] ^ 255]) + whole[101:], b""):
        (tmp_path / "d.npz").write_bytes(damaged)
        with pytest.raises(ReadError, match="make it again"):
            unpack(tmp_path / "d.npz")
    with pytest.raises(ShapeMismatchError, match="mask"):
        dataclasses.replace(example, ignore=hidden)
    changed = Example("squares", "one", example.pixels, example.labels.copy())
    changed.labels[0, 0] = 1
    assert hash_examples([changed, other]) != hash_examples(back)
