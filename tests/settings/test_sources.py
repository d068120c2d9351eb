"""Settings: exact texts, precedence, every problem at once, no value shown that may be a secret."""

import itertools
import json
import os
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from liqctl.cli.options import FLAG_NAMES
from liqctl.kernel.errors import ConfigurationError, UsageError
from liqctl.kernel.policy import Guard, Rule
from liqctl.kernel.states import Environment, Margin, Product
from liqctl.settings.model import TABLE, json_schema, normalise_symbol
from liqctl.settings.sources import load_settings
from liqctl.settings.values import ArmSettings, ExchangeSettings, Settings, SourceKind
from liqctl.settings.yaml_file import FILE_MAX_BYTES, parse

CANARY = "CANARY0secret0value"


def load(
    tmp_path: Path,
    text: str = "",
    *,
    environment: str | None = "testnet",
    flags: Mapping[str, object] | None = None,
    **environ: str,
) -> Settings:
    """Load a file's text with flags and variables."""
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    return load_settings(
        environment=environment,
        config_file=file,
        flags=flags or {},
        flag_names=FLAG_NAMES,
        environ=environ,
    )


def refusal(tmp_path: Path, text: str = "", **others: object) -> str:
    """Return the text of the refusal, without the file's path."""
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text, **others)  # type: ignore[arg-type]
    return str(caught.value).replace(str(tmp_path / "settings.yaml"), "FILE")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("timeout_seconds: 0.5", "timeout_seconds must be between 1.0 and 30.0, got 0.5"),
        ("max_retries: -1", "max_retries must be between 0 and 10, got -1"),
        ("settle_seconds: -0.1", "settle_seconds must be between 0.0 and 30.0, got -0.1"),
        ("settle_seconds: 30.5", "settle_seconds must be between 0.0 and 30.0, got 30.5"),
        ("settle_seconds: yes", "settle_seconds must be a number, got True (bool)"),
        ("retry_delay_seconds: 0.01", "retry_delay_seconds must be between 0.1 and 5.0, got 0.01"),
        ('timeout_seconds: "5"', "timeout_seconds must be a number, got '5' (str)"),
        ("timeout_seconds: .nan", "timeout_seconds must be a number, got nan (float)"),
        ("timeout_seconds: true", "timeout_seconds must be a number, got True (bool)"),
        ("max_retries: 3.0", "max_retries must be a whole number, got 3.0 (float)"),
        ("cancel_orders: 1", "cancel_orders must be true or false, got 1 (int)"),
        ("symbols: BTCUSDT", "symbols must be a list of symbols, got 'BTCUSDT' (str)"),
    ],
)
def test_a_bad_value_is_refused_in_the_words_of_the_contract(
    tmp_path: Path, line: str, text: str
) -> None:
    """Runbooks and other programs match these texts."""
    key = line.partition(":")[0]

    assert refusal(tmp_path, f"liquidation:\n  {line}") == f"FILE:2: liquidation.{key}: {text}"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("product: usdm", "unknown key; the nearest known is exchange.products"),
        ("products: usdm", "got 'usdm' (str)"),
        ("products: [usdm, spot]", "got 'spot' (str) in it"),
        ("products: [USDM]", "got 'USDM' (str) in it"),
        ("products: []", "products must be a list of usdm and coinm, at least one, got an empty"),
        ("products: [[usdm]]", "got a list in it"),
        ("margin: cross", "margin must be one of auto, standard, portfolio, got 'cross'"),
        ("margin: null", "margin must be text, got None (NoneType)"),
        ("margin: portfolio", "Binance has portfolio margin in production only"),
    ],
)
def test_what_the_account_is_must_be_said_in_known_words(
    tmp_path: Path, line: str, text: str
) -> None:
    """A word that is passed over would leave half of the account open."""
    told = refusal(tmp_path, f"exchange:\n  {line}")

    assert told.startswith(f"FILE:2: exchange.{line.partition(':')[0]}: ")
    assert text in told


