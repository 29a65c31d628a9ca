// The replay of a PCR against the plainest one: a chain of whole hashes. The first two bytes choose the algorithms; then come pieces, each with its length before it.
#include "fuzzed.h"

#include <cstring>

#include "replayed-pcr.h"

namespace {

const char *const kNames[] = {"sha1", "sha256", "sha384", "sha512"};

std::vector<uint8_t> plain_hash(const std::string &name, const std::vector<uint8_t> &bytes) {
  std::vector<uint8_t> out(EVP_MAX_MD_SIZE);
  unsigned size = 0;
  demand(EVP_Digest(bytes.data(), bytes.size(), out.data(), &size, EVP_get_digestbyname(name.c_str()), nullptr) == 1, "OpenSSL has no hash");
  out.resize(size);
  return out;
}

std::string hex(const std::vector<uint8_t> &bytes) {
  std::string text;
  for (uint8_t byte : bytes) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", byte);
    text += digits;
  }
  return text;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 3) return 0;
  std::string log = kNames[data[0] & 3], bank = kNames[data[1] & 3];
  size_t bank_size = plain_hash(bank, {}).size();
  std::vector<uint8_t> running(bank_size, data[2]), quoted(bank_size, data[2]);
  ReplayedPcr pcr(log, bank, {running.data(), running.size()}, {quoted.data(), quoted.size()});
  for (size_t at = 3; at < size;) {
    size_t length = std::min<size_t>(data[at], size - at - 1);
    std::vector<uint8_t> piece(data + at + 1, data + at + 1 + length);  // of its own, so that a byte too many is seen
    bool is_violation = data[at] == 255;
    at += 1 + length;
    View view{piece.data(), piece.size()};
    std::string column = hex(plain_hash(log, piece));
    demand(pcr.is_hash_of(view, column), "a hash is not known again");
    demand(!pcr.is_hash_of(view, column.substr(1)) && !pcr.is_hash_of(view, column + "0"), "a hash of another length is taken");
    column[length % column.size()] ^= 1;
    demand(!pcr.is_hash_of(view, column), "another hash is taken");
    demand(!pcr.is_hash_of(view, std::string(piece.begin(), piece.end())) || piece.empty(), "bytes are taken for their hash");
    std::vector<uint8_t> digest = is_violation ? std::vector<uint8_t>(bank_size, 0xff) : plain_hash(bank, piece);
    running.insert(running.end(), digest.begin(), digest.end());
    running = plain_hash(bank, running);
    bool is_there = is_violation ? pcr.extend_by_violation() : pcr.extend(view);
    demand(is_there == (running == quoted), "the quoted value is seen where it is not");
    demand(std::memcmp(pcr.value().data, running.data(), bank_size) == 0, "the PCR has another value");
  }
  return 0;
}
