"""Other answers to the sheet on plateaus: right ones and plausible wrong ones."""

ECHO = "def echo_loss(a, w, D, b):\n"
TRANSFORM = (
    "    R = (np.exp(-w * D) - np.exp(-w * (D + b))) / (w * b)\n"
    "    dR = (-D * np.exp(-w * D) + (D + b) * np.exp(-w * (D + b))) / (w * b) - R / w\n"
    "    G = 1 / (w[:, None] + w)\n"
)
WAIT = "def log_wait(D, w0, delta, b):\n"
SPEED = (
    "    def log_time(w):\n"
    "        y = w * b\n"
    "        ratio = 0.5 - y / 12 if y < 1e-4 else 1 / y - 1 / np.expm1(y)\n"
    "        shape = 1 - y / 2 if y < 1e-7 else -np.expm1(-y) / y\n"
    "        return 2 * w * D - np.log(2 * shape**2 * (2 * w * (D + b * ratio) - 1))\n\n"
)
WITH_QUAD = "from scipy.integrate import quad\n\n\n" + WAIT + SPEED
EI = "from scipy.special import expi\n\n\n" + WAIT
SURE = "def sure_wait(a, w, masses, lags, delta):\n"
LATE = "def exposing_lag():\n    return 50.0\n\n\n"
SLOPE = "def mended_slope(a0, w0, da, dw, mass, lag):\n"

