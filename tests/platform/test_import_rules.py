"""What import-linter cannot say: the pure core reaches the standard library and pure parts of the inventory, nothing else."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from tests.stack import BASE_DIR

OURS = ("inference", "models_app", "hostui")
MAY_REACH = ("inference.core", "models_app")


def module_file(name: str) -> Path | None:
    """The file of a module of ours, or None where `name` is no module."""
    path = BASE_DIR.joinpath(*name.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def imports(file: Path) -> set[str]:
    """Modules that `file` imports. `from a import b` is a.b where that is a module, else a."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            source = node.module or ""
            names.update(f"{source}.{a.name}" if module_file(f"{source}.{a.name}") else source for a in node.names)
    return names


def reached_from(package: str) -> dict[str, str]:
    """Every module that importing the package's modules, or one module, imports, each with one that imports it."""
    start = BASE_DIR.joinpath(*package.split("."))
    files = [start.with_suffix(".py")] if start.with_suffix(".py").is_file() else start.rglob("*.py")
    waiting = [".".join(file.relative_to(BASE_DIR).with_suffix("").parts) for file in files]
    found = dict.fromkeys(waiting, "")
    while waiting:
        name = waiting.pop()
        file = module_file(name)
        for imported in imports(file) if file and name.startswith(OURS) else ():
            if imported not in found:
                found[imported] = name
                waiting.append(imported)
    return found


def test_the_core_reaches_the_standard_library_and_pure_parts_of_the_inventory_only() -> None:
    found = reached_from("inference.core")
    assert "models_app.gguf" in found
    impure = {
        name: importer
        for name, importer in found.items()
        if name.partition(".")[0] not in sys.stdlib_module_names and not name.startswith(MAY_REACH)
    }
    assert impure == {}


def test_a_worker_reaches_the_core_and_the_few_packages_it_runs_on() -> None:
    found = reached_from("inference.engine")
    others = {name.partition(".")[0] for name in found} - sys.stdlib_module_names - set(OURS)
    # numpy costs 40 MB: only the child process that quantizes has a use for it.
    assert others == {"jinja2", "llama_cpp", "typing_extensions", "numpy"}
    users = {
        file.stem
        for file in (BASE_DIR / "inference" / "engine").glob("*.py")
        if any("numpy" in n for n in imports(file))
    }
    assert users == {"imatrix", "imatrix_making"}
    assert not {f"inference.engine.{user}" for user in users} & set(reached_from("inference.engine.worker"))
    assert not any(
        name.startswith(("inference.host", "inference.models", "hostui", "models_app.models")) for name in found
    )
