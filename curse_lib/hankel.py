r"""What no linear RNN of a given width can do: Hankel singular values and floors of the L1 error.

The Hankel operator of a kernel maps what the past sent in to what the future will hear of it. A
network of width m passes everything through m numbers, so its operator has rank m at most, and the
distance of the kernel's operator from such operators is a floor under every width-m error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray
from scipy import special
from scipy.interpolate import CubicSpline
from scipy.linalg import lapack
from scipy.sparse.linalg import svds

from curse_lib._checks import frozen, whole
from curse_lib.certificates import _MAJORANTS, _RADII
from curse_lib.kernels import ExponentialSum, MemoryKernel, PowerLaw
from curse_lib.norms import _checked, _exponent

__all__ = ["FloorResult", "HankelResult", "hankel_singular_values", "width_floor"]

Array = NDArray[np.float64]

_EPS = float(np.finfo(float).eps)
#: Angles of the rays along which the trapezoidal rule's integrand is bounded.
_ANGLES = np.linspace(0.02, 0.99, 60) * np.pi / 2
#: Largest matrix of the quadrature for general kernels.
_MOST_NODES = 1200
#: Order of the quadrature with a proven error.
_ORDER = 64


@dataclass(frozen=True, eq=False)
class HankelResult:
    r"""Hankel singular values with what is known about their accuracy.

    Parameters
    ----------
    values : ndarray, shape (count,)
        The singular values :math:`\sigma_1 \ge \sigma_2 \ge \dots`, 0 beyond the rank.
    errors : ndarray, shape (count,)
        Error of each value, absolute: first-order bounds for "Cauchy", bounds or estimates from
        two discretisations for the others.
    lower : ndarray, shape (count,)
        Lower bounds: see :func:`width_floor` for what is proven of them.
    relative : bool
        Whether every value other than 0 has at least eight correct digits of its own.
    method : str
        "Cauchy" (exponential sums), "trapezoid" (with power laws) or "quadrature" (all others).

    Used in: ``hankel_singular_values``.
    """

    values: Array
    errors: Array
    lower: Array
    relative: bool
    method: str


@dataclass(frozen=True, eq=False)
class FloorResult:
    r"""A floor under the error of every network of one width, and what it rests on.

    Parameters
    ----------
    value : float
        The floor: the larger of the next two, or with `rigorous` the lower end of `enclosure`.
    hankel : float
        Lower bound of :math:`\sigma_{m+1}`, from `lower` of :class:`HankelResult`.
    alternation : float or None
        The alternation floor; None where the kernel isn't completely monotone or no alternation
        was found.
    switches, points : ndarray, shape (m,) and (m + 1,)
        The :math:`\xi_k` and the :math:`s_j` of the alternation; empty without one.
    enclosure : tuple of float, or None
        With `rigorous`, two numbers between which the exact value of what was evaluated lies: the
        least peak :math:`\min_j |F_\xi(s_j)|`, or value m + 1 of the operator's compression. They
        say how much of the floor went to rounding and truncation.

    Used in: ``width_floor``.
    """

    value: float
    hankel: float
    alternation: float | None
    switches: Array
    points: Array
    enclosure: tuple[float, float] | None


# --------------------------------------------------------------------------- singular values


def hankel_singular_values(
    rho: MemoryKernel, count: int, full_output: bool = False
) -> Array | HankelResult:
    r"""The largest singular values of the Hankel operator of a kernel.

    .. math::
       \begin{gathered}
       (\Gamma f)(t) = \int_0^\infty \rho(t+s)\,f(s)\,ds, \\
       f \in L^2(0, \infty)
       \end{gathered}

    With d inputs the d operators are stacked.

    Parameters
    ----------
    rho : MemoryKernel
        Kernel with d >= 1 inputs.
    count : int
        How many values, at least 1.
    full_output : bool
        Return a :class:`HankelResult` with error bounds.

    Returns
    -------
    ndarray, shape (count,), or HankelResult
        In the unit of rho times the unit of time, largest first. Exactly 0 beyond the width of an
        exponential sum (Kronecker).

    Raises
    ------
    ValueError
        If `rho` isn't a kernel, `count` isn't a positive whole number, or the norm of an
        exponential sum or power law is beyond the range of floats.

    Notes
    -----
    **Exponential sums.** With the orthonormal functions :math:`\varphi_k` of
    :attr:`Approximation.cascade`, for rates in any order, :math:`\sqrt{a_i} e^{-w_i t} = \sum_k
    G_{ik} \varphi_k(t)` with

    .. math:: G_{ik} = \sqrt{a_i}\,\frac{\sqrt{2\,\mathrm{Re}\,w_k}}{w_i + \bar w_k}
                       \prod_{l<k} \frac{w_i - w_l}{w_i + \bar w_l},

    so the singular values are those of :math:`X = G^\top S G`, where S holds the signs that the
    roots leave out. For positive amplitudes, :math:`S = 1`, they are the squares of those of G.
    Only differences of given numbers and sums of positive ones occur, so every entry of G is
    accurate to a few roundings, however small. With the largest remaining row as the next pivot
    (G is then the pivoted Cholesky factor of a scaled Cauchy matrix), G is well-conditioned up to
    the scaling of its columns, and Jacobi's method keeps that accuracy: positive amplitudes have a
    relative error of about 1e-13 in all values, though the last is 1e-60 of the first. Mixed signs
    and complex rates have it where X is as graded as G, and at least 1e-14 of
    :math:`\sum_i |a_i| / 2\,\mathrm{Re}\,w_i` otherwise.

    *Lower bounds.* If :math:`Y, Z` are the first k singular vectors as computed, :math:`\Delta` the
    roots of the singular values, and :math:`B = \Delta^{-1} Y^* X Z \Delta^{-1}`, then
    :math:`\sigma_k \ge \min \Delta^2 (1 - \|B - 1\|_F)` :math:`/ (\|Y\| \|Z\|)`. The entries of G
    are products of factors whose rounding is known, so that of B is bounded by a number of eps
    times :math:`(|G| |Y| \Delta^{-1})^\top (|G| |Z| \Delta^{-1})`. Columns of G that were left
    out only add to the values. This is a proof, for exponential sums alone.

    **Power laws**, their sums with each other and with exponential sums: the trapezoidal rule in
    :math:`v = \log x` makes an exponential sum of

    .. math::
       \begin{aligned}
       &A\,(1+t)^{-(1+\omega)} \\
       &\quad = \frac{A}{\Gamma(1+\omega)} \int_0^\infty x^\omega e^{-x} e^{-xt}\,dx.
       \end{aligned}

    In the strip :math:`|\mathrm{Im}\,v| < y` its integrand grows by :math:`(\cos y)^{-(1+\omega)}`
    at most, and a singular function of value :math:`\sigma` by about :math:`\sigma^{-1/2}`, so the
    step is the largest :math:`2\pi y / (\mu + \log(A/\sigma)`
    :math:`{} + (1+\omega) \log(1/\cos y))` and the
    ends lie where :math:`x^\omega` and :math:`x^\omega e^{-x}` are :math:`e^{-\mu} \sigma/A`. The
    rule is applied with two :math:`\mu`, 24 and 32. The second gives the values, about 1e-13
    of each where the amplitudes are positive; the errors hold a fiftieth of the difference. Values
    above 1e-6 of the norm come from an ordinary decomposition, which is faster.

    **All other kernels**: the matrix :math:`\sqrt{u_i u_j}\,\rho(t_i + t_j)` on Gauss-Legendre
    panels with weights u. Smooth families of the certificates (bumps, Airy kernels, gamma kernels
    without delay, Legendre kernels; sums of these and of exponentials) have equal panels of order
    64 and the error bound of :func:`width_floor`, about 1e-13 of :math:`\sigma_1`. All others,
    and these where the bound is poor, have panels that are halved until two rules agree to 1e-13
    of :math:`\sigma_1` or there are 1200 nodes: an estimate. A kink of rho at lag D is a kink
    along :math:`t + s = D`, which panels can't follow: sampled and delayed gamma kernels stop at
    1e-5 or so, and `errors` says where. A :class:`~curse_lib.LegendreKernel` stays as it is: the
    amplitudes of its expanded form cancel.

    Cost: O(n r^2) for n rates and r singular values above rounding; a few ms for 64 rates, a tenth
    of a second to some seconds for general kernels and power laws, where :math:`n \sim 1/\omega`
    (half a minute for 64 values at :math:`\omega = 0.02`).

    Source: K. Glover, Int. J. Control 39 (1984), 1115-1193 (the operator); J. Demmel, SIAM J.
    Matrix Anal. Appl. 21 (1999), 562-580 (Cauchy matrices); Z. Drmac and K. Veselic, same journal
    29 (2008), 1322-1362 (Jacobi's method, LAPACK's gejsv).

    Used in: ``book/rates/what-is-cursed.ipynb``.
    """
    result = _hankel(rho, whole("count", count))[0]
    return result if full_output else result.values


def _hankel(rho: MemoryKernel, count: int) -> tuple[HankelResult, _Cauchy | None]:
    components = [
        [term for term in terms if type(term) is not PowerLaw or term.amplitude]
        or [ExponentialSum(np.zeros(0), np.zeros(0))]
        for terms in _checked("rho", rho)
    ]
    kinds = {type(term) for terms in components for term in terms}
    if not kinds - {ExponentialSum}:
        found = _Cauchy(components, count)
        return _result(found.values, found.errors, found.lower, count, "Cauchy"), found
    if kinds - {ExponentialSum, PowerLaw}:
        values, error, doubt = _quadrature(rho)
        errors = np.full(values.size, error)
        return _result(values, errors, values - doubt, count, "quadrature"), None
    laws = [term for terms in components for term in terms if type(term) is PowerLaw]
    slowest = min(law.omega for law in laws)
    size = max(abs(law.amplitude) / law.omega for law in laws)
    level = size * math.exp(-math.pi * math.sqrt(2 * slowest * count))
    for _ in range(9):
        found = _Cauchy(components, count, level, 24.0)
        values = _padded(found.values, count)
        least = 0.0 if found.definite else 1e-16 * size
        if values[-1] >= 0.1 * level or level <= least:
            break
        level = max(values[-1], 1e-6 * level, least)
    other = _Cauchy(components, count, max(min(values[-1], level), least), 32.0)
    # Theory says e^-8.
    errors = np.abs(_padded(other.values, count) - values) / 50 + _padded(other.errors, count)
    values = _padded(other.values, count)
    return _result(values, errors, values - errors, count, "trapezoid"), other


def _padded(values: Array, count: int) -> Array:
    return np.append(values, np.zeros(count))[:count]


def _result(values: Array, errors: Array, lower: Array, count: int, method: str) -> HankelResult:
    values, errors, lower = (_padded(a, count) for a in (values, errors, np.maximum(lower, 0.0)))
    relative = bool(np.all(errors <= 1e-8 * values))
    return HankelResult(frozen(values), frozen(errors), frozen(lower), relative, method)


def _pivoted(
    mass: Array, w: NDArray, power: Array, stop: float
) -> tuple[NDArray, float, list[int]]:
    """The matrix G for rates w 2^power, the trace of what it leaves out, and its pivots."""
    rest, columns, pivots = np.sqrt(mass) + 0 * w, [], []
    while (left := float((np.abs(rest) ** 2).sum())) > stop:
        k = int(np.argmax(np.abs(rest)))
        pivots.append(k)
        # Scaled to the pivot's binary exponent, rates far below the range of floats are fine.
        shift = np.clip(power - power[k], -1000, 1000).astype(int)
        own = w if np.iscomplexobj(w) else np.ldexp(w, shift)
        total = own + np.conj(w[k])
        columns.append(rest * (2 * np.sqrt(own.real) * np.sqrt(w[k].real) / total))
        rest = rest * ((own - w[k]) / total)
    return np.reshape(columns, (len(columns), w.size)).T, left, pivots


class _Cauchy:
    """Singular values of sums of a_i e^{-w_i t}, with the formulas of `hankel_singular_values`.

    Power laws become exponentials, fine enough for values down to `level` with e^-margin to spare.
    """

    def __init__(
        self,
        components: list[list[MemoryKernel]],
        count: int,
        level: float = 0.0,
        margin: float = 0.0,
    ) -> None:
        pieces = []
        for index, terms in enumerate(components):
            for term in terms:
                if type(term) is PowerLaw:
                    mass, rate, power = _trapezoid(term, level, margin)
                    sign = np.full(mass.size, math.copysign(1.0, term.amplitude))
                else:
                    a, rate = (
                        term.amplitudes[term.amplitudes != 0],
                        term.rates[term.amplitudes != 0],
                    )
                    with np.errstate(over="ignore"):
                        mass, sign = np.abs(a) / rate.real / 2, a / np.abs(a)
                    rate, power = np.frexp(rate) if rate.dtype == float else (rate, 0 * a.real)
                pieces.append((mass, sign, rate, power + 0.0, np.full(mass.size, index)))
        columns = [np.concatenate(column) for column in zip(*pieces, strict=True)]
        if not np.isfinite(columns[0].sum()):
            raise ValueError(
                "the norm of the kernel is beyond the range of floats. Use other units of time or "
                "amplitude"
            )
        self.mass, self.sign, self.rate, self.power, owner = columns
        if np.iscomplexobj(self.rate):
            self.rate, self.power = np.ldexp(1.0, self.power.astype(int)) * self.rate, 0 * self.mass
        self.definite = (
            len(components) == 1
            and self.rate.dtype == float
            and bool(np.all(self.sign == self.sign[:1]))
        )
        trace = float(self.mass.sum())
        stop = 1e-14 * level
        if not self.definite and trace:
            stop *= 1e-2 * stop / trace
        self.G, rest, self.pivots = _pivoted(self.mass, self.rate, self.power, stop)
        cut = rest if self.definite else 2 * math.sqrt(trace * rest)
        signs = [np.where(owner == i, self.sign, 0) for i in range(len(components))]
        self._decompose(signs, cut, count, level > 1e-6 * trace)

    def _decompose(self, signs: list[NDArray], cut: float, count: int, plain: bool) -> None:
        G = self.G
        n, r = G.shape
        if r == 0:
            self.values = self.errors = self.lower = np.zeros(0)
            return
        if self.definite:
            s, Z = _largest(G, count) if plain else _jacobi(G, 0)[::2]
            values, blocks = s**2, [(self.sign, Z)]
        else:
            X = np.concatenate([(G * s[:, None]).T @ G for s in signs])
            if np.iscomplexobj(X):
                # As real operators, complex numbers have every singular value twice.
                values, U, Z = _jacobi(np.block([[X.real, -X.imag], [X.imag, X.real]]), 2)
                U, Z = (V[: len(V) // 2, ::2] + 1j * V[len(V) // 2 :, ::2] for V in (U, Z))
                values = values[::2]
            elif plain:
                values, Z = _largest(X, count)
                U = X @ Z / np.maximum(values, _EPS * self.mass.sum())
            else:
                values, U, Z = _jacobi(X, 2)
            U = U.reshape(len(signs), r, -1)
            blocks = [(s, Y.conj()) for s, Y in zip(signs, U, strict=True)]
        values, Z = values[:count], Z[:, :count]
        blocks = [(sign, Y[:, :count]) for sign, Y in blocks]
        root = 1 / np.sqrt(np.maximum(values, 1e-300))
        right, right_size = G @ Z * root, np.abs(G) @ np.abs(Z) * root
        B, noise = 0.0, 0.0
        for sign, Y in blocks:
            B = B + (G @ Y * root).T @ (sign[:, None] * right)
            noise = noise + (np.abs(G) @ np.abs(Y) * root).T @ right_size
        if self.definite:
            B = B * self.sign[0]
        # 12 roundings a factor (complex) in each of the two G, and the sums of both products.
        noise = noise * _EPS * (26 * r + 2 * n + 48)
        excess = np.abs(B - np.eye(values.size)) + noise + 8 * _EPS
        self.singular, self.values = Z, values
        norms = [_leading(Z.conj().T @ Z)]
        norms.append(_leading(sum(Y.conj().T @ Y for _, Y in blocks)))
        shrink = (1 - np.sqrt(_squares(excess))) / np.sqrt(norms[0] * norms[1])
        self.lower = np.minimum.accumulate(values) * np.minimum(shrink, 1) * (1 - 8 * _EPS)
        self.left = [Y for _, Y in blocks]
        self.errors = np.maximum(values * excess.diagonal(), 0) + cut


def _leading(gram: NDArray) -> Array:
    """Bounds of the squared norms of the first k columns, from their Gram matrix."""
    return 1 + np.sqrt(_squares(np.abs(gram - np.eye(len(gram))) + 2 * len(gram) * _EPS))


def _squares(excess: Array) -> Array:
    """Sums of squares over the leading square blocks."""
    return np.cumsum(np.cumsum(excess**2, axis=0), axis=1).diagonal()


def _jacobi(matrix: Array, accuracy: int) -> tuple[Array, Array, Array]:
    """SVD by preconditioned one-sided Jacobi rotations; columns of U and V."""
    values, U, V, work, _, info = lapack.dgejsv(matrix, joba=accuracy, jobu=0, jobv=0)
    if info:
        raise ValueError(
            f"the singular values weren't found (LAPACK's gejsv returned {info}): amplitudes and "
            "rates leave the range of floats. Use another unit of time"
        )
    return values * (work[0] / work[1]), U, V


def _largest(matrix: Array, count: int) -> tuple[Array, Array]:
    """Largest singular values, none of them small, and their right vectors as columns."""
    if 4 * count > min(matrix.shape):
        _, values, V = np.linalg.svd(matrix, full_matrices=False)
        return values, V.T
    _, values, V = svds(matrix, k=count, v0=np.ones(min(matrix.shape)))
    values, V = values[::-1], V[::-1].T
    for _ in range(3):  # power steps take the noise out of the far ends of the vectors
        V = np.linalg.qr(matrix.T @ (matrix @ V))[0]
    return values, V


def _trapezoid(law: PowerLaw, level: float, margin: float) -> tuple[Array, Array, Array]:
    """Masses a/2w and rates of the exponentials; rates as mantissa and binary exponent."""
    omega = law.omega
    depth = margin + max(0.0, math.log(abs(law.amplitude) / omega) - math.log(level))
    growth = -(1 + omega) * np.log(np.cos(_ANGLES))
    step = float((2 * np.pi * _ANGLES / (depth + growth)).max())
    high = depth + 2 * omega
    for _ in range(60):
        high = depth + omega * math.log(high)
    v = np.arange(-depth / omega, math.log(high) + step, step)
    log = omega * v - np.exp(v) - special.gammaln(1 + omega)
    mass = 0.5 * step * abs(law.amplitude) * np.exp(log)
    power = np.floor(v / math.log(2))
    return mass, np.exp(v - power * math.log(2)), power


def _quadrature(rho: MemoryKernel) -> tuple[Array, float, float]:
    """Singular values on Gauss-Legendre panels, their error, and that of lower bounds."""
    rho, unit = _normalised(rho)
    values, *errors = _panelled(rho)
    return values * unit, errors[0] * unit, errors[1] * unit


def _normalised(rho: MemoryKernel) -> tuple[MemoryKernel, float]:
    """A kernel of values about 1, so that squares stay in range, and the power of 2 taken out."""
    unit = 2.0 ** max(_exponent(part, list(part.terms)) for part in rho.components)
    return rho / unit, unit


def _panelled(rho: MemoryKernel) -> tuple[Array, float, float]:
    parts = rho.components
    points = np.unique(np.concatenate([part._breakpoints() for part in parts]))
    cut = sum(2 * abs(float(part._tail(points[-1:])[0])) for part in parts)
    most = _MOST_NODES if len(parts) == 1 else _MOST_NODES // 2
    if not _unproven(rho):
        H, doubt = _compression(rho)
        values = _singular(H)
        doubt += 4 * _EPS * math.sqrt(values.size) * values[0]
        if doubt <= 1e-10 * values[0]:
            return values, doubt + cut, doubt
    if points.size > most // 6:
        points = points[np.linspace(0, points.size - 1, most // 6).astype(int)]
    while True:
        order = min(16, most // (points.size - 1))
        values = _panel_values(parts, points, order)
        coarse = _panel_values(parts, points, max(1, 3 * order // 4))
        error = np.abs(values - _padded(coarse, values.size)).max()
        if error <= 1e-13 * values[0] or 2 * (points.size - 1) * 16 > most:
            error += cut + 4 * _EPS * math.sqrt(values.size) * values[0]
            return values, error, error
        points = np.sort(np.append(points, 0.5 * (points[:-1] + points[1:])))


def _panel_values(parts: tuple[MemoryKernel, ...], points: Array, order: int) -> Array:
    nodes, weights = legendre.leggauss(order)
    half = 0.5 * np.diff(points)
    t = (points[:-1, None] + half[:, None] * (1 + nodes)).ravel()
    root = np.sqrt(np.outer(half, weights).ravel())
    lags = np.add.outer(t, t)
    return _singular(np.concatenate([root[:, None] * part(lags) * root for part in parts]))


def _singular(matrix: Array) -> Array:
    if matrix.shape[0] == matrix.shape[1]:
        return np.sort(np.abs(np.linalg.eigvalsh(matrix)))[::-1]
    return np.linalg.svd(matrix, compute_uv=False)


def _unproven(rho: MemoryKernel) -> str:
    """Why the quadrature of a kernel has no proven error; empty if it has one."""
    for term in (term for part in rho.components for term in part.terms):
        if type(term) not in _MAJORANTS or type(term) is PowerLaw:
            return f"{type(term).__name__} is not among the families with a bound on panels"
        if term._smoothness < math.inf:
            return f"{type(term).__name__} has a kink, which no polynomial follows"
    return ""


def _gauss() -> tuple[Array, Array]:
    """Nodes and weights of order 64, to 1 and to 128 units of rounding (which a test checks)."""
    nodes, _ = legendre.leggauss(_ORDER)
    # NumPy's own weights are wrong by up to 6000 units near the ends.
    return nodes, 2 / (legendre.legvander(nodes, _ORDER - 1) ** 2 @ (2 * np.arange(_ORDER) + 1))


def _compression(rho: MemoryKernel) -> tuple[Array, float]:
    """The operator on piecewise polynomials over equal panels, and a bound of the error's norm."""
    parts = rho.components
    end = max(part._breakpoints()[-1] for part in parts)
    nodes, weights = _gauss()
    offsets = 1 + 0.5 * np.add.outer(nodes, nodes)
    scale = _panel_values(parts, np.linspace(0.0, end, 65), 1)[0]
    for count in (3, 6, 12, 24):
        # Two panels of width h have the lags of one interval of width 2h, from a multiple of h on.
        h = end / count
        starts, sharing = h * np.arange(2 * count - 1), count - np.abs(np.arange(1 - count, count))
        bounds = [_remainder(part, starts + h, h) for part in parts]
        truncated = 2 * h * math.sqrt(sum(sharing @ first**2 for first, _ in bounds))
        if truncated <= 1e-13 * scale:
            break
    lags = starts[:, None, None] + h * offsets
    pairs = np.add.outer(np.arange(count), np.arange(count))
    weight = 0.5 * h * np.sqrt(np.outer(weights, weights))
    blocks, square = [], 0.0
    for part, (_, curve) in zip(parts, bounds, strict=True):
        values, sizes = (a.reshape(lags.shape) for a in part._evaluate(lags.ravel()))
        slope = np.abs(part._derivative(lags.ravel(), 1)).reshape(lags.shape)
        slip = 8 * _EPS * (lags + h)
        noise = 16 * _EPS * (sizes + 8 * np.abs(values)) + 1.01 * slip * slope
        noise = weight * (noise + slip**2 * curve[:, None, None])
        square += sharing @ (noise**2).sum(axis=(1, 2))
        blocks.append((weight * values)[pairs].transpose(0, 2, 1, 3).reshape(2 * [count * _ORDER]))
    return np.concatenate(blocks), 1.01 * (truncated + math.sqrt(square))


