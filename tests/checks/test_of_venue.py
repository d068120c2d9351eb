"""What validate finds of several accounts: theirs by name, what they share once."""

from liqctl.checks import Area, Level, info, warning
from liqctl.checks.of_venue import issues_of_accounts_online, issues_of_sub_accounts
from liqctl.checks.preflight import Coverage
from liqctl.kernel.requests import SubAccount
from liqctl.kernel.states import Environment


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


def test_a_sub_account_is_named_by_its_remark_and_never_by_its_email() -> None:
    """Emails are personal, also one that somebody wrote into a remark."""
    uncovered = (
        (SubAccount(email="grid-bot@example.com", remark="grid", is_frozen=True), 2),
        (SubAccount(email="x@example.com", remark="of anna@example.com"), None),
    )
    coverage = Coverage(uncovered=uncovered, listed=5)

    (issue,) = issues_of_sub_accounts(Environment.PRODUCTION, coverage)

    assert issue.level is Level.WARNING
    assert issue.message == (
        "2 of 5 sub-accounts of the master key have no account here, so nothing closes them: "
        'gr…@… ("grid", frozen, 2 positions), x…@… ("of an…@…", positions not read)'
    )


def test_of_many_uncovered_sub_accounts_some_are_named() -> None:
    """A screen has an end."""
    uncovered = tuple((SubAccount(email=f"desk-{n}@example.com"), 0) for n in range(11))
    (issue,) = issues_of_sub_accounts(
        Environment.PRODUCTION, Coverage(uncovered=uncovered, listed=11)
    )
    assert issue.message.endswith("and 3 more")


def test_what_is_known_is_said_beside_what_is_not() -> None:
    """A page that could not be read hides no uncovered account of the others."""
    coverage = Coverage(
        uncovered=((SubAccount(email="desk@example.com"), 1),), listed=3, problem="no answer"
    )
    levels = [each.level for each in issues_of_sub_accounts(Environment.SIMULATOR, coverage)]
    assert levels == [Level.INFO, Level.WARNING]
