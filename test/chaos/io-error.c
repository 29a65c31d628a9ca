// Preloaded: while the file $CHAOS_EIO/on exists, every write and every fsync of a file below $CHAOS_EIO fails as on a broken disk.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int broken(int fd) {
  const char *below = getenv("CHAOS_EIO");
  char link[64], path[PATH_MAX], on[PATH_MAX];
  struct stat found;
  if (!below || fd <= 2) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  if (strncmp(path, below, strlen(below)) != 0 || (strstr(path, "/secure") != NULL)) return 0;
  snprintf(on, sizeof on, "%s/on", below);
  return stat(on, &found) == 0;
}

#define FAILS(result, name, types, names)                                        \
  result name types {                                                            \
    static result(*real) types;                                                  \
    if (!real) real = (result(*) types)dlsym(RTLD_NEXT, #name);                  \
    if (broken(fd)) {                                                            \
      errno = EIO;                                                               \
      return -1;                                                                 \
    }                                                                            \
    return real names;                                                           \
  }

FAILS(ssize_t, write, (int fd, const void *bytes, size_t size), (fd, bytes, size))
FAILS(ssize_t, writev, (int fd, const struct iovec *parts, int count), (fd, parts, count))
FAILS(ssize_t, pwrite, (int fd, const void *bytes, size_t size, off_t at), (fd, bytes, size, at))
FAILS(ssize_t, pwrite64, (int fd, const void *bytes, size_t size, off64_t at), (fd, bytes, size, at))
FAILS(int, fsync, (int fd), (fd))
FAILS(int, fdatasync, (int fd), (fd))
FAILS(int, ftruncate, (int fd, off_t size), (fd, size))
FAILS(int, ftruncate64, (int fd, off64_t size), (fd, size))
