"""How good `particles` is on EMPS images whose publications its network has not seen.

    python studies/particles_emps.py --runs RUNS -o OUT [--folds 0 1] [--samples 8]

RUNS/fold-K/model is the model that was trained without fold K of five (`segmetry train ... --fold K`). All that follows
the network is calibrated on publications other than those that are judged: the publications of all folds are dealt into
five parts, and an image of one part is segmented with scores, threshold and promises from the four others. Both times
text is masked as `segmetry measure` masks it, and contours are as the network draws them (``refine=false``).

Writes OUT/rows.csv (one line an image), OUT/summary.json, and the label images in OUT/labels. A run that was stopped
goes on. About 2 s of one core an image with 8 samples, and a quarter of a second to find its text.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import realdata
from segmetry.evaluate.count_doubt import calibrate_count
from segmetry.evaluate.judgement import judge
from segmetry.evaluate.promise import promise_false_share, promise_misses
from segmetry.evaluate.score_map import calibrate_scores
from segmetry.evaluate.scored import ScoredImage, score_image
from segmetry.evaluate.uncertain import mean_over_images
from segmetry.io import write_labels
from segmetry.io.json_file import plain
from segmetry.io.model_folder import read_card, read_model_folder, write_model_folder
from segmetry.measure import distribution, measure, summarise
from segmetry.measure.segmentation_share import sample_tables
from segmetry.measure.uncertainty import student
from segmetry.segment import segment
from segmetry.segment.foreground import number_regions
from segmetry.train.calibrate import Scored, best_threshold, calibration, score_examples
from segmetry.train.data import Example
from segmetry.train.splits import folds
from segmetry.training import load_examples
from segmetry.types import Image

N_FOLDS, N_PARTS = 5, 5
SURE = 0.9
"""The precise setting, at which the published figures are given once more: what is right with a chance of so much."""
SCORES = (
    "instance.ap50 instance.ap75 instance.map instance.precision instance.recall instance.pq "
    "instance.count_error_relative published_emps.ap published_emps.ap50 published_emps.ap75 published_emps.mean_iou"
).split()
PUBLISHED = [name for name in SCORES if name.startswith("published")] + ["instance.recall"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Score, calibrate across publications, segment, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(N_FOLDS)))
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--limit", type=int, help="only so many images of each fold")
    chosen = parser.parse_args(arguments)
    data = realdata.folder("emps")
    if data is None:
        sys.exit("the EMPS images are not here; set SEGMETRY_DATA to the folder that holds emps/")
    examples = load_examples(data / "images", data / "segmaps", groups=data / "dois.csv")
    of_fold = folds([e.group for e in examples], N_FOLDS)
    held_out = {k: [e for e, f in zip(examples, of_fold) if f == k][: chosen.limit] for k in chosen.folds}
    (chosen.out / "labels").mkdir(parents=True, exist_ok=True)
    scored = {k: scored_fold(chosen.runs / f"fold-{k}" / "model", held_out[k], chosen.out, k) for k in chosen.folds}
    every = [one for k in chosen.folds for one in scored[k]]
    groups = [one.image.group for one in every]
    part = dict(zip(groups, folds(groups, N_PARTS, seed=1)))
    rows = chosen.out / "rows.csv"
    done = read_rows(rows)
    for k in chosen.folds:
        for j in range(N_PARTS):
            post = calibration([s for s in scored[k] if part[s.image.group] != j])
            model = read_model_folder(chosen.runs / f"fold-{k}" / "model")
            folder = chosen.out / "models" / f"fold-{k}-part-{j}" / model.card.name
            write_model_folder(folder, dataclasses.replace(model.card, post=post), model.onnx)
            for e in held_out[k]:
                made_by = {"model": model.card.sha256, "samples": str(chosen.samples)}
                if part[e.group] == j and not made_by.items() <= done.get(e.name, {}).items():
                    row = judge_image(e, folder, chosen.samples, chosen.out)
                    append_row(rows, {"image": e.name, "group": e.group, "fold": k, "part": j} | made_by | row)
                    print(f"{e.name}: AP50 {row['instance.ap50']:.2f}", file=sys.stderr)
    found = [row for row in read_rows(rows).values() if int(row["fold"]) in chosen.folds]
    counts = held_counts({k: [s.image for s in scored[k]] for k in chosen.folds}, part)
    summary = plain(
        summarise_rows(found) | {"promises": kept_promises([s.image for s in every], part), "counts": counts}
    )
    (chosen.out / "summary.json").write_text(json.dumps(summary, indent=1))
    print(json.dumps(summary, indent=1))


def scored_fold(model: Path, examples: Sequence[Example], out: Path, fold: int) -> list[Scored]:
    """Return what may be a particle in each image, with raw scores; kept in a file."""
    sha256 = read_card(model).sha256
    path = out / f"masked-{fold}-{len(examples)}-{sha256[:12]}.npz"
    if not path.exists():
        found = score_examples(model, examples)
        names = ("scores", "right", "n_truth")
        arrays = {f"{name}-{i}": getattr(s.image, name) for i, s in enumerate(found) for name in names}
        arrays["border"] = np.array([s.border for s in found])
        np.savez_compressed(path, **arrays)
    with np.load(path, allow_pickle=False) as data:
        return [
            Scored(
                ScoredImage(data[f"scores-{i}"], data[f"right-{i}"], int(data[f"n_truth-{i}"]), e.group),
                float(data["border"][i]),
                sha256,
            )
            for i, e in enumerate(examples)
        ]


def judge_image(e: Example, model: Path, samples: int, out: Path) -> dict[str, Any]:
    """Return the scores of one image with labelled contours, text masked, and what its D50 interval says."""
    image = Image(e.pixels, name=e.name, ignore=e.ignore)
    options = {"model": str(model), "refine": False, "samples": samples}
    found = segment(image, "particles", options=options)
    write_labels(out / "labels" / f"{e.name}.tif", found.labels, image.calibration)
    truth = e.labels.astype(np.int32)
    row = dict(zip(SCORES, scores_of(truth, found.labels, SCORES), strict=True))
    sure = number_regions(found.labels, np.append(False, found.scores >= SURE))
    row |= {f"sure.{name}": value for name, value in zip(PUBLISHED, scores_of(truth, sure, PUBLISHED), strict=True)}
    row |= d50(truth, found, image)
    scored = score_image(truth, found.labels, found.scores, group=e.group)
    right = scored.right
    return row | {
        "n_truth": scored.n_truth,
        "n_found": right.size,
        "expected_right": found.info["expected_right"] or math.nan,
        "right": right.mean() if right.size else math.nan,
    }


def scores_of(truth: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> list[float]:
    """Return scores by their names, family first."""
    values = judge(truth, labels).values
    return [values[family][score] for family, score in (name.split(".") for name in names)]


def d50(truth: np.ndarray, found: Any, image: Image) -> dict[str, float]:
    """Return D50 by number of the truth and of what was found (px), and this image's interval."""
    calibration_ = image.calibration
    true = distribution(measure(truth, calibration=calibration_)).estimates["d50"]
    table = measure(found, image.replace(ignore=None))
    tables = sample_tables(found, image.replace(ignore=None))
    estimate = summarise(
        table, frame_shape=truth.shape, calibration=calibration_, samples=tables, border=found.info["border_sd_px"]
    )["d50"]
    interval = estimate.this_image
    return {
        "d50_true": true.value,
        "d50": estimate.value,
        "d50_low": interval.low if interval else math.nan,
        "d50_high": interval.high if interval else math.nan,
    }


