"""What each answer of the venue means: the table that decides whether money is still at risk."""

import json
from decimal import Decimal

import pytest

from liqctl.kernel.answers import (
    CODES,
    CODES_BY_PRODUCT,
    AnswerKind,
    VenueAnswer,
    classify,
    element_refused,
    explain_code,
    no_answer,
    not_sent,
    printable,
    refused,
    unreadable,
    unreadable_rows,
)
from liqctl.kernel.states import Product
from liqctl.kernel.words import explain_refusal

DONE = AnswerKind.DONE
TRANSIENT = AnswerKind.TRANSIENT
UNKNOWN = AnswerKind.UNKNOWN
REJECTED = AnswerKind.REJECTED
LEG_FATAL = AnswerKind.LEG_FATAL
RUN_FATAL = AnswerKind.RUN_FATAL
PAUSE = AnswerKind.PAUSE

# Every code of Binance's USDS-M error page that cancelling and closing can meet (read
# 2026-11-23), written out by hand so that a slip in the table shows.
EXPECTED = {
    # transport, authorisation, request
    -1000: UNKNOWN,
    -1001: TRANSIENT,
    -1002: RUN_FATAL,
    -1003: TRANSIENT,
    -1004: RUN_FATAL,
    -1005: RUN_FATAL,
    -1006: UNKNOWN,
    -1007: UNKNOWN,
    -1008: UNKNOWN,
    -1010: REJECTED,
    -1011: RUN_FATAL,
    -1013: REJECTED,
    -1014: REJECTED,
    -1015: TRANSIENT,
    -1016: TRANSIENT,
    -1020: REJECTED,
    -1021: TRANSIENT,
    -1022: RUN_FATAL,
    -1023: REJECTED,
    -1099: RUN_FATAL,
    -1100: REJECTED,
    -1101: REJECTED,
    -1102: REJECTED,
    -1103: REJECTED,
    -1104: REJECTED,
    -1105: REJECTED,
    -1106: REJECTED,
    -1109: TRANSIENT,
    -1111: REJECTED,
    -1112: TRANSIENT,
    -1114: REJECTED,
    -1115: REJECTED,
    -1116: REJECTED,
    -1117: REJECTED,
    -1121: LEG_FATAL,
    -1122: TRANSIENT,
    -1125: RUN_FATAL,
    -1130: REJECTED,
    -1135: TRANSIENT,
    # orders and positions
    -2008: RUN_FATAL,
    -2010: REJECTED,
    -2011: DONE,
    -2012: TRANSIENT,
    -2013: DONE,
    -2014: RUN_FATAL,
    -2015: RUN_FATAL,
    -2017: RUN_FATAL,
    -2018: REJECTED,
    -2019: REJECTED,
    -2020: REJECTED,
    -2021: REJECTED,
    -2022: REJECTED,
    -2023: TRANSIENT,
    -2024: REJECTED,
    -2025: REJECTED,
    -2026: REJECTED,
    -2027: REJECTED,
    -2028: REJECTED,
    # filters, modes, risk control
    -4003: REJECTED,
    -4004: REJECTED,
    -4005: REJECTED,
    -4014: REJECTED,
    -4015: REJECTED,
    -4016: REJECTED,
    -4023: REJECTED,
    -4024: REJECTED,
    -4032: REJECTED,
    -4045: REJECTED,
    -4046: DONE,
    -4052: DONE,
    -4047: REJECTED,
    -4048: REJECTED,
    -4059: DONE,
    -4060: REJECTED,
    -4061: REJECTED,
    -4062: REJECTED,
    -4067: REJECTED,
    -4068: REJECTED,
    -4082: REJECTED,
    -4083: UNKNOWN,
    -4087: TRANSIENT,
    -4088: TRANSIENT,
    -4105: LEG_FATAL,
    -4106: LEG_FATAL,
    -4107: LEG_FATAL,
    -4109: RUN_FATAL,
    -4116: UNKNOWN,
    -4117: TRANSIENT,
    -4118: REJECTED,
    -4120: REJECTED,
    -4131: REJECTED,
    -4136: REJECTED,
    -4137: REJECTED,
    -4138: REJECTED,
    -4140: TRANSIENT,
    -4141: LEG_FATAL,
    -4142: REJECTED,
    -4164: REJECTED,
    -4171: DONE,
    -4184: REJECTED,
    -4189: LEG_FATAL,
    -4192: TRANSIENT,
    -4210: REJECTED,
    -4211: REJECTED,
    -4400: LEG_FATAL,
    -4401: LEG_FATAL,
    -4402: TRANSIENT,
    -4403: TRANSIENT,
    -4411: LEG_FATAL,
    -4425: LEG_FATAL,
    -4531: TRANSIENT,
    # matching and amendment
    -5021: REJECTED,
    -5022: REJECTED,
    -5024: REJECTED,
    -5025: REJECTED,
    -5026: REJECTED,
    -5027: REJECTED,
    -5028: TRANSIENT,
    -5029: REJECTED,
    -5037: REJECTED,
    -5038: REJECTED,
    -5039: REJECTED,
    -5040: REJECTED,
    -5041: REJECTED,
    -5043: REJECTED,
    -5047: REJECTED,
}


