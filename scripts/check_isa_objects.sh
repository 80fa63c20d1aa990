#!/usr/bin/env bash
# Shows that objects compiled for one instruction set hold no weak symbol:  scripts/check_isa_objects.sh [BUILD_FOLDER]
# An inline function compiled with wide instructions may be the copy that the linker keeps for the whole program, which
# then dies on a machine without them.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=${1:-build}
objects=$(find "$folder" -path "$folder/*/CMakeFiles" -prune -o -regex '.*_\(avx2\|avxvnni\|avx512\|amx\|neon\|dotprod\|i8mm\)\.cc\.o' -print)
if [ -z "$objects" ]; then
  echo "$folder: no objects of instruction-set files; build it first" >&2
  exit 1
fi
failed=0
for object in $objects; do
  # W, w, V, v: weak; u: unique. Undefined weak symbols (sanitizers) are not ours.
  weak=$(nm -C --defined-only "$object" | awk '$2 ~ /^[WVu]$/ { sub(/^[^ ]+ . /, ""); print "  " $0 }')
  if [ -n "$weak" ]; then
    echo "${object##*/}: weak symbols; make them static or leave the standard library out of this file:"
    echo "$weak"
    failed=1
  fi
done
exit $failed
