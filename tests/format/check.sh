#!/bin/sh
# usage: check.sh SOURCE_DIR; lists what clang-format would change. Exit 77 (skipped) without clang-format 14.
cd "$1" || exit 1
if ! command -v clang-format-14 >/dev/null 2>&1; then
  echo "SKIPPED: formatting is not checked, clang-format-14 is not installed (apt-get install clang-format-14)"
  exit 77
fi
status=0
for file in $(for folder in accounting noise gpu attention bindings_c cli tests benchmarks examples; do
  [ -d "$folder" ] && find "$folder" -type f \( -name '*.cpp' -o -name '*.hpp' -o -name '*.h' -o -name '*.cu' \)
done | sort); do
  if ! clang-format-14 "$file" | cmp -s - "$file"; then
    echo "not formatted: $file (clang-format-14 -i $file)"
    status=1
  fi
done
exit $status
