"""The population loss against mpmath at 100 digits and more."""

import mpmath as mp
import numpy as np
import pytest
from scipy import special

from curse_lib import AiryKernel, ExponentialSum, GaussianBump, PopulationLoss, l2_norm


@pytest.fixture(autouse=True)
def many_digits():
    with mp.workdps(160):
        yield


def exact(values):
    return [mp.mpf(float(v)) for v in values]


def transform(term, s):
    """Laplace transform of a term at s."""
    if isinstance(term, ExponentialSum):
        pairs = zip(term.amplitudes, term.rates, strict=True)
        return mp.re(mp.fsum(mp.mpmathify(a) / (mp.mpmathify(w) + s) for a, w in pairs))
    if isinstance(term, GaussianBump):
        d, width, mass = exact((term.delay, term.width, term.mass))
        edge = mp.erfc((width**2 * s - d) / (mp.sqrt(2) * width))
        return mass / 2 * mp.exp(-s * d + width**2 * s**2 / 2) * edge
    raise NotImplementedError


def moments(loss, state, order, k):
    """The two inner products of the library's method, and the size of what the second adds."""
    m = loss.width
    a0, w0 = exact(loss.start.amplitudes), exact(loss.start.rates)
    alpha, beta = exact(state[:m]), exact(state[m:])
    s, n = w0[k] + beta[k], order + 1
    start = mp.fsum(a / (w + s) ** n for a, w in zip(a0, w0, strict=True))
    now = mp.fsum((a0[i] + alpha[i]) / (w0[i] + beta[i] + s) ** n for i in range(m))
    factor = mp.factorial(order)
    late = [
        (-1) ** order * mp.diff(lambda x, t=term: transform(t, x), s, order)
        for term in loss.target.terms
    ]
    fixed = mp.fsum(late) - factor * start
    size = abs(fixed) if loss.represented else mp.fsum(map(abs, [*late, factor * start]))
    return factor * (now - start), fixed, size


def random_loss(rng):
    m = int(rng.integers(1, 8))
    amplitudes = rng.normal(size=m) * (rng.random(m) < 0.6)
    start = ExponentialSum(amplitudes, rng.uniform(0.2, 4, m))
    bump = GaussianBump(rng.uniform(0, 100), 10 ** rng.uniform(-2, 0.5), rng.normal())
    kinds = [start, ExponentialSum([0.3], [1.0]), ExponentialSum.oscillation(1.0, 0.5, 2.0)]
    state = 10 ** rng.uniform(-30, -1) * rng.uniform(-1, 1, 2 * m)
    return PopulationLoss(kinds[rng.integers(3)] + bump, start), state


@pytest.mark.parametrize("seed", range(28))
def test_inner_products_keep_twelve_digits(seed):
    loss, state = random_loss(np.random.default_rng(seed))
    for order in range(3):
        moving, fixed = loss.inner_products(state, order)
        for k in range(loss.width):
            now, late, size = moments(loss, state, order, k)
            assert abs(moving[k] - now) <= 1e-12 * abs(now)
            assert abs(fixed[k] - late) <= 1e-12 * size


@pytest.mark.parametrize("rate", [6.5, 12.0, 30.0, 90.0])
def test_moments_of_the_edge_of_a_bump(rate):
    # From rates of 6 on the edge at lag 0 outweighs the bump at 1.
    loss = PopulationLoss(GaussianBump(1.0, 0.5), ExponentialSum([0.0], [rate]))
    for order in range(3):
        _, exact_moment, _ = moments(loss, np.zeros(2), order, 0)
        found = loss.inner_products(np.zeros(2), order)[1][0]
        assert abs(found - exact_moment) <= 1e-12 * exact_moment


def test_value_on_a_way_along_which_a_late_bump_fades():
    # The inner product with the bump falls by e^{180} on the way of the rate from 11 to 20.
    bump, a = GaussianBump(20.0, 0.1, 1e96), 0.5
    loss = PopulationLoss(bump, ExponentialSum([a], [20.0]))
    there, here = (a * a / (2 * w) - 2 * a * transform(bump, w) for w in map(mp.mpf, (11, 20)))
    assert abs(loss.value([0.0, -9.0]) - (there - here)) <= 1e-12 * abs(there - here)


