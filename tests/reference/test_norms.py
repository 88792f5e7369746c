"""Norms against closed forms and against mpmath at 50 digits.

The mpmath reference finds the sign changes on a fine grid, polishes them by bisection, and adds
differences of the closed antiderivative; it shares nothing with the library but the parameters.
"""

import itertools
import math
from fractions import Fraction

import mpmath as mp
import numpy as np
import pytest

from curse_lib.kernels import (
    AiryKernel,
    ExponentialSum,
    GammaKernel,
    GaussianBump,
    LegendreKernel,
    PowerLaw,
    SampledKernel,
    StateSpaceKernel,
    stack,
)
from curse_lib.norms import _WIDE, _wide_evaluate, l1_distance, l1_norm, l2_distance, l2_norm

oscillation = ExponentialSum.oscillation


@pytest.fixture(autouse=True)
def fifty_digits():
    with mp.workdps(50):
        yield


def check(result, exact, rel=3e-10):
    """The estimate covers the true error, and promises at least `rel`."""
    exact = mp.mpf(exact)
    assert abs(mp.mpf(result.value) - exact) <= result.error
    assert result.error <= rel * exact


# ------------------------------------------------------------------ the mpmath reference


def value_and_tail(kernel):
    """mpmath functions for rho and its tail, from the parameters alone."""
    values, tails = [], []
    for term in kernel.terms:
        if isinstance(term, ExponentialSum):
            a = [mp.mpmathify(complex(x)) for x in term.amplitudes]
            w = [mp.mpmathify(complex(x)) for x in term.rates]
            if not np.iscomplexobj(term.rates):
                a, w = [x.real for x in a], [x.real for x in w]
            pairs = list(zip(a, w, strict=True))
            values.append(lambda t, p=pairs: mp.re(mp.fsum(a * mp.exp(-w * t) for a, w in p)))
            tails.append(lambda t, p=pairs: mp.re(mp.fsum(a / w * mp.exp(-w * t) for a, w in p)))
        elif isinstance(term, PowerLaw):
            a, o = mp.mpf(term.amplitude), mp.mpf(term.omega)
            values.append(lambda t, a=a, o=o: a * (1 + t) ** -(1 + o))
            tails.append(lambda t, a=a, o=o: a / o * (1 + t) ** -o)
        elif isinstance(term, GaussianBump):
            d, s, m = mp.mpf(term.delay), mp.mpf(term.width), mp.mpf(term.mass)
            values.append(lambda t, d=d, s=s, m=m: m * mp.npdf(t, d, s))
            tails.append(lambda t, d=d, s=s, m=m: m / 2 * mp.erfc((t - d) / s / mp.sqrt(2)))
        elif isinstance(term, AiryKernel):
            c, d, a = mp.mpf(term.scale), mp.mpf(term.delay), mp.mpf(term.amplitude)
            values.append(lambda t, c=c, d=d, a=a: a * mp.airyai(c * (t - d)))
            tails.append(
                lambda t, c=c, d=d, a=a: (
                    a / c * (mp.mpf(1) / 3 - mp.airyai(c * (t - d), derivative=-1))
                )
            )
        elif isinstance(term, GammaKernel):
            d, w, a, p = mp.mpf(term.delay), mp.mpf(term.rate), mp.mpf(term.amplitude), term.order
            values.append(
                lambda t, d=d, w=w, a=a, p=p: (
                    a * (t - d) ** p * mp.exp(-w * (t - d)) if t >= d else mp.mpf(0)
                )
            )
            tails.append(
                lambda t, d=d, w=w, a=a, p=p: (
                    a * mp.gammainc(p + 1, w * max(t - d, 0)) / w ** (p + 1)
                )
            )
        elif isinstance(term, LegendreKernel):
            c, b = [mp.mpf(float(x)) for x in term.coefficients], mp.mpf(term.rate)
            a = [
                mp.fsum(
                    (-1) ** (k - i) * mp.binomial(k, i) * mp.binomial(k + i, i) * c[k]
                    for k in range(i, len(c))
                )
                for i in range(len(c))
            ]
            pairs = [(x, (i + 1) * b) for i, x in enumerate(a)]
            values.append(lambda t, p=pairs: mp.fsum(a * mp.exp(-w * t) for a, w in p))
            tails.append(lambda t, p=pairs: mp.fsum(a / w * mp.exp(-w * t) for a, w in p))
        else:
            raise NotImplementedError(type(term))
    return (lambda t: mp.fsum(f(t) for f in values)), (lambda t: mp.fsum(f(t) for f in tails))


