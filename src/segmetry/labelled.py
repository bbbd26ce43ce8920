"""Images with a class for every pixel, from files of any layout: what a network for classes learns from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segmetry.errors import ImageError, LabelError, OptionError, ShapeMismatchError
from segmetry.io.labels import read_labels
from segmetry.io.read import Channels, read_together
from segmetry.layouts import LabelledFiles, find_labelled
from segmetry.partners import read_groups, some_names
from segmetry.train.augment import IGNORED
from segmetry.train.samples import Labelled
from segmetry.units import convert

IN_MEMORY = 2**30
"""Bytes: of images whose files are larger together, what can stay on the disk does."""

MOST_MAPPED = 500
"""Files that stay on the disk, the largest ones; each keeps a file open, and systems allow about a thousand."""

MOST_CLASSES = 64
"""More values than these are numbers of objects, unless somebody names them."""

BINARY = {0: "background", 1: "foreground"}


@dataclass(frozen=True)
class LabelledSet:
    """Labelled images that are numbered alike.

    Parameters
    ----------
    images : tuple of Labelled
        Classes are numbered 0 to K - 1; `IGNORED` where nobody labelled.
    classes : mapping of int to str
        Value in the label files (of `foreground`: 0 and 1) to name, in the order of the class numbers.
    parts : tuple of str
        Of each image: ``"train"``, ``"check"`` or ``"test"`` where a manifest says so, else empty.
    notes : tuple of str
        What the user should know.
    """

    images: tuple[Labelled, ...]
    classes: Mapping[int, str]
    parts: tuple[str, ...]
    notes: tuple[str, ...] = ()


def load_labelled(
    images: Path,
    labels: Path | None = None,
    *,
    groups: Path | None = None,
    classes: Mapping[int, str] | None = None,
    ignore: int | None = None,
    foreground: bool = False,
    planes: bool = False,
    track: Callable[[Sequence[LabelledFiles]], Iterable[LabelledFiles]] = iter,
) -> LabelledSet:
    """Return labelled images from two folders, an nnU-Net data set, or a manifest.

    Parameters
    ----------
    images, labels : path
        See `segmetry.layouts.find_labelled`.
    groups : path, optional
        CSV of image and group, see `segmetry.partners.read_groups`; goes before the groups of a manifest. An image
        that nobody put into a group is one of its own.
    classes : mapping of int to str, optional
        Names by value in the label files; the classes are numbered in the order of the values. By default what a data
        set says, else the values that occur.
    ignore : int, optional
        Value of pixels that nobody labelled.
    foreground : bool
        Labels are numbers of objects: learn what is object (1) and what is not (0).
    planes : bool
        Cut volumes into their planes, ``NAME_z012``, each in the group of its volume; those without any label go.
    track : callable
        See `segmetry.training.load_examples`.

    Raises
    ------
    ReadError
        If a file is missing or cannot be read.
    ShapeMismatchError
        If an image and its labels, or the channels of an image, differ in shape.
    ImageError
        If images differ in the number of axes or of channels, or a series of times is to be a volume.
    LabelError
        If a value is none of the classes, there are too many of them, or fewer than two classes are labelled.
    OptionError
        If the options contradict each other, or a manifest has an unknown column.
    """
    layout = find_labelled(images, labels)
    if classes is None:
        classes = BINARY if foreground else layout.classes
    numbers = _Numbers(classes, layout.ignore if ignore is None else ignore, foreground)
    names = [files.name for files in layout.files]
    owners = read_groups(groups, names)[1] if groups else [files.group or files.name for files in layout.files]
    on_disk = _on_disk([path for files in layout.files for path in files.images])
    found: list[Labelled] = []
    remarks: dict[str, list[str]] = {}
    for files, group in zip(track(layout.files), owners, strict=True):
        image, said = _read(files, group, numbers, on_disk, planes=planes)
        found.append(image)
        for note in said:
            remarks.setdefault(note, []).append(files.name)
    _check_alike(found, planes=planes)
    notes = [*layout.notes, *numbers.settle([image.classes for image in found], labels or images)]
    notes += [f"{note}: {some_names(own)}" for note, own in remarks.items()]
    cut: list[Labelled] = []
    parts: list[str] = []
    for image, files in zip(found, layout.files, strict=True):
        pieces = _planes(image) if planes and image.classes.ndim == 3 else [image]
        kept = [piece for piece in pieces if (piece.classes != IGNORED).any()]
        if len(kept) < len(pieces):
            what = f"{len(pieces) - len(kept)} of its {len(pieces)} planes" if len(pieces) > 1 else "it"
            notes.append(f"{image.name}: nobody labelled anything in {what}: left out")
        cut += kept
        parts += [files.part] * len(kept)
    return LabelledSet(tuple(cut), numbers.classes, tuple(parts), tuple(notes))


def _read(
    files: LabelledFiles, group: str, numbers: _Numbers, on_disk: set[Path], *, planes: bool
) -> tuple[Labelled, list[str]]:
    """Return an image with its labels, and what its readers said."""
    image = read_together(files.images, mapped=on_disk)
    truth = read_labels(files.labels)
    if truth.values.shape != image.shape:
        raise ShapeMismatchError(
            f"{files.labels}: the labels are {_by(truth.values.shape)}, the image {files.images[0]} "
            f"{_by(image.shape)}; undo the resizing, or crop both to the same window."
        )
    if image.axes[0] not in "ZY" and not planes:
        raise ImageError(
            f"{files.images[0]}: is a series ({image.axes}), not a volume; learn from its planes, each for itself "
            "(planes)."
        )
    known = next((length for length in (image.calibration, truth.calibration) if length.known), None)
    spacing = tuple(convert(side, known.unit, "nm") for side in known.spacing) if known else ()
    numbered = numbers.of(truth.values, files.labels)
    return Labelled(files.name, group, image.channels, numbered, spacing), list(image.notes)


class _Numbers:
    """Numbers of classes by the values in label files: of those that are named, else of those that occur.

    Values get their numbers as they come, so that labels are read once; `settle` puts them in order.
    """

    def __init__(self, named: Mapping[int, str] | None, ignore: int | None, foreground: bool) -> None:
        self.named, self.ignore, self.foreground = named, ignore, foreground
        self.number = {value: k for k, value in enumerate(sorted(named or ()))}
        self.pixels = np.zeros(IGNORED + 1, np.int64)
        if named is None:
            return
        if not 2 <= len(named) <= IGNORED or len(set(named.values())) < len(named):
            raise OptionError(f"classes need 2 to {IGNORED} names that differ, got {', '.join(named.values())}.")
        if ignore is not None and ignore in named and not foreground:
            raise OptionError(f"{ignore} is the class {named[ignore]!r} and to be ignored; leave out one of both.")
        if foreground and sorted(named) != [0, 1]:
            raise OptionError(f"with foreground the classes are 0 and 1, got {', '.join(map(str, named))}.")

    @property
    def classes(self) -> dict[int, str]:
        """Name by value, in the order of the numbers."""
        return {value: self.named[value] if self.named else str(value) for value in sorted(self.number)}

    def of(self, labels: np.ndarray, path: Path) -> np.ndarray:
        """Return the number of the class of each pixel, uint8; `IGNORED` where nobody labelled."""
        tally: Counter[int] = Counter()
        for plane in labels.reshape(-1, *labels.shape[-2:]):  # of a volume at once it takes four times its memory
            tally.update(dict(zip(*(found.tolist() for found in np.unique(plane, return_counts=True)), strict=True)))
        values = np.array(sorted(tally))
        counts = np.array([tally[value] for value in values.tolist()])
        kept = np.full(values.size, True) if self.ignore is None else values != self.ignore
        meant = (values > 0).astype(int) if self.foreground else values
        self._check(values[kept], meant[kept], counts[kept], path)
        for value in meant[kept].tolist():
            self.number.setdefault(value, len(self.number))
        table = np.array(
            [self.number[value] if known else IGNORED for value, known in zip(meant.tolist(), kept, strict=True)],
            np.uint8,
        )
        np.add.at(self.pixels, table, counts)
        out = np.empty(labels.shape, np.uint8)
        for target, part in zip(out, labels, strict=True):
            target[:] = table[np.searchsorted(values, part)]
        return out

    def _check(self, values: np.ndarray, meant: np.ndarray, counts: np.ndarray, path: Path) -> None:
        if values.size and values[0] < 0:
            raise LabelError(
                f"{path}: {counts[0]} pixels have the value {values[0]}; classes are numbered from 0. "
                f"Where it means that nobody labelled these pixels, say ignore={values[0]}."
            )
        if self.named is None:
            n_values = len(self.number.keys() | set(meant.tolist()))
            if n_values > MOST_CLASSES:
                raise LabelError(
                    f"{path}: with this file the labels hold {n_values} values: they look like numbered objects, not "
                    "classes. To learn what is object and what is not, say foreground; else name the classes."
                )
            return
        strange = ~np.isin(meant, list(self.number))
        if strange.any():
            listed = some_names([str(value) for value in values[strange]])
            raise LabelError(
                f"{path}: {counts[strange].sum()} pixels hold {listed}, but the classes are "
                f"{', '.join(map(str, self.number))}; name what is missing, or leave a value out with ignore."
            )

    def settle(self, labels: Sequence[np.ndarray], where: Path) -> list[str]:
        """Put the numbers that `of` gave into the order of the values, in place; return what the user should know."""
        names = self.classes
        table = np.full(IGNORED + 1, IGNORED, np.uint8)
        table[list(self.number.values())] = [list(names).index(value) for value in self.number]
        if list(self.number) != list(names):
            for image in labels:
                for part in image:
                    part[:] = table[part]
        absent = [name for value, name in names.items() if not self.pixels[self.number[value]]]
        labelled = [name for name in names.values() if name not in absent]
        if len(labelled) < 2:
            only = f"every labelled pixel is {labelled[0]!r}" if labelled else "no pixel is labelled"
            raise LabelError(f"{where}: {only}; a network learns to tell classes apart: label two at least.")
        notes = [f"no pixel is labelled as {some_names(absent)}"] if absent else []
        if self.named is None and 255 in names and len(names) > 2:
            notes.append("255 is taken for a class; if it means that nobody labelled there, say ignore=255")
        return notes


def _on_disk(paths: Sequence[Path]) -> set[Path]:
    """Return the files that are not to be read into memory."""
    sizes = {path: path.stat().st_size for path in paths}
    return set(sorted(sizes, key=sizes.__getitem__)[-MOST_MAPPED:]) if sum(sizes.values()) > IN_MEMORY else set()


def _check_alike(images: Sequence[Labelled], *, planes: bool) -> None:
    first = images[0]
    for image in images:
        if not planes and image.classes.ndim != first.classes.ndim:
            raise ImageError(
                f"{first.name} has {first.classes.ndim} axes, {image.name} {image.classes.ndim}; a network learns from "
                "images or from volumes: cut volumes into planes (planes), or train on each kind alone."
            )
        if len(image.pixels) != len(first.pixels):
            raise ImageError(
                f"{first.name} has {len(first.pixels)} channels, {image.name} {len(image.pixels)}; give the channels "
                "that all have, or train on each kind alone."
            )


def _planes(volume: Labelled) -> list[Labelled]:
    """Return the planes of a volume; their pixels stay where they are."""
    digits = max(3, len(str(len(volume.classes) - 1)))
    cut = []
    for z, classes in enumerate(volume.classes):
        pixels = Channels(c[z] for c in volume.pixels) if isinstance(volume.pixels, Channels) else volume.pixels[:, z]
        cut.append(Labelled(f"{volume.name}_z{z:0{digits}}", volume.group, pixels, classes, volume.spacing[-2:]))
    return cut


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
