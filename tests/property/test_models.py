"""Recurrent networks: identities that hold for every network and every input."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_lib.kernels import ExponentialSum
from curse_lib.models import LinearRNN, discretise, random_hurwitz

SEEDS = st.integers(0, 2**32 - 1)
HOLDS = st.sampled_from(["linear", "constant"])
STEPS = st.floats(1e-4, 1e2)
LENGTHS = st.integers(1, 300)
WIDTHS = st.integers(1, 6)

checked = settings(max_examples=60, deadline=None, derandomize=True)


def draw(seed, width, length):
    """A network with two inputs and an input for it."""
    rng = np.random.default_rng(seed)
    rnn = LinearRNN(
        random_hurwitz(width, rng), rng.standard_normal((width, 2)), rng.standard_normal(width)
    )
    return rng, rnn, rng.standard_normal((length, 2))


def assert_close(y, z, factor=1.0, scale=0.0):
    """Equal up to rounding, which a random network amplifies moderately."""
    scale = max(np.abs(y).max(initial=0), np.abs(z).max(initial=0), scale)
    np.testing.assert_allclose(y, z, rtol=0, atol=1e-11 * factor * scale + 1e-300)


@checked
@given(SEEDS, WIDTHS, LENGTHS, STEPS, HOLDS, st.integers(-20, 20))
def test_time_scaling_by_a_power_of_two_changes_no_bit(seed, width, length, dt, hold, power):
    """rho_l(t) = l rho(l t): W and U times l, dt over l, same output."""
    _, rnn, x = draw(seed, width, length)
    scale = 2.0**power
    faster = LinearRNN(scale * rnn.W, scale * rnn.U, rnn.c)
    np.testing.assert_array_equal(faster.simulate(x, dt / scale, hold), rnn.simulate(x, dt, hold))


@checked
@given(SEEDS, WIDTHS, LENGTHS, STEPS, HOLDS)
def test_similarity_changes_nothing(seed, width, length, dt, hold):
    rng, rnn, x = draw(seed, width, length)
    S = np.linalg.qr(rng.standard_normal((width, width)))[0] * rng.uniform(0.5, 2, width)
    S_inv = np.linalg.inv(S)
    other = LinearRNN(S @ rnn.W @ S_inv, S @ rnn.U, rnn.c @ S_inv)
    assert_close(other.simulate(x, dt, hold), rnn.simulate(x, dt, hold), factor=100)


@checked
@given(SEEDS, WIDTHS, LENGTHS, STEPS, HOLDS, st.floats(-3, 3))
def test_simulate_is_linear(seed, width, length, dt, hold, a):
    rng, rnn, x = draw(seed, width, length)
    z = rng.standard_normal(x.shape)
    y = a * rnn.simulate(x, dt, hold) + rnn.simulate(z, dt, hold)
    np.testing.assert_allclose(
        rnn.simulate(a * x + z, dt, hold), y, rtol=0, atol=1e-11 * (1 + np.abs(y).max()) * 10
    )


@checked
@given(SEEDS, WIDTHS, LENGTHS, STEPS, HOLDS, st.integers(0, 200))
def test_a_later_input_gives_a_later_output(seed, width, length, dt, hold, shift):
    _, rnn, x = draw(seed, width, length)
    x[0] = 0  # so that the held input has no edge at t = 0 that a shift would turn into a ramp
    late = np.concatenate([np.zeros((shift, 2)), x])
    y = rnn.simulate(late, dt, hold)
    assert not y[:shift].any()
    assert_close(y[shift:], rnn.simulate(x, dt, hold))


@checked
@given(SEEDS, WIDTHS, st.integers(2, 200), STEPS, HOLDS)
def test_a_finer_grid_for_the_same_input_gives_the_same_output(seed, width, length, dt, hold):
    _, rnn, x = draw(seed, width, length)
    fine = np.repeat(x, 2, axis=0)[: 2 * length - 1]
    if hold == "linear":
        fine[1::2] = (x[1:] + x[:-1]) / 2
    assert_close(rnn.simulate(fine, dt / 2, hold)[::2], rnn.simulate(x, dt, hold))


@checked
@given(SEEDS, WIDTHS, STEPS)
def test_two_steps_are_one_step_of_twice_the_length(seed, width, dt):
    """A straight line over two steps: x_0 = a, x_1 = (a + b)/2, x_2 = b."""
    _, rnn, _ = draw(seed, width, 1)
    Phi, first, last = discretise(rnn.W, rnn.U, dt)
    long = discretise(rnn.W, rnn.U, 2 * dt)
    middle = (Phi @ last + first) / 2
    assert_close(Phi @ Phi, long[0], scale=1.0)
    assert_close(Phi @ first + middle, long[1])
    assert_close(middle + last, long[2])


RATES = st.floats(1e-6, 1e6)
AMPLITUDES = st.floats(-1e6, 1e6)


@checked
@given(
    st.lists(st.tuples(AMPLITUDES, RATES), max_size=4),
    st.lists(st.tuples(AMPLITUDES, AMPLITUDES, RATES, RATES), max_size=3),
)
def test_every_sum_of_exponentials_survives_its_network(singles, pairs):
    amplitudes = [a for a, _ in singles]
    rates = [w for _, w in singles]
    for re, im, decay, frequency in pairs:
        amplitudes += [complex(re, im), complex(re, -im)]
        rates += [complex(decay, frequency), complex(decay, -frequency)]
    if not rates:
        return
    kernel = ExponentialSum(amplitudes, rates)
    again = LinearRNN.from_kernel(kernel).kernel()
    np.testing.assert_array_equal(again.rates, kernel.rates)
    np.testing.assert_array_equal(again.amplitudes, kernel.amplitudes)
