r"""Training time on the exact population loss: flows, descents, hitting times and their laws.

A plateau of length :math:`e^{60}` is out of reach for anything that takes steps of fixed size. The
gradient flow is integrated here by an implicit method (Radau IIA of order 5) whose steps grow
with the training time itself, with relative errors only. Newton's method takes the exact Hessian
at every stage, since the valley in which the flow creeps is bent: a Hessian that is kept for a
whole step would force steps of the size of the bends. So the cost grows like the logarithm of the
training time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from scipy import integrate, linalg, optimize, special

from curse_lib._checks import Array, number, whole
from curse_lib._updates import adam_update, heavy_ball_update
from curse_lib.kernels import (
    _GAUSS_NODES,
    _GAUSS_WEIGHTS,
    ExponentialSum,
    MemoryKernel,
    _relaxation_breakpoints,
)
from curse_lib.loss import PopulationLoss
from curse_lib.norms import _Integral

__all__ = [
    "HittingTimes",
    "Plateau",
    "Trajectory",
    "adam",
    "gauss_newton",
    "gradient_descent",
    "gradient_flow",
    "heavy_ball",
    "hitting_times",
    "nesterov",
    "one_neuron_plateau",
    "plateau_floor",
    "reduced_plateau",
]

_EPS = float(np.finfo(float).eps)
#: The flow starts by its Taylor series, up to this part of its fastest time-scale.
_FIRST = 1e-6
#: Radau IIA of order 5: from three stages to the polynomial through them, and to its slopes.
_STAGES = np.array([4 - math.sqrt(6), 4 + math.sqrt(6), 10]) / 10
_POWERS = np.arange(1, 4)
_POLYNOMIAL = np.linalg.inv(_STAGES[:, None] ** _POWERS)
_SLOPES = _POWERS * _STAGES[:, None] ** (_POWERS - 1) @ _POLYNOMIAL
#: Its error, measured against a formula of order 3.
_GAMMA = 3 + 3 ** (2 / 3) - 3 ** (1 / 3)
_ERROR = np.array([-13 - 7 * math.sqrt(6), -13 + 7 * math.sqrt(6), -1]) / 3
_MINIMUM = "the flow has come to rest in a local minimum"
_SADDLE = (
    "the flow stays at a saddle point: the Hessian has a negative eigenvalue, but by symmetry the "
    "gradient vanishes along it"
)
Stop = Callable[[PopulationLoss, Array, float], bool]


@dataclass(frozen=True)
class Trajectory:
    r"""A run of training.

    Parameters
    ----------
    times : numpy.ndarray, shape (n,)
        Training times: that of the flow, or the number of steps times the learning rate.
    states : numpy.ndarray, shape (n, 2m)
        Deviations of amplitudes and rates from the start (see :class:`PopulationLoss`).
    loss : numpy.ndarray, shape (n,)
        J - J(0); add ``population_loss.initial`` for J.
    reason : str
        Why the run ended.
    at_rest : bool
        Whether it ended because it had reached a local minimum (of resolved curvature).
    population_loss : PopulationLoss
        The loss that was descended.

    Used in: ``tests/unit/test_flow.py``, ``gradient_flow``.
    """

    times: Array = field(repr=False)
    states: Array = field(repr=False)
    loss: Array = field(repr=False)
    reason: str
    at_rest: bool
    population_loss: PopulationLoss = field(repr=False)

    @property
    def amplitudes(self) -> Array:
        """Amplitudes along the run, shape (n, m)."""
        return self.population_loss.start.amplitudes + self.states[:, : self.population_loss.width]

    @property
    def rates(self) -> Array:
        """Rates along the run, shape (n, m)."""
        return self.population_loss.start.rates + self.states[:, self.population_loss.width :]


@dataclass(frozen=True)
class HittingTimes:
    r"""Two hitting times of the gradient flow.

    Parameters
    ----------
    parameters : float
        :math:`\tau_0 = \inf\{\tau: \|\theta(\tau)-\theta(0)\| > \delta\}`, :math:`\theta = (a, w)`.
    loss : float
        :math:`\tau_0' = \inf\{\tau: |J(\tau)-J(0)| > \delta\}`.
    reason : str
        Why a time is ``math.inf``; empty if both are finite.
    steps : int
        Steps of the integrator.

    Used in: ``tests/reference/test_flow.py``, ``hitting_times``.
    """

    parameters: float
    loss: float
    reason: str
    steps: int


@dataclass(frozen=True)
class Plateau:
    """A predicted length of a plateau.

    Parameters
    ----------
    log_time : float
        Natural logarithm of the training time; ``math.inf`` if the plateau never ends.
    reason : str
        Why the plateau never ends; empty if it does.

    Used in: ``tests/reference/test_flow.py``, ``one_neuron_plateau``, ``reduced_plateau``.
    """

    log_time: float
    reason: str = ""

    @property
    def time(self) -> float:
        """The training time; ``math.inf`` beyond the range of doubles too."""
        return math.exp(self.log_time) if self.log_time < 709.7 else math.inf


def _population_loss(target: MemoryKernel | PopulationLoss, start: ExponentialSum | None):
    if isinstance(target, PopulationLoss):
        if start is not None:
            raise ValueError(f"a PopulationLoss has its own start; got another one, {start!r}")
        return target
    return PopulationLoss(target, start)


# --------------------------------------------------------------------------- the flow


def _end(loss: PopulationLoss, y: Array) -> tuple[str, bool] | None:
    """Whether a minimum, or a saddle point that symmetry keeps, is right beside a state."""
    here, free = y, ~loss._twins
    for _ in range(6):
        gradient, values, vectors, unit, rounding, part = _spectrum(loss, here, free)
        if np.any(np.abs(gradient) > 1e-2 * part):
            return None
        clear = np.abs(values) > rounding
        step = np.zeros(y.size)
        along = vectors[:, clear].T @ (unit * gradient[free]) / values[clear]
        step[free] = unit * (vectors[:, clear] @ along)
        here = here - step
        if np.abs(here - y).max() > 1e-6 * np.abs(y).max() or loss._rates(here).min() <= 0:
            return None
    if np.abs(step).max() > 1e-6 * np.abs(here).max():
        return None
    # Neurons of one rate may share their amplitude in any way: so many directions are level. The
    # sign of the others must be clear, and it is that at one rate which tells whether they stay.
    rates = loss._rates(here)
    near = np.abs(np.subtract.outer(rates, rates)) < 1e-4 * rates
    change = np.append(np.zeros(rates.size), near @ rates / near.sum(axis=1) - rates)
    here = here + (change if loss._turn is None else loss._turn.T @ change)
    _, values, _, _, rounding, _ = _spectrum(loss, here, free)
    merged = rates.size - np.linalg.matrix_rank(near) - np.sum(~free) // 2
    if np.any(values < -rounding) or np.sum(values <= rounding) > merged:
        return None
    if free.all():
        return _MINIMUM, True
    _, values, _, _, rounding, _ = _spectrum(loss, here, ~free)
    if np.any(values < -rounding):
        return _SADDLE, False
    return (_MINIMUM, True) if np.sum(values <= rounding) <= np.sum(~free) // 2 else None


def _spectrum(loss: PopulationLoss, y: Array, kept: Array) -> tuple:
    """Gradient, scaled Hessian's eigenvalues and vectors, scaling, rounding, gradient's terms."""
    gradient, hessian, part, parts = loss._slopes(y, loss._turn)
    hessian, noise = hessian[kept][:, kept], 1e-13 * parts[kept][:, kept]
    size = np.sqrt(np.abs(np.diag(hessian))) + 1e-150
    # What is below the rounding that larger components bring in is scaled by that.
    share = np.where(size >= size[:, None], noise / size, 0.0).max(axis=1)
    unit = 1 / np.maximum(size, 1e6 * share)
    scaling = np.multiply.outer(unit, unit)
    values, vectors = linalg.eigh(hessian * scaling)
    return gradient, values, vectors, unit, linalg.norm(noise * scaling), part


def _solve(matrix: Array, right: Array) -> Array:
    """Solve a system whose unknowns differ in size by many decades."""
    unit = 1 / np.sqrt(np.abs(np.diag(matrix)) + 1e-300)
    return unit * np.linalg.solve(matrix * np.multiply.outer(unit, unit), unit * right)


def _stages(slopes: Callable, y: Array, step: float, guess: Array, size: Callable) -> Array | None:
    """The stages of a step by Newton's method, each with its own Hessian: the valley bends."""
    last, n = math.inf, y.size
    for _ in range(8):
        found = [slopes(y + increment) for increment in guess]
        if None in found:
            return None
        matrix = np.kron(_SLOPES / step, np.eye(n))
        for k, (_, hessian) in enumerate(found):
            matrix[k * n : k * n + n, k * n : k * n + n] += hessian
        residual = _SLOPES @ guess / step + [gradient for gradient, _ in found]
        change = _solve(matrix, residual.ravel()).reshape(3, n)
        guess = guess - change
        now = max(map(size, change, guess))
        if now < 0.03 or not now < 2 * last:
            return guess if now < 0.03 else None
        last = now
    return None


