"""Settings from flags, environment variables, a file and defaults, in this order of strength.

Every problem is found before anything is refused, each with where it stands, what was found and
what is allowed. A value under an unknown or secret-like name is never shown.
"""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from liqctl.config.draft import Draft, SettingsError, is_secret_name, shown_key, sounds_secret
from liqctl.config.hosts import base_url_problem, url_problem
from liqctl.config.rules import BY_KEY, RULES, Kind, Rule
from liqctl.config.settings import (
    AuditSettings,
    ExchangeSettings,
    MetricsSettings,
    Settings,
    Source,
    SourceKind,
)
from liqctl.domain.errors import UsageError
from liqctl.domain.secrets import hide_secrets
from liqctl.domain.venue import Environment
from liqctl.planning.policy import FLAGS, LIMITS, LiquidationConfig, found_value, problems

_PREFIX: Final = "LIQCTL_"
_SECTIONS: Final = frozenset({"exchange", "liquidation", "audit", "metrics"})
_NOT_SETTINGS: Final = frozenset(
    {"LIQCTL_ENV", "LIQCTL_CONFIG", "LIQCTL_CONFIG_DIR", "LIQCTL_ALLOW_HOST", "LIQCTL_PLAIN_IMPORT"}
)
_FLAG_NAMES: Final = {
    "liquidation.timeout_seconds": "--timeout",
    "liquidation.max_retries": "--max-retries",
    "liquidation.retry_delay_seconds": "--retry-delay",
    "liquidation.settle_seconds": "--settle",
    "liquidation.symbols": "--symbol",
}
_NO_FLAG_NAME: Final = "--orders-only or --positions-only"
_NAME_MAX: Final = 400
_ALIKE: Final = 0.7
_BY_VARIABLE: Final = {
    rule.variable: rule
    for rule in RULES
    if rule.kind is not Kind.LIST and rule.key != "environment"
}
_KNOWN_VARIABLES: Final = (
    *_BY_VARIABLE,
    *sorted(_NOT_SETTINGS),
    "LIQCTL_API_KEY",
    "LIQCTL_API_SECRET",
    *(
        f"LIQCTL_{environment.upper()}_API_{half}"
        for environment in Environment
        for half in ("KEY", "SECRET", "KEY_FILE", "SECRET_FILE")
    ),
)
_CREDENTIAL: Final = re.compile(
    r"LIQCTL_(?:(?:PRODUCTION|TESTNET|SIMULATOR)_)?API_(?:KEY|SECRET)(?:_FILE)?"
)
_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})
_CCXT_SYMBOL: Final = re.compile(r"([^/:\s]+)/([^/:\s]+)(?::[^-\s]+)?(?:-(\d{6}))?")


def load_settings(
    *,
    environment: str | None,
    config_file: Path | None,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
) -> Settings:
    """Return the settings of one environment.

    Args:
        environment: `--env`; None lets LIQCTL_ENV and then the file of `config_file` say it.
        config_file: `--config`, already merged with LIQCTL_CONFIG.
        flags: settings given as flags, by dotted key.
        environ: the environment variables.

    Raises:
        UsageError: no environment was named, or an unknown one.
        ConfigurationError: every problem found, one a line.
    """
    environment = environment or environ.get("LIQCTL_ENV") or None
    draft = collect(environment=environment, config_file=config_file, flags=flags, environ=environ)
    chosen = choose_environment(environment, draft)
    return build(draft, chosen, environ)


def collect(
    *,
    environment: str | None,
    config_file: Path | None,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
) -> Draft:
    """Return everything the sources say, weakest first, unchecked."""
    draft = Draft()
    for rule in RULES:
        draft.put(rule.key, rule.default, Source(kind=SourceKind.DEFAULT))
    draft.file = config_file or find_file(environment, environ)
    if draft.file is not None:
        _take_file(draft, draft.file)
    _take_variables(draft, environ)
    for key, value in flags.items():
        where = _FLAG_NAMES.get(key, _NO_FLAG_NAME)
        draft.put(key, value, Source(kind=SourceKind.FLAG, where=where))
    return draft


def find_file(environment: str | None, environ: Mapping[str, str]) -> Path | None:
    """Return the settings file of an environment, from the first place that has one."""
    if environment not in set(Environment):
        return None
    for place in search_path(environ):
        candidate = place / f"{environment}.yaml"
        try:
            if candidate.is_file():
                return candidate
        except (OSError, ValueError):
            continue  # a folder of somebody else, or a name that can be none
    return None


def search_path(environ: Mapping[str, str]) -> list[Path]:
    """Return the folders that are looked in for `NAME.yaml`, in order."""
    places = []
    if environ.get("LIQCTL_CONFIG_DIR"):
        places.append(Path(environ["LIQCTL_CONFIG_DIR"]))
    places.append(Path("configs"))
    home = environ.get("XDG_CONFIG_HOME") or (
        f"{environ['HOME']}/.config" if environ.get("HOME") else ""
    )
    if home:
        places.append(Path(home) / "liqctl")
    places.append(Path("/etc/liqctl"))
    return places


