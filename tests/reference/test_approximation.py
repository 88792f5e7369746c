"""Approximation against mpmath and closed forms that share nothing with the library's own way."""

import math

import mpmath as mp
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
    approximate,
    decay_constants,
    jackson_bound,
    stack,
)

HRF = SampledKernel(
    np.arange(0.0, 25.0, 1.25),
    [0, 0.1, 0.9, 2.4, 3.4, 3.3, 2.4, 1.3, 0.4, -0.2, -0.5, -0.6, -0.6, -0.5, -0.4, -0.3]
    + [-0.2, -0.15, -0.1, -0.06],
    tail_rate=0.5,
)


# -- the kernels once more, in mpmath


def in_mpmath(rho):
    """The same kernel as an mpmath function of t, and the lags where it isn't smooth."""
    if isinstance(rho, ExponentialSum):
        pairs = [(mp.mpmathify(complex(a)), mp.mpmathify(complex(w)))
                 for a, w in zip(rho.amplitudes, rho.rates, strict=True)]  # fmt: skip
        return lambda t: mp.re(mp.fsum(a * mp.exp(-w * t) for a, w in pairs)), []
    if isinstance(rho, LegendreKernel):
        b, c = mp.mpf(rho.rate), [mp.mpf(float(v)) for v in rho.coefficients]

        def legendre_sum(t):
            u = mp.exp(-b * t)
            x, before, now, total = 2 * u - 1, mp.mpf(0), mp.mpf(1), mp.mpf(0)
            for k, ck in enumerate(c):
                total += ck * now
                before, now = now, ((2 * k + 1) * x * now - k * before) / (k + 1)
            return u * total

        return legendre_sum, []
    if isinstance(rho, PowerLaw):
        return lambda t: mp.mpf(rho.amplitude) * (1 + t) ** (-1 - mp.mpf(rho.omega)), []
    if isinstance(rho, GaussianBump):
        s, d = mp.mpf(rho.width), mp.mpf(rho.delay)
        return lambda t: mp.mpf(rho.mass) * mp.npdf(t, d, s), []
    if isinstance(rho, AiryKernel):
        return lambda t: rho.amplitude * mp.airyai(rho.scale * (t - mp.mpf(rho.delay))), []
    if isinstance(rho, GammaKernel):
        d, w = mp.mpf(rho.delay), mp.mpf(rho.rate)
        return (
            lambda t: rho.amplitude * (t - d) ** rho.order * mp.exp(-w * (t - d)) if t > d else 0,
            [rho.delay],
        )
    if isinstance(rho, SampledKernel):
        times, values = rho.times, rho.values

        def piecewise(t):
            if t >= times[-1]:
                return mp.mpf(values[-1]) * mp.exp(-rho.tail_rate * (t - times[-1]))
            k = min(int(np.searchsorted(times, float(t), side="right")) - 1, times.size - 2)
            share = (t - times[k]) / (times[k + 1] - times[k])
            return values[k] + share * (values[k + 1] - values[k])

        return piecewise, list(times)
    parts = [in_mpmath(term) for term in rho.terms]
    return lambda t: mp.fsum(f(t) for f, _ in parts), [p for _, kinks in parts for p in kinks]


def exact_l1(rho, other, end):
    """int_0^end |rho - other|, split at kinks and at the sign changes found by a fine scan."""
    (f, kinks), (g, _) = in_mpmath(rho), in_mpmath(other)
    scan = np.unique(np.concatenate([np.expm1(np.linspace(0, math.log1p(end), 400)), kinks]))
    values = np.array([float(f(mp.mpf(t)) - g(mp.mpf(t))) for t in scan])
    points = list(scan[:1])
    for left, right, a, b in zip(scan, scan[1:], values, values[1:], strict=False):
        if a * b < 0:
            points.append(mp.findroot(lambda t: f(t) - g(t), (left, right), solver="anderson"))
        points.append(right)
    rule = {"method": "gauss-legendre", "maxdegree": 3}
    return mp.fsum(
        abs(mp.quad(lambda t: f(t) - g(t), [p, q], **rule))
        for p, q in zip(points, points[1:], strict=False)
    )


