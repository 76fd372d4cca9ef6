/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * trace_site.c — source places of sites. addr2line is asked once for all sites of the trace that are not known yet; of the
 * inlined frames of an address the first that is no wrapper counts.
 */
#include "crash/explore/trace_private.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SITES 4096u   /* a power of two */
#define ASK_MOST 512u /* sites of one command line */

static struct {
    pthread_mutex_t lock;
    uint64_t site[SITES]; /* open addressing; 0: free */
    const char *name[SITES];
    char *names[SITES];
    unsigned count;
} sites = {.lock = PTHREAD_MUTEX_INITIALIZER};

static unsigned place_of(uint64_t site)
{
    unsigned i = (unsigned)(site * UINT64_C(0x9e3779b97f4a7c15) >> 40) % SITES;
    while (sites.site[i] && sites.site[i] != site)
        i = (i + 1) % SITES;
    return i;
}

/* One copy of each name. */
static const char *intern(const char *name)
{
    for (unsigned i = 0; i < sites.count; i++)
        if (strcmp(sites.names[i], name) == 0)
            return sites.names[i];
    if (sites.count == SITES)
        return "?";
    return sites.names[sites.count++] = strdup(name);
}

/* A function of rawsys.h or pm.h that was inlined; the compiler may give its call the line of its caller. */
static bool is_wrapper(const char *function)
{
    static const char *const wrappers[] = {"rawsys", "sys_", "pm_store64", "pm_store_words", "pm_or64"};
    for (size_t i = 0; i < sizeof wrappers / sizeof *wrappers; i++)
        if (strncmp(function, wrappers[i], strlen(wrappers[i])) == 0)
            return true;
    return false;
}

static void put(uint64_t site, const char *name)
{
    unsigned i = place_of(site);
    sites.site[i] = site;
    sites.name[i] = intern(name);
}

/* Lines of addr2line -a -f -i: an address, then function and file:line of each frame, innermost first. */
static void read_answers(FILE *answers)
{
    char line[512], function[512] = "", name[1024 + 2];
    uint64_t site = 0;
    bool done = false, is_function = true;
    while (fgets(line, sizeof line, answers)) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, "0x", 2) == 0) {
            site = strtoull(line, NULL, 16) + 1;
            done = false;
            is_function = true;
            continue;
        }
        if (is_function) {
            snprintf(function, sizeof function, "%s", line);
        } else if (!done) {
            line[strcspn(line, " ")] = 0; /* " (discriminator 3)" */
            const char *slash = strrchr(line, '/'), *file = slash ? slash + 1 : line;
            snprintf(name, sizeof name, "%s %s", file, function);
            put(site, name); /* a wrapper alone stays if nothing better comes */
            done = !is_wrapper(function);
        }
        is_function = !is_function;
    }
}

static void ask(const uint64_t *list, unsigned count)
{
    char command[64 + ASK_MOST * 20];
    size_t length = (size_t)snprintf(command, sizeof command, "addr2line -a -f -i -e /proc/%d/exe", (int)getpid());
    for (unsigned i = 0; i < count; i++) /* the call, not what it returns to */
        length +=
            (size_t)snprintf(command + length, sizeof command - length, " 0x%llx", (unsigned long long)list[i] - 1);
    FILE *answers = popen(command, "r");
    if (!answers)
        return;
    read_answers(answers);
    pclose(answers);
    for (unsigned i = 0; i < count; i++)
        if (!sites.site[place_of(list[i])])
            put(list[i], "?");
}

static void ask_for_all(uint64_t site)
{
    const struct trace *trace = trace_now();
    uint64_t list[ASK_MOST];
    unsigned count = 0;
    list[count++] = site;
    for (size_t i = 0; i < trace->count && count < ASK_MOST; i++) {
        uint64_t other = trace->event[i].site;
        bool known = !other || sites.site[place_of(other)];
        for (unsigned k = 0; k < count && !known; k++)
            known = list[k] == other;
        if (!known)
            list[count++] = other;
    }
    ask(list, count);
}

const char *trace_site_name(uint64_t site)
{
    if (!site)
        return "-";
    pthread_mutex_lock(&sites.lock);
    if (!sites.site[place_of(site)])
        ask_for_all(site);
    const char *name = sites.name[place_of(site)];
    pthread_mutex_unlock(&sites.lock);
    return name ? name : "?";
}
