/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * nv_ret.h — the edge where negative errno values become errno. Layer api.
 */
#ifndef API_NV_RET_H
#define API_NV_RET_H

#include <errno.h>

static inline long nv_ret(long result)
{
    if (result >= 0)
        return result;
    errno = (int)-result;
    return -1;
}

#endif
