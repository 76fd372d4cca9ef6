/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * demotion_ways.c — each way in which a managed file comes to be the kernel's, with what it does to the file.
 *
 * The environment names no library: programs that a way starts are plain ones.
 */
#include "demotion.h"

#include <aio.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { PAGE = 4096, TEXT = 8, UNKNOWN_CALL = 2000 };
static const char text[TEXT + 1] = "as told.";

/* ---- streams ---- */

/* The stream writes at the file's beginning, and closes the descriptor that it has. */
static bool stream_writes(struct subject *s, FILE *stream)
{
    if (!stream || fwrite(text, 1, TEXT, stream) != TEXT || fclose(stream))
        return false;
    subject_expect(s, 0, text, TEXT);
    return true;
}

static bool way_fopen(struct subject *s)
{
    char first;
    FILE *stream = fopen(s->path, "r");
    return stream && fread(&first, 1, 1, stream) == 1 && (uint8_t)first == s->bytes[0] && !fclose(stream);
}

static bool way_fopen_update(struct subject *s)
{
    return stream_writes(s, fopen(s->path, "r+"));
}

static bool way_fopen_append(struct subject *s)
{
    FILE *stream = fopen64(s->path, "a");
    if (!stream || fwrite(text, 1, TEXT, stream) != TEXT || fclose(stream))
        return false;
    subject_expect(s, s->size, text, TEXT);
    return true;
}

static bool way_fopen_empty(struct subject *s)
{
    FILE *stream = fopen(s->path, "w");
    s->size = 0;
    return stream_writes(s, stream);
}

static bool way_fdopen(struct subject *s)
{
    FILE *stream = fdopen(s->fd, "r+"); /* at the descriptor's offset */
    if (!stream || fwrite(text, 1, TEXT, stream) != TEXT || fclose(stream))
        return false;
    subject_expect(s, s->offset, text, TEXT);
    return true;
}

static bool way_freopen(struct subject *s)
{
    FILE *stream = fopen("/dev/null", "r");
    return stream && stream_writes(s, freopen(s->path, "r+", stream));
}

/* A descriptor that libc's standard streams write to: a duplicate at 0, and what was there comes back. */
static bool way_dup2_standard(struct subject *s)
{
    int kept = dup(STDIN_FILENO);
    bool right = kept >= 0 && dup2(s->fd, STDIN_FILENO) == STDIN_FILENO;
    off_t at = lseek(STDIN_FILENO, 0, SEEK_CUR);
    right = right && at == (off_t)s->offset && dup2(kept, STDIN_FILENO) == STDIN_FILENO;
    return right && !close(kept);
}

/* ---- mappings ---- */

static bool mapping_shows(struct subject *s, char *map, bool shared)
{
    bool right = map != MAP_FAILED && !memcmp(map, s->bytes, s->size);
    if (right) {
        memcpy(map + 100, text, TEXT);
        if (shared)
            subject_expect(s, 100, text, TEXT);
    }
    return right && !munmap(map, s->size);
}

static bool way_mmap_shared(struct subject *s)
{
    return mapping_shows(s, mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0), true);
}

static bool way_mmap_private(struct subject *s)
{
    return mapping_shows(s, mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_PRIVATE, s->fd, 0), false);
}

static bool way_mmap_syscall(struct subject *s)
{
    return mapping_shows(s, (char *)syscall(SYS_mmap, NULL, s->size, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0L),
                         true);
}

/* ---- other programs ---- */

/* A command of the shell that writes at the offset that it inherits. */
static void shell_command(const struct subject *s, char *command, size_t room)
{
    snprintf(command, room, "printf '%s' >&%d", text, s->fd);
}

static bool shell_wrote(struct subject *s, int status)
{
    subject_expect(s, s->offset, text, TEXT);
    s->offset += TEXT;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool way_exec(struct subject *s)
{
    char command[100];
    int status = -1;
    shell_command(s, command, sizeof command);
    pid_t child = fork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(99);
    }
    return waitpid(child, &status, 0) == child && shell_wrote(s, status);
}

static bool way_vfork_exec(struct subject *s)
{
    char command[100];
    int status = -1;
    shell_command(s, command, sizeof command);
    pid_t child = vfork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(99);
    }
    return waitpid(child, &status, 0) == child && shell_wrote(s, status);
}

