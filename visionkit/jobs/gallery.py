"""Items of a bundle: added without training, removed, listed, audited and promoted."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from visionkit.config import GalleryConfig
from visionkit.data.picture_files import IMAGE_SUFFIXES, find_images
from visionkit.data.problems import Problem
from visionkit.evaluation.summary import counted
from visionkit.files import write_json
from visionkit.inference.engines.exported import exports_in
from visionkit.inference.predictor import Predictor
from visionkit.jobs.pictures import reference_pictures
from visionkit.jobs.promote import promote
from visionkit.jobs.sources import read_backgrounds, read_item_views, read_views
from visionkit.jobs.summary import Summary
from visionkit.jobs.terminal import (
    problems_kept,
    progress,
    replace_problems,
    say,
    say_next,
    say_table,
)
from visionkit.matching.audit import Finding, GalleryAudit, audit_gallery
from visionkit.matching.gallery import View
from visionkit.scores import score_text
from visionkit.types import Image

_SHOWN = 20


def gallery(config: GalleryConfig, bundle: Path) -> Summary:
    """Does what `config.action` says to a bundle: add, remove, list, audit or promote.

    Adding to a bundle that is not there makes one on the starter weights: nothing needs to be
    trained first; `config.background` is for that, and for the first item of a bundle that has only
    trained heads. A bundle that is changed is written anew
    beside the old one and put in its place in one step: a process that is killed leaves the old
    bundle whole.

    Raises:
        FileNotFoundError: there is no such picture; or no bundle, but for adding.
        ValueError: the bundle is damaged, no picture can be used, the name of the item is
            missing or unknown, a view is unknown, or a background is given and no gallery begun.
        RuntimeError: the disk is full; the bundle is as before.
    """
    if config.background is not None and config.action != "add":
        raise _needless_background(config, bundle)
    actions = {
        "add": _add,
        "remove": _remove,
        "list": _list,
        "audit": _audit,
        "promote": _promote,
    }
    return actions[config.action](config, bundle)


def _add(config: GalleryConfig, bundle: Path) -> Summary:
    if not config.images:
        raise ValueError("images must name pictures of the item, got none; say images=PATH")
    if config.item is not None and not config.item.strip():
        raise ValueError(f"item must be a name, got {config.item!r}")
    is_new = not os.path.lexists(bundle)
    target = _beside(bundle, "problems.csv")
    with problems_kept(target.parent, name=target.name):
        predictor, problems = _opened(config, bundle)
        views, more = _read(config)
        problems += more
    replace_problems(problems, target.parent, name=target.name)
    before = list(predictor.finder.gallery.views)
    fresh = _without_copies(before, views)
    if not fresh:
        say(f"Nothing was changed: {counted(len(views), 'picture')} given, all in the gallery.")
        return Summary(bundle, {"views_added": 0})
    with progress("Adding", len(fresh)) as step:
        predictor.finder.add(fresh, progress=step)
    exported = exports_in(bundle)
    predictor.save(bundle, overwrite=not is_new)
    _say_dropped(sorted(exported.keys() - exports_in(bundle).keys()), bundle)
    if is_new:
        own = f", calibrated on {config.background}" if config.background else ""
        say(f"There was no {bundle}: it is a new bundle, on the starter weights{own}.")
    added, had = Counter(view.item for view in fresh), Counter(view.item for view in before)
    rows = [
        (item, str(count), str(had[item] + count), score_text(predictor.thresholds[item]))
        for item, count in sorted(added.items())
    ]
    say_table(f"Added to {bundle}", ("item", "pictures added", "pictures now", "threshold"), rows)
    if len(fresh) < len(views):
        left_out = counted(len(views) - len(fresh), "copy", "copies")
        say(f"Left out: {left_out} of pictures that the item has already.")
    _say_shared(predictor.finder.gallery.views, set(added))
    say_next(
        ["gallery", "audit", f"bundle={bundle}"],
        ["predict", f"bundle={bundle}", "source=PICTURE_OR_FOLDER"],
    )
    return Summary(bundle, {"views_added": len(fresh), "items": len(predictor.items)})


def _say_dropped(names: Sequence[str], bundle: Path) -> None:
    if names:
        say(
            f"Exported networks no longer fit the bundle and are gone: {', '.join(names)}; "
            f"visionkit export bundle={bundle} makes them anew."
        )


def _opened(config: GalleryConfig, bundle: Path) -> tuple[Predictor, list[Problem]]:
    """The bundle's predictor, or a new one, with a gallery; and what was wrong in its background.

    Raises:
        FileNotFoundError: there is no such background.
        ValueError: the bundle is damaged, no picture of the background can be used, or the gallery
            was begun on others.
    """
    predictor = _load(bundle) if os.path.lexists(bundle) else None
    if predictor is not None and "exemplar" in predictor.tasks:
        if config.background is not None:
            raise _needless_background(config, bundle)
        return predictor, []
    background: list[Image] = []
    problems: list[Problem] = []
    if config.background is not None:
        pictures, problems = read_backgrounds(config.background)
        background = reference_pictures(pictures)
    if predictor is None:
        return Predictor.create(background=background), problems
    predictor.start_gallery(background=background)
    return predictor, problems


def _needless_background(config: GalleryConfig, bundle: Path) -> ValueError:
    return ValueError(
        f"background={config.background} is only used where add begins a gallery, got "
        f"{config.action} and the bundle {bundle}, which keeps the pictures its gallery was begun "
        "with; leave it out, or add to another bundle"
    )


def _load(bundle: str | Path) -> Predictor:
    """A bundle as torch sees it: what is kept of views must not depend on an engine."""
    return Predictor.load(bundle, engine="torch")


def _read(config: GalleryConfig) -> tuple[list[View], list[Problem]]:
    """The views to add: of one named item, or of all items at each path."""
    if config.item is not None:
        return read_item_views(config.item, config.images, format=config.format)
    views: list[View] = []
    problems: list[Problem] = []
    for source in config.images:
        path = Path(source)
        if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES:
            raise ValueError(
                f"the item that {source} shows must be named, got no item=; say item=NAME"
            )
        found, more = read_views(source, format=config.format)
        views += found
        problems += more
    return views, problems


def _without_copies(before: Sequence[View], views: Sequence[View]) -> list[View]:
    known = {(view.item, view.id) for view in before}
    fresh = []
    for view in views:
        if (view.item, view.id) not in known:
            known.add((view.item, view.id))
            fresh.append(view)
    return fresh


def _say_shared(views: Sequence[View], items: set[str]) -> None:
    """Says which of `items` have a picture that another item has too."""
    owners: dict[str, set[str]] = {}
    for view in views:
        owners.setdefault(view.id, set()).add(view.item)
    for names in owners.values():
        if len(names) > 1 and names & items:
            say(
                f"{' and '.join(sorted(names))} have the same picture: it will be found as each "
                "of them. Remove it where it does not belong."
            )


def _remove(config: GalleryConfig, bundle: Path) -> Summary:
    if config.item is None and not config.images:
        raise ValueError("what to remove must be said: item=NAME, or images=[...] of views")
    predictor = _load(bundle)
    finder = predictor.finder
    before = len(finder.gallery.views)
    if config.images:
        chosen = _chosen(finder.gallery.views, config.item, config.images)
        finder.drop(chosen)
    elif config.item is not None:
        finder.remove(config.item)
    predictor.save(bundle, overwrite=True)
    gone = before - len(finder.gallery.views)
    say(
        f"Removed {counted(gone, 'picture')} from {bundle}; it has "
        f"{counted(len(predictor.items), 'item')} with "
        f"{counted(len(finder.gallery.views), 'picture')} now."
    )
    return Summary(bundle, {"views_removed": gone, "items": len(predictor.items)})


def _chosen(views: Sequence[View], item: str | None, words: Sequence[str]) -> set[int]:
    """Indices of the views meant by ids, or by the files, folders or globs they came from.

    Raises:
        ValueError: a word means no view.
    """
    of_item = {n: view for n, view in enumerate(views) if item in (None, view.item)}
    chosen: set[int] = set()
    for word in words:
        paths = {os.path.abspath(word)}
        if Path(word).exists() or any(sign in word for sign in "*?["):
            paths |= {os.path.abspath(path) for path in find_images(word)}
        meant = {
            n
            for n, view in of_item.items()
            if view.id == word or (view.source and os.path.abspath(view.source) in paths)
        }
        if not meant:
            raise ValueError(
                f"{word} must be the id or the file of a view{f' of {item}' if item else ''}, "
                "but is none; visionkit gallery list names them"
            )
        chosen |= meant
    return chosen


def _list(config: GalleryConfig, bundle: Path) -> Summary:
    predictor = _load(bundle)
    views = predictor.finder.gallery.views
    if config.item is None:
        count = Counter(view.item for view in views)
        rows = [
            (item, str(count[item]), score_text(predictor.thresholds[item]))
            for item in predictor.items
        ]
        say_table(f"Items of {bundle}", ("item", "pictures", "threshold"), rows)
        say(
            f"{counted(len(rows), 'item')}, {counted(len(views), 'picture')}; "
            "item=NAME lists the pictures of one."
        )
    else:
        own = [view for view in views if view.item == config.item]
        if not own:
            predictor.finder.gallery.remove(config.item)  # says which items there are
        rows = [(view.id, _size(view), view.source or "–") for view in own]
        say_table(f"Pictures of {config.item}", ("id", "pixels", "from"), rows)
    return Summary(bundle, {"items": len(predictor.items), "views": len(views)})


def _size(view: View) -> str:
    x_min, y_min, x_max, y_max = view.box
    return f"{x_max - x_min:.0f}x{y_max - y_min:.0f}"


def _audit(config: GalleryConfig, bundle: Path) -> Summary:
    predictor = _load(bundle)
    views = predictor.finder.gallery.views
    with progress("Auditing", len(views)) as step:
        audit = audit_gallery(predictor.finder, progress=step)
    target = _beside(bundle, "audit.json")
    write_json(target, audit.to_json())
    _say_audit(audit, views)
    say("", f"Everything that was measured: {target}")
    if audit.findings:
        say_next(
            ["gallery", "remove", f"bundle={bundle}", "images=[ID]"],
            ["gallery", "add", f"bundle={bundle}", "item=NAME", "images=PATH"],
        )
    counts = Counter(finding.kind for finding in audit.findings)
    metrics = {kind.replace(" ", "_"): float(count) for kind, count in counts.items()}
    return Summary(bundle, {"findings": float(len(audit.findings)), **metrics})


def _promote(config: GalleryConfig, bundle: Path) -> Summary:
    items = _load(bundle).finder.item_names
    target = _beside(bundle, "promoted") if config.output is None else Path(config.output)
    return promote(config, items, target)


def _beside(bundle: Path, name: str) -> Path:
    """A file beside a bundle, not in it: there lies only what was written and checked with it."""
    whole = bundle if bundle.name not in ("", "..") else bundle.resolve()
    return whole.with_name(f"{whole.name}_{name}")


def _say_audit(audit: GalleryAudit, views: Sequence[View]) -> None:
    if not views:
        say("The gallery is empty; add an item with visionkit gallery add.")
        return
    if not audit.findings:
        say(f"Nothing to say of {counted(len(views), 'picture')}: no mix-ups, no poor pictures.")
    files = {view.id: f"{Path(view.source).name} {view.id}".strip() for view in views}
    for number, finding in enumerate(audit.findings[:_SHOWN], start=1):
        say(f"{number}. {finding.kind}: {_names(finding, files)}")
        say(f"   {finding.why}", f"   -> {finding.advice}")
    if len(audit.findings) > _SHOWN:
        say(f"... and {len(audit.findings) - _SHOWN} more")


def _names(finding: Finding, files: dict[str, str]) -> str:
    items = " and ".join(finding.items)
    shown = [files[view] for view in finding.views[:3]]
    more = f" and {len(finding.views) - 3} more" if len(finding.views) > 3 else ""
    return f"{items} ({', '.join(shown)}{more})"
