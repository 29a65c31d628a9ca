// From JavaScript's arguments to C++ values. A wrong type is a TypeError.
#pragma once

#include <limits>
#include <tuple>
#include <utility>

#include <napi.h>

#include "commands.h"

template <class T>
T argument(const Napi::Value &value);

template <>
inline uint32_t argument(const Napi::Value &value) {
  double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  bool fits = number >= 0 && number <= std::numeric_limits<uint32_t>::max();
  if (!fits) throw Napi::TypeError::New(value.Env(), "a number of 32 bits is needed");
  return static_cast<uint32_t>(number);
}

template <>
inline uint16_t argument(const Napi::Value &value) {
  uint32_t number = argument<uint32_t>(value);
  if (number > 0xffff) throw Napi::TypeError::New(value.Env(), "a number of 16 bits is needed");
  return static_cast<uint16_t>(number);
}

template <>
inline std::string argument(const Napi::Value &value) {
  if (!value.IsString()) throw Napi::TypeError::New(value.Env(), "a string is needed");
  return value.As<Napi::String>().Utf8Value();
}

// Bytes; null and undefined are no bytes.
template <>
inline Bytes argument(const Napi::Value &value) {
  if (value.IsNull() || value.IsUndefined()) return {};
  bool is_bytes = value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array;
  if (!is_bytes) throw Napi::TypeError::New(value.Env(), "a Uint8Array is needed");
  auto array = value.As<Napi::Uint8Array>();
  return Bytes(array.Data(), array.Data() + array.ByteLength());
}

// { nameAlg, branches: Uint8Array[] }; null and undefined are password authorisation.
template <>
inline PolicyAuth argument(const Napi::Value &value) {
  PolicyAuth auth;
  if (value.IsNull() || value.IsUndefined()) return auth;
  if (!value.IsObject()) throw Napi::TypeError::New(value.Env(), "a policy object is needed");
  auto object = value.As<Napi::Object>();
  auth.name_alg = argument<uint16_t>(object.Get("nameAlg"));
  Napi::Value branches = object.Get("branches");
  if (!branches.IsArray()) return auth;
  auto list = branches.As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); i++) auth.branches.push_back(argument<Bytes>(list.Get(i)));
  return auth;
}

template <class... T, size_t... I>
std::tuple<T...> arguments(const Napi::CallbackInfo &info, std::index_sequence<I...>) {
  return std::tuple<T...>{argument<T>(info[I])...};
}
