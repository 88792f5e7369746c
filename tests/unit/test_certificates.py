"""The inequalities behind the certificates, one by one, and what is refused."""

from fractions import Fraction

import numpy as np
import pytest
from numpy.polynomial import legendre
from scipy import special

from curse_lib.certificates import (
    _MAJORANTS,
    _second_order,
    _tail,
    _truncation,
    certified_l1_distance,
)
from curse_lib.kernels import (
    AiryKernel,
    ExponentialSum,
    GammaKernel,
    GaussianBump,
    KernelSum,
    LegendreKernel,
    PowerLaw,
    SampledKernel,
    StateSpaceKernel,
    stack,
)
from curse_lib.norms import _ANALYSE, _NODES, l1_distance, l1_norm

oscillation = ExponentialSum.oscillation


def continued(kernel, z):
    """The kernel at complex lags, to the right of its kinks."""
    if isinstance(kernel, ExponentialSum):
        return np.exp(-np.multiply.outer(z, kernel.rates)) @ kernel.amplitudes
    if isinstance(kernel, PowerLaw):
        return kernel.amplitude * (1 + z) ** -(1 + kernel.omega)
    if isinstance(kernel, GaussianBump):
        peak = kernel.mass / (kernel.width * np.sqrt(2 * np.pi))
        return peak * np.exp(-0.5 * ((z - kernel.delay) / kernel.width) ** 2)
    if isinstance(kernel, AiryKernel):
        return kernel.amplitude * special.airy(kernel.scale * (z - kernel.delay))[0]
    if isinstance(kernel, GammaKernel):
        s = z - kernel.delay
        return kernel.amplitude * s**kernel.order * np.exp(-kernel.rate * s)
    if isinstance(kernel, LegendreKernel):
        u = np.exp(-kernel.rate * z)
        return u * legendre.legval(2 * u - 1, kernel.coefficients)
    last, final = kernel.times[-1], kernel.values[-1]
    return final * np.exp(-kernel.tail_rate * (z - last))


