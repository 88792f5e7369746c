r"""L1 and L2 norms of memory kernels on the whole half line.

Approximating functionals is approximating kernels in L1, so the norm must be right where
general-purpose quadrature isn't: on [0, inf), for kernels that oscillate, decay like a power or
differ from their approximation by a billionth only.

The method is adaptive and breadth-first. On each panel the kernel is replaced by the Legendre
series through 16 Gauss points; a panel whose series hasn't converged is halved. The modulus of a
series is then integrated without further kernel values: a piece on which the constant term
outweighs the others has one sign, a piece whose derivative has one sign has at most one zero,
which is found, and any other piece is halved as a polynomial. Power laws are exponentials in
log(1+t), so their infinite tail needs no cut-off. Where rounding in the kernel would spoil the
ninth digit of the result, exponential sums, power laws and Gaussian bumps are evaluated again in
twice the working precision.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial, reduce
from operator import add

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from curse_lib.kernels import (
    ExponentialSum,
    GaussianBump,
    MemoryKernel,
    PowerLaw,
    _relaxation_breakpoints,
)

__all__ = ["NormResult", "l1_distance", "l1_norm", "l2_distance", "l2_norm"]

Array = NDArray[np.float64]
Evaluate = Callable[[Array], tuple[Array, Array]]

_EPS = float(np.finfo(float).eps)
#: Truncation error allowed to a panel, relative to what it holds.
_TOLERANCE = 1e-13
#: Panels evaluated at once: bounds the memory whatever the kernel.
_CHUNK = 2048
#: A kernel that needs more panels than this isn't resolved by floating-point numbers.
_MOST_PANELS = 20_000_000
#: Relative error from rounding above which the values are computed again in double-double.
_RETRY = 2e-10
#: Not for kernels of very many oscillations, where that would take minutes.
_RETRY_MOST = 2_000_000


@dataclass(frozen=True)
class NormResult:
    """A norm with what is known about its accuracy.

    Parameters
    ----------
    value : float
        The norm or distance.
    error : float
        Absolute error estimate: truncated series, rounding in the kernel's values and neglected
        tails, each by its size, so that the true error is below it unless a panel's series
        converges in appearance only (a feature far narrower than a panel).
    evaluations : int
        Number of lags at which the kernel was evaluated.

    Used in: ``tests/unit/test_norms.py``.
    """

    value: float
    error: float
    evaluations: int


# --------------------------------------------------------------------------- what is public


def l1_norm(rho: MemoryKernel, full_output: bool = False) -> float | NormResult:
    r"""Norm of the functional with kernel rho.

    .. math:: \|\rho\|_1 = \sum_{i=1}^d \int_0^\infty |\rho_i(t)|\,dt

    Parameters
    ----------
    rho : MemoryKernel
        Kernel with d >= 1 inputs.
    full_output : bool
        Return a :class:`NormResult` with error estimate and cost instead of the value.

    Returns
    -------
    float or NormResult
        In the unit of rho times the unit of time.

    Raises
    ------
    ValueError
        If `rho` isn't a kernel, or isn't integrable, or has a value that isn't finite.

    Notes
    -----
    Accuracy: about 1e-13 relative, which `full_output` confirms or corrects. Where a difference
    nearly cancels, the rounding in the values of its terms sets the limit. It is lifted for sums
    of exponential sums, power laws and Gaussian bumps, which are then evaluated in double-double
    arithmetic (about 30 digits), and for kernels of any family that differ in their amplitudes,
    values or input weights alone. Other pairs, such as two Airy kernels of nearly equal delay, have
    a relative error of about 1e-16/r at a distance of relative size r. No warning is given then,
    since a convergence study goes down to the rounding level on purpose; ask for `full_output`
    where digits matter.

    Cost: milliseconds; proportional to the number of oscillations for oscillating kernels.

    Source: Riesz representation inside Theorem 3.1 of Li, Han, E and Li (ICLR 2021): this is the
    supremum over t of the norms of the functionals H_t.

    Used in: ``book/framework/memory-kernel.ipynb``, ``tests/reference/test_norms.py``.
    """
    return _report(_norm(_checked("rho", rho), 1), full_output)


def l1_distance(
    rho: MemoryKernel, other: MemoryKernel, full_output: bool = False
) -> float | NormResult:
    r"""Distance of two functionals, :math:`\|\rho - \rho'\|_1` (see :func:`l1_norm`).

    Parameters
    ----------
    rho, other : MemoryKernel
        Kernels with the same number of inputs.
    full_output : bool
        Return a :class:`NormResult` instead of the value.

    Returns
    -------
    float or NormResult
        Exactly 0 when both have the same terms.

    Raises
    ------
    ValueError
        If an argument isn't a kernel, the input dimensions differ, or one isn't integrable.

    Notes
    -----
    Accuracy and cost as for :func:`l1_norm`: terms that both share are removed first, and nearly
    equal ones lose no digits if they are of the families named there.

    Used in: ``book/framework/memory-kernel.ipynb``, ``tests/reference/test_norms.py``.
    """
    return _report(_norm(_difference(rho, other), 1), full_output)


def l2_norm(rho: MemoryKernel, full_output: bool = False) -> float | NormResult:
    r"""Root of the output's variance under unit white noise.

    .. math:: \|\rho\|_2 = \Bigl(\sum_{i=1}^d \int_0^\infty \rho_i(t)^2\,dt\Bigr)^{1/2}

    Parameters
    ----------
    rho : MemoryKernel
        Kernel with d >= 1 inputs.
    full_output : bool
        Return a :class:`NormResult` with error estimate and cost instead of the value.

    Returns
    -------
    float or NormResult
        In the unit of rho times the root of the unit of time.

    Raises
    ------
    ValueError
        If `rho` isn't a kernel, or isn't square integrable, or has a value that isn't finite.

    Notes
    -----
    Accuracy and cost as for :func:`l1_norm`.

    Used in: ``book/framework/memory-kernel.ipynb``, ``tests/reference/test_norms.py``.
    """
    return _report(_norm(_checked("rho", rho), 2), full_output)


def l2_distance(
    rho: MemoryKernel, other: MemoryKernel, full_output: bool = False
) -> float | NormResult:
    r"""Distance :math:`\|\rho - \rho'\|_2` (see :func:`l2_norm`).

    The square is the excess population loss of the linear model with kernel `other` for the
    target `rho` under white noise.

    Parameters
    ----------
    rho, other : MemoryKernel
        Kernels with the same number of inputs.
    full_output : bool
        Return a :class:`NormResult` instead of the value.

    Returns
    -------
    float or NormResult
        Exactly 0 when both have the same terms.

    Raises
    ------
    ValueError
        If an argument isn't a kernel or the input dimensions differ.

    Notes
    -----
    Accuracy and cost as for :func:`l1_norm`.

    Used in: ``tests/reference/test_norms.py``.
    """
    return _report(_norm(_difference(rho, other), 2), full_output)


# --------------------------------------------------------------------------- checking input


def _checked(name: str, rho: MemoryKernel) -> list[list[MemoryKernel]]:
    """The elementary terms of each component of a kernel."""
    if not isinstance(rho, MemoryKernel):
        raise ValueError(
            f"{name} must be a MemoryKernel; got {type(rho).__name__} {rho!r}. A norm on [0, inf) "
            "can't be had from values alone, since the tail is unknown. Build the kernel from "
            "ExponentialSum, PowerLaw, GaussianBump, AiryKernel, or from samples with "
            "SampledKernel(times, values, tail_rate)"
        )
    return [list(part.terms) for part in rho.components]


def _difference(rho: MemoryKernel, other: MemoryKernel) -> list[list[MemoryKernel]]:
    """Terms of rho - other for each component, those common to both removed."""
    left, right = _checked("rho", rho), _checked("other", other)
    if len(left) != len(right):
        raise ValueError(
            "a distance needs two kernels with the same input_dim; got "
            f"{len(left)} and {len(right)}. Use stack([...]) to build a kernel with more inputs"
        )
    components = []
    for ours, theirs in zip(left, right, strict=True):
        kept, keys = [], [_key(term) for term in theirs]
        for term in ours:
            if (key := _key(term)) in keys:
                keys[keys.index(key)] = None
            else:
                kept.append(term)
        kept += [-term for term, key in zip(theirs, keys, strict=True) if key is not None]
        components.append(kept)
    return components


def _key(term: MemoryKernel) -> tuple:
    """Parameters of a term, to tell whether two terms are the same function."""
    fields = [np.asarray(getattr(term, name)) for name in term.__dataclass_fields__]
    if not fields:
        return (term,)
    return (type(term), *((f.dtype.str, f.shape, f.tobytes()) for f in fields))


def _report(result: NormResult, full_output: bool) -> float | NormResult:
    return result if full_output else result.value


# --------------------------------------------------------------------------- norms of sums


def _norm(components: list[list[MemoryKernel]], order: int) -> NormResult:
    """Sum over components, of norms (order 1) or squares of norms (order 2)."""
    results = [_component_norm(terms, order) for terms in components]
    evaluations = sum(r.evaluations for r in results)
    values, errors = [r.value for r in results], [r.error for r in results]
    if order == 1:
        return NormResult(math.fsum(values), math.fsum(errors), evaluations)
    return NormResult(math.hypot(*values), math.hypot(*errors), evaluations)


def _component_norm(terms: list[MemoryKernel], order: int) -> NormResult:
    """Norm of a one-dimensional sum, in double-double arithmetic if need be."""
    if not terms:
        return NormResult(0.0, 0.0, 0)
    total = reduce(add, terms)
    terms = list(total.terms)  # exponential sums have merged into one
    with np.errstate(all="ignore"):
        start = float(total.tail(0.0))
    if not math.isfinite(start):
        raise ValueError(
            f"the kernel isn't integrable: its integral over [0, inf) is {start}, and only an "
            "integrable kernel has a norm. Check its amplitudes, rates and exponents"
        )
    if abs(exponent := _exponent(total, terms)) > 300:
        # Squares (of rounding errors too) would leave the range of floats; a power of two scales
        # without rounding.
        result, back = _component_norm([total * 2.0**-exponent], order), 2.0**exponent
        return NormResult(result.value * back, result.error * back, result.evaluations)
    result = _integrated(total, terms, order, None)
    spoilt = result.error > _RETRY * result.value and result.evaluations < _RETRY_MOST
    if spoilt and all(type(term) in _WIDE for term in terms):
        wide = _integrated(total, terms, order, _wide_evaluate)
        result = NormResult(wide.value, wide.error, result.evaluations + wide.evaluations)
    return result


def _exponent(total: MemoryKernel, terms: list[MemoryKernel]) -> int:
    """Binary exponent of the largest magnitude seen at the panels' ends, at most 1000."""
    points = np.concatenate([term._breakpoints() for term in terms])
    exponent = math.frexp(float(total._evaluate(points)[1].max()))[1]
    return max(-1000, min(exponent, 1000))


