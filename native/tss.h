// The functions of libtss2 that we call, in a table that tss-loader.cc fills: nothing is linked against libtss2.
#pragma once

#include <string>

#include <tss2/tss2_esys.h>
#include <tss2/tss2_mu.h>
#include <tss2/tss2_rc.h>

#define TSS_ESYS(X)                                                                                      \
  X(Esys_Initialize) X(Esys_Finalize) X(Esys_Free) X(Esys_Startup) X(Esys_GetCapability)                 \
  X(Esys_GetRandom) X(Esys_CreatePrimary) X(Esys_Create) X(Esys_Load) X(Esys_ReadPublic)                 \
  X(Esys_FlushContext) X(Esys_StartAuthSession) X(Esys_PolicySecret) X(Esys_PolicyOR)                    \
  X(Esys_TRSess_SetAttributes) X(Esys_ActivateCredential) X(Esys_PCR_Read) X(Esys_PCR_Extend)            \
  X(Esys_PCR_Reset) X(Esys_Quote) X(Esys_Certify) X(Esys_NV_ReadPublic) X(Esys_NV_Read)                  \
  X(Esys_TR_FromTPMPublic) X(Esys_TR_Close) X(Esys_TR_SetAuth) X(Esys_Unseal) X(Esys_ContextSave)        \
  X(Esys_ContextLoad) X(Esys_EvictControl)

#define TSS_MU(X)                                                                                        \
  X(Tss2_MU_TPM2B_PUBLIC_Unmarshal) X(Tss2_MU_TPM2B_PUBLIC_Marshal)                                      \
  X(Tss2_MU_TPM2B_PRIVATE_Unmarshal) X(Tss2_MU_TPM2B_PRIVATE_Marshal)                                    \
  X(Tss2_MU_TPM2B_SENSITIVE_CREATE_Unmarshal) X(Tss2_MU_TPMS_CAPABILITY_DATA_Marshal)                    \
  X(Tss2_MU_TPML_PCR_SELECTION_Unmarshal) X(Tss2_MU_TPML_PCR_SELECTION_Marshal)                          \
  X(Tss2_MU_TPML_DIGEST_Marshal) X(Tss2_MU_TPML_DIGEST_VALUES_Unmarshal)                                 \
  X(Tss2_MU_TPMT_SIGNATURE_Marshal) X(Tss2_MU_TPMT_SIG_SCHEME_Unmarshal)                                 \
  X(Tss2_MU_TPMS_CONTEXT_Marshal) X(Tss2_MU_TPMS_CONTEXT_Unmarshal)

#define TSS_RC(X) X(Tss2_RC_Decode)

struct Tss {
#define TSS_MEMBER(f) decltype(&::f) f;
  TSS_ESYS(TSS_MEMBER) TSS_MU(TSS_MEMBER) TSS_RC(TSS_MEMBER)
#undef TSS_MEMBER
};

extern Tss tss;

// Loads the embedded libraries, once a process. Returns the empty string, or what failed. Comes before any other use.
const std::string &load_tss();
