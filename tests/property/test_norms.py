"""Norms: what must hold for every kernel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_lib.kernels import (
    AiryKernel,
    ExponentialSum,
    GaussianBump,
    PowerLaw,
    SampledKernel,
    stack,
)
from curse_lib.norms import l1_distance, l1_norm, l2_distance, l2_norm

settings.register_profile("norms", max_examples=40, deadline=None, derandomize=True)
settings.load_profile("norms")

amplitude = st.floats(-5, 5).filter(lambda x: x == 0 or abs(x) > 1e-6)
positive = st.floats(0.05, 20)


@st.composite
def exponential_sums(draw):
    size = draw(st.integers(1, 6))
    rates = draw(st.lists(st.floats(1e-3, 1e3), min_size=size, max_size=size))
    kernel = ExponentialSum(draw(st.lists(amplitude, min_size=size, max_size=size)), rates)
    if draw(st.booleans()):
        kernel += ExponentialSum.oscillation(draw(amplitude), draw(positive), draw(positive))
    return kernel


@st.composite
def sampled(draw):
    size = draw(st.integers(2, 12))
    steps = draw(st.lists(st.floats(0.01, 3), min_size=size - 1, max_size=size - 1))
    values = draw(st.lists(amplitude, min_size=size, max_size=size))
    rate = draw(st.one_of(st.none(), positive))
    return SampledKernel(np.append(0.0, np.cumsum(steps)), values, rate)


scalable = st.one_of(
    exponential_sums(),
    sampled(),
    st.builds(GaussianBump, st.floats(0, 30), st.floats(0.05, 3), amplitude),
    st.builds(AiryKernel, st.floats(0.2, 3), st.floats(0, 8), amplitude),
)
elementary = st.one_of(scalable, st.builds(PowerLaw, st.floats(0.02, 5), amplitude))
kernels = st.one_of(elementary, st.builds(lambda a, b: a + b, elementary, elementary))


def scaled_in_time(kernel, factor):
    """rho_l(t) = l rho(l t), family by family."""
    if isinstance(kernel, ExponentialSum):
        return ExponentialSum(factor * kernel.amplitudes, factor * kernel.rates)
    if isinstance(kernel, GaussianBump):
        return GaussianBump(kernel.delay / factor, kernel.width / factor, kernel.mass)
    if isinstance(kernel, AiryKernel):
        return AiryKernel(kernel.scale * factor, kernel.delay / factor, kernel.amplitude * factor)
    rate = None if kernel.tail_rate is None else kernel.tail_rate * factor
    return SampledKernel(kernel.times / factor, factor * kernel.values, rate)


@pytest.mark.parametrize("distance", [l1_distance, l2_distance])
@given(a=kernels, b=kernels, c=kernels)
def test_triangle_inequality(distance, a, b, c):
    ab, bc, ac = (distance(x, y, full_output=True) for x, y in ((a, b), (b, c), (a, c)))
    slack = ab.error + bc.error + ac.error
    assert ac.value <= ab.value + bc.value + slack
    assert ac.value >= abs(ab.value - bc.value) - slack


@pytest.mark.parametrize("distance", [l1_distance, l2_distance])
@given(a=kernels, b=kernels)
def test_symmetry_and_zero(distance, a, b):
    forward, back = distance(a, b, full_output=True), distance(b, a, full_output=True)
    assert abs(forward.value - back.value) <= forward.error + back.error
    assert distance(a + b, b + a) == 0.0


@pytest.mark.parametrize("norm", [l1_norm, l2_norm])
@given(kernel=kernels, factor=st.floats(-1e6, 1e6).filter(lambda x: abs(x) > 1e-6))
def test_homogeneity(norm, kernel, factor):
    one, many = norm(kernel, full_output=True), norm(factor * kernel, full_output=True)
    assert abs(many.value - abs(factor) * one.value) <= many.error + abs(factor) * one.error


@given(kernel=scalable, exponent=st.integers(-20, 20))
def test_the_unit_of_time_does_not_matter(kernel, exponent):
    """L1 is invariant under rho_l(t) = l rho(l t); L2 gains the root of l."""
    factor = 2.0**exponent  # exact, so that both kernels are the same function
    other = scaled_in_time(kernel, factor)
    one, two = l1_norm(kernel, full_output=True), l1_norm(other, full_output=True)
    assert abs(one.value - two.value) <= one.error + two.error
    one, two = l2_norm(kernel, full_output=True), l2_norm(other, full_output=True)
    root = factor**0.5
    assert abs(root * one.value - two.value) <= 1.01 * (root * one.error + two.error)


@given(kernel=kernels, lags=st.lists(st.floats(0, 100), min_size=1, max_size=30))
def test_the_norm_is_the_variation_of_the_step_response(kernel, lags):
    """No grid shows more variation than the norm, and a fine one shows nearly all of it."""
    result = l1_norm(kernel, full_output=True)

    def variation(grid):
        grid = np.unique(np.append(grid, 0.0))
        between = np.abs(np.diff(kernel.step_response(grid))).sum()
        return between + abs(kernel.tail(grid[-1]))

    slack = result.error + 1e-11 * (1 + sum(l1_norm(term) for term in kernel.terms))
    assert abs(kernel.tail(0.0)) <= result.value + slack
    assert variation(lags) <= result.value + slack
    fine = np.concatenate([np.linspace(0, 120, 24001), np.geomspace(1e-6, 1e6, 6001)])
    assert result.value - variation(fine) <= 2e-3 * sum(l1_norm(term) for term in kernel.terms)


@given(parts=st.lists(kernels, min_size=1, max_size=3))
def test_components_add_up(parts):
    whole = l1_norm(stack(parts), full_output=True)
    single = [l1_norm(part, full_output=True) for part in parts]
    slack = whole.error + sum(r.error for r in single)
    assert abs(whole.value - sum(r.value for r in single)) <= slack


@given(kernel=kernels)
def test_the_estimate_promises_nine_digits(kernel):
    for norm in (l1_norm, l2_norm):
        result = norm(kernel, full_output=True)
        assert result.error <= 1e-9 * result.value
