"""The lean import of ccxt gives the very same class, leaves nothing behind, and gives up safely.

Each case runs in a process of its own: an import happens once.
"""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

DESCRIBE = """
import asyncio, hashlib, json, sys
from liqctl.venue.startup import load_exchange_class
loaded = load_exchange_class(hmac_only=HMAC_ONLY)
from ccxt import NetworkError
exchange = loaded.cls({"apiKey": "k" * 64, "secret": SECRET, "enableRateLimit": False})
exchange.milliseconds = lambda: 1700000000000
symbol = {"symbol": "BTCUSDT"}
calls = [
    ("positionRisk", "fapiPrivateV3", "GET", {}),
    ("openOrders", "fapiPrivate", "GET", symbol),
    ("allOpenOrders", "fapiPrivate", "DELETE", symbol),
    ("algoOpenOrders", "fapiPrivate", "DELETE", {"symbol": "\\u5e01USDT"}),
    ("order", "fapiPrivate", "POST", {**symbol, "newClientOrderId": "a", "quantity": "0.001"}),
    ("batchOrders", "fapiPrivate", "POST", {"batchOrders": [{**symbol, "newClientOrderId": "b"}]}),
    ("ping", "fapiPublic", "GET", {}),
    ("account/apiRestrictions", "sapi", "GET", {}),
]
signed = [exchange.sign(path, [api], method, dict(params)) for path, api, method, params in calls]
errors = vars(sys.modules["ccxt.base.errors"])
answer = {
    "mode": loaded.mode,
    "error": loaded.error,
    "describe": hashlib.sha256(repr(exchange.describe()).encode()).hexdigest(),
    "endpoints": sorted(
        name for name in dir(loaded.cls) if name.startswith(("fapi", "sapi")) and "_" not in name
    ),
    "urls": exchange.urls,
    "signed": signed,
    "same_errors": NetworkError is errors["NetworkError"],
    "raised_is_caught": issubclass(NetworkError, errors["BaseError"]),
    "version": sys.modules["ccxt"].__version__,
    "modules": sum(name == "ccxt" or name.startswith("ccxt.") for name in sys.modules),
    "stubs": [
        name
        for name in ("requests", "cryptography", "aiohttp_fast_zlib")
        if name in sys.modules and not getattr(sys.modules[name], "__file__", None)
    ],
}
import requests, ssl
from cryptography.hazmat.primitives.hashes import SHA256
answer["requests"] = requests.Session.__module__
answer["cryptography"] = SHA256().name
answer["ssl_restored"] = (
    "set_default_verify_paths" not in vars(ssl.SSLContext)
    and ssl.SSLContext.load_default_certs.__module__ == "ssl"
)
from aiohttp.connector import _SSL_CONTEXT_VERIFIED as default_context
answer["aiohttp_verifies"] = default_context.verify_mode == ssl.CERT_REQUIRED
print(json.dumps(answer))
"""
TELLS_APART = """
import sys
if type(sys.modules["ccxt"]).__name__ != "module":
    raise RuntimeError("told apart")
"""
DIFFERING = ("mode", "modules", "error")


def run(
    *,
    secret: str = "s" * 64,
    plain: bool = False,
    path: Path | None = None,
    before: str = "",
) -> dict[str, Any]:
    """Return what a fresh process found after importing, optionally with a changed ccxt first."""
    program = f"HMAC_ONLY, SECRET = {'PRIVATE' not in secret}, {secret!r}\n{before}\n{DESCRIBE}"
    roots = [str(root) for root in (path, REPOSITORY) if root]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(roots)}
    environ["LIQCTL_PLAIN_IMPORT"] = "1" if plain else ""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environ,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def same(answer: dict[str, Any]) -> dict[str, Any]:
    """Return what must not depend on the way of importing."""
    return {name: value for name, value in answer.items() if name not in DIFFERING}


@pytest.fixture(scope="module")
def plain() -> dict[str, Any]:
    """What the ordinary import gives."""
    return run(plain=True)


def test_the_lean_class_is_the_plain_class(plain: dict[str, Any]) -> None:
    """Description, endpoints, URLs, eight signed requests and exceptions are equal."""
    lean = run()

    assert (lean["mode"], lean["error"], plain["mode"]) == ("lean", None, "plain")
    assert same(lean) == same(plain)
    assert len(plain["signed"]) == 8
    assert lean["modules"] < 40 < plain["modules"]
    assert lean["same_errors"]
    assert lean["raised_is_caught"]


