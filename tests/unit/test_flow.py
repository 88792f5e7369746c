"""Flows and descents: exact cases, ends of runs, wrong input."""

import math

import numpy as np
import pytest
from scipy import integrate

from curse_lib import (
    AiryKernel,
    ExponentialSum,
    GaussianBump,
    PopulationLoss,
    Trajectory,
    adam,
    gauss_newton,
    gradient_descent,
    gradient_flow,
    heavy_ball,
    hitting_times,
    nesterov,
    one_neuron_plateau,
    plateau_floor,
    reduced_plateau,
)

EMPTY = ExponentialSum([0.0], [1.0])
SPARE = ExponentialSum([1.0, 0.0], [1.0, 0.5])
METHODS = [gradient_descent, heavy_ball, nesterov, adam, gauss_newton]


def moved(loss, state, value):
    return np.linalg.norm(state) > 0.1


def sane(run):
    assert isinstance(run, Trajectory)
    m = run.population_loss.width
    assert run.states.shape == (run.times.size, 2 * m) and run.loss.shape == run.times.shape
    assert run.amplitudes.shape == run.rates.shape == (run.times.size, m)
    assert all(np.isfinite(a).all() for a in (run.times, run.states, run.loss))
    assert np.all(np.diff(run.times) >= 0) and run.times[0] == 0 and run.rates.min() > 0
    assert run.reason


def test_linear_part_is_exact():
    # A frozen rate would make it da/dtau = 2 (R - a/(2w)); at short times it is frozen.
    loss = PopulationLoss(GaussianBump(12.0, 0.5), EMPTY)
    run = gradient_flow(loss, until=5.0)
    sane(run)
    late = loss.inner_products([0.0, 0.0])[1][0]
    assert run.times[-1] == 5.0 and "5" in run.reason and not run.at_rest
    assert run.states[-1, 0] == pytest.approx(2 * late * (1 - math.exp(-5.0)), rel=1e-5)


def test_flow_comes_to_rest_where_the_law_says():
    run = gradient_flow(GaussianBump(5.0, 1e-9), EMPTY)
    sane(run)
    assert run.at_rest and "local minimum" in run.reason
    # J = a^2/2w - 2 a e^{-wD} is smallest at w = 1/(2D), a = 2w/sqrt(e)
    assert run.rates[-1] == pytest.approx(0.1, rel=1e-4)
    assert run.amplitudes[-1] == pytest.approx(0.2 * math.exp(-0.5), rel=1e-4)
    assert run.loss[-1] == pytest.approx(-1 / (5 * math.e), rel=1e-6)
    assert np.all(np.diff(run.loss) <= 1e-15)


def test_flow_stops_when_asked():
    run = gradient_flow(GaussianBump(5.0, 0.5), EMPTY, stop=moved)
    assert run.reason == "stop returned true" and np.linalg.norm(run.states[-2]) <= 0.1
    run = gradient_flow(GaussianBump(5.0, 0.5), EMPTY, max_steps=7)
    assert "7" in run.reason and run.times.size == 8


def test_a_learnt_target_is_at_rest():
    run = gradient_flow(SPARE, SPARE)
    assert run.at_rest and run.times.size == 1
    found = hitting_times(SPARE, SPARE, 0.1)
    assert math.isinf(found.parameters) and math.isinf(found.loss) and found.reason
    assert plateau_floor(SPARE, SPARE, 0.1) == math.inf
    assert reduced_plateau(SPARE, SPARE, 0.1).time == math.inf


def test_a_gradient_below_the_range_of_doubles_is_no_rest():
    early = ExponentialSum([1.0], [1.0])
    run = gradient_flow(early + GaussianBump(1000.0, 0.5), early)
    assert not run.at_rest and "gradient vanishes" in run.reason


