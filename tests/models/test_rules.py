"""A model that is a function."""

import asyncio

import pytest

from coterie import models
from coterie.errors import InvalidSetting
from coterie.models import Finish, ModelReply, ModelRequest, RuleModel, TextDelta, TextMessage, ToolCall

REQUEST = ModelRequest(exchanges=(TextMessage("user", "hello  there"),))


async def read(model: RuleModel) -> list[TextDelta | ModelReply]:
    return [each async for each in model.stream(REQUEST)]


def test_a_text_is_a_reply() -> None:
    reply = asyncio.run(RuleModel(lambda request: f"you said {request.exchanges[-1].text}", name="echo").ask(REQUEST))  # type: ignore[union-attr] # it was spoken
    assert (reply.text, reply.finish, reply.model, reply.usage.cost) == ("you said hello  there", Finish.STOP, "echo", 0.0)


def test_calls_end_a_reply_for_their_results() -> None:
    reply = asyncio.run(RuleModel(lambda _: ModelReply(calls=(ToolCall("1", "look"),))).ask(REQUEST))
    assert reply.finish is Finish.TOOLS


@pytest.mark.parametrize("text", ["", "one", "one two", " one\n\ntwo  three ", "\n", "\N{SNOWMAN} \N{SNOWMAN}"])
def test_a_stream_is_the_words_and_then_the_whole(text: str) -> None:
    *pieces, whole = asyncio.run(read(RuleModel(lambda _: text)))
    assert isinstance(whole, ModelReply)
    assert "".join(each.text for each in pieces) == text == whole.text


def test_rules_may_be_asynchronous() -> None:
    async def rules(request: ModelRequest) -> str:
        await asyncio.sleep(0)
        return str(len(request.exchanges))

    assert asyncio.run(RuleModel(rules).ask(REQUEST)).text == "1"


def test_the_asker_gets_the_errors_of_rules() -> None:
    def rules(_: ModelRequest) -> str:
        raise LookupError("no rule")

    with pytest.raises(LookupError, match="no rule"):
        asyncio.run(RuleModel(rules).ask(REQUEST))


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(InvalidSetting, match=r"RuleModel\.rules"):
        RuleModel("hello")  # type: ignore[arg-type] # it is wrong on purpose
    with pytest.raises(InvalidSetting, match=r"RuleModel\.pause"):
        RuleModel(lambda _: "", pause=-1)


def test_spoken_is_a_deprecated_name_of_text_message() -> None:
    with pytest.warns(DeprecationWarning, match="TextMessage"):
        assert models.Spoken is TextMessage  # type: ignore[attr-defined]