static bool way_posix_spawn(struct subject *s)
{
    char command[100], shell[] = "sh", c[] = "-c";
    char *args[] = {shell, c, command, NULL};
    int status = -1;
    pid_t child;
    shell_command(s, command, sizeof command);
    return !posix_spawn(&child, "/bin/sh", NULL, NULL, args, environ) && waitpid(child, &status, 0) == child &&
           shell_wrote(s, status);
}

static bool way_spawn_dup2(struct subject *s)
{
    char command[] = "printf 'as told.' >&9", shell[] = "sh", c[] = "-c";
    char *args[] = {shell, c, command, NULL};
    posix_spawn_file_actions_t actions;
    int status = -1;
    pid_t child;
    fcntl(s->fd, F_SETFD, FD_CLOEXEC);
    posix_spawn_file_actions_init(&actions);
    bool right = !posix_spawn_file_actions_adddup2(&actions, s->fd, 9) &&
                 !posix_spawnp(&child, "sh", &actions, NULL, args, environ) && waitpid(child, &status, 0) == child;
    posix_spawn_file_actions_destroy(&actions);
    return right && shell_wrote(s, status);
}

static bool way_system(struct subject *s)
{
    char command[100];
    shell_command(s, command, sizeof command);
    return shell_wrote(s, system(command));
}

static bool way_popen(struct subject *s)
{
    char command[100];
    shell_command(s, command, sizeof command);
    FILE *pipe = popen(command, "r");
    return pipe && shell_wrote(s, pclose(pipe));
}

/* ---- descriptors that are passed on ---- */

union control {
    char room[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};

static struct msghdr pass_message(struct iovec *iov, union control *control, int fd)
{
    struct msghdr message = {
        .msg_iov = iov, .msg_iovlen = 1, .msg_control = control->room, .msg_controllen = sizeof control->room};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    return message;
}

/* The receiver's descriptor has the same description: it writes at the common offset. By the kernel's own hands, as a
 * program without the library would. */
static bool pass_received(struct subject *s, int end)
{
    char byte;
    int fd = -1;
    struct iovec iov = {&byte, 1};
    union control control;
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
    if (recvmsg(end, &message, 0) != 1 || !CMSG_FIRSTHDR(&message))
        return false;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    if (write(fd, text, TEXT) != TEXT || close(fd))
        return false;
    subject_expect(s, s->offset, text, TEXT);
    s->offset += TEXT;
    return true;
}

static bool pass(struct subject *s, bool many)
{
    int ends[2];
    char byte = 1;
    struct iovec iov = {&byte, 1};
    union control control;
    struct mmsghdr messages = {.msg_hdr = pass_message(&iov, &control, s->fd)};
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends))
        return false;
    bool sent = many ? sendmmsg(ends[0], &messages, 1, 0) == 1 : sendmsg(ends[0], &messages.msg_hdr, 0) == 1;
    bool right = sent && pass_received(s, ends[1]);
    close(ends[0]);
    close(ends[1]);
    return right;
}

static bool way_sendmsg(struct subject *s)
{
    return pass(s, false);
}

static bool way_sendmmsg(struct subject *s)
{
    return pass(s, true);
}

/* ---- asynchronous requests ---- */

static bool posix_request(struct subject *s, int (*call)(struct aiocb *), bool writes)
{
    char buffer[TEXT] = {0};
    struct aiocb request = {.aio_fildes = s->fd, .aio_offset = 50, .aio_buf = buffer, .aio_nbytes = TEXT};
    const struct aiocb *list[] = {&request};
    memcpy(buffer, text, writes ? TEXT : 0);
    if (call(&request))
        return false;
    while (aio_error(&request) == EINPROGRESS)
        aio_suspend(list, 1, NULL);
    if (aio_return(&request) != TEXT)
        return false;
    if (writes)
        subject_expect(s, 50, text, TEXT);
    return writes || !memcmp(buffer, s->bytes + 50, TEXT);
}

static bool way_aio_read(struct subject *s)
{
    return posix_request(s, aio_read, false);
}

static bool way_aio_write(struct subject *s)
{
    return posix_request(s, aio_write, true);
}