def test_nothing_foreign_is_left_behind() -> None:
    """Whoever imports requests or cryptography later gets the real ones, and real trust stores."""
    lean = run()

    assert lean["stubs"] == []
    assert (lean["requests"], lean["cryptography"]) == ("requests.sessions", "sha256")
    assert lean["ssl_restored"]
    assert lean["aiohttp_verifies"]


def test_private_keys_sign_the_same_after_a_lean_import() -> None:
    """For a private key the real cryptography is kept."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    key = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode().strip()

    lean = run(secret=pem)
    assert lean["mode"] == "lean"
    assert lean["signed"] == run(secret=pem, plain=True)["signed"]


def test_a_ccxt_that_is_imported_already_is_used_as_it_is(plain: dict[str, Any]) -> None:
    """A program that uses ccxt itself must not get a second copy."""
    answer = run(before="import ccxt.async_support")

    assert answer["mode"] == "plain"
    assert same(answer) == same(plain)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of ccxt that may be broken; the exchanges that are not needed are left out."""
    spec = find_spec("ccxt")
    assert spec is not None
    assert spec.submodule_search_locations
    source = Path(spec.submodule_search_locations[0])
    root = tmp_path_factory.mktemp("site")
    keep = ("__init__.py", "binance.py", "binanceusdm.py")

    def left_out(folder: str, names: list[str]) -> set[str]:
        relative = Path(folder).relative_to(source).as_posix()
        if relative in {".", "async_support", "abstract"}:
            return {name for name in names if name.endswith(".py") and name not in keep} | (
                {"pro", "test", "static_dependencies", "__pycache__"} & set(names)
            )
        return {"__pycache__"} & set(names)

    shutil.copytree(source, root / "ccxt", ignore=left_out)
    for package in ("ccxt", "ccxt/async_support"):
        init = root / package / "__init__.py"
        lines = init.read_text(encoding="utf-8").split("\n")
        init.write_text("\n".join(line for line in lines if _kept_line(line)), encoding="utf-8")
    return root


def _kept_line(line: str) -> bool:
    """Whether a line of the package's init needs nothing that was left out."""
    if not line.startswith(("from ccxt.", "from ccxt ")):
        return True
    return ".base" in line or " binance  " in line or " binanceusdm  " in line


def test_missing_bytecode_is_noticed(copied: Path, tmp_path: Path) -> None:
    """Installers and read-only images may leave it out; then every start compiles for seconds."""
    program = (
        "from liqctl.checks.of_machine import has_bytecode;"
        "from liqctl.venue.startup import load_exchange_class as load;"
        "before = has_bytecode(); load(hmac_only=True); print(before, has_bytecode())"
    )
    environ = os.environ | {"PYTHONPATH": os.pathsep.join([str(copied), str(REPOSITORY)])}
    environ["PYTHONPYCACHEPREFIX"] = str(tmp_path)
    environ.pop("PYTHONDONTWRITEBYTECODE", None)

    found = subprocess.check_output([sys.executable, "-c", program], env=environ, text=True)
    assert found.split() == ["False", "True"]


@pytest.mark.parametrize(
    ("sabotage", "reason"),
    [
        ("from requests.adapters import HTTPAdapter", "requests.adapters"),
        ("from cryptography.x509 import Certificate", "cryptography.x509"),
        (
            TELLS_APART,
            "told apart",
        ),
    ],
    ids=["requests", "cryptography", "raises"],
)
def test_a_ccxt_that_changed_is_imported_plainly_and_the_reason_kept(
    sabotage: str, reason: str, copied: Path, tmp_path: Path
) -> None:
    """An upgrade may need what the lean import leaves out; slower is better than broken."""
    root = tmp_path / "site"
    shutil.copytree(copied, root)
    base = root / "ccxt" / "base" / "exchange.py"
    text = base.read_text(encoding="utf-8")
    base.write_text(text.replace("import types\n", f"import types\n{sabotage}\n", 1), "utf-8")

    answer = run(path=root)
    assert answer["mode"] == "plain"
    assert reason in answer["error"]
    assert answer["stubs"] == []
    assert answer["requests"] == "requests.sessions"
