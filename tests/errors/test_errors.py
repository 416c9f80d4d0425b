import importlib
import inspect
import pkgutil
import re

import pytest

import coterie.errors
from coterie.errors import CoterieError, DeliveryError

MODULES = [importlib.import_module(module.name) for module in pkgutil.iter_modules(coterie.errors.__path__, "coterie.errors.")]
CLASSES = {
    name: value
    for module in MODULES
    for name, value in vars(module).items()
    if inspect.isclass(value) and issubclass(value, CoterieError)
}


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    assert coterie.errors.__doc__ is not None
    drawn: dict[str, str] = {}
    stack: list[tuple[int, str]] = []
    for line in coterie.errors.__doc__.splitlines():
        match = re.match(r"^( +)((?:[│ ]  ? ?)*)(?:[├└]── )?([A-Z]\w+)(?: \((\w+)\))?", line)
        if match is None or match[3] not in CLASSES:
            continue
        depth = line.index(match[3])
        while stack and stack[-1][0] >= depth:
            stack.pop()
        drawn[match[3]] = stack[-1][1] if stack else ""
        stack.append((depth, match[3]))
        if match[4]:
            assert any(base.__name__ == match[4] for base in CLASSES[match[3]].__mro__), match[3]
    actual = {
        name: next((base.__name__ for base in value.__bases__ if base.__name__ in CLASSES), "")
        for name, value in CLASSES.items()
    }
    assert drawn == actual


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_every_error_has_a_docstring(name: str) -> None:
    assert CLASSES[name].__doc__


def test_delivery_errors_are_news_and_all_others_are_not() -> None:
    news = {name for name, value in CLASSES.items() if issubclass(value, DeliveryError)}
    assert {"HandlerFailed", "AskTimeout", "AgentStopped", "UnknownAgent", "MailboxFull", "WaitCycle", "Unhandled"} <= news
    assert "DefinitionError" not in news
