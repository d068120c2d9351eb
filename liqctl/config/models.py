"""The settings as pydantic models, made from the same table: a second opinion, and a JSON schema.

Importing pydantic takes 165 ms, so `liquidate` reads with `liqctl.config.loading`; a test holds
that both accept and refuse the same values.
"""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Final, Literal, cast

from pydantic import ConfigDict, Field, StrictBool, StrictInt, StrictStr, create_model
from pydantic_settings import BaseSettings, SettingsConfigDict

from liqctl.config.rules import RULES, Kind, Rule
from liqctl.planning.policy import problems

_FORBID: Final = ConfigDict(extra="forbid", frozen=True, strict=True)


@cache
def settings_model() -> type[BaseSettings]:
    """Return the model of a whole settings file; names stand in the table, nowhere else."""
    fields: dict[str, Any] = {}
    for section in dict.fromkeys(rule.key.rpartition(".")[0] for rule in RULES):
        rules = [rule for rule in RULES if rule.key.rpartition(".")[0] == section]
        members: dict[str, Any] = {rule.name: _field(rule) for rule in rules}
        if section:
            model = create_model(f"{section.title()}Model", __config__=_FORBID, **members)
            fields[section] = (model, Field(default_factory=model))
        else:
            fields |= members
    return cast("type[BaseSettings]", create_model("SettingsModel", __base__=_Base, **fields))


class _Base(BaseSettings):
    """Reads nothing but what it is given: sources and precedence are `loading`'s business."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, strict=True)

    @classmethod
    def settings_customise_sources(cls, *sources: Any, **named: Any) -> tuple[Any, ...]:  # noqa: ANN401 - pydantic's own signature is wider than any type
        """Return the arguments as the only source."""
        return (named.get("init_settings", sources[1] if len(sources) > 1 else None),)


def accepts(document: Mapping[str, Any]) -> bool:
    """Return whether a file's nested mapping is valid; hosts are checked elsewhere."""
    from pydantic import ValidationError

    try:
        model = settings_model()(**document)
    except ValidationError:
        return False
    liquidation: Any = getattr(model, "liquidation")  # noqa: B009 - the model is made at run time
    return not problems(liquidation.model_dump())


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a settings file, for editors."""
    return settings_model().model_json_schema()


def _field(rule: Rule) -> tuple[Any, Any]:
    return _type(rule), Field(default=rule.default, description=rule.help)


def _type(rule: Rule) -> Any:  # noqa: ANN401 - a type made at run time has no type
    text: Any = (
        Literal[rule.allowed]
        if rule.allowed
        else Annotated[StrictStr, Field(pattern=r"^[^\0]*[^\s\0][^\0]*$")]
    )
    match rule.kind:
        case Kind.TEXT:
            return text
        case Kind.OPTIONAL_TEXT:
            return text | None
        case Kind.FLAG:
            return StrictBool
        case Kind.WHOLE:
            return Annotated[StrictInt, Field(ge=rule.low, le=rule.high)]
        case Kind.NUMBER:
            return Annotated[float, Field(ge=rule.low, le=rule.high, allow_inf_nan=False)]
        case Kind.SYMBOLS:
            symbol = Annotated[StrictStr, Field(pattern=r"\S")]
            return list[symbol] | tuple[symbol, ...]
        case Kind.LIST:
            return list[dict[str, Any]] | tuple[dict[str, Any], ...]