FAMILIES = {
    "real exponentials": (ExponentialSum([3.0, -5, 2], [0.3, 1, 4]), 0.0),
    "complex exponentials": (oscillation(2, 0.3, 5, 1.0) + oscillation(-1, 2, 1), 0.0),
    "power law": (PowerLaw(0.4, -2.0), 0.0),
    "bump": (GaussianBump(2.0, 0.3, -1.5), 0.0),
    "Airy": (AiryKernel(1.3, 6.0, -2.0), 0.0),
    "gamma": (GammaKernel(1.5, 3, 0.7, -2.0), 1.5),
    "gamma with a jump": (GammaKernel(0.5, 0, 2.0), 0.5),
    "sampled, beyond": (SampledKernel([0, 0.5], [1.0, -2.0], 1.5), 0.5),
    "Legendre": (LegendreKernel([0.3, -1.0, 0.7, 0.1, -0.4], 0.8), 0.0),
    "Legendre, one": (LegendreKernel(np.eye(9)[8], 0.8), 0.0),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_majorant_bounds_the_kernel_on_ellipses(name):
    kernel, start = FAMILIES[name]
    rng = np.random.default_rng(0)
    turn = np.exp(2j * np.pi * np.arange(400) / 400)
    seen = 0
    for _ in range(400):
        h, r = 10 ** rng.uniform(-2.5, 0.7), 1 + 10 ** rng.uniform(-1, 1.5)
        c = start + h + 10 ** rng.uniform(-2, 1)
        a, b = h * (r + 1 / r) / 2, h * (r - 1 / r) / 2
        with np.errstate(all="ignore"):
            bound = _MAJORANTS[type(kernel)](kernel, *np.array([[c], [a], [b]]))[0]
            values = np.abs(continued(kernel, c + h * (r * turn + 1 / (r * turn)) / 2))
        if np.isfinite(bound) and np.isfinite(values).all():
            assert values.max() <= bound * (1 + 1e-9)
            seen += 1
    assert seen > 100


def test_the_majorant_of_legendre_kernels_holds_all_around_zero():
    kernel = LegendreKernel(np.eye(9)[8], 0.8)
    for turn in (1, 2, np.pi, 5):
        c, a, b = np.array([[1.0], [1.0], [turn / 0.8]])
        sides = 1j * np.linspace(0, b, 100)
        size = np.abs(continued(kernel, np.concatenate([sides, 2 + sides]))).max()
        assert size <= _MAJORANTS[LegendreKernel](kernel, c, a, b) <= 10 * size


@pytest.mark.parametrize("name", FAMILIES)
def test_majorants_of_flat_ellipses_are_nearly_the_values(name):
    kernel, start = FAMILIES[name]
    t = start + np.array([0.2, 1.1, 1.9])
    flat = np.full(3, 1e-9)
    bound = _MAJORANTS[type(kernel)](kernel, t, flat, flat)
    size = np.abs(continued(kernel, t))
    # Terms that cancel, and the prefactor of Ai where it oscillates, are bounded by their moduli.
    assert (bound <= 12 * size + (9 if "exponentials" in name or "Legendre" in name else 0)).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_the_truncation_bound_holds_on_panels(name):
    kernel, start = FAMILIES[name]
    rng = np.random.default_rng(1)
    half = 10 ** rng.uniform(-1, 0.5, 200)
    centre = start + half + rng.uniform(0, 5, 200)
    bound = _truncation([kernel], centre, half)
    x = np.linspace(-1, 1, 1001)
    values = continued(kernel, centre[:, None] + half[:, None] * _NODES).real
    p = legendre.legval(x, (values @ _ANALYSE).T)
    error = np.abs(continued(kernel, centre[:, None] + half[:, None] * x).real - p).mean(axis=1)
    assert (error <= bound + 1e-13 * np.abs(p).max(axis=1)).all()
    assert (bound < 1e-3 * np.abs(p).mean(axis=1)).any()


@pytest.mark.parametrize("name", FAMILIES)
def test_tails_are_bounded(name):
    kernel, _ = FAMILIES[name]
    end = kernel._breakpoints()[-1]
    t = end + np.linspace(0, end, 20001)
    size = np.abs(kernel(t))
    assert (size[1:] + size[:-1]).sum() * (t[1] - t[0]) / 2 <= 1.001 * _tail(kernel, end) + 1e-300


def test_gamma_kernels_are_nothing_before_their_delay():
    c, a, b = np.array([[0.5], [0.6], [0.3]])
    with np.errstate(invalid="ignore"):
        assert _MAJORANTS[GammaKernel](GammaKernel(1.5, 3, 0.7), c, a, b) == 0


def test_closed_forms():
    fast, slow = ExponentialSum([1.0], [2.0]), ExponentialSum([1.0], [1.0])
    assert 0.5 <= certified_l1_distance(fast, slow) <= 0.5 * (1 + 1e-6)
    law = PowerLaw(0.5)
    assert 2 <= certified_l1_distance(law, 0 * law) <= 2 * (1 + 1e-6)
    two = stack([fast, law]), stack([slow, 0 * law])
    assert 2.5 <= certified_l1_distance(*two) <= 2.5 * (1 + 1e-6)


def test_equal_kernels_are_at_distance_zero():
    kernel = PowerLaw(0.5) + ExponentialSum([1.0, 2.0], [1.0, 3.0]) + AiryKernel(1.0, 3.0)
    assert certified_l1_distance(kernel, kernel) == 0
    once = ExponentialSum([3.0], [1.0])
    assert certified_l1_distance(ExponentialSum([1.0, 2.0], [1.0, 1.0]), once) < 1e-20


def test_a_feature_between_the_nodes_is_seen(monkeypatch):
    smooth = ExponentialSum([1.0], [1.0])
    spike = smooth + GaussianBump(2.0, 1e-6, 1e-2)
    # A kernel that knows nothing of its own scales: the measured distance misses the spike.
    monkeypatch.setattr(GaussianBump, "_breakpoints", lambda self: np.array([0.0, 5.0]))
    assert l1_distance(spike, smooth) < 1e-9
    assert 1e-2 <= certified_l1_distance(spike, smooth) <= 1.01e-2


def test_a_feature_that_no_node_shows_counts(monkeypatch):
    hidden = GaussianBump(3.0, 1 / 30, 1e-8)
    monkeypatch.setattr(GaussianBump, "_evaluate", lambda self, t: np.zeros((2, t.size)))
    both = hidden + ExponentialSum([1.0], [1.0])
    assert l1_norm(both) < 1 + 1e-9
    assert 1 + 1e-8 < certified_l1_distance(both, PowerLaw(1.0, 0.0)) < 1.002


def test_what_lies_beyond_the_panels_counts(monkeypatch):
    monkeypatch.setattr(ExponentialSum, "_breakpoints", lambda self: np.array([0.0, 1.0]))
    bound = certified_l1_distance(ExponentialSum([1.0], [1.0]), ExponentialSum([1.0], [2.0]))
    assert 0.5 <= bound <= 0.5 + 2 * np.exp(-1)


def test_rounding_as_large_as_assumed_does_not_break_it(monkeypatch):
    near = AiryKernel(1.0, 4.0), AiryKernel(1.0, 4 + 1e-13)
    x = np.linspace(-4, 25, 200001)
    true = (near[1].delay - 4) * np.abs(special.airy(x)[1]).mean() * 29
    right = KernelSum._evaluate

    def shrunk(self, t):
        values, magnitude = right(self, t)
        error = 8 * 2.0**-52 * magnitude
        return np.sign(values) * np.maximum(np.abs(values) - error, 0), magnitude

    monkeypatch.setattr(KernelSum, "_evaluate", shrunk)
    assert l1_distance(*near) < 0.99 * true < certified_l1_distance(*near)


def test_running_sums_are_as_accurate_as_assumed():
    rng, needed = np.random.default_rng(0), 0
    for size in (10, 20, 40, 80):
        amplitudes = list(rng.normal(size=size) * 10 ** rng.uniform(-5, 25, size))
        for _ in range(2):  # they add up to next to nothing
            amplitudes.append(-float(sum(map(Fraction, amplitudes))))
        kernel = ExponentialSum(amplitudes, np.arange(1.0, size + 3))
        value, magnitude = kernel._evaluate(np.zeros(1))
        error = abs(Fraction(value[0]) - sum(map(Fraction, amplitudes)))
        assumed = 16 * 2.0**-52 * magnitude[0]
        assert error <= assumed + _second_order(kernel, np.zeros(1))[0]
        needed += error > assumed
    assert needed


def test_late_steep_samples():
    rng = np.random.default_rng(0)
    for _ in range(20):
        times = np.append(0.0, 1e6 + 1e-3 * np.arange(5))
        values = np.append([0.0, 0.0], rng.normal(size=4))
        ends = values[1:-1], values[2:]
        crossing = np.where(ends[0] * ends[1] < 0, 0, 1)
        size = np.abs(ends[0]) + np.abs(ends[1])
        area = np.where(crossing, size, (ends[0] ** 2 + ends[1] ** 2) / size) / 2
        true = area @ np.diff(times[1:])
        kernel = SampledKernel(times, values)
        assert true <= certified_l1_distance(kernel, 0 * kernel) * (1 + 1e-15) <= 1.0001 * true


def test_jumps_a_few_ulps_apart():
    for ulps in (1, 2, 5, 20, 100):
        late = 0.3 + ulps * np.spacing(0.3)
        bound = certified_l1_distance(GammaKernel(0.3, 0, 1e10), GammaKernel(late, 0, 1e10))
        assert 2 * (late - 0.3) * (1 - 1e-4) <= bound <= 2.01 * (late - 0.3) + 1e-14


def test_differences_below_rounding_are_evaluated_again():
    bumps = GaussianBump(3.0, 0.3), GaussianBump(3 + 1e-13, 0.3)
    measured = l1_distance(*bumps)
    assert measured * (1 - 1e-9) <= certified_l1_distance(*bumps) <= 1.001 * measured


def test_values_of_any_size():
    for size in (1e-310, 1e-200, 1e200, 1e300):
        near = certified_l1_distance(ExponentialSum([size], [1.0]), ExponentialSum([size], [2.0]))
        assert 0.5 <= near / size <= 0.501
    for rate in (1e-290, 1e-30, 1e30, 1e290):
        pair = ExponentialSum([rate], [rate]), ExponentialSum([rate], [2 * rate])
        assert 0.5 <= certified_l1_distance(*pair) <= 0.501


def test_a_power_that_no_float_holds():
    pair = GammaKernel(0.0, 100, 0.1), GammaKernel(0.0, 100, 0.1, 0.5)
    half = 0.5 * pair[0].tail(0.0)
    assert half <= certified_l1_distance(*pair) <= 1.001 * half


def test_families_without_certificate_are_refused():
    kernel = StateSpaceKernel(-np.eye(2), [1.0, 0.0], [1.0, 1.0])
    with pytest.raises(ValueError, match="StateSpaceKernel has no certificate.*diagonalise"):
        certified_l1_distance(kernel, ExponentialSum([1.0], [1.0]))

    class Half(PowerLaw):
        pass

    with pytest.raises(ValueError, match="Half has no certificate.*l1_distance"):
        certified_l1_distance(PowerLaw(1.0), Half(1.0))
    with pytest.raises(ValueError, match="input_dim"):
        certified_l1_distance(PowerLaw(1.0), stack([PowerLaw(1.0)] * 2))
    with pytest.raises(ValueError, match="MemoryKernel"):
        certified_l1_distance(PowerLaw(1.0), np.ones(3))


def test_values_that_are_not_finite_are_refused(monkeypatch):
    bad = lambda self, t: (np.full(t.size, np.nan), np.ones(t.size))  # noqa: E731
    monkeypatch.setattr(AiryKernel, "_evaluate", bad)
    with pytest.raises(ValueError, match="no finite bound"):
        certified_l1_distance(AiryKernel(1.0, 2.0), ExponentialSum([1.0], [1.0]))
