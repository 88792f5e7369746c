"""Kernels against mpmath: values, transforms, tails, derivatives, and nearly equal pairs."""

import mpmath
import numpy as np
import pytest

from curse_lib import (
    AiryKernel,
    ExponentialSum,
    GammaKernel,
    GaussianBump,
    LegendreKernel,
    LinearFunctional,
    PowerLaw,
    SampledKernel,
)

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


# ------------------------------------------------------------------ gamma kernels

GAMMAS = [
    GammaKernel(0.0, 0, 1.0),
    GammaKernel(1.3, 0, 2.0, -2.5),
    GammaKernel(1.3, 1, 0.7),
    GammaKernel(3.0, 4, 2.0, 1.3),
    GammaKernel(0.1, 20, 3.3),
    GammaKernel(0.0, 3, 0.01),
    GammaKernel(1e6, 2, 1.0),
    GammaKernel(2.0, 170, 20.0, 1e-30),
]
GAMMA_NAMES = [f"delay {rho.delay}, order {rho.order}, rate {rho.rate}" for rho in GAMMAS]


@pytest.mark.parametrize("rho", GAMMAS, ids=GAMMA_NAMES)
def test_gamma_kernel_values_and_integrals(rho):
    p, w, amplitude = rho.order, mpf(rho.rate), mpf(rho.amplitude)
    # From far below the delay to 40 e-foldings beyond the peak.
    past = np.concatenate([[1e-9, 1e-3], np.linspace(0.05, 1, 25)]) * (p + 40) / rho.rate
    t = rho.delay + past
    values, magnitudes = rho._evaluate(t)
    tails, steps = rho.tail(t), rho.step_response(t)
    for k, x in enumerate(mpf(lag) - mpf(rho.delay) for lag in t):
        exact = amplitude * x**p * mpmath.exp(-w * x)
        assert abs(values[k] - exact) <= 4 * np.finfo(float).eps * magnitudes[k] + 1e-290
        assert magnitudes[k] <= 50 * (1 + p) * abs(exact)
        tail = amplitude * mpmath.gammainc(p + 1, w * x) / w ** (p + 1)
        step = amplitude * mpmath.gammainc(p + 1, 0, w * x) / w ** (p + 1)
        assert relative(tails[k], tail) < 5e-13
        if abs(step) > 1e-280:
            assert relative(steps[k], step) < 5e-13
    silent = np.linspace(0.0, rho.delay, 5)[:-1] if rho.delay else np.empty(0)
    assert (rho(silent) == 0).all() and (rho.step_response(silent) == 0).all()
    assert (rho.tail(silent) == rho.tail(0.0)).all()


@pytest.mark.parametrize("s", [0.0, 0.3, 40.0, -0.4, 0.2 + 9j, 30j, -0.5 + 100j])
@pytest.mark.parametrize("rho", GAMMAS[:5] + GAMMAS[7:], ids=GAMMA_NAMES[:5] + GAMMA_NAMES[7:])
def test_gamma_kernel_laplace(rho, s):
    z, p = mpmath.mpmathify(s), rho.order
    exact = mpmath.exp(-z * mpf(rho.delay)) * mpmath.factorial(p) / (z + mpf(rho.rate)) ** (p + 1)
    assert relative(rho.laplace(s), rho.amplitude * exact) < 2e-16 * (10 + p + abs(s) * rho.delay)


@pytest.mark.parametrize("rho", GAMMAS, ids=GAMMA_NAMES)
def test_gamma_kernel_derivatives(rho):
    """Against Leibniz' rule; to order p beyond a delay, to any order without one."""
    p, w = rho.order, mpf(rho.rate)
    t = rho.delay + np.linspace(0, 3, 13) * (p + 1) / rho.rate
    orders = {1, 2, p - 1, p} if rho.delay else {1, 2, 5, 9}
    for n in (n for n in orders if 0 < n and (n <= p or not rho.delay)):
        exact = []
        with mpmath.workdps(300):
            for x in (mpf(lag) - mpf(rho.delay) for lag in t):
                terms = [
                    mpmath.binomial(n, j) * mpmath.ff(p, j) * x ** (p - j) * (-w) ** (n - j)
                    for j in range(min(n, p) + 1)
                ]
                exact.append(mpf(rho.amplitude) * mpmath.fsum(terms) * mpmath.exp(-w * x))
        size = max(abs(value) for value in exact)
        for value, reference in zip(rho.derivative(t, n), exact, strict=True):
            assert abs(value - reference) < 1e-15 * (5 + p) * size


@pytest.mark.parametrize("hold", ["linear", "constant"])
@pytest.mark.parametrize("dt", [0.07, 1.9])
@pytest.mark.parametrize("rho", GAMMAS[:5], ids=GAMMA_NAMES[:5])
def test_gamma_kernel_as_a_functional(rho, dt, hold):
    """A unit step gives the step response, even where the kernel jumps inside a cell."""
    y = LinearFunctional(rho)(np.ones(200), dt, hold)
    exact = rho.step_response(dt * np.arange(200))
    np.testing.assert_allclose(y, exact, rtol=0, atol=2e-14 * abs(rho.tail(0.0)))


