/* Engine processes on Windows: pipes and a job that end with the host. Compiled by our tests where they find a
   compiler for Windows, never run. */

#include <windows.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_process.h"

struct Process {
    HANDLE process, input, lines; /* NULL: none */
    HANDLE job; /* its processes end when the last handle of it is closed, also by the host's end */
    HANDLE leave; /* an event */
};

static void close_handle(HANDLE *handle) {
    if (*handle)
        CloseHandle(*handle);
    *handle = NULL;
}

Process *process_new(void) {
    Process *process = calloc(1, sizeof *process);
    if (!process)
        return NULL;
    process->leave = CreateEventA(NULL, TRUE, FALSE, NULL);
    process->job = CreateJobObjectA(NULL, NULL);
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {0};
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    if (!process->leave || !process->job ||
        !SetInformationJobObject(process->job, JobObjectExtendedLimitInformation, &limits, sizeof limits)) {
        process_free(process);
        return NULL;
    }
    return process;
}

void process_free(Process *process) {
    close_handle(&process->leave);
    close_handle(&process->job);
    free(process);
}

/* Append `word` as a C program's start code reads it again: in quotes, backslashes before a quote doubled. */
static bool append_word(char *line, size_t size, const char *word) {
    size_t at = strlen(line), slashes = 0;
    if (at + 2 * strlen(word) + 4 > size)
        return false;
    if (at)
        line[at++] = ' ';
    line[at++] = '"';
    for (; *word; word++) {
        if (*word == '"')
            for (size_t i = 0; i <= slashes; i++)
                line[at++] = '\\';
        slashes = *word == '\\' ? slashes + 1 : 0;
        line[at++] = *word;
    }
    for (size_t i = 0; i < slashes; i++)
        line[at++] = '\\';
    line[at++] = '"';
    line[at] = '\0';
    return true;
}

/* Make a pipe; one end of it is for a process that is started. */
static bool make_pipe(HANDLE *read_end, HANDLE *write_end, bool child_reads) {
    SECURITY_ATTRIBUTES inherited = {sizeof inherited, NULL, TRUE};
    if (!CreatePipe(read_end, write_end, &inherited, 0)) {
        *read_end = *write_end = NULL;
        return false;
    }
    SetHandleInformation(child_reads ? *write_end : *read_end, HANDLE_FLAG_INHERIT, 0);
    return true;
}

/* Start the command line with these two handles, and no others, inherited. Returns 0 or an error. */
static int create(Process *process, char *command, HANDLE input, HANDLE output) {
    HANDLE inherited[2] = {input, output};
    PROCESS_INFORMATION started = {0};
    STARTUPINFOEXA how = {0};
    SIZE_T size = 0;
    how.StartupInfo.cb = sizeof how;
    how.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
    how.StartupInfo.hStdInput = input;
    how.StartupInfo.hStdOutput = output;
    how.StartupInfo.hStdError = NULL;
    InitializeProcThreadAttributeList(NULL, 1, 0, &size);
    how.lpAttributeList = malloc(size);
    if (!how.lpAttributeList)
        return ERROR_NOT_ENOUGH_MEMORY;
    int error = 0;
    if (!InitializeProcThreadAttributeList(how.lpAttributeList, 1, 0, &size)) {
        error = (int)GetLastError();
        free(how.lpAttributeList);
        return error;
    }
    const DWORD flags = CREATE_NO_WINDOW | CREATE_SUSPENDED | EXTENDED_STARTUPINFO_PRESENT;
    if (!UpdateProcThreadAttribute(how.lpAttributeList, 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST, inherited,
                                   sizeof inherited, NULL, NULL) ||
        !CreateProcessA(NULL, command, NULL, NULL, TRUE, flags, NULL, NULL, &how.StartupInfo, &started))
        error = (int)GetLastError();
    DeleteProcThreadAttributeList(how.lpAttributeList);
    free(how.lpAttributeList);
    if (error)
        return error;
    AssignProcessToJobObject(process->job, started.hProcess); /* before it can start others */
    ResumeThread(started.hThread);
    CloseHandle(started.hThread);
    process->process = started.hProcess;
    return 0;
}

int process_start(Process *process, char *const words[], const Shared *memory) {
    (void)memory; /* opened by its name */
    char command[32768] = "";
    HANDLE their_input, their_lines;
    for (int i = 0; words[i]; i++)
        if (!append_word(command, sizeof command, words[i]))
            return ERROR_FILENAME_EXCED_RANGE;
    if (!make_pipe(&their_input, &process->input, true))
        return (int)GetLastError();
    if (!make_pipe(&process->lines, &their_lines, false)) {
        int error = (int)GetLastError();
        close_handle(&their_input);
        close_handle(&process->input);
        return error;
    }
    int error = create(process, command, their_input, their_lines);
    close_handle(&their_input);
    close_handle(&their_lines);
    if (error) {
        close_handle(&process->input);
        close_handle(&process->lines);
    }
    return error;
}

void process_reason(int error, char *text, size_t size) {
    *text = '\0';
    FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, NULL, (DWORD)error, 0, text,
                   (DWORD)size, NULL);
    text[strcspn(text, "\r\n")] = '\0';
}

Happened process_wait(Process *process, int ms, char *text, size_t room, size_t *got) {
    const DWORD step = 20; /* an anonymous pipe cannot be waited for */
    *got = 0;
    for (DWORD waited = 0;; waited += step) {
        DWORD ready = 0, count = 0;
        if (process->lines) {
            if (!PeekNamedPipe(process->lines, NULL, 0, NULL, &ready, NULL))
                return LINES_ENDED;
            if (ready > 0) {
                if (!ReadFile(process->lines, text, ready < room ? ready : (DWORD)room, &count, NULL))
                    return LINES_ENDED;
                *got = count;
                return LINES_CAME;
            }
        }
        if (WaitForSingleObject(process->leave, waited < (DWORD)ms ? step : 0) == WAIT_OBJECT_0)
            return MUST_LEAVE;
        if (waited >= (DWORD)ms)
            return TIME_IS_UP;
    }
}

void process_leave(Process *process) { SetEvent(process->leave); }

void process_end(Process *process, int patience_ms) {
    close_handle(&process->input);
    if (WaitForSingleObject(process->process, (DWORD)patience_ms) != WAIT_OBJECT_0)
        TerminateJobObject(process->job, 1);
    WaitForSingleObject(process->process, 1000);
    close_handle(&process->process);
    close_handle(&process->lines);
}
