"""Every score of a folder of drawing weights, in `scores.json`, and as the tables of its card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from omnivmed.generation.sampling import Settings
from train.draw.data.pictures import Pictures
from train.draw.measure import adherence, edits, memory, reconstruction, speed
from train.draw.measure.bench import Bench
from train.loop.store import write_json

PARTS = ("reconstruction", "edits", "drawn", "speed")


def measure(
    folder: Path, runs: Path, out: Path, parts: tuple[str, ...] = PARTS, per_subject: int = 24
) -> None:
    """Measure these parts and write them into ``out/scores.json`` beside what is there already."""
    file = out / "scores.json"
    scores: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    pictures = Pictures.open(runs)
    card = json.loads((folder / "config.json").read_text())["card"]
    for part in parts:
        if part == "speed":
            scores["speed"] = speed.speed(speed.shipped(folder))
        else:
            scores |= _batch(part, Bench.open(folder, runs), pictures, card, per_subject, out)
        write_json(scores, file)
        print(json.dumps({part: scores.get(part, "")})[:2000], flush=True)


def _batch(
    part: str, bench: Bench, pictures: Pictures, card: dict[str, Any], per_subject: int, out: Path
) -> dict[str, Any]:
    if part == "reconstruction":
        return {part: reconstruction.reconstruction(bench, pictures)}
    settings = card["settings"]
    if part == "edits":

        def of(task: str) -> Settings:
            return Settings(**{"cfg_interval": (0.0, 1.0), **settings.get(task, {})})

        return {
            "sharpen": edits.sharpen(bench, pictures, of("super_resolution")),
            "translate": edits.translate(bench, pictures, of("translation")),
            "opacities": edits.opacities(bench, pictures, of("counterfactual")),
        }
    drawing = Settings(steps=card["steps"], **settings["text_to_image"])
    scores, drawn = adherence.adherence(bench, pictures, drawing, per_subject)
    _sheet(drawn, out / "drawn.png")
    return {"adherence": scores, "memorisation": memory.memorisation(pictures, drawn)}


def _sheet(drawn: dict[str, Any], path: Path, columns: int = 8) -> None:
    import cv2
    import numpy as np

    rows = [np.concatenate(list(images[:columns]), axis=1) for images in drawn.values()]
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1])


def tables(scores: dict[str, Any]) -> str:
    """The scores as Markdown, by part; parts that were not measured are left out."""
    writers = {
        "reconstruction": _reconstruction,
        "adherence": _adherence,
        "sharpen": _sharpen,
        "translate": _translate,
        "opacities": _opacities,
        "speed": _speed,
    }
    parts = ["\n".join(write(scores)) for name, write in writers.items() if name in scores]
    return "\n\n".join(parts) + "\n"


def _reconstruction(scores: dict[str, Any]) -> list[str]:
    out = ["### Autoencoder: the ceiling", "", "| unseen | n | PSNR dB [95 %] | SSIM | encoder alone, dB |"]
    out.append("|---|---|---|---|---|")
    for name, row in _rows(scores["reconstruction"]):
        tail = f"{row['ssim']:.3f} | {row['linear']:.1f} |"
        if name == "mean":
            out.append(f"| **mean** | | **{row['psnr']:.1f}** | {tail}")
        else:
            low, high = row["interval"]
            out.append(f"| {name} | {row['n']} | {row['psnr']:.1f} [{low:.1f}-{high:.1f}] | {tail}")
    return out


def _adherence(scores: dict[str, Any]) -> list[str]:
    near = scores.get("memorisation", {})
    titles = (
        "asked for",
        "n",
        "named right, %",
        "real unseen, % (n)",
        "mostly taken for",
        "nearer than 1 % of real, %",
    )
    out = ["### Drawn from words", "", f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for name, row in _rows(scores["adherence"]):
        if name == "mean":
            mean = f"**{100 * row['drawn']:.0f}** | {100 * row['real']:.0f} | | {_share(near.get('all'))}"
            out.append(f"| **mean** | | {mean} |")
            continue
        real = f"{100 * row['real']:.0f} ({row['n_real']})" if "real" in row else "no unseen people"
        cells = (
            name,
            row["n"],
            f"{100 * row['drawn']:.0f}",
            real,
            row.get("taken_for", ""),
            _share(near.get(name)),
        )
        out.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    return out


def _sharpen(scores: dict[str, Any]) -> list[str]:
    out = [
        "### Four times the resolution",
        "",
        "| unseen | n (people) | PSNR dB | bicubic | back-projected | gain over bicubic [95 %] | SSIM (bicubic) |",
    ]
    out.append("|---|---|---|---|---|---|---|")
    for name, row in _rows(scores["sharpen"]):
        if isinstance(row, dict):
            low, high = row["interval"]
            gain = f"{row['gain']:+.1f} [{low:+.1f} to {high:+.1f}]"
            alike = f"{row['ssim']:.3f} ({row['ssim_bicubic']:.3f})"
            base = f"{row['bicubic']:.1f} | {row['fitted']:.1f}"
            count = f"{row['n']} ({row['people']})"
            out.append(f"| {name} | {count} | {row['psnr']:.1f} | {base} | {gain} | {alike} |")
    means = scores["sharpen"]
    out.append(
        f"| **mean of kinds with two and more** | | | | {means['mean over fitted']:+.1f} over it | "
        f"**{means['mean gain']:+.1f}** | |"
    )
    return out


def _translate(scores: dict[str, Any]) -> list[str]:
    row = scores["translate"]
    low, high = row["interval"]
    by = "; ".join(
        f"{name} {one['gain']:+.1f} [{one['interval'][0]:+.1f} to {one['interval'][1]:+.1f}] ({one['n']})"
        for name, one in row["by"].items()
    )
    return [
        "### Another MR sequence",
        "",
        f"{row['n']} pairs of {row['patients']} unseen patients: {row['psnr']:.1f} dB against the true slice, "
        f"{row['copy']:.1f} for the given one unchanged ({row['gain']:+.1f} [{low:+.1f} to {high:+.1f}], people "
        f"drawn anew); better in {100 * row['better']:.0f} %; SSIM {row['ssim']:.3f} ({row['ssim_copy']:.3f}). "
        f"Gain by patient and by wanted sequence (pairs): {by}.",
    ]


def _opacities(scores: dict[str, Any]) -> list[str]:
    titles = (
        "", "n (people)", "IoU [95 %]", "IoU of all that moved", "outside, grey levels", "dB nearer [95 %]",
        "right side, %", "said nothing changed, %",
    )  # fmt: skip
    out = [
        "### Round opacities that code has drawn",
        "",
        f"| {' | '.join(titles)} |",
        "|---" * len(titles) + "|",
    ]
    for kind, part in scores["opacities"].items():
        for name in ("removed", "inserted"):
            if name in part:
                row = part[name]
                (a, b), (c, d) = row["iou_interval"], row["gain_interval"]
                cells = (
                    f"{kind}, {name}",
                    f"{row['n']} ({row['people']})",
                    f"{row['iou']:.2f} [{a:.2f}-{b:.2f}]",
                    f"{row['iou_touched']:.2f}",
                    f"{row['outside']:.2f}",
                    f"{row['gain']:+.1f} [{c:+.1f} to {d:+.1f}]",
                    f"{100 * row['side']:.0f}",
                    f"{100 * row['nothing']:.0f}",
                )
                out.append(f"| {' | '.join(cells)} |")
        cells = (f"{kind}, none there, asked to remove it", part["n_untouched"], *[""] * 5)
        out.append(f"| {' | '.join(str(c) for c in cells)} | {100 * part['no_change']:.0f} |")
    return out


def _speed(scores: dict[str, Any]) -> list[str]:
    row = scores["speed"]
    return [
        "### Speed",
        "",
        f"{row['threads']} thread(s): a picture in {row['picture_s']:.1f} s ({row['steps']} steps), first preview "
        f"after {row['first_preview_s']:.2f} s; a step with the prompt's keys and values kept "
        f"{1000 * row['step_kept_s']:.0f} ms, read anew {1000 * row['step_anew_s']:.0f} ms ({row['ratio']:.1f} times); "
        f"the two velocities are {'equal' if row['equal'] else 'not equal'}.",
    ]


def _rows(part: dict[str, Any]) -> list[tuple[str, Any]]:
    """By kind, the mean last: JSON is kept sorted."""
    return sorted(part.items(), key=lambda item: item[0].startswith("mean"))


def _share(row: dict[str, Any] | None) -> str:
    return "" if row is None else f"{100 * row['nearer']:.0f}"
