"""Hankel singular values and width floors in cases that are exact."""

import sys

import numpy as np
import pytest

from curse_lib import (
    AiryKernel,
    ExponentialSum,
    GammaKernel,
    GaussianBump,
    LegendreKernel,
    PowerLaw,
    SampledKernel,
    StateSpaceKernel,
    hankel,
    hankel_singular_values,
    l1_norm,
    stack,
    width_floor,
)


def test_one_exponential_has_one_value():
    assert hankel_singular_values(ExponentialSum([-3.0], [2.0]), 3) == pytest.approx(
        [0.75, 0, 0], rel=1e-15, abs=0
    )


def test_values_come_as_many_as_asked_for_and_cannot_be_changed():
    values = hankel_singular_values(PowerLaw(1.0), 4)
    assert values.shape == (4,) and values.dtype == float and np.all(np.diff(values) < 0)
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 1.0


@pytest.mark.parametrize(
    "rho, rank",
    [
        (ExponentialSum(np.ones(5), [1.0, 2.0, 2.0, 3.0, 1.0]), 3),
        (ExponentialSum([1.0, -1.0, 0.0], [1.0, 2.0, 5.0]), 2),
        (ExponentialSum([1.0, -1.0], [1.0, 1.0]), 0),
        (ExponentialSum(np.zeros(0), np.zeros(0)), 0),
        (ExponentialSum.oscillation(1.0, 0.5, 3.0) + ExponentialSum([2.0], [1.0]), 3),
        (ExponentialSum([[1.0, 2.0], [0.0, 1.0]], [1.0, 2.0]), 2),
        (stack([ExponentialSum([1.0], [1.0]), ExponentialSum([2.0], [1.0])]), 1),
        (0.0 * PowerLaw(1.0) + ExponentialSum([1.0], [1.0]), 1),
    ],
)
def test_the_rank_is_the_number_of_neurons_that_count(rho, rank):
    values = hankel_singular_values(rho, 7)
    scale = max(values[0], 1.0)
    assert np.all(values[:rank] > 1e-4 * scale) and np.all(values[rank:] <= 1e-15 * scale)
    assert width_floor(rho, max(rank, 1), rigorous=True) <= 1e-15 * scale


def test_two_inputs_of_one_shape_add_like_the_sides_of_a_triangle():
    one = hankel_singular_values(PowerLaw(1.0), 6)
    both = hankel_singular_values(stack([3.0 * PowerLaw(1.0), -4.0 * PowerLaw(1.0)]), 6)
    assert both == pytest.approx(5 * one, rel=1e-10)


def test_the_floor_of_width_zero_is_the_norm():
    for rho in (PowerLaw(0.5), ExponentialSum([1.0, 2.0], [3.0, 0.1]), -2.0 * PowerLaw(1.0)):
        floor = width_floor(rho, 0, rigorous=True)
        assert floor <= l1_norm(rho) * (1 + 1e-15) and floor == pytest.approx(l1_norm(rho))


def test_one_switch_for_the_power_law_one_is_known_in_closed_form():
    # F(s) = 1/(1+s) - 2/(1+s+x): its minimum is -(3 - sqrt 8)/x, and F(0) = (x-1)/(x+1).
    c = 3 - np.sqrt(8.0)
    x = ((1 + c) + np.sqrt((1 + c) ** 2 + 4 * c)) / 2
    found = width_floor(PowerLaw(1.0), 1, full_output=True)
    assert found.alternation == pytest.approx((x - 1) / (x + 1), rel=1e-3)
    assert found.alternation <= (x - 1) / (x + 1)
    assert found.value == found.alternation > found.hankel


@pytest.mark.parametrize(
    "omega, tolerance, hankel, alternation",
    [(1.0, 1e-3, 5, 6), (0.5, 1e-2, 5, 6), (0.25, 1e-2, 9, 11)],
)
def test_fewer_neurons_than_this_miss_the_tolerance(omega, tolerance, hankel, alternation):
    results = [width_floor(PowerLaw(omega), m, full_output=True) for m in range(alternation + 1)]
    assert next(m for m, r in enumerate(results) if r.hankel <= tolerance) == hankel
    assert next(m for m, r in enumerate(results) if r.value <= tolerance) == alternation


