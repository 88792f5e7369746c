"""Hitting times: what must hold for every plateau."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_lib import (
    ExponentialSum,
    GaussianBump,
    gradient_flow,
    hitting_times,
    one_neuron_plateau,
    plateau_floor,
)

settings.register_profile("flow", max_examples=8, deadline=None, derandomize=True)
settings.load_profile("flow")


@st.composite
def plateaus(draw):
    """A start with one spare neuron and a late bump."""
    spare = draw(st.sampled_from([0.4, 0.6, 1.7, 3.0]))
    start = ExponentialSum([draw(st.sampled_from([-1.0, 0.5, 1.0])), 0.0], [1.0, spare])
    mass = draw(st.sampled_from([-1.0, 0.5, 2.0]))
    return start + GaussianBump(draw(st.floats(2, 30)), draw(st.floats(0.2, 1)), mass), start


@given(plateaus(), st.sampled_from([0.01, 0.05, 0.2]))
def test_every_hitting_time_is_above_the_floor(case, delta):
    target, start = case
    found = hitting_times(target, start, delta, parameters_only=True)
    assert found.parameters >= plateau_floor(target, start, delta) > 0
    assert math.isfinite(found.parameters) or found.reason


@given(plateaus())
def test_the_loss_falls_and_nothing_leaves_the_domain(case):
    run = gradient_flow(*case, max_steps=150)
    assert np.isfinite(run.states).all() and run.rates.min() > 0
    rounding = 1e-12 * (np.abs(run.states).max() + 1) ** 2
    assert np.all(np.diff(run.loss) <= rounding * np.abs(run.loss[1:]).max())


@given(st.floats(2, 200), st.floats(0.5, 3), st.floats(0.01, 0.6), st.floats(0.1, 10))
def test_the_law_knows_no_unit_of_time(delay, rate, part, unit):
    # tau scales like 1/J'' in w, that is like unit^-2 times rate: (D, w) -> (cD, w/c), tau/c.
    delta = part * rate
    if (rate - delta) * delay <= 0.6:
        return
    here = one_neuron_plateau(delay, rate, delta).log_time
    there = one_neuron_plateau(delay * unit, rate / unit, delta / unit).log_time
    assert there == pytest.approx(here - math.log(unit), abs=1e-9)


@given(st.floats(3, 100), st.floats(0.01, 0.3))
def test_the_law_grows_with_distance_and_delay(delay, delta):
    law = one_neuron_plateau(delay, 1.0, delta).log_time
    assert law <= one_neuron_plateau(delay, 1.0, 1.1 * delta).log_time
    assert law <= one_neuron_plateau(1.1 * delay, 1.0, delta).log_time
