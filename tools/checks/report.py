"""The page of a check: what was found and what is missing, of the same content as its JSON."""

from typing import Any

FORMAT = 1
"""Of the JSON."""

TITLES = {
    "versions": "Host",
    "cann": "CANN and its compiler",
    "chip": "Driver and chip",
    "device": "MindSpore on the device",
    "bodies": "Bodies of the operators",
    "objects": "Kernels to objects",
    "contracts": "Operators in graphs, beside their contracts",
    "kernels": "Launched kernels, beside their contracts",
    "parity": "Tokens of a small model",
    "speed": "Speed on SmolLM2",
}


def page(report: dict[str, Any]) -> str:
    """Markdown: the summary, what to install, then every step's figures."""
    device, steps = report["device"], report["steps"]
    where = "an Ascend device" if device == "Ascend" else f"{device}: nothing here was run on an NPU"
    lines = ["# mindcold on Ascend: a check of this host", "", f"Computed on {where}. {report['when']}.", ""]
    lines += ["| step | state | seconds | |", "|---|---|---|---|"]
    for name, step in steps.items():
        lines.append(f"| {TITLES[name]} | {step['state']} | {step['seconds']} | {cell(step['message'])} |")
    wanted = {step["install"]: None for step in steps.values() if step["install"]}
    if wanted:
        lines += ["", "What to install:", "", *(f"* {text}" for text in wanted)]
    for name, step in steps.items():
        if step["figures"]:
            lines += ["", f"## {TITLES[name]}", "", *figures(step["figures"])]
    return "\n".join(lines) + "\n"


def figures(found: dict[str, Any]) -> list[str]:
    """A table where all are rows, else a list; long texts as they are."""
    rows = {name: row for name, row in found.items() if isinstance(row, dict)}
    lines = [f"* {name}: {cell(value)}" for name, value in found.items() if name not in rows and "\n" not in str(value)]
    for name, value in found.items():
        if name not in rows and "\n" in str(value):
            lines += ["", f"{name}:", "", "```", str(value).rstrip(), "```"]
    if rows:
        columns = list(dict.fromkeys(column for row in rows.values() for column in row))
        lines += [""] if lines else []
        lines += ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
        lines += [
            f"| {name} | " + " | ".join(cell(row.get(column, "")) for column in columns) + " |"
            for name, row in rows.items()
        ]
    return lines


def cell(value: Any) -> str:
    """One value of a table."""
    if value is None:
        return "-"
    return str(value).replace("|", "\\|").replace("\n", " ")
