"""How long ``import segmetry`` and ``segmetry --help`` take, in fresh processes, beside importing a peer.

    python benchmarks/startup.py

The promise: under 0.15 s and 0.4 s, and neither loads torch, pandas or matplotlib (a test looks at that).
"""

from __future__ import annotations

import platform
import subprocess
import sys
import time

RUNS = 9

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import segmetry": [sys.executable, "-c", "import segmetry"],
    "segmetry --help": [sys.executable, "-m", "segmetry", "--help"],
    "segmetry measure --help": [sys.executable, "-m", "segmetry", "measure", "--help"],
    "skimage regionprops (peer)": [sys.executable, "-c", "from skimage.measure import regionprops_table"],
}


def seconds(command: list[str]) -> float:
    """Return the wall seconds of one run."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    print(f"{platform.machine()}, Python {platform.python_version()}, best of {RUNS}, wall seconds")
    best = {name: min(seconds(command) for _ in range(RUNS)) for name, command in COMMANDS.items()}
    for name, value in best.items():
        print(f"{name:32} {value:7.3f} s   {value / best['import segmetry']:5.1f} x import segmetry")


if __name__ == "__main__":
    main()
