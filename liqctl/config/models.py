"""The settings as pydantic models, made from the same table: a second opinion, and a JSON schema.

Importing pydantic takes 165 ms, so `liquidate` reads with `liqctl.config.loading`; a test holds
that both accept and refuse the same values.
"""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Final, Literal

from pydantic import (  # noqa: TID253 - only validate and tests import this module
    AfterValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    create_model,
)
from pydantic_settings import (  # noqa: TID253
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from liqctl.config.rules import RULES, Kind, Rule
from liqctl.config.target_models import targets_type
from liqctl.planning.policy import problems

_STRICT: Final = ConfigDict(extra="forbid", frozen=True, strict=True)


def accepts(document: Mapping[str, Any]) -> bool:
    """Return whether a file's nested mapping is valid; hosts are checked elsewhere."""
    sections = {rule.key.rpartition(".")[0] for rule in RULES} - {""}
    given = {key: {} if key in sections and v is None else v for key, v in document.items()}
    try:
        values = settings_model()(**given).model_dump()
    except ValidationError:
        return False
    return not problems(values["liquidation"])


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a settings file, for editors."""
    return settings_model().model_json_schema()


@cache
def settings_model() -> type[BaseSettings]:
    """Return the model of a whole settings file; names stand in the table, nowhere else."""
    fields: dict[str, Any] = {}
    for section in dict.fromkeys(rule.key.rpartition(".")[0] for rule in RULES):
        members: dict[str, Any] = {
            rule.name: (_type(rule), Field(default=rule.default, description=rule.help))
            for rule in RULES
            if rule.key.rpartition(".")[0] == section
        }
        if section:
            model = create_model(f"{section.title()}Model", __config__=_STRICT, **members)
            fields[section] = (model, Field(default_factory=model))
        else:
            fields |= members
    return create_model("SettingsModel", __base__=_Base, **fields)


class _Base(BaseSettings):
    """Reads nothing but what it is given: sources and precedence are `loading`'s business."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, strict=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the arguments as the only source."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


def _type(rule: Rule) -> Any:  # noqa: ANN401 - a type made at run time has no type
    match rule.kind:
        case Kind.TEXT:
            return Literal[rule.allowed] if rule.allowed else _TEXT
        case Kind.OPTIONAL_TEXT:
            return (Literal[rule.allowed] if rule.allowed else _TEXT) | None
        case Kind.FLAG:
            return StrictBool
        case Kind.WHOLE:
            return Annotated[StrictInt, Field(ge=rule.low, le=rule.high)]
        case Kind.NUMBER:
            return Annotated[float, Field(ge=rule.low, le=rule.high, allow_inf_nan=False)]
        case Kind.SYMBOLS:
            return list[_SYMBOL] | tuple[_SYMBOL, ...]
        case Kind.LIST:
            return targets_type()


def _check_text(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise ValueError("must hold something that can be seen")
    return text


def _check_symbol(symbol: str) -> str:
    if not symbol.strip():
        raise ValueError("must name a symbol")
    return symbol


_TEXT: Final[Any] = Annotated[StrictStr, AfterValidator(_check_text)]
_SYMBOL: Final[Any] = Annotated[StrictStr, AfterValidator(_check_symbol)]
