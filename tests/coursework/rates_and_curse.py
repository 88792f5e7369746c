"""Other answers to the sheet on rates and their curse: right ones and plausible wrong ones."""

POWER = "import math\n\nfrom scipy.special import gamma\n\n\ndef power_network(omega, eps):\n"
COUNT = "    count = math.ceil(math.log(fast / slow) / h) + 1\n"
RATES = COUNT + "    w = slow * np.exp(h * np.arange(count))\n"
ENDS = (
    "    r = omega * eps\n"
    "    h = 2 * np.pi**2 / 3 / math.log(1 + 24 / r)\n"
    "    slow = (r * gamma(1 + omega) / 3) ** (1 / omega)\n"
    "    fast = math.log(3 / r)\n"
)
HANKEL = "from scipy import linalg\n\n\ndef hankel_values(W, U, c):\n"
GRAMS = (
    "    P = linalg.solve_continuous_lyapunov(W, -np.outer(U, U))\n"
    "    Q = linalg.solve_continuous_lyapunov(W.T, -np.outer(c, c))\n"
)
LIMIT = "from scipy.special import lambertw\n\n\ndef speed_limit(omega, eps, total):\n"
SEARCH = "def speed_limit(omega, eps, total):\n"
CASE = (
    "def exposing_case():\n"
    "    w = 1e-5 * 3.0 ** np.arange(13)\n"
    "    return np.log(3) * w**1.1 * np.exp(-w) / 0.951351, w, 0.1\n\n\n"
)
ERROR = "def mended_error(a, w, omega):\n"
GAP = (
    "    t = np.expm1(u)\n"
    "    gap = (1 + t) ** (-1 - omega) - np.exp(-np.outer(t, w)) @ np.asarray(a)\n"
)

