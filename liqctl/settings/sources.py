"""Settings from flags, environment variables, a file and defaults, in this order of strength.

Each is a source of the pydantic-settings model, and there is no other way in. Every problem is
found before anything is refused, in the contract's words: where it stands, what was found and what
is allowed. pydantic decides what is valid; its own wording names no place, shows values that may be
secrets, and does not speak of a rule over two fields while a third one is wrong. A value under an
unknown or secret-like name is never shown.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError  # noqa: TID253 - this module is where settings are read
from pydantic_settings import (  # noqa: TID253
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
)
from typing_extensions import override

from liqctl.kernel.answers import printable
from liqctl.kernel.errors import ConfigurationError, UsageError, hide_secrets
from liqctl.kernel.policy import FLAGS, found_value, problems
from liqctl.kernel.states import Environment
from liqctl.settings.credentials import (
    CREDENTIAL,
    base_url_problem,
    is_secret_name,
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
    is_visible,
)
from liqctl.settings.values import Settings, Source, SourceKind, make_settings
from liqctl.settings.yaml_file import find_file, flatten, read_file

_PREFIX: Final = "LIQCTL_"
_NOT_SETTINGS: Final = frozenset(
    {"LIQCTL_ENV", "LIQCTL_CONFIG", "LIQCTL_CONFIG_DIR", "LIQCTL_ALLOW_HOST", "LIQCTL_PLAIN_IMPORT"}
)
_TEXT_MAX: Final = 400
_KEY_MAX: Final = 80
_FOUND_MAX: Final = 40
_NAME_MAX: Final = 400
_ALIKE: Final = 0.7
_BY_VARIABLE: Final = {
    setting.variable: setting
    for setting in TABLE
    if setting.kind is not Kind.LIST and setting.key != "environment"
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
_LIQUIDATION: Final = [setting.name for setting in TABLE if setting.key.startswith("liquidation.")]
_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})

Layer = dict[str, Any]
"""What one source says, by section and name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong: where it stands, under which key, and what is allowed."""

    place: str
    key: str
    text: str

    def __str__(self) -> str:
        """Return the line an operator reads."""
        where = f"{self.place}: {self.key}" if self.key != self.place else self.place
        return f"{where}: {self.text}"


class SettingsError(ConfigurationError):
    """The settings are invalid; `problems` holds what the text lists."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Say every problem on a line of its own."""
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
    found = Found(file=config_file or find_file(environment, environ))
    file, variables = found.take_file(), found.take_variables(environ)
    layers = (found.take_flags(flags, flag_names or {}), variables, file)

    class Read(SettingsModel):
        @classmethod
        @override
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *_: object, **__: object
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return tuple(InitSettingsSource(settings_cls, layer) for layer in layers)

    chosen = found.choose_environment(environment)
    values: dict[str, Any] = {}
    try:
        values = Read().model_dump()
    except ValidationError as error:
        found.translate(error)
    found.check_hosts(chosen, environ.get("LIQCTL_ALLOW_HOST", ""))
    if found.problems:
        raise SettingsError(found.problems)
    default = Source(kind=SourceKind.DEFAULT)
    return make_settings(
        {
            **values,
            "environment": chosen,
            "sources": {setting.key: found.sources.get(setting.key, default) for setting in TABLE},
            "file": found.file,
        }
    )


def stated_environment(config_file: Path, environ: Mapping[str, str]) -> Environment:
    """Return the environment that a file names.

    Raises:
        UsageError: it names none.
        ConfigurationError: it cannot be read, or names an unknown one.
    """
    found = Found(file=config_file)
    found.take_file()
    found.take_variables(environ)
    return found.choose_environment(None)


