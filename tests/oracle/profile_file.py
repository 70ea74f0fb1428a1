"""What a profile declares about the records of one source."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import times
import words

DEFAULT_STATUS = {
    "aktif": "AKTIF",
    "tidakaktif": "TIDAK_AKTIF",
    "nonaktif": "TIDAK_AKTIF",
    "non-aktif": "TIDAK_AKTIF",
    "cuti": "CUTI",
    "tugasbelajar": "TUGAS_BELAJAR",
}
LISTS = {"employment": "employments", "pendidikan": "pendidikan", "pelatihan": "pelatihan"}


@dataclass
class Profile:
    """The record part of a profile, the mapping of the active status, and the time of the fetch."""

    record: dict[str, Any]
    status_aktif: dict[str, str]
    fetched_at: int

    def __post_init__(self) -> None:
        self.code_system: str = self.record["code_system"]
        self.stamp: str = self.record["stamp"]
        self.stamp_formats: list[str] = self.record.get("stamp_formats", [])
        self.date_formats: list[str] = self.record["date_formats"]
        self.zone = times.zone_micros(self.record["zone"])
        self.str_for_life = {words.word(text) for text in self.record.get("str_for_life", ["Seumur Hidup"])}

    def name(self, section: str, field: str) -> str | None:
        """The source's name of our field."""
        return self.record.get(section, {}).get(field)

    def value(self, fields: dict[str, Any], section: str, field: str) -> Any:
        """What stands in our field; None where the source has no name for it, whatever else the record holds."""
        name = self.name(section, field)
        return None if name is None else fields.get(name)

    def path(self, section: str, field: str) -> str:
        """How a reason calls it."""
        name = self.name(section, field) or field
        return name if section == "fields" else f"{self.name('fields', LISTS[section])}[].{name}"


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in changes.items():
        out[key] = _merged(out[key], value) if isinstance(value, dict) else value
    return out


def load(profiles: Path, shipped: Path) -> dict[str, Profile]:
    """Every profile of the golden cases: the shipped one with a few declarations changed."""
    document = tomllib.loads(profiles.read_text(encoding="utf-8"))
    record = tomllib.loads(shipped.read_text(encoding="utf-8"))["record"]
    fetched_at = times.read_stamp(document["fetched_at"], ["rfc3339"], 0)
    assert fetched_at is not None, "fetched_at is RFC 3339"
    found = {}
    for name, changes in document["profile"].items():
        declared = {words.word(raw): meaning for raw, meaning in changes.get("status_aktif", {}).items()}
        found[name] = Profile(_merged(record, changes.get("record", {})), declared or DEFAULT_STATUS, fetched_at)
    return found
