#!/bin/sh
# usage: exports.sh NM LIBRARY HEADER; the library defines every function of the header, and nothing else. Exit 77
# (skipped) without nm.
if [ ! -x "$1" ]; then
  echo "SKIPPED: nm is not installed"
  exit 77
fi
exported=$("$1" -D --defined-only "$2" | awk '{print $NF}' | sort)
declared=$(grep -oE '\bdpf_[a-z0-9_]+\(' "$3" | tr -d '(' | sort -u)
# Comments mention functions too, but none that are not declared.
if [ "$exported" != "$declared" ]; then
  echo "exported only:"
  echo "$exported" | grep -vxF "$declared"
  echo "declared only:"
  echo "$declared" | grep -vxF "$exported"
  exit 1
fi
echo "$exported"
