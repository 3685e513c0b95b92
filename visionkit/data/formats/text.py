"""Text, JSON and XML from strangers, with line numbers, and without what can do harm."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax import SAXParseException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl, Locator

import defusedxml.sax
from defusedxml.common import DefusedXmlException

_BYTE_ORDER_MARKS = (
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
)
_JSON_BLANKS = " \t\r\n"


class TextError(ValueError):
    """A file that can't be read as what it should be.

    Attributes:
        reason: what is wrong with it, and what to do.
        line: where, from 1; None where the whole file is meant.
    """

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason if line is None else f"line {line}: {reason}")
        self.reason, self.line = reason, line


@dataclass(frozen=True)
class Element:
    """An XML element: tag, text before its first child, line, children and attributes."""

    tag: str
    line: int
    text: list[str] = field(default_factory=list)
    children: list[Element] = field(default_factory=list)
    attributes: dict[str, str] = field(default_factory=dict)

    def child(self, tag: str) -> Element | None:
        """The first child named `tag`."""
        return next((child for child in self.children if child.tag == tag), None)

    def value(self, tag: str) -> str:
        """The text of the first child named `tag`; "" where there is none."""
        child = self.child(tag)
        return "".join(child.text) if child else ""


def read_text(path: Path) -> str:
    """The text of a UTF-8 or (by its byte order mark) UTF-16 file.

    Raises:
        TextError: the file is empty, missing, or in another encoding; names the line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TextError(f"the file can't be read ({error.strerror})") from error
    if not content.strip():
        raise TextError("the file is empty; fetch it again, or leave it out")
    marks = (name for mark, name in _BYTE_ORDER_MARKS if content.startswith(mark))
    encoding = next(marks, "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise TextError(
            f"the text must be UTF-8, but byte {error.start} is not (is it Latin-1 or "
            "Windows-1252?); save it as UTF-8",
            content.count(b"\n", 0, error.start) + 1,
        ) from error


class JsonObject:
    """A JSON object of which the elements of its lists know their lines.

    Attributes:
        values: name -> value, for all that is not a list.
        lists: name -> (line, element) for each element.
    """

    def __init__(self, text: str) -> None:
        self.values: dict[str, Any] = {}
        self.lists: dict[str, list[tuple[int, Any]]] = {}
        self._text = text
        self._starts = [0]
        self._starts += [match.end() for match in re.finditer("\n", text)]
        self._decoder = json.JSONDecoder()
        try:
            self._read_object()
        except json.JSONDecodeError as error:
            raise TextError(
                f"the JSON is broken or cut short ({error.msg}, column {error.colno}); "
                "export it again",
                error.lineno,
            ) from error
        except TextError:
            raise
        except ValueError as error:  # an integer of thousands of digits
            raise TextError(f"the JSON can't be read ({error}); export it again") from error
        except RecursionError as error:
            raise TextError("the JSON is nested too deeply; export it again") from error

    def _read_object(self) -> None:
        position = self._skip(0)
        if self._text[position : position + 1] != "{":
            value, _ = self._decoder.raw_decode(self._text, position)
            raise TextError(f"the file must hold a JSON object, got a {type(value).__name__}", 1)
        position = self._skip(position + 1)
        while self._text[position : position + 1] != "}":
            key, position = self._decoder.raw_decode(self._text, position)
            position = self._skip(self._expect(":", position))
            if self._text[position : position + 1] == "[":
                position = self._read_list(str(key), position + 1)
            else:
                self.values[str(key)], position = self._decoder.raw_decode(self._text, position)
            position = self._next(position, "}")

    def _read_list(self, key: str, position: int) -> int:
        """Reads the elements of a list whose bracket is open; returns what follows it."""
        elements = self.lists[key] = []
        position = self._skip(position)
        while self._text[position : position + 1] != "]":
            line = bisect_right(self._starts, position)
            value, position = self._decoder.raw_decode(self._text, position)
            elements.append((line, value))
            position = self._next(position, "]")
        return position + 1

    def _next(self, position: int, end: str) -> int:
        """The position of the next element, or of `end`."""
        position = self._skip(position)
        if self._text[position : position + 1] == end:
            return position
        return self._skip(self._expect(",", position))

    def _expect(self, sign: str, position: int) -> int:
        position = self._skip(position)
        if self._text[position : position + 1] != sign:
            raise json.JSONDecodeError(f"Expecting {sign!r}", self._text, position)
        return position + 1

    def _skip(self, position: int) -> int:
        while position < len(self._text) and self._text[position] in _JSON_BLANKS:
            position += 1
        return position


def parse_json_line(text: str) -> dict[str, Any]:
    """The JSON object in a line.

    Raises:
        TextError: it is none, or broken.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise TextError(f"the JSON is broken ({error.msg}, column {error.colno})") from error
    except ValueError as error:  # an integer of thousands of digits
        raise TextError(f"the JSON can't be read ({error})") from error
    except RecursionError as error:
        raise TextError("the JSON is nested too deeply") from error
    if not isinstance(value, dict):
        raise TextError(f"the line must hold a JSON object, got a {type(value).__name__}")
    return value


def read_xml(path: Path) -> Element:
    """The root element of an XML file; document types and entities are refused.

    Raises:
        TextError: the file is empty, broken, or has a document type; names the line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TextError(f"the file can't be read ({error.strerror})") from error
    builder = _TreeBuilder()
    try:
        defusedxml.sax.parseString(content, builder, forbid_dtd=True)
    except SAXParseException as error:
        raise TextError(
            f"the XML is broken or cut short ({error.getMessage()}); export it again",
            error.getLineNumber(),
        ) from error
    except DefusedXmlException as error:
        raise TextError(
            "the XML must have no document type (DTD) and no entities of its own, which can "
            "be used for attacks; take them out"
        ) from error
    return builder.root


class _TreeBuilder(ContentHandler):
    def __init__(self) -> None:
        super().__init__()
        self.root = Element("", 0)
        self._open: list[Element] = []
        self._locator: Locator | None = None

    def setDocumentLocator(self, locator: Locator) -> None:
        self._locator = locator

    def startElement(self, name: str, attrs: AttributesImpl) -> None:
        line = self._locator.getLineNumber() if self._locator else None
        element = Element(name, line or 0, attributes=dict(attrs.items()))
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def endElement(self, name: str) -> None:
        self._open.pop()

    def characters(self, content: str) -> None:
        if not self._open[-1].children:
            self._open[-1].text.append(content)
