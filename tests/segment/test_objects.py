"""Distances round objects, against an exact distance transform."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, label

from segmetry.segment.objects import half_height, surroundings


@pytest.mark.parametrize("share", [0.002, 0.05, 0.5])
@pytest.mark.parametrize("reach", [1.0, 2.5, 6.0])
def test_distances_are_exact_up_to_the_reach_and_labels_are_those_of_a_nearest_object(share, reach):
    rng = np.random.default_rng(int(1000 * share))
    labels = label(rng.random((60, 83)) < share)[0].astype(np.int32)
    labels[labels == 2] = 1  # one object may lie in two places
    found = surroundings(labels, reach)
    exact = distance_transform_edt(labels == 0)
    near = exact <= reach
    np.testing.assert_allclose(found.distance[near], exact[near], rtol=1e-6)
    assert np.isinf(found.distance[~near]).all()
    assert (found.label[~near] == 0).all()
    for k in np.unique(labels[labels > 0]):
        mine = found.label == k
        np.testing.assert_allclose(found.distance[mine], distance_transform_edt(labels != k)[mine], rtol=1e-6)


def test_nothing_is_near_where_there_is_no_object():
    found = surroundings(np.zeros((4, 5), np.int32), 3)
    assert np.isinf(found.distance).all()
    assert not found.label.any()


def test_half_height_keeps_numbers_and_drops_what_is_noise():
    image = np.zeros((40, 90), np.float32)
    image[10:30, 10:30] = 8
    image[10:30, 50:70] = 2
    labels = np.zeros(image.shape, np.int32)
    labels[12:28, 12:28] = 5  # too small by two pixels all round
    labels[10:30, 50:70] = 3  # contrast 2 against a gate of 1.9 * (1 + 5 / 20)
    np.testing.assert_array_equal(half_height(image, labels), 5 * (image > 4) + 3 * (image == 2))
    np.testing.assert_array_equal(half_height(image, labels, gate=1.9), 5 * (image > 4))
