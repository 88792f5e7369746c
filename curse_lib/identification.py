r"""Measuring a memory kernel from a recorded input and output, and naming it.

The model is a piecewise-linear kernel behind a constant and coloured noise; its node values are
found by penalised least squares, with bands: see :func:`measure_kernel`. What was measured can then
be fitted by the kernel of a linear network of given width: see :func:`fit_exponential_sum`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg, optimize, signal, stats

from curse_lib._checks import hold_rule, number, real_array, samples
from curse_lib.functionals import LinearFunctional
from curse_lib.kernels import ExponentialSum, SampledKernel

__all__ = ["MeasuredKernel", "fit_exponential_sum", "measure_kernel"]

Array = NDArray[np.float64]

#: A direction of kernel space that moves the output this much less than the best one is unseen.
_UNSEEN = 1e-6
#: Below this share of the best direction the penalty has much of the say.
_WEAK = 0.03
_ROWS = 4096


@dataclass(frozen=True, eq=False)
class MeasuredKernel:
    r"""A memory kernel measured by :func:`measure_kernel`.

    Attributes
    ----------
    lags : ndarray, shape (L,)
        Lags j dt, j = 0, ..., L - 1.
    values : ndarray, shape (L,) or (L, d)
        The kernel at those lags, in units of output / (input x time).
    lower, upper : ndarray, as values
        Pointwise band at the level that was asked for.
    offset : float
        The constant added to the output.
    kernel : SampledKernel
        The kernel as a function: linear between the lags, 0 beyond the last one.
    noise_std : float
        Standard deviation of the noise; with `noise_order` > 0 of its innovations, that is of
        the part that the noise's own past does not predict.
    noise_coefficients : ndarray, shape (noise_order,)
        Autoregression e_k = phi_1 e_{k-1} + ... + innovation.
    r_squared : float
        Share of the recorded output's variance that ``predict(x)`` explains, on the recording
        itself.
    effective_parameters : float
        How many numbers the data determined; between 2 d (straight lines) and L d.
    smoothness : float
        Weight of the penalty. Pass it to :func:`measure_kernel` to get the same fit.
    resolution : ndarray, as values
        The data's share in each value (the diagonal of the resolution matrix): 1 where the value
        stands on its own, near 0 where it follows from its neighbours by smoothness. The sum is
        `effective_parameters`.
    advice : str
        What limits the measurement and what would help; empty when nothing does.

    Used in: ``measure_kernel``.
    """

    lags: Array
    values: Array
    lower: Array
    upper: Array
    offset: float
    kernel: SampledKernel
    noise_std: float
    noise_coefficients: Array
    r_squared: float
    effective_parameters: float
    smoothness: float
    resolution: Array
    advice: str
    _grid: tuple[float, str] = field(repr=False)

    def predict(self, x: ArrayLike) -> Array:
        """Output for an input on the recording's own grid, from rest: kernel and offset.

        Parameters
        ----------
        x : array_like, shape (n,) or (n, d)
            Samples with the recording's dt and hold; zero before the first one.

        Returns
        -------
        ndarray, shape (n,)
            ``LinearFunctional(kernel)(x, dt, hold) + offset``.
        """
        dt, hold = self._grid
        return LinearFunctional(self.kernel)(x, dt, hold) + self.offset


# --------------------------------------------------------------------------- the linear algebra


def _lagged(x: Array, hold: str) -> list[tuple[Array, Array]]:
    """For each input the outputs of the rising and the falling half of a hat, with dt = 1.

    A hat at lag j answers with rising[k - j] + falling[k - j]. The path jumps to its first sample
    at t = 0, so nothing leads up to that one: it only counts where it leads to the second.
    """
    halves = []
    for column in x.T:
        past, following = np.append(0.0, column[:-1]), np.append(column[1:], 0.0)
        if hold == "linear":
            later = np.append(0.0, column[1:])
            halves.append((column / 3 + following / 6, later / 3 + past / 6))
        else:
            halves.append((column / 2, past / 2))
    return halves


def _triangle(
    halves: list[tuple[Array, Array]], y: Array, lags: int, first: int, noise: Array
) -> tuple[Array, Array]:
    """Triangular factors of [1, hats at lags, y], whitened: of rows from `lags` on, and of all.

    Rows are taken in blocks, so that memory does not grow with the recording.
    """
    whitener = np.append(1.0, -noise)
    target = signal.lfilter(whitener, [1.0], y)
    bases = []
    for pair in halves:
        rising, falling = np.pad(signal.lfilter(whitener, [1.0], pair), ((0, 0), (lags - 1, 0)))
        both = np.lib.stride_tricks.sliding_window_view(rising + falling, lags)
        bases.append((both, rising, falling))
    size = len(bases) * lags + 2

    def extended(factor: Array, start: int, stop: int) -> Array:
        columns = np.empty((stop - start, size), order="F")
        columns[:, 0] = whitener.sum()
        for i, (both, rising, falling) in enumerate(bases):
            part = columns[:, 1 + i * lags : 1 + (i + 1) * lags]
            part[:] = both[start:stop, ::-1]
            part[:, 0] = falling[start + lags - 1 : stop + lags - 1]
            part[:, -1] = rising[start:stop]
        columns[:, -1] = target[start:stop]
        return np.linalg.qr(np.vstack([factor, columns]), mode="r")

    first = max(first, noise.size)
    settled = max(first, lags)
    factor = np.zeros((size, size))  # a square triangle even when there are fewer rows
    for start in range(settled, y.size, _ROWS):
        factor = extended(factor, start, min(start + _ROWS, y.size))
    return factor, extended(factor, first, min(settled, y.size))


def _penalty(lags: int, inputs: int, ridge: float) -> Array:
    """Second differences along the lags of each input; a ridge for what even they leave open."""
    rows = np.kron(np.eye(inputs), np.diff(np.eye(lags), 2, axis=0))
    return np.vstack([rows, ridge * np.eye(lags * inputs)]) if ridge else rows


class _Smoother:
    r"""Penalised least squares for every weight at once.

    With R from the data and D from the penalty, one orthogonal change of variables
    :math:`r = T^{-1} V b` turns :math:`|z - R r|^2 + \lambda |D r|^2` into
    :math:`\sum_k (u_k - c_k b_k)^2 + \lambda s_k^2 b_k^2`. T stacks both, so that neither has to
    have full rank on its own.
    """

    def __init__(self, factor: Array, penalty: Array, null: int, rows: int) -> None:
        data, z = factor[1:-1, 1:-1], factor[1:-1, -1]
        self.rows, self.null, self.unexplained = rows, null, factor[-1, -1] ** 2
        self.balance = linalg.norm(data) / linalg.norm(penalty)
        stacked = np.linalg.qr(np.vstack([data, self.balance * penalty]), mode="r")
        diagonal = np.abs(np.diag(stacked))
        if diagonal.min() <= 1e-12 * diagonal.max():
            raise ValueError("neither the input nor smoothness determines the kernel")
        inverse = linalg.solve_triangular(stacked, np.eye(len(stacked)))
        left, self.c, right = linalg.svd(data @ inverse)
        self.basis = inverse @ right.T
        self.s = linalg.norm(self.balance * (penalty @ self.basis), axis=0)
        # Straight lines pay no penalty: exactly none, however large its weight.
        self.s[np.argsort(self.s)[:null]] = 0.0
        self.data, self.u = data, left.T @ z

    def _shares(self, smoothness: float) -> tuple[Array, Array]:
        """What the penalty weighs in each direction, and what data and penalty do together."""
        cost = smoothness / self.balance**2 * self.s**2
        return cost, self.c**2 + cost

    def criterion(self, smoothness: float) -> float:
        """Twice the negative log restricted likelihood, profiled over the noise variance."""
        cost, whole = self._shares(smoothness)
        paid = max(self.unexplained + np.sum(self.u**2 * cost / whole), 1e-300)
        bent = self.s > 0
        freedom = self.rows - self.null - 1
        return freedom * np.log(paid) + np.sum(np.log(whole[bent] / cost[bent]))

    def best(self) -> float:
        """The weight that maximises the restricted likelihood."""
        reach = np.linspace(-14.0, 14.0, 113) + 2 * np.log10(self.balance)
        values = [self.criterion(10.0**power) for power in reach]
        k = int(np.argmin(values))
        ends = reach[max(k - 1, 0)], reach[min(k + 1, reach.size - 1)]
        found = optimize.minimize_scalar(
            lambda power: self.criterion(10.0**power), bounds=ends, method="bounded"
        )
        return float(10.0**found.x)

    def solve(self, smoothness: float) -> tuple[Array, Array, Array, float]:
        """Values, their standard errors for noise of variance 1, resolution, residual square."""
        cost, whole = self._shares(smoothness)
        values = self.basis @ (self.c * self.u / whole)
        spread = linalg.norm(self.basis / np.sqrt(whole), axis=1)
        dual = (self.basis / whole) @ (self.basis.T @ self.data.T)
        resolution = np.einsum("ij,ji->i", dual, self.data)
        residual = self.unexplained + np.sum((self.u * cost / whole) ** 2)
        return values, spread, resolution, float(residual)


def _autoregression(noise: Array, order: int) -> Array:
    """Burg's estimate of an autoregression; it is always stable."""
    coefficients = np.ones(1)
    ahead, behind = noise[1:], noise[:-1]
    for _ in range(order):
        power = ahead @ ahead + behind @ behind
        reflection = 0.0 if power == 0 else -2 * (ahead @ behind) / power
        coefficients = np.append(coefficients, 0.0)
        coefficients = coefficients + reflection * coefficients[::-1]
        ahead, behind = (ahead + reflection * behind)[1:], (behind + reflection * ahead)[:-1]
    return -coefficients[1:]