def test_the_account_is_everything_unless_something_narrows_it(tmp_path: Path) -> None:
    """Both products, and the kind of account is found out."""
    for settings, products, margin in (
        (load(tmp_path), (Product.USDM, Product.COINM), None),
        (load(tmp_path, "exchange: {products: [coinm, coinm]}"), (Product.COINM,), None),
        (load(tmp_path, LIQCTL_EXCHANGE__PRODUCTS="usdm, coinm"), tuple(Product), None),
        (load(tmp_path, "exchange: {margin: standard}"), tuple(Product), Margin.STANDARD),
        (
            load(tmp_path, "exchange: {margin: portfolio}", environment="production"),
            tuple(Product),
            Margin.PORTFOLIO,
        ),
    ):
        assert settings.liquidation.products == products
        assert settings.liquidation.margin is margin


def test_a_symbol_in_the_file_must_be_of_a_product_in_scope(tmp_path: Path) -> None:
    """Such a run would close nothing and say so in no word."""
    text = refusal(tmp_path, "exchange: {products: [usdm]}\nliquidation:\n  symbols: [BTCUSD_PERP]")

    assert text == (
        "FILE:3: liquidation.symbols: BTCUSD_PERP is a COIN-M contract, but products has only usdm"
    )


def test_flags_narrow_what_the_file_has_in_scope(tmp_path: Path) -> None:
    """A flag that narrows never widens, and one that leaves nothing is wrong usage."""
    text = "liquidation: {symbols: [BTCUSDT, BTCUSD_PERP]}"

    narrowed = load(tmp_path, text, flags={"exchange.products": ["coinm"]})

    assert narrowed.liquidation.symbols == ("BTCUSD_PERP",)
    assert [*narrowed.liquidation.by_product] == [Product.COINM]
    for file, flags in (
        ("exchange: {products: [usdm]}", {"liquidation.symbols": ["BTC/USD:BTC"]}),
        ("", {"exchange.products": ["usdm"], "liquidation.symbols": ["BTCUSDT", "BTCUSD_PERP"]}),
        ("liquidation: {symbols: [BTCUSD_PERP]}", {"exchange.products": ["usdm"]}),
    ):
        with pytest.raises(UsageError, match="BTCUSD_PERP is a COIN-M contract"):
            load(tmp_path, file, flags=flags)


def test_all_problems_are_named_at_once_each_with_its_place(tmp_path: Path) -> None:
    """Nobody has time for one problem a try."""
    text = refusal(
        tmp_path,
        "liquidation:\n  timeout_secs: 5\n  max_retries: 11\nexchange:\n  recv_window_ms: 0",
        flags={"liquidation.timeout_seconds": 99.0},
        LIQCTL_LIQUIDATION__RETRY_DELAY_SECONDS="soon",
    )

    (unknown, window, timeout, retries, delay) = text.splitlines()
    assert unknown == (
        "FILE:2: liquidation.timeout_secs: unknown key; the nearest known is "
        "liquidation.timeout_seconds"
    )
    assert window.startswith("FILE:5: exchange.recv_window_ms: recv_window_ms must be between 1 ")
    assert timeout.startswith("--timeout: liquidation.timeout_seconds: timeout_seconds must be ")
    assert retries.startswith("FILE:3: liquidation.max_retries: max_retries must be between 0 ")
    assert delay == (
        "LIQCTL_LIQUIDATION__RETRY_DELAY_SECONDS: liquidation.retry_delay_seconds: "
        "retry_delay_seconds must be a number, got 'soon' (str)"
    )


@pytest.mark.parametrize(
    "text",
    [
        f"api_secret: {CANARY}",
        f"exchange:\n  apiKey: {CANARY}",
        f"liquidation:\n  api-key: {CANARY}",
        f"whatever: {CANARY}",
        f"notifications:\n  - token: {CANARY}",
        f"notifications: {{url: {CANARY}}}",
        f"exchange:\n  proxy: {{password: {CANARY}}}",
        f"exchange:\n  proxy: http://user:{CANARY}@host:1",
        f"exchange:\n  base_url: https://{CANARY}@127.0.0.1",
        f"liquidation:\n  symbols: {{key: {CANARY}}}",
        f"x: !!python/name:{CANARY} y",
        f"a: [{CANARY}",
    ],
)
def test_a_misplaced_secret_is_refused_and_never_shown(tmp_path: Path, text: str) -> None:
    """An error text ends in logs and chats."""
    assert CANARY not in refusal(tmp_path, text)


