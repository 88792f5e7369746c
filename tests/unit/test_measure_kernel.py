"""Measuring a kernel from a record: exact cases, units, diagnostics and refusals."""

import numpy as np
import pytest

from curse_lib.functionals import LinearFunctional
from curse_lib.identification import measure_kernel
from curse_lib.kernels import ExponentialSum, SampledKernel

DT, LAGS = 0.1, 20


def record(d=1, n=600, hold="linear", noise=0.0, seed=0, offset=0.0):
    """A random piecewise-linear kernel and what it makes of a random input."""
    rng = np.random.default_rng(seed)
    shape = (LAGS,) if d == 1 else (LAGS, d)
    kernel = SampledKernel(DT * np.arange(LAGS), rng.normal(size=shape))
    x = rng.normal(size=(n,) if d == 1 else (n, d))
    y = LinearFunctional(kernel)(x, DT, hold) + offset
    return x, y + noise * y.std() * rng.normal(size=n), kernel


class TestExact:
    @pytest.mark.parametrize("d", [1, 3])
    @pytest.mark.parametrize("smoothness", [0.0, None])
    def test_noise_free_record_gives_the_kernel_back(self, d, smoothness):
        x, y, kernel = record(d, offset=3.0)
        found = measure_kernel(x, y, DT, LAGS, smoothness=smoothness)
        assert found.values.shape == found.lower.shape == kernel.values.shape
        np.testing.assert_allclose(found.values, kernel.values, atol=1e-10)
        np.testing.assert_allclose(found.lags, kernel.times)
        assert found.offset == pytest.approx(3.0, abs=1e-10)
        assert found.r_squared == pytest.approx(1.0, abs=1e-12)
        assert found.effective_parameters == pytest.approx(LAGS * d, rel=1e-6)
        assert found.advice == ""

    def test_held_input_gives_the_areas_between_the_lags(self):
        """Node values of a held input are known up to one alternating combination."""
        x, y, kernel = record(hold="constant")
        found = measure_kernel(x, y, DT, LAGS, hold="constant")
        areas, exact = (0.5 * (v[1:] + v[:-1]) for v in (found.values, kernel.values))
        np.testing.assert_allclose(areas, exact, atol=1e-9)
        np.testing.assert_allclose(found.predict(x), y, atol=1e-9)
        assert found.effective_parameters == pytest.approx(LAGS - 1, rel=1e-6)

    def test_record_that_does_not_start_at_rest(self):
        x, y, kernel = record(n=800)
        with_past = measure_kernel(x[200:], y[200:], DT, LAGS, burn_in=LAGS, smoothness=0.0)
        np.testing.assert_allclose(with_past.values, kernel.values, atol=1e-10)
        pretended = measure_kernel(x[200:], y[200:], DT, LAGS, smoothness=0.0)
        assert np.abs(pretended.values - kernel.values).max() > 1e-4

    def test_coloured_noise_does_not_spoil_a_noise_free_record(self):
        x, y, kernel = record()
        found = measure_kernel(x, y, DT, LAGS, noise_order=2, smoothness=0.0)
        np.testing.assert_allclose(found.values, kernel.values, atol=1e-8)

    def test_normal_equations_by_hand(self):
        x, y, _ = record(noise=0.5)
        hats = [SampledKernel(DT * np.arange(LAGS), row) for row in np.eye(LAGS)]
        columns = np.stack([LinearFunctional(hat)(x, DT) for hat in hats], axis=1)
        design = np.column_stack([np.ones(x.size), columns])
        exact, *_ = np.linalg.lstsq(design, y)
        found = measure_kernel(x, y, DT, LAGS, smoothness=0.0)
        np.testing.assert_allclose(found.values, exact[1:], rtol=1e-8, atol=1e-10)
        residual = y - design @ exact
        scale = residual @ residual / (x.size - LAGS - 1)
        assert found.noise_std == pytest.approx(np.sqrt(scale), rel=1e-9)
        errors = np.sqrt(scale * np.diag(np.linalg.inv(design.T @ design)))[1:]
        ratio = (found.upper - found.values) / errors
        assert ratio == pytest.approx(1.964 * np.ones(LAGS), rel=1e-3)

    def test_penalised_equations_by_hand(self):
        x, y, _ = record(noise=0.5)
        scale = DT * x.std()
        hats = [SampledKernel(DT * np.arange(LAGS), row) for row in np.eye(LAGS)]
        columns = np.stack([LinearFunctional(hat)(x, DT) for hat in hats], axis=1) / scale
        bend = np.diff(np.eye(LAGS), 2, axis=0)
        centred = columns - columns.mean(axis=0)
        whole = centred.T @ centred + 7.0 * bend.T @ bend
        exact = np.linalg.solve(whole, centred.T @ y) / scale
        found = measure_kernel(x, y, DT, LAGS, smoothness=7.0)
        np.testing.assert_allclose(found.values, exact, rtol=1e-8, atol=1e-10)
        resolution = np.diag(np.linalg.solve(whole, centred.T @ centred))
        np.testing.assert_allclose(found.resolution, resolution, rtol=1e-8)


