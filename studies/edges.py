"""How far are the outlines off? Diameters of simulated particles, found by the default method, against the true ones.

    python studies/edges.py --scenes 2 --seed 1 --write docs/studies/edges.md

Every cell is a microscope, a shape, a size, a blur and a dose; each has a few scenes of particles that lie apart from
each other, whole in the frame. The same image is segmented with fitted edges (the default) and with edges half-way
between a particle's grey and that of its surroundings; found particles go to the true ones by their centroids.
"""

from __future__ import annotations

import argparse
import itertools
import math
import platform
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from segmetry.measure import measure
from segmetry.segment import segment
from segmetry.synth import Scene, simulate

KINDS = ("bf-tem", "haadf-stem", "laadf-stem", "sem")
SHAPES = ("sphere", "rod", "hexagon", "cube")
DIAMETERS = (15, 20, 30, 40, 80)
BLURS = (0.8, 1.5)
DOSES = (100, 400, 2000)
EDGES = ("fitted", "half-height")
USUAL = (0.8, 400)
"""Blur and dose that a scene has unless told."""
_COVERAGE = 0.12


class Cell(NamedTuple):
    """What the scenes of one cell have in common."""

    kind: str
    shape: str
    diameter: int
    blur: float
    dose: int


class Found(NamedTuple):
    """True and found diameters (px) of the particles that were found, and how many were not, or are none."""

    true: np.ndarray
    found: np.ndarray
    n_missed: int
    n_extra: int
    info: dict[str, Any]


def scene_of(cell: Cell, seed: int) -> Scene:
    """Return 12 particles of 80 px, or 25 and more smaller ones in a frame of at least 256 px; a pixel is 1 nm."""
    n = 25 if cell.diameter < 80 else 12
    side = max(256, math.ceil(math.sqrt(n * math.pi / 4 * cell.diameter**2 / _COVERAGE)))
    return simulate(
        cell.kind,
        seed=seed,
        shapes=cell.shape,
        median_diameter=cell.diameter,
        gsd=1.03,
        coverage=_COVERAGE,
        frame_shape=(side, side),
        pixel_size=1.0,
        edges="inside",
        blur_px=cell.blur,
        dose=cell.dose,
        min_gap_px=10.0,
    )


def matched(scene: Scene, edges: str) -> Found:
    """Return the particles found with the true ones that are nearest, at most 0.3 diameters away."""
    result = segment(scene.image, options={"edges": edges})
    table = measure(result, scene.image, measures=["equivalent_diameter", "centroid"])
    at = [f"centroid-{k}" for k in range(2)]
    true = scene.truth["equivalent_diameter"].to_numpy()
    info = result.info.get("edges", {})
    if not len(table):
        return Found(np.zeros(0), np.zeros(0), len(true), 0, info)
    near, which = cKDTree(table[at].to_numpy()).query(scene.truth[at].to_numpy())
    hit = near < 0.3 * true
    found = table["equivalent_diameter"].to_numpy()[which[hit]]
    return Found(true[hit], found, int((~hit).sum()), len(table) - len(np.unique(which[hit])), info)


def floor_of(scene: Scene) -> np.ndarray:
    """Return the error (px) that the pixels alone make: the diameter of each true label less the true one."""
    drawn = measure(scene.labels, measures=["equivalent_diameter"])
    return drawn["equivalent_diameter"].to_numpy() - scene.truth["equivalent_diameter"].to_numpy()[drawn["label"] - 1]


class Tally:
    """Errors of all particles of a cell, and how many were missed, were none, and got which model of their edge."""

    def __init__(self) -> None:
        self.true: list[np.ndarray] = []
        self.found: list[np.ndarray] = []
        self.n_missed = self.n_extra = 0
        self.models: Counter[str] = Counter()

    def add(self, found: Found) -> None:
        self.true.append(found.true)
        self.found.append(found.found)
        self.n_missed += found.n_missed
        self.n_extra += found.n_extra
        self.models.update({k[2:]: v for k, v in found.info.items() if k.startswith("n_")})

    @property
    def error(self) -> np.ndarray:
        """Found less true diameter, px."""
        return np.concatenate(self.found) - np.concatenate(self.true)

    @property
    def relative(self) -> np.ndarray:
        """The same, in per cent."""
        return self.error / np.concatenate(self.true) * 100


