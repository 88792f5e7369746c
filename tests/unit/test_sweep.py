"""Sweeps: order, executors, what is stored and when it counts, failures, wrong input."""

import functools
import importlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import uuid
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from curse_lib.sweep import SweepError, point_seed, sweep

STATE = SimpleNamespace(calls=[], broken=(), answer=None)
GRID = {"delay": [5.0, 10.0], "seed": [0, 1, 2]}
TASKS = """
import functools
import numpy as np
from curse_lib.sweep import point_seed

WIDTH = 6
ORDER = 3
FACTOR = 2.0
TAIL = "unused"

@functools.cache
def root(power):
    return 1 / power

def spread(values, factor=FACTOR):
    return factor * np.std(values) ** root(3)

def other():
    return 0

def network(delay, seed):
    rng = np.random.default_rng(point_seed(delay=delay, seed=seed))
    W = rng.standard_normal((WIDTH, WIDTH)) / delay
    size = list(np.linalg.norm(row, ord=ORDER) for row in W)
    return {"W": W, "poles": np.linalg.eigvals(W), "size": size, "spread": spread(W)}

def named(key, pure, workers, fn):
    return [key, pure, workers, fn]
"""


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    """A module in a file, as workers need it, and a way to edit it."""
    name = f"tasks_{uuid.uuid4().hex}"
    file = tmp_path / f"{name}.py"
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def edit(old="", new=""):
        file.write_text((file.read_text() if file.exists() else TASKS).replace(old, new))
        importlib.invalidate_caches()
        loaded = sys.modules.get(name)
        return importlib.reload(loaded) if loaded else importlib.import_module(name)

    module = edit()
    module.edit = edit
    yield module
    del sys.modules[name]


@pytest.fixture(autouse=True)
def fresh_state():
    STATE.calls, STATE.broken, STATE.answer = [], (), None


def record(x, y=0):
    STATE.calls.append(x)
    if x in STATE.broken:
        raise KeyboardInterrupt if STATE.answer is KeyboardInterrupt else OSError(f"no {x}")
    return STATE.answer if STATE.answer is not None else 10.0 * x + y


class Reversed(Executor):
    """Runs all tasks at the first look at a result, the last one first."""

    def __init__(self):
        self.tasks = []

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        self.tasks.append((future, fn, args, kwargs))
        if len(self.tasks) == 6:
            for future_, fn_, args_, kwargs_ in reversed(self.tasks):
                future_.set_result(fn_(*args_, **kwargs_))
        return future


class Few(Executor):
    """Runs the first tasks at once and never the others; a worker may lose one."""

    def __init__(self, count, lost=()):
        self.count, self.lost, self.futures = count, lost, []

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        self.futures.append(future)
        number = len(self.futures)
        if number in self.lost:
            future.set_exception(RuntimeError("the worker is gone"))
        elif number <= self.count:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)
        return future


def bits(results):
    return [{name: (v.dtype.str, v.shape, v.tobytes()) for name, v in r.items()} for r in results]


def expected(tasks):
    return bits(sweep(tasks.network, GRID))


# order


def test_product_runs_through_the_last_name_first():
    results = sweep(record, {"x": [2, 1], "y": np.array([0.5, 0.25])})
    assert results == [20.5, 20.25, 10.5, 10.25] and STATE.calls == [2, 2, 1, 1]


def test_points_may_come_from_a_generator_and_differ_in_their_names():
    grid = ({"x": x} | ({"y": 1} if x else {}) for x in range(3))
    assert sweep(record, grid) == [0.0, 11.0, 21.0]


def test_a_point_that_occurs_twice_is_computed_once():
    assert sweep(record, [{"x": 3, "y": 1}, {"x": 4}, {"y": 1, "x": 3}]) == [31.0, 40.0, 31.0]
    assert STATE.calls == [3, 4]


def test_empty_grids():
    assert sweep(record, []) == sweep(record, {"x": []}) == []
    assert sweep(lambda: 7, {}) == [7]


# executors


def test_results_are_those_of_plain_calls(tasks):
    points = [{"delay": d, "seed": s} for d in GRID["delay"] for s in GRID["seed"]]
    plain = [{k: np.asarray(v) for k, v in tasks.network(**p).items()} for p in points]
    assert expected(tasks) == bits(plain)


def test_odd_executors_give_the_same_bits(tasks):
    assert bits(sweep(tasks.network, GRID, executor=Reversed())) == expected(tasks)
    with ThreadPoolExecutor(2) as threads:
        assert bits(sweep(tasks.network, GRID, executor=threads)) == expected(tasks)


