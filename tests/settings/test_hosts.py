"""Which hosts a key may be sent to: everything that looks right and is not."""

import pytest

from liqctl.kernel.states import Environment
from liqctl.settings.credentials import base_url_problem, is_demo_host, is_loopback_url

PRODUCTION, TESTNET, SIMULATOR = Environment


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
    assert base_url_problem(url, environment, "") is not None


@pytest.mark.parametrize("environment", Environment)
@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8555", "http://localhost:1", "https://[::1]:8", "http://127.9.9.9/"]
)
def test_this_machine_is_always_allowed(environment: Environment, url: str) -> None:
    """A local venue or gateway needs no certificate."""
    assert base_url_problem(url, environment, "") is None
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
    problem = base_url_problem(url, environment, allowed_host)

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
