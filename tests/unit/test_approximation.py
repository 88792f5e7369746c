"""Approximation: exact cases, networks, and what wrong input is told."""

import math

import numpy as np
import pytest
from scipy import special

from curse_lib import (
    AiryKernel,
    ExponentialSum,
    GammaKernel,
    GaussianBump,
    LegendreKernel,
    LinearFunctional,
    PowerLaw,
    SampledKernel,
    StateSpaceKernel,
    approximate,
    approximation,
    decay_constants,
    jackson_bound,
    l1_distance,
    l1_norm,
    stack,
)

TIMES = np.linspace(0, 12, 97)
ONE = ExponentialSum([2.0], [0.7])
KINK = ExponentialSum([1.0], [1.0]) + GammaKernel(delay=1.0, order=2, rate=2.0)


# -- exact cases


def test_one_exponential_is_one_neuron():
    found = approximate(ONE, 1)
    assert found.method == "exact" and found.width == 1
    assert found.error == 0 and found.bound < 1e-12
    fitted = approximate(ONE, 1, method="geometric")
    assert fitted.error < 1e-15 and np.allclose(fitted.rates, 0.7)


def test_a_network_narrower_than_asked_for_is_returned_as_it_is():
    target = ExponentialSum.oscillation(1.0, 0.3, 2.0)
    assert approximate(target, 5).kernel is target
    assert approximate(target, tolerance=1e-9).width == 2


def test_two_rates_are_a_geometric_sequence():
    target = ExponentialSum([1.0, -2.0], [1.0, 5.0])
    assert approximate(target, 2, method="geometric").error < 1e-14


def test_jackson_uses_the_rates_of_the_theorem():
    found = approximate(KINK, 7, method="jackson", alpha=1, beta=0.8)
    assert np.allclose(found.rates, 0.4 * np.arange(1, 8), rtol=1e-15)
    assert found.method == "jackson" and found.width == 7


@pytest.mark.parametrize("j", [1, 3, 6])
def test_jackson_reproduces_an_exponential_among_its_rates(j):
    beta = 0.3 / j  # rates are beta/2, beta, ...; one of them is 0.3 j / j
    target = ExponentialSum([1.5], [beta / 2 * (j + 2)])
    found = approximate(target, j + 2, method="jackson", alpha=1, beta=beta)
    assert found.error < 1e-12 * l1_norm(target)


def test_given_rates_get_the_right_amplitudes():
    target = ExponentialSum([[1.0, 2.0], [-3.0, 0.5]], [0.5, 3.0])
    found = approximate(target, rates=[3.0, 0.5])
    assert np.allclose(found.kernel.amplitudes, target.amplitudes[::-1], rtol=1e-10)
    assert found.method == "given" and found.theorem_bound is None


# -- the two networks


@pytest.mark.parametrize("inputs", [1, 3])
def test_diagonal_network_and_cascade_have_the_kernel(inputs):
    target = stack([KINK, ONE, GaussianBump(2.0, 0.5)][:inputs])
    found = approximate(target, 6, method="jackson", alpha=1, beta=0.6)
    size = np.abs(found.kernel(TIMES)).max()
    for network in (found.rnn, found.cascade):
        assert network.width == 6 and network.input_dim == inputs
        assert np.abs(network.kernel()(TIMES) - found.kernel(TIMES)).max() < 1e-11 * size


def test_cascade_of_geometric_rates():
    found = approximate(PowerLaw(0.5), 10, method="geometric")
    gap = found.cascade.kernel()(TIMES) - found.kernel(TIMES)
    assert np.abs(gap).max() < 1e-12


def test_cascade_is_dissipative_and_its_basis_orthonormal():
    cascade = approximate(KINK, 9, method="jackson", alpha=1, beta=0.6).cascade
    assert np.allclose(cascade.W + cascade.W.T, -np.outer(cascade.c, cascade.c), rtol=1e-14)
    # The second basis function of rates b, 2b is sqrt(4b) u P_1^(0,1)(2u - 1).
    b = 0.3
    second = StateSpaceKernel(cascade.W, np.eye(9)[1], cascade.c)
    u = np.exp(-b * TIMES)
    exact = np.sqrt(4 * b) * u * special.eval_jacobi(1, 0, 1, 2 * u - 1)
    assert np.allclose(second(TIMES), exact, atol=1e-13)