def exact_l1(kernel, grid):
    """The L1 norm; the grid must separate the sign changes."""
    rho, tail = value_and_tail(kernel)
    grid = [mp.mpf(float(t)) for t in grid]
    signs = [mp.sign(rho(t)) for t in grid]
    zeros = []
    for left, right, before, after in zip(grid, grid[1:], signs, signs[1:], strict=False):
        if before * after >= 0:
            continue
        for _ in range(60):  # an error e in the zero costs e^2
            middle = (left + right) / 2
            if mp.sign(rho(middle)) == before:
                left = middle
            else:
                right = middle
        zeros.append(middle)
    ends = [tail(t) for t in [mp.mpf(0), *zeros]] + [mp.mpf(0)]
    return mp.fsum(abs(b - a) for a, b in itertools.pairwise(ends))


def exact_l2(kernel):
    """Root of the Gram form of a real exponential sum."""
    pairs = [
        (mp.mpf(float(a)), mp.mpf(float(w)))
        for a, w in zip(kernel.amplitudes, kernel.rates, strict=True)
    ]
    return mp.sqrt(mp.fsum(a * b / (v + w) for a, v in pairs for b, w in pairs))


def log_grid(start, end, count):
    return np.append(0.0, np.geomspace(start, end, count))


# ------------------------------------------------------------------ closed forms


@pytest.mark.parametrize("delta", [10.0**-k for k in range(15)])
def test_nearly_equal_exponentials(delta):
    near = ExponentialSum([1.0], [1 + delta])
    d = mp.mpf(1 + delta) - 1  # the difference that the floats have
    one = ExponentialSum([1.0], [1.0])
    check(l1_distance(one, near, full_output=True), d / (1 + d), 1e-12)
    exact = mp.sqrt(mp.mpf(1) / 2 - 2 / (2 + d) + 1 / (2 + 2 * d))
    check(l2_distance(one, near, full_output=True), exact, 1e-12)


@pytest.mark.parametrize("step", [2.0**-k for k in (1, 5, 10, 20, 25)])
def test_second_differences_of_exponentials(step):
    """e^-t (1 - e^-ht)^2: cancels twice, so that only wider arithmetic keeps digits."""
    rho = ExponentialSum([1.0, -2.0, 1.0], [1.0, 1 + step, 1 + 2 * step])
    h = mp.mpf(step)
    check(l1_norm(rho, full_output=True), 2 * h**2 / ((1 + h) * (1 + 2 * h)))
    check(l2_norm(rho, full_output=True), exact_l2(rho))


@pytest.mark.parametrize("width", [2, 5, 10, 20, 30, 40, 50])
def test_binomial_amplitudes(width):
    """e^-t (1 - e^-t)^(m-1) has norm 1/m; its amplitudes grow like 2^m."""
    amplitudes = [(-1) ** k * math.comb(width - 1, k) for k in range(width)]
    rho = ExponentialSum(amplitudes, np.arange(1, width + 1))
    check(l1_norm(rho, full_output=True), mp.mpf(1) / width)
    check(l2_norm(rho, full_output=True), mp.sqrt(mp.beta(2, 2 * width - 1)))


@pytest.mark.parametrize(
    "decay, frequency",
    [(1, 1e-3), (1, 1), (1, 10), (1, 100), (1e-3, 1), (1e-6, 1e-3), (1e3, 1e5), (50, 1)],
)
def test_damped_cosine(decay, frequency):
    """Between zeros each arch is e^(-pi r/w) times the one before."""
    r, w = mp.mpf(decay), mp.mpf(frequency)
    square = r**2 + w**2
    first = (r + w * mp.exp(-r * mp.pi / (2 * w))) / square
    arch = w * mp.exp(-r * mp.pi / (2 * w)) / square
    exact = first + arch * mp.coth(r * mp.pi / (2 * w))
    rho = oscillation(1.0, decay, frequency)
    check(l1_norm(rho, full_output=True), exact, 1e-10)
    exact = mp.sqrt((1 / r + r / square) / 4)
    check(l2_norm(rho, full_output=True), exact, 1e-10)