Results = dict[tuple[Cell, str], Tally]


def run(n_scenes: int, seed: int) -> tuple[Results, dict[tuple[str, int], list[np.ndarray]]]:
    """Return the tally of every cell and way to place edges, and the errors of the true labels by shape and size."""
    start = time.perf_counter()
    results: Results = {}
    floor: dict[tuple[str, int], list[np.ndarray]] = {}
    cells = [Cell(*values) for values in itertools.product(KINDS, SHAPES, DIAMETERS, BLURS, DOSES)]
    for i, cell in enumerate(cells):
        tallies = {edges: Tally() for edges in EDGES}
        for k in range(n_scenes):
            scene = scene_of(cell, seed * 1_000_000 + i * 1000 + k)
            floor.setdefault((cell.shape, cell.diameter), []).append(floor_of(scene))
            for edges, tally in tallies.items():
                tally.add(matched(scene, edges))
        results |= {(cell, edges): tally for edges, tally in tallies.items()}
        if (i + 1) % 30 == 0:
            print(f"{i + 1} of {len(cells)} cells, {time.perf_counter() - start:.0f} s", flush=True)
    return results, floor


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _head(*cells: str) -> list[str]:
    return [_row(*cells), "|---" * len(cells) + "|"]


def usual_lines(results: Results, *, relative: bool) -> list[str]:
    """Return the bias at the usual blur and dose as Markdown: fitted, and half height in brackets."""
    out = _head("microscope", "shape", *(f"{d} px" for d in DIAMETERS))
    for kind, shape in itertools.product(KINDS, SHAPES):
        cells = []
        for d in DIAMETERS:
            both = [results[Cell(kind, shape, d, *USUAL), edges] for edges in EDGES]
            values = [t.relative if relative else t.error for t in both]
            cells.append("{} ({})".format(*(f"{v.mean():+.2f}" if v.size else "none" for v in values)))
        out.append(_row(kind, shape, *cells))
    return out


def blur_dose_lines(results: Results) -> list[str]:
    """Return bias and spread of fitted edges over blur and dose, all sizes from 20 px together."""
    settings = list(itertools.product(BLURS, DOSES))
    out = _head("microscope", "shape", *(f"blur {b}, dose {d}" for b, d in settings))
    for kind, shape in itertools.product(KINDS, SHAPES):
        cells = []
        for b, dose in settings:
            errors = [results[Cell(kind, shape, d, b, dose), "fitted"].error for d in DIAMETERS if d >= 20]
            biases = np.array([e.mean() for e in errors if e.size])
            spread = math.sqrt(np.mean([e.var() for e in errors if e.size]))
            cells.append(f"{biases.mean():+.2f} ± {spread:.2f}")
        out.append(_row(kind, shape, *cells))
    return out


def share_lines(results: Results) -> list[str]:
    """Return how many cells lie within bounds, by microscope, shape and way to place edges."""
    out = _head("microscope", "shape", "fitted: within 0.5 %", "1 %", "2 %", "half height: 0.5 %", "1 %", "2 %")
    for kind, shape in itertools.product(KINDS, SHAPES):
        row = []
        for edges in EDGES:
            some = [t for (c, e), t in results.items() if (c.kind, c.shape, e) == (kind, shape, edges)]
            bias = np.array([abs(t.relative.mean()) if t.error.size else np.inf for t in some])
            row += [f"{np.mean(bias <= bound):.0%}" for bound in (0.5, 1, 2)]
        out.append(_row(kind, shape, *row))
    return out


