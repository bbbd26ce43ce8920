"""Time of finding and reading scale bars, on one core: drawn scenes, and real micrographs where they are.

    taskset -c 0 python benchmarks/scalebar.py [n]

Prints median, 95th percentile and worst of the CPU seconds per image, each image once after one warm-up, and beside it
the time of rapidocr's own pipeline on the whole image (its text detector and recogniser with their defaults, one
thread), which finds texts only.
"""

# ruff: noqa: E402  (threads are set before the libraries load)

from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import logging
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from segmetry.io.scalebar import find_annotations
from segmetry.synth import simulate

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "studies"))
import realdata


def scenes(n: int) -> list[np.ndarray]:
    """Drawn scenes of 512 x 680 px, a third of them with an instrument's footer."""
    styles: list[dict[str, str]] = [
        {"bar": "line"}, {"bar": "ticks"}, {"bar": "box"},
        {"footer": "columns"}, {"footer": "light"}, {"footer": "dots"},
    ]  # fmt: skip
    kinds = ("bf-tem", "haadf-stem", "sem")
    return [
        simulate(kinds[k % 3], seed=k, n=30, frame_shape=(512, 680), **styles[k % len(styles)]).image.pixels
        for k in range(n)
    ]


def micrographs(n: int) -> list[np.ndarray]:
    """Real micrographs, shorter side 512 px, spread over the set."""
    folder = realdata.folder("emps")
    paths = sorted((folder / "images").glob("*.png")) if folder else []
    return [cv2.imread(str(p), cv2.IMREAD_GRAYSCALE) for p in paths[:: max(1, len(paths) // n)][:n]]


def measure(name: str, images: Sequence[np.ndarray], work: Callable[[np.ndarray], object]) -> float:
    """Print and return the median CPU time."""
    work(images[0])
    spent = []
    for image in images:
        start = time.process_time()
        work(image)
        spent.append(time.process_time() - start)
    low, high, worst = np.percentile(spent, (50, 95, 100))
    print(f"{name:48s} n {len(images):3d}  median {low:.3f} s  95 % {high:.3f} s  worst {worst:.3f} s")
    return float(low)


def whole_image_ocr() -> Callable[[np.ndarray], object]:
    """Return rapidocr as it comes, on one thread."""
    from rapidocr import RapidOCR

    logging.disable(logging.WARNING)
    one = {"EngineConfig.onnxruntime.intra_op_num_threads": 1, "EngineConfig.onnxruntime.inter_op_num_threads": 1}
    engine = RapidOCR(params={**one, "Global.log_level": "error"})
    return lambda image: engine(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))


def main() -> None:
    """Run all."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 48
    cv2.setNumThreads(1)
    print(platform.platform(), platform.processor() or platform.machine(), f"OpenCV {cv2.__version__}, one thread")
    start = time.perf_counter()
    find_annotations(np.random.default_rng(0).integers(0, 255, (512, 680), dtype=np.uint8))
    print(f"first image of a process, networks loaded: {time.perf_counter() - start:.2f} s")
    peer = whole_image_ocr()
    for name, images in (("drawn scenes 512 x 680", scenes(n)), ("micrographs, shorter side 512", micrographs(n))):
        if not images:
            print(f"{name}: not here")
            continue
        ours = measure(f"{name}: find_annotations", images, find_annotations)
        theirs = measure(f"{name}: rapidocr, whole image", images[: max(8, n // 4)], peer)
        print(f"{name}: rapidocr takes {theirs / ours:.1f} times as long, and finds no bar")


if __name__ == "__main__":
    main()
