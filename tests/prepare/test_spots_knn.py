"""The table of nearest neighbours against the neighbours themselves, its scales, and input it cannot learn from."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from segmetry.errors import ImageError, OptionError, ShapeMismatchError
from segmetry.prepare.spots_knn import SIDE, Axis, balanced, bivariate_histogram, features, fit_spot_table
from segmetry.synth.radiographs import simulate_radiograph


@pytest.fixture(scope="module")
def scene():
    return simulate_radiograph(seed=2, frame_shape=(160, 160), n_open=1, n_dark=1)


@pytest.fixture(scope="module")
def table(scene):
    return fit_spot_table([scene.frame], [scene.spots[0] > 0], neighbours=5, seed=1)


def test_features_by_hand():
    frame = np.full((5, 5), 4.0)
    frame[2, 2] = 10
    value, distance = features(frame)
    assert value[2, 2] == 10
    assert distance[2, 2] == 6
    assert distance.sum() == 6


def test_an_axis_spreads_its_values_evenly():
    values = np.random.default_rng(0).lognormal(5, 1, 40000).astype(np.float32)
    axis = Axis.of(values)
    counts = np.bincount(axis.cells(values), minlength=SIDE)
    assert np.abs(counts[:-60] - values.size / SIDE).max() < 0.5 * values.size / SIDE
    assert (np.diff(axis.edges) >= 0).all()
    for cell in (10, 200, 400):
        inside = axis.cells(values) == cell
        assert values[inside].min() >= axis.edges[cell] - axis.step
        assert values[inside].max() <= axis.edges[cell + 1] + axis.step
    assert axis.cells(np.array([-1e9, 1e9])).tolist() == [axis.cell[0], SIDE - 1]


def test_the_table_says_what_the_neighbours_say(scene, table):
    value, distance = features(scene.frame)
    truth = (scene.spots[0] > 0).ravel()
    at = np.column_stack([table.value.cells(value.ravel()), table.distance.cells(distance.ravel())])
    chosen = balanced(truth, 3, 1)
    peer = KNeighborsClassifier(5).fit(at[chosen], truth[chosen])
    share = (peer.predict(at) == table.mask(scene.frame).ravel()).mean()
    assert share > 0.995  # neighbours at the same distance may be taken in another order


def test_balanced_draws_all_spots_and_so_many_others():
    truth = np.zeros(1000, bool)
    truth[::50] = True
    chosen = balanced(truth, 3, 0)
    assert truth[chosen].sum() == 20
    assert chosen.size == 80
    assert np.unique(chosen).size == 80


def test_a_table_finds_spots_of_another_frame(table):
    other = simulate_radiograph(seed=3, frame_shape=(160, 160), n_open=1, n_dark=1)
    bright = (other.spots[0] > 0) & (other.deposit[0] > 4000)
    cleaned, replaced = table.clean(other.frame)
    assert (replaced & bright).sum() > 0.95 * bright.sum()
    assert cleaned.max() < other.frame.max()
    np.testing.assert_array_equal(cleaned[~replaced], other.frame[~replaced])
    assert table.mask(other.frame, level=0.99).sum() < replaced.sum()


def test_the_histogram_counts_every_pixel(scene, table):
    spots = scene.spots[0] > 0
    whole, part = bivariate_histogram(scene.frame, table), bivariate_histogram(scene.frame, table, spots)
    assert whole.sum() == spots.size
    assert part.sum() == spots.sum()
    assert (part <= whole).all()
    # Spots lie where the distance is large.
    assert np.average(np.arange(SIDE), weights=part.sum(axis=0)) > np.average(
        np.arange(SIDE), weights=whole.sum(axis=0)
    )


def test_bad_input(scene, table):
    none = np.zeros(scene.frame.shape, bool)
    with pytest.raises(ImageError, match="learns from both"):
        fit_spot_table([scene.frame], [none])
    with pytest.raises(ShapeMismatchError, match="one mask"):
        fit_spot_table([scene.frame], [none[:9]])
    with pytest.raises(ShapeMismatchError, match="one mask"):
        fit_spot_table([], [])
    with pytest.raises(OptionError, match="at least 1"):
        fit_spot_table([scene.frame], [none], neighbours=0)
    with pytest.raises(ShapeMismatchError, match="same window"):
        bivariate_histogram(scene.frame, table, none[:9])
    for wrong in (np.zeros((2, 9, 9)), np.full((9, 9), np.nan), np.zeros((2, 9))):
        with pytest.raises(ImageError):
            table.mask(wrong)
    holes = np.where(np.eye(30) > 0, np.nan, 500.0)
    assert (table.clean(holes).replaced >= np.isnan(holes)).all()
    frame = np.full((9, 9), 7.0)
    flat = fit_spot_table([frame], [np.eye(9, dtype=bool)])  # nothing to tell apart: an answer all the same
    assert flat.mask(frame).shape == (9, 9)
