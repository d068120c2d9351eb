"""Keys: the most specific name first, files bounded, values never shown, hosts that look right.

A key may be sent to few hosts, and to nothing that only looks like one of them.
"""

import os
import re
from pathlib import Path

import pytest

from liqctl.kernel.errors import CredentialsError
from liqctl.kernel.states import Environment
from liqctl.settings.credentials import (
    find_source,
    host_problem,
    is_demo_host,
    is_loopback_url,
    load_credentials,
    normalise_secret,
)

PRODUCTION, TESTNET, SIMULATOR = Environment

PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQ\nAAAA==\n-----END PRIVATE KEY-----\n"
OTHERS = {"LIQCTL_API_SECRET": "s"}


def test_the_most_specific_variable_wins(tmp_path: Path) -> None:
    """The production key must not be taken for the testnet one."""
    file = tmp_path / "key"
    file.write_text("from-file\n")
    order = [
        ("LIQCTL_TESTNET_API_KEY", "own"),
        ("LIQCTL_TESTNET_API_KEY_FILE", str(file)),
        ("LIQCTL_API_KEY", "common"),
        ("LIQCTL_API_KEY_FILE", str(file)),
    ]
    for index, (name, value) in enumerate(order):
        weaker = dict(order[index + 1 + (index % 2 == 0) :])
        environ = {name: value, **weaker, **OTHERS}
        found = load_credentials(Environment.TESTNET, environ)

        assert find_source("API_KEY", Environment.TESTNET, environ) == name
        assert found.api_key.reveal() == ("from-file" if value == str(file) else value)


def test_another_environments_key_is_not_taken() -> None:
    """A production key must never reach the testnet."""
    environ = {"LIQCTL_PRODUCTION_API_KEY": "p", **OTHERS}

    with pytest.raises(CredentialsError, match="LIQCTL_TESTNET_API_KEY or LIQCTL_API_KEY"):
        load_credentials(Environment.TESTNET, environ)


def test_a_variable_and_its_file_together_are_refused(tmp_path: Path) -> None:
    """Nobody can tell which of the two was meant."""
    environ = {"LIQCTL_API_KEY": "a", "LIQCTL_API_KEY_FILE": str(tmp_path / "b"), **OTHERS}

    with pytest.raises(CredentialsError, match="are both set"):
        load_credentials(Environment.TESTNET, environ)


@pytest.mark.parametrize(
    "text",
    [
        PEM,
        PEM.replace("\n", "\r\n"),
        PEM.replace("\n", "\\n"),
        f"\n\n{PEM}\n\n",
        PEM.replace("\n", "\n\n"),
        PEM.replace("\n", "\n  "),
    ],
)
def test_a_pem_survives_every_way_it_is_carried(text: str) -> None:
    """Secret stores and shells change line ends."""
    assert normalise_secret(text) == PEM


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xff\xfe", "is not text"),
        (b"x" * 20_000, "is too large"),
    ],
)
def test_an_unusable_file_is_named_with_its_variable(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    """The operator must learn which of the mounts is wrong."""
    file = tmp_path / "key"
    file.write_bytes(content)

    with pytest.raises(CredentialsError, match=f"LIQCTL_API_KEY_FILE: .*{problem}"):
        load_credentials(Environment.TESTNET, {"LIQCTL_API_KEY_FILE": str(file), **OTHERS})


def test_neither_pipes_nor_folders_nor_nothing_hang_or_crash(tmp_path: Path) -> None:
    """Opening a FIFO would wait for ever; the switch must say so instead."""
    os.mkfifo(tmp_path / "fifo")
    for name in ("fifo", ".", "missing"):
        with pytest.raises(CredentialsError, match="LIQCTL_API_KEY_FILE"):
            load_credentials(
                Environment.TESTNET, {"LIQCTL_API_KEY_FILE": str(tmp_path / name), **OTHERS}
            )


def test_credentials_never_show_themselves() -> None:
    """A repr ends in tracebacks and logs."""
    environ = {"LIQCTL_API_KEY": "CANARYKEY", "LIQCTL_API_SECRET": "CANARYSECRET"}

    assert "CANARY" not in repr(load_credentials(Environment.PRODUCTION, environ))


@pytest.mark.parametrize(
    "value",
    [
        "canaryKey0123456789canaryKey0123456789canaryKey0123456789canary",
        "/run/canaryKey0123456789canaryKey0123456789canaryKey0123456789canary",
        "0123456789abcdef0123456789abcdef",
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2Vw/canary\n-----END PRIVATE KEY-----",
    ],
)
def test_a_secret_in_place_of_its_path_is_not_shown(value: str) -> None:
    """`_FILE` set to the value is an easy mistake, and its text goes to web hooks and reports."""
    with pytest.raises(CredentialsError) as caught:
        load_credentials(Environment.TESTNET, {"LIQCTL_API_KEY_FILE": value})

    assert value.rpartition("/")[2] not in str(caught.value)
    assert "MC4CAQ" not in str(caught.value)
    assert str(caught.value).startswith("LIQCTL_API_KEY_FILE: ")


def test_an_ordinary_path_is_shown_whole() -> None:
    """It is what the operator must correct."""
    path = "/nowhere/..2026_11_26_10_30_00.123456789/binance_production_api_key.txt"

    with pytest.raises(CredentialsError, match=re.escape(path)):
        load_credentials(Environment.TESTNET, {"LIQCTL_API_KEY_FILE": path})


@pytest.mark.parametrize("text", ["key\n", PEM])
def test_a_byte_order_mark_is_no_part_of_a_secret(tmp_path: Path, text: str) -> None:
    """Notepad and PowerShell put one before every file; the key was refused as invalid."""
    file = tmp_path / "file"
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())

    found = load_credentials(
        Environment.TESTNET, {"LIQCTL_API_KEY_FILE": str(file), "LIQCTL_API_SECRET_FILE": str(file)}
    )

    assert found.api_key.reveal() == text.strip()
    assert found.api_secret.reveal() == normalise_secret(text)


