"""Are simulated blocks told apart by their spectra, and do Bragg edges lie within their errors?

    OMP_NUM_THREADS=1 python studies/time_of_flight.py -o docs/studies/time-of-flight --seeds 200 201 202 203 204

prints the tables of docs/studies/time-of-flight.md and draws its figures. The library was built on seeds 0 to 5; 100 to
104 were looked at before its last change.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.metrics import adjusted_rand_score as rand

from segmetry.measure.bragg import fit_edge_map, fit_edges
from segmetry.measure.spectra import label_spectra, wavelength_of
from segmetry.segment.cluster_number import compare_numbers
from segmetry.segment.kmeans import kmeans
from segmetry.segment.mixed_pixels import merge_mixed
from segmetry.segment.spectral import cluster_pixels, spectral_shapes
from segmetry.synth.tof import CLASSES, TofCube, simulate_tof

EDGES = (("iron", "110"), ("nickel", "111"), ("nickel", "200"))


def clusters_of(cube: TofCube, k: int, model: str = "kmeans") -> tuple[np.ndarray, np.ndarray]:
    """Return clusters of shapes, and the same with mixed pixels given to their larger part."""
    values = spectral_shapes(cube.counts, cube.open_beam).values
    n_components = 12 if model == "kmeans" else 5
    found = cluster_pixels(values, k, model=model, n_components=n_components).labels.reshape(cube.labels.shape)
    return found, merge_mixed(found, cube.counts, cube.open_beam)


def raw_clusters(cube: TofCube, k: int) -> np.ndarray:
    """Return k-means of raw counts, as the lecture does it."""
    return kmeans(cube.counts.reshape(len(cube.counts), -1).T, k).labels.reshape(cube.labels.shape)


def score_clusters(cube: TofCube) -> dict[str, float]:
    """Return the adjusted Rand index of each way."""
    truth, pure = cube.labels.ravel(), cube.purity.ravel() > 0.95
    row = {f"raw k={k}": rand(truth, raw_clusters(cube, k).ravel()) for k in (4, 10)}
    for name, k, model in (("k=4", 4, "kmeans"), ("mixture k=4", 4, "gmm")):
        found, merged = (m.ravel() for m in clusters_of(cube, k, model))
        row |= {f"{name} pure": rand(truth[pure], found[pure]), f"{name} all": rand(truth, found)}
        row[f"{name} merged"] = rand(truth, merged)
    return row


def edge_scores(cube: TofCube) -> list[tuple[str, np.ndarray, int]]:
    """Return, for each kind of fit, (position - truth) / error of those that gave one, and how many were tried."""
    out = []
    pure = cube.purity > 0.999
    for name, hkl in EDGES:
        edges = cube.edges[(cube.edges["class"] == name) & (cube.edges.hkl == hkl)].set_index("part").wavelength
        parts = [k for k in edges.index if not cube.table.treated[k]]
        near = float(edges[parts[0]])
        mask = pure & np.isin(cube.parts, parts)
        table = fit_edge_map(cube.counts, mask, cube.open_beam, cube.time, cube.flight_path, near)
        z = ((table.position - near) / table.position_error).dropna()
        out.append((f"{name} {hkl}, pixels, pulse held", z.to_numpy(), len(table)))
        # Tiles of 10 x 10 pixels, everything free.
        row, col = np.indices(mask.shape) // 10
        tiles = np.where(mask, 1 + row * 1000 + col + 100_000 * cube.parts, 0)
        names, sizes = np.unique(tiles, return_counts=True)
        spectra = label_spectra(cube.counts, np.where(np.isin(tiles, names[sizes == 100]), tiles, 0), cube.open_beam)
        table = fit_edges(spectra, cube.time, cube.flight_path, near)
        z = ((table.position - near) / table.position_error).dropna()
        out.append((f"{name} {hkl}, tiles of 100 pixels, all free", z.to_numpy(), len(table)))
        blocks = label_spectra(cube.counts, np.where(mask, cube.parts, 0), cube.open_beam)
        table = fit_edges(blocks, cube.time, cube.flight_path, near)
        z = ((table.position - near) / table.position_error).dropna()
        out.append((f"{name} {hkl}, whole blocks, all free", z.to_numpy(), len(table)))
    return out


def draw(cube: TofCube, folder: Path) -> None:
    """Draw maps, spectra and the map of an edge."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    found, merged = clusters_of(cube, 4)
    maps = {
        "truth": cube.labels,
        "raw counts, k = 4": raw_clusters(cube, 4),
        "raw counts, k = 10": raw_clusters(cube, 10),
        "shapes, k = 4": found,
        "shapes, k = 4, mixed pixels merged": merged,
    }
    figure, axes = plt.subplots(2, 3, figsize=(10, 7), layout="constrained")
    for ax, (title, labels) in zip(axes.flat, maps.items()):
        ax.imshow(labels, cmap="tab10" if labels.max() > 3 else "viridis", interpolation="nearest")
        ax.set_title(title)
    iron = (cube.labels == 2) & (cube.purity > 0.9)
    edge = cube.edges[(cube.edges["class"] == "iron") & (cube.edges.hkl == "110")].wavelength.max()
    table = fit_edge_map(cube.counts, iron, cube.open_beam, cube.time, cube.flight_path, float(edge))
    strain = np.full(cube.labels.shape, np.nan)
    strain[table.row, table.col] = table.position / edge - 1
    shown = axes.flat[5].imshow(1e3 * strain, cmap="coolwarm", vmin=-3, vmax=3, interpolation="nearest")
    axes.flat[5].set_title("iron 110: shift of the edge, $10^{-3}$")
    figure.colorbar(shown, ax=axes.flat[5])
    for ax in axes.flat:
        ax.set_axis_off()
    figure.savefig(folder / "maps.png", dpi=80)

    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    spectra = label_spectra(cube.counts, merged + 1, cube.open_beam)
    wavelength = wavelength_of(cube.time, cube.flight_path)
    for name, value, error in zip(spectra.labels, spectra.transmission, spectra.transmission_error):
        which = CLASSES[int(np.bincount(cube.labels[merged == name - 1]).argmax())]
        axes[0].fill_between(wavelength, value - 3 * error, value + 3 * error, label=which)
    axes[0].set(xlabel="wavelength, Å", ylabel="transmission, ± 3 standard errors")
    axes[0].legend()
    one = label_spectra(cube.counts, iron, cube.open_beam)
    near = np.abs(wavelength / edge - 1) < 0.05
    axes[1].errorbar(wavelength[near], one.transmission[0, near], one.transmission_error[0, near], fmt=".", ms=3)
    fit = fit_edges(one, cube.time, cube.flight_path, float(edge)).iloc[0]
    axes[1].axvspan(fit.position - fit.position_error, fit.position + fit.position_error, alpha=0.5)
    axes[1].set(
        xlabel="wavelength, Å",
        ylabel="transmission",
        title=f"iron 110 at {fit.position:.4f} ± {fit.position_error:.4f} Å",
    )
    figure.savefig(folder / "spectra.png", dpi=80)


