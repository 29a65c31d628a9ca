// Bytes that somebody else owns.
#pragma once

#include <cstddef>
#include <cstdint>

struct View {
  const uint8_t *data;
  size_t size;
};
