"""The imports of the package have one direction. Imports for types only count."""

import ast
from graphlib import CycleError, TopologicalSorter

import pytest
from docs.tools.imports import import_graph, modules

GRAPH = import_graph()


def test_no_module_imports_itself_in_a_circle() -> None:
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as error:
        pytest.fail("import circle: " + " -> ".join(reversed(error.args[1])))


def test_imports_of_the_package_stand_outside_type_checking_blocks() -> None:
    found = [
        f"{name}:{statement.lineno}"
        for name, path in modules().items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        if isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith("coterie")
    ]
    assert found == []