def _flow(
    loss: PopulationLoss, until: float, rtol: float
) -> Iterator[tuple[float, Callable, float, Array, float]]:
    """Accepted steps: time and dense output at the beginning, length, state and loss at the end.

    Returns why there are no more, and whether the flow is at rest.
    """
    turn = np.eye(2 * loss.width) if loss._turn is None else loss._turn
    free = ~loss._twins

    def slopes(y: Array) -> tuple[Array, Array] | None:
        if not np.isfinite(y).all() or loss._rates(y).min() <= 0:
            return None
        gradient, hessian = loss._slopes(y, loss._turn)[:2]
        return gradient * free, hessian * np.multiply.outer(free, free)

    def weigh(change: Array, *states: Array) -> float:
        scale = floor + np.max(np.abs([turn @ state for state in states]), axis=0)
        return float(linalg.norm(turn @ change / scale)) / (rtol * strict * math.sqrt(y.size))

    def way(begin: Array, terms: Array, length: float, s: float) -> Array:
        return turn @ (begin + (s / length) ** _POWERS @ terms)

    y = np.zeros(turn.shape[0])
    gradient, hessian, part, _ = loss._slopes(y, loss._turn)
    if np.all(np.abs(gradient) <= 1e-15 * part):
        # That alone may be a saddle point, or a plateau below the range of doubles.
        learnt = loss.represented and not any(loss._late)
        return f"the gradient vanishes at the start{', the target' * learnt}", learnt
    fastest = float(linalg.norm(hessian, 2))
    length = min(_FIRST / fastest, until)
    terms = np.array([-length * gradient, 0.5 * length**2 * (hessian @ gradient), 0 * y])
    # Where the gradient of a component vanishes, it starts with the square of the time.
    floor = np.maximum(np.abs(turn @ terms.T).sum(axis=1), 1e-280)
    new, step, past, count = terms.sum(axis=0), length, (terms, length), 0
    time, value, size, strict = 0.0, 0.0, 0.0, 1.0
    while True:
        new_value, new_size = loss._value(turn @ new)
        if new_value > value + 256 * _EPS * (size + new_size):
            step, strict = length / 10, strict / 10
            if strict < 1e-6:
                return "the loss rises even at the strictest tolerance", False
        else:
            yield time, partial(way, y, terms, length), length, turn @ new, new_value
            time, count, past = time + length, count + 1, (terms, length)
            y, value, size, strict = new, new_value, new_size, min(1.0, 2 * strict)
            if time >= until:
                return f"the training time {until:.6g} was reached", False
            if count % 10 == 0 and (end := _end(loss, y)):
                return end
            gradient, hessian = slopes(y)
        while True:
            length = min(step, until - time)
            if step * fastest < 1e-9:
                return "the integrator can't resolve the flow any further", False
            ahead = (1 + length / past[1] * _STAGES)[:, None] ** _POWERS
            guess = (ahead - 1) @ past[0]
            stages = _stages(
                slopes, y, length, guess, lambda change, new: weigh(change, y, y + new)
            )
            if stages is None:
                step = length / 4
                continue
            new = y + stages[2]
            matrix = hessian + _GAMMA / length * np.eye(y.size)
            error = weigh(_solve(matrix, _ERROR @ stages / length - gradient), y, new)
            step = length * min(8.0, max(0.2, 0.9 * (error + 1e-30) ** -0.25))
            if error <= 1:
                terms = _POLYNOMIAL @ stages
                break


