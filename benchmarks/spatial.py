"""Time g(r) of 20,000 points in a square, r up to a tenth of its side, 100 classes, on one thread.

Run: python benchmarks/spatial.py [--quick] [--rdfpy PYTHON ...]

rdfpy is not a dependency: name the interpreters that have it (its versions 1 and 2 differ much). Ours is the whole call
with correction of edges, density and interval; the peers only count pairs, or give g without an interval. CPU time, so
that a peer that uses more threads gains nothing by it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree
from sklearn.neighbors import KDTree
from threadpoolctl import threadpool_limits

from segmetry.measure import distribution, radial_distribution
from segmetry.measure.pairs import pair_counts
from timing import best, machine

threadpool_limits(1)
SIDE, R_MAX, N_BINS = 1000.0, 100.0, 100

RDFPY = """
import inspect, json, sys, time, warnings
import numpy as np
warnings.simplefilter("ignore")
from importlib.metadata import version
from rdfpy import rdf
points, n = np.load(sys.argv[1]), int(sys.argv[2])
options = {"parallel": False} if version("rdfpy").startswith(("0", "1")) else {}
def job():
    return rdf(points, dr=1.0, rho=len(points) / 1e6, rcutoff=0.2, **options)
times = []
for _ in range(n):
    before = time.process_time()
    g, r = job()
    times.append(time.process_time() - before)
found = {"version": version("rdfpy"), "seconds": min(times), "g": g.tolist(), "r": r.tolist()}
print(json.dumps(found))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2,000 points")
    parser.add_argument("--rdfpy", nargs="*", default=[sys.executable], help="interpreters that have rdfpy")
    options = parser.parse_args()
    n = 2_000 if options.quick else 20_000
    points = np.random.default_rng(0).uniform(0, SIDE, (n, 2))
    edges = np.linspace(0, R_MAX, N_BINS + 1)

    def ours() -> object:
        return radial_distribution(points, (SIDE, SIDE), bin_width=R_MAX / N_BINS, r_max=R_MAX)

    def query_pairs() -> np.ndarray:
        ends = cKDTree(points).query_pairs(R_MAX, output_type="ndarray")
        distance = np.linalg.norm(points[ends[:, 0]] - points[ends[:, 1]], axis=1)
        return np.bincount((distance * (N_BINS / R_MAX)).astype(np.int64), minlength=N_BINS)[:N_BINS]

    def count_neighbors() -> np.ndarray:
        tree = cKDTree(points)
        return np.diff((tree.count_neighbors(tree, edges) - n) // 2)

    def two_point() -> np.ndarray:
        return np.diff((KDTree(points).two_point_correlation(points, edges) - n) // 2)

    print(f"{machine()}; {n} points")
    ours()
    found = pair_counts(points, (SIDE, SIDE), edges).sum((0, 1))
    base = best(ours, 15)
    print(f"{'segmetry radial_distribution, with interval':50s} {base * 1e3:10.1f} ms")
    counting = best(lambda: pair_counts(points, (SIDE, SIDE), edges, (6, 6)), 15)
    print(f"{'  of it, counting pairs':50s} {counting * 1e3:10.1f} ms")
    for name, job in (
        ("scipy cKDTree.query_pairs", query_pairs),
        ("scipy cKDTree.count_neighbors", count_neighbors),
        ("scikit-learn KDTree.two_point_correlation", two_point),
    ):
        assert np.abs(job() - found).sum() <= 2, f"{name} counts other pairs"
        took = best(job, 3)
        print(f"{name:50s} {took * 1e3:10.1f} ms {took / base:8.1f} x")

    mine = ours()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "points.npy"
        np.save(path, points)
        for python in options.rdfpy:
            run = subprocess.run([python, "-c", RDFPY, str(path), "1"], capture_output=True, text=True)
            if run.returncode:
                print(
                    f"rdfpy skipped: {python} does not have it ({(run.stderr.strip() or 'no output').splitlines()[-1]})"
                )
                continue
            peer = json.loads(run.stdout)
            # Version 1 calls the lower edge of a class r and leaves out the first; version 2 gives middles of classes.
            middle = np.array(peer["r"]) + (0.5 if peer["version"].startswith(("0", "1")) else 0.0)
            other = np.interp(mine.r[5:95], middle, peer["g"])
            apart = np.sqrt(np.mean((other - mine.g[5:95]) ** 2))
            name = f"rdfpy {peer['version']}"
            took = peer["seconds"]
            print(f"{name:50s} {took * 1e3:10.1f} ms {took / base:8.1f} x   rms of g apart {apart:.4f}")

    import pandas as pd

    rng = np.random.default_rng(1)
    for rows in (1_000, 1_000_000):
        table = pd.DataFrame(
            {"equivalent_diameter": rng.lognormal(3, 0.3, rows), "edge_weight": rng.uniform(1, 1.2, rows)}
        )
        took = best(lambda table=table: distribution(table), 3)  # type: ignore[misc]
        print(f"{f'segmetry distribution, {rows} particles':50s} {took * 1e3:10.1f} ms")


if __name__ == "__main__":
    main()
