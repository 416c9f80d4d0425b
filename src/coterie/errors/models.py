"""What can become of requests to language models. The tree is drawn in `coterie.errors`."""

from __future__ import annotations

from coterie.errors.root import CoterieError


class ModelError(CoterieError):
    """A language model did not answer a request."""
