"""The NIK: PP 37/2007 art. 37. Six digits of region, DDMMYY with 40 added to a woman's day, four of serial."""

from __future__ import annotations

import re
from calendar import monthrange

from regions import Tables

SIXTEEN = re.compile(r"[0-9]{16}")
SPREADSHEET = re.compile(r"['=].*|[0-9]+(?:[.,][0-9]+(?:[eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+)", re.DOTALL)
WOMAN = 40


def form_reason(text: str) -> str | None:
    """Why a clean text is not 16 digits."""
    if SIXTEEN.fullmatch(text):
        return None
    return "nik_spreadsheet" if SPREADSHEET.fullmatch(text) else "nik_length"


def birth(nik: str) -> tuple[int, int, int]:
    """Day as a man's would be, month, year without its century."""
    day, month, year = int(nik[6:8]), int(nik[8:10]), int(nik[10:12])
    return (day - WOMAN if day > WOMAN else day), month, year


def is_woman(nik: str) -> bool:
    """Whether the day has 40 added."""
    return int(nik[6:8]) > WOMAN


def _exists(day: int, month: int, year: int) -> bool:
    return any(day <= monthrange(century + year, month)[1] for century in (1900, 2000))


def hard_reasons(nik: str, tables: Tables) -> list[str]:
    """All that is wrong with 16 digits."""
    day, month, year = birth(nik)
    found = []
    if nik[:2] not in tables.provinces:
        found.append("nik_province")
    day_good, month_good = 1 <= day <= 31, 1 <= month <= 12
    if not day_good:
        found.append("nik_birth_day")
    if not month_good:
        found.append("nik_birth_month")
    if day_good and month_good and not _exists(day, month, year):
        found.append("nik_birth_date")
    if nik[12:] == "0000":
        found.append("nik_serial")
    return found


def region_warning(nik: str, tables: Tables) -> str | None:
    """Whether the prefix is a place, of today or retired."""
    regency, kecamatan = nik[:4], nik[4:6]
    if regency not in tables.regencies and regency not in tables.retired:
        return "nik_region_unknown"
    judged = regency in tables.regencies and nik[:2] not in ("91", "92")
    if kecamatan == "00" or (judged and nik[:6] not in tables.kecamatan):
        return "nik_kecamatan_unknown"
    return None
