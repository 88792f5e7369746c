"""Hankel singular values and reduction to order 8 beside pyMOR and python-control.

The target is the sum of 64 exponentials with rates from 1e-3 to 1e3 and amplitudes w^(1/2), a
power law over six decades. "digits" counts the values that are right to a relative 1e-8 and to
1e-6, by mpmath with 80 digits; ``eigh`` is NumPy's on the 64 x 64 matrix
sqrt(a_i a_j) / (w_i + w_j), whose eigenvalues they are. For the reduction, each one's network of
width 8 goes through our :func:`l1_distance`; all but the polished one are balanced truncations.
``ratio`` is our time (balanced) over the rival's: accuracy costs. python-control needs slycot here,
which has no wheels for every machine; without it its rows are left out.
"""

from __future__ import annotations

import logging
import warnings

import control
import mpmath as mp
import numpy as np
from pymor.core.logger import set_log_levels
from pymor.models.iosys import LTIModel
from pymor.reductors.bt import BTReductor
from side_by_side import medians, milliseconds, table

from curse_lib import (
    ExponentialSum,
    LinearRNN,
    approximate,
    hankel_singular_values,
    l1_distance,
    width_floor,
)

COUNT, ORDER = 64, 8
RATES = np.geomspace(1e-3, 1e3, COUNT)
AMPLITUDES = np.sqrt(RATES)
TARGET = ExponentialSum(AMPLITUDES, RATES)
#: A realisation as balanced as a diagonal one can be.
A, B, C = np.diag(-RATES), np.sqrt(AMPLITUDES)[:, None], np.sqrt(AMPLITUDES)[None]


def reference():
    """All values to 80 digits."""
    with mp.workdps(80):
        rates, roots = ([mp.mpf(x) for x in values] for values in (RATES, AMPLITUDES))
        roots = [mp.sqrt(a) for a in roots]
        matrix = mp.matrix(
            [
                [p * q / (v + w) for q, w in zip(roots, rates, strict=True)]
                for p, v in zip(roots, rates, strict=True)
            ]
        )
        return sorted(mp.eigsy(matrix, eigvals_only=True), reverse=True)


def eigh():
    """Eigenvalues of the operator on the span of the exponentials."""
    return np.linalg.eigvalsh(
        np.sqrt(np.outer(AMPLITUDES, AMPLITUDES)) / np.add.outer(RATES, RATES)
    )


def with_control():
    """python-control: the roots of the eigenvalues of a product of Gramians."""
    return control.hankel_singular_values(control.ss(A, B, C, 0))


def with_pymor():
    """pyMOR: singular values of a product of Cholesky factors."""
    return LTIModel.from_matrices(A, B, C).hsv()


def reduced_by_control():
    """A reduced (A, B, C)."""
    model = control.balred(control.ss(A, B, C, 0), ORDER)
    return model.A, model.B, model.C


def reduced_by_pymor():
    """A reduced (A, B, C)."""
    return BTReductor(LTIModel.from_matrices(A, B, C)).reduce(ORDER).to_matrices()[:3]


def main():
    """Print both tables."""
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    set_log_levels({"pymor": "ERROR"})
    values = {
        "curse_lib": lambda: hankel_singular_values(TARGET, COUNT),
        "eigh": eigh,
        "python-control": with_control,
        "pyMOR": with_pymor,
    }
    networks = {
        "curse_lib": lambda: approximate(TARGET, ORDER, method="balanced"),
        "curse_lib, l1": lambda: approximate(TARGET, ORDER, method="l1"),
        "python-control": reduced_by_control,
        "pyMOR": reduced_by_pymor,
    }
    try:
        with_control()
    except control.exception.ControlSlycot:
        print("python-control finds no slycot: its rows are left out")
        del values["python-control"], networks["python-control"]

    exact = reference()
    rows, seconds = [], medians(values)
    for name, call in values.items():
        found = np.sort(np.abs(call()))[::-1]
        errors = [float(abs(mp.mpf(float(s)) / e - 1)) for s, e in zip(found, exact, strict=True)]
        right = [str(sum(e <= level for e in errors)) for level in (1e-8, 1e-6)]
        ratio = seconds["curse_lib"] / seconds[name]
        rows.append(
            [name, *right, f"{max(errors):.1e}", milliseconds(seconds[name]), f"{ratio:.2g}"]
        )
    print(f"{COUNT} Hankel singular values")
    table(["", "to 1e-8", "to 1e-6", "worst", "ms", "ratio"], rows)

    rows, seconds = [], medians(networks)
    for name, call in networks.items():
        found = call()
        if name.startswith("curse_lib"):
            error = found.error
        else:
            W, U, c = (np.asarray(part) for part in found)
            error = l1_distance(TARGET, LinearRNN(W, U, c[0]).kernel())
        ratio = seconds["curse_lib"] / seconds[name]
        rows.append([name, f"{error:.6g}", milliseconds(seconds[name]), f"{ratio:.2g}"])
    floor = width_floor(TARGET, ORDER)
    print(f"reduction to width {ORDER}; no network of that width has an error below {floor:.6g}")
    table(["", "L1 error", "ms", "ratio"], rows)


if __name__ == "__main__":
    main()
