/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 the nvmmio authors
 *
 * msg.c — formats one line and writes it where NVMMIO_CONF says. Layer base; called by all.
 *
 * The log is opened for each line: messages are rare, and a descriptor that is kept would be one more that the program
 * may close. SIGPIPE and SIGXFSZ, which the write may raise, are held back and swallowed: a log that is full or gone
 * must not end the program.
 */
#include "base/msg.h"

#include "base/conf.h"
#include "base/rawsys.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define MSG_LINE_MAX 512

struct msg_line {
    size_t used;
    char text[MSG_LINE_MAX];
};

static void msg_put_bytes(struct msg_line *line, const char *bytes, size_t n)
{
    size_t room = sizeof line->text - 1 - line->used; /* one for the newline */
    if (n > room)
        n = room;
    memcpy(line->text + line->used, bytes, n);
    line->used += n;
}

static void msg_put_string(struct msg_line *line, const char *string)
{
    if (!string)
        string = "(null)";
    msg_put_bytes(line, string, strlen(string));
}

static void msg_put_number(struct msg_line *line, unsigned long long value, unsigned base)
{
    char digits[24];
    size_t at = sizeof digits;
    do
        digits[--at] = "0123456789abcdef"[value % base];
    while (value /= base);
    msg_put_bytes(line, digits + at, sizeof digits - at);
}

static void msg_put_signed(struct msg_line *line, long long value)
{
    unsigned long long magnitude = value < 0 ? 0 - (unsigned long long)value : (unsigned long long)value;
    if (value < 0)
        msg_put_bytes(line, "-", 1);
    msg_put_number(line, magnitude, 10);
}

/* Puts one conversion; `format` is behind the '%'. Returns what is behind the conversion. size_t is unsigned long. */
static const char *msg_put_argument(struct msg_line *line, const char *format, va_list *args)
{
    unsigned longs = 0;
    while (*format == 'l' || *format == 'z') {
        longs++;
        format++;
    }
    switch (*format) {
    case 's':
        msg_put_string(line, va_arg(*args, const char *));
        break;
    case 'd':
        msg_put_signed(line, longs ? va_arg(*args, long) : va_arg(*args, int));
        break;
    case 'u':
    case 'x':
        msg_put_number(line, longs ? va_arg(*args, unsigned long) : va_arg(*args, unsigned), *format == 'u' ? 10 : 16);
        break;
    case 'p':
        msg_put_string(line, "0x");
        msg_put_number(line, (uintptr_t)va_arg(*args, void *), 16);
        break;
    case '%':
        msg_put_bytes(line, "%", 1);
        break;
    default: /* not in msg.h's list: show it rather than guess what the argument is */
        msg_put_string(line, "%?");
        return *format ? format + 1 : format;
    }
    return format + 1;
}
_Static_assert(sizeof(long) == sizeof(long long) && sizeof(long) == sizeof(size_t), "one case serves l, ll and z");

static void msg_format(struct msg_line *line, const char *format, va_list *args)
{
    while (*format) {
        const char *percent = strchrnul(format, '%');
        msg_put_bytes(line, format, (size_t)(percent - format));
        format = *percent ? msg_put_argument(line, percent + 1, args) : percent;
    }
}

/* A descriptor to write to, to be closed unless it is STDERR_FILENO; or a negative errno value. Not inlined: its buffer
 * and the caller's are not wanted on the stack at once. */
__attribute__((noinline)) static int msg_open(const char *path)
{
    if (!strcmp(path, "stderr"))
        return STDERR_FILENO;
    struct msg_line name = {0}; /* longer than any path the configuration takes, process id included */
    const char *p = path;
    for (const char *mark; (mark = strstr(p, "%p")); p = mark + 2) {
        msg_put_bytes(&name, p, (size_t)(mark - p));
        msg_put_signed(&name, sys_getpid());
    }
    msg_put_string(&name, p);
    name.text[name.used] = 0;
    /* O_NONBLOCK: a FIFO without a reader must not hang the program */
    return sys_openat(AT_FDCWD, name.text, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
}

static uint64_t msg_signal_bit(int signal)
{
    return UINT64_C(1) << (signal - 1);
}

static void msg_write(int fd, const struct msg_line *line)
{
    const uint64_t held = msg_signal_bit(SIGPIPE) | msg_signal_bit(SIGXFSZ);
    uint64_t before = 0, old = 0;
    sys_sigpending(&before);
    if (sys_sigprocmask(SIG_BLOCK, &held, &old))
        return;
    ssize_t written = sys_write(fd, line->text, line->used);
    uint64_t raised = written == -EPIPE ? msg_signal_bit(SIGPIPE) : written == -EFBIG ? msg_signal_bit(SIGXFSZ) : 0;
    raised &= ~before; /* the program's own stays pending */
    if (raised)
        sys_sigtimedwait(&raised, NULL, &(struct timespec){0});
    sys_sigprocmask(SIG_SETMASK, &old, NULL);
}

/* Ends the line and writes it. */
static void msg_send(const struct conf *conf, struct msg_line *line)
{
    line->text[line->used++] = '\n';
    int fd = msg_open(conf->log_path);
    if (fd < 0)
        return;
    msg_write(fd, line);
    if (fd != STDERR_FILENO)
        sys_close(fd);
}

void msg(enum msg_level level, const char *format, ...)
{
    static const char *const words[] = {"", "error", "warning", "notice", "debug"};
    const struct conf *conf = conf_get();
    if (!conf->log_path[0] || (int)level > conf->log_level || level < MSG_ERROR)
        return;
    struct msg_line line;
    line.used = 0;
    msg_put_string(&line, "nvmmio[");
    msg_put_signed(&line, sys_getpid());
    msg_put_string(&line, "]: ");
    msg_put_string(&line, words[level]);
    msg_put_string(&line, ": ");
    va_list args;
    va_start(args, format);
    msg_format(&line, format, &args);
    va_end(args);
    msg_send(conf, &line);
}

void msg_statistic(const char *name, uint64_t value)
{
    const struct conf *conf = conf_get();
    if (!conf->log_path[0])
        return;
    struct msg_line line;
    line.used = 0;
    msg_put_string(&line, name);
    msg_put_string(&line, " ");
    msg_put_number(&line, value, 10);
    msg_send(conf, &line);
}
