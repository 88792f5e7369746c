"""Hankel singular values against 60 digits, and floors against brute force."""

import math

import mpmath as mp
import numpy as np
import pytest
from numpy.polynomial import legendre
from scipy.optimize import minimize

from curse_lib import (
    AiryKernel,
    ExponentialSum,
    GaussianBump,
    LegendreKernel,
    PowerLaw,
    StateSpaceKernel,
    hankel_singular_values,
    l1_distance,
    l1_norm,
    width_floor,
)
from curse_lib.hankel import _gauss, _tails

#: sigma_m of (1+t)^-(1+omega). With t = e^v the operator has the kernel e^{(v+v')/2} (1 + e^v +
#: e^{v'})^-(1+omega) on the line: the trapezoidal rule in v, steps 0.18 and 0.16, ends where e^v
#: and e^{-omega v} are 1e-48 and 1e-52. The eigenvectors of the matrix in double precision were
#: corrected with residuals and Rayleigh quotients of 70 digits (python-flint) until the residual
#: was below 1e-50. Both rules gave these digits.
POWER_LAW = {
    1.0: {
        1: "0.40176688309459850417",
        2: "0.069753533710891667692",
        4: "0.0060397211006664076210",
        8: "0.00018699166772519348793",
        16: "1.3084107971198384179e-6",
        32: "1.0901358727728791131e-9",
    },
    0.5: {
        1: "0.67743629295309560990",
        2: "0.18653704082279628330",
        4: "0.031236396619239083531",
        8: "0.0025190589850744828000",
        16: "7.0785734544152522889e-5",
        32: "4.4078425526664790600e-7",
    },
    0.25: {
        1: "1.0452534731530702764",
        2: "0.41853064137519479140",
        4: "0.11659840316140648506",
        8: "0.019245552334001177466",
        16: "0.0015007757696713691727",
        32: "4.0203071384860572693e-5",
    },
}


@pytest.mark.parametrize("omega", sorted(POWER_LAW))
@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200])
def test_power_laws(omega, scale):
    result = hankel_singular_values(scale * PowerLaw(omega), 32, full_output=True)
    for m, digits in POWER_LAW[omega].items():
        value, error = result.values[m - 1], result.errors[m - 1]
        assert value == pytest.approx(scale * float(digits), rel=1e-12)
        assert abs(value / scale - float(digits)) <= error / scale + 2e-16 * float(digits)
        assert result.lower[m - 1] <= scale * float(digits) * (1 + 1e-15)
    assert result.relative


def test_the_stored_digits_by_their_recipe():
    # Rayleigh's quotient forgives: from vectors of double precision it has twice their digits.
    with mp.workdps(40):
        h, m = mp.mpf("0.3"), 4
        t = [mp.exp(h * k) for k in range(-190, 191)]
        x = np.array([float(v) for v in t])
        matrix = 0.3 * np.sqrt(np.outer(x, x)) / (1 + np.add.outer(x, x)) ** 2
        vector = [mp.mpf(float(v)) for v in np.linalg.eigh(matrix)[1][:, -m]]
        root = [mp.sqrt(h * v) for v in t]
        y = [v * r for v, r in zip(vector, root)]
        image = [sum(b / (1 + s + u) ** 2 for b, u in zip(y, t)) for s in t]
        value = mp.fdot(y, image) / mp.fdot(vector, vector)
        assert abs(value / mp.mpf(POWER_LAW[1.0][m]) - 1) < 1e-18


def cauchy_values(amplitudes, rates, digits):
    """Singular values of a sum with positive amplitudes, from its Gramian in many digits."""
    with mp.workdps(digits):
        a, w = [mp.mpf(x) for x in amplitudes], [mp.mpf(x) for x in rates]
        n = len(a)
        gram = mp.matrix(n, n)
        for i in range(n):
            for j in range(n):
                gram[i, j] = mp.sqrt(a[i] * a[j]) / (w[i] + w[j])
        return [float(x) for x in sorted(mp.eigsy(gram, eigvals_only=True), reverse=True)]


