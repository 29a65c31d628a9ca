// The transport: a TPM that answers anything, over a socket as swtpm has it. A response is taken only when it has the size that its header says; nothing is read
// behind it. With an odd first byte the rest is a configuration text instead.
#include "fuzzed.h"

#include <algorithm>

#include "tcti.cc"  // with what is inside of it

namespace {

const std::string kPath = "/tmp/keylime-fuzz-tcti-" + std::to_string(getpid());
const uint8_t kCommand[] = {0x80, 0x01, 0, 0, 0, 12, 0, 0, 1, 0x7b, 0, 8};

int listener() {
  static const int fd = [] {
    int listening = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    strcpy(address.sun_path, kPath.c_str());
    unlink(kPath.c_str());
    demand(bind(listening, reinterpret_cast<sockaddr *>(&address), sizeof address) == 0 && listen(listening, 4) == 0, "cannot listen");
    atexit([] { unlink(kPath.c_str()); });
    return listening;
  }();
  return fd;
}

int accepted() {
  int fd = accept(listener(), nullptr, nullptr);
  int room = 1 << 20;
  setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  return fd;
}

void answer(const uint8_t *response, size_t size) {
  int fd = accepted();
  uint8_t command[sizeof kCommand];
  demand(read(fd, command, sizeof command) == sizeof command && memcmp(command, kCommand, sizeof command) == 0, "the command arrives as another");
  demand(send(fd, response, size, MSG_NOSIGNAL | MSG_DONTWAIT) == static_cast<ssize_t>(size) || size == 0, "the socket holds too little");
  close(fd);
}

void exchange(const uint8_t *data, size_t size) {
  std::string error;
  listener();
  TSS2_TCTI_CONTEXT *tcti = tcti_open("swtpm:path=" + kPath, -1, 2000, error);
  demand(tcti != nullptr, error.c_str());
  close(accepted());
  auto *v1 = reinterpret_cast<TSS2_TCTI_CONTEXT_COMMON_V1 *>(tcti);
  demand(v1->transmit(tcti, sizeof kCommand, kCommand) == TSS2_RC_SUCCESS, "the command is not sent");
  demand(v1->transmit(tcti, sizeof kCommand, kCommand) == TSS2_TCTI_RC_BAD_SEQUENCE, "two commands are sent at once");
  answer(data, size);
  uint32_t declared = 0;
  if (size >= kHeaderSize) declared = data[2] << 24 | data[3] << 16 | data[4] << 8 | data[5];
  bool is_whole = declared >= kHeaderSize && declared <= kResponseMax && declared <= size;
  size_t needed = 0;
  TSS2_RC rc = v1->receive(tcti, &needed, nullptr, 0);
  demand((rc == TSS2_RC_SUCCESS) == is_whole, "a response is taken that is not whole, or refused that is");
  if (is_whole) {
    demand(needed == declared, "the response has another size than its header says");
    std::vector<uint8_t> small(needed - 1), room(needed);
    size_t room_size = small.size();
    demand(v1->receive(tcti, &room_size, small.data(), 0) == TSS2_TCTI_RC_INSUFFICIENT_BUFFER, "too small a buffer is filled");
    room_size = room.size();
    demand(v1->receive(tcti, &room_size, room.data(), 0) == TSS2_RC_SUCCESS, "the response is lost");
    demand(room_size == declared && memcmp(room.data(), data, declared) == 0, "the response is another");
    demand(v1->receive(tcti, &room_size, room.data(), 0) == TSS2_TCTI_RC_BAD_SEQUENCE, "a response is given twice");
  }
  tcti_close(tcti);
}

void configuration(const std::string &text) {
  Context one, two;
  std::string error;
  if (!configure(&one, text, error)) {
    demand(!error.empty() && error.size() < text.size() + 100, "a configuration is refused without words");
    return;
  }
  demand(text.rfind("device", 0) == 0 || text.rfind("swtpm", 0) == 0, "another transport is taken");
  if (one.device) demand(one.path == (text.size() > 7 ? text.substr(7) : "/dev/tpmrm0"), "the device is another");
  if (one.device || (one.host + one.port + one.path).find(',') != std::string::npos) return;
  demand(configure(&two, "swtpm:host=" + one.host + ",port=" + one.port + ",path=" + one.path, error), "written again it is refused");
  demand(one.host == two.host && one.port == two.port && one.path == two.path, "written again it is another");
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0) return 0;
  if (data[0] & 1) configuration(std::string(data + 1, data + size));
  else exchange(data + 1, size - 1);
  return 0;
}
