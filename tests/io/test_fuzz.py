"""Thousands of damaged files: an image or one clear line, no other exception, no warning, no word, no hang."""

from __future__ import annotations

import pytest
from io_files import FILES, make
from io_fuzz import alarm, fuzz, mutate


def check(tmp_path, capfd, n_files, seed):
    outcomes = fuzz(tmp_path, n_files, seed)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert outcomes["read"] + outcomes["refused"] == n_files
    # Both happen often; else the files were not damaged, or damaged beyond any reader.
    assert min(outcomes["read"], outcomes["refused"]) > n_files / 10


@pytest.mark.slow
def test_damaged_files(tmp_path, capfd):
    check(tmp_path, capfd, 2100, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 104))
def test_many_more_damaged_files(seed, tmp_path, capfd):
    check(tmp_path, capfd, 5000, seed)


def test_the_alarm_rings():
    with pytest.raises(BaseException, match="no answer"), alarm(0.05):  # noqa: PT012
        while True:
            pass


def test_the_damage_is_real_and_repeatable(tmp_path):
    import numpy as np

    data = make("png 8", tmp_path).read_bytes()
    damaged = [mutate(data, np.random.default_rng(k)) for k in range(50)]
    assert damaged == [mutate(data, np.random.default_rng(k)) for k in range(50)]
    assert sum(d != data for d in damaged) > 45
    assert len(FILES) > 30
