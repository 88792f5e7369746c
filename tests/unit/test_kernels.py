"""Exact cases of the memory kernels, their algebra, and the errors for wrong input."""

import copy
import dataclasses
import math
import pickle

import numpy as np
import pytest

from curse_lib import (
    AiryKernel,
    ExponentialSum,
    GammaKernel,
    GaussianBump,
    KernelSum,
    LegendreKernel,
    PowerLaw,
    SampledKernel,
    StackedKernel,
    StateSpaceKernel,
    stack,
)

JORDAN = StateSpaceKernel([[-1.0, 1.0, 0], [0, -1.0, 1.0], [0, 0, -1.0]], [0, 0, 1.0], [1.0, 0, 0])
FAMILIES = [
    ExponentialSum([1.0, 2.0, -0.5], [1.0, 3.0, 0.2]),
    ExponentialSum.oscillation(1.0, 0.2, 3.0, 0.4),
    PowerLaw(0.5),
    GaussianBump(4.0, 0.5, 2.0),
    AiryKernel(2.25, 3.0),
    SampledKernel([0, 1, 2, 4], [1, -1, 0.5, 0.2], tail_rate=0.7),
    SampledKernel([0, 0.5, 2], [1, -1, 0.5]),
    JORDAN,
    GammaKernel(2.0, 3, 1.5, -0.5),
    GammaKernel(0.0, 2, 0.5),
    LegendreKernel([1.0, -0.5, 0.25, 0.5], 0.7),
    ExponentialSum([1.0], [1.0]) + GaussianBump(20.0, 0.5) - PowerLaw(1.5),
]
NAMES = [f"{i}-{type(kernel).__name__}" for i, kernel in enumerate(FAMILIES)]


@pytest.mark.parametrize("rho", FAMILIES, ids=NAMES)
def test_step_response_tail_and_laplace_agree(rho):
    t = np.array([0.0, 0.3, 1.0, 2.5, 7.0, 40.0])
    total = rho.tail(0.0)
    np.testing.assert_allclose(rho.step_response(t) + rho.tail(t), total, atol=1e-13)
    assert rho.step_response(0.0) == pytest.approx(0.0, abs=1e-15)
    assert rho.laplace(0.0) == pytest.approx(total, abs=1e-13)


@pytest.mark.parametrize("rho", FAMILIES, ids=NAMES)
def test_shapes_follow_the_argument(rho):
    for method in (rho, rho.tail, rho.step_response, rho.laplace, rho.derivative):
        assert np.shape(method(1.0)) == ()
        assert method(np.ones((2, 3))).shape == (2, 3)
        assert method(np.empty(0)).shape == (0,)
    pair = stack([rho, PowerLaw(1.0)])
    for method in (pair, pair.tail, pair.step_response, pair.laplace, pair.derivative):
        assert method(1.0).shape == (2,)
        assert method(np.ones((2, 3))).shape == (2, 3, 2)


@pytest.mark.parametrize("rho", FAMILIES, ids=NAMES)
def test_the_infinite_lag_is_forgotten(rho):
    assert rho(np.inf) == 0.0
    assert abs(rho.tail(np.inf)) <= 1e-200


@pytest.mark.parametrize("rho", FAMILIES, ids=NAMES)
def test_the_largest_lag_does_not_overflow(rho):
    assert rho.tail(1e308) == pytest.approx(0.0, abs=1e-100)
    assert rho.step_response(1e308) == pytest.approx(rho.tail(0.0), rel=1e-13)
    assert rho(1e308) == pytest.approx(0.0, abs=1e-200)


def test_the_fastest_rate_does_not_overflow():
    rho = ExponentialSum([1.0], [1e308])
    assert rho(1.0) == rho(np.inf) == rho.tail(1.0) == 0.0
    assert rho.step_response(np.inf) == pytest.approx(1e-308)


@pytest.mark.parametrize("rho", FAMILIES, ids=NAMES)
def test_scaling_is_exact(rho):
    t = np.linspace(0, 9, 37)
    np.testing.assert_array_equal((4 * rho)(t), 4 * rho(t))
    np.testing.assert_array_equal((-rho)(t), -rho(t))
    np.testing.assert_array_equal((rho / 4)(t), rho(t) / 4)
    assert type(2.5 * rho) is type(rho)


