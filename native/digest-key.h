// A public key that verifies signatures of digests. Knows nothing of JavaScript: it is fuzzed by itself.
#pragma once

#include <memory>
#include <stdexcept>

#include <openssl/err.h>  // of the OpenSSL that the node executable exports
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "view.h"

class DigestKey {
 public:
  // Of a SubjectPublicKeyInfo, DER: an RSA or EC key. Throws std::invalid_argument for anything else.
  explicit DigestKey(View spki) {
    ErrorQueue queue;
    const unsigned char *at = spki.data;
    key_.reset(d2i_PUBKEY(nullptr, &at, static_cast<long>(spki.size)));
    if (!key_ || at != spki.data + spki.size) throw std::invalid_argument("these bytes are no public key");
    bool is_rsa = EVP_PKEY_is_a(key_.get(), "RSA") == 1;
    if (!is_rsa && EVP_PKEY_is_a(key_.get(), "EC") != 1) throw std::invalid_argument("the key is neither RSA nor EC");
    context_.reset(EVP_PKEY_CTX_new(key_.get(), nullptr));
    // Without a hash OpenSSL takes what is signed as it is: the digest, for RSA in its DigestInfo.
    bool ready = context_ && EVP_PKEY_verify_init(context_.get()) == 1 &&
                 (!is_rsa || EVP_PKEY_CTX_set_rsa_padding(context_.get(), RSA_PKCS1_PADDING) == 1);
    if (!ready) throw std::runtime_error("the key cannot verify");
  }

  bool verify(View digest, View signature) {
    ErrorQueue queue;
    return EVP_PKEY_verify(context_.get(), signature.data, signature.size, digest.data, digest.size) == 1;
  }

 private:
  // An error that is left in the queue makes node refuse an unrelated key later on.
  struct ErrorQueue {
    ~ErrorQueue() { ERR_clear_error(); }
  };
  struct Free {
    void operator()(EVP_PKEY *key) const { EVP_PKEY_free(key); }
    void operator()(EVP_PKEY_CTX *context) const { EVP_PKEY_CTX_free(context); }
  };
  std::unique_ptr<EVP_PKEY, Free> key_;
  std::unique_ptr<EVP_PKEY_CTX, Free> context_;
};
