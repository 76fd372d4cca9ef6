/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * log_index.h — name and end of the index object that a log's header names. Layer log; called by index, uma, the volume.
 *
 * The object is the index layer's; its name is known here, so that whoever finds the log of dead processes can remove it.
 * A header names its object before the object is made and until after it is removed, in a pooled log as well: a process
 * that dies at any moment leaves no object that no header names.
 *
 * The log may go, too: the root may be removed behind the dead. So whoever has the object open holds a shared lock on it,
 * and one that can be locked exclusively is nobody's, whatever became of its log: recovery does not read it. A name is
 * never used twice (the nonce is random, and new for each object), so that who has locked an object can remove its name.
 */
#ifndef LOG_LOG_INDEX_H
#define LOG_LOG_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#define LOG_INDEX_PATH_BYTES 64

/* /dev/shm/nvmmio-OWNER-NONCE */
void log_index_path(uint32_t owner, uint64_t nonce, char path[LOG_INDEX_PATH_BYTES]);

/* Removes the name. 0 is no nonce. */
void log_index_remove(uint32_t owner, uint64_t nonce);

/* Somebody uses the object of that descriptor, which keeps the lock. -EAGAIN: it is being removed. */
int log_index_hold(int fd);

/* Whether nobody else has the object of that descriptor, which holds it. Nobody can have it from then on. */
bool log_index_hold_alone(int fd);

/* Removes the objects of that owner which nobody uses; root those of all. */
void log_index_reclaim(uint32_t owner);

#endif
