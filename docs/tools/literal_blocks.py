"""Extension of griffe: turn the `::` before a literal block of a docstring into what Markdown needs."""

import re
from typing import Any

from griffe import Extension, Object


class LiteralBlocks(Extension):
    """Remove a line that is `::` alone, and shorten `::` at the end of a line to a colon."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:  # noqa: ARG002 - griffe passes more
        """Rewrite the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            text = re.sub(r"^\s*::\n", "", obj.docstring.value, flags=re.MULTILINE)
            obj.docstring.value = re.sub(r"::$", ":", text, flags=re.MULTILINE)
