"""Least-squares fits of sampled kernels by exponential sums."""

import numpy as np
import pytest

from curse_lib import ExponentialSum, LinearRNN, PowerLaw, fit_exponential_sum

LAGS = np.linspace(0.0, 20.0, 41)


@pytest.mark.parametrize(
    "rho",
    [
        ExponentialSum([2.0], [0.3]),
        ExponentialSum([1.0, -0.5], [0.2, 1.5]),
        ExponentialSum.oscillation(1.0, 0.2, 1.0, 0.4),
        ExponentialSum.oscillation(1.0, 0.3, 1.0) + ExponentialSum([1.0], [0.8]),
        ExponentialSum.oscillation(1.0, 0.1, 0.5) + ExponentialSum.oscillation(-0.5, 0.3, 2.0),
    ],
    ids=["one", "two-real", "pair", "three", "two-pairs"],
)
def test_a_sum_of_that_width_is_found_again(rho):
    found = fit_exponential_sum(LAGS, rho(LAGS), rho.width)
    assert found.width == rho.width
    np.testing.assert_allclose(found(LAGS), rho(LAGS), atol=1e-6)
    beyond = np.linspace(20, 60, 41)  # the rates are right, not only the values
    np.testing.assert_allclose(found(beyond), rho(beyond), atol=1e-5)
    assert isinstance(LinearRNN.from_kernel(found), LinearRNN)


def test_a_wider_fit_is_not_worse():
    values = PowerLaw(0.5)(LAGS)
    errors = [
        np.linalg.norm(fit_exponential_sum(LAGS, values, m)(LAGS) - values) for m in range(1, 6)
    ]
    for narrow, wide in zip(errors, errors[2:], strict=False):
        assert wide <= narrow * (1 + 1e-9)
    assert errors[4] < 1e-3 * errors[0]


def test_optimality_in_the_amplitudes():
    """At the optimum the weighted residual is orthogonal to every column of the fit."""
    rng = np.random.default_rng(5)
    values = PowerLaw(1.0)(LAGS) + 0.05 * rng.normal(size=LAGS.size)
    weights = rng.uniform(0.5, 2.0, LAGS.size)
    found = fit_exponential_sum(LAGS, values, 3, weights=weights)
    residual = weights * (found(LAGS) - values)
    columns = np.exp(-np.multiply.outer(LAGS, found.rates))
    assert np.abs(columns.T @ residual).max() < 1e-8


def test_weights_decide_which_values_count():
    values = np.exp(-0.5 * LAGS)
    values[20] += 1.0
    careless = np.ones(LAGS.size)
    careful = np.where(np.arange(LAGS.size) == 20, 0.0, 1.0)
    true_rate = fit_exponential_sum(LAGS, values, 1, weights=careful).rates[0]
    assert true_rate == pytest.approx(0.5, rel=1e-6)
    assert fit_exponential_sum(LAGS, values, 1, weights=careless).rates[0] < 0.48


def test_scale_invariance():
    """Time and amplitude scale through the fit."""
    values = PowerLaw(0.7)(LAGS)
    plain = fit_exponential_sum(LAGS, values, 2)
    scaled = fit_exponential_sum(1e3 * LAGS, 5 * values, 2)
    np.testing.assert_allclose(np.sort(1e3 * scaled.rates), np.sort(plain.rates), rtol=1e-5)
    np.testing.assert_allclose(scaled(1e3 * LAGS), 5 * plain(LAGS), rtol=1e-6)


@pytest.mark.parametrize("unit", [1e-150, 1e-9, 1e-3, 1e6, 1e150])
def test_units_of_the_kernel_do_not_matter(unit):
    rho = ExponentialSum([1.0, 0.5], [0.3, 1.1])
    found = fit_exponential_sum(LAGS, unit * rho(LAGS), 2)
    np.testing.assert_allclose(np.sort(found.rates), rho.rates, rtol=1e-6)
    np.testing.assert_allclose(found(LAGS) / unit, rho(LAGS), atol=1e-8)


def test_a_rate_that_is_double():
    """The limit of two rates that meet: t e^{-t/2}, as two nearly equal rates."""
    found = fit_exponential_sum(LAGS, LAGS * np.exp(-LAGS / 2), 2)
    np.testing.assert_allclose(found(LAGS), LAGS * np.exp(-LAGS / 2), atol=1e-8)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((LAGS, LAGS[:3], 1), r"got \(41,\), \(3,\)"),
        ((LAGS, np.full(41, np.nan), 1), "finite"),
        ((LAGS, LAGS + 1j, 1), "values must hold real numbers"),
        ((LAGS[::-1], LAGS, 1), "increase"),
        ((LAGS, LAGS, 0), "from 1 to 20"),
        ((LAGS, LAGS, 21), "from 1 to 20"),
        ((LAGS, LAGS, 1.5), "got 1.5"),
    ],
)
def test_wrong_input_is_refused(arguments, reason):
    with pytest.raises(ValueError, match=reason):
        fit_exponential_sum(*arguments)


def test_weights_must_allow_something():
    with pytest.raises(ValueError, match="positive"):
        fit_exponential_sum(LAGS, LAGS, 1, weights=np.zeros(41))
