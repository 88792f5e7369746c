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

from curse_lib._checks import hold_rule, number, samples
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

# Gauss-Legendre rules for an interval up to this share of the panel that resolves the kernel.
_RULES = tuple(
    (share, *np.polynomial.legendre.leggauss(order))
    for share, order in ((1 / 64, 5), (1 / 4, 10), (math.inf, 24))
)
_CHUNK = 4096


# --------------------------------------------------------------------------- checking input


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
    weights, first = np.zeros((n, kernel.input_dim)), np.zeros((n, kernel.input_dim))
    if n == 1:
        return weights, first
    for i, component in enumerate(kernel.components):
        falling, rising = _cell_integrals(component, n - 1, dt)
        if hold == "linear":
            weights[:-1, i] = falling
            weights[1:, i] += rising
            first[1:, i] = rising
        else:
            weights[1:, i] = falling + rising
            first[1:, i] = weights[1:, i]
    return weights, first


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
        later = x.copy()
        later[0] = 0.0
        for g, column in zip(weights.T, later.T, strict=True):
            used = np.flatnonzero(g)
            if used.size:
                y += signal.oaconvolve(column, g[: used[-1] + 1])[:n]
        y[0] = 0.0  # the FFT leaves rounding errors there
        return y


def worst_input(rho: MemoryKernel, horizon: float, dt: float) -> Array:
    r"""A continuous input, bounded by 1, whose last output comes close to the kernel's L1 norm.

    .. math:: x_{T-s} = \mathrm{sign}\,\rho(s), \qquad
              H_T(x) \to \int_0^T |\rho(s)|_1\,ds \quad (dt \to 0).

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
        When the horizon is shorter than dt.

    Source: the proof that a kernel's L1 norm is the norm of its functional (Riesz).

    Used in: ``book/framework/memory-kernel.ipynb``.
    """
    dt = number("dt", dt, positive=True)
    cells = round(number("horizon", horizon, positive=True) / dt)
    if cells < 1:
        raise ValueError(f"horizon must be at least dt = {dt!r}; got {horizon!r}")
    weights, _ = _sample_weights(rho, cells + 1, dt, "linear")
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

    def __call__(self, x: ArrayLike, dt: float, hold: str = "linear") -> Array:
        """Output y of shape (n,)."""
        x = samples(x, self.rho.input_dim)
        if hold_rule(hold) == "constant":  # the last sample lasts for no time at all
            x = np.roll(x, 1, axis=0)
        return LinearFunctional(self.rho)(x[::-1], dt, hold)[::-1]


@dataclass(frozen=True, eq=False)
class Clipped:
    r"""A relation whose output is cut off: :math:`y_t = \max(-c, \min(c, H_t(x)))`.

    It inherits causality, continuity, regularity and time-homogeneity from H, but not linearity.

    Parameters
    ----------
    relation : callable
        The relation H.
    limit : float
        c > 0, in units of the output.

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
        if self.lag != 0:
            number("lag", self.lag, positive=True)

    def __call__(self, x: ArrayLike, dt: float, hold: str = "linear") -> Array:
        """Output y of shape (n,)."""
        dt, hold, total = number("dt", dt, positive=True), hold_rule(hold), samples(x).sum(axis=1)
        # Positions on the grid; those within rounding of a sample are meant to be that sample.
        position = np.arange(total.size) - self.lag / dt
        nearest = np.round(position)
        position = np.where(np.abs(position - nearest) < 1e-9, nearest, position)
        before = np.floor(position).astype(int)
        fraction = position - before if hold == "linear" else np.zeros(total.size)
        after = np.minimum(before + 1, total.size - 1)
        y = (1 - fraction) * total[np.maximum(before, 0)] + fraction * total[np.maximum(after, 0)]
        return np.where(before >= 0, y, 0.0)


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
    dt = number("dt", dt, positive=True)
    if length < 16 or input_dim < 1 or trials < 1:
        raise ValueError(
            "a probe needs length >= 16, input_dim >= 1 and trials >= 1; "
            f"got {length}, {input_dim} and {trials}"
        )
    return dt


def _random_input(rng: np.random.Generator, n: int, input_dim: int, smooth: bool) -> Array:
    """A smooth path or a staircase, zero at both ends, with supremum norm 1."""
    if smooth:
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
    """The relation's output, checked for shape; overflow shows as inf or nan, not as a warning."""
    with np.errstate(over="ignore", invalid="ignore"):
        y = np.asarray(relation(_squeezed(x), dt), dtype=np.float64)
    if y.shape != (x.shape[0],):
        raise ValueError(
            f"a relation must return y of shape ({x.shape[0]},) for {x.shape[0]} samples; "
            f"got {y.shape}"
        )
    return y