def test_process_pool_gives_the_same_bits(tasks, tmp_path):
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn) as pool:
        results = sweep(tasks.network, GRID, executor=pool, folder=tmp_path / "out")
    assert bits(results) == expected(tasks)
    again = sweep(tasks.network, GRID, executor=Few(0, lost=[1]), folder=tmp_path / "out")
    assert bits(again) == expected(tasks)


def test_dask_gives_the_same_bits(tasks, tmp_path):
    distributed = pytest.importorskip("distributed", reason="pip install -e .[test]")
    options = {"n_workers": 1, "threads_per_worker": 2, "dashboard_address": None}
    options |= {"host": "127.0.0.1", "local_directory": str(tmp_path)}
    with (
        distributed.LocalCluster(**options) as cluster,
        distributed.Client(cluster) as client,
    ):
        executor = client.get_executor(pure=False)
        results = sweep(tasks.network, GRID, executor=executor, folder=tmp_path / "out")
        assert bits(results) == expected(tasks)
        clash = {"key": [1.0], "pure": [2.0], "workers": [3.0], "fn": [4.0]}
        (answer,) = sweep(tasks.named, clash, executor=executor)
        np.testing.assert_array_equal(answer, [1, 2, 3, 4])
        with pytest.raises(SweepError, match="1 of 2 points"):
            sweep(tasks.network, [{"delay": 5.0, "seed": 0}, {"delay": 5.0}], executor=executor)
        with pytest.raises(ValueError, match="client.get_executor"):
            sweep(tasks.network, GRID, executor=client)


# what a function may return


@pytest.mark.parametrize(
    "answer",
    [
        1.5,
        True,
        2**40,
        1 + 2j,
        "reason",
        [1.0, 2.0],
        np.float32(0.1),
        np.array(3.0),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.zeros((0, 4), dtype=complex),
        {"file": 1.0, "allow_pickle": np.arange(3), "a/b": "c", "result": [np.inf, np.nan]},
        {},
    ],
)
def test_results_read_are_results_returned(answer, tmp_path):
    STATE.answer = answer
    (fresh,) = sweep(record, [{"x": 1}], folder=tmp_path)
    (again,) = sweep(record, [{"x": 1}], folder=tmp_path)
    (without,) = sweep(record, [{"x": 2}])
    assert STATE.calls == [1, 2]
    for result in (fresh, again, without):
        assert isinstance(result, dict) == isinstance(answer, dict)
        given = answer if isinstance(answer, dict) else {"": answer}
        result = result if isinstance(result, dict) else {"": result}
        assert list(result) == list(given)
        for name, value in given.items():
            assert result[name].dtype == np.asarray(value).dtype
            np.testing.assert_array_equal(result[name], value)
            assert isinstance(result[name], np.ndarray) == (np.ndim(value) > 0)


@pytest.mark.parametrize(
    "answer",
    [
        object(),
        {"loss": None},
        [[1.0], [1.0, 2.0]],
        np.datetime64("2026-01-01"),
        {"a": np.ma.masked_array([1.0, 2.0], [True, False])},
        b"bytes",
    ],
)
def test_a_wrong_type_of_result_ends_the_sweep_and_keeps_the_others(answer, tmp_path):
    sweep(record, {"x": [0]}, folder=tmp_path)
    STATE.answer = answer
    with pytest.raises(ValueError, match=r'at the point \{"x": 1\} it returned'):
        sweep(record, {"x": [0, 1, 2]}, folder=tmp_path)
    few = Few(1)
    with pytest.raises(ValueError, match="the function must return"):
        sweep(record, {"x": [0, 1, 2]}, folder=tmp_path, executor=few)
    assert STATE.calls == [0, 1, 1] and few.futures[1].cancelled()
    STATE.answer = None
    assert sweep(record, {"x": [0, 1, 2]}, folder=tmp_path) == [0.0, 10.0, 20.0]
    assert STATE.calls == [0, 1, 1, 1, 2]


# resuming


def test_only_new_points_are_computed(tmp_path):
    assert sweep(record, {"x": [1, 2]}, folder=tmp_path / "a" / "b") == [10.0, 20.0]
    assert sweep(record, {"x": [3, 2, 1]}, folder=str(tmp_path / "a" / "b")) == [30.0, 20.0, 10.0]
    assert STATE.calls == [1, 2, 3]


def patient(x):
    """Point 0 takes until another point is on disk."""
    for _ in range(1000 * (x == 0)):
        if list(STATE.answer.glob("*.json")):
            return 0.0
        time.sleep(0.01)
    return 1.0


def test_a_finished_point_is_stored_while_others_run(tmp_path):
    STATE.answer = tmp_path
    with ThreadPoolExecutor(2) as threads:
        assert sweep(patient, {"x": [0, 1]}, folder=tmp_path, executor=threads) == [0.0, 1.0]


