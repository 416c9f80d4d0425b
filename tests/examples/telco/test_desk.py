"""What the telephone company promises by its code, without a model and without a conversation."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from examples.telco.carrier.company import Company, key_of
from examples.telco.carrier.desk.changes import Order
from examples.telco.carrier.numbers import find, money, normal
from examples.telco.carrier.refusal import Refusal

from coterie.testing import ManualClock

ALICE, BOB = "+447700900101", "+447700900102"


class Desk:
    def __init__(self, path: Path) -> None:
        self.clock = ManualClock()
        self.sent: list[tuple[str, str]] = []
        self.company = Company.open(path, clock=self.clock, send=lambda *message: self.sent.append(message))

    def code(self) -> str:
        return "".join(each for each in self.sent[-1][1].split("code is ")[1][:6])

    def log_in(self, me: str, number: str) -> None:
        asyncio.run(self.company.identity.start(me, number))
        asyncio.run(self.company.identity.verify(me, number, self.code()))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "customers.db")
    yield desk
    desk.company.close()


@pytest.mark.parametrize("written", ["07700 900101", "+44 7700 900101", "0044 (7700) 900-101", "447700900101", "07700-900-101"])
def test_a_number_is_the_same_however_it_is_written(written: str) -> None:
    assert normal(written) == ALICE
    assert find(f"my number is {written}, please") == ALICE


@pytest.mark.parametrize("text", ["", "482913", "op-12", "in 2027 I paid 20.00", "+44", "abc"])
def test_text_that_is_not_a_number_is_not_read_as_one(text: str) -> None:
    assert find(text) is None


def test_money_is_written_as_people_write_it() -> None:
    assert (money(1205), money(-5), money(0)) == ("£12.05", "-£0.05", "£0.00")


def test_private_data_needs_a_login(desk: Desk) -> None:
    accounts, changes = desk.company.accounts, desk.company.changes
    for ask in (
        lambda: accounts.package("a", ALICE),
        lambda: accounts.balance("a", ALICE),
        lambda: accounts.addons("a", ALICE),
        lambda: accounts.bills("a", ALICE),
        lambda: changes.what_closing_means("a", ALICE),
        lambda: changes.what_changing_means("a", ALICE, "plus"),
        lambda: changes.what_buying_means("a", ALICE, "Spain", "europe-7"),
        lambda: asyncio.run(changes.close(Order("a", ALICE, "k1"))),
        lambda: asyncio.run(changes.change(Order("a", ALICE, "k2"), "plus")),
        lambda: asyncio.run(changes.buy(Order("a", ALICE, "k3"), "Spain", "europe-7")),
        lambda: asyncio.run(changes.set_alert(Order("a", ALICE, "k4"), 80, None)),
    ):
        with pytest.raises(Refusal, match="nobody is logged in here; log in first"):
            ask()


def test_one_customer_never_reaches_anothers_number(desk: Desk) -> None:
    desk.log_in("alices", ALICE)
    desk.log_in("bobs", BOB)
    assert desk.company.accounts.package("alices", ALICE)["name"] == "Alice Rossi"
    with pytest.raises(Refusal, match="is another's"):
        desk.company.accounts.package("alices", BOB)
    with pytest.raises(Refusal, match="is another's"):
        asyncio.run(desk.company.changes.close(Order("bobs", ALICE, "k")))
    with pytest.raises(Refusal, match="nobody is logged in"):
        desk.company.accounts.package("somebody", ALICE)


def test_a_code_that_was_sent_in_one_conversation_opens_no_other(desk: Desk) -> None:
    asyncio.run(desk.company.identity.start("mine", ALICE))
    with pytest.raises(Refusal, match="no code is waiting"):
        asyncio.run(desk.company.identity.verify("yours", ALICE, desk.code()))


def test_after_three_wrong_codes_the_right_one_does_not_help(desk: Desk) -> None:
    asyncio.run(desk.company.identity.start("a", ALICE))
    right = desk.code()
    wrong = "000000" if right != "000000" else "111111"
    for left in ("2 more tries", "1 more try", "no more tries"):
        with pytest.raises(Refusal, match=left):
            asyncio.run(desk.company.identity.verify("a", ALICE, wrong))
    with pytest.raises(Refusal, match="not good any more"):
        asyncio.run(desk.company.identity.verify("a", ALICE, right))


def test_a_code_and_a_session_end_with_time(desk: Desk) -> None:
    asyncio.run(desk.company.identity.start("a", ALICE))
    code = desk.code()
    desk.clock.advance(301)
    with pytest.raises(Refusal, match="not good any more"):
        asyncio.run(desk.company.identity.verify("a", ALICE, code))
    desk.log_in("a", ALICE)
    desk.clock.advance(3601)
    with pytest.raises(Refusal, match="nobody is logged in"):
        desk.company.accounts.package("a", ALICE)


def test_a_login_does_not_reveal_the_customers(desk: Desk) -> None:
    known = asyncio.run(desk.company.identity.start("a", ALICE))
    unknown = asyncio.run(desk.company.identity.start("b", "+447700900001"))
    assert known == unknown
    assert [number for number, _ in desk.sent] == [ALICE]


def test_only_so_many_codes_are_sent_to_a_number(desk: Desk) -> None:
    for me in "abcde":
        asyncio.run(desk.company.identity.start(me, ALICE))
    with pytest.raises(Refusal, match="5 codes an hour"):
        asyncio.run(desk.company.identity.start("f", ALICE))
    desk.clock.advance(3601)
    asyncio.run(desk.company.identity.start("f", ALICE))


@pytest.mark.parametrize(
    "work",
    [
        lambda changes, order: changes.close(order),
        lambda changes, order: changes.change(order, "Plus 60"),
        lambda changes, order: changes.buy(order, "Spain", "europe-7"),
        lambda changes, order: changes.set_alert(order, 80, None),
    ],
)
def test_the_same_key_twice_is_one_change(desk: Desk, work: Callable[..., Any]) -> None:
    desk.log_in("a", ALICE)
    order = Order("a", ALICE, "a:key")
    assert desk.company.changes.done("a:key") is None
    first = asyncio.run(work(desk.company.changes, order))
    again = asyncio.run(work(desk.company.changes, order))
    assert first == again == desk.company.changes.done("a:key")
    row = desk.company.database.row("SELECT count(*) FROM telco_changes")
    assert row == (1,)


def test_a_change_of_package_and_a_pass_can_be_taken_back_once(desk: Desk) -> None:
    desk.log_in("a", ALICE)
    before = desk.company.accounts.package("a", ALICE)
    asyncio.run(desk.company.changes.change(Order("a", ALICE, "k1"), "max"))
    asyncio.run(desk.company.changes.buy(Order("a", ALICE, "k2"), "France", "europe-30"))
    assert desk.company.accounts.package("a", ALICE) != before
    assert desk.company.accounts.balance("a", ALICE)["passes"]
    for key in ("k1", "k2"):
        assert asyncio.run(desk.company.changes.undo(key))
        assert not asyncio.run(desk.company.changes.undo(key))
        assert desk.company.changes.done(key) is None
    assert desk.company.accounts.package("a", ALICE) == before
    assert desk.company.accounts.balance("a", ALICE)["passes"] == []


def test_invalid_arguments_are_refused_with_the_possible_ones(desk: Desk) -> None:
    desk.log_in("a", ALICE)
    order, changes, catalogue = Order("a", ALICE, "k"), desk.company.changes, desk.company.catalogue
    refusals: tuple[tuple[Callable[[], Any], str], ...] = (
        (lambda: changes.change(order, "gold"), "there is no package 'gold'; there are Starter 5"),
        (lambda: changes.change(order, "everyday"), "the package is Everyday 20 already"),
        (lambda: changes.buy(order, "Japan", "europe-7"), "Japan is in World; choose one of world-7, world-30"),
        (lambda: changes.buy(order, "Spian", "europe-7"), "did you mean Spain"),
        (lambda: changes.set_alert(order, 101, None), "give 1 to 100"),
        (lambda: changes.set_alert(order, None, -1.0), "more than 0"),
    )
    for work, words in refusals:
        with pytest.raises(Refusal, match=words):
            asyncio.run(work())
    with pytest.raises(Refusal, match="data_gb = -1"):
        catalogue.recommend(-1, None, roaming=False)
    assert "nothing meets" in catalogue.recommend(100, 5, roaming=True)["why"]
    asyncio.run(changes.close(order))
    with pytest.raises(Refusal, match="closed already"):
        asyncio.run(changes.close(Order("a", ALICE, "another")))


def test_the_customers_outlive_the_process(tmp_path: Path) -> None:
    first = Desk(tmp_path / "customers.db")
    first.log_in("a", ALICE)
    asyncio.run(first.company.changes.change(Order("a", ALICE, "k"), "plus"))
    first.company.close()
    second = Desk(tmp_path / "customers.db")
    assert second.company.accounts.package("a", ALICE)["package"].startswith("Plus 60")
    second.company.close()


def test_odd_namespaces_stay_apart() -> None:
    odd = [
        ("a/b",),
        ("a", "b"),
        ("a%2Fb",),
        ("a/", "b"),
        ("a", "/b"),
        ("ü", "\N{SNOWMAN}"),
        ("'; DROP TABLE",),
        ("",),
        ("", ""),
    ]
    assert len({key_of(each) for each in odd}) == len(odd)
