#include "digest-verifier.h"

#include <memory>

#include "arguments.h"
#include "digest-key.h"

namespace {

class DigestVerifier : public Napi::ObjectWrap<DigestVerifier> {
 public:
  // (SubjectPublicKeyInfo, DER): an RSA or EC key.
  explicit DigestVerifier(const Napi::CallbackInfo &info) : Napi::ObjectWrap<DigestVerifier>(info) {
    Bytes spki = argument<Bytes>(info[0]);
    try {
      key_ = std::make_unique<DigestKey>(View{spki.data(), spki.size()});
    } catch (const std::invalid_argument &error) {
      throw Napi::TypeError::New(info.Env(), error.what());
    } catch (const std::runtime_error &error) {
      throw Napi::Error::New(info.Env(), error.what());
    }
  }

  // (what is signed, signature): whether it is good.
  Napi::Value verify(const Napi::CallbackInfo &info) {
    View digest = view(info[0]), signature = view(info[1]);
    return Napi::Boolean::New(info.Env(), key_->verify(digest, signature));
  }

 private:
  // An argument's memory: `argument` would copy it.
  static View view(const Napi::Value &value) {
    if (!value.IsTypedArray()) throw Napi::TypeError::New(value.Env(), "a Uint8Array is needed");
    auto array = value.As<Napi::Uint8Array>();
    return {array.Data(), array.ByteLength()};
  }

  std::unique_ptr<DigestKey> key_;
};

}  // namespace

Napi::Function digest_verifier::define(Napi::Env env) {
  return DigestVerifier::DefineClass(env, "DigestVerifier", {DigestVerifier::InstanceMethod<&DigestVerifier::verify>("verify")});
}