def test_quality_factor_ten_thousand():
    r, w = mp.mpf(0.5e-4), mp.mpf(1)
    early = mp.exp(-r * mp.pi / 2)
    exact = (r + w * early * (1 + mp.coth(r * mp.pi / 2))) / (r**2 + w**2)
    check(l1_norm(oscillation(1.0, 0.5e-4, 1.0), full_output=True), exact, 1e-9)


OMEGAS = [0.01, 0.03, 0.1, 0.25, 0.5, 1.0, 1.5, 4.0, 50.0]


@pytest.mark.parametrize("omega", OMEGAS)
def test_power_law(omega):
    check(l1_norm(PowerLaw(omega, -3.0), full_output=True), 3 / mp.mpf(omega), 1e-12)
    exact = 3 / mp.sqrt(1 + 2 * mp.mpf(omega))
    check(l2_norm(PowerLaw(omega, -3.0), full_output=True), exact, 1e-12)


@pytest.mark.parametrize("omega", OMEGAS)
@pytest.mark.parametrize("step", [1e-13, 1e-9, 1e-4, 0.3, 2.0])
def test_difference_of_power_laws(omega, step):
    other = omega * (1 + step)
    a, b = mp.mpf(omega), mp.mpf(other)
    first, second = PowerLaw(omega), PowerLaw(other)
    check(l1_distance(first, second, full_output=True), abs(1 / a - 1 / b), 1e-12)
    exact = mp.sqrt(1 / (1 + 2 * a) - 2 / (1 + a + b) + 1 / (1 + 2 * b))
    check(l2_distance(first, second, full_output=True), exact, 1e-12)


@pytest.mark.parametrize("omega, other, factor", [(1, 1.1, 1.5), (0.5, 2, 7), (0.01, 0.011, 3.0)])
def test_power_laws_that_cross(omega, other, factor):
    """One zero, at log(1+t) = log(factor)/(other - omega), which may lie beyond all floats."""
    a, b, c = mp.mpf(omega), mp.mpf(other), mp.mpf(factor)
    x = mp.log(c) / (b - a)
    beyond = mp.exp(-a * x) / a - c * mp.exp(-b * x) / b
    exact = abs(1 / a - c / b - beyond) + abs(beyond)
    check(l1_distance(PowerLaw(omega), factor * PowerLaw(other), full_output=True), exact, 1e-12)


@pytest.mark.parametrize(
    "delay, width", [(0, 1), (0.5, 2), (3, 1), (20, 0.5), (1e6, 0.5), (1e9, 0.5)]
)
def test_gaussian_bump(delay, width):
    bump = GaussianBump(delay, width, -2.0)
    d, s = mp.mpf(delay), mp.mpf(width)
    check(l1_norm(bump, full_output=True), 2 * mp.ncdf(d / s))
    check(
        l2_norm(bump, full_output=True),
        2 * mp.sqrt(mp.ncdf(mp.sqrt(2) * d / s) / (2 * s * mp.sqrt(mp.pi))),
    )


@pytest.mark.parametrize("scale, delay", [(1, 0), (2.25, 3), (1, 6), (2.25, 60)])
def test_airy(scale, delay):
    """Zeros from mpmath's table of Airy zeros."""
    c, d = mp.mpf(scale), mp.mpf(delay)
    zeros = []
    with mp.workdps(20):  # an error e in a zero costs e^2
        while (z := mp.airyaizero(len(zeros) + 1)) > -c * d:
            zeros.append(z)
    edges = [-c * d, *reversed(zeros)]
    ends = [mp.mpf(1) / 3 - mp.airyai(x, derivative=-1) for x in edges] + [mp.mpf(0)]
    exact = mp.fsum(abs(b - a) for a, b in itertools.pairwise(ends)) / c
    check(l1_norm(AiryKernel(scale, delay), full_output=True), exact)
    # A primitive of Ai^2 is x Ai^2 - Ai'^2.
    ai, slope = mp.airyai(-c * d), mp.airyai(-c * d, derivative=1)
    exact = mp.sqrt((slope**2 + c * d * ai**2) / c)
    check(l2_norm(AiryKernel(scale, delay), full_output=True), exact)