@dataclass(slots=True, kw_only=True)
class Found:
    """What the sources say, each value with its source, and what is wrong with it.

    Sources are taken weakest first; `values` and `sources` hold what the strongest said.
    """

    file: Path | None
    values: dict[str, Any] = field(
        default_factory=lambda: {setting.key: setting.default for setting in TABLE}
    )
    sources: dict[str, Source] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)
    """Where each key of the file stands, also inside lists."""

    def take_file(self) -> Layer:
        """Return what the file sets; unknown names and secrets are noted."""
        taken: Layer = {}
        if self.file is None:
            return taken
        nested, lines = read_file(self.file)
        self.places = {key: f"{self.file}:{line}" for key, line in lines.items()}
        for key, value in flatten(nested, SECTIONS).items():
            where = self.places.get(key, str(self.file))
            if key in BY_KEY:
                self._take(taken, key, value, Source(kind=SourceKind.FILE, where=where))
                self._refuse_secrets_below(key, value)
            elif sounds_secret(key):
                self._note(
                    where,
                    key,
                    "secrets are not allowed in the file; set "
                    "LIQCTL_API_KEY and LIQCTL_API_SECRET, or the same with _FILE",
                )
            elif key not in SECTIONS:
                self._note(where, key, f"unknown key{_nearest(key)}")
            elif value is not None:
                self._note(where, key, "must be a section with names below it")
        return taken

    def take_variables(self, environ: Mapping[str, str]) -> Layer:
        """Return what the environment variables set; unknown ones are noted."""
        taken: Layer = {}
        for name, text in environ.items():
            if not name.startswith(_PREFIX) or name in _NOT_SETTINGS or CREDENTIAL.fullmatch(name):
                continue
            setting = _BY_VARIABLE.get(name)
            if setting is None:
                near = difflib.get_close_matches(name, _KNOWN_VARIABLES, n=1)
                hint = f"; the nearest known is {near[0]}" if near else ""
                self._note(printable(name, _KEY_MAX), name, f"unknown variable{hint}")
                continue
            source = Source(kind=SourceKind.VARIABLE, where=name)
            self._take(taken, setting.key, read_text(setting, text), source)
        return taken

    def take_flags(self, flags: Mapping[str, object], names: Mapping[str, str]) -> Layer:
        """Return what the flags set.

        A disarmed switch stays disarmed when a flag only narrows what it would do.
        """
        taken: Layer = {}
        disarmed = self.values["liquidation.emergency_liquidation"] is False
        for key, given in flags.items():
            value = False if disarmed and key.rpartition(".")[2] in FLAGS else given
            self._take(taken, key, value, Source(kind=SourceKind.FLAG, where=names.get(key, key)))
        return taken

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
                self._complain("environment", f"must be one of {allowed}")
                raise SettingsError(self.problems)
            raise UsageError(f"--env, or LIQCTL_ENV, must be one of {allowed}. Nothing was sent")
        if environment is not None and isinstance(stated, str) and stated != environment:
            shown = stated if stated in set(Environment) else "something else"
            self._complain("environment", f"says {shown}, but --env says {environment}")
        return Environment(named)

    def translate(self, error: ValidationError) -> None:
        """Note what pydantic refused, in our words, in the table's order, at our places."""
        locations = [each["loc"] for each in error.errors(include_url=False)]
        wrong = {".".join(map(str, loc[: 2 if loc[0] in SECTIONS else 1])) for loc in locations}
        told = {"liquidation", "notifications"}
        for setting in TABLE:
            value = self.values[setting.key]
            if setting.key not in wrong or setting.key.startswith("liquidation."):
                continue
            told.add(setting.key)
            if setting.kind is not Kind.LIST:
                self._complain(setting.key, _words(setting, value))
            elif isinstance(value, list) and all(isinstance(each, Mapping) for each in value):
                from liqctl.settings.targets import item_problems

                for key, text in item_problems(value):
                    self._note(self._place_of(key), key, text)
            else:  # The value is not shown: it may hold the address of a web hook.
                text = f"{setting.name} must be a list of sections, got {type(value).__name__}"
                self._note(self._place_of(setting.key), setting.key, text)
        ours = {name: self.values[f"liquidation.{name}"] for name in _LIQUIDATION}
        for name, text in problems(ours):
            told.add(f"liquidation.{name}")
            # Of flags that contradict one another, one is blamed that somebody set.
            blamed = FLAGS if name == "emergency_liquidation" else (name,)
            keys = [f"liquidation.{each}" for each in (*blamed, name)]
            self._complain(next((each for each in keys if each in self.sources), keys[-1]), text)
        for key in wrong - told:  # such as bytes of no alphabet
            self._complain(key, f"{BY_KEY[key].name} must be {BY_KEY[key].kind} in UTF-8")

    def check_hosts(self, environment: Environment, allowed_host: str) -> None:
        """Note the hosts that a key of the environment may not be sent to."""
        base_url, proxy = (self.values.get(f"exchange.{name}") for name in ("base_url", "proxy"))
        if isinstance(base_url, str) and (
            problem := base_url_problem(base_url, environment, allowed_host)
        ):
            self._complain("exchange.base_url", problem)
        if isinstance(proxy, str) and (problem := url_problem("proxy", proxy)):
            self._complain("exchange.proxy", problem)

    def _take(self, layer: Layer, key: str, value: object, source: Source) -> None:
        """Let a value win over whatever weaker source gave before."""
        section, _, name = key.rpartition(".")
        (layer.setdefault(section, {}) if section else layer)[name] = value
        self.values[key], self.sources[key] = value, source

    def _complain(self, key: str, text: str) -> None:
        """Note a problem with a value at the place it came from."""
        place = self.sources[key].where if key in self.sources else "defaults"
        text = text if len(text) <= _TEXT_MAX else f"{text[:_TEXT_MAX]}…"
        self._note(place, key, text)

    def _note(self, place: str, key: str, text: str) -> None:
        """Note a problem at a place; the key is others' words and is shown on one line."""
        self.problems.append(Problem(place=place, key=printable(key, _KEY_MAX), text=text))

    def _place_of(self, key: str) -> str:
        """Return where a key stands, or the nearest section around it that has a place."""
        while key and key not in self.places:
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return self.places.get(key, str(self.file))

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
                    self._place_of(f"{key}.{name}"),
                    f"{key}.{name}",
                    "secrets are not allowed in the file; give "
                    "a file's path or a variable's name, under a name that ends in _file or _env",
                )
            else:
                self._refuse_secrets_below(f"{key}.{name}", inner)


def _words(setting: Setting, value: object) -> str:
    """Return what is said of a refused value, other than of a liquidation or of targets."""
    name = setting.name
    if setting.allowed and isinstance(value, str) and is_visible(value):
        found = hide_secrets(value)[:_FOUND_MAX]
        return f"{name} must be one of {', '.join(setting.allowed)}, got {found!r}"
    if setting.kind is Kind.WHOLE and isinstance(value, int) and not isinstance(value, bool):
        return f"{name} must be between {setting.low} and {setting.high}, got {value}"
    article = "a " if setting.kind is Kind.WHOLE else ""
    return f"{name} must be {article}{setting.kind}, got {found_value(value)}"


def read_text(setting: Setting, text: str) -> object:
    """Return a variable's text as its setting's type; the text itself when it is none."""
    bare = text.strip()
    match setting.kind:
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
    by_name = {setting.name: setting.key for setting in TABLE}
    near = [
        *(by_name[name] for name in difflib.get_close_matches(last, by_name, n=1, cutoff=_ALIKE)),
        *difflib.get_close_matches(key, BY_KEY, n=1, cutoff=_ALIKE),
    ]
    return f"; the nearest known is {near[0]}" if near else ""
