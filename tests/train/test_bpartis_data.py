"""Samples of BPartIS: reproducible, labels on their pixels, every copy a particle of its own."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from segmetry.errors import OptionError
from segmetry.train.bpartis_data import PublishedSamples, Sample, augment, squeeze_example
from segmetry.train.data import Example


def squares(shape=(400, 640)):
    """Return squares of 30 px, each as bright as its number says."""
    labels = np.zeros(shape, np.uint16)
    for k, (r, c) in enumerate(((r, c) for r in range(20, 360, 70) for c in range(20, 600, 90)), 1):
        labels[r : r + 30, c : c + 30] = k
    grey = np.where(labels > 0, 60 + 4 * labels, 20).astype(np.uint8)
    return Example("squares", "one", grey, labels)


@pytest.fixture(scope="module")
def sample():
    return squeeze_example(squares())


def test_an_example_is_squeezed_into_the_square(sample):
    assert sample.grey.shape == sample.labels.shape == (512, 512)
    assert (sample.grey.dtype, sample.labels.dtype) == (np.uint8, np.int32)
    area = np.bincount(sample.labels.ravel())[1:]
    assert area.size == 35
    np.testing.assert_allclose(area, 900 * 512 / 400 * 512 / 640, rtol=0.06)  # a row of pixels more or less


def test_labels_stay_on_their_pixels(sample):
    for seed in range(40):
        grey, labels = augment(sample, np.random.default_rng(seed))
        inner = ndimage.minimum_filter(labels, 7)
        inner = np.where(inner == ndimage.maximum_filter(labels, 7), inner, 0)
        numbers = np.unique(inner[inner > 0])
        level = np.array([grey[inner == k].mean() for k in numbers])
        spread = [np.ptp(grey[inner == k].astype(int)) for k in numbers]
        assert max(spread) <= 25, seed  # bicubic overshoots; the background is 40 to 180 away
        # Brightness rises with the number; copies of one particle in the quarters are equally bright.
        step = labels.max() // 4 + 1 if len(numbers) > 35 else 1000
        order = np.argsort(numbers % step, kind="stable")
        assert (np.diff(level[order]) > -2).all(), seed


def test_the_shares_of_the_changes_are_those_published(sample):
    tiled = zoomed = 0
    n = 250
    for seed in range(n):
        _, labels = augment(sample, np.random.default_rng(seed))
        count = np.count_nonzero(np.bincount(labels.ravel())[1:])
        tiled += labels.max() > 35
        # A quarter of the window cannot hold all 35.
        zoomed += count < 30
    for found, share in ((tiled, 0.05), (zoomed, 1 / 3)):
        assert abs(found / n - share) < 4 * np.sqrt(share * (1 - share) / n)


def test_every_copy_in_the_quarters_is_its_own_particle(sample):
    for seed in range(200):
        _, labels = augment(sample, np.random.default_rng(seed))
        if labels.max() > 35:
            pieces, n = ndimage.label(labels > 0)
            assert n == np.unique(labels[labels > 0]).size
            assert len(set(zip(labels[labels > 0].tolist(), pieces[labels > 0].tolist(), strict=True))) == n
            return
    raise AssertionError("no sample was tiled")


def test_all_eight_orientations_occur():
    grey = np.zeros((512, 512), np.uint8)
    labels = np.zeros((512, 512), np.int32)
    labels[50:200, 50:100] = grey[50:200, 50:100] = 1  # no symmetry
    seen = set()
    for seed in range(100):
        out = augment(Sample(grey * 200, labels), np.random.default_rng(seed)).labels
        if out.sum() == 150 * 50:
            seen.add(out[::50, ::50].tobytes())
    assert len(seen) == 8


def test_brightness_and_contrast_stay_within_thirty_per_cent():
    grey = np.full((512, 512), 100, np.uint8)
    grey[:, :256] = 120
    labels = np.zeros((512, 512), np.int32)
    labels[:256] = 1
    means, ranges = [], []
    for seed in range(120):
        out = augment(Sample(grey, labels), np.random.default_rng(seed)).grey.astype(float)
        if len(np.unique(out)) == 2:
            means.append(out.mean() / 110)
            ranges.append(np.ptp(out) / 20)
    assert 0.69 < min(means) < 0.75
    assert 1.25 < max(means) < 1.31
    assert 0.7**2 - 0.06 < min(ranges) < 0.62
    assert 1.5 < max(ranges) < 1.3**2 + 0.06


def test_the_number_gives_the_sample_and_an_epoch_takes_each_image_once():
    examples = []
    for k in range(5):
        labels = np.zeros((40, 40), np.uint16)
        labels[10:30, 10:30] = 1
        examples.append(Example(f"e{k}", "g", np.where(labels > 0, 20 * k + 40, 10).astype(np.uint8), labels))
    first, again, other = (PublishedSamples(examples, seed=s) for s in (0, 0, 1))
    for number in (0, 3, 12345):
        np.testing.assert_array_equal(first.draw(number)[0].grey, again.draw(number)[0].grey)
        assert (first.draw(number)[0].grey != other.draw(number)[0].grey).any()
    assert first.draw(7)[1].random() == again.draw(7)[1].random()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segmetry.train.bpartis_data.augment", lambda sample, rng: sample)
        epochs = [[int(first.draw(5 * e + i)[0].grey[256, 256]) for i in range(5)] for e in range(4)]
    assert all(sorted(taken) == [40, 60, 80, 100, 120] for taken in epochs)
    assert len({tuple(taken) for taken in epochs}) > 1
    with pytest.raises(OptionError, match="no image"):
        PublishedSamples([])
