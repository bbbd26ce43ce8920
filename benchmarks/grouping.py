"""Speed of grouping, from maps at half resolution to numbered particles: one thread, processor time, best of n.

The maps are ideal, with noise on the embeddings; the second column says how much of every particle came back.

OMP_NUM_THREADS=1 python benchmarks/grouping.py [--quick]
"""

from __future__ import annotations

import argparse
import resource

import cv2
import numpy as np

from segmetry.segment.grouping import group
from segmetry.segment.ideal import ideal_maps
from timing import best_ms, machine

SEED = 0


def grid_of_disks(shape: tuple[int, int], n_rows: int, n_cols: int, radius: tuple[int, int]) -> np.ndarray:
    """Return labels of disks about the places of a grid; neighbours touch or cover each other here and there."""
    rng = np.random.default_rng(SEED)
    labels = np.zeros(shape, np.int32)
    pitch = shape[0] / n_rows, shape[1] / n_cols
    for k in range(n_rows * n_cols):
        row, col = ((index + 0.5) * p + rng.uniform(-0.1, 0.1) * p for index, p in zip(divmod(k, n_cols), pitch))
        cv2.circle(labels, (round(col), round(row)), int(rng.integers(*radius)), k + 1, -1)
    return labels


def mean_iou(truth: np.ndarray, found: np.ndarray) -> float:
    """Return the mean over true particles of the IoU with the one found that covers most of it."""
    n = int(found.max()) + 1
    pairs, count = np.unique(truth.astype(np.int64) * n + found, return_counts=True)
    t, f = pairs // n, pairs % n
    union = np.bincount(truth.ravel())[t] + np.bincount(found.ravel())[f] - count
    best = np.zeros(int(truth.max()) + 1)
    both = (t > 0) & (f > 0)
    np.maximum.at(best, t[both], count[both] / union[both])
    return float(best[1:].mean())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="no image of 8192 x 8192, fewer runs")
    quick = parser.parse_args().quick
    n = 2 if quick else 5
    print(f"{machine()}, seed {SEED}, best of {n}")
    print("\nmaps to particles                      ms   Mpixel/s   particles   mean IoU   peak memory so far, GB")
    scenes = [
        ("512 x 680, 99 of 10-26 px radius", (512, 680), 9, 11, (10, 27)),
        ("4096 x 4096, 10,000 of 6-18 px", (4096, 4096), 100, 100, (6, 19)),
        ("8192 x 8192, 10,000 of 12-36 px", (8192, 8192), 100, 100, (12, 37)),
    ]
    for title, shape, n_rows, n_cols, radius in scenes[: 2 if quick else 3]:
        truth = grid_of_disks(shape, n_rows, n_cols, radius)
        maps = ideal_maps(truth, shape=(shape[0] // 2, shape[1] // 2))
        maps += np.random.default_rng(SEED).normal(0, 0.2, maps.shape).astype(np.float32)
        elapsed = best_ms(n, lambda maps=maps, shape=shape: group(maps, shape=shape))
        found = group(maps, shape=shape)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        speed = truth.size / elapsed / 1e3
        print(
            f"{title:34} {elapsed:7.1f} {speed:10.1f} {found.n:11} {mean_iou(truth, found.labels):10.3f} {memory:10.2f}"
        )


if __name__ == "__main__":
    main()