def choose_environment(environment: str | None, draft: Draft) -> Environment:
    """Return the environment; the option and the file must agree when both name one."""
    stated = draft.values.get("environment")
    named = environment or (stated if isinstance(stated, str) else None)
    if named is None:
        raise UsageError(
            "no environment was chosen; give --env production, testnet or simulator (or set "
            "LIQCTL_ENV, or `environment:` in the file of --config). Nothing was sent"
        )
    if named not in set(Environment):
        allowed = ", ".join(Environment)
        if environment is None:
            draft.complain("environment", f"must be one of {allowed}")
            raise SettingsError(draft.problems)
        raise UsageError(f"--env, or LIQCTL_ENV, must be one of {allowed}. Nothing was sent")
    if environment is not None and isinstance(stated, str) and stated != environment:
        shown = stated if stated in set(Environment) else "something else"
        draft.complain("environment", f"says {shown}, but --env says {environment}")
    return Environment(named)


def build(draft: Draft, environment: Environment, environ: Mapping[str, str]) -> Settings:
    """Return the settings that the draft holds.

    Raises:
        ConfigurationError: every problem found.
    """
    _check_types(draft)
    _skip_scope_of_disarmed(draft)
    _check_liquidation(draft)
    _check_exchange(draft, environment, environ)
    if draft.problems:
        raise SettingsError(draft.problems)
    values = draft.values
    symbols = tuple(normalise_symbol(symbol) for symbol in values["liquidation.symbols"])
    return Settings(
        environment=environment,
        exchange=ExchangeSettings(
            product=values["exchange.product"],
            base_url=_stripped(values["exchange.base_url"]),
            recv_window_ms=values["exchange.recv_window_ms"],
            proxy=values["exchange.proxy"],
        ),
        liquidation=LiquidationConfig(
            **{name: values[f"liquidation.{name}"] for name in (*FLAGS, *LIMITS)},
            symbols=symbols,
        ),
        audit=AuditSettings(log_dir=Path(values["audit.log_dir"])),
        metrics=MetricsSettings(textfile=_path(values["metrics.textfile"])),
        notifications=tuple(values["notifications"]),
        sources=dict(draft.sources),
        file=draft.file,
    )


def normalise_symbol(symbol: str) -> str:
    """Return Binance's id of a symbol that may be written as ccxt does, or in small letters.

    >>> normalise_symbol("BTC/USDT:USDT")
    'BTCUSDT'
    >>> normalise_symbol("BTC/USDT:USDT-260925")
    'BTCUSDT_260925'
    >>> normalise_symbol("btcusdt")
    'BTCUSDT'
    """
    symbol = symbol.strip()
    if symbol.isascii():  # Binance has no small letters in a symbol.
        symbol = symbol.upper()
    match = _CCXT_SYMBOL.fullmatch(symbol)
    if match is None:
        return symbol
    base, quote, date = match.groups()
    return f"{base}{quote}_{date}" if date else f"{base}{quote}"


def _stripped(url: str | None) -> str | None:
    # In lower case, for the lock must know one account by one name.
    return url.rstrip("/").lower() if url else None


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def _take_file(draft: Draft, path: Path) -> None:
    from liqctl.config.yaml_file import flatten, read_file

    nested, lines = read_file(path)
    draft.places = {key: f"{path}:{line}" for key, line in lines.items()}
    for key, value in flatten(nested, _SECTIONS).items():
        where = draft.places.get(key, str(path))
        if key in BY_KEY:
            draft.put(key, value, Source(kind=SourceKind.FILE, where=where))
            _refuse_secrets_below(draft, key, value)
        elif sounds_secret(key):
            draft.note(
                where,
                key,
                "secrets never stand in the file; set "
                "LIQCTL_API_KEY and LIQCTL_API_SECRET, or the same with _FILE",
            )
        elif key in _SECTIONS:
            if value is not None:
                draft.note(where, key, "must be a section with names below it")
        else:
            draft.note(where, key, f"unknown key{_nearest(key)}")


def _refuse_secrets_below(draft: Draft, key: str, value: object) -> None:
    """Refuse secret-like names inside a value, such as a notification's token."""
    if isinstance(value, list):
        for number, each in enumerate(value):
            _refuse_secrets_below(draft, f"{key}[{number}]", each)
    if not isinstance(value, Mapping):
        return
    for name, inner in value.items():
        if is_secret_name(name):
            draft.note(
                draft.place_of(f"{key}.{name}"),
                f"{key}.{name}",
                "secrets never stand in the file; give "
                "a file's path or a variable's name, under a name that ends in _file or _env",
            )
        else:
            _refuse_secrets_below(draft, f"{key}.{name}", inner)


def _take_variables(draft: Draft, environ: Mapping[str, str]) -> None:
    for name, text in environ.items():
        if not name.startswith(_PREFIX) or name in _NOT_SETTINGS or _CREDENTIAL.fullmatch(name):
            continue
        rule = _BY_VARIABLE.get(name)
        if rule is None:
            near = difflib.get_close_matches(name, _KNOWN_VARIABLES, n=1)
            hint = f"; the nearest known is {near[0]}" if near else ""
            draft.note(shown_key(name), name, f"unknown variable{hint}")
            continue
        source = Source(kind=SourceKind.VARIABLE, where=name)
        draft.put(rule.key, read_text(rule, text), source)


