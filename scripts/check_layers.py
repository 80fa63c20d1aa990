#!/usr/bin/env python3
"""Checks that #includes follow the line of layers (docs/design.md). Prints FILE:LINE of each that does not.

A folder of src may include itself, the public headers, and the folders left of it in LINE; never a peer (same entry) or
one to its right. Public headers include only public headers; programs include those and their own files.
"""
import pathlib
import re
import sys

LINE = [
    ["base"],
    ["format"],
    ["tensor"],
    ["io", "kernel", "text"],
    ["hub", "model"],
    ["run"],
    ["eval"],
    ["train"],
    ["quant"],
    ["api"],
]
# Folders outside src: what each may include besides its own files. "src" is any folder of LINE.
CLIENTS = {
    "include/nibble": {"nibble"},
    "apps/cli": {"nibble", "server"},
    "apps/server": {"nibble", "base", "server"},
    "bindings/python": {"nibble"},
    "bench": {"nibble", "src", "server"},
    "fuzz": {"nibble", "src", "server"},
    "tests": {"nibble", "src"},
}
# Tests of a folder are held to the same line. Test support of kernels is private to kernel.
SUFFIXES = {".h", ".cc", ".inc"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')

RANK = {folder: rank for rank, entry in enumerate(LINE) for folder in entry}


def allowed_in_src(folder, target):
    return target == "nibble" or target == folder or RANK[target] < RANK[folder]


def problems_of(root, path):
    relative = path.relative_to(root)
    parts = relative.parts
    if parts[0] == "src":
        folder = parts[1]
        if folder not in RANK:
            yield 1, f"src/{folder} is not in the line of layers; add it to scripts/check_layers.py"
            return
        home = None
    else:
        home = next((c for c in CLIENTS if relative.is_relative_to(c)), None)
        if home is None:
            return
    for number, text in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        match = INCLUDE.match(text)
        if not match:
            continue
        bracket, name = match.groups()
        target = name.split("/")[0] if "/" in name else None
        ours = target in RANK or target == "nibble"
        if name.startswith("../") or "/../" in name:
            yield number, f'"{name}": include by the path from src or include, not with ".."'
        elif bracket == "<":
            if ours and (root / "src" / name).exists() or (root / "include" / name).exists():
                yield number, f"<{name}>: our own headers are included with quotes"
        elif home is None:
            if not ours:
                yield number, f'"{name}": write the path from src, or <...> for other libraries'
            elif not allowed_in_src(folder, target):
                kind = "its peer" if RANK[target] == RANK[folder] else "a layer to its right"
                yield number, f'"{name}": {folder} may not include {target}, {kind}'
        elif ours:
            if not (target in CLIENTS[home] or target in RANK and "src" in CLIENTS[home]):
                yield number, f'"{name}": {home} sees only {", ".join(sorted(CLIENTS[home]))}, not src/{target}'
        elif target in CLIENTS[home] and (root / "apps" / name).exists():
            continue
        elif not (path.parent / name).exists():
            yield number, f'"{name}": not beside this file; other libraries are included with <...>'


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()
    found = files = 0
    for top in ("src", *CLIENTS):
        for path in sorted((root / top).rglob("*")):
            if path.suffix not in SUFFIXES:
                continue
            files += 1
            for line, problem in problems_of(root, path):
                print(f"{path.relative_to(root)}:{line}: {problem}")
                found += 1
    if files == 0:
        print(f"{root}: no sources found")
        return 1
    if found:
        order = " > ".join(" | ".join(entry) for entry in LINE)
        print(f"{found} includes against the line of layers: {order} > apps")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
