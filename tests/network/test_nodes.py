"""Tests of nodes and meetings that use a local transport elsewhere, over sockets."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.meetings import test_nodes as meetings
from tests.network.wire import SocketWire
from tests.runtime.nodes import test_nodes as nodes

test_agents_ask_and_tell_across_nodes = nodes.test_agents_ask_and_tell_across_nodes
test_references_go_across_and_come_back = nodes.test_references_go_across_and_come_back
test_an_agent_can_be_asked_for_by_its_name = nodes.test_an_agent_can_be_asked_for_by_its_name
test_decoded_errors_equal_the_encoded_ones = nodes.test_decoded_errors_equal_the_encoded_ones
test_an_unknown_agent = nodes.test_an_agent_that_never_existed_is_unknown_and_an_ended_one_has_stopped
test_a_message_that_cannot_be_sent = nodes.test_a_message_that_cannot_be_sent_is_refused_at_the_sender
test_an_answer_that_cannot_be_sent = nodes.test_an_answer_that_cannot_be_sent_fails_its_ask_with_the_reason
test_a_full_mailbox_elsewhere = nodes.test_a_full_mailbox_elsewhere_rejects_and_is_waited_for
test_agents_are_stopped_and_watched = nodes.test_agents_are_stopped_and_watched_across_nodes


@pytest.fixture
def pair() -> Iterator[nodes.Pair]:
    with ExitStack() as stack:
        yield nodes.Pair(stack, SocketWire())


@pytest.mark.parametrize(
    "test",
    [
        meetings.test_members_on_three_nodes_hear_each_other_and_agree,
        meetings.test_two_agents_of_one_name_on_two_nodes_are_two_members,
        meetings.test_guests_elsewhere_decline_and_are_told,
        meetings.test_a_node_without_meetings_has_no_guests,
    ],
    ids=lambda test: test.__name__,
)
def test_meetings_are_held_over_sockets(test: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meetings, "LocalTransport", SocketWire)
    assert callable(test)
    test()
