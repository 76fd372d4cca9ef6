/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * generate.c — the alphabet of the sequences, random workloads, and the fixed ones.
 */
#include "crash/explore/generate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The initial file ends at 9192, 40 bytes into a line of its third block. */
static const char *const alphabet[] = {
    "w a 0 4096",    /* a block */
    "w a 100 200",   /* parts of lines */
    "w a 64 128",    /* lines; overlaps */
    "w a 4000 300",  /* across blocks */
    "W a 4096 8192", /* two blocks by the second descriptor, beyond the end */
    "a a 20",        /* within the last line */
    "a a 5000",      /* into the next block */
    "w a 13000 100", /* with a gap */
    "t a 5000",      /* down, within a block and a line */
    "t a 0",         /* to nothing */
    "t a 12000",     /* up */
    "f a",           /* */
    "y a 200 1000",  /* O_SYNC */
    "b a",           /* write-back */
    "q a",           /* the sync thread's look */
    "h a",           /* UNDO for first touches */
    "d a",           /* to the kernel */
    "l a",           /* no more space for the log */
    "n a 100 300",   /* nvmmap, nvmemcpy */
    "i a 96 72",     /* plain stores, across a line */
    "s a",           /* nvmsync */
    "M a",           /* nvmunmap */
    "p a 100 5000",  /* punch */
    "e a 8192 8192", /* allocate, grows */
    "x a",           /* close and open */
    "u a",           /* unlink */
    "c a",           /* anew under the same number */
    "C a",           /* and looking the same */
    "v a; D a",      /* rename, durable */
    "w b 4096 4096", /* the second file */
    "y b 0 300",     /* */
    "x b",           /* gives its log to the next */
};
#define LETTERS (sizeof alphabet / sizeof *alphabet)

static const char *const thread_workloads[] = {
    /* two writes in one epoch, the same block and others; the commit is the third's or one's own */
    "threads : w a 0 64; f a; 1 w a 0 128; 1 f a; 2 w a 64 128",
    "threads : w a 0 64; f a; 1 w a 0 4096; 2 w a 4096 4096; 2 f a",
    "threads : 1 w a 100 200; 1 w a 300 100; 2 w a 150 300; 2 f a",
    "threads : w a 0 4096; f a; w a 0 64; 1 f a; 2 w a 0 64; 2 w a 64 64",
    "threads : w a 0 4096; f a; 1 w a 0 64; 1 w a 128 64; 2 f a; 2 f a",
    "threads : w a 0 4096; f a; w a 0 64; f a; 1 w a 0 64; 1 w a 128 64; 2 w a 0 64; 2 f a",
    /* the same with UNDO for first touches, and in mid-epoch */
    "threads : w a 0 64; h a; 1 w a 100 200; 1 w a 64 64; 2 w a 4000 300; 2 f a",
    "threads : h a; w a 0 4096; f a; 1 b a; 1 w a 0 64; 2 w a 0 128; 2 f a; 2 w a 64 64",
    "threads : w a 0 64; 1 h a; 1 w a 100 100; 2 w a 4096 64; 2 w a 64 128; 2 f a; 2 r a 0 4096",
    /* a commit against appends and truncation */
    "threads : w a 0 64; f a; 1 a a 20; 1 a a 100; 2 f a; 2 w a 0 64",
    "threads : w a 0 64; f a; 1 t a 5000; 1 w a 6000 100; 2 f a",
    "threads : w a 0 64; 1 a a 5000; 2 a a 20; 2 f a",
    "threads : w a 0 64; f a; 1 t a 12000; 2 w a 11000 500; 2 f a",
    /* write-back and trimming against writes */
    "threads : w a 0 4096; f a; 1 b a; 2 w a 0 64; 2 w a 64 64; 2 f a",
    "threads : w a 0 4096; f a; w a 0 64; f a; 1 q a; 2 w a 0 128; 2 f a",
    "threads : a a 5000; f a; t a 3000; f a; 1 q a; 2 w a 5000 200; 2 f a",
    "threads : w a 0 4096; w a 4096 4096; f a; 1 b a; 1 w a 4096 64; 2 y a 0 64",
    /* O_SYNC writes at once */
    "threads : w a 0 64; f a; 1 y a 0 64; 2 y a 64 64",
    "threads : w a 0 64; f a; 1 y a 0 200; 2 y a 100 200; 2 w a 0 10",
    /* readers */
    "threads : w a 0 4096; f a; 1 w a 0 4096; 1 f a; 2 r a 0 4096; 2 r a 0 8192",
    "threads : w a 0 64; f a; 1 w a 4000 300; 2 r a 3900 600; 2 f a",
    /* three */
    "threads : w a 0 64; f a; 1 w a 0 64; 2 w a 0 128; 3 f a",
    "threads : w a 0 4096; f a; 1 w a 0 64; 2 b a; 3 f a",
    /* a full log */
    "threads : w a 0 4096; l a; 1 w a 4096 100; 1 w a 8192 100; 2 f a; 2 w a 0 64",
};

