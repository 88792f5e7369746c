r"""Recurrent networks in continuous time, simulated from sampled input.

A linear network :math:`\dot h = Wh + Ux,\ y = c^\top h` is a functional with the memory kernel
:math:`\rho(t) = (c^\top e^{Wt} U)^\top`. Between two samples a held input is a polynomial, so one
step of the grid is an affine map that is known exactly:

.. math:: h_{k+1} = \Phi h_k + \Gamma_0 x_k + \Gamma_1 x_{k+1}, \qquad \Phi = e^{W\,dt}.

Everything here works with :math:`\Phi - I` instead of :math:`\Phi`. A slow neuron's whole memory
sits in that small difference, and rounding :math:`\Phi` would lose it; squaring,
:math:`(I + E)^2 = I + (2E + E^2)`, keeps it.

Sampling convention, here and in :mod:`curse_lib.functionals`: x has shape (n,) or (n, d) on the
grid :math:`t_k = k\,dt`; input and hidden state are zero before t = 0, and the state is still 0 at
t = 0. ``hold="linear"`` joins the samples by straight lines, ``hold="constant"`` holds each sample
until the next. The output has shape (n,), :math:`y_k = y(t_k)`, so :math:`y_0 = 0`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import ArrayLike, NDArray

from curse_lib._checks import frozen, hold_rule, number, real_array, samples
from curse_lib.kernels import ExponentialSum, MemoryKernel, StateSpaceKernel

__all__ = ["LinearRNN", "TanhRNN", "discretise", "random_hurwitz"]

Array = NDArray[np.float64]

#: Eigenvectors with a larger condition number are not used: the amplitudes of
#: :meth:`LinearRNN.kernel` lose about this factor in relative accuracy.
_MAX_CONDITION = 1e5

#: Coefficients of the numerator of the diagonal Pade approximant [7/7] of exp.
_PADE = [math.comb(7, k) * math.factorial(14 - k) / math.factorial(14) for k in range(8)]

#: Taylor coefficients of int_0^1 s e^{sz} ds and of int_0^1 (1 - s) e^{sz} ds; 18 terms are
#: enough for |z| <= 1.
_TAYLOR = np.array(
    [[(k + 1) / math.factorial(k + 2), 1 / math.factorial(k + 2)] for k in range(18)]
)


# --------------------------------------------------------------------------- checking input


def _matrices(W: ArrayLike, U: ArrayLike) -> tuple[Array, Array]:
    """Check W and U and give U the shape (m, d)."""
    W, U = real_array("W", W), real_array("U", U)
    if W.ndim != 2 or W.shape[0] != W.shape[1] or len(W) == 0:
        raise ValueError(f"W must have shape (m, m) with m >= 1; got {W.shape}")
    m = len(W)
    if U.ndim not in (1, 2) or len(U) != m or U.size == 0:
        raise ValueError(
            f"U must have shape ({m},) or ({m}, d) beside W of {W.shape}; got {U.shape}"
        )
    return W, U.reshape(m, -1)


# --------------------------------------------------------------------------- one step, exactly
# A matrix is stored as an (m, m) array or, when it is diagonal, as an (m,) array.


def _apply(A: Array, V: Array) -> Array:
    """A V for a (possibly diagonal) matrix A and an (m, k) array V."""
    return A[:, None] * V if A.ndim == 1 else A @ V


def _apply_right(V: Array, A: Array, out: Array | None = None) -> Array:
    """V A for a (k, m) array V."""
    return np.multiply(V, A, out=out) if A.ndim == 1 else np.matmul(V, A, out=out)


def _squared(E: Array) -> Array:
    """(I + E)^2 - I."""
    return E * (2 + E) if E.ndim == 1 else 2 * E + E @ E


def _with_identity(E: Array) -> Array:
    """I + E."""
    return 1 + E if E.ndim == 1 else E + np.eye(len(E))


def _expm1_small(Z: Array) -> Array:
    """e^Z - I for a matrix of norm <= 1, to relative machine precision in the norm of Z."""
    if Z.ndim == 1:
        return np.expm1(Z)
    one, c = np.eye(len(Z)), _PADE
    Z2 = Z @ Z
    Z4 = Z2 @ Z2
    Z6 = Z2 @ Z4
    odd = Z @ (c[1] * one + c[3] * Z2 + c[5] * Z4 + c[7] * Z6)
    even = c[0] * one + c[2] * Z2 + c[4] * Z4 + c[6] * Z6
    return np.linalg.solve(even - odd, 2 * odd)


def _moments_small(Z: Array, V: Array) -> Array:
    """The two integrals of :data:`_TAYLOR` at z = Z, applied to V, for a norm of Z <= 1."""
    if Z.ndim == 1:
        powers = np.ones((len(_TAYLOR), Z.size))
        powers[1:] = Z
        np.multiply.accumulate(powers, axis=0, out=powers)
        return (_TAYLOR.T @ powers)[:, :, None] * V
    krylov = [V]
    while len(krylov) < len(_TAYLOR):
        krylov.append(Z @ krylov[-1])
    return np.tensordot(_TAYLOR, np.array(krylov), axes=(0, 0))


def _one_step(W: Array, U: Array, dt: float, hold: str) -> tuple[Array, Array, Array]:
    r"""Return :math:`\Phi - I, \Gamma_0, \Gamma_1` of one step.

    With Z = W dt, for a linear hold,

    .. math:: \Gamma_0 = dt \int_0^1 s\, e^{sZ} ds\, U, \qquad
              \Gamma_1 = dt \int_0^1 (1-s)\, e^{sZ} ds\, U.

    Both are Taylor polynomials once Z is halved often enough. Doubling Z again mixes them with
    positive weights, so that nothing cancels however large Z is.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        Z = W * dt
        norm = float(np.abs(Z).max() if Z.ndim == 1 else np.linalg.norm(Z, 1))
        if not math.isfinite(norm):
            raise ValueError(f"W dt overflows for dt = {dt}; choose a smaller dt")
        halvings = max(0, math.frexp(norm)[1])
        Z = np.ldexp(Z, -halvings)
        E = _expm1_small(Z)
        first, last = _moments_small(Z, dt * U)
        for _ in range(halvings):
            both = first + last
            first, last = (
                (both + 2 * first + _apply(E, both + first)) / 4,
                (both + 2 * last + _apply(E, last)) / 4,
            )
            E = _squared(E)
        finite = math.isfinite(E.sum() + first.sum() + last.sum())
    if not finite:
        raise ValueError(
            f"e^(W dt) or its integral times U overflows for dt = {dt}; choose a smaller dt"
        )
    return (E, first, last) if hold == "linear" else (E, first + last, np.zeros_like(last))


