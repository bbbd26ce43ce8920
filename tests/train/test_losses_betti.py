"""Persistence against brute force at pairs of levels, its matching against an assignment solver, the loss by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

torch = pytest.importorskip("torch")
from segmetry.measure.topology import betti_numbers  # noqa: E402
from segmetry.train.losses import LOSSES  # noqa: E402
from segmetry.train.losses.betti import diagram, match  # noqa: E402

pytestmark = pytest.mark.torch

CORNERS, SIDES = np.ones((3, 3)), ndimage.generate_binary_structure(2, 1)


def dots_of(values, known=None):
    """Return pieces and holes as rows of birth and death; a piece that stays dies at -inf."""
    known = np.ones(values.shape, bool) if known is None else known
    flat = values.ravel()
    return [
        np.column_stack([flat[d.birth], np.where(d.death < 0, -np.inf, flat[d.death])]) for d in diagram(values, known)
    ]


def pieces_that_last(values, known, high, low):
    """Return how many pieces of ``values >= low`` hold a pixel of ``values >= high``."""
    labels, _ = ndimage.label((values >= low) & known, CORNERS)
    return np.unique(labels[(values >= high) & known]).size


def holes_that_last(values, known, high, low):
    """Return how many holes of ``values >= high`` still are open at ``low``: they hold a pixel below it."""
    labels, _ = ndimage.label(np.pad((values < high) | ~known, 1, constant_values=True), SIDES)
    outside = np.unique(np.append(labels[np.pad(~known, 1)], labels[0, 0]))
    labels = labels[1:-1, 1:-1]
    return np.setdiff1d(labels[(values < low) & known], np.append(outside, 0)).size


@pytest.mark.parametrize("seed", range(12))
def test_diagrams_hold_what_lasts_between_any_two_levels(seed):
    rng = np.random.default_rng(seed)
    values = rng.random((9, 10)) if seed % 2 else rng.integers(0, 5, (9, 10)) / 4  # with many ties, too
    known = rng.random(values.shape) > (0.15 if seed % 3 == 0 else 0)
    pieces, holes = dots_of(values, known)
    levels = np.unique(values)
    for high in levels[::3]:
        for low in levels[levels <= high][::2]:
            for dots, last in ((pieces, pieces_that_last), (holes, holes_that_last)):
                got = np.count_nonzero((dots[:, 0] >= high) & (dots[:, 1] < low))
                assert got == last(values, known, high, low)


@pytest.mark.parametrize("seed", range(6))
def test_dots_of_masks_are_betti_numbers(seed):
    rng = np.random.default_rng(seed)
    mask = ndimage.gaussian_filter(rng.normal(size=(40, 50)), 1.2) > 0
    pieces, holes = dots_of(mask.astype(np.float32))
    assert (len(pieces), len(holes)) == betti_numbers(mask)[:2]


def test_diagram_by_hand():
    # Two hills, .9 and .7, over a saddle of .4; the left one has a pit of .2 in it, whose rim is .6.
    values = np.array(
        [
            [0.6, 0.8, 0.9, 0.1, 0.1],
            [0.65, 0.2, 0.85, 0.4, 0.7],
            [0.62, 0.63, 0.8, 0.1, 0.1],
        ]
    )
    pieces, holes = dots_of(values)
    assert sorted(map(tuple, pieces)) == [(0.7, 0.4), (0.9, -np.inf)]
    assert [tuple(h) for h in holes] == [(0.63, 0.2)]  # the rim closes over the corner of .65 and .63


def cost_of(b, d, matched):
    return np.where(matched, (1 - b) ** 2 + d**2, (b - d) ** 2 / 2).sum()


@pytest.mark.parametrize("seed", range(8))
def test_the_matching_is_the_cheapest(seed):
    rng = np.random.default_rng(seed)
    values = rng.random((12, 12))
    dots, _ = diagram(values, np.ones(values.shape, bool))
    b = values.ravel()[dots.birth]
    d = np.where(dots.death < 0, 0, values.ravel()[dots.death])
    for n in range(6):
        got = match(dots, values, n)
        # Rows are true dots: each takes one dot, which then does not pay its way to the diagonal.
        change = np.tile((1 - b) ** 2 + d**2 - (b - d) ** 2 / 2, (n, 1))
        _, chosen = linear_sum_assignment(change)
        assert got.sum() == n
        assert cost_of(b, d, got) == pytest.approx(cost_of(b, d, np.isin(np.arange(b.size), chosen)), rel=1e-12)


def logit(p):
    return torch.logit(torch.as_tensor(np.asarray(p), dtype=torch.float64))[None, None]


def test_the_loss_by_hand():
    # True: one piece. Predicted: two, of .9 and .7 with a saddle of .4. No hole anywhere.
    p = np.full((3, 7), 0.05)
    p[1, 1:6] = [0.9, 0.6, 0.4, 0.5, 0.7]
    y = torch.zeros(1, 3, 7, dtype=torch.int64)
    y[0, 1, 1:6] = 1
    values = logit(p).requires_grad_()
    loss = LOSSES["betti"](values, y)
    assert loss.item() == pytest.approx((1 - 0.9) ** 2 + (0.7 - 0.4) ** 2 / 2, rel=1e-12)
    loss.backward()
    slope = values.grad[0, 0].numpy()
    critical = np.argwhere(slope).tolist()
    assert critical == [[1, 1], [1, 3], [1, 5]]
    assert slope[1, 1] < 0  # up the hill
    assert slope[1, 3] < 0  # and the saddle: the two become one
    assert slope[1, 5] > 0


def test_a_missing_hole_is_dug_and_a_wrong_one_filled():
    y = torch.zeros(1, 7, 7, dtype=torch.int64)
    y[0, 1:6, 1:6] = 1
    y[0, 3, 3] = 0
    p = np.where(y[0] == 1, 0.9, 0.1)
    p[3, 3] = 0.8  # hardly a hole
    p[2, 2] = 0.95
    values = logit(p).requires_grad_()
    LOSSES["betti"](values, y).backward()
    assert values.grad[0, 0, 3, 3] > 0  # down with it
    y[0, 3, 3] = 1
    values.grad = None
    LOSSES["betti"](values, y).backward()
    assert values.grad[0, 0, 3, 3] < 0  # up with it


def test_following_the_slope_mends_the_topology():
    rng = np.random.default_rng(0)
    y = np.zeros((32, 32), int)
    y[6:26, 6:26] = 1
    y[12:20, 12:20] = 0  # a ring
    p = np.where(y, 0.8, 0.2) + rng.normal(0, 0.05, y.shape)
    p[14:17, 20:26] = 0.3  # cut
    p[2:4, 28:30] = 0.7  # and a spurious dot
    assert betti_numbers(p > 0.5)[:2] == (2, 0)
    values = logit(p.clip(0.02, 0.98)).requires_grad_()
    optimiser = torch.optim.Adam([values], lr=0.05)
    first = None
    for _ in range(200):
        optimiser.zero_grad()
        loss = LOSSES["betti"](values, torch.from_numpy(y)[None])
        first = first or loss.item()
        loss.backward()
        optimiser.step()
    assert betti_numbers(values[0, 0].detach().numpy() > 0)[:2] == (1, 1)
    assert loss.item() < 0.05 * first


def test_patches_are_averaged_and_do_not_see_each_other():
    rng = np.random.default_rng(1)
    values = torch.from_numpy(rng.normal(0, 2, (2, 1, 20, 28)))
    y = torch.from_numpy((ndimage.gaussian_filter(rng.normal(size=(2, 20, 28)), (0, 2, 2)) > 0).astype(np.int64))
    parts = [
        LOSSES["betti"](values[i : i + 1, :, r : r + 16, c : c + 16], y[i : i + 1, r : r + 16, c : c + 16]).item()
        for i in (0, 1) for r in (0, 16) for c in (0, 16)
    ]  # fmt: skip
    assert LOSSES["betti"](values, y, side=16).item() == pytest.approx(np.mean(parts), rel=1e-12)


def test_true_pieces_that_the_map_cannot_match_cost_a_half_each():
    y = torch.zeros(1, 3, 7, dtype=torch.int64)
    y[0, 1, [1, 3, 5]] = 1
    flat = torch.full((1, 1, 3, 7), 0.0, dtype=torch.float64)  # one piece of .5
    assert LOSSES["betti"](flat, y).item() == pytest.approx(0.25 + 2 * 0.5, rel=1e-12)
