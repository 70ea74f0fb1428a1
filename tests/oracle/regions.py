"""Regions: one declared code system in, Kemendagri 2025 out. The name of a place never decides its code."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from pathlib import Path

import words

# Names that a regency had under the same code, or that BPS spells in its own way.
OTHER_NAMES = {
    "1212": "Kabupaten Toba Samosir",
    "1277": "Kota Padang Sidempuan",
    "7601": "Kabupaten Mamuju Utara",
    "8103": "Kabupaten Maluku Tenggara Barat",
}
KINDS = {"kab": "kabupaten", "kabupaten": "kabupaten", "kota": "kota"}
LEFT_OUT = ("adm", "administrasi")


@dataclass
class Tables:
    """The reference tables, by codes without dots."""

    provinces: set[str] = field(default_factory=set)
    regencies: dict[str, str] = field(default_factory=dict)
    retired: dict[str, str] = field(default_factory=dict)
    kecamatan: set[str] = field(default_factory=set)
    bps_provinces: dict[str, str] = field(default_factory=dict)
    bps_regencies: dict[str, str] = field(default_factory=dict)

    def regency(self, system: str, code: str) -> str | None:
        """Kemendagri code of today of a regency's code in the declared system."""
        if system == "bps-2023":
            return self.bps_regencies.get(code)
        today = self.retired.get(code, code)
        return today if today in self.regencies else None

    def province(self, system: str, code: str) -> str | None:
        """The same of a province's code."""
        if system == "bps-2023":
            return self.bps_provinces.get(code)
        return code if code in self.provinces else None


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def load(folder: Path) -> Tables:
    """Reads wilayah.csv, wilayah_pemekaran.csv and wilayah_kecamatan.csv."""
    tables = Tables()
    for row in _rows(folder / "wilayah.csv"):
        code = row["kemendagri_code"].replace(".", "")
        if row["level"] == "province":
            tables.provinces.add(code)
            tables.bps_provinces[row["bps_code"]] = code
        else:
            tables.regencies[code] = row["name"]
            tables.bps_regencies[row["bps_code"]] = code
    for row in _rows(folder / "wilayah_pemekaran.csv"):
        old, new = row["old_kemendagri_code"], row["new_kemendagri_code"]
        tables.retired[old.replace(".", "")] = new.replace(".", "")
    for row in _rows(folder / "wilayah_kecamatan.csv"):
        tables.kecamatan.add(row["kemendagri_code"].replace(".", ""))
    return tables


def digits(text: str, count: int) -> str | None:
    """Exactly so many digits, dots and blanks ignored."""
    bare = words.without_blanks(text).replace(".", "")
    return bare if re.fullmatch(rf"[0-9]{{{count}}}", bare) else None


def dotted(code: str) -> str:
    """32.73, or 32."""
    return f"{code[:2]}.{code[2:]}" if len(code) > 2 else code


@dataclass
class Name:
    """A name reduced to what is compared."""

    kind: str | None
    kind_text: str
    rest: str


def fold(name: str) -> Name:
    """Words without case; the first may say the kind; the rest is written together."""
    parts = [part for part in re.split(r"[ .\-]+", words.ascii_lower(name)) if part]
    kind_text = parts.pop(0) if parts and parts[0] in KINDS else ""
    kept = ["kepulauan" if part == "kep" else part for part in parts if part not in LEFT_OUT]
    return Name(KINDS.get(kind_text), kind_text, "".join(kept))


def names_agree(table: str, given: str) -> bool:
    """Whether a name that a source gives is this name of the table."""
    ours, theirs = fold(table), fold(given)
    kinds = {ours.kind, theirs.kind} - {None}
    if len(kinds) < 2 and ours.rest == theirs.rest:
        return True
    return ours.rest == theirs.kind_text + theirs.rest


@dataclass
class Place:
    """What is said about a place; each text clean, or None."""

    province: str | None
    regency: str | None
    name: str | None


def judge(place: Place, system: str, tables: Tables) -> tuple[str | None, list[tuple[str, str]]]:
    """The code of today, and reasons with the clue they are about."""
    if place.regency is None:
        if place.province is None:
            return None, []
        code = digits(place.province, 2)
        province = tables.province(system, code) if code else None
        return (province, []) if province else (None, [("region_unknown", "province")])
    declared = digits(place.regency, 4)
    today = tables.regency(system, declared) if declared else None
    if declared is None or today is None:
        return None, [("region_unknown", "regency")]
    reasons = []
    if place.province is not None and not _same_province(place.province, declared, today, system, tables):
        reasons.append(("region_province_differs", "province"))
    known = [tables.regencies[today], OTHER_NAMES.get(today)]
    if place.name is not None and not any(names_agree(name, place.name) for name in known if name):
        reasons.append(("region_name_differs", "name"))
    return dotted(today), reasons


def _same_province(given: str, declared: str, today: str, system: str, tables: Tables) -> bool:
    code = digits(given, 2)
    if code is None:
        return False
    of_its_time = declared in tables.retired and system != "bps-2023" and code == declared[:2]
    return of_its_time or tables.province(system, code) == today[:2]
