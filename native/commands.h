// One function for each TPM command, from marshalled bytes to marshalled bytes. What they mean is checked in TypeScript.
#pragma once

#include "engine.h"

// How a key under the EK is authorised: by a policy session of `name_alg` with PolicySecret(endorsement), then PolicyOR
// over `branches` when there are any. Without `name_alg`: by its password.
struct PolicyAuth {
  TPMI_ALG_HASH name_alg = 0;
  std::vector<Bytes> branches;
};

namespace commands {

Result startup(Connection &tpm, uint16_t type);
Result get_capability(Connection &tpm, uint32_t capability, uint32_t property, uint32_t count);
Result get_random(Connection &tpm, uint16_t count);
Result create_primary(Connection &tpm, uint32_t hierarchy, const Bytes &public_area, const Bytes &sensitive);
Result create(Connection &tpm, ESYS_TR parent, const Bytes &public_area, const Bytes &sensitive,
              const PolicyAuth &auth);
Result load(Connection &tpm, ESYS_TR parent, const Bytes &public_area, const Bytes &private_area,
            const PolicyAuth &auth);
Result read_public(Connection &tpm, ESYS_TR handle);
Result from_tpm_handle(Connection &tpm, TPM2_HANDLE handle);
Result close_handle(Connection &tpm, ESYS_TR handle);
Result set_auth(Connection &tpm, ESYS_TR handle, const Bytes &auth);
Result set_hierarchy_auth(Connection &tpm, uint32_t hierarchy, const Bytes &auth);
Result flush(Connection &tpm, ESYS_TR handle);
Result flush_leaked(Connection &tpm);
Result evict_control(Connection &tpm, ESYS_TR object, TPM2_HANDLE persistent);
Result activate_credential(Connection &tpm, ESYS_TR key, ESYS_TR ek, const Bytes &id_object, const Bytes &secret,
                           const PolicyAuth &auth);
Result pcr_read(Connection &tpm, const Bytes &selection);
Result pcr_extend(Connection &tpm, uint32_t pcr, const Bytes &digest_values);
Result pcr_reset(Connection &tpm, uint32_t pcr);
Result quote(Connection &tpm, ESYS_TR key, const Bytes &qualifying_data, const Bytes &selection, const Bytes &scheme);
Result certify(Connection &tpm, ESYS_TR object, ESYS_TR signer, const Bytes &qualifying_data, const Bytes &scheme);
Result nv_read(Connection &tpm, TPM2_HANDLE index);
Result unseal(Connection &tpm, ESYS_TR handle);
Result context_save(Connection &tpm, ESYS_TR handle);
Result context_load(Connection &tpm, const Bytes &context);

}  // namespace commands
