"""A study of networks in one command: make its data, train and judge what its files ask for, write down what came out.

    python studies/networks.py muscles -o OUT                  # the whole study
    python studies/networks.py real/sandstone -o OUT           # one table of it
    python studies/networks.py losses -o OUT --budget 30 --write docs/studies

A study is a folder beside this file: a file for each table, as `segmetry study networks` takes it but without its
``data``, and a package whose ``data(table, out)`` makes these in ``out`` and names them. What is there is not made
again, and the same command goes on with what was not run. Writes OUT/TABLE (``study.html``, tables, every run) and
OUT/summary.md; ``--write`` puts summary and figures into the study's page, below its last line that is a comment.

``--steps 3`` tries the whole way with so many steps for every network, one seed and one fold.
"""

from __future__ import annotations

import argparse
import importlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
MARKER = "<!-- tables: written by studies/networks.py -->\n"

Data = Mapping[str, Path]
"""Entries of ``data`` of a study's file: images, labels, ..."""


def once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Return a folder that was made whole, now or before."""
    if not folder.is_dir():
        part = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        make(part)
        part.rename(folder)
    return folder


def write_scenes(folder: Path, kind: str, n: int, *, seed: int, **options: Any) -> Data:
    """Write simulated scenes of a kind of `segmetry.synth`, and return where images and labels are."""
    from segmetry.cli.simulations import write_labelled
    from segmetry.synth import labelled_scenes

    def make(part: Path) -> None:
        for i, scene in enumerate(labelled_scenes(kind, n, seed=seed, **options)):
            write_labelled(scene, part, f"{kind}-{i:03d}")

    made = once(folder, make)
    return {"images": made / "images", "labels": made / "labels"}


def real(name: str) -> Data:
    """Return where images and labels of a real data set are."""
    import realdata

    folder = realdata.folder(name)
    if folder is None:
        raise SystemExit(f"the images {name} are not here; set SEGMETRY_DATA to the folder that holds {name}/")
    return {"images": folder / "images", "labels": folder / "labels"}


def tables_of(study: str) -> list[Path]:
    """Return the files of a study, or the one file of ``study/table``."""
    name, _, table = study.partition("/")
    found = sorted((HERE / name).glob(f"{table or '*'}.yaml"))
    if not found:
        known = sorted({path.parent.name for path in HERE.glob("*/*.yaml")})
        raise SystemExit(f"{study}: no such study; there are {', '.join(known)}.")
    return found


def shortened(entries: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """Return what a file asks for with so many steps, one seed and one fold."""
    kept = {name: value for name, value in entries.items() if name not in ("minutes", "seeds")}
    recipe = kept.get("recipe", {})
    kept["recipe"] = recipe | {"fit": recipe.get("fit", {}) | {"steps": steps, "warmup": 0}}
    return kept | ({"folds": kept.get("folds", [0])[:1]} if "folds_of" in kept else {})


def run(path: Path, package: ModuleType, out: Path, *, budget: float | None, steps: int | None) -> None:
    """Make the data of a table and run it, as far as the minutes go."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    if steps is not None:
        entries = shortened(entries, steps)
    out.mkdir(parents=True, exist_ok=True)
    data = {name: str(Path(value).resolve()) for name, value in package.data(path.stem, out / "data").items()}
    asked = out / path.name
    asked.write_text(yaml.safe_dump(entries | {"data": data}, sort_keys=False, allow_unicode=True), encoding="utf-8")
    command = [sys.executable, "-m", "segmetry", "study", "networks", str(asked), "-o", str(out / path.stem)]
    command += [] if budget is None else ["--budget", f"{max(budget, 0):.3f}"]
    code = subprocess.run(command, check=False).returncode
    if code not in (0, 1):  # 1: some runs failed; the tables say which
        raise SystemExit(code)


def summary_of(paths: Iterable[Path], package: ModuleType, out: Path) -> str:
    """Return the tables of what is done as Markdown."""
    parts = []
    for path in paths:
        folder = out / path.stem
        if not (folder / "study.json").exists():
            continue
        runs = json.loads((folder / "study.json").read_text(encoding="utf-8"))["runs"]
        costs = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(folder.glob("work/*/cost.json"))]
        done = sum(one["state"] == "done" for one in runs)
        devices = "; ".join(dict.fromkeys(str(cost["device"]) for cost in costs))
        spent = f", {sum(cost['seconds'] for cost in costs) / 60:.0f} minutes of steps ({devices})" if costs else ""
        asked = f"studies/{path.parent.name}/{path.name}"
        parts.append(f"## {path.stem}\n\n`{asked}`: {done} of {len(runs)} runs{spent}.\n")
        parts.append((folder / "table.md").read_text(encoding="utf-8").replace("## ", "### "))
        if hasattr(package, "further"):
            parts.append(package.further(folder, out / "data"))
        figures = sorted((folder / "figures").glob("*.svg"))
        name = path.parent.name
        parts += [f"![{figure.stem}]({name}/{path.stem}-{figure.name})\n" for figure in figures]
    return "\n".join(parts)


def write_page(page: Path, summary: str, tables: Iterable[Path]) -> None:
    """Put a summary below the marker of a page, and the figures that it shows into the folder of its name."""
    before, found, _ = page.read_text(encoding="utf-8").partition(MARKER)
    if not found:
        raise SystemExit(f"{page}: the line {MARKER.strip()} is missing; add it where the tables belong.")
    page.write_text(before + MARKER + "\n" + summary, encoding="utf-8")
    for table in tables:
        for figure in sorted((table / "figures").glob("*.svg")):
            page.with_suffix("").mkdir(exist_ok=True)
            shutil.copyfile(figure, page.with_suffix("") / f"{table.name}-{figure.name}")


def main() -> None:
    """Run a study and write what it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", help="a folder of studies/, or FOLDER/TABLE")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--budget", type=float, metavar="MINUTES", help="begin no run after so long")
    parser.add_argument("--steps", type=int, help="try it with so few")
    parser.add_argument("--write", type=Path, help="documentation folder of the study's page")
    given = parser.parse_args()
    paths = tables_of(given.study)
    name = paths[0].parent.name
    package = importlib.import_module(name)
    began = time.monotonic()
    for path in paths:
        left = None if given.budget is None else given.budget - (time.monotonic() - began) / 60
        run(path, package, given.out, budget=left, steps=given.steps)
    every = tables_of(name)
    summary = summary_of(every, package, given.out)
    (given.out / "summary.md").write_text(summary, encoding="utf-8")
    if given.write:
        write_page(given.write / f"{name}.md", summary, [given.out / path.stem for path in every])


if __name__ == "__main__":
    main()
