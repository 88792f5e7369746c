"""Training: what a step does, runs that don't see each other, plateaus, wrong input."""

import io
import pickle
import threading

import numpy as np
import pytest

from curse_lib import AiryKernel, ExponentialSum, memory_function, stack
from curse_lib._progress import progress
from curse_lib.training import SequenceTask, TrainingRuns, WhiteNoiseTask, train

TWO = ExponentialSum([0.6, 0.6], [0.5, 1.0])
LINEAR = WhiteNoiseTask(TWO, 2.0, 0.1)
DATA = np.random.default_rng(5).standard_normal((9, 6, 2))
TANH = SequenceTask(DATA, DATA[:, 2, 0], batch=4)
BOTH = pytest.mark.parametrize("task", [LINEAR, TANH], ids=["linear", "tanh"])


def rng(seed=0):
    return np.random.default_rng(seed)


def start(task, width=3, runs=2, scale=0.5):
    return np.array([task.start(width, stream, scale) for stream in rng().spawn(runs)])


def quick(task, **options):
    options = {"learning_rate": 0.01, "steps": 5, "runs": 3} | options
    return train(task, 3, rng=rng(), **options)


# --------------------------------------------------------------------------- losses


def slow_response(task, theta):
    """Step by step, run by run."""
    p = task.parameters(theta)
    found = []
    for W, U, c in zip(p["W"], p["U"], p["c"], strict=True):
        h, row = U, []
        for _ in task.lags:
            row.append(c @ h)
            h = h + task.dt * W @ h
        found.append(row)
    return np.array(found)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 16, 17, 63])
def test_impulse_response_is_the_recurrence(count):
    task = WhiteNoiseTask(stack([TWO, AiryKernel(2.0, 1.0)]), 0.1 * count, 0.1)
    theta = start(task)
    assert task.lags == pytest.approx(0.1 * np.arange(count))
    slow = slow_response(task, theta)
    assert task.impulse_response(theta) == pytest.approx(slow, rel=1e-13, abs=1e-14)
    loss = 0.1 * np.sum((slow - task.target(task.lags)) ** 2, axis=(1, 2))
    assert task.loss(theta) == pytest.approx(loss, rel=1e-12)
    assert task.gradient(theta)[0] == pytest.approx(loss, rel=1e-12)


def test_one_input_has_no_axis_of_its_own():
    theta = start(LINEAR)
    assert LINEAR.impulse_response(theta).shape == (2, 20)
    assert LINEAR.impulse_response(theta) == pytest.approx(slow_response(LINEAR, theta)[:, :, 0])
    assert LINEAR.power == pytest.approx(LINEAR.loss(np.zeros((1, 15)))[0], rel=1e-14)


def slow_outputs(task, theta, inputs):
    """One sequence, one step at a time: shape (runs, n, T)."""
    p = task.parameters(theta)
    y = np.zeros((len(theta), *inputs.shape[:2]))
    for r, n in np.ndindex(y.shape[:2]):
        h = np.zeros(p["c"].shape[1])
        for k, x in enumerate(inputs[n]):
            new = np.tanh(p["W"][r] @ h + p["U"][r] @ x + p["b"][r])
            h = new if task.cell == "tanh" else h + task.dt * new
            y[r, n, k] = p["c"][r] @ h + p["offset"][r]
    return y


MASK = np.array([False, True, True, False, True, False])
READOUTS = {
    "all": (rng(1).standard_normal((9, 6)), None),
    "last": (rng(2).standard_normal(9), None),
    "mask": (rng(3).standard_normal((9, 6)), MASK),
}


@pytest.mark.parametrize("cell", ["tanh", "residual"])
@pytest.mark.parametrize("name", READOUTS)
def test_sequence_loss_is_the_mean_square_of_a_plain_loop(cell, name):
    outputs, mask = READOUTS[name]
    task = SequenceTask(DATA, outputs, 0.3, cell, mask)
    theta = start(task) + 0.1
    y = slow_outputs(task, theta, DATA)
    kept = np.arange(6) == 5 if name == "last" else np.ones(6, bool) if mask is None else mask
    errors = (y - (outputs[:, None] if outputs.ndim == 1 else outputs))[:, :, kept]
    assert task.loss(theta) == pytest.approx(np.mean(errors**2, axis=(1, 2)), rel=1e-13)
    assert task.predict(theta, DATA) == pytest.approx(y, rel=1e-12, abs=1e-14)
    best = errors[0] - y[0][:, kept]
    assert task.power == pytest.approx(np.var(best), rel=1e-13)
    chosen = np.array([[0, 0, 8], [3, 1, 2]])
    some = [np.mean(errors[r][chosen[r]] ** 2) for r in range(2)]
    assert task.gradient(theta, chosen)[0] == pytest.approx(some, rel=1e-13)


