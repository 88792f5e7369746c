"""The forced Lorenz-96 system with two time-scales: a nonlinear relation between sequences."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curse_lib._checks import frozen, hold_rule, number, real_array, whole

__all__ = ["Lorenz96", "Lorenz96Data", "ornstein_uhlenbeck"]

Array = NDArray[np.float64]
#: Bytes that a data set may take.
_MOST = 100_000_000


def ornstein_uhlenbeck(
    count: int,
    length: int,
    dt: float,
    rng: np.random.Generator,
    *,
    deviation: float = 1.0,
    correlation: float = 1.0,
    input_dim: int = 1,
) -> Array:
    r"""Samples of stationary Ornstein-Uhlenbeck processes, exact at the grid points.

    Gaussian, with mean 0 and covariance :math:`\sigma^2 e^{-|t - t'| / \tau}`:

    .. math::
       \begin{aligned}
       x_{k+1} &= e^{-dt/\tau} x_k + \sigma \sqrt{1 - e^{-2dt/\tau}}\, \xi_k, \\
       x_0 &= \sigma \xi_{-1}, \quad \xi_k \sim N(0, 1).
       \end{aligned}

    Parameters
    ----------
    count, length : int
        Number of processes and of samples each, at least 1.
    dt : float
        Step > 0.
    rng : numpy.random.Generator
        Source of the noise.
    deviation : float
        Standard deviation :math:`\sigma \ge 0`.
    correlation : float
        Correlation time :math:`\tau \ge 0`, in the unit of dt. With 0 the samples are independent;
        held constant they have the intensity :math:`\sigma^2 dt` of white noise.
    input_dim : int
        Number d of independent coordinates.

    Returns
    -------
    ndarray, shape (count, length, d)

    Raises
    ------
    ValueError
        If a number isn't allowed.

    Notes
    -----
    The law at the grid points has no error of discretisation. Cost O(count length d).

    Used in: ``tests/reference/test_lorenz96.py``, ``Lorenz96``.
    """
    shape = (whole("length", length), whole("count", count), whole("input_dim", input_dim))
    dt = number("dt", dt, positive=True)
    correlation = number("correlation", correlation, nonnegative=True)
    x = number("deviation", deviation, nonnegative=True) * rng.standard_normal(shape)
    if correlation > 0:
        keep, fresh = math.exp(-dt / correlation), math.sqrt(-math.expm1(-2 * dt / correlation))
        for k in range(1, length):
            x[k] = keep * x[k - 1] + fresh * x[k]
    return np.ascontiguousarray(x.transpose(1, 0, 2))


@dataclass(frozen=True, eq=False)
class Lorenz96Data:
    r"""Pairs of forcings and responses.

    Parameters
    ----------
    inputs : numpy.ndarray, shape (count, length, d)
        The forcing at the times k dt.
    outputs : numpy.ndarray, shape (count, length, K)
        The slow variables at the same times.
    dt : float
        Step of the samples.
    error : float
        Estimate of the largest error of integration in the outputs: the change when the step is
        halved, on up to 16 of the forcings, times 16/15.

    Used in: ``book/plateaus/three-targets.ipynb``, ``Lorenz96``.
    """

    inputs: Array = field(repr=False)
    outputs: Array = field(repr=False)
    dt: float
    error: float


@dataclass(frozen=True)
class Lorenz96:
    r"""The forced Lorenz-96 system with two time-scales.

    Slow variables :math:`y_k` on a ring of K nodes carry J fast ones :math:`z_{j,k}` each:

    .. math::
       \begin{aligned}
       \dot y_k &= -y_{k-1}(y_{k-2} - y_{k+1}) - y_k \\
       &\quad {} + F + x_k + \frac{s}{J} \sum_j z_{j,k}, \\
       \dot z_{j,k} &= \kappa\,[-z_{j+1,k}(z_{j+2,k} - z_{j-1,k}) \\
       &\qquad {} - z_{j,k} + y_k].
       \end{aligned}

    The forcing x is the input and a slow variable the output. The fast variables form one ring,
    :math:`z_{j+J,k} = z_{j,k+1}`, as in Lorenz's own system. With s = -1 and :math:`\kappa = 1`
    this is the system with many slow variables; with K = 1 and :math:`\kappa = 2` the variant with
    one, whose sign s isn't settled and matters.

    Parameters
    ----------
    slow : int
        Number K >= 1 of slow variables.
    fast : int
        Number J >= 1 of fast variables of each slow one.
    sign : {-1, 1}
        Sign s of the fast variables' mean in the slow equation.
    speed : float
        Speed :math:`\kappa > 0` of the fast variables.
    background : float
        Constant forcing F of all slow variables, beside x; 0 when `sign` is 1.

    Raises
    ------
    ValueError
        If a parameter isn't allowed.

    Notes
    -----
    **Energy.** :math:`E = \frac12 \sum_k y_k^2 + \frac{1}{2 \kappa J} \sum z_{j,k}^2` changes by

    .. math::
       \begin{aligned}
       \dot E &= \sum_k (F + x_k) y_k - \sum_k y_k^2 \\
       &\quad {} - \frac1J \sum z_{j,k}^2 + \frac{1+s}{J} \sum y_k z_{j,k},
       \end{aligned}

    since the quadratic terms cancel around each ring. With s = -1 everything is damped. With
    s = 1 the last three terms are :math:`-\frac1J \sum (y_k - z_{j,k})^2`: E never grows without
    forcing, and a state in which all variables are equal stays for ever.

    **At rest.** With F = 0 the linearisation at the origin falls into pairs of :math:`y_k` and
    the mean of its fast variables, with eigenvalues :math:`\lambda^2 + (1 + \kappa) \lambda +
    \kappa (1 - s) = 0`, and a small forcing has the memory

    .. math::
       \begin{aligned}
       &\rho(t) = \sum_\lambda \frac{\lambda + \kappa}{2\lambda + 1 + \kappa}\, e^{\lambda t} \\
       &= \begin{cases}
          e^{-3t/2}\bigl(\cos\nu t + \tfrac{1}{\sqrt7} \sin\nu t\bigr), \\
          \quad \nu = \sqrt7/2, \quad s = -1,\ \kappa = 2, \\
          e^{-t} \cos t, \quad s = -1,\ \kappa = 1, \\
          \frac{1}{1+\kappa} (\kappa + e^{-(1+\kappa) t}), \quad s = 1.
          \end{cases}
       \end{aligned}

    The last is an integrator: it never forgets. With K = 1 and equal fast variables at the
    start, they stay equal, the quadratic terms vanish, and the system *is* that linear one
    whatever the forcing, until rounding errors grow: fast variables of one value Z are unstable
    where :math:`Z (\cos\theta - \cos 2\theta) > 1` for a wave :math:`\theta` of their
    ring, which is for Z < -1/2 and Z > 8/9 if the ring is long. With `scatter` in :meth:`dataset`
    it is nonlinear.

    Likewise a forcing of one node reaches no other when all start at 0. With s = -1 a background F
    makes the uniform state :math:`y = z = F/2`, along which disturbances travel from node to node;
    for -1 < F < 16/9 the energy of every disturbance decays (its linear advection feeds it by at
    most :math:`F/2 \max_\theta (\cos\theta - \cos 2\theta)`, with maximum 9/8 and minimum -2).

    Source: Lorenz, "Predictability: a problem partly solved" (1996); as a target, Li, Han, E
    and Li (ICLR 2021), Figure 1. The balance and the kernels are derived here.

    Used in: ``book/plateaus/three-targets.ipynb``.
    """

    slow: int = 1
    fast: int = 8
    sign: int = -1
    speed: float = 2.0
    background: float = 0.0

    def __post_init__(self) -> None:
        whole("slow", self.slow)
        whole("fast", self.fast)
        number("speed", self.speed, positive=True)
        background = number("background", self.background)
        if self.sign not in (-1, 1):
            raise ValueError(f"sign must be -1 or 1; got {self.sign!r}")
        if self.sign == 1 and background:
            raise ValueError(
                f"with sign 1 no state is at rest in a background of {background:g}; add it to "
                "the forcing x"
            )

    @property
    def size(self) -> int:
        """Number K (1 + J) of variables."""
        return self.slow * (1 + self.fast)

    @property
    def rest(self) -> Array:
        """The uniform state at rest, shape (K (1 + J),)."""
        return np.full(self.size, self.background / 2)

    def _slopes(self, state: Array, x: Array) -> Array:
        """Time derivatives of states (K (1 + J), runs) under forcings (K, runs)."""
        y, z = state[: self.slow], state[self.slow :]
        mean = z.reshape(self.slow, self.fast, -1).mean(axis=1)
        dy = _advection(y, 1) - y + (self.background + x) + self.sign * mean
        dz = self.speed * (_advection(z, -1) - z + np.repeat(y, self.fast, axis=0))
        return np.concatenate([dy, dz])

    def simulate(
        self,
        x: ArrayLike,
        dt: float,
        *,
        hold: str = "linear",
        substeps: int = 1,
        initial: ArrayLike | None = None,
        fast: bool = False,
    ) -> Array:
        r"""The slow variables, for many forcings at once, by the Runge-Kutta method of order 4.

        Parameters
        ----------
        x : array_like, shape (n,), (n, d) or (runs, n, d)
            Forcing of the first d <= K slow variables at the times k dt; the others have none.
        dt : float
            Step > 0 of the samples.
        hold : {"linear", "constant"}
            Piecewise-linear forcing through the samples, or each sample held until the next.
        substeps : int
            Runge-Kutta steps a sample, >= 1.
        initial : array_like, shape (K (1 + J),), optional
            State at t = 0: y, then the z of each y in turn; by default :attr:`rest`.
        fast : bool
            Whether to return the fast variables too, behind the slow ones.

        Returns
        -------
        ndarray, shape (n, K) or (runs, n, K)
            The slow variables at the same times; K (1 + J) of them with `fast`.

        Raises
        ------
        ValueError
            If an argument isn't allowed or the state overflows.

        Notes
        -----
        No step crosses a sample, so the error is O((dt/substeps)^4); the system amplifies it as
        it does every disturbance. Cost O(runs n K J substeps).

        Used in: ``tests/reference/test_lorenz96.py``.
        """
        x = real_array("x", x)
        batch = x.ndim == 3
        u = x if batch else x.reshape(1, len(x), -1) if x.ndim in (1, 2) else x[..., :0]
        if u.ndim != 3 or u.size == 0 or u.shape[2] > self.slow:
            raise ValueError(
                f"x must have shape (n,), (n, d) or (runs, n, d) with d <= {self.slow}; "
                f"got {x.shape}"
            )
        hold_rule(hold)
        step = number("dt", dt, positive=True) / whole("substeps", substeps)
        start = self.rest if initial is None else real_array("initial", initial)
        if start.shape != (self.size,):
            raise ValueError(f"initial must have shape ({self.size},); got {start.shape}")
        u = np.pad(u.transpose(1, 2, 0), ((0, 0), (0, self.slow - u.shape[2]), (0, 0)))
        kept = self.size if fast else self.slow
        states = np.empty((len(u), kept, u.shape[2]))
        state = np.repeat(start[:, None], u.shape[2], axis=1)
        states[0] = state[:kept]
        with np.errstate(over="ignore", invalid="ignore"):
            for k in range(1, len(u)):
                slope = (u[k] - u[k - 1]) / (2 * substeps) if hold == "linear" else 0.0
                for i in range(substeps):
                    first, middle, last = (u[k - 1] + (2 * i + j) * slope for j in range(3))
                    k1 = self._slopes(state, first)
                    k2 = self._slopes(state + step / 2 * k1, middle)
                    k3 = self._slopes(state + step / 2 * k2, middle)
                    k4 = self._slopes(state + step * k3, last)
                    state = state + step / 6 * (k1 + 2 * (k2 + k3) + k4)
                states[k] = state[:kept]
        if not np.isfinite(state).all():
            raise ValueError(
                f"the state overflows for dt = {dt} and substeps = {substeps}; give more substeps "
                "or a weaker forcing"
            )
        states = states.transpose(2, 0, 1)
        return states if batch else states[0]

    def energy(self, states: ArrayLike) -> Array:
        """The energy E of states (..., K (1 + J)).

        Used in: ``book/plateaus/three-targets.ipynb``.
        """
        y, z = np.split(real_array("states", states), [self.slow], axis=-1)
        return 0.5 * ((y**2).sum(axis=-1) + (z**2).sum(axis=-1) / (self.speed * self.fast))

    def power(self, states: ArrayLike, x: ArrayLike) -> Array:
        """The time derivative of the energy at states (..., K (1 + J)), forcing x (..., d).

        Used in: ``book/plateaus/three-targets.ipynb``.
        """
        y, z = np.split(real_array("states", states), [self.slow], axis=-1)
        x = real_array("x", x)
        shared = (y * z.reshape(*y.shape, self.fast).sum(axis=-1)).sum(axis=-1)
        fed = self.background * y.sum(axis=-1) + (x * y[..., : x.shape[-1]]).sum(axis=-1)
        lost = (y**2).sum(axis=-1) + (z**2).sum(axis=-1) / self.fast
        return fed - lost + (1 + self.sign) / self.fast * shared

    def linearisation(self) -> tuple[Array, Array]:
        r"""The linear system :math:`\dot h = Wh + Ux` for small forcing, about the rest.

        Returns
        -------
        W : ndarray, shape (K (1 + J), K (1 + J))
        U : ndarray, shape (K (1 + J), K)
            One column for each slow variable; those are also the first K coordinates of h.

        Notes
        -----
        W is exact up to rounding: the slopes are quadratic, so their central differences are
        derivatives. A :class:`LinearRNN` has to be Hurwitz: with sign -1 and -1 < F < 16/9 W is,
        with sign 1 it never is (use :func:`discretise`).

        Used in: ``book/plateaus/three-targets.ipynb``.
        """
        unit, none = np.eye(self.size), np.zeros((self.slow, self.size))
        W = self._slopes(self.rest[:, None] + unit, none)
        W -= self._slopes(self.rest[:, None] - unit, none)
        return W / 2, unit[:, : self.slow].copy()

    def dataset(
        self,
        count: int,
        length: int,
        dt: float,
        rng: np.random.Generator,
        *,
        deviation: float = 1.0,
        correlation: float = 1.0,
        input_dim: int = 1,
        stop: float | None = None,
        scatter: float = 0.0,
        hold: str = "linear",
        substeps: int = 1,
    ) -> Lorenz96Data:
        r"""Random forcings and the responses to them.

        Parameters
        ----------
        count, length, dt, rng, deviation, correlation, input_dim
            The law of the forcing: see :func:`ornstein_uhlenbeck`.
        stop : float, optional
            Time after which the samples of the forcing are 0: the output at the time stop + delay
            is then a delayed readout. By default the forcing never stops.
        scatter : float
            Standard deviation >= 0 of the Gaussian disturbance of the fast variables at t = 0, one
            and the same for all forcings, so that the output is a function of the input.
        hold, substeps
            As for :meth:`simulate`.

        Returns
        -------
        Lorenz96Data

        Raises
        ------
        ValueError
            If an argument isn't allowed, the state overflows, or the data take more than 100 MB.

        Notes
        -----
        The disturbance is drawn first, so `scatter` doesn't change the forcings.

        Used in: ``book/plateaus/three-targets.ipynb``.
        """
        size = 8 * whole("count", count) * whole("length", length) * (self.slow + input_dim)
        if size > _MOST:
            raise ValueError(
                f"the data would take {size / 1e6:.0f} MB, more than 100; take fewer forcings or "
                "samples"
            )
        initial = self.rest
        disturbance = rng.standard_normal(self.size - self.slow)
        initial[self.slow :] += number("scatter", scatter, nonnegative=True) * disturbance
        x = ornstein_uhlenbeck(
            count,
            length,
            dt,
            rng,
            deviation=deviation,
            correlation=correlation,
            input_dim=input_dim,
        )
        if stop is not None:
            x[:, np.arange(length) * dt > number("stop", stop, nonnegative=True)] = 0.0
        y = self.simulate(x, dt, hold=hold, substeps=substeps, initial=initial)
        finer = self.simulate(x[:16], dt, hold=hold, substeps=2 * substeps, initial=initial)
        return Lorenz96Data(frozen(x), frozen(y), dt, float(np.abs(y[:16] - finer).max()) * 16 / 15)


def _advection(v: Array, step: int) -> Array:
    """The quadratic term of a ring on axis 0: v_{k-1} (v_{k+1} - v_{k-2}) for step 1."""
    return np.roll(v, step, 0) * (np.roll(v, -step, 0) - np.roll(v, 2 * step, 0))
