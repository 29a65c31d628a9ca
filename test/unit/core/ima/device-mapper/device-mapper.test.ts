import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { isKeylimeError } from '../../../../../src/core/errors.ts'
import { parseDmEvent } from '../../../../../src/core/ima/device-mapper/dm-event.ts'
import { parseDmPolicy } from '../../../../../src/core/ima/device-mapper/dm-policy.ts'
import { FRESH_IMA, type ImaProgress } from '../../../../../src/core/ima/ima-policy.ts'
import { imaPolicy } from '../../../../../src/core/ima/judge-log.ts'
import { parseRuntimePolicy } from '../../../../../src/core/ima/runtime-policy.ts'
import { BOOT_AGGREGATE, imaLine, pcr10After, quotedPcr10, runtimePolicy } from '../../../../ima.ts'

const ROOT_DIGEST = 'f1'.repeat(32)
const device = (changes: Record<string, unknown> = {}) => {
  const fields = { name: 'root', uuid: 'CRYPT-VERITY-1', major: 254, minor: 0, minor_count: 1, num_targets: 1, ...changes }
  return Object.entries(fields)
    .map(([key, value]) => `${key}=${value}`)
    .join(',')
}
const target = (digest = ROOT_DIGEST, index = 0) =>
  `target_index=${index},target_begin=0,target_len=2048,target_name=verity,target_version=1.8.0,hash_failed=V,verity_version=1,` +
  `data_device_name=8:1,hash_device_name=8:2,verity_algorithm=sha256,root_digest=${digest},salt=aa,ignore_zero_blocks=n,check_at_most_once=y`