def test_kernels_are_frozen():
    rho = ExponentialSum([1.0], [1.0])
    with pytest.raises(dataclasses.FrozenInstanceError):
        rho.rates = np.array([2.0])
    with pytest.raises(ValueError, match="read-only"):
        rho.rates[0] = 2.0
    amplitudes = np.array([1.0])
    sum_of_one = ExponentialSum(amplitudes, [1.0])
    amplitudes[0] = 7.0
    assert sum_of_one.amplitudes[0] == 1.0


def test_sums_of_exponential_sums_keep_every_neuron():
    both = ExponentialSum([1.0, 0.0], [1.0, 0.5]) + ExponentialSum([2.0, -1.0], [1.0, 1.0])
    assert isinstance(both, ExponentialSum)
    np.testing.assert_array_equal(both.amplitudes, [1.0, 0.0, 2.0, -1.0])
    np.testing.assert_array_equal(both.rates, [1.0, 0.5, 1.0, 1.0])
    assert both.width == 4
    cancelled = both - both
    assert cancelled.width == 8
    assert np.all(cancelled(np.linspace(0, 5, 11)) == 0.0)


def test_terms_of_a_sum_in_order():
    first, bump, law = ExponentialSum([1.0], [1.0]), GaussianBump(20.0, 0.5), PowerLaw(1.0)
    total = first + bump + law
    assert isinstance(total, KernelSum)
    assert total.terms == (first, bump, law)
    assert (first + (bump + law)).terms == (first, bump, law)
    assert first.terms == (first,)


def test_empty_sum_is_the_zero_kernel():
    nothing = ExponentialSum([], [])
    assert nothing.width == 0
    assert nothing(1.0) == nothing.laplace(1.0) == nothing.tail(0.0) == 0.0


def test_complex_pair_is_a_damped_cosine():
    rho = ExponentialSum.oscillation(2.0, 0.3, 5.0, 0.7)
    t = np.linspace(0, 20, 101)
    expected = 2 * np.exp(-0.3 * t) * np.cos(5 * t + 0.7)
    np.testing.assert_allclose(rho(t), expected, rtol=1e-12, atol=1e-14)
    assert rho.width == 2
    assert rho(t).dtype == rho.laplace(1.0).dtype == np.float64


def test_defective_state_space_kernel():
    t = np.array([0.0, 0.1, 1.0, 5.0, 30.0])
    np.testing.assert_allclose(JORDAN(t), 0.5 * t**2 * np.exp(-t), rtol=1e-13)
    np.testing.assert_allclose(JORDAN.laplace(t), 1 / (1 + t) ** 3, rtol=1e-13)
    np.testing.assert_allclose(JORDAN.step_response(1e-4), 1e-12 / 6, rtol=1e-3)


def test_stacked_exponential_sums_share_nothing():
    pair = stack([ExponentialSum([1.0, 2.0], [1.0, 2.0]), ExponentialSum([3.0], [3.0])])
    assert isinstance(pair, ExponentialSum)
    np.testing.assert_array_equal(pair.amplitudes, [[1, 0], [2, 0], [0, 3]])
    np.testing.assert_array_equal(pair(0.0), [3.0, 3.0])
    np.testing.assert_array_equal(pair.components[0].amplitudes, [1, 2, 0])
    assert isinstance(stack([PowerLaw(1.0), pair]), StackedKernel)
    assert stack([PowerLaw(1.0), pair]).input_dim == 3


def test_sums_with_several_inputs():
    pair = stack([PowerLaw(1.0), GaussianBump(3.0, 1.0)])
    shared = ExponentialSum([[1.0, -1.0]], [2.0])
    total = pair + shared
    t = np.linspace(0, 4, 9)
    np.testing.assert_allclose(total(t), pair(t) + shared(t), rtol=1e-15)
    np.testing.assert_allclose((total - pair)(t), shared(t), atol=1e-15)