def read_text(rule: Rule, text: str) -> object:
    """Return a variable's text as its setting's type; the text itself when it is none."""
    bare = text.strip()
    match rule.kind:
        case Kind.FLAG if bare.lower() in _TRUE:
            return True
        case Kind.FLAG if bare.lower() in _FALSE:
            return False
        case Kind.WHOLE if re.fullmatch(r"[+-]?\d{1,18}", bare):
            return int(bare)
        case Kind.NUMBER if re.fullmatch(r"[+-]?(\d{1,18}(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", bare):
            return float(bare)
        case Kind.SYMBOLS:
            return [part.strip() for part in text.split(",") if part.strip()]
        case Kind.OPTIONAL_TEXT if bare in {"", "null"}:
            return None
        case _:
            return text


def _nearest(key: str) -> str:
    """Return a hint at the known key whose last part, or whole, is most like this one."""
    key = key[:_NAME_MAX].strip("'")
    last = key.rpartition(".")[2]
    by_name = {rule.name: rule.key for rule in RULES}
    near = [
        *(by_name[name] for name in difflib.get_close_matches(last, by_name, n=1, cutoff=_ALIKE)),
        *difflib.get_close_matches(key, BY_KEY, n=1, cutoff=_ALIKE),
    ]
    return f"; the nearest known is {near[0]}" if near else ""


def _check_types(draft: Draft) -> None:
    """Check the kinds that the liquidation's own rules do not cover."""
    for rule in RULES:
        value = draft.values[rule.key]
        match rule.kind:
            case Kind.TEXT | Kind.OPTIONAL_TEXT:
                _check_text(draft, rule, value)
            case Kind.LIST:
                _check_targets(draft, rule, value)
            case Kind.WHOLE if rule.name not in LIMITS:
                _check_whole(draft, rule, value)
            case _:
                pass


def _check_text(draft: Draft, rule: Rule, value: object) -> None:
    if value is None and rule.kind is Kind.OPTIONAL_TEXT:
        return
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        draft.complain(rule.key, f"{rule.name} must be {rule.kind}, got {found_value(value)}")
    elif rule.allowed and value not in rule.allowed:
        allowed = ", ".join(rule.allowed)
        got = hide_secrets(value)[:40]
        draft.complain(rule.key, f"{rule.name} must be one of {allowed}, got {got!r}")


def _check_whole(draft: Draft, rule: Rule, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        text = f"{rule.name} must be a whole number, got {found_value(value)}"
        draft.complain(rule.key, text)
    elif rule.low is not None and rule.high is not None and not rule.low <= value <= rule.high:
        draft.complain(
            rule.key, f"{rule.name} must be between {rule.low} and {rule.high}, got {value}"
        )


def _check_targets(draft: Draft, rule: Rule, value: Any) -> None:  # noqa: ANN401 - as it was found
    if not _is_list_of_mappings(value):
        found = type(value).__name__  # the value may hold the address of a web hook
        draft.complain(rule.key, f"{rule.name} must be a list of sections, got {found}")
    elif value:
        from liqctl.config.targets import item_problems

        for key, text in item_problems(value):
            draft.note(draft.place_of(key), key, text)


def _is_list_of_mappings(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, Mapping) for each in value)


def _skip_scope_of_disarmed(draft: Draft) -> None:
    """Let a disarmed switch stay disarmed when a flag only narrows what it would do."""
    if draft.values["liquidation.emergency_liquidation"] is not False:
        return
    for name in ("close_positions", "cancel_orders"):
        key = f"liquidation.{name}"
        if draft.sources[key].kind is SourceKind.FLAG:
            draft.values[key] = False


def _check_liquidation(draft: Draft) -> None:
    names = [rule.name for rule in RULES if rule.key.startswith("liquidation.")]
    values = {name: draft.values[f"liquidation.{name}"] for name in names}
    for name, text in problems(values):
        draft.complain(_culprit(draft, f"liquidation.{name}"), text)


def _culprit(draft: Draft, key: str) -> str:
    """Return the key to blame: of flags that contradict one another, one that somebody set."""
    if not key.endswith("emergency_liquidation"):
        return key
    flags = [f"liquidation.{name}" for name in FLAGS]
    return next((k for k in flags if draft.sources[k].kind is not SourceKind.DEFAULT), key)


def _check_exchange(draft: Draft, environment: Environment, environ: Mapping[str, str]) -> None:
    base_url, proxy = draft.values["exchange.base_url"], draft.values["exchange.proxy"]
    if isinstance(base_url, str):
        allowed_host = environ.get("LIQCTL_ALLOW_HOST", "")
        problem = base_url_problem(base_url, environment, allowed_host)
        if problem:
            draft.complain("exchange.base_url", problem)
    if isinstance(proxy, str) and (problem := url_problem("proxy", proxy)):
        draft.complain("exchange.proxy", problem)
