import fc from 'fast-check'
import { parseBootPolicy } from '../../../../src/core/measured-boot/boot-policy.ts'
import { escapePythonRegex } from '../../../../src/core/measured-boot/command-line-pattern.ts'
import { createReferenceState } from '../../../../src/core/measured-boot/create-reference-state.ts'
import { parseEventLog } from '../../../../src/core/measured-boot/event-log.ts'
import { mergeReferenceState } from '../../../../src/core/measured-boot/merge-reference-state.ts'
import { parseReferenceState } from '../../../../src/core/measured-boot/reference-state.ts'
import { judgeExample, machineEvents, machineLog, machineState, measured, type State, serialize } from '../../../boot-log.ts'
import { runs } from '../../../thorough.ts'

const SECURE = 'secure-boot-ima-ng'
const PLAIN = 'no-secure-boot'
const create = (log: Buffer, withoutSecureBoot = false) => createReferenceState(parseEventLog(log), { withoutSecureBoot })

/** A copy of the state with what is at a path replaced; undefined leaves it out. */
function withAt(state: State, path: (string | number)[], value: unknown): State {
  const copy = structuredClone(state)
  const last = path.at(-1)!
  const parent = path.slice(0, -1).reduce((at, key) => at[key], copy)
  if (value === undefined) delete parent[last]
  else parent[last] = value
  return copy
}

describe('a reference state that arrives', () => {
  test.each<[string, (string | number)[], unknown]>([
    ['has_secureboot', ['has_secureboot'], 'yes'],
    ['scrtm_and_bios', ['scrtm_and_bios'], undefined],
    ['scrtm_and_bios[0]', ['scrtm_and_bios', 0], 'x'],
    ['scrtm_and_bios[0].scrtm', ['scrtm_and_bios', 0, 'scrtm'], undefined],
    ['scrtm_and_bios[0].platform_firmware[1].sha256', ['scrtm_and_bios', 0, 'platform_firmware', 1, 'sha256'], 'ab'],
    ['pk', ['pk'], undefined],
    ['kek', ['kek'], {}],
    ['db[0].SignatureData', ['db', 0, 'SignatureData'], '0xAB'],
    ['dbx[0].SignatureOwner', ['dbx', 0, 'SignatureOwner'], 7],
    ['vendor_db', ['vendor_db'], null],
    ['mokdig[0].sha256', ['mokdig', 0, 'sha256'], 1],
    ['mokxdig', ['mokxdig'], undefined],
    ['kernels', ['kernels'], undefined],
    ['kernels', ['kernels'], Array(10_001).fill({})],
    ['kernels[0].initrd_plain_sha256', ['kernels', 0, 'initrd_plain_sha256'], undefined],
    ['kernels[0].kernel_cmdline', ['kernels', 0, 'kernel_cmdline'], undefined],
    ['kernels[0].kernel_cmdline', ['kernels', 0, 'kernel_cmdline'], '('],
    ['kernels[0].kernel_cmdline', ['kernels', 0, 'kernel_cmdline'], '(a)\\1'],
    ['kernels[0].kernel_cmdline', ['kernels', 0, 'kernel_cmdline'], '(?i)quiet'],
    ['kernels[0].kernel_cmdline', ['kernels', 0, 'kernel_cmdline'], 'x'.repeat(20_000)],
  ])('is refused with the place %s', (place, path, value) => {
    const text = JSON.stringify(withAt(machineState(SECURE), path, value))
    expect(() => parseBootPolicy(text, 'example')).toThrow(
      expect.objectContaining({ code: 'invalid_request', message: expect.stringContaining(`${place}:`) }),
    )
    expect(parseBootPolicy(text, 'accept-all')).not.toBeNull()
  })
  test('may have members that are not known, and lack those that upstream does not demand', () => {
    const state = { ...machineState(SECURE), note: 'x', has_secureboot: undefined, vendor_db: undefined }
    expect(judgeExample(machineEvents(SECURE), state)).toEqual([])
  })
  test('is judged in time linear in the command line', () => {
    const state = withAt(machineState(SECURE), ['kernels', 0, 'kernel_cmdline'], '(a+)+$')
    const { isCommandLine } = parseReferenceState(state).kernels[0]!
    const started = performance.now()
    expect(isCommandLine(`kernel_cmdline: ${'a'.repeat(20_000)}!`)).toBe(false)
    expect(performance.now() - started).toBeLessThan(5000)
  })
})

