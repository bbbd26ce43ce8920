"""The loss of BPartIS against a slow re-derivation by its formulas, and its slope against finite differences."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")


def scene(seed=0, shape=(12, 15), n_images=2):
    """Return random maps and labels with touching particles, one of a single pixel, one in two pieces."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((n_images, *shape), np.int64)
    labels[0, 1:5, 1:6], labels[0, 5:9, 2:7], labels[0, 10, 13] = 4, 7, 9
    labels[0, 9:11, 0:2] = 4
    labels[-1, 2:9, 3:12] = 1
    maps = rng.normal(0, 1, (n_images, 5, *shape))
    maps[:, :2] *= 0.1
    maps[:, 2:4] = 0.3 + 0.05 * maps[:, 2:4]
    return maps, labels


def jaccard_loss(wrong, member):
    """Return 1 - intersection / union of a set of members of which those `wrong` are misjudged."""
    judged = member ^ wrong
    return 1 - np.sum(judged & member) / np.sum(judged | member)


def hinge(logits, member):
    """Return the Lovász extension of the Jaccard loss at the hinge errors: the integral over its level sets."""
    errors = np.maximum(1 - logits * np.where(member, 1, -1), 0)
    levels = np.unique(np.append(errors, 0))
    return sum((upper - lower) * jaccard_loss(errors >= upper, member) for lower, upper in pairwise(levels))


def slow_loss(maps, labels):
    """Return instance, spread and seed parts by the formulas, over all pixels, one image after the other."""
    parts = []
    for (ox, oy, sx, sy, seed), truth in zip(maps, labels, strict=True):
        height, width = truth.shape
        ex = np.tanh(ox) + np.arange(width)[None] / (width - 1)
        ey = np.tanh(oy) + np.arange(height)[:, None] / (height - 1)
        p = 1 / (1 + np.exp(-seed))
        instance, spread, seeds = [], [], (p[truth == 0] ** 2).sum()
        for k in set(truth.ravel()) - {0}:
            inside = truth == k
            cx, cy, ax, ay = (a[inside].mean() for a in (ex, ey, sx, sy))
            phi = np.exp(-((ex - cx) ** 2) * np.exp(10 * ax) - (ey - cy) ** 2 * np.exp(10 * ay))
            instance.append(hinge(2 * phi - 1, inside))
            spread.append(((sx[inside] - ax) ** 2).mean() / 2 + ((sy[inside] - ay) ** 2).mean() / 2)
            seeds += 10 * ((p - phi)[inside] ** 2).sum()
        parts.append((np.mean(instance or [0]), np.mean(spread or [0]), seeds / truth.size))
    return np.mean(parts, axis=0)


def loss(maps, labels):
    from segmetry.train.bpartis_loss import bpartis_loss

    return bpartis_loss(maps, torch.from_numpy(labels))


@pytest.mark.parametrize("seed", range(5))
def test_it_equals_a_slow_derivation_from_the_formulas(seed):
    maps, labels = scene(seed)
    found = loss(torch.from_numpy(maps), labels)
    instance, spread, seeds = slow_loss(maps, labels)
    np.testing.assert_allclose([float(v) for v in found], [instance, spread, seeds], rtol=1e-9)
    assert float(found.total) == pytest.approx(instance + 10 * spread + seeds, rel=1e-9)


def test_single_precision_gives_the_same():
    maps, labels = scene(3)
    found = loss(torch.from_numpy(maps.astype(np.float32)), labels)
    np.testing.assert_allclose([float(v) for v in found], slow_loss(maps, labels), rtol=1e-5)


def test_far_pixels_that_are_left_out_do_not_matter():
    # sigma 1: all but a few pixels around each centre are beyond the resolution of single precision.
    maps, labels = scene(1, shape=(64, 64))
    maps[:, 2:4] += 0.7
    found = loss(torch.from_numpy(maps.astype(np.float32)), labels)
    np.testing.assert_allclose([float(v) for v in found], slow_loss(maps, labels), rtol=1e-5)


def test_an_image_without_particles_teaches_the_seed_map_only():
    maps, labels = scene()
    found = loss(torch.from_numpy(maps), np.zeros_like(labels))
    assert float(found.instance) == float(found.spread) == 0
    assert float(found.seed) == pytest.approx(np.mean(1 / (1 + np.exp(-maps[:, 4])) ** 2), rel=1e-12)
    empty = torch.from_numpy(maps).requires_grad_()
    loss(empty, np.zeros_like(labels)).total.backward()
    assert torch.isfinite(empty.grad).all()
    assert (empty.grad[:, :4] == 0).all()


