"""What a model is, whether it works here, and the same model for other programs."""

from __future__ import annotations

import json
from pathlib import Path

from segmetry.errors import OptionError


def show_model(name_or_path: str, *, as_json: bool) -> int:
    """Print what a model's card says; return the exit code."""
    from segmetry.cli.look import print_rows
    from segmetry.io.card_text import card_rows
    from segmetry.io.model_folder import ONNX, read_model_folder, resolve_model
    from segmetry.segment.forest_file import is_pixel_model

    if is_pixel_model(name_or_path):
        return _show_classifier(name_or_path, as_json=as_json)
    folder = read_model_folder(resolve_model(name_or_path))
    rows = card_rows(folder.card)
    if as_json:
        data = {"folder": str(folder.path), "bytes": len(folder.onnx)} | folder.card.as_dict()
        print(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False))
        return 0
    size = f"{len(folder.onnx) / 1e6:.1f} MB"
    print_rows([(key, "", text) for key, text in [*rows, ("file", f"{folder.path / ONNX}, {size}")]])
    return 0


def _show_classifier(path: str, *, as_json: bool) -> int:
    """Print what a classifier of pixels learned from, and how well it told what was painted."""
    from segmetry.cli.classifier import said
    from segmetry.segment.forest_file import CARD, read_pixel_model

    model = read_pixel_model(path)  # checked whole
    if as_json:
        print((Path(path) / CARD).read_text(encoding="utf-8").rstrip())
        return 0
    kind = model.training["kind"]
    print(f"{kind} for pixels of {len(model.axes)}D images, channels: {model.channels}, SHA-256 {model.sha256[:12]}")
    for line in said(model):
        print(line)
    return 0


def check(name_or_path: str, *, as_json: bool) -> int:
    """Print what every engine makes of a model; return the exit code."""
    from segmetry.io.json_file import plain
    from segmetry.io.model_folder import read_card, resolve_model
    from segmetry.segment.forest_file import is_pixel_model
    from segmetry.segment.model_check import check_model

    if is_pixel_model(name_or_path):
        return _show_classifier(name_or_path, as_json=as_json)  # reading checks it, and it has one engine
    found = check_model(name_or_path)
    card = read_card(resolve_model(name_or_path))
    if as_json:
        data = card.identity | {"engines": [one.as_dict() for one in found]}
        print(json.dumps(plain(data), indent=2, ensure_ascii=False, allow_nan=False))
        return 0
    print(f"{card.name} {card.version}: whole, SHA-256 {card.sha256[:12]} as its card says.")
    for one in found:
        sides = " × ".join(map(str, one.sides))
        tiles = "takes no tiles" if one.tiled_difference is None else f"tiles as the whole ± {one.tiled_difference:.1g}"
        samples = "same mask, same sample" if one.samples else "no dropout to sample"
        print(
            f"{one.engine}: {one.seconds_per_megapixel:.2g} s per megapixel on one thread, {one.peak_memory:.0f} MiB "
            f"for {sides} px; maps finite; {tiles}; {samples}; as ONNX Runtime ± {one.engine_difference:.1g}."
        )
    return 0


def export(name_or_path: str, out: Path) -> int:
    """Write a model for programs of bioimage.io; return the exit code."""
    from segmetry.segment.forest_file import is_pixel_model
    from segmetry.segment.model_export import export_model

    if is_pixel_model(name_or_path):
        raise OptionError(f"{name_or_path}: is a classifier of pixels, not a network; bioimage.io has no form for it.")
    export_model(name_or_path, out)
    print(f"{out}: a model of bioimage.io, and without dropout one of segmetry too.")
    return 0
