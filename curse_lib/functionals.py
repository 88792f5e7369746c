r"""Sequence-to-sequence relations: linear functionals, counterexamples, probes, memory functions.

A *relation* is any callable ``relation(x, dt) -> y``. The input `x` has shape (n,) or (n, d): its
samples at the times k dt. It is zero before t = 0 and, unless a relation is told otherwise,
piecewise linear between its samples (``hold="linear"``); with ``hold="constant"`` it keeps each
sample until the next. The output `y` has shape (n,): y_k is the output at time k dt. A model's
``simulate``, a :class:`LinearFunctional` and a function written by hand are all relations.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import signal

from curse_lib._checks import hold_rule, number, real_array, samples
from curse_lib.kernels import MemoryKernel
from curse_lib.norms import l1_norm

__all__ = [
    "Clipped",
    "Clocked",
    "FuturePeek",
    "LinearFunctional",
    "MemoryFunction",
    "Probe",
    "PureDelay",
    "memory_function",
    "probe_all",
    "probe_causality",
    "probe_continuity",
    "probe_homogeneity",
    "probe_linearity",
    "probe_regularity",
    "white_noise",
    "worst_input",
]

Array = NDArray[np.float64]
Relation = Callable[..., Array]
# What should vanish in a trial, the outputs that scale it, the inputs that were tried.
_Trial = tuple[Array, tuple[Array, ...], tuple[Array, ...]]

# Gauss-Legendre rules for an interval up to this share of the panel that resolves the kernel.
_RULES = tuple(
    (share, *np.polynomial.legendre.leggauss(order))
    for share, order in ((1 / 64, 5), (1 / 4, 10), (math.inf, 24))
)
_CHUNK = 4096


def _squeezed(x: Array) -> Array:
    """Shape (n,) for a single input, as callers expect it."""
    return x[:, 0] if x.shape[1] == 1 else x


# --------------------------------------------------------------------------- linear functionals


def _cell_integrals(kernel: MemoryKernel, cells: int, dt: float) -> tuple[Array, Array]:
    r"""Integrals over [c dt, (c+1) dt] of rho times the falling and the rising half of a hat.

    With u = s/dt - c: :math:`A_c = \int (1-u)\rho\,ds` and :math:`B_c = \int u\rho\,ds`. A cell in
    which the kernel turns sharply is cut at the kernel's own breakpoints.
    """
    panels = kernel._breakpoints()
    grid = dt * np.arange(cells + 1)
    # Pieces run from u to the next u of the same cell, or to its end. Their lengths come from u,
    # not from differences of lags, which would lose digits far out.
    cuts = panels[(panels > 0) & (panels < grid[-1])]
    cut_cell = np.searchsorted(grid, cuts, side="right") - 1
    cell = np.concatenate([np.arange(cells), cut_cell])
    begin = np.concatenate([np.zeros(cells), np.clip((cuts - grid[cut_cell]) / dt, 0.0, 1.0)])
    order = np.lexsort((begin, cell))
    cell, begin = cell[order], begin[order]
    end = np.where(np.append(np.diff(cell), 1) == 0, np.append(begin[1:], 1.0), 1.0)
    length = end - begin
    middle = grid[cell] + 0.5 * dt * (begin + end)
    panel = np.clip(np.searchsorted(panels, middle, side="right") - 1, 0, panels.size - 2)
    share = dt * length / np.diff(panels)[panel]
    falling, rising = np.zeros(cells), np.zeros(cells)
    finer = 0.0
    for coarser, nodes, weights in _RULES:
        chosen = np.flatnonzero((share > finer) & (share <= coarser))
        finer = coarser
        for start in range(0, chosen.size, _CHUNK):
            i = chosen[start : start + _CHUNK]
            u = begin[i, None] + length[i, None] * (0.5 + 0.5 * nodes)
            mass = 0.5 * dt * length[i, None] * weights * kernel(grid[cell[i], None] + dt * u)
            first, last = cell[i[0]], cell[i[-1]] + 1
            for sums, part in ((rising, mass * u), (falling, mass * (1 - u))):
                sums[first:last] += np.bincount(cell[i] - first, part.sum(axis=1))
    return falling, rising


def _sample_weights(kernel: MemoryKernel, n: int, dt: float, hold: str) -> tuple[Array, Array]:
    r"""Weights of the samples: :math:`y_k = \sum_{j<k} g_j x_{k-j} + e_k x_0`, shape (n, d) each.

    The first sample has its own weight e_k, since the path jumps from 0 to x_0 at t = 0.
    """
    weights, first = np.zeros((2, n, kernel.input_dim))
    for i, component in enumerate(kernel.components):
        falling, rising = _cell_integrals(component, n - 1, dt)
        first[1:, i] = rising if hold == "linear" else falling + rising
        weights[:-1, i] = falling if hold == "linear" else 0.0
    return weights + first, first


@dataclass(frozen=True, eq=False)
class LinearFunctional:
    r"""The relation that a memory kernel defines.

    .. math:: y_t = H_t(x) = \int_0^\infty x_{t-s}^\top \rho(s)\,ds.

    Parameters
    ----------
    rho : MemoryKernel
        The kernel, with d = ``rho.input_dim`` inputs.

    Notes
    -----
    Calling it, ``functional(x, dt, hold="linear")``, takes samples `x` of shape (n,) or (n, d)
    and returns y of shape (n,). The result is the integral of the interpolated input itself: the
    weight of a sample is the integral of the kernel against a hat (or a box for
    ``hold="constant"``), by Gauss-Legendre quadrature on the panels that resolve the kernel.
    Only lags up to (n - 1) dt enter. Cost: O(n) kernel values and O(n log n) for the convolution
    by FFT. Accuracy: about 1e-14 relative to the largest output, or machine epsilon x n dt x the
    kernel's fastest frequency when that is more.

    Raises ValueError for an input with the wrong number of coordinates or with missing samples.

    Source: the representation inside Theorem 3.1 of Li, Han, E and Li (ICLR 2021).

    Used in: ``book/framework/sequences-as-functionals.ipynb`` and
    ``book/framework/memory-kernel.ipynb``.
    """

    rho: MemoryKernel

    def __post_init__(self) -> None:
        if not isinstance(self.rho, MemoryKernel):
            raise ValueError(
                f"rho must be a MemoryKernel; got {type(self.rho).__name__}. "
                "Sampled values become one through SampledKernel(times, values)"
            )

    @property
    def input_dim(self) -> int:
        """Number d of input coordinates."""
        return self.rho.input_dim

    @property
    def norm(self) -> float:
        r"""The norm :math:`\sup_t \|H_t\| = \|\rho\|_1`."""
        return l1_norm(self.rho)

    def __call__(self, x: ArrayLike, dt: float, hold: str = "linear") -> Array:
        """Output y of shape (n,) for samples x of shape (n,) or (n, d)."""
        dt, hold, x = number("dt", dt, positive=True), hold_rule(hold), samples(x, self.input_dim)
        n = x.shape[0]
        weights, first = _sample_weights(self.rho, n, dt, hold)
        y = first @ x[0]
        for g, column in zip(weights.T, x.T, strict=True):
            used = np.flatnonzero(g)
            if used.size:
                y += signal.oaconvolve(np.append(0.0, column[1:]), g[: used[-1] + 1])[:n]
        y[0] = 0.0  # the FFT leaves rounding errors there
        return y


def worst_input(rho: MemoryKernel, horizon: float, dt: float) -> Array:
    r"""A continuous input, bounded by 1, whose last output comes close to the kernel's L1 norm.

    .. math::
       \begin{aligned}
       x_{T-s} &= \mathrm{sign}\,\rho(s), \\
       H_T(x) &\to \int_0^T |\rho(s)|_1\,ds \quad (dt \to 0).
       \end{aligned}

    Among the inputs that are piecewise linear on the grid k dt and bounded by 1, this is the best:
    each sample takes the sign of its weight. It starts from 0, as a continuous path must.

    Parameters
    ----------
    rho : MemoryKernel
        The kernel.
    horizon : float
        T > 0, rounded to a multiple of `dt`; what the norm holds beyond T is lost.
    dt : float
        Grid spacing; each change of sign costs about dt^2 times the slope of the kernel there.

    Returns
    -------
    ndarray, shape (n,) or (n, d)
        Samples with n = horizon / dt + 1. ``LinearFunctional(rho)(x, dt)[-1]`` is near the norm.

    Raises
    ------
    ValueError
        When the horizon is shorter than dt, or rho is no kernel.

    Source: the proof that a kernel's L1 norm is the norm of its functional (Riesz).

    Used in: ``book/framework/memory-kernel.ipynb``.
    """
    dt = number("dt", dt, positive=True)
    cells = round(number("horizon", horizon, positive=True) / dt)
    if cells < 1:
        raise ValueError(f"horizon must be at least dt = {dt!r}; got {horizon!r}")
    weights, _ = _sample_weights(LinearFunctional(rho).rho, cells + 1, dt, "linear")
    x = np.sign(weights)[::-1]
    x[0] = 0.0
    return _squeezed(x)


# --------------------------------------------------------------------------- counterexamples


@dataclass(frozen=True, eq=False)
class FuturePeek:
    r"""A smeared look ahead: :math:`y_t = \int_0^\infty x_{t+s}^\top \rho(s)\,ds`.

    Linear, continuous, regular and time-homogeneous, but not causal. Beyond the last sample the
    input counts as zero.

    Parameters
    ----------
    rho : MemoryKernel
        How the future is weighed.

    Used in: ``book/framework/sequences-as-functionals.ipynb``.
    """

    rho: MemoryKernel

    def __post_init__(self) -> None:
        LinearFunctional(self.rho)  # refuses what is no kernel

    def __call__(self, x: ArrayLike, dt: float, hold: str = "linear") -> Array:
        """Output y of shape (n,)."""
        x = samples(x, self.rho.input_dim)
        if hold_rule(hold) == "constant":  # the last sample lasts for no time at all
            x = np.roll(x, 1, axis=0)
        return LinearFunctional(self.rho)(x[::-1], dt, hold)[::-1]


@dataclass(frozen=True, eq=False)
class Clipped:
    r"""A relation whose output is cut off: :math:`y_t = \max(-b, \min(b, H_t(x)))`.

    It inherits causality, continuity, regularity and time-homogeneity from H, but not linearity.

    Parameters
    ----------
    relation : callable
        The relation H.
    limit : float
        b > 0, in units of the output.

    Used in: ``book/framework/sequences-as-functionals.ipynb``.
    """

    relation: Relation
    limit: float

    def __post_init__(self) -> None:
        number("limit", self.limit, positive=True)

    def __call__(self, x: ArrayLike, dt: float, **options: Any) -> Array:
        """Output y of shape (n,); options go to the relation."""
        return np.clip(self.relation(x, dt, **options), -self.limit, self.limit)


@dataclass(frozen=True, eq=False)
class PureDelay:
    r"""Point evaluation in the past: :math:`y_t = x_{t-D}`, summed over the input coordinates.

    Causal, linear, continuous and time-homogeneous, but not regular: narrower and narrower hats
    tend to zero at almost every time, and the output still reaches 1.

    Parameters
    ----------
    lag : float
        D >= 0, in units of time; it need not be a multiple of dt. D = 0 gives y = x.

    Used in: ``book/framework/sequences-as-functionals.ipynb``.
    """

    lag: float

    def __post_init__(self) -> None:
        number("lag", self.lag, nonnegative=True)

    def __call__(self, x: ArrayLike, dt: float, hold: str = "linear") -> Array:
        """Output y of shape (n,)."""
        dt, hold, total = number("dt", dt, positive=True), hold_rule(hold), samples(x).sum(axis=1)
        grid = np.arange(total.size)
        # Positions on the grid; those within rounding of a sample are meant to be that sample.
        position = grid - min(self.lag / dt, total.size)
        nearest = np.round(position)
        position = np.where(np.abs(position - nearest) < 1e-9, nearest, position)
        if hold == "constant":
            position = np.floor(position)
        return np.interp(position, grid, total, left=0.0)


@dataclass(frozen=True, eq=False)
class Clocked:
    r"""A relation that a clock multiplies: :math:`y_t = \cos(\nu t)\, H_t(x)`.

    It inherits causality, linearity, continuity and regularity from H, but not time-homogeneity:
    the same input gives another output at another hour.

    Parameters
    ----------
    relation : callable
        The relation H.
    frequency : float
        nu > 0, in radians per unit of time.

    Used in: ``book/framework/sequences-as-functionals.ipynb``.
    """

    relation: Relation
    frequency: float

    def __post_init__(self) -> None:
        number("frequency", self.frequency, positive=True)

    def __call__(self, x: ArrayLike, dt: float, **options: Any) -> Array:
        """Output y of shape (n,); options go to the relation."""
        y = np.asarray(self.relation(x, dt, **options))
        return np.cos(self.frequency * dt * np.arange(y.size)) * y


# --------------------------------------------------------------------------- probes


@dataclass(frozen=True, eq=False)
class Probe:
    """What a probe of one property found. A probe can refute a property; it never proves one.

    Attributes
    ----------
    name : str
        The property: causal, linear, continuous, regular or homogeneous.
    defect : float
        By how much the property failed in the worst trial (0 is perfect); each probe says how it
        measures.
    tolerance : float
        What rounding and finite grids can explain.
    passed : bool
        ``defect <= tolerance``: no trial refuted the property.
    witness : tuple of ndarray
        The inputs of the worst trial, to plot or to try again.
    steps : tuple of float
        The sampling interval of each witness.
    values : ndarray
        The numbers behind the defect, one for each trial or each refinement.
    reason : str
        The finding in words.

    Used in: ``probe_all`` and the five single probes.
    """

    name: str
    defect: float
    tolerance: float
    passed: bool
    witness: tuple[Array, ...]
    steps: tuple[float, ...]
    values: Array
    reason: str


def _rounding(length: int) -> float:
    """What rounding explains: n eps, and a thousandfold for states larger than the output."""
    return 1e3 * length * np.finfo(float).eps


def _check_probe(dt: float, length: int, input_dim: int, trials: int) -> float:
    whole = all(isinstance(count, (int, np.integer)) for count in (length, input_dim, trials))
    if not whole or length < 16 or input_dim < 1 or trials < 1:
        raise ValueError(
            "a probe needs whole numbers length >= 16, input_dim >= 1 and trials >= 1; "
            f"got {length}, {input_dim} and {trials}"
        )
    return number("dt", dt, positive=True)


def _random_input(rng: np.random.Generator, n: int, input_dim: int, trial: int) -> Array:
    """A smooth path or, in every other trial, a staircase; 0 at both ends, supremum norm 1."""
    if trial % 2 == 0:
        phase = np.linspace(0.0, 2 * np.pi, n)
        waves = rng.normal(size=(2, input_dim, 6))
        cycles = rng.uniform(0.5, max(2.0, n / 20), size=(input_dim, 6))
        angle = phase[:, None, None] * cycles
        x = (waves[0] * np.cos(angle) + waves[1] * np.sin(angle)).sum(axis=2)
        x *= np.sin(phase / 2)[:, None] ** 2
    else:
        levels = rng.uniform(-1.0, 1.0, size=(10, input_dim))
        x = levels[np.minimum(np.arange(n) * 10 // n, 9)]
    x[0] = x[-1] = 0.0
    return x / np.abs(x).max()


def _output(relation: Relation, x: Array, dt: float) -> Array:
    """The relation's output, checked for shape; what overflows or is undefined shows as inf.

    Input and output are copies: a relation may work in place or reuse its buffers.
    """
    with np.errstate(all="ignore"):
        y = np.array(relation(_squeezed(x.copy()), dt), dtype=np.float64)
    if y.shape != (x.shape[0],):
        raise ValueError(
            f"a relation must return y of shape ({x.shape[0]},) for {x.shape[0]} samples; "
            f"got {y.shape}"
        )
    y[np.isnan(y)] = np.inf
    return y


def _verdict(
    name: str,
    defect: float,
    tolerance: float,
    witness: list[tuple[Array, float]],
    values: ArrayLike,
    kept: str,
    broken: str,
) -> Probe:
    """Assemble a probe; the witness lists inputs with their sampling intervals."""
    passed = bool(defect <= tolerance)
    reason = f"not refuted: {kept}" if passed else f"refuted: {broken}"
    inputs, steps = zip(*((_squeezed(x), step) for x, step in witness), strict=True)
    return Probe(
        name, float(defect), float(tolerance), passed, inputs, steps, np.array(values), reason
    )


def _compare(
    name: str,
    broken: str,
    attempt: Callable[[int], _Trial],
    trials: int,
    dt: float,
    tolerance: float | None,
) -> Probe:
    """Probe by trials. Where an output overflows there is nothing to compare."""

    def largest(y: Array) -> float:
        return float(np.abs(y[np.isfinite(y)]).max(initial=0.0))

    defects, witnesses = [], []
    for trial in range(trials):
        with np.errstate(over="ignore", invalid="ignore"):
            difference, outputs, inputs = attempt(trial)
        worst = largest(difference)
        defects.append(worst / max(map(largest, outputs)) if worst else 0.0)
        witnesses.append(inputs)
    top = int(np.argmax(defects))
    return _verdict(
        name,
        defects[top],
        _rounding(len(witnesses[top][0])) if tolerance is None else tolerance,
        [(x, dt) for x in witnesses[top]],
        defects,
        f"the largest defect of {trials} trials, {defects[top]:.1e}, is rounding",
        f"{broken}, by {defects[top]:.2g} of the output",
    )


def probe_causality(
    relation: Relation,
    rng: np.random.Generator,
    *,
    dt: float = 0.05,
    length: int = 400,
    input_dim: int = 1,
    trials: int = 8,
    tolerance: float | None = None,
) -> Probe:
    r"""Probe causality: inputs that agree up to time t must give equal outputs up to t.

    .. math::
       \begin{aligned}
       \mathrm{defect} = {} &\max_{s \le t} |H_s(x) - H_s(x')| \\
       &\,/\, \max_s (|H_s(x)|, |H_s(x')|)
       \end{aligned}

    for pairs of random inputs with :math:`x_s = x'_s` for :math:`s \le t`. Times at which
    an output overflows don't count, in this probe and those of linearity and homogeneity.

    Parameters
    ----------
    relation : callable
        The relation ``relation(x, dt) -> y``.
    rng : numpy.random.Generator
        Source of the random inputs.
    dt : float
        Sampling interval.
    length : int
        Samples of an input, at least 16. A look ahead beyond length * dt goes unseen.
    input_dim : int
        Number of input coordinates.
    trials : int
        Number of pairs.
    tolerance : float, optional
        Largest defect that counts as rounding; by default 1,000 * length * machine epsilon.

    Returns
    -------
    Probe
        A probe can refute causality and never proves it. The witness is the worst pair.

    Raises
    ------
    ValueError
        For a nonsensical dt, length, input_dim or trials, or a relation that returns another
        shape than (n,).

    Source: Definition 2.1 of Li, Han, E and Li (ICLR 2021).

    Used in: ``probe_all``.
    """
    dt = _check_probe(dt, length, input_dim, trials)

    def attempt(trial: int) -> _Trial:
        x, other = (_random_input(rng, length, input_dim, trial) for _ in range(2))
        split = int(rng.integers(length // 4, 3 * length // 4))
        other[: split + 1] = x[: split + 1]
        y, z = _output(relation, x, dt), _output(relation, other, dt)
        return (y - z)[: split + 1], (y, z), (x, other)

    broken = "the output changes before the input does"
    return _compare("causal", broken, attempt, trials, dt, tolerance)


def probe_linearity(
    relation: Relation,
    rng: np.random.Generator,
    *,
    dt: float = 0.05,
    length: int = 400,
    input_dim: int = 1,
    trials: int = 8,
    tolerance: float | None = None,
) -> Probe:
    r"""Probe linearity: H(a x + b x') must be a H(x) + b H(x').

    .. math::
       \begin{aligned}
       \mathrm{defect} = {} &\max_t |H_t(ax+bx') \\
       &\qquad {} - aH_t(x) - bH_t(x')| \\
       &\,/\, \max_t (|H_t(ax+bx')|, \\
       &\qquad |a H_t(x)|, |b H_t(x')|)
       \end{aligned}

    for random inputs of norm 1 and random factors between 0.01 and 100 in modulus, so that both
    small and large amplitudes are tried.

    Parameters
    ----------
    relation, rng, dt, length, input_dim, trials, tolerance
        As for :func:`probe_causality`.

    Returns
    -------
    Probe
        A probe can refute linearity and never proves it. The witness is (x, x', a x + b x').

    Raises
    ------
    ValueError
        As for :func:`probe_causality`.

    Source: Definition 2.1 of Li, Han, E and Li (ICLR 2021).

    Used in: ``book/framework/sequences-as-functionals.ipynb``.
    """
    dt = _check_probe(dt, length, input_dim, trials)

    def attempt(trial: int) -> _Trial:
        x, other = (_random_input(rng, length, input_dim, trial) for _ in range(2))
        # The exponents run through the range, so that no seed leaves out large amplitudes.
        size = 10.0 ** (4 * (trial + rng.uniform(size=2)) / trials - 2)
        a, b = size * rng.choice([-1.0, 1.0], size=2)
        mixed = a * x + b * other
        together = _output(relation, mixed, dt)
        first, second = a * _output(relation, x, dt), b * _output(relation, other, dt)
        return together - first - second, (together, first, second), (x, other, mixed)

    broken = "the sum's output isn't the outputs' sum"
    return _compare("linear", broken, attempt, trials, dt, tolerance)


def probe_homogeneity(
    relation: Relation,
    rng: np.random.Generator,
    *,
    dt: float = 0.05,
    length: int = 400,
    input_dim: int = 1,
    trials: int = 8,
    tolerance: float | None = None,
) -> Probe:
    r"""Probe time-homogeneity: a later input must give the same output, later.

    .. math::
       \begin{aligned}
       \mathrm{defect} = {} &\max_t |H_{t+\tau}(x_{\cdot-\tau}) - H_t(x)| \\
       &\,/\, \max_t (|H_t(x)|, |H_t(x_{\cdot-\tau})|)
       \end{aligned}

    for random inputs that live in the first half of the window, and random shifts tau by whole
    samples that keep them inside it.

    Parameters
    ----------
    relation, rng, dt, length, input_dim, trials, tolerance
        As for :func:`probe_causality`.

    Returns
    -------
    Probe
        A probe can refute time-homogeneity and never proves it: a clock whose period divides
        every shift goes unseen. The witness is the worst (x, shifted x).

    Raises
    ------
    ValueError
        As for :func:`probe_causality`.

    Source: Definition 2.1 of Li, Han, E and Li (ICLR 2021).

    Used in: ``probe_all``.
    """
    dt = _check_probe(dt, length, input_dim, trials)
    half = length // 2

    def attempt(trial: int) -> _Trial:
        x, late = np.zeros((2, length, input_dim))
        x[:half] = _random_input(rng, half, input_dim, trial)
        shift = int(rng.integers(1, length - half))
        late[shift:] = x[:-shift]
        y, z = _output(relation, x, dt), _output(relation, late, dt)
        return z[shift:] - y[:-shift], (y, z), (x, late)

    broken = "a shifted input gives another output"
    return _compare("homogeneous", broken, attempt, trials, dt, tolerance)


def probe_regularity(
    relation: Relation,
    rng: np.random.Generator,
    *,
    dt: float = 0.05,
    length: int = 400,
    input_dim: int = 1,
    refinements: int = 6,
    tolerance: float = 0.8,
) -> Probe:
    r"""Probe regularity: ever narrower hats of height 1 must leave no trace in the output.

    On the grids dt, dt/2, dt/4, ... the input is 1 at two neighbouring samples that begin at one
    fixed random time, and 0 elsewhere. (Two, so that sampling can't miss the top of a delayed
    hat.) The sequence is bounded and tends to 0 at every other time, so a regular relation's
    outputs tend to 0. Each output is read at all times, so that each lag is tried. With
    :math:`\sigma_j` the largest modulus on grid j,

    .. math:: \mathrm{defect} = \sqrt{\sigma_J / \sigma_{J-2}},

    the last factor by which a refinement reduces the output: 1/2 for a bounded kernel, 0.71 for
    one that is infinite like :math:`s^{-1/2}`, 1 for a point evaluation.

    Parameters
    ----------
    relation, rng, dt, length, input_dim
        As for :func:`probe_causality`.
    refinements : int
        Number of grids, at least 3.
    tolerance : float
        Largest factor that counts as a decay.

    Returns
    -------
    Probe
        A probe can refute regularity and never proves it, and it sees no finer than its last
        grid: there a kernel narrower than dt / 2^(refinements - 1) looks like a pure delay.
        ``values`` are the sigma_j, and the witness is the sequence of hats.

    Raises
    ------
    ValueError
        As for :func:`probe_causality`; for fewer than 3 refinements.

    Source: Definition 2.1 of Li, Han, E and Li (ICLR 2021), read with bounded sequences.

    Used in: ``book/framework/sequences-as-functionals.ipynb``.
    """
    dt = _check_probe(dt, length, input_dim, 1)
    if refinements < 3:
        raise ValueError(f"refinements must be at least 3, to see a decay; got {refinements}")
    place = int(rng.integers(length // 8, length // 4))
    steps = [dt / 2**j for j in range(refinements)]

    def decay(i: int) -> tuple[float, Array, list[Array]]:
        """The last factor for hats in coordinate i, the sizes of the outputs, the hats."""
        hats = [np.zeros((length * 2**j, input_dim)) for j in range(refinements)]
        for j, x in enumerate(hats):
            x[place * 2**j : place * 2**j + 2, i] = 1.0
        sizes = np.array(
            [np.abs(_output(relation, x, h)).max() for x, h in zip(hats, steps, strict=True)]
        )
        if np.isinf(sizes).any():
            return math.inf, sizes, hats
        # Outputs that are nothing but rounding have vanished.
        trace = sizes[-1] > _rounding(length) * sizes.max() > 0
        return math.sqrt(sizes[-1] / max(sizes[-3], 1e-300)) if trace else 0.0, sizes, hats

    defect, sizes, hats = max((decay(i) for i in range(input_dim)), key=lambda found: found[0])
    found = (
        f"hats of width {dt:.2g} to {steps[-1]:.2g} leave outputs of "
        f"{sizes[0]:.2g} to {sizes[-1]:.2g}, at the end times {defect:.2f} a halving"
    )
    witness = list(zip(hats, steps, strict=True))
    return _verdict("regular", defect, tolerance, witness, sizes, found, found)


def _provoke(relation: Relation, n: int, dt: float, input_dim: int) -> Array:
    """The near-worst input of a relation, were it linear: the signs of its weights, reversed."""
    x = np.zeros((n, input_dim))
    for i in range(input_dim):
        pulse = np.zeros((n, input_dim))
        pulse[1, i] = 1.0
        x[:-1, i] = np.sign(_output(relation, pulse, dt)[1:])[::-1]
    x[0] = 0.0
    return x


def probe_continuity(
    relation: Relation,
    rng: np.random.Generator,
    *,
    dt: float = 0.05,
    length: int = 400,
    input_dim: int = 1,
    trials: int = 2,
    tolerance: float = 0.4,
) -> Probe:
    r"""Probe continuity: the gain :math:`\sup_t |H_t(x)| / \|x\|` must stay bounded.

    For a linear relation bounded gain is continuity. The gain is measured on random inputs and on
    the reversed signs of the relation's answer to a hat, which for a linear relation is nearly
    the worst input there is. Four ladders are climbed: amplitudes down to 1e-6, amplitudes up to
    1e6, grids down to dt/8, and windows up to 8 times as long. With G the gain,

    .. math::
       \begin{aligned}
       &\mathrm{defect} \\
       &\quad = \max_{\text{ladders}} \frac{\log (G_{\text{upper half}} /
                G_{\text{lower half}})}{\log (\text{factor between them})},
       \end{aligned}

    with the largest gain among the rungs of each half: a single lucky or unlucky input does not
    decide. In the limit it is at most 0 when the gain is bounded; it is 1 for a derivative (grids),
    an integrator (windows) or a square (amplitudes), and infinite when an output overflows. A
    :class:`LinearFunctional` must also keep its gain below its norm.

    Parameters
    ----------
    relation, rng, dt, length, input_dim, trials
        As for :func:`probe_causality`; `trials` counts the random inputs on each rung.
    tolerance : float
        Largest exponent that counts as bounded. A gain that still rises towards its bound, as
        with a power-law kernel, shows a small exponent; over windows much shorter than the memory
        (length * dt), a functional looks like an integrator and is refuted.

    Returns
    -------
    Probe
        A probe can refute continuity and never proves it. ``values`` are the exponents for small
        amplitudes, large amplitudes, grids and windows; the witness is the input with the largest
        gain on the ladder that rose most.

    Raises
    ------
    ValueError
        As for :func:`probe_causality`.

    Source: Definition 2.1 of Li, Han, E and Li (ICLR 2021).

    Used in: ``book/framework/sequences-as-functionals.ipynb`` and
    ``book/framework/recurrent-networks.ipynb``.
    """
    dt = _check_probe(dt, length, input_dim, trials)

    def gain(n: int, step: float, amplitude: float) -> tuple[float, Array, float]:
        inputs = [_random_input(rng, n, input_dim, trial) for trial in range(trials)]
        inputs = [amplitude * x for x in (*inputs, _provoke(relation, n, step, input_dim))]
        found = [np.abs(_output(relation, x, step)).max() / amplitude for x in inputs]
        best = int(np.argmax(found))
        return float(found[best]), inputs[best], step

    ladders = {
        "amplitudes fall": (1e4, [(length, dt, 10.0**-k) for k in (0, 2, 4, 6)]),
        "amplitudes rise": (1e4, [(length, dt, 10.0**k) for k in (0, 2, 4, 6)]),
        "grids get finer": (4.0, [(length * k, dt / k, 1.0) for k in (1, 2, 4, 8)]),
        "windows get longer": (4.0, [(length * k, dt, 1.0) for k in (1, 2, 4, 8)]),
    }
    exponents, peaks = [], []
    for factor, rungs in ladders.values():
        climbed = [gain(*rung) for rung in rungs]
        peaks.append(max(climbed, key=lambda rung: rung[0]))
        lower, upper = (max(g for g, *_ in half) for half in (climbed[:2], climbed[2:]))
        # A gain of 0 counts as tiny; an output that overflowed, on any rung, is unbounded.
        growth = math.log(upper or 1e-300) - math.log(lower or 1e-300)
        exponents.append(math.inf if math.isinf(peaks[-1][0]) else growth / math.log(factor))
    top = int(np.argmax(exponents))
    defect = max(0.0, exponents[top])
    largest = max(g for g, *_ in peaks)
    kept = f"the largest gain was {largest:.4g}"
    broken = f"the gain grows with exponent {defect:.2g} as {list(ladders)[top]}"
    if isinstance(relation, LinearFunctional):
        norm = relation.norm
        kept, broken = (f"{text}; the norm is {norm:.4g}" for text in (kept, broken))
        if largest > norm * (1 + 1e-8):
            defect, broken = math.inf, f"{kept}, which is less than the gain"
    return _verdict("continuous", defect, tolerance, [peaks[top][1:]], exponents, kept, broken)


def probe_all(
    relation: Relation,
    rng: np.random.Generator,
    *,
    dt: float = 0.05,
    length: int = 400,
    input_dim: int = 1,
) -> dict[str, Probe]:
    """Probe all the properties of Definition 2.1.

    Parameters
    ----------
    relation, rng, dt, length, input_dim
        As for :func:`probe_causality`.

    Returns
    -------
    dict of Probe
        Under the keys causal, linear, continuous, regular and homogeneous. A probe can refute a
        property and never proves one.

    Source: Definition 2.1 of Li, Han, E and Li (ICLR 2021).

    Used in: ``book/framework/sequences-as-functionals.ipynb`` and
    ``book/framework/recurrent-networks.ipynb``.
    """
    probes = (
        probe_causality,
        probe_linearity,
        probe_continuity,
        probe_regularity,
        probe_homogeneity,
    )
    found = [probe(relation, rng, dt=dt, length=length, input_dim=input_dim) for probe in probes]
    return {probe.name: probe for probe in found}


# --------------------------------------------------------------------------- from outside


def white_noise(n: int, dt: float, rng: np.random.Generator, input_dim: int = 1) -> Array:
    r"""Sampled continuous-time white noise: independent N(0, 1/dt), to be held constant.

    With this scaling the output of a linear functional has a variance that does not depend on the
    grid: :math:`\mathrm{Var}\,y_t \to \|\rho\|_2^2` as dt -> 0 and t -> inf. (With N(0, 1)
    samples it would vanish like dt.)

    Parameters
    ----------
    n : int
        Number of samples, at least 1.
    dt : float
        Sampling interval; use the same, and ``hold="constant"``, in the simulation.
    rng : numpy.random.Generator
        Source of the noise.
    input_dim : int
        Number of independent coordinates.

    Returns
    -------
    ndarray, shape (n,) or (n, input_dim)
        Samples, in units of 1/sqrt(time).

    Raises
    ------
    ValueError
        For n or input_dim below 1, or a nonsensical dt.

    Used in: ``book/framework/memory-kernel.ipynb``.
    """
    dt = number("dt", dt, positive=True)
    if n < 1 or input_dim < 1:
        raise ValueError(f"n and input_dim must be at least 1; got {n} and {input_dim}")
    return _squeezed(rng.normal(scale=1 / math.sqrt(dt), size=(n, input_dim)))


@dataclass(frozen=True, eq=False)
class MemoryFunction:
    """A memory function M(t), exact or measured; call it to evaluate it.

    Attributes
    ----------
    lags : ndarray
        Lags at which it is tabulated.
    values : ndarray
        M at those lags.
    kernel : MemoryKernel or None
        For a linear model its kernel: then the call is exact at any lag t >= 0. Without one the
        call interpolates linearly between the lags and refuses to extrapolate (ValueError).

    Used in: ``memory_function``.
    """

    lags: Array
    values: Array
    kernel: MemoryKernel | None = None

    def __call__(self, t: ArrayLike) -> Array:
        """M(t), of the shape of t."""
        if self.kernel is not None:
            return _size(self.kernel, t)
        t = np.asarray(t, dtype=np.float64)
        if not ((t >= self.lags[0]) & (t <= self.lags[-1])).all():
            raise ValueError(
                f"the memory function was measured on lags {self.lags[0]:g} to "
                f"{self.lags[-1]:g} only; measure again with more lags to go beyond"
            )
        return np.interp(t, self.lags, self.values)


def _size(kernel: MemoryKernel, t: ArrayLike) -> Array:
    """|rho(t)|_1, the sum over the input coordinates."""
    values = np.abs(kernel(t))
    return values if kernel.input_dim == 1 else values.sum(axis=-1)


def memory_function(
    model: Any,
    lags: ArrayLike | None = None,
    dt: float | None = None,
    *,
    input_dim: int | None = None,
    amplitudes: ArrayLike | None = None,
) -> MemoryFunction:
    r"""Memory function of a model or a relation: how a switched-on constant is still felt later.

    .. math::
       \begin{aligned}
       M(t) &= \sup_{x \neq 0} \frac{1}{|x|_\infty}
               \left| \frac{d}{dt} H_t(x\,1_{t \ge 0}) \right|, \\
       x &\in R^d.
       \end{aligned}

    For a linear model the step's derivative is :math:`x^\top\rho(t)`, so that
    :math:`M(t) = |\rho(t)|_1`, reached at a vector of signs: exact, from the model alone. For any
    other model it is measured: steps in all 2^d sign directions and with a range of amplitudes
    are simulated, and their derivative is taken by second-order differences.

    Parameters
    ----------
    model : LinearRNN, LinearFunctional, MemoryKernel, TanhRNN or relation
        What to measure; a relation is a callable ``relation(x, dt) -> y``.
    lags : array_like, shape (n,), optional
        Lags at which to tabulate, increasing, >= 0. By default the panels that resolve a linear
        model's kernel; needed for a relation. A TanhRNN with a Hurwitz W gets ten times the
        slowest time constant of its linearisation at rest.
    dt : float, optional
        Sampling interval of the measurement; needed for a relation. It also bounds the accuracy:
        the error is of order dt^2. Linear models ignore it.
    input_dim : int, optional
        Number d of inputs of a relation, at most 8; by default the model's own, else 1.
    amplitudes : array_like, optional
        Amplitudes ``|x|`` to try, positive; by default 13 from 1e-3 to 1e3.

    Returns
    -------
    MemoryFunction
        With ``.lags`` and ``.values``; callable. A measured one takes the largest of finitely
        many inputs, so it is a lower bound of M up to the differences' error.

    Raises
    ------
    ValueError
        When lags or dt are missing where they are needed, or make no sense; for d > 8; when an
        output overflows.

    Notes
    -----
    Cost of a measurement: 2^d x amplitudes simulations up to the last lag.

    Source: the memory function of Wang, Li and Li (ICLR 2024), Definition 3.1.

    Used in: ``book/framework/memory-kernel.ipynb``.
    """
    kernel = model.rho if isinstance(model, LinearFunctional) else getattr(model, "kernel", model)
    if kernel is not model and inspect.ismethod(kernel):  # a network builds its kernel
        kernel = kernel()
    linear = isinstance(kernel, MemoryKernel)
    relation = getattr(model, "simulate", model)
    if not linear and not callable(relation):
        raise ValueError(
            f"cannot measure a {type(model).__name__}; give a model, a kernel or a callable "
            "relation(x, dt) -> y"
        )
    if lags is None:
        lags, dt = _default_lags(kernel if linear else model, dt)
    lags = np.atleast_1d(real_array("lags", lags))
    if lags.ndim != 1 or not (np.diff(lags) > 0).all() or not (lags >= 0).all() or not lags.size:
        raise ValueError("lags must be one or more increasing numbers >= 0")
    if linear:
        return MemoryFunction(lags, _size(kernel, lags), kernel)
    if dt is None:
        raise ValueError("dt is needed to measure a memory function; give the sampling interval")
    dt = number("dt", dt, positive=True)
    d = getattr(model, "input_dim", 1) if input_dim is None else input_dim
    if not 1 <= d <= 8:
        raise ValueError(
            f"2^d step directions are tried, for d up to 8; input_dim must be 1 to 8; got {d}"
        )
    sizes = np.geomspace(1e-3, 1e3, 13) if amplitudes is None else amplitudes
    sizes = np.ravel(real_array("amplitudes", sizes))
    if not (sizes > 0).all() or not sizes.size:
        raise ValueError(f"amplitudes must be positive and finite; got {amplitudes!r}")
    n = max(3, math.ceil(lags[-1] / dt) + 2)
    largest = np.zeros(n)
    for signs in product((1.0, -1.0), repeat=d):
        for size in sizes:
            y = _output(relation, np.tile(size * np.array(signs), (n, 1)), dt)
            if not np.isfinite(y).all():
                raise ValueError(
                    f"the output for a step of size {size:g} overflows; give smaller amplitudes "
                    "or lags"
                )
            largest = np.maximum(largest, np.abs(np.gradient(y, dt, edge_order=2)) / size)
    return MemoryFunction(lags, np.interp(lags, dt * np.arange(n), largest))


def _default_lags(model: Any, dt: float | None) -> tuple[Array, float | None]:
    """Lags that resolve a kernel, or a network's linearisation at rest, dh/dt = W h; its step."""
    if isinstance(model, MemoryKernel):
        panels = np.unique(np.concatenate([k._breakpoints() for k in model.components]))
        return np.interp(np.arange(8 * panels.size - 7) / 8, np.arange(panels.size), panels), dt
    rates = -np.linalg.eigvals(getattr(model, "W", [[1.0]]))
    if rates.real.min() <= 0:
        raise ValueError(
            "lags are needed for a relation, or for a model whose W has an eigenvalue with real "
            "part >= 0; give lags=... and dt=..."
        )
    dt = 0.02 / np.abs(rates).max() if dt is None else number("dt", dt, positive=True)
    cells = math.ceil(10 / rates.real.min() / dt)
    if cells > 100_000:
        raise ValueError(
            f"the model's time constants ask for {cells} steps; give lags=... and dt=..."
        )
    return dt * np.arange(cells + 1), dt
