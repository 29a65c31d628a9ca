#include "commands.h"

#include <algorithm>

#include "key-session.h"
#include "marshal.h"

namespace {

ESYS_TR hierarchy_of(uint32_t handle) {
  switch (handle) {
    case TPM2_RH_OWNER: return ESYS_TR_RH_OWNER;
    case TPM2_RH_ENDORSEMENT: return ESYS_TR_RH_ENDORSEMENT;
    case TPM2_RH_NULL: return ESYS_TR_RH_NULL;
    default: throw TpmError{TSS2_ESYS_RC_BAD_VALUE, "hierarchy", "owner, endorsement and null are supported"};
  }
}

TPM2B_SENSITIVE_CREATE sensitive_of(const Bytes &bytes) {
  return bytes.empty() ? TPM2B_SENSITIVE_CREATE{} : UNMARSHAL(TPM2B_SENSITIVE_CREATE, bytes);
}

TPMT_SIG_SCHEME scheme_of(const Bytes &bytes) {
  TPMT_SIG_SCHEME scheme{};
  scheme.scheme = TPM2_ALG_NULL;
  return bytes.empty() ? scheme : UNMARSHAL(TPMT_SIG_SCHEME, bytes);
}

Result attestation(const TPM2B_ATTEST *attest, const TPMT_SIGNATURE *signature) {
  Bytes signed_bytes = bytes_of(attest->attestationData, attest->size);
  return {{}, {{"attest", signed_bytes}, {"signature", MARSHAL(TPMT_SIGNATURE, signature)}}};
}

// Closes the context's own record of a persistent object or NV index, which is not in the TPM.
struct Record {
  ESYS_CONTEXT *esys;
  ESYS_TR handle = kNone;
  ~Record() {
    if (handle != kNone) tss.Esys_TR_Close(esys, &handle);
  }
};

// Handles of loaded objects or sessions, at most `TPM2_MAX_CAP_HANDLES`: what a crashed client left behind.
std::vector<TPM2_HANDLE> handles_from(ESYS_CONTEXT *esys, TPM2_HANDLE first) {
  TPMI_YES_NO more;
  TPMS_CAPABILITY_DATA *data = nullptr;
  check(tss.Esys_GetCapability(esys, kNone, kNone, kNone, TPM2_CAP_HANDLES, first, TPM2_MAX_CAP_HANDLES, &more, &data),
        "GetCapability");
  Owned<TPMS_CAPABILITY_DATA> owner(data);
  const TPML_HANDLE &list = data->data.handles;
  return std::vector<TPM2_HANDLE>(list.handle, list.handle + list.count);
}

}  // namespace

