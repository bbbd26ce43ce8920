"""Do intervals that hold the segmentation's share cover? Segmentations with a known law of error, of known populations.

    python studies/segmentation_share.py --sets 300 --seed 1 --write docs/studies/segmentation-share.md
    python studies/segmentation_share.py --images --sets 60 --seed 1 --write docs/studies/segmentation-share.md

There is no network here, only what one does to an image. The scene: disks of log-normal diameter without order, those
that touch the frame dropped and the others weighted. The segmenter: every particle and every false candidate shows
evidence; the chance that a candidate is a particle, given its evidence and size, is known by Bayes' rule; those above
one half are kept. Radii come out with an error of their own and one that all borders share. A Monte Carlo sample draws
anew, from the same law given the image, which candidates are particles and where the borders lie.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats
from scipy.stats import binomtest

from segmetry.measure import measure, summarise
from segmetry.measure.distributions import sample_only
from segmetry.measure.segmentation_share import border_of, both_ways, sample_tables
from segmetry.measure.spatial import number_density
from segmetry.measure.uncertainty import combine, student
from segmetry.measure.weighted import mean, mean_counting, quantile, quantile_counting
from segmetry.types import Calibration, Estimate, Segmentation

MEDIAN, SIDE, REL_UNCERTAINTY = 24.0, 1000.0, 0.005
FALSE_MEDIAN, FALSE_GSD = 12.0, 1.4
"""Law of the sizes of what is no particle: grain and letters are small."""
NAMES = ("d50", "mean", "number_density", "area_fraction")


@dataclass(frozen=True)
class Law:
    """How a segmenter errs."""

    name: str
    own: float = 0.3
    """Standard deviation of each radius by itself, px."""
    common: float = 0.0
    """Standard deviation of a border shift that all particles of an image share, px; samples draw it too."""
    hidden: float = 0.0
    """The same of a shift that samples do not draw, but `border_sd_px` states."""
    evidence: float = math.inf
    """Mean evidence of a particle over its standard deviation; minus that for what is none. Infinite: all is clear."""
    false: float = 0.0
    """Candidates that are none, over particles."""
    value_off: float = 0.0
    """Shift of the segmentation's own borders, px, that samples do not have: the samples are right."""
    samples_off: float = 0.0
    """Shift of the samples' borders, px, that the segmentation does not have: the samples are wrong."""
    n: int = 150
    """Particles expected in the frame."""
    gsd: float = 1.3
    n_samples: int = 16


LAWS = (
    Law("each particle by itself", own=0.6),
    Law("a shift that samples show", common=0.5),
    Law("a shift that samples do not show, stated", hidden=0.5),
    Law("doubtful and false particles", evidence=1.2, false=0.3),
    Law("all of it", common=0.35, hidden=0.35, evidence=1.2, false=0.3),
    Law("all of it, 8 samples", common=0.35, hidden=0.35, evidence=1.2, false=0.3, n_samples=8),
    Law("all of it, 40 particles", common=0.35, hidden=0.35, evidence=1.2, false=0.3, n=40),
    Law("all of it, 800 particles", common=0.35, hidden=0.35, evidence=1.2, false=0.3, n=800),
    Law("samples too small", common=0.35, samples_off=-0.7),
    Law("samples right, value too large", common=0.35, value_off=0.7),
)


@dataclass
class Scene:
    """What is there, and what a segmenter and its samples make of it: centres and diameters, px."""

    true: tuple[np.ndarray, np.ndarray]
    found: tuple[np.ndarray, np.ndarray]
    samples: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)


