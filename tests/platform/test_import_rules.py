"""What import-linter cannot say: the pure core reaches the standard library and pure parts of the inventory, nothing else."""

from __future__ import annotations

import ast
import subprocess
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


def reached_from(*names: str) -> dict[str, str]:
    """Every module that importing these modules, or all of these packages', imports, each with one that imports it."""
    waiting: list[str] = []
    for name in names:
        start = BASE_DIR.joinpath(*name.split("."))
        files = start.rglob("*.py") if start.is_dir() else [start.with_suffix(".py")]
        waiting += [".".join(file.relative_to(BASE_DIR).with_suffix("").parts) for file in files]
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
    found = reached_from("inference.engine.worker", "inference.engine.chat.template_process")
    others = {name.partition(".")[0] for name in found} - sys.stdlib_module_names - set(OURS)
    assert others == {"jinja2", "llama_cpp", "numpy", "typing_extensions"}
    assert not any(
        name.startswith(("inference.host", "inference.models", "hostui", "models_app.models")) for name in found
    )


def test_an_ordinary_worker_does_without_numpy() -> None:
    """It takes 40 MB, and only one that reads for an importance matrix needs it."""
    code = "import sys, inference.engine.worker; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=BASE_DIR, check=False).returncode == 0


def test_sentences_take_nothing_of_django_but_the_readers_language() -> None:
    found = {
        (file.name, name)
        for file in (BASE_DIR / "inference" / "wording").glob("*.py")
        for name in imports(file)
        if name.startswith("django")
    }
    assert found == {("translation.py", "django.utils")}
    tree = ast.parse((BASE_DIR / "inference" / "wording" / "translation.py").read_text())
    taken = [alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert taken == ["annotations", "translation"]
