"""Random streams that depend on a seed and a path, and on nothing else: not on order, not on threads, not on hashing."""

from __future__ import annotations

import hashlib
import random


def stream(seed: int | str, *path: int | str) -> random.Random:
    """Return a generator for this seed and path; the same arguments give the same stream in every process.

    Parts of different types or lengths never collide: ``("a", "bc")`` and ``("ab", "c")`` are different paths, and so
    are 1 and "1". The state is seeded with 128 bits of BLAKE2b over the parts.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in (seed, *path):
        text = f"{type(part).__name__}:{part}".encode()
        digest.update(len(text).to_bytes(4, "big"))
        digest.update(text)
    return random.Random(int.from_bytes(digest.digest(), "big"))  # noqa: S311 - simulation, not secrets
