"""`particles` beside BPartIS, Mask R-CNN and methods without a network, on EMPS publications that none has seen.

    python studies/emps_baselines.py -o OUT [--folds 0] [--ours LABELS] [bpartis] [mask-rcnn] [compare]

`bpartis` and `mask-rcnn` train a network without the fold (five, by publication) and write its label images of the
fold; `compare` runs `segmetry compare` on all that is complete, and says of the rest that it was not run. Nothing named
is all three. A run that was stopped goes on. Each network has the processor time that `particles` took: some 120
core-minutes. Mask R-CNN needs the torchvision of the installed torch.

`--ours` is what `segmetry compare` takes: a method with options, or a folder of label images, such as those that
`particles_emps.py` makes with thresholds from other publications (for several folds only such a folder is fair).

What a network finds has a score: of Mask R-CNN its own, of BPartIS exp(-I / .0125 nats), I being the mean mutual
information, so that the published filter keeps what is above 1/e. `chosen` forms take the threshold of the best AP50 on
four fifths of the fold's publications for the last fifth, in turn.

Writes OUT/fold-K/NETWORK-STEPS (run), OUT/FORM (label images), OUT/compared (report), OUT/table.csv and OUT/table.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import realdata
from segmetry.errors import OptionError
from segmetry.evaluate.paired import paired_difference
from segmetry.evaluate.scored import score_image
from segmetry.io import write_labels
from segmetry.segment.bpartis import look, mean_within, nearest, to_bytes
from segmetry.segment.bpartis_cluster import cluster
from segmetry.segment.engine import load_model
from segmetry.segment.foreground import number_regions
from segmetry.train.calibrate import best_threshold
from segmetry.train.data import Example
from segmetry.train.options import FitOptions, published_fit
from segmetry.train.recipe import TrainRecipe
from segmetry.train.run import split, train
from segmetry.train.running import Running
from segmetry.train.splits import folds
from segmetry.training import load_examples
from segmetry.types import Calibration

N_FOLDS, N_PARTS = 5, 5
SAMPLES = 30
PUBLISHED_THRESHOLD = 0.0125
WITHOUT_NETWORK = ("hybrid", "otsu", "gmm")

# The published fit has 300 epochs. A budget of 40 asks for a rate that falls to zero and for averaged weights, as ours.
_SHORT: dict[str, Any] = {"schedule": "cosine", "warmup": 100, "clip": 5.0, "average": 0.99, "save_every": 600.0}
FITS = {
    "bpartis": dataclasses.replace(published_fit(1), steps=920, precision="auto", **_SHORT),
    "mask-rcnn": FitOptions(steps=480, batch=4, learning_rate=3e-4, **_SHORT),
}


class Form(NamedTuple):
    """How label images are made of a network: dropout samples, and the least score (None: chosen elsewhere)."""

    network: str
    samples: int
    least: float | None


FORMS = {
    "bpartis-discriminative": Form("bpartis", 0, 0.0),
    "bpartis-bayesian": Form("bpartis", SAMPLES, 0.0),
    "bpartis-filter": Form("bpartis", SAMPLES, math.exp(-1)),
    "bpartis-filter-chosen": Form("bpartis", SAMPLES, None),
    "mask-rcnn": Form("mask-rcnn", 0, 0.5),
    "mask-rcnn-chosen": Form("mask-rcnn", 0, None),
}
COLUMNS = [f"instance.{s}" for s in ("ap50", "ap75", "map", "precision", "recall", "pq")]
PROTOCOL = [f"published_emps.{s}" for s in ("ap", "ap50", "ap75", "mean_iou")]
PUBLISHED = {
    "ImageDataExtractor": (0.327, 0.320, 0.189, 0.249),
    "GMM + components (m2py)": (0.411, 0.289, 0.215, 0.236),
    "Mask R-CNN": (0.506, 0.668, 0.638, 0.621),
    "BPartIS discriminative": (0.560, 0.786, 0.738, 0.712),
    "BPartIS Bayesian": (0.590, 0.823, 0.771, 0.745),
    "BPartIS Bayesian + filter": (0.632, 0.928, 0.874, 0.844),
}
"""`PROTOCOL` on the 99 test images as printed by Yildirim and Cole (2021), 10.1021/acs.jcim.0c01455."""

Found = tuple[np.ndarray, np.ndarray]
"""Labels (M, N) and the score of each, in the order of the labels."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, predict, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help="bpartis, mask-rcnn, compare")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--folds", type=int, nargs="+", default=[0])
    parser.add_argument("--ours", default="particles:refine=false")
    parser.add_argument("--steps", type=int, help="other than the budget's, to try")
    chosen = parser.parse_args(arguments)
    what = chosen.what or [*FITS, "compare"]
    if unknown := set(what) - {*FITS, "compare"}:
        parser.error(f"{', '.join(sorted(unknown))}: name bpartis, mask-rcnn or compare")
    data = realdata.folder("emps")
    if data is None:
        sys.exit("the EMPS images are not here; set SEGMETRY_DATA to the folder that holds emps/")
    networks = [network for network in FITS if network in what]
    if networks:
        examples = load_examples(data / "images", data / "segmaps", groups=data / "dois.csv")
    for k in chosen.folds:
        recipe = TrainRecipe(network="bpartis", scenes=0, folds=N_FOLDS, fold=k)
        for network in networks:
            fit = dataclasses.replace(FITS[network], **({"steps": chosen.steps} if chosen.steps else {}))
            try:
                predict(network, dataclasses.replace(recipe, fit=fit), examples, chosen.out)
            except OptionError as error:
                print(f"{network}: not run: {error}", file=sys.stderr)
    if "compare" in what:
        publications = realdata.emps_publications()
        names = sorted(publications)
        of_fold = folds([publications[name] for name in names], N_FOLDS)
        compare([n for n, k in zip(names, of_fold, strict=True) if k in chosen.folds], data, chosen.ours, chosen.out)


