"""Do the intervals cover? Simulated particles with a known population: the share of 95 % intervals that hold its truth.

    python studies/interval_coverage.py --sets 2000 --seed 1 --write docs/studies/coverage.md
    python studies/interval_coverage.py --images --sets 2000 --seed 1 --write docs/studies/coverage.md

A data set is one micrograph: centres after a point process with known g(r), in a frame; a log-normal diameter for each;
every disk drawn on the pixel grid at its sub-pixel centre; those that touch the frame dropped and the others weighted;
and a pixel size with an error of 1 %. What `segmetry` then says is held against the population it was drawn from.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import platform
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pandas as pd
from scipy.spatial import cKDTree
from scipy.stats import binom, binomtest

from segmetry.measure import centres, measure, radial_distribution, summarise
from segmetry.segment import segment
from segmetry.synth import simulate
from segmetry.types import Calibration

REL_UNCERTAINTY = 0.01
N_CLASSES = 20


@dataclass(frozen=True)
class Pattern:
    """A point process with known density and g(r)."""

    name: str
    draw: Callable[[np.random.Generator, float, float], np.ndarray]
    """(rng, points expected, margin) -> points in the unit square widened by margin on every side."""
    g: Callable[[np.ndarray, float], np.ndarray]
    """(r, points expected per unit area) -> g(r)."""


def _poisson(rng: np.random.Generator, n: float, margin: float) -> np.ndarray:
    side = 1 + 2 * margin
    return rng.uniform(-margin, 1 + margin, (rng.poisson(n * side**2), 2))


def _shared(r: np.ndarray, radius: float) -> np.ndarray:
    """Return the area that two disks at distance r share."""
    r = np.minimum(r, 2 * radius)
    return 2 * radius**2 * np.arccos(r / (2 * radius)) - r / 2 * np.sqrt(4 * radius**2 - r**2)


_PER_CLUSTER, _CLUSTER_RADIUS = 5.0, 0.04


def _clusters(rng: np.random.Generator, n: float, margin: float) -> np.ndarray:
    """Matérn clusters: a Poisson number of points, even in a disk around each parent."""
    reach = margin + _CLUSTER_RADIUS
    parents = _poisson(rng, n / _PER_CLUSTER, reach)
    points = np.repeat(parents, rng.poisson(_PER_CLUSTER, len(parents)), axis=0)
    angle, radius = rng.uniform(0, 2 * np.pi, len(points)), _CLUSTER_RADIUS * np.sqrt(rng.uniform(0, 1, len(points)))
    points = points + np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
    return points[np.all((points >= -margin) & (points <= 1 + margin), axis=1)]


def _g_clusters(r: np.ndarray, n: float) -> np.ndarray:
    return 1 + _shared(r, _CLUSTER_RADIUS) / (math.pi * _CLUSTER_RADIUS**2) ** 2 / (n / _PER_CLUSTER)


_PACKED = 0.6
"""Points that survive, times the area of the forbidden disk: 1 is the densest that this process can be."""


def _hard_core(rng: np.random.Generator, n: float, margin: float) -> np.ndarray:
    """Matérn's second hard-core process: of two points nearer than h the later one goes."""
    h = math.sqrt(_PACKED / (math.pi * n))
    points = _poisson(rng, -math.log(1 - _PACKED) * n / _PACKED, margin + h)
    born = rng.uniform(size=len(points))
    first, second = cKDTree(points).query_pairs(h, output_type="ndarray").T
    gone = np.zeros(len(points), bool)
    gone[np.where(born[first] > born[second], first, second)] = True
    points = points[~gone]
    return points[np.all((points >= -margin) & (points <= 1 + margin), axis=1)]


def _g_hard_core(r: np.ndarray, n: float) -> np.ndarray:
    """Chiu, Stoyan, Kendall & Mecke 2013 (doi:10.1002/9781118658222), section 5.4."""
    h = math.sqrt(_PACKED / (math.pi * n))
    v, k = math.pi * h**2, -math.log(1 - _PACKED) * n / _PACKED
    u = np.where(r < h, 1.5 * v, 2 * v - _shared(r, h))  # any number for r < h, where no pair is
    both = 2 * (u * (1 - math.exp(-k * v)) - v * (1 - np.exp(-k * u))) / (v * u * (u - v))
    return np.where(r < h, 0.0, both / n**2)