@pytest.mark.parametrize("environment", Environment)
@pytest.mark.parametrize(
    "url",
    [
        "https://fapi.binance.com@evil.example",
        "https://user:pass@fapi.binance.com",
        "https://fapi.binance.com.",
        "https://fapi.binance.com\\@evil.example",
        "https://fapi.bin\u0430nce.com",
        "https://xn--fapi-binance-x.com",
        "https://fapi.binance.com/path",
        "https://fapi.binance.com?x",
        "https://fapi.binance.com#",
        "https://fapi.binance.com:0",
        "https://%66api.binance.com",
        "https://a_b.example",
        "https://fapi.binance.com:99999",
        "https://fapi.binance.com:port",
        "ftp://fapi.binance.com",
        "file:///etc/passwd",
        "//fapi.binance.com",
        "fapi.binance.com",
        "https://",
        "https://[::1",
        " https://fapi.binance.com",
        "https://fapi.binance.com\n",
        "http://127.0.0.1@evil.example",
    ],
)
def test_unusual_urls_are_refused_everywhere(environment: Environment, url: str) -> None:
    """Each of these has fooled a program before."""
    assert host_problem("base_url", url, environment, "") is not None


@pytest.mark.parametrize("environment", Environment)
@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8555", "http://localhost:1", "https://[::1]:8", "http://127.9.9.9/"]
)
def test_this_machine_is_always_allowed(environment: Environment, url: str) -> None:
    """A local venue or gateway needs no certificate."""
    assert host_problem("base_url", url, environment, "") is None
    assert is_loopback_url(url)


@pytest.mark.parametrize(
    ("environment", "url", "allowed_host", "part"),
    [
        (PRODUCTION, "https://fapi.binance.com", "", None),
        (PRODUCTION, "http://fapi.binance.com", "", "must be https"),
        (PRODUCTION, "https://demo-fapi.binance.com", "", "which is the testnet"),
        (TESTNET, "https://binance.com", "", "which is production"),
        (TESTNET, "https://fapi.binance.us", "", "which is production"),
        (TESTNET, "HTTPS://FAPI.BINANCE.COM", "", "which is production"),
        (PRODUCTION, "https://testnet.binancefuture.com", "testnet.binancefuture.com", "testnet"),
        (PRODUCTION, "https://gateway.example", "", "LIQCTL_ALLOW_HOST=gateway.example"),
        (PRODUCTION, "https://gateway.example", "gateway.example", None),
        (PRODUCTION, "https://GATEWAY.example", "Gateway.Example ", None),
        (PRODUCTION, "https://gateway.example", "example", "LIQCTL_ALLOW_HOST"),
        (PRODUCTION, "http://gateway.example", "gateway.example", "must be https"),
        (PRODUCTION, "https://fapi.binance.com.evil.example", "", "LIQCTL_ALLOW_HOST"),
        (TESTNET, "https://demo-fapi.binance.com", "", None),
        (TESTNET, "https://fapi.binance.com", "fapi.binance.com", "which is production"),
        (TESTNET, "https://gateway.example", "", None),
        (TESTNET, "http://gateway.example", "", "must be https"),
        (SIMULATOR, "https://fapi.binance.com", "fapi.binance.com", "must be a loopback"),
        (SIMULATOR, "https://localhost.evil.example", "", "must be a loopback"),
    ],
)
def test_a_key_goes_only_where_it_belongs(
    environment: Environment, url: str, allowed_host: str, part: str | None
) -> None:
    """A production key on the wrong host is a lost account."""
    problem = host_problem("base_url", url, environment, allowed_host)

    if part is None:
        assert problem is None
    else:
        assert problem is not None
        assert part in problem


@pytest.mark.parametrize(
    ("url", "is_demo"),
    [
        ("https://demo-fapi.binance.com", True),
        ("https://testnet.binancefuture.com", True),
        ("https://demo-fapi.binance.com.evil.example", False),
        ("https://fapi.binance.com", False),
        ("nonsense", False),
    ],
)
def test_only_binances_own_demo_needs_no_question(url: str, is_demo: bool) -> None:
    """Whoever answers elsewhere may be real money."""
    assert is_demo_host(url) is is_demo