def test_unknown_variables_are_refused_without_their_value(tmp_path: Path) -> None:
    """A misspelt variable would leave the default in force in an emergency."""
    text = refusal(tmp_path, LIQCTL_TIMEOUT_SECONDS=CANARY, LIQCTL_API_KEYS=CANARY)

    assert CANARY not in text
    assert "LIQCTL_API_KEYS: unknown variable; the nearest known is LIQCTL_API_KEY" in text


@pytest.mark.parametrize(
    ("in_file", "in_variable", "as_flag"), list(itertools.product([False, True], repeat=3))
)
def test_flags_win_over_variables_over_the_file_over_defaults(
    tmp_path: Path, in_file: bool, in_variable: bool, as_flag: bool
) -> None:
    """The whole matrix: what is nearest to the operator's hands counts."""
    settings = load(
        tmp_path,
        "liquidation: {timeout_seconds: 7.0}" if in_file else "",
        flags={"liquidation.timeout_seconds": 9.0} if as_flag else {},
        **({"LIQCTL_LIQUIDATION__TIMEOUT_SECONDS": "8"} if in_variable else {}),
    )

    expected, kind = next(
        pair
        for given_there, pair in [
            (as_flag, (9.0, SourceKind.FLAG)),
            (in_variable, (8.0, SourceKind.VARIABLE)),
            (in_file, (7.0, SourceKind.FILE)),
            (True, (5.0, SourceKind.DEFAULT)),
        ]
        if given_there
    )
    assert settings.liquidation.timeout_seconds == expected
    assert settings.sources["liquidation.timeout_seconds"].kind is kind


def test_the_first_folder_that_has_the_file_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of the contract: a bot's own folder comes last."""
    monkeypatch.chdir(tmp_path)
    places = [tmp_path / "own", tmp_path / "home" / "liqctl", tmp_path / "configs"]
    environ = {"LIQCTL_CONFIG_DIR": str(places[0]), "XDG_CONFIG_HOME": str(tmp_path / "home")}
    for place in reversed(places):
        place.mkdir(parents=True)
        (place / "testnet.yaml").write_text("environment: testnet")

        found = load_settings(environment="testnet", config_file=None, flags={}, environ=environ)

        assert found.file is not None
        assert found.file.resolve() == place / "testnet.yaml"


