"""Where labelled images lie: two folders, an nnU-Net data set, or a manifest that names every file."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from segmetry.errors import OptionError, ReadError, unknown_name
from segmetry.inputs import find_inputs, name_folders
from segmetry.io.formats import stem_of
from segmetry.partners import pair_files, some_names, table_rows
from segmetry.train.splits import PARTS

COLUMNS = ("image", "label", "group", "part")
"""What a manifest says of an image; further channels are ``image_2``, ``image_3``, ..."""

_NNUNET = "dataset.json"


@dataclass(frozen=True)
class LabelledFiles:
    """Files of one labelled image: `images` are its channels. `part` is one of `PARTS`, or empty."""

    name: str
    images: tuple[Path, ...]
    labels: Path
    group: str = ""
    part: str = ""


@dataclass(frozen=True)
class Layout:
    """Labelled images, and what else their folder says: names of classes by value, the value of no label."""

    files: tuple[LabelledFiles, ...]
    classes: Mapping[int, str] | None = None
    ignore: int | None = None
    notes: tuple[str, ...] = ()


def find_labelled(images: Path, labels: Path | None = None) -> Layout:
    """Return the labelled images that paths name.

    Parameters
    ----------
    images : path
        A folder of images or one image, with `labels`; or alone: the folder of an nnU-Net data set (with
        ``dataset.json``), or a manifest, CSV or YAML.
    labels : path, optional
        A folder with label images of the same stems, or one label image.

    Raises
    ------
    ReadError
        If something is missing, or cannot be read.
    OptionError
        If a manifest has an unknown column or part, or `labels` does not go with `images`.
    """
    is_manifest = images.suffix.lower() in _MANIFESTS and not images.is_dir()
    if labels is not None:
        if is_manifest:
            raise OptionError(f"{images}: a manifest names the labels itself; leave {labels} out.")
        return _two_folders(images, labels)
    if is_manifest:
        return _manifest(images)
    if (images / _NNUNET).is_file():
        return _nnunet(images)
    if not images.exists():
        find_inputs([images])  # raises the error that offers the near name
    raise OptionError(
        f"{images}: where are its labels? Name their folder, or a manifest (.csv, .yaml), or a folder with {_NNUNET}."
    )


def _two_folders(images: Path, labels: Path) -> Layout:
    found = pair_files(images, labels, what="image")
    files = tuple(
        LabelledFiles(p.name if labels.is_dir() else stem_of(p.first.name), (p.first,), p.truth) for p in found.pairs
    )
    alone = found.alone
    notes = (f"images without labels, left out: {some_names(alone)}",) if alone else ()
    return Layout(files, notes=notes)


def _nnunet(folder: Path) -> Layout:
    """Return the training images of an nnU-Net data set, of version 2 or 1.

    Version 2 writes ``{"pore": 1}`` for classes, version 1 ``{"1": "pore"}``. The files of channels are ``NAME_0000``,
    ``NAME_0001``, ...; the Medical Segmentation Decathlon has one, of the label's name.
    """
    path = folder / _NNUNET
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        classes, ignore = _classes(about["labels"], path)
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        if isinstance(error, OptionError):
            raise
        raise ReadError(
            f'{path}: is no description of a data set ({error!r:.80}); it needs "labels": {{"background": 0, ...}}.'
        ) from None
    stems = {stem_of(p.name): p for p in find_inputs([folder / "imagesTr"])}
    files, missing = [], []
    for label in find_inputs([folder / "labelsTr"]):
        name = stem_of(label.name)
        channels: list[Path] = []
        while (channel := f"{name}_{len(channels):04d}") in stems:
            channels.append(stems[channel])
        if not channels and name in stems:
            channels = [stems[name]]
        files.append(LabelledFiles(name, tuple(channels), label))
        if not channels:
            missing.append(name)
    if missing:
        raise ReadError(
            f"{folder / 'imagesTr'}: {len(missing)} of {len(files)} labels have no image: {some_names(missing)}; "
            f"the first channel of {missing[0]} is {missing[0]}_0000."
        )
    return Layout(tuple(files), classes, ignore)


def _classes(labels: Mapping[str, Any], path: Path) -> tuple[dict[int, str], int | None]:
    """Return names of classes by value, and the value of no label."""
    if all(name.isdigit() for name in labels):
        return {int(value): str(name) for value, name in labels.items()}, None
    regions = [name for name, value in labels.items() if isinstance(value, list)]
    if regions:
        raise OptionError(f"{path}: {some_names(regions)} are regions of several values; name single classes.")
    classes = {int(value): name for name, value in labels.items() if name != "ignore"}
    return classes, int(labels["ignore"]) if "ignore" in labels else None


def _manifest(path: Path) -> Layout:
    rows = _MANIFESTS[path.suffix.lower()](path)
    files, missing = [], []
    for number, row in enumerate(rows, 1):
        where = f"{path}, image {number}"
        channels = _channels(row)
        label, part = _text(row.get("label")), _text(row.get("part")).lower()
        if not channels or not label:
            raise ReadError(f"{where}: names no {'label' if channels else 'image'}; each row needs both.")
        if part and part not in PARTS:
            raise unknown_name(f"part of {where}", part, PARTS)
        found = [path.parent / name for name in (*channels, label)]
        missing += [str(file) for file in found if not file.exists()]
        files.append(LabelledFiles("", tuple(found[:-1]), found[-1], _text(row.get("group")), part))
    if missing:
        raise ReadError(
            f"{path}: {len(missing)} files are not there: {some_names(missing)}; paths start at the manifest's folder."
        )
    if not files:
        raise ReadError(f"{path}: names no image; write one a row, below {','.join(COLUMNS)}.")
    times = Counter(one.images[0].resolve() for one in files)
    if twice := [str(first) for first, n in times.items() if n > 1]:
        raise ReadError(f"{path}: names {some_names(twice)} more than once; give each image one label image.")
    tasks = name_folders([one.images[0] for one in files])
    return Layout(tuple(replace(one, name=task.folder) for one, task in zip(files, tasks, strict=True)))


def _from_csv(path: Path) -> list[dict[str, Any]]:
    head, *lines = table_rows(path)
    columns = [_known(title, path) for title in head]
    return [dict(zip(columns, line)) for line in lines]


def _from_yaml(path: Path) -> list[dict[str, Any]]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ReadError(f"{path}: cannot be read ({str(error).splitlines()[0]:.150}).") from None
    if not isinstance(data, list) or not all(isinstance(row, Mapping) for row in data):
        raise ReadError(f"{path}: is no list of images; write - image: a.tif, and below it label: a.png.")
    return [{_known(title, path): value for title, value in row.items()} for row in data]


_MANIFESTS = {".csv": _from_csv, ".yaml": _from_yaml, ".yml": _from_yaml}


def _known(title: object, path: Path) -> str:
    """Return the name of a column as we write it."""
    name = str(title).strip().lower()
    if name not in COLUMNS and not re.fullmatch(r"image_[1-9]\d*", name):
        raise unknown_name(f"column of {path}", name, (*COLUMNS, "image_2"))
    return name


def _channels(row: Mapping[str, Any]) -> list[str]:
    """Return the files of the channels of an image, in their order."""
    first = row.get("image")
    more = sorted((int(name.removeprefix("image_")), value) for name, value in row.items() if name.startswith("image_"))
    cells = [*(first if isinstance(first, list) else [first]), *(value for _, value in more)]
    return [_text(cell) for cell in cells if _text(cell)]


def _text(cell: object) -> str:
    return "" if cell is None else str(cell).strip()
