"""Hitting times against published runs, closed forms and mpmath."""

import math

import mpmath as mp
import numpy as np
import pytest

from curse_lib import (
    ExponentialSum,
    GaussianBump,
    gradient_flow,
    hitting_times,
    one_neuron_plateau,
    plateau_floor,
    reduced_plateau,
)

TEN = ExponentialSum(np.eye(10)[0], np.geomspace(0.5, 4, 10))


@pytest.mark.parametrize(
    ("delay", "parameters", "loss"),
    [(8, 0.145, 0.560), (10, 0.409, 4.49), (12, 1.63, 17.4), (14, 5.95, 63.4), (18, 72.3, 882)],
)
def test_ten_neurons(delay, parameters, loss):
    """Figures found by two independent programs."""
    target = ExponentialSum([1.0], [0.5]) + GaussianBump(delay, 0.5, 0.5 * math.sqrt(2 * math.pi))
    found = hitting_times(target, TEN, 0.05)
    assert (found.parameters, found.loss) == pytest.approx((parameters, loss), rel=3e-3)
    assert not found.reason
    assert plateau_floor(target, TEN, 0.05) <= found.parameters <= found.loss


@pytest.mark.parametrize("delay", [10, 20, 40, 80, 160])
def test_one_neuron_and_a_point_mass(delay):
    start = ExponentialSum([0.0], [1.0])
    found = hitting_times(GaussianBump(delay, 1e-9), start, 0.05, parameters_only=True)
    law = one_neuron_plateau(delay, 1.0, 0.05)
    slaving = delay**2 * math.exp(-2 * 0.95 * delay)
    assert found.parameters == pytest.approx(law.time, rel=2e-6 + 2 * slaving)
    assert reduced_plateau(GaussianBump(delay, 1e-9), start, 0.05).log_time == pytest.approx(
        law.log_time, abs=5e-6 + 2 * slaving
    )


@pytest.mark.parametrize(
    ("delay", "rate", "delta"),
    [(10, 1.0, 0.05), (300, 1.0, 0.05), (300, 1.0, 1e-9), (1000, 2.0, 1.5), (1.0, 1.0, 0.4999)]
    + [(11.2, 1.0, 0.5), (40, 1.0, 0.49)],
)
def test_exponential_integrals(delay, rate, delta):
    with mp.workdps(60):
        d, w, gap = mp.mpf(delay), mp.mpf(rate), mp.mpf(delta)
        ei = mp.ei(2 * w * d - 1) - mp.ei(2 * (w - gap) * d - 1)
        exact = mp.log(mp.e / (4 * d) * ei)
        assert abs(one_neuron_plateau(delay, rate, delta).log_time - exact) < 1e-11 + 1e-13 * exact


def test_beyond_the_range_of_doubles():
    law = one_neuron_plateau(600, 1.0, 0.05)
    assert law.time == math.inf and math.isfinite(law.log_time)


@pytest.mark.parametrize(("delay", "trapped"), [(6.1849, False), (6.1851, True), (20.0, True)])
def test_without_a_spare_neuron_a_critical_delay_traps(delay, trapped):
    start = ExponentialSum([1.0], [1.0])
    found = hitting_times(start + GaussianBump(delay, 0.5), start, 0.5)
    assert math.isinf(found.parameters) == trapped
    assert math.isinf(found.loss) and "local minimum" in found.reason


@pytest.mark.parametrize("delay", [8.0, 14.0])
def test_two_halves_of_opposite_sign_are_trapped(delay):
    start = ExponentialSum([1.5, -0.5], [1.0, 1.0])
    found = hitting_times(ExponentialSum([1.0], [1.0]) + GaussianBump(delay, 0.5), start, 0.05)
    assert math.isinf(found.parameters) and "local minimum" in found.reason


@pytest.mark.parametrize("delay", [8.0, 30.0])
def test_two_equal_halves_stay_at_a_saddle(delay):
    start = ExponentialSum([0.5, 0.5], [1.0, 1.0])
    target = ExponentialSum([1.0], [1.0]) + GaussianBump(delay, 0.5)
    found = hitting_times(target, start, 0.05)
    assert math.isinf(found.parameters) and math.isinf(found.loss)
    assert "saddle point" in found.reason and found.steps < 200
    run = gradient_flow(target, start)
    assert not run.at_rest and np.ptp(run.rates[-1]) <= 4e-16


