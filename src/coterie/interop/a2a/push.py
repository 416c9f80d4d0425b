"""Configurations of push notifications in a database, so that they outlive the process.

A token or credentials of a configuration are stored encrypted, with a key from the server's own token. So they outlive the process if
the operator sets that token (`COTERIE_TOKEN`); with a token that is generated at each start they stay in memory. A configuration whose
secrets are lost is kept and shown, but nothing is sent by it until its client gives it again: its receiver would refuse it.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Callable

from a2a.server.context import ServerCallContext
from a2a.server.owner_resolver import resolve_user_scope
from a2a.server.tasks import InMemoryPushNotificationConfigStore
from a2a.types import AuthenticationInfo, TaskPushNotificationConfig
from cryptography.fernet import Fernet, InvalidToken

from coterie.interop.a2a.tasks import SCHEMA
from coterie.kernel.access import AccessToken
from coterie.storage import Database, Transaction

_log = logging.getLogger("coterie.interop")


class StoredPushConfigs(InMemoryPushNotificationConfigStore):
    """Keeps configurations in memory and in a database. Only the event loop of the server uses it."""

    def __init__(self, database: Database, token: AccessToken) -> None:
        super().__init__()
        self._database = database
        self._cipher = None if token.generated else Fernet(_key(token.reveal()))
        self._locked: set[tuple[str, str]] = set()
        """Task and id of the configurations whose secrets are lost."""
        database.migrate(SCHEMA)
        for owner, task, body, secret in database.rows(
            "SELECT owner, task, body, secret FROM a2a_push ORDER BY owner, task, id"
        ):
            config = TaskPushNotificationConfig.FromString(bytes(body))
            if secret and not self._unlock(config, bytes(secret)):
                self._locked.add((task, config.id))
                _log.warning("the push configuration %s of task %s has lost its secrets: give it again", config.id, task)
            self._push_notification_infos.setdefault(owner, {}).setdefault(task, []).append(config)

    async def set_info(
        self, task_id: str, notification_config: TaskPushNotificationConfig, context: ServerCallContext
    ) -> TaskPushNotificationConfig:
        """Store a configuration of the caller, in the place of one with the same id, and return it."""
        kept = await super().set_info(task_id, notification_config, context)
        self._locked.discard((task_id, kept.id))
        plain, secrets = TaskPushNotificationConfig(), TaskPushNotificationConfig()
        plain.CopyFrom(kept)
        secrets.token, plain.token = kept.token, ""
        if kept.HasField("authentication"):
            secrets.authentication.CopyFrom(AuthenticationInfo(credentials=kept.authentication.credentials))
            plain.authentication.credentials = ""
        secret = b""
        if secrets.token or secrets.authentication.credentials:
            # Without a key, the row says that there were secrets.
            secret = self._cipher.encrypt(secrets.SerializeToString()) if self._cipher is not None else b"-"
        row = (resolve_user_scope(context), task_id, kept.id, plain.SerializeToString(), secret)
        await self._write(
            lambda write: write.execute(
                "INSERT INTO a2a_push VALUES (?, ?, ?, ?, ?) ON CONFLICT (owner, task, id) DO UPDATE SET"
                " body = excluded.body, secret = excluded.secret",
                row,
            )
        )
        return kept

    async def get_info_for_dispatch(self, task_id: str) -> list[TaskPushNotificationConfig]:
        """Return the configurations of a task by which something can be sent, those of all users."""
        found = await super().get_info_for_dispatch(task_id)
        return [each for each in found if (task_id, each.id) not in self._locked]

    async def delete_info(self, task_id: str, context: ServerCallContext, config_id: str | None = None) -> None:
        """Delete one configuration of a task of the caller, or all. Nothing happens if there is none."""
        await super().delete_info(task_id, context, config_id)
        owner = resolve_user_scope(context)

        def delete(write: Transaction) -> None:
            if config_id is None:
                write.execute("DELETE FROM a2a_push WHERE owner = ? AND task = ?", (owner, task_id))
            else:
                write.execute("DELETE FROM a2a_push WHERE owner = ? AND task = ? AND id = ?", (owner, task_id, config_id))

        await self._write(delete)

    async def _write(self, work: Callable[[Transaction], object]) -> None:
        await self._database.write(work)

    def _unlock(self, config: TaskPushNotificationConfig, secret: bytes) -> bool:
        """Put the secrets back into a configuration, and return whether they could be read."""
        if self._cipher is None:
            return False
        try:
            secrets = TaskPushNotificationConfig.FromString(self._cipher.decrypt(secret))
        except InvalidToken:
            return False
        config.token = secrets.token
        if secrets.authentication.credentials:
            config.authentication.credentials = secrets.authentication.credentials
        return True


def _key(token: str) -> bytes:
    """Return the key for secrets. It is slow to derive, so that a weak token cannot be found from a stolen database at once."""
    return base64.urlsafe_b64encode(hashlib.scrypt(token.encode(), salt=b"coterie a2a push", n=2**14, r=8, p=1, dklen=32))
