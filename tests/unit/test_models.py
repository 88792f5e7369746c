"""Recurrent networks: exact small cases, what is refused, and how memory and errors behave."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from curse_lib.kernels import ExponentialSum, PowerLaw, StateSpaceKernel
from curse_lib.models import LinearRNN, TanhRNN, discretise, random_hurwitz

HOLDS = ["linear", "constant"]
JORDAN = np.array([[-0.5, 1.0], [0.0, -0.5]])


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def network(rng, width, input_dim=1):
    u, c = rng.standard_normal((width, input_dim)), rng.standard_normal(width)
    return LinearRNN(random_hurwitz(width, rng), u, c)


# ------------------------------------------------------------------ simulate: exact small cases


@pytest.mark.parametrize("hold", HOLDS)
@pytest.mark.parametrize("samples", [2, 3, 63, 64, 65, 129, 1000])
def test_step_response_of_one_neuron(hold, samples):
    w, u, c, dt = 0.7, 3.0, -2.0, 0.1
    y = LinearRNN([[-w]], [u], [c]).simulate(np.ones(samples), dt, hold)
    t = dt * np.arange(samples)
    np.testing.assert_allclose(y, -u * c / w * np.expm1(-w * t), rtol=1e-14, atol=0)


def test_ramp_response_of_one_neuron():
    w, dt = 0.7, 0.25
    t = dt * np.arange(500)
    y = LinearRNN([[-w]], [1.0], [1.0]).simulate(t, dt)
    np.testing.assert_allclose(y[1:], (t + np.expm1(-w * t) / w)[1:] / w, rtol=1e-13)


@pytest.mark.parametrize("hold", HOLDS)
def test_output_before_the_first_step_is_zero(rng, hold):
    rnn = network(rng, 5)
    for samples in (1, 2, 100):
        y = rnn.simulate(rng.standard_normal(samples), 0.1, hold)
        assert y.shape == (samples,) and y.dtype == np.float64 and y[0] == 0


def test_constant_hold_ignores_the_last_sample_and_linear_hold_does_not(rng):
    rnn, x = network(rng, 5), rng.standard_normal(50)
    other = x.copy()
    other[-1] += 1
    assert np.array_equal(rnn.simulate(x, 0.1, "constant"), rnn.simulate(other, 0.1, "constant"))
    assert rnn.simulate(x, 0.1)[-1] != rnn.simulate(other, 0.1)[-1]


def test_several_inputs_add_up(rng):
    rnn, x = network(rng, 6, 3), rng.standard_normal((300, 3))
    parts = [LinearRNN(rnn.W, u, rnn.c).simulate(s, 0.1) for u, s in zip(rnn.U.T, x.T, strict=True)]
    np.testing.assert_allclose(rnn.simulate(x, 0.1), sum(parts), rtol=0, atol=1e-13)


def test_column_and_integer_inputs_are_accepted(rng):
    rnn, x = network(rng, 4), rng.integers(-5, 5, 70)
    np.testing.assert_array_equal(rnn.simulate(x, 1), rnn.simulate(x[:, None].astype(float), 1.0))


@pytest.mark.parametrize("hold", HOLDS)
def test_the_future_does_not_matter_to_the_last_bit(rng, hold):
    rnn, x = network(rng, 20, 2), rng.standard_normal((1000, 2))
    y = rnn.simulate(x, 0.05, hold)
    for cut in (1, 63, 64, 500, 999):
        other = x.copy()
        other[cut:] = 1e6 * rng.standard_normal((1000 - cut, 2))
        np.testing.assert_array_equal(rnn.simulate(other, 0.05, hold)[:cut], y[:cut])


@pytest.mark.parametrize("width", [2, 64, 256])
def test_memory_grows_with_the_length_alone(rng, width):
    rnn, x = network(rng, width), rng.standard_normal(80_000)
    peaks = []
    for part in (x[:40_000], x):
        tracemalloc.start()
        rnn.simulate(part, 0.05)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # Bytes that each further sample costs: a few doubles, where a state would be `width` of them.
    assert (peaks[1] - peaks[0]) / 40_000 < 8 * 9


# ------------------------------------------------------------------ one step


def test_one_step_of_growing_and_neutral_modes():
    W, dt = np.diag([0.3, 0.0]), 0.5
    Phi, first, last = discretise(W, [1.0, 1.0], dt)
    np.testing.assert_allclose(Phi, np.diag([np.exp(0.15), 1.0]), rtol=1e-15)
    np.testing.assert_allclose((first + last)[:, 0], [np.expm1(0.15) / 0.3, dt], rtol=1e-15)
    np.testing.assert_allclose([first[1, 0], last[1, 0]], [dt / 2, dt / 2], rtol=1e-15)


def test_one_step_of_constant_hold_has_no_second_weight(rng):
    rnn = network(rng, 4, 2)
    linear, constant = rnn.discretise(0.3), rnn.discretise(0.3, "constant")
    np.testing.assert_array_equal(linear[0], constant[0])
    np.testing.assert_allclose(linear[1] + linear[2], constant[1], rtol=1e-14)
    assert not constant[2].any() and constant[2].shape == (4, 2)


@pytest.mark.parametrize("hold", HOLDS)
def test_a_loop_over_discretise_is_simulate(rng, hold):
    rnn, x = network(rng, 8, 2), rng.standard_normal((200, 2))
    Phi, first, last = rnn.discretise(0.2, hold)
    h, y = np.zeros(8), [0.0]
    for before, now in zip(x, x[1:], strict=False):
        h = Phi @ h + first @ before + last @ now
        y.append(rnn.c @ h)
    np.testing.assert_allclose(rnn.simulate(x, 0.2, hold), y, rtol=0, atol=1e-13)


# ------------------------------------------------------------------ kernels and networks


def test_a_diagonal_network_has_its_neurons_as_terms():
    W, U, c = np.diag([-3.0, -1.0, -3.0, -2.0]), [1.0, 2.0, 5.0, 0.0], [0.5, 3.0, 0.1, 7.0]
    rnn = LinearRNN(W, U, c)
    kernel = rnn.kernel()
    assert isinstance(kernel, ExponentialSum)
    np.testing.assert_array_equal(kernel.rates, [3, 1, 3, 2])
    np.testing.assert_array_equal(rnn.rates, kernel.rates)
    np.testing.assert_array_equal(kernel.amplitudes, [0.5, 6, 0.5, 0])


def test_a_full_network_keeps_its_kernel_through_eigenvectors(rng):
    rnn = network(rng, 9, 2)
    kernel, t = rnn.kernel(), np.linspace(0, 20, 60)
    assert isinstance(kernel, ExponentialSum) and np.iscomplexobj(kernel.rates)
    exact = StateSpaceKernel(rnn.W, rnn.U, rnn.c)
    np.testing.assert_allclose(kernel(t), exact(t), rtol=0, atol=1e-12)


def test_a_defective_network_has_a_state_space_kernel():
    kernel, t = LinearRNN(JORDAN, [0.0, 1.0], [1.0, 0.0]).kernel(), np.linspace(0, 10, 30)
    assert isinstance(kernel, StateSpaceKernel)
    np.testing.assert_allclose(kernel(t), t * np.exp(-t / 2), rtol=0, atol=1e-13)


def test_rotation_blocks_beside_single_neurons():
    W = np.zeros((4, 4))
    W[0, 0], W[3, 3], W[1:3, 1:3] = -2.0, -0.5, [[-1.0, 3.0], [-3.0, -1.0]]
    rnn = LinearRNN(W, [1.0, 2.0, -1.0, 4.0], [1.0, 0.5, 2.0, 1.0])
    np.testing.assert_array_equal(rnn.rates, [2, 1 + 3j, 1 - 3j, 0.5])
    t = np.linspace(0, 8, 50)
    exact = StateSpaceKernel(W, rnn.U, rnn.c)(t)
    np.testing.assert_allclose(rnn.kernel()(t), exact, rtol=0, atol=1e-13)


def test_blocks_that_only_resemble_rotations_are_not_taken_for_them():
    chain = np.array([[-1.0, 1.0, 0.0], [-1.0, -1.0, 1.0], [0.0, -1.0, -1.0]])
    unequal = np.array([[-1.0, 1.0], [-1.0, -2.0]])
    for W in (chain, unequal):
        u = np.arange(1.0, len(W) + 1)
        t = np.linspace(0, 8, 50)
        exact = StateSpaceKernel(W, u, u)(t)
        np.testing.assert_allclose(LinearRNN(W, u, u).kernel()(t), exact, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "kernel",
    [
        ExponentialSum([1.0, 0.0], [1.0, 0.5]),
        ExponentialSum([1.0, -1.0, 2.0], [0.3, 0.3, 0.3]),
        ExponentialSum([[1.0, 2.0], [3.0, 4.0]], [1.0, 2.0]),
        ExponentialSum.oscillation(1.5, 0.2, 3.0, 0.7),
        ExponentialSum([2.0], [1.0]) + ExponentialSum.oscillation(1.0, 0.1, 5.0),
        ExponentialSum([[1 + 2j, 3j], [1 - 2j, -3j]], [1 - 1j, 1 + 1j])
        + ExponentialSum([[1.0, 0.0]], [4.0]),
    ],
)
def test_a_kernel_survives_its_network(kernel):
    rnn = LinearRNN.from_kernel(kernel)
    again = rnn.kernel()
    assert rnn.width == kernel.width and rnn.input_dim == kernel.input_dim
    order, order_again = np.lexsort(_keys(kernel)), np.lexsort(_keys(again))
    np.testing.assert_array_equal(again.rates[order_again], kernel.rates[order])
    np.testing.assert_array_equal(again.amplitudes[order_again], kernel.amplitudes[order])


def _keys(kernel):
    amplitudes = kernel.amplitudes.reshape(kernel.width, -1).sum(axis=1)
    return amplitudes.imag, amplitudes.real, kernel.rates.imag, kernel.rates.real


def test_real_rates_keep_their_order():
    kernel = ExponentialSum([1.0, 2.0, 3.0], [5.0, 0.1, 5.0])
    np.testing.assert_array_equal(LinearRNN.from_kernel(kernel).kernel().rates, kernel.rates)


def test_only_a_sum_of_exponentials_becomes_a_network():
    with pytest.raises(ValueError, match="sum of m >= 1 exponentials"):
        LinearRNN.from_kernel(PowerLaw(1.0))
    with pytest.raises(ValueError, match="sum of m >= 1 exponentials"):
        LinearRNN.from_kernel(ExponentialSum([], []))


# ------------------------------------------------------------------ data and refusals


def test_networks_are_immutable_copies():
    W = np.array([[-1.0]])
    rnn = LinearRNN(W, [1], [1])
    W[0, 0] = 5
    assert rnn.W[0, 0] == -1 and rnn.U.shape == (1, 1) and rnn.width == rnn.input_dim == 1
    with pytest.raises(ValueError, match="read-only"):
        rnn.W[0, 0] = 0
    with pytest.raises(AttributeError):
        rnn.W = W


@pytest.mark.parametrize(
    ("W", "U", "c", "message"),
    [
        ([[0.3]], [1.0], [1.0], "real part 0.3; a linear RNN needs a Hurwitz W"),
        ([[0.0]], [1.0], [1.0], "real part 0; a linear RNN needs a Hurwitz W"),
        ([[0.0, 1.0], [-1.0, 0.0]], [1.0, 1.0], [1.0, 1.0], "Subtract more than 0 times"),
        ([[-0.0]], [1.0], [1.0], "real part 0;.* Subtract more than 0 times"),
        ([[-1.0, 9.0], [9.0, -1.0]], [1.0, 1.0], [1.0, 1.0], "real part 8;"),
        ([-1.0], [1.0], [1.0], r"W must have shape \(m, m\) with m >= 1; got \(1,\)"),
        (np.zeros((0, 0)), [], [], r"with m >= 1; got \(0, 0\)"),
        ([[-1.0, 0.0]], [1.0], [1.0], r"got \(1, 2\)"),
        ([[-1.0]], [1.0, 2.0], [1.0], r"U must have shape \(1,\) or \(1, d\).*got \(2,\)"),
        ([[-1.0]], np.zeros((1, 0)), [1.0], r"U must have shape.*got \(1, 0\)"),
        ([[-1.0]], [1.0], [[1.0]], r"c must have shape \(1,\).*got \(1, 1\)"),
        ([[np.nan]], [1.0], [1.0], r"W must be finite; got nan at index \(0, 0\)"),
        ([[-1.0]], [np.inf], [1.0], r"U must be finite; got inf at index \(0,\)"),
        ([[-1.0]], [1.0], [1j], "c must hold real numbers; got an array of type complex128"),
        ([["a"]], [1.0], [1.0], "W must hold real numbers"),
    ],
)
def test_refused_networks(W, U, c, message):
    with pytest.raises(ValueError, match=message):
        LinearRNN(W, U, c)


def simulators():
    W, U, c = -np.eye(2), np.ones((2, 2)), np.ones(2)
    return [LinearRNN(W, U, c).simulate, TanhRNN(W, U, c).simulate]


@pytest.mark.parametrize("simulate", simulators())
@pytest.mark.parametrize(
    ("x", "dt", "hold", "message"),
    [
        (np.ones(5), 0.1, "linear", r"x must have shape \(n, 2\).*2 input\(s\); got \(5,\)"),
        (np.ones((5, 3)), 0.1, "linear", r"got \(5, 3\)"),
        (np.ones((5, 2, 1)), 0.1, "linear", r"got \(5, 2, 1\)"),
        (np.ones((0, 2)), 0.1, "linear", "x has no samples"),
        (np.full((5, 2), np.nan), 0.1, "linear", r"x must be finite; got nan at index \(0, 0\)"),
        (np.ones((5, 2)) * 1j, 0.1, "linear", "x must hold real numbers"),
        (np.ones((5, 2)), 0.0, "linear", "dt must be a positive finite number; got 0"),
        (np.ones((5, 2)), -1.0, "linear", "dt must be a positive finite number; got -1"),
        (np.ones((5, 2)), np.nan, "linear", "dt must be a positive finite number; got nan"),
        (np.ones((5, 2)), 0.1, "cubic", 'hold must be "linear" or "constant"; got \'cubic\''),
    ],
)
def test_refused_inputs(simulate, x, dt, hold, message):
    with pytest.raises(ValueError, match=message):
        simulate(x, dt, hold)


def test_refused_steps():
    with pytest.raises(ValueError, match="W dt overflows"):
        discretise([[-1e200]], [1.0], 1e200)
    for W in ([[1.0]], [[1.0, 0.5], [0.0, 1.0]]):
        with pytest.raises(ValueError, match="overflows for dt = 1000"):
            discretise(W, np.ones(len(W)), 1000.0)
    with pytest.raises(ValueError, match="hold must be"):
        discretise([[-1.0]], [1.0], 1.0, "cubic")


@pytest.mark.parametrize("dt", [1e-300, 1e-12, 1e12, 1e150])
def test_extreme_steps_stay_finite_and_exact(dt):
    W = np.array([[-1.0, 1.0], [0.0, -2.0]])
    y = LinearRNN(W, [0.0, 1.0], [1.0, 0.0]).simulate([1.0, 1.0, 1.0], dt)
    t = dt * np.arange(3)  # the step response is (1 - e^-t)^2 / 2
    np.testing.assert_allclose(y, np.expm1(-t) ** 2 / 2, rtol=1e-14, atol=1e-300)


# ------------------------------------------------------------------ the nonlinear network


def test_a_tanh_network_is_nearly_linear_for_small_signals(rng):
    linear, x = network(rng, 5), rng.standard_normal(100)
    tanh = TanhRNN(linear.W, 1e-5 * linear.U, 1e5 * linear.c)
    np.testing.assert_allclose(tanh.simulate(x, 0.05), linear.simulate(x, 0.05), atol=1e-5)


def test_a_saturated_neuron_moves_at_unit_speed():
    y = TanhRNN([[0.0]], [1.0], [1.0]).simulate(np.full(11, 50.0), 0.1)
    np.testing.assert_allclose(y, 0.1 * np.arange(11), rtol=1e-14)


@pytest.mark.parametrize("substeps", [0, -1, 1.5, "2"])
def test_refused_substeps(substeps):
    with pytest.raises(ValueError, match="substeps must be an integer >= 1"):
        TanhRNN([[0.0]], [1.0], [1.0]).simulate([1.0, 2.0], 0.1, substeps=substeps)


# ------------------------------------------------------------------ random matrices


def test_random_hurwitz_has_its_margin_and_its_seed():
    for width in (1, 2, 30):
        W = random_hurwitz(width, np.random.default_rng(3), margin=0.25)
        assert W.shape == (width, width)
        assert np.linalg.eigvals(W).real.max() == pytest.approx(-0.25, abs=1e-12)
        np.testing.assert_array_equal(
            W, random_hurwitz(width, np.random.default_rng(3), margin=0.25)
        )


@pytest.mark.parametrize(("width", "margin"), [(0, 0.1), (2.0, 0.1), (2, 0.0), (2, -1.0)])
def test_refused_random_matrices(rng, width, margin):
    with pytest.raises(ValueError, match="width must be|margin must be"):
        random_hurwitz(width, rng, margin=margin)
