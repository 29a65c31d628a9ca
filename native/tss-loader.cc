#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tss.h"

Tss tss;

#define BLOB(name) extern "C" const unsigned char blob_##name##_beg[], blob_##name##_end[];
BLOB(mu) BLOB(sys) BLOB(crypto) BLOB(esys) BLOB(rc)
#undef BLOB

namespace {

// The descriptor stays open for the life of the process: glibc matches libraries by path, and a reused descriptor
// number would give the earlier library again.
void *load(const char *name, const unsigned char *at, const unsigned char *end, std::string &error) {
  int fd = memfd_create(name, MFD_CLOEXEC);
  if (fd < 0) {
    error = std::string("memfd_create: ") + strerror(errno);
    return nullptr;
  }
  while (at < end) {
    ssize_t written = write(fd, at, end - at);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      error = std::string("write to memfd: ") + strerror(errno);
      close(fd);
      return nullptr;
    }
    at += written;
  }
  std::string path = "/proc/self/fd/" + std::to_string(fd);
  void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char *reason = dlerror();
    error = std::string(name) + ": " + (reason ? reason : "dlopen failed");
  }
  return library;
}

// Each library satisfies the DT_NEEDED of the next by its SONAME. `crypto` is an empty stub: libtss2-esys binds to the
// OpenSSL that the node executable exports.
std::string load_all() {
  setenv("TSS2_LOG", "all+none", 0);  // libtss2 would write to stderr
  std::string error;
#define LOAD(name)                                                                              \
  void *name = load("libtss2-" #name, blob_##name##_beg, blob_##name##_end, error);             \
  if (!name) return error;
  LOAD(mu) LOAD(sys) LOAD(crypto) LOAD(esys) LOAD(rc)
#undef LOAD
#define FIND(library, f)                                                                        \
  tss.f = reinterpret_cast<decltype(tss.f)>(dlsym(library, #f));                                \
  if (!tss.f) return "missing symbol " #f;
#define FIND_ESYS(f) FIND(esys, f)
#define FIND_MU(f) FIND(mu, f)
#define FIND_RC(f) FIND(rc, f)
  TSS_ESYS(FIND_ESYS) TSS_MU(FIND_MU) TSS_RC(FIND_RC)
#undef FIND_RC
#undef FIND_MU
#undef FIND_ESYS
#undef FIND
  return "";
}

}  // namespace

const std::string &load_tss() {
  static std::once_flag once;
  static std::string error;
  std::call_once(once, [] { error = load_all(); });
  return error;
}
