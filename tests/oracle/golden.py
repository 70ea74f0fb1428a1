"""Golden cases: what stands in their files, and the same files with the verdicts written anew."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import record
import regions
from profile_file import Profile

INPUTS = ("name", "rule", "profile", "change", "without", "record", "record_hex")


def payload(case: dict[str, Any], base: dict[str, dict[str, str]]) -> bytes:
    """The record of a case: its own bytes, or the base person with the case's changes; values are JSON texts."""
    if "record_hex" in case:
        return bytes.fromhex(case["record_hex"])
    if "record" in case:
        return case["record"].encode()
    person, job = dict(base["person"]), dict(base["job"])
    for name, value in case.get("change", {}).items():
        in_job, field = name.startswith("PEKERJAAN."), name.removeprefix("PEKERJAAN.")
        (job if in_job else person)[field] = value
    for name in case.get("without", []):
        in_job, field = name.startswith("PEKERJAAN."), name.removeprefix("PEKERJAAN.")
        (job if in_job else person).pop(field, None)
    if "PEKERJAAN" not in person and "PEKERJAAN" not in case.get("without", []):
        person["PEKERJAAN"] = f"[{_object(job)}]"
    return _object(person).encode()


def _object(fields: dict[str, str]) -> str:
    members = (f"{json.dumps(name)}:{value}" for name, value in sorted(fields.items()))
    return "{" + ",".join(members) + "}"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        members = ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items())
        return f"{{ {members} }}" if members else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return _text(value)


def _text(value: str) -> str:
    if value.isprintable() and "'" not in value and ('"' in value or "\\" in value):
        return f"'{value}'"
    escaped = json.dumps(value, ensure_ascii=not value.isprintable())
    return escaped.replace("\x7f", "\\u007f")


def _key(key: str) -> str:
    return key if key.replace("_", "").isalnum() and key.isascii() else json.dumps(key)


def _filled_case(case: dict[str, Any], verdict: dict[str, Any]) -> str:
    lines = ["[[case]]"]
    lines += [f"{key} = {_value(case[key])}" for key in INPUTS if key in case]
    lines += [f"verdict = {_text(verdict['verdict'])}"]
    rest = {key: value for key, value in verdict.items() if key != "verdict"}
    for key in ("reasons", "warnings"):
        if key in rest:
            lines.append(f"{key} = {_value(rest.pop(key))}")
    if rest:
        lines.append("[case.clean]")
        lines += [f"{key} = {_value(value)}" for key, value in rest.items() if value != []]
    return "\n".join(lines)


def filled(path: Path, base: Path, profiles: dict[str, Profile], tables: regions.Tables) -> str:
    """The text of a file of cases; comments above the first case stay."""
    text = path.read_text(encoding="utf-8")
    document = tomllib.loads(text)
    person = tomllib.loads(base.read_text(encoding="utf-8"))
    head = text.split("[[case]]", 1)[0].rstrip("\n")
    parts = [head]
    for case in document["case"]:
        profile = profiles[case.get("profile", "default")]
        parts.append(_filled_case(case, record.judge(payload(case, person), profile, tables)))
    return "\n\n".join(parts) + "\n"
