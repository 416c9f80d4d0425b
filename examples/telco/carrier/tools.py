"""The tools of the assistant. They are thin: the desk below them, or the runtime, enforces the rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from coterie.conversation import Effect, Finding, Secret, Tool, ToolContext, tool

from .company import Company, key_of
from .desk.changes import Order
from .numbers import same
from .refusal import Refusal
from .rules.phrases import report

CLOSING = (
    (0.1, "checking the balance"),
    (0.3, "looking up the contract"),
    (0.5, "releasing the number"),
    (0.7, "making the final bill"),
    (0.9, "closing the contract"),
)
CHANGING = (
    (0.1, "checking the new package"),
    (0.3, "ending the old package"),
    (0.5, "setting up the network"),
    (0.7, "writing the new contract"),
    (0.9, "switching over"),
)
BUYING = (
    (0.1, "checking the destination"),
    (0.35, "taking the payment"),
    (0.6, "telling the networks abroad"),
    (0.85, "activating the pass"),
)
BILLING = (
    (0.1, "asking the billing system"),
    (0.4, "asking the usage records"),
    (0.75, "putting it together"),
)
STEP = 2.0
"""Seconds of each step; the tools take 10, 10, 8 and 6 seconds in total."""


def _company(context: ToolContext) -> tuple[Company, str]:
    return context.use(Company), key_of(context.namespace)


async def _steps(context: ToolContext, company: Company, steps: tuple[tuple[float, str], ...]) -> None:
    for fraction, line in steps:
        await context.progress(fraction, line)
        await company.elsewhere(STEP)


def _or_reason(look: Callable[[], object]) -> str | None:
    try:
        look()
    except Refusal as refusal:
        return str(refusal)
    return None


Language = Literal["en", "de"]


# Who one is.


async def start_login(context: ToolContext, number: str) -> str:
    """Send a one-time code by text message to a telephone number, to log the customer in.

    Args:
        number: The telephone number, as the customer said it.
    """
    company, me = _company(context)
    return await company.identity.start(me, number)


async def verify_login(context: ToolContext, number: str, code: Annotated[str, Secret]) -> str:
    """Log the customer in with the code that was sent.

    Args:
        number: The number that the code was sent to.
        code: The 6 digits that the customer read.
    """
    company, me = _company(context)
    return await company.identity.verify(me, number, code)


def speaks_for(context: ToolContext, number: str) -> str | None:
    """Return the reason why this conversation may not act for a number, or None. The guard of all private tools."""
    company, me = _company(context)
    return _or_reason(lambda: company.database.read(lambda view: company.identity.require(view, me, number)))


# What anybody may ask.


def list_available_packages(context: ToolContext) -> list[str]:
    """List the packages that there are, with data, minutes, roaming, price and length of contract."""
    return _company(context)[0].catalogue.packages()


def recommend_packages(
    context: ToolContext, data_gb: float | None = None, budget: float | None = None, *, roaming: bool = False
) -> dict[str, Any]:
    """Recommend packages for a need.

    Args:
        data_gb: GB of data that are needed a month.
        budget: Pounds to spend a month at most.
        roaming: Whether roaming should be included.
    """
    return _company(context)[0].catalogue.recommend(data_gb, budget, roaming=roaming)


def get_roaming_info(context: ToolContext, country: str) -> dict[str, Any]:
    """Tell what using the telephone in a country costs, and which roaming passes there are for it.

    Args:
        country: The country, in English.
    """
    return _company(context)[0].catalogue.roaming(country)


# What a customer has.


def get_current_package(context: ToolContext, number: str) -> dict[str, Any]:
    """Tell the package, the contract and the credit of the customer who is logged in.

    Args:
        number: The customer's own telephone number.
    """
    company, me = _company(context)
    return company.accounts.package(me, number)


def get_data_balance(context: ToolContext, number: str) -> dict[str, Any]:
    """Tell how much data the customer has used and has left this month.

    Args:
        number: The customer's own telephone number.
    """
    company, me = _company(context)
    return company.accounts.balance(me, number)


def list_addons(context: ToolContext, number: str) -> dict[str, Any]:
    """List the add-ons that the customer has, and those that can be had.

    Args:
        number: The customer's own telephone number.
    """
    company, me = _company(context)
    return company.accounts.addons(me, number)


async def get_billing_summary(context: ToolContext, number: str, language: Language = "en") -> dict[str, Any]:  # noqa: ARG001 - for the report
    """Put together the latest bills from the billing systems. Takes a while.

    Args:
        number: The customer's own telephone number.
        language: The language of the customer.
    """
    company, me = _company(context)
    await _steps(context, company, BILLING)
    return company.accounts.bills(me, number)


# What may be changed.


async def set_data_alerts(
    context: ToolContext, number: str, percent: int | None = None, gigabytes_left: float | None = None
) -> str:
    """Set when the customer is told that the data runs out. With neither limit, alerts are switched off.

    Args:
        number: The customer's own telephone number.
        percent: Tell when that much of the data is used, 1 to 100.
        gigabytes_left: Tell when only so many GB are left.
    """
    company, me = _company(context)
    return await company.changes.set_alert(_order(context, me, number), percent, gigabytes_left)


async def close_contract(context: ToolContext, number: str, language: Language = "en") -> str:  # noqa: ARG001 - for the report
    """Close the customer's contract, for good. Takes a while.

    Args:
        number: The customer's own telephone number.
        language: The language of the customer.
    """
    company, me = _company(context)
    await _steps(context, company, CLOSING)
    await context.point_of_no_return()
    return await company.changes.close(_order(context, me, number))


async def change_package(context: ToolContext, number: str, package: str, language: Language = "en") -> str:  # noqa: ARG001 - for the report
    """Move the customer to another package, with a new contract. Takes a while.

    Args:
        number: The customer's own telephone number.
        package: The name of the new package.
        language: The language of the customer.
    """
    company, me = _company(context)
    await _steps(context, company, CHANGING)
    await context.point_of_no_return()
    return await company.changes.change(_order(context, me, number), package)


async def purchase_roaming_pass(
    context: ToolContext,
    number: str,
    country: str,
    roaming_pass: str,
    language: Language = "en",  # noqa: ARG001 - for the report
) -> str:
    """Buy a roaming pass for a journey. Takes a while.

    Args:
        number: The customer's own telephone number.
        country: Where the customer is going, in English.
        roaming_pass: The id of the pass, such as europe-7.
        language: The language of the customer.
    """
    company, me = _company(context)
    await _steps(context, company, BUYING)
    await context.point_of_no_return()
    return await company.changes.buy(_order(context, me, number), country, roaming_pass)


def _order(context: ToolContext, me: str, number: str) -> Order:
    return Order(me, number, f"{me}:{context.idempotency_key}", permitted=True)


def _what_closing_means(context: ToolContext, number: str) -> str:
    company, me = _company(context)
    return company.changes.what_closing_means(me, number)


def _what_changing_means(context: ToolContext, number: str, package: str) -> str:
    company, me = _company(context)
    return company.changes.what_changing_means(me, number, package)


def _what_buying_means(context: ToolContext, number: str, country: str, roaming_pass: str) -> str:
    company, me = _company(context)
    return company.changes.what_buying_means(me, number, country, roaming_pass)


def was_done(context: ToolContext) -> Finding:
    """Find in the company's record whether a change was made before the process died."""
    company, me = _company(context)
    said = company.changes.done(f"{me}:{context.idempotency_key}")
    # A change without a line there has not happened, and its key prevents a second one.
    return Finding.resume() if said is None else Finding.done(said)


