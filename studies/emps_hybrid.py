"""How well `hybrid` finds the particles of the EMPS training images, chosen and judged on different publications.

    python studies/emps_hybrid.py collect [--mask] [--set smoothing=2]...   # minutes: every candidate, both polarities
    python studies/emps_hybrid.py report [--mask]          # fits, judges by publication, prints the figures
    python studies/emps_hybrid.py borders                  # where labels lie beside fitted edges
    python studies/emps_hybrid.py sheet FOLDER                     # overlays to look at

`collect` keeps what it found in scratch/emps_hybrid/ (not part of the repository). The images are publishers' figures:
nothing of them may be published.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from scipy.ndimage import find_objects

import realdata
from segmetry.evaluate import average_precision, match
from segmetry.segment import method_from, polarity, segment
from segmetry.segment.foreground import drop_small_labels, make_view
from segmetry.segment.hybrid import CANDIDATES, Hybrid, global_levels
from segmetry.segment.methods import Scene
from segmetry.segment.plausibility import CUES
from segmetry.types import Image

CACHE = realdata.ROOT / "scratch" / "emps_hybrid"
SEED = 0
FOLDS, REPEATS = 5, 4
AT = (0.5, 0.75, 0.9)


def read(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the grey image and the true labels of one EMPS id."""
    folder = realdata.folder("emps")
    image = cv2.imread(str(folder / "images" / f"{name}.png"), cv2.IMREAD_GRAYSCALE)
    return image, cv2.imread(str(folder / "segmaps" / f"{name}.png"), cv2.IMREAD_UNCHANGED).astype(np.int32)


