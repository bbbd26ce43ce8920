"""Spots in simulated neutron radiographs: how many each way finds, what it leaves, and what it spoils.

    python studies/spots.py [--scenes N] [--side N]     # prints the tables of docs/studies/spots.md

Thresholds are chosen on tuning scenes (seeds from 0): those of the highest recall of pixels whose precision is at least
0.9. They are judged on others (seeds from 1000). Pixels with a fault of their own (hot, dead, drifting) count neither
as right nor as wrong.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from segmetry.prepare.spots import Cleaned, clean_repeats, clean_spots
from segmetry.prepare.spots_classic import clean_median, remove_outliers
from segmetry.prepare.spots_knn import fit_spot_table
from segmetry.synth.radiographs import Radiographs, simulate_radiograph

OBJECTS = ("wedge", "steps", "cylinders", "rods", "balls")
EXPOSURES = (6.0, 30.0, 60.0)
"""Seconds: 300, 1,500 and 3,000 neutrons a pixel."""
SPOTS_PER_MPX = 3000.0
"""About 0.7 % of the pixels, as in the lecture; the same at each exposure, so that only the noise changes."""
PRECISION = 0.9

Way = Callable[[np.ndarray], Cleaned]


class Scene(NamedTuple):
    """A simulated radiograph raw and flat-fielded, and the scale that makes an attenuation of either."""

    truth: Radiographs
    raw: np.ndarray
    flat: np.ndarray
    dark: np.ndarray
    open_beam: np.ndarray

    @property
    def scored(self) -> np.ndarray:
        """Pixels without a fault."""
        return ~self.truth.bad

    def flattened(self, counts: np.ndarray) -> np.ndarray:
        """Return the transmission that counts stand for."""
        return (counts - self.dark) / self.open_beam


def scenes(first_seed: int, n: int, side: int) -> Iterator[Scene]:
    """Yield n scenes of each exposure, the objects in turn."""
    for k, exposure in itertools.product(range(n), EXPOSURES):
        truth = simulate_radiograph(
            seed=first_seed + k,
            object=OBJECTS[k % len(OBJECTS)],
            frame_shape=(side, side),
            exposure=exposure,
            gamma_rate=SPOTS_PER_MPX / exposure,
        )
        dark = np.median(truth.darks, axis=0).astype(np.float32)
        open_beam = np.maximum(clean_repeats(truth.open_beams, offset=300).image - dark, 1)
        yield Scene(truth, truth.frame, (truth.frame - dark) / open_beam, dark, open_beam)


def attenuation(transmission: np.ndarray) -> np.ndarray:
    """Return -log of a transmission."""
    return -np.log(np.maximum(transmission, 1e-3))


class Tally(NamedTuple):
    """Pixels and objects found and not, summed over scenes."""

    hit: int = 0
    false: int = 0
    missed: int = 0
    spots_hit: int = 0
    spots: int = 0
    found: int = 0
    found_false: int = 0

    def plus(self, other: Tally) -> Tally:
        """Return the sum of two."""
        return Tally(*(a + b for a, b in zip(self, other)))

    @property
    def precision(self) -> float:
        """Share of the replaced pixels that belong to spots."""
        return self.hit / max(self.hit + self.false, 1)

    @property
    def recall(self) -> float:
        """Share of the spots' pixels that are replaced."""
        return self.hit / max(self.hit + self.missed, 1)

    @property
    def object_precision(self) -> float:
        """Share of the connected replaced regions that touch a spot (or a pixel with a fault)."""
        return 1 - self.found_false / max(self.found, 1)

    @property
    def object_recall(self) -> float:
        """Share of the visible spots of which at least one pixel is replaced."""
        return self.spots_hit / max(self.spots, 1)


def tally(scene: Scene, replaced: np.ndarray) -> Tally:
    """Return what was found in a scene and what not."""
    labels = scene.truth.spots[0]
    spot, ok = labels > 0, scene.scored
    n, found = cv2.connectedComponents(replaced.view(np.uint8), connectivity=8)
    right = np.unique(found[replaced & (spot | ~ok)])
    return Tally(
        int((replaced & spot & ok).sum()),
        int((replaced & ~spot & ok).sum()),
        int((~replaced & spot & ok).sum()),
        np.unique(labels[replaced & spot & ok]).size,
        np.unique(labels[spot & ok]).size,
        n - 1,
        n - 1 - right.size,
    )


