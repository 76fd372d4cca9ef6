/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * place.h — where test files go: NVMMIO_TEST_DIR (a directory on PM), else emulated PM in /dev/shm.
 */
#ifndef SUPPORT_PLACE_H
#define SUPPORT_PLACE_H

#include <stdbool.h>
#include <stdlib.h>

/* Whether tests run on PM, with MAP_SYNC. */
static inline bool place_is_pm(void)
{
    const char *place = getenv("NVMMIO_TEST_DIR");
    return place && *place;
}

static inline const char *place_directory(void)
{
    return place_is_pm() ? getenv("NVMMIO_TEST_DIR") : "/dev/shm";
}

#endif
