// Keys for file signatures: a key that is used again says what a fresh one says, and only the signature that its owner made is good. The first byte chooses
// whether the rest is a key or a signature.
#include "fuzzed.h"

#include <algorithm>

#include "digest-key.h"

namespace {

const std::vector<uint8_t> kDigest(32, 7), kOther(32, 8);

View view_of(const std::vector<uint8_t> &bytes) { return {bytes.data(), bytes.size()}; }

bool fresh_verify(const std::vector<uint8_t> &spki, const std::vector<uint8_t> &digest, const std::vector<uint8_t> &signature) {
  return DigestKey(view_of(spki)).verify(view_of(digest), view_of(signature));
}

// A key, and a signature of kDigest by it.
struct Known {
  std::vector<uint8_t> spki, signature;
};

Known make_known(const char *type) {
  EVP_PKEY *key = std::string(type) == "EC" ? EVP_EC_gen("P-256") : EVP_RSA_gen(2048);
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key, nullptr);
  Known known;
  size_t size = 1024;
  known.signature.resize(size);
  demand(EVP_PKEY_sign_init(context) == 1 && EVP_PKEY_sign(context, known.signature.data(), &size, kDigest.data(), kDigest.size()) == 1, "cannot sign");
  known.signature.resize(size);
  known.spki.resize(i2d_PUBKEY(key, nullptr));
  unsigned char *at = known.spki.data();
  i2d_PUBKEY(key, &at);
  EVP_PKEY_CTX_free(context);
  EVP_PKEY_free(key);
  return known;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const Known known[] = {make_known("EC"), make_known("RSA")};
  static DigestKey keys[] = {DigestKey(view_of(known[0].spki)), DigestKey(view_of(known[1].spki))};
  if (size == 0) return 0;
  std::vector<uint8_t> rest(data + 1, data + size);
  if (data[0] < 2) {
    const Known &one = known[data[0]];
    bool good = keys[data[0]].verify(view_of(kDigest), view_of(rest));
    demand(good == fresh_verify(one.spki, kDigest, rest), "a key that is used again says something else");
    demand(!good || rest == one.signature, "a forged signature is good");
    demand(keys[data[0]].verify(view_of(kDigest), view_of(one.signature)), "the good signature is not good any more");
    demand(!keys[data[0]].verify(view_of(kOther), view_of(one.signature)), "it is good for another digest");
    return 0;
  }
  try {
    DigestKey key(view_of(rest));
    demand(!key.verify(view_of(kDigest), view_of(known[0].signature)) || rest == known[0].spki, "another key takes the signature");
  } catch (const std::invalid_argument &) {
  }
  demand(ERR_peek_error() == 0, "an error is left behind for whoever reads a key next");
  return 0;
}
