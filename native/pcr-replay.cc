#include "pcr-replay.h"

#include <cstring>
#include <memory>
#include <string>

#include <openssl/evp.h>  // of the OpenSSL that the node executable exports

#include "arguments.h"

namespace {

// One hash algorithm, fetched once.
class Hash {
 public:
  Hash(Napi::Env env, const std::string &name)
      : algorithm_(EVP_MD_fetch(nullptr, name.c_str(), nullptr)), context_(EVP_MD_CTX_new()) {
    if (!algorithm_ || !context_) throw Napi::Error::New(env, "the hash algorithm " + name + " is not available");
    size_ = static_cast<size_t>(EVP_MD_get_size(algorithm_.get()));
  }
  size_t size() const { return size_; }
  bool operator()(const uint8_t *data, size_t length, uint8_t *out) {
    return EVP_DigestInit_ex2(context_.get(), algorithm_.get(), nullptr) == 1 &&
           EVP_DigestUpdate(context_.get(), data, length) == 1 &&
           EVP_DigestFinal_ex(context_.get(), out, nullptr) == 1;
  }

 private:
  struct Free {
    void operator()(EVP_MD *md) const { EVP_MD_free(md); }
    void operator()(EVP_MD_CTX *ctx) const { EVP_MD_CTX_free(ctx); }
  };
  std::unique_ptr<EVP_MD, Free> algorithm_;
  std::unique_ptr<EVP_MD_CTX, Free> context_;
  size_t size_ = 0;
};

class PcrReplay : public Napi::ObjectWrap<PcrReplay> {
 public:
  // (name of the log's hash, name of the bank, value to begin with, quoted value)
  explicit PcrReplay(const Napi::CallbackInfo &info)
      : Napi::ObjectWrap<PcrReplay>(info),
        log_(info.Env(), argument<std::string>(info[0])),
        bank_(info.Env(), argument<std::string>(info[1])),
        quoted_(argument<Bytes>(info[3])) {
    Bytes start = argument<Bytes>(info[2]);
    bool fits = start.size() == bank_.size() && quoted_.size() == bank_.size();
    if (!fits) throw Napi::TypeError::New(info.Env(), "the PCR has another size than its bank");
    std::memcpy(step_, start.data(), bank_.size());
  }

  // (data, template hash in lower-case hex): null when that is not their hash, and nothing is extended; else as extend.
  Napi::Value extend_if(const Napi::CallbackInfo &info) {
    auto [data, size] = view(info);
    uint8_t digest[EVP_MAX_MD_SIZE];
    require(info, log_(data, size, digest));
    char column[2 * EVP_MAX_MD_SIZE + 2];
    size_t length = 0;
    napi_status status = napi_get_value_string_latin1(info.Env(), info[1], column, sizeof column, &length);
    if (status != napi_ok || !is_hex_of(digest, log_.size(), column, length)) return info.Env().Null();
    return extend_by(info, data, size);
  }

  // (data, or null for a violation): whether the PCR has the quoted value then.
  Napi::Value extend(const Napi::CallbackInfo &info) {
    if (!info[0].IsNull()) {
      auto [data, size] = view(info);
      return extend_by(info, data, size);
    }
    std::memset(step_ + bank_.size(), 0xff, bank_.size());
    return close(info);
  }

  Napi::Value value(const Napi::CallbackInfo &info) { return Napi::Buffer<uint8_t>::Copy(info.Env(), step_, bank_.size()); }

 private:
  // The first argument's memory: `argument` would copy it.
  static std::pair<const uint8_t *, size_t> view(const Napi::CallbackInfo &info) {
    if (!info[0].IsTypedArray()) throw Napi::TypeError::New(info.Env(), "a Uint8Array is needed");
    auto array = info[0].As<Napi::Uint8Array>();
    return {array.Data(), array.ByteLength()};
  }
  static void require(const Napi::CallbackInfo &info, bool done) {
    if (!done) throw Napi::Error::New(info.Env(), "the hash cannot be computed");
  }
  static bool is_hex_of(const uint8_t *digest, size_t size, const char *text, size_t length) {
    static const char digits[] = "0123456789abcdef";
    if (length != 2 * size) return false;
    for (size_t i = 0; i < size; i++)
      if (text[2 * i] != digits[digest[i] >> 4] || text[2 * i + 1] != digits[digest[i] & 15]) return false;
    return true;
  }
  Napi::Value extend_by(const Napi::CallbackInfo &info, const uint8_t *data, size_t size) {
    require(info, bank_(data, size, step_ + bank_.size()));
    return close(info);
  }
  Napi::Value close(const Napi::CallbackInfo &info) {
    require(info, bank_(step_, 2 * bank_.size(), step_));
    return Napi::Boolean::New(info.Env(), std::memcmp(quoted_.data(), step_, bank_.size()) == 0);
  }

  Hash log_, bank_;
  Bytes quoted_;
  uint8_t step_[2 * EVP_MAX_MD_SIZE];  // the running value, and what it is extended by
};

}  // namespace

Napi::Function pcr_replay::define(Napi::Env env) {
  return PcrReplay::DefineClass(env, "PcrReplay", {
    PcrReplay::InstanceMethod<&PcrReplay::extend_if>("extendIf"),
    PcrReplay::InstanceMethod<&PcrReplay::extend>("extend"),
    PcrReplay::InstanceMethod<&PcrReplay::value>("value"),
  });
}
