"""One record to one verdict, written from the facts and not from the program that it checks."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import date
from typing import Any

import nik as nik_rules
import regions
import strict_json
import times
import titles
import words
from profile_file import Profile
from strict_json import Members, Number

LIST_MAX = 1_000
ORDER = (
    *strict_json.FAULTS,
    *"""
    nik_missing nik_number_inexact nik_spreadsheet nik_length nik_province nik_birth_day nik_birth_month nik_birth_date
    nik_serial nama_missing status_aktif_missing status_aktif_unknown last_updated_missing last_updated_invalid
    last_updated_future last_updated_too_old date_invalid date_ambiguous region_unknown region_province_differs
    region_name_differs field_type text_control_character text_too_long list_too_long
    """.split(),
)
RANK = {code: rank for rank, code in enumerate(ORDER)}
SEX = {"l": "L", "lakilaki": "L", "laki-laki": "L", "pria": "L", "p": "P", "perempuan": "P", "wanita": "P"}
JOB_TEXTS = "kode_unit unit alamat id_jenis_sdmk jenis_sdmk status_pegawai nip str sip".split()
JOB_DATES = "tanggal_mulai tanggal_akhir str_tanggal str_berlaku_sampai sip_tanggal sip_berlaku_sampai".split()
SCHOOL = "kode_prodi prodi jenjang kode_perti perguruan_tinggi tahun_lulus no_ijazah".split()
TRAINING = "nama penyelenggara tahun no_sertifikat".split()
PERSON_KEPT = "nik nama nama_asal gelar_depan gelar_belakang jenis_kelamin tempat_lahir alamat".split()

Fields = dict[str, Any]


@dataclass
class Text:
    """A text as received and clean; neither where the field is empty, and `refused` where it has a fault."""

    received: str | None = None
    clean: str | None = None
    refused: bool = False


class Judge:
    """Judges one record; reasons are collected on the way."""

    def __init__(self, profile: Profile, tables: regions.Tables) -> None:
        self.profile = profile
        self.tables = tables
        self.reasons: set[tuple[str, str]] = set()

    # -- single values ------------------------------------------------------------------------------------------

    def text(self, fields: Fields, section: str, field: str) -> Text:
        """One field as text."""
        path = self.profile.path(section, field)
        value = self.profile.value(fields, section, field)
        if value is None:
            return Text()
        if isinstance(value, Number):
            if not re.fullmatch("[0-9]+", value):
                self.reasons.add(("field_type", path))
                return Text(refused=True)
            value = str(value)
        if not isinstance(value, str):
            self.reasons.add(("field_type", path))
            return Text(refused=True)
        faults = words.faults(value)
        self.reasons |= {(fault, path) for fault in faults}
        return Text(refused=True) if faults else Text(value, words.clean(value))

    def day(self, fields: Fields, section: str, field: str) -> date | None:
        """One field as a date."""
        text = self.text(fields, section, field).clean
        if text is None:
            return None
        day, reason = times.read_date(text, self.profile.date_formats)
        if reason and not (field == "str_berlaku_sampai" and words.word(text) in self.profile.str_for_life):
            self.reasons.add((reason, self.profile.path(section, field)))
        return day

    def place(self, fields: Fields, section: str) -> tuple[str | None, str | None, bool]:
        """Code of today, code as received, and whether the source said nothing at all."""
        province, regency, name, _ = (
            self.text(fields, section, field)
            for field in ("kode_provinsi", "kode_kabupaten", "nama_kabupaten", "nama_provinsi")
        )
        clue = province if regency.clean is None and not regency.refused else regency
        if clue.refused:
            return None, None, False
        told = regions.Place(province.clean, regency.clean, name.clean)
        code, reasons = regions.judge(told, self.profile.code_system, self.tables)
        clues = {"province": "kode_provinsi", "regency": "kode_kabupaten", "name": "nama_kabupaten"}
        self.reasons |= {(reason, self.profile.path(section, clues[about])) for reason, about in reasons}
        received = None if clue.clean is None else words.trim(clue.received or "")
        return code, received, clue.clean is None

    def objects(self, fields: Fields, field: str) -> list[Fields]:
        """The objects of a list."""
        path = self.profile.path("fields", field)
        value = self.profile.value(fields, "fields", field)
        if value is None:
            return []
        if not isinstance(value, list) or isinstance(value, Members):
            self.reasons.add(("field_type", path))
            return []
        if len(value) > LIST_MAX:
            self.reasons.add(("list_too_long", path))
        found = value[:LIST_MAX]
        if not all(isinstance(item, Members) for item in found):
            self.reasons.add(("field_type", path))
        return [dict(item) for item in found if isinstance(item, Members)]

    # -- the person ---------------------------------------------------------------------------------------------

    def nik(self, fields: Fields) -> str | None:
        """The 16 digits."""
        path = self.profile.path("fields", "nik")
        value = self.profile.value(fields, "fields", "nik")
        if isinstance(value, Number) and re.search("[.eE]", value):
            self.reasons.add(("nik_number_inexact", path))
            return None
        text = self.text(fields, "fields", "nik")
        if text.clean is None:
            if not text.refused:
                self.reasons.add(("nik_missing", path))
            return None
        form = nik_rules.form_reason(text.clean)
        found = [form] if form else nik_rules.hard_reasons(text.clean, self.tables)
        self.reasons |= {(reason, path) for reason in found}
        return None if form else text.clean

    def nama(self, fields: Fields, out: Fields) -> None:
        """The name in its parts."""
        text = self.text(fields, "fields", "nama")
        if text.refused:
            return
        parts = titles.split(text.clean) if text.clean is not None else None
        if parts is None:
            self.reasons.add(("nama_missing", self.profile.path("fields", "nama")))
            return
        out["nama"], out["gelar_depan"], out["gelar_belakang"] = parts
        out["nama_asal"] = text.received

    def status(self, fields: Fields, out: Fields) -> None:
        """The active status, which is never guessed."""
        text = self.text(fields, "fields", "status_aktif")
        if text.refused:
            return
        path = self.profile.path("fields", "status_aktif")
        if text.clean is None:
            self.reasons.add(("status_aktif_missing", path))
            return
        out["status_aktif"] = self.profile.status_aktif.get(words.word(text.clean))
        out["status_aktif_asal"] = text.received
        if out["status_aktif"] is None:
            self.reasons.add(("status_aktif_unknown", path))

    def last_updated(self, fields: Fields) -> int:
        """The stamp, in microseconds."""
        profile = self.profile
        text = self.text(fields, "fields", "last_updated")
        if profile.stamp == "fetched":
            return profile.fetched_at
        path = profile.path("fields", "last_updated")
        if text.clean is None:
            if not text.refused:
                self.reasons.add(("last_updated_missing", path))
            return 0
        moment = times.read_stamp(text.clean, profile.stamp_formats, profile.zone)
        reason = "last_updated_invalid" if moment is None else times.stamp_reason(moment, profile.fetched_at)
        if reason:
            self.reasons.add((reason, path))
        return moment or 0

    # -- jobs ---------------------------------------------------------------------------------------------------

    def job(self, fields: Fields) -> Fields:
        """One job with its key before numbering."""
        out: Fields = {field: self.text(fields, "employment", field).clean for field in JOB_TEXTS}
        out |= {field: _iso(self.day(fields, "employment", field)) for field in JOB_DATES}
        job_id = self.text(fields, "employment", "id").clean
        out["kode_wilayah"], out["kode_wilayah_asal"], _ = self.place(fields, "employment")
        out["employment_key"] = _base_key(job_id, out["kode_unit"], out["unit"])
        return out

    def plain(self, fields: Fields, section: str, names: list[str]) -> Fields:
        """An education or a training."""
        return {name: self.text(fields, section, name).clean for name in names}

    # -- the whole ----------------------------------------------------------------------------------------------

    def judge(self, fields: Fields) -> Fields:
        """The verdict."""
        out: Fields = {"nik": self.nik(fields)}
        self.nama(fields, out)
        sex = self.text(fields, "fields", "jenis_kelamin").clean
        out["jenis_kelamin"] = SEX.get(words.word(sex)) if sex is not None else None
        out["tempat_lahir"] = self.text(fields, "fields", "tempat_lahir").clean
        out["alamat"] = self.text(fields, "fields", "alamat").clean
        born = self.day(fields, "fields", "tanggal_lahir")
        if born and born > times.day_of(self.profile.fetched_at, self.profile.zone):
            self.reasons.add(("date_invalid", self.profile.path("fields", "tanggal_lahir")))
        out["tanggal_lahir"] = _iso(born)
        out["kode_wilayah"], out["kode_wilayah_asal"], nowhere = self.place(fields, "fields")
        self.status(fields, out)
        moment = self.last_updated(fields)
        jobs = [self.job(item) for item in self.objects(fields, "employments")]
        out["employments"] = [_without_nulls(job) for job in _numbered(jobs)]
        schools = [self.plain(item, "pendidikan", SCHOOL) for item in self.objects(fields, "pendidikan")]
        trainings = [self.plain(item, "pelatihan", TRAINING) for item in self.objects(fields, "pelatihan")]
        out["pendidikan"] = [_without_nulls(item) for item in schools]
        out["pelatihan"] = [_without_nulls(item) for item in trainings]
        if self.reasons:
            return rejected(self.reasons)
        warnings = self.warnings(out["nik"], born, out["jenis_kelamin"], sex is not None, nowhere)
        known = {"verdict": "clean", "warnings": warnings, "last_updated": times.written(moment)}
        return known | _without_nulls(out)

    def warnings(self, nik: str, born: date | None, sex: str | None, sex_told: bool, nowhere: bool) -> list[str]:
        """Soft reasons, in the order of the catalogue."""
        region = nik_rules.region_warning(nik, self.tables)
        found = [region] if region else []
        day, month, year = nik_rules.birth(nik)
        if born and (born.day, born.month, born.year % 100) != (day, month, year):
            found.append("nik_birth_date_differs")
        if sex and (sex == "P") != nik_rules.is_woman(nik):
            found.append("nik_sex_differs")
        if sex_told and sex is None:
            found.append("jenis_kelamin_unknown")
        if born is None:
            found.append("tanggal_lahir_missing")
        if nowhere:
            found.append("region_missing")
        return found


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day else None


def _without_nulls(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if value is not None}


def _key_text(text: str) -> str:
    return words.without_blanks(text.upper()).replace("~", "~~")


def _base_key(job_id: str | None, code: str | None, unit: str | None) -> str:
    if job_id is not None:
        return f"ID:{_key_text(job_id)}"
    if code is not None:
        return _key_text(code)
    digest = hashlib.sha256((unit or "").upper().encode()).hexdigest()
    return f"UNIT:{digest[:16]}"


def _bytes(value: str | None) -> tuple[bool, bytes]:
    return (False, b"") if value is None else (True, value.encode())


def _numbered(jobs: list[Fields]) -> list[Fields]:
    fields = "employment_key id_jenis_sdmk tanggal_mulai status_pegawai nip str sip".split()
    jobs = sorted(jobs, key=lambda job: [_bytes(job[field]) for field in fields])
    seen: dict[str, int] = {}
    for job in jobs:
        base = job["employment_key"]
        seen[base] = seen.get(base, 0) + 1
        if seen[base] > 1:
            job["employment_key"] = f"{base}~{seen[base]}"
    return sorted(jobs, key=lambda job: job["employment_key"].encode())


def rejected(reasons: set[tuple[str, str]]) -> Fields:
    """Every reason, in the order of the catalogue, then of the field's name."""
    ordered = sorted(reasons, key=lambda reason: (RANK[reason[0]], reason[1].encode()))
    return {"verdict": "rejected", "reasons": [f"{code}@{path}" for code, path in ordered]}


def judge(record: bytes, profile: Profile, tables: regions.Tables) -> Fields:
    """What must be said about one record."""
    fields, fault = strict_json.read(record)
    if fields is None:
        return rejected({(fault or "json_invalid", "")})
    return Judge(profile, tables).judge(fields)
