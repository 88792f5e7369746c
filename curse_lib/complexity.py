"""How wide a linear RNN must be: bracketed from both sides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from curse_lib._checks import number
from curse_lib.approximation import Approximation, approximate
from curse_lib.hankel import width_floor
from curse_lib.kernels import ExponentialSum, LegendreKernel, MemoryKernel

__all__ = ["WidthBracket", "smallest_width"]


@dataclass(frozen=True, eq=False)
class WidthBracket:
    r"""The least width for a tolerance, enclosed.

    Parameters
    ----------
    at_least : int
        No linear RNN with fewer neurons is within the tolerance: :func:`width_floor` forbids it.
        1 at least, since a network has a neuron.
    at_most : int
        This many neurons are enough.
    network : Approximation
        The network that shows it: `at_most` neurons, certified bound within the tolerance.

    Used in: ``smallest_width``.
    """

    at_least: int
    at_most: int
    network: Approximation

    def __iter__(self) -> Iterator[int]:
        """The two widths."""
        return iter((self.at_least, self.at_most))


def smallest_width(rho: MemoryKernel, tolerance: float, rigorous: bool = False) -> WidthBracket:
    r"""How many neurons a linear RNN needs to be within a tolerance of a kernel in L1.

    .. math:: m(\epsilon) = \min\{m : E_m \le \epsilon\}

    with :math:`E_m` the least error of width m.

    Parameters
    ----------
    rho : MemoryKernel
        Target with d >= 1 inputs.
    tolerance : float
        L1 error :math:`\epsilon > 0`, in the unit of rho times the unit of time.
    rigorous : bool
        Take floors that are proven in interval arithmetic; see :func:`width_floor`. The upper
        bound is proven in any case.

    Returns
    -------
    WidthBracket
        Lower bound, upper bound and the network that shows it; ``low, high = smallest_width(...)``
        takes the two numbers alone.

    Raises
    ------
    ValueError
        If the tolerance isn't positive, no network is certified to reach it, or, with `rigorous`,
        no floor can be proven.

    Notes
    -----
    From above: ``approximate(rho, tolerance=..., method="l1")``, a local search, or the target
    itself where it is a narrower network. From below: :math:`E_m` falls with m, so one width whose
    floor exceeds the tolerance excludes all below; bisection finds the largest. For power laws the
    two differ by a factor of two or so, as the floor lies some 5 to 35 times below the error.

    Cost: some ten networks and some five floors; seconds, for very long memories or very sharp
    delays minutes.

    Used in: ``book/rates/what-is-cursed.ipynb``.
    """
    tolerance = number("tolerance", tolerance, positive=True)
    network = None
    if isinstance(rho, (ExponentialSum, LegendreKernel)):
        network = Approximation(rho, rho, "exact")
    try:
        found = approximate(rho, tolerance=tolerance, method="l1")
        network = min(found, network or found, key=lambda a: a.width)
    except ValueError:
        if network is None:
            raise
    below, above = 0, network.width
    while above - below > 1:
        middle = (below + above) // 2
        if width_floor(rho, middle, rigorous=rigorous) > tolerance:
            below = middle
        else:
            above = middle
    return WidthBracket(below + 1, network.width, network)
