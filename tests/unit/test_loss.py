"""The population loss: exact cases and what it says to wrong input."""

import math

import numpy as np
import pytest
from scipy import special

from curse_lib import AiryKernel, ExponentialSum, GaussianBump, PopulationLoss, PowerLaw, stack

START = ExponentialSum([1.0, 0.0], [1.0, 0.5])
LATE = START + GaussianBump(20.0, 0.5)


def test_one_neuron_and_a_point_mass():
    loss = PopulationLoss(GaussianBump(10.0, 1e-9), ExponentialSum([0.0], [1.0]))
    a, w = 1e-3, 0.7
    state = [a, w - 1.0]
    fall = math.exp(-10 * (1.0 + (w - 1.0)))
    assert loss.value(state) == pytest.approx(a * a / (2 * w) - 2 * a * fall, rel=1e-13)
    slope = [a / w - 2 * fall, -a * a / (2 * w * w) + 20 * a * fall]
    assert loss.gradient(state) == pytest.approx(slope, rel=1e-12)


def test_the_start_is_a_state_of_difference_zero():
    loss = PopulationLoss(LATE, START)
    assert loss.represented
    assert loss.value(np.zeros(4)) == 0
    assert np.all(loss.inner_products(np.zeros(4))[0] == 0)
    assert loss.initial == pytest.approx(1 / (2 * 0.5 * math.sqrt(math.pi)), rel=1e-9)


def test_a_start_that_is_the_target_has_no_gradient():
    loss = PopulationLoss(START, START)
    assert np.all(loss.gradient(np.zeros(4)) == 0)


def test_representation_is_exact():
    def represented(target, start):
        return PopulationLoss(target, start).represented

    halves = ExponentialSum([0.25, 0.75], [1.0, 1.0])
    assert represented(ExponentialSum([1.0], [1.0]), halves)
    assert not represented(ExponentialSum([0.3], [1.0]), ExponentialSum([0.1, 0.2], [1.0, 1.0]))
    assert not represented(AiryKernel(1.0, 3.0) + START, ExponentialSum([1.0], [1.0 + 1e-15]))


def test_nearly_equal_rates_lose_nothing():
    gap = 2.0**-40
    loss = PopulationLoss(ExponentialSum([1.0], [1.0]), ExponentialSum([1.0], [1.0 + gap]))
    _, fixed = loss.inner_products([0.0, 0.0], 0)
    assert fixed[0] == pytest.approx(gap / ((2 + gap) * (2 + 2 * gap)), rel=1e-14, abs=0)


def test_rates_beyond_the_reach_of_a_bump_see_its_edge():
    # exp(-D^2/2s^2)/(s sqrt(2 pi)) / w, to first order in 1/w
    loss = PopulationLoss(GaussianBump(1.0, 0.5), ExponentialSum([0.0], [1e6]))
    value = loss.inner_products([0.0, 0.0])[1][0]
    edge = math.exp(-2.0) / (0.5 * math.sqrt(2 * math.pi)) / 1e6
    assert value == pytest.approx(edge, rel=1e-5)


def test_an_airy_term_at_fast_rates():
    # Its series at 0: the second derivative is t Ai, hence 0, Ai(0), 2 Ai'(0) follow.
    (ai, slope, *_), s = special.airy(0.0), 1e4
    loss = PopulationLoss(AiryKernel(1.0, 0.0), ExponentialSum([0.0], [s]))
    exact = ai / s + slope / s**2 + ai / s**4 + 2 * slope / s**5
    assert loss.inner_products(np.zeros(2))[1][0] == pytest.approx(exact, rel=1e-12)


def test_a_far_rate_and_an_exponential_that_is_left_to_learn():
    # J = a^2/2w - 2a/(w + r) + 1/2r on a way of the rate that nearly ends at the pole -r.
    slow, a = 1e-3, 0.5
    loss = PopulationLoss(ExponentialSum([1.0], [slow]), ExponentialSum([a], [1.0]))
    values = [a * a / (2 * w) - 2 * a / (w + slow) for w in (0.01, 1.0)]
    assert loss.value([0.0, -0.99]) == pytest.approx(values[0] - values[1], rel=1e-12)


@pytest.mark.parametrize(
    "amplitudes",
    [[0.3, 0.7], [0.5, 0.5, 0.0], [1.5, -0.5, 1.5, 0.0], [0.2, 0.2, 0.2, 0.2, 0.7]],
)
def test_turned_coordinates(amplitudes):
    start = ExponentialSum([*amplitudes, 0.4], [*np.ones(len(amplitudes)), 2.0])
    loss = PopulationLoss(start + GaussianBump(6.0, 0.5), start)
    turn = loss._turn
    assert turn.T @ turn == pytest.approx(np.eye(turn.shape[0]), abs=1e-15)
    y = 1e-3 * np.cos(np.arange(turn.shape[0]))
    gradient, hessian, scale, _ = loss._slopes(y, turn)
    assert np.all(np.abs(turn.T @ loss.gradient(turn @ y) - gradient) <= 1e-12 * scale)
    assert hessian == pytest.approx(turn.T @ loss.hessian(turn @ y) @ turn, abs=1e-13)
    # Neurons that start alike are moved alike.
    start_slope = loss._slopes(np.where(loss._twins, 0.0, y), turn)[0]
    assert np.abs(start_slope[loss._twins]).max(initial=0.0) <= 1e-16


def test_the_hessian_of_nearly_equal_neurons_is_graded():
    start = ExponentialSum([0.3, 0.7], [1.0, 1.0])
    loss = PopulationLoss(start + GaussianBump(40.0, 0.5), start)
    gap = 1e-9
    hessian = loss._slopes(np.array([0.0, 0.0, 0.0, gap]), loss._turn)[1]
    # 2 |e^{-vt} - e^{-wt}|^2 / 2, with v - w = gap (0.3 + 0.7)/|a0|
    v, w = (1.0 + gap * part / math.hypot(0.3, 0.7) for part in (-0.7, 0.3))
    assert hessian[1, 1] == pytest.approx((w - v) ** 2 / (2 * 1.0**3) / 2, rel=1e-6)


@pytest.mark.parametrize(
    ("target", "start", "message"),
    [
        (LATE, GaussianBump(1.0, 0.5), "start must be an ExponentialSum"),
        (LATE, ExponentialSum([], []), "one or more neurons"),
        (LATE, ExponentialSum.oscillation(1.0, 1.0, 1.0), "real rates"),
        (LATE, None, "start must be an ExponentialSum"),
        (PowerLaw(1.0), START, "PowerLaw"),
        (stack([LATE, LATE]), START, "one input"),
        (1.0, START, "MemoryKernel"),
    ],
)
def test_wrong_kernels(target, start, message):
    with pytest.raises(ValueError, match=message):
        PopulationLoss(target, start)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (np.zeros(3), "shape"),
        ([0.0, 0.0, -1.0, 0.0], "positive"),
        ([math.nan, 0.0, 0.0, 0.0], "finite"),
    ],
)
def test_wrong_states(state, message):
    loss = PopulationLoss(LATE, START)
    for method in (loss.value, loss.gradient, loss.hessian, loss.inner_products, loss.kernel):
        with pytest.raises(ValueError, match=message):
            method(state)
    with pytest.raises(ValueError, match="order"):
        loss.inner_products(np.zeros(4), 3)