describe('a state that is made of a boot log', () => {
  test('has upstream’s members in their order, SHA-256 digests, and says nothing more', () => {
    const { state, warnings } = create(machineLog(SECURE)) as { state: State; warnings: string[] }
    expect(warnings).toEqual([])
    expect(Object.keys(state)).toEqual([
      'has_secureboot',
      'scrtm_and_bios',
      'pk',
      'kek',
      'db',
      'dbx',
      'vendor_db',
      'mokdig',
      'mokxdig',
      'kernels',
    ])
    expect(state).toMatchObject({
      has_secureboot: true,
      vendor_db: [],
      scrtm_and_bios: [{ scrtm: { sha256: expect.stringMatching(/^0x[0-9a-f]{64}$/) } }],
    })
    expect(Object.keys(state.kernels[0])).toEqual([
      'kernel_authcode_sha256',
      'shim_authcode_sha256',
      'grub_authcode_sha256',
      'initrd_plain_sha256',
      'kernel_cmdline',
    ])
    expect(state.kernels[0].kernel_cmdline).toMatch(/^\/boot\/vmlinuz\\-6\\\.1\\\.0\\-56\\-amd64\\ root=UUID=/)
    expect(machineState(PLAIN).kernels[0]).toHaveProperty('vmlinuz_plain_sha256')
  })
  test('without Secure Boot is made only when that is asked for; with it the wish is set aside', () => {
    expect(() => create(machineLog(PLAIN))).toThrow(
      expect.objectContaining({ code: 'invalid_request', hint: expect.stringContaining('--without-secureboot') }),
    )
    expect(create(machineLog(PLAIN), true).state['has_secureboot']).toBe(false)
    expect(create(machineLog(SECURE), true)).toMatchObject({
      state: { has_secureboot: true },
      warnings: [expect.stringContaining('is ignored')],
    })
  })
  test('leaves out what the log does not have, and warns', () => {
    const made = (keep: (e: ReturnType<typeof machineEvents>[number]) => boolean) =>
      create(serialize(machineEvents(SECURE).filter(keep)), !keep(machineEvents(SECURE)[3]!))
    expect(made((e) => e.pcr !== 4)).toMatchObject({ warnings: [expect.stringContaining('the log has 0')] })
    expect(made((e) => e.pcr !== 4).state).not.toHaveProperty('kernels')
    expect(made((e) => e.pcr !== 8 && e.pcr !== 9).warnings).toEqual([
      expect.stringContaining('no kernel command line'),
      expect.stringContaining('no initrd'),
    ])
    expect(made((e) => e.type !== 8).warnings).toEqual([expect.stringContaining('EV_S_CRTM_VERSION')])
    expect(made((e) => e.pcr !== 7).warnings).toContainEqual(expect.stringContaining('counts as off'))
  })
  test('leaves applications of the firmware out of the boot, and warns that policy example does not', () => {
    const [shim] = machineEvents(SECURE).filter((e) => e.pcr === 4 && e.type === 0x80000003)
    const node = (subtype: number) => Buffer.concat([Buffer.from([4, subtype, 20, 0]), Buffer.alloc(16, subtype)])
    const path = Buffer.concat([node(7), node(6), Buffer.from([0x7f, 0xff, 4, 0])])
    const header = Buffer.concat([Buffer.alloc(24), Buffer.from([path.length, 0, 0, 0, 0, 0, 0, 0])])
    const menu = measured(shim!, Buffer.concat([header, path]), Buffer.from('menu'))
    const { state, warnings } = create(serialize(machineEvents(SECURE).flatMap((e) => (e.number === shim!.number ? [menu, e] : [e]))))
    expect(state['kernels']).toEqual(machineState(SECURE).kernels)
    expect(warnings).toEqual([
      expect.stringMatching(/^policy example refuses the very boot that this state is made from, for \d reasons; the first: /),
    ])
  })
  test('needs SHA-256 digests', () => {
    const header = Buffer.from(serialize([]))
    const sha1Only = Buffer.concat([header.subarray(0, 32 + 24), Buffer.from([1, 0, 0, 0, 4, 0, 20, 0, 0])])
    sha1Only.writeUInt32LE(24 + 4 + 4 + 1, 28)
    expect(() => create(sha1Only)).toThrow(expect.objectContaining({ hint: expect.stringContaining('tpm2_pcrallocate') }))
  })
  test('escapes any command line so that it matches itself alone', () => {
    expect(escapePythonRegex('a-b.c d/e=f,"g" #~&@\t')).toBe('a\\-b\\.c\\ d/e=f,"g"\\ \\#\\~\\&@\\\t')
    const state = machineState(SECURE)
    fc.assert(
      fc.property(fc.string({ unit: 'binary-ascii', maxLength: 40 }), fc.string({ unit: 'binary-ascii', maxLength: 40 }), (line, other) => {
        const { kernels } = parseReferenceState(withAt(state, ['kernels', 0, 'kernel_cmdline'], escapePythonRegex(line)))
        expect(kernels[0]!.isCommandLine(`kernel_cmdline: ${line}`)).toBe(true)
        expect(kernels[0]!.isCommandLine(`kernel_cmdline: ${other}`)).toBe(other === line)
      }),
      { numRuns: runs(200, 60) },
    )
  })
})

describe('merging', () => {
  const state = machineState(SECURE)
  test('adds alternatives once, keeps all that is there, and changes nothing else', () => {
    const kernel = { ...state.kernels[0], kernel_cmdline: 'x' }
    const merged = mergeReferenceState(
      { ...state, note: 'mine' },
      { kernels: [kernel, state.kernels[0]], mokdig: [{ sha256: '0xab' }], dbx: [], note: 'other' },
    )
    expect(merged).toEqual({ ...state, note: 'mine', kernels: [state.kernels[0], kernel], mokdig: [...state.mokdig, { sha256: '0xab' }] })
    expect(mergeReferenceState(state, state)).toEqual(state)
    expect(mergeReferenceState({ has_secureboot: true }, { kernels: [kernel] })).toEqual({ has_secureboot: true, kernels: [kernel] })
  })
  test('does not put a first key where none accepts any', () => {
    const plain = machineState(PLAIN)
    expect(mergeReferenceState(plain, { db: state.db })).toEqual(plain)
  })
  test('refuses states of different kinds of machines, and what is no list', () => {
    expect(() => mergeReferenceState(state, machineState(PLAIN))).toThrow(/cannot be merged/)
    expect(() => mergeReferenceState(state, { kernels: {} })).toThrow(/^kernels: is not a list/)
  })
})
