"""PSI-AVA-VQA: `{Train,Val}/C1_location.txt`, `C3_phase.txt`, `C4_step.txt` with `image|question|answer`.

Pictures under `keyframes/`; where `frames/` holds more of a case, clips are made of those. 35 labels: 4 places, 11
phases and 20 steps, the latter two named in Spanish. `C2_action.txt` exists and is not used by the published protocol.
"""

from __future__ import annotations

import re
from pathlib import Path

from omnivmed.eval.clips import Clip, Frames, frames_in
from omnivmed.eval.files import inside, need, question_lines
from omnivmed.eval.protocol import surgical
from omnivmed.eval.surgical import Surgery
from omnivmed.records import Item, Reading, Skipped

SPLITS = {"train": "Train", "test": "Val"}
FILES = {"C1_location.txt": "location", "C3_phase.txt": "phase", "C4_step.txt": "step"}
LABELS = (
    "top left", "top right", "bottom left", "bottom right",
    "Complejo_venoso_dorsal", "Control_Pediculos", "Espacio_de_Retzius", "Fascia_Denonvilliers",
    "Id_Cuello_Vesical", "LPAD", "LPAI", "Rec_Cuello_Vesical", "Separacion_Prostata_Uretra", "Tiempo_muerto",
    "Vesículas_Seminales",
    "Anudar", "Clip_Pediculos", "Corte", "Corte_Prostata", "Corte_Vejiga", "Diseccion_Denon",
    "Diseccion_Ganglios_Iliacos", "Diseccion_Ganglios_Obturadores", "Diseccion_Prevesical",
    "Diseccion_Prostata", "Diseccion_Seminal", "Empacar_Ganglios", "Empacar_Prostata", "Halar_sutura",
    "Id_Vena_Arteria_Iliaca", "Pasar_Aguja_Cuello", "Pasar_Aguja_Cvdp", "Pasar_Aguja_Uretra", "Succion",
    "Sujetar_Prostata",
)  # fmt: skip
PROTOCOLS = (surgical(LABELS),)
FRAMES_A_SECOND = 1.0
"""Not verified; it sets a clip's times only."""


def read(root: Path, split: str, clip: Clip | None = None) -> Reading:
    """The questions of one split, about stills or, with `clip`, about clips; "test" is the public Val part, which the
    paper reports on. Raises LayoutError, ValueError."""
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}; choose from {tuple(SPLITS)}")
    folder = need(root / SPLITS[split], "unpack PSI-AVA-VQA and point to its folder")
    need(root / "keyframes", "put the PSI-AVA key frames beside Train and Val")
    surgery = Surgery("psi_ava", "PSI-AVA-VQA", LABELS, clip)
    cases: dict[tuple[str, str], Frames] = {}
    items: list[Item] = []
    skipped: list[Skipped] = []
    for name, category in FILES.items():
        for line, fields in question_lines(need(folder / name, "unpack PSI-AVA-VQA whole")):
            frames, number = Frames({}, FRAMES_A_SECOND, 1), None
            if len(fields) == 3:
                frames, number = _frames(root, fields[0], cases, clip is not None)
            case = fields[0].split("/")[0]
            key = f"{category}/{line}"
            item, reason = surgery.question(key, frames, number, fields[1:], case, category)
            if item is None:
                skipped.append(Skipped(f"{SPLITS[split]}/{name} line {line}", reason))
            else:
                items.append(item)
    return Reading(tuple(items), tuple(skipped), f"{surgery.note}; places, phases and steps")


def _frames(
    root: Path, name: str, cases: dict[tuple[str, str], Frames], dense: bool
) -> tuple[Frames, int | None]:
    """The frames of a picture's case, and its number among them; None for a picture that is not there."""
    found = re.search(r"(\d+)$", Path(name).stem)
    empty = Frames({}, FRAMES_A_SECOND, 1)
    if found is None:
        return empty, None
    for part in ("frames", "keyframes") if dense else ("keyframes",):
        folder = inside(root / part, str(Path(name).parent))
        if folder is None:
            return empty, None
        key = (part, str(folder))
        if key not in cases:
            cases[key] = frames_in(folder, FRAMES_A_SECOND)
        if int(found[1]) in cases[key].files:
            return cases[key], int(found[1])
    return empty, None