def draw_scene(law: Law, rng: np.random.Generator, side: float = SIDE, isolated: bool = False) -> Scene:
    """Return a scene, its segmentation, and samples."""
    spread = math.log(law.gsd)
    margin = MEDIAN * math.exp(4 * spread) / 2
    reach = side + 2 * margin
    n_true, n_false = rng.poisson(np.array([1, law.false]) * law.n * (reach / side) ** 2)
    real = np.arange(n_true + n_false) < n_true
    size = np.where(
        real,
        MEDIAN * np.exp(rng.normal(0, spread, len(real))),
        FALSE_MEDIAN * np.exp(rng.normal(0, math.log(FALSE_GSD), len(real))),
    )
    centre = rng.uniform(-margin, side + margin, (len(real), 2))
    if isolated:
        keep = _apart(centre, size)
        centre, size, real = centre[keep], size[keep], real[keep]
    chance = np.ones(len(real))
    if math.isfinite(law.evidence):
        evidence = rng.normal(np.where(real, law.evidence, -law.evidence), 1.0)
        logit = np.log(_density(size, MEDIAN, law.gsd) / _density(size, FALSE_MEDIAN, FALSE_GSD) / law.false)
        chance = 1 / (1 + np.exp(-np.clip(logit + 2 * law.evidence * evidence, -500, 500)))
    shift = rng.normal(0, law.common) + rng.normal(0, law.hidden) + law.value_off
    measured = size + 2 * (shift + rng.normal(0, law.own, len(size)))

    def kept(which: np.ndarray, diameters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        which = which & (diameters > 2)
        return centre[which], diameters[which]

    scene = Scene(kept(real, size), kept(chance > 0.5, measured))
    for _ in range(law.n_samples):
        moved = rng.normal(0, law.common) - law.value_off + law.samples_off + rng.normal(0, law.own, len(size))
        scene.samples.append(kept(rng.random(len(size)) < chance, measured + 2 * moved))
    return scene


def _density(size: np.ndarray, median: float, gsd: float) -> np.ndarray:
    return stats.lognorm.pdf(size, math.log(gsd), scale=median)


def _apart(centre: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return which disks lie 4 px or more from all that came before them, so that labels keep their sizes."""
    keep = np.zeros(len(size), bool)
    for k in range(len(size)):
        gap = np.hypot(*(centre[keep] - centre[k]).T) - (size[keep] + size[k]) / 2
        keep[k] = bool(np.all(gap > 4))
    return keep


def table_of(centre: np.ndarray, size: np.ndarray, spacing: float, side: float = SIDE) -> pd.DataFrame:
    """Return the table of disks as `measure` would give it, but for the raster."""
    seen = np.all((centre > -size[:, None] / 2) & (centre < side + size[:, None] / 2), axis=1)
    centre, size = centre[seen], size[seen]
    whole = np.all((centre > size[:, None] / 2) & (centre < side - size[:, None] / 2), axis=1)
    weight = np.where(whole, side**2 / np.maximum(side - size, 1) ** 2, np.nan)
    table = pd.DataFrame(
        {
            "equivalent_diameter": size * spacing,
            "area": math.pi / 4 * (size * spacing) ** 2,
            "centroid-0": centre[:, 0] - 0.5,
            "centroid-1": centre[:, 1] - 0.5,
            "edge_weight": weight,
            "touches_edge": ~whole,
        }
    )
    table.attrs["units"] = {"equivalent_diameter": "nm", "area": "nm^2"}
    return table


def population(law: Law) -> dict[str, float]:
    """Return what the law of the particles has; one pixel is truly 1 nm."""
    s, per_area = math.log(law.gsd), law.n / SIDE**2
    return {
        "d50": MEDIAN,
        "mean": MEDIAN * math.exp(s**2 / 2),
        "number_density": per_area,
        "area_fraction": per_area * math.pi / 4 * MEDIAN**2 * math.exp(2 * s**2),
    }


@dataclass
class Tally:
    """How often each kind of interval held its truth."""

    n: int = 0
    held: dict[str, int] = field(default_factory=dict)
    widths: dict[str, list[float]] = field(default_factory=dict)
    shares: list[float] = field(default_factory=list)

    def add(self, kind: str, low: float, high: float, truth: float) -> None:
        """Count one interval."""
        self.held[kind] = self.held.get(kind, 0) + (low <= truth <= high)
        self.widths.setdefault(kind, []).append((high - low) / 2 / truth)

    def cover(self, kind: str) -> float:
        """Return the share that held the truth."""
        return self.held[kind] / self.n


def other_ways(value: float, samples: np.ndarray, rel: float) -> dict[str, tuple[float, float]]:
    """Return intervals for this image that were tried in place of ours; the pixel size joined alike."""
    logs, t, calibration = np.log(samples), student(0.95, len(samples) - 1), 1.96 * rel
    sd, mean = float(np.std(logs, ddof=1)) * math.sqrt(1 + 1 / len(logs)), float(np.mean(logs))
    half, normal = math.hypot(t * sd, calibration), math.hypot(1.96 * sd, calibration)
    low, high = np.quantile(logs, [0.025, 0.975])
    both = math.hypot(t * sd, 1.96 * (mean - math.log(value)), calibration)
    return {
        "around the value": (value * math.exp(-half), value * math.exp(half)),
        "around the value, normal": (value * math.exp(-normal), value * math.exp(normal)),
        "around the samples": (math.exp(mean - half), math.exp(mean + half)),
        "percentiles": (math.exp(low), math.exp(high)),
        "distance on both sides": (value * math.exp(-both), value * math.exp(both)),
    }


def few_estimates(
    table: pd.DataFrame, samples: list[pd.DataFrame], border: float, side: float, spacing: float
) -> tuple[dict[str, Estimate], dict[str, list[float]]]:
    """Return the estimates that `NAMES` lists, as `summarise` gives them, and their values in the samples."""
    sides, frame = (side * spacing, side * spacing), (side * spacing) ** 2
    tables = [table, *samples, *both_ways(table, border)]
    sizes = [sample_only(t, "equivalent_diameter") for t in tables]
    weights, areas = ([t[c].to_numpy() for t in tables] for c in ("edge_weight", "area"))
    points = (table[["centroid-0", "centroid-1"]].to_numpy() + 0.5) * spacing
    whole = np.isfinite(weights[0])
    values = {
        "d50": [quantile(s, 0.5) for s in sizes],
        "mean": [mean(s) for s in sizes],
        "number_density": [float(np.nansum(w)) / frame for w in weights],
        "area_fraction": [float(np.sum(a)) / frame for a in areas],
    }
    countings = {
        "d50": (1, quantile_counting(sizes[0], 0.5, 0.95)),
        "mean": (1, mean_counting(sizes[0], 0.95)),
        "number_density": (-2, number_density(points[whole], sides, weights=weights[0][whole])),
        "area_fraction": (0, number_density(points, sides, weights=areas[0])),
    }
    last = 1 + len(samples)
    found = {
        name: combine(
            name,
            counting,
            power=power,
            rel_uncertainty=REL_UNCERTAINTY,
            sample_values=values[name][1:last],
            border_values=values[name][last:] if name != "number_density" else (),
        )
        for name, (power, counting) in countings.items()
    }
    return found, {name: v[1:last] for name, v in values.items()}


def judge(
    tallies: dict[str, Tally],
    law: Law,
    found: Mapping[str, Estimate],
    without: Mapping[str, Estimate],
    own: Mapping[str, float],
    values: Mapping[str, list[float]],
    names: Sequence[str] = NAMES,
) -> None:
    """Hold the intervals of one segmentation against population and image."""
    for name in names:
        truth = population(law)[name]
        tally, e = tallies.setdefault(name, Tally()), found[name]
        tally.n += 1
        tally.add("population", e.low, e.high, truth)
        tally.add("without", without[name].low, without[name].high, truth)
        tally.add("this image", *e.this_image, own[name])
        tally.shares.append(e.contributions.get("segmentation", 0) + e.contributions.get("border", 0))
        if values:
            rel = REL_UNCERTAINTY * {"number_density": 2, "area_fraction": 0}.get(name, 1)
            for way, (low, high) in other_ways(e.value, np.array(values[name]), rel).items():
                tally.add(way, low, high, own[name])


def run(law: Law, n_sets: int, seed: int) -> dict[str, Tally]:
    """Return the tallies of one law, from tables alone."""
    tallies: dict[str, Tally] = {}
    for k in range(n_sets):
        rng = np.random.default_rng([seed, LAWS.index(law) if law in LAWS else len(LAWS), k])
        scene, spacing = draw_scene(law, rng), math.exp(rng.normal(0, REL_UNCERTAINTY))
        table = table_of(*scene.found, spacing)
        samples = [table_of(*s, spacing) for s in scene.samples]
        found, values = few_estimates(table, samples, law.hidden * spacing, SIDE, spacing)
        without, _ = few_estimates(table, [], 0.0, SIDE, spacing)
        true, _ = few_estimates(table_of(*scene.true, 1.0), [], 0.0, SIDE, 1.0)
        own = {name: e.value for name, e in true.items()}
        judge(tallies, law, found, without, own, values if law.hidden == 0 else {})
    return tallies


def paint(centre: np.ndarray, size: np.ndarray, side: int) -> np.ndarray:
    """Return the label image of disks; the later lies on top."""
    labels = np.zeros((side, side), np.int32)
    for k, ((row, col), d) in enumerate(zip(centre - 0.5, size), start=1):
        top, left = max(math.floor(row - d / 2), 0), max(math.floor(col - d / 2), 0)
        box = labels[top : max(math.ceil(row + d / 2) + 1, 0), left : max(math.ceil(col + d / 2) + 1, 0)]
        rows, cols = np.ogrid[: box.shape[0], : box.shape[1]]
        box[(rows + top - row) ** 2 + (cols + left - col) ** 2 <= d * d / 4] = k
    return labels


COLUMNS = ["equivalent_diameter", "area", "centroid", "edge_weight", "touches_edge", "feret_max"]
IMAGE_SIDE = 512


def run_images(law: Law, n_sets: int, seed: int) -> dict[str, Tally]:
    """Return the tallies of whole label images: drawn, sampled, and measured as the pipeline does."""
    tallies: dict[str, Tally] = {}
    law = dataclasses.replace(law, n=round(law.n * (IMAGE_SIDE / SIDE) ** 2))
    for k in range(n_sets):
        rng = np.random.default_rng([seed, 77, k])
        scene, spacing = draw_scene(law, rng, IMAGE_SIDE, isolated=True), math.exp(rng.normal(0, REL_UNCERTAINTY))
        segmentation = Segmentation(
            paint(*scene.found, IMAGE_SIDE),
            info={"border_sd_px": law.hidden},
            samples=tuple(paint(*s, IMAGE_SIDE) for s in scene.samples),
        )
        calibration = Calibration((spacing, spacing), "nm", REL_UNCERTAINTY, "scale bar")
        table = measure(segmentation, calibration=calibration, measures=COLUMNS)
        samples = list(sample_tables(segmentation, calibration=calibration))
        border = border_of(segmentation.info, calibration)
        place = {"frame_shape": (IMAGE_SIDE, IMAGE_SIDE), "calibration": calibration}
        found = summarise(table, **place, samples=samples, border=border)
        true, _ = few_estimates(table_of(*scene.true, 1.0, IMAGE_SIDE), [], 0.0, IMAGE_SIDE, 1.0)
        own = {name: e.value for name, e in true.items()}
        # Disks that keep apart are fewer than the law says: their sizes can be judged, their number cannot.
        judge(tallies, law, found, summarise(table, **place), own, {}, NAMES[:2])
    return tallies


def lines(results: dict[str, dict[str, Tally]]) -> list[str]:
    """Return coverage as Markdown."""
    out = []
    for name in next(iter(results.values())):
        out += [
            f"**{name}**", "",
            "| law of error | population, with the share | without it | width, with / without | segmentation and "
            "border of the variance | this image |",
            "|---" * 6 + "|",
        ]  # fmt: skip
        for law, tallies in results.items():
            t = tallies[name]
            ratio = np.median(np.divide(t.widths["population"], t.widths["without"]))
            covers = (_cover(t, kind) for kind in ("population", "without", "this image"))
            cells = (next(covers), next(covers), f"{ratio:.2f}", f"{np.mean(t.shares):.0%}", next(covers))
            out.append(f"| {law} | {' | '.join(cells)} |")
        out.append("")
    return out


def lines_of_ways(results: dict[str, dict[str, Tally]]) -> list[str]:
    """Return how other ways to make the interval of this image do, as Markdown."""
    ways = ["this image", "around the value", "around the value, normal", "around the samples", "percentiles",
            "distance on both sides"]  # fmt: skip
    out = [
        "| law of error, statistic | ours | " + " | ".join(ways[1:]) + " |",
        "|---" * (len(ways) + 1) + "|",
    ]
    for law, tallies in results.items():
        for name in NAMES:
            t = tallies[name]
            if ways[1] in t.held:
                cells = (f"{t.cover(w):.3f} (±{np.median(t.widths[w]):.1%})" for w in ways)
                out.append(f"| {law}, {name} | " + " | ".join(cells) + " |")
    return out


def _cover(t: Tally, kind: str) -> str:
    low, high = binomtest(t.held[kind], t.n).proportion_ci(method="wilson")
    return f"{t.cover(kind):.3f} ({low:.2f}–{high:.2f})"


TABLES, IMAGES = (f"<!-- {what}: written by studies/segmentation_share.py -->\n" for what in ("tables", "images"))


WAYS = """
## Other ways

Intervals for *this image* that were tried, with their median half-width: around the value with the samples' spread
alone (Student's and normal quantiles), around the samples' mean, the samples' percentiles, and with the distance of
the mean on both sides. Ours has it on the side of the samples: the narrowest that covers in every row.

"""
WHOLE = """## Whole label images

Drawn as labels in 512 x 512 pixels, disks kept apart, measured by the fast pass and summed up as the pipeline does.
That rule makes the disks fewer than the law says, so only sizes are judged.

"""


def write(page: Path, marker: str, text: str) -> None:
    """Replace what stands between a marker and the next one (or the end) of a page."""
    before, _, after = page.read_text(encoding="utf-8").partition(marker)
    _, following, rest = after.partition("\n<!-- ")
    page.write_text(before + marker + "\n" + text + following + rest, encoding="utf-8")


def studied(n_sets: int, seed: int, images: bool) -> Iterator[tuple[str, dict[str, Tally]]]:
    """Yield the name of each law with its tallies."""
    for law in LAWS if not images else [law for law in LAWS if law.name == "all of it"]:
        yield law.name, (run_images if images else run)(law, n_sets, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=300, help="scenes of each law")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--images", action="store_true", help="draw and measure whole label images")
    parser.add_argument("--write", type=Path, help="Markdown page to write the figures into, after the marker line")
    options = parser.parse_args()
    start, results = time.process_time(), {}
    for name, tallies in studied(options.sets, options.seed, options.images):
        results[name] = tallies
        print(name, f"{time.process_time() - start:.0f} s", flush=True)
    which = " --images" * options.images
    command = f"python studies/segmentation_share.py{which} --sets {options.sets} --seed {options.seed}"
    text = (
        f"`{command}`: {options.sets} scenes of each law, {time.process_time() - start:.0f} s of one core "
        f"({platform.machine()}, Python {platform.python_version()}). In brackets: Wilson's 95 % interval.\n\n"
    )
    text += "\n".join(lines(results))
    if not options.images:
        text += WAYS + "\n".join(lines_of_ways(results)) + "\n"
    else:
        text = WHOLE + text
    print(text)
    if options.write:
        write(options.write, IMAGES if options.images else TABLES, text)


if __name__ == "__main__":
    main()
