/* Engine processes on Linux and macOS: pipes that end with the host. */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine_process.h"
#include "system.h"

extern char **environ;

struct Process {
    pid_t pid;
    int input; /* its standard input: closed at the end of the host, in whatever way */
    int lines; /* its standard output; -1: no process */
    int leave[2]; /* a pipe: written to once, at the end */
};

static void close_pipe(int ends[2]) {
    for (int i = 0; i < 2; i++)
        if (ends[i] >= 0)
            close(ends[i]);
    ends[0] = ends[1] = -1;
}

static bool make_pipe(int ends[2]) {
#ifdef __linux__
    if (pipe2(ends, O_CLOEXEC) != 0)
        ends[0] = ends[1] = -1;
#else
    if (pipe(ends) != 0)
        ends[0] = ends[1] = -1;
#endif
    ends[0] = out_of_the_way(ends[0]);
    ends[1] = out_of_the_way(ends[1]);
    if (ends[0] >= 0 && ends[1] >= 0)
        return true;
    close_pipe(ends);
    return false;
}

Process *process_new(void) {
    Process *process = malloc(sizeof *process);
    if (!process)
        return NULL;
    *process = (Process){.input = -1, .lines = -1};
    if (!make_pipe(process->leave)) {
        free(process);
        return NULL;
    }
    return process;
}

void process_free(Process *process) {
    close_pipe(process->leave);
    free(process);
}

int process_start(Process *process, char *const words[], const Shared *memory) {
    int input[2], lines[2];
    if (!make_pipe(input))
        return EMFILE;
    if (!make_pipe(lines)) {
        close_pipe(input);
        return EMFILE;
    }
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, (int)memory->handle, MEMORY_FD);
    posix_spawn_file_actions_adddup2(&files, input[0], 0);
    posix_spawn_file_actions_adddup2(&files, lines[1], 1);
    posix_spawnattr_init(&how);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &all);
    posix_spawnattr_setpgroup(&how, 0); /* Ctrl-C in a terminal is for the host */
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    int error = posix_spawnp(&process->pid, words[0], &files, &how, words, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&how);
    if (error) {
        close_pipe(input);
        close_pipe(lines);
        return error;
    }
    close(input[0]);
    close(lines[1]);
    process->input = input[1];
    process->lines = lines[0];
    return 0;
}

void process_reason(int error, char *text, size_t size) { snprintf(text, size, "%s", strerror(error)); }

Happened process_wait(Process *process, int ms, char *text, size_t room, size_t *got) {
    struct pollfd at[2] = {{.fd = process->leave[0], .events = POLLIN}, {.fd = process->lines, .events = POLLIN}};
    *got = 0;
    if (poll(at, 2, ms) <= 0) /* a descriptor of -1 is passed over */
        return TIME_IS_UP;
    if (at[0].revents)
        return MUST_LEAVE;
    ssize_t count = read(process->lines, text, room);
    if (count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN))
        return LINES_ENDED;
    *got = count > 0 ? (size_t)count : 0;
    return LINES_CAME;
}

void process_leave(Process *process) {
    while (write(process->leave[1], "", 1) < 0 && errno == EINTR) {
    }
}

void process_end(Process *process, int patience_ms) {
    int status;
    close(process->input);
    for (int waited = 0;; waited += 5) {
        pid_t ended = waitpid(process->pid, &status, WNOHANG);
        if (ended == process->pid || (ended < 0 && errno != EINTR)) /* a host may have taken it from us */
            break;
        if (waited == patience_ms / 5 * 5)
            kill(process->pid, SIGKILL);
        clock_sleep(5e-3);
    }
    close(process->lines);
    process->input = process->lines = -1;
}
