"""Lorenz-96: what must hold for every system, state and forcing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_lib.lorenz96 import Lorenz96, ornstein_uhlenbeck

settings.register_profile("lorenz96", max_examples=25, deadline=None, derandomize=True)
settings.load_profile("lorenz96")

speeds = st.floats(0.3, 3.0)
systems = st.builds(
    Lorenz96, st.integers(1, 6), st.integers(1, 6), st.sampled_from([-1, 1]), speeds
) | st.builds(Lorenz96, st.integers(1, 6), st.integers(1, 6), st.just(-1), speeds, st.floats(-3, 3))
seeds = st.integers(0, 2**31)


@given(systems, seeds)
def test_power_is_the_slope_of_the_energy(system, seed):
    rng = np.random.default_rng(seed)
    state, x = rng.standard_normal((system.size, 1)), rng.standard_normal((system.slow, 1))
    slope = system._slopes(state, x)
    # The energy is quadratic, so a central difference is its derivative.
    change = system.energy((state + slope)[:, 0]) - system.energy((state - slope)[:, 0])
    scale = 1 + system.energy(slope[:, 0])
    assert abs(change / 2 - system.power(state[:, 0], x[:, 0])) < 1e-12 * scale


@given(systems, seeds, st.integers(0, 5))
def test_nodes_are_alike(system, seed, shift):
    x = ornstein_uhlenbeck(1, 6, 0.1, np.random.default_rng(seed), input_dim=system.slow)[0]
    turned = system.simulate(np.roll(x, shift, axis=1), 0.1)
    assert turned == pytest.approx(np.roll(system.simulate(x, 0.1), shift, axis=1), abs=1e-12)


@given(st.integers(1, 6), st.integers(1, 6), speeds, seeds)
def test_without_forcing_energy_falls(slow, fast, speed, seed):
    start = np.random.default_rng(seed).standard_normal(slow * (1 + fast))
    for sign in (-1, 1):
        system = Lorenz96(slow, fast, sign, speed)
        states = system.simulate(np.zeros(20), 0.05, substeps=4, initial=start, fast=True)
        energy = system.energy(states)
        assert np.all(np.diff(energy) <= 1e-9 * energy[0])


@given(st.integers(1, 12), st.integers(1, 6), speeds, st.floats(-0.95, 1.75))
def test_weak_backgrounds_are_stable(slow, fast, speed, background):
    W, _ = Lorenz96(slow, fast, -1, speed, background).linearisation()
    assert np.linalg.eigvals(W).real.max() < 0


@given(systems, seeds)
def test_linear_for_small_forcing(system, seed):
    x = 1e-6 * ornstein_uhlenbeck(1, 8, 0.1, np.random.default_rng(seed), input_dim=system.slow)[0]
    there, back = (system.simulate(sign * x, 0.1) - system.background / 2 for sign in (1, -1))
    # What is even in the forcing is of second order.
    assert np.abs(there + back).max() <= 1e-9