def true_contrast(image: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean grey inside the true labels (2 px from their edge) minus that of the ring 2-8 px outside."""
    mask = (labels > 0).view(np.uint8)
    inside = cv2.distanceTransform(mask, cv2.DIST_L2, 5) > 2
    outside = cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5)
    ring = (outside > 2) & (outside <= 8)
    if not ring.any():
        ring = mask == 0
    return float(image[inside if inside.any() else mask > 0].mean() - image[ring].mean()) if ring.any() else 0.0


def ignore_mask(name: str, image: np.ndarray, use: bool) -> np.ndarray | None:
    """Return where text and scale bar are burned in, kept in the cache."""
    if not use:
        return None
    path = CACHE / "ignore" / f"{name}.png"
    if not path.exists():
        from segmetry.io.scalebar import find_annotations

        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), find_annotations(image).ignore.astype(np.uint8) * 255)
    return cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 0


def examine(task: tuple[str, dict, bool]) -> dict:
    """Return all that is needed to choose on one image: cues and score of each candidate, in both polarities."""
    name, options, masked = task
    cv2.setNumThreads(1)
    image, truth = read(name)
    ignore = ignore_mask(name, image, masked)
    out: dict = {
        "contrast": true_contrast(image, truth),
        "polarity_cues": polarity.cues(image.astype(np.float32)).tolist(),
    }
    true_side = "bright" if out["contrast"] > 0 else "dark"
    odds = float(np.dot(out["polarity_cues"], polarity.WEIGHTS))
    # Where every fold will get the polarity right, the other one is never looked up; it is left out to save time.
    sides = ("dark", "bright") if (odds > 0) != (true_side == "bright") or abs(odds) < 2.5 else (true_side,)
    for side in sides:
        record = method_from("hybrid", options | {"polarity": side})
        assert isinstance(record, Hybrid)
        from segmetry.prepare.valid import fill_invalid

        pixels = image.astype(np.float32)
        valid = None if ignore is None or not ignore.any() else ~ignore
        scene = Scene(pixels if valid is None else fill_invalid(pixels, valid), valid, (1.0, 1.0), "px")
        view = make_view(scene, side, record.smoothing)
        levels = global_levels(view)
        found = record.candidate_cues(view.pixels, levels)
        rows = []
        for candidate, cues in zip(CANDIDATES, found, strict=True):
            half = record.labels_of(candidate, view, levels)
            row = {"cues": cues.tolist()}
            for key, labels in (("half-height", half), ("ap", record.outlines(view, half, {}))):
                if valid is not None:
                    labels = drop_small_labels(np.where(valid, labels, 0), record.min_size)
                row[key] = average_precision(truth, labels, AT).tolist()
            rows.append(row)
        out[side] = rows
        plain = segment(Image(image, ignore=ignore), "otsu", options={"polarity": side, "split": False})
        out[f"otsu {side}"] = average_precision(truth, plain.labels, AT).tolist()
    return out


def collect(options: dict, jobs: int, masked: bool) -> Path:
    """Run every candidate on every image; return where the findings were written."""
    names = sorted(realdata.emps_publications())
    start = time.perf_counter()
    tasks = [(name, options, masked) for name in names]
    with ProcessPoolExecutor(jobs) as pool:
        rows = dict(zip(names, pool.map(examine, tasks, chunksize=4), strict=True))
    key = "_".join(f"{k}={v}" for k, v in sorted(options.items())) or "default"
    path = CACHE / f"{key}{'_masked' if masked else ''}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows), encoding="utf-8")
    print(f"{len(rows)} images in {time.perf_counter() - start:.0f} s -> {path}")
    return path


def fit_polarity(cues: np.ndarray, bright: np.ndarray) -> np.ndarray:
    """Return the weights of a logistic regression without a constant, on each image and its inverse."""
    from sklearn.linear_model import LogisticRegression

    spread = np.sqrt((cues**2).mean(axis=0))
    scaled = np.concatenate([cues, -cues]) / spread
    model = LogisticRegression(C=0.3, fit_intercept=False).fit(scaled, np.concatenate([bright, ~bright]))
    return model.coef_[0] / spread


def expand(cues: np.ndarray) -> np.ndarray:
    """Return cues and their squares."""
    return np.concatenate([cues, cues**2], axis=-1)


def fit_plausibility(cues: np.ndarray, ap: np.ndarray) -> np.ndarray:
    """Return the ridge weights that predict the score of a candidate: (images, candidates, cues) -> (2 cues,)."""
    x = expand(cues)
    # Only differences between the candidates of one image matter.
    x = (x - x.mean(axis=1, keepdims=True)).reshape(-1, x.shape[-1])
    y = (ap - ap.mean(axis=1, keepdims=True)).ravel()
    spread = x.std(axis=0) + 1e-9
    z = x / spread
    return np.linalg.solve(z.T @ z + 30 * np.eye(z.shape[1]), z.T @ y) / spread


class Findings:
    """What `collect` found, as arrays over images."""

    def __init__(self, path: Path) -> None:
        rows = json.loads(path.read_text(encoding="utf-8"))
        self.names = sorted(rows)
        publications = realdata.emps_publications()
        self.publication = np.unique([publications[n] for n in self.names], return_inverse=True)[1]
        self.contrast = np.array([rows[n]["contrast"] for n in self.names])
        self.polarity_cues = np.array([polarity.cues(read(n)[0].astype(np.float32)) for n in self.names])
        sides = ("dark", "bright")
        shape = (len(self.names), 2, len(CANDIDATES))
        self.cues, self.ap = np.full((*shape, len(CUES)), np.nan), np.full((*shape, len(AT)), np.nan)
        self.half = self.ap.copy()
        self.otsu = np.full((len(self.names), 2, len(AT)), np.nan)
        for i, name in enumerate(self.names):
            for k, side in enumerate(sides):
                if side in rows[name]:
                    self.cues[i, k] = [c["cues"] for c in rows[name][side]]
                    self.ap[i, k] = [c["ap"] for c in rows[name][side]]
                    self.half[i, k] = [c["half-height"] for c in rows[name][side]]
                    self.otsu[i, k] = rows[name][f"otsu {side}"]

    def choose(self, train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return side (0 dark, 1 bright) and candidate for the test images, fitted on the training images."""
        side = (self.polarity_cues[test] @ fit_polarity(self.polarity_cues[train], self.contrast[train] > 0)) > 0
        side = side.astype(int)
        right = (self.contrast[train] > 0).astype(int)
        weights = fit_plausibility(self.cues[train, right], self.half[train, right, :, 0])
        return side, np.argmax(expand(self.cues[test, side]) @ weights, axis=1)


def interval(values: np.ndarray, publication: np.ndarray) -> tuple[float, float, float]:
    """Return the mean over images and its 95 % interval by drawing publications anew."""
    rng = np.random.default_rng(SEED)
    n = publication.max() + 1
    total, count = np.bincount(publication, values, n), np.bincount(publication, minlength=n)
    draws = rng.integers(0, n, (4000, n))
    means = total[draws].sum(axis=1) / count[draws].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(values.mean()), float(low), float(high)


def held_out(data: Findings) -> dict[str, np.ndarray]:
    """Return per image, averaged over the repeats: scores of what was chosen without its publication."""
    n = len(data.names)
    kinds = {"fitted": data.ap, "half-height": data.half}
    out = {"right": np.zeros(n), "AP50 right side": np.zeros(n)}
    out |= {f"{name} AP{round(100 * at)}": np.zeros(n) for name in (*kinds, "otsu") for at in AT}
    rng = np.random.default_rng(SEED)
    for _ in range(REPEATS):
        fold = rng.permutation(data.publication.max() + 1)[data.publication] % FOLDS
        for k in range(FOLDS):
            test = np.flatnonzero(fold == k)
            train = np.flatnonzero(fold != k)
            side, candidate = data.choose(train, test)
            true_side = (data.contrast[test] > 0).astype(int)
            out["right"][test] += side == true_side
            for i, at in enumerate(AT):
                for name, ap in kinds.items():
                    out[f"{name} AP{round(100 * at)}"][test] += ap[test, side, candidate, i]
                out[f"otsu AP{round(100 * at)}"][test] += data.otsu[test, side, i]
            knows = data.cues[test, true_side]
            right = (data.contrast[train] > 0).astype(int)
            best = np.argmax(
                expand(knows) @ fit_plausibility(data.cues[train, right], data.half[train, right, :, 0]), 1
            )
            out["AP50 right side"][test] += data.ap[test, true_side, best, 0]
    out = {k: v / REPEATS for k, v in out.items()}
    for at in (round(100 * a) for a in AT):
        out[f"fitted - half-height AP{at}"] = out[f"fitted AP{at}"] - out[f"half-height AP{at}"]
        out[f"fitted - otsu AP{at}"] = out[f"fitted AP{at}"] - out[f"otsu AP{at}"]
    return out


def report(path: Path) -> None:
    """Print the held-out figures, and the weights fitted on all images."""
    data = Findings(path)
    print(f"{path.name}: {len(data.names)} images, {data.publication.max() + 1} publications, seed {SEED}")
    print(f"dark {np.sum(data.contrast < 0)}, bright {np.sum(data.contrast > 0)}")
    print(f"held out by publication, {FOLDS} folds x {REPEATS}: mean over images [95 %, publications drawn anew]")
    for name, values in held_out(data).items():
        print("  {:26s} {:6.3f} [{:6.3f}, {:6.3f}]".format(name, *interval(values, data.publication)))
    true_side = (data.contrast > 0).astype(int)
    rows = np.arange(len(data.names))
    ap = data.ap[rows, true_side, :, 0]
    print("true polarity, one candidate always:")
    for candidate, value in zip(CANDIDATES, ap.mean(axis=0), strict=True):
        print(f"  {candidate.name:24s} {value:.3f}")
    print(f"  {'the best of each image':24s} {ap.max(axis=1).mean():.3f}")
    print("WEIGHTS of polarity:", np.round(fit_polarity(data.polarity_cues, data.contrast > 0), 2).tolist())
    weights = fit_plausibility(data.cues[rows, true_side], data.half[rows, true_side, :, 0])
    print("WEIGHTS of plausibility", CUES, ":", [float(f"{w:.4g}") for w in weights])


def borders_of(name: str) -> dict[str, list[float]]:
    """Return how far labels lie outside the found edges (px), and found / labelled diameter, of matched particles."""
    cv2.setNumThreads(1)
    image, truth = read(name)
    ignore = ignore_mask(name, image, True)
    side = "bright" if true_contrast(image, truth) > 0 else "dark"
    out: dict[str, list[float]] = {}
    for edges in ("fitted", "half-height"):
        found = segment(Image(image, ignore=ignore), options={"polarity": side, "edges": edges}).labels
        pairs = match(truth, found)
        area, area_truth = np.bincount(found.ravel()), np.bincount(truth.ravel())
        boxes, boxes_truth = find_objects(found), find_objects(truth)
        for t, p in zip(pairs.truth, pairs.prediction, strict=True):
            both = zip(boxes[p - 1], boxes_truth[t - 1], strict=True)
            box = tuple(slice(max(min(a.start, b.start) - 1, 0), max(a.stop, b.stop) + 1) for a, b in both)
            mine, label = (found[box] == p).view(np.uint8), (truth[box] == t).view(np.uint8)
            outline = (mine > 0) & (cv2.erode(mine, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))) == 0)
            # Depth of pixel centres below the label's border; those of the outline lie half a pixel inside it.
            inside, outside = (cv2.distanceTransform(m, cv2.DIST_L2, 5) for m in (label, 1 - label))
            depth = np.where(label > 0, inside - 0.5, 0.5 - outside)
            out.setdefault(f"{edges} px", []).append(float(np.median(depth[outline])) - 0.5)
            out.setdefault(f"{edges} ratio", []).append(float(np.sqrt(area[p] / area_truth[t])))
            out.setdefault(f"{edges} diameter", []).append(float(2 * np.sqrt(area_truth[t] / np.pi)))
    return out