def _remainder(part: MemoryKernel, centre: Array, half: float) -> tuple[Array, Array]:
    """Bounds of the distance to polynomials of degree _ORDER, and of half the curvature."""
    least, curve = np.full((2, centre.size), np.inf)
    with np.errstate(all="ignore"):
        for r in _RADII:
            a, b = half * (r + 1 / r) / 2, half * (r - 1 / r) / 2
            most = sum(_MAJORANTS[type(term)](term, centre, a, b) for term in part.terms)
            least = np.fmin(least, 2.1 * most * r ** -float(_ORDER) / (r - 1))
            curve = np.fmin(curve, 1.1 * most / (a - half) ** 2)
    return least, curve


# --------------------------------------------------------------------------- floors


def width_floor(
    rho: MemoryKernel, width: int, full_output: bool = False, rigorous: bool = False
) -> float | FloorResult:
    r"""A lower bound of the L1 error of every linear RNN of given width.

    .. math::
       \begin{aligned}
       E_m = \inf \{&\|\rho - \hat\rho\|_1 : \\
       &\hat\rho(t)^\top = c^\top e^{Wt} U, \\
       &W \in R^{m \times m} \text{ Hurwitz}\}
       \end{aligned}

    Parameters
    ----------
    rho : MemoryKernel
        Target with d >= 1 inputs.
    width : int
        Number m >= 0 of neurons.
    full_output : bool
        Return a :class:`FloorResult`: both floors, the alternation, and with `rigorous` an
        enclosure.
    rigorous : bool
        Return a floor that is proven in interval arithmetic or with all roundings bounded, and
        refuse where there is none. Needs mpmath.

    Returns
    -------
    float or FloorResult
        At least 0, in the unit of rho times the unit of time.

    Raises
    ------
    ValueError
        If `rho` isn't a kernel or `width` isn't a whole number >= 0; with `rigorous` also where no
        proof is known: state-space and sampled kernels, kinks, power laws of mixed signs or with
        several inputs, and power laws whose floor is below 1e-12 of the norm.
    ImportError
        With `rigorous`, if mpmath is missing.

    Notes
    -----
    The larger of two floors.

    **Hankel floor**, every kernel: :math:`E_m \ge \sigma_{m+1}`. *Proof.* The network's operator
    has rank m at most, so :math:`\sigma_{m+1} \le \|\Gamma - \hat\Gamma\|`; the operator of one
    kernel is bounded by its L1 norm (Young), and d stacked ones by the sum of the d norms.

    **Alternation floor**, d = 1, completely monotone kernels: power laws and exponential sums with
    real rates, all amplitudes of one sign. Put

    .. math::
       \begin{gathered}
       F_\xi(s) = T(s) + 2 \sum_{k=1}^m (-1)^k T(s + \xi_k), \\
       T(s) = \int_s^\infty \rho, \\
       0 \le \xi_1 \le \dots \le \xi_m \le \infty.
       \end{gathered}

    If :math:`F_\xi` takes values of alternating sign and modulus :math:`\ge \lambda > 0` at m + 1
    points :math:`0 \le s_0 < \dots < s_m`, then :math:`E_m \ge \lambda`. *Proof.*

    1. Let :math:`\epsilon_\xi(t)` be the sign that starts with + and switches at the
       :math:`\xi_k`. Then :math:`F_\xi(s) = \int_0^\infty \epsilon_\xi(t) \rho(t+s)\,dt`.
    2. Given a network, the entries of :math:`e^{Wt} U` span at most m dimensions in :math:`L^1`,
       so the theorem of Hobby and Rice (with :math:`1 - e^{-t}` as variable, on [0, 1]) has an
       :math:`\eta` of at most m switches, the rest at infinity, with :math:`\int
       \epsilon_\eta(t) e^{Wt} U\,dt = 0`. Hence :math:`\int \epsilon_\eta(t) \hat\rho(t+s)\,dt`
       :math:`= c^\top e^{Ws} \int \epsilon_\eta(t) e^{Wt} U\,dt = 0`, and
       :math:`|F_\eta(s)| \le \int |\rho - \hat\rho|(t+s)\,dt`
       :math:`\le \|\rho - \hat\rho\|_1` for every s.
    3. Suppose :math:`\|\rho - \hat\rho\|_1 < \lambda`. Then :math:`|F_\eta| < \lambda`
       everywhere, so :math:`F_\xi - F_\eta` has the sign of :math:`F_\xi` at the :math:`s_j`: m
       sign changes, and it isn't zero. It is the image of :math:`h = \epsilon_\xi -
       \epsilon_\eta` under :math:`\rho(t+s) = \int e^{-xt} e^{-xs}\,d\mu(x)` with :math:`\mu
       \ge 0` (orders may be exchanged, since :math:`\int d\mu(x)/x = \|\rho\|_1`). By
       Descartes' rule for Laplace transforms :math:`g(x) = \int e^{-xt} h(t)\,dt` has no more sign
       changes than h, and :math:`\int e^{-xs} g(x)\,d\mu(x)` no more than g.
    4. But h has at most m - 1. It changes sign only when both have switched since, so q changes
       cost each of the two q switches, an odd number between two changes even where switches
       coincide; before h is first nonzero one of the two has switched already (a switch at 0
       counts), so that one has q + 1 of its at most m switches. For m = 0, h = 0. This is a
       contradiction.

    The best :math:`\lambda` is the m-th width of the operator from :math:`L^\infty` to
    :math:`L^\infty`, where its norm is :math:`\|\rho\|_1`; there all peaks of F are equal
    (Micchelli and Pinkus). Any :math:`\xi` proves its :math:`\lambda`. To find a good one, m grows
    from 1. The zeros of F are guessed from those of the singular function m + 1; by total
    positivity there are switches with just these zeros, which Newton's method finds, and then F
    alternates. Newton's method for equal peaks follows. The ratio to the Hankel floor falls
    with m: for :math:`\omega = 1/2`, 2.1 at m = 1 and 1.4 at m = 32. The search stops where
    cancellation begins, at some 1e-12 of the norm.

    **What is proven.** With `rigorous=False`, for exponential sums and completely monotone
    kernels: the floor, under two assumptions, that the roundings are those of the operations as
    written (:func:`hankel_singular_values`) and that elementary functions are as accurate as their
    libraries say; a term :math:`a e^{-y}` of T counts with an error of :math:`(16 + 4y + n)` eps
    of itself, n the number of terms. The smooth kernels below: as proven below but for the
    eigenvalues, which LAPACK computes and nothing checks. All others, power laws of mixed signs
    or with several inputs among them: an estimate.

    With `rigorous=True`:

    - *Alternation floor* where one was found: F is evaluated in mpmath's interval arithmetic with
      77 digits, parameters, :math:`\xi` and s taken as the floats that they are. No assumption is
      left but the correctness of mpmath.
    - *Hankel floor of other exponential sums* (mixed signs, complex rates, several inputs):
      the entries of G, and :math:`\|B - 1\|_F` with the computed vectors, in the same arithmetic.
    - *Smooth kernels* (bumps, Airy kernels, gamma kernels without delay, Legendre kernels, their
      sums with each other and with exponential sums). Let P project on the polynomials of
      degree < p = 64 on each of N panels of width h from 0 on. Then :math:`\sigma_k(\Gamma) \ge
      \sigma_k(P \Gamma P)`: nothing is lost to what lies beyond the panels. On panels a and b all
      lags lie in an interval of length 2h. There a polynomial q of degree p with
      :math:`|\rho - q| \le E_{a+b} = 2Mr^{-p}/(r-1)` exists, M a bound of rho on an ellipse
      (see :func:`certified_l1_distance`). Gauss quadrature with p nodes is
      exact for the products of q with two polynomials of degree < p, and turns
      :math:`P \Gamma P` into :math:`H_{ij} = \sqrt{u_i u_j}\,\rho(t_i + t_j)` up to orthogonal
      factors; both the integral
      and the rule make at most :math:`h E_{a+b}` of :math:`\rho - q`. So :math:`\|P \Gamma P -
      H\|_F \le 2h (\sum_{ab} E_{a+b}^2)^{1/2}`. Entries count as wrong by 16 units of rounding of
      what is added up in them, 128 of themselves for the weights, and 8 of the lag and h times the
      slope for the nodes. If :math:`H \approx U S V^\top` as computed, :math:`\sigma_k(H)`
      :math:`\ge S_k (1 - \|U^\top U - 1\|_F)` :math:`(1 - \|V^\top V - 1\|_F)`
      :math:`{} - \|H - U S V^\top\|_F` (Weyl), with
      n eps of the sum of moduli for every product of n terms. What remains to be believed is that
      exp and Ai are as accurate as their libraries say.

    Cost: that of :func:`hankel_singular_values` with m + 1 values and about as much again;
    `rigorous` takes up to some seconds for m = 40 and 64 rates.

    Source: Hankel floor: K. Glover (1984); C. R. Hobby and J. R. Rice, Proc. AMS 16 (1965),
    665-670; S. Karlin, Total Positivity (1968), chapter 5 (variation diminishing); C. A. Micchelli
    and A. Pinkus, Trans. AMS 234 (1977), 139-174 (widths in the sup norm). The alternation floor is
    put together here.

    Used in: ``book/rates/what-is-cursed.ipynb``.
    """
    width = whole("width", width, least=0)
    hankel, cauchy = _hankel(rho, width + 1)
    terms = list(rho.terms) if rho.input_dim == 1 else []
    alternation = None
    if cauchy is not None and cauchy.definite:
        alternation = _alternation(terms, cauchy, width)
    best, switches, points = alternation or (None, np.zeros(0), np.zeros(0))
    low, enclosure = float(hankel.lower[-1]), None
    value = max(low, best or 0.0)
    if rigorous:
        if alternation:
            enclosure = _enclosed_peaks(terms, switches, points)
        elif hankel.method == "Cauchy":
            enclosure = _enclosed_value(rho, cauchy, width)
        else:
            enclosure = _verified_value(rho, width)
        value = enclosure[0]
    found = FloorResult(value, low, best, frozen(switches), frozen(points), enclosure)
    return found if full_output else found.value


