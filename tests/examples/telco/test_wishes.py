"""Several ways of saying a thing are understood, and nothing is understood as more than it says."""

import pytest
from examples.telco.carrier.rules.wishes import understand


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("close my contract", "close_contract"),
        ("I'd like to terminate the subscription", "close_contract"),
        ("please cancel my contract", "close_contract"),
        ("how much data do I have left?", "get_data_balance"),
        ("what's my balance", "get_data_balance"),
        ("show me my bill", "get_billing_summary"),
        ("what was I charged last month?", "get_billing_summary"),
        ("what packages do you offer", "list_available_packages"),
        ("which plans are there?", "list_available_packages"),
        ("what is my package?", "get_current_package"),
        ("recommend me something", "recommend_packages"),
        ("I need 50 GB a month for under £25", "recommend_packages"),
        ("switch me to Plus 60", "change_package"),
        ("upgrade to max please", "change_package"),
        ("what does roaming in Spain cost?", "get_roaming_info"),
        ("I am travelling to Japan", "get_roaming_info"),
        ("buy a roaming pass for Italy", "purchase_roaming_pass"),
        ("I need a pass for a week in France", "purchase_roaming_pass"),
        ("which add-ons do I have", "list_addons"),
        ("warn me at 80 %", "set_data_alerts"),
        ("how far is it?", "status"),
        ("is it done yet?", "status"),
        ("any news?", "status"),
        ("what's happening", "status"),
        ("cancel it", "cancel"),
        ("stop the purchase", "cancel"),
        ("never mind", "cancel"),
        ("my number is 07700 900101", "log_in"),
        ("07700 900101", "log_in"),
        ("hello", "greeting"),
        ("thanks!", "thanks"),
        ("what can you do?", "help"),
        ("the weather is fine", ""),
    ],
)
def test_a_wish_is_understood(text: str, kind: str) -> None:
    assert understand(text).kind == kind


def test_details_are_understood() -> None:
    wish = understand("I need 50 GB for at most £25, with 80 % alert, for 10 days in the USA, europe-7 or Plus 60, op-3")
    assert (wish.gigabytes, wish.pounds, wish.percent, wish.days) == (50, 25, 80, 10)
    assert (wish.country, wish.roaming_pass, wish.package, wish.operation) == ("United States", "europe-7", "Plus 60", "op-3")


@pytest.mark.parametrize("text", ["482913", "it's 482 913", "my code is 482913", "the code is 4829-13."])
def test_a_code_is_understood(text: str) -> None:
    assert understand(text).code == "482913"


@pytest.mark.parametrize("text", ["yes", "Yes, please", "ok", "go ahead", "sure thing", "I am sure"])
def test_a_yes_is_a_yes(text: str) -> None:
    assert (understand(text).yes, understand(text).no) == (True, False)


@pytest.mark.parametrize("text", ["no", "No thanks", "not now", "wait", "don't", "rather not"])
def test_a_no_is_a_no(text: str) -> None:
    assert (understand(text).yes, understand(text).no) == (False, True)


@pytest.mark.parametrize("text", ["maybe", "what does it cost?", "yesterday I paid", "", "\N{SNOWMAN}" * 1000, "(" * 5000])
def test_a_text_that_is_neither_yes_nor_no_decides_nothing(text: str) -> None:
    assert not understand(text).yes
    assert not understand(text).no
