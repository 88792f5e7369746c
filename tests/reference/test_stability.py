"""Perturbed weights against sampled ones and against closed forms."""

import math

import numpy as np
import pytest

from curse_lib import (
    ExponentialSum,
    LinearRNN,
    PowerLaw,
    approximate,
    l1_distance,
    l1_norm,
    perturbation_error,
    perturbation_radius,
    random_hurwitz,
    slowest_rate_bound,
    stability_radius,
)
from curse_lib.stability import sampled_perturbation_error

KERNELS = [
    ExponentialSum([1.0, 0.5], [0.2, 2.0]),
    ExponentialSum([1.0, -0.5, 2.0], [0.3, 1.0, 1.1]),
    ExponentialSum([[1.0, 2.0], [3.0, 0.1]], [0.4, 1.0]),
    ExponentialSum.oscillation(1.0, 0.3, 2.0, 0.5),
]


@pytest.mark.parametrize("kind", ["absolute", "relative"])
@pytest.mark.parametrize("weights", ["recurrent", "all"])
@pytest.mark.parametrize("rho", KERNELS)
def test_no_sample_is_worse(rho, kind, weights):
    rng, rnn, r = np.random.default_rng(1), LinearRNN.from_kernel(rho), 0.05
    worst = perturbation_error(rnn, r, kind, weights)

    def moved(values, size):
        size = size * np.abs(values) if kind == "relative" else size
        return values + size * rng.choice([-1, 1], values.shape) * (values != 0)

    for _ in range(20):
        W = moved(rnn.W, r)
        if np.iscomplexobj(rho.rates):
            # Rates move as complex numbers, by at most r.
            W = rnn.W + r * (abs(rho.rates[0]) if kind == "relative" else 1) * np.array(
                [[0.6, 0.8], [-0.8, 0.6]]
            ) * rng.choice([-1, 1])
        U, c = (rnn.U, rnn.c) if weights == "recurrent" else (moved(rnn.U, r), moved(rnn.c, r))
        assert l1_distance(LinearRNN(W, U, c).kernel(), rho) <= worst * (1 + 1e-12)


@pytest.mark.parametrize("kind", ["absolute", "relative"])
@pytest.mark.parametrize("rho", [KERNELS[0], KERNELS[2]])
def test_positive_amplitudes_attain_it(rho, kind):
    r = 0.1
    slower = rho.rates - r * (rho.rates if kind == "relative" else 1.0)
    exact = l1_distance(ExponentialSum(rho.amplitudes, slower), rho)
    assert perturbation_error(rho, r, kind) == pytest.approx(exact, rel=1e-12)
    larger = (rho.amplitudes + r) * (1 + r) if kind == "absolute" else rho.amplitudes * (1 + r) ** 2
    exact = l1_distance(ExponentialSum(larger, slower), rho)
    assert perturbation_error(rho, r, kind, "all") == pytest.approx(exact, rel=1e-12)


def test_relative_changes_are_harmless_whatever_the_memory():
    for omega, width in ((1.0, 8), (0.25, 20)):
        found = approximate(PowerLaw(omega), width, method="balanced")
        size = l1_norm(found.kernel)
        assert perturbation_error(found, 0.01, "relative") == pytest.approx(size / 99, rel=1e-9)
        radius = perturbation_radius(found, 0.01 * size, "relative")
        assert radius == pytest.approx(0.01 / 1.01, rel=1e-9)


def test_absolute_changes_end_with_the_slowest_rate():
    found = approximate(PowerLaw(0.5), 10, method="l1")
    slowest = found.rates.min()
    assert stability_radius(found) == slowest
    assert perturbation_error(found, slowest) == math.inf
    assert 0 < perturbation_radius(found, 0.01) < slowest < 1e-4


def test_one_neuron_in_closed_form():
    a, w, e = 2.0, 0.5, 0.1
    radius = perturbation_radius(ExponentialSum([a], [w]), e)
    assert radius == pytest.approx(w * e * w / (a + e * w), rel=1e-11)


