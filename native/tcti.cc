#include "tcti.h"

#include <cerrno>
#include <cstring>
#include <ctime>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace {

constexpr uint64_t kMagic = 0x6b65796c696d6531ULL;
constexpr size_t kHeaderSize = 10;      // tag, size, code
constexpr size_t kResponseMax = 65536;  // far above any TPM's limit

struct Context {
  TSS2_TCTI_CONTEXT_COMMON_V2 common;  // must be first: libtss2 sees only this
  bool device = false;
  std::string path, host = "localhost", port = "2321";
  int fd = -1, cancel_fd = -1, timeout_ms = 0;
  int64_t deadline = 0;
  bool sent = false;
  std::vector<uint8_t> response;
};

Context *context_of(TSS2_TCTI_CONTEXT *tcti) { return reinterpret_cast<Context *>(tcti); }

int64_t now_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

void drop(Context *c) {
  if (c->fd >= 0) close(c->fd);
  c->fd = -1;
  c->sent = false;
}

void start_deadline(Context *c) { c->deadline = now_ms() + c->timeout_ms; }

// Waits for `events`; false, with errno set, after the deadline or when cancelled.
bool wait_for(Context *c, short events) {
  for (;;) {
    int64_t left = c->deadline - now_ms();
    pollfd fds[2] = {{c->fd, events, 0}, {c->cancel_fd, POLLIN, 0}};
    int ready = poll(fds, 2, left > 0 ? static_cast<int>(left) : 0);
    if (ready < 0 && errno == EINTR) continue;
    if (ready > 0 && !(fds[1].revents & POLLIN)) return true;
    if (ready >= 0) errno = ready == 0 ? ETIMEDOUT : ECANCELED;
    return false;
  }
}

bool connect_unix(Context *c) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (c->path.size() >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return false;
  }
  memcpy(address.sun_path, c->path.data(), c->path.size());
  c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (c->fd < 0) return false;
  // swtpm listens with a backlog of 1. While it is full, a non-blocking connect fails at once with EAGAIN and there is
  // nothing to poll for: try again every 2 ms, until the deadline or until we are cancelled.
  while (connect(c->fd, reinterpret_cast<sockaddr *>(&address), sizeof address) < 0) {
    if (errno == EINTR) continue;
    int error = errno;
    pollfd cancelled{c->cancel_fd, POLLIN, 0};
    if (error == EAGAIN && now_ms() < c->deadline && poll(&cancelled, 1, 2) == 0) continue;
    drop(c);
    errno = error;
    return false;
  }
  return true;
}

bool connect_address(Context *c, const addrinfo *address) {
  c->fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (c->fd < 0) return false;
  int one = 1, error = 0;
  socklen_t size = sizeof error;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(c->fd, address->ai_addr, address->ai_addrlen) == 0) return true;
  if (errno == EINPROGRESS && wait_for(c, POLLOUT)) {
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error == 0) return true;
    errno = error;
  }
  error = errno;
  drop(c);
  errno = error;
  return false;
}

bool connect_tcp(Context *c) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  if (getaddrinfo(c->host.c_str(), c->port.c_str(), &hints, &found) != 0) {
    errno = EHOSTUNREACH;
    return false;
  }
  bool connected = false;
  for (addrinfo *each = found; each && !connected; each = each->ai_next) connected = connect_address(c, each);
  int error = errno;
  freeaddrinfo(found);
  errno = error;
  return connected;
}

