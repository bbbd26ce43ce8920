"""The tree of maxima against counting pieces at every level, h-maxima, laws; and the method on scenes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import label
from skimage.morphology import local_maxima, reconstruction

from segmetry.errors import ImageError, OptionError
from segmetry.evaluate import average_precision
from segmetry.segment.component_tree import component_tree
from segmetry.segment.methods import Scene
from segmetry.segment.persistence import Persistence

SMALL = hnp.arrays(
    np.uint8, st.sampled_from([(4, 7), (1, 9), (6, 6), (3, 4, 5), (1, 1, 4)]), elements=st.integers(0, 6)
)


def test_by_hand():
    # Maxima 9, 8, 7; from 7 one falls to 5 before 8, from 8 to 2 before 9.
    tree = component_tree(np.array([[9, 2, 8, 5, 7, 0]], np.uint8))
    assert tree.persistence.tolist() == [9, 6, 2]
    assert tree.parent.tolist() == [0, 1, 2]
    assert tree.peak.tolist() == [0, 2, 4]
    assert tree.labels(0).tolist() == [[1, 1, 2, 2, 3, 3]]
    assert tree.labels(3).tolist() == [[1, 1, 2, 2, 2, 2]]
    assert tree.labels(7).tolist() == [[1, 1, 1, 1, 1, 1]]


@settings(max_examples=60, deadline=None)
@given(image=SMALL)
def test_at_each_level_as_many_basins_live_as_there_are_pieces(image):
    tree = component_tree(image)
    for level in range(7):
        pieces = label(image > level, connectivity=image.ndim).max()
        assert np.count_nonzero((tree.birth > level) & ((tree.saddle <= level) | (tree.parent == 0))) == pieces
    assert len(tree.birth) == max(1, label(local_maxima(image, connectivity=image.ndim)).max())
    np.testing.assert_array_equal(image.ravel()[tree.peak], tree.birth)


@pytest.mark.parametrize(("shape", "seed"), [((30, 40), 0), ((10, 12, 14), 1)])
def test_h_maxima_count_alike(shape, seed):
    image = np.random.default_rng(seed).normal(size=shape)
    tree = component_tree(image)
    for h in (0.1, 0.5, 1.5, 3.0):
        filled = reconstruction(image - h, image, footprint=np.ones((3,) * len(shape)))
        assert tree.count(h) == label(local_maxima(filled, connectivity=len(shape))).max()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int64, np.float32, np.float64, bool])
def test_the_number_type_does_not_matter(dtype):
    image = np.random.default_rng(0).integers(0, 2 if dtype is bool else 200, (20, 30))
    expected = component_tree(image.astype(np.uint8))
    found = component_tree(image.astype(dtype))
    np.testing.assert_array_equal(found.basins, expected.basins)
    np.testing.assert_array_equal(found.persistence, expected.persistence)


def test_every_label_is_one_piece_and_laws_hold():
    image = np.random.default_rng(2).normal(size=(40, 50)).astype(np.float32)
    tree = component_tree(image)
    before = tree.labels(0)
    for h in (0.5, 1.0, 2.0):
        labels = tree.labels(h)
        assert labels.max() == tree.count(h) == label(labels, connectivity=2).max()
        # Each of the finer cuts lies in one of the coarser.
        assert len(np.unique(np.stack([before.ravel(), labels.ravel()]), axis=1).T) == before.max()
        before = labels
    turned, shifted = component_tree(image[::-1]), component_tree(-3 * image * np.float32(-1) + 7)
    np.testing.assert_array_equal(turned.labels(1.0)[::-1], tree.labels(1.0))
    np.testing.assert_allclose(shifted.persistence, 3 * tree.persistence, atol=1e-5)


def test_what_is_not_valid_parts_the_image():
    image = np.array([[5, 3, np.nan, 2, 9]])
    with pytest.raises(ImageError, match="not finite"):
        component_tree(image)
    tree = component_tree(image, valid=np.isfinite(image))
    assert tree.labels(100).tolist() == [[2, 2, 0, 1, 1]], "parts that do not meet stay two"
    assert tree.persistence.tolist() == [7, 2]
    nothing = component_tree(image, valid=np.zeros((1, 5), bool))
    assert nothing.labels(0).tolist() == [[0] * 5]
    assert nothing.gap() == (0, 1)


def test_a_constant_is_one_basin_and_nonsense_is_refused():
    tree = component_tree(np.full((5, 6), -3.0))
    assert tree.persistence.tolist() == [0]
    assert (tree.labels(1) == 1).all()
    with pytest.raises(ImageError, match="2D or 3D"):
        component_tree(np.zeros(4))
    with pytest.raises(OptionError, match="at least 0"):
        tree.labels(-1)


def bumps(shape, centres, width, noise, seed=0):
    """Return a sum of Gaussian bumps of heights 60 to 100 with noise, and the number of the highest at each pixel."""
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
    parts = [
        h * np.exp(-((grid - c) ** 2).sum(-1) / (2 * width**2))
        for c, h in zip(centres, np.linspace(60, 100, len(centres)))
    ]
    image = np.sum(parts, axis=0)
    truth = np.where(image > 30, np.argmax(parts, axis=0) + 1, 0)
    return (image + np.random.default_rng(seed).normal(0, noise, shape)).astype(np.float32), truth


@pytest.mark.parametrize("noise", [0.0, 3.0])
@pytest.mark.parametrize("polarity", ["bright", "dark"])
def test_the_gap_parts_touching_bumps_from_noise(noise, polarity):
    centres = [(20, 20), (20, 38), (45, 25), (50, 60), (22, 70)]
    image, truth = bumps((70, 90), centres, 6, noise)
    image = image if polarity == "bright" else -image
    found = Persistence(polarity=polarity).run(Scene(image, None, (1.0, 1.0), "px"))
    assert found.n_regions == len(centres)
    assert found.info["gap"] > 3
    assert average_precision(truth, found.labels, 0.6) == 1


def test_volumes_and_given_thresholds():
    image, _ = bumps((24, 30, 40), [(12, 10, 10), (12, 20, 28)], 4, 1.0)
    scene = Scene(image, None, (1.0,) * 3, "px")
    assert Persistence(polarity="bright").run(scene).n_regions == 2
    whole = Persistence(polarity="bright", background="none", threshold=1e6).run(scene)
    assert (whole.labels == 1).all()
    noise = np.random.default_rng(0).normal(size=(40, 40)).astype(np.float32)
    notes = Persistence(polarity="bright", smoothing=0).run(Scene(noise, None, (1.0, 1.0), "px")).notes
    assert any("no clear gap" in n for n in notes)