def summarise_rows(rows: Sequence[dict[str, str]]) -> dict[str, Any]:
    """Return means over images with intervals over publications."""
    groups = [row["group"] for row in rows]
    names = [*SCORES, *(f"sure.{name}" for name in PUBLISHED)]
    values = {name: np.array([float(row[name]) for row in rows]) for name in names}
    means = mean_over_images(values, groups=groups)
    out: dict[str, Any] = {"images": len(rows), "publications": len(set(groups))}
    out |= {name: [round(float(x), 4) for x in (m.value, m.low, m.high)] for name, m in means.items()}
    true, got, low, high = (
        np.array([float(row[name]) for row in rows]) for name in ("d50_true", "d50", "d50_low", "d50_high")
    )
    known = np.isfinite(true) & np.isfinite(got)
    error = np.abs(got[known] / true[known] - 1)
    inside = (low <= true) & (true <= high)
    out["d50_median_absolute_error"] = round(float(np.median(error)), 4)
    out["d50_images"] = int(known.sum())
    stated = known & np.isfinite(low)
    covered = mean_over_images(
        inside[stated].astype(float), groups=[g for g, s in zip(groups, stated) if s], bounds=(0, 1)
    )
    out["d50_this_image_covered"] = [round(float(x), 4) for x in (covered.value, covered.low, covered.high)]
    out["d50_width"] = round(float(np.median((high - low)[stated] / got[stated])), 4)
    return out