def test_without_a_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The installed program works in an empty folder."""
    monkeypatch.chdir(tmp_path)

    found = load_settings(environment="simulator", config_file=None, flags={}, environ={})

    assert found.file is None
    assert {rule.key for rule in TABLE} == set(found.sources)


def test_no_environment_is_wrong_usage(tmp_path: Path) -> None:
    """There is no default: the wrong account would be worse than none."""
    with pytest.raises(UsageError, match="--env production, testnet or simulator"):
        load(tmp_path, "", environment=None)


def test_the_file_may_name_the_environment_but_not_contradict(tmp_path: Path) -> None:
    """A production file used with --env testnet is a mistake about to happen."""
    assert load(tmp_path, "environment: testnet", environment=None).environment == "testnet"
    assert "says production, but --env says testnet" in refusal(tmp_path, "environment: production")


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    """Defaults in place of a mistyped path would be a silent surprise."""
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        load_settings(environment="testnet", config_file=tmp_path / "no.yaml", flags={}, environ={})


def test_a_disarmed_switch_stays_disarmed_under_scope_flags(tmp_path: Path) -> None:
    """--orders-only on a disarmed account ends SKIPPED, not in a configuration error."""
    disarmed = "liquidation: {emergency_liquidation: false, close_positions: false, "
    flags = {"liquidation.close_positions": False, "liquidation.cancel_orders": True}

    settings = load(tmp_path, disarmed + "cancel_orders: false}", flags=flags)

    assert not settings.liquidation.emergency_liquidation
    assert not settings.liquidation.cancel_orders


def test_a_disarmed_switch_must_disarm_both_scopes_in_the_file(tmp_path: Path) -> None:
    """The text names both keys."""
    text = refusal(tmp_path, "liquidation: {emergency_liquidation: false}")

    assert "close_positions and cancel_orders must both be false" in text


@pytest.mark.parametrize(
    ("given_symbol", "expected"),
    [
        ("BTCUSDT", "BTCUSDT"),
        ("BTC/USDT:USDT", "BTCUSDT"),
        ("BTC/USDT", "BTCUSDT"),
        ("BTC/USDT:USDT-260925", "BTCUSDT_260925"),
        (" ETHUSDT ", "ETHUSDT"),
        ("BTCUSD_PERP", "BTCUSD_PERP"),
        ("BTC/USD:BTC", "BTCUSD_PERP"),
        ("btc/usd:btc-261225", "BTCUSD_261225"),
        ("BTCUSDT_260925", "BTCUSDT_260925"),
    ],
)
def test_symbols_become_the_venues(given_symbol: str, expected: str) -> None:
    """People copy symbols out of bots, which write ccxt's names."""
    assert normalise_symbol(given_symbol) == expected


def test_symbols_from_a_variable_are_separated_by_commas(tmp_path: Path) -> None:
    """A variable holds no list."""
    settings = load(tmp_path, LIQCTL_LIQUIDATION__SYMBOLS="BTCUSDT, ETH/USDT:USDT,")

    assert settings.liquidation.symbols == ("BTCUSDT", "ETHUSDT")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        "{a: " * 60_000,
        "- " * 100_000,
        "? " * 100_000,
        "a: &a [1]\nb: *a",
        "a: !!python/object/apply:os.system [id]",
        "a: !!binary aGk=",
        "audit: {log_dir: x}\naudit: {log_dir: y}",
        "a: 1\n---\nb: 2",
        "just a text",
        "- 1",
        "a: \x01",
        "#" * (FILE_MAX_BYTES + 1),
        "audit.log_dir: x",
        "? [a]\n: 1",
        "a: 2026-13-45",
    ],
)
def test_hostile_yaml_is_refused(tmp_path: Path, text: str) -> None:
    """A crash of the parser in C would take the kill switch along."""
    assert refusal(tmp_path, text).startswith("FILE")


def test_a_pipe_in_place_of_a_file_does_not_hang(tmp_path: Path) -> None:
    """Opening a FIFO without a writer waits for ever."""
    os.mkfifo(tmp_path / "fifo")

    with pytest.raises(ConfigurationError, match="is not a regular file"):
        load_settings(environment="testnet", config_file=tmp_path / "fifo", flags={}, environ={})


@pytest.mark.parametrize("environment", Environment)
def test_the_shipped_files_hold_every_setting_at_its_default(environment: Environment) -> None:
    """What the files show must be what the program does without them."""
    file = Path(__file__).parents[2] / "configs" / f"{environment}.yaml"
    shipped = load_settings(environment=environment, config_file=file, flags={}, environ={})

    assert {source.kind for source in shipped.sources.values()} == {SourceKind.FILE}
    assert SCHEMA.is_valid(yaml.safe_load(file.read_text()))
    assert file.read_text().startswith("# yaml-language-server: $schema=liqctl.schema.json\n")
    assert json.loads(file.with_name("liqctl.schema.json").read_text()) == json_schema()
    bare = Settings(environment=environment)
    assert (shipped.exchange, shipped.liquidation) == (bare.exchange, bare.liquidation)
    assert shipped.audit.log_dir == Path("logs"), "beside the file, where people look"


class WithoutAliases(yaml.SafeDumper):
    """Writes a value anew where it stands twice: the reader refuses aliases."""

    def ignore_aliases(self, data: object) -> bool:
        """Return that there are none."""
        return True


