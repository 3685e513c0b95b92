"""From the words of a command line to a typed config: the only module that knows Hydra.

Hydra composes the files of `conf/` and the overrides; the dataclasses of `visionkit.config`
are then laid over the result, which checks every name and type, those in files of one's own too.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, get_type_hints

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Transformer
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from visionkit.cli.describe import conf_folder, defaults_of, entries_of, options_of
from visionkit.cli.quoting import quoted_words
from visionkit.config import TASKS, check_values, did_you_mean, expand_home, limits_of, nearest

Config = TypeVar("Config")


class ConfigError(ValueError):
    """An override, an option or a value of a config that can't be; says which and what may be."""


@dataclass(frozen=True)
class Composed(Generic[Config]):
    """A composed config.

    Attributes:
        config: instance of the command's dataclass; every value checked.
        values: dotted key -> plain value, in the order of the files.
        origins: dotted key -> where the value came from, in words.
    """

    config: Config
    values: dict[str, Any]
    origins: dict[str, str]


def compose(
    command: str,
    config_type: type[Config],
    words: Sequence[str],
    *,
    config_folder: Path | None = None,
) -> Composed[Config]:
    """The typed config of `command` with the overrides `words` applied.

    Args:
        command: name of the file in `conf/`, for instance "train".
        config_type: dataclass of `visionkit.config` that types it.
        words: overrides in Hydra's grammar (`key=value`, `group=option`, `+key=value`); the
            values of keys of paths and of free text stand for themselves, whatever characters
            they hold, but for a `~` that a path begins with.
        config_folder: folder of one's own whose groups and options are found too.

    Raises:
        ConfigError: an unknown key, group or option (the nearest one is named), a value of
            the wrong type or out of its limits, or a required value that is not given.
    """
    quoted = quoted_words(words, config_type)
    groups = defaults_of(conf_folder() / f"{command}.yaml")
    with _hydra(config_folder):
        overrides = _parse(quoted)
        _check_options(overrides, groups, config_folder)
        picked = [o.input_line or "" for o in overrides if o.get_key_element() in groups]
        search = _search_path(config_folder)
        try:
            known, choices = _hydra_compose(command, [*search, *picked])
        except _GroupNotChosen as error:
            _check_keys(overrides, [*groups, *entries_of(f"{command}.yaml", "", None)], command)
            raise ConfigError(str(error)) from error
        _check_keys(overrides, [*groups, *_flat(known, branches=True)], command)
        plain, late = _late_values(quoted, overrides, groups)
        composed, _ = _hydra_compose(command, [*search, *plain])
        for key, value in late.items():
            OmegaConf.update(composed, key, value)
    config = _typed(config_type, composed)
    values = _flat(composed)
    given = {o.get_key_element().lstrip("+") for o in overrides} - set(groups)
    origins = _origins(values, given, _files(command, choices, config_folder))
    return Composed(config, values, origins)


def expand_sweep(words: Sequence[str], config_type: type[Any]) -> list[list[str]]:
    """The overrides of each run of a sweep: the product of every word that lists choices.

    Args:
        words: overrides, some with several values (`a=1,2`, `range(1,4)`, `glob(*)` of a group).
        config_type: dataclass whose path keys stand for themselves where such a path exists.

    Raises:
        ConfigError: a word can't be read.
    """
    quoted = quoted_words(words, config_type, sweep=True)
    with _hydra(None):
        axes = [_axis(override) for override in _parse(quoted)]
    return [list(run) for run in itertools.product(*axes)]


@contextmanager
def _hydra(config_folder: Path | None) -> Iterator[None]:
    if config_folder is not None and not config_folder.is_dir():
        raise ConfigError(f"--config-dir must be a folder, got {config_folder}")
    try:
        with initialize_config_dir(config_dir=str(conf_folder()), version_base="1.3"):
            yield
    except HydraException as error:
        raise ConfigError(_one_line(error)) from error
    except OmegaConfBaseException as error:
        raise ConfigError(_one_line(error)) from error