static const char *const process_workloads[] = {
    "processes : w a 0 64; f a; 1 w a 0 4096; 1 w a 100 200; 2 w a 64 128; 2 f a; 2 w a 0 64",
    "processes : w a 0 4096; f a; 1 w a 0 64; 1 w a 64 64; 2 f a; 2 w a 0 64; 2 b a",
    "processes : w a 0 4096; f a; 1 w a 0 128; 1 f a; 2 w a 64 128; 2 f a",
    "processes : w a 0 4096; f a; w a 0 64; f a; 1 w a 0 64; 1 w a 64 64; 2 f a; 2 w a 0 64; 2 b a",
    "processes : w a 0 4096; f a; w a 0 64; f a; 1 w a 0 128; 1 f a; 2 w a 64 128; 2 f a",
    "processes : w a 0 4096; f a; w a 0 64; 1 f a; 2 w a 0 128; 2 y a 0 64",
    "processes : w a 0 64; f a; 1 w a 4000 300; 2 w a 4090 20; 2 f a; 2 q a",
    "processes : w a 0 4096; f a; 1 b a; 2 w a 0 64; 2 f a; 2 b a",
    "processes : w a 0 4096; f a; w a 0 64; f a; 1 b a; 2 y a 0 64; 2 w a 0 64",
    "processes : w a 0 64; f a; 1 w a 9000 1000; 1 f a; 2 w a 9100 100; 2 f a",
    "processes : w a 0 64; f a; 1 t a 5000; 2 w a 0 100; 2 f a; 2 q a",
    "processes : w a 0 64; f a; 1 i a 0 64; 1 w a 8 100; 1 M a; 2 i a 64 64; 2 s a; 2 w a 0 10; 2 M a; 2 f a",
    "processes : w a 0 64; f a; 1 t a 12000; 2 w a 11000 100; 2 f a",
    "processes : w a 0 64; t a 5000; f a; 1 q a; 2 w a 6000 100; 2 f a",
    "processes : w a 0 64; t a 5000; f a; 1 m a; 2 w a 6000 100; 2 f a; 2 b a",
    "processes : a a 5000; t a 13000; f a; 1 m a; 2 w a 13100 100; 2 f a; 2 w a 12000 64; 2 b a",
    "processes : w a 0 64; f a; 1 p a 0 5000; 2 w a 100 100; 2 f a",
    "processes : w a 0 64; f a; 1 n a 0 200; 1 n a 64 64; 2 f a; 2 w a 0 64",
    "processes : w a 0 64; f a; 1 w a 8192 1000; 1 w a 9192 4000; 2 f a; 2 b a",
    "processes : w a 0 64; f a; 1 h a; 1 w a 4000 300; 1 f a; 1 w a 4096 64; 2 w a 4100 64; 2 f a; 2 b a; 2 w a 0 10",
    "processes : h a; w a 0 4096; f a; b a; 1 w a 0 4096; 1 w a 0 64; 2 h a; 2 w a 64 128; 2 f a; 2 w a 64 64; 2 b a",
    "processes : w a 0 64; f a; 1 W a 4096 8192; 2 w a 5000 100; 2 f a; 2 b a",
};

static const char *const heir_workloads[] = {
    "heir : w a 0 64; f a; 1 w a 0 4096; 1 w a 100 200; 2 w a 64 128; 2 f a; 2 w a 0 64",
    "heir : w a 0 4096; f a; 1 w a 0 64; 1 f a; 1 w a 64 64; 2 a a 100; 2 f a; 2 t a 100; 2 f a",
    "heir : w a 0 4096; f a; w a 0 64; 1 b a; 1 w a 4000 300; 2 w a 0 128; 2 f a; 2 x a; 2 w a 0 10",
    "heir : w a 0 4096; f a; w a 0 64; f a; 1 w a 0 64; 1 f a; 1 w a 64 64; 2 a a 100; 2 f a; 2 w a 0 64",
    "heir : a a 5000; f a; 1 t a 5000; 1 q a; 1 w a 6000 100; 2 t a 9000; 2 f a; 2 w a 0 64",
    "heir : h a; w a 0 4096; f a; b a; 1 h a; 1 w a 0 200; 2 w a 0 100; 2 f a; 2 h a; 2 w a 4000 300; 2 f a",
    "heir : w a 0 64; f a; 1 n a 0 200; 1 n a 64 64; 2 w a 0 64; 2 f a; 2 n a 0 100; 2 s a",
    "heir : w a 0 64; f a; 1 m a; 1 w a 0 200; 1 i a 64 64; 1 t a 5000; 2 m a; 2 w a 0 100; 2 M a; 2 f a; 2 w a 0 64",
    "heir : w a 0 64; f a; 1 w a 8192 1000; 1 a a 4000; 1 x a; 2 w a 9000 1000; 2 f a; 2 b a",
    "heir : w a 0 64; w b 0 64; f a; 1 w a 0 64; 1 w b 0 64; 1 x b; 2 w b 0 10; 2 w a 0 10; 2 f a; 2 f b",
    "heir : w a 0 64; f a; 1 w a 64 64; 2 c a; 2 w a 0 100; 2 f a; 2 w a 50 10; 2 f a",
};

