// Between bytes and the structures of libtss2.
#pragma once

#include <cstring>
#include <memory>

#include "engine.h"

struct EsysFree {
  void operator()(void *memory) const { tss.Esys_Free(memory); }
};

// Owner of what an ESYS call allocated.
template <class T>
using Owned = std::unique_ptr<T, EsysFree>;

inline Bytes bytes_of(const void *data, size_t size) {
  auto *at = static_cast<const uint8_t *>(data);
  return Bytes(at, at + size);
}

template <class T, class Marshal>
Bytes marshal(const T *value, Marshal function, const char *op) {
  Bytes bytes(sizeof(T) + 64);
  size_t size = 0;
  check(function(value, bytes.data(), bytes.size(), &size), op);
  bytes.resize(size);
  return bytes;
}

// Exact: trailing bytes are an error.
template <class T, class Unmarshal>
T unmarshal(const Bytes &bytes, Unmarshal function, const char *op) {
  T value{};
  size_t size = 0;
  check(function(bytes.data(), bytes.size(), &size, &value), op);
  if (size != bytes.size()) throw TpmError{TSS2_MU_RC_BAD_SIZE, op, "trailing bytes"};
  return value;
}

#define MARSHAL(type, value) marshal(value, tss.Tss2_MU_##type##_Marshal, "marshal " #type)
#define UNMARSHAL(type, bytes) unmarshal<type>(bytes, tss.Tss2_MU_##type##_Unmarshal, "unmarshal " #type)

// Any TPM2B whose second member is its bytes.
template <class T>
T sized_buffer(const Bytes &bytes, const char *op) {
  T value{};
  if (bytes.size() > sizeof(T) - sizeof(UINT16)) throw TpmError{TSS2_MU_RC_BAD_SIZE, op, "parameter too long"};
  value.size = static_cast<UINT16>(bytes.size());
  if (!bytes.empty()) memcpy(reinterpret_cast<uint8_t *>(&value) + sizeof(UINT16), bytes.data(), bytes.size());
  return value;
}