const load = (changes = {}, targets = target()) => `dm_version=4.48.0;${device(changes)};${targets};`
const hashOf = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}`
const resume = (loaded = load(), changes = {}) =>
  `dm_version=4.48.0;${device(changes)};active_table_hash=${hashOf(loaded)};current_device_capacity=2048;`
const rename = (name: string) => `dm_version=4.48.0;${device()};new_name=${name},new_uuid=CRYPT-VERITY-1;current_device_capacity=2048;`
const remove = (name = 'root') =>
  `dm_version=4.48.0;device_active_metadata=${device({ name })};active_table_hash=sha256:00,remove_all=n;current_device_capacity=2048;`
const clear = () => `dm_version=4.48.0;${device()};inactive_table_hash=sha256:00;current_device_capacity=2048;`
const update = (digest?: string) => `dm_version=4.48.0;${device()};${target(digest)};`

const rule = (changes: Record<string, unknown> = {}) => ({
  required: true,
  device_resume_required: true,
  device_rename: { valid_name: 'root-[a-z]+', valid_uuid: 'never' },
  device_remove: { allow_removal: false },
  allow_clear: false,
  table_load: {
    allow_multiple_loads: false,
    name: 'root(-[a-z]+)?',
    uuid: null,
    major: 254,
    minor: null,
    minor_count: 1,
    num_targets: 1,
    targets: [{ target_name: 'verity', root_digest: ROOT_DIGEST, check_at_most_once: true, verity_version: 1 }],
  },
  ...changes,
})
const policyOf = (...rules: object[]) =>
  runtimePolicy({
    ima: {
      ignored_keyrings: [],
      log_hash_alg: 'sha1',
      dm_policy: { version: 1, match_on: 'name', rules: Object.fromEntries(rules.map((r, i) => [`rule ${i}`, r])) },
    },
  })

type Event = [name: string, text: string]
const line = ([name, text]: Event) => imaLine(`ima-buf ${hashOf(text)} ${name} ${Buffer.from(text).toString('hex')}`)
function judge(events: Event[], { policy = policyOf(rule()), progress = FRESH_IMA, before = [] as string[] } = {}) {
  const lines = [...(before.length > 0 ? [] : [BOOT_AGGREGATE]), ...events.map(line)]
  const pcrs = quotedPcr10(pcr10After([...before, ...lines]))
  return imaPolicy(parseRuntimePolicy(policy), false).judge({
    pcrs,
    list: lines.join('\n'),
    progress: progress as ImaProgress,
    bootAggregates: [],
  })
}
const ids = (events: Event[], policy?: string) =>
  judge(events, policy ? { policy } : {}).failures.map(({ eventId }) => eventId.replace('ima.validation.dm.', ''))

test('a device that is loaded and resumed as its rule says is good; NULs at the end of an event do not count', () => {
  expect(
    ids([
      ['dm_table_load', load()],
      ['dm_device_resume', resume()],
    ]),
  ).toEqual([])
  expect(
    ids([
      ['dm_table_load', `${load()}\0\0`],
      ['dm_device_resume', resume(`${load()}\0\0`)],
    ]),
  ).toEqual([])
})

test('what a round taught of a device holds in the next one', () => {
  const first = judge([['dm_table_load', load()]])
  expect(first.failures).toEqual([])
  const before = [BOOT_AGGREGATE, line(['dm_table_load', load()])]
  expect(judge([['dm_device_resume', resume()]], { progress: first.progress, before }).failures).toEqual([])
  const forgotten = { ...first.progress, learned: '' }
  expect(judge([['dm_device_resume', resume()]], { progress: forgotten, before }).failures[0]!.eventId).toBe(
    'ima.validation.dm.dm_device_resume.resume_before_table_load',
  )
})

test.each<[string, Event[], string]>([
  ['another root digest', [['dm_table_load', load({}, target('00'.repeat(32)))]], 'dm_table_load.target_data_mismatch'],
  [
    'a field that is missing',
    [['dm_table_load', load({}, target().replace(/,root_digest=\w+/, ''))]],
    'dm_table_load.target_attribute_not_found',
  ],
  ['a device that no rule is for', [['dm_table_load', load({ name: 'other' })]], 'dm_table_load.no_matching_policy'],
  ['a name that only begins as a rule says', [['dm_table_load', load({ name: 'root-a1' })]], 'dm_table_load.no_matching_policy'],
  ['another major number', [['dm_table_load', load({ major: 253 })]], 'dm_table_load.invalid_entry'],
  [
    'a second target',
    [['dm_table_load', load({ num_targets: 2 }, `${target()};${target(ROOT_DIGEST, 1)}`)]],
    'dm_table_load.invalid_entry',
  ],
  [
    'a target that the count hides',
    [['dm_table_load', load({}, `${target()};${target(ROOT_DIGEST, 1)}`)]],
    'dm_table_load.num_targets_mismatch',
  ],
  [
    'a second table',
    [
      ['dm_table_load', load()],
      ['dm_table_load', load()],
    ],
    'dm_table_load.multiple_table_loads',
  ],
  ['a resume before the load', [['dm_device_resume', resume()]], 'dm_device_resume.resume_before_table_load'],
  [
    'a resume of another table',
    [
      ['dm_table_load', load()],
      ['dm_device_resume', resume('x')],
    ],
    'dm_device_resume.active_table_mismatch',
  ],
  [
    'a resume without a table',
    [
      ['dm_table_load', load()],
      ['dm_device_resume', 'dm_version=4.48.0;name=root,uuid=;device_resume=no_data;current_device_capacity=0;'],
    ],
    'dm_device_resume.active_table_mismatch',
  ],
  [
    'two resumes',
    [
      ['dm_table_load', load()],
      ['dm_device_resume', resume()],
      ['dm_device_resume', resume()],
    ],
    'dm_device_resume.already_active',
  ],
  [
    'a removal',
    [
      ['dm_table_load', load()],
      ['dm_device_remove', remove()],
    ],
    'dm_device_remove.device_removed',
  ],
  ['a removal of what was never there', [['dm_device_remove', remove()]], 'dm_device_remove.remove_before_table_load'],
  [
    'a table that is cleared',
    [
      ['dm_table_load', load()],
      ['dm_table_clear', clear()],
    ],
    'dm_table_clear.table_cleared',
  ],
  ['a clear of what was never there', [['dm_table_clear', clear()]], 'dm_table_clear.clear_before_table_load'],
  [
    'a rename to what the rule refuses',
    [
      ['dm_table_load', load()],
      ['dm_device_rename', rename('evil')],
    ],
    'dm_device_rename.new_name_invalid',
  ],
  ['a rename of what was never there', [['dm_device_rename', rename('root-b')]], 'dm_device_rename.rename_before_table_load'],
  [
    'an update with another digest',
    [
      ['dm_table_load', load()],
      ['dm_target_update', update('00'.repeat(32))],
    ],
    'dm_target_update.target_data_mismatch',
  ],
  ['an update of what was never there', [['dm_target_update', update()]], 'dm_target_update.update_before_table_load'],
  ['text that is no event', [['dm_table_load', 'hello']], 'parsing_failed'],
  ['a field that is given twice', [['dm_table_load', load().replace('minor=0', 'name=root')]], 'parsing_failed'],
])('%s is refused', (_what, events, id) => {
  expect(ids(events)).toEqual([id])
})

test('a failure names device, field, what was found and what was wanted', () => {
  const [failure] = judge([['dm_table_load', load({ major: 253 })]]).failures
  expect(failure!.context).toEqual({
    message: 'major of device "root" is not what rule "rule 0" wants',
    field: 'major',
    got: '253',
    expected: [254],
    line: 2,
    path: 'dm_table_load',
  })
})

test('an event whose digest is not that of its content is refused', () => {
  const text = load()
  const forged = imaLine(`ima-buf sha256:${'00'.repeat(32)} dm_table_load ${Buffer.from(text).toString('hex')}`)
  const lines = [BOOT_AGGREGATE, forged]
  const evidence = { pcrs: quotedPcr10(pcr10After(lines)), list: lines.join('\n'), progress: FRESH_IMA, bootAggregates: [] }
  expect(imaPolicy(parseRuntimePolicy(policyOf(rule())), false).judge(evidence).failures[0]!.eventId).toBe('ima.validation.dm.invalid_data')
})

test('renamed devices go by their new name, removed ones may come again, where the rule allows it', () => {
  const lenient = policyOf(rule({ device_remove: { allow_removal: true }, allow_clear: true }))
  const events: Event[] = [
    ['dm_table_load', load()],
    ['dm_device_rename', rename('root-b')],
    ['dm_table_load', load()],
    ['dm_device_remove', remove('root-b')],
    ['dm_table_load', load({ name: 'root-b' })],
  ]
  expect(ids(events, lenient)).toEqual([])
  expect(
    ids(
      [
        ['dm_table_load', load()],
        ['dm_table_clear', clear()],
        ['dm_target_update', update()],
      ],
      lenient,
    ),
  ).toEqual([])
})

test('without a dm_policy the events are buffers like any other', () => {
  expect(judge([['dm_table_load', load()]], { policy: runtimePolicy() }).failures[0]!.eventId).toBe(
    'ima.validation.ima-ng.not_in_allowlist',
  )
})

test.each<[string, unknown, RegExp]>([
  ['no object', 1, /^p: /],
  ['another version', { version: 2, match_on: 'name', rules: {} }, /^p\.version: /],
  ['an unknown key to match on', { match_on: 'major', rules: {} }, /^p\.match_on: /],
  ['a rule that is no object', { match_on: 'name', rules: { a: 1 } }, /^p\.rules\["a"\]: /],
  [
    'a count that is not the number of targets',
    { match_on: 'name', rules: { a: rule({ table_load: { ...rule().table_load, num_targets: 2 } }) } },
    /table_load\.num_targets: /,
  ],
  [
    'a bad expression',
    { match_on: 'name', rules: { a: rule({ device_rename: { valid_name: '(', valid_uuid: null } }) } },
    /valid_name: "\("/,
  ],
  ['a word where true or false stands', { match_on: 'name', rules: { a: rule({ allow_clear: 'yes' }) } }, /allow_clear: /],
  [
    'an attribute that is a list',
    { match_on: 'name', rules: { a: rule({ device_rename: { valid_name: [], valid_uuid: null } }) } },
    /valid_name: /,
  ],
])('a policy with %s is refused with its place', (_what, policy, place) => {
  expect(() => parseDmPolicy(policy, 'p')).toThrow(place)
})

test.each([
  ['an empty group in front', ';dm_version=1;', { dm_version: '1' }],
  ['no separator at its end', 'dm_version=1;a=b', { dm_version: '1', a: 'b' }],
  ['NULs at its end', 'dm_version=1;a=b;\0\0', { dm_version: '1', a: 'b' }],
  ['a value with =', 'dm_version=1;a=b=c;', { dm_version: '1', a: 'b=c' }],
  ['an empty value', 'dm_version=1;a=;', { dm_version: '1', a: '' }],
  ['a separator that is escaped at the beginning of a key', '\\;a=1;dm_version=1;', { dm_version: '1', '\\;a': '1' }],
])('an event with %s is read', (_what, text, rest) => {
  expect(Object.fromEntries(parseDmEvent(Buffer.from(text)).rest)).toEqual(rest)
})
test.each([
  ['a pair without =', 'dm_version=1;a;', '"a" is not key=value'],
  ['a pair without a key', 'dm_version=1;=a;', '"=a" is not key=value'],
  ['a key twice', 'dm_version=1;a=1,a=2;', 'a is given twice'],
  ['no version', 'a=1;', 'the event does not say dm_version'],
  ['nothing', '', 'the event does not say dm_version'],
])('an event with %s is refused', (_what, text, message) => {
  expect(() => parseDmEvent(Buffer.from(text))).toThrow(expect.objectContaining({ code: 'malformed', message }))
})

test('random events are read or refused, never more; escaped separators are part of a name', () => {
  expect(parseDmEvent(Buffer.from(`dm_version=1;${device({ name: 'a\\;b\\,c\\\\' })};`)).device.get('name')).toBe('a;b,c\\')
  fc.assert(
    fc.property(fc.array(fc.constantFrom('dm_version=1', ';', ',', '=', '\\', '\0', 'name=x', 'target_index=0', 'é', ' ')), (parts) => {
      try {
        parseDmEvent(Buffer.from(parts.join('')))
      } catch (error) {
        if (!isKeylimeError(error)) throw error
      }
    }),
  )
})
