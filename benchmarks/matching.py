"""Speed of matching thousands of objects, with stardist and cellpose in the same run: one thread, processor time, best
of n.

OMP_NUM_THREADS=1 python benchmarks/matching.py [--quick]

Neither peer is a dependency: run it in an environment that has them, or only our rows are printed. All of them get the
same int32 label images, and their first call, which compiles, is not timed.
"""

from __future__ import annotations

import argparse
import importlib
from typing import Any

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from segmetry.evaluate.instances import average_precision, match, score_instances
from segmetry.evaluate.objects import object_outcomes
from segmetry.evaluate.overlap import contingency
from timing import best_ms, machine

threadpool_limits(1)
SEED = 0


def scene(side: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return n true and n predicted discs, int32, numbered in another order.

    Discs stand on a jittered grid and some touch. Of the predicted ones each is moved and resized a little; a tenth of
    the true ones is missed, and as many are invented elsewhere.
    """
    rng = np.random.default_rng(SEED)
    k = int(np.ceil(np.sqrt(1.2 * n)))
    pitch = side / k
    cells = rng.permutation(k * k)[: n + n // 10]
    truth, prediction = np.zeros((2, side, side), np.int32)
    names = rng.permutation(len(cells)) + 1
    for i, cell in enumerate(cells):
        centre = (np.array([cell % k, cell // k]) + 0.5 + rng.uniform(-0.15, 0.15, 2)) * pitch
        radius = rng.uniform(0.3, 0.5) * pitch
        if i < n:
            cv2.circle(truth, tuple(int(c) for c in centre), int(radius), i + 1, -1)
        if i >= n // 10:
            moved = tuple(int(c) for c in centre + rng.normal(0, 0.03 * pitch, 2))
            cv2.circle(prediction, moved, int(radius * rng.uniform(0.85, 1.15)), int(names[i]), -1)
    return truth, prediction


def peer(module: str, name: str) -> Any:
    """Return a function of another library, or None where it is not installed."""
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError:
        return None


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smaller image, fewer runs")
    quick = parser.parse_args().quick
    side, n, runs = (1024, 300, 5) if quick else (4096, 5000, 15)
    truth, prediction = scene(side, n)
    print(f"{machine()}, seed {SEED}, best of {runs}")
    counts = [len(np.unique(labels)) - 1 for labels in (truth, prediction)]
    print(f"{side} x {side} int32, {counts[0]} true and {counts[1]} predicted objects, core-ms")

    fused = {
        "both arrays compared, nothing else (numpy)": lambda: (truth == prediction).all(),
        "contingency": lambda: contingency(truth, prediction),
        "match at IoU .5": lambda: match(truth, prediction),
        "AP at ten levels": lambda: average_precision(truth, prediction, np.arange(10, 20) / 20),
        "score_instances: every score": lambda: score_instances(truth, prediction),
        "contingency, two classes": lambda: contingency(*classes),
    }
    classes = (truth > 0).astype(np.int32), (prediction > 0).astype(np.int32)
    ours = {what: best_ms(runs, work) for what, work in fused.items()}
    for what, took in ours.items():
        print(f"  segmetry {what:46s} {took:9.1f}")
    print(f"  segmetry {'object_outcomes':46s} {best_ms(1, lambda: object_outcomes(truth, prediction)):9.1f}")

    matching, precision = peer("stardist.matching", "matching"), peer("cellpose.metrics", "average_precision")
    rows: list[tuple[str, str, Any]] = []
    if matching:
        rows.append(
            ("stardist matching, thresh .5", "match at IoU .5", lambda: matching(truth, prediction, thresh=0.5))
        )
    if precision:
        for what, levels in (("match at IoU .5", [0.5]), ("AP at ten levels", list(np.arange(10, 20) / 20))):
            work = lambda levels=levels: precision(truth, prediction, threshold=levels)  # noqa: E731
            rows.append((f"cellpose average_precision, {len(levels)} level(s)", what, work))
    for what, beside, work in rows:
        took = best_ms(1 if quick else 3, work)
        print(f"  {what:55s} {took:9.1f}  {took / ours[beside]:6.0f} times {beside}")
    if matching:
        theirs = matching(truth, prediction, thresh=0.5)
        assert theirs.tp == match(truth, prediction).iou.size, "the two do not agree"
    if precision:
        theirs = precision(truth, prediction, threshold=[0.5])[0]
        assert np.allclose(theirs, average_precision(truth, prediction, 0.5)), "the two do not agree"


if __name__ == "__main__":
    main()