def predict(network: str, recipe: TrainRecipe, examples: Sequence[Example], out: Path) -> None:
    """Train a network, and write the label images of the fold in all its forms."""
    run = out / f"fold-{recipe.fold}" / f"{network}-{recipe.fit.steps}"
    held_out = split(examples, recipe)[1]
    find = (fit_bpartis if network == "bpartis" else fit_mask_rcnn)(recipe, examples, run)
    forms = {name: form for name, form in FORMS.items() if form.network == network}
    for samples in {form.samples for form in forms.values()}:
        found = []
        for e in held_out:
            found.append(kept(run / f"found-{samples}" / f"{e.name}.npz", functools.partial(find, e, samples)))
            print(f"{network}, {samples} samples, {e.name}: {found[-1][1].size} particles", file=sys.stderr)
        for name, form in forms.items():
            if form.samples == samples:
                fixed = [form.least or 0.0] * len(found)
                least = choose(held_out, found) if form.least is None else fixed
                (out / name).mkdir(parents=True, exist_ok=True)
                for e, (labels, scores), at in zip(held_out, found, least, strict=True):
                    keep = np.concatenate([[False], scores >= at])
                    write_labels(out / name / f"{e.name}.tif", number_regions(labels, keep), Calibration.unknown(2))


def fit_bpartis(recipe: TrainRecipe, examples: Sequence[Example], run: Path) -> Callable[[Example, int], Found]:
    """Return what finds particles with a BPartIS that is trained by a recipe."""
    model = load_model(train(recipe, examples, run, running=Running(0, progress=clock(run))))

    def find(e: Example, samples: int) -> Found:
        mean = look(model, to_bytes(e.pixels), samples=samples)
        square = cluster(mean.maps)
        doubt = mean_within(square, mean.information)
        labels = nearest(square, (e.pixels.shape[0], e.pixels.shape[1]))
        there = np.bincount(labels.ravel(), minlength=doubt.size) > 0
        return number_regions(labels, there), np.exp(-doubt[1:][there[1:]] / PUBLISHED_THRESHOLD)

    return find


def fit_mask_rcnn(recipe: TrainRecipe, examples: Sequence[Example], run: Path) -> Callable[[Example, int], Found]:
    """Return what finds particles with a Mask R-CNN that is fitted as a recipe says."""
    from segmetry.nets.mask_rcnn import find_particles
    from segmetry.train.loop import fit
    from segmetry.train.mask_rcnn_task import MaskRcnnTask

    task = MaskRcnnTask(*split(examples, recipe), seed=recipe.fit.seed)
    network = fit(task, recipe.fit, run, Running(0, progress=clock(run)))

    def find(e: Example, _: int) -> Found:
        found = find_particles(network, to_bytes(e.pixels), least=0.05)
        assert found.scores is not None
        return found.labels, found.scores

    return find