def test_many_sequences_go_in_parts():
    x = rng(1).standard_normal((300, 4))
    task = SequenceTask(x, x[:, 1])
    theta = start(task)
    loss, gradient = task.gradient(theta)
    halves = [SequenceTask(x[part], x[part, 1]) for part in (slice(0, 150), slice(150, 300))]
    assert loss == pytest.approx(sum(half.loss(theta) for half in halves) / 2, rel=1e-13)
    found = sum(half.gradient(theta)[1] for half in halves) / 2
    assert gradient == pytest.approx(found, rel=1e-11, abs=1e-14)
    whole = task.gradient(theta, np.array([np.arange(300)] * 2))
    assert whole[0] == pytest.approx(loss) and whole[1] == pytest.approx(gradient)


def test_inputs_may_lack_their_axis_and_are_copied():
    x = rng(1).standard_normal((5, 4))
    task = SequenceTask(x, x)
    assert task.inputs.shape == (5, 4, 1) and task.input_dim == 1
    x[:] = 7
    assert not (task.inputs == 7).any() and not (task.outputs == 7).any()
    with pytest.raises(ValueError, match="read-only"):
        task.inputs[0, 0, 0] = 1


# --------------------------------------------------------------------------- starts and steps


@BOTH
def test_parameters_are_views_of_all_entries(task):
    theta = start(task)
    for part in task.parameters(theta).values():
        part[:] = np.nan
    assert np.isnan(theta).all()


def test_starts():
    residual = SequenceTask(DATA, DATA[:, :, 0], cell="residual")
    for task, mean in ((LINEAR, -1), (TANH, 0), (residual, -1)):
        p = task.parameters(start(task, width=300, runs=1, scale=0.7))
        W = p["W"][0] - mean * np.eye(300)
        assert W.std() == pytest.approx(0.7 / np.sqrt(300), rel=0.02)
        assert p["c"].std() == pytest.approx(1 / np.sqrt(300), rel=0.2)
        fan = 300 if task is LINEAR else 2
        assert p["U"].std() == pytest.approx(1 / np.sqrt(fan), rel=0.15)
    assert not p["b"].any() and not p["offset"].any()
    calm = LINEAR.parameters(start(LINEAR, scale=0.0))
    assert np.array_equal(calm["W"], [-np.eye(3)] * 2)


@BOTH
@pytest.mark.parametrize("optimizer", ["gradient_descent", "heavy_ball", "adam"])
def test_steps_are_those_of_the_formulas(task, optimizer):
    rate, mu, steps = 0.03, 0.8, 4
    run = quick(
        task, optimizer=optimizer, learning_rate=rate, momentum=mu, steps=steps, eps=1e-3, runs=2
    )
    streams = rng().spawn(2)
    theta = np.array([task.start(3, stream, 0.5) for stream in streams])
    speed, mean, square = np.zeros((3, *theta.shape))
    for k in range(1, steps + 1):
        g = task.gradient(theta, None if task is LINEAR else task.draw(streams))[1]
        speed = mu * speed - rate * g
        mean, square = mu * mean + (1 - mu) * g, 0.999 * square + 0.001 * g**2
        adam = mean / (1 - mu**k) / (np.sqrt(square / (1 - 0.999**k)) + 1e-3)
        theta = (
            theta
            + {"gradient_descent": -rate * g, "heavy_ball": speed, "adam": -rate * adam}[optimizer]
        )
    assert run.theta == pytest.approx(theta, rel=1e-12, abs=1e-14)
    assert run.losses[-1] == pytest.approx(task.loss(theta), rel=1e-11)
    assert run.losses[0] == pytest.approx(task.loss(start(task)), rel=1e-13)
    assert run.theta != pytest.approx(start(task))


@BOTH
def test_a_run_does_not_see_the_others(task):
    many, few = quick(task, runs=7), quick(task, runs=2)
    assert np.array_equal(many.theta[:2], few.theta)
    assert np.array_equal(many.losses[:, :2], few.losses)
    assert len(set(many.losses[0])) == 7
    one = rng()
    first, second = (train(task, 3, rng=one, learning_rate=0.01, steps=2) for _ in range(2))
    assert np.array_equal(first.losses[0, :2], few.losses[0])
    assert not np.isin(first.losses[0], second.losses[0]).any()


def test_batches_reach_every_sequence():
    streams = rng().spawn(2)
    drawn = np.array([TANH.draw(streams) for _ in range(40)])
    assert drawn.shape == (40, 2, 4) and (drawn[:, 0] != drawn[:, 1]).any()
    assert set(drawn[:, 0].flat) == set(drawn[:, 1].flat) == set(range(9))


