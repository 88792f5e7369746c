"""Linear functionals against closed forms, high precision and the models' own simulation."""

import mpmath
import numpy as np
import pytest

from curse_lib.functionals import LinearFunctional, memory_function, white_noise, worst_input
from curse_lib.kernels import (
    AiryKernel,
    ExponentialSum,
    GaussianBump,
    PowerLaw,
    SampledKernel,
    stack,
)
from curse_lib.models import LinearRNN, random_hurwitz
from curse_lib.norms import l2_norm

HOLDS = ["linear", "constant"]
KERNELS = {
    "slow and fast": ExponentialSum([1.0, 2.0], [0.5, 400.0]),
    "oscillation": ExponentialSum.oscillation(1.0, 0.3, 9.0),
    "power law": PowerLaw(0.5),
    "steep power law": PowerLaw(40.0),
    "bump": GaussianBump(5.0, 0.5),
    "bump inside a cell": GaussianBump(5.03, 0.003),
    "airy": AiryKernel(2.0, 5.0),
    "kinks": SampledKernel([0.0, 1.03, 2.3], [1.0, 2.0, -1.0], tail_rate=0.7),
    "jump inside a cell": SampledKernel([0.0, 1.03], [1.0, 1.0]),
    "sum": PowerLaw(0.5) + GaussianBump(5.0, 0.01),
}


@pytest.mark.parametrize("hold", HOLDS)
@pytest.mark.parametrize("name", KERNELS)
def test_unit_step_gives_the_step_response(name, hold):
    kernel, dt = KERNELS[name], 0.05
    y = LinearFunctional(kernel)(np.ones(400), dt, hold)
    exact = kernel.step_response(dt * np.arange(400))
    np.testing.assert_allclose(y, exact, atol=2e-13 * np.abs(exact).max())


def density(s, delay, width):
    return mpmath.exp(-(((s - delay) / width) ** 2) / 2) / (width * mpmath.sqrt(2 * mpmath.pi))


EXACT = {
    "power law": lambda s: (1 + s) ** mpmath.mpf(-1.5),
    "bump inside a cell": lambda s: density(s, mpmath.mpf(5.03), mpmath.mpf(0.003)),
    "sum": lambda s: (1 + s) ** mpmath.mpf(-1.5) + density(s, 5, mpmath.mpf(0.01)),
    "oscillation": lambda s: mpmath.exp(-mpmath.mpf(0.3) * s) * mpmath.cos(9 * s),
}


@pytest.mark.parametrize("dt", [0.05, 0.7])
@pytest.mark.parametrize("name", EXACT)
def test_weights_against_high_precision(name, dt):
    """A single hat at sample 3: y_k = int hat(t_k - s) rho(s) ds."""
    x = np.zeros(110)
    x[3] = 1.0
    y = LinearFunctional(KERNELS[name])(x, dt)
    around = [5.03 + i * 0.003 for i in range(-9, 10, 3)] + [5 + i * 0.01 for i in range(-9, 10, 3)]
    with mpmath.workdps(25):
        for k in (3, 4, 10, 11, 103, 104, 106):
            centre = (k - 3) * mpmath.mpf(dt)
            low, high = max(centre - dt, 0), centre + dt
            if k == 3:
                high = mpmath.mpf(dt)
            cuts = sorted({low, centre, high, *(mpmath.mpf(s) for s in around if low < s < high)})
            exact = mpmath.quad(lambda s: (1 - abs(s - centre) / dt) * EXACT[name](s), cuts)
            assert y[k] == pytest.approx(float(exact), rel=1e-11, abs=1e-15)


def test_power_law_ramp_in_closed_form():
    """x = t gives int_0^t (t - s)(1+s)^(-1-w) ds."""
    omega, dt = 0.5, 0.1
    t = dt * np.arange(1000)
    y = LinearFunctional(PowerLaw(omega))(t, dt)
    exact = [
        float((T - ((1 + T) ** (1 - omega) - 1) / (1 - omega)) / omega) for T in map(mpmath.mpf, t)
    ]
    np.testing.assert_allclose(y[1:], exact[1:], rtol=1e-12)


@pytest.mark.parametrize("hold", HOLDS)
@pytest.mark.parametrize("dt", [0.01, 0.5])
@pytest.mark.parametrize("d", [1, 3])
def test_recurrence_and_convolution_agree(hold, dt, d):
    rng = np.random.default_rng(0)
    models = [
        LinearRNN(random_hurwitz(8, rng, margin=0.1), rng.normal(size=(8, d)), rng.normal(size=8)),
        LinearRNN(np.diag([-1.0] * 3) + np.diag([1.0, 1.0], 1), np.ones((3, d)), [1.0, 2.0, 3.0]),
    ]
    if d == 1:
        modes = ExponentialSum.oscillation(1.0, 0.2, 7.0) + ExponentialSum(
            [1.0, -3.0], [0.01, 60.0]
        )
        models.append(LinearRNN.from_kernel(modes))
    for model in models:
        x = rng.normal(size=(2000, d))
        y = model.simulate(x, dt, hold=hold)
        z = LinearFunctional(model.kernel())(x, dt, hold)
        assert np.abs(y - z).max() <= 1e-13 * np.abs(y).max()


@pytest.mark.parametrize("hold", HOLDS)
def test_sampled_kernel_with_held_and_interpolated_input(hold):
    """Hats on the input's own grid: the weights are (1/6, 4/6, 1/6) dt and (1/2, 1/2) dt."""
    dt, n = 0.25, 40
    values = np.zeros(12)
    values[5] = 1.0
    x = np.random.default_rng(0).normal(size=n)
    x[0] = 0.0
    y = LinearFunctional(SampledKernel(dt * np.arange(12), values))(x, dt, hold)
    weights = np.zeros(12)
    if hold == "linear":
        weights[4:7] = dt * np.array([1, 4, 1]) / 6
    else:
        weights[5:7] = dt / 2
    np.testing.assert_allclose(y, np.convolve(x, weights)[:n], atol=1e-15)


@pytest.mark.parametrize("dt", [0.2, 0.02])
def test_white_noise_gives_a_variance_that_does_not_depend_on_the_grid(dt):
    rho = stack([ExponentialSum([1.0], [1.0]), GaussianBump(2.0, 0.7)])
    x = white_noise(round(6_000 / dt), dt, np.random.default_rng(0), input_dim=2)
    y = LinearFunctional(rho)(x, dt, "constant")[round(20 / dt) :]
    assert y.var() == pytest.approx(l2_norm(rho) ** 2, rel=0.05)


def test_worst_input_converges_to_the_norm_as_the_square_of_the_grid():
    rho = ExponentialSum.oscillation(1.0, 1.0, 4.0)
    functional = LinearFunctional(rho)
    gaps = [
        functional.norm - functional(worst_input(rho, 40.0, dt), dt)[-1]
        for dt in (0.04, 0.02, 0.01)
    ]
    assert gaps[0] > gaps[1] > gaps[2] > 0
    assert 2.5 < gaps[0] / gaps[2] < 50  # a factor of 4 a halving, on average
    assert gaps[2] < 1e-3


def test_memory_function_of_a_network_is_the_kernel():
    rng = np.random.default_rng(1)
    model = LinearRNN(random_hurwitz(5, rng, margin=0.3), rng.normal(size=(5, 2)), np.ones(5))
    memory = memory_function(model)
    measured = memory_function(model.simulate, np.linspace(0, 6, 61), 0.002, input_dim=2)
    scale = memory(measured.lags).max()
    assert np.abs(measured.values - memory(measured.lags)).max() < 1e-3 * scale
