"""Lorenz-96: exact cases, shapes, and what is refused."""

import numpy as np
import pytest

from curse_lib import memory_function
from curse_lib.lorenz96 import Lorenz96, ornstein_uhlenbeck

MANY = Lorenz96(slow=5, fast=4, speed=1.0)


def naive_slopes(system, state, x):
    """The equations of the module, index by index."""
    K, J, s = system.slow, system.fast, system.sign
    y, z = state[:K], state[K:]
    dy = np.empty(K)
    for k in range(K):
        mean = sum(z[k * J + j] for j in range(J)) / J
        advection = -y[k - 1] * (y[(k - 2) % K] - y[(k + 1) % K])
        dy[k] = advection - y[k] + system.background + x[k] + s * mean
    dz, n = np.empty(K * J), K * J
    for j in range(n):
        dz[j] = -z[(j + 1) % n] * (z[(j + 2) % n] - z[(j - 1) % n]) - z[j] + y[j // J]
    return np.concatenate([dy, system.speed * dz])


@pytest.mark.parametrize(
    "system", [MANY, Lorenz96(), Lorenz96(3, 2, 1, 0.7), Lorenz96(4, 1, -1, 2.0, 1.5)]
)
def test_the_slopes_are_those_of_the_equations(system):
    rng = np.random.default_rng(1)
    state, x = rng.standard_normal((system.size, 2)), rng.standard_normal((system.slow, 2))
    found = system._slopes(state, x)
    for run in range(2):
        wanted = naive_slopes(system, state[:, run], x[:, run])
        assert found[:, run] == pytest.approx(wanted, abs=1e-13)


def test_shapes_and_order_of_the_runs():
    x = ornstein_uhlenbeck(3, 20, 0.1, np.random.default_rng(2), input_dim=2)
    y = MANY.simulate(x, 0.1)
    assert y.shape == (3, 20, 5) and np.array_equal(y[:, 0], np.zeros((3, 5)))
    assert MANY.simulate(x[1], 0.1) == pytest.approx(y[1], rel=1e-12, abs=1e-15)
    assert MANY.simulate(x[1], 0.1, fast=True)[:, :5] == pytest.approx(y[1], rel=1e-12, abs=1e-15)
    alone = MANY.simulate(x[1, :, 0], 0.1)
    assert np.array_equal(alone, MANY.simulate(x[1, :, :1], 0.1)) and alone.shape == (20, 5)


def test_a_state_at_rest_stays():
    system = Lorenz96(6, 4, -1, 1.0, 1.2)
    states = system.simulate(np.zeros(30), 0.2, fast=True)
    assert states == pytest.approx(np.full((30, 30), 0.6), abs=1e-14)
    # Without damping of the mean, any uniform state does.
    states = Lorenz96(sign=1).simulate(np.zeros(30), 0.2, initial=np.full(9, 0.5), fast=True)
    assert states == pytest.approx(np.full((30, 9), 0.5), abs=1e-13)


def test_a_forced_node_reaches_no_other_from_zero():
    x = np.random.default_rng(3).standard_normal(40)
    system = Lorenz96(5, 1, -1, 1.0)
    assert not system.simulate(x, 0.1)[:, 2:].any()
    beside = Lorenz96(5, 1, -1, 1.0, 1.5).simulate(x, 0.1) - 0.75
    assert np.abs(beside[:, 2]).max() > 1e-3


def test_forcing_that_stops():
    data = Lorenz96().dataset(4, 30, 0.1, np.random.default_rng(4), stop=2.0)
    assert np.count_nonzero(data.inputs[:, 21:]) == 0 and np.count_nonzero(data.inputs[:, 20]) == 4
    assert data.outputs.shape == (4, 30, 1) and not data.inputs.flags.writeable


def test_the_scatter_is_one_for_all_forcings_and_changes_none():
    even, uneven = (
        Lorenz96().dataset(4, 30, 0.1, np.random.default_rng(5), scatter=scatter)
        for scatter in (0.0, 1.0)
    )
    assert np.array_equal(even.inputs, uneven.inputs)
    assert np.abs(even.outputs - uneven.outputs).max() > 1e-3
    silent = Lorenz96().dataset(2, 30, 0.1, np.random.default_rng(5), scatter=1.0, deviation=0.0)
    assert np.array_equal(silent.outputs[0], silent.outputs[1]) and silent.outputs.any()


def test_the_memory_of_the_library_takes_the_system():
    system = Lorenz96()
    found = memory_function(
        lambda x, dt: system.simulate(x, dt)[:, 0], np.linspace(0, 3, 7), 0.01, amplitudes=[0.1]
    )
    nu, t = np.sqrt(7) / 2, found.lags
    exact = np.exp(-1.5 * t) * (np.cos(nu * t) + np.sin(nu * t) / np.sqrt(7))
    assert found.values == pytest.approx(np.abs(exact), abs=2e-4)


def test_what_is_refused():
    rng, x = np.random.default_rng(6), np.zeros((10, 2))
    for call, message in (
        (lambda: Lorenz96(0), "slow"),
        (lambda: Lorenz96(sign=2), "sign must be -1 or 1; got 2"),
        (lambda: Lorenz96(speed=0.0), "speed"),
        (lambda: Lorenz96(sign=1, background=1.0), "add it to the forcing"),
        (lambda: Lorenz96().simulate(x, 0.1), r"d <= 1; got \(10, 2\)"),
        (lambda: MANY.simulate(np.zeros((1, 1, 1, 1)), 0.1), "shape"),
        (lambda: MANY.simulate(np.zeros((2, 0, 1)), 0.1), "shape"),
        (lambda: MANY.simulate(x, 0.1, hold="none"), "hold"),
        (lambda: MANY.simulate(x, 0.1, initial=np.zeros(3)), r"\(25,\); got \(3,\)"),
        (lambda: MANY.simulate(1e9 + x, 0.1), "give more substeps"),
        (lambda: MANY.dataset(10_000, 1000, 0.1, rng), "480 MB"),
        (lambda: MANY.dataset(2, 10, 0.1, rng, scatter=-1.0), "scatter"),
        (lambda: ornstein_uhlenbeck(2, 10, 0.1, rng, correlation=-1.0), "correlation"),
        (lambda: ornstein_uhlenbeck(0, 10, 0.1, rng), "count"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
