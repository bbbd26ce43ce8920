"""Do refined contours measure right? Diameters from labels drawn too wide, before and after, against the true ones.

    python studies/refine_borders.py --seed 1 --write docs/studies/borders.md

Starting labels are made of the true ones: as they are; 1.5 px too wide and ragged, as a network gives them; 1 px too
narrow. With real data at hand (`studies/realdata.py`), labelled micrographs tell how far their contours move.
"""

from __future__ import annotations

import argparse
import itertools
import math
import platform
import time
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

import realdata
from segmetry.segment.objects import surroundings
from segmetry.segment.refine import refine_contours
from segmetry.synth import Scene, simulate

KINDS = ("bf-tem", "haadf-stem", "laadf-stem", "sem")
"""Bright-field STEM is rendered by the law of bright-field TEM."""
SHAPES = ("sphere", "rod", "irregular", "cube")
DIAMETERS = (6, 10, 15, 20, 40, 100, 200)
STARTS = {"the truth": (0.0, 0.0), "1.5 px too wide, ragged": (1.5, 0.7), "1 px too narrow": (-1.0, 0.0)}
"""Offset of the contour outwards and standard deviation of its raggedness, px."""
DRAWN = "1.5 px too wide, ragged"


class Setting(NamedTuple):
    """Blur (px), dose (electrons per px) and support of a scene."""

    blur: float
    dose: float
    support: str


SETTINGS = (Setting(0.8, 400, "flat"), Setting(1.5, 200, "carbon"))
BLURS = (0.5, 1.0, 1.5, 2.0)


class Outcome(NamedTuple):
    """Per particle: true diameter, that of the label before and after, that of the sub-pixel area; was it moved?"""

    true: np.ndarray
    before: np.ndarray
    after: np.ndarray
    fine: np.ndarray
    moved: np.ndarray


def scene_of(kind: str, shape: str, diameter: float, setting: Setting, seed: int, **options: object) -> Scene:
    """Return whole particles of nearly one size, 8 px or more apart unless told; a pixel is 1 nm."""
    n = 30 if diameter <= 20 else 10 if diameter <= 100 else 2
    side = max(200, math.ceil(math.sqrt(n * math.pi / 4 * diameter**2 / 0.14)))
    plain = {"arrangement": "isolated", "min_gap_px": 8.0}
    return simulate(
        kind,
        seed=seed,
        shapes=shape,
        median_diameter=diameter,
        gsd=1.03,
        n=n,
        frame_shape=(side, side),
        pixel_size=1.0,
        edges="inside",
        blur_px=setting.blur,
        dose=setting.dose,
        support=setting.support,
        **(plain | options),
    )


def drawn(labels: np.ndarray, offset: float, ragged: float, rng: np.random.Generator) -> np.ndarray:
    """Return labels with contours `offset` px outside, and a smooth random deviation (4 px long) of that many px."""
    near = surroundings(labels, 6)
    inside = cv2.distanceTransform((labels > 0).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) - 0.5
    depth = np.where(labels > 0, inside, 0.5 - near.distance)
    noise = cv2.GaussianBlur(rng.normal(size=labels.shape), (0, 0), 4.0)
    return np.where(depth > ragged * noise / noise.std() - offset, near.label, 0).astype(np.int32)


def diameters(labels: np.ndarray, n: int) -> np.ndarray:
    """Return the equivalent diameter (px) of labels 1..n."""
    return 2 * np.sqrt(np.bincount(labels.ravel(), minlength=n + 1)[1 : n + 1] / math.pi)


def outcome(scene: Scene, start: tuple[float, float], rng: np.random.Generator) -> Outcome:
    """Refine labels drawn off the edge, and return what became of the diameters."""
    labels = drawn(scene.labels, *start, rng)
    n = int(labels.max(initial=0))
    refined = refine_contours(scene.image.pixels.astype(np.float32), labels)
    true = scene.truth["equivalent_diameter"].to_numpy()[:n] / scene.pixel_size
    fine = 2 * np.sqrt(refined.area / math.pi)
    seen = (scene.truth["visible_fraction"].to_numpy()[:n] > 0.995) & (np.bincount(labels.ravel())[1:] > 0)
    whole = Outcome(true, diameters(labels, n), diameters(refined.labels, n), fine, refined.moved)
    return Outcome(*(values[seen] for values in whole))


