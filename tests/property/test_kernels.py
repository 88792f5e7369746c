"""Laws that every kernel obeys, on random kernels."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from curse_lib import ExponentialSum, GaussianBump, PowerLaw, stack

numbers = st.floats(-10, 10, allow_subnormal=False)
rates = st.floats(1e-2, 1e2)
sums = st.lists(st.tuples(numbers, rates), min_size=1, max_size=6).map(
    lambda pairs: ExponentialSum([a for a, _ in pairs], [w for _, w in pairs])
)
laws = st.builds(PowerLaw, st.floats(0.05, 5), numbers)
bumps = st.builds(GaussianBump, st.floats(0, 20), st.floats(0.1, 3), numbers)
kernels = st.one_of(sums, laws, bumps)
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