def test_records():
    assert list(quick(LINEAR, steps=1).steps) == [0, 1]
    run = quick(LINEAR, steps=1000, record=10)
    assert list(run.steps[:4]) == [0, 1, 2, 3] and run.steps[-1] == 1000
    assert 22 <= len(run.steps) <= 32 and len(quick(LINEAR, steps=1000).steps) > 80
    assert run.losses.shape == (len(run.steps), 3) and (np.diff(run.steps) > 0).all()
    chosen = quick(LINEAR, steps=1000, record=[30, 7, 7])
    assert list(chosen.steps) == [0, 7, 30, 1000]
    assert np.array_equal(chosen.losses[-1], run.losses[-1])
    assert np.array_equal(chosen.mean, chosen.losses.mean(axis=1))
    assert np.array_equal(chosen.std, chosen.losses.std(axis=1))


def test_a_run_that_diverges_keeps_its_last_state_and_the_others_go_on():
    run = quick(LINEAR, learning_rate=0.9, steps=60, runs=6, record=range(61))
    assert 0 < run.diverged.sum() < 6
    assert np.isfinite(run.losses).all() and np.isfinite(run.theta).all()
    lost = run.losses[:, run.diverged]
    assert (lost[-1] == lost[-2]).all() and (lost[-1] > 1e10).all()
    assert LINEAR.loss(run.theta) == pytest.approx(run.losses[-1])
    kept = np.flatnonzero(~run.diverged)
    assert (run.losses[-1, kept] != run.losses[-2, kept]).all() and run.mean[-1] < 10
    assert run.mean[-1] == pytest.approx(run.losses[-1, kept].mean())
    assert np.isnan(run.plateau_lengths()[run.diverged]).all()
    # A run before the first lost one comes out as in a company without it.
    calm = quick(LINEAR, learning_rate=0.9, steps=60, runs=int(kept[0]) + 1, record=range(61))
    assert np.array_equal(calm.losses[:, kept[0]], run.losses[:, kept[0]])


# --------------------------------------------------------------------------- models


def test_models():
    run = quick(LINEAR)
    assert all(
        np.array_equal(model.W, W) for model, W in zip(run.models, run.parameters["W"], strict=True)
    )
    run = quick(TANH)
    x = rng(3).standard_normal((8, 2))
    y = slow_outputs(TANH, run.theta, x[None])
    for r, relation in enumerate(run.models):
        found = relation(x, 1.0)
        assert found[0] == run.parameters["offset"][r] != 0
        assert found[1:] == pytest.approx(y[r, 0, :-1], rel=1e-12)
        assert np.array_equal(pickle.loads(pickle.dumps(relation))(x, 1.0), found)
    with pytest.raises(ValueError, match=r"dt = 1\.0; got 0\.5"):
        relation(x, 0.5)
    with pytest.raises(ValueError, match="shape"):
        relation(x[:, :1], 1.0)
    assert memory_function(relation, [1.0, 2.0], 1.0, input_dim=2).values.shape == (2,)


# --------------------------------------------------------------------------- plateaus


def made(*losses, steps=(0, 1, 10, 100, 200, 300, 400)):
    """Runs with these losses, for a task of power 1.09."""
    losses = np.array(losses, float).T
    return TrainingRuns(
        WhiteNoiseTask(TWO, 6.3, 0.1),
        np.array(steps),
        losses,
        np.zeros((losses.shape[1], 15)),
        np.zeros(losses.shape[1], bool),
    )


def test_plateau_lengths():
    run = made(
        [9, 1, 0.99, 0.95, 0.3, 0.2, 0.05],  # from step 1 to step 100
        [9, 1, 0.99, 0.95, 0.89, 0.88, 0.05],  # from step 100, 0.95, to step 300
        [9, 5, 2.0, 0.9, 0.4, 0.2, 0.05],  # none
        [9, 1, 0.99, 0.99, 0.99, 0.99, 0.99],  # not over yet
        [9, 1, 0.5, 0.05, 0.05, 0.05, 0.05],  # has learnt
        [9, 1, 1.3, 0.95, 0.3, 0.9, 0.05],  # the running minimum goes on after 200
        [9, 1, 0.9, 0.9, 0.9, 0.9, 0.44],  # exactly 10 %
        [9, 1, 0.99, 0.95, 0.8, 0.7, 0.6],  # no fall to the half
        [0.05] * 7,  # has learnt from the start
    )
    assert list(run.plateau_lengths()) == [99, 200, 0, np.inf, 0, 100, 299, 0, 0]
    assert list(run.plateau_lengths(0.2)[:2]) == [99, 299]
    assert run.plateau_lengths(0.001)[0] == 0
    assert run.plateau_lengths(learnt=0.99)[1] == 0
    assert run.plateau_lengths(learnt=0.02)[4] == np.inf


