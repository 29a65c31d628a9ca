import { integerBetween, option, options } from './option.ts'

/** How much a verifier keeps of machines beside their enrolment: evidence, mailboxes, history. */
export const keptOptions = options({
  evidence_max_size: option({
    parse: integerBetween(0, 1 << 30),
    default: 16_777_216,
    ours: true,
    doc: 'How many bytes the verifier keeps of the last failed attestation of one agent, compressed. If it does not fit, the verifier leaves out first the IMA log, then the boot log, and says so.',
  }),
  evidence_total_size: option({
    parse: integerBetween(0, Number.MAX_SAFE_INTEGER),
    default: 1_073_741_824,
    ours: true,
    doc: 'The same limit for all agents together. Beyond it, the verifier drops the oldest.',
  }),
  mailbox_max_size: option({
    parse: integerBetween(0, 100 << 20),
    default: 16 << 20,
    ours: true,
    doc: 'Largest sealed payload that may wait here until a machine fetches it, in bytes of base64 text. max_upload_size limits the request that brings it, and max_payload_size of the tenant limits what it sends.',
  }),
  mailbox_total_size: option({
    parse: integerBetween(0, Number.MAX_SAFE_INTEGER),
    default: 1_073_741_824,
    ours: true,
    doc: 'The same limit for all machines together, in bytes. The verifier refuses what does not fit. It empties a mailbox when the machine has proved that it has the payload.',
  }),
  history_rows: option({
    parse: integerBetween(0, 100_000_000),
    default: 200_000,
    ours: true,
    doc: 'How many entries of the history (`keylime tenant history`) to keep for all machines together. The oldest go first. With 0 there is no history.',
  }),
  history_rows_per_agent: option({
    parse: integerBetween(1, 100_000_000),
    default: 5000,
    ours: true,
    doc: 'The same limit for one machine, so that one that fails and recovers every second does not push out the history of the others.',
  }),
  history_days: option({
    parse: integerBetween(1, 36_500),
    default: 400,
    ours: true,
    doc: 'How many days to keep an entry of the history.',
  }),
})