VARIANTS = {
    "power-network": {
        "right": {
            "other shares of the tolerance": POWER + "    r = 0.98 * omega * eps\n"
            "    phi = np.pi / 3\n"
            "    h = 2 * np.pi * phi / math.log(1 + 2 * 2 ** (1 + omega) / (0.2 * r))\n"
            "    slow = (0.6 * r * gamma(1 + omega)) ** (1 / omega)\n"
            "    fast = max(math.log(1 / (0.2 * r)), 1.0)\n"
            + RATES
            + "    return h * w ** (1 + omega) * np.exp(-w) / gamma(1 + omega), w\n",
            "as few as will do": POWER + ENDS + COUNT + "    best = None\n"
            "    for m in range(count, max(count - 6, 1), -1):\n"
            "        step = h * count / m\n"
            "        w = slow * np.exp(step * np.arange(m))\n"
            "        a = step * w ** (1 + omega) * np.exp(-w) / gamma(1 + omega)\n"
            "        network = curse_lib.ExponentialSum(a, w)\n"
            "        if curse_lib.l1_distance(curse_lib.PowerLaw(omega), network) > eps:\n"
            "            break\n"
            "        best = a, w\n"
            "    return best\n",
            "from the fast end": POWER
            + ENDS
            + COUNT
            + "    v = math.log(fast) - h * np.arange(count)\n"
            "    a = np.exp((1 + omega) * v - np.exp(v) - math.lgamma(1 + omega))\n"
            "    return h * a, np.exp(v)\n",
        },
        "wrong": {
            "evenly spaced": POWER
            + ENDS
            + COUNT
            + "    w, step = np.linspace(slow, fast, max(count, 2), retstep=True)\n"
            "    return step * w**omega * np.exp(-w) / gamma(1 + omega), w\n",
            "step forgotten": POWER
            + ENDS
            + RATES
            + "    return w ** (1 + omega) * np.exp(-w) / gamma(1 + omega), w\n",
            "Gamma forgotten": POWER
            + ENDS.replace("r * gamma(1 + omega)", "r")
            + RATES
            + "    return h * w ** (1 + omega) * np.exp(-w), w\n",
            "weight of x, not of its logarithm": POWER
            + ENDS
            + RATES
            + "    return h * w**omega * np.exp(-w) / gamma(1 + omega), w\n",
            "slowest rate one over the horizon, fewer scales": POWER
            + ENDS.replace("(r * gamma(1 + omega) / 3)", "r")
            + RATES
            + "    return h * w ** (1 + omega) * np.exp(-w) / gamma(1 + omega), w\n",
            "slowest rate without the exponent": POWER
            + ENDS.replace(" ** (1 / omega)", "")
            + RATES
            + "    return h * w ** (1 + omega) * np.exp(-w) / gamma(1 + omega), w\n",
            "fastest rate one": POWER
            + ENDS.replace("math.log(3 / r)", "1.0")
            + RATES
            + "    return h * w ** (1 + omega) * np.exp(-w) / gamma(1 + omega), w\n",
            "twice as fine": POWER
            + ENDS.replace("h = 2", "h = 1")
            + RATES
            + "    return h * w ** (1 + omega) * np.exp(-w) / gamma(1 + omega), w\n",
        },
    },
    "hankel-values": {
        "right": {
            "Kronecker product": HANKEL + "    m = len(U)\n"
            "    both = np.kron(W, np.eye(m)) + np.kron(np.eye(m), W)\n"
            "    P = np.linalg.solve(both, -np.outer(U, U).ravel()).reshape(m, m)\n"
            "    Q = np.linalg.solve(both.T, -np.outer(c, c).ravel()).reshape(m, m)\n"
            "    values = np.sqrt(np.abs(np.linalg.eigvals(P @ Q)))\n"
            "    return np.sort(values)[::-1]\n",
            "square roots": HANKEL + GRAMS + "    def root(A):\n"
            "        values, vectors = np.linalg.eigh((A + A.T) / 2)\n"
            "        return vectors * np.sqrt(np.maximum(values, 0))\n\n"
            "    return np.linalg.svd(root(Q).T @ root(P), compute_uv=False)\n",
            "integrals by quadrature": HANKEL + "    nodes, weights = np.polynomial.legendre."
            "leggauss(20)\n"
            "    m = len(U)\n"
            "    slow = -np.linalg.eigvals(W).real.max()\n"
            "    edges = np.concatenate([[0.0], np.geomspace(1e-3, 40, 60)]) / slow\n"
            "    P, Q = np.zeros((m, m)), np.zeros((m, m))\n"
            "    for left, right in zip(edges[:-1], edges[1:], strict=True):\n"
            "        for x, weight in zip(nodes, weights, strict=True):\n"
            "            t = (left + right) / 2 + (right - left) / 2 * x\n"
            "            E = linalg.expm(W * t)\n"
            "            P += weight * (right - left) / 2 * np.outer(E @ U, E @ U)\n"
            "            Q += weight * (right - left) / 2 * np.outer(c @ E, c @ E)\n"
            "    values = np.sqrt(np.abs(np.linalg.eigvals(P @ Q)))\n"
            "    return np.sort(values)[::-1]\n",
        },
        "wrong": {
            "squares": HANKEL
            + GRAMS
            + "    return np.sort(np.abs(np.linalg.eigvals(P @ Q)))[::-1]\n",
            "one Gramian only": HANKEL
            + GRAMS
            + "    return np.sqrt(np.sort(np.abs(np.linalg.eigvalsh(P)))[::-1])\n",
            "product of the spectra": HANKEL
            + GRAMS
            + "    values = np.linalg.eigvalsh(P) * np.linalg.eigvalsh(Q)\n"
            "    return np.sqrt(np.sort(np.abs(values))[::-1])\n",
            "transpose forgotten": HANKEL
            + GRAMS.replace("W.T", "W")
            + "    values = np.sqrt(np.abs(np.linalg.eigvals(P @ Q)))\n"
            "    return np.sort(values)[::-1]\n",
            "rising": HANKEL
            + GRAMS
            + "    return np.sqrt(np.sort(np.abs(np.linalg.eigvals(P @ Q))))\n",
            "needs eigenvectors": HANKEL + "    w, S = np.linalg.eig(W)\n"
            "    a = np.abs((c @ S) * np.linalg.solve(S, U))\n"
            "    both = np.sqrt(np.outer(a, a)) / np.abs(np.add.outer(w, w))\n"
            "    return np.sort(np.abs(np.linalg.eigvals(both)))[::-1]\n",
            "samples at a distance of 0.01": HANKEL + "    t = 0.01 * np.arange(600)\n"
            "    E = linalg.expm(0.01 * W)\n"
            "    x, row = U, []\n"
            "    for _ in range(1200):\n"
            "        row.append(c @ x)\n"
            "        x = E @ x\n"
            "    i = np.arange(len(t))\n"
            "    A = 0.01 * np.array(row)[np.add.outer(i, i)]\n"
            "    return np.linalg.svd(A, compute_uv=False)[: len(U)]\n",
        },
    },
    "speed-limit": {
        "right": {
            "bisection": SEARCH + "    u = np.linspace(0, -np.log(omega * eps) / omega, 200001)\n"
            "    t, tail = np.expm1(u), np.exp(-omega * u) / omega\n"
            "    low, high = -80.0, np.log(2 * total / (1 / omega - eps))\n"
            "    for _ in range(60):\n"
            "        middle = (low + high) / 2\n"
            "        w = np.exp(middle)\n"
            "        if np.max(tail - total / w * np.exp(-w * t)) <= eps:\n"
            "            low = middle\n"
            "        else:\n"
            "            high = middle\n"
            "    return np.exp(low)\n",
            "lag by lag": LIMIT + "    u = np.linspace(0, -np.log(omega * eps) / omega, 400001)"
            "[1:-1]\n"
            "    t = np.expm1(u)\n"
            "    rest = np.exp(-omega * u) / omega - eps\n"
            "    return np.min(lambertw(total * t / rest).real / t)\n",
        },
        "wrong": {
            "twice the tolerance": LIMIT + "    t = (2 * omega * eps) ** (-1 / omega) - 1\n"
            "    return lambertw(total * t / eps).real / t\n",
            "one over the horizon": SEARCH + "    return 1 / ((omega * eps) ** (-1 / omega) - 1)\n",
            "amplitudes forgotten": LIMIT
            + "    u = np.linspace(0, -np.log(omega * eps) / omega, 400001)[1:-1]\n"
            "    t = np.expm1(u)\n"
            "    rest = np.exp(-omega * u) / omega - eps\n"
            "    return np.min(lambertw(t / rest).real / t)\n",
            "largest instead of smallest": LIMIT
            + "    u = np.linspace(0, -np.log(omega * eps) / omega, 400001)[1:-1]\n"
            "    t = np.expm1(u)\n"
            "    rest = np.exp(-omega * u) / omega - eps\n"
            "    return np.max(lambertw(total * t / rest).real / t)\n",
            "lags up to 1000": LIMIT + "    end = min((omega * eps) ** (-1 / omega) - 1, 1000)\n"
            "    t = np.linspace(0, end, 200001)[1:-1]\n"
            "    rest = (1 + t) ** -omega / omega - eps\n"
            "    return np.min(lambertw(total * t / rest).real / t)\n",
            "lag 0 only": SEARCH + "    return total / (1 / omega - eps)\n",
        },
    },
    "mended-error": {
        "right": {
            "Gauss on panels": CASE + ERROR + "    end = np.log1p(50 / np.min(w))\n"
            "    nodes, weights = np.polynomial.legendre.leggauss(5)\n"
            "    edges = np.linspace(0, end, 4001)\n"
            "    half = np.diff(edges)[:, None] / 2\n"
            "    u = (edges[:-1, None] + half * (1 + nodes)).ravel()\n"
            + GAP
            + "    inner = np.sum((half * weights).ravel() * np.abs(gap) * (1 + t))\n"
            "    return inner + np.exp(-omega * end) / omega\n",
            "differences of the integral": "def exposing_case():\n"
            "    v = np.linspace(np.log(1e-5), 2.0, 15)\n"
            "    a = (v[1] - v[0]) * np.exp(1.1 * v - np.exp(v)) / 0.951351\n"
            "    return a, np.exp(v), 0.1\n\n\n"
            + ERROR
            + "    a, w = np.asarray(a), np.asarray(w)\n"
            "    u = np.linspace(0, np.log1p(60 / np.min(w)), 100001)\n"
            "    t = np.expm1(u)\n"
            "    rest = np.exp(-omega * u) / omega - np.exp(-np.outer(t, w)) @ (a / w)\n"
            "    return np.sum(np.abs(np.diff(rest))) + abs(rest[-1])\n",
        },
        "wrong": {
            "longer window": CASE
            + ERROR
            + "    u = np.linspace(0, np.log1p(1e9), 200001)\n"
            + GAP
            + "    gap = np.abs(gap) * (1 + t)\n"
            "    return (np.sum(gap) - (gap[0] + gap[-1]) / 2) * u[1]\n",
            "tail behind lag 1000 as if the network were silent": CASE
            + ERROR
            + "    u = np.linspace(0, np.log1p(1000), 100001)\n"
            + GAP
            + "    inner = np.sum(np.abs(gap) * (1 + t)) * u[1]\n"
            "    return inner + 1001**-omega / omega\n",
            "difference of the integrals": CASE
            + ERROR
            + "    return abs(1 / omega - np.sum(np.asarray(a) / w))\n",
            "factor of the substitution forgotten": CASE
            + ERROR
            + "    end = np.log1p(60 / np.min(w))\n"
            "    u = np.linspace(0, end, 100001)\n"
            + GAP
            + "    return np.sum(np.abs(gap)) * u[1] + np.exp(-omega * end) / omega\n",
            "tail forgotten": CASE
            + ERROR
            + "    u = np.linspace(0, np.log1p(60 / np.min(w)), 100001)\n"
            + GAP
            + "    gap = np.abs(gap) * (1 + t)\n"
            "    return (np.sum(gap) - (gap[0] + gap[-1]) / 2) * u[1]\n",
            "an example with omega one": CASE.replace("0.1\n", "1.0\n")
            .replace("w**1.1", "w**2")
            .replace("0.951351", "1.0")
            + ERROR
            + "    end = np.log1p(60 / np.min(w))\n"
            "    u = np.linspace(0, end, 100001)\n" + GAP + "    gap = np.abs(gap) * (1 + t)\n"
            "    inner = (np.sum(gap) - (gap[0] + gap[-1]) / 2) * u[1]\n"
            "    return inner + np.exp(-omega * end) / omega\n",
        },
    },
}