# --------------------------------------------------------------------------- excitation


def _runs(lags: Array) -> str:
    """Lag numbers in words: 0-3, 7."""
    parts = np.split(lags, np.flatnonzero(np.diff(lags) > 1) + 1)
    return _few([f"{p[0]}" if p.size == 1 else f"{p[0]}-{p[-1]}" for p in parts])


def _few(words: list[str]) -> str:
    return ", ".join(words[:4]) + (", ..." if len(words) > 4 else "")


def _excitation(
    factor: Array, lags: int, hold: str, rows: int, constants: Array
) -> tuple[str, str]:
    """What the input leaves unseen, and what it shows only weakly; empty when there is nothing.

    Judged on the lagged input itself: the map from kernel values to the weights of the samples is
    undone. (A held input has L - 1 weights, the integrals over the intervals between the lags.)
    """
    data = factor[1:-1, 1:-1]
    inputs = data.shape[0] // lags
    middle = (np.eye(lags)[1:] + np.eye(lags)[:-1]) / 2
    slopes = np.diff(np.eye(lags), axis=0)
    # The hats' Gram matrix is what a linear hold makes of the values, with whole cells only.
    weights = middle.T @ middle + slopes.T @ slopes / 12 if hold == "linear" else middle
    count = weights.shape[0]
    undo = np.linalg.pinv(weights)
    lagged = np.hstack([part @ undo for part in np.hsplit(data, inputs)])
    _, sizes, directions = linalg.svd(lagged)
    sizes = sizes / np.sqrt(max(rows, 1))  # about 1 for white noise of variance 1
    best = max(sizes[0], 1e-3)
    seen, clear = (int(np.sum(sizes > share * best)) for share in (_UNSEEN, _WEAK))

    def affected(start: int, stop: int) -> str:
        share = np.sum(directions[start:stop] ** 2, axis=0).reshape(inputs, count)
        sums = share.sum(axis=1)
        where = {
            i: np.flatnonzero(share[i] > 0.3 * share[i].max())
            for i in np.flatnonzero(sums > 0.2 * sums.max())
        }
        return _few([f"input {i} (lag numbers {_runs(where[i])})" for i in where])

    possible = inputs * count
    unseen = weak = ""
    if seen < possible:
        unseen = (
            f"the input determines {seen} of the {possible} directions of the kernel; undetermined "
            f"above all: {affected(seen, possible)}"
        )
        if constants.size:
            unseen += f"; constant throughout: input {_runs(constants)}"
    elif clear < possible:
        weak = (
            f"The input excites {possible - clear} of the {possible} directions of the kernel less "
            f"than {_WEAK:.0%} as much as the best one, above all in {affected(clear, possible)}. "
            "There the values lean on smoothness; fewer lags, a longer recording or an input that "
            "varies faster would help."
        )
    return unseen, weak


