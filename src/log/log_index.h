/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * log_index.h — the name of the index object that a log's header names. Layer log; called by index and by the scan.
 *
 * The object is the index layer's; its name is known here, so that whoever finds the log of dead processes can remove it.
 * A header names its object before the object is made and until after it is removed, in a pooled log as well: a process
 * that dies at any moment leaves no object that no header names.
 */
#ifndef LOG_LOG_INDEX_H
#define LOG_LOG_INDEX_H

#include <stdint.h>

#define LOG_INDEX_PATH_BYTES 64

/* /dev/shm/nvmmio-OWNER-NONCE */
void log_index_path(uint32_t owner, uint64_t nonce, char path[LOG_INDEX_PATH_BYTES]);

/* Removes the name. 0 is no nonce. */
void log_index_remove(uint32_t owner, uint64_t nonce);

#endif
