"""What validate finds of several accounts: theirs by name, what they share once."""

from liqctl.checks.issue import Area, info, warning
from liqctl.checks.of_venue import issues_of_accounts_online


def test_what_accounts_share_is_said_once_as_the_best_of_them_measured_it() -> None:
    """Each asks while all others do: the weight and the delay that it sees are theirs."""
    clock, key = (info(Area.SECURITY, f"online.{each}", "fine") for each in ("clock", "key"))
    lock = warning(Area.DEPLOYMENT, "lock", "no folder", "make one")
    busy = warning(Area.PERFORMANCE, "online.weight", "others used 2000", "slow them down")
    idle = info(Area.PERFORMANCE, "online.weight", "others used 5")
    dead = warning(Area.DEPLOYMENT, "online.reachable", "no answer", "look")
    alive = info(Area.DEPLOYMENT, "online.reachable", "asked")

    found = issues_of_accounts_online(
        {"a": [dead, busy, clock, lock], "b": [alive, idle, clock, key, lock]}
    )

    assert [issue.field for issue in found] == [
        "accounts.a.online.reachable",
        "online.clock",
        "lock",
        "online.reachable",
        "online.weight",
        "accounts.b.online.key",
    ]


def test_an_account_without_a_name_keeps_its_fields() -> None:
    """As ever."""
    issue = info(Area.SECURITY, "online.key", "fine")

    assert list(issues_of_accounts_online({None: [issue]})) == [issue]
