"""The strategies of ``test_robustness.py`` for as long as you like: ``make fuzz SECONDS=600``.

Files that fail are kept in a folder, and what became of each kind is printed. Exit status 1 where
anything but a value or a `UserError` was found.
"""

import argparse
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from kinds import NAMES  # noqa: E402
from watched import Report, watch  # noqa: E402


def main() -> None:
    """Read every kind for its share of the time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600, help="in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", default=",".join(NAMES))
    parser.add_argument("--output", "-o", type=Path, default=Path("fuzz"))
    asked = parser.parse_args()
    names = asked.kinds.split(",")
    total = Report()
    for name in names:
        share = asked.seconds / len(names)
        report = watch(name, asked.output, count=10**6, seconds=share, seed=asked.seed)
        outcomes = ", ".join(f"{count} {what}" for what, count in report.outcomes.most_common())
        print(f"{name:12} {report.count:7,} files: {outcomes}", flush=True)
        for place, count in report.places.most_common(20):
            print(f"{'':12} {count:7,} {place}", flush=True)
        total.places += report.places
    if total.places:
        print(f"the files are in {asked.output}")
        sys.exit(1)


if __name__ == "__main__":
    main()
