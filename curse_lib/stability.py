r"""What an approximation survives when its weights move.

A network that is within :math:`\epsilon` of a kernel is of use only if its neighbours are too:
weights are rounded, learned or built. Let :math:`E_m(r)` be the worst error when the weights move
by at most r. Approximations are *stable* if the limit of :math:`E_m(r)` for wide networks goes to
0 with r. For long memories it doesn't, if r is absolute: the slowest rate is the first to reach 0.
"""

from __future__ import annotations

import math
import sys

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize, special

from curse_lib._checks import number
from curse_lib.approximation import Approximation
from curse_lib.kernels import ExponentialSum, MemoryKernel
from curse_lib.models import LinearRNN
from curse_lib.norms import _checked

__all__ = ["perturbation_error", "perturbation_radius", "slowest_rate_bound", "stability_radius"]

Array = NDArray[np.float64]


def perturbation_error(
    network: LinearRNN | ExponentialSum | Approximation,
    radius: float,
    kind: str = "absolute",
    weights: str = "recurrent",
) -> float:
    r"""The worst L1 change of a diagonal network's kernel when its weights move.

    .. math:: P(r) = \sup \{\|\hat\rho' - \hat\rho\|_1 : |\theta_k' - \theta_k| \le r_k\}, \qquad
              r_k = r \text{ (absolute)} \quad \text{or} \quad r_k = r|\theta_k| \text{ (relative)}

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

    .. math:: \sum_{k,i} \frac{(|c_k| + r_k)(|U_{ki}| + r_{ki})}{\alpha_k - r_k}
              - \frac{|c_k U_{ki}|}{\alpha_k}.

    *Proof.* By the triangle inequality :math:`|c'U'e^{\delta t} - cU| \le |cU| (e^{rt} - 1) +
    (r|U| + |c|r' + rr') e^{rt}`, with equality when all moduli grow and all rates fall.

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


def stability_radius(network: LinearRNN | Approximation) -> float:
    r"""Distance of a network's W from the matrices that aren't Hurwitz.

    .. math:: \min \{\|\Delta\|_2 : W + \Delta \text{ has an eigenvalue on the imaginary axis}\}
              = \min_\omega \sigma_{\min}(W - i\omega I)

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

    .. math:: \min_k \mathrm{Re}\,w_k \le \sup\Bigl\{w : |T(t)| - \frac{A}{w} e^{-wt} \le \epsilon
              \text{ for all } t \ge 0\Bigr\}, \qquad T(t) = \int_t^\infty \rho.

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
    *Proof.* :math:`|T(t)| \le \int_t^\infty |\hat\rho| + \epsilon \le \sum_k |a_k| e^{-\alpha_k t}
    / \alpha_k + \epsilon`, with :math:`\alpha_k = \mathrm{Re}\,w_k`, and :math:`e^{-\alpha t} /
    \alpha` falls with :math:`\alpha`. Each lag alone gives a bound; the least over a grid of lags
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
