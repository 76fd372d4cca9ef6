/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * kernel.c — descriptors, mappings and hooks over an image.
 *
 * Linked with --wrap for pm_trace_before, pm_trace_after and log_boot_id: outside of a recovery they are the recorder's and
 * the library's own.
 */
#include "crash/explore/kernel.h"

#include "base/rawsys.h"
#include "log/log_recover.h"
#include "pm/pm_trace.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <unistd.h>

#define KERNEL_FD (1 << 28)           /* + file */
#define KERNEL_DIRECTORY_FD (1 << 29) /* + directory */
#define KERNEL_NAME_BYTES 64u
#define KERNEL_UUID_BYTES 16u

/* ioctl FS_IOC_GETFSUUID */
struct kernel_uuid {
    uint8_t length;
    uint8_t uuid[KERNEL_UUID_BYTES];
};

static struct kernel {
    struct image *image; /* NULL: no recovery is running */
    struct trace *tape;
    unsigned boot;
    uint64_t changes;
    char trouble[128];
    struct trace_event unwanted;                                                 /* where events go without a tape */
    long (*invoke)(long number, long a, long b, long c, long d, long e, long f); /* before kernel_begin */
    uint32_t last_file;                                                          /* that an address was in */
    struct {
        enum pm_trace_kind kind;
        uint32_t file;
        const char *address;
        size_t length;
        uint64_t site;
        bool pending;
    } act; /* between the two hooks */
} kernel;

int kernel_fd(uint32_t file)
{
    return KERNEL_FD + (int)file;
}

int kernel_directory_fd(uint32_t directory)
{
    return KERNEL_DIRECTORY_FD + (int)(directory & (KERNEL_DIRECTORY_FD - 1));
}

uint64_t kernel_changes(void)
{
    return kernel.changes;
}

const char *kernel_trouble(void)
{
    return kernel.trouble[0] ? kernel.trouble : NULL;
}

/* ---- the tape ---- */

static void *tape_memory(void *memory)
{
    if (!memory) {
        fprintf(stderr, "explore: no memory\n");
        exit(2);
    }
    return memory;
}

static uint64_t tape_keep(struct trace *tape, const void *bytes, size_t n)
{
    if (tape->data_length + n > tape->data_room) {
        tape->data_room = (tape->data_length + n) * 2;
        tape->data = tape_memory(realloc(tape->data, tape->data_room));
    }
    memcpy(tape->data + tape->data_length, bytes, n);
    tape->data_length += n;
    return tape->data_length - n;
}

static struct trace_event *tape_add(enum trace_kind kind, uint32_t file, uint64_t offset, uint64_t length,
                                    const void *bytes)
{
    kernel.changes++;
    if (!kernel.tape)
        return &kernel.unwanted;
    struct trace *tape = kernel.tape;
    if (tape->count == tape->room) {
        tape->room = tape->room ? tape->room * 2 : 256;
        tape->event = tape_memory(realloc(tape->event, tape->room * sizeof *tape->event));
    }
    struct trace_event *event = &tape->event[tape->count++];
    /* A process of its own: those of the trace are dead. */
    *event = (struct trace_event){.kind = (uint8_t)kind,
                                  .process = UINT8_MAX,
                                  .file = file,
                                  .offset = offset,
                                  .length = length,
                                  .directory = TRACE_NO_FILE,
                                  .old_directory = TRACE_NO_FILE};
    if (bytes)
        event->data = tape_keep(tape, bytes, length);
    return event;
}

static struct trace_event *tape_call(enum trace_call call, uint32_t file, uint64_t offset, uint64_t length,
                                     const void *bytes, uint64_t site)
{
    struct trace_event *event = tape_add(TRACE_CALL, file, offset, length, bytes);
    event->call = (uint8_t)call;
    event->site = site;
    return event;
}

void kernel_tape_free(struct kernel_tape *tape)
{
    free(tape->trace.event);
    free(tape->trace.data);
    memset(tape, 0, sizeof *tape);
}

/* ---- layer pm ---- */