def discretise(
    W: ArrayLike, U: ArrayLike, dt: float, hold: str = "linear"
) -> tuple[Array, Array, Array]:
    r"""One exact step of :math:`\dot h = Wh + Ux` on a uniform grid, for any square W.

    The step is :math:`h_{k+1} = \Phi h_k + \Gamma_0 x_k + \Gamma_1 x_{k+1}` with

    .. math::
       \begin{aligned}
       \Phi &= e^{Wdt}, \\
       \Gamma_0 &= \int_0^{dt} \frac{s}{dt} e^{Ws} ds\, U, \\
       \Gamma_1 &= \int_0^{dt} \Bigl(1 - \frac{s}{dt}\Bigr) e^{Ws} ds\, U
       \end{aligned}

    for ``hold="linear"``; for ``hold="constant"``, :math:`\Gamma_0 = \int_0^{dt} e^{Ws} ds\, U`
    and :math:`\Gamma_1 = 0`.

    Parameters
    ----------
    W : array_like, shape (m, m)
        Any real square matrix, in 1/time. It need not be Hurwitz: with growing modes the step is
        still exact, but the states grow and no memory kernel is integrable.
    U : array_like, shape (m,) or (m, d)
        Input matrix.
    dt : float
        Step > 0, in units of time.
    hold : {"linear", "constant"}
        How the input runs between samples.

    Returns
    -------
    Phi : ndarray, shape (m, m)
    Gamma0, Gamma1 : ndarray, shape (m, d)

    Raises
    ------
    ValueError
        If a shape, a number or ``hold`` is not allowed, or if e^(W dt) overflows.

    Notes
    -----
    Scaling and squaring of :math:`e^{Wdt} - I`. Cost O(m^3 (5 + log2(1 + ||W|| dt))), or
    O(m log) for a diagonal W. The errors are a few eps times the largest ``||e^(Ws)||`` for
    0 <= s <= dt, ``||Gamma0||`` and ``||Gamma1||``, and those of data W (1 + eps). Rounding Phi
    itself shifts a rate w by up to eps/dt, relative eps/(w dt): :meth:`LinearRNN.simulate` avoids
    that, a loop over this step does not.

    Used in: ``book/framework/recurrent-networks.ipynb``.
    """
    W, U = _matrices(W, U)
    hold_rule(hold)
    dt = number("dt", dt, positive=True)
    diagonal = not np.count_nonzero(W - np.diag(np.diagonal(W)))
    E, first, last = _one_step(np.diagonal(W) if diagonal else W, U, dt, hold)
    return np.diag(1 + E) if diagonal else _with_identity(E), first, last