class TestResult:
    @pytest.mark.parametrize("d", [1, 2])
    @pytest.mark.parametrize("hold", ["linear", "constant"])
    def test_predict_is_the_functional_of_the_kernel(self, d, hold):
        x, y, _ = record(d, hold=hold, noise=0.3)
        found = measure_kernel(x, y, DT, LAGS, hold=hold)
        fresh = np.random.default_rng(9).normal(size=x.shape)
        expected = LinearFunctional(found.kernel)(fresh, DT, hold) + found.offset
        np.testing.assert_array_equal(found.predict(fresh), expected)
        explained = 1 - np.var(y - found.predict(x)) / np.var(y)
        assert found.r_squared == pytest.approx(explained, abs=1e-4)

    def test_smoothness_can_be_passed_back(self):
        x, y, _ = record(noise=0.5)
        first = measure_kernel(x, y, DT, LAGS)
        again = measure_kernel(x, y, DT, LAGS, smoothness=first.smoothness)
        np.testing.assert_allclose(again.values, first.values, rtol=1e-12)

    def test_strong_penalty_leaves_a_straight_line(self):
        x, y, _ = record(noise=0.5)
        found = measure_kernel(x, y, DT, LAGS, smoothness=1e12)
        assert found.effective_parameters == pytest.approx(2, abs=1e-4)
        assert np.abs(np.diff(found.values, 2)).max() < 1e-6 * np.abs(found.values).max()

    def test_resolution_is_the_share_of_the_data(self):
        x, y, _ = record(2, noise=0.5)
        found = measure_kernel(x, y, DT, LAGS, smoothness=100.0)
        assert found.resolution.shape == (LAGS, 2)
        assert ((found.resolution >= 0) & (found.resolution <= 1)).all()
        assert found.resolution.sum() == pytest.approx(found.effective_parameters)
        alone = measure_kernel(x, y, DT, LAGS, smoothness=0.0)
        np.testing.assert_allclose(alone.resolution, 1.0, rtol=1e-9)

    def test_wider_at_a_higher_level(self):
        x, y, _ = record(noise=0.5)
        narrow, wide = (measure_kernel(x, y, DT, LAGS, level=level) for level in (0.5, 0.99))
        assert (wide.upper - wide.lower > 3 * (narrow.upper - narrow.lower)).all()

    def test_units_do_not_matter(self):
        x, y, _ = record(2, noise=0.5)
        plain = measure_kernel(x, y, DT, LAGS)
        other = measure_kernel(x * [10.0, 0.01], 5 * y, 2 * DT, LAGS)
        np.testing.assert_allclose(
            other.values, plain.values * 5 / 2 / [10.0, 0.01], rtol=1e-4, atol=1e-6
        )
        assert other.effective_parameters == pytest.approx(plain.effective_parameters, rel=1e-4)

    def test_long_records_in_blocks(self):
        x, y, kernel = record(n=9000, noise=0.1)
        found = measure_kernel(x, y, DT, LAGS)
        assert np.abs(found.values - kernel.values).max() < 0.15

    @pytest.mark.parametrize("unit", [1e-150, 1e150])
    def test_extreme_units_of_the_output(self, unit):
        x, y, _ = record(noise=0.5)
        plain, other = measure_kernel(x, y, DT, LAGS), measure_kernel(x, unit * y, DT, LAGS)
        np.testing.assert_allclose(other.values / unit, plain.values, rtol=1e-6, atol=1e-9)
        assert other.r_squared == pytest.approx(plain.r_squared, rel=1e-6)
        assert other.noise_std == pytest.approx(unit * plain.noise_std, rel=1e-6)

    @pytest.mark.parametrize("noise_order", [0, 2])
    @pytest.mark.parametrize("level", [0.1, 5.3, 1e6 / 3])
    def test_constant_output_is_an_offset(self, level, noise_order):
        x, _, _ = record()
        found = measure_kernel(x, np.full(x.size, level), DT, LAGS, noise_order=noise_order)
        assert (found.values == 0).all()
        assert found.offset == pytest.approx(level, rel=1e-14)
        assert found.r_squared == found.noise_std == 0

    def test_silent_output(self):
        x, _, _ = record()
        found = measure_kernel(x, np.zeros(x.size), DT, LAGS)
        assert (found.values == 0).all()
        assert found.r_squared == 0


