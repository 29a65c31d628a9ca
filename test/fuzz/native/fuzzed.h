// What the harnesses of the addon's parts have in common: libFuzzer calls LLVMFuzzerTestOneInput, and a broken promise ends the process.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

inline void demand(bool holds, const char *otherwise) {
  if (holds) return;
  std::fprintf(stderr, "Uncaught Exception: %s\n", otherwise);
  std::abort();
}

// VECTORS is test/vectors, told by the compiler's command line.
inline std::vector<uint8_t> vector_file(const std::string &name) {
  std::ifstream file(std::string(VECTORS) + "/" + name, std::ios::binary);
  demand(file.good(), name.c_str());
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}