CASES = {
    "bump": (GaussianBump(3.0, 0.5), 1e-2, 60),
    "airy": (AiryKernel(1.0, 3.0), 1e-3, 60),
    "power law": (PowerLaw(1.0), 2e-2, 1e6),
    "kink": (ExponentialSum([1.0], [1.0]) + GammaKernel(1.0, 2, 2.0, 2.0), 1e-2, 60),
    "oscillation and bump": (
        ExponentialSum.oscillation(1.0, 0.5, 2.0) + GaussianBump(4.0, 1.0), 2e-2, 60,
    ),
    "sampled": (HRF, 0.3, 150),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_certified_tolerance_holds_by_another_route(name):
    rho, tolerance, end = CASES[name]
    found = approximate(rho, tolerance=tolerance)
    exact = exact_l1(rho, found.kernel, end)  # what lies beyond `end` can only add
    assert found.bound <= tolerance
    assert exact <= found.bound
    assert exact >= 0.98 * found.bound  # the certificate is sharp, and the scan saw everything
    assert abs(exact - found.error) < 5e-3 * found.error


def test_a_certified_tolerance_holds_for_three_inputs():
    rho = stack([GaussianBump(2.0, 0.5), PowerLaw(1.5), ExponentialSum([1.0], [0.3])])
    found = approximate(rho, tolerance=0.05)
    exact = mp.mpf(0)
    for part, own in zip(rho.components, found.kernel.components, strict=True):
        exact += exact_l1(part, own, 2e3)
    assert exact <= found.bound <= 0.05
    assert exact >= 0.97 * found.bound


# -- the projection


@pytest.mark.parametrize("rate", [0.8, 2.3, 7.1])
def test_legendre_coefficients_of_an_exponential(rate):
    b, m = 0.25, 24
    found = approximate(ExponentialSum([1.0], [rate]), m, method="jackson", alpha=1, beta=2 * b)
    z = mp.mpf(rate) / b - 1
    for k, c in enumerate(found.kernel.coefficients):
        exact = (2 * k + 1) * mp.fprod((z - j) / (z + j + 2) for j in range(k)) / (z + 1)
        assert abs(c - exact) < 1e-13


def test_the_power_law_is_projected_to_its_infinite_tail():
    found = approximate(PowerLaw(0.5), 6, method="uniform")
    b = mp.mpf(found.kernel.rate)
    for k, c in enumerate(found.kernel.coefficients):
        exact = mp.quad(
            lambda t, k=k: (1 + t) ** mp.mpf(-1.5) * mp.legendre(k, 2 * mp.exp(-b * t) - 1),
            [0, 1, 10, 100, 1e3, 1e4, 1e5, 1e7, 1e9],
        )
        tail = (-1) ** k * 2 / mp.sqrt(1e9)
        assert abs(c - (2 * k + 1) * b * (exact + tail)) < 1e-9


@pytest.mark.parametrize("m", [8, 64])
def test_a_target_of_one_panel_is_projected_on_polynomials_of_any_degree(m):
    found = approximate(SampledKernel([0.0, 1.0], [1.0, 0.0]), m, method="uniform")
    b, k = mp.mpf(found.kernel.rate), m - 1
    exact = mp.quad(
        lambda t: (1 - t) * mp.legendre(k, 2 * mp.exp(-b * t) - 1), mp.linspace(0, 1, 41)
    )
    assert abs(found.kernel.coefficients[k] - (2 * k + 1) * b * exact) < 1e-12


# -- the constants of Theorem 3.2


@pytest.mark.parametrize(
    ("rho", "alpha", "beta"),
    [
        (ExponentialSum.oscillation(1.0, 1.0, 4.0), 2, 0.9),
        (ExponentialSum([1.0, -1.0], [1.01, 1.02]), 1, 1.0),
        (GaussianBump(3.0, 0.5), 3, 1.5),
        (AiryKernel(1.5, 2.0), 2, 0.8),
        (ExponentialSum([1.0], [1.0]) + GammaKernel(1.0, 3, 2.0, 2.0), 2, 0.9),
        (GammaKernel(0.0, 4, 1.0), 3, 0.5),
    ],
)
def test_gamma_against_a_scan_in_mpmath(rho, alpha, beta):
    gamma = decay_constants(rho, alpha, beta)
    f, _ = in_mpmath(rho)
    largest = mp.mpf(0)
    for k in range(alpha + 1):
        scale = mp.mpf(beta) ** (k + 1)
        for t in np.linspace(0.013, 150.013 if beta == 1.0 else 30.013, 400):
            value = mp.exp(beta * t) * mp.diff(f, t, k, direction=0) / scale
            largest = max(largest, abs(value))
        at_zero = mp.diff(f, 0, k, direction=1) / scale
        largest = max(largest, abs(at_zero))
    assert largest <= gamma * (1 + 1e-9)
    assert largest >= 0.98 * gamma


def test_the_seminorm_of_an_exponential():
    # q = u^z with z = w/b - 1 and q^(alpha) = z (z-1) ... u^(z-alpha): a Beta integral.
    alpha, beta, m, rate = 2, 0.6, 9, 2.0
    b, z = beta / 3, rate / (beta / 3) - 1
    exact = mp.beta(2 * z - 2 * alpha + alpha + 1, alpha + 1)
    exact = mp.sqrt(exact) * z * (z - 1)
    exact *= mp.sqrt(mp.factorial(m - alpha) / mp.factorial(m + alpha)) / b
    result = jackson_bound(ExponentialSum([1.0], [rate]), alpha, beta, m, full_output=True)
    assert result.seminorm == pytest.approx(float(exact), rel=1e-10)