def _integrated(
    total: MemoryKernel, terms: list[MemoryKernel], order: int, wide: Callable | None
) -> NormResult:
    """Norm from panels up to the lag where only power laws are left, then in log(1+t)."""
    laws = [term for term in terms if type(term) is PowerLaw]
    others = [term for term in terms if type(term) is not PowerLaw]
    integral, end = _Integral(order), 0.0
    if others:
        points = [term._breakpoints() for term in others]
        end = max(p[-1] for p in points)
        if laws:
            steps = math.ceil(math.log1p(end))
            points.append(np.expm1(np.linspace(0.0, math.log1p(end), steps + 1))[:-1])
        evaluate = partial(wide, terms) if wide else total._evaluate
        integral.add(evaluate, np.unique(np.concatenate(points)))
        _add_tail(integral, others, end, order)
    if laws:
        # With x = log(1+t): rho dt = sum A e^(-omega x) dx and
        # rho^2 dt = (e^(-x/2) sum A e^(-omega x))^2 dx, exponential sums again.
        shift = 0.0 if order == 1 else 0.5
        rates = np.array([law.omega for law in laws])
        image = ExponentialSum([law.amplitude for law in laws], rates)

        def in_log_time(x: Array) -> tuple[Array, Array]:
            value, magnitude = wide([image], x) if wide else image._evaluate(x)
            factor = np.exp(-shift * x)
            return value * factor, magnitude * factor * (1 + shift * x)

        points = math.log1p(end) + _relaxation_breakpoints(rates + shift)
        integral.add(in_log_time, points)
        with np.errstate(under="ignore"):
            left = np.abs(image.amplitudes) * np.exp(-(rates + shift) * points[-1])
            bound = left / rates if order == 1 else left.sum() * left / (rates + shift)
        integral.error += float(bound.sum())
    return integral.result()


