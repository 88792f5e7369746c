"""Kernels against mpmath: values, transforms, tails, derivatives, and nearly equal pairs."""

import mpmath
import numpy as np
import pytest

from curse_lib import AiryKernel, ExponentialSum, GaussianBump, PowerLaw, SampledKernel

mpmath.mp.dps = 40
mpf = mpmath.mpf


def relative(value, exact):
    return abs((mpmath.mpmathify(complex(value)) - exact) / exact)


@pytest.mark.parametrize("omega", [0.01, 0.25, 0.5, 1.0, 2.0, 7.3, 50.0])
@pytest.mark.parametrize("s", [1e-12, 1e-4, 0.5, 3.0, 30.0, 1e4, 1e-3 + 2j, 5j, 100j, 1e-6j])
def test_power_law_laplace(omega, s):
    z = mpmath.mpmathify(s)
    exact = mpmath.exp(z) * mpmath.expint(1 + mpf(omega), z)
    assert relative(PowerLaw(omega).laplace(s), exact) < 1e-13


@pytest.mark.parametrize("omega", [0.01, 0.5, 3.0])
def test_power_law_tail_keeps_relative_accuracy(omega):
    for t in (0.0, 1e-3, 10.0, 1e50, 1e90):
        exact = (1 + mpf(t)) ** -mpf(omega) / mpf(omega)
        # The exponent omega log(1+t) is rounded before the exponential is taken.
        assert relative(PowerLaw(omega).tail(t), exact) < 5e-16 * (1 + omega * np.log1p(t))


@pytest.mark.parametrize(("delay", "width"), [(4, 0.5), (20, 0.5), (100, 1.0), (0, 1.0), (3, 0.01)])
@pytest.mark.parametrize("s", [0.0, 0.1, 1.0, 10.0, 300.0, -2.0, 1 + 5j, -1 + 40j, 3j])
def test_gaussian_bump_laplace(delay, width, s):
    z, deviation = mpmath.mpmathify(s), mpf(width)
    argument = (z * deviation - mpf(delay) / deviation) / mpmath.sqrt(2)
    exact = mpmath.exp(-z * delay + (z * deviation) ** 2 / 2) * mpmath.erfc(argument) / 2
    value = GaussianBump(delay, width).laplace(s)
    if abs(exact) < 1e-300:
        assert abs(value) < 1e-300
        return
    # The exponents -s D + s^2 width^2 / 2 and -D^2 / (2 width^2) are rounded before exp is taken.
    exponent = abs(z * delay) + abs(z * deviation) ** 2 + (delay / width) ** 2
    assert relative(value, exact) < 1e-15 * (20 + exponent)


def test_gaussian_bump_tail_far_out():
    for t in (0.0, 3.0, 10.0, 20.0):
        exact = mpmath.erfc((mpf(t) - 3) / (mpf(0.5) * mpmath.sqrt(2))) / 2
        exponent = ((t - 3) / 0.5) ** 2 / 2
        assert relative(GaussianBump(3.0, 0.5).tail(t), exact) < 1e-15 * (5 + exponent)


def test_airy_kernel_integrals():
    rho = AiryKernel(2.25, 3.0)
    for t in (0.0, 1.0, 3.0, 5.0, 8.0, 20.0):
        x = mpf(2.25) * (mpf(t) - 3)
        tail = (mpf(1) / 3 - mpmath.airyai(x, derivative=-1)) / mpf(2.25)
        step = mpmath.airyai(x, derivative=-1) - mpmath.airyai(mpf(-6.75), derivative=-1)
        assert abs(rho.tail(t) - tail) < 1e-15
        assert abs(rho.step_response(t) - step / mpf(2.25)) < 1e-15
    # Far out the tail stays accurate relative to itself: 1e-71 at lag 20.
    big = mpf(10) ** 70  # quad stops at an absolute error
    far = mpmath.quad(
        lambda u: big * mpmath.airyai(mpf(2.25) * (u - 3)), mpmath.linspace(20, 26, 7)
    )
    assert relative(rho.tail(20.0), far / big) < 1e-12


@pytest.mark.parametrize("s", [0.3, 200.0, -1.0, 0.5 + 3j, 20j])
def test_airy_kernel_laplace(s):
    rho = AiryKernel(1.5, 4.0)
    with mpmath.workdps(18):
        exact = mpmath.quad(
            lambda u: mpmath.exp(-s * u) * mpmath.airyai(mpf(1.5) * (u - 4)),
            mpmath.linspace(0, 18, 19),
        )
    assert abs(complex(rho.laplace(s)) - complex(exact)) < 1e-13 * float(abs(exact) + 1)


@pytest.mark.parametrize("s", [0.0, 1e-9, 0.3, 40.0, 0.2 + 9j])
def test_sampled_kernel_laplace(s):
    rho = SampledKernel([0.0, 0.5, 2.0, 2.25], [1.0, -2.0, 0.5, 0.25], tail_rate=0.8)
    z, total = mpmath.mpmathify(s), mpf(0)
    for left, right, a, b in zip(
        rho.times, rho.times[1:], rho.values, rho.values[1:], strict=False
    ):
        slope = (mpf(b) - mpf(a)) / (mpf(right) - mpf(left))
        total += mpmath.quad(
            lambda u, a=a, left=left, slope=slope: mpmath.exp(-z * u) * (a + slope * (u - left)),
            [left, right],
        )
    total += mpf(0.25) * mpmath.exp(-z * mpf(2.25)) / (z + mpf(0.8))
    assert relative(rho.laplace(s), total) < 1e-13


