"""Settings from flags, environment variables, a file and defaults, in this order of strength.

Each is a source of the pydantic-settings model, and there is no other way in. Every problem is
found before anything is refused, each with where it stands, what was found and what is allowed. A
value under an unknown or secret-like name is never shown.

pydantic decides what is valid. The words are the contract's: pydantic's own name no place, show
values that may be secrets, and do not speak of a rule over two fields while a third one is wrong.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError  # noqa: TID253 - this module is where settings are read
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource  # noqa: TID253
from typing_extensions import override

from liqctl.kernel.answers import printable
from liqctl.kernel.errors import ConfigurationError, UsageError, hide_secrets
from liqctl.kernel.policy import FLAGS, found_value, out_of_scope, problems, product_of
from liqctl.kernel.states import Environment, Product
from liqctl.settings.credentials import (
    CREDENTIAL,
    ELSEWHERE,
    host_problem,
    is_secret_name,
    name_problems,
    sounds_secret,
    url_problem,
)
from liqctl.settings.model import (
    BY_KEY,
    SECTIONS,
    TABLE,
    Kind,
    Setting,
    SettingsModel,
    guard_problems,
    is_visible,
)
from liqctl.settings.targets import item_problems, nearest
from liqctl.settings.values import Settings, Source, SourceKind, make_settings
from liqctl.settings.yaml_file import find_file, read_file

_PREFIX: Final = "LIQCTL_"
_NOT_SETTINGS: Final = ELSEWHERE | {"LIQCTL_ALLOW_HOST"}
_BY_VARIABLE: Final = {
    setting.variable: setting
    for setting in TABLE
    if setting.kind not in {Kind.LIST, Kind.GUARDS, Kind.ACCOUNTS} and setting.key != "environment"
}
_KNOWN_VARIABLES: Final = (
    *_BY_VARIABLE,
    *_NOT_SETTINGS,
    "LIQCTL_API_KEY",
    "LIQCTL_API_SECRET",
    *(
        f"LIQCTL_{environment.upper()}_API_{half}"
        for environment in Environment
        for half in ("KEY", "SECRET", "KEY_FILE", "SECRET_FILE")
    ),
)
_OWN: Final = {
    "symbols": ("liquidation", "symbols"),
    "products": ("exchange", "products"),
    "margin": ("exchange", "margin"),
}
"""What an account may have of its own, and where it stands for all."""

_LIQUIDATION: Final = "liquidation."
_TEXT_MAX: Final = 400
_NAME_MAX: Final = 400
_KEY_MAX: Final = 80
_FOUND_MAX: Final = 40
_ALIKE: Final = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong: where it stands, under which key, and what is allowed."""

    place: str
    key: str
    text: str

    def __str__(self) -> str:
        where = f"{self.place}: {self.key}" if self.key != self.place else self.place
        return f"{where}: {self.text}"


