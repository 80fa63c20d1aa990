#!/usr/bin/env python3
"""Measures what Nibble promises of time, memory and speed, and prints it as tables:

    scripts/measure/measure.py load MODEL [SCHEME...]
                                                   load time and resident memory of MODEL (a float folder) in schemes, packed
                                                   at load and from --pack-cache, from the page cache
    scripts/measure/measure.py stream MODEL SCRATCH BOUND...
                                                   decoding with --memory BOUND, what is read per token dropped from the
                                                   page cache, beside the disk's own rate; SCRATCH is on that disk
    scripts/measure/measure.py quantize SCRATCH    CPU time and memory of quantizing 1.1 B weights from F16 to int4-g32
    scripts/measure/measure.py memory SCRATCH      memory of quantizing a checkpoint of more than 5 GB
    scripts/measure/measure.py conversion SCRATCH  exact conversions of 1.1 B weights beside `cp` of the source
    scripts/measure/measure.py bound SCRATCH MODEL BOUND TEXT [SAMPLES [METHOD...]]
                                                   time and memory of the calibrated methods with --max-memory BOUND
    scripts/measure/measure.py kills SCRATCH MODEL TEXT [SAMPLES [METHOD...]]
                                                   20 kills inside runs of each, and the bytes at the end
    scripts/measure/measure.py speed [SCHEME...]   prompt and decoding speed of the 1.1 B shape beside the machine's own

SCRATCH is a folder with room for the checkpoint and for what becomes of it; in memory (/dev/shm) the disk is not measured
along; of `bound` it should be a disk. The program is build/nibble, or the one that NIBBLE names. Nothing else should be running.
"""
import json
import os
import pathlib
import random
import resource
import shutil
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
NIBBLE = os.environ.get("NIBBLE", str(HERE.parent.parent / "build" / "nibble"))
MB = 1e6


def run(*arguments, environment=None):
    """Runs nibble; returns its JSON and its resource usage (ru_maxrss is VmHWM, mapped pages included)."""
    command = [NIBBLE, "-q", *map(str, arguments)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, **(environment or {})})
    text = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(command)}: failed")
    return json.loads(text), usage


def table(header, rows):
    print("| " + " | ".join(header) + " |")
    print("| " + " | ".join("---" for _ in header) + " |")
    for row in rows:
        print("| " + " | ".join(row) + " |")


def machine():
    info, _ = run("info", "--json")
    print(f"{info['processor']}, {os.cpu_count()} processors, nibble {info['version']}\n")



def measure_load(model, *schemes):
    rows = []
    for scheme in schemes or ("int4-g32-sym", "int8-channel-sym"):
        made = pathlib.Path(f"/tmp/nibble-measure-{os.getpid()}-{scheme}")
        made = made.with_suffix(".gguf") if scheme.startswith("q") else made
        packs = pathlib.Path(f"/tmp/nibble-measure-{os.getpid()}-packs")
        bench = ("bench", made, "-p", 0, "-n", 16, "-r", 1, "--json")
        try:
            run("quantize", model, "-o", made, "--scheme", scheme, "--quantize-head", "--json")
            runs = [run(*bench)[0] for _ in range(5)]
            run(*bench, f"--pack-cache={packs}")
            from_pack = [run(*bench, f"--pack-cache={packs}")[0] for _ in range(5)]
        finally:
            for path in (made, packs):
                shutil.rmtree(path, ignore_errors=True)
            made.unlink(missing_ok=True)
        packed = runs[0]["packed_bytes"]
        peak = max(r["peak_rss_bytes"] for r in runs)
        rows.append((scheme, spread([r["load_seconds"] for r in runs]), spread([r["load_seconds"] for r in from_pack]),
                     f"{packed / MB:.0f}", f"{peak / MB:.0f}", f"{max(r['peak_rss_bytes'] for r in from_pack) / MB:.0f}",
                     f"{(1.1 * packed + 60e6) / MB:.0f} + KV cache"))
    table(("scheme", "load, s (5 runs)", "from the pack, s", "packed, MB", "VmHWM, MB", "from the pack, MB",
           "1.1 x packed + 60 MB"), rows)