# --------------------------------------------------------------------------- the measurement


def measure_kernel(
    x: ArrayLike,
    y: ArrayLike,
    dt: float,
    lags: int | ArrayLike,
    *,
    hold: str = "linear",
    noise_order: int = 0,
    level: float = 0.95,
    smoothness: float | None = None,
    burn_in: int = 0,
    allow_weak: bool = False,
) -> MeasuredKernel:
    r"""Measure the memory kernel of a recorded input and output by penalised least squares.

    .. math::
       \begin{aligned}
       &y_k = b + \int_0^{t_k} x(t_k - s)^\top r(s)\,ds + e_k, \\
       &\min_{b, r} \sum_k (e_k)^2 \\
       &\; {} + \lambda \sum_i \sum_j (v_{i,j-1} - 2 v_{i,j} + v_{i,j+1})^2,
       \end{aligned}

    where r is piecewise linear with nodes at the lags j dt, x is the interpolated input and
    :math:`v_{i,j} = dt\,\sigma_i\,r_i(j\,dt)`, with :math:`\sigma_i` the standard deviation of
    input i, so that units do not matter. With ``noise_order=p`` the noise is an autoregression of
    order p: data and model are filtered by its inverse, and fit and noise model alternate until
    they agree.

    Parameters
    ----------
    x : array_like, shape (n,) or (n, d)
        Recorded input, on the grid k dt. It counts as zero before the first sample: when it
        wasn't, set ``burn_in=lags``.
    y : array_like, shape (n,)
        Recorded output.
    dt : float
        Sampling interval.
    lags : int or array_like
        Number L >= 3 of lags; the kernel is measured at j dt, j = 0, ..., L - 1, and taken as zero
        beyond (L - 1) dt. Choose it longer than the memory. The lags themselves, ``dt *
        arange(L)``, will do as well.
    hold : {"linear", "constant"}
        How the input runs between its samples.
    noise_order : int
        Order p >= 0 of the noise's autoregression. With coloured noise and p = 0 the values stay
        right on average, and the bands are wrong.
    level : float
        Pointwise level of the bands, in (0, 1).
    smoothness : float, optional
        Weight lambda >= 0 of the penalty; 0 is plain least squares. By default it maximises the
        restricted likelihood (REML), in which lambda is the ratio of the noise's variance to that
        of the second differences. REML is preferred to generalised cross-validation because it
        undersmooths more rarely, and because the bands come from the same model.
    burn_in : int
        Number of outputs at the beginning that are not fitted.
    allow_weak : bool
        Measure even when the input leaves directions of the kernel undetermined: a small ridge
        pulls them to zero and the bands become wide there.

    Returns
    -------
    MeasuredKernel
        Values, bands, predictions and diagnostics.

    Raises
    ------
    ValueError
        When shapes or parameters make no sense, or when the input does not determine the kernel
        (zero, constant, a few sinusoids, too short, collinear inputs). What counts is the part of
        the recording from sample `lags` on, where all lags lie inside the record; a system that
        was at rest may be given `lags` zeros in front of x and of y.

    Notes
    -----
    Bands are values -+ t-quantile x posterior standard deviation, lambda and the noise model
    taken as known. They cover at `level` on average over the lags (Nychka 1988), less at sharp
    peaks and more where the kernel is flat.

    Cost: one triangular factorisation of n x (L d + 1) numbers in blocks, about a second for
    n = 1e5 and 300 unknowns (times the iterations when p > 0); memory O((L d)^2). Accuracy: with
    noise-free data and ``hold="linear"`` about 1e-10 relative for a well-excited piecewise-linear
    kernel. With ``hold="constant"`` no data can see values that alternate in sign from lag to lag;
    smoothness alone fixes that combination. The bands know nothing of what a smooth kernel loses
    by straight lines between the lags, nor of what lies beyond the last lag.

    Source: penalised splines with REML as in S. N. Wood, *Generalized Additive Models* (2nd ed.,
    2017), chapter 6; bands as in D. Nychka, J. Amer. Statist. Assoc. 83 (1988), 1134-1143.

    Used in: ``book/framework/memory-kernel.ipynb``.
    """
    dt, hold, x = number("dt", dt, positive=True), hold_rule(hold), samples(x)
    n, d = x.shape
    if np.shape(y) != (n,):
        raise ValueError(f"y must have shape ({n},), as x has {n} samples; got {np.shape(y)}")
    y = samples(y, name="y")[:, 0]
    if np.ndim(lags) > 0:
        grid = real_array("lags", lags)
        own = dt * np.arange(grid.size)
        if grid.ndim != 1 or not grid.size or np.abs(grid - own).max() > 1e-6 * dt:
            raise ValueError(
                "lags must be a whole number L, or the lags 0, dt, 2 dt, ... of the recording's "
                f"own grid; got {lags!r}. Use dt * np.arange(L)"
            )
        lags = grid.size
    for name, count, least in (("lags", lags, 3), ("noise_order", noise_order, 0)):
        if not isinstance(count, (int, np.integer)) or count < least:
            raise ValueError(f"{name} must be a whole number >= {least}; got {count!r}")
    if not isinstance(burn_in, (int, np.integer)) or not 0 <= burn_in < n:
        raise ValueError(f"burn_in must be a whole number from 0 to {n - 1}; got {burn_in!r}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1; got {level!r}")
    if smoothness is not None and not 0 <= smoothness < np.inf:
        raise ValueError(f"smoothness must be a finite number >= 0 or None; got {smoothness!r}")
    if smoothness == 0 and (hold == "constant" or allow_weak):
        raise ValueError(
            "smoothness=0 leaves undetermined directions open, and there is one with "
            "hold='constant' and possibly more with allow_weak=True; use smoothness=None or > 0"
        )
    size, rows = lags * d, n - max(burn_in, noise_order)
    complete = max(n - max(burn_in, lags), 0)
    if rows < 8 or (not allow_weak and complete < size + 2):
        most = max(min((n - 2) // (d + 1), (n - burn_in - 2) // d), 0)
        raise ValueError(
            f"too short: {n} samples hold {complete} outputs with a complete past, and {size} "
            f"values and an offset ask for {size + 2}. Use fewer lags (at most {most}) or a longer "
            "recording"
        )
    # Units of input and output: standard deviations, and 1 where they are only rounding.
    varies = x.std(axis=0) > 1e-12 * np.abs(x).max(axis=0)
    unit, constants = np.where(varies, x.std(axis=0), 1.0), np.flatnonzero(~varies)
    level_of_y = y.mean()
    y = y - level_of_y if y.std() > 1e-12 * abs(level_of_y) else np.zeros(n)
    unit_of_y = y.std() or 1.0
    halves = _lagged(x / unit, hold)

    def by_lag(flat: Array) -> Array:
        return flat if d == 1 else flat.reshape(d, lags).T

    null = 0 if allow_weak else 2 * d
    penalty = _penalty(lags, d, 1e-3 if allow_weak else 0.0)

    noise, advice, weakness = np.zeros(noise_order), "", ""
    for iteration in range(50 if noise_order else 1):
        settled, whole = _triangle(halves, y / unit_of_y, lags, burn_in, noise)
        if iteration == 0:
            unseen, weakness = _excitation(settled, lags, hold, complete, constants)
            if unseen and not allow_weak:
                raise ValueError(
                    f"{unseen}. Use fewer lags, a longer recording or a richer input (one that "
                    "varies at every time scale, each coordinate on its own), prepend "
                    f"{lags} zeros to x and y if the system was at rest, or set allow_weak=True"
                )
            weakness = f"{unseen[0].upper()}{unseen[1:]}." if unseen else weakness
        smoother = _Smoother(whole, penalty, null, rows)
        weight = smoother.best() if smoothness is None else float(smoothness)
        scaled, spread, resolution, residual = smoother.solve(weight)
        values = by_lag(scaled) * unit_of_y / (dt * unit)
        kernel = SampledKernel(dt * np.arange(lags), values)
        response = LinearFunctional(kernel)(x, dt, hold)
        # The offset solves the first row of the triangle, which the penalty leaves alone.
        offset = unit_of_y * float((whole[0, -1] - whole[0, 1:-1] @ scaled) / whole[0, 0])
        error = (y - response - offset)[burn_in:]
        if not noise_order:
            break
        before, noise = noise, _autoregression(error, noise_order)
        if np.abs(noise - before).max() < 1e-5:
            break
    else:
        advice = "The noise model had not settled after 50 rounds; try a smaller noise_order. "

    effective = float(resolution.sum())
    freedom = rows - effective - 1 - noise_order
    if freedom < 1:
        raise ValueError(
            f"too short: {effective:.1f} effective parameters for {rows} outputs leave nothing to "
            "estimate the noise from; use fewer lags or more smoothness"
        )
    noise_std = unit_of_y * float(np.sqrt(residual / freedom))
    band = by_lag(stats.t.ppf(0.5 + 0.5 * level, freedom) * noise_std * spread) / (dt * unit)
    variance = np.var(y[burn_in:])
    return MeasuredKernel(
        lags=kernel.times,
        values=values,
        lower=values - band,
        upper=values + band,
        offset=float(offset + level_of_y),
        kernel=kernel,
        noise_std=noise_std,
        noise_coefficients=noise,
        r_squared=float(1 - np.mean(error**2) / variance) if variance > 0 else 0.0,
        effective_parameters=effective,
        smoothness=weight,
        resolution=by_lag(resolution),
        advice=advice + weakness,
        _grid=(dt, hold),
    )


# --------------------------------------------------------------------------- exponential fits


def _section(log_sum: float, log_product: float, t: Array) -> Array:
    r"""Basis of :math:`f'' + p f' + q f = 0`, smooth where two real rates meet and turn complex."""
    half, product = 0.5 * np.exp(log_sum), np.exp(log_product)
    frequency = np.emath.sqrt(product - half**2 + 0j)
    wave = np.exp(np.multiply.outer(t, -half + 1j * frequency))
    back = np.exp(np.multiply.outer(t, -half - 1j * frequency))
    if abs(frequency) * t.max() < 1e-6:
        return np.stack([np.exp(-half * t), t * np.exp(-half * t)], axis=1)
    return np.stack([(wave + back) / 2, (wave - back) / (2j * frequency)], axis=1).real


def _pairs(parameters: Array) -> tuple[Array, Array]:
    """The parameters of pairs of rates, shape (k, 2), and of the single rate, if one is left."""
    paired = parameters.size // 2 * 2
    return parameters[:paired].reshape(-1, 2), parameters[paired:]


def _basis(parameters: Array, t: Array) -> Array:
    """Columns for pairs of rates (two parameters each) and, if one is left over, a single rate."""
    pairs, single = _pairs(parameters)
    return np.hstack(
        [*(_section(*pair, t) for pair in pairs), np.exp(-np.outer(t, np.exp(single)))]
    )


def _rates(parameters: Array) -> NDArray:
    """The rates that the parameters of :func:`_basis` stand for; a conjugate pair is neighbours."""
    pairs, single = _pairs(parameters)
    half, product = np.exp(pairs.T) * [[0.5], [1.0]]
    gap = np.emath.sqrt(half**2 - product + 0j)
    # The smaller of two real roots from their product: the difference would lose digits.
    other = np.where(gap.imag == 0, product / (half + gap), half - gap)
    return np.append(np.stack([half + gap, other], axis=1), np.exp(single))


def fit_exponential_sum(
    lags: ArrayLike, values: ArrayLike, width: int, *, weights: ArrayLike | None = None
) -> ExponentialSum:
    r"""Fit sampled kernel values by a linear RNN's kernel of given width, by least squares.

    .. math::
       \begin{gathered}
       \min_{a, w} \sum_j \omega_j \Bigl(v_j - \sum_{k=1}^m a_k e^{-w_k s_j}\Bigr)^2, \\
       \mathrm{Re}\, w_k > 0.
       \end{gathered}

    The amplitudes are eliminated (variable projection); the rates are found in pairs, as the roots
    of :math:`w^2 - p w + q` with p, q > 0, so that two real rates can meet and become a conjugate
    pair. The fit of width m starts from the fit of width m - 2 and one more pair at each of several
    time-scales, so that a wider fit is never worse than the fit two neurons narrower. The optimum
    is local: nothing is claimed about the best fit of this width.

    Parameters
    ----------
    lags : array_like, shape (n,)
        Lags, increasing and not negative (time).
    values : array_like, shape (n,)
        Kernel values at those lags.
    width : int
        Number m of neurons, 1 <= m <= n / 2.
    weights : array_like, shape (n,), optional
        Non-negative weights, such as one over the squared standard errors; equal by default.

    Returns
    -------
    ExponentialSum
        With m rates, real or in conjugate pairs.

    Raises
    ------
    ValueError
        If shapes disagree, an entry isn't finite, or the width isn't between 1 and n / 2.

    Notes
    -----
    Cost: some tens of least-squares solves of size n x m for each time-scale tried; milliseconds to
    a second for n up to 100.

    Source: variable projection after Golub and Pereyra, SIAM J. Numer. Anal. 10 (1973), 413-432.

    Used in: ``book/framework/memory-kernel.ipynb``.
    """
    t, v = real_array("lags", lags), real_array("values", values)
    root = np.ones_like(t) if weights is None else real_array("weights", weights)
    if t.ndim != 1 or v.shape != t.shape or root.shape != t.shape:
        raise ValueError(
            f"lags, values and weights need one shape (n,); got {t.shape}, {v.shape}, {root.shape}"
        )
    if t.size < 2 or (np.diff(t) <= 0).any() or t[0] < 0:
        raise ValueError(f"lags must increase from a lag >= 0, at least two of them; got {lags!r}")
    if (root < 0).any() or not root.any():
        raise ValueError("weights must not be negative, and some of them must be positive")
    if not isinstance(width, (int, np.integer)) or not 1 <= width <= t.size // 2:
        raise ValueError(
            f"width must be an integer from 1 to {t.size // 2}, half the number of samples; "
            f"got {width!r}"
        )
    root = np.sqrt(root / root.max())
    unit = np.abs(root * v).max() or 1.0  # the solver's tolerances are not relative
    target = root * v / unit

    def residual(parameters: Array) -> Array:
        columns = root[:, None] * _basis(parameters, t)
        return columns @ linalg.lstsq(columns, target)[0] - target

    # Rates between a tenth of the slowest and ten times the fastest that the lags can show.
    slowest, fastest, two = np.log(1 / t[-1]), np.log(1 / np.diff(t).min()), np.log(2)
    ends = slowest - np.log(10), fastest + np.log(10)
    scales = np.linspace(slowest + np.log(3), fastest, 4)
    # A pair of equal rates, and a pair that turns once in its time-scale.
    pairs = [[s + two, 2 * s + turn] for s in scales for turn in (0.0, np.log(5))]
    best = np.empty(0)
    for size in range(2 - width % 2, width + 1, 2):
        bounds = [np.append(np.tile([s + two, 2 * s], size // 2), [s] * (size % 2)) for s in ends]
        starts = [np.append(new, best) for new in (scales if size == 1 else pairs)]
        fits = [
            optimize.least_squares(residual, np.clip(start, *bounds), bounds=bounds)
            for start in starts
        ]
        best = min(fits, key=lambda fit: fit.cost).x
    rates = _rates(best)
    columns = np.exp(-np.multiply.outer(t, rates))
    amplitudes = unit * linalg.lstsq(root[:, None] * columns, target)[0]
    # The two of a pair are conjugate but for rounding; their mean keeps the fit's real part.
    amplitudes[rates.imag == 0] = amplitudes[rates.imag == 0].real
    upper = np.flatnonzero(rates.imag > 0)
    amplitudes[upper] = 0.5 * (amplitudes[upper] + amplitudes[upper + 1].conj())
    amplitudes[upper + 1] = amplitudes[upper].conj()
    return ExponentialSum(amplitudes, rates)
