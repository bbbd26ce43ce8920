"""The network behind `particles`."""

import pytest

torch = pytest.importorskip("torch")
from segmetry.nets.particle_net import ParticleNet  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    net = ParticleNet((8, 16, 16))
    torch.nn.init.normal_(net.head.weight, std=0.1)
    return net.eval()


def keep_of(net, n=1):
    return torch.ones(n, sum(width for width, _ in net.dropout))


def test_shape(network):
    with torch.inference_mode():
        maps = network(torch.randn(2, 1, 64, 96), keep_of(network, 2))
    assert maps.shape == (2, len(network.maps), 32, 48)


def test_a_fresh_network_points_nowhere():
    net = ParticleNet().eval()
    with torch.inference_mode():
        maps = net(torch.randn(1, 1, 64, 64), keep_of(net))
    assert (maps[:, :2] == 0).all()


def test_the_mask_is_all_the_chance_there_is(network):
    image = torch.randn(1, 1, 64, 64)
    drop = torch.rand(1, keep_of(network).shape[1]).round() / 0.85
    with torch.inference_mode():
        whole, again = network(image, keep_of(network)), network(image, keep_of(network))
        one, two = network(image, drop), network(image, drop)
    assert torch.equal(whole, again)
    assert torch.equal(one, two)
    assert not torch.equal(whole, one)


def test_the_shipped_size_fits_eight_megabytes_at_16_bits():
    n = sum(p.numel() for p in ParticleNet().parameters())
    assert 2 * n < 8e6
