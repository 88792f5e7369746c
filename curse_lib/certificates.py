r"""Proven upper bounds of distances between memory kernels.

The norms of :mod:`curse_lib.norms` are measured: a feature that hides between the nodes of a
panel stays unseen. Here nothing can hide, since the kernels' closed forms are bounded in the
complex plane around every panel, and an analytic function that is bounded there is close to its
interpolant.
"""

from __future__ import annotations

import math
from functools import partial, reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from curse_lib.kernels import (
    AiryKernel,
    ExponentialSum,
    GammaKernel,
    GaussianBump,
    LegendreKernel,
    MemoryKernel,
    PowerLaw,
    SampledKernel,
    _relaxation_breakpoints,
)
from curse_lib.norms import (
    _ANALYSE,
    _EPS,
    _NODES,
    _ORDER,
    _RETRY_MOST,
    _SLOPE,
    _WEIGHTS,
    _WIDE,
    Evaluate,
    _difference,
    _exponent,
    _Integral,
    _mean_modulus,
    _sum2,
    _wide_evaluate,
)

__all__ = ["certified_l1_distance"]

Array = NDArray[np.float64]

#: Parameters r of the ellipses tried on each panel.
_RADII = 1 + 2.0 ** np.arange(-3, 11)
#: Truncation allowed to a panel relative to what it holds, or to the whole.
_SLACK = 1e-3


def certified_l1_distance(rho: MemoryKernel, other: MemoryKernel) -> float:
    r"""Upper bound of :math:`\|\rho - \rho'\|_1`, summed over inputs, with a proof.

    Parameters
    ----------
    rho, other : MemoryKernel
        Kernels with the same number of inputs, of all families but :class:`StateSpaceKernel`.

    Returns
    -------
    float
        In the unit of rho times the unit of time. Exactly 0 when both have the same terms.

    Raises
    ------
    ValueError
        If an argument isn't a kernel, the input dimensions differ, a family has no certificate,
        or no finite bound exists.

    Notes
    -----
    **Panels.** Let f be one component of :math:`\rho - \rho'`, and p its interpolant at the 16
    Gauss nodes of a panel of centre c and half-width h. Panels end at kinks, so f is analytic on
    each, and bounded by some M in the ellipse of semi-axes :math:`a = h(r + 1/r)/2` and
    :math:`b = h(r - 1/r)/2` around it. A polynomial q of degree 15 exists with :math:`|f - q| \le
    E = 2Mr^{-15}/(r-1)` on the panel (Trefethen, *Approximation Theory and Approximation
    Practice*, Theorem 8.2). Since p - q interpolates f - q and Gauss quadrature is exact for its
    square, its root mean square over the panel is at most E too. Hence

    .. math:: \int |f| \le \int |p| + 2h \cdot 2E.

    The modulus of p is integrated piece by piece; a piece left undecided counts with its bound.
    A panel on which E isn't small is halved.

    **Majorants.** M is the sum of the following over the terms of f, with x and y the real part
    and the modulus of the imaginary part in the ellipse, so that :math:`x \ge c - a`,
    :math:`y \le b`; the r with the smallest E is taken.

    - :math:`\sum_k |a_k| e^{-c\,\mathrm{Re}\,w_k + |(a\,\mathrm{Re}\,w_k, b\,\mathrm{Im}\,w_k)|}`
      for exponential sums: :math:`-\mathrm{Re}(w z)` is linear, and this is its maximum.
    - :math:`|A| (1 + c - a)^{-(1+\omega)}` for power laws where the base is positive, since
      :math:`|1 + z| \ge 1 + x`.
    - the peak times :math:`e^{(b^2 - \delta^2)/2s^2}` for bumps, with :math:`\delta` the distance
      of the delay from [c - a, c + a], since :math:`\mathrm{Re}\,(z-D)^2 = (x-D)^2 - y^2`.
    - :math:`|\mathrm{Ai}(x+iy)|`
      :math:`\le e^{\eta^3/3 - x\eta + y^2/4\eta}/(2\sqrt{\pi\eta})` for every
      :math:`\eta > 0`: it is the integral of the modulus in :math:`\mathrm{Ai}(z) =
      \frac{1}{2\pi} \int e^{i(\zeta^3/3 + z\zeta)} d\zeta` along :math:`\mathrm{Im}\,\zeta =
      \eta`. It grows as x falls and y rises, so one corner of a box is enough.
      :math:`\eta = \mathrm{Re}\sqrt{z}` there is the saddle point.
    - nothing for sampled kernels between their samples, where p reproduces them; beyond, their
      exponential. Gamma kernels: 0 up to the delay, then :math:`|A| (|c-D| + a)^p e^{-w(c-a-D)}`.
    - :math:`|u|\sum_k |c_k| R^k` for Legendre kernels, :math:`u = e^{-bz}`: the coefficients of
      :math:`P_k(\cos\theta)` along cosines are positive with sum 1, so :math:`|P_k| \le R^k` on
      the ellipse through 2u - 1 with foci -1 and 1, where :math:`R + 1/R = 2|u| + 2|u - 1|`.
      That is convex in :math:`|u|` and grows with the argument of u: two corners are enough.

    **Tail.** Beyond the last panel exponential sums are bounded by
    :math:`\sum_k |a_k| e^{-\mathrm{Re}\,w_k T}/\mathrm{Re}\,w_k`, Legendre kernels by
    :math:`e^{-bT} \sum_k |c_k| / b`. The others have one sign there, and their tails are known.
    Where only power laws are left, all this is done in log(1+t), where they are exponentials.

    **Rounding.** The one assumption: a value is wrong by at most 16 units of rounding of what is
    added up in it, so elementary and special functions are as accurate as their libraries say. By
    the argument for E the root mean square of these errors counts. Nodes are rounded too, which
    the slope of p corrects. A factor 1 + 1e-10 covers the arithmetic that follows. As in
    :func:`l1_distance`, sums of exponentials, power laws and bumps that nearly
    cancel are evaluated again in double-double arithmetic.

    Accuracy: at most a few parts in a thousand above the distance, down to where rounding counts,
    some 1e-14 of the terms: of terms 1e10 times as large as their sum it can make a third.
    Cost: about that of :func:`l1_distance`.

    Used in: ``book/universality/every-functional-is-a-network.ipynb``.
    """
    bound = math.fsum(_component(terms) for terms in _difference(rho, other) if terms)
    if not math.isfinite(bound):
        raise ValueError(
            f"no finite bound was found (got {bound}): the kernels aren't integrable, or their "
            "parameters leave the range of floats. Check amplitudes, rates and exponents"
        )
    return bound * (1 + 1e-10)