@pytest.mark.parametrize("order", [0, 1, 2, 5, 40, 170])
@pytest.mark.parametrize("delay, rate", [(0.0, 10.0), (1.3, 4.0), (1e6, 20.0)])
def test_gamma_kernel(delay, order, rate):
    rho, w = GammaKernel(delay, order, rate, -1.5), mp.mpf(rate)
    exact = mp.mpf(1.5) * mp.factorial(order) / w ** (order + 1)
    check(l1_norm(rho, full_output=True), exact, 1e-12)
    exact = mp.mpf(1.5) * mp.sqrt(mp.factorial(2 * order) / (2 * w) ** (2 * order + 1))
    check(l2_norm(rho, full_output=True), exact, 1e-12)


@pytest.mark.parametrize("delay", [0.7, 3.0, 1e4])
def test_two_jumps_close_together(delay):
    """1/w e^{-wt} twice, the second later by h: 2 (1 - e^{-wh})/w."""
    later, w = delay + 2.0**-20, mp.mpf(3)
    result = l1_distance(GammaKernel(delay, 0, 3.0), GammaKernel(later, 0, 3.0), full_output=True)
    check(result, -2 * mp.expm1(-w * (mp.mpf(later) - mp.mpf(delay))) / w, 1e-8)


@pytest.mark.parametrize("decay", [0, 2, 4])
@pytest.mark.parametrize("width", [1, 2, 7, 30, 64, 200])
def test_l2_norm_of_a_legendre_kernel(width, decay):
    """u = (1 + x)/2 couples each coefficient with its neighbour only."""
    draws = np.random.default_rng(3).standard_normal(width)
    rho = LegendreKernel(draws / (1.0 + np.arange(width)) ** decay, 0.4)
    c = [mp.mpf(float(x)) for x in rho.coefficients]
    own = mp.fsum(a**2 / (4 * k + 2) for k, a in enumerate(c))
    next_to = mp.fsum(
        a * b * mp.mpf(k + 1) / ((2 * k + 1) * (2 * k + 3))
        for k, (a, b) in enumerate(itertools.pairwise(c))
    )
    check(l2_norm(rho, full_output=True), mp.sqrt((own + next_to) / mp.mpf(0.4)), 1e-11)


@pytest.mark.parametrize("degree", [0, 1, 2, 9, 40, 150])
def test_l1_norm_of_one_legendre_polynomial(degree):
    """The integral of |P_n(2u-1)| between its zeros; a primitive is (P_(n+1) - P_(n-1))/(2n+1)."""
    rho = LegendreKernel(np.eye(degree + 1)[degree], 0.25)
    nodes = np.polynomial.legendre.leggauss(degree)[0] if degree else []  # an error e costs e^2
    ends = [mp.mpf(-1), *(mp.mpf(float(x)) for x in nodes), mp.mpf(1)]

    def primitive(x):
        return (mp.legendre(degree + 1, x) - mp.legendre(degree - 1, x)) / (2 * degree + 1)

    areas = [abs(primitive(b) - primitive(a)) for a, b in itertools.pairwise(ends)]
    exact = mp.fsum(areas) / 2 if degree else mp.mpf(1)
    check(l1_norm(rho, full_output=True), exact / mp.mpf(0.25), 5e-12)


def test_sampled_kernel_in_rational_arithmetic():
    rng = np.random.default_rng(5)
    times = np.append(0.0, np.cumsum(rng.exponential(size=300)))
    values = rng.normal(size=301)
    t, v = [Fraction(x) for x in times], [Fraction(x) for x in values]
    l1 = l2 = Fraction(0)
    for k in range(300):
        h, a, b = t[k + 1] - t[k], v[k], v[k + 1]
        l1 += h * (abs(a + b) / 2 if a * b >= 0 else (a**2 + b**2) / (2 * abs(a - b)))
        l2 += h * (a**2 + a * b + b**2) / 3
    tail = Fraction(abs(v[-1]), 1) / Fraction(0.25)

    def exact(x):
        return mp.mpf(x.numerator) / x.denominator

    check(l1_norm(SampledKernel(times, values), full_output=True), exact(l1), 1e-12)
    check(l2_norm(SampledKernel(times, values), full_output=True), mp.sqrt(exact(l2)), 1e-12)
    with_tail = SampledKernel(times, values, tail_rate=0.25)
    check(l1_norm(with_tail, full_output=True), exact(l1 + tail), 1e-12)
    both = stack([SampledKernel(times, values), SampledKernel(times, 2 * values), with_tail])
    check(l1_norm(both, full_output=True), exact(4 * l1 + tail), 1e-12)