def gradient_flow(
    target: MemoryKernel | PopulationLoss,
    start: ExponentialSum | None = None,
    *,
    until: float = 1e300,
    rtol: float = 1e-5,
    stop: Stop | None = None,
    max_steps: int = 5000,
) -> Trajectory:
    r"""Integrate :math:`d\theta/d\tau = -\nabla J(\theta)`, :math:`\theta = (a, w)`.

    Parameters
    ----------
    target : MemoryKernel or PopulationLoss
        The target, or the loss itself (then without `start`).
    start : ExponentialSum
        Initial network.
    until : float
        Training time at which to end, > 0.
    rtol : float
        Relative error of a step, from 1e-10 to 1e-2. Hitting times are some ten times better.
    stop : callable, optional
        ``stop(loss, state, value)`` after each step, value being J - J(0); a true result ends
        the run.
    max_steps : int
        Most steps of the integrator.

    Returns
    -------
    Trajectory
        From time 0 on, one entry a step; no value is NaN, the rates are positive, the loss falls.

    Raises
    ------
    ValueError
        If an argument isn't allowed.

    Notes
    -----
    Cost: about 5 steps a decade of training time on a plateau, 1 ms each. The flow may end earlier
    than asked; `reason` says why.

    Source: section 4 of Li, Han, E and Li (ICLR 2021); Radau IIA from Hairer and Wanner, Solving
    Ordinary Differential Equations II (1996), section IV.8.

    Used in: ``book/plateaus/plateau-exactly.ipynb``.
    """
    loss = _population_loss(target, start)
    until = number("until", until, positive=True)
    rtol = _tolerance(rtol)
    max_steps = whole("max_steps", max_steps)
    records = [(0.0, np.zeros(2 * loss.width), 0.0)]
    steps, reason, rest = _flow(loss, until, rtol), "", False
    while not reason:
        try:
            begin, _, length, state, value = next(steps)
        except StopIteration as end:
            reason, rest = end.value
            break
        records.append((begin + length, state, value))
        if stop is not None and stop(loss, state, value):
            reason = "stop returned true"
        elif len(records) > max_steps:
            reason = f"the most steps, {max_steps}, were taken"
    return _trajectory(loss, records, reason, rest)


def _tolerance(rtol: float) -> float:
    rtol = number("rtol", rtol, positive=True)
    if not 1e-10 <= rtol <= 1e-2:
        raise ValueError(f"rtol must be from 1e-10 to 1e-2; got {rtol}")
    return rtol


