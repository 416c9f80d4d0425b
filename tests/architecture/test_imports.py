"""The imports of the package have one direction. Imports for types only count."""

import ast
from collections import defaultdict
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


def test_a_class_name_means_one_thing() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for name, path in modules().items():
        if not name.startswith("coterie.testing.conformance"):  # each suite has agents of its own
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places[node.name].append(name)
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_a_public_name_is_exported_by_one_room() -> None:
    """`coterie` itself exports again the names that most programs need."""
    places: dict[str, list[str]] = defaultdict(list)
    for name, path in modules().items():
        if path.name == "__init__.py" and name.count(".") == 1:
            for node in ast.parse(path.read_text()).body:
                if (
                    isinstance(node, ast.Assign)
                    and ast.unparse(node.targets[0]) == "__all__"
                    and isinstance(node.value, ast.List)
                ):
                    for element in node.value.elts:
                        places[ast.literal_eval(element)].append(name)
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
