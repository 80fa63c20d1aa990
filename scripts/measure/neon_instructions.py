#!/usr/bin/env python3
"""Counts the instructions of the int8 kernels' inner loops:  neon_instructions.py [BUILD_FOLDER]

Of the AArch64 objects of src/kernel/matmul, every loop that multiplies whole folds of 32 columns, and holds no other such
loop: all instructions from its first to its last as objdump lists them, with loads, unpacking, prefetches, scales and
control. A multiply instruction is a known number of products, so nothing else need be known of a loop: the last
columns are instructions, and multiply instructions among them, per 64 weights and token. Loops for weights with zeros or
offsets are left out. "Slab" is a tile of tokens over codes that another loop has unpacked for all of them ("unpack": per
64 weights, whatever the tokens); usmmla's tiles of an odd number count their last token twice.
"""
import pathlib
import re
import subprocess
import sys

PRODUCTS = {"smull": 8, "smull2": 8, "smlal": 8, "smlal2": 8, "sdot": 16, "usdot": 16, "usmmla": 32}
BLOCK = 512  # weights of a panel's block: 16 rows, 32 columns
LAYOUTS = ["q1", "q2", "q3", "q4", "q5", "q6", "q8"]
BRANCH = re.compile(r"(?:b(?:\.\w+)?|cbn?z|tbn?z)\s.*?([0-9a-f]+) <")


def functions(path):
    """Name to [(address, instruction)]."""
    listing = subprocess.run(["aarch64-linux-gnu-objdump", "-dC", "--no-show-raw-insn", path], check=True, text=True,
                             stdout=subprocess.PIPE).stdout
    found, name = {}, None
    for line in listing.splitlines():
        if head := re.match(r"[0-9a-f]+ <(.*)>:$", line):
            name = re.sub(r"nibble::kernel::(?:\w+::)?(?:\(anonymous namespace\)::)?", "", head.group(1))
            found[name] = []
        elif name and (line := re.match(r"\s+([0-9a-f]+):\s+(.*)", line)):
            found[name].append((int(line.group(1), 16), line.group(2)))
    return found


def products_of(words):
    return sum(PRODUCTS.get(word, 0) for word in words)


def stored_registers(words):
    return sum(2 if word == "stp" else word in ("str", "stur") for word in words)


def loops_of(code, wanted):
    """The words of each loop that is wanted, without those around it."""
    place = {address: i for i, (address, _) in enumerate(code)}
    loops = set()
    for i, (_, text) in enumerate(code):
        if (jump := BRANCH.match(text)) and place.get(int(jump.group(1), 16), i + 1) <= i:
            loops.add((place[int(jump.group(1), 16)], i + 1))
    words = {(begin, end): [text.split()[0] for _, text in code[begin:end]] for begin, end in loops}
    loops = [loop for loop in loops if wanted(words[loop])]
    for begin, end in loops:
        if not any(begin <= b and e <= end and (b, e) != (begin, end) for b, e in loops):
            yield words[begin, end]


def kind_of(name):
    """What a function's loops compute; None: something else, or with zeros or offsets."""
    if tile := re.match(r"void int_tile<(.+), (\d+), 32, \(Extra\)0>", name):
        return f"slab, {tile.group(1)}", tile.group(2)
    if few := re.match(r"void multiply_panels?<\(Layout\)(\d+), (.+), (\d+), 32, \(Extra\)0, .*(true|false)>", name):
        table = ", table" if few.group(4) == "true" else ""
        return f"{LAYOUTS[int(few.group(1))]}{table}, {few.group(2)}", few.group(3)
    return None


def main():
    build = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build/arm64")
    print("| kernels | codes | tokens | instructions | products | per 64 weights and token | multiplies of these |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for isa in ("neon", "dotprod", "i8mm"):
        shortest = {}
        for path in build.glob(f"**/matmul_{isa}.cc.o"):
            for name, code in functions(path).items():
                kind = kind_of(name)
                for words in loops_of(code, products_of) if kind else ():
                    products = products_of(words)
                    if products % BLOCK == 0:
                        counts = (0, len(words), products, sum(word in PRODUCTS for word in words))
                        shortest[kind] = min(shortest.get(kind, counts), counts)
                # Where it is called once only, unpacking is within its caller.
                if unpack := re.match(r"void (unpack_bytes|int_panels|run_int_codes)<\(Layout\)(\d+), ", name):
                    kind = (f"unpack {LAYOUTS[int(unpack.group(2))]}", "any")
                    for words in loops_of(code, lambda words: stored_registers(words) >= BLOCK // 16):
                        counts = (unpack.group(1) != "unpack_bytes", len(words), BLOCK, 0)
                        if products_of(words) == 0:
                            shortest[kind] = min(shortest.get(kind, counts), counts)
        for (codes, tokens), (_, length, products, multiplies) in sorted(shortest.items()):
            print(f"| {isa} | {codes} | {tokens} | {length} | {products} | {64 * length / products:.1f} "
                  f"| {64 * multiplies / products:.1f} |")


if __name__ == "__main__":
    main()
