"""Near-best networks against what is known of them."""

import numpy as np
import pytest

from curse_lib import (
    AiryKernel,
    ExponentialSum,
    GammaKernel,
    GaussianBump,
    PowerLaw,
    SampledKernel,
    approximate,
    hankel_singular_values,
    l1_distance,
    stack,
)

RELAXATION = [(1.0, 9, 6.00155e-4), (0.5, 10, 9.2391e-3), (0.25, 22, 8.59928e-3)]


@pytest.mark.parametrize(("omega", "width", "error"), RELAXATION)
def test_power_laws_need_few_neurons(omega, width, error):
    balanced = approximate(PowerLaw(omega), width, method="balanced")
    best = approximate(PowerLaw(omega), width, method="l1")
    assert best.error == pytest.approx(error, rel=1e-5)
    assert best.floor < best.error <= best.bound < 1.001 * best.error
    assert best.error <= balanced.error <= 1.03 * best.error
    for found in (best, balanced):
        assert found.rates.min() > 0 and found.kernel.amplitudes.min() > 0
        assert l1_distance(found.rnn.kernel(), found.kernel) < 1e-14
        assert l1_distance(found.cascade.kernel(), found.kernel) < 1e-9


def test_rates_keep_their_digits_over_many_decades():
    found = approximate(PowerLaw(0.1), 40, method="balanced")
    assert found.rates.min() < 1e-25
    assert found.error < 0.1 < 10 * found.error
    # A network of width 40 truncated to its own width is itself.
    again = approximate(found.kernel, 40, method="balanced").kernel
    order, other = np.argsort(found.rates), np.argsort(again.rates)
    np.testing.assert_allclose(again.rates[other], found.rates[order], rtol=1e-9)
    np.testing.assert_allclose(again.amplitudes[other], found.kernel.amplitudes[order], rtol=1e-9)


def test_the_error_lies_between_the_floor_and_the_bound_of_best_networks():
    """4 sum (2k-1) sigma_k bounds the least error; balanced truncation stays below it too."""
    rho = PowerLaw(1.0)
    sigma = hankel_singular_values(rho, 60)
    for width in (3, 6, 9):
        error = approximate(rho, width, method="balanced").error
        k = np.arange(width + 1, 61)
        assert sigma[width] <= error <= 4 * ((2 * k - 1) * sigma[width:]).sum()


@pytest.mark.parametrize("delay", [4.0, 8.0, 16.0])
def test_a_smeared_delay_needs_a_width_proportional_to_it(delay):
    found = approximate(GaussianBump(delay, 0.5), tolerance=0.3, method="balanced")
    assert 1.2 * delay <= found.width <= 3.5 * delay
    assert found.floor < found.error <= found.bound <= 0.3
    assert np.iscomplexobj(found.rates)


@pytest.mark.parametrize(
    ("rho", "width", "most"),
    [
        (AiryKernel(2.25, 3.0), 8, 5e-4),
        (GammaKernel(1.0, 3, 2.0), 8, 5e-3),
        (PowerLaw(0.5) + GaussianBump(5.0, 1.0, 0.3), 12, 0.04),
        (ExponentialSum([1.0, -1.0, 2.0, -0.4], [0.01, 0.1, 1.0, 3.0]), 3, 0.2),
        (stack([PowerLaw(0.5), PowerLaw(1.0)]), 8, 0.03),
        (stack([GaussianBump(2.0, 0.5), AiryKernel(1.0, 2.0), GammaKernel(0.0, 2, 1.0)]), 9, 0.1),
    ],
)
def test_general_kernels(rho, width, most):
    balanced = approximate(rho, width, method="balanced")
    best = approximate(rho, width, method="l1")
    assert balanced.width == best.width == width
    assert best.error <= balanced.error <= most
    assert best.floor <= best.error <= best.bound <= 1.01 * best.error
    assert l1_distance(best.rnn.kernel(), best.kernel) < 1e-9


def test_a_sampled_kernel():
    times = np.arange(0.0, 31.0)
    values = times**5 * np.exp(-times) / 120 - times**12 * np.exp(-times) / 479001600 / 6
    rho = SampledKernel(times, values, tail_rate=1.0)
    errors = [approximate(rho, m, method="l1").error for m in (2, 4, 6)]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


def test_networks_are_reproduced():
    rho = ExponentialSum.oscillation(1.0, 0.1, 3.0, 0.3) + ExponentialSum([1.0], [1.0])
    for method in ("balanced", "l1"):
        found = approximate(rho, 5, method=method)
        assert found.width == 3 and found.error < 1e-12
    assert approximate(rho, 1, method="l1").width == 1
