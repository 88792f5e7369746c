"""Other answers to the sheet on universal approximation: right ones and plausible wrong ones."""

BERNSTEIN = "def waiting_kernel(q, m, b, t):\n"
COMB = "from scipy.special import comb\n\n\n"
SWITCH = "def switch_times(m, b):\n"
LEAST = "\n\ndef least_error(lam, m, b):\n"
TIMES = SWITCH + "    return -np.log((1 + np.cos(np.arange(1, m + 1) * np.pi / (m + 1))) / 2) / b\n"
SUM = (
    LEAST + "    signs = (-1.0) ** np.arange(1, m + 1)\n"
    "    return abs(1 + 2 * signs @ np.exp(-lam * switch_times(m, b))) / lam\n"
)
BEST = "def best_amplitudes(lam, m, b):\n"
EXPOSE = "def exposing_function(u):\n    return 1 / (1 + 25 * (2 * u - 1) ** 2)\n\n\n"
NODES = "def mended_nodes(m):\n"

VARIANTS = {
    "waiting-kernel": {
        "right": {
            "binomial law": "from scipy.stats import binom\n\n\n"
            + BERNSTEIN
            + "    u, k = np.exp(-b * t), np.arange(m)\n"
            "    return u * (binom.pmf(k, m - 1, u[:, None]) @ q(k / (m - 1)))\n",
            "repeated means": BERNSTEIN + "    u = np.exp(-b * t)\n"
            "    row = np.repeat(q(np.arange(m) / (m - 1))[:, None], len(t), axis=1)\n"
            "    while len(row) > 1:\n"
            "        row = (1 - u) * row[:-1] + u * row[1:]\n"
            "    return u * row[0]\n",
            "loop": "from math import comb\n\n\n" + BERNSTEIN + "    n, u = m - 1, np.exp(-b * t)\n"
            "    total = 0.0\n"
            "    for k in range(n + 1):\n"
            "        total = total + q(np.array(k / n)) * comb(n, k) * u**k * (1 - u) ** (n - k)\n"
            "    return u * total\n",
        },
        "wrong": {
            "one neuron too many": COMB
            + BERNSTEIN
            + "    u, k = np.exp(-b * t), np.arange(m + 1)\n"
            "    shares = comb(m, k) * u[:, None] ** k * (1 - u[:, None]) ** (m - k)\n"
            "    return u * (shares @ q(k / m))\n",
            "factor u forgotten": COMB + BERNSTEIN + "    n, u = m - 1, np.exp(-b * t)\n"
            "    k = np.arange(n + 1)\n"
            "    shares = comb(n, k) * u[:, None] ** k * (1 - u[:, None]) ** (n - k)\n"
            "    return shares @ q(k / n)\n",
            "time reversed": COMB + BERNSTEIN + "    n, u = m - 1, np.exp(-b * t)\n"
            "    k = np.arange(n + 1)\n"
            "    shares = comb(n, k) * u[:, None] ** k * (1 - u[:, None]) ** (n - k)\n"
            "    return u * (shares @ q(1 - k / n))\n",
            "amplitudes one by one": "from math import comb\n\n\n"
            + BERNSTEIN
            + "    n, u = m - 1, np.exp(-b * t)\n"
            "    total = np.zeros(len(t))\n"
            "    for k in range(n + 1):\n"
            "        for i in range(n - k + 1):\n"
            "            weight = float(comb(n, k) * comb(n - k, i)) * (-1.0) ** i\n"
            "            total += q(np.array(k / n)) * weight * u ** (k + i + 1)\n"
            "    return total\n",
            "interpolation instead": BERNSTEIN + "    u, k = np.exp(-b * t), np.linspace(0, 1, m)\n"
            "    return u * np.interp(u, k, q(k))\n",
        },
    },
    "switch-times": {
        "right": {
            "squares of cosines": SWITCH + "    k = np.arange(1, m + 1)\n"
            "    return -2 * np.log(np.cos(k * np.pi / (2 * m + 2))) / b\n" + SUM,
            "stretch by stretch": TIMES
            + LEAST
            + "    ends = np.concatenate([[0.0], switch_times(m, b), [np.inf]])\n"
            "    pieces = -np.diff(np.exp(-lam * ends)) / lam\n"
            "    return abs(np.sum(pieces[::2]) - np.sum(pieces[1::2]))\n",
            "roots of the polynomial": "from scipy.special import roots_chebyu\n\n\n"
            + SWITCH
            + "    return np.sort(-np.log((1 + roots_chebyu(m)[0]) / 2) / b)\n"
            + SUM,
        },
        "wrong": {
            "first kind": SWITCH + "    angle = (np.arange(1, m + 1) - 0.5) * np.pi / m\n"
            "    return -np.log((1 + np.cos(angle)) / 2) / b\n" + SUM,
            "equally spaced in u": SWITCH
            + "    return -np.log(1 - np.arange(1, m + 1) / (m + 1)) / b\n"
            + SUM,
            "unit of time forgotten": SWITCH
            + "    return -np.log((1 + np.cos(np.arange(1, m + 1) * np.pi / (m + 1))) / 2)\n"
            + SUM,
            "half of the floor": TIMES + LEAST + "    rates = b * np.arange(1, m + 1)\n"
            "    return np.prod(np.abs(lam - rates) / (lam + rates)) / (2 * lam)\n",
            "distance in the mean square": TIMES + LEAST + "    rates = b * np.arange(1, m + 1)\n"
            "    return np.prod(np.abs(lam - rates) / (lam + rates)) / np.sqrt(2 * lam)\n",
            "a fit": TIMES + LEAST + "    target = curse_lib.ExponentialSum([1.0], [lam])\n"
            "    rates = b * np.arange(1.0, min(m, 12) + 1)\n"
            "    return curse_lib.approximate(target, rates=rates).error\n",
            "jumps counted once": TIMES + LEAST + "    signs = (-1.0) ** np.arange(1, m + 1)\n"
            "    return abs(1 + signs @ np.exp(-lam * switch_times(m, b))) / lam\n",
        },
    },
    "best-amplitudes": {
        "right": {
            "polynomial through points": BEST + "    k = np.arange(1, m + 1)\n"
            "    u = np.cos(k * np.pi / (2 * m + 2)) ** 2\n"
            "    return np.polynomial.polynomial.polyfit(u, u ** (lam / b - 1), m - 1)\n",
            "in time": BEST + "    j = np.arange(1, m + 1)\n"
            "    t = -2 * np.log(np.cos(j * np.pi / (2 * m + 2))) / b\n"
            "    return np.linalg.solve(np.exp(-b * np.outer(t, j)), np.exp(-lam * t))\n",
            "Lagrange": BEST + "    u = np.cos(np.arange(1, m + 1) * np.pi / (2 * m + 2)) ** 2\n"
            "    total = np.zeros(m)\n"
            "    for k in range(m):\n"
            "        others = np.delete(u, k)\n"
            "        basis = np.atleast_1d(np.poly(others)) / np.prod(u[k] - others)\n"
            "        total += u[k] ** (lam / b - 1) * basis[::-1]\n"
            "    return total\n",
        },
        "wrong": {
            "least squares": BEST + "    w = b * np.arange(1, m + 1)\n"
            "    return np.linalg.solve(1 / np.add.outer(w, w), 1 / (w + lam))\n",
            "first kind": BEST + "    u = np.cos((np.arange(m) + 0.5) * np.pi / (2 * m)) ** 2\n"
            "    return np.linalg.solve(u[:, None] ** np.arange(m), u ** (lam / b - 1))\n",
            "equally spaced": BEST + "    u = np.arange(1, m + 1) / (m + 1)\n"
            "    return np.linalg.solve(u[:, None] ** np.arange(m), u ** (lam / b - 1))\n",
            "grid in time": BEST + "    t = np.linspace(0, 20 / b, 2001)\n"
            "    powers = np.exp(-b * np.outer(t, np.arange(1, m + 1)))\n"
            "    return np.linalg.lstsq(powers, np.exp(-lam * t), rcond=None)[0]\n",
            "factor u forgotten": BEST
            + "    u = np.cos(np.arange(1, m + 1) * np.pi / (2 * m + 2)) ** 2\n"
            "    return np.linalg.solve(u[:, None] ** np.arange(m), u ** (lam / b))\n",
            "a fit": BEST + "    target = curse_lib.ExponentialSum([1.0], [lam])\n"
            "    rates = b * np.arange(1.0, m + 1)\n"
            "    return curse_lib.approximate(target, rates=rates).kernel.amplitudes\n",
        },
    },
    "mended-nodes": {
        "right": {
            "first kind": EXPOSE
            + NODES
            + "    return (1 + np.cos((np.arange(m) + 0.5) * np.pi / m)) / 2\n",
            "Gauss": EXPOSE
            + NODES
            + "    return (1 + np.polynomial.legendre.leggauss(m)[0]) / 2\n",
            "with the ends, and a kink": "def exposing_function(u):\n"
            "    return np.abs(u - 0.5)\n\n\n"
            + NODES
            + "    return (1 - np.cos(np.arange(m) * np.pi / (m - 1))) / 2\n",
        },
        "wrong": {
            "midpoints": EXPOSE + NODES + "    return (np.arange(m) + 0.5) / m\n",
            "with the ends": EXPOSE + NODES + "    return np.linspace(0, 1, m)\n",
            "equally spaced in time": EXPOSE + NODES + "    return np.exp(-np.linspace(0, 4, m))\n",
            "crowded in the past only": EXPOSE
            + NODES
            + "    return (np.arange(1, m + 1) / (m + 1)) ** 2\n",
            "random": EXPOSE + NODES + "    return np.sort(np.random.default_rng(0).random(m))\n",
            "too smooth an example": "def exposing_function(u):\n    return np.cos(9 * u)\n\n\n"
            + NODES
            + "    return (1 + np.cos((np.arange(m) + 0.5) * np.pi / m)) / 2\n",
        },
    },
}