void __real_pm_trace_before(enum pm_trace_kind kind, const void *addr, size_t n, const void *caller);
void __real_pm_trace_after(void);
void __wrap_pm_trace_before(enum pm_trace_kind kind, const void *addr, size_t n, const void *caller);
void __wrap_pm_trace_after(void);

static bool is_in(uint32_t file, const char *address)
{
    const uint8_t *bytes = kernel.image->file[file].bytes;
    return bytes && (uintptr_t)address - (uintptr_t)bytes < IMAGE_ROOM;
}

static bool file_at(const char *address, uint32_t *file)
{
    if (is_in(kernel.last_file, address)) {
        *file = kernel.last_file;
        return true;
    }
    for (uint32_t i = 0; i < kernel.image->files; i++)
        if (is_in(i, address)) {
            *file = kernel.last_file = i;
            return true;
        }
    return false;
}

static void act_before(enum pm_trace_kind kind, const char *address, size_t n, const void *caller)
{
    uint32_t file = TRACE_NO_FILE;
    kernel.act.pending = false;
    if (kind != PM_TRACE_FENCE) {
        if (!file_at(address, &file))
            return;
        if (kind != PM_TRACE_FLUSH)
            image_save_bytes(kernel.image, file, (uint64_t)((const uint8_t *)address - kernel.image->file[file].bytes),
                             n);
    }
    kernel.act.kind = kind;
    kernel.act.file = file;
    kernel.act.address = address;
    kernel.act.length = n;
    kernel.act.site = (uint64_t)(uintptr_t)caller; /* programs with the recorder are not moved */
    kernel.act.pending = true;
}

static void act_after(void)
{
    if (!kernel.act.pending)
        return;
    kernel.act.pending = false;
    static const enum trace_kind kinds[] = {[PM_TRACE_STORE] = TRACE_STORE,
                                            [PM_TRACE_STREAM] = TRACE_STREAM,
                                            [PM_TRACE_FLUSH] = TRACE_FLUSH,
                                            [PM_TRACE_FENCE] = TRACE_FENCE};
    bool stores = kernel.act.kind == PM_TRACE_STORE || kernel.act.kind == PM_TRACE_STREAM;
    uint64_t offset = 0;
    if (kernel.act.kind != PM_TRACE_FENCE)
        offset = (uint64_t)((const uint8_t *)kernel.act.address - kernel.image->file[kernel.act.file].bytes);
    tape_add(kinds[kernel.act.kind], kernel.act.file, offset, kernel.act.length, stores ? kernel.act.address : NULL)
        ->site = kernel.act.site;
}

void __wrap_pm_trace_before(enum pm_trace_kind kind, const void *addr, size_t n, const void *caller)
{
    if (!caller)
        caller = PM_TRACE_CALLER;
    if (kernel.image)
        act_before(kind, addr, n, caller);
    else
        __real_pm_trace_before(kind, addr, n, caller);
}

void __wrap_pm_trace_after(void)
{
    if (kernel.image)
        act_after();
    else
        __real_pm_trace_after();
}

/* ---- the boot id ---- */

int __real_log_boot_id(uint64_t id[2]);
int __wrap_log_boot_id(uint64_t id[2]);

int __wrap_log_boot_id(uint64_t id[2])
{
    int result = __real_log_boot_id(id);
    if (kernel.image)
        id[1] ^= kernel.boot;
    return result;
}

/* ---- system calls ---- */

static long kernel_statx(uint32_t number, struct statx *stx)
{
    const struct trace_file *file = &kernel.image->trace->file[number];
    memset(stx, 0, sizeof *stx);
    stx->stx_mask = STATX_BASIC_STATS;
    stx->stx_mode = S_IFREG | 0600;
    stx->stx_nlink = kernel.image->file[number].links;
    stx->stx_uid = file->owner;
    stx->stx_ino = file->identity.ino;
    stx->stx_size = kernel.image->file[number].size;
    if (file->identity.birth_sec || file->identity.birth_nsec) {
        stx->stx_mask |= STATX_BTIME;
        stx->stx_btime.tv_sec = file->identity.birth_sec;
        stx->stx_btime.tv_nsec = (uint32_t)file->identity.birth_nsec;
    }
    return 0;
}