PATTERNS = {
    p.name: p
    for p in (
        Pattern("no order", _poisson, lambda r, n: np.ones_like(r)),
        Pattern("clusters", _clusters, _g_clusters),
        Pattern("hard core", _hard_core, _g_hard_core),
    )
}


@dataclass(frozen=True)
class Scenario:
    """One kind of micrograph."""

    n: int
    """Particles expected with their centre in the frame."""
    gsd: float
    pattern: str = "no order"
    side: int = 1000
    """Frame, px."""
    median: float = 24.0
    """Median diameter, px."""

    @property
    def name(self) -> str:
        return f"n {self.n}, gsd {self.gsd}, frame {self.side / self.median:.0f} medians, {self.pattern}"


SCENARIOS = (
    Scenario(20, 1.2),
    Scenario(50, 1.5),
    Scenario(100, 1.3),
    Scenario(100, 1.8),
    Scenario(300, 1.3, "clusters"),
    Scenario(300, 1.4, "hard core"),
    Scenario(1000, 1.3),
    Scenario(1000, 1.5, "clusters"),
    Scenario(1000, 1.2, "hard core"),
    Scenario(300, 1.5, "no order", 300, 36.0),  # a small frame: strong bias towards small particles
)


@numba.njit(cache=True)
def _draw_disks(centres, diameters, side, out):  # type: ignore[no-untyped-def]
    """Fill ``out`` (n, 7): pixels inside the frame, their first and last row and column, sums of rows and columns."""
    for i in range(len(diameters)):
        radius = diameters[i] / 2
        row, col = centres[i]
        n, rows, cols, top, bottom, left, right = 0, 0.0, 0.0, side, -1, side, -1
        for y in range(max(np.int64(np.ceil(row - radius)), 0), min(np.int64(np.floor(row + radius)), side - 1) + 1):
            half = np.sqrt(max(radius * radius - (y - row) ** 2, 0.0))
            a, b = max(np.int64(np.ceil(col - half)), 0), min(np.int64(np.floor(col + half)), side - 1)
            if b >= a:
                n += b - a + 1
                rows += y * (b - a + 1)
                cols += (a + b) / 2 * (b - a + 1)
                top, bottom, left, right = min(top, y), max(bottom, y), min(left, a), max(right, b)
        out[i, 0], out[i, 5], out[i, 6] = n, rows, cols
        out[i, 1], out[i, 2], out[i, 3], out[i, 4] = top, bottom, left, right


def micrograph(scenario: Scenario, rng: np.random.Generator) -> tuple[pd.DataFrame, Calibration]:
    """Return the table that `measure` would give of one simulated micrograph; one pixel is truly 1 nm."""
    side = scenario.side
    spread = math.log(scenario.gsd)
    margin = scenario.median * math.exp(4 * spread) / 2 / side
    centres = PATTERNS[scenario.pattern].draw(rng, scenario.n, margin) * side
    diameters = scenario.median * np.exp(rng.normal(0, spread, len(centres)))
    drawn = np.zeros((len(centres), 7))
    _draw_disks(centres - 0.5, diameters, side, drawn)
    n, top, bottom, left, right, rows, cols = drawn[drawn[:, 0] > 0].T
    touches = (top == 0) | (bottom == side - 1) | (left == 0) | (right == side - 1)
    room = np.column_stack([side - 2 - (bottom - top), side - 2 - (right - left)])
    weight = np.where(touches | (room <= 0).any(1), np.nan, side**2 / np.maximum(np.prod(room, axis=1), 1))
    spacing = math.exp(rng.normal(0, REL_UNCERTAINTY))
    table = pd.DataFrame(
        {
            "equivalent_diameter": 2 * np.sqrt(n / math.pi) * spacing,
            "area": n * spacing**2,
            "centroid-0": rows / n,
            "centroid-1": cols / n,
            "edge_weight": weight,
            "touches_edge": touches,
        }
    )
    table.attrs["units"] = {"equivalent_diameter": "nm", "area": "nm^2"}
    return table, Calibration((spacing, spacing), "nm", REL_UNCERTAINTY, "scale bar")


