"""Errors of meetings. See `coterie.errors` for the tree."""

from __future__ import annotations

from collections.abc import Mapping

from coterie.errors.delivery import DeliveryError


class MeetingError(DeliveryError):
    """An operation on a meeting failed."""


class MeetingNotHeld(MeetingError):
    """A meeting does not take place. All invited agents have been told.

    `declined`, `silent` and `unreachable` map the missing guests to reasons.
    """

    def __init__(
        self,
        topic: str,
        reason: str,
        *,
        declined: Mapping[str, str] | None = None,
        silent: Mapping[str, str] | None = None,
        unreachable: Mapping[str, str] | None = None,
    ) -> None:
        self.topic = topic
        self.reason = reason
        self.declined = dict(declined or {})
        self.silent = dict(silent or {})
        self.unreachable = dict(unreachable or {})
        super().__init__(f"the meeting {topic!r} is not held: {reason}")


class InvitationDeclined(MeetingNotHeld):
    """A required guest declined the invitation."""


class InvitationUnanswered(MeetingNotHeld):
    """A required guest did not answer in time."""


class GuestUnreachable(MeetingNotHeld):
    """A required guest is unknown, has stopped, or cannot be reached."""


class QuorumMissed(MeetingNotHeld):
    """Fewer guests came in time than the quorum."""


class MeetingClosed(MeetingError):
    """A meeting has ended and accepts nothing more."""

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(f"the meeting {topic!r} takes nothing more: {reason}")


class NotAMember(MeetingError):
    """The agent is not a member of the meeting."""

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(f"nothing was said in the meeting {topic!r}: {reason}; be invited, and accept")


class NotYourTurn(MeetingError):
    """Another member has the floor."""

    def __init__(self, topic: str, reason: str) -> None:
        self.reason = reason
        super().__init__(f"nothing was said in the meeting {topic!r}: {reason}; wait for YourTurn")


class ContributionRefused(MeetingError):
    """A contribution is invalid in this meeting, or this member may not make it."""

    def __init__(self, topic: str, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the meeting {topic!r} refused it: {reason}")


class NoQuorum(MeetingError):
    """A majority of the members could not be reached in time, so the outcome is unknown."""

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(f"the meeting {topic!r} has no quorum here: {reason}; try again when the others are back")


class UnknownMeeting(MeetingError, LookupError):
    """No meeting of that id is known here, or the agent is not a member of it."""

    def __init__(self, meeting: object, reason: str) -> None:
        super().__init__(f"{meeting}: {reason}")
