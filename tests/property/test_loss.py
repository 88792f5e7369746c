"""The population loss: what must hold for every target and start."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_lib import AiryKernel, ExponentialSum, GaussianBump, PopulationLoss

settings.register_profile("loss", max_examples=25, deadline=None, derandomize=True)
settings.load_profile("loss")


@st.composite
def losses(draw):
    """A loss and a state inside its domain."""
    m = draw(st.integers(1, 4))
    amplitudes = draw(st.lists(st.sampled_from([0.0, 0.5, -1.0, 2.0]), min_size=m, max_size=m))
    rates = draw(st.lists(st.floats(0.3, 4), min_size=m, max_size=m))
    start = ExponentialSum(amplitudes, rates)
    late = GaussianBump(draw(st.floats(0, 40)), draw(st.floats(0.05, 2)), draw(st.floats(-2, 2)))
    if draw(st.booleans()):
        late = AiryKernel(draw(st.floats(0.5, 2)), draw(st.floats(0, 6)))
    target = late + (start if draw(st.booleans()) else ExponentialSum([0.7], [1.1]))
    size = 10.0 ** draw(st.integers(-20, -1))
    state = draw(st.lists(st.floats(-1, 1).map(lambda x: size * x), min_size=2 * m, max_size=2 * m))
    return PopulationLoss(target, start), np.array(state)


@given(losses(), st.sampled_from([0.01, 0.25, 4.0, 1024.0]))
def test_the_unit_of_time_does_not_matter(case, unit):
    loss, state = case

    def slower(kernel):
        if isinstance(kernel, ExponentialSum):
            return ExponentialSum(kernel.amplitudes, kernel.rates / unit)
        if isinstance(kernel, GaussianBump):
            return GaussianBump(kernel.delay * unit, kernel.width * unit, kernel.mass * unit)
        return AiryKernel(kernel.scale / unit, kernel.delay * unit, kernel.amplitude)

    other = PopulationLoss(sum(slower(t) for t in loss.target.terms), slower(loss.start))
    scaled = np.concatenate([state[: loss.width], state[loss.width :] / unit])
    assert other.value(scaled) == pytest.approx(
        unit * loss.value(state), rel=1e-9, abs=1e-11 * unit * loss._value(state)[1]
    )


@given(losses())
def test_the_hessian_is_symmetric_and_contains_the_gram_matrix(case):
    loss, state = case
    hessian, gram = loss.hessian(state), loss.tangent_gram(state)
    assert np.array_equal(hessian, hessian.T)
    assert np.linalg.eigvalsh(gram)[0] >= -1e-12 * np.abs(gram).max()
    amplitudes = slice(None, loss.width)
    assert np.array_equal(hessian[amplitudes, amplitudes], 2 * gram[amplitudes, amplitudes])


@given(losses())
def test_the_order_of_the_neurons_does_not_matter(case):
    loss, state = case
    turn = np.arange(loss.width)[::-1]
    start = ExponentialSum(loss.start.amplitudes[turn], loss.start.rates[turn])
    other = PopulationLoss(loss.target, start)
    both = np.append(turn, loss.width + turn)
    size = np.append(loss._slopes(state, None)[2][both], 1e-300)
    assert np.all(
        np.abs(other.gradient(state[both]) - loss.gradient(state)[both]) <= 1e-11 * size[:-1]
    )