async def take_back(context: ToolContext) -> None:
    """Undo a change that was cancelled when it was made already."""
    company, me = _company(context)
    await company.changes.undo(f"{me}:{context.idempotency_key}")


# Two notations of a number are the same resource.


def _line(number: str, **_: object) -> list[str]:
    return [f"line {same(number)}"]


def _account(number: str, **_: object) -> list[str]:
    return [f"account {same(number)}", f"line {same(number)}"]


def _bills(number: str, **_: object) -> list[str]:
    return [f"bills {same(number)}"]


def _alerts(number: str, **_: object) -> list[str]:
    return [f"alerts {same(number)}"]


def tools(time_scale: float) -> list[Tool]:
    """Return the thirteen tools; every conversation also has the built-in `check_status`."""
    read, write = Effect.READ, Effect.WRITE
    ten, eight, six = (seconds * time_scale for seconds in (10, 8, 6))
    changing: dict[str, Any] = {
        "effect": write,
        "guard": speaks_for,
        "check": was_done,
        "idempotent": True,
        "long_running": True,
        "report": report,
    }
    return [
        tool(effect=write, resources=["login"], second_lane=True)(start_login),
        tool(effect=write, resources=["login"], second_lane=True)(verify_login),
        tool(effect=read)(list_available_packages),
        tool(effect=read)(recommend_packages),
        tool(effect=read)(get_roaming_info),
        tool(effect=read, guard=speaks_for, resources=_account)(get_current_package),
        tool(effect=read, guard=speaks_for, resources=_line)(get_data_balance),
        tool(effect=read, guard=speaks_for, resources=_line)(list_addons),
        tool(effect=read, guard=speaks_for, resources=_bills, long_running=True, expected=six, report=report)(
            get_billing_summary
        ),
        tool(effect=write, guard=speaks_for, resources=_alerts, check=was_done, idempotent=True)(set_data_alerts),
        tool(**changing, resources=_account, expected=ten, confirm=_what_closing_means)(close_contract),
        tool(**changing, resources=_account, expected=ten, confirm=_what_changing_means, compensate=take_back)(change_package),
        tool(**changing, resources=_line, expected=eight, confirm=_what_buying_means, compensate=take_back)(
            purchase_roaming_pass
        ),
    ]
