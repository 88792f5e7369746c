"""The least width for a tolerance, from both sides."""

import pytest

from curse_lib import ExponentialSum, GaussianBump, PowerLaw, SampledKernel, smallest_width


@pytest.mark.parametrize(
    ("omega", "tolerance", "least", "most"),
    [(2.0, 1e-3, 3, 5), (1.0, 1e-3, 5, 9), (0.5, 1e-2, 5, 10), (0.25, 1e-2, 9, 22)],
)
def test_power_laws(omega, tolerance, least, most):
    found = smallest_width(PowerLaw(omega), tolerance, rigorous=True)
    assert least <= found.at_least <= found.at_most <= most
    assert tuple(found) == (found.at_least, found.at_most)
    assert found.network.width == found.at_most and found.network.bound <= tolerance


def test_a_bump():
    least, most = smallest_width(GaussianBump(4.0, 0.5), 0.1)
    assert 1 < least <= most == 8


def test_a_network_needs_no_more_than_itself():
    rho = ExponentialSum([1.0, 2.0, -1.0], [1.0, 3.0, 0.2])
    assert tuple(smallest_width(rho, 1e-9)) == (3, 3)
    assert tuple(smallest_width(rho, 20.0)) == (1, 1)


def test_an_estimate_is_no_proof():
    samples = SampledKernel([0.0, 1.0, 2.0], [1.0, 0.5, 0.0])
    assert tuple(smallest_width(samples, 0.2))[0] >= 1
    with pytest.raises(ValueError, match="rigorous"):
        smallest_width(samples, 0.05, rigorous=True)


def test_wrong_tolerances_are_refused():
    with pytest.raises(ValueError, match="tolerance"):
        smallest_width(PowerLaw(1.0), 0.0)
