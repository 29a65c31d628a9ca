#include "system.h"

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <system_error>
#include <vector>

#include <grp.h>
#include <malloc.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace system_calls {

namespace {

[[noreturn]] void fail(const char *call) { throw std::system_error(errno, std::generic_category(), call); }

}  // namespace

void mount_tmpfs(const std::string &directory, const std::string &options) {
  if (mount("tmpfs", directory.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, options.c_str()) != 0) fail("mount");
}

void unmount(const std::string &directory) {
  if (umount2(directory.c_str(), UMOUNT_NOFOLLOW) != 0) fail("umount");
}

void send_datagram(const std::string &path, const std::string &text) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    fail("sendto");
  }
  memcpy(address.sun_path, path.data(), path.size());
  if (path[0] == '@') address.sun_path[0] = '\0';
  socklen_t size = offsetof(sockaddr_un, sun_path) + path.size() + (path[0] == '@' ? 0 : 1);
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) fail("socket");
  ssize_t sent = sendto(fd, text.data(), text.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr *>(&address), size);
  int error = errno;
  close(fd);
  errno = error;
  if (sent < 0) fail("sendto");
}

bool find_user(const std::string &name, Account &found) {
  std::vector<char> buffer(65536);
  passwd entry, *result = nullptr;
  int error = getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &result);
  if (error == 0 && result) found = {entry.pw_uid, entry.pw_gid};
  return error == 0 && result;
}

bool find_group(const std::string &name, uint32_t &gid) {
  std::vector<char> buffer(65536);
  group entry, *result = nullptr;
  int error = getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &result);
  if (error == 0 && result) gid = entry.gr_gid;
  return error == 0 && result;
}

void return_freed_memory() {
  constexpr int large = 64 * 1024;  // of a connection's buffer too, of which only what was read is in memory; given here, it does not grow with the blocks that are freed
  mallopt(M_MMAP_THRESHOLD, large);
  mallopt(M_TRIM_THRESHOLD, large);
  mallopt(M_ARENA_MAX, 2);
  malloc_trim(0);  // of all arenas, also in the middle
}

void trim_heap() { malloc_trim(0); }

void forget_read_pages() {
  char executable[PATH_MAX];
  ssize_t length = readlink("/proc/self/exe", executable, sizeof executable);
  if (length <= 0) return;
  const std::string name(executable, length);
  std::ifstream parts("/proc/self/smaps");
  unsigned long from = 0, to = 0, written;
  bool ours = false;
  for (std::string line; std::getline(parts, line);) {
    unsigned long first, last;
    int path = 0;
    if (sscanf(line.c_str(), "%lx-%lx %*s %*s %*s %*s %n", &first, &last, &path) == 2) {
      from = first, to = last;
      ours = path > 0 && line.substr(path) == name;
    } else if (ours && sscanf(line.c_str(), "Anonymous: %lu", &written) == 1 && written == 0) {
      madvise(reinterpret_cast<void *>(from), to - from, MADV_DONTNEED);  // a part in which something was written (relocations) is in no file
    }
  }
}

int memory_file(const std::string &name) {
  constexpr unsigned executable = 0x10;  // MFD_EXEC is of Linux 6.3: an older one refuses it, and does what it says anyway
  int fd = memfd_create(name.c_str(), MFD_CLOEXEC | executable);
  if (fd < 0 && errno == EINVAL) fd = memfd_create(name.c_str(), MFD_CLOEXEC);
  if (fd < 0) fail("memfd_create");
  return fd;
}

bool try_lock(int fd) {
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return true;
  if (errno == EWOULDBLOCK) return false;
  fail("flock");
}

}  // namespace system_calls
