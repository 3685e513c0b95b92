"""The catalog: pictures, what models say of them, what people answered, versions and models."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from visionkit.flywheel.answers import Correction, Proposal, Truth
from visionkit.flywheel.catalog.corrections import CorrectionTable, check_correction
from visionkit.flywheel.catalog.cuts import back_to, changed_since, vouched_for
from visionkit.flywheel.catalog.models import Model, ModelTable
from visionkit.flywheel.catalog.predictions import ProposalTable
from visionkit.flywheel.catalog.samples import Embeddings, SampleTable
from visionkit.flywheel.catalog.shown import by_people, with_truth
from visionkit.flywheel.catalog.store import Store
from visionkit.flywheel.catalog.versions import Change, Cut, Version, VersionTable, changes
from visionkit.types import Sample


class Catalog:
    """Everything that the flywheel knows. Made by `open_catalog`.

    Threads and processes may share a catalog in a folder: each sees what the others have written
    by its next call, and each write is whole and on the disk when the call returns. In object
    storage only one process may write.

    Attributes:
        uri: where it lies.
    """

    def __init__(self, store: Store) -> None:
        self.uri = store.uri
        self._store = store
        with store.writing():
            self._samples = SampleTable(store)
            self._corrections = CorrectionTable(store, self._samples)
            self._proposals = ProposalTable(store)
            self._versions = VersionTable(store)
            self._models = ModelTable(store)
        self._now: list[Sample] = []
        self._truths: dict[str, Truth] = {}
        self._shown = self._moved = 0
        self._is_read = self._has_proposals = False

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keeps all others from writing for a block; what was read in it is so when it ends."""
        with self._store.writing():
            yield

    def add_samples(
        self,
        samples: Sequence[Sample],
        *,
        thumbnails: Sequence[bytes] | None = None,
        embeddings: Embeddings | None = None,
        reviewed: bool | Sequence[bool] | None = None,
    ) -> int:
        """How many pictures were new; a known one is left as it is, but gets what it lacked.

        Args:
            samples: with labels and boxes where they have some.
            thumbnails: JPEG, one a sample, b"" for none.
            embeddings: (N, D) float32, one a sample.
            reviewed: whether people have said what the pictures show, also that it is nothing.
                None takes it so where there are labels or boxes and all boxes are by people.

        Raises:
            ValueError: ids are given twice, or one is that of another picture (by
                `content_hash`); lengths don't agree, or embeddings have another length than
                those in the catalog.
        """
        if reviewed is None:
            known = [by_people(sample) for sample in samples]
        else:
            known = [reviewed] * len(samples) if isinstance(reviewed, bool) else list(reviewed)
        if len(known) != len(samples):
            raise ValueError(f"reviewed must be one a sample ({len(samples)}), got {len(known)}")
        with self._store.writing():
            self._follow()
            added = self._samples.add(
                samples, reviewed=known, thumbnails=thumbnails, embeddings=embeddings
            )
            self._follow()
            return len(added)

    def add_proposals(
        self,
        proposals: Sequence[Proposal],
        *,
        asked: Collection[tuple[str, str]] = (),
        tasks: Collection[str] = (),
    ) -> int:
        """How many answers of models were added.

        All that a model says of a picture comes in one call, and takes the place of what it said
        before.

        Args:
            proposals: of pictures of the catalog.
            asked: (sample id, model) of those about which the model may have nothing to say.
            tasks: that these models were asked for: what others had said of those is outdated.
                Without them only what is said takes the place of other models' words.

        Raises:
            KeyError: a picture is not in the catalog.
        """
        with self._store.writing():
            self._follow()
            for name in {entry.sample_id for entry in proposals} | {name for name, _ in asked}:
                self._samples.place(name)
            self._proposals.follow()
            self._proposals.add(proposals, asked, tasks)
        return len(proposals)

    def samples(self, ids: Sequence[str] | None = None) -> list[Sample]:
        """The pictures as they are now, in the order given, or all in the order they came.

        Raises:
            KeyError: one is not in the catalog.
        """
        self._read()
        if ids is None:
            return list(self._now)
        return [self._now[self._samples.place(name)] for name in ids]

    def truth(self, sample_id: str) -> Truth:
        """What a picture shows.

        Raises:
            KeyError: it is not in the catalog.
        """
        self._read()
        self._samples.place(sample_id)
        return self._truths[sample_id]

    def truth_at(self, sample_id: str, revision: int) -> Truth:
        """What a picture showed when a correction of a revision came, one that was read before.

        Raises:
            KeyError: it is not in the catalog.
            IndexError: it never was of that revision.
        """
        if not self._is_read:  # else not each time: the page asks for thousands at once
            self._read()
        return self._corrections.truth_at(self._samples.place(sample_id), revision)

    def imported(self, sample_id: str) -> Truth:
        """What was said of a picture when it came into the catalog.

        Raises:
            KeyError: it is not in the catalog.
        """
        self._read()
        return self._samples.imported(self._samples.place(sample_id))

    def truths(self) -> dict[str, Truth]:
        """What every picture shows, by id, in the order they came."""
        self._read()
        return dict(self._truths)

    def uri_of(self, sample_id: str) -> str:
        """The file of a picture.

        Raises:
            KeyError: it is not in the catalog.
        """
        return self.samples([sample_id])[0].uri

    def move(self, places: Mapping[str, str]) -> None:
        """Says where the files of pictures lie now, by id; their pixels must be the same.

        Raises:
            KeyError: one is not in the catalog.
        """
        with self._store.writing():
            self._follow()
            for name in places:
                self._samples.place(name)
            self._samples.move(places)
            self._follow()

    def thumbnail(self, sample_id: str) -> bytes:
        """JPEG of at most 256 pixels a side, or b"" where there is none."""
        return self._samples.thumbnail(sample_id)

    def embeddings(self, ids: Sequence[str] | None = None) -> tuple[list[str], Embeddings]:
        """The pictures that have an embedding, of those given or all, and (N, D) float32."""
        names, vectors = self._samples.embeddings(ids)
        return names, np.ascontiguousarray(vectors)

    def embedding_length(self) -> int | None:
        """How many numbers an embedding has; None before the first."""
        return self._samples.embedding_length()

    def thumbnailed(self) -> set[str]:
        """The pictures that have a thumbnail."""
        return self._samples.thumbnailed()

    def embedded(self) -> set[str]:
        """The pictures that have an embedding."""
        return self._samples.embedded()

    def proposals(
        self, ids: Sequence[str] | None = None, *, model: str | None = None
    ) -> list[Proposal]:
        """The newest answers of every model, or of one, about some pictures or all."""
        self._read_proposals()
        return self._proposals.select(ids, model)

    def asked(self) -> dict[str, tuple[str, ...]]:
        """Picture -> the models that were asked about it, the one that was asked last at the end.

        Those that had nothing to say are among them; a picture that none was asked about is not.
        """
        self._read_proposals()
        return self._proposals.asked()

    def last_asked(self) -> dict[str, dict[str, str]]:
        """Picture -> task -> the model that was asked for it last, also if it said nothing."""
        self._read_proposals()
        return self._proposals.last_asked()

    def asked_at(self) -> dict[str, str]:
        """Picture -> when a model was asked about it last, in ISO 8601; those of `asked`."""
        self._read_proposals()
        return self._proposals.asked_at()

    def correct(self, correction: Correction) -> Truth:
        """What the picture shows after an answer; the same answer again changes nothing.

        "undo" takes back the reviewer's own last answer, if it is the last of the picture that
        stands; its labels and boxes don't matter. New boxes by "human" become "human:<reviewer>".

        Raises:
            Conflict: somebody has answered since the reviewer saw the picture; nothing is written.
            KeyError: the picture is not in the catalog.
            ValueError: the answer is none, or there is nothing to take back.
        """
        check_correction(correction)
        with self._store.writing():
            self._follow()
            self._samples.place(correction.sample_id)
            if correction.id not in self._corrections:
                self._corrections.add(correction)
                self._follow()
            return self._truths[correction.sample_id]

    def corrections(self, *, since: str = "") -> list[Correction]:
        """All answers in their order, or those after the one of an id.

        Raises:
            KeyError: there is no answer of that id.
        """
        self._read()
        first = self._corrections.place(since) + 1 if since else 0
        return self._corrections.all[first:]

    def extent(self) -> tuple[int, ...]:
        """What is another one once somebody has written; quick, also where there is much.

        It tells of pictures and where they lie, answers of models and people, versions and models,
        not of thumbnails and embeddings that known pictures got.
        """
        self._read()
        self._read_proposals()
        with self._store.reading(wait=True):
            self._models.follow()
        tables = (self._samples, self._corrections, self._proposals, self._versions, self._models)
        return (*(table.last for table in tables), len(self._samples.moved))

    def unmerged(self) -> int:
        """How many pictures people have changed or vouched for since the last version.

        Those that came labelled since then are among them.
        """
        self._read()
        return len(self._changed())

    def merge(self, *, author: str, note: str = "") -> Version:
        """A new version: all pictures that somebody has vouched for, as they are now.

        Raises:
            ValueError: nothing has changed since the last version.
        """
        with self._store.writing():
            self._follow()
            if not self._changed():
                raise ValueError(
                    "there must be corrections or pictures that no version has, got none; "
                    "review some pictures first"
                )
            return self._add_version(author, note)

    def versions(self) -> list[Version]:
        """The versions in their order."""
        self._read()
        return list(self._versions.all)

    def at(self, version: str) -> list[Sample]:
        """The pictures of a version exactly as they were, in the order they came.

        Pictures that nobody had vouched for are not among them: to be without labels doesn't mean
        that they show nothing.

        Raises:
            KeyError: there is no such version.
        """
        self._read()
        return [sample for sample, _ in self._vouched_for(self._versions.cut(version))]

    def revisions(self, version: str) -> dict[str, int]:
        """By id, which revision of its truth a version has of each of its pictures.

        Raises:
            KeyError: there is no such version.
        """
        self._read()
        found = self._vouched_for(self._versions.cut(version))
        return {sample.id: truth.revision for sample, truth in found}

    def restore(self, version: str, *, author: str) -> Version:
        """A new version equal to an old one. Answers since then stay in the log.

        Pictures that the old version doesn't have are as if nobody had vouched for them.

        Raises:
            KeyError: there is no such version.
        """
        with self._store.writing():
            self._follow()
            cut = self._versions.cut(version)
            then = list(back_to(self._samples, self._corrections, self._truths, cut))
            self._corrections.set(then, author=author)
            self._follow()
            return self._add_version(author, f"equal to {version}", restored=version)

    def diff(self, old: str, new: str) -> list[Change]:
        """The pictures that changed between two versions, by id.

        Raises:
            KeyError: there is no such version.
        """
        return changes(self.at(old), self.at(new))

    def add_model(self, model: Model) -> None:
        """Adds a bundle with what it was made of.

        Raises:
            ValueError: its name is taken or empty, its status is none, or there is a champion.
        """
        with self._store.writing():
            self._models.follow()
            self._models.add(model)

    def models(self) -> list[Model]:
        """The models in the order they came, each as it stands now."""
        with self._store.reading(wait=True):
            self._models.follow()
            return list(self._models.by_name.values())

    def champion(self) -> Model | None:
        """The model in use, or None before one was promoted."""
        with self._store.reading(wait=True):
            self._models.follow()
            return self._models.champion()

    def promote(self, model: str | Model) -> Model:
        """Makes a model, by name or a new one, the champion, and retires the one that was.

        Raises:
            KeyError: there is no model of that name.
            ValueError: the name of a new one is taken or empty.
        """
        with self._store.writing():
            self._models.follow()
            return self._models.promote(model)

    def _read(self) -> None:
        """Takes in what others have written, unless another thread writes at this moment."""
        with self._store.reading(wait=not self._is_read) as free:
            if free:
                self._follow()

    def _read_proposals(self) -> None:
        """As `_read`, of what models say."""
        with self._store.reading(wait=not self._has_proposals) as free:
            if free:
                self._proposals.follow()
                self._has_proposals = True

    def _follow(self) -> None:
        """Takes in what anybody has written, and keeps `_now` and `_truths` what is so now."""
        self._versions.follow()
        self._corrections.follow()
        news = self._samples.all[len(self._now) :]
        for place, sample in enumerate(news, start=len(self._now)):
            self._truths[sample.id] = self._samples.imported(place)
        self._now += news
        for place in self._samples.moved[self._moved :]:
            self._now[place] = replace(self._now[place], uri=self._samples.all[place].uri)
        self._moved = len(self._samples.moved)
        for name in self._corrections.answered(since=self._shown - 1):
            place = self._samples.place(name)
            truth = self._truths[name] = self._corrections.truth(place)
            self._now[place] = with_truth(self._samples.all[place], truth)
        self._shown = len(self._corrections.all)
        self._is_read = True

    def _changed(self) -> set[str]:
        cut = self._versions.last_cut()
        return changed_since(self._samples, self._corrections, self._truths, cut)

    def _vouched_for(self, cut: Cut) -> list[tuple[Sample, Truth]]:
        return vouched_for(self._samples, self._corrections, cut)

    def _add_version(self, author: str, note: str, *, restored: str = "") -> Version:
        cut = Cut(self._samples.last, self._corrections.last)
        samples = [sample for sample, _ in self._vouched_for(cut)]
        return self._versions.add(samples, cut, author=author, note=note, restored=restored)