def test_all_values_of_64_rates():
    rng = np.random.default_rng(3)
    amplitudes, rates = rng.uniform(0.1, 3, 64), np.sort(10 ** rng.uniform(-3, 3, 64))
    exact = cauchy_values(amplitudes, rates, 110)
    rho = ExponentialSum(amplitudes, rates)
    result = hankel_singular_values(rho, 64, full_output=True)
    assert exact[-1] < 1e-30 * exact[0]
    assert result.values == pytest.approx(exact, rel=1e-11, abs=0) and result.relative
    assert np.all(result.lower <= np.array(exact)) and np.all(result.lower > 0.999 * result.values)
    assert 2 * result.values.sum() == pytest.approx(l1_norm(rho), rel=1e-13)


def test_two_exponentials_in_closed_form():
    # Eigenvalues of [[a/2w, c], [c, b/2v]], c = sqrt(ab)/(w+v), from trace and determinant.
    for a, b, w, v in [(1, 2, 1, 3), (1, 1, 1, 1.001), (5, 1e-3, 1e-58, 1e58)]:
        with mp.workdps(150):
            a, b, w, v = map(mp.mpf, (a, b, w, v))
            half = (a / w + b / v) / 4
            product = a * b * (w - v) ** 2 / (4 * w * v * (w + v) ** 2)
            large = half + mp.sqrt(half**2 - product)
            exact = [float(large), float(product / large)]
        values = hankel_singular_values(
            ExponentialSum([float(a), float(b)], [float(w), float(v)]), 2
        )
        assert values == pytest.approx(exact, rel=1e-13, abs=0)


def test_mixed_signs_and_oscillations_against_many_digits():
    rho = ExponentialSum([1.0, -2.0, 0.7], [0.3, 1.0, 4.0]) + ExponentialSum.oscillation(1, 0.2, 2)
    with mp.workdps(60):
        a, w = [mp.mpmathify(x) for x in rho.amplitudes], [mp.mpmathify(x) for x in rho.rates]
        n = len(a)
        # Eigenvalues of Gamma on the span of the exponentials.
        map_ = mp.matrix(n, n)
        for i in range(n):
            for j in range(n):
                map_[i, j] = a[i] / (w[i] + w[j])
        exact = sorted((float(abs(x)) for x in mp.eig(map_, left=False, right=False)), reverse=True)
    values = hankel_singular_values(rho, n)
    assert values == pytest.approx(exact, rel=1e-12, abs=1e-14)


def test_smooth_kernels_on_other_panels():
    nodes, weights = legendre.leggauss(20)
    for rho, end in [
        (GaussianBump(4.0, 0.5), 9.5),
        (AiryKernel(1.0, 3.0), 22.0),
        (LegendreKernel([1.0, -0.5, 0.25], 1.0), 40.0),
    ]:
        points = np.linspace(0, end, 38)
        half = np.diff(points)[:, None] / 2
        t, u = (points[:-1, None] + half * (1 + nodes)).ravel(), (half * weights).ravel()
        matrix = np.sqrt(np.outer(u, u)) * rho(np.add.outer(t, t))
        exact = np.sort(np.abs(np.linalg.eigvalsh(matrix)))[::-1][:20]
        result = hankel_singular_values(rho, 20, full_output=True)
        assert np.abs(result.values - exact).max() <= 1e-13 * exact[0]
        assert np.all(np.abs(result.values - exact) <= result.errors)
        assert result.errors[0] < 1e-12 * exact[0]


