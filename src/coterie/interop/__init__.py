"""Conversations over HTTP: for AG-UI front ends, for chat front ends that speak OpenAI's completions, and for scripts.

`create_application` makes an ASGI application of a host of conversations, and `serve` runs it. A token is asked for on
everything but `/health`. A request is a reader of a conversation and nothing more: when the front end goes away the work
goes on, and what it would have been told waits for its next request. Needs the extra `serve`.
"""

try:
    import ag_ui.core
    import starlette
    import uvicorn
except ImportError as error:
    from coterie.errors import ExtraMissing

    raise ExtraMissing("serving conversations", "serve") from error

from coterie.interop.access import AccessToken
from coterie.interop.application import create_application
from coterie.interop.options import ServingOptions
from coterie.interop.server import serve

__all__ = ["AccessToken", "ServingOptions", "create_application", "serve"]

del ag_ui, starlette, uvicorn
