"""The oracle: a second judge of raw records, for tests alone.

Written from the facts about the NIK, the region codes and the forms of dates, in another language and by other means
than `rules/`; it shares with it the reference tables and nothing else. Standard library only, Python 3.11.

    python3 tests/oracle/main.py                 one JSON object a line on standard input, {"profile", "record": hex};
                                                 one verdict a line on standard output
    python3 tests/oracle/main.py --golden PATH   prints the file of golden cases with their expected verdicts anew
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import golden
import profile_file
import record
import regions

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "rules" / "tests" / "golden"
JSON_NESTING_MAX = 20_000


def main(arguments: list[str]) -> int:
    """Answers until its input ends."""
    sys.setrecursionlimit(JSON_NESTING_MAX)
    tables = regions.load(ROOT / "rules" / "data")
    profiles = profile_file.load(GOLDEN / "profiles.toml", ROOT / "producer" / "profiles" / "sdmk-modified.toml")
    if arguments[:1] == ["--golden"]:
        sys.stdout.write(golden.filled(Path(arguments[1]), GOLDEN / "base.toml", profiles, tables))
        return 0
    for line in sys.stdin:
        question = json.loads(line)
        verdict = record.judge(bytes.fromhex(question["record"]), profiles[question["profile"]], tables)
        print(json.dumps(verdict), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
