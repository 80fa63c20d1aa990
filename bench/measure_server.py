#!/usr/bin/env python3
"""Runs the scenarios of nibble-load, each against a server that suits it, and prints a table.

    bench/measure_server.py BUILD [--model MODEL] [--soak-minutes N] [--short] [SCENARIO...]

BUILD is a folder with nibble, bench/nibble-load and bench/nibble-serve-empty. MODEL is what the scenarios of a
model serve; without it they are left out. --short runs everything with a tenth of the time, for trying the
script. What else the machine did is printed as the load average before each scenario.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.request

PORT = 28471

# Name, the server's flags (of those with a model behind "model"), the scenario's arguments, and those of --short.
# Keys and values of finished texts are kept as long as there is room, and the room is taken as it is needed: with little
# of it, what a server holds is reached before what is measured.
SCENARIOS = [
    ("first-byte", [], ["first-byte"], ["--requests", "200"]),
    ("streams", ["--step-us", "100000", "--parallel", "1000", "--queue", "1000"], ["streams"], ["--requests", "2000"]),
    ("streams-refused", ["--step-us", "20000", "--parallel", "32"], ["streams"], ["--requests", "2000"]),
    ("overload", ["--step-us", "1000", "--parallel", "8"], ["overload", "--tokens", "40", "--capacity", "200"],
     ["--seconds", "1"]),
    ("disconnects", ["--step-us", "1000", "--parallel", "8"], ["disconnects"], ["--requests", "100"]),
    ("slow", ["--step-us", "1000", "--parallel", "8"], ["slow"], ["--seconds", "2"]),
    ("soak", ["--step-us", "1000", "--parallel", "8"], ["soak"], []),
    ("batching", ["model"], ["batching", "--tokens", "128"], ["--requests", "1", "--tokens", "16"]),
    ("overload-model", ["model", "--queue", "32"], ["overload", "--tokens", "16", "--seconds", "10"], ["--seconds", "2"]),
    ("disconnects-model", ["model", "--kv-memory", "256M"], ["disconnects", "--tokens", "8"], ["--requests", "50"]),
    ("soak-model", ["model", "--kv-memory", "256M"], ["soak"], []),
]


def start(build, flags, model):
    if flags[:1] == ["model"]:
        command = [build / "nibble", "serve", model, "--port", str(PORT), "--no-access-log", *flags[1:]]
    else:
        command = [build / "bench" / "nibble-serve-empty", "--port", str(PORT), *flags]
    server = subprocess.Popen([str(c) for c in command], stderr=subprocess.DEVNULL)
    for _ in range(600):
        if server.poll() is not None:
            sys.exit(f"{command[0]} ended with {server.returncode}")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=5)
            return server
        except OSError:
            time.sleep(0.1)
    sys.exit(f"{command[0]} does not get ready")


def run(build, name, flags, arguments, model):
    server = start(build, flags, model)
    try:
        # The table is for whoever watches; the figures are kept.
        command = [build / "bench" / "nibble-load", *arguments, "--port", PORT, "--pid", server.pid, "--json"]
        out = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, check=False).stdout
        return json.loads(out)
    finally:
        server.terminate()
        server.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("scenarios", nargs="*")
    parser.add_argument("--model")
    parser.add_argument("--soak-minutes", type=float, default=30)
    parser.add_argument("--short", action="store_true")
    options = parser.parse_intermixed_args()
    known = [s[0] for s in SCENARIOS]
    for name in options.scenarios:
        if name not in known:
            parser.error(f"{name}: known are {', '.join(known)}")
    failed = 0
    for name, flags, arguments, short in SCENARIOS:
        if options.scenarios and name not in options.scenarios or flags[:1] == ["model"] and not options.model:
            continue
        arguments = list(arguments)
        if arguments[0] == "soak":
            arguments += ["--seconds", str(60 * options.soak_minutes / (10 if options.short else 1))]
        elif options.short:
            arguments = arguments[:1] + short
        print(f"{name}  (load average before: {os.getloadavg()[0]:.1f})", flush=True)
        for figure in run(options.build, name, flags, arguments, options.model)["figures"]:
            asked = figure.get("asked", "")
            verdict = "" if not asked else "yes" if figure["ok"] else "NO"
            failed += verdict == "NO"
            value = "null" if figure["value"] is None else f"{figure['value']:.5g}"
            print(f"  {figure['name']:<44} {value:>12} {figure['unit']:<11} {asked:<8} {verdict}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
