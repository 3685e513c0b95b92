"""Imports go one way (docs/architecture.md), and what must stay in one module stays there."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import visionkit

PACKAGE = Path(visionkit.__file__ or "").parent

# Each part may import those of a smaller number, and itself.
LAYERS = {
    "types": 0,
    "files": 0,
    "scores": 0,
    "allocator": 0,
    "config": 0,
    "check": 0,
    "data": 1,
    "models": 1,
    "heads": 1,
    "matching": 2,
    "training": 3,
    "evaluation": 3,
    "inference": 3,
    "flywheel": 4,
    "monitoring": 4,
    "jobs": 5,
    "cli": 6,
    "__main__": 7,
}

# Within the order, what still must not know of what.
FORBIDDEN = {
    "heads": {"data", "evaluation", "config"},
    "data": {"models", "heads", "config"},
    "models": {"data", "config"},
    "matching": {"config"},
    "inference": {"training", "config"},
    "training": {"config"},
    "evaluation": {"config"},
}

# Installed by hand, since what they depend on would overwrite OpenCV: see README.
WITHOUT_DEPENDENCIES = {"trackers"}

# Packages that only one module or part may import.
ONLY_IN = {
    "lancedb": "visionkit.flywheel.catalog.store",
    "nncf": "visionkit.inference.engines.quantising",
    "onnxruntime": "visionkit.inference.engines.onnx_engine",
    "openvino": "visionkit.inference.engines.openvino_engine",
    "hydra": "visionkit.cli.compose",
    "omegaconf": "visionkit.cli.compose",
    "albumentations": "visionkit.data.augment",
}


def modules() -> list[str]:
    """Dotted names of all modules of the package; those of conf/ are not among them."""
    files = sorted(PACKAGE.rglob("*.py"))
    return [
        ".".join((PACKAGE.name, *file.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
            ".__init__"
        )
        for file in files
    ]


def imports_of(module: str) -> Iterator[str]:
    """Dotted names that a module imports, anywhere in it but for type checking only."""
    parts = module.split(".")[1:]
    file = PACKAGE.joinpath(*parts).with_suffix(".py")
    if not file.is_file():
        file = PACKAGE.joinpath(*parts, "__init__.py")
    tree = ast.parse(file.read_text("utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_of(module: str) -> str | None:
    """The part of visionkit that a module belongs to; None for the top and other packages."""
    names = module.split(".")
    return names[1] if names[0] == "visionkit" and len(names) > 1 else None


def test_the_reader_of_imports_reads_them() -> None:
    found = set(imports_of("visionkit.cli.compose"))
    assert {"hydra", "omegaconf", "visionkit.config"} <= {
        name.removesuffix(".compose") for name in found
    }


@pytest.mark.parametrize("module", modules())
def test_imports_go_one_way(module: str) -> None:
    part = part_of(module)
    if part is None:
        return  # the package's own __init__ offers names of every part
    assert part in LAYERS, f"{part} is a new part: give it its place in LAYERS"
    wrong = [
        name
        for name in imports_of(module)
        if (other := part_of(name)) in LAYERS
        and other != part
        and (LAYERS[other or ""] > LAYERS[part] or other in FORBIDDEN.get(part, set()))
    ]
    assert wrong == []


@pytest.mark.parametrize("module", modules())
def test_what_belongs_to_one_module_is_imported_only_there(module: str) -> None:
    wrong = [
        name
        for name in imports_of(module)
        if (home := ONLY_IN.get(name.split(".")[0])) and not f"{module}.".startswith(f"{home}.")
    ]
    assert wrong == []


def test_no_module_of_a_name_that_says_nothing() -> None:
    names = {part for module in modules() for part in module.split(".")}
    assert names & {"utils", "core", "engine", "registry", "helpers", "common", "misc"} == set()


def test_every_package_that_is_imported_is_declared() -> None:
    declared_file = PACKAGE.parent / "pyproject.toml"
    if not declared_file.is_file():
        pytest.skip("needs a checkout: pyproject.toml is not part of the installed package")
    project = tomllib.loads(declared_file.read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    used = [line for name, lines in extras.items() if name not in ("test", "dev") for line in lines]
    lines = [*project["dependencies"], *used]
    declared = {canonicalize_name(Requirement(text).name) for text in lines}
    homes = packages_distributions()
    imported = {name.split(".")[0] for module in modules() for name in imports_of(module)}
    missing = {
        name
        for name in imported - set(sys.stdlib_module_names) - {"visionkit", ""}
        if not {canonicalize_name(home) for home in homes.get(name, [name])} & declared
    }
    assert missing == WITHOUT_DEPENDENCIES
