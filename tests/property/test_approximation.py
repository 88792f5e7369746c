"""Approximation: what must hold for every target."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_lib import (
    AiryKernel,
    ExponentialSum,
    GammaKernel,
    GaussianBump,
    PowerLaw,
    approximate,
    decay_constants,
    jackson_bound,
    l1_norm,
)

settings.register_profile("approximation", max_examples=15, deadline=None, derandomize=True)
settings.load_profile("approximation")

amplitude = st.floats(-5, 5).filter(lambda x: abs(x) > 1e-3)
rate = st.floats(0.5, 8)


@st.composite
def smooth_targets(draw):
    """Kernels of class C^1 at least, whose slowest rate is 0.5 or more."""
    kinds = draw(st.lists(st.sampled_from("eogba"), min_size=1, max_size=2))
    total = ExponentialSum([draw(amplitude)], [draw(rate)])
    for kind in kinds:
        delay = draw(st.floats(0, 4))
        total = (
            total
            + {
                "e": lambda: ExponentialSum([draw(amplitude)], [draw(rate)]),
                "o": lambda: ExponentialSum.oscillation(draw(amplitude), draw(rate), draw(rate)),
                "g": lambda d=delay: GammaKernel(d, draw(st.integers(2, 4)), draw(rate)),
                "b": lambda d=delay: GaussianBump(d, draw(st.floats(0.3, 2)), draw(amplitude)),
                "a": lambda d=delay: AiryKernel(draw(st.floats(0.7, 2)), d, draw(amplitude)),
            }[kind]()
        )
    return total


@given(smooth_targets(), st.integers(1, 40), st.floats(0.1, 0.45))
def test_error_seminorm_and_theorem_stand_in_order(rho, m, beta):
    found = approximate(rho, m, method="jackson", alpha=1, beta=beta)
    result = jackson_bound(rho, 1, beta, m, full_output=True)
    rounding = 1e-12 * l1_norm(rho)
    assert found.error <= found.bound <= 1.02 * found.error + rounding
    assert found.error <= result.seminorm * (1 + 1e-9) + rounding
    assert result.seminorm <= result.value * (1 + 1e-9)
    assert found.theorem_bound == pytest.approx(result.value, rel=1e-12)


@given(smooth_targets(), st.floats(0.01, 100))
def test_the_unit_of_time_does_not_matter(rho, scale):
    def scaled(term):
        """scale * rho(scale * t), term by term."""
        if isinstance(term, ExponentialSum):
            return ExponentialSum(scale * term.amplitudes, scale * term.rates)
        if isinstance(term, GammaKernel):
            size = term.amplitude * scale ** (term.order + 1)
            return GammaKernel(term.delay / scale, term.order, scale * term.rate, size)
        if isinstance(term, GaussianBump):
            return GaussianBump(term.delay / scale, term.width / scale, term.mass)
        return AiryKernel(scale * term.scale, term.delay / scale, scale * term.amplitude)

    other = sum(scaled(term) for term in rho.terms)
    ours = approximate(rho, 9, method="jackson", alpha=1, beta=0.4)
    theirs = approximate(other, 9, method="jackson", alpha=1, beta=0.4 * scale)
    assert theirs.error == pytest.approx(ours.error, rel=1e-8, abs=1e-12 * l1_norm(rho))
    assert theirs.theorem_bound == pytest.approx(ours.theorem_bound, rel=5e-6)


@given(smooth_targets(), st.floats(0.1, 0.45))
def test_the_theorem_promises_more_to_wider_networks(rho, beta):
    bounds = [jackson_bound(rho, 1, beta, m) for m in (1, 2, 3, 5, 9, 17)]
    assert all(b > a for a, b in zip(bounds[1:], bounds, strict=False))


@given(smooth_targets(), st.floats(-4, 4).filter(lambda x: abs(x) > 0.01))
def test_gamma_is_a_norm_of_the_kernel(rho, factor):
    gamma = decay_constants(rho, 1, 0.3)
    assert decay_constants(factor * rho, 1, 0.3) == pytest.approx(abs(factor) * gamma, rel=3e-6)


@given(st.floats(0.3, 2), st.sampled_from([1e-1, 3e-2, 1e-2]))
def test_a_tolerance_is_kept_and_the_width_below_misses_it(omega, tolerance):
    found = approximate(PowerLaw(omega), tolerance=tolerance, method="geometric")
    assert found.bound <= tolerance
    if found.width > 1:
        narrower = approximate(PowerLaw(omega), found.width - 1, method="geometric")
        assert narrower.error > 0.97 * tolerance


@given(smooth_targets(), st.integers(1, 12))
def test_every_method_is_certified_and_the_default_is_the_best(rho, m):
    found = [approximate(rho, m, method=method) for method in ("uniform", "geometric")]
    best = approximate(rho, m)
    for one in found:
        assert one.width == m and np.all(one.rates > 0)
        assert one.error <= one.bound + 1e-12
    assert best.error <= min(one.error for one in found) + 1e-12
