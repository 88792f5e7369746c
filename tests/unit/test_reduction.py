"""Near-best networks: the contract."""

import pytest

from curse_lib import (
    ExponentialSum,
    GammaKernel,
    GaussianBump,
    PowerLaw,
    approximate,
    l1_norm,
    stack,
)


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


@pytest.mark.parametrize("method", ["balanced", "l1"])
@pytest.mark.parametrize(
    "rho",
    [PowerLaw(1.0), GaussianBump(5.0, 1.0), ExponentialSum([1.0, -1.0, 0.1], [1.0, 3.0, 9.0])],
)
def test_units_far_from_one(method, rho):
    error = approximate(rho, 2, method=method).error
    for unit in (1e200, 1e-200):
        found = approximate(unit * rho, 2, method=method)
        assert found.error == pytest.approx(unit * error, rel=1e-3)
    if isinstance(rho, GaussianBump):  # slopes of 1e400
        found = approximate(1e200 * GaussianBump(5e-100, 1e-100), 2, method=method)
        assert found.error == pytest.approx(1e200 * error, rel=1e-3)


def test_a_power_law_of_amplitude_zero_is_an_input_without_memory():
    rho = stack([0.0 * PowerLaw(1.0), ExponentialSum([1.0], [1.0])])
    assert approximate(rho, 2, method="balanced").error < 1e-14


@pytest.mark.parametrize("method", ["balanced", "l1"])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_multiple_rates_are_split(method, order):
    rho = GammaKernel(0.0, order, 1.0)
    found = approximate(rho, order + 3, method=method)
    assert found.width == order + 1 and found.error < 2e-4 * l1_norm(rho)


def test_rates_that_cannot_be_split_are_refused():
    with pytest.raises(ValueError, match="coincide up to rounding.*geometric"):
        approximate(GammaKernel(0.0, 6, 1.0), 9, method="balanced")


def test_rates_of_240_decades():
    rho = ExponentialSum([1.0, 1.0], [1e-120, 1e120])
    assert approximate(rho, 3, method="l1").error < 1e-9


def test_a_polished_network_is_never_worse_than_none():
    target = GammaKernel(2.0, 2, 1.0)
    assert approximate(target, 1, method="l1").error <= l1_norm(target) * (1 + 1e-12)
