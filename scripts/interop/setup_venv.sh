#!/usr/bin/env bash
# Makes the virtual environment that the scripts of this folder run in:  scripts/interop/setup_venv.sh FOLDER
# It takes 6 GB, most of it GPU libraries without which torch does not load. Neither the build nor the tests nor CI need it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# -eq 1 ] || { sed -n '2,3s/^# //p' "$0"; exit 2; }
case $(realpath -m "$1") in "$(realpath "$here/../..")"/*)
  echo "$1 is inside the repository; choose a folder outside" >&2
  exit 2
  ;;
esac
python3 -m venv "$1"
"$1/bin/pip" install --upgrade pip setuptools wheel
"$1/bin/pip" install -r "$here/requirements.txt"
"$1/bin/pip" install --no-deps --no-build-isolation -r "$here/requirements-no-deps.txt"
