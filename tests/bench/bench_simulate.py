"""Speed of ``LinearRNN.simulate`` at width 64 beside other ways to the same numbers.

Rivals, each with its own set-up inside the timed call and with W, U, c given:

- ``chunks B``: blocks of B steps, a Toeplitz matrix within, a loop over the blocks;
- ``fft``: overlap-add FFT convolution with the impulse weights, cut where the slowest mode has
  decayed by e^-40;
- ``modes``: one ``scipy.signal.lfilter`` for each real mode or conjugate pair;
- ``lsim`` of SciPy and ``forced_response`` of python-control, up to 10^5 samples, for comparison
  only.

``ratio`` is our time over that of the fastest of the first three kinds; the aim is at most 1.5.
Errors are the largest deviation from the plain recurrence in extended precision on the first
10,000 samples, relative to the largest output. The rivals differ from it by the rounding of
e^(W dt) too.
"""

from __future__ import annotations

from collections.abc import Callable

import control
import numpy as np
from scipy import linalg, signal
from side_by_side import medians, milliseconds, table

from curse_lib.models import LinearRNN, _one_step, random_hurwitz

WIDTH, DT, AIM = 64, 0.05, 1.5
LENGTHS = (10**3, 10**4, 10**5, 10**6)
BLOCKS = (32, 64, 128)


def step(W, u, diagonal):
    """Phi, Gamma0, Gamma1 the usual way; Phi as a vector when W is diagonal."""
    if diagonal:
        z = np.diagonal(W) * DT
        phi1 = np.expm1(z) / z
        last = (phi1 - 1) / z
        return np.exp(z), DT * (phi1 - last) * u, DT * last * u
    m = len(u)
    block = np.zeros((m + 2, m + 2))
    block[:m, :m], block[:m, m], block[m, m + 1] = W * DT, u * DT, 1
    power = linalg.expm(block)
    return power[:m, :m], power[:m, m] - power[:m, m + 1], power[:m, m + 1]


def powers(phi, left, count):
    """Rows left Phi^j, j < count (a power of two), and Phi^count."""
    rows = left[None]
    while len(rows) < count:
        rows = np.concatenate([rows, rows * phi if phi.ndim == 1 else rows @ phi])
        phi = phi * phi if phi.ndim == 1 else phi @ phi
    return rows, phi


