"""The key pairs of nodes (Curve25519, as ZeroMQ's CURVE uses them), and the files that keep them."""

from __future__ import annotations

import os
import stat
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import zmq

from coterie.errors import TopologyError

_LENGTH = 40
_ALPHABET = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#")
"""The characters of Z85, by which ZeroMQ writes 32 bytes as text (https://rfc.zeromq.org/spec/32)."""
_HEAD = "# The keys of one node. Keep this file on its machine; give the others only the public key.\n"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The public and the secret key of one node, as text of 40 characters. The secret is not in its `repr`."""

    public: str
    secret: str = field(repr=False)

    @classmethod
    def new(cls) -> KeyPair:
        """Return a new random pair."""
        public, secret = zmq.curve_keypair()
        return cls(public.decode(), secret.decode())

    def save(self, path: Path | str) -> None:
        """Write the pair to a new file that only its owner may read. Raises `TopologyError` if the file exists."""
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise TopologyError(path, ["the file exists; choose another name, or delete it if no node uses it"]) from error
        except OSError as error:
            raise TopologyError(path, [f"the file cannot be written: {error.strerror}; choose another folder"]) from error
        with os.fdopen(descriptor, "w") as file:
            file.write(f'{_HEAD}public_key = "{self.public}"\nsecret_key = "{self.secret}"\n')

    @classmethod
    def load(cls, path: Path | str) -> KeyPair:
        """Return the pair in a file. Raises `TopologyError` if it has none, or if other accounts may read it."""
        try:
            mode = Path(path).stat().st_mode
            if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
                raise TopologyError(path, [f"other accounts may use this secret key; run: chmod 600 {path}"])
            data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            problem = f"the file of keys cannot be read: {error.strerror}; make one with: coterie keys {path}"
            raise TopologyError(path, [problem]) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            # The text of that error has parts of the file.
            raise TopologyError(path, [f"this is no file of keys; make one with: coterie keys {path}"]) from error
        public, secret = data.get("public_key"), data.get("secret_key")
        if not (is_key(public) and is_key(secret)) or zmq.curve_public(str(secret).encode()).decode() != public:
            raise TopologyError(path, ["its keys are not a pair; make a new one with: coterie keys"])
        return cls(str(public), str(secret))


def is_key(text: object) -> bool:
    """Return whether a value has the form of a key."""
    return isinstance(text, str) and len(text) == _LENGTH and _ALPHABET.issuperset(text)
