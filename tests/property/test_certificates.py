"""Certificates: what must hold for every pair of kernels."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

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
from curse_lib.norms import l1_distance, l1_norm

settings.register_profile("certificates", max_examples=40, deadline=None, derandomize=True)
settings.load_profile("certificates")

amplitude = st.floats(-5, 5).filter(lambda x: abs(x) > 1e-6)
positive = st.floats(0.05, 20)
several = st.lists(amplitude, min_size=2, max_size=8)
kernels = st.one_of(
    st.builds(
        lambda a, w: ExponentialSum(a, w[: len(a)]), several, st.just(np.geomspace(0.1, 9, 8))
    ),
    st.builds(ExponentialSum.oscillation, amplitude, positive, positive),
    st.builds(PowerLaw, st.floats(0.1, 5), amplitude),
    st.builds(GaussianBump, st.floats(0, 30), st.floats(0.05, 3), amplitude),
    st.builds(AiryKernel, st.floats(0.2, 3), st.floats(0, 8), amplitude),
    st.builds(lambda v, r: SampledKernel(np.arange(len(v)), v, r), several, st.none() | positive),
    st.builds(GammaKernel, st.floats(0, 5), st.integers(0, 4), positive, amplitude),
    st.builds(LegendreKernel, several, positive),
)


@given(kernels, kernels)
def test_it_is_just_above_the_measured_distance(rho, other):
    measured = l1_distance(rho, other, full_output=True)
    bound = certified_l1_distance(rho, other)
    assert measured.value - measured.error <= bound
    assert bound <= 1.005 * measured.value + 1e-11 * (l1_norm(rho) + l1_norm(other))


@given(kernels, kernels, kernels)
def test_symmetry_sums_and_stacks(rho, other, third):
    bound = certified_l1_distance(rho, other)
    assert np.isclose(bound, certified_l1_distance(other, rho), rtol=1e-12)
    assert np.isclose(certified_l1_distance(rho + third, other + third), bound, rtol=1e-3)
    both = certified_l1_distance(stack([rho, third]), stack([other, third]))
    assert np.isclose(both, bound, rtol=1e-3)


@given(kernels, kernels, st.floats(-200, 200))
def test_amplitudes_scale_it(rho, other, digits):
    factor = 10.0**digits
    bound = certified_l1_distance(rho, other)
    scaled = certified_l1_distance(factor * rho, factor * other)
    assert np.isclose(scaled / factor, bound, rtol=1e-4)


@given(several, several, st.floats(-100, 100))
def test_time_scales_it(first, second, digits):
    factor = 10.0**digits
    rates, bounds = np.geomspace(0.1, 9, 8), []
    for scale in (1.0, factor):
        rho = ExponentialSum(scale * np.array(first), scale * rates[: len(first)])
        other = LegendreKernel(scale * np.array(second), scale)
        bump = GaussianBump(3 / scale, 0.1 / scale) + GammaKernel(2 / scale, 0, scale, scale)
        bounds.append(certified_l1_distance(rho + bump, other))
    assert np.isclose(*bounds, rtol=1e-3)
