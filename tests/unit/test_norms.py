"""Norms: exact cases, exact zeros, and what is refused."""

import math
from dataclasses import FrozenInstanceError, dataclass

import numpy as np
import pytest

from curse_lib import norms
from curse_lib.kernels import (
    AiryKernel,
    ExponentialSum,
    GaussianBump,
    MemoryKernel,
    PowerLaw,
    SampledKernel,
    StateSpaceKernel,
    stack,
)
from curse_lib.norms import NormResult, l1_distance, l1_norm, l2_distance, l2_norm

EXPONENTIAL = ExponentialSum([1.0], [1.0])
SAMPLED = SampledKernel([0.0, 1.0, 3.0], [1.0, -1.0, 0.5], tail_rate=2.0)
MATRIX = StateSpaceKernel([[-1.0, 1.0], [0.0, -1.0]], [0.0, 1.0], [1.0, 0.5])
KERNELS = {
    "exponential": EXPONENTIAL,
    "oscillation": ExponentialSum.oscillation(1.0, 0.3, 7.0, 0.2),
    "power": PowerLaw(0.3),
    "bump": GaussianBump(5.0, 0.5),
    "airy": AiryKernel(2.25, 3.0),
    "sampled": SAMPLED,
    "matrix": MATRIX,
    "sum": PowerLaw(0.7) + EXPONENTIAL + GaussianBump(3.0, 0.7) + SAMPLED + AiryKernel(1.0, 2.0),
    "stack": stack([PowerLaw(2.0), EXPONENTIAL, SAMPLED]),
}


def rebuilt(kernel):
    """The same function from new objects, without sharing anything."""
    return -1 * (-1 * kernel)


@pytest.mark.parametrize("norm", [l1_norm, l2_norm])
def test_a_plain_float_by_default_and_a_result_on_request(norm):
    assert type(norm(EXPONENTIAL)) is float
    result = norm(EXPONENTIAL, full_output=True)
    assert isinstance(result, NormResult)
    assert result.value == norm(EXPONENTIAL)
    assert 0 < result.error < 1e-13
    assert 0 < result.evaluations < 2000
    with pytest.raises(FrozenInstanceError):
        result.value = 0.0


@pytest.mark.parametrize("distance", [l1_distance, l2_distance])
@pytest.mark.parametrize("name", KERNELS)
def test_distance_to_itself_is_exactly_zero(distance, name):
    kernel = KERNELS[name]
    assert distance(kernel, kernel) == 0.0
    assert distance(kernel, rebuilt(kernel)) == 0.0


def test_the_order_of_terms_does_not_matter():
    a, b, c = GaussianBump(1.0, 0.3), GaussianBump(2.0, 0.7, 0.1), PowerLaw(1.0)
    assert l1_distance(a + b + c, c + b + a) == 0.0
    forward = ExponentialSum([0.1, 0.2, 0.3], [1.0, 2.0, 3.0])
    backward = ExponentialSum([0.3, 0.2, 0.1], [3.0, 2.0, 1.0])
    assert l1_distance(forward, backward) == 0.0
    assert l1_distance(forward + a, a + backward) == 0.0


def test_zero_amplitudes_and_duplicate_neurons_change_nothing():
    spare = ExponentialSum([1.0, 0.0], [1.0, 0.5])
    double = ExponentialSum([0.5, 0.5], [1.0, 1.0])
    assert l1_distance(spare, EXPONENTIAL) == 0.0
    assert l1_distance(double, EXPONENTIAL) == 0.0
    assert l1_norm(ExponentialSum([0.0], [1.0])) == 0.0
    assert l2_norm(ExponentialSum([0.0], [1.0])) == 0.0
    assert l1_norm(ExponentialSum([], [])) == 0.0
    assert l1_norm(0 * PowerLaw(1.0)) == 0.0


def test_a_jump_and_a_touching_zero():
    box = SampledKernel([0.0, 2.0], [3.0, 3.0])
    assert l1_norm(box) == pytest.approx(6.0, rel=1e-14)
    assert l2_norm(box) == pytest.approx(math.sqrt(18.0), rel=1e-14)
    # (t-1)^2 e^{-t} touches zero: from a 3 x 3 Jordan block.
    jordan = [[-1.0, 1.0, 0.0], [0.0, -1.0, 1.0], [0.0, 0.0, -1.0]]
    touching = StateSpaceKernel(jordan, [0.0, 0.0, 1.0], [2.0, -2.0, 1.0])
    result = l1_norm(touching, full_output=True)
    assert abs(result.value - 1.0) <= result.error < 1e-12


