"""Write docs/components.md: every component of the workspace, from the generated manifests.

python docs/write_components.py
"""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "components.md"
HEAD = """# Components

Each stands in a manifest; `dl-techniques info NAME` shows its signature, formula and an example.
This page is written by `python docs/write_components.py`.
"""


def page() -> str:
    """The text of the page."""
    parts = [HEAD]
    for path in sorted(ROOT.glob("packages/*/src/dl_techniques/**/components.json")):
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if not manifest["components"]:
            continue
        distribution = path.relative_to(ROOT / "packages").parts[0]
        parts.append(f"## {manifest['package']} ({distribution})\n")
        rooms: dict[str, list[str]] = {}
        for record in manifest["components"]:
            module = record["object"].partition(":")[0].removeprefix(manifest["package"])
            inner = module.strip(".").split(".")
            room = inner[0] if len(inner) > 1 else ""
            name = record["id"].partition(">")[2]
            paper = record.get("paper") or ""
            summary = record["summary"].replace("|", "\\|")
            rooms.setdefault(room, []).append(
                f"| `{name}` | {record['kind']} | {summary} | {paper} |"
            )
        for room in sorted(rooms):
            if room:
                parts.append(f"### {room}\n")
            parts += ["| name | kind | | paper |", "|---|---|---|---|", *rooms[room], ""]
    return "\n".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
