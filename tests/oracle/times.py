"""Dates in the declared forms alone, and stamps with their zone. Nothing is guessed."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

FIRST, LAST = date(1900, 1, 1), date(2199, 12, 31)
SPREADSHEET_DAY_0 = date(1899, 12, 30)
MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "januari jan",
            "februari feb peb",
            "maret mar",
            "april apr",
            "mei",
            "juni jun",
            "juli jul",
            "agustus agu ags agt",
            "september sep sept",
            "oktober okt",
            "november nov nop",
            "desember des",
        ),
        start=1,
    )
    for name in names.split()
}
SHAPES = {
    "iso": re.compile(r"(?P<y>[0-9]{4})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})"),
    "iso_midnight": re.compile(r"(?P<y>[0-9]{4})-(?P<m>[0-9]{2})-(?P<d>[0-9]{2})[ T]00:00:00(?:\.0+)?"),
    "dmy_dash": re.compile(r"(?P<d>[0-9]{2})-(?P<m>[0-9]{2})-(?P<y>[0-9]{4})"),
    "dmy_slash": re.compile(r"(?P<d>[0-9]{2})/(?P<m>[0-9]{2})/(?P<y>[0-9]{4})"),
    "mdy_slash": re.compile(r"(?P<m>[0-9]{2})/(?P<d>[0-9]{2})/(?P<y>[0-9]{4})"),
    "d_month_y": re.compile(r"(?P<d>[0-9]{1,2}) (?P<name>[A-Za-z]+)\.? (?P<y>[0-9]{4})"),
}
SERIAL = re.compile(r"[1-9][0-9]{0,5}")
STAMP = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?([Zz]|[+-][0-9]{2}:[0-9]{2})?"
)
EPOCH_MS = re.compile(r"[0-9]{1,15}")
ZONES = {"Asia/Jakarta": 7, "Asia/Makassar": 8, "Asia/Jayapura": 9, "UTC": 0}
MICRO = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OLDEST = (datetime(2000, 1, 1, tzinfo=UTC) - EPOCH) // MICRO
AHEAD_MAX = timedelta(minutes=5) // MICRO


def _fit(text: str, form: str) -> date | None:
    if form == "excel_serial":
        return SPREADSHEET_DAY_0 + timedelta(days=int(text)) if SERIAL.fullmatch(text) else None
    found = SHAPES[form].fullmatch(text)
    if found is None:
        return None
    parts = found.groupdict()
    month = int(parts["m"]) if "m" in parts else MONTHS.get(parts["name"].lower(), 0)
    try:
        return date(int(parts["y"]), month, int(parts["d"]))
    except ValueError:
        return None


def read_date(text: str, forms: list[str]) -> tuple[date | None, str | None]:
    """The one day that a text means, or the reason why there is none."""
    days = {day for form in forms if (day := _fit(text, form)) and FIRST <= day <= LAST}
    if len(days) == 1:
        return days.pop(), None
    return None, "date_ambiguous" if days else "date_invalid"


def zone_micros(name: str) -> int:
    """Microseconds east of UTC."""
    if name in ZONES:
        return timedelta(hours=ZONES[name]) // MICRO
    return _offset(name)


def _offset(text: str) -> int:
    if text in "Zz":
        return 0
    size = timedelta(hours=int(text[1:3]), minutes=int(text[4:6])) // MICRO
    return -size if text[0] == "-" else size


def _days(year: int, month: int, day: int) -> int | None:
    # Year 0 is a leap year like 400, which Python's calendar can tell about.
    try:
        return date(year + 400, month, day).toordinal() - 146_097 - EPOCH.date().toordinal()
    except ValueError:
        return None


def _stamp(text: str, with_offset: bool, zone: int) -> int | None:
    found = STAMP.fullmatch(text)
    if found is None or (found[8] is not None) != with_offset:
        return None
    year, month, day, hour, minute, second = (int(found[group]) for group in range(1, 7))
    days = _days(year, month, day)
    if days is None or hour > 23 or minute > 59 or second > 59:
        return None
    if found[8] and found[8] not in "Zz" and (int(found[8][1:3]) > 23 or int(found[8][4:6]) > 59):
        return None
    fraction = int((found[7] or "")[:6].ljust(6, "0"))
    local = timedelta(days=days, hours=hour, minutes=minute, seconds=second, microseconds=fraction) // MICRO
    return local - (_offset(found[8]) if found[8] else zone)


def read_stamp(text: str, forms: list[str], zone: int) -> int | None:
    """Microseconds since 1970 UTC, by the first form that fits."""
    for form in forms:
        if form == "epoch_ms":
            moment = int(text) * 1_000 if EPOCH_MS.fullmatch(text) else None
        else:
            moment = _stamp(text, form == "rfc3339", zone)
        if moment is not None:
            return moment
    return None


def stamp_reason(moment: int, fetched_at: int) -> str | None:
    """Why a readable stamp is not believed."""
    if moment < OLDEST:
        return "last_updated_too_old"
    return "last_updated_future" if moment > fetched_at + AHEAD_MAX else None


def day_of(moment: int, zone: int) -> date:
    """The day that a zone's calendar shows."""
    return (EPOCH + timedelta(microseconds=moment + zone)).date()


def written(moment: int) -> str:
    """RFC 3339 in UTC with six decimals."""
    return (EPOCH + timedelta(microseconds=moment)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
