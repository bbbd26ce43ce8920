"""How long the judge takes for 99 micrographs like those of EMPS, every score and 1,000 resamples, on one core.

    python benchmarks/judge.py [--images 99] [--seed 0]

Truths are synthetic scenes of 512 x 620 with 1 to 150 particles (as in EMPS: median 8 to 12, some with hundreds); the
predictions are the truths with every fifth object dropped and the rest moved by one pixel.
"""

from __future__ import annotations

import argparse
import time

import cv2
import numba
import numpy as np
from threadpoolctl import threadpool_limits

from segmetry.evaluate import combine, judge
from timing import machine

cv2.setNumThreads(1)
numba.set_num_threads(1)
threadpool_limits(1)


def scene(seed: int) -> np.ndarray:
    """Return labels of disks that may touch, as many as an EMPS image has."""
    rng = np.random.default_rng(seed)
    n = int(np.clip(rng.lognormal(np.log(12), 1.2), 1, 150))
    labels = np.zeros((512, 620), np.int32)
    size = np.sqrt(0.25 * labels.size / n / np.pi)
    for number in range(1, n + 1):
        centre = (int(rng.integers(0, 620)), int(rng.integers(0, 512)))
        axes = (size * rng.lognormal(0, 0.2, 2)).clip(3).astype(int)
        cv2.ellipse(labels, centre, tuple(map(int, axes)), float(rng.uniform(0, 180)), 0, 360, number, -1)
    return labels


def worse(labels: np.ndarray) -> np.ndarray:
    """Return what a middling method would have found."""
    return np.roll(np.where(labels % 5 == 4, 0, labels), 1, axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=99)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    truths = [scene(chosen.seed + k) for k in range(chosen.images)]
    found = [worse(t) for t in truths]
    judge(truths[0], found[0])  # compiled and loaded
    print(f"{machine()}, one thread, seed {chosen.seed}")
    n = [int(t.max()) for t in truths]
    print(f"{chosen.images} images of 512 x 620, {sum(n)} objects (median {int(np.median(n))} an image)")
    start, cpu = time.perf_counter(), time.process_time()
    images = [judge(t, p, name=str(k)) for k, (t, p) in enumerate(zip(truths, found))]
    judged, judged_cpu = time.perf_counter() - start, time.process_time() - cpu
    estimates = combine(images, groups=[str(k // 2) for k in range(chosen.images)], n_resamples=1000)
    whole, whole_cpu = time.perf_counter() - start, time.process_time() - cpu
    n_scores = sum(len(s) for s in estimates.values())
    each = judged_cpu / len(images) * 1e3
    print(f"scores of the images  {judged:6.2f} s wall {judged_cpu:6.2f} s core, {each:.1f} ms an image")
    print(f"with 1,000 resamples  {whole:6.2f} s wall {whole_cpu:6.2f} s core, {n_scores} scores with intervals")


if __name__ == "__main__":
    main()
