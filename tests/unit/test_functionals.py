"""Linear functionals, the four counterexamples, probes and memory functions: exact cases."""

import numpy as np
import pytest

from curse_lib.functionals import (
    Clipped,
    Clocked,
    FuturePeek,
    LinearFunctional,
    MemoryFunction,
    PureDelay,
    memory_function,
    probe_all,
    probe_causality,
    probe_continuity,
    probe_regularity,
    white_noise,
    worst_input,
)
from curse_lib.kernels import ExponentialSum, GaussianBump, PowerLaw, SampledKernel, stack
from curse_lib.models import LinearRNN, TanhRNN

PROPERTIES = ["causal", "linear", "continuous", "regular", "homogeneous"]
LEAKY = LinearFunctional(ExponentialSum([1.0], [1.0]))
BOX = SampledKernel([0.0, 1.0], [1.0, 1.0])


def broken(relation, seed=0, **options):
    probes = probe_all(relation, np.random.default_rng(seed), **options)
    assert list(probes) == PROPERTIES
    for name, probe in probes.items():
        assert probe.name == name and isinstance(probe.passed, bool)
        assert probe.passed == (probe.defect <= probe.tolerance)
        assert probe.reason.startswith("not refuted" if probe.passed else "refuted")
        assert len(probe.witness) == len(probe.steps)
        assert all(np.abs(x).max() > 0 for x in probe.witness)
    return [name for name, probe in probes.items() if not probe.passed]


class TestLinearFunctional:
    def test_output_starts_at_zero_and_has_the_shape_of_the_record(self):
        for n in (1, 2, 7):
            y = LEAKY(np.ones(n), 0.1)
            assert y.shape == (n,)
            assert y[0] == 0

    def test_single_column_is_a_single_input(self):
        x = np.random.default_rng(0).normal(size=20)
        np.testing.assert_array_equal(LEAKY(x[:, None], 0.1), LEAKY(x, 0.1))

    def test_inputs_add_up(self):
        x = np.random.default_rng(0).normal(size=(50, 2))
        parts = PowerLaw(1.0), GaussianBump(1.0, 0.2)
        apart = sum(LinearFunctional(k)(c, 0.1) for k, c in zip(parts, x.T, strict=True))
        np.testing.assert_allclose(LinearFunctional(stack(parts))(x, 0.1), apart, atol=1e-14)

    def test_no_input_no_output(self):
        assert (LEAKY(np.zeros(30), 0.1) == 0).all()

    def test_kernel_shorter_than_the_record(self):
        y = LinearFunctional(BOX)(np.ones(5000), 0.01)
        np.testing.assert_allclose(y[100:], 1.0, rtol=1e-13)

    def test_norm(self):
        assert LinearFunctional(PowerLaw(0.5)).norm == pytest.approx(2.0, rel=1e-12)
        assert LinearFunctional(stack([PowerLaw(0.5)] * 3)).norm == pytest.approx(6.0, rel=1e-12)

    @pytest.mark.parametrize(
        ("x", "dt", "hold", "match"),
        [
            (np.ones(5), 0.0, "linear", "dt must be a positive"),
            (np.ones(5), np.nan, "linear", "dt must be a positive"),
            (np.ones(5), 0.1, "cubic", "hold must be"),
            (np.ones((5, 2)), 0.1, "linear", "must have shape"),
            (np.ones((5, 1, 1)), 0.1, "linear", "shape"),
            (np.array([1.0, np.nan]), 0.1, "linear", "finite"),
            (np.array([]), 0.1, "linear", "no samples"),
        ],
    )
    def test_refuses(self, x, dt, hold, match):
        with pytest.raises(ValueError, match=match):
            LEAKY(x, dt, hold)

    def test_refuses_what_is_no_kernel(self):
        with pytest.raises(ValueError, match="SampledKernel"):
            LinearFunctional(np.ones(3))


class TestWorstInput:
    def test_is_continuous_bounded_and_reaches_the_norm(self):
        rho = ExponentialSum.oscillation(1.0, 0.3, 5.0)
        x = worst_input(rho, 60.0, 0.01)
        assert x.shape == (6001,)
        assert x[0] == 0 and np.abs(x).max() == 1
        functional = LinearFunctional(rho)
        reached = functional(x, 0.01)[-1] / functional.norm
        assert 0.999 < reached < 1

    def test_several_inputs(self):
        rho = stack([ExponentialSum([1.0], [1.0]), -PowerLaw(3.0)])
        x = worst_input(rho, 80.0, 0.05)
        assert x.shape == (1601, 2)
        assert LinearFunctional(rho)(x, 0.05)[-1] == pytest.approx(4 / 3, rel=1e-5)

    def test_refuses_what_is_no_kernel(self):
        with pytest.raises(ValueError, match="SampledKernel"):
            worst_input(np.ones(3), 1.0, 0.1)

    def test_refuses_an_empty_horizon(self):
        with pytest.raises(ValueError, match="horizon"):
            worst_input(PowerLaw(1.0), 0.01, 0.1)