def _component(terms: list[MemoryKernel]) -> float:
    """Bound of the norm of a one-dimensional sum."""
    for term in terms:
        if type(term) not in _MAJORANTS:
            raise ValueError(
                f"{type(term).__name__} has no certificate: no bound of it off the real line is "
                "known here. Write it as an ExponentialSum (diagonalise a StateSpaceKernel), or "
                "measure the distance with l1_distance(..., full_output=True)"
            )
    total = reduce(add, terms)
    exponent = _exponent(total, list(total.terms))
    total = total * 2.0**-exponent  # exact, and squares of rounding errors stay in range
    value, noise, evaluations = _swept(total, list(total.terms), wide=False)
    spoilt = noise > _SLACK * value and evaluations < _RETRY_MOST
    if spoilt and all(type(term) in _WIDE for term in total.terms):
        value = min(value, _swept(total, list(total.terms), wide=True)[0])
    return value * 2.0**exponent


def _swept(total: MemoryKernel, terms: list[MemoryKernel], wide: bool) -> tuple[float, float, int]:
    """Bound, the part of it that is rounding, and the number of values that it took."""
    laws = [term for term in terms if type(term) is PowerLaw]
    others = [term for term in terms if type(term) is not PowerLaw]
    bounds, tail, end = [_Bound(terms, total, wide)], 0.0, 0.0
    if others:
        points = [term._breakpoints() for term in others]
        end = max(p[-1] for p in points)
        if laws:
            steps = math.ceil(math.log1p(end))
            points.append(np.expm1(np.linspace(0.0, math.log1p(end), steps + 1))[:-1])
        bounds[0].over(np.unique(np.concatenate(points)))
        tail += sum(_tail(term, end) for term in others)
    if laws:
        image = ExponentialSum([law.amplitude for law in laws], [law.omega for law in laws])
        # The start is rounded downwards, so that no lag is left out.
        points = math.log1p(end) * (1 - 4 * _EPS) + _relaxation_breakpoints(image.rates)
        bounds.append(_Bound([image], image, wide))
        bounds[1].over(points)
        tail += _tail(image, points[-1])
    value, noise = sum(b.mass for b in bounds) + tail, sum(b.error for b in bounds)
    return value, noise, sum(b.evaluations for b in bounds)