# The rest of the page, and what others reported: refusals that a close or cancel hardly meets.
REFUSALS = {
    *(-1108, -1110, -1113, -1118, -1119, -1120, -1126, -1127, -1128, -1131, -1136, -2016),
    *range(-4002, -3999),
    *range(-4013, -4005),
    *range(-4022, -4016),
    *range(-4031, -4024),
    *(-4033, -4044, -4049, -4050, -4051, -4053, -4054, -4055, -4056, -4057, -4058),
    *range(-4066, -4062),
    *range(-4081, -4068),
    *(-4084, -4085, -4086, -4104, -4114, -4115, -4135, -4139, -4144, -4161, -4165),
    *(-4167, -4168, -4169, -4170, -4172, -4183),
    *(-4202, -4203, -4205, -4206, -4208, -4209, -5000),
}


def test_every_code_has_the_kind_that_was_worked_out_by_hand() -> None:
    """No code is missing, none is listed twice with another meaning."""
    expected = EXPECTED | dict.fromkeys(REFUSALS, REJECTED)

    assert {code: row.kind for code, row in CODES.items()} == expected


@pytest.mark.parametrize(
    ("coinm", "usdm"),
    [
        (-4089, -4087),
        (-4090, -4088),
        (-4112, -4118),
        (-4113, -4131),
        (-4178, -4164),
        (-4188, -5028),
        (-4220, -4531),
    ],
)
def test_coin_m_says_some_refusals_by_numbers_of_its_own(coinm: int, usdm: int) -> None:
    """Its own error page survived the merge of both engines; which number comes nobody knows."""
    table = CODES_BY_PRODUCT[Product.COINM]

    assert table[coinm] is CODES[usdm]
    assert coinm not in CODES


@pytest.mark.parametrize("code", [-4087, -4088])
def test_the_product_decides_what_a_number_used_twice_means(code: int) -> None:
    """On USDS-M the account is restricted, which may pass; on COIN-M the request was wrong."""
    assert classify(400, code, "") is TRANSIENT
    assert classify(400, code, "", Product.COINM) is REJECTED
    body = json.dumps({"code": code, "msg": "x"})
    assert refused(400, {}, body, Product.COINM).kind is REJECTED
    refusal = element_refused({"code": code, "msg": "x"}, Product.COINM)
    assert refusal is not None
    assert refusal.kind is REJECTED


def test_every_other_code_means_the_same_on_both_products() -> None:
    """One engine answers for both."""
    table = CODES_BY_PRODUCT[Product.COINM]

    assert {code for code in CODES if table[code] is not CODES[code]} == {-4087, -4088}


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 500, 502, 503])
def test_the_code_outranks_the_status(status: int) -> None:
    """Gateways and test hosts do not agree on statuses; codes are Binance's own."""
    assert {code: classify(status, code, "") for code in EXPECTED} == EXPECTED


@pytest.mark.parametrize(
    ("status", "kind"), [(418, PAUSE), (429, TRANSIENT), (408, UNKNOWN), (451, RUN_FATAL)]
)
def test_bans_limits_timeouts_and_forbidden_places_outrank_the_code(
    status: int, kind: AnswerKind
) -> None:
    """A 418 with -1003 is a ban, a 408 with any code may have been executed."""
    assert {classify(status, code, "") for code in (*EXPECTED, 0, None)} == {kind}