def _add_tail(integral: _Integral, terms: list[MemoryKernel], end: float, order: int) -> None:
    """What lies beyond the last panel; by the contract of `_breakpoints` it has one sign."""
    with np.errstate(under="ignore"):
        tails = [float(term.tail(end)) for term in terms]
        size = sum(abs(tail) for tail in tails)
        height = sum(float(term._evaluate(np.array([end]))[1][0]) for term in terms)
    if order == 1:
        integral.mass += abs(sum(tails))
        integral.error += size - abs(sum(tails)) + 16 * _EPS * size
    else:
        integral.error += size * height


# --------------------------------------------------------------------------- panels

_ORDER = 16
_NODES, _WEIGHTS = legendre.leggauss(_ORDER)
_DEGREE = np.arange(_ORDER)
_AT_NODES = legendre.legvander(_NODES, _ORDER - 1)
#: Values at the nodes -> Legendre coefficients.
_ANALYSE = _WEIGHTS[:, None] * _AT_NODES * (_DEGREE + 0.5)
#: Coefficients -> coefficients on the left and right half.
_LEFT = legendre.legvander((_NODES - 1) / 2, _ORDER - 1).T @ _ANALYSE
_RIGHT = legendre.legvander((_NODES + 1) / 2, _ORDER - 1).T @ _ANALYSE
#: Coefficients -> those of the derivative, and of the integral from -1.
_DERIVE = legendre.legder(np.eye(_ORDER), axis=1)
_INTEGRATE = legendre.legint(np.eye(_ORDER), lbnd=-1, axis=1)
#: Values at the nodes -> derivative at the nodes.
_SLOPE = _ANALYSE @ _DERIVE @ _AT_NODES[:, :-1].T
#: Mean square of P_k on [-1, 1].
_MEAN_SQUARE = 1 / (2 * _DEGREE + 1)


