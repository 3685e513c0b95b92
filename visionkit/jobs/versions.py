"""Versions of a catalog: listed, compared, restored, exported; and what comes in from outside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from visionkit.config import did_you_mean
from visionkit.config.flywheel import TOOLS, VersionsConfig
from visionkit.data.formats import FORMATS, NothingLeftError, write
from visionkit.data.table import save_table, to_table
from visionkit.evaluation.summary import counted
from visionkit.flywheel.catalog import Catalog, Change, Version, open_catalog
from visionkit.flywheel.exchange import (
    STAND_IN,
    Question,
    cvat,
    known_names,
    label_studio,
    questions_about,
    write_questions,
)
from visionkit.flywheel.frozen import frozen_ids
from visionkit.flywheel.queue.build import QueueSettings, build_queue
from visionkit.flywheel.queue.carriers import read_carriers
from visionkit.jobs.author import author_of
from visionkit.jobs.imported import take_source
from visionkit.jobs.summary import Summary
from visionkit.jobs.terminal import problems_kept, replace_problems, say, say_next, say_table
from visionkit.jobs.unchanged import unchanged
from visionkit.types import Sample

_EXPORTS = {"label_studio": "JSON", "cvat": "CVAT for images 1.1"}
_LABELS = {"label_studio": label_studio.CONFIG_NAME, "cvat": cvat.LABELS_NAME}
_SHOWN = 20
"""So many changes are shown one by one."""


def versions(config: VersionsConfig, place: Path) -> Summary:
    """Does what `config.action` says to the catalog in a place.

    Raises:
        FileNotFoundError: there is no catalog, or no source.
        FileExistsError: the output is there and `overwrite` is false.
        NothingLeftError: no picture that is to be written is as the catalog took it.
        ValueError: there is no such version, none at all, or what is imported is of no use.
        RuntimeError: the disk is full.
    """
    actions = {
        "list": _list,
        "diff": _diff,
        "restore": _restore,
        "export": _export,
        "ask": _ask,
        "import": take_source,
    }
    if "://" in config.catalog:  # what lies beside a catalog of object storage lies here
        place = Path(config.catalog.rstrip("/").rpartition("/")[2])
    # Answers are about pictures that are there; labelled pictures may be the first.
    create = config.action == "import" and config.source_format not in TOOLS
    catalog = open_catalog(config.catalog, create=create)
    return actions[config.action](catalog, config, place)


def _list(catalog: Catalog, config: VersionsConfig, place: Path) -> Summary:
    found = catalog.versions()
    rows = [
        (
            each.name,
            each.created[:16].replace("T", " "),
            each.author,
            str(each.samples),
            str(each.boxes),
            str(each.corrections),
            each.note,
        )
        for each in found
    ]
    columns = ("version", "made", "by", "pictures", "boxes", "answers", "note")
    say_table(f"Versions of {config.catalog}", columns, rows)
    waiting = catalog.unmerged()
    say(f"{counted(waiting, 'picture')} changed since then." if found else "There is none yet.")
    if waiting:
        say_next(["merge", f"catalog={config.catalog}"])
    return Summary(place, {"versions": len(found), "unmerged": waiting})


def _diff(catalog: Catalog, config: VersionsConfig, place: Path) -> Summary:
    new = _chosen(catalog, config.version)
    if config.old is None and new.number == 1:
        raise ValueError("old must name a version, since v1 has none before it")
    old = _chosen(catalog, config.old or f"v{new.number - 1}")
    found = catalog.diff(old.name, new.name)
    rows = [(each.sample_id, *_words(each)) for each in found[:_SHOWN]]
    if rows:
        say_table(f"From {old.name} to {new.name}", ("picture", "before", "after"), rows)
    added = sum(each.before is None for each in found)
    removed = sum(each.after is None for each in found)
    changed = len(found) - added - removed
    more = f" (the first {_SHOWN} are shown)" if len(found) > _SHOWN else ""
    say(
        f"{old.name} to {new.name}: {counted(added, 'picture')} more, {removed} less, "
        f"{changed} changed{more}",
        *_label_changes(found),
    )
    return Summary(place, {"added": added, "removed": removed, "changed": changed})


def _restore(catalog: Catalog, config: VersionsConfig, place: Path) -> Summary:
    if config.version is None:
        raise ValueError("version must say which one is restored, such as version=v3")
    old = _chosen(catalog, config.version)
    version = catalog.restore(old.name, author=author_of(config.author))
    say(f"{version.name} is equal to {old.name}; the versions between them stay.")
    return Summary(place, {"samples": version.samples, "boxes": version.boxes})


def _export(catalog: Catalog, config: VersionsConfig, place: Path) -> Summary:
    version = _chosen(catalog, config.version)
    samples = catalog.at(version.name)
    form = config.export_format
    target = Path(config.output or f"{place}_{version.name}_{form}")
    if form == "parquet" and target.suffix != ".parquet":
        target = target.with_name(f"{target.name}.parquet")
    _check_free(target, catalog, config)
    if form == "parquet":  # the table alone, which names each picture with its hash
        save_table(to_table(samples), target)
    else:
        samples = _as_catalogued(catalog, samples, target)
        _write(catalog, version, samples, target, config)
    say(f"{version.name}: {counted(len(samples), 'picture')}, format {form}: {target}")
    _tell_unsaid(samples, form)
    if form not in (*TOOLS, "parquet"):
        task = "localization" if any(sample.objects for sample in samples) else "classification"
        say_next(["train", f"task={task}", f"data={form}", f"data.root={target}"])
    boxes = sum(len(sample.objects) for sample in samples)
    return Summary(target, {"samples": len(samples), "boxes": boxes})


def _tell_unsaid(samples: Sequence[Sample], form: str) -> None:
    """Says of how many pictures a format of boxes can't say that only their label is known."""
    if form in FORMATS and not FORMATS[form].carries_labels:
        labelled = sum(bool(sample.labels) and not sample.objects for sample in samples)
        if labelled:
            say(
                f"{counted(labelled, 'picture')} with a label and no box: {form} can't say so, and "
                "other tools take them as showing nothing (visionkit reads visionkit.json)."
            )