def told(found: Outcome) -> str:
    """Return bias ± spread of moved particles in words, and the share moved where it is not all."""
    if not found.moved.any():
        return "none moved"
    error = (found.after - found.true)[found.moved]
    share = "" if found.moved.all() else f" ({found.moved.mean():.0%})"
    return f"{error.mean():+.2f} ± {error.std():.2f}{share}"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _head(*cells: str) -> list[str]:
    return [_row(*cells), "|---" * len(cells) + "|"]


def matrix_lines(seed: int) -> tuple[list[str], list[str], list[str]]:
    """Return the table of all cells, that of the starts, and that of the label image beside the sub-pixel area."""
    cells = _head("microscope", "shape", "blur, dose, support", *(f"{d} px" for d in DIAMETERS))
    by_start: dict[tuple[str, int], list[Outcome]] = {}
    all_of: dict[tuple[str, int], list[Outcome]] = {}
    for i, (kind, shape, setting) in enumerate(itertools.product(KINDS, SHAPES, SETTINGS)):
        row = []
        for d in DIAMETERS:
            scene = scene_of(kind, shape, d, setting, seed * 1_000_000 + 1000 * i + d)
            for name, start in STARTS.items():
                if name != DRAWN and setting != SETTINGS[0]:
                    continue
                found = outcome(scene, start, np.random.default_rng([seed, i, d]))
                by_start.setdefault((name, d), []).append(found)
                if name == DRAWN:
                    row.append(told(found))
                    all_of.setdefault((kind, d), []).append(found)
        cells.append(_row(kind, shape, f"{setting.blur:g} px, {setting.dose:g}, {setting.support}", *row))
        print(cells[-1], flush=True)
    starts = _head("start", *(f"{d} px" for d in DIAMETERS))
    for name in STARTS:
        some = [[told_bias(o) for o in by_start[name, d] if o.moved.any()] for d in DIAMETERS]
        moved = [np.concatenate([o.moved for o in by_start[name, d]]).mean() for d in DIAMETERS]
        before = [np.mean([np.mean(o.before - o.true) for o in by_start[name, d]]) for d in DIAMETERS]
        row = (
            f"{b:+.2f} → {np.mean(v):+.2f}, {np.mean(np.abs(v) < 0.3):.0%} of cells ({m:.0%})" if v else "none moved"
            for b, v, m in zip(before, some, moved, strict=True)
        )
        starts.append(_row(name, *row))
    fine = _head("microscope", *(f"{d} px" for d in DIAMETERS))
    for kind in KINDS:
        row = []
        for d in DIAMETERS:
            moved_of = [o for o in all_of[kind, d] if o.moved.any()]
            label = np.mean([told_bias(o) for o in moved_of])
            area = np.mean([np.mean((o.fine - o.true)[o.moved]) for o in moved_of])
            row.append(f"{label:+.2f} / {area:+.2f}")
        fine.append(_row(kind, *row))
    return cells, starts, fine


def told_bias(found: Outcome) -> float:
    """Return the bias of the moved particles, px."""
    return float(np.mean((found.after - found.true)[found.moved]))


def blur_lines(seed: int) -> list[str]:
    """Return bias over blur, dose 400, flat support."""
    out = _head("microscope", "shape", "diameter", *(f"blur {b:g} px" for b in BLURS))
    for kind, shape, d in itertools.product(("bf-tem", "haadf-stem", "sem"), ("sphere", "cube"), (20, 40)):
        row = []
        for b in BLURS:
            scene = scene_of(kind, shape, d, Setting(b, 400, "flat"), seed * 2_000_000 + d)
            row.append(told(outcome(scene, STARTS[DRAWN], np.random.default_rng([seed, d]))))
        out.append(_row(kind, shape, f"{d} px", *row))
    return out