# --------------------------------------------------------------------------- all steps, in blocks


def _block_length(samples: int, width: int) -> int:
    """A power of two: long enough that block states take O(n) memory, short enough to pay."""
    ideal = max(64 if samples < 20_000 else 128, min(width, samples / 32))
    return 2 ** math.ceil(math.log2(min(ideal, samples)))


def _toeplitz(lags: Array) -> Array:
    """Weights of B inputs on the B outputs at the same times, as a (B d, B) matrix.

    ``lags[l]`` is the weight of the input l steps back.
    """
    size, d = lags.shape
    padded = np.zeros((2 * size - 1, d))
    padded[size - 1 :] = lags
    down, across = padded.strides
    # Row i of the window is lag j - i in column j: one step back for each later input.
    windows = as_strided(padded[size - 1 :], (size, d, size), (-down, across, down))
    return windows.reshape(size * d, size)


def _scan(E: Array, r: Array) -> Array:
    """All states of h_k = (I + E) h_{k-1} + r_k, h_0 = r_0, by pairing neighbours.

    Each state passes through about log2(n) rounded products instead of n, so that errors grow
    with the logarithm of the memory.
    """
    P = _with_identity(E)
    h = r.copy()
    if len(r) <= 8:
        for k in range(1, len(r)):
            h[k] += P * h[k - 1] if P.ndim == 1 else P @ h[k - 1]
        return h
    transposed, pairs = P.T, len(r) // 2
    h[1::2] += _apply_right(r[0 : 2 * pairs : 2], transposed)
    h[1::2] = _scan(_squared(E), h[1::2])
    h[2::2] += _apply_right(h[1:-1:2], transposed)
    return h


def _powers(E: Array, c: Array, kick: Array, size: int) -> tuple[Array, Array, Array]:
    """Rows c^T Phi^j, then the d rows of kick times (Phi^j)^T, for j < size; and Phi^size - I."""
    d, m = kick.shape
    diagonal = E.ndim == 1
    left, right = np.empty((size, m)), np.empty((size * d, m))
    left[0], right[:d] = 1.0 if diagonal else c, kick
    j = 1
    while j < size:
        P = _with_identity(E)
        _apply_right(left[:j], P, out=left[j : 2 * j])
        if not diagonal:
            _apply_right(right[: j * d], P.T, out=right[j * d : 2 * j * d])
        E, j = _squared(E), 2 * j
    if diagonal:  # One table of Phi^j serves both.
        return left * c, (left[:, None] * kick).reshape(-1, m), E
    return left, right, E


