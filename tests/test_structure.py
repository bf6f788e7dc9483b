"""The shape of the code: sizes of files and functions, names that occur once, imports inside the storage."""

import ast
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import app

ROOT = Path(app.__file__).parent.parent
MAX_FILE_LINES = 350
MAX_FUNCTION_LINES = 50
MAX_DB_IMPORTS = 25
MAX_TEST_NAME_WORDS = 8
FILES = sorted(file for room in ("app", "handlers") for file in (ROOT / room).rglob("*.py"))
NAMED_FILES = [file for file in FILES if "versions" not in file.parts and not file.stem.startswith("__")]


def test_files_stay_short() -> None:
    lengths = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in NAMED_FILES}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_FILE_LINES} == {}


def test_functions_stay_short() -> None:
    functions = [
        (f"{file.relative_to(ROOT)}:{node.name}", (node.end_lineno or 0) - node.lineno + 1)
        for file in NAMED_FILES
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert [function for function in functions if function[1] > MAX_FUNCTION_LINES] == []


def test_module_names_occur_once() -> None:
    assert _repeated(file.stem for file in NAMED_FILES) == []


def test_class_names_occur_once() -> None:
    trees = [ast.parse(file.read_text()) for file in NAMED_FILES]
    assert _repeated(node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)) == []


def test_storage_modules_import_few_of_each_other() -> None:
    arrows = {(file.stem, name) for file in (ROOT / "app" / "db").glob("*.py") for name in _db_imports(file)}
    assert len(arrows) <= MAX_DB_IMPORTS, sorted(arrows)


def test_names_of_tests_stay_short() -> None:
    names = [
        node.name
        for file in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]
    assert [name for name in names if name.count("_") > MAX_TEST_NAME_WORDS] == []


def _db_imports(file: Path) -> set[str]:
    """The modules of `app.db` that a file imports."""
    imported: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "app.db":
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("app.db."):
            imported.add((node.module or "").split(".")[2])
    return imported


def _repeated(names: Iterable[str]) -> list[str]:
    return sorted(name for name, times in Counter(names).items() if times > 1)