def touching_lines(seed: int) -> list[str]:
    """Return bias of particles in touching groups: what is free moves, what touches stays."""
    out = _head("microscope", "shape", "before", "after, moved", "moved")
    for kind, shape in itertools.product(("bf-tem", "haadf-stem", "sem"), ("sphere", "cube")):
        scene = scene_of(
            kind, shape, 30, SETTINGS[0], seed * 3_000_000, arrangement="touching", min_gap_px=10.0, group_size=(2, 3)
        )
        found = outcome(scene, STARTS[DRAWN], np.random.default_rng(seed))
        error = found.before - found.true
        out.append(
            _row(kind, shape, f"{error.mean():+.2f} ± {error.std():.2f}", told(found), f"{found.moved.mean():.0%}")
        )
    return out


def real_lines() -> list[str]:
    """Return how far the contours of labelled micrographs move (every ninth EMPS training image)."""
    root = realdata.folder("emps")
    if root is None:
        return ["The labelled micrographs were not at hand."]
    shifts, clear, moved = [], [], []
    for name in sorted(realdata.emps_publications())[::9]:
        pixels = cv2.imread(str(root / "images" / f"{name}.png"), cv2.IMREAD_GRAYSCALE).astype(np.float32)
        segmap = cv2.imread(str(root / "segmaps" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
        if segmap.ndim == 3:  # a colour for each particle
            segmap = segmap[..., :3].astype(np.int64) @ np.array([1, 256, 65536])
        _, inverse = np.unique(segmap, return_inverse=True)
        refined = refine_contours(pixels, inverse.reshape(pixels.shape).astype(np.int32))
        clear.append(refined.moved.mean())
        moved.append(refined.moved)
        if refined.moved.sum() >= 3:
            shifts.append(np.median(refined.shift[refined.moved]))
    low, mid, high = np.percentile(shifts, (25, 50, 75))
    every = np.concatenate(moved)
    return [
        f"{len(clear)} images, {every.size} labels: {every.mean():.0%} of the particles have a clear edge (median "
        f"image {np.median(clear):.0%}). In the {len(shifts)} images with three such or more the contour moves by "
        f"{mid:+.2f} px (median over images of the median particle; quartiles {low:+.2f} and {high:+.2f}); outwards is "
        "positive."
    ]


MARKER = "<!-- figures: written by studies/refine_borders.py -->\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path, help="Markdown page to write the figures into, after the marker line")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    start = time.process_time()
    cells, starts, fine = matrix_lines(options.seed)
    parts = [
        "### Real micrographs\n",
        *real_lines(),
        "\n### By start and size\nMean bias (px) of the cells before → after; share of cells within 0.3 px; in "
        "brackets the share of particles moved.\n",
        *starts,
        "\n### Label image and sub-pixel area\nMean bias (px) of a microscope's cells, start 1.5 px too wide: "
        "diameter of the label / of the sub-pixel area.\n",
        *fine,
        "\n### Blur\nStart 1.5 px too wide and ragged, dose 400, flat support.\n",
        *blur_lines(options.seed),
        "\n### Touching\nGroups of two or three of 30 px; start 1.5 px too wide and ragged, so that they touch more.\n",
        *touching_lines(options.seed),
        "\n### Every cell\nBias ± spread (px) of the diameter of the moved particles, start 1.5 px too wide and "
        "ragged; in brackets the share moved where it is not all.\n",
        *cells,
    ]
    said = (
        f"`python studies/refine_borders.py --seed {options.seed}`: {time.process_time() - start:.0f} s of one core "
        f"({platform.machine()}, Python {platform.python_version()}).\n"
    )
    text = "\n".join([said, *parts]) + "\n"
    print(text)
    if options.write:
        before, _, _ = options.write.read_text(encoding="utf-8").partition(MARKER)
        options.write.write_text(before + MARKER + "\n" + text, encoding="utf-8")


if __name__ == "__main__":
    main()
