"""The figures of the study, from its tables, and pictures of some micrographs."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pandas as pd

from segmetry.report.agreement import four_colours
from segmetry.report.figures import FAINT, INK, nothing, subplots
from segmetry.report.overlay import border_of
from segmetry.report.picture import encode_jpeg, encode_png, stretch
from segmetry.report.score_figures import line_styles
from segmetry.segment import segment

from .run import METHODS
from .scenes import CARBONS, INSTRUMENTS, MATERIALS, MODALITIES, SIZES, Setting, scene_of

PICK_WORDS = {"inside": "all particles", "isolated": "isolated particles"}
_TILE = 256


def supports_picture(seed: int = 7) -> bytes:
    """Return a JPEG of every support (rows) in every modality (columns), Pt of 5 nm, with true outlines at the right.

    Pixels are those of the micrographs; each tile is stretched by itself.
    """
    rows = []
    for carbon in CARBONS:
        tiles = []
        for modality in MODALITIES:
            setting = Setting(0, SIZES[2], MATERIALS[0], carbon, modality, INSTRUMENTS[2], seed)
            scene = scene_of(setting, 2 * _TILE)
            grey = stretch(scene.image.pixels)
            tile = np.repeat(_grey(grey)[..., None], 3, axis=2)
            half = np.zeros(tile.shape[:2], bool)
            half[:, tile.shape[1] // 2 :] = True
            tile[border_of(scene.labels) & half] = (230, 60, 0)
            tiles.append(_crop(tile, _TILE))
        rows.append(_beside(tiles))
    return encode_jpeg(_beside(rows, axis=0), 88)


def agreement_picture(settings: Sequence[Setting], side: int, crop: int = 320) -> bytes:
    """Return a PNG: a row for each setting, the micrograph and the four-colour map of each method."""
    rows = []
    for setting in settings:
        scene = scene_of(setting, side)
        tiles = [_crop(np.repeat(_grey(stretch(scene.image.pixels))[..., None], 3, axis=2), crop)]
        for method in METHODS.values():
            found = segment(scene.image, method).labels
            tiles.append(_crop(four_colours(scene.labels, found), crop))
        rows.append(_beside(tiles))
    return encode_png(_beside(rows, axis=0))


def size_histograms(diameters: pd.DataFrame, pooled: pd.DataFrame):
    """Return the size distributions of each modality (columns), of all and of isolated particles (rows)."""
    modalities = [m.name for m in MODALITIES]
    figure, axes = subplots(9.6, 4.6, rows=len(PICK_WORDS), cols=len(modalities), sharex=True, sharey=True)
    edges = np.linspace(0, 2.5, 41)
    middles = (edges[1:] + edges[:-1]) / 2
    for at, (pick, words) in enumerate(PICK_WORDS.items()):
        for k, modality in enumerate(modalities):
            ax = axes[at * len(modalities) + k]
            part = diameters[(diameters["pick"] == pick) & (diameters["modality"] == modality)]
            if part.empty:
                nothing(ax)
                continue
            n_true = max(int((part["method"] == "truth").sum()), 1)
            true, _ = np.histogram(part.loc[part["method"] == "truth", "relative"], edges)
            ax.fill_between(middles, true / n_true, step="mid", color=FAINT, alpha=0.35, linewidth=0, label="truth")
            for method, (colour, dashes, _marker) in zip(METHODS, line_styles(len(METHODS))):
                found, _ = np.histogram(part.loc[part["method"] == method, "relative"], edges)
                ax.plot(middles, found / n_true, color=colour, dashes=dashes, linewidth=1.2, drawstyle="steps-mid",
                        label=method)  # fmt: skip
            good = pooled[(pooled["pick"] == pick) & (pooled["modality"] == modality) & pooled["reproduced"]]
            told = ", ".join(good["method"]) or "none"
            ax.set_title(f"{modality}, {words}\nreproduced by {told}", fontsize=7.5, color=INK)
            ax.set_xlim(0, 2.5)
            if k == 0:
                ax.set_ylabel("found / number of true ones", fontsize=7.5)
            if at == len(PICK_WORDS) - 1:
                ax.set_xlabel("diameter / true D50 of the image", fontsize=7.5)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=8, loc="outside lower center", ncols=len(labels))
    top = max(ax.get_ylim()[1] for ax in axes)
    axes[0].set_ylim(0, min(top, 0.35))
    return figure


def _grey(picture: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) if picture.ndim == 3 else picture


def _crop(picture: np.ndarray, side: int) -> np.ndarray:
    """Return the middle of a picture."""
    at = [max(0, (n - side) // 2) for n in picture.shape[:2]]
    return picture[at[0] : at[0] + side, at[1] : at[1] + side]


def _beside(tiles: list[np.ndarray], axis: int = 1, gap: int = 4) -> np.ndarray:
    shape = list(tiles[0].shape)
    shape[axis] = gap
    white = np.full(shape, 255, np.uint8)
    parts = [p for tile in tiles for p in (tile, white)][:-1]
    return np.concatenate(parts, axis=axis)
