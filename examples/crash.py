"""A crash: the agent is rebuilt with its snapshot, its watcher is notified, and other agents are not affected."""

import logging

from coterie import Agent, AgentRestarted, Message, Request, Runtime, on


class Deposit(Message):
    coins: int


class Balance(Request[int]):
    pass


class Teller(Agent):
    def __init__(self) -> None:
        self.coins = 0

    @on
    def deposit(self, message: Deposit) -> None:
        if message.coins < 0:
            raise ValueError(f"{message.coins} coins")
        self.coins += message.coins

    @on
    def balance(self, message: Balance) -> int:
        return self.coins

    def snapshot(self) -> int:
        return self.coins

    def restore(self, state: int) -> None:
        self.coins = state


class Bank(Agent):
    async def on_start(self) -> None:
        teller = self.context.spawn(Teller, name="teller")
        self.context.watch(teller)
        for coins in (5, -1, 2):
            teller.tell(Deposit(coins=coins))
        print("balance:", await teller.ask(Balance()))

    @on
    def restarted(self, news: AgentRestarted) -> None:
        print(f"{news.agent.name} is back after {news.error}")


if __name__ == "__main__":
    # The traceback goes to the log; here we only want to see who is told.
    logging.getLogger("coterie").setLevel(logging.CRITICAL)
    with Runtime() as runtime:
        runtime.spawn(Bank)
