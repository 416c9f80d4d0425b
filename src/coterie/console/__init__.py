"""A console in the browser: see and steer what runs.

`Console` serves pages about the parts of this process that it is shown (runtimes, simulations, conversations, memories,
meetings) and about folders of runs, also of runs in other processes. It reads by the public calls of the other rooms, and
only while a page is open. Needs the extra `console`.
"""

try:
    import jinja2
    import starlette
    import uvicorn
except ImportError as error:
    from coterie.errors import ExtraMissing

    raise ExtraMissing("the console", "console") from error

from coterie.console.options import ConsoleOptions
from coterie.console.server import Console

__all__ = ["Console", "ConsoleOptions"]

del jinja2, starlette, uvicorn
