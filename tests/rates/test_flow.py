"""How plateaus grow with the delay: fitted exponents."""

import numpy as np
import pytest

from curse_lib import ExponentialSum, GaussianBump, hitting_times, plateau_floor, reduced_plateau


def slope(delays, logs):
    """Exponent c_0 of tau ~ omega^2 e^{c_0/omega}, the factor imposed."""
    return np.polyfit(delays, logs + 2 * np.log(delays), 1)[0]


@pytest.mark.parametrize("spare", [0.5, 2.0])
def test_a_spare_neuron_doubles_the_smaller_rate(spare):
    start = ExponentialSum([1.0, 0.0], [1.0, spare])
    delays = np.array([30.0, 40.0, 50.0])
    times, floors, laws = [], [], []
    for delay in delays:
        target = ExponentialSum([1.0], [1.0]) + GaussianBump(delay, 0.5)
        times.append(hitting_times(target, start, 0.02, parameters_only=True).parameters)
        floors.append(plateau_floor(target, start, 0.02))
        laws.append(reduced_plateau(target, start, 0.02).log_time)
    exponent = 2 * min(spare, 1.0)
    assert slope(delays, np.log(times)) == pytest.approx(exponent, rel=0.02)
    assert slope(delays, np.array(laws)) == pytest.approx(exponent, rel=0.02)
    assert np.all(np.array(floors) <= times)


def test_the_exponent_of_three_spare_neurons_is_that_of_the_slowest():
    start = ExponentialSum([1.0, 0.0, 0.0, 0.0], [1.0, 0.5, 0.7, 2.0])
    delays = np.array([120.0, 160.0, 200.0])
    laws = [
        reduced_plateau(ExponentialSum([1.0], [1.0]) + GaussianBump(d, 0.5), start, 0.02).log_time
        for d in delays
    ]
    assert slope(delays, np.array(laws)) == pytest.approx(1.0, rel=0.02)


def test_the_cost_grows_like_the_logarithm_of_the_time():
    def steps(delay):
        start = ExponentialSum([0.0], [1.0])
        return hitting_times(GaussianBump(delay, 0.5), start, 0.05, parameters_only=True).steps

    assert steps(80.0) < 2.5 * steps(20.0) < 1000
