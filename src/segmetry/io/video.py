"""Video: frames as a time axis, through OpenCV."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from segmetry.errors import ReadError
from segmetry.io.axes import AxisValues
from segmetry.io.stored import Lazy, Stored, check_claim

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # silence on damaged files; read when FFmpeg is first used


def read_video(path: Path, page: int | None) -> Stored:
    """Return the frames of a video, with their times by its frame rate.

    Frames are unpacked when asked for, quickest in their order. A video is mostly compressed with loss, with a note.

    Raises
    ------
    ReadError
        If it holds no frames that can be unpacked.
    """
    import cv2

    with _silent():
        video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    if not video.isOpened():
        raise ReadError("it holds no video that can be unpacked; it is cut off or of an unknown codec: save it as AVI.")
    width, height = (int(video.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    n_frames, rate = int(video.get(cv2.CAP_PROP_FRAME_COUNT)), float(video.get(cv2.CAP_PROP_FPS))
    size = path.stat().st_size
    try:
        if n_frames < 1:
            while video.grab():
                n_frames = max(n_frames, 0) + 1
            video.set(cv2.CAP_PROP_POS_FRAMES, 0)
        check_claim((n_frames, height, width, 3), 1, 1000 * size, compressed=False)
    except BaseException:
        video.release()
        raise
    at = 0

    def plane(k: int) -> np.ndarray:
        nonlocal at
        if k != at:
            video.set(cv2.CAP_PROP_POS_FRAMES, k)
        with _silent():
            there, frame = video.read()
        at = k + 1
        if not there or frame.shape != (height, width, 3):
            raise ReadError(f"it is cut off: frame {k} of {n_frames} cannot be unpacked; copy it again.")
        return frame[..., ::-1]  # OpenCV gives blue, green, red

    lazy = Lazy((n_frames, height, width, 3), np.dtype(np.uint8), plane, size, n_leading=1, close=video.release)
    notes = ["frames of a video are mostly compressed with loss: prefer the original frames"]
    values = {}
    if 0 < rate < math.inf:
        times = (np.arange(n_frames) / rate).tolist()
        values["T"] = AxisValues(tuple(times), "s", "time")
    else:
        notes.append("the file does not say how many frames a second has")
    return Stored(lazy, "TYXS", None, tuple(notes), {"frames_per_second": rate} if values else {}, axis_values=values)


@contextmanager
def _silent() -> Iterator[None]:
    """Within it OpenCV writes nothing of damaged files."""
    import cv2

    logging = cv2.utils.logging
    before = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logging.setLogLevel(before)
