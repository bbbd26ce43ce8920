"""Windows of an image: their cores cover it once, and no core is nearer to a cut than the network sees."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmetry.errors import OptionError
from segmetry.segment.tiles import Reach, padded, spans, tile_for, windows


@given(
    n=st.integers(1, 60),
    stride=st.sampled_from([1, 2, 4]),
    blocks=st.integers(1, 4),
    radius=st.integers(0, 30),
    window=st.integers(1, 300),
)
def test_cores_cover_an_axis_once_and_keep_their_distance(n, stride, blocks, radius, window):
    reach = Reach(stride, stride * blocks, radius)
    length = n * reach.multiple
    if window < length and (window // reach.multiple * reach.multiple - 2 * reach.halo) < reach.multiple:
        with pytest.raises(OptionError, match="too small"):
            spans(length, window, reach)
        return
    found = spans(length, window, reach)
    covered = np.zeros(length, int)
    for s in found:
        covered[s.first : s.last] += 1
        assert 0 <= s.start <= s.first < s.last <= s.stop <= length
        assert s.start % reach.multiple == 0
        assert (s.stop - s.start) % reach.multiple == 0
        assert s.stop - s.start <= max(window, 0) or s.stop - s.start == length
        assert s.first % stride == 0
        assert s.last % stride == 0
        assert s.start == 0 or s.first - s.start >= radius
        assert s.stop == length or s.stop - s.last >= radius
    assert (covered == 1).all()


def test_windows_by_hand():
    # Sides 30 x 20 pad to 32 x 20; windows of 16 with a halo of 4 keep 8: starts 0, 8, 16 down, 0 and 4 across.
    found = [(a.start, b.start) for a, b in windows((30, 20), (16, 16), Reach(2, 4, 3))]
    assert found == [(0, 0), (0, 4), (8, 0), (8, 4), (16, 0), (16, 4)]


def test_a_tile_that_is_too_small_says_what_would_do():
    reach = Reach(2, 32, 306)
    with pytest.raises(OptionError, match="needs 672 px"):
        spans(4096, 640, reach)
    assert len(spans(4096, 672, reach)) == 1 + math.ceil((4096 - 672) / 32)


def test_a_network_that_sees_the_whole_image_is_never_cut():
    reach = Reach(1, 8, None)
    assert tile_for((1000, 900), reach, 100) == (1000, 904)
    assert len(list(windows((1000, 900), (2000, 2000), reach))) == 1
    with pytest.raises(OptionError, match="whole image"):
        list(windows((1000, 900), (512, 512), reach))


@pytest.mark.parametrize("shape", [(700, 5000), (3001, 2999), (40, 40), (1200, 640)])
@pytest.mark.parametrize("most", [3e5, 1e6, 4e6])
def test_the_chosen_tile_does_the_least_work_of_all(shape, most):
    reach = Reach(2, 32, 100)

    def work(tile):
        return sum((a.stop - a.start) * (b.stop - b.start) for a, b in windows(shape, tile, reach))

    tile = tile_for(shape, reach, most)
    assert math.prod(tile) <= most
    whole = padded(shape, 32)
    sides = [range(256, n + 1, 32) if n > 256 else [n] for n in whole]
    fitting = [t for t in itertools.product(*sides) if math.prod(t) <= most]
    assert work(tile) <= min(map(work, fitting)) * (1 + 1e-12)


def test_with_too_little_memory_the_smallest_tile_is_taken():
    # 2 * 306 px of halo and at least 32 px of core: 644 px, up to a multiple of 32.
    assert tile_for((8000, 6000), Reach(2, 32, 306), 10) == (672, 672)
    assert tile_for((8000, 600), Reach(2, 32, 306), 10) == (672, 608)
