"""Certificates against distances that mpmath integrates at 30 digits.

The reference finds the sign changes on a fine grid, polishes them by bisection and integrates
between them; it shares nothing with the library but the parameters.
"""

import mpmath as mp
import numpy as np
import pytest

from curse_lib.certificates import certified_l1_distance
from curse_lib.kernels import (
    AiryKernel,
    ExponentialSum,
    GammaKernel,
    GaussianBump,
    LegendreKernel,
    PowerLaw,
    SampledKernel,
    stack,
)
from curse_lib.norms import l1_norm

oscillation = ExponentialSum.oscillation


@pytest.fixture(autouse=True)
def thirty_digits():
    with mp.workdps(30):
        yield


def exact(value):
    """A float array as mpmath numbers."""
    return [mp.mpmathify(complex(x)) if np.iscomplexobj(value) else mp.mpf(float(x)) for x in value]


def value(term):
    """One term as a function of an mpmath lag."""
    if isinstance(term, ExponentialSum):
        pairs = list(zip(exact(term.amplitudes), exact(term.rates), strict=True))
        return lambda t: mp.re(mp.fsum(a * mp.exp(-w * t) for a, w in pairs))
    if isinstance(term, PowerLaw):
        return lambda t: term.amplitude * (1 + t) ** -(1 + mp.mpf(term.omega))
    if isinstance(term, GaussianBump):
        return lambda t: term.mass * mp.npdf(t, term.delay, term.width)
    if isinstance(term, AiryKernel):
        return lambda t: term.amplitude * mp.airyai(term.scale * (t - mp.mpf(term.delay)))
    if isinstance(term, GammaKernel):

        def gamma(t):
            s = t - mp.mpf(term.delay)
            return term.amplitude * s**term.order * mp.exp(-term.rate * s) if s >= 0 else mp.mpf(0)

        return gamma
    if isinstance(term, LegendreKernel):

        def series(t):
            u = mp.exp(-term.rate * t)
            return u * mp.fsum(
                c * mp.legendre(k, 2 * u - 1) for k, c in enumerate(exact(term.coefficients))
            )

        return series

    def sampled(t):
        times, values = exact(term.times), exact(term.values)
        if t >= times[-1]:
            rate = term.tail_rate
            return mp.mpf(0) if rate is None else values[-1] * mp.exp(-rate * (t - times[-1]))
        k = max(k for k, time in enumerate(times) if time <= t)
        share = (t - times[k]) / (times[k + 1] - times[k])
        return values[k] + share * (values[k + 1] - values[k])

    return sampled


def distance(rho, other, grid):
    """The L1 distance on [0, last of grid]; the grid must hold kinks and separate sign changes."""
    signed = [(+1, value(t)) for t in rho.terms] + [(-1, value(t)) for t in other.terms]
    total = mp.mpf(0)
    for left, right in zip(grid[:-1], grid[1:], strict=True):
        left, right = mp.mpf(float(left)), mp.mpf(float(right))
        # Inside of the panel, a kink at its end counts from the right side.
        tiny = (right - left) * mp.mpf(10) ** -27

        def f(t, low=left + tiny, high=right - tiny):
            return mp.fsum(s * v(min(max(t, low), high)) for s, v in signed)

        cuts, low, high = [left, right], left, right
        if f(left) * f(right) < 0:
            up = f(left) < 0
            for _ in range(100):
                middle = (low + high) / 2
                low, high = (middle, high) if (f(middle) < 0) == up else (low, middle)
            cuts = [left, low, right]
        total += sum(
            abs(mp.quad(f, [p, q], method="gauss-legendre"))
            for p, q in zip(cuts[:-1], cuts[1:], strict=True)
        )
    return total


