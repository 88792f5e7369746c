"""Rates of convergence: the theory's slopes, fitted."""

import numpy as np
import pytest

from curse_lib import ExponentialSum, GammaKernel, PowerLaw, approximate

WIDTHS = np.array([8, 11, 16, 23, 32, 45, 64])


@pytest.mark.parametrize("alpha", [1, 2, 3])
def test_a_kink_of_class_alpha_gives_alpha_plus_two(alpha):
    target = ExponentialSum([1.0], [1.0]) + GammaKernel(1.0, alpha + 1, 2.0, 2.0)
    found = [approximate(target, m, method="jackson", alpha=alpha, beta=0.9) for m in WIDTHS]
    slope = -np.polyfit(np.log(WIDTHS), np.log([a.error for a in found]), 1)[0]
    bound = -np.polyfit(np.log(WIDTHS), np.log([a.theorem_bound for a in found]), 1)[0]
    assert slope == pytest.approx(alpha + 2, abs=0.35)
    assert bound == pytest.approx(alpha, abs=0.2)


@pytest.mark.parametrize("omega", [0.5, 1.0])
def test_geometric_rates_converge_like_the_exponential_of_a_root(omega):
    widths = np.array([6, 9, 12, 16, 20])
    errors = [approximate(PowerLaw(omega), m, method="geometric").error for m in widths]
    # log error against sqrt(m) is a straight line; its slope for geometric rates is pi sqrt(omega)
    # in the limit, and smaller before.
    slopes = -np.diff(np.log(errors)) / np.diff(np.sqrt(widths))
    assert np.all((slopes > 0.7 * np.pi * np.sqrt(omega)) & (slopes < 1.5 * np.pi * np.sqrt(omega)))


def test_uniform_rates_are_slower_on_a_power_law():
    uniform = [approximate(PowerLaw(0.5), m, method="uniform").error for m in (8, 32)]
    geometric = [approximate(PowerLaw(0.5), m, method="geometric").error for m in (8, 32)]
    assert geometric[1] / geometric[0] < 0.01 < 0.1 < uniform[1] / uniform[0]
