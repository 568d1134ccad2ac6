/* Makes calls of the system fail: LD_PRELOAD it, and say which in the environment.
 *
 *   FAULT_CALL   write, fsync, close or rename
 *   FAULT_PATH   only on files whose path holds this; of a rename, the new path
 *   FAULT_ERRNO  what it fails with; 0 shortens a write to one byte
 *   FAULT_FROM, FAULT_TO   which of these calls, from 1; others are as ever
 *   FAULT_ID     another number starts to count anew
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int number(const char *name)
{
    const char *value = getenv(name);
    return value ? atoi(value) : 0;
}

/* Whether this call is to fail. */
static int chosen(const char *call, const char *path)
{
    static int calls, id;
    const char *wanted = getenv("FAULT_CALL"), *part = getenv("FAULT_PATH");
    if (!wanted || !part || strcmp(wanted, call) || !strstr(path, part))
        return 0;
    if (number("FAULT_ID") != id) {
        id = number("FAULT_ID");
        calls = 0;
    }
    int n = __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
    return n >= number("FAULT_FROM") && n <= number("FAULT_TO");
}

static int chosen_file(const char *call, int file)
{
    char name[64], path[4096];
    snprintf(name, sizeof name, "/proc/self/fd/%d", file);
    ssize_t size = readlink(name, path, sizeof path - 1);
    if (size < 0)
        return 0;
    path[size] = 0;
    return chosen(call, path);
}

static int fail(void)
{
    errno = number("FAULT_ERRNO");
    return -1;
}

ssize_t write(int file, const void *data, size_t size)
{
    ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    if (size && chosen_file("write", file)) {
        if (number("FAULT_ERRNO"))
            return fail();
        size = 1;
    }
    return real(file, data, size);
}

int fsync(int file)
{
    int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
    return chosen_file("fsync", file) ? fail() : real(file);
}

/* The file is closed all the same, as Linux does it. */
int close(int file)
{
    int (*real)(int) = dlsym(RTLD_NEXT, "close");
    int failing = chosen_file("close", file);
    int result = real(file);
    return failing ? fail() : result;
}

int rename(const char *from, const char *to)
{
    int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
    return chosen("rename", to) ? fail() : real(from, to);
}