def clock(run: Path) -> Callable[[int, int, dict[str, float]], None]:
    """Return what writes the processor time of a run beside its log, a line now and then."""
    began, process = time.process_time(), os.getpid()

    def tell(step: int, steps: int, losses: dict[str, float]) -> None:
        line = {"process": process, "step": step, "core_s": round(time.process_time() - began, 1)}
        with (run / "clock.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(f"{run.name}: step {step} of {steps}, loss {losses['loss']:.3f}", file=sys.stderr)

    return tell


def kept(path: Path, make: Callable[[], Found]) -> Found:
    """Return what was found in an image, from its file where there is one."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        labels, scores = make()
        np.savez_compressed(path, labels=labels.astype(np.uint16), scores=scores)
    with np.load(path, allow_pickle=False) as data:
        return data["labels"].astype(np.int32), data["scores"]


def choose(held_out: Sequence[Example], found: Sequence[Found]) -> list[float]:
    """Return the threshold of each image: the best for AP50 on publications of other parts than its own."""
    scored = [
        score_image(e.labels.astype(np.int32), labels, scores, group=e.group)
        for e, (labels, scores) in zip(held_out, found, strict=True)
    ]
    part = folds([e.group for e in held_out], N_PARTS, seed=1)
    best = [best_threshold([s for s, p in zip(scored, part, strict=True) if p != j]) for j in range(N_PARTS)]
    return [best[j] for j in part]


def compare(names: Sequence[str], data: Path, ours: str, out: Path) -> None:
    """Compare what there is on the images of the folds, and write the table."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "ids.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    complete = [form for form in FORMS if all((out / form / f"{name}.tif").exists() for name in names)]
    command = [sys.executable, "-m", "segmetry", "compare", ours, *WITHOUT_NETWORK, *(str(out / f) for f in complete)]
    where: dict[str, object] = {"--images": data / "images", "--truth": data / "segmaps", "--groups": data / "dois.csv"}
    where |= {"--ids": out / "ids.txt", "-o": out / "compared", "-j": 1}
    subprocess.run([*command, *(str(v) for pair in where.items() for v in pair), "--resume"], check=True)
    found = json.loads((out / "compared" / "comparison.json").read_text(encoding="utf-8"))
    table = make_table(found, pd.read_csv(out / "compared" / "scores.csv"), found["competitors"][0]["name"])
    missing = [form for form in FORMS if form not in complete]
    table.to_csv(out / "table.csv", index=False)
    text = markdown(table, missing)
    (out / "table.md").write_text(text, encoding="utf-8")
    print(text)


def make_table(found: dict[str, Any], scores: pd.DataFrame, ours: str) -> pd.DataFrame:
    """Return a row a method and score: mean, interval, and the paired difference to ours, with its interval and p."""
    rows = []
    for name in [*COLUMNS, *PROTOCOL]:
        family, _, score = name.partition(".")
        chosen = scores[(scores["family"] == family) & (scores["score"] == score)]
        wide = chosen.pivot(index="image", columns="method", values="value")
        groups = chosen.drop_duplicates("image").set_index("image")["group"].reindex(wide.index)
        for rank in found["ranking"]:
            method = rank["method"]
            mean = {k: math.nan if v is None else v for k, v in found["scores"][method][name].items()}
            row = {"method": method, "score": name, **{k: mean[k] for k in ("value", "low", "high")}}
            if method != ours:
                d = paired_difference(wide[ours].to_numpy(), wide[method].to_numpy(), groups=groups.to_numpy())
                row |= {"minus_ours": d.estimate.value, "minus_low": d.estimate.low, "minus_high": d.estimate.high}
                row |= {"p": d.p_value}
            rows.append(row)
    return pd.DataFrame(rows)


def markdown(table: pd.DataFrame, missing: Sequence[str]) -> str:
    """Return the table as text: our protocol, the published one, and what was not run."""
    methods = list(dict.fromkeys(table["method"]))
    cells = {(row.method, row.score): row for row in table.itertuples()}

    def cell(method: str, score: str) -> str:
        row = cells[method, score]
        return f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]"

    def difference(method: str) -> list[str]:
        row: Any = cells[method, COLUMNS[0]]
        if math.isnan(row.minus_ours):
            return ["", ""]
        return [f"{row.minus_ours:+.3f} [{row.minus_low:+.3f}, {row.minus_high:+.3f}]", f"{row.p:.2g}"]

    def table_of(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
        return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]

    not_run = [[form, "not run"] for form in missing]
    head = ["method", *(c.partition(".")[2] for c in COLUMNS), "AP50 minus ours", "p"]
    rows = [[m, *(cell(m, c) for c in COLUMNS), *difference(m)] for m in methods]
    lines = [*table_of(head, [*rows, *(r + [""] * (len(head) - 2) for r in not_run)]), ""]
    head = ["method", *(f"published {c.partition('.')[2]}" for c in PROTOCOL), "recall"]
    rows = [[m, *(cell(m, c) for c in PROTOCOL), cell(m, "instance.recall")] for m in methods]
    printed = [[f"printed: {m}", *(f"{v:.3f}" for v in values), "not given"] for m, values in PUBLISHED.items()]
    lines += table_of(head, [*rows, *(r + [""] * (len(head) - 2) for r in not_run), *printed])
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