def test_the_certificate_can_be_checked_by_hand():
    rho, found = PowerLaw(0.5), width_floor(PowerLaw(0.5), 5, full_output=True)
    signs = 2.0 * (-1) ** np.arange(1, 6)
    values = [rho.tail(s) + signs @ rho.tail(s + found.switches) for s in found.points]
    assert np.all(np.diff(found.switches) > 0) and np.all(np.diff(found.points) > 0)
    assert np.array_equal(np.sign(values), (-1.0) ** np.arange(6))
    assert found.alternation <= np.abs(values).min() <= found.alternation * (1 + 1e-9)


@pytest.mark.parametrize(
    "rho, width, tight",
    [
        (PowerLaw(0.5), 5, 1e-14),
        (-1e200 * PowerLaw(1.0) - 1e200 * PowerLaw(0.3), 3, 1e-14),
        (ExponentialSum(np.ones(8), np.geomspace(1e-3, 1e3, 8)), 4, 1e-14),
        (ExponentialSum([1.0, 2.0], [1e-58, 3e-58]), 1, 1e-14),
        (ExponentialSum([1.0, -1.0], [1.0, 3.0]), 1, 1e-13),
        (ExponentialSum([1e-200, -1e-200], [1e58, 3e58]), 1, 1e-13),
        (ExponentialSum.oscillation(1.0, 0.5, 3.0) + ExponentialSum([2.0], [1.0]), 2, 1e-13),
        (ExponentialSum([[1.0, 2.0], [0.0, 1.0]], [1.0, 2.0]), 1, 1e-13),
        (GaussianBump(5.0, 0.5), 10, 1e-8),
        (AiryKernel(1.0, 5.0), 3, 1e-8),
        (GammaKernel(0.0, 2, 1.0) - ExponentialSum([1.0], [2.0]), 1, 1e-8),
        (LegendreKernel([1.0, 0.5, 0.2], 0.3), 1, 1e-8),
        (stack([GaussianBump(5.0, 0.5), GaussianBump(3.0, 0.5)]), 5, 1e-8),
    ],
)
def test_a_rigorous_floor_comes_with_a_tight_enclosure(rho, width, tight):
    found = width_floor(rho, width, full_output=True, rigorous=True)
    low, high = found.enclosure
    assert 0 < low == found.value == width_floor(rho, width, rigorous=True)
    assert high * (1 - tight) <= low <= high
    # What floats prove is below it, by not much.
    default = width_floor(rho, width)
    assert (1 - 1e-9) * low <= default <= high
    assert width_floor(rho, width, full_output=True).enclosure is None


@pytest.mark.parametrize(
    "rho, reason",
    [
        (GammaKernel(2.0, 1, 1.0), "GammaKernel has a kink"),
        (PowerLaw(1.0) - PowerLaw(2.0), "PowerLaw is not among"),
        (stack([PowerLaw(1.0), PowerLaw(2.0)]), "PowerLaw is not among"),
        (SampledKernel([0.0, 1.0], [1.0, 0.0]), "SampledKernel has a kink"),
        (StateSpaceKernel([[-1.0]], [1.0], [1.0]), "StateSpaceKernel is not among"),
        (PowerLaw(9.0), "above 1e-12 of the norm"),
    ],
)
def test_where_nothing_is_proven_the_reason_is_given(rho, reason):
    assert width_floor(rho, 24) >= 0
    with pytest.raises(ValueError, match=f"no rigorous floor.*{reason}"):
        width_floor(rho, 24, rigorous=True)


