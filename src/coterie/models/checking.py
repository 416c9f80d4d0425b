"""Whether a request is one, before anybody is asked."""

from __future__ import annotations

import msgspec

from coterie.errors import InvalidSetting
from coterie.kernel import check_instance, check_number
from coterie.models.values import ModelRequest, TextMessage

_DECODER = msgspec.json.Decoder(ModelRequest)
_ROLES = ("user", "assistant")


def check_request(where: str, request: object) -> ModelRequest:
    """Return what is a request through and through, as any provider can be sent and any recording can hold.

    Raises `InvalidSetting` with the place in it that is wrong; a struct does not look at what it is made of.
    """
    check_instance(where, request, ModelRequest, "a ModelRequest")
    assert isinstance(request, ModelRequest)
    check_number(f"{where}.temperature", request.temperature, optional=True)
    check_number(f"{where}.max_tokens", request.max_tokens, least=1, whole=True, optional=True)
    try:
        _DECODER.decode(msgspec.json.encode(request))
    except (msgspec.MsgspecError, UnicodeError, TypeError, ValueError, OverflowError, RecursionError) as error:
        shown = f"a request of {request.agent!r}, step {request.step!r}"
        raise InvalidSetting(where, shown, f"one that can be written as JSON: {error}") from None
    for place, each in enumerate(request.exchanges):
        if isinstance(each, TextMessage) and each.role not in _ROLES:
            raise InvalidSetting(
                f"{where}.exchanges[{place}].role", each.role, "user or assistant; a system's are instructions"
            )
    return request