def model_lines(results: Results) -> list[str]:
    """Return which model fits the edges of each kind of particle, as shares of the particles."""
    names = ("flat", "ball", "rim", "kept")
    out = _head("microscope", "shape", *names, "true particles missed", "found that are none")
    for kind, shape in itertools.product(KINDS, SHAPES):
        some = [t for (c, e), t in results.items() if (c.kind, c.shape, e) == (kind, shape, "fitted")]
        models = sum((t.models for t in some), Counter())
        all_of, hit = max(models.total(), 1), sum(t.error.size for t in some)
        missed, extra = sum(t.n_missed for t in some), sum(t.n_extra for t in some)
        shares = (f"{models[name] / all_of:.0%}" for name in names)
        out.append(_row(kind, shape, *shares, f"{missed} of {hit + missed}", str(extra)))
    return out


def all_lines(results: Results) -> list[str]:
    """Return bias and spread between particles (px) of every cell."""
    out = _head("microscope", "shape", "blur", "dose", "edges", *(f"{d} px" for d in DIAMETERS))
    for kind, shape, blur, dose, edges in itertools.product(KINDS, SHAPES, BLURS, DOSES, EDGES):
        errors = [results[Cell(kind, shape, d, blur, dose), edges].error for d in DIAMETERS]
        cells = (f"{e.mean():+.2f} ± {e.std():.2f}" if e.size else "none" for e in errors)
        out.append(_row(kind, shape, str(blur), str(dose), edges, *cells))
    return out


def floor_lines(floor: dict[tuple[str, int], list[np.ndarray]]) -> list[str]:
    """Return what the pixels alone do: bias and spread (px) of the diameters of the true labels."""
    out = _head("shape", *(f"{d} px" for d in DIAMETERS))
    for shape in SHAPES:
        errors = [np.concatenate(floor[shape, d]) for d in DIAMETERS]
        out.append(_row(shape, *(f"{e.mean():+.3f} ± {e.std():.3f}" for e in errors)))
    return out


MARKER = "<!-- figures: written by studies/edges.py -->\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=2, help="scenes in each cell")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path, help="Markdown page to write the figures into, after the marker line")
    options = parser.parse_args()
    start = time.perf_counter()
    results, floor = run(options.scenes, options.seed)
    n = sum(t.error.size for (_, edges), t in results.items() if edges == "fitted")
    parts = [
        f"`python studies/edges.py --scenes {options.scenes} --seed {options.seed}`: "
        f"{len(results) // len(EDGES)} cells, "
        f"{n} particles found, {time.perf_counter() - start:.0f} s on one core ({platform.machine()}, Python "
        f"{platform.python_version()}).\n",
        f"### Bias in per cent\nBlur {USUAL[0]} px, dose {USUAL[1]}: fitted edges, in brackets half height.\n",
        *usual_lines(results, relative=True),
        "\n### Bias in px\nThe same in px of the diameter; half of it on each side.\n",
        *usual_lines(results, relative=False),
        "\n### Share of cells within a bound\nOf all sizes, blurs and doses: cells whose bias is at most this.\n",
        *share_lines(results),
        "\n### Blur and dose\nFitted edges, 20 to 80 px together: bias ± spread between the particles of a cell, px.\n",
        *blur_dose_lines(results),
        "\n### Models\nWhich model of the edge was fitted, in all cells.\n",
        *model_lines(results),
        "\n### What the pixels alone do\nDiameters of the true labels: bias ± spread between particles, px.\n",
        *floor_lines(floor),
        "\n### Every cell\nBias ± spread between particles, px.\n",
        *all_lines(results),
    ]
    text = "\n".join(parts) + "\n"
    print(text)
    if options.write:
        before, _, _ = options.write.read_text(encoding="utf-8").partition(MARKER)
        options.write.write_text(before + MARKER + "\n" + text, encoding="utf-8")


if __name__ == "__main__":
    main()
