// Verifies signatures over digests that somebody else computed, by one public key. What is signed is decided in TypeScript.
#pragma once
#include <napi.h>

namespace digest_verifier {
Napi::Function define(Napi::Env env);
}