class TestExcitation:
    Y = np.random.default_rng(5).normal(size=500)

    def refusal(self, x, lags=LAGS):
        x = np.asarray(x, dtype=float)
        with pytest.raises(ValueError, match="directions of the kernel") as error:
            measure_kernel(x, self.Y[: len(x)], DT, lags)
        assert "allow_weak" in str(error.value)
        return str(error.value)

    @pytest.mark.parametrize("level", [0.0, 1.0, -0.3])
    def test_constant(self, level):
        message = self.refusal(np.full(500, level))
        assert "determines 0 of the 20" in message
        assert "constant throughout: input 0" in message

    @pytest.mark.parametrize("waves", [1, 2])
    def test_sinusoids(self, waves):
        t = DT * np.arange(500)
        x = sum(np.sin((3 + 2 * k) * t) for k in range(waves))
        assert f"determines {2 * waves} of the 20" in self.refusal(x)

    def test_collinear(self):
        x = np.random.default_rng(0).normal(size=(500, 1))
        message = self.refusal(np.hstack([x, -2 * x]))
        assert "determines 20 of the 40" in message
        assert "input 0" in message and "input 1" in message

    def test_one_silent_input(self):
        x = np.random.default_rng(0).normal(size=(500, 3))
        x[:, 1] = 0.0
        message = self.refusal(x)
        assert "determines 40 of the 60" in message
        assert "above all: input 1 (lag numbers 0-19)" in message

    def test_pulse_that_comes_too_early_and_the_way_out(self):
        x = np.zeros(500)
        x[3] = 1.0
        assert "determines 3 of the 20" in self.refusal(x)
        kernel = SampledKernel(DT * np.arange(LAGS), np.hanning(LAGS))
        y = LinearFunctional(kernel)(x, DT)
        rest = np.zeros(LAGS)
        found = measure_kernel(np.append(rest, x), np.append(rest, y), DT, LAGS)
        np.testing.assert_allclose(found.values, kernel.values, atol=1e-9)

    def test_too_short(self):
        x = np.random.default_rng(0).normal(size=50)
        with pytest.raises(ValueError, match="at most 24") as error:
            measure_kernel(x, self.Y[:50], DT, 30)
        assert "30 values" in str(error.value)
        measure_kernel(x, self.Y[:50], DT, 24)

    def test_weak_excitation_is_told(self):
        rng = np.random.default_rng(0)
        slow = np.convolve(rng.normal(size=2019), np.hanning(20), "valid")
        found = measure_kernel(slow, rng.normal(size=slow.size), DT, LAGS)
        assert "less than 3% as much as the best" in found.advice
        assert "varies faster" in found.advice
        lively = measure_kernel(rng.normal(size=slow.size), slow, DT, LAGS)
        assert lively.advice == ""

    def test_allow_weak_says_what_is_missing_and_widens_the_band(self):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(800, 1))
        y = LinearFunctional(ExponentialSum([1.0], [2.0]))(x, DT)
        y += 0.3 * y.std() * rng.normal(size=800)
        found = measure_kernel(np.hstack([x, x]), y, DT, LAGS, allow_weak=True)
        assert "determines 20 of the 40" in found.advice
        alone = measure_kernel(x, y, DT, LAGS)
        both = found.values.sum(axis=1)
        assert np.abs(both - alone.values).max() < 0.3 * np.abs(alone.values).max()
        assert (found.upper - found.lower).mean() > 3 * (alone.upper - alone.lower).mean()


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ({"lags": 2}, "lags must be a whole number >= 3"),
            ({"lags": 7.5}, "lags must be a whole number"),
            ({"lags": DT * np.arange(1, 9)}, "own grid; got"),
            ({"lags": 2 * DT * np.arange(8)}, "own grid; got"),
            ({"lags": []}, "own grid; got"),
            ({"noise_order": -1}, "noise_order"),
            ({"level": 1.0}, "level"),
            ({"level": 95}, "level"),
            ({"smoothness": -1.0}, "smoothness"),
            ({"smoothness": np.inf}, "smoothness"),
            ({"smoothness": 0.0, "hold": "constant"}, "smoothness=0"),
            ({"smoothness": 0.0, "allow_weak": True}, "smoothness=0"),
            ({"burn_in": 600}, "burn_in"),
            ({"burn_in": -1}, "burn_in"),
            ({"hold": "spline"}, "hold"),
            ({"dt": 0.0}, "dt"),
        ],
    )
    def test_parameters(self, options, match):
        x, y, _ = record()
        arguments = {"dt": DT, "lags": LAGS} | options
        with pytest.raises(ValueError, match=match):
            measure_kernel(x, y, **arguments)

    def test_lags_may_be_given_themselves(self):
        x, y, _ = record()
        by_number = measure_kernel(x, y, DT, LAGS)
        by_lag = measure_kernel(x, y, DT, DT * np.arange(LAGS))
        np.testing.assert_array_equal(by_lag.values, by_number.values)

    def test_arrays(self):
        x, y, _ = record()
        with pytest.raises(ValueError, match=r"shape \(600,\)"):
            measure_kernel(x, y[:-1], DT, LAGS)
        with pytest.raises(ValueError, match=r"shape \(600,\)"):
            measure_kernel(x, y[:, None], DT, LAGS)
        gap = y.copy()
        gap[7] = np.nan
        with pytest.raises(ValueError, match="y must be finite"):
            measure_kernel(x, gap, DT, LAGS)