def _parse(words: Sequence[str]) -> list[Override]:
    parser = OverridesParser.create(GlobalHydra.instance().config_loader())
    overrides: list[Override] = []
    for word in words:
        if "=" not in word:
            raise ConfigError(f"options are written key=value, got {word!r}; --help lists the keys")
        try:
            overrides += parser.parse_overrides([word])
        except HydraException as error:
            key, _, value = word.partition("=")
            raise ConfigError(
                f"the value of {key} can't be read: {value}; "
                f"put it in two pairs of quotes: \"{key}='...'\""
            ) from error
    for override in overrides:
        if override.get_key_element().startswith("hydra"):
            raise ConfigError(
                f"{override.input_line}: settings of Hydra itself are not used; the folder of a "
                "run is set with output=PATH"
            )
    return overrides


def _late_values(
    words: Sequence[str], overrides: Sequence[Override], groups: Mapping[str, str | None]
) -> tuple[list[str], dict[str, Any]]:
    """The words for Hydra, and values of keys that it would take for groups of other commands.

    `data` is a group of `train` and a path of `evaluate`; Hydra goes by the folder conf/data.
    """
    is_late = [
        override.get_key_element() not in groups
        and (conf_folder() / override.get_key_element()).is_dir()
        for override in overrides
    ]
    plain = [word for word, late in zip(words, is_late, strict=True) if not late]
    values = {
        override.get_key_element(): override.value()
        for override, late in zip(overrides, is_late, strict=True)
        if late
    }
    return plain, values


def _check_options(
    overrides: Sequence[Override], groups: Mapping[str, str | None], config_folder: Path | None
) -> None:
    """Raises where an option of a group is chosen that is not there."""
    for override in overrides:
        group, option = override.get_key_element(), override.value()
        if override.is_sweep_override():
            raise ConfigError(f"{override.input_line} lists several values; add -m to run each")
        if group in groups and option is not None:
            options = options_of(group, config_folder)
            if str(option) not in options:
                raise ConfigError(
                    f"{group}={option}: there is no such {group}"
                    f"{did_you_mean(str(option), options)} (there is: {', '.join(options)})"
                )


def _check_keys(overrides: Sequence[Override], known: Sequence[str], command: str) -> None:
    """Raises where a key is set that is not among the known ones."""
    for override in overrides:
        key = override.get_key_element().lstrip("+~")
        if override.is_delete():
            raise ConfigError(f"{override.input_line}: a key can't be taken away, only set")
        if key not in known and not override.is_add():
            raise ConfigError(unknown_key(key, known, command))


def unknown_key(key: str, keys: Sequence[str], command: str) -> str:
    """A sentence that says that `key` is not an option and names the nearest of `keys`."""
    ends = {name.rpartition(".")[2]: name for name in keys}
    # First as it stands, then what is behind the last dot: max_epoch is in trainer.max_epochs.
    close = nearest(key, keys) or ends.get(nearest(key.rpartition(".")[2], ends) or "")
    hint = f"; did you mean {close}?" if close else ""
    return f"{key} is not an option of {command}{hint} (--help lists them)"


class _GroupNotChosen(ValueError):
    """A group without a default, and no option given."""


def _hydra_compose(command: str, words: Sequence[str]) -> tuple[DictConfig, dict[str, str | None]]:
    """The composed values and the option that was chosen of each group."""
    try:
        composed = hydra_compose(command, overrides=list(words), return_hydra_config=True)
    except HydraException as error:
        if "You must specify" not in str(error):
            raise
        group = str(error).split("'")[1]
        raise _GroupNotChosen(
            f"{group} must be chosen: {group}={'|'.join(options_of(group, None))}"
        ) from error
    choices = {str(k): v for k, v in composed.hydra.runtime.choices.items()}
    with open_dict(composed):
        del composed["hydra"]
    return composed, choices


