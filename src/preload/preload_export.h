/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * preload_export.h — gives the handlers of one file libc's names. Included as the last line of each file of the layer
 * that has handlers, after "#define PRELOAD_EXPORT_<theme> PRELOAD_ALIAS".
 *
 * The names are made by the assembler, since C would want each alias to agree with the header that declares it (stat64
 * and stat are two types for C, one for the machine). They are global, of default visibility and without a version: a
 * name in a version node would not be found by a reference to the libc's version of it, silently.
 */
#define PRELOAD_ALIAS(name, handler)                                                                                   \
    __asm__(".globl " #name "\n\t.type " #name ", %function\n\t.set " #name ", " #handler);

#define PRELOAD_NO_ALIAS(name, handler)

#ifndef PRELOAD_EXPORT_open
#define PRELOAD_EXPORT_open PRELOAD_NO_ALIAS
#endif
#ifndef PRELOAD_EXPORT_rw
#define PRELOAD_EXPORT_rw PRELOAD_NO_ALIAS
#endif
#ifndef PRELOAD_EXPORT_fd
#define PRELOAD_EXPORT_fd PRELOAD_NO_ALIAS
#endif
#ifndef PRELOAD_EXPORT_size
#define PRELOAD_EXPORT_size PRELOAD_NO_ALIAS
#endif
#ifndef PRELOAD_EXPORT_away
#define PRELOAD_EXPORT_away PRELOAD_NO_ALIAS
#endif
#ifndef PRELOAD_EXPORT_stat
#define PRELOAD_EXPORT_stat PRELOAD_NO_ALIAS
#endif
#ifndef PRELOAD_EXPORT_times
#define PRELOAD_EXPORT_times PRELOAD_NO_ALIAS
#endif
#ifndef PRELOAD_EXPORT_map
#define PRELOAD_EXPORT_map PRELOAD_NO_ALIAS
#endif
#ifndef PRELOAD_EXPORT_stdio
#define PRELOAD_EXPORT_stdio PRELOAD_NO_ALIAS
#endif
#ifndef PRELOAD_EXPORT_copy
#define PRELOAD_EXPORT_copy PRELOAD_NO_ALIAS
#endif
#ifndef PRELOAD_EXPORT_buffer
#define PRELOAD_EXPORT_buffer PRELOAD_NO_ALIAS
#endif
#ifndef PRELOAD_EXPORT_fill
#define PRELOAD_EXPORT_fill PRELOAD_NO_ALIAS
#endif
#ifndef PRELOAD_EXPORT_poll
#define PRELOAD_EXPORT_poll PRELOAD_NO_ALIAS
#endif
#ifndef PRELOAD_EXPORT_async
#define PRELOAD_EXPORT_async PRELOAD_NO_ALIAS
#endif
#ifndef PRELOAD_EXPORT_ring
#define PRELOAD_EXPORT_ring PRELOAD_NO_ALIAS
#endif
#ifndef PRELOAD_EXPORT_signal
#define PRELOAD_EXPORT_signal PRELOAD_NO_ALIAS
#endif
#ifndef PRELOAD_EXPORT_mask
#define PRELOAD_EXPORT_mask PRELOAD_NO_ALIAS
#endif
#ifndef PRELOAD_EXPORT_process
#define PRELOAD_EXPORT_process PRELOAD_NO_ALIAS
#endif
#ifndef PRELOAD_EXPORT_move
#define PRELOAD_EXPORT_move PRELOAD_NO_ALIAS
#endif
#ifndef PRELOAD_EXPORT_child
#define PRELOAD_EXPORT_child PRELOAD_NO_ALIAS
#endif
#ifndef PRELOAD_EXPORT_exec
#define PRELOAD_EXPORT_exec PRELOAD_NO_ALIAS
#endif
#ifndef PRELOAD_EXPORT_walk
#define PRELOAD_EXPORT_walk PRELOAD_NO_ALIAS
#endif
#define PRELOAD_EXPORT_kernel PRELOAD_NO_ALIAS
#define PRELOAD_EXPORT_core PRELOAD_NO_ALIAS

#define SYMBOL(name, class, theme, handler, note) PRELOAD_EXPORT_##theme(name, handler)
#include "preload/symbols.def"
#undef SYMBOL
