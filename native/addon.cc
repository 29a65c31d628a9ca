// What JavaScript sees: class Tpm, whose methods are the functions of commands.h, the functions of system.h, and the classes PcrReplay and DigestVerifier.
#include <memory>
#include <system_error>

#include <napi.h>

#include "arguments.h"
#include "commands.h"
#include "digest-verifier.h"
#include "pcr-replay.h"
#include "system.h"

namespace {

// results

struct ToJs {
  Napi::Env env;
  Napi::Value operator()(std::monostate) const { return env.Undefined(); }
  Napi::Value operator()(bool value) const { return Napi::Boolean::New(env, value); }
  Napi::Value operator()(uint32_t value) const { return Napi::Number::New(env, value); }
  Napi::Value operator()(const Bytes &value) const {
    return Napi::Buffer<uint8_t>::Copy(env, value.data(), value.size());
  }
};

Napi::Value to_js(Napi::Env env, const Result &result) {
  if (result.fields.empty()) return std::visit(ToJs{env}, result.value);
  auto object = Napi::Object::New(env);
  for (const auto &[name, value] : result.fields) object.Set(name, std::visit(ToJs{env}, value));
  return object;
}

const char *code_of(const TpmError &error) {
  if (error.op == "closed") return "ERR_TPM_CLOSED";
  return (error.rc & TSS2_RC_LAYER_MASK) == TSS2_TCTI_RC_LAYER ? "ERR_TPM_TRANSPORT" : "ERR_TPM";
}

Napi::Value to_js_error(Napi::Env env, const Job &job) {
  const std::string &detail = job.error.detail.empty() ? job.error_text : job.error.detail;
  Napi::Error error = Napi::Error::New(env, job.error.op + ": " + detail);
  error.Set("code", Napi::String::New(env, code_of(job.error)));
  error.Set("rc", Napi::Number::New(env, job.error.rc));
  error.Set("rcText", Napi::String::New(env, job.error_text));
  error.Set("op", Napi::String::New(env, job.error.op));
  return error.Value();
}

// class Tpm

struct PromiseJob : Job {
  explicit PromiseJob(Napi::Env env) : deferred(Napi::Promise::Deferred::New(env)) {}
  Napi::Promise::Deferred deferred;
};

Result set_timeout(Connection &tpm, uint32_t timeout_ms) {
  tpm.set_timeout(static_cast<int>(timeout_ms));
  return {};
}

class Tpm : public Napi::ObjectWrap<Tpm> {
 public:
  static Napi::Function define(Napi::Env env);

  explicit Tpm(const Napi::CallbackInfo &info) : Napi::ObjectWrap<Tpm>(info), env_(info.Env()) {
    auto config = argument<std::string>(info[0]);
    const std::string &error = load_tss();
    if (!error.empty()) throw Napi::Error::New(env_, "libtss2 cannot be used: " + error);
    deliver_ = Deliver::New(env_, "keylime tpm", 0, 1, this);
    deliver_.Unref(env_);
    engine_ = std::make_unique<Engine>(config, [this](Job *job) {
      if (deliver_.NonBlockingCall(job) != napi_ok) delete job;
    });
    napi_add_env_cleanup_hook(env_, at_exit, this);
  }
  ~Tpm() override { shut_down(); }

 private:
  static void deliver(Napi::Env env, Napi::Function, Tpm *self, Job *finished) {
    std::unique_ptr<Job> owner(finished);
    if (env == nullptr) return;  // the environment is being torn down
    auto *job = static_cast<PromiseJob *>(finished);
    Napi::HandleScope scope(env);
    if (job->failed) {
      job->deferred.Reject(to_js_error(env, *job));
    } else {
      job->deferred.Resolve(to_js(env, job->result));
    }
    self->one_less(env);
  }
  using Deliver = Napi::TypedThreadSafeFunction<Tpm, Job, deliver>;

  static void at_exit(void *self) { static_cast<Tpm *>(self)->shut_down(); }

