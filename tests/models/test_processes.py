"""Two who record to one file, and processes that are forked."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from coterie.errors import ModelError
from coterie.errors.models import GatewayForked, RecordingDamaged, RecordingTaken
from coterie.models import ModelGateway, RecordingModel
from coterie.models.recording.file import read
from coterie.testing import ModelServer, ScriptedModel
from tests.models.asking import gateway_to, question


def test_a_second_gateway_does_not_record_to_the_file_of_another(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with ModelGateway(ScriptedModel(["one"]), record=path) as first:
        before = threading.active_count()
        for replay in (None, path):
            with pytest.raises(RecordingTaken, match=r"run\.jsonl is being recorded by another gateway: close that one first"):
                ModelGateway(ScriptedModel(["two"]), record=path, replay=replay)
        assert threading.active_count() == before
        assert first.ask_blocking(question(), 10).text == "one"
        with ModelGateway("openai:any", replay=path) as reader:
            assert reader.ask_blocking(question(), 10).text == "one"
    with ModelGateway(ScriptedModel(["two"]), record=path) as second:
        assert second.ask_blocking(question(), 10).text == "two"


def test_another_process_does_not_either_and_may_once_the_first_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    program = (
        "import sys\nfrom coterie.models import RecordingModel\nfrom coterie.testing import ScriptedModel\n"
        "kept = RecordingModel(ScriptedModel([]), sys.argv[1])\nprint('has it', flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen(  # noqa: S603 - ours
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "has it\n"
        with pytest.raises(RecordingTaken):
            RecordingModel(ScriptedModel([]), path)
        process.kill()
    RecordingModel(ScriptedModel([]), path).close()


def test_a_file_that_is_not_a_recording_is_closed_again(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes\n")
    for _ in range(2):
        with pytest.raises(RecordingDamaged):
            RecordingModel(ScriptedModel([]), path)
    gc.collect()
    assert path.read_text() == "my notes\n"


def in_a_child(work: Callable[[], str]) -> str:
    """Return what a function says in a forked process."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        try:
            os.write(into, work().encode())
        finally:
            os._exit(0)
    os.close(into)
    said = b"".join(iter(lambda: os.read(out, 65536), b""))
    os.close(out)
    os.waitpid(child, 0)
    return said.decode()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_gateway_raises_in_a_forked_child(server: ModelServer, tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with gateway_to(server, record=path) as gateway:
        gateway.ask_blocking(question("a"), 10)

        def ask() -> str:
            said = []
            for call in (
                lambda: gateway.ask_blocking(question("b"), 5),
                lambda: list(gateway.stream_blocking(question("b"), 5)),
                lambda: gateway.submit(question("b")),
            ):
                try:
                    call()
                except GatewayForked as error:
                    said.append(str(error))
            gateway.close()
            return "\n".join([*said, str(gateway.closed)])

        said = in_a_child(ask).splitlines()
        told = "the model gateway models was made by the parent of this process: make one here, or spawn instead of fork"
        assert said == [told, told, told, "True"]
        assert gateway.ask_blocking(question("c"), 10).text == "you said c"
        with pytest.raises(RecordingTaken):
            RecordingModel(ScriptedModel([]), path)
    replies = [entry.reply.text for entry in read(path).values() if entry.reply is not None]
    assert replies == ["you said a", "you said c"]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_does_not_write_to_the_recording_of_its_parent(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    recorded = RecordingModel(ScriptedModel(lambda _: "yes"), path)

    def ask() -> str:
        try:
            asyncio.run(recorded.ask(question()))
        except ModelError as error:
            return type(error).__name__
        return "written"

    before = path.read_bytes()
    assert in_a_child(ask) == "RecordingDamaged"
    assert path.read_bytes() == before
    recorded.close()


def test_a_gateway_that_looked_up_a_name_leaves_no_thread() -> None:
    with ModelServer() as server:
        url = server.url.replace("127.0.0.1", "localhost")
        for _ in range(30):
            before = set(threading.enumerate())
            gateway = ModelGateway("openai:any", base_url=url)
            gateway.ask_blocking(question(), 10)
            gateway.close()
            assert set(threading.enumerate()) <= before
