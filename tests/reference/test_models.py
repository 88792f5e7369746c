"""Recurrent networks against mpmath, closed forms, Lyapunov equations and an ODE solver."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from scipy import integrate, linalg

from curse_lib.kernels import ExponentialSum
from curse_lib.models import LinearRNN, TanhRNN, discretise, random_hurwitz

HOLDS = ["linear", "constant"]
DIGITS = 60


def rotated(blocks, seed):
    """The block matrix in a random orthogonal basis, so that no structure is left to see."""
    Q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(blocks), len(blocks))))
    return Q @ blocks @ Q.T


MATRICES = {
    "one neuron": np.array([[-0.7]]),
    "diagonal": np.diag([-0.3, -2.0, -0.3]),
    "stiff diagonal": np.diag([-1e-8, -1.0, -1e4]),
    "stiff triangular": np.array([[-1e4, 1e4, 0.0], [0.0, -1.0, 0.5], [0.0, 0.0, -1e-8]]),
    "defective": np.array([[-0.4, 1, 0, 0], [0, -0.4, 1, 0], [0, 0, -0.4, 1], [0, 0, 0, -0.4]]),
    "defective, rotated": rotated(np.array([[-0.4, 1, 0], [0, -0.4, 1], [0, 0, -0.4]]), 1),
    "slow oscillation": np.array([[-1e-3, 5.0], [-5.0, -1e-3]]),
    "large transient": np.array([[-1.0, 1e6], [0.0, -2.0]]),
    "random": random_hurwitz(5, np.random.default_rng(2)),
}


def exact_step(W, U, dt, hold):
    """Phi, Gamma0, Gamma1 to 60 digits, from the exponential of an augmented matrix."""
    m, d = U.shape
    with mpmath.workdps(DIGITS):
        A = mpmath.zeros(m + 2 * d)
        A[:m, :m] = mpmath.matrix(W.tolist()) * mpmath.mpf(dt)
        A[:m, m : m + d] = mpmath.matrix(U.tolist()) * mpmath.mpf(dt)
        A[m : m + d, m + d :] = mpmath.eye(d)
        power = mpmath.expm(A)
        Phi, both, last = power[:m, :m], power[:m, m : m + d], power[:m, m + d :]
        return (Phi, both - last, last) if hold == "linear" else (Phi, both, 0 * last)


def exact_output(rnn, x, dt, hold):
    """The plain recurrence to 60 digits and sum |c| |Phi^j| |Gamma| |x|, its error scale."""
    Phi, first, last = exact_step(rnn.W, rnn.U, dt, hold)
    with mpmath.workdps(DIGITS):
        c, h, y = mpmath.matrix(rnn.c.tolist()).T, mpmath.zeros(rnn.width, 1), [mpmath.mpf(0)]
        samples = [mpmath.matrix(row.tolist()) for row in x]
        for k in range(1, len(x)):
            h = Phi * h + first * samples[k - 1] + last * samples[k]
            y.append((c * h)[0])
    Phi, first, last = (np.array(a.tolist(), dtype=float) for a in (Phi, first, last))
    gain, power = 0.0, np.eye(rnn.width)
    for _ in range(len(x) - 1):
        gain += np.linalg.norm(power, 2)
        power = power @ Phi
    kick = np.linalg.norm(first, 2) + np.linalg.norm(last, 2)
    scale = gain * np.linalg.norm(rnn.c) * kick * np.abs(x).max()
    return np.array([float(v) for v in y]), np.abs(y).max(), scale


def phase(W, duration):
    """Largest angle through which a mode turns; rounding W changes it by this times eps."""
    return np.abs(np.linalg.eigvals(W).imag).max() * duration


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("dt", [1e-6, 0.1, 7.0])
def test_one_step_to_machine_precision(name, dt):
    W = MATRICES[name]
    U = np.random.default_rng(0).standard_normal((len(W), 2))
    computed, exact = discretise(W, U, dt), exact_step(W, U, dt, "linear")
    for array, reference, floor in zip(computed, exact, (1.0, 0.0, 0.0), strict=True):
        reference = np.array(reference.tolist(), dtype=float)
        scale = max(np.abs(reference).max(), floor)
        assert np.abs(array - reference).max() <= 1e-15 * (8 + phase(W, dt)) * scale


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("hold", HOLDS)
@pytest.mark.parametrize("dt", [0.01, 0.5])
def test_simulate_is_the_recurrence(name, hold, dt):
    W = MATRICES[name]
    rng = np.random.default_rng(5)
    rnn = LinearRNN(W, rng.standard_normal((len(W), 2)), rng.standard_normal(len(W)))
    x = rng.standard_normal((150, 2))
    exact, largest, scale = exact_output(rnn, x, dt, hold)
    error = np.abs(rnn.simulate(x, dt, hold) - exact).max()
    assert error <= 1e-14 * scale
    if name == "slow oscillation":  # Undamped over the whole input: the phase error adds up.
        largest *= max(1, phase(W, 150 * dt) / 50)
    if name != "large transient":  # Its terms are 1e6 times larger than their sum can be.
        assert error <= 1e-14 * largest


def test_long_memory_does_not_drift():
    """Responses to a step and a ramp over 200,000 samples; a rounded e^(W dt) loses 1e-11."""
    rates, dt = np.array([1e-7, 1e-5, 1e-3, 0.1]), 0.01
    t = dt * np.arange(200_000)
    for u in np.eye(4):
        rnn = LinearRNN(np.diag(-rates), u, np.ones(4))
        w = rates @ u
        step = -np.expm1(-w * t) / w
        np.testing.assert_allclose(rnn.simulate(np.ones(t.size), dt), step, rtol=1e-14)
        error = np.abs(w * rnn.simulate(t, dt) - (t - step)).max()
        assert error <= 1e-14 * t[-1]


def test_long_memory_of_an_oscillation_does_not_drift():
    """A block in a dense matrix, 100,000 samples, beside the closed form of its step response."""
    decay, frequency, dt = 1e-5, 0.3, 0.05
    rnn = LinearRNN.from_kernel(ExponentialSum.oscillation(1.0, decay, frequency))
    t = dt * np.arange(100_000)
    rate = decay + 1j * frequency
    exact = ((1 - np.exp(-rate * t)) / rate).real
    # The phase frequency * t of the closed form itself is rounded by 1.1e-16 * 1500.
    np.testing.assert_allclose(rnn.simulate(np.ones(t.size), dt), exact, atol=2e-12)


@pytest.mark.parametrize("hold", HOLDS)
def test_simulate_is_the_convolution_with_the_kernel(hold):
    kernel = ExponentialSum([1.0, -2.0], [0.5, 3.0]) + ExponentialSum.oscillation(1.0, 0.2, 2.0)
    rnn, dt, count = LinearRNN.from_kernel(kernel), 0.4, 12
    x = np.sin(1.3 * np.arange(count)) + 0.5

    def rho(s):
        return sum(
            (mpmath.mpmathify(complex(a)) * mpmath.exp(-mpmath.mpmathify(complex(w)) * s)).real
            for a, w in zip(kernel.amplitudes, kernel.rates, strict=True)
        )

    def term(n, k):  # the lags at which the input of interval k meets the kernel
        near, far = (n - k - 1) * dt, (n - k) * dt
        slope = x[k + 1] - x[k] if hold == "linear" else 0.0
        return mpmath.quad(lambda s: rho(s) * (x[k] + slope * (far - s) / dt), [near, far])

    exact = [float(sum(term(n, k) for k in range(n))) for n in range(count)]
    np.testing.assert_allclose(rnn.simulate(x, dt, hold), exact, rtol=0, atol=1e-14)


@pytest.mark.parametrize("hold", HOLDS)
def test_simulate_is_the_differential_equation(hold):
    rng = np.random.default_rng(11)
    rnn = LinearRNN(random_hurwitz(6, rng), rng.standard_normal((6, 2)), rng.standard_normal(6))
    x, dt = rng.standard_normal((40, 2)), 0.3
    exact = solved(lambda h, v: rnn.W @ h + rnn.U @ v, rnn, x, dt, hold)
    np.testing.assert_allclose(rnn.simulate(x, dt, hold), exact, rtol=0, atol=1e-10)


def solved(slope, network, x, dt, hold):
    """Outputs by SciPy's integrator, interval by interval."""
    h, y = np.zeros(network.width), [0.0]
    for before, after in zip(x, x[1:], strict=False):
        rise = after - before if hold == "linear" else 0 * before
        run = integrate.solve_ivp(
            lambda t, h, a=before, b=rise: slope(h, a + b * t / dt),
            (0, dt),
            h,
            method="DOP853",
            rtol=1e-12,
            atol=1e-13,
        )
        h = run.y[:, -1]
        y.append(network.c @ h)
    return np.array(y)


