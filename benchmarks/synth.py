"""Time simulated scenes, from options to image, labels and table of truth, on one thread.

Run: python benchmarks/synth.py
"""

from __future__ import annotations

import platform
import time

import cv2
from threadpoolctl import threadpool_limits

from segmetry.synth import scenes, simulate

cv2.setNumThreads(1)
threadpool_limits(1)

_BIG = {"frame_shape": (1024, 1024), "n": 200}
_MIXED = {"sphere": 1, "rod": 1, "cube": 1, "irregular": 1}
CASES = {
    "BF TEM, 1024 x 1024, 200 spheres": {**_BIG},
    "SEM, 1024 x 1024, 200 of four shapes, carbon, bar": {
        **_BIG, "kind": "sem", "shapes": _MIXED, "support": "carbon", "bar": "line",
    },
    "HAADF, 1024 x 1024, 200 in agglomerates": {
        **_BIG, "kind": "haadf-stem", "arrangement": "agglomerates", "median_diameter": 10.0,
    },
    "BF TEM, 4096 x 4096, 20,000 spheres": {
        "frame_shape": (4096, 4096), "n": 20000, "median_diameter": 8.0, "bits": 16,
    },
}  # fmt: skip


def main() -> None:
    """Print the least CPU time of each case."""
    print(f"{platform.machine()}, Python {platform.python_version()}; least CPU seconds of n runs, seed 1")
    simulate(n=1)  # imports
    for name, options in CASES.items():
        times, runs = [], 1 if options["n"] == 20000 else 5
        for _ in range(runs):
            before = time.process_time()
            scene = simulate(seed=1, **options)
            times.append(time.process_time() - before)
        print(f"{min(times):7.2f} s  {name} (n={runs}; {len(scene.truth)} particles)")
    before = time.process_time()
    n = sum(1 for _ in scenes(40, seed=1))
    print(f"{(time.process_time() - before) / n:7.2f} s  mean of {n} varied random scenes")


if __name__ == "__main__":
    main()
