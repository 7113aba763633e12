#!/bin/bash
# Install apt packages unless their programs are there already.
# Usage: setup.sh "PROGRAM ..." "PACKAGE ..."
set -euo pipefail

programs=$1
packages=$2

missing=()
for program in $programs; do
  command -v "$program" >/dev/null || missing+=("$program")
done
case $packages in
  *python3-venv*) "${PYTHON:-python3}" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv) ;;
esac
[ ${#missing[@]} -eq 0 ] && exit 0

run=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null || ! sudo -n true 2>/dev/null; then
    echo "setup: missing: ${missing[*]}" >&2
    echo "  hint: ask an administrator for: apt-get install $packages" >&2
    exit 3
  fi
  run=(sudo)
fi
if ! command -v apt-get >/dev/null; then
  echo "setup: missing: ${missing[*]}, and this is not a Debian system: install them by hand" >&2
  exit 3
fi
echo "setup: apt-get install $packages"
"${run[@]}" apt-get update -qq
# shellcheck disable=SC2086  # a list of words
"${run[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y -qq --no-install-recommends $packages >/dev/null
