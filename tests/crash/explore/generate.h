/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * generate.h — which workloads are tried.
 */
#ifndef CRASH_EXPLORE_GENERATE_H
#define CRASH_EXPLORE_GENERATE_H

#include "crash/explore/operation.h"

/* All sequences of `length` steps of the alphabet, each with and without O_ATOMIC: how many, and number `index`. A step is
 * one operation, or two that belong together. */
uint64_t generate_sequences(unsigned length);
void generate_sequence(unsigned length, uint64_t index, struct workload *workload);

/* Appends "f a; w a 60 100". */
void generate_ending(struct workload *workload);

/* A random one of about `length` operations. */
void generate_random(uint64_t seed, uint64_t index, unsigned length, struct workload *workload);

/* Fixed workloads: of threads; of two processes; those that every mutant is tried on. */
enum generate_set {
    GENERATE_THREADS,
    GENERATE_PROCESSES,
    GENERATE_HEIRS,
    GENERATE_MUTANTS,
    GENERATE_MUTANTS_PROCESSES,
    GENERATE_MUTANTS_THREADS
};
unsigned generate_fixed_count(enum generate_set set);
void generate_fixed(enum generate_set set, unsigned index, struct workload *workload);

/* A number below `below` that follows from *state, which moves on. */
uint64_t generate_number(uint64_t *state, uint64_t below);

#endif
