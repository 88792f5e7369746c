"""Near-best networks: what must hold for every target."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_lib import ExponentialSum, GaussianBump, PowerLaw, approximate, l1_distance, l1_norm

settings.register_profile("reduction", max_examples=8, deadline=None, derandomize=True)
settings.load_profile("reduction")


@given(st.floats(0.2, 2), st.integers(1, 12))
def test_floor_error_and_bound_stand_in_order(omega, width):
    rho = PowerLaw(omega)
    balanced, best = (approximate(rho, width, method=name) for name in ("balanced", "l1"))
    assert best.floor <= best.error <= best.bound
    assert best.error <= balanced.error * (1 + 1e-12)
    assert balanced.error <= 1.1 * best.error


@given(st.floats(0.01, 100), st.sampled_from([PowerLaw(1.0), GaussianBump(3.0, 0.6)]))
def test_the_unit_of_rho_does_not_matter(scale, rho):
    one, other = (approximate(k, 5, method="l1").error for k in (rho, scale * rho))
    assert other == pytest.approx(scale * one, rel=1e-6)


@pytest.mark.parametrize(
    ("rho", "width"), [(PowerLaw(0.5), 6), (PowerLaw(1.0), 12), (GaussianBump(4.0, 0.5), 8)]
)
def test_no_neighbour_is_better(rho, width):
    best = approximate(rho, width, method="l1")
    rng, kernel = np.random.default_rng(0), best.kernel
    upper = kernel.rates.imag >= 0
    w, a = kernel.rates[upper] + 0j, kernel.amplitudes[upper] + 0j
    real = w.imag == 0
    for size in (1e-2, 1e-4, 1e-5):
        for _ in range(6):
            noise = size * rng.standard_normal((4, w.size))
            rates = w.real * np.exp(noise[0]) + 1j * w.imag * np.exp(noise[1])
            sizes = a * (1 + noise[2] + 1j * np.where(real, 0, noise[3]))
            near = ExponentialSum(
                np.concatenate([sizes, sizes[~real].conj()]),
                np.concatenate([rates, rates[~real].conj()]),
            )
            assert l1_distance(rho, near) >= best.error * (1 - 1e-9) - 1e-15 * l1_norm(rho)
