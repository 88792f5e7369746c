r"""Approximate memory kernels by linear RNNs, with bounds beside the errors.

Three constructions. The theorem's own ("jackson") takes the rates :math:`j\beta/(\alpha+1)`, which
turn exponential sums into polynomials in :math:`u = e^{-bt}`, and projects on Legendre
polynomials; "uniform" does the same with the spacing b that fits best; "geometric" spreads the
rates geometrically, as a memory of many time-scales wants it, and fits the amplitudes in L1. Two
more are in :mod:`curse_lib.reduction`: "balanced" and "l1", which come close to what is possible.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, lru_cache
from operator import itemgetter, mul

import numpy as np
from numpy.polynomial import Polynomial, legendre
from numpy.typing import ArrayLike, NDArray
from scipy import linalg, optimize

from curse_lib._checks import number, real_array, whole
from curse_lib.certificates import certified_l1_distance
from curse_lib.hankel import width_floor
from curse_lib.kernels import (
    AiryKernel,
    ExponentialSum,
    GammaKernel,
    GaussianBump,
    LegendreKernel,
    MemoryKernel,
    PowerLaw,
    StateSpaceKernel,
    _airy_edges,
)
from curse_lib.models import LinearRNN
from curse_lib.norms import _ANALYSE, _NODES, _WEIGHTS, l1_distance, l1_norm
from curse_lib.reduction import Balanced, Polished

__all__ = ["Approximation", "JacksonBound", "approximate", "decay_constants", "jackson_bound"]

Array = NDArray[np.float64]

_EPS = float(np.finfo(float).eps)
#: Widest networks that a search tries. Geometric rates reach rounding long before.
_WIDEST = {"jackson": 512, "uniform": 256, "geometric": 64, "balanced": 256, "l1": 64}


# --------------------------------------------------------------------------- the result


@dataclass(frozen=True, eq=False)
class Approximation:
    r"""A linear RNN in place of a target kernel, with what is known about the difference.

    Made by :func:`approximate`.

    Parameters
    ----------
    target : MemoryKernel
        The kernel :math:`\rho` that was asked for, with d inputs.
    kernel : LegendreKernel or ExponentialSum
        The kernel :math:`\hat\rho` of the network, in a form that evaluates without cancellation.
    method : str
        How it was found: "jackson", "uniform", "geometric", "balanced", "l1", "given" (rates) or
        "exact" (the target is a network itself).
    theorem_bound : float or None
        What Theorem 3.2 with its constant promises of the error (:func:`jackson_bound`), known
        before anything is computed; None unless the method is "jackson".

    Notes
    -----
    A network is a triple (W, U, c), and many triples have the same kernel. The diagonal triple of
    the proof, :attr:`rnn`, has amplitudes that alternate and grow like a power of the width when
    the rates are evenly spaced; beyond a width of 20 to 25 their rounding alone spoils the kernel
    (:attr:`rounding`), and :attr:`rnn` refuses. The kernel itself is not ill-conditioned:
    :attr:`cascade` realises it in orthonormal coordinates for any width.

    Used in: ``approximate``, ``book/rates/smoothness-and-decay.ipynb``.
    """

    target: MemoryKernel
    kernel: LegendreKernel | ExponentialSum
    method: str
    theorem_bound: float | None = None

    def __repr__(self) -> str:
        return (
            f"Approximation(method={self.method!r}, width={self.width}, "
            f"input_dim={self.target.input_dim}, target={type(self.target).__name__})"
        )

    @property
    def width(self) -> int:
        """Number m of neurons."""
        return self.kernel.width

    @property
    def rates(self) -> NDArray:
        """The m rates :math:`w_j` (1/time)."""
        return self.kernel.rates

    @cached_property
    def error(self) -> float:
        r"""The error :math:`\|\rho - \hat\rho\|_1`, measured by :func:`l1_distance`."""
        return l1_distance(self.target, self.kernel)

    @cached_property
    def bound(self) -> float:
        """A proven upper bound of the error, by :func:`certified_l1_distance`.

        Raises
        ------
        ValueError
            If the target's family has no certificate; the message says why.
        """
        return certified_l1_distance(self.target, self.kernel)

    @cached_property
    def floor(self) -> float:
        """What no network of this width gets below, by :func:`width_floor`."""
        return width_floor(self.target, self.width)

    @cached_property
    def _diagonal(self) -> ExponentialSum:
        """Amplitudes and rates of the diagonal network, each rounded once."""
        return self.kernel.expanded() if isinstance(self.kernel, LegendreKernel) else self.kernel

    @cached_property
    def rounding(self) -> float:
        r"""What rounding the diagonal network's parameters does to its kernel, at most.

        A relative change :math:`\epsilon` of an amplitude or a rate moves :math:`a_j e^{-w_j t}` by
        :math:`\epsilon |a_j| / w_j` in L1 to first order (by :math:`|w_j|/\mathrm{Re}\,w_j` times
        that for a complex rate), so with one rounding each the sum is
        :math:`\epsilon \sum_j |a_j| (1 + |w_j| / \mathrm{Re}\,w_j) / \mathrm{Re}\,w_j`; infinite
        where an amplitude exceeds the range of doubles.
        """
        try:
            diagonal = self._diagonal
        except ValueError:
            return math.inf
        decay = diagonal.rates.real
        size = np.abs(diagonal.amplitudes).reshape(self.width, -1).sum(axis=1)
        return float(_EPS * (size * (1 + np.abs(diagonal.rates) / decay) / decay).sum())

    @property
    def realisable(self) -> bool:
        """Whether the diagonal network survives double precision.

        That is, its :attr:`rounding` exceeds neither the error nor 1e-12 of the target's norm.
        """
        return self.rounding <= max(self.error, 1e-12 * l1_norm(self.target))

    @property
    def rnn(self) -> LinearRNN:
        """The network of the proof, with diagonal W (blocks of two for complex rates).

        Raises
        ------
        ValueError
            If its parameters can't be held in double precision; :attr:`cascade` can.
        """
        if not self.realisable:
            raise ValueError(
                f"the diagonal network of width {self.width} isn't realisable in double "
                f"precision: rounding its parameters moves the kernel by up to "
                f"{self.rounding:.2g}, and its error is {self.error:.2g}. Use .cascade, the same "
                "kernel in orthonormal coordinates, or a smaller width"
            )
        return LinearRNN.from_kernel(self._diagonal)

    @property
    def cascade(self) -> LinearRNN:
        r"""The same kernel in orthonormal coordinates: a network that rounding doesn't hurt.

        The functions :math:`\varphi_k` with the Laplace transforms

        .. math:: \frac{\sqrt{2 w_k}}{s + w_k} \prod_{i<k} \frac{s - w_i}{s + w_i}

        are an orthonormal basis of the span of the :math:`e^{-w_j t}` (Takenaka, Malmquist). They
        are the states of :math:`h' = -(\mathrm{diag}(w) + L) h` from :math:`h(0) = \sqrt{2w}`,
        where L is the strictly lower part of :math:`\sqrt{2w} \sqrt{2w}^\top`. The network has the
        transpose of that matrix as its W, so that :math:`W + W^\top = -c c^\top` with
        :math:`c = \sqrt{2w}`, and the coefficients :math:`\langle \hat\rho_i, \varphi_k \rangle`,
        at most :math:`\|\hat\rho_i\|_2` in modulus, as the columns of U.

        Raises
        ------
        ValueError
            If a rate is complex.

        Source: S. Takenaka, Japanese J. Math. 2 (1925), 129-145; the Jacobi form for evenly
        spaced rates is derived in the chapter on rates.
        """
        rates = self.rates
        if np.iscomplexobj(rates):
            raise ValueError("the cascade is built for real rates; use .rnn for complex ones")
        readout = np.sqrt(2 * rates)
        W = -np.triu(np.outer(readout, readout), 1) - np.diag(rates)
        return LinearRNN(W, self._coefficients, readout)

    @property
    def _coefficients(self) -> Array:
        """The orthonormal coefficients, one row a state."""
        if isinstance(self.kernel, LegendreKernel):
            # u P_k = u ((k+1) Q_k + k Q_{k-1}) / (2k+1) with the Jacobi polynomials Q = P^(0,1),
            # and sqrt(2b(k+1)) u Q_k is the k-th basis function.
            k = np.arange(self.width)
            c = self.kernel.coefficients.T / (2 * k + 1)
            c = (k + 1) * (c + np.append(c[..., 1:], 0 * c[..., :1], axis=-1))
            return (c / np.sqrt(2 * self.rates)).T
        # Products of a nearly parallel basis cancel: exact sums, rounded once.
        rates = [Fraction(rate) for rate in self.rates.tolist()]
        columns = self.kernel.amplitudes.reshape(self.width, -1).T.tolist()
        columns = [[Fraction(a) for a in column] for column in columns]
        rows, passed = [], [Fraction(1)] * self.width
        for own in rates:
            shares = [p / (rate + own) for p, rate in zip(passed, rates, strict=True)]
            exact = [sum(map(mul, shares, column)) for column in columns]
            rows.append([math.sqrt(2 * own) * float(value) for value in exact])
            passed = [share * (rate - own) for share, rate in zip(shares, rates, strict=True)]
        return np.array(rows)


# --------------------------------------------------------------------------- Theorem 3.2


@dataclass(frozen=True)
class JacksonBound:
    r"""The bound of Theorem 3.2 and what it is made of.

    Parameters
    ----------
    value : float
        The bound, :math:`d \gamma C`.
    gamma : float
        The kernel's constant :math:`\gamma` (:func:`decay_constants`).
    constant : float
        The constant :math:`C = C(\alpha, m)`.
    seminorm : float
        A bound from the kernel itself: at least the error, and at most the term :math:`k = \alpha`
        of the bound, which is `value` unless m is close to :math:`\alpha`; infinite for
        :math:`m < \alpha`.

    Used in: ``jackson_bound``.
    """

    value: float
    gamma: float
    constant: float
    seminorm: float


def decay_constants(kernel: MemoryKernel, alpha: int, beta: float) -> float:
    r"""The constant gamma of Theorem 3.2 for given smoothness and decay.

    .. math::
       \begin{aligned}
       \gamma &= \max_{1 \le i \le d} \max_{1 \le k \le \alpha+1} \sup_{t \ge 0}
                 \frac{|e^{\beta t} y_i^{(k)}(t)|}{\beta^k}, \\
       y_i^{(k)} &= \rho_i^{(k-1)}
       \end{aligned}

    Parameters
    ----------
    kernel : MemoryKernel
        Kernel with d >= 1 inputs; exponential sums, state-space and gamma kernels, Gaussian bumps
        and Airy kernels, their sums and stacks.
    alpha : int
        Smoothness, at least 1: the kernel has :math:`\alpha` continuous derivatives.
    beta : float
        Decay rate (1/time), below the slowest rate of the kernel.

    Returns
    -------
    float
        In the unit of the kernel times time: the unit of :math:`\|\rho\|_1`.

    Raises
    ------
    ValueError
        If the kernel isn't that smooth, or doesn't decay like :math:`o(e^{-\beta t})`, or its
        family isn't among those above.

    Notes
    -----
    Products :math:`e^{\beta t} \rho^{(k)}` are formed with the exponential inside the kernel's
    parameters, so that nothing over- or underflows. The supremum is enclosed by halving panels:
    the sum of the moduli of a panel's Legendre coefficients bounds its values from above. The
    result is at most 1e-6 (relative) above the supremum, and below it by no more than the series
    leave out, about 1e-9.

    Source: hypotheses of Theorem 3.2 of Li, Han, E and Li (ICLR 2021), as restated in later work.

    Used in: ``book/rates/smoothness-and-decay.ipynb``.
    """
    alpha, beta = _hypotheses(kernel, alpha, beta)
    with np.errstate(all="ignore"):
        gamma = max(
            _supremum(lambda t, k=k, g=weighted: g(t, k) / np.power(beta, k + 1.0), points)
            for weighted, points in _weighted(kernel, beta)
            for k in range(alpha + 1)
        )
    return _finite("gamma", gamma, alpha, beta)


def jackson_bound(
    kernel: MemoryKernel, alpha: int, beta: float, width: int, full_output: bool = False
) -> float | JacksonBound:
    r"""What Theorem 3.2 promises of a network of given width, with its constant.

    .. math::
       \begin{aligned}
       &\|\rho - \hat\rho\|_1 \\
       &\; \le d \gamma \min_{0 \le k \le \min(\alpha, m)} \frac{(\alpha+1+k)!}{\alpha!} \\
       &\quad {} \cdot \sqrt{\frac{(2\alpha-k)!\,k!}{(2\alpha+1)!}} \sqrt{\frac{(m-k)!}{(m+k)!}}
       \end{aligned}

    The term :math:`k = \alpha` is :math:`d \gamma \sqrt{(2\alpha+1)!}\,\sqrt{(m-\alpha)!/(m+
    \alpha)!}`, which falls like :math:`m^{-\alpha}`.

    Parameters
    ----------
    kernel : MemoryKernel
        Target with d >= 1 inputs.
    alpha, beta : int, float
        Smoothness and decay rate (1/time), as for :func:`decay_constants`.
    width : int
        Number m >= 1 of neurons.
    full_output : bool
        Return a :class:`JacksonBound` with the parts of the bound.

    Returns
    -------
    float or JacksonBound
        A bound for the network with the rates :math:`j\beta/(\alpha+1)` that ``approximate(kernel,
        width, method="jackson", alpha=alpha, beta=beta)`` builds.

    Raises
    ------
    ValueError
        As :func:`decay_constants`, or if `width` isn't a positive whole number.

    Notes
    -----
    Proof. Put :math:`b = \beta/(\alpha+1)`, :math:`u = e^{-bt}` and :math:`q(u) = \rho(t)/u`. With
    :math:`\hat\rho = u P(u)` the L1 error is :math:`\frac1b \int_0^1 |q - P|\,du \le \frac1b \|q -
    P\|_{L^2(0,1)}`. By induction :math:`q^{(k)} = (-1)^k e^{(k+1)bt} \prod_{j=1}^k (j + D/b)
    \rho` with :math:`D = d/dt`, so the hypotheses give :math:`|q^{(k)}| \le \gamma \beta
    u^{\alpha-k} (\alpha+1+k)!/(\alpha+1)!`. Let P be the Legendre projection of q. The k-th
    derivatives of the Legendre polynomials on [0, 1] are orthogonal with weight :math:`(u(1-u))^k`,
    the n-th with squared norm :math:`(n+k)!/(n-k)!` times that of the polynomial itself, so
    Bessel's inequality for :math:`q^{(k)}` yields

    .. math::
       \begin{aligned}
       \|q - P\|_2^2 &\le \frac{(m-k)!}{(m+k)!} \\
       &\; {} \cdot \int_0^1 \bigl(q^{(k)}\bigr)^2 (u(1-u))^k du,
       \end{aligned}

    and the integral is at most the square of the bound on :math:`q^{(k)}`, with a Beta function.
    `seminorm` is the right-hand side's root, divided by b, for :math:`k = \alpha`, with the
    integral computed instead of bounded, summed over the inputs.

    Source: Theorem 3.2 of Li, Han, E and Li (ICLR 2021), as restated in later work, with a constant
    of our own.

    Used in: ``book/rates/smoothness-and-decay.ipynb``.
    """
    alpha, beta = _hypotheses(kernel, alpha, beta)
    width = whole("width", width)
    gamma = decay_constants(kernel, alpha, beta)
    constant = min(_constant(alpha, width, k) for k in range(min(alpha, width) + 1))
    value = _finite("the bound", kernel.input_dim * gamma * constant, alpha, beta)
    if not full_output:
        return value
    seminorm = math.inf
    if width >= alpha:
        shrink = math.exp(0.5 * (math.lgamma(width - alpha + 1) - math.lgamma(width + alpha + 1)))
        with np.errstate(all="ignore"):
            seminorm = shrink * sum(_seminorms(kernel, alpha, beta)) * (alpha + 1) / beta
        seminorm = _finite("the seminorm", seminorm, alpha, beta)
    return JacksonBound(value, gamma, constant, seminorm)


def _finite(name: str, value: float, alpha: int, beta: float) -> float:
    if not math.isfinite(value):
        raise ValueError(
            f"{name} leaves the range of doubles for alpha = {alpha}, beta = {beta:.6g}; use a "
            "smaller alpha, or a beta nearer to the kernel's slowest rate"
        )
    return value


def _constant(alpha: int, width: int, k: int) -> float:
    """The bound for d gamma = 1 from the k-th derivative."""
    log = math.lgamma(alpha + 2 + k) - math.lgamma(alpha + 1)
    log += 0.5 * (math.lgamma(2 * alpha - k + 1) + math.lgamma(k + 1) - math.lgamma(2 * alpha + 2))
    log += 0.5 * (math.lgamma(width - k + 1) - math.lgamma(width + k + 1))
    return math.exp(log)


def _seminorms(kernel: MemoryKernel, alpha: int, beta: float) -> list[float]:
    r"""For each input the root of :math:`\int_0^1 (q^{(\alpha)})^2 (u(1-u))^\alpha du`.

    In time this is :math:`b \int_0^\infty e^{\beta t} (1 - e^{-bt})^\alpha (\prod_{j=1}^\alpha (j +
    D/b) \rho)^2 dt`, whose exponential goes half to each factor.
    """
    b = beta / (alpha + 1)
    product = Polynomial([1.0])
    for j in range(1, alpha + 1):
        product *= Polynomial([j, 1 / b])
    roots = []
    for weighted, points in _weighted(kernel, 0.5 * beta):
        points = np.unique(np.append(points, _spread(b, 1, alpha + 1)))
        t, weights = _rule(points)
        value = sum(c * weighted(t, k) for k, c in enumerate(product.coef))
        roots.append(math.sqrt(b * float(weights @ ((-np.expm1(-b * t)) ** alpha * value**2))))
    return roots


def _hypotheses(kernel: MemoryKernel, alpha: int, beta: float) -> tuple[int, float]:
    """Check what Theorem 3.2 assumes of the kernel."""
    _kernel("kernel", kernel)
    alpha, beta = whole("alpha", alpha), number("beta", beta, positive=True)
    terms = [term for part in kernel.components for term in part.terms]
    for term in terms:
        if isinstance(term, PowerLaw):
            raise ValueError(
                "a power law decays more slowly than every exponential, so no beta > 0 satisfies "
                f"the hypotheses of Theorem 3.2; got {term!r}. approximate(..., "
                'method="geometric") doesn\'t need them'
            )
    if alpha > kernel._smoothness:
        raise ValueError(
            f"alpha must be at most {max(kernel._smoothness, 0)}, the number of continuous "
            f"derivatives of this kernel; got {alpha}. Theorem 3.2 needs alpha >= 1"
        )
    slowest = min((_decay(term) for term in terms), default=math.inf)
    if not beta < slowest:
        raise ValueError(
            f"beta must be below {slowest:.6g}, the slowest rate of this kernel, or e^(beta t) "
            f"rho(t) doesn't tend to 0; got {beta:.6g}"
        )
    return alpha, beta


def _decay(term: MemoryKernel) -> float:
    """The slowest exponential rate of a term (neurons of amplitude 0 don't count)."""
    if isinstance(term, ExponentialSum):
        return float(term.rates.real[term.amplitudes != 0].min(initial=math.inf))
    return -term._abscissa


def _weighted(
    kernel: MemoryKernel, beta: float
) -> list[tuple[Callable[[Array, int], Array], Array]]:
    r"""For each input :math:`(t, k) \mapsto e^{\beta t} \rho^{(k)}(t)`, and panels."""
    result = []
    for part in kernel.components:
        parts = [_tilted(term, beta) for term in part.terms]
        points = np.unique(np.concatenate([points for _, points in parts]))
        result.append((lambda t, k, parts=parts: sum(g(t, k) for g, _ in parts), points))
    return result


def _tilted(term: MemoryKernel, beta: float) -> tuple[Callable[[Array, int], Array], Array]:
    """The product of e^(beta t) and a term's derivatives, and panels that resolve it."""
    if isinstance(term, AiryKernel):
        # The product peaks at x = (beta/c)^2 and has died out at four times that, plus 20.
        end = 4 * (beta / term.scale) ** 2 + 20
        edges = _airy_edges(-term.scale * term.delay, end)
        points = np.append(0.0, (term.delay + edges / term.scale)[1:])
        if end > 100 or beta * points[-1] > 700:
            raise ValueError(f"beta = {beta:.6g} is too large for {term!r}: e^(beta t) overflows")
        return lambda t, k: np.exp(beta * t) * term.derivative(t, k), points
    log_size, name = 0.0, term._linear
    if isinstance(term, ExponentialSum):
        kept = term.amplitudes != 0
        tilted = ExponentialSum(term.amplitudes[kept], term.rates[kept] - beta)
    elif isinstance(term, StateSpaceKernel):
        tilted = replace(term, W=term.W + beta * np.eye(len(term.W)))
    elif isinstance(term, GammaKernel):
        tilted, log_size = replace(term, rate=term.rate - beta), beta * term.delay
    elif isinstance(term, GaussianBump):
        shift = beta * term.width**2
        tilted = replace(term, delay=term.delay + shift)
        log_size = beta * (term.delay + 0.5 * shift)
    else:
        raise ValueError(
            f"decay constants aren't known for {type(term).__name__}; they are for exponential "
            "sums, state-space, gamma, Gaussian and Airy kernels, their sums and stacks"
        )
    if log_size > 600:
        raise ValueError(f"beta = {beta:.6g} is too large for {term!r}: e^(beta t) overflows")
    if log_size:
        tilted = replace(tilted, **{name: getattr(term, name) * math.exp(log_size)})

    def weighted(t: Array, k: int) -> Array:
        # e^(beta t) D^k rho = (D - beta)^k (e^(beta t) rho)
        return sum(
            math.comb(k, j) * (-beta) ** (k - j) * tilted.derivative(t, j) for j in range(k + 1)
        )

    return weighted, tilted._breakpoints()


def _supremum(function: Callable[[Array], Array], points: Array) -> float:
    """An upper bound of the modulus on [0, inf), at most 1e-6 above the supremum."""
    low, high = points[:-1], points[1:]
    best = float(np.abs(function(points)).max())
    for _ in range(60):
        half = 0.5 * (high - low)
        values = function((low[:, None] + half[:, None] * (1 + _NODES)).ravel())
        series = np.abs(values.reshape(half.size, -1) @ _ANALYSE)
        best = max(best, float(np.abs(values).max(initial=0.0)))
        unsettled = series.sum(axis=1) > best * (1 + 1e-6)
        if not unsettled.any():
            break
        low, high = low[unsettled], high[unsettled]
        middle = 0.5 * (low + high)
        low, high = np.append(low, middle), np.append(middle, high)
    return best * (1 + 1e-6)


# --------------------------------------------------------------------------- constructions


def approximate(
    rho: MemoryKernel,
    width: int | None = None,
    *,
    tolerance: float | None = None,
    rates: ArrayLike | None = None,
    method: str | None = None,
    alpha: int | None = None,
    beta: float | None = None,
) -> Approximation:
    r"""Find a linear RNN whose kernel is close to a given one in L1.

    Parameters
    ----------
    rho : MemoryKernel
        Target with d >= 1 inputs; all inputs share the rates, so the width doesn't grow with d.
    width : int, optional
        Number m >= 1 of neurons.
    tolerance : float, optional
        Instead of a width: an L1 error. The result is the narrowest network found whose certified
        :attr:`Approximation.bound` is at most this.
    rates : array_like, shape (m,), optional
        Instead of a width: distinct positive rates; their amplitudes are fitted.
    method : {"jackson", "uniform", "geometric", "balanced", "l1"}, optional
        Without a method the best of "uniform", "geometric" and, where it is an exponential sum that
        is narrow enough, the target itself.
    alpha, beta : int, float, optional
        Smoothness and decay rate of Theorem 3.2; for "jackson", and needed there.

    Returns
    -------
    Approximation
        With kernel, measured error, certified bound and networks.

    Raises
    ------
    ValueError
        Unless exactly one of `width`, `tolerance` and `rates` is given; if "jackson" lacks `alpha`
        or `beta`, or the kernel lacks the smoothness or decay (see :func:`decay_constants`); if the
        tolerance isn't reached by the widest network tried or can't be certified.

    Notes
    -----
    "jackson" takes :math:`w_j = jb`, :math:`b = \beta/(\alpha+1)`, and the Legendre projection

    .. math::
       \begin{aligned}
       \hat\rho(t) &= u \sum_{k<m} c_k P_k(2u - 1), \\
       u &= e^{-bt}, \\
       c_k &= (2k+1)\,b \\
       &\quad {} \cdot \int_0^\infty \rho(t)\,P_k(2e^{-bt} - 1)\,dt,
       \end{aligned}

    for which :func:`jackson_bound` is proved. "uniform" searches the b with the smallest error.
    "geometric" takes :math:`w_j = w_1 (w_m/w_1)^{(j-1)/(m-1)}`, searches :math:`w_1` and
    :math:`w_m`, and fits the amplitudes by iteratively reweighted least squares, which minimises
    the L1 error on Gauss-Legendre panels. "balanced" truncates the kernel's balanced realisation,
    which comes within a few percent of an optimum for power laws; "l1" goes from there to a local
    minimum of the L1 error by Newton's method (formulas of both in ``curse_lib.reduction``). These
    two return fewer neurons than asked for where the kernel has no more, and complex rates where
    they help. At widths too small for a kernel "balanced" and "uniform" can be worse than nothing.

    A search for a tolerance doubles the width and then bisects, so "narrowest" means that the width
    below failed; minima over rates are local.

    Cost: "jackson" milliseconds; "uniform" tens of milliseconds, "geometric" a second or so at
    width 30, and more for kernels of very many oscillations; a search for a tolerance takes some
    ten of these. "balanced" and "l1" take a tenth of a second to some seconds.

    Source: Theorems 3.1 and 3.2 of Li, Han, E and Li (ICLR 2021), as restated in later work.

    Used in: ``book/universality/every-functional-is-a-network.ipynb``.
    """
    _kernel("rho", rho)
    given = [name for name, v in locals().items() if name in _TARGETS and v is not None]
    if len(given) != 1:
        raise ValueError(
            "give exactly one of width, tolerance and rates; got " + (" and ".join(given) or "none")
        )
    if method not in (None, *_WIDEST):
        raise ValueError(f"method must be one of {', '.join(_WIDEST)} or None; got {method!r}")
    if [alpha is None, beta is None] != 2 * [method != "jackson"]:
        raise ValueError(
            f'alpha and beta belong to method="jackson", which needs both; got method {method!r}, '
            f'alpha {alpha!r}, beta {beta!r}. method="uniform" does without'
        )
    if rates is not None:
        if method is not None:
            raise ValueError(f"rates leave nothing to a method; got method {method!r} too")
        return Approximation(rho, _given(rho, rates), "given")
    if method == "jackson":
        alpha, beta = _hypotheses(rho, alpha, beta)

    def build(kind: str) -> Callable[[int], Approximation]:
        """A search of its own: one that is warm from other widths may end elsewhere."""
        if kind == "jackson":
            return lambda m: _jackson(rho, m, alpha, beta)
        search = _SEARCHES[kind](rho)
        return lru_cache(lambda m: Approximation(rho, search(m), kind))

    kinds = [method] if method else ["geometric", "uniform"]
    exact = method is None and isinstance(rho, (ExponentialSum, LegendreKernel))
    if width is not None:
        width = whole("width", width)
        if exact and rho.width <= width:
            return Approximation(rho, rho, "exact")
        return min((build(kind)(width) for kind in kinds), key=lambda a: a.error)
    tolerance = number("tolerance", tolerance, positive=True)
    best, refusals = (Approximation(rho, rho, "exact") if exact else None), []
    for kind in kinds:
        widest = min(_WIDEST[kind], best.width - 1 if best else math.inf)
        try:
            best = _narrowest(lambda kind=kind: build(kind), tolerance, widest)
        except _Refusal as refusal:
            refusals.append(f"{kind}: {refusal}")
    if best is None:
        raise ValueError(
            f"no network was certified to be within {tolerance:g} in L1 of this kernel, whose norm "
            f"is {l1_norm(rho):.4g} ({'; '.join(refusals)}). Ask for a larger tolerance, or for a "
            "width to see what it reaches"
        )
    return best


_TARGETS = ("width", "tolerance", "rates")


class _Refusal(ValueError):
    """A search that found nothing; the message is part of a longer one."""


def _narrowest(
    search: Callable[[], Callable[[int], Approximation]], tolerance: float, widest: int
) -> Approximation:
    """The least width whose certified bound is within the tolerance: double, then bisect."""
    if widest < 1:
        raise _Refusal("a narrower network was found")
    build, failed, width, reasons = search(), 0, 1, {}

    def error(m: int, build: Callable[[int], Approximation] = build) -> float:
        """The error of a width, infinite where a method has no network of just that width."""
        try:
            return build(m).error
        except ValueError as reason:
            reasons[m] = f": {reason}"
            return math.inf

    while error(width) > tolerance:
        if width >= widest:
            left = reasons.get(width) or f" leaves an error of {build(width).error:.3g}"
            raise _Refusal(f"width {width}{left}")
        failed, width = width, min(2 * width, widest)
    while width - failed > 1:
        middle = (failed + width) // 2
        failed, width = (failed, middle) if error(middle) <= tolerance else (middle, width)
    # Between the error and its certificate there is room for a network more.
    for m in range(width, min(width + 2, widest) + 1):
        if error(m) < math.inf and build(m).bound <= tolerance:
            found = build(m)
            while found.width > 1:
                other = search()
                below = found.width - 1
                if error(below, other) > tolerance or other(below).bound > tolerance:
                    break
                found = other(below)
            return found
    raise _Refusal(
        f"at width {width} the error is {build(width).error:.3g} but only {build(width).bound:.3g} "
        "can be certified in double precision"
    )


def _jackson(rho: MemoryKernel, width: int, alpha: int, beta: float) -> Approximation:
    kernel, _ = _projection(rho, width, beta / (alpha + 1))
    return Approximation(rho, kernel, "jackson", jackson_bound(rho, alpha, beta, width))


def _projection(rho: MemoryKernel, width: int, b: float) -> tuple[LegendreKernel, float]:
    """The Legendre projection for the rates jb, and its L1 error on the panels."""
    t, weights = _rule(np.unique(np.append(_points(rho), _spread(b, width))))
    values = rho(t).reshape(t.size, -1)
    u = np.exp(-b * t)
    basis = legendre.legvander(1 + 2 * np.expm1(-b * t), width - 1)
    coefficients = (2 * np.arange(width) + 1)[:, None] * b * (basis.T @ (weights[:, None] * values))
    error = float(weights @ np.abs(values - u[:, None] * (basis @ coefficients)).sum(axis=1))
    return LegendreKernel(coefficients, b), error


class _Uniform:
    """The projections with the best spacing: a grid over all scales of the kernel, then Brent."""

    def __init__(self, rho: MemoryKernel) -> None:
        early, late = _scales(rho)
        self.rho, self.trials = rho, np.linspace(math.log(0.05 / late), math.log(5 / early), 40)

    def __call__(self, width: int) -> LegendreKernel:
        def error(log_b: float) -> float:
            return _projection(self.rho, width, math.exp(log_b))[1]

        start = min(self.trials, key=error)
        step = self.trials[1] - self.trials[0]
        found = optimize.minimize_scalar(
            error, bounds=(start - step, start + step), method="bounded", options={"maxiter": 15}
        )
        return _projection(self.rho, width, math.exp(found.x))[0]


class _Geometric:
    """Geometric rates with L1 amplitudes; a search starts where the last one ended."""

    def __init__(self, rho: MemoryKernel) -> None:
        self.rho, self.last = rho, {}
        early, late = _scales(rho)
        end = 1e4 * late
        points = _points(rho)
        points = np.append(points[points < end], np.geomspace(1e-3 * early, end, 80))
        self.fit = _Fit(rho, np.unique(np.append(points, 0.0)))
        self.start = math.log(0.5 / late), math.log(3 / early)
        if isinstance(rho, ExponentialSum) and not np.iscomplexobj(rho.rates):
            self.start = math.log(rho.rates.min()), math.log(rho.rates.max())

    def __call__(self, width: int) -> ExponentialSum:
        def rates(ends: Array) -> Array:
            return np.exp(np.linspace(*sorted(ends), width)) if width > 1 else np.exp(ends[:1])

        def error(ends: Array) -> float:
            if np.abs(ends).max() > 600:
                return math.inf
            return math.log(max(self.fit(rates(ends), 8)[1], 1e-300))

        near = min(self.last, key=lambda m: abs(math.log(m / width)), default=None)
        start = np.array(self.start if near is None else self.last[near])
        if width == 1:
            start = np.atleast_1d(start.mean())
        # Kernels of very many oscillations get a shorter search.
        most = int(np.clip(2e9 / (self.fit.t.size * width**2), 6, 60))
        simplex = start + np.tri(start.size + 1, start.size, -1) * [-1.0, 1.0][: start.size]
        found = optimize.minimize(
            error,
            start,
            method="Nelder-Mead",
            options={"initial_simplex": simplex, "maxfev": most, "xatol": 1e-3, "fatol": 1e-5},
        )
        ends = found.x
        if width > 1:
            self.last[width] = ends
        return ExponentialSum(self.fit(rates(ends), 60)[0], rates(ends))


_SEARCHES = {"uniform": _Uniform, "geometric": _Geometric, "balanced": Balanced, "l1": Polished}


class _Fit:
    """Amplitudes for given rates that minimise the L1 error on Gauss-Legendre panels."""

    def __init__(self, rho: MemoryKernel, points: Array) -> None:
        self.t, self.weights = _rule(points)
        values = rho(self.t).reshape(self.t.size, -1)
        # A power of two for each input, so that tiny kernels don't leave the range of doubles.
        self.unit = np.ldexp(1.0, np.frexp(self.weights @ np.abs(values))[1])
        self.values = values / self.unit
        mass = self.weights @ np.abs(self.values)
        # First guess of the error's size: that of the kernel, and a little everywhere.
        self.floor = 1e-6 * mass / (self.t[:, None] + points[-1] * 1e-4) + 1e-240

    def __call__(self, rates: Array, rounds: int) -> tuple[Array, float]:
        """Amplitudes of shape (m, d) and the L1 error that they leave."""
        with np.errstate(over="ignore", under="ignore"):
            columns = np.exp(-np.outer(self.t, rates)) * rates  # of norm 1 in L1
        pairs = [self._one(columns, k, rounds) for k in range(self.values.shape[1])]
        amplitudes = np.stack([a for a, _ in pairs], axis=1) * self.unit
        return rates[:, None] * amplitudes, float(self.unit @ [error for _, error in pairs])

    def _one(self, columns: Array, k: int, rounds: int) -> tuple[Array, float]:
        values = self.values[:, k]
        mass = float(self.weights @ np.abs(values))
        best = nothing = np.zeros(columns.shape[1]), mass
        if mass == 0:
            return nothing
        size = np.maximum(_panel_mean(np.abs(values)), self.floor[:, k])
        last = math.inf
        for _ in range(rounds):
            root = np.sqrt(self.weights) / np.sqrt(size)
            left, right = root[:, None] * columns, root * values
            amplitudes = linalg.lstsq(left, right, cond=1e-14, check_finite=False)[0]
            residual = np.abs(values - columns @ amplitudes)
            error = float(self.weights @ residual)
            best = min(best, (amplitudes, error), key=itemgetter(1))
            if error > last * (1 - 1e-5):
                break
            last = error
            # Where the error crosses 0 its weight is held at ten times that of the neighbours.
            size = np.maximum(residual, 0.1 * _panel_mean(residual))
            size = np.maximum(size, 1e-30 * self.floor[:, k])
        return best


def _given(rho: MemoryKernel, rates: ArrayLike) -> ExponentialSum:
    rates = real_array("rates", rates)
    distinct = rates.ndim == 1 and 0 < rates.size == np.unique(rates).size
    if not (distinct and rates.min() >= 1e-150 and rates.max() <= 1e150):
        raise ValueError(
            f"rates must be distinct, between 1e-150 and 1e150, shape (m,); got {rates!r}"
        )
    own = ExponentialSum(np.ones(rates.size), rates)._breakpoints()
    return ExponentialSum(_Fit(rho, np.unique(np.append(_points(rho), own)))(rates, 60)[0], rates)


# --------------------------------------------------------------------------- panels and checks


def _points(rho: MemoryKernel) -> Array:
    """Panels that resolve all components of a kernel."""
    return np.unique(np.concatenate([part._breakpoints() for part in rho.components]))


def _spread(b: float, width: int, ends: float = 1.0) -> Array:
    """Panels that resolve polynomials of degree m in e^(-bt), Chebyshev points in e^(-bt)."""
    points = LegendreKernel(np.ones(width), b)._breakpoints()
    return points[points <= points[-1] / ends]


def _rule(points: Array) -> tuple[Array, Array]:
    """Gauss-Legendre nodes and weights on the panels between increasing points."""
    half = 0.5 * np.diff(points)
    return (points[:-1, None] + half[:, None] * (1 + _NODES)).ravel(), np.outer(
        half, _WEIGHTS
    ).ravel()


def _panel_mean(values: Array) -> Array:
    return np.repeat(values.reshape(-1, _NODES.size).mean(axis=1), _NODES.size)


def _scales(rho: MemoryKernel) -> tuple[float, float]:
    """Lags before which 10 % and 99 % of the kernel's mass lie."""
    t, weights = _rule(_points(rho))
    mass = np.cumsum(weights * np.abs(rho(t).reshape(t.size, -1)).sum(axis=1))
    return float(t[np.searchsorted(mass, 0.1 * mass[-1])]), float(
        t[np.searchsorted(mass, 0.99 * mass[-1])]
    )


def _kernel(name: str, rho: MemoryKernel) -> None:
    if not isinstance(rho, MemoryKernel):
        raise ValueError(
            f"{name} must be a MemoryKernel; got a {type(rho).__name__}. Build one from "
            "ExponentialSum, PowerLaw, GaussianBump, AiryKernel, GammaKernel or SampledKernel, or "
            "take that of a network (.kernel()) or of a functional (.rho)"
        )