def test_defective_matrix():
    """(1 - t) e^-t changes sign at 1; its norm is 2/e."""
    rho = StateSpaceKernel([[-1.0, 1.0], [0.0, -1.0]], [0.0, 1.0], [-1.0, 1.0])
    check(l1_norm(rho, full_output=True), 2 / mp.e, 1e-10)
    check(l2_norm(rho, full_output=True), mp.mpf(1) / 2, 1e-10)


def test_rates_over_eighteen_decades():
    rates = np.geomspace(1e-12, 1e6, 64)
    positive = ExponentialSum(rates, rates)
    check(l1_norm(positive, full_output=True), 64, 1e-12)
    signed = ExponentialSum(rates * (-1.0) ** np.arange(64), rates)
    check(l1_norm(signed, full_output=True), exact_l1(signed, log_grid(1e-9, 1e14, 700)), 1e-11)
    check(l2_norm(signed, full_output=True), exact_l2(signed), 1e-11)


def test_three_inputs():
    rng = np.random.default_rng(3)
    rates = np.geomspace(0.01, 10, 7)
    amplitudes = rng.normal(size=(7, 3))
    rho = ExponentialSum(amplitudes, rates)
    parts = [ExponentialSum(column, rates) for column in amplitudes.T]
    exact = mp.fsum(exact_l1(part, log_grid(1e-4, 1e4, 400)) for part in parts)
    check(l1_norm(rho, full_output=True), exact, 1e-11)
    exact = mp.sqrt(mp.fsum(exact_l2(part) ** 2 for part in parts))
    check(l2_norm(rho, full_output=True), exact, 1e-11)


# ------------------------------------------------------------------ differences, by mpmath


def geometric_sum(omega, width, low, high):
    """Trapezoid rule in the logarithm of the rate for the power law's Laplace integral."""
    v = np.linspace(low, high, width)
    x = np.exp(v)
    step = v[1] - v[0]
    return ExponentialSum(step * x ** (1 + omega) * np.exp(-x) / math.gamma(1 + omega), x)


@pytest.mark.parametrize(
    "omega, width, low, high, distance",
    [
        (0.5, 8, -6, 1.5, 1e-1),
        (1.0, 16, -7, 2.5, 1e-3),
        (1.0, 64, -16, 3.6, 1e-7),
        (2.0, 48, -11, 4.0, 1e-9),
        (2.0, 64, -14, 4.2, 1e-11),
        (0.25, 48, -25, 3.0, 1e-3),
    ],
)
def test_power_law_minus_exponential_sum(omega, width, low, high, distance):
    rho, approximation = PowerLaw(omega), geometric_sum(omega, width, low, high)
    grid = log_grid(1e-4, 40 * math.exp(-low), 1200)
    exact = exact_l1(rho - approximation, grid)
    assert distance / 10 < exact < 10 * distance
    check(l1_distance(rho, approximation, full_output=True), exact)
    check(l1_norm(approximation, full_output=True), exact_l1(approximation, [0.0, 1.0]), 1e-12)


def test_l2_of_a_power_law_minus_an_exponential_sum():
    rho, approximation = PowerLaw(2.0), geometric_sum(2.0, 40, -11, 4.0)
    # <rho, e^-wt> = e^w w^omega Gamma(-omega, w).
    with mp.workdps(60):
        cross = mp.fsum(
            mp.mpf(float(a)) * mp.exp(v) * v**2 * mp.gammainc(-2, v)
            for a, v in zip(
                approximation.amplitudes, map(mp.mpf, approximation.rates.tolist()), strict=True
            )
        )
        exact = mp.sqrt(mp.mpf(1) / 5 - 2 * cross + exact_l2(approximation) ** 2)
    check(l2_distance(rho, approximation, full_output=True), exact)


