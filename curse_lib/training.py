r"""Training of recurrent networks in discrete time, many runs at once.

Axis 0 of every array of parameters is the run: a run is one initial state and one stream of
random numbers, and it comes out the same, bit by bit, whatever runs beside it. All parameters of a
run lie in one row of a matrix :math:`\theta`, so that an optimizer is a formula for one array;
``task.parameters`` names its parts. Losses and gradients accept complex parameters, since a
complex step checks a gradient to the last digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curse_lib._checks import Array, frozen, number, real_array, samples, whole
from curse_lib._progress import progress as progress_bar
from curse_lib._updates import adam_update, heavy_ball_update
from curse_lib.kernels import MemoryKernel
from curse_lib.models import LinearRNN

__all__ = ["SequenceTask", "TrainingRuns", "WhiteNoiseTask", "train"]

#: Sequences that go through a network together.
_PART = 128
_OPTIMIZERS = ("gradient_descent", "heavy_ball", "adam")
#: Memory of Adam's mean of squares, as its authors propose.
_ADAM = 0.999


class _Task:
    """The order of the parameters: row by row [W U] or [W U b], then c, then the offset."""

    bias: bool
    cell: str
    input_dim: int

    def _blocks(self, theta: NDArray) -> tuple[NDArray, NDArray]:
        """[W U] or [W U b], shape (runs, m, m + d + bias), and c with the offset: views."""
        size, rest = theta.shape[-1], self.input_dim + self.bias + 1
        m = (math.isqrt(rest**2 + 4 * (size - self.bias)) - rest) // 2
        if theta.ndim != 2 or m * (m + rest) + self.bias != size:
            raise ValueError(
                f"theta must have shape (runs, m (m + {rest}) + {self.bias:d}); got {theta.shape}"
            )
        inner = m * (m + rest - 1)
        return theta[:, :inner].reshape(len(theta), m, -1), theta[:, inner:]

    def parameters(self, theta: NDArray) -> dict[str, NDArray]:
        """Views of the parameters by name, axis 0 the run: W, U, c, and b, offset if there are.

        Used in: ``TrainingRuns``.
        """
        K, last = self._blocks(theta)
        m = K.shape[1]
        parts = {"W": K[..., :m], "U": K[..., m : m + self.input_dim], "c": last[:, :m]}
        return parts | ({"b": K[..., -1], "offset": last[:, m]} if self.bias else {})

    def start(self, width: int, rng: np.random.Generator, scale: float) -> Array:
        r"""Random parameters of one run, shape (p,); see :func:`train`.

        Used in: ``train``.
        """
        theta = np.zeros((1, width * (width + self.input_dim + self.bias + 1) + self.bias))
        parts = self.parameters(theta)
        fan = self.input_dim if self.bias else width
        for name, spread in (("W", scale / width**0.5), ("U", fan**-0.5), ("c", width**-0.5)):
            parts[name][:] = spread * rng.standard_normal(parts[name].shape)
        if self.cell != "tanh":
            parts["W"][:] -= np.eye(width)
        return theta[0]


def _chain(first: NDArray, P: NDArray, count: int) -> tuple[NDArray, list[NDArray]]:
    """Blocks P^k first, k < count, side by side, and the powers P, P^2, P^4, ... that made them."""
    runs, m, d = first.shape
    X, size, powers = np.empty((runs, m, count * d), first.dtype), d, []
    X[:, :, :d] = first
    while size < count * d:
        powers.append(powers[-1] @ powers[-1] if powers else P)
        new = X[:, :, size : 2 * size]
        np.matmul(powers[-1], X[:, :, : new.shape[2]], out=new)
        size *= 2
    return X, powers


def _chain_adjoint(seeds: NDArray, powers: list[NDArray], d: int) -> NDArray:
    """Blocks sum_(j >= k) (P^T)^(j - k) seeds_j, in place: the adjoints of a chain."""
    for i, P in enumerate(powers):
        seeds[:, :, : -(d << i)] += P.swapaxes(1, 2) @ seeds[:, :, d << i :]
    return seeds


@dataclass(frozen=True, eq=False)
class WhiteNoiseTask(_Task):
    r"""A linear recurrent network learns a memory kernel from white noise.

    The network :math:`h_{k+1} = h_k + dt\,(W h_k + U x_k)`, :math:`y = c^\top h` has the impulse
    response :math:`\hat\rho_k = c^\top (I + dt\,W)^k U`, and its loss is

    .. math:: L = dt \sum_{k=0}^{K-1} |\hat\rho_k - \rho(k\,dt)|^2 .

    Parameters
    ----------
    target : MemoryKernel
        The kernel :math:`\rho`, with d inputs.
    horizon : float
        Memory that counts, > 0, in units of time: K is the number of lags ``k dt < horizon``.
    dt : float
        Step > 0, at most the horizon.

    Raises
    ------
    ValueError
        If an argument isn't allowed.

    Notes
    -----
    L is exactly the mean squared error against the output :math:`dt \sum_k \rho(k\,dt)^\top
    x_{K-1-k}` after K independent inputs of mean 0 and variance 1/dt, without sampling error. It
    approximates the loss of continuous time, :math:`J = \int_0^\infty |\hat\rho - \rho|^2 dt`, to
    first order in dt (both the Euler step and the sum at left ends), up to what both kernels hold
    beyond the horizon. With dt = 0.1 the loss of a silent network against
    :math:`0.6 e^{-t/2} + 0.6 e^{-t}` is 7 % above J.

    Cost of loss and gradient: with lags k = i + jB and B about :math:`\sqrt K`, all
    :math:`\hat\rho_k` are one product of the rows :math:`c^\top A^{jB}` and the columns
    :math:`A^i U`, and these come from each other by doubling. So there are about 4 log2(K)
    products of small matrices instead of 2 K steps: O(m^3 log K + m^2 K^(1/2) d + m K d)
    operations a run.

    Used in: ``book/plateaus/three-targets.ipynb``, ``tests/bench/bench_training.py``.
    """

    target: MemoryKernel
    horizon: float
    dt: float

    bias, batch, cell = False, None, "linear"

    def __post_init__(self) -> None:
        if not isinstance(self.target, MemoryKernel):
            raise ValueError(f"target must be a MemoryKernel; got {self.target!r}")
        horizon = number("horizon", self.horizon, positive=True)
        if number("dt", self.dt, positive=True) > horizon:
            raise ValueError(f"dt must be at most the horizon, {horizon}; got {self.dt}")

    @property
    def input_dim(self) -> int:
        """Number d of inputs."""
        return self.target.input_dim

    @cached_property
    def lags(self) -> Array:
        """The lags k dt, shape (K,)."""
        # A horizon of 63 steps must not get a 64th one by rounding.
        return frozen(self.dt * np.arange(math.ceil(self.horizon / self.dt * (1 - 1e-12))))

    @cached_property
    def _samples(self) -> Array:
        return frozen(self.target(self.lags).reshape(-1))

    @property
    def power(self) -> float:
        """The loss of a network that always answers 0."""
        return self.dt * float(self._samples @ self._samples)

    def _response(self, theta: NDArray) -> tuple:
        """The deviation of the impulse response, shape (runs, K d), and what its adjoint needs."""
        K, c = self._blocks(theta)
        runs, m, _ = K.shape
        A = self.dt * K[:, :, :m]
        A.reshape(runs, -1)[:, :: m + 1] += 1
        count = self.lags.size
        block = 1 << math.ceil(math.log2(count) / 2)
        S, low = _chain(K[:, :, m:], A, block)
        giant = (low[-1] @ low[-1] if low else A).swapaxes(1, 2)
        R, high = _chain(c[:, :, None], giant, -(-count // block))
        rho = (R.swapaxes(1, 2) @ S).reshape(runs, -1)
        return rho[:, : self._samples.size] - self._samples, R, S, low, high

    def impulse_response(self, theta: NDArray) -> NDArray:
        r"""The impulse response :math:`\hat\rho_k` of every row of theta.

        Shape (runs, K), or (runs, K, d) for d > 1 inputs.

        Used in: ``tests/unit/test_training.py``.
        """
        rho = self._response(theta)[0] + self._samples
        return rho.reshape(len(theta), -1, self.input_dim) if self.input_dim > 1 else rho

    def loss(self, theta: NDArray) -> NDArray:
        """The loss L of every row of theta, shape (runs,).

        Used in: ``train``.
        """
        return self.dt * _squares(self._response(theta)[0])

    def gradient(self, theta: NDArray, batch: None = None) -> tuple[NDArray, NDArray]:
        """The losses, shape (runs,), and their exact gradients, shape (runs, p).

        Used in: ``train``.
        """
        error, R, S, low, high = self._response(theta)
        d, gradient = self.input_dim, np.empty_like(theta)
        weights = np.zeros((len(theta), R.shape[2] * S.shape[2]), error.dtype)
        np.multiply(2 * self.dt, error, out=weights[:, : error.shape[1]])
        weights = weights.reshape(len(theta), R.shape[2], S.shape[2])
        columns = _chain_adjoint(R @ weights, low, d)
        rows = _chain_adjoint(S @ weights.swapaxes(1, 2), high, 1)
        # First that of the giant step A^B, then through its squarings, then of the baby steps.
        slope = R[:, :, :-1] @ rows[:, :, 1:].swapaxes(1, 2)
        for P in reversed(low):
            P = P.swapaxes(1, 2)
            slope = P @ slope + slope @ P
        slope += columns[:, :, d:] @ S[:, :, :-d].swapaxes(1, 2)
        K, c = self._blocks(gradient)
        np.multiply(self.dt, slope, out=K[:, :, :-d])
        K[:, :, -d:], c[:] = columns[:, :, :d], rows[:, :, 0]
        return self.dt * _squares(error), gradient

    def model(self, theta: NDArray) -> LinearRNN:
        """The network of one row of theta in continuous time, whose W must be Hurwitz.

        Its kernel is the impulse response up to the error of Euler's method, of order dt.

        Used in: ``TrainingRuns``.
        """
        parts = self.parameters(theta[None])
        return LinearRNN(*(parts[name][0] for name in ("W", "U", "c")))


def _squares(errors: NDArray) -> NDArray:
    """Sum of the squares (not of the moduli: complex steps) by run, the last axis but one."""
    rows = np.moveaxis(errors, -2, 0).reshape(errors.shape[-2], -1)
    return (rows[:, None] @ rows[:, :, None])[:, 0, 0]


@dataclass(frozen=True, eq=False)
class SequenceTask(_Task):
    r"""A tanh network learns outputs of input sequences.

    With :math:`z_k = W h_k + U x_k + b` and :math:`h_0 = 0` the cell is

    .. math::
       \begin{aligned}
       h_{k+1} &= \tanh z_k \ \text{(tanh)} \quad\text{or} \\
       h_{k+1} &= h_k + dt \tanh z_k \ \text{(residual)},
       \end{aligned}

    read out by :math:`\hat y_k = c^\top h_{k+1} + c_0`; the loss is the mean of
    :math:`(\hat y_k - y_k)^2` over the sequences and the steps that count.

    Parameters
    ----------
    inputs : array_like, shape (n, T) or (n, T, d)
        n sequences of T steps.
    outputs : array_like, shape (n, T) or (n,)
        An output for every step, or one for the last step alone.
    dt : float
        Step > 0, in units of time; the tanh cell doesn't see it.
    cell : {"tanh", "residual"}
        The cell.
    mask : array_like of bool, shape (T,), optional
        With outputs of shape (n, T): the steps that count; by default all.
    batch : int, optional
        Sequences that a step of training draws for each run, with replacement; by default it
        takes all n of them, in order.

    Raises
    ------
    ValueError
        If an argument isn't allowed.

    Notes
    -----
    The gradient is back-propagation through time, without approximation. Cost: 6 m (m + d + 1)
    operations and one tanh a step, sequence and run; memory (T + 1) (m + d + 1) doubles a
    sequence and run, for 128 sequences at once.

    Used in: ``book/plateaus/three-targets.ipynb``, ``tests/bench/bench_training.py``.
    """

    inputs: ArrayLike = field(repr=False)
    outputs: ArrayLike = field(repr=False)
    dt: float = 1.0
    cell: str = "tanh"
    mask: ArrayLike | None = field(default=None, repr=False)
    batch: int | None = None

    bias = True

    def __post_init__(self) -> None:
        x, y = real_array("inputs", self.inputs), real_array("outputs", self.outputs)
        x = x[:, :, None] if x.ndim == 2 else x
        if x.ndim != 3 or x.size == 0 or y.shape not in (x.shape[:1], x.shape[:2]):
            raise ValueError(
                "inputs must have shape (n, T) or (n, T, d), none of them 0, and outputs (n, T) or "
                f"(n,); got {np.shape(self.inputs)} and {y.shape}"
            )
        T = x.shape[1]
        given = np.arange(T) == T - 1 if y.ndim == 1 else np.ones(T, bool)
        mask = given if self.mask is None else np.asarray(self.mask)
        if mask.dtype != bool or mask.shape != (T,) or not mask.any() or (mask & ~given).any():
            raise ValueError(
                f"mask must hold {T} booleans, one of them true, and none where outputs of shape "
                f"{y.shape} have no value; got {self.mask!r}"
            )
        if self.cell not in ("tanh", "residual"):
            raise ValueError(f'cell must be "tanh" or "residual"; got {self.cell!r}')
        number("dt", self.dt, positive=True)
        whole("batch", 1 if self.batch is None else self.batch)
        # The sequence is the last axis, so that one step of all of them is a matrix.
        steps = frozen(x.transpose(1, 2, 0).copy())
        checked = {"inputs": steps.transpose(2, 0, 1), "outputs": frozen(y), "mask": frozen(mask)}
        masked = np.where(mask[:, None], y.T if y.ndim == 2 else y, 0.0)
        for name, value in (checked | {"_inputs": steps, "_outputs": masked}).items():
            object.__setattr__(self, name, value)

    @property
    def input_dim(self) -> int:
        """Number d of inputs."""
        return self.inputs.shape[2]

    @property
    def power(self) -> float:
        """The loss of the best constant output."""
        return float(self._outputs[self.mask].var())

    def draw(self, streams: list[np.random.Generator]) -> Array:
        """The sequences of one step of training, shape (runs, batch)."""
        return np.array([rng.integers(len(self.inputs), size=self.batch) for rng in streams])

    def _forward(self, theta: NDArray, chosen: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        """[h x 1] before each step and after the last, tanh z, and the masked errors.

        Shapes (T + 1, runs, m + d + 1, batch), (T, runs, m, batch) and (T, runs, batch).
        """
        K, last = self._blocks(theta)
        (runs, m, width), length = K.shape, len(self._inputs)
        H = np.empty((length + 1, runs, width, chosen.shape[1]), theta.dtype)
        H[0, :, :m], H[:, :, -1], H[length, :, m:-1] = 0, 1, 0
        H[:length, :, m:-1] = self._inputs[:, :, chosen].swapaxes(1, 2)
        h, residual = H[:, :, :m], self.cell == "residual"
        tanh = np.empty_like(h[1:]) if residual else h[1:]
        for k in range(length):
            np.tanh(K @ H[k], out=tanh[k])
            if residual:
                np.add(h[k], self.dt * tanh[k], out=h[k + 1])
        error = (last[:, None, :m] @ h[1:])[:, :, 0] + last[:, m:] - self._outputs[:, chosen]
        error[~self.mask] = 0
        return H, tanh, error

    def _parts(self, batch: Array | None) -> Iterator[tuple[NDArray, float]]:
        """Indices of sequences, shape (runs or 1, batch), and the weight of one squared error."""
        chosen = np.arange(len(self.inputs))[None] if batch is None else batch
        weight = 1 / (int(self.mask.sum()) * chosen.shape[1])
        for begin in range(0, chosen.shape[1], _PART):
            yield chosen[:, begin : begin + _PART], weight

    def loss(self, theta: NDArray) -> NDArray:
        """The loss of every row of theta over all sequences, shape (runs,).

        Used in: ``train``.
        """
        return sum(w * _squares(self._forward(theta, i)[2]) for i, w in self._parts(None))

    def gradient(self, theta: NDArray, batch: Array | None = None) -> tuple[NDArray, NDArray]:
        """The losses, shape (runs,), and their exact gradients, shape (runs, p).

        Over all sequences, or those of `batch`, indices of shape (runs, batch).

        Used in: ``train``.
        """
        K, last = self._blocks(theta)
        m, residual = K.shape[1], self.cell == "residual"
        gain, total, slope = self.dt if residual else 1.0, 0.0, 0.0
        back = np.concatenate([gain * K[:, :, :m].swapaxes(1, 2), last[:, :m, None]], axis=2)
        for chosen, weight in self._parts(batch):
            H, tanh, error = self._forward(theta, chosen)
            total = total + weight * _squares(error)
            error *= 2 * weight
            # Rows: the adjoint of z_k over the gain, and the error of the readout of h_k.
            D = np.zeros((len(theta), m + 1, H.shape[3]), theta.dtype)
            adjoint, derivative = 0.0, np.empty_like(D[:, :m])
            for k in range(len(tanh), 0, -1):
                D[:, m] = error[k - 1]
                slope = slope + D @ H[k].swapaxes(1, 2)
                adjoint = adjoint + back @ D if residual else back @ D
                np.multiply(tanh[k - 1], tanh[k - 1], out=derivative)
                np.subtract(1, derivative, out=derivative)
                np.multiply(adjoint, derivative, out=D[:, :m])
            D[:, m] = 0
            slope = slope + D @ H[0].swapaxes(1, 2)
        gradient = np.empty_like(theta)
        K, last = self._blocks(gradient)
        K[:], last[:, :m], last[:, m] = gain * slope[:, :m], slope[:, m, :m], slope[:, m, -1]
        return total, gradient

    def predict(self, theta: NDArray, inputs: ArrayLike) -> NDArray:
        """The outputs of every row of theta for new inputs (n, T) or (n, T, d).

        Shape (runs, n, T); entry k has seen the inputs up to k, as `outputs`.

        Used in: ``tests/unit/test_training.py``.
        """
        new = SequenceTask(inputs, np.zeros(np.shape(inputs)[:2]), self.dt, self.cell)
        return new._forward(theta, np.arange(len(new.inputs))[None])[2].transpose(1, 2, 0)

    def model(self, theta: NDArray) -> Callable[[ArrayLike, float], Array]:
        """The network of one row of theta as a relation ``relation(x, dt) -> y``.

        As in all models of the library, entry k of y has seen the samples before k: the first one
        is the offset, and entry k + 1 is the output k. dt must be that of the task.

        Used in: ``TrainingRuns``.
        """
        return partial(self._relation, theta[None])

    def _relation(self, theta: NDArray, x: ArrayLike, dt: float) -> Array:
        if not math.isclose(number("dt", dt), self.dt):
            raise ValueError(f"this network was trained with dt = {self.dt}; got {dt}")
        seen = self.predict(theta, samples(x, self.input_dim)[None])[0, 0, :-1]
        return np.append(self.parameters(theta)["offset"], seen)


@dataclass(frozen=True, eq=False)
class TrainingRuns:
    """What :func:`train` found.

    Parameters
    ----------
    task : WhiteNoiseTask or SequenceTask
        What was learnt.
    steps : numpy.ndarray, shape (k,)
        Steps after which the loss was recorded, from 0 on.
    losses : numpy.ndarray, shape (k, runs)
        The losses there, over all sequences.
    theta : numpy.ndarray, shape (runs, p)
        The parameters at the end; ``parameters`` has them by name.
    diverged : numpy.ndarray of bool, shape (runs,)
        Runs whose loss or gradient left the range of doubles. They keep their last finite state.

    Used in: ``train``.
    """

    task: WhiteNoiseTask | SequenceTask = field(repr=False)
    steps: NDArray = field(repr=False)
    losses: Array = field(repr=False)
    theta: Array = field(repr=False)
    diverged: NDArray[np.bool_]

    @property
    def mean(self) -> Array:
        """Mean loss of the runs that haven't diverged, shape (k,)."""
        return self.losses[:, ~self.diverged].mean(axis=1)

    @property
    def std(self) -> Array:
        """Standard deviation of the loss over these runs (divided by their number), shape (k,)."""
        return self.losses[:, ~self.diverged].std(axis=1)

    @property
    def parameters(self) -> dict[str, Array]:
        """The parameters at the end by name, axis 0 the run."""
        return self.task.parameters(self.theta)

    @property
    def models(self) -> tuple[LinearRNN | Callable, ...]:
        """The trained networks, as ``model`` of the task makes them."""
        return tuple(self.task.model(row) for row in self.theta)

    def plateau_lengths(self, level: float = 0.1, learnt: float = 0.1) -> Array:
        r"""Length in steps of the longest plateau of each run, shape (runs,).

        With the running minimum M of the loss, so that noise doesn't matter, a plateau is a
        stretch of recorded steps over which M falls by no more than the part `level`, while later
        in the run it falls to less than half. What counts is only where the run hasn't learnt
        yet: where M is above the part `learnt` of the loss of the best constant output. So the
        slow end of a descent is no plateau. When the longest of them is still going on at the end
        of the run, its length isn't known: ``math.inf``.

        Parameters
        ----------
        level : float
            In (0, 0.5). A smaller one asks for a flatter plateau and finds a shorter one.
        learnt : float
            Loss, as a part of ``task.power``, below which a run isn't on a plateau any more; > 0.

        Returns
        -------
        ndarray, shape (runs,)
            Some steps at most where a loss falls without delay; NaN for a run that diverged. The
            ends are recorded steps, so `record` in :func:`train` sets the resolution.

        Raises
        ------
        ValueError
            If ``level`` or ``learnt`` isn't allowed.

        Used in: ``tests/reference/test_training.py``.
        """
        level = number("level", level, positive=True)
        if level >= 0.5:
            raise ValueError(f"level must be below 0.5, the fall that ends a plateau; got {level}")
        floor = number("learnt", learnt, positive=True) * self.task.power
        lengths = np.full(self.diverged.size, np.nan)
        for run in np.flatnonzero(~self.diverged):
            lowest = np.minimum.accumulate(self.losses[:, run])
            # The last record of each stretch: M falls, so that -M is sorted.
            ends = np.searchsorted(-lowest, -(1 - level) * lowest, side="right") - 1
            length, unfinished = self.steps[ends] - self.steps, ends == len(ends) - 1
            length[~(unfinished | (lowest[-1] < lowest / 2)) | (lowest <= floor)] = 0
            best = length.argmax()
            lengths[run] = math.inf if unfinished[best] and lowest[best] > floor else length[best]
        return lengths


