"""Flows and descents: exact cases, ends of runs, wrong input."""

import math
import re

import numpy as np
import pytest
from scipy import integrate

from curse_lib import (
    AiryKernel,
    ExponentialSum,
    GaussianBump,
    PopulationLoss,
    PowerLaw,
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


def test_reduced_flow_that_comes_to_rest_never_leaves():
    # One neuron rests at the rate 1/(2 D) = 0.05, on this side of the threshold.
    plateau = reduced_plateau(GaussianBump(10.0, 1e-9), ExponentialSum([0.0], [0.3]), 0.26)
    assert plateau.time == math.inf and "rest" in plateau.reason


def test_a_last_short_step_reaches_the_end():
    run = gradient_flow(GaussianBump(5.0, 1e-9), EMPTY, until=9.9551e-7)
    assert run.times[-1] == 9.9551e-7 and "reached" in run.reason


@pytest.mark.parametrize(
    ("wall", "reason"),
    [
        (0.0, "the integrator can't resolve the flow any further"),
        (0.05, "the loss rises even at the strictest tolerance"),
    ],
)
def test_no_step_is_taken_up_the_loss(monkeypatch, wall, reason):
    """A loss that contradicts its gradient, here behind a wall, ends the run with what was good."""
    true = PopulationLoss._value

    def value(self, state):
        loss, size = true(self, state)
        return (loss if math.hypot(*state) <= wall else abs(loss)), size

    monkeypatch.setattr(PopulationLoss, "_value", value)
    run = gradient_flow(GaussianBump(5.0, 1e-9), EMPTY)
    sane(run)
    assert run.reason == reason and not run.at_rest
    assert np.all(np.diff(run.loss) < 0) and np.linalg.norm(run.states, axis=1).max() <= wall
    assert run.times.size > 1 or not wall


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


def plain_descent(a, w, steps, count):
    """Losses and parameters a method visits, each update written out for a point mass at lag 3.

    J - |rho|^2 = a^2/(2w) - 2 a e^{-3w}.
    """

    def value(a, w):
        return a * a / (2 * w) - 2 * a * math.exp(-3 * w)

    def slopes(a, w):
        fall = math.exp(-3 * w)
        return np.array([a / w - 2 * fall, -a * a / (2 * w * w) + 6 * a * fall])

    theta = np.array([a, w])
    seen = [theta]
    for _, new in zip(range(count), steps(theta, slopes, value), strict=False):
        seen.append(new)
    return np.array(seen), np.array([value(*theta) for theta in seen])


def plain_gradient(theta, slopes, _):
    while True:
        theta = theta - 0.3 * slopes(*theta)
        yield theta


def plain_heavy(theta, slopes, _):
    before = theta
    while True:
        theta, before = theta + 0.7 * (theta - before) - 0.1 * slopes(*theta), theta
        yield theta


def plain_nesterov(theta, slopes, _):
    before, k = theta, 0
    while True:
        ahead, before, k = theta + k / (k + 3) * (theta - before), theta, k + 1
        theta = ahead - 0.2 * slopes(*ahead)
        yield theta


def plain_adam(theta, slopes, _):
    past = []
    while True:
        past.insert(0, slopes(*theta))
        gradients, k = np.array(past), np.arange(len(past))[:, None]
        means = [
            np.sum(beta**k * powers, axis=0) / np.sum(beta**k)
            for beta, powers in ((0.8, gradients), (0.95, gradients**2))
        ]
        theta = theta - 0.03 * means[0] / (np.sqrt(means[1]) + 0.02)
        yield theta


def plain_gauss_newton(damping):
    def steps(theta, slopes, value):
        while True:
            a, w = theta
            p, q, r = 1 / (2 * w) + damping, -a / (4 * w * w), a * a / (4 * w**3) + damping
            u, v = slopes(a, w) / 2
            step = np.array([r * u - q * v, p * v - q * u]) / (p * r - q * q)
            while theta[1] <= step[1] or value(*(theta - step)) >= value(a, w):
                step = step / 2
            theta = theta - step
            yield theta

    return steps


@pytest.mark.parametrize(
    ("method", "options", "steps", "count"),
    [
        (gradient_descent, {"learning_rate": 0.3}, plain_gradient, 30),
        (heavy_ball, {"learning_rate": 0.1, "momentum": 0.7}, plain_heavy, 30),
        (nesterov, {"learning_rate": 0.2}, plain_nesterov, 30),
        (adam, {"learning_rate": 0.03, "beta1": 0.8, "beta2": 0.95, "eps": 0.02}, plain_adam, 30),
        (gauss_newton, {}, plain_gauss_newton(0.0), 4),
        (gauss_newton, {"damping": 0.3}, plain_gauss_newton(0.3), 4),
    ],
)
def test_descents_against_plain_loops(method, options, steps, count):
    start = ExponentialSum([0.3], [0.6])
    run = method(GaussianBump(3.0, 1e-9), start, steps=count, **options)
    theta, value = plain_descent(0.3, 0.6, steps, count)
    assert run.times == pytest.approx(np.arange(count + 1) * options.get("learning_rate", 1.0))
    assert np.hstack([run.amplitudes, run.rates]) == pytest.approx(theta, rel=1e-8)
    assert run.loss == pytest.approx(value - value[0], rel=1e-8, abs=1e-14)


@pytest.mark.parametrize("method", METHODS)
def test_a_learnt_target_moves_no_descent(method):
    run = method(SPARE, SPARE, steps=3)
    assert run.times.size == 1 and "changes nothing" in run.reason


def test_hitting_times_of_the_linear_part():
    # At lag 30 the rate stays: alpha = 2 R (1 - e^{-tau}), J(0) - J = 2 R^2 (1 - e^{-2 tau}).
    late = math.exp(-30)
    loss = PopulationLoss(GaussianBump(30.0, 1e-9), EMPTY)
    both = hitting_times(loss, delta=late**2)
    assert both.parameters == pytest.approx(late / 2, rel=1e-6)
    assert both.loss == pytest.approx(math.log(2) / 2, rel=3e-6) and both.reason == ""
    one = hitting_times(loss, delta=late, parameters_only=True)
    assert one.parameters == pytest.approx(math.log(2), rel=3e-6)


def test_steps_multiply_by_the_stability_function_of_radau():
    # On a linear flow a step h multiplies the gap to the rest by the Pade approximant of e^{-h}.
    loss = PopulationLoss(GaussianBump(30.0, 1e-9), EMPTY)
    for rtol, most in ((1e-3, 17), (1e-7, 80)):
        run = gradient_flow(loss, until=5.0, rtol=rtol)
        gap, h = 1 - run.states[1:, 0] * math.exp(30) / 2, np.diff(run.times)[1:]
        factor = (1 - 2 * h / 5 + h**2 / 20) / (1 + 3 * h / 5 + 3 * h**2 / 20 + h**3 / 60)
        assert gap[1:] / gap[:-1] == pytest.approx(factor, rel=1e-11)
        assert run.times.size <= most


def test_how_hitting_times_end():
    loss = PopulationLoss(GaussianBump(5.0, 1e-9), EMPTY)
    rest = hitting_times(loss, delta=1e6)
    assert math.isinf(rest.parameters) and math.isinf(rest.loss)
    at = re.fullmatch(r"the flow .* local minimum, at training time (\S+)", rest.reason)
    assert float(at[1]) == pytest.approx(gradient_flow(loss).times[-1], rel=1e-5)
    for most in (1, 7):
        found = hitting_times(loss, max_steps=most)
        assert found.steps == most and math.isinf(found.parameters)
        reached = gradient_flow(loss, max_steps=most).times
        assert reached.size == most + 1
        assert found.reason.endswith(f"{most}, were taken, at training time {reached[-1]:.6g}")
    late = hitting_times(loss, until=2.0)
    assert math.isinf(late.parameters)
    assert late.reason == "the training time 2 was reached, at training time 2"


@pytest.mark.parametrize("options", [{"max_steps": 1}, {"parameters_only": True}])
def test_both_are_hit_in_the_first_step(options):
    # At once the parameters move at the speed |grad J| and the loss falls at its square.
    found = hitting_times(GaussianBump(5.0, 1e-9), EMPTY, 1e-30, **options)
    speed = 2 * math.exp(-5)
    assert found.parameters == pytest.approx(1e-30 / speed, rel=1e-6, abs=0)
    assert found.loss == pytest.approx(1e-30 / speed**2, rel=1e-6, abs=0)
    assert (found.reason, found.steps) == ("", 1)


@pytest.mark.parametrize("until", [5e-324, 1e-300, 1e-12])
def test_a_tiny_time_is_a_step_down_the_gradient(until):
    # da/dtau = 2 e^{-wD} - a/w, dw/dtau = a^2/(2w^2) - 2 a D e^{-wD}
    run = gradient_flow(GaussianBump(5.0, 1e-9), ExponentialSum([0.5], [1.0]), until=until)
    fall = math.exp(-5)
    slope = np.array([2 * fall - 0.5, 0.125 - 5 * fall])
    assert run.times == pytest.approx([0.0, until], rel=0, abs=0) and "was reached" in run.reason
    assert run.states[-1] == pytest.approx(until * slope, rel=1e-9, abs=5e-324)


def test_floor_of_several_amplitudes():
    # K = 2 int (sqrt 3 + 5 t) e^{-(0.4 + 0.7) t} dt
    start = ExponentialSum([3.0, 0.0, -4.0], [1.0, 0.5, 2.0])
    exact = 2 * (math.sqrt(3) / 1.1 + 5 / 1.1**2)
    floor = plateau_floor(start + ExponentialSum([-2.0], [0.7]), start, 0.1)
    assert floor == pytest.approx(0.1 / (2 * exact), rel=1e-11)


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
        (lambda: one_neuron_plateau(1.0, 1.0, 0.5), "1/2"),
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
        (lambda: one_neuron_plateau(math.nan, 1.0, 0.1), "delay"),
        (lambda: one_neuron_plateau(10.0, math.nan, 0.1), "rate"),
        (lambda: one_neuron_plateau(10.0, 1.0, math.nan), "delta"),
        (lambda: plateau_floor(SPARE, SPARE, math.nan), "delta"),
        (lambda: reduced_plateau(SPARE, SPARE, math.nan), "delta"),
        (lambda: hitting_times(SPARE, SPARE, math.nan), "delta"),
        (lambda: hitting_times(SPARE, SPARE, until=math.inf), "until"),
        (lambda: hitting_times(SPARE, SPARE, rtol=math.nan), "rtol"),
        (lambda: hitting_times(SPARE, SPARE, max_steps=True), "max_steps"),
        (lambda: heavy_ball(SPARE, SPARE, momentum=math.nan), "momentum"),
        (lambda: adam(SPARE, SPARE, eps=math.nan), "eps"),
        (lambda: gauss_newton(SPARE, SPARE, learning_rate=math.nan), "learning_rate"),
        (lambda: gradient_flow(PowerLaw(2.0), EMPTY), "fit_exponential_sum"),
        (lambda: plateau_floor(PowerLaw(2.0), EMPTY), "fit_exponential_sum"),
        (lambda: adam(PowerLaw(2.0), EMPTY), "fit_exponential_sum"),
    ],
)
def test_wrong_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