static bool way_aio_fsync(struct subject *s)
{
    struct aiocb request = {.aio_fildes = s->fd};
    const struct aiocb *list[] = {&request};
    if (aio_fsync(O_SYNC, &request))
        return false;
    while (aio_error(&request) == EINPROGRESS)
        aio_suspend(list, 1, NULL);
    return aio_return(&request) == 0;
}

static int list_of_one(struct aiocb *request)
{
    struct aiocb *list[] = {request};
    request->aio_lio_opcode = LIO_WRITE;
    return lio_listio(LIO_WAIT, list, 1, NULL);
}

static bool way_lio_listio(struct subject *s)
{
    return posix_request(s, list_of_one, true);
}

static bool way_io_submit(struct subject *s)
{
    aio_context_t context = 0;
    struct io_event event;
    struct iocb request = {.aio_fildes = (uint32_t)s->fd,
                           .aio_lio_opcode = IOCB_CMD_PWRITE,
                           .aio_buf = (uint64_t)text,
                           .aio_nbytes = TEXT,
                           .aio_offset = 60};
    struct iocb *list[] = {&request};
    bool right = syscall(SYS_io_setup, 4, &context) == 0 && syscall(SYS_io_submit, context, 1L, list) == 1 &&
                 syscall(SYS_io_getevents, context, 1L, 1L, &event, NULL) == 1 && event.res == TEXT;
    syscall(SYS_io_destroy, context);
    subject_expect(s, 60, text, TEXT);
    return right;
}

/* ---- rings ---- */

/* As much of a ring as one request needs. */
struct ring {
    int fd;
    char *queue; /* both queues, in one mapping */
    struct io_uring_sqe *requests;
    struct io_uring_params params;
};

static bool ring_make(struct ring *ring)
{
    memset(ring, 0, sizeof *ring);
    ring->fd = (int)syscall(SYS_io_uring_setup, 4, &ring->params);
    return ring->fd >= 0;
}

static bool ring_map(struct ring *ring)
{
    ring->queue = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_SQ_RING);
    ring->requests = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_SQES);
    return ring->queue != MAP_FAILED && ring->requests != MAP_FAILED;
}

/* One write through the ring: its result. */
static int ring_write(struct ring *ring, int fd, const void *data, unsigned length, uint64_t offset)
{
    _Atomic uint32_t *tail = (_Atomic uint32_t *)(ring->queue + ring->params.sq_off.tail);
    uint32_t *array = (uint32_t *)(ring->queue + ring->params.sq_off.array);
    struct io_uring_cqe *done = (struct io_uring_cqe *)(ring->queue + ring->params.cq_off.cqes);
    memset(ring->requests, 0, sizeof *ring->requests);
    ring->requests->opcode = IORING_OP_WRITE;
    ring->requests->fd = fd;
    ring->requests->addr = (uint64_t)data;
    ring->requests->len = length;
    ring->requests->off = offset;
    array[0] = 0;
    atomic_fetch_add(tail, 1);
    if (syscall(SYS_io_uring_enter, ring->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) != 1)
        return -1;
    return done[0].res;
}

static bool way_ring(struct subject *s)
{
    struct ring ring;
    if (!ring_make(&ring) || !ring_map(&ring) || ring_write(&ring, s->fd, text, TEXT, 90) != TEXT)
        return false;
    subject_expect(s, 90, text, TEXT);
    return true; /* the ring stays */
}

/* ---- copies inside the kernel ---- */

static bool way_copy_file_range_in(struct subject *s)
{
    char copy[PAGE];
    loff_t from = 0, to = 0;
    return copy_file_range(s->fd, &from, s->other, &to, PAGE, 0) == PAGE && pread(s->other, copy, PAGE, 0) == PAGE &&
           !memcmp(copy, s->bytes, PAGE);
}

static bool copy_out(struct subject *s, bool by_number)
{
    char copy[PAGE];
    loff_t from = 0, to = 2 * PAGE + 3;
    ssize_t n = by_number ? syscall(SYS_copy_file_range, s->other, &from, s->fd, &to, (size_t)PAGE, 0)
                          : copy_file_range(s->other, &from, s->fd, &to, PAGE, 0);
    if (n != PAGE || pread(s->other, copy, PAGE, 0) != PAGE)
        return false;
    subject_expect(s, 2 * PAGE + 3, copy, PAGE);
    return true;
}

static bool way_copy_file_range_out(struct subject *s)
{
    return copy_out(s, false);
}

