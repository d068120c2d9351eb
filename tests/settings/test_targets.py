"""Notification targets in the settings file: strict, and without secrets."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from liqctl.kernel.errors import ConfigurationError
from liqctl.settings.model import json_schema
from liqctl.settings.sources import load_settings
from liqctl.settings.targets import (
    TARGETS_MAX,
    NoticeKind,
    Reference,
    ReferenceKind,
    Severity,
    Target,
    TargetType,
    read_targets,
)
from liqctl.settings.values import Settings

SCHEMA = Draft202012Validator(json_schema())
CANARY = "CANARY0secret0value0123456789"


def load(folder: Path, items: object) -> Settings:
    """Load a file with these notifications."""
    file = folder / "settings.yaml"
    file.write_text(json.dumps({"notifications": items}))
    return load_settings(environment="testnet", config_file=file, flags={}, environ={})


def refusal(folder: Path, *items: object) -> list[str]:
    """Return the lines of the refusal, without the file and its line numbers."""
    with pytest.raises(ConfigurationError) as caught:
        load(folder, list(items))
    return [line.partition(": ")[2] for line in str(caught.value).splitlines()]


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ({"type": "mail"}, "[0].type: type must be one of webhook, slack, telegram, pagerduty, "),
        ({}, "[0].type: type must be one of "),
        (
            {"type": "slack", "url_envv": "A"},
            "[0].url_envv: unknown key of a slack target; the nearest known is url_env",
        ),
        ({"type": "slack"}, "[0]: a slack target needs exactly one of url_env, url_file"),
        (
            {"type": "slack", "url_env": "A", "url_file": "b"},
            "[0]: a slack target needs exactly one of url_env, url_file",
        ),
        ({"type": "telegram", "token_env": "A"}, "[0]: a telegram target needs chat_id"),
        (
            {"type": "telegram", "token_env": "A", "chat_id": True},
            "[0].chat_id: chat_id must be a number such as -1001234567890, or @channel",
        ),
        (
            {"type": "slack", "url_env": "A", "events": ["stop"]},
            "[0].events: events must be a list of start, end, unknown",
        ),
        (
            {"type": "slack", "url_env": "A", "events": []},
            "[0].events: events must be a list of start, end, unknown",
        ),
        (
            {"type": "slack", "url_env": "A", "min_severity": "error"},
            "[0].min_severity: min_severity must be one of info, warning, critical",
        ),
        (
            {"type": "healthchecks", "url_env": "A", "min_severity": "info"},
            "[0].min_severity: unknown key of a healthchecks target",
        ),
        ({"type": "slack", "url_env": 5}, "[0].url_env: url_env must be text"),
        (
            {"type": "slack", "url_env": "LIQCTL_API_SECRET"},
            "[0].url_env: url_env must name a variable of yours: LIQCTL_ is for settings and keys",
        ),
        (
            {"type": "webhook", "url": "http://example.org/x"},
            "[0].url: must be https, but for loopback addresses",
        ),
        (
            {"type": "pagerduty", "routing_key_env": "A", "base_url": "http://example.org"},
            "[0].base_url: must be https, but for loopback addresses",
        ),
    ],
)
def test_a_wrong_item_is_refused_in_words_that_help(
    item: dict[str, Any], text: str, tmp_path: Path
) -> None:
    """A misspelt key would silence the target in an emergency."""
    line, *_ = refusal(tmp_path, item)

    assert line.startswith(f"notifications{text}")


def test_every_item_is_blamed_at_its_own_line(tmp_path: Path) -> None:
    """Sixteen targets are a long list to search."""
    file = tmp_path / "settings.yaml"
    file.write_text("notifications:\n- type: mail\n-\n  type: slack\n  url_env: a\n")

    with pytest.raises(ConfigurationError) as caught:
        load_settings(environment="testnet", config_file=file, flags={}, environ={})

    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == [
        f"{file}:2",
        f"{file}:5",
    ]


@pytest.mark.parametrize(
    "item",
    [
        {"type": "slack", "url": f"https://hooks.slack.com/services/{CANARY}"},
        {"type": "slack", "url_env": f"https://hooks.slack.com/services/{CANARY}"},
        {"type": "slack", "url_env": CANARY.upper()},
        {"type": "telegram", "token": CANARY, "chat_id": 1},
        {"type": "telegram", "token_env": f"12345:{CANARY}", "chat_id": 1},
        {"type": "telegram", "token_env": "A", "chat_id": CANARY},
        {"type": "pagerduty", "routing_key": CANARY},
        {"type": "pagerduty", "routing_key_env": CANARY.lower()},
        {"type": "webhook", "url": f"https://example.org/hooks/{CANARY}"},
        {"type": "webhook", "url": f"https://example.org/?key={CANARY}"},
        {"type": "webhook", "url": f"https://user:{CANARY}@example.org/"},
        {"type": "webhook", "url": f"https://example.org/#{CANARY}"},
        {"type": "webhook", "url": f"https://hooks.slack.com/{CANARY[:9]}"},
        {"type": "webhook", "url": "https://example.org/a", "headers": {"Authorization": CANARY}},
        {"type": "webhook", "url": "https://example.org/a", "token": CANARY},
        {"type": CANARY},
        {"type": "slack", "url_env": "A", "name": f"\x1b[31m{CANARY}"},
    ],
)
def test_a_secret_in_an_item_is_refused_and_never_shown(
    item: dict[str, Any], tmp_path: Path
) -> None:
    """Whoever has the address can post; settings files end in repositories."""
    text = "\n".join(refusal(tmp_path, item))

    assert CANARY[:9].lower() not in text.lower()


def test_more_targets_than_can_be_told_in_time_are_refused(tmp_path: Path) -> None:
    """Each is a thread and a connection in the last two seconds."""
    item = {"type": "slack", "url_env": "A"}

    assert load(tmp_path, [item] * TARGETS_MAX)
    assert refusal(tmp_path, *[item] * (TARGETS_MAX + 1)) == [
        "notifications: notifications must be 16 items at most"
    ]


def test_an_item_becomes_a_target_with_its_types_defaults() -> None:
    """Nobody should be paged for good news by default, and a check must hear of it."""
    page, check, own = read_targets(
        [
            {"type": "pagerduty", "routing_key_file": "/run/key"},
            {"type": "healthchecks", "url_env": "HC"},
            {
                "type": "webhook",
                "url": "https://example.org/a",
                "token_env": "T",
                "events": ["end"],
            },
        ]
    )

    assert page == Target(
        type=TargetType.PAGERDUTY,
        name="pagerduty-1",
        kinds=frozenset({NoticeKind.END, NoticeKind.UNKNOWN, NoticeKind.TRIPPED}),
        min_severity=Severity.WARNING,
        secret=Reference(kind=ReferenceKind.FILE, where="/run/key"),
        base_url="https://events.pagerduty.com",
    )
    assert check.kinds == {NoticeKind.START, NoticeKind.END, NoticeKind.UNKNOWN}
    assert check.min_severity is Severity.INFO
    assert own.kinds == {NoticeKind.END}
    assert own.token == Reference(kind=ReferenceKind.VARIABLE, where="T")


keys = st.sampled_from(
    """url url_env url_file token_env token_file routing_key_env routing_key_file name events
    min_severity chat_id base_url other""".split()  # noqa: SIM905 - a list of them is a page
)
values: st.SearchStrategy[object] = st.one_of(
    st.sampled_from(["SLACK_URL", "lower", "", " ", "a b", "info", "high", "@room", "-5", "\0"]),
    st.sampled_from(["https://example.org/a", "http://127.0.0.1:1", "http://example.org", "x"]),
    st.sampled_from([None, True, 5, 1.5, [], ["end"], ["end", "start"], ["stop"], [[]], {}]),
)
good = st.sampled_from(
    [
        {"type": "slack", "url_env": "SLACK_URL"},
        {"type": "webhook", "url": "https://example.org/a"},
        {"type": "webhook", "url": "https://example.org/a", "token_env": "A", "token_file": "b"},
        {"type": "telegram", "token_file": "/run/token", "chat_id": -5},
        {"type": "pagerduty", "routing_key_env": "KEY"},
        {"type": "healthchecks", "url_file": "/run/url"},
        {"type": "apprise", "url_env": "URL"},
        {"type": "mail"},
        {},
    ]
)
items = st.builds(
    lambda base, more: {**base, **more}, good, st.dictionaries(keys, values, max_size=2)
)


@given(given_items=st.lists(items, max_size=3))
def test_every_list_of_targets_is_read_or_refused_in_our_words(
    tmp_path_factory: pytest.TempPathFactory, given_items: list[dict[str, Any]]
) -> None:
    """What is accepted makes targets; what is refused is named by its item."""
    try:
        settings = load(tmp_path_factory.getbasetemp(), given_items)
    except ConfigurationError as error:
        for line in str(error).splitlines():
            assert re.search(r": notifications\[\d\]", line), line
    else:
        assert len(read_targets(settings.notifications)) == len(given_items)
        assert not [*SCHEMA.iter_errors({"notifications": given_items})]
