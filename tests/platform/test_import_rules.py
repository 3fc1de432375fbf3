"""What import-linter cannot say: the pure core imports the standard library and nothing else."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from tests.stack import BASE_DIR

PURE = ("inference/core", "models_app/gguf", "models_app/memory", "models_app/quantization.py")
PURE_MODULES = tuple(name.removesuffix(".py").replace("/", ".") for name in PURE)


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            # `from models_app import quantization` names a module, `from models_app.gguf import read` a function.
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def is_pure(name: str) -> bool:
    if name.partition(".")[0] in sys.stdlib_module_names:
        return True
    return any(name == pure or name.startswith(f"{pure}.") for pure in PURE_MODULES)


def test_the_pure_modules_import_the_standard_library_and_each_other_only() -> None:
    files = [
        file
        for name in PURE
        for file in ([BASE_DIR / name] if name.endswith(".py") else (BASE_DIR / name).rglob("*.py"))
    ]
    assert len(files) > 10
    wrong = {
        str(file.relative_to(BASE_DIR)): found
        for file in files
        if (found := {n for n in imported(file) if not is_pure(n)})
    }
    assert wrong == {}
