import subprocess
import sys

CODE = """
import atexit
from coterie.concurrency.exits import ExitOrder, register_exit_handler, unregister_exit_handler

class Holder:
    def __init__(self, name, loss=None):
        self.name, self.loss = name, loss

    def __repr__(self):
        return self.name

    def finish_at_exit(self):
        print(self.name)
        if isinstance(self.loss, BaseException):
            raise self.loss
        return self.loss

database, memory, runtime = Holder("database"), Holder("memory", {loss}), Holder("runtime")
register_exit_handler(database, ExitOrder.STORAGE)
register_exit_handler(memory, ExitOrder.MEMORY)
register_exit_handler(runtime, ExitOrder.AGENTS)
gone = Holder("gone")
register_exit_handler(gone, ExitOrder.WORK)
unregister_exit_handler(gone)
atexit.register(print, "of the program")
"""


def run(loss: str) -> tuple[int, list[str], str]:
    command = [sys.executable, "-c", CODE.replace("{loss}", loss)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)  # noqa: S603 - our own
    return done.returncode, done.stdout.split("\n")[:-1], done.stderr


ORDER = ["of the program", "runtime", "memory", "database"]


def test_makers_of_work_finish_before_those_that_do_it() -> None:
    assert run("None") == (0, ORDER, "")


def test_a_loss_is_told_and_changes_the_exit_status() -> None:
    assert run("'3 memories'") == (1, ORDER, "coterie: lost at the end of the program: 3 memories\n")


def test_a_handler_that_raises_does_not_keep_the_others_from_finishing() -> None:
    code, lines, err = run("KeyboardInterrupt('now')")
    assert (code, lines) == (1, ORDER)
    assert err == "coterie: lost at the end of the program: memory did not finish: KeyboardInterrupt: now\n"