def read_rate(path):
    """The disk's sequential rate, the best of three, of a file that is not cached; bytes per second."""
    best = 0
    for _ in range(3):
        with open(path, "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            begin, size = time.monotonic(), 0
            while chunk := file.read(8 << 20):
                size += len(chunk)
            best = max(best, size / (time.monotonic() - begin))
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return best


def measure_stream(model, scratch, *bounds):
    packs = pathlib.Path(scratch) / f"nibble-measure-{os.getpid()}-packs"
    bench = ("bench", model, "-p", 0, "-n", 8, "-r", 3, "--json", f"--pack-cache={packs}")
    rows = []
    try:
        run(*bench)
        (pack,) = packs.iterdir()
        for bound in bounds:
            before = read_rate(pack)
            report, _ = run(*bench, "--memory", bound)
            rate = max(before, read_rate(pack))
            best = max(report["decode_tps_runs"])
            read = report["streamed_bytes"]
            rows.append((bound, f"{report['packed_bytes'] / MB:.0f}", f"{report['peak_rss_bytes'] / MB:.0f}", f"{read / MB:.0f}",
                         f"{best:.2f}", f"{rate / 1e9:.2f}", f"{read * best / 1e9:.2f}", f"{100 * read * best / rate:.0f} %"))
    finally:
        shutil.rmtree(packs, ignore_errors=True)
    table(("--memory", "packed, MB", "VmHWM, MB", "read per token, MB", "decode, tokens/s (best of 3)", "disk, GB/s",
           "decode reads, GB/s", "of the disk"), rows)


def checkpoint(scratch, shape):
    folder = pathlib.Path(scratch) / f"nibble-{shape}"
    if not (folder / "config.json").exists():
        subprocess.run([sys.executable, HERE / "synthetic_checkpoint.py", folder, "--shape", shape], check=True)
    return folder


def measure_quantize(scratch, shape="llama-1.1b", schemes=("int4-g32-sym", "int4-g32-asym", "int8-channel-sym")):
    source = checkpoint(scratch, shape)
    inspected, _ = run("inspect", source, "--tensors", "--json")
    largest = 0
    for tensor in inspected["tensors"]:
        count = 4
        for size in tensor["shape"]:
            count *= size
        largest = max(largest, count)
    limit = 3 * largest + 100e6
    rows = []
    for scheme in schemes:
        out = pathlib.Path(scratch) / "nibble-measured"
        shutil.rmtree(out, ignore_errors=True)
        report, usage = run("quantize", source, "-o", out, "--scheme", scheme, "--json")
        shutil.rmtree(out, ignore_errors=True)
        rows.append((scheme, f"{inspected['file_bytes'] / 1e9:.2f}", f"{report['seconds']:.1f}",
                     f"{usage.ru_utime:.1f} + {usage.ru_stime:.1f}", f"{usage.ru_maxrss * 1024 / MB:.0f}",
                     f"{limit / MB:.0f}"))
    table(("scheme", "source, GB", "seconds", "CPU seconds, user + system", "VmHWM, MB",
           "3 x largest float32 tensor + 100 MB"), rows)


CONVERTED = {  # what is made first: scheme and family
    "gptq": ("int4-g32-sym", "gptq"),
    "awq": ("int4-g128-asym", "awq"),
    "int8": ("int8-g32-sym", "compressed-tensors"),
    "nf4": ("nf4-g64", "bitsandbytes"),
}
CONVERSIONS = [("gptq", "gguf"), ("gptq", "compressed-tensors"), ("gptq", "auto-round"), ("gptq", "awq"), ("awq", "gptq"),
               ("awq", "compressed-tensors"), ("int8", "gguf"), ("int8", "gptq"), ("nf4", "bitsandbytes"), ("nf4", "nibble")]


def spread(seconds):
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


def copy_seconds(source, target):
    begin = time.monotonic()
    subprocess.run(["cp", "-r", "--reflink=never", source, target], check=True)
    seconds = time.monotonic() - begin
    shutil.rmtree(target)
    return seconds


def measure_conversion(scratch):
    folder = pathlib.Path(scratch)
    for name, (scheme, family) in CONVERTED.items():
        if not (folder / f"nibble-{name}").exists():
            run("quantize", checkpoint(scratch, "llama-1.1b"), "-o", folder / f"nibble-{name}", "--scheme", scheme, "--to",
                family, "--json")
    rows = []
    for name, target in CONVERSIONS:
        source = folder / f"nibble-{name}"
        out = folder / ("nibble-measured.gguf" if target == "gguf" else "nibble-measured")
        copies, conversions = [], []
        for _ in range(5):  # in turn, so that both see the same machine
            copies.append(copy_seconds(source, folder / "nibble-copy"))
            begin = time.monotonic()
            report, usage = run("convert", source, "-o", out, "--to", target, "--json")
            conversions.append(time.monotonic() - begin)
            shutil.rmtree(out) if out.is_dir() else out.unlink()
        if not all(tensor["exact"] for tensor in report["tensors"]):
            sys.exit(f"{name} to {target} is not exact")
        size = sum(path.stat().st_size for path in source.iterdir())
        rows.append((f"{name} {CONVERTED[name][0]} to {target}", f"{size / MB:.0f}", spread(copies), spread(conversions),
                     f"{min(copies) / min(conversions):.2f}, {statistics.median(copies) / statistics.median(conversions):.2f}",
                     f"{usage.ru_utime:.2f} + {usage.ru_stime:.2f}", f"{usage.ru_maxrss * 1024 / MB:.0f}"))
    table(("conversion", "source, MB", "cp, s", "convert, s", "of the copy's speed: best, median",
           "CPU seconds, user + system", "VmHWM, MB"), rows)


CALIBRATED = {  # method: what it is asked for
    "gptq": ["--scheme", "int3-g32-sym"],
    "best": ["--scheme", "int3-g32-sym"],
    "awq": ["--scheme", "int4-g64-asym"],
    "awq+gptq": ["--scheme", "int4-g64-asym"],
    "wnam": ["--scheme", "codebook4-row-g64"],
    "autoround": ["--scheme", "int3-g32-sym", "--iters", "10"],
}


def calibrated(model, out, text, samples, method, *more):
    return ["quantize", model, "-o", out, "--to", "nibble", "--method", method, *CALIBRATED[method], "--calibration", text,
            "--samples", samples, "--ctx", 1024, "--report", "off", "--json", *more]


def measure_bound(scratch, model, bound, text, samples="128", *methods):
    out = pathlib.Path(scratch) / "nibble-bound"
    rows = []
    for method in methods or CALIBRATED:
        begin = time.monotonic()
        _, usage = run(*calibrated(model, out, text, samples, method, "--max-memory", bound))
        rows.append((method, " ".join(CALIBRATED[method]), f"{time.monotonic() - begin:.0f}",
                     f"{usage.ru_utime + usage.ru_stime:.0f}", f"{usage.ru_maxrss * 1024 / MB:.0f}"))
        shutil.rmtree(out)
    table(("method", "", "seconds", "CPU seconds", f"VmHWM, MB, of {bound}"), rows)


def measure_kills(scratch, model, text, samples="8", *methods):
    whole, out = (pathlib.Path(scratch) / name for name in ("nibble-whole", "nibble-killed"))
    draw = random.Random(0)
    rows = []
    for method in methods or CALIBRATED:
        begin = time.monotonic()
        run(*calibrated(model, whole, text, samples, method))
        one_run = time.monotonic() - begin
        expected = (whole / "model.safetensors").read_bytes()
        kills = runs = 0
        while kills < 20 or not runs:
            command = [NIBBLE, "-q", *map(str, calibrated(model, out, text, samples, method, "--resume"))]
            child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                child.wait(one_run * draw.uniform(0, 0.5) if kills < 20 else None)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
                kills += 1
                continue
            left = [path.name for path in pathlib.Path(scratch).iterdir() if path.name.startswith("nibble-killed")]
            if child.returncode != 0 or (out / "model.safetensors").read_bytes() != expected or left != [out.name]:
                sys.exit(f"{method}: after {kills} kills resuming ended with other bytes, or left {left}")
            shutil.rmtree(out)
            runs += 1
        shutil.rmtree(whole)
        for path in (out, pathlib.Path(f"{out}.nibble-journal")):
            shutil.rmtree(path, ignore_errors=True)
        rows.append((method, str(kills), str(runs), f"{one_run:.0f}"))
    table(("method", "kills", "runs they were in, each with the bytes of one left alone", "seconds of a run left alone"), rows)


def measure_speed(schemes):
    rows = []
    for scheme, compute in schemes:
        for threads in (1, 2):
            r, _ = run("bench", "--shape", "llama-1.1b", "--scheme", scheme, "--compute", compute, "-p", 512, "-n", 32,
                       "-r", 5, "-t", threads, "--json")
            multiply = (f"{100 * r['prompt_gops'] / r['fma_gflops']:.0f} % of {r['fma_gflops']:.0f}"
                        if compute == "f32" or not scheme.startswith("int") else "")
            decode = sorted(r["decode_tps_runs"])
            prompt = sorted(r["prompt_tps_runs"])
            rows.append((scheme, compute, str(threads), f"{statistics.median(prompt):.0f} ({prompt[0]:.0f} to {prompt[-1]:.0f})",
                         f"{r['prompt_gops'] / threads:.0f}", multiply,
                         f"{statistics.median(decode):.1f} ({decode[0]:.1f} to {decode[-1]:.1f})",
                         f"{r['decode_gb_per_s']:.1f} of {r['read_gb_per_s']:.1f} ({100 * r['decode_gb_per_s'] / r['read_gb_per_s']:.0f} %)"))
    table(("scheme", "compute", "threads", "prompt, tokens/s", "GOP/s per core", "of the fp32 multiply peak", "decode, tokens/s",
           "decode, GB/s of what memory gives"), rows)


def main():
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        sys.exit(__doc__)
    what, arguments = sys.argv[1], sys.argv[2:]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    machine()
    if what == "load" and arguments:
        measure_load(*arguments)
    elif what == "stream" and len(arguments) >= 3:
        measure_stream(*arguments)
    elif what == "quantize" and len(arguments) == 1:
        measure_quantize(arguments[0])
    elif what == "memory" and len(arguments) == 1:
        measure_quantize(arguments[0], "llama-2.8b", ("int4-g32-sym", "nf4-g64"))
    elif what == "conversion" and len(arguments) == 1:
        measure_conversion(arguments[0])
    elif what == "bound" and len(arguments) >= 4:
        measure_bound(*arguments)
    elif what == "kills" and len(arguments) >= 3:
        measure_kills(*arguments)
    elif what == "speed":
        default = [("int4-g32-sym", "int8"), ("int8-channel-sym", "int8"), ("bf16", "int8"), ("f32", "int8"),
                   ("int4-g32-sym", "f32")]
        measure_speed([(scheme, "int8") for scheme in arguments] or default)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