def test_sampled_kernel_is_its_interpolant_and_tail():
    rho = SampledKernel([0.0, 1.0, 3.0], [2.0, 0.0, 4.0], tail_rate=0.5)
    np.testing.assert_allclose(rho([0.5, 2.0, 3.0, 5.0]), [1.0, 2.0, 4.0, 4 * math.exp(-1)])
    assert rho.tail(0.0) == pytest.approx(1 + 4 + 8)
    assert rho.step_response(2.0) == pytest.approx(1 + 1)
    np.testing.assert_array_equal(rho.derivative([0.5, 1.0, 2.0]), [-2.0, 2.0, 2.0])
    cut = SampledKernel([0.0, 1.0], [1.0, 1.0])
    assert cut(1.0) == 1.0
    assert cut(1.0 + 1e-12) == cut.tail(1.0) == 0.0


def test_gamma_kernel_jumps_at_its_delay_and_nowhere_before():
    jump, kink = GammaKernel(2.0, 0, 0.5, 3.0), GammaKernel(2.0, 2, 0.5, 3.0)
    before = np.nextafter(2.0, 0.0)
    assert jump(before) == 0.0 and jump(2.0) == 3.0
    assert jump.tail(0.0) == jump.tail(2.0) == 6.0
    assert jump.step_response(2.0) == 0.0
    np.testing.assert_array_equal(kink.derivative([before, 2.0], 1), [0.0, 0.0])
    np.testing.assert_array_equal(kink.derivative([before, 2.0], 2), [0.0, 6.0])
    assert GammaKernel(0.0, 0, 0.5).derivative(1.0, 3) == pytest.approx(-(0.5**3) * math.exp(-0.5))
    for rho in (jump, kink, GammaKernel(0.3, 170, 40.0)):
        points = rho._breakpoints()
        assert points[0] == 0 and rho.delay in points and (np.diff(points) > 0).all()
        assert 0 < rho.tail(points[-1]) / rho.tail(0.0) < 1e-25


def test_smoothness_is_that_of_the_roughest_part():
    rough, smooth = GammaKernel(1.0, 3, 2.0), GammaKernel(0.0, 0, 2.0)
    assert rough._smoothness == 2 and smooth._smoothness == math.inf
    assert GammaKernel(1.0, 0, 2.0)._smoothness == -1
    assert (smooth + rough + PowerLaw(1.0))._smoothness == 2
    assert stack([PowerLaw(1.0), rough])._smoothness == 2
    assert stack([PowerLaw(1.0), JORDAN])._smoothness == math.inf
    assert SampledKernel([0.0, 1.0], [1.0, 0.5], tail_rate=1.0)._smoothness == 0
    assert SampledKernel([0.0, 1.0], [1.0, 0.0])._smoothness == 0
    assert SampledKernel([0.0, 1.0], [1.0, 0.5])._smoothness == -1


def test_legendre_kernel_of_low_width():
    t = np.linspace(0.0, 9.0, 19)
    leak = LegendreKernel([1.0], 0.4)
    np.testing.assert_allclose(leak(t), np.exp(-0.4 * t), rtol=1e-15)
    np.testing.assert_allclose(leak.derivative(t, 3), -(0.4**3) * np.exp(-0.4 * t), rtol=1e-14)
    three = LegendreKernel([[2.0, 0.0], [-1.0, 0.0], [0.5, 1.0]], 0.25)
    assert (three.width, three.input_dim) == (3, 2)
    np.testing.assert_array_equal(three.rates, [0.25, 0.5, 0.75])
    # 2 - (2u - 1) + (6u^2 - 6u + 1)/2, times u.
    expected = ExponentialSum([[3.5, 1.0], [-5.0, -6.0], [3.0, 6.0]], [0.25, 0.5, 0.75])
    np.testing.assert_array_equal(three.expanded().amplitudes, expected.amplitudes)
    np.testing.assert_array_equal(three.expanded().rates, expected.rates)
    np.testing.assert_allclose(three(t), expected(t), atol=1e-15)
    assert LegendreKernel([[1.0], [2.0]], 1.0).coefficients.shape == (2,)
    assert LegendreKernel([[1.0], [2.0]], 1.0).expanded().amplitudes.shape == (2,)


