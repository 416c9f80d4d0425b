"""Parts of the cluster that need no Ray: the directory, placement, homes, queues, arguments, the token, and the files in `deploy`."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import yaml  # type: ignore[import-untyped]

from coterie import AgentRef, Dedicated, Leased, MailboxPolicy, Message, Runtime, Supervision
from coterie.cli.connecting import use_token_file
from coterie.cluster import Cluster, arguments, machine, rays
from coterie.cluster import cluster as cluster_module
from coterie.cluster.directory import Directory
from coterie.cluster.limits import LinkLimits
from coterie.cluster.membership import Membership
from coterie.cluster.placement import Homes, Placement, Placer
from coterie.cluster.security import make_token, use_token
from coterie.cluster.wire import ClusterMember, ClusterSettings, ClusterView, MemberReport, decode, encode
from coterie.errors import DefinitionError, InvalidSetting, MessageTooLarge, TransportError
from coterie.errors.cluster import ClusterError, ClusterUnavailable, NoNodeBeside, NoNodeFits, UnknownNode
from coterie.errors.definition import DecodeFailed
from coterie.kernel import Codec
from coterie.kernel.codec import Extension
from coterie.messaging.frame_queue import FrameQueue
from tests.cluster.people import Bump, Counter, Start

DEPLOY = Path(__file__).parents[2] / "deploy"


def member(name: str, turn: int = 1, **more: Any) -> ClusterMember:
    return ClusterMember(name, f"{name}-{turn}", actor=f"actor-{name}", machine=f"machine-{name}", lease=1.0, **more)


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_silent_member_is_lost_and_does_not_come_back() -> None:
    time = Time()
    directory = Directory(ClusterSettings(lost_after=5.0), time)
    for name in ("a", "b"):
        directory.report(MemberReport(member(name), names={}))
    assert directory.take_name("x", member("a")) == (True, None)
    directory.set_address("x", "a-1", "coterie://a-1/x#1")
    for time.now in (2.0, 4.0):
        directory.expire()
    directory.report(MemberReport(member("b")))
    time.now = 6.0
    directory.expire()
    assert [each.name for each in directory.view().members] == ["b"]
    assert directory.holder("x") is None
    view = directory.report(MemberReport(member("a")))
    assert view.lost
    assert "silent for 6.0 s" in view.verdict
    assert not directory.report(MemberReport(member("a", 2))).verdict


def test_a_node_on_a_dead_machine_is_lost_at_once_and_a_new_runtime_replaces_the_earlier() -> None:
    directory = Directory(ClusterSettings(), Time())
    for name in ("a", "b"):
        directory.report(MemberReport(member(name), names={}))
    directory.expire(["machine-b"])
    directory.report(MemberReport(member("b", 2)))
    assert [each.runtime for each in directory.view().members] == ["b-2"]


def test_a_new_directory_gives_out_no_name_before_it_knows_those_of_all_nodes() -> None:
    directory = Directory(ClusterSettings(), Time(), expected=["actor-a", "actor-b"])
    assert directory.report(MemberReport(member("a"))).wants_names
    # It may not know all classes either, so a node that begins now takes no keys yet.
    assert not directory.report(MemberReport(member("a"), names={})).settled
    assert directory.take_name("x", member("a")) == (False, None)
    assert directory.report(MemberReport(member("b"), names={"x": "coterie://b-1/x#1"})).settled
    given, holder = directory.take_name("x", member("a"))
    assert not given
    assert holder is not None
    assert holder.node == "b"


def test_a_new_directory_learns_from_the_first_report_who_is_alive_and_who_has_left() -> None:
    time = Time()
    directory = Directory(ClusterSettings(lost_after=5.0), time)
    directory.report(MemberReport(member("z"), names={}))
    whole = MemberReport(
        member("a"), names={}, members=[member("b"), member("z")], gone=["z-1", "c-1"], classes=["bank:Account"]
    )
    view = directory.report(whole)
    assert [each.name for each in view.members] == ["a", "b"]
    assert view.classes == ["bank:Account"]
    # Its name is not given out before `b` has said which it holds.
    assert directory.take_name("x", member("a")) == (False, None)
    assert directory.report(MemberReport(member("c"))).lost
    assert not directory.report(MemberReport(member("c", 2), names={})).verdict
    time.now = 2.0
    directory.expire()
    directory.report(MemberReport(member("a")))
    directory.report(MemberReport(member("c", 2)))
    for time.now in (4.0, 5.5):
        directory.expire()
    assert [each.runtime for each in directory.view().members] == ["a-1", "c-2"]


def test_a_late_report_frees_no_name_that_another_agent_has_taken_since() -> None:
    directory = Directory(ClusterSettings(), Time())
    directory.report(MemberReport(member("a"), names={}))
    for number in (1, 2):
        assert directory.take_name("x", member("a")) == (True, None)
        directory.set_address("x", "a-1", f"coterie://a-1/x#{number}")
        if number == 1:
            directory.report(MemberReport(member("a"), [("x", "coterie://a-1/x#1")]))
    directory.report(MemberReport(member("a"), [("x", "coterie://a-1/x#1")]))
    held = directory.holder("x")
    assert held is not None
    assert held.address == "coterie://a-1/x#2"
    directory.report(MemberReport(member("a"), [("x", "coterie://a-1/x#2")]))
    assert directory.holder("x") is None


def test_settings_do_not_show_the_password_of_the_store() -> None:
    settings = ClusterSettings(store="postgresql://bank:secret@10.0.0.9/bank", runtime_env='{"env_vars": {"KEY": "secret"}}')
    assert "secret" not in repr(settings)
    assert "lost_after=5.0" in repr(settings)
    assert "with a store" in repr(settings)


def test_a_program_that_was_given_up_hears_so_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    directory = Directory(ClusterSettings(), Time())
    monkeypatch.setattr(rays, "actor", lambda _: directory)
    monkeypatch.setattr(rays, "call", lambda _, method, data, timeout: encode(directory.report(decode(data, MemberReport))))
    lost: list[str] = []
    program = ClusterMember("laptop", "laptop-1")
    membership = Membership("10.0.0.1:6379", ClusterSettings(), lambda: MemberReport(program))
    membership.start([], lost.append)
    directory._remove("laptop-1", "it has been silent for 6.0 s")
    membership.refresh(report=True)
    assert lost
    calls: list[Callable[[], object]] = [
        lambda: membership.ask_directory("holder", "x"),
        lambda: membership.handle(member("a")),
    ]
    for call in calls:
        with pytest.raises(
            ClusterUnavailable, match=r"no longer part of it: laptop was given up: it has been silent for .*; connect"
        ):
            call()
    membership.leave()


def test_a_program_that_has_closed_its_connection_asks_ray_for_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    directory = Directory(ClusterSettings(), Time())
    asked: list[str] = []

    def call(_: object, method: str, data: bytes, timeout: float) -> bytes:
        asked.append(method)
        return encode(directory.report(decode(data, MemberReport)))

    monkeypatch.setattr(rays, "actor", lambda _: directory)
    monkeypatch.setattr(rays, "call", call)
    membership = Membership("10.0.0.1:6379", ClusterSettings(), lambda: MemberReport(ClusterMember("laptop", "laptop-1")))
    membership.start([], lambda _: None)
    membership.leave()
    assert membership._thread is not None
    assert not membership._thread.is_alive()
    membership.end("it has closed its connection")
    asked.clear()
    # Ray would start itself on this machine.
    uses: list[Callable[[], object]] = [
        lambda: membership.ask_directory("holder", "x"),
        lambda: membership.handle(member("a")),
    ]
    for use in uses:
        with pytest.raises(
            ClusterUnavailable, match="this program is no longer part of it: it has closed its connection; connect again"
        ):
            use()
    membership.leave()
    membership.refresh(report=True)
    assert membership.member("laptop-2") is None
    assert asked == []


def test_nodes_that_do_not_answer_are_waited_for_together(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []
    left: list[float] = []

    class Handle:
        def __init__(self, name: str) -> None:
            self.call = SimpleNamespace(remote=lambda method, _: begun.append(f"{name} {method}"))

    def result(_: object, timeout: float) -> bytes:
        left.append(timeout)
        assert len(begun) == 3
        Event().wait(timeout)
        raise TimeoutError("it is frozen")

    nodes = [member("a"), member("b"), member("c")]
    membership = SimpleNamespace(
        address="10.0.0.1:6379",
        view=ClusterView(nodes),
        nodes=lambda: nodes,
        handle=lambda each: Handle(each.name),
        ask_directory=lambda *_: None,
    )
    monkeypatch.setattr(rays, "result", result)
    monkeypatch.setattr(cluster_module, "_QUESTION", 0.2)
    with Runtime("program") as runtime:
        cluster = Cluster(runtime, membership, None)  # type: ignore[arg-type] # as far as it matters
        state = cluster.status()
        assert [each["problem"] for each in state["nodes"].values()] == [
            f"the cluster at 10.0.0.1:6379: its node {name} does not answer: TimeoutError: it is frozen" for name in "abc"
        ]
        assert left[1:] == [cluster_module._LEAST] * 2
        begun.clear()
        left.clear()
        assert cluster.find("none") is None
        assert left[1:] == [cluster_module._LEAST] * 2


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"beat": 6.0}, r"lost_after.* at least twice the beat of 6 s"),
        ({"beat": 1.0, "lost_after": 1.9}, r"lost_after.* at least twice the beat of 1 s"),
        ({"max_message": 0}, r"max_message.* above 0"),
        ({"stop_timeout": -1.0}, r"stop_timeout.* of at least 0"),
        ({"setup": "bank.nodes"}, r"setup.* a function as module:function"),
        ({"setup": "bank/nodes.py:set_up"}, r"setup.* a function as module:function"),
    ],
)
def test_settings_that_no_node_could_use_are_refused_before_anything_is_asked(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidSetting, match=problem):
        Cluster.connect("127.0.0.1:1", settings=given)


@pytest.mark.parametrize("nodes", [-1, 1.5, True, "3"])
def test_the_number_of_nodes_to_wait_for_is_a_whole_number(nodes: Any) -> None:
    with pytest.raises(InvalidSetting, match=r"connect\.nodes.* a whole number"):
        Cluster.connect("127.0.0.1:1", nodes=nodes)


def test_a_directory_that_has_stood_still_gives_no_member_up() -> None:
    time = Time()
    directory = Directory(ClusterSettings(lost_after=5.0), time)
    directory.report(MemberReport(member("a"), names={}))
    time.now = 30.0
    directory.expire()
    assert [each.name for each in directory.view().members] == ["a"]
    for time.now in (32.0, 34.0, 36.0):
        directory.expire()
    assert not directory.view().members


def test_another_version_of_the_wire_is_refused() -> None:
    directory = Directory(ClusterSettings(), Time())
    view = directory.report(MemberReport(msgspec.structs.replace(member("a"), protocol=99)))
    assert "speaks version 99 of the wire" in view.verdict
    assert not directory.view().members


def test_only_the_keys_of_a_lost_node_move() -> None:
    keys = [f"account/{n}" for n in range(300)]
    three, two = Homes([member(name) for name in "abc"]), Homes([member(name) for name in "ab"])
    before, after = [three.home(key) for key in keys], [two.home(key) for key in keys]
    assert {home for home in before if home is not None} == {"a-1", "b-1", "c-1"}
    assert min(before.count(f"{name}-1") for name in "abc") > 60
    assert all(now == was for now, was in zip(after, before, strict=True) if was != "c-1")
    draining = Homes([member("a", draining=True), member("b"), member("c")])
    assert {draining.home(key) for key in keys} == {"b-1", "c-1"}
    assert Homes([]).home("account/1") is None


def test_a_placement_that_cannot_be_had_says_what_there_is() -> None:
    placer, nodes = Placer(), [member("a", load=5), member("b", labels={"zone": "x"}, resources={"gpu": 1.0})]
    assert [each.name for each in placer.choose(nodes, Placement(), 6)] == ["b"] * 5 + ["a"]
    with pytest.raises(NoNodeFits, match="no node has the label zone=y and 1 of the resource 'gpu'; there are a, b"):
        placer.choose(nodes, Placement(labels={"zone": "y"}, resources={"gpu": 1}))
    with pytest.raises(UnknownNode, match="no living node 'c'; it has a, b"):
        placer.choose(nodes, Placement(node="c"))
    # What a node must have holds also for one that is named.
    with pytest.raises(NoNodeFits, match="no node has the label zone=x; there are a: "):
        placer.choose(nodes, Placement(node="a", labels={"zone": "x"}))
    with pytest.raises(NoNodeFits, match="no node takes agents: all are draining or starting, of a; wait"):
        placer.choose([member("a", draining=True)], Placement(node="a"))
    with Runtime() as runtime:
        other = runtime.reference("coterie://elsewhere/ada#1")
        with pytest.raises(NoNodeBeside, match=r"coterie://elsewhere/ada#1 is on no living node: .* choose .* the nodes a, b"):
            placer.choose(nodes, Placement(beside=other))
        there = runtime.reference("coterie://b-1/ada#1")
        assert placer.choose(nodes, Placement(beside=there), 2) == [nodes[1]] * 2


@pytest.mark.parametrize(
    "given", [{"labels": {"zone": 1}}, {"labels": ["zone"]}, {"resources": {"gpu": "1"}}, {"resources": {"gpu": -1}}]
)
def test_a_placement_that_no_node_could_fit_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidSetting, match=r"Placement\.(labels|resources)"):
        Placement(**given)


def test_a_queue_holds_senders_back_and_then_refuses() -> None:
    queue = FrameQueue("a-1", LinkLimits(max_message=100, queue_messages=2), "a-1")
    with pytest.raises(MessageTooLarge):
        queue.put("a-1", bytes(101))
    for _ in range(4):
        queue.put("a-1", b"x")
    room = queue.room(0.0)
    assert room is not None
    with pytest.raises(TransportError, match="takes them too slowly"):
        queue.put("a-1", b"x")
    assert queue.take(10, 100) == [b"x"] * 4
    assert room.done
    queue.renew("", "it is lost")
    with pytest.raises(TransportError, match="has ended: it is lost"):
        queue.put("a-1", b"x")


def test_arguments_arrive_by_the_types_of_the_constructor() -> None:
    with Runtime() as runtime:
        codec = Codec([Extension(AgentRef, 1, lambda ref: str(ref.address), runtime.reference)])
        packed = arguments.pack(codec, Counter, (Start(3),), {"step": 2})
        assert arguments.unpack(codec, Counter, packed) == ((Start(3),), {"step": 2})
        message = arguments.pack(codec, Counter, (Bump(2),), {})
        assert arguments.unpack(codec, Counter, message) == ((Bump(2),), {})
    with pytest.raises(DefinitionError, match="defined inside a function"):
        arguments.class_name(type("Local", (Counter,), {"__qualname__": "f.<locals>.Local"}))
    with pytest.raises(DefinitionError, match="other nodes cannot import the program itself"):
        arguments.class_name(type("Local", (Counter,), {"__module__": "__main__"}))
    with pytest.raises(DefinitionError, match="node left cannot load it: ModuleNotFoundError"):
        arguments.find_class("no_such_module:Local", "left")


class OwnDispatcher(Leased):
    pass


@pytest.mark.parametrize("dispatcher", [Leased(most=5, idle_after=0.5), Dedicated()])
def test_policies_of_an_agent_arrive_as_they_were_given(dispatcher: Leased | Dedicated) -> None:
    given = {
        "supervision": Supervision(strategy="one-for-all", max_restarts=7, backoff=0.5),
        "mailbox": MailboxPolicy(5, "reject", None),
        "dispatcher": dispatcher,
    }
    packed = arguments.pack_options(**given)  # type: ignore[arg-type] # both are of their types
    assert arguments.unpack_options(decode(encode(packed), dict[str, Any])) == given
    assert arguments.pack_options(None, None) == arguments.unpack_options({}) == {}
    with pytest.raises(InvalidSetting, match=r"spawn.mailbox=5: need a policy: MailboxPolicy"):
        arguments.pack_options(None, 5)  # type: ignore[arg-type] # that is the fault
    with pytest.raises(
        InvalidSetting, match=r"spawn.dispatcher=.*: need Leased\(\) or Dedicated\(\); other nodes have no others"
    ):
        arguments.pack_options(None, None, OwnDispatcher())
    with pytest.raises(InvalidSetting, match=r"spawn.dispatcher='Fair': need Leased or Dedicated on this node; install"):
        arguments.unpack_options({"dispatcher": {"Fair": {}}})


def test_a_message_that_has_gained_a_field_with_a_default_is_understood_both_ways() -> None:
    class Gift(Message, tag="Gift"):
        amount: int

    class LaterGift(Message, tag="Gift"):
        amount: int
        note: str = "none"

    older, newer = Codec(), Codec()
    older.register(Gift, "gifts:Gift")
    newer.register(LaterGift, "gifts:Gift")
    assert newer.unpack(older.pack(Gift(1)), Message) == LaterGift(1)
    assert older.unpack(newer.pack(LaterGift(2, "for you")), Message) == Gift(2)
    with pytest.raises(DecodeFailed, match=r"gifts:Gift.*no such class is known here"):
        Codec().unpack(newer.pack(LaterGift(1)), Message)


def test_the_token_is_readable_by_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "")
    with pytest.raises(ClusterError, match="there is no token at"):
        use_token(tmp_path / "token")
    file = make_token(tmp_path / "token")
    assert make_token(file) == file
    assert use_token(file) == {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(file)}
    monkeypatch.delenv("RAY_AUTH_MODE")
    file.chmod(0o644)
    with pytest.raises(ClusterError, match="other accounts may read the token"):
        use_token(file)


def test_a_token_that_other_accounts_may_read_is_refused_by_every_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "")
    file = make_token(tmp_path / "token")
    file.chmod(0o640)
    with pytest.raises(InvalidSetting, match="no other account may read; run: chmod 600"):
        use_token_file(file)
    assert os.environ["RAY_AUTH_MODE"] == "disabled"
    file.chmod(0o600)
    use_token_file(file)
    assert (os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN_PATH"]) == ("token", str(file))


def test_a_named_token_goes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "elsewhere")
    assert "elsewhere" in use_token().values()
    file = make_token(tmp_path / "token")
    assert str(file) in use_token(file).values()


def test_stop_ends_the_processes_with_the_mark_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "MARK", f"COTERIE_TEST_{os.getpid()}")
    assert machine.stop_machine() == 0
    wait = [sys.executable, "-c", "input()"]
    other = subprocess.Popen(wait, stdin=subprocess.PIPE)  # noqa: S603 - of a test
    own = subprocess.Popen(wait, stdin=subprocess.PIPE, env={**os.environ, machine.MARK: "1"})  # noqa: S603 - as above
    try:
        assert machine.stop_machine() == 1
        assert own.wait(10) is not None
        assert other.poll() is None
    finally:
        for process in (own, other):
            process.kill()
            process.communicate()


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"name": "a,b=c"}, "--name='a,b=c': need at most 63 letters"),
        ({"name": "left\n"}, "--name="),
        ({"name": "n" * 64}, "--name="),
        ({"labels": {"zone": "x y"}}, "--label='zone=x y': need a key and a value of at most 63 letters"),
        ({"labels": {"": "x"}}, "--label="),
        ({"resources": {"gpu": float("nan")}}, "--resource='gpu=nan': need a whole number that is not negative"),
        ({"resources": {"gpu": -1.0}}, "--resource='gpu=-1': need"),
        ({"resources": {"gpu": 0.5}}, "--resource='gpu=0.5': need"),
        ({"resources": {"CPU": 1.0}}, "--resource='CPU': need a name of its own"),
    ],
)
def test_what_ray_would_not_take_is_one_error_before_anything_is_started(
    given: dict[str, Any], error: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine, "_run", lambda *_: pytest.fail("it was started"))
    for begin in (lambda: machine.start_head(token=tmp_path / "token", **given), lambda: machine.join("127.0.0.1:1", **given)):
        with pytest.raises(InvalidSetting) as caught:
            begin()
        assert str(caught.value).startswith(error)
    assert not (tmp_path / "token").exists()


def test_a_start_that_fails_leaves_no_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    left: list[subprocess.Popen[bytes]] = []

    def run(command: str, arguments: Any, token: Path | None, mark: str, ports: str) -> None:
        wait = [sys.executable, "-c", "input()"]
        left.append(subprocess.Popen(wait, stdin=subprocess.PIPE, env={**os.environ, machine.MARK: mark}))  # noqa: S603 - of a test
        raise ClusterError("`ray start` failed")

    monkeypatch.setattr(machine, "_run", run)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ClusterError, match=f"a process listens at port {port} already: .* choose another port by --port"):
            machine.start_head(port=port)
    with pytest.raises(ClusterError, match="`ray start` failed"):
        machine.start_head(port=port, token=tmp_path / "token")
    assert left[0].wait(20) is not None
    left[0].communicate()


def test_the_files_for_deployment_are_in_order() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert set(compose["services"]) == {"postgres", "head", "left", "right"}
    for service in compose["services"].values():
        for other, needs in service.get("depends_on", {}).items():
            assert needs == {"condition": "service_healthy"}
            assert "healthcheck" in compose["services"][other]
    kubernetes = yaml.safe_load((DEPLOY / "kuberay.yaml").read_text())
    assert (kubernetes["apiVersion"], kubernetes["kind"]) == ("ray.io/v1", "RayCluster")
    for group in [kubernetes["spec"]["headGroupSpec"], *kubernetes["spec"]["workerGroupSpecs"]]:
        container = group["template"]["spec"]["containers"][0]
        assert {each["name"] for each in container["env"]} == {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"}
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        # The probes that KubeRay adds if there are none ask Ray's dashboard, which is not in the image.
        ports = {container[probe]["tcpSocket"]["port"] for probe in ("readinessProbe", "livenessProbe")}
        assert ports == {int(group["rayStartParams"].get("node-manager-port", 6379))}
    assert f"ray=={kubernetes['spec']['rayVersion']}" in (DEPLOY / "Dockerfile").read_text()
    instructions = {line.split()[0] for line in (DEPLOY / "Dockerfile").read_text().splitlines() if line[:1].isupper()}
    assert {"FROM", "COPY", "RUN", "USER", "ENTRYPOINT"} <= instructions


def test_a_program_is_reached_at_the_address_of_its_own_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever address Ray tells the program: where machines share a table of processes that may be the address of the head."""
    monkeypatch.setattr(rays, "_find_address", lambda: "10.0.0.1")
    assert rays.own_address() == "10.0.0.1"
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    monkeypatch.setattr(rays, "own_machine", lambda: "right")
    addresses = {"head": "10.0.0.1", "right": "10.0.0.3"}
    entries = {name: {"NodeManagerAddress": address} for name, address in addresses.items()}
    monkeypatch.setattr(rays, "machines", lambda: entries)
    assert rays.own_address() == "10.0.0.3"
