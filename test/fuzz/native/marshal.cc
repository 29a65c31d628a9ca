// Structures between JavaScript and libtss2: what is taken is the same when it is written again, to the last byte. The first byte chooses the structure.
#include "fuzzed.h"

#include "marshal.h"

Tss tss;

namespace {

#define LINKED(f) tss.f = ::f;
const bool kLinked = [] { TSS_MU(LINKED) return true; }();
#undef LINKED

// The addon's own answer to bytes that are no such structure.
template <class F>
bool taken(F read) {
  try {
    read();
    return true;
  } catch (const TpmError &error) {
    demand(error.rc != TSS2_RC_SUCCESS && !error.op.empty(), "it is refused without a reason");
    return false;
  }
}

// libtss2 reads a TPM2B_PUBLIC whatever its size field says, and takes an empty one, which has no type and so no form; a TPM looks at both.
const Bytes kEmpty = {0, 0};
Bytes content_of(Bytes bytes, bool has_size) {
  if (has_size) bytes[0] = bytes[1] = 0;
  return bytes;
}

#define ROUND_TRIP(type, has_size)                                                             \
  {                                                                                   \
    type value{};                                                                     \
    if (bytes == kEmpty) return 0;                                                    \
    if (!taken([&] { value = UNMARSHAL(type, bytes); })) return 0;                    \
    Bytes again = MARSHAL(type, &value);                                              \
    type second = UNMARSHAL(type, again);                                             \
    demand(MARSHAL(type, &second) == again, "written again, " #type " is another");   \
    demand(content_of(again, has_size) == content_of(bytes, has_size), #type " is written in another form than it came");         \
    return 0;                                                                         \
  }

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  demand(kLinked, "libtss2 is not linked");
  if (size == 0) return 0;
  Bytes bytes(data + 1, data + size);
  switch (data[0] % 9) {
    case 0: ROUND_TRIP(TPM2B_PUBLIC, true)
    case 1: ROUND_TRIP(TPM2B_PRIVATE, false)
    case 2: ROUND_TRIP(TPML_PCR_SELECTION, false)
    case 3: ROUND_TRIP(TPMS_CONTEXT, false)
    case 4: taken([&] { UNMARSHAL(TPM2B_SENSITIVE_CREATE, bytes); }); return 0;
    case 5: taken([&] { UNMARSHAL(TPML_DIGEST_VALUES, bytes); }); return 0;
    case 6: taken([&] { UNMARSHAL(TPMT_SIG_SCHEME, bytes); }); return 0;
    case 7: {
      TPM2B_DIGEST digest{};
      if (taken([&] { digest = sized_buffer<TPM2B_DIGEST>(bytes, "digest"); }))
        demand(bytes_of(digest.buffer, digest.size) == bytes, "a digest is another");
      else
        demand(bytes.size() > sizeof digest.buffer, "a digest that fits is refused");
      return 0;
    }
    default: {
      TPM2B_DATA value{};
      if (taken([&] { value = sized_buffer<TPM2B_DATA>(bytes, "data"); })) demand(bytes_of(value.buffer, value.size) == bytes, "data are others");
      return 0;
    }
  }
}
