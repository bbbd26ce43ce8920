"""Large images: tiles leave no trace in the particles, and sizes may differ by a factor of twenty in one image."""

import cv2
import numpy as np
import pytest

from segmetry.io.model_folder import shipped_models
from segmetry.segment import engine
from segmetry.segment.run import segment

pytestmark = pytest.mark.skipif("particles" not in shipped_models(), reason="no trained model in this copy")


def micrograph(labels, seed=0):
    """Return dark particles with noise."""
    image = cv2.GaussianBlur(np.where(labels > 0, 80, 170).astype(np.float32), (0, 0), 1)
    return np.clip(image + np.random.default_rng(seed).normal(0, 8, labels.shape), 0, 255).astype(np.uint8)


def crowd(shape, pitch, radius):
    """Return labels of disks about the places of a grid; some touch their neighbour."""
    labels, rng = np.zeros(shape, np.int32), np.random.default_rng(0)
    for row in np.arange(pitch / 2, shape[0], pitch):
        for col in np.arange(pitch / 2, shape[1], pitch):
            at = np.round(np.array([col, row]) + rng.uniform(-0.2, 0.2, 2) * pitch).astype(int)
            cv2.circle(labels, at.tolist(), int(rng.uniform(*radius)), int(labels.max()) + 1, -1)
    return labels


def best_iou(truth, found):
    """Return for each true particle the IoU with the found one that fits it best."""
    n = int(found.max()) + 1
    pairs, count = np.unique(truth.astype(np.int64) * n + found, return_counts=True)
    t, f = pairs // n, pairs % n
    union = np.bincount(truth.ravel())[t] + np.bincount(found.ravel())[f] - count
    best, both = np.zeros(int(truth.max()) + 1), (t > 0) & (f > 0)
    np.maximum.at(best, t[both], count[both] / union[both])
    return best[1:]


def tiled_and_whole(monkeypatch, image, memory, **options):
    """Return labels from small windows of the network and from one, and how many windows there were."""
    whole = segment(image, "particles", options=options)
    counts, plain = [], engine.windows

    def counted(*given):
        found = list(plain(*given))
        counts.append(len(found))
        return found

    monkeypatch.setattr(engine, "MEMORY", memory)
    monkeypatch.setattr(engine, "windows", counted)
    return segment(image, "particles", options=options), whole, max(counts)


def test_tiles_leave_no_trace(monkeypatch):
    image = micrograph(crowd((900, 1000), 50, (14, 20)))
    tiled, whole, n_windows = tiled_and_whole(monkeypatch, image, 8e7, turns=1, refine=False)
    assert 1 < n_windows < 6
    assert whole.n_regions > 120
    np.testing.assert_array_equal(tiled.labels, whole.labels)


@pytest.mark.slow
def test_tiles_leave_no_trace_in_disks_chains_and_a_rod_across_all_of_them(monkeypatch):
    labels = crowd((1500, 1800), 75, (20, 33))
    cv2.line(labels, (300, 850), (1200, 640), 0, 90)
    cv2.line(labels, (300, 850), (1200, 640), int(labels.max()) + 1, 40)
    for k in range(14):  # a chain across the image's middle
        cv2.circle(labels, (880 + 6 * (k % 2), 60 + 44 * k), 23, int(labels.max()) + 1, -1)
    image = micrograph(labels)
    tiled, whole, n_windows = tiled_and_whole(monkeypatch, image, 1.1e8)
    assert n_windows > 3
    assert whole.n_regions > 300
    np.testing.assert_array_equal(tiled.labels, whole.labels)
    np.testing.assert_array_equal(tiled.scores, whole.scores)
    np.testing.assert_array_equal(tiled.probability, whole.probability)


@pytest.mark.slow
@pytest.mark.parametrize("pitch", [90, 180])
def test_three_particles_of_900_px_among_many_of_40(pitch):
    labels = crowd((3000, 3000), pitch, (19, 21))
    centres = ((600, 700), (2200, 800), (1200, 2300))
    for centre in centres:
        cv2.circle(labels, centre, 480, 0, -1)
    _, labels = np.unique(labels, return_inverse=True)
    labels = labels.reshape(3000, 3000).astype(np.int32)
    n_small = int(labels.max())
    for k, centre in enumerate(centres):
        cv2.circle(labels, centre, 450, n_small + k + 1, -1)
    iou = best_iou(labels, segment(micrograph(labels), "particles", options={"turns": 1}).labels)
    assert iou[n_small:].min() > 0.85
    assert np.mean(iou[:n_small] > 0.5) > 0.95