def test_the_diagonal_network_refuses_where_doubles_end_and_the_cascade_goes_on():
    found = approximate(KINK, 64, method="jackson", alpha=1, beta=0.9)
    assert found.rounding > 1e6 * found.error and not found.realisable
    with pytest.raises(ValueError, match=r"width 64 isn't realisable.*cascade"):
        _ = found.rnn
    rng = np.random.default_rng(1)
    x = rng.standard_normal(400)
    gap = found.cascade.simulate(x, 0.05) - LinearFunctional(found.kernel)(x, 0.05)
    assert np.abs(gap).max() < 1e-11


def test_amplitudes_beyond_the_range_of_doubles_count_as_lost():
    found = approximate(KINK, 512, method="jackson", alpha=1, beta=0.9)
    assert found.rounding == math.inf and not found.realisable


def test_complex_rates_have_no_cascade():
    found = approximate(ExponentialSum.oscillation(1.0, 0.5, 2.0), 2)
    assert found.rnn.width == 2
    with pytest.raises(ValueError, match="real rates"):
        _ = found.cascade


# -- the theorem's constants


@pytest.mark.parametrize("alpha", [1, 2, 3, 6])
def test_gamma_of_an_exponential(alpha):
    # sup e^(t/2) e^-t / (1/2)^k = 2^k, largest at k = alpha + 1
    gamma = decay_constants(ExponentialSum([1.0], [1.0]), alpha, 0.5)
    assert gamma == pytest.approx(2.0 ** (alpha + 1), rel=2e-6)
    assert gamma >= 2.0 ** (alpha + 1)


def test_the_constant_is_the_root_of_a_factorial():
    for alpha, m in [(1, 1), (1, 5), (2, 7), (3, 40)]:
        result = jackson_bound(KINK if alpha == 1 else ONE, alpha, 0.4, m, full_output=True)
        last = math.sqrt(
            math.factorial(2 * alpha + 1) * math.factorial(m - alpha) / math.factorial(m + alpha)
        )
        assert result.constant <= last * (1 + 1e-12)
        assert result.value == pytest.approx(result.gamma * result.constant, rel=1e-14)
    assert jackson_bound(ONE, 3, 0.4, 40, True).constant == pytest.approx(last, rel=1e-12)


def test_the_bound_counts_inputs():
    one = jackson_bound(KINK, 1, 0.8, 12)
    assert jackson_bound(stack([KINK, KINK, KINK]), 1, 0.8, 12) == pytest.approx(3 * one)


def test_a_silent_slow_neuron_does_not_count():
    target = ExponentialSum([1.0, 0.0], [1.0, 0.1])
    assert decay_constants(target, 1, 0.5) == pytest.approx(4.0, rel=2e-6)


# -- wrong input


