// Replays a PCR over an IMA log: the three hashes of an entry, without an object in between. What is hashed is decided in TypeScript.
#pragma once
#include <napi.h>

namespace pcr_replay {
Napi::Function define(Napi::Env env);
}
