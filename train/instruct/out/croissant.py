"""Croissant 1.0 metadata (MLCommons) of a set: its files with their sums, and what stands in each column."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from train.instruct.out.parquet import STRINGS, files_of

CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
MEDIA = {".parquet": "application/x-parquet", ".tar": "application/x-tar"}


def metadata(out: Path, name: str, description: str, licences: Sequence[str]) -> dict[str, Any]:
    """The JSON-LD of a set in `out`: one FileObject a file, one RecordSet a Parquet file."""
    files, sets = [], []
    for path in files_of(out):
        place = path.relative_to(out).as_posix()
        files.append(
            {
                "@type": "cr:FileObject",
                "@id": place,
                "name": place,
                "contentUrl": place,
                "contentSize": f"{path.stat().st_size} B",
                "encodingFormat": MEDIA[path.suffix],
                "sha256": _sum(path),
            }
        )
        if path.suffix == ".parquet":
            sets.append(
                {
                    "@type": "cr:RecordSet",
                    "@id": path.stem,
                    "name": path.stem,
                    "field": _fields(place, path.stem),
                }
            )
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": name,
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "description": description,
        "license": list(licences),
        "url": "https://arxiv.org/abs/2504.14692",
        "citeAs": "OmniV-Med, arXiv 2504.14692; UniMedVL, arXiv 2510.15710; and the sources named in the card.",
        "datePublished": "2026-11-28",
        "version": "1.0.0",
        "distribution": files,
        "recordSet": sets,
    }


def _fields(place: str, name: str) -> list[dict[str, Any]]:
    return [
        {
            "@type": "cr:Field",
            "@id": f"{name}/{column}",
            "name": f"{name}/{column}",
            "dataType": "sc:Text",
            "source": {"fileObject": {"@id": place}, "extract": {"column": column}},
        }
        for column in STRINGS
    ]


def write(out: Path, name: str, description: str, licences: Sequence[str]) -> Path:
    """Write `croissant.json`; returns it."""
    path = out / "croissant.json"
    text = json.dumps(metadata(out, name, description, licences), indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