def _trajectory(loss: PopulationLoss, records: list, reason: str, rest: bool) -> Trajectory:
    times, states, values = (np.array(column) for column in zip(*records, strict=True))
    return Trajectory(times, states, values, reason, rest, loss)


def _small_enough(delta: float, start: ExponentialSum) -> float:
    delta = number("delta", delta, positive=True)
    slowest = float(start.rates.min())
    if delta >= slowest:
        raise ValueError(
            f"delta must be smaller than the smallest rate of the start, {slowest:.6g}; got "
            f"{delta}. Within a larger ball a rate could vanish"
        )
    return delta


def hitting_times(
    target: MemoryKernel | PopulationLoss,
    start: ExponentialSum | None = None,
    delta: float = 0.05,
    *,
    parameters_only: bool = False,
    rtol: float = 1e-5,
    until: float = 1e300,
    max_steps: int = 5000,
) -> HittingTimes:
    r"""How long the gradient flow stays near its start.

    .. math::
       \begin{aligned}
       \tau_0 &= \inf\{\tau: \|\theta(\tau)-\theta(0)\| > \delta\}, \\
       \tau_0' &= \inf\{\tau: |J(\tau)-J(0)| > \delta\}.
       \end{aligned}

    Parameters
    ----------
    target : MemoryKernel or PopulationLoss
        The target, or the loss itself.
    start : ExponentialSum
        Initial network.
    delta : float
        Threshold for both, > 0.
    parameters_only : bool
        End at :math:`\tau_0`. The escape that follows takes longer to compute than the plateau.
    rtol, until, max_steps : float, float, int
        As for :func:`gradient_flow`.

    Returns
    -------
    HittingTimes
        A time is ``math.inf`` when the flow comes to rest in a local minimum first (it is
        trapped), stays at a saddle point that a symmetry of the start keeps, or ends for another
        reason; `reason` says which, and at what training time.

    Raises
    ------
    ValueError
        If an argument isn't allowed.

    Notes
    -----
    Accuracy: relative 1e-6 or so at the default tolerance. Cost: 0.1 s through a plateau of
    :math:`10^{30}`, and some 0.5 s more for the escape, which contracts the time-scale again by
    as many decades; it grows with the logarithm of the time. Neurons that start with one rate
    need double-double arithmetic, ten times the cost a step, and are resolved up to delays of
    about 30 relaxation times.

    Source: Theorem 4.1 of Li, Han, E and Li (ICLR 2021), as restated in later work.

    Used in: ``book/plateaus/plateau-exactly.ipynb``.
    """
    loss = _population_loss(target, start)
    delta, rtol = number("delta", delta, positive=True), _tolerance(rtol)
    until, max_steps = number("until", until, positive=True), whole("max_steps", max_steps)
    found: dict[str, float] = {}
    steps, count, reached, reason = _flow(loss, until, rtol), 0, 0.0, ""
    while len(found) < 2 and not reason:
        try:
            begin, way, length, state, value = next(steps)
        except StopIteration as end:
            reason = f"{end.value[0]}, at training time {reached:.6g}"
            break
        for name, size in (("parameters", math.hypot(*state)), ("loss", abs(value))):
            if size > delta and name not in found:
                found[name] = float(begin + _crossing(loss, name, delta, way, length, size))
        reached, count = begin + length, count + 1
        if parameters_only and "parameters" in found:
            reason = "only the parameters were asked for"
        elif count >= max_steps:
            reason = f"the most steps, {max_steps}, were taken, at training time {reached:.6g}"
    times = (found.get(name, math.inf) for name in ("parameters", "loss"))
    return HittingTimes(*times, reason if len(found) < 2 else "", count)


def _crossing(
    loss: PopulationLoss, name: str, delta: float, way: Callable, length: float, size: float
) -> float:
    """Time within a step, at whose end `size` is above delta, when it gets there."""

    def excess(s: float) -> float:
        if s in (0.0, length):
            return (size if s else 0.0) - delta
        state = way(s)
        return (math.hypot(*state) if name == "parameters" else abs(loss.value(state))) - delta

    return optimize.brentq(excess, 0.0, length, xtol=1e-300, rtol=1e-12)


# --------------------------------------------------------------------------- bounds and laws


