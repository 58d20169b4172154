#!/bin/sh
# embed.sh - files as C: embed.sh ARRAY FILE... > ARRAY.c
#
# Writes `const struct embedded_file ARRAY[]` and `const size_t ARRAY_count` (see embed.h), sorted by file name. Byte by
# byte, so that what a checksum says of the file holds for the array too.
set -eu
LC_ALL=C
export LC_ALL

array=$1
shift

# sorted by name, whatever order they came in
sorted=$(for file do printf '%s\t%s\n' "$(basename "$file")" "$file"; done | sort | cut -f2-)

printf '/* written by common/embed.sh */\n#include "common/embed.h"\n'
number=0
for file in $sorted; do
    printf '\nstatic const unsigned char file_%d[] = { /* %s */\n' "$number" "$file"
    od -A n -v -t u1 "$file" | sed 's/  *\([0-9][0-9]*\)/\1,/g'
    printf '0};\n'
    number=$((number + 1))
done

printf '\nconst struct embedded_file %s[] = {\n' "$array"
number=0
for file in $sorted; do
    printf '    {"%s", (const char *)file_%d, sizeof file_%d - 1},\n' "$(basename "$file")" "$number" "$number"
    number=$((number + 1))
done
printf '    {0}, /* ends it; not counted */\n};\n'
printf 'const size_t %s_count = %d;\n' "$array" "$number"