class TestCounterexamples:
    """Each breaks the one property that it is there for."""

    def test_functional_breaks_nothing(self):
        assert broken(LinearFunctional(PowerLaw(0.5) + GaussianBump(3.0, 0.4))) == []
        assert broken(LinearFunctional(stack([PowerLaw(1.0), BOX])), input_dim=2) == []

    @pytest.mark.parametrize("seed", [0, 1])
    def test_future_peek_breaks_causality(self, seed):
        assert broken(FuturePeek(BOX), seed) == ["causal"]
        assert broken(FuturePeek(GaussianBump(0.5, 0.1)), seed) == ["causal"]

    @pytest.mark.parametrize("seed", [0, 1])
    def test_clipping_breaks_linearity(self, seed):
        assert broken(Clipped(LEAKY, 0.3), seed) == ["linear"]

    @pytest.mark.parametrize("seed", [0, 1])
    @pytest.mark.parametrize("lag", [0.0, 1.0, 1.234])
    def test_delay_breaks_regularity(self, lag, seed):
        assert broken(PureDelay(lag), seed) == ["regular"]

    @pytest.mark.parametrize("seed", [0, 1])
    def test_clock_breaks_homogeneity(self, seed):
        assert broken(Clocked(LEAKY, 3.0), seed) == ["homogeneous"]

    def test_peek_is_the_mean_of_the_future(self):
        t = 0.1 * np.arange(51)
        y = FuturePeek(BOX)(t, 0.1)
        np.testing.assert_allclose(y[:40], t[:40] + 0.5, rtol=1e-12)

    @pytest.mark.parametrize("dt", [0.1, 0.05])
    def test_peek_with_held_samples(self, dt):
        t = dt * np.arange(round(5 / dt) + 1)
        y = FuturePeek(BOX)(t, dt, hold="constant")
        np.testing.assert_allclose(y[t < 3.9], t[t < 3.9] + 0.5 - dt / 2, rtol=1e-12)

    def test_clip_limits(self):
        y = Clipped(LEAKY, 0.3)(np.ones(100), 0.1)
        assert y.max() == 0.3
        np.testing.assert_array_equal(y[:3], LEAKY(np.ones(100), 0.1)[:3])

    def test_delay_by_samples_and_between_them(self):
        x = np.arange(1.0, 7.0)
        np.testing.assert_array_equal(PureDelay(0.0)(x, 0.1), x)
        np.testing.assert_array_equal(PureDelay(0.3)(x, 0.1), [0, 0, 0, 1, 2, 3])
        np.testing.assert_allclose(PureDelay(0.25)(x, 0.1), [0, 0, 0, 1.5, 2.5, 3.5])
        np.testing.assert_array_equal(PureDelay(0.25)(x, 0.1, hold="constant"), [0, 0, 0, 1, 2, 3])
        np.testing.assert_array_equal(PureDelay(9.0)(x, 0.1), np.zeros(6))
        np.testing.assert_array_equal(PureDelay(1e300)(x, 1e-300), np.zeros(6))

    def test_clock_strikes(self):
        y = Clocked(PureDelay(0.0), np.pi)(np.ones(3), 1.0)
        np.testing.assert_allclose(y, [1, -1, 1])

    def test_options_reach_the_relation(self):
        x = np.random.default_rng(0).normal(size=20)
        np.testing.assert_array_equal(
            Clipped(LEAKY, 1e3)(x, 0.1, hold="constant"), LEAKY(x, 0.1, hold="constant")
        )

    def test_refusals(self):
        for make in (
            lambda: Clipped(LEAKY, 0.0),
            lambda: Clocked(LEAKY, -1.0),
        ):
            with pytest.raises(ValueError, match="positive"):
                make()
        with pytest.raises(ValueError, match="lag must be a non-negative"):
            PureDelay(-1.0)
        with pytest.raises(ValueError, match="SampledKernel"):
            FuturePeek(np.ones(3))


