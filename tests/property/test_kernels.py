"""Laws that every kernel obeys, on random kernels."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from curse_lib import (
    ExponentialSum,
    GammaKernel,
    GaussianBump,
    LegendreKernel,
    PowerLaw,
    l1_norm,
    stack,
)

numbers = st.floats(-10, 10, allow_subnormal=False)
rates = st.floats(1e-2, 1e2)
sums = st.lists(st.tuples(numbers, rates), min_size=1, max_size=6).map(
    lambda pairs: ExponentialSum([a for a, _ in pairs], [w for _, w in pairs])
)
laws = st.builds(PowerLaw, st.floats(0.05, 5), numbers)
bumps = st.builds(GaussianBump, st.floats(0, 20), st.floats(0.1, 3), numbers)
gammas = st.builds(
    GammaKernel,
    st.one_of(st.just(0.0), st.floats(0.01, 20)),
    st.integers(0, 5),
    st.floats(0.3, 5),
    numbers,
)
coefficients = st.lists(numbers, min_size=1, max_size=12)
legendres = st.builds(LegendreKernel, coefficients, st.floats(0.05, 5))
kernels = st.one_of(sums, laws, bumps, gammas, legendres)
lags = st.lists(st.floats(0, 50), min_size=1, max_size=8).map(np.array)


@given(kernels, kernels, lags)
def test_addition_commutes_and_subtraction_undoes_it(rho, other, t):
    scale = np.abs(rho(t)) + np.abs(other(t)) + 1e-300
    size = 1e-12 * (scale + np.abs(rho._evaluate(t)[1]) + np.abs(other._evaluate(t)[1]))
    assert np.all(np.abs((rho + other)(t) - (other + rho)(t)) <= size)
    assert np.all(np.abs((rho + other - other)(t) - rho(t)) <= size)


@given(sums, st.floats(0.1, 10), lags)
def test_time_scaling(rho, factor, t):
    faster = ExponentialSum(factor * rho.amplitudes, factor * rho.rates)
    np.testing.assert_allclose(
        faster.step_response(t), rho.step_response(factor * t), rtol=1e-9, atol=1e-9
    )


@given(kernels, lags)
def test_step_response_and_tail_split_the_mass(rho, t):
    mass = np.abs(rho.terms[0].tail(0.0)) + 10 * 100 * 6
    assert np.all(np.abs(rho.step_response(t) + rho.tail(t) - rho.tail(0.0)) <= 1e-13 * mass)


@given(kernels, kernels, lags)
def test_stack_keeps_components(rho, other, t):
    pair = stack([rho, other])
    np.testing.assert_allclose(pair(t)[:, 0], rho(t), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(pair(t)[:, 1], other(t), rtol=1e-12, atol=1e-12)


@given(gammas, st.integers(-8, 8), lags)
def test_time_scaling_of_gamma_kernels(rho, exponent, t):
    """rho_l(t) = l rho(l t) exactly, for l a power of two."""
    factor = 2.0**exponent
    amplitude = rho.amplitude * factor ** (rho.order + 1)
    faster = GammaKernel(rho.delay / factor, rho.order, rho.rate * factor, amplitude)
    np.testing.assert_allclose(faster(t / factor), factor * rho(t), rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(faster.tail(t / factor), rho.tail(t), rtol=1e-12, atol=1e-300)
    for order in range(1, min(3, rho._smoothness + 1)):
        slope = factor ** (order + 1) * rho.derivative(t, order)
        size = 1e-12 * np.abs(slope).max(initial=1e-290)
        np.testing.assert_allclose(faster.derivative(t / factor, order), slope, 1e-9, atol=size)


@given(legendres, st.integers(-8, 8), lags)
def test_time_scaling_of_legendre_kernels(rho, exponent, t):
    """To the last bit, but for numbers near underflow."""
    factor = 2.0**exponent
    faster = LegendreKernel(factor * rho.coefficients, factor * rho.rate)
    np.testing.assert_allclose(faster(t / factor), factor * rho(t), 0, 1e-300)
    np.testing.assert_allclose(faster.tail(t / factor), rho.tail(t), 0, 1e-300)
    np.testing.assert_allclose(faster.step_response(t / factor), rho.step_response(t), 0, 1e-300)


@given(legendres, lags)
def test_legendre_kernels_are_exponential_sums(rho, t):
    """Up to the rounding of amplitudes that grow like 5.8^m."""
    expanded = rho.expanded()
    size = 1e-15 * (np.abs(expanded.amplitudes).sum() + np.abs(rho.coefficients).sum())
    assert expanded.width == rho.width
    assert np.all(np.abs(expanded(t) - rho(t)) <= size * (1 + rho.width))
    assert np.all(np.abs(expanded.tail(t) - rho.tail(t)) <= size / rho.rate)
    assert np.all(np.abs(expanded.laplace(t) - rho.laplace(t)) <= size / rho.rate)


@given(legendres)
def test_the_norm_of_a_legendre_kernel_is_bounded_by_its_coefficients(rho):
    """By Cauchy and Schwarz, since the P_k(2u-1) are orthogonal with squared norm 1/(2k+1)."""
    square = np.sum(rho.coefficients**2 / (2 * np.arange(rho.width) + 1))
    assert l1_norm(rho) <= (1 + 1e-12) * np.sqrt(square) / rho.rate + 1e-100