static long kernel_fstat(uint32_t number, struct stat *st)
{
    memset(st, 0, sizeof *st);
    st->st_mode = S_IFREG | 0600;
    st->st_nlink = kernel.image->file[number].links;
    st->st_uid = kernel.image->trace->file[number].owner;
    st->st_ino = kernel.image->trace->file[number].identity.ino;
    st->st_size = (off_t)kernel.image->file[number].size;
    return 0;
}

static long kernel_ioctl(uint32_t number, unsigned long request, void *argument)
{
    const struct log_identity *identity = &kernel.image->trace->file[number].identity;
    if (request == FS_IOC_GETVERSION) {
        *(uint32_t *)argument = (uint32_t)identity->generation;
        return 0;
    }
    if (!identity->fs[1]) /* an f_fsid, not a UUID: GETFSUUID was not there */
        return -ENOTTY;
    struct kernel_uuid *uuid = argument;
    uuid->length = KERNEL_UUID_BYTES;
    memcpy(uuid->uuid, identity->fs, KERNEL_UUID_BYTES);
    return 0;
}

static long kernel_fstatfs(uint32_t number, struct statfs *st)
{
    memset(st, 0, sizeof *st);
    memcpy(&st->f_fsid, &kernel.image->trace->file[number].identity.fs[0], sizeof st->f_fsid);
    return 0;
}

static long kernel_read(uint32_t number, void *to, uint64_t n, uint64_t offset)
{
    const struct image_file *file = &kernel.image->file[number];
    if (offset >= file->size)
        return 0;
    if (n > file->size - offset)
        n = file->size - offset;
    memcpy(to, file->bytes + offset, n);
    return (long)n;
}

static long kernel_write(uint32_t number, const void *from, uint64_t n, uint64_t offset, uint64_t site)
{
    struct image_file *file = &kernel.image->file[number];
    if (offset + n > IMAGE_ROOM)
        return -EFBIG;
    image_save_bytes(kernel.image, number, offset, n);
    memcpy(file->bytes + offset, from, n);
    if (offset + n > file->size)
        image_set_size(kernel.image, number, offset + n);
    tape_call(TRACE_CALL_WRITE, number, offset, n, from, site);
    return (long)n;
}

static long kernel_truncate(uint32_t number, uint64_t size, uint64_t site)
{
    if (size > IMAGE_ROOM)
        return -EFBIG;
    if (size < kernel.image->file[number].size)
        image_zero(kernel.image, number, size, image_page_up(size));
    image_set_size(kernel.image, number, size);
    tape_call(TRACE_CALL_RESIZE, number, 0, size, NULL, site);
    return 0;
}

static long kernel_seek(uint32_t number, uint64_t offset, int whence)
{
    if (whence != SEEK_DATA)
        return -EINVAL;
    uint64_t data = image_next_page(kernel.image, number, offset / IMAGE_PAGE) * IMAGE_PAGE;
    if (offset >= kernel.image->file[number].size || data >= kernel.image->file[number].size)
        return -ENXIO;
    return (long)(data > offset ? data : offset);
}

static long kernel_trouble_with(long number, long fd)
{
    snprintf(kernel.trouble, sizeof kernel.trouble, "recovery made system call %ld on descriptor %ld", number, fd);
    return -ENOSYS;
}

/* A call on a file of the image. */
static long kernel_file_call(long number, uint32_t file, long b, long c, long d, uint64_t site)
{
    switch (number) {
    case SYS_fcntl:
        return b == F_GETFL ? O_RDWR : 0; /* locks are free */
    case SYS_fstat:
        return kernel_fstat(file, (struct stat *)b);
    case SYS_ioctl:
        return kernel_ioctl(file, (unsigned long)b, (void *)c);
    case SYS_fstatfs:
        return kernel_fstatfs(file, (struct statfs *)b);
    case SYS_pread64:
        return kernel_read(file, (void *)b, (uint64_t)c, (uint64_t)d);
    case SYS_pwrite64:
        return kernel_write(file, (const void *)b, (uint64_t)c, (uint64_t)d, site);
    case SYS_utimensat: /* an image has no times */
        return 0;
    case SYS_lseek:
        return kernel_seek(file, (uint64_t)b, (int)c);
    case SYS_ftruncate:
        return kernel_truncate(file, (uint64_t)b, site);
    case SYS_fallocate:
        return b == FALLOC_FL_KEEP_SIZE ? 0 : kernel_trouble_with(number, file);
    case SYS_fsync:
    case SYS_fdatasync:
        tape_call(TRACE_CALL_SYNC, file, 0, 0, NULL, site);
        return 0;
    default:
        return kernel_trouble_with(number, file);
    }
}

