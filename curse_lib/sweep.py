r"""A function over a grid of parameters: on any executor, stored point by point, resumable.

What decides a number belongs to its point, the seed included; so the order of the work, the
executor and an interruption in the middle leave every number as it is.
"""

from __future__ import annotations

import dis
import hashlib
import inspect
import itertools
import json
import pickle
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import suppress
from functools import partial
from io import BytesIO
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curse_lib._progress import progress as bar

__all__ = ["SweepError", "point_seed", "sweep"]

Point = Mapping[str, Any]


class SweepError(RuntimeError):
    """Some points of a sweep failed; the others are finished, and stored if there is a folder.

    The message names the points, ten at most; the first failure in the order of the grid is its
    cause. The list `failures` holds pairs of a point and what was raised there; `results` is what
    :func:`sweep` would have returned, with None for the failing points.

    Used in: ``tests/unit/test_sweep.py``, ``sweep``.
    """

    failures: list[tuple[Point, Exception]]
    results: list[Any]


def _digest(*contents: bytes) -> str:
    return hashlib.sha256(b"".join(contents)).hexdigest()


def _plain(item: Any) -> Any:
    """What JSON is to write for a thing that it doesn't know."""
    if isinstance(item, (np.generic, np.ndarray)):
        return item.tolist()
    raise ValueError(
        "parameters are None, booleans, numbers, strings, arrays, lists and dicts of them; got "
        f"{item!r}. Pass the numbers that define it, and build it inside the function"
    )


def _canonical(value: Any) -> str:
    """JSON with sorted names: equal for equal values, on every machine."""
    return json.dumps(value, default=_plain, sort_keys=True)


def point_seed(**point: Any) -> np.random.SeedSequence:
    r"""A seed made from parameters: the same in every process, on every machine.

    .. math::
       \begin{aligned}
       &\text{entropy} = \text{SHA-256}( \\
       &\quad \text{JSON of the parameters,} \\
       &\quad \text{names sorted})
       \end{aligned}

    Call it inside the function of a :func:`sweep` with all that the draw shall depend on:
    a generator seeded with ``point_seed(delay=delay, seed=seed)`` draws anew for every delay, one
    with ``point_seed(seed=seed)`` takes the same draw for all of them. Give each run of a grid a
    parameter such as `seed`: points are different only by their parameters.

    Parameters
    ----------
    **point : None, bool, int, float, str, array, list or dict of these
        Parameters by name, in any order. 5 and 5.0 are different values, ``np.float64(5)`` and 5.0
        are the same.

    Returns
    -------
    numpy.random.SeedSequence
        With 256 bits of entropy; pass it to ``np.random.default_rng``, or spawn from it.

    Raises
    ------
    ValueError
        If a parameter has no form in JSON.

    Notes
    -----
    Python writes a float in the shortest way that reads back as the same float, and NumPy promises
    that SeedSequence stays as it is: the seed depends on no version. Cost: microseconds.

    Used in: ``book/plateaus/three-targets.ipynb``, ``tests/unit/test_sweep.py``.
    """
    return np.random.SeedSequence(int(_digest(_canonical(point).encode()), 16))


def _points(grid: Mapping[str, Iterable[Any]] | Iterable[Point]) -> list[Point]:
    """The points of a grid, in its order."""
    try:
        if isinstance(grid, Mapping):
            if any(isinstance(values, (str, bytes, Mapping)) for values in grid.values()):
                raise TypeError("a string or a dict is no list of values; [it] is")
            grid = [dict(zip(grid, p, strict=True)) for p in itertools.product(*grid.values())]
        return [dict(**point) for point in grid]
    except (TypeError, ValueError) as error:
        raise ValueError(
            "grid must be a list of points (dicts), or a dict with a list of values for each name; "
            f"got {grid!r}: {error}"
        ) from error