def kept_bytes(n):
    """Return how many bytes the loss keeps for its slope, of n particles that have the whole image near to them."""
    labels = np.zeros((1, 64, 64), np.int64)
    labels[0, 0, :n] = np.arange(1, n + 1)
    maps = torch.zeros(1, 5, 64, 64).requires_grad_()  # sigma 0: a particle is as wide as the image
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = tensor, storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        value = loss(maps, labels).total
    assert value.requires_grad
    return sum(size for _, size in kept.values())


def test_a_wide_particle_costs_little_memory():
    # Two masks of one byte a pixel each, and what is of the size of the particle; not 50 bytes a pixel.
    assert (kept_bytes(40) - kept_bytes(20)) / 20 < 2 * 64 * 64 + 100


def test_the_slope_is_that_of_finite_differences():
    maps, labels = scene(2)
    from segmetry.train.bpartis_loss import bpartis_loss

    def held(maps, fixed):
        """Return the total with means of sigma and phi of the seed map held at `fixed`, as the loss holds them."""
        total = bpartis_loss(maps, torch.from_numpy(labels)).instance
        for image, fixed_image, truth in zip(maps, fixed, torch.from_numpy(labels), strict=True):
            numbers = [k for k in truth.unique().tolist() if k]
            height, width = truth.shape
            place = torch.stack(
                torch.meshgrid(
                    torch.linspace(0, 1, width, dtype=torch.float64),
                    torch.linspace(0, 1, height, dtype=torch.float64),
                    indexing="xy",
                )
            )
            e = torch.tanh(fixed_image[:2]) + place
            seed = torch.sigmoid(image[4])
            goal = torch.zeros_like(seed)
            for k in numbers:
                inside = truth == k
                s = fixed_image[2:4, inside].mean(1)
                distance = (e - e[:, inside].mean(1)[:, None, None]).square()
                goal[inside] = torch.exp(-(distance * torch.exp(10 * s)[:, None, None]).sum(0))[inside]
                total = total + 10 * (image[2:4, inside] - s[:, None]).square().mean() / len(numbers) / len(maps)
            weight = torch.where(truth > 0, 10.0, 1.0)
            total = total + (weight * (seed - goal).square()).mean() / len(maps)
        return total

    at = torch.from_numpy(maps).requires_grad_()
    loss(at, labels).total.backward()
    fixed, step = torch.from_numpy(maps.copy()), 1e-6
    assert float(held(fixed, fixed)) == pytest.approx(float(loss(fixed, labels).total), rel=1e-12)
    rng = np.random.default_rng(0)
    for _ in range(40):
        where = tuple(int(rng.integers(n)) for n in maps.shape)
        ends = []
        for sign in (1, -1):
            moved = fixed.clone()
            moved[where] += sign * step
            ends.append(float(held(moved, fixed)))
        assert float(at.grad[where]) == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-4, abs=2e-8)


def test_ideal_maps_have_almost_no_loss():
    labels = np.zeros((1, 64, 64), np.int64)
    labels[0, 5:20, 8:30], labels[0, 20:50, 20:28] = 1, 2
    maps = np.zeros((1, 5, 64, 64))
    place = np.arange(64) / 63
    for k in (1, 2):
        rows, cols = np.nonzero(labels[0] == k)
        maps[0, 0, rows, cols] = np.arctanh(place[cols].mean() - place[cols])
        maps[0, 1, rows, cols] = np.arctanh(place[rows].mean() - place[rows])
    maps[0, :2, labels[0] == 0] = 2.0  # background points out of the image
    maps[0, 2:4] = 1.0
    maps[0, 4] = np.where(labels[0] > 0, 20, -20)
    found = loss(torch.from_numpy(maps), labels)
    assert float(found.total) < 1e-6
    maps[0, 4] *= -1
    assert float(loss(torch.from_numpy(maps), labels).seed) > 0.9


def test_a_batch_is_the_mean_of_its_images():
    maps, labels = scene(4)
    both = [float(v) for v in loss(torch.from_numpy(maps), labels)]
    singles = [[float(v) for v in loss(torch.from_numpy(maps[i : i + 1]), labels[i : i + 1])] for i in range(2)]
    np.testing.assert_allclose(both, np.mean(singles, axis=0), rtol=1e-12)