def test_unequal_halves_leave_though_they_nearly_rest():
    """log tau_0 = 5/2 D - 6 log D + c + O(1/D), up to where the crawl is below rounding."""
    start, rests = ExponentialSum([0.3, 0.7], [1.0, 1.0]), {}
    for delay in (18.0, 24.0, 30.0):
        target = ExponentialSum([1.0], [1.0]) + GaussianBump(delay, 0.5)
        found = hitting_times(target, start, 0.05, parameters_only=True, rtol=1e-4)
        rests[delay] = math.log(found.parameters) - 2.5 * delay + 6 * math.log(delay)
    assert rests[18.0] == pytest.approx(-7.0156, abs=2e-3)
    assert rests[24.0] == pytest.approx(-7.2198, abs=2e-3)
    assert rests[30.0] == pytest.approx(-7.312, abs=5e-3)


@pytest.mark.parametrize(
    ("spare", "delay", "rel"),
    [((0.5,), 30, 3e-4), ((0.5,), 50, 1e-5), ((2.0,), 20, 3e-4), ((2.0,), 30, 1e-5)]
    + [((0.5, 0.55), 50, 1e-5), ((0.3, 0.6, 2.0), 90, 1e-5)],
)
def test_slow_manifold_predicts_the_flow(spare, delay, rel):
    start = ExponentialSum([1.0, *np.zeros(len(spare))], [1.0, *spare])
    target = ExponentialSum([1.0], [1.0]) + GaussianBump(delay, 0.5)
    found = hitting_times(target, start, 0.02, parameters_only=True)
    assert reduced_plateau(target, start, 0.02).time == pytest.approx(found.parameters, rel=rel)
    assert found.parameters >= plateau_floor(target, start, 0.02)


@pytest.mark.parametrize(("delay", "delta"), [(5.0, 0.05), (4.0, 0.5)])
def test_slaved_amplitude_counts_as_distance(delay, delta):
    """One neuron, a point mass: the law up to the w with (1 - w)^2 + (2 w e^{-wD})^2 = delta^2."""
    with mp.workdps(30):

        def excess(w):
            return (1 - w) ** 2 + (2 * w * mp.exp(-w * delay)) ** 2 - mp.mpf(delta) ** 2

        w = mp.findroot(excess, (1 - delta, 1), solver="anderson")
        ei = mp.ei(2 * delay - 1) - mp.ei(2 * w * delay - 1)
        exact = float(mp.log(mp.e / (4 * mp.mpf(delay)) * ei))
    law = reduced_plateau(GaussianBump(delay, 1e-9), ExponentialSum([0.0], [1.0]), delta)
    assert law.log_time == pytest.approx(exact, abs=1e-8)
    assert law.log_time < one_neuron_plateau(delay, 1.0, delta).log_time - 1e-4


def test_amplitudes_in_use_change_the_reduced_law_by_the_slaved_part_alone():
    """Each may be taken into the slaved deviation of its rate."""

    def law(amplitude):
        start = ExponentialSum([amplitude, 0.0], [1.0, 2.0])
        return reduced_plateau(start + GaussianBump(60.0, 0.5), start, 0.02).log_time

    assert law(-3.0) == pytest.approx(law(1.0), abs=1e-8)
    assert law(0.2) == pytest.approx(law(1.0), abs=1e-8)


def test_rates_that_meet_after_the_plateau():
    start = ExponentialSum([1.0, 0.0], [1.0, 2.0])
    found = hitting_times(ExponentialSum([1.0], [1.0]) + GaussianBump(20.0, 0.5), start, 0.05)
    assert found.parameters == pytest.approx(3.077934e11, rel=1e-5)
    assert math.isinf(found.loss) and "local minimum" in found.reason and found.steps < 1000


def test_floor_against_its_integral():
    start = ExponentialSum([1.0, 0.0], [1.0, 0.5])
    target = start + GaussianBump(20.0, 0.5)
    with mp.workdps(30):
        kappa = mp.mpf(0.5) - mp.mpf(0.05)

        def integrand(t):
            bump = mp.npdf(t, 20, mp.mpf(0.5))
            return (mp.sqrt(2) + t) * mp.exp(-kappa * t) * bump

        exact = mp.mpf(0.05) / (2 * mp.quad(integrand, mp.linspace(12, 26, 15)))
    assert plateau_floor(target, start, 0.05) == pytest.approx(float(exact), rel=1e-10)
    assert plateau_floor(target, start, 0.05) <= exact
