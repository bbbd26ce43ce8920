"""What do the numbers of doubt tell, and does placing contours on the edge change which particles are right?

    python studies/doubt.py --keep doubt.json --write docs/explanation/particles.md

1. The micrographs that the shipped model did not learn from (fold 0 of 5) and pictures of something else, every
   candidate (threshold 0), eight samples: which number tells false particles from right ones, and the pictures from
   micrographs?
2. Simulated scenes, contours as the network draws them and on the grey edge: how many particles are right?
3. Scenes as in `network_share`, others than those it judges: how far are the contours of an image off together?
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import mannwhitneyu

import realdata
from network_share import draw_scene
from segmentation_share import write
from segmetry.evaluate.instances import match
from segmetry.measure import measure
from segmetry.segment import segment
from segmetry.synth.presets import scenes
from segmetry.train.splits import folds
from segmetry.training import load_examples
from segmetry.types import Image
from unlike_pictures import ELSE

SAMPLES, N_SCENES, SEED = 8, 60, 50_000  # not the seed of the scenes that the network learned from
FIRST, N_SHIFTS, FEW = 10_000, 80, 3
NUMBERS = {
    "score": ("score (mean seed, as a chance)", -1),
    "epistemic": ("mutual information", 1),
    "aleatoric": ("expected entropy", 1),
    "uncertainty": ("entropy", 1),
}
"""Column of the table: its name, and 1 where much of it means doubt."""

MARKER = "<!-- doubt: written by studies/doubt.py -->"


def image_rows() -> Iterator[dict[str, Any]]:
    """Yield the numbers of doubt of the micrographs, then of the pictures of something else."""
    data = realdata.folder("emps")
    if data is None:
        raise SystemExit("the EMPS images are not here; set SEGMETRY_DATA to the folder that holds emps/")
    for image, truth in held_out(data):
        yield look(image, truth)
    for name, make in ELSE.items():
        yield look(Image(np.asarray(make()), name=name), None)


def held_out(data: Path) -> Iterator[tuple[Image, np.ndarray]]:
    """Yield the images of fold 0 with their labels."""
    publications = realdata.emps_publications()
    names = sorted(p.stem for p in (data / "images").glob("*.png"))
    for name, fold in zip(names, folds([publications[n] for n in names], 5), strict=True):
        if fold == 0:
            (e,) = load_examples(data / "images" / f"{name}.png", data / "segmaps" / f"{name}.png")
            yield Image(e.pixels, name=name, ignore=e.ignore), e.labels.astype(np.int32)


def look(image: Image, truth: np.ndarray | None) -> dict[str, Any]:
    """Return the numbers of doubt of every candidate in an image, and which are right."""
    options = {"threshold": 0, "samples": SAMPLES, "refine": False}
    found = segment(image, "particles", options=options)
    table = measure(found, image, measures=list(NUMBERS))
    row: dict[str, Any] = {name: table[name].round(6).tolist() for name in NUMBERS} | {"image": image.name}
    if truth is not None:
        row["right"] = np.isin(table["label"], match(truth, found.labels).prediction).tolist()
    return row


def scene_rows() -> Iterator[dict[str, Any]]:
    """Yield how many particles of simulated scenes are found and right, with contours drawn and on the edge."""
    for index, scene in enumerate(scenes(N_SCENES, seed=SEED)):
        row: dict[str, Any] = {"scene": index, "kind": scene.parameters["kind"]}
        for refine in (False, True):
            found = segment(scene.image, "particles", options={"refine": refine, "threshold": 0})
            pairs = match(scene.labels, found.labels)
            row["edge" if refine else "drawn"] = [pairs.n_prediction, pairs.truth.size, pairs.n_truth]
        yield row


def shift_rows() -> Iterator[dict[str, Any]]:
    """Yield by how much the radii of the particles with contours on the edge are off on the mean of a scene, px."""
    for index in range(FIRST, FIRST + N_SHIFTS):
        try:
            scene, lying = draw_scene(index)
        except TypeError:  # so few particles, and still no room
            continue
        found = segment(scene.image, "particles")
        pairs = match(scene.labels, found.labels)
        true = scene.truth["equivalent_diameter"].to_numpy()[pairs.truth - 1] / scene.pixel_size
        size = 2 * np.sqrt(np.bincount(found.labels.ravel())[pairs.prediction] / np.pi)
        cut = measure(scene.labels, measures=["touches_edge"]).set_index("label")["touches_edge"]
        chosen = ~cut.loc[pairs.truth].to_numpy(bool)
        if found.on_edge is not None:
            chosen &= found.on_edge[pairs.prediction - 1]
        if chosen.sum() >= FEW:
            shift = float(((size - true) / 2)[chosen].mean())
            yield {"scene": index, "kind": scene.parameters["kind"], "lying": lying, "n": int(chosen.sum()),
                   "size": float(np.median(true[chosen])), "shift": shift}  # fmt: skip


def shift_lines(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield how far contours on the edge are off."""
    apart = [r for r in rows if r["lying"].endswith("apart")]
    median = float(np.median([r["size"] for r in apart]))
    parts = {
        "particles apart": apart,
        f"of them, under {median:.0f} px": [r for r in apart if r["size"] < median],
        f"of them, {median:.0f} px and more": [r for r in apart if r["size"] >= median],
        "touching or overlapping": [r for r in rows if not r["lying"].endswith("apart")],
    }
    yield "| contours on the edge | scenes | mean shift, px | root mean square | median | 95 % are below, over 1.96 |"
    yield "|---|---|---|---|---|---|"
    for words, part in parts.items():
        s = np.array([r["shift"] for r in part])
        yield (
            f"| {words} | {s.size} | {s.mean():+.2f} | {np.sqrt((s**2).mean()):.2f} | {np.median(np.abs(s)):.2f} | "
            f"{np.quantile(np.abs(s), 0.95) / 1.96:.2f} |"
        )


