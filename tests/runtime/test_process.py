"""What a process with agents in it does at its end, and when it is interrupted."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

PREAMBLE = """
import sys, threading, time
from coterie import Agent, Message, Request, Runtime, on

class Work(Request[int]):
    seconds: float

class Note(Message):
    text: str

class LeaseWorker(Agent):
    @on
    def work(self, message: Work) -> int:
        print("working", flush=True)
        time.sleep(message.seconds)
        print("worked", flush=True)
        return 1

    @on
    def note(self, message: Note) -> None:
        print("noted", message.text, flush=True)

    def on_stop(self) -> None:
        print("stopped", flush=True)
"""


def start(program: str) -> "subprocess.Popen[str]":
    text = PREAMBLE + textwrap.dedent(program)
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: "subprocess.Popen[str]", timeout: float = 30.0) -> tuple[int, list[str], str]:
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out.split("\n")[:-1], err


def test_a_program_that_forgets_to_stop_is_stopped_and_drained_at_its_exit() -> None:
    code, lines, err = finish(
        start("""
        runtime = Runtime()
        worker = runtime.spawn(LeaseWorker)
        for n in range(3):
            worker.tell(Note(str(n)))
    """)
    )
    assert (code, lines, err) == (0, ["noted 0", "noted 1", "noted 2", "stopped"], "")


def test_a_program_that_ends_with_unhandled_messages_tells_of_them() -> None:
    code, lines, err = finish(
        start("""
        runtime = Runtime(stop_timeout=0.2)
        worker = runtime.spawn(LeaseWorker, name="sleepy")
        worker.tell(Work(60.0))
        worker.tell(Note("never"))
        time.sleep(0.1)
    """)
    )
    assert (code, lines) == (1, ["working"])
    assert "lost at the end of the program: coterie-" in err
    assert "within 0.2 s: 2 messages were not handled; sleepy was stuck" in err


def test_a_thread_that_is_stuck_does_not_keep_the_process_from_ending() -> None:
    began = time.perf_counter()
    code, lines, err = finish(
        start("""
        with Runtime(stop_timeout=0.3) as runtime:
            worker = runtime.spawn(LeaseWorker, name="sleepy")
            worker.ask(Work(60.0))
            time.sleep(0.2)
        print("ended")
    """)
    )
    assert time.perf_counter() - began < 20
    assert code == 0
    assert lines == ["working", "ended"]
    assert "sleepy: did not stop and was given up" in err
    assert "in work" in err


def test_an_interrupt_ends_the_wait_for_a_reply_and_stops_the_runtime() -> None:
    process = start("""
        with Runtime(stop_timeout=5.0) as runtime:
            worker = runtime.spawn(LeaseWorker)
            worker.ask(Work(0.5)).result()
            worker.ask(Work(0.5)).result()
            worker.ask(Work(60.0)).result()
    """)
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    process.send_signal(signal.SIGINT)
    code, lines, err = finish(process)
    assert code in (-signal.SIGINT, 1, 130)
    assert lines == ["worked", "stopped"]
    assert "KeyboardInterrupt" in err
    assert "given up" not in err


def test_an_interrupt_of_the_end_ends_at_once() -> None:
    process = start("""
        runtime = Runtime(stop_timeout=60.0)
        worker = runtime.spawn(LeaseWorker)
        worker.ask(Work(60.0))
        time.sleep(0.2)
        print("stopping", flush=True)
        try:
            runtime.stop()
        except KeyboardInterrupt:
            print("interrupted", flush=True)
            sys.stdout.flush()
            import os
            os._exit(7)
    """)
    assert process.stdout is not None
    while process.stdout.readline() != "stopping\n":
        pass
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    code, lines, _ = finish(process)
    assert (code, lines) == (7, ["interrupted"])


def test_handlers_may_print_log_and_use_the_standard_library_until_the_end() -> None:
    code, lines, err = finish(
        start("""
        import logging
        logging.basicConfig(level=logging.INFO, format="%(name)s %(message)s", stream=sys.stdout)

        class Talker(LeaseWorker):
            @on
            def note(self, message: Note) -> None:
                self.context.log.info("heard %s", message.text)

        with Runtime() as runtime:
            runtime.spawn(Talker, name="talker").tell(Note("hello"))
    """)
    )
    assert (code, err) == (0, "")
    assert lines == ["coterie.agents talker: heard hello", "stopped"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_runtime_can_be_made_after_a_fork() -> None:
    code, lines, _ = finish(
        start("""
        import os
        with Runtime() as runtime:
            runtime.spawn(LeaseWorker).ask(Work(0.0)).result(5)
        pid = os.fork()
        if pid == 0:
            with Runtime() as runtime:
                runtime.spawn(LeaseWorker).ask(Work(0.0)).result(5)
            os._exit(3)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """)
    )
    assert code == 0
    assert lines[-1] == "3"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_has_a_stopped_copy_that_answers_no_asks_and_ends_at_once() -> None:
    code, lines, _ = finish(
        start("""
        import os
        from coterie import RuntimeStopped
        runtime = Runtime()
        worker = runtime.spawn(LeaseWorker)
        worker.ask(Work(0.0)).result(5)
        pid = os.fork()
        if pid == 0:
            began = time.monotonic()
            try:
                worker.ask(Work(0.0), timeout=1).result(5)
            except RuntimeStopped:
                assert not worker.is_alive
                runtime.stop()
                sys.exit(3 if time.monotonic() - began < 1 else 4)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        runtime.stop()
    """),
        10.0,
    )
    assert code == 0
    assert lines == ["working", "worked", "3", "stopped"]


def test_a_stop_that_was_interrupted_goes_on_and_can_be_waited_for_again() -> None:
    code, lines, err = finish(
        start("""
        import os, signal
        runtime = Runtime()
        worker = runtime.spawn(LeaseWorker)
        worker.tell(Work(1.0))
        threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
        try:
            runtime.stop()
        except KeyboardInterrupt:
            print("interrupted", runtime.wait(0), flush=True)
        print(runtime.stop(), runtime.wait(0), worker.is_alive)
        print([thread.name for thread in threading.enumerate()])
    """)
    )
    report = "StopReport(drained=True, stuck=()) True False"
    assert (code, lines) == (0, ["working", "interrupted False", "worked", "stopped", report, "['MainThread']"]), err


def test_a_long_stop_names_the_agents_that_it_waits_for() -> None:
    _, lines, err = finish(
        start("""
        with Runtime() as runtime:
            runtime.spawn(LeaseWorker, name="slow").tell(Work(2.5))
    """)
    )
    assert lines == ["working", "worked", "stopped"]
    assert "still stops; not at rest yet: slow" in err
