"""Silence for libraries that warn, log and print about files that we judge ourselves."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_CHATTY = ("tifffile", "PIL", "rsciio", "imagecodecs", "roifile", "nibabel.global", "pydicom")
"""Not astropy: it cannot be imported where somebody has asked for its logger before; it says its doubts as warnings."""


@contextmanager
def quiet() -> Iterator[None]:
    """Within it, warnings are ignored and the log messages of the decoders are dropped."""
    levels = {name: logging.getLogger(name).level for name in _CHATTY}
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
