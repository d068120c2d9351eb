"""Every exception the libraries can raise becomes an answer whose kind can be defended."""

import importlib
import inspect
from typing import Any

import aiohttp
import pytest

from liqctl.kernel.answers import AnswerKind
from liqctl.venue.session import translate_failure

# ccxt hides its own package `base` behind a list of that name, so no plain import finds it.
ccxt_errors: Any = importlib.import_module("ccxt.base.errors")
CANARY = "https://fapi.binance.com/fapi/v1/order?signature=canary"
CCXT = [
    error
    for _, error in inspect.getmembers(ccxt_errors, inspect.isclass)
    if issubclass(error, ccxt_errors.BaseError)
]
NETWORK = [error for error in CCXT if issubclass(error, ccxt_errors.OperationFailed)]
NO_KEY = {
    ccxt_errors.AuthenticationError,
    ccxt_errors.AccountSuspended,
}
OTHER = [error for error in CCXT if error not in NETWORK and error not in NO_KEY]


def kind_of(error: BaseException, *, sent: bool) -> AnswerKind:
    """Return the kind of an error, after checking that its text gave nothing away."""
    answer = translate_failure(error, host="fapi.binance.com", sent=sent)
    assert "canary" not in repr(answer)
    return answer.kind


def test_the_walk_found_ccxts_errors() -> None:
    """An empty walk would prove nothing."""
    assert len(CCXT) > 35
    assert len(NETWORK) > 10


@pytest.mark.parametrize("error", CCXT)
def test_after_sending_every_error_is_unknown(error: type[Exception]) -> None:
    """A class says nothing about whether the order stands."""
    assert kind_of(error(CANARY), sent=True) is AnswerKind.UNKNOWN


@pytest.mark.parametrize("error", NETWORK)
def test_before_sending_a_network_error_may_be_tried_again(error: type[Exception]) -> None:
    """Nothing left this machine."""
    assert kind_of(error(CANARY), sent=False) is AnswerKind.TRANSIENT


@pytest.mark.parametrize("error", sorted(NO_KEY, key=str))
def test_before_sending_a_missing_key_is_fatal(error: type[Exception]) -> None:
    """Without asking the venue, ccxt says so."""
    assert kind_of(error(CANARY), sent=False) is AnswerKind.RUN_FATAL


@pytest.mark.parametrize("error", OTHER)
def test_before_sending_any_other_refusal_is_rejected(error: type[Exception]) -> None:
    """PermissionDenied among them, although ccxt derives it from AuthenticationError."""
    assert kind_of(error(CANARY), sent=False) is AnswerKind.REJECTED


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (TimeoutError(), "no complete answer in time"),
        (aiohttp.ServerDisconnectedError(), "connection lost"),
        (ConnectionResetError(104, CANARY), "connection lost"),
        (aiohttp.ClientOSError(32, CANARY), "connection lost"),
        (aiohttp.ClientPayloadError(CANARY), "the answer was cut off"),
        (aiohttp.SocketTimeoutError(CANARY), "no complete answer in time"),
        (ValueError(CANARY), "the answer could not be read"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_the_words_come_from_the_cause_beneath_ccxts_class(cause: Exception, words: str) -> None:
    """Its own text is the URL with the signature."""
    wrapped = ccxt_errors.ExchangeError(CANARY)
    wrapped.__cause__ = cause

    answer = translate_failure(wrapped, host="fapi.binance.com", sent=True)
    assert answer.message == f"fapi.binance.com did not answer: {words}"


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (ConnectionRefusedError(111, CANARY), "connection refused"),
        (OSError(101, CANARY), "network is unreachable"),
        (OSError(113, CANARY), "no route to host"),
        (TimeoutError(), "no connection in time"),
        (RuntimeError(CANARY), "no connection"),
    ],
    ids=["refused", "network", "route", "time", "other"],
)
def test_a_connection_that_failed_names_host_and_reason(cause: Exception, words: str) -> None:
    """The operator needs to know whom the network could not reach, and why."""
    wrapped = ccxt_errors.ExchangeNotAvailable(CANARY)
    wrapped.__cause__ = cause

    answer = translate_failure(wrapped, host="fapi.binance.com", sent=False)
    assert answer.message == f"cannot reach fapi.binance.com: {words}"


def test_a_circle_of_causes_ends() -> None:
    """Every loop has a bound."""
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first

    assert kind_of(first, sent=True) is AnswerKind.UNKNOWN