def test_legendre_kernels_of_different_width_add():
    """Only coefficients of one shape may be added up inside a sum."""
    short, long = LegendreKernel([2.0], 0.5), LegendreKernel([1.0, -1.0, 3.0], 0.5)
    t = np.linspace(0.0, 5.0, 11)
    np.testing.assert_allclose((short + long)(t), short(t) + long(t), rtol=1e-15, atol=1e-15)
    np.testing.assert_allclose((long - short).tail(t), long.tail(t) - short.tail(t), atol=1e-15)
    assert len((short + long).terms) == 2


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: PowerLaw(0.0), "omega must be > 0; got 0.0"),
        (lambda: PowerLaw(-1.0), "isn't integrable"),
        (lambda: PowerLaw("long"), "real number; got 'long'"),
        (lambda: ExponentialSum([1.0], [-1.0]), "positive real part; got -1.0"),
        (lambda: ExponentialSum([1.0], [0.0]), "isn't integrable"),
        (lambda: ExponentialSum([1.0, 2.0], [1.0]), r"got \(2,\) and \(1,\)"),
        (lambda: ExponentialSum([np.nan], [1.0]), "finite"),
        (lambda: ExponentialSum([1.0, 1.0], [1.0, 1 + 1j]), "lacks its conjugate"),
        (lambda: ExponentialSum([1.0, 2.0], [1 - 1j, 1 + 1j]), "lacks its conjugate"),
        (lambda: ExponentialSum([1j], [1.0]), "real amplitudes"),
        (lambda: ExponentialSum(["a"], [1.0]), "finite numbers"),
        (lambda: GaussianBump(-1.0, 1.0), "delay must be a non-negative"),
        (lambda: GaussianBump(1.0, 0.0), "width must be a positive"),
        (lambda: GaussianBump(1.0, 1e-20), "hardly wider than the rounding of lags"),
        (lambda: AiryKernel(0.0, 1.0), "scale must be a positive"),
        (lambda: SampledKernel([0.0, 1.0], [1.0, np.nan]), "finite"),
        (lambda: SampledKernel([0.1, 1.0], [1.0, 1.0]), "strictly from 0"),
        (lambda: SampledKernel([0.0, 0.0], [1.0, 1.0]), "strictly from 0"),
        (lambda: SampledKernel([0.0], [1.0]), "n >= 2"),
        (lambda: SampledKernel([0.0, 1.0], [1.0, 1.0]).derivative(0.5, 2), "piecewise linear"),
        (lambda: StateSpaceKernel([[0.3]], [1.0], [1.0]), "real part 0.3"),
        (lambda: StateSpaceKernel([[-1.0]], [1.0, 1.0], [1.0]), "shapes"),
        (lambda: GammaKernel(-1.0, 1, 1.0), "delay must be a non-negative"),
        (lambda: GammaKernel(1.0, 1.5, 1.0), "whole number from 0 to 170; got 1.5"),
        (lambda: GammaKernel(1.0, True, 1.0), "whole number from 0 to 170; got True"),
        (lambda: GammaKernel(1.0, -1, 1.0), "whole number from 0 to 170; got -1"),
        (lambda: GammaKernel(1.0, 171, 1.0), "whole number from 0 to 170; got 171"),
        (lambda: GammaKernel(1.0, 1, 0.0), "rate must be a positive"),
        (lambda: GammaKernel(1e15, 1, 1.0), "hardly wider than the rounding of lags"),
        (lambda: GammaKernel(0.0, 170, 0.1), "mass .* must be a double"),
        (lambda: GammaKernel(0.0, 100, 1e6), "mass .* must be a double"),
        (lambda: GammaKernel(0.0, 0, 1e-10, 1e300), "mass .* must be a double"),
        (lambda: GammaKernel(1.0, 2, 1.0).derivative(0.5, 3), "up to order 2 .* got order 3"),
        (lambda: GammaKernel(1.0, 2, 1.5).laplace(-1.5), "real part > -1.5"),
        (lambda: LegendreKernel([], 1.0), r"m >= 1 and d >= 1; got \(0,\)"),
        (lambda: LegendreKernel(np.ones((2, 2, 2)), 1.0), r"got \(2, 2, 2\)"),
        (lambda: LegendreKernel([1.0, np.nan], 1.0), "coefficients must be finite; got nan"),
        (lambda: LegendreKernel([1j], 1.0), "coefficients must hold real numbers"),
        (lambda: LegendreKernel([1.0], -1.0), "rate must be a positive"),
        (lambda: LegendreKernel([1.0], 2.0).laplace(-2.0), "real part > -2"),
        (lambda: LegendreKernel(np.ones(500), 1.0).expanded(), "beyond the largest double"),
        (lambda: PowerLaw(1.0)(-0.5), "lags must be >= 0; got -0.5"),
        (lambda: PowerLaw(1.0)([np.nan]), "lags must be >= 0; got nan"),
        (lambda: PowerLaw(1.0)(1j), "lags must be real"),
        (lambda: PowerLaw(1.0).laplace(-0.1), "real part >= 0; got s = -0.1"),
        (lambda: ExponentialSum([1.0], [2.0]).laplace(-2.0), "real part > -2"),
        (lambda: PowerLaw(1.0).derivative(1.0, -1), "non-negative integer; got -1"),
        (lambda: PowerLaw(1.0) * np.inf, "factor of a kernel"),
        (lambda: PowerLaw(1.0) / 0, "divided by 0"),
        (lambda: PowerLaw(1.0) + stack([PowerLaw(1.0), PowerLaw(2.0)]), "got 1 and 2"),
        (lambda: stack([]), "non-empty"),
        (lambda: stack([1.0]), "sequence of kernels"),
    ],
)
def test_wrong_input_is_refused_with_the_reason(build, reason):
    with pytest.raises(ValueError, match=reason):
        build()