@pytest.mark.parametrize(
    ("amplitudes", "mass", "verdict"),
    [
        ((1.5, -0.5), 1.0, "minimum"),
        ((0.5, 0.5), 1.0, "saddle"),
        ((0.5, 0.5), -1.0, "minimum"),
        ((0.3, 0.7), -1.0, "minimum"),
        ((1.5, -0.5), -1.0, "leaves"),
        ((0.3, 0.7), 1.0, "leaves"),
        ((0.2, 0.3, 0.5), -1.0, "minimum"),
    ],
)
def test_the_sign_that_tells_whether_neurons_of_one_rate_part(amplitudes, mass, verdict):
    # Where r_1 vanishes, parting them has the curvature 2 a_1 a_2 (a_1 + a_2) r_2, and r_2 has
    # the sign of -mass. Until they part they move as one neuron does.
    one, m = ExponentialSum([1.0], [1.0]), len(amplitudes)
    target = one + GaussianBump(8.0, 0.5, mass)
    run = gradient_flow(target, ExponentialSum(amplitudes, np.ones(m)), rtol=1e-4, max_steps=80)
    whole = gradient_flow(target, one)
    parted = verdict == "leaves"
    assert whole.at_rest and (parted or run.at_rest == (verdict == "minimum"))
    assert ("saddle" in run.reason) == (verdict == "saddle")
    assert (np.ptp(run.rates, axis=1).max() > 0.1) == parted
    if parted:
        assert run.loss[-1] < whole.loss[-1]
    else:
        assert run.rates[-1] == pytest.approx(np.full(m, whole.rates[-1, 0]), rel=1e-6)
        assert run.amplitudes[-1].sum() == pytest.approx(whole.amplitudes[-1, 0], rel=1e-6)


@pytest.mark.parametrize(
    ("start", "delay", "steps"),
    [
        (ExponentialSum([0.3, 0.7], [1.0, 1.0]), 34.0, 130),  # a crawl with a small split
        (ExponentialSum([0.3, 0.7], [1.0, 1.0 + 1e-9]), 40.0, 150),
        (SPARE, 60.0, 300),
        (SPARE, 1000.0, 100),
    ],
)
def test_no_rest_is_claimed_on_a_plateau(start, delay, steps):
    # They end: by the law of unequal halves, and by the spare neuron.
    run = gradient_flow(
        ExponentialSum([1.0], [1.0]) + GaussianBump(delay, 0.5), start, rtol=1e-4, max_steps=steps
    )
    sane(run)
    assert not run.at_rest and str(steps) in run.reason


def test_no_rest_is_claimed_on_a_manifold_of_minima():
    # Any rate will do for a neuron whose amplitude falls to 0: no curvature to resolve.
    start = ExponentialSum([0.9, 0.0], [1.0, 0.5])
    run = gradient_flow(ExponentialSum([1.0], [1.0]), start, max_steps=300)
    sane(run)
    assert not run.at_rest and run.loss[-1] == pytest.approx(-(0.1**2) / 2, rel=1e-9)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("amplitude", [0.0, 0.4])
def test_the_flow_against_another_integrator(unit, amplitude):
    # DOP853 knows neither Hessian nor deviations. In another unit all scale: rates, amplitudes
    # and training time with it, lags against it.
    def slopes(_, z):
        a, w = z
        fall, mine = math.exp(-2 * w), 0.4 / (1 + w)
        rest = a / (2 * w) - fall - mine
        return [-2 * rest, 2 * a * (a / (4 * w * w) - 2 * fall - mine / (1 + w))]

    exact = integrate.solve_ivp(
        slopes, (0, 3.0), [amplitude, 1.5], "DOP853", rtol=1e-12, atol=1e-14
    ).y[:, -1]
    target = ExponentialSum([0.4 * unit], [unit]) + GaussianBump(2.0 / unit, 1e-9 / unit)
    start = ExponentialSum([amplitude * unit], [1.5 * unit])
    run = gradient_flow(target, start, until=3.0 * unit, rtol=1e-9)
    found = np.append(run.amplitudes[-1], run.rates[-1]) / unit
    assert found == pytest.approx(exact, rel=1e-8)


def test_an_airy_target():
    run = gradient_flow(AiryKernel(2.0, 3.0), ExponentialSum([0.0, 0.0], [1.0, 2.0]), until=100.0)
    sane(run)
    assert run.loss[-1] < 0


def test_parameters_only_ends_early():
    target = SPARE + GaussianBump(20.0, 0.5)
    both = hitting_times(target, SPARE, 0.02)
    one = hitting_times(target, SPARE, 0.02, parameters_only=True)
    assert one.parameters == both.parameters and one.steps < both.steps
    assert math.isinf(one.loss) and "asked" in one.reason


