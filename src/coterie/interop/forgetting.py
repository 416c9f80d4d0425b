"""The endpoint that forgets a user."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from coterie.interop.access import verified_user
from coterie.interop.responses import HTTPProblem
from coterie.interop.threads import ServerState


class ForgettingEndpoints:
    """Forgets users on request."""

    def __init__(self, server: ServerState) -> None:
        self._server = server

    async def forget(self, request: Request) -> Response:
        """``DELETE /users/{user}``: delete the conversations, operations and memories of a user.

        A user's own token forgets that user only; the shared token any.
        """
        user = request.path_params["user"]
        if not user:
            raise HTTPProblem(422, "name the user to be forgotten: DELETE /users/USER", param="user")
        named = verified_user(request, self._server.options.user_headers)
        if named and named != user:
            raise HTTPProblem(403, "this request acts for another user than it would forget")
        report = await self._server.conversations.forget(user)
        return JSONResponse({"conversations": len(report.conversations), "memories": report.memories})
