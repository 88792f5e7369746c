"""Other answers to the sheet on the functional framework: right ones and plausible wrong ones."""

EXPM = "from scipy.linalg import expm\n\n\n"
KERNEL = "def kernel_values(W, U, c, t):\n"
STEPS = "def exact_steps(W, U, c, x, dt):\n"
NOISE = "def noise_variance(a, w, dt):\n"
EXPOSE = "def exposing_kernel():\n    return np.array([-1.0, 6.0]), np.array([1.0, 10.0])\n\n\n"
MEND = "def mended_gain(a, w):\n"
GOOD_MEND = (
    MEND + "    cut = np.log(-a[0] / a[1]) / (w[0] - w[1]) if a[0] * a[1] < 0 else 0.0\n"
    "    first = -np.expm1(-w * max(cut, 0.0)) @ (a / w)\n"
    "    return abs(first) + abs(np.sum(a / w) - first)\n"
)

VARIANTS = {
    "kernel-values": {
        "right": {
            "differential equation": "from scipy.integrate import solve_ivp\n\n\n"
            + KERNEL
            + "    options = {'method': 'DOP853', 'rtol': 1e-12, 'atol': 1e-14, 't_eval': t}\n"
            "    rows = []\n"
            "    for column in U.T:\n"
            "        flow = solve_ivp(lambda s, h: W @ h, (0, t[-1]), column, **options)\n"
            "        rows.append(c @ flow.y)\n"
            "    return np.array(rows).T\n",
            "step by step": EXPM + KERNEL + "    state, now, rows = np.array(U), 0.0, []\n"
            "    for instant in t:\n"
            "        state, now = expm(W * (instant - now)) @ state, instant\n"
            "        rows.append(c @ state)\n"
            "    return np.array(rows)\n",
        },
        "wrong": {
            "eigenvectors": KERNEL + "    rates, V = np.linalg.eig(W)\n"
            "    weights = (c @ V)[:, None] * (np.linalg.pinv(V) @ U)\n"
            "    return np.real(np.exp(np.outer(t, rates)) @ weights)\n",
            "entrywise exponential": KERNEL
            + "    return np.array([c @ np.exp(W * s) @ U for s in t])\n",
            "Euler steps": KERNEL + "    rows = []\n"
            "    for s in t:\n"
            "        step = np.eye(len(U)) + W * s / 1000\n"
            "        rows.append(c @ np.linalg.matrix_power(step, 1000) @ U)\n"
            "    return np.array(rows)\n",
            "transposed": EXPM
            + KERNEL
            + "    return np.array([c @ expm(W.T * s) @ U for s in t])\n",
            "first input only": EXPM
            + KERNEL
            + "    return np.array([c @ expm(W * s) @ U[:, 0] for s in t])\n",
        },
    },
    "exact-steps": {
        "right": {
            "inverse of W": EXPM + STEPS + "    fade = expm(W * dt)\n"
            "    push = np.linalg.solve(W, (fade - np.eye(len(U))) @ U)\n"
            "    h, y = np.zeros(len(U)), np.zeros(len(x))\n"
            "    for k in range(1, len(x)):\n"
            "        h = fade @ h + push * x[k - 1]\n"
            "        y[k] = c @ h\n"
            "    return y\n",
            "convolution with cells": EXPM + STEPS + "    m, n = len(U), len(x)\n"
            "    block = np.zeros((m + 1, m + 1))\n"
            "    block[:m, :m], block[:m, m] = W, U\n"
            "    level = [c @ expm(block * dt * k)[:m, m] for k in range(n + 1)]\n"
            "    return np.append(0.0, np.convolve(np.diff(level), x))[:n]\n",
            "SciPy": "from scipy.signal import cont2discrete\n\n\n" + STEPS + "    m = len(U)\n"
            "    parts = (W, U.reshape(m, 1), c.reshape(1, m), np.zeros((1, 1)))\n"
            "    fade, push, *_ = cont2discrete(parts, dt, method='zoh')\n"
            "    h, y = np.zeros(m), []\n"
            "    for sample in x:\n"
            "        y.append(c @ h)\n"
            "        h = fade @ h + push[:, 0] * sample\n"
            "    return np.array(y)\n",
        },
        "wrong": {
            "Euler": STEPS + "    h, y = np.zeros(len(U)), []\n"
            "    for sample in x:\n"
            "        y.append(c @ h)\n"
            "        h = h + dt * (W @ h + U * sample)\n"
            "    return np.array(y)\n",
            "rectangles": EXPM
            + STEPS
            + "    rho = [c @ expm(W * dt * k) @ U for k in range(len(x))]\n"
            "    return np.append(0.0, dt * np.convolve(rho, x))[: len(x)]\n",
            "straight lines": STEPS + "    return curse_lib.LinearRNN(W, U, c).simulate(x, dt)\n",
            "read after the step": EXPM + STEPS + "    fade = expm(W * dt)\n"
            "    push = np.linalg.solve(W, (fade - np.eye(len(U))) @ U)\n"
            "    h, y = np.zeros(len(U)), []\n"
            "    for sample in x:\n"
            "        h = fade @ h + push * sample\n"
            "        y.append(c @ h)\n"
            "    return np.array(y)\n",
            "input as a pulse": EXPM
            + STEPS
            + "    fade, h, y = expm(W * dt), np.zeros(len(U)), []\n"
            "    for sample in x:\n"
            "        y.append(c @ h)\n"
            "        h = fade @ (h + U * sample * dt)\n"
            "    return np.array(y)\n",
        },
    },
    "noise-variance": {
        "right": {
            "hyperbolic tangents": NOISE + "    half = np.tanh(w * dt / 2)\n"
            "    cells = np.outer(half, half) / np.add.outer(half, half)\n"
            "    return 2 * (a / w) @ cells @ (a / w) / dt\n",
            "loops": "from math import expm1\n\n\n" + NOISE + "    total = 0.0\n"
            "    for p, v in zip(a, w):\n"
            "        for q, s in zip(a, w):\n"
            "            cells = expm1(-v * dt) * expm1(-s * dt) / (v * s)\n"
            "            total -= p * q * cells / expm1(-(v + s) * dt)\n"
            "    return total / dt\n",
            "covariance of the state": NOISE + "    push = -np.expm1(-w * dt) / w / np.sqrt(dt)\n"
            "    lost = -np.expm1(-np.add.outer(w, w) * dt)\n"
            "    return a @ (np.outer(push, push) / lost) @ a\n",
        },
        "wrong": {
            "continuous time": NOISE + "    return np.sum(np.outer(a, a) / np.add.outer(w, w))\n",
            "sum of squares": NOISE + "    fade = -np.expm1(-np.add.outer(w, w) * dt)\n"
            "    return dt * np.sum(np.outer(a, a) / fade)\n",
            "samples of size one": NOISE + "    cell = -np.expm1(-w * dt) * a / w\n"
            "    fade = -np.expm1(-np.add.outer(w, w) * dt)\n"
            "    return np.sum(np.outer(cell, cell) / fade)\n",
            "neurons as if independent": NOISE
            + "    return np.sum(a**2 * np.tanh(w * dt / 2) / w**2) / dt\n",
            "cancels": NOISE + "    cell = (1 - np.exp(-w * dt)) * a / w\n"
            "    fade = 1 - np.exp(-np.add.outer(w, w) * dt)\n"
            "    return np.sum(np.outer(cell, cell) / fade) / dt\n",
            "cancels unless all are small": NOISE + "    if np.max(w) * dt < 1e-3:\n"
            "        energy = np.sum(np.outer(a, a) / np.add.outer(w, w))\n"
            "        steep = np.sum(np.outer(a * w, a * w) / np.add.outer(w, w))\n"
            "        return energy - dt**2 / 12 * steep\n"
            "    cell = (1 - np.exp(-w * dt)) * a / w\n"
            "    fade = 1 - np.exp(-np.add.outer(w, w) * dt)\n"
            "    return np.sum(np.outer(cell, cell) / fade) / dt\n",
            "simulation": NOISE + "    rng = np.random.default_rng(0)\n"
            "    network = curse_lib.LinearRNN(-np.diag(w), a, np.ones(len(a)))\n"
            "    x = curse_lib.white_noise(20000, dt, rng)\n"
            "    return np.var(network.simulate(x, dt, hold='constant'))\n",
        },
    },
    "mended-gain": {
        "right": {
            "quadrature": "from scipy.integrate import quad\n\n\n"
            + EXPOSE
            + MEND
            + "    def size(s):\n"
            "        return abs(np.exp(-w * s / min(w)) @ a) / min(w)\n\n"
            "    root = np.log(-a[0] / a[1]) / (w[0] - w[1]) if a[0] * a[1] < 0 else 0.0\n"
            "    ends = [0.0, max(root, 0.0) * min(w), np.inf]\n"
            "    options = {'epsabs': 1e-13, 'epsrel': 1e-12}\n"
            "    return sum(quad(size, p, q, **options)[0] for p, q in zip(ends, ends[1:]))\n",
            "another example": "def exposing_kernel():\n"
            "    return [32.0, -320.0, 768.0, -512.0], [1.0, 2.0, 3.0, 4.0]\n\n\n" + GOOD_MEND,
            "difference of two stretches": EXPOSE + MEND + "    def level(s):\n"
            "        return np.sum(a * (1 - np.exp(-w * s)) / w)\n\n"
            "    same = a[0] * a[1] >= 0\n"
            "    cut = 0.0 if same else np.log(-a[1] / a[0]) / (w[1] - w[0])\n"
            "    end = np.sum(a / w)\n"
            "    if same or cut <= 0:\n"
            "        return abs(end)\n"
            "    return abs(2 * level(cut) - end)\n",
        },
        "wrong": {
            "the friend's": EXPOSE
            + MEND
            + "    t = np.geomspace(1e-4 / np.max(w), 50.0 / np.min(w), 20001)\n"
            "    return np.max(np.abs(-np.expm1(-np.outer(t, w)) @ (a / w)))\n",
            "triangle inequality": EXPOSE + MEND + "    return np.sum(np.abs(a) / w)\n",
            "absolute value outside": EXPOSE + MEND + "    return abs(np.sum(a / w))\n",
            "a crossing in the future": EXPOSE + MEND + "    if a[0] * a[1] >= 0:\n"
            "        return np.sum(np.abs(a) / w)\n"
            "    cut = np.log(-a[0] / a[1]) / (w[0] - w[1])\n"
            "    first = -np.expm1(-w * cut) @ (a / w)\n"
            "    return abs(first) + abs(np.sum(a / w) - first)\n",
            "one order of signs": EXPOSE + MEND + "    end = np.sum(a / w)\n"
            "    if a[0] * a[1] >= 0 or (a[0] > 0 and w[0] > w[1]):\n"
            "        return abs(end)\n"
            "    cut = max(np.log(-a[0] / a[1]) / (w[0] - w[1]), 0.0)\n"
            "    first = -np.expm1(-w * cut) @ (a / w)\n"
            "    return abs(first) + abs(end - first)\n",
            "coarse grid": EXPOSE + MEND + "    t = np.linspace(0.0, 50.0, 5001)\n"
            "    return np.trapezoid(np.abs(np.exp(-np.outer(t, w)) @ a), t)\n",
            "the friend is not exposed": "def exposing_kernel():\n"
            "    return np.array([1.0, -1.0]), np.array([1.0, 2.0])\n\n\n" + GOOD_MEND,
        },
    },
}
