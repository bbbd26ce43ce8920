"""Fixtures of the command line's tests: the program in this process, and as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from segmetry.cli import main


@dataclass(frozen=True)
class Ran:
    """What a run of the program gave."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys) -> Callable[..., Ran]:
    """Run the command line in this process."""

    def run(*arguments: object) -> Ran:
        capsys.readouterr()
        code = main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return run


@pytest.fixture
def program() -> Callable[..., Ran]:
    """Run the command line as a process of its own."""

    def run(*arguments: object, cwd: Path | None = None, timeout: float = 300) -> Ran:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
        done = subprocess.run(
            [sys.executable, "-m", "segmetry", *map(str, arguments)],
            cwd=cwd,
            capture_output=True,
            timeout=timeout,
            env=environment,
            encoding="utf-8",
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run
