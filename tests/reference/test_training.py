"""Training against complex steps, closed forms and known runs."""

import math

import numpy as np
import pytest

from curse_lib import AiryKernel, ExponentialSum, LinearRNN, l2_distance, stack
from curse_lib.training import SequenceTask, WhiteNoiseTask, train

TWO = ExponentialSum([0.6, 0.6], [0.5, 1.0])


def complex_step(task, theta):
    """The gradient to the last digits, one parameter at a time."""
    columns = []
    for j in range(theta.shape[1]):
        moved = theta.astype(complex)
        moved[:, j] += 1e-30j
        columns.append(task.loss(moved).imag / 1e-30)
    return np.array(columns).T


def tasks():
    draw = np.random.default_rng(2)
    x = draw.standard_normal((7, 9, 2))
    yield "linear", WhiteNoiseTask(TWO, 6.3, 0.1)
    yield "two inputs", WhiteNoiseTask(stack([TWO, AiryKernel(2.0, 3.0)]), 6.0, 0.1)
    for cell in ("tanh", "residual"):
        yield f"{cell}, all", SequenceTask(x, draw.standard_normal((7, 9)), 0.3, cell)
        yield f"{cell}, last", SequenceTask(x, draw.standard_normal(7), 0.3, cell)
        mask = np.arange(9) % 3 == 1
        yield f"{cell}, mask", SequenceTask(x, draw.standard_normal((7, 9)), 0.3, cell, mask)


@pytest.mark.parametrize(("name", "task"), list(tasks()))
def test_gradient_is_the_complex_step(name, task):
    draw = np.random.default_rng(3)
    theta = np.array([task.start(5, draw, 0.8) for _ in range(3)])
    theta += 0.1 * draw.standard_normal(theta.shape)  # the offsets too
    gradient = task.gradient(theta)[1]
    assert np.abs(gradient).min(axis=0).max() > 0
    assert np.abs(gradient - complex_step(task, theta)).max() < 1e-13 * np.abs(gradient).max()


def test_loss_tends_to_that_of_continuous_time_to_first_order():
    rnn = LinearRNN([[-0.7, 0.4], [-0.3, -1.1]], [1.0, 0.5], [0.8, -0.3])
    exact = l2_distance(rnn.kernel(), TWO) ** 2
    theta = np.array([[-0.7, 0.4, 1.0, -0.3, -1.1, 0.5, 0.8, -0.3]])
    errors = [WhiteNoiseTask(TWO, 60.0, dt).loss(theta)[0] - exact for dt in (0.04, 0.02, 0.01)]
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.1)
    assert errors[1] / errors[2] == pytest.approx(2, abs=0.05)
    assert abs(2 * errors[2] - errors[1]) < 1e-3 * exact
    silent = WhiteNoiseTask(TWO, 40.0, 0.1).power
    assert silent / l2_distance(TWO, 0.0 * TWO) ** 2 == pytest.approx(1.07, abs=0.005)


def test_loss_is_the_mean_square_on_white_noise():
    task = WhiteNoiseTask(TWO, 3.0, 0.1)
    theta = task.start(4, np.random.default_rng(1), 0.5)[None]
    x = np.random.default_rng(0).standard_normal(400_000) / math.sqrt(task.dt)
    errors = task.impulse_response(theta)[0] - task.target(task.lags)
    y = task.dt * np.convolve(x, errors, "valid")
    assert np.mean(y**2) == pytest.approx(task.loss(theta)[0], rel=0.03)


def test_a_small_signal_meets_the_linear_network():
    """The residual cell is Euler's step, and tanh z = z - z^3/3 + ..."""
    linear = WhiteNoiseTask(TWO, 2.0, 0.1)
    theta = linear.start(4, np.random.default_rng(1), 0.5)[None]
    p = linear.parameters(theta)
    pulse = np.zeros((1, 20))
    pulse[0, 0] = 1e-4
    residual = SequenceTask(pulse, pulse, 0.1, "residual")
    same = residual.start(4, np.random.default_rng(1), 0.5)[None]
    for name, part in residual.parameters(same).items():
        part[:] = p.get(name, 0.0)
    response = 0.1 * 1e-4 * linear.impulse_response(theta)
    assert residual.predict(same, pulse)[:, 0] == pytest.approx(response, rel=1e-6, abs=1e-15)
    # The tanh cell h <- tanh(A h + dt U x) with A = I + dt W is the same recurrence.
    tanh = SequenceTask(pulse, pulse)
    parts = tanh.parameters(same)
    parts["W"][:] = np.eye(4) + 0.1 * p["W"]
    parts["U"][:] = 0.1 * p["U"]
    assert tanh.predict(same, pulse)[:, 0] == pytest.approx(response, rel=1e-6, abs=1e-15)


def test_known_curves_of_gradient_descent():
    """Ten runs of an independent program: losses, and a plateau for the late target alone."""
    options = {"learning_rate": 0.02, "steps": 1000, "record": [10, 100, 300]}
    early = train(WhiteNoiseTask(TWO, 6.3, 0.1), 16, rng=np.random.default_rng(0), **options)
    late = train(
        WhiteNoiseTask(AiryKernel(2.25, 3.0), 6.3, 0.1), 16, rng=np.random.default_rng(0), **options
    )
    assert early.mean[1] == pytest.approx(0.38, rel=0.15) and early.mean[2] < 3e-3
    assert late.mean[3:] == pytest.approx([0.289, 0.270], rel=0.02)
    assert early.plateau_lengths().max() <= 10
    assert (late.plateau_lengths() == math.inf).all()
