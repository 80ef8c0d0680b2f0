"""PSI-AVA-VQA: `{Train,Val}/C1_location.txt`, `C3_phase.txt`, `C4_step.txt` with `image|question|answer`.

Pictures under `keyframes/`. 35 labels: 4 places, 11 phases and 20 steps, the latter two named in Spanish.
`C2_action.txt` exists and is not used by the published protocol.
"""

from __future__ import annotations

from pathlib import Path

from omnivmed.eval.files import inside, need, question_lines
from omnivmed.eval.protocol import surgical
from omnivmed.eval.surgical import one
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


def read(root: Path, split: str) -> Reading:
    """The questions of one split; "test" is the public Val part, which the paper reports on."""
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}; choose from {tuple(SPLITS)}")
    folder = need(root / SPLITS[split], "unpack PSI-AVA-VQA and point to its folder")
    images = need(root / "keyframes", "put the PSI-AVA key frames beside Train and Val")
    items: list[Item] = []
    skipped: list[Skipped] = []
    for name, category in FILES.items():
        for number, fields in question_lines(need(folder / name, "unpack PSI-AVA-VQA whole")):
            image = inside(images, fields[0]) if len(fields) == 3 else None
            case = fields[0].split("/")[0]
            key = f"{category}/{number}"
            item, reason = one("psi_ava", key, image, fields[1:], list(LABELS), case, category)
            if item is None:
                skipped.append(Skipped(f"{name} line {number}", reason))
            else:
                items.append(item)
    return Reading(tuple(items), tuple(skipped), f"{len(LABELS)} labels; places, phases and steps")
