import { integerBetween, option, options } from './option.ts'

/** How much a verifier keeps of machines beside their enrolment: evidence, mailboxes, history. */
export const keptOptions = options({
  evidence_max_size: option({
    parse: integerBetween(0, 1 << 30),
    default: 16_777_216,
    ours: true,
    doc: 'Most bytes that are kept of the last failed attestation of one agent, compressed. What does not fit is left out and named: first the IMA log, then the boot log.',
  }),
  evidence_total_size: option({
    parse: integerBetween(0, Number.MAX_SAFE_INTEGER),
    default: 1_073_741_824,
    ours: true,
    doc: 'The same of all agents together; then the oldest is given up.',
  }),
  mailbox_max_size: option({
    parse: integerBetween(0, 100 << 20),
    default: 16 << 20,
    ours: true,
    doc: 'Most bytes of a sealed payload (as base64 text) that waits here for a machine which fetches it. max_upload_size bounds the request that brings it, and max_payload_size of the tenant what is sent at all.',
  }),
  mailbox_total_size: option({
    parse: integerBetween(0, Number.MAX_SAFE_INTEGER),
    default: 1_073_741_824,
    ours: true,
    doc: 'The same of all machines together, in bytes; what does not fit is refused. A mailbox is emptied when its machine has proved that it has what lay there.',
  }),
  history_rows: option({
    parse: integerBetween(0, 100_000_000),
    default: 200_000,
    ours: true,
    doc: 'Entries of the history of machines (`keylime tenant history`) that are kept of all of them together; then the oldest go. 0: no history.',
  }),
  history_rows_per_agent: option({
    parse: integerBetween(1, 100_000_000),
    default: 5000,
    ours: true,
    doc: 'The same of one machine, so that one that fails and recovers every second does not push out what is known of the others.',
  }),
  history_days: option({ parse: integerBetween(1, 36_500), default: 400, ours: true, doc: 'How old an entry of the history may become.' }),
})
