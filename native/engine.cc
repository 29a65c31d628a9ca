#include "engine.h"

#include <arpa/inet.h>
#include <cstring>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tcti.h"

namespace {

TPM2B_AUTH auth_value(const Bytes &auth) {
  TPM2B_AUTH value{};
  if (auth.size() > sizeof value.buffer) throw TpmError{TSS2_MU_RC_BAD_SIZE, "auth", "authorisation value too long"};
  value.size = static_cast<UINT16>(auth.size());
  if (!auth.empty()) memcpy(value.buffer, auth.data(), auth.size());
  return value;
}

bool is_transport_error(TSS2_RC rc) { return (rc & TSS2_RC_LAYER_MASK) == TSS2_TCTI_RC_LAYER; }

}  // namespace

ESYS_CONTEXT *Connection::esys() {
  if (esys_) return esys_;
  std::string error;
  tcti_ = tcti_open(config_, cancel_fd_, timeout_ms_, error);
  if (!tcti_) throw TpmError{TSS2_TCTI_RC_NO_CONNECTION, "open", error};
  TSS2_RC rc = tss.Esys_Initialize(&esys_, tcti_, nullptr);
  if (rc != TSS2_RC_SUCCESS) {
    esys_ = nullptr;
    reset();
    throw TpmError{rc, "Esys_Initialize", ""};
  }
  for (const auto &[hierarchy, auth] : auths_) apply_auth(hierarchy, auth);
  return esys_;
}

void Connection::reset() {
  if (esys_) tss.Esys_Finalize(&esys_);
  esys_ = nullptr;
  tcti_close(tcti_);
  tcti_ = nullptr;
}

void Connection::set_timeout(int timeout_ms) {
  timeout_ms_ = timeout_ms;
  if (tcti_) tcti_set_timeout(tcti_, timeout_ms);
}

void Connection::apply_auth(ESYS_TR hierarchy, const Bytes &auth) {
  TPM2B_AUTH value = auth_value(auth);
  check(tss.Esys_TR_SetAuth(esys_, hierarchy, &value), "TR_SetAuth");
}

void Connection::set_hierarchy_auth(ESYS_TR hierarchy, const Bytes &auth) {
  auth_value(auth);  // refuses one that is too long, before it is kept
  auths_.emplace_back(hierarchy, auth);
  if (esys_) apply_auth(hierarchy, auth);
}

void Connection::flush_raw(TPM2_HANDLE handle) {
  esys();
  uint8_t command[14] = {0x80, 0x01, 0, 0, 0, sizeof command, 0, 0, 0x01, 0x65};
  uint32_t wire = htonl(handle);
  memcpy(command + 10, &wire, sizeof wire);
  auto *transport = reinterpret_cast<TSS2_TCTI_CONTEXT_COMMON_V1 *>(tcti_);
  uint8_t response[64];
  size_t size = sizeof response;
  check(transport->transmit(tcti_, sizeof command, command), "FlushContext");
  check(transport->receive(tcti_, &size, response, -1), "FlushContext");
  uint32_t rc;
  memcpy(&rc, response + 6, sizeof rc);
  check(ntohl(rc), "FlushContext");
}

bool Connection::has_resource_manager() {
  esys();
  return tcti_has_resource_manager(tcti_);
}

Engine::Engine(const std::string &config, std::function<void(Job *)> done)
    : cancel_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), connection_(config, cancel_fd_), done_(std::move(done)) {
  thread_ = std::thread([this] { run(); });
}

bool Engine::push(Job *job) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (closed_) return false;
    queue_.push_back(job);
  }
  wake_.notify_one();
  return true;
}

void Engine::interrupt() {
  uint64_t one = 1;
  (void)!write(cancel_fd_, &one, sizeof one);
}

void Engine::close() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;
  }
  interrupt();
  wake_.notify_all();
  if (!thread_.joinable()) return;
  thread_.join();
  ::close(cancel_fd_);
  cancel_fd_ = -1;
}

// Not condition_variable::wait, which would need GLIBCXX_3.4.30 (RHEL 9 ends at 3.4.29).
Job *Engine::next() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (queue_.empty() && !closed_) pthread_cond_wait(wake_.native_handle(), mutex_.native_handle());
  if (queue_.empty()) return nullptr;
  Job *job = queue_.front();
  queue_.pop_front();
  return job;
}

void Engine::perform(Job *job) {
  try {
    uint64_t stale;
    (void)!read(cancel_fd_, &stale, sizeof stale);  // an interrupt that came when nothing was running
    if (closed_) throw TpmError{TSS2_TCTI_RC_NO_CONNECTION, "closed", "the TPM was closed"};
    job->result = job->work(connection_);
  } catch (const TpmError &error) {
    job->failed = true;
    job->error = error;
    job->error_text = tss.Tss2_RC_Decode(error.rc);
    if (is_transport_error(error.rc)) connection_.reset();
  } catch (const std::exception &error) {
    job->failed = true;
    job->error = TpmError{TSS2_BASE_RC_GENERAL_FAILURE, "internal", error.what()};
    job->error_text = error.what();
  }
}

void Engine::run() {
  while (Job *job = next()) {
    perform(job);
    done_(job);
  }
  connection_.reset();
}