static const char *const mutant_workloads[] = {
    ": w a 0 4096; f a; w a 64 128; f a; w a 64 64; f a; w a 0 64",
    ": w a 100 200; f a; w a 64 64; b a; w a 100 50; f a; b a; w a 0 64; f a; x a",
    ": w a 0 4096; f a; w a 4096 4096; f a; w a 0 64; f a; b a; f a; w a 8192 100; y a 0 64",
    ": a a 20; f a; a a 5000; f a; t a 5000; f a; q a; t a 12000; f a; b a",
    ": n a 100 300; s a; n a 0 64; n a 100 10; s a; w a 0 128; f a; M a; w a 0 64; f a",
    ": h a; w a 100 200; f a; w a 64 64; w a 4000 300; f a; b a; w a 0 64; h a; w a 4096 64; f a; w a 0 100; f a",
    ": i a 0 64; s a; i a 64 128; f a; w a 72 64; i a 64 32; M a; f a; w a 0 64",
    ": w a 0 64; m a; w a 64 64; t a 5000; w a 4990 10; t a 9000; i a 8000 64; s a; M a; w a 0 10; f a",
    ": W a 4096 8192; f a; w a 12000 200; f a; w a 9192 64; y a 12100 200; b a; w a 12100 64; f a",
    ": l a; w a 0 64; w a 4096 64; f a; w a 8192 64; w a 12288 64; f a; w a 0 64; w a 16384 64; f a",
    ": w a 0 64; f a; p a 100 5000; w a 200 64; f a; e a 8192 8192; f a; z a 100 200; x a; w a 0 10; f a",
    ": w a 0 64; f a; x a; w b 0 64; f b; x b; w a 64 64; f a",
    ": w a 0 64; f a; c a; w a 0 100; f a; w a 50 10; f a; D a",
    ": w a 0 64; f a; w a 0 100; C a; w a 0 100; f a; w a 50 10; f a; D a",
    ": w a 0 64; w a 4096 64; w a 8192 64; w a 12288 64; w a 16384 64; w a 20480 64; f a; w a 0 64; f a; b a",
    "empty : w a 0 100; f a; D a; w a 50 100; f a; t a 60; f a; q a; w a 100 10; f a",
    ": w a 0 64; f a; d a; a a 5000; f a; w a 0 64; f a; x a; w a 0 64; f a",
    "empty : w a 0 4096; x a; w a 0 64; f a; w a 0 64",
    ": w a 0 64; f a; t a 5000; x a; w a 0 64; f a",
    "empty : w a 0 4096; w a 0 4096; w a 0 4096; w a 100 10; w a 50 10; f a",
    "atomic : w a 0 64; w a 64 64; f a; w a 0 64; t a 100; f a; w a 200 64; f a",
    ": w a 9192 4000; f a; w a 9192 64; f a; w a 9192 64; w a 12288 64; f a; b a; w a 0 64; f a",
};

static const char *const mutant_processes[] = {
    "processes : w a 0 64; f a; 1 w a 4096 64; 2 w a 4200 10; 2 f a",
    "processes : w a 4096 64; f a; 1 w a 4096 64; 2 w a 4200 10; 2 f a",
    "processes : w a 0 4096; f a; w a 0 64; f a; 1 w a 0 64; 2 w a 100 10; 2 f a",
    "processes : w a 0 4096; f a; 1 b a; 2 w a 0 64; 2 f a; 2 b a",
    "processes : n a 0 64; s a; 1 n a 64 64; 2 n a 200 10; 2 s a; 2 w a 0 10",
    "processes : w a 0 64; t a 5000; f a; 1 q a; 2 w a 6000 100; 2 f a",
    "heir : w a 0 64; f a; 1 w a 0 64; 1 a a 100; 2 w a 9000 500; 2 f a; 2 w a 0 64",
    "heir : w a 0 64; w b 0 64; f a; 1 w b 0 64; 1 x b; 2 w b 0 10; 2 a a 100; 2 f a; 2 f b",
};

