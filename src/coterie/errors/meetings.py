"""What can go wrong with a meeting. The tree is drawn in `coterie.errors`."""

from __future__ import annotations

from collections.abc import Mapping

from coterie.errors.delivery import DeliveryError


class MeetingError(DeliveryError):
    """Something was not taken by a meeting, or a meeting is not held."""


class MeetingNotHeld(MeetingError):
    """A meeting is not held. Everybody who was invited has been told.

    `declined`, `silent` and `unreachable` name who is not coming, and why.
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
    """A guest that is required said that it does not come."""


class InvitationUnanswered(MeetingNotHeld):
    """A guest that is required did not answer in time."""


class GuestUnreachable(MeetingNotHeld):
    """A guest that is required is unknown, has stopped, or cannot be reached."""


class QuorumMissed(MeetingNotHeld):
    """Fewer came in time than the quorum asks for."""


class MeetingClosed(MeetingError):
    """A meeting is over, and takes nothing more."""

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(f"the meeting {topic!r} takes nothing more: {reason}")


class NotAMember(MeetingError):
    """Only members are heard."""

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(f"nothing was said in the meeting {topic!r}: {reason}; be invited, and accept")


class NotYourTurn(MeetingError):
    """The floor is somebody else's."""

    def __init__(self, topic: str, reason: str) -> None:
        self.reason = reason
        super().__init__(f"nothing was said in the meeting {topic!r}: {reason}; wait for YourTurn")


class ContributionRefused(MeetingError):
    """What a member wanted to do makes no sense in this meeting, or is not for it to do."""

    def __init__(self, topic: str, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the meeting {topic!r} refused it: {reason}")


class NoQuorum(MeetingError):
    """No majority of the members could be reached in time, so nothing can be said for certain."""

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(f"the meeting {topic!r} has no quorum here: {reason}; try again when the others are back")


class UnknownMeeting(MeetingError, LookupError):
    """There is no meeting of that id here, or the agent is no member of it."""

    def __init__(self, meeting: object, reason: str) -> None:
        super().__init__(f"{meeting}: {reason}")