@pytest.mark.parametrize(
    ("kernel", "alpha", "beta", "message"),
    [
        (PowerLaw(0.5), 1, 0.1, "power law decays more slowly than every exponential"),
        (ONE + PowerLaw(3.0), 1, 0.1, "power law"),
        (ONE, 1, 0.7, "beta must be below 0.7.*got 0.7"),
        (ONE, 1, 1.0, "beta must be below 0.7"),
        (stack([ONE, ExponentialSum([1.0], [0.2])]), 1, 0.3, "beta must be below 0.2"),
        (KINK, 2, 0.5, "alpha must be at most 1"),
        (SampledKernel([0, 1.0], [1.0, 0.0]), 1, 0.5, "alpha must be at most 0"),
        (ONE, 0, 0.5, "alpha must be a whole number >= 1; got 0"),
        (ONE, 1.5, 0.5, "alpha must be a whole number >= 1"),
        (ONE, 1, -0.5, "beta must be a positive finite number"),
        (GaussianBump(100.0, 1.0), 1, 7.0, "too large"),
        (AiryKernel(1.0, 3.0), 1, 6.0, "too large"),
        (LegendreKernel([1.0], 1.0), 1, 0.5, "LegendreKernel"),
        (3.0, 1, 0.5, "must be a MemoryKernel"),
    ],
)
def test_hypotheses_that_fail_are_named(kernel, alpha, beta, message):
    with pytest.raises(ValueError, match=message):
        decay_constants(kernel, alpha, beta)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "exactly one of width, tolerance and rates; got none"),
        ({"width": 3, "tolerance": 0.1}, "got width and tolerance"),
        ({"width": 0}, "width must be a whole number >= 1; got 0"),
        ({"width": 2.0}, "width must be a whole number >= 1"),
        ({"tolerance": 0.0}, "tolerance must be a positive"),
        ({"width": 3, "method": "best"}, "method must be one of jackson, uniform, geometric"),
        ({"width": 3, "method": "jackson"}, "needs both"),
        ({"width": 3, "method": "jackson", "alpha": 1}, "needs both"),
        ({"width": 3, "alpha": 1, "beta": 0.5}, "belong to method"),
        ({"width": 3, "method": "uniform", "beta": 0.5}, "belong to method"),
        ({"rates": [1.0, 1.0]}, "must be distinct"),
        ({"rates": [1.0, -1.0]}, "between 1e-150 and 1e150"),
        ({"rates": [1e-200, 1.0]}, "between 1e-150 and 1e150"),
        ({"rates": [1.0], "method": "uniform"}, "rates leave nothing"),
        ({"width": 3, "method": "jackson", "alpha": 1, "beta": 2.0}, "beta must be below"),
    ],
)
def test_wrong_requests_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        approximate(ONE, **options)


def test_no_kernel_is_asked_for():
    with pytest.raises(ValueError, match=r"got a LinearRNN.*\.kernel\(\)"):
        approximate(approximate(ONE, 1).rnn, 1)


@pytest.mark.parametrize("request_", [{"width": 3}, {"tolerance": 0.1}, {"rates": [1.0, 2.0]}])
def test_nothing_is_approximated_by_nothing(request_):
    found = approximate(0.0 * PowerLaw(1.0), **request_)
    assert found.error == found.bound == 0 and not found.kernel.amplitudes.any()
    found = approximate(0.0 * ExponentialSum([1.0, 2.0], [1.0, 3.0]), tolerance=0.1)
    assert found.width == 1 and found.bound == 0


def test_a_silent_input_costs_nothing():
    alone = approximate(PowerLaw(0.5), 5)
    both = approximate(stack([PowerLaw(0.5), 0.0 * GaussianBump(2.0, 0.5)]), 5)
    assert both.error == pytest.approx(alone.error, rel=0.05)
    assert not both.kernel.amplitudes[:, 1].any()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("factor", [1e-280, 1e-200, 1e200])
def test_kernels_of_any_size(factor):
    one = approximate(PowerLaw(1.0), 4)
    scaled = approximate(factor * PowerLaw(1.0), 4)
    assert scaled.error / factor == pytest.approx(one.error, rel=1e-4)


@pytest.mark.filterwarnings("error")
def test_rates_of_any_size():
    bump = GaussianBump(1.0, 0.1)
    found = approximate(bump, rates=[1e-150, 1.0, 1e150])
    alone = approximate(bump, rates=[1.0])
    assert found.bound == pytest.approx(alone.error, rel=1e-6)
    # Panels of the target alone would not see the fast rate.
    one = approximate(ExponentialSum([1.0], [1.0]), rates=[1e3, 1e-3])
    assert one.bound == pytest.approx(one.error, rel=1e-6) and one.error < 0.9988


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("target", "method", "at_most"),
    [
        (GaussianBump(2e6, 0.5e6), None, 0.74),
        (ExponentialSum([1.0, 1e6], [1e-6, 1e6]) + GaussianBump(1.0, 0.5), None, 2e6),
        (GaussianBump(100.0, 1.0), "geometric", 1.0),
        (ExponentialSum.oscillation(1.0, 0.5, 4.0), "uniform", 1.2),
    ],
)
def test_targets_that_are_hard_get_no_less_than_nothing(target, method, at_most):
    found = approximate(target, 3, method=method)
    assert found.error <= min(at_most, l1_norm(target))


