"""Training steps of ten runs at once beside PyTorch, on the work of two panels of Figure 1.

Panel (a): linear networks of width 16, horizon 6.3, dt 0.1, gradient descent on the exact loss.
Panel (c): tanh networks of width 16, batches of 128 sequences of 64 steps, Adam. Everything is in
double precision, from the same parameters, and includes batches and optimizer.

PyTorch's side has all runs in one batch of matrices too, in several forms: ``bmm`` loops over the
steps of the network, with the inputs' products taken out of the loop; ``powers`` is our own
doubling of the linear network, differentiated by autograd; ``nn.RNN`` is its own recurrent layer,
one for each run. ``agree`` is the largest relative deviation from our gradient. ``ratio`` is our
time over theirs; the aim is at most 1 on one thread.
"""

from __future__ import annotations

import numpy as np
from side_by_side import medians, milliseconds, table

from curse_lib import AiryKernel
from curse_lib.training import SequenceTask, WhiteNoiseTask, train

try:
    import torch
except ImportError:
    torch = None

RUNS, WIDTH, BATCH, LENGTH, SEQUENCES = 10, 16, 128, 64, 256
#: Steps of training in one call.
STEPS = {"a": 100, "c": 40}


def impulse_by_steps(W, U, c, dt, count):
    """The impulse response, one step after the other."""
    h, A, states = U, torch.eye(WIDTH, dtype=U.dtype) + dt * W, []
    for _ in range(count):
        states.append(h)
        h = torch.bmm(A, h)
    return torch.bmm(c.unsqueeze(1), torch.cat(states, 2)).squeeze(1)


def impulse_by_powers(W, U, c, dt, count):
    """The impulse response by doubling, from both ends."""
    P, block = torch.eye(WIDTH, dtype=U.dtype) + dt * W, 8
    columns, rows = U, c.unsqueeze(1)
    while columns.shape[2] < block:
        columns = torch.cat([columns, torch.bmm(P, columns)], 2)
        P = torch.bmm(P, P)
    while rows.shape[1] < -(-count // block):
        rows = torch.cat([rows, torch.bmm(rows, P)], 1)
        P = torch.bmm(P, P)
    return torch.bmm(rows, columns).flatten(1)[:, :count]


def linear_loss(task, impulse):
    """A function of the parameters: the losses of all runs, summed."""
    values = torch.tensor(np.array(task.target(task.lags)))

    def loss(p):
        response = impulse(p["W"], p["U"], p["c"], task.dt, len(values))
        return task.dt * (response - values).square().sum()

    return loss


def tanh_by_bmm(p, x):
    """The readout after the last step, shape (runs, batch), for x of shape (runs, T, batch, d)."""
    drive = (x @ p["U"].mT.unsqueeze(1) + p["b"][:, None, None]).unbind(1)
    h, W = torch.tanh(drive[0]), p["W"].mT
    for z in drive[1:]:
        h = torch.tanh(torch.baddbmm(z, h, W))
    return (h @ p["c"].unsqueeze(2)).squeeze(2) + p["offset"][:, None]


def tanh_by_layers(p, x):
    """The same by one recurrent layer a run."""
    zero = torch.zeros(WIDTH, dtype=x.dtype)
    start = torch.zeros(1, x.shape[2], WIDTH, dtype=x.dtype)
    h = [
        torch.rnn_tanh(
            x[i], start, [p["U"][i], p["W"][i], p["b"][i], zero], True, 1, 0.0, True, False, False
        )[1][0]
        for i in range(RUNS)
    ]
    return torch.bmm(torch.stack(h), p["c"].unsqueeze(2)).squeeze(2) + p["offset"][:, None]


def trainer(task, theta, loss, optimizer, steps, **options):
    """A call that takes some steps of training from theta, and one that returns the gradients."""
    p = {
        name: torch.tensor(np.array(part), requires_grad=True)
        for name, part in task.parameters(theta).items()
    }
    optimizer = optimizer(p.values(), **options)

    def call():
        for _ in range(steps):
            optimizer.zero_grad()
            loss(p).backward()
            optimizer.step()

    def gradient(*batch):
        found = torch.autograd.grad(loss(p, *batch), list(p.values()))
        return dict(zip(p, (part.numpy() for part in found), strict=True))

    return call, gradient


def start(task):
    """The parameters with which ``train`` begins."""
    return np.array([task.start(WIDTH, s, 0.5) for s in np.random.default_rng(0).spawn(RUNS)])


def deviation(task, ours, theirs):
    """The largest deviation of a named gradient, relative to the largest entry of ours."""
    parts = task.parameters(ours)
    return max(np.abs(parts[name] - theirs[name]).max() for name in parts) / np.abs(ours).max()


def main() -> None:
    """Print one table a panel."""
    if torch is None:
        print("PyTorch is not installed (extra [bench]): only our own times")
    else:
        torch.set_default_dtype(torch.float64)
    rng = np.random.default_rng(20210501)
    a = WhiteNoiseTask(AiryKernel(2.25, 3.0), 6.3, 0.1)
    x = rng.standard_normal((SEQUENCES, LENGTH, 1))
    c = SequenceTask(x, np.tanh(x[:, 40, 0]), batch=BATCH)
    options = {
        "a": {"optimizer": "gradient_descent", "learning_rate": 0.02},
        "c": {"optimizer": "adam", "learning_rate": 1e-3},
    }
    titles = {
        "a": "panel (a): linear, width 16, 63 lags, gradient descent",
        "c": "panel (c): tanh, width 16, batch 128, 64 steps, Adam",
    }
    for panel, task in {"a": a, "c": c}.items():
        theta, steps = start(task), STEPS[panel]

        def ours(task=task, steps=steps, panel=panel):
            rng = np.random.default_rng(0)
            train(task, WIDTH, rng=rng, steps=steps, record=1, progress=False, **options[panel])

        calls, agree = {"curse_lib": ours}, {"curse_lib": ""}
        if torch and panel == "a":
            known = task.gradient(theta)[1]
            for name, impulse in (("bmm", impulse_by_steps), ("powers", impulse_by_powers)):
                loss = linear_loss(task, impulse)
                calls[name], gradient = trainer(
                    task, theta, loss, torch.optim.SGD, steps, lr=0.02, foreach=True
                )
                agree[name] = f"{deviation(task, known, gradient()):.0e}"
        elif torch:
            batch = rng.integers(SEQUENCES, size=(RUNS, BATCH))
            known = task.gradient(theta, batch)[1]
            inputs = torch.tensor(x.transpose(1, 0, 2).copy())
            outputs = torch.tensor(np.tanh(x[:, 40, 0]))

            for name, network in (("bmm", tanh_by_bmm), ("nn.RNN", tanh_by_layers)):

                def loss(p, chosen=None, network=network):
                    if chosen is None:
                        chosen = torch.randint(SEQUENCES, (RUNS, BATCH))
                    error = network(p, inputs[:, chosen].transpose(0, 1)) - outputs[chosen]
                    return error.square().mean(1).sum()

                calls[name], gradient = trainer(
                    task, theta, loss, torch.optim.Adam, steps, lr=1e-3, fused=True
                )
                agree[name] = f"{deviation(task, known, gradient(torch.tensor(batch))):.0e}"
        seconds = medians(calls, budget=6.0)
        rows = [
            [
                name,
                milliseconds(seconds[name] / steps),
                f"{seconds['curse_lib'] / seconds[name]:.2f}",
                agree[name],
            ]
            for name in calls
        ]
        print(titles[panel])
        table(["", "ms a step", "ratio", "agree"], rows)


if __name__ == "__main__":
    main()
