// System calls that node does not offer, one function each. They throw std::system_error.
#pragma once

#include <cstdint>
#include <string>

namespace system_calls {

// mount(2) of a tmpfs, nosuid and nodev. Not noexec: the payload's script runs there.
void mount_tmpfs(const std::string &directory, const std::string &options);
void unmount(const std::string &directory);

// One datagram to a unix socket; a path that begins with '@' is in the abstract name space (sd_notify(3)).
void send_datagram(const std::string &path, const std::string &text);

struct Account {
  uint32_t uid, gid;
};
// By the name service; false when there is no such account.
bool find_user(const std::string &name, Account &found);
bool find_group(const std::string &name, uint32_t &gid);

// Large blocks go back to the system when they are freed, and threads that come and go leave no heaps of their own behind (mallopt(3)).
void return_freed_memory();

// Whole pages that lie free between blocks go back to the system (malloc_trim(3)).
void trim_heap();

// Pages of the executable that were read once leave this process; those that it goes on using come back from the page cache (madvise(2)).
void forget_read_pages();

// A descriptor of a new file in memory, from which programs may be mapped (memfd_create(2)).
int memory_file(const std::string &name);

// An exclusive flock(2); false when another holds it.
bool try_lock(int fd);

}  // namespace system_calls
