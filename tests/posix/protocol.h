/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * protocol.h — between a case and compare.c: messages on a seqpacket socket, the first byte tells the kind.
 */
#ifndef POSIX_PROTOCOL_H
#define POSIX_PROTOCOL_H

#define CASE_CONTROL 900  /* the case's end of the socket; above all numbers that a case gets from open */
#define PROTOCOL_MAX 1024 /* bytes of a message */
#define PROTOCOL_LINE 'O' /* a line of the report */
#define PROTOCOL_LOOK 'L' /* a path to report on; answered by one byte when done */

#endif