@pytest.mark.parametrize(
    ("rho", "formula"),
    [
        (PowerLaw(0.7), lambda t: (1 + t) ** -(1 + mpf(0.7))),
        (GaussianBump(2.0, 0.75), lambda t: mpmath.npdf(t, 2, mpf(0.75))),
        (AiryKernel(1.25, 2.0), lambda t: mpmath.airyai(mpf(1.25) * (t - 2))),
        (
            ExponentialSum([2.0, -1.0], [0.3, 2.0]),
            lambda t: 2 * mpmath.exp(-mpf(0.3) * t) - mpmath.exp(-2 * t),
        ),
    ],
    ids=["power", "gaussian", "airy", "exponential"],
)
@pytest.mark.parametrize("order", [0, 1, 2, 5])
def test_derivatives(rho, formula, order):
    for t in (0.5, 2.3, 4.0):
        exact = mpmath.diff(formula, mpf(t), order)
        assert abs(rho.derivative(t, order) - exact) < 1e-12 * (1 + abs(exact))


LAGS = (1e-6, 0.1, 3.0, 50.0)


@pytest.mark.parametrize("delta", [1e-1, 1e-5, 1e-9, 1e-13])
def test_nearly_equal_exponentials_keep_relative_accuracy(delta):
    difference = ExponentialSum([1.0], [1.0]) - ExponentialSum([1.0], [1.0 + delta])
    gap = mpf(1.0 + delta) - 1
    for t in LAGS:
        exact = -mpmath.exp(-mpf(t)) * mpmath.expm1(-gap * t)
        assert relative(difference(t), exact) < 1e-14


@pytest.mark.parametrize("delta", [1e-1, 1e-5, 1e-9, 1e-13])
def test_nearly_equal_oscillations_keep_accuracy(delta):
    other = ExponentialSum.oscillation(1.0, 0.3, 5.0 * (1 + delta))
    difference = ExponentialSum.oscillation(1.0, 0.3, 5.0) - other
    gap = mpf(5.0 * (1 + delta)) - 5
    for t in LAGS:
        u = mpf(t)
        exact = (
            2 * mpmath.exp(-mpf(0.3) * u) * mpmath.sin((10 + gap) / 2 * u) * mpmath.sin(gap / 2 * u)
        )
        envelope = mpmath.exp(-mpf(0.3) * u) * min(gap * u, 2)
        assert abs(difference(t) - exact) < 1e-13 * envelope


@pytest.mark.parametrize("delta", [1e-1, 1e-5, 1e-9, 1e-13])
def test_nearly_equal_power_laws_keep_relative_accuracy(delta):
    difference = PowerLaw(0.5) - PowerLaw(0.5 + delta)
    gap = mpf(0.5 + delta) - mpf(0.5)
    for t in LAGS:
        exact = -((1 + mpf(t)) ** mpf(-1.5)) * mpmath.expm1(-gap * mpmath.log1p(mpf(t)))
        assert relative(difference(t), exact) < 1e-13


@pytest.mark.parametrize("delta", [1e-13, 1e-9, 1e-5, 1e-1, 3.0, 1e6])
@pytest.mark.parametrize("family", ["exponential", "power"])
def test_integrals_of_nearly_equal_pairs_keep_relative_accuracy(family, delta):
    a, b = mpf(0.5), mpf(0.5 + delta)
    if family == "exponential":
        difference = ExponentialSum([1.0], [0.5]) - ExponentialSum([1.0], [0.5 + delta])
    else:
        difference = PowerLaw(0.5) - PowerLaw(0.5 + delta)
    for t in (0.0, 1e-12, 1e-6, 0.4, 0.6, 3.0, 50.0):
        x = mpf(t) if family == "exponential" else mpmath.log1p(mpf(t))
        slack = 2e-15 * (1 + float(x))
        assert relative(difference.tail(t), mpmath.exp(-a * x) / a - mpmath.exp(-b * x) / b) < slack
        if t > 0:
            exact = mpmath.expm1(-b * x) / b - mpmath.expm1(-a * x) / a
            assert relative(difference.step_response(t), exact) < slack


def test_summation_by_parts_never_loses_against_adding():
    rng = np.random.default_rng(7)
    rates = 10 ** rng.uniform(-3, 3, 40)
    amplitudes = rng.normal(size=40) * 10 ** rng.uniform(-3, 3, 40)
    rho = ExponentialSum(amplitudes, rates)
    for t in (0.0, 1e-3, 0.1, 5.0, 400.0):
        parts = [
            mpf(a) * mpmath.exp(-mpf(w) * mpf(t)) for a, w in zip(amplitudes, rates, strict=True)
        ]
        slack = sum(abs(p) * (1 + w * t) for p, w in zip(parts, rates, strict=True))
        assert abs(rho(t) - mpmath.fsum(parts)) < 4 * np.finfo(float).eps * slack
