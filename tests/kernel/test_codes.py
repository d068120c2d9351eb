"""Codes in words: whatever liqctl can act on, it can explain."""

import pytest

from liqctl.kernel.answers import AnswerKind, VenueAnswer
from liqctl.kernel.codes import CODES, explain_code
from liqctl.kernel.words import explain_refusal


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_code_that_is_acted_on_is_explained(code: int) -> None:
    """A number alone sends the operator to a search engine at 3 a.m."""
    words = explain_code(code)

    assert len(words) > len("too short")
    assert not words.endswith(".")
    assert "not a code" not in words


def test_a_code_that_nobody_wrote_down_points_to_the_page() -> None:
    """Binance adds codes without notice."""
    assert "Error Code" in explain_code(-9999)


def test_every_text_for_a_refused_key_names_all_likely_causes() -> None:
    """-2015 hides which of four it is; an operator who knows three changes the wrong thing."""
    answer = VenueAnswer(kind=AnswerKind.RUN_FATAL, message="Invalid API-key", code=-2015)

    for text in (explain_code(-2015), explain_refusal(answer)):
        for cause in ("key", "address", "futures", "portfolio margin"):
            assert cause in text


def test_an_unknown_key_is_said_to_be_deleted_or_of_the_other_venue() -> None:
    """-2008 is what a demo key gets from the live venue."""
    answer = VenueAnswer(kind=AnswerKind.RUN_FATAL, message="Invalid Api-Key ID.", code=-2008)

    for text in (explain_code(-2008), explain_refusal(answer)):
        for cause in ("deleted", "live", "demo"):
            assert cause in text
