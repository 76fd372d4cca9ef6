// SPDX-License-Identifier: BSD-3-Clause
// Copyright (c) 2026 the nvmmio authors
//
// header.cpp — compiles the public header alone as C++; never run.
#include <nvmmio.h>

int header_cxx_uses(const char *path)
{
    return nvopen(path, O_ATOMIC);
}
