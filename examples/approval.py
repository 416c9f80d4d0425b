"""A payment awaits approval: a person changes the amount, another approves it, and only then it runs."""

import asyncio

from coterie.conversation import Conversation, Operation, tool
from coterie.errors import ApprovalForbidden, TransitionRefused
from coterie.models import ModelReply, ModelRequest, RuleModel, TextMessage, ToolCall


def only_the_treasurer(operation: Operation, person: str) -> bool | str:
    """Say who may approve a payment."""
    small = operation.arguments["amount"] <= 10
    return small or person == "treasurer" or f"{operation.arguments['amount']} needs the treasurer"


@tool(confirm="May I pay this?", approver=only_the_treasurer, resources=["account"])
def pay(to: str, amount: int) -> str:
    """Pay an amount."""
    return f"{amount} paid to {to}."


def answer(request: ModelRequest) -> ModelReply | str:
    """Stand in for a language model: it knows one thing to do."""
    last = request.exchanges[-1]
    if isinstance(last, TextMessage) and "pay" in last.text:
        return ModelReply(calls=(ToolCall("1", "pay", {"to": "the baker", "amount": 500}),))
    return "The treasurer is asked." if not isinstance(last, TextMessage) else "Yes?"


async def main() -> None:
    async with Conversation(RuleModel(answer, name="clerk"), [pay], user="ann") as chat:
        print("clerk:", await chat.send("pay the baker 500").answer())
        (waiting,) = chat.operations(unfinished=True)
        print(waiting.id, waiting.state, waiting.arguments["amount"])
        try:
            await chat.approve(waiting)
        except ApprovalForbidden as error:
            print("ann:", error)
        changed = await chat.edit(waiting, {"to": "the baker", "amount": 50}, person="treasurer")
        try:
            await chat.approve(waiting, person="treasurer")  # consent to 500 is no consent to 50
        except TransitionRefused as error:
            print("treasurer:", error)
        await chat.approve(changed, person="treasurer")
        await chat.settle()
        print("clerk:", chat.transcript()[-1].text)


if __name__ == "__main__":
    asyncio.run(main())