class _Bound(_Integral):
    """Running bound of the integral of the modulus of a sum of terms."""

    def __init__(self, terms: list[MemoryKernel], total: MemoryKernel, wide: bool) -> None:
        super().__init__(1)
        self.terms, self.wide = terms, wide
        self.evaluate = partial(_wide_evaluate, terms) if wide else total._evaluate

    def over(self, points: Array) -> None:
        """Add all panels between increasing points."""
        self.share = _SLACK / 8 / points.size
        self.add(self.evaluate, points)

    def _panels(self, evaluate: Evaluate, low: Array, high: Array) -> NDArray[np.bool_]:
        half = 0.5 * (high - low)
        t, slip = _sum2(low[:, None], half[:, None] * (1 + _NODES))
        # Kinks are left to the neighbour.
        t = np.clip(t, np.nextafter(low, np.inf)[:, None], np.nextafter(high, 0)[:, None])
        values, magnitudes = (a.reshape(t.shape) for a in evaluate(t.ravel()))
        self.evaluations += t.size
        # A node is rounded to a float too; the slope leads back to where it should be.
        slope = values @ _SLOPE
        values = values + slip / np.maximum(half, 1e-300)[:, None] * slope
        noise = 16 * _EPS * (magnitudes + np.abs(values)) + 1e-320
        ulps = _EPS * high / np.maximum(half, 1e-300)
        noise += (4 * _EPS + 99 * ulps**2)[:, None] * np.abs(slope)
        if not self.wide:
            noise += sum(_second_order(term, t) for term in self.terms)
        noise = np.sqrt(noise**2 @ _WEIGHTS / 2)
        excess = _truncation(self.terms, low + half, half)
        width, size = 2 * half, np.abs(values) @ _WEIGHTS / 2
        if not np.isfinite(size).all():
            self.mass = math.inf
            return np.ones(low.size, dtype=bool)
        so_far = self.mass + width @ size
        done = (
            (excess <= _SLACK * size)
            | (width * excess <= self.share * so_far)
            | (excess <= noise)
            | (half <= 4 * _EPS * high)
        )
        size, width, excess, noise = (a[done] for a in (size, width, excess, noise))
        mean, doubt = _mean_modulus(values[done] @ _ANALYSE, 1e-6 * size + 1e-320)
        self.mass += float(width @ (mean + doubt + excess + noise))
        self.error += float(width @ noise)
        return done


def _truncation(terms: list[MemoryKernel], centre: Array, half: Array) -> Array:
    """Mean of |f - p| over each panel, from the best of the ellipses."""
    least = np.full(centre.shape, np.inf)
    with np.errstate(all="ignore"):
        for r in _RADII:
            a, b = half * (r + 1 / r) / 2, half * (r - 1 / r) / 2
            most = sum(_MAJORANTS[type(term)](term, centre, a, b) for term in terms)
            # 4.1 instead of 4 covers the rounding of the majorant; a NaN is no bound.
            least = np.fmin(least, 4.1 * most * r ** (1.0 - _ORDER) / (r - 1))
    return least


