// What the harnesses of the addon's parts have in common: libFuzzer calls LLVMFuzzerTestOneInput, and a broken promise ends the process.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

inline void demand(bool holds, const char *otherwise) {
  if (holds) return;
  std::fprintf(stderr, "Uncaught Exception: %s\n", otherwise);
  std::abort();
}