class SettingsError(ConfigurationError):
    """The settings are invalid; `problems` holds what the text lists."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


def load_settings(
    *,
    environment: str | None,
    config_file: Path | None,
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    flag_names: Mapping[str, str] | None = None,
) -> Settings:
    """Return the settings of one environment.

    Args:
        environment: `--env`; None lets LIQCTL_ENV and then the file of `config_file` say it.
        config_file: `--config`, already merged with LIQCTL_CONFIG.
        flags: settings given as flags, by dotted key.
        environ: the environment variables.
        flag_names: what errors call the flag of a key; else its key.

    Raises:
        UsageError: no environment was named, or an unknown one.
        ConfigurationError: every problem found, one a line.
    """
    environment = environment or environ.get("LIQCTL_ENV") or None
    found = _Found(config_file or find_file(environment, environ))
    found.take_file()
    found.take_variables(environ)
    found.take_flags(flags, flag_names or {})
    chosen = found.choose_environment(environment)

    class Read(SettingsModel):
        @classmethod
        @override
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *_: object, **__: object
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return tuple(
                InitSettingsSource(settings_cls, found.layers[kind]) for kind in SourceKind
            )

    values: dict[str, Any] = {}
    try:
        values = Read().model_dump()
    except ValidationError as error:
        found.translate(error)
    found.check_hosts(chosen, environ.get("LIQCTL_ALLOW_HOST", ""))
    found.check_margin(chosen, "exchange.margin", found.values["exchange.margin"])
    if values:
        values["liquidation"]["symbols"] = found.check_scope(
            "liquidation.symbols",
            values["liquidation"]["symbols"],
            values["exchange"]["products"],
        )
        for name, own in values["accounts"].items():
            found.complete(own, values)
            key = f"accounts.{name}"
            own["symbols"] = found.check_scope(f"{key}.symbols", own["symbols"], own["products"])
            found.check_margin(chosen, f"{key}.margin", own["margin"])
    if found.problems:
        raise SettingsError(found.problems)
    default = Source(kind=SourceKind.DEFAULT)
    sources = {setting.key: found.sources.get(setting.key, default) for setting in TABLE}
    return make_settings({**values, "environment": chosen, "sources": sources, "file": found.file})


def stated_environment(config_file: Path, environ: Mapping[str, str]) -> Environment:
    """Return the environment that a file names.

    Raises:
        UsageError: it names none.
        ConfigurationError: it cannot be read, or names an unknown one.
    """
    found = _Found(config_file)
    found.take_file()
    found.take_variables(environ)
    return found.choose_environment(None)


class _Found:
    """What the sources say, each value with its source, and what is wrong with it.

    Sources are taken weakest first; `values` and `sources` hold what the strongest said, `layers`
    what each said by section and name.
    """

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self.values: dict[str, Any] = {setting.key: setting.default for setting in TABLE}
        self.sources: dict[str, Source] = {}
        self.layers: dict[SourceKind, dict[str, Any]] = {kind: {} for kind in SourceKind}
        self.problems: list[Problem] = []
        self._places: dict[str, str] = {}  # where each key of the file stands, also inside lists

    def take_file(self) -> None:
        if self.file is None:
            return
        nested, lines = read_file(self.file)
        self._places = {key: f"{self.file}:{line}" for key, line in lines.items()}
        flat: dict[str, Any] = {}
        for name, value in nested.items():
            if name in SECTIONS and isinstance(value, Mapping):
                flat |= {f"{name}.{inner}": each for inner, each in value.items()}
            else:
                # A name that holds a dot itself is kept in quotes: it is no section's key.
                flat[f"'{name}'" if "." in name else name] = value
        for key, value in flat.items():
            where = self._places.get(key, str(self.file))
            if key in BY_KEY:
                self._take(key, value, SourceKind.FILE, where)
                self._refuse_secrets_below(key, value)
            elif sounds_secret(key):
                self._note(
                    key,
                    "secrets are not allowed in the file; set "
                    "LIQCTL_API_KEY and LIQCTL_API_SECRET, or the same with _FILE",
                    where,
                )
            elif key in SECTIONS:
                if value is not None:
                    self._note(key, "must be a section with names below it", where)
            else:
                bare = key[:_NAME_MAX].strip("'")
                # The last part may be right where the section is wrong.
                hint = nearest(
                    bare.rpartition(".")[2], {each.name: each.key for each in TABLE}, _ALIKE
                ) or nearest(bare, tuple(BY_KEY), _ALIKE)
                self._note(key, f"unknown key{hint}", where)

    def take_variables(self, environ: Mapping[str, str]) -> None:
        for name, text in environ.items():
            if not name.startswith(_PREFIX) or name in _NOT_SETTINGS or CREDENTIAL.fullmatch(name):
                continue
            setting = _BY_VARIABLE.get(name)
            if setting is not None:
                self._take(setting.key, setting.kind.read(text), SourceKind.VARIABLE, name)
            else:
                hint = nearest(name, _KNOWN_VARIABLES)
                self._note(name, f"unknown variable{hint}", printable(name, _KEY_MAX))

    def take_flags(self, flags: Mapping[str, object], names: Mapping[str, str]) -> None:
        # A disarmed switch stays disarmed when a flag only narrows what it would do.
        disarmed = self.values["liquidation.emergency_liquidation"] is False
        for key, given in flags.items():
            value = False if disarmed and key.rpartition(".")[2] in FLAGS else given
            self._take(key, value, SourceKind.FLAG, names.get(key, key))

    def choose_environment(self, environment: str | None) -> Environment:
        """Return the environment; the option and the file must agree when both name one."""
        stated = self.values["environment"]
        named = environment or (stated if isinstance(stated, str) else None)
        if named is None:
            raise UsageError(
                "no environment was chosen; give --env production, testnet or simulator (or set "
                "LIQCTL_ENV, or `environment:` in the file of --config). Nothing was sent"
            )
        if named not in set(Environment):
            allowed = ", ".join(Environment)
            if environment is None:
                self._note("environment", f"must be one of {allowed}")
                raise SettingsError(self.problems)
            raise UsageError(f"--env, or LIQCTL_ENV, must be one of {allowed}. Nothing was sent")
        if environment is not None and isinstance(stated, str) and stated != environment:
            shown = stated if stated in set(Environment) else "something else"
            self._note("environment", f"says {shown}, but --env says {environment}")
        return Environment(named)

    def translate(self, error: ValidationError) -> None:
        """Note what pydantic refused, in our words, in our order, at our places."""
        locations = [each["loc"] for each in error.errors(include_url=False)]
        wrong = {".".join(map(str, loc[: 2 if loc[0] in SECTIONS else 1])) for loc in locations}
        for setting in TABLE:
            value = self.values[setting.key]
            if setting.key not in wrong or setting.key.startswith(_LIQUIDATION):
                continue
            is_of_sections = isinstance(value, list) and all(isinstance(e, Mapping) for e in value)
            if setting.kind is Kind.ACCOUNTS:
                found = _account_problems(value, {loc[1:3] for loc in locations})
            elif setting.kind in {Kind.LIST, Kind.GUARDS} and is_of_sections:
                found = (item_problems if setting.kind is Kind.LIST else guard_problems)(value)
            else:
                self._note(setting.key, f"{setting.name} must be {_refusal(setting, value)}")
                continue
            for key, text in found:
                self._note(key, text, self._place_of(key))
        # The policy knows what its numbers and flags say of one another.
        policy = {
            key.removeprefix(_LIQUIDATION): value
            for key, value in self.values.items()
            if key.startswith(_LIQUIDATION)
        }
        told = set()
        for name, text in problems(policy):
            told.add(f"{_LIQUIDATION}{name}")
            if name == FLAGS[0]:
                # Of flags that contradict one another, one that somebody set is to blame.
                stated = (each for each in FLAGS if f"{_LIQUIDATION}{each}" in self.sources)
                name = next(stated, name)  # noqa: PLW2901
            self._note(f"{_LIQUIDATION}{name}", text)
        for setting in TABLE:
            if setting.key in wrong - told and setting.key.startswith(_LIQUIDATION):
                # Such as bytes of no alphabet, which only pydantic minds.
                self._note(setting.key, f"{setting.name} must be {setting.kind} in UTF-8")

    def check_hosts(self, environment: Environment, allowed_host: str) -> None:
        """Note the hosts that a key of the environment may not be sent to."""
        for name in ("base_url", "stream_url", "proxy"):
            url, problem = self.values.get(f"exchange.{name}"), None
            if isinstance(url, str) and name == "proxy":
                problem = url_problem(name, url)
            elif isinstance(url, str):
                problem = host_problem(name, url, environment, allowed_host)
            if problem:
                self._note(f"exchange.{name}", problem)

    def complete(self, own: dict[str, Any], values: Mapping[str, Any]) -> None:
        """Fill in what an account leaves out, and what a flag or variable says of all."""
        said = {
            key
            for key, source in self.sources.items()
            if source.kind in {SourceKind.FLAG, SourceKind.VARIABLE}
        }
        for key, (section, name) in _OWN.items():
            # Symbols that were asked for are meant, whatever an account usually trades.
            asked = {f"{section}.{name}"} | (
                {"liquidation.symbols"} if key == "products" else set()
            )
            if own[key] is None or asked & said:
                own[key] = values[section][name]

    def check_margin(self, environment: Environment, key: str, margin: object) -> None:
        """Note portfolio margin where there is none: Binance's own testnet."""
        is_testnet = environment is Environment.TESTNET and not self.values["exchange.base_url"]
        if is_testnet and margin == "portfolio":
            self._note(
                key,
                "margin portfolio is not for the testnet: Binance has portfolio margin in "
                "production only; set margin to auto or standard",
            )

    def check_scope(self, key: str, symbols: list[str], products: list[str]) -> list[str]:
        """Return the symbols in scope; those of no product in scope are refused.

        Products that a flag narrows take the file's symbols of other products out of scope.

        Raises:
            UsageError: a flag gave what is out of scope, or leaves nothing in it.
        """
        given = [Product(name.upper()) for name in products]
        text = out_of_scope(symbols, given)
        if text is None:
            return symbols
        flagged = {key for key, source in self.sources.items() if source.kind is SourceKind.FLAG}
        within = [symbol for symbol in symbols if product_of(symbol) in given]
        if "exchange.products" in flagged and "liquidation.symbols" not in flagged and within:
            return within
        if flagged & {"exchange.products", "liquidation.symbols"}:
            raise UsageError(f"{text}. Nothing was sent")
        self._note(key, text, None if key in self.sources else self._place_of(key))
        return symbols

    def _take(self, key: str, value: Any, kind: SourceKind, where: str) -> None:  # noqa: ANN401
        self.values[key] = value
        self.sources[key] = Source(kind=kind, where=where)
        section, _, name = key.rpartition(".")
        layer = self.layers[kind]
        (layer.setdefault(section, {}) if section else layer)[name] = value

    def _note(self, key: str, text: str, place: str | None = None) -> None:
        """Note a problem, at the place its value came from; keys are others' words."""
        if place is None:
            place = self.sources[key].where if key in self.sources else "defaults"
        if len(text) > _TEXT_MAX:
            text = f"{text[:_TEXT_MAX]}…"
        self.problems.append(Problem(place=place, key=printable(key, _KEY_MAX), text=text))

    def _place_of(self, key: str) -> str:
        """Return where a key stands, or the nearest section around it that has a place."""
        while key and key not in self._places:
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return self._places.get(key, str(self.file))

    def _refuse_secrets_below(self, key: str, value: object) -> None:
        """Refuse secret-like names inside a value, such as a notification's token."""
        if isinstance(value, list):
            for number, each in enumerate(value):
                self._refuse_secrets_below(f"{key}[{number}]", each)
        if not isinstance(value, Mapping):
            return
        for name, inner in value.items():
            if is_secret_name(name):
                self._note(
                    f"{key}.{name}",
                    "secrets are not allowed in the file; give "
                    "a file's path or a variable's name, under a name that ends in _file or _env",
                    self._place_of(f"{key}.{name}"),
                )
            else:
                self._refuse_secrets_below(f"{key}.{name}", inner)


