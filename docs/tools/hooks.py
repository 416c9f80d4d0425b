"""Hooks of mkdocs: add the pages and files that are generated from the code."""

import importlib
import inspect
from pathlib import Path

from docs.tools.api import rooms
from docs.tools.picture import picture
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

REFERENCE = """# {title}

::: {module}
    options:
      show_root_heading: false
      show_root_toc_entry: false
"""


def _address(module: str) -> str:
    return f"reference/{module.removeprefix('coterie.')}.md"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the reference pages in the navigation."""
    section = next(entry["Reference"] for entry in config.nav or [] if "Reference" in entry)
    section.extend({module: _address(module)} for module in rooms() if module != "coterie")
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a reference page a room, and the picture of the rooms."""
    for module in rooms():
        if module != "coterie":
            text = REFERENCE.format(title=module, module=module)
            files.append(File.generated(config, _address(module), content=text))
    files.append(File.generated(config, "rooms.svg", content=picture()))
    for name in ("llms.txt", "llms-full.txt"):  # their text is written when all pages are known
        files.append(File.generated(config, name, content=""))
    return files


def on_post_build(config: MkDocsConfig) -> None:
    """Write `llms.txt`: the pages with a line each; and `llms-full.txt`: the text of them all."""
    site = Path(config.site_dir)
    lines = [f"# {config.site_name}", "", f"> {config.site_description}", "", "## Pages", ""]
    whole = []
    for path in sorted(Path(config.docs_dir).rglob("*.md")):
        title, _, rest = path.read_text().partition("\n")
        first = next((part for part in rest.split("\n\n") if part.strip() and part.strip()[0] not in "#|`-<!"), "")
        address = path.relative_to(config.docs_dir).with_suffix(".html").as_posix()
        lines.append(f"- [{title.lstrip('# ')}]({address}): {' '.join(first.split())}")
        whole.append(path.read_text())
    lines += ["", "## Reference", ""]
    for module in rooms():
        if module != "coterie":
            summary = (inspect.getdoc(importlib.import_module(module)) or "").partition("\n")[0]
            lines.append(f"- [{module}]({_address(module).replace('.md', '.html')}): {summary}")
    (site / "llms.txt").write_text("\n".join(lines) + "\n")
    (site / "llms-full.txt").write_text("\n\n".join(whole))
