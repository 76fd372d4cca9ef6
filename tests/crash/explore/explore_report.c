/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * explore_report.c — one state again, told to a human.
 */
#include "crash/explore/explore_private.h"

#include "log/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPORT_ITEMS = 40, WORD_BYTES = 8, LINE_BYTES = 64 };

static const char *file_name(const struct trace *trace, uint32_t file)
{
    return file < trace->file_count && trace->file[file].path[0] ? trace->file[file].path : "a file without a name";
}

/* Where in a log, or file, an offset is. */
static void print_place(const struct trace *trace, uint32_t file, uint64_t offset)
{
    uint64_t in_group = offset % LOG_GROUP_BYTES, group = offset / LOG_GROUP_BYTES * LOG_GROUP_BLOCKS;
    if (trace->file[file].kind != TRACE_FILE_LOG)
        printf("file %u block %llu byte %llu", file, (unsigned long long)(offset / LOG_BLOCK),
               (unsigned long long)(offset % LOG_BLOCK));
    else if (offset < LOG_HEADER_BYTES)
        printf("log %u header byte %llu", file, (unsigned long long)offset);
    else if (in_group < LOG_ENTRIES_BYTES)
        printf("log %u entry %llu byte %llu", file, (unsigned long long)(group + in_group / LOG_ENTRY_BYTES),
               (unsigned long long)(offset % LOG_ENTRY_BYTES));
    else
        printf("log %u block %llu byte %llu", file,
               (unsigned long long)(group + (in_group - LOG_ENTRIES_BYTES) / LOG_BLOCK),
               (unsigned long long)((in_group - LOG_ENTRIES_BYTES) % LOG_BLOCK));
}

static void print_missing_item(const struct trace *trace, const struct trace *events, const struct persist_item *item)
{
    static const char *const kinds[] = {
        [PERSIST_CACHED] = "store", [PERSIST_STREAM] = "stream", [PERSIST_KERNEL] = "kernel write"};
    printf("  %s of event %zu, ", kinds[item->kind], item->event);
    print_place(trace, item->file, item->word * WORD_BYTES);
    printf(" = %016llx, thread %u, at %s\n", (unsigned long long)item->value, item->thread,
           trace_site_name(events->event[item->event].site));
}

static void print_missing_call(const struct trace *events, const struct persist_call *call)
{
    static const char *const kinds[] = {"size", "zero", "collapse", "insert", "link", "unlink", "rename"};
    printf("  %s of file %u, event %zu, [%llu, %llu), at %s\n", kinds[call->kind], call->file, call->event,
           (unsigned long long)call->from, (unsigned long long)call->to,
           trace_site_name(events->event[call->event].site));
}

/* What was in flight and is not in the state: neighbours of one stream in one line. */
static void print_missing(const struct explorer *explorer, const struct trace *events, const struct explore_cut *cut)
{
    const struct persist *persist = cut->persist;
    unsigned printed = 0;
    size_t event = SIZE_MAX, pending = 0, missing = 0;
    for (size_t i = 0; i < persist->calls; i++)
        if (!persist_has_call(&persist->call[i], cut->choice))
            print_missing_call(events, &persist->call[i]);
    for (size_t i = 0; i < persist->items; i++) {
        const struct persist_item *item = &persist->item[i];
        pending++;
        if (persist_has_item(persist, item, cut->choice))
            continue;
        missing++;
        bool again = item->kind != PERSIST_CACHED && item->event == event;
        event = item->event;
        if (!again && printed++ < REPORT_ITEMS)
            print_missing_item(explorer->trace, events, item);
    }
    printf("  %zu of %zu words in flight are not there, of %zu units\n", missing, pending, persist->units);
}

static void print_log(const struct image *image, uint32_t file)
{
    const struct log_header *header = (const struct log_header *)(const void *)image->file[file].bytes;
    uint64_t floor = atomic_load(&header->floor);
    printf("log %u (%s): size %llu magic %s flags %llx sizes %llu %llu H %llu floor %llu newest %llu inode %llu\n",
           file, file_name(image->trace, file), (unsigned long long)image->file[file].size,
           atomic_load(&header->magic) == LOG_MAGIC ? "set" : "none", (unsigned long long)header->flags,
           (unsigned long long)atomic_load(&header->size[0]), (unsigned long long)atomic_load(&header->size[1]),
           (unsigned long long)atomic_load(&header->epoch), (unsigned long long)floor,
           (unsigned long long)atomic_load(&header->newest_size), (unsigned long long)header->identity.ino);
    uint32_t blocks = log_blocks_in(image->file[file].size);
    for (uint32_t n = LOG_FIRST_BLOCK; n < blocks; n++) {
        const struct log_entry *entry =
            (const struct log_entry *)(const void *)(image->file[file].bytes + log_entry_offset(n));
        uint64_t epoch[2] = {atomic_load(&entry->record[0].epoch), atomic_load(&entry->record[1].epoch)};
        if (epoch[0] <= floor && epoch[1] <= floor)
            continue;
        printf("  entry %u: block %llu seq %llu", n, (unsigned long long)log_entry_number(atomic_load(&entry->block)),
               (unsigned long long)log_entry_number(atomic_load(&entry->seq)));
        for (unsigned r = 0; r < 2; r++)
            printf("  { base %016llx flip %016llx epoch %llu }",
                   (unsigned long long)atomic_load(&entry->record[r].base),
                   (unsigned long long)atomic_load(&entry->record[r].flip), (unsigned long long)epoch[r]);
        printf("\n");
    }
}

