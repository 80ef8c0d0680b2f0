"""The evaluation as markdown tables for the model card: % right [95 % Wilson interval]."""

from __future__ import annotations

from train.nano.measure.score import Score

Table = dict[str, dict[str, Score]]


def stills(scores: Table, table: dict[str, str]) -> list[str]:
    columns = ("seen", "unseen", "human", "word", "yesno", "blank", "shuffled", "majority", "probe")
    head = "| answer type @ source | n | " + " | ".join(columns) + " | unseen - probe | speaks |"
    lines = [head, "|---" * (len(columns) + 4) + "|"]
    for key, own in scores["unseen"].items():
        cells = [scores[c][key].cell() if key in scores.get(c, {}) else "-" for c in columns]
        probe = scores.get("probe", {}).get(key)
        gap = f"{100 * (own.share - probe.share):+.0f}" if probe else "-"
        verdict = "" if "@" in key else table.get(key, "") or "yes"
        name = key.removeprefix("image:")
        lines.append(f"| {name} | {own.asked} | " + " | ".join(cells) + f" | {gap} | {verdict} |")
    return lines


def sequences(scores: Table, table: dict[str, str]) -> list[str]:
    names = [n for n in scores if n.startswith("sequences")]
    titles = [n.removeprefix("sequences").removeprefix(", ").strip() for n in names]
    lines = [
        "| volumes and clips | n | " + " | ".join(titles) + " | speaks |",
        "|---" * (len(names) + 3) + "|",
    ]
    own = scores["sequences, 0.1"]
    for key in own:
        cells = [scores[n][key].cell() if key in scores[n] else "-" for n in names]
        verdict = "" if "@" in key or ":" not in key else table.get(key, "") or "yes"
        lines.append(f"| {key} | {own[key].asked} | " + " | ".join(cells) + f" | {verdict} |")
    return lines


def report(
    scores: Table, table: dict[str, str], silent: dict[str, list[str]], language: list[list[str]]
) -> str:
    lines = [*stills(scores, table), "", *sequences(scores, table), ""]
    hushed = [f"{t} ({kind})" for kind, tasks in silent.items() for t in tasks]
    if hushed:
        lines += [f"Declined by the gate, so not in the tables above: {', '.join(hushed)}.", ""]
    lines += ["| behaviour | n | % |", "|---|---|---|"]
    lines += [f"| {k} | {s.asked} | {s.cell()} |" for k, s in scores["behaviour"].items()]
    lines += ["", "| plain question | untouched model | nano |", "|---|---|---|"]
    lines += [f"| {q} | {' '.join(a.split())} | {' '.join(b.split())} |" for q, a, b in language]
    return "\n".join(lines) + "\n"
