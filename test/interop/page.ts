import fs from 'node:fs'
import path from 'node:path'
import { KEYLIME } from '../e2e/deployment.ts'
import { KEPT_ANSWERS } from './command-lines/kept.ts'
import { KEPT } from './differential/kept.ts'
import { PUSH_STORY } from './push-story.ts'
import type { Result } from './results.ts'
import { STORY, type Step } from './story.ts'
import { CURRENT, LAST_PYTHON_AGENT, OLDEST } from './upstream.ts'

const PAGE = path.resolve(path.dirname(KEYLIME), '../docs/interop.md')

/** Writes docs/interop.md from all results that are known. */
export function writePage(results: readonly Result[]): void {
  const of = (part: string) => results.filter((result) => result.part === part)
  const text = [
    '# Together with upstream',
    '',
    '<!-- Written by `npm run interop`: change test/interop/page.ts, not this file. -->',
    '',
    INTRODUCTION,
    '',
    '## Every pair of roles',
    '',
    CELLS,
    '',
    ...storyTable(of('cells')),
    '',
    '## Another age',
    '',
    `The same story with one program of upstream ${OLDEST}, the oldest release whose services start with libraries that can still be installed. It has no measured boot policies with names.`,
    'Its tenant asks an agent in the newest version that the agent has, and does not know the key names of API 2.5 (`rsa2048`), so the agents there have `api_versions = 2.1, 2.2`.',
    '',
    ...storyTable(of('skew')),
    '',
    '## Revocations over ZeroMQ',
    '',
    `The same story, where the verifier publishes revocations over ZeroMQ and in no other way. Upstream's verifier ${CURRENT} opens no publisher, so theirs is ${OLDEST}.`,
    '',
    ...storyTable(of('zeromq')),
    '',
    '## Machines that bring their evidence',
    '',
    PUSH,
    '',
    ...storyTable(of('push'), PUSH_STORY),
    '',
    '## A fleet that moves to ours',
    '',
    TAKE_OVER,
    '',
    ...takeOverTable(of('take-over')),
    '',
    '## The directory of an older agent in Rust',
    '',
    'Such an agent had one RSA key, `server-private.pem`, for TLS and payload. Our agent on its directory binds the same key into PCR 16, so an enrolled machine stays enrolled.',
    '',
    ...storyTable(of('rust-directory')),
    '',
    '## The same command lines',
    '',
    COMMAND_LINES,
    '',
    ...commandTable(of('command-lines')),
    '',
    'Differences that we keep:',
    '',
    ...KEPT_ANSWERS.map(({ name, reason }) => `* **${name}**. ${reason}`),
    '',
    '## The same evidence, two judges',
    '',
    DIFFERENTIAL,
    '',
    ...differentialTable(of('differential')),
    '',
    'Differences that we keep:',
    '',
    ...KEPT.map(
      ({ name, stricter, reason }) => `* **${name}** (${stricter ? 'we fail, upstream passes' : 'we pass, upstream fails'}). ${reason}`,
    ),
    '',
    '## EK certificates past their end',
    '',
    EXPIRED,
    '',
  ]
  fs.writeFileSync(`${PAGE}.new`, text.join('\n'))
  fs.renameSync(`${PAGE}.new`, PAGE)
}

const INTRODUCTION = `\`npm run interop\` installs upstream's real parts (services ${CURRENT}, the last agent in Python ${LAST_PYTHON_AGENT}, services of ${OLDEST}) and makes them
work with this executable, on software TPMs. It writes this page. Run it as root. \`KEYLIME_RUST_AGENT=FILE\` adds the cells with upstream's Rust agent, which no
package registry has. With the same executable, it does not run again what passed, unless you give \`--fresh\`.`

const CELLS = `Each cell has a registrar, a verifier, a tenant and two agents, each ours or theirs. All read upstream's configuration files and use upstream's program names. The
columns are the steps of one story, with the seconds that they took: a file; a payload that was encrypted beforehand; a certificate package from an authority that the other
side's \`keylime_ca\` made; a runtime policy by name, with a file that it knows and one that it does not; a measured boot policy by name, over the log of a real machine, then
a PCR that no longer matches; and a static policy with its own authority: five attestations, a PCR is extended, the machine fails, the revocation reaches the other machine, which acts.`

const PUSH = `A machine that nobody can call, with API 3.0: a static policy, then a PCR that no longer matches; a runtime policy by name and a measurement list that grows (the verifier asks
only for what is new); a restart of the verifier; and a file that the policy does not know. \`KEYLIME_RUST_PUSH_AGENT=FILE\` adds the cells with upstream's Rust push agent.`