class TestProbes:
    def test_models(self):
        rng = np.random.default_rng(0)
        W = np.array([[-1.0, 1.0], [0.0, -1.0]])
        assert broken(LinearRNN(W, rng.normal(size=(2, 2)), [1.0, 2.0]).simulate, input_dim=2) == []

    def test_tanh_network_is_not_linear(self):
        model = TanhRNN([[-1.0]], [1.0], [1.0])
        assert broken(model.simulate, length=100) == ["linear"]

    def test_integrator_and_growth_are_not_continuous(self):
        def integral(x, dt):
            return dt * np.cumsum(x)

        def grown(x, dt):
            t = dt * np.arange(x.size)
            return np.exp(t) * np.cumsum(np.exp(-t) * x) * dt

        rng = np.random.default_rng(0)
        probe = probe_continuity(integral, rng)
        assert not probe.passed
        assert probe.defect == pytest.approx(1, abs=0.05)
        assert not probe_continuity(grown, rng).passed

    def test_derivative_square_and_root_are_not_continuous(self):
        rng = np.random.default_rng(0)
        for relation, exponent in (
            (lambda x, dt: np.append(0.0, np.diff(x)) / dt, 1.0),
            (lambda x, dt: x**2, 1.0),
            (lambda x, dt: np.sqrt(np.abs(x)), 0.5),
        ):
            probe = probe_continuity(relation, rng)
            assert not probe.passed
            assert probe.defect == pytest.approx(exponent, abs=0.05)

    def test_a_slowly_forgetting_functional_is_continuous(self):
        assert probe_continuity(LinearFunctional(PowerLaw(0.1)), np.random.default_rng(0)).passed

    def test_the_norm_stands_beside_the_gain(self):
        probe = probe_continuity(LEAKY, np.random.default_rng(0))
        assert "the norm is 1" in probe.reason

    def test_decay_of_narrowing_hats(self):
        rng = np.random.default_rng(0)
        smooth = probe_regularity(LEAKY, rng)
        assert smooth.defect == pytest.approx(0.5, abs=0.01)
        assert [x.size for x in smooth.witness] == [400 * 2**j for j in range(6)]
        delay = probe_regularity(PureDelay(1.234), rng)
        np.testing.assert_allclose(delay.values, 1.0, rtol=1e-12)
        # A little of both: the delayed part is what remains.
        mixed = probe_regularity(lambda x, dt: LEAKY(x, dt) + 0.05 * PureDelay(1.0)(x, dt), rng)
        assert not mixed.passed

    def test_nothing_in_nothing_out(self):
        assert broken(lambda x, dt: np.zeros(len(x))) == []

    def test_a_constant_output_is_refuted(self):
        found = broken(lambda x, dt: np.ones(len(x)))
        assert found == ["linear", "continuous", "regular"]

    def test_relations_may_work_in_place_and_reuse_their_buffers(self):
        buffer = np.empty(12_800)

        def shared(relation):
            def wrapped(x, dt):
                buffer[: x.size] = relation(x, dt)
                x[:] = np.nan
                return buffer[: x.size]

            return wrapped

        assert broken(shared(LEAKY)) == []
        assert broken(shared(FuturePeek(BOX))) == ["causal"]

    @pytest.mark.filterwarnings("error")
    def test_overflow_refutes_continuity_and_regularity_alone(self):
        def exploding(x, dt):  # linear, causal and homogeneous until it overflows
            y = np.zeros(x.size)
            for k in range(1, x.size):
                y[k] = 1e3 * y[k - 1] + x[k - 1]
            return y

        assert broken(exploding) == ["continuous", "regular"]
        assert broken(lambda x, dt: np.full(x.size, np.nan)) == ["continuous", "regular"]

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_overflow_at_some_amplitudes_is_not_continuous(self, value):
        rng = np.random.default_rng(0)
        for undefined in (lambda top: top == 1, lambda top: top < 1e-3, lambda top: top > 1e3):
            probe = probe_continuity(
                lambda x, dt, undefined=undefined: x + value if undefined(np.abs(x).max()) else x,
                rng,
            )
            assert not probe.passed and probe.defect == np.inf

    def test_same_seed_same_probe(self):
        a, b = (probe_causality(FuturePeek(BOX), np.random.default_rng(3)) for _ in range(2))
        assert a.defect == b.defect

    def test_refusals(self):
        rng = np.random.default_rng(0)
        with pytest.raises(ValueError, match="must return y of shape"):
            probe_causality(lambda x, dt: x[:-1], rng)
        with pytest.raises(ValueError, match="length >= 16"):
            probe_causality(LEAKY, rng, length=3)
        with pytest.raises(ValueError, match="whole numbers"):
            probe_continuity(LEAKY, rng, length=400.0)
        with pytest.raises(ValueError, match="refinements"):
            probe_regularity(LEAKY, rng, refinements=2)