# ------------------------------------------------------------------ Legendre kernels


def legendre_reference(rho, t):
    """Values, tail and step response by the plain recurrence at 40 digits."""
    b = mpf(rho.rate)
    u = mpmath.exp(-b * mpf(t))
    p = [mpf(1), 2 * u - 1]
    for k in range(1, rho.width):
        p.append(((2 * k + 1) * p[1] * p[k] - k * p[k - 1]) / (k + 1))
    c = [mpf(x) for x in rho.coefficients.tolist()]
    inner = [(p[k + 1] - p[k - 1]) / (4 * k + 2) for k in range(1, rho.width)]
    beyond = mpmath.fsum(a * x for a, x in zip(c[1:], inner, strict=True))
    value = mpmath.fsum(a * x for a, x in zip(c, p[: rho.width], strict=True))
    return u * value, (c[0] * u + beyond) / b, (c[0] * (1 - u) - beyond) / b


def legendre(width, decay, rate=0.3, seed=1):
    draws = np.random.default_rng(seed).standard_normal(width)
    return LegendreKernel(draws / (1.0 + np.arange(width)) ** decay, rate)


@pytest.mark.parametrize("decay", [0, 3])
@pytest.mark.parametrize("width", [1, 2, 5, 24, 64, 200])
def test_legendre_kernel_values_and_integrals(width, decay):
    """Relative to u and to 1 - u, the sizes of what is integrated, at both ends."""
    rho, eps = legendre(width, decay), np.finfo(float).eps
    t = np.concatenate([np.geomspace(1e-9, 100, 23), np.linspace(0.1, 9, 12)])
    values, magnitudes = rho._evaluate(t)
    tails, steps = rho.tail(t), rho.step_response(t)
    total = np.abs(rho.coefficients).sum()
    for k, lag in enumerate(t):
        value, tail, step = legendre_reference(rho, lag)
        u, v = np.exp(-0.3 * lag), -np.expm1(-0.3 * lag)
        assert abs(values[k] - value) <= 4 * eps * magnitudes[k]
        assert magnitudes[k] <= u * total * (1 + width / 8 + 0.3 * lag / 8) * 1.001
        assert abs(tails[k] - tail) <= eps * (4 + 0.3 * lag) * u / 0.3 * total
        assert abs(steps[k] - step) <= eps * (4 + 0.3 * lag) * v / 0.3 * total


@pytest.mark.parametrize("width", [1, 2, 12, 30, 200])
def test_legendre_kernel_expanded_is_rounded_once(width):
    rho = legendre(width, 1)
    c = [mpf(x) for x in rho.coefficients.tolist()]
    expanded = rho.expanded()
    with mpmath.workdps(250):
        for i in range(0, width, 1 + width // 9):
            exact = mpmath.fsum(
                (-1) ** (k - i) * mpmath.binomial(k, i) * mpmath.binomial(k + i, i) * c[k]
                for k in range(i, width)
            )
            assert expanded.amplitudes[i] == float(exact)


@pytest.mark.parametrize("width", [1, 3, 12, 64])
def test_legendre_kernel_laplace_and_derivatives(width):
    """Against the monomials of the exponential sum at 250 digits."""
    rho, b = legendre(width, 2), mpf(0.3)
    c = [mpf(x) for x in rho.coefficients.tolist()]
    total = float(mpmath.fsum(abs(x) for x in c))
    with mpmath.workdps(250):
        amplitudes = [
            mpmath.fsum(
                (-1) ** (k - i) * mpmath.binomial(k, i) * mpmath.binomial(k + i, i) * c[k]
                for k in range(i, width)
            )
            for i in range(width)
        ]
        rates = [(i + 1) * b for i in range(width)]
        pairs = list(zip(amplitudes, rates, strict=True))
        for s in (0.0, 1e-9, 0.3, 1.0, 50.0, -0.299, 1 + 2j, 100j, -0.2 + 30j, 1e4j):
            z = mpmath.mpmathify(s)
            exact = mpmath.fsum(a / (z + w) for a, w in pairs)
            assert abs(rho.laplace(s) - exact) < 2e-15 * total / abs(s + 0.3)
        t = np.append(0.0, np.geomspace(1e-6, 100, 20))
        for n in (1, 2, 4):
            exact = [mpmath.fsum(a * (-w) ** n * mpmath.exp(-w * x) for a, w in pairs) for x in t]
            size = max(abs(value) for value in exact)
            for value, reference in zip(rho.derivative(t, n), exact, strict=True):
                assert abs(value - reference) < 2e-15 * size


@pytest.mark.parametrize("hold", ["linear", "constant"])
@pytest.mark.parametrize("dt", [0.01, 0.7, 40.0])
@pytest.mark.parametrize("width", [1, 8, 64])
def test_legendre_kernel_as_a_functional(width, dt, hold):
    rho = legendre(width, 1)
    y = LinearFunctional(rho)(np.ones(200), dt, hold)
    size = np.abs(rho.coefficients).sum() / rho.rate
    np.testing.assert_allclose(y, rho.step_response(dt * np.arange(200)), rtol=0, atol=1e-14 * size)