DIFFERENCES = {
    "bump and exponential": (
        GaussianBump(4.0, 0.5),
        ExponentialSum([1.0], [0.3]),
        np.linspace(0, 40, 400),
    ),
    "two bumps close together": (
        GaussianBump(20.0, 0.5),
        GaussianBump(20.0 + 1e-9, 0.5),
        np.linspace(15, 25, 203),
    ),
    "bump and exponential sum with oscillations": (
        GaussianBump(4.0, 1.0),
        oscillation(0.4, 0.3, 0.8, -3.0) + ExponentialSum([0.2], [0.5]),
        np.linspace(0, 180, 900),
    ),
    "airy and exponentials": (
        AiryKernel(2.25, 3.0),
        ExponentialSum([0.7, -0.5], [1.0, 0.2]),
        np.linspace(0, 20, 700),
    ),
    "two oscillations, nearly equal": (
        oscillation(1.0, 0.1, 3.0),
        oscillation(1.0, 0.1, 3.0 + 1e-8),
        np.linspace(0, 450, 1800),
    ),
    "power law and oscillation": (
        PowerLaw(0.5),
        oscillation(1.0, 0.2, 2.0),
        np.linspace(0, 60, 900),
    ),
    "gamma kernel and the networks of width 12": (
        ExponentialSum([1.0], [1.0]) + GammaKernel(1.0, 2, 2.0, 2.0),
        LegendreKernel(np.cos(np.arange(12)) / (1.0 + np.arange(12)) ** 2, 0.3),
        np.linspace(0, 60, 3001),
    ),
    "jump and Legendre kernel": (
        GammaKernel(0.9, 0, 1.0, -1.0),
        LegendreKernel([0.2, -0.4, 0.6], 0.5),
        np.append(np.linspace(0, 60, 2000), [np.nextafter(0.9, 0), 0.9]),
    ),
    "Legendre kernels of widths 5 and 9": (
        LegendreKernel(1 / (1.0 + np.arange(5)) ** 2, 0.3),
        LegendreKernel(1 / (1.0 + np.arange(9)) ** 2, 0.3),
        np.linspace(0, 120, 6000),
    ),
    "power law, bump, exponential": (
        PowerLaw(0.3) + GaussianBump(50.0, 2.0, -3.0),
        ExponentialSum([0.5], [0.02]),
        np.concatenate([np.linspace(0, 100, 400), np.geomspace(101, 1e5, 200)]),
    ),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_differences_of_families(name):
    rho, other, grid = DIFFERENCES[name]
    result = l1_distance(rho, other, full_output=True)
    check(result, exact_l1(rho - other, grid))
    assert l1_distance(other, rho) == pytest.approx(result.value, rel=1e-14)


def test_a_family_without_wider_arithmetic_says_what_it_lost():
    """Airy kernels keep double precision only: the estimate tells, the value stays within it."""
    rho, other = AiryKernel(1.0, 5.0), AiryKernel(1.0, 5.0 + 1e-10)
    result = l1_distance(rho, other, full_output=True)
    exact = exact_l1(rho - other, np.linspace(0, 30, 300))
    assert abs(result.value - exact) <= result.error
    assert 1e-9 * exact < result.error < 1e-3 * exact


WIDE_TERMS = [
    ExponentialSum([(-1) ** k * math.comb(49, k) for k in range(50)], range(1, 51)),
    oscillation(1.3, 0.1, 3.0, 0.3),
    oscillation(1.0, 1e-3, 1e3) + ExponentialSum([0.7, -2.0], [1 / 3, 20.0]),
    PowerLaw(0.3, -1.7),
    PowerLaw(50.0),
    GaussianBump(9.0, 0.3, -2.0),
    GaussianBump(1e6, 4e5),
]


@pytest.mark.parametrize("kernel", WIDE_TERMS)
def test_double_double_values(kernel):
    """28 digits relative to the sum of the moduli, and an honest magnitude after rounding."""
    rho, _ = value_and_tail(kernel)
    t = np.append(np.geomspace(1e-3, 60, 60), np.linspace(7, 11, 20))
    exact = [rho(mp.mpf(x)) for x in t.tolist()]
    (high, low), size = _WIDE[type(kernel)](kernel, t)
    wide = zip(high.tolist(), low.tolist(), size.tolist(), exact, strict=True)
    for h, e, s, x in wide:
        assert abs(mp.mpf(h) + mp.mpf(e) - x) <= mp.mpf("1e-28") * s + mp.mpf("1e-300")
    values, magnitudes = _wide_evaluate([kernel], t)
    for v, m, x in zip(values.tolist(), magnitudes.tolist(), exact, strict=True):
        assert abs(mp.mpf(v) - x) <= 4 * mp.mpf(2) ** -52 * m + mp.mpf("1e-300")
