"""The items of `notifications` as pydantic models, made from the same rules as the plain reader."""

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, Union

from pydantic import (  # noqa: TID253 - only `liqctl.config.models` imports this module
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
    create_model,
    model_validator,
)

from liqctl.config.targets import KINDS, TARGET_RULES, TARGETS_MAX, TargetRule, value_problem
from liqctl.domain.notices import Severity, TargetType


def targets_type() -> Any:  # noqa: ANN401 - a type made at run time has no type
    """Return the type of the whole list."""
    models: Any = tuple(_model(kind, rule) for kind, rule in TARGET_RULES.items())
    item: Any = Annotated[Union[models], Field(discriminator="type")]  # noqa: UP007 - as above
    return Annotated[list[item] | tuple[item, ...], Field(max_length=TARGETS_MAX)]


class _Item(BaseModel):
    """One target; which secrets it must name is checked over all keys together."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="after")
    def _names_its_secrets(self) -> "_Item":
        given = self.model_fields_set
        rule = TARGET_RULES[TargetType(self.type)]  # type: ignore[attr-defined]
        if len(given.intersection(rule.hidden_keys)) != 1:
            raise ValueError("needs exactly one secret")
        others = {f"{rule.hidden_too}_env", f"{rule.hidden_too}_file"}
        if others <= given:
            raise ValueError("takes one token")
        return self


def _model(kind: TargetType, rule: TargetRule) -> type[BaseModel]:
    fields: dict[str, Any] = {
        key: (_TYPES[key] if key in _TYPES else _checked(key, StrictStr), None)
        for key in rule.keys
        if key not in {"type", "chat_id"}
    }
    if rule.has_chat:
        fields["chat_id"] = (_checked("chat_id", StrictInt | StrictStr), ...)
    fields["type"] = (Literal[kind.value], ...)
    return create_model(f"{kind.title()}Target", __base__=_Item, **fields)


def _checked(key: str, kind: Any) -> Any:  # noqa: ANN401
    return Annotated[kind, AfterValidator(_check(key))]


def _check(key: str) -> Callable[[object], object]:
    def check(value: object) -> object:
        problem = value_problem(key, value)
        if problem:
            raise ValueError(problem)
        return value

    return check


_KINDS: Final = tuple(kind.value for kind in KINDS)
_SEVERITIES: Final = tuple(each.value for each in Severity)
_TYPES: Final[dict[str, Any]] = {
    "events": Annotated[list[Literal[_KINDS]], Field(min_length=1)],  # type: ignore[valid-type]
    "min_severity": Literal[_SEVERITIES],
}
