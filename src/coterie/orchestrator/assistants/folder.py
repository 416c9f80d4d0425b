"""The folder of an assistant, kept from one conversation to the next."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from coterie.errors.orchestrator import RunFolderFailed, RunUnknown
from coterie.kernel import SystemClock

_LATEST = "latest.json"


class ChatFolder:
    """Records the latest conversation of each user. Used by one process at a time, like the databases beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def choose(self, user: str, namespace: str | None, *, resume: bool) -> str:
        """Return the name of the conversation: the requested one, the user's latest, or a new one.

        Raises `RunUnknown` if the user has no conversation to resume.
        """
        if namespace is not None:
            return namespace
        if not resume:
            return datetime.fromtimestamp(SystemClock().time(), UTC).strftime("%Y%m%d-%H%M%S-%f")
        latest = self._latest().get(user)
        if latest is None:
            raise RunUnknown(self.path, f"{user} has no conversation to resume there; talk without --resume first")
        return latest

    def remember(self, user: str, namespace: str) -> None:
        """Record the latest conversation of a user. Raises `RunFolderFailed`."""
        latest = self._latest() | {user: namespace}
        temporary = self.path / f".{_LATEST}.part"
        try:
            temporary.write_bytes(msgspec.json.encode(latest))
            temporary.replace(self.path / _LATEST)
        except OSError as error:
            raise RunFolderFailed(self.path, error) from error

    def _latest(self) -> dict[str, str]:
        try:
            return msgspec.json.decode((self.path / _LATEST).read_bytes(), type=dict[str, str])
        except (OSError, msgspec.DecodeError):
            # Only a convenience: `--namespace` can name a conversation.
            return {}
