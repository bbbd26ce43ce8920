"""Speed of medians and of the spot cleaners, with the plain ways of scipy and scikit-learn in the same run: one thread,
processor time, best of n.

OMP_NUM_THREADS=1 python benchmarks/spots.py [--quick]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import cv2
import numpy as np
from scipy import ndimage
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits

from segmetry.prepare.medians import disk, median3, ring, window_median
from segmetry.prepare.spots import clean_spots
from segmetry.prepare.spots_classic import clean_median, remove_outliers
from segmetry.prepare.spots_knn import balanced, features, fit_spot_table
from segmetry.synth.radiographs import simulate_radiograph
from timing import best, best_ms, machine

SEED = 0


def show(job: str, ours: float, peer: str = "", theirs: float = 0.0, note: str = "") -> None:
    """Print a line: job, our time, the peer's and the ratio."""
    ratio = f"{peer} {theirs:10.1f} ms {theirs / ours:8.1f} x" if peer else ""
    print(f"{job:44} {ours:8.2f} ms   {ratio}   {note}", flush=True)


def against_scipy(job: str, image: np.ndarray, ours: Callable[[np.ndarray], np.ndarray], window: np.ndarray) -> None:
    """Time a median; scipy runs on an eighth of the image along its first axis, its time is multiplied."""
    part = image[: max(image.shape[0] // 8, 8)]
    scale = image.shape[0] / part.shape[0]
    slow = best(lambda: ndimage.median_filter(part, footprint=window, mode="nearest"), 2) * 1e3 * scale
    if window.all():  # scipy is faster where it is told a size
        slow = min(slow, best(lambda: ndimage.median_filter(part, window.shape, mode="nearest"), 2) * 1e3 * scale)
    show(job, best_ms(5, lambda: ours(image)), "scipy", slow, f"on 1/{scale:.0f}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller images")
    quick = parser.parse_args().quick
    cv2.setNumThreads(1)
    threadpool_limits(1)
    side, deep = (512, 96) if quick else (2048, 192)
    print(f"{machine()}, one thread, CPU time, best of 5, seed {SEED}\n")
    rng = np.random.default_rng(SEED)
    for dtype in (np.uint8, np.uint16, np.float32):
        volume = rng.integers(0, 255, (deep,) * 3).astype(dtype)
        against_scipy(f"median 3 x 3 x 3, {deep}^3 {np.dtype(dtype)}", volume, median3, np.ones((3, 3, 3), bool))
    frame = rng.normal(1000, 30, (side, side)).astype(np.float32)
    for name, window in (
        ("3 x 3", np.ones((3, 3), bool)),
        ("disk of radius 2", disk(2)),
        ("5 x 5 without the middle", ring(5)),
    ):
        against_scipy(f"median {name}, {side}^2 float32", frame, lambda x, w=window: window_median(x, w), window)

    small = simulate_radiograph(seed=SEED, frame_shape=(512, 512), n_open=1, n_dark=1)
    truth = small.spots[0] > 0
    repeat = (side // 512,) * 2
    frame = np.tile(simulate_radiograph(seed=SEED + 1, frame_shape=(512, 512), n_open=1, n_dark=1).frame, repeat)
    print()
    for k, negatives in ((1, 3), (15, 3)):
        table = fit_spot_table([small.frame], [truth], neighbours=k, negatives=negatives, seed=SEED)
        ours = best_ms(5, lambda table=table: table.mask(frame))
        value, distance = features(small.frame)
        chosen = balanced(truth.ravel(), negatives, SEED)
        train = np.column_stack(
            [axis.cells(v.ravel()) for axis, v in ((table.value, value), (table.distance, distance))]
        )
        peer = KNeighborsClassifier(k, n_jobs=1).fit(train[chosen], truth.ravel()[chosen])
        value, distance = features(frame[:512, :512])
        asked = np.column_stack([table.value.cells(value.ravel()), table.distance.cells(distance.ravel())])
        scale = frame.size / len(asked)
        slow = best(lambda peer=peer, asked=asked: peer.predict(asked), 1) * 1e3 * scale
        same = (peer.predict(asked) == table.mask(frame[:512, :512]).ravel()).mean()
        note = f"{chosen.size} training px; on 1/{scale:.0f}; {same:.2%} the same"
        show(f"spot table, {k} neighbours, {side}^2 uint16", ours, "KNeighborsClassifier", slow, note)
    every = KNeighborsClassifier(1, n_jobs=1).fit(train, truth.ravel())
    slow = best(lambda: every.predict(asked[: len(asked) // 8]), 1) * 1e3 * 8 * scale
    show("the same, every training pixel, 1 neighbour", ours, "KNeighborsClassifier", slow, f"{len(train)} training px")
    print()
    for way in (clean_median, remove_outliers, clean_spots):
        show(f"{way.__name__}, {side}^2 uint16", best_ms(3, lambda way=way: way(frame)))


if __name__ == "__main__":
    main()