static bool way_copy_file_range_syscall(struct subject *s)
{
    return copy_out(s, true);
}

static bool way_sendfile_in(struct subject *s)
{
    char copy[PAGE];
    lseek(s->other, 0, SEEK_SET);
    if (sendfile(s->other, s->fd, NULL, PAGE) != PAGE || pread(s->other, copy, PAGE, 0) != PAGE)
        return false;
    bool right = !memcmp(copy, s->bytes + s->offset, PAGE);
    s->offset += PAGE;
    return right;
}

static bool way_sendfile_out(struct subject *s)
{
    char copy[PAGE];
    off_t from = 0;
    if (sendfile(s->fd, s->other, &from, PAGE) != PAGE || pread(s->other, copy, PAGE, 0) != PAGE)
        return false;
    subject_expect(s, s->offset, copy, PAGE);
    s->offset += PAGE;
    return true;
}

static bool way_splice_in(struct subject *s)
{
    char copy[TEXT];
    int ends[2];
    loff_t from = 5;
    bool right = !pipe(ends) && splice(s->fd, &from, ends[1], NULL, TEXT, 0) == TEXT &&
                 read(ends[0], copy, TEXT) == TEXT && !memcmp(copy, s->bytes + 5, TEXT);
    return right && !close(ends[0]) && !close(ends[1]);
}

static bool way_splice_out(struct subject *s)
{
    int ends[2];
    loff_t to = 77;
    bool right =
        !pipe(ends) && write(ends[1], text, TEXT) == TEXT && splice(ends[0], NULL, s->fd, &to, TEXT, 0) == TEXT;
    subject_expect(s, 77, text, TEXT);
    return right && !close(ends[0]) && !close(ends[1]);
}

/* ---- ioctl ---- */

/* A clone of blocks, where the file system can; elsewhere the kernel refuses, and the file is its own all the same. */
static bool clone_is_refused(void)
{
    return errno == EOPNOTSUPP || errno == ENOTTY || errno == EXDEV || errno == EINVAL;
}

/* An unmanaged file of two blocks, on the subject's file system. */
static int clone_source(const struct subject *s, char data[2 * PAGE])
{
    char path[sizeof s->outside + 8];
    memset(data, 'c', 2 * PAGE);
    snprintf(path, sizeof path, "%s.source", s->outside);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    unlink(path);
    if (fd >= 0 && (write(fd, data, 2 * PAGE) != 2 * PAGE || fsync(fd) || pwrite(fd, "first", 5, 0) != 5)) {
        close(fd);
        return -1;
    }
    memcpy(data, "first", 5);
    return fd;
}

static bool way_ficlone(struct subject *s)
{
    char data[2 * PAGE];
    int source = clone_source(s, data);
    bool cloned = ioctl(s->fd, FICLONE, source) == 0;
    if (cloned)
        subject_expect(s, 0, data, sizeof data);
    return (cloned || clone_is_refused()) && !close(source);
}

static bool way_ficlonerange(struct subject *s)
{
    char data[2 * PAGE];
    struct file_clone_range range = {.src_length = PAGE, .dest_offset = 4 * PAGE};
    int source = clone_source(s, data);
    range.src_fd = source;
    bool cloned = ioctl(s->fd, FICLONERANGE, &range) == 0;
    if (cloned)
        subject_expect(s, 4 * PAGE, data, PAGE);
    return (cloned || clone_is_refused()) && !close(source);
}

/* As the source of a clone. */
static bool way_ficlone_source(struct subject *s)
{
    char data[2 * PAGE], copy[2 * PAGE];
    int target = clone_source(s, data);
    bool cloned = ioctl(target, FICLONE, s->fd) == 0;
    bool right = cloned ? pread(target, copy, sizeof copy, 0) == sizeof copy && !memcmp(copy, s->bytes, sizeof copy)
                        : clone_is_refused();
    return right && !close(target);
}

static bool way_fideduperange(struct subject *s)
{
    union {
        struct file_dedupe_range range;
        char room[sizeof(struct file_dedupe_range) + sizeof(struct file_dedupe_range_info)];
    } request = {.range = {.src_length = PAGE, .dest_count = 1}};
    char data[2 * PAGE];
    int source = clone_source(s, data);
    request.range.info[0].dest_fd = s->fd;
    bool done = ioctl(source, FIDEDUPERANGE, &request) == 0;
    return (done || clone_is_refused()) && !close(source);
}