def borders(every: int = 2) -> None:
    """Print where labels lie beside the edges, over publications so that none with many particles decides."""
    publications = realdata.emps_publications()
    names = sorted(publications)[::every]
    rows = [borders_of(name) for name in names]
    print(
        f"{len(names)} images; labels outside the found edge (px, > 0), and found / labelled diameter: median of each"
    )
    print("image, then median over images and quartiles")
    for edges in ("fitted", "half-height"):
        for low, high in ((0, np.inf), (0, 20), (20, 50), (50, 100), (100, np.inf)):
            offsets, ratios, n = [], [], 0
            for row in rows:
                size = np.array(row.get(f"{edges} diameter", []))
                use = (size >= low) & (size < high)
                if use.sum() >= 3:
                    n += int(use.sum())
                    offsets.append(np.median(np.array(row[f"{edges} px"])[use]))
                    ratios.append(np.median(np.array(row[f"{edges} ratio"])[use]))
            if offsets:
                quartiles = [np.round(np.quantile(v, (0.5, 0.25, 0.75)), 3) for v in (offsets, ratios)]
                print(f"  {edges:12s} {low:4.0f}-{high:4.0f} px, {len(offsets)} images, {n} particles:", *quartiles)


def sheet(folder: Path, names: list[str]) -> None:
    """Write overlays of found (green) and true (red) outlines of some images."""
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(names), 12):
        tiles = []
        for name in names[start : start + 12]:
            image, truth = read(name)
            found = segment(image, "hybrid")
            tile = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
            for labels, colour in ((truth, (60, 60, 255)), (found.labels, (60, 255, 60))):
                edge = (labels != np.roll(labels, 1, 0)) | (labels != np.roll(labels, 1, 1))
                tile[cv2.dilate(edge.astype(np.uint8), np.ones((2, 2))) > 0] = colour
            ap = average_precision(truth, found.labels, 0.5)[0]
            text = f"{name} {ap:.2f} {found.info['polarity']} {found.info.get('rule', '')}"
            cv2.putText(tile, text, (8, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (0, 255, 255), 2)
            tiles.append(cv2.resize(tile, (480, 400)))
        tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 4)
        rows = [np.hstack(tiles[k : k + 4]) for k in range(0, len(tiles), 4)]
        cv2.imwrite(str(folder / f"sheet{start // 12:02d}.png"), np.vstack(rows))


def main(arguments: list[str] | None = None) -> int:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("collect", "report", "borders", "sheet"))
    parser.add_argument("folder", nargs="?", default="scratch/emps_hybrid/sheets")
    parser.add_argument("--set", action="append", default=[], help="an option of hybrid, such as specks=0.1")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--mask", action="store_true", help="ignore burned-in text and scale bars")
    parser.add_argument("--images", type=int, default=24)
    given = parser.parse_args(arguments)
    if realdata.folder("emps") is None:
        print("the EMPS images are not here; set SEGMETRY_DATA to the folder that holds emps/", file=sys.stderr)
        return 1
    options = dict(pair.split("=", 1) for pair in given.set)
    key = "_".join(f"{k}={v}" for k, v in sorted(options.items())) or "default"
    if given.what == "collect":
        report(collect(options, given.jobs, given.mask))
    elif given.what == "report":
        report(CACHE / f"{key}{'_masked' if given.mask else ''}.json")
    elif given.what == "borders":
        borders()
    else:
        names = sorted(realdata.emps_publications())
        sheet(Path(given.folder), [str(n) for n in np.random.default_rng(SEED).permutation(names)[: given.images]])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