namespace commands {

Result startup(Connection &tpm, uint16_t type) {
  TSS2_RC rc = tss.Esys_Startup(tpm.esys(), type);
  if (rc != TPM2_RC_INITIALIZE) check(rc, "Startup");  // INITIALIZE: it had been started
  return {};
}

Result get_capability(Connection &tpm, uint32_t capability, uint32_t property, uint32_t count) {
  TPMI_YES_NO more;
  TPMS_CAPABILITY_DATA *data = nullptr;
  check(tss.Esys_GetCapability(tpm.esys(), kNone, kNone, kNone, capability, property, count, &more, &data),
        "GetCapability");
  Owned<TPMS_CAPABILITY_DATA> owner(data);
  return {{}, {{"more", more == TPM2_YES}, {"data", MARSHAL(TPMS_CAPABILITY_DATA, data)}}};
}

Result get_random(Connection &tpm, uint16_t count) {
  TPM2B_DIGEST *random = nullptr;
  check(tss.Esys_GetRandom(tpm.esys(), kNone, kNone, kNone, count, &random), "GetRandom");
  Owned<TPM2B_DIGEST> owner(random);
  return {bytes_of(random->buffer, random->size), {}};
}

Result create_primary(Connection &tpm, uint32_t hierarchy, const Bytes &public_area, const Bytes &sensitive) {
  auto in = UNMARSHAL(TPM2B_PUBLIC, public_area);
  auto secret = sensitive_of(sensitive);
  TPM2B_DATA outside{};
  TPML_PCR_SELECTION pcrs{};
  ESYS_TR handle = kNone;
  TPM2B_PUBLIC *out = nullptr;
  check(tss.Esys_CreatePrimary(tpm.esys(), hierarchy_of(hierarchy), ESYS_TR_PASSWORD, kNone, kNone, &secret, &in,
                               &outside, &pcrs, &handle, &out, nullptr, nullptr, nullptr),
        "CreatePrimary");
  Owned<TPM2B_PUBLIC> owner(out);
  return {{}, {{"handle", handle}, {"public", MARSHAL(TPM2B_PUBLIC, out)}}};
}

Result create(Connection &tpm, ESYS_TR parent, const Bytes &public_area, const Bytes &sensitive,
              const PolicyAuth &auth) {
  auto in = UNMARSHAL(TPM2B_PUBLIC, public_area);
  auto secret = sensitive_of(sensitive);
  TPM2B_DATA outside{};
  TPML_PCR_SELECTION pcrs{};
  TPM2B_PUBLIC *out = nullptr;
  TPM2B_PRIVATE *wrapped = nullptr;
  KeySession session(tpm.esys(), auth);
  check(tss.Esys_Create(tpm.esys(), parent, session.handle(), kNone, kNone, &secret, &in, &outside, &pcrs, &wrapped,
                        &out, nullptr, nullptr, nullptr),
        "Create");
  Owned<TPM2B_PUBLIC> owner(out);
  Owned<TPM2B_PRIVATE> wrapped_owner(wrapped);
  return {{}, {{"public", MARSHAL(TPM2B_PUBLIC, out)}, {"private", MARSHAL(TPM2B_PRIVATE, wrapped)}}};
}

Result load(Connection &tpm, ESYS_TR parent, const Bytes &public_area, const Bytes &private_area,
            const PolicyAuth &auth) {
  auto in = UNMARSHAL(TPM2B_PUBLIC, public_area);
  auto wrapped = UNMARSHAL(TPM2B_PRIVATE, private_area);
  ESYS_TR handle = kNone;
  KeySession session(tpm.esys(), auth);
  check(tss.Esys_Load(tpm.esys(), parent, session.handle(), kNone, kNone, &wrapped, &in, &handle), "Load");
  return {handle, {}};
}

Result read_public(Connection &tpm, ESYS_TR handle) {
  TPM2B_PUBLIC *area = nullptr;
  TPM2B_NAME *name = nullptr, *qualified = nullptr;
  check(tss.Esys_ReadPublic(tpm.esys(), handle, kNone, kNone, kNone, &area, &name, &qualified), "ReadPublic");
  Owned<TPM2B_PUBLIC> owner(area);
  Owned<TPM2B_NAME> name_owner(name), qualified_owner(qualified);
  return {{}, {{"public", MARSHAL(TPM2B_PUBLIC, area)}, {"name", bytes_of(name->name, name->size)}}};
}

Result from_tpm_handle(Connection &tpm, TPM2_HANDLE handle) {
  ESYS_TR object = kNone;
  check(tss.Esys_TR_FromTPMPublic(tpm.esys(), handle, kNone, kNone, kNone, &object), "TR_FromTPMPublic");
  return {object, {}};
}

Result close_handle(Connection &tpm, ESYS_TR handle) {
  check(tss.Esys_TR_Close(tpm.esys(), &handle), "TR_Close");
  return {};
}

Result set_auth(Connection &tpm, ESYS_TR handle, const Bytes &auth) {
  auto value = sized_buffer<TPM2B_AUTH>(auth, "TR_SetAuth");
  check(tss.Esys_TR_SetAuth(tpm.esys(), handle, &value), "TR_SetAuth");
  return {};
}

Result set_hierarchy_auth(Connection &tpm, uint32_t hierarchy, const Bytes &auth) {
  tpm.set_hierarchy_auth(hierarchy_of(hierarchy), auth);
  return {};
}

Result flush(Connection &tpm, ESYS_TR handle) {
  check(tss.Esys_FlushContext(tpm.esys(), handle), "FlushContext");
  return {};
}

// Only on a transport without a resource manager: clients see each other's objects there, and three slots are all.
Result flush_leaked(Connection &tpm) {
  if (tpm.has_resource_manager()) return {uint32_t{0}, {}};
  uint32_t flushed = 0;
  for (TPM2_HANDLE first : {TPM2_TRANSIENT_FIRST, TPM2_LOADED_SESSION_FIRST}) {
    for (TPM2_HANDLE handle : handles_from(tpm.esys(), first)) {
      tpm.flush_raw(handle);
      flushed++;
    }
  }
  return {flushed, {}};
}

Result evict_control(Connection &tpm, ESYS_TR object, TPM2_HANDLE persistent) {
  Record record{tpm.esys()};
  check(tss.Esys_EvictControl(tpm.esys(), ESYS_TR_RH_OWNER, object, ESYS_TR_PASSWORD, kNone, kNone, persistent,
                              &record.handle),
        "EvictControl");
  return {};
}

Result activate_credential(Connection &tpm, ESYS_TR key, ESYS_TR ek, const Bytes &id_object, const Bytes &secret,
                           const PolicyAuth &auth) {
  auto blob = sized_buffer<TPM2B_ID_OBJECT>(id_object, "ActivateCredential");
  auto encrypted = sized_buffer<TPM2B_ENCRYPTED_SECRET>(secret, "ActivateCredential");
  TPM2B_DIGEST *recovered = nullptr;
  KeySession session(tpm.esys(), auth);
  check(tss.Esys_ActivateCredential(tpm.esys(), key, ek, ESYS_TR_PASSWORD, session.handle(), kNone, &blob, &encrypted,
                                    &recovered),
        "ActivateCredential");
  Owned<TPM2B_DIGEST> owner(recovered);
  return {bytes_of(recovered->buffer, recovered->size), {}};
}

Result pcr_read(Connection &tpm, const Bytes &selection) {
  auto in = UNMARSHAL(TPML_PCR_SELECTION, selection);
  UINT32 counter = 0;
  TPML_PCR_SELECTION *out = nullptr;
  TPML_DIGEST *values = nullptr;
  check(tss.Esys_PCR_Read(tpm.esys(), kNone, kNone, kNone, &in, &counter, &out, &values), "PCR_Read");
  Owned<TPML_PCR_SELECTION> owner(out);
  Owned<TPML_DIGEST> values_owner(values);
  return {{},
          {{"counter", counter},
           {"selection", MARSHAL(TPML_PCR_SELECTION, out)},
           {"digests", MARSHAL(TPML_DIGEST, values)}}};
}

Result pcr_extend(Connection &tpm, uint32_t pcr, const Bytes &digest_values) {
  auto values = UNMARSHAL(TPML_DIGEST_VALUES, digest_values);
  check(tss.Esys_PCR_Extend(tpm.esys(), ESYS_TR_PCR0 + pcr, ESYS_TR_PASSWORD, kNone, kNone, &values), "PCR_Extend");
  return {};
}

Result pcr_reset(Connection &tpm, uint32_t pcr) {
  check(tss.Esys_PCR_Reset(tpm.esys(), ESYS_TR_PCR0 + pcr, ESYS_TR_PASSWORD, kNone, kNone), "PCR_Reset");
  return {};
}

Result quote(Connection &tpm, ESYS_TR key, const Bytes &qualifying_data, const Bytes &selection, const Bytes &scheme) {
  auto data = sized_buffer<TPM2B_DATA>(qualifying_data, "Quote");
  auto pcrs = UNMARSHAL(TPML_PCR_SELECTION, selection);
  auto how = scheme_of(scheme);
  TPM2B_ATTEST *attest = nullptr;
  TPMT_SIGNATURE *signature = nullptr;
  check(tss.Esys_Quote(tpm.esys(), key, ESYS_TR_PASSWORD, kNone, kNone, &data, &how, &pcrs, &attest, &signature),
        "Quote");
  Owned<TPM2B_ATTEST> owner(attest);
  Owned<TPMT_SIGNATURE> signature_owner(signature);
  return attestation(attest, signature);
}

Result certify(Connection &tpm, ESYS_TR object, ESYS_TR signer, const Bytes &qualifying_data, const Bytes &scheme) {
  auto data = sized_buffer<TPM2B_DATA>(qualifying_data, "Certify");
  auto how = scheme_of(scheme);
  TPM2B_ATTEST *attest = nullptr;
  TPMT_SIGNATURE *signature = nullptr;
  check(tss.Esys_Certify(tpm.esys(), object, signer, ESYS_TR_PASSWORD, ESYS_TR_PASSWORD, kNone, &data, &how, &attest,
                         &signature),
        "Certify");
  Owned<TPM2B_ATTEST> owner(attest);
  Owned<TPMT_SIGNATURE> signature_owner(signature);
  return attestation(attest, signature);
}

Result nv_read(Connection &tpm, TPM2_HANDLE index) {
  ESYS_CONTEXT *esys = tpm.esys();
  Record nv{esys};
  check(tss.Esys_TR_FromTPMPublic(esys, index, kNone, kNone, kNone, &nv.handle), "NV_ReadPublic");
  TPM2B_NV_PUBLIC *area = nullptr;
  TPM2B_NAME *name = nullptr;
  check(tss.Esys_NV_ReadPublic(esys, nv.handle, kNone, kNone, kNone, &area, &name), "NV_ReadPublic");
  Owned<TPM2B_NV_PUBLIC> owner(area);
  Owned<TPM2B_NAME> name_owner(name);
  size_t size = area->nvPublic.dataSize;
  bool by_index = area->nvPublic.attributes & TPMA_NV_AUTHREAD;
  bool by_owner = !by_index && (area->nvPublic.attributes & TPMA_NV_OWNERREAD);
  Bytes bytes;
  while (bytes.size() < size) {
    auto count = static_cast<UINT16>(std::min<size_t>(512, size - bytes.size()));
    TPM2B_MAX_NV_BUFFER *part = nullptr;
    check(tss.Esys_NV_Read(esys, by_owner ? ESYS_TR_RH_OWNER : nv.handle, nv.handle, ESYS_TR_PASSWORD, kNone, kNone,
                           count, static_cast<UINT16>(bytes.size()), &part),
          "NV_Read");
    Owned<TPM2B_MAX_NV_BUFFER> part_owner(part);
    if (part->size == 0) break;
    bytes.insert(bytes.end(), part->buffer, part->buffer + part->size);
  }
  return {bytes, {}};
}

Result unseal(Connection &tpm, ESYS_TR handle) {
  TPM2B_SENSITIVE_DATA *data = nullptr;
  check(tss.Esys_Unseal(tpm.esys(), handle, ESYS_TR_PASSWORD, kNone, kNone, &data), "Unseal");
  Owned<TPM2B_SENSITIVE_DATA> owner(data);
  return {bytes_of(data->buffer, data->size), {}};
}

Result context_save(Connection &tpm, ESYS_TR handle) {
  TPMS_CONTEXT *context = nullptr;
  check(tss.Esys_ContextSave(tpm.esys(), handle, &context), "ContextSave");
  Owned<TPMS_CONTEXT> owner(context);
  return {MARSHAL(TPMS_CONTEXT, context), {}};
}

Result context_load(Connection &tpm, const Bytes &bytes) {
  auto context = UNMARSHAL(TPMS_CONTEXT, bytes);
  ESYS_TR handle = kNone;
  check(tss.Esys_ContextLoad(tpm.esys(), &context, &handle), "ContextLoad");
  return {handle, {}};
}

}  // namespace commands