  // The object and the event loop live on while something is pending.
  void one_more() {
    if (pending_++ > 0) return;
    Ref();
    deliver_.Ref(env_);
  }
  void one_less(Napi::Env env) {
    if (--pending_ > 0) return;
    if (!shut_) deliver_.Unref(env);
    Unref();
  }

  void shut_down() {
    if (shut_ || !engine_) return;
    shut_ = true;
    napi_remove_env_cleanup_hook(env_, at_exit, this);
    engine_->close();
    deliver_.Release();
  }

  Napi::Value queue(std::function<Result(Connection &)> work) {
    auto job = std::make_unique<PromiseJob>(env_);
    Napi::Value promise = job->deferred.Promise();
    job->work = std::move(work);
    if (!engine_->push(job.get())) {
      job->error = TpmError{TSS2_TCTI_RC_NO_CONNECTION, "closed", "the TPM was closed"};
      job->deferred.Reject(to_js_error(env_, *job));
      return promise;
    }
    one_more();
    job.release();
    return promise;
  }

  template <class... A>
  Napi::Value dispatch(Result (*command)(Connection &, A...), const Napi::CallbackInfo &info) {
    auto values = arguments<std::decay_t<A>...>(info, std::index_sequence_for<A...>{});
    return queue([command, values = std::move(values)](Connection &tpm) {
      return std::apply([&](const auto &...each) { return command(tpm, each...); }, values);
    });
  }

  template <auto command>
  Napi::Value call(const Napi::CallbackInfo &info) {
    return dispatch(command, info);
  }

  Napi::Value interrupt(const Napi::CallbackInfo &) {
    if (!shut_) engine_->interrupt();
    return env_.Undefined();
  }
  Napi::Value close(const Napi::CallbackInfo &) {
    shut_down();
    return env_.Undefined();
  }

