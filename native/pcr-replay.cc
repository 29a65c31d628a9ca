#include "pcr-replay.h"

#include <memory>
#include <string>

#include "arguments.h"
#include "replayed-pcr.h"

namespace {

View view_of(const Bytes &bytes) { return {bytes.data(), bytes.size()}; }

// Failures of the replay as JavaScript has them.
template <class F>
auto guarded(const Napi::CallbackInfo &info, F function) {
  try {
    return function();
  } catch (const std::invalid_argument &error) {
    throw Napi::TypeError::New(info.Env(), error.what());
  } catch (const std::runtime_error &error) {
    throw Napi::Error::New(info.Env(), error.what());
  }
}

class PcrReplay : public Napi::ObjectWrap<PcrReplay> {
 public:
  // (name of the log's hash, name of the bank, value to begin with, quoted value)
  explicit PcrReplay(const Napi::CallbackInfo &info) : Napi::ObjectWrap<PcrReplay>(info) {
    auto log = argument<std::string>(info[0]), bank = argument<std::string>(info[1]);
    Bytes start = argument<Bytes>(info[2]), quoted = argument<Bytes>(info[3]);
    pcr_ = guarded(info, [&] { return std::make_unique<ReplayedPcr>(log, bank, view_of(start), view_of(quoted)); });
  }

  // (data, template hash in lower-case hex): null when that is not their hash, and nothing is extended; else as extend.
  Napi::Value extend_if(const Napi::CallbackInfo &info) {
    View data = view(info);
    char column[ReplayedPcr::kMaxColumn + 2];
    size_t length = 0;
    napi_status status = napi_get_value_string_latin1(info.Env(), info[1], column, sizeof column, &length);
    bool holds = status == napi_ok && guarded(info, [&] { return pcr_->is_hash_of(data, {column, length}); });
    return holds ? extend_by(info, data) : info.Env().Null();
  }

  // (data, or null for a violation): whether the PCR has the quoted value then.
  Napi::Value extend(const Napi::CallbackInfo &info) {
    if (!info[0].IsNull()) return extend_by(info, view(info));
    return Napi::Boolean::New(info.Env(), guarded(info, [&] { return pcr_->extend_by_violation(); }));
  }

  Napi::Value value(const Napi::CallbackInfo &info) {
    View value = pcr_->value();
    return Napi::Buffer<uint8_t>::Copy(info.Env(), value.data, value.size);
  }

 private:
  // The first argument's memory: `argument` would copy it.
  static View view(const Napi::CallbackInfo &info) {
    if (!info[0].IsTypedArray()) throw Napi::TypeError::New(info.Env(), "a Uint8Array is needed");
    auto array = info[0].As<Napi::Uint8Array>();
    return {array.Data(), array.ByteLength()};
  }
  Napi::Value extend_by(const Napi::CallbackInfo &info, View data) {
    return Napi::Boolean::New(info.Env(), guarded(info, [&] { return pcr_->extend(data); }));
  }

  std::unique_ptr<ReplayedPcr> pcr_;
};

}  // namespace

Napi::Function pcr_replay::define(Napi::Env env) {
  return PcrReplay::DefineClass(env, "PcrReplay", {
    PcrReplay::InstanceMethod<&PcrReplay::extend_if>("extendIf"),
    PcrReplay::InstanceMethod<&PcrReplay::extend>("extend"),
    PcrReplay::InstanceMethod<&PcrReplay::value>("value"),
  });
}
