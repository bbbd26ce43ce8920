"""Text in grey pixels: the detector and the recogniser that the package rapidocr carries, run on ONNX Runtime.

The networks are PP-OCR's (Du et al. 2020, arXiv:2009.09941): a differentiable-binarisation detector (Liao et al. 2020,
doi:10.1609/aaai.v34i07.6812) and a CTC recogniser. They are driven here directly, not through rapidocr's own pipeline,
because

- one thread and no log lines are wanted, also inside the workers of a batch;
- the recogniser knows 18,000 characters; a micrograph's label uses about a hundred. Reading only among those turns the
  usual confusions (Greek letters, full-width digits, Chinese strokes) into right readings or into low confidence.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from segmetry.errors import ReadError

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ .,:;-–—+=()[]{}/\\|_%#&@*'\"!?<>~^$°±×·²³µμÅ"
"""Characters that a micrograph's labels are made of."""

REC_HEIGHT = 48
MAX_REC_WIDTH = 960
DETECT_PIXELS = 512 * 736
"""Detection shrinks larger images to about this many pixels: 0.1 s on one core."""


class Box(NamedTuple):
    """Rectangle of pixels: rows ``y0 <= y < y1``, columns ``x0 <= x < x1``."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.y1 - self.y0

    def grow(self, dx: int, dy: int, shape: tuple[int, int]) -> Box:
        """Return the box with `dx`, `dy` pixels more on each side, cut at the frame of `shape`."""
        return Box(max(self.x0 - dx, 0), max(self.y0 - dy, 0), min(self.x1 + dx, shape[1]), min(self.y1 + dy, shape[0]))


class Line(NamedTuple):
    """A place that looks like a line of text: `box` to read, `core` that fits the letters closely, detector's score."""

    box: Box
    core: Box
    score: float


class Reading(NamedTuple):
    """Text, mean confidence of its characters, and the confidence of each."""

    text: str
    confidence: float
    each: tuple[float, ...]


class _Models(NamedTuple):
    detector: Any
    recogniser: Any
    columns: np.ndarray
    characters: tuple[str, ...]


@lru_cache(maxsize=4)
def _models(threads: int) -> _Models:
    """Return both networks, loaded once per process and thread count (0.3 s)."""
    import importlib.util

    import onnxruntime

    spec = importlib.util.find_spec("rapidocr")
    if spec is None or not spec.submodule_search_locations:
        raise ReadError(
            "reading scale bars needs the package rapidocr; install it with: pip install 'rapidocr>=3.4,<4'."
        )
    folder = Path(next(iter(spec.submodule_search_locations))) / "models"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    sessions = []
    for kind in ("det", "rec"):
        files = sorted(folder.glob(f"*_{kind}_*.onnx"))
        if not files:
            raise ReadError(
                f"rapidocr's models are missing from {folder}; reinstall it: pip install --force-reinstall rapidocr."
            )
        sessions.append(onnxruntime.InferenceSession(str(files[-1]), options, providers=["CPUExecutionProvider"]))
    listed = sessions[1].get_modelmeta().custom_metadata_map["character"].splitlines()
    known = ["", *listed, " "]  # CTC's blank comes first; the space is last and not in the list
    wanted = [0] + [i for i, c in enumerate(known) if c and c in ALPHABET]
    return _Models(sessions[0], sessions[1], np.array(wanted), tuple(known[i] for i in wanted))


def detect_text(image: np.ndarray, *, threads: int = 1, min_score: float = 0.45) -> list[Line]:
    """Return places that look like lines of text, from top to bottom.

    Parameters
    ----------
    image : (M, N) array of uint8
    threads : int
        Threads of ONNX Runtime.
    min_score : float
        Mean text probability inside a region that is kept.
    """
    height, width = image.shape
    scale = min(1.0, (DETECT_PIXELS / (height * width)) ** 0.5)
    rows, cols = (max(32, round(n * scale / 32) * 32) for n in (height, width))
    small = cv2.resize(image, (cols, rows), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    plane = small.astype(np.float32) / 127.5 - 1.0
    tensor = np.broadcast_to(plane, (1, 3, rows, cols))
    session = _models(threads).detector
    probability = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(tensor)})[0][0, 0]
    mask = cv2.dilate((probability > 0.3).astype(np.uint8), np.ones((2, 2), np.uint8))
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    found = []
    for i in range(1, count):
        x, y, w, h, _ = (int(v) for v in stats[i])
        if min(w, h) < 3:
            continue
        inside = parts[y : y + h, x : x + w] == i
        score = float(probability[y : y + h, x : x + w][inside].mean())
        if score < min_score:
            continue
        margin = w * h * 1.6 / (2 * (w + h))  # the network's regions are shrunken text lines; this undoes it
        fx, fy = width / cols, height / rows
        region = Box(int(x * fx), int(y * fy), int(np.ceil((x + w) * fx)), int(np.ceil((y + h) * fy)))
        box = region.grow(round(margin * fx), round(margin * fy), image.shape)
        core = region.grow(round(0.3 * margin * fx), round(0.3 * margin * fy), image.shape)
        found.append(Line(box, core, score))
    return sorted(found, key=lambda line: (line.box.y0, line.box.x0))


def read_line(crop: np.ndarray, *, threads: int = 1) -> Reading:
    """Return the text of a crop that holds one line.

    Parameters
    ----------
    crop : (m, n) array of uint8
    """
    if min(crop.shape) < 2:
        return Reading("", 0.0, ())
    models = _models(threads)
    width = int(np.clip(np.ceil(crop.shape[1] * REC_HEIGHT / crop.shape[0]), 16, MAX_REC_WIDTH))
    # Sixteen spare columns: the network was trained on padded lines and drops the last letter without them.
    padded = max(48, int(np.ceil((width + 16) / 16)) * 16)
    method = cv2.INTER_AREA if crop.shape[0] > REC_HEIGHT else cv2.INTER_CUBIC
    plane = np.zeros((REC_HEIGHT, padded), np.float32)
    plane[:, :width] = cv2.resize(crop, (width, REC_HEIGHT), interpolation=method).astype(np.float32) / 127.5 - 1.0
    tensor = np.ascontiguousarray(np.broadcast_to(plane, (1, 3, REC_HEIGHT, padded)))
    session = models.recogniser
    scores = session.run(None, {session.get_inputs()[0].name: tensor})[0][0][:, models.columns]  # (T, characters)
    best = scores.argmax(axis=1)
    text: list[str] = []
    each: list[float] = []
    before = 0
    for step, k in enumerate(best):
        if k and k != before:
            text.append(models.characters[k])
            each.append(float(scores[step, k]))
        elif k and each:
            each[-1] = max(each[-1], float(scores[step, k]))
        before = k
    start = next((i for i, c in enumerate(text) if c != " "), len(text))
    end = max((i + 1 for i, c in enumerate(text) if c != " "), default=start)
    each = each[start:end]
    return Reading("".join(text[start:end]), float(np.mean(each)) if each else 0.0, tuple(each))