def _account_problems(accounts: object, wrong: Collection[object]) -> Iterator[tuple[str, str]]:
    """Yield key and text of everything wrong with the accounts; `wrong` are pydantic's places."""
    if not isinstance(accounts, Mapping):
        yield "accounts", f"accounts must be accounts by name, got {type(accounts).__name__}"
        return
    for name, text in name_problems(accounts):
        yield f"accounts.{name}", text
    for name, own in accounts.items():
        if own and not isinstance(own, Mapping):
            yield f"accounts.{name}", f"must be a section with {', '.join(_OWN)} below it"
            continue
        for key, value in (own or {}).items():
            if key in _OWN and (name, key) in wrong:
                setting = BY_KEY[".".join(_OWN[key])]
                yield f"accounts.{name}.{key}", f"{key} must be {_refusal(setting, value)}"
            elif key not in _OWN and not is_secret_name(key):
                yield f"accounts.{name}.{key}", f"unknown key{nearest(key, _OWN.keys())}"


def _refusal(setting: Setting, value: object) -> str:
    match setting.kind:
        case Kind.LIST | Kind.GUARDS:
            # The type only: the value may hold the address of a web hook.
            return f"a list of sections, got {type(value).__name__}"
        case Kind.PRODUCTS:
            given = found_value(value) if value != [] else "an empty list"
            odd = (
                [each for each in value if each not in setting.allowed]
                if type(value) is list
                else []
            )
            given = f"{found_value(odd[0])} in it" if odd else given
            return f"a list of {' and '.join(setting.allowed)}, at least one, got {given}"
        case _ if setting.allowed and isinstance(value, str) and is_visible(value):
            found = hide_secrets(value)[:_FOUND_MAX]
            return f"one of {', '.join(setting.allowed)}, got {found!r}"
        case Kind.NUMBER | Kind.OPTIONAL_NUMBER if (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and -math.inf < value < math.inf
        ):
            or_null = " or null" if setting.kind is Kind.OPTIONAL_NUMBER else ""
            return f"between {setting.low} and {setting.high}{or_null}, got {value}"
        case Kind.NUMBER | Kind.OPTIONAL_NUMBER:
            return f"a {setting.kind}, got {found_value(value)}"
        case Kind.WHOLE if isinstance(value, int) and not isinstance(value, bool):
            return f"between {setting.low} and {setting.high}, got {value}"
        case Kind.WHOLE:
            return f"a whole number, got {found_value(value)}"
        case _:
            return f"{setting.kind}, got {found_value(value)}"
