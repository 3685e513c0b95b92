"""What a task calls that which it finds: the words of its tables, sentences and report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Wording:
    """The words of a task.

    Attributes:
        key: under which files state it.
        kind, kinds: what finds are told apart by, one and several.
        a_kind: `kind` with its article.
        thing, things: what pictures hold, one and several.
        a_thing: `thing` with its article.
    """

    key: str
    kind: str
    kinds: str
    a_kind: str
    thing: str
    things: str
    a_thing: str

    def outcome(self, name: str) -> str:
        """One of `visionkit.evaluation.outcomes.OUTCOMES` in these words.

        >>> CLASSES.outcome("wrong item"), CLASSES.outcome("true")
        ('wrong class', 'true')
        """
        return f"wrong {self.kind}" if name == "wrong item" else name


ITEMS = Wording("item", "item", "items", "an item", "item", "items", "an item")
"""Of the exemplar head: an item is a thing and what it is called."""
CLASSES = Wording("label", "class", "classes", "a class", "object", "objects", "an object")
"""Of the localization head: objects of classes."""