def _second_order(term: MemoryKernel, t: Array) -> Array | float:
    """Rounding of the running sums of amplitudes, which `_evaluate` leaves out."""
    if type(term) is not ExponentialSum:
        return 0.0
    # Two-sum leaves (n eps / 2)^2 sum |a|; summation by parts passes it on, once for real rates.
    power = 3 if np.iscomplexobj(term.rates) else 2
    with np.errstate(under="ignore"):
        return _EPS**2 * term.width**power * _exponentials(term, t, 0.0, 0.0)


def _tail(term: MemoryKernel, end: float) -> float:
    """Bound of the integral of |term| from the end of the panels on."""
    with np.errstate(under="ignore"):
        if type(term) is ExponentialSum:
            rates = term.rates.real
            tail = (np.abs(term.amplitudes) / rates * np.exp(-rates * end)).sum()
        elif type(term) is LegendreKernel:
            tail = np.abs(term.coefficients).sum() * math.exp(-term.rate * end) / term.rate
        else:
            tail = abs(term._tail(np.array([end]))[0])
    return 1.01 * float(tail)


# --------------------------------------------------------------------------- majorants


def _exponentials(term: ExponentialSum, c: Array, a: Array, b: Array) -> Array:
    total = 0.0
    for amplitude, rate in zip(np.abs(term.amplitudes), term.rates, strict=True):
        if amplitude:
            reach = np.hypot(rate.real * a, rate.imag * b) - rate.real * c
            total = total + np.exp(np.log(amplitude) + reach)
    return total + 0.0 * c


def _power_law(term: PowerLaw, c: Array, a: Array, b: Array) -> Array:
    base = 1 + (c - a)
    return np.where(base > 0, abs(term.amplitude) * base ** -(1 + term.omega), np.inf)


def _bump(term: GaussianBump, c: Array, a: Array, b: Array) -> Array:
    s, peak = term.width, abs(term.mass) / (term.width * math.sqrt(2 * math.pi))
    away = np.maximum(np.abs(c - term.delay) - a, 0.0)
    return peak * np.exp(0.5 * ((b / s) ** 2 - (away / s) ** 2))


def _airy(term: AiryKernel, c: Array, a: Array, b: Array) -> Array:
    x, y = term.scale * (c - a - term.delay), term.scale * b
    eta = np.maximum(np.sqrt(x + 1j * y).real, 1 / (1 + 2 * np.abs(x)))
    size = np.exp(eta * (eta**2 / 3 - x) + y**2 / (4 * eta)) / (2 * np.sqrt(np.pi * eta))
    return abs(term.amplitude) * size


def _sampled(term: SampledKernel, c: Array, a: Array, b: Array) -> Array:
    if term.tail_rate is None:
        return np.zeros_like(c)
    last, final = term.times[-1], abs(term.values[-1])
    return np.where(c < last, 0.0, final * np.exp(-term.tail_rate * (c - a - last)))


def _gamma(term: GammaKernel, c: Array, a: Array, b: Array) -> Array:
    x = c - term.delay
    # By logarithms: the power alone may leave the range of floats.
    log = np.log(abs(term.amplitude)) + term.order * np.log(x + a) - term.rate * (x - a)
    return np.where(x < 0, 0.0, np.exp(log))


def _legendre(term: LegendreKernel, c: Array, a: Array, b: Array) -> Array:
    ends = np.exp(-term.rate * np.stack([c - a, c + a]))
    turn = np.minimum(term.rate * b, np.pi)
    far = np.sqrt((ends - 1) ** 2 + 4 * ends * np.sin(turn / 2) ** 2)
    s = np.maximum((ends + far).max(axis=0), 1.0)
    return ends[0] * np.polyval(np.abs(term.coefficients)[::-1], s + np.sqrt((s - 1) * (s + 1)))


#: Majorants of the families on the ellipse of centre c and semi-axes a, b (proofs: see above).
_MAJORANTS = {
    AiryKernel: _airy,
    ExponentialSum: _exponentials,
    GammaKernel: _gamma,
    GaussianBump: _bump,
    LegendreKernel: _legendre,
    PowerLaw: _power_law,
    SampledKernel: _sampled,
}