def _arrays(result: Any, key: str) -> dict[str, NDArray]:
    """The arrays of a result, by the names that they have in its file."""
    named = {"result": result}
    if isinstance(result, Mapping):
        named = {f"result.{name}": value for name, value in result.items()}
    with suppress(ValueError):  # a ragged list
        arrays = {name: np.asarray(value) for name, value in named.items()}
        masked = any(np.ma.isMaskedArray(value) for value in named.values())
        if not masked and all(array.dtype.kind in "biufcU" for array in arrays.values()):
            return arrays
    raise ValueError(
        "the function must return a number, a string, an array of them, or a dict of these by "
        f"name; at the point {key} it returned {result!r}. Return the arrays that you need"
    )


def _result(arrays: Mapping[str, NDArray]) -> Any:
    """What a sweep returns for a point, from fresh arrays as from stored ones."""
    values = {name.removeprefix("result."): array[()] for name, array in arrays.items()}
    return values["result"] if "result" in arrays else values


def _globals(code: CodeType) -> set[str]:
    """The names that a function, or a function inside it, takes from its module."""
    names = {i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"}
    return names.union(*(_globals(part) for part in code.co_consts if isinstance(part, CodeType)))


def _sources(function: Callable[..., Any]) -> list[Any]:
    """What decides the numbers of a function, as the notes of :func:`sweep` say."""
    found, todo = [], [inspect.unwrap(function)]
    for one in todo:  # it grows meanwhile
        found.append(inspect.getsource(one))
        named = {name: p.default for name, p in inspect.signature(one).parameters.items()}
        known = one.__globals__
        named |= {name: known[name] for name in sorted(_globals(one.__code__) & known.keys())}
        for name, value in named.items():
            value = inspect.unwrap(value)
            if inspect.isfunction(value) and value.__module__ == one.__module__:
                todo += [value] if value not in todo else []
            with suppress(TypeError, ValueError):  # not a constant
                found.append([name, _canonical(value)])
    return found


class _Shelf:
    """The finished points of one function in a folder.

    A point is two files: its arrays (.npz), then the note (.json) that makes them valid.
    """

    def __init__(self, folder: str | Path, function: Callable[..., Any]) -> None:
        if "<" in function.__qualname__:
            raise TypeError("its name and source don't tell it from others")
        code = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
        code.append(_canonical(_sources(function)).encode())
        self.folder, self.name = Path(folder), function.__qualname__
        self.what = {"function": f"{function.__module__}.{self.name}", "code": _digest(*code)}

    def _files(self, key: str) -> tuple[Path, Path]:
        stem = f"{self.name}-{_digest((_canonical(self.what) + key).encode())[:16]}"
        return self.folder / f"{stem}.npz", self.folder / f"{stem}.json"

    def _note(self, key: str, data: bytes) -> bytes:
        note = {"point": json.loads(key), **self.what, "arrays": _digest(data)}
        return json.dumps(note, indent=1).encode()

    def load(self, key: str) -> dict[str, NDArray] | None:
        """The arrays of a point; None if they are not there, or not as they were written."""
        try:
            data, note = (path.read_bytes() for path in self._files(key))
        except FileNotFoundError:
            return None
        return dict(np.load(BytesIO(data))) if note == self._note(key, data) else None

    def save(self, key: str, arrays: Mapping[str, NDArray]) -> None:
        """Write arrays and note aside and rename them, so that a file is whole or absent."""
        np.savez(buffer := BytesIO(), allow_pickle=False, **arrays)
        data = buffer.getvalue()
        for path, content in zip(self._files(key), (data, self._note(key, data)), strict=True):
            draft = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
            draft.write_bytes(content)
            draft.replace(path)


def sweep(
    function: Callable[..., Any],
    grid: Mapping[str, Iterable[Any]] | Iterable[Point],
    *,
    executor: Executor | None = None,
    folder: str | Path | None = None,
    progress: bool | None = None,
) -> list[Any]:
    r"""Call a function at every point of a grid, ``function(**point)``.

    Parameters
    ----------
    function : callable
        Takes the parameters of a point by name; draws random numbers, if any, from
        :func:`point_seed`. Returns a number, a string, an array of them, or a dict of these by
        name.
    grid : dict of lists, or list of dicts
        A dict gives all combinations, the last name running fastest: ``{"delay": [5.0, 10.0],
        "seed": range(10)}`` is 20 points. A list gives the points themselves. Parameters are None,
        booleans, numbers, strings, arrays, and lists and dicts of these. A point that occurs twice
        is computed once.
    executor : concurrent.futures.Executor, optional
        Where the calls run; by default here, one after the other. For example
        ``ProcessPoolExecutor()``, ``MPIPoolExecutor()`` of mpi4py.futures, or, with Dask,
        ``client.get_executor(pure=False)``. It stays open, and its workers need no common disk.
    folder : path, optional
        Store each finished point there at once, and take from there what an earlier sweep of the
        same function has finished.
    progress : bool, optional
        Whether to show a bar; by default at a terminal and in JupyterLab only.

    Returns
    -------
    list
        The results in the order of the grid; numbers are NumPy scalars, lists are arrays. The same
        from every executor, and whether computed now or read.

    Raises
    ------
    ValueError
        If grid, function, executor or a result is not as said above.
    SweepError
        If the function raised an exception at some points; all others are finished by then.

    Notes
    -----
    Each point is two files, named by the function and a checksum: the arrays (npz), and beside
    them parameters, function and checksums (json), readable with any editor. Both are written
    aside and then renamed, the second one last, so a sweep may be stopped at any time, and several
    may share a folder. What can't be read or has a wrong checksum is computed again. A stored
    point counts only for the same parameters, the same source of `curse_lib`, the same source of
    the function and of the functions of its own file or notebook that it calls, and the same
    values of the constants that these read there (numbers, strings, arrays and lists of them).
    Not looked at: classes, and other modules and their versions; after a change there take a new
    folder.

    With a process pool the function must stand in a file that the workers can import; where
    processes are forked (Linux, up to Python 3.13), a notebook will do. KeyboardInterrupt cancels
    what has not begun and keeps what is stored. A result of a wrong type ends the sweep at once.

    Cost: a millisecond or two a point with a folder, some .1 ms without; the executor adds its own.

    Used in: ``book/plateaus/three-targets.ipynb``, ``tests/unit/test_sweep.py``.
    """
    points = _points(grid)
    keys = [_canonical(point) for point in points]
    if not callable(function) or not isinstance(executor, Executor | None):
        raise ValueError(
            "sweep needs a function and a concurrent.futures.Executor or None; got "
            f"{function!r} and {executor!r}. A Dask client has one: client.get_executor(pure=False)"
        )
    try:
        if isinstance(executor, ProcessPoolExecutor):
            pickle.dumps(function)
        shelf = None if folder is None else _Shelf(folder, function)
    except (pickle.PicklingError, TypeError, AttributeError, OSError) as error:
        raise ValueError(
            "a process pool or a folder needs a function made by a def at the top level of a file "
            f"or notebook; got {function!r}: {error}. What it depends on goes into the grid"
        ) from error
    if shelf:
        shelf.folder.mkdir(parents=True, exist_ok=True)
    results = {k: _result(a) for k in keys if shelf and (a := shelf.load(k)) is not None}
    pairs = zip(keys, points, strict=True)
    # With its parameters bound, a call has none that an executor could take for its own options.
    calls = {key: partial(function, **point) for key, point in pairs if key not in results}
    failures, futures, outcomes = {}, {}, calls.items()
    try:
        if executor is not None:
            for key, call in calls.items():
                futures[executor.submit(call)] = key
            outcomes = ((futures[future], future.result) for future in as_completed(futures))
        with bar(len(calls), "sweep", progress) as shown:
            for key, outcome in outcomes:
                try:
                    value = outcome()
                except Exception as error:
                    failures[key] = error
                else:
                    arrays = _arrays(value, key)
                    if shelf:
                        shelf.save(key, arrays)
                    results[key] = _result(arrays)
                shown.update()
    finally:
        for future in futures:
            future.cancel()
    ordered = [results.get(key) for key in keys]
    if failures:
        failed = [(calls[key].keywords, failures[key]) for key in calls if key in failures]
        lines = [f"{point}: {type(error).__name__}: {error}" for point, error in failed[:10]]
        error = SweepError("\n  ".join([f"{len(failed)} of {len(calls)} points failed:", *lines]))
        error.failures, error.results = failed, ordered
        raise error from failed[0][1]
    return ordered
