"""Lorenz-96 against another integrator, closed kernels, its energy balance and laws of noise."""

import numpy as np
import pytest
from scipy import integrate

from curse_lib import ExponentialSum, LinearFunctional, LinearRNN
from curse_lib.lorenz96 import Lorenz96, ornstein_uhlenbeck

SYSTEMS = [
    Lorenz96(),
    Lorenz96(sign=1),
    Lorenz96(6, 4, -1, 1.0, 1.0),
    Lorenz96(4, 3, 1, 1.0),
]


def forced(system, runs=2, length=21, seed=1):
    rng = np.random.default_rng(seed)
    x = ornstein_uhlenbeck(runs, length, 0.1, rng, deviation=3.0, input_dim=min(2, system.slow))
    return x, rng.standard_normal(system.size)


@pytest.mark.parametrize("hold", ["linear", "constant"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_against_another_integrator(system, hold):
    x, start = forced(system)
    found = system.simulate(x, 0.1, hold=hold, substeps=64, initial=start, fast=True)[1]
    state, scale = start, np.abs(found).max()
    for k in range(20):

        def slopes(t, h, k=k):
            u = np.zeros((system.slow, 1))
            later = x[1, k + 1] if hold == "linear" else x[1, k]
            u[: x.shape[2], 0] = x[1, k] + (later - x[1, k]) * t / 0.1
            return system._slopes(h[:, None], u)[:, 0]

        run = integrate.solve_ivp(slopes, (0, 0.1), state, "DOP853", rtol=1e-13, atol=1e-14)
        state = run.y[:, -1]
    assert np.abs(found[-1] - state).max() < 1e-9 * scale


@pytest.mark.parametrize("hold", ["linear", "constant"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_the_order_is_four(system, hold):
    x, start = forced(system, length=11)
    runs = [system.simulate(x, 0.1, hold=hold, substeps=n, initial=start) for n in (8, 16, 32)]
    coarse, fine = (np.abs(a - b).max() for a, b in zip(runs, runs[1:], strict=False))
    assert 3.7 < np.log2(coarse / fine) < 4.4


def test_the_estimate_of_the_error_is_one():
    system = Lorenz96(6, 4, -1, 1.0)
    options = {"deviation": 3.0, "scatter": 1.0}
    data = system.dataset(5, 60, 0.1, np.random.default_rng(2), **options)
    best = system.dataset(5, 60, 0.1, np.random.default_rng(2), substeps=16, **options)
    assert data.error == pytest.approx(np.abs(data.outputs - best.outputs).max(), rel=0.1)
    assert best.error < 1e-4 * data.error


@pytest.mark.parametrize("system", SYSTEMS)
def test_energy_balance_along_a_run(system):
    # A quadrature of the power, exact to the order of Simpson's rule on a fine grid.
    x, start = forced(system, length=41)
    times = np.linspace(0, 4, 4001)
    fine = np.array([[np.interp(times, np.linspace(0, 4, 41), c) for c in run.T] for run in x])
    fine = fine.transpose(0, 2, 1)
    states = system.simulate(fine, 1e-3, initial=start, fast=True)
    gained = system.energy(states) - system.energy(start)
    fed = integrate.cumulative_simpson(system.power(states, fine), x=times, axis=1, initial=0)
    assert np.abs(gained - fed).max() < 1e-6 * system.energy(states).max()
    assert np.abs(gained).max() > 0.1


@pytest.mark.parametrize(
    "system, kernel",
    [
        (Lorenz96(), ExponentialSum.oscillation(1.0, 1.5, np.sqrt(7) / 2, -np.arctan(1 / 7**0.5))),
        (Lorenz96(speed=1.0, fast=3), ExponentialSum.oscillation(1.0, 1.0, 1.0, 0.0)),
    ],
)
def test_memory_at_rest_in_closed_form(system, kernel):
    W, U = system.linearisation()
    t = np.linspace(0, 6, 50)
    rho = LinearRNN(W, U, np.eye(system.size)[0]).kernel()
    assert rho(t) == pytest.approx(kernel(t) / kernel(0.0), abs=1e-10)


@pytest.mark.parametrize("amplitude", [1e-3, 10.0])
def test_equal_fast_variables_make_it_linear(amplitude):
    x = amplitude * np.sin(np.arange(31) * 0.1)
    found = Lorenz96().simulate(x, 0.1, substeps=16)[:, 0]
    W, U = Lorenz96().linearisation()
    rho = LinearRNN(W, U, np.eye(9)[0]).kernel()
    exact = LinearFunctional(rho)(x, 0.1)
    assert found == pytest.approx(exact, abs=1e-7 * amplitude)


def test_the_other_sign_integrates():
    # rho = (2 + e^{-3t}) / 3: a pulse is remembered for ever.
    x = np.zeros(201)
    x[:10] = 1.0
    found = Lorenz96(sign=1).simulate(x, 0.1, hold="constant", substeps=8)[:, 0]
    t = 0.1 * np.arange(201)
    past = np.maximum(t - 1, 0)
    step = (2 * t - np.expm1(-3 * t) / 3) / 3
    assert found == pytest.approx(step - (2 * past - np.expm1(-3 * past) / 3) / 3, abs=1e-6)
    assert found[-1] == pytest.approx(2 / 3, rel=1e-6)
    eigenvalues = np.linalg.eigvals(Lorenz96(sign=1).linearisation()[0]).real
    assert abs(eigenvalues.max()) < 1e-14 and eigenvalues.min() == pytest.approx(-3.0)


def test_the_forcing_has_its_law():
    rng = np.random.default_rng(3)
    x = ornstein_uhlenbeck(4000, 21, 0.25, rng, deviation=2.0, correlation=0.5, input_dim=2)
    products = np.einsum("nid,njd->dij", x, x) / len(x)
    gaps = 0.25 * np.abs(np.subtract.outer(np.arange(21), np.arange(21)))
    wanted = 4.0 * np.exp(-gaps / 0.5)
    assert np.abs(products - wanted).max() < 6 * 4 * np.sqrt(2 / len(x))
    assert abs(np.einsum("nid,nid->", x[..., :1], x[..., 1:])) / x[..., 0].size < 0.1
    fourth = (x[:, -1] ** 4).mean() / 16
    assert fourth == pytest.approx(3.0, abs=0.5)
    white = ornstein_uhlenbeck(4000, 8, 0.25, rng, correlation=0.0)[..., 0]
    assert np.abs(white.T @ white / len(white) - np.eye(8)).max() < 0.12
