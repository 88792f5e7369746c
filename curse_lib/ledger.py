"""The claims ledger: what a source says, what was measured, and a tolerance that can fail.

A chapter ends each experiment with `claim(...)` as the last line of a cell. The cell then shows a
card; the build collects the cards of all chapters in one table.
"""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

import numpy as np

__all__ = ["CLAIM_MIME", "VERDICTS", "Claim", "claim"]

CLAIM_MIME = "application/vnd.curse-lib.claim+json"
"""MIME type of the record inside a notebook's output.

Used in: `book/_tools/claims_page.py`.
"""

VERDICTS: Mapping[str, str] = MappingProxyType(
    {
        "reproduced": "we find what the source says",
        "bounded": "the claim is an inequality, and what we measure respects it",
        "refined": "we find something sharper than the source, or a condition that it needs",
        "our choice": "the source leaves it open; we chose and say what",
        "not reproduced": "we do not find it, and say why",
    }
)
"""The five verdicts and what each means.

Used in: `claim`, and the ledger page of the book, `book/backmatter/claims-ledger.md`.
"""

_KEY = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)+")


@dataclass(frozen=True)
class Claim:
    """One row of the ledger, already checked; made by `claim`, whose parameters it holds.

    In a notebook it displays itself as a card; its output also carries all fields as JSON.

    Used in: `claim`, and the ledger page of the book, `book/backmatter/claims-ledger.md`.
    """

    key: str
    source: str
    says: str
    verdict: str
    hypotheses: Mapping[str, bool]
    quantity: str = ""
    measured: float | None = None
    at_most: float | None = None
    at_least: float | None = None
    equal_to: float | None = None
    within: float | None = None
    choice: str = ""
    reason: str = ""

    @property
    def allowed(self) -> str:
        """The tolerance in words, Markdown; empty when nothing was measured."""
        pairs = ("at least ", self.at_least), ("at most ", self.at_most), ("", self.equal_to)
        parts = [f"{words}{_number(value)}" for words, value in pairs if value is not None]
        within = "" if self.within is None else f" to within {_number(self.within)}"
        return " and ".join(parts) + within

    def shown(self) -> dict[str, str]:
        """What a reader sees, in order: heading -> Markdown with ``$...$``; empty ones left out."""
        measured = ""
        if self.measured is not None:
            measured = f"{self.quantity}: {_number(self.measured)}"
            if self.equal_to is not None and self.measured != self.equal_to:
                measured += f", off by {_number(abs(self.measured - self.equal_to))}"
        groups = {
            "Hold here": [text for text, holds in self.hypotheses.items() if holds],
            "Do **not** hold here": [text for text, holds in self.hypotheses.items() if not holds],
        }
        conditions = ". ".join(
            f"{how}: {'; '.join(texts)}" for how, texts in groups.items() if texts
        )
        if not conditions and not self.choice:
            conditions = "none assumed"
        named = {
            "Source": self.source,
            "Says": self.says,
            "Our choice": self.choice,
            "Measured": measured,
            "Allowed": self.allowed,
            "Hypotheses": conditions,
            "Reason": self.reason,
        }
        return {heading: text for heading, text in named.items() if text}

    def record(self) -> dict[str, Any]:
        """All fields as plain JSON data; `Claim(**record)` gives the claim back."""
        data = {item.name: getattr(self, item.name) for item in fields(self)}
        return data | {"hypotheses": dict(self.hypotheses)}

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        lines = [f"**Claim** `{self.key}`: **{self.verdict}**", ""]
        lines += [f"- **{heading}:** {text}" for heading, text in self.shown().items()]
        return {
            "text/plain": f"claim {self.key}: {self.verdict}",
            "text/markdown": "\n".join("> " + line if line else ">" for line in lines),
            CLAIM_MIME: self.record(),
        }


