"""Do intervals hold the truth where the network finds the particles? Whole simulated micrographs through `analyse`.

    python studies/network_share.py --scenes 200 --keep network.jsonl --write docs/studies/segmentation-share.md

Each scene is drawn by the ranges of `segmetry.synth.presets` (support, optics, dose, shapes, spread of sizes), then
given one of four microscopes and one of five ways to lie. The truth is the law of its diameters, and the particles that
show in it, each with its true diameter. What a scene gave is kept as a line of a file: a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from segmentation_share import write
from segmetry.errors import OptionError
from segmetry.measure import distribution, measure
from segmetry.measure.uncertainty import Counting, combine
from segmetry.pipeline import analyse
from segmetry.recipe import Recipe
from segmetry.segment.particles import Particles
from segmetry.synth import simulate
from segmetry.synth.presets import random_scene
from segmetry.synth.scene import Scene
from segmetry.types import Calibration

KINDS = ("bf-tem", "haadf-stem", "laadf-stem", "sem")
LYING: Mapping[str, Mapping[str, Any]] = {
    "few, apart": {"arrangement": "isolated", "n": 15, "coverage": None},
    "apart": {"arrangement": "isolated", "n": 60, "coverage": None},
    "crowded, apart": {"arrangement": "isolated", "coverage": 0.3},
    "touching": {"arrangement": "touching", "coverage": 0.15},
    "random, some overlap": {"arrangement": "random", "coverage": 0.25},
}
SIDE, SMALLEST, LARGEST = 448, 14.0, 40.0
"""Side of a frame, and range of the median diameter; px."""
REL_UNCERTAINTY, SAMPLES = 0.005, 8
SEED = 40_000  # not that of the scenes the network learned from


def draw_scene(index: int) -> tuple[Scene, str]:
    """Return a scene, and how its particles lie; kinds and ways to lie take turns."""
    rng = np.random.default_rng([SEED, index])
    lying = list(LYING)[index // len(KINDS) % len(LYING)]
    drawn = random_scene(rng, kind=KINDS[index % len(KINDS)]).as_dict()
    diameter = math.exp(rng.uniform(math.log(SMALLEST), math.log(LARGEST)))
    drawn |= {"n": None, "frame_shape": (SIDE, SIDE), "pixel_size": drawn["median_diameter"] / diameter}
    drawn |= {"calibrated": True, "bar": "none", "footer": "none", "letter": ""} | dict(LYING[lying])
    while True:
        try:
            return simulate(**drawn), lying
        except OptionError:  # too crowded for such shapes
            fewer = "coverage" if drawn["coverage"] else "n"
            drawn[fewer] = type(drawn[fewer])(drawn[fewer] / 1.5)


def visible(scene: Scene) -> pd.DataFrame:
    """Return the particles that show in as many pixels as the method asks for, each with its true diameter."""
    drawn = measure(scene.labels, measures=["num_pixels", "equivalent_diameter", "edge_weight", "touches_edge"])
    true = scene.truth["equivalent_diameter"].to_numpy()[drawn["label"] - 1]
    return drawn.assign(equivalent_diameter=true)[drawn["num_pixels"] >= Particles().min_size]


def run(index: int) -> dict[str, Any]:
    """Return what one scene gave, as plain data."""
    scene, lying = draw_scene(index)
    spacing = scene.pixel_size * math.exp(np.random.default_rng([SEED, index, 1]).normal(0, REL_UNCERTAINTY))
    image = dataclasses.replace(
        scene.image, calibration=Calibration((spacing, spacing), scene.unit, REL_UNCERTAINTY, "scale bar")
    )
    start = time.process_time()
    result = analyse(image, Recipe.build("particles", options={"samples": SAMPLES}, scale="metadata"))
    seconds = time.process_time() - start
    true = visible(scene)
    found = result.estimates["d50"]
    without = distribution(result.table, rel_uncertainty=REL_UNCERTAINTY).estimates["d50"]
    return {
        "index": index,
        "kind": scene.parameters["kind"],
        "lying": lying,
        "model": result.segmentation.info["model"]["sha256"],
        "seconds": round(seconds, 2),
        "population": scene.population["d50"],
        "own": distribution(true).estimates["d50"].value,
        "n_true": len(true),
        "n": len(result.table),
        "n_samples": [int(s.max()) for s in result.segmentation.samples],
        "d50": found.as_dict(),
        "without": without.as_dict(),
        "count": result.estimates["count"].as_dict(),
        "border_px": result.segmentation.info["border_sd_px"],
        "pixel": spacing,
    }


def kept(path: Path) -> list[dict[str, Any]]:
    """Return the scenes that a file holds; a line half written does not count."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def fill(path: Path, n_scenes: int, seconds: float) -> list[dict[str, Any]]:
    """Run the scenes that the file does not hold, for so long, and return all of them in order."""
    rows, start = kept(path), time.monotonic()
    for index in sorted(set(range(n_scenes)) - {r["index"] for r in rows}):
        if time.monotonic() - start > seconds:
            break
        rows.append(run(index))
        with path.open("a", encoding="utf-8") as file:
            file.write("\n" * (file.tell() > 0) + json.dumps(rows[-1]))
        print(index, rows[-1]["kind"], rows[-1]["lying"], f"{rows[-1]['seconds']:.1f} s", flush=True)
    return sorted(rows, key=lambda r: r["index"])


