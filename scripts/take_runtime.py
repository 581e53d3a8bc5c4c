"""Takes libonnxruntime.so out of the onnxruntime wheel and checks that it loads here and is the version wanted.

usage: take_runtime.py FOLDER_OF_WHEEL LIBRARY VERSION
"""

import ctypes
import pathlib
import shutil
import sys
import zipfile


class ApiBase(ctypes.Structure):
    """`OrtApiBase` of onnxruntime_c_api.h, the only part of the C interface that never changes."""

    _fields_ = [("get_api", ctypes.c_void_p), ("get_version", ctypes.CFUNCTYPE(ctypes.c_char_p))]


def take(folder: pathlib.Path, library: pathlib.Path, version: str) -> None:
    (wheel,) = folder.glob("onnxruntime-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        # The wheel's name carries the version; ours does not, so that its path never changes.
        (member,) = [name for name in archive.namelist() if "/capi/libonnxruntime.so" in name]
        with archive.open(member) as source, library.open("wb") as target:
            shutil.copyfileobj(source, target)

    api_base = ctypes.CDLL(str(library)).OrtGetApiBase
    api_base.restype = ctypes.POINTER(ApiBase)
    found = api_base().contents.get_version().decode()
    if found != version:
        sys.exit(f"{member} says that it is version {found}, not {version}")


if __name__ == "__main__":
    take(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3])