def test_adding_a_number_is_no_kernel_algebra():
    with pytest.raises(TypeError):
        PowerLaw(1.0) + 1.0


@pytest.mark.parametrize("rho", FAMILIES, ids=NAMES)
def test_copies_are_as_frozen_as_their_original(rho):
    t = np.linspace(0, 5, 11)
    for twin in (pickle.loads(pickle.dumps(rho)), copy.deepcopy(rho)):
        np.testing.assert_array_equal(twin(t), rho(t))
        for field in dataclasses.fields(twin):
            value = getattr(twin, field.name)
            assert not isinstance(value, np.ndarray) or not value.flags.writeable


@pytest.mark.parametrize(
    "rho",
    [FAMILIES[4], FAMILIES[5], FAMILIES[6], JORDAN, *FAMILIES[8:11], GaussianBump(4.0, 0.5)],
)
def test_nearly_equal_amplitudes_of_one_shape_keep_relative_accuracy(rho):
    factor = 1 + 2**-40
    difference = factor * rho - rho
    assert len(difference.terms) == 2
    t = np.array([0.1, 0.7, 2.3])
    np.testing.assert_allclose(difference(t), 2**-40 * rho(t), rtol=1e-3, atol=0)
    np.testing.assert_allclose(difference.tail(t), 2**-40 * rho.tail(t), rtol=1e-3, atol=0)


def test_python_sum_and_numpy_scalars():
    total = sum([PowerLaw(1.0), GaussianBump(3.0, 1.0)])
    assert len(total.terms) == 2
    assert (np.float64(2.0) * PowerLaw(1.0)).amplitude == 2.0
    with pytest.raises(TypeError):
        np.array([1.0, 2.0]) * PowerLaw(1.0)
    with pytest.raises(TypeError):
        1 + PowerLaw(1.0)


@pytest.mark.parametrize(
    "build",
    [
        lambda: KernelSum(()),
        lambda: KernelSum((1, 2)),
        lambda: KernelSum((PowerLaw(1.0), stack([PowerLaw(1.0), PowerLaw(2.0)]))),
        lambda: StackedKernel((PowerLaw(1.0),)),
        lambda: StackedKernel((PowerLaw(1.0), 1)),
    ],
)
def test_sums_and_stacks_check_their_parts(build):
    with pytest.raises(ValueError, match="kernel"):
        build()
