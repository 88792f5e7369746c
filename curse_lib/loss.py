r"""The population loss of a diagonal linear RNN, exact to the last digits on a plateau.

With one input that is unit white noise, the expected squared error of the network with kernel
:math:`\hat\rho(t) = \sum_i a_i e^{-w_i t}` is :math:`J(a, w) = \int_0^\infty (\hat\rho - \rho)^2`.
On a plateau training has learnt what arrives early and feels what arrives at lag D through inner
products of size :math:`e^{-wD}`. A Gram matrix minus a Laplace transform would lose all of them
once D passes forty relaxation times. So a state is stored as its deviation from the start, and
every difference is expanded on paper: with :math:`p = w_i + s`, :math:`q = w^0_i + s`,

.. math:: \int_0^\infty (\hat\rho - \hat\rho_0)\,e^{-st}\,dt
          = \sum_i \frac{\alpha_i}{p} - \frac{a^0_i \beta_i}{pq}, \qquad
          \alpha = a - a^0, \quad \beta = w - w^0.

Where these terms cancel among themselves they are added in double-double arithmetic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from curse_lib._checks import Array, real_array
from curse_lib.kernels import (
    _GAUSS_NODES,
    _GAUSS_WEIGHTS,
    AiryKernel,
    ExponentialSum,
    GaussianBump,
    MemoryKernel,
)
from curse_lib.norms import (
    Wide,
    _wide_add,
    _wide_divide,
    _wide_multiply,
    _wide_shift,
    l2_norm,
)

__all__ = ["PopulationLoss"]

#: Where a sum is smaller than this, relative to its terms, it is added in double-double.
_CANCELS = 1e-3
_UNIT_NODES, _UNIT_WEIGHTS = 0.5 * (1 + _GAUSS_NODES), 0.5 * _GAUSS_WEIGHTS
#: A rule for integrals of e^{-u} times a slowly varying function over [0, inf): to u = 48.
_EDGE_NODES = (8 * (np.arange(6)[:, None] + _UNIT_NODES)).ravel()
_EDGE_WEIGHTS = 8 * np.tile(_UNIT_WEIGHTS, 6) * np.exp(-_EDGE_NODES)


def _bump_moments(bump: GaussianBump, s: Array, orders: range) -> list[Array]:
    r""":math:`\int_0^\infty t^n e^{-st} \rho(t)\,dt`, n <= 2: a shifted normal law, cut at 0."""
    width, ratio = bump.width, bump.delay / bump.width
    v = ratio - width * s  # the shifted mean, in deviations; below -1 the edge at 0 dominates
    low = v < -1
    safe = np.where(low, 0.0, s)
    mean = bump.delay - width * width * safe
    height = bump.mass * np.exp(-0.5 * safe * (bump.delay + mean))
    if v.min() > 9:  # the edge is below 1e-18 of all this
        factors = (1.0, mean, mean * mean + width * width)
        return [height * factors[n] for n in orders]
    below = special.ndtr(np.where(low, 0.0, v))
    edge = width * np.exp(-0.5 * np.where(low, 0.0, v) ** 2) / math.sqrt(2 * math.pi)
    factors = (below, mean * below + edge, (mean**2 + width**2) * below + mean * edge)
    moments = [height * factors[n] for n in orders]
    if low.any():
        x = -v[low][:, None]
        shape = np.exp(-0.5 * (_EDGE_NODES / x) ** 2)
        front = bump.mass * math.exp(-0.5 * ratio * ratio) / math.sqrt(2 * math.pi)
        for n, moment in zip(orders, moments, strict=True):
            rule = _EDGE_WEIGHTS * _EDGE_NODES**n
            moment[low] = front * width**n * (shape @ rule) / x[:, 0] ** (n + 1)
    return moments


@dataclass(frozen=True, eq=False)
class PopulationLoss:
    r"""Population loss :math:`J(a, w) = \int_0^\infty (\hat\rho - \rho)^2\,dt` near a start.

    A state is the array :math:`(\alpha, \beta)` of shape (2m,): deviations of the amplitudes and
    of the rates from those of the start. The zero state is the start.

    Parameters
    ----------
    target : MemoryKernel
        One input; a sum of :class:`ExponentialSum`, :class:`GaussianBump`, :class:`AiryKernel`.
    start : ExponentialSum
        One input; m >= 1 real rates. A spare neuron has amplitude 0.

    Raises
    ------
    ValueError
        If a kernel isn't of these families, has several inputs, or the start has complex rates;
        from the methods, if a state has the wrong shape or moves a rate to 0 or below.

    Notes
    -----
    Accuracy: each inner product and moment has a relative error below 1e-12 for delays up to 100
    and deviations down to 1e-30; for an Airy term, relative to the moment of its modulus. A
    component of the gradient is the difference of two of them and is as accurate as the larger.
    Cost: O(m^2), about 0.1 ms for the gradient of a few neurons.

    Source: section 4 of Li, Han, E and Li (ICLR 2021) for the setting; the closed forms are ours.

    Used in: ``book/plateaus/waiting-time.ipynb``.
    """

    target: MemoryKernel
    start: ExponentialSum

    def __post_init__(self) -> None:
        start, target = self.start, self.target
        if not isinstance(start, ExponentialSum) or not start.width or start.input_dim != 1:
            raise ValueError(
                "start must be an ExponentialSum with one input and one or more neurons; got "
                f"{start!r}. A network that has learnt nothing has amplitudes 0"
            )
        if np.iscomplexobj(start.rates):
            raise ValueError(f"start must have real rates; got {start.rates}")
        if not isinstance(target, MemoryKernel) or target.input_dim != 1:
            raise ValueError(f"target must be a MemoryKernel with one input; got {target!r}")
        for term in target.terms:
            if not isinstance(term, (ExponentialSum, GaussianBump, AiryKernel)):
                raise ValueError(
                    "target must be a sum of ExponentialSum, GaussianBump and AiryKernel terms; "
                    f"got a {type(term).__name__}. fit_exponential_sum turns others into one"
                )

    # -- what stays fixed

    @property
    def width(self) -> int:
        """Number m of neurons."""
        return self.start.width

    @cached_property
    def residual(self) -> MemoryKernel:
        """The kernel target - start: what is left to learn."""
        return self.target - self.start

    @cached_property
    def initial(self) -> float:
        r"""J at the start, :math:`\|\rho - \hat\rho_0\|_2^2`, from quadrature (relative 1e-12)."""
        return l2_norm(self.residual) ** 2

    @cached_property
    def _chains(self) -> list:
        """The exponential part of the residual, ordered for summation by parts."""
        exponentials = [t for t in self.target.terms if isinstance(t, ExponentialSum)]
        chains = reduce(add, [*exponentials, -self.start])._own_chains
        return [chain for chain in chains if np.any(chain[1] * (chain[2] != 0))]

    @property
    def represented(self) -> bool:
        """Whether the start is exactly the exponential part of the target.

        The comparison is exact: amplitudes .1 and .2 at one rate aren't the amplitude .3, as
        doubles. If it is False, the exponential difference, computed once and summed by parts so
        that nearly equal rates lose nothing, is a part of the residual like the bumps.
        """
        return not self._chains

    @cached_property
    def _late(self) -> tuple[list[GaussianBump], list[AiryKernel]]:
        terms = self.target.terms
        kinds = (GaussianBump, AiryKernel)
        return tuple([t for t in terms if isinstance(t, kind)] for kind in kinds)

    @cached_property
    def _reach(self) -> float:
        """A lag beyond which the bumps and Airy terms no longer count."""
        bumps, waves = self._late
        ends = [b.delay + 9 * b.width for b in bumps] + [k.delay + 9 / k.scale for k in waves]
        return max(ends, default=0.0)

    @cached_property
    def _rules(self) -> dict:
        """Quadrature of the Airy terms, by how finely the panels are divided."""
        return {}

    def _rule(self, fastest: float) -> tuple[Array, Array]:
        """Lags and weighted values of the Airy terms, for transforms at rates up to `fastest`."""
        longest = max(np.diff(wave._breakpoints()).max() for wave in self._late[1])
        level = max(0, math.ceil(math.log2(max(fastest * longest / 6, 1.0))))
        if level not in self._rules:
            lags, values = [], []
            for wave in self._late[1]:
                edges = wave._breakpoints()
                width = np.diff(edges) / 2**level
                left = (edges[:-1, None] + width[:, None] * np.arange(2**level)).ravel()
                width = np.repeat(width, 2**level)[:, None]
                t = (left[:, None] + width * _UNIT_NODES).ravel()
                lags.append(t)
                values.append(wave(t) * (width * _UNIT_WEIGHTS).ravel())
            self._rules[level] = np.concatenate(lags), np.concatenate(values)
        return self._rules[level]

    def _fixed(self, s: Array, orders: range) -> Array:
        r""":math:`F_n(s) = \int t^n (\rho - \hat\rho_0) e^{-st}\,dt`, one row for each n."""
        total = np.zeros((len(orders), s.size))
        bumps, waves = self._late
        for bump in bumps:
            total += _bump_moments(bump, s, orders)
        if waves:
            t, values = self._rule(float(s.max()))
            with np.errstate(under="ignore"):
                falls = np.exp(-np.multiply.outer(s, t))
            total += [falls @ (values * t**n) for n in orders]
        for rates, sums, gaps in self._chains:
            x = 1 / np.add.outer(s, rates)
            y = 1 / np.add.outer(s, rates + gaps)
            last = np.isinf(gaps)
            step = np.where(last, 1.0, np.where(last, 0.0, gaps) * y)
            pairs = 2.0 if np.iscomplexobj(rates) else 1.0
            for row, n in zip(total, orders, strict=True):
                terms = step * sum(x ** (j + 1) * y ** (n - j) for j in range(n + 1))
                row += pairs * math.factorial(n) * (terms @ sums).real
        return total

    # -- what moves

    def _parts(self, state: ArrayLike) -> tuple[Array, Array, Array, Array]:
        """Deviations (alpha, beta) and parameters (a, w) of a state."""
        state = real_array("state", state)
        m = self.width
        if state.shape != (2 * m,):
            raise ValueError(
                f"state must have shape ({2 * m},): {m} deviations of amplitudes, then {m} of "
                f"rates; got {state.shape}"
            )
        alpha, beta = state[:m], state[m:]
        w = self.start.rates + beta
        if w.min() <= 0:
            raise ValueError(f"state must leave every rate positive; got the rates {w}")
        return alpha, beta, self.start.amplitudes + alpha, w

    def _moving(self, alpha: Array, beta: Array, w: Array, orders: range) -> Array:
        r""":math:`\int t^n (\hat\rho - \hat\rho_0) e^{-w_k t}\,dt`, one row for each n."""
        x, y = 1 / np.add.outer(w, w), 1 / np.add.outer(w, self.start.rates)
        grow = alpha * x  # alpha_i x^(n+1)
        bend = self.start.amplitudes * beta * x * y  # times sum_j x^j y^(n-j)
        mixed, rows = 1.0, []
        for n in range(orders.stop):
            if n:
                mixed, grow = y * mixed + x**n, grow * x
            terms = np.hstack([grow, -bend * mixed])
            row = terms.sum(axis=1)
            if n in orders and np.any(np.abs(row) < _CANCELS * np.abs(terms).sum(axis=1)):
                zero = np.zeros_like(beta)
                return self._wide((alpha, zero), (beta, zero), orders)[0]
            rows.append(math.factorial(n) * row)
        return np.array(rows[orders.start :])

    def _wide(self, alpha: Wide, beta: Wide, orders: range) -> tuple[Array, list[Wide]]:
        """The same sums with about 30 digits, and the blocks of :meth:`tangent_gram`."""

        def inverse(p: Wide, q: Wide) -> Wide:
            p = _wide_add((p[0][:, None], p[1][:, None]), q)
            return _wide_divide((np.ones_like(p[0]), np.zeros_like(p[0])), p)

        zero, rates = np.zeros(self.width), self.start.rates
        w, a = (_wide_add((u, zero), v) for u, v in ((rates, beta), (self.start.amplitudes, alpha)))
        x, y = inverse(w, w), inverse(w, (rates, zero))
        product = _wide_multiply(x, _wide_multiply((-self.start.amplitudes, zero), beta))
        bend, power, rows, blocks = y, x, [], []  # sum_j x^j y^(n+1-j), and x^(n+1)
        for n in range(3):
            if n in orders:
                terms = _wide_add(_wide_multiply(power, alpha), _wide_multiply(bend, product))
                row = reduce(_wide_add, zip(terms[0].T, terms[1].T, strict=True))[0]
                rows.append(math.factorial(n) * row)
            blocks.append(power)
            bend = _wide_multiply(bend, y)
            bend = _wide_add(bend, _wide_multiply(power, y))
            power = _wide_multiply(power, x)
        mixed = _wide_shift(_wide_multiply(blocks[1], a), -1.0)
        twice = _wide_multiply(_wide_multiply(blocks[2], a), (a[0][:, None], a[1][:, None]))
        return np.array(rows), [blocks[0], mixed, _wide_shift(twice, 2.0)]

    def parameters(self, state: ArrayLike) -> tuple[Array, Array]:
        """Amplitudes and rates (a, w), each of shape (m,), of a state."""
        return self._parts(state)[2:]

    def kernel(self, state: ArrayLike) -> ExponentialSum:
        """The network's kernel in a state."""
        return ExponentialSum(*self.parameters(state))

    def inner_products(self, state: ArrayLike, order: int = 0) -> tuple[Array, Array]:
        r"""The two halves of the gradient, each of shape (m,), for order n = 0, 1 or 2.

        :math:`\int t^n (\hat\rho - \hat\rho_0)\,e^{-w_k t}\,dt` and
        :math:`\int t^n (\rho - \hat\rho_0)\,e^{-w_k t}\,dt`.
        """
        if order not in (0, 1, 2):
            raise ValueError(f"order must be 0, 1 or 2; got {order!r}")
        alpha, beta, _, w = self._parts(state)
        orders = range(order, order + 1)
        return self._moving(alpha, beta, w, orders)[0], self._fixed(w, orders)[0]

    def value(self, state: ArrayLike) -> float:
        r"""The loss as a difference from the start, :math:`J(\theta) - J(\theta_0)`.

        :math:`\|h\|^2 - 2 \langle h, \rho - \hat\rho_0\rangle` with :math:`h = \hat\rho -
        \hat\rho_0`, relative to which it is accurate.
        """
        return self._value(state)[0]

    def _value(self, state: ArrayLike) -> tuple[float, float]:
        """The difference, and the size of what was added."""
        alpha, beta, _, w = self._parts(state)
        a0, w0 = self.start.amplitudes, self.start.rates
        # h = sum_i alpha_i e_i - a0_i beta_i phi_i, where phi_i = (e^{-w0_i t} - e_i)/beta_i.
        c = np.concatenate([alpha, -a0 * beta])
        pp, pq, qq = 1 / np.add.outer(w, w), 1 / np.add.outer(w, w0), 1 / np.add.outer(w0, w0)
        mixed = pp * pq  # <e_k, phi_i>
        both = np.add.outer(w + w0, w + w0) * pp * pq * pq.T * qq
        gram = np.block([[pp, mixed], [mixed.T, both]])
        # <phi_i, rho - rho_0>: a mean of F_1 over the way from w0 to w, or a plain difference.
        here, there = self._fixed(np.concatenate([w, w0]), range(1))[0].reshape(2, -1)
        near = (np.abs(beta) * self._reach <= 8) & (np.abs(beta) <= 0.5 * w0)
        pull = (there - here) / np.where(near, 1.0, beta)
        if near.any():
            way = w0[near, None] + beta[near, None] * _UNIT_NODES
            pull[near] = self._fixed(way.ravel(), range(1, 2)).reshape(way.shape) @ _UNIT_WEIGHTS
        terms = np.concatenate([c * (gram @ c), -2 * c * np.concatenate([here, pull])])
        size = np.abs(c) @ gram @ np.abs(c) + np.abs(terms[c.size :]).sum()
        return float(math.fsum(terms)), float(size)

    def gradient(self, state: ArrayLike) -> Array:
        r"""Gradient in (a, w), shape (2m,).

        :math:`\partial J/\partial a_k = 2 r_0`, :math:`\partial J/\partial w_k = -2 a_k r_1`
        with :math:`r_n = \int t^n (\hat\rho - \rho) e^{-w_k t}\,dt`.
        """
        alpha, beta, a, w = self._parts(state)
        r = self._moving(alpha, beta, w, range(2)) - self._fixed(w, range(2))
        return np.concatenate([2 * r[0], -2 * a * r[1]])

    def tangent_gram(self, state: ArrayLike) -> Array:
        r"""Gram matrix, shape (2m, 2m), of the derivatives of :math:`\hat\rho` in (a, w).

        They are :math:`e^{-w_k t}` and :math:`-a_k t e^{-w_k t}`; twice this matrix is the
        Gauss-Newton part of the Hessian.
        """
        _, _, a, w = self._parts(state)
        x = 1 / np.add.outer(w, w)
        mixed = -(x**2) * a
        return np.block([[x, mixed], [mixed.T, 2 * x**3 * np.multiply.outer(a, a)]])

    def hessian(self, state: ArrayLike) -> Array:
        r"""Hessian in (a, w), shape (2m, 2m).

        Twice :meth:`tangent_gram`, plus :math:`-2 r_1` on the diagonals of the two mixed blocks
        and :math:`2 a_k r_2` on that of the block of the rates.
        """
        return self._slopes(state, None)[1]

    @cached_property
    def _twins(self) -> Array:
        """Turned coordinates that stay 0: in which neurons that start alike would differ."""
        same = [np.equal.outer(u, u) for u in (self.start.amplitudes, self.start.rates)]
        return np.tile(np.tril(same[0] & same[1], -1).any(axis=1), 2)

    @cached_property
    def _turn(self) -> Array | None:
        """Orthogonal coordinates (columns) in which neurons that start with one rate are apart.

        To first order such neurons move the kernel through sum alpha and sum a0 beta alone. In
        these sums and what is orthogonal to them the Hessian is graded: rounding in its large
        entries doesn't touch the small ones, which move the neurons apart.
        """
        a, rates, turn = self.start.amplitudes, self.start.rates, np.eye(2 * self.width)
        if np.unique(rates).size == rates.size:
            return None
        twins = self._twins[: self.width]
        for k, weights in ((0, np.ones(self.width)), (self.width, a.copy())):
            count = np.ones(self.width)
            # Twins come together first, each with the first of them; then those do.
            for j in np.argsort(~twins, kind="stable"):
                i = int(np.argmax((rates == rates[j]) & ((a == a[j]) | ~twins[j])))
                u, v = (math.sqrt(count[i]), 1.0) if twins[j] else weights[[i, j]]
                if i < j and (length := math.hypot(u, v)):
                    pair = [k + i, k + j]
                    turn[:, pair] = turn[:, pair] @ np.array([[u, -v], [v, u]]) / length
                    count[i] += 1
                    weights[i] = weights[i] / u * length if twins[j] else length
        return turn

    def _rates(self, turned: Array) -> Array:
        """Rates of a state in turned coordinates."""
        state = turned if self._turn is None else self._turn @ turned
        return self.start.rates + state[self.width :]

    def _slopes(self, state: Array, turn: Array | None) -> tuple[Array, Array, Array, Array]:
        """Gradient and Hessian in turned coordinates, each with what its rounding is part of."""
        m = self.width
        if turn is None:
            alpha, beta, a, w = self._parts(state)
            moving, gram = self._moving(alpha, beta, w, range(3)), self.tangent_gram(state)
        else:
            a, w = self._parts(turn @ state)[2:]
            high, low = _wide_product(turn, (state[:, None], 0 * state[:, None]))
            high, low = high[:, 0], low[:, 0]
            moving, blocks = self._wide((high[:m], low[:m]), (high[m:], low[m:]), range(3))
            full = [np.block([[p, q], [q.T, r]]) for p, q, r in zip(*blocks, strict=True)]
            half = _wide_product(turn.T, tuple(full))
            gram = _wide_product(turn.T, (half[0].T, half[1].T))[0]
        fixed = self._fixed(w, range(3))
        r, size = moving - fixed, np.maximum(np.abs(moving), np.abs(fixed))
        bend, bent = np.zeros((2, 2 * m, 2 * m))
        k = np.arange(m)
        for matrix, s, sign, b in ((bend, r, -2, a), (bent, size, 2, np.abs(a))):
            matrix[k, k + m] = matrix[k + m, k] = sign * s[1]
            matrix[k + m, k + m] = 2 * b * s[2]
        gradient = np.concatenate([2 * r[0], -2 * a * r[1]])
        scale = np.concatenate([2 * size[0], 2 * np.abs(a) * size[1]])
        if turn is not None:
            positive = np.abs(turn)
            gradient, scale = turn.T @ gradient, positive.T @ scale
            bend, bent = turn.T @ bend @ turn, positive.T @ bent @ positive
        return gradient, 2 * gram + bend, scale, 2 * np.abs(gram) + bent


def _wide_product(left: Array, right: Wide) -> Wide:
    """Product of two matrices, of which the right one is in double-double."""
    columns = zip(left.T, right[0], right[1], strict=True)
    return reduce(
        _wide_add, (_wide_multiply((u[:, None], 0 * u[:, None]), (p, q)) for u, p, q in columns)
    )