  Napi::Env env_;
  Deliver deliver_;
  std::unique_ptr<Engine> engine_;
  uint32_t pending_ = 0;
  bool shut_ = false;
};

Napi::Function Tpm::define(Napi::Env env) {
  using namespace commands;
  return DefineClass(env, "Tpm", {
    InstanceMethod<&Tpm::call<&startup>>("startup"),
    InstanceMethod<&Tpm::call<&get_capability>>("getCapability"),
    InstanceMethod<&Tpm::call<&get_random>>("getRandom"),
    InstanceMethod<&Tpm::call<&create_primary>>("createPrimary"),
    InstanceMethod<&Tpm::call<&create>>("create"),
    InstanceMethod<&Tpm::call<&commands::load>>("load"),
    InstanceMethod<&Tpm::call<&read_public>>("readPublic"),
    InstanceMethod<&Tpm::call<&from_tpm_handle>>("fromTpmHandle"),
    InstanceMethod<&Tpm::call<&close_handle>>("closeHandle"),
    InstanceMethod<&Tpm::call<&set_auth>>("setAuth"),
    InstanceMethod<&Tpm::call<&set_hierarchy_auth>>("setHierarchyAuth"),
    InstanceMethod<&Tpm::call<&flush>>("flush"),
    InstanceMethod<&Tpm::call<&flush_leaked>>("flushLeaked"),
    InstanceMethod<&Tpm::call<&evict_control>>("evictControl"),
    InstanceMethod<&Tpm::call<&activate_credential>>("activateCredential"),
    InstanceMethod<&Tpm::call<&pcr_read>>("pcrRead"),
    InstanceMethod<&Tpm::call<&pcr_extend>>("pcrExtend"),
    InstanceMethod<&Tpm::call<&pcr_reset>>("pcrReset"),
    InstanceMethod<&Tpm::call<&quote>>("quote"),
    InstanceMethod<&Tpm::call<&certify>>("certify"),
    InstanceMethod<&Tpm::call<&nv_read>>("nvRead"),
    InstanceMethod<&Tpm::call<&unseal>>("unseal"),
    InstanceMethod<&Tpm::call<&context_save>>("contextSave"),
    InstanceMethod<&Tpm::call<&context_load>>("contextLoad"),
    InstanceMethod<&Tpm::call<&set_timeout>>("setTimeout"),
    InstanceMethod<&Tpm::interrupt>("interrupt"),
    InstanceMethod<&Tpm::close>("close"),
  });
}

// system calls

// Runs a function of system.h; its failure becomes an Error with `errno` and `syscall`, as node's own have.
template <class F>
auto guarded(Napi::Env env, const char *call, F function) {
  try {
    return function();
  } catch (const std::system_error &failure) {
    Napi::Error error = Napi::Error::New(env, failure.what());
    error.Set("errno", Napi::Number::New(env, failure.code().value()));
    error.Set("syscall", Napi::String::New(env, call));
    throw error;
  }
}

void mount_tmpfs(const Napi::CallbackInfo &info) {
  auto directory = argument<std::string>(info[0]), options = argument<std::string>(info[1]);
  guarded(info.Env(), "mount", [&] { system_calls::mount_tmpfs(directory, options); });
}

void unmount(const Napi::CallbackInfo &info) {
  auto directory = argument<std::string>(info[0]);
  guarded(info.Env(), "umount", [&] { system_calls::unmount(directory); });
}

void send_datagram(const Napi::CallbackInfo &info) {
  auto path = argument<std::string>(info[0]), text = argument<std::string>(info[1]);
  guarded(info.Env(), "sendto", [&] { system_calls::send_datagram(path, text); });
}

Napi::Value find_user(const Napi::CallbackInfo &info) {
  system_calls::Account account{};
  if (!system_calls::find_user(argument<std::string>(info[0]), account)) return info.Env().Null();
  auto object = Napi::Object::New(info.Env());
  object.Set("uid", Napi::Number::New(info.Env(), account.uid));
  object.Set("gid", Napi::Number::New(info.Env(), account.gid));
  return object;
}

Napi::Value find_group(const Napi::CallbackInfo &info) {
  uint32_t gid = 0;
  if (!system_calls::find_group(argument<std::string>(info[0]), gid)) return info.Env().Null();
  return Napi::Number::New(info.Env(), gid);
}

Napi::Value try_lock(const Napi::CallbackInfo &info) {
  auto fd = static_cast<int>(argument<uint32_t>(info[0]));
  return Napi::Boolean::New(info.Env(), guarded(info.Env(), "flock", [&] { return system_calls::try_lock(fd); }));
}

Napi::Value memory_file(const Napi::CallbackInfo &info) {
  auto name = argument<std::string>(info[0]);
  return Napi::Number::New(info.Env(), guarded(info.Env(), "memfd_create", [&] { return system_calls::memory_file(name); }));
}

void return_freed_memory(const Napi::CallbackInfo &) { system_calls::return_freed_memory(); }
void trim_heap(const Napi::CallbackInfo &) { system_calls::trim_heap(); }
void forget_read_pages(const Napi::CallbackInfo &) { system_calls::forget_read_pages(); }

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("Tpm", Tpm::define(env));
  exports.Set("mountTmpfs", Napi::Function::New(env, mount_tmpfs));
  exports.Set("unmount", Napi::Function::New(env, unmount));
  exports.Set("sendDatagram", Napi::Function::New(env, send_datagram));
  exports.Set("findUser", Napi::Function::New(env, find_user));
  exports.Set("findGroup", Napi::Function::New(env, find_group));
  exports.Set("returnFreedMemory", Napi::Function::New(env, return_freed_memory));
  exports.Set("trimHeap", Napi::Function::New(env, trim_heap));
  exports.Set("forgetReadPages", Napi::Function::New(env, forget_read_pages));
  exports.Set("memoryFile", Napi::Function::New(env, memory_file));
  exports.Set("tryLock", Napi::Function::New(env, try_lock));
  exports.Set("PcrReplay", pcr_replay::define(env));
  exports.Set("DigestVerifier", digest_verifier::define(env));
  return exports;
}

}  // namespace

NODE_API_MODULE(keylime_native, init)