@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1e-2])
def test_cancelling_neurons_lose_nothing(scale):
    # Amplitudes that nearly cancel, at rates as close as those of a trained network.
    start = ExponentialSum([1.0, 0.0, 0.0], [1.0, 1.01, 0.99])
    loss = PopulationLoss(start + GaussianBump(100.0, 0.5), start)
    state = scale * np.array([-2.0, 1.0, 1.0, 1e-9, 0.3, 1e-5])
    for order in range(3):
        moving, _ = loss.inner_products(state, order)
        for k in range(3):
            now, *_ = moments(loss, state, order, k)
            assert abs(moving[k] - now) <= 1e-12 * abs(now)


@pytest.mark.parametrize("seed", range(12))
def test_value_gradient_and_hessian(seed):
    loss, state = random_loss(np.random.default_rng(100 + seed))
    m, start = loss.width, loss.start

    def value(*z):
        a = [mp.mpf(x) + d for x, d in zip(start.amplitudes, z[:m], strict=True)]
        w = [mp.mpf(x) + d for x, d in zip(start.rates, z[m:], strict=True)]
        square = mp.fsum(a[i] * a[j] / (w[i] + w[j]) for i in range(m) for j in range(m))
        return square - 2 * mp.fsum(
            a[i] * transform(t, w[i]) for i in range(m) if a[i] for t in loss.target.terms
        )

    z = exact(state)
    found, size = loss._value(state)
    assert abs(found - (value(*z) - value(*[mp.mpf(0)] * 2 * m))) <= 1e-13 * size
    step = mp.mpf(10) ** -50
    gradient, scale, hessian = (
        loss.gradient(state),
        loss._slopes(state, None)[2],
        loss.hessian(state),
    )
    for i in range(2 * m):
        ahead, behind = list(z), list(z)
        ahead[i], behind[i] = z[i] + step, z[i] - step
        slope = (value(*ahead) - value(*behind)) / (2 * step)
        assert abs(gradient[i] - slope) <= 2e-12 * scale[i] + mp.mpf(10) ** -60
    h = 1e-5 * np.abs(loss.start.rates).min()
    for i, e in enumerate(h * np.eye(2 * m)):
        column = (loss.gradient(state + e) - loss.gradient(state - e)) / (2 * h)
        assert hessian[i] == pytest.approx(column, rel=1e-6, abs=1e-6 * np.abs(hessian).max())


def test_airy_target():
    start = ExponentialSum([0.0, 0.3], [1.0, 2.0])
    wave = AiryKernel(2.25, 3.0)
    loss = PopulationLoss(wave + ExponentialSum([0.3], [2.0]), start)
    state = np.array([1e-3, 2e-4, -0.02, 0.01])
    assert loss.represented
    # One rule of 300 points, which knows nothing of panels.
    nodes, weights = np.polynomial.legendre.leggauss(300)
    t, weights = 6 * (1 + nodes), 6 * weights
    values = special.airy(2.25 * (t - 3))[0] * weights
    for order in range(3):
        _, fixed = loss.inner_products(state, order)
        terms = t**order * values * np.exp(-np.multiply.outer(loss.parameters(state)[1], t))
        error = np.abs(fixed - terms.sum(axis=1))
        assert np.all(error <= 1e-13 * np.abs(terms).sum(axis=1))


def test_difference_and_initial_loss_make_the_loss():
    start = ExponentialSum([0.5, 0.3], [1.0, 2.0])
    loss = PopulationLoss(AiryKernel(2.0, 3.0) + GaussianBump(2.0, 0.3), start)
    state = np.array([0.1, -0.2, 0.05, 0.3])
    whole = l2_norm(loss.target - loss.kernel(state)) ** 2
    assert loss.initial + loss.value(state) == pytest.approx(whole, rel=1e-12)
