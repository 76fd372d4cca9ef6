/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * nv_ret.h — the edge: a call goes inside the library (base/inside.h), and negative errno values become errno. Layer api.
 */
#ifndef API_NV_RET_H
#define API_NV_RET_H

#include "base/inside.h"

#include <errno.h>

static inline long nv_ret(long result)
{
    if (result >= 0)
        return result;
    errno = (int)-result;
    return -1;
}

/* Around a call of layer file. Handlers may run in the second, so errno is set behind them. */
static inline void nv_enter(void)
{
    inside_enter();
}
static inline long nv_leave(long result)
{
    inside_leave();
    return nv_ret(result);
}

#endif
