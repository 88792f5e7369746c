"""Bands that cover, noise models that are found, and kernels that are known otherwise."""

import numpy as np
import pytest
from scipy.signal import lfilter

from curse_lib.functionals import LinearFunctional, white_noise
from curse_lib.identification import measure_kernel
from curse_lib.kernels import ExponentialSum, GaussianBump, SampledKernel, stack
from curse_lib.models import LinearRNN

DT = 0.2
KERNELS = {
    "decay": ExponentialSum([1.0], [0.7]),
    "oscillation": ExponentialSum.oscillation(1.0, 0.4, 2.0),
    "bump": GaussianBump(4.0, 0.8),
}


def coloured(rng, n, coefficients):
    """Autoregressive noise with variance 1, past its transient."""
    noise = lfilter([1.0], np.append(1.0, -np.array(coefficients)), rng.normal(size=n + 200))[200:]
    return noise / noise.std()


@pytest.mark.parametrize("hold", ["linear", "constant"])
@pytest.mark.parametrize("coefficients", [[], [0.8]])
@pytest.mark.parametrize("name", KERNELS)
def test_bands_cover_at_their_level(name, coefficients, hold):
    """Signal and noise equally strong, 20 records: near 95 % of the true values inside."""
    lags = 45
    truth = SampledKernel(DT * np.arange(lags), KERNELS[name](DT * np.arange(lags)))
    rng = np.random.default_rng(3)
    inside = []
    for _ in range(20):
        x = rng.normal(size=800)
        signal = LinearFunctional(truth)(x, DT, hold)
        y = signal + signal.std() * coloured(rng, x.size, coefficients)
        found = measure_kernel(x, y, DT, lags, hold=hold, noise_order=len(coefficients))
        inside.append((found.lower <= truth.values) & (truth.values <= found.upper))
    assert 0.9 <= np.mean(inside) <= 0.99


def test_bands_that_ignore_the_noise_s_colour_do_not_cover():
    """The positive control of the test above: a slow input under slow noise."""
    lags = 45
    truth = SampledKernel(DT * np.arange(lags), KERNELS["bump"](DT * np.arange(lags)))
    rng = np.random.default_rng(3)
    covered = {0: [], 1: []}
    for _ in range(10):
        x = coloured(rng, 800, [0.95])
        signal = LinearFunctional(truth)(x, DT)
        y = signal + signal.std() * coloured(rng, x.size, [0.95])
        for order in covered:
            found = measure_kernel(x, y, DT, lags, noise_order=order)
            inside = (found.lower <= truth.values) & (truth.values <= found.upper)
            covered[order].append(inside.mean())
    assert np.mean(covered[0]) < 0.8
    assert np.mean(covered[1]) > 0.88


def test_the_noise_model_is_found():
    rng = np.random.default_rng(0)
    x = rng.normal(size=5000)
    signal = LinearFunctional(KERNELS["bump"])(x, DT)
    coefficients = [1.2, -0.5]
    y = signal + lfilter([1.0], [1.0, -1.2, 0.5], 0.2 * rng.normal(size=x.size))
    found = measure_kernel(x, y, DT, 45, noise_order=2)
    np.testing.assert_allclose(found.noise_coefficients, coefficients, atol=0.04)
    assert found.noise_std == pytest.approx(0.2, rel=0.05)


def test_whitening_narrows_the_band():
    """Slow noise hides little of what a fast input does."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=2000)
    signal = LinearFunctional(KERNELS["bump"])(x, DT)
    y = signal + 2 * signal.std() * coloured(rng, x.size, [0.95])
    plain, whitened = (measure_kernel(x, y, DT, 45, noise_order=p, smoothness=0.0) for p in (0, 1))
    truth = KERNELS["bump"](plain.lags)
    assert (whitened.upper - whitened.lower).mean() < 0.7 * (plain.upper - plain.lower).mean()
    error = [np.linalg.norm(found.values - truth) for found in (whitened, plain)]
    assert error[0] < error[1]


@pytest.mark.parametrize("hold", ["linear", "constant"])
def test_a_network_is_measured_from_outside(hold):
    """Noise-free record of an RNN: what remains is the piecewise-linear kernel's own error."""
    rho = stack(
        [ExponentialSum.oscillation(1.0, 0.8, 3.0), ExponentialSum([1.0, -0.5], [1.0, 3.0])]
    )
    model = LinearRNN.from_kernel(rho)
    errors = []
    for dt in (0.1, 0.05):
        x = white_noise(round(400 / dt), dt, np.random.default_rng(0), input_dim=2)
        y = model.simulate(x, dt, hold=hold)
        found = measure_kernel(x, y, dt, round(10 / dt), hold=hold)
        assert found.r_squared > 0.999
        errors.append(np.abs(found.values - rho(found.lags)).max())
    assert errors[1] < 0.02
    assert errors[1] < 0.5 * errors[0]


def test_smoothing_helps_when_the_noise_is_strong():
    rng = np.random.default_rng(2)
    x = rng.normal(size=1000)
    signal = LinearFunctional(KERNELS["bump"])(x, DT)
    y = signal + 2 * signal.std() * rng.normal(size=x.size)
    truth = KERNELS["bump"](DT * np.arange(45))
    chosen, none, far = (
        np.linalg.norm(measure_kernel(x, y, DT, 45, smoothness=s).values - truth)
        for s in (None, 0.0, 1e9)
    )
    assert chosen < 0.5 * none
    assert chosen < 0.5 * far


def test_restricted_likelihood_by_brute_force():
    """The chosen weight maximises the marginal likelihood of the data's contrasts."""
    rng = np.random.default_rng(4)
    lags, n = 12, 120
    x = rng.normal(size=n)
    hats = [SampledKernel(DT * np.arange(lags), row) for row in np.eye(lags)]
    design = np.stack([LinearFunctional(hat)(x, DT) for hat in hats], axis=1) / (DT * x.std())
    bend = np.diff(np.eye(lags), 2, axis=0)
    y = design @ np.hanning(lags) + 1.5 * rng.normal(size=n)
    # Contrasts free of the offset and of straight lines, and the random part that is left.
    line = np.column_stack([np.ones(lags), np.arange(lags)])
    fixed = np.column_stack([np.ones(n), design @ line])
    contrasts = np.linalg.svd(fixed)[0][:, 3:].T
    random = contrasts @ design @ np.linalg.pinv(bend)
    z = contrasts @ y

    def minus_log_likelihood(weight):
        covariance = np.eye(z.size) + random @ random.T / weight
        scale = z @ np.linalg.solve(covariance, z) / z.size
        return z.size * np.log(scale) + np.linalg.slogdet(covariance)[1]

    found = measure_kernel(x, y, DT, lags)
    best = minus_log_likelihood(found.smoothness)
    for factor in (0.9, 1.1, 0.1, 10.0, 1e-3, 1e3):
        assert best < minus_log_likelihood(found.smoothness * factor)
