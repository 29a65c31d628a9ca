// Preloaded: while the file $STALLED_DISK exists, every sync of a file waits, as on a disk that takes no more writes for a while.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void stall(void) {
  const char *on = getenv("STALLED_DISK");
  struct stat found;
  while (on && stat(on, &found) == 0) usleep(10000);
}

#define STALLS(name)                                                  \
  int name(int fd) {                                                  \
    static int (*real)(int);                                          \
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, #name);          \
    stall();                                                          \
    return real(fd);                                                  \
  }

STALLS(fsync)
STALLS(fdatasync)