bool open_transport(Context *c) {
  if (!c->device) return c->path.empty() ? connect_tcp(c) : connect_unix(c);
  c->fd = open(c->path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  return c->fd >= 0;
}

// IO_ERROR always, never TRY_AGAIN: the synchronous ESYS calls would loop on that.
TSS2_RC transmit(TSS2_TCTI_CONTEXT *tcti, size_t size, const uint8_t *command) {
  Context *c = context_of(tcti);
  if (c->sent) return TSS2_TCTI_RC_BAD_SEQUENCE;
  start_deadline(c);
  c->response.clear();
  if (c->fd < 0 && !open_transport(c)) return TSS2_TCTI_RC_NO_CONNECTION;
  for (size_t done = 0; done < size;) {
    const uint8_t *at = command + done;
    ssize_t written = c->device ? write(c->fd, at, size - done) : send(c->fd, at, size - done, MSG_NOSIGNAL);
    if (written > 0) {
      done += written;
    } else if (written == 0 || (errno != EINTR && !(errno == EAGAIN && wait_for(c, POLLOUT)))) {
      drop(c);
      return TSS2_TCTI_RC_IO_ERROR;
    }
  }
  c->sent = true;
  return TSS2_RC_SUCCESS;
}

// Size of the response that is arriving, as far as it is known; 0 when it makes no sense.
size_t expected_size(const Context *c) {
  if (c->response.size() < kHeaderSize) return kHeaderSize;
  uint32_t size;
  memcpy(&size, &c->response[2], sizeof size);
  size = ntohl(size);
  return size >= kHeaderSize && size <= kResponseMax ? size : 0;
}

TSS2_RC read_some(Context *c) {
  uint8_t buffer[4096];
  for (;;) {
    if (!wait_for(c, POLLIN)) return TSS2_TCTI_RC_IO_ERROR;
    ssize_t got = read(c->fd, buffer, sizeof buffer);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (got <= 0) return TSS2_TCTI_RC_IO_ERROR;  // end of file: the other side died
    c->response.insert(c->response.end(), buffer, buffer + got);
    return TSS2_RC_SUCCESS;
  }
}

TSS2_RC receive(TSS2_TCTI_CONTEXT *tcti, size_t *size, uint8_t *response, int32_t) {
  Context *c = context_of(tcti);
  if (!c->sent) return TSS2_TCTI_RC_BAD_SEQUENCE;
  while (c->response.size() < kHeaderSize || c->response.size() < expected_size(c)) {
    TSS2_RC rc = read_some(c);
    if (rc != TSS2_RC_SUCCESS) {
      drop(c);
      return rc;
    }
  }
  size_t expected = expected_size(c);
  if (expected == 0) {
    drop(c);
    return TSS2_TCTI_RC_MALFORMED_RESPONSE;
  }
  bool fits = response && *size >= expected;
  *size = expected;
  if (!response) return TSS2_RC_SUCCESS;
  if (!fits) return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
  memcpy(response, c->response.data(), expected);
  c->sent = false;
  if (!c->device) drop(c);  // one connection a command: others can use the swtpm in between
  return TSS2_RC_SUCCESS;
}

void finalize(TSS2_TCTI_CONTEXT *tcti) { drop(context_of(tcti)); }
TSS2_RC cancel(TSS2_TCTI_CONTEXT *) { return TSS2_TCTI_RC_NOT_IMPLEMENTED; }
TSS2_RC poll_handles(TSS2_TCTI_CONTEXT *, TSS2_TCTI_POLL_HANDLE *, size_t *) { return TSS2_TCTI_RC_NOT_IMPLEMENTED; }
TSS2_RC set_locality(TSS2_TCTI_CONTEXT *, uint8_t) { return TSS2_TCTI_RC_NOT_IMPLEMENTED; }
TSS2_RC make_sticky(TSS2_TCTI_CONTEXT *, TPM2_HANDLE *, uint8_t) { return TSS2_TCTI_RC_NOT_IMPLEMENTED; }

// Reads "key=value,key=value" of a swtpm configuration.
bool read_options(Context *c, const std::string &text, std::string &error) {
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find(',', at), text.size());
    std::string pair = text.substr(at, end - at);
    size_t equals = std::min(pair.find('='), pair.size());
    std::string key = pair.substr(0, equals), value = pair.substr(std::min(equals + 1, pair.size()));
    std::string *option = key == "host" ? &c->host : key == "port" ? &c->port : key == "path" ? &c->path : nullptr;
    if (!option) {
      error = "unknown option '" + key + "' (host, port and path are known)";
      return false;
    }
    *option = value;
    at = end + 1;
  }
  return true;
}

bool configure(Context *c, const std::string &config, std::string &error) {
  size_t colon = std::min(config.find(':'), config.size());
  std::string name = config.substr(0, colon), rest = config.substr(std::min(colon + 1, config.size()));
  if (name == "device") {
    c->device = true;
    c->path = rest.empty() ? "/dev/tpmrm0" : rest;
    return true;
  }
  if (name == "swtpm") return read_options(c, rest, error);
  error = "unsupported transport '" + name + "' (device and swtpm are supported)";
  return false;
}

}  // namespace

TSS2_TCTI_CONTEXT *tcti_open(const std::string &config, int cancel_fd, int timeout_ms, std::string &error) {
  auto *c = new Context();
  auto &v1 = c->common.v1;
  v1.magic = kMagic;
  v1.version = 2;
  v1.transmit = transmit;
  v1.receive = receive;
  v1.finalize = finalize;
  v1.cancel = cancel;
  v1.getPollHandles = poll_handles;
  v1.setLocality = set_locality;
  c->common.makeSticky = make_sticky;
  c->cancel_fd = cancel_fd;
  c->timeout_ms = timeout_ms;
  bool understood = configure(c, config, error);
  start_deadline(c);
  if (!understood || !open_transport(c)) {
    if (understood) error = "cannot connect to " + config + ": " + strerror(errno);
    delete c;
    return nullptr;
  }
  if (!c->device) drop(c);
  return reinterpret_cast<TSS2_TCTI_CONTEXT *>(c);
}

void tcti_close(TSS2_TCTI_CONTEXT *tcti) {
  if (!tcti) return;
  drop(context_of(tcti));
  delete context_of(tcti);
}

void tcti_set_timeout(TSS2_TCTI_CONTEXT *tcti, int timeout_ms) { context_of(tcti)->timeout_ms = timeout_ms; }

bool tcti_has_resource_manager(TSS2_TCTI_CONTEXT *tcti) {
  Context *c = context_of(tcti);
  return c->device && c->path.find("tpmrm") != std::string::npos;
}