def _write(
    catalog: Catalog,
    version: Version,
    samples: Sequence[Sample],
    target: Path,
    config: VersionsConfig,
) -> None:
    """Writes pictures of a version with what it says of them, for training or for a tool."""
    form = config.export_format
    if form not in TOOLS:
        write(to_table(samples), target, form, overwrite=config.overwrite)
        return
    # As of the version: what was answered since is a conflict when it comes back.
    revisions = catalog.revisions(version.name)
    questions = [Question(sample, revisions[sample.id]) for sample in samples]
    names = known_names(catalog, samples)
    write_questions(questions, target, form, offered=names, overwrite=config.overwrite)


def _ask(catalog: Catalog, config: VersionsConfig, place: Path) -> Summary:
    settings = QueueSettings(
        most=config.most,
        audit=config.audit,
        drift=read_carriers(catalog.uri),
        frozen=frozen_ids(catalog.uri, config.frozen),
    )
    asked = build_queue(catalog, settings)
    if not asked:
        raise ValueError("there must be pictures to ask about, got none in the review queue")
    target = Path(config.output or f"{place}_{config.tool}")
    _check_free(target, catalog, config)
    pictures = catalog.samples([entry.sample_id for entry in asked])
    usable = {sample.id for sample in _as_catalogued(catalog, pictures, target)}
    asked = [entry for entry in asked if entry.sample_id in usable]
    questions = questions_about(catalog, asked, one_class=config.one_class)
    names = known_names(catalog)
    write_questions(questions, target, config.tool, offered=names, overwrite=config.overwrite)
    say(f"{counted(len(asked), 'picture')} to be asked about in {config.tool}: {target}")
    if not names:
        say(
            f"The catalog knows no class yet: {STAND_IN.boxes[0]!r} is offered in its place. Put "
            f"your own into {target / _LABELS[config.tool]} before you use it."
        )
    say(f"When it is done, export from there, as {_EXPORTS[config.tool]}, and:")
    words = [f"catalog={config.catalog}", f"source_format={config.tool}", "source=FILE"]
    say_next(["versions", "import", *words])
    return Summary(target, {"asked": len(asked)})


def _check_free(target: Path, catalog: Catalog, config: VersionsConfig) -> None:
    """Passes if the output may be written and takes nothing with it that the catalog needs.

    Raises:
        FileExistsError: it may not.
    """
    if not target.exists():
        return
    if not config.overwrite:
        raise FileExistsError(f"{target} is already there; choose another, or overwrite=true")
    inside = tuple(f"{path.as_posix()}/" for path in (target.absolute(), target.resolve()))
    needed = (catalog.uri, *(sample.uri for sample in catalog.samples()))
    lost = next((place for place in needed if f"{place}/".startswith(inside)), None)
    if lost is not None:
        raise FileExistsError(
            f"output must hold nothing that the catalog needs, but {lost} lies in {target} and "
            "overwrite=true would delete it; choose another"
        )


def _as_catalogued(catalog: Catalog, samples: Sequence[Sample], target: Path) -> list[Sample]:
    """The pictures that are as the catalog took them; the others are listed beside the output.

    Raises:
        NothingLeftError: none is.
    """
    name = f"{target.name}_problems.csv"
    with problems_kept(target.parent, name=name):
        kept, problems = unchanged(samples)
        if problems and not kept:
            raise NothingLeftError(Path(catalog.uri), problems)
    replace_problems(problems, target.parent, name=name)
    return kept


def _chosen(catalog: Catalog, name: str | None) -> Version:
    """The version of that name, or the newest.

    Raises:
        ValueError: there is none.
    """
    found = {each.name: each for each in catalog.versions()}
    if not found:
        raise ValueError(
            f"there must be a version, got none yet; visionkit merge catalog={catalog.uri} makes it"
        )
    if name is None:
        return list(found.values())[-1]
    if name not in found:
        raise ValueError(
            f"version must be one of the catalog's ({', '.join(found)}), got {name!r}"
            f"{did_you_mean(name, list(found))}"
        )
    return found[name]


def _words(change: Change) -> tuple[str, str]:
    return tuple(  # type: ignore[return-value]
        "not there" if sample is None else _shows(sample)
        for sample in (change.before, change.after)
    )


def _shows(sample: Sample) -> str:
    """What a picture shows, in words: labels, and labels of boxes with their number."""
    counts = Counter(entry.label for entry in sample.objects)
    boxes = (f"{count} {label}" if count > 1 else label for label, count in sorted(counts.items()))
    return ", ".join([*sample.labels, *boxes]) or "nothing"


def _label_changes(found: list[Change]) -> list[str]:
    """A line a label of which there are more or fewer than before."""
    counts: Counter[str] = Counter()
    for each in found:
        for sample, sign in ((each.before, -1), (each.after, 1)):
            labels = () if sample is None else (*sample.labels, *(e.label for e in sample.objects))
            for label in labels:
                counts[label] += sign
    return [f"  {label}: {count:+d}" for label, count in sorted(counts.items()) if count]