def _run(E: Array, first: Array, last: Array, c: Array, x: Array) -> Array:
    """Outputs of the recurrence, from blocks of B samples.

    The state z = h - Gamma1 x needs one sample a step: z_{k+1} = Phi z_k + kick x_k with
    kick = Gamma0 + Phi Gamma1. Within a block the output is a Toeplitz matrix times the input;
    one product serves all blocks. The states at the starts of the blocks add the past.
    """
    m, d = first.shape
    size = _block_length(len(x), m)
    blocks = -(-len(x) // size)

    readouts, kicks, power = _powers(E, c, (first + last + _apply(E, last)).T, size)
    padded = np.zeros((blocks, size * d))
    padded.reshape(-1)[: x.size] = x.reshape(-1)
    lags = np.concatenate([c @ last, (kicks @ c)[:-d]]).reshape(size, d)
    y = padded @ _toeplitz(lags)
    carry = kicks.reshape(size, d, m)[::-1].reshape(size * d, m)
    starts = np.concatenate([-(last @ x[0])[None], padded[:-1] @ carry])
    y += _scan(power, starts) @ readouts.T
    y[0, 0] = 0.0  # Exact in theory; here the difference of two equal numbers.
    return y.reshape(-1)[: len(x)]


# --------------------------------------------------------------------------- networks


@dataclass(frozen=True, eq=False)
class _Network:
    """The data that linear and nonlinear networks share, checked."""

    W: NDArray
    U: NDArray
    c: NDArray

    def __post_init__(self) -> None:
        W, U = _matrices(self.W, self.U)
        c = real_array("c", self.c)
        if c.shape != (len(W),):
            raise ValueError(f"c must have shape ({len(W)},) beside W of {W.shape}; got {c.shape}")
        for name, array in (("W", W), ("U", U), ("c", c)):
            object.__setattr__(self, name, frozen(array))

    def __reduce__(self) -> tuple:
        """Copies are built by the constructor, so that their arrays are read-only too."""
        return type(self), (self.W, self.U, self.c)

    @property
    def width(self) -> int:
        """Number m of neurons."""
        return len(self.W)

    @property
    def input_dim(self) -> int:
        """Number d of input coordinates."""
        return self.U.shape[1]


@dataclass(frozen=True, eq=False)
class LinearRNN(_Network):
    r"""The linear recurrent network :math:`\dot h = Wh + Ux,\ y = c^\top h`.

    Parameters
    ----------
    W : array_like, shape (m, m)
        Recurrent weights, in 1/time. Hurwitz: every eigenvalue has a negative real part.
    U : array_like, shape (m,) or (m, d)
        Input weights; stored with shape (m, d).
    c : array_like, shape (m,)
        Readout.

    Raises
    ------
    ValueError
        If W isn't Hurwitz, shapes disagree, or an entry isn't a finite real number.

    Notes
    -----
    The arrays are stored in double precision and read-only. Eigenvalues decide about Hurwitz, at a
    cost of O(m^3); for a defective matrix of size k they carry an error of about eps^(1/k).

    Source: the linear model of Li, Han, E and Li (ICLR 2021), arXiv:2009.07799.

    Used in: ``book/framework/recurrent-networks.ipynb``.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        worst = 0.0 - self.rates.real.min()  # never the -0 that a bare minus makes of 0
        if worst >= 0:
            raise ValueError(
                f"W has an eigenvalue with real part {worst:.6g}; a linear RNN needs a Hurwitz W "
                "(all real parts < 0), or old inputs never fade. Subtract more than "
                f"{worst:.6g} times the identity from W, or step it with curse_lib.discretise, "
                "which takes any square W"
            )

    @cached_property
    def _rotations(self) -> NDArray[np.intp] | None:
        """First neurons of 2 x 2 rotation blocks if W has only such and 1 x 1 blocks, else None."""
        beside, main = np.diagonal(self.W, 1), np.diagonal(self.W)
        starts = np.flatnonzero(beside)
        blocks = np.diag(main) + np.diag(beside, 1) - np.diag(beside, -1)
        same = np.array_equal(self.W, blocks) and np.array_equal(main[starts], main[starts + 1])
        return starts if same and (np.diff(starts) > 1).all() else None

    @cached_property
    def rates(self) -> NDArray:
        """Rates w_k, the eigenvalues of -W, shape (m,), in 1/time; complex if one of them is.

        In the order of the neurons when W consists of 1 x 1 and 2 x 2 rotation blocks.
        """
        starts = self._rotations
        if starts is None:
            return -np.linalg.eigvals(self.W)
        rates = -np.diagonal(self.W)
        if starts.size:
            rates = rates.astype(np.complex128)
            rates[starts] += 1j * self.W[starts, starts + 1]
            rates[starts + 1] -= 1j * self.W[starts, starts + 1]
        return rates

    def kernel(self) -> MemoryKernel:
        r"""The memory kernel :math:`\rho(t) = (c^\top e^{Wt} U)^\top`.

        Returns
        -------
        ExponentialSum
            If W has only 1 x 1 blocks (diagonal) and 2 x 2 rotation blocks: exact, neuron by
            neuron. Otherwise if its unit eigenvectors have a condition number of at most 1e5:
            amplitudes to relative accuracy of about eps times that number.
        StateSpaceKernel
            If the eigenvectors are missing (W defective) or nearly parallel.

        Notes
        -----
        Cost O(m^3). By Riesz the norm of the network as a functional is the L1 norm of this kernel.

        Used in: ``book/framework/recurrent-networks.ipynb``.
        """
        starts = self._rotations
        if starts is not None:
            amplitudes = self.c[:, None] * self.U
            if starts.size:
                amplitudes = amplitudes.astype(np.complex128)
                left, right = self.c[starts, None], self.c[starts + 1, None]
                up, down = self.U[starts], self.U[starts + 1]
                pair = (left * up + right * down + 1j * (left * down - right * up)) / 2
                amplitudes[starts], amplitudes[starts + 1] = pair, pair.conj()
            return ExponentialSum(amplitudes, self.rates)
        values, vectors = np.linalg.eig(self.W)
        if np.linalg.cond(vectors) > _MAX_CONDITION:
            return StateSpaceKernel(self.W, self.U, self.c)
        amplitudes = (self.c @ vectors)[:, None] * np.linalg.solve(vectors, self.U + 0j)
        # LAPACK lists a pair as neighbours, exactly conjugate; its amplitudes only nearly so.
        amplitudes[values.imag == 0] = amplitudes[values.imag == 0].real
        upper = np.flatnonzero(values.imag > 0)
        amplitudes[upper + 1] = amplitudes[upper].conj()
        return ExponentialSum(amplitudes, -values)

    @classmethod
    def from_kernel(cls, kernel: ExponentialSum) -> LinearRNN:
        r"""The network that realises a sum of exponentials, block by block.

        A real rate w with amplitude a becomes one neuron with W = -w, U = a, c = 1; a pair of
        rates :math:`p \pm iq` with amplitudes :math:`(u \pm iv)/2` two neurons with

        .. math::
           \begin{gathered}
           W = \begin{pmatrix} -p & q \\ -q & -p \end{pmatrix}, \\
           U = \begin{pmatrix} u \\ v \end{pmatrix}, \quad
           c = \begin{pmatrix} 1 \\ 0 \end{pmatrix}.
           \end{gathered}

        Parameters
        ----------
        kernel : ExponentialSum
            Equal rates and zero amplitudes stay neurons of their own.

        Returns
        -------
        LinearRNN
            With ``kernel.width`` neurons, in the order of the kernel's rates except that the
            second member of a pair moves next to the first. Its :meth:`kernel` has the same rates
            and amplitudes, without rounding.

        Raises
        ------
        ValueError
            If the kernel is of another family (no network of finite width realises it).

        Used in: ``book/framework/recurrent-networks.ipynb``.
        """
        if not isinstance(kernel, ExponentialSum) or kernel.width == 0:
            raise ValueError(
                "only a sum of m >= 1 exponentials is the kernel of a linear RNN; got "
                f"{kernel!r}. Approximate it by an ExponentialSum first"
            )
        m = kernel.width
        W, U, c = np.zeros((m, m)), np.zeros((m, kernel.input_dim)), np.zeros(m)
        k = 0
        for rate, amplitude in zip(kernel.rates, kernel.amplitudes, strict=True):
            if rate.imag < 0:
                continue  # its conjugate brings both neurons
            c[k] = 1
            if rate.imag == 0:
                W[k, k], U[k] = -rate.real, amplitude.real
                k += 1
            else:
                W[k : k + 2, k : k + 2] = [[-rate.real, rate.imag], [-rate.imag, -rate.real]]
                U[k], U[k + 1] = 2 * amplitude.real, 2 * amplitude.imag
                k += 2
        return cls(W, U, c)

    def discretise(self, dt: float, hold: str = "linear") -> tuple[Array, Array, Array]:
        """Phi, Gamma0, Gamma1 of one step of length dt: see :func:`discretise`.

        Used in: ``book/framework/recurrent-networks.ipynb``.
        """
        return discretise(self.W, self.U, dt, hold)

    def simulate(self, x: ArrayLike, dt: float, hold: str = "linear") -> Array:
        r"""The output :math:`y_k = \int_0^{k\,dt} x(k\,dt - s)^\top \rho(s)\, ds`, exactly.

        Exact for the held input: dt sets the resolution of x, not the accuracy of y.

        Parameters
        ----------
        x : array_like, shape (n,) or (n, d)
            Samples at times k dt.
        dt : float
            Step > 0, in units of time.
        hold : {"linear", "constant"}
            Piecewise-linear input through the samples, or each sample held until the next.

        Returns
        -------
        ndarray, shape (n,)
            The output at the same times; the first entry is 0.

        Raises
        ------
        ValueError
            If x is empty, has the wrong shape or holds anything but finite real numbers; if dt
            isn't positive; if ``hold`` is neither of the two.

        Notes
        -----
        Blocks of B samples, B about max(128, m): matrix products of O(n d (B + m) + n m)
        operations for the blocks, O(n m^2 / B) for the states between them, O(m^2 (m + B d)) once.
        Memory O(n d + m^2 + B^2 d), without a factor n m.

        Rounding errors stay below 1e-14 times :math:`\sum_j \|c\| \|e^{Wj\,dt}\| \|\Gamma\|
        \|x_{k-j}\|` however long the memory (tested to 200,000 samples), since powers are formed
        as :math:`\Phi^{2^j} - I` and each state passes through a logarithmic number of products.
        An oscillation also gains the phase error ``eps |W| t`` of a rounded W. A loop over the
        rounded :math:`\Phi` of :meth:`discretise` drifts by up to eps times the number of steps
        that the memory lasts.

        Used in: ``book/framework/recurrent-networks.ipynb``, ``make bench``.
        """
        x = samples(x, self.input_dim)
        hold_rule(hold)
        dt = number("dt", dt, positive=True)
        if len(x) == 1:
            return np.zeros(1)
        diagonal = self._rotations is not None and self._rotations.size == 0
        W = np.diagonal(self.W) if diagonal else self.W
        return _run(*_one_step(W, self.U, dt, hold), self.c, x)


@dataclass(frozen=True, eq=False)
class TanhRNN(_Network):
    r"""The nonlinear recurrent network :math:`\dot h = \tanh(Wh + Ux),\ y = c^\top h`.

    Parameters
    ----------
    W : array_like, shape (m, m)
        Recurrent weights; any real matrix.
    U : array_like, shape (m,) or (m, d)
        Input weights; stored with shape (m, d).
    c : array_like, shape (m,)
        Readout.

    Raises
    ------
    ValueError
        If shapes disagree or an entry isn't a finite real number.

    Notes
    -----
    Time is counted in units in which a saturated neuron moves at speed 1, so ``|h_i(t)| <= t``.

    Source: the nonlinear model of Li, Han, E and Li (ICLR 2021), with :math:`\sigma = \tanh`.

    Used in: ``book/framework/recurrent-networks.ipynb``.
    """

    def simulate(self, x: ArrayLike, dt: float, hold: str = "linear", substeps: int = 1) -> Array:
        r"""The output on the grid, by the classical Runge-Kutta method of order 4.

        Parameters
        ----------
        x : array_like, shape (n,) or (n, d)
            Samples at times k dt.
        dt : float
            Step > 0 of the samples, in units of time.
        hold : {"linear", "constant"}
            Piecewise-linear input through the samples, or each sample held until the next.
        substeps : int
            Runge-Kutta steps a sample, >= 1.

        Returns
        -------
        ndarray, shape (n,)
            The output at the same times; the first entry is 0.

        Raises
        ------
        ValueError
            If x, dt, ``hold`` or ``substeps`` isn't allowed.

        Notes
        -----
        The held input is smooth within a sample and no step crosses a sample, so the error is
        O((dt/substeps)^4) for the held input. It needs ``||W|| dt/substeps`` of about 1 or less;
        compare two values of ``substeps``. Cost O(n m (m + d) substeps), memory O(n).

        Used in: ``book/framework/recurrent-networks.ipynb``.
        """
        x = samples(x, self.input_dim)
        hold_rule(hold)
        dt = number("dt", dt, positive=True)
        if not isinstance(substeps, (int, np.integer)) or substeps < 1:
            raise ValueError(f"substeps must be an integer >= 1; got {substeps!r}")
        W, U, step = self.W, self.U, dt / substeps
        h, y = np.zeros(self.width), np.zeros(len(x))
        for k in range(1, len(x)):
            begin = U @ x[k - 1]
            slope = (U @ x[k] - begin) / (2 * substeps) if hold == "linear" else 0.0
            for i in range(substeps):
                # The input term at the start, middle and end of the Runge-Kutta step.
                start, middle, end = (begin + (2 * i + j) * slope for j in range(3))
                k1 = np.tanh(W @ h + start)
                k2 = np.tanh(W @ (h + step / 2 * k1) + middle)
                k3 = np.tanh(W @ (h + step / 2 * k2) + middle)
                k4 = np.tanh(W @ (h + step * k3) + end)
                h = h + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            y[k] = self.c @ h
        return y


def random_hurwitz(width: int, rng: np.random.Generator, *, margin: float = 0.1) -> Array:
    r"""A random full matrix whose slowest mode decays at the rate ``margin``.

    :math:`W = A - (\alpha + \text{margin}) I`, where A has independent N(0, 1/m) entries and
    :math:`\alpha` is the largest real part of its eigenvalues (about 1 for large m).

    Parameters
    ----------
    width : int
        Number m >= 1 of neurons.
    rng : numpy.random.Generator
        Source of randomness.
    margin : float
        Distance > 0 of the spectrum from the imaginary axis, in 1/time.

    Returns
    -------
    ndarray, shape (m, m)

    Raises
    ------
    ValueError
        If ``width`` or ``margin`` isn't positive.

    Notes
    -----
    Cost O(m^3). The margin holds to about eps times the condition number of the slowest mode.

    Used in: ``book/framework/recurrent-networks.ipynb``.
    """
    if not isinstance(width, (int, np.integer)) or width < 1:
        raise ValueError(f"width must be an integer >= 1; got {width!r}")
    margin = number("margin", margin, positive=True)
    A = rng.standard_normal((width, width)) / math.sqrt(width)
    return A - (np.linalg.eigvals(A).real.max() + margin) * np.eye(width)