class _Integral:
    """Running integral of the modulus (order 1) or square (order 2) of a function."""

    def __init__(self, order: int) -> None:
        self.order = order
        self.mass = 0.0
        self.error = 0.0
        self.evaluations = 0

    def result(self) -> NormResult:
        """The norm: the integral itself, or its square root."""
        value, error = self.mass, self.error + 8 * _EPS * self.mass
        if self.order == 2:
            value = math.sqrt(self.mass)
            error = min(error / value, math.sqrt(error)) if value else math.sqrt(error)
        return NormResult(value, error, self.evaluations)

    def add(self, evaluate: Evaluate, points: Array) -> None:
        """Integrate over the panels between increasing points."""
        seen = 0
        for first in range(0, points.size - 1, _CHUNK):
            edges = points[first : first + _CHUNK + 1]
            low, high = edges[:-1], edges[1:]
            while low.size:
                left, right = low[:_CHUNK], high[:_CHUNK]
                seen += left.size
                if seen > _MOST_PANELS:
                    raise ValueError(
                        f"the kernel isn't resolved by {_MOST_PANELS} panels; around lag "
                        f"{left[0]:.6g} it varies too fast. Check its rates, frequencies and values"
                    )
                again = ~self._panels(evaluate, left, right)
                left, right = left[again], right[again]
                middle = left + 0.5 * (right - left)
                low = np.concatenate([left, middle, low[_CHUNK:]])
                high = np.concatenate([middle, right, high[_CHUNK:]])

    def _panels(self, evaluate: Evaluate, low: Array, high: Array) -> NDArray[np.bool_]:
        """Add the panels that are resolved and say which they are."""
        half = 0.5 * (high - low)
        t, slip = _sum2(low[:, None], half[:, None] * (1 + _NODES))
        values, magnitudes = (a.reshape(t.shape) for a in evaluate(t.ravel()))
        self.evaluations += t.size
        if not np.isfinite(values).all():
            raise ValueError(
                f"the kernel's value at t = {t[~np.isfinite(values)][0]:.6g} isn't finite; a norm "
                "needs a kernel with finite values on [0, inf)"
            )
        noise = 4 * _EPS * np.maximum(magnitudes, np.abs(values)) + 1e-322
        noise_mean = np.sqrt(noise**2 @ _WEIGHTS / 2)
        # A node is rounded to a float too; the slope leads back to where it should be.
        slope = values @ _SLOPE / np.maximum(half, 1e-300)[:, None]
        series = (values + slip * slope) @ _ANALYSE
        ulps = _EPS * high / np.maximum(half, 1e-300)
        blur = noise_mean + 99 * ulps**2 * (np.abs(slope) @ _WEIGHTS) * half
        tail = np.abs(series[:, -2:]).sum(axis=1)
        mean = np.abs(values) @ _WEIGHTS / 2
        width = 2 * half
        if self.order == 1:
            size, excess = mean, tail
        else:
            size = series**2 @ _MEAN_SQUARE
            excess = (2 * np.sqrt(size) + tail) * tail
        so_far = self.mass + width @ size
        done = (
            (tail <= _TOLERANCE * mean)
            | (width * excess <= _TOLERANCE / 32 * so_far)
            | (tail <= 8 * (noise.max(axis=1) + blur))
            | (half <= 4 * _EPS * high)
        )
        series, width, size, tail, blur = (a[done] for a in (series, width, size, tail, blur))
        if self.order == 1:
            negligible = 0.1 * _EPS * (size + so_far / np.maximum(width, 1e-300) / 32) + 0.1 * blur
            size, doubt = _mean_modulus(series, negligible)
            excess = tail + blur + doubt
        else:
            excess = (2 * np.sqrt(size) + tail + blur) * (tail + blur)
        self.mass += float(width @ size)
        self.error += float(width @ excess)
        return done


