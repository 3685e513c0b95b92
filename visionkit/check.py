"""`visionkit check`: says in words what is wrong with an environment, and what to do.

Nothing is imported at the top that could itself be what is broken.
"""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import socket
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

HUB_HOST = "huggingface.co"
Level = Literal["ok", "note", "wrong"]


@dataclass(frozen=True)
class Result:
    """What one check found.

    Attributes:
        level: "ok"; "note" limits what can be done; "wrong" breaks something.
        text: what was found.
        way_out: what to do; "" for "ok".
    """

    level: Level
    text: str
    way_out: str = ""


def main(arguments: Sequence[str] = ()) -> int:
    """The exit status of `visionkit check`: 1 if anything is wrong, otherwise 0.

    Args:
        arguments: words after `check`; a folder to write to instead of the current one.

    Raises:
        ValueError: a word is a flag that there is not.
    """
    if arguments and arguments[0] in ("-h", "--help"):
        print("visionkit check [FOLDER]: says in words what is wrong with this environment;")
        print("FOLDER is where runs shall be written, the current folder if not given.")
        return 0
    if arguments and arguments[0].startswith("-"):
        raise ValueError(f"visionkit check takes a folder or --help, got {arguments[0]!r}")
    folder = Path(arguments[0]) if arguments else Path.cwd()
    results = check_environment(folder)
    for result in results:
        print(f"{result.level:6} {result.text}")
        if result.way_out:
            print(f"       -> {result.way_out}")
    wrong = sum(result.level == "wrong" for result in results)
    print(f"{wrong} thing{'' if wrong == 1 else 's'} wrong" if wrong else "nothing is wrong")
    return 1 if wrong else 0


def check_environment(folder: Path) -> list[Result]:
    """The results of all checks; `folder` is where runs would be written."""
    installed = installed_versions()
    results = [check_python(sys.version_info[:3])]
    results += check_requirements(installed)
    results += [check_opencv(installed), check_albumentations(installed), check_torch(installed)]
    results += [check_gpu(), check_starter(), check_hub(os.environ), check_folder(folder)]
    return results


def installed_versions() -> dict[str, str]:
    """Canonical name -> version of every installed distribution."""
    return {
        canonicalize_name(found.metadata["Name"]): found.version
        for found in metadata.distributions()
        if found.metadata["Name"]
    }


def check_python(version: tuple[int, ...]) -> Result:
    """Whether Python is new enough."""
    text = f"Python {'.'.join(map(str, version))} on {platform.system()} {platform.machine()}"
    if version < (3, 11):
        return Result(
            "wrong", f"{text} is too old", "make the environment with Python 3.11 or newer"
        )
    return Result("ok", text)


def check_requirements(
    installed: Mapping[str, str], requirements: Sequence[str] | None = None
) -> list[Result]:
    """One result for each requirement of visionkit that is missing or of a wrong version.

    Args:
        installed: canonical name -> version.
        requirements: as in the package's metadata; None takes those of the installed visionkit.
    """
    if requirements is None:
        if "visionkit" not in installed:
            return [
                Result(
                    "wrong",
                    "visionkit itself is not installed, only its files are here",
                    "pip install -e . in the folder of pyproject.toml",
                )
            ]
        requirements = metadata.requires("visionkit") or []
    problems: list[Result] = []
    needed = [wanted for text in requirements if _applies(wanted := Requirement(text))]
    for wanted in needed:
        version = installed.get(canonicalize_name(wanted.name))
        if version is None or not wanted.specifier.contains(version, prereleases=True):
            problems.append(
                Result(
                    "wrong",
                    f"{wanted.name} must be {wanted.specifier or 'installed'}, "
                    f"got {version or 'none'}",
                    f"pip install '{wanted.name}{wanted.specifier}'",
                )
            )
    return problems or [Result("ok", f"all {len(needed)} requirements are met")]


def check_opencv(installed: Mapping[str, str]) -> Result:
    """Whether exactly one wheel of OpenCV is installed; two overwrite each other's files."""
    wheels = [
        "opencv-python",
        "opencv-python-headless",
        "opencv-contrib-python",
        "opencv-contrib-python-headless",
    ]
    found = [name for name in wheels if name in installed]
    if len(found) > 1:
        return Result(
            "wrong",
            f"{' and '.join(found)} are both installed and overwrite each other's files",
            f"pip uninstall -y {' '.join(found)} && pip install opencv-python-headless",
        )
    if not found:
        return Result("wrong", "OpenCV is not installed", "pip install opencv-python-headless")
    return Result("ok", f"{found[0]} {installed[found[0]]}")


