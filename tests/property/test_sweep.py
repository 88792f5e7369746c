"""Sweeps over any grid, results of any shape, damage at any place."""

import json
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from curse_lib.sweep import point_seed, sweep

QUICK = settings(deadline=None, max_examples=50)
numbers = st.floats(allow_nan=False) | st.integers() | st.booleans() | st.none() | st.text()
values = st.recursive(numbers, lambda inner: st.lists(inner, max_size=3), max_leaves=4)
points = st.dictionaries(st.text(max_size=4), values, max_size=4)
results = arrays_of.arrays(
    st.sampled_from([np.float64, np.float32, np.complex128, np.int16, np.bool_, ">f8", "U3"]),
    arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)


def text(**point):
    return repr(sorted(point.items()))


def third(x):
    return {"third": x / 3, "powers": float(x) ** np.arange(4)}


def given_back(key):
    return ANSWERS.given[key]


class ANSWERS:
    given = {}


@QUICK
@given(st.lists(points, max_size=5))
def test_results_are_in_the_order_of_the_grid(grid):
    assert sweep(text, grid) == [text(**point) for point in grid]


@QUICK
@given(st.dictionaries(st.text(max_size=3), st.lists(st.integers(), max_size=3), max_size=3))
def test_a_product_holds_every_combination(grid):
    found = [json.loads(answer) for answer in sweep(lambda **p: json.dumps(p), grid)]
    assert len(found) == np.prod([len(values) for values in grid.values()], dtype=int)
    assert all(point[name] in grid[name] for point in found for name in grid)
    order = [[point[name] for name in grid] for point in found]
    firsts = [[grid[name].index(value) for name, value in zip(grid, row)] for row in order]
    if all(len(set(values)) == len(values) for values in grid.values()):
        assert firsts == sorted(firsts)


@QUICK
@given(points, st.randoms())
def test_seeds_depend_on_the_parameters_and_not_on_their_order(point, random):
    names = list(point)
    random.shuffle(names)
    assert (
        point_seed(**{name: point[name] for name in names}).entropy == point_seed(**point).entropy
    )
    point["another"] = 0
    assert point_seed(**point).entropy != point_seed(**point | {"another": 1}).entropy


@QUICK
@given(st.lists(results | st.dictionaries(st.text("ab/._", max_size=3), results), max_size=4))
def test_what_is_stored_is_what_was_returned(answers):
    ANSWERS.given = dict(enumerate(answers))
    grid = {"key": range(len(answers))}
    with tempfile.TemporaryDirectory() as folder:
        fresh = sweep(given_back, grid, folder=folder)
        ANSWERS.given = {}
        again = sweep(given_back, grid, folder=folder)
    for one, other, answer in zip(fresh, again, answers, strict=True):
        named = answer if isinstance(answer, dict) else {"": answer}
        for result in (one, other):
            result = result if isinstance(result, dict) else {"": result}
            assert result.keys() == named.keys()
            for name, value in named.items():
                assert result[name].dtype.kind == value.dtype.kind
                np.testing.assert_array_equal(result[name], value, strict=value.ndim > 0)


@QUICK
@given(
    st.integers(0, 10**6), st.sampled_from([".npz", ".json"]), st.integers(1, 255), st.booleans()
)
def test_no_damage_changes_a_number(place, suffix, flip, cut):
    with tempfile.TemporaryDirectory() as folder:
        (whole,) = sweep(third, {"x": [7]}, folder=folder)
        (file,) = Path(folder).glob(f"*{suffix}")
        content = bytearray(file.read_bytes())
        place %= len(content)
        content[place] ^= flip
        file.write_bytes(content[:place] if cut else content)
        (result,) = sweep(third, {"x": [7]}, folder=folder)
        (again,) = sweep(third, {"x": [7]}, folder=folder)
    for found in (result, again):
        assert found["third"] == whole["third"] == 7 / 3
        np.testing.assert_array_equal(found["powers"], [1.0, 7.0, 49.0, 343.0])