def _relative(difference: Array, scale: float) -> float:
    """Largest modulus of a difference relative to the outputs' own size."""
    if not (np.isfinite(difference).all() and math.isfinite(scale)):
        return math.inf
    worst = np.abs(difference).max(initial=0.0)
    return 0.0 if worst == 0 else float(worst / scale)


def _verdict(
    name: str,
    defects: list[float],
    tolerance: float | None,
    witnesses: list[tuple[Array, ...]],
    dt: float,
    refuted: str,
) -> Probe:
    """Assemble a probe from the relative defects of its trials."""
    tolerance = _rounding(max(x.shape[0] for x in witnesses[0])) if tolerance is None else tolerance
    worst = int(np.argmax(defects))
    defect = float(defects[worst])
    passed = bool(defect <= tolerance)
    if passed:
        reason = (
            f"not refuted: the largest defect of {len(defects)} trials, {defect:.1e}, is rounding"
        )
    else:
        reason = f"refuted: {refuted}, by {defect:.2g} of the output"
    witness = tuple(_squeezed(x) for x in witnesses[worst])
    steps = (dt,) * len(witness)
    return Probe(name, defect, tolerance, passed, witness, steps, np.array(defects), reason)


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

    .. math:: \mathrm{defect} = \max_{s \le t} |H_s(x) - H_s(x')| \,/\, \max_s (|H_s(x)|, |H_s(x')|)

    for pairs of random inputs with :math:`x_s = x'_s` for :math:`s \le t`.

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
    defects, witnesses = [], []
    for trial in range(trials):
        x = _random_input(rng, length, input_dim, trial % 2 == 0)
        other = _random_input(rng, length, input_dim, trial % 2 == 0)
        split = int(rng.integers(length // 4, 3 * length // 4))
        other[: split + 1] = x[: split + 1]
        y, z = _output(relation, x, dt), _output(relation, other, dt)
        scale = max(np.abs(y).max(), np.abs(z).max())
        defects.append(_relative((y - z)[: split + 1], scale))
        witnesses.append((x, other))
    return _verdict(
        "causal", defects, tolerance, witnesses, dt, "the output changes before the input does"
    )


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

    .. math:: \mathrm{defect} = \max_t |H_t(ax+bx') - aH_t(x) - bH_t(x')|
              \,/\, \max_t (|H_t(ax+bx')|, |a H_t(x)|, |b H_t(x')|)

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
    defects, witnesses = [], []
    for trial in range(trials):
        x, other = (_random_input(rng, length, input_dim, trial % 2 == 0) for _ in range(2))
        # The exponents run through the range, so that no seed leaves out large amplitudes.
        size = 10.0 ** (4 * (trial + rng.uniform(size=2)) / trials - 2)
        a, b = size * rng.choice([-1.0, 1.0], size=2)
        mixed = a * x + b * other
        together = _output(relation, mixed, dt)
        apart = a * _output(relation, x, dt), b * _output(relation, other, dt)
        scale = max(np.abs(y).max() for y in (together, *apart))
        defects.append(_relative(together - apart[0] - apart[1], scale))
        witnesses.append((x, other, mixed))
    return _verdict(
        "linear", defects, tolerance, witnesses, dt, "the sum's output isn't the outputs' sum"
    )


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

    .. math:: \mathrm{defect} = \max_t |H_{t+\tau}(x_{\cdot-\tau}) - H_t(x)|
              \,/\, \max_t (|H_t(x)|, |H_t(x_{\cdot-\tau})|)

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
    defects, witnesses = [], []
    half = length // 2
    for trial in range(trials):
        x, late = np.zeros((2, length, input_dim))
        x[:half] = _random_input(rng, half, input_dim, trial % 2 == 0)
        shift = int(rng.integers(1, length - half))
        late[shift:] = x[:-shift]
        y, z = _output(relation, x, dt), _output(relation, late, dt)
        scale = max(np.abs(y).max(), np.abs(z).max())
        defects.append(_relative(z[shift:] - y[:-shift], scale))
        witnesses.append((x, late))
    return _verdict(
        "homogeneous", defects, tolerance, witnesses, dt, "a shifted input gives another output"
    )


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
    worst: tuple[float, Array, list[Array]] | None = None
    for i in range(input_dim):
        hats, sizes = [], []
        for j in range(refinements):
            x = np.zeros((length * 2**j, input_dim))
            x[place * 2**j : place * 2**j + 2, i] = 1.0
            hats.append(x)
            sizes.append(np.abs(_output(relation, x, dt / 2**j)).max())
        sizes = np.array(sizes)
        if not np.isfinite(sizes).all():
            factor = math.inf
        else:  # outputs that are nothing but rounding have vanished
            trace = sizes[-1] > _rounding(length) * sizes.max() > 0
            factor = math.sqrt(sizes[-1] / max(sizes[-3], 1e-300)) if trace else 0.0
        if worst is None or factor > worst[0]:
            worst = factor, sizes, hats
    defect, sizes, hats = worst
    passed = bool(defect <= tolerance)
    found = (
        f"hats of width {dt:.2g} to {dt / 2 ** (refinements - 1):.2g} leave outputs of "
        f"{sizes[0]:.2g} to {sizes[-1]:.2g}, at the end times {defect:.2f} a halving"
    )
    return Probe(
        "regular",
        float(defect),
        tolerance,
        passed,
        tuple(_squeezed(x) for x in hats),
        tuple(dt / 2**j for j in range(refinements)),
        sizes,
        ("not refuted: " if passed else "refuted: ") + found,
    )


def _provoke(relation: Relation, n: int, dt: float, input_dim: int) -> Array:
    """The near-worst input of a relation, were it linear: the signs of its weights, reversed."""
    x = np.zeros((n, input_dim))
    for i in range(input_dim):
        pulse = np.zeros((n, input_dim))
        pulse[1, i] = 1.0
        answer = np.nan_to_num(_output(relation, pulse, dt))
        x[:-1, i] = np.sign(answer[1:])[::-1]
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

    .. math:: \mathrm{defect} = \max_{\text{ladders}} \frac{\log (G_{\text{upper half}} /
              G_{\text{lower half}})}{\log (\text{factor between them})},

    with the largest gain among the rungs of each half: a single lucky or unlucky input does not
    decide.
    In the limit it is at most 0 when the gain is bounded; it is 1 for a derivative (grids), an
    integrator (windows) or a square (amplitudes), and infinite when an output overflows. A
    :class:`LinearFunctional` must also keep its gain below its norm.

    Parameters
    ----------
    relation, rng, dt, length, input_dim, trials
        As for :func:`probe_causality`; `trials` counts the random inputs on each rung.
    tolerance : float
        Largest exponent that counts as bounded. A gain that still rises towards its bound, as
        with a power-law kernel, shows a small exponent.

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

    def gain(n: int, step: float, amplitude: float) -> tuple[float, Array]:
        inputs = [_random_input(rng, n, input_dim, trial % 2 == 0) for trial in range(trials)]
        inputs.append(_provoke(relation, n, step, input_dim))
        found = [np.abs(_output(relation, amplitude * x, step)).max() / amplitude for x in inputs]
        best = int(np.argmax(np.where(np.isnan(found), np.inf, found)))
        return float(found[best]), amplitude * inputs[best]

    largest = 0.0
    ladders = {
        "amplitudes fall": (1e4, [(length, dt, 10.0**-k) for k in (0, 2, 4, 6)]),
        "amplitudes rise": (1e4, [(length, dt, 10.0**k) for k in (0, 2, 4, 6)]),
        "grids get finer": (4.0, [(length * k, dt / k, 1.0) for k in (1, 2, 4, 8)]),
        "windows get longer": (4.0, [(length * k, dt, 1.0) for k in (1, 2, 4, 8)]),
    }
    exponents, witnesses = [], []
    for factor, rungs in ladders.values():
        climbed = [gain(*rung) for rung in rungs]
        gains = [g for g, _ in climbed]
        lower, upper = max(gains[:2]), max(gains[2:])
        largest = max(largest, lower, upper)
        if not math.isfinite(upper):
            exponents.append(math.inf)
        elif upper == 0:
            exponents.append(0.0)
        else:
            exponents.append(math.log(upper / max(lower, 1e-300)) / math.log(factor))
        best = 2 + int(np.argmax(np.where(np.isnan(gains[2:]), np.inf, gains[2:])))
        witnesses.append((climbed[best][1], rungs[best][1]))
    top = int(np.argmax(exponents))
    defect = max(0.0, exponents[top])
    passed = bool(defect <= tolerance)
    reason = f"the gain grows with exponent {defect:.2g} as {list(ladders)[top]}"
    if passed:
        reason = f"not refuted: the largest gain was {largest:.4g}"
    if isinstance(relation, LinearFunctional):
        norm = relation.norm
        reason += f"; the norm is {norm:.4g}"
        if largest > norm * (1 + 1e-8):
            passed, defect = False, math.inf
            reason += ", which is less than the gain"
    reason = reason if passed else f"refuted: {reason}"
    x, step = witnesses[top]
    return Probe(
        "continuous",
        defect,
        tolerance,
        passed,
        (_squeezed(x),),
        (step,),
        np.array(exponents),
        reason,
    )


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

    .. math:: M(t) = \sup_{x \neq 0} \frac{1}{|x|_\infty}
                     \left| \frac{d}{dt} H_t(x\,1_{t \ge 0}) \right|, \quad x \in R^d.

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
        When lags or dt are missing where they are needed, or make no sense; for d > 8.

    Notes
    -----
    Cost of a measurement: 2^d x amplitudes simulations up to the last lag.

    Source: the memory function of Wang, Li and Li (ICLR 2024), section 2.

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
        if linear:
            panels = np.unique(np.concatenate([k._breakpoints() for k in kernel.components]))
            cuts = panels[:-1, None] + np.diff(panels)[:, None] * np.arange(8) / 8
            lags = np.append(cuts.ravel(), panels[-1])
        else:
            lags, dt = _default_lags(model, dt)
    lags = np.atleast_1d(np.asarray(lags, dtype=np.float64))
    if lags.ndim != 1 or not (np.diff(lags) > 0).all() or not (lags >= 0).all() or not lags.size:
        raise ValueError("lags must be one or more increasing numbers >= 0")
    if linear:
        return MemoryFunction(lags, _size(kernel, lags), kernel)
    if dt is None:
        raise ValueError("dt is needed to measure a memory function; give the sampling interval")
    dt = number("dt", dt, positive=True)
    d = input_dim or getattr(model, "input_dim", 1)
    if d > 8:
        raise ValueError(f"2^d step directions are tried, for d up to 8; got d = {d}")
    sizes = np.geomspace(1e-3, 1e3, 13) if amplitudes is None else np.ravel(amplitudes)
    if not (sizes > 0).all() or not np.isfinite(sizes).all() or not sizes.size:
        raise ValueError(f"amplitudes must be positive and finite; got {amplitudes!r}")
    n = max(3, math.ceil(lags[-1] / dt) + 2)
    largest = np.zeros(n)
    for signs in product((1.0, -1.0), repeat=d):
        for size in sizes:
            y = _output(relation, np.tile(size * np.array(signs), (n, 1)), dt)
            largest = np.maximum(largest, np.abs(np.gradient(y, dt, edge_order=2)) / size)
    return MemoryFunction(lags, np.interp(lags, dt * np.arange(n), largest))


def _default_lags(model: Any, dt: float | None) -> tuple[Array, float]:
    """Lags and step for a nonlinear model from its linearisation at rest, dh/dt = W h."""
    rates = -np.linalg.eigvals(model.W) if hasattr(model, "W") else np.array([-1.0])
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
