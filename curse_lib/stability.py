r"""What an approximation survives when its weights move.

A network that is within :math:`\epsilon` of a kernel is of use only if its neighbours are too:
weights are rounded, learned or built. Let :math:`E_m(r)` be the worst error when the weights move
by at most r. Approximations are *stable* if the limit of :math:`E_m(r)` for wide networks goes to
0 with r. For long memories it doesn't, if r is absolute: the slowest rate is the first to reach 0.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg, optimize, special

from curse_lib._checks import number, real_array, whole
from curse_lib.approximation import Approximation
from curse_lib.kernels import ExponentialSum, MemoryKernel
from curse_lib.models import LinearRNN
from curse_lib.norms import _checked

__all__ = [
    "perturbation_error",
    "perturbation_radius",
    "sampled_perturbation_error",
    "slowest_rate_bound",
    "stability_radius",
]

Array = NDArray[np.float64]


def perturbation_error(
    network: LinearRNN | ExponentialSum | Approximation,
    radius: float,
    kind: str = "absolute",
    weights: str = "recurrent",
) -> float:
    r"""The worst L1 change of a diagonal network's kernel when its weights move.

    .. math::
       \begin{aligned}
       P(r) &= \sup \{\|\hat\rho' - \hat\rho\|_1 : \\
       &\qquad |\theta_k' - \theta_k| \le r_k\}, \\
       r_k &= r \text{ (absolute)} \quad \text{or} \\
       r_k &= r|\theta_k| \text{ (relative)}
       \end{aligned}

    Parameters
    ----------
    network : LinearRNN, ExponentialSum or Approximation
        Network whose W is diagonal or made of 2 x 2 rotation blocks. A kernel or an approximation
        stands for ``LinearRNN.from_kernel`` of it.
    radius : float
        Largest change :math:`r \ge 0`: in the unit of the weights, or relative to each.
    kind : {"absolute", "relative"}
        What the radius measures.
    weights : {"recurrent", "all"}
        Whether the rates alone move, or U and c too.

    Returns
    -------
    float
        In the unit of the kernel times time; infinite when a rate may reach the imaginary axis.
        Exactly the supremum for real rates and :math:`c_k U_{ki} \ge 0`, or all :math:`\le 0`
        within each input i (with `weights` "all" in a network with signs of its own: for
        :math:`c, U \ge 0`); an upper bound otherwise.

    Raises
    ------
    ValueError
        If W has other blocks, the radius is negative, or `kind` or `weights` isn't allowed.

    Notes
    -----
    **Rates.** With :math:`a_k = c_k U_{ki}` and :math:`\alpha_k = \mathrm{Re}\,w_k`,

    .. math:: P(r) \le \sum_{k,i} |a_{ki}|
              \Bigl(\frac{1}{\alpha_k - r_k} - \frac{1}{\alpha_k}\Bigr).

    *Proof.* :math:`|e^{-\delta t} - 1| \le e^{|\delta| t} - 1`, so a term changes by at most
    :math:`|a| (e^{-(\alpha - r)t} - e^{-\alpha t})` at every lag; integrate. For real rates and one
    sign all these changes are attained at once, with that sign, when every rate falls by
    :math:`r_k`, so the bound is the supremum.

    Two consequences for one sign and real rates. *Absolute* changes may stop the memory from fading
    as soon as r reaches the slowest rate, whatever the error of the network was. *Relative* ones
    are harmless: :math:`P(r) = \frac{r}{1-r} \|\hat\rho\|_1`, at any width and for any memory.

    **All weights.** The bound is

    .. math::
       \begin{aligned}
       \sum_{k,i} &\frac{(|c_k| + r_k)(|U_{ki}| + r_{ki})}{\alpha_k - r_k} \\
       &- \frac{|c_k U_{ki}|}{\alpha_k}.
       \end{aligned}

    *Proof.* By the triangle inequality

    .. math::
       \begin{aligned}
       &|c'U'e^{\delta t} - cU| \\
       &\quad \le |cU| (e^{rt} - 1) \\
       &\qquad {} + (r|U| + |c|r' + rr') e^{rt},
       \end{aligned}

    with equality when all moduli grow and all rates fall.

    The error of the moved network lies between :math:`P(r) - \epsilon` and :math:`P(r) +
    \epsilon`, with :math:`\epsilon` the error before (where P is the supremum).

    Source: after the perturbation error of S. Wang, Z. Li and Q. Li, "Inverse approximation theory
    for nonlinear recurrent neural networks" (ICLR 2024); closed forms derived here.

    Used in: ``book/rates/what-is-cursed.ipynb``.
    """
    radius = number("radius", radius, nonnegative=True)
    if kind not in ("absolute", "relative"):
        raise ValueError(f'kind must be "absolute" or "relative"; got {kind!r}')
    if weights not in ("recurrent", "all"):
        raise ValueError(f'weights must be "recurrent" or "all"; got {weights!r}')
    kernel, rnn = _diagonal(network)
    size = np.abs(kernel.amplitudes).reshape(kernel.width, -1)
    decay = kernel.rates.real
    relative = kind == "relative"
    slip = radius * (np.abs(kernel.rates) if relative else 1.0)
    if (slip >= decay).any():
        return math.inf
    # 1/(decay - slip) - 1/decay, without cancellation or products of two rates.
    change = float((size.sum(axis=1) * (slip / decay) / (decay - slip)).sum())
    if weights == "all":
        U, c = np.abs(rnn.U), np.abs(rnn.c)[:, None]
        if kernel.rates.dtype == complex:
            # A block's two neurons share one term of modulus |c| |U| at most.
            U, c = _blocks(U, kernel), _blocks(c, kernel)
        more = radius * ((2 + radius) * c * U if relative else c + U + radius)
        change += float((more.sum(axis=1) / (decay - slip)).sum())
    return change


def perturbation_radius(
    network: LinearRNN | ExponentialSum | Approximation,
    tolerance: float,
    kind: str = "absolute",
    weights: str = "recurrent",
) -> float:
    r"""How far weights may move before the kernel changes by a given amount.

    .. math:: r(\epsilon) = \max\{r : P(r) \le \epsilon\}

    with :math:`P` of :func:`perturbation_error`.

    Parameters
    ----------
    network, kind, weights
        As for :func:`perturbation_error`.
    tolerance : float
        L1 change :math:`\epsilon > 0`, in the unit of the kernel times time.

    Returns
    -------
    float
        In the unit of the weights, or relative; below the slowest rate (absolute) or 1 (relative).

    Raises
    ------
    ValueError
        As :func:`perturbation_error`, or if the tolerance isn't positive.

    Notes
    -----
    P is increasing and convex, so bisection in log r finds the radius to 1e-12 relative. One real
    neuron of amplitude a has :math:`r = w \cdot \epsilon w / (a + \epsilon w)`.

    Used in: ``book/rates/what-is-cursed.ipynb``.
    """
    tolerance = number("tolerance", tolerance, positive=True)
    kernel, _ = _diagonal(network)
    most = kernel.rates.real / (np.abs(kernel.rates) if kind == "relative" else 1.0)

    def excess(log: float) -> float:
        change = perturbation_error(network, math.exp(log), kind, weights)
        # Held within the floats, so that a bracket exists for every tolerance.
        return math.log(min(max(change, 5e-324), sys.float_info.max)) - math.log(tolerance)

    limit = float(most.min())
    high = math.log(limit) + 1e-12
    low = high - 1.0
    while excess(low) > 0:
        low -= 30.0
    radius = math.exp(optimize.brentq(excess, low, high, xtol=1e-13))
    return min(radius, math.nextafter(limit, 0.0))


def _diagonal(
    network: LinearRNN | ExponentialSum | Approximation,
) -> tuple[ExponentialSum, LinearRNN]:
    """The kernel of a network in diagonal form, and the network."""
    if isinstance(network, Approximation):
        network = network.rnn
    if isinstance(network, ExponentialSum):
        network = LinearRNN.from_kernel(network)
    if not isinstance(network, LinearRNN) or network._rotations is None:
        raise ValueError(
            "the network must be a LinearRNN whose W has 1 x 1 and 2 x 2 rotation blocks, an "
            f"ExponentialSum or an Approximation; got {network!r}. For a full W see "
            "stability_radius"
        )
    return network.kernel(), network


def _blocks(columns: Array, kernel: ExponentialSum) -> Array:
    """Norms over 2 x 2 blocks over root 2, so that c U bounds the amplitude of each of the two."""
    columns = columns.copy()
    for k in np.flatnonzero(kernel.rates.imag > 0):
        columns[k : k + 2] = np.hypot(columns[k], columns[k + 1]) / math.sqrt(2)
    return columns


def sampled_perturbation_error(
    weights: Sequence[ArrayLike],
    error: Callable[..., float],
    radii: ArrayLike,
    rng: np.random.Generator,
    *,
    directions: int = 10,
    gradient: Callable[..., Sequence[ArrayLike]] | None = None,
    ascents: int = 10,
    norms: Sequence[float] | None = None,
) -> Array:
    r"""The worst error found among models whose weights moved: a lower bound of the worst there is.

    .. math::
       \begin{aligned}
       E(r) &= \sup \{\mathrm{error}(\theta') : \|\theta' - \theta\| \le r\}, \\
       \|\theta\| &= \max(|W|_2, |U|_2, |c|_2, \dots),
       \end{aligned}

    with the spectral norm of matrices and the Euclidean one of vectors.

    Parameters
    ----------
    weights : sequence of array_like
        The model's weights, each a vector or a matrix, such as W, U and c.
    error : callable
        ``error(*weights)``, a number or inf: the error of the model with these weights.
    radii : array_like, shape (n,)
        Radii :math:`r \ge 0`, in any order.
    rng : numpy.random.Generator
        Source of the directions.
    directions : int
        Number of random directions at each radius; each moves all weights as far as r allows.
    gradient : callable, optional
        ``gradient(*weights)``, the derivatives of the error. With it each sample is driven further;
        from the worst alone the ascent would often end at a lower maximum.
    ascents : int
        Steps of that ascent, at most.
    norms : sequence of {2, inf}, optional
        For each array 2, or inf for the largest modulus of an entry: the spectral norm of a
        diagonal matrix that is given by its diagonal. By default 2.

    Returns
    -------
    ndarray, shape (n,)
        At most E(r), and nondecreasing in r: a model within a smaller radius counts for larger
        ones, and the model itself for all.

    Raises
    ------
    ValueError
        If an argument isn't allowed or an error isn't a number.

    Notes
    -----
    All samples are extreme points of the ball: random orthogonal matrices, unit vectors, signs.
    The ascent moves on to the point of the ball at which the linearised error is largest; it never
    descends while the error is convex, and stops when it would. A maximum over samples grows with
    their number and says nothing from above; for the kernels of linear networks
    :func:`perturbation_error` does. Cost directions (1 + ascents) evaluations at each radius.

    Source: Definition 3.4 of S. Wang, Z. Li and Q. Li, "Inverse approximation theory for nonlinear
    recurrent neural networks" (ICLR 2024), where E(r) is estimated by the maximum over 3 or 10
    random perturbations.

    Used in: ``book/plateaus/nonlinear-memory.ipynb``.
    """
    theta = [real_array(f"weights[{i}]", w) for i, w in enumerate(weights)]
    norms = [2.0] * len(theta) if norms is None else [float(p) for p in norms]
    if len(norms) != len(theta) or not set(norms) <= {2.0, math.inf}:
        raise ValueError(f"norms must be {len(theta)} numbers, each 2 or inf; got {norms!r}")
    if not theta or any(w.ndim not in (1, 2) for w in theta):
        raise ValueError("weights must be one or more vectors or matrices")
    radii = np.atleast_1d(real_array("radii", radii))
    if radii.ndim != 1 or (radii < 0).any():
        raise ValueError(f"radii must be one or more numbers >= 0; got {radii!r}")
    whole("directions", directions)
    ascents = whole("ascents", ascents, 0) if gradient is not None else 0

    def moved(radius: float, slopes: Sequence[ArrayLike]) -> list[Array]:
        return [w + radius * _steepest(np.asarray(g), p) for w, g, p in zip(theta, slopes, norms)]

    def measured(point: list[Array]) -> float:
        value = float(error(*point))
        if math.isnan(value):
            raise ValueError("error must return a number or inf; got nan")
        return value

    at_rest = measured(theta)
    found = np.full(radii.shape, at_rest)
    for k in np.flatnonzero(radii):
        for _ in range(directions):
            point = moved(radii[k], [rng.standard_normal(w.shape) for w in theta])
            best = measured(point)
            for _ in range(ascents):
                point = moved(radii[k], gradient(*point)) if math.isfinite(best) else point
                if (value := measured(point)) <= best:
                    break
                best = value
            found[k] = max(found[k], best)
    order = np.argsort(radii)
    found[order] = np.maximum.accumulate(np.maximum(found[order], at_rest))
    return found


def _steepest(slope: Array, order: float) -> Array:
    """The point of the unit ball in which a linear function with this slope is largest."""
    if order == math.inf:
        return np.sign(slope)
    if slope.ndim == 1:
        return slope / (np.linalg.norm(slope) or 1.0)
    left, sizes, right = np.linalg.svd(slope, full_matrices=False)
    return (left * (sizes > 0)) @ right


def stability_radius(network: LinearRNN | Approximation) -> float:
    r"""Distance of a network's W from the matrices that aren't Hurwitz.

    .. math::
       \begin{aligned}
       &\min \{\|\Delta\|_2 : W + \Delta \text{ has an} \\
       &\quad \text{eigenvalue on the imaginary axis}\} \\
       &= \min_\omega \sigma_{\min}(W - i\omega I)
       \end{aligned}

    over complex :math:`\Delta`; real ones reach the axis no earlier.

    Parameters
    ----------
    network : LinearRNN or Approximation
        An approximation stands for its diagonal network.

    Returns
    -------
    float
        In 1/time. At most the slowest rate, and equal to it for normal W (diagonal or 2 x 2
        rotation blocks).

    Raises
    ------
    ValueError
        If the argument isn't a network.

    Notes
    -----
    No realisation of a kernel has a larger radius than its diagonal one: :math:`\sigma_{\min}(W -
    i\omega I) \le |\lambda - i\omega|` for every eigenvalue :math:`\lambda`, and the eigenvalues
    belong to the kernel. The level r is exceeded everywhere unless the Hamiltonian matrix
    :math:`\begin{pmatrix} W & -rI \\ rI & -W^\top \end{pmatrix}` has imaginary eigenvalues; between
    those the minimum is sought. Absolute accuracy about 1e-14 :math:`\|W\|` times the dimension for
    full W. Cost O(m^3).

    Source: R. Byers, SIAM J. Sci. Stat. Comput. 9 (1988), 875-881; N. A. Bruinsma and M. Steinbuch,
    Systems & Control Letters 14 (1990), 287-293.

    Used in: ``book/rates/what-is-cursed.ipynb``.
    """
    rnn = network.rnn if isinstance(network, Approximation) else network
    if not isinstance(rnn, LinearRNN):
        raise ValueError(f"network must be a LinearRNN or an Approximation; got {network!r}")
    if rnn._rotations is not None:
        return float(rnn.rates.real.min())
    W, identity = rnn.W, np.eye(rnn.width)

    def distance(omega: float) -> float:
        return float(linalg.svdvals(W - 1j * omega * identity)[-1])

    best = min(map(distance, np.append(0.0, np.abs(rnn.rates.imag))))
    size = float(np.linalg.norm(W, 2))
    for _ in range(50):
        level = best * (1 - 1e-10)
        values = np.linalg.eigvals(np.block([[W, -level * identity], [level * identity, -W.T]]))
        crossings = np.unique(np.abs(values.imag[np.abs(values.real) < 1e-8 * size]))
        found = [distance(0.5 * (a + b)) for a, b in zip(crossings, crossings[1:], strict=False)]
        found += [distance(a) for a in crossings]
        if min(found, default=best) >= level:
            return best
        best = min(found)
    return best


def slowest_rate_bound(rho: MemoryKernel, error: float, amplitude: float) -> float:
    r"""How slow the slowest neuron of an approximation has to be, whatever its width.

    A network :math:`\hat\rho = \sum_k a_k e^{-w_k t}` with :math:`\sum_k |a_k| \le A` and
    :math:`\|\rho - \hat\rho\|_1 \le \epsilon` has

    .. math::
       \begin{aligned}
       \min_k \mathrm{Re}\,w_k &\le \sup\Bigl\{w : |T(t)| - \frac{A}{w} e^{-wt} \\
       &\qquad \le \epsilon \text{ for all } t \ge 0\Bigr\}, \\
       T(t) &= \int_t^\infty \rho.
       \end{aligned}

    Parameters
    ----------
    rho : MemoryKernel
        Target with one input.
    error : float
        L1 error :math:`\epsilon > 0`, below :math:`\|\rho\|_1`.
    amplitude : float
        Bound A > 0 of the sum of the moduli of the amplitudes, in the unit of rho.

    Returns
    -------
    float
        Upper bound of the slowest rate, in 1/time; infinite if no lag gives one.

    Raises
    ------
    ValueError
        If rho isn't a kernel or has more than one input, or a number isn't positive.

    Notes
    -----
    *Proof.* :math:`|T(t)| \le \int_t^\infty |\hat\rho| + \epsilon`
    :math:`\le \sum_k |a_k| e^{-\alpha_k t} / \alpha_k + \epsilon`, with
    :math:`\alpha_k = \mathrm{Re}\,w_k`, and :math:`e^{-\alpha t} / \alpha` falls with
    :math:`\alpha`. Each lag alone gives a bound; the least over a grid of lags
    is returned. For :math:`(1+t)^{-(1+\omega)}` the bound is :math:`\epsilon^{1/\omega}` up to a
    logarithm: at bounded amplitudes the slowest rate, and with it the absolute
    :func:`stability_radius` of every diagonal network, is exponentially small in
    :math:`1/\omega`. With unbounded amplitudes no slow rate is needed.

    Used in: ``book/rates/what-is-cursed.ipynb``.
    """
    if len(_checked("rho", rho)) != 1:
        raise ValueError(f"the bound is for kernels with one input; got {rho.input_dim}")
    error = number("error", error, positive=True)
    amplitude = number("amplitude", amplitude, positive=True)
    points = rho._breakpoints()
    t = np.unique(np.concatenate([np.linspace(a, b, 9) for a, b in zip(points, points[1:])]))[1:]
    rest = np.abs(rho.tail(t)) - error
    t, rest = t[rest > 0], rest[rest > 0]
    if not t.size:
        return math.inf
    # (A/w) e^{-wt} >= rest reads (wt) e^{wt} <= A t / rest: Lambert's function of the right side.
    log = np.log(amplitude) + np.log(t) - np.log(rest)
    return float((special.wrightomega(log) / t).min()) * (1 + 1e-12)