SCHEMA = Draft202012Validator(json_schema())

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 70_000),
    st.floats(),
    st.sampled_from(["usdm", "testnet", "", " ", "5", "logs", "BTCUSDT"]),
)
values: st.SearchStrategy[object] = st.one_of(
    scalars, st.lists(scalars, max_size=2), st.just([{"type": "x"}]), st.just({})
)
documents = st.fixed_dictionaries(
    {},
    optional={
        "environment": st.sampled_from(["testnet", None, "mars", 5]),
        "notifications": values,
        "other": scalars,
        **{
            section: st.dictionaries(
                st.sampled_from(
                    [
                        rule.name
                        for rule in TABLE
                        if rule.key.startswith(f"{section}.")
                        and rule.name not in {"base_url", "proxy"}
                    ]
                ),
                values,
                max_size=3,
            )
            for section in ("exchange", "liquidation", "audit")
        },
    },
)


@given(document=documents)
def test_every_document_is_read_or_refused_in_our_words(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, object]
) -> None:
    """Pydantic's own words name no place and show what may be a secret; none may get out."""
    file = tmp_path_factory.getbasetemp() / "document.yaml"
    file.write_text(yaml.dump(document, Dumper=WithoutAliases))
    try:
        load_settings(environment="testnet", config_file=file, flags={}, environ={})
    except ConfigurationError as error:
        for line in str(error).splitlines():
            assert re.match(
                r"(defaults|.*document\.yaml(:\d+)?): [a-z_.0-9\[\]]+: "
                r"([a-z_]+ must |unknown key|must be a section|close_positions |says |type must )",
                line,
            ), line
    else:
        loaded = {k: v for k, v in yaml.safe_load(file.read_text()).items() if v is not None}
        assert not [*SCHEMA.iter_errors(loaded)], "an editor would underline what is valid"


@given(text=st.text())
def test_any_text_is_read_or_refused_as_configuration(text: str) -> None:
    """Nothing else may come out of the reader."""
    try:
        parse(text, "FILE")
    except ConfigurationError as error:
        assert str(error).startswith("FILE")  # noqa: PT017 - either end is right


