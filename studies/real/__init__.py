"""Few labels of real images: steel (UHCS), sandstone, a slice of a mouse brain. A forest learns beside the network."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from networks import Data, once, real


def data(table: str, out: Path) -> Data:
    """Return the images of a table; the one slice of the brain becomes two images, its left and its right half."""
    return halves(out / table) if table == "brain" else real(table)


def halves(folder: Path) -> Data:
    """Write the two halves of the brain's slice."""
    import tifffile

    import realdata
    from segmetry.io import write_labels
    from segmetry.io.labels import read_labels

    source = realdata.folder("brain-tomography")
    if source is None:
        raise SystemExit("the images brain-tomography are not here; set SEGMETRY_DATA to the folder that holds them")

    def make(part: Path) -> None:
        image, labels = tifffile.imread(source / "image.tif"), read_labels(source / "labels.png").values
        for name in ("images", "labels"):
            (part / name).mkdir()
        middle = image.shape[1] // 2
        for side, columns in (("left", slice(None, middle)), ("right", slice(middle, None))):
            tifffile.imwrite(part / "images" / f"{side}.tif", np.ascontiguousarray(image[:, columns]))
            write_labels(part / "labels" / f"{side}.tif", np.ascontiguousarray(labels[:, columns]))

    made = once(folder, make)
    return {"images": made / "images", "labels": made / "labels"}