def test_a_defective_network_in_closed_form():
    """Three equal rates in a chain: the kernel is t^2 e^{-wt} / 2."""
    w, dt = 0.4, 0.25
    W = rotated(np.array([[-w, 1, 0], [0, -w, 1], [0, 0, -w]]), 3)
    Q = np.linalg.qr(np.random.default_rng(3).standard_normal((3, 3)))[0]
    rnn, t = LinearRNN(W, Q[:, 2], Q[:, 0]), dt * np.arange(400)
    np.testing.assert_allclose(rnn.kernel()(t), t**2 / 2 * np.exp(-w * t), rtol=0, atol=1e-13)
    z = w * t
    exact = (1 - np.exp(-z) * (1 + z + z**2 / 2)) / w**3
    np.testing.assert_allclose(rnn.simulate(np.ones(400), dt), exact, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", [0, 1])
def test_white_noise_keeps_its_variance_on_finer_grids(seed):
    """N(0, 1)/sqrt(dt), held constant: Var y tends to the squared L2 norm of the kernel."""
    rng = np.random.default_rng(seed)
    rnn = LinearRNN(random_hurwitz(4, rng, margin=0.5), rng.standard_normal(4), np.ones(4))
    gram = linalg.solve_continuous_lyapunov(rnn.W, -rnn.U @ rnn.U.T)
    limit = rnn.c @ gram @ rnn.c
    gaps = []
    for dt in (0.1, 0.05, 0.025):
        Phi, kick, _ = rnn.discretise(dt, "constant")
        gram = linalg.solve_discrete_lyapunov(Phi, kick @ kick.T / dt)
        variance = rnn.c @ gram @ rnn.c
        impulse = np.zeros(int(60 / dt))
        impulse[0] = 1 / np.sqrt(dt)
        np.testing.assert_allclose((rnn.simulate(impulse, dt, "constant") ** 2).sum(), variance)
        gaps.append(abs(variance - limit) / limit)
    assert gaps[-1] < 0.02
    np.testing.assert_allclose(np.divide(gaps[:-1], gaps[1:]), 2, rtol=1.1)
    dt, count = 0.05, 200_000
    y = rnn.simulate(rng.standard_normal(count) / np.sqrt(dt), dt, "constant")
    assert y.var() == pytest.approx(limit, rel=0.1)


@pytest.mark.parametrize("hold", HOLDS)
def test_tanh_network_converges_with_order_four(hold):
    rng = np.random.default_rng(4)
    rnn = TanhRNN(rng.standard_normal((5, 5)), rng.standard_normal((5, 2)), rng.standard_normal(5))
    x, dt = rng.standard_normal((15, 2)), 0.4
    exact = solved(lambda h, v: np.tanh(rnn.W @ h + rnn.U @ v), rnn, x, dt, hold)
    steps = np.array([4, 8, 16, 32])
    errors = [np.abs(rnn.simulate(x, dt, hold, substeps=n) - exact).max() for n in steps]
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert -4.5 < slope < -3.6 and errors[-1] < 1e-6