def plateau_floor(
    target: MemoryKernel | PopulationLoss, start: ExponentialSum | None = None, delta: float = 0.05
) -> float:
    r"""Lower bound of the hitting time :math:`\tau_0`, with no hidden constant.

    .. math::
       \begin{aligned}
       \tau_0 &\ge \frac{\delta}{2K}, \\
       K &= \int_0^\infty (\sqrt m + \|a_0\|\,t)\, e^{-\kappa t} \\
       &\qquad\quad {} \cdot |\rho - \hat\rho_0|(t)\,dt, \\
       \kappa &= w_{\min} - \delta.
       \end{aligned}

    Parameters
    ----------
    target : MemoryKernel or PopulationLoss
        The target, or the loss itself.
    start : ExponentialSum
        Initial network; its smallest rate is :math:`w_{\min}`.
    delta : float
        Radius of the ball, in (0, smallest rate).

    Returns
    -------
    float
        Training time; ``math.inf`` if K vanishes or is below the range of doubles.

    Raises
    ------
    ValueError
        If `delta` isn't below the smallest rate, or a kernel isn't allowed.

    Notes
    -----
    In the ball :math:`J(0) - J \le 2\delta K`, and :math:`\|\theta-\theta_0\| \le
    \sqrt{\tau (J(0) - J)}`. It bounds :math:`\tau_0'` too as long as :math:`2\delta K` is below
    the threshold of the loss. K is rounded up by its error estimate (about 1e-12). Cost:
    milliseconds.

    Source: derived for this book, after Theorem 4.1 of Li, Han, E and Li (ICLR 2021).

    Used in: ``book/plateaus/plateau-exactly.ipynb``.
    """
    loss = _population_loss(target, start)
    delta = _small_enough(delta, loss.start)
    kappa, residual = float(loss.start.rates.min()) - delta, loss.residual
    constant, slope = math.sqrt(loss.width), float(np.linalg.norm(loss.start.amplitudes))

    def weighted(t: Array) -> tuple[Array, Array]:
        value, magnitude = residual._evaluate(t)
        with np.errstate(under="ignore"):
            weight = (constant + slope * t) * np.exp(-kappa * t)
        return weight * value, weight * magnitude * (1 + kappa * t)

    points = np.append(residual._breakpoints(), _relaxation_breakpoints(np.array([kappa])))
    integral = _Integral(1)
    integral.add(weighted, np.unique(points))
    result = integral.result()
    return delta / (2 * (result.value + result.error)) if result.value > 0 else math.inf


def _scaled_ei(x: float) -> float:
    r""":math:`e^{-x}\,\mathrm{Ei}(x)`, x > 0."""
    if x <= 40:
        return float(special.expi(x)) * math.exp(-x)
    # The asymptotic series, whose smallest term is about e^{-x}.
    terms = np.cumprod(np.append(1.0, np.arange(1, 30) / x))
    return math.fsum(terms) / x


def one_neuron_plateau(delay: float, rate: float, delta: float) -> Plateau:
    r"""Plateau of one neuron that shall learn a point mass at lag D, in closed form.

    .. math::
       \begin{aligned}
       \tau_0(\delta) &= \frac{e}{4D}\bigl[\mathrm{Ei}(2 w_0 D - 1) \\
       &\qquad {} - \mathrm{Ei}(2 (w_0-\delta) D - 1)\bigr] \\
       &\sim \frac{e^{2 w_0 D}}{8 w_0 D^2} \bigl(1 - e^{-2\delta D}\bigr)
       \end{aligned}

    The neuron starts with amplitude 0 and rate :math:`w_0`; its amplitude is slaved to
    :math:`2 w e^{-wD}`, and its rate falls by delta.

    Parameters
    ----------
    delay : float
        Lag D > 0 of a unit point mass.
    rate : float
        Initial rate :math:`w_0 > 0`.
    delta : float
        Distance of the hitting time, in (0, rate).

    Returns
    -------
    Plateau
        The logarithm of the time is good to about 1e-14, for any delay.

    Raises
    ------
    ValueError
        If (rate - delta) delay <= 1/2: the slow manifold ends at w = 1/(2D), where the plateau
        does.

    Notes
    -----
    The slaving has a relative error of about :math:`D^2 e^{-2(w_0-\delta)D}`. With
    :math:`\omega = 1/D` and :math:`c_0 = 2 w_0` the law has the form
    :math:`\omega^2 e^{c_0/\omega}` of the theorem.

    Source: derived for this book, after Theorem 4.1 of Li, Han, E and Li (ICLR 2021).

    Used in: ``book/plateaus/plateau-exactly.ipynb``.
    """
    delay, rate = number("delay", delay, positive=True), number("rate", rate, positive=True)
    delta = _small_enough(delta, ExponentialSum([0.0], [rate]))
    high, low, gap = 2 * rate * delay - 1, 2 * (rate - delta) * delay - 1, 2 * delta * delay
    if low <= 0:
        raise ValueError(
            "(rate - delta) delay must be above 1/2, where the slow manifold ends; got "
            f"({rate} - {delta}) * {delay} = {(rate - delta) * delay}. Use hitting_times there"
        )
    if gap <= min(1.0, high / 2):
        u = 0.5 * gap * (1 + _GAUSS_NODES)
        scaled = 0.5 * gap * float(_GAUSS_WEIGHTS @ (np.exp(-u) / (high - u)))
    else:
        scaled = _scaled_ei(high) - math.exp(-gap) * _scaled_ei(low)
    return Plateau(1 - math.log(4 * delay) + high + math.log(scaled))