static const char *const mutant_threads[] = {
    "threads : w a 0 64; f a; 1 w a 0 128; 1 f a; 2 w a 64 128",
    "threads : w a 0 4096; f a; 1 w a 0 64; 1 w a 128 64; 2 f a; 2 f a",
    "threads : w a 0 4096; f a; 1 b a; 2 w a 0 64; 2 w a 64 64; 2 f a",
};

struct fixed {
    const char *const *text;
    unsigned count;
};

static struct fixed fixed_set(enum generate_set set)
{
    switch (set) {
    case GENERATE_THREADS:
        return (struct fixed){thread_workloads, sizeof thread_workloads / sizeof *thread_workloads};
    case GENERATE_PROCESSES:
        return (struct fixed){process_workloads, sizeof process_workloads / sizeof *process_workloads};
    case GENERATE_HEIRS:
        return (struct fixed){heir_workloads, sizeof heir_workloads / sizeof *heir_workloads};
    case GENERATE_MUTANTS:
        return (struct fixed){mutant_workloads, sizeof mutant_workloads / sizeof *mutant_workloads};
    case GENERATE_MUTANTS_PROCESSES:
        return (struct fixed){mutant_processes, sizeof mutant_processes / sizeof *mutant_processes};
    default:
        return (struct fixed){mutant_threads, sizeof mutant_threads / sizeof *mutant_threads};
    }
}

static void parse(const char *text, struct workload *workload)
{
    const char *error;
    if (!workload_parse(text, workload, &error)) {
        fprintf(stderr, "wrong at: %s\n", error);
        abort();
    }
}

unsigned generate_fixed_count(enum generate_set set)
{
    return fixed_set(set).count;
}

void generate_fixed(enum generate_set set, unsigned index, struct workload *workload)
{
    parse(fixed_set(set).text[index], workload);
}

/* ---- sequences ---- */

static void append_text(struct workload *workload, const char *text)
{
    struct workload more;
    parse(text, &more);
    for (unsigned i = 0; i < more.count && workload->count < WORKLOAD_MOST; i++)
        workload->operation[workload->count++] = more.operation[i];
}

uint64_t generate_sequences(unsigned length)
{
    uint64_t count = 2;
    while (length--)
        count *= LETTERS;
    return count;
}

void generate_sequence(unsigned length, uint64_t index, struct workload *workload)
{
    memset(workload, 0, sizeof *workload);
    workload->atomic = index & 1;
    for (index /= 2; length--; index /= LETTERS)
        append_text(workload, alphabet[index % LETTERS]);
}

void generate_ending(struct workload *workload)
{
    append_text(workload, "f a; w a 60 100");
}

/* ---- random ---- */

uint64_t generate_number(uint64_t *state, uint64_t below)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t x = *state;
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (x ^ (x >> 31)) % below;
}

/* Offsets and lengths like to lie near the edges of words, lines and blocks. */
static uint32_t random_place(uint64_t *state, uint32_t most)
{
    static const uint32_t unit[] = {1, 8, 64, 64, 4096, 4096};
    uint32_t of = unit[generate_number(state, sizeof unit / sizeof *unit)];
    uint32_t place = (uint32_t)generate_number(state, most / of + 1) * of;
    if (generate_number(state, 4) == 0)
        place += (uint32_t)generate_number(state, 9);
    return place < most ? place : most;
}

static const char random_verbs[] = "wwwwwwWyyaaatttffffffbbqqnniissMppexxldcCuvDhhhh";

void generate_random(uint64_t seed, uint64_t index, unsigned length, struct workload *workload)
{
    uint64_t state = seed * UINT64_C(0x2545f4914f6cdd1d) + index;
    memset(workload, 0, sizeof *workload);
    workload->atomic = generate_number(&state, 2);
    workload->empty = generate_number(&state, 8) == 0;
    bool two = generate_number(&state, 3) == 0;
    uint32_t appended = 20000; /* the longest that the other operations make a file */
    while (workload->count < length && workload->count < WORKLOAD_MOST) {
        struct operation *op = &workload->operation[workload->count++];
        op->verb = random_verbs[generate_number(&state, sizeof random_verbs - 1)];
        op->file = two && generate_number(&state, 3) == 0;
        int numbers = operation_numbers(op->verb);
        if (numbers == 2)
            op->offset = random_place(&state, 11800);
        if (numbers >= 1)
            op->length = 1 + random_place(&state, numbers == 2 ? 8191 : op->verb == 'a' ? 4999 : 19999);
        if (op->verb == 't')
            op->length--;
        appended += op->verb == 'a' ? op->length : 0;
        if ((strchr("ld", op->verb) && generate_number(&state, 3)) ||
            appended > OPERATION_SIZE_MOST) { /* not too often */
            workload->count--;
            appended -= op->verb == 'a' ? op->length : 0;
        }
    }
}
