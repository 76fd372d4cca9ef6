#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 the nvmmio authors
#
# check-layers.sh — does each layer of src/ include only its own headers, those of the layers below it and the public one?
# The preload library stands apart: it needs libc alone, and sees of the core the table of api/core.h, the enumerations of
# uma/uma.h the system calls of base/rawsys.h and the list of base/live.h.

set -u
cd "$(dirname "$0")/.." || exit 1
layers="base pm log index uma file api"
wrong=0
below=
for layer in $layers; do
    below="$below $layer"
    allowed=$(echo "$below" | sed 's/^ //; s/ /|/g')
    if grep -nE '^#include "' -r "src/$layer" --include='*.[ch]' | grep -vE "#include \"(nvmmio\.h|($allowed)/)"; then
        echo "src/$layer includes only: $below"
        wrong=1
    fi
done
if [ -d src/preload ] && grep -nE '^#include "' -r src/preload --include='*.[ch]' |
    grep -vE '#include "(preload/[^"]*|nvmmio\.h|api/core\.h|uma/uma\.h|base/(rawsys|live)\.h)"'; then
    echo "src/preload includes what is not for it"
    wrong=1
fi
exit $wrong