def test_components_add_up():
    kernel = KERNELS["stack"]
    parts = [PowerLaw(2.0), EXPONENTIAL, SAMPLED]
    assert l1_norm(kernel) == pytest.approx(sum(map(l1_norm, parts)), rel=1e-14)
    assert l2_norm(kernel) == pytest.approx(math.hypot(*map(l2_norm, parts)), rel=1e-14)
    assert l1_distance(kernel, stack([PowerLaw(2.0), 2 * EXPONENTIAL, SAMPLED])) == pytest.approx(
        1.0, rel=1e-14
    )


def test_a_shared_term_leaves_the_rest_untouched():
    bump = GaussianBump(100.0, 0.5)
    small = 1e-18 * AiryKernel(2.25, 3.0)
    assert l1_distance(bump + small, bump) == pytest.approx(l1_norm(small), rel=1e-14)


def test_squares_neither_underflow_nor_overflow():
    for factor in (1e-300, 1e-200, 1e200, 1e300):
        assert l2_norm(factor * EXPONENTIAL) == pytest.approx(factor * math.sqrt(0.5), rel=1e-13)


def test_huge_kernels_and_tiny_rates_do_not_overflow():
    assert l1_norm(GaussianBump(9.0, 0.5, 1e300)) == pytest.approx(1e300, rel=1e-13)
    assert l1_norm(ExponentialSum([1.0], [1e-307])) == pytest.approx(1e307, rel=1e-13)


def test_cost_follows_the_number_of_oscillations():
    short = l1_norm(ExponentialSum.oscillation(1.0, 0.1, 10.0), full_output=True)
    long = l1_norm(ExponentialSum.oscillation(1.0, 0.01, 10.0), full_output=True)
    assert long.evaluations < 12 * short.evaluations
    mixed = l1_norm(ExponentialSum(np.ones(64), np.geomspace(1e-12, 1e6, 64)), full_output=True)
    assert mixed.evaluations < 5000


def test_a_kernel_beyond_all_resolution_is_refused(monkeypatch):
    monkeypatch.setattr(norms, "_MOST_PANELS", 100)
    with pytest.raises(ValueError, match="isn't resolved by 100 panels; around lag"):
        l1_norm(ExponentialSum.oscillation(1.0, 0.01, 10.0))


@pytest.mark.parametrize("norm", [l1_norm, l2_norm])
@pytest.mark.parametrize("wrong", [np.exp, [1.0, 2.0], np.ones(3), None, 3.0])
def test_what_is_not_a_kernel_is_refused_with_the_way_out(norm, wrong):
    with pytest.raises(ValueError, match=r"rho must be a MemoryKernel; got .*SampledKernel"):
        norm(wrong)


@pytest.mark.parametrize("distance", [l1_distance, l2_distance])
def test_a_distance_needs_two_kernels_of_one_dimension(distance):
    with pytest.raises(ValueError, match="other must be a MemoryKernel; got function"):
        distance(EXPONENTIAL, lambda t: t)
    with pytest.raises(ValueError, match=r"same input_dim; got 1 and 3\. Use stack"):
        distance(EXPONENTIAL, KERNELS["stack"])


@dataclass(frozen=True, eq=False)
class HandWritten(MemoryKernel):
    """A kernel of somebody else: 1/(1+t)^power on [0, inf), with what it claims as its tail."""

    power: float
    hole: float = -1.0

    def _evaluate(self, t):
        value = (1 + t) ** -self.power
        value[np.abs(t - self.hole) < 1] = np.nan
        return value, np.abs(value)

    def _tail(self, t):
        return (
            (1 + t) ** (1 - self.power) / (self.power - 1) if self.power > 1 else np.inf * (1 + t)
        )

    def _breakpoints(self):
        return np.array([0.0, 1.0, 2.0, 4.0, 8.0])

    def _scaled(self, factor):
        raise NotImplementedError

    _step = _derivative = _laplace = _scaled


def test_a_kernel_that_is_not_integrable_is_refused():
    with pytest.raises(ValueError, match=r"isn't integrable: its integral over \[0, inf\) is inf"):
        l1_norm(HandWritten(1.0))
    with pytest.raises(ValueError, match="omega must be > 0"):
        l1_norm(PowerLaw(0.0))
    with pytest.raises(ValueError, match="positive real part"):
        l1_norm(ExponentialSum([1.0], [-0.1]))


def test_a_kernel_with_a_value_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match=r"value at t = .* isn't finite"):
        l1_norm(HandWritten(2.0, hole=3.0))


def test_the_tail_of_an_unknown_family_counts():
    assert l1_norm(HandWritten(3.0)) == pytest.approx(0.5, rel=1e-13)
    result = l2_norm(HandWritten(3.0), full_output=True)
    assert abs(result.value - math.sqrt(0.2)) <= result.error < 1e-3
