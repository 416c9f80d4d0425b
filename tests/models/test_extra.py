"""The room without Pydantic AI."""

import subprocess
import sys

import pytest

from coterie.errors.general import install_command

WITHOUT = """
import sys
sys.modules["pydantic_ai"] = None
from coterie.errors import ExtraMissing
from coterie.models import ModelGateway, ModelRequest
from coterie.testing import ScriptedModel
try:
    ModelGateway("openai:gpt-5-mini")
except ExtraMissing as error:
    print(error, error.__cause__)
with ModelGateway(ScriptedModel(["yes"])) as gateway:
    print(gateway.ask_blocking(ModelRequest()).text)
"""
LAZY = """
import sys
import coterie.models, coterie.testing
print([name for name in ("pydantic_ai", "openai", "httpx2", "genai_prices") if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("code", "printed"),
    [(WITHOUT, f"a model string needs the extra 'models': {install_command('models')} None\nyes\n"), (LAZY, "[]\n")],
)
def test_it_is_needed_only_for_model_strings_and_loaded_only_then(code: str, printed: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603 - ours
    assert (done.stdout, done.stderr) == (printed, "")
