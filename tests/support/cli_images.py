"""Image files for tests of the command line, written without segmetry's own writers, and what is asked of results."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image as PillowImage

IMAGE_FILES = ("labels.tif", "regions.csv", "summary.json", "overlay.png", "report.html")
"""What the documentation promises for each image."""

BATCH_FILES = ("regions.csv", "summary.json", "report.html", "recipe.yaml", "run.json", "failures.csv")
"""What the documentation promises over all images."""

PIXEL_NM = 0.5
"""Pixel size of the scenes below."""


def disks(shape: tuple[int, int], *centres_and_radii: tuple[float, float, float]) -> np.ndarray:
    """Return an 8-bit image of dark disks (row, col, radius) on bright ground, with a soft edge and a little noise."""
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    image = np.full(shape, 180.0)
    for row, col, radius in centres_and_radii:
        image -= 110 * np.clip(radius + 0.5 - np.hypot(rows - row, cols - col), 0, 1)
    noise = np.random.default_rng(len(centres_and_radii)).normal(0, 3, shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def isolated_circles(shape: tuple[int, int], n: int, *, median: float, gsd: float, seed: int) -> np.ndarray:
    """Return `n` circles (row, col, radius), whole in the frame and apart, with log-normal diameters."""
    rng = np.random.default_rng(seed)
    circles: list[tuple[float, float, float]] = []
    for radius in median / 2 * gsd ** rng.standard_normal(n):
        while True:
            row, col = (rng.uniform(radius + 4, side - radius - 5) for side in shape)
            if all(np.hypot(row - r, col - c) > radius + other + 5 for r, c, other in circles):
                circles.append((row, col, radius))
                break
    return np.array(circles)


THREE = ((40.0, 40.0, 12.0), (45.0, 110.0, 16.0), (95.0, 70.0, 20.0))
"""Three disks that lie whole in a frame of 130 x 150."""


def three_disks(seed: int = 0) -> np.ndarray:
    """Return an image of the disks `THREE`; each seed has other noise."""
    noise = np.random.default_rng(seed).integers(-2, 3, (130, 150))
    return np.clip(disks((130, 150), *THREE).astype(int) + noise, 0, 255).astype(np.uint8)


def write_tiff(path: Path, pixels: np.ndarray, *, nm: float | None = PIXEL_NM) -> Path:
    """Write a TIFF as ImageJ does, with the pixel size in nm where it is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if nm is None:
        tifffile.imwrite(path, pixels)
    else:
        tifffile.imwrite(path, pixels, imagej=True, resolution=(1 / nm, 1 / nm), metadata={"unit": "nm"})
    return path


def write_png(path: Path, pixels: np.ndarray) -> Path:
    """Write a PNG, which cannot hold a pixel size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.fromarray(pixels).save(path)
    return path


def read_json(path: Path) -> Any:
    """Return a JSON file's data; NaN and Infinity, which are not JSON, are errors."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{path} holds {word}, which is not JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def column(rows: list[dict[str, str]], name: str) -> np.ndarray:
    """Return a column as numbers."""
    return np.array([float(row[name]) for row in rows])


def leftovers(folder: Path) -> list[Path]:
    """Return hidden and temporary files below a folder: what an unclean end would leave."""
    return [p for p in folder.rglob("*") if p.name.startswith(".") or ".part" in p.name or p.suffix == ".tmp"]


def is_whole(folder: Path) -> bool:
    """Return whether an image's folder holds everything that it should."""
    return all((folder / name).is_file() and (folder / name).stat().st_size > 0 for name in IMAGE_FILES)
