"""A batch: time per image as the batch grows, what all cores gain, and the memory of a worker.

    python benchmarks/batch.py

Simulated bright-field micrographs, 512 x 640 px, 40 particles, with a burned-in bar; the whole of ``segmetry measure``.
"""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from segmetry.io import write_image
from segmetry.synth import simulate

SIZES = (8, 32, 96)


def measure(images: list[Path], out: Path, jobs: int) -> float:
    """Return the wall seconds of one command."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "segmetry", "measure", *map(str, images), "-o", str(out), "--jobs", str(jobs)]
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    cores = os.cpu_count() or 1
    print(f"{platform.machine()}, {cores} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as folder:
        images = []
        for i in range(max(SIZES)):
            scene = simulate("bf-tem", seed=i, frame_shape=(512, 640), n=40, bar="line", calibrated=False)
            images.append(Path(folder) / f"image-{i:03d}.tif")
            write_image(images[-1], scene.image)
        measure(images[:2], Path(folder) / "warm", 1)  # compiles the kernels once
        for jobs in (1, cores):
            start_up = measure(images[:1], Path(folder) / f"one-{jobs}", 1)
            for n in SIZES:
                seconds = measure(images[:n], Path(folder) / f"out-{jobs}-{n}", jobs)
                each = 1000 * (seconds - start_up) / (n - 1)
                print(f"{jobs} jobs, {n:3d} images: {seconds:6.1f} s, {each:5.0f} ms each")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"largest process: {peak:.0f} MiB")


if __name__ == "__main__":
    main()