def _mean_modulus(series: Array, negligible: Array) -> tuple[Array, Array]:
    """Mean over [-1, 1] of the modulus of Legendre series, and what was left undecided of it.

    Pieces whose whole contribution to the mean is below `negligible` are not cut further.
    """
    mean, doubt = np.zeros(len(series)), np.zeros(len(series))
    owner, share = np.arange(len(series)), 1.0
    while owner.size:
        first = np.abs(series[:, 0])
        spread = np.abs(series[:, 1:]).sum(axis=1)
        small = share * (first + spread) <= negligible[owner]
        single = first >= spread
        slopes = np.abs(series @ _DERIVE)
        monotone = slopes[:, 0] >= slopes[:, 1:].sum(axis=1)
        flat = single | small
        np.add.at(mean, owner[flat], share * first[flat])
        np.add.at(doubt, owner[small & ~single], share * spread[small & ~single])
        crossing = monotone & ~flat
        np.add.at(mean, owner[crossing], share * _mean_monotone(series[crossing]))
        rest = ~(flat | monotone)
        series = np.concatenate([series[rest] @ _LEFT, series[rest] @ _RIGHT])
        owner = np.concatenate([owner[rest], owner[rest]])
        share /= 2
    return mean, doubt


def _mean_monotone(series: Array) -> Array:
    """Mean over [-1, 1] of the modulus of monotone Legendre series, at most one zero each."""
    mean = np.abs(series[:, 0])
    left, right = series @ (-1.0) ** _DEGREE, series.sum(axis=1)
    cross = np.flatnonzero((left < 0) != (right < 0))
    if cross.size == 0:
        return mean
    series, left, right = series[cross], left[cross], right[cross]
    down = np.where(left < 0, 1.0, -1.0)
    columns, slopes = series.T, (series @ _DERIVE).T
    low, high = -np.ones(cross.size), np.ones(cross.size)
    x = (left + right) / (left - right)
    # The integral is stationary in the zero, so half the digits of the zero are enough.
    for _ in range(60):
        value = legendre.legval(x, columns, tensor=False)
        ahead = value * down < 0
        low, high = np.where(ahead, x, low), np.where(ahead, high, x)
        with np.errstate(divide="ignore", invalid="ignore"):
            new = x - value / legendre.legval(x, slopes, tensor=False)
        new = np.where((new >= low) & (new <= high), new, 0.5 * (low + high))
        step = np.abs(new - x).max()
        x = new
        if step < 1e-9:
            break
    before = legendre.legval(x, (series @ _INTEGRATE).T, tensor=False)
    mean[cross] = 0.5 * (np.abs(before) + np.abs(2 * series[:, 0] - before))
    return mean


