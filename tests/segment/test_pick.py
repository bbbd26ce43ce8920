"""Picking: what stays, and the account of what was dropped."""

from __future__ import annotations

import numpy as np
import pytest

from segmetry.segment.pick import isolated, pick_particles, touching_frame


def scene():
    """Labels: 1 touches the frame, 2 a free disk, 3 a free disk, 4 and 5 a pixel apart, 6 an L."""
    i, j = np.mgrid[:120, :160]
    labels = np.zeros(i.shape, np.int32)
    labels[np.hypot(i - 5, j - 20) <= 12] = 1
    labels[np.hypot(i - 40, j - 60) <= 12] = 2
    labels[np.hypot(i - 40, j - 120) <= 4] = 3
    labels[np.hypot(i - 90, j - 30) <= 10] = 4
    labels[np.hypot(i - 90, j - 52) <= 10] = 5
    labels[80:110, 100:106] = 6
    labels[104:110, 100:140] = 6
    return labels


def test_which_particles_stay():
    labels = scene()
    assert touching_frame(labels).tolist() == [False, True, False, False, False, False, False]
    assert isolated(labels).tolist() == [False, False, True, True, False, False, False]  # 1 is cut by the frame
    for rule, kept in (("all", [1, 2, 3, 4, 5, 6]), ("inside", [2, 3, 4, 5, 6]), ("isolated", [2, 3])):
        picked = pick_particles(labels, rule)
        np.testing.assert_array_equal(picked.labels > 0, np.isin(labels, kept))
        assert np.unique(picked.labels).tolist() == list(range(len(kept) + 1))
        assert picked.picking.n_before == 6
        assert picked.picking.n_kept == len(kept)


def test_the_account_adds_up_and_shows_the_bias():
    labels = np.zeros((600, 600), np.int32)
    i, j = np.mgrid[:600, :600]
    n = 0
    for row in range(30, 600, 60):
        for column in range(30, 600, 60):
            n += 1
            radius = 4 + (n * 37) % 100 / 5  # every column holds all sizes
            labels[np.hypot(i - row, j - column - (14 if column == 570 else 0)) <= radius] = n
    account = pick_particles(labels, "inside").picking
    assert sum(account.n) == account.n_before == n
    assert sum(account.n_dropped) == n - account.n_kept > 0
    share = account.as_dict()["share_dropped"]
    # Small ones do not reach the frame; large ones of the last column do, and their size is what is seen of them.
    assert share[0] == 0
    assert max(share[len(share) // 2 :]) > 0.1
    sizes = 2 * np.sqrt(np.bincount(labels.ravel())[1:] / np.pi)
    counts = np.histogram(sizes, account.edges)[0]
    assert account.n == tuple(counts)


def test_the_frame_is_that_of_the_specimen():
    labels = np.zeros((40, 50), np.int32)
    labels[20:30, 10:20] = 1  # touches the footer
    labels[5:12, 30:40] = 2  # beside a text, not the frame
    valid = np.ones(labels.shape, bool)
    valid[30:] = False
    valid[5:12, 40:45] = False
    assert touching_frame(labels, valid).tolist() == [False, True, False]
    assert touching_frame(labels).tolist() == [False, False, False]


@pytest.mark.parametrize("rule", ["all", "inside", "isolated"])
def test_no_particle_and_one(rule):
    nothing = pick_particles(np.zeros((5, 6), np.int32), rule)
    assert nothing.picking.as_dict()["share_dropped_total"] == 0
    assert nothing.labels.max() == 0
    one = np.zeros((30, 30), np.int32)
    one[10:20, 10:20] = 1
    assert sum(pick_particles(one, rule).picking.n) == 1


def test_what_was_dropped_before_counts_as_dropped_in_its_class():
    labels = np.zeros((200, 200), np.int32)
    for k in range(15):
        labels[10 + 12 * (k // 5) :, :][:10, 20 * (k % 5) + 5 : 20 * (k % 5) + 15] = k + 1
    account = pick_particles(labels, "all", dropped_areas=[4, 4, 4, 4, 4]).picking.as_dict()
    assert (account["n_before"], account["n_kept"], account["share_dropped_total"]) == (20, 15, 0.25)
    assert account["n"] == [5, 15]
    assert account["share_dropped"] == [1.0, 0.0]
