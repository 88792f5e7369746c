"""Near-best networks: the contract."""

import pytest

from curse_lib import ExponentialSum, PowerLaw, approximate, stack


def test_negative_amplitudes_stay_negative():
    found = approximate(-PowerLaw(1.0), 4, method="balanced")
    assert found.kernel.amplitudes.max() < 0 and found.error < 0.02


def test_sums_of_power_laws_and_exponentials_are_relaxations_too():
    rho = PowerLaw(1.0) + ExponentialSum([1.0, 2.0], [0.01, 5.0]) + PowerLaw(0.5, 0.1)
    found = approximate(rho, 8, method="l1")
    assert found.kernel.amplitudes.min() > 0
    assert found.floor < found.error <= found.bound


def test_an_input_without_memory():
    rho = stack([PowerLaw(1.0), ExponentialSum([0.0], [1.0])])
    alone = approximate(PowerLaw(1.0), 4, method="balanced")
    assert approximate(rho, 4, method="balanced").error == pytest.approx(alone.error, rel=1e-6)


@pytest.mark.parametrize("method", ["balanced", "l1"])
def test_a_kernel_that_is_zero_is_refused(method):
    with pytest.raises(ValueError, match="0 everywhere"):
        approximate(ExponentialSum([0.0], [1.0]), 2, method=method)


def test_the_floor_is_part_of_the_result():
    found = approximate(PowerLaw(1.0), 3, method="geometric")
    assert 0 < found.floor < found.error