# --------------------------------------------------------------------------- the bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, show=None, terminal=False):
    """What goes to stdout and stderr."""
    out, err = io.StringIO(), Terminal() if terminal else io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", err)
    quick(LINEAR, progress=show)
    return bool(out.getvalue()), bool(err.getvalue())


def test_the_bar_is_for_terminals_and_live_notebooks(monkeypatch):
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert shown(monkeypatch) == (False, False)
    assert shown(monkeypatch, terminal=True) == (False, True)
    assert shown(monkeypatch, False, terminal=True) == (False, False)
    assert shown(monkeypatch, True) == (True, False)
    monkeypatch.setenv("JPY_SESSION_NAME", "chapter.ipynb")
    assert shown(monkeypatch) == (True, False)


def test_the_bar_ends_full(monkeypatch):
    bars = []

    def bar(*arguments):
        bars.append(progress(*arguments))
        return bars[0]

    monkeypatch.setattr("curse_lib.training.progress_bar", bar)
    monkeypatch.setattr("sys.stderr", Terminal())
    quick(LINEAR, steps=7, progress=True)
    assert bars[0].n == bars[0].total == 7


def test_no_bar_in_a_worker(monkeypatch):
    monkeypatch.setattr("sys.stderr", Terminal())
    found = []
    worker = threading.Thread(target=lambda: found.append(progress(3, "three").disable))
    worker.start()
    worker.join()
    assert found == [True] and not progress(3, "three").disable


# --------------------------------------------------------------------------- wrong input


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: WhiteNoiseTask("rho", 1, 0.1), "MemoryKernel; got 'rho'"),
        (lambda: WhiteNoiseTask(TWO, -1, 0.1), "horizon must be a positive"),
        (lambda: WhiteNoiseTask(TWO, 1, 0), "dt must be a positive"),
        (lambda: WhiteNoiseTask(TWO, 1, 2), "at most the horizon, 1.0; got 2"),
        (lambda: SequenceTask(DATA[0, 0], DATA[:, 0, 0]), r"got \(2,\)"),
        (lambda: SequenceTask(DATA[:, :0], DATA[:, :0, 0]), "none of them 0"),
        (lambda: SequenceTask(DATA, DATA[:8, 0, 0]), r"and \(8,\)"),
        (lambda: SequenceTask(DATA, DATA[:, 0, 0] + 1j), "real"),
        (lambda: SequenceTask(DATA, DATA[:, 0, 0], 0.0), "dt must be a positive"),
        (lambda: SequenceTask(DATA, DATA[:, 0, 0], 1.0, "gru"), "got 'gru'"),
        (lambda: SequenceTask(DATA, DATA[:, 0, 0], batch=0), "batch must be a whole number >= 1"),
        (lambda: SequenceTask(DATA, DATA[:, 0, 0], mask=MASK), "no value"),
        (lambda: SequenceTask(DATA, DATA[:, :, 0], mask=MASK[:5]), "6 booleans"),
        (lambda: SequenceTask(DATA, DATA[:, :, 0], mask=MASK * 1), "6 booleans"),
        (lambda: SequenceTask(DATA, DATA[:, :, 0], mask=MASK & False), "one of them true"),
        (lambda: LINEAR.loss(np.zeros((1, 16))), r"m \(m \+ 2\) \+ 0.*got \(1, 16\)"),
        (lambda: TANH.loss(np.zeros(19)), r"m \(m \+ 4\) \+ 1.*got \(19,\)"),
        (lambda: train(TWO, 3, rng=rng(), learning_rate=1, steps=1), "task must be"),
        (lambda: train(LINEAR, 0, rng=rng(), learning_rate=1, steps=1), "width"),
        (lambda: train(LINEAR, 3, rng=0, learning_rate=1, steps=1), "Generator; got 0"),
        (lambda: quick(LINEAR, learning_rate=0), "learning_rate must be a positive"),
        (lambda: quick(LINEAR, steps=0), "steps must be a whole number >= 1"),
        (lambda: quick(LINEAR, runs=0), "runs must be a whole number >= 1"),
        (lambda: quick(LINEAR, scale=-1), "scale must be a non-negative"),
        (lambda: quick(LINEAR, eps=0), "eps must be a positive"),
        (lambda: quick(LINEAR, momentum=1), r"momentum must be in \[0, 1\); got 1"),
        (lambda: quick(LINEAR, optimizer="sgd"), "adam; got 'sgd'"),
        (lambda: quick(LINEAR, record=0), "record must be a whole number >= 1"),
        (lambda: quick(LINEAR, record=[6]), "from 0 to 5"),
        (lambda: quick(LINEAR).plateau_lengths(0.5), "below 0.5"),
        (lambda: quick(LINEAR).plateau_lengths(learnt=0), "learnt must be a positive"),
    ],
)
def test_wrong_input(call, words):
    with pytest.raises(ValueError, match=words):
        call()
