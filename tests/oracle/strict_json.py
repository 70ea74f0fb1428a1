"""Reads one record as JSON, strictly, and keeps numbers as they were written."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

DEPTH_MAX = 64
# In this order: a record has one such reason, the first that applies.
FAULTS = (
    "json_invalid",
    "json_not_object",
    "json_duplicate_key",
    "json_number_range",
    "json_surrogate",
    "json_nul",
    "json_depth",
)
RAW_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\x00")


class Number(str):
    """A number as written; never its value."""

    __slots__ = ()


class Members(list[tuple[str, Any]]):
    """An object's members in their order, duplicates included."""

    __slots__ = ()


def _refuse(_constant: str) -> NoReturn:
    raise ValueError("NaN and Infinity are no JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=Members,
    parse_int=Number,
    parse_float=Number,
    parse_constant=_refuse,
)


def _parse(text: str) -> Any:
    body = text.strip(" \t\r\n")
    value, end = _DECODER.raw_decode(body)
    if end != len(body):
        raise ValueError("something follows the value")
    return value


def _text_faults(text: str) -> set[str]:
    faults = set()
    if any("\ud800" <= char <= "\udfff" for char in text):
        faults.add("json_surrogate")
    if "\x00" in text:
        faults.add("json_nul")
    return faults


def _object_faults(members: Members, depth: int) -> set[str]:
    keys = [key for key, _ in members]
    faults = set().union(*map(_text_faults, keys)) if keys else set()
    if depth <= DEPTH_MAX and len(set(keys)) < len(keys):
        faults.add("json_duplicate_key")
    return faults


def _faults(value: Any) -> set[str]:
    faults: set[str] = set()
    todo: list[tuple[Any, int]] = [(value, 1)]
    while todo:
        item, depth = todo.pop()
        if isinstance(item, Number):
            if float(item) in (float("inf"), float("-inf")):
                faults.add("json_number_range")
        elif isinstance(item, str):
            faults |= _text_faults(item)
        elif isinstance(item, list):
            if depth > DEPTH_MAX:
                faults.add("json_depth")
            inner = item
            if isinstance(item, Members):
                faults |= _object_faults(item, depth)
                inner = [member for _, member in item]
            todo.extend((one, depth + 1) for one in inner)
    return faults


def read(record: bytes) -> tuple[dict[str, Any] | None, str | None]:
    """The record's fields, or the one reason why it cannot be read."""
    try:
        text = record.decode("utf-8")
        # A raw NUL inside a text has a reason of its own; anywhere else an escape is as wrong as the byte.
        value = _parse(RAW_NUL.sub(r"\1\\u0000", text))
    except (ValueError, RecursionError):
        return None, "json_invalid"
    faults = _faults(value)
    if not isinstance(value, Members):
        faults.add("json_not_object")
    for fault in FAULTS:
        if fault in faults:
            return None, fault
    return dict(value), None