def reduced_plateau(
    target: MemoryKernel | PopulationLoss, start: ExponentialSum | None = None, delta: float = 0.05
) -> Plateau:
    r"""Plateau of a start with spare neurons, from the flow on the slow manifold, with no fit.

    On the plateau the deviations are small, all but those of the spare rates v. To first order
    :math:`\hat\rho - \hat\rho_0 = \sum_i x_i \psi_i` with :math:`\psi = e^{-w_i t}` for every
    neuron and :math:`-a_j t e^{-w_j t}` for those in use. These x are fast: they sit at the
    minimum, :math:`M(v)\,x = b(v)`, M the Gram matrix and b the inner products with the residual.
    What is left is slow,

    .. math::
       \begin{aligned}
       \frac{dv_k}{d\tau} &= -\frac{\partial}{\partial v_k}\bigl(-b^\top M^{-1} b\bigr) \\
       &= 2 x_k \int_0^\infty t e^{-v_k t} \\
       &\qquad {} \cdot \Bigl(\sum_i x_i \psi_i - \rho + \hat\rho_0\Bigr) dt,
       \end{aligned}

    and :math:`\tau_0 = \int ds / \|dv/d\tau\|` along its path, up to distance delta.

    Parameters
    ----------
    target : MemoryKernel or PopulationLoss
        The target, or the loss itself.
    start : ExponentialSum
        Initial network; at least one amplitude is 0.
    delta : float
        Distance of the hitting time, in (0, smallest rate); the slaved x count too.

    Returns
    -------
    Plateau
        ``math.inf`` if the reduced flow comes to rest before, that is, turns back or falls below
        1e-8 of its first speed.

    Raises
    ------
    ValueError
        If no neuron is spare, the rates don't differ (then nothing is slaved), the slaved
        deviations alone pass `delta` already, or an argument isn't allowed.

    Notes
    -----
    Its relative error shrinks like the deviations themselves, exponentially in the delay, as
    long as the eigenvalues of M are large against the drift; with many spare neurons that takes
    long delays. Cost: 20 ms.

    Source: derived for this book; for one neuron and a point mass it is
    :func:`one_neuron_plateau`.

    Used in: ``book/plateaus/plateau-exactly.ipynb``.
    """
    loss = _population_loss(target, start)
    delta = _small_enough(delta, loss.start)
    a0, w0, m = loss.start.amplitudes, loss.start.rates, loss.width
    spare, used = np.flatnonzero(a0 == 0), np.flatnonzero(a0)
    if not spare.size:
        raise ValueError(
            "start has no spare neuron (amplitude 0), so that nothing is slow and a late plateau "
            "never ends; use hitting_times"
        )
    basis = np.append(np.arange(m), m + used)

    def slow(v: Array) -> tuple[Array, Array]:
        """Slaved deviations x and the velocity of the spare rates."""
        w = w0.copy()
        w[spare] = v
        gram = loss.tangent_gram(np.append(np.zeros(m), w - w0))[np.ix_(basis, basis)]
        f0, f1 = loss._fixed(w, range(2))
        b = np.append(f0, -a0[used] * f1[used])
        unit = 1 / np.sqrt(np.diag(gram))
        scaled = gram * np.multiply.outer(unit, unit)
        if np.linalg.cond(scaled) > 1e14:
            raise ValueError(f"spare neurons need rates of their own; got the rates {w}")
        x = unit * linalg.solve(scaled, unit * b, assume_a="pos")
        inverse = 1 / np.add.outer(v, w)
        model = inverse**2 @ x[:m] - 2 * inverse[:, used] ** 3 @ (a0[used] * x[m:])
        return x, 2 * x[spare] * (model - f1[spare])

    v0 = w0[spare]
    first, heading = slow(v0)
    scale = float(np.linalg.norm(heading))
    if np.linalg.norm(first) >= delta:
        raise ValueError(
            f"the fast deviations alone, {np.linalg.norm(first):.3g}, pass delta = {delta}: there "
            "is no plateau to predict. Use hitting_times"
        )
    if scale == 0:
        return Plateau(math.inf, "the reduced flow is at rest at the start")

    def path(_, y: Array) -> Array:
        velocity = slow(y[:-1])[1]
        speed = np.linalg.norm(velocity) + 1e-16 * scale
        return np.append(velocity / speed, scale / speed)

    def far(_, y: Array) -> float:
        return math.hypot(*(y[:-1] - v0), *slow(y[:-1])[0]) - delta

    def turned(_, y: Array) -> float:
        # A speed that has fallen by eight decades is that of rest.
        return float(slow(y[:-1])[1] @ heading) - 1e-8 * scale**2

    far.terminal = turned.terminal = True
    run = integrate.solve_ivp(
        path, (0.0, 10 * delta), np.append(v0, 0.0), "DOP853", events=(far, turned), rtol=1e-10,
        atol=1e-13 * delta, max_step=delta / 4,
    )  # fmt: skip
    if not run.t_events[0].size:
        return Plateau(math.inf, "the reduced flow comes to rest or turns back before")
    return Plateau(math.log(run.y_events[0][0][-1]) - math.log(scale))


# --------------------------------------------------------------------------- descents


