"""Ctrl-C in the middle of a batch: what is there is whole, and --resume goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cli_images import IMAGE_FILES, disks, is_whole, isolated_circles, leftovers, read_json, write_tiff

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="signals of a terminal"),
]
OPTIONS = ("-m", "otsu", "--scale", "metadata")


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for i in range(10):
        circles = isolated_circles((400, 500), 40, median=24, gsd=1.2, seed=i)
        write_tiff(folder / f"{i}.tif", disks((400, 500), *circles))
    return folder


def start(images: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    """Start the program in a session of its own, as a terminal does."""
    return subprocess.Popen(
        [sys.executable, "-m", "segmetry", "measure", str(images), "-o", str(out), *OPTIONS, *more],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", start_new_session=True,
        # A shell that runs the tests in the background has SIGINT ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def wait_for(condition, process, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.005)


def alive(session: int) -> list[str]:
    """Return the processes of a session that still run."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = status.read_text()
        except OSError:
            continue
        fields = text.rpartition(")")[2].split()
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(text)
    return found


def stop_and_look(process, out, *, send, n_images):
    """Stop a run with a signal; look at what it left."""
    send()
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr, stderr
    lines = [line for line in stderr.splitlines() if "left" not in line]  # a slow run says how long it will take
    assert len(lines) == 1, stderr
    assert "stopped" in lines[0]
    assert leftovers(out) == []
    done = [p.name for p in out.iterdir() if p.is_dir() and p.name != "figures"]
    assert all(is_whole(out / name) for name in done), "whole or not there"
    assert len(done) < n_images
    if Path("/proc/self/stat").exists():
        for _ in range(200):
            if not alive(process.pid):
                break
            time.sleep(0.05)
        assert alive(process.pid) == [], "no process stays behind"
    return done, stdout, lines[0]


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_leaves_whole_results_and_resume_goes_on(images, tmp_path, jobs, program):
    out = tmp_path / "out"
    process = start(images, out, "--jobs", str(jobs))
    wait_for(lambda: len(list(out.glob("*/summary.json"))) >= 2, process)
    done, _, line = stop_and_look(process, out, send=lambda: os.killpg(process.pid, signal.SIGINT), n_images=10)
    assert len(done) >= 2
    assert "--resume" in line
    summary = read_json(out / "summary.json")
    assert sorted(row["folder"] for row in summary["images"]) == sorted(done), "what stands over all is of what is done"
    before = {name: (out / name / "labels.tif").stat().st_mtime_ns for name in done}
    ran = program("measure", images, "-o", out, *OPTIONS, "--jobs", jobs, "--resume")
    assert ran.code == 0, ran.err
    assert {name: (out / name / "labels.tif").stat().st_mtime_ns for name in done} == before, "not done again"
    assert read_json(out / "summary.json")["n"] == 400
    # As if it had never been stopped.
    assert program("measure", images, "-o", tmp_path / "whole", *OPTIONS, "--jobs", jobs).code == 0
    for name in ("summary.json", "regions.csv", *(f"{i}/{f}" for i in range(10) for f in IMAGE_FILES[:3])):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


@pytest.mark.parametrize("after", [0.3, 0.8, 1.6, 2.5])
def test_ctrl_c_at_the_start(images, tmp_path, after):
    """While libraries load and workers start."""
    out = tmp_path / "out"
    process = start(images, out, "--jobs", "2")
    time.sleep(after)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT)
    if after > 0.5:  # before that the interpreter itself starts
        assert "Traceback" not in stderr, stderr
    assert not out.exists() or leftovers(out) == []


def test_terminate_is_like_ctrl_c(images, tmp_path):
    """A batch system says SIGTERM, and only to the first process."""
    out = tmp_path / "out"
    process = start(images, out, "--jobs", "2")
    wait_for(lambda: len(list(out.glob("*/summary.json"))) >= 1, process)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert leftovers(out) == []
    for _ in range(200):
        if not alive(process.pid):
            break
        time.sleep(0.05)
    assert alive(process.pid) == []


def test_an_image_that_takes_long_does_not_hold_up_ctrl_c(tmp_path):
    """Ctrl-C ends work that is under way; it does not wait for it."""
    noise = np.random.default_rng(0).integers(0, 255, (5000, 5000), dtype=np.uint8)
    for i in range(2):
        write_tiff(tmp_path / f"in/{i}.tif", noise)
    process = start(tmp_path / "in", tmp_path / "out", "--jobs", "2", "--set", "min_size=1", "--set", "smoothing=0")
    time.sleep(12)
    assert process.poll() is None
    begin = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert time.monotonic() - begin < 45