def test_a_legendre_kernel_is_a_network_too():
    target = LegendreKernel([1.0, 0.5, 0.2], 0.3)
    found = approximate(target, 3)
    assert found.kernel is target and found.method == "exact"
    assert approximate(target, tolerance=1e-9).width == 3


def test_rounding_of_real_and_complex_pairs():
    # 2 eps sum |a| / Re w, of which the amplitude's share is one half.
    real = approximate(ExponentialSum([3.0, -4.0], [0.5, 2.0]), 2)
    assert real.rounding == pytest.approx(2 * np.finfo(float).eps * (6 + 2), rel=1e-12)
    pair = approximate(ExponentialSum.oscillation(3.0, 0.5, 2.0), 2)
    assert pair.rounding == pytest.approx(2 * np.finfo(float).eps * 6, rel=1e-12)


def test_the_cascade_of_nearly_equal_rates_keeps_its_digits():
    found = approximate(ExponentialSum([1e8, -1e8], [1.0, 1.0 + 1e-8]), 2)
    exact = found.kernel
    gap = np.abs(found.cascade.kernel()(TIMES) - exact(TIMES)).max()
    assert gap < 1e-7 * np.abs(exact(TIMES)).max()


def test_the_cascade_of_a_kink_has_its_distance():
    found = approximate(GammaKernel(0.0, 5, 1.0), 20, method="uniform")
    assert l1_distance(found.cascade.kernel(), found.target) == pytest.approx(found.error, rel=1e-5)


def test_constants_out_of_range_are_refused_by_name():
    with pytest.raises(ValueError, match="gamma leaves the range of doubles"):
        decay_constants(ONE, 2, 1e-300)
    with pytest.raises(ValueError, match="the bound leaves the range"):
        jackson_bound(stack(3 * [0.5e308 * ONE]), 1, 0.65, 1)


def test_it_introduces_itself_in_a_line():
    text = repr(approximate(PowerLaw(1.0), 3, method="uniform"))
    assert text == "Approximation(method='uniform', width=3, input_dim=1, target=PowerLaw)"


def test_a_tolerance_out_of_reach_is_refused_with_what_was_reached():
    with pytest.raises(ValueError, match=r"no network was certified.*geometric: width 64 leaves"):
        approximate(GaussianBump(1000.0, 1.0), tolerance=1e-2)


def test_what_has_no_certificate_has_an_error_all_the_same():
    target = StateSpaceKernel([[-1.0, 1.0], [0.0, -1.0]], [0.0, 1.0], [1.0, 0.0])  # t e^-t
    found = approximate(target, 8)
    assert 0 < found.error < 1e-3
    with pytest.raises(ValueError, match="StateSpaceKernel"):
        _ = found.bound


def test_a_width_without_a_network_does_not_end_a_search(monkeypatch):
    tried = []

    class Holes:
        def __init__(self, rho):
            self.rho = rho

        def __call__(self, width):
            tried.append(width)
            if width in (1, 3):
                raise ValueError(f"width {width} isn't stable")
            return ExponentialSum(np.full(width, 1.0 / width), np.arange(1.0, width + 1))

    monkeypatch.setitem(approximation._SEARCHES, "l1", Holes)
    rho = ExponentialSum(np.full(4, 0.25), np.arange(1.0, 5.0))
    found = approximate(rho, tolerance=1e-9, method="l1")
    assert found.width == 4 and {1, 3} <= set(tried)
    monkeypatch.setitem(approximation._WIDEST, "l1", 3)
    with pytest.raises(ValueError, match="no network.*width 3: width 3 isn't stable"):
        approximate(rho, tolerance=1e-9, method="l1")