class TestMemoryFunction:
    def test_linear_model_alone(self):
        rho = ExponentialSum([[1.0, -2.0]], [0.5])
        for model in (rho, LinearFunctional(rho), LinearRNN.from_kernel(rho.components[0])):
            memory = memory_function(model)
            t = np.array([0.0, 0.7, 30.0])
            scale = 3.0 if memory.kernel.input_dim == 2 else 1.0
            np.testing.assert_allclose(memory(t), scale * np.exp(-0.5 * t), rtol=1e-13)
            np.testing.assert_allclose(memory.values, memory(memory.lags), rtol=1e-13)

    def test_measured_from_steps(self):
        lags = np.linspace(0, 5, 51)
        rho = stack([PowerLaw(1.0), -GaussianBump(2.0, 0.3)])

        def relation(x, dt):
            return LinearFunctional(rho)(x, dt)

        errors = []
        for dt in (0.02, 0.01):
            measured = memory_function(relation, lags, dt, input_dim=2, amplitudes=[1.0])
            errors.append(np.abs(measured.values - memory_function(rho)(lags)).max())
        assert errors[1] < 2e-3
        assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)

    def test_saturating_model_remembers_more_than_its_linearisation(self):
        model = TanhRNN([[-1.0]], [1.0], [1.0])
        memory = memory_function(model, np.linspace(0, 4, 41), 0.02)
        linear = np.exp(-memory.lags)
        assert (memory.values > linear * (1 - 1e-3)).all()
        assert memory(3.0) > 2 * np.exp(-3.0)

    def test_tanh_model_alone(self):
        memory = memory_function(TanhRNN([[-2.0]], [1.0], [1.0]), amplitudes=[1e-3])
        assert memory.lags[-1] == pytest.approx(5.0)
        np.testing.assert_allclose(memory.values, np.exp(-2 * memory.lags), atol=1e-3)

    def test_refuses_to_extrapolate(self):
        memory = MemoryFunction(np.array([0.0, 1.0]), np.array([1.0, 0.5]))
        assert memory(0.5) == 0.75
        with pytest.raises(ValueError, match="only"):
            memory(1.1)

    @pytest.mark.parametrize(
        ("arguments", "match"),
        [
            ((LEAKY.__call__,), "lags are needed"),
            ((LEAKY.__call__, [0.0, 1.0]), "dt is needed"),
            ((LEAKY.__call__, [1.0, 0.0], 0.1), "increasing"),
            ((LEAKY.__call__, [0.0, np.inf], 0.1), "lags must be finite"),
            ((lambda x, dt: x / 0.0, [0.0, 1.0], 0.1), "overflows; give smaller amplitudes"),
            ((3.0, [0.0, 1.0], 0.1), "cannot measure"),
            ((TanhRNN([[1.0]], [1.0], [1.0]),), "real part"),
        ],
    )
    def test_refusals(self, arguments, match):
        with pytest.raises(ValueError, match=match):
            memory_function(*arguments)

    def test_refuses_too_many_inputs_and_bad_amplitudes(self):
        with pytest.raises(ValueError, match="d up to 8"):
            memory_function(LEAKY.__call__, [0.0, 1.0], 0.1, input_dim=9)
        with pytest.raises(ValueError, match="input_dim must be 1 to 8; got 0"):
            memory_function(LEAKY.__call__, [0.0, 1.0], 0.1, input_dim=0)
        with pytest.raises(ValueError, match="amplitudes"):
            memory_function(LEAKY.__call__, [0.0, 1.0], 0.1, amplitudes=[0.0])


class TestWhiteNoise:
    def test_scale_and_shape(self):
        rng = np.random.default_rng(0)
        assert white_noise(10, 0.1, rng).shape == (10,)
        x = white_noise(20_000, 0.01, rng, input_dim=3)
        assert x.shape == (20_000, 3)
        np.testing.assert_allclose(x.std(axis=0), 10.0, rtol=0.02)

    def test_refusals(self):
        rng = np.random.default_rng(0)
        with pytest.raises(ValueError, match="at least 1"):
            white_noise(0, 0.1, rng)
        with pytest.raises(ValueError, match="dt"):
            white_noise(10, -0.1, rng)