def _typed(config_type: type[Config], composed: DictConfig) -> Config:
    schema = OmegaConf.structured(config_type)
    if isinstance(composed.get("task"), DictConfig):  # of evaluate it is a plain word
        name = composed.task.get("name")
        if name not in TASKS:
            raise ConfigError(
                f"task.name must be one of {', '.join(TASKS)}, got {name}"
                f"{did_you_mean(str(name), TASKS)}"
            )
        schema.task = OmegaConf.structured(TASKS[name])
    for key in _list_paths(config_type):
        if isinstance(OmegaConf.select(composed, key), str):
            OmegaConf.update(composed, key, [OmegaConf.select(composed, key)])
    try:
        merged = OmegaConf.merge(schema, composed)
        missing = sorted(OmegaConf.missing_keys(merged))
        if missing:
            raise ConfigError(
                f"{missing[0]} must be given: {missing[0]}=... (--help says what it is)"
            )
        config: Config = OmegaConf.to_object(merged)  # type: ignore[assignment]
    except ConfigKeyError as error:
        key = str(error.full_key or error.key)
        raise ConfigError(
            unknown_key(key, list(_flat(schema, branches=True)), "this config")
        ) from error
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key}: {str(error).splitlines()[0]}") from error
    try:
        check_values(config)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    expand_home(config)
    return config


def _list_paths(config_type: type[Any]) -> list[str]:
    hints = get_type_hints(config_type)
    limits = limits_of(config_type)
    return [name for name, limit in limits.items() if limit.path and hints[name] == list[str]]


def _axis(override: Override) -> list[str]:
    key = override.get_key_element()
    if not override.is_sweep_override():
        return [override.input_line or ""]
    if not override.is_discrete_sweep():
        raise ConfigError(f"{override.input_line}: only lists, range() and glob() can be swept")
    return [f"{key}={value}" for value in override.sweep_iterator(transformer=Transformer.encode)]


def _search_path(config_folder: Path | None) -> list[str]:
    if config_folder is None:
        return []
    escaped = config_folder.resolve().as_posix().replace("'", "\\'")
    return [f"hydra.searchpath=['file://{escaped}']"]


def _flat(config: DictConfig, *, branches: bool = False) -> dict[str, Any]:
    """Dotted key -> value of every leaf; of the nodes between too if `branches`."""
    flat: dict[str, Any] = {}

    def add(node: dict[Any, Any], prefix: str) -> None:
        for key, value in node.items():
            is_branch = isinstance(value, dict) and len(value) > 0
            if branches or not is_branch:
                flat[f"{prefix}{key}"] = None if is_branch else value
            if is_branch:
                add(value, f"{prefix}{key}.")

    plain = OmegaConf.to_container(config)
    if isinstance(plain, dict):
        add(plain, "")
    return flat


def _files(
    command: str, choices: Mapping[str, str | None], config_folder: Path | None
) -> dict[str, str]:
    """Dotted key -> the file that sets it last."""
    entries = entries_of(f"{command}.yaml", "", config_folder)
    groups = [group for group in choices if not group.startswith("hydra")]
    for group in sorted(groups, key=lambda group: group == "experiment"):  # experiments are last
        if choices[group] is not None:
            prefix = "" if group == "experiment" else f"{group}."
            entries |= entries_of(f"{group}/{choices[group]}.yaml", prefix, config_folder)
    return {key: entry.file for key, entry in entries.items()}


def _origins(
    values: Mapping[str, Any], given: set[str], files: Mapping[str, str]
) -> dict[str, str]:
    """Dotted key -> where its value came from: the command line, or a file."""
    return {
        key: "command line"
        if any(f"{key}.".startswith(f"{name}.") for name in given)
        else files.get(key, "")
        for key in values
    }


def _one_line(error: Exception) -> str:
    return "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
