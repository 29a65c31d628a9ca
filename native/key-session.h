// Authorisation of a key under the EK for the time of one command.
#pragma once

#include "commands.h"
#include "marshal.h"

inline constexpr ESYS_TR kNone = ESYS_TR_NONE;

// A session for a key under the EK: password, or a policy session that is flushed when this goes out of scope.
class KeySession {
 public:
  KeySession(ESYS_CONTEXT *esys, const PolicyAuth &auth) : esys_(esys) {
    if (auth.name_alg == 0) return;
    TPMT_SYM_DEF symmetric{};
    symmetric.algorithm = TPM2_ALG_NULL;
    check(tss.Esys_StartAuthSession(esys, kNone, kNone, kNone, kNone, kNone, nullptr, TPM2_SE_POLICY, &symmetric,
                                    auth.name_alg, &handle_),
          "StartAuthSession");
    policy_ = true;
    try {
      satisfy(auth.branches);
    } catch (...) {
      flush();
      throw;
    }
  }
  ~KeySession() { flush(); }
  KeySession(const KeySession &) = delete;
  KeySession &operator=(const KeySession &) = delete;

  ESYS_TR handle() const { return handle_; }

 private:
  void satisfy(const std::vector<Bytes> &branches) {
    check(tss.Esys_TRSess_SetAttributes(esys_, handle_, TPMA_SESSION_CONTINUESESSION, 0xff), "TRSess_SetAttributes");
    check(tss.Esys_PolicySecret(esys_, ESYS_TR_RH_ENDORSEMENT, handle_, ESYS_TR_PASSWORD, kNone, kNone, nullptr,
                                nullptr, nullptr, 0, nullptr, nullptr),
          "PolicySecret");
    if (branches.empty()) return;
    TPML_DIGEST list{};
    if (branches.size() > std::size(list.digests)) throw TpmError{TSS2_MU_RC_BAD_SIZE, "PolicyOR", "too many branches"};
    for (const Bytes &branch : branches) list.digests[list.count++] = sized_buffer<TPM2B_DIGEST>(branch, "PolicyOR");
    check(tss.Esys_PolicyOR(esys_, handle_, kNone, kNone, kNone, &list), "PolicyOR");
  }

  void flush() {
    if (policy_) tss.Esys_FlushContext(esys_, handle_);
    policy_ = false;
  }

  ESYS_CONTEXT *esys_;
  ESYS_TR handle_ = ESYS_TR_PASSWORD;
  bool policy_ = false;
};
