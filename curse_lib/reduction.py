r"""Near-best linear RNNs of given width: balanced truncation, and Newton's method on the L1 error.

Balanced truncation keeps the directions of the state in which the most of the past reaches the
future, as the Hankel singular values count it. It needs no search over rates, and lands close
enough to an optimum in L1 for Newton's method to finish. :func:`curse_lib.approximate` calls both.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray
from scipy import linalg

from curse_lib.hankel import _Cauchy, _normalised, _pivoted, _trapezoid
from curse_lib.kernels import ExponentialSum, MemoryKernel, PowerLaw
from curse_lib.norms import _checked, l1_distance, l1_norm

Array = NDArray[np.float64]

_EPS = float(np.finfo(float).eps)
#: Singular values below this part of the first are rounding, except for relaxation kernels.
_LEVEL = 1e-14
#: Largest matrix of the quadrature.
_MOST_NODES = 600
#: Points to look for a change of sign, on every panel.
_LOOKS = 8
_MOST_LOOKS = 300_000


# --------------------------------------------------------------------------- balanced truncation


class Balanced:
    r"""Networks by balanced truncation, for all widths.

    A kernel :math:`\rho_i(t+s) = \sum_k \sigma_k u_k(i,t) v_k(s)` (singular functions of the Hankel
    operator, stacked over the inputs i) has the balanced realisation

    .. math:: A_{kl} = \frac{\langle v_k, \Gamma'^\top u_l \rangle}{\sqrt{\sigma_k \sigma_l}}, \quad
              B_{ki} = \frac{\langle v_k, \rho_i \rangle}{\sqrt{\sigma_k}}, \quad
              c_k = \frac{\langle u_k, \rho \rangle}{\sqrt{\sigma_k}},

    where :math:`\Gamma'` has the kernel :math:`\rho_i'(t+s)`. Its first m states are the network.
    All inputs share the states. It is stable if :math:`\sigma_m > \sigma_{m+1}` (Pernebo and
    Silverman, IEEE Trans. Automat. Control 27 (1982), 382-387), up to rounding and quadrature,
    so the spectrum is checked.

    **Relaxation kernels** (power laws, exponential sums with real rates and amplitudes of one sign,
    and their sums; d = 1) keep that form, and all digits. On a sum with masses :math:`a_i > 0` the
    Gramian :math:`\sqrt{a_i a_j}/(w_i + w_j)` has the eigenvalues :math:`\sigma_k`; in its
    eigenvectors Y the system is symmetric and solves :math:`A\Sigma + \Sigma A = -bb^\top`, so

    .. math:: -A_{kl} = \frac{b_k b_l}{\sigma_k + \sigma_l}, \qquad
              b_k^2 = 2 \sigma_k \sum_i w_i Y_{ik}^2.

    That is a matrix of the same kind with the roles of rates and singular values exchanged. Cut to
    m rows it has the network's rates as its eigenvalues, which are positive, and the same formula
    gives the amplitudes, all of one sign. Both steps are eigenvalues of scaled Cauchy matrices and
    sums of positive terms, so rates of 1e-100 keep their digits.

    **Other sums of exponentials and power laws** use the orthonormal coordinates of
    :func:`~curse_lib.hankel_singular_values`, absolute accuracy 1e-14; **all other kernels**
    Gauss-Legendre panels, as fine everywhere as the kernel is later, since :math:`\rho(t + s)`
    brings what happens at lag D to all t < D. At a kink quadrature errs, and a jump isn't part of
    :math:`\rho'` at all: there the truncation is only a start for Newton's method.

    Multiple rates (gamma kernels have them) are split by the least multiple of a fixed diagonal
    matrix that leaves eigenvectors of condition 1e7, at the cost of digits: 1e-4 of the norm for
    three or four equal rates. More of them are refused.

    Used in: ``approximate``.
    """

    def __init__(self, rho: MemoryKernel) -> None:
        _checked("rho", rho)
        if l1_norm(rho) == 0:
            raise ValueError("the kernel is 0 everywhere; a network with amplitudes 0 realises it")
        # Derivatives and products of large kernels leave the range of floats, and tiny ones vanish.
        rho, self.unit = _normalised(rho)
        self.rho, components = rho, _checked("rho", rho)
        terms = [term for part in components for term in part]
        self.system, self.found, self.stored = None, {}, {}
        families = {type(term) for term in terms}
        if families <= {ExponentialSum, PowerLaw}:
            signs = np.concatenate([_signs(term) for term in terms])
            signs = signs[signs != 0]
            self.sign = float(signs[0].real)
            if len(components) == 1 and np.all(signs == self.sign):
                return
            self.system = _orthonormal(components)
        else:
            self.system = _panelled(rho)

    def __call__(self, width: int) -> ExponentialSum:
        """The network of this width, or of the kernel's rank where that is less."""
        if width not in self.found:
            self.found[width] = self.unit * (
                self._relaxation(width)
                if self.system is None
                else _diagonal(*(part[:width] for part in self.system))
            )
        return self.found[width]

    def _relaxation(self, width: int) -> ExponentialSum:
        count = max(16, 1 << (width - 1).bit_length())
        if count not in self.stored:
            # The law of the singular values says how fine the trapezoidal rule must be.
            laws = [term for term in self.rho.terms if type(term) is PowerLaw and term.amplitude]
            decay = math.sqrt(2 * count * min((law.omega for law in laws), default=0.0))
            size = max((abs(law.amplitude) / law.omega for law in laws), default=0.0)
            # Eight digits of the last one are enough here: the level is raised, the margin too.
            level = 1e6 * size * math.exp(-math.pi * decay)
            terms = [t for t in self.rho.terms if type(t) is ExponentialSum] + laws
            cauchy = _Cauchy([terms], count, level, 38.0)
            rates = np.ldexp(cauchy.rate, cauchy.power.astype(int))
            self.stored[count] = _exchanged(cauchy, rates)
        sizes, values = (column[:width] for column in self.stored[count])
        cauchy = _Cauchy([[ExponentialSum(sizes, values)]], width)
        amplitudes, rates = _exchanged(cauchy, values)
        if rates[-1] < 1e-290:
            raise ValueError(
                f"the network of width {width} needs rates below 1e-290, beyond the range of "
                "floats. Use a smaller width, or a memory exponent omega further from 0"
            )
        return ExponentialSum(self.sign * amplitudes, rates)


def _signs(term: PowerLaw | ExponentialSum) -> NDArray:
    """Signs of the amplitudes; those of complex rates have none, and count as imaginary."""
    if type(term) is PowerLaw:
        return np.sign([term.amplitude])
    return np.sign(term.amplitudes) * np.where(term.rates.imag, 1j, 1)


def _exchanged(cauchy: _Cauchy, rates: Array) -> tuple[Array, Array]:
    """The squares b^2 and the singular values: amplitudes and rates of the exchanged matrix."""
    values = cauchy.values[cauchy.values > 0]
    vectors = cauchy.G @ cauchy.singular[:, : values.size] / np.sqrt(values)
    return 2 * values * (rates @ vectors**2), values


def _diagonal(A: NDArray, B: NDArray, C: NDArray) -> ExponentialSum:
    """The kernel of the first states of a balanced system, A cut to as many columns too."""
    # Multiple rates, as gamma kernels have, are split by as small a change of A as does.
    A = A[:, : len(A)]
    shift = np.diag(np.linspace(-1.0, 1.0, len(A))) * np.linalg.norm(A, 2)
    for size in (0.0, *np.logspace(-15, -7, 17)):
        values, vectors = np.linalg.eig(A + size * shift)
        if np.linalg.cond(vectors) <= 1e7:
            break
    else:
        raise ValueError(
            f"rates of the network of width {len(A)} coincide up to rounding, and a sum of "
            'exponentials can\'t hold it; use a smaller width or method="geometric"'
        )
    if values.real.max() >= 0:
        raise ValueError(
            f"balanced truncation to width {len(A)} isn't stable: an eigenvalue has the real part "
            f"{values.real.max():.3g}. The kernel's singular values there are no larger than the "
            'errors of quadrature, or equal; use another width or method="geometric"'
        )
    amplitudes = (C @ vectors)[:, None] * np.linalg.solve(vectors, B + 0j)
    real, upper = values.imag == 0, values.imag > 0
    rates = [values[real], values[upper], values[upper].conj()]
    parts = [amplitudes[real].real, amplitudes[upper], amplitudes[upper].conj()]
    return ExponentialSum(np.concatenate(parts), -np.concatenate(rates))


def _orthonormal(components: list[list[MemoryKernel]]) -> tuple[Array, Array, Array]:
    """A, B and C of exponentials and power laws of any signs, in all states above rounding."""
    laws = [term for part in components for term in part if type(term) is PowerLaw]
    size = max((abs(law.amplitude) / law.omega for law in laws), default=0.0)
    columns = []
    for owner, terms in enumerate(components):
        for term in terms:
            exponentials = type(term) is ExponentialSum
            a, w = (term.amplitudes, term.rates) if exponentials else np.zeros((2, 0))
            if type(term) is PowerLaw and term.amplitude:
                mass, w, power = _trapezoid(term, _LEVEL * size, 24.0)
                w = np.ldexp(w, power.astype(int))
                a = math.copysign(2.0, term.amplitude) * mass * w
            kept = (np.abs(a) > 1e-290) & (np.abs(w) > 1e-290)
            columns.append((a[kept], w[kept], np.full(kept.sum(), owner)))
    a, w, owner = (np.concatenate(column) for column in zip(*columns, strict=True))
    signs = [np.where(owner == i, a / np.abs(a), 0)[:, None] for i in range(len(components))]
    mass = np.abs(a) / (2 * w.real)
    G = _pivoted(mass, w, 0 * mass, _LEVEL**2 * float(mass.sum()))[0]
    values, Z = linalg.svd(np.concatenate([(G * s).T @ G for s in signs]), full_matrices=False)[1:]
    kept = values > _LEVEL * values[0]
    root, Z = np.sqrt(values[kept]), Z[kept].conj().T
    future, start = G @ Z / root, np.sqrt(np.abs(a))
    past = sum(s * (G @ (G.T @ (s * (G @ Z))).conj()) for s in signs) / root**3
    B = np.stack([future.T @ (s[:, 0] * start) for s in signs], axis=1)
    C = start @ past
    # Singular functions of a real kernel are real up to a factor.
    turn = C / np.abs(C)
    A = -future.T @ (w[:, None] * past) * turn[:, None] * turn.conj()
    return A.real, (turn[:, None] * B).real, np.abs(C)


def _panelled(rho: MemoryKernel) -> tuple[Array, Array, Array]:
    """A, B and C of any kernel, in all states above rounding, by quadrature."""
    parts = rho.components
    points = np.unique(np.concatenate([part._breakpoints() for part in parts]))
    tails = sum(np.abs(part._tail(points)) for part in parts)
    points = points[: np.flatnonzero(tails > 1e-2 * _LEVEL * tails.max())[-1] + 2]
    lengths = np.diff(points)
    # As fine as the kernel is anywhere later.
    pieces = np.ceil(lengths / np.minimum.accumulate(lengths[::-1])[::-1] * (1 - 1e-9))
    if pieces.sum() > _MOST_NODES / 3:
        pieces = np.ceil(pieces * (_MOST_NODES / 3 / pieces.sum()))
    ends = np.append(0, np.cumsum(pieces))
    points = np.interp(np.arange(ends[-1] + 1), ends, points)
    nodes, weights = legendre.leggauss(int(np.clip(_MOST_NODES // len(points), 2, 16)))
    half = 0.5 * np.diff(points)
    t = (points[:-1, None] + half[:, None] * (1 + nodes)).ravel()
    root = np.sqrt(np.outer(half, weights).ravel())
    lags = np.add.outer(t, t)

    def stacked(order: int) -> Array:
        blocks = [part.derivative(lags, order) for part in parts]
        return np.concatenate([root[:, None] * block * root for block in blocks])

    gram = stacked(0)
    if len(parts) == 1:
        values, U = linalg.eigh(gram, check_finite=False)
        order = np.argsort(-np.abs(values))
        signs, values, U = np.sign(values[order]), np.abs(values[order]), U[:, order]
        V = U * signs
    else:
        U, values, V = linalg.svd(gram, full_matrices=False, check_finite=False)
        V = V.T
    kept = values > 100 * _LEVEL * values[0]
    scale = np.sqrt(values[kept])
    U, V = U[:, kept] / scale, V[:, kept] / scale
    columns = [root * part(t) for part in parts]
    A = (V.T @ stacked(1).T) @ U
    return A, V.T @ np.stack(columns, axis=1), np.concatenate(columns) @ U


# --------------------------------------------------------------------------- Newton's method


class Polished:
    """Networks at a local minimum of the L1 error, started from balanced truncation.

    Used in: ``approximate``.
    """

    def __init__(self, rho: MemoryKernel) -> None:
        self.balanced, self.found = Balanced(rho), {}

    def __call__(self, width: int) -> ExponentialSum:
        """The network of this width, never worse than where it started, nor than silence."""
        if width not in self.found:
            rho, unit = self.balanced.rho, self.balanced.unit
            start = self.balanced(width) / unit
            found = 0.0 * start, start, polish(rho, start)
            best = min(found, key=lambda kernel: l1_distance(rho, kernel))
            self.found[width] = unit * best
        return self.found[width]


@np.errstate(over="ignore", invalid="ignore")
def polish(rho: MemoryKernel, start: ExponentialSum, most: int = 100) -> ExponentialSum:
    r"""Damped Newton's method on the exact L1 error of a sum of exponentials.

    .. math:: J = \sum_i \int_0^\infty |e_i|\,dt, \qquad \partial J = -\sum_i \int
              \mathrm{sgn}(e_i)\,\partial\hat\rho_i\,dt, \qquad \partial\partial^\top J = \sum_i
              \Bigl(2 \sum_{e_i(z) = 0} \frac{\partial\hat\rho_i\,\partial\hat\rho_i^\top}
              {|e_i'|}(z) - \int \mathrm{sgn}(e_i)\,\partial\partial^\top\hat\rho_i\,dt\Bigr)

    with :math:`e = \rho - \hat\rho`, in the logarithms of the rates (real and imaginary part), so
    that they stay in the right half-plane, and in the amplitudes. Between zeros of e all integrals
    are differences of closed antiderivatives. A pair stays a pair, and a real rate real.

    Relaxation kernels and their networks cross at 2m lags, as many as there are parameters. The
    minimum lies in a long curved valley of the parameters, but not of the lags z: Newton's step is
    made in log z, and the parameters follow by interpolation. Then ten steps give nine digits.
    The minimum is a local one; that it is the least isn't proved.
    """
    state, damping = _State(rho, start), 1e-3
    for _ in range(most):
        trial = state.crossing_elsewhere()
        if trial is not None and trial.value < state.value:
            state = trial
            continue
        step, gain = state.step(damping)
        if gain <= 1e-13 * state.value + 4 * _EPS * state.size or damping > 1e6:
            break
        trial = state.moved(step)
        if trial.value < state.value:
            state, damping = trial, damping / 8
        else:
            damping = 8 * max(damping, 1e-12)
    return state.kernel


class _State:
    """A sum of exponentials, its L1 error, and the error's two first derivatives."""

    def __init__(self, rho: MemoryKernel, kernel: ExponentialSum) -> None:
        self.rho, self.kernel = rho, kernel
        upper = kernel.rates.imag >= 0
        self.rates = kernel.rates[upper] + 0j
        self.pairs = self.rates.imag > 0
        self.amplitudes = kernel.amplitudes.reshape(kernel.width, -1)[upper].T + 0j
        self.weights = np.where(self.pairs, 2.0, 1.0)
        self._find()

    def _find(self) -> None:
        """Zeros of the difference, the jumps of its sign there, and its L1 norm."""
        parts = self.rho.components
        points = [part._breakpoints() for part in (*parts, self.kernel)]
        # A relaxation may be faster or slower than anything before.
        points = np.unique(np.concatenate(points))
        t = points[:-1, None] + np.diff(points)[:, None] * np.arange(_LOOKS) / _LOOKS
        t = np.append(t.ravel(), points[-1])
        if t.size > _MOST_LOOKS:
            raise ValueError(
                f"the error may change sign at too many lags ({t.size} to look at, at most "
                f'{_MOST_LOOKS}); use method="balanced" for kernels of so many oscillations'
            )
        fall = self._fall(t)
        self.value, self.size, self.zeros = 0.0, 0.0, []
        for part, a in zip(parts, self.amplitudes, strict=True):
            target = part(t)
            error = target - (fall @ a).real
            noise = 16 * _EPS * (np.abs(target) + np.abs(fall) @ np.abs(a))
            seen = np.flatnonzero(np.abs(error) > noise)
            if not seen.size:
                seen = np.zeros(1, dtype=int)
            sign = np.sign(error[seen])
            turns = np.flatnonzero(sign[1:] != sign[:-1])
            low, high = t[seen[turns]], t[seen[turns + 1]]
            z = self._roots(part, a, low, high, error[seen[turns]], error[seen[turns + 1]])
            h = np.minimum(1e-3 * (high - low), z)
            with np.errstate(invalid="ignore"):
                slope = np.abs(self._error(part, a, z + h) - self._error(part, a, z - h)) / (2 * h)
            slope = np.where(slope > 0, slope, np.inf)
            # The sign at 0, then twice the sign that begins at each zero.
            jumps = np.append(sign[:1], 2 * sign[turns + 1])
            nodes = np.append(0.0, z)
            falls = self._fall(nodes)
            tails = part.tail(nodes) - (falls @ (a / self.rates)).real
            self.value += float(jumps @ tails)
            self.size += float(np.abs(jumps) @ np.abs(part.tail(nodes)))
            self.zeros.append((nodes, jumps, np.append(np.inf, slope), falls))

    def _fall(self, t: Array) -> NDArray:
        with np.errstate(under="ignore"):
            return self.weights * np.exp(-np.multiply.outer(t, self.rates))

    def _error(self, part: MemoryKernel, a: NDArray, t: Array) -> Array:
        return part(t) - (self._fall(t) @ a).real

    def _roots(self, part, a, low: Array, high: Array, left: Array, right: Array) -> Array:
        """All roots at once, by regula falsi with the Illinois rule."""
        for _ in range(12):
            gap = np.where(right == left, 1.0, right - left)
            z = np.where(right == left, high, (low * right - high * left) / gap)
            value = self._error(part, a, z)
            same = np.sign(value) == np.sign(right)
            # The end that stays counts half.
            low, left = np.where(same, low, high), np.where(same, 0.5 * left, right)
            high, right = z, value
        return z

    def step(self, damping: float) -> tuple[Array, float]:
        """A damped step in (log Re w, log Im w, Re a, Im a), and what it should gain."""
        K, d = self.rates.size, len(self.amplitudes)
        turn = np.stack([self.rates.real + 0j, 1j * self.rates.imag])  # dw, and also d^2 w
        turn = turn / self.rates  # relative: powers of a rate may leave the range of floats
        gradient, hessian = np.zeros((2 + 2 * d, K)), np.zeros((2, 2 + 2 * d, K, 2 + 2 * d, K))
        k = np.arange(K)
        for i, (a, zeros) in enumerate(zip(self.amplitudes, self.zeros, strict=True)):
            t, jumps, slope, fall = zeros
            t, w, own = t[:, None], self.rates, [0, 1, 2 + 2 * i, 3 + 2 * i]
            unit = np.multiply.outer([1, 1j], np.ones(K))
            y = np.where(fall == 0, 0.0, t * w)
            # Integrals over the sign of e^{-wt} (wt)^p for p = 0, 1, 2.
            M0 = jumps @ (fall / w)
            M1 = jumps @ (fall * (y + 1) / w)
            M2 = jumps @ (fall * (y**2 + 2 * y + 2) / w)
            gradient[own] -= np.concatenate([-a * M1 * turn, unit * M0]).real
            first = np.concatenate([-(a * turn)[:, None] * (y * fall), unit[:, None] * fall]).real
            flat = first / np.sqrt(slope)[:, None]
            product = 2 * np.einsum("pzk,qzl->pkql", flat, flat, optimize=True)
            hessian[0][np.ix_(own, k, own, k)] += product
            second = np.zeros((4, 4, K), dtype=complex)
            second[:2, :2] = a * M2 * turn[:, None] * turn
            second[[0, 1], [0, 1]] -= a * M1 * turn
            second[2:, :2] = -M1 * unit[:, None] * turn
            second[:2, 2:] = second[2:, :2].swapaxes(0, 1)
            for p in range(4):
                for q in range(4):
                    hessian[1, own[p], k, own[q], k] -= second[p, q].real
        free = np.ones((2 + 2 * d, K), dtype=bool)
        free[1, ~self.pairs] = free[3::2, ~self.pairs] = False
        free = free.ravel()
        g = gradient.ravel()[free]
        convex, rest = hessian.reshape(2, free.size, free.size)[:, free][:, :, free]
        if not np.isfinite([*g, *(convex + rest).ravel()]).all():
            return np.zeros((2 + 2 * d, K)), 0.0  # beyond the range of floats: stay
        scale = 1 / np.sqrt(np.diagonal(convex) + np.abs(np.diagonal(rest)) + 1e-300)
        curvature, axes = linalg.eigh((convex + rest) * np.outer(scale, scale))
        along = axes.T @ (scale * g)
        # Downhill along directions of negative curvature too.
        move = -along / (np.abs(curvature) + damping * np.abs(curvature).max())
        step = np.zeros(free.size)
        step[free] = scale * (axes @ move)
        step = step.reshape(2 + 2 * d, K)
        step = step / max(1.0, np.abs(step[:2]).max() / 0.7)
        return step, float(-0.5 * (along @ move))

    def crossing_elsewhere(self) -> _State | None:
        """Newton's step made in the logarithms of the zeros, where they are as many as unknowns."""
        part, (nodes, jumps, slope, fall) = self.rho.components[0], self.zeros[0]
        a, w, z = self.amplitudes[0].real, self.rates.real, nodes[1:]
        one_sign = len(self.amplitudes) == 1 and (a * a[0] > 0).all() and not self.pairs.any()
        if not one_sign or z.size != 2 * w.size or not z.all():
            return None
        step, gain = self.step(0.0)
        if gain <= 1e-13 * self.value:
            return None
        fall = fall[1:].real
        change = np.concatenate([-a * w * z[:, None] * fall, fall], axis=1) @ step[[0, 2]].ravel()
        shift = change / (np.sign(jumps[1:]) * slope[1:] * z)
        shift = shift / max(1.0, np.abs(shift).max() / (0.4 * np.diff(np.log(z)).min()))
        z = z * np.exp(shift)
        target = part(z)
        if not target.all():
            return None
        for _ in range(12):
            fall = a * np.exp(-np.multiply.outer(z, w)) / target[:, None]
            slopes = np.concatenate([-w * z[:, None] * fall, fall], axis=1)
            with np.errstate(all="ignore"):
                move = linalg.lstsq(slopes, 1 - fall.sum(axis=1), cond=1e-16)[0]
            move = np.clip(move, -0.7, 0.7)
            w, a = w * np.exp(move[: w.size]), a * np.exp(move[w.size :])
            if np.abs(move).max() < 1e-9:
                return _State(self.rho, ExponentialSum(a, w))
        return None

    def moved(self, step: Array) -> _State:
        """The state after a step."""
        rates = self.rates.real * np.exp(step[0]) + 1j * self.rates.imag * np.exp(step[1])
        amplitudes = (self.amplitudes + step[2::2] + 1j * step[3::2]).T
        real, pairs = ~self.pairs, self.pairs
        return _State(
            self.rho,
            ExponentialSum(
                np.concatenate([amplitudes[real], amplitudes[pairs], amplitudes[pairs].conj()]),
                np.concatenate([rates[real], rates[pairs], rates[pairs].conj()]),
            ),
        )
