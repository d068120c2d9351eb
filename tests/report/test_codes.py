"""Codes in words: whatever liqctl can act on, it can explain."""

from liqctl.domain.answers import KIND_BY_CODE
from liqctl.report.codes import CODE_WORDS, explain_code


def test_every_code_that_is_acted_on_is_explained() -> None:
    """A number alone sends the operator to a search engine at 3 a.m."""
    assert set(CODE_WORDS) == set(KIND_BY_CODE)
    assert "Error Code" in explain_code(-9999)
