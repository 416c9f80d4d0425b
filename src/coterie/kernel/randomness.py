"""Random streams that depend only on a seed and a path: not on call order, threads or hash randomization."""

from __future__ import annotations

import hashlib
import random


def stream(seed: int | str, *path: int | str) -> random.Random:
    """Return a generator for this seed and path; equal arguments give the same stream in every process.

    Parts of different types or lengths never collide: ``("a", "bc")`` and ``("ab", "c")`` are different paths, and so
    are 1 and "1". 128 bits of BLAKE2b over the parts seed the state.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in (seed, *path):
        text = f"{type(part).__name__}:{part}".encode()
        digest.update(len(text).to_bytes(4, "big"))
        digest.update(text)
    return random.Random(int.from_bytes(digest.digest(), "big"))  # noqa: S311 - simulation, not secrets