def test_parameters_stand_beside_the_arrays(tmp_path):
    sweep(record, {"x": [np.int64(3)], "y": [np.array([1.5, 2.0])]}, folder=tmp_path)
    note, arrays = sorted(tmp_path.iterdir())
    assert note.stem == arrays.stem and note.name.startswith("record-")
    text = json.loads(note.read_text("utf-8"))
    assert text["point"] == {"x": 3, "y": [1.5, 2.0]}
    assert text["function"] == f"{__name__}.record"
    np.testing.assert_array_equal(np.load(arrays)["result"], [31.5, 32.0])


SCRIPT = """
import os, signal, sys
from pathlib import Path
from curse_lib.sweep import sweep

def point(x):
    with open("calls", "a") as file:
        file.write(f"{x} ")
    if x == 3 and not Path("killed").exists():
        Path("killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return x / 3

if __name__ == "__main__":
    print(sum(sweep(point, {"x": range(6)}, folder="out")))
"""


def test_a_killed_sweep_resumes(tmp_path, root):
    (tmp_path / "script.py").write_text(SCRIPT)
    env = os.environ | {"PYTHONPATH": str(root)}
    run = functools.partial(
        subprocess.run, [sys.executable, "script.py"], cwd=tmp_path, env=env, capture_output=True
    )
    assert run().returncode == -signal.SIGKILL
    assert len(list((tmp_path / "out").iterdir())) == 2 * 3
    done = run(check=True, text=True)
    assert float(done.stdout) == sum(x / 3 for x in range(6)) and done.stderr == ""
    assert (tmp_path / "calls").read_text().split() == ["0", "1", "2", "3", "3", "4", "5"]


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "absent":
        path.unlink()
    else:
        middle = len(content) // 2
        path.write_bytes(
            {"half": content[:middle], "empty": b"", "noise": content[:middle] + b"?" * middle}[how]
        )


@pytest.mark.parametrize("how", ["absent", "half", "empty", "noise"])
@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_a_damaged_file_is_computed_again(how, suffix, tmp_path):
    sweep(record, {"x": [1, 2]}, folder=tmp_path)
    content = {path: path.read_bytes() for path in tmp_path.iterdir()}
    (file,) = (
        path
        for path in tmp_path.glob(f"*{suffix}")
        if json.loads(path.with_suffix(".json").read_text())["point"] == {"x": 2}
    )
    damage(file, how)
    assert sweep(record, {"x": [1, 2]}, folder=tmp_path) == [10.0, 20.0]
    assert STATE.calls == [1, 2, 2]
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == content


def test_the_files_of_another_point_do_not_count(tmp_path):
    sweep(record, {"x": [1, 2]}, folder=tmp_path)
    for suffix in (".npz", ".json"):
        one, two = sorted(tmp_path.glob(f"*{suffix}"))
        one.write_bytes(two.read_bytes())
    assert sweep(record, {"x": [1, 2]}, folder=tmp_path) == [10.0, 20.0]
    assert len(STATE.calls) == 3


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("/ delay", "/ delay**2", True),
        ("np.std", "np.var", True),
        ("1 / power", "2 / power", True),
        ("WIDTH = 6", "WIDTH = 7", True),
        ("ORDER = 3", "ORDER = 1", True),
        ("FACTOR = 2.0", "FACTOR = 3.0", True),
        ("return 0", "return 5", False),
        ('"unused"', '"still unused"', False),
    ],
)
def test_what_an_edit_changes_is_computed_again(old, new, changes, tasks, tmp_path):
    point = [{"delay": 5.0, "seed": 1}]
    sweep(tasks.network, point, folder=tmp_path / "out")
    edited = tasks.edit(old, new)
    few = Few(1)
    results = sweep(edited.network, point, folder=tmp_path / "out", executor=few)
    assert len(few.futures) == changes
    assert bits(results) == bits(sweep(edited.network, point))
    before = tasks.edit(new, old)  # and what was stored then is still there
    sweep(before.network, point, folder=tmp_path / "out", executor=Few(0, lost=[1]))


def test_functions_may_share_a_folder(tasks, tmp_path):
    assert sweep(tasks.other, {}, folder=tmp_path) == [0]
    assert sweep(tasks.spread, [{"values": [1.0, 3.0]}], folder=tmp_path) == [2.0]
    assert sweep(record, [{"x": 2}], folder=tmp_path) == [20.0]
    assert len(list(tmp_path.glob("*.npz"))) == 3


def test_another_library_does_not_count(tmp_path, monkeypatch):
    sweep(record, {"x": [1]}, folder=tmp_path)
    plain = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda p: plain(p) + b"#" * (p.name == "models.py"))
    sweep(record, {"x": [1]}, folder=tmp_path)
    assert STATE.calls == [1, 1]


# failures


