// A PCR over an IMA log. Knows nothing of JavaScript: it is fuzzed by itself.
#pragma once

#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include <openssl/evp.h>  // of the OpenSSL that the node executable exports

#include "view.h"

// One hash algorithm, fetched once.
class Hash {
 public:
  explicit Hash(const std::string &name)
      : algorithm_(EVP_MD_fetch(nullptr, name.c_str(), nullptr)), context_(EVP_MD_CTX_new()) {
    if (!algorithm_ || !context_) throw std::runtime_error("the hash algorithm " + name + " is not available");
    size_ = static_cast<size_t>(EVP_MD_get_size(algorithm_.get()));
  }
  size_t size() const { return size_; }
  void operator()(View bytes, uint8_t *out) {
    bool done = EVP_DigestInit_ex2(context_.get(), algorithm_.get(), nullptr) == 1 &&
                EVP_DigestUpdate(context_.get(), bytes.data, bytes.size) == 1 &&
                EVP_DigestFinal_ex(context_.get(), out, nullptr) == 1;
    if (!done) throw std::runtime_error("the hash cannot be computed");
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

class ReplayedPcr {
 public:
  // Longest text that `is_hash_of` takes.
  static constexpr size_t kMaxColumn = 2 * EVP_MAX_MD_SIZE;

  // Throws std::invalid_argument for values of another size than the bank.
  ReplayedPcr(const std::string &log, const std::string &bank, View start, View quoted) : log_(log), bank_(bank) {
    bool fits = start.size == bank_.size() && quoted.size == bank_.size();
    if (!fits) throw std::invalid_argument("the PCR has another size than its bank");
    std::memcpy(step_, start.data, start.size);
    std::memcpy(quoted_, quoted.data, quoted.size);
  }

  // Whether `column` is the log's hash of `data` in lower-case hex.
  bool is_hash_of(View data, std::string_view column) {
    static const char digits[] = "0123456789abcdef";
    if (column.size() != 2 * log_.size()) return false;
    uint8_t digest[EVP_MAX_MD_SIZE];
    log_(data, digest);
    for (size_t i = 0; i < log_.size(); i++)
      if (column[2 * i] != digits[digest[i] >> 4] || column[2 * i + 1] != digits[digest[i] & 15]) return false;
    return true;
  }

  // By template data; returns whether the PCR has the quoted value then.
  bool extend(View data) {
    bank_(data, step_ + bank_.size());
    return close();
  }
  // The same by a violation, which extends ones.
  bool extend_by_violation() {
    std::memset(step_ + bank_.size(), 0xff, bank_.size());
    return close();
  }

  View value() const { return {step_, bank_.size()}; }

 private:
  bool close() {
    bank_({step_, 2 * bank_.size()}, step_);
    return std::memcmp(quoted_, step_, bank_.size()) == 0;
  }

  Hash log_, bank_;
  uint8_t quoted_[EVP_MAX_MD_SIZE];
  uint8_t step_[2 * EVP_MAX_MD_SIZE];  // the running value, and what it is extended by
};
