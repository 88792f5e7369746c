r"""Memory kernels: the functions on [0, inf) that say how much of the past is remembered.

A functional with the four properties of Definition 2.1 is :math:`H_t(x) = \int_0^\infty
x_{t-s}^\top \rho(s)\,ds` with an integrable kernel :math:`\rho`, so everything in the book is a
statement about kernels. A kernel here is an immutable value that knows its closed forms: its
values, Laplace transform, step response, tail and derivatives. Sums and scalings are exact in the
sense that they only collect terms; nothing is ever merged, sorted or dropped, since two equal
rates are two neurons and a zero amplitude is a neuron too.

Values are computed so that differences of nearly equal kernels keep their relative accuracy: see
:func:`_chain_sum`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, reduce
from numbers import Real
from operator import add

import numpy as np
from numpy.polynomial import Polynomial
from numpy.typing import ArrayLike, NDArray
from scipy import linalg, special

from curse_lib._checks import frozen, number, real_array

__all__ = [
    "AiryKernel",
    "ExponentialSum",
    "GammaKernel",
    "GaussianBump",
    "KernelSum",
    "LegendreKernel",
    "MemoryKernel",
    "PowerLaw",
    "SampledKernel",
    "StackedKernel",
    "StateSpaceKernel",
    "stack",
]

Array = NDArray[np.float64]

#: Beyond this many e-foldings a term no longer counts against its own beginning (e^-60 = 9e-27).
_E_FOLDINGS = 60.0
_GAUSS_NODES, _GAUSS_WEIGHTS = np.polynomial.legendre.leggauss(20)
#: Series of the two integrals in `_moments`, highest power first.
_SERIES = ((-1.0) ** np.arange(18) / special.factorial(np.arange(18)))[::-1]
_FLAT, _RAMP = _SERIES / np.arange(18, 0, -1), _SERIES / np.arange(19, 1, -1)


# --------------------------------------------------------------------------- checking input


def _lags(t: ArrayLike) -> Array:
    """Check lags: finite or +inf, not negative, real."""
    lags = np.asarray(t)
    if np.iscomplexobj(lags):
        raise ValueError("lags must be real; got a complex array")
    lags = lags.astype(np.float64)
    bad = ~(lags >= 0)
    if bad.any():
        raise ValueError(
            f"lags must be >= 0; got {float(lags[bad].flat[0])}. "
            "A kernel lives on [0, inf): it weighs the past, not the future"
        )
    return lags


# --------------------------------------------------------------------------- accurate sums


def _running_sums(terms: NDArray) -> NDArray:
    """Partial sums with an error of order eps^2 relative to sum |terms| (two-sum, carried)."""
    sums = np.empty_like(terms)
    total = np.zeros((), terms.dtype)[()]
    carry = total
    for k, term in enumerate(terms):
        new = total + term
        part = new - total
        carry = carry + ((total - (new - part)) + (term - part))
        total = new
        sums[k] = total + carry
    return sums


def _chain(amplitudes: NDArray, rates: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    r"""Order the terms of :math:`\sum_k a_k e^{-w_k x}` for summation by parts.

    Returns the ordered rates :math:`w_k`, the partial sums :math:`A_k = a_1 + ... + a_k` and the
    gaps :math:`w_{k+1} - w_k`, with an infinite gap where a chain ends. Real rates form a single
    chain; complex rates (one of each conjugate pair) only chain to close neighbours, for only
    then do the differences of their exponentials become small.
    """
    order = np.lexsort((rates.imag, rates.real))
    rates, amplitudes = rates[order], amplitudes[order]
    gaps = np.append(np.diff(rates), np.inf)
    if np.iscomplexobj(rates):
        gaps[np.abs(gaps) > 0.25 * np.abs(rates)] = np.inf
    sums = np.empty_like(amplitudes)
    start = 0
    for end in np.flatnonzero(np.isinf(gaps)) + 1:
        sums[start:end] = _running_sums(amplitudes[start:end])
        start = end
    return rates, sums, gaps


def _moments(z: NDArray) -> tuple[NDArray, NDArray]:
    r""":math:`\int_0^1 e^{-zu}\,du` and :math:`\int_0^1 u e^{-zu}\,du`, by series near z = 0."""
    small = np.abs(z) < 0.5
    near, far = np.where(small, z, 0.0), np.where(small, 1.0, z)
    flat = -np.expm1(-far) / far
    ramp = (flat - np.exp(-far)) / far
    flat = np.where(small, np.polyval(_FLAT, near), flat)
    return flat, np.where(small, np.polyval(_RAMP, near), ramp)


def _value_term(rate: complex, gap: complex, x: Array) -> NDArray:
    r""":math:`e^{-wx} - e^{-vx}`, where v = w + gap; an infinite gap means no second term."""
    fall = np.exp(-rate * x)
    return fall * -np.expm1(-gap * x) if np.isfinite(gap) else fall


def _tail_term(rate: complex, gap: complex, x: Array) -> NDArray:
    r""":math:`e^{-wx}/w - e^{-vx}/v`, written as a sum of two positive terms (real rates)."""
    fall = np.exp(-rate * x)
    if not np.isfinite(gap):
        return fall / rate
    return fall / (rate + gap) * (gap / rate - np.expm1(-gap * x))


def _step_term(rate: complex, gap: complex, x: Array) -> NDArray:
    r""":math:`(1 - e^{-wx})/w - (1 - e^{-vx})/v`, again by positive terms."""
    if not np.isfinite(gap):
        return -np.expm1(-rate * x) / rate
    y, z = gap * x, rate * x
    flat, ramp = _moments(y)
    rise = z * _moments(z)[1] + np.exp(-z) * y * (flat - ramp)
    return gap / (rate + gap) * x * rise


def _chain_sum(
    chain: tuple[NDArray, NDArray, NDArray], x: Array, part: Callable = _value_term
) -> tuple[Array, Array]:
    r"""Evaluate :math:`\sum_k a_k e^{-w_k x}` for x >= 0 by summation by parts.

    .. math:: \sum_k a_k e^{-w_k x}
              = \sum_k A_k e^{-w_k x}\bigl(1 - e^{-(w_{k+1}-w_k) x}\bigr), \quad
              A_k = a_1 + \dots + a_k,

    the last bracket being 1. A difference of two nearly equal exponentials becomes one small term
    with full relative accuracy. For real rates the sum of the moduli of the new terms is at most
    :math:`\sum_k |a_k| e^{-w_k x}`, so that the formula never does worse than adding the terms.
    The integrals from x on and up to x follow the same pattern, with the brackets `_tail_term`
    and `_step_term` for `part`. Returns the values and a magnitude such that the rounding error
    is a few eps x magnitude.
    """
    value, magnitude = np.zeros(x.size), np.zeros(x.size)
    pairs = 2.0 if np.iscomplexobj(chain[0]) else 1.0
    with np.errstate(under="ignore", over="ignore"):
        for rate, total, gap in zip(*chain, strict=True):
            if total == 0:
                continue
            # Beyond 800 e-foldings nothing is left that a float could hold.
            lag = np.minimum(x, min(800 / rate.real, 1e300))
            term = pairs * total * part(rate, gap, lag)
            value += term.real
            magnitude += np.abs(term) * (1 + np.abs(rate) * lag)
    return value, magnitude


def _relaxation_breakpoints(rates: NDArray) -> Array:
    """Panels for decaying exponentials: each stays resolved until it has died out.

    Real rates get a doubling grid from the fastest relaxation to 60 times the slowest.
    """
    if rates.size == 0:
        return np.array([0.0, 1.0])
    if not np.iscomplexobj(rates):
        end = min(_E_FOLDINGS / float(rates.min()), 1e300)
        start = min(1 / float(rates.max()), end / 2)
        count = math.ceil(math.log2(end) - math.log2(start))
        return np.append(0.0, np.geomspace(start, end, count + 1))
    order = np.argsort(-rates.real)
    decay, speed = rates.real[order], np.abs(rates[order])
    # The panel width is set by the fastest term that is still alive.
    speed = np.maximum.accumulate(speed[::-1])[::-1]
    points, start = [np.zeros(1)], 0.0
    for r, v in zip(decay, speed, strict=True):
        end = _E_FOLDINGS / r
        if end > start:
            count = max(1, math.ceil((end - start) * v / 3))
            points.append(start + (end - start) * np.arange(1, count + 1) / count)
            start = end
    return np.concatenate(points)


# --------------------------------------------------------------------------- the interface


@dataclass(frozen=True, eq=False)
class MemoryKernel(ABC):
    r"""A memory kernel :math:`\rho: [0, \infty) \to R^d`, integrable and known in closed form.

    Kernels add, subtract and scale; all of them answer the same questions. Lags `t` may have any
    shape; results have the shape of `t` for d = 1 and ``t.shape + (d,)`` for d > 1. Lags are in
    the unit of time in which the kernel's own parameters are given.

    Source: the representation inside Theorem 3.1 of Li, Han, E and Li (ICLR 2021).

    Used in: ``ExponentialSum``, ``PowerLaw`` and all other families.
    """

    # -- what a family defines, for d = 1 and flat arrays

    @abstractmethod
    def _evaluate(self, t: Array) -> tuple[Array, Array]:
        """Values and the magnitude of what was added: rounding error <= about 4 eps x magnitude."""

    @abstractmethod
    def _tail(self, t: Array) -> Array: ...

    @abstractmethod
    def _step(self, t: Array) -> Array: ...

    @abstractmethod
    def _derivative(self, t: Array, order: int) -> Array: ...

    @abstractmethod
    def _laplace(self, s: NDArray) -> NDArray: ...

    @abstractmethod
    def _breakpoints(self) -> Array:
        """Increasing points from 0 to T that roughly resolve the kernel; beyond T lies its tail."""

    #: The field in which the kernel is linear; where it has a second axis, that of the inputs.
    _linear = "amplitude"

    #: Largest n with rho in C^n([0, inf)), as the kernel is built: -1 where it may jump.
    _smoothness = math.inf

    def _scaled(self, factor: float) -> MemoryKernel:
        return replace(self, **{self._linear: factor * getattr(self, self._linear)})

    #: Smallest real part of s from which the Laplace integral converges (exclusive).
    @property
    def _abscissa(self) -> float:
        return -math.inf

    @property
    def input_dim(self) -> int:
        """Number d of input coordinates."""
        field = getattr(self, self._linear, None)
        return field.shape[1] if np.ndim(field) == 2 else 1

    @property
    def terms(self) -> tuple[MemoryKernel, ...]:
        """The elementary kernels whose sum this is, in the order in which they were added."""
        return (self,)

    @cached_property
    def components(self) -> tuple[MemoryKernel, ...]:
        """The d one-dimensional kernels, one for each input coordinate."""
        if self.input_dim == 1:
            return (self,)
        columns = getattr(self, self._linear).T
        return tuple(replace(self, **{self._linear: column}) for column in columns)

    def _set(self, **fields) -> None:
        """Store checked fields in a frozen dataclass."""
        for name, value in fields.items():
            value = frozen(value) if isinstance(value, np.ndarray) else value
            object.__setattr__(self, name, value)

    # -- what everybody uses

    def _by_component(self, argument: NDArray, method: str, *extra) -> NDArray:
        flat = argument.ravel()
        columns = [getattr(part, method)(flat, *extra) for part in self.components]
        if self.input_dim == 1:
            return columns[0].reshape(argument.shape)[()]
        return np.stack(columns, axis=-1).reshape(argument.shape + (self.input_dim,))

    def _value(self, t: Array) -> Array:
        return self._evaluate(t)[0]

    def __call__(self, t: ArrayLike) -> NDArray:
        """Values rho(t) at lags t >= 0."""
        return self._by_component(_lags(t), "_value")

    def tail(self, t: ArrayLike) -> NDArray:
        r"""Signed tail :math:`\int_t^\infty \rho(s)\,ds`, computed without cancellation."""
        return self._by_component(_lags(t), "_tail")

    def step_response(self, t: ArrayLike) -> NDArray:
        r"""Step response :math:`\int_0^t \rho(s)\,ds`: the output when a unit step enters at 0."""
        return self._by_component(_lags(t), "_step")

    def derivative(self, t: ArrayLike, order: int = 1) -> NDArray:
        r"""Derivative :math:`\rho^{(order)}(t)`; order 0 gives the kernel itself.

        Raises
        ------
        ValueError
            If `order` is not a non-negative integer, or the kernel isn't that smooth.
        """
        if not isinstance(order, (int, np.integer)) or isinstance(order, bool) or order < 0:
            raise ValueError(f"order must be a non-negative integer; got {order!r}")
        if order == 0:
            return self(t)
        return self._by_component(_lags(t), "_derivative", int(order))

    def laplace(self, s: ArrayLike) -> NDArray:
        r"""Laplace transform :math:`\int_0^\infty e^{-st} \rho(t)\,dt` for real or complex s.

        Real s gives real values. Power laws and Airy kernels are integrated to about 1e-13 of the
        transform of the kernel's modulus; all other families have closed forms.

        Raises
        ------
        ValueError
            Where the integral doesn't converge.
        """
        s = np.asarray(s)
        s = s.astype(np.complex128 if np.iscomplexobj(s) else np.float64)
        abscissa = max(part._abscissa for part in self.components)
        bad = ~(np.isfinite(s) & (s.real > abscissa))
        if bad.any():
            allowed = ">= 0" if abscissa == PowerLaw._abscissa else f"> {abscissa:.6g}"
            raise ValueError(
                f"the Laplace integral of {type(self).__name__} converges for finite s with real "
                f"part {allowed}; got s = {s[bad].flat[0]}"
            )
        return self._by_component(s, "_laplace")

    # -- algebra

    def __add__(self, other: MemoryKernel) -> MemoryKernel:
        if not isinstance(other, MemoryKernel):
            return NotImplemented
        if other.input_dim != self.input_dim:
            raise ValueError(
                f"kernels add when they have the same input_dim; got {self.input_dim} and "
                f"{other.input_dim}. Use stack([...]) to build a kernel with more inputs"
            )
        return KernelSum(self.terms + other.terms)

    def __radd__(self, other: int) -> MemoryKernel:
        """The 0 from which ``sum([rho, other])`` starts."""
        return self if isinstance(other, int) and other == 0 else NotImplemented

    #: Arrays don't multiply kernels entry by entry.
    __array_ufunc__ = None

    def __reduce__(self) -> tuple:
        """Copies are built by the constructor, so that their arrays are read-only too."""
        return type(self), tuple(getattr(self, field.name) for field in fields(self))

    def __neg__(self) -> MemoryKernel:
        return self._scaled(-1.0)

    def __sub__(self, other: MemoryKernel) -> MemoryKernel:
        if not isinstance(other, MemoryKernel):
            return NotImplemented
        return self + (-other)

    def __mul__(self, factor: float) -> MemoryKernel:
        if not isinstance(factor, (Real, np.integer, np.floating)):
            return NotImplemented
        return self._scaled(number("the factor of a kernel", factor))

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> MemoryKernel:
        if not isinstance(divisor, (Real, np.integer, np.floating)):
            return NotImplemented
        if divisor == 0:
            raise ValueError("a kernel can't be divided by 0")
        return self * (1 / divisor)


# --------------------------------------------------------------------------- families


@dataclass(frozen=True, eq=False)
class ExponentialSum(MemoryKernel):
    r"""The kernel of a linear RNN, :math:`\rho(t) = \sum_{k=1}^m a_k e^{-w_k t}`.

    Parameters
    ----------
    amplitudes : array_like, shape (m,) or (m, d)
        Amplitudes :math:`a_k`, one row a neuron. An (m, 1) array counts as (m,).
    rates : array_like, shape (m,)
        Rates :math:`w_k` with positive real part, in 1/time. Complex rates come in conjugate
        pairs with conjugate amplitudes (to relative 1e-9), so that the kernel is real; each
        member of a pair is a neuron.

    Raises
    ------
    ValueError
        If shapes disagree, a rate's real part isn't positive, or a complex rate lacks its pair.

    Notes
    -----
    Cost O(m n) for n lags. Differences of nearly equal sums keep their relative accuracy.

    Used in: ``book/framework/memory-kernel.ipynb``.
    """

    amplitudes: NDArray
    rates: NDArray
    _linear = "amplitudes"

    def __post_init__(self) -> None:
        amplitudes, rates = np.asarray(self.amplitudes), np.asarray(self.rates)
        if amplitudes.ndim == 2 and amplitudes.shape[1] == 1:
            amplitudes = amplitudes[:, 0]
        if rates.ndim != 1 or amplitudes.ndim not in (1, 2) or len(amplitudes) != len(rates):
            raise ValueError(
                "amplitudes must have shape (m,) or (m, d) and rates shape (m,); got "
                f"{amplitudes.shape} and {rates.shape}"
            )
        if amplitudes.ndim == 2 and amplitudes.shape[1] == 0:
            raise ValueError("amplitudes of shape (m, d) need d >= 1; got d = 0")
        for name, array in (("amplitudes", amplitudes), ("rates", rates)):
            if array.dtype.kind not in "biufc" or not np.isfinite(array).all():
                raise ValueError(f"{name} must be finite numbers; got {array!r}")
        if rates.size and rates.real.min() <= 0:
            raise ValueError(
                f"rates need a positive real part; got {rates[np.argmin(rates.real)]}. "
                "Otherwise a e^(-wt) isn't integrable and isn't the kernel of a stable network"
            )
        if not np.iscomplexobj(rates) or not rates.imag.any():
            if np.iscomplexobj(amplitudes) and amplitudes.imag.any():
                raise ValueError("real rates need real amplitudes; the kernel would not be real")
            rates, amplitudes = rates.real.astype(float), amplitudes.real.astype(float)
        else:
            rates, amplitudes = rates.astype(complex), amplitudes.astype(complex)
            _check_pairs(amplitudes, rates)
        self._set(amplitudes=amplitudes, rates=rates)

    @classmethod
    def oscillation(
        cls, amplitude: float, decay: float, frequency: float, phase: float = 0.0
    ) -> ExponentialSum:
        r"""Two neurons, :math:`\rho(t) = A e^{-r t} \cos(\theta t + \varphi)`.

        Parameters
        ----------
        amplitude : float
            Amplitude A.
        decay : float
            Decay rate r > 0 (1/time).
        frequency : float
            Angular frequency :math:`\theta > 0` (radians/time).
        phase : float
            Phase :math:`\varphi` (radians).

        Used in: ``book/framework/memory-kernel.ipynb``.
        """
        decay = number("decay", decay, positive=True)
        frequency = number("frequency", frequency, positive=True)
        half = 0.5 * number("amplitude", amplitude) * np.exp(-1j * number("phase", phase))
        rate = decay + 1j * frequency
        return cls(np.array([half, half.conjugate()]), np.array([rate, rate.conjugate()]))

    @property
    def width(self) -> int:
        """Number m of neurons."""
        return self.rates.size

    def __add__(self, other: MemoryKernel) -> MemoryKernel:
        if not isinstance(other, ExponentialSum) or other.input_dim != self.input_dim:
            return super().__add__(other)
        return ExponentialSum(
            np.concatenate([self.amplitudes, other.amplitudes]),
            np.concatenate([self.rates, other.rates]),
        )

    @property
    def _abscissa(self) -> float:
        return -self.rates.real.min() if self.rates.size else -math.inf

    def _chains(self, amplitudes: NDArray) -> list[tuple[NDArray, NDArray, NDArray]]:
        real, upper = self.rates.imag == 0, self.rates.imag > 0
        chains = [_chain(amplitudes[real].real, self.rates[real].real)] if real.any() else []
        return chains + ([_chain(amplitudes[upper], self.rates[upper])] if upper.any() else [])

    @cached_property
    def _own_chains(self) -> list[tuple[NDArray, NDArray, NDArray]]:
        return self._chains(self.amplitudes)

    def _sum(self, chains: list, t: Array, part: Callable = _value_term) -> tuple[Array, Array]:
        pairs = [_chain_sum(chain, t, part) for chain in chains] or [np.zeros((2, t.size))]
        return sum(v for v, _ in pairs), sum(g for _, g in pairs)

    def _evaluate(self, t: Array) -> tuple[Array, Array]:
        return self._sum(self._own_chains, t)

    def _tail(self, t: Array) -> Array:
        return self._sum(self._own_chains, t, _tail_term)[0]

    def _step(self, t: Array) -> Array:
        return self._sum(self._own_chains, t, _step_term)[0]

    def _derivative(self, t: Array, order: int) -> Array:
        return self._sum(self._chains(self.amplitudes * (-self.rates) ** order), t)[0]

    def _laplace(self, s: NDArray) -> NDArray:
        values = (self.amplitudes / np.add.outer(s, self.rates)).sum(axis=-1)
        return values if np.iscomplexobj(s) else values.real

    def _breakpoints(self) -> Array:
        return _relaxation_breakpoints(self.rates)


def _check_pairs(amplitudes: NDArray, rates: NDArray) -> None:
    """Every complex rate needs its conjugate, with the conjugate amplitude."""
    scale = np.abs(amplitudes).max(initial=0.0)
    real = rates.imag == 0
    if np.abs(amplitudes[real].imag).max(initial=0.0) > 1e-9 * scale:
        raise ValueError("a real rate needs a real amplitude; the kernel would not be real")
    upper = list(np.flatnonzero(rates.imag > 0))
    for low in np.flatnonzero(rates.imag < 0):
        for k in upper:
            near = abs(rates[k] - rates[low].conj()) <= 1e-9 * abs(rates[low])
            if near and np.all(np.abs(amplitudes[k] - amplitudes[low].conj()) <= 1e-9 * scale):
                upper.remove(k)
                break
        else:
            upper = [low]
            break
    if upper:
        raise ValueError(
            f"the complex rate {rates[upper[0]]} lacks its conjugate with the conjugate amplitude; "
            "the kernel must be real. ExponentialSum.oscillation builds such pairs"
        )


@dataclass(frozen=True, eq=False)
class PowerLaw(MemoryKernel):
    r"""Power-law memory, :math:`\rho(t) = A\,(1+t)^{-(1+\omega)}`, of norm :math:`|A|/\omega`.

    The smaller :math:`\omega`, the longer the memory: the mass beyond lag t is
    :math:`A (1+t)^{-\omega}/\omega`.

    Parameters
    ----------
    omega : float
        Memory exponent :math:`\omega > 0`. At 0 the kernel stops being integrable.
    amplitude : float
        Value A at lag 0.

    Used in: ``book/framework/memory-kernel.ipynb``.
    """

    omega: float
    amplitude: float = 1.0

    def __post_init__(self) -> None:
        omega = number("omega", self.omega)
        if omega <= 0:
            raise ValueError(
                f"omega must be > 0; got {omega}. (1+t)^-(1+omega) is integrable on [0, inf) only "
                "for omega > 0, and a kernel that isn't integrable has no continuous functional"
            )
        self._set(omega=omega)
        self._set(amplitude=number("amplitude", self.amplitude))

    _abscissa = -5e-324  # the integral converges at real part 0 too, though not beyond

    @cached_property
    def _image(self) -> _PowerLaws:
        return _PowerLaws((self,))

    def _evaluate(self, t: Array) -> tuple[Array, Array]:
        return self._image._evaluate(t)

    def _tail(self, t: Array) -> Array:
        return self._image._tail(t)

    def _step(self, t: Array) -> Array:
        return self._image._step(t)

    def _derivative(self, t: Array, order: int) -> Array:
        power = 1 + self.omega
        factor = self.amplitude * (-1) ** order * special.poch(power, order)
        return factor * np.exp(-(power + order) * np.log1p(t))

    def _laplace(self, s: NDArray) -> NDArray:
        """Trapezoidal rule in log t, along the ray of argument -arg(s)/2.

        There e^{-st} decays and (1+t)^{-(1+omega)} is bounded in a strip of half-width pi/4 or
        more (pi/2 for real s), so the rule converges like exp(-pi^2 / (2 step)) or better.
        """
        size = np.where(s == 0, 1.0, np.abs(s))
        half = np.exp(0.5j * np.angle(s)) if np.iscomplexobj(s) else np.ones_like(size)
        start, end = np.minimum(0.0, -np.log(size)) - 38, np.log(1.5 * _E_FOLDINGS / size)
        count = math.ceil((end - start).max(initial=0.0) / 0.125) + 1
        step = (end - start) / count
        ray = np.exp(start[:, None] + step[:, None] * np.arange(count + 1)) / half[:, None]
        with np.errstate(under="ignore"):
            exponent = -(size * half**2)[:, None] * ray - (1 + self.omega) * np.log1p(ray)
            values = step * (np.exp(exponent) * ray).sum(axis=-1)
        return self.amplitude * np.where(s == 0, 1 / self.omega, values)

    def _breakpoints(self) -> Array:
        # Uniform in log(1+t), to where the tail has fallen by e^-60 or to 1e300.
        end = min(_E_FOLDINGS / self.omega, 690.0)
        count = math.ceil(end / min(math.log(2), 2 / (1 + self.omega)))
        return np.expm1(np.linspace(0.0, end, count + 1))


class _PowerLaws:
    """A sum of power laws: with x = log(1+t) it is e^-x times an exponential sum in x.

    Since dt = e^x dx, tail and step response are those of the exponential sum itself, and nearly
    equal exponents lose no digits.
    """

    def __init__(self, laws: Sequence[PowerLaw]) -> None:
        self.sum = ExponentialSum([law.amplitude for law in laws], [law.omega for law in laws])

    def _evaluate(self, t: Array) -> tuple[Array, Array]:
        x = np.minimum(np.log1p(t), 1e4)
        value, magnitude = self.sum._evaluate(x)
        fall = np.exp(-x)
        return value * fall, magnitude * fall * (1 + (1 + self.sum.rates.max()) * x / 4)

    def _tail(self, t: Array) -> Array:
        return self.sum._tail(np.log1p(t))

    def _step(self, t: Array) -> Array:
        return self.sum._step(np.log1p(t))


@dataclass(frozen=True, eq=False)
class GaussianBump(MemoryKernel):
    r"""A smeared delay: the normal density of mean `delay` and deviation `width`, times `mass`.

    .. math:: \rho(t) = \frac{M}{s\sqrt{2\pi}} e^{-(t-D)^2/(2 s^2)}, \quad t \ge 0.

    Parameters
    ----------
    delay : float
        Centre :math:`D \ge 0` (time).
    width : float
        Standard deviation s > 0 (time), at least 1e-14 D: lags must resolve it.
    mass : float
        Mass M over the whole line; the part on [0, inf) is :math:`M\,\Phi(D/s)`.

    Used in: ``book/framework/memory-kernel.ipynb``.
    """

    delay: float
    width: float
    mass: float = 1.0
    _linear = "mass"

    def __post_init__(self) -> None:
        self._set(delay=number("delay", self.delay, nonnegative=True))
        self._set(width=number("width", self.width, positive=True))
        self._set(mass=number("mass", self.mass))
        if self.width < 1e-14 * self.delay:
            raise ValueError(
                f"a bump of width {self.width} at delay {self.delay} is hardly wider than the "
                "rounding of lags there, and its values would be noise. Use a width of at least "
                "1e-14 times the delay"
            )

    def _standard(self, t: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.clip((t - self.delay) / self.width, -1e150, 1e150)

    def _evaluate(self, t: Array) -> tuple[Array, Array]:
        u = self._standard(t)
        with np.errstate(under="ignore"):
            value = self.mass / (self.width * math.sqrt(2 * math.pi)) * np.exp(-0.5 * u * u)
        # u carries the rounding of t - D, which the square in the exponent amplifies.
        spread = 1 + np.minimum(np.abs(u), 40.0) * (np.abs(u) + self.delay / self.width)
        return value, np.where(value == 0, 0.0, np.abs(value) * spread)

    def _tail(self, t: Array) -> Array:
        return self.mass * special.ndtr(-self._standard(t))

    def _step(self, t: Array) -> Array:
        start, u = -self.delay / self.width, self._standard(t)
        # Left of the mean both terms are small; right of it their complements are.
        left = special.ndtr(u) - special.ndtr(start)
        right = special.ndtr(-start) - special.ndtr(-u)
        return self.mass * np.where(u <= 0, left, right)

    def _derivative(self, t: Array, order: int) -> Array:
        u = np.minimum(self._standard(t), 1e10)
        hermite = special.eval_hermitenorm(order, u)
        value = self._evaluate(t)[0]
        return np.where(value == 0, 0.0, (-1 / self.width) ** order * hermite * value)

    def _laplace(self, s: NDArray) -> NDArray:
        ratio = self.delay / self.width
        z = (self.width * s - ratio) / math.sqrt(2)
        behind = z.real < 0
        # erfc(z) = 2 - erfc(-z) keeps the scaled function in the half-plane where it is small.
        z = np.where(behind, -z, z)
        scaled = special.wofz(1j * z) if np.iscomplexobj(s) else special.erfcx(z)
        edge = math.exp(-0.5 * ratio * ratio) * scaled
        shift = np.where(behind, s, 0.0)
        whole = 2 * np.exp(shift * (0.5 * shift * self.width * self.width - self.delay))
        return 0.5 * self.mass * np.where(behind, whole - edge, edge)

    def _breakpoints(self) -> Array:
        reach = math.sqrt(2 * _E_FOLDINGS)
        points = self.delay + self.width * np.linspace(-reach, reach, 23)
        points = np.append(0.0, points[points > 0])
        # A stretch of silence before the bump is one panel; it holds nothing.
        return points


@dataclass(frozen=True, eq=False)
class AiryKernel(MemoryKernel):
    r"""The Airy kernel, :math:`\rho(t) = A\,\mathrm{Ai}(c\,(t - D))`.

    It oscillates up to the delay D and dies out faster than any exponential beyond it, so it is
    the paper's example of a target whose memory arrives late.

    Parameters
    ----------
    scale : float
        Scale c > 0 (1/time).
    delay : float
        Delay :math:`D \ge 0` (time).
    amplitude : float
        Amplitude A.

    Notes
    -----
    Step response and tail come from Gauss-Legendre panels (absolute error about 1e-15 of the
    kernel's mass); no closed antiderivative in elementary functions exists.

    Source: target of Figure 1(b) of Li, Han, E and Li (ICLR 2021), as restated in later work.

    Used in: ``book/framework/memory-kernel.ipynb``.
    """

    scale: float
    delay: float
    amplitude: float = 1.0

    def __post_init__(self) -> None:
        self._set(scale=number("scale", self.scale, positive=True))
        self._set(delay=number("delay", self.delay, nonnegative=True))
        self._set(amplitude=number("amplitude", self.amplitude))

    def _argument(self, t: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.minimum(self.scale * (t - self.delay), 150.0)  # Ai underflows before 150

    def _evaluate(self, t: Array) -> tuple[Array, Array]:
        x = self._argument(t)
        ai, slope = special.airy(x)[:2]
        # The argument's rounding, c |t - D| eps, is amplified by the slope.
        blur = np.abs(slope) * (np.abs(x) + self.scale * self.delay)
        return self.amplitude * ai, abs(self.amplitude) * (np.abs(ai) + blur)

    @cached_property
    def _panels(self) -> tuple[Array, Array]:
        """Panel edges in x = c (t - D), and the integral of Ai over each panel."""
        edges = _airy_edges(-self.scale * self.delay, 110.0)
        return edges, _gauss(_airy, edges[:-1], edges[1:])

    def _tail(self, t: Array) -> Array:
        edges, areas = self._panels
        to_end = np.append(np.cumsum(areas[::-1])[::-1], 0.0)
        x = np.minimum(self._argument(t), edges[-1])
        k = np.minimum(np.searchsorted(edges, x, side="right"), edges.size - 1)
        return self.amplitude / self.scale * (_gauss(_airy, x, edges[k]) + to_end[k])

    def _step(self, t: Array) -> Array:
        edges, areas = self._panels
        from_start = np.append(0.0, np.cumsum(areas))
        x = np.minimum(self._argument(t), edges[-1])
        k = np.maximum(np.searchsorted(edges, x, side="right") - 1, 0)
        return self.amplitude / self.scale * (_gauss(_airy, edges[k], x) + from_start[k])

    def _derivative(self, t: Array, order: int) -> Array:
        x = self._argument(t)
        ai, slope = special.airy(x)[:2]
        # Ai'' = x Ai gives Ai^(n) = p Ai + q Ai' with p, q polynomials.
        p, q, identity = Polynomial([1.0]), Polynomial([0.0]), Polynomial([0.0, 1.0])
        for _ in range(order):
            p, q = p.deriv() + identity * q, p + q.deriv()
        return self.amplitude * self.scale**order * (p(x) * ai + q(x) * slope)

    def _laplace(self, s: NDArray) -> NDArray:
        points = self._breakpoints()
        values = []
        for value in s:
            fine = points
            if (longest := np.diff(points).max() * abs(value)) > 6:
                split = math.ceil(longest / 6)
                parts = np.linspace(points[:-1], points[1:], split, endpoint=False, axis=1)
                fine = np.append(parts.ravel(), points[-1])
            if value.real > 0:
                fine = fine[: np.searchsorted(fine, 2 * _E_FOLDINGS / value.real) + 1]
                if fine.size == 1:
                    fine = np.append(fine, points[1])
            integrand = _gauss(
                lambda t, rate=value: np.exp(-rate * t) * self._value(t.ravel()).reshape(t.shape),
                fine[:-1],
                fine[1:],
            )
            values.append(integrand.sum())
        return np.array(values, dtype=s.dtype)

    def _breakpoints(self) -> Array:
        # Ai(x) falls like exp(-2/3 x^1.5): 60 e-foldings lie at x = 20.
        edges = _airy_edges(-self.scale * self.delay, 20.0)
        return np.append(0.0, (self.delay + edges / self.scale)[1:])


def _airy(x: Array) -> Array:
    return special.airy(x)[0]


def _airy_edges(start: float, end: float) -> Array:
    """Panels on which Ai is smooth: at most about one local wavelength or e-folding long."""

    def phase(x: Array) -> Array:  # a primitive of sqrt(1 + |x|)
        return np.sign(x) * (2 / 3) * ((1 + np.abs(x)) ** 1.5 - 1)

    low, high = phase(np.array([start, end]))
    levels = np.linspace(low, high, max(2, math.ceil((high - low) / 1.5) + 1))
    edges = np.sign(levels) * ((1 + 1.5 * np.abs(levels)) ** (2 / 3) - 1)
    edges[0], edges[-1] = start, end
    return edges


def _gauss(function, left: Array, right: Array) -> NDArray:
    """Integrals of a function over each [left, right], by 20-point Gauss-Legendre."""
    half = 0.5 * (right - left)
    nodes = left[:, None] + half[:, None] * (1 + _GAUSS_NODES)
    return half * (function(nodes) @ _GAUSS_WEIGHTS)


@dataclass(frozen=True, eq=False)
class GammaKernel(MemoryKernel):
    r"""A delayed gamma density, the memory of a chain of leaky integrators behind a pure delay.

    .. math::
       \begin{aligned}
       \rho(t) &= A\,(t-D)^p e^{-w(t-D)} \quad (t \ge D), \\
       \rho(t) &= 0 \quad (t < D).
       \end{aligned}

    For D > 0 it is as smooth as p says and no smoother: it has p - 1 continuous derivatives, and
    the next one jumps by :math:`p!\,A` at lag D. For D = 0 it is smooth on :math:`[0, \infty)`.

    Parameters
    ----------
    delay : float
        Delay :math:`D \ge 0` (time), at most 1e14/w: lags must resolve what follows it.
    order : int
        Power p, from 0 to 170 (171! is no double any more).
    rate : float
        Rate w > 0 (1/time).
    amplitude : float
        Amplitude A, in the unit of the kernel over time to the power p. The kernel peaks at lag
        D + p/w; its mass is :math:`p!\,A/w^{p+1}`.

    Raises
    ------
    ValueError
        If a parameter isn't in its range, or the mass (of this or of the unit amplitude) leaves
        the range of doubles. ``derivative`` raises it for D > 0 and an order above p; at order p
        its value at lag D is the limit from the right.

    Notes
    -----
    Values have a relative error of about eps (1 + p + w (t-D)); tail and step response are
    incomplete gamma functions, to about 1e-14 of the mass. Cost O(n) for n lags.

    Source: the gamma memory of de Vries and Principe (Neural Networks 5, 1992, 565-576), which
    has D = 0.

    Used in: ``book/rates/smoothness-and-decay.ipynb``.
    """

    delay: float
    order: int
    rate: float
    amplitude: float = 1.0

    def __post_init__(self) -> None:
        order = self.order
        whole = isinstance(order, (int, np.integer)) and not isinstance(order, bool)
        if not whole or not 0 <= order <= 170:
            raise ValueError(
                f"order must be a whole number from 0 to 170; got {order!r}. Beyond it p! leaves "
                "the range of doubles; a narrow late bump is a GaussianBump(delay, width)"
            )
        self._set(delay=number("delay", self.delay, nonnegative=True), order=int(order))
        self._set(rate=number("rate", self.rate, positive=True))
        self._set(amplitude=number("amplitude", self.amplitude))
        if self.rate * self.delay > 1e14:
            raise ValueError(
                f"a gamma kernel of rate {self.rate} at delay {self.delay} is hardly wider than "
                "the rounding of lags there, and its values would be noise. Use a delay of at "
                "most 1e14/rate"
            )
        if self._unit == 0 or not math.isfinite(self._unit * self.amplitude):
            raise ValueError(
                f"the mass p! A / w^(p+1) must be a double, for the unit amplitude too; got order "
                f"{self.order}, rate {self.rate}, amplitude {self.amplitude}. Another unit of "
                "time brings it into range"
            )

    @cached_property
    def _unit(self) -> float:
        """Mass for the unit amplitude, p! / w^(p+1)."""
        return math.prod((j / self.rate for j in range(1, self.order + 1)), start=1 / self.rate)

    @property
    def _smoothness(self) -> float:
        return self.order - 1 if self.delay > 0 else math.inf

    @property
    def _abscissa(self) -> float:
        return -self.rate

    def _since(self, t: Array) -> Array:
        """Time since the delay, where it has passed: rounded once, so relatively accurate."""
        # Beyond so many e-foldings nothing is left that a float could hold, whatever the order.
        return np.clip(t - self.delay, 0.0, 1e4 * (1 + self.order) / self.rate)

    def _rise_and_fall(self, x: Array, power: int) -> Array:
        """x^power e^(-wx), by a base whose power stays in range."""
        with np.errstate(under="ignore"):
            if power == 0:
                return np.exp(-self.rate * x)
            return (x * np.exp(-self.rate * x / power)) ** power

    def _evaluate(self, t: Array) -> tuple[Array, Array]:
        x = self._since(t)
        value = np.where(t >= self.delay, self.amplitude * self._rise_and_fall(x, self.order), 0.0)
        # x, the products and exp are rounded; the power and the exponent amplify that.
        return value, np.abs(value) * (1 + 0.5 * (self.order + self.rate * x))

    def _tail(self, t: Array) -> Array:
        share = special.gammaincc(self.order + 1, self.rate * self._since(t))
        return self.amplitude * self._unit * share

    def _step(self, t: Array) -> Array:
        share = special.gammainc(self.order + 1, self.rate * self._since(t))
        return self.amplitude * self._unit * share

    def _derivative(self, t: Array, order: int) -> Array:
        """By Rodrigues' formula: a Laguerre polynomial times a function of the same kind."""
        p, w = self.order, self.rate
        if self.delay > 0 and order > p:
            raise ValueError(
                f"a gamma kernel of order {p} at a delay > 0 has derivatives up to order {p} (the "
                f"last one jumps at the delay); got order {order}. Give it a higher order"
            )
        low, x = min(p, order), self._since(t)
        factor = self.amplitude * special.factorial(low) * (-w) ** (order - low)
        shape = factor * self._rise_and_fall(x, p - low)
        with np.errstate(over="ignore", invalid="ignore"):
            value = shape * special.eval_genlaguerre(low, abs(p - order), w * x)
        return np.where((t >= self.delay) & (shape != 0), value, 0.0)

    def _laplace(self, s: NDArray) -> NDArray:
        value = self.amplitude * np.exp(-s * self.delay) / (s + self.rate)
        for j in range(1, self.order + 1):
            value = value * (j / (s + self.rate))
        return value

    def _breakpoints(self) -> Array:
        if self.order == 0:
            after = _relaxation_breakpoints(np.array([self.rate]))
        else:
            # A deviation is sqrt(p+1)/w; Chernoff's bound says where the tail falls below e^-60.
            shape = self.order + 1
            end = shape + math.sqrt(2 * _E_FOLDINGS * shape) + _E_FOLDINGS
            after = np.linspace(0.0, end, math.ceil(end / (2 * math.sqrt(shape))) + 1) / self.rate
        return np.unique(np.append(0.0, np.minimum(self.delay + after, 1e300)))


@dataclass(frozen=True, eq=False)
class LegendreKernel(MemoryKernel):
    r"""A linear RNN with the rates b, 2b, ..., mb, written in shifted Legendre polynomials.

    .. math::
       \begin{aligned}
       \rho(t) &= u \sum_{k=0}^{m-1} c_k P_k(2u-1), \\
       u &= e^{-bt}.
       \end{aligned}

    It is an :class:`ExponentialSum` (see :meth:`expanded`), but its amplitudes there alternate and
    grow up to like :math:`5.8^m`, so that beyond m = 20 or so, once rounded, they no longer hold
    the kernel. The coefficients :math:`c_k` do, for any m.

    Parameters
    ----------
    coefficients : array_like, shape (m,) or (m, d)
        Coefficients :math:`c_k` in the unit of the kernel, m >= 1, d >= 1. An (m, 1) array counts
        as (m,).
    rate : float
        Slowest rate b > 0 (1/time).

    Raises
    ------
    ValueError
        If the coefficients aren't finite real numbers of such a shape, or the rate isn't positive.

    Notes
    -----
    Values have an error of at most 4 eps :math:`u \sum_k |c_k| (1 + k/8 + bt/8)`, usually a tenth
    of it, tail and step response about eps/b times :math:`\sum_k |c_k|` times u and 1 - u. Each
    derivative multiplies the coefficients, and with them the error, by up to :math:`b m^2`. Cost
    O(n m) for n lags.

    Source: the networks in the proof of Theorem 3.1 of Li, Han, E and Li (ICLR 2021), as restated
    in later work: with :math:`u = e^{-bt}` kernels become polynomials on (0, 1].

    Used in: ``tests/reference/test_kernels.py``.
    """

    coefficients: NDArray
    rate: float
    _linear = "coefficients"

    def __post_init__(self) -> None:
        coefficients = real_array("coefficients", self.coefficients)
        if coefficients.ndim not in (1, 2) or coefficients.size == 0:
            raise ValueError(
                "coefficients must have shape (m,) or (m, d) with m >= 1 and d >= 1; got "
                f"{coefficients.shape}"
            )
        if coefficients.ndim == 2 and coefficients.shape[1] == 1:
            coefficients = coefficients[:, 0]
        self._set(coefficients=coefficients, rate=number("rate", self.rate, positive=True))

    @property
    def width(self) -> int:
        """Number m of neurons."""
        return len(self.coefficients)

    @property
    def rates(self) -> Array:
        """The rates b, 2b, ..., mb (1/time), shape (m,)."""
        return self.rate * np.arange(1, self.width + 1)

    def expanded(self) -> ExponentialSum:
        r"""The same kernel as an exponential sum of width m.

        .. math::
           \begin{aligned}
           a_j = \sum_{k=j-1}^{m-1} &(-1)^{k-j+1} \\
           &\cdot \binom{k}{j-1}\binom{k+j-1}{j-1}\,c_k
           \end{aligned}

        Returns
        -------
        ExponentialSum
            Amplitudes from exact integer arithmetic, each rounded once. Their rounding alone
            changes the kernel by up to eps :math:`\sum_j |a_j|`, which beyond m = 20 or so may
            exceed the kernel itself.

        Raises
        ------
        ValueError
            If an amplitude leaves the range of doubles (m of about 400).
        """
        columns = []
        for part in self.components:
            ratios = [c.as_integer_ratio() for c in part.coefficients.tolist()]
            scale = max(bottom for _, bottom in ratios)  # powers of two
            sums = [0] * self.width
            for k, (top, bottom) in enumerate(ratios):
                term = (-1) ** k * top * (scale // bottom)
                for i in range(k + 1):
                    sums[i] += term
                    term = -term * (k - i) * (k + i + 1) // (i + 1) ** 2
            try:
                columns.append([total / scale for total in sums])
            except OverflowError:
                raise ValueError(
                    f"at width {self.width} an amplitude of the exponential sum is beyond the "
                    "largest double. Work with the LegendreKernel itself, or with a narrower one"
                ) from None
        return ExponentialSum(np.array(columns).T, self.rates)

    @property
    def _abscissa(self) -> float:
        return -self.rate

    def _expand(self, t: Array, what: int, coefficients: Array) -> Array:
        """The sum of c_k P_k(2u-1) (`what` 0), of their integrals from 0 to u (1) or u to 1 (2)."""
        x = self._e_foldings(t)
        with np.errstate(under="ignore"):
            basis = _shifted_legendre(np.exp(-x), -np.expm1(-x), self.width)
            total, carry = np.zeros((2, t.size))
            for c, triple in zip(coefficients, basis, strict=True):
                # Compensated (two-sum), or the many small last terms would each cost half an ulp.
                term = c * triple[what]
                new = total + term
                part = new - total
                carry += (total - (new - part)) + (term - part)
                total = new
            return total + carry

    def _e_foldings(self, t: Array) -> Array:
        with np.errstate(over="ignore"):
            return np.minimum(self.rate * t, 800.0)  # e^-800 is no double

    def _evaluate(self, t: Array) -> tuple[Array, Array]:
        x = self._e_foldings(t)
        u = np.exp(-x)
        value = u * self._expand(t, 0, self.coefficients)
        size = np.abs(self.coefficients) @ (1 + np.arange(self.width) / 8)
        return value, u * size + np.abs(value) * x / 8

    def _tail(self, t: Array) -> Array:
        return self._expand(t, 1, self.coefficients) / self.rate

    def _step(self, t: Array) -> Array:
        return self._expand(t, 2, self.coefficients) / self.rate

    def _derivative(self, t: Array, order: int) -> Array:
        coefficients, degree = self.coefficients, np.arange(self.width)
        for _ in range(order):
            # d/dt (u P) = -b u (P + u P'), and u P_k' = k P_k + sum over j < k of (2j+1) P_j.
            above = np.append(np.cumsum(coefficients[:0:-1])[::-1], 0.0)
            coefficients = -self.rate * ((1 + degree) * coefficients + (2 * degree + 1) * above)
        return np.exp(-self._e_foldings(t)) * self._expand(t, 0, coefficients)

    def _laplace(self, s: NDArray) -> NDArray:
        term, total = 1 / (s + self.rate), 0.0
        for k, c in enumerate(self.coefficients):
            total = total + c * term
            term = term * (s - k * self.rate) / (s + (k + 2) * self.rate)
        return total

    def _breakpoints(self) -> Array:
        # With u = cos^2 of an angle, the polynomial turns evenly: 3 radians a panel.
        angles = np.pi / 2 * np.arange(self.width + 1) / (self.width + 1)
        points = -np.log1p(-(np.sin(angles) ** 2))
        decay = points[-1] + 2.0 ** np.arange(1, 7) - 1
        return np.unique(np.minimum(np.append(points, decay) / self.rate, 1e300))


def _shifted_legendre(u: Array, v: Array, count: int) -> Iterator[tuple[Array, Array, Array]]:
    """Yield P_k(2u-1) and its integrals from 0 to u and from u to 1, k < count; v = 1 - u.

    The recurrence runs on the differences of successive polynomials, from the end of [0, 1] that
    is nearer. So the values keep the accuracy of u and v, and the integrals, themselves
    differences, are accurate relative to their size.
    """
    left = u <= v
    distance, sign = np.where(left, u, v), np.where(left, -1.0, 1.0)
    value, rise, turn = np.ones_like(u), np.zeros_like(u), np.ones_like(u)
    for k in range(count):
        new = (k * rise - (4 * k + 2) * distance * value) / (k + 1)
        integral = sign * turn * (new + rise) / (4 * k + 2)
        yield turn * value, integral if k else u, -integral if k else v
        value, rise, turn = value + new, new, turn * sign


@dataclass(frozen=True, eq=False)
class SampledKernel(MemoryKernel):
    r"""A kernel known by samples: their piecewise-linear interpolant, then a declared tail.

    Parameters
    ----------
    times : array_like, shape (n,)
        Lags, strictly increasing from 0, n >= 2.
    values : array_like, shape (n,) or (n, d)
        Samples at those lags. An (n, 1) array counts as (n,).
    tail_rate : float, optional
        Beyond the last lag T the kernel is 0, or ``values[-1] * exp(-tail_rate * (t - T))`` with
        this rate (1/time) when one is given.

    Used in: ``book/framework/memory-kernel.ipynb``.
    """

    times: NDArray
    values: NDArray
    tail_rate: float | None = None
    _linear = "values"

    def __post_init__(self) -> None:
        try:
            times = np.asarray(self.times, dtype=np.float64)
            values = np.asarray(self.values, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"times and values must be arrays of real numbers: {error}") from None
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if (
            times.ndim != 1
            or times.size < 2
            or values.ndim not in (1, 2)
            or values.shape[0] != times.size
            or values.size == 0
        ):
            raise ValueError(
                "times must have shape (n,) with n >= 2 and values shape (n,) or (n, d); got "
                f"{times.shape} and {values.shape}"
            )
        if not (np.isfinite(times).all() and np.isfinite(values).all()):
            raise ValueError("times and values must be finite; drop or interpolate missing samples")
        if times[0] != 0 or (np.diff(times) <= 0).any():
            raise ValueError(
                f"times must increase strictly from 0; got {times[:4]}... "
                "A kernel is needed from lag 0 on"
            )
        if self.tail_rate is not None:
            self._set(tail_rate=number("tail_rate", self.tail_rate, positive=True))
        self._set(times=times, values=values)

    @property
    def _smoothness(self) -> int:
        return 0 if self.tail_rate is not None or not self.values[-1].any() else -1

    @property
    def _abscissa(self) -> float:
        return -math.inf if self.tail_rate is None else -self.tail_rate

    @property
    def _slopes(self) -> Array:
        return np.diff(self.values) / np.diff(self.times)

    def _beyond(self, t: Array) -> Array:
        """The tail's factor e^{-rate (t - T)}, or 0 where the tail is declared empty."""
        if self.tail_rate is None:
            return np.zeros_like(t)
        return np.exp(-self.tail_rate * np.maximum(t - self.times[-1], 0.0))

    def _evaluate(self, t: Array) -> tuple[Array, Array]:
        inside = np.interp(t, self.times, self.values)
        value = np.where(t <= self.times[-1], inside, self.values[-1] * self._beyond(t))
        size = np.interp(t, self.times, np.abs(self.values))
        return value, np.where(t <= self.times[-1], size, np.abs(value))

    @cached_property
    def _areas(self) -> Array:
        """Integral over each interval between samples."""
        return 0.5 * (self.values[1:] + self.values[:-1]) * np.diff(self.times)

    def _tail(self, t: Array) -> Array:
        last, final = self.times[-1], self.values[-1]
        after = 0.0 if self.tail_rate is None else final / self.tail_rate
        to_end = np.append(np.cumsum(self._areas[::-1])[::-1], 0.0)
        inside = np.minimum(t, last)
        k = np.clip(np.searchsorted(self.times, inside), 1, self.times.size - 1)
        here = 0.5 * (self.times[k] - inside) * (self._evaluate(inside)[0] + self.values[k])
        return np.where(t < last, here + to_end[k] + after, after * self._beyond(t))

    def _step(self, t: Array) -> Array:
        last = self.times[-1]
        from_start = np.append(0.0, np.cumsum(self._areas))
        inside = np.minimum(t, last)
        k = np.clip(np.searchsorted(self.times, inside) - 1, 0, self.times.size - 2)
        here = 0.5 * (inside - self.times[k]) * (self._evaluate(inside)[0] + self.values[k])
        total = from_start[k] + here
        if self.tail_rate is not None:
            after = -np.expm1(-self.tail_rate * np.maximum(t - last, 0.0)) / self.tail_rate
            total = total + self.values[-1] * after
        return total

    def _derivative(self, t: Array, order: int) -> Array:
        if order > 1:
            raise ValueError(
                f"a sampled kernel is piecewise linear: order 0 and 1 exist, got order {order}. "
                "Fit a smooth kernel (an ExponentialSum, say) to differentiate further"
            )
        k = np.clip(np.searchsorted(self.times, t, side="right") - 1, 0, self.times.size - 2)
        rate = 0.0 if self.tail_rate is None else self.tail_rate
        outside = -rate * self.values[-1] * self._beyond(t)
        return np.where(t < self.times[-1], self._slopes[k], outside)

    def _laplace(self, s: NDArray) -> NDArray:
        h = np.diff(self.times)
        flat, ramp = _moments(np.multiply.outer(s, h))
        start = np.exp(-np.multiply.outer(s, self.times[:-1]))
        pieces = start * h * (self.values[:-1] * flat + np.diff(self.values) * ramp)
        total = pieces.sum(axis=-1)
        if self.tail_rate is not None:
            total = total + self.values[-1] * np.exp(-s * self.times[-1]) / (s + self.tail_rate)
        return total

    def _breakpoints(self) -> Array:
        if self.tail_rate is None:
            return self.times
        after = _relaxation_breakpoints(np.array([self.tail_rate]))
        return np.append(self.times, self.times[-1] + after[1:])


@dataclass(frozen=True, eq=False)
class StateSpaceKernel(MemoryKernel):
    r"""The kernel of any linear RNN, :math:`\rho(t) = (c^\top e^{Wt} U)^\top`.

    It serves matrices whose eigenvectors are missing (defective) or too nearly parallel for an
    :class:`ExponentialSum`; :meth:`LinearRNN.kernel` chooses between the two.

    Parameters
    ----------
    W : array_like, shape (m, m)
        Hurwitz matrix (all eigenvalues in the open left half-plane), in 1/time.
    U : array_like, shape (m,) or (m, d)
        Input matrix.
    c : array_like, shape (m,)
        Readout.

    Notes
    -----
    With a step h such that :math:`\|W\| h \le 1/2` and :math:`t = kh + r`, the vector
    :math:`e^{Wt} U` is a Taylor polynomial in :math:`Wr` applied to U, times those of
    :math:`e^{Wh}, e^{2Wh}, e^{4Wh}, \dots` that make up the binary digits of k. Cost
    :math:`O(n m^2 (18 + \log_2 k))` for n lags.

    Used in: ``LinearRNN``, ``book/framework/recurrent-networks.ipynb``.
    """

    W: NDArray
    U: NDArray
    c: NDArray
    _linear = "U"

    def __post_init__(self) -> None:
        W, U, c = (np.asarray(a, dtype=np.float64) for a in (self.W, self.U, self.c))
        if U.ndim == 2 and U.shape[1] == 1:
            U = U[:, 0]
        m = c.size
        if W.shape != (m, m) or U.ndim not in (1, 2) or len(U) != m or c.shape != (m,):
            raise ValueError(
                "W, U, c need shapes (m, m), (m,) or (m, d), (m,); got "
                f"{W.shape}, {U.shape}, {c.shape}"
            )
        if m == 0 or U.size == 0:
            raise ValueError("a state-space kernel needs m >= 1 neurons and d >= 1 inputs")
        if not all(np.isfinite(a).all() for a in (W, U, c)):
            raise ValueError("W, U and c must be finite")
        worst = linalg.eigvals(W).real.max()
        if worst >= 0:
            raise ValueError(
                f"W has an eigenvalue with real part {worst:.6g}; a kernel needs a Hurwitz W "
                "(all real parts < 0), or c^T e^{Wt} U isn't integrable"
            )
        self._set(W=W, U=U, c=c)

    @cached_property
    def _rates(self) -> NDArray:
        return -linalg.eigvals(self.W)

    @property
    def _abscissa(self) -> float:
        return -self._rates.real.min()

    def _states(self, t: Array, start: Array) -> tuple[Array, Array]:
        """Rows e^{W t_i} start, shape (n, m), and how large their rounding is, in eps."""
        step = 0.5 / max(linalg.norm(self.W, 1), 1e-300)
        # After 800 e-foldings of the slowest mode nothing is left that a float could hold.
        t = np.minimum(t, 800 / -self._abscissa)
        count = np.floor(t / step)
        rest = t - count * step
        states = np.repeat(start[None, :], t.size, axis=0)
        term = states
        for order in range(1, 19):
            term = (term @ self.W.T) * (rest / order)[:, None]
            states = states + term
        size = linalg.norm(states, axis=1)
        power, growth = 1.0, 2.0
        while power <= count.max(initial=0.0):
            # An exponential is the square of another: it is as accurate as that one's square.
            step_matrix, lost = linalg.expm(self.W * (step * power)), growth**2
            growth = linalg.norm(step_matrix, 2)
            odd = np.floor(count / power) % 2 == 1
            size[odd] = growth * size[odd] + lost * linalg.norm(states[odd], axis=1)
            states[odd] = states[odd] @ step_matrix.T
            power *= 2
        return states, size

    def _evaluate(self, t: Array) -> tuple[Array, Array]:
        states, size = self._states(t, self.U)
        return states @ self.c, math.sqrt(self.c.size) * linalg.norm(self.c) * size

    def _tail(self, t: Array) -> Array:
        return self._states(t, self.U)[0] @ np.linalg.solve(-self.W.T, self.c)

    def _step(self, t: Array) -> Array:
        # (e^{Wt} - 1) W^{-1} U, where short times would cancel: integrate the augmented system.
        augmented = np.block([[self.W, self.U[:, None]], [np.zeros((1, self.c.size + 1))]])
        whole = np.linalg.solve(-self.W.T, self.c) @ self.U
        short = t < 1 / linalg.norm(self.W, 1)
        values = whole - self._tail(t)
        for i in np.flatnonzero(short):
            values[i] = self.c @ linalg.expm(augmented * t[i])[:-1, -1]
        return values

    def _derivative(self, t: Array, order: int) -> Array:
        return self._states(t, np.linalg.matrix_power(self.W, order) @ self.U)[0] @ self.c

    def _laplace(self, s: NDArray) -> NDArray:
        eye = np.eye(self.c.size)
        return np.array(
            [self.c @ np.linalg.solve(v * eye - self.W, self.U) for v in s], dtype=s.dtype
        )

    def _breakpoints(self) -> Array:
        # Polynomial factors of a defective W delay the end: run twice as many e-foldings.
        points = _relaxation_breakpoints(self._rates)
        last = points[-1]
        count = max(1, math.ceil(last * np.abs(self._rates[np.argmin(self._rates.real)]) / 3))
        return np.append(points, last + last * np.arange(1, count + 1) / count)


# --------------------------------------------------------------------------- combinations


@dataclass(frozen=True, eq=False)
class KernelSum(MemoryKernel):
    r"""A sum of kernels of different families, made by ``rho + other``.

    Parameters
    ----------
    parts : tuple of MemoryKernel
        The terms, all with the same input_dim.

    Used in: ``PowerLaw``, ``GaussianBump`` and every other family whose kernels are added.
    """

    parts: tuple[MemoryKernel, ...]

    def __post_init__(self) -> None:
        parts = tuple(self.parts)
        if not parts or not all(isinstance(part, MemoryKernel) for part in parts):
            raise ValueError(f"a sum needs one or more kernels; got {self.parts!r}")
        if len({part.input_dim for part in parts}) > 1:
            raise ValueError("the kernels of a sum need the same input_dim; stack([...]) makes one")
        self._set(parts=parts)

    @property
    def input_dim(self) -> int:
        """Number d of input coordinates."""
        return self.parts[0].input_dim

    @property
    def terms(self) -> tuple[MemoryKernel, ...]:
        """The elementary kernels, in the order in which they were added."""
        return self.parts

    @cached_property
    def components(self) -> tuple[MemoryKernel, ...]:
        """One sum for each input coordinate."""
        if self.input_dim == 1:
            return (self,)
        columns = zip(*(part.components for part in self.parts), strict=True)
        return tuple(KernelSum(column) for column in columns)

    @property
    def _smoothness(self) -> float:
        return min(part._smoothness for part in self.parts)

    @property
    def _abscissa(self) -> float:
        return max(part._abscissa for part in self.parts)

    @cached_property
    def _groups(self) -> list:
        """Terms are added within their family where they may cancel; the parts stay as they are."""
        sums = [p for p in self.parts if isinstance(p, ExponentialSum)]
        laws = [p for p in self.parts if isinstance(p, PowerLaw)]
        rest = [p for p in self.parts if not isinstance(p, (ExponentialSum, PowerLaw))]
        merged = [reduce(add, sums)] if sums else []
        return merged + ([_PowerLaws(laws)] if laws else []) + _collected(rest)

    def _evaluate(self, t: Array) -> tuple[Array, Array]:
        pairs = [part._evaluate(t) for part in self._groups]
        return sum(v for v, _ in pairs), sum(g for _, g in pairs)

    def _tail(self, t: Array) -> Array:
        return sum(part._tail(t) for part in self._groups)

    def _step(self, t: Array) -> Array:
        return sum(part._step(t) for part in self._groups)

    def _derivative(self, t: Array, order: int) -> Array:
        return sum(part._derivative(t, order) for part in self.parts)

    def _laplace(self, s: NDArray) -> NDArray:
        return sum(part._laplace(s) for part in self.parts)

    def _breakpoints(self) -> Array:
        return np.unique(np.concatenate([part._breakpoints() for part in self.parts]))

    def _scaled(self, factor: float) -> KernelSum:
        return KernelSum(tuple(part._scaled(factor) for part in self.parts))


def _collected(kernels: list[MemoryKernel]) -> list[MemoryKernel]:
    """Add up kernels that differ in the field in which they are linear, and in nothing else."""
    kept: list[MemoryKernel] = []
    for kernel in kernels:
        name = kernel._linear
        for k, other in enumerate(kept):
            if type(other) is type(kernel) and all(
                np.array_equal(getattr(other, f.name), getattr(kernel, f.name))
                if f.name != name
                else np.shape(getattr(other, name)) == np.shape(getattr(kernel, name))
                for f in fields(kernel)
            ):
                kept[k] = replace(other, **{name: getattr(other, name) + getattr(kernel, name)})
                break
        else:
            kept.append(kernel)
    return kept


@dataclass(frozen=True, eq=False)
class StackedKernel(MemoryKernel):
    """A kernel with several inputs, one one-dimensional kernel for each; made by :func:`stack`.

    Parameters
    ----------
    parts : tuple of MemoryKernel
        The d one-dimensional kernels, d >= 2.

    Used in: ``stack``.
    """

    parts: tuple[MemoryKernel, ...]

    def __post_init__(self) -> None:
        parts = tuple(self.parts)
        if len(parts) < 2 or not all(
            isinstance(part, MemoryKernel) and part.input_dim == 1 for part in parts
        ):
            raise ValueError(
                f"a stacked kernel needs two or more one-dimensional kernels; got {self.parts!r}. "
                "Use stack([...])"
            )
        self._set(parts=parts)

    @property
    def input_dim(self) -> int:
        """Number d of input coordinates."""
        return len(self.parts)

    @property
    def components(self) -> tuple[MemoryKernel, ...]:
        """The one-dimensional kernels."""
        return self.parts

    @property
    def _smoothness(self) -> float:
        return min(part._smoothness for part in self.parts)

    def _never(self, *_) -> NDArray:
        raise NotImplementedError("a stacked kernel works through its components")

    _evaluate = _tail = _step = _derivative = _laplace = _breakpoints = _never

    def _scaled(self, factor: float) -> StackedKernel:
        return StackedKernel(tuple(part._scaled(factor) for part in self.parts))


def stack(kernels: Sequence[MemoryKernel]) -> MemoryKernel:
    r"""Build the kernel :math:`\rho = (\rho_1, \dots, \rho_d)` of d inputs from kernels with fewer.

    Exponential sums stack into one exponential sum whose neurons each listen to one input only,
    so widths add; other kernels become a :class:`StackedKernel`.

    Parameters
    ----------
    kernels : sequence of MemoryKernel
        One after another; their input dimensions add up to d.

    Returns
    -------
    MemoryKernel
        With ``input_dim`` d. A single kernel is returned as it is.

    Used in: ``book/framework/memory-kernel.ipynb``.
    """
    kernels = list(kernels)
    if not kernels or not all(isinstance(kernel, MemoryKernel) for kernel in kernels):
        raise ValueError(f"stack needs a non-empty sequence of kernels; got {kernels!r}")
    if len(kernels) == 1:
        return kernels[0]
    if all(isinstance(kernel, ExponentialSum) for kernel in kernels):
        blocks = [kernel.amplitudes.reshape(kernel.width, -1) for kernel in kernels]
        return ExponentialSum(
            linalg.block_diag(*blocks), np.concatenate([kernel.rates for kernel in kernels])
        )
    return StackedKernel(tuple(part for kernel in kernels for part in kernel.components))
