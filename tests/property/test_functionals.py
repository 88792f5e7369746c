"""What holds for every functional: superposition, shifts, scale and the norm as a bound."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_lib.functionals import LinearFunctional, PureDelay, worst_input
from curse_lib.kernels import ExponentialSum, GaussianBump, PowerLaw

kernels = st.one_of(
    st.builds(
        lambda a, w: ExponentialSum([a, -1.0], [w, 1.3 * w]), st.floats(-2, 2), st.floats(0.1, 9)
    ),
    st.builds(
        lambda p, q: ExponentialSum.oscillation(1.0, p, q), st.floats(0.1, 3), st.floats(0.1, 9)
    ),
    st.builds(PowerLaw, st.floats(0.2, 3)),
    st.builds(GaussianBump, st.floats(0, 5), st.floats(0.01, 2)),
)
seeds = st.integers(0, 2**32 - 1)
holds = st.sampled_from(["linear", "constant"])
slow = settings(max_examples=30, deadline=None)


@slow
@given(kernels, seeds, holds)
def test_superposition(rho, seed, hold):
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(2, 80))
    functional = LinearFunctional(rho)
    mixed = functional(2 * x - 3 * z, 0.1, hold)
    apart = 2 * functional(x, 0.1, hold) - 3 * functional(z, 0.1, hold)
    scale = np.abs(mixed).max() + np.abs(apart).max()
    np.testing.assert_allclose(mixed, apart, atol=1e-12 * scale)


@slow
@given(kernels, seeds, holds, st.integers(1, 30))
def test_a_later_input_gives_a_later_output(rho, seed, hold, shift):
    x = np.zeros(100)
    x[1:60] = np.random.default_rng(seed).normal(size=59)
    functional = LinearFunctional(rho)
    y, late = functional(x, 0.1, hold), functional(np.roll(x, shift), 0.1, hold)
    np.testing.assert_allclose(late[shift:], y[:-shift], atol=1e-13 * np.abs(y).max())
    assert np.abs(late[:shift]).max() <= 1e-13 * np.abs(y).max()


@slow
@given(st.floats(0.2, 3), seeds, st.floats(0.1, 10))
def test_units_of_time_do_not_matter(rate, seed, factor):
    """rho_l(t) = l rho(l t) with time step dt / l gives the same output."""
    x = np.random.default_rng(seed).normal(size=60)
    y = LinearFunctional(ExponentialSum([1.0], [rate]))(x, 0.1)
    z = LinearFunctional(ExponentialSum([factor], [factor * rate]))(x, 0.1 / factor)
    np.testing.assert_allclose(z, y, atol=1e-12 * np.abs(y).max())


@slow
@given(kernels, seeds)
def test_the_norm_bounds_the_gain_and_the_worst_input_beats_the_others(rho, seed):
    x = np.random.default_rng(seed).uniform(-1, 1, size=201)
    x[0] = 0.0
    functional = LinearFunctional(rho)
    best = functional(worst_input(rho, 20.0, 0.1), 0.1)[-1]
    assert np.abs(functional(x, 0.1)).max() <= best * (1 + 1e-10)
    assert best <= functional.norm * (1 + 1e-10)


@slow
@given(st.floats(0, 4), st.floats(0, 4), seeds)
def test_delays_that_meet_the_grid_add_up(first, second, seed):
    first, second = round(first, 1), round(second, 1)
    x = np.random.default_rng(seed).normal(size=120)
    twice = PureDelay(second)(PureDelay(first)(x, 0.1), 0.1)
    np.testing.assert_allclose(twice, PureDelay(first + second)(x, 0.1), atol=1e-12)