# --------------------------------------------------------------------------- double-double

# A number is an unevaluated sum of two floats, about 32 digits (Dekker 1971, Knuth).
Wide = tuple[Array, Array]


def _parts(number: Fraction, count: int) -> list[float]:
    parts = []
    for _ in range(count):
        parts.append(float(number))
        number -= Fraction(parts[-1])
    return parts


_LN2 = _parts(Fraction("0.693147180559945309417232121458176568075500134360255254120680"), 3)
_HALF_PI = _parts(Fraction("1.570796326794896619231321691639751442098584699687552910487472"), 3)
_ROOT_TWO_PI = _parts(Fraction("2.506628274631000502415765284811045253006986740609938316629923"), 2)
_FACTORIALS = [_parts(Fraction(1, math.factorial(n)), 2) for n in range(29)]


def _sum2(a: Array, b: Array) -> Wide:
    s = a + b
    part = s - a
    return s, (a - (s - part)) + (b - part)


def _product2(a: Array, b: Array) -> Wide:
    product = a * b
    big = 134217729.0 * a
    a_high = big - (big - a)
    big = 134217729.0 * b
    b_high = big - (big - b)
    a_low, b_low = a - a_high, b - b_high
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def _wide_add(x: Wide, y: Wide) -> Wide:
    s, e = _sum2(x[0], y[0])
    return _sum2(s, e + (x[1] + y[1]))


def _wide_multiply(x: Wide, y: Wide) -> Wide:
    p, e = _product2(x[0], y[0])
    e = e + (x[0] * y[1] + x[1] * y[0])
    s = p + e
    return s, e - (s - p)


def _wide_divide(x: Wide, y: Wide) -> Wide:
    quotient = x[0] / y[0]
    p, e = _wide_multiply((quotient, 0.0 * quotient), y)
    return _sum2(quotient, (((x[0] - p) - e) + x[1]) / y[0])


def _wide_shift(x: Wide, power_of_two: float) -> Wide:
    """Scale by plus or minus a power of two, which is exact."""
    return power_of_two * x[0], power_of_two * x[1]


def _wide_series(x: Wide, coefficients: list[list[float]]) -> Wide:
    """Horner's rule, highest coefficient first."""
    total = (np.full_like(x[0], coefficients[0][0]), np.full_like(x[0], coefficients[0][1]))
    for coefficient in coefficients[1:]:
        total = _wide_add(_wide_multiply(total, x), coefficient)
    return total


def _wide_reduce(x: Wide, period: list[float]) -> tuple[Array, Wide]:
    """The nearest multiple of a period, and the remainder."""
    count = np.rint(x[0] / period[0])
    for part in period:
        x = _wide_add(x, _product2(-count, np.float64(part)))
    return count, x


def _wide_exp(x: Wide) -> Wide:
    """exp(x) for x <= 700: expm1 of x/256 by its series, doubled eight times."""
    dead = x[0] < -740
    x = np.where(dead, -740.0, x[0]), np.where(dead, 0.0, x[1])
    count, rest = _wide_reduce(x, _LN2)
    rest = _wide_shift(rest, 2.0**-8)
    total = _wide_multiply(_wide_series(rest, _FACTORIALS[11:0:-1]), rest)
    for _ in range(8):
        total = _wide_add(_wide_shift(total, 2.0), _wide_multiply(total, total))
    high, low = _wide_add(total, (1.0, 0.0))
    count = count.astype(int)
    return np.where(dead, 0.0, np.ldexp(high, count)), np.where(dead, 0.0, np.ldexp(low, count))