def check_albumentations(installed: Mapping[str, str]) -> Result:
    """Whether albumentations is the MIT one and not its AGPL successor of the same import name."""
    successor = installed.get("albumentationsx")
    if successor is not None:
        return Result(
            "wrong",
            f"AlbumentationsX {successor} is installed; it is imported as albumentations too, "
            "and its licence is AGPL or commercial",
            "pip uninstall -y albumentationsx && "
            "pip install --force-reinstall --no-deps albumentations==2.0.8",
        )
    if "albumentations" not in installed:
        return Result("wrong", "albumentations is missing", "pip install albumentations==2.0.8")
    return Result("ok", f"albumentations {installed['albumentations']} (MIT)")


def check_torch(
    installed: Mapping[str, str], load: Callable[[str], Any] = importlib.import_module
) -> Result:
    """Whether torch and torchvision load and fit each other.

    Args:
        installed: canonical name -> version.
        load: imports a module by name.
    """
    pair = f"torch {installed.get('torch')} and torchvision {installed.get('torchvision')}"
    try:
        torch = load("torch")
    except (ImportError, OSError) as error:
        return Result(
            "wrong", f"torch can't be loaded: {error}", "pip install --force-reinstall torch"
        )
    try:
        operators = load("torchvision.ops")
        operators.nms(torch.zeros(1, 4), torch.ones(1), 0.5)
    except (ImportError, OSError, RuntimeError, AttributeError, NotImplementedError) as error:
        return Result(
            "wrong", f"{pair} don't match: {_first_line(error)}", _torch_way_out(installed)
        )
    return Result("ok", f"{pair} fit each other")


def check_gpu(load: Callable[[str], Any] = importlib.import_module) -> Result:
    """Which accelerator there is; none is a note, for everything runs on a CPU too."""
    try:
        torch = load("torch")
    except (ImportError, OSError):
        return Result("note", "no GPU could be looked for, as torch can't be loaded", "see above")
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return Result("ok", f"GPU: {', '.join(names)} (CUDA {torch.version.cuda})")
    if torch.backends.mps.is_available():
        return Result("ok", "GPU: Apple (mps)")
    cores = f"training and prediction run on {os.cpu_count()} CPU cores"
    if torch.version.cuda:
        return Result(
            "note",
            f"no GPU is found, though torch was built for CUDA {torch.version.cuda}; {cores}",
            "with an NVIDIA GPU in the machine: nvidia-smi shows whether its driver works",
        )
    return Result(
        "note",
        f"no GPU can be used, as torch {torch.__version__} was built without CUDA; {cores}",
        "with a GPU in the machine: install torch and torchvision as pytorch.org says",
    )


def check_starter() -> Result:
    """Whether the starter weights that are part of the package are there."""
    folder = Path(__file__).resolve().parent / "models" / "starter"
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        return Result(
            "wrong", f"the starter weights are missing from {folder}", "install visionkit again"
        )
    return Result("ok", f"starter weights: {', '.join(file.name for file in files)}")


def check_hub(environment: Mapping[str, str], *, seconds: float = 3.0) -> Result:
    """Whether weights can be had from the hub; only `weights=hub` needs it.

    Args:
        environment: environment variables.
        seconds: how long an answer is waited for.
    """
    way_out = "weights=starter needs no network, weights=file takes a file you have"
    if environment.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return Result("note", "the hub is switched off by HF_HUB_OFFLINE", way_out)
    if any(environment.get(name) for name in ("HTTPS_PROXY", "https_proxy", "HF_ENDPOINT")):
        return Result("note", "the hub is behind a proxy or mirror; not tried", way_out)
    try:
        with socket.create_connection((HUB_HOST, 443), timeout=seconds):
            return Result("ok", f"the hub ({HUB_HOST}) answers")
    except OSError as error:
        return Result("note", f"the hub ({HUB_HOST}) can't be reached: {error}", way_out)


def check_folder(folder: Path) -> Result:
    """Whether runs can be written to `folder`, and how much space is left there."""
    probe = folder / f".visionkit-check-{uuid.uuid4().hex[:8]}"
    try:
        probe.write_bytes(b"visionkit")
        probe.unlink()
        free = shutil.disk_usage(folder).free / 1e9
    except OSError as error:
        return Result(
            "wrong",
            f"{folder} can't be written to: {error.strerror}",
            "go to a folder of your own, or set output=PATH",
        )
    text = f"{folder} can be written to, {free:.1f} GB are free"
    if free < 1:
        return Result("note", text, "a run with its report needs up to 1 GB; free some space")
    return Result("ok", text)


def _applies(wanted: Requirement) -> bool:
    """Whether a requirement holds on this machine and without any extra."""
    return wanted.marker is None or wanted.marker.evaluate({"extra": ""})


def _torch_way_out(installed: Mapping[str, str]) -> str:
    """Where to install both from, by the build that the installed torch names."""
    local = Version(installed.get("torch", "0")).local
    index = f" --index-url https://download.pytorch.org/whl/{local}" if local else ""
    return (
        "take both from the same place: pip uninstall -y torch torchvision && "
        f"pip install torch torchvision{index}"
    )


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