def _tails(terms: list[MemoryKernel], t: Array) -> tuple[Array, Array]:
    """Tail of a sum of terms of one sign, and a bound of its rounding; 0 at infinity."""
    value, error = np.zeros(t.shape), np.zeros(t.shape)
    count = sum(np.size(term.amplitudes) if type(term) is ExponentialSum else 1 for term in terms)
    with np.errstate(under="ignore"):
        for term in terms:
            if type(term) is PowerLaw:
                pairs, x = [(abs(term.amplitude), term.omega)], np.log1p(t)
            else:
                pairs, x = zip(np.abs(term.amplitudes), term.rates, strict=True), t
            for a, w in pairs:
                y = w * np.minimum(x, 800 / w)  # e^-800 is no double
                part = np.where(y < 800, a / w * np.exp(-y), 0.0)
                value = value + part
                # Four units for a lag that is itself a rounded sum, or its logarithm.
                error = error + _EPS * (16 + 4 * y + count) * part + 1e-320
    return value, error


def _alternation(
    terms: list[MemoryKernel], cauchy: _Cauchy, width: int
) -> tuple[float, Array, Array] | None:
    """The best alternation found: its floor, its switches and its points."""
    masses, rates = cauchy.mass, np.ldexp(cauchy.rate, cauchy.power.astype(int))
    level = cauchy.values[width] / masses.sum() if cauchy.values.size > width else 0.0
    if level <= 1e-13 or rates.size > 4000:
        return None
    # From well below the fastest time-scale to where the tail no longer matters.
    first = 1e-9 / (masses @ rates / masses.sum())
    lags = np.geomspace(first, 1e300 * min(1.0, first), 1000)
    far = np.exp(-np.outer(lags, rates)) @ masses > 1e-3 * level * masses.sum()
    count = min(1500 + 60 * width, 10_000_000 // rates.size)
    s = np.append(0.0, np.geomspace(first, lags[far][-1], count))
    system = _Oscillation(s, masses / masses.sum(), rates)
    waves = np.sqrt(masses * rates)[:, None] * (cauchy.G @ cauchy.singular)
    x, history = np.zeros(0), []
    for m in range(1, width + 1):
        # How far switches and zeros of F lie from the zeros of the singular function changes
        # little with m.
        zeros = system.zeros(waves[:, m])
        history = [_stretched(h, m) for h in history]
        # Where time-scales lie far apart the shifts jump: a second start without them.
        for used in (history, []) if zeros.size == m else ():
            try:
                x, crossings = system.equalised(*(zeros + sum(used, np.zeros((2, 1)))))
            except np.linalg.LinAlgError:
                continue
            if crossings.size == m:
                break
        else:
            if m == width:
                return None
            history = []
            continue
        shift = np.array([x, crossings]) - zeros
        history = [shift, shift - history[0]] if history else [shift]
    xi = np.exp(x)
    found = _peaks(terms, xi, s, system.values(x))
    return found and (found[0], xi, found[1])


def _stretched(values: Array, size: int) -> Array:
    """As many values, with both ends as they are: what is new comes in between."""
    if values.shape[1] == 1:
        return np.repeat(values, size, axis=1)
    u = np.linspace(0.0, 1.0, size)
    spline = CubicSpline(np.arange(size - 1), values, axis=1)
    return spline(np.arange(size) - u**2 * (3 - 2 * u))


class _Oscillation:
    """The function F over its value at 0 without switches, as an exponential sum on a grid s."""

    def __init__(self, s: Array, masses: Array, rates: Array) -> None:
        self.s, self.masses, self.rates = s, masses, rates
        self.decays = np.exp(-np.outer(s, rates))

    def zeros(self, weights: Array) -> Array:
        """Logarithms of the zeros of an exponential sum with the same rates."""
        wave, log = self.decays[1:] @ weights, np.log(self.s[1:])
        i = np.flatnonzero(np.diff(np.sign(wave)))
        x = log[i] + (log[i + 1] - log[i]) * wave[i] / (wave[i] - wave[i + 1])
        for _ in range(3):
            t = np.exp(x)
            terms = np.exp(-np.outer(t, self.rates)) * weights
            x = x + np.clip(terms.sum(axis=1) / (t * (terms @ self.rates)), -0.1, 0.1)
        return x

    def values(self, x: Array) -> Array:
        signs = 2 * (-1.0) ** np.arange(1, x.size + 1)
        return self.decays @ (self.masses * (1 + np.exp(-np.outer(self.rates, np.exp(x))) @ signs))

    def slopes(self, x: Array, rows: NDArray) -> Array:
        """Derivatives of F at points s with respect to x = log xi."""
        xi, signs = np.exp(x), 2 * (-1.0) ** np.arange(1, x.size + 1)
        factors = np.exp(-np.outer(self.rates, xi)) * (self.masses * self.rates)[:, None]
        return -(self.decays[rows] @ factors) * xi * signs

    def equalised(self, x: Array, crossings: Array) -> tuple[Array, Array]:
        """Switches of equal peaks and their zeros of F, all as logarithms."""
        rows = np.searchsorted(self.s, np.exp(crossings))
        for _ in range(40):  # by total positivity such switches exist, and F alternates with them
            move = np.linalg.solve(self.slopes(x, rows), -self.values(x)[rows])
            x = x + _reach(move, x)
            if np.abs(move).max() < 1e-8:
                break
        for _ in range(20):
            F = self.values(x)
            rows = _tops(F)
            if rows.size != x.size + 1:
                break
            matrix = np.column_stack([self.slopes(x, rows), -np.sign(F[rows])])
            move = np.linalg.solve(matrix, -F[rows])[:-1]
            x = x + _reach(move, x)
            if np.abs(move).max() < 1e-10:
                break
        F = self.values(x)
        i = np.flatnonzero(np.diff(np.sign(F)))
        s = self.s[i] + np.diff(self.s)[i] * F[i] / (F[i] - F[i + 1])
        return x, np.log(s)


def _reach(move: Array, x: Array) -> Array:
    """A step cut so that no switch meets another."""
    return move * min(1.0, 0.4 * np.diff(x).min(initial=2.0) / np.abs(move).max(initial=1e-300))


def _tops(values: Array) -> NDArray:
    """Where the modulus is largest, between one change of sign and the next."""
    cuts = np.flatnonzero(np.diff(np.sign(values))) + 1
    pieces = np.split(np.arange(values.size), cuts)
    return np.array([piece[np.argmax(np.abs(values[piece]))] for piece in pieces])


def _peaks(
    terms: list[MemoryKernel], xi: Array, s: Array, values: Array
) -> tuple[float, Array] | None:
    """The least proven modulus at m + 1 points of alternating sign, and these points."""
    top = _tops(values)
    if top.size != xi.size + 1:
        return None
    inner = np.clip(top, 2, s.size - 2)
    # The peak of the parabola through three points in log s, where they surround one.
    left, mid, right = (np.abs(values[inner + k]) for k in (-1, 0, 1))
    bend = np.minimum(left - 2 * mid + right, -1e-300)
    shift = np.clip(0.5 * (left - right) / bend, -0.5, 0.5)
    ratio = np.log(s[-1] / s[-2])
    points = np.where(top == inner, s[inner] * np.exp(shift * ratio), s[top])
    signs = np.append(1.0, 2.0 * (-1.0) ** np.arange(1, xi.size + 1))
    tails, errors = _tails(terms, np.add.outer(points, np.append(0.0, xi)))
    F, error = tails @ signs, 1.01 * (errors + _EPS * xi.size * tails) @ np.abs(signs)
    if (np.abs(np.diff(np.sign(F))) != 2).any() or (np.diff(points) <= 0).any():
        return None
    return max(float((np.abs(F) - error).min()), 0.0), points


# --------------------------------------------------------------------------- proofs


def _intervals():
    """Interval arithmetic of 77 digits."""
    try:
        import mpmath
    except ImportError as error:
        raise ImportError("rigorous=True needs mpmath: pip install mpmath") from error
    context = type(mpmath.iv)()  # one of our own, so that nobody's precision changes
    context.prec = 256
    return context


def _ends(low, high) -> tuple[float, float]:
    """Floats around two intervals, no less than 0."""
    low, high = float(low.a), float(high.b)
    return max(math.nextafter(low, -math.inf), 0.0), max(math.nextafter(high, math.inf), 0.0)


def _enclosed_peaks(terms: list[MemoryKernel], xi: Array, s: Array) -> tuple[float, float]:
    """The least modulus of F at the points s."""
    iv = _intervals()
    signs = [1, *(2 * (-1) ** k for k in range(1, xi.size + 1))]
    xi, s = [iv.mpf(0), *map(iv.mpf, xi.tolist())], [iv.mpf(x) for x in s.tolist()]
    F = [iv.mpf(0)] * len(s)
    for term in terms:
        if type(term) is PowerLaw:
            A, w = abs(iv.mpf(term.amplitude)), iv.mpf(term.omega)
            for j, point in enumerate(s):
                logs = [iv.log(1 + point + x) for x in xi]
                F[j] += A / w * sum(c * iv.exp(-w * y) for c, y in zip(signs, logs, strict=True))
            continue
        for a, w in zip(term.amplitudes.tolist(), map(iv.mpf, term.rates.tolist()), strict=True):
            factor = abs(iv.mpf(a)) / w
            factor *= sum(c * iv.exp(-w * x) for c, x in zip(signs, xi, strict=True))
            F = [total + factor * iv.exp(-w * point) for total, point in zip(F, s, strict=True)]
    F = [(-1) ** j * value for j, value in enumerate(F)]
    if F[0].b < 0:
        F = [-value for value in F]
    return _ends(min(F, key=lambda x: x.a), min(F, key=lambda x: x.b))


def _enclosed_value(rho: MemoryKernel, cauchy: _Cauchy, width: int) -> tuple[float, float]:
    """Singular value width + 1 of an exponential sum's operator between computed vectors."""
    if cauchy.values.size <= width:
        return 0.0, 0.0
    iv = _intervals()

    def exact(array: NDArray) -> NDArray:
        def one(z):
            return iv.mpc(z.real, z.imag) if isinstance(z, complex) else iv.mpf(z)

        flat = np.array([one(z) for z in np.ravel(array).tolist()] + [None], dtype=object)
        return flat[:-1].reshape(np.shape(array))

    entries = [
        (index, a, w)
        for index, part in enumerate(rho.components)
        for term in part.terms
        for a, w in zip(term.amplitudes.tolist(), term.rates.tolist(), strict=True)
        if a
    ]
    owner, amplitudes, rates = (np.array(column) for column in zip(*entries, strict=True))
    w, conjugate, a = exact(rates), exact(np.conj(rates)), exact(amplitudes)
    rest, columns = exact(np.ones(w.size)), []
    for k in cauchy.pivots:
        total = w + conjugate[k]
        columns.append(rest * iv.sqrt(2 * iv.mpf(float(rates[k].real))) / total)
        rest = rest * (w - w[k]) / total
    L = np.array(columns, dtype=object).T
    root = 1 / np.sqrt(np.maximum(cauchy.values, 1e-300))
    right = L @ exact(cauchy.singular) * exact(root)
    if cauchy.definite:
        a = exact(np.abs(amplitudes))
    B = 0
    for index, Y in enumerate(cauchy.left):
        own = owner == index
        if own.any():
            B = B + (L[own] @ exact(Y) * exact(root)).T @ (a[own, None] * right[own])

    def excess(matrix: NDArray):
        """Frobenius norm of a matrix minus the identity."""
        parts = (matrix - np.eye(len(matrix), dtype=int)).ravel()
        squares = [abs(x) ** 2 if hasattr(x, "delta") else x.real**2 + x.imag**2 for x in parts]
        return iv.sqrt(sum(squares, iv.mpf(0)))

    def gram(blocks: list[NDArray]) -> NDArray:
        return sum(exact(V.conj()).T @ exact(V) for V in blocks)

    off = excess(B)
    norms = iv.sqrt((1 + excess(gram(cauchy.left))) * (1 + excess(gram([cauchy.singular]))))
    least = 1 / iv.mpf(float(root.max())) ** 2
    low = least * (1 - off) / norms
    high = least * (1 - off) / (1 - 2 * off) if off.b < 0.5 else iv.mpf(math.inf)
    return _ends(low, high)


def _verified_value(rho: MemoryKernel, width: int) -> tuple[float, float]:
    """Singular value width + 1 of the operator between piecewise polynomials."""
    reason = _unproven(rho)
    if reason:
        raise ValueError(
            f"no rigorous floor is known here for this kernel: {reason}. There is one for "
            "exponential sums, for power laws and their sums with positive amplitudes, one input "
            "and a floor above 1e-12 of the norm, and for smooth kernels of other families. Take "
            "rigorous=False, an estimate"
        )
    rho, unit = _normalised(rho)
    H, error = _compression(rho)
    U, values, V = np.linalg.svd(H, full_matrices=False)
    n = 4 + max(H.shape)
    # Products of n terms are rounded by n eps of the sum of moduli.
    residual = np.linalg.norm(H - (U * values) @ V) + 2 * n * _EPS * values.sum()
    skew = [np.linalg.norm(Q @ Q.T - np.eye(len(Q))) + n * _EPS * len(Q) for Q in (U.T, V)]
    error = 1.01 * (error + residual)
    low = values[width] * (1 - skew[0]) * (1 - skew[1]) - error
    high = values[width] * (1 + skew[0]) * (1 + skew[1]) + error
    return max(float(low), 0.0) * unit, float(high) * unit
