"""Speed of clustering a time-of-flight cube and of fitting Bragg edges, with peers in the same run: one thread,
processor time.

OMP_NUM_THREADS=1 python benchmarks/tof.py [--quick]

k-means of 16384 pixels x 661 bins with ten starts, ours through twelve principal components, scikit-learn's on the full
space; inertias are those of the labels in the full space. Edges: scipy's curve_fit of the same law on some pixels.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.optimize import curve_fit
from scipy.special import erfc, erfcx
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from segmetry.measure.bragg import fit_edge_map
from segmetry.segment.kmeans import kmeans
from segmetry.segment.principal import principal
from segmetry.segment.spectral import spectral_shapes
from segmetry.synth.tof import simulate_tof
from timing import best, machine

SEED = 11


def full_inertia(rows: np.ndarray, labels: np.ndarray) -> float:
    """Return the sum of squared distances to the clusters' means in all bins."""
    parts = (rows[labels == k].astype(np.float64) for k in np.unique(labels))
    return float(sum(((part - part.mean(0)) ** 2).sum() for part in parts))


def law(x: np.ndarray, a0: float, b0: float, ah: float, bh: float, t0: float, s: float, tau: float) -> np.ndarray:
    """Return the transmission at x (bins) by the law of Santisteban, with scipy."""
    away = x - t0
    z = (s / tau - away / s) / np.sqrt(2)
    with np.errstate(over="ignore", invalid="ignore"):
        tail = np.where(
            z > 0,
            np.exp(-0.5 * (away / s) ** 2) * erfcx(np.maximum(z, 0)),
            np.exp(0.5 * (s / tau) ** 2 - away / tau) * erfc(z),
        )
    inner = np.exp(-(ah + bh * x))
    return np.exp(-(a0 + b0 * x)) * (inner + (1 - inner) * 0.5 * (erfc(-away / s / np.sqrt(2)) - tail))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smaller cube, one run")
    quick = parser.parse_args().quick
    threadpool_limits(1)
    size = {"frame_shape": (48, 48)} if quick else {}
    n = 1 if quick else 3
    cube = simulate_tof(seed=SEED, **size)
    print(f"{machine()}, seed {SEED}, best of {n}")
    shapes = spectral_shapes(cube.counts, cube.open_beam).values
    raw = np.ascontiguousarray(cube.counts.reshape(len(cube.counts), -1).T, np.float32)

    def ours(rows: np.ndarray, k: int) -> np.ndarray:
        return kmeans(principal(rows, 12).scores(rows), k, seed=0).labels

    print("\nk-means, ten starts            ours s   scikit-learn s   ratio   inertia, ours over scikit-learn's - 1")
    for name, rows in (("shapes", shapes), ("raw counts", raw)):
        for k in (4, 10):
            ours(rows, k)
            took = best(lambda rows=rows, k=k: ours(rows, k), n)
            peer: dict[str, np.ndarray] = {}

            def theirs(rows: np.ndarray = rows, k: int = k, peer: dict[str, np.ndarray] = peer) -> None:
                peer["labels"] = KMeans(k, n_init=10, random_state=0).fit(rows).labels_

            slow = best(theirs, 1)
            apart = full_inertia(rows, ours(rows, k)) / full_inertia(rows, peer["labels"]) - 1
            title = f"{name}, {rows.shape[0]} x {rows.shape[1]}, k = {k}"
            print(f"{title:30} {took:7.3f} {slow:14.2f} {slow / took:9.1f} {apart:18.2e}")

    mask = (cube.labels == 2) & (cube.purity > 0.99)
    edge = cube.edges[(cube.edges["class"] == "iron") & (cube.edges.hkl == "110")].iloc[0]

    def edges() -> object:
        return fit_edge_map(cube.counts, mask, cube.open_beam, cube.time, cube.flight_path, edge.wavelength)

    table = edges()
    took = best(edges, n) / len(table)
    row, col = np.nonzero(mask)
    near = np.abs(cube.time / edge.time - 1) < 0.05
    x = (cube.time[near] - cube.time[near].mean()) / (cube.time[1] - cube.time[0])
    start = (0.5, 0.0, 0.8, 0.0, 0.0, 2.0, 3.0)
    few = slice(0, 50)

    def scipy_fit() -> None:
        for r, c in zip(row[few], col[few]):
            seen = cube.counts[near, r, c] / cube.open_beam[near, r, c]
            error = np.sqrt(np.maximum(seen, 0.01) / cube.open_beam[near, r, c] * (1 + seen))
            curve_fit(lambda x, a, b, c, d, e: law(x, a, b, c, d, e, *start[5:]), x, seen, start[:5], error)

    slow = best(scipy_fit, 1) / len(row[few])
    print(
        f"\nBragg edge of iron 110, {len(table)} pixels, {near.sum()} bins, pulse held: ours {took * 1e6:.0f} µs each,"
    )
    print(
        f"scipy curve_fit {slow * 1e6:.0f} µs ({slow / took:.1f} times); {table.converged.mean():.1%} of ours converged"
    )


if __name__ == "__main__":
    main()