@pytest.mark.parametrize("method", METHODS)
def test_descents_lower_the_loss(method):
    run = method(GaussianBump(3.0, 0.5), EMPTY, steps=300)
    sane(run)
    assert run.loss[-1] < -1e-3


def test_small_steps_follow_the_flow():
    loss = PopulationLoss(GaussianBump(3.0, 0.5), EMPTY)
    flow = gradient_flow(loss, until=2.0)
    run = gradient_descent(loss, learning_rate=1e-3, steps=2000)
    assert run.times[-1] == pytest.approx(2.0)
    assert run.states[-1] == pytest.approx(flow.states[-1], rel=1e-3)


def test_momentum_is_a_learning_rate_on_the_plateau():
    loss = PopulationLoss(GaussianBump(6.0, 0.5), EMPTY)
    plain = gradient_descent(loss, learning_rate=0.2, steps=20_000, stop=moved)
    heavy = heavy_ball(loss, learning_rate=0.02, momentum=0.9, steps=20_000, stop=moved)
    assert 10 * heavy.times[-1] == pytest.approx(plain.times[-1], rel=0.1)


def test_gauss_newton_sees_no_plateau_unless_damped():
    loss = PopulationLoss(GaussianBump(12.0, 0.5), EMPTY)
    exact = gauss_newton(loss, learning_rate=0.1, steps=100, stop=moved)
    assert exact.reason == "stop returned true"
    damped = gauss_newton(loss, learning_rate=0.1, damping=0.1, steps=100, stop=moved)
    assert np.linalg.norm(damped.states[-1]) < 0.01


@pytest.mark.parametrize("method", METHODS[:4])
def test_too_long_steps_end_the_run(method):
    start = ExponentialSum([1.0, 0.5], [1.0, 0.2])
    run = method(start + GaussianBump(3.0, 0.5, 5.0), start, learning_rate=1e4, steps=50)
    sane(run)
    assert "learning rate" in run.reason


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plateau_floor(SPARE, SPARE, 0.5), "smallest rate"),
        (lambda: plateau_floor(SPARE, SPARE, 0.0), "positive"),
        (lambda: reduced_plateau(SPARE, SPARE, 0.6), "smallest rate"),
        (lambda: reduced_plateau(SPARE, ExponentialSum([1.0], [1.0])), "no spare neuron"),
        (lambda: reduced_plateau(SPARE + GaussianBump(1.0, 0.5), SPARE), "no plateau"),
        (
            lambda: reduced_plateau(
                GaussianBump(20.0, 0.5), ExponentialSum([0.0, 0.0], [1.0, 1.0])
            ),
            "rates of their own",
        ),
        (lambda: one_neuron_plateau(10.0, 1.0, 0.97), "1/2"),
        (lambda: one_neuron_plateau(10.0, 1.0, 1.0), "smallest rate"),
        (lambda: one_neuron_plateau(-1.0, 1.0, 0.1), "delay"),
        (lambda: hitting_times(SPARE, SPARE, -0.1), "delta"),
        (lambda: gradient_flow(PopulationLoss(SPARE, SPARE), SPARE), "its own start"),
        (lambda: gradient_flow(SPARE, SPARE, rtol=1.0), "rtol"),
        (lambda: gradient_flow(SPARE, SPARE, until=0.0), "until"),
        (lambda: gradient_flow(SPARE, SPARE, max_steps=0), "max_steps"),
        (lambda: gradient_descent(SPARE, SPARE, steps=1.5), "steps"),
        (lambda: gradient_descent(SPARE, SPARE, learning_rate=0.0), "learning_rate"),
        (lambda: heavy_ball(SPARE, SPARE, momentum=1.0), "momentum"),
        (lambda: adam(SPARE, SPARE, beta2=-0.1), "beta2"),
        (lambda: gauss_newton(SPARE, SPARE, learning_rate=2.0), "learning_rate"),
        (lambda: gauss_newton(SPARE, SPARE, damping=-1.0), "damping"),
    ],
)
def test_wrong_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