def test_a_proof_needs_mpmath(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpmath", None)
    with pytest.raises(ImportError, match="pip install mpmath"):
        width_floor(PowerLaw(1.0), 1, rigorous=True)


def test_methods_and_accuracies_are_named():
    def facts(rho):
        result = hankel_singular_values(rho, 5, full_output=True)
        return result.method, result.relative

    assert facts(ExponentialSum(np.ones(5), [1.0, 2.0, 3.0, 4.0, 5.0])) == ("Cauchy", True)
    assert facts(PowerLaw(0.5) + ExponentialSum([1.0], [1.0])) == ("trapezoid", True)
    assert facts(GaussianBump(2.0, 0.5)) == ("quadrature", True)
    assert facts(GammaKernel(2.0, 1, 1.0)) == ("quadrature", False)


def test_kinks_cost_accuracy_and_the_error_says_so():
    # A chain of leaky integrators without delay is smooth; by samples it is not.
    t = np.linspace(0, 40, 161)
    smooth = hankel_singular_values(StateSpaceKernel([[-1.0, 1.0], [0.0, -1.0]], [0, 1], [1, 0]), 3)
    assert smooth[:2] == pytest.approx([(np.sqrt(2) + 1) / 4, (np.sqrt(2) - 1) / 4], rel=1e-12)
    sampled = SampledKernel(t, np.exp(-t))
    result = hankel_singular_values(sampled, 1, full_output=True)
    assert abs(result.values[0] - 0.5) <= l1_norm(sampled - ExponentialSum([1.0], [1.0])) + 1e-5
    assert 1e-10 < result.errors[0] < 1e-3


@pytest.mark.parametrize("call", [hankel_singular_values, width_floor])
def test_wrong_input_is_refused(call):
    with pytest.raises(ValueError, match="MemoryKernel"):
        call(np.exp, 3)
    for count in (-1, 2.0, True, "3"):
        with pytest.raises(ValueError, match="whole number"):
            call(PowerLaw(1.0), count)
    with pytest.raises(ValueError, match="count must be a whole number >= 1; got 0"):
        hankel_singular_values(PowerLaw(1.0), 0)


def test_the_distance_to_polynomials_counts_for_every_pair_of_panels(monkeypatch):
    # Bounds of 1 on all panels: 2h (sum over N^2 pairs)^(1/2) = 2hN.
    monkeypatch.setattr(
        hankel, "_remainder", lambda part, c, h: (np.ones(c.size), np.zeros(c.size))
    )
    rho = GaussianBump(5.0, 0.5)
    _, error = hankel._compression(rho)
    assert error == pytest.approx(1.01 * 2 * rho._breakpoints()[-1], rel=1e-9)


def test_rounding_proves_nothing():
    rho = GammaKernel(0.0, 0, 1.0)  # of rank 1
    result = hankel_singular_values(rho, 5, full_output=True)
    assert np.all(result.values[1:] > 0) and np.all(result.lower[1:] == 0)
    assert result.lower[0] <= 0.5


def test_wrong_decompositions_prove_nothing_wrong(monkeypatch):
    bump, mixed = GaussianBump(5.0, 0.5), ExponentialSum([1.0, -1.0], [1.0, 3.0])
    exact = [hankel_singular_values(rho, 2)[1] for rho in (bump, mixed)]
    svd, jacobi = np.linalg.svd, hankel._jacobi

    def larger(matrix, **options):
        U, values, V = svd(matrix, **options)
        return U, 1.001 * values, V

    def skewed(matrix, accuracy):
        values, U, V = jacobi(matrix, accuracy)
        return 1.01 * values, 1.01 * U, V

    monkeypatch.setattr(hankel, "_jacobi", skewed)
    assert width_floor(mixed, 1) <= exact[1] * (1 + 1e-12)
    assert width_floor(mixed, 1, rigorous=True) <= exact[1] * (1 + 1e-12)
    monkeypatch.setattr(np.linalg, "svd", larger)
    assert width_floor(bump, 1, rigorous=True) <= exact[0]


def test_time_scales_far_apart_have_an_alternation():
    rho = PowerLaw(0.3) + ExponentialSum([2.0], [0.05])
    for width in (2, 3):
        found = width_floor(rho, width, full_output=True, rigorous=True)
        assert found.value > 1.5 * found.hankel


def test_long_memories_of_mixed_signs_are_close_to_those_of_one():
    rho = PowerLaw(0.1) - ExponentialSum([1.0], [1.0])
    values = hankel_singular_values(rho, 3)
    law = hankel_singular_values(PowerLaw(0.1), 3)
    assert np.all(np.abs(values - law) <= 0.5) and values[0] < law[0]