def _descend(
    target: MemoryKernel | PopulationLoss,
    start: ExponentialSum | None,
    learning_rate: float,
    steps: int,
    stop: Stop | None,
    method: Callable[[PopulationLoss, float], Callable[[Array, int], Array]],
) -> Trajectory:
    """Iterate z -> update(z, k), record about a hundred states a decade, watch the domain."""
    loss, steps = _population_loss(target, start), whole("steps", steps)
    rate = number("learning_rate", learning_rate, positive=True)
    update = method(loss, rate)
    kept = set(np.geomspace(1, steps, 100 * len(str(steps))).astype(int).tolist()) | {steps}
    z, done, reason = np.zeros(2 * loss.width), 0, f"all {steps} steps were taken"
    records = [(0.0, z, 0.0)]
    for k in range(1, steps + 1):
        with np.errstate(over="ignore", invalid="ignore"):
            new = update(z, k)
        if not np.isfinite(new).all() or (loss.start.rates + new[loss.width :]).min() <= 0:
            reason = f"step {k} would leave the domain of positive rates; lower the learning rate"
            break
        if np.array_equal(new, z):
            reason = f"step {k} changes nothing any more"
            break
        if k in kept or stop:
            with np.errstate(over="ignore", invalid="ignore"):
                value = loss.value(new)
            if not math.isfinite(value):
                reason = (
                    f"at step {k} the loss leaves the range of doubles; lower the learning rate"
                )
                break
            if k in kept:
                records.append((k * rate, new, value))
        z, done = new, k
        if stop and stop(loss, z, value):
            reason = "stop returned true"
            break
    if records[-1][0] != done * rate:
        records.append((done * rate, z, loss.value(z)))
    return _trajectory(loss, records, reason, False)


def gradient_descent(
    target: MemoryKernel | PopulationLoss,
    start: ExponentialSum | None = None,
    *,
    learning_rate: float = 0.01,
    steps: int = 1000,
    stop: Stop | None = None,
) -> Trajectory:
    r"""Gradient descent on the exact loss, :math:`\theta \leftarrow \theta - \eta\nabla J`.

    Parameters
    ----------
    target, start : MemoryKernel or PopulationLoss, ExponentialSum
        As for :func:`gradient_flow`.
    learning_rate : float
        Step size :math:`\eta > 0`; stable below 2 over the largest eigenvalue of the Hessian.
    steps : int
        Number of steps, >= 1.
    stop : callable, optional
        ``stop(loss, state, value)``; a true result ends the run.

    Returns
    -------
    Trajectory
        About a hundred states a decade of steps, and the last one; times are steps times the
        learning rate. A step that would make a rate negative isn't taken and ends the run.

    Raises
    ------
    ValueError
        If an argument isn't allowed.

    Notes
    -----
    Cost: about 0.1 ms a step for a few neurons; with `stop`, 0.3 ms.

    Used in: ``book/plateaus/plateau-exactly.ipynb``.
    """

    def method(loss: PopulationLoss, rate: float) -> Callable:
        update = heavy_ball_update(rate, 0.0)
        return lambda z, k: z + update(loss.gradient(z), k)

    return _descend(target, start, learning_rate, steps, stop, method)


def heavy_ball(
    target: MemoryKernel | PopulationLoss,
    start: ExponentialSum | None = None,
    *,
    learning_rate: float = 0.01,
    momentum: float = 0.9,
    steps: int = 1000,
    stop: Stop | None = None,
) -> Trajectory:
    r"""Heavy ball: :math:`v \leftarrow \mu v - \eta\nabla J`, :math:`\theta \leftarrow \theta + v`.

    Parameters
    ----------
    target, start, learning_rate, steps, stop
        As for :func:`gradient_descent`. On a plateau it runs like gradient descent with the
        learning rate :math:`\eta/(1-\mu)`.
    momentum : float
        :math:`\mu` in [0, 1).

    Returns
    -------
    Trajectory
        As for :func:`gradient_descent`.

    Raises
    ------
    ValueError
        If an argument isn't allowed.

    Source: Polyak, USSR Computational Mathematics and Mathematical Physics 4 (1964), 1-17.

    Used in: ``book/plateaus/other-optimizers.ipynb``.
    """
    momentum = _fraction("momentum", momentum)

    def method(loss: PopulationLoss, rate: float) -> Callable:
        update = heavy_ball_update(rate, momentum)
        return lambda z, k: z + update(loss.gradient(z), k)

    return _descend(target, start, learning_rate, steps, stop, method)


