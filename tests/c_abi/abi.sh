#!/bin/sh
# usage: abi.sh ABIDIFF LIBRARY HEADERS BASELINE; fails when the library's interface is not compatible with the stored one.
# What is added is no difference. With ABIDIFF "write" the baseline is written anew, for a new ABI version:
#   tests/c_abi/abi.sh write build/release/bindings_c/libdpflash.so bindings_c/include tests/c_abi/dpflash.abi
set -eu
abidiff=$1 library=$2 headers=$3 baseline=$4
if [ "$abidiff" = write ]; then
  # Types without a place would pass for private ones, whose changes are not told.
  abidw --exported-interfaces-only --drop-undefined-syms --no-corpus-path --no-comp-dir-path --no-elf-needed \
    --headers-dir "$headers" "$library" --out-file "$baseline"
  sed -i "s|path='[^']*/\([^/']*\)'|path='\1'|g" "$baseline"
  exit 0
fi
case "$abidiff" in
  *NOTFOUND|"") echo "SKIPPED: no abidiff (Debian package abigail-tools)"; exit 77 ;;
esac
exec "$abidiff" --no-added-syms --headers-dir1 "$headers" --headers-dir2 "$headers" \
  "$baseline" "$library"