static bool way_ioctl_unknown(struct subject *s)
{
    return ioctl(s->fd, _IO('n', 77), 0) == -1 && (errno == ENOTTY || errno == EINVAL);
}

static bool way_ioctl_syscall(struct subject *s)
{
    return syscall(SYS_ioctl, s->fd, _IO('n', 78), 0) == -1 && (errno == ENOTTY || errno == EINVAL);
}

/* ---- system calls that the library does not know ---- */

static bool way_unknown_call(struct subject *s)
{
    return syscall(UNKNOWN_CALL, s->fd, text, (long)TEXT) == -1 && errno == ENOSYS;
}

static bool way_unknown_call_later(struct subject *s)
{
    return syscall(UNKNOWN_CALL, -1L, text, (long)s->fd) == -1 && errno == ENOSYS;
}

const struct way demotion_ways[] = {
    {"fopen", "demote.stdio", way_fopen, 0},
    {"fopen r+", "demote.stdio", way_fopen_update, 0},
    {"fopen a", "demote.stdio", way_fopen_append, 0},
    {"fopen w", "demote.stdio", way_fopen_empty, 0},
    {"fdopen", "demote.stdio", way_fdopen, WAY_CLOSES},
    {"freopen", "demote.stdio", way_freopen, 0},
    {"dup2 to 0", "demote.stdio", way_dup2_standard, 0},
    {"mmap shared", "uma.in_place", way_mmap_shared, WAY_MAPS},
    {"mmap private", "uma.in_place", way_mmap_private, WAY_MAPS},
    {"mmap by syscall", "uma.in_place", way_mmap_syscall, WAY_MAPS},
    {"fork and exec", "demote.exec", way_exec, WAY_IN_CHILD | WAY_UNSERVED},
    {"vfork and exec", "demote.exec", way_vfork_exec, WAY_UNSERVED},
    {"posix_spawn", "demote.exec", way_posix_spawn, WAY_UNSERVED},
    {"posix_spawn with adddup2", "demote.exec", way_spawn_dup2, WAY_UNSERVED},
    {"system", "demote.exec", way_system, WAY_UNSERVED},
    {"popen", "demote.exec", way_popen, WAY_UNSERVED},
    {"sendmsg", "demote.fdpass", way_sendmsg, 0},
    {"sendmmsg", "demote.fdpass", way_sendmmsg, 0},
    {"aio_read", "demote.aio", way_aio_read, 0},
    {"aio_write", "demote.aio", way_aio_write, 0},
    {"aio_fsync", "demote.aio", way_aio_fsync, 0},
    {"lio_listio", "demote.aio", way_lio_listio, 0},
    {"io_submit", "demote.aio", way_io_submit, 0},
    {"io_uring", "demote.aio", way_ring, WAY_RING},
    {"copy_file_range from it", "demote.kernel_copy", way_copy_file_range_in, WAY_PASSING},
    {"copy_file_range to it", "demote.kernel_copy", way_copy_file_range_out, WAY_PASSING},
    {"copy_file_range by syscall", "demote.kernel_copy", way_copy_file_range_syscall, WAY_PASSING},
    {"sendfile from it", "demote.kernel_copy", way_sendfile_in, WAY_PASSING},
    {"sendfile to it", "demote.kernel_copy", way_sendfile_out, WAY_PASSING},
    {"splice from it", "demote.kernel_copy", way_splice_in, 0},
    {"splice to it", "demote.kernel_copy", way_splice_out, 0},
    {"FICLONE", "demote.ioctl", way_ficlone, WAY_PASSING},
    {"FICLONERANGE", "demote.ioctl", way_ficlonerange, WAY_PASSING},
    {"FICLONE from it", "demote.ioctl", way_ficlone_source, WAY_PASSING},
    {"FIDEDUPERANGE", "demote.ioctl", way_fideduperange, 0},
    {"unknown ioctl", "demote.ioctl", way_ioctl_unknown, 0},
    {"unknown ioctl by syscall", "demote.ioctl", way_ioctl_syscall, 0},
    {"unknown system call", "demote.other", way_unknown_call, 0},
    {"unknown system call, third argument", "demote.other", way_unknown_call_later, 0},
    {0},
};