const TAKE_OVER = `Upstream's verifier and registrar, with their database in SQLite or PostgreSQL, attest two machines: one with a runtime policy, one with a static PCR. Then ours replace
their registrar and their verifier (\`keylime registrar migrate\`, \`keylime verifier migrate\`), and no agent is touched. Both machines stay attested, their counters go on, and each fails when it should.`

const COMMAND_LINES = `The same calls of upstream's programs, in the same order, answered by theirs and by ours. The tenant's calls run once against all of upstream's services and once against all of
ours. We compare the exit status, every member of all JSON output, the outcome in words, the usage and its errors, and every file that is written (policies as JSON,
certificates by what they say). Values that no two runs share, such as quotes, must have the same type.`

const EXPIRED = `Upstream does not look at the dates of an EK certificate. We refuse a certificate that is not valid yet. We accept one that has ended, or whose maker's has ended, and say so:
a TPM cannot renew its certificate, and machines with genuine TPMs would be lost. \`ek_cert_expiry = refuse\` in tenant.conf refuses them ([decision 80](decisions/0080-an-ek-certificate-past-its-end-counts.md)).`

function takeOverTable(results: readonly Result[]): string[] {
  if (results.length === 0) return ['Not run yet.']
  return [
    '| database and agents | moved and serving again: registrar, s | verifier, s | | date |',
    '| --- | --- | --- | --- | --- |',
    ...results.map(({ name, facts, failed, at }) => {
      const [registrar, verifier] = ['registrar', 'verifier'].map((role) => facts[role] ?? 'not reached')
      return `| ${name} | ${registrar} | ${verifier} | ${failed > 0 ? 'failed' : 'passed'} | ${at} |`
    }),
  ]
}

function commandTable(results: readonly Result[]): string[] {
  if (results.length === 0) return ['Not run yet.']
  return [
    '| programs | calls | the same | only kept differences | unexplained | date |',
    '| --- | --- | --- | --- | --- | --- |',
    ...results.map(({ name, passed, failed, facts, at }) => {
      const same = Number(facts['same'])
      return `| ${name} | ${passed + failed} | ${same} | ${passed - same} | ${failed} | ${at} |`
    }),
  ]
}

const DIFFERENTIAL = `The evidence of recorded machines, and mutations of it, judged by upstream's Python code and by ours. A mutation changes a quote after it was signed, a policy, lines of the
measurement list or events of the boot log (with PCRs that fit anyway, and without). The same seeds give the same mutations at every run; \`--long\` runs sixteen thousand.
Every difference is one of those listed below, or the run fails.`

function differentialTable(results: readonly Result[]): string[] {
  if (results.length === 0) return ['Not run yet.']
  const verdicts = ['both pass', 'both fail', 'other event id', 'upstream raised an exception', "upstream's process died"]
  return [
    '| evidence | compared | both pass | both fail | of these with another event id, an exception upstream, a crash upstream | differences kept | unexplained | date |',
    '| --- | --- | --- | --- | --- | --- | --- | --- |',
    ...longest(results).map(({ name, passed, failed, facts, at }) => {
      const [pass, fail, ...notes] = verdicts.map((verdict) => facts[verdict] ?? '0')
      const kept = Object.entries(facts).flatMap(([rule, n]) => (verdicts.includes(rule) ? [] : [`${rule}: ${n}`]))
      return `| ${name} | ${passed + failed} | ${pass} | ${fail} | ${notes.join(', ')} | ${kept.join('; ')} | ${failed} | ${at} |`
    }),
  ]
}

function storyTable(results: readonly Result[], story: readonly Step[] = STORY): string[] {
  if (results.length === 0) return ['Not run yet.']
  const steps = story.map(({ name }) => name)
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  const head = ['registrar', 'verifier', 'tenant', 'agents', ...steps, 'date']
  return [
    row(head),
    row(head.map(() => '---')),
    ...results.map(({ name, facts, skipped, at }) =>
      row([
        ...name.split('-'),
        ...(skipped === undefined ? steps.map((step) => facts[step] ?? 'not reached') : ['skipped', ...steps.slice(1).map(() => '')]),
        at,
      ]),
    ),
    ...new Set(results.flatMap(({ skipped }) => (skipped === undefined ? [] : ['', `Skipped: ${skipped}.`]))),
  ]
}

/** Of each kind the run with the most mutations. */
function longest(results: readonly Result[]): Result[] {
  const kinds = Map.groupBy(results, ({ name }) => name.split(',')[0])
  return [...kinds.values()].map((runs) => runs.toSorted((a, b) => b.passed + b.failed - a.passed - a.failed)[0]!)
}