@pytest.mark.parametrize("executor", [None, Few(4)])
def test_failing_points_are_named_and_the_others_kept(executor, tmp_path):
    STATE.broken = (1, 3)
    with pytest.raises(SweepError, match="2 of 4 points failed") as caught:
        sweep(record, {"x": [0, 1, 2, 3]}, folder=tmp_path, executor=executor)
    error = caught.value
    assert "{'x': 1}: OSError: no 1" in str(error) and "{'x': 3}" in str(error)
    assert [point for point, _ in error.failures] == [{"x": 1}, {"x": 3}]
    assert error.__cause__ is error.failures[0][1] and str(error.__cause__) == "no 1"
    assert error.results == [0.0, None, 20.0, None]
    STATE.broken = ()
    assert sweep(record, {"x": [0, 1, 2, 3]}, folder=tmp_path) == [0.0, 10.0, 20.0, 30.0]
    assert STATE.calls == [0, 1, 2, 3, 1, 3]


def test_many_failures_make_a_short_message():
    STATE.broken = range(50)
    with pytest.raises(SweepError) as caught:
        sweep(record, {"x": range(50)})
    assert len(str(caught.value).splitlines()) == 11 and len(caught.value.failures) == 50


def test_a_lost_worker_costs_its_points_alone(tmp_path):
    with pytest.raises(SweepError, match="the worker is gone") as caught:
        sweep(record, {"x": [0, 1, 2]}, folder=tmp_path, executor=Few(3, lost=[2]))
    assert caught.value.results == [0.0, None, 20.0]


def test_an_interruption_here_keeps_what_is_stored(tmp_path):
    STATE.broken, STATE.answer = (2,), KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        sweep(record, [{"x": 2}], folder=tmp_path)
    STATE.answer = 1.0
    sweep(record, {"x": [0, 1]}, folder=tmp_path)
    STATE.answer = KeyboardInterrupt
    few = Few(1)
    with pytest.raises(KeyboardInterrupt):
        sweep(record, {"x": [0, 1, 2, 3, 4]}, folder=tmp_path, executor=few)
    assert [future.cancelled() for future in few.futures] == [False, True, True]
    assert STATE.calls == [2, 0, 1, 2]


# seeds


def test_seed_is_the_checksum_of_the_parameters():
    # sha256sum of {"delay": 5.0, "seed": 3}
    entropy = 0x4B62C13A1EE39840935B588E8E9B54A19DB811A72475E6EBA559A4606F78EEF0
    assert point_seed(delay=5.0, seed=3).entropy == entropy
    assert point_seed(seed=np.int8(3), delay=np.float64(5)).entropy == entropy
    assert point_seed(seed=3, delay=5).entropy != entropy
    assert point_seed(seed=3).entropy != point_seed(seed=4).entropy
    assert point_seed(W=np.eye(2)).entropy == point_seed(W=[[1.0, 0.0], [0.0, 1.0]]).entropy


# wrong input


@pytest.mark.parametrize(
    ("grid", "match"),
    [
        (3, "grid must be a list of points"),
        ("ab", "grid must be a list of points"),
        ([1, 2], "grid must be a list of points"),
        ({"x": 3}, "grid must be a list of points"),
        ({"x": "adam"}, "got {'x': 'adam'}"),
        ({"x": np.float64(3.0)}, "grid must be a list of points"),
        ({"x": {"a": 1}}, "grid must be a list of points"),
        ({"x": [object()]}, "parameters are None"),
        ([{"x": 1}, {"x": {1, 2}}], "parameters are None"),
        ([{"x": 1 + 2j}], "parameters are None"),
    ],
)
def test_wrong_grids(grid, match):
    with pytest.raises(ValueError, match=match):
        sweep(record, grid)
    assert STATE.calls == []


def test_wrong_functions_and_executors(tmp_path):
    for function, executor in ((3, None), (record, 4), (record, ThreadPoolExecutor)):
        with pytest.raises(ValueError, match="needs a function and a concurrent.futures.Executor"):
            sweep(function, {"x": [1]}, executor=executor)
    nested = functools.partial(record, y=1)
    for function in (lambda x: x, nested, np.sin, STATE.calls.append, print):
        with pytest.raises(ValueError, match="made by a def at the top level"):
            sweep(function, {"x": [1]}, folder=tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with ProcessPoolExecutor(1) as pool:
        with pytest.raises(ValueError, match="made by a def at the top level"):
            sweep(lambda x: x, {"x": [1]}, executor=pool)
    assert sweep(nested, {"x": [1]}) == [11.0]


# the bar


def test_bar_shows_when_it_is_asked_to(capsys):
    sweep(record, {"x": [1, 2]})
    assert capsys.readouterr() == ("", "")
    sweep(record, {"x": [1, 2]}, progress=True)
    assert "sweep" in "".join(capsys.readouterr())