def _wide_cos_sin(x: Wide) -> tuple[Wide, Wide]:
    count, rest = _wide_reduce(x, _HALF_PI)
    square = _wide_shift(_wide_multiply(rest, rest), -1.0)
    cos = _wide_series(square, _FACTORIALS[28::-2])
    sin = _wide_multiply(_wide_series(square, _FACTORIALS[27:0:-2]), rest)
    turn = np.mod(count, 4)
    swap, flip_cos, flip_sin = turn % 2 == 1, (turn == 1) | (turn == 2), turn >= 2
    cos, sin = np.where(swap, (sin, cos), (cos, sin))
    return tuple(np.where(flip_cos, -cos, cos)), tuple(np.where(flip_sin, -sin, sin))


def _wide_exponentials(kernel: ExponentialSum, t: Array) -> tuple[Wide, Array]:
    """Value and sum of moduli; terms are taken in blocks, to amortise the calls."""
    keep = (kernel.rates.imag >= 0) & (kernel.amplitudes != 0)
    amplitudes, rates = kernel.amplitudes[keep], kernel.rates[keep]
    amplitudes = np.where(rates.imag > 0, 2.0, 1.0) * amplitudes
    total, size = (np.zeros(t.size), np.zeros(t.size)), np.zeros(t.size)
    block = max(1, 2**15 // max(t.size, 1))
    for k in range(0, rates.size, block):
        a, w = amplitudes[k : k + block, None], rates[k : k + block, None]
        fall = _wide_exp(_product2(-w.real, t[None, :]))
        if np.iscomplexobj(rates):
            cos, sin = _wide_cos_sin(_product2(w.imag, t[None, :]))
            turned = _wide_add(_wide_scale(cos, a.real), _wide_scale(sin, a.imag))
            terms = _wide_multiply(fall, turned)
        else:
            terms = _wide_scale(fall, a)
        size += (np.abs(a) * fall[0]).sum(axis=0)
        total = reduce(_wide_add, zip(*terms, strict=True), total)
    return total, size


def _wide_scale(x: Wide, factor: Array) -> Wide:
    return _wide_multiply(x, (factor, np.zeros_like(factor)))


def _wide_power_law(law: PowerLaw, t: Array) -> tuple[Wide, Array]:
    base = _sum2(np.ones_like(t), t)
    guess = np.log(base[0])
    # log(base) = guess + log(1 + u) with u = base exp(-guess) - 1 of rounding size.
    u = _wide_add(_wide_multiply(base, _wide_exp((-guess, 0 * t))), (-1.0, 0.0))
    log = _sum2(guess, u[0])
    log = _sum2(log[0], log[1] + (u[1] - 0.5 * u[0] ** 2))
    power = _sum2(np.float64(-1.0), np.float64(-law.omega))
    value = _wide_scale(_wide_exp(_wide_multiply(log, power)), np.full_like(t, law.amplitude))
    return value, np.abs(value[0])


def _wide_bump(bump: GaussianBump, t: Array) -> tuple[Wide, Array]:
    width = (np.float64(bump.width), np.float64(0.0))
    shifted = _sum2(t, np.float64(-bump.delay))
    u = _wide_divide(shifted, width)
    far = np.abs(u[0]) > 100
    u = np.where(far, 100.0, u[0]), np.where(far, 0.0, u[1])
    fall = _wide_exp(_wide_shift(_wide_multiply(u, u), -0.5))
    height = _wide_divide((np.float64(bump.mass), np.float64(0.0)), width)
    value = _wide_multiply(fall, _wide_divide(height, tuple(map(np.float64, _ROOT_TWO_PI))))
    return value, np.abs(value[0])


_WIDE = {
    ExponentialSum: _wide_exponentials,
    PowerLaw: _wide_power_law,
    GaussianBump: _wide_bump,
}


def _wide_evaluate(terms: list[MemoryKernel], t: Array) -> tuple[Array, Array]:
    """Values of a sum, rounded once, and their magnitude in the sense of `_evaluate`."""
    total, size = (np.zeros(t.size), np.zeros(t.size)), np.zeros(t.size)
    with np.errstate(under="ignore"):
        for term in terms:
            value, modulus = _WIDE[type(term)](term, t)
            total, size = _wide_add(total, value), size + modulus
    # The operations above lose about 2^-98; 2^-92 leaves a margin.
    return total[0], np.abs(total[0]) + 2.0**-42 * size