def truth(scenario: Scenario) -> dict[str, float]:
    """Return what the population has."""
    s, median, per_area = math.log(scenario.gsd), scenario.median, scenario.n / scenario.side**2
    z = 1.2815515655446004
    return {
        "d10": median * math.exp(-z * s),
        "d50": median,
        "d90": median * math.exp(z * s),
        "span": 2 * math.sinh(z * s),
        "mean": median * math.exp(s**2 / 2),
        "mode": median * math.exp(-(s**2)),
        "gsd": scenario.gsd,
        "lognormal_median": median,
        "lognormal_gsd": scenario.gsd,
        "d32": median * math.exp(2.5 * s**2),
        "d43": median * math.exp(3.5 * s**2),
        "number_density": per_area,
    } | ({"nearest_neighbour_distance": 0.5 / math.sqrt(per_area)} if scenario.pattern == "no order" else {})


def class_means(f: Callable[[np.ndarray], np.ndarray], edges: np.ndarray) -> np.ndarray:
    """Return the mean of a function of distance over each class, weighted by distance."""
    r = edges[:-1, None] + (np.arange(400) + 0.5) / 400 * np.diff(edges)[:, None]
    return np.sum(f(r) * r, axis=1) / np.sum(r, axis=1)


@dataclass
class Tally:
    """Of one statistic: how often the truth was inside, below and above, and the values over the truth."""

    inside: int = 0
    below: int = 0
    above: int = 0
    none: int = 0
    ratio: float = 0.0
    shares: list[float] = field(default_factory=list)
    """Of each image, where one image gives many intervals."""

    @property
    def n(self) -> int:
        return self.inside + self.below + self.above

    @property
    def mean_ratio(self) -> float:
        return self.ratio / self.n

    def add(self, value: float, low: float, high: float, true: float) -> None:
        if not (math.isfinite(low) and math.isfinite(high)):
            self.none += 1
            return
        self.inside += low <= true <= high
        self.below += true < low
        self.above += true > high
        self.ratio += value / true if true else 1.0

    def join(self, other: Tally) -> None:
        for name in ("inside", "below", "above", "none", "ratio", "shares"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


def run(scenario: Scenario, n_sets: int, seed: int) -> dict[str, Tally]:
    """Return the tallies of one scenario; ``"g(r)"`` is over all classes, ``"g at 0.1"`` over one of them."""
    tallies: dict[str, Tally] = defaultdict(Tally)
    true = truth(scenario)
    pattern = PATTERNS[scenario.pattern]
    for k in range(n_sets):
        rng = np.random.default_rng([seed, scenario.n, round(scenario.gsd * 100), scenario.side, k])
        table, calibration = micrograph(scenario, rng)
        found = summarise(table, frame_shape=(scenario.side, scenario.side), calibration=calibration, seed=k)
        for name, value in true.items():
            e = found[name]
            tallies[name].add(e.value, e.low, e.high, value)
        plain = summarise(
            table[["equivalent_diameter", "touches_edge"]][~table["touches_edge"]],
            frame_shape=(scenario.side, scenario.side),
            calibration=Calibration((1, 1), "nm"),
            edge_correction=False,
        )
        for name in ("d50", "mean"):
            e = plain[name]
            tallies[f"{name}, no edge weights"].add(e.value, e.low, e.high, true[name])

        points, sides = centres(table, frame_shape=(scenario.side, scenario.side), calibration=calibration)
        radial = radial_distribution(
            points, sides, bin_width=min(sides) / 4 / N_CLASSES, rel_uncertainty=REL_UNCERTAINTY
        )
        # The classes in true pixels, as shares of the frame that the pattern was drawn in.
        edges = np.arange(N_CLASSES + 1) * min(sides) / 4 / N_CLASSES / calibration.spacing[0] / scenario.side
        g = class_means(lambda r: pattern.g(r, scenario.n), edges)
        for j in range(N_CLASSES):
            if g[j] > 0:  # a class that can hold no pair is covered by nature
                tallies["g(r)"].add(radial.g[j], radial.low[j], radial.high[j], g[j])
        near = 8  # about 0.1 of the frame
        tallies["g at 0.1"].add(radial.g[near], radial.low[near], radial.high[near], g[near])
    return dict(tallies)


KINDS = ("bf-tem", "haadf-stem", "laadf-stem", "sem")
IMAGE = Scenario(60, 1.3, "apart", 512, 24.0)
"""What whole images show: spheres apart from each other, 1 nm per pixel."""
_LAYOUTS = 4000


def _options(seed: int, kind: str = "bf-tem") -> dict[str, Any]:
    return {
        "kind": kind,
        "seed": seed,
        "n": IMAGE.n,
        "frame_shape": (IMAGE.side, IMAGE.side),
        "pixel_size": 1.0,
        "median_diameter": IMAGE.median,
        "gsd": IMAGE.gsd,
        "arrangement": "isolated",
    }


def pairs_apart(seed: int, n_layouts: int = _LAYOUTS) -> np.ndarray:
    """Return the pairs up to 0, 0.25, 0.5, ... 150 px over those of particles without order: the truth of g(r).

    The law of particles that keep apart has no formula for g, so it is counted in layouts of the simulation that are
    used for nothing else. Each lies on a torus larger than the frame, so nothing has to be corrected.
    """
    from segmetry.synth.options import ParticleScene
    from segmetry.synth.populate import lay_out, populate

    r = np.arange(601) / 4
    found, n, side = np.zeros(len(r)), 0, 0.0
    for k in range(n_layouts):
        o = ParticleScene.from_dict(_options(10**9 + seed * 1_000_000 + k))
        particles, groups, margin, _ = populate(o, o.frame_shape)
        middles, *_ = lay_out(o, particles, groups, margin, o.frame_shape)
        side = IMAGE.side + 2 * margin
        tree = cKDTree(middles % side, boxsize=side)
        found += tree.count_neighbors(tree, r) - len(middles)
        n += len(middles)
    per_area = n / n_layouts / side**2
    return found / (n_layouts * per_area**2 * side**2)


def run_images(kind: str, n_sets: int, seed: int, pairs: np.ndarray) -> dict[str, Tally]:
    """Return the tallies of whole images: rendered, segmented by the default method, measured.

    "..., drawn" is what the truth's own labels give; "..., same particles" compares with the true diameters of the
    particles that count, so that no chance of the sample is in the ratio. `pairs` is from `pairs_apart`.
    """
    columns = ["area", "centroid", "equivalent_diameter", "edge_weight", "touches_edge", "feret_max"]
    true = truth(IMAGE)
    tallies: dict[str, Tally] = defaultdict(Tally)
    for k in range(n_sets):
        own = seed * 100_000 + KINDS.index(kind) * 25_000 + k
        scene = simulate(**_options(own, kind))
        # A stream that no stage of the simulation uses: seeded by `own` alone it would be that of the sizes.
        spacing = math.exp(np.random.default_rng([own, 999]).normal(0, REL_UNCERTAINTY))
        calibration = Calibration((spacing, spacing), "nm", REL_UNCERTAINTY, "scale bar")
        image = dataclasses.replace(scene.image, calibration=calibration)
        table = measure(segment(image, "hybrid"), image, measures=columns)
        place: dict[str, Any] = {"frame_shape": image.spatial_shape, "calibration": calibration}
        found = summarise(table, **place)
        for name, value in true.items():
            e = found[name]
            tallies[name].add(e.value, e.low, e.high, value)
        whole = int((~scene.truth["touches_frame"]).sum())
        n_found = int((~table["touches_edge"]).sum())
        tallies["found"].add(n_found, n_found, n_found, whole)
        tallies["lost"].above += n_found < whole / 2
        drawn = measure(scene.labels, calibration=calibration, measures=columns)
        perfect = summarise(drawn, **place)
        drawn["equivalent_diameter"] = scene.truth["equivalent_diameter"].to_numpy()[drawn["label"] - 1]
        same = summarise(drawn, **place)
        for name in ("d10", "d50", "d90", "mean"):
            e = perfect[name]
            tallies[f"{name}, drawn"].add(e.value, e.low, e.high, true[name])
            for what, values in (("same", found), ("same, drawn", perfect)):
                e = values[name]
                scale = spacing * same[name].value
                tallies[f"{name}, {what}"].add(e.value, e.low, e.high, scale)

        points, sides = centres(table, **place)
        radial = radial_distribution(points, sides, rel_uncertainty=REL_UNCERTAINTY)
        width = radial.r[1] - radial.r[0]
        edges = np.append(radial.r - width / 2, radial.r[-1] + width / 2) / spacing
        g = np.diff(np.interp(edges**2, (np.arange(len(pairs)) / 4) ** 2, pairs)) / (math.pi * np.diff(edges**2))
        image_g = Tally()
        for j in np.flatnonzero(g > 0.05):  # a class that can hold hardly any pair is covered by nature
            image_g.add(radial.g[j], radial.low[j], radial.high[j], g[j])
        tallies["g(r)"].join(image_g)
        tallies["g(r)"].shares.append(image_g.inside / (image_g.n + image_g.none))
        near = int(np.searchsorted(edges, 0.1 * IMAGE.side)) - 1
        tallies["g at 0.1"].add(radial.g[near], radial.low[near], radial.high[near], g[near])
    return dict(tallies)


def image_lines(results: dict[str, dict[str, Tally]]) -> list[str]:
    """Return the result of whole images as Markdown: coverage, then the values."""
    # An image without an interval has not covered.
    covered = ("d50", "mean", "g(r)", "g at 0.1", "d10", "d90", "gsd", "number_density")
    results = results | {"together": _together(results)}
    out = ["| kind | images | " + " | ".join(covered) + " |", "|---" * (len(covered) + 2) + "|"]
    for kind, tallies in results.items():
        out.append(f"| {kind} | {tallies['found'].n} | " + " | ".join(_cover(tallies[n]) for n in covered) + " |")
    out += [
        "",
        "| kind | D50: truth below, above | mean: truth below, above | D50, true labels | mean, true labels |",
        "|---" * 5 + "|",
    ]
    for kind, tallies in results.items():
        sides = (
            f"{tallies[n].below / tallies[n].n:.3f}, {tallies[n].above / tallies[n].n:.3f}" for n in ("d50", "mean")
        )
        drawn = (_cover(tallies[f"{n}, drawn"]) for n in ("d50", "mean"))
        out.append(f"| {kind} | " + " | ".join((*sides, *drawn)) + " |")
    names = ("d10", "d50", "d90", "mean")
    out += [
        "",
        "| kind | " + " | ".join(f"{n} / truth" for n in names) + " | the same, true labels | found / true number "
        "| images with less than half found |",
        "|---" * 8 + "|",
    ]
    for kind, tallies in results.items():
        ratios = [f"{tallies[f'{n}, same'].mean_ratio:.4f}" for n in names]
        ratios.append(", ".join(f"{tallies[f'{n}, same, drawn'].mean_ratio:.4f}" for n in names))
        ratios.append(f"{tallies['found'].mean_ratio:.4f} | {tallies['lost'].above}")
        out.append(f"| {kind} | " + " | ".join(ratios) + " |")
    return out


def _cover(t: Tally) -> str:
    """Return the share covered with its 95 % interval: Wilson's, or from the shares of the images."""
    if t.shares:
        half = 1.96 * np.std(t.shares, ddof=1) / math.sqrt(len(t.shares))
        low, high = np.mean(t.shares) - half, np.mean(t.shares) + half
    else:
        low, high = binomtest(t.inside, t.n + t.none).proportion_ci(method="wilson")
    return f"{t.inside / (t.n + t.none):.3f} ({low:.3f}–{high:.3f})"


def _together(results: dict[str, dict[str, Tally]]) -> dict[str, Tally]:
    together: dict[str, Tally] = defaultdict(Tally)
    for tallies in results.values():
        for name, tally in tallies.items():
            together[name].join(tally)
    return together


def lines(results: dict[str, dict[str, Tally]]) -> list[str]:
    """Return the result as Markdown: all scenarios together, then each."""
    together = _together(results)
    out = [
        "| statistic | intervals | cover | truth below | truth above | mean of value / truth |",
        "|---|---|---|---|---|---|",
    ]
    for name, t in together.items():
        out.append(
            f"| {name} | {t.n} | "
            + " | ".join(f"{share / t.n:.3f}" for share in (t.inside, t.below, t.above))
            + f" | {t.ratio / t.n:.4f} |"
        )
    columns = ("d10", "d50", "d90", "span", "mean", "mode", "gsd", "d32", "d43", "number_density", "g(r)", "g at 0.1")
    out += ["", "| scenario | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, tallies in results.items():
        shares = (f"{tallies[c].inside / tallies[c].n:.3f}" if tallies[c].n else "" for c in columns)
        out.append(f"| {name} | " + " | ".join(shares) + " |")
    out += [
        "",
        "| scenario | D50 / truth with weights | without | mean / truth with weights | without |",
        "|---" * 5 + "|",
    ]
    for name, tallies in results.items():
        ratios = (
            tallies[c].ratio / tallies[c].n for c in ("d50", "d50, no edge weights", "mean", "mean, no edge weights")
        )
        out.append(f"| {name} | " + " | ".join(f"{r:.4f}" for r in ratios) + " |")
    return out


FIGURES, IMAGES = (f"<!-- {what}: written by studies/interval_coverage.py -->\n" for what in ("figures", "images"))


def write(page: Path, marker: str, text: str) -> None:
    """Replace what stands between a marker and the next one (or the end) of a page."""
    before, _, after = page.read_text(encoding="utf-8").partition(marker)
    other = IMAGES if marker == FIGURES and IMAGES in after else ""
    rest = other + after.partition(IMAGES)[2] if other else ""
    page.write_text(before + marker + "\n" + text + ("\n" + rest if rest else ""), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=2000, help="data sets in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--images", action="store_true", help="render, segment and measure whole images instead")
    parser.add_argument("--write", type=Path, help="Markdown page to write the figures into, after the marker line")
    options = parser.parse_args()
    start = time.perf_counter()
    results: dict[str, dict[str, Tally]] = {}
    if options.images:
        each, how = options.sets // len(KINDS), f"{len(KINDS)} kinds of image"
        pairs = pairs_apart(options.seed)
        print(f"g(r) of {_LAYOUTS} layouts", f"{time.perf_counter() - start:.0f} s", flush=True)
        for kind in KINDS:
            results[kind] = run_images(kind, each, options.seed, pairs)
            print(kind, f"{time.perf_counter() - start:.0f} s", flush=True)
    else:
        each, how = options.sets // len(SCENARIOS), f"{len(SCENARIOS)} scenarios"
        for scenario in SCENARIOS:
            results[scenario.name] = run(scenario, each, options.seed)
            print(scenario.name, f"{time.perf_counter() - start:.0f} s", flush=True)
    low, high = (x / options.sets for x in binom.interval(0.95, options.sets, 0.95))
    command = (
        f"python studies/interval_coverage.py{' --images' * options.images} --sets {options.sets} --seed {options.seed}"
    )
    text = (
        f"`{command}`: {each} data sets in each of {how}, {time.perf_counter() - start:.0f} s on one core "
        f"({platform.machine()}, Python {platform.python_version()}). If intervals cover 95 %, the share of "
        f"{options.sets} of them lies between {low:.3f} and {high:.3f} nineteen times in twenty.\n\n"
        + "\n".join(image_lines(results) if options.images else lines(results))
        + "\n"
    )
    print(text)
    if options.write:
        write(options.write, IMAGES if options.images else FIGURES, text)


if __name__ == "__main__":
    main()
