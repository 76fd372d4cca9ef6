/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * rcu.h — liburcu-bp with its read side inlined. Layer file.
 *
 * _LGPL_SOURCE asks for the inline functions; each is short enough (ten lines) for the licence to let any code have it.
 */
#ifndef FILE_RCU_H
#define FILE_RCU_H

#ifndef _LGPL_SOURCE
#define _LGPL_SOURCE
#endif
#include <urcu/urcu-bp.h>

#endif