FIT = np.geomspace(0.02, 20, 8)
SMOOTH = ExponentialSum([1.0], [1.0])
TIMES = np.array([0, 0.3, 0.7, 1.0, 1.9, 2.5])
DECAY = np.append(0, np.geomspace(0.01, 80, 40))
PAIRS = {
    "power law and exponentials": (
        PowerLaw(5.0),
        ExponentialSum(0.1 * np.sqrt(FIT), FIT),
        np.append(DECAY, np.geomspace(100, 1e9, 40)),
    ),
    "two power laws": (PowerLaw(3.0), PowerLaw(3.1), np.append(0, np.geomspace(0.01, 1e12, 60))),
    "bump": (GaussianBump(3.0, 0.3), SMOOTH, np.append(np.linspace(0, 7, 57), [10, 20, 40, 80])),
    "hidden spike": (
        SMOOTH + GaussianBump(2.0, 1e-6, 1e-4),
        ExponentialSum([1.0], [1.1]),
        np.concatenate([[0, 0.5, 1, 1.5], 2 + 1e-6 * np.arange(-14, 15), [2.5, 4, 8, 16, 32, 64]]),
    ),
    "Airy": (AiryKernel(1.0, 6.0), SMOOTH, np.append(np.linspace(0, 24, 97), [40, 80])),
    "two Airy kernels": (AiryKernel(1.0, 4.0), AiryKernel(1.0, 4 + 1e-6), np.linspace(0, 24, 97)),
    "samples that end": (
        SampledKernel(TIMES, np.exp(-TIMES)),
        SMOOTH,
        np.unique(np.concatenate([TIMES, np.linspace(0, 2.5, 26), np.arange(3, 80, 4)])),
    ),
    "samples with a tail": (
        SampledKernel(TIMES, np.cos(3 * TIMES), 0.5),
        SMOOTH,
        np.unique(np.concatenate([TIMES, np.linspace(0, 2.5, 26), np.arange(3, 140, 4)])),
    ),
    "oscillations": (
        oscillation(1.0, 0.5, 3.0),
        oscillation(1.0, 0.55, 3.05, 0.1),
        np.linspace(0, 120, 481),
    ),
    "gamma kink": (
        SMOOTH + GammaKernel(1.0, 2, 2.0, 2.0),
        ExponentialSum([1.5], [0.9]),
        np.unique(np.append(np.linspace(0, 8, 33), np.arange(10, 80, 5))),
    ),
    "gamma jump": (
        GammaKernel(0.7, 0, 1.0),
        SMOOTH,
        np.unique(np.append(np.linspace(0, 7, 41), np.arange(10, 80, 5))),
    ),
    "Legendre": (
        LegendreKernel([0.5, -0.2, 0.1, 0.05, 0.2], 0.5),
        SMOOTH,
        np.append(np.linspace(0, 8, 33), np.arange(10, 150, 5)),
    ),
    "nearly equal rates": (SMOOTH, ExponentialSum([1.0], [1 + 1e-9]), DECAY),
    "nearly equal sums": (
        PowerLaw(4.0) + SMOOTH,
        PowerLaw(4 + 1e-9) + SMOOTH,
        np.append(0, np.geomspace(0.01, 1e9, 60)),
    ),
    "nearly equal bumps": (
        GaussianBump(3.0, 0.3),
        GaussianBump(3 + 1e-9, 0.3),
        np.append(0, np.linspace(0.1, 7, 57)),
    ),
}


def check(rho, other, true):
    """An upper bound, and a close one."""
    bound = mp.mpf(certified_l1_distance(rho, other))
    assert bound >= true
    assert true <= 1e-10 * l1_norm(rho) or bound <= 1.02 * true


@pytest.mark.parametrize("name", PAIRS)
def test_the_certificate_is_above_the_distance_and_close(name):
    rho, other, grid = PAIRS[name]
    check(rho, other, distance(rho, other, grid))


@pytest.mark.parametrize("name", PAIRS)
def test_values_are_as_accurate_as_the_proof_assumes(name):
    rho, other, grid = PAIRS[name]
    lags = np.random.default_rng(0).uniform(0, min(grid[-1], 60), 60)
    for term in rho.terms + other.terms:
        true = value(term)
        for t, v, magnitude in zip(lags, *term._evaluate(lags), strict=True):
            assert abs(v - true(mp.mpf(float(t)))) <= 16 * 2.0**-52 * magnitude + 1e-300


def test_inputs_add_up():
    pairs = [PAIRS[name] for name in ("nearly equal rates", "gamma jump")]
    true = sum(distance(*pair) for pair in pairs)
    check(stack([p[0] for p in pairs]), stack([p[1] for p in pairs]), true)


def test_a_wrong_value_is_noticed(monkeypatch):
    rho, other, grid = PAIRS["gamma jump"]
    true, right = distance(rho, other, grid), GammaKernel._evaluate

    def wrong(self, t):
        values, magnitude = right(self, t)
        return (1 - 1e-3) * values, magnitude

    monkeypatch.setattr(GammaKernel, "_evaluate", wrong)
    with pytest.raises(AssertionError):
        check(rho, other, true)
