"""The claims ledger: what is refused, what fails, what is shown."""

from __future__ import annotations

import json

import numpy as np
import pytest

from curse_lib.ledger import CLAIM_MIME, VERDICTS, Claim, claim

FACTS = {
    "source": "Somebody 2021, Theorem 3.1",
    "says": r"$\|H\| = \|\rho\|_1$.",
    "hypotheses": {"$W$ is Hurwitz": True, "d = 1": False},
}
NUMBER = {"quantity": "relative gap", "measured": 1e-10, "verdict": "reproduced"}


def make(**change) -> Claim:
    return claim("kernel-norm", **(FACTS | NUMBER | {"at_most": 1e-9} | change))


@pytest.mark.parametrize(
    "tolerance",
    [
        {"at_most": 2.0},
        {"at_most": 1.5},
        {"at_most": None, "at_least": 1.5},
        {"at_most": 2, "at_least": 1},
        {"at_most": None, "equal_to": 1.4, "within": 0.11},
        {"at_most": None, "equal_to": 1.5, "within": 0},
    ],
)
def test_number_inside_its_tolerance(tolerance):
    assert make(measured=1.5, **tolerance).measured == 1.5


@pytest.mark.parametrize(
    ("tolerance", "allowed"),
    [
        ({"at_most": 1.4}, "at_most 1.4"),
        ({"at_most": None, "at_least": 1.6}, "at_least 1.6"),
        ({"at_most": 1.4, "at_least": 1.0}, "at_least 1.0, at_most 1.4"),
        ({"at_most": None, "equal_to": 1.0, "within": 0.4}, "equal_to 1.0, within 0.4"),
    ],
)
def test_number_outside_its_tolerance_fails(tolerance, allowed):
    with pytest.raises(AssertionError) as caught:
        make(measured=1.5, **tolerance)
    assert (
        str(caught.value) == f"claim kernel-norm: measured relative gap = 1.5, allowed: {allowed}"
    )


@pytest.mark.parametrize(
    "tolerance",
    [{}, {"at_most": None, "at_least": 0}, {"at_most": None, "equal_to": 1, "within": 9}],
)
def test_nan_fails_every_tolerance(tolerance):
    with pytest.raises(AssertionError, match="nan"):
        make(measured=np.nan, **tolerance)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"at_most": None}, "has no tolerance"),
        ({"at_most": np.inf}, "not finite"),
        ({"at_most": np.nan}, "not finite"),
        ({"measured": -np.inf}, "measured is -inf; claim a finite number"),
        ({"measured": True}, "measured is True; it must be one real number"),
        ({"measured": np.array([1.0])}, "one real number"),
        ({"measured": 1j}, "one real number"),
        ({"equal_to": 1.0}, "equal_to and within go together"),
        ({"within": 1.0}, "equal_to and within go together"),
        ({"equal_to": 0.0, "within": -1.0}, "within is -1.0; it must be >= 0"),
        ({"quantity": ""}, "what the measured number is"),
        ({"verdict": "confirmed"}, "'confirmed'; it must be one of reproduced, bounded"),
        ({"hypotheses": None}, "give hypotheses"),
        ({"hypotheses": {"d = 1": "yes"}}, "'yes'; say True or False"),
        ({"hypotheses": {"d = 1": np.array([1, 0])}}, "say True or False"),
        ({"source": " "}, "source is empty"),
        ({"says": ""}, "says is empty"),
        ({"verdict": "our choice"}, "needs choice"),
        ({"choice": "dt = 0.1"}, "goes with the verdict 'our choice' only"),
        ({"verdict": "not reproduced"}, "needs reason"),
        ({"measured": None, "at_most": None, "quantity": ""}, "needs a measured number"),
        ({"measured": None, "verdict": "not reproduced", "reason": "?"}, "without measured"),
    ],
)
def test_incomplete_rows_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        make(**change)


@pytest.mark.parametrize("key", ["norm", "Kernel-norm", "kernel_norm", "kernel--norm", "-a-b", ""])
def test_keys_are_words_joined_by_hyphens(key):
    with pytest.raises(ValueError, match="lower-case words joined by hyphens"):
        claim(key, **FACTS, **NUMBER, at_most=1)


def test_a_choice_needs_no_number():
    row = claim("window-width", source="ours", says="Open.", verdict="our choice", choice="40 lags")
    assert row.measured is None and row.allowed == ""
    assert "Hypotheses" not in row.shown()


def test_what_is_not_reproduced_needs_a_reason_only():
    row = claim("plateau-seen", **FACTS, verdict="not reproduced", reason="The step is unknown.")
    assert row.shown()["Reason"] == "The step is unknown."


def test_claims_are_frozen():
    row = make()
    with pytest.raises(AttributeError):
        row.measured = 2.0
    with pytest.raises(TypeError):
        row.hypotheses["d = 1"] = True


def test_record_is_json_and_gives_the_claim_back():
    row = make(measured=np.float32(0.5), at_most=1)
    record = json.loads(json.dumps(row.record(), allow_nan=False))
    assert record["measured"] == 0.5 and record["at_most"] == 1.0
    assert Claim(**record) == row


def test_display_holds_a_card_and_the_record():
    bundle = make()._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/markdown", CLAIM_MIME}
    assert bundle[CLAIM_MIME] == make().record()
    card = bundle["text/markdown"]
    assert all(line.startswith(">") for line in card.splitlines())
    for words in (
        "`kernel-norm`: **reproduced**",
        "Somebody 2021, Theorem 3.1",
        r"$\|H\| = \|\rho\|_1$",
        r"relative gap: $1 \times 10^{-10}$",
        r"at most $1 \times 10^{-9}$",
        "Hold here: $W$ is Hurwitz. Do **not** hold here: d = 1",
    ):
        assert words in card


@pytest.mark.parametrize(
    ("change", "measured", "allowed"),
    [
        ({"measured": 7, "at_most": 7}, "$7$", "at most $7$"),
        ({"measured": 0.12345, "at_most": 1}, "$0.123$", "at most $1$"),
        ({"measured": -2e10, "at_most": 0}, r"$-2 \times 10^{10}$", "at most $0$"),
        ({"measured": 3, "at_least": 1, "at_most": 4}, "$3$", "at least $1$ and at most $4$"),
        (
            {"measured": 1.01, "at_most": None, "equal_to": 1, "within": 0.05},
            "$1.01$, off by $0.01$",
            "$1$ to within $0.05$",
        ),
        ({"measured": 1, "at_most": None, "equal_to": 1, "within": 0}, "$1$", "$1$ to within $0$"),
    ],
)
def test_numbers_as_a_reader_sees_them(change, measured, allowed):
    shown = make(**change).shown()
    assert shown["Measured"] == f"relative gap: {measured}"
    assert shown["Allowed"] == allowed


def test_no_hypotheses_is_said():
    assert make(hypotheses={}).shown()["Hypotheses"] == "none assumed"


def test_every_verdict_can_be_made():
    for verdict in VERDICTS:
        extra = {"choice": "dt = 0.1"} if verdict == "our choice" else {}
        assert make(verdict=verdict, reason="Why.", **extra).verdict == verdict
