"""Hankel singular values and floors: what must hold for every kernel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_lib import (
    ExponentialSum,
    GaussianBump,
    PowerLaw,
    approximate,
    hankel_singular_values,
    l1_norm,
    width_floor,
)

settings.register_profile("hankel", max_examples=15, deadline=None, derandomize=True)
settings.load_profile("hankel")

rates = st.lists(st.floats(-3, 3), min_size=2, max_size=8, unique_by=lambda x: round(x, 2))
omega = st.floats(0.3, 3)


@st.composite
def sums(draw, signed=False):
    log = np.array(draw(rates))
    size = draw(st.lists(st.floats(0.1, 10), min_size=log.size, max_size=log.size))
    sign = draw(st.lists(st.sampled_from([-1.0, 1.0] if signed else [1.0]), min_size=log.size))
    return ExponentialSum(np.array(size) * np.resize(sign, log.size), np.exp(log))


@given(sums())
def test_half_the_norm_of_a_completely_monotone_sum_is_the_trace(rho):
    values = hankel_singular_values(rho, rho.width)
    assert 2 * values.sum() == pytest.approx(l1_norm(rho), rel=1e-12)


@given(omega)
def test_half_the_norm_of_a_power_law_is_more_than_every_part_of_the_trace(w):
    values = hankel_singular_values(PowerLaw(w), 40)
    assert 2 * values.sum() <= (1 + 1e-12) / w
    # The values fall like exp(-pi sqrt(2 w k)), so the last of them bound the rest.
    assert 2 * values.sum() >= (1 - 60 * values[-1] * w * 40) / w


@given(sums(signed=True), st.floats(1e-3, 1e3), st.floats(1e-100, 1e100))
def test_units_of_time_and_of_the_kernel(rho, scale, factor):
    ours = hankel_singular_values(rho, rho.width, full_output=True)
    other = ExponentialSum(factor * scale * rho.amplitudes, scale * rho.rates)
    theirs = hankel_singular_values(other, rho.width, full_output=True)
    assert np.all(np.abs(theirs.values / factor - ours.values) <= ours.errors + 1e-300)


@given(sums(signed=True), st.integers(0, 8))
def test_floors_are_proven_and_below_the_values(rho, m):
    result = hankel_singular_values(rho, m + 1, full_output=True)
    assert np.all((result.lower >= 0) & (result.lower <= result.values))
    floor = width_floor(rho, m, full_output=True)
    low, high = width_floor(rho, m, full_output=True, rigorous=True).enclosure
    # Below 1e-11 of the norm mixed signs leave nothing to prove.
    assert floor.hankel <= floor.value <= high + 1e-13 * result.values[0]
    assert low <= high and low >= floor.value * (1 - 1e-9) - 1e-11 * result.values[0]
    assert floor.value <= l1_norm(rho) * (1 + 1e-12)


@given(st.one_of(sums(), omega.map(PowerLaw)), st.integers(1, 6))
def test_no_network_gets_below_the_floor(rho, m):
    floor = width_floor(rho, m)
    assert floor <= approximate(rho, m, method="geometric").error * (1 + 1e-9)
    assert floor <= width_floor(rho, m - 1) * (1 + 1e-9)


@given(st.floats(1, 6), st.floats(0.5, 1), st.integers(1, 6))
def test_no_network_gets_below_the_floor_of_a_bump(delay, width, m):
    rho = GaussianBump(delay, width)
    assert width_floor(rho, m) <= approximate(rho, m).error * (1 + 1e-9)


@given(sums(signed=True), sums(signed=True))
def test_values_of_a_sum(rho, other):
    # Weyl: sigma_{i+j-1}(A + B) <= sigma_i(A) + sigma_j(B).
    a, b, c = (hankel_singular_values(k, 9) for k in (rho, other, rho + other))
    for i in range(5):
        for j in range(5):
            assert c[i + j] <= (a[i] + b[j]) * (1 + 1e-10) + 1e-13 * (a[0] + b[0])


@given(sums(), st.integers(0, 5), st.floats(1e-50, 1e50))
def test_floors_know_no_unit_of_time(rho, m, scale):
    other = ExponentialSum(scale * rho.amplitudes, scale * rho.rates)
    ours, theirs = (width_floor(k, m, full_output=True) for k in (rho, other))
    assert theirs.hankel == pytest.approx(ours.hankel, rel=1e-9, abs=1e-14 * l1_norm(rho))
    # The search runs on a grid that is rounded otherwise.
    assert theirs.value == pytest.approx(ours.value, rel=1e-4, abs=1e-11 * l1_norm(rho))


@given(omega)
def test_the_alternation_floor_is_sharper_and_falls_with_the_width(w):
    rho = PowerLaw(w)
    results = [width_floor(rho, m, full_output=True) for m in range(10)]
    ratios = [r.alternation / r.hankel for r in results]
    assert all(1.3 < ratio for ratio in ratios) and ratios[9] < 2
    assert np.all(np.diff([r.value for r in results]) < 0) and np.all(np.diff(ratios) < 0)