class Damage(NamedTuple):
    """Mean and root mean square error of the attenuation, and the share of the edges' gradient that is lost."""

    bias: float
    rms: float
    edges: float


def damage(scene: Scene, transmission: np.ndarray) -> Damage:
    """Return the error of the attenuation against the frame without spots, over pixels without a fault.

    Edges are the 5 % of the pixels with the steepest true transmission, as far as no spot is there; the loss is that of
    the mean absolute gradient, of the image against the frame without spots.
    """
    clean = scene.flattened(scene.truth.clean[0])
    off = (attenuation(transmission) - attenuation(clean))[scene.scored]
    steep = _gradient(scene.truth.transmission[0])
    edge = steep >= np.quantile(steep, 0.95)
    # A gradient reaches a pixel to each side, and what is filled takes from there too.
    touched = (scene.truth.deposit[0] >= 1) | scene.truth.bad
    edge &= cv2.dilate(touched.view(np.uint8), np.ones((5, 5), np.uint8)) == 0
    lost = 1 - _gradient(transmission)[edge].mean() / _gradient(clean)[edge].mean()
    return Damage(float(off.mean()), float(np.sqrt((off**2).mean())), float(lost))


def _gradient(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image, np.float32)
    return np.hypot(cv2.Sobel(image, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(image, cv2.CV_32F, 0, 1, scale=1 / 8))


def total(scenes_: Sequence[Scene], way: Way, which: str) -> Tally:
    """Return the sums over scenes, raw or flat."""
    out = Tally()
    for scene in scenes_:
        out = out.plus(tally(scene, way(getattr(scene, which)).replaced))
    return out


def tuned(scenes_: Sequence[Scene], ways: Iterable[tuple[str, Way]], which: str) -> tuple[str, Way]:
    """Return the way of the highest recall of pixels among those precise enough, else the most precise one."""
    sums = [(total(scenes_, way, which), name, way) for name, way in ways]
    good = [s for s in sums if s[0].precision >= PRECISION]
    best = max(good, key=lambda s: s[0].recall) if good else max(sums, key=lambda s: s[0].precision)
    return best[1], best[2]


def families(tuning: Sequence[Scene], which: str) -> Iterator[tuple[str, list[tuple[str, Way]]]]:
    """Yield every way with the settings to choose from."""
    unit = 1.0 if which == "raw" else 1 / 20000
    steps = [round(k * unit, 4) for k in (600, 800, 1000, 1200, 1400, 1600, 2000, 2500, 3000, 4000, 6000)]
    offset = 300.0 if which == "raw" else 0.0
    yield "baseline: median 3 × 3", [(f"k = {k:g}", lambda f, k=k: clean_median(f, threshold=k)) for k in steps]
    yield (
        "ImageJ's rule, radius 2",
        [(f"threshold {k:g}", lambda f, k=k: remove_outliers(f, threshold=k)) for k in steps],
    )
    frames, masks = [getattr(s, which) for s in tuning], [s.truth.spots[0] > 0 for s in tuning]
    for k, negatives in ((1, 3), (50, 20)):
        table = fit_spot_table(frames, masks, neighbours=k, negatives=negatives, seed=0)
        levels = (0.5,) if k == 1 else (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.99)
        yield (
            f"table of {k} nearest neighbour{'s' if k > 1 else ''}, 1 : {negatives}",
            [(f"level {v:g}", lambda f, t=table, v=v: t.clean(f, level=v)) for v in levels],
        )
    grid = itertools.product((3.5, 4.0, 4.5, 5.0, 6.0), (2.8, 3.0, 3.2, 3.5))
    yield (
        "`clean_spots`",
        [
            (f"high {h:g}, low {v:g}", lambda f, h=h, v=v: clean_spots(f, high=h, low=v, offset=offset))
            for h, v in grid
            if v <= h
        ],
    )


def row(name: str, setting: str, judging: Sequence[Scene], way: Way, which: str) -> str:
    """Return a line of the table."""
    t = total(judging, way, which)
    images = [way(getattr(s, which)).image for s in judging]
    off = [damage(s, s.flattened(image) if which == "raw" else image) for s, image in zip(judging, images)]
    bias, rms, edges = (float(np.mean([getattr(d, key) for d in off])) for key in Damage._fields)
    parts = [f"{v:.3f}".removeprefix("0") for v in (t.precision, t.recall, t.object_precision, t.object_recall)]
    return (
        f"| {name} | {setting} | "
        + " | ".join([*parts, f"{1e4 * bias:+.1f}", f"{1e3 * rms:.1f}", f"{edges:+.1%}"])
        + " |"
    )


def repeats(judging: Sequence[Scene], side: int) -> None:
    """Print what three frames of the same scene give: mean, median, and mean without what stands out."""
    print("\n| three frames, 30 s | bias of the attenuation, 1e-4 | rms error, 1e-3 |")
    print("|---|---|---|")
    sums: dict[str, list[tuple[float, float]]] = {"mean": [], "temporal median": [], "`clean_repeats`": []}
    for scene in (s for s in judging if s.truth.parameters["exposure"] == 30):
        o = scene.truth.parameters | {"n_frames": 3, "n_open": 1, "n_dark": 1}
        more = simulate_radiograph(**o)
        frames = more.frames
        images = {
            "mean": frames.mean(axis=0),
            "temporal median": np.median(frames, axis=0),
            "`clean_repeats`": clean_repeats(frames, offset=300).image,
        }
        right = attenuation(scene.flattened(more.clean.mean(axis=0)))
        for name, image in images.items():
            off = (attenuation(scene.flattened(image)) - right)[scene.scored]
            sums[name].append((float(off.mean()), float(np.sqrt((off**2).mean()))))
    for name, pairs in sums.items():
        bias, rms = np.mean(pairs, axis=0)
        print(f"| {name} | {1e4 * bias:+.1f} | {1e3 * rms:.1f} |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=5, help="of each exposure, to tune and to judge")
    parser.add_argument("--side", type=int, default=320, help="of a frame, px")
    args = parser.parse_args()
    tuning = list(scenes(0, args.scenes, args.side))
    judging = list(scenes(1000, args.scenes, args.side))
    peaks = np.concatenate([s.truth.truth["peak"].to_numpy() for s in judging])
    share = np.mean([(s.truth.spots[0] > 0).mean() for s in judging])
    print(
        f"{len(judging)} scenes to judge, {len(peaks)} spots, {(peaks >= 3).mean():.1%} visible, "
        f"{share:.2%} of the pixels"
    )
    head = "| way | setting chosen | pixel P | pixel R | object P | object R | bias, 1e-4 | rms, 1e-3 | gradient lost |"
    print(
        "\nnothing done:",
        row("", "", judging, lambda f: Cleaned(f.astype(np.float32), np.zeros(f.shape, bool)), "flat"),
    )
    for which in ("raw", "flat"):
        print(f"\n{which} frames\n\n{head}\n" + "|---" * 9 + "|", flush=True)
        for name, ways in families(tuning, which):
            setting, way = tuned(tuning, ways, which)
            print(row(name, setting, judging, way, which), flush=True)
            if name == "`clean_spots`":
                offset = 300.0 if which == "raw" else 0.0
                everyday = lambda f, o=offset: clean_spots(f, offset=o)  # noqa: E731
                print(row(name, "as it comes: high 6, low 3", judging, everyday, which), flush=True)
    print("\nrecall of spots by their peak, flat frames, `clean_spots` tuned")
    for low, high in itertools.pairwise((3, 4, 5, 6, 8, 12, np.inf)):
        hit = n = 0
        for scene in judging:
            inside = scene.truth.truth.query("@low <= peak < @high")["spot"].to_numpy()
            if inside.size:
                touched = np.unique(scene.truth.spots[0][way(scene.flat).replaced])
                hit, n = hit + int(np.isin(inside, touched).sum()), n + inside.size
        print(f"| {low:g} to {high:g} | {n} | {hit / max(n, 1):.3f} |")
    repeats(judging, args.side)


if __name__ == "__main__":
    main()