def nesterov(
    target: MemoryKernel | PopulationLoss,
    start: ExponentialSum | None = None,
    *,
    learning_rate: float = 0.01,
    steps: int = 1000,
    stop: Stop | None = None,
) -> Trajectory:
    r"""Nesterov's accelerated gradient, with the momentum (k-1)/(k+2) at step k.

    Parameters
    ----------
    target, start, learning_rate, steps, stop
        As for :func:`gradient_descent`. Its own clock is :math:`k\sqrt\eta`: it follows
        :math:`\ddot\theta + (3/t)\dot\theta = -\nabla J`.

    Returns
    -------
    Trajectory
        As for :func:`gradient_descent`.

    Raises
    ------
    ValueError
        If an argument isn't allowed.

    Source: Nesterov, Soviet Mathematics Doklady 27 (1983), 372-376; Su, Boyd and Candes, Journal
    of Machine Learning Research 17(153) (2016), for the clock.

    Used in: ``book/plateaus/other-optimizers.ipynb``.
    """

    def method(loss: PopulationLoss, rate: float) -> Callable:
        before = np.zeros(2 * loss.width)

        def update(z: Array, k: int) -> Array:
            nonlocal before
            ahead, before = z + (k - 1) / (k + 2) * (z - before), z
            if not (loss.start.rates + ahead[loss.width :]).min() > 0:
                return ahead
            return ahead - rate * loss.gradient(ahead)

        return update

    return _descend(target, start, learning_rate, steps, stop, method)


def adam(
    target: MemoryKernel | PopulationLoss,
    start: ExponentialSum | None = None,
    *,
    learning_rate: float = 0.001,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    steps: int = 1000,
    stop: Stop | None = None,
) -> Trajectory:
    r"""Adam on the exact loss.

    Its step is :math:`\eta\, \hat g/(\sqrt{\hat v} + \epsilon)` with running means
    :math:`\hat g` of the gradient and :math:`\hat v` of its square, both corrected for their
    start at 0. With exact gradients it undoes their size until they fall below eps.

    Parameters
    ----------
    target, start, learning_rate, steps, stop
        As for :func:`gradient_descent`.
    beta1, beta2 : float
        Memories of the two means, in [0, 1).
    eps : float
        :math:`\epsilon > 0`.

    Returns
    -------
    Trajectory
        As for :func:`gradient_descent`.

    Raises
    ------
    ValueError
        If an argument isn't allowed.

    Source: Kingma and Ba, ICLR 2015.

    Used in: ``book/plateaus/other-optimizers.ipynb``.
    """
    beta1, beta2 = _fraction("beta1", beta1), _fraction("beta2", beta2)
    eps = number("eps", eps, positive=True)

    def method(loss: PopulationLoss, rate: float) -> Callable:
        update = adam_update(rate, beta1, beta2, eps)
        return lambda z, k: z + update(loss.gradient(z), k)

    return _descend(target, start, learning_rate, steps, stop, method)


def gauss_newton(
    target: MemoryKernel | PopulationLoss,
    start: ExponentialSum | None = None,
    *,
    learning_rate: float = 1.0,
    damping: float = 0.0,
    steps: int = 100,
    stop: Stop | None = None,
) -> Trajectory:
    r"""Gauss-Newton, the natural gradient of this loss.

    :math:`\theta \leftarrow \theta - \eta (T + \lambda I)^{+}\,\nabla J/2` with T the Gram
    matrix of the derivatives of :math:`\hat\rho`. The rate of a neuron of amplitude 0 doesn't
    move. A step that would raise the loss or leave the domain is halved until it doesn't.

    Parameters
    ----------
    target, start, steps, stop
        As for :func:`gradient_descent`.
    learning_rate : float
        :math:`\eta`, in (0, 1]; small values follow the Gauss-Newton flow.
    damping : float
        Levenberg's :math:`\lambda \ge 0`. Above :math:`e^{-2wD}` it brings the plateau back.

    Returns
    -------
    Trajectory
        As for :func:`gradient_descent`; times don't see the halving.

    Raises
    ------
    ValueError
        If an argument isn't allowed.

    Notes
    -----
    T is scaled to a unit diagonal first; its eigenvalues below 1e-14 count as 0.

    Source: Levenberg, Quarterly of Applied Mathematics 2 (1944), 164-168.

    Used in: ``book/plateaus/other-optimizers.ipynb``.
    """
    damping = number("damping", damping, nonnegative=True)
    if number("learning_rate", learning_rate, positive=True) > 1:
        raise ValueError(f"learning_rate must be in (0, 1]; got {learning_rate}")

    def method(loss: PopulationLoss, rate: float) -> Callable:
        def update(z: Array, _: int) -> Array:
            gram = loss.tangent_gram(z) + damping * np.eye(z.size)
            diagonal = np.diag(gram)
            unit = np.where(diagonal > 0, 1 / np.sqrt(np.maximum(diagonal, 1e-300)), 0.0)
            values, vectors = linalg.eigh(gram * np.multiply.outer(unit, unit))
            parts = vectors.T @ (0.5 * unit * loss.gradient(z))
            large = values > 1e-14
            step = rate * unit * (vectors[:, large] @ (parts[large] / values[large]))
            value = loss.value(z)
            for _ in range(60):
                new = z - step
                if (loss.start.rates + new[loss.width :]).min() > 0 and loss.value(new) < value:
                    return new
                step = 0.5 * step
            return z

        return update

    return _descend(target, start, learning_rate, steps, stop, method)


def _fraction(name: str, value: float) -> float:
    value = number(name, value, nonnegative=True)
    if value >= 1:
        raise ValueError(f"{name} must be in [0, 1); got {value}")
    return value