def holds(interval: Mapping[str, float | None] | None, truth: float) -> bool:
    """Return whether an interval holds the truth; none at all does not."""
    if interval is None or interval["low"] is None or interval["high"] is None:
        return False
    return interval["low"] <= truth <= interval["high"]


def samples_hold(row: Mapping[str, Any]) -> bool:
    """Return whether an interval made of samples alone would hold the number of particles in the image."""
    n = float(row["n"])
    own = combine("count", Counting(n, n, n, row["n"], ""), sample_values=row["n_samples"]).this_image
    return own is not None and own.low <= row["n_true"] <= own.high


def lines(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the figures as Markdown: over all scenes, by how particles lie, and by microscope."""
    yield (
        "| scenes | number | population, with the share | without it | this image | number in this image | "
        "by samples alone | half-width of the number | width, with / without | D50 / true, median (quartiles) | "
        "found / true number |"
    )
    yield "|---" * 11 + "|"
    parts: list[tuple[str, list[Mapping[str, Any]]]] = [("all", list(rows))]
    for key, names in (("lying", LYING), ("kind", KINDS)):
        parts += [(name, [r for r in rows if r[key] == name]) for name in names]
    for name, part in parts:
        if part:
            yield f"| {name} | {len(part)} | {' | '.join(_cells(part))} |"


def _cells(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for hits in (
        [holds(r["d50"], r["population"]) for r in rows],
        [holds(r["without"], r["population"]) for r in rows],
        [holds(r["d50"]["this_image"], r["own"]) for r in rows],
        [holds(r["count"]["this_image"], r["n_true"]) for r in rows],
        [samples_hold(r) for r in rows],
    ):
        yield _share(hits)
    half = [_width(r["count"]["this_image"]) / 2 / r["n"] for r in rows if r["n"] and r["count"]["this_image"]]
    yield f"{100 * np.median(half):.0f} %"
    wide = [_width(r["d50"]) / _width(r["without"]) for r in rows if _width(r["without"]) > 0]
    yield f"{np.median(wide):.2f}"
    ratios = [r["d50"]["value"] / r["own"] for r in rows if r["d50"]["value"]]
    low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
    yield f"{middle:.3f} ({low:.3f}–{high:.3f})"
    yield f"{np.median([r['n'] / r['n_true'] for r in rows if r['n_true']]):.2f}"


def _width(interval: Mapping[str, Any]) -> float:
    return math.nan if interval["low"] is None or interval["high"] is None else interval["high"] - interval["low"]


def _share(hits: Iterable[bool]) -> str:
    found = list(hits)
    low, high = binomtest(sum(found), len(found)).proportion_ci(method="exact")
    return f"{sum(found) / len(found):.3f} ({low:.2f}–{high:.2f})"


MARKER = "<!-- network: written by studies/network_share.py -->\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--keep", type=Path, required=True, help="file that scenes are added to")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no scene after so long")
    parser.add_argument("--write", type=Path, help="Markdown page whose part after the marker line is replaced")
    options = parser.parse_args()
    rows = fill(options.keep, options.scenes, 60 * options.minutes)
    models = sorted({r["model"][:12] for r in rows})
    text = (
        "## Where a network finds them\n\n"
        f"`python studies/network_share.py --scenes {options.scenes}`: {len(rows)} scenes, {SAMPLES} samples each, "
        f"model {', '.join(models)}, {np.median([r['seconds'] for r in rows]):.1f} s of one core a scene (median). In "
        "brackets: exact binomial 95 % interval.\n\n" + "\n".join(lines(rows)) + "\n"
    )
    print(text)
    if options.write:
        write(options.write, MARKER, text)


if __name__ == "__main__":
    main()
