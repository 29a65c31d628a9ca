#include "digest-verifier.h"

#include <memory>
#include <utility>

#include <openssl/err.h>  // of the OpenSSL that the node executable exports
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "arguments.h"

namespace {

// An error that is left in the queue makes node refuse an unrelated key later on.
struct ErrorQueue {
  ~ErrorQueue() { ERR_clear_error(); }
};

class DigestVerifier : public Napi::ObjectWrap<DigestVerifier> {
 public:
  // (SubjectPublicKeyInfo, DER): an RSA or EC key.
  explicit DigestVerifier(const Napi::CallbackInfo &info) : Napi::ObjectWrap<DigestVerifier>(info) {
    ErrorQueue queue;
    Bytes spki = argument<Bytes>(info[0]);
    const unsigned char *at = spki.data();
    key_.reset(d2i_PUBKEY(nullptr, &at, static_cast<long>(spki.size())));
    if (!key_ || at != spki.data() + spki.size()) throw Napi::TypeError::New(info.Env(), "these bytes are no public key");
    bool is_rsa = EVP_PKEY_is_a(key_.get(), "RSA") == 1;
    if (!is_rsa && EVP_PKEY_is_a(key_.get(), "EC") != 1) throw Napi::TypeError::New(info.Env(), "the key is neither RSA nor EC");
    context_.reset(EVP_PKEY_CTX_new(key_.get(), nullptr));
    // Without a hash OpenSSL takes what is signed as it is: the digest, for RSA in its DigestInfo.
    bool ready = context_ && EVP_PKEY_verify_init(context_.get()) == 1 &&
                 (!is_rsa || EVP_PKEY_CTX_set_rsa_padding(context_.get(), RSA_PKCS1_PADDING) == 1);
    if (!ready) throw Napi::Error::New(info.Env(), "the key cannot verify");
  }

  // (what is signed, signature): whether it is good.
  Napi::Value verify(const Napi::CallbackInfo &info) {
    ErrorQueue queue;
    auto [data, size] = view(info[0]);
    auto [signature, length] = view(info[1]);
    return Napi::Boolean::New(info.Env(), EVP_PKEY_verify(context_.get(), signature, length, data, size) == 1);
  }

 private:
  // An argument's memory: `argument` would copy it.
  static std::pair<const uint8_t *, size_t> view(const Napi::Value &value) {
    if (!value.IsTypedArray()) throw Napi::TypeError::New(value.Env(), "a Uint8Array is needed");
    auto array = value.As<Napi::Uint8Array>();
    return {array.Data(), array.ByteLength()};
  }
  struct Free {
    void operator()(EVP_PKEY *key) const { EVP_PKEY_free(key); }
    void operator()(EVP_PKEY_CTX *context) const { EVP_PKEY_CTX_free(context); }
  };
  std::unique_ptr<EVP_PKEY, Free> key_;
  std::unique_ptr<EVP_PKEY_CTX, Free> context_;
};

}  // namespace

Napi::Function digest_verifier::define(Napi::Env env) {
  return DigestVerifier::DefineClass(env, "DigestVerifier", {DigestVerifier::InstanceMethod<&DigestVerifier::verify>("verify")});
}