def main() -> None:
    """Print the tables and draw the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[200, 201, 202, 203, 204])
    options = parser.parse_args()
    rows, deviations = [], {}
    for seed in options.seeds:
        cube = simulate_tof(seed=seed)
        rows.append(score_clusters(cube))
        for name, z, n in edge_scores(cube):
            old = deviations.setdefault(name, ([], []))
            old[0].append(z)
            old[1].append(n)
    print("| way | mean ARI | least | largest |\n|---|---|---|---|")
    for name in rows[0]:
        values = [row[name] for row in rows]
        print(f"| {name} | {np.mean(values):.3f} | {min(values):.3f} | {max(values):.3f} |")
    print("\n| edge | fits | with a position | within one standard error | mean, in errors |\n|---|---|---|---|---|")
    for name, (parts, tried) in deviations.items():
        z = np.concatenate(parts)
        share = f"{np.mean(np.abs(z) < 1):.3f} | {z.mean():+.2f}" if z.size else "– | –"
        print(f"| {name} | {sum(tried)} | {z.size} | {share} |")
    print("\n| counts per bin | k=4 all | k=4 merged | raw k=4 |\n|---|---|---|---|")
    for counts in (12, 25, 50, 100, 400):
        cube = simulate_tof(seed=options.seeds[0], counts=counts)
        found, merged = (rand(cube.labels.ravel(), m.ravel()) for m in clusters_of(cube, 4))
        raw = rand(cube.labels.ravel(), raw_clusters(cube, 4).ravel())
        print(f"| {counts} | {found:.3f} | {merged:.3f} | {raw:.3f} |")
    cube = simulate_tof(seed=options.seeds[0])
    scores = cluster_pixels(spectral_shapes(cube.counts, cube.open_beam).values, 4).scores
    table = compare_numbers(scores, range(2, 11))
    print("\n| " + " | ".join(table.columns) + " |\n|" + "---|" * table.shape[1])
    for row in table.itertuples(index=False):
        print("| " + " | ".join(f"{v:.4g}" for v in row) + " |")
    draw(cube, options.out)


if __name__ == "__main__":
    main()