@given(text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_variable_is_read_or_refused_as_configuration(text: str) -> None:
    """The environment is others' words too."""
    names = [rule.variable for rule in TABLE if rule.key not in {"environment", "notifications"}]
    try:
        load_settings(
            environment="testnet",
            config_file=None,
            flags={},
            environ=dict.fromkeys(names, text) | {"LIQCTL_CONFIG_DIR": "/nonexistent"},
        )
    except ConfigurationError as error:
        assert str(error)  # noqa: PT017 - either end is right


@pytest.mark.parametrize(
    "notification",
    [
        {"url": "https://example.org", "headers": {"Authorization": "canary"}},
        {"auth": {"token": "canary"}},
        {"nested": [{"api_key": "canary"}]},
    ],
)
def test_a_secret_is_found_however_deep_it_stands(
    notification: dict[str, object], tmp_path: Path
) -> None:
    """A webhook's header is as secret as the key itself."""
    file = tmp_path / "testnet.yaml"
    file.write_text(json.dumps({"notifications": [notification]}))

    with pytest.raises(ConfigurationError) as caught:
        load_settings(environment="testnet", config_file=file, flags={}, environ={})

    assert "secrets are not allowed in the file" in str(caught.value)
    assert "canary" not in str(caught.value)


def test_a_folder_with_an_impossible_name_is_passed_over() -> None:
    """A wrong variable must not end the switch with a library's error."""
    environ = {"LIQCTL_CONFIG_DIR": "x" * 5000, "XDG_CONFIG_HOME": "/" + "y" * 300}

    settings = load_settings(environment="testnet", config_file=None, flags={}, environ=environ)

    assert settings.environment == "testnet"


@pytest.mark.parametrize(
    "text",
    [
        "exchange: {{product: {key}}}",
        "exchange: {{base_url: {key}}}",
        'exchange: {{base_url: "http://{key}.example"}}',
        'exchange: {{base_url: "https://{key}@fapi.binance.com"}}',
        "exchange: {{proxy: {key}}}",
        "exchange: {{recv_window_ms: {key}}}",
        "liquidation: {{timeout_seconds: {key}}}",
        "liquidation: {{emergency_liquidation: {key}}}",
        "liquidation: {{symbols: {key}}}",
        "environment: {key}",
        "audit: {{log_dir: [{key}]}}",
    ],
)
def test_a_key_pasted_into_the_wrong_place_is_not_echoed(tmp_path: Path, text: str) -> None:
    """The error that refuses a value goes to a terminal, into a mail, into a ticket."""
    key = "3f1cA8c0vjN1bq0y7Zf3mW9eT5kL2xQ8aS6dH4gJ7nR1uP0oI"

    shown = refusal(tmp_path, text.format(key=key))

    assert key[:20].lower() not in shown.lower()


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("hold_seconds: -1", "hold_seconds must be between 0.0 and 86400.0, got -1"),
        ("hold_seconds: '5'", "hold_seconds must be a number, got '5' (str)"),
        ("hold_seconds: .nan", "hold_seconds must be a number, got nan (float)"),
        ("heartbeat_seconds: 0.5", "heartbeat_seconds must be between 1.0 and 3600.0, got 0.5"),
        ("heartbeat_file: 3", "heartbeat_file must be text or null, got 3 (int)"),
        ("countdown_seconds: 9", "countdown_seconds must be between 10.0 and 600.0 or null, got 9"),
        ("countdown_seconds: true", "countdown_seconds must be a number or null, got True (bool)"),
        ("guards: 3", "guards must be a list of sections, got int"),
    ],
)
def test_what_an_armed_process_cannot_use_is_refused(tmp_path: Path, line: str, text: str) -> None:
    """In the words of the other settings, at the line where it stands."""
    told = refusal(tmp_path, f"arm:\n  {line}\n")

    assert told == f"FILE:2: arm.{line.partition(':')[0]}: {text}"


def test_every_problem_of_the_guards_is_told_at_once(tmp_path: Path) -> None:
    """A guard that is dropped in silence would not trip."""
    told = refusal(
        tmp_path,
        """arm:
  guards:
    - {rule: max_los, limit: 500}
    - {rule: max_loss}
    - {rule: max_drawdown, limit: 101}
    - {rule: max_notional, limit: "9", symbols: [BTCUSDT]}
    - {rule: max_position_notional, limit: 9, symbols: BTCUSDT, reading: 3}
    - {rule: min_margin_ratio, limit: -0.5, readings: 1}
    - {rule: max_orders_per_minute, limit: .nan, readings: 2.5}
""",
    )

    assert [line.partition(": arm.guards")[2] for line in told.splitlines()] == [
        (
            "[0].rule: rule must be one of max_loss, max_drawdown, max_notional, "
            "max_position_notional, min_margin_ratio, max_orders_per_minute; the nearest known is "
            "max_loss"
        ),
        "[1]: a max_loss guard needs limit",
        "[2].limit: limit must be between 0 and 100, got 101",
        "[3].limit: limit must be a number, got '9' (str)",
        "[3].symbols: unknown key of a max_notional guard",
        "[4].symbols: symbols must be a list of symbols, got 'BTCUSDT' (str)",
        "[4].reading: unknown key of a max_position_notional guard; the nearest known is readings",
        "[5].limit: limit must be between 0 and 1000, got -0.5",
        "[5].readings: readings must be between 2 and 20, got 1",
        "[6].limit: limit must be a number, got nan (float)",
        "[6].readings: readings must be a whole number, got 2.5 (float)",
    ]
    assert told.count("FILE:3: ") == 1