@pytest.mark.parametrize("code", [-1, -999, -9999, -4999, None])
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, REJECTED),
        (404, REJECTED),
        (409, REJECTED),
        (422, REJECTED),
        (401, RUN_FATAL),
        (403, PAUSE),
        (500, UNKNOWN),
        (503, UNKNOWN),
        (504, UNKNOWN),
        (302, UNKNOWN),
        (None, UNKNOWN),
    ],
)
def test_an_unlisted_code_goes_by_its_status(
    code: int | None, status: int | None, kind: AnswerKind
) -> None:
    """A 4xx refused the request as it is; after a 5xx it may have been executed all the same."""
    assert classify(status, code, "something new") is kind


def test_an_unlisted_code_in_an_answer_of_success_is_a_refusal() -> None:
    """The venue answered for this one request: what it names a code for was not done."""
    answer = element_refused({"code": -99999, "msg": "something new"})

    assert answer is not None
    assert answer.kind is REJECTED


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("Limit price can't be higher than 63000.5.", "63000.5"),
        ("Limit price can't be lower than 0.0000951.", "0.0000951"),
        ("Limit price can't be lower than 9500", "9500"),
        ("Limit price can't be lower than the floor.", None),
        ("Price is lower than mark price multiplier floor.", None),
        ("Order's notional must be no smaller than 5.0", None),
    ],
)
def test_the_bound_of_a_price_is_read_from_the_text(text: str, bound: str | None) -> None:
    """-4016 and -4024 say where the band ends now, which no mark price of ours knows better."""
    answer = refused(400, {}, json.dumps({"code": -4024, "msg": text}))

    assert answer.price_bound == (None if bound is None else Decimal(bound))


def test_rows_that_could_not_be_read_are_named_and_cut() -> None:
    """Two of them say enough; a list of thousands would fill the screen."""
    one = unreadable_rows(["BTCUSDT LONG: positionAmt ''"])
    many = unreadable_rows([f"A{number}USDT BOTH: positionAmt ''" for number in range(40)])

    assert one.message == "1 row could not be read: BTCUSDT LONG: positionAmt ''"
    assert many.message.startswith("40 rows could not be read: A0USDT")
    assert len(many.message) < 300
    assert one.kind is UNKNOWN


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ('{"code":-1000,"msg":"Unknown error, please check your request."}', UNKNOWN),
        ('{"timestamp":1638827401078,"msg":"Unknown error, please check your request"}', UNKNOWN),
        ('{"code":-1000,"msg":"Service Unavailable."}', TRANSIENT),
        ('{"msg":"Service Unavailable."}', TRANSIENT),
        ("Service Unavailable.", TRANSIENT),
        ('{"code":-1001,"msg":"Internal error; unable to process your request."}', TRANSIENT),
        ('{"msg":"Internal error; unable to process your request. Please try again."}', TRANSIENT),
        ('{"code":-1008,"msg":"Request throttled by system-level protection."}', UNKNOWN),
        ("<html><h1>503 Service Unavailable</h1></html>", UNKNOWN),
        ("", UNKNOWN),
    ],
)
def test_the_texts_of_http_503_are_told_apart(body: str, kind: AnswerKind) -> None:
    """One 503 means "failed", the next "maybe executed", and only the text says which."""
    assert refused(503, {}, body).kind is kind


@pytest.mark.parametrize("status", [500, 502, 504, 520, 524, 301, 302, 307, 308])
def test_pages_of_middlemen_prove_nothing(status: int) -> None:
    """The request may have reached the venue behind the proxy that answered."""
    answer = refused(status, {"Server": "cloudfront"}, "<html><body>Oops</body></html>")

    assert answer.kind is UNKNOWN
    assert answer.message == "an HTML page instead of an answer"


def test_the_firewall_pauses_but_a_403_with_a_code_is_an_answer() -> None:
    """Hammering the WAF makes it worse; a code comes from the venue itself."""
    assert refused(403, {}, "<html>blocked</html>").kind is PAUSE
    assert refused(403, {}, "").kind is PAUSE
    assert refused(403, {}, '{"code":-2015,"msg":"Invalid API-key"}').kind is RUN_FATAL


def test_a_ban_names_its_end() -> None:
    """The moment stands in the text, in milliseconds of the venue's clock."""
    text = "Way too many requests; IP(1.2.3.4) banned until 1615183669840. Please use websocket."
    answer = refused(418, {"Retry-After": "120"}, f'{{"code":-1003,"msg":"{text}"}}')

    assert (answer.kind, answer.banned_until_ms, answer.retry_after_s) == (
        PAUSE,
        1615183669840,
        120.0,
    )
    assert not answer.is_rate_limit


