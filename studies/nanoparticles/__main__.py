"""The nanoparticle study in one command.

    python -m studies.nanoparticles -o OUT [--seed 0] [--jobs 2] [--images 150] [--side 1024] [--write docs/studies]

Examines the micrographs that are not examined yet (``OUT/found``; stop and go on as you like), and writes tables
(``images.csv``, ``objects.csv``, ``diameters.csv``, ``sizes.csv``,
``iou_by_size.csv``, ``parameters.json``), figures and ``summary.md``.
``--write`` puts the figures and the summary into the documentation as well.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

from .report import parts_of, summary_of
from .run import run
from .scenes import N_IMAGES, SIDE, settings, table_of_parameters
from .tables import Tables

PAGE = "nanoparticles.md"
MARKER = "<!-- figures: written by python -m studies.nanoparticles -->"


def main() -> None:
    """Run the study and write what it says."""
    parser = argparse.ArgumentParser(
        prog="python -m studies.nanoparticles",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder for everything that is written")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="processes")
    parser.add_argument("--images", type=int, default=N_IMAGES, help="number of micrographs")
    parser.add_argument("--side", type=int, default=SIDE, help="side of a micrograph, px")
    parser.add_argument("--write", type=Path, help="documentation folder for the page's figures and summary")
    options = parser.parse_args()
    start = time.perf_counter()
    chosen = settings(options.images, seed=options.seed)
    rows = run(chosen, options.out / "found", side=options.side, jobs=options.jobs)
    tables = Tables.of(rows)
    tables.write(options.out)
    text = json.dumps(table_of_parameters(), indent=1, ensure_ascii=False).replace("Infinity", "null")
    (options.out / "parameters.json").write_text(text + "\n", encoding="utf-8")
    parts = parts_of(tables, chosen, options.side)
    summary = (
        f"`python -m studies.nanoparticles -o OUT --seed {options.seed}`: {len(rows)} micrographs of {options.side} "
        f"px, {platform.machine()}, Python {platform.python_version()}.\n\n" + summary_of(tables)
    )
    (options.out / "summary.md").write_text(summary, encoding="utf-8")
    folders = [options.out] + ([options.write / PAGE.removesuffix(".md")] if options.write else [])
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in parts.items():
            (folder / name).write_bytes(data)
    if options.write:
        page = options.write / PAGE
        before, found, _ = page.read_text(encoding="utf-8").partition(MARKER)
        if not found:
            raise SystemExit(f"{page}: the line {MARKER} is missing; add it where the figures belong.")
        page.write_text(before + MARKER + "\n" + summary, encoding="utf-8")
    print(summary)
    print(f"{options.out}: {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