def chunks(W, u, c, x, diagonal, size):
    """Blocks in NumPy with a loop over their states; linear hold through z = h - Gamma1 x."""
    phi, first, last = step(W, u, diagonal)
    kick = first + (phi * last if diagonal else phi @ last)
    rows, jump = powers(phi, c, size)
    columns, _ = powers(phi.T, kick, size)
    weights = np.concatenate([[c @ last], (rows @ kick)[:-1]])
    within = linalg.toeplitz(weights, np.zeros(size)).T
    blocks = -(-len(x) // size)
    padded = np.zeros((blocks, size))
    padded.reshape(-1)[: len(x)] = x
    kicks = padded @ columns[::-1]
    states, state = np.zeros((blocks, len(u))), -last * x[0]
    for k in range(blocks):
        states[k] = state
        state = (jump * state if diagonal else jump @ state) + kicks[k]
    return (padded @ within + states @ rows.T).reshape(-1)[: len(x)]


def fft(W, u, c, x, diagonal, slowest):
    """Overlap-add FFT convolution with the impulse weights as far as they matter."""
    phi, first, last = step(W, u, diagonal)
    kick = first + (phi * last if diagonal else phi @ last)
    count = min(len(x), int(40 / (slowest * DT)) + 1)
    rows, jump = powers(phi, c, 128)
    columns, _ = powers(jump.T, kick, 2 ** max(0, (count // 128).bit_length()))
    weights = np.concatenate([[c @ last], (columns @ rows.T).reshape(-1)])[:count]
    y = signal.oaconvolve(x, weights)[: len(x)]
    # Before t = 0 the held input is zero: the first sample has no rising edge.
    states, _ = powers(phi, c, 2 ** count.bit_length())
    y[:count] -= x[0] * (states[:count] @ last)
    return y


def modes(W, u, c, x, diagonal):
    """One filter for each real mode, one of second order for each conjugate pair."""
    if diagonal:
        rates, amplitudes = np.diagonal(W), c * u
    else:
        rates, vectors = np.linalg.eig(W)
        amplitudes = (c @ vectors) * np.linalg.solve(vectors, u.astype(rates.dtype))
    z = rates * DT
    phi, phi1 = np.exp(z), np.expm1(z) / z
    last = (phi1 - 1) / z
    y = np.zeros(len(x))
    for p, now, before, w in zip(
        phi, DT * amplitudes * last, DT * amplitudes * (phi1 - last), rates, strict=True
    ):
        start = -now * x[0]  # Before t = 0 the held input is zero: no rising edge.
        if w.imag == 0:
            y += signal.lfilter([now.real, before.real], [1, -p.real], x, zi=[start.real])[0]
        elif w.imag > 0:
            b = np.convolve([now, before], [1, -p.conj()])
            a = np.convolve([1, -p], [1, -p.conj()])
            zi = [2 * start.real, -2 * (start * p.conj()).real]
            y += signal.lfilter(2 * b.real, a.real, x, zi=zi)[0]
    return y


def public(W, u, c, x) -> dict[str, Callable]:
    """Two public simulators that take state-space matrices and a linear hold."""
    t = DT * np.arange(len(x))
    column, row = u[:, None], c[None]
    return {
        "lsim": lambda: signal.lsim((W, column, row, 0.0), x, t)[1],
        "forced_response": lambda: (
            control.forced_response(control.ss(W, column, row, 0.0), t, x).outputs
        ),
    }


def recurrence(rnn, x, diagonal):
    """The plain recurrence in extended precision, with Phi = I + (Phi - I) not rounded."""
    W = np.diagonal(rnn.W) if diagonal else rnn.W
    E, first, last = _one_step(W, rnn.U, DT, "linear")
    phi = (np.ones(WIDTH) if diagonal else np.eye(WIDTH)) + E.astype(np.longdouble)
    first, last = first[:, 0].astype(np.longdouble), last[:, 0].astype(np.longdouble)
    h, y = np.zeros(WIDTH, np.longdouble), np.zeros(len(x), np.longdouble)
    for k in range(1, len(x)):
        h = (phi * h if diagonal else phi @ h) + first * x[k - 1] + last * x[k]
        y[k] = rnn.c @ h
    return y


def main() -> None:
    rng = np.random.default_rng(20210501)
    u, c = rng.standard_normal((2, WIDTH))
    networks = {
        "diagonal W, rates 0.1 .. 10": np.diag(-np.geomspace(0.1, 10, WIDTH)),
        "full W, slowest rate 0.1": random_hurwitz(WIDTH, rng),
    }
    worst = 0.0
    for title, W in networks.items():
        rnn = LinearRNN(W, u, c)
        diagonal, slowest = "diagonal" in title, rnn.rates.real.min()
        x = rng.standard_normal(max(LENGTHS))
        exact = recurrence(rnn, x[:10_000], diagonal)
        rows = []
        for length in LENGTHS:
            part = x[:length]
            calls: dict[str, Callable] = {"simulate": lambda p=part: rnn.simulate(p, DT)}
            for size in BLOCKS:
                calls[f"chunks {size}"] = lambda p=part, b=size: chunks(W, u, c, p, diagonal, b)
            calls["fft"] = lambda p=part: fft(W, u, c, p, diagonal, slowest)
            calls["modes"] = lambda p=part: modes(W, u, c, p, diagonal)
            rivals = list(calls)[1:]
            names = [*rivals, "lsim", "forced_response"]
            seconds = medians(calls)
            if length <= 10**5:
                others = public(W, u, c, part)
                seconds |= medians(others)
                calls |= others
            ratio = seconds["simulate"] / min(seconds[name] for name in rivals)
            worst = max(worst, ratio)
            known = exact[: len(part)]
            error = {
                name: float(np.abs(call()[: len(known)] - known).max() / np.abs(known).max())
                for name, call in calls.items()
            }
            header = ["T", "", "simulate", "ratio", *names]
            shown = [milliseconds(seconds[n]) if n in seconds else "-" for n in names]
            rows.append(
                [f"{length:.0e}", "ms", milliseconds(seconds["simulate"]), f"{ratio:.2f}", *shown]
            )
            shown = [f"{error[n]:.0e}" if n in error else "-" for n in names]
            rows.append(["", "error", f"{error['simulate']:.0e}", "", *shown])
        print(title)
        table(header, rows)
    print(f"largest ratio {worst:.2f} (aim: at most {AIM})", flush=True)


if __name__ == "__main__":
    main()