def test_guards_are_read_exactly_and_for_every_account(tmp_path: Path) -> None:
    """A tenth is a tenth; what is watched of an account without a name is watched of named ones."""
    read = load(
        tmp_path,
        """accounts: {desk-a: {symbols: [BTCUSDT]}}
arm:
  hold_seconds: 5
  heartbeat_file: /run/bot/alive
  countdown_seconds: 120
  guards:
    - {rule: max_drawdown, limit: 0.1, readings: 2}
    - {rule: max_position_notional, limit: 1000, symbols: ["BTC/USDT:USDT"]}
""",
        LIQCTL_ARM__HEARTBEAT_SECONDS="12.5",
        LIQCTL_ARM__COUNTDOWN_SECONDS="null",
    )

    assert read.of("desk-a").arm == read.arm
    assert read.arm == ArmSettings(
        hold_seconds=5.0,
        heartbeat_file=Path("/run/bot/alive"),
        heartbeat_seconds=12.5,
        countdown_seconds=None,
        guards=(
            Guard(rule=Rule.MAX_DRAWDOWN, limit=Decimal("0.1"), readings=2),
            Guard(
                rule=Rule.MAX_POSITION_NOTIONAL,
                limit=Decimal(1000),
                symbols=("BTCUSDT",),
                readings=3,
            ),
        ),
    )


def test_the_schema_knows_the_guards(tmp_path: Path) -> None:
    """Editors refuse what the reader refuses."""
    validator = Draft202012Validator(json_schema())
    right = {"rule": "max_loss", "limit": 500, "readings": 3}

    for wrong in (
        right | {"rule": "max_los"},
        right | {"symbols": ["BTCUSDT"]},
        right | {"readings": 1},
        {"rule": "max_loss"},
        right | {"rule": "max_drawdown"},
    ):
        assert not validator.is_valid({"arm": {"guards": [wrong]}})
    assert validator.is_valid({"arm": {"guards": [right]}})


@pytest.mark.parametrize(
    ("url", "environment", "text"),
    [
        ("wss://fstream.binance.com", "production", None),
        ("ws://127.0.0.1:9000", "production", None),
        ("ws://localhost:9000/", "simulator", None),
        ("wss://demo-fstream.binance.com", "testnet", None),
        ("https://fstream.binance.com", "production", "must be a URL such as wss://host:port"),
        ("ws://fstream.binance.com", "production", "must be wss, but for loopback addresses"),
        ("wss://evil.example", "production", "is not Binance's"),
        ("wss://demo-fstream.binance.com", "production", "which is the testnet"),
        ("wss://fstream.binance.com", "testnet", "which is production"),
        ("wss://evil.example", "simulator", "must be a loopback address"),
        ("wss://u:p@fstream.binance.com", "production", "must not hold a user name"),
    ],
)
def test_a_listen_key_goes_to_no_foreign_host(
    tmp_path: Path, url: str, environment: str, text: str | None
) -> None:
    """Whoever has it reads every order and position."""
    file = f"exchange: {{stream_url: '{url}'}}\n"

    if text is None:
        read = load(tmp_path, file, environment=environment)
        assert read.exchange.stream_base_url == url.rstrip("/")
    else:
        told = refusal(tmp_path, file, environment=environment)
        assert told.startswith("FILE:1: exchange.stream_url: stream_url ")
        assert text in told


def test_a_foreign_host_of_events_is_named_twice(tmp_path: Path) -> None:
    """As one of requests is."""
    read = load(
        tmp_path,
        "exchange: {stream_url: 'wss://gateway.example'}\n",
        environment="production",
        LIQCTL_ALLOW_HOST="gateway.example",
    )

    assert read.exchange.stream_base_url == "wss://gateway.example"


def test_events_come_from_the_host_of_the_requests() -> None:
    """A gateway for requests is one for events, unless another is named."""
    assert ExchangeSettings().stream_base_url is None
    assert ExchangeSettings(base_url="https://g.example").stream_base_url == "wss://g.example"
    assert ExchangeSettings(base_url="http://[::1]:1").stream_base_url == "ws://[::1]:1"
    named = ExchangeSettings(base_url="https://g.example", stream_url="wss://h.example")
    assert named.stream_base_url == "wss://h.example"
