"""Figures as JSON lines, to a table with a column for each engine."""

import json
import sys

figures, servers = {}, []
for line in sys.stdin:
    figure = json.loads(line)
    if figure["server"] not in servers:
        servers.append(figure["server"])
    figures.setdefault((figure["case"], figure["measure"], figure["unit"]), {})[figure["server"]] = figure["median"]
print("| case | measure | |", " | ".join(servers), "|")
print("|---|---|---|" + "---:|" * len(servers))
for (case, measure, unit), values in figures.items():
    shown = (f"{values[server]:,.1f}" if server in values else "-" for server in servers)
    print(f"| {case} | {measure} | {unit} |", " | ".join(shown), "|")
