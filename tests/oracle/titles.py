"""Titles before and after a name. Nothing is lost: without spaces and commas the parts are the whole."""

from __future__ import annotations

import re

FRONT = frozenset("dr drg prof ns ners apt hj drs dra bdn".split())
FRONT_WITH_DOT = frozenset("h ir tn ny kh ftr".split())
BACK = frozenset(
    """
    skep ns ners sked skg skm skp sst strkeb strkep strgz strkes sfarm sgz sgizi sft ssi spsi spd sag ssos st se sh skom
    amd amdkep amdkeb amdgz amdfarm amdak amdkes amk amkeb amkl apt bd bdn ftr rd psikolog dietisien
    mkes mkep mkeb mfarm mfarmklin msi msc mbiomed mgizi mgz mked mkm mars mpd mpsi mph mm mh mhkes mtrkeb mtrkep mtrkes
    mkessos phd finasim fiha fics facs kic kgeh kemd kger kgh khom kkv kpti
    """.split()
)
BACK_WITHOUT_DOT = frozenset("amk amkeb amkl mars skm sst".split())
SHORT_SPECIALITY = re.compile(r"sp[a-z]{1,4}(\(k\))?")
PART = r"[a-z]{1,5}"
CONSULTANT = r"\.?\(k\)"
# One to three parts; behind a part without (k) a separator must stand, behind one with it may.
SPECIALITY = re.compile(
    rf"sp\.?{PART}(?:(?:{CONSULTANT})[.-]?{PART}|[.-]{PART}){{0,2}}(?:{CONSULTANT})?\.?", re.IGNORECASE | re.ASCII
)
DIPLOMA = re.compile(r"(?:a\.md|amd\.|s\.tr|str\.)[a-z.]*", re.IGNORECASE | re.ASCII)
WORDS_MAX = 4

Parts = tuple[str, str | None, str | None]


def _split(text: str) -> list[str]:
    return [word for word in re.split("[ ,]", text) if word]


def _bare(word: str) -> str:
    return word.replace(".", "").lower() if word.isascii() else ""


def is_front(word: str) -> bool:
    """A title before a name."""
    return _bare(word) in FRONT or ("." in word and _bare(word) in FRONT_WITH_DOT)


def is_back(word: str) -> bool:
    """A title behind a name."""
    bare = _bare(word)
    return bare in BACK or bool(SHORT_SPECIALITY.fullmatch(bare)) or _is_speciality(word) or _is_diploma(word)


def _is_speciality(word: str) -> bool:
    if not SPECIALITY.fullmatch(word):
        return False
    single_long = re.fullmatch(rf"sp[a-z]{{5}}(?:{CONSULTANT})?\.?", word, re.IGNORECASE | re.ASCII)
    return single_long is None


def _is_diploma(word: str) -> bool:
    return bool(DIPLOMA.fullmatch(word)) and 4 <= len(word.replace(".", "")) <= 9


def _glued(word: str) -> tuple[str, str] | None:
    """A front title and what stands right behind its dot."""
    head, dot, rest = word.partition(".")
    if not rest or is_front(word) or not is_front(head + dot):
        return None
    if rest[0].isascii() and not rest[0].isalpha():
        return None
    first, more, _ = rest.partition(".")
    if len(first) >= 2 or (more and is_front(first + more)):
        return head + dot, rest
    return None


def _front_end(text: str) -> tuple[int, list[str], int]:
    """Where the front titles begin, they themselves, and where the last one ends."""
    titles: list[str] = []
    start = end = 0
    for found in re.finditer("[^ ,]+", text):
        word, at = found[0], found.start()
        while pair := _glued(word):
            start = start if titles else at
            titles.append(pair[0])
            at += len(pair[0])
            end, word = at, pair[1]
        if not is_front(word):
            break
        start = start if titles else at
        titles.append(word)
        end = at + len(word)
    return start, titles, end


def _are_back(text: str) -> bool:
    return all(map(is_back, _split(text))) or all(_are_spread(part) for part in text.split(","))


def _are_spread(text: str) -> bool:
    rest = _split(text)
    while rest:
        sizes = range(min(WORDS_MAX, len(rest)), 0, -1)
        size = next((size for size in sizes if is_back("".join(rest[:size]))), 0)
        if not size:
            return False
        rest = rest[size:]
    return True


def _is_tail(group: list[str]) -> bool:
    joined = "".join(group)
    if not is_back(joined):
        return False
    if len(group) == 1:
        return "." in joined or _bare(joined) in BACK_WITHOUT_DOT
    long_word = any(sum(char.isascii() and char.isalpha() for char in word) > 1 for word in group)
    return "." in joined and long_word


def _tail_words(text: str) -> int:
    """How many words at the end of a text without commas are titles."""
    all_words = _split(text)
    size_max = WORDS_MAX if "." in text else 1
    left = len(all_words)
    while left:
        sizes = range(1, min(size_max, left) + 1)
        size = next((size for size in sizes if _is_tail(all_words[left - size : left])), 0)
        if not size:
            break
        left -= size
    return len(all_words) - left


def split(text: str) -> Parts | None:
    """Name, titles before, titles behind; None where there is nothing but commas."""
    all_words = _split(text)
    if not all_words:
        return None
    whole: Parts = (text, None, None)
    if all(is_front(word) or is_back(word) for word in all_words):
        return whole
    start, titles, end = _front_end(text)
    front = text[start:end]
    front = " ".join(titles) if "," in front else front
    rest = text[end:].lstrip(" ,")
    before, _, after = rest.partition(",")
    if not _are_back(after):
        return whole
    count = _tail_words(before)
    kept = _split(before)[: len(_split(before)) - count]
    if not kept:
        return whole
    nama = " ".join(kept)
    back = rest[len(nama) :].strip(" ,")
    return nama, front or None, back or None
