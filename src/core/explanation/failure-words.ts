/** Words for an event that carries no change of its own. */
export interface EventWords {
  /** Why no change of a policy would accept it; null when only this very failure carries none. */
  noChange: string | null
  lookAt: string
}

const LOG_ITSELF = 'the IMA log itself is false or incomplete: a policy says what may run, not what may be forged'

/** The first that matches decides. */
const WORDS: readonly [RegExp, EventWords][] = [
  [
    /^pcr_validation\.(invalid|missing)_pcr_16$/,
    {
      noChange: 'PCR 16 binds the key to which secrets are encrypted: a policy cannot make another key good',
      lookAt: 'another program that extends PCR 16; otherwise someone is between agent and TPM: treat the machine as compromised',
    },
  ],
  [
    /^pcr_validation\.invalid_pcr_\d+$/,
    { noChange: null, lookAt: 'what changed the PCR: an update of firmware, boot loader or kernel, or a setting of these' },
  ],
  [
    /^pcr_validation\.(missing_pcrs|missing_pcr_\d+|unused_pcr_10)$/,
    {
      noChange: 'policy and quote do not match: what is judged must be asked for, and what is asked for must be judged',
      lookAt:
        'whether the kernel measures (ima_policy=tcb) and the agent may read its IMA log; the mask of tpm_policy, and whether a runtime policy belongs to this machine',
    },
  ],
  [
    /^(pcr_validation\.unused_pcr_\d+)$/,
    {
      noChange: 'without a boot log nothing explains the PCRs',
      lookAt: 'whether the machine has /sys/kernel/security/tpm0/binary_bios_measurements and its agent may read it',
    },
  ],
  [
    /^ima\.validation\.ima-ng\./,
    { noChange: null, lookAt: 'the file and its package on the machine: where it came from, and when it changed' },
  ],
  [
    /^ima\.pcr_mismatch$/,
    {
      noChange: `${LOG_ITSELF}. It does not lead to the PCR 10 that the TPM signed`,
      lookAt:
        'whether entries were cut or altered on the way, or something other than the kernel extends PCR 10; otherwise treat the machine as compromised',
    },
  ],
  [
    /^ima\.validation\.tomtou$/,
    {
      noChange: 'what was read is not what was measured, so there is no digest to accept',
      lookAt: 'what writes to the file while it is used; a log or a state file belongs into `excludes` of the runtime policy',
    },
  ],
  [
    /^ima\.validation\.ima_hash$/,
    {
      noChange: `${LOG_ITSELF}. A line does not hash to its own template hash, or its signature is malformed`,
      lookAt: '`log_hash_alg` of the runtime policy (sha1 for nearly all kernels); otherwise treat the machine as compromised',
    },
  ],
  [
    /^ima\.parser\.|^ima\.validation\.ima_pcr$/,
    { noChange: LOG_ITSELF, lookAt: 'the line in /sys/kernel/security/ima/ascii_runtime_measurements' },
  ],
  [
    /^ima\.validation\.dm\./,
    {
      noChange: 'rules of dm_policy decide about mapped devices, and nothing that is added to the policy accepts more: change the rule',
      lookAt: '`dmsetup table` on the machine, and the rule for the device in `ima.dm_policy` of the runtime policy',
    },
  ],
  [
    /^ima\.invalid_key$/,
    {
      noChange: 'a key that cannot be read, or of this kind, cannot verify file signatures',
      lookAt: 'which key the machine loaded into that keyring, and what for',
    },
  ],
  [/^ima\./, { noChange: LOG_ITSELF, lookAt: 'the log of the agent, and /sys/kernel/security/ima/ascii_runtime_measurements' }],
  [
    /^measured_boot\.policy_example$/,
    {
      noChange: null,
      lookAt: 'what was updated or set on the machine before this boot',
    },
  ],
  [
    /^measured_boot\.invalid_pcr_\d+$/,
    {
      noChange: 'the boot log does not lead to the PCR that the TPM signed: it was altered, or is from another boot',
      lookAt:
        'the event that is named, if one is; whether the agent reads the log of this very boot; otherwise treat the machine as compromised',
    },
  ],
  [
    /^measured_boot\.missing_pcrs$/,
    {
      noChange: 'the quote lacks PCRs that the policy judges',
      lookAt: 'who collected the evidence: the verifier itself asks for all PCRs of the policy, whatever the mask of tpm_policy says',
    },
  ],
  [
    /^measured_boot\.policy_reject-all$/,
    { noChange: 'the verifier judges every boot log by "reject-all"', lookAt: 'measured_boot_policy_name in verifier.conf' },
  ],
  [
    /^measured_boot\./,
    { noChange: 'a boot log that cannot be read explains nothing', lookAt: 'the firmware: which banks and events its log has' },
  ],
  [
    /^qoute_validation\.invalid_\w+_alg$/,
    {
      noChange: 'algorithms are chosen when a machine is enrolled, not by a policy',
      lookAt: 'accept_tpm_hash_algs and the like in tenant.conf, then `keylime tenant update`; or the algorithms in agent.conf',
    },
  ],
  [
    /^qoute_validation\.invalid_ima_entry_nb$/,
    {
      noChange: 'the agent answered another question than it was asked',
      lookAt: 'the versions of agent and verifier; `keylime tenant reactivate` starts from scratch',
    },
  ],
  [
    /^qoute_validation\./,
    {
      noChange: 'the quote itself does not hold, so nothing that it says was looked at: no policy can make it genuine',
      lookAt:
        'the message: a clock that went back is an old quote or a TPM that lost power; a wrong signature is another TPM, or an agent that was reinstalled and not enrolled again; a wrong nonce is a replay',
    },
  ],
  [
    /^internal\.verifier\.judging_budget$/,
    {
      noChange: 'a policy says what may run, not how long it may take to look at it',
      lookAt:
        'how many entries and signed files the IMA log of the machine has: one that is only large needs a larger judging_timeout in verifier.conf; otherwise treat the machine as compromised',
    },
  ],
  [
    /^internal\./,
    { noChange: 'this is about reaching or judging the machine, not about what it is', lookAt: 'network, agent and log of the verifier' },
  ],
]

const UNKNOWN: EventWords = { noChange: 'this event carries no change of a policy', lookAt: 'the message, and the log of the verifier' }

export const eventWords = (eventId: string): EventWords => WORDS.find(([pattern]) => pattern.test(eventId))?.[1] ?? UNKNOWN