def kept_promises(every: Sequence[ScoredImage], part: dict[str, int]) -> list[dict[str, Any]]:
    """Return, for promises made on four parts of the publications, what came out on the fifth."""
    out = []
    for kind, alphas in (("false", (0.05, 0.1, 0.2)), ("missed", (0.1, 0.15, 0.2))):
        for alpha in alphas:
            seen, groups, none = [], [], 0
            for j in range(N_PARTS):
                others = [s for s in every if part[s.group] != j]
                promise = promise_false_share(others, alpha) if kind == "false" else promise_misses(others, alpha)
                here = [s for s in every if part[s.group] == j]
                if promise.threshold is None:
                    none += len(here)
                    continue
                for s in here:
                    keep = s.scores >= promise.threshold
                    right = int((s.right & keep).sum())
                    share = 1 - right / max(keep.sum(), 1) if keep.any() else 0.0
                    seen.append(share if kind == "false" else 1 - right / max(s.n_truth, 1))
                    groups.append(s.group)
            line: dict[str, Any] = {"kind": kind, "alpha": alpha, "images": len(seen), "images_without_promise": none}
            if seen:
                mean = mean_over_images(seen, groups=groups, bounds=(0, 1))
                line["came_out"] = [round(float(x), 4) for x in (mean.value, mean.low, mean.high)]
            out.append(line)
    return out


def held_counts(scored: Mapping[int, Sequence[ScoredImage]], part: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return how often the interval of a count, made on four parts of the publications, holds the number of the fifth.

    Chances and threshold of each fold are calibrated on the same four parts. Lines: all images, and by what was found.
    """
    ends: dict[str, list[Any]] = {"n": [], "sd": [], "true": [], "group": []}
    for j in range(N_PARTS):
        others: list[tuple[ScoredImage, int]] = []
        here: list[tuple[ScoredImage, int]] = []
        for images in scored.values():
            known = [s for s in images if part[s.group] != j]
            scores, right = (np.concatenate([getattr(s, name) for s in known]) for name in ("scores", "right"))
            score_map = calibrate_scores(scores, right, [s.group for s in known for _ in s.scores])
            told = [dataclasses.replace(s, scores=score_map.apply(s.scores)) for s in images]
            threshold = best_threshold([s for s in told if part[s.group] != j])
            for s in told:
                (here if part[s.group] == j else others).append((s, int((s.scores >= threshold).sum())))
        doubt = calibrate_count(*zip(*others))
        for s, n in here if doubt else ():
            for name, value in zip(ends, (n, doubt.sd(s.scores, n), s.n_truth, s.group)):
                ends[name].append(value)
    n, sd, true = (np.array(ends[name], float) for name in ("n", "sd", "true"))
    half = student(0.95, math.inf) * sd
    inside = np.abs(true - n) <= half
    out = []
    for name, chosen in (("all", n >= 0), ("under 10 found", n < 10), ("10 and more found", n >= 10)):
        groups = [g for g, c in zip(ends["group"], chosen) if c]
        mean = mean_over_images(inside[chosen].astype(float), groups=groups, bounds=(0, 1))
        out.append(
            {
                "images": name,
                "number": int(chosen.sum()),
                "covered": [round(float(x), 4) for x in (mean.value, mean.low, mean.high)],
                "half_width": round(float(np.median(half[chosen])), 2),
                "relative": round(float(np.median((half / np.maximum(n, 1))[chosen])), 3),
            }
        )
    return out


def read_rows(path: Path) -> dict[str, dict[str, str]]:
    """Return the rows that are there, by image."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {row["image"]: row for row in csv.DictReader(file)}


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Add a row; the first one brings the head."""
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    main()
