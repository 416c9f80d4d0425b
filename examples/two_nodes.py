"""Two runtimes reach each other's agents by address, over a transport; here a lossy one."""

from coterie import Agent, AskTimeout, Request, Runtime, on
from coterie.testing import LossyTransport


class Double(Request[int]):
    number: int


class Mathematician(Agent):
    @on
    def double(self, message: Double) -> int:
        return 2 * message.number


def main() -> None:
    wire = LossyTransport(seed=1, drop=0.1, duplicate=0.1, reorder=0.1)
    with Runtime("here", transport=wire) as here, Runtime("there", transport=wire) as there:
        address = str(there.spawn(Mathematician, name="ada").address)
        ada = here.reference(address)
        answered = lost = 0
        for reply in [ada.ask(Double(number=n), timeout=0.5) for n in range(100)]:
            try:
                reply.result()
                answered += 1
            except AskTimeout:
                lost += 1
        print(f"answered {answered}, lost {lost}, in all {answered + lost}")


if __name__ == "__main__":
    main()
