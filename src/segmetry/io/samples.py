"""The particles of Monte Carlo samples, as far as statistics over many images need them, in one small file."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segmetry.errors import ReadError
from segmetry.io.atomic import atomic

if TYPE_CHECKING:
    import pandas as pd

SAMPLES_FILE = "samples.npz"
COLUMNS = ("equivalent_diameter", "edge_weight")
"""What the size distribution of a sample is made from."""


def write_samples(path: Path, samples: Sequence[pd.DataFrame]) -> None:
    """Write `COLUMNS` of the tables of samples, whole or not at all.

    The file is NumPy's: ``n`` has the number of particles of each sample, a column those of all samples one after the
    other, in single precision, which is 1e-7 of a diameter.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> path = Path(tempfile.mkdtemp()) / SAMPLES_FILE
    >>> first = pd.DataFrame({"equivalent_diameter": [8.0, 9.5], "edge_weight": [1.5, np.nan]})
    >>> write_samples(path, [first, first[:0]])
    >>> [len(table) for table in read_samples(path)]
    [2, 0]
    """
    arrays = {c: np.concatenate([t[c].to_numpy(np.float32) for t in samples]) for c in COLUMNS}
    with atomic(path) as temporary:
        np.savez_compressed(temporary, n=np.array([len(t) for t in samples]), **arrays)  # type: ignore[arg-type]


def read_samples(path: Path) -> tuple[pd.DataFrame, ...]:
    """Return the tables that `write_samples` wrote.

    Raises
    ------
    ReadError
        If the file is missing or damaged.
    """
    import pandas as pd

    try:
        with np.load(path, allow_pickle=False) as stored:
            numbers = stored["n"]
            whole = pd.DataFrame({c: stored[c].astype(float) for c in COLUMNS})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ReadError(f"{path}: missing or damaged; delete its folder, and run again with --resume.") from error
    ends = np.cumsum(numbers)
    return tuple(whole[first:last] for first, last in zip(ends - numbers, ends))