@pytest.mark.parametrize(
    ("date", "at_ms"), [("Sun, 29 Nov 2026 10:00:00 GMT", 1795946400000), ("soon", None)]
)
def test_a_ban_is_answered_at_the_moment_of_its_header(date: str, at_ms: int | None) -> None:
    """How long it lasts is the venue's moment less the venue's other, whatever our clock says."""
    body = '{"code":-1003,"msg":"banned until 1795946405000"}'

    assert refused(418, {"DATE": date}, body).answered_at_ms == at_ms


def test_a_ban_is_a_ban_under_any_status() -> None:
    """Going on during a ban makes it longer."""
    assert refused(400, {}, '{"code":-1003,"msg":"IP banned until 1615183669840"}').kind is PAUSE


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"RETRY-AFTER": " 7 "}, 7.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"Retry-After": "²"}, None),
        ({"Retry-After": "-1"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_when_it_is_a_number(
    headers: dict[str, str], wait_s: float | None
) -> None:
    """Binance documents it for spot only; nothing may depend on it."""
    answer = refused(429, headers, '{"code":-1003,"msg":"Too many requests"}')

    assert answer.is_rate_limit
    assert answer.retry_after_s == wait_s


def test_a_restricted_place_stops_the_run_although_its_code_is_zero() -> None:
    """Binance's own body for 451 has code 0, which means nothing."""
    body = '{"code":0,"msg":"Service unavailable from a restricted location"}'

    assert refused(451, {}, body).kind is RUN_FATAL


@pytest.mark.parametrize(
    "body",
    [
        '{"code":"--5","msg":"x"}',
        '{"code":"²","msg":"x"}',
        '{"code":true,"msg":"x"}',
        '{"code":1e999,"msg":"x"}',
        '{"code":[-2022],"msg":{"a":1}}',
        '{"code":null,"msg":null}',
        "[" * 4000,
        '{"code":' + "9" * 4000 + "}",
        "\x00\ufeff",
    ],
)
def test_a_hostile_body_goes_by_its_status_and_is_no_crash(body: str) -> None:
    """A gateway may answer anything."""
    assert refused(500, {}, body).kind is UNKNOWN
    assert refused(400, {}, body).kind is REJECTED


def test_a_code_written_as_text_counts() -> None:
    """Binance writes "200" as text in one answer; a refusal might come so too."""
    assert refused(400, {}, '{"code":"-2022","msg":"x"}').code == -2022
    assert element_refused({"code": "-2022", "msg": "ReduceOnly Order is rejected."}) is not None


@pytest.mark.parametrize("code", [200, "200", 0, None, True, "x"], ids=repr)
def test_an_element_without_a_negative_code_is_no_refusal(code: object) -> None:
    """A cancel answers code 200 on success."""
    assert element_refused({"code": code, "msg": "success"}) is None


def test_an_element_of_a_batch_is_an_answer_of_its_own() -> None:
    """HTTP 200 although every order failed."""
    answer = element_refused({"code": -4118, "msg": "ReduceOnly Order Failed."})

    assert answer is not None
    assert (answer.kind, answer.describe()) == (
        REJECTED,
        "ReduceOnly Order Failed. (code -4118)",
    )


def test_what_never_left_may_be_sent_again_and_what_was_not_answered_may_not() -> None:
    """The difference between a refused connection and a lost answer."""
    assert not_sent("connection refused").kind is TRANSIENT
    assert no_answer("connection lost").kind is UNKNOWN
    assert unreadable(200, "empty").kind is UNKNOWN


def test_messages_are_one_bounded_line_without_control_characters() -> None:
    """They reach a terminal and a log."""
    hostile = "a\x1b[31m\r\nb\u202ec" + "x" * 500

    shown = printable(hostile)

    assert len(shown) == 200
    assert shown.startswith("a [31m b c")
    assert shown.isprintable()


@pytest.mark.parametrize(
    "body",
    [
        "Bad request: /fapi/v1/order?symbol=BTCUSDT&signature=deadbeef00 refused",
        '{"msg":"no route for /fapi/v1/order?signature=deadbeef00"}',
        '{"code":-1022,"msg":"SIGNATURE=deadbeef00&x=1"}',
    ],
)
def test_a_signature_echoed_by_a_gateway_is_not_shown(body: str) -> None:
    """Error pages like to repeat the URL."""
    assert "deadbeef" not in refused(502, {}, body).describe()


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