def claim(
    key: str,
    *,
    source: str,
    says: str,
    verdict: str,
    hypotheses: Mapping[str, bool] | None = None,
    measured: float | None = None,
    quantity: str = "",
    at_most: float | None = None,
    at_least: float | None = None,
    equal_to: float | None = None,
    within: float | None = None,
    choice: str = "",
    reason: str = "",
) -> Claim:
    """Check a measured number against its tolerance and make it a row of the claims ledger.

    Parameters
    ----------
    key : str
        Name of the row, unique in the book: lower-case words joined by hyphens, the chapter's
        topic first, e.g. "kernel-norm-is-l1". It is also the row's address in the chapter.
    source : str
        Who says it and where, e.g. "Li et al. 2021, Theorem 3.1, as restated by ...", or "ours".
    says : str
        The statement in a sentence or two. Markdown, ``$...$`` for mathematics; no TeX macros, no
        roles.
    verdict : str
        One of `VERDICTS`.
    hypotheses : mapping of str to bool
        Each hypothesis of the statement -> whether it holds in the experiment. An empty mapping
        says that the statement assumes nothing. Needed for every verdict but "our choice".
    measured : float, optional
        The number that decides. It needs a tolerance and `quantity`.
    quantity : str
        What the number is, with its unit, such as ``largest error over 20 random $W$ in mV``.
    at_most, at_least : float, optional
        The tolerance: an upper bound, a lower bound, or both.
    equal_to, within : float, optional
        The tolerance as a value and the largest absolute deviation from it (`within` >= 0).
    choice : str
        What was chosen, with its value; needed for "our choice".
    reason : str
        Why; needed for "not reproduced", welcome elsewhere.

    Returns
    -------
    Claim
        Shows itself as a card when it is the last line of a cell.

    Raises
    ------
    AssertionError
        When `measured` lies outside its tolerance, or is not a number (NaN).
    ValueError
        When the row is incomplete or contradictory: a number without a tolerance, a tolerance
        without a number, an infinite number, an unknown verdict, a missing choice, reason or
        mapping of hypotheses.

    Used in: every chapter, e.g. `book/framework/memory-kernel.ipynb`.
    """
    if not _KEY.fullmatch(key):
        raise ValueError(
            f"key is {key!r}; it must be two or more lower-case words joined by hyphens, "
            'such as "kernel-norm-is-l1"'
        )
    for text, holds in (hypotheses or {}).items():
        if not isinstance(holds, (bool, np.bool_)):
            raise ValueError(f"claim {key}: hypothesis {text!r} is {holds!r}; say True or False")
    measured = _as_float(key, "measured", measured)
    tolerance = {"at_least": at_least, "at_most": at_most, "equal_to": equal_to, "within": within}
    bounds = {n: _as_float(key, n, value) for n, value in tolerance.items() if value is not None}
    chosen, failed = (verdict == special for special in ("our choice", "not reproduced"))
    given = measured is not None
    for wrong, problem in (
        (not source.strip(), "source is empty; give it in words"),
        (not says.strip(), "says is empty; give it in words"),
        (
            verdict not in VERDICTS,
            f"verdict is {verdict!r}; it must be one of {', '.join(VERDICTS)}",
        ),
        (chosen and not choice.strip(), "'our choice' needs choice=..., what was chosen"),
        (choice and not chosen, "choice=... goes with the verdict 'our choice' only"),
        (
            hypotheses is None and not chosen,
            "give hypotheses={...}, each with True or False for whether it holds in the "
            "experiment; {} when the statement assumes nothing",
        ),
        (not (given or chosen or failed), f"the verdict {verdict!r} needs a measured number"),
        (failed and not reason.strip(), "'not reproduced' needs reason=..., why not"),
        (not given and (quantity or bounds), "a quantity or tolerance without measured=..."),
        (
            given and not bounds,
            f"the measured number {measured!r} has no tolerance; give at_most, at_least, or "
            "equal_to and within",
        ),
        (given and not quantity.strip(), "say in quantity=... what the measured number is"),
        (not all(map(math.isfinite, bounds.values())), "a tolerance is not finite"),
        (
            measured in (math.inf, -math.inf),
            f"measured is {measured!r}; claim a finite number, such as how many runs never end",
        ),
        (("equal_to" in bounds) != ("within" in bounds), "equal_to and within go together"),
        (bounds.get("within", 0.0) < 0, f"within is {within!r}; it must be >= 0"),
    ):
        if wrong:
            raise ValueError(f"claim {key}: {problem}")

    # NaN fails every comparison.
    if given and not (
        bounds.get("at_least", -math.inf) <= measured <= bounds.get("at_most", math.inf)
        and abs(measured - bounds.get("equal_to", measured)) <= bounds.get("within", 0.0)
    ):
        allowed = ", ".join(f"{name} {value!r}" for name, value in bounds.items())
        raise AssertionError(f"claim {key}: measured {quantity} = {measured!r}, allowed: {allowed}")
    return Claim(
        key=key,
        source=source,
        says=says,
        verdict=verdict,
        hypotheses=MappingProxyType({t: bool(holds) for t, holds in (hypotheses or {}).items()}),
        quantity=quantity,
        measured=measured,
        choice=choice,
        reason=reason,
        **bounds,
    )


def _as_float(key: str, name: str, value: Any) -> float | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, numbers.Real)):
        raise ValueError(
            f"claim {key}: {name} is {value!r}; it must be one real number (count or measure "
            "something instead of passing a truth value or an array)"
        )
    return None if value is None else float(value)


def _number(value: float) -> str:
    """Three significant digits as Markdown with mathematics; integers in full."""
    if value == int(value) and abs(value) < 1e6:
        return f"${int(value)}$"
    digits, _, exponent = f"{value:.3g}".partition("e")
    return rf"${digits} \times 10^{{{int(exponent)}}}$" if exponent else f"${digits}$"