static long kernel_unlink(long fd, const char *text, uint64_t site)
{
    if (fd < KERNEL_DIRECTORY_FD)
        return -ENOENT; /* an index object: those of the trace's boot are gone */
    uint32_t directory = (uint32_t)(fd - KERNEL_DIRECTORY_FD);
    for (uint32_t i = 0; i < kernel.image->names; i++) {
        const struct image_name *name = &kernel.image->name[i];
        if (name->file == IMAGE_NO_FILE || (name->directory & (KERNEL_DIRECTORY_FD - 1)) != directory ||
            strcmp(name->text, text) != 0)
            continue;
        struct trace_event *event = tape_call(TRACE_CALL_UNLINK, name->file, 0, 0, NULL, site);
        event->directory = name->directory;
        if (kernel.tape)
            event->name = tape_keep(kernel.tape, text, strlen(text) + 1);
        image_link(kernel.image, i, IMAGE_NO_FILE);
        return 0;
    }
    return -ENOENT;
}

static bool is_file_fd(long fd)
{
    return fd >= KERNEL_FD && fd < KERNEL_FD + (long)kernel.image->files;
}

static bool is_of_image(const void *address)
{
    uint32_t file;
    return file_at(address, &file);
}

static long kernel_call(long number, long a, long b, long c, long d, long e, long f)
{
    uint64_t site = (uint64_t)(uintptr_t)PM_TRACE_CALLER;
    switch (number) {
    case SYS_mmap:
        if (!is_file_fd(e))
            break;
        return (long)(kernel.image->file[e - KERNEL_FD].bytes + f);
    case SYS_munmap:
        if (!is_of_image((const void *)a))
            break;
        return 0;
    case SYS_statx:
        return is_file_fd(a) ? kernel_statx((uint32_t)(a - KERNEL_FD), (struct statx *)e)
                             : kernel_trouble_with(number, a);
    case SYS_prlimit64:
        *(struct rlimit *)d = (struct rlimit){RLIM_INFINITY, RLIM_INFINITY};
        return 0;
    case SYS_unlinkat:
        return kernel_unlink(a, (const char *)b, site);
    case SYS_openat:
    case SYS_unlink:
    case SYS_truncate:
    case SYS_linkat:
    case SYS_renameat2:
    case SYS_mkdirat:
        return kernel_trouble_with(number, a);
    default:
        if (is_file_fd(a))
            return kernel_file_call(number, (uint32_t)(a - KERNEL_FD), b, c, d, site);
        break;
    }
    return rawsys_invoke_kernel(number, a, b, c, d, e, f);
}

void kernel_begin(struct image *image, unsigned boot, struct kernel_tape *tape)
{
    uint64_t id[2];
    log_boot_id(id); /* read now: there is no /proc on an image */
    kernel.image = image;
    kernel.boot = boot;
    kernel.tape = tape ? &tape->trace : NULL;
    kernel.changes = 0;
    kernel.trouble[0] = 0;
    kernel.last_file = 0;
    kernel.act.pending = false;
    if (tape) {
        tape->trace.count = tape->trace.data_length = 0;
        tape->trace.file = image->trace->file;
        tape->trace.file_count = tape->trace.file_room = image->trace->file_count;
    }
    kernel.invoke = rawsys_table.invoke;
    rawsys_table.invoke = kernel_call;
}

void kernel_end(void)
{
    rawsys_table.invoke = kernel.invoke;
    kernel.image = NULL;
}