def test_distance_to_instability():
    # Normal matrices: the slowest rate. A Jordan block: known from its resolvent.
    rng = np.random.default_rng(2)
    Q = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    W = Q @ np.diag([-1.0, -0.3, -2.0, -5.0]) @ Q.T
    assert stability_radius(LinearRNN(W, np.ones(4), np.ones(4))) == pytest.approx(0.3, rel=1e-9)
    W = np.array([[-1.0, 10.0], [0.0, -1.0]])
    exact = np.sqrt((102 - np.sqrt(102**2 - 4)) / 2)
    assert stability_radius(LinearRNN(W, np.ones(2), np.ones(2))) == pytest.approx(exact, rel=1e-9)
    for seed in range(5):
        W = random_hurwitz(6, np.random.default_rng(seed))
        rnn = LinearRNN(W, np.ones(6), np.ones(6))
        grid = np.linspace(0, 5, 4001)
        sampled = np.linalg.svd(W - 1j * grid[:, None, None] * np.eye(6), compute_uv=False)[:, -1]
        found = stability_radius(rnn)
        assert found <= sampled.min() * (1 + 1e-9) and found == pytest.approx(
            sampled.min(), rel=1e-3
        )
        assert found <= rnn.rates.real.min() * (1 + 1e-9)


def test_other_coordinates_are_no_more_stable():
    found = approximate(PowerLaw(1.0), 5, method="balanced")
    assert stability_radius(found.cascade) <= stability_radius(found) * (1 + 1e-6)


@pytest.mark.parametrize("omega", [0.25, 0.5, 1.0])
def test_the_slowest_rate_is_forced(omega):
    rho, slowest = PowerLaw(omega), []
    for width in (4, 8, 16):
        found = approximate(rho, width, method="l1")
        amplitude = found.kernel.amplitudes.sum()
        bound = slowest_rate_bound(rho, found.bound, amplitude)
        assert found.rates.min() <= bound <= 1000 * found.rates.min()
        slowest.append((math.log(found.error), math.log(bound)))
    (e0, w0), _, (e1, w1) = slowest
    assert (w1 - w0) / (e1 - e0) == pytest.approx(1 / omega, rel=0.25)


