"""Every scenario of the catalogue ends as its file promises, and no run does what none may do."""

import pytest

from liqctl.sim.scenario import list_scenarios, load_scenario
from tests.drills import drill


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", list_scenarios())
def test_a_scenario_ends_as_its_file_promises(name: str, seed: int) -> None:
    """The catalogue is what drills are judged by; each file is a case met on the real venue."""
    run = drill(load_scenario(name), seed=seed)

    assert not run.wrong, "\n".join([*run.wrong, *map(str, run.sink.events)])


@pytest.mark.parametrize("name", list_scenarios())
def test_a_scenario_is_described_in_one_line(name: str) -> None:
    """`liqctl simulator list` shows nothing but the name and this."""
    description = load_scenario(name).description

    assert 10 < len(description) < 120
    assert description.endswith((".", ".)"))


def test_the_same_seed_is_the_same_run() -> None:
    """A failing seed must be replayable event by event."""
    scenario = load_scenario("expired_partial")

    first, second = drill(scenario, seed=4), drill(scenario, seed=4)

    assert first.venue.account.journal.requests[0][0] == 1767225600025
    assert [at for at, *_ in first.venue.account.journal.requests] == [
        at for at, *_ in second.venue.account.journal.requests
    ]


def test_a_filled_close_is_not_sent_again_while_nothing_can_be_read() -> None:
    """The venue said it is closed; sending again would at best be refused, at worst counted."""
    run = drill(load_scenario("reads_stop_mid_run"))

    closes = [path for _, method, path, _ in run.venue.account.journal.requests if method == "POST"]
    assert closes == ["/fapi/v1/order", "/fapi/v1/order"]
