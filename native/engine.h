// One thread for each open TPM: it alone touches the ESYS context, and runs jobs in the order in which they came.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "tss.h"

using Bytes = std::vector<uint8_t>;
using Value = std::variant<std::monostate, bool, uint32_t, Bytes>;

// What a command gives back: one value, or named ones.
struct Result {
  Value value;
  std::vector<std::pair<const char *, Value>> fields;
};

// A command that failed: `rc` is a TSS2_RC (Part 2, section 6.6, and the TSS layers above it).
struct TpmError {
  TSS2_RC rc;
  std::string op;
  std::string detail;
};

inline void check(TSS2_RC rc, const char *op) {
  if (rc != TSS2_RC_SUCCESS) throw TpmError{rc, op, ""};
}

// The ESYS context with its transport. Opened at first use and again after a transport error: ESYS is unusable then.
// Handles of the earlier context are invalid after that (the caller sees it by `rc` 0x70018).
class Connection {
 public:
  Connection(std::string config, int cancel_fd) : config_(std::move(config)), cancel_fd_(cancel_fd) {}
  ~Connection() { reset(); }
  Connection(const Connection &) = delete;
  Connection &operator=(const Connection &) = delete;

  ESYS_CONTEXT *esys();
  void reset();
  void set_timeout(int timeout_ms);
  // Authorisation of a hierarchy, kept for later contexts.
  void set_hierarchy_auth(ESYS_TR hierarchy, const Bytes &auth);
  // TPM2_FlushContext of whatever handle, also of objects that this context did not make.
  void flush_raw(TPM2_HANDLE handle);
  bool has_resource_manager();

 private:
  void apply_auth(ESYS_TR hierarchy, const Bytes &auth);

  std::string config_;
  int cancel_fd_;
  int timeout_ms_ = 60000;
  TSS2_TCTI_CONTEXT *tcti_ = nullptr;
  ESYS_CONTEXT *esys_ = nullptr;
  std::vector<std::pair<ESYS_TR, Bytes>> auths_;
};

struct Job {
  std::function<Result(Connection &)> work;
  Result result;
  bool failed = false;
  TpmError error{};
  std::string error_text;
  // For the one who queued the job.
  void *owner = nullptr;
  virtual ~Job() = default;
};

class Engine {
 public:
  // `done` is called on the worker thread and takes over the job.
  Engine(const std::string &config, std::function<void(Job *)> done);
  ~Engine() { close(); }
  Engine(const Engine &) = delete;
  Engine &operator=(const Engine &) = delete;

  // False when closed: the caller keeps the job then.
  bool push(Job *job);
  // Makes the command that is running fail with a transport error.
  void interrupt();
  // Fails what is queued, ends the thread and waits for it.
  void close();

 private:
  void run();
  Job *next();
  void perform(Job *job);

  int cancel_fd_;
  Connection connection_;
  std::function<void(Job *)> done_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job *> queue_;
  std::atomic<bool> closed_{false};
  std::thread thread_;
};