def test_what_is_refused():
    rho = KERNELS[0]
    for call, message in (
        (lambda: perturbation_error(rho, -1.0), "radius"),
        (lambda: perturbation_error(rho, 0.1, "both"), "kind"),
        (lambda: perturbation_error(rho, 0.1, weights="none"), "weights"),
        (lambda: perturbation_error(PowerLaw(1.0), 0.1), "LinearRNN"),
        (lambda: perturbation_radius(rho, 0.0), "tolerance"),
        (lambda: stability_radius(rho), "network"),
        (lambda: slowest_rate_bound(KERNELS[2], 0.1, 1.0), "one input"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_blocks_count_with_all_their_weights():
    # A slow rotation is nearly two equal real neurons, for which the supremum is attained.
    W, r = np.array([[-1.0, 1e-3], [-1e-3, -1.0]]), 0.01
    rnn = LinearRNN(W, np.ones(2), np.ones(2))
    moved = LinearRNN(W + r * np.eye(2), (1 + r) * np.ones(2), (1 + r) * np.ones(2))
    worst = perturbation_error(rnn, r, weights="all")
    assert l1_distance(moved.kernel(), rnn.kernel()) == pytest.approx(worst, rel=1e-3)


@pytest.mark.parametrize("kind, limit", [("absolute", 0.2), ("relative", 1.0)])
@pytest.mark.parametrize("weights", ["recurrent", "all"])
def test_all_tolerances_have_a_radius(kind, limit, weights):
    radii = [
        perturbation_radius(KERNELS[0], tolerance, kind, weights)
        for tolerance in (5e-324, 1e-310, 1e-200, 1.0, 1e200, 1.7e308)
    ]
    assert np.all(np.diff(radii) >= 0) and 0 <= radii[0] < 1e-300
    assert 0.99 * limit < radii[-1] < limit


@pytest.mark.parametrize("rate", [1e-200, 1e200])
def test_rates_near_the_ends_of_the_floats(rate):
    rho = ExponentialSum([rate], [rate])
    assert perturbation_error(rho, 0.01, "relative") == pytest.approx(1 / 99, rel=1e-12)
    assert perturbation_radius(rho, 0.01) == pytest.approx(rate / 101, rel=1e-9)


def test_the_slowest_rate_of_what_is_no_kernel():
    with pytest.raises(ValueError, match="rho must be a MemoryKernel"):
        slowest_rate_bound(None, 0.1, 1.0)


def kernel_error(rho):
    """The L1 distance from rho of the kernel of a network given by its rates, U and c."""
    return lambda w, U, c: l1_distance(ExponentialSum(c * U, w), rho) if w.min() > 0 else math.inf


def test_samples_are_below_the_worst_and_the_ascent_nears_it():
    rho = KERNELS[0]
    weights, radii = (rho.rates, rho.amplitudes, np.ones(2)), [0.02, 0.0, 0.1, 0.19]
    worst = [perturbation_error(rho, r, weights="all") for r in radii]

    def gradient(w, U, c):
        # Of the integral of the kernel, its L1 norm as long as all amplitudes are positive.
        return -c * U / w**2, c / w, U / w

    options = {"norms": (np.inf, np.inf, np.inf), "directions": 5}
    found = sampled_perturbation_error(
        weights, kernel_error(rho), radii, np.random.default_rng(1), **options
    )
    climbed = sampled_perturbation_error(
        weights, kernel_error(rho), radii, np.random.default_rng(1), gradient=gradient, **options
    )
    assert found[1] == 0 and np.all(found <= climbed) and np.all(climbed <= np.array(worst) + 1e-12)
    # All weights move at once and as far as they may: the ascent finds the supremum itself.
    assert climbed == pytest.approx(worst, rel=1e-10)
    # The balls of Definition 3.4 are smaller.
    small = sampled_perturbation_error(
        weights, kernel_error(rho), radii, np.random.default_rng(1), norms=(np.inf, 2, 2)
    )
    assert np.all(small <= worst) and small[2] > 0.3 * worst[2]


def test_ball_of_a_matrix():
    # max of the trace of W over |W - 1|_2 <= r is m (1 + r); of c over |c| <= r it is r sqrt(m).
    m, rng = 6, np.random.default_rng(2)
    found = sampled_perturbation_error(
        (np.eye(m), np.zeros(m)),
        lambda W, c: np.trace(W) + c.sum(),
        [0.5, 2.0],
        rng,
        gradient=lambda W, c: (np.eye(m), np.ones(m)),
    )
    assert found == pytest.approx([m * (1 + r) + r * math.sqrt(m) for r in (0.5, 2.0)], rel=1e-12)
    seen = []
    sampled_perturbation_error(
        (np.eye(m), np.zeros(m), np.zeros((m, 2))),
        lambda W, c, U: seen.append((W - np.eye(m), c, U)) or 0.0,
        [0.7],
        rng,
        norms=(2, 2, np.inf),
    )
    assert len(seen) == 11
    for W, c, U in seen[1:]:
        assert np.linalg.svd(W, compute_uv=False) == pytest.approx(np.full(m, 0.7), rel=1e-10)
        assert np.linalg.norm(c) == pytest.approx(0.7) and np.all(np.abs(U) == 0.7)


def test_larger_balls_hold_the_smaller_ones():
    radii = np.array([0.3, 0.1, 0.2])
    found = sampled_perturbation_error(
        (np.ones(3),), lambda c: math.cos(20 * c[0]), radii, np.random.default_rng(3)
    )
    assert found[1] <= found[2] <= found[0] and found.min() >= math.cos(20)


def test_what_samples_refuse():
    rng = np.random.default_rng(4)

    def call(weights=([1.0, 1.0],), error=lambda c: 0.0, radii=(0.1,), **options):
        return sampled_perturbation_error(weights, error, radii, rng, **options)

    assert call(error=lambda c: math.inf) == [math.inf]
    for refused, message in (
        (lambda: call(weights=()), "one or more"),
        (lambda: call(weights=(np.ones((2, 2, 2)),), error=lambda W: 0.0), "vectors or matrices"),
        (lambda: call(radii=(-0.1,)), "radii"),
        (lambda: call(norms=(1,)), "each 2 or inf"),
        (lambda: call(norms=(2, 2)), "must be 1 numbers"),
        (lambda: call(directions=0), "directions"),
        (lambda: call(error=lambda c: math.nan), "got nan"),
    ):
        with pytest.raises(ValueError, match=message):
            refused()