def train(
    task: WhiteNoiseTask | SequenceTask,
    width: int,
    *,
    rng: np.random.Generator,
    learning_rate: float,
    steps: int,
    runs: int = 10,
    optimizer: str = "gradient_descent",
    scale: float = 0.5,
    momentum: float = 0.9,
    eps: float = 1e-8,
    record: int | ArrayLike = 40,
    progress: bool | None = None,
) -> TrainingRuns:
    r"""Train networks of one width from independent random starts, all at once.

    W starts as scale N / sqrt(m), minus the identity for a linear network and a residual cell; c
    and a linear network's U start as N / sqrt(m), the U of a tanh or residual cell as N / sqrt(d),
    with independent standard normal N; b and the offset start at 0.

    Parameters
    ----------
    task : WhiteNoiseTask or SequenceTask
        What to learn.
    width : int
        Number m >= 1 of neurons.
    rng : numpy.random.Generator
        Run i takes the i-th stream that this generator spawns, for its start and for its batches.
        So a run doesn't depend on how many others there are. Spawning is remembered by the
        generator: a second call with the same one gives new runs.
    learning_rate : float
        Step size :math:`\eta > 0`.
    steps : int
        Number of steps, >= 1.
    runs : int
        Number of runs, >= 1.
    optimizer : {"gradient_descent", "heavy_ball", "adam"}
        With the gradient g: :math:`\theta \leftarrow \theta - \eta g`; or
        :math:`v \leftarrow \mu v - \eta g,\ \theta \leftarrow \theta + v`; or
        :math:`\theta \leftarrow \theta - \eta\,\hat g / (\sqrt{\hat v} + \epsilon)` with running
        means of g and of its square (memory 0.999), corrected for their start at 0.
    scale : float
        Spread of the random part of W, >= 0: about the radius of its spectrum.
    momentum : float
        :math:`\mu` of heavy ball, and the memory of Adam's mean of g, in [0, 1).
    eps : float
        Adam's :math:`\epsilon > 0`.
    record : int or array_like of int
        About how many losses to record a decade of steps, >= 1, or after which steps; the first
        and the last are always among them.
    progress : bool, optional
        Whether to show a progress bar: by default at a terminal and in JupyterLab, never in a
        build. In another notebook ask for it.

    Returns
    -------
    TrainingRuns
        Runs that diverge stay at their last finite state, and the others go on.

    Raises
    ------
    ValueError
        If an argument isn't allowed.

    Notes
    -----
    Cost: one gradient a step; with batches also one loss over all sequences a record.

    Source: Figure 1 of Li, Han, E and Li (ICLR 2021); Polyak, USSR Computational Mathematics and
    Mathematical Physics 4 (1964), 1-17; Kingma and Ba, ICLR 2015.

    Used in: ``book/plateaus/three-targets.ipynb``, ``tests/bench/bench_training.py``.
    """
    if not isinstance(task, (WhiteNoiseTask, SequenceTask)):
        raise ValueError(f"task must be a WhiteNoiseTask or a SequenceTask; got {task!r}")
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng must be a numpy.random.Generator; got {rng!r}")
    width, steps, runs = whole("width", width), whole("steps", steps), whole("runs", runs)
    rate = number("learning_rate", learning_rate, positive=True)
    scale, eps = number("scale", scale, nonnegative=True), number("eps", eps, positive=True)
    if number("momentum", momentum, nonnegative=True) >= 1:
        raise ValueError(f"momentum must be in [0, 1); got {momentum}")
    if optimizer not in _OPTIMIZERS:
        raise ValueError(f"optimizer must be one of {', '.join(_OPTIMIZERS)}; got {optimizer!r}")
    if isinstance(record, int):
        count = math.ceil(whole("record", record) * math.log10(steps)) + 1
        record = np.round(np.geomspace(1, steps, count))
    kept = np.unique(np.append([0, steps], real_array("record", record)).astype(int))
    if kept[0] < 0 or kept[-1] > steps:
        raise ValueError(f"record must hold steps from 0 to {steps}; got {record}")

    streams = rng.spawn(runs)
    theta = np.array([task.start(width, stream, scale) for stream in streams])
    before, losses, alive = theta, [], np.ones(runs, bool)
    if optimizer == "adam":
        update = adam_update(rate, momentum, _ADAM, eps)
    else:
        update = heavy_ball_update(rate, momentum if optimizer == "heavy_ball" else 0.0)
    with np.errstate(all="ignore"), progress_bar(steps, f"{runs} runs", progress) as bar:
        for k in range(steps + 1):
            batch = None if task.batch is None else task.draw(streams)
            loss, gradient = task.gradient(theta, batch)
            # One sum a run: a number that isn't finite makes it so too.
            alive &= np.isfinite(gradient.sum(axis=1) + loss)
            theta[~alive] = before[~alive]
            if k == kept[len(losses)]:
                losses.append(loss if batch is None and alive.all() else task.loss(theta))
            before, theta = theta, theta + update(gradient, k + 1)
            bar.update(k < steps)
    return TrainingRuns(task, kept, np.array(losses), before, ~alive)