def test_state_space_has_the_values_of_its_gramians():
    W = np.array([[-1.0, 2.0, 0.0], [-2.0, -1.0, 1.0], [0.0, 0.0, -0.5]])
    rho = StateSpaceKernel(W, [0.0, 0.0, 1.0], [1.0, 0.0, 0.0])
    result = hankel_singular_values(rho, 4, full_output=True)
    # [Gamma] on the cross Gramian: W X + X W = -U c^T has the eigenvalues of Gamma.
    eye = np.eye(3)
    X = np.linalg.solve(
        np.kron(W, eye) + np.kron(eye, W.T), -np.outer([0, 0, 1], [1, 0, 0]).ravel()
    )
    exact = np.sort(np.abs(np.linalg.eigvals(X.reshape(3, 3))))[::-1]
    assert np.abs(result.values[:3] - exact).max() <= 1e-13 * exact[0]
    assert result.values[3] <= 1e-13 * exact[0]


def best_error(rho, width, starts):
    """The least L1 error found over networks of real rates, started from many points."""

    def error(x):
        rates = np.exp(x[width:])
        return l1_distance(rho, ExponentialSum(x[:width] * rates, rates))

    best = math.inf
    for log in starts:
        mass = np.full(width, 0.5 * l1_norm(rho) / width)
        options = {"xatol": 1e-5, "fatol": 1e-7, "maxiter": 250}
        found = minimize(error, np.append(mass, log), method="Nelder-Mead", options=options)
        best = min(best, found.fun)
    return best


@pytest.mark.parametrize("rho", [PowerLaw(1.0), ExponentialSum([1.0, 1.0, 2.0], [0.2, 1.0, 5.0])])
@pytest.mark.parametrize("width, most", [(1, 2.7), (2, 4)])
def test_brute_force_stays_above_the_floor(rho, width, most):
    starts = {1: [[-1.0], [1.0]], 2: [[-1.0, 1.0]]}[width]
    best = best_error(rho, width, starts)
    floor = width_floor(rho, width, rigorous=True)
    assert floor <= best <= most * floor, best / floor


def test_no_switches_beat_the_search():
    # For m = 1 the floor is the minimum over xi of max |F|: a fine scan finds no lower one.
    rho, s = PowerLaw(0.5), np.append(0.0, np.geomspace(1e-4, 1e6, 4000))
    scan = min(np.abs(rho.tail(s) - 2 * rho.tail(s + x)).max() for x in np.geomspace(1, 100, 2000))
    assert width_floor(rho, 1) == pytest.approx(scan, rel=2e-3) and width_floor(rho, 1) <= scan


def test_nodes_and_weights_are_as_good_as_the_proof_says():
    def values(z):
        below, here = mp.mpf(1), z
        for k in range(1, 64):
            below, here = here, ((2 * k + 1) * z * here - k * below) / (k + 1)
        return here, 64 * (z * here - below) / (z * z - 1)

    eps = np.finfo(float).eps
    with mp.workdps(40):
        for node, weight in zip(*_gauss(), strict=True):
            z = mp.mpf(float(node))
            for _ in range(3):
                value, slope = values(z)
                z -= value / slope
            exact = 2 / ((1 - z * z) * values(z)[1] ** 2)
            assert abs(z - float(node)) <= eps and abs(float(weight) / exact - 1) <= 128 * eps


def test_tails_are_as_wrong_as_they_say_and_no_more():
    t = np.append(0.0, np.geomspace(1e-6, 300.0, 60))
    for rho in (PowerLaw(0.3, 2.0), ExponentialSum([1.0, 0.1], [0.7, 3.0])):
        values, errors = _tails(list(rho.terms), t)
        with mp.workdps(40):
            for x, value, error in zip(t.tolist(), values, errors, strict=True):
                if isinstance(rho, PowerLaw):
                    w = mp.mpf(rho.omega)
                    exact = rho.amplitude / w * (1 + mp.mpf(x)) ** -w
                else:
                    pairs = zip(rho.amplitudes.tolist(), rho.rates.tolist(), strict=True)
                    exact = sum(mp.mpf(a) / w * mp.exp(-mp.mpf(w) * x) for a, w in pairs)
                assert abs(value - exact) <= error <= 1e-12 * exact
