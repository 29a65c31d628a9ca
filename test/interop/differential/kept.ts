import type { Mutation } from './mutate.ts'
import { hasPassed, type Verdict } from './our-verdict.ts'

/** A difference that we keep on purpose. */
export interface Kept {
  name: string
  /** Ours fails what upstream passes. */
  stricter: boolean
  reason: string
  applies(difference: { mutation: Mutation; why: string; theirs: Verdict }): boolean
}

const says = (words: RegExp) => (difference: { why: string }) => words.test(difference.why)

export const KEPT: readonly Kept[] = [
  {
    name: 'a quote has one form',
    stricter: true,
    reason:
      'Upstream ignores bytes after the signature, unused bytes among the PCR values, and characters that are not base64. We let in nothing that is not signed or checked.',
    applies: says(/PCR blob|trailing bytes|is not base64/),
  },
  {
    name: 'a quote covers just the PCRs that were asked for',
    stricter: true,
    reason: 'Upstream only looks for those that the policy has values for.',
    applies: says(/covers other PCRs than were asked for/),
  },
  {
    name: 'the mask of a static policy must be one',
    stricter: true,
    reason: 'Upstream does not look at it when it judges, although it decides which PCRs are asked for.',
    applies: says(/mask is not a hexadecimal set/),
  },
  {
    name: 'an attestation key is a whole TPM2B_PUBLIC',
    stricter: true,
    reason:
      'Upstream accepts a key with a wrong size in front or a name algorithm that does not exist. You cannot compare such a key with what the registrar activated.',
    applies: says(/TPMT?2?B?_PUBLIC|is not a hash algorithm/),
  },
  {
    name: 'a machine must have measured something',
    stricter: true,
    reason:
      'If PCR 10 is zero, upstream passes any list, even an empty one: a machine that was booted without IMA meets every runtime policy.',
    applies: says(/the machine measured nothing/),
  },
  {
    name: 'the list begins with boot_aggregate',
    stricter: true,
    reason: 'A list that begins elsewhere is not the list of a whole boot.',
    applies: says(/first entry of the IMA log is not boot_aggregate/),
  },
  {
    name: 'every line of the list must be readable',
    stricter: true,
    reason: 'Upstream reads the fields of some templates loosely, and accepts a template hash that is not a hash.',
    applies: says(/of the IMA log cannot be read/),
  },
  {
    name: 'an exclude must be a regular expression',
    stricter: true,
    reason: 'Upstream stores a policy with a broken pattern, and treats it as one without excludes.',
    applies: says(/^excludes\[\d+\]: /),
  },
  {
    name: 'what a boot event says must be what was measured',
    stricter: true,
    reason:
      'Upstream judges the data of most events without hashing them: an attacker may write into the log what the policy wants to read, beside the true digest.',
    applies: says(/does not match its digest/),
  },
  {
    name: 'the boot log must be readable to its end',
    stricter: true,
    reason: 'Upstream passes one that ends in the middle of an event.',
    applies: says(/the boot log cannot be read/),
  },
  {
    name: 'the boot log must say whether Secure Boot is on',
    stricter: true,
    reason: 'Upstream does not ask if the reference state was made without it.',
    applies: says(/does not say whether Secure Boot is on/),
  },
  {
    name: 'events with any data',
    stricter: false,
    reason:
      'Upstream reads the log through YAML, where data with some bytes becomes an error: a file name that is not UTF-8 fails a machine whatever its policy is.',
    applies: ({ mutation, theirs }) =>
      mutation.evidence.mb_policy !== null &&
      ('raised' in theirs || ('events' in theirs && theirs.events.includes('measured_boot.parser.yaml'))),
  },
  {
    name: 'PCR values in upper case',
    stricter: false,
    reason: 'Upstream compares texts, so a value in upper case never matches. It is the same value.',
    applies: ({ mutation }) => mutation.what === 'upper case',
  },
  {
    name: 'an exclude that begins with (?i)',
    stricter: false,
    reason:
      'Upstream joins all patterns into one, where such a flag is an error that switches off all excludes. We read each pattern separately.',
    applies: ({ mutation }) =>
      mutation.what === 'policy: exclude added' && /"excludes":\[[^\]]*\(\?i\)/.test(mutation.evidence.runtime_policy ?? ''),
  },
  {
    name: 'a last field that is missing is empty',
    stricter: false,
    reason:
      'An editor that cuts blanks at the ends of lines removes the field of an `ima-sig` line without a signature. An empty field has the template hash of the line; upstream does not read it.',
    applies: ({ mutation }) =>
      /^\d+ \w+ ima-(?:sig|sigv2|modsig|buf) \S+ \S+$/m.test(String(mutation.evidence.reply['ima_measurement_list'] ?? '')),
  },
  {
    name: 'every template of the kernel',
    stricter: false,
    reason: 'Upstream does not know `evm-sig` or your own templates (`ima_template_fmt=`), or names that contain a newline.',
    applies: ({ mutation }) =>
      /^\d+ \w+ (?:evm-sig|[\w-]+\|\S+) |^(?!\d+ [0-9a-f]{40})./m.test(String(mutation.evidence.reply['ima_measurement_list'] ?? '')),
  },
  {
    name: 'a policy without dm_policy',
    stricter: false,
    reason: 'Upstream demands the member, with null if there are no rules. We treat a missing member the same way.',
    applies: ({ theirs }) => 'refused' in theirs && theirs.refused.includes("'dm_policy' is a required property"),
  },
]

/** @returns the rule that allows the difference; undefined when none does: then it is a bug, ours or upstream's, that must be looked at. */
export function keptRule(mutation: Mutation, ours: Verdict, theirs: Verdict): Kept | undefined {
  const why = 'messages' in ours ? (ours.messages ?? []).join('\n') : 'refused' in ours ? ours.refused : ''
  return KEPT.find((kept) => kept.stricter === hasPassed(theirs) && kept.applies({ mutation, why, theirs }))
}
