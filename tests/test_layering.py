"""Imports point down, and a plain import stays light: read from the source with `ast`."""

import ast
from functools import cache
from pathlib import Path

import pytest

import sk_dlsteps

ROOT = Path(sk_dlsteps.__file__).parent
# What each part of the package may import besides itself; the table is the house's cross-section.
BASE = {"plan", "exceptions", "fitted", "versions", "whole_file", "callback_support"}
STEPS = {"step1_cost", "step2_architecture", "step3_training", "step4_validation", "step5_test", "step6_real_world"}
BELOW_PREPARATION = BASE | STEPS | {"inputs", "engine"}
MAY_IMPORT = {
    "plan": set(),
    "exceptions": set(),
    "fitted": set(),
    "callback_support": set(),
    "versions": {"exceptions"},
    "whole_file": set(),
    "engine": BASE,
    "inputs": BASE | STEPS | {"engine"},
    **dict.fromkeys(STEPS, BASE | STEPS | {"inputs", "engine"}),
    "sameness": set(),
    "inheritance": BELOW_PREPARATION | {"sameness"},
    "content": {"inputs"},
    "resuming": BELOW_PREPARATION | {"content", "inheritance"},
    "preparation": BELOW_PREPARATION | {"inheritance"},
    "epoch_tasks": BELOW_PREPARATION | {"preparation"},
    "sweep": BELOW_PREPARATION | {"preparation"},
    "continuation": BELOW_PREPARATION | {"sameness", "inheritance", "preparation", "resuming", "epoch_tasks"},
    "fine_tuning": BELOW_PREPARATION | {"inheritance", "preparation", "sweep", "continuation"},
    "together": BELOW_PREPARATION | {"inheritance", "preparation", "sweep", "fine_tuning"},
    "stream": BELOW_PREPARATION | {"preparation", "continuation"},
    "learning_rate": BELOW_PREPARATION | {"preparation", "sweep", "fine_tuning", "recipe"},
    "base": BELOW_PREPARATION | {"inheritance"},
    "receiver": BELOW_PREPARATION | {"base", "inheritance"},
    "recipe": BELOW_PREPARATION
    | {"receiver", "resuming", "preparation", "sweep", "together", "continuation", "fine_tuning"}
    | {"exportable", "epoch_tasks"},
    "exportable": set(),
    "embedding_transform": BELOW_PREPARATION,
    "diagnosis": BELOW_PREPARATION,
    "export": BELOW_PREPARATION | {"continuation", "classifier", "regressor"},
    "classifier": BELOW_PREPARATION | {"base", "preparation", "recipe", "stream", "embedding_transform"},
    "regressor": BELOW_PREPARATION | {"base", "preparation", "recipe", "stream"},
}
SHOWN = {"displays", "report"}
MAY_SHOW = {"__init__", "__main__", "walkthrough", *SHOWN}
OPTIONAL = {
    "accelerate",
    "matplotlib",
    "onnx",
    "onnxscript",
    "pandas",
    "polars",
    "pyarrow",
    "safetensors",
    "skrub",
    "torchvision",
}
FILES = sorted(ROOT.rglob("*.py"))


def part(path):
    """The folder or file of the package that a path belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def name_of(path):
    """Dotted name of a file, for test ids."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imports(nodes):
    """Dotted names that the nodes import."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
            yield from ("." * node.level + f"{node.module}.{alias.name}" for alias in node.names)


def outside_functions(tree):
    """Nodes that run when the file is imported: not those in functions or under TYPE_CHECKING."""
    for node in ast.iter_child_nodes(tree):
        for_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if not (for_types or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)):
            yield node
            yield from outside_functions(node)


def own_parts(names):
    """Parts of the package among imported names."""
    return {name.split(".")[1] for name in names if name.startswith("sk_dlsteps.")}


@cache
def at_import(path):
    """Names that a file imports when it is imported."""
    return set(imports(outside_functions(ast.parse(path.read_text()))))


@cache
def anywhere(path):
    """Names that a file imports at all, also in functions and for types."""
    return set(imports(ast.walk(ast.parse(path.read_text()))))


@pytest.mark.parametrize("path", [p for p in FILES if part(p) in MAY_IMPORT], ids=name_of)
def test_imports_point_down(path):
    above = own_parts(at_import(path)) - MAY_IMPORT[part(path)] - {part(path)}
    assert not above


@pytest.mark.parametrize("path", [p for p in FILES if part(p) == "engine"], ids=name_of)
def test_the_engine_knows_no_step_not_even_inside_a_function(path):
    assert own_parts(anywhere(path)) <= BASE | {"engine"}


@pytest.mark.parametrize("path", [p for p in FILES if part(p) in STEPS], ids=name_of)
def test_steps_do_not_know_the_engines_net(path):
    assert not {name for name in anywhere(path) if name.startswith("sk_dlsteps.engine.net")}


@pytest.mark.parametrize("path", [p for p in FILES if part(p) not in MAY_SHOW], ids=name_of)
def test_what_is_shown_is_imported_by_nobody_but_inside_a_function(path):
    assert not own_parts(at_import(path)) & SHOWN


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_optional_packages_are_imported_where_they_are_used(path):
    assert not {name.split(".")[0] for name in at_import(path)} & OPTIONAL


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_are_absolute_and_never_of_everything(path):
    assert not {name for name in anywhere(path) if name.startswith(".") or name.endswith(".*")}


def test_parts_import_each_other_in_no_circle():
    graph = {}
    for path in FILES:
        graph.setdefault(part(path), set()).update(own_parts(at_import(path)) - {part(path)})
    for start in graph:
        reached, ahead = set(), list(graph[start])
        while ahead:
            step = ahead.pop()
            if step not in reached:
                reached.add(step)
                ahead += graph.get(step, ())
        assert start not in reached, f"{start} imports itself by way of others"


def test_the_reader_of_imports_sees_what_runs_and_what_does_not():
    source = (
        "import a\nfrom b import c\nif TYPE_CHECKING:\n    import d\n"
        "def f():\n    import e\nclass G:\n    import h\ntry:\n    import i\nexcept ImportError:\n    pass\n"
    )
    tree = ast.parse(source)
    assert set(imports(outside_functions(tree))) == {"a", "b", "b.c", "h", "i"}
    assert set(imports(ast.walk(tree))) == {"a", "b", "b.c", "d", "e", "h", "i"}
