"""A blocked agent delays no other: while some sleep in their handlers, others answer within milliseconds."""

import statistics
import time

from coterie import Agent, Message, Request, Runtime, on


class Sleep(Message):
    seconds: float


class Ping(Request[None]):
    pass


class Worker(Agent):
    @on
    def sleep(self, message: Sleep) -> None:
        time.sleep(message.seconds)  # holds its thread; a good citizen would use self.context.run_blocking

    @on
    def ping(self, message: Ping) -> None: ...


def main() -> None:
    with Runtime() as runtime:
        for _ in range(50):
            runtime.spawn(Worker).tell(Sleep(seconds=1.0))
        awake = [runtime.spawn(Worker) for _ in range(50)]
        times = []
        for _ in range(10):
            for agent in awake:
                began = time.perf_counter()
                agent.ask(Ping()).result()
                times.append(time.perf_counter() - began)
        sleeping = sum(health.state == "busy" for health in runtime.health().values())
        print(f"{sleeping} agents sleep; the others answer in {statistics.median(times) * 1000:.1f} ms")


if __name__ == "__main__":
    main()
