"""Losses and gradients: what holds for all tasks and parameters."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_lib import ExponentialSum, stack
from curse_lib.training import SequenceTask, WhiteNoiseTask, train

settings.register_profile("training", max_examples=25, deadline=None, derandomize=True)
settings.load_profile("training")

SEEDS = st.integers(0, 10**6)


@st.composite
def linear(draw):
    """A linear task and two runs."""
    d, count = draw(st.integers(1, 3)), draw(st.integers(1, 40))
    target = stack([ExponentialSum([1.0, -0.5], [0.4 + k, 2.0]) for k in range(d)])
    task = WhiteNoiseTask(target, 0.1 * count, 0.1)
    return task, states(task, draw)


@st.composite
def sequences(draw):
    """A nonlinear task and two runs."""
    n, T, d = (draw(st.integers(1, most)) for most in (5, 7, 3))
    rng = np.random.default_rng(draw(SEEDS))
    outputs = rng.standard_normal((n, T) if draw(st.booleans()) else n)
    cell = draw(st.sampled_from(["tanh", "residual"]))
    task = SequenceTask(rng.standard_normal((n, T, d)), outputs, 0.4, cell)
    return task, states(task, draw)


def states(task, draw):
    width, rng = draw(st.integers(1, 5)), np.random.default_rng(draw(SEEDS))
    theta = np.array([task.start(width, rng, 1.0) for _ in range(2)])
    return theta + 0.2 * rng.standard_normal(theta.shape)


ANY = st.one_of(linear(), sequences())


@given(ANY, SEEDS)
def test_gradient_is_the_slope_in_every_direction(case, seed):
    task, theta = case
    direction = np.random.default_rng(seed).standard_normal(theta.shape)
    loss, gradient = task.gradient(theta)
    slope = task.loss(theta + 1e-30j * direction).imag / 1e-30
    size = np.linalg.norm(gradient, axis=1) * np.linalg.norm(direction, axis=1)
    assert np.all(np.abs(slope - np.sum(gradient * direction, axis=1)) <= 1e-13 * size)
    assert loss == pytest.approx(task.loss(theta), rel=1e-14)


@given(ANY, SEEDS)
def test_neurons_have_no_order(case, seed):
    task, theta = case
    other, parts = theta.copy(), task.parameters(theta)
    order = np.random.default_rng(seed).permutation(parts["c"].shape[1])
    for name, part in task.parameters(other).items():
        part[:] = parts[name]
        if name == "W":
            part[:] = part[:, order][:, :, order]
        elif name != "offset":
            part[:] = part[:, order]
    loss, gradient = task.gradient(theta)
    assert task.loss(other) == pytest.approx(loss, rel=1e-12)
    norm = np.linalg.norm(gradient, axis=1)
    assert np.linalg.norm(task.gradient(other)[1], axis=1) == pytest.approx(norm, rel=1e-11)


@given(linear(), st.floats(0.1, 10))
def test_loss_scales_with_the_unit_of_time(case, unit):
    task, theta = case
    target = stack(
        [ExponentialSum([1.0, -0.5], [(0.4 + k) / unit, 2 / unit]) for k in range(task.input_dim)]
    )
    slow = WhiteNoiseTask(target, task.horizon * unit, task.dt * unit)
    other = theta.copy()
    slow.parameters(other)["W"][:] /= unit
    assert slow.lags.size == task.lags.size
    assert slow.loss(other) == pytest.approx(unit * task.loss(theta), rel=1e-11)


@given(linear(), st.floats(-3, 3))
def test_readout_enters_linearly(case, factor):
    task, theta = case
    other = theta.copy()
    task.parameters(other)["c"][:] *= factor
    response = task.impulse_response(theta)
    assert task.impulse_response(other) == pytest.approx(factor * response, rel=1e-12, abs=1e-13)


@given(sequences(), st.integers(2, 40))
def test_a_sequence_told_again_changes_nothing(case, times):
    task, theta = case
    many = SequenceTask(
        np.tile(task.inputs, (times, 1, 1)),
        np.concatenate([task.outputs] * times),
        task.dt,
        task.cell,
    )
    (loss, gradient), (other, slope) = task.gradient(theta), many.gradient(theta)
    assert other == pytest.approx(loss, rel=1e-12)
    assert slope == pytest.approx(gradient, rel=1e-10, abs=1e-12 * np.abs(gradient).max())


@given(ANY, SEEDS, st.integers(1, 4), st.sampled_from(["gradient_descent", "heavy_ball", "adam"]))
def test_small_steps_fall_and_runs_stay_themselves(case, seed, width, optimizer):
    task, _ = case
    runs = [
        train(
            task,
            width,
            rng=np.random.default_rng(seed),
            learning_rate=1e-5,
            steps=4,
            runs=count,
            optimizer=optimizer,
        )
        for count in (1, 3)
    ]
    assert np.array_equal(runs[0].theta, runs[1].theta[:1])
    assert np.all(np.diff(runs[1].losses, axis=0) <= 1e-14 * runs[1].losses[0])