def auroc(doubtful: Sequence[float], sure: Sequence[float]) -> float:
    """Return the chance that one of the first is larger than one of the second."""
    return float(mannwhitneyu(doubtful, sure).statistic / (len(doubtful) * len(sure)))


def particle_lines(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the areas under the curves as a Markdown table."""
    real = [r for r in rows if "right" in r]
    right = np.concatenate([r["right"] for r in real]).astype(bool)
    seen = [r for r in rows if r["score"]]
    n_else = sum("right" not in r for r in seen)
    yield (
        f"| number | false ({(~right).sum()}) from right ({right.sum()}) candidates | something else ({n_else}) from "
        f"micrographs ({len(seen) - n_else}), mean over candidates |"
    )
    yield "|---|---|---|"
    for name, (words, sign) in NUMBERS.items():
        values = sign * np.concatenate([r[name] for r in real])
        means = {own: [sign * float(np.mean(r[name])) for r in seen if ("right" in r) != own] for own in (True, False)}
        yield f"| {words} | {auroc(values[~right], values[right]):.3f} | {auroc(means[True], means[False]):.3f} |"


def scene_lines(rows: Sequence[dict[str, Any]], seed: int = 0) -> Iterator[str]:
    """Yield how contours change what is right, with 95 % intervals from resampled scenes."""
    counts = np.array([[r["drawn"], r["edge"]] for r in rows], float)  # scene, contour, (found, right, true)
    some = counts[np.random.default_rng(seed).integers(0, len(rows), (2000, len(rows)))].sum(1)

    def shares(c: np.ndarray) -> np.ndarray:
        false, missed = 1 - c[..., 1] / c[..., 0], 1 - c[..., 1] / c[..., 2]
        return np.stack([false, missed], -1)  # (..., contour, false or missed)

    value, spread = shares(counts.sum(0)), shares(some)
    yield "| of candidates in simulated scenes | contours drawn | on the edge | difference (95 %) |"
    yield "|---|---|---|---|"
    for k, words in enumerate(("false", "missed")):
        low, high = np.quantile(spread[:, 1, k] - spread[:, 0, k], (0.025, 0.975))
        drawn, edge = value[:, k]
        yield f"| {words} | {drawn:.4f} | {edge:.4f} | {edge - drawn:+.4f} ({low:+.4f} to {high:+.4f}) |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, required=True, help="file that holds what was found, or will")
    parser.add_argument("--write", type=Path, help="Markdown page whose part after the marker line is replaced")
    chosen = parser.parse_args()
    kept: dict[str, Any] = json.loads(chosen.keep.read_text()) if chosen.keep.is_file() else {"seconds": 0}
    for key, make in (("images", image_rows), ("scenes", scene_rows), ("shifts", shift_rows)):
        if key not in kept:
            start = time.process_time()
            kept[key] = list(make())
            kept["seconds"] += round(time.process_time() - start)
            chosen.keep.write_text(json.dumps(kept))
    text = (
        f"`python studies/doubt.py`: {sum('right' in r for r in kept['images'])} micrographs, {len(ELSE)} pictures, "
        f"{SAMPLES} samples; {len(kept['scenes'])} scenes of seed {SEED}; scenes {FIRST} to {FIRST + N_SHIFTS - 1} of "
        f"`network_share`; {kept['seconds']} s of one core. Areas under "
        "the curve; .5 is chance.\n\n"
        + "\n".join(
            (*particle_lines(kept["images"]), "", *scene_lines(kept["scenes"]), "", *shift_lines(kept["shifts"]))
        )
    )
    print(text)
    if chosen.write:
        write(chosen.write, MARKER, text + "\n")


if __name__ == "__main__":
    main()