static void print_image(const struct image *image)
{
    for (uint32_t i = 0; i < image->files; i++) {
        if (!image->file[i].bytes || !image_exists(image, i))
            continue;
        if (image->file[i].log)
            print_log(image, i);
        else
            printf("file %u (%s): size %llu inode %llu\n", i, file_name(image->trace, i),
                   (unsigned long long)image->file[i].size, (unsigned long long)image->trace->file[i].identity.ino);
    }
    for (uint32_t i = 0; i < image->names; i++)
        if (image->name[i].file != IMAGE_NO_FILE)
            printf("name %s: file %u\n", image->name[i].text, image->name[i].file);
}

/* What recovery made of it, and where it is otherwise than when all had persisted. */
static void print_outcome(const struct explorer *explorer)
{
    const struct image *image = &explorer->image;
    struct explore_file *file = calloc(image->files + 1, sizeof *file);
    uint32_t files = file ? recover_files(image, file) : 0;
    for (uint32_t i = 0; i < files; i++)
        printf("recovered file %u: %s, size %llu\n", file[i].file, file[i].exists ? "exists" : "gone",
               (unsigned long long)file[i].size);
    free(file);
    uint32_t number;
    uint64_t offset;
    if (!explorer->expected.file || recover_copy_equal(&explorer->expected, image, &number, &offset))
        return;
    if (offset == UINT64_MAX) {
        printf("file %u differs in size or existence from the reference\n", number);
        return;
    }
    const uint8_t *found = image->file[number].bytes + offset;
    const uint8_t *wanted = NULL;
    for (uint32_t i = 0; i < explorer->expected.files; i++)
        if (explorer->expected.file[i].file == number)
            wanted = explorer->expected.file[i].bytes + offset;
    printf("file %u first differs from the reference at byte %llu (block %llu, line %llu): found %02x, there %02x\n",
           number, (unsigned long long)offset, (unsigned long long)(offset / LOG_BLOCK),
           (unsigned long long)(offset % LOG_BLOCK / LINE_BYTES), *found, wanted ? *wanted : 0);
}

/* The recovery of the state in which nothing in flight is missing: what to compare with. */
static void take_reference(struct explorer *explorer, struct explore_cut *cut)
{
    struct image *image = &explorer->image;
    struct image_point mark = image_mark(image);
    uint16_t *all = malloc((cut->persist->units + 1) * sizeof *all);
    if (!all)
        return;
    for (size_t i = 0; i < cut->persist->units; i++)
        all[i] = cut->persist->unit[i].most;
    persist_apply(cut->persist, all);
    recover_image(image, explorer_boot(explorer, 0), NULL, NULL);
    recover_copy_take(&explorer->expected, image);
    image_rewind(image, mark);
    free(all);
}

/* The levels from `level` on; the image and cut[level].persist are at the crash point. */
static const char *replay(struct explorer *explorer, const struct explore_failure *failure, unsigned level,
                          const char *text)
{
    struct explore_cut *cut = &explorer->cut[level];
    struct image *image = &explorer->image;
    const struct trace *events = level ? &explorer->tape[level - 1].trace : explorer->trace;
    persist_units(cut->persist);
    cut->choice = malloc((cut->persist->units + 1) * sizeof *cut->choice);
    if (!cut->choice || !explore_text_choice(&text, cut->persist, cut->choice))
        return "the state cannot be read: other options, or another trace?";
    if (level == 0)
        take_reference(explorer, cut);
    printf("level %u: power cut before event %zu%s; not persistent:\n", level, cut->at,
           level ? " of the recovery" : "");
    print_missing(explorer, events, cut);
    struct image_point mark = image_mark(image);
    persist_apply(cut->persist, cut->choice);
    print_image(image);
    struct image_point state = image_mark(image);
    const char *wrong = explorer_verdict(explorer, level, &explorer->tape[level]);
    if (level == failure->level || (wrong && level == 0)) {
        print_outcome(explorer);
        return wrong;
    }
    recover_copy_take(&explorer->expected, image);
    image_rewind(image, state);
    if (explorer->options->same_boot && level == 0)
        image_rewind(image, mark);
    struct explore_cut *next = &explorer->cut[level + 1];
    struct persist persist;
    if (!explore_text_point(&text, &next->at))
        return "the state cannot be read";
    explorer_enter(explorer, level, &persist);
    const struct trace *tape = &explorer->tape[level].trace;
    for (size_t at = 0; at < next->at && at < tape->count; at++)
        persist_feed(&persist, tape, at);
    next->persist = &persist;
    wrong = replay(explorer, failure, level + 1, text);
    persist_close(&persist);
    return wrong;
}

bool explore_state(const struct trace *trace, const struct explore_failure *failure,
                   const struct explore_oracle *oracle, const struct explore_options *options)
{
    struct explorer explorer;
    struct explore_stats stats = {0};
    struct persist persist;
    if (!explorer_open(&explorer, trace, oracle, options, &stats, NULL))
        return false;
    persist_open(&persist, &explorer.image, trace, options);
    for (size_t at = 0; at < failure->at && at < trace->count; at++)
        persist_feed(&persist, trace, at);
    if (oracle->prepare)
        oracle->prepare(oracle->context, trace, failure->at);
    explorer.cut[0].at = failure->at;
    explorer.cut[0].persist = &persist;
    const char *wrong = replay(&explorer, failure, 0, failure->state);
    printf("%s\n", wrong ? wrong : "legal");
    persist_close(&persist);
    explorer_close(&explorer);
    return wrong == NULL;
}
