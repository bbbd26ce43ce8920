"""Time the removal of stripes from a sinogram, and count what is left of planted ones, beside algotom's formulas.

Run: python benchmarks/radiography.py [--quick]

Algotom is no dependency: where it is not installed, its removal by sorting (version 1.7.0, the formula of Vo 2018 with
scipy's median) is written out here, and the other two of its steps are left out.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable

import numpy as np
from scipy import ndimage
from threadpoolctl import threadpool_limits

from segmetry.prepare.denoise import denoise_counts
from segmetry.prepare.normalise import attenuation, transmission
from segmetry.prepare.stripes import remove_by_sorting, remove_large, remove_stripes
from timing import best_ms, machine

threadpool_limits(1)

NARROW = {150: 0.1, 300: -0.1, 420: 0.1, 555: -0.15, 640: 0.1, 777: 0.2, 860: 0.15}
WIDE = slice(480, 488)
DEAD = 700


def scan(n_angles: int, noise: float = 0.02, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return a sinogram of three disks over 1024 columns, and the same with planted stripes."""
    rng = np.random.default_rng(seed)
    theta, s = np.deg2rad(np.arange(n_angles) * 180 / n_angles)[:, None], np.arange(1024) - 512
    clean = rng.normal(0, noise, (n_angles, 1024))
    for mu, radius, row, col in ((0.002, 400, 10, -20), (0.003, 80, -120, 150), (-0.002, 60, 150, -50)):
        clean += 2 * mu * np.sqrt(np.maximum(radius**2 - (s - col * np.cos(theta) + row * np.sin(theta)) ** 2, 0))
    striped = clean.copy()
    striped[:, list(NARROW)] += list(NARROW.values())
    striped[:, WIDE] += 0.3
    striped[:, DEAD] = rng.uniform(0, 2, n_angles)
    return clean.astype(np.float32), striped.astype(np.float32)


def by_formula(sinogram: np.ndarray, size: int = 21) -> np.ndarray:
    """Return what sorting, a median across the columns and putting back give, with NumPy and scipy."""
    angles, columns = sinogram.shape
    pairs = np.stack([np.broadcast_to(np.arange(angles, dtype=np.float32), (columns, angles)), sinogram.T], axis=-1)
    order = np.argsort(pairs[:, :, 1], axis=1)
    pairs = np.take_along_axis(pairs, order[:, :, None], axis=1)
    pairs[:, :, 1] = ndimage.median_filter(pairs[:, :, 1].T, (1, size)).T
    back = np.argsort(pairs[:, :, 0], axis=1)
    return np.take_along_axis(pairs[:, :, 1], back, axis=1).T


def left(found: np.ndarray, clean: np.ndarray) -> str:
    """Return the root mean square of what is left of each kind of stripe, and of what was done elsewhere."""
    mean = (found - clean).mean(axis=0)
    elsewhere = np.delete(mean, [*NARROW, *range(WIDE.start, WIDE.stop), DEAD - 1, DEAD, DEAD + 1])
    parts = (mean[list(NARROW)], mean[WIDE], mean[[DEAD]], elsewhere)
    return "   ".join(f"{np.sqrt(np.mean(part**2)):.4f}" for part in parts)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="256 angles in place of 1024")
    args = parser.parse_args()
    n_angles = 256 if args.quick else 1024
    clean, striped = scan(n_angles)
    print(f"{machine()}, one thread, CPU time, best of 3; sinogram of {n_angles} angles x 1024 columns, seed 0")

    peers: dict[str, Callable[[np.ndarray], np.ndarray]] = {"sorting": by_formula}
    name = "its formula in NumPy and scipy"
    if importlib.util.find_spec("algotom"):
        removal = importlib.import_module("algotom.prep.removal")
        name = "algotom"
        peers = {
            "sorting": removal.remove_stripe_based_sorting,
            "large": removal.remove_large_stripe,
            "all": removal.remove_all_stripe,
        }
    ours = {"sorting": remove_by_sorting, "large": remove_large, "all": remove_stripes}
    print(f"{'':10s}{'segmetry':>10s}{'peer':>12s}{'ratio':>8s}   peer: {name}")
    for job, mine in ours.items():
        took = best_ms(3, lambda mine=mine: mine(striped))  # type: ignore[misc]
        line = f"{job:10s}{took:7.1f} ms"
        if job in peers:
            other = best_ms(3, lambda peer=peers[job]: peer(striped))  # type: ignore[misc]
            line += f"{other:9.0f} ms{other / took:7.1f} x"
        print(line)

    print("\nleft (rms of the mean over the angles): narrow   wide     dead     elsewhere")
    print(f"{'nothing done':38s}  {left(striped, clean)}")
    for job, mine in ours.items():
        print(f"{'segmetry, ' + job:38s}  {left(mine(striped), clean)}")
        if job in peers:
            print(f"{name + ', ' + job:38s}  {left(peers[job](striped), clean)}")
    same = np.mean(remove_by_sorting(striped) == peers["sorting"](striped))
    print(f"sorting: {same:.2%} of the values are the same; the rest are equal values that trade angles")

    rng = np.random.default_rng(1)
    frame, opened, dark = (rng.poisson(mean, (1024, 1024)).astype(np.float32) for mean in (400, 1000, 5))
    passed = transmission(frame, opened, dark, air=(0, 0, 100, 100))
    first = best_ms(3, lambda: transmission(frame, opened, dark, air=(0, 0, 100, 100)))
    second = best_ms(3, lambda: attenuation(passed))
    print(f"\n1024 x 1024: transmission with variance and dose {first:.0f} ms, attenuation {second:.0f} ms")
    small = frame[:256, :256]
    print(f"256 x 256: denoising by non-local means {best_ms(1, lambda: denoise_counts(small)):.0f} ms")


if __name__ == "__main__":
    main()
