"""The types that stand beside llama.cpp's functions agree with what ctypes passes to them."""

from __future__ import annotations

import ast
import inspect
from types import ModuleType

import pytest

from inference.engine.llama import bindings, ggml


def declared(module: ModuleType) -> dict[str, int]:
    """By name, how many arguments each function of `module` has by its type."""
    found = {}
    for node in ast.parse(inspect.getsource(module)).body:
        match node:
            case ast.AnnAssign(
                target=ast.Name(id=name),
                annotation=ast.Subscript(
                    value=ast.Name(id="Callable"), slice=ast.Tuple(elts=[ast.List(elts=arguments), _])
                ),
            ):
                found[name] = len(arguments)
    return found


@pytest.mark.parametrize("module", [bindings, ggml], ids=["llama", "ggml"])
def test_a_function_takes_as_many_arguments_as_its_type_says(module: ModuleType) -> None:
    expected = declared(module)
    assert len(expected) > 10
    assert {name: len(getattr(module, name).argtypes) for name in expected} == expected
