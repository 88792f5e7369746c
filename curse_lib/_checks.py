"""What the library says to wrong input, once for all modules."""

from __future__ import annotations

import math
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def number(name: str, value: float, *, positive: bool = False, nonnegative: bool = False) -> float:
    """Check one finite real parameter and return it as a float."""
    if not isinstance(value, (Real, np.integer, np.floating)) or isinstance(value, bool):
        raise ValueError(f"{name} must be a real number; got {value!r}")
    value = float(value)
    allowed = "a positive" if positive else "a non-negative" if nonnegative else "a"
    if not math.isfinite(value) or (positive and value <= 0) or (nonnegative and value < 0):
        raise ValueError(f"{name} must be {allowed} finite number; got {value!r}")
    return value


def whole(name: str, value: int, least: int = 1) -> int:
    """Check one whole number and return it as an int."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number >= {least}; got {value!r}")
    return int(value)


def real_array(name: str, values: ArrayLike) -> Array:
    """A finite real array in double precision."""
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers; got an array of type {array.dtype}")
    array = array.astype(np.float64, copy=False)
    finite = np.isfinite(array)
    if not finite.all():
        where = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise ValueError(
            f"{name} must be finite; got {array[where]} at index {where}. "
            "Drop or interpolate missing values"
        )
    return array


def samples(x: ArrayLike, input_dim: int | None = None, name: str = "x") -> Array:
    """Check sampled values, one row a sample, and give them the shape (n, d)."""
    x = real_array(name, x)
    if input_dim is None:
        allowed, fits = "(n,) or (n, d)", x.ndim in (1, 2)
    elif input_dim == 1:
        allowed, fits = "(n,) or (n, 1)", x.ndim == 1 or (x.ndim == 2 and x.shape[1] == 1)
    else:
        allowed, fits = f"(n, {input_dim})", x.ndim == 2 and x.shape[1] == input_dim
    if not fits:
        wanted = "" if input_dim is None else f" for {input_dim} input(s)"
        raise ValueError(
            f"{name} must have shape {allowed}, one row a sample,{wanted}; got {x.shape}"
        )
    if x.size == 0:
        raise ValueError(f"{name} has no samples; it needs at least one, the value at t = 0")
    return x.reshape(len(x), -1)


def hold_rule(hold: str) -> str:
    """Check how the input runs between its samples."""
    if hold not in ("linear", "constant"):
        raise ValueError(f'hold must be "linear" or "constant"; got {hold!r}')
    return hold


def frozen(array: NDArray) -> NDArray:
    """A read-only copy, so that values can be shared without surprises."""
    array = np.array(array)
    array.setflags(write=False)
    return array
