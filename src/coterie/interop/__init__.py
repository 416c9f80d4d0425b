"""Conversations over HTTP: for AG-UI front ends, for clients of OpenAI's chat completions, and for scripts.

`create_application` makes an ASGI application of a host of conversations, and `serve` runs it. Every path but `/health`
requires a token. A request only reads a conversation: when the front end disconnects the work continues, and the unsent
events wait for its next request. Needs the extra `serve`.
"""

try:
    import ag_ui.core
    import starlette
    import uvicorn
except ImportError as error:
    from coterie.errors import ExtraMissing

    raise ExtraMissing("serving conversations", "serve") from error

from coterie.interop.application import create_application
from coterie.interop.options import ServingOptions
from coterie.interop.server import serve
from coterie.kernel.access import AccessToken

__all__ = ["AccessToken", "ServingOptions", "create_application", "serve"]

del ag_ui, starlette, uvicorn