VARIANTS = {
    "echo-loss": {
        "right": {
            "neuron by neuron": ECHO + "    J, m = 1 / b, len(a)\n"
            "    by_a, by_w = np.zeros(m), np.zeros(m)\n"
            "    for k in range(m):\n"
            "        y = w[k] * b\n"
            "        R = np.exp(-w[k] * D) * -np.expm1(-y) / y\n"
            "        mean = D + 1 / w[k] - b / np.expm1(y)\n"
            "        J -= 2 * a[k] * R\n"
            "        by_a[k], by_w[k] = -2 * R, 2 * a[k] * mean * R\n"
            "        for i in range(m):\n"
            "            J += a[i] * a[k] / (w[i] + w[k])\n"
            "            by_a[k] += 2 * a[i] / (w[i] + w[k])\n"
            "            by_w[k] -= 2 * a[k] * a[i] / (w[i] + w[k]) ** 2\n"
            "    return J, by_a, by_w\n",
            "Gauss over the echo": ECHO + "    x, weight = np.polynomial.legendre.leggauss(60)\n"
            "    t = D + b * (1 + x) / 2\n"
            "    falls = np.exp(-np.outer(w, t)) * weight / 2\n"
            "    G = 1 / np.add.outer(w, w)\n"
            "    R, first = falls.sum(axis=1), falls @ t\n"
            "    residual, late = R - G @ a, first - G**2 @ a\n"
            "    return a @ (G @ a - 2 * R) + 1 / b, -2 * residual, 2 * a * late\n",
            "complex step": ECHO + "    def J(a, w):\n"
            "        R = (np.exp(-w * D) - np.exp(-w * (D + b))) / (w * b)\n"
            "        return a @ (1 / np.add.outer(w, w)) @ a - 2 * a @ R + 1 / b\n\n"
            "    steps = 1e-30j * np.eye(len(a))\n"
            "    by_a = np.array([J(a + h, w).imag for h in steps]) / 1e-30\n"
            "    by_w = np.array([J(a, w + h).imag for h in steps]) / 1e-30\n"
            "    return J(a, w), by_a, by_w\n",
        },
        "wrong": {
            "factor two forgotten": ECHO
            + TRANSFORM
            + "    return a @ G @ a - 2 * a @ R + 1 / b, G @ a - R, -a * (G**2 @ a + dR)\n",
            "norm of the target forgotten": ECHO + TRANSFORM + "    J = a @ G @ a - 2 * a @ R\n"
            "    return J, 2 * (G @ a - R), -2 * a * (G**2 @ a + dR)\n",
            "a mass in the middle": ECHO + "    R = np.exp(-w * (D + b / 2))\n"
            "    dR = -(D + b / 2) * R\n"
            "    G = 1 / np.add.outer(w, w)\n"
            "    J = a @ G @ a - 2 * a @ R + 1 / b\n"
            "    return J, 2 * (G @ a - R), -2 * a * (G**2 @ a + dR)\n",
            "sign of the slope of R": ECHO + TRANSFORM + "    J = a @ G @ a - 2 * a @ R + 1 / b\n"
            "    return J, 2 * (G @ a - R), -2 * a * (G**2 @ a - dR)\n",
            "height one": ECHO + TRANSFORM + "    R, dR = b * R, b * dR\n"
            "    J = a @ G @ a - 2 * a @ R + b\n"
            "    return J, 2 * (G @ a - R), -2 * a * (G**2 @ a + dR)\n",
            "quotient rule forgotten": ECHO + TRANSFORM + "    J = a @ G @ a - 2 * a @ R + 1 / b\n"
            "    return J, 2 * (G @ a - R), -2 * a * (G**2 @ a + dR + R / w)\n",
        },
    },
    "log-wait": {
        "right": {
            "adaptive quadrature": WITH_QUAD + "    top, way = log_time(w0), min(delta, 30 / D)\n"
            "    scaled = quad(\n"
            "        lambda x: np.exp(log_time(w0 - x / D) - top),\n"
            "        0,\n"
            "        way * D,\n"
            "        limit=200,\n"
            "        epsabs=0,\n"
            "    )[0]\n"
            "    return top + np.log(scaled / D)\n",
            "Simpson in logarithms": "from scipy.integrate import simpson\n\n\n"
            + WAIT
            + SPEED
            + "    w = w0 - np.linspace(0, min(delta, 25 / D), 4001)\n"
            "    heights = np.array([log_time(v) for v in w])\n"
            "    area = simpson(np.exp(heights - heights[0]), x=w0 - w)\n"
            "    return heights[0] + np.log(area)\n",
        },
        "wrong": {
            "a mass at the beginning": EI + "    x, y = 2 * w0 * D - 1, 2 * (w0 - delta) * D - 1\n"
            "    if x > 600:\n"
            "        return 1 + x - np.log(4 * D * x)\n"
            "    return 1 + np.log((expi(x) - expi(y)) / (4 * D))\n",
            "a mass in the middle": EI + "    D = D + b / 2\n"
            "    x, y = 2 * w0 * D - 1, 2 * (w0 - delta) * D - 1\n"
            "    if x > 600:\n"
            "        return 1 + x - np.log(4 * D * x)\n"
            "    return 1 + np.log((expi(x) - expi(y)) / (4 * D))\n",
            "first speed only": WAIT + SPEED + "    return log_time(w0) + np.log(delta)\n",
            "leading order": WAIT + SPEED + "    return log_time(w0) - np.log(2 * D)\n",
            "overflow": WITH_QUAD + "    whole = quad(\n"
            "        lambda w: np.exp(min(log_time(w), 700)), w0 - delta, w0, epsabs=0\n"
            "    )[0]\n"
            "    return np.log(whole)\n",
            "one factor of the echo": WITH_QUAD + "    def once(w):\n"
            "        return log_time(w) - w * D\n\n"
            "    way = min(delta, 60 / D)\n"
            "    scaled = quad(lambda x: np.exp(once(w0 - x / D) - once(w0)), 0, way * D)[0]\n"
            "    return once(w0) + np.log(scaled / D)\n",
        },
    },
    "sure-wait": {
        "right": {
            "optimiser": "from scipy.optimize import minimize_scalar\n\n\n"
            + SURE
            + "    size = np.abs(masses) * np.sqrt(len(a) + a @ a * lags**2)\n\n"
            "    def loss(r):\n"
            "        return np.log(size @ np.exp((r - np.min(w)) * lags)) - np.log(r)\n\n"
            "    best = minimize_scalar(\n"
            "        loss, bounds=(0, delta), method='bounded', options={'xatol': 1e-9}\n"
            "    )\n"
            "    return np.exp(-min(best.fun, loss(delta))) / 2\n",
            "root of the derivative": "from scipy.optimize import brentq\n\n\n"
            + SURE
            + "    size = np.abs(masses) * np.sqrt(len(a) + a @ a * lags**2)\n"
            "    size = size * np.exp(-np.min(w) * lags)\n\n"
            "    def slope(r):  # of log K - log r, times r\n"
            "        parts = size * np.exp(r * lags)\n"
            "        return r * (parts @ lags) / parts.sum() - 1\n\n"
            "    r = brentq(slope, 0, delta, xtol=1e-13) if slope(delta) > 0 else delta\n"
            "    return r / (2 * size @ np.exp(r * lags))\n",
        },
        "wrong": {
            "the whole ball": SURE
            + "    size = np.abs(masses) * np.sqrt(len(a) + a @ a * lags**2)\n"
            "    return delta / (2 * size @ np.exp((delta - np.min(w)) * lags))\n",
            "the radius one over the lag, always": SURE
            + "    size = np.abs(masses) * np.sqrt(len(a) + a @ a * lags**2)\n"
            "    r = 1 / np.max(lags)\n"
            "    return r / (2 * size @ np.exp((r - np.min(w)) * lags))\n",
            "the radius one over the earliest lag": SURE
            + "    size = np.abs(masses) * np.sqrt(len(a) + a @ a * lags**2)\n"
            "    r = min(delta, 1 / np.min(lags))\n"
            "    return r / (2 * size @ np.exp((r - np.min(w)) * lags))\n",
            "the radius one over the mean lag": SURE
            + "    size = np.abs(masses) * np.sqrt(len(a) + a @ a * lags**2)\n"
            "    size = size * np.exp(-np.min(w) * lags)\n"
            "    r = min(delta, np.sum(size) / (size @ lags))\n"
            "    return r / (2 * size @ np.exp(r * lags))\n",
            "signs kept": SURE + "    size = masses * np.sqrt(len(a) + a @ a * lags**2)\n"
            "    r = np.linspace(0, delta, 20001)[1:, None]\n"
            "    K = np.abs(np.exp((r - np.min(w)) * lags) @ size)\n"
            "    return np.max(r[:, 0] / (2 * K))\n",
            "fastest neuron": SURE
            + "    size = np.abs(masses) * np.sqrt(len(a) + a @ a * lags**2)\n"
            "    r = np.linspace(0, delta, 20001)[1:, None]\n"
            "    K = np.exp((r - np.max(w)) * lags) @ size\n"
            "    return np.max(r[:, 0] / (2 * K))\n",
            "the chapter's coarser form": SURE
            + "    size = np.abs(masses) * (np.sqrt(len(a)) + np.linalg.norm(a) * lags)\n"
            "    r = np.linspace(0, delta, 20001)[1:, None]\n"
            "    K = np.exp((r - np.min(w)) * lags) @ size\n"
            "    return np.max(r[:, 0] / (2 * K))\n",
            "smallest instead of largest": SURE
            + "    size = np.abs(masses) * np.sqrt(len(a) + a @ a * lags**2)\n"
            "    r = np.linspace(0, delta, 20001)[1:, None]\n"
            "    K = np.exp((r - np.min(w)) * lags) @ size\n"
            "    return np.min(r[:, 0] / (2 * K))\n",
        },
    },
    "mended-slope": {
        "right": {
            "loop over neurons": LATE + SLOPE + "    m = len(a0)\n"
            "    slopes = np.zeros(m)\n"
            "    for k in range(m):\n"
            "        s = w0[k] + dw[k]\n"
            "        for i in range(m):\n"
            "            before, after = w0[i] + s, w0[i] + dw[i] + s\n"
            "            slopes[k] += (da[i] * before - a0[i] * dw[i]) / (before * after)\n"
            "        slopes[k] -= mass * np.exp(-s * lag)\n"
            "    return 2 * slopes\n",
            "fractions": "from fractions import Fraction\n\n\n" + LATE + SLOPE + "    slopes = []\n"
            "    for k in range(len(a0)):\n"
            "        s = Fraction(w0[k]) + Fraction(dw[k])\n"
            "        gained = Fraction(0)\n"
            "        for start in zip(a0, w0, da, dw, strict=True):\n"
            "            a, w, x, u = map(Fraction, start)\n"
            "            gained += (a + x) / (w + u + s) - a / (w + s)\n"
            "        slopes.append(2 * (float(gained) - mass * np.exp(-float(s) * lag)))\n"
            "    return np.array(slopes)\n",
            "the library": LATE + SLOPE + "    start = curse_lib.ExponentialSum(a0, w0)\n"
            "    loss = curse_lib.PopulationLoss(start, start)\n"
            "    gained = loss.gradient(np.append(da, dw))[: len(a0)]\n"
            "    return gained - 2 * mass * np.exp(-(w0 + dw) * lag)\n",
        },
        "wrong": {
            "the friend's formula": LATE + SLOPE + "    a, w = a0 + da, w0 + dw\n"
            "    target = (1 / np.add.outer(w, w0)) @ a0 + mass * np.exp(-w * lag)\n"
            "    return 2 * ((1 / np.add.outer(w, w)) @ a - target)\n",
            "order of the sums changed": LATE + SLOPE + "    a, w = a0 + da, w0 + dw\n"
            "    gained = (1 / np.add.outer(w, w)) @ a - (1 / np.add.outer(w, w0)) @ a0\n"
            "    return 2 * (gained - mass * np.exp(-w * lag))\n",
            "first order": LATE + SLOPE + "    x = 1 / np.add.outer(w0, w0)\n"
            "    gained = x @ da - x**2 @ (a0 * dw)\n"
            "    return 2 * (gained - mass * np.exp(-(w0 + dw) * lag))\n",
            "first order where it is small": LATE + SLOPE + "    a, w = a0 + da, w0 + dw\n"
            "    x = 1 / np.add.outer(w0, w0)\n"
            "    gained = (1 / np.add.outer(w, w)) @ a - (1 / np.add.outer(w, w0)) @ a0\n"
            "    if np.max(np.abs(np.append(da, dw))) < 1e-6:\n"
            "        gained = x @ da - x**2 @ (a0 * dw)\n"
            "    return 2 * (gained - mass * np.exp(-w * lag))\n",
            "long doubles": LATE + SLOPE + "    a = a0.astype(np.longdouble) + da\n"
            "    w = w0.astype(np.longdouble) + dw\n"
            "    own = (a / np.add.outer(w, w)).sum(axis=1)\n"
            "    gained = own - (a0 / np.add.outer(w, w0)).sum(axis=1)\n"
            "    return (2 * (gained - mass * np.exp(-w * lag))).astype(float)\n",
            "rates not moved": LATE + SLOPE + "    x = 1 / np.add.outer(w0 + dw, w0 + dw)\n"
            "    return 2 * (x @ da - mass * np.exp(-(w0 + dw) * lag))\n",
            "lag too short": LATE.replace("50.0", "20.0") + SLOPE + "    w = w0 + dw\n"
            "    p, q = np.add.outer(w, w), np.add.outer(w, w0)\n"
            "    gained = (da / p - a0 * dw / (p * q)).sum(axis=1)\n"
            "    return 2 * (gained - mass * np.exp(-w * lag))\n",
        },
    },
}
